//! Looks at everything a run needs, before anything is sent; every problem at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::{Lent, host};
use crate::backend::Backend;
use crate::carbon;
use crate::config::codecarbon::{self, Applied};
use crate::config::component::backend::{Api, BackendConfig};
use crate::config::component::load::{LoadConfig, PromptsOf};
use crate::config::component::metrics::MetricsConfig;
use crate::config::component::scenario::ScenarioConfig;
use crate::config::{BenchmarkConfig, Environment, Note};
use crate::dataset::hub::HubEnv;
use crate::dataset::trace::{self, Trace, TracePrompts};
use crate::dataset::words::Words;
use crate::dataset::{self, Generate, Generator, Prompts, Stock, Vocabulary};
use crate::error::{Problem, Problems};
use crate::load::Loads;
use crate::meter::calibration::{self, Calibrations};
use crate::meter::{self, Inventory, OpenRequest};
use crate::plan::{Plan, Supply};
use crate::record::reference::Gain;
use crate::record::{
    BackendInfo, CarbonBasis, DatasetInfo, HostInfo, SensorInfo, SettingOrigin, Source, Warning,
};
use crate::registry::Registry;
use crate::units::Seconds;

/// A run that can begin.
pub struct Prepared {
    /// The config.
    pub config: BenchmarkConfig,
    /// What will be done.
    pub plan: Plan,
    /// The loads that can be opened.
    pub loads: Loads,
    /// The prompts.
    pub prompts: Prompts,
    /// What makes them and of what, where they are made: again when the backend has told what it knows of that.
    pub generator: Option<(Generator, Stock)>,
    /// The trace whose prompts they are, and the seed of those that are made of lengths.
    pub trace: Option<(Arc<Trace>, u64)>,
    /// Where they came from.
    pub dataset: DatasetInfo,
    /// Who answers.
    pub backend: Arc<dyn Backend>,
    /// Meters with their sensors.
    pub inventory: Inventory,
    /// What emissions are computed with.
    pub carbon: CarbonBasis,
    /// The variables that the job sees.
    pub environment: Environment,
    /// The machine.
    pub host: HostInfo,
    /// Gains of its sensors, known from earlier runs.
    pub gains: Vec<Gain>,
    /// Known before the first request.
    pub warnings: Vec<Warning>,
}

/// Gets everything ready: prompts, backend (not yet loaded or asked), meters, carbon tables.
///
/// # Errors
/// Every problem found, not only the first.
pub fn prepare(
    mut config: BenchmarkConfig,
    registry: &Registry,
    environment: &Environment,
) -> Result<Prepared, Problems> {
    let mut problems = Problems::default();
    let settings = codecarbon_settings(&mut config.metrics, environment, &mut problems);
    let environment = &settings.environment(&config.metrics, environment);
    add(&mut problems, crate::config::check(&config));
    let trace = keep(find_trace(&config.scenario.load), &mut problems).flatten();
    let found = match &trace {
        Some(trace) if trace.asks => keep(prompts_of(trace, &config, environment), &mut problems),
        _ if is_asked_by_trace(&config.scenario.load) => None,
        _ => keep(find_prompts(&config, registry, environment), &mut problems),
    };
    let has_token = environment.var(&config.metrics.electricity_maps_token_env).is_some();
    let carbon = keep(carbon::resolve(&config.metrics, has_token), &mut problems);
    let backend = keep(build_backend(&config, registry, environment), &mut problems);
    let mut loads = Loads::new(registry.loads.clone());
    if let Some(trace) = &trace {
        loads = loads.with_trace(trace.arrivals.clone());
    }
    for kind in loads.missing(&config.scenario.load) {
        let message = format!("the load `{kind}` is not part of this program");
        problems.push(Problem::new("scenario.load.type", message));
    }
    let mut inventory = meter::open_all(&registry.meters, &open_request(&config, environment));
    add(&mut problems, std::mem::take(&mut inventory.problems));
    let gains = keep(gains(&config.metrics, environment, &inventory), &mut problems);
    let (Some(found), Some(mut carbon), Some(backend), Some(gains), true) =
        (found, carbon, backend, gains, problems.0.is_empty())
    else {
        return Err(problems);
    };
    let supply = supply(&config.scenario, &found);
    let plan = Plan::new(&config, &loads, &supply, sensor_period(&inventory.sensors));
    let mut warnings = found.warnings;
    warnings.extend(conversation_warning(&config.scenario, &supply));
    warnings.extend(trace.iter().flat_map(|read| read.trace.warnings()));
    warnings.extend(batch_warning(&config.scenario));
    warnings.append(&mut inventory.warnings);
    warnings.append(&mut carbon.notes);
    told_of_settings(settings, &mut carbon, &mut warnings);
    let host = host::look(Path::new(&config.metrics.procfs_root), inventory.devices.clone());
    Ok(Prepared {
        plan,
        loads,
        prompts: found.prompts,
        generator: found.generator,
        trace: found.trace,
        dataset: found.info,
        backend,
        inventory,
        carbon,
        environment: environment.clone(),
        host,
        gains,
        warnings,
        config,
    })
}

