//! What is asked of a server before a run: its health, what it is, and whether it has the model.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use http::{HeaderMap, Method};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use super::http::Call;
use super::{KIND, OpenAi, locality};
use crate::backend::{BackendError, CheckReport, Sink, StreamEvent};
use crate::error::nearest;
use crate::record::{BackendInfo, FailureClass, Warning, Weights};
use crate::units::Nanos;

/// Longest wait for an answer to one question.
const PATIENCE: Duration = Duration::from_secs(30);
/// Largest answer to one.
const LARGEST: usize = 4 << 20;
/// Most models that an error lists.
const LISTED: usize = 20;

/// A server version that this client was run against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tested {
    /// Name of the software, as the report gives it.
    pub server: &'static str,
    /// Its version, as it tells it.
    pub version: &'static str,
    /// When.
    pub date: &'static str,
    /// On what.
    pub on: &'static str,
}

/// Every server version that this client was run against. `docs/` shows this table; recorded answers lie in
/// `tests/data/servers/`.
pub const TESTED: &[Tested] = &[
    Tested { server: VLLM, version: "0.32.0", date: "2026-11-24", on: "CPU" },
    Tested { server: VLLM, version: "0.20.0", date: "2026-11-24", on: "NVIDIA H100 and H200" },
    Tested { server: LLAMA_CPP, version: "b1-7e4c0a9", date: "2026-11-24", on: "CPU" },
    Tested { server: TRANSFORMERS, version: "5.23.0", date: "2026-11-24", on: "CPU" },
];

const VLLM: &str = "vLLM";
const LLAMA_CPP: &str = "llama.cpp";
const TRANSFORMERS: &str = "transformers serve";
const SGLANG: &str = "SGLang";
const TGI: &str = "TGI";

/// An answer to a question.
pub(super) struct Told {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Told {
    pub(super) const fn is_ok(&self) -> bool {
        self.status >= 200 && self.status < 300
    }

