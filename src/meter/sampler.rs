//! Reads every sensor at its own cadence. Pure of threads and sleeping: `run` owns the thread, asks
//! [`Sampler::next_due`] how long it may sleep and calls [`Sampler::poll`] when it wakes.
//!
//! The schedule is absolute: a tick is a whole number of periods after the first read, and ticks missed
//! because another sensor was slow are skipped, so nothing drifts. Around the edges of a phase
//! ([`Sampler::set_edge`]) counters are polled until their value changes, because an energy is only known at
//! the moments at which its counter steps.

use crate::record::{Component, Quantity, SampleRecord, SensorInfo, Source};
use crate::units::{Joules, Nanos, Seconds, Watts};

use super::Meter;

/// Between polls of a counter at a phase edge.
const EDGE_POLL: Seconds = Seconds(0.015);
/// A counter that has not changed by then is left alone.
const EDGE_LONGEST: Seconds = Seconds(0.3);
/// Counters that step faster than this need one read at an edge, not a chase.
const FAST_COUNTER: Seconds = Seconds(0.02);
/// A failing sensor is tried again after twice, four times, ... its period, at most this factor,
const MOST_BACKOFF: u64 = 64;
/// and at least this often.
const LONGEST_BACKOFF: Seconds = Seconds(30.0);
/// Nothing is read more often than this.
const SHORTEST_PERIOD_NS: u64 = 1_000_000;
const NEVER: Nanos = Nanos(u64::MAX);

/// Watts and joules of one component, for a progress display; the figures of a report come from the records.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LiveComponent {
    /// GPU, CPU or RAM.
    pub component: Component,
    /// How far to believe it.
    pub source: Source,
    /// Power at the last readings.
    pub watts: Option<Watts>,
    /// Energy since [`Sampler::mark`].
    pub joules: Option<Joules>,
}

/// Reads sensors when they are due.
pub struct Sampler {
    meters: Vec<Box<dyn Meter>>,
    sensors: Vec<SensorInfo>,
    channels: Vec<Channel>,
    /// Positions of the channels, the most frequent first: those that are read often are the ones that a
    /// slow read of another would delay.
    order: Vec<usize>,
}

/// One sensor's place and schedule.
struct Channel {
    meter: usize,
    sensor: usize,
    schedule: Schedule,
    chase: Option<Chase>,
    failures: u32,
    live: Live,
}

/// Ticks at whole periods after the first read.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    period_ns: u64,
    due: Nanos,
}

/// A counter being polled until it changes.
#[derive(Debug, Clone, Copy)]
struct Chase {
    due: Nanos,
    began: Option<Nanos>,
    first_value: Option<f64>,
}

/// Running figures of one sensor.
#[derive(Debug, Clone, Copy, Default)]
struct Live {
    last: Option<(Nanos, f64)>,
    watts: Option<Watts>,
    joules: Option<Joules>,
}

impl Schedule {
    fn new(period: Seconds) -> Self {
        let period_ns = Nanos(0).offset(period).0.max(SHORTEST_PERIOD_NS);
        Self { period_ns, due: Nanos(0) }
    }

    /// After a read: the first tick later than it that is a whole number of `stride` periods from the last tick.
    /// The first read of all sets the grid.
    fn advance(&mut self, (before, after): (Nanos, Nanos), stride: u64) {
        let step = self.period_ns.saturating_mul(stride);
        let anchor = if self.due == Nanos(0) { before } else { self.due };
        let missed = after.0.saturating_sub(anchor.0) / step;
        self.due = Nanos(anchor.0.saturating_add(step.saturating_mul(missed + 1)));
    }
}

impl Sampler {
    /// All sensors are due at once; each keeps its own period from its first read on.
    #[must_use]
    pub fn new(meters: Vec<Box<dyn Meter>>) -> Self {
        let mut sampler = Self {
            meters: Vec::new(),
            sensors: Vec::new(),
            channels: Vec::new(),
            order: Vec::new(),
        };
        for meter in meters {
            sampler.add(meter);
        }
        sampler
    }

    /// One more meter; its sensors come after all others and are due at once.
    pub fn add(&mut self, opened: Box<dyn Meter>) {
        for (sensor, info) in opened.sensors().iter().enumerate() {
            self.channels.push(Channel {
                meter: self.meters.len(),
                sensor,
                schedule: Schedule::new(info.sample_period_s),
                chase: None,
                failures: 0,
                live: Live::default(),
            });
            self.sensors.push(info.clone());
        }
        self.meters.push(opened);
        self.order = (0..self.channels.len()).collect();
        self.order.sort_by_key(|position| self.channels[*position].schedule.period_ns);
    }

    /// Every sensor, in the order to which [`SampleRecord::sensor`] refers.
    #[must_use]
    pub fn sensors(&self) -> &[SensorInfo] {
        &self.sensors
    }

    /// When [`Sampler::poll`] has something to do; the end of time when there is no sensor.
    #[must_use]
    pub fn next_due(&self) -> Nanos {
        self.channels.iter().map(Channel::due).min().unwrap_or(NEVER)
    }

    /// Reads every sensor that is due, stamping the clock before and after each read.
    pub fn poll(&mut self, now: impl Fn() -> Nanos, out: &mut Vec<SampleRecord>) {
        let started = now();
        for position in self.order.iter().copied() {
            let channel = &mut self.channels[position];
            if channel.due() > started {
                continue;
            }
            let before = now();
            let read = self.meters[channel.meter].read(channel.sensor);
            let after = now();
            let (value, error) = match read {
                Ok(value) if value.is_finite() => (Some(value), None),
                Ok(value) => (None, Some(format!("the sensor gave {value}"))),
                Err(cause) => (None, Some(cause.message)),
            };
            channel.settle(&self.sensors[position], value, (before, after));
            let sensor = u16::try_from(position).unwrap_or(u16::MAX);
            out.push(SampleRecord { sensor, before_ns: before, after_ns: after, value, error });
        }
    }

