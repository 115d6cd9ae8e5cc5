//! Conversations turn by turn, from a dataset to findings, with a scripted backend that answers `word ` once or more.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use ai_energy_benchmarks::analysis::{self, Findings};
use ai_energy_benchmarks::backend::{BackendError, GenerateRequest};
use ai_energy_benchmarks::config::component::conversation::{
    Answers, Conversations, ThinkTime, Turns,
};
use ai_energy_benchmarks::config::component::load::LoadConfig;
use ai_energy_benchmarks::config::{BenchmarkConfig, Environment};
use ai_energy_benchmarks::prompt::Prompt;
use ai_energy_benchmarks::record::{FailureClass, NotSent, Phase, RequestRecord, RunRecords};
use ai_energy_benchmarks::registry::Registry;
use ai_energy_benchmarks::run::{self, Folder, Options, Silent};
use ai_energy_benchmarks::units::Seconds;
use ai_energy_benchmarks_testkit::backend::{Script, ScriptedBackend};

use crate::run::config as scripted;

/// A run over conversations with so many turns each, every answer of which was recorded as `recorded`.
struct Case {
    config: BenchmarkConfig,
    base: tempfile::TempDir,
    backend: Arc<ScriptedBackend>,
}

/// What came of it.
struct Done {
    records: RunRecords,
    findings: Findings,
    /// What the backend was asked, in order.
    asked: Vec<GenerateRequest>,
}

impl Case {
    fn new(turns: &[usize], load: LoadConfig) -> Self {
        let base = tempfile::tempdir().unwrap();
        let mut rows = String::new();
        for (row, turns) in turns.iter().enumerate() {
            let mut messages = vec![serde_json::json!({"role": "system", "content": "brief"})];
            for turn in 0..*turns {
                let said = format!("{row}.{turn}");
                messages.push(serde_json::json!({"role": "user", "content": said}));
                messages.push(serde_json::json!({"role": "assistant", "content": "recorded"}));
            }
            writeln!(rows, "{}", serde_json::json!({"messages": messages})).unwrap();
        }
        let file = base.path().join("talks.jsonl");
        std::fs::write(&file, rows).unwrap();
        let mut config = scripted();
        config.scenario.dataset_name = file.display().to_string();
        config.scenario.text_column_name = "messages".to_owned();
        config.scenario.load = load;
        config.scenario.idle_s = 0.0;
        config.scenario.warmup_rounds = 0;
        config.scenario.conversations = Some(Conversations::default());
        let backend = Arc::new(ScriptedBackend::steady(2, Duration::ZERO));
        Self { config, base, backend }
    }

    fn conversations(&mut self) -> &mut Conversations {
        self.config.scenario.conversations.as_mut().unwrap()
    }

    fn answers_by(mut self, backend: ScriptedBackend) -> Self {
        self.backend = Arc::new(backend);
        self
    }

    fn run(self) -> Done {
        let registry = Registry::with_defaults();
        let mut prepared =
            run::prepare(self.config, &registry, &Environment::default()).expect("a valid config");
        prepared.backend = Arc::<ScriptedBackend>::clone(&self.backend);
        let options = Options {
            folder: Folder::New(self.base.path().join("run")),
            observer: Arc::new(Silent),
            files: Vec::new(),
            git_commit: None,
            judge: None,
        };
        let end = run::execute(prepared, options).expect("a run");
        let records = RunRecords::read(&end.folder).expect("a run folder");
        let findings = analysis::analyse(&records);
        let asked = self.backend.requests.lock().unwrap().clone();
        Done { records, findings, asked }
    }
}

impl Done {
    /// The measured requests by conversation and turn.
    fn by_turn(&self) -> BTreeMap<(u64, u32), &RequestRecord> {
        let measured = self.records.requests.iter().filter(|one| one.phase == Phase::Measure);
        measured.map(|one| ((one.conversation.unwrap(), one.turn.unwrap()), one)).collect()
    }

    /// Begun, complete, not sent.
    fn tally(&self) -> (u64, u64, BTreeMap<NotSent, u64>) {
        let found = self.findings.conversations.as_ref().unwrap();
        (found.begun, found.complete, found.not_sent.clone())
    }
}

/// What a request says, a message a word.
fn said(request: &GenerateRequest) -> Vec<String> {
    let Prompt::Chat(messages) = &request.prompt else { panic!("{request:?}") };
    messages.iter().map(|message| message.content.trim().to_owned()).collect()
}

fn failing() -> Script {
    let error = BackendError::new(FailureClass::StreamError, "planted");
    Script { tokens: 1, breaks: Some(error), ..Script::default() }
}

#[test]
fn a_turn_says_everything_before_it_and_what_the_model_answered() {
    let mut case = Case::new(&[3], LoadConfig::Sequential);
    case.conversations().think_time_s = ThinkTime::Constant(0.02);
    let done = case.run();
    let told: Vec<Vec<String>> = done.asked.iter().map(said).collect();
    assert_eq!(told[0], ["brief", "0.0"]);
    assert_eq!(told[1], ["brief", "0.0", "word word", "0.1"]);
    assert_eq!(told[2], ["brief", "0.0", "word word", "0.1", "word word", "0.2"]);
    let turns = done.by_turn();
    assert_eq!(turns.keys().copied().collect::<Vec<_>>(), [(0, 0), (0, 1), (0, 2)]);
    for turn in 1..3 {
        let (before, now) = (turns[&(0, turn - 1)], turns[&(0, turn)]);
        let due = before.end_ns.offset(Seconds(0.02));
        assert!(now.scheduled_ns.0.abs_diff(due.0) <= 2, "due after the answer and the pause");
        assert!(now.sent_ns >= now.scheduled_ns && now.index == u64::from(turn));
    }
    let counts = &done.findings.counts;
    assert_eq!((counts.planned, counts.sent, counts.not_sent), (3, 3, 0));
    assert_eq!(done.tally(), (1, 1, BTreeMap::new()));
    assert!(done.findings.run.complete);
}

