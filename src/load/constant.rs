//! `constant`: arrivals at equal gaps.

use super::LoadEntry;
use super::arrivals::{Gaps, arrivals, second};
use crate::config::component::load::LoadConfig;

/// The line in the list.
pub(super) const ENTRY: LoadEntry = LoadEntry {
    kind: "constant",
    summary: "arrivals at a constant rate; with ramp and max_concurrency",
    open: |config, opening| match config {
        LoadConfig::Constant { .. } => arrivals(config, Gaps::Even, 0, opening.draw),
        _ => None,
    },
    round: second,
};
