//! Settings of the reports.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Every value of `exports`.
pub const EXPORTS: [&str; 3] = ["aiperf", "aiperf_jsonl", "vllm"];

/// A report beside those that the run folder always holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReporterConfig {
    /// `csv` (a row appended) or `json` (the file replaced).
    #[serde(rename = "type")]
    pub kind: String,
    /// The file; relative to where the command was started. Default: only the run folder.
    pub output_file: Option<String>,
    /// Files in the shapes of other tools, written into the run folder as well: `aiperf` (`profile_export_aiperf.json`),
    /// `aiperf_jsonl` (`profile_export.jsonl`), `vllm` (`vllm_bench.json`, as `vllm bench serve --save-result --save-detailed`).
    pub exports: Vec<String>,
}

impl Default for ReporterConfig {
    fn default() -> Self {
        Self { kind: "csv".to_owned(), output_file: None, exports: Vec::new() }
    }
}
