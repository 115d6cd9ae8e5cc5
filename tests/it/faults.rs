//! Every fault of the mock server, through a whole run: counted as what it is, nothing lost, and the run ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use ai_energy_benchmarks::analysis::{self, Findings};
use ai_energy_benchmarks::config::component::backend::{BackendConfig, VllmConfig};
use ai_energy_benchmarks::config::component::load::LoadConfig;
use ai_energy_benchmarks::config::{BenchmarkConfig, Environment};
use ai_energy_benchmarks::record::{
    Event, FailureClass, Outcome, Phase, RequestRecord, RunRecords, TokenSource,
};
use ai_energy_benchmarks::registry::Registry;
use ai_energy_benchmarks::run::{self, Folder, Options, RunError, Silent};
use ai_energy_benchmarks_mockserver::{
    Fault, FaultKind, FaultRule, MockConfig, MockServer, Stats, Timing, TlsMode,
};

/// Tokens of each answer, one an event.
pub(crate) const TOKENS: u64 = 8;
/// Requests of each run.
pub(crate) const REQUESTS: u64 = 12;
/// What no run here needs; one that takes it hangs.
const FOR_EVER: Duration = Duration::from_secs(120);

/// A server that answers within some twenty milliseconds, but for its faults.
pub(crate) fn mock(faults: Vec<FaultRule>) -> MockConfig {
    MockConfig {
        timing: Timing { ttft_ms: 5.0, gap_ms: 2.0, ..Timing::default() },
        tokens: TOKENS,
        faults,
        ..MockConfig::default()
    }
}

/// Twelve requests, four in flight, each with two seconds of patience and one more attempt.
pub(crate) fn config(url: &str) -> BenchmarkConfig {
    let mut config = BenchmarkConfig {
        name: "faults".to_owned(),
        backend: BackendConfig::Vllm(VllmConfig {
            model: "mock-model".to_owned(),
            endpoint: url.to_owned(),
            ..VllmConfig::default()
        }),
        ..BenchmarkConfig::default()
    };
    let scenario = &mut config.scenario;
    scenario.load = LoadConfig::concurrency(4);
    scenario.requests = Some(REQUESTS);
    scenario.warmup_rounds = 0;
    scenario.idle_s = 0.0;
    scenario.max_consecutive_failures = 0;
    scenario.max_retries = 1;
    scenario.retry_backoff_s = 0.005;
    scenario.request_timeout_s = 2.0;
    scenario.generate_kwargs.max_new_tokens = 64;
    scenario.save_outputs = true;
    config.metrics.gpu = false;
    // Connections are counted here.
    config.metrics.server_metrics = false;
    config
}

/// What a run and its server say of it.
pub(crate) struct Ran {
    pub(crate) records: RunRecords,
    pub(crate) findings: Findings,
    pub(crate) server: Stats,
}

/// Executes a run in bounded time.
fn execute(config: BenchmarkConfig, environment: Environment) -> Result<RunRecords, RunError> {
    let (sender, receiver) = channel();
    #[expect(clippy::disallowed_methods, reason = "a run that hangs must not hang its test")]
    std::thread::spawn(move || {
        let base = tempfile::tempdir().unwrap();
        let prepared = run::prepare(config, &Registry::with_defaults(), &environment);
        let options = Options {
            folder: Folder::New(base.path().join("run")),
            observer: Arc::new(Silent),
            files: Vec::new(),
            git_commit: None,
            judge: None,
        };
        let ended = run::execute(prepared.expect("a valid config"), options);
        let records = ended.map(|end| RunRecords::read(&end.folder).expect("a run folder"));
        // Who waits no longer has failed already.
        let _ = sender.send(records);
    });
    receiver.recv_timeout(FOR_EVER).expect("the run ends by itself")
}

/// A run against a server with faults. What must hold whatever the faults are is checked here.
pub(crate) fn through(mock: MockConfig, change: impl FnOnce(&mut BenchmarkConfig)) -> Ran {
    let server = MockServer::start(mock).unwrap();
    let mut config = config(&server.url());
    change(&mut config);
    let records = execute(config, Environment::default()).expect("a run");
    let findings = analysis::analyse(&records);
    let ran = Ran { records, findings, server: server.stop().unwrap() };
    adds_up(&ran);
    ran
}

