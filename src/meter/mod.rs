//! What it costs: the trait every meter fills in.

use crate::config::component::metrics::MetricsConfig;
use crate::error::Problem;
use crate::record::{Component, DeviceRef, SensorInfo};

/// Why a read failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MeterError {
    /// What happened.
    pub message: String,
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
}

/// What a meter found on this machine.
#[derive(Default)]
pub struct Opened {
    /// Meters with sensors that answer.
    pub meters: Vec<Box<dyn Meter>>,
    /// Devices that were selected.
    pub devices: Vec<DeviceRef>,
    /// Sensors that should answer and do not: a selected GPU that does not exist, a counter without permission.
    pub problems: Vec<Problem>,
    /// Components this kind of meter has nothing for on this machine, with the reason.
    pub absent: Vec<(Component, String)>,
}
