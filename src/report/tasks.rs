//! CodeCarbon's file of tasks, a row a phase: `emissions_EXPERIMENT_RUNID.csv`.
//!
//! The columns are those of `emissions.csv` with `task_name` before them and without `experiment_id`, `pue` and
//! `wue`. As there, a place's column that is unknown is left out altogether; load is not told of a phase alone.

use jiff::tz::TimeZone;

use crate::analysis::Findings;
use crate::analysis::footprint::TaskEnergy;

use super::ReportError;
use super::csv::{configured_or, method_version, number};
use super::emissions::{
    BYTES_PER_GB, HEADER, Place, gpu_model, labelled_project, local_time, tracking_mode,
};
use super::files::{LineEnd, line};

const DEFAULT_EXPERIMENT: &str = "base";
const JOULES_PER_KWH: f64 = 3.6e6;
/// Columns of `emissions.csv` that a task does not have.
const NOT_OF_TASKS: [&str; 3] = ["experiment_id", "pue", "wue"];

/// Columns that are left out where they are unknown.
const LEFT_OUT: [&str; 3] = ["region", "longitude", "latitude"];

/// The file's name.
#[must_use]
pub fn file(findings: &Findings) -> String {
    let experiment = configured_or(findings, "/metrics/experiment_name", DEFAULT_EXPERIMENT);
    // The name becomes part of a path.
    let plain: String = experiment
        .chars()
        .map(|letter| if matches!(letter, '/' | '\\' | '\0') { '_' } else { letter })
        .collect();
    format!("emissions_{plain}_{}.csv", findings.run.id)
}

/// The whole file; none by our own rules, or where no phase was finished.
///
/// # Errors
/// Never for findings of a run; the CSV writer's own otherwise.
pub fn render(findings: &Findings, zone: &TimeZone) -> Result<Option<Vec<u8>>, ReportError> {
    let footprint =
        findings.footprint.as_ref().filter(|footprint| footprint.method.is_codecarbon());
    let Some(footprint) = footprint.filter(|footprint| !footprint.tasks.is_empty()) else {
        return Ok(None);
    };
    let rows: Vec<Vec<Option<String>>> =
        footprint.tasks.iter().map(|task| row(findings, task, zone)).collect();
    let columns: Vec<&str> = std::iter::once("task_name")
        .chain(HEADER.into_iter().filter(|name| !NOT_OF_TASKS.contains(name)))
        .collect();
    let kept: Vec<usize> = (0..columns.len())
        .filter(|position| {
            !LEFT_OUT.contains(&columns[*position])
                || rows.iter().any(|row| row[*position].is_some())
        })
        .collect();
    let header: Vec<&str> = kept.iter().map(|position| columns[*position]).collect();
    let mut bytes = line(&header, LineEnd::Lf)?;
    for row in &rows {
        let cells: Vec<String> =
            kept.iter().map(|position| row[*position].clone().unwrap_or_default()).collect();
        bytes.extend(line(&cells, LineEnd::Lf)?);
    }
    Ok(Some(bytes))
}

/// One cell a column; `None` where it is not known.
fn row(findings: &Findings, task: &TaskEnergy, zone: &TimeZone) -> Vec<Option<String>> {
    let totals = &task.totals;
    let seconds = Some(task.seconds).filter(|seconds| *seconds > 0.0);
    let figure = |value: Option<f64>| value.map(|value| number(Some(value)));
    // kWh over seconds is W: the mean over the phase, times the PUE as its energy is.
    let power = |kwh: Option<f64>| {
        figure(kwh.zip(seconds).map(|(kwh, seconds)| kwh * JOULES_PER_KWH / seconds))
    };
    let rate = totals.emissions.zip(seconds).map(|(kilograms, seconds)| kilograms / seconds);
    let place = Place::of(findings);
    let host = &findings.host;
    let text = |text: String| Some(text).filter(|text| !text.is_empty());
    let load = || None;
    vec![
        Some(task.name.clone()),
        Some(local_time(&task.ended, zone)),
        Some(labelled_project(findings)),
        Some(findings.run.id.clone()),
        Some(number(Some(task.seconds))),
        figure(totals.emissions),
        figure(rate),
        power(totals.cpu_energy),
        power(totals.gpu_energy),
        power(totals.ram_energy),
        figure(totals.cpu_energy),
        figure(totals.gpu_energy),
        figure(totals.ram_energy),
        figure(totals.energy_consumed),
        figure(totals.water_consumed),
        text(place.country_name),
        text(place.country_iso_code),
        text(place.region),
        Some(place.cloud_provider),
        Some(place.cloud_region),
        Some(host.os.clone()),
        None,
        Some(method_version(findings)),
        Some(host.cpu_count.to_string()),
        host.cpu_model.clone(),
        Some(host.gpus.len().to_string()),
        Some(gpu_model(findings)),
        None,
        None,
        figure(host.ram_bytes.map(|bytes| bytes as f64 / BYTES_PER_GB)),
        Some(tracking_mode(findings).to_owned()),
        load(),
        load(),
        load(),
        load(),
        Some(place.on_cloud),
    ]
}
