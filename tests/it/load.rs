//! When requests leave, from config to records, with a scripted backend. No timing is asserted beyond what no machine can
//! break: nothing leaves early, and arrivals do not depend on answers.

use std::sync::Arc;
use std::time::Duration;

use ai_energy_benchmarks::analysis;
use ai_energy_benchmarks::backend::BackendError;
use ai_energy_benchmarks::config::component::load::{LoadConfig, Stage};
use ai_energy_benchmarks::config::{BenchmarkConfig, Composer, Environment, Reading, Source};
use ai_energy_benchmarks::record::{
    Event, FailureClass, Outcome, Phase, RequestRecord, RunRecords,
};
use ai_energy_benchmarks::registry::Registry;
use ai_energy_benchmarks::run::{self, Folder, Options, Silent};
use ai_energy_benchmarks_testkit::backend::{Script, ScriptedBackend};
use proptest::prelude::*;

use crate::run::config as scripted;

fn config(load: LoadConfig) -> BenchmarkConfig {
    let mut config = scripted();
    config.scenario.load = load;
    config.scenario.idle_s = 0.0;
    config.scenario.warmup_rounds = 0;
    config
}

fn execute(config: BenchmarkConfig, backend: ScriptedBackend) -> RunRecords {
    let base = tempfile::tempdir().unwrap();
    let mut prepared = run::prepare(config, &Registry::with_defaults(), &Environment::default())
        .expect("a valid config");
    prepared.backend = Arc::new(backend);
    let options = Options {
        folder: Folder::New(base.path().join("run")),
        observer: Arc::new(Silent),
        files: Vec::new(),
        git_commit: None,
        judge: None,
    };
    let end = run::execute(prepared, options).expect("a run");
    RunRecords::read(&end.folder).expect("a run folder")
}

fn measured(records: &RunRecords) -> Vec<RequestRecord> {
    let mut found: Vec<_> = records
        .requests
        .iter()
        .filter(|request| request.phase == Phase::Measure)
        .cloned()
        .collect();
    found.sort_by_key(|request| request.index);
    found
}

fn constant(rate: f64, max_concurrency: Option<u32>) -> LoadConfig {
    LoadConfig::Constant { rate, max_concurrency, ramp: None }
}

fn codes(records: &RunRecords) -> Vec<String> {
    let events = records.events.iter().filter_map(|record| match &record.event {
        Event::Warning { warning } => Some(warning.code.clone()),
        _ => None,
    });
    events.collect()
}

/// Distances of the scheduled times from the first, in milliseconds, rounded.
fn schedule(requests: &[RequestRecord]) -> Vec<u64> {
    let first = requests[0].scheduled_ns;
    requests.iter().map(|one| (one.scheduled_ns.0 - first.0 + 500_000) / 1_000_000).collect()
}

#[test]
fn an_overloaded_server_leaves_arrivals_on_schedule() {
    let mut config = config(constant(100.0, None));
    config.scenario.duration_s = Some(0.5);
    // Each answer takes as long as the whole load.
    let records = execute(config, ScriptedBackend::steady(1, Duration::from_millis(500)));
    let requests = measured(&records);
    assert_eq!(requests.len(), 50);
    assert_eq!(schedule(&requests), (0..50).map(|n| n * 10).collect::<Vec<u64>>());
    assert!(requests.iter().all(|one| one.sent_ns >= one.scheduled_ns), "nothing leaves early");
    assert!(requests.iter().all(|one| one.released_ns.is_none()), "nothing is held back");
    assert_eq!(codes(&records), [""; 0]);
    let findings = analysis::analyse(&records);
    assert_eq!((findings.counts.planned, findings.counts.not_sent), (50, 0));
    assert_eq!(findings.protocol.steady_state.energy.value, None);
}

#[test]
fn a_limit_beside_a_rate_holds_arrivals_back_and_says_so() {
    let mut config = config(constant(200.0, Some(2)));
    config.scenario.duration_s = Some(0.1);
    let records = execute(config, ScriptedBackend::steady(1, Duration::from_millis(20)));
    let requests = measured(&records);
    assert_eq!(schedule(&requests), (0..20).map(|n| n * 5).collect::<Vec<u64>>());
    let held = requests.iter().filter(|one| one.released_ns.is_some()).count();
    assert!(held >= 10, "{held} of 20");
    for later in &requests[2..] {
        let in_flight = requests[..later.index as usize]
            .iter()
            .filter(|one| one.sent_ns <= later.sent_ns && one.end_ns > later.sent_ns);
        assert!(in_flight.count() < 2);
    }
    assert!(codes(&records).contains(&"arrivals_held_back".to_owned()));
}

