//! JSON Lines: an object a line. Blank lines are no rows.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::lines::{Lines, is_blank};
use super::{Cell, DatasetFormat, Flow, ReadError, ReadOptions, Row};

/// JSON Lines.
pub(super) const FORMAT: DatasetFormat = DatasetFormat {
    kind: "jsonl",
    extensions: &["jsonl", "ndjson"],
    summary: "JSON Lines: an object a line",
    read,
};

fn read(
    path: &Path,
    options: &ReadOptions<'_>,
    sink: &mut dyn FnMut(Row) -> Flow,
) -> Result<u64, ReadError> {
    read_from(BufReader::with_capacity(1 << 16, File::open(path)?), options, sink)
}

/// The same from anywhere. Lines that are only counted are not parsed.
pub(super) fn read_from(
    reader: impl BufRead,
    options: &ReadOptions<'_>,
    sink: &mut dyn FnMut(Row) -> Flow,
) -> Result<u64, ReadError> {
    let mut lines = Lines::new(reader);
    let mut columns = Columns::new(options.column);
    let mut rows = 0;
    let mut flow = Flow::Keep;
    while let Some((number, line)) = lines.next()? {
        if is_blank(line) {
            continue;
        }
        rows += 1;
        if flow == Flow::Count {
            continue;
        }
        let cell = object(line, &mut columns).map_err(|error| at_line(number, &error))?;
        flow = sink(Row { number, cell });
        if flow == Flow::Stop {
            return Ok(rows);
        }
    }
    columns.check(rows)?;
    Ok(rows)
}

fn object(line: &[u8], columns: &mut Columns<'_>) -> Result<Cell, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(line);
    let cell = columns.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(cell)
}

fn at_line(number: u64, error: &serde_json::Error) -> ReadError {
    let place = format!("line {number}, column {}", error.column());
    ReadError::malformed(place, without_place(error))
}

/// The message without serde's own place, which counts lines from the object's start.
pub(super) fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

/// Takes the wanted column out of each object and remembers the names of the others, until the column
/// is seen for the first time: only then can it be known not to exist.
pub(super) struct Columns<'a> {
    wanted: &'a str,
    found: bool,
    others: Vec<String>,
}

/// Names kept for the error; an object used as a dictionary can have any number.
const MAX_NAMES: usize = 64;

impl<'a> Columns<'a> {
    pub(super) const fn new(wanted: &'a str) -> Self {
        Self { wanted, found: false, others: Vec::new() }
    }

    /// Called when all rows were seen.
    pub(super) fn check(self, rows: u64) -> Result<(), ReadError> {
        if self.found || rows == 0 {
            return Ok(());
        }
        Err(ReadError::NoColumn { columns: self.others })
    }

    /// The wanted column of an object that is already in memory.
    pub(super) fn take(&mut self, mut fields: serde_json::Map<String, Value>) -> Cell {
        if let Some(value) = fields.get_mut(self.wanted) {
            self.found = true;
            return Cell::from(value.take());
        }
        fields.keys().for_each(|key| self.remember(key));
        Cell::Missing
    }

    /// The column was seen elsewhere.
    pub(super) const fn found(&mut self) {
        self.found = true;
    }

    fn remember(&mut self, key: &str) {
        if !self.found && self.others.len() < MAX_NAMES && !self.others.iter().any(|k| k == key) {
            self.others.push(key.to_owned());
        }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Columns<'_> {
    type Value = Cell;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cell, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Columns<'_> {
    type Value = Cell;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the row's columns")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cell, A::Error> {
        let mut cell = Cell::Missing;
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            if key == self.wanted {
                self.found = true;
                cell = Cell::from(map.next_value::<Value>()?);
            } else {
                self.remember(&key);
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(cell)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(text: &str, flow: Flow) -> Result<(Vec<Row>, u64), ReadError> {
        let mut found = Vec::new();
        let count = read_from(text.as_bytes(), &ReadOptions { column: "text" }, &mut |row| {
            found.push(row);
            flow
        })?;
        Ok((found, count))
    }

    #[test]
    fn rows_carry_their_line_and_blank_lines_are_none() {
        let (rows, count) =
            rows("{\"text\":\"a\"}\n\n{\"x\":1,\"text\":null}\n", Flow::Keep).unwrap();
        assert_eq!(count, 2);
        assert_eq!(rows[0], Row { number: 1, cell: Cell::Text("a".to_owned()) });
        assert_eq!(rows[1], Row { number: 3, cell: Cell::Missing });
    }

    #[test]
    fn lines_after_the_last_wanted_one_are_counted_unparsed() {
        let (rows, count) = rows("{\"text\":\"a\"}\nnot json\n", Flow::Count).unwrap();
        assert_eq!((rows.len(), count), (1, 2));
    }

    #[test]
    fn a_bad_line_is_named_with_its_column() {
        let error = rows("{\"text\":\"a\"}\n{\"text\":tru}\n", Flow::Keep).unwrap_err();
        assert_eq!(error.to_string(), "line 2, column 12: expected ident");
        let error = rows("[1]\n", Flow::Keep).unwrap_err();
        let text = error.to_string();
        assert!(text.ends_with("expected an object with the row's columns"), "{text}");
        let error = rows("{\"text\":\"a\"} {}\n", Flow::Keep).unwrap_err();
        assert!(error.to_string().contains("trailing characters"), "{error}");
    }

    #[test]
    fn an_unknown_column_lists_the_others_once() {
        let error = rows("{\"a\":1,\"b\":2}\n{\"a\":1,\"c\":2}\n", Flow::Keep).unwrap_err();
        assert_eq!(error.to_string(), "no such column; there are: a, b, c");
    }

    #[test]
    fn a_column_that_only_some_rows_have_is_a_column() {
        let (rows, _) = rows("{\"a\":1}\n{\"text\":\"b\"}\n", Flow::Keep).unwrap();
        assert_eq!(rows[0].cell, Cell::Missing);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read_from(&bytes[..], &ReadOptions { column: "text" }, &mut |_| Flow::Keep);
        }

        #[test]
        fn any_texts_come_back(texts in proptest::collection::vec(any::<String>(), 0..20)) {
            let file: String =
                texts.iter().map(|text| serde_json::json!({"text": text}).to_string() + "\n").collect();
            let (rows, count) = rows(&file, Flow::Keep).unwrap();
            let back: Vec<Cell> = rows.into_iter().map(|row| row.cell).collect();
            let want: Vec<Cell> = texts.iter().cloned().map(Cell::Text).collect();
            prop_assert_eq!(count, texts.len() as u64);
            prop_assert_eq!(back, want);
        }
    }
}
