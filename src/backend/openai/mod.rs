//! `vllm`: vLLM, and every other server that speaks OpenAI's API.
//!
//! Needs: a server that is running. Counts tokens by the server's own `usage`, which every request asks for.
//! Limits: HTTP/1.1; streaming gives times of events, and an event may hold several tokens.
//!
//! `http` carries a request and stamps what comes back, `wire` tells head and body of an answer apart, `sse` cuts a stream into events, `chunk` reads their
//! JSON, `answer` puts them together, `failure` puts what goes wrong into classes, `check` asks a server what it
//! is, and `locality` where.

mod answer;
mod auth;
mod body;
mod check;
mod chunk;
mod count;
mod endpoint;
mod failure;
mod http;
mod io;
mod locality;
mod mould;
pub mod sse;
mod tls;
pub mod wire;

use std::path::Path;
use std::sync::Arc;

use ::http::header::CONTENT_TYPE;
use ::http::{HeaderMap, Method};

use self::answer::Answer;
use self::auth::Auth;
use self::endpoint::{Endpoint, Parsed};
use self::http::{Call, Client, ReadError, Reply};
use self::tls::Tls;
use super::{
    Backend, BackendEntry, BackendError, BoxFuture, CheckReport, Completion, GenerateRequest, Host,
    Sink, StreamEvent,
};
use crate::config::component::backend::{BackendConfig, VllmConfig};
use crate::error::{Problem, Problems};
use crate::prompt::Prompt;
use crate::record::FailureClass;
use crate::units::Seconds;

pub use self::answer::Decoder;
pub use self::check::{TESTED, Tested};
pub use self::endpoint::redacted;

/// The value of `backend.type`.
pub const KIND: &str = "vllm";

/// The line in the registry.
pub const ENTRY: BackendEntry = BackendEntry {
    kind: KIND,
    summary: "vLLM or any other server that speaks OpenAI's API",
    build,
};

/// Largest error body that is read.
const ERROR_LIMIT: usize = 64 << 10;

/// Variables of the environment, as a function so that tests have their own.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Every problem of the settings that can be told without the server. Secrets are not shown.
#[must_use]
pub fn validate(config: &VllmConfig, env: Env<'_>) -> Vec<Problem> {
    match OpenAi::new(config.clone(), env) {
        Ok(_) => Vec::new(),
        Err(Problems(problems)) => problems,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of every backend's constructor")]
fn build(config: &BackendConfig, host: Arc<dyn Host>) -> Result<Box<dyn Backend>, Problems> {
    let BackendConfig::Vllm(config) = config else {
        let message = format!("the {KIND} backend was given the settings of {}", config.kind());
        return Err(Problem::new("backend.type", message).into());
    };
    let backend = OpenAi::new(config.clone(), &|name| host.variable(name))?;
    Ok(Box::new(backend))
}

/// A server that speaks OpenAI's API.
#[derive(Debug)]
pub struct OpenAi {
    config: VllmConfig,
    client: Client,
    auth: Auth,
}

impl OpenAi {
    /// A client for a server; nothing is sent yet.
    ///
    /// # Errors
    /// Everything that is wrong with the settings.
    pub fn new(mut config: VllmConfig, env: Env<'_>) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let parsed = Endpoint::parse(&config.endpoint).map_err(|found| problems.extend(found)).ok();
        let auth = auth::choose(&config, parsed.as_ref(), env, &mut problems);
        check_numbers(&config, &mut problems);
        body::check_extra_body(&config, &mut problems);
        let client = parsed.and_then(|Parsed { endpoint, .. }| {
            check_api(&config, &endpoint, &mut problems);
            client(&config, endpoint, &auth, env, &mut problems)
        });
        // From here on nobody needs the URL with its password.
        config.endpoint = redacted(&config.endpoint);
        match client {
            Some(client) if problems.is_empty() => Ok(Self { config, client, auth }),
            _ => Err(Problems(problems)),
        }
    }

    async fn answer(
        &self,
        request: &GenerateRequest,
        sink: &mut dyn Sink,
    ) -> Result<Completion, BackendError> {
        let call = Call {
            method: Method::POST,
            path: self.client.endpoint().generate_path(self.config.api),
            accept: if self.config.stream { "text/event-stream" } else { "application/json" },
            body: body::request(&self.config, request)?,
        };
        let mut reply = self.client.send(&call, sink).await?;
        if !(200..300).contains(&reply.status) {
            let body = reply.read_what_comes(ERROR_LIMIT).await;
            let error = self.refused(reply.status, &reply.headers, &body.bytes);
            self.client.give_back(reply);
            return Err(error);
        }
        let answer = if self.is_stream(&reply.headers) {
            stream(&mut reply, sink).await?
        } else {
            whole(&mut reply, sink).await?
        };
        self.client.give_back(reply);
        Ok(answer)
    }

    /// Servers may ignore `stream`: what the answer says of itself decides, what was asked only in doubt.
    fn is_stream(&self, headers: &HeaderMap) -> bool {
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
        let kind = kind.to_ascii_lowercase();
        kind.starts_with("text/event-stream")
            || (self.config.stream && !kind.starts_with("application/json"))
    }

    /// The error of an answer with an error status.
    fn refused(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> BackendError {
        failure::status(&self.config, status, headers, body)
    }

    /// An error that is safe to show, should the server have repeated our credentials.
    fn scrubbed(&self, error: BackendError) -> BackendError {
        BackendError {
            message: self.auth.scrub(error.message),
            hint: error.hint.map(|hint| self.auth.scrub(hint)),
            ..error
        }
    }
}

impl Backend for OpenAi {
    fn check(&self) -> BoxFuture<'_, Result<CheckReport, BackendError>> {
        Box::pin(async { check::check(self).await.map_err(|error| self.scrubbed(error)) })
    }

    fn count_text<'a>(&'a self, text: &'a str) -> BoxFuture<'a, Result<Option<u64>, BackendError>> {
        Box::pin(async { count::text(self, text).await.map_err(|error| self.scrubbed(error)) })
    }

    fn count_request<'a>(
        &'a self,
        prompt: &'a Prompt,
    ) -> BoxFuture<'a, Result<Option<u64>, BackendError>> {
        Box::pin(async { count::request(self, prompt).await.map_err(|error| self.scrubbed(error)) })
    }

    fn generate<'a>(
        &'a self,
        request: &'a GenerateRequest,
        sink: &'a mut dyn Sink,
    ) -> BoxFuture<'a, Result<Completion, BackendError>> {
        Box::pin(async { self.answer(request, sink).await.map_err(|error| self.scrubbed(error)) })
    }
}

