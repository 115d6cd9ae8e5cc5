//! The phases of a run: repetitions, warm-up until steady, the bare machine.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ai_energy_benchmarks::analysis::{self, Findings, protocol};
use ai_energy_benchmarks::config::component::load::LoadConfig;
use ai_energy_benchmarks::config::component::protocol::{
    AdaptiveRepetitions, Baseline, RepeatedFigure, Repetitions, SteadyLimits, WarmupMode,
};
use ai_energy_benchmarks::config::{BenchmarkConfig, Environment};
use ai_energy_benchmarks::record::{Event, Phase, RunRecords};
use ai_energy_benchmarks::registry::Registry;
use ai_energy_benchmarks::run::{self, Folder, Judge, Options, Silent};
use ai_energy_benchmarks_testkit::backend::ScriptedBackend;

use crate::run::config;

fn execute(
    config: BenchmarkConfig,
    backend: ScriptedBackend,
    judge: Option<Arc<dyn Judge>>,
) -> RunRecords {
    let base = tempfile::tempdir().unwrap();
    let mut prepared =
        run::prepare(config, &Registry::with_defaults(), &Environment::default()).unwrap();
    prepared.backend = Arc::new(backend);
    let options = Options {
        folder: Folder::New(base.path().join("run")),
        observer: Arc::new(Silent),
        files: Vec::new(),
        git_commit: None,
        judge,
    };
    let end = run::execute(prepared, options).expect("a run");
    assert_eq!(end.stopped, None);
    RunRecords::read(&end.folder).expect("a run folder")
}

fn backend() -> ScriptedBackend {
    ScriptedBackend::steady(4, Duration::from_millis(1))
}

fn codes(records: &RunRecords) -> Vec<String> {
    let findings = analysis::analyse(records);
    findings.warnings.into_iter().map(|warning| warning.code).collect()
}

#[test]
fn a_measurement_is_repeated_with_the_same_prompts_each_time() {
    let mut config = config();
    config.scenario.num_samples = Some(4);
    config.scenario.repetitions = Repetitions::Fixed(3);
    config.scenario.phase_shift_s = Some(0.05);
    let records = execute(config, backend(), None);
    let spans = records.spans(Phase::Measure);
    let numbers: Vec<_> = spans.iter().map(|span| span.repetition).collect();
    assert_eq!(numbers, [Some(0), Some(1), Some(2)]);
    assert!(spans.windows(2).all(|pair| pair[0].to.is_some_and(|end| end < pair[1].from)));
    let prompts = |number: u32| -> Vec<String> {
        let of = |request: &&_| {
            let request: &ai_energy_benchmarks::record::RequestRecord = request;
            request.phase == Phase::Measure && request.repetition == Some(number)
        };
        records.requests.iter().filter(of).map(|request| request.prompt_id.clone()).collect()
    };
    assert_eq!(prompts(0).len(), 4);
    assert_eq!((prompts(0), prompts(0)), (prompts(1), prompts(2)));
    let warm_up = records.requests.iter().filter(|request| request.phase == Phase::Warmup);
    assert!(warm_up.into_iter().all(|request| request.repetition.is_none()));

    let findings = analysis::analyse(&records);
    assert_eq!((findings.counts.planned, findings.counts.sent), (12, 12));
    let repetitions = &findings.protocol.repetitions;
    assert_eq!(repetitions.rows.len(), 3);
    let lengths: f64 = repetitions.rows.iter().map(|row| row.length_s).sum();
    let window = findings.run.window.value.unwrap();
    assert!((window - lengths).abs() < 1e-9, "what lies between repetitions is in no figure");
    let speed = repetitions.figure("output_tokens_per_second").unwrap();
    assert!(speed.values.iter().all(Option::is_some) && speed.interval_95.is_some());
    assert_eq!(findings.phases.iter().filter(|phase| phase.phase == Phase::Measure).count(), 3);
}

#[test]
fn generated_prompts_are_new_in_every_repetition() {
    use ai_energy_benchmarks::config::component::backend::{Api, BackendConfig};
    use ai_energy_benchmarks::config::component::scenario::{InputShapes, RANDOM_TOKENS};
    let mut config = config();
    config.scenario.dataset_name = RANDOM_TOKENS.to_owned();
    config.scenario.num_samples = None;
    config.scenario.iterations = Some(3);
    config.scenario.input_shapes = Some(InputShapes {
        sequence_length: Some(8),
        vocab_size: Some(1000),
        ..InputShapes::default()
    });
    if let BackendConfig::Vllm(vllm) = &mut config.backend {
        vllm.api = Api::Completions;
    }
    config.scenario.repetitions = Repetitions::Fixed(2);
    let records = execute(config, backend(), None);
    let mut ids: Vec<&str> = records
        .requests
        .iter()
        .filter(|request| request.phase == Phase::Measure)
        .map(|request| request.prompt_id.as_str())
        .collect();
    assert_eq!(ids.len(), 6);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 6);
}

#[test]
fn the_machine_idles_bare_where_the_model_is_loaded_here() {
    let mut config = config();
    config.scenario.idle_bare_s = Some(0.05);
    let known_elsewhere = execute(config.clone(), backend(), None);
    assert_eq!(known_elsewhere.spans(Phase::IdleBare), []);
    let account = &analysis::analyse(&known_elsewhere).energy.modelled.account;
    assert!(account.bare_power_before.reason.as_deref().unwrap().contains("loaded before"));

    let here = || ScriptedBackend { loads_here: true, ..backend() };
    let records = execute(config.clone(), here(), None);
    let (bare, load) = (records.spans(Phase::IdleBare), records.spans(Phase::Load));
    assert_eq!(bare.len(), 1);
    assert!(bare[0].to.unwrap() <= load[0].from);

    config.metrics.baseline = Baseline::Bare;
    let records = execute(config, here(), None);
    let bare = records.spans(Phase::IdleBare);
    assert_eq!(bare.len(), 2);
    let after = records.phase(Phase::IdleAfter).unwrap().1.unwrap();
    assert!(bare[1].from >= after, "after the model is gone");
}

