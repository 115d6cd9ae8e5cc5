//! Findings become files.
//!
//! A reporter turns [`Findings`] into bytes; [`REPORTERS`] lists them. [`write_all`] puts the files where
//! the config wants them: one that cannot be written is told, and the others are written all the same.

pub mod command;
pub mod compare;
pub mod csv;
pub mod emissions;
pub mod exports;
pub mod files;
pub mod json;
pub mod requests_energy;
pub mod summary;
pub mod table;
pub mod tasks;

use std::path::{Path, PathBuf};

use crate::analysis::Findings;
use crate::config::component::metrics::MetricsConfig;
use crate::config::component::reporter::ReporterConfig;
use crate::error::Problem;

use files::{Appended, FileError};

/// Why a report cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// JSON.
    #[error("cannot write the findings as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// CSV.
    #[error("cannot write the findings as CSV: {0}")]
    Csv(#[from] ::csv::Error),
}

/// A reporter by name.
#[derive(Clone, Copy)]
pub struct ReporterEntry {
    /// Its name: `csv`, `json`, ...
    pub kind: &'static str,
    /// One line for help texts.
    pub summary: &'static str,
    /// File name inside a run folder.
    pub file: &'static str,
    /// The whole file.
    pub render: fn(&Findings) -> Result<Vec<u8>, ReportError>,
}

/// Every reporter, sorted by name.
pub const REPORTERS: [ReporterEntry; 5] = [
    ReporterEntry {
        kind: csv::KIND,
        summary: "one row a run, the proof of concept's columns first",
        file: csv::FILE,
        render: csv::render,
    },
    ReporterEntry {
        kind: emissions::KIND,
        summary: "one row a run in CodeCarbon's 38 columns",
        file: emissions::FILE,
        render: emissions::render,
    },
    ReporterEntry {
        kind: json::KIND,
        summary: "all findings, with units, sources and uncertainties",
        file: json::FILE,
        render: json::render,
    },
    ReporterEntry {
        kind: requests_energy::KIND,
        summary: "one row a request: prefill, decode and idle part of its energy",
        file: requests_energy::FILE,
        render: requests_energy::render,
    },
    ReporterEntry {
        kind: table::KIND,
        summary: "the summary shown on a terminal",
        file: table::FILE,
        render: table::render_bytes,
    },
];

/// Where reports go.
#[derive(Debug, Clone)]
pub struct Outputs<'a> {
    /// The run folder.
    pub folder: &'a Path,
    /// The folder that relative paths start from.
    pub base: &'a Path,
    /// A report beside those of the run folder.
    pub reporter: &'a ReporterConfig,
    /// Where `emissions.csv` gets a row.
    pub metrics: &'a MetricsConfig,
}

/// What was written and what was not.
#[derive(Debug, Default)]
pub struct Written {
    /// Files with this run's figures, in the order in which they were written.
    pub files: Vec<PathBuf>,
    /// Files with other columns that were moved out of the way: new name last.
    pub kept_aside: Vec<(PathBuf, PathBuf)>,
    /// What could not be written.
    pub problems: Vec<Problem>,
}

impl Written {
    fn file(&mut self, path: PathBuf, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.files.push(path),
            Err(message) => self.problem(&path, message),
        }
    }

    fn appended(&mut self, path: PathBuf, outcome: Result<Appended, FileError>) {
        match outcome {
            Ok(appended) => {
                if let Some(aside) = appended.kept_aside {
                    self.kept_aside.push((path.clone(), aside));
                }
                self.files.push(path);
            }
            Err(cause) => self.problem(&path, cause.to_string()),
        }
    }

    fn problem(&mut self, path: &Path, message: String) {
        let hint =
            "the records in the run folder are whole: the reports can be made again from them";
        self.problems.push(Problem::new(path.display().to_string(), message).hint(hint));
    }
}

/// Writes the run folder's reports, `reporter.output_file` and a row of `metrics.output_dir`'s `emissions.csv`.
#[must_use]
pub fn write_all(findings: &Findings, outputs: &Outputs<'_>) -> Written {
    let mut written = Written::default();
    for entry in REPORTERS.iter().filter(|entry| entry.kind != table::KIND) {
        let path = outputs.folder.join(entry.file);
        let outcome = render_to(&path, entry, findings);
        written.file(path, outcome);
    }
    beside(findings, outputs, &mut written);
    let zone = jiff::tz::TimeZone::system();
    let dir = outputs.metrics.output_dir.as_deref().filter(|dir| !dir.is_empty());
    let dir = dir.filter(|_| outputs.metrics.enabled).map(|dir| outputs.base.join(dir));
    if let Some(dir) = &dir {
        let path = dir.join(outputs.metrics.output_file.as_deref().unwrap_or(emissions::FILE));
        let row = emissions::row(findings, &zone);
        let outcome = files::append_row(&path, &emissions::HEADER, &row, files::LineEnd::Lf);
        written.appended(path, outcome);
    }
    match tasks::render(findings, &zone) {
        Ok(None) => {}
        Ok(Some(bytes)) => {
            let name = tasks::file(findings);
            for folder in std::iter::once(outputs.folder).chain(dir.as_deref()) {
                let path = folder.join(&name);
                let outcome = files::replace(&path, &bytes).map_err(|cause| cause.to_string());
                written.file(path, outcome);
            }
        }
        Err(cause) => written.problem(&outputs.folder.join("tasks"), cause.to_string()),
    }
    written
}

fn beside(findings: &Findings, outputs: &Outputs<'_>, written: &mut Written) {
    let Some(file) = outputs.reporter.output_file.as_deref().filter(|file| !file.is_empty()) else {
        return;
    };
    let path = outputs.base.join(file);
    let kind = outputs.reporter.kind.as_str();
    if kind == csv::KIND {
        let (header, row) = csv::header_and_row(findings);
        let outcome = files::append_row(&path, &header, &row, files::LineEnd::CrLf);
        written.appended(path, outcome);
    } else if let Some(entry) = REPORTERS.iter().find(|entry| entry.kind == kind) {
        let outcome = render_to(&path, entry, findings);
        written.file(path, outcome);
    } else {
        let kinds: Vec<&str> = REPORTERS.iter().map(|entry| entry.kind).collect();
        written.problems.push(
            Problem::new("reporter.type", format!("there is no reporter {kind:?}"))
                .hint(format!("one of {}", kinds.join(", "))),
        );
    }
}

fn render_to(path: &Path, entry: &ReporterEntry, findings: &Findings) -> Result<(), String> {
    let bytes = (entry.render)(findings).map_err(|cause| cause.to_string())?;
    files::replace(path, &bytes).map_err(|cause| cause.to_string())
}
