//! A run from config to records, with a scripted backend.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ai_energy_benchmarks::backend::{BackendError, GenerateRequest};
use ai_energy_benchmarks::config::component::backend::{Api, BackendConfig, VllmConfig};
use ai_energy_benchmarks::config::component::load::LoadConfig;
use ai_energy_benchmarks::config::component::metrics::DeviceIsolation;
use ai_energy_benchmarks::config::component::scenario::InputShapes;
use ai_energy_benchmarks::config::{BenchmarkConfig, Environment};
use ai_energy_benchmarks::prompt::Prompt;
use ai_energy_benchmarks::record::{Event, FailureClass, Outcome, Phase, RunRecords, StopReason};
use ai_energy_benchmarks::registry::Registry;
use ai_energy_benchmarks::run::{self, Folder, Options, Prepared, RunEnd, RunError, Silent};
use ai_energy_benchmarks::units::Seconds;
use ai_energy_benchmarks_testkit::backend::{Script, ScriptedBackend};
use ai_energy_benchmarks_testkit::fixtures::FakeNvml;

/// Ten prompts, no pauses, against a server that is never asked: the scripted backend stands in.
pub(crate) fn config() -> BenchmarkConfig {
    let mut config = BenchmarkConfig {
        name: "scripted".to_owned(),
        backend: BackendConfig::Vllm(VllmConfig {
            model: "script".to_owned(),
            ..VllmConfig::default()
        }),
        ..BenchmarkConfig::default()
    };
    config.scenario.num_samples = Some(10);
    config.scenario.idle_s = 0.05;
    config.scenario.retry_backoff_s = 0.001;
    config.metrics.gpu = false;
    config
}

fn prepared(config: BenchmarkConfig, backend: impl Into<Arc<ScriptedBackend>>) -> Prepared {
    let mut prepared = run::prepare(config, &Registry::with_defaults(), &Environment::default())
        .expect("a valid config");
    prepared.backend = backend.into();
    prepared
}

fn options(base: &Path) -> Options {
    Options {
        folder: Folder::New(base.join("run")),
        observer: Arc::new(Silent),
        files: vec![(".hydra/overrides.yaml".into(), b"[]\n".to_vec())],
        git_commit: None,
        judge: None,
    }
}

fn execute(
    config: BenchmarkConfig,
    backend: impl Into<Arc<ScriptedBackend>>,
) -> (RunEnd, RunRecords) {
    let base = tempfile::tempdir().unwrap();
    let end = run::execute(prepared(config, backend), options(base.path())).expect("a run");
    let records = RunRecords::read(&end.folder).expect("a run folder");
    assert!(end.folder.join(".hydra/overrides.yaml").exists());
    (end, records)
}

fn error(class: FailureClass, http_status: Option<u16>) -> BackendError {
    BackendError { http_status, ..BackendError::new(class, "planted") }
}

fn failures(records: &RunRecords) -> Vec<(u64, FailureClass)> {
    let mut failures: Vec<_> = records
        .requests
        .iter()
        .filter_map(|request| match &request.outcome {
            Outcome::Failed { class, .. } => Some((request.index, *class)),
            Outcome::Ok { .. } => None,
        })
        .collect();
    failures.sort_unstable();
    failures
}

#[test]
fn a_run_records_every_request_every_phase_and_the_meters() {
    let backend = ScriptedBackend::steady(4, Duration::from_millis(1));
    let (end, records) = execute(config(), backend);
    assert_eq!(end.stopped, None);
    let measured: Vec<_> =
        records.requests.iter().filter(|request| request.phase == Phase::Measure).collect();
    assert_eq!(measured.len(), 10);
    assert!(measured.iter().all(|request| request.is_ok() && request.event_offsets_ns.len() == 4));
    assert_eq!(records.requests.len(), 11, "one warm-up request");
    for phase in [Phase::Load, Phase::IdleBefore, Phase::Warmup, Phase::Measure, Phase::IdleAfter] {
        let (begin, end) = records.phase(phase).unwrap_or_else(|| panic!("{phase:?} begins"));
        assert!(end.is_some_and(|end| end >= begin), "{phase:?} ends");
    }
    assert!(!records.samples.is_empty());
    assert!(records.samples.iter().all(|sample| sample.before_ns <= sample.after_ns));
    assert!(matches!(records.events.last().map(|last| &last.event), Some(Event::Finished)));
    assert_eq!(records.torn_lines.len(), 0);
}

