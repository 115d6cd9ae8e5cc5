//! An answer put together from its events.

use std::borrow::Cow;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::chunk::{Choice, Chunk, Count, Message, Usage};
use super::failure;
use super::mould::Mould;
use super::sse::{Event, Parser, TooLarge};
use crate::backend::{BackendError, Completion, Sink, StreamEvent};
use crate::record::{FailureClass, TokenCounts, TokenSource};
use crate::units::Nanos;

/// Most figures of the server's own that are kept, and the most bytes of one from a comment.
const FIGURES: usize = 16;
const COMMENT_BYTES: usize = 64 << 10;

/// Reads one stream: bytes in, what they mean to the sink.
#[derive(Debug, Default)]
pub struct Decoder {
    parser: Parser,
    answer: Answer,
}

impl Decoder {
    /// Takes the next bytes, read at `at`. Whatever follows `[DONE]` is ignored.
    ///
    /// # Errors
    /// When the server reports an error, sends something that is not JSON, or an event without bounds.
    pub fn feed(
        &mut self,
        at: Nanos,
        bytes: &[u8],
        sink: &mut dyn Sink,
    ) -> Result<(), BackendError> {
        if self.is_done() {
            return Ok(());
        }
        let answer = &mut self.answer;
        self.parser.feed(bytes, &mut |event| answer.event(at, event, sink))
    }

    /// Whether `[DONE]` was seen.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.answer.done
    }

    /// Whether all of the generated text has come, though a usage may be missing.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.answer.is_complete()
    }

    /// The stream has ended; the last bytes were read at `at`.
    ///
    /// # Errors
    /// When it ended before the answer did.
    pub fn finish(mut self, at: Nanos, sink: &mut dyn Sink) -> Result<Completion, BackendError> {
        let answer = &mut self.answer;
        // A torn last event means that the connection broke, which the end tells better than its JSON.
        self.parser.finish(&mut |event| match answer.event(at, event, sink) {
            Err(error) if error.class == FailureClass::Protocol => Ok(()),
            told => told,
        })?;
        self.answer.finish()
    }
}

/// What is known of an answer so far.
#[derive(Debug, Default)]
pub(super) struct Answer {
    usage: Usage,
    has_usage: bool,
    finish_reason: Option<String>,
    /// `[DONE]` was seen.
    done: bool,
    /// A usage without choices was seen: nothing comes after it but `[DONE]`.
    closing_usage: bool,
    /// The server's own figures: name and raw JSON, the latest of each.
    figures: Vec<(String, String)>,
    /// What chunks with a text look like.
    mould: Mould,
}

impl From<TooLarge> for BackendError {
    fn from(error: TooLarge) -> Self {
        Self::new(FailureClass::Protocol, error.to_string())
    }
}

impl Answer {
    const fn is_complete(&self) -> bool {
        self.done || self.finish_reason.is_some() || self.closing_usage
    }

    /// Takes one event of a stream and tells the sink what it meant.
    ///
    /// # Errors
    /// When the server reports an error, or sends something that is not JSON.
    fn event(
        &mut self,
        at: Nanos,
        event: Event<'_>,
        sink: &mut dyn Sink,
    ) -> Result<(), BackendError> {
        if self.done {
            return Ok(());
        }
        match event {
            Event::Comment(comment) => {
                self.comment(comment);
                sink.event(at, StreamEvent::Empty);
                Ok(())
            }
            Event::Data { name: b"error", data } => Err(reported(&failure::message_in(data))),
            Event::Data { data, .. } => self.data(at, data.trim_ascii(), sink),
        }
    }

