//! Power over short times: what a supply or a circuit breaker sees, and a mean over minutes hides.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::{Component, Quantity, Source};
use crate::units::{Joules, Nanos, Watts};

use super::energy::{Channel, Metering};
use super::findings::{Figure, Uncertainty};
use super::stats;
use super::window::{Energy, Window};

/// Lengths of the windows, in nanoseconds.
const LENGTHS: [u64; 2] = [100_000_000, 1_000_000_000];
/// Below this many windows a 99th percentile is hardly below the highest.
const FEW_WINDOWS: usize = 100;

/// Power of the headline's parts over windows of one length, laid end to end over the measured windows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PeakPower {
    /// Length of a window, in seconds.
    pub window_s: f64,
    /// How many there are.
    pub windows: u64,
    /// 99th percentile of their mean powers.
    pub p99: Figure,
    /// The highest.
    pub max: Figure,
}

/// Peak power over each length; `parts` are those of the headline.
#[must_use]
pub fn peaks(metering: &Metering<'_>, parts: &[Component]) -> Vec<PeakPower> {
    LENGTHS.map(|step| peak(metering, parts, step)).into()
}

fn peak(metering: &Metering<'_>, parts: &[Component], step: u64) -> PeakPower {
    let tiles = tiles(&metering.windows, step);
    let length = Nanos(step).since(Nanos(0)).0;
    let unknown = |reason: &str| PeakPower {
        window_s: length,
        windows: tiles.len() as u64,
        p99: Figure::unknown(Watts::UNIT, reason),
        max: Figure::unknown(Watts::UNIT, reason),
    };
    if parts.is_empty() {
        return unknown("the server's energy was not metered");
    }
    if tiles.is_empty() {
        return unknown(&format!("the measured window is shorter than {length} s"));
    }
    let mut powers = match powers(metering, parts, &tiles) {
        Ok(powers) => powers,
        Err(reason) => return unknown(&reason),
    };
    powers.sort_by(|one, other| one.joules.0.total_cmp(&other.joules.0));
    let source = parts.iter().filter_map(|part| metering.source(*part)).max();
    let figure = |q: f64| figure(&powers, q, length, source.unwrap_or(Source::Measured));
    PeakPower { window_s: length, windows: tiles.len() as u64, p99: figure(0.99), max: figure(1.0) }
}

/// Windows of one length, end to end; what is left of a measured window is not one.
fn tiles(windows: &[Window], step: u64) -> Vec<Window> {
    windows
        .iter()
        .flat_map(|window| {
            let count = window.to.0.saturating_sub(window.from.0) / step;
            (0..count).map(|index| {
                let from = Nanos(window.from.0 + index * step);
                Window { from, to: Nanos(from.0 + step) }
            })
        })
        .collect()
}

/// Energy in each window: by the counted sensors, and where those are too slow for it, by power sensors of the same devices.
fn powers(
    metering: &Metering<'_>,
    parts: &[Component],
    tiles: &[Window],
) -> Result<Vec<Energy>, String> {
    let counted: Result<Vec<Energy>, String> =
        tiles.iter().map(|tile| metering.energy_of(parts, *tile)).collect();
    counted.or_else(|reason| {
        let channels = by_power(metering, parts).ok_or_else(|| reason.clone())?;
        let sum = |tile: &Window| {
            channels
                .iter()
                .try_fold(Energy::ZERO, |sum, channel| Ok(sum.plus(channel.energy(*tile)?)))
        };
        tiles.iter().map(sum).collect::<Result<_, String>>().map_err(|_| reason)
    })
}

/// A power sensor for each counted one; none where one of them has none, or only a share of it counts.
fn by_power<'m, 'a>(
    metering: &'m Metering<'a>,
    parts: &[Component],
) -> Option<Vec<&'m Channel<'a>>> {
    parts
        .iter()
        .flat_map(|part| metering.counted(*part))
        .map(|counted| {
            metering.channels.iter().find(|channel| {
                channel.info.quantity == Quantity::Power
                    && channel.info.source == Source::Measured
                    && channel.info.component == counted.info.component
                    && counted.info.component != Component::Cpu
                    && channel.info.device.is_some()
                    && channel.info.device == counted.info.device
            })
        })
        .collect()
}

/// A quantile of sorted energies as power, with the uncertainty of the window nearest to it.
fn figure(sorted: &[Energy], q: f64, length: f64, source: Source) -> Figure {
    let joules: Vec<f64> = sorted.iter().map(|energy| energy.joules.0).collect();
    let Some(value) = stats::percentile(&joules, q) else {
        return Figure::unknown(Watts::UNIT, "there are no windows");
    };
    let nearest = &sorted[(q * (sorted.len() - 1) as f64).round() as usize];
    let mut figure = Figure::known(value / length, Watts::UNIT, source);
    figure.uncertainty = Some(Uncertainty {
        random: nearest.random.0 / length,
        systematic: nearest.systematic.map(Joules::value).map(|bound| bound / length),
    });
    if q < 1.0 && sorted.len() < FEW_WINDOWS {
        figure.note = Some(format!("of only {} windows: hardly below the highest", sorted.len()));
    }
    figure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_lie_end_to_end_and_a_rest_is_left_out() {
        let window = Window { from: Nanos(5), to: Nanos(2_500_000_005) };
        let found =
            tiles(&[window, Window { from: Nanos(0), to: Nanos(999_999_999) }], 1_000_000_000);
        assert_eq!(found.len(), 2);
        assert_eq!(found[1], Window { from: Nanos(1_000_000_005), to: Nanos(2_000_000_005) });
        assert_eq!(tiles(&[window], 100_000_000).len(), 25);
    }

    #[test]
    fn the_99th_percentile_is_below_a_single_spike() {
        let energy = |joules| Energy { joules: Joules(joules), ..Energy::ZERO };
        let mut sorted = vec![energy(10.0); 1000];
        sorted.push(energy(90.0));
        assert_eq!(figure(&sorted, 0.99, 0.1, Source::Measured).value, Some(100.0));
        assert_eq!(figure(&sorted, 1.0, 0.1, Source::Measured).value, Some(900.0));
        assert!(figure(&sorted[..9], 0.99, 0.1, Source::Measured).note.is_some());
    }
}
