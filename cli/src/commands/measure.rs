//! `ai-energy-benchmark measure`: the energy of any command.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ai_energy_benchmarks::analysis::{self, CommandFindings};
use ai_energy_benchmarks::config::component::metrics::MetricsConfig;
use ai_energy_benchmarks::config::{self, Environment};
use ai_energy_benchmarks::error::Problems;
use ai_energy_benchmarks::record::{CommandInfo, RunRecords, StopReason, Warning};
use ai_energy_benchmarks::report::{self, ReportError};
use ai_energy_benchmarks::run::{
    self, CommandEnd, CommandError, CommandJob, CommandOptions, Folder, Observer, Output, Snapshot,
};
use ai_energy_benchmarks::units::Seconds;

use crate::args::MeasureArgs;
use crate::exit::Exit;
use crate::{metering, terminal};

/// What shells answer when there is no such program,
const NOT_FOUND: u8 = 127;
/// and when there is one and it cannot be run.
const NOT_RUN: u8 = 126;

pub(crate) fn run(arguments: &MeasureArgs) -> Exit {
    let job = match job(arguments) {
        Ok(job) => job,
        Err(problems) => {
            terminal::problems(&problems);
            return Exit::Usage;
        }
    };
    let options = CommandOptions {
        folder: Folder::New(folder(&arguments.output_dir, &job.info.label)),
        observer: Arc::new(Quiet),
        git_commit: option_env!("AEB_GIT_COMMIT").map(str::to_owned),
    };
    let meters = super::registry().meters;
    match run::measure(&job, &meters, &Environment::default(), &options) {
        Ok(end) => report(arguments, &end),
        Err(CommandError::Asked(problems)) => {
            terminal::problems(&problems);
            Exit::Usage
        }
        Err(error @ CommandError::NotFound(_)) => {
            terminal::note(&format!("error: {error}"));
            Exit::Of(NOT_FOUND)
        }
        Err(CommandError::Run(error)) => {
            terminal::note(&format!("error: {}", error.problem()));
            Exit::RunFailed
        }
    }
}

/// Cautions are in the report; until then the terminal is the command's.
struct Quiet;

impl Observer for Quiet {
    fn phase(&self, phase: ai_energy_benchmarks::record::Phase) {
        tracing::info!(?phase, "begins");
    }
    fn progress(&self, _: &Snapshot) {}
    fn warning(&self, warning: &Warning) {
        tracing::info!("caution: {}", warning.message);
    }
}

fn job(arguments: &MeasureArgs) -> Result<CommandJob, Problems> {
    let found = (metrics(arguments), config::named_meters(&arguments.meter));
    let ((metrics, device_ids), meters) = metering::all(found)?;
    let first = arguments.command.first().map_or("", String::as_str);
    let name = Path::new(first).file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(CommandJob {
        info: CommandInfo {
            argv: arguments.command.clone(),
            shell: arguments.shell.clone(),
            prepare: arguments.prepare.clone(),
            runs: arguments.runs,
            warmup: arguments.warmup,
            idle_s: Seconds(arguments.idle),
            label: arguments.label.clone().unwrap_or(name),
            ignore_failure: arguments.ignore_failure,
        },
        output: match arguments.output.as_str() {
            "inherit" => Output::Inherit,
            "null" => Output::Null,
            file => Output::File(PathBuf::from(file)),
        },
        input: arguments.input.clone(),
        metrics,
        device_ids,
        meters,
    })
}

/// The settings of metering, and the GPUs that are named.
fn metrics(arguments: &MeasureArgs) -> Result<(MetricsConfig, Option<Vec<String>>), Problems> {
    let (mut metrics, device_ids) =
        metering::settings(&arguments.metrics, arguments.gpus.as_deref())?;
    if let Some(period) = arguments.sample_period {
        metrics.sample_period_s = period;
    }
    metrics.fine |= arguments.fine;
    let given = [
        (&mut metrics.country_iso_code, &arguments.country),
        (&mut metrics.region, &arguments.region),
    ];
    for (setting, option) in given {
        if option.is_some() {
            setting.clone_from(option);
        }
    }
    metrics.carbon_intensity_g_per_kwh =
        arguments.carbon_intensity.or(metrics.carbon_intensity_g_per_kwh);
    metering::checked(metrics).map(|metrics| (metrics, device_ids))
}

