//! External meters beside the run's own sensors: their clocks aligned, their energy, and the gain of a sensor.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::reference::{
    Gain, ReferenceClock, ReferenceQuantity, ReferenceScope, ReferenceTrace, gain_key,
};
use crate::record::{Component, RunRecords, Source};
use crate::units::{Joules, Nanos, Seconds, Watts};

use super::align::{self, Alignment, Readings, Signal};
use super::energy::{Channel, Metering};
use super::findings::{Figure, Uncertainty};
use super::window::Window;

/// Points of the run's power at most.
const MOST_POINTS: f64 = 100_000.0;
/// Finest of them, s.
const FINEST_S: f64 = 0.05;
/// Readings may be missing for so many intervals.
const MISSED: f64 = 5.0;
/// Gains beyond are mistakes: of the scope, or of the file.
const GAINS: std::ops::RangeInclusive<f64> = 0.5..=2.0;
/// Least intervals for the line through wall and sensor.
const FEWEST_BINS: usize = 10;

/// How the clock of an external meter was tied to the run's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClockFacts {
    /// What the meter's clock is ahead of the run's wall clock; of a clock with a zero of its own, its zero on the run's wall clock.
    pub offset: Figure,
    /// The true offset lies within this.
    pub bound: Figure,
    /// Share of the readings' variance that the run's power explains; null where the offset is only stated.
    pub explained: Figure,
    /// Load steps of the run that it was aligned on.
    pub load_steps: u32,
    /// In words.
    pub method: String,
}

/// The gain of a sensor that a meter shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GainFacts {
    /// The GPU.
    pub uuid: Option<String>,
    /// Multiplies the sensor's readings.
    pub gain: Figure,
    /// What would be kept for later runs; null with the reason in `not_kept`.
    pub keep: Option<Gain>,
    /// Why nothing is kept.
    pub not_kept: Option<String>,
}

/// What an external meter shows of the run. Its energy stands beside the sensors', never among them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReferenceFindings {
    /// Name of its file.
    pub file: String,
    /// SHA-256 of it.
    pub sha256: String,
    /// Its form.
    pub format: String,
    /// What it measures.
    pub scope: ReferenceScope,
    /// The column or key of the readings.
    pub channel: String,
    /// Readings.
    pub readings: u64,
    /// Rows that held none.
    pub skipped: u64,
    /// Usual time between readings.
    pub interval: Figure,
    /// Its clock; null where it cannot be tied to the run's, with the reason in the figures.
    pub clock: Option<ClockFacts>,
    /// Energy of the measured window by the meter.
    pub energy: Figure,
    /// The same over the window's length.
    pub mean_power: Figure,
    /// Energy of the same window by the run's sensors: of the GPU with scope `gpu`, of all measured parts with `wall`.
    pub sensors_energy: Figure,
    /// Meter over sensors.
    pub ratio: Figure,
    /// The gain of the GPU's sensor; null where there is none to derive.
    pub gain: Option<GainFacts>,
}

/// Every external meter of a run. `records` are as they were written, of the machine that is metered: a gain is derived from raw readings.
#[must_use]
pub fn references(records: &RunRecords, windows: &[Window]) -> Vec<ReferenceFindings> {
    if records.references.is_empty() {
        return Vec::new();
    }
    let metering = Metering::of(records, windows.to_vec());
    records.references.iter().map(|trace| of_trace(records, &metering, trace)).collect()
}

