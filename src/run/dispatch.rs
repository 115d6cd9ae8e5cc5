//! Lets requests go when the load says so, and waits for those in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::{JoinError, JoinSet};

use super::driver::{Departure, Driver};
use super::pacer::{Pacer, moment};
use crate::clock;
use crate::load::{Load, Step};
use crate::plan::Requests;
use crate::record::Phase;
use crate::units::{Nanos, Seconds};

/// Requests to send.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub phase: Phase,
    pub repetition: Option<u32>,
    pub requests: Requests,
    /// As long as this is set, they go on.
    pub held: Arc<AtomicBool>,
}

impl Batch {
    /// Whether a request at this position, due at this time after the begin, is none any more.
    fn is_over(&self, index: u64, due: Seconds) -> bool {
        let Requests { least, time, most, .. } = self.requests;
        most.is_some_and(|most| index >= most)
            || (index >= least && due >= time && !self.held.load(Ordering::Relaxed))
    }
}

/// What came of a phase's requests beside their records.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Sent {
    /// Requests that left.
    pub count: u64,
    /// Of those, how many had to wait until others had ended, though they had arrived.
    pub held_back: u64,
    /// The longest such wait.
    pub longest_hold: Seconds,
}

/// One phase being sent.
struct Sending<'a> {
    driver: &'a Arc<Driver>,
    batch: Arc<Batch>,
    begun: Nanos,
    pacer: Pacer,
    in_flight: JoinSet<()>,
    sent: Sent,
    /// Whether the request that is due next was seen to wait for others.
    held: bool,
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
            sent: Sent::default(),
            held: false,
        };
        sending.go(load).await;
        sending.drain().await;
        sending.sent
    }
}

impl Sending<'_> {
    /// Lets requests go until there are no more or the run is stopped.
    async fn go(&mut self, load: &mut dyn Load) {
        let last = self.batch.requests.grace.zip(self.end()).map(|(grace, end)| end.offset(grace));
        while self.driver.goes_on() {
            while let Some(ended) = self.in_flight.try_join_next() {
                propagate(ended);
            }
            let now = clock::now();
            let step = load.step(now.since(self.begun), self.in_flight.len());
            let due = match step {
                Step::Over => return,
                Step::Leave { due } | Step::Wait { until: due } => due,
                Step::Full { due, .. } => due.unwrap_or_else(|| now.since(self.begun)),
            };
            if self.batch.is_over(self.sent.count, due) {
                return;
            }
            let wake = match step {
                Step::Leave { .. } | Step::Over => {
                    self.leave(due, now);
                    // It goes out before the next is looked at.
                    tokio::task::yield_now().await;
                    continue;
                }
                Step::Wait { until } => Some(until),
                Step::Full { due, until } => {
                    self.held |= due.is_some();
                    until
                }
            };
            let wake = wake.map(|wake| moment(self.begun, wake));
            let wake = match (wake, last) {
                (Some(wake), Some(last)) => Some(wake.min(last)),
                (wake, last) => wake.or(last),
            };
            self.wait(wake).await;
            if last.is_some_and(|last| clock::now() >= last) {
                return;
            }
        }
    }

    /// Sends the next request.
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
        let departure = Departure {
            index: self.sent.count,
            scheduled,
            released: if held { now } else { scheduled },
        };
        self.sent.count += 1;
        let driver = Arc::clone(self.driver);
        let batch = Arc::clone(&self.batch);
        self.in_flight.spawn(async move { driver.one(&batch, departure).await });
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
            propagate(ended);
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
                ended = self.in_flight.join_next() => ended.into_iter().for_each(propagate),
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
fn propagate(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}