/// What CodeCarbon's own files and variables say, taken over.
pub(super) fn codecarbon_settings(
    metrics: &mut MetricsConfig,
    environment: &Environment,
    problems: &mut Problems,
) -> Applied {
    // A folder that is gone holds no file.
    let folder = std::env::current_dir().unwrap_or_default();
    match codecarbon::apply(metrics, environment, &folder) {
        Ok(applied) => applied,
        Err(found) => {
            add(problems, found);
            Applied::default()
        }
    }
}

/// Keeps where settings came from.
pub(super) fn told_of_settings(
    settings: Applied,
    carbon: &mut CarbonBasis,
    warnings: &mut Vec<Warning>,
) {
    let notes = settings.notes.iter();
    warnings.extend(notes.map(|note| Warning::new("codecarbon_settings", note.to_string())));
    carbon.settings =
        settings.origins.into_iter().map(|(key, from)| SettingOrigin { key, from }).collect();
}

/// Gains of the sensors of this run, from the calibrations that are kept.
pub(super) fn gains(
    metrics: &MetricsConfig,
    environment: &Environment,
    inventory: &Inventory,
) -> Result<Vec<Gain>, Problems> {
    let configured = metrics.calibrations.as_deref();
    let Some(path) = calibration::path(configured, &|name| environment.var(name)) else {
        return Ok(Vec::new());
    };
    Ok(Calibrations::read(&path)?.of(&inventory.sensors))
}

/// The longest cadence of the sensors whose energy is counted and measured: models have none.
fn sensor_period(sensors: &[SensorInfo]) -> Seconds {
    let measures = |sensor: &&SensorInfo| sensor.counted && sensor.source == Source::Measured;
    let period = |sensor: &SensorInfo| sensor.update_period_s.unwrap_or(sensor.sample_period_s).0;
    Seconds(sensors.iter().filter(measures).map(period).fold(0.0, f64::max))
}

/// The prompts of a config.
struct Found {
    prompts: Prompts,
    generator: Option<(Generator, Stock)>,
    trace: Option<(Arc<Trace>, u64)>,
    /// How many there are, or for generated ones, how many are asked for.
    count: u64,
    info: DatasetInfo,
    warnings: Vec<Warning>,
}

fn find_prompts(
    config: &BenchmarkConfig,
    registry: &Registry,
    environment: &Environment,
) -> Result<Found, Problems> {
    let scenario = &config.scenario;
    let env = hub_env(environment);
    let named = |generator: &&Generator| generator.name == scenario.dataset_name;
    if let Some(generator) = registry.generators.iter().find(named) {
        let stock = Stock { vocabulary: vocabulary(config, &env), words: None };
        let source = (generator.open)(scenario, &stock);
        let count = scenario.num_samples.and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
        return Ok(Found {
            info: generated_info(scenario, source.as_ref()),
            prompts: Prompts::Generated(source),
            generator: Some((*generator, stock)),
            trace: None,
            count,
            warnings: Vec::new(),
        });
    }
    let loaded = dataset::load(scenario, &registry.datasets, &env)
        .map_err(|error| Problems::from(error.problem()))?;
    Ok(Found {
        count: loaded.samples.len() as u64,
        prompts: Prompts::Listed(loaded.samples),
        generator: None,
        trace: None,
        info: loaded.info,
        warnings: loaded.warnings,
    })
}

/// A trace that was read.
struct ReadTrace {
    trace: Arc<Trace>,
    arrivals: Vec<Seconds>,
    sha256: String,
    file: String,
    seed: u64,
    /// Whether its prompts are asked.
    asks: bool,
}

