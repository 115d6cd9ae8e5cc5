//! Files of external meters: power analysers, PTDaemon, Redfish, IPMI, smart plugs.
//!
//! A file becomes a [`ReferenceTrace`]: times and watts (or joules counted up) as they stand in it, by the meter's own clock. The
//! analysis aligns that clock.

mod json;
mod logs;
mod table;
pub mod times;

use std::fs;
use std::path::Path;

use jiff::tz::{Offset, TimeZone};
use sha2::{Digest, Sha256};

use crate::config::component::reference::{
    ReferenceConfig, ReferenceFormat, ReferenceScope as ConfigScope,
};
use crate::error::Problem;
use crate::record::reference::{ReferenceClock, ReferenceQuantity, ReferenceScope, ReferenceTrace};
use crate::record::{files, parse_lines};
use crate::units::Seconds;
use times::Stamp;

/// Fewest readings of a file.
const FEWEST: usize = 3;
/// Largest file.
const LARGEST_BYTES: u64 = 256 * 1024 * 1024;

/// Why a file cannot be read as one of an external meter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// No form fits.
    #[error(
        "is in no form that is known (a power analyser's CSV, PTDaemon, Redfish, IPMI, a smart plug)"
    )]
    NoForm,
    /// No delimiter.
    #[error("is not a table: no line holds a comma, a semicolon or a tab")]
    NoTable,
    /// No JSON.
    #[error("holds no JSON")]
    NoJson,
    /// Nothing that looks like a reading.
    #[error("has no readings of power or energy with times")]
    NoColumns,
    /// A stated column is not there.
    #[error("has no column {wanted:?}; there are: {there}")]
    NoSuchColumn {
        /// As stated.
        wanted: String,
        /// What there is.
        there: String,
    },
    /// Several would do.
    #[error("has several columns that would do: {names}")]
    SeveralColumns {
        /// Which.
        names: String,
    },
    /// Too few.
    #[error("holds {found} readings with times; {FEWEST} are the least")]
    TooFew {
        /// How many.
        found: usize,
    },
    /// Times of both kinds.
    #[error("mixes times of day with times since some moment")]
    MixedClocks,
}

/// Which readings of a file were taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Column, key or sensor.
    pub name: String,
    /// Watts or joules.
    pub quantity: ReferenceQuantity,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// Which readings.
    pub channel: Channel,
    /// Time and value of each.
    pub readings: Vec<(Stamp, f64)>,
    /// Rows without one.
    pub skipped: u64,
}

impl Parsed {
    const fn new(channel: Channel) -> Self {
        Self { channel, readings: Vec::new(), skipped: 0 }
    }

    fn push(&mut self, reading: Option<(Stamp, f64)>) {
        match reading.filter(|(stamp, value)| stamp.seconds.is_finite() && value.is_finite()) {
            Some(reading) => self.readings.push(reading),
            None => self.skipped += 1,
        }
    }
}

/// Reads a file.
///
/// # Errors
/// When it cannot be read, or is not what the settings say.
pub fn read(path: &Path, config: &ReferenceConfig) -> Result<ReferenceTrace, Problem> {
    let place = path.display().to_string();
    let wrong = |message: String| Problem::new(place.clone(), message);
    let size = fs::metadata(path).map_err(|cause| wrong(format!("cannot be read: {cause}")))?.len();
    if size > LARGEST_BYTES {
        return Err(wrong(format!("has {size} bytes, {LARGEST_BYTES} at most are read"))
            .hint("average the readings over 0.1 s or more"));
    }
    let bytes = fs::read(path).map_err(|cause| wrong(format!("cannot be read: {cause}")))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    trace(&bytes, &name, config).map_err(|error| {
        let hint = match &error {
            ParseError::SeveralColumns { .. } | ParseError::NoSuchColumn { .. } => {
                "name one with metrics.reference.column (--column)"
            }
            ParseError::NoForm
            | ParseError::NoTable
            | ParseError::NoJson
            | ParseError::NoColumns => "name the form with metrics.reference.format (--format)",
            ParseError::TooFew { .. } => "record from before the run until after it",
            ParseError::MixedClocks => "keep rows of one kind",
        };
        wrong(error.to_string()).hint(hint)
    })
}

/// Adds readings to a run folder's `references.jsonl`; earlier ones of the same file and column make way.
///
/// # Errors
/// When the file cannot be read or written; it is replaced whole.
pub fn keep(folder: &Path, trace: ReferenceTrace) -> Result<(), Problem> {
    let path = folder.join(files::REFERENCES);
    let failed = |cause: &dyn std::fmt::Display| {
        Problem::new(path.display().to_string(), format!("cannot be written: {cause}"))
    };
    let before = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(cause) => return Err(failed(&cause)),
    };
    let (mut traces, _) = parse_lines::<ReferenceTrace>(&before);
    traces.retain(|old| old.sha256 != trace.sha256 || old.channel != trace.channel);
    traces.push(trace);
    let mut bytes = Vec::new();
    for trace in &traces {
        serde_json::to_writer(&mut bytes, trace).map_err(|cause| failed(&cause))?;
        bytes.push(b'\n');
    }
    let beside = path.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&beside, &bytes)
        .and_then(|()| fs::rename(&beside, &path))
        .map_err(|cause| failed(&cause))
}

