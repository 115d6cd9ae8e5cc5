//! What a body of `/v1/chat/completions`, `/v1/completions` or `/tokenize` asks for, and the errors it can earn, in vLLM's shapes.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::{MockConfig, Overrides, Service};
use crate::tokens;

/// An error that is told to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub status: u16,
    kind: &'static str,
    param: Option<&'static str>,
    message: String,
}

impl ApiError {
    pub(crate) fn bad_request(param: Option<&'static str>, message: impl Into<String>) -> Self {
        Self { status: 400, kind: "BadRequestError", param, message: message.into() }
    }

    pub(crate) fn of(status: u16, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, param: None, message: message.into() }
    }

    /// The body of the answer.
    pub(crate) fn body(&self) -> Vec<u8> {
        json!({"error": {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.status,
        }})
        .to_string()
        .into_bytes()
    }
}

/// Which endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    Chat,
    Completions,
}

/// A request to generate, checked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ask {
    pub api: Api,
    /// As the client wrote it.
    pub model: String,
    pub stream: bool,
    pub include_usage: bool,
    pub prompt_tokens: u64,
    /// Tokens that will come, and why they end.
    pub output: Output,
    pub service: Service,
    pub overrides: Overrides,
    /// The hash of each word of the prompt, for the prefix cache.
    pub words: Vec<u64>,
}

/// How long an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Output {
    pub tokens: u64,
    /// `length` where the limit ended it, else `stop`.
    pub finish: &'static str,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    model: Option<String>,
    messages: Option<Vec<Message>>,
    prompt: Option<Prompt>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<i64>,
    max_completion_tokens: Option<i64>,
    min_tokens: Option<u64>,
    ignore_eos: Option<bool>,
    n: Option<u64>,
    mock: Option<Overrides>,
    add_generation_prompt: Option<bool>,
    return_token_strs: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Debug, Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<Content>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
struct Part {
    #[serde(default)]
    text: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Prompt {
    Text(String),
    Tokens(Vec<u64>),
    Texts(Vec<String>),
}

/// The tokens of a prompt in order.
#[derive(Default)]
struct Counted<'a>(Vec<Cow<'a, str>>);

fn read(bytes: &[u8]) -> Result<Body, ApiError> {
    serde_json::from_slice(bytes).map_err(|cause| ApiError {
        status: 400,
        kind: "Bad Request",
        param: None,
        message: format!("1 validation error: {cause}"),
    })
}

/// Reads a request to generate.
pub(crate) fn ask(config: &MockConfig, api: Api, bytes: &[u8]) -> Result<Ask, ApiError> {
    let mut body = read(bytes)?;
    let model = body.model.take().unwrap_or_else(|| config.model.clone());
    if config.strict_model && model != config.model {
        let message = format!("The model `{model}` does not exist.");
        return Err(ApiError::of(404, "NotFoundError", message));
    }
    if body.n.is_some_and(|n| n != 1) {
        return Err(ApiError::bad_request(Some("n"), "this server gives one choice: n=1"));
    }
    let overrides = body.mock.take().unwrap_or_default();
    let service = Service::of(config, &overrides)
        .map_err(|message| ApiError::bad_request(Some("mock"), message))?;
    let words = prompt(&body, api)?.hashes();
    let prompt_tokens = words.len() as u64;
    let output = output(&body, config, prompt_tokens, service.tokens)?;
    Ok(Ask {
        api,
        model,
        stream: body.stream.unwrap_or(false),
        include_usage: body.stream_options.is_some_and(|options| options.include_usage),
        prompt_tokens,
        output,
        service,
        overrides,
        words,
    })
}

fn prompt(body: &Body, api: Api) -> Result<Counted<'_>, ApiError> {
    match (api, &body.messages, &body.prompt) {
        (Api::Chat, Some(messages), _) if !messages.is_empty() => {
            Ok(count_messages(messages, true))
        }
        (Api::Chat, ..) => Err(ApiError::bad_request(Some("messages"), "messages are missing")),
        (Api::Completions, _, Some(prompt)) => count_prompt(prompt),
        (Api::Completions, _, None) => {
            Err(ApiError::bad_request(Some("prompt"), "a prompt is missing"))
        }
    }
}

