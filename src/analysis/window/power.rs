//! From the reads of a power sensor to a curve of energy.

use super::{Knot, Read};

/// A value that is still the same after this share of a renewal period was renewed to the same.
const RENEWED: f64 = 0.9;

/// Trapezoids between the renewals of a power sensor: reading it more often than it renews itself tells nothing new and
/// would only show every value late.
pub(super) fn knots(reads: &[Read], resolution: Option<f64>, update: f64) -> Vec<Knot> {
    let mut knots: Vec<Knot> = Vec::with_capacity(reads.len());
    for read in reads {
        let (at, power) = (read.middle(), read.value);
        let (energy, variance) = match knots.last() {
            None => (0.0, 0.0),
            Some(last) if at <= last.at => continue,
            Some(last)
                if at - last.at < RENEWED * update && last.power.total_cmp(&power).is_eq() =>
            {
                continue;
            }
            Some(last) => {
                let gap = at - last.at;
                let shape = ((power - last.power) * gap).powi(2) / 12.0;
                let step = (resolution.unwrap_or(0.0) * gap).powi(2) / 12.0;
                let energy = last.energy + last.power.midpoint(power) * gap;
                (energy, last.variance + shape + step)
            }
        };
        knots.push(Knot { at, energy, timing: (read.after - read.before) / 2.0, power, variance });
    }
    knots
}
