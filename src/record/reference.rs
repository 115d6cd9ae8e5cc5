//! Readings of an external meter that were given as a file, and the gains of sensors that such readings have shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Quantity, SensorInfo};
use crate::units::Seconds;

/// What an external meter measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReferenceScope {
    /// The whole machine at its plug.
    Wall,
    /// One GPU.
    Gpu,
}

/// What its values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReferenceQuantity {
    /// Watts.
    Power,
    /// Joules, counted up.
    Energy,
}

/// What its times are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReferenceClock {
    /// Seconds since the Unix epoch by the meter's own clock.
    Wall,
    /// Seconds since some moment of its own.
    Relative,
}

/// One line of `references.jsonl`: a file of readings, as they were read from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReferenceTrace {
    /// Name of the file, without its folder.
    pub file: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Its form: `power_csv`, `ptdaemon`, ...
    pub format: String,
    /// What was measured.
    pub scope: ReferenceScope,
    /// The GPU's UUID or index, as stated.
    pub device: Option<String>,
    /// The column or field of the values.
    pub channel: String,
    /// What the values are.
    pub quantity: ReferenceQuantity,
    /// What the times are.
    pub clock: ReferenceClock,
    /// Bound of the meter's error as a share of its reading; none where nobody has stated one.
    pub accuracy_relative: Option<f64>,
    /// How far the clock may be off.
    pub max_offset_s: Seconds,
    /// How far it is known to be off at most, where that is stated.
    pub clock_bound_s: Option<Seconds>,
    /// Share of the wall power that reaches the GPU, and how far that may be off, relative.
    pub conversion: Option<[f64; 2]>,
    /// Rows that held no reading.
    pub skipped: u64,
    /// Times in seconds, by `clock`, in order.
    pub times_s: Vec<f64>,
    /// Values in watts or joules, by `quantity`.
    pub values: Vec<f64>,
}

/// The gain of one GPU's sensor: what it shows times this is what an external meter shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Gain {
    /// The GPU.
    pub uuid: String,
    /// The sensor's meter and quantity: `nvml.energy_counter`. Another field of the same GPU has a gain of its own.
    pub sensor: String,
    /// Multiplies the sensor's readings.
    pub gain: f64,
    /// Bound of what is still unknown of it, as a share: the reference's accuracy and twice the fit's standard uncertainty.
    pub bound_relative: f64,
    /// How it was found, in words: the reference's file, form, scope and accuracy, the run.
    pub method: String,
    /// RFC 3339, UTC: when the readings were taken.
    pub measured: String,
    /// The run that it was derived from.
    pub run_id: String,
}

impl Gain {
    /// Whether it is the gain of this sensor.
    #[must_use]
    pub fn is_of(&self, sensor: &SensorInfo) -> bool {
        sensor.device.as_ref().is_some_and(|device| device.uuid == self.uuid)
            && gain_key(sensor).as_deref() == Some(&self.sensor)
    }
}

/// What a gain calls a sensor; none for sensors that give no energy.
#[must_use]
pub fn gain_key(sensor: &SensorInfo) -> Option<String> {
    match sensor.quantity {
        Quantity::EnergyCounter => Some(format!("{}.energy_counter", sensor.meter)),
        Quantity::Power => Some(format!("{}.power", sensor.meter)),
        _ => None,
    }
}
