//! Settings of the reports.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A report beside those that the run folder always holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReporterConfig {
    /// `csv` (a row appended) or `json` (the file replaced).
    #[serde(rename = "type")]
    pub kind: String,
    /// The file; relative to where the command was started. Default: only the run folder.
    pub output_file: Option<String>,
}

impl Default for ReporterConfig {
    fn default() -> Self {
        Self { kind: "csv".to_owned(), output_file: None }
    }
}
