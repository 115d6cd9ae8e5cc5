//! Closed loops: the next request leaves when one in flight has ended. What `sequential`, `concurrency` and `throughput` share.

use super::ramp::Curve;
use super::{Load, Step};
use crate::units::Seconds;

/// As many in flight as a curve says, at least one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closed {
    permits: Curve,
}

/// A value this little below a whole number is that number: where a ramp reaches it, it has it.
const WHOLE: f64 = 1e-6;

impl Closed {
    pub(super) const fn new(permits: Curve) -> Self {
        Self { permits }
    }

    pub(super) fn constant(permits: u32) -> Self {
        Self::new(Curve::new(f64::from(permits), None))
    }
}

impl Load for Closed {
    fn step(&mut self, now: Seconds, in_flight: usize) -> Step {
        let permitted = (self.permits.value(now.0) + WHOLE).floor().max(1.0);
        #[expect(
            clippy::cast_precision_loss,
            reason = "far fewer than 2^53 requests are in flight"
        )]
        if (in_flight as f64) < permitted {
            return Step::Leave { due: now };
        }
        let more = self.permits.reaches(permitted + 1.0).filter(|at| *at > now.0);
        Step::Full { due: None, until: more.map(Seconds) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::component::load::{Ramp, RampShape};

    /// How many are let go at once at a time.
    fn permitted(load: &mut Closed, at: f64) -> usize {
        (0..)
            .find(|in_flight| matches!(load.step(Seconds(at), *in_flight), Step::Full { .. }))
            .unwrap()
    }

    #[test]
    fn as_many_leave_as_are_permitted_and_no_more() {
        let mut load = Closed::constant(3);
        assert_eq!(permitted(&mut load, 0.0), 3);
        assert_eq!(load.step(Seconds(5.0), 2), Step::Leave { due: Seconds(5.0) });
        assert_eq!(load.step(Seconds(5.0), 3), Step::Full { due: None, until: None });
    }

    #[test]
    fn a_ramp_permits_one_more_when_it_says_so_and_wakes_for_it() {
        for shape in [RampShape::Linear, RampShape::Exponential] {
            let ramp = Ramp { from: 1.0, over_s: 30.0, shape };
            let mut load = Closed { permits: Curve::new(16.0, Some(ramp)) };
            let (mut now, mut seen) = (0.0, vec![permitted(&mut load, 0.0)]);
            while let Step::Full { until: Some(until), .. } =
                load.step(Seconds(now), *seen.last().unwrap())
            {
                assert!(until.0 > now);
                now = until.0;
                seen.push(permitted(&mut load, now));
            }
            assert_eq!(seen, (1..=16).collect::<Vec<_>>(), "{shape:?}");
            assert!((now - 30.0).abs() < 1e-6);
        }
    }

    #[test]
    fn a_ramp_downwards_lets_requests_end_and_never_stops() {
        let ramp = Ramp { from: 8.0, over_s: 10.0, shape: RampShape::Linear };
        let mut load = Closed { permits: Curve::new(2.0, Some(ramp)) };
        assert_eq!(permitted(&mut load, 0.0), 8);
        assert_eq!(permitted(&mut load, 5.0), 5);
        assert_eq!(permitted(&mut load, 99.0), 2);
    }
}
