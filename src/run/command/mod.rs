//! The energy of a command: a run whose measured phase is a child process instead of requests.
//!
//! The same meters, records and run folder as [`super::execute`]; the phases are idle, warm-up runs, measured runs
//! (a phase each) and idle again. The child has our terminal, and Ctrl-C ends it as it would without us.

mod child;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::Signal;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use wait4::ResUse;

use super::control::Control;
use super::journal::{Journal, JournalError, Line};
use super::metering::Metering;
use super::{Folder, Lent, Observer, RunError, folder_error, host, sha256};
use crate::carbon;
use crate::clock::{self, Anchor};
use crate::config::Environment;
use crate::config::component::meter::Meters;
use crate::config::component::metrics::{MetricsConfig, Scope};
use crate::error::{Problem, Problems};
use crate::meter::{self, Inventory, MeterEntry, OpenRequest, Sampler};
use crate::record::reference::Gain;
use crate::record::{
    BackendInfo, CarbonBasis, CommandExit, CommandInfo, CommandRun, CpuScope, DatasetInfo, Event,
    EventRecord, Manifest, Phase, Quantity, RECORD_VERSION, SensorInfo, StopReason, Weights, Whose,
    files,
};
use crate::units::{Nanos, Seconds};

/// Counters that renew their value more slowly than this need a moment to show what a run used.
const FAST_COUNTER: Seconds = Seconds(0.02);

/// Between two readings in quick succession: RAPL renews its counters every millisecond.
const BETWEEN_LOOKS: Seconds = Seconds(0.002);

/// A command to measure.
#[derive(Debug, Clone)]
pub struct CommandJob {
    /// What is run, how often.
    pub info: CommandInfo,
    /// Where its standard output goes.
    pub output: Output,
    /// A file for its standard input, from its beginning in every run. Default: ours.
    pub input: Option<PathBuf>,
    /// What is metered.
    pub metrics: MetricsConfig,
    /// GPUs by index, UUID or UUID prefix. Default: all that are visible.
    pub device_ids: Option<Vec<String>>,
    /// Meters beside those that the machine offers by itself.
    pub meters: Meters,
}

/// Where a command's standard output goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Output {
    /// Where ours goes.
    #[default]
    Inherit,
    /// Nowhere.
    Null,
    /// To the end of a file.
    File(PathBuf),
}

/// Where the records of a measured command go, and who watches.
pub struct CommandOptions {
    /// Where the run folder is made.
    pub folder: Folder,
    /// Who watches.
    pub observer: Arc<dyn Observer>,
    /// Git commit of this program, where known.
    pub git_commit: Option<String>,
}

/// How measuring a command ended.
#[derive(Debug)]
pub struct CommandEnd {
    /// The run folder.
    pub folder: PathBuf,
    /// Why it ended early, if it did.
    pub stopped: Option<StopReason>,
    /// How the last run ended; none when there was none.
    pub last: Option<CommandExit>,
    /// What went wrong between the runs: the command to prepare one failed, the program could not be started.
    pub problem: Option<Problem>,
    /// Why records were lost, if they were.
    pub journal_error: Option<JournalError>,
}

/// Why measuring a command did not begin.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// What was asked cannot be done.
    #[error("{}", .0.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Asked(Problems),
    /// The program does not exist or cannot be run.
    #[error("{}: there is no such program, or it cannot be run", .0)]
    NotFound(String),
    /// As for every run.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// Measures a command.
