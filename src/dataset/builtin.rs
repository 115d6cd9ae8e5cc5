//! The built-in set: prompts written for this project, short to medium, on varied tasks. Public domain.

use super::{Flow, ReadError, ReadOptions, Row, jsonl};

/// The name that asks for it.
pub(super) const NAME: &str = "builtin";

/// The file, JSON Lines with `id`, `task` and `text`.
pub(super) const BYTES: &[u8] = include_bytes!("builtin.jsonl");

/// Reads it.
pub(super) fn read(
    options: &ReadOptions<'_>,
    sink: &mut dyn FnMut(Row) -> Flow,
) -> Result<u64, ReadError> {
    jsonl::read_from(BYTES, options, sink)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::Cell;
    use super::*;

    fn column(name: &str) -> Vec<String> {
        let mut values = Vec::new();
        read(&ReadOptions { column: name }, &mut |row| {
            let Cell::Text(text) = row.cell else { panic!("{row:?}") };
            values.push(text);
            Flow::Keep
        })
        .unwrap();
        values
    }

    #[test]
    fn prompts_are_fifty_and_differ() {
        let texts = column("text");
        assert_eq!(texts.len(), 50);
        assert_eq!(texts.iter().collect::<BTreeSet<_>>().len(), 50);
        assert_eq!(column("id").iter().collect::<BTreeSet<_>>().len(), 50);
    }

    #[test]
    fn lengths_and_tasks_vary() {
        let lengths: Vec<usize> = column("text").iter().map(String::len).collect();
        assert!(lengths.iter().min() < Some(&60), "{lengths:?}");
        assert!(lengths.iter().max() > Some(&700), "{lengths:?}");
        assert!(column("task").iter().collect::<BTreeSet<_>>().len() >= 8);
    }
}
