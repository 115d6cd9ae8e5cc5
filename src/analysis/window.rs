//! The energy of any interval from one sensor's samples.
//!
//! A sensor's reads become a curve of cumulative energy `E(t)`, and the energy of a window is
//! `E(to) - E(from)`. All windows share the curve, so adjacent ones add up exactly.
//!
//! **Energy counters.** The counter is unwrapped (`wrap_at`), then only its *changes* are kept. The
//! moment of a change lies between the read that still showed the old value and the read that
//! showed the new one, and no earlier than one update period before the latter; the middle of that
//! span is taken, half its length is the timing error `h`. Between changes at `t_k` and `t_k+1` the
//! energy is interpolated linearly. A drop that cannot be a wrap is a reset: windows across it are null.
//!
//! **Power.** Trapezoids between the middles of the reads' stamps, so the mean is weighted by time.
//!
//! **Random standard uncertainty**, independent parts added as squares:
//! - at an edge at the share `x` of a counter step of `dE` joules: `dE * sqrt(x (1 - x) / 3)`. It is nothing at a
//!   change, and in the middle `dE / sqrt(12)`: half the update gap times the power over `sqrt(3)`;
//! - timing of the changes around an edge: `power * h / sqrt(3)`, weighted by nearness;
//! - the counter's step: `resolution / sqrt(12)` an edge;
//! - for power, each trapezoid of length `g` between `p` and `q` watts: `|q - p| g / sqrt(12)` (a step may have
//!   happened anywhere in it) and `resolution * g / sqrt(12)`;
//! - for power that the sensor renews only every `U` seconds, an edge: `r U / sqrt(12)`, `r` being the range of the
//!   readings within `U` of it (each may be that old);
//! - an edge beyond the last change or read (at most 1.5 gaps) by `d` seconds: `power * d / sqrt(3)`.
//!
//! **Systematic bound**: the sensor's `systematic_relative` times the energy. It is not reduced by repetition and never mixed
//! with the random part.

use crate::record::{Quantity, SampleRecord, SensorInfo};
use crate::units::{Joules, Nanos, Seconds};

/// A window needs this many changes of an energy counter inside it to resolve anything.
pub const MIN_CHANGES: usize = 2;
/// Or this many reads of power: the reads around the window say the rest, and their spread is in the uncertainty.
pub const MIN_READS: usize = 1;
/// Reads may be missing for this many periods of the sensor.
pub const MAX_MISSED_PERIODS: f64 = 5.0;
/// Shorter gaps are never called missing reads: a busy machine delays a thread by as much.
const GAP_FLOOR_S: f64 = 0.5;
/// How far beyond the last change or read a curve is continued, in gaps.
const CONTINUED_GAPS: f64 = 1.5;

/// An interval on the run's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Begin.
    pub from: Nanos,
    /// End, not before the begin.
    pub to: Nanos,
}

impl Window {
    /// Its length.
    #[must_use]
    pub fn length(self) -> Seconds {
        self.to.since(self.from)
    }
}

/// Energy with its standard uncertainty (random) and its bound (systematic).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Energy {
    /// The energy.
    pub joules: Joules,
    /// One standard uncertainty of what varies.
    pub random: Joules,
    /// Bound of what does not; none where nobody has stated one.
    pub systematic: Option<Joules>,
}

impl Energy {
    /// Nothing of it, known exactly: where a sum begins.
    pub const ZERO: Self =
        Self { joules: Joules::ZERO, random: Joules::ZERO, systematic: Some(Joules::ZERO) };

    /// The sum: random parts add as squares (sensors err independently), systematic bounds add as
    /// they are (they may all err the same way); an unknown bound leaves the sum's unknown.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            joules: self.joules + other.joules,
            random: Joules(self.random.0.hypot(other.random.0)),
            systematic: match (self.systematic, other.systematic) {
                (Some(one), Some(two)) => Some(one + two),
                _ => None,
            },
        }
    }
}