#[test]
fn requests_in_flight_when_the_grace_is_over_are_counted_as_such() {
    let mut config = config(constant(50.0, None));
    config.scenario.duration_s = Some(0.2);
    config.scenario.grace_s = Some(0.05);
    config.scenario.max_consecutive_failures = 2;
    let slow = Script { tokens: 1, gap: Duration::from_secs(60), ..Script::default() };
    let by_index = (5..9).map(|index| (index, slow.clone())).collect();
    let backend =
        ScriptedBackend { by_index, ..ScriptedBackend::steady(1, Duration::from_millis(1)) };
    let records = execute(config, backend);
    let requests = measured(&records);
    assert_eq!(requests.len(), 10);
    let findings = analysis::analyse(&records);
    assert_eq!((findings.counts.in_flight_at_end, findings.counts.failed), (4, 0));
    assert_eq!(findings.counts.succeeded, 6);
    assert!(findings.run.complete, "{:?}", findings.run.incomplete_reason);
    assert!(matches!(records.events.last().map(|last| &last.event), Some(Event::Finished)));
}

#[test]
fn a_number_of_requests_is_exact_and_ends_before_the_time_where_it_comes_first() {
    for load in [
        constant(400.0, None),
        LoadConfig::concurrency(3),
        LoadConfig::Throughput { max_concurrency: None },
        LoadConfig::Gamma {
            rate: 400.0,
            burstiness: 0.5,
            max_concurrency: None,
            ramp: None,
            seed: 1,
        },
    ] {
        let mut config = config(load.clone());
        config.scenario.requests = Some(25);
        if load.rate().is_some() {
            config.scenario.duration_s = Some(30.0);
        }
        let records = execute(config, ScriptedBackend::steady(1, Duration::from_millis(1)));
        let requests = measured(&records);
        assert_eq!(requests.len(), 25, "{load:?}");
        assert!(requests.iter().zip(0..).all(|(one, index)| one.index == index));
        assert!(analysis::analyse(&records).run.complete);
        let (from, to) = records.phase(Phase::Measure).unwrap();
        assert!(to.unwrap().since(from).0 < 25.0);
    }
}

#[test]
fn throughput_has_everything_in_flight_at_once() {
    let mut config = config(LoadConfig::Throughput { max_concurrency: None });
    config.scenario.requests = Some(300);
    let records = execute(config, ScriptedBackend::steady(1, Duration::from_millis(1500)));
    let requests = measured(&records);
    let first_end = requests.iter().map(|one| one.end_ns).min().unwrap();
    assert!(requests.iter().all(|one| one.sent_ns < first_end));
}

#[test]
fn stages_follow_each_other() {
    let stage = |load, duration_s, requests| Stage { load, duration_s, requests };
    let records = execute(
        config(LoadConfig::Stages {
            stages: vec![
                stage(constant(50.0, None), Some(0.2), None),
                stage(LoadConfig::concurrency(4), None, Some(8)),
            ],
        }),
        ScriptedBackend::steady(1, Duration::from_millis(5)),
    );
    let requests = measured(&records);
    assert_eq!(requests.len(), 18);
    assert_eq!(schedule(&requests[..10]), (0..10).map(|n| n * 20).collect::<Vec<u64>>());
    assert!(requests[10].scheduled_ns.since(requests[0].scheduled_ns).0 >= 0.2);
    let findings = analysis::analyse(&records);
    assert_eq!((findings.counts.planned, findings.run.complete), (18, true));
}

#[test]
fn warm_up_goes_by_the_same_rate() {
    let mut config = config(constant(40.0, None));
    config.scenario.requests = Some(2);
    config.scenario.warmup_rounds = 1;
    let records = execute(config, ScriptedBackend::steady(1, Duration::from_millis(1)));
    let warmup: Vec<_> =
        records.requests.iter().filter(|one| one.phase == Phase::Warmup).cloned().collect();
    assert_eq!(warmup.len(), 40, "a round is a second of arrivals");
}

/// What a request of the mix meets, by number.
fn script(kind: u8) -> Script {
    let error =
        |class, http_status| BackendError { http_status, ..BackendError::new(class, "planted") };
    let steady = Script { tokens: 2, gap: Duration::from_millis(1), ..Script::default() };
    match kind {
        0 => Script { errors: vec![error(FailureClass::Connect, None); 9], ..steady },
        1 => Script { errors: vec![error(FailureClass::HttpStatus, Some(500))], ..steady },
        2 => Script { errors: vec![error(FailureClass::HttpStatus, Some(429))], ..steady },
        3 => Script { breaks: Some(error(FailureClass::Reset, None)), ..steady },
        4 => Script { breaks: Some(error(FailureClass::Protocol, None)), ..steady },
        5 => Script { gap: Duration::from_secs(30), ..steady },
        _ => steady,
    }
}

