//! Stopping: signals, failures in a row, records that cannot be written.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::watch;

use crate::record::{FailureClass, Outcome, StopReason};
use crate::units::Seconds;

/// Tells everything in a run that it is over, and why. The first reason stays.
#[derive(Debug, Clone)]
pub(super) struct Control {
    stop: Arc<watch::Sender<Signal>>,
    failures_in_a_row: Arc<AtomicU32>,
    most_failures: u32,
}

/// What requests are told.
#[derive(Debug, Clone, Copy, Default)]
struct Signal {
    reason: Option<StopReason>,
    /// Those in flight have had their time.
    cut: bool,
}

impl Signal {
    const fn is_stopped(self) -> bool {
        self.reason.is_some()
    }

    const fn is_urgent(self) -> bool {
        self.cut || matches!(self.reason, Some(StopReason::Interrupted | StopReason::RecordsFailed))
    }
}

/// The run was stopped while something was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stopped;

impl Control {
    /// `most_failures` in a row end the run; 0 for never.
    pub(super) fn new(most_failures: u32) -> Self {
        Self {
            stop: Arc::new(watch::Sender::new(Signal::default())),
            failures_in_a_row: Arc::new(AtomicU32::new(0)),
            most_failures,
        }
    }

    /// Ends the run.
    pub(super) fn stop(&self, reason: StopReason) {
        self.stop.send_if_modified(|current| {
            let first = current.reason.is_none();
            current.reason.get_or_insert(reason);
            first
        });
    }

    /// Gives up requests in flight, from now on (`true`) or no longer.
    pub(super) fn cut(&self, cut: bool) {
        self.stop.send_if_modified(|current| std::mem::replace(&mut current.cut, cut) != cut);
    }

    /// Whether requests are given up because their time is over, and not because the run is.
    pub(super) fn is_cut(&self) -> bool {
        let signal = *self.stop.borrow();
        signal.cut && signal.reason.is_none()
    }

    /// Why the run is over, if it is.
    pub(super) fn reason(&self) -> Option<StopReason> {
        self.stop.borrow().reason
    }

    /// Counts a request's end.
    pub(super) fn count(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Ok { .. } => {
                self.failures_in_a_row.store(0, Ordering::Relaxed);
                return;
            }
            // Given up, which says nothing of the server.
            Outcome::Failed { class: FailureClass::InFlight | FailureClass::Cancelled, .. } => {
                return;
            }
            Outcome::Failed { .. } => {}
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
        self.unless(|signal| signal.is_stopped(), work).await
    }

    /// Waits for `work` unless requests in flight are to be given up.
    pub(super) async fn unless_urgent<T>(
        &self,
        work: impl Future<Output = T>,
    ) -> Result<T, Stopped> {
        self.unless(|signal| signal.is_urgent(), work).await
    }

    async fn unless<T>(
        &self,
        over: impl FnMut(&Signal) -> bool,
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

    /// Sleeps between two attempts of a request, unless the run is stopped or the request given up first.
    #[expect(clippy::disallowed_methods, reason = "run is the room that sleeps")]
    pub(super) async fn back_off(&self, time: Seconds) -> Result<(), Stopped> {
        let over = |signal: &Signal| signal.is_stopped() || signal.is_urgent();
        self.unless(over, tokio::time::sleep(time.into())).await
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

    fn failed(class: FailureClass) -> Outcome {
        Outcome::Failed { class, http_status: None, message: "planted".to_owned() }
    }

    fn outcome(ok: bool) -> Outcome {
        match ok {
            true => Outcome::Ok { finish_reason: None },
            false => failed(FailureClass::Reset),
        }
    }

    #[test]
    fn requests_that_were_given_up_are_no_failures_in_a_row() {
        let control = Control::new(2);
        for _ in 0..5 {
            control.count(&failed(FailureClass::InFlight));
            control.count(&failed(FailureClass::Cancelled));
        }
        assert_eq!(control.reason(), None);
    }

    #[test]
    fn three_failures_in_a_row_stop_the_run_and_a_success_between_resets() {
        let control = Control::new(3);
        for ok in [false, false, true, false, false] {
            control.count(&outcome(ok));
        }
        assert_eq!(control.reason(), None);
        control.count(&outcome(false));
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
        (0..100).for_each(|_| control.count(&outcome(false)));
        assert_eq!(control.reason(), None);
    }
}
