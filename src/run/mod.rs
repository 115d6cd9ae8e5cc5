//! The only room that sleeps, spawns and handles signals: executes a plan, writes records as they happen.
//!
//! [`prepare`] looks at everything a run needs and reports every problem at once; [`execute`] then goes
//! through the phases: idle (bare), load (the backend gets ready), idle, warm-up, measure as often as asked, idle. Meters
//! are read from before loading until after the last phase, on a thread of their own; records are written by another.

mod client;
mod command;
mod control;
mod dispatch;
mod driver;
mod folder;
mod host;
mod isolation;
mod journal;
mod lender;
mod live;
mod metering;
mod monitor;
mod pacer;
mod phases;
mod prepare;
mod processor;
mod progress;
mod recorder;
mod scope;
mod server_page;
mod stamps;
mod talk;
mod ticker;
mod words;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

pub use command::{CommandEnd, CommandError, CommandJob, CommandOptions, Output, measure};
pub use folder::Folder;
pub use journal::JournalError;
pub use monitor::{Pace, Stopper, monitor};
pub use prepare::{Prepared, open_request, prepare};
pub use progress::{Live, Observer, Silent, Snapshot};

use crate::backend::{BackendError, Host};
use crate::clock::{self, Anchor};
use crate::config::Environment;
use crate::config::component::metrics::MetricsConfig;
use crate::config::component::protocol::AdaptiveRepetitions;
use crate::config::component::scenario::GenerateKwargs;
use crate::dataset::Prompts;
use crate::error::Problem;
use crate::meter::Sampler;
use crate::plan::{PlannedPhase, SHORT_TOKENS, Work};
use crate::record::{
    BackendInfo, CpuScope, DeviceRef, Event, EventRecord, Manifest, Phase, RECORD_VERSION,
    StopReason, Warning, files,
};
use crate::units::{Nanos, Seconds};
use control::{Control, SignalGuard, Stopped};
use driver::{Driver, Limits};
use isolation::{Verdict, When};
use journal::{Journal, Line};
use metering::Metering;
use phases::Phases;
use processor::Processors;
use progress::Counters;
use ticker::Ticker;

/// After the last phase a counter may still owe its last steps: NVML's renews every 100 ms, and three are caught.
const COUNTER_SETTLE: Seconds = Seconds(0.4);
/// So long before an end that is known the counters are looked at, so that changes lie on both sides of it.
const COUNTER_LEAD: Seconds = Seconds(0.25);

/// Where and before whom a run happens.
pub struct Options {
    /// Where the run folder is made.
    pub folder: Folder,
    /// Who watches.
    pub observer: Arc<dyn Observer>,
    /// Files to put into the run folder before it begins: relative path and contents.
    pub files: Vec<(PathBuf, Vec<u8>)>,
    /// Git commit of this program, where known.
    pub git_commit: Option<String>,
    /// Who decides how many repetitions it takes, where the config leaves it open. `run` does not analyse.
    pub judge: Option<Arc<dyn Judge>>,
}

/// Decides how many repetitions it takes.
pub trait Judge: Send + Sync {
    /// In all, from the records of the first stage in a run folder.
    ///
    /// # Errors
    /// In words, when the records do not tell.
    fn needed(&self, folder: &Path, wanted: &AdaptiveRepetitions) -> Result<u32, String>;
}

/// How a run ended.
#[derive(Debug)]
pub struct RunEnd {
    /// The run folder.
    pub folder: PathBuf,
    /// Why it ended early, if it did.
    pub stopped: Option<StopReason>,
    /// Why records were lost, if they were.
    pub journal_error: Option<JournalError>,
    /// Other processes on the GPUs after the run, where the config forbids them.
    pub isolation: Option<Problem>,
}

