//! One answer from its first byte to its last: which bytes leave at which time, and what the fault does to them.
//! It touches no socket and no clock.

use crate::api::{Api, Ask};
use crate::config::RoleEvent;
use crate::fault::{Fault, FaultKind};
use crate::frames::{self, Frames, Style, Usage};
use crate::random::{Purpose, generator};
use crate::schedule::{Schedule, Write};
use crate::tokens;

/// What follows a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// The next one, at this time on the monotonic clock.
    At(u64),
    /// The answer is complete.
    Done,
    /// The connection is closed in order (FIN), though the answer is not complete.
    Close,
    /// The connection is broken off (RST).
    Reset,
    /// Nothing, for ever.
    Hang,
}

/// What a write held, for counters and the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wrote {
    /// Events with tokens.
    pub events: u64,
    pub tokens: u64,
    /// When it was due on the monotonic clock; none for what has no time of its own (heads, ends).
    pub due_ns: Option<u64>,
}

/// An answer that is being given.
#[derive(Debug)]
pub(crate) struct Answer {
    style: Style,
    stream: Option<Stream>,
    schedule: Schedule,
    usage: Option<Usage>,
    tokens: u64,
    finish: &'static str,
    fault: Option<Fault>,
    keep_alive: bool,
    start_ns: u64,
    next: Option<Write>,
    written: u64,
}

/// What only streamed answers have.
#[derive(Debug)]
struct Stream {
    frames: Frames,
    role_event: RoleEvent,
    /// The event at which the fault strikes.
    strike: Option<u64>,
}

/// What the server adds to what was asked.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub id: String,
    pub created: u64,
    pub seed: u64,
    pub number: u64,
    pub cached_tokens: u64,
    pub fault: Option<Fault>,
    pub keep_alive: bool,
}

/// Whether a fault can happen to such a request; one that cannot is not planted.
pub(crate) fn applies(kind: FaultKind, ask: &Ask) -> bool {
    match kind {
        FaultKind::MissingDone => ask.stream,
        FaultKind::WrongUsage | FaultKind::MissingUsage => !ask.stream || ask.include_usage,
        _ => true,
    }
}

impl Answer {
    pub(crate) fn new(ask: &Ask, given: Given) -> Self {
        let kind = given.fault.map(|fault| fault.kind);
        let endless = kind == Some(FaultKind::Endless);
        let tokens = if endless { u64::MAX } else { ask.output.tokens };
        let service = &ask.service;
        let events = tokens.div_ceil(u64::from(service.tokens_per_event));
        let schedule = Schedule::new(
            service.timing,
            events,
            service.coalesce,
            generator(given.seed, given.number, Purpose::Timing),
        );
        let style = Style {
            api: ask.api,
            first_word: tokens::hash(given.id.as_bytes()),
            id: given.id,
            model: ask.model.clone(),
            created: given.created,
            tokens_per_event: service.tokens_per_event,
            stamped: service.stamp_events && ask.stream,
        };
        let stream = ask.stream.then(|| Stream {
            frames: Frames::new(style.clone()),
            role_event: if ask.api == Api::Chat { service.role_event } else { RoleEvent::None },
            strike: given.fault.and_then(|fault| strike(fault, events)),
        });
        let mut usage =
            Usage { prompt: ask.prompt_tokens, completion: tokens, cached: given.cached_tokens };
        if kind == Some(FaultKind::WrongUsage)
            && let Some(fault) = given.fault
        {
            usage.completion = tokens.saturating_add_signed(fault.numbers.tokens);
        }
        let told = kind != Some(FaultKind::MissingUsage) && (!ask.stream || ask.include_usage);
        Self {
            style,
            stream,
            schedule,
            usage: told.then_some(usage),
            tokens,
            finish: ask.output.finish,
            fault: given.fault,
            keep_alive: given.keep_alive,
            start_ns: 0,
            next: None,
            written: 0,
        }
    }

    fn kind(&self) -> Option<FaultKind> {
        self.fault.map(|fault| fault.kind)
    }

    /// Whether what comes before the events is sent at all.
    fn has_head(&self) -> bool {
        match self.fault {
            Some(Fault { kind: FaultKind::ResetBefore, .. }) => false,
            Some(Fault { kind: FaultKind::Stall, numbers }) => numbers.after_events.is_some(),
            _ => true,
        }
    }

