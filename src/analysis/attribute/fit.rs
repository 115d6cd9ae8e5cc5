//! Weights by non-negative least squares on the energy of intervals.

use super::weights::{PARAMETERS, Weights};
use super::work::Work;

/// Intervals below which nothing is fitted.
pub const MIN_INTERVALS: usize = 12;
/// Makes columns that depend on one another invertible, so that their uncertainty is large and not unknown.
const RIDGE: f64 = 1e-7;

/// One interval: all its work, and its energy without the idle energy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// Work of all requests in it.
    pub work: Work,
    /// Energy beyond idling, J.
    pub joules: f64,
}

/// Weights in joules with how far they are known.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// The weights.
    pub weights: Weights,
    /// Covariance of the four parameters.
    pub covariance: [[f64; PARAMETERS]; PARAMETERS],
    /// Share of the work's cost that is prefill's.
    pub prefill_share: f64,
    /// Its standard uncertainty.
    pub prefill_share_uncertainty: f64,
    /// Root of the mean square of what the fit leaves, over the mean energy of an interval.
    pub residual: f64,
    /// Intervals.
    pub intervals: usize,
}

/// Fits the weights.
///
/// # Errors
/// In words, when there are too few intervals or no work in them.
pub fn fit(observations: &[Observation]) -> Result<Fitted, String> {
    let count = observations.len();
    if count < MIN_INTERVALS {
        return Err(format!("{count} intervals are too few, {MIN_INTERVALS} are needed"));
    }
    let rows: Vec<[f64; PARAMETERS]> = observations.iter().map(|one| one.work.features()).collect();
    let scales = scales(&rows);
    if scales.iter().all(|scale| *scale <= 0.0) {
        return Err("there was no work".to_owned());
    }
    let system = System::of(&rows, observations, scales);
    let (mask, solution) = system.best().ok_or("the intervals do not tell the weights apart")?;
    let parameters = unscale(solution, scales);
    let squares: f64 = rows
        .iter()
        .zip(observations)
        .map(|(row, one)| (dot(row, &parameters) - one.joules).powi(2))
        .sum();
    let free = count.saturating_sub(mask.count_ones() as usize).max(1);
    let covariance = system.covariance(squares / free as f64, scales);
    let total = observations.iter().fold(Sums::default(), |sums, one| sums.plus(&one.work));
    let (prefill_share, prefill_share_uncertainty) = share(&total, &parameters, &covariance);
    let mean = observations.iter().map(|one| one.joules).sum::<f64>() / count as f64;
    Ok(Fitted {
        weights: Weights::of_parameters(parameters),
        covariance,
        prefill_share,
        prefill_share_uncertainty,
        residual: (squares / count as f64).sqrt() / mean.abs().max(f64::MIN_POSITIVE),
        intervals: count,
    })
}

fn dot(one: &[f64; PARAMETERS], two: &[f64; PARAMETERS]) -> f64 {
    one.iter().zip(two).map(|(one, two)| one * two).sum()
}

/// Root mean squares of the columns, so that tokens and their contexts weigh alike in the arithmetic.
fn scales(rows: &[[f64; PARAMETERS]]) -> [f64; PARAMETERS] {
    std::array::from_fn(|column| {
        let squares: f64 = rows.iter().map(|row| row[column].powi(2)).sum();
        (squares / rows.len() as f64).sqrt()
    })
}

fn unscale(solution: [f64; PARAMETERS], scales: [f64; PARAMETERS]) -> [f64; PARAMETERS] {
    std::array::from_fn(
        |column| if scales[column] > 0.0 { solution[column] / scales[column] } else { 0.0 },
    )
}

/// The normal equations of the scaled columns.
struct System {
    matrix: [[f64; PARAMETERS]; PARAMETERS],
    right: [f64; PARAMETERS],
    /// Columns that are not nothing.
    present: u32,
}