/// Why a run did not begin.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The backend is not ready to answer.
    #[error("the backend is not ready: {0}")]
    Backend(BackendError),
    /// Other processes are on the GPUs, and the config forbids it.
    #[error("{}", .0.message)]
    NotIsolated(Problem),
    /// Prompts as the config asks for them cannot be made.
    #[error("{}", .0.message)]
    Prompts(Problem),
    /// The share of the machine that the config asks for cannot be known.
    #[error("{}", .0.message)]
    Scope(Problem),
    /// Ctrl-C before anything was measured.
    #[error("interrupted before anything was measured")]
    Interrupted,
    /// The run folder cannot be made or written.
    #[error("cannot write the run folder {path}: {cause}")]
    Folder {
        /// Which.
        path: String,
        /// Why.
        cause: std::io::Error,
    },
    /// Threads, timers or signal handlers are refused by the system.
    #[error("the system refuses what a run needs: {0}")]
    System(std::io::Error),
}

impl RunError {
    /// As a problem with a hint.
    #[must_use]
    pub fn problem(&self) -> Problem {
        match self {
            Self::Backend(error) => error.problem("backend"),
            Self::NotIsolated(problem) | Self::Scope(problem) | Self::Prompts(problem) => {
                problem.clone()
            }
            Self::Folder { path, .. } => Problem::new(path, self.to_string())
                .hint("set output_dir to a folder that can be written"),
            Self::Interrupted | Self::System(_) => Problem::new("run", self.to_string()),
        }
    }
}

/// What `run` lends to backends.
#[derive(Debug, Clone, Default)]
pub struct Lent {
    /// The variables that the job sees.
    pub environment: Environment,
}

impl Host for Lent {
    fn spawn_blocking(&self, name: &str, job: Box<dyn FnOnce() + Send>) {
        // Its end is seen through what it answers; nobody waits for the thread itself.
        drop(spawn_thread(name, job));
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.environment.var(name)
    }
}

#[expect(clippy::disallowed_methods, reason = "run is the room that spawns")]
#[expect(clippy::expect_used, reason = "a machine that cannot start a thread cannot measure")]
fn spawn_thread<T: Send + 'static>(
    name: &str,
    job: impl FnOnce() -> T + Send + 'static,
) -> std::thread::JoinHandle<T> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(job)
        .expect("the system starts a thread")
}

/// Executes what was prepared.
///
/// # Errors
/// Only while nothing is measured yet; afterwards every end, good or bad, is a [`RunEnd`] with records.
pub fn execute(prepared: Prepared, options: Options) -> Result<RunEnd, RunError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RunError::System)?
        .block_on(execute_here(prepared, options))
}

async fn execute_here(mut prepared: Prepared, options: Options) -> Result<RunEnd, RunError> {
    let control = Control::new(prepared.config.scenario.max_consecutive_failures);
    let _signals = SignalGuard::listen(&control).map_err(RunError::System)?;
    let metering = Metering::start(Sampler::with(
        std::mem::take(&mut prepared.inventory.meters),
        prepared.config.metrics.fine,
    ));
    let counters = Arc::new(Counters::default());
    let ticker =
        Ticker::start(Arc::clone(&options.observer), Arc::clone(&counters), metering.gauge());

    let anchor = Anchor::take();
    let bare = idle_bare(&prepared, &control, &ticker, &metering).await;
    let begun = clock::now();
    ticker.phase(Phase::Load);
    let backend = match load(&mut prepared, &control).await {
        Ok(backend) => backend,
        Err(error) => {
            ticker.stop();
            metering.stop();
            return Err(error);
        }
    };
    let loaded = clock::now();

    let scope = match scope::find(&prepared.config.metrics, &backend) {
        Ok(found) => found.begin(&mut prepared, &metering),
        Err(problem) => {
            ticker.stop();
            metering.stop();
            return Err(RunError::Scope(problem));
        }
    };
    server_page::watch(&mut prepared, &metering);
    let manifest = manifest(&mut prepared, backend, scope, anchor, options.git_commit.clone());
    for warning in &manifest.warnings {
        options.observer.warning(warning);
    }
    let folder = make_folder(&options, &manifest)?;
    options.observer.folder(&folder);
    let (journal, journal_thread) =
        Journal::open(&folder).map_err(|error| folder_error(&folder, error.cause))?;
    metering.connect(journal.clone());
    bare.into_iter().flatten().for_each(|line| journal.write(line));
    journal.write(event_at(begun, Event::PhaseBegin { phase: Phase::Load, repetition: None }));
    journal.write(event_at(loaded, Event::PhaseEnd { phase: Phase::Load, repetition: None }));

    let grid = live::Watch::start(
        &prepared.carbon,
        &prepared.config.metrics,
        &prepared.environment,
        &journal,
        &options.observer,
    );
    let phases = Phases {
        driver: driver(&mut prepared, &journal, &control, &counters),
        loads: prepared.loads.clone(),
        load: prepared.plan.load.clone(),
        metering: &metering,
        ticker: &ticker,
        processors: Processors::new(&prepared.config.metrics.procfs_root, &manifest.backend),
        judge: options.judge.as_deref(),
        folder: &folder,
    };
    phases.go_through_all(&prepared.plan).await;
    drop(phases);
    let loads_here = prepared.backend.loads_here();
    drop(prepared.backend);
    let bare_after = prepared.plan.bare_after && loads_here && control.reason().is_none();
    if bare_after {
        let bare = idle_for(prepared.plan.bare, &control, &ticker, &metering).await;
        bare.into_iter().flatten().for_each(|line| journal.write(line));
    } else if !matches!(prepared.plan.phases.last(), Some(PlannedPhase { work: Work::Idle(_), .. }))
    {
        let _ = control.sleep(COUNTER_SETTLE).await;
    }

    ticker.stop();
    metering.stop();
    if let Some(grid) = grid {
        grid.finish();
    }
    let isolation = look_again(
        &prepared.config.metrics,
        &prepared.inventory.devices,
        &manifest,
        &journal,
        &options,
    );
    if let Some(reason) = control.reason() {
        journal.event(Event::Stopped { reason });
    }
    journal.event(Event::Finished);
    drop(journal);
    let journal_error = journal_thread.finish().err();
    Ok(RunEnd { folder, stopped: control.reason(), journal_error, isolation })
}