fn of_trace(
    records: &RunRecords,
    metering: &Metering<'_>,
    trace: &ReferenceTrace,
) -> ReferenceFindings {
    let source = Meter::of(trace);
    let mut found = ReferenceFindings {
        file: trace.file.clone(),
        sha256: trace.sha256.clone(),
        format: trace.format.clone(),
        scope: trace.scope,
        channel: trace.channel.clone(),
        readings: trace.values.len() as u64,
        skipped: trace.skipped,
        interval: Figure::known(source.interval, Seconds::UNIT, Source::Measured),
        clock: None,
        energy: Figure::unknown(Joules::UNIT, ""),
        mean_power: Figure::unknown(Watts::UNIT, ""),
        sensors_energy: Figure::unknown(Joules::UNIT, ""),
        ratio: Figure::unknown("1", ""),
        gain: None,
    };
    if let Err(reason) = fill(records, metering, trace, &source, &mut found) {
        for (figure, unit) in [
            (&mut found.energy, Joules::UNIT),
            (&mut found.mean_power, Watts::UNIT),
            (&mut found.sensors_energy, Joules::UNIT),
            (&mut found.ratio, "1"),
        ] {
            if figure.value.is_none() {
                *figure = Figure::unknown(unit, reason.clone());
            }
        }
    }
    found
}

fn fill(
    records: &RunRecords,
    metering: &Metering<'_>,
    trace: &ReferenceTrace,
    meter: &Meter,
    found: &mut ReferenceFindings,
) -> Result<(), String> {
    let window = metering.window.ok_or("no request was sent: there is no measured window")?;
    let channels = channels(metering, trace)?;
    let whole = super::span(records);
    let signal = signal(records, &channels, whole)
        .ok_or("the run's sensors show no power to align the readings on")?;
    let time = RunTime { records, origin: whole.from };
    let (from, to) = (time.seconds(window.from), time.seconds(window.to));
    let alignment = tie(&time, trace, meter, &signal, (from, to))?;
    found.clock = Some(clock_facts(trace, &alignment, &signal));
    let mut energy = Metered { joules: 0.0, random: 0.0 };
    for window in &metering.windows {
        let span = (time.seconds(window.from), time.seconds(window.to));
        energy = energy.plus(&meter.energy(alignment.alignment, span, trace)?);
    }
    let length = metering.measured_length().map(|length| length.0);
    found.energy = energy.figure(trace.accuracy_relative);
    found.mean_power = found.energy.per(length, Watts::UNIT, "the window has no length");
    let mut sensors = super::window::Energy::ZERO;
    for window in &metering.windows {
        sensors = sensors.plus(sum(&channels, *window)?);
    }
    found.sensors_energy = super::energy::energy_figure(&Ok(sensors), Source::Measured);
    found.ratio = ratio(&energy, &sensors, trace.accuracy_relative);
    let state = State {
        records,
        metering,
        trace,
        meter,
        window,
        alignment: alignment.alignment,
        time: &time,
    };
    found.gain = match trace.scope {
        ReferenceScope::Gpu => Some(state.direct(&channels, &found.ratio)),
        ReferenceScope::Wall => trace.conversion.map(|conversion| state.by_wall(conversion)),
    };
    Ok(())
}

/// The sensors whose energy a meter's is compared with.
fn channels<'m, 'a>(
    metering: &'m Metering<'a>,
    trace: &ReferenceTrace,
) -> Result<Vec<&'m Channel<'a>>, String> {
    let gpus = || metering.counted(Component::Gpu);
    let measured = |channel: &&Channel<'_>| channel.info.source == Source::Measured;
    match (trace.scope, &trace.device) {
        (ReferenceScope::Wall, _) => {
            let parts = metering.parts(true);
            Ok(parts.iter().flat_map(|part| metering.counted(*part)).collect())
        }
        (ReferenceScope::Gpu, None) => Ok(gpus().into_iter().filter(measured).collect()),
        (ReferenceScope::Gpu, Some(wanted)) => {
            let is_it = |channel: &&Channel<'_>| {
                channel.info.device.as_ref().is_some_and(|device| {
                    device.uuid == *wanted || device.index.to_string() == *wanted
                })
            };
            let found: Vec<&Channel<'_>> = gpus().into_iter().filter(is_it).collect();
            if found.is_empty() {
                return Err(format!("no GPU {wanted:?} was counted in this run"));
            }
            Ok(found)
        }
    }
}

