//! Readings of any program: the plugin at run time.
//!
//! Measures: whatever the program reads. Needs: a program that writes JSON lines on standard output and flushes each;
//! it is started with the run, in a process group of its own, gets SIGTERM at the end and 0.5 s to go. Limits: a reading
//! without a time of its own is stamped when its line arrives, so what the program waits in between is in the timing.
//! Example: `meter: {type: exec, command: [python3, wall_meter.py, /dev/ttyUSB0]}`.
//!
//! The first line describes the sensors, every further line is one reading:
//!
//! ```text
//! {"sensors": [{"name": "wall.power", "quantity": "power", "component": "machine", "resolution": 0.1}]}
//! {"sensor": "wall.power", "watts": 153.2}
//! {"sensor": "wall.power", "watts": 154.0, "t_ns": [81234567890, 81234569000]}
//! {"sensor": "wall.power", "error": "the line is noisy"}
//! ```
//!
//! `t_ns` is the moment of the reading on `CLOCK_MONOTONIC` (Python: `time.monotonic_ns()`), or the moments before and
//! after it. Values are `joules` (a counter), `watts`, `celsius`, `hertz`, `bytes` or `share`, as the quantity says.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use serde::Deserialize;

use crate::config::component::meter::{ExecConfig, MeterConfig};
use crate::error::Problem;
use crate::record::{Component, DeviceRef, Event, Quantity, SensorInfo, Source, Warning};
use crate::units::{Nanos, Seconds};

use super::{Arrival, Meter, MeterEntry, MeterError, OpenRequest, Opened, Running, Told};

/// The line in the registry.
pub const ENTRY: MeterEntry =
    MeterEntry { kind: KIND, summary: "Any program that writes readings as JSON lines", open };

const KIND: &str = "exec";
/// Lines that are no readings are told so often, then only counted.
const TOLD: u32 = 5;
/// How often readings come, where the program does not say.
const USUAL_PERIOD: Seconds = Seconds(1.0);

/// A line of a program.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// Its sensors, before everything else.
    Sensors(Vec<Described>),
    /// One reading.
    Reading(Reading),
}

/// A sensor as a program describes it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Described {
    /// Name, unique in the run.
    pub name: String,
    /// What a value means.
    pub quantity: DescribedQuantity,
    /// What part of the machine; the whole machine where nothing is said, which is never added to its parts.
    #[serde(default = "machine")]
    pub component: Component,
    /// Whether its energy is counted: a GPU's, CPU's or RAM's counter is, and power where there is no counter.
    pub counted: Option<bool>,
    /// What is inside the number, in words.
    pub scope: Option<String>,
    /// Where the number comes from.
    pub method: Option<String>,
    /// The device, where there is one.
    pub device: Option<DeviceRef>,
    /// Smallest step, in the unit of the quantity.
    pub resolution: Option<f64>,
    /// How often it renews its value, s.
    pub update_period_s: Option<f64>,
    /// How often a reading is written, s.
    pub sample_period_s: Option<f64>,
    /// The counter starts again from zero after so many joules.
    pub wrap_at: Option<f64>,
    /// Bound of its systematic error, as a share.
    pub systematic_relative: Option<f64>,
    /// Who says so.
    pub systematic_source: Option<String>,
    /// The machine it sits in, where that is another one.
    pub host: Option<String>,
}

/// What a value of a described sensor means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DescribedQuantity {
    /// Cumulative joules.
    #[serde(alias = "energy_counter")]
    Energy,
    /// Watts.
    Power,
    /// 0 to 1.
    Utilization,
    /// Degrees Celsius.
    Temperature,
    /// Hertz.
    Clock,
    /// Bytes.
    Memory,
}

/// One reading of a program.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Name of the sensor.
    pub sensor: String,
    /// Its quantity and value, or why there is none.
    pub value: Result<(Quantity, f64), String>,
    /// The moments before and after it.
    pub span: Option<(Nanos, Nanos)>,
}

const fn machine() -> Component {
    Component::Machine
}

