//! CSV of power analysers and plugs: a column of time and one of watts or of energy counted up.

use jiff::tz::TimeZone;

use super::{Channel, ParseError, Parsed, times};
use crate::record::reference::ReferenceQuantity;

/// Lines before the header at most.
const PREAMBLE: usize = 100;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Unit {
    quantity: ReferenceQuantity,
    /// To watts or joules.
    factor: f64,
}

const fn power(factor: f64) -> Unit {
    Unit { quantity: ReferenceQuantity::Power, factor }
}

const fn energy(factor: f64) -> Unit {
    Unit { quantity: ReferenceQuantity::Energy, factor }
}

/// Units as headers write them.
const UNITS: [(&str, Unit); 14] = [
    ("w", power(1.0)),
    ("watt", power(1.0)),
    ("watts", power(1.0)),
    ("mw", power(1e-3)),
    ("kw", power(1e3)),
    ("milliwatts", power(1e-3)),
    ("kilowatts", power(1e3)),
    ("j", energy(1.0)),
    ("joules", energy(1.0)),
    ("kj", energy(1e3)),
    ("ws", energy(1.0)),
    ("wh", energy(3600.0)),
    ("mwh", energy(3.6)),
    ("kwh", energy(3.6e6)),
];

/// Names that mean watts where no unit is written: of analysers (`P`, `P1`, `P-1`, `PSigma`), plugs and monitors.
const POWERS: [&str; 10] = [
    "power",
    "apower",
    "act_power",
    "active power",
    "activepower",
    "p",
    "p1",
    "p-1",
    "psigma",
    "total power",
];

/// Reads a table.
///
/// # Errors
/// When no columns of time and of a reading are found, or several would do.
pub(super) fn parse(
    text: &str,
    column: Option<&str>,
    zone: &TimeZone,
) -> Result<Parsed, ParseError> {
    let delimiter = delimiter(text).ok_or(ParseError::NoTable)?;
    let lines: Vec<&str> = text.lines().collect();
    let (header, layout) = find_layout(&lines, delimiter, column, zone)?;
    let mut parsed = Parsed::new(layout.channel.clone());
    let body = lines.get(header..).unwrap_or_default().join("\n");
    let mut reader = ::csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(body.as_bytes());
    for record in reader.records() {
        let row = record.ok().and_then(|record| {
            let cells: Vec<&str> = record.iter().collect();
            let at = layout.time(&cells, zone)?;
            let value = number(cells.get(layout.value)?, delimiter)?;
            Some((at, value * layout.factor))
        });
        parsed.push(row);
    }
    Ok(parsed)
}

/// Which columns hold what.
#[derive(Debug)]
struct Layout {
    times: Vec<usize>,
    value: usize,
    factor: f64,
    channel: Channel,
    /// Milliseconds in a column of their own.
    milliseconds: Option<usize>,
}

impl Layout {
    fn time(&self, cells: &[&str], zone: &TimeZone) -> Option<times::Stamp> {
        let parts: Option<Vec<&str>> =
            self.times.iter().map(|column| cells.get(*column).copied()).collect();
        let text = parts?.join(" ");
        // Where the comma parts no columns it may part decimals.
        let mut stamp =
            times::parse(&text, zone).or_else(|| times::parse(&text.replace(',', "."), zone))?;
        if let Some(column) = self.milliseconds {
            let value: f64 = cells.get(column)?.trim().parse().ok()?;
            stamp.seconds += value / 1000.0;
        }
        Some(stamp)
    }
}

/// The delimiter that the most of the lines hold.
fn delimiter(text: &str) -> Option<u8> {
    let count = |delimiter: char| {
        text.lines().take(PREAMBLE).filter(|line| line.contains(delimiter)).count()
    };
    // A comma in a file of semicolons or tabs is the decimal one.
    [('\t', b'\t'), (';', b';'), (',', b',')]
        .into_iter()
        .max_by_key(|(character, _)| {
            let lines = count(*character);
            (lines, *character != ',')
        })
        .filter(|(character, _)| count(*character) > 0)
        .map(|(_, byte)| byte)
}

