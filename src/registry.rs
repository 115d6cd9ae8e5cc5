//! The lists: one line a component. Open at start-up, so that other crates add to them.

use crate::backend::openai;
use crate::dataset::{self, DatasetFormat, Generator};
use crate::load;
use crate::meter;
use crate::report::exports::{EXPORTS, ExportEntry};
use crate::report::{self, ReporterEntry};

pub use crate::backend::{BackendEntry, BuildBackend};
pub use crate::load::LoadEntry;
pub use crate::meter::MeterEntry;

/// Everything that can be chosen by name.
#[derive(Clone, Default)]
pub struct Registry {
    /// Who can answer.
    pub backends: Vec<BackendEntry>,
    /// When requests can leave.
    pub loads: Vec<LoadEntry>,
    /// What can measure, in order of preference within a component.
    pub meters: Vec<MeterEntry>,
    /// What findings can become.
    pub reporters: Vec<ReporterEntry>,
    /// What they can become in the shapes of other tools.
    pub exports: Vec<ExportEntry>,
    /// Which files of prompts can be read.
    pub datasets: Vec<DatasetFormat>,
    /// Which prompts can be made.
    pub generators: Vec<Generator>,
}

impl Registry {
    /// The components of this crate. Crates of heavier ones add theirs with a `register` function.
    #[must_use]
    pub fn with_defaults() -> Self {
        Self {
            backends: vec![openai::ENTRY],
            datasets: dataset::formats(),
            generators: dataset::generators(),
            loads: load::entries(),
            meters: meter::entries(),
            reporters: report::REPORTERS.to_vec(),
            exports: EXPORTS.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::component::load::LoadConfig;

    #[test]
    fn loads_are_sorted_documented_and_the_kinds_of_the_config() {
        let loads = Registry::with_defaults().loads;
        let kinds: Vec<&str> = loads.iter().map(|entry| entry.kind).collect();
        assert_eq!(kinds, LoadConfig::KINDS);
        assert!(kinds.is_sorted());
        assert!(loads.iter().all(|entry| !entry.summary.is_empty()));
    }
}
