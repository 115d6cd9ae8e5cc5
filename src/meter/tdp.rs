//! Thermal design power of a processor by its name, found as CodeCarbon 3.3.2 finds it in its table.
//!
//! The table (`data/codecarbon/cpu_power.csv`, MIT licence) has 4,918 names as Intel's and AMD's pages write them.
//! A name is looked up as it is; then without `(R)`, ` CPU` and the frequency; then by its words: an entry whose
//! words are all in the name, or the reverse, if it is the only one. CodeCarbon asks the `rapidfuzz` library for
//! similarities of 100 %, which are these equalities.

use crate::units::Watts;

const TABLE: &str = include_str!("../../data/codecarbon/cpu_power.csv");

/// A line of the table. It is looked through for each name and never kept: with its words in memory it would be larger
/// than everything else that a meter holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    name: &'static str,
    watts: &'static str,
}

impl Entry {
    /// `None` for the four entries whose figure is not a number (`27.29.5`).
    fn tdp(&self) -> Option<Watts> {
        self.watts.trim().parse().ok().map(Watts)
    }
}

/// Names with commas stand in quotation marks; no name has such a mark in it.
fn entries() -> impl Iterator<Item = Entry> {
    TABLE.lines().skip(1).filter_map(|line| {
        let (name, watts) = line.rsplit_once(',')?;
        let quoted = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
        Some(Entry { name: quoted.unwrap_or(name), watts })
    })
}

/// An entry of CodeCarbon's table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Known {
    /// The entry's name.
    pub name: &'static str,
    /// Thermal design power of one processor.
    pub tdp: Watts,
}

/// The entry that CodeCarbon takes for a processor's name; `None` where it finds none, more than one that match
/// equally, or one without a usable figure.
#[must_use]
pub fn find(model: &str) -> Option<Known> {
    let plain = plain(model);
    let entry = by_name(model).or_else(|| by_name(&plain)).or_else(|| by_words(&plain))?;
    Some(Known { name: entry.name, tdp: entry.tdp()? })
}

fn by_name(model: &str) -> Option<Entry> {
    let lower = lower(model);
    entries().find(|entry| self::lower(entry.name) == lower)
}

fn by_words(model: &str) -> Option<Entry> {
    let model = lower(model);
    let wanted: Vec<&str> = words(&model).collect();
    let mut matching = entries().filter(|entry| {
        let name = lower(entry.name);
        let any = words(&name).next().is_some() && !wanted.is_empty();
        any && (words(&name).all(|word| wanted.contains(&word))
            || wanted.iter().all(|wanted| words(&name).any(|word| word == *wanted)))
    });
    let first = matching.next()?;
    matching.next().is_none().then_some(first)
}

/// Without the words that say nothing of the model, by CodeCarbon's steps.
fn plain(model: &str) -> String {
    let mut text = model.replace("(R)", "");
    if let Some(at) = text.find(" CPU @ ").filter(|at| *at > 0) {
        text.truncate(at);
    }
    without_frequency(&text.replace(" CPU", ""))
}

/// Drops every ` @ 2.60GHz`.
fn without_frequency(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(" @") {
        let (before, after) = rest.split_at(at);
        kept.push_str(before);
        match frequency(&after[2..]) {
            Some(left) => rest = left,
            None => {
                kept.push_str(" @");
                rest = &after[2..];
            }
        }
    }
    kept.push_str(rest);
    kept
}

/// What follows a frequency such as `  2.60GHz`; `None` if the text does not begin with one.
fn frequency(text: &str) -> Option<&str> {
    let digits =
        |text: &'_ str| text.len() - text.trim_start_matches(|c: char| c.is_numeric()).len();
    let text = text.trim_start();
    let whole = digits(text);
    let after = text[whole..].strip_prefix('.').filter(|_| whole > 0)?;
    let part = digits(after);
    after[part..].strip_prefix("GHz").filter(|_| part > 0)
}

fn lower(text: &str) -> String {
    // The same letters either way, and most names have no others.
    if text.is_ascii() { text.to_ascii_lowercase() } else { text.to_lowercase() }
}

/// The words of a name in lower case: everything but letters and digits is between them.
fn words(lower: &str) -> impl Iterator<Item = &str> {
    lower.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_table_is_whole_and_four_of_its_figures_are_unusable() {
        assert_eq!(entries().count(), 4918);
        let unusable: Vec<_> =
            entries().filter(|entry| entry.tdp().is_none()).map(|entry| entry.name).collect();
        assert_eq!(
            unusable,
            [
                "Intel Celeron 1000A",
                "Intel Celeron 1100A",
                "Intel Celeron 1200",
                "Intel Celeron 1400"
            ]
        );
    }

    #[test]
    fn lines_are_what_a_reader_of_csv_makes_of_them() {
        let mut reader = csv::Reader::from_reader(TABLE.as_bytes());
        let rows = reader.records().map(Result::unwrap);
        for (row, entry) in rows.zip(entries()) {
            assert_eq!((&row[0], &row[1]), (entry.name, entry.watts));
        }
    }

    #[test]
    fn frequencies_fall_away_and_other_signs_stay() {
        assert_eq!(without_frequency("a @ 2.60GHz b @1.9GHz"), "a b");
        assert_eq!(without_frequency("a @ x @ 2GHz"), "a @ x @ 2GHz");
    }

    proptest! {
        #[test]
        fn no_name_panics(name in "(?s).{0,60}") {
            let _ = find(&name);
        }
    }
}