    fn data(&mut self, at: Nanos, data: &[u8], sink: &mut dyn Sink) -> Result<(), BackendError> {
        if let Some(event) = self.mould.cast(data) {
            sink.event(at, event);
            return Ok(());
        }
        match data {
            b"" => sink.event(at, StreamEvent::Empty),
            b"[DONE]" => self.done = true,
            // Checked once as a whole, which is quicker than string by string.
            json => match std::str::from_utf8(json) {
                Ok(json) => self.chunk(at, json, sink)?,
                // A token that ends within a character, from a server that does not hold it back.
                Err(_) => self.chunk(at, &String::from_utf8_lossy(json), sink)?,
            },
        }
        Ok(())
    }

    fn chunk(&mut self, at: Nanos, json: &str, sink: &mut dyn Sink) -> Result<(), BackendError> {
        let chunk: Chunk<'_> =
            serde_json::from_str(json).map_err(|cause| not_json(json, &cause))?;
        self.note(&chunk, json)?;
        self.closing_usage |= chunk.choices.is_empty() && chunk.usage.is_some();
        let mut told = false;
        for choice in chunk.choices.iter() {
            told |= tell(at, choice, sink);
        }
        if !told {
            sink.event(at, StreamEvent::Empty);
        }
        self.mould.learn(json, &chunk);
        Ok(())
    }

