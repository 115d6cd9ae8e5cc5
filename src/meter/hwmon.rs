//! Power and energy in the kernel's hwmon files: AMD and Intel GPUs, NVIDIA Grace, ACPI power meters, board sensors.
//!
//! Measures: AMD GPUs (`amdgpu`): power, and the energy counter where the driver has one, which is shown beside and not
//! counted, because such counters have been found stuck; Intel GPUs (`i915`, `xe`): the energy counter of the card, uJ,
//! 32 bits in the hardware; Grace (`power_meter` with its labels): power of the CPU socket; every other power sensor of
//! hwmon, beside and never counted. Needs: Linux; most files may be read by everyone. Limits: whole devices, other
//! processes included; ACPI meters renew once a second or more slowly. Example: `amdgpu-0.power`, `xe-0.energy`.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::record::{Component, DeviceRef, Quantity, SensorInfo, Source};
use crate::units::Seconds;

use super::{Meter, MeterEntry, MeterError, OpenRequest, Opened};

/// The line in the registry.
pub const ENTRY: MeterEntry = MeterEntry {
    kind: KIND,
    summary: "Power and energy in hwmon: AMD and Intel GPUs, NVIDIA Grace, ACPI power meters",
    open,
};

const KIND: &str = "hwmon";
const MICRO: f64 = 1e-6;
/// Power of a GPU is read so often; others at the config's period.
const GPU_PERIOD: Seconds = Seconds(0.05);
/// The hardware counters of Intel GPUs have 32 bits; the kernel goes on counting only as long as someone reads.
const INTEL_WRAP: f64 = 4_294_967_296.0 * MICRO;
const NO_BOUND: &str = "no bound is published for this sensor";

/// One file of hwmon and what it means.
struct Found {
    file: File,
    info: SensorInfo,
}

struct HwmonMeter {
    sensors: Vec<SensorInfo>,
    files: Vec<File>,
}

impl Meter for HwmonMeter {
    fn sensors(&self) -> &[SensorInfo] {
        &self.sensors
    }

    fn read(&mut self, sensor: usize) -> Result<f64, MeterError> {
        let missing = || MeterError::new(format!("hwmon has no sensor {sensor}"));
        let file = self.files.get(sensor).ok_or_else(missing)?;
        number(file).map_err(|cause| MeterError::new(format!("hwmon: {cause}")))
    }
}

/// Joules or watts; the files hold millionths.
#[expect(clippy::cast_precision_loss, reason = "an f64 holds 9e15 uJ exactly")]
fn number(file: &File) -> io::Result<f64> {
    let mut buffer = [0_u8; 32];
    let length = file.read_at(&mut buffer, 0)?;
    let text = std::str::from_utf8(&buffer[..length]).unwrap_or_default().trim();
    let micro: u64 = text.parse().map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{text:?} is no number"))
    })?;
    Ok(micro as f64 * MICRO)
}

fn open(request: &OpenRequest<'_>) -> Opened {
    let folder = Path::new(&request.metrics.sysfs_root).join("class/hwmon");
    let mut opened = Opened::default();
    let mut meter = HwmonMeter { sensors: Vec::new(), files: Vec::new() };
    let mut seen: Vec<String> = Vec::new();
    for chip in chips(&folder) {
        let name = text(&chip.join("name")).unwrap_or_default();
        // The chips of one kind are numbered as the kernel does.
        let index = seen.iter().filter(|earlier| **earlier == name).count();
        seen.push(name.clone());
        let chip = Chip { path: chip, name, index: u32::try_from(index).unwrap_or(u32::MAX) };
        for found in chip.sensors(request.sample_period()) {
            let wanted = match found.info.component {
                Component::Gpu => request.metrics.gpu,
                Component::Cpu => request.metrics.cpu,
                Component::Ram => request.metrics.ram,
                Component::Machine => true,
            };
            if wanted {
                meter.sensors.push(found.info);
                meter.files.push(found.file);
            }
        }
    }
    let gpus = meter.sensors.iter().filter(|sensor| sensor.component == Component::Gpu);
    for device in gpus.filter_map(|sensor| sensor.device.clone()) {
        if !opened.devices.contains(&device) {
            opened.devices.push(device);
        }
    }
    opened.present.clone_from(&opened.devices);
    if !meter.sensors.is_empty() {
        opened.meters.push(Box::new(meter));
    }
    opened
}

fn chips(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut chips: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    // hwmon10 comes after hwmon9.
    chips.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    chips
}

