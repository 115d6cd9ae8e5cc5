//! Percentiles, means and the bootstrap, with their definitions.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::Source;

/// Seed of every bootstrap: the same records give the same interval.
pub const BOOTSTRAP_SEED: u64 = 20_240_601;

/// Prompts below which a percentile bootstrap is known to be too narrow.
pub const FEW_PROMPTS: usize = 20;

/// A sample in a few numbers. Percentiles interpolate linearly between the two nearest ranks
/// (position `q * (n - 1)` in the sorted sample, numpy's default).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Values.
    pub n: u64,
    /// Their unit.
    pub unit: String,
    /// How they came to be; null without values.
    pub source: Option<Source>,
    /// Mean.
    pub mean: Option<f64>,
    /// Sample standard deviation (n - 1); null below two values.
    pub std: Option<f64>,
    /// Smallest.
    pub min: Option<f64>,
    /// 1st percentile; this and the others of their kind are absent in reports of earlier versions.
    #[serde(default)]
    pub p1: Option<f64>,
    /// 5th percentile.
    #[serde(default)]
    pub p5: Option<f64>,
    /// 10th percentile.
    #[serde(default)]
    pub p10: Option<f64>,
    /// 25th percentile.
    #[serde(default)]
    pub p25: Option<f64>,
    /// Median.
    pub p50: Option<f64>,
    /// 75th percentile.
    #[serde(default)]
    pub p75: Option<f64>,
    /// 90th percentile.
    pub p90: Option<f64>,
    /// 95th percentile.
    pub p95: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
    /// Largest.
    pub max: Option<f64>,
    /// Why there are no values.
    pub reason: Option<String>,
}

impl Summary {
    /// What a report of an earlier version does not tell.
    #[must_use]
    pub fn not_told() -> Self {
        Self::of(&[], "", Source::Measured, "reports of earlier versions do not tell it")
    }

    /// Summarises values; `reason` says why there are none, if so. Values that are not finite are left out.
    #[must_use]
    pub fn of(values: &[f64], unit: &str, source: Source, reason: &str) -> Self {
        let mut sorted: Vec<f64> =
            values.iter().copied().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let empty = sorted.is_empty();
        Self {
            n: sorted.len() as u64,
            unit: unit.to_owned(),
            source: (!empty).then_some(source),
            mean: mean(&sorted),
            std: std_dev(&sorted),
            min: sorted.first().copied(),
            p1: percentile(&sorted, 0.01),
            p5: percentile(&sorted, 0.05),
            p10: percentile(&sorted, 0.10),
            p25: percentile(&sorted, 0.25),
            p50: percentile(&sorted, 0.50),
            p75: percentile(&sorted, 0.75),
            p90: percentile(&sorted, 0.90),
            p95: percentile(&sorted, 0.95),
            p99: percentile(&sorted, 0.99),
            max: sorted.last().copied(),
            reason: empty.then(|| reason.to_owned()),
        }
    }
}

/// Arithmetic mean; none of nothing.
#[must_use]
pub fn mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    Some(values.iter().sum::<f64>() / values.len() as f64)
}