fn sum(channels: &[&Channel<'_>], window: Window) -> Result<super::window::Energy, String> {
    if channels.is_empty() {
        return Err(
            "nothing that the meter measures was counted by a sensor of this run".to_owned()
        );
    }
    let mut sum = super::window::Energy::ZERO;
    for channel in channels {
        sum = sum.plus(channel.energy(window)?);
    }
    Ok(sum)
}

/// The run's own power over its whole time: its GPUs', else all sensors', else how many requests were in flight.
fn signal(records: &RunRecords, channels: &[&Channel<'_>], whole: Window) -> Option<Signal> {
    let length = whole.length().0;
    let step = FINEST_S.max(length / MOST_POINTS);
    let gpus: Vec<&&Channel<'_>> =
        channels.iter().filter(|channel| channel.info.component == Component::Gpu).collect();
    let chosen: Vec<&&Channel<'_>> = if gpus.is_empty() { channels.iter().collect() } else { gpus };
    let curves: Option<Vec<_>> = chosen.iter().map(|channel| channel.curve.as_ref().ok()).collect();
    if let Some(curves) = curves.filter(|curves| !curves.is_empty()) {
        let at = |seconds: f64| Nanos(whole.from.offset(Seconds(seconds)).0.min(whole.to.0));
        // The sensors' first and last readings may lie inside the run.
        let reach = |from: f64, to: f64| {
            let slice = Window { from: at(from), to: at(to) };
            curves
                .iter()
                .map(|curve| curve.share(slice).ok().map(|joules| joules.0))
                .sum::<Option<f64>>()
        };
        let mut points = Vec::new();
        let mut begin = None;
        let mut now = 0.0;
        while now + step <= length {
            match (reach(now, now + step), begin) {
                (Some(joules), _) => {
                    begin.get_or_insert(now);
                    points.push(joules);
                }
                (None, None) => {}
                (None, Some(_)) => break,
            }
            now += step;
        }
        return Some(Signal { from: begin?, step, sums: cumulative(&points) });
    }
    let origin = whole.from;
    let mut load = vec![0.0; (length / step).ceil().max(1.0) as usize];
    for request in &records.requests {
        let index = |at: Nanos| ((at.since(origin).0 / step) as usize).min(load.len() - 1);
        let (from, to) = (index(request.sent_ns), index(request.end_ns));
        load[from..=to].iter_mut().for_each(|count| *count += step);
    }
    Some(Signal { from: 0.0, step, sums: cumulative(&load) })
}

fn cumulative(parts: &[f64]) -> Vec<f64> {
    let mut sum = 0.0;
    let sums = parts.iter().map(|part| {
        sum += part;
        sum
    });
    std::iter::once(0.0).chain(sums).collect()
}

/// Seconds since the run's first record.
struct RunTime<'a> {
    records: &'a RunRecords,
    origin: Nanos,
}

impl RunTime<'_> {
    fn seconds(&self, at: Nanos) -> f64 {
        at.since(self.origin).0 - self.origin.since(at).0
    }

    /// The run's first record on its wall clock, s since the epoch.
    fn wall(&self) -> f64 {
        self.records.manifest.anchor.unix_ns_of(self.origin) as f64 / 1e9
    }
}

/// An alignment with how it was found.
struct Tied {
    alignment: Alignment,
    /// What is added to the file's times to have seconds since the run's first record, were both clocks right.
    nominal: f64,
    stated: bool,
    note: String,
}

