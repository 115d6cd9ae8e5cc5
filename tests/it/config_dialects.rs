//! Configs of optimum-benchmark's and AIEnergyScore's shape, from files to a config of ours.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ai_energy_benchmarks::config::component::backend::{Api, BackendConfig, VllmConfig};
use ai_energy_benchmarks::config::component::metrics::DeviceIsolation;
use ai_energy_benchmarks::config::{
    Composer, Environment, LoadedConfig, Reading, Source, aienergyscore, check,
};
use ai_energy_benchmarks::error::Problems;
use tempfile::TempDir;

const BASE: &str = "
print_report: true
hydra:
  run: {dir: 'made/${name}'}
  job: {chdir: true, env_set: {SOME_VARIABLE: 1}}
";

const ENERGY_STAR: &str = "
defaults:
  - benchmark
  - backend: vllm
  - launcher: process
  - scenario: energy_star
  - _base_
  - _self_

name: stars
launcher: {device_isolation: true, device_isolation_action: error}
backend: {device: 'cuda:1', task: text-generation, model: org/model, no_weights: true}
scenario:
  dataset_name: org/prompts
  num_samples: -1
  input_shapes: {batch_size: 1}
  generate_kwargs: {max_new_tokens: 12}
";

const INFERENCE: &str = "
defaults:
  - benchmark
  - scenario: inference
  - launcher: process
  - backend: pytorch
  - _base_
  - _self_
name: shapes
backend: {device: cuda, device_ids: 0, model: org/model, task: text-generation, torch_dtype: float16, no_weights: true}
scenario:
  iterations: 5
  duration: 3
  input_shapes: {batch_size: 4, sequence_length: 64}
  generate_kwargs: {max_new_tokens: 32, min_new_tokens: 32}
";

