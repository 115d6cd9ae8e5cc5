//! How often a cheap power sensor renews its value: found by reading it densely for a moment at the start.

use crate::units::{Nanos, Seconds};

use super::Found;

/// Between reads of the probe.
const PERIOD: Seconds = Seconds(0.005);
/// So long it lasts.
const LENGTH: Seconds = Seconds(0.75);
/// A sensor whose read takes longer is not probed.
const DEAREST: Seconds = Seconds(0.000_5);
/// So many gaps between changes make a period.
const FEWEST_GAPS: usize = 3;

/// A look at one sensor that is going on.
#[derive(Debug, Clone)]
pub(super) struct Probe {
    begun: Option<Nanos>,
    due: Nanos,
    last: Option<f64>,
    changes: Vec<Nanos>,
    over: bool,
}

impl Probe {
    pub(super) const fn new() -> Self {
        Self { begun: None, due: Nanos(0), last: None, changes: Vec::new(), over: false }
    }

    pub(super) const fn due(&self) -> Nanos {
        self.due
    }

    /// Whether nothing more is to be seen.
    pub(super) const fn is_over(&self) -> bool {
        self.over
    }

    /// After a read.
    pub(super) fn read(&mut self, (before, after): (Nanos, Nanos), value: f64) {
        let begun = *self.begun.get_or_insert(before);
        if self.last.is_some_and(|last| last.total_cmp(&value).is_ne()) {
            self.changes.push(after);
        }
        self.last = Some(value);
        self.due = after.offset(PERIOD);
        self.over = after.since(begun) >= LENGTH || after.since(before) > DEAREST;
    }

    /// The median gap between changes; none when the value hardly changed.
    pub(super) fn found(&self) -> Option<Found> {
        let mut gaps: Vec<f64> =
            self.changes.windows(2).map(|pair| pair[1].since(pair[0]).0).collect();
        gaps.sort_by(f64::total_cmp);
        let middle = gaps.get(gaps.len() / 2).copied().filter(|_| gaps.len() >= FEWEST_GAPS)?;
        // A value may happen to stay the same: gaps far above the median are several periods.
        let single = gaps.iter().filter(|gap| **gap < 1.5 * middle);
        let spread = single.fold(0.0_f64, |most, gap| most.max((gap - middle).abs()));
        Some(Found { period: Seconds(middle), uncertainty: Seconds(spread.max(PERIOD.0 / 2.0)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a value that changes every `period_ms` until the probe ends.
    fn probe(period_ms: u64, cost_us: u64) -> (Probe, u64) {
        let mut probe = Probe::new();
        let mut reads = 0;
        let mut now = Nanos(3_000_000);
        loop {
            let value = f64::from(u32::try_from(now.0 / 1_000_000 / period_ms).unwrap());
            let after = Nanos(now.0 + cost_us * 1000);
            reads += 1;
            probe.read((now, after), value);
            if probe.is_over() {
                return (probe, reads);
            }
            now = probe.due();
        }
    }

    #[test]
    fn the_period_of_a_power_sensor_is_found_in_three_quarters_of_a_second() {
        for period in [100, 50, 20] {
            let (probe, reads) = probe(period, 50);
            let found = probe.found().unwrap();
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let truth = period as f64 / 1e3;
            assert!((found.period.0 - truth).abs() <= 0.006, "{period} ms: {found:?}");
            assert!(reads < 160, "{reads}");
        }
    }

    #[test]
    fn a_dear_or_a_constant_sensor_is_left_alone() {
        assert_eq!(probe(100, 3000).1, 1);
        assert_eq!(probe(100_000, 50).0.found(), None);
    }
}
