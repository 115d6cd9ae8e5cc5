//! Recordings of a GPU's sensors around known work: a CSV of readings and a JSON file of marks.
//!
//! `PREFIX_trace.csv` has one row a sample: `t_before_ns`, `t_after_ns` around the read of power
//! (`power_instant_mw`, `power_usage_mw`), and, where the energy counter was read too, `total_energy_mj`, which was
//! read after `t_after_ns` and before `t_energy_ns`. Any of the values may be empty, and a column may be missing.
//! `PREFIX_marks.json` says what ran when. All times are one monotonic clock, in nanoseconds.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Problem, Problems};
use crate::record::{
    Component, DeviceRef, Quantity, SampleRecord, SensorInfo, SensorTiming, Source,
};
use crate::sensor_model::nvidia_timing;
use crate::units::{Nanos, Seconds};

/// Positions of the sensors of a trace.
pub const COUNTER: u16 = 0;
/// The instantaneous power field.
pub const INSTANT: u16 = 1;
/// The averaged power.
pub const USAGE: u16 = 2;

const MILLI: f64 = 1e-3;
/// More problems than these are counted and not shown.
const SHOWN: usize = 20;

/// What is known of the recorded GPU from elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Product name.
    pub gpu: String,
    /// Driver version.
    pub driver: String,
    /// Bound of the gain error as a share, and who says so.
    pub systematic: Option<(f64, String)>,
}

/// The readings of a recording, as a run's records.
#[derive(Debug, Clone)]
pub struct Trace {
    /// Counter, INSTANT and average power, in this order; those without a reading too.
    pub sensors: Vec<SensorInfo>,
    /// In the order of the file.
    pub samples: Vec<SampleRecord>,
}

#[derive(Debug, Deserialize)]
struct Row {
    t_before_ns: u64,
    t_after_ns: u64,
    power_instant_mw: Option<f64>,
    power_usage_mw: Option<f64>,
    total_energy_mj: Option<f64>,
    t_energy_ns: Option<u64>,
}

impl Trace {
    /// Reads a trace.
    ///
    /// # Errors
    /// Every row that is not one, with its line; a file without a single reading.
    pub fn parse(text: &str, place: &str, recorded: &Recorded) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut samples = Vec::new();
        let mut bad = 0_usize;
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        for (index, row) in reader.deserialize::<Row>().enumerate() {
            let line = index + 2;
            match row.map_err(|cause| plain(&cause)).and_then(Row::samples) {
                Ok(read) => samples.extend(read),
                Err(cause) => {
                    bad += 1;
                    if bad <= SHOWN {
                        problems.push(Problem::new(format!("{place}:{line}"), cause).hint(
                            "columns: t_before_ns, t_after_ns, power_instant_mw, power_usage_mw, \
                                 total_energy_mj, t_energy_ns",
                        ));
                    }
                }
            }
        }
        if bad > SHOWN {
            problems.push(Problem::new(place, format!("and {} more rows", bad - SHOWN)));
        }
        if bad == 0 && samples.is_empty() {
            problems.push(Problem::new(place, "not one reading"));
        }
        problems.into_result()?;
        let sensors = sensors(recorded, &samples);
        Ok(Self { sensors, samples })
    }

    /// The samples of one sensor.
    pub fn of(&self, sensor: u16) -> impl Iterator<Item = &SampleRecord> {
        self.samples.iter().filter(move |sample| sample.sensor == sensor)
    }
}

impl Row {
    fn samples(self) -> Result<Vec<SampleRecord>, String> {
        if self.t_after_ns < self.t_before_ns {
            return Err("t_after_ns lies before t_before_ns".to_owned());
        }
        let mut samples = Vec::with_capacity(3);
        let mut add = |sensor, from, to, value: f64| {
            samples.push(SampleRecord {
                sensor,
                before_ns: Nanos(from),
                after_ns: Nanos(to),
                value: Some(value * MILLI),
                error: None,
            });
        };
        if let Some(mw) = self.power_instant_mw {
            add(INSTANT, self.t_before_ns, self.t_after_ns, mw);
        }
        if let Some(mw) = self.power_usage_mw {
            add(USAGE, self.t_before_ns, self.t_after_ns, mw);
        }
        match (self.total_energy_mj, self.t_energy_ns) {
            (Some(_), Some(read)) if read < self.t_after_ns => {
                Err("t_energy_ns lies before t_after_ns".to_owned())
            }
            (Some(mj), Some(read)) => {
                add(COUNTER, self.t_after_ns, read, mj);
                Ok(samples)
            }
            (Some(_), None) => Err("total_energy_mj has no t_energy_ns beside it".to_owned()),
            (None, _) => Ok(samples),
        }
    }
}

fn plain(cause: &csv::Error) -> String {
    match cause.kind() {
        csv::ErrorKind::Deserialize { err, .. } => err.to_string(),
        _ => cause.to_string(),
    }
}

