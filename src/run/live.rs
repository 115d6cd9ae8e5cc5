//! Asks for the grid's carbon intensity while a run goes on, on a thread of its own; answers become records.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::carbon::live::{self, LiveError};
use crate::config::Environment;
use crate::config::component::metrics::MetricsConfig;
use crate::record::{CarbonBasis, Event, LiveIntensity, Warning};

use super::journal::Journal;
use super::progress::Observer;

/// A grid's figures are of whole hours or quarters of one.
const PERIOD: Duration = Duration::from_secs(15 * 60);

/// Asks until it is told to stop.
pub(super) struct Watch {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Begins, where the run is to know the grid's own hours.
    pub(super) fn start(
        carbon: &CarbonBasis,
        metrics: &MetricsConfig,
        environment: &Environment,
        journal: &Journal,
        observer: &Arc<dyn Observer>,
    ) -> Option<Self> {
        let asked = carbon.live.clone()?;
        let token = environment.var(&metrics.electricity_maps_token_env)?;
        let url = metrics.electricity_maps_url.clone();
        let (journal, observer) = (journal.clone(), Arc::clone(observer));
        let (stop, stopped) = mpsc::channel();
        let thread = super::spawn_thread("grid", move || {
            let mut said = false;
            loop {
                match live::ask(&url, &asked, &token) {
                    Ok(reading) => journal.event(Event::CarbonIntensity { reading }),
                    Err(error) if !said => {
                        said = true;
                        let warning = failed(&asked, &error);
                        observer.warning(&warning);
                        journal.event(Event::Warning { warning });
                    }
                    Err(_) => {}
                }
                if stopped.recv_timeout(PERIOD) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        });
        Some(Self { stop, thread })
    }

    /// Waits for the question that is under way, which takes some seconds at most.
    pub(super) fn finish(self) {
        drop(self.stop);
        // A thread that panicked has asked in vain; the tables stand.
        let _ = self.thread.join();
    }
}

fn failed(asked: &LiveIntensity, error: &LiveError) -> Warning {
    Warning::new(
        "live_intensity_failed",
        format!(
            "{} did not tell the carbon intensity of {} ({error}): where it never does, the tables' figure counts",
            asked.service, asked.zone
        ),
    )
}