#[test]
fn requests_side_by_side_overlap_and_one_at_a_time_do_not() {
    let overlap = |config| {
        let (_, records) = execute(config, ScriptedBackend::steady(2, Duration::from_millis(5)));
        let mut spans: Vec<_> = records
            .requests
            .iter()
            .filter(|request| request.phase == Phase::Measure)
            .map(|request| (request.sent_ns, request.end_ns))
            .collect();
        spans.sort_unstable();
        spans.windows(2).filter(|pair| pair[1].0 < pair[0].1).count()
    };
    assert_eq!(overlap(config()), 0);
    let mut concurrent = config();
    concurrent.scenario.load = LoadConfig::concurrency(4);
    assert!(overlap(concurrent) >= 6);
}

#[test]
fn refused_connections_429_and_503_are_tried_again_and_counted() {
    let mut backend = ScriptedBackend::steady(2, Duration::ZERO);
    backend.by_index.insert(
        3,
        Script {
            tokens: 2,
            errors: vec![
                error(FailureClass::Connect, None),
                error(FailureClass::HttpStatus, Some(429)),
                error(FailureClass::HttpStatus, Some(503)),
            ],
            ..Script::default()
        },
    );
    let (_, records) = execute(config(), backend);
    assert_eq!(failures(&records), []);
    let retried: Vec<_> = records.requests.iter().filter(|request| request.retries > 0).collect();
    assert_eq!(retried.iter().map(|request| request.retries).collect::<Vec<_>>(), [3]);
    let retries = records.events.iter().filter(|e| matches!(e.event, Event::Retry { .. })).count();
    assert_eq!(retries, 3);
}

#[test]
fn what_cannot_be_helped_by_trying_again_is_not_tried_again() {
    let mut backend = ScriptedBackend::steady(2, Duration::ZERO);
    let bad_request = error(FailureClass::HttpStatus, Some(400));
    let reset = error(FailureClass::Connect, None);
    backend.by_index.insert(1, Script { errors: vec![bad_request], ..Script::default() });
    // A connection error after the first byte: the answer had begun.
    backend.by_index.insert(5, Script { tokens: 2, breaks: Some(reset), ..Script::default() });
    let (end, records) = execute(config(), backend);
    assert_eq!(failures(&records), [(1, FailureClass::HttpStatus), (5, FailureClass::Connect)]);
    assert_eq!(end.stopped, None);
    assert!(records.requests.iter().all(|request| request.retries == 0));
}

#[test]
fn three_failures_in_a_row_end_the_run_with_everything_kept() {
    let mut backend = ScriptedBackend::steady(2, Duration::ZERO);
    for index in 4..10 {
        let errors = vec![error(FailureClass::Protocol, None)];
        backend.by_index.insert(index, Script { errors, ..Script::default() });
    }
    let (end, records) = execute(config(), backend);
    assert_eq!(end.stopped, Some(StopReason::ConsecutiveFailures));
    let measured = records.requests.iter().filter(|r| r.phase == Phase::Measure).count();
    assert_eq!(measured, 7, "four good ones and three failures");
}

#[test]
fn a_request_past_its_deadline_fails_and_keeps_its_tokens() {
    let mut config = config();
    config.scenario.request_timeout_s = 0.05;
    config.scenario.num_samples = Some(1);
    config.scenario.warmup_rounds = 0;
    let (_, records) = execute(config, ScriptedBackend::steady(1000, Duration::from_millis(10)));
    assert_eq!(failures(&records), [(0, FailureClass::Deadline)]);
    assert!(!records.requests[0].event_offsets_ns.is_empty());
}

#[test]
fn a_server_that_asks_for_patience_gets_it_only_within_the_deadline() {
    let mut config = config();
    config.scenario.request_timeout_s = 0.2;
    config.scenario.num_samples = Some(1);
    config.scenario.warmup_rounds = 0;
    let mut backend = ScriptedBackend::steady(1, Duration::ZERO);
    let patience = BackendError {
        retry_after: Some(Seconds(60.0)),
        ..error(FailureClass::HttpStatus, Some(429))
    };
    backend.by_index.insert(0, Script { errors: vec![patience], ..Script::default() });
    let (_, records) = execute(config, backend);
    assert_eq!(failures(&records), [(0, FailureClass::HttpStatus)]);
    assert_eq!(records.requests[0].retries, 0);
}

