//! Sends the requests of a phase and keeps as many in flight as the load permits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::task::JoinSet;

use super::control::Control;
use super::journal::{Journal, Line};
use super::progress::Counters;
use super::recorder::{Identity, Recorder, cancelled};
use crate::backend::{Backend, BackendError, Completion, GenerateRequest};
use crate::clock;
use crate::config::component::scenario::{GenerateKwargs, ScenarioConfig};
use crate::dataset::{Prompts, Sample, Stream};
use crate::plan::Requests;
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

/// The requests of a phase, taken one by one.
struct Queue {
    batch: Batch,
    next: AtomicU64,
    from: Nanos,
}

/// Requests to send.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub phase: Phase,
    pub repetition: Option<u32>,
    pub requests: Requests,
    /// As long as this is set, they go on.
    pub held: Arc<AtomicBool>,
}

/// Generated prompts are new in every repetition, that no server answers them from its cache; this many positions lie between
/// those of two repetitions.
const REPETITION_STRIDE: u64 = 1 << 32;

impl Queue {
    /// The position of the next request, if there is one.
    fn take(&self) -> Option<u64> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let goes_on = index < self.batch.requests.least
            || clock::now().since(self.from) < self.batch.requests.time
            || self.batch.held.load(Ordering::Relaxed);
        goes_on.then_some(index)
    }
}

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
    /// Sends the requests of a phase, `in_flight` at a time, and returns when all have ended.
    pub(super) async fn send(self: &Arc<Self>, batch: Batch, in_flight: u32) {
        let requests = batch.requests;
        let queue = Arc::new(Queue { batch, next: AtomicU64::new(0), from: clock::now() });
        let workers = match requests.time.0 > 0.0 || requests.until_steady.is_some() {
            true => u64::from(in_flight),
            false => u64::from(in_flight).min(requests.least),
        };
        let mut ends = JoinSet::new();
        for _ in 0..workers {
            let driver = Arc::clone(self);
            let queue = Arc::clone(&queue);
            ends.spawn(async move { driver.work(&queue).await });
        }
        while let Some(ended) = ends.join_next().await {
            if let Err(error) = ended
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }

    /// One request after the other until none is left or the run is stopped.
    async fn work(&self, queue: &Queue) {
        while self.control.reason().is_none() {
            if self.journal.has_failed() {
                self.control.stop(StopReason::RecordsFailed);
                return;
            }
            let Some(index) = queue.take() else { return };
            let batch = &queue.batch;
            let params = match batch.requests.short_from {
                Some(from) if index >= from && index < batch.requests.least => &self.short_params,
                _ => &self.params,
            };
            let Some(record) = self.request(batch, index, params).await else { return };
            self.counters.ended(&record);
            self.control.count(record.is_ok());
            self.journal.write(Line::Request(Box::new(record)));
        }
    }

    /// One request with its retries, up to its deadline. `None` where there is no prompt.
    async fn request(
        &self,
        batch: &Batch,
        index: u64,
        params: &Arc<GenerateKwargs>,
    ) -> Option<RequestRecord> {
        let (phase, repetition) = (batch.phase, batch.repetition);
        let sample = self.prompt(phase, repetition, index)?;
        let request = GenerateRequest {
            index,
            prompt: sample.prompt,
            params: Arc::clone(params),
            truncate: self.truncate,
        };
        let scheduled = clock::now();
        let identity = Identity { index, phase, repetition, prompt_id: sample.id, scheduled };
        let mut recorder = Recorder::new(self.limits.keep_output, Arc::clone(&self.counters));
        self.counters.sent();
        let mut retries = 0;
        let result = loop {
            let result = self.attempt(&request, &mut recorder, scheduled).await;
            let Err(error) = &result else { break result };
            let wait = self.wait_before_retry(error, retries);
            let left = self.limits.deadline - clock::now().since(scheduled);
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
            if self.control.sleep(wait).await.is_err() {
                break result;
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
        scheduled: Nanos,
    ) -> Result<Completion, BackendError> {
        let left = self.limits.deadline - clock::now().since(scheduled);
        let answer = tokio::time::timeout(left.into(), self.backend.generate(request, recorder));
        match self.control.unless_urgent(answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_elapsed)) => Err(self.too_late()),
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
