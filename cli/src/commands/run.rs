//! `ai-energy-benchmark run`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ai_energy_benchmarks::analysis::{self, Findings};
use ai_energy_benchmarks::config::component::metrics::MetricsConfig;
use ai_energy_benchmarks::config::{LoadedConfig, SweepFolder};
use ai_energy_benchmarks::error::Problems;
use ai_energy_benchmarks::meter::calibration;
use ai_energy_benchmarks::record::{RunRecords, StopReason};
use ai_energy_benchmarks::report::summary::{self, End, Row};
use ai_energy_benchmarks::report::{self, Outputs};
use ai_energy_benchmarks::run::{self, Folder, Observer, Options, RunEnd, RunError};
use ai_energy_benchmarks_mockserver::raise_open_files;

use super::show;
use crate::args::{LogFormat, RunArgs};
use crate::exit::Exit;
use crate::judge::ByAnalysis;
use crate::logging::{JobLog, Logged};
use crate::plan::{self, Cell, Plan};
use crate::progress::{Bar, Events, Lines};
use crate::{resume, terminal};

pub(crate) fn run(mut arguments: RunArgs, log_format: LogFormat) -> Exit {
    let hydra_shaped = arguments.config.is_hydra_shaped();
    arguments.flags.give_back_words(&mut arguments.config.words);
    match arguments.flags.changes(&arguments.config.words, false) {
        Ok(changes) => {
            arguments.multirun |= changes.is_sweep();
            arguments.config.words.extend(changes.words(true));
        }
        Err(problems) => {
            terminal::problems(&problems);
            return Exit::config(hydra_shaped);
        }
    }
    begin(&arguments, log_format)
}

/// Runs what the words of the command line say, flags among them.
pub(super) fn begin(arguments: &RunArgs, log_format: LogFormat) -> Exit {
    // A stream is an open file, and there may be thousands; where it is refused, connecting says so.
    let _ = raise_open_files();
    if let Some(shown) = arguments.cfg {
        return show::config(arguments, shown);
    }
    if let Some(info) = arguments.info {
        return show::info(arguments, info);
    }
    let hydra_shaped = arguments.config.is_hydra_shaped();
    let plan = match planned(arguments) {
        Ok(plan) => plan,
        Err(problems) => {
            terminal::problems(&problems);
            return Exit::config(hydra_shaped);
        }
    };
    for warning in &plan.warnings {
        terminal::note(&format!("caution: {warning}"));
    }
    for sweep in &plan.sweeps {
        if let Err(problem) = begin_sweep(sweep) {
            terminal::note(&format!("error: {problem}"));
            return Exit::RunFailed;
        }
    }
    let several = plan.cells.len() != 1;
    let runner = Runner { arguments, log_format, several, quiet: false };
    match &plan.cells[..] {
        // One run speaks for itself.
        [cell] if cell.sweep.is_none() => runner.make(cell).for_one(hydra_shaped),
        cells => runner.make_all(cells).for_several(hydra_shaped),
    }
}

fn planned(arguments: &RunArgs) -> Result<Plan, Problems> {
    let mut plan = plan::plan(&arguments.config, arguments.multirun)?;
    plan.check()?;
    if let Some(named) = &arguments.resume {
        resume::relocate(&mut plan, named.as_deref())?;
    }
    Ok(plan)
}

fn begin_sweep(sweep: &SweepFolder) -> Result<(), String> {
    let file = sweep.dir.join("multirun.yaml");
    std::fs::create_dir_all(&sweep.dir)
        .and_then(|()| std::fs::write(&file, &sweep.multirun_yaml))
        .map_err(|cause| format!("cannot write {}: {cause}", file.display()))
}

/// How one run ended, and what is shown of it beside others.
pub(super) struct Made {
    /// The exit code of a command that made this run only.
    pub exit: Exit,
    row: Row,
    /// Where its records lie; none where it did not begin.
    pub folder: Option<PathBuf>,
}

impl Made {
    /// How it ended.
    pub(super) const fn end(&self) -> End {
        self.row.end
    }

    /// The exit of a command that made one run.
    fn for_one(self, hydra_shaped: bool) -> Exit {
        match self.exit {
            Exit::Usage => Exit::config(hydra_shaped),
            exit => exit,
        }
    }
}

/// What the command line says about every run.
pub(super) struct Runner<'a> {
    pub arguments: &'a RunArgs,
    pub log_format: LogFormat,
    /// There are more runs than one: reports are one line each.
    pub several: bool,
    /// Nothing of a single run goes to standard output.
    pub quiet: bool,
}

