//! The lenient dialect of AIEnergyScore's wrapper (`run_ai_energy_benchmark.py`).
//!
//! It reads a config of optimum-benchmark's shape as one plain file: the defaults list is left aside, any key may be
//! set without `+`, and what the wrapper does not look at has no effect, which a note says.
//!
//! One thing is done otherwise: the wrapper keeps the values of changes as text, so that `scenario.reasoning=false`
//! counts as on there. Here they are read as the values of a YAML file are.

use std::path::PathBuf;

use hydra_compose::{
    Document, Environment, Errors, Interpolator, Key, KeyKind, Map, Node, Origin, Value,
};

use super::load::{LoadedConfig, located, problems, typed};
use super::optimum::SERVER_KEYS;
use super::{BenchmarkConfig, Note};
use crate::error::{Problem, Problems};

/// Which engine, where the config does not say.
const BACKEND: &str = "BENCHMARK_BACKEND";
/// The server's address, where the config does not say.
const ENDPOINT: &str = "VLLM_ENDPOINT";
/// Where the results go.
const RESULTS: &str = "RESULTS_DIR";
const DEFAULT_RESULTS: &str = "/results";

/// Tokens of an answer: most and fewest, with reasoning and without.
const REASONING_TOKENS: [i128; 2] = [8192, 1];
const PLAIN_TOKENS: [i128; 2] = [10, 10];

/// Keys that mean the same in our configs.
const BACKEND_KEYS: [&str; 6] =
    ["model", "processor", "device", "device_ids", "task", "torch_dtype"];
/// The same of PyTorch alone.
const PYTORCH_KEYS: [&str; 2] = ["no_weights", "device_map"];
const SCENARIO_KEYS: [&str; 10] = [
    "dataset_name",
    "dataset_config",
    "dataset_split",
    "text_column_name",
    "num_samples",
    "truncation",
    "reasoning",
    "reasoning_params",
    "idle_s",
    "request_timeout_s",
];

/// Finds a config by its name in folders (`NAME.yaml`, then `NAME`, in each), applies changes, and reads it
/// as AIEnergyScore's wrapper does.
///
/// # Errors
/// All problems at once: no such config, changes that cannot be applied, values that do not fit.
pub fn load(
    name: &str,
    folders: &[PathBuf],
    overrides: &[String],
    environment: &dyn Environment,
) -> Result<LoadedConfig, Problems> {
    let path = find(name, folders)?;
    let mut written = Document::load_file(&path).map_err(|errors: Errors| problems(&errors))?;
    if written.value == Value::Null {
        written.value = Value::Map(Map::new());
    }
    match written.as_map_mut() {
        Some(map) => drop(map.remove("defaults")),
        None => return Err(Problem::new(path.display().to_string(), "holds no keys").into()),
    }
    apply(&mut written, overrides)?;
    let resolved =
        Interpolator::new(environment).resolve(&written).map_err(|errors| problems(&errors))?;
    let (mut config, notes) =
        to_config(&resolved, environment).map_err(|found| located(&written, found))?;
    if config.name.is_empty() {
        config.name =
            path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into());
    }
    Ok(LoadedConfig::plain(config, notes, written, overrides))
}

fn find(name: &str, folders: &[PathBuf]) -> Result<PathBuf, Problems> {
    let places: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| [folder.join(format!("{name}.yaml")), folder.join(name)])
        .collect();
    if let Some(found) = places.iter().find(|place| place.is_file()) {
        return Ok(found.clone());
    }
    let looked: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
    Err(Problem::new("--config-name", format!("there is no config {name}"))
        .hint(format!("looked for {}", looked.join(", ")))
        .into())
}

/// Sets keys one after the other; mappings on the way are made.
fn apply(root: &mut Node, overrides: &[String]) -> Result<(), Problems> {
    let mut found = Problems::default();
    for text in overrides {
        // `+` is what Hydra's users are used to; here it changes nothing.
        let Some((key, value)) = text.trim_start_matches('+').split_once('=') else {
            found.push(Problem::new(text, "is no change").hint("key=value"));
            continue;
        };
        // The place is the change itself, not a line of a file.
        let node = Node::new(decoded(value), Origin::command_line(text));
        if let Err(problem) = set(root, key, node) {
            found.push(problem);
        }
    }
    found.into_result()
}

/// A value as a YAML file would hold it; what is no YAML is text.
fn decoded(text: &str) -> Value {
    if text.is_empty() {
        return Value::Str(String::new());
    }
    let mut holder = Document::from_str(&format!("value: {text}"), "change").ok();
    let node = holder.as_mut().and_then(Node::as_map_mut).and_then(|map| map.remove("value"));
    node.map_or_else(|| Value::from_text(text), |node| node.value)
}