    /// Takes a whole answer and tells the sink its texts.
    ///
    /// # Errors
    /// When it is an error, not JSON, or has no choices.
    pub(super) fn whole(
        &mut self,
        at: Nanos,
        body: &[u8],
        sink: &mut dyn Sink,
    ) -> Result<(), BackendError> {
        let json = String::from_utf8_lossy(body);
        let chunk: Chunk<'_> =
            serde_json::from_str(&json).map_err(|cause| not_json(&json, &cause))?;
        self.note(&chunk, &json)?;
        if chunk.choices.is_empty() {
            let message = format!("the answer has no choices: {}", failure::message_in(body));
            return Err(BackendError::new(FailureClass::Protocol, message));
        }
        for choice in chunk.choices.iter() {
            let message = choice.message.as_deref().or(choice.delta.as_ref());
            let content = whole_content(choice, message);
            let reasoning = message.and_then(Message::thought).unwrap_or_default();
            sink.event(at, StreamEvent::Whole { content: &content, reasoning });
        }
        self.done = true;
        Ok(())
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// When it ended before the answer did.
    pub(super) fn finish(self) -> Result<Completion, BackendError> {
        if !self.is_complete() {
            return Err(BackendError::new(
                FailureClass::Reset,
                "the stream ended before the answer did: no finish_reason, no usage, no [DONE]",
            ));
        }
        Ok(Completion {
            tokens: self.tokens(),
            finish_reason: self.finish_reason,
            server_timings: figures(&self.figures),
        })
    }

    fn tokens(&self) -> TokenCounts {
        let Usage { prompt_tokens, completion_tokens, .. } = self.usage;
        if !self.has_usage || (prompt_tokens.0.is_none() && completion_tokens.0.is_none()) {
            return TokenCounts::MISSING;
        }
        TokenCounts {
            prompt: prompt_tokens.0,
            cached_prompt: self.usage.prompt_tokens_details.and_then(|more| more.cached_tokens.0),
            completion: completion_tokens.0,
            reasoning: self
                .usage
                .completion_tokens_details
                .and_then(|more| more.reasoning_tokens.0),
            source: TokenSource::Usage,
        }
    }

    /// What a chunk says beside its texts: an error, counts, the end, figures.
    fn note(&mut self, chunk: &Chunk<'_>, json: &str) -> Result<(), BackendError> {
        if let Some(error) = chunk.error {
            return Err(reported(&failure::message_in(error.get().as_bytes())));
        }
        if chunk.object.get() == Some("error") {
            return Err(reported(&failure::message_in(json.as_bytes())));
        }
        if let Some(usage) = chunk.usage {
            self.add_usage(usage);
        }
        for choice in chunk.choices.iter() {
            if let Some(reason) = choice.finish_reason.get() {
                self.finish_reason = Some(reason.to_owned());
            }
        }
        for (name, figure) in
            [("timings", chunk.timings), ("metrics", chunk.metrics), ("energy", chunk.energy)]
        {
            if let Some(figure) = figure.map(RawValue::get) {
                self.keep_figure(name, figure);
            }
        }
        Ok(())
    }

    /// The latest count wins; a later usage that leaves one out takes nothing back.
    fn add_usage(&mut self, new: Usage) {
        let merge = |count: &mut Count, new: Count| *count = Count(new.0.or(count.0));
        self.has_usage = true;
        merge(&mut self.usage.prompt_tokens, new.prompt_tokens);
        merge(&mut self.usage.completion_tokens, new.completion_tokens);
        if let Some(more) = new.prompt_tokens_details {
            let details = self.usage.prompt_tokens_details.get_or_insert_default();
            merge(&mut details.cached_tokens, more.cached_tokens);
        }
        if let Some(more) = new.completion_tokens_details {
            let details = self.usage.completion_tokens_details.get_or_insert_default();
            merge(&mut details.reasoning_tokens, more.reasoning_tokens);
        }
    }

    /// A comment of the form `name {json}` carries a figure (`: energy {"energy_joules": 1.2}`).
    fn comment(&mut self, comment: &[u8]) {
        let Some(text) = std::str::from_utf8(comment).ok().map(str::trim) else { return };
        let Some((name, json)) = text.split_once(' ') else { return };
        let json = json.trim_start();
        let is_name =
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if is_name && json.starts_with('{') && json.len() <= COMMENT_BYTES {
            self.keep_figure(name, json);
        }
    }

    fn keep_figure(&mut self, name: &str, json: &str) {
        if let Some((_, kept)) = self.figures.iter_mut().find(|(known, _)| known == name) {
            kept.clear();
            kept.push_str(json);
        } else if self.figures.len() < FIGURES {
            self.figures.push((name.to_owned(), json.to_owned()));
        }
    }
}

/// Tells the sink a choice's generated texts; false when it has none.
fn tell(at: Nanos, choice: &Choice<'_>, sink: &mut dyn Sink) -> bool {
    let mut told = false;
    let mut say = |event: StreamEvent<'_>| {
        sink.event(at, event);
        told = true;
    };
    if let Some(text) = choice.text.get() {
        say(StreamEvent::Content(text));
    }
    if let Some(message) = choice.delta.as_ref().or(choice.message.as_deref()) {
        if let Some(text) = message.thought() {
            say(StreamEvent::Reasoning(text));
        }
        for text in [&message.content, &message.refusal].into_iter().filter_map(|text| text.get()) {
            say(StreamEvent::Content(text));
        }
        for call in message.calls() {
            say(StreamEvent::ToolCall(&call));
        }
    }
    told
}

fn whole_content<'a>(choice: &'a Choice<'_>, message: Option<&'a Message<'_>>) -> Cow<'a, str> {
    let texts = message
        .into_iter()
        .flat_map(|message| [message.content.get(), message.refusal.get()])
        .chain([choice.text.get()])
        .flatten()
        .map(Cow::Borrowed);
    let calls = message.into_iter().flat_map(Message::calls);
    texts.chain(calls).reduce(|all, text| all + text).unwrap_or_default()
}

fn figures(kept: &[(String, String)]) -> Option<Value> {
    let parsed: Map<String, Value> = kept
        .iter()
        .filter_map(|(name, json)| Some((name.clone(), serde_json::from_str(json).ok()?)))
        .collect();
    (!parsed.is_empty()).then_some(Value::Object(parsed))
}

fn reported(said: &str) -> BackendError {
    BackendError::new(FailureClass::StreamError, format!("the server reports: {said}"))
}

fn not_json(data: &str, cause: &serde_json::Error) -> BackendError {
    let shown = failure::excerpt(data);
    BackendError::new(
        FailureClass::Protocol,
        format!("the server sent something that is not an answer ({cause}): {shown}"),
    )
}