/// Idles before the model is loaded, where that is done here.
async fn idle_bare(
    prepared: &Prepared,
    control: &Control,
    ticker: &Ticker,
    metering: &Metering,
) -> Option<[Line; 2]> {
    match prepared.backend.loads_here() {
        true => idle_for(prepared.plan.bare, control, ticker, metering).await,
        false => None,
    }
}

/// Idles on the bare machine and tells its begin and end; a phase that was cut short is none.
async fn idle_for(
    time: Seconds,
    control: &Control,
    ticker: &Ticker,
    metering: &Metering,
) -> Option<[Line; 2]> {
    if time <= Seconds::ZERO {
        return None;
    }
    ticker.phase(Phase::IdleBare);
    metering.edge();
    let from = clock::now();
    let lead = Seconds(COUNTER_LEAD.0.min(time.0 / 2.0));
    control.sleep(time - lead).await.ok()?;
    metering.edge_ahead();
    control.sleep(lead).await.ok()?;
    let to = clock::now();
    metering.edge();
    let _ = control.sleep(COUNTER_SETTLE).await;
    Some(phases::bare(from, to))
}

/// Gets the backend ready, and everything that depends on what it tells.
async fn load(prepared: &mut Prepared, control: &Control) -> Result<BackendInfo, RunError> {
    let report = match control.unless_stopped(prepared.backend.check()).await {
        Ok(Ok(report)) => report,
        Ok(Err(error)) => return Err(RunError::Backend(error)),
        Err(Stopped) => return Err(RunError::Interrupted),
    };
    let mut backend = report.info;
    if let Some(local) = prepared.config.metrics.server_is_local {
        backend.local = local;
        backend.local_reason = "metrics.server_is_local says so".to_owned();
    }
    prepared.warnings.extend(report.warnings);
    let words = match control.unless_stopped(words::find(prepared)).await {
        Ok(found) => found?,
        Err(Stopped) => return Err(RunError::Interrupted),
    };
    prepared.settle_prompts(&backend, words);
    let metrics = &prepared.config.metrics;
    match isolation::look(metrics, &prepared.inventory.devices, &backend, When::Before) {
        Verdict::Fine => {}
        Verdict::Warn(warning) => prepared.warnings.push(warning),
        Verdict::Refuse(problem) => return Err(RunError::NotIsolated(problem)),
    }
    Ok(backend)
}