/// The first line that names a column of time and one of a reading; or, without any, two columns of numbers.
fn find_layout(
    lines: &[&str],
    delimiter: u8,
    column: Option<&str>,
    zone: &TimeZone,
) -> Result<(usize, Layout), ParseError> {
    let mut ambiguous = None;
    for (number, line) in lines.iter().take(PREAMBLE).enumerate() {
        let cells = split(line, delimiter);
        match layout(&cells, column) {
            Ok(Some(layout)) => return Ok((number + 1, layout)),
            Ok(None) => {}
            Err(error) => {
                ambiguous.get_or_insert(error);
            }
        }
    }
    if let Some(error) = ambiguous {
        return Err(error);
    }
    let is_bare = |line: &str| {
        let cells = split(line, delimiter);
        let [time, value] = cells.as_slice() else { return false };
        times::parse(time, zone).is_some() && number(value, delimiter).is_some()
    };
    let is_comment = |line: &str| line.trim().is_empty() || line.starts_with('#');
    let first = lines.iter().position(|line| !is_comment(line));
    match first.filter(|first| column.is_none() && is_bare(lines[*first])) {
        Some(first) => {
            let channel =
                Channel { name: "second column".to_owned(), quantity: ReferenceQuantity::Power };
            Ok((
                first,
                Layout { times: vec![0], value: 1, factor: 1.0, channel, milliseconds: None },
            ))
        }
        None => Err(ParseError::NoColumns),
    }
}

fn split(line: &str, delimiter: u8) -> Vec<String> {
    line.split(char::from(delimiter))
        .map(|cell| cell.trim().trim_matches('"').trim().to_owned())
        .collect()
}

fn layout(cells: &[String], column: Option<&str>) -> Result<Option<Layout>, ParseError> {
    let lower: Vec<String> = cells.iter().map(|cell| cell.to_lowercase()).collect();
    let named = |names: &[&str]| {
        lower.iter().position(|cell| {
            let word = cell.split(['(', '[', '/']).next().unwrap_or_default().trim();
            names.contains(&word)
        })
    };
    let date = named(&["date"]);
    let time = named(&[
        "timestamp",
        "time",
        "datetime",
        "date time",
        "unixtime",
        "ts",
        "time_s",
        "t",
        "elapsed time",
        "elapsed",
    ]);
    let times: Vec<usize> = match (date, time) {
        (Some(date), Some(time)) => vec![date, time],
        (None, Some(time)) => vec![time],
        _ => return Ok(None),
    };
    let milliseconds =
        named(&["millisecond", "milliseconds", "ms"]).filter(|column| !times.contains(column));
    let others = || {
        (0..cells.len()).filter(|column| !times.contains(column) && Some(*column) != milliseconds)
    };
    let value = match column {
        Some(wanted) => {
            let wanted = wanted.to_lowercase();
            let Some(found) = others().find(|column| lower[*column] == wanted) else {
                return Err(ParseError::NoSuchColumn { wanted, there: cells.join(", ") });
            };
            (found, unit(&lower[found]).unwrap_or(power(1.0)))
        }
        None => match chosen(&lower, others)? {
            Some(found) => found,
            None => return Ok(None),
        },
    };
    let (value, unit) = value;
    let channel = Channel { name: cells[value].clone(), quantity: unit.quantity };
    Ok(Some(Layout { times, value, factor: unit.factor, channel, milliseconds }))
}

/// The one column of watts, else the one of energy.
fn chosen<I: Iterator<Item = usize>>(
    lower: &[String],
    others: impl Fn() -> I,
) -> Result<Option<(usize, Unit)>, ParseError> {
    for quantity in [ReferenceQuantity::Power, ReferenceQuantity::Energy] {
        let found: Vec<(usize, Unit)> = others()
            .filter_map(|column| Some((column, unit(&lower[column])?)))
            .filter(|(_, unit)| unit.quantity == quantity)
            .collect();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(Some(*one)),
            several => {
                let names: Vec<&str> =
                    several.iter().map(|(column, _)| lower[*column].as_str()).collect();
                return Err(ParseError::SeveralColumns { names: names.join(", ") });
            }
        }
    }
    Ok(None)
}

/// The unit that a header names: `P [W]`, `power_mw`, `Energy (kWh)`; or watts, by a name that means power.
fn unit(header: &str) -> Option<Unit> {
    let of = |word: &str| UNITS.iter().find(|(name, _)| *name == word).map(|(_, unit)| *unit);
    let words = header.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.clone().next_back().and_then(of).or_else(|| {
        let name = header.trim();
        (POWERS.contains(&name) || words.clone().next() == Some("watts")).then(|| power(1.0))
    })
}

/// A number; with a decimal comma where the comma does not part columns.
fn number(cell: &str, delimiter: u8) -> Option<f64> {
    let cell = cell.trim().trim_matches('"').trim();
    let value: f64 =
        if delimiter == b',' { cell.parse().ok()? } else { cell.replace(',', ".").parse().ok()? };
    value.is_finite().then_some(value)
}
