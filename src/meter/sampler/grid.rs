//! When a counter changes: learned from the changes that were caught, so that the next can be waited for.
//!
//! A change lies between a read of the old value and a read of the new one. A counter that its hardware renews on
//! a timer has all its changes on one grid; each span that was caught narrows the grid's period and its phase.
//! Counters that do not keep to a grid are found out: their spans contradict each other.

use crate::units::{Nanos, Seconds};

/// Changes stray from an exact grid by this much.
const JITTER_NS: f64 = 1e6;
/// The described period may be wrong by this factor either way before anything is learned.
const PRIOR: f64 = 2.0;
/// Contradictions in a row after which what was learned is thrown away.
const MOST_MISSES: u32 = 3;
/// A contradiction widens the period by this share.
const WIDENING: f64 = 0.004;
/// After so many periods the long lever is given up, since no clock keeps its pace for ever.
const LONGEST_LEVER: f64 = 1000.0;

/// Between two ends, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Span {
    low: f64,
    high: f64,
}

impl Span {
    fn middle(self) -> f64 {
        self.low.midpoint(self.high)
    }

    fn half(self) -> f64 {
        (self.high - self.low) / 2.0
    }

    fn meet(self, other: Self) -> Option<Self> {
        let met = Self { low: self.low.max(other.low), high: self.high.min(other.high) };
        (met.low <= met.high).then_some(met)
    }

    fn widened(self, by: f64) -> Self {
        Self { low: self.low - by, high: self.high + by }
    }
}

/// A change that is to come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Expected {
    /// Not before.
    pub earliest: Nanos,
    /// Not after.
    pub latest: Nanos,
}

/// The grid on which a counter changes, as far as it is known.
#[derive(Debug, Clone)]
pub(super) struct Grid {
    period: Span,
    /// The last change that was caught, and how many periods after the first one.
    last: Option<Span>,
    first: Span,
    periods: f64,
    misses: u32,
    /// Contradictions since the counter was first seen.
    contradictions: u32,
}

impl Grid {
    /// Knows only what the sensor's description says.
    pub(super) fn new(described: Seconds) -> Self {
        let nominal = described.0 * 1e9;
        Self {
            period: Span { low: nominal / PRIOR, high: nominal * PRIOR },
            last: None,
            first: Span { low: 0.0, high: 0.0 },
            periods: 0.0,
            misses: 0,
            contradictions: 0,
        }
    }

    /// The period: the middle of what is possible.
    pub(super) fn period(&self) -> Seconds {
        Seconds(self.period.middle() / 1e9)
    }

    /// Half of the span of possible periods.
    pub(super) fn uncertainty(&self) -> Seconds {
        Seconds(self.period.half() / 1e9)
    }

    /// Whether the counter seems not to keep to any grid.
    pub(super) const fn is_irregular(&self) -> bool {
        self.contradictions > 3 * MOST_MISSES
    }

    /// A change was caught: after the first stamp, before the second. `next` says that the counter was watched all the
    /// time since the last one that was caught, so that this is the next.
    pub(super) fn observe(&mut self, after: Nanos, before: Nanos, next: bool) {
        let seen = Span { low: as_f64(after), high: as_f64(before) };
        let Some(last) = self.last else {
            self.restart(seen);
            return;
        };
        let gaps = (seen.middle() - last.middle()) / self.period.middle();
        let steps = if next { 1.0 } else { gaps.round().max(1.0) };
        let expected = Span {
            low: last.low + steps * self.period.low,
            high: last.high + steps * self.period.high,
        };
        // Too long ago to tell how many changes there were between.
        let countable = next || expected.half() + seen.half() < self.period.middle() / 2.0;
        match expected.widened(JITTER_NS).meet(seen) {
            Some(_) if !countable => self.restart(seen),
            Some(met) => self.narrow(met, steps),
            None if next && self.periods < 2.0 => self.begin(last, seen, steps),
            None => self.contradict(last, seen, steps),
        }
    }

    fn restart(&mut self, seen: Span) {
        self.last = Some(seen);
        self.first = seen;
        self.periods = 0.0;
    }

    fn narrow(&mut self, met: Span, steps: f64) {
        self.misses = 0;
        self.last = Some(met);
        self.periods += steps;
        let lever = Span {
            low: (met.low - self.first.high - 2.0 * JITTER_NS) / self.periods,
            high: (met.high - self.first.low + 2.0 * JITTER_NS) / self.periods,
        };
        if let Some(period) = self.period.meet(lever) {
            self.period = period;
        } else {
            self.period = lever;
            self.restart(met);
        }
        if self.periods > LONGEST_LEVER {
            self.restart(met);
            self.period = self.period.widened(JITTER_NS / LONGEST_LEVER);
        }
    }

