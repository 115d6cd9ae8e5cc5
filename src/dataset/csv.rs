//! Comma- and tab-separated values with a header line.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use ::csv::{ByteRecord, Reader, ReaderBuilder};

use super::{Cell, DatasetFormat, Flow, ReadError, ReadOptions, Row};

/// Comma-separated values.
pub(super) const CSV: DatasetFormat = DatasetFormat {
    kind: "csv",
    extensions: &["csv"],
    summary: "comma-separated values with a header line",
    read: |path, options, sink| read(path, b',', options, sink),
};

/// Tab-separated values.
pub(super) const TSV: DatasetFormat = DatasetFormat {
    kind: "tsv",
    extensions: &["tsv"],
    summary: "tab-separated values with a header line",
    read: |path, options, sink| read(path, b'\t', options, sink),
};

fn read(
    path: &Path,
    delimiter: u8,
    options: &ReadOptions<'_>,
    sink: &mut dyn FnMut(Row) -> Flow,
) -> Result<u64, ReadError> {
    read_from(File::open(path)?, delimiter, options, sink)
}

fn read_from(
    reader: impl Read,
    delimiter: u8,
    options: &ReadOptions<'_>,
    sink: &mut dyn FnMut(Row) -> Flow,
) -> Result<u64, ReadError> {
    let mut reader =
        ReaderBuilder::new().delimiter(delimiter).buffer_capacity(1 << 16).from_reader(reader);
    let column = position(&mut reader, options.column)?;
    let mut record = ByteRecord::new();
    let mut rows = 0;
    let mut flow = Flow::Keep;
    while let Some(column) = column
        && reader.read_byte_record(&mut record).map_err(malformed)?
    {
        rows += 1;
        if flow == Flow::Keep {
            let cell = cell(record.get(column), rows)?;
            flow = sink(Row { number: rows, cell });
        }
        if flow == Flow::Stop {
            break;
        }
    }
    Ok(rows)
}

/// Where the wanted column is; `None` for an empty file.
fn position<R: Read>(reader: &mut Reader<R>, wanted: &str) -> Result<Option<usize>, ReadError> {
    let header = reader.byte_headers().map_err(malformed)?;
    if header.is_empty() {
        return Ok(None);
    }
    let mut places = (0..header.len()).filter(|index| &header[*index] == wanted.as_bytes());
    match (places.next(), places.next()) {
        (Some(index), None) => Ok(Some(index)),
        (Some(_), Some(_)) => {
            Err(ReadError::malformed("header", format!("two columns are named `{wanted}`")))
        }
        _ => Err(ReadError::NoColumn {
            columns: header.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect(),
        }),
    }
}

/// A value; no value is null in these formats, only empty.
fn cell(value: Option<&[u8]>, row: u64) -> Result<Cell, ReadError> {
    let text = std::str::from_utf8(value.unwrap_or_default()).map_err(|error| {
        ReadError::malformed(format!("row {row}"), format!("the text is not UTF-8: {error}"))
    })?;
    Ok(Cell::Text(text.to_owned()))
}

fn malformed(error: ::csv::Error) -> ReadError {
    let place = match error.position() {
        Some(position) => format!("line {}", position.line()),
        None => "header".to_owned(),
    };
    match error.into_kind() {
        ::csv::ErrorKind::Io(error) => ReadError::Io(error),
        ::csv::ErrorKind::UnequalLengths { expected_len, len, .. } => ReadError::malformed(
            place,
            format!("{len} fields where the header has {expected_len}; is a quote missing?"),
        ),
        other => ReadError::malformed(place, format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(bytes: &[u8], flow: Flow) -> Result<(Vec<Row>, u64), ReadError> {
        let mut found = Vec::new();
        let options = ReadOptions { column: "text" };
        let count = read_from(bytes, b',', &options, &mut |row| {
            found.push(row);
            flow
        })?;
        Ok((found, count))
    }

    #[test]
    fn quotes_commas_and_line_ends_inside_a_value_stay() {
        let file = b"\xef\xbb\xbftext,n\r\n\"a, \"\"b\"\"\nc\",1\r\n,2\r\n";
        let (rows, count) = rows(file, Flow::Keep).unwrap();
        assert_eq!(count, 2);
        assert_eq!(rows[0], Row { number: 1, cell: Cell::Text("a, \"b\"\nc".to_owned()) });
        assert_eq!(rows[1].cell, Cell::Text(String::new()));
    }

    #[test]
    fn rows_beyond_the_wanted_ones_are_counted() {
        let (rows, count) = rows(b"text\na\nb\nc\n", Flow::Count).unwrap();
        assert_eq!((rows.len(), count), (1, 3));
    }

    #[test]
    fn a_short_row_is_named_by_its_line() {
        let error = rows(b"text,n\na,1\nb\n", Flow::Keep).unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 3: 1 fields where the header has 2; is a quote missing?"
        );
    }

    #[test]
    fn the_header_must_name_the_column_once() {
        let error = rows(b"prompt,n\na,1\n", Flow::Keep).unwrap_err();
        assert_eq!(error.to_string(), "no such column; there are: prompt, n");
        assert!(rows(b"text,text\na,1\n", Flow::Keep).is_err());
        assert_eq!(rows(b"", Flow::Keep).unwrap().1, 0);
    }

    #[test]
    fn other_columns_may_hold_any_bytes() {
        assert_eq!(rows(b"text,raw\na,\xff\n", Flow::Keep).unwrap().1, 1);
        let error = rows(b"text\n\xff\n", Flow::Keep).unwrap_err();
        assert!(error.to_string().starts_with("row 1: the text is not UTF-8"), "{error}");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut file = b"text,x\n".to_vec();
            file.extend(bytes);
            let _ = rows(&file, Flow::Keep);
            let _ = rows(&file[7..], Flow::Keep);
        }

        #[test]
        fn any_texts_come_back(texts in proptest::collection::vec(any::<String>(), 1..20)) {
            let mut writer = ::csv::Writer::from_writer(Vec::new());
            writer.write_record(["text", "n"]).unwrap();
            for text in &texts {
                writer.write_record([text.as_str(), "1"]).unwrap();
            }
            let (rows, _) = rows(&writer.into_inner().unwrap(), Flow::Keep).unwrap();
            let back: Vec<Cell> = rows.into_iter().map(|row| row.cell).collect();
            prop_assert_eq!(back, texts.into_iter().map(Cell::Text).collect::<Vec<_>>());
        }
    }
}
