//! `backend`: which engine, which model, on which devices.

use hydra_compose::{Environment, Map, Node, Value};

use super::schemas::SCHEMAS;
use super::section::{Ours, Section, text_of};
use super::{Findings, SERVER_KEYS};
use crate::error::nearest;

/// The server's address, where the config names none.
const ENDPOINT: &str = "VLLM_ENDPOINT";

/// The engines that configs can be mapped to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    Pytorch,
    Vllm,
    /// Another of optimum-benchmark's, or none that is known.
    Other,
}

/// A mapped backend.
pub(super) struct Mapped {
    pub(super) kind: Engine,
    pub(super) ours: Ours,
    /// Whether the config says which task it is.
    pub(super) has_task: bool,
    /// Of everything that is drawn at random.
    pub(super) seed: Option<Node>,
}

pub(super) fn map(
    mut theirs: Section<'_>,
    environment: &dyn Environment,
    findings: &mut Findings,
) -> Mapped {
    let mut ours = Ours::default();
    let name = theirs.words("name").unwrap_or_default();
    let kind = engine(&name, findings);
    check_target(&mut theirs, "backend", &name, findings);
    ours.set("type", Node::in_memory(Value::Str(name)));
    model(&mut theirs, &mut ours, findings);
    device(&mut theirs, &mut ours, findings);
    let seed = theirs.take("seed").cloned();
    let has_task = theirs.words("task").is_some();
    match kind {
        Engine::Pytorch => pytorch(&mut theirs, &mut ours, findings),
        Engine::Vllm => vllm(&mut theirs, &mut ours, environment, findings),
        // Keys of engines that are not run need no word of their own.
        Engine::Other => return Mapped { kind, ours, has_task, seed },
    }
    for key in ["inter_op_num_threads", "intra_op_num_threads"] {
        if theirs.take(key).is_some() {
            findings.note(&theirs.at(key), "has no effect: threads are the engine's own affair");
        }
    }
    // Informative, or found out by the engine.
    theirs.known(&["version", "model_type"]);
    theirs.finish(findings);
    Mapped { kind, ours, has_task, seed }
}

fn engine(name: &str, findings: &mut Findings) -> Engine {
    let known = || SCHEMAS.iter().filter(|schema| schema.group == "backend").map(|s| s.name);
    match name {
        "pytorch" => Engine::Pytorch,
        "vllm" => Engine::Vllm,
        "" => {
            findings.problem(
                "backend.name",
                "is missing",
                "put `backend: pytorch` or `backend: vllm` into the defaults",
            );
            Engine::Other
        }
        name if known().any(|other| other == name) => {
            findings.not_run(
                "backend",
                format!("backend {name}"),
                "vllm (and pytorch, once it is built) can be run",
            );
            Engine::Other
        }
        name => {
            let hint = nearest(name, known()).map_or_else(
                || "vllm or pytorch".to_owned(),
                |near| format!("did you mean {near}?"),
            );
            findings.problem("backend.name", format!("{name:?} is not a backend"), hint);
            Engine::Other
        }
    }
}

/// optimum-benchmark runs whatever class is named; this program has only its own.
pub(super) fn check_target(
    theirs: &mut Section<'_>,
    group: &str,
    name: &str,
    findings: &mut Findings,
) {
    let Some(target) = theirs.words("_target_") else { return };
    let schema = SCHEMAS.iter().find(|schema| schema.group == group && schema.name == name);
    if schema.is_some_and(|schema| schema.target != Some(target.as_str())) {
        findings.not_run(&theirs.at("_target_"), format!("class {target}"), "leave the key out");
    }
}

fn model(theirs: &mut Section<'_>, ours: &mut Ours, findings: &mut Findings) {
    if theirs.words("model").is_none() {
        findings.problem("backend.model", "is missing", "name the model: backend.model=org/name");
    }
    ours.copy_words(theirs, "model", "model");
    ours.copy_words(theirs, "processor", "processor");
    match theirs.words("task").as_deref() {
        None => findings.note(
            "backend.task",
            "is not given: text-generation is assumed (optimum-benchmark asks the model's files)",
        ),
        Some("text-generation") => ours.copy(theirs, "task", "task"),
        Some(task) => {
            findings.not_run("backend.task", format!("task {task}"), "only text-generation runs");
        }
    }
    if let Some(library) = theirs.words("library").filter(|library| library != "transformers") {
        findings.not_run(
            "backend.library",
            format!("library {library}"),
            "only transformers' models run",
        );
    }
}