#[test]
fn recorded_answers_take_the_place_of_the_models_own_and_turns_can_be_limited() {
    let mut case = Case::new(&[5], LoadConfig::Sequential);
    case.conversations().answers = Answers::Recorded;
    case.conversations().turns = Turns::Most(2);
    let done = case.run();
    assert_eq!(done.asked.len(), 2);
    assert_eq!(said(&done.asked[1]), ["brief", "0.0", "recorded", "0.1"]);
}

#[test]
fn so_many_conversations_go_on_side_by_side_thinking_ones_among_them() {
    let mut case = Case::new(&[2; 6], LoadConfig::concurrency(2));
    case.conversations().think_time_s = ThinkTime::Constant(0.05);
    let done = case.run();
    let turns = done.by_turn();
    assert_eq!(turns.len(), 12);
    // From its first turn to its last a conversation holds its place.
    let mut edges = Vec::new();
    for conversation in 0..6 {
        edges.push((turns[&(conversation, 0)].scheduled_ns, 1));
        edges.push((turns[&(conversation, 1)].end_ns, -1));
    }
    edges.sort_unstable();
    let mut open = 0;
    for (_, change) in edges {
        open += change;
        assert!(open <= 2);
    }
    let found = done.findings.conversations.as_ref().unwrap();
    assert_eq!(found.turns.iter().map(|one| one.sent).collect::<Vec<_>>(), [6, 6]);
}

#[test]
fn a_turn_that_fails_ends_its_conversation_and_the_counts_add_up() {
    let mut case = Case::new(&[3, 4, 2], LoadConfig::Sequential);
    case.config.scenario.max_retries = 0;
    // One at a time: requests 0 to 2 are the first conversation, 3 and 4 the begin of the second.
    let steady = ScriptedBackend::steady(2, Duration::ZERO);
    let backend = ScriptedBackend { by_index: BTreeMap::from([(4, failing())]), ..steady };
    let done = case.answers_by(backend).run();
    let counts = &done.findings.counts;
    assert_eq!((counts.planned, counts.sent, counts.failed, counts.not_sent), (9, 7, 1, 2));
    assert_eq!(done.tally(), (3, 2, BTreeMap::from([(NotSent::TurnFailed, 2)])));
    let text = ai_energy_benchmarks::report::table::render(&done.findings, &[]);
    assert!(
        text.contains("3 begun, 2 complete, 2 turns not sent (a turn before failed)"),
        "{text}"
    );
}

#[test]
fn in_an_open_loop_arrivals_begin_conversations_whatever_others_wait_for() {
    let load = LoadConfig::Constant { rate: 100.0, max_concurrency: None, ramp: None };
    let mut case = Case::new(&[2; 10], load);
    case.conversations().think_time_s = ThinkTime::Constant(0.15);
    let done = case.run();
    let turns = done.by_turn();
    let first = turns[&(0, 0)].scheduled_ns;
    for conversation in 0..10 {
        let at = turns[&(conversation, 0)].scheduled_ns.since(first).0;
        assert!((at - conversation as f64 / 100.0).abs() < 1e-6, "{at}");
    }
    assert_eq!(done.tally(), (10, 10, BTreeMap::new()));
}

#[test]
fn turns_that_would_come_after_the_time_do_not_leave() {
    let mut case = Case::new(&[5; 4], LoadConfig::concurrency(4));
    case.conversations().think_time_s = ThinkTime::Constant(30.0);
    case.config.scenario.duration_s = Some(0.1);
    let done = case.run();
    let (begun, complete, not_sent) = done.tally();
    assert_eq!((begun, complete), (4, 0));
    assert_eq!(not_sent, BTreeMap::from([(NotSent::LoadOver, 16)]));
}

#[test]
fn requests_are_counted_and_not_conversations() {
    let mut case = Case::new(&[3; 4], LoadConfig::concurrency(2));
    case.config.scenario.requests = Some(7);
    let done = case.run();
    let (begun, complete, not_sent) = done.tally();
    assert_eq!(done.findings.counts.sent, 7);
    assert_eq!(done.findings.counts.not_sent, 0);
    assert_eq!(begun * 3, 7 + not_sent.values().sum::<u64>());
    assert!(complete >= 1 && not_sent.keys().all(|why| *why == NotSent::LoadOver));
}

#[test]
fn warm_up_asks_first_turns_and_the_dataset_is_not_said_to_end_with_answers() {
    let mut case = Case::new(&[3; 3], LoadConfig::concurrency(2));
    case.config.scenario.warmup_rounds = 1;
    let done = case.run();
    let warm: Vec<_> =
        done.records.requests.iter().filter(|one| one.phase == Phase::Warmup).collect();
    assert_eq!(warm.len(), 2);
    assert!(warm.iter().all(|one| one.turn == Some(0)));
    let codes: Vec<_> = done.records.manifest.warnings.iter().map(|one| &one.code).collect();
    assert!(codes.iter().all(|code| !code.contains("conversation")), "{codes:?}");
}

#[test]
fn prompts_of_one_turn_are_told_of() {
    let done = Case::new(&[1; 2], LoadConfig::Sequential).run();
    let warnings = &done.records.manifest.warnings;
    assert!(warnings.iter().any(|one| one.code == "conversations_of_one_turn"));
}
