//! How late a sensor shows what happened, fitted on a recording of known work.
//!
//! Where the same work was done for different lengths of time and the recording says how much of it, one joule a unit of
//! work has to come out whatever the length: a window that misses the lag of the sensor makes short bursts look cheap. The
//! lag that makes them agree with the longest is the fit, and what bursts of the same work then still differ by, beyond what
//! their edges explain, is stated with them. A burst is never judged by a fit that saw it: the bursts of each length are
//! dealt to two halves, and each half is measured with what was fitted on the other.
//!
//! Limit: the fit cannot tell a slow sensor from work that really costs more when it is short (a GPU that runs into its
//! power cap after a second does the same work for less). So what moves with the lag is part of the systematic bound.

use super::stats;
use super::window::{Curve, Energy, MIN_RENEWALS, Window};
use crate::record::SensorTiming;
use crate::units::Seconds;

/// Lags that are tried, s.
const LONGEST_LAG: f64 = 0.06;
const LAG_STEP: f64 = 0.0005;
/// Uncertainties of an edge that are tried, s.
const JITTERS: (f64, f64) = (0.0005, 0.03);
/// Equal work is never taken to differ by more, relative.
const MOST_REPEATS: f64 = 0.1;
/// Bursts whose lengths differ by less than this factor are of one length.
const SAME_LENGTH: f64 = 1.25;
/// The reference: bursts at least so many times the sensor's renewal period.
const REFERENCE_RENEWALS: f64 = 10.0;
/// Work itself varies by so much, relative: no length weighs more because its few bursts agree by chance.
const WORK_VARIES: f64 = 0.01;
/// Lengths beside the reference that it takes.
const FEWEST_LENGTHS: usize = 2;

/// A burst of work.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    /// When.
    pub window: Window,
    /// How much, in any unit that is the same for all.
    pub amount: f64,
}

/// What to measure bursts with.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// How late the sensor shows an edge, and how surely.
    pub timing: SensorTiming,
    /// Standard deviation of equal work beyond what its edges explain, relative.
    pub repeats: f64,
}

/// What to measure each burst with, fitted without it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// In the order of the bursts given.
    pub of_each: Vec<Fit>,
    /// The mean of both halves' fits, to tell.
    pub mean: Fit,
}

/// A burst with its length class and its half.
struct Burst {
    work: Work,
    class: usize,
    half: bool,
}

/// Fits the timing of a counter by bursts of known work; `jitter` is the uncertainty of an edge where it is known of the
/// sensor, elsewhere it is fitted too. None where the recording does not have enough lengths of known work.
#[must_use]
pub fn fit(curve: &Curve, jitter: Option<Seconds>, works: &[Work]) -> Option<Fitted> {
    let bursts = deal(works);
    let one = fit_half(curve, jitter, &bursts, true)?;
    let other = fit_half(curve, jitter, &bursts, false)?;
    let of_each =
        bursts.iter().map(|burst| if burst.half { other.clone() } else { one.clone() }).collect();
    let middle = |a: Seconds, b: Seconds| Seconds(a.0.midpoint(b.0));
    let timing = SensorTiming {
        lag_s: middle(one.timing.lag_s, other.timing.lag_s),
        jitter_s: middle(one.timing.jitter_s, other.timing.jitter_s),
        source: one.timing.source,
    };
    Some(Fitted { of_each, mean: Fit { timing, repeats: one.repeats.midpoint(other.repeats) } })
}

/// Sorts bursts into lengths and deals those of a length to the two halves in turn.
fn deal(works: &[Work]) -> Vec<Burst> {
    let mut order: Vec<usize> = (0..works.len()).collect();
    order.sort_by(|a, b| length(&works[*a]).total_cmp(&length(&works[*b])));
    let mut classes = vec![0; works.len()];
    let mut class = 0;
    let mut shortest = order.first().map_or(0.0, |index| length(&works[*index]));
    for index in order {
        if length(&works[index]) > SAME_LENGTH * shortest {
            class += 1;
            shortest = length(&works[index]);
        }
        classes[index] = class;
    }
    let mut dealt = vec![false; class + 1];
    works
        .iter()
        .zip(classes)
        .map(|(work, class)| {
            dealt[class] = !dealt[class];
            Burst { work: *work, class, half: dealt[class] }
        })
        .collect()
}

fn length(work: &Work) -> f64 {
    work.window.length().0
}