///
/// # Errors
/// Only while nothing is measured yet; afterwards every end, good or bad, is a [`CommandEnd`] with records.
pub fn measure(
    job: &CommandJob,
    meters: &[MeterEntry],
    environment: &Environment,
    options: &CommandOptions,
) -> Result<CommandEnd, CommandError> {
    let mut job = job.clone();
    let mut problems = Problems::default();
    let settings =
        super::prepare::codecarbon_settings(&mut job.metrics, environment, &mut problems);
    problems.into_result().map_err(CommandError::Asked)?;
    let job = &job;
    check(job, environment)?;
    let mut opened = open(job, meters, environment).map_err(CommandError::Asked)?;
    let Opened { inventory, carbon, .. } = &mut opened;
    inventory.warnings.append(&mut carbon.notes);
    super::prepare::told_of_settings(settings, carbon, &mut inventory.warnings);
    let meters = std::mem::take(&mut opened.inventory.meters);
    let sampler = Sampler::with(meters, job.metrics.fine);
    let metering = Metering::start(sampler);
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RunError::System)?
        .block_on(measure_here(job, &opened, metering, options))
}

fn check(job: &CommandJob, environment: &Environment) -> Result<(), CommandError> {
    let mut problems = Problems::default();
    let info = &job.info;
    if info.argv.is_empty() {
        problems.push(
            Problem::new("command line", "there is no command to measure")
                .hint("measure [OPTIONS] -- COMMAND ARGUMENTS"),
        );
    }
    if info.runs == 0 {
        problems.push(Problem::new("--runs", "0 runs measure nothing").hint("1 or more"));
    }
    if !(info.idle_s.0.is_finite() && info.idle_s.0 >= 0.0) {
        let message = format!("{} is out of range", info.idle_s.0);
        problems.push(Problem::new("--idle", message).hint("seconds, 0 or more"));
    }
    if job.metrics.scope == Scope::Cgroup {
        problems.push(
            Problem::new("metrics.scope", "a command is no control group of its own")
                .hint("machine, or process for the share of the command and what it started"),
        );
    }
    problems.into_result().map_err(CommandError::Asked)?;
    let program = info.shell.as_ref().or(info.argv.first()).map_or("", String::as_str);
    match child::find_program(program, environment.var("PATH").as_deref()) {
        Some(_) => Ok(()),
        None => Err(CommandError::NotFound(program.to_owned())),
    }
}

/// What the meters of a command are, and what figures are made with.
struct Opened {
    inventory: Inventory,
    carbon: CarbonBasis,
    gains: Vec<Gain>,
}

fn open(
    job: &CommandJob,
    meters: &[MeterEntry],
    environment: &Environment,
) -> Result<Opened, Problems> {
    let request = OpenRequest {
        device_ids: job.device_ids.as_deref(),
        cuda_visible_devices: environment.var("CUDA_VISIBLE_DEVICES"),
        cuda_device_order: environment.var("CUDA_DEVICE_ORDER"),
        extra: &job.meters.0,
        lender: Some(Arc::new(Lent { environment: environment.clone() })),
        ..OpenRequest::of(&job.metrics)
    };
    let mut inventory = meter::open_all(meters, &request);
    let mut problems = std::mem::take(&mut inventory.problems);
    let carbon = carbon::resolve(&job.metrics, false).map_err(|found| problems.0.extend(found.0));
    let gains = super::prepare::gains(&job.metrics, environment, &inventory)
        .map_err(|found| problems.0.extend(found.0));
    match (carbon, gains) {
        (Ok(carbon), Ok(gains)) => {
            problems.into_result().map(|()| Opened { inventory, carbon, gains })
        }
        _ => Err(problems),
    }
}

