//! The energy of intervals that the sensors resolve.

use crate::record::Component;
use crate::units::{Joules, Nanos, Seconds};

use super::super::energy::Metering;
use super::super::stats;
use super::super::window::Window;
use super::split::Intervals;
use super::work::Grid;

/// Shortest intervals that are tried, s.
const SHORTEST_S: f64 = 0.1;
/// So many of the intervals must have an energy that the sensors stand for.
const RESOLVED: f64 = 0.95;
/// Median random uncertainty of an interval that is short enough, as a share of its energy.
const RANDOM: f64 = 0.05;
/// Less than this of an interval's energy is rounding.
const ROUNDING: f64 = 1e-9;
/// A window of fewer intervals is one interval.
const FEWEST: usize = 3;

/// The shortest intervals whose energy the sensors resolve; the whole window where none do.
///
/// # Errors
/// In words, when the energy of the window itself is not known.
pub fn of_window(
    metering: &Metering<'_>,
    parts: &[Component],
    window: Window,
    idle_watts: Option<f64>,
) -> Result<Intervals, String> {
    let whole = metering.energy_of(parts, window)?;
    let length = window.length().0;
    let mut width = parts
        .iter()
        .flat_map(|part| metering.counted(*part))
        .filter_map(|channel| channel.info.update_period_s)
        .fold(SHORTEST_S, |longest, period| longest.max(period.0));
    let mut found = None;
    while found.is_none() && width * FEWEST as f64 <= length {
        let grid = Grid::new(length, width);
        found = resolved(metering, parts, window, &grid).map(|values| (grid, values));
        width *= 2.0;
    }
    let (grid, (mut joules, variance)) = found.unwrap_or_else(|| {
        let grid = Grid { width: length, bins: 1, length };
        (grid, (vec![whole.joules.0], vec![whole.random.0.powi(2)]))
    });
    // Intervals share the window's curve, so this is rounding; where a meter shapes them otherwise, the window's energy counts.
    let sum: f64 = joules.iter().sum();
    if sum > 0.0 && whole.joules.0 > 0.0 {
        let factor = whole.joules.0 / sum;
        joules.iter_mut().for_each(|joules| *joules *= factor);
    }
    let idle = (0..grid.bins).map(|bin| idle(idle_watts, &grid, bin, joules[bin])).collect();
    Ok(Intervals { grid, joules, idle, variance })
}

/// What idling would have used in an interval. A constant model's is all of it but for the last bits of its numbers.
fn idle(watts: Option<f64>, grid: &Grid, bin: usize, joules: f64) -> f64 {
    let (from, to) = grid.span(bin);
    let idle = watts.unwrap_or(0.0) * (to - from);
    if (idle - joules).abs() <= ROUNDING * joules.abs() { joules } else { idle }
}

/// Part of a window.
fn part(window: Window, (from, to): (f64, f64)) -> Window {
    let at = |seconds: f64| Nanos(window.from.offset(Seconds(seconds)).0.min(window.to.0));
    Window { from: at(from), to: at(to) }
}

/// Energy and variance of every interval, if they are resolved.
fn resolved(
    metering: &Metering<'_>,
    parts: &[Component],
    window: Window,
    grid: &Grid,
) -> Option<(Vec<f64>, Vec<f64>)> {
    let mut joules = Vec::with_capacity(grid.bins);
    let mut variances: Vec<Option<f64>> = Vec::with_capacity(grid.bins);
    let mut relative = Vec::with_capacity(grid.bins);
    for bin in 0..grid.bins {
        let slice = part(window, grid.span(bin));
        joules.push(share(metering, parts, slice)?.0);
        let energy = metering.energy_of(parts, slice).ok();
        if let Some(energy) = energy.filter(|energy| energy.joules.0 > 0.0) {
            relative.push(energy.random.0 / energy.joules.0);
        }
        variances.push(energy.map(|energy| energy.random.0.powi(2)));
    }
    let known = variances.iter().flatten().count() as f64;
    relative.sort_by(f64::total_cmp);
    let random = stats::percentile(&relative, 0.5)?;
    if known < RESOLVED * grid.bins as f64 || random > RANDOM {
        return None;
    }
    let usual = variances.iter().flatten().sum::<f64>() / known;
    Some((joules, variances.into_iter().map(|variance| variance.unwrap_or(usual)).collect()))
}

/// The curves' difference, however short.
fn share(metering: &Metering<'_>, parts: &[Component], slice: Window) -> Option<Joules> {
    let mut sum = Joules::ZERO;
    for channel in parts.iter().flat_map(|part| metering.counted(*part)) {
        sum += channel.curve.as_ref().ok()?.share(slice).ok()?;
    }
    Some(sum)
}
