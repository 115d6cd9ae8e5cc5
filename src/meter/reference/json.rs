//! JSON of Redfish services and of plugs: readings found by their keys, times by those beside or above them.

use jiff::tz::TimeZone;
use serde_json::Value;

use super::{Channel, ParseError, Parsed, times};
use crate::record::reference::ReferenceQuantity::{self, Energy, Power};

/// Deepest nesting that is looked into.
const DEEPEST: usize = 32;

/// Keys of times, in lower case; the innermost counts.
const TIMES: [&str; 10] = [
    "timestamp",
    "time",
    "ts",
    "unixtime",
    "readingtime",
    "datetime",
    "_time",
    "date",
    "at",
    "sampletime",
];

/// Keys of readings: where they stand (the key above, or any), the key, what it is, and the factor to watts or joules.
struct Key {
    under: Option<&'static str>,
    key: &'static str,
    quantity: ReferenceQuantity,
    factor: f64,
}

const fn key(
    under: Option<&'static str>,
    key: &'static str,
    quantity: ReferenceQuantity,
    factor: f64,
) -> Key {
    Key { under, key, quantity, factor }
}

/// Redfish: `Power` and `PowerSubsystem`, `EnvironmentMetrics`, a power `Sensor`, metric reports.
const REDFISH: [Key; 5] = [
    key(None, "powerconsumedwatts", Power, 1.0),
    key(Some("powerwatts"), "reading", Power, 1.0),
    key(None, "poweroutputwatts", Power, 1.0),
    key(Some("energykwh"), "reading", Energy, 3.6e6),
    key(Some("energyjoules"), "reading", Energy, 1.0),
];

/// Shelly (first and second generation) and Tasmota.
const PLUGS: [Key; 6] = [
    key(None, "apower", Power, 1.0),
    key(Some("energy"), "power", Power, 1.0),
    key(Some("meters"), "power", Power, 1.0),
    key(None, "power", Power, 1.0),
    key(Some("aenergy"), "total", Energy, 3600.0),
    key(Some("energy"), "total", Energy, 3.6e6),
];

/// Reads Redfish documents.
///
/// # Errors
/// When it is not JSON, or holds no power.
pub(super) fn redfish(
    text: &str,
    column: Option<&str>,
    zone: &TimeZone,
) -> Result<Parsed, ParseError> {
    read(text, &REDFISH, column, zone)
}

/// Reads what plugs tell.
///
/// # Errors
/// When it is not JSON, or holds no power.
pub(super) fn plug(
    text: &str,
    column: Option<&str>,
    zone: &TimeZone,
) -> Result<Parsed, ParseError> {
    read(text, &PLUGS, column, zone)
}

/// One reading.
struct Found {
    path: String,
    quantity: ReferenceQuantity,
    at: Option<times::Stamp>,
    value: f64,
}

fn read(
    text: &str,
    keys: &[Key],
    column: Option<&str>,
    zone: &TimeZone,
) -> Result<Parsed, ParseError> {
    let mut walk = Walk { keys, zone, found: Vec::new() };
    let mut skipped = 0;
    for document in documents(text)? {
        match document {
            Some(value) => walk.value(&value, &mut Vec::new(), None),
            None => skipped += 1,
        }
    }
    let channel = choose(&walk.found, column)?;
    let mut parsed = Parsed::new(channel.clone());
    parsed.skipped = skipped;
    for found in walk.found.into_iter().filter(|found| found.path == channel.name) {
        parsed.push(found.at.map(|at| (at, found.value)));
    }
    Ok(parsed)
}

/// One document, an array of them, or one a line.
fn documents(text: &str) -> Result<Vec<Option<Value>>, ParseError> {
    if let Ok(whole) = serde_json::from_str::<Value>(text) {
        return Ok(match whole {
            Value::Array(items) => items.into_iter().map(Some).collect(),
            one => vec![Some(one)],
        });
    }
    let lines: Vec<Option<Value>> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            // MQTT logs put the topic before the object.
            let begin = line.find('{')?;
            serde_json::from_str(line.get(begin..)?).ok()
        })
        .collect();
    if lines.iter().all(Option::is_none) { Err(ParseError::NoJson) } else { Ok(lines) }
}

struct Walk<'a> {
    keys: &'a [Key],
    zone: &'a TimeZone,
    found: Vec<Found>,
}

