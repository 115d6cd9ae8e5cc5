//! Who answers: the trait every backend fills in.

pub mod openai;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::Value;

use crate::config::component::backend::BackendConfig;
use crate::config::component::scenario::GenerateKwargs;
use crate::error::{Problem, Problems};
use crate::prompt::Prompt;
use crate::record::{BackendInfo, FailureClass, TokenCounts, Warning};
use crate::units::{Nanos, Seconds};

/// A future that a trait object can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What `run` lends to backends: only `run` spawns.
pub trait Host: Send + Sync {
    /// Runs blocking work on a thread of its own, named for debuggers.
    fn spawn_blocking(&self, name: &str, job: Box<dyn FnOnce() + Send>);

    /// A variable of the environment, as the job sees it.
    fn variable(&self, name: &str) -> Option<String>;
}

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateRequest {
    /// Position in its phase.
    pub index: u64,
    /// What is asked.
    pub prompt: Prompt,
    /// How the answer is generated.
    pub params: Arc<GenerateKwargs>,
    /// Cut a prompt that does not fit, instead of failing.
    pub truncate: bool,
}

/// What happened in a request, told as it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEvent<'a> {
    /// The last byte of the request was handed over (for an engine: work begins).
    Sent,
    /// The connection had been closed for having been idle, and the request goes out once more: an attempt of its own.
    Again,
    /// The first byte of the answer's body arrived.
    FirstByte,
    /// An event without generated text: a role, a usage, a keep-alive.
    Empty,
    /// Generated text.
    Content(&'a str),
    /// Generated reasoning text.
    Reasoning(&'a str),
    /// Part of a tool call.
    ToolCall(&'a str),
    /// A whole answer at once, from a request that was not streamed. It says nothing of when the first token
    /// came: it counts as output, not as a token event.
    Whole {
        /// The generated text, tool calls included.
        content: &'a str,
        /// The generated reasoning; empty when there is none.
        reasoning: &'a str,
    },
}

/// Where a backend tells what happens; each event carries the moment it was received.
pub trait Sink: Send {
    /// Called in order of `at`.
    fn event(&mut self, at: Nanos, event: StreamEvent<'_>);
}

/// How a request ended well.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// Token counts and who made them.
    pub tokens: TokenCounts,
    /// `stop`, `length`, ...
    pub finish_reason: Option<String>,
    /// The server's own timings, as it names them.
    pub server_timings: Option<Value>,
}

/// What a check before the run found.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckReport {
    /// Who answers.
    pub info: BackendInfo,
    /// What the reader of the figures should know.
    pub warnings: Vec<Warning>,
}

/// Why a request, or the check before the run, failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct BackendError {
    /// The class, for counting.
    pub class: FailureClass,
    /// HTTP status, if there was one.
    pub http_status: Option<u16>,
    /// What happened, without secrets.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Wait that the server asked for (`Retry-After`).
    pub retry_after: Option<Seconds>,
}

impl BackendError {
    /// An error of a class.
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self { class, http_status: None, message: message.into(), hint: None, retry_after: None }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether another attempt may help: no connection, 429 or 503. The caller also asks that no byte
    /// of an answer has come.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self.class, FailureClass::Connect) || matches!(self.http_status, Some(429 | 503))
    }

    /// As a problem at a place.
    #[must_use]
    pub fn problem(&self, place: &str) -> Problem {
        Problem { place: place.to_owned(), message: self.message.clone(), hint: self.hint.clone() }
    }
}

/// Builds a backend from its settings, or tells everything that is wrong with them.
pub type BuildBackend = fn(&BackendConfig, Arc<dyn Host>) -> Result<Box<dyn Backend>, Problems>;

/// A backend by name.
#[derive(Clone, Copy)]
pub struct BackendEntry {
    /// The value of `backend.type`.
    pub kind: &'static str,
    /// One line for help texts.
    pub summary: &'static str,
    /// Builds it.
    pub build: BuildBackend,
}

/// Who answers requests.
///
/// A backend never retries, never sleeps and has no deadline of its own: the run drops the future when
/// the deadline passes, and what the sink heard by then is kept.
pub trait Backend: Send + Sync {
    /// Gets ready and checks that requests can succeed: loads the model, or asks the server for its
    /// health, version and models. Called once, before the idle baseline.
    fn check(&self) -> BoxFuture<'_, Result<CheckReport, BackendError>>;

    /// Whether [`Backend::check`] loads the model into this process: before it the machine is bare, and after the
    /// backend is dropped it is again.
    fn loads_here(&self) -> bool {
        false
    }

    /// Tokens of a text by itself, nothing added. `None` where the backend does not count; asked after [`Backend::check`].
    fn count_text<'a>(
        &'a self,
        _text: &'a str,
    ) -> BoxFuture<'a, Result<Option<u64>, BackendError>> {
        Box::pin(async { Ok(None) })
    }

    /// Tokens of a request with this prompt, chat template and special tokens included. `None` where the backend does not
    /// count.
    fn count_request<'a>(
        &'a self,
        _prompt: &'a Prompt,
    ) -> BoxFuture<'a, Result<Option<u64>, BackendError>> {
        Box::pin(async { Ok(None) })
    }

    /// Answers one request. Several may be in flight.
    fn generate<'a>(
        &'a self,
        request: &'a GenerateRequest,
        sink: &'a mut dyn Sink,
    ) -> BoxFuture<'a, Result<Completion, BackendError>>;
}