/// Reads a stream to its end, or to `[DONE]`, and tells the sink what it holds as it comes.
async fn stream(reply: &mut Reply, sink: &mut dyn Sink) -> Result<Completion, BackendError> {
    let mut decoder = Decoder::default();
    let mut last = None;
    while !decoder.is_done() && !reply.is_ended() {
        let mut decode = |at, piece: &[u8]| {
            if last.replace(at).is_none() {
                sink.event(at, StreamEvent::FirstByte);
            }
            decoder.feed(at, piece, sink)
        };
        match reply.read(&mut decode).await {
            Ok(()) => {}
            // Some servers hang up where the end of the body should be.
            Err(ReadError::Transport(_)) if decoder.is_complete() => break,
            Err(error) => return Err(error.into()),
        }
    }
    decoder.finish(last.unwrap_or_default(), sink)
}

/// Reads a whole answer.
async fn whole(reply: &mut Reply, sink: &mut dyn Sink) -> Result<Completion, BackendError> {
    let body = reply.read_all(sse::EVENT_LIMIT).await?;
    let (Some(first), Some(last)) = (body.first, body.last) else {
        return Err(BackendError::new(FailureClass::Protocol, "the answer is empty"));
    };
    sink.event(first, StreamEvent::FirstByte);
    let mut answer = Answer::default();
    answer.whole(last, &body.bytes, sink)?;
    answer.finish()
}

fn check_numbers(config: &VllmConfig, problems: &mut Vec<Problem>) {
    let allowed = config.connect_timeout_s;
    if !(allowed.is_finite() && allowed > 0.0) {
        problems.push(
            Problem::new("backend.connect_timeout_s", format!("{allowed} is not a time"))
                .hint("seconds, more than 0"),
        );
    }
}

fn check_api(config: &VllmConfig, endpoint: &Endpoint, problems: &mut Vec<Problem>) {
    if endpoint.contradicts(config.api) {
        problems.push(
            Problem::new("backend.api", "the endpoint names the other API in full")
                .hint("give only the base URL, or the same API in both"),
        );
    }
}

fn client(
    config: &VllmConfig,
    endpoint: Endpoint,
    auth: &Auth,
    env: Env<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Client> {
    let tls = if endpoint.https {
        let roots = env("SSL_CERT_FILE").filter(|path| !path.is_empty());
        match Tls::new(&endpoint.host, roots.as_deref().map(Path::new)) {
            Ok(tls) => Some(tls),
            Err(problem) => {
                problems.push(problem);
                return None;
            }
        }
    } else {
        None
    };
    let connect_timeout = Seconds(config.connect_timeout_s).into();
    Some(Client::new(endpoint, auth.header(), tls, connect_timeout))
}