/// Why a window has no energy.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NoEnergy {
    /// The sensor gives neither energy nor power.
    #[error("{sensor} gives no energy")]
    NotEnergy {
        /// The sensor.
        sensor: String,
    },
    /// Not one good read.
    #[error("{sensor} gave no reading{}", because(.error.as_deref()))]
    NoReads {
        /// The sensor.
        sensor: String,
        /// What its reads said.
        error: Option<String>,
    },
    /// The window reaches beyond the reads.
    #[error("{sensor} was not read {place} of the window{}", because(.error.as_deref()))]
    Outside {
        /// The sensor.
        sensor: String,
        /// `at the begin` or `at the end`.
        place: &'static str,
        /// What its last failed read said.
        error: Option<String>,
    },
    /// Reads are missing where they matter.
    #[error(
        "{sensor} was not read for {:.2} s (at most {:.2} s are bridged){}",
        .gap.0, .limit.0, because(.error.as_deref())
    )]
    Gap {
        /// The sensor.
        sensor: String,
        /// How long.
        gap: Seconds,
        /// What is bridged.
        limit: Seconds,
        /// What its last failed read said.
        error: Option<String>,
    },
    /// The counter began again.
    #[error("the counter {sensor} was reset")]
    Reset {
        /// The sensor.
        sensor: String,
    },
    /// Below what the sensor resolves.
    #[error(
        "the window of {:.3} s is too short for {sensor}: {found} new value(s) in it, {needed} needed",
        .length.0
    )]
    TooShort {
        /// The sensor.
        sensor: String,
        /// New values inside.
        found: usize,
        /// How many it takes.
        needed: usize,
        /// Length of the window.
        length: Seconds,
    },
}

fn because(error: Option<&str>) -> String {
    error.map_or_else(String::new, |error| format!(" ({error})"))
}

/// A point of the curve; times in seconds since the sensor's first read.
#[derive(Debug, Clone, Copy)]
struct Knot {
    at: f64,
    /// Cumulative energy, J.
    energy: f64,
    /// Half of the span in which `at` lies, s.
    timing: f64,
    /// W at the knot; only for power sensors.
    power: f64,
    /// Cumulative variance of the energy, J^2; only for power sensors.
    variance: f64,
}

/// Energy at a moment.
struct Point {
    energy: f64,
    /// Variance that is this edge's own.
    edge: f64,
    /// Variance gathered on the way.
    gathered: f64,
}

/// One sensor's cumulative energy over time.
#[derive(Debug, Clone)]
pub struct Curve {
    sensor: String,
    origin: Nanos,
    counter: bool,
    /// Variance of an edge from the counter's step, J^2.
    step_variance: f64,
    systematic_relative: Option<f64>,
    wrap_at: Option<f64>,
    /// How often the sensor renews its value, s; zero where that is not known.
    update: f64,
    knots: Vec<Knot>,
    /// Middles of the good reads.
    reads: Vec<f64>,
    /// Spans in which the counter began again.
    resets: Vec<(f64, f64)>,
    gap_limit: f64,
    continued: f64,
    last_error: Option<String>,
}

/// A good read.
#[derive(Debug, Clone, Copy)]
struct Read {
    before: f64,
    after: f64,
    value: f64,
}

impl Read {
    fn middle(self) -> f64 {
        self.before.midpoint(self.after)
    }
}

