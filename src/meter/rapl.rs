//! RAPL: energy counters of processor packages and their memory, through the powercap files.
//!
//! Measures: joules of each package (cores, caches, memory controllers, integrated graphics) and, where the
//! processor has it, of its DRAM. Needs: Linux, an Intel or AMD processor, read permission on `energy_uj`
//! (root only since CVE-2020-8694). Limits: machine-wide, other processes included; virtual machines
//! seldom show it; `core` and `uncore` are parts of a package and `psys` contains packages, so these are
//! listed and never added. Example: `package-0.energy`, `package-0.dram.energy`.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::Problem;
use crate::record::{Component, DeviceRef, Quantity, SensorInfo, Source};
use crate::units::Seconds;

use super::{Absent, Blocked, Meter, MeterEntry, MeterError, OpenRequest, Opened};

/// The line in the registry.
pub const ENTRY: MeterEntry = MeterEntry {
    kind: KIND,
    summary: "Intel and AMD package and DRAM energy counters (RAPL through powercap)",
    open,
};

const KIND: &str = "rapl";
const MICROJOULES: f64 = 1e6;
/// The counter's own step is 2^-16 to 2^-14 J, depending on the processor.
const STEP_J: f64 = 6.1e-5;
/// The processor renews its counter about every millisecond.
const UPDATE: Seconds = Seconds(0.001);
/// No package draws more than this; the counter is read at least twice in each of its rounds.
const MAX_PACKAGE_W: f64 = 1000.0;

/// One powercap folder.
struct Zone {
    path: PathBuf,
    /// `package-0`, `dram`, `core`, `psys`.
    name: String,
    /// Name of the package it is part of.
    parent: Option<String>,
}

/// How a zone is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Package,
    Dram,
    /// Part of something counted, or containing it.
    Listed,
}

struct RaplMeter {
    sensors: Vec<SensorInfo>,
    counters: Vec<File>,
}

impl Meter for RaplMeter {
    fn sensors(&self) -> &[SensorInfo] {
        &self.sensors
    }

    fn read(&mut self, sensor: usize) -> Result<f64, MeterError> {
        let file = self
            .counters
            .get(sensor)
            .ok_or_else(|| MeterError::new(format!("RAPL has no sensor {sensor}")))?;
        read_counter(file).map_err(|cause| MeterError::new(format!("RAPL counter: {cause}")))
    }
}

/// Reads from the start of the open file: the kernel makes a fresh value for each.
#[expect(clippy::cast_precision_loss, reason = "counters wrap below 2^53 microjoules")]
fn read_counter(file: &File) -> io::Result<f64> {
    let mut buffer = [0_u8; 32];
    let length = file.read_at(&mut buffer, 0)?;
    let text = std::str::from_utf8(&buffer[..length]).unwrap_or_default().trim();
    let microjoules: u64 = text.parse().map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{text:?} is no number"))
    })?;
    Ok(microjoules as f64 / MICROJOULES)
}

fn open(request: &OpenRequest<'_>) -> Opened {
    let folder = Path::new(&request.metrics.sysfs_root).join("class/powercap");
    let zones = match find_zones(&folder) {
        Ok(zones) => zones,
        Err(cause) => {
            return nothing(&format!("no RAPL: cannot list {} ({cause})", folder.display()));
        }
    };
    if zones.is_empty() {
        return nothing(&format!(
            "no RAPL: {} has no intel-rapl zone (a virtual machine, or a processor without it)",
            folder.display()
        ));
    }
    open_zones(zones, request)
}

fn nothing(reason: &str) -> Opened {
    let mut opened = Opened::absent(Component::Cpu, KIND, reason);
    opened.absent.push(absent_dram(reason));
    opened
}

fn absent_dram(reason: &str) -> Absent {
    Absent { component: Component::Ram, meter: KIND.to_owned(), reason: reason.to_owned() }
}

