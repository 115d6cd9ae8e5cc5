//! Parquet: only the wanted column is decoded, a row group at a time, and rows are counted from the footer.

use std::fs::File;
use std::path::Path;

use ai_energy_benchmarks::dataset::{DatasetFormat, Flow, ReadError, ReadOptions, Row};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::Type;

use crate::field;

/// Parquet files: plain, Snappy, Zstandard and gzip.
pub const FORMAT: DatasetFormat = DatasetFormat {
    kind: "parquet",
    extensions: &["parquet"],
    summary: "Parquet: a row a prompt",
    read,
};

fn read(
    path: &Path,
    options: &ReadOptions<'_>,
    sink: &mut dyn FnMut(Row) -> Flow,
) -> Result<u64, ReadError> {
    let reader =
        SerializedFileReader::new(File::open(path)?).map_err(|e| malformed("footer", &e))?;
    let metadata = reader.metadata().file_metadata();
    let total = u64::try_from(metadata.num_rows())
        .map_err(|_| ReadError::malformed("footer", "a negative number of rows"))?;
    let projection = only(metadata.schema(), options.column)?;
    let rows = reader.get_row_iter(Some(projection)).map_err(|e| malformed("footer", &e))?;
    for (number, row) in (1..).zip(rows) {
        let row = row.map_err(|error| malformed(&format!("row {number}"), &error))?;
        let Some((_, value)) = row.into_columns().pop() else { continue };
        if sink(Row { number, cell: field::cell(value) }) != Flow::Keep {
            break;
        }
    }
    Ok(total)
}

/// The schema with the wanted column alone.
fn only(schema: &Type, column: &str) -> Result<Type, ReadError> {
    let fields = schema.get_fields();
    let Some(field) = fields.iter().find(|field| field.name() == column) else {
        return Err(ReadError::NoColumn {
            columns: fields.iter().map(|field| field.name().to_owned()).collect(),
        });
    };
    Type::group_type_builder(schema.name())
        .with_fields(vec![field.clone()])
        .build()
        .map_err(|error| malformed("footer", &error))
}

fn malformed(place: &str, error: &ParquetError) -> ReadError {
    match error {
        ParquetError::NYI(what) => {
            ReadError::malformed(place, format!("this is not supported: {what}"))
        }
        other => ReadError::malformed(place, other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use ai_energy_benchmarks::dataset::Cell;

    use super::*;

    fn data(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/datasets").join(name)
    }

    fn rows(path: &Path, column: &str, flow: Flow) -> Result<(Vec<Cell>, u64), ReadError> {
        let mut found = Vec::new();
        let total = read(path, &ReadOptions { column }, &mut |row| {
            found.push(row.cell);
            flow
        })?;
        Ok((found, total))
    }

    fn text(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }

    #[test]
    fn every_compression_gives_the_same_texts() {
        for name in ["none", "snappy", "zstd", "gzip"] {
            let path = data(&format!("plain_{name}.parquet"));
            let (cells, total) = rows(&path, "text", Flow::Keep).unwrap();
            assert_eq!(total, 5, "{name}");
            let want = [
                text("What is a joule?"),
                text("Grüße aus Köln, 東京 and 🌍."),
                text(""),
                Cell::Missing,
                text("Two\nlines."),
            ];
            assert_eq!(cells, want, "{name}");
        }
    }

    #[test]
    fn row_groups_follow_each_other_and_all_rows_are_counted() {
        let path = data("groups.parquet");
        let (cells, total) = rows(&path, "text", Flow::Keep).unwrap();
        assert_eq!((cells.len(), total), (25, 25));
        assert_eq!(cells[24], text("Prompt 24"));
        let (cells, total) = rows(&path, "text", Flow::Count).unwrap();
        assert_eq!((cells.len(), total), (1, 25));
    }

    #[test]
    fn a_list_of_role_and_content_is_a_conversation() {
        let (cells, _) = rows(&data("chats.parquet"), "messages", Flow::Keep).unwrap();
        let Cell::Chat(messages) = &cells[0] else { panic!("{cells:?}") };
        assert_eq!((messages[0].role.as_str(), messages[1].content.as_str()), ("system", "Hi"));
        assert_eq!(cells[2..], [Cell::Chat(Vec::new()), Cell::Missing]);
    }

    #[test]
    fn other_columns_say_what_they_hold() {
        let path = data("plain_snappy.parquet");
        let first = |column: &str| rows(&path, column, Flow::Count).unwrap().0.remove(0);
        let other = |found: &str| Cell::Other(found.to_owned());
        assert_eq!(first("id"), other("a number"));
        assert_eq!(first("when"), other("a date or time"));
        assert_eq!(first("raw"), other("bytes that are not text"));
        assert_eq!(first("meta"), other("an object with the keys tags, inner"));
    }

    #[test]
    fn an_unknown_column_lists_the_others() {
        let error = rows(&data("plain_none.parquet"), "prompt", Flow::Keep).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no such column; there are: id, score, meta, text, when, raw"
        );
    }

    #[test]
    fn a_torn_or_foreign_file_is_an_error() {
        let whole = std::fs::read(data("plain_zstd.parquet")).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut foreign = whole.clone();
        foreign.truncate(whole.len() / 2);
        for bytes in [&foreign[..], b"", b"PAR1", b"{\"text\":\"not parquet\"}"] {
            std::fs::write(file.path(), bytes).unwrap();
            assert!(rows(file.path(), "text", Flow::Keep).is_err(), "{} bytes", bytes.len());
        }
    }

    #[test]
    fn the_registry_can_be_told_of_it() {
        let mut registry = ai_energy_benchmarks::registry::Registry::default();
        crate::register(&mut registry);
        assert_eq!(registry.datasets[0].kind, "parquet");
    }
}
