//! Recorded readings, played again in their own time.
//!
//! Measures: nothing; it gives back what was measured once. Needs: a run folder, or a trace with the columns that
//! `windows` reads. Limits: the figures of such a run say nothing of the load that runs beside it, and the report says
//! so; after the end of the recording the sensors fail. Example: `meter: {type: replay, file: traces/h100_trace.csv}`.

use std::fs;
use std::path::Path;

use crate::config::component::meter::{MeterConfig, ReplayConfig};
use crate::error::{Problem, Problems};
use crate::record::{Quantity, RunRecords, SampleRecord, SensorInfo, Warning};
use crate::trace::{Marks, Recorded, Trace};
use crate::units::Nanos;

use super::{Arrival, Meter, MeterEntry, MeterError, OpenRequest, Opened, nvml};

/// The line in the registry.
pub const ENTRY: MeterEntry =
    MeterEntry { kind: KIND, summary: "Recorded readings, played again in their own time", open };

const KIND: &str = "replay";
/// Ends of file names: of a trace, and of its marks beside it.
const TRACE_END: &str = "_trace.csv";
const MARKS_END: &str = "_marks.json";

/// A recording.
struct Recording {
    sensors: Vec<SensorInfo>,
    samples: Vec<SampleRecord>,
}

struct ReplayMeter {
    sensors: Vec<SensorInfo>,
    /// In order of the moment at which a reading was there.
    samples: Vec<SampleRecord>,
    /// When the recording began.
    origin: Nanos,
    next: usize,
    /// The present at which the recording began.
    begun: Option<Nanos>,
    last: Vec<Result<f64, MeterError>>,
}

impl Meter for ReplayMeter {
    fn sensors(&self) -> &[SensorInfo] {
        &self.sensors
    }

    /// The last reading that was played; before the first one, the first.
    fn read(&mut self, sensor: usize) -> Result<f64, MeterError> {
        let none = || Err(MeterError::new(format!("the recording has no sensor {sensor}")));
        self.last.get(sensor).cloned().unwrap_or_else(none)
    }

    fn pushes(&self) -> bool {
        true
    }

    fn arrivals(&mut self, now: Nanos) -> Vec<Arrival> {
        let begun = *self.begun.get_or_insert(now);
        let origin = self.origin;
        let shift = |at: Nanos| Nanos(begun.0 + at.0.saturating_sub(origin.0));
        let mut arrivals = Vec::new();
        while let Some(sample) = self.samples.get(self.next) {
            let (before, after) = (shift(sample.before_ns), shift(sample.after_ns));
            if after > now {
                return arrivals;
            }
            let why = sample.error.clone().unwrap_or_else(|| "no value was recorded".to_owned());
            let value = sample.value.ok_or_else(|| MeterError::new(why));
            let sensor = usize::from(sample.sensor);
            self.last[sensor] = value.clone();
            arrivals.push(Arrival { sensor, before, after, value });
            self.next += 1;
        }
        if self.next == self.samples.len() {
            self.next += 1;
            let over = || Err(MeterError::new("the recording is over"));
            arrivals.extend((0..self.sensors.len()).map(|sensor| {
                self.last[sensor] = over();
                Arrival { sensor, before: now, after: now, value: over() }
            }));
        }
        arrivals
    }
}

fn open(request: &OpenRequest<'_>) -> Opened {
    let mut opened = Opened::default();
    for config in request.extra {
        let MeterConfig::Replay(replay) = config else { continue };
        match read(replay) {
            Ok(recording) => {
                opened.warnings.push(Warning::new(
                    "replayed_readings",
                    format!(
                        "The readings of {} sensors are played from {}: they say nothing of what this run did.",
                        recording.sensors.len(),
                        replay.file
                    ),
                ));
                opened.meters.push(Box::new(meter(recording)));
            }
            Err(problems) => opened.problems.extend(problems.0),
        }
    }
    opened
}

fn meter(recording: Recording) -> ReplayMeter {
    let Recording { sensors, mut samples } = recording;
    samples.sort_by_key(|sample| (sample.after_ns, sample.before_ns));
    let origin = samples.iter().map(|sample| sample.before_ns).min().unwrap_or_default();
    let first = |sensor: usize| {
        let of = |sample: &&SampleRecord| usize::from(sample.sensor) == sensor;
        samples
            .iter()
            .filter(of)
            .find_map(|sample| sample.value)
            .ok_or_else(|| MeterError::new("nothing was recorded"))
    };
    ReplayMeter {
        last: (0..sensors.len()).map(first).collect(),
        sensors,
        samples,
        origin,
        next: 0,
        begun: None,
    }
}

fn read(replay: &ReplayConfig) -> Result<Recording, Problems> {
    let path = Path::new(&replay.file);
    let recording = if path.is_dir() { folder(path) } else { trace(path) }?;
    if recording.samples.is_empty() {
        return Err(Problem::new("meter.file", format!("{} holds no reading", replay.file)).into());
    }
    Ok(replayed(recording, &replay.file))
}

/// Without what tells of the machine that recorded rather than of its work.
fn replayed(recording: Recording, file: &str) -> Recording {
    let Recording { sensors, samples } = recording;
    let kept: Vec<usize> =
        (0..sensors.len()).filter(|index| sensors[*index].quantity != Quantity::CpuTime).collect();
    let place = |sensor: u16| kept.iter().position(|index| *index == usize::from(sensor));
    let samples = samples
        .into_iter()
        .filter_map(|sample| {
            let sensor = u16::try_from(place(sample.sensor)?).ok()?;
            Some(SampleRecord { sensor, ..sample })
        })
        .collect();
    let sensors = kept.iter().map(|index| {
        let mut info = sensors[*index].clone();
        KIND.clone_into(&mut info.meter);
        info.method = format!("played from {file}: {}", info.method);
        info
    });
    Recording { sensors: sensors.collect(), samples }
}

fn folder(path: &Path) -> Result<Recording, Problems> {
    let records = RunRecords::read(path)
        .map_err(|cause| Problems::from(Problem::new("meter.file", cause.to_string())))?;
    Ok(Recording { sensors: records.manifest.sensors, samples: records.samples })
}

fn trace(path: &Path) -> Result<Recording, Problems> {
    let shown = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|cause| {
        let problem = Problem::new("meter.file", format!("cannot read {shown}: {cause}"));
        Problems::from(problem.hint("a run folder, or a trace (CSV)"))
    })?;
    let Trace { sensors, samples } = Trace::parse(&text, &shown, &recorded(path))?;
    Ok(Recording { sensors, samples })
}

/// What the marks beside a trace say of the GPU.
fn recorded(path: &Path) -> Recorded {
    let marks = path
        .to_str()
        .and_then(|path| path.strip_suffix(TRACE_END))
        .and_then(|prefix| fs::read_to_string(format!("{prefix}{MARKS_END}")).ok())
        .and_then(|text| Marks::parse(&text, "").ok());
    let (gpu, driver) = marks.map_or((None, None), |marks| (marks.gpu, marks.driver));
    Recorded {
        systematic: gpu.as_deref().map(nvml::bound_of),
        gpu: gpu.unwrap_or_else(|| "a GPU".to_owned()),
        driver: driver.unwrap_or_else(|| "unknown".to_owned()),
    }
}