fn tie(
    time: &RunTime<'_>,
    trace: &ReferenceTrace,
    meter: &Meter,
    signal: &Signal,
    window: (f64, f64),
) -> Result<Tied, String> {
    let (first, last) = meter.ends();
    let (nominal, reach) = match trace.clock {
        ReferenceClock::Wall => (-time.wall(), trace.max_offset_s.0),
        // Anywhere, as long as the readings cover the window.
        ReferenceClock::Relative => (window.0 - first, (last - first) + (window.1 - window.0)),
    };
    let range = (nominal - reach, nominal + reach);
    match align::align(signal, &meter.readings, range, window) {
        Ok(alignment) => {
            let note = format!(
                "load steps: readings fitted to the run's power at every offset within {reach:.0} s"
            );
            Ok(Tied { alignment, nominal, stated: false, note })
        }
        Err(why) => match (trace.clock, trace.clock_bound_s) {
            (ReferenceClock::Wall, Some(bound)) => Ok(Tied {
                alignment: Alignment { offset: nominal, bound: bound.0, explained: f64::NAN },
                nominal,
                stated: true,
                note: format!("stated to be right within {} s, since {why}", bound.0),
            }),
            _ => Err(format!("the meter's clock cannot be tied to the run's: {why}")),
        },
    }
}

fn clock_facts(trace: &ReferenceTrace, tied: &Tied, signal: &Signal) -> ClockFacts {
    let alignment = tied.alignment;
    // Ahead means that less has to be added than if both were right.
    let ahead = match trace.clock {
        ReferenceClock::Wall => tied.nominal - alignment.offset,
        ReferenceClock::Relative => alignment.offset,
    };
    let (source, explained) = if tied.stated {
        (Source::Assumed, Figure::unknown("1", "the clock is only stated to be right"))
    } else {
        (Source::Measured, Figure::known(alignment.explained, "1", Source::Measured))
    };
    ClockFacts {
        offset: Figure::known(ahead, Seconds::UNIT, source),
        bound: Figure::known(alignment.bound, Seconds::UNIT, source),
        explained,
        load_steps: signal.load_steps(),
        method: tied.note.clone(),
    }
}

/// The readings as power over the intervals that end with them.
struct Meter {
    readings: Readings,
    interval: f64,
}

/// Energy by an external meter.
struct Metered {
    joules: f64,
    random: f64,
}

impl Metered {
    fn plus(&self, other: &Self) -> Self {
        Self { joules: self.joules + other.joules, random: self.random.hypot(other.random) }
    }

    fn figure(&self, accuracy: Option<f64>) -> Figure {
        let mut figure = Figure::known(self.joules, Joules::UNIT, Source::Measured);
        figure.uncertainty = Some(Uncertainty {
            random: self.random,
            systematic: accuracy.map(|share| (share * self.joules).abs()),
        });
        figure
    }
}

impl Meter {
    fn of(trace: &ReferenceTrace) -> Self {
        let readings = match trace.quantity {
            ReferenceQuantity::Power => {
                Readings { times: trace.times_s.clone(), powers: trace.values.clone() }
            }
            ReferenceQuantity::Energy => differences(trace),
        };
        let interval = readings.interval();
        Self { readings, interval }
    }

    fn ends(&self) -> (f64, f64) {
        let times = &self.readings.times;
        (times.first().copied().unwrap_or(0.0), times.last().copied().unwrap_or(0.0))
    }

    /// Power at a moment of the run.
    fn power(&self, at: f64) -> f64 {
        let next = self.readings.times.partition_point(|time| *time < at);
        let last = self.readings.powers.len().saturating_sub(1);
        self.readings.powers.get(next.min(last)).copied().unwrap_or(0.0)
    }

    /// Energy between two moments of the run.
    fn energy(
        &self,
        alignment: Alignment,
        (from, to): (f64, f64),
        trace: &ReferenceTrace,
    ) -> Result<Metered, String> {
        let (from, to) = (from - alignment.offset, to - alignment.offset);
        let (first, last) = self.ends();
        if from < first - self.interval || to > last + self.interval {
            return Err(format!("{} does not cover the measured window", trace.file));
        }
        let mut joules = 0.0;
        let mut variance = 0.0;
        let mut before = first - self.interval;
        let mut power_before = self.power(first);
        for (time, power) in self.readings.times.iter().zip(&self.readings.powers) {
            let overlap = to.min(*time) - from.max(before);
            if overlap > 0.0 {
                let gap = time - before;
                if gap > MISSED * self.interval {
                    return Err(format!(
                        "{} has no reading for {gap:.1} s of the window",
                        trace.file
                    ));
                }
                joules += power * overlap;
                // A step may have happened anywhere between two readings of a moment.
                variance += ((power - power_before) * gap).powi(2) / 12.0;
            }
            (before, power_before) = (*time, *power);
        }
        // Beyond the last reading by less than an interval.
        joules += self.power(last) * (to - last).max(0.0);
        let edge = |at: f64| {
            let change = self.power(at + alignment.bound) - self.power(at - alignment.bound);
            (change * alignment.bound).powi(2) / 3.0
        };
        variance += edge(from) + edge(to);
        Ok(Metered { joules, random: variance.sqrt() })
    }
}