fn fit_half(curve: &Curve, known: Option<Seconds>, bursts: &[Burst], half: bool) -> Option<Fit> {
    let renewal = curve.renewal();
    let resolved = |burst: &&Burst| length(&burst.work) >= MIN_RENEWALS * renewal.0;
    let seen: Vec<&Burst> =
        bursts.iter().filter(|burst| burst.half == half).filter(resolved).collect();
    let reference = seen.iter().map(|burst| burst.class).max()?;
    let long = seen.iter().find(|burst| burst.class == reference)?;
    if length(&long.work) < REFERENCE_RENEWALS * renewal.0 {
        return None;
    }
    let mut classes: Vec<usize> = seen.iter().map(|burst| burst.class).collect();
    classes.sort_unstable();
    classes.dedup();
    if classes.len() <= FEWEST_LENGTHS {
        return None;
    }
    let mut curve = curve.clone();
    let (mut lag, mut best) = (0.0, f64::INFINITY);
    let mut tried = 0.0;
    while tried <= LONGEST_LAG {
        curve.set_timing(Seconds(tried), Seconds(JITTERS.0));
        let cost = cost(&curve, &seen, &classes, reference)?;
        if cost < best {
            (lag, best) = (tried, cost);
        }
        tried += LAG_STEP;
    }
    let jitter = known.or_else(|| jitter(&mut curve, lag, &seen, &classes, reference))?;
    curve.set_timing(Seconds(lag), jitter);
    let source = "fitted on the known work of this recording".to_owned();
    Some(Fit {
        timing: SensorTiming { lag_s: Seconds(lag), jitter_s: jitter, source },
        repeats: repeats(&deviations(&curve, &seen, reference)?),
    })
}

/// Deviations of a burst's energy from what the reference makes of its work, relative.
fn deviations(curve: &Curve, seen: &[&Burst], reference: usize) -> Option<Vec<(usize, f64, f64)>> {
    let energy = |burst: &Burst| curve.energy(burst.work.window).ok();
    let of_reference: Vec<(Energy, f64)> = seen
        .iter()
        .filter(|burst| burst.class == reference)
        .filter_map(|burst| Some((energy(burst)?, burst.work.amount)))
        .collect();
    let amount: f64 = of_reference.iter().map(|(_, amount)| amount).sum();
    let unit = of_reference.iter().map(|(energy, _)| energy.joules.0).sum::<f64>() / amount;
    (unit.is_finite() && unit > 0.0).then(|| {
        seen.iter()
            .filter(|burst| burst.class != reference)
            .filter_map(|burst| {
                let (energy, expected) = (energy(burst)?, unit * burst.work.amount);
                let deviation = energy.joules.0 / expected - 1.0;
                Some((burst.class, deviation, energy.random.0 / expected))
            })
            .collect()
    })
}

/// How far the lengths are from agreeing, in units of what they vary.
fn cost(curve: &Curve, seen: &[&Burst], classes: &[usize], reference: usize) -> Option<f64> {
    let all = deviations(curve, seen, reference)?;
    let of = |class: &usize| -> Vec<f64> {
        all.iter().filter(|(of, _, _)| of == class).map(|(_, deviation, _)| *deviation).collect()
    };
    let one = |values: Vec<f64>| {
        let mean = stats::mean(&values)?;
        let spread = stats::std_dev(&values).unwrap_or(0.0);
        #[expect(clippy::cast_precision_loss, reason = "a count of bursts")]
        let count = values.len() as f64;
        Some(count * mean * mean / (spread * spread + WORK_VARIES * WORK_VARIES))
    };
    Some(classes.iter().map(of).filter_map(one).sum())
}

/// The uncertainty of an edge with which bursts of a length lie as far from their mean as is stated.
fn jitter(
    curve: &mut Curve,
    lag: f64,
    seen: &[&Burst],
    classes: &[usize],
    reference: usize,
) -> Option<Seconds> {
    let mut known = true;
    let jitter = stats::bisect(JITTERS, |jitter| {
        curve.set_timing(Seconds(lag), Seconds(jitter));
        let squares = deviations(curve, seen, reference)
            .map(|all| classes.iter().flat_map(|class| scores(&all, *class)).collect::<Vec<f64>>());
        let mean = squares.and_then(|squares| stats::mean(&squares));
        known &= mean.is_some();
        mean.is_some_and(|mean| mean > 1.0)
    });
    known.then_some(Seconds(jitter))
}

/// Squared deviations of the bursts of a length from their mean, in uncertainties; freedom lost to the mean is given back.
fn scores(all: &[(usize, f64, f64)], class: usize) -> Vec<f64> {
    let of: Vec<(f64, f64)> =
        all.iter().filter(|one| one.0 == class).map(|one| (one.1, one.2)).collect();
    let deviations: Vec<f64> = of.iter().map(|one| one.0).collect();
    let Some(middle) = stats::mean(&deviations).filter(|_| of.len() > 1) else { return Vec::new() };
    #[expect(clippy::cast_precision_loss, reason = "a count of bursts")]
    let freedom = of.len() as f64 / (of.len() - 1) as f64;
    of.iter().map(|(deviation, u)| freedom * ((deviation - middle) / u).powi(2)).collect()
}

/// The share by which bursts of equal work have to differ, beside their edges, for their distances from the reference to be
/// what is stated.
fn repeats(all: &[(usize, f64, f64)]) -> f64 {
    stats::bisect((0.0, MOST_REPEATS), |repeats| {
        let squares: Vec<f64> =
            all.iter().map(|(_, d, u)| d * d / (u * u + repeats * repeats)).collect();
        stats::mean(&squares).is_some_and(|mean| mean > 1.0)
    })
}
