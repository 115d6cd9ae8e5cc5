//! Open loops: requests arrive at times of their own. What `constant`, `poisson` and `gamma` share.
//!
//! Gaps are drawn for a rate of 1 and stretched by the rate of the moment: the n-th request arrives when the area under the
//! rate is the sum of the first n gaps. For a constant rate that is the renewal process with those gaps, and with a ramp a
//! Poisson process stays one, of a rate that changes.

use rand::SeedableRng;
use rand_distr::{Distribution, Exp1, Gamma};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::ramp::Curve;
use super::{Draw, Load, Loads, Step};
use crate::config::component::load::LoadConfig;
use crate::units::Seconds;

/// How gaps vary, their mean being 1.
#[derive(Debug, Clone, Copy)]
pub(super) enum Gaps {
    Even,
    Exponential,
    Gamma(Gamma<f64>),
}

/// Requests that arrive.
#[derive(Debug, Clone)]
struct Arrivals {
    gaps: Gaps,
    random: Xoshiro256PlusPlus,
    rate: Curve,
    limit: Option<usize>,
    /// Sum of the gaps up to the next arrival.
    gone: f64,
    /// When the next arrives.
    next: Seconds,
}

/// Those of a config whose gaps vary in this way; nothing where it has no rate.
pub(super) fn arrivals(
    config: &LoadConfig,
    gaps: Gaps,
    seed: u64,
    draw: Draw,
) -> Option<Box<dyn Load>> {
    let rate = config.rate().filter(|rate| *rate > 0.0)?;
    let mut arrivals = Arrivals {
        gaps,
        random: Xoshiro256PlusPlus::seed_from_u64(draw.seed(seed)),
        rate: Curve::new(rate, config.ramp()),
        limit: config.max_concurrency().map(|limit| limit as usize),
        gone: 0.0,
        next: Seconds::ZERO,
    };
    // A clockwork begins with a stroke; of a process that goes on for ever, the first gap is seen from its begin.
    if !matches!(gaps, Gaps::Even) {
        arrivals.advance();
    }
    Some(Box::new(arrivals))
}

/// A round of a rate: the requests of about a second, no more than may be in flight.
pub(super) fn second(config: &LoadConfig, _: &Loads, _: u64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is above 0 and at most a million; others saturate"
    )]
    let second = config.rate().unwrap_or(1.0).ceil() as u64;
    config.max_concurrency().map_or(second, |limit| second.min(u64::from(limit)))
}

impl Arrivals {
    fn advance(&mut self) {
        self.gone += match self.gaps {
            Gaps::Even => 1.0,
            Gaps::Exponential => Exp1.sample(&mut self.random),
            Gaps::Gamma(gamma) => gamma.sample(&mut self.random),
        };
        self.next = Seconds(self.rate.time_of_area(self.gone));
    }
}

