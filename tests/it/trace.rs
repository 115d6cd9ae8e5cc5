//! Traces from a file to records and findings, with a scripted backend.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ai_energy_benchmarks::analysis;
use ai_energy_benchmarks::backend::GenerateRequest;
use ai_energy_benchmarks::config::component::backend::{Api, BackendConfig};
use ai_energy_benchmarks::config::component::load::{LoadConfig, PromptsOf, TraceFormat};
use ai_energy_benchmarks::config::component::protocol::Repetitions;
use ai_energy_benchmarks::config::{BenchmarkConfig, Environment};
use ai_energy_benchmarks::dataset::trace;
use ai_energy_benchmarks::error::Problems;
use ai_energy_benchmarks::prompt::Prompt;
use ai_energy_benchmarks::record::{Event, Phase, RequestRecord, RunRecords};
use ai_energy_benchmarks::registry::Registry;
use ai_energy_benchmarks::run::{self, Folder, Options, Silent};
use ai_energy_benchmarks_testkit::backend::ScriptedBackend;

use crate::run::config as scripted;

/// Two that share a block, two at once, and the last after 0.2 s.
const MOONCAKE: &str = r#"{"timestamp": 1000, "input_length": 700, "output_length": 3, "hash_ids": [7, 8]}
{"timestamp": 1100, "input_length": 600, "output_length": 4, "hash_ids": [7, 9]}
{"timestamp": 1100, "input_length": 20, "output_length": 5, "hash_ids": [10]}
{"timestamp": 1200, "input_length": 30, "output_length": 6, "hash_ids": [11]}
"#;

struct Case {
    base: tempfile::TempDir,
    config: BenchmarkConfig,
}

struct Done {
    records: RunRecords,
    asked: Vec<GenerateRequest>,
}

impl Case {
    fn new(text: &str, change: impl FnOnce(&mut LoadConfig)) -> Self {
        let base = tempfile::tempdir().unwrap();
        let file = base.path().join("trace.jsonl");
        std::fs::write(&file, text).unwrap();
        let mut load = LoadConfig::Trace {
            file: file.display().to_string(),
            format: TraceFormat::Auto,
            time_scale: 1.0,
            limit: None,
            prompts: PromptsOf::Trace,
            max_concurrency: None,
            seed: 1,
        };
        change(&mut load);
        let mut config = scripted();
        config.scenario.load = load;
        config.scenario.idle_s = 0.0;
        config.scenario.warmup_rounds = 0;
        if let BackendConfig::Vllm(vllm) = &mut config.backend {
            vllm.api = Api::Completions;
        }
        Self { base, config }
    }

    fn folder(&self) -> PathBuf {
        self.base.path().join("run")
    }

    fn problems(self) -> Problems {
        match run::prepare(self.config, &Registry::with_defaults(), &Environment::default()) {
            Ok(_) => panic!("it was let pass"),
            Err(problems) => problems,
        }
    }

    fn run(self, backend: ScriptedBackend) -> Done {
        let folder = self.folder();
        let registry = Registry::with_defaults();
        let mut prepared =
            run::prepare(self.config, &registry, &Environment::default()).expect("a valid config");
        let backend = Arc::new(backend);
        prepared.backend = Arc::<ScriptedBackend>::clone(&backend);
        let options = Options {
            folder: Folder::New(folder),
            observer: Arc::new(Silent),
            files: Vec::new(),
            git_commit: None,
            judge: None,
        };
        let end = run::execute(prepared, options).expect("a run");
        let records = RunRecords::read(&end.folder).expect("a run folder");
        let asked = backend.requests.lock().unwrap().clone();
        Done { records, asked }
    }
}

impl Done {
    fn measured(&self) -> Vec<&RequestRecord> {
        let mut found: Vec<_> =
            self.records.requests.iter().filter(|one| one.phase == Phase::Measure).collect();
        found.sort_by_key(|one| (one.repetition, one.index));
        found
    }