fn set(root: &mut Node, dotted: &str, value: Node) -> Result<(), Problem> {
    let origin = value.origin.clone();
    let key = |part: &str| Key::new(KeyKind::Str(part.to_owned()), origin.clone());
    let mut parts: Vec<&str> = dotted.split('.').collect();
    let last = parts.pop().unwrap_or_default();
    if last.is_empty() || parts.iter().any(|part| part.is_empty()) {
        return Err(Problem::new(dotted, "is no key").hint("section.key=value"));
    }
    let mut node = root;
    for part in parts {
        let map = container(node, dotted)?;
        if map.get(part).is_none_or(|child| child.value == Value::Null) {
            map.insert(key(part), Node::new(Value::Map(Map::new()), origin.clone()));
        }
        match map.get_mut(part) {
            Some(child) => node = child,
            None => return Err(Problem::new(dotted, "cannot be set")),
        }
    }
    container(node, dotted)?.insert(key(last), value);
    Ok(())
}

fn container<'n>(node: &'n mut Node, dotted: &str) -> Result<&'n mut Map, Problem> {
    let kind = node.value.describe_kind();
    node.as_map_mut().ok_or_else(|| {
        Problem::new(dotted, format!("cannot be set: {kind} stands on its way"))
            .hint("only keys of mappings can be changed")
    })
}

/// What the wrapper makes of a resolved config, as one of ours.
fn to_config(
    node: &Node,
    environment: &dyn Environment,
) -> Result<(BenchmarkConfig, Vec<Note>), Problems> {
    let mut notes = Vec::new();
    let mut found = Problems::default();
    let variable = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    let results = variable(RESULTS).unwrap_or_else(|| DEFAULT_RESULTS.to_owned());
    let backend = backend(node, &variable, &mut notes, &mut found);
    let scenario = scenario(node, &mut notes);
    for (key, _) in node.as_map().into_iter().flat_map(Map::iter) {
        if !["name", "backend", "scenario", "metrics"].contains(&key.text().as_str()) {
            notes.push(Note::new(key.text(), NO_EFFECT));
        }
    }
    found.into_result()?;
    let mut ours = Map::new();
    for (key, value) in [
        ("name", node.child("name").cloned().unwrap_or_else(|| text(""))),
        ("backend", backend),
        ("scenario", scenario),
        ("metrics", metrics(node, &results)),
        (
            "reporter",
            mapping([
                ("type", text("csv")),
                ("output_file", text(&format!("{results}/benchmark_results.csv"))),
            ]),
        ),
        ("output_dir", text(&results)),
    ] {
        put(&mut ours, key, value);
    }
    typed(Node::in_memory(Value::Map(ours))).map(|config| (config, notes))
}

const NO_EFFECT: &str = "has no effect in this dialect";

fn backend(
    node: &Node,
    variable: &dyn Fn(&str) -> Option<String>,
    notes: &mut Vec<Note>,
    found: &mut Problems,
) -> Node {
    let mut ours = Map::new();
    let section = node.child("backend").and_then(Node::as_map);
    let get = |key: &str| section.and_then(|map| map.get(key)).filter(|node| is_given(node));
    let kind = get("type").and_then(Node::as_str).map(str::to_owned);
    let kind = kind.or_else(|| variable(BACKEND)).unwrap_or_else(|| "pytorch".to_owned());
    let mut known = vec!["type", "endpoint"];
    known.extend(BACKEND_KEYS);
    match kind.as_str() {
        "pytorch" => known.extend(PYTORCH_KEYS),
        "vllm" => {
            known.push("api");
            known.extend(SERVER_KEYS);
            let told = variable(ENDPOINT).map(|endpoint| text(&endpoint));
            match get("endpoint").cloned().or(told) {
                Some(endpoint) => put(&mut ours, "endpoint", endpoint),
                None => found.push(
                    Problem::new(
                        "backend.endpoint",
                        "is missing: the vllm backend needs a server's address",
                    )
                    .hint(format!("set {ENDPOINT} in the environment, or backend.endpoint=URL")),
                ),
            }
        }
        "optimum" => found.push(
            Problem::new("backend.type", "optimum is optimum-benchmark itself, not a backend")
                .hint("its configs run with --config-dir DIR --config-name NAME"),
        ),
        other => found.push(
            Problem::new("backend.type", format!("{other:?} is not a backend"))
                .hint(format!("pytorch or vllm, in {BACKEND} or as backend.type=...")),
        ),
    }
    put(&mut ours, "type", text(&kind));
    for (key, value) in section.into_iter().flat_map(Map::iter) {
        let name = key.text();
        if !known.contains(&name.as_str()) {
            notes.push(Note::new(format!("backend.{name}"), NO_EFFECT));
        } else if !["type", "endpoint"].contains(&name.as_str()) && is_given(value) {
            ours.insert(key.clone(), value.clone());
        }
    }
    // No devices are the first one, as the wrapper has it.
    let names_none = match ours.get("device_ids").map(|node| &node.value) {
        None => true,
        Some(Value::Str(text)) => text.trim().is_empty(),
        Some(Value::List(items)) => items.is_empty(),
        Some(_) => false,
    };
    if names_none {
        put(&mut ours, "device_ids", text("0"));
    }
    Node::in_memory(Value::Map(ours))
}