fn sensors(recorded: &Recorded, samples: &[SampleRecord]) -> Vec<SensorInfo> {
    let device = DeviceRef { index: 0, uuid: "recorded".to_owned(), name: recorded.gpu.clone() };
    let one = |position: u16, name: &str, quantity: Quantity, call: &str| SensorInfo {
        name: format!("gpu0.{name}"),
        meter: "replay".to_owned(),
        component: Component::Gpu,
        device: Some(device.clone()),
        quantity,
        unit: quantity.unit().to_owned(),
        source: Source::Measured,
        scope: "whole board with its memory".to_owned(),
        method: format!("{call}, recorded with driver {}", recorded.driver),
        counted: position == COUNTER,
        resolution: Some(MILLI),
        update_period_s: renewal(samples, position),
        sample_period_s: spacing(samples, position).unwrap_or(Seconds(0.1)),
        wrap_at: None,
        systematic_relative: recorded.systematic.as_ref().map(|(share, _)| *share),
        systematic_source: recorded.systematic.as_ref().map(|(_, source)| source.clone()),
        timing: timing(recorded, position, quantity),
        host: None,
    };
    vec![
        one(COUNTER, "energy", Quantity::EnergyCounter, "nvmlDeviceGetTotalEnergyConsumption"),
        one(INSTANT, "power", Quantity::Power, "NVML_FI_DEV_POWER_INSTANT"),
        one(USAGE, "power_usage", Quantity::Power, "nvmlDeviceGetPowerUsage"),
    ]
}

/// The averaged power lags by its whole second: no edge of it is used.
fn timing(recorded: &Recorded, position: u16, quantity: Quantity) -> Option<SensorTiming> {
    if position == USAGE { None } else { nvidia_timing(&recorded.gpu, quantity) }
}

/// How often a sensor renews its value: the median distance of its changes, where it is read more often than that.
fn renewal(samples: &[SampleRecord], sensor: u16) -> Option<Seconds> {
    let mut last: Option<&SampleRecord> = None;
    let mut changes: Vec<Nanos> = Vec::new();
    for sample in samples.iter().filter(|sample| sample.sensor == sensor) {
        if last.is_some_and(|last| last.value != sample.value) {
            changes.push(sample.before_ns);
        }
        last = Some(sample);
    }
    let gap = median(changes.windows(2).map(|pair| pair[1].since(pair[0]).0).collect())?;
    let read = spacing(samples, sensor)?;
    // Read as rarely as it changes, its own period does not show: NVML's 100 ms, the slowest that is known.
    Some(Seconds(if gap < 1.5 * read.0 { gap.min(0.1) } else { gap }))
}

fn spacing(samples: &[SampleRecord], sensor: u16) -> Option<Seconds> {
    let times: Vec<Nanos> = samples
        .iter()
        .filter(|sample| sample.sensor == sensor)
        .map(|sample| sample.before_ns)
        .collect();
    median(times.windows(2).map(|pair| pair[1].since(pair[0]).0).collect()).map(Seconds)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The marks of a recording.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Marks {
    /// Product name of the GPU.
    #[serde(default)]
    pub gpu: Option<String>,
    /// Driver version.
    #[serde(default)]
    pub driver: Option<String>,
    /// In the order of the file.
    pub marks: Vec<Mark>,
}

/// Something that happened while recording.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Mark {
    /// When.
    pub t: Nanos,
    /// `burst_begin`, `burst_end`, ...
    pub name: String,
    /// Whatever else stands there; the counter values among it are nobody's input.
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

/// A marked interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Interval {
    /// `burst`, `series`, ...
    pub name: String,
    /// Position among those of its name, by time.
    pub index: usize,
    /// Begin.
    pub from: Nanos,
    /// End.
    pub to: Nanos,
    /// How much work was done in it, where its end says so (`matmuls` or `work`).
    pub work: Option<f64>,
}

impl Marks {
    /// Reads marks.
    ///
    /// # Errors
    /// A file that is not JSON or has no marks.
    pub fn parse(text: &str, place: &str) -> Result<Self, Problems> {
        serde_json::from_str(text).map_err(|cause| {
            Problem::new(format!("{place}:{}:{}", cause.line(), cause.column()), cause.to_string())
                .hint(
                    "an object with `marks`: a list of objects with `t` in nanoseconds and `name`",
                )
                .into()
        })
    }