/// Whether a load asks a trace's prompts.
const fn is_asked_by_trace(load: &LoadConfig) -> bool {
    matches!(load, LoadConfig::Trace { prompts: PromptsOf::Trace, .. })
}

/// The trace of a load, where it is one.
fn find_trace(load: &LoadConfig) -> Result<Option<ReadTrace>, Problems> {
    let LoadConfig::Trace { file, format, time_scale, limit, seed, .. } = load else {
        return Ok(None);
    };
    let path = Path::new(file);
    let (trace, sha256) = trace::read(path, *format, *limit)?;
    Ok(Some(ReadTrace {
        arrivals: trace.arrivals(*time_scale),
        trace: Arc::new(trace),
        sha256,
        file: path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
        seed: *seed,
        asks: is_asked_by_trace(load),
    }))
}

/// The prompts of a trace.
fn prompts_of(
    read: &ReadTrace,
    config: &BenchmarkConfig,
    environment: &Environment,
) -> Result<Found, Problems> {
    if read.trace.makes_prompts() && takes_messages(&config.backend) {
        let message = "the chat API takes messages, and of prompts the trace says only how many tokens they have";
        let hint = "set backend.api to completions, or scenario.load.prompts to dataset";
        return Err(Problem::new("backend.api", message).hint(hint).into());
    }
    let count = read.trace.rows.len() as u64;
    let vocabulary = vocabulary(config, &hub_env(environment));
    let source = TracePrompts::new(Arc::clone(&read.trace), read.seed, vocabulary);
    Ok(Found {
        info: DatasetInfo {
            name: read.file.clone(),
            origin: source.origin(),
            revision: None,
            files: BTreeMap::from([(read.file.clone(), read.sha256.clone())]),
            rows: count + read.trace.left_out,
            used: count,
        },
        prompts: Prompts::Generated(Box::new(source)),
        generator: None,
        trace: Some((Arc::clone(&read.trace), read.seed)),
        count,
        warnings: Vec::new(),
    })
}

/// Whether a backend is asked by messages, and not by token ids.
fn takes_messages(backend: &BackendConfig) -> bool {
    match backend {
        BackendConfig::Vllm(vllm) => vllm.api == Api::Chat,
        BackendConfig::Candle(candle) => candle.api == Some(Api::Chat),
        BackendConfig::Pytorch(_) => false,
    }
}

/// As stated, else as the model's own files tell, else assumed.
fn vocabulary(config: &BenchmarkConfig, env: &HubEnv) -> Vocabulary {
    if let Some(size) = config.scenario.input_shapes.as_ref().and_then(|shapes| shapes.vocab_size) {
        return Vocabulary::told(size, "scenario.input_shapes.vocab_size");
    }
    Vocabulary::of_model(config.backend.model(), config.backend.revision(), env)
        .unwrap_or_else(Vocabulary::assumed)
}

fn generated_info(scenario: &ScenarioConfig, source: &dyn Generate) -> DatasetInfo {
    DatasetInfo {
        name: scenario.dataset_name.clone(),
        origin: source.origin(),
        revision: None,
        files: BTreeMap::new(),
        rows: 0,
        used: 0,
    }
}

impl Prepared {
    /// Keeps what loading the config noted, as cautions of the run.
    pub fn keep_notes(&mut self, notes: &[Note]) {
        let cautions = notes.iter().map(|note| Warning::new("config_note", note.to_string()));
        self.warnings.extend(cautions);
    }

    /// Whether prompts are made of words that the model's tokenizer takes for one token each.
    pub(super) fn needs_words(&self) -> bool {
        self.generator.as_ref().is_some_and(|(generator, _)| generator.needs_words)
    }