    /// What leaves as soon as the request was read, before it is its turn.
    pub(crate) fn head(&self, out: &mut Vec<u8>) {
        if let Some(stream) = &self.stream
            && self.has_head()
        {
            frames::stream_head(out, self.keep_alive);
            if stream.role_event == RoleEvent::AtStart {
                stream.frames.role(out);
            }
        }
    }

    /// Service begins. Returns what comes first.
    pub(crate) fn start(&mut self, now_ns: u64) -> After {
        self.start_ns = now_ns;
        if self.stream.is_some() {
            self.next = self.schedule.next();
        } else {
            let never = self.kind() == Some(FaultKind::Endless);
            self.next = if never { None } else { self.schedule.by_ref().last() };
            if self.kind() == Some(FaultKind::ResetBefore) {
                self.next = self.next.map(|write| Write { events: 0, ..write });
            }
        }
        match self.fault {
            Some(Fault { kind: FaultKind::Stall, numbers }) if numbers.after_events.is_none() => {
                After::Hang
            }
            _ => self.upcoming(),
        }
    }

    fn upcoming(&self) -> After {
        self.next.map_or(After::Hang, |write| After::At(self.start_ns.saturating_add(write.due_ns)))
    }

    /// Tokens that were written so far.
    pub(crate) const fn written(&self) -> u64 {
        self.written
    }

