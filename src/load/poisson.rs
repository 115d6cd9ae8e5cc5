//! `poisson`: arrivals at random, independent of each other.

use super::LoadEntry;
use super::arrivals::{Gaps, arrivals, second};
use crate::config::component::load::LoadConfig;

/// The line in the list.
pub(super) const ENTRY: LoadEntry = LoadEntry {
    kind: "poisson",
    summary: "arrivals at random at a mean rate; with ramp and max_concurrency",
    open: |config, opening| match config {
        LoadConfig::Poisson { seed, .. } => {
            arrivals(config, Gaps::Exponential, *seed, opening.draw)
        }
        _ => None,
    },
    round: second,
};