/// How a request of the mix is to end; nothing for well.
fn class(kind: u8) -> Option<FailureClass> {
    match kind {
        0 => Some(FailureClass::Connect),
        1 => Some(FailureClass::HttpStatus),
        3 => Some(FailureClass::Reset),
        4 => Some(FailureClass::Protocol),
        5 => Some(FailureClass::InFlight),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn counts_add_up_whatever_fails(
        kinds in proptest::collection::vec(0_u8..12, 1..40),
        open: bool,
        limit in proptest::option::of(30_u32..50),
    ) {
        let load = match open {
            true => constant(2_000.0, limit),
            false => LoadConfig::concurrency(limit.unwrap_or(40)),
        };
        let mut config = config(load);
        config.scenario.requests = Some(kinds.len() as u64);
        config.scenario.grace_s = Some(1.5);
        config.scenario.max_retries = 2;
        config.scenario.max_consecutive_failures = 0;
        let by_index = kinds.iter().zip(0..).map(|(kind, index)| (index, script(*kind))).collect();
        let records = execute(config, ScriptedBackend { by_index, ..ScriptedBackend::default() });
        let requests = measured(&records);
        prop_assert_eq!(requests.len(), kinds.len(), "each has a record");
        for (request, kind) in requests.iter().zip(&kinds) {
            let found = match &request.outcome {
                Outcome::Ok { .. } => None,
                Outcome::Failed { class, .. } => Some(*class),
            };
            prop_assert_eq!(found, class(*kind));
        }
        let counts = analysis::analyse(&records).counts;
        prop_assert_eq!(counts.planned, counts.sent + counts.not_sent);
        prop_assert_eq!(counts.sent, counts.succeeded + counts.unanswered());
        prop_assert_eq!(counts.failed, counts.failed_by_class.values().sum::<u64>());
        let cut_off = kinds.iter().filter(|kind| class(**kind) == Some(FailureClass::InFlight)).count();
        prop_assert_eq!(counts.in_flight_at_end, cut_off as u64);
        prop_assert_eq!(counts.succeeded, kinds.iter().filter(|kind| class(**kind).is_none()).count() as u64);
    }
}

/// The config of each cell of a sweep, as `run -m` composes it.
fn cells(load: &str, sweep: &[&str]) -> Vec<BenchmarkConfig> {
    let yaml = format!(
        "backend: {{type: vllm, model: script}}\nmetrics: {{gpu: false}}\nscenario:\n  idle_s: 0\n  warmup_rounds: 0\n  \
         duration_s: 0.5\n  load: {load}\n"
    );
    let environment = Environment::default();
    let source = Source::Text { name: "sweep".to_owned(), yaml };
    let sweep: Vec<String> = sweep.iter().map(|&word| word.to_owned()).collect();
    let composer = Composer::new(&source, Reading::Auto, &sweep, &environment).unwrap();
    let jobs = composer.jobs(true).unwrap().jobs;
    jobs.into_iter().map(|job| job.config).collect()
}

#[test]
fn rates_are_swept_and_each_cell_sends_at_its_own() {
    let cells = cells("{type: constant, rate: 1}", &["scenario.load.rate=20,40"]);
    let sent: Vec<usize> = cells
        .into_iter()
        .map(|cell| {
            let records = execute(cell, ScriptedBackend::steady(1, Duration::ZERO));
            assert_eq!(records.manifest.planned_requests, measured(&records).len() as u64);
            measured(&records).len()
        })
        .collect();
    assert_eq!(sent, [10, 20]);
}

#[test]
fn concurrency_and_whole_loads_are_swept_too() {
    let loads = |load, sweep: &[&str]| -> Vec<LoadConfig> {
        cells(load, sweep).into_iter().map(|cell| cell.scenario.load).collect()
    };
    assert_eq!(
        loads("{type: concurrency, concurrency: 1}", &["scenario.load.concurrency=1,4"]),
        [LoadConfig::concurrency(1), LoadConfig::concurrency(4)]
    );
    let whole = "scenario.load={type: sequential},{type: constant, rate: 3}";
    let found = loads("{type: sequential}", &[whole]);
    assert_eq!(found, [LoadConfig::Sequential, constant(3.0, None)]);
}
