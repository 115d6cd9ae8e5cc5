//! Reads every sensor at its own cadence. Pure of threads and sleeping: `run` owns the thread, asks
//! [`Sampler::next_due`] how long it may sleep and calls [`Sampler::poll`] when it wakes.
//!
//! The schedule is absolute: a tick is a whole number of periods after the first read, and ticks missed
//! because another sensor was slow are skipped, so nothing drifts. Two kinds of sensors have no such grid of ours:
//! - a counter that its hardware renews seldom: an energy is only known at the moments at which it steps, so its
//!   changes are awaited, after the edges of phases above all ([`Sampler::set_edge`]);
//! - what comes by itself from another program or machine ([`Meter::pushes`]) is only collected.
//!
//! How often a sensor renews its value is found out on the way and told by [`Sampler::take_events`].

mod grid;
pub(super) mod live;
mod probe;
mod watch;

use crate::record::{Event, Quantity, SampleRecord, SensorInfo, Source};
use crate::units::{Nanos, Seconds, Watts};

use super::{Arrival, Meter};
use live::Live;
use probe::Probe;
use watch::Watch;

pub use live::LiveComponent;

/// Counters that step faster than this need one read at an edge, and none of their changes is awaited.
const FAST_COUNTER: Seconds = Seconds(0.02);
/// Power that is read at least as often as this is worth knowing the period of.
const PROBED: Seconds = Seconds(0.1);
/// Power is read at least twice in each of its periods, within these bounds;
const POWER_PERIODS: (f64, f64) = (0.01, 0.05);
/// in fine mode ten times.
const FINE_POWER_PERIODS: (f64, f64) = (0.005, 0.01);
/// Between collections of what comes by itself.
const COLLECT: Seconds = Seconds(0.1);
/// A failing sensor is tried again after twice, four times, ... its period, at most this factor,
const MOST_BACKOFF: u64 = 64;
/// and at least this often.
const LONGEST_BACKOFF: Seconds = Seconds(30.0);
/// Nothing is read more often than this.
const SHORTEST_PERIOD_NS: u64 = 1_000_000;
const NEVER: Nanos = Nanos(u64::MAX);

/// Reads sensors when they are due.
pub struct Sampler {
    meters: Vec<Box<dyn Meter>>,
    sensors: Vec<SensorInfo>,
    channels: Vec<Channel>,
    /// Positions of the channels, the most frequent first: those that are read often are the ones that a
    /// slow read of another would delay.
    order: Vec<usize>,
    /// Next collection of what comes by itself; never without such meters.
    collect: Nanos,
    events: Vec<Event>,
    fine: bool,
}

/// One sensor's place and schedule.
struct Channel {
    meter: usize,
    sensor: usize,
    pace: Pace,
    /// A read beside the schedule that an edge asks for.
    asked: bool,
    failures: u32,
    live: Live,
}

/// When a sensor is read.
enum Pace {
    /// At ticks of a grid of our own; at first perhaps densely, to find its period.
    Ticks(Schedule, Option<Probe>),
    /// Around its changes.
    Changes(Box<Watch>),
    /// Not at all: it comes by itself.
    Pushed,
}

/// A period that was found: itself and how far it may be off.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Found {
    period: Seconds,
    uncertainty: Seconds,
}

