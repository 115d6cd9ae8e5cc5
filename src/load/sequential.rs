//! `sequential`: one request at a time.

use super::LoadEntry;
use super::closed::Closed;
use crate::config::component::load::LoadConfig;

/// The line in the list.
pub(super) const ENTRY: LoadEntry = LoadEntry {
    kind: "sequential",
    summary: "one request at a time",
    open: |config, _| match config {
        LoadConfig::Sequential => Some(Box::new(Closed::constant(1))),
        _ => None,
    },
    round: |_, _, _| 1,
};