    /// A phase begins or ends: what counts is read at once, and slow counters are then polled until they
    /// change (0.3 s at most). `false` gives that up.
    pub fn set_edge(&mut self, on: bool) {
        for (channel, info) in self.channels.iter_mut().zip(&self.sensors) {
            let counts = info.counted
                || matches!(info.quantity, Quantity::EnergyCounter | Quantity::CpuTime);
            channel.chase =
                (on && counts).then_some(Chase { due: Nanos(0), began: None, first_value: None });
        }
    }

    /// Whether counters are still being polled for an edge.
    #[must_use]
    pub fn edge_pending(&self) -> bool {
        self.channels.iter().any(|channel| channel.chase.is_some())
    }

    /// Joules of [`Sampler::live`] count from here.
    pub fn mark(&mut self) {
        for channel in &mut self.channels {
            channel.live.joules = channel.live.last.map(|_| Joules::ZERO);
        }
    }

    /// Watts now and joules since the mark of what is counted, a component and source each; a component whose
    /// sensors have not all answered yet has `None`.
    #[must_use]
    pub fn live(&self) -> Vec<LiveComponent> {
        let mut parts: Vec<LiveComponent> = Vec::new();
        for (position, info) in self.sensors.iter().enumerate().filter(|(_, info)| info.counted) {
            let joules = self.channels[position].live.joules;
            let watts = self.watts_of(position);
            let same = |part: &&mut LiveComponent| {
                part.component == info.component && part.source == info.source
            };
            match parts.iter_mut().find(same) {
                Some(part) => {
                    part.watts = part.watts.zip(watts).map(|(a, b)| a + b);
                    part.joules = part.joules.zip(joules).map(|(a, b)| a + b);
                }
                None => parts.push(LiveComponent {
                    component: info.component,
                    source: info.source,
                    watts,
                    joules,
                }),
            }
        }
        parts
    }

    /// Power of a counted sensor: of the power trace of the same device where it has one, which is fresher
    /// than the slope of a counter.
    fn watts_of(&self, counted: usize) -> Option<Watts> {
        let info = &self.sensors[counted];
        let trace = self.sensors.iter().position(|other| {
            other.quantity == Quantity::Power
                && other.device.is_some()
                && other.device == info.device
                && other.component == info.component
        });
        trace
            .and_then(|position| self.channels[position].live.watts)
            .or(self.channels[counted].live.watts)
    }
}

impl Channel {
    fn due(&self) -> Nanos {
        self.chase.map_or(self.schedule.due, |chase| chase.due.min(self.schedule.due))
    }

    /// What a read changes: the schedule, the chase, the running figures.
    fn settle(&mut self, info: &SensorInfo, value: Option<f64>, (before, after): (Nanos, Nanos)) {
        self.failures = if value.is_some() { 0 } else { self.failures.saturating_add(1) };
        if self.schedule.due <= before {
            self.schedule.advance((before, after), self.backoff());
        }
        self.chase = self.chase.and_then(|chase| chase.after_read(info, value, (before, after)));
        if let Some(value) = value {
            self.live.add(info, value, Nanos(before.0.midpoint(after.0)));
        }
    }

    /// Periods to wait: 1, then 2, 4, ... while it fails.
    fn backoff(&self) -> u64 {
        let longest = Nanos(0).offset(LONGEST_BACKOFF).0 / self.schedule.period_ns;
        let wanted = 1_u64.checked_shl(self.failures).unwrap_or(MOST_BACKOFF).min(MOST_BACKOFF);
        wanted.min(longest).max(1)
    }
}

impl Chase {
    fn after_read(
        self,
        info: &SensorInfo,
        value: Option<f64>,
        (before, after): (Nanos, Nanos),
    ) -> Option<Self> {
        let slow = info.quantity == Quantity::EnergyCounter
            && info.update_period_s.is_some_and(|period| period > FAST_COUNTER);
        let began = self.began.unwrap_or(before);
        let value = value?;
        let changed = self.first_value.is_some_and(|first| first.total_cmp(&value).is_ne());
        if !slow || changed || after.since(began) >= EDGE_LONGEST {
            return None;
        }
        Some(Self {
            due: after.offset(EDGE_POLL),
            began: Some(began),
            first_value: self.first_value.or(Some(value)),
        })
    }
}

impl Live {
    fn add(&mut self, info: &SensorInfo, value: f64, at: Nanos) {
        let earlier = self.last.replace((at, value));
        let Some((then, before)) = earlier else {
            self.joules = Some(Joules::ZERO);
            self.watts = (info.quantity == Quantity::Power).then_some(Watts(value));
            return;
        };
        let time = at.since(then);
        let energy = match info.quantity {
            Quantity::EnergyCounter => counted(before, value, info.wrap_at),
            Quantity::Power => Watts(f64::midpoint(before, value)) * time,
            _ => return,
        };
        self.joules = self.joules.map(|sum| sum + energy);
        // A counter that has not stepped says nothing of the power now.
        if info.quantity == Quantity::Power {
            self.watts = Some(Watts(value));
        } else if time > Seconds(EDGE_LONGEST.0) {
            self.watts = Some(energy / time);
        }
    }
}

/// Joules between two values of a counter; a fall is a new round where it has rounds, else a restart from zero.
fn counted(before: f64, value: f64, wrap_at: Option<f64>) -> Joules {
    if value >= before {
        Joules(value - before)
    } else {
        Joules(wrap_at.map_or(value, |range| range - before + value))
    }
}
