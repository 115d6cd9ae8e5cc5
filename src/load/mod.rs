//! When requests leave. Yields permits and times, never sleeps.

use crate::config::component::load::LoadConfig;
use crate::config::component::scenario::ScenarioConfig;

/// How many requests may be in flight, and hence when the next may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PermitRule {
    /// Requests in flight at most.
    pub in_flight: u32,
}

/// The permit rule of a scenario: that of its load, or a batch as so many requests in flight.
#[must_use]
pub fn permit_rule(scenario: &ScenarioConfig) -> PermitRule {
    let in_flight = match scenario.load {
        LoadConfig::Sequential => scenario.batch_size().unwrap_or(1),
        LoadConfig::Concurrency { concurrency } => concurrency,
    };
    PermitRule { in_flight: in_flight.max(1) }
}