impl Curve {
    /// Builds the curve of one sensor from its samples (those of other sensors left out before).
    ///
    /// # Errors
    /// When the sensor gives no energy or no read of it succeeded.
    pub fn build<'a>(
        sensor: &SensorInfo,
        samples: impl IntoIterator<Item = &'a SampleRecord>,
    ) -> Result<Self, NoEnergy> {
        let counter = match sensor.quantity {
            Quantity::EnergyCounter => true,
            Quantity::Power => false,
            _ => return Err(NoEnergy::NotEnergy { sensor: sensor.name.clone() }),
        };
        let mut samples: Vec<&SampleRecord> = samples.into_iter().collect();
        samples.sort_by_key(|sample| (sample.before_ns, sample.after_ns));
        let last_error = samples.iter().rev().find_map(|sample| sample.error.clone());
        let Some(first) = samples.first() else {
            return Err(NoEnergy::NoReads { sensor: sensor.name.clone(), error: None });
        };
        let origin = first.before_ns;
        let reads = good_reads(&samples, origin);
        if reads.is_empty() {
            return Err(NoEnergy::NoReads { sensor: sensor.name.clone(), error: last_error });
        }
        let update = sensor.update_period_s.map(|period| period.0).filter(|period| *period > 0.0);
        let (knots, resets) = if counter {
            counter_knots(&reads, update, sensor.wrap_at)
        } else {
            (power_knots(&reads, sensor.resolution), Vec::new())
        };
        let period = sensor.sample_period_s.0.max(update.unwrap_or(0.0));
        let step = if counter { sensor.resolution.unwrap_or(0.0) } else { 0.0 };
        Ok(Self {
            sensor: sensor.name.clone(),
            origin,
            counter,
            step_variance: step * step / 12.0,
            systematic_relative: sensor.systematic_relative,
            wrap_at: sensor.wrap_at.filter(|_| counter),
            update: update.unwrap_or(0.0),
            continued: CONTINUED_GAPS * period.max(median_gap(&knots)),
            knots,
            reads: reads.iter().map(|read| read.middle()).collect(),
            resets,
            gap_limit: (MAX_MISSED_PERIODS * period).max(GAP_FLOOR_S),
            last_error,
        })
    }

    /// The energy of a window.
    ///
    /// # Errors
    /// When it is not known: reads missing, a reset, or a window below what the sensor resolves.
    pub fn energy(&self, window: Window) -> Result<Energy, NoEnergy> {
        let (from, to) = (self.seconds(window.from), self.seconds(window.to));
        self.check_gaps(from, to)?;
        let energy = self.difference(from, to)?;
        let (found, needed) = if self.counter {
            (inside(self.knots.iter().map(|knot| knot.at), from, to), MIN_CHANGES)
        } else if to - from < self.update {
            // However often it was read, the sensor had no time for a value of this window.
            (0, MIN_READS)
        } else {
            (inside(self.reads.iter().copied(), from, to), MIN_READS)
        };
        if found < needed {
            return Err(NoEnergy::TooShort {
                sensor: self.sensor.clone(),
                found,
                needed,
                length: window.length(),
            });
        }
        Ok(energy)
    }

    /// The curve's difference over a window, however short: for sharing out a known energy, where the
    /// errors of neighbours cancel. No resolution is claimed.
    ///
    /// # Errors
    /// When the window reaches beyond the reads or across a reset.
    pub fn share(&self, window: Window) -> Result<Joules, NoEnergy> {
        self.difference(self.seconds(window.from), self.seconds(window.to))
            .map(|energy| energy.joules)
    }

    /// Times at which the value changed.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.knots.len()
    }

    /// Longest time without a good read inside a window, its edges included.
    #[must_use]
    pub fn longest_gap(&self, window: Window) -> Seconds {
        let (from, to) = (self.seconds(window.from), self.seconds(window.to));
        let mut previous = from;
        let mut longest = 0.0_f64;
        for read in self.reads.iter().copied().filter(|read| (from..=to).contains(read)).chain([to])
        {
            longest = longest.max(read - previous);
            previous = read;
        }
        Seconds(longest)
    }

    /// The highest mean power between two neighbouring changes.
    fn peak_power(&self) -> f64 {
        let slopes = self
            .knots
            .windows(2)
            .map(|pair| (pair[1].energy - pair[0].energy) / (pair[1].at - pair[0].at));
        slopes.fold(0.0, f64::max)
    }

    fn seconds(&self, at: Nanos) -> f64 {
        at.since(self.origin).0 - self.origin.since(at).0
    }

    fn check_gaps(&self, from: f64, to: f64) -> Result<(), NoEnergy> {
        for pair in self.reads.windows(2) {
            let gap = pair[1] - pair[0];
            if gap <= self.gap_limit || pair[1] <= from || pair[0] >= to {
                continue;
            }
            // A counter goes on counting while nobody reads it: only gaps over an edge matter, and those
            // in which it may have gone all the way round.
            let over_edge = (pair[0]..pair[1]).contains(&from) || (pair[0]..pair[1]).contains(&to);
            let ambiguous = self.wrap_at.is_some_and(|range| self.peak_power() * gap >= range);
            if !self.counter || over_edge || ambiguous {
                return Err(NoEnergy::Gap {
                    sensor: self.sensor.clone(),
                    gap: Seconds(gap),
                    limit: Seconds(self.gap_limit),
                    error: self.last_error.clone(),
                });
            }
        }
        Ok(())
    }

    fn difference(&self, from: f64, to: f64) -> Result<Energy, NoEnergy> {
        if self.resets.iter().any(|reset| reset.0 < to && reset.1 > from) {
            return Err(NoEnergy::Reset { sensor: self.sensor.clone() });
        }
        let begin = self.at(from, "at the begin")?;
        let end = self.at(to, "at the end")?;
        let joules = Joules(end.energy - begin.energy);
        let variance = (end.gathered - begin.gathered).max(0.0) + begin.edge + end.edge;
        Ok(Energy {
            joules,
            random: Joules(variance.sqrt()),
            systematic: self.systematic_relative.map(|share| Joules((joules.0 * share).abs())),
        })
    }

    fn at(&self, at: f64, place: &'static str) -> Result<Point, NoEnergy> {
        let outside = || NoEnergy::Outside {
            sensor: self.sensor.clone(),
            place,
            error: self.last_error.clone(),
        };
        let next = self.knots.partition_point(|knot| knot.at <= at);
        match (next.checked_sub(1).and_then(|index| self.knots.get(index)), self.knots.get(next)) {
            (Some(before), Some(after)) => Ok(self.between(before, after, at)),
            (None, Some(first)) => {
                let power = self.slope(0, 1).unwrap_or(first.power);
                self.beyond(first, at, power).ok_or_else(outside)
            }
            (Some(last), None) => {
                let count = self.knots.len();
                let power = self.slope(count.saturating_sub(2), count - 1).unwrap_or(last.power);
                self.beyond(last, at, power).ok_or_else(outside)
            }
            (None, None) => Err(outside()),
        }
    }

    /// Power next to an end of the curve: a counter's last step, or the power itself.
    fn slope(&self, from: usize, to: usize) -> Option<f64> {
        if !self.counter {
            return None;
        }
        let (from, to) = (self.knots.get(from)?, self.knots.get(to)?);
        (to.at > from.at).then(|| (to.energy - from.energy) / (to.at - from.at))
    }

    fn beyond(&self, end: &Knot, at: f64, power: f64) -> Option<Point> {
        let distance = at - end.at;
        let edge = (power * distance).powi(2) / 3.0
            + (power * end.timing).powi(2) / 3.0
            + self.step_variance
            + self.staleness(at);
        (distance.abs() <= self.continued).then_some(Point {
            energy: end.energy + power * distance,
            edge,
            gathered: end.variance,
        })
    }

    /// Variance of an edge because a reading of power may be one update period old.
    fn staleness(&self, at: f64) -> f64 {
        let from = self.knots.partition_point(|knot| knot.at < at - self.update);
        let to = self.knots.partition_point(|knot| knot.at <= at + self.update);
        let powers = || self.knots[from..to].iter().map(|knot| knot.power);
        let (Some(low), Some(high)) =
            (powers().min_by(f64::total_cmp), powers().max_by(f64::total_cmp))
        else {
            return 0.0;
        };
        ((high - low) * self.update).powi(2) / 12.0
    }

    fn between(&self, before: &Knot, after: &Knot, at: f64) -> Point {
        let gap = after.at - before.at;
        let x = (at - before.at) / gap;
        let step = after.energy - before.energy;
        if !self.counter {
            let elapsed = at - before.at;
            let rise = (after.power - before.power) / gap;
            return Point {
                energy: before.energy + before.power * elapsed + 0.5 * rise * elapsed * elapsed,
                edge: self.staleness(at),
                gathered: before.variance + (after.variance - before.variance) * x,
            };
        }
        let timing = (before.timing * (1.0 - x)).hypot(after.timing * x);
        Point {
            energy: before.energy + step * x,
            edge: step * step * x * (1.0 - x) / 3.0
                + (step / gap * timing).powi(2) / 3.0
                + self.step_variance,
            gathered: 0.0,
        }
    }
}

