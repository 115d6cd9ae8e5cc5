//! One integration binary; a file a subject.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod carbon;
mod dataset;
mod dataset_hub;
mod gpu;
mod meter_models;
mod meter_nvml;
mod meter_rapl;
mod meter_sampler;
mod meter_select;
mod report_files;
mod report_findings;
mod report_runs;
mod run;
