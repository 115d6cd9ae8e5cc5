//! Sweeps, as Hydra's basic sweeper splits them into jobs.

use std::path::{Path, PathBuf};

use hydra_compose::{BasicSweeper, ErrorKind, Errors, GroupOptions};

use crate::json::Json;
use crate::tree::same_text;
use crate::{Outcome, Suite};

pub(crate) fn suite(vectors: &Json) -> Suite<'_> {
    Suite {
        cases: vectors.items(),
        name: Box::new(|case| case["name"].text().to_owned()),
        check: Box::new(check),
    }
}

/// The files of a case, as names: what a group has is told by the names alone.
struct Files(Vec<PathBuf>);

impl GroupOptions for Files {
    fn group_options(&self, group: &str) -> Vec<String> {
        let mut names: Vec<_> = self
            .0
            .iter()
            .filter(|path| path.parent() == Some(Path::new(group)))
            .filter(|path| {
                path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
            })
            .filter_map(|path| path.file_stem()?.to_str().map(str::to_owned))
            .collect();
        names.sort_unstable();
        names
    }
}

fn check(case: &Json) -> Outcome {
    let files = case.get("files").map_or_else(Vec::new, |files| {
        files.pairs().iter().map(|(name, _)| PathBuf::from(name)).collect()
    });
    let params: Vec<(String, String)> = case.get("params").map_or_else(Vec::new, |params| {
        params.pairs().iter().map(|(key, value)| (key.clone(), value.text().to_owned())).collect()
    });
    let overrides: Vec<String> =
        case["overrides"].items().iter().map(|text| text.text().to_owned()).collect();
    let size = match case.get("max_batch_size") {
        Some(Json::Int(size)) => i64::try_from(*size).ok(),
        _ => None,
    };
    match (BasicSweeper::split(&params, &overrides, size, &Files(files)), case.get("error_type")) {
        (Ok(batches), None) => same_jobs(&batches, case),
        (Err(errors), Some(python)) => same_error(&errors, python.text(), &case["error"]),
        (Ok(batches), Some(_)) => Err(format!("found {batches:?}, expected an error")),
        (Err(errors), None) => Err(errors.to_string()),
    }
}

fn same_jobs(batches: &[Vec<Vec<String>>], case: &Json) -> Outcome {
    let jobs = |list: &[Json]| -> Vec<Vec<String>> {
        let texts = |job: &Json| job.items().iter().map(|text| text.text().to_owned()).collect();
        list.iter().map(texts).collect()
    };
    let wanted = jobs(case["expected"].items());
    same_text(&format!("{:?}", batches.concat()), &format!("{wanted:?}"))?;
    let Some(wanted) = case.get("expected_batches") else { return Ok(()) };
    let wanted: Vec<_> = wanted.items().iter().map(|batch| jobs(batch.items())).collect();
    same_text(&format!("{batches:?}"), &format!("{wanted:?}"))
}

/// The class, and the words where they are Hydra's own and not those of its parser or of Python.
fn same_error(errors: &Errors, python: &str, wanted: &Json) -> Outcome {
    let error = errors.first();
    let python = match python {
        "TypeError" | "AssertionError" | "ValidationError" | "InvalidOperation" => "ValueError",
        other => other,
    };
    let class = match error.kind() {
        ErrorKind::OverrideSyntax(_) => "OverrideParseException",
        ErrorKind::Sweep(_) => "HydraException",
        ErrorKind::SweepValue(_) => "ValueError",
        _ => "another class",
    };
    same_text(class, python)?;
    if class == "HydraException" { same_text(&error.message(), wanted.text()) } else { Ok(()) }
}