    /// Generated prompts stay within the vocabulary that the backend tells, unless the config states one, and are made of the
    /// words that were found.
    pub(super) fn settle_prompts(&mut self, told: &BackendInfo, words: Option<Words>) {
        let scenario = &self.config.scenario;
        let stated =
            scenario.input_shapes.as_ref().is_some_and(|shapes| shapes.vocab_size.is_some());
        let size = told.details.get(VOCABULARY).and_then(serde_json::Value::as_u64);
        if let Some((generator, mut stock)) = self.generator.take() {
            if let (Some(size), false) = (size.and_then(|size| u32::try_from(size).ok()), stated) {
                stock.vocabulary = Vocabulary::told(size, format!("told by {}", told.kind));
            }
            stock.words = words.map(Arc::new);
            self.prompts = Prompts::Generated((generator.open)(scenario, &stock));
            self.generator = Some((generator, stock));
        }
        if let Some((trace, seed)) = &self.trace {
            if let (true, Some(size), false) =
                (trace.makes_prompts(), size.and_then(|size| u32::try_from(size).ok()), stated)
            {
                let vocabulary = Vocabulary::told(size, format!("told by {}", told.kind));
                let source = TracePrompts::new(Arc::clone(trace), *seed, vocabulary);
                self.prompts = Prompts::Generated(Box::new(source));
            }
            if let (Prompts::Generated(source), true) = (&self.prompts, trace.makes_prompts()) {
                self.dataset.origin = source.origin();
                self.warnings.extend(source.warning());
            }
            return;
        }
        if let Prompts::Generated(source) = &self.prompts {
            self.dataset = DatasetInfo {
                used: self.plan.measured_requests,
                rows: self.plan.measured_requests,
                ..generated_info(scenario, source.as_ref())
            };
            self.warnings.extend(source.warning());
        }
    }
}

/// How many prompts there are, and where they are gone through turn by turn, how many turns each has.
fn supply(scenario: &ScenarioConfig, found: &Found) -> Supply {
    let turns = scenario.conversations.map_or_else(Vec::new, |conversations| {
        let most = conversations.turns.most();
        (0..found.count).map(|index| found.prompts.turns(index, most)).collect()
    });
    Supply { prompts: found.count, turns }
}

/// Whoever asks for conversations and has none should know.
fn conversation_warning(scenario: &ScenarioConfig, supply: &Supply) -> Option<Warning> {
    let none = scenario.conversations.is_some_and(|asked| asked.turns.most() > 1)
        && supply.turns.iter().all(|turns| *turns == 1);
    none.then(|| {
        let message = format!(
            "no prompt of {} has more than one turn: scenario.conversations changes nothing",
            scenario.dataset_name
        );
        Warning::new("conversations_of_one_turn", message)
    })
}

/// Where backends tell their model's vocabulary, in [`BackendInfo::details`].
const VOCABULARY: &str = "vocab_size";

/// A batch is run as requests side by side: whoever compares figures should know.
fn batch_warning(scenario: &ScenarioConfig) -> Option<Warning> {
    let size = scenario.batch_size()?;
    Some(Warning::new(
        "batch_as_concurrency",
        format!(
            "batch_size {size} was run as {size} requests in flight: the engine batches them itself, \
             and the next leaves when one ends"
        ),
    ))
}

fn keep<T>(result: Result<T, Problems>, problems: &mut Problems) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(found) => {
            add(problems, found);
            None
        }
    }
}

/// A backend checks its settings too; what the config check said already is not said again.
fn add(problems: &mut Problems, found: Problems) {
    for problem in found.0 {
        if problems.0.iter().all(|known| known.place != problem.place) {
            problems.push(problem);
        }
    }
}

fn build_backend(
    config: &BenchmarkConfig,
    registry: &Registry,
    environment: &Environment,
) -> Result<Arc<dyn Backend>, Problems> {
    let kind = config.backend.kind();
    let entry = registry.backends.iter().find(|entry| entry.kind == kind).ok_or_else(|| {
        Problem::new("backend.type", format!("the {kind} backend is not part of this program"))
    })?;
    let host = Arc::new(Lent { environment: environment.clone() });
    (entry.build)(&config.backend, host).map(Arc::from)
}

fn hub_env(environment: &Environment) -> HubEnv {
    HubEnv::from_vars(&|name| environment.var(name), std::env::home_dir().as_deref())
}

/// What the meters of a run are asked for: the config's selection in the job's environment.
#[must_use]
pub fn open_request<'c>(config: &'c BenchmarkConfig, environment: &Environment) -> OpenRequest<'c> {
    OpenRequest {
        metrics: &config.metrics,
        device_ids: config.backend.device_ids().map(|ids| ids.0.as_slice()),
        cuda_visible_devices: environment.var("CUDA_VISIBLE_DEVICES"),
        cuda_device_order: environment.var("CUDA_DEVICE_ORDER"),
        extra: &config.meter.0,
        lender: Some(Arc::new(Lent { environment: environment.clone() })),
    }
}
