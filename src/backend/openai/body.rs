//! The JSON of requests.
//!
//! Only what the config sets is sent: strict servers refuse fields they do not know. Two decisions:
//!
//! * Without sampling the temperature is 0 and neither `top_p` nor `top_k` is sent. With sampling and no
//!   temperature in the config 1 is sent, as servers take a default from the model's own files otherwise.
//! * `min_new_tokens` equal to `max_new_tokens` fixes the length of the answer. vLLM needs only `min_tokens`
//!   for that, llama-server accepts it and stops all the same, and obeys `ignore_eos`: so `ignore_eos` is sent
//!   with it unless the config sets it.

use serde_json::{Map, Value, json};

use crate::backend::{BackendError, GenerateRequest};
use crate::config::component::backend::{Api, VllmConfig};
use crate::config::component::scenario::GenerateKwargs;
use crate::error::Problem;
use crate::prompt::Prompt;
use crate::record::FailureClass;

/// Fields of a request and the config key that each comes from.
const FIELDS: [(&str, &str); 12] = [
    ("model", "backend.model"),
    ("messages", "scenario.dataset_name (backend.api: chat)"),
    ("prompt", "scenario.dataset_name (backend.api: completions)"),
    ("stream_options", "backend.stream"),
    ("max_tokens", "scenario.generate_kwargs.max_new_tokens"),
    ("min_tokens", "scenario.generate_kwargs.min_new_tokens"),
    ("temperature", "scenario.generate_kwargs.temperature and do_sample"),
    ("top_p", "scenario.generate_kwargs.top_p"),
    ("top_k", "scenario.generate_kwargs.top_k"),
    ("seed", "scenario.generate_kwargs.seed"),
    ("ignore_eos", "scenario.generate_kwargs.ignore_eos (or min_new_tokens = max_new_tokens)"),
    ("stop", "scenario.generate_kwargs.stop"),
];

/// Fields that `extra_body` may not set, and what does.
const RESERVED: [(&str, &str); 5] = [
    ("model", "set backend.model"),
    ("messages", "prompts come from the dataset"),
    ("prompt", "prompts come from the dataset"),
    ("stream", "set backend.stream"),
    ("extra_body", "write its fields directly under backend.extra_body"),
];

/// The body of one request.
///
/// # Errors
/// When a number cannot be written as JSON (not finite).
pub(super) fn request(
    config: &VllmConfig,
    request: &GenerateRequest,
) -> Result<Vec<u8>, BackendError> {
    let mut body = Map::new();
    body.insert("model".to_owned(), Value::from(config.model.as_str()));
    match (config.api, &request.prompt) {
        (Api::Completions, Prompt::Tokens(ids)) => {
            body.insert("prompt".to_owned(), json!(ids));
        }
        (Api::Chat, Prompt::Tokens(_)) => {
            let message = "token ids cannot be sent as a conversation";
            return Err(BackendError::new(FailureClass::Protocol, message)
                .hint("set backend.api to completions"));
        }
        (Api::Chat, prompt) => {
            body.insert("messages".to_owned(), json!(prompt.messages()));
        }
        (Api::Completions, prompt) => {
            body.insert("prompt".to_owned(), Value::from(prompt.text()));
        }
    }
    body.insert("stream".to_owned(), Value::from(config.stream));
    add_params(&mut body, &request.params);
    for (key, value) in &config.extra_body {
        body.insert(key.clone(), value.clone());
    }
    if config.stream {
        ask_for_usage(&mut body);
    }
    serde_json::to_vec(&body).map_err(|cause| {
        let message = format!("the request cannot be written as JSON: {cause}");
        BackendError::new(FailureClass::Protocol, message)
    })
}

