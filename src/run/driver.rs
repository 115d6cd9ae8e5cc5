//! Sends one request: its prompt, its attempts, its deadline, its record.

use std::sync::Arc;

use super::control::Control;
use super::dispatch::Batch;
use super::journal::{Journal, Line};
use super::progress::Counters;
use super::recorder::{Identity, Recorder, cancelled, in_flight};
use crate::backend::{Backend, BackendError, Completion, GenerateRequest};
use crate::clock;
use crate::config::component::scenario::{GenerateKwargs, ScenarioConfig};
use crate::dataset::{Prompts, Sample, Stream};
use crate::record::{Event, FailureClass, Phase, RequestRecord, StopReason};
use crate::units::{Nanos, Seconds};

/// The longest wait between attempts.
const MOST_BACKOFF: Seconds = Seconds(30.0);

/// Everything the requests of a run share.
pub(super) struct Driver {
    pub backend: Arc<dyn Backend>,
    pub prompts: Prompts,
    pub params: Arc<GenerateKwargs>,
    /// Of short warm-up requests.
    pub short_params: Arc<GenerateKwargs>,
    pub truncate: bool,
    pub limits: Limits,
    pub journal: Journal,
    pub control: Control,
    pub counters: Arc<Counters>,
}

/// What a request may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    deadline: Seconds,
    retries: u32,
    backoff: Seconds,
    keep_output: bool,
}

/// A request that leaves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Departure {
    /// Its position in the phase.
    pub index: u64,
    /// When it was due.
    pub scheduled: Nanos,
    /// When it was let go.
    pub released: Nanos,
}

/// Generated prompts are new in every repetition, that no server answers them from its cache; this many positions lie between
/// those of two repetitions.
const REPETITION_STRIDE: u64 = 1 << 32;

impl Limits {
    pub(super) const fn new(scenario: &ScenarioConfig) -> Self {
        Self {
            deadline: Seconds(scenario.request_timeout_s),
            retries: scenario.max_retries,
            backoff: Seconds(scenario.retry_backoff_s),
            keep_output: scenario.save_outputs,
        }
    }
}

impl Driver {
    /// Whether requests may leave: not when the run is over, and not without records.
    pub(super) fn goes_on(&self) -> bool {
        if self.journal.has_failed() {
            self.control.stop(StopReason::RecordsFailed);
        }
        self.control.reason().is_none()
    }

    /// One request from its prompt to its record.
    pub(super) async fn one(&self, batch: &Batch, departure: Departure) {
        let requests = batch.requests;
        let params = match requests.short_from {
            Some(from) if departure.index >= from && departure.index < requests.least => {
                &self.short_params
            }
            _ => &self.params,
        };
        let Some(record) = self.request(batch, departure, params).await else { return };
        self.counters.ended(&record);
        self.control.count(&record.outcome);
        self.journal.write(Line::Request(Box::new(record)));
    }

    /// One request with its retries, up to its deadline. `None` where there is no prompt.
    async fn request(
        &self,
        batch: &Batch,
        departure: Departure,
        params: &Arc<GenerateKwargs>,
    ) -> Option<RequestRecord> {
        let (phase, repetition) = (batch.phase, batch.repetition);
        let Departure { index, scheduled, released } = departure;
        let sample = self.prompt(phase, repetition, index)?;
        let request = GenerateRequest {
            index,
            prompt: sample.prompt,
            params: Arc::clone(params),
            truncate: self.truncate,
        };
        let prompt_id = sample.id;
        let identity = Identity { index, phase, repetition, prompt_id, scheduled, released };
        let mut recorder = Recorder::new(self.limits.keep_output, Arc::clone(&self.counters));
        self.counters.sent();
        let mut retries = 0;
        let result = loop {
            let result = self.attempt(&request, &mut recorder, released).await;
            let Err(error) = &result else { break result };
            let wait = self.wait_before_retry(error, retries);
            let left = self.limits.deadline - clock::now().since(released);
            if recorder.has_answer()
                || !error.is_retryable()
                || retries >= self.limits.retries
                || wait.0 >= left.0
            {
                break result;
            }
            self.journal.event(Event::Retry {
                index,
                class: error.class,
                http_status: error.http_status,
                wait_s: wait,
            });
            if self.control.back_off(wait).await.is_err() {
                break if self.control.is_cut() { Err(in_flight()) } else { result };
            }
            retries += 1;
            recorder.restart();
        };
        Some(recorder.finish(identity, retries, result))
    }

    fn prompt(&self, phase: Phase, repetition: Option<u32>, index: u64) -> Option<Sample> {
        let stream = if phase == Phase::Warmup { Stream::Warmup } else { Stream::Measure };
        let position = match &self.prompts {
            Prompts::Listed(_) => index,
            Prompts::Generated(_) => {
                let before = u64::from(repetition.unwrap_or(0)).saturating_mul(REPETITION_STRIDE);
                before.saturating_add(index)
            }
        };
        Some(self.prompts.sample(stream, position)?.into_owned())
    }

    async fn attempt(
        &self,
        request: &GenerateRequest,
        recorder: &mut Recorder,
        released: Nanos,
    ) -> Result<Completion, BackendError> {
        let left = self.limits.deadline - clock::now().since(released);
        let answer = tokio::time::timeout(left.into(), self.backend.generate(request, recorder));
        match self.control.unless_urgent(answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_elapsed)) => Err(self.too_late()),
            Err(_stopped) if self.control.is_cut() => Err(in_flight()),
            Err(_stopped) => Err(cancelled()),
        }
    }

    fn wait_before_retry(&self, error: &BackendError, retries: u32) -> Seconds {
        let doubled = self.limits.backoff.0 * 2_f64.powi(retries.min(30).cast_signed());
        error.retry_after.unwrap_or(Seconds(doubled.min(MOST_BACKOFF.0)))
    }

    fn too_late(&self) -> BackendError {
        let limit = self.limits.deadline;
        BackendError::new(FailureClass::Deadline, format!("no complete answer within {limit}"))
            .hint("raise scenario.request_timeout_s, or ask for fewer tokens")
    }
}