/// `device` may carry its number (`cuda:1`), and `device_ids` comes in every spelling.
fn device(theirs: &mut Section<'_>, ours: &mut Ours, findings: &mut Findings) {
    let node = theirs.take("device");
    let text = theirs.words("device");
    let (device, number) =
        match text.as_deref().map(|text| text.split_once(':').unwrap_or((text, ""))) {
            None => (None, ""),
            Some((device, number)) => (Some(device), number),
        };
    if let (Some(device), Some(node)) = (device, node) {
        match device {
            "cuda" | "cpu" => ours.set_text("device", device, &node.origin),
            "mps" | "xla" | "gpu" => {
                findings.not_run("backend.device", format!("device {device}"), "cuda or cpu");
            }
            other => findings.problem(
                "backend.device",
                format!("{other:?} is not a device"),
                "cuda, cpu, mps, xla or gpu",
            ),
        }
    }
    let ids = device_ids(theirs, findings);
    let ids = match (ids, number) {
        (ids, "") => ids,
        (None, number) => Some(number.to_owned()),
        (Some(ids), number) if ids == number => Some(ids),
        (Some(ids), number) => {
            findings.problem(
                "backend.device_ids",
                format!("{ids} contradicts the {number} of backend.device"),
                "say it in one of the two places",
            );
            None
        }
    };
    let Some(ids) = ids else { return };
    if device.is_some_and(|device| device != "cuda") {
        findings.note("backend.device_ids", "has no effect without device: cuda");
        return;
    }
    let origin = theirs.take("device_ids").or(node).map(|node| node.origin.clone());
    ours.set_text("device_ids", ids, &origin.unwrap_or_else(hydra_compose::Origin::memory));
}

fn device_ids(theirs: &mut Section<'_>, findings: &mut Findings) -> Option<String> {
    let node = theirs.take("device_ids")?;
    let texts: Option<Vec<String>> = match node.as_list() {
        Some(items) => items.iter().map(text_of).collect(),
        None => text_of(node).map(|text| text.split(',').map(str::to_owned).collect()),
    };
    let ids: Vec<String> = texts
        .into_iter()
        .flatten()
        .map(|id| id.trim().to_owned())
        .filter(|id| !id.is_empty())
        .collect();
    if ids.is_empty() {
        findings.problem("backend.device_ids", "names no device", "0, or \"0,1\", or leave it out");
        return None;
    }
    Some(ids.join(","))
}

fn pytorch(theirs: &mut Section<'_>, ours: &mut Ours, findings: &mut Findings) {
    ours.copy(theirs, "no_weights", "no_weights");
    ours.copy(theirs, "device_map", "device_map");
    if let Some(dtype) = theirs.words("torch_dtype") {
        one_of(
            "backend.torch_dtype",
            &dtype,
            &["bfloat16", "float16", "float32", "auto"],
            findings,
        );
    }
    ours.copy(theirs, "torch_dtype", "torch_dtype");
    for (key, what) in [
        ("tp_plan", "tensor parallelism"),
        ("attn_implementation", "a choice of attention"),
        ("cache_implementation", "a choice of cache"),
        ("autocast_dtype", "autocast"),
        ("quantization_scheme", "quantization"),
        ("peft_type", "peft"),
    ] {
        if let Some(value) = theirs.words(key) {
            findings.not_run(&theirs.at(key), format!("{what} ({key} {value})"), "leave it out");
        }
    }
    for (key, what) in [
        ("to_bettertransformer", "BetterTransformer"),
        ("allow_tf32", "TF32"),
        ("autocast_enabled", "autocast"),
        ("torch_compile", "torch.compile"),
        ("deepspeed_inference", "deepspeed"),
    ] {
        if theirs.is_on(key) {
            findings.not_run(&theirs.at(key), what, "set it to false");
        }
    }
    for (key, what) in [("quantization_config", "quantization"), ("peft_config", "peft")] {
        if theirs.filled(key).is_some() {
            findings.not_run(&theirs.at(key), what, "leave it out");
        }
    }
    if theirs.take("eval_mode").is_some_and(|node| node.value == Value::Bool(false)) {
        findings.not_run("backend.eval_mode", "a model in training mode", "set it to true");
    }
    if theirs.take("low_cpu_mem_usage").is_some() {
        findings.note("backend.low_cpu_mem_usage", "has no effect: it is a matter of loading only");
    }
    // Settings of what is refused above when it is on.
    theirs.known(&["torch_compile_target", "torch_compile_config", "deepspeed_inference_config"]);
    pytorch_kwargs(theirs, ours, findings);
}

