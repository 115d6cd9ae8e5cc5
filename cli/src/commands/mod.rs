//! One file a command.

pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod validate;

use std::path::Path;

use ai_energy_benchmarks::config::{self, LoadedConfig};
use ai_energy_benchmarks::error::Problems;
use ai_energy_benchmarks::registry::Registry;

/// Every component of this program.
pub(crate) fn registry() -> Registry {
    let mut registry = Registry::with_defaults();
    ai_energy_benchmarks_columnar::register(&mut registry);
    ai_energy_benchmarks_local::backend::register(&mut registry);
    registry
}

/// A config with its changes.
pub(crate) fn load(path: &Path, overrides: &[String]) -> Result<LoadedConfig, Problems> {
    config::load(path, overrides)
}
