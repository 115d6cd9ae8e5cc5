//! What repeated measurements say: mean, spread, interval, outliers, drift, how many it takes, and whether two sets differ.
//!
//! All of it supposes independent values of about normal distribution; where that fails the drift test and the list of outliers
//! are there to show it. Nothing is ever taken out of a set.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::stats::{mean, std_dev};
use super::student::{two_sided_p, two_sided_quantile};

/// Probability left outside an interval of 95 %.
pub const TAIL_95: f64 = 0.05;
/// A trend or an outlier this improbable by chance is told.
pub const SIGNIFICANT: f64 = 0.05;

/// A half-width of the 95 % interval of a mean.
#[must_use]
pub fn half_width(spread: f64, count: usize, degrees: f64) -> f64 {
    two_sided_quantile(TAIL_95, degrees) * spread / (count as f64).sqrt()
}

/// The 95 % interval of the mean of independent values; none below two.
#[must_use]
pub fn interval_95(values: &[f64]) -> Option<[f64; 2]> {
    let (mean, spread) = (mean(values)?, std_dev(values)?);
    let half = half_width(spread, values.len(), (values.len() - 1) as f64);
    Some([mean - half, mean + half])
}

/// Standard deviation over the mean; none below two values or about a mean that is not above zero.
#[must_use]
pub fn variation(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|mean| *mean > 0.0)?;
    Some(std_dev(values)? / mean)
}

/// Positions of values that lie too far out for a normal sample: Rosner's generalised extreme studentised deviate test
/// at 5 %, for up to one value in five. With one it is Grubbs' test. None below five values.
#[must_use]
pub fn outliers(values: &[f64]) -> Vec<usize> {
    const FEWEST: usize = 5;
    if values.len() < FEWEST {
        return Vec::new();
    }
    let most = values.len() / FEWEST;
    let mut left: Vec<usize> = (0..values.len()).collect();
    let mut removed = Vec::new();
    let mut found = 0;
    for step in 1..=most {
        let sample: Vec<f64> = left.iter().map(|index| values[*index]).collect();
        let (Some(centre), Some(spread)) = (mean(&sample), std_dev(&sample)) else { break };
        if spread <= 0.0 {
            break;
        }
        let distance = |index: usize| (values[index] - centre).abs();
        let Some(position) =
            (0..left.len()).max_by(|a, b| distance(left[*a]).total_cmp(&distance(left[*b])))
        else {
            break;
        };
        let farthest = left.remove(position);
        removed.push(farthest);
        if distance(farthest) / spread > critical_deviate(sample.len()) {
            found = step;
        }
    }
    removed.truncate(found);
    removed.sort_unstable();
    removed
}

/// Largest studentised deviate of `count` normal values that chance exceeds once in twenty times.
fn critical_deviate(count: usize) -> f64 {
    let n = count as f64;
    let t = two_sided_quantile(SIGNIFICANT / n, n - 2.0);
    (n - 1.0) * t / (n * (n - 2.0 + t * t)).sqrt()
}

/// A straight line through values in the order in which they were measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drift {
    /// Change from one repetition to the next, as a share of the mean.
    pub per_repetition: f64,
    /// Probability of such a slope, or a steeper one, without any drift (two-sided t test of the slope).
    pub p: f64,
}

/// The drift of values in order; none below four, or about a mean that is not above zero.
#[must_use]
pub fn drift(values: &[f64]) -> Option<Drift> {
    const FEWEST: usize = 4;
    let centre = mean(values).filter(|mean| *mean > 0.0 && values.len() >= FEWEST)?;
    let points: Vec<(f64, f64)> =
        values.iter().enumerate().map(|(index, value)| (index as f64, *value)).collect();
    let line = Line::through(&points)?;
    Some(Drift { per_repetition: line.slope / centre, p: line.p })
}

/// A least-squares line with the test of its slope.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// Rise of y over x.
    pub slope: f64,
    /// Probability of such a slope, or a steeper one, if there were none.
    pub p: f64,
}

impl Line {
    /// Through at least three points at different x; none otherwise.
    #[must_use]
    pub fn through(points: &[(f64, f64)]) -> Option<Self> {
        let n = points.len() as f64;
        let degrees = n - 2.0;
        if degrees < 1.0 {
            return None;
        }
        let mean_x = points.iter().map(|point| point.0).sum::<f64>() / n;
        let mean_y = points.iter().map(|point| point.1).sum::<f64>() / n;
        let sum = |of: &dyn Fn(f64, f64) -> f64| {
            points.iter().map(|(x, y)| of(x - mean_x, y - mean_y)).sum::<f64>()
        };
        let (xx, xy, yy) = (sum(&|x, _| x * x), sum(&|x, y| x * y), sum(&|_, y| y * y));
        if xx <= 0.0 {
            return None;
        }
        let slope = xy / xx;
        let residual = (yy - slope * xy).max(0.0);
        // Equal values have no slope to test; a line without residual leaves nothing to chance.
        let p = if yy <= 0.0 {
            1.0
        } else {
            two_sided_p(slope.abs() * (xx * degrees / residual).sqrt(), degrees)
        };
        Some(Self { slope, p })
    }
}

