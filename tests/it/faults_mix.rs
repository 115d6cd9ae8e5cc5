//! Random mixes of faults under random loads: whatever goes wrong, counts add up and the run ends.

use ai_energy_benchmarks::config::component::load::LoadConfig;
use ai_energy_benchmarks::record::FailureClass;
use ai_energy_benchmarks_mockserver::{Fault, FaultKind, FaultRule, MockConfig, When};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::faults::{Ran, mock, through};

/// What a request with a fault may be counted as; nothing where it succeeds.
fn classes_of(kind: FaultKind) -> &'static [FailureClass] {
    match kind {
        // Met while connecting or while sending, as the kernel has it.
        FaultKind::Refuse => &[FailureClass::Reset, FailureClass::Connect],
        FaultKind::ResetBefore | FaultKind::ResetAfter | FaultKind::HalfEvent => {
            &[FailureClass::Reset]
        }
        FaultKind::Stall | FaultKind::Endless => &[FailureClass::Deadline],
        FaultKind::Status429
        | FaultKind::Status500
        | FaultKind::Status502
        | FaultKind::Status503 => &[FailureClass::HttpStatus],
        FaultKind::MalformedJson => &[FailureClass::Protocol],
        // A status where nothing is streamed.
        FaultKind::ErrorEvent => &[FailureClass::StreamError, FailureClass::HttpStatus],
        FaultKind::Drip
        | FaultKind::SlowHeaders
        | FaultKind::MissingDone
        | FaultKind::WrongUsage
        | FaultKind::MissingUsage
        | FaultKind::HugeEvent => &[],
    }
}

fn rule() -> impl Strategy<Value = FaultRule> {
    let when = prop_oneof![
        (0.0..0.25_f64).prop_map(When::Rate),
        proptest::collection::vec(0_u64..16, 1..5).prop_map(When::Requests),
    ];
    let kind = proptest::sample::select(FaultKind::ALL.to_vec());
    (kind, when, 0_u64..7).prop_map(|(kind, when, after)| {
        let mut fault = Fault::new(kind).after(after);
        fault.numbers.byte_gap_ms = 0.02;
        fault.numbers.bytes = 300_000;
        fault.numbers.retry_after_s = 0;
        FaultRule { fault, when }
    })
}

fn load() -> impl Strategy<Value = LoadConfig> {
    prop_oneof![
        Just(LoadConfig::Sequential),
        (1_u32..8).prop_map(LoadConfig::concurrency),
        Just(LoadConfig::Throughput { max_concurrency: None }),
        (50.0..400.0_f64).prop_map(|rate| LoadConfig::Constant {
            rate,
            max_concurrency: Some(6),
            ramp: None
        }),
        (50.0..400.0_f64, 0_u64..9).prop_map(|(rate, seed)| LoadConfig::Poisson {
            rate,
            max_concurrency: None,
            ramp: None,
            seed
        }),
    ]
}

fn explains(mock: &MockConfig, ran: &Ran) {
    let planted: Vec<FaultKind> = mock.faults.iter().map(|rule| rule.fault.kind).collect();
    for (class, count) in ran.failed() {
        let kinds = planted.iter().filter(|kind| classes_of(**kind).contains(&class));
        let most: u64 = kinds.map(|kind| ran.server.planted(*kind)).sum();
        assert!(count <= most, "{count} of {class:?}, {most} planted: {mock:?}");
    }
    // Whoever met no fault succeeded.
    let all: u64 = FaultKind::ALL.iter().map(|kind| ran.server.planted(*kind)).sum();
    let counts = &ran.findings.counts;
    assert!(counts.failed <= all, "{counts:?}");
    let attempts = counts.sent + counts.retries;
    let unheard = ran.server.planted(FaultKind::Refuse);
    assert_eq!(ran.server.requests + unheard, attempts, "{:?}", ran.server);
}

#[test]
fn any_mix_of_faults_under_any_load_adds_up_and_ends() {
    let config = Config { cases: 16, failure_persistence: None, ..Config::default() };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]));
    let mixes =
        (proptest::collection::vec(rule(), 1..4), load(), 0_u64..99, any::<bool>(), 0_u32..3);
    runner
        .run(&mixes, |(mut faults, load, seed, stream, retries)| {
            // The questions before the run need the first connection.
            for rule in &mut faults {
                if let (FaultKind::Refuse, When::Requests(connections)) =
                    (rule.fault.kind, &mut rule.when)
                {
                    connections.retain(|connection| *connection > 0);
                } else if rule.fault.kind == FaultKind::Refuse {
                    rule.when = When::Requests(vec![2, 5]);
                }
            }
            let mock = MockConfig { seed, ..mock(faults) };
            let ran = through(mock.clone(), |config| {
                config.scenario.load = load;
                config.scenario.max_retries = retries;
                config.scenario.request_timeout_s = 1.0;
                let ai_energy_benchmarks::config::component::backend::BackendConfig::Vllm(vllm) =
                    &mut config.backend
                else {
                    unreachable!("the config is for a server")
                };
                vllm.stream = stream;
            });
            explains(&mock, &ran);
            Ok(())
        })
        .unwrap();
}
