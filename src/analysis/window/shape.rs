//! How the energy of one step of a counter lies in time.
//!
//! A step tells how much was counted between two renewals, not when. Its neighbours say more: where the mean power of a
//! step lies between those of the steps beside it, one change of the load explains all three, and there is only one
//! moment at which it can have been (known as subcell resolution where shocks are computed). Elsewhere the energy is
//! spread evenly.

/// Neighbours that differ by less than this share of the higher one show no single change of the load: a server's power goes
/// up and down by as much from one batch to the next.
const CONTRAST: f64 = 0.3;
/// A change may have been a ramp, or two: share of the difference to an even spread that stays in doubt in a step of one
/// renewal. In longer ones more may have happened that the neighbours do not show.
const RAMP_DOUBT: f64 = 0.06;

/// One step of a counter with what is known of its neighbours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// Begin and end, s.
    pub from: f64,
    pub to: f64,
    /// Energy counted in it, J.
    pub rise: f64,
    /// Mean power of the step before and after, W; none at the ends of the curve.
    pub before: Option<f64>,
    pub after: Option<f64>,
}

/// What makes an energy inside a step uncertain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doubt {
    /// Variance of the moment at which a change of the load shows, s^2.
    pub edge_variance: f64,
    /// Standard deviation of the mean power of steps under a steady load, relative.
    pub wander: f64,
    /// How often the counter renews its value, s.
    pub renewal: f64,
}

/// Energy from the begin of a step to a moment in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Part {
    pub energy: f64,
    pub variance: f64,
    /// Power at that moment, W.
    pub power: f64,
}

/// How the energy of a step lies in it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    Even,
    /// At `at` the power changes from `left` to `right`.
    Jump {
        at: f64,
        left: f64,
        right: f64,
    },
}

impl Step {
    fn length(&self) -> f64 {
        self.to - self.from
    }

    fn mean(&self) -> f64 {
        self.rise / self.length()
    }

    fn form(&self) -> Form {
        let (Some(left), Some(right)) = (self.before, self.after) else { return Form::Even };
        let (low, high) = (left.min(right), left.max(right));
        let between = low < self.mean() && self.mean() < high;
        if !between || high - low <= CONTRAST * high {
            return Form::Even;
        }
        let at = self.from + (self.rise - right * self.length()) / (left - right);
        Form::Jump { at, left, right }
    }

    /// The energy from the begin of the step to `at`, which lies in it.
    pub(super) fn until(&self, at: f64, doubt: Doubt) -> Part {
        let wander = doubt.wander * self.mean() * (at - self.from).min(self.to - at);
        let part = match self.form() {
            Form::Even => self.even(at),
            Form::Jump { at: jump, left, right } => {
                let low = left * (at.min(jump) - self.from);
                let high = right * (at - jump).max(0.0);
                let x = (at - self.from) / self.length();
                let contrast = (left - right).abs();
                // A moment far from the change does not feel where exactly it was.
                let distance = (at - jump).powi(2) / (4.0 * doubt.edge_variance).max(1e-12);
                let edge = contrast * contrast * doubt.edge_variance * (-distance).exp();
                let renewals = self.length() / doubt.renewal.max(1e-6);
                let doubted = (RAMP_DOUBT * renewals * renewals).min(1.0);
                let ramp = doubted * contrast * self.length() * x * (1.0 - x);
                let power = if at < jump { left } else { right };
                Part { energy: low + high, variance: edge + ramp * ramp, power }
            }
        };
        Part { variance: part.variance + wander * wander, ..part }
    }

    /// Spread evenly; in doubt by as much as the step differs from its neighbours.
    pub(super) fn even(&self, at: f64) -> Part {
        let x = (at - self.from) / self.length();
        let differs = |neighbour: Option<f64>| {
            neighbour.map_or(self.mean(), |power| (power - self.mean()).abs())
        };
        let moved = differs(self.before).max(differs(self.after)) * self.length();
        let variance = moved * moved * x * (1.0 - x) / 6.0;
        Part { energy: self.rise * x, variance, power: self.mean() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXACT: Doubt = Doubt { edge_variance: 0.0, wander: 0.0, renewal: 0.1 };

    #[test]
    fn a_change_of_load_is_found_where_it_was() {
        // 100 W until 0.03, then 700 W.
        let step =
            Step { from: 0.0, to: 0.1, rise: 3.0 + 49.0, before: Some(100.0), after: Some(700.0) };
        for (at, joules) in [(0.0, 0.0), (0.02, 2.0), (0.03, 3.0), (0.05, 17.0), (0.1, 52.0)] {
            let part = step.until(at, EXACT);
            assert!((part.energy - joules).abs() < 1e-9, "{at}: {part:?}");
        }
    }

    #[test]
    fn an_edge_in_doubt_shows_at_the_edge_and_not_far_from_it() {
        let step = Step { from: 0.0, to: 0.1, rise: 52.0, before: Some(100.0), after: Some(700.0) };
        let doubt = Doubt { edge_variance: 9e-6, wander: 0.0, renewal: 0.1 };
        let (at, far) = (step.until(0.03, doubt), step.until(0.095, doubt));
        assert!(at.variance.sqrt() >= 600.0 * 0.003, "{at:?}");
        assert!(far.variance.sqrt() < 600.0 * 0.003 / 2.0, "{far:?}");
    }

    #[test]
    fn a_burst_inside_a_step_is_spread_and_doubted() {
        let step = Step { from: 0.0, to: 0.1, rise: 40.0, before: Some(100.0), after: Some(100.0) };
        let part = step.until(0.05, EXACT);
        assert!((part.energy - 20.0).abs() < 1e-9);
        assert!(part.variance.sqrt() > 5.0, "{part:?}");
    }

    proptest! {
        #[test]
        fn energy_grows_from_nothing_to_the_whole_step(
            rise in 0.1..100.0_f64, before in 1.0..800.0_f64, after in 1.0..800.0_f64,
            cuts in proptest::collection::vec(0.0..0.1_f64, 2),
        ) {
            let step = Step { from: 0.0, to: 0.1, rise, before: Some(before), after: Some(after) };
            let (low, high) = (cuts[0].min(cuts[1]), cuts[0].max(cuts[1]));
            let at = |at: f64| step.until(at, EXACT).energy;
            prop_assert!(at(0.0).abs() < 1e-9);
            prop_assert!((at(0.1) - rise).abs() < 1e-9 * rise.max(1.0));
            prop_assert!(at(low) <= at(high) + 1e-9);
            prop_assert!(step.until(low, EXACT).variance >= 0.0);
        }
    }
}