async fn measure_here(
    job: &CommandJob,
    opened: &Opened,
    metering: Metering,
    options: &CommandOptions,
) -> Result<CommandEnd, CommandError> {
    let control = Control::new(0);
    let signals = Signals::listen().map_err(RunError::System)?;
    let manifest = manifest(job, opened, options.git_commit.clone());
    for warning in &manifest.warnings {
        options.observer.warning(warning);
    }
    let folder = match make_folder(&options.folder, &manifest) {
        Ok(folder) => folder,
        Err(error) => {
            metering.stop();
            return Err(error.into());
        }
    };
    options.observer.folder(&folder);
    let (journal, journal_thread) = match Journal::open(&folder) {
        Ok(opened) => opened,
        Err(error) => {
            metering.stop();
            return Err(folder_error(&folder, error.cause).into());
        }
    };
    metering.connect(journal.clone());
    let mut runner = Runner {
        job,
        control: &control,
        signals,
        journal: &journal,
        metering: &metering,
        observer: options.observer.as_ref(),
        settle: settle(&opened.inventory.sensors),
        last: None,
    };
    let problem = runner.go_through().await.err();
    let last = runner.last;
    drop(runner);
    metering.stop();
    if let Some(reason) = control.reason() {
        journal.event(Event::Stopped { reason });
    }
    journal.event(Event::Finished);
    drop(journal);
    let journal_error = journal_thread.finish().err();
    Ok(CommandEnd { folder, stopped: control.reason(), last, problem, journal_error })
}

/// After a run a slow counter still owes its last step.
fn settle(sensors: &[SensorInfo]) -> Seconds {
    let slow = |sensor: &SensorInfo| {
        sensor.quantity == Quantity::EnergyCounter
            && sensor.update_period_s.is_some_and(|period| period > FAST_COUNTER)
    };
    if sensors.iter().any(slow) { super::COUNTER_SETTLE } else { Seconds::ZERO }
}

fn make_folder(folder: &Folder, manifest: &Manifest) -> Result<PathBuf, RunError> {
    let made = folder.make().map_err(|cause| folder_error(folder.path(), cause))?;
    super::folder::write_json(&made.join(files::MANIFEST), manifest)
        .map_err(|cause| folder_error(&made, cause))?;
    Ok(made)
}

/// Goes through the phases.
struct Runner<'a> {
    job: &'a CommandJob,
    control: &'a Control,
    signals: Signals,
    journal: &'a Journal,
    metering: &'a Metering,
    observer: &'a dyn Observer,
    settle: Seconds,
    last: Option<CommandExit>,
}

