//! What changes with time: a rate or a number that goes from one value to another, and stays there.

use crate::config::component::load::{Ramp, RampShape};

/// A value over time, in seconds from 0 on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Curve {
    from: f64,
    to: f64,
    over: f64,
    shape: RampShape,
}

/// Below this the logarithm of the ratio of the two ends is none: an exponential course is then a straight line.
const FLAT: f64 = 1e-9;

impl Curve {
    /// Leads to `to` as the ramp says; without one it is `to` from the begin.
    pub(super) fn new(to: f64, ramp: Option<Ramp>) -> Self {
        match ramp {
            None => Self { from: to, to, over: 0.0, shape: RampShape::Linear },
            Some(Ramp { from, over_s, shape }) => {
                let flat = shape == RampShape::Exponential && (to / from).ln().abs() < FLAT;
                let shape = if flat { RampShape::Linear } else { shape };
                Self { from, to, over: over_s, shape }
            }
        }
    }

    /// The value at a time.
    pub(super) fn value(&self, at: f64) -> f64 {
        if at >= self.over {
            return self.to;
        }
        let share = at.max(0.0) / self.over;
        match self.shape {
            RampShape::Linear => self.from + (self.to - self.from) * share,
            RampShape::Exponential => self.from * (self.to / self.from).powf(share),
        }
    }

    /// When the value is reached, where that is on the ramp.
    pub(super) fn reaches(&self, value: f64) -> Option<f64> {
        let share = match self.shape {
            RampShape::Linear => (value - self.from) / (self.to - self.from),
            RampShape::Exponential => (value / self.from).ln() / (self.to / self.from).ln(),
        };
        (self.over > 0.0 && (0.0..=1.0).contains(&share)).then_some(share * self.over)
    }

    /// The area under it from 0 to a time: of a rate, how many arrivals that makes on average.
    pub(super) fn area(&self, until: f64) -> f64 {
        let ramp = until.clamp(0.0, self.over);
        let flat = (until - self.over).max(0.0) * self.to;
        if ramp <= 0.0 {
            return flat;
        }
        flat + match self.shape {
            RampShape::Linear => ramp * self.from.midpoint(self.value_on_ramp(ramp)),
            RampShape::Exponential => {
                let growth = (self.to / self.from).ln() / self.over;
                self.from * (growth * ramp).exp_m1() / growth
            }
        }
    }

    /// The time until which the area is this large.
    pub(super) fn time_of_area(&self, area: f64) -> f64 {
        let on_ramp = self.area(self.over);
        if area >= on_ramp {
            return self.over + (area - on_ramp) / self.to;
        }
        match self.shape {
            // The usual formula loses its digits where the line is nearly flat; this form of it does not.
            RampShape::Linear => {
                let slope = (self.to - self.from) / self.over;
                let root = (2.0 * slope).mul_add(area, self.from * self.from).max(0.0).sqrt();
                match self.from + root {
                    0.0 => 0.0,
                    sum => 2.0 * area / sum,
                }
            }
            RampShape::Exponential => {
                let growth = (self.to / self.from).ln() / self.over;
                (area * growth / self.from).ln_1p() / growth
            }
        }
    }

    fn value_on_ramp(&self, at: f64) -> f64 {
        if at >= self.over { self.to } else { self.value(at) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn curves() -> impl Strategy<Value = Curve> {
        let shapes = prop_oneof![Just(RampShape::Linear), Just(RampShape::Exponential)];
        (0.01..500.0_f64, 0.01..500.0_f64, 0.1..1e4_f64, shapes).prop_map(
            |(to, from, over_s, shape)| Curve::new(to, Some(Ramp { from, over_s, shape })),
        )
    }

    proptest! {
        #[test]
        fn the_time_of_an_area_has_that_area(curve in curves(), share in 0.0..3.0_f64) {
            let area = share * curve.area(curve.over);
            let back = curve.area(curve.time_of_area(area));
            prop_assert!((back - area).abs() <= 1e-9 * area.max(1.0), "{area} {back}");
        }

        #[test]
        fn the_area_is_the_sum_of_the_values(curve in curves(), until in 0.01..2.0_f64) {
            let until = until * curve.over;
            let steps = 20_000;
            let step = until / f64::from(steps);
            let sum: f64 = (0..steps).map(|n| curve.value((f64::from(n) + 0.5) * step) * step).sum();
            prop_assert!((curve.area(until) / sum - 1.0).abs() < 1e-3, "{sum} {}", curve.area(until));
        }

        #[test]
        fn a_value_is_reached_when_it_is_said_to(curve in curves(), share in 0.0..1.0_f64) {
            let at = share * curve.over;
            let value = curve.value(at);
            if let Some(reached) = curve.reaches(value) {
                prop_assert!((curve.value(reached) / value - 1.0).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn a_linear_ramp_may_begin_with_nothing() {
        let curve =
            Curve::new(10.0, Some(Ramp { from: 0.0, over_s: 10.0, shape: RampShape::Linear }));
        assert!((curve.area(10.0) - 50.0).abs() < 1e-9);
        assert!(curve.time_of_area(0.0).abs() < 1e-12);
        assert!((curve.time_of_area(0.5) - 1.0).abs() < 1e-9);
        assert!((curve.time_of_area(60.0) - 11.0).abs() < 1e-9);
    }
}
