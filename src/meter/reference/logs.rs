//! Logs of SPEC PTDaemon and of `ipmitool`.

use jiff::tz::TimeZone;

use super::{Channel, ParseError, Parsed, times};
use crate::record::reference::ReferenceQuantity;

/// Reads a log of PTDaemon: lines of names and values, `Time,01-20-2021 17:06:10.221,Watts,22.9,Volts,...`.
///
/// # Errors
/// When no line is one.
pub(super) fn ptdaemon(
    text: &str,
    column: Option<&str>,
    zone: &TimeZone,
) -> Result<Parsed, ParseError> {
    let wanted = column.unwrap_or("Watts");
    let channel = Channel { name: wanted.to_owned(), quantity: ReferenceQuantity::Power };
    let mut parsed = Parsed::new(channel);
    let mut any = false;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let value = |name: &str| {
            let at = cells.iter().position(|cell| cell.eq_ignore_ascii_case(name))?;
            cells.get(at + 1).copied()
        };
        if value("Time").is_none() || value(wanted).is_none() {
            parsed.push(None);
            continue;
        }
        any = true;
        parsed.push(value("Time").and_then(|time| {
            let at = times::parse(time, zone)?;
            // A negative reading is an invalid one.
            let watts: f64 = value(wanted)?.parse().ok()?;
            (watts.is_finite() && watts >= 0.0).then_some((at, watts))
        }));
    }
    if any { Ok(parsed) } else { Err(ParseError::NoColumns) }
}

/// Reads what `ipmitool dcmi power reading` or `ipmitool sdr` printed again and again.
///
/// The time is that of a line before a reading (as `date` or `ts` write it), else the service processor's own
/// (`IPMI timestamp`), which stands after it.
///
/// # Errors
/// When there is no reading, or several sensors of `sdr` would do.
pub(super) fn ipmi(
    text: &str,
    column: Option<&str>,
    zone: &TimeZone,
) -> Result<Parsed, ParseError> {
    let mut log = Ipmi { found: Vec::new(), stamp: None, held: Vec::new(), skipped: 0 };
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        log.line(line, zone);
    }
    log.skipped += log.held.len() as u64;
    let mut names: Vec<&str> = Vec::new();
    for (name, ..) in &log.found {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let chosen = match (column, names.as_slice()) {
        (Some(wanted), there) => there
            .iter()
            .find(|name| name.eq_ignore_ascii_case(wanted))
            .map(|name| (*name).to_owned())
            .ok_or_else(|| ParseError::NoSuchColumn {
                wanted: wanted.to_owned(),
                there: there.join(", "),
            })?,
        (None, []) => return Err(ParseError::NoColumns),
        (None, [one]) => (*one).to_owned(),
        (None, several) => return Err(ParseError::SeveralColumns { names: several.join(", ") }),
    };
    let channel = Channel { name: chosen.clone(), quantity: ReferenceQuantity::Power };
    let mut parsed = Parsed::new(channel);
    parsed.skipped = log.skipped;
    for (_, at, watts) in log.found.into_iter().filter(|(name, ..)| *name == chosen) {
        parsed.push(Some((at, watts)));
    }
    Ok(parsed)
}

struct Ipmi {
    found: Vec<(String, times::Stamp, f64)>,
    /// Of the lines since the last reading.
    stamp: Option<times::Stamp>,
    /// Readings that wait for a time.
    held: Vec<(String, f64)>,
    skipped: u64,
}

/// The name that a DCMI reading is given.
const DCMI: &str = "Instantaneous power reading";

impl Ipmi {
    fn line(&mut self, line: &str, zone: &TimeZone) {
        if let Some((_, time)) = line.split_once("timestamp:") {
            if let Some(at) = times::parse(time, zone) {
                self.release(at);
            }
            return;
        }
        let rest = match times::leading(line, zone) {
            Some((stamp, rest)) => {
                self.stamp = Some(stamp);
                rest
            }
            None => line,
        };
        if let Some((name, watts)) = reading(rest) {
            match self.stamp {
                Some(at) => self.found.push((name, at, watts)),
                None => self.held.push((name, watts)),
            }
        }
    }

    fn release(&mut self, at: times::Stamp) {
        for (name, watts) in self.held.drain(..) {
            self.found.push((name, at, watts));
        }
    }
}

/// `Instantaneous power reading: 220 Watts`, or `Pwr Consumption | 154 Watts | ok`.
fn reading(line: &str) -> Option<(String, f64)> {
    let watts = |text: &str| {
        let mut words = text.split_whitespace();
        let value: f64 = words.next()?.parse().ok()?;
        let unit = words.next()?.to_lowercase();
        (unit.starts_with("watt") && value.is_finite() && value >= 0.0).then_some(value)
    };
    if let Some((name, value)) = line.split_once('|') {
        return Some((name.trim().to_owned(), watts(value.split('|').next()?)?));
    }
    let (name, value) = line.split_once(':')?;
    (name.trim() == DCMI).then(|| Some((DCMI.to_owned(), watts(value)?)))?
}
