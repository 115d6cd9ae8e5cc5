//! `scenario`: which prompts, how often, how the answer is generated.

use hydra_compose::{Map, Node, Value};

use super::Findings;
use super::backend::{Engine, Mapped, check_target};
use super::schemas::SCHEMAS;
use super::section::{Ours, Section, text_of};
use crate::config::component::scenario::RANDOM_TOKENS;
use crate::error::nearest;

/// Tokens of an answer where the config says nothing.
const DEFAULT_NEW_TOKENS: i128 = 100;
/// Prompts of an input of the inference scenario where the config says nothing.
const INFERENCE_BATCH: i128 = 2;

pub(super) fn map(mut theirs: Section<'_>, engine: &Mapped, findings: &mut Findings) -> Ours {
    let mut ours = Ours::default();
    let name = theirs.words("name").unwrap_or_default();
    check_target(&mut theirs, "scenario", &name, findings);
    match name.as_str() {
        "energy_star" => energy_star(&mut theirs, &mut ours, findings),
        "inference" => inference(&mut theirs, &mut ours, engine, findings),
        "training" => {
            findings.not_run(
                "scenario",
                "scenario training",
                "energy_star and inference can be run",
            );
            return ours;
        }
        "" => {
            findings.problem(
                "scenario.name",
                "is missing",
                "put `scenario: energy_star` or `scenario: inference` into the defaults",
            );
            return ours;
        }
        other => {
            let known = SCHEMAS.iter().filter(|s| s.group == "scenario").map(|s| s.name);
            let hint = nearest(other, known).map_or_else(
                || "energy_star or inference".to_owned(),
                |near| format!("did you mean {near}?"),
            );
            findings.problem("scenario.name", format!("{other:?} is not a scenario"), hint);
            return ours;
        }
    }
    other_task(&mut theirs, engine, findings);
    common(&mut theirs, &mut ours, findings);
    theirs.finish(findings);
    ours
}

/// Without a task text generation is assumed, unless the config asks for what only other tasks have.
fn other_task(theirs: &mut Section<'_>, engine: &Mapped, findings: &mut Findings) {
    if engine.has_task {
        return;
    }
    let hint = "if it is text generation, say so with backend.task=text-generation";
    // vLLM generates text and has no pipeline to call; a base config for all tasks sets both.
    let called = theirs.filled("call_kwargs").is_some();
    if engine.kind == Engine::Pytorch && called && theirs.filled("generate_kwargs").is_none() {
        let what = "generating images (call_kwargs are a diffusion pipeline's)";
        findings.not_run("scenario.call_kwargs", what, hint);
    }
    for (key, _) in theirs.filled("input_shapes").into_iter().flat_map(Map::iter) {
        let what = match key.as_str() {
            Some("num_images" | "num_channels" | "height" | "width") => "image inputs",
            Some("nb_max_frames" | "audio_sequence_length") => "audio inputs",
            _ => continue,
        };
        findings.not_run(&format!("scenario.input_shapes.{}", key.text()), what, hint);
    }
}

/// What both scenarios have.
fn common(theirs: &mut Section<'_>, ours: &mut Ours, findings: &mut Findings) {
    ours.copy(theirs, "warmup_runs", "warmup_runs");
    if theirs.is_on("memory") {
        findings.note(
            "scenario.memory",
            "is not reported as optimum-benchmark does: the GPU's memory in use is sampled",
        );
    }
    // Both are always measured.
    theirs.known(&["latency", "energy"]);
    for key in ["forward_kwargs", "call_kwargs"] {
        if theirs.filled(key).is_some() {
            findings.note(&theirs.at(key), "has no effect on text generation");
        }
    }
    let new_tokens = theirs.take("new_tokens").cloned();
    if new_tokens.is_some() {
        findings.note(
            "scenario.new_tokens",
            "is deprecated: it sets max_new_tokens and min_new_tokens of generate_kwargs",
        );
    }
    let kwargs = generate(theirs.take("generate_kwargs"), new_tokens, findings);
    ours.set("generate_kwargs", kwargs.into_node());
    // Keys of ours that a command line may add with `+`.
    for key in [
        "dataset_revision",
        "idle_s",
        "request_timeout_s",
        "max_retries",
        "retry_backoff_s",
        "max_consecutive_failures",
        "save_outputs",
        "warmup_rounds",
    ] {
        ours.copy(theirs, key, key);
    }
}

