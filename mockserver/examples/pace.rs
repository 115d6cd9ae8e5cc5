//! How late requests leave: a constant rate against the mock server, and the lag from when each was due to when it was sent.
//!
//! `cargo run --release -p ai-energy-benchmarks-mockserver --example pace -- [RATE] [SECONDS] [REQUESTS SERVED AT A TIME]`

use std::error::Error;
use std::io::{self, Write};
use std::sync::Arc;

use ai_energy_benchmarks::config::component::backend::{BackendConfig, VllmConfig};
use ai_energy_benchmarks::config::component::load::LoadConfig;
use ai_energy_benchmarks::config::{BenchmarkConfig, Environment};
use ai_energy_benchmarks::record::{Event, RequestRecord, RunRecords};
use ai_energy_benchmarks::registry::Registry;
use ai_energy_benchmarks::run::{self, Folder, Options, Silent};
use ai_energy_benchmarks_mockserver::{MockConfig, MockServer, Timing, raise_open_files};

fn main() -> Result<(), Box<dyn Error>> {
    let numbers: Vec<f64> =
        std::env::args().skip(1).map(|word| word.parse()).collect::<Result<_, _>>()?;
    let number = |place: usize, default: f64| numbers.get(place).copied().unwrap_or(default);
    let (rate, seconds) = (number(0, 200.0), number(1, 30.0));
    raise_open_files()?;
    let server = MockServer::start(MockConfig {
        timing: Timing { ttft_ms: 20.0, gap_ms: 5.0, ..Timing::default() },
        tokens: 4,
        max_running: numbers.get(2).map(|most| *most as usize),
        ..MockConfig::default()
    })
    .map_err(|problems| problems.to_string())?;
    let records = drive(config(&server, rate, seconds))?;
    let mut lags: Vec<u64> = records.requests.iter().map(lag).collect();
    lags.sort_unstable();
    let at = |share: f64| {
        lags.get((share * (lags.len() - 1) as f64).round() as usize).map_or(0, |lag| lag / 1000)
    };
    let failed = records.requests.iter().filter(|one| !one.is_ok()).count();
    let cpu = records.events.iter().find_map(|event| match &event.event {
        Event::Client { cost, .. } => Some(cost.loop_cpu_s.0 / cost.wall_s.0),
        _ => None,
    });
    let mut out = io::stdout();
    writeln!(
        out,
        "rate {rate}/s for {seconds} s: sent {} (failed {failed}); due to sent, in us: min {} p50 {} p90 {} p99 {} max {}; loop {:.1} % of a core",
        lags.len(),
        at(0.0),
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0),
        100.0 * cpu.unwrap_or(f64::NAN)
    )?;
    server.stop()?;
    Ok(())
}

fn lag(request: &RequestRecord) -> u64 {
    request.sent_ns.0 - request.scheduled_ns.0
}

fn config(server: &MockServer, rate: f64, seconds: f64) -> BenchmarkConfig {
    let mut config = BenchmarkConfig {
        name: "pace".to_owned(),
        backend: BackendConfig::Vllm(VllmConfig {
            model: "mock-model".to_owned(),
            endpoint: format!("{}/v1", server.url()),
            ..VllmConfig::default()
        }),
        ..BenchmarkConfig::default()
    };
    config.scenario.load = LoadConfig::Constant { rate, max_concurrency: None, ramp: None };
    config.scenario.duration_s = Some(seconds);
    config.scenario.idle_s = 0.0;
    config.scenario.warmup_rounds = 0;
    config.metrics.gpu = false;
    config
}

fn drive(config: BenchmarkConfig) -> Result<RunRecords, Box<dyn Error>> {
    let base = tempfile::tempdir()?;
    let prepared = run::prepare(config, &Registry::with_defaults(), &Environment::default())
        .map_err(|problems| problems.to_string())?;
    let options = Options {
        folder: Folder::New(base.path().join("run")),
        observer: Arc::new(Silent),
        files: Vec::new(),
        git_commit: None,
        judge: None,
    };
    let end = run::execute(prepared, options)?;
    Ok(RunRecords::read(&end.folder)?)
}