    fn contradict(&mut self, last: Span, seen: Span, steps: f64) {
        self.misses += 1;
        if self.misses >= MOST_MISSES {
            // What was believed is wrong.
            self.begin(last, seen, steps);
        } else {
            self.contradictions += 1;
            self.period = self.period.widened(WIDENING * self.period.middle());
            self.restart(seen);
        }
    }

    /// Begins again from two changes.
    fn begin(&mut self, last: Span, seen: Span, steps: f64) {
        self.misses = 0;
        self.contradictions += 1;
        let low = (seen.low - last.high).max(1e6) / steps;
        let high = (seen.high - last.low).max(2e6) / steps;
        self.period = Span { low, high };
        self.restart(seen);
    }

    /// The first change whose earliest moment is not before a time; none before one change was caught.
    pub(super) fn next(&self, from: Nanos) -> Option<Expected> {
        let last = self.last?;
        let span = |steps: f64| {
            Span {
                low: last.low + steps * self.period.low,
                high: last.high + steps * self.period.high,
            }
            .widened(JITTER_NS)
        };
        let distance = as_f64(from) + JITTER_NS - last.low;
        let steps = (distance / self.period.low).ceil().max(1.0);
        let span = span(steps);
        Some(Expected { earliest: as_nanos(span.low), latest: as_nanos(span.high) })
    }

    /// How many periods ahead a change can still be told to within a share of the period.
    pub(super) fn foresight(&self, share: f64) -> f64 {
        let Some(last) = self.last else { return 0.0 };
        let allowed = share * self.period.middle() - last.half() - JITTER_NS;
        (allowed / self.period.half().max(1.0)).floor().max(0.0)
    }
}

#[expect(clippy::cast_precision_loss, reason = "an f64 holds 104 days in ns exactly")]
const fn as_f64(at: Nanos) -> f64 {
    at.0 as f64
}

fn as_nanos(at: f64) -> Nanos {
    Nanos(0).offset(Seconds(at / 1e9))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Catches of a grid of 100 ms with phase 55 ms: each within some ms before and after.
    fn learned(ticks: &[u64], before_ms: u64, after_ms: u64) -> Grid {
        let mut grid = Grid::new(Seconds(0.08));
        let mut previous = None;
        for tick in ticks {
            let at = 55 + 100 * tick;
            let next = previous.replace(*tick).is_some_and(|previous| previous + 1 == *tick);
            grid.observe(Nanos((at - before_ms) * MS), Nanos((at + after_ms) * MS), next);
        }
        grid
    }

    #[test]
    fn the_period_narrows_with_the_distance_between_catches() {
        let near = learned(&[1, 2, 3, 4], 8, 8);
        assert!((near.period().0 - 0.1).abs() <= near.uncertainty().0, "{near:?}");
        assert!(near.uncertainty() < Seconds(0.008), "{near:?}");
        let far = learned(&[1, 2, 3, 4, 7, 14, 30], 8, 8);
        assert!((far.period().0 - 0.1).abs() <= far.uncertainty().0, "{far:?}");
        assert!(far.uncertainty() < Seconds(0.001), "{far:?}");
    }

    #[test]
    fn the_next_change_is_foretold() {
        let grid = learned(&[1, 2, 3, 4, 7, 14, 30], 8, 8);
        let next = grid.next(Nanos(4000 * MS)).unwrap();
        assert!(next.earliest.0 <= 4055 * MS && next.latest.0 >= 4055 * MS, "{next:?}");
        assert!(next.latest.since(next.earliest) < Seconds(0.06), "{next:?}");
        assert!(grid.foresight(0.3) > 5.0);
    }

    #[test]
    fn a_wrong_description_is_unlearned() {
        let mut grid = Grid::new(Seconds(0.1));
        for tick in 0..20_u64 {
            let at = 500 + 20 * tick;
            grid.observe(Nanos((at - 5) * MS), Nanos((at + 5) * MS), true);
        }
        assert!((grid.period().0 - 0.02).abs() < 0.004, "{grid:?}");
    }

    #[test]
    fn a_counter_that_keeps_to_no_grid_is_found_out() {
        let mut grid = Grid::new(Seconds(0.1));
        let mut at = 1000;
        for gap in [100, 60, 180, 90, 55, 130].iter().cycle().take(40) {
            at += gap;
            grid.observe(Nanos((at - 4) * MS), Nanos((at + 4) * MS), true);
        }
        assert!(grid.is_irregular(), "{grid:?}");
    }
}
