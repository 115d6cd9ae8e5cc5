//! Lets requests go when the load says so, and turns of conversations when they are due, and waits for those in flight.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::{JoinError, JoinSet};

use super::driver::{Departure, Driver};
use super::pacer::{Pacer, moment};
use super::talk::{After, Talk};
use crate::clock;
use crate::load::{Draw, Load, Step, think};
use crate::plan::Requests;
use crate::record::{ConversationTally, NotSent, Phase};
use crate::units::{Nanos, Seconds};

/// Requests to send.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub phase: Phase,
    pub repetition: Option<u32>,
    pub requests: Requests,
    /// What is drawn by chance in it.
    pub draw: Draw,
    /// As long as this is set, they go on.
    pub held: Arc<AtomicBool>,
}

impl Batch {
    /// Whether so many requests are all that may be sent.
    fn is_full(&self, sent: u64) -> bool {
        self.requests.most.is_some_and(|most| sent >= most)
    }

    /// Whether a request is none any more: that of the prompt or conversation at this position, due at this time after the
    /// begin, when so many have been sent.
    fn is_over(&self, sent: u64, start: u64, due: Seconds) -> bool {
        let Requests { least, time, .. } = self.requests;
        self.is_full(sent) || (start >= least && due >= time && !self.held.load(Ordering::Relaxed))
    }
}

/// What came of a phase's requests beside their records.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Sent {
    /// Requests that left.
    pub count: u64,
    /// Of those, how many had to wait until others had ended, though they had arrived.
    pub held_back: u64,
    /// The longest such wait.
    pub longest_hold: Seconds,
    /// How far conversations went.
    pub conversations: ConversationTally,
}

/// One phase being sent.
struct Sending<'a> {
    driver: &'a Arc<Driver>,
    batch: Arc<Batch>,
    begun: Nanos,
    pacer: Pacer,
    in_flight: JoinSet<(bool, After)>,
    /// Requests in flight after which the conversation may go on.
    may_follow: usize,
    /// Conversations between two turns, by when the next is due, and their positions.
    thinking: BTreeMap<(Nanos, u64), Box<Talk>>,
    /// Prompts and conversations that were begun.
    started: u64,
    sent: Sent,
    /// Whether the request that is due next was seen to wait for others.
    held: bool,
}

/// What the load does next.
enum Arrival {
    /// A request left.
    Left,
    /// Nothing before this time, or before a request ends.
    Later(Option<Seconds>),
    /// No more of them.
    Over,
}

impl Driver {
    /// Sends the requests of a phase as the load says, and returns when all have ended or been given up.
    pub(super) async fn send(self: &Arc<Self>, batch: Batch, load: &mut dyn Load) -> Sent {
        let mut sending = Sending {
            driver: self,
            batch: Arc::new(batch),
            begun: clock::now(),
            pacer: Pacer::new(),
            in_flight: JoinSet::new(),
            may_follow: 0,
            thinking: BTreeMap::new(),
            started: 0,
            sent: Sent::default(),
            held: false,
        };
        sending.go(load).await;
        sending.lose_thinking();
        sending.drain().await;
        sending.lose_thinking();
        sending.sent
    }
}