impl Ran {
    pub(crate) fn measured(&self) -> Vec<&RequestRecord> {
        let of = |request: &&RequestRecord| request.phase == Phase::Measure;
        self.records.requests.iter().filter(of).collect()
    }

    /// The failed by class.
    pub(crate) fn failed(&self) -> Vec<(FailureClass, u64)> {
        self.findings.counts.failed_by_class.iter().map(|(class, count)| (*class, *count)).collect()
    }
}

/// Counts add up, in themselves, with the records and with what the server saw; every record is whole.
fn adds_up(ran: &Ran) {
    let counts = &ran.findings.counts;
    assert_eq!(counts.planned, counts.sent + counts.not_sent, "{counts:?}");
    assert_eq!(counts.sent, counts.succeeded + counts.unanswered(), "{counts:?}");
    assert_eq!(counts.failed, counts.failed_by_class.values().sum::<u64>(), "{counts:?}");
    let measured = ran.measured();
    assert_eq!(counts.sent, measured.len() as u64, "{counts:?}");
    assert_eq!(counts.sent, REQUESTS, "all were sent");
    let known: BTreeSet<u64> = measured.iter().map(|request| request.index).collect();
    assert_eq!(known, (0..REQUESTS).collect(), "one record each");
    assert!(ran.records.torn_lines.is_empty());
    assert!(matches!(ran.records.events.last().unwrap().event, Event::Finished));
    let (_, end) = ran.records.phase(Phase::Measure).unwrap();
    for request in &measured {
        is_whole(request);
        assert!(end.unwrap() >= request.end_ns, "the phase ends after its last request");
    }
    let mut classes = BTreeMap::new();
    for request in &measured {
        if let Outcome::Failed { class, .. } = request.outcome {
            *classes.entry(class).or_insert(0_u64) += 1;
        }
    }
    assert_eq!(classes, counts.failed_by_class);
    // A request that found no connection, or lost it before it was read, is none to the server.
    let attempts = counts.sent + counts.retries;
    let unheard = ran.server.planted(FaultKind::Refuse);
    assert!(ran.server.requests <= attempts, "{attempts} attempts, {:?}", ran.server);
    if !classes.contains_key(&FailureClass::Connect) && counts.retries == 0 {
        assert_eq!(ran.server.requests + unheard, attempts, "{:?}", ran.server);
    }
}

/// Stamps in order, events within them, a message where it failed.
fn is_whole(request: &RequestRecord) {
    let stamps = [
        Some(request.scheduled_ns),
        Some(request.sent_ns),
        request.first_byte_ns,
        request.first_token_ns,
        request.last_token_ns,
        Some(request.end_ns),
    ];
    let stamps: Vec<_> = stamps.into_iter().flatten().collect();
    assert!(stamps.is_sorted(), "{request:?}");
    assert_eq!(request.first_token_ns.is_some(), !request.event_offsets_ns.is_empty());
    assert!(request.event_offsets_ns.is_sorted(), "{request:?}");
    match &request.outcome {
        Outcome::Ok { finish_reason } => assert!(finish_reason.is_some(), "{request:?}"),
        Outcome::Failed { message, .. } => assert!(!message.is_empty(), "{request:?}"),
    }
    if request.is_ok() && request.first_token_ns.is_some() {
        assert_eq!(request.event_offsets_ns.len() as u64, TOKENS, "{request:?}");
    }
}

fn every(kind: FaultKind) -> Vec<FaultRule> {
    vec![FaultRule::rate(kind, 1.0)]
}

/// A fault, what requests with it end as, and the class counted.
const FATAL: [(FaultKind, FailureClass); 10] = [
    (FaultKind::ResetBefore, FailureClass::Reset),
    (FaultKind::ResetAfter, FailureClass::Reset),
    (FaultKind::Stall, FailureClass::Deadline),
    (FaultKind::Status429, FailureClass::HttpStatus),
    (FaultKind::Status500, FailureClass::HttpStatus),
    (FaultKind::Status502, FailureClass::HttpStatus),
    (FaultKind::Status503, FailureClass::HttpStatus),
    (FaultKind::MalformedJson, FailureClass::Protocol),
    (FaultKind::HalfEvent, FailureClass::Reset),
    (FaultKind::ErrorEvent, FailureClass::StreamError),
];