fn text(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// One folder of hwmon.
struct Chip {
    path: PathBuf,
    name: String,
    index: u32,
}

impl Chip {
    fn sensors(&self, period: Seconds) -> Vec<Found> {
        match self.name.as_str() {
            "amdgpu" => self.amd(),
            "i915" | "xe" => self.intel(),
            "power_meter" => self.acpi(period),
            _ => self.others(period),
        }
    }

    /// Power counts; the counter stands beside it.
    fn amd(&self) -> Vec<Found> {
        let power = ["power1_average", "power1_input"].iter().find_map(|file| {
            let what = "the driver's own average of the whole card's power";
            self.found(file, Quantity::Power, Component::Gpu, true, what, GPU_PERIOD)
        });
        let what = "a counter of 15.3 uJ a step; shown beside power, which is counted, because such counters \
                    have been found stuck or wrong (ROCm/amdsmi issue 38)";
        let counter = self.found(
            "energy1_input",
            Quantity::EnergyCounter,
            Component::Gpu,
            false,
            what,
            Seconds(1.0),
        );
        power.into_iter().chain(counter).collect()
    }

    /// The card counts; its package, where it is told apart, is a part of it.
    fn intel(&self) -> Vec<Found> {
        let mut found = Vec::new();
        for channel in 1..=4 {
            let label = text(&self.path.join(format!("energy{channel}_label")));
            let part = label.as_deref().unwrap_or("card");
            let counted = part == "card" && found.is_empty();
            let file = format!("energy{channel}_input");
            let what = if counted { "energy counter of the card" } else { "a part of the card" };
            let sensor = self.found(
                &file,
                Quantity::EnergyCounter,
                Component::Gpu,
                counted,
                what,
                Seconds(1.0),
            );
            found.extend(sensor.map(|mut sensor| {
                sensor.info.wrap_at = Some(INTEL_WRAP);
                if channel > 1 {
                    sensor.info.name = format!("{}-{}.{part}.energy", self.name, self.index);
                }
                sensor
            }));
        }
        found
    }

    /// Grace tells its rails by label; other machines have one meter at the power supply.
    fn acpi(&self, period: Seconds) -> Vec<Found> {
        let label = text(&self.path.join("power1_oem_info"))
            .or_else(|| text(&self.path.join("power1_label")));
        let label = label.as_deref().unwrap_or("");
        let socket = label.starts_with("Grace Power Socket");
        let (component, what) = if socket {
            (Component::Cpu, format!("{label}: the CPU socket with its memory"))
        } else if label.is_empty() {
            (Component::Machine, "what the ACPI power meter of this machine sees".to_owned())
        } else {
            (Component::Machine, format!("{label}: beside other parts, never added"))
        };
        let interval = text(&self.path.join("power1_average_interval"))
            .and_then(|ms| ms.parse::<f64>().ok())
            .filter(|ms| *ms > 0.0)
            .map(|ms| Seconds(ms / 1e3));
        let sensor = ["power1_average", "power1_input"]
            .iter()
            .find_map(|file| self.found(file, Quantity::Power, component, socket, &what, period));
        sensor
            .into_iter()
            .map(|mut sensor| {
                sensor.info.update_period_s = interval;
                sensor
            })
            .collect()
    }

    fn others(&self, period: Seconds) -> Vec<Found> {
        (1..=8)
            .filter_map(|channel| {
                let label = text(&self.path.join(format!("power{channel}_label")));
                let label = label.unwrap_or_else(|| format!("power{channel}"));
                let what = format!("{label} of {}: beside other parts, never added", self.name);
                let mut found = ["input", "average"].iter().find_map(|kind| {
                    let file = format!("power{channel}_{kind}");
                    self.found(&file, Quantity::Power, Component::Machine, false, &what, period)
                })?;
                found.info.name = format!("{}-{}.power{channel}", self.name, self.index);
                Some(found)
            })
            .collect()
    }

    /// A file that is there and holds a number.
    fn found(
        &self,
        file: &str,
        quantity: Quantity,
        component: Component,
        counted: bool,
        what: &str,
        period: Seconds,
    ) -> Option<Found> {
        let path = self.path.join(file);
        let opened = File::open(&path).ok()?;
        number(&opened).ok()?;
        let suffix = if quantity == Quantity::Power { "power" } else { "energy" };
        let info = SensorInfo {
            name: format!("{}-{}.{suffix}", self.name, self.index),
            meter: KIND.to_owned(),
            component,
            device: Some(self.device()),
            quantity,
            unit: quantity.unit().to_owned(),
            source: Source::Measured,
            scope: what.to_owned(),
            method: format!("{} of hwmon {}", path.display(), self.name),
            counted,
            resolution: Some(MICRO),
            update_period_s: None,
            sample_period_s: period,
            wrap_at: None,
            systematic_relative: None,
            systematic_source: Some(NO_BOUND.to_owned()),
            timing: None,
            host: None,
        };
        Some(Found { file: opened, info })
    }

    /// By the device's own number where it has one, else by its place on the bus.
    fn device(&self) -> DeviceRef {
        let device = self.path.join("device");
        let bus = fs::canonicalize(&device)
            .ok()
            .and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        let unique = text(&device.join("unique_id")).map(|id| format!("{}-{id}", self.name));
        let uuid = unique.or(bus).unwrap_or_else(|| format!("{}-{}", self.name, self.index));
        let name = text(&device.join("product_name"))
            .unwrap_or_else(|| format!("{} {}", self.name, self.index));
        DeviceRef { index: self.index, uuid, name }
    }
}
