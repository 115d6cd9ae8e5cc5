//! The energy of intervals that the sensors resolve.

use crate::record::{Component, Quantity};
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

/// The shortest intervals whose energy the sensors resolve; the whole windows where none do.
///
/// # Errors
/// In words, when the energy of the windows themselves is not known.
pub fn of_windows(
    metering: &Metering<'_>,
    parts: &[Component],
    origin: Nanos,
    idle_watts: Option<f64>,
) -> Result<Intervals, String> {
    let whole = metering.measured_energy(parts)?;
    let seconds = |at: Nanos| at.since(origin).0;
    let windows: Vec<(f64, f64)> = metering
        .windows
        .iter()
        .map(|window| (seconds(window.from), seconds(window.to)))
        .filter(|(from, to)| to > from)
        .collect();
    let shortest = windows.iter().map(|(from, to)| to - from).fold(f64::INFINITY, f64::min);
    let mut width = parts
        .iter()
        .flat_map(|part| metering.counted(*part))
        .filter_map(|channel| channel.info.update_period_s)
        .fold(SHORTEST_S, |longest, period| longest.max(period.0));
    let look = Look { metering, parts, origin };
    let renewals = look.renewals();
    let mut found = None;
    while found.is_none() && width * FEWEST as f64 <= shortest {
        // Where intervals that follow the renewals are too short here and there, even ones may do.
        let even = (!renewals.is_empty()).then_some([].as_slice());
        found = [renewals.as_slice()].into_iter().chain(even).find_map(|moments| {
            let grid = Grid::at(&windows, width, moments);
            let values = look.resolved(&grid)?;
            Some((grid, values))
        });
        width *= 2.0;
    }
    let (grid, (mut joules, variance)) = match found {
        Some(found) => found,
        None => {
            let grid = Grid::new(&windows, f64::INFINITY);
            let values = look.whole(&grid)?;
            (grid, values)
        }
    };
    // Intervals share the windows' curve, so this is rounding; where a meter shapes them otherwise, the windows' energy counts.
    let sum: f64 = joules.iter().sum();
    if sum > 0.0 && whole.joules.0 > 0.0 {
        let factor = whole.joules.0 / sum;
        joules.iter_mut().for_each(|joules| *joules *= factor);
    }
    let idle = (0..grid.len()).map(|bin| idle(idle_watts, &grid, bin, joules[bin])).collect();
    Ok(Intervals { grid, joules, idle, variance })
}

/// What idling would have used in an interval. A constant model's is all of it but for the last bits of its numbers.
fn idle(watts: Option<f64>, grid: &Grid, bin: usize, joules: f64) -> f64 {
    let (from, to) = grid.span(bin);
    let idle = watts.unwrap_or(0.0) * (to - from);
    if (idle - joules).abs() <= ROUNDING * joules.abs() { joules } else { idle }
}

/// Where energy is looked up.
struct Look<'l, 'a> {
    metering: &'l Metering<'a>,
    parts: &'l [Component],
    origin: Nanos,
}

/// Energy and variance of each interval.
type Values = (Vec<f64>, Vec<f64>);

impl Look<'_, '_> {
    fn window(&self, (from, to): (f64, f64)) -> Window {
        let at = |seconds: f64| self.origin.offset(Seconds(seconds));
        Window { from: at(from), to: at(to) }
    }

    /// When the counter of the most energy renewed itself, as far as its reads show; none without a counter.
    fn renewals(&self) -> Vec<f64> {
        let counters = self.parts.iter().flat_map(|part| self.metering.counted(*part));
        let curves = counters
            .filter(|channel| channel.info.quantity == Quantity::EnergyCounter)
            .filter_map(|channel| channel.curve.as_ref().ok());
        let most = curves.max_by(|one, two| one.total().0.total_cmp(&two.total().0));
        let seconds = |at: Nanos| at.since(self.origin).0 - self.origin.since(at).0;
        most.map(|curve| curve.renewals().map(seconds).collect()).unwrap_or_default()
    }

    /// Energy and variance of every interval, if they are resolved.
    fn resolved(&self, grid: &Grid) -> Option<Values> {
        let mut joules = Vec::with_capacity(grid.len());
        let mut variances: Vec<Option<f64>> = Vec::with_capacity(grid.len());
        let mut relative = Vec::with_capacity(grid.len());
        for bin in 0..grid.len() {
            let slice = self.window(grid.span(bin));
            joules.push(self.share(slice)?.0);
            let energy = self.metering.energy_of(self.parts, slice).ok();
            if let Some(energy) = energy.filter(|energy| energy.joules.0 > 0.0) {
                relative.push(energy.random.0 / energy.joules.0);
            }
            variances.push(energy.map(|energy| energy.random.0.powi(2)));
        }
        let known = variances.iter().flatten().count() as f64;
        relative.sort_by(f64::total_cmp);
        let random = stats::percentile(&relative, 0.5)?;
        if known < RESOLVED * grid.len() as f64 || random > RANDOM {
            return None;
        }
        let usual = variances.iter().flatten().sum::<f64>() / known;
        let variances = variances.into_iter().map(|variance| variance.unwrap_or(usual)).collect();
        Some((joules, variances))
    }

    /// The same of whole windows, whose energy must be known.
    fn whole(&self, grid: &Grid) -> Result<Values, String> {
        let mut values = (Vec::new(), Vec::new());
        for bin in 0..grid.len() {
            let energy = self.metering.energy_of(self.parts, self.window(grid.span(bin)))?;
            values.0.push(energy.joules.0);
            values.1.push(energy.random.0.powi(2));
        }
        Ok(values)
    }

    /// The curves' difference, however short.
    fn share(&self, slice: Window) -> Option<Joules> {
        let mut sum = Joules::ZERO;
        for channel in self.parts.iter().flat_map(|part| self.metering.counted(*part)) {
            sum += channel.curve.as_ref().ok()?.share(slice).ok()?;
        }
        Some(sum)
    }
}