fn scenario(node: &Node, notes: &mut Vec<Note>) -> Node {
    let mut ours = Map::new();
    let section = node.child("scenario").and_then(Node::as_map);
    let reasons = section.is_some_and(reasons);
    let [most, least] = if reasons { REASONING_TOKENS } else { PLAIN_TOKENS };
    let mut kwargs = Map::new();
    put(&mut kwargs, "max_new_tokens", number(most));
    put(&mut kwargs, "min_new_tokens", number(least));
    for (key, value) in section.into_iter().flat_map(Map::iter) {
        match key.text().as_str() {
            "generate_kwargs" => {
                for (key, value) in value.as_map().into_iter().flat_map(Map::iter) {
                    kwargs.insert(key.clone(), value.clone());
                }
            }
            "input_shapes" => {
                let batch = value.child("batch_size").map(|size| [("batch_size", size.clone())]);
                put(&mut ours, "input_shapes", mapping(batch.into_iter().flatten()));
            }
            name if SCENARIO_KEYS.contains(&name) => {
                if is_given(value) {
                    ours.insert(key.clone(), value.clone());
                }
            }
            name => notes.push(Note::new(format!("scenario.{name}"), NO_EFFECT)),
        }
    }
    put(&mut ours, "generate_kwargs", Node::in_memory(Value::Map(kwargs)));
    if !reasons {
        put(&mut ours, "reasoning", Node::in_memory(Value::Bool(false)));
        ours.remove("reasoning_params");
    }
    Node::in_memory(Value::Map(ours))
}

/// The wrapper's rule: off without parameters, and where any of three switches says so.
fn reasons(scenario: &Map) -> bool {
    let params = scenario.get("reasoning_params").and_then(Node::as_map);
    let Some(params) = params.filter(|params| !params.is_empty()) else { return false };
    let is_off = |node: Option<&Node>| node.is_some_and(|node| node.value == Value::Bool(false));
    let effort = params.get("reasoning_effort");
    // YAML reads a bare `off` as false.
    let no_effort = is_off(effort) || effort.and_then(Node::as_str) == Some("off");
    !(is_off(params.get("enable_thinking")) || is_off(scenario.get("reasoning")) || no_effort)
}

/// The wrapper's own, and over them what a change sets.
fn metrics(node: &Node, results: &str) -> Node {
    let mut ours = Map::new();
    for (key, value) in [
        ("project_name", text("ai_energy_benchmark")),
        ("output_dir", text(&format!("{results}/emissions"))),
        ("country_iso_code", text("USA")),
        ("region", text("california")),
        ("skip_missing_gpus", Node::in_memory(Value::Bool(true))),
    ] {
        put(&mut ours, key, value);
    }
    for (key, value) in node.child("metrics").and_then(Node::as_map).into_iter().flat_map(Map::iter)
    {
        ours.insert(key.clone(), value.clone());
    }
    Node::in_memory(Value::Map(ours))
}

fn is_given(node: &Node) -> bool {
    !matches!(node.value, Value::Null | Value::Missing)
}

fn put(map: &mut Map, key: &str, node: Node) {
    map.insert(Key::new(KeyKind::Str(key.to_owned()), node.origin.clone()), node);
}

fn mapping<'k>(pairs: impl IntoIterator<Item = (&'k str, Node)>) -> Node {
    let mut map = Map::new();
    for (key, node) in pairs {
        put(&mut map, key, node);
    }
    Node::in_memory(Value::Map(map))
}

fn text(text: &str) -> Node {
    Node::in_memory(Value::Str(text.to_owned()))
}

fn number(number: i128) -> Node {
    Node::in_memory(Value::Int(number))
}