impl Walk<'_> {
    fn value(&mut self, value: &Value, path: &mut Vec<String>, at: Option<times::Stamp>) {
        if path.len() > DEEPEST {
            return;
        }
        match value {
            Value::Array(items) => {
                for (number, item) in items.iter().enumerate() {
                    path.push(number.to_string());
                    self.value(item, path, at);
                    path.pop();
                }
            }
            Value::Object(map) => {
                let own = map
                    .iter()
                    .filter(|(name, _)| TIMES.contains(&name.to_lowercase().as_str()))
                    .find_map(|(_, value)| self.stamp(value));
                let at = own.or(at);
                self.metric(map, at);
                for (name, item) in map {
                    path.push(name.clone());
                    match number(item) {
                        Some(value) => self.reading(path, value, at),
                        None => self.value(item, path, at),
                    }
                    path.pop();
                }
            }
            _ => {}
        }
    }

    fn stamp(&self, value: &Value) -> Option<times::Stamp> {
        match value {
            Value::String(text) => times::parse(text, self.zone),
            Value::Number(number) => times::of_number(number.as_f64()?),
            _ => None,
        }
    }

    /// A value of a Redfish metric report: its name is a value too.
    fn metric(&mut self, map: &serde_json::Map<String, Value>, at: Option<times::Stamp>) {
        let text = |name: &str| map.get(name).and_then(Value::as_str);
        let (Some(id), Some(value)) = (
            text("MetricId").or_else(|| text("MetricProperty")),
            map.get("MetricValue").and_then(number),
        ) else {
            // A sensor says its unit.
            if let (Some("W"), Some(value)) =
                (text("ReadingUnits"), map.get("Reading").and_then(number))
            {
                let path = text("Id").or_else(|| text("Name")).unwrap_or("Reading").to_owned();
                self.found.push(Found { path, quantity: Power, at, value });
            }
            return;
        };
        let lower = id.to_lowercase();
        let quantity = if lower.contains("watt") || lower.contains("power") {
            Some((Power, 1.0))
        } else if lower.contains("energykwh") {
            Some((Energy, 3.6e6))
        } else {
            None
        };
        if let Some((quantity, factor)) = quantity {
            self.found.push(Found { path: id.to_owned(), quantity, at, value: value * factor });
        }
    }

    fn reading(&mut self, path: &[String], value: f64, at: Option<times::Stamp>) {
        let lower = |name: Option<&String>| name.map(|name| name.to_lowercase());
        let Some(name) = lower(path.last()) else { return };
        // Numbers of an array are no names.
        let above = path.iter().rev().skip(1).find(|name| name.parse::<usize>().is_err());
        let above = lower(above);
        let known = self.keys.iter().find(|key| {
            key.key == name && key.under.is_none_or(|under| above.as_deref() == Some(under))
        });
        if let Some(key) = known {
            let path = path.join(".");
            self.found.push(Found { path, quantity: key.quantity, at, value: value * key.factor });
        }
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64().filter(|value| value.is_finite()),
        Value::String(text) => text.trim().parse().ok().filter(|value: &f64| value.is_finite()),
        _ => None,
    }
}

/// The one path of watts with times, else of energy.
fn choose(found: &[Found], column: Option<&str>) -> Result<Channel, ParseError> {
    let mut there: Vec<(&str, ReferenceQuantity)> = Vec::new();
    for one in found {
        if !there.iter().any(|(path, _)| *path == one.path) {
            there.push((&one.path, one.quantity));
        }
    }
    let channel =
        |(name, quantity): (&str, ReferenceQuantity)| Channel { name: name.to_owned(), quantity };
    if let Some(wanted) = column {
        let named = there.iter().find(|(path, _)| path.eq_ignore_ascii_case(wanted));
        let list = || there.iter().map(|(path, _)| *path).collect::<Vec<_>>().join(", ");
        return named
            .copied()
            .map(channel)
            .ok_or_else(|| ParseError::NoSuchColumn { wanted: wanted.to_owned(), there: list() });
    }
    for quantity in [Power, Energy] {
        let of: Vec<&(&str, ReferenceQuantity)> =
            there.iter().filter(|(_, other)| *other == quantity).collect();
        match of.as_slice() {
            [] => {}
            [one] => return Ok(channel(**one)),
            several => {
                let names: Vec<&str> = several.iter().map(|(path, _)| *path).collect();
                return Err(ParseError::SeveralColumns { names: names.join(", ") });
            }
        }
    }
    Err(ParseError::NoColumns)
}