/// Answers what it was told to.
struct Says(Result<u32, String>);

impl Judge for Says {
    fn needed(&self, folder: &Path, _: &AdaptiveRepetitions) -> Result<u32, String> {
        let so_far = RunRecords::read(folder).map_err(|error| error.to_string())?;
        assert_eq!(so_far.spans(Phase::Measure).len(), 5, "the whole first stage is on the disk");
        assert_eq!(so_far.requests.iter().filter(|r| r.phase == Phase::Measure).count(), 10);
        self.0.clone()
    }
}

fn adaptive(max: u32) -> BenchmarkConfig {
    let mut config = config();
    config.scenario.num_samples = Some(2);
    config.scenario.phase_shift_s = Some(0.0);
    config.scenario.repetitions = Repetitions::Adaptive(AdaptiveRepetitions {
        max,
        figure: RepeatedFigure::OutputTokensPerSecond,
        ..AdaptiveRepetitions::default()
    });
    config
}

#[test]
fn adaptive_repetitions_go_on_for_as_many_as_the_first_stage_asks_for() {
    for (says, max, made, code) in [
        (Ok(7), 9, 7, None),
        (Ok(5), 9, 5, None),
        (Ok(40), 6, 6, Some("repetitions_capped")),
        (Err("no reading".to_owned()), 9, 5, Some("repetitions_not_adapted")),
    ] {
        let judge: Arc<dyn Judge> = Arc::new(Says(says));
        let records = execute(adaptive(max), backend(), Some(judge));
        assert_eq!(records.spans(Phase::Measure).len(), made);
        let decided = records.events.iter().any(
            |event| matches!(event.event, Event::Repetitions { needed, .. } if needed as usize == made),
        );
        assert!(decided);
        let codes = codes(&records);
        let told = |wanted: &str| codes.iter().any(|found| found == wanted);
        assert!(code.is_none_or(told), "{codes:?}");
        assert_eq!(told("repetitions_not_adapted"), code == Some("repetitions_not_adapted"));
    }
    let unjudged = execute(adaptive(9), backend(), None);
    assert_eq!(unjudged.spans(Phase::Measure).len(), 5);
    assert!(codes(&unjudged).contains(&"repetitions_not_adapted".to_owned()));
}

#[test]
fn the_first_stage_of_a_run_tells_how_many_it_takes() {
    let judge: Arc<dyn Judge> = Arc::new(Says(Ok(5)));
    let records = execute(adaptive(9), backend(), Some(judge));
    let found = analysis::analyse(&records).protocol.repetitions;
    let needed = |figure, target| protocol::repetitions_needed(&found, figure, target);
    let cv = found.figure("output_tokens_per_second").unwrap().cv.unwrap();
    assert_eq!(needed("output_tokens_per_second", 10.0 * cv), Ok(5));
    let t = 2.776_445;
    let wanted = (t * cv / (cv / 10.0)).powi(2).ceil() as u32;
    assert_eq!(needed("output_tokens_per_second", cv / 10.0), Ok(wanted));
    assert!(needed("joules_per_furlong", 0.01).is_err());
}

#[test]
fn warm_up_goes_on_until_it_is_steady_or_the_time_is_up() {
    let mut config = config();
    config.scenario.num_samples = Some(2);
    config.scenario.load = LoadConfig::concurrency(2);
    config.scenario.warmup = WarmupMode::UntilSteady;
    // Only what happens is tested, not when it is steady: on a busy machine it may not be.
    config.scenario.steady_limits =
        SteadyLimits { window_s: 3.0, cap_s: 4.0, ..SteadyLimits::default() };
    let records = execute(config, backend(), None);
    let Some((steady, after)) = records.events.iter().find_map(|event| match event.event {
        Event::WarmedUp { steady, after_s, .. } => Some((steady, after_s)),
        _ => None,
    }) else {
        panic!("warm-up tells how it ended")
    };
    assert!(after.0 >= 3.0);
    let (from, to) = records.phase(Phase::Warmup).unwrap();
    assert!(to.unwrap().since(from) >= after);
    let sent = records.requests.iter().filter(|request| request.phase == Phase::Warmup).count();
    assert!(sent > 100, "requests go on meanwhile: {sent}");
    assert_eq!(codes(&records).contains(&"warmup_not_steady".to_owned()), !steady);
    let warm_up = analysis::analyse(&records).protocol.warm_up.unwrap();
    assert_eq!(warm_up.steady, steady);
}

#[test]
fn processor_time_is_recorded_around_every_phase() {
    let records =
        execute(config(), ScriptedBackend { pids: vec![std::process::id()], ..backend() }, None);
    let looks = records.events.iter().filter(|event| matches!(event.event, Event::CpuTime { .. }));
    assert_eq!(looks.count(), 8, "before and after four phases");
    let findings: Findings = analysis::analyse(&records);
    let share = findings.protocol.foreign_processor_share;
    assert!(share.value.is_some_and(|share| (0.0..=1.0).contains(&share)), "{share:?}");
}
