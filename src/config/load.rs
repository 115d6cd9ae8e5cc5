//! From a YAML file and changes to it to a typed config; every problem with its place.

use std::path::{Path, PathBuf};

use hydra_compose::app::{Job, SweepPlan};
use hydra_compose::{
    Error, ErrorKind, Errors, Key, KeyKind, Map, Node, Origin, Value, from_node, to_yaml,
};
use serde::Deserialize;

use super::component::backend::BackendConfig;
use super::component::metrics::MetricsConfig;
use super::component::reporter::ReporterConfig;
use super::component::scenario::ScenarioConfig;
use super::compose::{Composer, JOB_NAME, Reading, Source, SweepFolder, is_dated_folder, plain};
use super::optimum::key_of;
use super::redact::{is_secret_key, redact_text};
use super::{BenchmarkConfig, DEFAULT_OUTPUT_DIR, Environment, Note, meters};
use crate::error::{Problem, Problems, nearest};

/// A config, and how it came to be.
#[derive(Debug, Clone)]
pub struct LoadedConfig {
    /// The config.
    pub config: BenchmarkConfig,
    /// Where its run lies.
    pub place: Place,
    /// The variables that the run sees.
    pub environment: Environment,
    /// What is done otherwise than the program would do it that the config was written for.
    pub notes: Vec<Note>,
    /// What was written, changes applied, nothing interpolated.
    written: Node,
    /// The same of Hydra's own settings.
    hydra: Node,
    overrides: Vec<String>,
}

/// Where a run lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The run folder.
    pub output_dir: PathBuf,
    /// Nobody chose the folder, so no earlier run is continued in it.
    pub is_new: bool,
    /// The folder that relative paths of outputs start from.
    pub working_dir: PathBuf,
    /// Name of the folder in the run folder for what Hydra keeps; without one nothing is kept.
    pub hydra_subdir: Option<PathBuf>,
    /// Name of the log file in the run folder.
    pub log_file: PathBuf,
}

/// Reads a config file, applies changes (`key=value`, `+key=value`, `++key=value`, `~key`), resolves
/// interpolations and fits the result into its types.
///
/// # Errors
/// All problems at once: each with its file, line and column, or the change that made it.
pub fn load(path: &Path, overrides: &[String]) -> Result<LoadedConfig, Problems> {
    let environment = Environment::default();
    let source = Source::File(path.to_owned());
    let composer = Composer::new(&source, Reading::Auto, overrides, &environment)?;
    let mut jobs = composer.jobs(false)?;
    match (jobs.jobs.pop(), jobs.jobs.is_empty()) {
        (Some(job), true) => Ok(job),
        _ => {
            let message = "hydra.mode makes it a sweep, and one config is wanted";
            Err(Problem::new(path.display().to_string(), message).hint("add hydra.mode=RUN").into())
        }
    }
}

impl LoadedConfig {
    /// Resolves a job's config and fits it into its types with `fit`.
    pub(super) fn of(
        job: &Job,
        environment: &Environment,
        name: Option<&str>,
        fit: impl FnOnce(Node) -> Result<(BenchmarkConfig, Vec<Note>), Problems>,
    ) -> Result<Self, Problems> {
        // Hydra's own settings are kept as written.
        let resolved = job.resolved(environment).map_err(|errors| problems(&errors))?;
        let (mut config, notes) = fit(resolved).map_err(|found| located(&job.config, found))?;
        if config.name.is_empty() {
            name.unwrap_or_default().clone_into(&mut config.name);
        }
        Ok(Self {
            config,
            place: Place::of(job),
            environment: environment.and(job.env_set.iter().cloned()),
            notes,
            written: job.config.clone(),
            hydra: job.hydra.clone(),
            overrides: job.overrides.clone(),
        })
    }

    /// A config that Hydra had no part in.
    pub(super) fn plain(
        config: BenchmarkConfig,
        notes: Vec<Note>,
        written: Node,
        overrides: &[String],
    ) -> Self {
        Self {
            place: Place::plain(&config),
            config,
            environment: Environment::default(),
            notes,
            written,
            hydra: Node::in_memory(Value::Null),
            overrides: overrides.to_vec(),
        }
    }

