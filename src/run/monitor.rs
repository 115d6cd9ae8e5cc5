//! Reads the sensors of a machine for somebody who watches, until told to stop.

use super::RunError;
use super::control::{Control, SignalGuard};
use crate::clock;
use crate::meter::{Board, Inventory, Sampler};
use crate::record::StopReason;
use crate::units::{Nanos, Seconds};

/// Ends a [`monitor`] from elsewhere. Clones end the same one.
#[derive(Debug, Clone)]
pub struct Stopper(Control);

impl Default for Stopper {
    fn default() -> Self {
        Self(Control::new(0))
    }
}

impl Stopper {
    /// Ends it.
    pub fn stop(&self) {
        self.0.stop(StopReason::Interrupted);
    }
}

/// How often figures are shown, and how many times.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Time between two showings.
    pub interval: Seconds,
    /// The last of them; without one, until it is stopped.
    pub last: Option<u64>,
    /// Catch every change of every counter.
    pub fine: bool,
}

/// Reads the sensors at their own cadence and shows what they say at every interval, until `pace` is over, a signal
/// comes or `stopper` is used. The board is given back for a summary.
///
/// # Errors
/// When the system refuses a signal handler or a timer.
pub fn monitor(
    inventory: Inventory,
    pace: Pace,
    stopper: &Stopper,
    show: &mut dyn FnMut(&Board, Nanos),
) -> Result<Board, RunError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RunError::System)?
        .block_on(watch(inventory, pace, &stopper.0, show))
}

async fn watch(
    inventory: Inventory,
    pace: Pace,
    control: &Control,
    show: &mut dyn FnMut(&Board, Nanos),
) -> Result<Board, RunError> {
    let _signals = SignalGuard::listen(control).map_err(RunError::System)?;
    let mut sampler = Sampler::with(inventory.meters, pace.fine);
    let began = clock::now();
    let mut board = Board::new(sampler.sensors(), began);
    let mut samples = Vec::new();
    let mut shown: u64 = 0;
    while pace.last.is_none_or(|last| shown < last) && control.reason().is_none() {
        sampler.poll(clock::now, &mut samples);
        board.take(&samples);
        samples.clear();
        #[expect(clippy::cast_precision_loss, reason = "a count of refreshes")]
        let next = began.offset(pace.interval * (shown + 1) as f64);
        let now = clock::now();
        if now >= next {
            board.close();
            shown += 1;
            show(&board, now);
            continue;
        }
        let wait = next.min(sampler.next_due()).since(now);
        // A stop is seen by the loop's condition.
        let _ = control.sleep(wait).await;
    }
    Ok(board)
}
