//! The lists: one line a component. Open at start-up, so that other crates add to them.

use std::sync::Arc;

use crate::backend::{Backend, Host, openai};
use crate::config::component::backend::BackendConfig;
use crate::dataset::{self, DatasetFormat};
use crate::error::Problems;
use crate::meter;
use crate::report::{self, ReporterEntry};

/// Builds a backend from its settings, or tells everything that is wrong with them.
pub type BuildBackend = fn(&BackendConfig, Arc<dyn Host>) -> Result<Box<dyn Backend>, Problems>;

/// A backend by name.
#[derive(Clone, Copy)]
pub struct BackendEntry {
    /// The value of `backend.type`.
    pub kind: &'static str,
    /// One line for help texts.
    pub summary: &'static str,
    /// Builds it.
    pub build: BuildBackend,
}

pub use crate::meter::MeterEntry;

/// Everything that can be chosen by name.
#[derive(Clone, Default)]
pub struct Registry {
    /// Who can answer.
    pub backends: Vec<BackendEntry>,
    /// What can measure, in order of preference within a component.
    pub meters: Vec<MeterEntry>,
    /// What findings can become.
    pub reporters: Vec<ReporterEntry>,
    /// Which files of prompts can be read.
    pub datasets: Vec<DatasetFormat>,
}

impl Registry {
    /// The components of this crate. Crates of heavier ones add theirs with a `register` function.
    #[must_use]
    pub fn with_defaults() -> Self {
        Self {
            backends: vec![openai::ENTRY],
            datasets: dataset::formats(),
            meters: meter::entries(),
            reporters: report::REPORTERS.to_vec(),
        }
    }
}