/// How many repetitions an interval of a given width takes, by Stein's two-stage procedure.
///
/// The first stage's spread decides the number once; the interval is then [`half_width`] of that spread with the first
/// stage's degrees of freedom, and keeps its 95 % because the number does not depend on the means that follow. Looking at
/// the interval after every repetition and stopping when it is narrow does not (87 to 90 %).
///
/// `target` is half the width over the mean. None when the first stage has fewer than two values or no positive mean.
#[must_use]
pub fn repetitions_needed(first_stage: &[f64], target: f64) -> Option<u32> {
    let spread = variation(first_stage)?;
    let t = two_sided_quantile(TAIL_95, (first_stage.len() - 1) as f64);
    let needed = (t * spread / target).powi(2).ceil().max(first_stage.len() as f64);
    Some(if needed >= f64::from(u32::MAX) { u32::MAX } else { needed as u32 })
}

/// The interval of the mean after a second stage: the spread is the first stage's alone.
#[must_use]
pub fn two_stage_interval_95(values: &[f64], first_stage: usize) -> Option<[f64; 2]> {
    let first = values.get(..first_stage)?;
    let (centre, spread) = (mean(values)?, std_dev(first)?);
    let half = half_width(spread, values.len(), (first_stage - 1) as f64);
    Some([centre - half, centre + half])
}

/// How two sets were compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// Each value of one set beside the value of the other that was measured next to it.
    Paired,
    /// Two independent sets, whose spreads may differ.
    Welch,
}

/// What a comparison of two sets of positive values says. Logarithms are compared, so the ratio is that of geometric means
/// and its interval is right for ratios.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// Which test.
    pub test: Test,
    /// The second set over the first.
    pub ratio: f64,
    /// Its 95 % interval.
    pub interval_95: [f64; 2],
    /// Degrees of freedom.
    pub degrees: f64,
    /// Probability of such a difference, or a larger one, between equal sets.
    pub p: f64,
    /// The interval leaves out a ratio of 1.
    pub differs: bool,
}

/// Why two sets cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoComparison {
    /// One value has no spread.
    #[error("a comparison needs at least 2 values of each, there are {0} and {1}")]
    TooFew(usize, usize),
    /// Pairs need partners.
    #[error("pairs need as many values of each, there are {0} and {1}")]
    Unpaired(usize, usize),
    /// Ratios need positive values.
    #[error("a value is zero or less: there is no ratio")]
    NotPositive,
}

/// Compares two independent sets (Welch's test of the logarithms).
///
/// # Errors
/// Fewer than two values in a set, or a value that is not positive.
pub fn compare(first: &[f64], second: &[f64]) -> Result<Difference, NoComparison> {
    let (a, b) = logs(first, second)?;
    let (Some(mean_a), Some(mean_b), Some(sd_a), Some(sd_b)) =
        (mean(&a), mean(&b), std_dev(&a), std_dev(&b))
    else {
        return Err(NoComparison::TooFew(first.len(), second.len()));
    };
    let (part_a, part_b) = (sd_a * sd_a / a.len() as f64, sd_b * sd_b / b.len() as f64);
    let (df_a, df_b) = ((a.len() - 1) as f64, (b.len() - 1) as f64);
    let variance = part_a + part_b;
    // Welch and Satterthwaite; without any spread the plain count serves.
    let degrees = if variance > 0.0 {
        variance.powi(2) / (part_a.powi(2) / df_a + part_b.powi(2) / df_b)
    } else {
        df_a + df_b
    };
    Ok(difference(Test::Welch, mean_b - mean_a, variance.sqrt(), degrees))
}

/// Compares pairs: value by value, in the order given (a t test of the logarithms' differences).
///
/// # Errors
/// Sets of different size, fewer than two pairs, or a value that is not positive.
pub fn compare_pairs(first: &[f64], second: &[f64]) -> Result<Difference, NoComparison> {
    if first.len() != second.len() {
        return Err(NoComparison::Unpaired(first.len(), second.len()));
    }
    let (a, b) = logs(first, second)?;
    let steps: Vec<f64> = a.iter().zip(&b).map(|(a, b)| b - a).collect();
    let (Some(step), Some(spread)) = (mean(&steps), std_dev(&steps)) else {
        return Err(NoComparison::TooFew(first.len(), second.len()));
    };
    let count = steps.len() as f64;
    Ok(difference(Test::Paired, step, spread / count.sqrt(), count - 1.0))
}

fn logs(first: &[f64], second: &[f64]) -> Result<(Vec<f64>, Vec<f64>), NoComparison> {
    if first.len() < 2 || second.len() < 2 {
        return Err(NoComparison::TooFew(first.len(), second.len()));
    }
    let positive = |value: &f64| value.is_finite() && *value > 0.0;
    if !first.iter().chain(second).all(positive) {
        return Err(NoComparison::NotPositive);
    }
    let logs = |values: &[f64]| values.iter().map(|value| value.ln()).collect();
    Ok((logs(first), logs(second)))
}

fn difference(test: Test, step: f64, error: f64, degrees: f64) -> Difference {
    let half = two_sided_quantile(TAIL_95, degrees) * error;
    let p = match (error > 0.0, step.abs() > 0.0) {
        (true, _) => two_sided_p(step / error, degrees),
        (false, true) => 0.0,
        (false, false) => 1.0,
    };
    Difference {
        test,
        ratio: step.exp(),
        interval_95: [(step - half).exp(), (step + half).exp()],
        degrees,
        p,
        differs: p < TAIL_95,
    }
}

#[cfg(test)]
mod tests;
