//! What metering itself costs: processor time of the thread that reads the sensors.
//!
//! Measures: seconds of processor time, by the system's clock of that thread; how many joules they are, a model says in
//! the report. Needs: nothing. Limits: only the thread that reads, not the one that writes the records. Example:
//! `meter.cpu_time`.

use crate::clock;
use crate::record::{Component, Quantity, SensorInfo, Source};
use crate::units::Seconds;

use super::{Meter, MeterEntry, MeterError, OpenRequest, Opened};

/// The line in the registry.
pub(super) const ENTRY: MeterEntry =
    MeterEntry { kind: KIND, summary: "Processor time of the metering itself", open };

const KIND: &str = "own_cost";

struct OwnCost([SensorInfo; 1]);

impl Meter for OwnCost {
    fn sensors(&self) -> &[SensorInfo] {
        &self.0
    }

    fn read(&mut self, _sensor: usize) -> Result<f64, MeterError> {
        Ok(clock::thread_cpu_time().0)
    }
}

fn open(request: &OpenRequest<'_>) -> Opened {
    let info = SensorInfo {
        name: "meter.cpu_time".to_owned(),
        meter: KIND.to_owned(),
        component: Component::Cpu,
        device: None,
        quantity: Quantity::CpuTime,
        unit: Quantity::CpuTime.unit().to_owned(),
        source: Source::Measured,
        scope: "the thread that reads the sensors".to_owned(),
        method: "CLOCK_THREAD_CPUTIME_ID".to_owned(),
        counted: false,
        resolution: Some(1e-9),
        update_period_s: None,
        sample_period_s: Seconds(request.sample_period().0.min(1.0)),
        wrap_at: None,
        systematic_relative: None,
        systematic_source: None,
        timing: None,
        host: None,
    };
    Opened { meters: vec![Box::new(OwnCost([info]))], ..Opened::default() }
}
