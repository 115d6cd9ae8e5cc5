//! What a watcher sees while a run goes on.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::clock;
use crate::record::{Phase, RequestRecord, Source, Warning};
use crate::units::{Joules, Nanos, Seconds, Watts};

/// Someone who watches a run: a progress bar, a log.
pub trait Observer: Send + Sync {
    /// The run folder is made.
    fn folder(&self, _folder: &Path) {}
    /// A phase begins.
    fn phase(&self, phase: Phase);
    /// The measurement is repeated: this is repetition `number`, from 1, of at most `most`.
    fn repetition(&self, _number: u32, _most: u32) {}
    /// The present state; a few times a second.
    fn progress(&self, snapshot: &Snapshot);
    /// Something the reader of the figures should know.
    fn warning(&self, warning: &Warning);
}

/// Nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn phase(&self, _: Phase) {}
    fn progress(&self, _: &Snapshot) {}
    fn warning(&self, _: &Warning) {}
}

/// Power now and energy since the phase began: of what is measured where anything is, else of the models.
/// The two are never added.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Live {
    /// Measured or modelled; `None` when nothing is counted.
    pub source: Option<Source>,
    /// Power.
    pub power: Option<Watts>,
    /// Energy.
    pub energy: Option<Joules>,
    /// The hottest device, in degrees Celsius; `None` where nothing tells.
    pub temperature: Option<f64>,
}

/// The state of a run at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Snapshot {
    /// Which phase.
    pub phase: Phase,
    /// Requests of the phase that have ended.
    pub done: u64,
    /// Requests of the phase in all; 0 for a phase that only waits.
    pub total: u64,
    /// Requests of the phase that failed.
    pub failed: u64,
    /// Generated tokens a second since the phase began, by the counts of ended requests.
    pub tokens_per_second: f64,
    /// What the meters say.
    pub live: Live,
    /// Time left, by the pace so far.
    pub eta: Option<Seconds>,
}

/// Counts of the present phase.
#[derive(Debug, Default)]
pub(super) struct Counters {
    counts: Mutex<Counts>,
    /// Tokens as they come, of all phases: whoever waits for a steady throughput cannot wait for requests to end.
    streamed: AtomicU64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    began: Nanos,
    total: u64,
    sent: u64,
    done: u64,
    failed: u64,
    tokens: u64,
}

impl Counters {
    pub(super) fn begin(&self, total: u64) {
        self.with(|counts| *counts = Counts { began: clock::now(), total, ..Counts::default() });
    }

    /// A token has come, or a few in one event.
    pub(super) fn streamed(&self) {
        self.streamed.fetch_add(1, Ordering::Relaxed);
    }

    /// Tokens so far, in any unit that stays the same: events where answers are streamed.
    pub(super) fn tokens_so_far(&self) -> u64 {
        self.streamed.load(Ordering::Relaxed)
    }

    pub(super) fn sent(&self) {
        self.with(|counts| counts.sent += 1);
    }

    pub(super) fn ended(&self, record: &RequestRecord) {
        if record.event_offsets_ns.is_empty() {
            let whole = record.tokens.completion.unwrap_or(0);
            self.streamed.fetch_add(whole, Ordering::Relaxed);
        }
        self.with(|counts| {
            counts.done += 1;
            counts.failed += u64::from(!record.is_ok());
            counts.tokens += record.tokens.completion.unwrap_or(0);
        });
    }

    #[expect(clippy::cast_precision_loss, reason = "counts shown to people")]
    pub(super) fn snapshot(&self, phase: Phase, live: Live) -> Snapshot {
        let counts = *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = clock::now().since(counts.began);
        let left = counts.total.saturating_sub(counts.done) as f64;
        let eta = (counts.done > 0).then(|| elapsed * (left / counts.done as f64));
        Snapshot {
            phase,
            done: counts.done,
            total: counts.total,
            failed: counts.failed,
            tokens_per_second: counts.tokens as f64 / elapsed.0.max(1e-9),
            live,
            eta,
        }
    }

    fn with(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
