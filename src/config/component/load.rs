//! Settings of the load: when requests leave.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When requests leave. The key `type` chooses.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum LoadConfig {
    /// One request at a time, the next when the last has ended.
    #[default]
    Sequential,
    /// A fixed number in flight: when one ends the next leaves.
    Concurrency {
        /// Requests in flight, 1 or more.
        concurrency: u32,
    },
}

impl LoadConfig {
    /// Every value of `type`.
    pub const KINDS: [&'static str; 2] = ["concurrency", "sequential"];

    /// The value of `type`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::Concurrency { .. } => "concurrency",
        }
    }
}