#[test]
fn a_fault_of_every_request_is_the_class_of_every_request() {
    for (kind, class) in FATAL {
        let mut rule = FaultRule::rate(kind, 1.0);
        rule.fault.numbers.retry_after_s = 0;
        let ran = through(mock(vec![rule]), |config| config.scenario.request_timeout_s = 0.4);
        assert_eq!(ran.failed(), [(class, REQUESTS)], "{kind}");
        assert!(ran.measured().iter().all(|request| request.tokens.completion.is_none()));
    }
}

#[test]
fn a_fault_of_some_requests_is_the_class_of_those_alone() {
    for (kind, class) in FATAL {
        let named = [1, 4, 5];
        let rule = FaultRule::requests(Fault::new(kind), &named);
        let ran = through(mock(vec![rule]), |config| {
            config.scenario.request_timeout_s = 0.5;
            config.scenario.max_retries = 0;
        });
        assert_eq!(ran.failed(), [(class, named.len() as u64)], "{kind}");
        assert_eq!(ran.server.planted(kind), named.len() as u64, "{kind}");
        let good: Vec<_> =
            ran.measured().into_iter().filter(|request| request.is_ok()).cloned().collect();
        assert!(good.iter().all(|one| one.tokens.completion == Some(TOKENS)), "{kind}");
    }
}

#[test]
fn unstreamed_answers_fail_in_the_same_classes() {
    for (kind, class) in FATAL {
        // An error inside a stream is a status where there is none.
        let class = if kind == FaultKind::ErrorEvent { FailureClass::HttpStatus } else { class };
        let rule = FaultRule::requests(Fault::new(kind), &[0, 7]);
        let ran = through(mock(vec![rule]), |config| {
            let BackendConfig::Vllm(vllm) = &mut config.backend else { panic!("vllm") };
            vllm.stream = false;
            config.scenario.request_timeout_s = 0.5;
            config.scenario.max_retries = 0;
        });
        assert_eq!(ran.failed(), [(class, 2)], "{kind}");
    }
}

#[test]
fn what_came_before_a_break_is_kept() {
    for kind in [FaultKind::ResetAfter, FaultKind::HalfEvent, FaultKind::Stall] {
        let rule = FaultRule { fault: Fault::new(kind).after(3), ..FaultRule::rate(kind, 1.0) };
        let ran = through(mock(vec![rule]), |config| config.scenario.request_timeout_s = 0.5);
        for request in ran.measured() {
            assert_eq!(request.event_offsets_ns.len(), 3, "{kind}");
            assert_eq!(request.output.as_ref().unwrap().split_whitespace().count(), 3, "{kind}");
            assert_eq!(
                request.retries, 0,
                "{kind}: an answer that has begun is not asked for again"
            );
        }
    }
}

#[test]
fn slow_is_not_failed() {
    for kind in [FaultKind::Drip, FaultKind::SlowHeaders] {
        let mut rule = FaultRule::rate(kind, 1.0);
        rule.fault.numbers.byte_gap_ms = 0.05;
        let ran = through(mock(vec![rule]), |config| config.scenario.request_timeout_s = 60.0);
        assert_eq!(ran.failed(), [], "{kind}");
        assert_eq!(ran.server.planted(kind), REQUESTS);
        let total = ran.findings.tokens.completion.value;
        assert_eq!(total, Some((REQUESTS * TOKENS) as f64), "{kind}");
    }
}

#[test]
fn a_drip_that_outlasts_the_deadline_ends_there() {
    let mut rule = FaultRule::rate(FaultKind::Drip, 1.0);
    rule.fault.numbers.byte_gap_ms = 20.0;
    let ran = through(mock(vec![rule]), |config| config.scenario.request_timeout_s = 0.3);
    assert_eq!(ran.failed(), [(FailureClass::Deadline, REQUESTS)]);
}