/// The same look after the run: whoever came meanwhile is in the figures.
fn look_again(
    metrics: &MetricsConfig,
    devices: &[DeviceRef],
    manifest: &Manifest,
    journal: &Journal,
    options: &Options,
) -> Option<Problem> {
    let (warning, problem) = match isolation::look(metrics, devices, &manifest.backend, When::After)
    {
        Verdict::Fine => return None,
        Verdict::Warn(warning) => (warning, None),
        Verdict::Refuse(problem) => {
            let message = problem.message.clone();
            (Warning::new("other_processes_on_gpu", message), Some(problem))
        }
    };
    // What could not be told before cannot be told now, for the same reason.
    if !manifest.warnings.contains(&warning) {
        options.observer.warning(&warning);
        journal.event(Event::Warning { warning });
    }
    problem
}

fn driver(
    prepared: &mut Prepared,
    journal: &Journal,
    control: &Control,
    counters: &Arc<Counters>,
) -> Arc<Driver> {
    let scenario = &prepared.config.scenario;
    let params = &scenario.generate_kwargs;
    let short = GenerateKwargs {
        max_new_tokens: params.max_new_tokens.min(SHORT_TOKENS),
        min_new_tokens: params.min_new_tokens.map(|least| least.min(SHORT_TOKENS)),
        ..params.clone()
    };
    Arc::new(Driver {
        backend: Arc::clone(&prepared.backend),
        conversations: scenario.conversations,
        params: Arc::new(params.clone()),
        short_params: Arc::new(short),
        prompts: std::mem::replace(&mut prepared.prompts, Prompts::Listed(Vec::new())),
        truncate: scenario.truncation.is_on(),
        limits: Limits::new(scenario),
        journal: journal.clone(),
        control: control.clone(),
        counters: Arc::clone(counters),
    })
}

fn event_at(at_ns: Nanos, event: Event) -> Line {
    Line::Event(EventRecord { at_ns, event })
}

fn manifest(
    prepared: &mut Prepared,
    backend: BackendInfo,
    scope: CpuScope,
    anchor: Anchor,
    git_commit: Option<String>,
) -> Manifest {
    let warnings = std::mem::take(&mut prepared.warnings);
    let config = redacted_config(prepared);
    Manifest {
        record_version: RECORD_VERSION,
        run_id: uuid::Uuid::new_v4().to_string(),
        name: prepared.config.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        git_commit,
        started: jiff::Timestamp::now().to_string(),
        anchor,
        host: prepared.host.clone(),
        config_sha256: sha256(&config),
        config,
        backend,
        dataset: prepared.dataset.clone(),
        sensors: prepared.inventory.sensors.clone(),
        scope: prepared.inventory.scope.clone(),
        boundary: scope::boundary(&prepared.inventory.boundary, &scope),
        carbon: prepared.carbon.clone(),
        planned_requests: prepared.plan.measured_requests,
        cpu_scope: Some(scope),
        command: None,
        warnings,
        gains: prepared.gains.clone(),
    }
}

fn redacted_config(prepared: &Prepared) -> Value {
    let mut config = serde_json::to_value(&prepared.config).unwrap_or(Value::Null);
    crate::config::redact(&mut config);
    config
}

fn sha256(value: &Value) -> String {
    use sha2::Digest;
    crate::record::hex(&sha2::Sha256::digest(value.to_string()))
}

fn make_folder(options: &Options, manifest: &Manifest) -> Result<PathBuf, RunError> {
    let folder =
        options.folder.make().map_err(|cause| folder_error(options.folder.path(), cause))?;
    for (path, contents) in &options.files {
        let path = folder.join(path);
        path.parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| folder::write_whole(&path, contents))
            .map_err(|cause| folder_error(&path, cause))?;
    }
    folder::write_json(&folder.join(files::MANIFEST), manifest)
        .map_err(|cause| folder_error(&folder, cause))?;
    Ok(folder)
}

fn folder_error(path: &std::path::Path, cause: std::io::Error) -> RunError {
    RunError::Folder { path: path.display().to_string(), cause }
}
