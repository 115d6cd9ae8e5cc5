//! `concurrency`: a number of requests in flight.

use super::LoadEntry;
use super::closed::Closed;
use super::ramp::Curve;
use crate::config::component::load::LoadConfig;

/// The line in the list.
pub(super) const ENTRY: LoadEntry = LoadEntry {
    kind: "concurrency",
    summary: "a number of requests in flight, the next when one ends; with ramp",
    open: |config, _| match config {
        LoadConfig::Concurrency { concurrency, ramp } => {
            let permits = Curve::new(f64::from((*concurrency).max(1)), *ramp);
            Some(Box::new(Closed::new(permits)))
        }
        _ => None,
    },
    round: |config, _, _| match config {
        LoadConfig::Concurrency { concurrency, .. } => u64::from(*concurrency),
        _ => 1,
    },
};
