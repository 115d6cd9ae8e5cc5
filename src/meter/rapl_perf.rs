//! RAPL through the kernel's `power` performance events.
//!
//! Measures: joules of processor packages, of their DRAM, and of the platform where the processor counts it, in steps of
//! 2^-32 J, extended to 64 bits by the kernel, so that nothing goes round. Needs: `CAP_PERFMON`, root, or
//! `kernel.perf_event_paranoid` of 0 or less. Limits: machine-wide, other processes included; virtual machines seldom have
//! it. Example: `package-0.energy`. Where this and powercap can both be read, this counts and powercap stands beside it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;

use crate::record::{Component, DeviceRef, Quantity, SensorInfo, Source};
use crate::units::Seconds;

use super::{Meter, MeterEntry, MeterError, OpenRequest, Opened};

/// The line in the registry.
pub const ENTRY: MeterEntry = MeterEntry {
    kind: KIND,
    summary: "Package, DRAM and platform energy counters (RAPL through perf's power events)",
    open,
};

const KIND: &str = "rapl_perf";
/// Where the kernel describes the events.
const SOURCE: &str = "bus/event_source/devices/power";
/// The processor renews its counter about every millisecond.
const UPDATE: Seconds = Seconds(0.001);

/// An event of the kernel's description.
#[derive(Debug, Clone, PartialEq)]
struct Event {
    /// `energy-pkg`.
    name: String,
    /// What `perf_event_open` takes.
    config: u64,
    /// Joules in one count.
    scale: f64,
}

/// Opens an event on a processor: type of the source, config, processor.
type OpenEvent = fn(u32, u64, u32) -> io::Result<File>;

struct Counter {
    file: File,
    scale: f64,
}

struct PerfMeter {
    sensors: Vec<SensorInfo>,
    counters: Vec<Counter>,
}

impl Meter for PerfMeter {
    fn sensors(&self) -> &[SensorInfo] {
        &self.sensors
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "2^53 counts are 2 MJ: beyond, the last bits of a step go"
    )]
    fn read(&mut self, sensor: usize) -> Result<f64, MeterError> {
        let missing = || MeterError::new(format!("perf has no sensor {sensor}"));
        let counter = self.counters.get_mut(sensor).ok_or_else(missing)?;
        let mut bytes = [0_u8; 8];
        counter
            .file
            .read_exact(&mut bytes)
            .map_err(|cause| MeterError::new(format!("perf power event: {cause}")))?;
        Ok(u64::from_ne_bytes(bytes) as f64 * counter.scale)
    }
}

fn open(request: &OpenRequest<'_>) -> Opened {
    open_with(request, open_event)
}

fn open_with(request: &OpenRequest<'_>, open_event: OpenEvent) -> Opened {
    let root = Path::new(&request.metrics.sysfs_root);
    let folder = root.join(SOURCE);
    let Some(kind) = text(&folder.join("type")).and_then(|kind| kind.parse().ok()) else {
        return Opened::absent(Component::Cpu, KIND, "the kernel has no power events (perf)");
    };
    let cpus = text(&folder.join("cpumask")).map_or_else(|| vec![0], |mask| numbers(&mask));
    let mut meter = PerfMeter { sensors: Vec::new(), counters: Vec::new() };
    for event in events(&folder.join("events")) {
        let Some((component, counted)) = part(&event.name) else { continue };
        let wanted = match component {
            Component::Cpu => request.metrics.cpu,
            Component::Ram => request.metrics.ram,
            _ => true,
        };
        if !wanted {
            continue;
        }
        // The platform has one counter, which every package shows.
        let most = if component == Component::Machine { 1 } else { cpus.len() };
        for (place, cpu) in cpus.iter().enumerate().take(most) {
            match open_event(kind, event.config, *cpu) {
                Ok(file) => {
                    let package = package(root, *cpu, place);
                    meter.sensors.push(describe(&event, component, counted, &package, request));
                    meter.counters.push(Counter { file, scale: event.scale });
                }
                // All packages or none: half a machine must not pass for the whole.
                Err(cause) => return Opened::absent(Component::Cpu, KIND, refused(&cause)),
            }
        }
    }
    let mut opened = Opened::default();
    if !meter.sensors.is_empty() {
        opened.meters.push(Box::new(meter));
    }
    opened
}

