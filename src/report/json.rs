//! `report.json`: all findings, and the JSON Schema they keep to.

use serde_json::Value;

use crate::analysis::Findings;
use crate::record::files;

use super::ReportError;

/// The reporter's name.
pub const KIND: &str = "json";
/// File name in a run folder.
pub const FILE: &str = files::REPORT;

/// The file.
///
/// # Errors
/// When the config in the findings holds something that JSON cannot.
pub fn render(findings: &Findings) -> Result<Vec<u8>, ReportError> {
    let mut bytes = serde_json::to_vec_pretty(findings)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The same in one line, where several reports follow one another.
///
/// # Errors
/// As [`render`].
pub fn line(findings: &Findings) -> Result<Vec<u8>, ReportError> {
    let mut bytes = serde_json::to_vec(findings)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// JSON Schema (draft 2020-12) of the file.
#[must_use]
pub fn schema() -> Value {
    schemars::schema_for!(Findings).to_value()
}