fn inside(points: impl Iterator<Item = f64>, from: f64, to: f64) -> usize {
    points.filter(|at| from <= *at && *at <= to).count()
}

fn good_reads(samples: &[&SampleRecord], origin: Nanos) -> Vec<Read> {
    samples
        .iter()
        .filter_map(|sample| {
            let value = sample.value.filter(|value| value.is_finite())?;
            Some(Read {
                before: sample.before_ns.since(origin).0,
                after: sample.after_ns.since(origin).0,
                value,
            })
        })
        .collect()
}

fn median_gap(knots: &[Knot]) -> f64 {
    let mut gaps: Vec<f64> = knots.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    gaps.sort_by(f64::total_cmp);
    super::stats::percentile(&gaps, 0.5).unwrap_or(0.0)
}

/// The changes of a counter, unwrapped, and the spans in which it was reset.
fn counter_knots(
    reads: &[Read],
    update: Option<f64>,
    wrap_at: Option<f64>,
) -> (Vec<Knot>, Vec<(f64, f64)>) {
    let plausible = plausible_power(reads);
    let mut resets = Vec::new();
    let mut knots: Vec<Knot> = Vec::new();
    let mut total = 0.0;
    if let (Some(first), Some(update)) = (reads.first(), update) {
        // The first value was renewed at most one update period before it was read.
        let half = update / 2.0;
        knots.push(knot(first.middle() - half, 0.0, half));
    }
    for pair in reads.windows(2) {
        let (old, new) = (pair[0], pair[1]);
        let gap = new.middle() - old.middle();
        let Some(rise) = rise(old.value, new.value, gap, wrap_at, plausible) else {
            resets.push((old.middle(), new.middle()));
            continue;
        };
        if rise <= 0.0 {
            continue;
        }
        total += rise;
        let earliest = update.map_or(old.before, |update| old.before.max(new.before - update));
        let at = earliest.midpoint(new.after);
        let timing = (new.after - earliest) / 2.0;
        match knots.last_mut() {
            // Two changes within the error of their timing: one point.
            Some(last) if at <= last.at => last.energy = total,
            _ => knots.push(knot(at, total, timing)),
        }
    }
    (knots, resets)
}

