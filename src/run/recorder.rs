//! Turns what a backend tells of a request into its record.

use std::sync::Arc;

use super::progress::Counters;
use super::stamps::Stamps;
use crate::backend::{BackendError, Completion, Sink, StreamEvent};
use crate::clock;
use crate::record::{AskedTokens, FailureClass, Outcome, Phase, RequestRecord, TokenCounts};
use crate::units::Nanos;

/// Listens to one request.
#[derive(Debug)]
pub(super) struct Recorder {
    keep_output: bool,
    counters: Arc<Counters>,
    sent: Option<Nanos>,
    /// Attempts beyond those that the driver made.
    again: u32,
    first_byte: Option<Nanos>,
    /// First event that was not reasoning.
    first_output: Option<Nanos>,
    /// Arrival of every event with generated text.
    events: Stamps,
    chars: u64,
    output: String,
    /// What the model said, without its reasoning; only where the next turn of a conversation says it again.
    answer: Option<String>,
}

/// What a record says beside what was heard.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub index: u64,
    pub phase: Phase,
    pub repetition: Option<u32>,
    pub prompt_id: String,
    /// Which conversation it is a turn of, and which turn.
    pub turn: Option<(u64, u32)>,
    pub scheduled: Nanos,
    /// When the load let it go.
    pub released: Nanos,
    /// What it asks for in tokens.
    pub asked: AskedTokens,
}

impl Recorder {
    pub(super) fn new(keep_output: bool, counters: Arc<Counters>) -> Self {
        Self {
            keep_output,
            counters,
            sent: None,
            again: 0,
            first_byte: None,
            first_output: None,
            events: Stamps::default(),
            chars: 0,
            output: String::new(),
            answer: None,
        }
    }

    /// Keeps what the model says, for [`Recorder::take_answer`].
    pub(super) fn keep_answer(&mut self) {
        self.answer = Some(String::new());
    }

    /// What the model said, without its reasoning.
    pub(super) fn take_answer(&mut self) -> Option<String> {
        self.answer.take()
    }

    /// Forgets a failed attempt.
    pub(super) fn restart(&mut self) {
        let counters = Arc::clone(&self.counters);
        let answer = self.answer.as_ref().map(|_| String::new());
        *self = Self { again: self.again, answer, ..Self::new(self.keep_output, counters) };
    }

    /// Whether any byte of an answer has come; after that an attempt is never repeated.
    pub(super) const fn has_answer(&self) -> bool {
        self.first_byte.is_some()
    }

    fn token(&mut self, at: Nanos, text: &str) {
        self.first_byte.get_or_insert(at);
        self.events.push(at);
        self.counters.streamed();
        self.keep(text);
    }

    fn keep(&mut self, text: &str) {
        self.chars += text.chars().count() as u64;
        if self.keep_output {
            self.output.push_str(text);
        }
    }

    fn say(&mut self, text: &str) {
        if let Some(answer) = &mut self.answer {
            answer.push_str(text);
        }
    }

    /// The record of the request, which ends now.
    pub(super) fn finish(
        self,
        identity: Identity,
        retries: u32,
        result: Result<Completion, BackendError>,
    ) -> RequestRecord {
        let end = clock::now();
        let sent = self.sent.unwrap_or(identity.released);
        let (tokens, server_timings, outcome) = match result {
            Ok(done) => (
                done.tokens,
                done.server_timings,
                Outcome::Ok { finish_reason: done.finish_reason },
            ),
            Err(error) => (TokenCounts::MISSING, None, failed(error)),
        };
        RequestRecord {
            index: identity.index,
            phase: identity.phase,
            repetition: identity.repetition,
            prompt_id: identity.prompt_id,
            conversation: identity.turn.map(|(conversation, _)| conversation),
            turn: identity.turn.map(|(_, turn)| turn),
            scheduled_ns: identity.scheduled,
            released_ns: (identity.released > identity.scheduled).then_some(identity.released),
            sent_ns: sent,
            first_byte_ns: self.first_byte,
            first_token_ns: self.events.first(),
            first_output_token_ns: self.first_output,
            last_token_ns: self.events.last(),
            end_ns: end,
            event_offsets_ns: self.events.after(sent),
            tokens,
            asked: identity.asked,
            output_chars: self.chars,
            output: self.keep_output.then_some(self.output),
            retries: retries + self.again,
            outcome,
            server_timings,
        }
    }
}

impl Sink for Recorder {
    fn event(&mut self, at: Nanos, event: StreamEvent<'_>) {
        match event {
            StreamEvent::Sent => self.sent = Some(at),
            StreamEvent::Again => {
                self.sent = None;
                self.again += 1;
            }
            StreamEvent::FirstByte => {
                self.first_byte.get_or_insert(at);
            }
            StreamEvent::Empty => {}
            StreamEvent::Reasoning(text) => self.token(at, text),
            StreamEvent::Content(text) | StreamEvent::ToolCall(text) => {
                self.first_output.get_or_insert(at);
                self.token(at, text);
                if matches!(event, StreamEvent::Content(_)) {
                    self.say(text);
                }
            }
            StreamEvent::Whole { content, reasoning } => {
                self.first_byte.get_or_insert(at);
                self.keep(reasoning);
                self.keep(content);
                self.say(content);
            }
        }
    }
}