impl System {
    fn of(
        rows: &[[f64; PARAMETERS]],
        observations: &[Observation],
        scales: [f64; PARAMETERS],
    ) -> Self {
        let mut matrix = [[0.0; PARAMETERS]; PARAMETERS];
        let mut right = [0.0; PARAMETERS];
        let scaled = |row: &[f64; PARAMETERS], column: usize| {
            if scales[column] > 0.0 { row[column] / scales[column] } else { 0.0 }
        };
        for (row, one) in rows.iter().zip(observations) {
            for i in 0..PARAMETERS {
                right[i] += scaled(row, i) * one.joules;
                for (j, cell) in matrix[i].iter_mut().enumerate() {
                    *cell += scaled(row, i) * scaled(row, j);
                }
            }
        }
        let present =
            (0..PARAMETERS).filter(|i| scales[*i] > 0.0).fold(0, |mask, i| mask | (1 << i));
        Self { matrix, right, present }
    }

    /// The best non-negative solution. With four parameters all their subsets can be tried, so it is exact.
    fn best(&self) -> Option<(u32, [f64; PARAMETERS])> {
        let mut best: Option<(f64, u32, [f64; PARAMETERS])> = None;
        for mask in (1..1_u32 << PARAMETERS).filter(|mask| mask & !self.present == 0) {
            let Some(inverse) = invert(&self.matrix, mask) else { continue };
            let solution: [f64; PARAMETERS] =
                std::array::from_fn(|i| dot(&inverse[i], &self.right));
            if solution.iter().any(|value| *value < 0.0) {
                continue;
            }
            // The squares left are those of the data less this.
            let explained = dot(&solution, &self.right);
            if best.is_none_or(|(most, ..)| explained > most * (1.0 + 1e-12)) {
                best = Some((explained, mask, solution));
            }
        }
        best.map(|(_, mask, solution)| (mask, solution))
    }

    /// Of all columns, also of those that the solution left out: that a weight came out as nothing says little where
    /// another could have taken its place.
    fn covariance(
        &self,
        variance: f64,
        scales: [f64; PARAMETERS],
    ) -> [[f64; PARAMETERS]; PARAMETERS] {
        let mut ridged = self.matrix;
        for (i, row) in ridged.iter_mut().enumerate() {
            row[i] *= 1.0 + RIDGE;
        }
        let inverse = invert(&ridged, self.present).unwrap_or_default();
        std::array::from_fn(|i| {
            std::array::from_fn(|j| {
                let scale = scales[i] * scales[j];
                if scale > 0.0 { variance * inverse[i][j] / scale } else { 0.0 }
            })
        })
    }
}

/// Inverse of the rows and columns of a mask, nothing elsewhere; none where they depend on one another.
fn invert(
    matrix: &[[f64; PARAMETERS]; PARAMETERS],
    mask: u32,
) -> Option<[[f64; PARAMETERS]; PARAMETERS]> {
    let inside = |i: usize| mask & (1 << i) != 0;
    let mut left = [[0.0; PARAMETERS]; PARAMETERS];
    let mut right = [[0.0; PARAMETERS]; PARAMETERS];
    for i in 0..PARAMETERS {
        for j in 0..PARAMETERS {
            left[i][j] = if inside(i) && inside(j) { matrix[i][j] } else { f64::from(i == j) };
        }
        right[i][i] = 1.0;
    }
    for pivot in 0..PARAMETERS {
        let size = matrix[pivot][pivot].abs().max(1.0);
        let value = left[pivot][pivot];
        // The columns are scaled to one another: less than this is nothing but rounding.
        if value <= 1e-10 * size {
            return None;
        }
        for j in 0..PARAMETERS {
            left[pivot][j] /= value;
            right[pivot][j] /= value;
        }
        for i in (0..PARAMETERS).filter(|i| *i != pivot) {
            let factor = left[i][pivot];
            for j in 0..PARAMETERS {
                left[i][j] -= factor * left[pivot][j];
                right[i][j] -= factor * right[pivot][j];
            }
        }
    }
    Some(std::array::from_fn(|i| {
        std::array::from_fn(|j| if inside(i) && inside(j) { right[i][j] } else { 0.0 })
    }))
}

/// Sums of work.
#[derive(Default)]
struct Sums {
    prefill: [f64; PARAMETERS],
    all: [f64; PARAMETERS],
}

