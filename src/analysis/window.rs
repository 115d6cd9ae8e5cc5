//! The energy of any interval from one sensor's samples.
//!
//! A sensor's reads become a curve of cumulative energy `E(t)`, and the energy of a window is
//! `E(to) - E(from)`. All windows share the curve, so adjacent ones add up exactly.
//!
//! **Energy counters.** The counter is unwrapped (`wrap_at`), then only its *changes* are kept (`counter`). A change lies
//! between the read that still showed the old value and the read that showed the new one, and no earlier than one
//! update period before the latter. Sensors renew themselves on a grid, which all those spans together tell to a few
//! milliseconds (`grid`); where there is none, the middle of the span is taken and half its length is the timing error
//! `h`. Between two changes the energy lies as their neighbours tell (`shape`): at one jump of the load where that
//! explains all three steps (and their times are known well), as the power sensor of the same device tells where a step is several of its renewals long
//! ([`Curve::shape_by`]), evenly elsewhere. A drop that cannot be a wrap is a reset: windows across it are null.
//!
//! **Power.** Trapezoids between the renewals of the sensor, so the mean is weighted by time (`power`).
//!
//! **Lag.** What happens at `t` shows at `t + lag` ([`SensorTiming`](crate::record::SensorTiming), fitted on recordings of
//! known work): windows are moved by it.
//!
//! **Random standard uncertainty**, independent parts added as squares:
//! - at an edge on a jump of `dP` watts: `dP * j`, `j` being the uncertainty of the moment at which the sensor shows an
//!   edge; away from jumps it fades;
//! - a jump may have been a ramp: 6 % of the difference to an even spread in a step of one renewal, more in longer ones;
//! - at the share `x` of an even step that differs by `dE` joules from its neighbours: `dE * sqrt(x (1 - x) / 6)`; of a
//!   step whose neighbours tell nothing, `dE` being all of it, wherever in it: `dE / sqrt(12)`;
//! - steps under a steady load wander by the share `w`: `w` times the power times the time to the nearer change;
//! - a grid that may lie anywhere in a span of `2 h` seconds moves both edges alike: the difference of the powers at the
//!   edges times `h / sqrt(3)`;
//! - timing of the changes around an edge, where they lie on no grid: `power * h / sqrt(3)`, weighted by nearness;
//! - the counter's step: `resolution / sqrt(12)` an edge;
//! - for power, each trapezoid of length `g` between `p` and `q` watts: `|q - p| g / sqrt(12)` (a step may have
//!   happened anywhere in it) and `resolution * g / sqrt(12)`;
//! - for power that the sensor renews only every `U` seconds, an edge: `r U / sqrt(12)`, `r` being the range of the
//!   readings within `U` of it (each may be that old);
//! - an edge beyond the last change or read (at most 1.5 gaps) by `d` seconds: `power * d / sqrt(3)`.
//!
//! A window shorter than two renewals, or one whose random uncertainty is more than a quarter of it, is null.
//!
//! **Systematic bound**: the sensor's `systematic_relative` times the energy. It is not reduced by repetition and never mixed
//! with the random part.

use std::sync::Arc;

use crate::record::{Quantity, SampleRecord, SensorInfo};
use crate::units::{Joules, Nanos, Seconds};

mod counter;
mod grid;
mod power;
mod shape;

use counter::Counted;
use shape::Doubt;