/// The readings in a file's bytes.
///
/// # Errors
/// When they are not what the settings say.
pub fn trace(
    bytes: &[u8],
    name: &str,
    config: &ReferenceConfig,
) -> Result<ReferenceTrace, ParseError> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches('\u{feff}');
    let zone = zone(config);
    let (format, parsed) = parse(text, config, &zone)?;
    let (clock, times_s, values) = in_order(&parsed)?;
    Ok(ReferenceTrace {
        file: name.to_owned(),
        sha256: crate::record::hex(&Sha256::digest(bytes)),
        format: format.as_str().to_owned(),
        scope: match config.scope {
            ConfigScope::Wall => ReferenceScope::Wall,
            ConfigScope::Gpu => ReferenceScope::Gpu,
        },
        device: config.device.clone(),
        channel: parsed.channel.name,
        quantity: parsed.channel.quantity,
        clock,
        accuracy_relative: config.accuracy_percent.map(|percent| percent / 100.0),
        max_offset_s: Seconds(config.max_offset_s),
        clock_bound_s: config.clock_bound_s.map(Seconds),
        conversion: config.conversion_efficiency.zip(config.conversion_uncertainty).map(Into::into),
        skipped: parsed.skipped,
        times_s,
        values,
    })
}

/// The zone of times that name none.
fn zone(config: &ReferenceConfig) -> TimeZone {
    config
        .utc_offset_hours
        .and_then(|hours| Offset::from_seconds((hours * 3600.0).round() as i32).ok())
        .map_or_else(TimeZone::system, TimeZone::fixed)
}

fn parse(
    text: &str,
    config: &ReferenceConfig,
    zone: &TimeZone,
) -> Result<(ReferenceFormat, Parsed), ParseError> {
    let column = config.column.as_deref();
    let format = match config.format {
        ReferenceFormat::Auto => recognise(text).ok_or(ParseError::NoForm)?,
        named => named,
    };
    let parsed = match format {
        ReferenceFormat::Ptdaemon => logs::ptdaemon(text, column, zone)?,
        ReferenceFormat::Ipmi => logs::ipmi(text, column, zone)?,
        ReferenceFormat::Redfish => json::redfish(text, column, zone)?,
        ReferenceFormat::SmartPlug if text.contains('{') => json::plug(text, column, zone)?,
        ReferenceFormat::SmartPlug | ReferenceFormat::PowerCsv | ReferenceFormat::Auto => {
            table::parse(text, column, zone)?
        }
    };
    Ok((format, parsed))
}

/// The form of a file, by what only that form holds.
fn recognise(text: &str) -> Option<ReferenceFormat> {
    let begin: String = text.chars().take(20_000).collect();
    let lower = begin.to_lowercase();
    let has = |word: &str| lower.contains(word);
    let named_values = |line: &str| {
        let mut cells = line.split(',');
        cells.next() == Some("Time")
            && cells.next().is_some_and(|time| time.contains(':'))
            && cells.next() == Some("Watts")
    };
    if begin.lines().any(named_values) {
        Some(ReferenceFormat::Ptdaemon)
    } else if has("instantaneous power reading") || (has(" watts") && has("|")) {
        Some(ReferenceFormat::Ipmi)
    } else if has("{")
        && ["powerconsumedwatts", "powerwatts", "metricvalue", "readingunits", "@odata"]
            .iter()
            .any(|key| has(key))
    {
        Some(ReferenceFormat::Redfish)
    } else if has("{") && has("power") {
        Some(ReferenceFormat::SmartPlug)
    } else if [",", ";", "\t"].iter().any(|delimiter| has(delimiter)) {
        Some(ReferenceFormat::PowerCsv)
    } else {
        None
    }
}

type Ordered = (ReferenceClock, Vec<f64>, Vec<f64>);

/// Readings in order of time, one for each moment.
fn in_order(parsed: &Parsed) -> Result<Ordered, ParseError> {
    let mut readings = parsed.readings.clone();
    let clock = readings.first().map_or(ReferenceClock::Wall, |(stamp, _)| stamp.clock);
    if readings.iter().any(|(stamp, _)| stamp.clock != clock) {
        return Err(ParseError::MixedClocks);
    }
    if clock == ReferenceClock::Relative {
        past_midnight(&mut readings);
    }
    readings.sort_by(|one, two| one.0.seconds.total_cmp(&two.0.seconds));
    readings.dedup_by(|later, earlier| later.0.seconds <= earlier.0.seconds);
    if readings.len() < FEWEST {
        return Err(ParseError::TooFew { found: readings.len() });
    }
    let times = readings.iter().map(|(stamp, _)| stamp.seconds).collect();
    let values = readings.iter().map(|(_, value)| *value).collect();
    Ok((clock, times, values))
}

/// Times of day that begin again at midnight go on.
fn past_midnight(readings: &mut [(Stamp, f64)]) {
    const DAY: f64 = 86_400.0;
    let mut days = 0.0;
    let mut before = f64::NEG_INFINITY;
    for (stamp, _) in readings {
        if stamp.seconds < before - DAY / 2.0 {
            days += DAY;
        }
        before = stamp.seconds;
        stamp.seconds += days;
    }
}

#[cfg(test)]
mod tests;
