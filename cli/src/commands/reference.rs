//! `ai-energy-benchmark reference`.

use std::path::{Path, PathBuf};

use ai_energy_benchmarks::analysis::{self, Findings};
use ai_energy_benchmarks::config::component::metrics::MetricsConfig;
use ai_energy_benchmarks::config::component::reference::ReferenceConfig;
use ai_energy_benchmarks::config::component::reporter::ReporterConfig;
use ai_energy_benchmarks::error::Problem;
use ai_energy_benchmarks::meter::calibration::{self, Calibrations};
use ai_energy_benchmarks::meter::reference;
use ai_energy_benchmarks::record::RunRecords;
use ai_energy_benchmarks::report::{self, Outputs};

use crate::args::ReferenceArgs;
use crate::exit::Exit;
use crate::terminal;

pub(crate) fn run(arguments: &ReferenceArgs) -> Exit {
    let calibrations = calibrations(arguments.calibrations.as_deref());
    match add(arguments, calibrations.as_deref()) {
        Ok(findings) => {
            let text = if arguments.json {
                serde_json::to_string_pretty(&findings.references).map(|text| text + "\n")
            } else {
                Ok(report::table::render(&findings, &[]))
            };
            match text {
                Ok(text) => terminal::out(&text),
                Err(error) => terminal::note(&format!("error: {error}")),
            }
            let known =
                findings.references.last().is_some_and(|found| found.energy.value.is_some());
            if known { Exit::Ok } else { Exit::WithFailures }
        }
        Err(problem) => {
            terminal::note(&format!("error: {problem}"));
            Exit::Usage
        }
    }
}

/// Where gains are kept.
pub(crate) fn calibrations(configured: Option<&str>) -> Option<PathBuf> {
    calibration::path(configured, &|name| std::env::var(name).ok())
}

fn add(arguments: &ReferenceArgs, calibrations: Option<&Path>) -> Result<Findings, Problem> {
    let folder = &arguments.run;
    let unreadable = |error: &dyn std::fmt::Display| {
        Problem::new(folder.display().to_string(), error.to_string())
    };
    // The folder must be a run's before anything is written into it.
    RunRecords::read(folder).map_err(|error| unreadable(&error))?;
    let config = settings(arguments);
    keep_trace(folder, &arguments.file, &config)?;
    let records = RunRecords::read(folder).map_err(|error| unreadable(&error))?;
    let findings = analysis::analyse(&records);
    if let Some(path) = calibrations {
        keep_gains(&findings, path)?;
    }
    let outputs = Outputs {
        folder,
        base: folder,
        reporter: &ReporterConfig::default(),
        metrics: &MetricsConfig { enabled: false, ..MetricsConfig::default() },
    };
    for problem in report::write_all(&findings, &outputs).problems {
        terminal::note(&format!("error: {problem}"));
    }
    Ok(findings)
}

/// Reads an external meter's file into a run folder; an earlier reading of the same file makes way.
pub(crate) fn keep_trace(
    folder: &Path,
    file: &Path,
    config: &ReferenceConfig,
) -> Result<(), Problem> {
    let trace = reference::read(file, config)?;
    reference::keep(folder, trace)
}

/// Keeps the gains that a run's external meters showed.
pub(crate) fn keep_gains(findings: &Findings, path: &Path) -> Result<(), Problem> {
    let gains: Vec<_> =
        findings.references.iter().filter_map(|found| found.gain.as_ref()?.keep.clone()).collect();
    if gains.is_empty() {
        return Ok(());
    }
    let mut kept = Calibrations::read(path)?;
    for gain in gains {
        kept.keep(gain);
    }
    kept.write(path)?;
    terminal::note(&format!("gains kept in {}", path.display()));
    Ok(())
}

fn settings(arguments: &ReferenceArgs) -> ReferenceConfig {
    let defaults = ReferenceConfig::default();
    ReferenceConfig {
        file: arguments.file.display().to_string(),
        format: arguments.format.unwrap_or(defaults.format),
        scope: arguments.scope.unwrap_or(defaults.scope),
        device: arguments.device.clone(),
        column: arguments.column.clone(),
        accuracy_percent: arguments.accuracy_percent,
        utc_offset_hours: arguments.utc_offset_hours,
        max_offset_s: arguments.max_offset_s.unwrap_or(defaults.max_offset_s),
        clock_bound_s: arguments.clock_bound_s,
        conversion_efficiency: arguments.conversion_efficiency,
        conversion_uncertainty: arguments.conversion_uncertainty,
    }
}