    /// Milliseconds of the scheduled times after the first.
    fn schedule(&self) -> Vec<u64> {
        let measured = self.measured();
        let first = measured[0].scheduled_ns.0;
        measured.iter().map(|one| (one.scheduled_ns.0 - first + 500_000) / 1_000_000).collect()
    }
}

fn ids(request: &GenerateRequest) -> &[u32] {
    match &request.prompt {
        Prompt::Tokens(ids) => ids,
        other => panic!("{other:?}"),
    }
}

fn quick() -> ScriptedBackend {
    ScriptedBackend { vocab_size: Some(500), ..ScriptedBackend::steady(1, Duration::ZERO) }
}

#[test]
fn requests_arrive_and_are_as_long_as_the_trace_says_and_share_what_it_says() {
    let done = Case::new(MOONCAKE, |_| {}).run(quick());
    assert_eq!(done.schedule(), [0, 100, 100, 200]);
    let mut asked = done.asked.clone();
    asked.sort_by_key(|request| request.index);
    let lengths: Vec<usize> = asked.iter().map(|request| ids(request).len()).collect();
    assert_eq!(lengths, [700, 600, 20, 30]);
    assert!(asked.iter().all(|request| ids(request).iter().all(|id| *id < 500)), "told vocabulary");
    assert_eq!(ids(&asked[0])[..512], ids(&asked[1])[..512]);
    let answers: Vec<_> =
        asked.iter().map(|one| (one.params.max_new_tokens, one.params.min_new_tokens)).collect();
    assert_eq!(answers, [(3, Some(3)), (4, Some(4)), (5, Some(5)), (6, Some(6))]);
    let names: Vec<_> = done.measured().iter().map(|one| one.prompt_id.as_str()).collect();
    assert_eq!(names, ["trace:1", "trace:2", "trace:3", "trace:4"], "by line");
    let manifest = &done.records.manifest;
    assert_eq!((manifest.planned_requests, manifest.dataset.used), (4, 4));
    assert!(manifest.dataset.origin.starts_with("mooncake trace, 4 requests"));
    assert_eq!(manifest.dataset.files.keys().collect::<Vec<_>>(), ["trace.jsonl"]);
    let findings = analysis::analyse(&done.records);
    assert!(findings.run.complete && findings.counts.not_sent == 0);
}

#[test]
fn a_time_scale_and_a_limit_change_the_times_and_the_number() {
    let change = |load: &mut LoadConfig| {
        if let LoadConfig::Trace { time_scale, limit, .. } = load {
            (*time_scale, *limit) = (0.5, Some(3));
        }
    };
    let done = Case::new(MOONCAKE, change).run(quick());
    assert_eq!(done.schedule(), [0, 50, 50]);
}

#[test]
fn an_overloaded_server_leaves_the_trace_on_schedule_and_a_limit_is_told() {
    let slow = || ScriptedBackend::steady(1, Duration::from_millis(300));
    let done = Case::new(MOONCAKE, |_| {}).run(slow());
    assert_eq!(done.schedule(), [0, 100, 100, 200]);
    assert!(done.measured().iter().all(|one| one.released_ns.is_none()));
    let change = |load: &mut LoadConfig| {
        if let LoadConfig::Trace { max_concurrency, .. } = load {
            *max_concurrency = Some(1);
        }
    };
    let done = Case::new(MOONCAKE, change).run(slow());
    assert_eq!(done.schedule(), [0, 100, 100, 200], "arrivals keep their times");
    assert_eq!(done.measured().iter().filter(|one| one.released_ns.is_some()).count(), 3);
    let told = |event: &Event| matches!(event, Event::Warning { warning } if warning.code == "arrivals_held_back");
    assert!(done.records.events.iter().any(|record| told(&record.event)));
}

#[test]
fn a_repetition_is_the_same_trace_in_other_tokens() {
    let mut case = Case::new(MOONCAKE, |_| {});
    case.config.scenario.repetitions = Repetitions::Fixed(2);
    case.config.scenario.warmup_rounds = 2;
    let done = case.run(quick());
    let measured = done.measured();
    assert_eq!((measured.len(), done.records.requests.len()), (8, 10));
    assert_eq!(done.records.manifest.planned_requests, 8);
    let first: Vec<&GenerateRequest> = done.asked.iter().filter(|one| one.index == 0).collect();
    assert_eq!(first.len(), 3, "of warm-up and two repetitions");
    assert!(first.iter().all(|one| ids(one).len() == 700));
    assert!(ids(first[0]) != ids(first[1]) && ids(first[1]) != ids(first[2]));
}

