//! `ai-energy-benchmark run`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ai_energy_benchmarks::analysis::{self, Findings};
use ai_energy_benchmarks::config::{BenchmarkConfig, Environment, LoadedConfig};
use ai_energy_benchmarks::record::{RunRecords, StopReason};
use ai_energy_benchmarks::report::{self, Outputs};
use ai_energy_benchmarks::run::{self, Folder, Observer, Options, RunEnd, RunError};

use crate::args::{LogFormat, RunArgs};
use crate::exit::Exit;
use crate::progress::{Bar, Events, Lines};
use crate::terminal;

pub(crate) fn run(arguments: &RunArgs, log_format: LogFormat) -> Exit {
    let loaded = match super::load(&arguments.config.config, &arguments.config.overrides) {
        Ok(loaded) => loaded,
        Err(problems) => {
            terminal::problems(&problems);
            return Exit::Usage;
        }
    };
    let config = loaded.config.clone();
    let mut prepared =
        match run::prepare(loaded.config.clone(), &super::registry(), &Environment::default()) {
            Ok(prepared) => prepared,
            Err(problems) => {
                terminal::problems(&loaded.locate(problems));
                return Exit::Usage;
            }
        };
    prepared.keep_notes(&loaded.notes);
    match run::execute(prepared, options(&loaded, log_format)) {
        Ok(end) => report(&end, &config, arguments.json),
        Err(error) => {
            terminal::note(&format!("error: {}", error.problem()));
            if matches!(error, RunError::Interrupted) { Exit::Interrupted } else { Exit::RunFailed }
        }
    }
}

fn options(loaded: &LoadedConfig, log_format: LogFormat) -> Options {
    let observer: Arc<dyn Observer> = match log_format {
        LogFormat::Json => Arc::new(Events::default()),
        LogFormat::Text if terminal::is_watched() => Arc::new(Bar::new()),
        LogFormat::Text => Arc::new(Lines::default()),
    };
    Options {
        folder: Folder::Under(PathBuf::from(&loaded.config.output_dir)),
        observer,
        files: loaded.hydra_files(),
        git_commit: option_env!("AEB_GIT_COMMIT").map(str::to_owned),
    }
}

/// Reads back what the run wrote, and reports it.
fn report(end: &RunEnd, config: &BenchmarkConfig, json: bool) -> Exit {
    let records = match RunRecords::read(&end.folder) {
        Ok(records) => records,
        Err(error) => {
            terminal::note(&format!("error: {error}"));
            return Exit::RunFailed;
        }
    };
    if let Some(error) = &end.journal_error {
        terminal::note(&format!("error: {error}; the report covers what was written before"));
    }
    if let Some(problem) = &end.isolation {
        terminal::note(&format!("error: {problem}"));
    }
    let findings = analysis::analyse(&records);
    let written = report::write_all(
        &findings,
        &Outputs {
            folder: &end.folder,
            base: Path::new(""),
            reporter: &config.reporter,
            metrics: &config.metrics,
        },
    );
    if json {
        match report::json::render(&findings) {
            Ok(bytes) => terminal::out(&String::from_utf8_lossy(&bytes)),
            Err(error) => terminal::note(&format!("error: {error}")),
        }
    } else {
        terminal::out(&report::table::render(&findings, &written.files));
    }
    tell(&written);
    exit(end, &findings, written.problems.is_empty())
}

/// What went differently than asked.
fn tell(written: &report::Written) {
    for (file, aside) in &written.kept_aside {
        terminal::note(&format!(
            "caution: {} had another header; kept as {}",
            file.display(),
            aside.display()
        ));
    }
    for problem in &written.problems {
        terminal::note(&format!("error: {problem}"));
    }
}

fn exit(end: &RunEnd, findings: &Findings, reported: bool) -> Exit {
    let counts = &findings.counts;
    match end.stopped {
        Some(StopReason::Interrupted) => Exit::Interrupted,
        _ if counts.succeeded == 0 => Exit::RunFailed,
        Some(StopReason::ConsecutiveFailures | StopReason::RecordsFailed) => Exit::WithFailures,
        None if counts.failed > 0 || !reported || end.isolation.is_some() => Exit::WithFailures,
        None => Exit::Ok,
    }
}
