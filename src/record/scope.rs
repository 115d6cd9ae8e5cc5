//! Whose part of the processors' energy a run is about.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What processor time is counted of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// Everything that runs on the machine.
    Machine,
    /// A process and everything that it started.
    Process,
    /// A control group: a container, a service.
    Cgroup,
}

impl Whose {
    /// The word used in keys and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Process => "process",
            Self::Cgroup => "cgroup",
        }
    }
}

/// Whose CPU energy the totals hold, and whose share is known beside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CpuScope {
    /// Whose energy stands for the CPU in the totals.
    pub counted: Whose,
    /// What the share is of; null where none is known.
    pub share_of: Option<Whose>,
    /// The same in words: `vllm (pid 4242) and everything it started`.
    pub who: Option<String>,
    /// The processes at the beginning.
    pub pids: Vec<u32>,
    /// Why no share is known.
    pub missing_reason: Option<String>,
}