#[test]
fn a_backend_that_is_not_ready_leaves_no_run_folder() {
    let base = tempfile::tempdir().unwrap();
    let mut backend = ScriptedBackend::steady(1, Duration::ZERO);
    backend.check_error = Some(error(FailureClass::Connect, None));
    let end = run::execute(prepared(config(), backend), options(base.path()));
    assert!(matches!(end, Err(RunError::Backend(_))));
    assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 0);
}

#[test]
fn all_problems_of_a_config_are_reported_together() {
    let mut config = config();
    config.scenario.dataset_name = "no/such/file.jsonl".to_owned();
    config.metrics.country_iso_code = Some("Atlantis".to_owned());
    config.scenario.generate_kwargs.max_new_tokens = 0;
    let Err(problems) = run::prepare(config, &Registry::with_defaults(), &Environment::default())
    else {
        panic!("the config is wrong in three places");
    };
    let places: Vec<_> = problems.0.iter().map(|problem| problem.place.as_str()).collect();
    for place in [
        "scenario.generate_kwargs.max_new_tokens",
        "scenario.dataset_name",
        "metrics.country_iso_code",
    ] {
        assert!(places.contains(&place), "{place} in {places:?}");
    }
}

fn random(config: &mut BenchmarkConfig, shapes: InputShapes) {
    config.scenario.dataset_name = "random_tokens".to_owned();
    config.scenario.num_samples = None;
    config.scenario.input_shapes = Some(shapes);
    let BackendConfig::Vllm(vllm) = &mut config.backend else { panic!("vllm") };
    vllm.api = Api::Completions;
}

fn tokens(request: &GenerateRequest) -> &[u32] {
    let Prompt::Tokens(ids) = &request.prompt else { panic!("{request:?}") };
    ids
}

#[test]
fn generated_prompts_come_in_batches_after_short_warm_ups() {
    let mut config = config();
    let shapes =
        InputShapes { batch_size: Some(3), sequence_length: Some(16), ..InputShapes::default() };
    random(&mut config, shapes);
    config.scenario.iterations = Some(4);
    config.scenario.warmup_runs = 2;
    config.scenario.generate_kwargs.max_new_tokens = 7;
    config.scenario.generate_kwargs.min_new_tokens = Some(7);
    let backend = Arc::new(ScriptedBackend {
        vocab_size: Some(99),
        ..ScriptedBackend::steady(1, Duration::from_millis(1))
    });
    let (_, records) = execute(config, Arc::clone(&backend));
    let of = |phase| records.requests.iter().filter(move |request| request.phase == phase);
    assert_eq!((of(Phase::Warmup).count(), of(Phase::Measure).count()), (9, 12));
    assert_eq!(records.manifest.planned_requests, 12);
    let sent = backend.requests.lock().unwrap().clone();
    let short = sent.iter().filter(|request| request.params.max_new_tokens == 2);
    assert!(short.clone().all(|request| request.params.min_new_tokens == Some(2)));
    assert_eq!(short.count(), 6);
    assert!(sent.iter().all(|request| tokens(request).len() == 16));
    assert!(sent.iter().all(|request| tokens(request).iter().all(|id| *id < 99)));
    let different: BTreeSet<&[u32]> = sent.iter().map(tokens).collect();
    assert_eq!(different.len(), 21, "a server's cache never knows a prompt");
    assert!(records.manifest.dataset.origin.contains("below 99"), "{:?}", records.manifest.dataset);
    let codes: Vec<&str> =
        records.manifest.warnings.iter().map(|warning| warning.code.as_str()).collect();
    assert_eq!(codes, ["batch_as_concurrency"]);
}

