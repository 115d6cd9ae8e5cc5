//! Whose energy it is: the machine where the model runs, and the one that drives the load where it is another.

use std::borrow::Cow;

use crate::record::{ComponentScope, RunRecords, SensorInfo};

use super::energy::{self, Metering};
use super::findings::{EnergyFindings, Machine};

/// The records seen from one machine each.
pub(super) struct Machines<'a> {
    /// Of the server's machine where that was metered, else as they are.
    pub(super) main: Cow<'a, RunRecords>,
    /// Of the machine that drove the load, where the server's is another and was metered.
    pub(super) client: Option<RunRecords>,
}

/// Sets the machines apart: only where the model runs elsewhere and a meter of that machine was there.
pub(super) fn machines(records: &RunRecords) -> Machines<'_> {
    let remote = |sensor: &SensorInfo| sensor.host.is_some();
    let sensors = &records.manifest.sensors;
    let metered = sensors.iter().any(|sensor| sensor.counted && remote(sensor));
    if records.manifest.backend.local || !metered {
        return Machines { main: Cow::Borrowed(records), client: None };
    }
    let mut main = seen(records, remote, "no meter of the server's machine has it");
    // Whose processor time it was is known of this machine's processes only.
    main.manifest.cpu_scope = None;
    let client = seen(records, |sensor| !remote(sensor), "not metered on this machine");
    Machines { main: Cow::Owned(main), client: Some(client) }
}

/// The same records where only some sensors count.
fn seen(records: &RunRecords, counts: impl Fn(&SensorInfo) -> bool, none: &str) -> RunRecords {
    let mut seen = records.clone();
    for sensor in &mut seen.manifest.sensors {
        sensor.counted &= counts(sensor);
    }
    let sensors = &seen.manifest.sensors;
    for scope in &mut seen.manifest.scope {
        let of = |sensor: &&SensorInfo| sensor.counted && sensor.component == scope.component;
        let parts: Vec<&str> = sensors.iter().filter(of).map(|s| s.scope.as_str()).collect();
        if scope.counted {
            *scope = ComponentScope {
                counted: !parts.is_empty(),
                reason: if parts.is_empty() { none.to_owned() } else { parts.join("; ") },
                ..scope.clone()
            };
        }
    }
    seen
}

/// Energy of the server's machine, and of this one where it is another.
pub(super) fn energies(
    metering: &Metering<'_>,
    records: &RunRecords,
    client: Option<&Metering<'_>>,
) -> (EnergyFindings, Option<EnergyFindings>) {
    let backend = &records.manifest.backend;
    if let Some(client) = client {
        let client = client.findings(Machine::Client);
        return (metering.findings(Machine::Server), Some(client));
    }
    if backend.local {
        return (metering.findings(Machine::Server), None);
    }
    let reason = format!(
        "the model runs on another machine ({}), whose energy was not metered",
        backend.local_reason
    );
    (energy::unmetered(Machine::Server, &reason), Some(metering.findings(Machine::Client)))
}