fn count_prompt(prompt: &Prompt) -> Result<Counted<'_>, ApiError> {
    let text = match prompt {
        Prompt::Text(text) => text,
        Prompt::Texts(texts) if texts.len() == 1 => &texts[0],
        Prompt::Texts(_) => {
            let message = "this server takes one prompt a request";
            return Err(ApiError::bad_request(Some("prompt"), message));
        }
        Prompt::Tokens(ids) => {
            return Ok(Counted(ids.iter().map(|id| format!("<{id}>").into()).collect()));
        }
    };
    let mut counted = Counted::default();
    counted.add(text);
    Ok(counted)
}

fn count_messages(messages: &[Message], opens_answer: bool) -> Counted<'_> {
    let mut counted = Counted::default();
    for message in messages {
        counted.template(tokens::MESSAGE_TOKENS);
        match &message.content {
            Some(Content::Text(text)) => counted.add(text),
            Some(Content::Parts(parts)) => {
                for text in parts.iter().filter_map(|part| part.text.as_deref()) {
                    counted.add(text);
                }
            }
            None => {}
        }
    }
    if opens_answer {
        counted.template(tokens::ANSWER_TOKENS);
    }
    counted
}

impl<'a> Counted<'a> {
    fn add(&mut self, text: &'a str) {
        self.0.extend(text.split_whitespace().map(Cow::from));
    }

    fn template(&mut self, tokens: u64) {
        self.0.extend((0..tokens).map(|number| Cow::from(format!("<|template_{number}|>"))));
    }

    /// What the prefix cache knows words by.
    fn hashes(&self) -> Vec<u64> {
        self.0.iter().map(|word| tokens::hash(word.as_bytes())).collect()
    }
}

/// The limit is the request's, else what is left of the context; an answer ends by itself after the service's tokens
/// unless `ignore_eos` forbids it or `min_tokens` asks for more.
fn output(
    body: &Body,
    config: &MockConfig,
    prompt_tokens: u64,
    natural: u64,
) -> Result<Output, ApiError> {
    let (name, asked) = match (body.max_completion_tokens, body.max_tokens) {
        (Some(limit), _) => ("max_completion_tokens", Some(limit)),
        (None, limit) => ("max_tokens", limit),
    };
    let room = config.max_model_len.saturating_sub(prompt_tokens);
    if room == 0 {
        let message =
            format!("the prompt has {prompt_tokens} tokens, the context {}", config.max_model_len);
        return Err(ApiError::bad_request(Some("prompt"), message));
    }
    let limit = match asked {
        None => room,
        Some(asked) => {
            let limit = u64::try_from(asked).ok().filter(|limit| *limit > 0).ok_or_else(|| {
                let message = format!("{name} must be at least 1, got {asked}.");
                ApiError::bad_request(Some(name), message)
            })?;
            if limit > room {
                let message = format!(
                    "{name}={limit} and {prompt_tokens} prompt tokens cannot be more than max_model_len={}.",
                    config.max_model_len
                );
                return Err(ApiError::bad_request(Some(name), message));
            }
            limit
        }
    };
    let wanted = if body.ignore_eos.unwrap_or(false) {
        limit
    } else {
        natural.max(body.min_tokens.unwrap_or(0))
    };
    let finish = if wanted >= limit { "length" } else { "stop" };
    Ok(Output { tokens: wanted.min(limit), finish })
}

/// Answers `/tokenize`.
pub(crate) fn tokenize(config: &MockConfig, bytes: &[u8]) -> Result<Vec<u8>, ApiError> {
    let body = read(bytes)?;
    let counted = match (&body.messages, &body.prompt) {
        (Some(messages), _) => count_messages(messages, body.add_generation_prompt.unwrap_or(true)),
        (None, Some(prompt)) => count_prompt(prompt)?,
        (None, None) => {
            return Err(ApiError::bad_request(None, "neither prompt nor messages"));
        }
    };
    let ids: Vec<u32> = counted.0.iter().map(|word| tokens::id(word)).collect();
    let strings = body.return_token_strs.unwrap_or(false).then_some(&counted.0);
    let answer = json!({
        "count": ids.len(),
        "max_model_len": config.max_model_len,
        "tokens": ids,
        "token_strs": strings,
    });
    Ok(answer.to_string().into_bytes())
}