fn pytorch_kwargs(theirs: &mut Section<'_>, ours: &mut Ours, findings: &mut Findings) {
    for (key, value) in theirs.filled("model_kwargs").into_iter().flat_map(Map::iter) {
        match key.as_str().unwrap_or_default() {
            name @ ("revision" | "trust_remote_code") => ours.set(name, value.clone()),
            "token" => findings.problem(
                "backend.model_kwargs.token",
                "a secret does not belong into a config",
                "leave it out and set HF_TOKEN in the environment",
            ),
            _ => findings.not_run(
                &format!("backend.model_kwargs.{}", key.text()),
                format!("model_kwargs.{}", key.text()),
                "revision and trust_remote_code are followed",
            ),
        }
    }
    let model = theirs.take("model_kwargs").map(|node| &node.value);
    if let Some(kwargs) = theirs.take("processor_kwargs").filter(|node| Some(&node.value) != model)
        && kwargs.as_map().is_some_and(|map| !map.is_empty())
    {
        findings.not_run("backend.processor_kwargs", "processor_kwargs", "leave it out");
    }
}

/// optimum-benchmark starts the engine itself; here it is a server that is running.
fn vllm(
    theirs: &mut Section<'_>,
    ours: &mut Ours,
    environment: &dyn Environment,
    findings: &mut Findings,
) {
    match theirs.take("endpoint") {
        Some(node) => ours.set("endpoint", node.clone()),
        None => match environment.get(ENDPOINT).filter(|endpoint| !endpoint.is_empty()) {
            Some(endpoint) => ours.set("endpoint", Node::in_memory(Value::Str(endpoint))),
            None => findings.problem(
                "backend.endpoint",
                "is missing: this program does not start vLLM itself yet",
                format!("start the server and give its address: +backend.endpoint=http://localhost:8000, or {ENDPOINT} in the environment"),
            ),
        },
    }
    if let Some(mode) = theirs.words("serving_mode") {
        one_of("backend.serving_mode", &mode, &["offline", "online"], findings);
        if mode == "offline" {
            findings.note(
                "backend.serving_mode",
                "offline is run as online: requests go to the server over HTTP",
            );
        }
    }
    // The prompt goes to the model as it is, as in optimum-benchmark.
    let api = theirs.take("api").cloned();
    ours.set("api", api.unwrap_or_else(|| Node::in_memory(Value::Str("completions".to_owned()))));
    for key in SERVER_KEYS {
        ours.copy(theirs, key, key);
    }
    if theirs.is_on("no_weights") {
        findings.note("backend.no_weights", "is the server's affair: start it with --load-format dummy; figures are labelled synthetic");
    }
    ours.copy(theirs, "no_weights", "no_weights");
    engine_args(theirs, findings);
    for key in ["model_kwargs", "processor_kwargs"] {
        if let Some(kwargs) = theirs.filled(key) {
            if kwargs.get("token").is_some() {
                findings.problem(
                    &format!("backend.{key}.token"),
                    "a secret does not belong into a config",
                    "the server has its own; leave it out",
                );
            }
            findings.note(&theirs.at(key), "has no effect: the server loads the model");
        }
    }
}

fn engine_args(theirs: &mut Section<'_>, findings: &mut Findings) {
    let Some(arguments) = theirs.filled("engine_args") else { return };
    for key in ["model", "tokenizer", "device"] {
        if arguments.get(key).is_some() {
            findings.problem(
                &format!("backend.engine_args.{key}"),
                "may not be set here",
                format!("set backend.{}", if key == "tokenizer" { "processor" } else { key }),
            );
        }
    }
    let flags: Vec<String> =
        arguments.iter().map(|(key, value)| flag(&key.text(), value)).collect();
    findings.note(
        "backend.engine_args",
        format!("is the server's affair: it has to be started with {}", flags.join(" ")),
    );
}

/// An engine argument as vLLM's command line spells it.
fn flag(key: &str, value: &Node) -> String {
    let name = key.replace('_', "-");
    match &value.value {
        Value::Bool(true) => format!("--{name}"),
        Value::Bool(false) => format!("--no-{name}"),
        _ => format!("--{name} {}", text_of(value).unwrap_or_else(|| "...".to_owned())),
    }
}

pub(super) fn one_of(place: &str, value: &str, allowed: &[&str], findings: &mut Findings) {
    if !allowed.contains(&value) {
        let hint = nearest(value, allowed.iter().copied()).map_or_else(
            || format!("one of {}", allowed.join(", ")),
            |near| format!("did you mean {near}?"),
        );
        findings.problem(place, format!("{value:?} is not known"), hint);
    }
}
