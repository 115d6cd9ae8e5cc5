//! What it costs: the trait every meter fills in, the meters, and the sampler that reads them.
//!
//! A meter finds its sensors when it is opened and reads them when it is asked; it neither sleeps nor
//! decides when. [`open_all`] opens what a config asks for and says what is counted, [`Sampler`] keeps
//! every sensor's cadence, [`survey()`] tells what a machine offers.

mod board;
pub mod calibration;
pub mod cpu_model;
pub mod cpu_time;
pub mod exec;
pub mod hwmon;
mod inventory;
mod lent;
pub mod nvml;
mod own_cost;
mod procfs;
pub mod prometheus;
pub mod ram_model;
pub mod rapl;
pub mod rapl_perf;
pub mod reference;
pub mod replay;
mod sampler;
pub mod scripted;
pub mod select;
pub mod server_metrics;
mod survey;
pub mod tdp;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::component::meter::MeterConfig;
use crate::config::component::metrics::MetricsConfig;
use crate::error::Problem;
use crate::record::{Component, DeviceRef, Event, SensorInfo, Warning};
use crate::units::{Nanos, Seconds};

pub use board::{Board, HISTORY, PartNow, Row};
pub use inventory::{Inventory, open_all};
pub use lent::{Lender, Running, Told};
pub use sampler::{LiveComponent, Sampler};
pub use survey::{Survey, SurveyedSensor, survey};

/// A kind of meter by name.
#[derive(Clone, Copy)]
pub struct MeterEntry {
    /// Its name in provenance.
    pub kind: &'static str,
    /// One line for help texts.
    pub summary: &'static str,
    /// Looks for its sensors.
    pub open: fn(&OpenRequest<'_>) -> Opened,
}

/// The meters of this library, in order of preference within a component.
#[must_use]
pub fn entries() -> Vec<MeterEntry> {
    vec![
        exec::ENTRY,
        prometheus::ENTRY,
        replay::ENTRY,
        nvml::ENTRY,
        rapl_perf::ENTRY,
        rapl::ENTRY,
        hwmon::ENTRY,
        cpu_model::ENTRY,
        cpu_time::ENTRY,
        ram_model::ENTRY,
        own_cost::ENTRY,
    ]
}

/// Why a read failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MeterError {
    /// What happened.
    pub message: String,
}

impl MeterError {
    /// From what happened, in words.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

/// A source of readings with one or more sensors.
pub trait Meter: Send {
    /// The sensors; `read` takes a position in this list.
    fn sensors(&self) -> &[SensorInfo];

    /// Reads one sensor, in the unit of its quantity. The sampler stamps the clock before and after.
    ///
    /// # Errors
    /// When the sensor gives no value now; the sampler records the reason and goes on.
    fn read(&mut self, sensor: usize) -> Result<f64, MeterError>;

    /// What happened beside readings since the last call: recorded as it is.
    fn notices(&mut self) -> Vec<Event> {
        Vec::new()
    }

    /// Whether readings come by themselves, from another program or machine: the sampler then collects
    /// [`Meter::arrivals`] and never asks [`Meter::read`].
    fn pushes(&self) -> bool {
        false
    }

    /// Readings that came since the last call, in order of time.
    fn arrivals(&mut self, _now: Nanos) -> Vec<Arrival> {
        Vec::new()
    }
}

/// A reading that came by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// Position of the sensor in [`Meter::sensors`].
    pub sensor: usize,
    /// The value was taken at this moment or later,
    pub before: Nanos,
    /// and at this moment or before.
    pub after: Nanos,
    /// The value in the unit of the sensor's quantity, or why there is none.
    pub value: Result<f64, MeterError>,
}

/// What to open.
#[derive(Debug, Clone)]
pub struct OpenRequest<'a> {
    /// Settings.
    pub metrics: &'a MetricsConfig,
    /// GPUs asked for by index, UUID or UUID prefix; `None` means all that are visible.
    pub device_ids: Option<&'a [String]>,
    /// `CUDA_VISIBLE_DEVICES`, if set.
    pub cuda_visible_devices: Option<String>,
    /// `CUDA_DEVICE_ORDER`, if set.
    pub cuda_device_order: Option<String>,
    /// Meters beside those that the machine offers by itself.
    pub extra: &'a [MeterConfig],
    /// Who starts threads and programs; without one, meters that need them are not opened.
    pub lender: Option<Arc<dyn Lender>>,
}

impl<'a> OpenRequest<'a> {
    /// The machine's own sensors with these settings, every GPU.
    #[must_use]
    pub const fn of(metrics: &'a MetricsConfig) -> Self {
        Self {
            metrics,
            device_ids: None,
            cuda_visible_devices: None,
            cuda_device_order: None,
            extra: &[],
            lender: None,
        }
    }

    /// How often sensors without a better cadence of their own are read.
    #[must_use]
    pub fn sample_period(&self) -> Seconds {
        Seconds(self.metrics.sample_period_s)
    }
}

/// A component for which a kind of meter has nothing here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Absent {
    /// GPU, CPU or RAM.
    pub component: Component,
    /// The registry name of the meter.
    pub meter: String,
    /// Why it has nothing.
    pub reason: String,
}

/// A sensor that exists and cannot be read as things stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Blocked {
    /// What it would measure.
    pub component: Component,
    /// What is in the way; the hint is the remedy.
    pub problem: Problem,
}

/// What a meter found on this machine.
#[derive(Default)]
pub struct Opened {
    /// Meters with sensors that answer.
    pub meters: Vec<Box<dyn Meter>>,
    /// Every device of its kind on the machine, selected or not.
    pub present: Vec<DeviceRef>,
    /// Devices that were selected.
    pub devices: Vec<DeviceRef>,
    /// What makes the asked-for metering impossible: a selected GPU that does not exist. Stops a run.
    pub problems: Vec<Problem>,
    /// Sensors that exist and may not be read: another source steps in, and the report says so.
    pub blocked: Vec<Blocked>,
    /// What the reader of the figures should know.
    pub warnings: Vec<Warning>,
    /// Components this kind of meter has nothing for on this machine.
    pub absent: Vec<Absent>,
}

impl Opened {
    /// Nothing but the reason why there is nothing.
    #[must_use]
    pub fn absent(component: Component, meter: &str, reason: impl Into<String>) -> Self {
        Self {
            absent: vec![Absent { component, meter: meter.to_owned(), reason: reason.into() }],
            ..Self::default()
        }
    }
}
