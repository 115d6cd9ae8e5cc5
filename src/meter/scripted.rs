//! A meter that plays a script: readings of known truth, for tests and for trying out a display.

use std::collections::VecDeque;

use crate::record::{Component, DeviceRef, Quantity, SensorInfo, Source};
use crate::units::Seconds;

use super::{Meter, MeterError};

/// What a scripted sensor answers from then on.
pub type Answers = Box<dyn FnMut() -> Result<f64, MeterError> + Send>;

/// Sensors with scripted answers.
#[derive(Default)]
pub struct ScriptedMeter {
    sensors: Vec<SensorInfo>,
    answers: Vec<Answers>,
}

impl ScriptedMeter {
    /// Without sensors.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a sensor that answers from a function.
    #[must_use]
    pub fn with(mut self, sensor: SensorInfo, answers: Answers) -> Self {
        self.sensors.push(sensor);
        self.answers.push(answers);
        self
    }

    /// Adds a sensor that answers from a list, then repeats its last answer.
    #[must_use]
    pub fn with_list(
        self,
        sensor: SensorInfo,
        list: impl IntoIterator<Item = Result<f64, MeterError>>,
    ) -> Self {
        let mut list: VecDeque<_> = list.into_iter().collect();
        let mut last = Err(MeterError::new("the script is empty"));
        self.with(
            sensor,
            Box::new(move || {
                if let Some(next) = list.pop_front() {
                    last = next;
                }
                last.clone()
            }),
        )
    }
}

impl Meter for ScriptedMeter {
    fn sensors(&self) -> &[SensorInfo] {
        &self.sensors
    }

    fn read(&mut self, sensor: usize) -> Result<f64, MeterError> {
        let answers = self
            .answers
            .get_mut(sensor)
            .ok_or_else(|| MeterError::new(format!("no scripted sensor {sensor}")))?;
        answers()
    }
}

/// A scripted sensor's description: counted where it is an energy counter.
#[must_use]
pub fn sensor(name: &str, component: Component, quantity: Quantity, period: Seconds) -> SensorInfo {
    SensorInfo {
        name: name.to_owned(),
        meter: "scripted".to_owned(),
        component,
        device: (component == Component::Gpu).then(|| DeviceRef {
            index: 0,
            uuid: "GPU-00000000-0000-0000-0000-000000000000".to_owned(),
            name: "scripted GPU".to_owned(),
        }),
        quantity,
        unit: quantity.unit().to_owned(),
        source: Source::Measured,
        scope: "scripted".to_owned(),
        method: "script".to_owned(),
        counted: quantity == Quantity::EnergyCounter,
        resolution: None,
        update_period_s: (quantity == Quantity::EnergyCounter).then_some(Seconds(0.1)),
        sample_period_s: period,
        wrap_at: None,
        systematic_relative: Some(0.05),
        systematic_source: Some("script".to_owned()),
        timing: None,
        host: None,
    }
}