/// Power between values of a counter; spans in which it fell are left out.
fn differences(trace: &ReferenceTrace) -> Readings {
    let mut readings = Readings { times: Vec::new(), powers: Vec::new() };
    let spans = trace.times_s.windows(2).zip(trace.values.windows(2));
    for (times, values) in spans.filter(|(_, values)| values[1] >= values[0]) {
        readings.times.push(times[1]);
        readings.powers.push((values[1] - values[0]) / (times[1] - times[0]));
    }
    readings
}

fn ratio(meter: &Metered, sensors: &super::window::Energy, accuracy: Option<f64>) -> Figure {
    if sensors.joules.0 <= 0.0 {
        return Figure::unknown("1", "the sensors counted nothing");
    }
    let ratio = meter.joules / sensors.joules.0;
    let mut figure = Figure::known(ratio, "1", Source::Measured);
    let relative = (meter.random / meter.joules).hypot(sensors.random.0 / sensors.joules.0);
    figure.uncertainty = Some(Uncertainty {
        random: ratio * relative,
        systematic: accuracy.map(|share| share * ratio),
    });
    figure
}

/// What a gain is derived from.
struct State<'s, 'a> {
    records: &'s RunRecords,
    metering: &'s Metering<'a>,
    trace: &'s ReferenceTrace,
    meter: &'s Meter,
    window: Window,
    alignment: Alignment,
    time: &'s RunTime<'s>,
}