impl Load for Arrivals {
    fn step(&mut self, now: Seconds, in_flight: usize) -> Step {
        let due = self.next;
        if due > now {
            return Step::Wait { until: due };
        }
        if self.limit.is_some_and(|limit| in_flight >= limit) {
            return Step::Full { due: Some(due), until: None };
        }
        self.advance();
        Step::Leave { due }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::component::load::{Ramp, RampShape};

    fn open(config: &LoadConfig, draw: Draw) -> Option<Box<dyn Load>> {
        Loads::default().open(config, draw)
    }

    const DRAW: Draw = Draw::Measure(0);

    fn constant(rate: f64, ramp: Option<Ramp>) -> LoadConfig {
        LoadConfig::Constant { rate, ramp, max_concurrency: None }
    }

    fn poisson(rate: f64, seed: u64, ramp: Option<Ramp>) -> LoadConfig {
        LoadConfig::Poisson { rate, seed, ramp, max_concurrency: None }
    }

    fn gamma(rate: f64, burstiness: f64, seed: u64) -> LoadConfig {
        LoadConfig::Gamma { rate, burstiness, seed, ramp: None, max_concurrency: None }
    }

    /// The first arrivals, asked for at the end of time.
    fn times(config: &LoadConfig, draw: Draw, count: usize) -> Vec<f64> {
        let mut load = open(config, draw).unwrap();
        std::iter::repeat_with(|| load.step(Seconds(f64::MAX), 0))
            .take(count)
            .map(|step| match step {
                Step::Leave { due } => due.0,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn gaps(times: &[f64]) -> Vec<f64> {
        std::iter::once(times[0]).chain(times.windows(2).map(|pair| pair[1] - pair[0])).collect()
    }

    /// The Kolmogorov-Smirnov statistic of values against a distribution, times the root of their number.
    fn kolmogorov_smirnov(mut values: Vec<f64>, distribution: impl Fn(f64) -> f64) -> f64 {
        values.sort_by(f64::total_cmp);
        let count = values.len() as f64;
        let apart = |(rank, value): (usize, &f64)| {
            let expected = distribution(*value);
            (expected - rank as f64 / count).max((rank + 1) as f64 / count - expected)
        };
        values.iter().enumerate().map(apart).fold(0.0, f64::max) * count.sqrt()
    }

    /// Above this the hypothesis falls at 5 %.
    const CRITICAL: f64 = 1.358;

    fn exponential(rate: f64) -> impl Fn(f64) -> f64 {
        move |gap| 1.0 - (-rate * gap).exp()
    }

    /// The distribution of the sum of `shape` exponential gaps: the gamma distribution of a whole shape.
    fn erlang(shape: u32, scale: f64) -> impl Fn(f64) -> f64 {
        move |gap| {
            let x = gap / scale;
            let mut term = (-x).exp();
            let mut tail = term;
            for n in 1..shape {
                term *= x / f64::from(n);
                tail += term;
            }
            1.0 - tail
        }
    }

    /// Of the shape 1/2 the gamma distribution is that of a squared normal value, known by the error function (here by
    /// Simpson's rule over 2 exp(-t^2) / sqrt(pi)).
    fn half_gamma(scale: f64) -> impl Fn(f64) -> f64 {
        move |gap| {
            let upper = (gap / scale).sqrt();
            let steps = 400;
            let step = upper / f64::from(steps);
            let sum: f64 = (0..=steps)
                .map(|n| {
                    let t = f64::from(n) * step;
                    let weight = match n {
                        0 => 1.0,
                        n if n == steps => 1.0,
                        n if n % 2 == 1 => 4.0,
                        _ => 2.0,
                    };
                    weight * (-t * t).exp()
                })
                .sum();
            sum * step / 3.0 * std::f64::consts::FRAC_2_SQRT_PI
        }
    }

    #[test]
    fn a_constant_rate_sends_exactly_rate_times_time() {
        let mut load = open(&constant(200.0, None), DRAW).unwrap();
        let mut sent = 0_u32;
        while let Step::Leave { due } = load.step(Seconds(30.0), 0) {
            if due.0 >= 30.0 {
                break;
            }
            assert!((due.0 - f64::from(sent) / 200.0).abs() < 1e-9);
            sent += 1;
        }
        assert_eq!(sent, 6_000);
    }

    #[test]
    fn poisson_gaps_are_exponential_by_the_kolmogorov_smirnov_test() {
        for seed in [1, 2, 42] {
            let found = gaps(&times(&poisson(50.0, seed, None), DRAW, 10_000));
            let statistic = kolmogorov_smirnov(found.clone(), exponential(50.0));
            assert!(statistic < CRITICAL, "{statistic}");
            assert!(kolmogorov_smirnov(found, exponential(55.0)) > 3.0, "the test can fail");
        }
    }

    #[test]
    fn gamma_gaps_have_the_gamma_distribution_of_their_burstiness() {
        for seed in [1, 2, 42] {
            for shape in [1, 2, 5] {
                let found = gaps(&times(&gamma(20.0, f64::from(shape), seed), DRAW, 10_000));
                let scale = 1.0 / (20.0 * f64::from(shape));
                let statistic = kolmogorov_smirnov(found.clone(), erlang(shape, scale));
                assert!(statistic < CRITICAL, "{shape}: {statistic}");
                let other = kolmogorov_smirnov(found, erlang(shape + 1, scale));
                assert!(other > 3.0, "the test can fail: {other}");
            }
            let found = gaps(&times(&gamma(20.0, 0.5, seed), DRAW, 10_000));
            let statistic = kolmogorov_smirnov(found, half_gamma(0.1));
            assert!(statistic < CRITICAL, "{statistic}");
        }
    }

    #[test]
    fn on_a_ramp_arrivals_stay_a_poisson_process() {
        for shape in [RampShape::Linear, RampShape::Exponential] {
            let ramp = Ramp { from: 2.0, over_s: 300.0, shape };
            let found = times(&poisson(100.0, 7, Some(ramp)), DRAW, 10_000);
            let curve = Curve::new(100.0, Some(ramp));
            let stretched: Vec<f64> = found.iter().map(|at| curve.area(*at)).collect();
            let statistic = kolmogorov_smirnov(gaps(&stretched), exponential(1.0));
            assert!(statistic < CRITICAL, "{statistic}");
            assert!(kolmogorov_smirnov(gaps(&found), exponential(50.0)) > 3.0);
        }
    }

    #[test]
    fn a_ramp_of_a_constant_rate_sends_the_mean_of_both_rates() {
        let ramp = Ramp { from: 10.0, over_s: 20.0, shape: RampShape::Linear };
        let found = times(&constant(30.0, Some(ramp)), DRAW, 1_000);
        assert_eq!(found.iter().filter(|at| **at < 20.0).count(), 400);
        assert!(found.windows(2).all(|pair| pair[1] > pair[0]));
    }

    #[test]
    fn the_same_seed_gives_the_same_arrivals_and_every_repetition_its_own() {
        let load = poisson(5.0, 3, None);
        assert_eq!(times(&load, DRAW, 100), times(&load, DRAW, 100));
        assert_ne!(times(&load, DRAW, 100), times(&poisson(5.0, 4, None), DRAW, 100));
        assert_ne!(times(&load, DRAW, 100), times(&load, Draw::Measure(1), 100));
        assert_ne!(times(&load, DRAW, 100), times(&load, Draw::Warmup, 100));
        let even = constant(5.0, None);
        assert_eq!(times(&even, DRAW, 100), times(&even, Draw::Warmup, 100));
    }

    #[test]
    fn a_limit_holds_arrivals_back_and_they_keep_their_times() {
        let config = LoadConfig::Constant { rate: 10.0, ramp: None, max_concurrency: Some(2) };
        let mut load = open(&config, DRAW).unwrap();
        assert_eq!(load.step(Seconds(0.25), 1), Step::Leave { due: Seconds(0.0) });
        let full = Step::Full { due: Some(Seconds(0.1)), until: None };
        assert_eq!(load.step(Seconds(0.25), 2), full);
        assert_eq!(load.step(Seconds(0.75), 2), full);
        assert_eq!(load.step(Seconds(0.75), 1), Step::Leave { due: Seconds(0.1) });
        assert_eq!(load.step(Seconds(0.75), 1), Step::Leave { due: Seconds(0.2) });
    }

    proptest! {
        #[test]
        fn arrivals_never_go_back_and_their_mean_rate_is_the_rate(
            rate in 0.01..1e5_f64, burstiness in 0.3..20.0_f64, seed: u64
        ) {
            let found = times(&gamma(rate, burstiness, seed), DRAW, 4_000);
            prop_assert!(found.iter().all(|at| at.is_finite() && *at >= 0.0));
            prop_assert!(found.is_sorted());
            // Six standard errors of the mean of 4,000 gaps.
            let off = found[3_999] * rate / 4_000.0 - 1.0;
            prop_assert!(off.abs() < 6.0 / (burstiness * 4_000.0).sqrt(), "{off}");
        }

        #[test]
        fn nothing_leaves_before_it_is_due(rate in 0.1..1e3_f64, seed: u64, now in 0.0..100.0_f64) {
            let mut load = open(&poisson(rate, seed, None), DRAW).unwrap();
            for _ in 0..200 {
                match load.step(Seconds(now), 0) {
                    Step::Leave { due } => prop_assert!(due.0 <= now),
                    Step::Wait { until } => { prop_assert!(until.0 > now); break }
                    other => prop_assert!(false, "{other:?}"),
                }
            }
        }
    }
}
