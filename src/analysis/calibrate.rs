//! Gains that were known before the run, applied to its readings.

use std::borrow::Cow;

use crate::record::reference::Gain;
use crate::record::{RunRecords, SensorInfo};

/// The same records with every sensor that has a gain corrected by it: values, resolution and range times the gain, its
/// systematic bound that of the gain. Without gains they are the records themselves.
#[must_use]
pub fn calibrated(records: Cow<'_, RunRecords>) -> Cow<'_, RunRecords> {
    let manifest = &records.manifest;
    let gain_of =
        |sensor: &SensorInfo| manifest.gains.iter().find(|gain| gain.is_of(sensor)).cloned();
    let gains: Vec<Option<Gain>> = manifest.sensors.iter().map(gain_of).collect();
    if gains.iter().all(Option::is_none) {
        return records;
    }
    let mut corrected = records.into_owned();
    for (sensor, gain) in corrected.manifest.sensors.iter_mut().zip(&gains) {
        if let Some(gain) = gain {
            correct(sensor, gain);
        }
    }
    for sample in &mut corrected.samples {
        if let Some(Some(gain)) = gains.get(usize::from(sample.sensor)) {
            sample.value = sample.value.map(|value| value * gain.gain);
        }
    }
    Cow::Owned(corrected)
}

fn correct(sensor: &mut SensorInfo, gain: &Gain) {
    sensor.resolution = sensor.resolution.map(|step| step * gain.gain);
    sensor.wrap_at = sensor.wrap_at.map(|range| range * gain.gain);
    sensor.systematic_relative = Some(gain.bound_relative);
    sensor.systematic_source = Some(format!("calibrated: {}", gain.method));
    sensor.method.push_str(&format!("; times the gain {:.5} of {}", gain.gain, gain.measured));
}
