//! When each write of an answer is due. Pure: offsets in nanoseconds from the instant at which service began.

use rand_xoshiro::Xoshiro256PlusPlus;

use crate::random::Jitter;

/// The nominal times of an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timing {
    /// From the start of service to the first token, milliseconds.
    pub ttft_ms: f64,
    /// Between two events, milliseconds.
    pub gap_ms: f64,
    /// How the time to the first token varies.
    pub ttft_jitter: Jitter,
    /// How each gap varies, anew for each; a gap never becomes negative.
    pub gap_jitter: Jitter,
}

impl Default for Timing {
    fn default() -> Self {
        Self { ttft_ms: 100.0, gap_ms: 20.0, ttft_jitter: Jitter::None, gap_jitter: Jitter::None }
    }
}

/// Events that leave together, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Write {
    /// The first of them, from 0.
    pub first: u64,
    /// How many.
    pub events: u64,
    /// When, in nanoseconds after the start of service.
    pub due_ns: u64,
}

/// The writes of one answer in order.
///
/// The first event leaves alone. After it, `coalesce` events leave together when the last of them is due, as behind a
/// proxy that buffers; so neither the time to the first token nor the time of the last one moves.
#[derive(Debug, Clone)]
pub struct Schedule {
    timing: Timing,
    generator: Xoshiro256PlusPlus,
    /// Due times add up in f64: exact to a nanosecond for a hundred days, and without the rounding of each gap.
    at_ns: f64,
    next_event: u64,
    events: u64,
    coalesce: u64,
}

impl Schedule {
    /// `events` is [`u64::MAX`] for an answer that never ends.
    #[must_use]
    pub fn new(timing: Timing, events: u64, coalesce: u32, generator: Xoshiro256PlusPlus) -> Self {
        let coalesce = u64::from(coalesce.max(1));
        Self { timing, generator, at_ns: 0.0, next_event: 0, events, coalesce }
    }

    /// How many events the whole answer has.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// Whether events follow each other as fast as they are taken.
    #[must_use]
    pub fn is_unpaced(&self) -> bool {
        self.timing.gap_ms == 0.0 && self.timing.gap_jitter == Jitter::None
    }

    /// The nominal gap in nanoseconds.
    #[must_use]
    pub fn gap_ns(&self) -> u64 {
        whole(self.timing.gap_ms * 1e6)
    }

    fn advance(&mut self) {
        let (nominal, jitter) = if self.next_event == 0 {
            (self.timing.ttft_ms, self.timing.ttft_jitter)
        } else {
            (self.timing.gap_ms, self.timing.gap_jitter)
        };
        self.at_ns += (nominal * 1e6 + jitter.draw_ns(&mut self.generator)).max(0.0);
        self.next_event += 1;
    }
}

impl Iterator for Schedule {
    type Item = Write;

    fn next(&mut self) -> Option<Write> {
        let first = self.next_event;
        let group = if first == 0 { 1 } else { self.coalesce };
        let events = group.min(self.events - first);
        for _ in 0..events {
            self.advance();
        }
        (events > 0).then(|| Write { first, events, due_ns: whole(self.at_ns) })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "never negative, and saturates where a schedule is longer than centuries"
)]
pub(crate) fn whole(ns: f64) -> u64 {
    ns.round() as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::{Purpose, generator};

    fn schedule(timing: Timing, events: u64, coalesce: u32) -> Schedule {
        Schedule::new(timing, events, coalesce, generator(1, 2, Purpose::Timing))
    }

    #[test]
    fn event_k_is_due_at_ttft_and_k_gaps_without_drift() {
        // A gap that no whole number of nanoseconds gives.
        let timing = Timing { ttft_ms: 100.0, gap_ms: 1.0 / 3.0, ..Timing::default() };
        for (k, write) in schedule(timing, 10_000, 1).enumerate() {
            let exact = 100e6 + k as f64 * 1e6 / 3.0;
            assert!((write.due_ns as f64 - exact).abs() < 1.0, "event {k}: {}", write.due_ns);
            assert_eq!((write.first, write.events), (k as u64, 1));
        }
    }

    #[test]
    fn coalescing_moves_neither_the_first_event_nor_the_last() {
        let timing = Timing { ttft_ms: 50.0, gap_ms: 10.0, ..Timing::default() };
        let writes: Vec<Write> = schedule(timing, 10, 4).collect();
        let told = writes.iter().map(|write| (write.first, write.events, write.due_ns / 1_000_000));
        assert_eq!(told.collect::<Vec<_>>(), [(0, 1, 50), (1, 4, 90), (5, 4, 130), (9, 1, 140)]);
    }

    proptest! {
        #[test]
        fn every_event_leaves_once_and_never_before_the_one_before(
            events in 1_u64..300,
            coalesce in 0_u32..40,
            ttft_ms in 0.0..200.0,
            gap_ms in 0.0..50.0,
            deviation in 0.0..100.0,
        ) {
            let timing = Timing {
                ttft_ms,
                gap_ms,
                ttft_jitter: Jitter::Normal(deviation),
                gap_jitter: Jitter::Normal(deviation),
            };
            let writes: Vec<Write> = schedule(timing, events, coalesce).collect();
            let mut next = 0;
            for write in &writes {
                prop_assert_eq!(write.first, next);
                next += write.events;
            }
            prop_assert_eq!(next, events);
            prop_assert!(writes.is_sorted_by_key(|write| write.due_ns));
        }
    }
}
