//! Prompts of an exact number of tokens, from config to findings, with a scripted backend for which each word is a token.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ai_energy_benchmarks::analysis::{self, Findings};
use ai_energy_benchmarks::backend::GenerateRequest;
use ai_energy_benchmarks::config::component::workload::{
    Counted, Distribution, Length, SyntheticConfig,
};
use ai_energy_benchmarks::config::{BenchmarkConfig, Environment};
use ai_energy_benchmarks::record::RunRecords;
use ai_energy_benchmarks::registry::Registry;
use ai_energy_benchmarks::run::{self, Folder, Options, RunError, Silent};
use ai_energy_benchmarks_testkit::backend::ScriptedBackend;

fn synthetic(synthetic: SyntheticConfig) -> BenchmarkConfig {
    let mut config = crate::run::config();
    config.scenario.dataset_name = "synthetic".to_owned();
    config.scenario.synthetic = Some(synthetic);
    config.scenario.idle_s = 0.0;
    config
}

fn run(
    config: BenchmarkConfig,
    backend: ScriptedBackend,
) -> Result<(Findings, Vec<GenerateRequest>), RunError> {
    let backend = Arc::new(backend);
    let mut prepared =
        run::prepare(config, &Registry::with_defaults(), &Environment::default()).unwrap();
    prepared.backend = Arc::clone(&backend) as _;
    let base = tempfile::tempdir().unwrap();
    let options = Options {
        folder: Folder::New(base.path().join("run")),
        observer: Arc::new(Silent),
        files: Vec::new(),
        git_commit: None,
        judge: None,
    };
    let end = run::execute(prepared, options)?;
    let records = RunRecords::read(&end.folder).unwrap();
    let asked = backend.requests.lock().unwrap().clone();
    Ok((analysis::analyse(&records), asked))
}

fn answers(tokens: u64) -> ScriptedBackend {
    ScriptedBackend {
        template_tokens: Some(9),
        ..ScriptedBackend::steady(tokens, Duration::from_micros(10))
    }
}

fn codes(findings: &Findings) -> Vec<&str> {
    findings.warnings.iter().map(|warning| warning.code.as_str()).collect()
}

fn words(request: &GenerateRequest) -> usize {
    request.prompt.text().split(' ').count()
}

#[test]
fn prompts_and_answers_have_the_length_that_was_asked() {
    let config = synthetic(SyntheticConfig {
        input_tokens: Some(Length::Exactly(40)),
        output_tokens: Some(Length::Exactly(6)),
        ..SyntheticConfig::default()
    });
    let (findings, asked) = run(config, answers(6)).unwrap();
    assert_eq!(asked.len(), 11, "with one of warm-up");
    assert!(asked.iter().all(|request| words(request) == 40));
    assert!(asked.iter().all(|request| request.params.max_new_tokens == 6));
    assert!(asked.iter().all(|request| request.params.min_new_tokens == Some(6)));
    let texts: BTreeSet<String> = asked.iter().map(|request| request.prompt.text()).collect();
    assert_eq!(texts.len(), 11);
    let workload = findings.workload.as_ref().unwrap();
    let prompt = workload.prompt_tokens.as_ref().unwrap();
    assert_eq!((prompt.requests, prompt.differ, prompt.difference_max), (10, 0, 0));
    assert!((prompt.delivered_mean - 49.0).abs() < 1e-9);
    assert_eq!(workload.output_tokens.as_ref().unwrap().differ, 0);
    assert_eq!(workload.output_fixed, 10);
    assert!(
        !codes(&findings).iter().any(|code| code.ends_with("_differ")),
        "{:?}",
        codes(&findings)
    );
    assert!(findings.dataset.origin.contains("template and special tokens are 9 on top"));
}

#[test]
fn lengths_may_be_drawn_and_count_the_whole_request() {
    let config = synthetic(SyntheticConfig {
        input_tokens: Some(Length::Drawn(Distribution::Uniform { min: 20, max: 30 })),
        output_tokens: Some(Length::Drawn(Distribution::Uniform { min: 1, max: 90 })),
        count: Counted::Request,
        ..SyntheticConfig::default()
    });
    let (findings, asked) = run(config, answers(3)).unwrap();
    assert!(asked.iter().all(|request| (11..=21).contains(&words(request))));
    let lengths: BTreeSet<u32> =
        asked.iter().map(|request| request.params.max_new_tokens).collect();
    assert!(lengths.len() > 3, "{lengths:?}");
    let workload = findings.workload.as_ref().unwrap();
    assert_eq!(workload.prompt_tokens.as_ref().unwrap().differ, 0);
    assert!(workload.output_tokens.as_ref().unwrap().difference_min < 0);
    assert!(codes(&findings).contains(&"output_tokens_differ"));
}

#[test]
fn a_length_that_may_be_missed_is_a_limit() {
    let mut config = synthetic(SyntheticConfig {
        input_tokens: Some(Length::Exactly(8)),
        output_tokens: Some(Length::Exactly(50)),
        ..SyntheticConfig::default()
    });
    config.scenario.generate_kwargs.ignore_eos = Some(false);
    let (findings, asked) = run(config, answers(3)).unwrap();
    assert!(asked.iter().all(|request| request.params.min_new_tokens.is_none()));
    assert_eq!(findings.workload.as_ref().unwrap().output_fixed, 0);
    let told = findings.warnings.iter().find(|one| one.code == "output_tokens_differ").unwrap();
    assert!(told.message.contains("only a limit"), "{}", told.message);
}

#[test]
fn a_backend_that_does_not_count_is_told_before_anything_is_sent() {
    let config = synthetic(SyntheticConfig {
        input_tokens: Some(Length::Exactly(8)),
        ..SyntheticConfig::default()
    });
    let error = run(config, ScriptedBackend::steady(1, Duration::ZERO)).map(|_| ()).unwrap_err();
    let problem = error.problem();
    assert_eq!(problem.place, "scenario.dataset_name");
    assert!(problem.message.contains("/tokenize"), "{}", problem.message);
}