impl Runner<'_> {
    async fn go_through(&mut self) -> Result<(), Problem> {
        let info = &self.job.info;
        self.lead_in().await;
        self.idle(Phase::IdleBefore).await;
        for index in 0..info.warmup {
            self.run(Phase::Warmup, index).await?;
        }
        for index in 0..info.runs {
            self.run(Phase::Measure, index).await?;
        }
        self.idle(Phase::IdleAfter).await;
        Ok(())
    }

    /// A counter is known from its first change on: gives each the time for one.
    async fn lead_in(&mut self) {
        for _ in 0..2 {
            self.metering.look();
            self.pause(BETWEEN_LOOKS).await;
        }
        if self.settle > Seconds::ZERO {
            self.pause(self.settle).await;
        }
    }

    /// Waits, so that meters see the machine without the command.
    async fn idle(&mut self, phase: Phase) {
        let time = self.job.info.idle_s;
        if time <= Seconds::ZERO || self.control.reason().is_some() {
            return;
        }
        self.begin(phase, None);
        self.pause(time).await;
        self.end(phase, None);
    }

    /// Sleeps unless a signal comes.
    async fn pause(&mut self, time: Seconds) {
        tokio::select! {
            _ = self.control.sleep(time) => {}
            _ = self.signals.next() => self.control.stop(StopReason::Interrupted),
        }
    }

    fn begin(&self, phase: Phase, repetition: Option<u32>) {
        self.metering.look();
        self.observer.phase(phase);
        self.journal.event(Event::PhaseBegin { phase, repetition });
    }

    fn end(&self, phase: Phase, repetition: Option<u32>) {
        self.metering.look();
        self.journal.event(Event::PhaseEnd { phase, repetition });
    }

    /// One run of the command.
    async fn run(&mut self, phase: Phase, index: u32) -> Result<(), Problem> {
        self.prepare().await?;
        if self.control.reason().is_some() {
            return Ok(());
        }
        let info = &self.job.info;
        let cannot = |cause: std::io::Error| {
            Problem::new(info.line(), format!("the command cannot be run: {cause}"))
        };
        let command = child::command(info, &self.job.output, self.job.input.as_deref());
        let command = command.map_err(cannot)?;
        let repetition = (phase == Phase::Measure).then_some(index);
        self.begin(phase, repetition);
        let mut running = match child::start(command) {
            Ok(running) => running,
            Err(cause) => {
                self.end(phase, repetition);
                return Err(cannot(cause));
            }
        };
        self.look_inside(&mut running).await;
        let (ended_ns, used) = self.wait(&mut running).await.map_err(cannot)?;
        let exit = exit_of(used.status);
        let run = CommandRun {
            index,
            began_ns: running.began,
            ended_ns,
            exit,
            user_s: Seconds(used.rusage.utime.as_secs_f64()),
            system_s: Seconds(used.rusage.stime.as_secs_f64()),
            max_rss_bytes: Some(used.rusage.maxrss).filter(|bytes| *bytes > 0),
            interrupted: self.control.reason().is_some(),
        };
        self.journal.write(Line::Event(EventRecord {
            at_ns: clock::now(),
            event: Event::CommandEnd { run, phase },
        }));
        self.end(phase, repetition);
        self.last = Some(exit);
        if !exit.is_success() && !info.ignore_failure {
            self.control.stop(StopReason::CommandFailed);
        }
        if self.settle > Seconds::ZERO {
            self.pause(self.settle).await;
        }
        Ok(())
    }

    /// Two readings just after the start: with the one just before it and the one just after the end, a run shorter than
    /// the sensors' own cadence has its energy too.
    async fn look_inside(&self, running: &mut child::Running) {
        for _ in 0..2 {
            self.metering.look();
            tokio::select! {
                biased;
                () = running.ended() => return,
                _ = self.control.sleep(BETWEEN_LOOKS) => {}
            }
        }
    }

    /// Waits for its end. Signals that end us end it first: as it came, then SIGTERM, then SIGKILL.
    async fn wait(&mut self, running: &mut child::Running) -> std::io::Result<(Nanos, ResUse)> {
        let mut asked = 0;
        loop {
            tokio::select! {
                () = running.ended() => return running.end(),
                signal = self.signals.next() => {
                    self.control.stop(StopReason::Interrupted);
                    asked += 1;
                    let of_terminal = signal == Signal::INT && child::terminal_signals_both();
                    match asked {
                        1 if of_terminal => {}
                        1 => running.signal(signal),
                        2 => running.signal(Signal::TERM),
                        _ => running.signal(Signal::KILL),
                    }
                }
            }
        }
    }

    /// The command before a run.
    async fn prepare(&mut self) -> Result<(), Problem> {
        let Some(line) = &self.job.info.prepare else { return Ok(()) };
        if self.control.reason().is_some() {
            return Ok(());
        }
        let shell = self.job.info.shell.as_deref().unwrap_or("sh");
        let failed = |why: String| {
            Problem::new("--prepare", format!("`{line}` {why}: no further run began"))
        };
        let mut running = child::start(child::shell_line(shell, line))
            .map_err(|cause| failed(format!("cannot be run ({cause})")))?;
        let (_, used) = self
            .wait(&mut running)
            .await
            .map_err(|cause| failed(format!("was not seen to its end ({cause})")))?;
        if used.status.success() || self.control.reason().is_some() {
            return Ok(());
        }
        Err(failed(format!("failed ({})", used.status)))
    }
}

fn exit_of(status: std::process::ExitStatus) -> CommandExit {
    use std::os::unix::process::ExitStatusExt;
    CommandExit { exit_code: status.code(), signal: status.signal() }
}

/// The signals that end us.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.hangup.recv() => Signal::HUP,
        }
    }
}