    /// The route does not exist here.
    pub(super) const fn is_absent(&self) -> bool {
        matches!(self.status, 404 | 405 | 501)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// The answer of `/v1/models`.
#[derive(Debug, Default, Deserialize)]
struct Models {
    #[serde(default)]
    data: Vec<Model>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Model {
    id: String,
    aliases: Vec<String>,
    owned_by: Option<Value>,
    root: Option<Value>,
    max_model_len: Option<Value>,
    meta: Option<Value>,
}

impl Model {
    fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.id.as_str()).chain(self.aliases.iter().map(String::as_str))
    }
}

/// What a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Software {
    name: Option<&'static str>,
    version: Option<String>,
}

/// Questions have nobody to tell their progress to.
struct Nobody;

impl Sink for Nobody {
    fn event(&mut self, _: Nanos, _: StreamEvent<'_>) {}
}

/// Asks everything; the first answer that rules a run out ends it.
pub(super) async fn check(backend: &OpenAi) -> Result<CheckReport, BackendError> {
    let mut warnings = Vec::new();
    let endpoint = backend.client.endpoint();
    let health = ask(backend, &endpoint.root_path("health")).await?;
    if !health.is_ok() && !health.is_absent() && !matches!(health.status, 401 | 403) {
        return Err(backend.refused(health.status, &health.headers, &health.body));
    }
    let models = ask(backend, &endpoint.api_path("models")).await?;
    // A list that is absent or broken rules nothing out: some servers answer requests all the same.
    if matches!(models.status, 300..=399 | 401 | 403 | 503) {
        return Err(backend.refused(models.status, &models.headers, &models.body));
    }
    let list: Models = serde_json::from_slice(&models.body).unwrap_or_default();
    let software = identify(backend, &health, &models, &list).await?;
    let model = find_model(&backend.config.model, &list, &software, &mut warnings)?;
    warn_of_version(&software, &mut warnings);
    let mut details = model.map(details_of).unwrap_or_default();
    details.insert("health_status".to_owned(), health.status.into());
    details.insert("api".to_owned(), serde_json::json!(backend.config.api));
    details.insert("stream".to_owned(), backend.config.stream.into());
    let addresses = backend.client.resolve().await?;
    let place = locality::find(&endpoint.host, &addresses, Path::new("/proc"));
    let info = BackendInfo {
        kind: KIND.to_owned(),
        model: backend.config.model.clone(),
        endpoint: Some(endpoint.to_string()),
        server: software.name.map(str::to_owned),
        server_version: software.version,
        weights: if backend.config.no_weights { Weights::Synthetic } else { Weights::Unknown },
        local: place.local,
        local_reason: place.reason,
        pids: place.pids,
        details,
    };
    Ok(CheckReport { info, warnings })
}

async fn ask(backend: &OpenAi, path: &str) -> Result<Told, BackendError> {
    exchange(backend, Method::GET, path, Vec::new()).await
}

/// One question with its answer, whatever its status.
pub(super) async fn exchange(
    backend: &OpenAi,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Result<Told, BackendError> {
    let call = Call { method, path: path.to_owned(), accept: "application/json", body };
    let answer = async {
        let mut reply = backend.client.send(&call, &mut Nobody).await?;
        let body = reply.read_all(LARGEST).await?.bytes;
        let (status, headers) = (reply.status, reply.headers.clone());
        backend.client.give_back(reply);
        Ok(Told { status, headers, body })
    };
    timeout(PATIENCE, answer).await.unwrap_or_else(|_| {
        let message = format!("{path} gave no answer in {} s", PATIENCE.as_secs());
        Err(BackendError::new(FailureClass::Deadline, message)
            .hint("the server hangs or is overloaded"))
    })
}

/// Tells servers apart by what only they say, and asks for the version where they tell it.
async fn identify(
    backend: &OpenAi,
    health: &Told,
    models: &Told,
    list: &Models,
) -> Result<Software, BackendError> {
    let endpoint = backend.client.endpoint();
    let owner = list.data.first().and_then(|model| model.owned_by.as_ref()?.as_str());
    let header = health.header("server").or_else(|| models.header("server"));
    let (name, route, pointer) = match (owner, header) {
        (Some("vllm"), _) => (VLLM, "version", "/version"),
        (Some("llamacpp"), _) | (_, Some("llama.cpp")) => (LLAMA_CPP, "props", "/build_info"),
        (Some("sglang"), _) => (SGLANG, "get_server_info", "/version"),
        _ => return identify_by_routes(backend).await,
    };
    let told = ask(backend, &endpoint.root_path(route)).await?;
    let version = told.json().pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    Ok(Software { name: Some(name), version })
}

async fn identify_by_routes(backend: &OpenAi) -> Result<Software, BackendError> {
    let endpoint = backend.client.endpoint();
    let info = ask(backend, &endpoint.root_path("info")).await?.json();
    if let (Some(version), Some(_)) = (info["version"].as_str(), info.get("model_id")) {
        return Ok(Software { name: Some(TGI), version: Some(version.to_owned()) });
    }
    // vLLM behind a gateway that rewrites the list still answers this.
    let version = ask(backend, &endpoint.root_path("version")).await?;
    if let Some(text) = version.json()["version"].as_str().filter(|_| version.is_ok()) {
        let like_vllm = text.starts_with(|first: char| first.is_ascii_digit());
        let name = like_vllm.then_some(VLLM);
        return Ok(Software { name, version: Some(text.to_owned()) });
    }
    // transformers serve has no name of its own anywhere, but routes that nobody else has.
    let routes = ask(backend, &endpoint.root_path("openapi.json")).await?.json();
    let has = |route: &str| routes["paths"].get(route).is_some();
    let is_transformers = has("/load_model") && has("/v1/chat/completions");
    Ok(Software { name: is_transformers.then_some(TRANSFORMERS), version: None })
}

/// The model among those that the server lists.
fn find_model<'a>(
    wanted: &str,
    list: &'a Models,
    software: &Software,
    warnings: &mut Vec<Warning>,
) -> Result<Option<&'a Model>, BackendError> {
    let found = list.data.iter().find(|model| model.names().any(|name| name == wanted));
    if found.is_some() && !wanted.is_empty() {
        return Ok(found);
    }
    let names: Vec<&str> = list.data.iter().flat_map(Model::names).collect();
    if wanted.is_empty() {
        return Err(no_such_model("backend.model is empty".to_owned(), wanted, &names));
    }
    if names.is_empty() {
        warnings.push(Warning::new(
            "model_not_checked",
            format!("the server lists no models; `{wanted}` was taken at its word"),
        ));
        return Ok(None);
    }
    if software.name == Some(TRANSFORMERS) {
        // It lists `local/NAME` for a model that it answers to only by its path.
        warnings.push(Warning::new(
            "model_not_checked",
            format!(
                "the server lists {}, not `{wanted}`; this server's list is no guide",
                names.join(", ")
            ),
        ));
        return Ok(None);
    }
    Err(no_such_model(format!("the server does not list the model `{wanted}`"), wanted, &names))
}

fn no_such_model(message: String, wanted: &str, names: &[&str]) -> BackendError {
    let mut shown: Vec<&str> = names.to_vec();
    shown.dedup();
    let more = shown.len().saturating_sub(LISTED);
    shown.truncate(LISTED);
    let mut hint = match nearest(wanted, names.iter().copied()).filter(|_| !wanted.is_empty()) {
        Some(near) => format!("did you mean `{near}`? "),
        None => String::new(),
    };
    hint.push_str(&format!("it lists: {}", shown.join(", ")));
    if more > 0 {
        hint.push_str(&format!(" and {more} more"));
    }
    BackendError::new(FailureClass::HttpStatus, message).hint(hint)
}

fn details_of(model: &Model) -> BTreeMap<String, Value> {
    let mut details = BTreeMap::new();
    let mut note = |name: &str, value: Option<&Value>| {
        if let Some(value) = value.filter(|value| !value.is_null()) {
            details.insert(name.to_owned(), value.clone());
        }
    };
    let meta = |key: &str| model.meta.as_ref().and_then(|meta| meta.get(key));
    // llama-server names its context `n_ctx`.
    note("max_model_len", model.max_model_len.as_ref().or_else(|| meta("n_ctx")));
    note("model_root", model.root.as_ref());
    for (name, key) in [
        ("n_params", "n_params"),
        ("vocab_size", "n_vocab"),
        ("weights_bytes", "size"),
        ("weights_format", "ftype"),
    ] {
        note(name, meta(key));
    }
    details
}

/// A caution when the server's version is not in [`TESTED`].
fn warn_of_version(software: &Software, warnings: &mut Vec<Warning>) {
    const CODE: &str = "untested_server_version";
    let Some(name) = software.name else {
        let message = "the server does not tell what it is; figures rest on its token counts";
        warnings.push(Warning::new(CODE, message));
        return;
    };
    let tested: Vec<&str> =
        TESTED.iter().filter(|known| known.server == name).map(|known| known.version).collect();
    let tested_list =
        if tested.is_empty() { "no version of it".to_owned() } else { tested.join(", ") };
    let message = match software.version.as_deref() {
        // `0.20.0+cu129` is a build of 0.20.0.
        Some(version) if tested.contains(&version.split('+').next().unwrap_or(version)) => return,
        Some(version) => format!("{name} {version} was not tested; tested: {tested_list}"),
        None => format!("{name} does not tell its version; tested: {tested_list}"),
    };
    warnings.push(Warning::new(CODE, message));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn software(name: &'static str, version: Option<&str>) -> Software {
        Software { name: Some(name), version: version.map(str::to_owned) }
    }

    fn cautions(software: &Software) -> Vec<String> {
        let mut warnings = Vec::new();
        warn_of_version(software, &mut warnings);
        warnings.into_iter().map(|warning| warning.message).collect()
    }

    #[test]
    fn only_versions_outside_the_table_are_cautioned() {
        assert!(cautions(&software(VLLM, Some("0.32.0"))).is_empty());
        assert!(cautions(&software(VLLM, Some("0.20.0+cu129"))).is_empty());
        assert!(cautions(&software(VLLM, Some("0.9.1")))[0].contains("0.32.0, 0.20.0"));
        assert!(cautions(&software(SGLANG, Some("0.5")))[0].contains("no version of it"));
        assert!(cautions(&software(TRANSFORMERS, None))[0].contains("does not tell"));
        assert_eq!(cautions(&Software { name: None, version: None }).len(), 1);
    }

    #[test]
    fn a_missing_model_is_an_error_with_the_list_and_the_nearest_name() {
        let list: Models = serde_json::from_str(
            r#"{"data":[{"id":"tiny-llama","aliases":["tiny-llama","tl"]},{"id":"other"}]}"#,
        )
        .unwrap();
        let mut warnings = Vec::new();
        let vllm = software(VLLM, None);
        assert!(find_model("tl", &list, &vllm, &mut warnings).unwrap().is_some());
        let hint = find_model("tiny-lama", &list, &vllm, &mut warnings).unwrap_err().hint.unwrap();
        assert_eq!(hint, "did you mean `tiny-llama`? it lists: tiny-llama, tl, other");
        let error = find_model("", &list, &vllm, &mut warnings).unwrap_err();
        assert!(error.message.contains("empty") && error.hint.unwrap().contains("tiny-llama"));
        assert!(warnings.is_empty());
        let other = software(TRANSFORMERS, None);
        assert!(find_model("models/x", &list, &other, &mut warnings).unwrap().is_none());
        assert!(find_model("x", &Models::default(), &vllm, &mut warnings).unwrap().is_none());
        assert_eq!(warnings.len(), 2);
    }
}