    /// Where a sweep lies, and what is kept of it. Without secrets.
    pub(super) fn sweep_folder(plan: &SweepPlan) -> SweepFolder {
        let task = plan.master.config.at("hydra.overrides.task").and_then(Node::as_list);
        let texts: Vec<String> =
            task.unwrap_or_default().iter().filter_map(Node::as_str).map(str::to_owned).collect();
        let mut node = plan.master.config.clone();
        Hidden::of(&texts).hide(&mut node);
        SweepFolder { dir: plan.dir.clone(), multirun_yaml: to_yaml(&node) }
    }

    /// The changes that made it: of a cell, those of the cell.
    #[must_use]
    pub fn overrides(&self) -> &[String] {
        &self.overrides
    }

    /// The same to be shown: without secrets.
    #[must_use]
    pub fn shown_overrides(&self) -> Vec<String> {
        let hidden = Hidden::of(&self.overrides);
        self.overrides.iter().map(|text| hidden.hide_in(text)).collect()
    }

    /// What Hydra keeps of a run, as files of the run folder: the config as written, its own settings,
    /// and the changes. Without secrets.
    #[must_use]
    pub fn hydra_files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let Some(subdir) = &self.place.hydra_subdir else { return Vec::new() };
        let hidden = Hidden::of(&self.overrides);
        let shown = |node: &Node| {
            let mut node = node.clone();
            hidden.hide(&mut node);
            to_yaml(&node).into_bytes()
        };
        let overrides = self.overrides.iter().map(|text| Node::in_memory(Value::Str(text.clone())));
        let overrides = Node::in_memory(Value::List(overrides.collect()));
        let hydra = Node::in_memory(Value::Map(Map::from_iter([(
            Key::new(KeyKind::Str("hydra".to_owned()), Origin::memory()),
            self.hydra.clone(),
        )])));
        let file = |name: &str, node: &Node| (subdir.join(name), shown(node));
        let mut files = vec![file("config.yaml", &self.written)];
        if self.hydra.as_map().is_some() {
            files.push(file("hydra.yaml", &hydra));
        }
        files.push(file("overrides.yaml", &overrides));
        files
    }

    /// The same problems with file, line and column, where their place is a key that was written.
    #[must_use]
    pub fn locate(&self, problems: Problems) -> Problems {
        located(&self.written, problems)
    }
}

impl Place {
    /// Ours, dated: `<output_dir>/<name>/<date>/<time>`.
    fn plain(config: &BenchmarkConfig) -> Self {
        let now = jiff::ZonedDateTime::now();
        let dated = now.strftime("%Y-%m-%d/%H-%M-%S").to_string();
        Self {
            output_dir: Path::new(&config.output_dir).join(plain(&config.name)).join(dated),
            is_new: true,
            working_dir: PathBuf::new(),
            hydra_subdir: Some(PathBuf::from(".hydra")),
            log_file: PathBuf::from(format!("{JOB_NAME}.log")),
        }
    }

    fn of(job: &Job) -> Self {
        let dated = |key: &str| job.hydra.at(key).is_some_and(is_dated_folder);
        let inside = |path: &Path| path.strip_prefix(&job.output_dir).ok().map(Path::to_path_buf);
        Self {
            output_dir: job.output_dir.clone(),
            is_new: dated(if job.num.is_some() { "sweep.dir" } else { "run.dir" }),
            working_dir: job.working_dir.clone(),
            hydra_subdir: job.hydra_dir.as_deref().and_then(inside),
            log_file: PathBuf::from(format!("{}.log", job.name)),
        }
    }
}

/// Problems whose place is a key that was written, with file, line and column.
pub(super) fn located(written: &Node, problems: Problems) -> Problems {
    let placed = problems.0.into_iter().map(|problem| {
        let origin = written.span_of(&problem.place);
        let origin = origin.or_else(|| written.span_of(key_of(&problem.place)));
        // A default that nobody wrote has no place that would help.
        match origin.filter(|origin| origin.span().is_some() || origin.override_text().is_some()) {
            Some(origin) => at(origin, problem),
            None => problem,
        }
    });
    Problems(placed.collect())
}

pub(super) fn at(origin: &Origin, problem: Problem) -> Problem {
    let message = format!("{}: {}", problem.place, problem.message);
    let error = Error::new(ErrorKind::Custom(message), origin.clone());
    Problem { hint: problem.hint, ..to_problem(&error) }
}

/// Everything but the backend and the meters, whose types are chosen by a key of their own.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Rest {
    name: String,
    scenario: ScenarioConfig,
    metrics: MetricsConfig,
    reporter: ReporterConfig,
    output_dir: String,
}

