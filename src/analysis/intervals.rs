//! The energy of every marked interval of a recording.

use std::collections::BTreeMap;

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
    let curve = curve(trace)?;
    let known = curve.1.clone().filter(|_| timing != Timing::None);
    let mut curve = curve.0;
    if timing == Timing::None {
        curve.set_timing(Seconds::ZERO, Seconds::ZERO);
    }
    let renewal = curve.renewal();
    let jitter = known.as_ref().map(|known| known.jitter_s);
    let fitted =
        (timing == Timing::Auto).then(|| fitted(&curve, renewal, jitter, intervals)).flatten();
    let mut each = fitted.iter().flat_map(|fitted| &fitted.of_each);
    let energies = intervals
        .iter()
        .map(|interval| one(&curve, interval, interval.work.and_then(|_| each.next())))
        .collect();
    let fitted = fitted.map(|fitted| fitted.mean);
    Ok(Marked { energies, fitted, known, renewal })
}

/// The counter's curve, or where nobody read one, the power's.
fn curve(trace: &Trace) -> Result<(Curve, Option<SensorTiming>), NoEnergy> {
    let of = |sensor: u16| {
        let info = &trace.sensors[usize::from(sensor)];
        Ok::<_, NoEnergy>((Curve::build(info, trace.of(sensor))?, info.timing.clone()))
    };
    match (of(COUNTER), of(INSTANT)) {
        (Ok((counter, timing)), Ok((power, _))) => Ok((counter.shaped_by(&power), timing)),
        (Ok(counter), Err(_)) => Ok(counter),
        (Err(_), Ok(power)) => Ok(power),
        (Err(reason), Err(_)) => Err(reason),
    }
}

/// Fits by bursts of one name: other names are other work.
fn fitted(
    curve: &Curve,
    renewal: Seconds,
    jitter: Option<Seconds>,
    intervals: &[Interval],
) -> Option<Fitted> {
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
        (Some(works), None) => known_work::fit(curve, renewal, jitter, &works),
        _ => None,
    }
}

fn one(curve: &Curve, interval: &Interval, fitted: Option<&Fit>) -> MarkedEnergy {
    let window = Window { from: interval.from, to: interval.to };
    let energy = match fitted {
        None => curve.energy(window),
        Some(fit) => with_fit(curve, fit, window),
    };
    let (joules, random, systematic, reason) = match energy {
        Ok(energy) => (
            Some(energy.joules.0),
            Some(energy.random.0),
            energy.systematic.map(|bound| bound.0),
            None,
        ),
        Err(reason) => (None, None, None, Some(reason.to_string())),
    };
    MarkedEnergy {
        name: interval.name.clone(),
        index: interval.index,
        t0_ns: interval.from,
        t1_ns: interval.to,
        joules,
        uncertainty_joules: random,
        systematic_joules: systematic,
        reason,
    }
}

/// The energy with a fitted lag. What it differs from that with the lag known beforehand is not random: it joins the
/// bound.
fn with_fit(curve: &Curve, fit: &Fit, window: Window) -> Result<Energy, NoEnergy> {
    let beforehand = curve.share(window);
    let mut fitted = curve.clone();
    fitted.set_timing(fit.timing.lag_s, fit.timing.jitter_s);
    let energy = fitted.energy(window)?;
    let moved = beforehand.map_or(0.0, |joules| (joules - energy.joules).0.abs());
    Ok(Energy {
        random: Joules(energy.random.0.hypot(fit.repeats * energy.joules.0)),
        systematic: energy.systematic.map(|bound| bound + Joules(moved)),
        ..energy
    })
}
