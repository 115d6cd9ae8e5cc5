//! Sends the requests of a phase and keeps as many in flight as the load permits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;

use super::control::Control;
use super::journal::{Journal, Line};
use super::progress::Counters;
use super::recorder::{Identity, Recorder, cancelled};
use crate::backend::{Backend, BackendError, Completion, GenerateRequest};
use crate::clock;
use crate::config::component::scenario::{GenerateKwargs, ScenarioConfig};
use crate::dataset::Sample;
use crate::record::{Event, FailureClass, Phase, RequestRecord, StopReason};
use crate::units::{Nanos, Seconds};

/// The longest wait between attempts.
const MOST_BACKOFF: Seconds = Seconds(30.0);

/// Everything the requests of a run share.
pub(super) struct Driver {
    pub backend: Arc<dyn Backend>,
    pub samples: Vec<Sample>,
    pub params: Arc<GenerateKwargs>,
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
    /// Sends `count` requests, `in_flight` at a time, and returns when all have ended.
    pub(super) async fn send(self: &Arc<Self>, phase: Phase, count: u64, in_flight: u32) {
        let next = Arc::new(AtomicU64::new(0));
        let mut workers = JoinSet::new();
        for _ in 0..u64::from(in_flight).min(count) {
            let driver = Arc::clone(self);
            let next = Arc::clone(&next);
            workers.spawn(async move { driver.work(phase, count, &next).await });
        }
        while let Some(ended) = workers.join_next().await {
            if let Err(error) = ended
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }

    /// One request after the other until none is left or the run is stopped.
    async fn work(&self, phase: Phase, count: u64, next: &AtomicU64) {
        while self.control.reason().is_none() {
            if self.journal.has_failed() {
                self.control.stop(StopReason::RecordsFailed);
                return;
            }
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return;
            }
            let record = self.request(phase, index).await;
            self.counters.ended(&record);
            self.control.count(record.is_ok());
            self.journal.write(Line::Request(Box::new(record)));
        }
    }

    /// One request with its retries, up to its deadline.
    async fn request(&self, phase: Phase, index: u64) -> RequestRecord {
        let sample = self.sample(index);
        let request = GenerateRequest {
            index,
            prompt: sample.prompt.clone(),
            params: Arc::clone(&self.params),
            truncate: self.truncate,
        };
        let scheduled = clock::now();
        let identity = Identity { index, phase, prompt_id: sample.id.clone(), scheduled };
        let mut recorder = Recorder::new(
            self.limits.keep_output,
            usize::try_from(self.params.max_new_tokens).unwrap_or(usize::MAX),
        );
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
        recorder.finish(identity, retries, result)
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

    fn sample(&self, index: u64) -> &Sample {
        // A dataset is never empty here, and the remainder fits a usize because the length does.
        let position = index % self.samples.len() as u64;
        &self.samples[usize::try_from(position).unwrap_or(0)]
    }
}
