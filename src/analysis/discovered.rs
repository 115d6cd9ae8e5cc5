//! What the sampler found out about sensors while it read them, put in the place of what was believed before.

use std::borrow::Cow;

use crate::record::{Event, RunRecords};

/// The same records with the update periods of sensors as they were found; without such they are the records themselves.
#[must_use]
pub(super) fn discovered(records: &RunRecords) -> Cow<'_, RunRecords> {
    let found = |event: &Event| matches!(event, Event::UpdatePeriod { .. });
    if !records.events.iter().any(|record| found(&record.event)) {
        return Cow::Borrowed(records);
    }
    let mut corrected = records.clone();
    for record in &records.events {
        let Event::UpdatePeriod { sensor, period_s, .. } = &record.event else { continue };
        let sensors = &mut corrected.manifest.sensors;
        // The last that was found is the best known.
        if let Some(info) = sensors.iter_mut().find(|info| info.name == *sensor) {
            info.update_period_s = Some(*period_s);
        }
    }
    Cow::Owned(corrected)
}
