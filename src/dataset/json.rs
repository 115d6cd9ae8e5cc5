//! JSON files. Four shapes are read:
//!
//! - a list of objects, a row each (read piece by piece);
//! - several objects one after another (JSON Lines under another name);
//! - one object whose columns are lists of equal length;
//! - one object with one list of objects in it (`{"data": [...]}`), or else a single row.

use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::jsonl::{Columns, without_place};
use super::{Cell, DatasetFormat, Flow, ReadError, ReadOptions, Row};

/// JSON.
pub(super) const FORMAT: DatasetFormat = DatasetFormat {
    kind: "json",
    extensions: &["json"],
    summary: "JSON: a list of objects, or an object of columns",
    read,
};

type Json<R> = serde_json::Deserializer<serde_json::de::IoRead<R>>;

fn read(
    path: &Path,
    options: &ReadOptions<'_>,
    sink: &mut dyn FnMut(Row) -> Flow,
) -> Result<u64, ReadError> {
    read_from(BufReader::with_capacity(1 << 16, File::open(path)?), options, sink)
}

fn read_from(
    mut reader: impl Read,
    options: &ReadOptions<'_>,
    sink: &mut dyn FnMut(Row) -> Flow,
) -> Result<u64, ReadError> {
    let Some(first) = first_byte(&mut reader)? else { return Ok(0) };
    let start = [first];
    let mut json = serde_json::Deserializer::from_reader(start.as_slice().chain(reader));
    let mut rows = Rows { columns: Columns::new(options.column), sink, count: 0, flow: Flow::Keep };
    let result = match first {
        b'[' => rows.list(&mut json),
        _ => rows.objects(&mut json, options.column),
    };
    match result {
        _ if rows.flow == Flow::Stop => Ok(rows.count),
        Err(error) if error.is_io() => Err(ReadError::Io(error.into())),
        Err(error) => Err(ReadError::malformed(
            format!("line {}, column {}", error.line(), error.column()),
            without_place(&error),
        )),
        Ok(()) => {
            let Rows { columns, count, flow, .. } = rows;
            if flow == Flow::Keep {
                columns.check(count)?;
            }
            Ok(count)
        }
    }
}

