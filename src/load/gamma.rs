//! `gamma`: arrivals at random, in bursts or more evenly than at random.

use rand_distr::Gamma;

use super::LoadEntry;
use super::arrivals::{Gaps, arrivals, second};
use crate::config::component::load::LoadConfig;

/// The line in the list.
pub(super) const ENTRY: LoadEntry = LoadEntry {
    kind: "gamma",
    summary: "arrivals in bursts (burstiness below 1) or more evenly (above); with ramp and max_concurrency",
    open: |config, opening| match config {
        LoadConfig::Gamma { burstiness, seed, .. } => {
            let gaps = Gamma::new(*burstiness, burstiness.recip()).ok()?;
            arrivals(config, Gaps::Gamma(gaps), *seed, opening.draw)
        }
        _ => None,
    },
    round: second,
};