/// Answers `/v1/models`.
pub(crate) fn models(config: &MockConfig, created: u64) -> Vec<u8> {
    let model: Value = json!({
        "id": config.model,
        "object": "model",
        "created": created,
        "owned_by": "mock-server",
        "root": config.model,
        "parent": null,
        "max_model_len": config.max_model_len,
    });
    json!({"object": "list", "data": [model]}).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(body: &str) -> Result<Ask, ApiError> {
        ask(&MockConfig::default(), Api::Chat, body.as_bytes())
    }

    fn with(extra: &str) -> Result<Ask, ApiError> {
        chat(&format!(r#"{{"messages":[{{"role":"user","content":"a b"}}]{extra}}}"#))
    }

    #[test]
    fn chat_prompts_count_words_and_template() {
        assert_eq!(with("").unwrap().prompt_tokens, 2 + 4 + 2);
        let parts = r#"{"messages":[{"role":"system","content":"one two"},
            {"role":"user","content":[{"type":"text","text":"three"}]}]}"#;
        assert_eq!(chat(parts).unwrap().prompt_tokens, 3 + 2 * 4 + 2);
    }

    #[test]
    fn tokenize_counts_what_usage_counts() {
        let config = MockConfig::default();
        let count = |body: &str| {
            let answer = tokenize(&config, body.as_bytes()).unwrap();
            serde_json::from_slice::<Value>(&answer).unwrap()["count"].as_u64().unwrap()
        };
        assert_eq!(count(r#"{"messages":[{"role":"user","content":"a b"}]}"#), 8);
        assert_eq!(count(r#"{"prompt":"a  b\nc"}"#), 3);
        let completion = ask(&config, Api::Completions, br#"{"prompt":"a  b\nc"}"#).unwrap();
        assert_eq!(completion.prompt_tokens, 3);
        let ids = ask(&config, Api::Completions, br#"{"prompt":[5,6]}"#).unwrap();
        assert_eq!(ids.prompt_tokens, 2);
    }

    #[test]
    fn the_length_follows_limit_minimum_and_ignore_eos() {
        let output = |extra: &str| {
            let output = with(extra).unwrap().output;
            (output.tokens, output.finish)
        };
        assert_eq!(output(""), (128, "stop"));
        assert_eq!(output(r#","max_tokens":10"#), (10, "length"));
        assert_eq!(output(r#","max_tokens":10,"max_completion_tokens":20"#), (20, "length"));
        assert_eq!(output(r#","max_tokens":500"#), (128, "stop"));
        assert_eq!(output(r#","max_tokens":500,"min_tokens":200"#), (200, "stop"));
        assert_eq!(output(r#","max_tokens":500,"ignore_eos":true"#), (500, "length"));
        assert_eq!(output(r#","max_tokens":128"#), (128, "length"));
        assert_eq!(output(r#","ignore_eos":true"#), (131_072 - 8, "length"));
        assert_eq!(output(r#","mock":{"tokens":7}"#), (7, "stop"));
    }

    #[test]
    fn wrong_requests_are_told_as_vllm_does() {
        let error = with(r#","max_tokens":-1"#).unwrap_err();
        let body: Value = serde_json::from_slice(&error.body()).unwrap();
        assert_eq!(body["error"]["message"], "max_tokens must be at least 1, got -1.");
        assert_eq!(body["error"]["code"], 400);
        for wrong in [
            r#"{"messages":[]}"#,
            r#"{"prompt":"x"}"#,
            "{",
            r#"{"messages":[{"content":"x"}],"n":2}"#,
            r#"{"messages":[{"content":"x"}],"max_tokens":999999}"#,
            r#"{"messages":[{"content":"x"}],"mock":{"unknown":1}}"#,
        ] {
            assert_eq!(chat(wrong).unwrap_err().status, 400, "{wrong}");
        }
        let strict = MockConfig { strict_model: true, ..MockConfig::default() };
        let body = br#"{"model":"other","prompt":"x"}"#;
        assert_eq!(ask(&strict, Api::Completions, body).unwrap_err().status, 404);
    }
}