#[test]
fn a_stream_without_end_ends_at_the_deadline() {
    let ran = through(mock(every(FaultKind::Endless)), |config| {
        config.scenario.request_timeout_s = 0.3;
    });
    assert_eq!(ran.failed(), [(FailureClass::Deadline, REQUESTS)]);
    let longer = |request: &&RequestRecord| request.event_offsets_ns.len() as u64 > TOKENS;
    assert_eq!(ran.measured().into_iter().filter(longer).count() as u64, REQUESTS);
}

#[test]
fn a_server_that_asks_for_patience_gets_it_and_the_retry_is_counted() {
    let mut rule = FaultRule::requests(Fault::new(FaultKind::Status429), &[0, 2]);
    rule.fault.numbers.retry_after_s = 0;
    let unready = FaultRule::requests(Fault::new(FaultKind::Status503), &[3]);
    // An attempt may meet the fault of another.
    let ran = through(mock(vec![rule, unready]), |config| config.scenario.max_retries = 3);
    assert_eq!(ran.failed(), []);
    assert_eq!(ran.findings.counts.retries, 3);
    assert_eq!(ran.server.requests, REQUESTS + 3);
    let noted = |record: &&ai_energy_benchmarks::record::EventRecord| {
        matches!(record.event, Event::Retry { class: FailureClass::HttpStatus, .. })
    };
    assert_eq!(ran.records.events.iter().filter(noted).count(), 3);
}

#[test]
fn a_wait_that_is_longer_than_the_deadline_is_not_begun() {
    let mut rule = FaultRule::rate(FaultKind::Status429, 1.0);
    rule.fault.numbers.retry_after_s = 3600;
    let ran = through(mock(vec![rule]), |_| ());
    assert_eq!(ran.failed(), [(FailureClass::HttpStatus, REQUESTS)]);
    assert_eq!(ran.findings.counts.retries, 0);
}

#[test]
fn a_missing_done_is_no_failure_and_a_missing_usage_no_zero() {
    let ran = through(mock(every(FaultKind::MissingDone)), |_| ());
    assert_eq!(ran.failed(), []);
    assert_eq!(ran.findings.tokens.completion.value, Some((REQUESTS * TOKENS) as f64));
    let ran = through(mock(every(FaultKind::MissingUsage)), |_| ());
    assert_eq!(ran.failed(), []);
    let tokens = &ran.findings.tokens.completion;
    assert_eq!(tokens.value, None, "{tokens:?}");
    assert!(tokens.reason.as_ref().is_some_and(|reason| !reason.is_empty()), "{tokens:?}");
    assert!(ran.measured().iter().all(|one| one.tokens.source == TokenSource::Missing));
}

#[test]
fn a_wrong_usage_is_recorded_as_the_server_said_it() {
    let ran = through(mock(every(FaultKind::WrongUsage)), |_| ());
    assert_eq!(ran.failed(), []);
    assert_eq!(ran.findings.tokens.completion.value, Some((REQUESTS * (TOKENS + 7)) as f64));
    assert_eq!(
        ran.server.generation_tokens,
        REQUESTS * TOKENS,
        "the server's counters know better"
    );
}

#[test]
fn an_event_of_any_honest_size_is_read_and_one_beyond_is_refused() {
    let huge = |bytes: usize| {
        let mut rule = FaultRule::requests(Fault::new(FaultKind::HugeEvent), &[1, 2]);
        rule.fault.numbers.bytes = bytes;
        through(mock(vec![rule]), |config| {
            config.scenario.save_outputs = false;
            config.scenario.request_timeout_s = 30.0;
        })
    };
    let ran = huge(4 << 20);
    assert_eq!(ran.failed(), []);
    let large = ran.measured().iter().filter(|one| one.output_chars > 4 << 20).count();
    assert_eq!(large, 2);
    assert_eq!(huge(20 << 20).failed(), [(FailureClass::Protocol, 2)]);
}

#[test]
fn connections_that_are_broken_off_at_once_are_counted_as_such() {
    // The first serves the questions before the run.
    let rule = FaultRule::requests(Fault::new(FaultKind::Refuse), &[1, 3]);
    let ran = through(mock(vec![rule]), |config| config.scenario.max_retries = 0);
    assert_eq!(ran.server.planted(FaultKind::Refuse), 2);
    // Whether the break is met while connecting or while sending is up to the kernel.
    let failed: BTreeMap<_, _> = ran.failed().into_iter().collect();
    let of = |class| failed.get(&class).copied().unwrap_or(0);
    assert_eq!(of(FailureClass::Reset) + of(FailureClass::Connect), 2, "{failed:?}");
    assert_eq!(ran.findings.counts.failed, 2, "{failed:?}");
}

