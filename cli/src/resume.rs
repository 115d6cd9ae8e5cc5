//! `--resume`: which cells of a sweep have a complete report already.

use std::path::{Path, PathBuf};

use ai_energy_benchmarks::config::LoadedConfig;
use ai_energy_benchmarks::error::{Problem, Problems};
use ai_energy_benchmarks::record::files;
use serde_json::Value;

use crate::plan::Plan;

const MULTIRUN: &str = "multirun.yaml";

/// Puts every sweep where it was begun: in the folder that is named, or in the newest of the same sweep.
///
/// # Errors
/// A folder that is no sweep's, or several sweeps for one folder; no earlier sweep to be found.
pub(crate) fn relocate(plan: &mut Plan, named: Option<&Path>) -> Result<(), Problems> {
    let problem =
        |message: String, hint: &str| Err(Problem::new("--resume", message).hint(hint).into());
    match (named, plan.sweeps.len()) {
        (_, 0) => problem(
            "there is no sweep to go on with".to_owned(),
            "name several values and add --multirun, as when the sweep was begun",
        ),
        (Some(folder), 1) => {
            if !folder.join(MULTIRUN).is_file() {
                let message = format!("{} holds no {MULTIRUN}", folder.display());
                return problem(message, "name the folder that lies above those of the cells");
            }
            let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
            plan.move_sweep(0, &folder);
            Ok(())
        }
        (Some(_), _) => problem(
            "one folder is named, and there are several sweeps".to_owned(),
            "go on with one at a time",
        ),
        (None, count) => {
            for sweep in 0..count {
                if let Some(folder) = newest(plan, sweep) {
                    plan.move_sweep(sweep, &folder);
                }
            }
            Ok(())
        }
    }
}

/// The newest folder with the cells of a sweep: the one it has, where its name is fixed, else among
/// those of other days and times.
fn newest(plan: &Plan, sweep: usize) -> Option<PathBuf> {
    let dir = &plan.sweeps[sweep].dir;
    if dir.join(MULTIRUN).is_file() {
        return Some(dir.clone());
    }
    // .../<date>/<time>: both sort as text.
    let mut found: Vec<PathBuf> = folders(dir.parent()?.parent()?)
        .flat_map(|day| folders(&day).collect::<Vec<_>>())
        .filter(|folder| folder.join(MULTIRUN).is_file())
        .filter(|folder| is_same(plan, sweep, folder))
        .collect();
    found.sort();
    found.pop()
}

fn folders(of: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(of).into_iter().flatten();
    entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(|path| path.is_dir())
}

/// Whether a folder was made by the same sweep: every cell that has begun in it is one of ours.
fn is_same(plan: &Plan, sweep: usize, folder: &Path) -> bool {
    let dir = &plan.sweeps[sweep].dir;
    let mut any = false;
    for cell in plan.cells.iter().filter(|cell| cell.sweep == Some(sweep)) {
        let Ok(rest) = cell.loaded.place.output_dir.strip_prefix(dir) else { return false };
        match kept_overrides(&folder.join(rest), &cell.loaded) {
            Some(true) => any = true,
            Some(false) => return false,
            None => {}
        }
    }
    any
}

/// Whether the run in a folder was made by the same changes; none where no run has begun.
fn kept_overrides(folder: &Path, loaded: &LoadedConfig) -> Option<bool> {
    let (path, wanted) = loaded
        .hydra_files()
        .into_iter()
        .find(|(path, _)| path.file_name().is_some_and(|name| name == "overrides.yaml"))?;
    std::fs::read(folder.join(path)).ok().map(|kept| kept == wanted)
}

/// Whether a cell was run to its end: its report says so, and the changes are the same.
pub(crate) fn is_complete(loaded: &LoadedConfig) -> bool {
    let folder = &loaded.place.output_dir;
    let report = std::fs::read(folder.join(files::REPORT)).ok();
    let report = report.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let complete = report.is_some_and(|report| report["run"]["complete"] == true);
    complete && kept_overrides(folder, loaded) != Some(false)
}
