//! When requests leave. Yields permits and times, never sleeps.

use crate::config::component::load::LoadConfig;

/// How many requests may be in flight, and hence when the next may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PermitRule {
    /// Requests in flight at most.
    pub in_flight: u32,
}

/// The permit rule of a load.
#[must_use]
pub fn permit_rule(config: &LoadConfig) -> PermitRule {
    match config {
        LoadConfig::Sequential => PermitRule { in_flight: 1 },
        LoadConfig::Concurrency { concurrency } => PermitRule { in_flight: (*concurrency).max(1) },
    }
}