impl State<'_, '_> {
    /// The meter measures the GPU itself: the gain is the ratio.
    fn direct(&self, channels: &[&Channel<'_>], ratio: &Figure) -> GainFacts {
        let random = ratio.uncertainty.as_ref().map_or(0.0, |uncertainty| uncertainty.random);
        self.facts(channels, ratio.clone(), random, 0.0, "the meter's energy over the sensor's")
    }

    /// The meter measures the whole machine: the gain is the slope of what reaches the GPU against the sensor.
    fn by_wall(&self, [efficiency, uncertainty]: [f64; 2]) -> GainFacts {
        let gpus = self.metering.counted(Component::Gpu);
        match self.slope(&gpus, efficiency) {
            Ok((slope, random)) => {
                let mut figure = Figure::known(slope, "1", Source::Measured);
                let known = uncertainty + self.trace.accuracy_relative.unwrap_or(0.0);
                figure.uncertainty = Some(Uncertainty {
                    random,
                    systematic: self.trace.accuracy_relative.map(|_| known * slope),
                });
                let figure = figure.note(
                    "whatever else in the machine draws more when the GPU does (fans, memory, processors without a sensor) is inside",
                );
                self.facts(
                    &gpus,
                    figure,
                    random,
                    uncertainty,
                    "the slope of wall power times the stated efficiency against the sensor",
                )
            }
            Err(reason) => GainFacts {
                uuid: None,
                gain: Figure::unknown("1", reason.clone()),
                keep: None,
                not_kept: Some(reason),
            },
        }
    }

    /// Slope of (wall x efficiency - measured processors) over the GPUs' energy, in intervals over the whole run.
    fn slope(&self, gpus: &[&Channel<'_>], efficiency: f64) -> Result<(f64, f64), String> {
        let cpus: Vec<&Channel<'_>> = [Component::Cpu, Component::Ram]
            .iter()
            .flat_map(|part| self.metering.counted(*part))
            .filter(|channel| channel.info.source == Source::Measured)
            .collect();
        let width = (5.0 * self.meter.interval).max(2.0);
        let whole = super::span(self.records);
        let mut points = Vec::new();
        let mut from = 0.0;
        while from + width <= whole.length().0 {
            let at = |seconds: f64| whole.from.offset(Seconds(seconds));
            let slice = Window { from: at(from), to: at(from + width) };
            let span = (self.time.seconds(slice.from), self.time.seconds(slice.to));
            let wall = self.meter.energy(self.alignment, span, self.trace);
            if let (Ok(wall), Ok(gpu)) = (wall, sum(gpus, slice)) {
                let other = if cpus.is_empty() { 0.0 } else { sum(&cpus, slice)?.joules.0 };
                points.push((gpu.joules.0, wall.joules * efficiency - other));
            }
            from += width;
        }
        line(&points).ok_or_else(|| {
            format!("{} intervals of wall and GPU energy do not tell a slope", points.len())
        })
    }

    fn facts(
        &self,
        channels: &[&Channel<'_>],
        gain: Figure,
        random: f64,
        more: f64,
        method: &str,
    ) -> GainFacts {
        let kept = self.gain(channels, &gain, random, more, method);
        let device = match channels {
            [one] => one.info.device.as_ref(),
            _ => None,
        };
        GainFacts {
            uuid: device.map(|device| device.uuid.clone()),
            gain,
            not_kept: kept.as_ref().err().cloned(),
            keep: kept.ok(),
        }
    }

    fn gain(
        &self,
        channels: &[&Channel<'_>],
        gain: &Figure,
        random: f64,
        more: f64,
        method: &str,
    ) -> Result<Gain, String> {
        let value = gain.value.ok_or_else(|| gain.reason.clone().unwrap_or_default())?;
        let [channel] = channels else {
            return Err(format!(
                "{} GPUs were counted together: name one with `device`",
                channels.len()
            ));
        };
        let (Some(device), Some(sensor)) = (&channel.info.device, gain_key(channel.info)) else {
            return Err("the sensor belongs to no device".to_owned());
        };
        if !GAINS.contains(&value) {
            return Err(format!("a gain of {value:.3} is no sensor's: is the scope right?"));
        }
        let accuracy = self
            .trace
            .accuracy_relative
            .ok_or("the meter's accuracy is not stated (accuracy_percent)")?;
        let bound_relative = accuracy + more + 2.0 * random / value;
        let class = channel.info.systematic_relative.unwrap_or(f64::INFINITY);
        if bound_relative >= class {
            return Err(format!(
                "its bound of {:.1} % is no better than that of the sensor's class ({:.1} %): measure longer",
                100.0 * bound_relative,
                100.0 * class
            ));
        }
        let scope = if self.trace.scope == ReferenceScope::Gpu { "the GPU" } else { "the wall" };
        Ok(Gain {
            uuid: device.uuid.clone(),
            sensor,
            gain: value,
            bound_relative,
            method: format!(
                "{method}; {} of {scope}, accuracy {:.2} %, over {:.0} s",
                self.trace.format,
                100.0 * accuracy,
                self.window.length().0
            ),
            measured: self.records.manifest.started.clone(),
            run_id: self.records.manifest.run_id.clone(),
        })
    }
}

/// Slope of a line with its standard uncertainty.
fn line(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    if points.len() < FEWEST_BINS {
        return None;
    }
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let xx: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let xy: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    if xx <= 1e-9 * count * x * x {
        return None;
    }
    let slope = xy / xx;
    let left: f64 = points.iter().map(|point| (point.1 - y - slope * (point.0 - x)).powi(2)).sum();
    // Neighbours resemble one another.
    let uncertainty = (left / (count - 2.0) / xx).sqrt() * 2.0_f64.sqrt();
    Some((slope, uncertainty))
}
