//! `doctor --calibrate`: what this client costs on this machine, and up to which load its figures are the server's.
//!
//! The truth is the mock server of this program in a process of its own: it says when it sent what, and how late it was itself.
//! [`server`] starts it, [`figures`] compares, and [`mod@page`] shows it.

mod figures;
mod page;
mod server;

use std::path::Path;
use std::sync::Arc;

use ai_energy_benchmarks::analysis;
use ai_energy_benchmarks::clock;
use ai_energy_benchmarks::config::component::backend::{BackendConfig, VllmConfig};
use ai_energy_benchmarks::config::component::load::LoadConfig;
use ai_energy_benchmarks::config::{BenchmarkConfig, Environment};
use ai_energy_benchmarks::record::RunRecords;
use ai_energy_benchmarks::run::{self, Folder, Options, Silent};
use ai_energy_benchmarks::units::Seconds;

pub(crate) use figures::Calibration;
use figures::{Cost, Machine, Schedule, Streams};
pub(crate) use page::page;
use server::Server;

/// Streams that are tried, until the client or the time is the limit.
const STREAMS: [u32; 6] = [64, 256, 512, 1024, 2048, 4096];
/// Between two tokens of such a stream, milliseconds.
const GAP_MS: f64 = 20.0;
/// Files that are open beside those of streams.
const OTHER_FILES: u64 = 64;
/// Arrivals a second of the test of punctuality.
const RATE: f64 = 200.0;
/// Events that leave together in the test of coalesced ones.
const COALESCED: u32 = 16;
/// One of so many parts of the time is each measurement; the rest is starting, connecting and warming up.
const PARTS: f64 = 14.0;

/// One measurement: what the server does and how it is asked.
struct Setup {
    load: LoadConfig,
    ttft_ms: f64,
    gap_ms: f64,
    /// Tokens of an answer, each an event.
    tokens: u32,
    /// Events that leave together.
    coalesce: u32,
    duration: Seconds,
}

/// What came of it.
struct Outcome {
    records: RunRecords,
    findings: analysis::Findings,
    server: server::Told,
}

/// Measures, within about `budget`. `tell` hears what is done.
///
/// # Errors
/// A server that cannot be started, or a run that failed.
pub(crate) fn calibrate(budget: Seconds, tell: &dyn Fn(&str)) -> Result<Calibration, String> {
    let begun = clock::now();
    let duration = Seconds(budget.0 / PARTS);
    let files = open_files();
    let mut machine = Machine::now();
    tell("punctuality");
    let schedule = Schedule::of(&measure(&punctuality(duration))?, RATE);
    tell("cost of a token in an event of its own");
    let single = Cost::of(&measure(&cost(1, duration))?, 1);
    tell("cost of a token among others");
    let coalesced = Cost::of(&measure(&cost(COALESCED, duration))?, COALESCED);
    let mut streams: Vec<Streams> = Vec::new();
    let mut stopped = None;
    for count in STREAMS {
        let over = clock::now().since(begun).0 + 1.5 * duration.0 > budget.0;
        if over && !streams.is_empty() {
            stopped = Some(format!("the time was over before {count} streams"));
            break;
        }
        if u64::from(count) + OTHER_FILES > files {
            stopped = Some(format!("{count} streams need more open files than {files}"));
            break;
        }
        tell(&format!("{count} streams"));
        let tried = Streams::of(&measure(&side_by_side(count, duration))?, count, GAP_MS / 1e3);
        let (client, server) = (tried.client_limited == Some(true), tried.server_limited);
        streams.push(tried);
        if client {
            break;
        }
        if server {
            stopped = Some(format!(
                "the mock server fell behind its own schedule at {count} streams, so it was the limit, or the machine"
            ));
            break;
        }
    }
    machine.end();
    Ok(Calibration::new(machine, schedule, [single, coalesced], streams, stopped))
}

const fn punctuality(duration: Seconds) -> Setup {
    let load = LoadConfig::Constant { rate: RATE, max_concurrency: None, ramp: None };
    Setup { load, ttft_ms: 0.0, gap_ms: 0.0, tokens: 1, coalesce: 1, duration }
}

/// 32,000 tokens a second: enough to be seen, far from any limit.
const fn cost(coalesce: u32, duration: Seconds) -> Setup {
    let load = LoadConfig::concurrency(64);
    Setup { load, ttft_ms: 20.0, gap_ms: 2.0, tokens: 400, coalesce, duration }
}

const fn side_by_side(streams: u32, duration: Seconds) -> Setup {
    let load = LoadConfig::concurrency(streams);
    Setup { load, ttft_ms: 100.0, gap_ms: GAP_MS, tokens: 64, coalesce: 1, duration }
}

/// As many files as the system lets this process open.
fn open_files() -> u64 {
    use rustix::process::{Resource, getrlimit};
    // Where it is refused, the limit says how many streams can be tried.
    let _ = ai_energy_benchmarks_mockserver::raise_open_files();
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

fn measure(setup: &Setup) -> Result<Outcome, String> {
    let folder = tempfile::tempdir().map_err(|cause| format!("no folder to work in: {cause}"))?;
    let server = Server::start(folder.path(), setup)?;
    let records = records(setup, server.url(), folder.path())?;
    let findings = analysis::analyse(&records);
    Ok(Outcome { records, findings, server: server.stop()? })
}

/// A run without any meter: what it costs to read them is no cost of a token.
fn records(setup: &Setup, url: &str, folder: &Path) -> Result<RunRecords, String> {
    let mut config = BenchmarkConfig {
        name: "calibrate".to_owned(),
        backend: BackendConfig::Vllm(VllmConfig {
            model: "mock-model".to_owned(),
            endpoint: url.to_owned(),
            ..VllmConfig::default()
        }),
        ..BenchmarkConfig::default()
    };
    config.metrics.enabled = false;
    let scenario = &mut config.scenario;
    scenario.load = setup.load.clone();
    scenario.duration_s = Some(setup.duration.0);
    // The connections are made, and two tokens come over each.
    (scenario.warmup_rounds, scenario.warmup_runs) = (0, 1);
    scenario.idle_s = 0.0;
    scenario.grace_s = Some(0.0);
    scenario.max_consecutive_failures = 0;
    scenario.generate_kwargs.max_new_tokens = setup.tokens;
    let prepared = run::prepare(config, &super::commands::registry(), &Environment::default())
        .map_err(|problems| problems.to_string())?;
    let options = Options {
        folder: Folder::New(folder.join("run")),
        observer: Arc::new(Silent),
        files: Vec::new(),
        git_commit: None,
        judge: None,
    };
    let end = run::execute(prepared, options).map_err(|error| error.problem().to_string())?;
    RunRecords::read(&end.folder).map_err(|error| error.to_string())
}