impl Sending<'_> {
    /// Lets requests go until there are no more or the run is stopped.
    async fn go(&mut self, load: &mut dyn Load) {
        let last = self.batch.requests.grace.zip(self.end()).map(|(grace, end)| end.offset(grace));
        let mut arrives = true;
        while self.driver.goes_on() {
            while let Some(ended) = self.in_flight.try_join_next() {
                self.ended(ended);
            }
            if self.batch.is_full(self.sent.count) {
                return;
            }
            let now = clock::now();
            if let Some((talk, due)) = self.due_turn(now) {
                self.turn(talk, due, now);
                // It goes out before the next is looked at.
                tokio::task::yield_now().await;
                continue;
            }
            let mut wake = None;
            if arrives {
                match self.arrival(load, now) {
                    Arrival::Left => {
                        tokio::task::yield_now().await;
                        continue;
                    }
                    Arrival::Later(until) => wake = until.map(|until| moment(self.begun, until)),
                    Arrival::Over => arrives = false,
                }
            }
            if !arrives {
                self.lose_late();
            }
            if !arrives && self.thinking.is_empty() && self.may_follow == 0 {
                return;
            }
            let turn = self.thinking.first_key_value().map(|((due, _), _)| *due);
            let end = self.end().filter(|end| turn.is_some() && *end > now);
            self.wait([wake, turn, end, last].into_iter().flatten().min()).await;
            if last.is_some_and(|last| clock::now() >= last) {
                return;
            }
        }
    }

    /// Asks the load, and lets a request go where it says so.
    fn arrival(&mut self, load: &mut dyn Load, now: Nanos) -> Arrival {
        let since = now.since(self.begun);
        // Whoever thinks has not gone away.
        let step = load.step(since, self.in_flight.len() + self.thinking.len());
        let due = match step {
            Step::Over => return Arrival::Over,
            Step::Leave { due } | Step::Wait { until: due } => due,
            Step::Full { due, .. } => due.unwrap_or(since),
        };
        if self.batch.is_over(self.sent.count, self.started, due) {
            return Arrival::Over;
        }
        match step {
            Step::Leave { .. } | Step::Over => {
                self.leave(due, now);
                Arrival::Left
            }
            Step::Wait { until } => Arrival::Later(Some(until)),
            Step::Full { due, until } => {
                self.held |= due.is_some();
                Arrival::Later(until)
            }
        }
    }

    /// Sends the next prompt, or the first turn of the next conversation.
    fn leave(&mut self, due: Seconds, now: Nanos) {
        let scheduled = moment(self.begun, due).min(now);
        let held = std::mem::take(&mut self.held);
        if held {
            let hold = now.since(scheduled);
            self.sent.held_back += 1;
            if hold > self.sent.longest_hold {
                self.sent.longest_hold = hold;
            }
        }
        let start = self.started;
        let released = if held { now } else { scheduled };
        self.started += 1;
        self.sent.conversations.begun += 1;
        let follows = self.driver.turns_of(self.batch.phase, start) > 1;
        let departure = Departure { index: self.sent.count, start, scheduled, released };
        self.spawn(departure, None, follows);
    }

    /// The conversation whose next turn is due.
    fn due_turn(&mut self, now: Nanos) -> Option<(Box<Talk>, Nanos)> {
        let first = self.thinking.first_entry().filter(|first| first.key().0 <= now)?;
        let ((due, _), talk) = first.remove_entry();
        Some((talk, due))
    }

    /// Sends the next turn of a conversation, unless it is due too late.
    fn turn(&mut self, talk: Box<Talk>, due: Nanos, now: Nanos) {
        if self.batch.is_over(self.sent.count, talk.start, due.since(self.begun)) {
            self.sent.conversations.lose(talk.turns_left(), NotSent::LoadOver);
            return;
        }
        let scheduled = due.min(now);
        let (index, start) = (self.sent.count, talk.start);
        let departure = Departure { index, start, scheduled, released: scheduled };
        let follows = talk.turns_left() > 1;
        self.spawn(departure, Some(talk), follows);
    }

    fn spawn(&mut self, departure: Departure, talk: Option<Box<Talk>>, follows: bool) {
        self.sent.count += 1;
        self.may_follow += usize::from(follows);
        let driver = Arc::clone(self.driver);
        let batch = Arc::clone(&self.batch);
        self.in_flight.spawn(async move { (follows, driver.one(&batch, departure, talk).await) });
    }

    /// A request has ended: its conversation goes on, is complete, or has lost its further turns.
    fn ended(&mut self, ended: Result<(bool, After), JoinError>) {
        let Some((followed, after)) = propagate(ended) else { return };
        self.may_follow -= usize::from(followed);
        match after {
            After::Nothing => {}
            After::Complete => self.sent.conversations.complete += 1,
            After::Lost { turns, why } => self.sent.conversations.lose(turns, why),
            After::Goes { talk, end } => self.think(talk, end),
        }
    }

    /// The next turn of a conversation comes after a time. Until then it holds its place, even if that is too late: whoever
    /// thinks longer than is measured has not gone away.
    fn think(&mut self, talk: Box<Talk>, end: Nanos) {
        let Some(config) = &self.driver.conversations else { return };
        let pause = think::before_turn(config, self.batch.draw, talk.start, talk.turn());
        // A conversation thinks once at a time, so that no two keys are the same.
        self.thinking.insert((moment(end, pause), talk.start), talk);
    }

    /// Turns that are due too late do not leave.
    fn lose_late(&mut self) {
        let (batch, sent, begun) = (&self.batch, self.sent.count, self.begun);
        let late = |(due, start): &(Nanos, u64)| batch.is_over(sent, *start, due.since(begun));
        for (_, talk) in self.thinking.extract_if(.., |key, _| late(key)) {
            self.sent.conversations.lose(talk.turns_left(), NotSent::LoadOver);
        }
    }

    /// No turn leaves any more.
    fn lose_thinking(&mut self) {
        let why = match self.driver.control.reason() {
            Some(_) => NotSent::Stopped,
            None => NotSent::LoadOver,
        };
        for talk in std::mem::take(&mut self.thinking).into_values() {
            self.sent.conversations.lose(talk.turns_left(), why);
        }
    }

    /// Until a request ends, the time has come, or the run is stopped.
    async fn wait(&mut self, wake: Option<Nanos>) {
        let control = &self.driver.control;
        let (pacer, in_flight) = (&mut self.pacer, &mut self.in_flight);
        let ended = control.unless_stopped(async {
            tokio::select! {
                ended = in_flight.join_next(), if !in_flight.is_empty() => ended,
                () = pacer.until(wake.unwrap_or_default()), if wake.is_some() => None,
                // A load that waits for nothing would be wrong; it is asked again.
                else => None,
            }
        });
        if let Ok(Some(ended)) = ended.await {
            self.ended(ended);
        }
    }

    /// The end of the time asked for, where the phase goes by time.
    fn end(&self) -> Option<Nanos> {
        let time = self.batch.requests.time;
        (time > Seconds::ZERO).then(|| moment(self.begun, time))
    }

    /// Waits for the time asked for and for requests in flight; after the grace they are given up.
    async fn drain(&mut self) {
        let requests = self.batch.requests;
        let complete = requests.most.is_some_and(|most| self.sent.count >= most);
        let end = self.end().filter(|_| !complete).unwrap_or(Nanos(0)).max(clock::now());
        let last = requests.grace.map(|grace| end.offset(grace));
        let control = &self.driver.control;
        while clock::now() < end && control.reason().is_none() {
            self.wait(Some(end)).await;
        }
        let mut cut = false;
        while !self.in_flight.is_empty() {
            tokio::select! {
                ended = self.in_flight.join_next() => {
                    ended.into_iter().for_each(|ended| self.ended(ended));
                }
                () = self.pacer.until(last.unwrap_or_default()), if last.is_some() && !cut => {
                    self.driver.control.cut(true);
                    cut = true;
                }
            }
        }
        self.driver.control.cut(false);
    }
}

/// A panic in a request is one of the run.
fn propagate<T>(ended: Result<T, JoinError>) -> Option<T> {
    match ended {
        Ok(value) => Some(value),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => None,
    }
}
