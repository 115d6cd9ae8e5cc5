//! Plain text: a prompt a line, in the one column `text`.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use super::lines::Lines;
use super::{Cell, DatasetFormat, Flow, ReadError, ReadOptions, Row};

/// Plain text.
pub(super) const FORMAT: DatasetFormat = DatasetFormat {
    kind: "text",
    extensions: &["txt"],
    summary: "plain text: a prompt a line, column `text`",
    read,
};

/// The name of the only column.
const COLUMN: &str = "text";

fn read(
    path: &Path,
    options: &ReadOptions<'_>,
    sink: &mut dyn FnMut(Row) -> Flow,
) -> Result<u64, ReadError> {
    read_from(BufReader::with_capacity(1 << 16, File::open(path)?), options, sink)
}

fn read_from(
    reader: impl BufRead,
    options: &ReadOptions<'_>,
    sink: &mut dyn FnMut(Row) -> Flow,
) -> Result<u64, ReadError> {
    if options.column != COLUMN {
        return Err(ReadError::NoColumn { columns: vec![COLUMN.to_owned()] });
    }
    let mut lines = Lines::new(reader);
    let mut rows = 0;
    let mut flow = Flow::Keep;
    while flow != Flow::Stop
        && let Some((number, line)) = lines.next()?
    {
        rows += 1;
        if flow == Flow::Keep {
            let text = std::str::from_utf8(line).map_err(|error| {
                ReadError::malformed(format!("line {number}"), format!("not UTF-8: {error}"))
            })?;
            flow = sink(Row { number, cell: Cell::Text(text.to_owned()) });
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_line_is_a_row_also_an_empty_one() {
        let mut found = Vec::new();
        let count = read_from(&b"a\n\n b \n"[..], &ReadOptions { column: "text" }, &mut |row| {
            found.push(row.cell);
            Flow::Keep
        });
        assert_eq!(count.unwrap(), 3);
        assert_eq!(found[1..], [Cell::Text(String::new()), Cell::Text(" b ".to_owned())]);
    }

    #[test]
    fn there_is_only_one_column() {
        let options = ReadOptions { column: "prompt" };
        let error = read_from(&b"a\n"[..], &options, &mut |_| Flow::Keep).unwrap_err();
        assert_eq!(error.to_string(), "no such column; there are: text");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read_from(&bytes[..], &ReadOptions { column: "text" }, &mut |_| Flow::Keep);
        }
    }
}