/// Reads one line.
///
/// # Errors
/// In words, when it is neither a description nor a reading.
pub fn parse(line: &str) -> Result<Line, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct First {
        sensors: Vec<Described>,
    }
    let value: serde_json::Value =
        serde_json::from_str(line).map_err(|cause| format!("is no JSON: {cause}"))?;
    if value.get("sensors").is_some() {
        let first: First = serde_json::from_value(value).map_err(|cause| cause.to_string())?;
        return Ok(Line::Sensors(first.sensors));
    }
    let written: Written = serde_json::from_value(value).map_err(|cause| cause.to_string())?;
    written.reading().map(Line::Reading)
}

/// A reading as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    sensor: String,
    t_ns: Option<Moment>,
    joules: Option<f64>,
    watts: Option<f64>,
    celsius: Option<f64>,
    hertz: Option<f64>,
    bytes: Option<f64>,
    share: Option<f64>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Moment {
    At(u64),
    Between(u64, u64),
}

impl Written {
    fn reading(self) -> Result<Reading, String> {
        let values = [
            (Quantity::EnergyCounter, self.joules),
            (Quantity::Power, self.watts),
            (Quantity::Temperature, self.celsius),
            (Quantity::Clock, self.hertz),
            (Quantity::Memory, self.bytes),
            (Quantity::Utilization, self.share),
        ];
        let mut given = values.into_iter().filter_map(|(what, value)| Some((what, value?)));
        let value = match (given.next(), given.next(), self.error) {
            (Some(value), None, None) => Ok(value),
            (None, _, Some(error)) => Err(error),
            (None, _, None) => return Err("has no value and no error".to_owned()),
            _ => return Err("has more than one value".to_owned()),
        };
        let span = match self.t_ns {
            None => None,
            Some(Moment::At(at)) => Some((Nanos(at), Nanos(at))),
            Some(Moment::Between(before, after)) if before <= after => {
                Some((Nanos(before), Nanos(after)))
            }
            Some(Moment::Between(..)) => {
                return Err("has a t_ns whose end is before its begin".to_owned());
            }
        };
        Ok(Reading { sensor: self.sensor, value, span })
    }
}

impl DescribedQuantity {
    const fn quantity(self) -> Quantity {
        match self {
            Self::Energy => Quantity::EnergyCounter,
            Self::Power => Quantity::Power,
            Self::Utilization => Quantity::Utilization,
            Self::Temperature => Quantity::Temperature,
            Self::Clock => Quantity::Clock,
            Self::Memory => Quantity::Memory,
        }
    }
}

struct ExecMeter {
    sensors: Vec<SensorInfo>,
    told: Receiver<(Nanos, Told)>,
    last: Vec<Option<Result<f64, MeterError>>>,
    bad_lines: u32,
    ended: bool,
    notices: Vec<Event>,
    _program: Running,
}

impl Meter for ExecMeter {
    fn sensors(&self) -> &[SensorInfo] {
        &self.sensors
    }

    /// The last reading that came.
    fn read(&mut self, sensor: usize) -> Result<f64, MeterError> {
        self.arrivals(Nanos(u64::MAX));
        let last = self.last.get(sensor).cloned().flatten();
        last.unwrap_or_else(|| Err(MeterError::new("the program has written no reading yet")))
    }

    fn notices(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.notices)
    }

    fn pushes(&self) -> bool {
        true
    }

    fn arrivals(&mut self, now: Nanos) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        while let Ok((at, told)) = self.told.try_recv() {
            match told {
                Told::Line(line) => match parse(&line).and_then(|line| self.arrival(line, at)) {
                    Ok(arrival) => {
                        self.last[arrival.sensor] = Some(arrival.value.clone());
                        arrivals.push(arrival);
                    }
                    Err(why) => self.complain(&line, &why),
                },
                Told::Ended(why) => arrivals.extend(self.end(at.min(now), &why)),
            }
        }
        arrivals
    }
}