fn refused(cause: &io::Error) -> String {
    if cause.kind() == io::ErrorKind::PermissionDenied {
        "perf's power events need CAP_PERFMON or kernel.perf_event_paranoid of 0 or less".to_owned()
    } else {
        format!("perf's power events do not open: {cause}")
    }
}

/// Which part of the machine an event counts, and whether that is part of the totals.
fn part(event: &str) -> Option<(Component, bool)> {
    match event {
        "energy-pkg" => Some((Component::Cpu, true)),
        "energy-ram" => Some((Component::Ram, true)),
        "energy-psys" => Some((Component::Machine, false)),
        // Cores and integrated graphics are parts of a package.
        _ => None,
    }
}

fn text(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// `0,24` or `0-1,4` as numbers.
fn numbers(list: &str) -> Vec<u32> {
    let parts = list.split(',').filter_map(|part| {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        Some(low.trim().parse::<u32>().ok()?..=high.trim().parse::<u32>().ok()?)
    });
    parts.flatten().take(4096).collect()
}

/// The events with a scale, in order of their names.
fn events(folder: &Path) -> Vec<Event> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.retain(|name| !name.contains('.'));
    names.sort();
    let event = |name: String| {
        // `event=0x02`
        let config = text(&folder.join(&name))?;
        let config = config.split(',').find_map(|term| term.strip_prefix("event="))?;
        let config = u64::from_str_radix(config.trim_start_matches("0x"), 16).ok()?;
        let scale = text(&folder.join(format!("{name}.scale")))?.parse().ok()?;
        let unit = text(&folder.join(format!("{name}.unit")))?;
        (unit == "Joules").then_some(Event { name, config, scale })
    };
    names.into_iter().filter_map(event).collect()
}

/// `package-0` of a processor.
fn package(root: &Path, cpu: u32, place: usize) -> String {
    let file = format!("devices/system/cpu/cpu{cpu}/topology/physical_package_id");
    let id = text(&root.join(file)).unwrap_or_else(|| place.to_string());
    format!("package-{id}")
}

fn describe(
    event: &Event,
    component: Component,
    counted: bool,
    package: &str,
    request: &OpenRequest<'_>,
) -> SensorInfo {
    let (name, scope, bound) = match component {
        Component::Ram => (format!("{package}.dram"), format!("DRAM of {package}"), Some(0.20)),
        Component::Machine => (
            "psys".to_owned(),
            "the whole platform, packages included: beside them, never added".to_owned(),
            None,
        ),
        _ => (package.to_owned(), format!("{package} without DRAM"), Some(0.05)),
    };
    SensorInfo {
        device: Some(DeviceRef { index: 0, uuid: name.clone(), name: name.clone() }),
        name: format!("{name}.energy"),
        meter: KIND.to_owned(),
        component,
        quantity: Quantity::EnergyCounter,
        unit: Quantity::EnergyCounter.unit().to_owned(),
        source: Source::Measured,
        scope,
        method: format!("RAPL counter power/{}/ through perf", event.name),
        counted,
        resolution: Some(event.scale),
        update_period_s: Some(UPDATE),
        sample_period_s: request.sample_period(),
        wrap_at: None,
        systematic_relative: bound,
        systematic_source: bound.map(|_| {
            "assumed: no bound is published that holds for every processor's counter".to_owned()
        }),
        timing: None,
        host: None,
    }
}

/// The head of `struct perf_event_attr`, as its first version had it (`PERF_ATTR_SIZE_VER0`).
#[repr(C)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    rest: [u64; 6],
}

