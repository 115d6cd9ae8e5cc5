//! Files in the shapes of other load generators, for tools that read those.
//!
//! They are made of findings and records, only where `reporter.exports` names them. Where a definition there is another
//! than ours, theirs is computed.

pub mod aiperf;
mod request;
pub mod vllm;

use crate::analysis::Findings;
use crate::analysis::stats;
use crate::error::{Problem, nearest};
use crate::record::{Phase, RequestRecord, RunRecords};

use super::files;
use super::{Outputs, ReportError, Written};

/// An export by name.
#[derive(Clone, Copy)]
pub struct ExportEntry {
    /// Its name in `reporter.exports`.
    pub kind: &'static str,
    /// One line for help texts.
    pub summary: &'static str,
    /// File name inside a run folder.
    pub file: &'static str,
    /// The whole file.
    pub render: fn(&Findings, &RunRecords) -> Result<Vec<u8>, ReportError>,
}

/// Every export, sorted by name.
pub const EXPORTS: [ExportEntry; 3] = [
    ExportEntry {
        kind: aiperf::KIND,
        summary: "aiperf's profile_export_aiperf.json (schema 1.4)",
        file: aiperf::FILE,
        render: aiperf::render,
    },
    ExportEntry {
        kind: aiperf::JSONL_KIND,
        summary: "aiperf's profile_export.jsonl, one line a request",
        file: aiperf::JSONL_FILE,
        render: aiperf::render_jsonl,
    },
    ExportEntry {
        kind: vllm::KIND,
        summary: "what vllm bench serve writes with --save-result --save-detailed",
        file: vllm::FILE,
        render: vllm::render,
    },
];

/// Writes the exports that the config names into the run folder.
pub fn write(
    findings: &Findings,
    records: &RunRecords,
    outputs: &Outputs<'_>,
    written: &mut Written,
) {
    for kind in &outputs.reporter.exports {
        let Some(entry) = EXPORTS.iter().find(|entry| entry.kind == kind) else {
            let kinds = EXPORTS.map(|entry| entry.kind);
            let hint = match nearest(kind, kinds) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("one of {}", kinds.join(", ")),
            };
            let message = format!("there is no export {kind:?}");
            written.problems.push(Problem::new("reporter.exports", message).hint(hint));
            continue;
        };
        let path = outputs.folder.join(entry.file);
        let outcome = (entry.render)(findings, records)
            .map_err(|cause| cause.to_string())
            .and_then(|bytes| files::replace(&path, &bytes).map_err(|cause| cause.to_string()));
        written.file(path, outcome);
    }
}

/// Measured requests in the order in which they were sent.
fn measured(records: &RunRecords) -> Vec<&RequestRecord> {
    let mut requests: Vec<&RequestRecord> =
        records.requests.iter().filter(|request| request.phase == Phase::Measure).collect();
    requests.sort_by_key(|request| (request.repetition, request.index));
    requests
}

/// Mean and standard deviation with the divisor n, numpy's default; zeros of nothing, as these tools have it.
fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let Some(mean) = stats::mean(values) else { return (0.0, 0.0) };
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / values.len() as f64).sqrt())
}

fn pretty(value: &serde_json::Value) -> Result<Vec<u8>, ReportError> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}