fn energy_star(theirs: &mut Section<'_>, ours: &mut Ours, findings: &mut Findings) {
    if theirs.words("dataset_name").is_none() {
        findings.problem(
            "scenario.dataset_name",
            "is missing",
            "a HuggingFace id, a file, a folder or builtin",
        );
    }
    ours.copy_words(theirs, "dataset_name", "dataset_name");
    ours.copy_words(theirs, "dataset_config", "dataset_config");
    ours.copy_words(theirs, "dataset_split", "dataset_split");
    ours.copy_words(theirs, "text_column_name", "text_column_name");
    ours.copy(theirs, "truncation", "truncation");
    ours.copy(theirs, "reasoning", "reasoning");
    ours.copy(theirs, "num_samples", "num_samples");
    if theirs.take("num_samples").is_some_and(|node| node.value == Value::Int(-1)) {
        findings.note(
            "scenario.num_samples",
            "-1 means all prompts here (optimum-benchmark prepares all of them and then runs none)",
        );
    }
    if theirs.filled("reasoning_params").is_some() {
        ours.copy(theirs, "reasoning_params", "reasoning_params");
    }
    if let Some(length) = theirs.take("max_length").filter(|node| node.value != Value::Int(-1)) {
        let length = text_of(length).unwrap_or_default();
        findings.not_run(
            "scenario.max_length",
            format!("a prompt length of {length}"),
            "-1: the model's own limit",
        );
    }
    for key in ["dataset_prefix1", "dataset_prefix2", "t5_task"] {
        if let Some(value) = theirs.words(key) {
            findings.not_run(
                &theirs.at(key),
                format!("{key} {value:?}"),
                "leave it out: prompts are taken as they are",
            );
        }
    }
    // Columns of other tasks.
    theirs.known(&[
        "image_column_name",
        "resize",
        "question_column_name",
        "context_column_name",
        "sentence1_column_name",
        "sentence2_column_name",
        "audio_column_name",
    ]);
    let shapes = theirs.take("input_shapes").and_then(Node::as_map);
    let mut batch = Ours::default();
    for (key, value) in shapes.into_iter().flat_map(Map::iter) {
        match key.as_str() {
            Some("batch_size") => batch.set_key(key.clone(), value.clone()),
            _ => shape_without_effect(&key.text(), findings),
        }
    }
    ours.set("input_shapes", batch.into_node());
}

fn inference(theirs: &mut Section<'_>, ours: &mut Ours, engine: &Mapped, findings: &mut Findings) {
    ours.set("dataset_name", Node::in_memory(Value::Str(RANDOM_TOKENS.to_owned())));
    ours.copy(theirs, "iterations", "iterations");
    ours.copy(theirs, "duration", "duration_s");
    let shapes = theirs.take("input_shapes").and_then(Node::as_map);
    let mut random = Ours::default();
    random.set("batch_size", Node::in_memory(Value::Int(INFERENCE_BATCH)));
    if let Some(seed) = &engine.seed {
        random.set("seed", seed.clone());
    }
    for (key, value) in shapes.into_iter().flat_map(Map::iter) {
        match key.as_str() {
            Some("batch_size" | "sequence_length" | "vocab_size" | "seed") => {
                random.set_key(key.clone(), value.clone());
            }
            _ => shape_without_effect(&key.text(), findings),
        }
    }
    if engine.kind != Engine::Other
        && shapes.is_none_or(|shapes| shapes.get("sequence_length").is_none())
    {
        findings.problem(
            "scenario.input_shapes.sequence_length",
            "is missing",
            "tokens a prompt: +scenario.input_shapes.sequence_length=64",
        );
    }
    ours.set("input_shapes", random.into_node());
}

fn shape_without_effect(key: &str, findings: &mut Findings) {
    findings.note(&format!("scenario.input_shapes.{key}"), "has no effect on text generation");
}

/// `generate_kwargs`, with optimum-benchmark's defaults and its rule of one length.
fn generate(theirs: Option<&Node>, new_tokens: Option<Node>, findings: &mut Findings) -> Ours {
    let mut ours = Ours::default();
    let mut length = [new_tokens.clone(), new_tokens];
    for (key, value) in theirs.and_then(Node::as_map).into_iter().flat_map(Map::iter) {
        let place = format!("scenario.generate_kwargs.{}", key.text());
        match key.as_str().unwrap_or_default() {
            _ if value.value == Value::Null => {}
            "max_new_tokens" => length[0] = Some(value.clone()),
            "min_new_tokens" => length[1] = Some(value.clone()),
            "do_sample" | "temperature" | "top_p" | "top_k" | "seed" | "ignore_eos" | "stop" => {
                ours.set_key(key.clone(), value.clone());
            }
            "num_beams" | "num_return_sequences" if value.value == Value::Int(1) => {}
            "use_cache" if value.value == Value::Bool(true) => {}
            name => findings.not_run(
                &place,
                format!("{name} {}", text_of(value).unwrap_or_default()),
                "leave it out; fields for a server's own JSON go into +backend.extra_body.KEY=VALUE",
            ),
        }
    }
    let [most, least] = one_length(length, findings);
    ours.set("max_new_tokens", most);
    ours.set("min_new_tokens", least);
    ours
}

/// Fewest and most tokens are one number: copied where one is missing, refused where they differ.
fn one_length([most, least]: [Option<Node>; 2], findings: &mut Findings) -> [Node; 2] {
    let place = |word: &str| format!("scenario.generate_kwargs.{word}_new_tokens");
    match (most, least) {
        (Some(most), Some(least)) => {
            if most.value != least.value {
                findings.problem(
                    &place("min"),
                    "Setting `min_new_tokens` and `max_new_tokens` to different values results in non-deterministic behavior.",
                    "equal numbers: every answer then has the same length",
                );
            }
            [most, least]
        }
        (Some(most), None) => {
            findings.note(&place("min"), "is not given: it is set to max_new_tokens, so that every answer has the same length");
            [most.clone(), most]
        }
        (None, Some(least)) => {
            findings.note(&place("max"), "is not given: it is set to min_new_tokens, so that every answer has the same length");
            [least.clone(), least]
        }
        (None, None) => {
            let node = || Node::in_memory(Value::Int(DEFAULT_NEW_TOKENS));
            [node(), node()]
        }
    }
}
