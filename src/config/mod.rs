//! What the user wrote, resolved and checked.

pub mod component;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use component::backend::BackendConfig;
use component::metrics::MetricsConfig;
use component::reporter::ReporterConfig;
use component::scenario::ScenarioConfig;

/// One benchmark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BenchmarkConfig {
    /// Name of the benchmark; the run folder carries it.
    pub name: String,
    /// Who answers.
    pub backend: BackendConfig,
    /// What is asked.
    pub scenario: ScenarioConfig,
    /// What is metered.
    pub metrics: MetricsConfig,
    /// Where the figures go beside the run folder.
    pub reporter: ReporterConfig,
    /// Folder of the run folders; relative to where the command was started.
    pub output_dir: String,
}

impl Default for BenchmarkConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            backend: BackendConfig::default(),
            scenario: ScenarioConfig::default(),
            metrics: MetricsConfig::default(),
            reporter: ReporterConfig::default(),
            output_dir: "results".to_owned(),
        }
    }
}
