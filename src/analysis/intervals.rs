//! The energy of every marked interval of a recording.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::known_work::{self, Fit, Fitted, Work};
use super::window::{Curve, Energy, NoEnergy, Window};
use crate::record::SensorTiming;
use crate::trace::{COUNTER, INSTANT, Interval, Trace};
use crate::units::{Joules, Nanos, Seconds};

/// Which timing of the sensor to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// Fitted on the recording where it has known work of several lengths, else as [`Timing::Known`].
    Auto,
    /// What is known of the sensor beforehand.
    Known,
    /// None: windows are taken as marked.
    None,
}

/// The energy of an interval, or why there is none. One line of the command's output.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MarkedEnergy {
    /// `burst`, `series`, ...
    pub name: String,
    /// Position among those of its name, by time.
    pub index: usize,
    /// Begin.
    pub t0_ns: Nanos,
    /// End.
    pub t1_ns: Nanos,
    /// The energy; null where the sensor cannot tell.
    pub joules: Option<f64>,
    /// One standard uncertainty of what varies.
    pub uncertainty_joules: Option<f64>,
    /// Bound of what does not vary: the sensor's gain, and what the choice of its lag moves.
    pub systematic_joules: Option<f64>,
    /// Why there is no energy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Energies with what they were measured by.
#[derive(Debug, Clone, PartialEq)]
pub struct Marked {
    /// In order of time.
    pub energies: Vec<MarkedEnergy>,
    /// What was fitted on the known work of the recording, and used for it.
    pub fitted: Option<Fit>,
    /// What is known of the sensor beforehand, and used for everything else; none where no lag was taken off.
    pub known: Option<SensorTiming>,
    /// How often the counter renews its value.
    pub renewal: Seconds,
}

/// Measures every interval of a recording.
///
/// # Errors
/// When the recording has no counter and no power to integrate.
pub fn measure(trace: &Trace, intervals: &[Interval], timing: Timing) -> Result<Marked, NoEnergy> {
    let (mut curve, known) = curve(trace)?;
    let known = known.filter(|_| timing != Timing::None);
    if timing == Timing::None {
        curve.set_timing(Seconds::ZERO, Seconds::ZERO);
    }
    let jitter = known.as_ref().map(|known| known.jitter_s);
    let fitted = (timing == Timing::Auto).then(|| fitted(&curve, jitter, intervals)).flatten();
    let mut each = fitted.iter().flat_map(|fitted| &fitted.of_each);
    // The same curve, with the lag of whichever fit is asked for.
    let mut refitted = curve.clone();
    let energies = intervals
        .iter()
        .map(|interval| {
            let window = Window { from: interval.from, to: interval.to };
            let energy = match interval.work.and_then(|_| each.next()) {
                None => curve.energy(window),
                Some(fit) => with_fit(&curve, &mut refitted, fit, window),
            };
            MarkedEnergy::of(interval, energy)
        })
        .collect();
    let fitted = fitted.map(|fitted| fitted.mean);
    Ok(Marked { energies, fitted, known, renewal: curve.renewal() })
}

/// The counter's curve, or where nobody read one, the power's.
fn curve(trace: &Trace) -> Result<(Curve, Option<SensorTiming>), NoEnergy> {
    let of = |sensor: u16| {
        let info = &trace.sensors[usize::from(sensor)];
        Ok::<_, NoEnergy>((Curve::build(info, trace.of(sensor))?, info.timing.clone()))
    };
    match (of(COUNTER), of(INSTANT)) {
        (Ok((mut counter, timing)), Ok((power, _))) => {
            counter.shape_by(&Arc::new(power));
            Ok((counter, timing))
        }
        (Ok(counter), Err(_)) => Ok(counter),
        (Err(_), Ok(power)) => Ok(power),
        (Err(reason), Err(_)) => Err(reason),
    }
}

/// Fits by bursts of one name: other names are other work.
fn fitted(curve: &Curve, jitter: Option<Seconds>, intervals: &[Interval]) -> Option<Fitted> {
    let mut names: BTreeMap<&str, Vec<Work>> = BTreeMap::new();
    for interval in intervals {
        if let Some(amount) = interval.work {
            let window = Window { from: interval.from, to: interval.to };
            names.entry(&interval.name).or_default().push(Work { window, amount });
        }
    }
    // With several kinds of work there is no one unit to compare.
    let mut kinds = names.into_values();
    match (kinds.next(), kinds.next()) {
        (Some(works), None) => known_work::fit(curve, jitter, &works),
        _ => None,
    }
}

impl MarkedEnergy {
    fn of(interval: &Interval, energy: Result<Energy, NoEnergy>) -> Self {
        let (energy, reason) = match energy {
            Ok(energy) => (Some(energy), None),
            Err(reason) => (None, Some(reason.to_string())),
        };
        Self {
            name: interval.name.clone(),
            index: interval.index,
            t0_ns: interval.from,
            t1_ns: interval.to,
            joules: energy.map(|energy| energy.joules.0),
            uncertainty_joules: energy.map(|energy| energy.random.0),
            systematic_joules: energy.and_then(|energy| Some(energy.systematic?.0)),
            reason,
        }
    }
}

/// The energy with a fitted lag. What it differs from that with the lag known beforehand is not random: it joins the
/// bound.
fn with_fit(
    curve: &Curve,
    fitted: &mut Curve,
    fit: &Fit,
    window: Window,
) -> Result<Energy, NoEnergy> {
    let beforehand = curve.share(window);
    fitted.set_timing(fit.timing.lag_s, fit.timing.jitter_s);
    let energy = fitted.energy(window)?;
    let moved = beforehand.map_or(0.0, |joules| (joules - energy.joules).0.abs());
    Ok(Energy {
        random: Joules(energy.random.0.hypot(fit.repeats * energy.joules.0)),
        systematic: energy.systematic.map(|bound| bound + Joules(moved)),
        ..energy
    })
}