/// Every zone once. The same counters may be shown twice, through machine registers (`intel-rapl`) and
/// memory-mapped (`intel-rapl-mmio`): the first is kept.
fn find_zones(folder: &Path) -> io::Result<Vec<Zone>> {
    let mut names: Vec<String> = fs::read_dir(folder)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("intel-rapl") && name.contains(':'))
        .collect();
    names.sort_by_key(|name| (name.starts_with("intel-rapl-mmio"), name.clone()));
    let mut zones: Vec<Zone> = Vec::new();
    for folder_name in names {
        let path = folder.join(&folder_name);
        let Ok(name) = zone_name(&path) else { continue };
        let parent = parent_folder(&folder_name).and_then(|up| zone_name(&folder.join(up)).ok());
        if !zones.iter().any(|zone| zone.name == name && zone.parent == parent) {
            zones.push(Zone { path, name, parent });
        }
    }
    Ok(zones)
}

fn zone_name(path: &Path) -> io::Result<String> {
    fs::read_to_string(path.join("name")).map(|name| name.trim().to_owned())
}

/// `intel-rapl:0` of `intel-rapl:0:1`.
fn parent_folder(folder: &str) -> Option<&str> {
    let (up, _) = folder.rsplit_once(':')?;
    up.contains(':').then_some(up)
}

impl Zone {
    fn role(&self) -> Role {
        match (&self.parent, self.name.as_str()) {
            (None, name) if name.starts_with("package") => Role::Package,
            (_, name) if name.starts_with("dram") => Role::Dram,
            _ => Role::Listed,
        }
    }

    fn component(&self) -> Component {
        if self.role() == Role::Dram { Component::Ram } else { Component::Cpu }
    }

    /// `package-0.dram`.
    fn full_name(&self) -> String {
        match &self.parent {
            Some(parent) => format!("{parent}.{}", self.name),
            None => self.name.clone(),
        }
    }
}

fn open_zones(zones: Vec<Zone>, request: &OpenRequest<'_>) -> Opened {
    let mut opened = Opened::default();
    let mut meter = RaplMeter { sensors: Vec::new(), counters: Vec::new() };
    let mut has_dram = false;
    for (index, zone) in zones.into_iter().enumerate() {
        has_dram |= zone.role() == Role::Dram;
        let wanted = match zone.component() {
            Component::Ram => request.metrics.ram,
            // The model is asked for in its place.
            _ if request.metrics.cpu_by_model || request.metrics.cpu_power_w.is_some() => false,
            _ => request.metrics.cpu,
        };
        if !wanted {
            continue;
        }
        match open_zone(&zone) {
            Ok((file, wrap_at)) => {
                meter.sensors.push(describe(&zone, index, wrap_at, request.sample_period()));
                meter.counters.push(file);
            }
            // A part that cannot be read is no loss where the whole can; only what would count is reported.
            Err(cause) if zone.role() != Role::Listed => {
                opened.blocked.push(blocked(&zone, &cause));
            }
            Err(_) => {}
        }
    }
    if !has_dram {
        opened.absent.push(absent_dram("RAPL of this processor has no DRAM counter"));
    }
    if !meter.sensors.is_empty() {
        opened.meters.push(Box::new(meter));
    }
    opened
}

#[expect(clippy::cast_precision_loss, reason = "counters wrap below 2^53 microjoules")]
fn open_zone(zone: &Zone) -> io::Result<(File, Option<f64>)> {
    let file = File::open(zone.path.join("energy_uj"))?;
    read_counter(&file)?;
    let range = fs::read_to_string(zone.path.join("max_energy_range_uj"))
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok())
        .filter(|range| *range > 0)
        .map(|range| range as f64 / MICROJOULES);
    Ok((file, range))
}

fn blocked(zone: &Zone, cause: &io::Error) -> Blocked {
    let path = zone.path.join("energy_uj").display().to_string();
    let problem = Problem::new(path.clone(), format!("cannot read the energy counter: {cause}"));
    let problem = if cause.kind() == io::ErrorKind::PermissionDenied {
        problem.hint(remedy(&zone.path))
    } else {
        problem
    };
    Blocked { component: zone.component(), problem }
}

/// What an administrator can do, most lasting last.
fn remedy(zone: &Path) -> String {
    let powercap = zone.parent().unwrap_or(zone).display();
    format!(
        "one of: run as root; until the next boot `sudo chmod a+r {powercap}/intel-rapl*:*/energy_uj`; or for one group \
         `sudo chgrp energy {powercap}/intel-rapl*:*/energy_uj && sudo chmod g+r {powercap}/intel-rapl*:*/energy_uj`; or for this program \
         `sudo setcap cap_perfmon=ep PATH/TO/ai-energy-benchmark` (perf) or `cap_dac_read_search=ep` (these files) (readable counters let other users spy on this machine: CVE-2020-8694)"
    )
}

