//! The lists: one line a component. Open at start-up, so that other crates add to them.

use std::sync::Arc;

use crate::backend::{Backend, BackendError, Host};
use crate::config::component::backend::BackendConfig;
use crate::dataset::DatasetFormat;
use crate::report::ReporterEntry;

/// Builds a backend from its settings.
pub type BuildBackend = fn(&BackendConfig, Arc<dyn Host>) -> Result<Box<dyn Backend>, BackendError>;

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