struct Folder(TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Loads a config by its name, with variables over the process's.
    fn load(
        &self,
        name: &str,
        overrides: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<LoadedConfig, Problems> {
        let environment = environment(variables);
        let source =
            Source::Named { folder: Some(self.path().to_owned()), name: Some(name.to_owned()) };
        let overrides = owned(overrides);
        let composer = Composer::new(&source, Reading::Auto, &overrides, &environment)?;
        Ok(composer.jobs(false)?.jobs.remove(0))
    }
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    // Set to nothing first: what the tests' own environment holds must not count.
    let names = ["VLLM_ENDPOINT", "BENCHMARK_BACKEND", "RESULTS_DIR", "COUNTRY_ISO_CODE"];
    let mut set: BTreeMap<String, String> =
        names.into_iter().map(|name| (name.to_owned(), String::new())).collect();
    set.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    Environment::with(set)
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn optimum() -> Folder {
    Folder::new(&[("_base_.yaml", BASE), ("stars.yaml", ENERGY_STAR), ("shapes.yaml", INFERENCE)])
}

fn vllm(loaded: &LoadedConfig) -> &VllmConfig {
    let BackendConfig::Vllm(vllm) = &loaded.config.backend else {
        panic!("{:?}", loaded.config.backend)
    };
    vllm
}

fn notes(loaded: &LoadedConfig) -> Vec<&str> {
    loaded.notes.iter().map(|note| note.key.as_str()).collect()
}

#[test]
fn an_energy_star_config_runs_against_a_server_from_the_environment() {
    let server = [("VLLM_ENDPOINT", "http://localhost:8001"), ("COUNTRY_ISO_CODE", "FRA")];
    let loaded = optimum().load("stars", &[], &server).unwrap();
    let backend = vllm(&loaded);
    assert_eq!(backend.endpoint, "http://localhost:8001");
    assert_eq!((backend.api, backend.no_weights), (Api::Completions, true));
    assert_eq!(backend.device.as_deref(), Some("cuda"));
    assert_eq!(backend.device_ids.as_ref().unwrap().0, ["1"]);
    let config = &loaded.config;
    assert_eq!(config.name, "stars");
    assert_eq!(config.metrics.device_isolation, Some(DeviceIsolation::Error));
    assert_eq!(config.metrics.country_iso_code.as_deref(), Some("FRA"));
    assert_eq!((config.scenario.warmup_rounds, config.scenario.warmup_runs), (1, 10));
    assert_eq!(config.scenario.num_samples, Some(-1));
    assert_eq!(config.scenario.generate_kwargs.max_new_tokens, 12);
    assert_eq!(config.scenario.generate_kwargs.min_new_tokens, Some(12));
    for key in
        ["scenario.num_samples", "scenario.generate_kwargs.min_new_tokens", "backend.no_weights"]
    {
        assert!(notes(&loaded).contains(&key), "{key} in {:?}", loaded.notes);
    }
    assert_eq!(check(config).0, []);
}

#[test]
fn a_server_may_be_named_by_a_change_and_without_one_the_way_is_told() {
    let folder = optimum();
    let loaded = folder.load("stars", &["+backend.endpoint=http://h:1"], &[]).unwrap();
    assert_eq!(vllm(&loaded).endpoint, "http://h:1");
    let problems = folder.load("stars", &[], &[]).unwrap_err();
    assert_eq!(problems.0.len(), 1, "{problems}");
    assert!(problems.to_string().contains("+backend.endpoint="), "{problems}");
}

#[test]
fn an_inference_config_asks_for_generated_prompts_in_rounds() {
    let loaded = optimum().load("shapes", &["backend.seed=7"], &[]).unwrap();
    let BackendConfig::Pytorch(pytorch) = &loaded.config.backend else { panic!("pytorch") };
    assert_eq!((pytorch.no_weights, pytorch.torch_dtype.as_deref()), (true, Some("float16")));
    let scenario = &loaded.config.scenario;
    let shapes = scenario.input_shapes.clone().unwrap();
    assert!(scenario.is_random());
    assert_eq!(
        (shapes.batch_size, shapes.sequence_length, shapes.seed),
        (Some(4), Some(64), Some(7))
    );
    assert_eq!((scenario.iterations, scenario.duration_s), (Some(5), Some(3.0)));
    // The only thing in the way is that the backend is not built.
    let places: Vec<String> =
        check(&loaded.config).0.into_iter().map(|problem| problem.place).collect();
    assert_eq!(places, ["backend.type"]);
    let placed = loaded.locate(check(&loaded.config));
    assert!(placed.0[0].message.contains("not built yet"), "{placed}");
}

#[test]
fn what_is_not_run_is_refused_by_name_all_at_once_with_places() {
    let folder = optimum();
    let changes = [
        "backend.torch_compile=true",
        "+backend.quantization_config.load_in_4bit=true",
        "backend.device=mps",
        "launcher=torchrun",
        "scenario.generate_kwargs.min_new_tokens=1",
        "+scenario.generate_kwargs.num_beams=4",
        "+backend.modle=x",
    ];
    let shown = folder.load("shapes", &changes, &[]).unwrap_err().to_string();
    for part in [
        "not run by this tool: torch.compile",
        "not run by this tool: quantization",
        "not run by this tool: device mps",
        "not run by this tool: launcher torchrun with 2 processes",
        "not run by this tool: num_beams 4",
        "different values results in non-deterministic behavior",
        "did you mean model?",
        "backend.device=mps",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let training = folder.load(
        "shapes",
        &[
            "scenario=training",
            "~scenario.iterations",
            "~scenario.duration",
            "~scenario.input_shapes",
            "~scenario.generate_kwargs",
        ],
        &[],
    );
    // The file's own keys do not fit the other schema: Hydra says so first.
    assert!(training.unwrap_err().to_string().contains("scenario_training"));
}

#[test]
fn other_engines_and_scenarios_are_refused_by_name() {
    let text = "defaults: [benchmark, {backend: openvino}, {launcher: inline}, {scenario: training}, _self_]\nname: x\nbackend: {model: m}\n";
    let folder = Folder::new(&[("other.yaml", text)]);
    let shown = folder.load("other", &[], &[]).unwrap_err().to_string();
    assert!(shown.contains("not run by this tool: backend openvino"), "{shown}");
    assert!(shown.contains("not run by this tool: scenario training"), "{shown}");
}

#[test]
fn without_a_task_what_only_other_tasks_have_is_refused() {
    // Without generate_kwargs the calls are a pipeline's.
    let pictures =
        INFERENCE.replace("  generate_kwargs: {max_new_tokens: 32, min_new_tokens: 32}\n", "");
    let folder = Folder::new(&[("_base_.yaml", BASE), ("pictures.yaml", &pictures)]);
    let changes =
        ["backend.task=null", "+scenario.call_kwargs.steps=4", "+scenario.input_shapes.height=8"];
    let shown = folder.load("pictures", &changes, &[]).unwrap_err().to_string();
    for part in ["generating images", "image inputs", "backend.task=text-generation"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let shared = optimum().load("shapes", &changes[..2], &[]).unwrap();
    assert_eq!(notes(&shared), ["backend.task", "scenario.call_kwargs"]);
    let told = optimum().load("shapes", &changes[1..], &[]).unwrap();
    assert_eq!(notes(&told), ["scenario.input_shapes.height", "scenario.call_kwargs"]);
}

#[test]
fn a_benchmark_file_of_ones_own_is_no_config_of_optimum_benchmark() {
    let folder = Folder::new(&[
        ("benchmark.yaml", "backend: {type: candle, model: m, no_weights: true}\n"),
        ("mine.yaml", "defaults: [benchmark, _self_]\nname: '${NOT_SET_ANYWHERE:-mine}'\n"),
    ]);
    let loaded = folder.load("mine", &[], &[]).unwrap();
    assert_eq!((loaded.config.name.as_str(), loaded.config.backend.kind()), ("mine", "candle"));
}

const WRAPPER: &str = "
defaults: [benchmark, {backend: pytorch}, no_such_file]
name: score
launcher: {device_isolation: false}
backend: {device: cuda, device_ids: '0, 1, 2', model: org/model, task: text-generation, device_map: auto}
scenario: {dataset_name: org/prompts, text_column_name: text, num_samples: 1000, truncation: true, input_shapes: {batch_size: 1}}
";

fn wrapper(changes: &[&str], variables: &[(&str, &str)]) -> Result<LoadedConfig, Problems> {
    let folder = Folder::new(&[("score.yaml", WRAPPER)]);
    let folders: Vec<PathBuf> = vec!["/nonexistent".into(), folder.path().to_owned()];
    aienergyscore::load("score", &folders, &owned(changes), &environment(variables))
}

#[test]
fn the_wrappers_dialect_leaves_defaults_aside_and_sets_any_key() {
    let server =
        [("BENCHMARK_BACKEND", "vllm"), ("VLLM_ENDPOINT", "http://h:1"), ("RESULTS_DIR", "/tmp/r")];
    let loaded = wrapper(&["scenario.num_samples=10", "backend.api=completions"], &server).unwrap();
    assert_eq!(
        (vllm(&loaded).endpoint.as_str(), vllm(&loaded).api),
        ("http://h:1", Api::Completions)
    );
    assert_eq!(vllm(&loaded).device_ids.as_ref().unwrap().0, ["0", "1", "2"]);
    let config = &loaded.config;
    assert_eq!(config.scenario.num_samples, Some(10));
    assert_eq!(config.scenario.generate_kwargs.max_new_tokens, 10);
    assert_eq!(config.output_dir, "/tmp/r");
    assert_eq!(config.reporter.output_file.as_deref(), Some("/tmp/r/benchmark_results.csv"));
    assert_eq!(config.metrics.region.as_deref(), Some("california"));
    assert!(config.metrics.skip_missing_gpus);
    assert_eq!(notes(&loaded), ["backend.device_map", "launcher"]);
    assert_eq!(check(config).0, []);
}

#[test]
fn values_of_changes_are_values_and_not_texts() {
    let server = [("VLLM_ENDPOINT", "http://h:1")];
    let on = [
        "backend.type=vllm",
        "scenario.reasoning=true",
        "scenario.reasoning_params.reasoning_effort=high",
    ];
    let loaded = wrapper(&on, &server).unwrap();
    assert!(loaded.config.scenario.reasoning.is_on());
    assert_eq!(loaded.config.scenario.generate_kwargs.max_new_tokens, 8192);
    for off in [
        "scenario.reasoning=false",
        "scenario.reasoning_params.enable_thinking=false",
        "scenario.reasoning_params.reasoning_effort=off",
    ] {
        let loaded = wrapper(&[&on[..], &[off]].concat(), &server).unwrap();
        assert!(!loaded.config.scenario.reasoning.is_on(), "{off}");
        assert_eq!(loaded.config.scenario.generate_kwargs.max_new_tokens, 10, "{off}");
    }
}

#[test]
fn every_problem_of_the_wrappers_dialect_is_told() {
    let problems = wrapper(&["backend.type=vllm"], &[]).unwrap_err().to_string();
    assert!(problems.contains("VLLM_ENDPOINT"), "{problems}");
    let problems = wrapper(&["name.x=1", "nonsense"], &[]).unwrap_err();
    assert_eq!(problems.0.len(), 2, "{problems}");
    let missing =
        aienergyscore::load("nope", &[PathBuf::from("/nonexistent")], &[], &environment(&[]));
    assert!(missing.unwrap_err().to_string().contains("/nonexistent/nope.yaml"));
}