/// Sample standard deviation (divisor n - 1); none below two values.
#[must_use]
pub fn std_dev(values: &[f64]) -> Option<f64> {
    let mean = mean(values)?;
    if values.len() < 2 {
        return None;
    }
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// Where something that grows over a range stops being too low, to a billionth of the range.
pub fn bisect((mut low, mut high): (f64, f64), mut is_too_low: impl FnMut(f64) -> bool) -> f64 {
    const HALVINGS: u32 = 30;
    for _ in 0..HALVINGS {
        let middle = low.midpoint(high);
        if is_too_low(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low.midpoint(high)
}

/// Quantile `q` (0 to 1) of a sorted sample, linear between ranks; none of nothing.
#[must_use]
pub fn percentile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let position = q.clamp(0.0, 1.0) * last as f64;
    let below = (position.floor() as usize).min(last);
    let above = (below + 1).min(last);
    let fraction = position - below as f64;
    Some(sorted[below] + (sorted[above] - sorted[below]) * fraction)
}

/// An interval with how it was drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower and upper end.
    pub ends: [f64; 2],
    /// Resamples drawn.
    pub resamples: u32,
}

/// 95 % percentile bootstrap interval of `sum(numerators) / sum(denominators)`, pairs resampled together.
///
/// Resamples without any denominator are drawn again, so a rare success is not divided by zero.
///
/// # Errors
/// In words, when there are fewer than two pairs or nothing to divide by.
pub fn bootstrap_ratio(pairs: &[(f64, f64)], seed: u64) -> Result<Interval, String> {
    if pairs.len() < 2 {
        return Err(format!(
            "an interval needs at least 2 prompts, there {}",
            if pairs.is_empty() { "are none" } else { "is 1" }
        ));
    }
    if pairs.iter().map(|pair| pair.1).sum::<f64>() <= 0.0 {
        return Err("nothing succeeded".to_owned());
    }
    let resamples: u32 = if pairs.len() <= 2_000 { 2_000 } else { 500 };
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut ratios: Vec<f64> =
        (0..resamples).map(|_| resampled_ratio(pairs, &mut generator)).collect();
    ratios.sort_by(f64::total_cmp);
    match (percentile(&ratios, 0.025), percentile(&ratios, 0.975)) {
        (Some(low), Some(high)) => Ok(Interval { ends: [low, high], resamples }),
        _ => Err("no resample could be drawn".to_owned()),
    }
}

fn resampled_ratio(pairs: &[(f64, f64)], generator: &mut Xoshiro256PlusPlus) -> f64 {
    loop {
        let (mut numerator, mut denominator) = (0.0, 0.0);
        for _ in 0..pairs.len() {
            let pair = pairs[generator.random_range(0..pairs.len())];
            numerator += pair.0;
            denominator += pair.1;
        }
        // At least one pair has a denominator, so this ends: a resample misses it at most 37 % of the time.
        if denominator > 0.0 {
            return numerator / denominator;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn percentiles_agree_with_numpy() {
        // numpy.percentile([1, 2, 3, 4], [50, 90, 95, 99])
        let sorted = [1.0, 2.0, 3.0, 4.0];
        for (q, expected) in [(0.5, 2.5), (0.9, 3.7), (0.95, 3.85), (0.99, 3.97)] {
            assert!((percentile(&sorted, q).unwrap() - expected).abs() < 1e-12);
        }
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[test]
    fn one_value_has_no_spread_and_none_has_a_reason() {
        let one = Summary::of(&[2.0], "s", Source::Measured, "nothing");
        assert_eq!((one.mean, one.std, one.p99), (Some(2.0), None, Some(2.0)));
        let none = Summary::of(&[], "s", Source::Measured, "nothing");
        assert_eq!((none.mean, none.reason.as_deref()), (None, Some("nothing")));
    }

    #[test]
    fn a_bootstrap_of_one_prompt_says_why_not() {
        assert!(bootstrap_ratio(&[(1.0, 1.0)], 1).unwrap_err().contains("at least 2"));
        assert_eq!(bootstrap_ratio(&[(1.0, 0.0), (1.0, 0.0)], 1).unwrap_err(), "nothing succeeded");
    }

    #[test]
    fn the_interval_covers_about_as_often_as_it_says() {
        // Means of 40 values from a skewed distribution with mean 2: u^2 * 6.
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(7);
        let covered = (0..200_u64)
            .filter(|trial| {
                let pairs: Vec<(f64, f64)> = (0..40)
                    .map(|_| (6.0 * generator.random_range(0.0..1.0_f64).powi(2), 1.0))
                    .collect();
                let [low, high] = bootstrap_ratio(&pairs, *trial).unwrap().ends;
                low <= 2.0 && 2.0 <= high
            })
            .count();
        assert!((178..=199).contains(&covered), "{covered} of 200");
    }

    proptest! {
        #[test]
        fn percentiles_lie_between_the_ranks_of_the_sorted_sample(
            mut values in proptest::collection::vec(-1e6..1e6_f64, 1..60), q in 0.0..=1.0_f64,
        ) {
            values.sort_by(f64::total_cmp);
            let found = percentile(&values, q).unwrap();
            let rank = q * (values.len() - 1) as f64;
            prop_assert!(found >= values[rank.floor() as usize] - 1e-9);
            prop_assert!(found <= values[rank.ceil() as usize] + 1e-9);
        }

        #[test]
        fn the_interval_contains_the_mean_and_repeats_with_its_seed(
            values in proptest::collection::vec(0.0..1e4_f64, 2..40), seed: u64,
        ) {
            let pairs: Vec<(f64, f64)> = values.iter().map(|value| (*value, 1.0)).collect();
            let interval = bootstrap_ratio(&pairs, seed).unwrap();
            let mean = mean(&values).unwrap();
            prop_assert!(interval.ends[0] <= mean + 1e-9 && mean <= interval.ends[1] + 1e-9);
            prop_assert_eq!(interval, bootstrap_ratio(&pairs, seed).unwrap());
        }
    }
}
