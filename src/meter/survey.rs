//! What a machine offers: the data behind `doctor`.

use schemars::JsonSchema;
use serde::Serialize;

use crate::clock;
use crate::error::Problem;
use crate::record::{ComponentScope, DeviceRef, SensorInfo, Warning};
use crate::units::Seconds;

use super::{Absent, Blocked, Inventory, Meter, MeterEntry, OpenRequest, open_all};

/// One sensor with a reading taken now.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SurveyedSensor {
    /// The sensor.
    #[serde(flatten)]
    pub sensor: SensorInfo,
    /// Its value now, in its unit.
    pub value: Option<f64>,
    /// Why there is none.
    pub error: Option<String>,
    /// Time that the read took.
    pub read_cost_s: Seconds,
}

/// Which sensors exist here, which could with what permission, which GPUs, what a run would count.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Survey {
    /// Sensors that can be read.
    pub sensors: Vec<SurveyedSensor>,
    /// Sensors that exist and may not be read; the hint is the remedy.
    pub blocked: Vec<Blocked>,
    /// Meters that have nothing here, and why.
    pub absent: Vec<Absent>,
    /// Every GPU of the machine.
    pub gpus: Vec<DeviceRef>,
    /// The GPUs a run would meter.
    pub selected: Vec<DeviceRef>,
    /// GPU, CPU and RAM: what a run would count, or why not.
    pub scope: Vec<ComponentScope>,
    /// The same in one sentence.
    pub boundary: String,
    /// What would stop a run.
    pub problems: Vec<Problem>,
    /// What a report would warn of.
    pub warnings: Vec<Warning>,
}

/// Opens everything as a run would and reads each sensor once.
#[must_use]
pub fn survey(entries: &[MeterEntry], request: &OpenRequest<'_>) -> Survey {
    let inventory = open_all(entries, request);
    let Inventory { mut meters, devices, present, scope, boundary, .. } = inventory;
    Survey {
        sensors: meters.iter_mut().flat_map(|meter| read_each(meter.as_mut())).collect(),
        blocked: inventory.blocked,
        absent: inventory.absent,
        gpus: present,
        selected: devices,
        scope,
        boundary,
        problems: inventory.problems.0,
        warnings: inventory.warnings,
    }
}

fn read_each(meter: &mut dyn Meter) -> Vec<SurveyedSensor> {
    let sensors = meter.sensors().to_vec();
    let read = |(position, sensor)| {
        let before = clock::now();
        let reading = meter.read(position);
        let read_cost_s = clock::now().since(before);
        let (value, error) = match reading {
            Ok(value) => (Some(value), None),
            Err(cause) => (None, Some(cause.message)),
        };
        SurveyedSensor { sensor, value, error, read_cost_s }
    };
    sensors.into_iter().enumerate().map(read).collect()
}