    /// The schedule of what is still to come.
    pub(crate) const fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Why the answer ends: `stop` or `length`.
    pub(crate) const fn finish(&self) -> &'static str {
        self.finish
    }

    /// Its name, as the client sees it.
    pub(crate) fn id(&self) -> &str {
        &self.style.id
    }

    /// What is due now. `now_ns` becomes the stamp of the events.
    pub(crate) fn write(&mut self, now_ns: u64, out: &mut Vec<u8>) -> (Wrote, After) {
        if self.kind() == Some(FaultKind::ResetBefore) {
            return (Wrote::default(), After::Reset);
        }
        if self.stream.is_none() {
            return self.write_whole(out);
        }
        match self.next {
            Some(write) => self.write_events(write, now_ns, out),
            None => (Wrote::default(), self.write_end(out)),
        }
    }

    fn write_events(&mut self, write: Write, now_ns: u64, out: &mut Vec<u8>) -> (Wrote, After) {
        let due_ns = self.start_ns.saturating_add(write.due_ns);
        let mut wrote = Wrote { due_ns: Some(due_ns), ..Wrote::default() };
        for event in write.first..write.first + write.events {
            if self.stream.as_ref().and_then(|stream| stream.strike) == Some(event) {
                if event > write.first {
                    // What the same write held before it leaves first.
                    let events = write.first + write.events - event;
                    self.next = Some(Write { first: event, events, due_ns: write.due_ns });
                    break;
                }
                if let Some(after) = self.strike(event, now_ns, out, &mut wrote) {
                    return (wrote, after);
                }
            } else {
                self.push_event(event, now_ns, out, &mut wrote);
            }
        }
        self.written += wrote.tokens;
        if self.next == Some(write) {
            self.next = self.schedule.next();
        }
        let after = if self.next.is_some() { self.upcoming() } else { After::At(due_ns) };
        (wrote, after)
    }

    /// Tokens of an event, the first of them, and the reason to finish if it is the last.
    fn event_facts(&self, event: u64) -> (u64, u64, Option<&'static str>) {
        let each = u64::from(self.style.tokens_per_event);
        let first = event.saturating_mul(each);
        let last = event == self.schedule.events() - 1;
        (first, each.min(self.tokens - first), last.then_some(self.finish))
    }

    fn push_event(&self, event: u64, now_ns: u64, out: &mut Vec<u8>, wrote: &mut Wrote) {
        let Some(stream) = &self.stream else { return };
        if event == 0 && stream.role_event == RoleEvent::WithFirst {
            stream.frames.role(out);
        }
        let (first, tokens, finish) = self.event_facts(event);
        if finish.is_none() {
            stream.frames.event(out, first, now_ns);
        } else {
            stream.frames.build(out, first, tokens, finish, now_ns);
        }
        wrote.events += 1;
        wrote.tokens += tokens;
    }

    /// The fault at its event. Returns how the answer ends by it, if it does.
    fn strike(
        &self,
        event: u64,
        now_ns: u64,
        out: &mut Vec<u8>,
        wrote: &mut Wrote,
    ) -> Option<After> {
        let (fault, stream) = (self.fault?, self.stream.as_ref()?);
        match fault.kind {
            FaultKind::ResetAfter => Some(After::Reset),
            FaultKind::Stall => Some(After::Hang),
            FaultKind::HalfEvent => {
                self.push_event(event, now_ns, out, &mut Wrote::default());
                out.truncate(out.len() / 2);
                Some(After::Close)
            }
            FaultKind::ErrorEvent => {
                frames::error_event(out);
                frames::done(out);
                frames::last_chunk(out);
                Some(After::Done)
            }
            FaultKind::MalformedJson => {
                let (_, tokens, _) = self.event_facts(event);
                let mut whole = Vec::new();
                stream.frames.frame(&mut whole, b" cut", None, now_ns);
                // Behind the chunk's size, up to the middle of the object.
                let payload = whole.iter().position(|byte| *byte == b'\n').unwrap_or(0) + 1;
                let mut cut = whole[payload..payload + (whole.len() - payload) / 2].to_vec();
                cut.extend_from_slice(b"\n\n");
                frames::chunk(out, &cut);
                wrote.events += 1;
                wrote.tokens += tokens;
                None
            }
            FaultKind::HugeEvent => {
                let (first, tokens, finish) = self.event_facts(event);
                let mut text = Vec::with_capacity(fault.numbers.bytes + 64);
                for token in first..first + tokens {
                    text.extend_from_slice(&tokens::word(
                        self.style.first_word.wrapping_add(token),
                    ));
                }
                text.resize(text.len() + fault.numbers.bytes, b'x');
                stream.frames.frame(out, &text, finish, now_ns);
                wrote.events += 1;
                wrote.tokens += tokens;
                None
            }
            _ => {
                self.push_event(event, now_ns, out, wrote);
                None
            }
        }
    }

    /// What follows the last event.
    fn write_end(&self, out: &mut Vec<u8>) -> After {
        if let (Some(stream), Some(usage)) = (&self.stream, self.usage) {
            stream.frames.usage(out, usage);
        }
        if self.kind() != Some(FaultKind::MissingDone) {
            frames::done(out);
        }
        frames::last_chunk(out);
        After::Done
    }

    /// An answer in one piece.
    fn write_whole(&mut self, out: &mut Vec<u8>) -> (Wrote, After) {
        let due_ns = self.next.map(|write| self.start_ns.saturating_add(write.due_ns));
        let wrote = Wrote { events: 1, tokens: self.tokens, due_ns };
        let mut body = frames::whole(&self.style, self.usage, self.tokens, self.finish);
        match self.kind() {
            Some(FaultKind::MalformedJson) => body.truncate(body.len() / 2),
            Some(FaultKind::HugeEvent) => {
                // White space after the object: still JSON, and as large as was asked.
                let bytes = self.fault.map_or(0, |fault| fault.numbers.bytes);
                body.resize(body.len() + bytes, b' ');
            }
            Some(FaultKind::ErrorEvent) => {
                let error = crate::api::ApiError::of(500, "InternalServerError", "planted error");
                let body = error.body();
                frames::head(out, 500, "application/json", body.len(), &[], self.keep_alive);
                out.extend_from_slice(&body);
                return (Wrote { events: 0, tokens: 0, due_ns }, After::Done);
            }
            _ => {}
        }
        frames::head(out, 200, "application/json", body.len(), &[], self.keep_alive);
        let part = match self.kind() {
            Some(FaultKind::Stall) => Some((0, After::Hang)),
            Some(FaultKind::HalfEvent) => Some((body.len() / 2, After::Close)),
            Some(FaultKind::ResetAfter) => Some((body.len() / 2, After::Reset)),
            _ => None,
        };
        if let Some((bytes, after)) = part {
            out.extend_from_slice(&body[..bytes]);
            return (Wrote { events: 0, tokens: 0, due_ns }, after);
        }
        out.extend_from_slice(&body);
        self.written = self.tokens;
        (wrote, After::Done)
    }
}

/// The event at which a fault strikes; none for faults that are not about an event.
fn strike(fault: Fault, events: u64) -> Option<u64> {
    match fault.kind {
        FaultKind::Stall => fault.numbers.after_events.map(|_| fault.strikes_at(events)),
        FaultKind::ResetAfter
        | FaultKind::MalformedJson
        | FaultKind::HalfEvent
        | FaultKind::ErrorEvent
        | FaultKind::HugeEvent => Some(fault.strikes_at(events)),
        _ => None,
    }
}
