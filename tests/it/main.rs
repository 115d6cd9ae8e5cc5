//! One integration binary; a file a subject.

mod dataset;
mod dataset_hub;
mod report_files;
mod report_findings;
mod report_runs;