/// The first byte that is neither white space nor part of a byte order mark.
fn first_byte(reader: &mut impl Read) -> Result<Option<u8>, ReadError> {
    let mut byte = [0];
    loop {
        match reader.read(&mut byte) {
            Ok(0) => return Ok(None),
            Ok(_) if byte[0].is_ascii_whitespace() || b"\xef\xbb\xbf".contains(&byte[0]) => {}
            Ok(_) => return Ok(Some(byte[0])),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Rows on their way from the parser to the sink.
struct Rows<'a, 'c> {
    columns: Columns<'c>,
    sink: &'a mut dyn FnMut(Row) -> Flow,
    count: u64,
    flow: Flow,
}

impl Rows<'_, '_> {
    fn list<R: Read>(&mut self, json: &mut Json<R>) -> Result<(), serde_json::Error> {
        (&mut *json).deserialize_seq(&mut *self)?;
        json.end()
    }

    /// The first value decides: more after it means a row each.
    fn objects<R: Read>(
        &mut self,
        json: &mut Json<R>,
        column: &str,
    ) -> Result<(), serde_json::Error> {
        let first = Map::deserialize(&mut *json)?;
        if json.end().is_ok() {
            self.single(first, column);
            return Ok(());
        }
        self.object(first);
        while self.flow != Flow::Stop && json.end().is_err() {
            (&mut *self).deserialize(&mut *json)?;
        }
        Ok(())
    }

    /// A file of one object.
    fn single(&mut self, mut fields: Map<String, Value>, column: &str) {
        match shape(&fields, column) {
            Shape::Row => self.object(fields),
            Shape::Columns { rows } => self.column(fields, column, rows),
            Shape::List { key } => {
                let Some(Value::Array(items)) = fields.get_mut(&key).map(Value::take) else {
                    return;
                };
                for item in items {
                    if let (Value::Object(fields), false) = (item, self.flow == Flow::Stop) {
                        self.object(fields);
                    }
                }
            }
        }
    }

    fn column(&mut self, mut fields: Map<String, Value>, column: &str, rows: usize) {
        let Some(Value::Array(values)) = fields.get_mut(column).map(Value::take) else {
            self.columns.take(fields);
            self.count += rows as u64;
            return;
        };
        self.columns.found();
        for value in values {
            if self.flow != Flow::Stop {
                self.give(Cell::from(value));
            }
        }
    }

    fn object(&mut self, fields: Map<String, Value>) {
        let cell = self.columns.take(fields);
        self.give(cell);
    }

    fn give(&mut self, cell: Cell) {
        self.count += 1;
        if self.flow == Flow::Keep {
            self.flow = (self.sink)(Row { number: self.count, cell });
        }
    }
}

/// What a file of one object means.
#[derive(Debug, PartialEq, Eq)]
enum Shape {
    /// It is the only row.
    Row,
    /// Its values are columns of this many rows.
    Columns { rows: usize },
    /// The rows are in the list under this key.
    List { key: String },
}

fn shape(fields: &Map<String, Value>, column: &str) -> Shape {
    let wanted = fields.get(column);
    if wanted.is_some_and(is_prompt) {
        return Shape::Row;
    }
    let mut tables = fields.iter().filter(|(_, value)| is_list_of(value, Value::is_object));
    if let (Some((key, _)), None, None) = (tables.next(), tables.next(), wanted) {
        return Shape::List { key: key.clone() };
    }
    let mut lengths = fields.values().map(|value| value.as_array().map(Vec::len));
    match lengths.next() {
        Some(Some(rows)) if lengths.all(|length| length == Some(rows)) => Shape::Columns { rows },
        _ => Shape::Row,
    }
}

fn is_prompt(value: &Value) -> bool {
    value.is_string() || is_list_of(value, |item| item.get("role").is_some())
}

fn is_list_of(value: &Value, test: impl Fn(&Value) -> bool) -> bool {
    value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(test))
}

impl<'de> Visitor<'de> for &mut Rows<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        loop {
            match self.flow {
                Flow::Keep => match list.next_element_seed(&mut self.columns)? {
                    Some(cell) => self.give(cell),
                    None => return Ok(()),
                },
                Flow::Count => match list.next_element::<IgnoredAny>()? {
                    Some(_) => self.count += 1,
                    None => return Ok(()),
                },
                Flow::Stop => return Ok(()),
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Rows<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.columns.deserialize(deserializer).map(|cell| self.give(cell))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(text: &str, flow: Flow) -> Result<(Vec<Cell>, u64), ReadError> {
        let mut found = Vec::new();
        let count = read_from(text.as_bytes(), &ReadOptions { column: "text" }, &mut |row| {
            found.push(row.cell);
            flow
        })?;
        Ok((found, count))
    }

    fn texts(text: &str) -> Vec<String> {
        let cells = rows(text, Flow::Keep).unwrap().0;
        cells
            .into_iter()
            .map(|cell| if let Cell::Text(t) = cell { t } else { format!("{cell:?}") })
            .collect()
    }

    #[test]
    fn all_shapes_give_the_same_rows() {
        for file in [
            r#"[{"text":"a","x":{"y":[1]}},{"text":"b"}]"#,
            "\u{feff} [{\"text\":\"a\"}\n,{\"text\":\"b\"}]\n",
            "{\"text\":\"a\"}\n{\"text\":\"b\"}\n",
            r#"{"text":["a","b"],"x":[1,2]}"#,
            r#"{"version":"1","data":[{"text":"a"},{"text":"b"}]}"#,
        ] {
            assert_eq!(texts(file), ["a", "b"], "{file}");
        }
    }

    #[test]
    fn a_lone_object_is_a_row() {
        assert_eq!(texts(r#"{"text":"a","tags":[1]}"#), ["a"]);
        let (cells, _) = rows(r#"{"text":[{"role":"user","content":"hi"}]}"#, Flow::Keep).unwrap();
        assert!(matches!(&cells[..], [Cell::Chat(messages)] if messages.len() == 1));
    }

    #[test]
    fn rows_beyond_the_wanted_ones_are_counted() {
        for file in [r#"[{"text":"a"},{"text":"b"},3]"#, r#"{"text":["a","b","c"]}"#] {
            let (cells, count) = rows(file, Flow::Count).unwrap();
            assert_eq!((cells.len(), count), (1, 3), "{file}");
        }
        assert_eq!(rows(r#"[{"text":"a"},{"text":"b"}]"#, Flow::Stop).unwrap().1, 1);
    }

    #[test]
    fn an_unknown_column_is_told_in_every_shape() {
        for file in [r#"[{"a":1}]"#, r#"{"a":[1]}"#, r#"{"d":[{"a":1}]}"#, "{\"a\":1} {\"a\":2}"] {
            let error = rows(file, Flow::Keep).unwrap_err();
            assert_eq!(error.to_string(), "no such column; there are: a", "{file}");
        }
    }

    #[test]
    fn broken_json_is_told_with_its_place() {
        let error = rows("[{\"text\":\"a\"},\n oops]", Flow::Keep).unwrap_err();
        assert_eq!(error.to_string(), "line 2, column 2: expected value");
        assert!(rows("[{\"text\":\"a\"}", Flow::Keep).is_err());
        assert!(rows("[{\"text\":\"a\"}] x", Flow::Keep).is_err());
        assert!(rows("{\"text\":\"a\"} x", Flow::Keep).is_err());
        assert_eq!(rows("  ", Flow::Keep).unwrap().1, 0);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read_from(&bytes[..], &ReadOptions { column: "text" }, &mut |_| Flow::Keep);
        }

        #[test]
        fn no_nearly_json_panics(text in r#"[\[\]{}",:a-c0-9 \n]{0,80}"#) {
            let _ = read_from(text.as_bytes(), &ReadOptions { column: "a" }, &mut |_| Flow::Keep);
        }
    }
}