/// A window needs this many changes of an energy counter inside it to resolve anything.
pub const MIN_CHANGES: usize = 2;
/// A window needs the length of this many renewals of a counter: what is shorter may lie inside one step.
pub const MIN_RENEWALS: f64 = 2.0;
/// Two clocks never agree to the last digit: so much shorter is not too short.
const NEARLY: f64 = 0.97;
/// A random uncertainty above this share of the energy is no measurement.
const MOST_DOUBT: f64 = 0.25;
/// The neighbours of a step tell how its energy lies when its own times are known to this share of its length.
const TOLD_TIMING: f64 = 0.1;
/// and to this share how much the load changed at all.
const COMPARED_TIMING: f64 = 0.4;
/// A step of a counter is shaped by power when it holds so many renewals of the power sensor,
const SHAPED_RENEWALS: f64 = 1.9;
/// and when the integrated power is the step's energy to this share.
const SHAPE_AGREES: f64 = 0.3;
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
    /// The number would say nothing.
    #[error(
        "the window of {:.3} s cannot be resolved by {sensor}: {:.1} J with a standard uncertainty of {:.1} J",
        .length.0, .energy.joules.0, .energy.random.0
    )]
    Unresolved {
        /// The sensor.
        sensor: String,
        /// What would have been said.
        energy: Energy,
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
    /// Power there, W: what an error of the whole grid's timing costs.
    power: f64,
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
    /// What happens is seen so much later, s.
    lag: f64,
    doubt: Doubt,
    /// Half of the span in which the counter's grid may lie, s.
    grid_half: f64,
    /// Integrated power of the same device, for steps of the counter that are long.
    shape: Option<Arc<Self>>,
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
        let counted = if counter {
            Counted::of(&reads, update, sensor.wrap_at)
        } else {
            Counted::power(power::knots(&reads, sensor.resolution, update.unwrap_or(0.0)), update)
        };
        let period = sensor.sample_period_s.0.max(counted.update);
        let step = if counter { sensor.resolution.unwrap_or(0.0) } else { 0.0 };
        let mut curve = Self {
            sensor: sensor.name.clone(),
            origin,
            counter,
            step_variance: step * step / 12.0,
            systematic_relative: sensor.systematic_relative,
            wrap_at: sensor.wrap_at.filter(|_| counter),
            update: counted.update,
            lag: 0.0,
            doubt: counted.doubt(),
            grid_half: counted.grid_half,
            shape: None,
            continued: CONTINUED_GAPS * period.max(median_gap(&counted.knots)),
            knots: counted.knots,
            reads: reads.iter().map(|read| read.middle()).collect(),
            resets: counted.resets,
            gap_limit: (MAX_MISSED_PERIODS * period).max(GAP_FLOOR_S),
            last_error,
        };
        let timing = sensor.timing.as_ref().map(|timing| (timing.lag_s, timing.jitter_s));
        let (lag, jitter) = timing.unwrap_or((Seconds::ZERO, Seconds::ZERO));
        curve.set_timing(lag, jitter);
        Ok(curve)
    }

    /// Takes the sensor to show an edge of the load `lag` late, give or take `jitter` (one standard uncertainty).
    pub fn set_timing(&mut self, lag: Seconds, jitter: Seconds) {
        self.lag = lag.0;
        // A grid may lie anywhere in its span.
        let grid = self.grid_half * self.grid_half / 3.0;
        self.doubt.edge_variance = jitter.0 * jitter.0 + grid;
    }

    /// How often the sensor renews its value; zero where that is not known.
    #[must_use]
    pub const fn renewal(&self) -> Seconds {
        Seconds(self.update)
    }

    /// Shapes long steps of this counter by the power of the same device.
    pub fn shape_by(&mut self, power: &Arc<Self>) {
        if self.counter && !power.counter {
            self.shape = Some(Arc::clone(power));
        }
    }

    /// From this curve's seconds to those of another sensor's: origins differ, and what happened shows in each after its
    /// own lag.
    fn offset_to(&self, other: &Self) -> f64 {
        other.seconds(self.origin) - self.lag
    }

    /// The energy of a window.
    ///
    /// # Errors
    /// When it is not known: reads missing, a reset, or a window below what the sensor resolves.
    pub fn energy(&self, window: Window) -> Result<Energy, NoEnergy> {
        let (from, to) = (self.seconds(window.from), self.seconds(window.to));
        self.check_gaps(from, to)?;
        let energy = self.difference(from, to)?;
        self.check_resolution(from, to, energy)?;
        Ok(energy)
    }

    /// Whether the sensor tells anything of a window.
    fn check_resolution(&self, from: f64, to: f64, energy: Energy) -> Result<(), NoEnergy> {
        let length = Seconds(to - from);
        let (found, needed) = if self.counter {
            let changes = inside(&self.knots, |knot| knot.at, from, to);
            if self.update <= 0.0 {
                (changes, MIN_CHANGES)
            } else if to - from < NEARLY * MIN_RENEWALS * self.update {
                (changes.min(MIN_CHANGES - 1), MIN_CHANGES)
            } else {
                (changes.max(usize::from(self.is_shaped(from, to))), 1)
            }
        } else if to - from < self.update {
            // However often it was read, the sensor had no time for a value of this window.
            (0, MIN_READS)
        } else {
            (inside(&self.reads, |read| *read, from, to), MIN_READS)
        };
        if found < needed {
            return Err(NoEnergy::TooShort { sensor: self.sensor.clone(), found, needed, length });
        }
        if energy.random.0 > MOST_DOUBT * energy.joules.0.abs() {
            return Err(NoEnergy::Unresolved { sensor: self.sensor.clone(), energy, length });
        }
        Ok(())
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

    /// The moments of these changes, by when what they show happened.
    pub fn renewals(&self) -> impl Iterator<Item = Nanos> {
        self.knots.iter().map(|knot| self.origin.offset(Seconds(knot.at - self.lag)))
    }

    /// All energy that the sensor showed.
    #[must_use]
    pub fn total(&self) -> Joules {
        let ends = self.knots.first().zip(self.knots.last());
        ends.map_or(Joules::ZERO, |(first, last)| Joules(last.energy - first.energy))
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
        at.since(self.origin).0 - self.origin.since(at).0 + self.lag
    }

    fn check_gaps(&self, from: f64, to: f64) -> Result<(), NoEnergy> {
        let first = self.reads.partition_point(|read| *read <= from).saturating_sub(1);
        let last = (self.reads.partition_point(|read| *read < to) + 1).min(self.reads.len());
        for pair in self.reads.get(first..last).unwrap_or_default().windows(2) {
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
        // A grid that lies wrong moves both edges alike.
        let moved = (end.power - begin.power) * self.grid_half;
        let variance =
            (end.gathered - begin.gathered).max(0.0) + begin.edge + end.edge + moved * moved / 3.0;
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
            (Some(before), Some(after)) => Ok(self.between(next - 1, before, after, at)),
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
            power,
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

    fn between(&self, index: usize, before: &Knot, after: &Knot, at: f64) -> Point {
        let gap = after.at - before.at;
        let x = (at - before.at) / gap;
        if !self.counter {
            let elapsed = at - before.at;
            let rise = (after.power - before.power) / gap;
            return Point {
                energy: before.energy + before.power * elapsed + 0.5 * rise * elapsed * elapsed,
                edge: self.staleness(at),
                gathered: before.variance + (after.variance - before.variance) * x,
                power: before.power + rise * elapsed,
            };
        }
        let step = after.energy - before.energy;
        let part = self
            .shaped_part(before, after, at)
            .or_else(|| self.told_part(index, before.timing + after.timing, at))
            .unwrap_or(shape::Part {
                energy: step * x,
                variance: step * step / 12.0,
                power: step / gap,
            });
        let timing = (before.timing * (1.0 - x)).hypot(after.timing * x);
        Point {
            energy: before.energy + part.energy,
            edge: part.variance + (step / gap * timing).powi(2) / 3.0 + self.step_variance,
            gathered: 0.0,
            power: part.power,
        }
    }

    /// The part of a step that lies before `at`, as its neighbours tell; none where the steps' own times are so doubtful
    /// that the neighbours' powers tell nothing.
    fn told_part(&self, index: usize, timing: f64, at: f64) -> Option<shape::Part> {
        let step = Counted::step(&self.knots, index)?;
        let doubted = timing / (step.to - step.from);
        if doubted <= TOLD_TIMING {
            Some(step.until(at, self.doubt))
        } else {
            (doubted <= COMPARED_TIMING).then(|| step.even(at))
        }
    }

    /// The part of a long step that lies before `at`, as the device's power tells.
    fn shaped_part(&self, before: &Knot, after: &Knot, at: f64) -> Option<shape::Part> {
        let power = self.shape.as_deref()?;
        if after.at - before.at < SHAPED_RENEWALS * power.update.max(self.update) {
            return None;
        }
        let offset = self.offset_to(power);
        let on = |at: f64| power.at(at + offset, "").ok();
        let (begin, now, end) = (on(before.at)?, on(at)?, on(after.at)?);
        power.check_gaps(before.at + offset, after.at + offset).ok()?;
        let (step, integral) = (after.energy - before.energy, end.energy - begin.energy);
        let scale = step / integral;
        if integral <= 0.0 || (scale - 1.0).abs() > SHAPE_AGREES {
            return None;
        }
        let share = (now.energy - begin.energy) / integral;
        // The trapezoids before the moment and after it err independently, and their sum is known.
        let (passed, left) = (now.gathered - begin.gathered, end.gathered - now.gathered);
        let gathered = passed * (1.0 - share).powi(2) + left * share * share;
        let scaled = (scale - 1.0) * step * (share * (1.0 - share)).max(0.0).sqrt();
        let variance = (gathered.max(0.0) + now.edge) * scale * scale + scaled * scaled;
        Some(shape::Part { energy: step * share, variance, power: now.power * scale })
    }

    /// Whether both edges of a window lie in steps that power shapes.
    fn is_shaped(&self, from: f64, to: f64) -> bool {
        [from, to].iter().all(|at| {
            let next = self.knots.partition_point(|knot| knot.at <= *at);
            let before = next.checked_sub(1).and_then(|index| self.knots.get(index));
            before
                .zip(self.knots.get(next))
                .is_some_and(|(before, after)| self.shaped_part(before, after, *at).is_some())
        })
    }
}

/// How many of some points in order of time lie in a span.
fn inside<T>(points: &[T], at: impl Fn(&T) -> f64, from: f64, to: f64) -> usize {
    let begin = points.partition_point(|point| at(point) < from);
    let end = points.partition_point(|point| at(point) <= to);
    end.saturating_sub(begin)
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

#[cfg(test)]
mod tests;
