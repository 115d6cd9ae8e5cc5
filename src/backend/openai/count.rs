//! Has the server count tokens: `/tokenize` of vLLM, SGLang and llama.cpp, which agree in nothing but the name.
//!
//! vLLM and SGLang take `prompt` or `messages` and tell `count`; llama.cpp takes `content` and tells `tokens` only, and applies its
//! template by `/apply-template`. Fields that a server does not know it ignores, so one body serves all of them.

use http::Method;
use serde_json::{Value, json};

use super::OpenAi;
use super::check::{Told, exchange};
use crate::backend::BackendError;
use crate::config::component::backend::Api;
use crate::prompt::Prompt;
use crate::record::FailureClass;

/// Tokens of a text by itself.
pub(super) async fn text(backend: &OpenAi, text: &str) -> Result<Option<u64>, BackendError> {
    tokenize(backend, body(backend, text, false)).await
}

/// Tokens of a request with a prompt.
pub(super) async fn request(
    backend: &OpenAi,
    prompt: &Prompt,
) -> Result<Option<u64>, BackendError> {
    match (prompt, backend.config.api) {
        (Prompt::Tokens(ids), _) => Ok(Some(ids.len() as u64)),
        (_, Api::Completions) => tokenize(backend, body(backend, &prompt.text(), true)).await,
        (_, Api::Chat) => chat(backend, prompt).await,
    }
}

async fn chat(backend: &OpenAi, prompt: &Prompt) -> Result<Option<u64>, BackendError> {
    let messages = json!({ "messages": prompt.messages() });
    // Asked first: its server answers `messages` given to `/tokenize` with no tokens.
    let told = post(backend, "apply-template", &messages).await?;
    if let (true, Some(text)) = (told.is_ok(), told.json()["prompt"].as_str()) {
        return tokenize(backend, body(backend, text, true)).await;
    }
    let whole = json!({
        "model": backend.config.model,
        "messages": prompt.messages(),
        "add_generation_prompt": true,
    });
    tokenize(backend, whole).await
}

fn body(backend: &OpenAi, text: &str, with_special: bool) -> Value {
    json!({
        "model": backend.config.model,
        "prompt": text,
        "content": text,
        "add_special_tokens": with_special,
        "add_special": with_special,
    })
}

async fn tokenize(backend: &OpenAi, body: Value) -> Result<Option<u64>, BackendError> {
    let told = post(backend, "tokenize", &body).await?;
    if told.is_absent() {
        return Ok(None);
    }
    if !told.is_ok() {
        return Err(backend.refused(told.status, &told.headers, &told.body));
    }
    match counted(&told.json()) {
        Some(count) => Ok(Some(count)),
        None => {
            let message = "the answer of /tokenize has neither `count` nor `tokens`";
            Err(BackendError::new(FailureClass::Protocol, message))
        }
    }
}

/// A count is only believed beside as many tokens, where both are told.
fn counted(answer: &Value) -> Option<u64> {
    let tokens = answer.get("tokens").and_then(Value::as_array).map(|tokens| tokens.len() as u64);
    let count = answer.get("count").and_then(Value::as_u64);
    match (count, tokens) {
        (Some(count), Some(tokens)) => (count == tokens).then_some(count),
        (count, tokens) => count.or(tokens),
    }
}

async fn post(backend: &OpenAi, route: &str, body: &Value) -> Result<Told, BackendError> {
    let path = backend.client.endpoint().root_path(route);
    exchange(backend, Method::POST, &path, body.to_string().into_bytes()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_every_server_are_read_and_contradictions_are_not() {
        let read = |json: &str| counted(&serde_json::from_str(json).unwrap());
        let vllm =
            r#"{"count":4,"max_model_len":2048,"tokens":[362,79,337,3936],"token_strs":null}"#;
        assert_eq!(read(vllm), Some(4));
        assert_eq!(read(r#"{"tokens":[1,2]}"#), Some(2));
        assert_eq!(read(r#"{"tokens":[{"id":1,"piece":"a"}]}"#), Some(1));
        assert_eq!(read(r#"{"count":4,"tokens":[1]}"#), None);
        assert_eq!(read(r#"{"error":"x"}"#), None);
        assert_eq!(read("[]"), None);
    }
}