impl ExecMeter {
    fn arrival(&self, line: Line, at: Nanos) -> Result<Arrival, String> {
        let Line::Reading(reading) = line else {
            return Err("describes sensors a second time".to_owned());
        };
        let named = |info: &SensorInfo| info.name == reading.sensor;
        let Some(sensor) = self.sensors.iter().position(named) else {
            return Err(format!("names a sensor that was not described: {}", reading.sensor));
        };
        let quantity = self.sensors[sensor].quantity;
        let value = match reading.value {
            Ok((given, _)) if given != quantity => {
                return Err(format!("gives {} where {} are wanted", given.unit(), quantity.unit()));
            }
            Ok((_, value)) => Ok(value),
            Err(error) => Err(MeterError::new(error)),
        };
        let (before, after) = reading.span.unwrap_or((at, at));
        if before > at {
            return Err("is from the future: t_ns is not CLOCK_MONOTONIC".to_owned());
        }
        Ok(Arrival { sensor, before, after: after.min(at), value })
    }

    fn complain(&mut self, line: &str, why: &str) {
        self.bad_lines += 1;
        if self.bad_lines <= TOLD {
            let shown: String = line.chars().take(80).collect();
            let more = if self.bad_lines == TOLD { " (further ones are not told)" } else { "" };
            let message = format!("A line of the program that meters {why}{more}: {shown}");
            self.notices.push(Event::Warning { warning: Warning::new("meter_line", message) });
        }
    }

    /// Every sensor fails from here on.
    fn end(&mut self, at: Nanos, why: &str) -> Vec<Arrival> {
        if std::mem::replace(&mut self.ended, true) {
            return Vec::new();
        }
        let message = format!("The program that meters is gone: {why}.");
        self.notices.push(Event::Warning { warning: Warning::new("meter_ended", message) });
        let value: Result<f64, MeterError> = Err(MeterError::new(why));
        self.last.fill(Some(value.clone()));
        (0..self.sensors.len())
            .map(|sensor| Arrival { sensor, before: at, after: at, value: value.clone() })
            .collect()
    }
}

fn open(request: &OpenRequest<'_>) -> Opened {
    let mut opened = Opened::default();
    for config in request.extra {
        let MeterConfig::Exec(exec) = config else { continue };
        match start(exec, request) {
            Ok(meter) => opened.meters.push(Box::new(meter)),
            Err(problem) => opened.problems.push(problem),
        }
    }
    opened
}

fn start(exec: &ExecConfig, request: &OpenRequest<'_>) -> Result<ExecMeter, Problem> {
    let fail = |message: String| Problem::new("meter.command", message);
    let Some(lender) = &request.lender else {
        return Err(fail("no program can be started here".to_owned()));
    };
    let (sender, told) = mpsc::channel();
    let send = move |at, what| {
        // Nobody listens after the end.
        let _ = sender.send((at, what));
    };
    let program =
        lender.start(&exec.command.0, Box::new(send)).map_err(|cause| fail(cause.message))?;
    let wait = Duration::try_from_secs_f64(exec.timeout_s).unwrap_or(Duration::MAX);
    let first = match told.recv_timeout(wait) {
        Ok((_, Told::Line(line))) => line,
        Ok((_, Told::Ended(why))) => return Err(fail(format!("{why}, before it wrote a line"))),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            return Err(fail(format!("wrote no line within {} s", exec.timeout_s))
                .hint("flush standard output after each line"));
        }
    };
    let described = match parse(&first) {
        Ok(Line::Sensors(described)) => described,
        Ok(Line::Reading(_)) => {
            return Err(fail("its first line is a reading".to_owned()).hint(EXAMPLE));
        }
        Err(why) => return Err(fail(format!("its first line {why}")).hint(EXAMPLE)),
    };
    let sensors = describe(&described, &exec.command.0.join(" ")).map_err(fail)?;
    Ok(ExecMeter {
        last: vec![None; sensors.len()],
        sensors,
        told,
        bad_lines: 0,
        ended: false,
        notices: Vec::new(),
        _program: program,
    })
}

const EXAMPLE: &str = r#"the first line describes the sensors: {"sensors": [{"name": "wall.power", "quantity": "power"}]}"#;