/// `results/LABEL/DATE/TIME`, as runs have it.
fn folder(base: &Path, label: &str) -> PathBuf {
    let plain = |letter: char| {
        if letter.is_alphanumeric() || "-_.".contains(letter) { letter } else { '_' }
    };
    let name: String = label.chars().map(plain).take(80).collect();
    let name = if name.trim_matches('.').is_empty() { "command".to_owned() } else { name };
    let now = jiff::ZonedDateTime::now();
    base.join(name)
        .join(now.strftime("%Y-%m-%d").to_string())
        .join(now.strftime("%H-%M-%S").to_string())
}

fn report(arguments: &MeasureArgs, end: &CommandEnd) -> Exit {
    if let Some(problem) = &end.problem {
        terminal::note(&format!("error: {problem}"));
    }
    if let Some(error) = &end.journal_error {
        terminal::note(&format!("error: {error}; the report covers what was written before"));
    }
    let findings = match RunRecords::read(&end.folder) {
        Ok(records) => analysis::analyse_command(&records),
        Err(error) => {
            terminal::note(&format!("error: {error}"));
            return Exit::RunFailed;
        }
    };
    let Some(findings) = findings else {
        terminal::note("error: the records are not of a command");
        return Exit::RunFailed;
    };
    let reported = export(arguments, &findings, &end.folder);
    exit(arguments, end, reported)
}

/// Writes and prints what was asked for; false when something could not be written.
fn export(arguments: &MeasureArgs, findings: &CommandFindings, folder: &Path) -> bool {
    let (mut files, mut problems) = report::command::write(findings, folder);
    type Render = fn(&CommandFindings) -> Result<Vec<u8>, ReportError>;
    let exports: [(&Option<PathBuf>, Render); 2] = [
        (&arguments.export_json, report::command::render_json),
        (&arguments.export_csv, report::command::render_csv),
    ];
    for (path, render) in exports {
        let Some(path) = path else { continue };
        match render(findings) {
            Ok(bytes) if path == Path::new("-") => terminal::out(&String::from_utf8_lossy(&bytes)),
            Ok(bytes) => match report::files::replace(path, &bytes) {
                Ok(()) => files.push(path.clone()),
                Err(cause) => problems.push(format!("{}: {cause}", path.display())),
            },
            Err(cause) => problems.push(format!("{}: {cause}", path.display())),
        }
    }
    if !arguments.quiet {
        terminal::note(&report::command::render(findings, &files));
    }
    for problem in &problems {
        terminal::note(&format!("error: {problem}"));
    }
    problems.is_empty()
}

/// The command's own exit code, before anything of ours.
fn exit(arguments: &MeasureArgs, end: &CommandEnd, reported: bool) -> Exit {
    let code = end.last.map_or(0, ai_energy_benchmarks::record::CommandExit::shell_code);
    match end.stopped {
        Some(StopReason::Interrupted) if code == 0 => Exit::Interrupted,
        Some(StopReason::Interrupted) => Exit::Of(code),
        _ if code != 0 && !arguments.ignore_failure => Exit::Of(code),
        _ if end.problem.is_some() => Exit::Of(NOT_RUN),
        _ if end.journal_error.is_some() || !reported => Exit::WithFailures,
        _ => Exit::Ok,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_become_names_of_folders() {
        let path = folder(Path::new("results"), "make -j2 all/x");
        assert!(path.starts_with("results/make_-j2_all_x"), "{}", path.display());
        assert!(folder(Path::new("r"), "..").starts_with("r/command"));
    }
}