impl Default for Rest {
    fn default() -> Self {
        Self {
            name: String::new(),
            scenario: ScenarioConfig::default(),
            metrics: MetricsConfig::default(),
            reporter: ReporterConfig::default(),
            output_dir: DEFAULT_OUTPUT_DIR.to_owned(),
        }
    }
}

/// Fits a resolved config of ours into its types.
pub(super) fn typed(mut root: Node) -> Result<BenchmarkConfig, Problems> {
    let backend = root.as_map_mut().and_then(|map| map.remove("backend"));
    let mut found = Problems::default();
    let meter = root.as_map_mut().and_then(|map| map.remove("meter"));
    let meter = meters::typed(meter).map_err(|errors| found.0.extend(errors.0));
    let rest = from_node::<Rest>(&root).map_err(|errors| found.0.extend(problems(&errors).0));
    let backend = match backend {
        Some(node) => typed_backend(node).map_err(|errors| found.0.extend(errors.0)),
        None => {
            let problem = Problem::new("backend", "is missing")
                .hint(format!("say who answers: backend.type is one of {}", kinds()));
            found.push(problem);
            Err(())
        }
    };
    let (Ok(rest), Ok(backend), Ok(meter)) = (rest, backend, meter) else { return Err(found) };
    Ok(BenchmarkConfig {
        name: rest.name,
        backend,
        scenario: rest.scenario,
        metrics: rest.metrics,
        meter,
        reporter: rest.reporter,
        output_dir: rest.output_dir,
    })
}

fn typed_backend(mut node: Node) -> Result<BackendConfig, Problems> {
    let origin = node.origin.clone();
    let chosen = node.as_map_mut().and_then(|map| map.remove("type"));
    let kind = chosen.as_ref().and_then(Node::as_str);
    let read = match kind {
        Some("candle") => from_node(&node).map(BackendConfig::Candle),
        Some("vllm") => from_node(&node).map(BackendConfig::Vllm),
        Some("pytorch") => from_node(&node).map(BackendConfig::Pytorch),
        _ => {
            return Err(unknown_backend(
                kind,
                chosen.as_ref().map_or(&origin, |node| &node.origin),
            ));
        }
    };
    read.map_err(|errors| {
        let placed = errors.iter().map(|error| {
            let path = error.path().map_or("backend".to_owned(), |path| format!("backend.{path}"));
            to_problem(&error.clone().with_path(path))
        });
        Problems(placed.collect())
    })
}

fn unknown_backend(kind: Option<&str>, origin: &Origin) -> Problems {
    let (message, hint) = match kind {
        Some(kind) => (
            format!("{kind:?} is not a backend"),
            match nearest(kind, BackendConfig::KINDS) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("one of {}", kinds()),
            },
        ),
        None => ("is missing".to_owned(), format!("one of {}", kinds())),
    };
    at(origin, Problem::new("backend.type", message).hint(hint)).into()
}

fn kinds() -> String {
    BackendConfig::KINDS.join(", ")
}

pub(super) fn problems(errors: &Errors) -> Problems {
    Problems(errors.iter().map(to_problem).collect())
}

pub(super) fn to_problem(error: &Error) -> Problem {
    let mut message = match error.path() {
        Some(path) => format!("{path}: {}", error.message()),
        None => error.message(),
    };
    if let Some(snippet) = error.snippet() {
        message = format!("{message}\n{snippet}");
    }
    Problem { place: error.origin().to_string(), message, hint: error.hint().map(str::to_owned) }
}

/// The secrets that changes brought; Hydra writes the changes in several places.
struct Hidden {
    values: Vec<String>,
}

impl Hidden {
    fn of(overrides: &[String]) -> Self {
        let secret = overrides.iter().filter_map(|text| text.split_once('='));
        let secret = secret.filter(|(key, value)| is_secret_key(key) && !value.is_empty());
        Self { values: secret.map(|(_, value)| value.to_owned()).collect() }
    }

    fn hide(&self, node: &mut Node) {
        match &mut node.value {
            Value::Map(map) => {
                for (key, child) in map.iter_mut() {
                    let kept = matches!(child.value, Value::Null | Value::Interpolation(_));
                    if key.as_str().is_some_and(is_secret_key) && !kept {
                        child.value = Value::Str("***".to_owned());
                    } else {
                        self.hide(child);
                    }
                }
            }
            Value::List(items) => items.iter_mut().for_each(|item| self.hide(item)),
            Value::Str(text) => *text = self.hide_in(text),
            _ => {}
        }
    }