fn manifest(job: &CommandJob, opened: &Opened, git_commit: Option<String>) -> Manifest {
    let inventory = &opened.inventory;
    let metrics = &job.metrics;
    let command = hidden(&job.info);
    let mut config = json!({
        "command": command,
        "metrics": metrics,
        "device_ids": job.device_ids,
    });
    if !job.meters.0.is_empty() {
        config["meter"] = json!(job.meters);
    }
    crate::config::redact(&mut config);
    let scope = cpu_scope(metrics.scope);
    let boundary = if inventory.sensors.is_empty() {
        inventory.boundary.clone()
    } else {
        super::scope::boundary(&inventory.boundary, &scope)
    };
    Manifest {
        record_version: RECORD_VERSION,
        run_id: uuid::Uuid::new_v4().to_string(),
        name: command.label.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        git_commit,
        started: jiff::Timestamp::now().to_string(),
        anchor: Anchor::take(),
        host: host::look(Path::new(&metrics.procfs_root), inventory.devices.clone()),
        config_sha256: sha256(&config),
        config,
        backend: backend(&command),
        dataset: no_dataset(),
        sensors: inventory.sensors.clone(),
        scope: inventory.scope.clone(),
        boundary,
        carbon: opened.carbon.clone(),
        planned_requests: 0,
        cpu_scope: Some(scope),
        command: Some(command),
        gains: opened.gains.clone(),
        warnings: inventory.warnings.clone(),
    }
}

fn cpu_scope(counted: Scope) -> CpuScope {
    CpuScope {
        counted: super::scope::whose(counted),
        share_of: Some(Whose::Process),
        who: Some("the command and the children that were waited for".to_owned()),
        pids: Vec::new(),
        missing_reason: None,
    }
}

/// The command without secrets among its arguments.
fn hidden(info: &CommandInfo) -> CommandInfo {
    let hide = |text: &str| crate::config::redact_text(text);
    CommandInfo {
        argv: without_secrets(&info.argv),
        prepare: info.prepare.as_deref().map(hide),
        label: hide(&info.label),
        ..info.clone()
    }
}

/// `--api-key X`, `--api-key=X` and `API_KEY=X` lose their X, URLs their passwords.
fn without_secrets(words: &[String]) -> Vec<String> {
    const HIDDEN: &str = "***";
    let name = |word: &str| word.trim_start_matches('-').to_owned();
    let mut hide_next = false;
    words
        .iter()
        .map(|word| {
            if std::mem::take(&mut hide_next) {
                return HIDDEN.to_owned();
            }
            if let Some((key, _)) = word.split_once('=')
                && crate::config::is_secret_key(&name(key))
            {
                return format!("{key}={HIDDEN}");
            }
            hide_next = word.starts_with('-') && crate::config::is_secret_key(&name(word));
            crate::config::redact_text(word)
        })
        .collect()
}

fn backend(command: &CommandInfo) -> BackendInfo {
    BackendInfo {
        kind: "command".to_owned(),
        model: command.argv.first().cloned().unwrap_or_default(),
        endpoint: None,
        server: None,
        server_version: None,
        weights: Weights::Unknown,
        local: true,
        local_reason: "the command runs here".to_owned(),
        pids: Vec::new(),
        details: BTreeMap::new(),
    }
}

fn no_dataset() -> DatasetInfo {
    DatasetInfo {
        name: "none".to_owned(),
        origin: "a command has no prompts".to_owned(),
        revision: None,
        files: BTreeMap::new(),
        rows: 0,
        used: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_among_arguments_are_not_recorded() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let hidden = without_secrets(&words(
            "curl --api-key k1 --token=k2 HF_TOKEN=k3 http://me:k4@host/x --max-tokens 5 plain",
        ));
        assert_eq!(
            hidden.join(" "),
            "curl --api-key *** --token=*** HF_TOKEN=*** http://***@host/x --max-tokens 5 plain"
        );
    }
}