#[test]
fn a_server_that_goes_away_and_comes_back_costs_only_what_was_asked_meanwhile() {
    let server = MockServer::start(mock(every(FaultKind::HalfEvent))).unwrap();
    let mut config = config(&server.url());
    config.scenario.load = LoadConfig::Constant { rate: 20.0, max_concurrency: None, ramp: None };
    config.scenario.max_retries = 0;
    let (sender, receiver) = channel();
    #[expect(clippy::disallowed_methods, reason = "the server closes while the run goes on")]
    let closer = std::thread::spawn(move || {
        while server.stats().requests < 3 {
            std::thread::sleep(Duration::from_millis(1));
        }
        // Each answer ends its connection, so that the next needs a new one.
        server.close_listener();
        std::thread::sleep(Duration::from_millis(200));
        server.open_listener().unwrap();
        let _: Result<(), _> = receiver.recv();
        server.stop().unwrap()
    });
    let records = execute(config, Environment::default()).expect("a run");
    let findings = analysis::analyse(&records);
    sender.send(()).unwrap();
    let ran = Ran { records, findings, server: closer.join().unwrap() };
    adds_up(&ran);
    let failed: BTreeMap<_, _> = ran.failed().into_iter().collect();
    assert!(failed[&FailureClass::Connect] >= 1, "{failed:?}");
    assert!(failed[&FailureClass::Reset] >= 3, "{failed:?}");
    assert_eq!(failed.len(), 2, "{failed:?}");
}

#[test]
fn failures_in_a_row_end_the_run_early_and_what_was_not_sent_is_counted() {
    let server = MockServer::start(mock(every(FaultKind::Status500))).unwrap();
    let mut config = config(&server.url());
    config.scenario.max_consecutive_failures = 3;
    let records = execute(config, Environment::default()).expect("a run");
    let counts = analysis::analyse(&records).counts;
    assert!((3..=6).contains(&counts.failed), "{counts:?}");
    assert_eq!((counts.sent, counts.planned), (counts.failed, REQUESTS));
    assert_eq!(counts.not_sent, REQUESTS - counts.sent);
}

#[test]
fn tls_that_cannot_be_trusted_ends_before_anything_is_measured() {
    for mode in [TlsMode::SelfSigned, TlsMode::Expired, TlsMode::WrongName, TlsMode::Abort] {
        let server = MockServer::start(MockConfig { tls: Some(mode), ..mock(Vec::new()) }).unwrap();
        let ended = execute(config(&server.url()), Environment::default());
        let Err(RunError::Backend(error)) = ended else { panic!("{mode:?}") };
        assert_eq!(error.class, FailureClass::Tls, "{mode:?}: {error:?}");
        assert!(error.hint.is_some(), "{mode:?}: {error:?}");
        assert_eq!(server.stop().unwrap().requests, 0);
    }
}

#[test]
fn a_certificate_that_is_named_is_trusted_unless_it_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    for (mode, good) in
        [(TlsMode::SelfSigned, true), (TlsMode::Expired, false), (TlsMode::WrongName, false)]
    {
        let server = MockServer::start(MockConfig { tls: Some(mode), ..mock(Vec::new()) }).unwrap();
        let file = folder.path().join("mock.pem");
        std::fs::write(&file, server.certificate().unwrap()).unwrap();
        let trusting = BTreeMap::from([("SSL_CERT_FILE".to_owned(), file.display().to_string())]);
        let ended = execute(config(&server.url()), Environment::with(trusting));
        match (ended, good) {
            (Ok(records), true) => {
                assert_eq!(analysis::analyse(&records).counts.succeeded, REQUESTS);
            }
            (Err(RunError::Backend(error)), false) => {
                assert_eq!(error.class, FailureClass::Tls, "{mode:?}: {error:?}");
            }
            (ended, _) => panic!("{mode:?}: {:?}", ended.err()),
        }
    }
}
