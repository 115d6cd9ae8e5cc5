//! Sends one request: its prompt, its attempts, its deadline, its record.

use std::sync::Arc;

use super::control::Control;
use super::dispatch::Batch;
use super::journal::{Journal, Line};
use super::progress::Counters;
use super::recorder::{Identity, Recorder, cancelled, in_flight};
use super::talk::{After, Talk};
use crate::backend::{Backend, BackendError, Completion, GenerateRequest};
use crate::clock;
use crate::config::component::conversation::Conversations;
use crate::config::component::scenario::{GenerateKwargs, ScenarioConfig};
use crate::dataset::{Prompts, REPETITION_STRIDE, Sample, Stream};
use crate::plan::SHORT_TOKENS;
use crate::prompt::Prompt;
use crate::record::{AskedTokens, Event, FailureClass, Phase, StopReason};
use crate::units::{Nanos, Seconds};

/// The longest wait between attempts.
const MOST_BACKOFF: Seconds = Seconds(30.0);

/// Everything the requests of a run share.
pub(super) struct Driver {
    pub backend: Arc<dyn Backend>,
    pub prompts: Prompts,
    /// How conversations are gone through, where they are.
    pub conversations: Option<Conversations>,
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
    /// The position of its prompt, or of its conversation, among those of the phase.
    pub start: u64,
    /// When it was due.
    pub scheduled: Nanos,
    /// When it was let go.
    pub released: Nanos,
}

/// What a request asks.
struct Asked {
    prompt: Prompt,
    params: Arc<GenerateKwargs>,
    identity: Identity,
    /// The conversation that it is a turn of.
    talk: Option<Box<Talk>>,
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
    /// Whether requests may leave: not when the run is over, and not without records.
    pub(super) fn goes_on(&self) -> bool {
        if self.journal.has_failed() {
            self.control.stop(StopReason::RecordsFailed);
        }
        self.control.reason().is_none()
    }

    /// One request from its prompt to its record, and what follows it; a later turn of a conversation with that.
    pub(super) async fn one(
        &self,
        batch: &Batch,
        departure: Departure,
        talk: Option<Box<Talk>>,
    ) -> After {
        let requests = batch.requests;
        let params = match requests.short_from {
            Some(from) if departure.start >= from && departure.start < requests.least => {
                &self.short_params
            }
            _ => &self.params,
        };
        let Some(mut asked) = self.asked(batch, departure, talk, params) else {
            return After::Nothing;
        };
        let request = GenerateRequest {
            index: departure.index,
            prompt: std::mem::replace(&mut asked.prompt, Prompt::Chat(Vec::new())),
            params: Arc::clone(&asked.params),
            truncate: self.truncate,
        };
        let mut recorder = Recorder::new(self.limits.keep_output, Arc::clone(&self.counters));
        if asked.talk.as_ref().is_some_and(|talk| talk.needs_answer()) {
            recorder.keep_answer();
        }
        let (retries, result) = self.request(&request, &mut recorder, departure.released).await;
        let answer = recorder.take_answer();
        let record = recorder.finish(asked.identity, retries, result);
        self.counters.ended(&record);
        self.control.count(&record.outcome);
        let after = match asked.talk {
            // Warm-up is for the first turn, which has everything that a later one has.
            Some(talk) if batch.phase != Phase::Warmup => {
                talk.after(request.prompt, &record, answer)
            }
            _ => After::Nothing,
        };
        self.journal.write(Line::Request(Box::new(record)));
        after
    }

    /// How many turns the prompt at a position has in a phase.
    pub(super) fn turns_of(&self, phase: Phase, position: u64) -> u32 {
        let Some(config) = self.conversations.filter(|_| phase != Phase::Warmup) else { return 1 };
        self.prompts.turns(position, config.turns.most())
    }

    /// What is asked. `None` where there is no prompt.
    fn asked(
        &self,
        batch: &Batch,
        departure: Departure,
        talk: Option<Box<Talk>>,
        params: &Arc<GenerateKwargs>,
    ) -> Option<Asked> {
        let (phase, repetition) = (batch.phase, batch.repetition);
        let Departure { index, start, scheduled, released } = departure;
        let talk = match (talk, &self.conversations) {
            (Some(talk), _) => Some(talk),
            (None, Some(config)) => {
                let sample = self.prompt(phase, repetition, start)?;
                Some(Box::new(Talk::begin(start, sample, config)))
            }
            (None, None) => None,
        };
        let (talk, sample, turn) = match talk {
            Some(mut talk) => {
                let (id, turn) = (talk.prompt_id(), (talk.start, talk.turn()));
                let sample = Sample::new(id, talk.prompt());
                (Some(talk), sample, Some(turn))
            }
            None => (None, self.prompt(phase, repetition, start)?, None),
        };
        let params = self.params_of(&sample, params);
        let asked = asked(&sample, &params);
        let Sample { id: prompt_id, prompt, .. } = sample;
        let identity =
            Identity { index, phase, repetition, prompt_id, turn, scheduled, released, asked };
        Some(Asked { prompt, params, identity, talk })
    }

    /// One request with its retries, up to its deadline; with how many they were.
    async fn request(
        &self,
        request: &GenerateRequest,
        recorder: &mut Recorder,
        released: Nanos,
    ) -> (u32, Result<Completion, BackendError>) {
        let index = request.index;
        self.counters.sent();
        let mut retries = 0;
        let result = loop {
            let result = self.attempt(request, recorder, released).await;
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
        (retries, result)
    }

    /// A prompt's own length of the answer comes before that of the config; a short answer stays short.
    fn params_of(&self, sample: &Sample, params: &Arc<GenerateKwargs>) -> Arc<GenerateKwargs> {
        let Some(tokens) = sample.output_tokens else { return Arc::clone(params) };
        let is_short = Arc::ptr_eq(params, &self.short_params);
        let tokens = if is_short { tokens.min(SHORT_TOKENS) } else { tokens };
        Arc::new(params.of_length(tokens))
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

/// What a request asks for in tokens.
fn asked(sample: &Sample, params: &GenerateKwargs) -> AskedTokens {
    let output_fixed = params.fixes_length();
    let output = (output_fixed || sample.output_tokens.is_some())
        .then_some(u64::from(params.max_new_tokens));
    AskedTokens { prompt: sample.input_tokens, output, output_fixed }
}
