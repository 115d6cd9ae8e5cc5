//! How long somebody thinks between an answer and the next turn of a conversation.

use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Exp1, StandardNormal};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::Draw;
use crate::config::component::conversation::{Conversations, ThinkTime, ThinkTimes};
use crate::units::Seconds;

/// The time before a turn, from 1, of a conversation by its position: the same whatever else happens in the run.
#[must_use]
pub fn before_turn(config: &Conversations, draw: Draw, conversation: u64, turn: u32) -> Seconds {
    let times = match config.think_time_s {
        ThinkTime::Constant(time) => return Seconds(time),
        ThinkTime::Drawn(times) => times,
    };
    let place = draw.part(conversation).part(u64::from(turn));
    let mut random = Xoshiro256PlusPlus::seed_from_u64(place.seed(config.seed));
    let time: f64 = match times {
        ThinkTimes::Uniform { min, max } => min + (max - min) * random.random_range(0.0..1.0),
        ThinkTimes::Exponential { mean } => {
            let one: f64 = Exp1.sample(&mut random);
            mean * one
        }
        ThinkTimes::Normal { mean, stddev } => {
            let one: f64 = StandardNormal.sample(&mut random);
            stddev.mul_add(one, mean)
        }
        ThinkTimes::Lognormal { median, sigma } => {
            let one: f64 = StandardNormal.sample(&mut random);
            median * (sigma * one).exp()
        }
    };
    Seconds(time.max(0.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn config(think_time_s: ThinkTime) -> Conversations {
        Conversations { think_time_s, ..Conversations::default() }
    }

    /// The times before the second turn of so many conversations.
    fn times(times: ThinkTimes, count: u64) -> Vec<f64> {
        let config = config(ThinkTime::Drawn(times));
        (0..count).map(|one| before_turn(&config, Draw::Measure(0), one, 1).0).collect()
    }

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    fn median(mut values: Vec<f64>) -> f64 {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    }

    #[test]
    fn a_constant_is_that() {
        let config = config(ThinkTime::Constant(2.5));
        assert_eq!(before_turn(&config, Draw::Measure(0), 3, 1), Seconds(2.5));
    }

    #[test]
    fn drawn_times_have_the_mean_or_median_they_were_asked_for() {
        let count = 20_000;
        let uniform = times(ThinkTimes::Uniform { min: 2.0, max: 4.0 }, count);
        assert!(uniform.iter().all(|time| (2.0..4.0).contains(time)));
        assert!((mean(&uniform) - 3.0).abs() < 0.02);
        assert!((mean(&times(ThinkTimes::Exponential { mean: 5.0 }, count)) - 5.0).abs() < 0.2);
        let normal = times(ThinkTimes::Normal { mean: 5.0, stddev: 1.0 }, count);
        assert!((mean(&normal) - 5.0).abs() < 0.05);
        let long = times(ThinkTimes::Lognormal { median: 5.0, sigma: 1.0 }, count);
        assert!((median(long.clone()) - 5.0).abs() < 0.25);
        // The mean of a log-normal value is its median times exp(sigma^2 / 2).
        assert!((mean(&long) / (5.0 * 0.5_f64.exp()) - 1.0).abs() < 0.06);
    }

    proptest! {
        #[test]
        fn a_time_is_never_negative_and_that_of_its_place(
            mean in 0.0..10.0_f64, stddev in 0.0..20.0_f64, conversation: u64, turn in 1..100_u32
        ) {
            let config = config(ThinkTime::Drawn(ThinkTimes::Normal { mean, stddev }));
            let time = before_turn(&config, Draw::Measure(0), conversation, turn);
            prop_assert!(time.0 >= 0.0 && time.0.is_finite());
            prop_assert_eq!(time, before_turn(&config, Draw::Measure(0), conversation, turn));
            if stddev > 0.1 && time.0 > 0.0 {
                prop_assert_ne!(time, before_turn(&config, Draw::Measure(0), conversation, turn + 1));
                prop_assert_ne!(time, before_turn(&config, Draw::Measure(1), conversation, turn));
            }
        }
    }
}
