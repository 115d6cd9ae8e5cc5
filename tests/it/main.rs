//! One integration binary; a file a subject.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod attribution;
mod carbon;
mod carbon_live;
mod config_dialects;
mod conversation;
mod dataset;
mod dataset_hub;
mod faults;
mod faults_events;
mod faults_mix;
mod faults_wire;
mod footprint;
mod gpu;
mod load;
mod measure;
mod meter_extra;
mod meter_models;
mod meter_nvml;
mod meter_rapl;
mod meter_sampler;
mod meter_select;
mod openai;
mod openai_check;
mod openai_faults;
mod openai_live;
mod openai_streams;
mod protocol_findings;
mod protocol_run;
mod recorded_windows;
mod reference;
mod report_exports;
mod report_files;
mod report_findings;
mod report_runs;
mod report_sensors;
mod run;
mod simulated;
mod trace;
mod workload;
