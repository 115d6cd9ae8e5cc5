//! From a Parquet value to a dataset's cell.

use ai_energy_benchmarks::dataset::Cell;
use parquet::record::{Field, Row};
use serde_json::Value;

/// What a value of the wanted column is to a prompt.
pub(crate) fn cell(field: Field) -> Cell {
    match field {
        Field::Str(text) => Cell::Text(text),
        // Some writers leave out that a column of bytes is text.
        Field::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            Ok(text) => Cell::Text(text.to_owned()),
            Err(_) => Cell::Other("bytes that are not text".to_owned()),
        },
        other => match json(&other) {
            Some(value) => Cell::from(value),
            None => Cell::Other(word(&other).to_owned()),
        },
    }
}

/// Lists, structs and text as JSON; `None` for values that no prompt is made of.
fn json(field: &Field) -> Option<Value> {
    match field {
        Field::Null => Some(Value::Null),
        Field::Str(text) => Some(Value::String(text.clone())),
        Field::Group(row) => Some(object(row)),
        Field::ListInternal(list) => {
            Some(Value::Array(list.elements().iter().map(json_or_number).collect()))
        }
        _ => None,
    }
}

fn object(row: &Row) -> Value {
    let fields = row.get_column_iter().map(|(name, field)| (name.clone(), json_or_number(field)));
    Value::Object(fields.collect())
}

/// Beside a message's role and content there can be anything, and what it is does not matter.
fn json_or_number(field: &Field) -> Value {
    json(field).unwrap_or_else(|| Value::from(0))
}

fn word(field: &Field) -> &'static str {
    match field {
        Field::Bool(_) => "a boolean",
        Field::Date(_)
        | Field::TimeMillis(_)
        | Field::TimeMicros(_)
        | Field::TimestampMillis(_)
        | Field::TimestampMicros(_) => "a date or time",
        Field::MapInternal(_) => "a map",
        _ => "a number",
    }
}
