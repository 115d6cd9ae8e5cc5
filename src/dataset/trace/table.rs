//! Traces as CSV: Azure's and BurstGPT's.

use std::io::BufRead;

use csv::ByteRecord;

use super::Asks;
use super::rows::{Found, Rows};

/// Columns of a format by name, and how its times are written.
pub(super) struct Table {
    time: &'static str,
    prompt: &'static str,
    answer: &'static str,
    seconds: fn(&str) -> Option<f64>,
    times: &'static str,
}

/// Azure's: 2023 without an offset and with seven digits of a second, 2024 with six and `+00:00`.
pub(super) const AZURE: Table = Table {
    time: "TIMESTAMP",
    prompt: "ContextTokens",
    answer: "GeneratedTokens",
    seconds: of_date,
    times: "a time such as 2023-11-16 18:15:46.6805900 or 2024-05-10 00:00:00.009930+00:00",
};

/// BurstGPT's: seconds from the first day on. Later releases have two columns more.
pub(super) const BURSTGPT: Table = Table {
    time: "Timestamp",
    prompt: "Request tokens",
    answer: "Response tokens",
    seconds: |text| text.parse().ok(),
    times: "seconds as a number",
};

/// Seconds of the Unix epoch; a time without an offset is taken as UTC.
fn of_date(text: &str) -> Option<f64> {
    let stamp = text.parse::<jiff::Timestamp>().or_else(|_| {
        let civil: jiff::civil::DateTime = text.parse()?;
        jiff::tz::TimeZone::UTC.to_timestamp(civil)
    });
    // The nanoseconds apart, that none is lost in a number of 53 bits.
    stamp.ok().map(|stamp| stamp.as_second() as f64 + f64::from(stamp.subsec_nanosecond()) * 1e-9)
}

/// Where the columns of a table are.
struct Columns {
    time: usize,
    prompt: usize,
    answer: usize,
}

/// Reads every row that is wanted.
pub(super) fn read(reader: impl BufRead, table: &Table, rows: &mut Rows) {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(reader);
    let header = match reader.byte_headers() {
        Ok(header) => header.clone(),
        Err(cause) => return rows.wrong(1, cause, "a CSV with a header"),
    };
    let Some(columns) = columns(&header, table, rows) else { return };
    let mut record = ByteRecord::new();
    while !rows.is_full() {
        match reader.read_byte_record(&mut record) {
            Ok(false) => return,
            Ok(true) => row(&record, table, &columns, rows),
            Err(cause) => {
                let line = cause.position().map_or(0, csv::Position::line);
                let io = matches!(cause.kind(), csv::ErrorKind::Io(_));
                rows.wrong(line, cause, "as many values in each row as in the header");
                if io {
                    return;
                }
            }
        }
    }
}

fn columns(header: &ByteRecord, table: &Table, rows: &mut Rows) -> Option<Columns> {
    let mut find = |name: &str| {
        let plain =
            |cell: &[u8]| cell.strip_prefix(b"\xef\xbb\xbf").unwrap_or(cell) == name.as_bytes();
        let place = header.iter().position(plain);
        if place.is_none() {
            let message = format!("there is no column `{name}`");
            rows.wrong(1, message, "is scenario.load.format right?");
        }
        place
    };
    let (time, prompt, answer) = (find(table.time), find(table.prompt), find(table.answer));
    Some(Columns { time: time?, prompt: prompt?, answer: answer? })
}

fn row(record: &ByteRecord, table: &Table, columns: &Columns, rows: &mut Rows) {
    let line = record.position().map_or(0, csv::Position::line);
    let text = |column: usize| {
        record.get(column).and_then(|cell| std::str::from_utf8(cell).ok()).unwrap_or("")
    };
    let at = text(columns.time);
    let Some(seconds) = (table.seconds)(at) else {
        return rows.wrong(line, format!("{at:?} in `{}` is no time", table.time), table.times);
    };
    let (prompt, answer) = (text(columns.prompt), text(columns.answer));
    match (whole(prompt), whole(answer)) {
        (Some(0), Some(_)) | (Some(_), Some(0)) => rows.leave_out(),
        (Some(tokens), Some(answer)) => {
            let asks = Asks::Made { tokens, blocks: Box::default() };
            rows.add(line, Found { at: seconds, asks, output_tokens: Some(answer) });
        }
        (None, _) => {
            let message = format!("{prompt:?} in `{}` is no number of tokens", table.prompt);
            rows.wrong(line, message, "a whole number");
        }
        (_, None) => {
            let message = format!("{answer:?} in `{}` is no number of tokens", table.answer);
            rows.wrong(line, message, "a whole number");
        }
    }
}

/// A whole number, also as tables write one that may be missing: `472.0`.
fn whole(text: &str) -> Option<u32> {
    text.strip_suffix(".0").unwrap_or(text).parse().ok()
}
