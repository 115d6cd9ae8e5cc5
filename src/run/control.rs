//! Stopping: signals, failures in a row, records that cannot be written.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::watch;

use crate::record::StopReason;
use crate::units::Seconds;

/// Tells everything in a run that it is over, and why. The first reason stays.
#[derive(Debug, Clone)]
pub(super) struct Control {
    stop: Arc<watch::Sender<Option<StopReason>>>,
    failures_in_a_row: Arc<AtomicU32>,
    most_failures: u32,
}

/// The run was stopped while something was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stopped;

impl Control {
    /// `most_failures` in a row end the run; 0 for never.
    pub(super) fn new(most_failures: u32) -> Self {
        Self {
            stop: Arc::new(watch::Sender::new(None)),
            failures_in_a_row: Arc::new(AtomicU32::new(0)),
            most_failures,
        }
    }

    /// Ends the run.
    pub(super) fn stop(&self, reason: StopReason) {
        self.stop.send_if_modified(|current| {
            let first = current.is_none();
            current.get_or_insert(reason);
            first
        });
    }

    /// Why the run is over, if it is.
    pub(super) fn reason(&self) -> Option<StopReason> {
        *self.stop.borrow()
    }

    /// Counts a request's end.
    pub(super) fn count(&self, ok: bool) {
        if ok {
            self.failures_in_a_row.store(0, Ordering::Relaxed);
            return;
        }
        let failures = self.failures_in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        if self.most_failures > 0 && failures >= self.most_failures {
            self.stop(StopReason::ConsecutiveFailures);
        }
    }

    /// Waits for `work` unless the run is stopped first.
    pub(super) async fn unless_stopped<T>(
        &self,
        work: impl Future<Output = T>,
    ) -> Result<T, Stopped> {
        self.unless(Option::is_some, work).await
    }

    /// Waits for `work` unless requests in flight are to be given up.
    pub(super) async fn unless_urgent<T>(
        &self,
        work: impl Future<Output = T>,
    ) -> Result<T, Stopped> {
        let urgent = |reason: &Option<StopReason>| {
            matches!(reason, Some(StopReason::Interrupted | StopReason::RecordsFailed))
        };
        self.unless(urgent, work).await
    }

    async fn unless<T>(
        &self,
        over: impl FnMut(&Option<StopReason>) -> bool,
        work: impl Future<Output = T>,
    ) -> Result<T, Stopped> {
        let mut stop = self.stop.subscribe();
        tokio::select! {
            biased;
            // The sender lives as long as `self`, so this ends only when the run does.
            _ = stop.wait_for(over) => Err(Stopped),
            result = work => Ok(result),
        }
    }

    /// Sleeps unless the run is stopped first.
    #[expect(clippy::disallowed_methods, reason = "run is the room that sleeps")]
    pub(super) async fn sleep(&self, time: Seconds) -> Result<(), Stopped> {
        self.unless_stopped(tokio::time::sleep(time.into())).await
    }
}

/// Turns Ctrl-C and SIGTERM into [`StopReason::Interrupted`], until dropped.
pub(super) struct SignalGuard(tokio::task::AbortHandle);

impl SignalGuard {
    /// Starts listening.
    ///
    /// # Errors
    /// When the system refuses a signal handler.
    pub(super) fn listen(control: &Control) -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let control = control.clone();
        #[expect(clippy::disallowed_methods, reason = "run is the room that spawns")]
        let task = tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            control.stop(StopReason::Interrupted);
        });
        Ok(Self(task.abort_handle()))
    }
}

impl Drop for SignalGuard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_in_a_row_stop_the_run_and_a_success_between_resets() {
        let control = Control::new(3);
        for ok in [false, false, true, false, false] {
            control.count(ok);
        }
        assert_eq!(control.reason(), None);
        control.count(false);
        assert_eq!(control.reason(), Some(StopReason::ConsecutiveFailures));
    }

    #[test]
    fn the_first_reason_stays() {
        let control = Control::new(0);
        control.stop(StopReason::Interrupted);
        control.stop(StopReason::RecordsFailed);
        assert_eq!(control.reason(), Some(StopReason::Interrupted));
    }

    #[test]
    fn zero_means_failures_never_stop_the_run() {
        let control = Control::new(0);
        (0..100).for_each(|_| control.count(false));
        assert_eq!(control.reason(), None);
    }
}
