//! A backend that answers by a script: known tokens, known pauses, planted failures.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use ai_energy_benchmarks::backend::{
    Backend, BackendError, BoxFuture, CheckReport, Completion, GenerateRequest, Sink, StreamEvent,
};
use ai_energy_benchmarks::clock;
use ai_energy_benchmarks::prompt::Prompt;
use ai_energy_benchmarks::record::{BackendInfo, TokenCounts, TokenSource, Weights};

/// What a request meets.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// Tokens generated.
    pub tokens: u64,
    /// Pause before each.
    pub gap: Duration,
    /// Errors of the first attempts, in order; the attempt after them succeeds.
    pub errors: Vec<BackendError>,
    /// An error after the first token of the attempt that would have succeeded.
    pub breaks: Option<BackendError>,
}

/// Answers every request by the same script, except those with one of their own.
#[derive(Debug, Default)]
pub struct ScriptedBackend {
    /// The script of requests without their own.
    pub script: Script,
    /// Scripts by position in the measured phase.
    pub by_index: BTreeMap<u64, Script>,
    /// Error of the check.
    pub check_error: Option<BackendError>,
    /// Whether it says that it loads the model into this process.
    pub loads_here: bool,
    /// Processes that the check names as the backend's.
    pub pids: Vec<u32>,
    /// The vocabulary that the check tells.
    pub vocab_size: Option<u32>,
    /// Tokens that a request costs beside its words, where the backend counts: each word is a token.
    pub template_tokens: Option<u64>,
    /// Attempts made, by position.
    pub attempts: Mutex<BTreeMap<u64, usize>>,
    /// Every request that came, in order.
    pub requests: Mutex<Vec<GenerateRequest>>,
}

impl ScriptedBackend {
    /// Every request yields this many tokens with this pause before each.
    #[must_use]
    pub fn steady(tokens: u64, gap: Duration) -> Self {
        Self { script: Script { tokens, gap, ..Script::default() }, ..Self::default() }
    }

    fn script(&self, index: u64) -> &Script {
        self.by_index.get(&index).unwrap_or(&self.script)
    }

    fn info(&self) -> BackendInfo {
        let vocabulary = self.vocab_size.map(|size| ("vocab_size".to_owned(), size.into()));
        BackendInfo {
            kind: "scripted".to_owned(),
            model: "script".to_owned(),
            endpoint: None,
            server: None,
            server_version: None,
            weights: Weights::Synthetic,
            local: true,
            local_reason: "in this process".to_owned(),
            pids: self.pids.clone(),
            details: vocabulary.into_iter().collect(),
        }
    }

    /// The error planted for this attempt, if any.
    fn planted(&self, index: u64) -> Option<BackendError> {
        let mut attempts = self.attempts.lock().ok()?;
        let attempt = attempts.entry(index).or_default();
        let error = self.script(index).errors.get(*attempt).cloned();
        *attempt += 1;
        error
    }
}

impl Backend for ScriptedBackend {
    fn check(&self) -> BoxFuture<'_, Result<CheckReport, BackendError>> {
        Box::pin(async {
            match &self.check_error {
                Some(error) => Err(error.clone()),
                None => Ok(CheckReport { info: self.info(), warnings: Vec::new() }),
            }
        })
    }

    fn loads_here(&self) -> bool {
        self.loads_here
    }

    fn count_text<'a>(&'a self, text: &'a str) -> BoxFuture<'a, Result<Option<u64>, BackendError>> {
        let count = self.template_tokens.map(|_| text.split_whitespace().count() as u64);
        Box::pin(async move { Ok(count) })
    }

    fn count_request<'a>(
        &'a self,
        prompt: &'a Prompt,
    ) -> BoxFuture<'a, Result<Option<u64>, BackendError>> {
        let count = self.template_tokens.map(|template| template + words(prompt));
        Box::pin(async move { Ok(count) })
    }

    fn generate<'a>(
        &'a self,
        request: &'a GenerateRequest,
        sink: &'a mut dyn Sink,
    ) -> BoxFuture<'a, Result<Completion, BackendError>> {
        Box::pin(async move {
            let script = self.script(request.index);
            if let Ok(mut requests) = self.requests.lock() {
                requests.push(request.clone());
            }
            sink.event(clock::now(), StreamEvent::Sent);
            if let Some(error) = self.planted(request.index) {
                return Err(error);
            }
            for index in 0..script.tokens {
                pause(script.gap).await;
                sink.event(clock::now(), StreamEvent::Content("word "));
                if index == 0
                    && let Some(error) = &script.breaks
                {
                    return Err(error.clone());
                }
            }
            let counted = self.template_tokens.map(|template| template + words(&request.prompt));
            Ok(completion(counted.unwrap_or(10), script.tokens))
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "a scripted server takes its time")]
async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

fn words(prompt: &Prompt) -> u64 {
    prompt.text().split_whitespace().count() as u64
}

fn completion(prompt: u64, tokens: u64) -> Completion {
    Completion {
        tokens: TokenCounts {
            prompt: Some(prompt),
            cached_prompt: None,
            completion: Some(tokens),
            reasoning: None,
            source: TokenSource::Engine,
        },
        finish_reason: Some("length".to_owned()),
        server_timings: None,
    }
}
