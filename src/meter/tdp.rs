//! Thermal design power of a processor by its name, found as CodeCarbon 3.3.2 finds it in its table.
//!
//! The table (`data/codecarbon/cpu_power.csv`, MIT licence) has 4,918 names as Intel's and AMD's pages write them.
//! A name is looked up as it is; then without `(R)`, ` CPU` and the frequency; then by its words: an entry whose
//! words are all in the name, or the reverse, if it is the only one. CodeCarbon asks the `rapidfuzz` library for
//! similarities of 100 %, which are these equalities.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use crate::units::Watts;

const TABLE: &str = include_str!("../../data/codecarbon/cpu_power.csv");

struct Entry {
    name: String,
    lower: String,
    words: BTreeSet<String>,
    /// `None` for the four entries whose figure is not a number (`27.29.5`).
    watts: Option<Watts>,
}

fn entries() -> &'static [Entry] {
    static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
        let mut reader = csv::Reader::from_reader(TABLE.as_bytes());
        let rows = reader.records().filter_map(Result::ok);
        rows.map(|row| {
            let name = row.get(0).unwrap_or_default().to_owned();
            Entry {
                lower: name.to_lowercase(),
                words: words(&name),
                watts: row.get(1).and_then(|watts| watts.trim().parse().ok()).map(Watts),
                name,
            }
        })
        .collect()
    });
    &ENTRIES
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
    Some(Known { name: &entry.name, tdp: entry.watts? })
}

fn by_name(model: &str) -> Option<&'static Entry> {
    let lower = model.to_lowercase();
    entries().iter().find(|entry| entry.lower == lower)
}

fn by_words(model: &str) -> Option<&'static Entry> {
    let wanted = words(model);
    let within = |a: &BTreeSet<String>, b: &BTreeSet<String>| !a.is_empty() && a.is_subset(b);
    let mut matching = entries()
        .iter()
        .filter(|entry| within(&entry.words, &wanted) || within(&wanted, &entry.words));
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

/// The words of a name: lower case, everything but letters and digits between them.
fn words(text: &str) -> BTreeSet<String> {
    text.to_lowercase()
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_table_is_whole_and_four_of_its_figures_are_unusable() {
        assert_eq!(entries().len(), 4918);
        let unusable: Vec<&str> = entries()
            .iter()
            .filter(|entry| entry.watts.is_none())
            .map(|entry| entry.name.as_str())
            .collect();
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