fn failed(error: BackendError) -> Outcome {
    Outcome::Failed { class: error.class, http_status: error.http_status, message: error.message }
}

/// The error of a request that the run gave up.
pub(super) fn cancelled() -> BackendError {
    BackendError::new(FailureClass::Cancelled, "the run was stopped")
}

/// The error of a request that was still in flight when the load and its grace were over.
pub(super) fn in_flight() -> BackendError {
    BackendError::new(FailureClass::InFlight, "in flight when the load was over")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            index: 7,
            phase: Phase::Measure,
            repetition: Some(0),
            prompt_id: "p".into(),
            turn: None,
            scheduled: Nanos(5),
            released: Nanos(5),
            asked: AskedTokens::default(),
        }
    }

    #[test]
    fn a_request_that_failed_half_way_keeps_the_tokens_it_had() {
        let mut recorder = Recorder::new(true, Arc::default());
        recorder.event(Nanos(10), StreamEvent::Sent);
        recorder.event(Nanos(20), StreamEvent::FirstByte);
        recorder.event(Nanos(20), StreamEvent::Empty);
        recorder.event(Nanos(30), StreamEvent::Content("hé"));
        recorder.event(Nanos(40), StreamEvent::Content("llo"));
        let error = BackendError::new(FailureClass::Reset, "connection reset");
        let record = recorder.finish(identity(), 1, Err(error));
        assert_eq!(record.first_byte_ns, Some(Nanos(20)));
        assert_eq!(record.first_token_ns, Some(Nanos(30)));
        assert_eq!(record.event_offsets_ns, [20, 30]);
        assert_eq!(record.output.as_deref(), Some("héllo"));
        assert_eq!(record.output_chars, 5);
        assert!(!record.is_ok());
        assert_eq!(record.tokens, TokenCounts::MISSING);
    }

    #[test]
    fn the_first_output_token_is_the_first_that_is_not_reasoning() {
        let mut recorder = Recorder::new(false, Arc::default());
        recorder.event(Nanos(10), StreamEvent::Sent);
        recorder.event(Nanos(20), StreamEvent::Reasoning("hm"));
        recorder.event(Nanos(30), StreamEvent::Content("yes"));
        recorder.event(Nanos(40), StreamEvent::Content("!"));
        let done =
            Completion { tokens: TokenCounts::MISSING, finish_reason: None, server_timings: None };
        let record = recorder.finish(identity(), 0, Ok(done));
        assert_eq!(
            (record.first_token_ns, record.first_output_token_ns),
            (Some(Nanos(20)), Some(Nanos(30)))
        );
    }

    #[test]
    fn a_whole_answer_counts_as_output_and_says_nothing_of_a_first_token() {
        let mut recorder = Recorder::new(true, Arc::default());
        recorder.event(Nanos(10), StreamEvent::Sent);
        recorder.event(Nanos(20), StreamEvent::Whole { content: "yes", reasoning: "" });
        let done =
            Completion { tokens: TokenCounts::MISSING, finish_reason: None, server_timings: None };
        let record = recorder.finish(identity(), 0, Ok(done));
        assert_eq!((record.first_byte_ns, record.first_token_ns), (Some(Nanos(20)), None));
        assert_eq!(record.output.as_deref(), Some("yes"));
    }

    #[test]
    fn an_attempt_of_the_backends_own_counts_as_one_beyond_the_first() {
        let mut recorder = Recorder::new(false, Arc::default());
        recorder.event(Nanos(10), StreamEvent::Sent);
        recorder.event(Nanos(11), StreamEvent::Again);
        recorder.restart();
        recorder.event(Nanos(30), StreamEvent::Sent);
        let error = BackendError::new(FailureClass::Reset, "connection reset");
        let record = recorder.finish(identity(), 1, Err(error));
        assert_eq!((record.retries, record.sent_ns), (2, Nanos(30)));
    }

    #[test]
    fn what_is_said_again_is_the_text_of_the_attempt_that_succeeded_without_its_reasoning() {
        let mut recorder = Recorder::new(false, Arc::default());
        recorder.keep_answer();
        recorder.event(Nanos(5), StreamEvent::Content("lost"));
        recorder.restart();
        recorder.event(Nanos(10), StreamEvent::Reasoning("hm"));
        recorder.event(Nanos(20), StreamEvent::Content("y"));
        recorder.event(Nanos(30), StreamEvent::Content("es"));
        assert_eq!(recorder.take_answer().as_deref(), Some("yes"));
        assert_eq!(Recorder::new(true, Arc::default()).take_answer(), None);
    }

    #[test]
    fn a_stream_without_text_has_no_first_token() {
        let mut recorder = Recorder::new(false, Arc::default());
        recorder.event(Nanos(10), StreamEvent::Sent);
        recorder.event(Nanos(20), StreamEvent::FirstByte);
        recorder.event(Nanos(25), StreamEvent::Empty);
        let done =
            Completion { tokens: TokenCounts::MISSING, finish_reason: None, server_timings: None };
        let record = recorder.finish(identity(), 0, Ok(done));
        assert_eq!(record.first_token_ns, None);
        assert!(record.is_ok());
    }
}
