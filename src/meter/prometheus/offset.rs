//! How far another machine's clock is from ours, as bounds.

use crate::units::Nanos;

/// Bounds of another machine's Unix time less our monotonic time, in seconds.
///
/// The `Date` of an answer was the other machine's time, cut to a whole second, at some moment between our sending and
/// our receiving. Each answer bounds the difference; together, as the seconds turn, they bound it to little more than the
/// time that a look takes. Our own wall clock has no part in it and may step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Offset {
    low: f64,
    high: f64,
}

impl Offset {
    /// From one answer.
    fn of(date_s: f64, sent: Nanos, received: Nanos) -> Self {
        Self { low: date_s - seconds(received), high: date_s + 1.0 - seconds(sent) }
    }

    /// With one more answer. If they contradict each other, the other clock was set: the newest alone is believed.
    pub(super) fn seen(before: Option<Self>, date_s: f64, sent: Nanos, received: Nanos) -> Self {
        let new = Self::of(date_s, sent, received);
        let Some(old) = before else { return new };
        let both = Self { low: old.low.max(new.low), high: old.high.min(new.high) };
        if both.low <= both.high { both } else { new }
    }

    /// The moments on our clock between which the other clock showed a time.
    pub(super) fn span(self, unix_s: f64) -> (Nanos, Nanos) {
        (nanos(unix_s - self.high), nanos(unix_s - self.low))
    }
}

#[expect(clippy::cast_precision_loss, reason = "an f64 holds 104 days in ns exactly")]
fn seconds(at: Nanos) -> f64 {
    at.0 as f64 / 1e9
}

fn nanos(seconds: f64) -> Nanos {
    Nanos(0).offset(crate::units::Seconds(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_close_in_on_the_truth_and_a_step_is_noticed() {
        // The other clock is 1,700,000,000.4 s ahead of ours; a look takes 4 ms and comes every 1.03 s.
        let ahead = 1_700_000_000.4;
        let mut offset = None;
        let look = |offset: Option<Offset>, at: f64, ahead: f64| {
            let date = (at + 0.002 + ahead).floor();
            Offset::seen(offset, date, nanos(at), nanos(at + 0.004))
        };
        let mut at = 5.0;
        for _ in 0..100 {
            offset = Some(look(offset, at, ahead));
            at += 1.03;
        }
        let (from, to) = offset.unwrap().span(ahead + 50.0);
        assert!(from <= nanos(50.0) && nanos(50.0) <= to, "{from:?} {to:?}");
        assert!(to.since(from).0 < 0.04, "{}", to.since(from));
        let stepped = look(offset, at, ahead - 3600.0);
        let (from, to) = stepped.span(ahead - 3600.0 + 200.0);
        assert!(from <= nanos(200.0) && nanos(200.0) <= to);
    }
}