fn describe(described: &[Described], command: &str) -> Result<Vec<SensorInfo>, String> {
    if described.is_empty() {
        return Err("describes no sensor".to_owned());
    }
    for (position, sensor) in described.iter().enumerate() {
        if described[..position].iter().any(|earlier| earlier.name == sensor.name) {
            return Err(format!("describes {} twice", sensor.name));
        }
    }
    Ok(described.iter().map(|sensor| info(sensor, described, command)).collect())
}

fn info(sensor: &Described, all: &[Described], command: &str) -> SensorInfo {
    let quantity = sensor.quantity.quantity();
    let positive = |value: Option<f64>| value.filter(|value| value.is_finite() && *value > 0.0);
    let has_counter = all.iter().any(|other| {
        other.quantity == DescribedQuantity::Energy
            && other.component == sensor.component
            && other.device == sensor.device
    });
    let by_itself = sensor.component != Component::Machine
        && (quantity == Quantity::EnergyCounter || (quantity == Quantity::Power && !has_counter));
    let update = positive(sensor.update_period_s).map(Seconds);
    SensorInfo {
        name: sensor.name.clone(),
        meter: KIND.to_owned(),
        component: sensor.component,
        device: sensor.device.clone(),
        quantity,
        unit: quantity.unit().to_owned(),
        source: Source::Measured,
        scope: sensor.scope.clone().unwrap_or_else(|| {
            format!("{} as the program {command} reads it", sensor.component.as_str())
        }),
        method: sensor.method.clone().unwrap_or_else(|| format!("written by {command}")),
        counted: sensor.counted.unwrap_or(by_itself)
            && matches!(quantity, Quantity::EnergyCounter | Quantity::Power),
        resolution: positive(sensor.resolution),
        update_period_s: update,
        sample_period_s: positive(sensor.sample_period_s)
            .map(Seconds)
            .or(update)
            .unwrap_or(USUAL_PERIOD),
        wrap_at: positive(sensor.wrap_at).filter(|_| quantity == Quantity::EnergyCounter),
        systematic_relative: sensor
            .systematic_relative
            .filter(|bound| bound.is_finite() && *bound >= 0.0),
        systematic_source: sensor.systematic_source.clone(),
        timing: None,
        host: sensor.host.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_bad_ones_say_why() {
        let reading = parse(r#"{"sensor": "wall", "watts": 1.5, "t_ns": [5, 9]}"#).unwrap();
        let expected = Reading {
            sensor: "wall".to_owned(),
            value: Ok((Quantity::Power, 1.5)),
            span: Some((Nanos(5), Nanos(9))),
        };
        assert_eq!(reading, Line::Reading(expected));
        for (line, why) in [
            ("watts 5", "no JSON"),
            (r#"{"sensor": "a"}"#, "no value"),
            (r#"{"sensor": "a", "watts": 1, "joules": 2}"#, "more than one"),
            (r#"{"sensor": "a", "wats": 1}"#, "wats"),
            (r#"{"sensor": "a", "watts": 1, "t_ns": [9, 5]}"#, "before its begin"),
            (r#"{"sensors": [{"name": "a"}]}"#, "quantity"),
        ] {
            let told = parse(line).unwrap_err();
            assert!(told.contains(why), "{line}: {told}");
        }
    }

    #[test]
    fn what_counts_follows_from_the_part_and_the_counters() {
        let line = r#"{"sensors": [
            {"name": "wall", "quantity": "energy"},
            {"name": "gpu", "quantity": "energy", "component": "gpu"},
            {"name": "gpu.power", "quantity": "power", "component": "gpu"},
            {"name": "cpu.power", "quantity": "power", "component": "cpu"},
            {"name": "heat", "quantity": "temperature", "component": "cpu", "counted": true}]}"#;
        let Ok(Line::Sensors(described)) = parse(line) else { panic!("{line}") };
        let sensors = describe(&described, "program").unwrap();
        let counted: Vec<bool> = sensors.iter().map(|sensor| sensor.counted).collect();
        assert_eq!(counted, [false, true, false, true, false]);
    }
}
