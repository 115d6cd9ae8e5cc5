//! Tells the observer how far the run is, on a thread of its own: drawing must not delay a request.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::metering::Gauge;
use super::progress::{Counters, Observer};
use crate::record::{Phase, Warning};
use crate::units::Seconds;

/// Five times a second is enough for eyes, and costs nothing that a meter would see.
const PERIOD: Seconds = Seconds(0.2);

/// The thread's handle.
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

struct Shared {
    stop: AtomicBool,
    phase: Mutex<Phase>,
    counters: Arc<Counters>,
    gauge: Gauge,
    observer: Arc<dyn Observer>,
}

impl Ticker {
    pub(super) fn start(
        observer: Arc<dyn Observer>,
        counters: Arc<Counters>,
        gauge: Gauge,
    ) -> Self {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            phase: Mutex::new(Phase::Load),
            counters,
            gauge,
            observer,
        });
        let thread = super::spawn_thread("progress", {
            let shared = Arc::clone(&shared);
            move || {
                while !shared.stop.load(Ordering::Relaxed) {
                    std::thread::park_timeout(PERIOD.into());
                    shared.tell();
                }
            }
        });
        Self { shared, thread }
    }

    /// A phase begins.
    pub(super) fn phase(&self, phase: Phase) {
        *self.shared.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
        self.shared.observer.phase(phase);
    }

    /// It is this repetition, from 1, of so many at most.
    pub(super) fn repetition(&self, number: u32, most: u32) {
        self.shared.observer.repetition(number, most);
    }

    /// The reader of the figures should know something.
    pub(super) fn warning(&self, warning: &Warning) {
        self.shared.observer.warning(warning);
    }

    /// Tells the last state and ends.
    pub(super) fn stop(self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        // A panic in an observer costs a progress bar, not the run.
        let _ = self.thread.join();
    }
}

impl Shared {
    fn tell(&self) {
        let phase = *self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        self.observer.progress(&self.counters.snapshot(phase, self.gauge.live()));
    }
}