/// Ticks at whole periods after the first read.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    period_ns: u64,
    due: Nanos,
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
        Self::with(meters, false)
    }

    /// The same; `fine` catches every change of every counter, at the cost of polling: on an H100, whose counter takes
    /// 3 ms to read, some 9 % of a core instead of 1 %.
    #[must_use]
    pub fn with(meters: Vec<Box<dyn Meter>>, fine: bool) -> Self {
        let mut sampler = Self {
            meters: Vec::new(),
            sensors: Vec::new(),
            channels: Vec::new(),
            order: Vec::new(),
            collect: NEVER,
            events: Vec::new(),
            fine,
        };
        for meter in meters {
            sampler.add(meter);
        }
        sampler
    }

    /// One more meter; its sensors come after all others and are due at once.
    pub fn add(&mut self, opened: Box<dyn Meter>) {
        for (sensor, info) in opened.sensors().iter().enumerate() {
            let place = (self.meters.len(), sensor);
            self.channels.push(Channel::new(place, info, opened.pushes(), self.fine));
            self.sensors.push(info.clone());
        }
        if opened.pushes() {
            self.collect = Nanos(0);
        }
        self.meters.push(opened);
        self.order = (0..self.channels.len()).collect();
        self.order.sort_by_key(|position| self.channels[*position].period_ns());
    }

    /// Every sensor, in the order to which [`SampleRecord::sensor`] refers.
    #[must_use]
    pub fn sensors(&self) -> &[SensorInfo] {
        &self.sensors
    }

    /// When [`Sampler::poll`] has something to do; the end of time when there is no sensor.
    #[must_use]
    pub fn next_due(&self) -> Nanos {
        self.channels.iter().map(Channel::due).min().unwrap_or(NEVER).min(self.collect)
    }

    /// Reads every sensor that is due, stamping the clock before and after each read.
    pub fn poll(&mut self, now: impl Fn() -> Nanos, out: &mut Vec<SampleRecord>) {
        let started = now();
        for place in 0..self.order.len() {
            let position = self.order[place];
            if self.channels[position].due() <= started {
                self.read(position, &now, out);
            }
        }
        if self.collect <= started {
            self.collect(now(), out);
        }
    }

    fn read(&mut self, position: usize, now: &impl Fn() -> Nanos, out: &mut Vec<SampleRecord>) {
        let channel = &mut self.channels[position];
        let meter = &mut self.meters[channel.meter];
        let before = now();
        let read = meter.read(channel.sensor);
        let after = now();
        self.events.extend(meter.notices());
        let (value, error) = match read {
            Ok(value) if value.is_finite() => (Some(value), None),
            Ok(value) => (None, Some(format!("the sensor gave {value}"))),
            Err(cause) => (None, Some(cause.message)),
        };
        let info = &self.sensors[position];
        channel.settle(info, value, (before, after));
        self.events.extend(channel.found(info, self.fine));
        let sensor = u16::try_from(position).unwrap_or(u16::MAX);
        out.push(SampleRecord { sensor, before_ns: before, after_ns: after, value, error });
    }

    /// Takes what came by itself.
    fn collect(&mut self, now: Nanos, out: &mut Vec<SampleRecord>) {
        self.collect = now.offset(COLLECT);
        for (index, meter) in self.meters.iter_mut().enumerate().filter(|(_, m)| m.pushes()) {
            let arrivals = meter.arrivals(now);
            self.events.extend(meter.notices());
            for arrival in arrivals {
                let same = |c: &Channel| c.meter == index && c.sensor == arrival.sensor;
                if let Some(position) = self.channels.iter().position(same) {
                    let info = &self.sensors[position];
                    out.push(self.channels[position].take(info, position, arrival));
                }
            }
        }
    }

    /// A phase begins or ends about now: what counts is read at once, and of counters that step slowly some changes
    /// are then caught. `false` gives that up.
    pub fn set_edge(&mut self, on: bool) {
        for (channel, info) in self.channels.iter_mut().zip(&self.sensors) {
            let counts = info.counted
                || matches!(info.quantity, Quantity::EnergyCounter | Quantity::CpuTime);
            match (&mut channel.pace, on) {
                (Pace::Changes(watch), true) => watch.edge(),
                (Pace::Changes(watch), false) => watch.rest(),
                (Pace::Ticks(..), on) => channel.asked = on && counts,
                (Pace::Pushed, _) => {}
            }
        }
        if on && self.collect != NEVER {
            self.collect = Nanos(0);
        }
    }

    /// Whether an edge still asks for reads.
    #[must_use]
    pub fn edge_pending(&self) -> bool {
        self.channels.iter().any(|channel| match &channel.pace {
            Pace::Changes(watch) => watch.is_busy(),
            Pace::Ticks(..) => channel.asked,
            Pace::Pushed => false,
        })
    }

    /// What was found out or happened since the last call.
    #[must_use]
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Joules of [`Sampler::live`] count from here.
    pub fn mark(&mut self) {
        for channel in &mut self.channels {
            channel.live.mark();
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
    fn new((meter, sensor): (usize, usize), info: &SensorInfo, pushed: bool, fine: bool) -> Self {
        let described = info.update_period_s.filter(|period| *period > FAST_COUNTER);
        let pace = match (info.quantity, described) {
            _ if pushed => Pace::Pushed,
            (Quantity::EnergyCounter, Some(described)) => {
                Pace::Changes(Box::new(Watch::new(described, info.sample_period_s, fine)))
            }
            (quantity, _) => {
                let probed = quantity == Quantity::Power
                    && info.source == Source::Measured
                    && info.update_period_s.is_some()
                    && info.sample_period_s <= PROBED;
                let schedule = Schedule::new(info.sample_period_s);
                Pace::Ticks(schedule, probed.then(Probe::new))
            }
        };
        Self { meter, sensor, pace, asked: false, failures: 0, live: Live::default() }
    }

    /// How often it is read; for the order only.
    fn period_ns(&self) -> u64 {
        match &self.pace {
            Pace::Ticks(schedule, _) => schedule.period_ns,
            Pace::Changes(_) | Pace::Pushed => u64::MAX,
        }
    }

    fn due(&self) -> Nanos {
        match &self.pace {
            _ if self.asked => Nanos(0),
            Pace::Ticks(schedule, probe) => {
                probe.as_ref().map_or(schedule.due, |probe| probe.due().min(schedule.due))
            }
            Pace::Changes(watch) => watch.due(),
            Pace::Pushed => NEVER,
        }
    }

    /// What a read changes: when the next is due, the running figures.
    fn settle(&mut self, info: &SensorInfo, value: Option<f64>, (before, after): (Nanos, Nanos)) {
        self.failures = if value.is_some() { 0 } else { self.failures.saturating_add(1) };
        self.asked = false;
        let failures = self.failures;
        match (&mut self.pace, value) {
            (Pace::Ticks(schedule, probe), _) => {
                if schedule.due <= before {
                    schedule.advance((before, after), backoff(failures, schedule.period_ns));
                }
                if value.is_none() {
                    *probe = None;
                }
            }
            (Pace::Changes(watch), Some(value)) => watch.read((before, after), value),
            (Pace::Changes(watch), None) => {
                let period = Nanos(0).offset(info.sample_period_s).0;
                #[expect(clippy::cast_precision_loss, reason = "at most 64")]
                let factor = backoff(failures, period) as f64;
                watch.failed(after, failures, info.sample_period_s * factor);
            }
            (Pace::Pushed, _) => {}
        }
        if let Some(value) = value {
            self.live.add(info, value, Nanos(before.0.midpoint(after.0)));
            self.probe(value, (before, after));
        }
    }

    /// What a read tells about the sensor's period.
    fn probe(&mut self, value: f64, span: (Nanos, Nanos)) {
        if let Pace::Ticks(_, Some(probe)) = &mut self.pace {
            probe.read(span, value);
        }
    }

    /// A period that has become known; power is then read at the pace that suits it.
    fn found(&mut self, info: &SensorInfo, fine: bool) -> Option<Event> {
        let (period_s, uncertainty_s) = match &mut self.pace {
            Pace::Ticks(schedule, slot) => {
                let found = slot.take_if(|probe| probe.is_over())?.found()?;
                let (share, (least, most)) =
                    if fine { (0.1, FINE_POWER_PERIODS) } else { (0.5, POWER_PERIODS) };
                let paced = Schedule::new(Seconds((share * found.period.0).clamp(least, most)));
                schedule.period_ns = paced.period_ns;
                (found.period, found.uncertainty)
            }
            Pace::Changes(watch) => {
                let found = watch.found()?;
                (found.period, found.uncertainty)
            }
            Pace::Pushed => return None,
        };
        Some(Event::UpdatePeriod { sensor: info.name.clone(), period_s, uncertainty_s })
    }

    /// A reading that came by itself becomes a record.
    fn take(&mut self, info: &SensorInfo, position: usize, arrival: Arrival) -> SampleRecord {
        let Arrival { before, after, value, .. } = arrival;
        let (value, error) = match value {
            Ok(value) if value.is_finite() => (Some(value), None),
            Ok(value) => (None, Some(format!("the sensor gave {value}"))),
            Err(cause) => (None, Some(cause.message)),
        };
        if let Some(value) = value {
            self.live.add(info, value, Nanos(before.0.midpoint(after.0)));
        }
        let sensor = u16::try_from(position).unwrap_or(u16::MAX);
        SampleRecord { sensor, before_ns: before, after_ns: after, value, error }
    }
}

/// Periods to wait: 1, then 2, 4, ... while a sensor fails.
fn backoff(failures: u32, period_ns: u64) -> u64 {
    let longest = Nanos(0).offset(LONGEST_BACKOFF).0 / period_ns.max(1);
    let wanted = 1_u64.checked_shl(failures).unwrap_or(MOST_BACKOFF).min(MOST_BACKOFF);
    wanted.min(longest).max(1)
}