const fn knot(at: f64, energy: f64, timing: f64) -> Knot {
    Knot { at, energy, timing, power: 0.0, variance: 0.0 }
}

/// Highest power between reads where the counter rose; none where it never did.
fn plausible_power(reads: &[Read]) -> Option<f64> {
    reads
        .windows(2)
        .filter(|pair| pair[1].value > pair[0].value && pair[1].middle() > pair[0].middle())
        .map(|pair| (pair[1].value - pair[0].value) / (pair[1].middle() - pair[0].middle()))
        .max_by(f64::total_cmp)
}

/// How much a counter counted between two reads; none when it was reset.
///
/// A drop is a wrap if the rise it then stands for needs at most ten times the highest power seen
/// between other reads (or, with no other, less than half the counter's range).
fn rise(old: f64, new: f64, gap: f64, wrap_at: Option<f64>, plausible: Option<f64>) -> Option<f64> {
    if new >= old {
        return Some(new - old);
    }
    let range = wrap_at?;
    let wrapped = range - old + new;
    let likely = match plausible {
        Some(power) => wrapped <= 10.0 * power * gap,
        None => wrapped < range / 2.0,
    };
    (wrapped >= 0.0 && likely).then_some(wrapped)
}

fn power_knots(reads: &[Read], resolution: Option<f64>) -> Vec<Knot> {
    let mut knots: Vec<Knot> = Vec::with_capacity(reads.len());
    for read in reads {
        let (at, power) = (read.middle(), read.value);
        let (energy, variance) = match knots.last() {
            None => (0.0, 0.0),
            Some(last) if at <= last.at => continue,
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

#[cfg(test)]
mod tests;