fn add_params(body: &mut Map<String, Value>, params: &GenerateKwargs) {
    let mut set = |key: &str, value: Value| {
        body.insert(key.to_owned(), value);
    };
    set("max_tokens", params.max_new_tokens.into());
    if let Some(min) = params.min_new_tokens {
        set("min_tokens", min.into());
    }
    if params.do_sample {
        set("temperature", params.temperature.unwrap_or(1.0).into());
        if let Some(top_p) = params.top_p {
            set("top_p", top_p.into());
        }
        if let Some(top_k) = params.top_k {
            set("top_k", top_k.into());
        }
    } else {
        set("temperature", 0.0.into());
    }
    if let Some(seed) = params.seed {
        set("seed", seed.into());
    }
    let fixed_length = params.min_new_tokens == Some(params.max_new_tokens);
    if let Some(ignore_eos) = params.ignore_eos.or(fixed_length.then_some(true)) {
        set("ignore_eos", ignore_eos.into());
    }
    if let Some(stop) = params.stop.as_ref().filter(|stop| !stop.0.is_empty()) {
        set("stop", json!(stop.0));
    }
}

/// Adds `include_usage` to whatever stream options `extra_body` set.
fn ask_for_usage(body: &mut Map<String, Value>) {
    let options = body.entry("stream_options").or_insert_with(|| json!({}));
    match options.as_object_mut() {
        Some(options) => {
            options.insert("include_usage".to_owned(), true.into());
        }
        None => *options = json!({"include_usage": true}),
    }
}

/// Problems of `extra_body`.
pub(super) fn check_extra_body(config: &VllmConfig, problems: &mut Vec<Problem>) {
    for (key, instead) in RESERVED {
        if config.extra_body.contains_key(key) {
            let place = format!("backend.extra_body.{key}");
            problems.push(Problem::new(place, "may not be set here").hint(instead));
        }
    }
}

/// The config keys of the fields that a server's complaint names.
pub(super) fn keys_named_in(complaint: &str, config: &VllmConfig) -> Vec<String> {
    let extra = config.extra_body.keys().map(|key| (key.as_str(), None));
    let fields = FIELDS.iter().map(|(field, key)| (*field, Some(*key)));
    let mut keys = Vec::new();
    for (field, key) in extra.chain(fields) {
        let named =
            mentions(complaint, field) && !(key.is_some() && config.extra_body.contains_key(field));
        if named {
            let key = key.map_or_else(|| format!("backend.extra_body.{field}"), str::to_owned);
            keys.push(format!("`{field}` comes from {key}"));
        }
    }
    keys
}

