//! The one monotonic clock.
//!
//! Every stamp in a run (token events, meter readings, phases) comes from [`now`], so any two can be
//! compared without asking which clock each came from. Wall time is only for stamps people read, and
//! an [`Anchor`] ties the two. Nothing here sleeps.

use rustix::time::{ClockId, clock_gettime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Nanos, Seconds};

/// The present on the monotonic clock (`CLOCK_MONOTONIC`, shared by all processes of the machine).
#[must_use]
pub fn now() -> Nanos {
    Nanos(nanos(ClockId::Monotonic))
}

/// Processor time that the calling thread has used.
#[must_use]
pub fn thread_cpu_time() -> Seconds {
    Nanos(nanos(ClockId::ThreadCPUTime)).since(Nanos(0))
}

/// Processor time, user and system, that all threads of this program have used.
#[must_use]
pub fn process_cpu_time() -> Seconds {
    Nanos(nanos(ClockId::ProcessCPUTime)).since(Nanos(0))
}

/// The same instant on both clocks, within the time between the two reads (some 100 ns).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Anchor {
    /// Monotonic time.
    pub mono_ns: Nanos,
    /// Nanoseconds since the Unix epoch.
    pub unix_ns: u64,
}

impl Anchor {
    /// Reads both clocks.
    #[must_use]
    pub fn take() -> Self {
        let before = now();
        let unix_ns = nanos(ClockId::Realtime);
        let after = now();
        Self { mono_ns: Nanos(before.0.midpoint(after.0)), unix_ns }
    }

    /// Wall time, in nanoseconds since the Unix epoch, of a monotonic stamp.
    #[must_use]
    pub fn unix_ns_of(self, mono: Nanos) -> u64 {
        if mono.0 >= self.mono_ns.0 {
            self.unix_ns.saturating_add(mono.0 - self.mono_ns.0)
        } else {
            self.unix_ns.saturating_sub(self.mono_ns.0 - mono.0)
        }
    }
}

fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    // Both clocks are positive on every machine that runs this.
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000
        + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_goes_back() {
        let stamps: Vec<Nanos> = (0..1000).map(|_| now()).collect();
        assert!(stamps.is_sorted());
    }

    #[test]
    fn an_anchor_carries_stamps_to_wall_time_in_both_directions() {
        let anchor = Anchor { mono_ns: Nanos(100), unix_ns: 1_000 };
        assert_eq!(anchor.unix_ns_of(Nanos(150)), 1_050);
        assert_eq!(anchor.unix_ns_of(Nanos(50)), 950);
    }
}