#[expect(unsafe_code, reason = "the C library has no wrapper for this system call")]
fn open_event(kind: u32, config: u64, cpu: u32) -> io::Result<File> {
    const CLOSE_ON_EXEC: libc::c_ulong = 8;
    const EVERY_PROCESS: libc::pid_t = -1;
    const NO_GROUP: libc::c_int = -1;
    let size = u32::try_from(size_of::<Attributes>()).unwrap_or(64);
    let attributes = Attributes { kind, size, config, rest: [0; 6] };
    let cpu = libc::c_int::try_from(cpu).map_err(io::Error::other)?;
    // SAFETY: the attributes live through the call and tell their own size; all other arguments are numbers.
    let opened = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            EVERY_PROCESS,
            cpu,
            NO_GROUP,
            CLOSE_ON_EXEC,
        )
    };
    let descriptor = i32::try_from(opened).ok().filter(|descriptor| *descriptor >= 0);
    let descriptor = descriptor.ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the call has just made this descriptor, and nobody else has it.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(descriptor) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::component::metrics::MetricsConfig;
    use std::io::{Seek, SeekFrom, Write};

    /// A machine with two packages, as the kernel describes its events.
    fn tree() -> tempfile::TempDir {
        let root = tempfile::TempDir::new().unwrap();
        let source = root.path().join(SOURCE);
        let write = |path: &Path, text: &str| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(&source.join("type"), "23\n");
        write(&source.join("cpumask"), "0,24\n");
        for (event, code) in [
            ("energy-pkg", "0x02"),
            ("energy-ram", "0x03"),
            ("energy-psys", "0x05"),
            ("energy-cores", "0x01"),
        ] {
            write(&source.join("events").join(event), &format!("event={code}\n"));
            write(&source.join(format!("events/{event}.scale")), "2.3283064365386962890625e-10\n");
            write(&source.join(format!("events/{event}.unit")), "Joules\n");
        }
        for (cpu, package) in [(0, 0), (24, 1)] {
            let file = format!("devices/system/cpu/cpu{cpu}/topology/physical_package_id");
            write(&root.path().join(file), &format!("{package}\n"));
        }
        root
    }

    /// A counter at 2^32 counts for each processor and event: one joule.
    #[expect(clippy::unnecessary_wraps, reason = "as the real one")]
    fn one_joule(_kind: u32, config: u64, cpu: u32) -> io::Result<File> {
        let mut file = tempfile::tempfile().unwrap();
        let joules = u64::from(cpu) * 100 + config;
        file.write_all(&(joules << 32).to_ne_bytes()).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        Ok(file)
    }

    #[test]
    fn packages_and_their_memory_count_and_the_platform_stands_beside() {
        let root = tree();
        let metrics = MetricsConfig {
            sysfs_root: root.path().display().to_string(),
            ..MetricsConfig::default()
        };
        let mut opened = open_with(&OpenRequest::of(&metrics), one_joule);
        let meter = &mut opened.meters[0];
        let seen: Vec<(String, bool)> =
            meter.sensors().iter().map(|sensor| (sensor.name.clone(), sensor.counted)).collect();
        let expected = [
            ("package-0.energy", true),
            ("package-1.energy", true),
            ("psys.energy", false),
            ("package-0.dram.energy", true),
            ("package-1.dram.energy", true),
        ];
        assert_eq!(seen, expected.map(|(name, counted)| (name.to_owned(), counted)));
        assert!((meter.read(1).unwrap() - 2402.0).abs() < 1e-9, "2^-32 J a count");
    }

    #[test]
    fn without_permission_the_reason_names_the_capability() {
        let root = tree();
        let metrics = MetricsConfig {
            sysfs_root: root.path().display().to_string(),
            ..MetricsConfig::default()
        };
        let denied = |_, _, _| Err(io::Error::from(io::ErrorKind::PermissionDenied));
        let opened = open_with(&OpenRequest::of(&metrics), denied);
        assert!(opened.meters.is_empty());
        assert!(opened.absent[0].reason.contains("CAP_PERFMON"), "{:?}", opened.absent);
    }

    #[test]
    fn lists_of_processors_are_read() {
        assert_eq!(numbers("0,24"), [0, 24]);
        assert_eq!(numbers("0-2,8"), [0, 1, 2, 8]);
        assert_eq!(numbers("x"), Vec::<u32>::new());
    }
}