    /// The intervals in order of time: `X` from `X_begin` to the next `X_end`, `decode` from `prefill_end` to the next
    /// `decode_end`; and those marks that have no partner.
    #[must_use]
    pub fn intervals(&self) -> (Vec<Interval>, Vec<String>) {
        let mut marks: Vec<&Mark> = self.marks.iter().collect();
        marks.sort_by_key(|mark| mark.t);
        let mut open: BTreeMap<&str, &Mark> = BTreeMap::new();
        let mut found = Vec::new();
        let mut alone = Vec::new();
        for mark in marks {
            if let Some(name) = mark.name.strip_suffix("_end") {
                match open.remove(name) {
                    Some(begin) => found.push(Interval::between(name, begin, mark)),
                    None => alone.push(format!("{} at {} has no begin", mark.name, mark.t.0)),
                }
                if name == "prefill" {
                    open.insert("decode", mark);
                }
            } else if let Some(name) = mark.name.strip_suffix("_begin")
                && let Some(lost) = open.insert(name, mark)
            {
                alone.push(format!("{} at {} has no end", lost.name, lost.t.0));
            }
        }
        let ended = |mark: &&&Mark| mark.name != "prefill_end";
        alone.extend(
            open.values()
                .filter(ended)
                .map(|mark| format!("{} at {} has no end", mark.name, mark.t.0)),
        );
        (in_order(found), alone)
    }
}

/// By time, an outer interval before those inside it; numbered within their names.
fn in_order(mut found: Vec<Interval>) -> Vec<Interval> {
    found.sort_by(|a, b| a.from.cmp(&b.from).then(b.to.cmp(&a.to)));
    let mut next: BTreeMap<String, usize> = BTreeMap::new();
    for interval in &mut found {
        let count = next.entry(interval.name.clone()).or_default();
        interval.index = *count;
        *count += 1;
    }
    found
}

impl Interval {
    fn between(name: &str, begin: &Mark, end: &Mark) -> Self {
        let work = ["matmuls", "work"]
            .iter()
            .find_map(|key| end.more.get(*key).and_then(Value::as_f64))
            .filter(|work| *work > 0.0);
        Self { name: name.to_owned(), index: 0, from: begin.t, to: end.t, work }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded() -> Recorded {
        Recorded { gpu: "NVIDIA H100 80GB HBM3".into(), driver: "580".into(), systematic: None }
    }

    const HEADER: &str =
        "t_before_ns,t_after_ns,power_instant_mw,power_usage_mw,total_energy_mj,t_energy_ns\n";

    #[test]
    fn a_row_gives_a_reading_of_each_sensor_with_its_own_stamps() {
        let text = format!("{HEADER}100,200,69226,68814,2514791,300\n400,450,69474,68814,,\n");
        let trace = Trace::parse(&text, "t.csv", &recorded()).unwrap();
        let counter: Vec<_> = trace.of(COUNTER).collect();
        assert_eq!(counter.len(), 1);
        assert_eq!((counter[0].before_ns, counter[0].after_ns), (Nanos(200), Nanos(300)));
        assert!((counter[0].value.unwrap() - 2514.791).abs() < 1e-9);
        assert_eq!(trace.of(INSTANT).count(), 2);
        assert!((trace.of(INSTANT).next().unwrap().value.unwrap() - 69.226).abs() < 1e-9);
    }

    #[test]
    fn every_bad_row_is_told_with_its_line() {
        let text = format!("{HEADER}1,2,x,,,\n1,2,,,5,\n5,4,1,1,,\n");
        let problems = Trace::parse(&text, "t.csv", &recorded()).unwrap_err().to_string();
        for place in ["t.csv:2", "t.csv:3", "t.csv:4"] {
            assert!(problems.contains(place), "{problems}");
        }
    }

    #[test]
    fn an_empty_recording_is_no_recording() {
        assert!(Trace::parse(HEADER, "t.csv", &recorded()).is_err());
        assert!(Trace::parse("", "t.csv", &recorded()).is_err());
    }

    #[test]
    fn intervals_are_paired_nested_and_numbered_by_time() {
        let marks = Marks::parse(
            r#"{"gpu": "x", "marks": [
              {"t": 10, "name": "series_begin"}, {"t": 11, "name": "burst_begin"},
              {"t": 20, "name": "burst_end", "matmuls": 40}, {"t": 30, "name": "burst_begin"},
              {"t": 40, "name": "burst_end"}, {"t": 50, "name": "series_end"},
              {"t": 60, "name": "prefill_begin"}, {"t": 70, "name": "prefill_end"},
              {"t": 90, "name": "decode_end"}, {"t": 95, "name": "idle_end"}, {"t": 99, "name": "end"}]}"#,
            "m.json",
        )
        .unwrap();
        let (intervals, alone) = marks.intervals();
        let told: Vec<_> =
            intervals.iter().map(|i| (i.name.as_str(), i.index, i.from.0, i.to.0)).collect();
        assert_eq!(
            told,
            [
                ("series", 0, 10, 50),
                ("burst", 0, 11, 20),
                ("burst", 1, 30, 40),
                ("prefill", 0, 60, 70),
                ("decode", 0, 70, 90),
            ]
        );
        assert_eq!(intervals[1].work, Some(40.0));
        assert_eq!(alone.len(), 1, "{alone:?}");
    }
}