/// The runs of one command.
struct AllMade {
    rows: Vec<Row>,
    /// `--strict-client` has something to say of one of them.
    client_limited: bool,
}

impl AllMade {
    /// 0 when all went well; else what went worst, but nothing is a failure of the whole that left
    /// results behind.
    fn for_several(&self, hydra_shaped: bool) -> Exit {
        let any = |end: End| self.rows.iter().any(|row| row.end == end);
        let good = any(End::Ok) || any(End::WithFailures) || any(End::Skipped);
        match () {
            () if any(End::Interrupted) => Exit::Interrupted,
            () if any(End::Failed) && (hydra_shaped || !good) => Exit::RunFailed,
            () if any(End::Failed) || any(End::WithFailures) => Exit::WithFailures,
            () if self.client_limited => Exit::ClientLimited,
            () => Exit::Ok,
        }
    }
}

impl Runner<'_> {
    /// Makes the runs in turn. A failure does not stop those after it, unless that is asked for.
    fn make_all(&self, cells: &[Cell]) -> AllMade {
        let mut rows = Vec::with_capacity(cells.len());
        let mut client_limited = false;
        for (number, cell) in cells.iter().enumerate() {
            terminal::note(&format!("run {} of {}: {}", number + 1, cells.len(), cell.label));
            if self.arguments.resume.is_some() && resume::is_complete(&cell.loaded) {
                rows.push(Row::skipped(cell.label.clone(), &cell.loaded.place.output_dir));
                continue;
            }
            let Made { row, exit, .. } = self.make(cell);
            client_limited |= exit == Exit::ClientLimited;
            let end = row.end;
            rows.push(row);
            let stop = end == End::Interrupted
                || self.arguments.fail_fast && matches!(end, End::Failed | End::WithFailures);
            if stop {
                if let left @ 1.. = cells.len() - number - 1 {
                    terminal::note(&format!("stopped: {left} runs were not begun"));
                }
                break;
            }
        }
        let table = summary::render(&rows);
        if self.arguments.json {
            terminal::note(&table);
        } else {
            terminal::out(&table);
        }
        AllMade { rows, client_limited }
    }

    /// One run, from its check to its report.
    pub(super) fn make(&self, cell: &Cell) -> Made {
        let loaded = &cell.loaded;
        let failed = |exit: Exit, end: End, why: String| Made {
            exit,
            row: Row::without_report(cell.label.clone(), end, why),
            folder: None,
        };
        let registry = super::registry();
        let mut config = loaded.config.clone();
        config.metrics.fine |= self.arguments.fine;
        let mut prepared = match run::prepare(config, &registry, &loaded.environment) {
            Ok(prepared) => prepared,
            Err(problems) => {
                let problems = loaded.locate(problems);
                terminal::problems(&problems);
                let why = problems.0.first().map(ToString::to_string).unwrap_or_default();
                return failed(Exit::Usage, End::Failed, first_line(&why));
            }
        };
        prepared.keep_notes(&loaded.notes);
        // With what CodeCarbon's own settings added.
        let metrics = prepared.config.metrics.clone();
        let ended = run::execute(prepared, self.options(loaded));
        match ended {
            Ok(end) => self.report(cell, &end, &metrics),
            Err(error) => {
                let problem = error.problem();
                terminal::note(&format!("error: {problem}"));
                let why = first_line(&problem.to_string());
                if matches!(error, RunError::Interrupted) {
                    failed(Exit::Interrupted, End::Interrupted, why)
                } else {
                    failed(Exit::RunFailed, End::Failed, why)
                }
            }
        }
    }

    fn options(&self, loaded: &LoadedConfig) -> Options {
        let observer: Arc<dyn Observer> = match self.log_format {
            LogFormat::Json => Arc::new(Events::default()),
            LogFormat::Text if terminal::is_watched() => Arc::new(Bar::new()),
            LogFormat::Text => Arc::new(Lines::default()),
        };
        let place = &loaded.place;
        let log = JobLog::begin(&place.log_file);
        let observer = Arc::new(Logged { observer, log });
        let folder = place.output_dir.clone();
        Options {
            folder: if place.is_new { Folder::New(folder) } else { Folder::At(folder) },
            observer,
            files: loaded.hydra_files(),
            git_commit: option_env!("AEB_GIT_COMMIT").map(str::to_owned),
            judge: Some(Arc::new(ByAnalysis)),
        }
    }

    /// Reads back what the run wrote, and reports it.
    fn report(&self, cell: &Cell, end: &RunEnd, metrics: &MetricsConfig) -> Made {
        let referenced = add_reference(&cell.loaded, metrics, &end.folder);
        let records = match RunRecords::read(&end.folder) {
            Ok(records) => records,
            Err(error) => {
                terminal::note(&format!("error: {error}"));
                let row = Row::without_report(cell.label.clone(), End::Failed, error.to_string());
                return Made { exit: Exit::RunFailed, row, folder: None };
            }
        };
        if let Some(error) = &end.journal_error {
            terminal::note(&format!("error: {error}; the report covers what was written before"));
        }
        if let Some(problem) = &end.isolation {
            terminal::note(&format!("error: {problem}"));
        }
        let findings = analysis::analyse(&records);
        let kept = referenced && keep_gains(&cell.loaded, metrics, &findings);
        let outputs = outputs(&cell.loaded, metrics, &end.folder);
        let mut written = report::write_all(&findings, &outputs);
        report::exports::write(&findings, &records, &outputs, &mut written);
        self.show(&findings, &written);
        tell(&written);
        let (ended, exit) = outcome(end, &findings, kept && written.problems.is_empty());
        let exit = match exit {
            Exit::Ok if self.arguments.strict_client => strictly(&findings),
            exit => exit,
        };
        let row = Row::of(cell.label.clone(), ended, &findings, &end.folder);
        Made { exit, row, folder: Some(end.folder.clone()) }
    }

    fn show(&self, findings: &Findings, written: &report::Written) {
        if self.quiet {
            return;
        }
        if !self.arguments.json {
            terminal::out(&report::table::render(findings, &written.files));
            return;
        }
        let rendered = if self.several {
            report::json::line(findings)
        } else {
            report::json::render(findings)
        };
        match rendered {
            Ok(bytes) => terminal::out(&String::from_utf8_lossy(&bytes)),
            Err(error) => terminal::note(&format!("error: {error}")),
        }
    }
}