/// Whether a text names a field: as a word of its own, in quotes if it is an everyday word.
fn mentions(text: &str, field: &str) -> bool {
    let everyday = !field.contains('_');
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.match_indices(field).any(|(at, _)| {
        let before = text[..at].bytes().next_back();
        let after = text[at + field.len()..].bytes().next();
        let is_quote = |byte: Option<u8>| byte.is_some_and(|byte| b"'\"`".contains(&byte));
        if everyday {
            is_quote(before) && is_quote(after)
        } else {
            !before.is_some_and(is_word) && !after.is_some_and(is_word)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::component::TextList;
    use crate::prompt::ChatMessage;

    fn body(config: &VllmConfig, params: GenerateKwargs, prompt: Prompt) -> Value {
        let asked = GenerateRequest { index: 0, prompt, params: Arc::new(params), truncate: true };
        serde_json::from_slice(&request(config, &asked).unwrap()).unwrap()
    }

    fn text() -> Prompt {
        Prompt::Text("hi".to_owned())
    }

    fn config() -> VllmConfig {
        VllmConfig { model: "m".to_owned(), ..VllmConfig::default() }
    }

    #[test]
    fn only_what_the_config_sets_is_sent() {
        assert_eq!(
            body(&config(), GenerateKwargs::default(), text()),
            json!({
                "model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": true,
                "max_tokens": 100, "temperature": 0.0, "stream_options": {"include_usage": true}
            })
        );
        let plain = VllmConfig { api: Api::Completions, stream: false, ..config() };
        assert_eq!(
            body(&plain, GenerateKwargs::default(), text()),
            json!({"model": "m", "prompt": "hi", "stream": false, "max_tokens": 100, "temperature": 0.0})
        );
    }

    #[test]
    fn token_ids_go_as_they_are_and_never_as_a_conversation() {
        let ids = Prompt::Tokens(vec![5, 0, 31_999]);
        let plain = VllmConfig { api: Api::Completions, ..config() };
        let sent = body(&plain, GenerateKwargs::default(), ids.clone());
        assert_eq!(sent["prompt"], json!([5, 0, 31_999]));
        let params = Arc::new(GenerateKwargs::default());
        let asked = GenerateRequest { index: 0, prompt: ids, params, truncate: true };
        assert!(request(&config(), &asked).is_err());
    }

    #[test]
    fn every_parameter_is_mapped_and_greedy_drops_the_sampling_ones() {
        let params = GenerateKwargs {
            max_new_tokens: 7,
            min_new_tokens: Some(3),
            temperature: Some(0.5),
            top_p: Some(0.9),
            top_k: Some(40),
            do_sample: true,
            seed: Some(u64::MAX),
            ignore_eos: Some(false),
            stop: Some(TextList(vec!["\n".to_owned()])),
        };
        let chat = Prompt::Chat(vec![ChatMessage { role: "system".into(), content: "s".into() }]);
        let sent = body(&config(), params.clone(), chat);
        let expected = json!({
            "model": "m", "messages": [{"role": "system", "content": "s"}], "stream": true,
            "max_tokens": 7, "min_tokens": 3, "temperature": 0.5, "top_p": 0.9, "top_k": 40,
            "seed": u64::MAX, "ignore_eos": false, "stop": ["\n"],
            "stream_options": {"include_usage": true}
        });
        assert_eq!(sent, expected);
        let sent = body(&config(), GenerateKwargs { do_sample: false, ..params.clone() }, text());
        assert_eq!(sent["temperature"], 0.0);
        assert!(sent.get("top_p").is_none() && sent.get("top_k").is_none());
        let sent = body(&config(), GenerateKwargs { temperature: None, ..params }, text());
        assert_eq!(sent["temperature"], 1.0);
    }

    #[test]
    fn a_fixed_length_ignores_the_end_of_sequence_unless_the_config_speaks() {
        let fixed = |ignore_eos| GenerateKwargs {
            min_new_tokens: Some(100),
            ignore_eos,
            ..GenerateKwargs::default()
        };
        assert_eq!(body(&config(), fixed(None), text())["ignore_eos"], true);
        assert_eq!(body(&config(), fixed(Some(false)), text())["ignore_eos"], false);
    }

    #[test]
    fn extra_body_lands_at_the_top_level_and_keeps_usage() {
        let mut config = config();
        config.extra_body.insert("reasoning_effort".into(), json!("high"));
        config.extra_body.insert("stream_options".into(), json!({"continuous_usage_stats": true}));
        let sent = body(&config, GenerateKwargs::default(), text());
        assert_eq!(sent["reasoning_effort"], "high");
        assert!(sent.get("extra_body").is_none());
        let options = json!({"continuous_usage_stats": true, "include_usage": true});
        assert_eq!(sent["stream_options"], options);
        let mut problems = Vec::new();
        config.extra_body.insert("extra_body".into(), json!({}));
        config.extra_body.insert("stream".into(), json!(false));
        check_extra_body(&config, &mut problems);
        assert_eq!(problems.len(), 2);
    }

    #[test]
    fn a_complaint_is_traced_to_the_config_key() {
        let mut config = config();
        config.extra_body.insert("foo".into(), json!(1));
        for (complaint, expected) in [
            ("Unexpected fields in the request: {'ignore_eos', 'min_tokens'}", 2),
            ("max_tokens=999999 cannot be greater than max_model_len=2048.", 1),
            ("This model's maximum context length is 2048; please stop", 0),
            ("unknown field 'foo'", 1),
            ("bad `stop`", 1),
        ] {
            assert_eq!(keys_named_in(complaint, &config).len(), expected, "{complaint}");
        }
    }
}
