//! One integration binary; a file a subject.

mod openai;
mod openai_check;
mod openai_faults;
mod openai_live;
mod openai_streams;
mod report_files;
mod report_findings;
mod report_runs;
