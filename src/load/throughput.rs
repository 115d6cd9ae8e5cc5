//! `throughput`: as fast as it goes.

use super::LoadEntry;
use super::closed::Closed;
use crate::config::component::load::LoadConfig;

/// The line in the list.
pub(super) const ENTRY: LoadEntry = LoadEntry {
    kind: "throughput",
    summary: "every request at once, up to max_concurrency in flight",
    open: |config, _| match config {
        LoadConfig::Throughput { max_concurrency } => {
            Some(Box::new(Closed::constant(max_concurrency.unwrap_or(u32::MAX))))
        }
        _ => None,
    },
    round: |config, _, all| config.max_concurrency().map_or(all, u64::from),
};
