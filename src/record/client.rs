//! What driving the load costs this program, and how late it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Seconds;

/// What this program used, and how late it was, from the begin to the end of a phase with requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientCost {
    /// How long it was watched.
    pub wall_s: Seconds,
    /// Processor time, user and system, of all threads: reading sensors and writing records included.
    pub cpu_s: Seconds,
    /// Of those, of the thread that sends requests and receives answers.
    pub loop_cpu_s: Seconds,
    /// How late that thread came to what was ready for it; null where the system has no timer for it.
    pub loop_lag: Option<Lags>,
    /// Most memory that was resident so far, in bytes; null where the system does not tell.
    pub peak_memory_bytes: Option<u64>,
}

/// How late moments were that are known in advance: percentiles by nearest rank, at most 1/16 too high.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lags {
    /// How many there were.
    pub count: u64,
    /// Time between two.
    pub period_s: Seconds,
    /// Half were no later.
    pub p50_s: Seconds,
    /// 99 % were no later.
    pub p99_s: Seconds,
    /// The latest.
    pub max_s: Seconds,
}
