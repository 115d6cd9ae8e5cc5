//! What the user wrote, resolved and checked.

pub mod aienergyscore;
mod check;
mod check_conversation;
mod check_load;
mod check_workload;
pub mod codecarbon;
pub mod component;
mod compose;
mod environment;
mod load;
mod meters;
pub mod optimum;
mod redact;
mod schema;

pub use check::check;
pub use compose::{Composer, Jobs, Reading, Source, SweepFolder};
pub use environment::Environment;
pub use load::{LoadedConfig, Place, load};
pub use meters::named as named_meters;
pub use redact::{is_secret_key, redact, redact_text};
pub use schema::{resolved_schema, schema};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use component::backend::BackendConfig;
use component::meter::Meters;
use component::metrics::MetricsConfig;
use component::reporter::ReporterConfig;
use component::scenario::ScenarioConfig;

/// Where run folders go unless the config says otherwise.
const DEFAULT_OUTPUT_DIR: &str = "results";

/// Something that is done otherwise than the config's own program would do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The key.
    pub key: String,
    /// What about it; reads on from the key.
    pub message: String,
}

impl Note {
    /// A note.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

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
    /// Meters beside the sensors that a machine offers by itself: one or a list.
    pub meter: Meters,
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
            meter: Meters::default(),
            reporter: ReporterConfig::default(),
            output_dir: DEFAULT_OUTPUT_DIR.to_owned(),
        }
    }
}