    fn hide_in(&self, text: &str) -> String {
        let text = redact_text(text);
        self.values.iter().fold(text, |text, value| text.replace(value.as_str(), "***"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::component::backend::Api;

    fn load_text(text: &str, overrides: &[&str]) -> Result<LoadedConfig, Problems> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my_run.yaml");
        std::fs::write(&path, text).unwrap();
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        load(&path, &overrides)
    }

    const PROOF_OF_CONCEPT: &str = "
name: tiny_llama_vllm
backend: {type: vllm, device: cpu, device_ids: [0], model: tiny-llama, task: text-generation, endpoint: 'http://127.0.0.1:8001/v1'}
scenario:
  dataset_name: ds
  text_column_name: text
  num_samples: 5
  truncation: true
  reasoning: false
  reasoning_params: null
  input_shapes: {batch_size: 1}
  generate_kwargs: {max_new_tokens: 64, min_new_tokens: 50}
metrics: {type: codecarbon, enabled: true, project_name: tiny, output_dir: ./emissions, country_iso_code: USA, region: null}
reporter: {type: csv, output_file: ./results/vllm.csv}
output_dir: ./benchmark_output
";

    #[test]
    fn a_config_of_the_proof_of_concept_reads_unchanged() {
        let config = load_text(PROOF_OF_CONCEPT, &[]).unwrap().config;
        let BackendConfig::Vllm(vllm) = &config.backend else { panic!("vllm") };
        assert_eq!(vllm.endpoint, "http://127.0.0.1:8001/v1");
        assert_eq!(vllm.api, Api::Chat);
        assert_eq!(config.scenario.generate_kwargs.min_new_tokens, Some(50));
        assert_eq!(config.reporter.output_file.as_deref(), Some("./results/vllm.csv"));
    }

    #[test]
    fn changes_may_set_keys_that_the_file_leaves_out() {
        let changes = ["backend.api=completions", "scenario.num_samples=3", "backend.model='a/b'"];
        let config = load_text(PROOF_OF_CONCEPT, &changes).unwrap().config;
        assert_eq!(config.scenario.num_samples, Some(3));
        assert_eq!(config.backend.model(), "a/b");
    }

    #[test]
    fn every_wrong_key_and_value_is_told_with_its_place_and_a_hint() {
        let text = "backend: {type: vllm, modle: x}\nscenario:\n  num_sample: 3\n  idle_s: soon\n";
        let problems = load_text(text, &["metrics.pue=high"]).unwrap_err();
        let shown = problems.to_string();
        assert_eq!(problems.0.len(), 4, "{shown}");
        for part in ["modle", "model", ":3:3", "num_samples", ":4:", "metrics.pue=high"] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
    }

    #[test]
    fn an_unknown_backend_names_the_known_ones() {
        let shown = load_text("backend: {type: vlm}\n", &[]).unwrap_err().to_string();
        assert!(shown.contains("did you mean vllm?"), "{shown}");
    }

    #[test]
    fn a_config_without_a_name_takes_the_files() {
        let loaded = load_text("backend: {type: candle, model: m}\n", &[]).unwrap();
        assert_eq!(loaded.config.name, "my_run");
    }

    #[test]
    fn what_hydra_keeps_holds_no_secret() {
        let text = "backend:\n  type: vllm\n  model: m\n  endpoint: http://u:hunter2@h\n  extra_body: {api_key: sk-1}\n";
        let loaded = load_text(text, &["+backend.extra_body.x_token=sk-2"]).unwrap();
        for (path, bytes) in loaded.hydra_files() {
            let text = String::from_utf8(bytes).unwrap();
            for secret in ["hunter2", "sk-1", "sk-2"] {
                assert!(!text.contains(secret), "{secret} in {}: {text}", path.display());
            }
        }
    }

    #[test]
    fn problems_found_later_are_located_too() {
        let loaded =
            load_text("backend: {type: candle, model: m}\nscenario:\n  num_samples: 0\n", &[]);
        let loaded = loaded.unwrap();
        let problems = loaded.locate(super::super::check(&loaded.config));
        assert!(problems.0[0].place.ends_with("my_run.yaml:3:16"), "{problems}");
    }
}