impl Sums {
    fn plus(mut self, work: &Work) -> Self {
        let features = work.features();
        for (sum, value) in self.all.iter_mut().zip(features) {
            *sum += value;
        }
        self.prefill[0] += features[0];
        self.prefill[PARAMETERS - 1] += work.prefill_steps;
        self
    }
}

/// Prefill's share of the cost, and its standard uncertainty to first order.
fn share(
    sums: &Sums,
    parameters: &[f64; PARAMETERS],
    covariance: &[[f64; PARAMETERS]; PARAMETERS],
) -> (f64, f64) {
    let all = dot(&sums.all, parameters);
    if all <= 0.0 {
        return (0.0, f64::INFINITY);
    }
    let share = dot(&sums.prefill, parameters) / all;
    let gradient: [f64; PARAMETERS] =
        std::array::from_fn(|i| (sums.prefill[i] - share * sums.all[i]) / all);
    let variance: f64 = (0..PARAMETERS).map(|i| gradient[i] * dot(&covariance[i], &gradient)).sum();
    (share, variance.max(0.0).sqrt())
}

/// Vectors whose squares add up to the covariance: one standard uncertainty each, independent of one another.
#[must_use]
pub fn directions(covariance: &[[f64; PARAMETERS]; PARAMETERS]) -> [[f64; PARAMETERS]; PARAMETERS] {
    let mut root = [[0.0; PARAMETERS]; PARAMETERS];
    for i in 0..PARAMETERS {
        for j in 0..=i {
            let rest = covariance[i][j] - (0..j).map(|k| root[i][k] * root[j][k]).sum::<f64>();
            root[i][j] = if i == j {
                rest.max(0.0).sqrt()
            } else if root[j][j] > 0.0 {
                rest / root[j][j]
            } else {
                0.0
            };
        }
    }
    std::array::from_fn(|column| std::array::from_fn(|row| root[row][column]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn observation(prefill: f64, decode: f64, steps: f64, joules: f64) -> Observation {
        let work = Work {
            prefill,
            decode,
            context: 50.0 * decode,
            decode_steps: steps,
            ..Work::default()
        };
        Observation { work, joules }
    }

    #[test]
    fn known_costs_are_found_again() {
        let rows: Vec<Observation> = (0..40)
            .map(|n| {
                let (prefill, decode) = (f64::from(n % 7) * 100.0, f64::from(n % 5) * 40.0);
                let steps = f64::from(n % 3) * 10.0 + 5.0;
                observation(prefill, decode, steps, 0.02 * prefill + 0.05 * decode + 1.5 * steps)
            })
            .collect();
        let fitted = fit(&rows).unwrap();
        assert!((fitted.weights.prefill - 0.02).abs() < 1e-6, "{fitted:?}");
        assert!((fitted.weights.step - 1.5).abs() < 1e-6, "{fitted:?}");
        assert!(fitted.prefill_share_uncertainty < 1e-6);
    }

    #[test]
    fn a_constant_mix_does_not_tell_prefill_from_decode() {
        let rows: Vec<Observation> = (0..40)
            .map(|n| {
                let noise = if n % 2 == 0 { 1.0 } else { -1.0 };
                let amount = f64::from(n % 3) + 10.0;
                observation(10.0 * amount, amount, amount, 5.0 * amount + noise)
            })
            .collect();
        // Whatever is fitted, the uncertainty says that the share is not known.
        assert!(fit(&rows).unwrap().prefill_share_uncertainty > 0.5);
    }

    proptest! {
        #[test]
        fn weights_are_never_negative(
            numbers in prop::collection::vec((0.0..100.0_f64, 0.0..100.0_f64, 0.0..9.0_f64, -50.0..500.0_f64), 12..60)
        ) {
            let rows: Vec<Observation> =
                numbers.iter().map(|(p, d, s, j)| observation(*p, *d, *s, *j)).collect();
            if let Ok(fitted) = fit(&rows) {
                prop_assert!(fitted.weights.parameters().iter().all(|value| *value >= 0.0));
            }
        }
    }
}
