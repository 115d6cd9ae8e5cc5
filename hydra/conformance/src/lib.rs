//! Conformance with the real thing: vectors that OmegaConf 2.3 and Hydra 1.3 made.
//!
//! A vector file is JSON. Which of the formats it has is told by its content, not by its name:
//!
//! | module | cases | compared |
//! |---|---|---|
//! | [`yaml`] | scalars and documents as OmegaConf's loader reads them | value, class of error, text as printed |
//! | [`dump`] | trees and their text | text, and that it reads back |
//! | [`interp`] | interpolations over one base tree | value, class of error |
//! | [`overrides`] | overrides as Hydra's parser reads them | every part |
//! | [`compose`] | files, overrides and schemas to a tree | value with the order of its keys, text, class and first line of an error |
//! | [`sweep`] | sweeps to lists of overrides | lists, class of error |
//! | [`cli`] | command lines | exit code, standard output, files |
//! | [`complete`] | unfinished command lines | what they may become |
//! | [`optimum`] | real-life files with their schemas | as [`compose`] |
//!
//! Values are compared exactly: `1` is not `1.0`, `0.0` is not `-0.0`, the order of keys counts.

mod json;
mod schema;
mod tree;

pub mod cli;
pub mod complete;
pub mod compose;
pub mod dump;
pub mod interp;
pub mod optimum;
pub mod overrides;
pub mod sweep;
pub mod yaml;

use std::fmt;
use std::path::Path;

pub use json::Json;

/// What came of one case: nothing, or what differs.
pub type Outcome = Result<(), String>;

/// What came of a file.
#[derive(Debug)]
pub struct Report {
    /// How many cases agree.
    pub passed: usize,
    /// The cases that differ: name and what differs.
    pub failed: Vec<(String, String)>,
    /// The cases that cannot be compared: name and why.
    pub skipped: Vec<(String, String)>,
}

/// Why a file could not be run at all.
#[derive(Debug)]
pub struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

/// The cases of one file: each has a name and can be checked.
pub(crate) struct Suite<'v> {
    pub(crate) cases: &'v [Json],
    pub(crate) name: Box<dyn Fn(&Json) -> String + 'v>,
    pub(crate) check: Box<dyn Fn(&Json) -> Outcome + 'v>,
}

/// Cases that no program but Python's can match: what is asked for is a Python traceback, or the
/// version line of Hydra itself.
const NOT_COMPARABLE: &[(&str, &str)] = &[("version", "prints the version of Hydra itself")];

/// Runs every case of a vector file.
///
/// # Errors
/// The file cannot be read, is not JSON, or has none of the known formats.
pub fn run_file(path: &Path) -> Result<Report, Unreadable> {
    let told = |why: &dyn fmt::Display| Unreadable(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| told(&error))?;
    let vectors = json::parse(&text).map_err(|error| told(&error))?;
    let suite = suite(&vectors).ok_or_else(|| told(&"none of the known vector formats"))?;
    Ok(suite.run())
}

fn suite(vectors: &Json) -> Option<Suite<'_>> {
    if vectors.get("completions").is_some() {
        return Some(complete::suite(vectors));
    }
    if vectors.get("app").is_some() {
        return Some(cli::suite(vectors));
    }
    if vectors.get("base").is_some() {
        return Some(interp::suite(vectors));
    }
    if vectors.get("file_sets").is_some() {
        return Some(optimum::suite(vectors));
    }
    let first = vectors.as_items()?.first()?;
    let has = |name: &str| first.get(name).is_some();
    if has("input") {
        Some(overrides::suite(vectors))
    } else if has("overrides") && !has("yaml") && !has("config_name") {
        Some(sweep::suite(vectors))
    } else if has("config_name") || has("yaml") && has("overrides") {
        Some(compose::suite(vectors))
    } else if has("yaml") {
        Some(yaml::suite(vectors))
    } else if has("to_yaml") {
        Some(dump::suite(vectors))
    } else {
        None
    }
}

impl Suite<'_> {
    fn run(&self) -> Report {
        let mut report = Report { passed: 0, failed: Vec::new(), skipped: Vec::new() };
        for case in self.cases {
            let name = (self.name)(case);
            if let Some((_, why)) = NOT_COMPARABLE.iter().find(|(skipped, _)| *skipped == name) {
                report.skipped.push((name, (*why).to_owned()));
                continue;
            }
            match (self.check)(case) {
                Ok(()) => report.passed += 1,
                Err(why) => report.failed.push((name, why)),
            }
        }
        report
    }
}

/// Runs vector files and writes the cases that differ, one a line, and the score as the last line.
/// Whether all agreed. A file that cannot be run counts as one failure.
pub fn score<'p>(files: impl IntoIterator<Item = &'p Path>, to: &mut String) -> bool {
    let (mut passed, mut failed) = (0, 0);
    for file in files {
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
        match run_file(file) {
            Ok(report) => {
                passed += report.passed;
                failed += report.failed.len();
                for (case, why) in &report.failed {
                    to.push_str(&format!("FAILED {name}: {case}: {}\n", one_line(why)));
                }
                for (case, why) in &report.skipped {
                    to.push_str(&format!("skipped {name}: {case}: {why}\n"));
                }
                let of = report.passed + report.failed.len();
                to.push_str(&format!("{name}: {} of {of} cases agree\n", report.passed));
            }
            Err(error) => {
                failed += 1;
                to.push_str(&format!("FAILED {error}\n"));
            }
        }
    }
    to.push_str(&format!("{passed} passed, {failed} failed\n"));
    failed == 0
}

fn one_line(text: &str) -> String {
    text.replace('\n', "\\n")
}