#[test]
fn what_a_trace_says_in_words_is_asked_by_messages_and_lengths_are_refused() {
    let words = "{\"at_s\": 0, \"prompt\": \"Hi\", \"output_tokens\": 2}\n{\"at_s\": 0.01, \"prompt\": \"Ho\"}\n";
    let mut case = Case::new(words, |_| {});
    case.config.backend = scripted().backend;
    let done = case.run(quick());
    assert_eq!(done.asked[0].prompt, Prompt::Text("Hi".to_owned()));
    assert_eq!(done.asked[0].params.max_new_tokens, 2);
    let usual = scripted().scenario.generate_kwargs.max_new_tokens;
    assert_eq!(done.asked[1].params.max_new_tokens, usual, "not told");
    let mut case = Case::new(MOONCAKE, |_| {});
    case.config.backend = scripted().backend;
    let problems = case.problems();
    assert_eq!(problems.0[0].place, "backend.api");
}

#[test]
fn a_dataset_can_be_asked_at_the_times_of_a_trace() {
    let change = |load: &mut LoadConfig| {
        if let LoadConfig::Trace { prompts, .. } = load {
            *prompts = PromptsOf::Dataset;
        }
    };
    let mut case = Case::new(MOONCAKE, change);
    case.config.backend = scripted().backend;
    case.config.scenario.num_samples = Some(2);
    let done = case.run(quick());
    assert_eq!(done.schedule(), [0, 100, 100, 200]);
    assert!(done.asked.iter().all(|one| matches!(one.prompt, Prompt::Text(_))));
    assert_eq!(done.records.manifest.dataset.name, "builtin");
}

#[test]
fn every_bad_row_is_told_at_once_beside_other_problems() {
    let text =
        "{\"at_s\": 2, \"prompt\": \"a\"}\n{\"at_s\": 1, \"prompt\": \"a\"}\n{\"prompt\": \"a\"}\n";
    let mut case = Case::new(text, |_| {});
    case.config.scenario.iterations = Some(3);
    let places: Vec<String> = case.problems().0.into_iter().map(|one| one.place).collect();
    let file = "scenario.load.file";
    assert_eq!(
        places,
        ["scenario.iterations".to_owned(), format!("{file} line 2"), format!("{file} line 3")]
    );
}

#[test]
fn a_time_cuts_a_trace_short() {
    let mut case = Case::new(MOONCAKE, |_| {});
    case.config.scenario.duration_s = Some(0.15);
    let done = case.run(quick());
    assert_eq!(done.schedule(), [0, 100, 100]);
    assert_eq!(done.records.manifest.planned_requests, 3);
}

#[test]
fn ten_thousand_requests_are_read_and_replayed() {
    let mut text = String::new();
    for row in 0..10_000 {
        let blocks = [row % 50, row];
        writeln!(
            text,
            "{{\"timestamp\": {}, \"input_length\": 900, \"output_length\": 2, \"hash_ids\": {blocks:?}}}",
            row * 10
        )
        .unwrap();
    }
    let read = trace::parse(text.as_bytes(), TraceFormat::Auto, None).unwrap();
    assert_eq!((read.rows.len(), read.odd_blocks), (10_000, 0));
    let change = |load: &mut LoadConfig| {
        if let LoadConfig::Trace { time_scale, .. } = load {
            *time_scale = 0.01;
        }
    };
    let done = Case::new(&text, change).run(quick());
    let findings = analysis::analyse(&done.records);
    assert_eq!((findings.counts.planned, findings.counts.succeeded), (10_000, 10_000));
    let last = *done.schedule().last().unwrap();
    assert_eq!(last, 1_000, "99,990 ms, a hundred times as fast");
}