fn describe(zone: &Zone, index: usize, wrap_at: Option<f64>, period: Seconds) -> SensorInfo {
    let role = zone.role();
    let full = zone.full_name();
    let package = zone.parent.as_deref().unwrap_or(&zone.name);
    let (relative, source) = systematic(role);
    SensorInfo {
        name: format!("{full}.energy"),
        meter: KIND.to_owned(),
        component: zone.component(),
        device: Some(DeviceRef {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            uuid: full.clone(),
            name: full.clone(),
        }),
        quantity: Quantity::EnergyCounter,
        unit: Quantity::EnergyCounter.unit().to_owned(),
        source: Source::Measured,
        scope: scope(role, &zone.name, package),
        method: format!("RAPL counter {} through powercap", zone.path.join("energy_uj").display()),
        counted: role != Role::Listed,
        resolution: Some(STEP_J),
        update_period_s: Some(UPDATE),
        sample_period_s: within_a_round(period, wrap_at),
        wrap_at,
        systematic_relative: relative,
        systematic_source: Some(source.to_owned()),
        timing: None,
        host: None,
    }
}

fn scope(role: Role, name: &str, package: &str) -> String {
    match role {
        Role::Package => format!("{package} without DRAM"),
        Role::Dram => format!("DRAM of {package}"),
        Role::Listed if name == "psys" => {
            "the whole platform, packages included: beside them, never added".to_owned()
        }
        Role::Listed => format!("{name}, a part of {package}: beside it, never added"),
    }
}

const fn systematic(role: Role) -> (Option<f64>, &'static str) {
    match role {
        Role::Package => (
            Some(0.05),
            "assumed: no bound is published that holds for every processor's package counter",
        ),
        Role::Dram => (
            Some(0.20),
            "assumed: no bound is published that holds for every processor's DRAM counter",
        ),
        Role::Listed => (None, "not counted"),
    }
}

/// The wished period, shortened where the counter could go round twice unseen.
fn within_a_round(wished: Seconds, wrap_at: Option<f64>) -> Seconds {
    let longest = wrap_at.map_or(f64::MAX, |range| range / MAX_PACKAGE_W / 2.0);
    Seconds(wished.0.min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str, parent: Option<&str>) -> Zone {
        Zone {
            path: PathBuf::from("/sys/class/powercap/intel-rapl:0"),
            name: name.to_owned(),
            parent: parent.map(str::to_owned),
        }
    }

    #[test]
    fn a_denied_counter_tells_the_exact_remedy() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let blocked = blocked(&zone("package-0", None), &denied);
        assert_eq!(blocked.component, Component::Cpu);
        let hint = blocked.problem.hint.unwrap();
        for part in ["chmod a+r /sys/class/powercap/intel-rapl*:*/energy_uj", "chgrp", "setcap"] {
            assert!(hint.contains(part), "{hint}");
        }
    }

    #[test]
    fn another_failure_promises_no_remedy() {
        let cause = io::Error::from(io::ErrorKind::NotFound);
        assert_eq!(blocked(&zone("package-0", None), &cause).problem.hint, None);
    }

    #[test]
    fn only_packages_and_their_memory_count() {
        assert_eq!(zone("package-0", None).role(), Role::Package);
        assert_eq!(zone("package-1-die-0", None).role(), Role::Package);
        assert_eq!(zone("dram", Some("package-0")).role(), Role::Dram);
        for (name, parent) in
            [("psys", None), ("core", Some("package-0")), ("uncore", Some("package-0"))]
        {
            assert_eq!(zone(name, parent).role(), Role::Listed, "{name}");
        }
    }

    #[test]
    fn the_counter_is_read_twice_in_every_round() {
        assert_eq!(within_a_round(Seconds(1.0), Some(262_143.0)), Seconds(1.0));
        assert_eq!(within_a_round(Seconds(600.0), Some(262_000.0)), Seconds(131.0));
        assert_eq!(within_a_round(Seconds(600.0), None), Seconds(600.0));
    }
}
