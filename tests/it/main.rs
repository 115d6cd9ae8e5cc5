//! One integration binary; a file a subject.

mod report_files;
mod report_findings;
mod report_runs;