#[test]
fn an_assumed_vocabulary_is_told_and_a_stated_one_wins() {
    let told = |vocab_size| {
        let mut config = config();
        let shapes = InputShapes { sequence_length: Some(4), vocab_size, ..InputShapes::default() };
        random(&mut config, shapes);
        config.scenario.iterations = Some(1);
        let backend =
            ScriptedBackend { vocab_size: None, ..ScriptedBackend::steady(1, Duration::ZERO) };
        let (_, records) = execute(config, backend);
        let assumed =
            records.manifest.warnings.iter().any(|warning| warning.code == "vocabulary_assumed");
        (assumed, records.manifest.dataset.origin)
    };
    let (assumed, origin) = told(None);
    assert!(assumed && origin.contains("32000"), "{origin}");
    let (assumed, origin) = told(Some(500));
    assert!(!assumed && origin.contains("below 500"), "{origin}");
}

#[test]
fn a_duration_goes_on_beyond_the_rounds_and_repeats_the_prompts() {
    let mut config = config();
    config.scenario.num_samples = Some(2);
    config.scenario.iterations = Some(1);
    config.scenario.duration_s = Some(0.2);
    let (_, records) = execute(config, ScriptedBackend::steady(1, Duration::from_millis(2)));
    let measured: Vec<_> =
        records.requests.iter().filter(|request| request.phase == Phase::Measure).collect();
    assert!(measured.len() > 2, "{}", measured.len());
    let first = measured.iter().map(|request| request.sent_ns).min().unwrap();
    let last = measured.iter().map(|request| request.end_ns).max().unwrap();
    assert!(last.since(first) >= Seconds(0.15), "{:?}", last.since(first));
    let names: BTreeSet<&str> = measured.iter().map(|request| request.prompt_id.as_str()).collect();
    assert_eq!(names.len(), 2);
}

/// A machine with two GPUs whose driver lists processes; `pids` are the server's.
fn isolated(
    isolation: Option<DeviceIsolation>,
    pids: &[u32],
    folder: &Path,
) -> Result<(RunEnd, RunRecords), RunError> {
    let mut config = config();
    config.metrics.gpu = true;
    config.metrics.nvml_library = Some(FakeNvml::default().build(folder));
    config.metrics.device_isolation = isolation;
    let backend =
        ScriptedBackend { pids: pids.to_vec(), ..ScriptedBackend::steady(1, Duration::ZERO) };
    let end = run::execute(prepared(config, backend), options(folder))?;
    let records = RunRecords::read(&end.folder).expect("a run folder");
    Ok((end, records))
}

fn cautions(records: &RunRecords, code: &str) -> usize {
    let events = records.events.iter().filter_map(|record| match &record.event {
        Event::Warning { warning } => Some(warning),
        _ => None,
    });
    records.manifest.warnings.iter().chain(events).filter(|warning| warning.code == code).count()
}

#[test]
fn other_processes_on_the_gpus_are_told_before_and_after_or_forbid_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let listed: Vec<u32> = FakeNvml::PIDS.iter().flat_map(|pids| pids.iter().copied()).collect();
    let (server, others) = listed.split_first().expect("the fake lists processes");
    assert!(!others.is_empty());
    // The driver shows the server, so its numbers are ours, and the others are not the server's.
    for isolation in [None, Some(DeviceIsolation::Warn), Some(DeviceIsolation::Kill)] {
        let (end, records) = isolated(isolation, &[*server], folder.path()).unwrap();
        assert_eq!(cautions(&records, "other_processes_on_gpu"), 2, "{isolation:?}");
        assert_eq!(end.isolation, None);
    }
    let refused = isolated(Some(DeviceIsolation::Error), &[*server], folder.path());
    assert!(matches!(refused, Err(RunError::NotIsolated(_))));
    // All of them the server's: nothing to say.
    let (end, records) = isolated(Some(DeviceIsolation::Error), &listed, folder.path()).unwrap();
    assert_eq!(cautions(&records, "other_processes_on_gpu"), 0);
    assert_eq!(cautions(&records, "isolation_not_checked"), 0);
    assert_eq!(end.isolation, None);
}

#[test]
fn isolation_that_cannot_be_checked_is_told_where_it_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (_, records) = isolated(Some(DeviceIsolation::Error), &[], folder.path()).unwrap();
    assert_eq!(cautions(&records, "isolation_not_checked"), 1);
    let (_, records) = isolated(None, &[], folder.path()).unwrap();
    assert_eq!(cautions(&records, "isolation_not_checked"), 0);
}