/// Reads the external meter's file that the config names; whether all went well.
fn add_reference(loaded: &LoadedConfig, metrics: &MetricsConfig, folder: &Path) -> bool {
    let Some(config) = &metrics.reference else { return true };
    let file = outputs(loaded, metrics, folder).base.join(&config.file);
    let kept = super::reference::keep_trace(folder, &file, config);
    if let Err(problem) = &kept {
        terminal::note(&format!(
            "error: {problem}\n  hint: the run is whole; add the file later: ai-energy-benchmark reference {} FILE",
            folder.display()
        ));
    }
    kept.is_ok()
}

/// Keeps the gains that the external meter showed; whether all went well.
fn keep_gains(loaded: &LoadedConfig, metrics: &MetricsConfig, findings: &Findings) -> bool {
    let configured = metrics.calibrations.as_deref();
    let var = |name: &str| loaded.environment.var(name);
    let Some(path) = calibration::path(configured, &var) else { return true };
    let kept = super::reference::keep_gains(findings, &path);
    if let Err(problem) = &kept {
        terminal::note(&format!("error: {problem}"));
    }
    kept.is_ok()
}

/// Relative paths start where the command was started, or in the run folder with `hydra.job.chdir`.
fn outputs<'a>(
    loaded: &'a LoadedConfig,
    metrics: &'a MetricsConfig,
    folder: &'a Path,
) -> Outputs<'a> {
    let place = &loaded.place;
    let inside = place.working_dir == place.output_dir;
    Outputs {
        folder,
        base: if inside { folder } else { &place.working_dir },
        reporter: &loaded.config.reporter,
        metrics,
    }
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

fn outcome(end: &RunEnd, findings: &Findings, reported: bool) -> (End, Exit) {
    let counts = &findings.counts;
    match end.stopped {
        Some(StopReason::Interrupted) => (End::Interrupted, Exit::Interrupted),
        _ if counts.succeeded == 0 => (End::Failed, Exit::RunFailed),
        Some(
            StopReason::ConsecutiveFailures | StopReason::RecordsFailed | StopReason::CommandFailed,
        ) => (End::WithFailures, Exit::WithFailures),
        None if counts.unanswered() > 0 || !reported || end.isolation.is_some() => {
            (End::WithFailures, Exit::WithFailures)
        }
        None => (End::Ok, Exit::Ok),
    }
}

/// Only a client that is known to have kept up will do.
fn strictly(findings: &Findings) -> Exit {
    let client = findings.client.as_ref();
    let what = match client.and_then(|client| client.client_limited) {
        Some(false) => return Exit::Ok,
        Some(true) => "the client was a limit",
        None => "whether the client was a limit is not known",
    };
    let why = client.map(|client| client.because.join("; ")).unwrap_or_default();
    terminal::note(&format!(
        "error: {what}: {why}\n  hint: fewer requests at once, fewer other programs on its processors, or several clients"
    ));
    Exit::ClientLimited
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
