//! NVIDIA GPUs through NVML, the driver's own library, loaded at run time.
//!
//! Measures: joules of the whole board by its energy counter, power, temperature, SM clock, utilisation, memory,
//! and what may hold it back: power limit, throttle reasons, processes.
//! Needs: the NVIDIA driver; no permission. Limits: the counter steps about every 100 ms and a read of it costs
//! some 3 ms of processor time, so it is read every second and densely only at phase edges; a slice of a GPU (MIG)
//! cannot be told apart; the gain of a board's sensor is off by up to 5-8 %. Example: `gpu0.energy`, `gpu0.power`.

use std::ffi::OsStr;
use std::sync::Arc;

use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::enums::device::{DeviceArchitecture, SampleValue};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::structs::device::FieldId;
use nvml_wrapper::sys_exports::field_id::NVML_FI_DEV_POWER_INSTANT;
use nvml_wrapper::{Device, Nvml};

use crate::config::component::metrics::MetricsConfig;
use crate::error::Problem;
use crate::record::{Component, DeviceRef, Event, Quantity, SensorInfo, Source, Warning};
use crate::units::Seconds;

use super::select::{Wanted, listing, select};
use super::{Meter, MeterEntry, MeterError, OpenRequest, Opened};

/// The line in the registry.
pub const ENTRY: MeterEntry = MeterEntry {
    kind: KIND,
    summary: "NVIDIA GPUs: energy counter, power, temperature, clock, utilisation, memory (NVML)",
    open,
};

const KIND: &str = "nvml";
const MILLI: f64 = 1e-3;
/// Power renews about every 100 ms; twice as often and more, so that no value is missed.
const POWER_PERIOD: Seconds = Seconds(0.05);
/// A read of the counter spins for some 4 ms: one every other second is 0.2 % of a core.
const COUNTER_PERIOD: Seconds = Seconds(2.0);
/// What seldom changes is read as seldom.
const RARE_PERIOD: Seconds = Seconds(5.0);
const BOARD: &str = "whole board with its memory";

/// What a sensor reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channel {
    Counter,
    InstantPower,
    PowerUsage,
    Temperature,
    SmClock,
    Utilization,
    MemoryUsed,
    PowerLimit,
    ThrottleReasons,
    Processes,
}

struct NvmlMeter {
    nvml: Arc<Nvml>,
    gpu: DeviceRef,
    channels: Vec<Channel>,
    sensors: Vec<SensorInfo>,
    /// The processes on the GPU when they were last looked at.
    pids: Option<Vec<u32>>,
    notices: Vec<Event>,
}

impl Meter for NvmlMeter {
    fn sensors(&self) -> &[SensorInfo] {
        &self.sensors
    }

    fn read(&mut self, sensor: usize) -> Result<f64, MeterError> {
        let channel = *self
            .channels
            .get(sensor)
            .ok_or_else(|| MeterError::new(format!("NVML has no sensor {sensor}")))?;
        let fail = |cause| MeterError::new(format!("NVML: {cause}"));
        let device = self.nvml.device_by_index(self.gpu.index).map_err(fail)?;
        if channel == Channel::Processes {
            let pids = pids(&device).map_err(fail)?;
            return Ok(note_processes(&mut self.pids, pids, &self.gpu, &mut self.notices));
        }
        channel.read(&device).map_err(fail)
    }

    fn notices(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.notices)
    }
}

/// Keeps who computes on a GPU, notes a change, and counts them.
#[expect(clippy::cast_precision_loss, reason = "a count of processes")]
fn note_processes(
    known: &mut Option<Vec<u32>>,
    pids: Vec<u32>,
    gpu: &DeviceRef,
    notices: &mut Vec<Event>,
) -> f64 {
    let count = pids.len() as f64;
    if known.as_ref() != Some(&pids) {
        notices.push(Event::GpuProcesses { device: gpu.uuid.clone(), pids: pids.clone() });
        *known = Some(pids);
    }
    count
}

fn pids(device: &Device<'_>) -> Result<Vec<u32>, NvmlError> {
    let mut pids: Vec<u32> =
        device.running_compute_processes()?.into_iter().map(|process| process.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

impl Channel {
    /// The value in the unit of the channel's quantity.
    #[expect(clippy::cast_precision_loss, reason = "an f64 holds 9e15 mJ and 8 PiB exactly")]
    fn read(self, device: &Device<'_>) -> Result<f64, NvmlError> {
        match self {
            Self::Counter => device.total_energy_consumption().map(|mj| mj as f64 * MILLI),
            Self::InstantPower => instant_power_mw(device).map(|mw| mw * MILLI),
            Self::PowerUsage => device.power_usage().map(|mw| f64::from(mw) * MILLI),
            Self::Temperature => device.temperature(TemperatureSensor::Gpu).map(f64::from),
            Self::SmClock => device.clock_info(Clock::SM).map(|mhz| f64::from(mhz) * 1e6),
            Self::Utilization => {
                device.utilization_rates().map(|rates| f64::from(rates.gpu) / 100.0)
            }
            Self::MemoryUsed => device.memory_info().map(|info| info.used as f64),
            Self::PowerLimit => device.enforced_power_limit().map(|mw| f64::from(mw) * MILLI),
            Self::ThrottleReasons => {
                device.current_throttle_reasons().map(|reasons| reasons.bits() as f64)
            }
            Self::Processes => pids(device).map(|pids| pids.len() as f64),
        }
    }

    const fn quantity(self) -> Quantity {
        match self {
            Self::Counter => Quantity::EnergyCounter,
            Self::InstantPower | Self::PowerUsage => Quantity::Power,
            Self::Temperature => Quantity::Temperature,
            Self::SmClock => Quantity::Clock,
            Self::Utilization => Quantity::Utilization,
            Self::MemoryUsed => Quantity::Memory,
            Self::PowerLimit => Quantity::PowerLimit,
            Self::ThrottleReasons => Quantity::ThrottleReasons,
            Self::Processes => Quantity::Processes,
        }
    }

    const fn suffix(self) -> &'static str {
        match self {
            Self::Counter => "energy",
            Self::InstantPower | Self::PowerUsage => "power",
            Self::Temperature => "temperature",
            Self::SmClock => "sm_clock",
            Self::Utilization => "utilization",
            Self::MemoryUsed => "memory_used",
            Self::PowerLimit => "power_limit",
            Self::ThrottleReasons => "throttle_reasons",
            Self::Processes => "processes",
        }
    }

    const fn resolution(self) -> f64 {
        match self {
            Self::Counter | Self::InstantPower | Self::PowerUsage | Self::PowerLimit => MILLI,
            Self::Temperature | Self::ThrottleReasons | Self::Processes => 1.0,
            Self::SmClock => 1e6,
            Self::Utilization => 0.01,
            Self::MemoryUsed => 4096.0,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "power in mW is far below 2^53")]
fn instant_power_mw(device: &Device<'_>) -> Result<f64, NvmlError> {
    let mut values = device.field_values_for(&[FieldId(NVML_FI_DEV_POWER_INSTANT)])?;
    let sample = values.pop().ok_or(NvmlError::NoData)??;
    Ok(match sample.value? {
        SampleValue::F64(value) => value,
        SampleValue::U32(value) => f64::from(value),
        SampleValue::U64(value) => value as f64,
        SampleValue::I64(value) => value as f64,
    })
}

fn load(library: Option<&str>) -> Result<Nvml, NvmlError> {
    match library {
        Some(path) => Nvml::builder().lib_path(OsStr::new(path)).init(),
        None => Nvml::init(),
    }
}

fn open(request: &OpenRequest<'_>) -> Opened {
    if !request.metrics.gpu {
        return Opened::default();
    }
    let nvml = match load(request.metrics.nvml_library.as_deref()) {
        Ok(nvml) => Arc::new(nvml),
        Err(cause) => return without_nvml(&cause, request),
    };
    let present = match gpus(&nvml) {
        Ok(present) => present,
        Err(cause) => return without_nvml(&cause, request),
    };
    let selection = select(
        &present,
        Wanted {
            device_ids: request.device_ids,
            visible: request.cuda_visible_devices.as_deref(),
            order: request.cuda_device_order.as_deref(),
            skip_missing: request.metrics.skip_missing_gpus,
        },
    );
    let mut opened =
        Opened { problems: selection.problems, warnings: selection.warnings, ..Opened::default() };
    for position in &selection.chosen {
        open_gpu(&nvml, &present[*position], request, &mut opened);
    }
    if opened.devices.is_empty() && opened.problems.is_empty() {
        let none = Opened::absent(Component::Gpu, KIND, no_gpu_reason(&present));
        opened.absent.extend(none.absent);
    }
    opened.present = present;
    opened
}

fn no_gpu_reason(present: &[DeviceRef]) -> String {
    if present.is_empty() {
        "the NVIDIA driver shows no GPU".to_owned()
    } else {
        format!("CUDA_VISIBLE_DEVICES hides every GPU; {}", listing(present))
    }
}

/// No NVML: the GPU is not measured, and who asked for one by name is told.
fn without_nvml(cause: &NvmlError, request: &OpenRequest<'_>) -> Opened {
    let reason = match cause {
        NvmlError::LibloadingError(cause) => {
            format!("no NVIDIA driver here: its library NVML cannot be loaded ({cause})")
        }
        NvmlError::DriverNotLoaded => "the NVIDIA driver is not loaded".to_owned(),
        other => format!("NVML does not start: {other}"),
    };
    let mut opened = Opened::absent(Component::Gpu, KIND, reason.clone());
    if let Some(ids) = request.device_ids.filter(|ids| !ids.is_empty()) {
        opened.warnings.push(Warning::new(
            "selected_gpu_not_metered",
            format!("backend.device_ids selects {}, but {reason}", ids.join(", ")),
        ));
    }
    opened
}

/// Every GPU of the machine, in NVML's order. One that does not open keeps its place.
fn gpus(nvml: &Nvml) -> Result<Vec<DeviceRef>, NvmlError> {
    let describe = |index| {
        let device = nvml.device_by_index(index)?;
        Ok::<_, NvmlError>(DeviceRef { index, uuid: device.uuid()?, name: device.name()? })
    };
    let placeholder = |index, cause: &NvmlError| DeviceRef {
        index,
        uuid: format!("unreadable-{index}"),
        name: format!("a GPU that does not open: {cause}"),
    };
    let count = nvml.device_count()?;
    Ok((0..count)
        .map(|index| describe(index).unwrap_or_else(|cause| placeholder(index, &cause)))
        .collect())
}

fn open_gpu(nvml: &Arc<Nvml>, gpu: &DeviceRef, request: &OpenRequest<'_>, opened: &mut Opened) {
    let channels = match answering(nvml, gpu.index) {
        Ok(channels) => channels,
        Err(cause) => {
            let place = format!("GPU {}", gpu.index);
            opened.problems.push(
                Problem::new(place, format!("{} is selected and does not open: {cause}", gpu.uuid))
                    .hint("look at `nvidia-smi`, or select others with backend.device_ids"),
            );
            return;
        }
    };
    if !channels.iter().any(|channel| {
        matches!(channel, Channel::Counter | Channel::InstantPower | Channel::PowerUsage)
    }) {
        let none = Opened::absent(
            Component::Gpu,
            KIND,
            format!("GPU {} ({}) tells neither energy nor power", gpu.index, gpu.name),
        );
        opened.absent.extend(none.absent);
    }
    if is_sliced(nvml, gpu.index) {
        opened.warnings.push(Warning::new(
            "gpu_is_sliced",
            format!(
                "GPU {} is divided (MIG){}: its energy is that of all slices and all that runs there; no sensor tells the \
                 energy of one slice, and processes in other slices may not be visible",
                gpu.index,
                slices(nvml, gpu.index)
            ),
        ));
    }
    let facts = Facts::of(nvml, gpu);
    let sensors = channels
        .iter()
        .map(|channel| facts.describe(*channel, channels[0], request.sample_period()))
        .collect();
    opened.devices.push(gpu.clone());
    opened.meters.push(Box::new(NvmlMeter {
        nvml: Arc::clone(nvml),
        gpu: gpu.clone(),
        channels,
        sensors,
        pids: None,
        notices: Vec::new(),
    }));
}

/// The channels that this GPU answers, what counts first.
fn answering(nvml: &Nvml, index: u32) -> Result<Vec<Channel>, NvmlError> {
    let device = nvml.device_by_index(index)?;
    let power = match Channel::InstantPower.read(&device) {
        Ok(_) => Channel::InstantPower,
        Err(_) => Channel::PowerUsage,
    };
    let wished = [
        Channel::Counter,
        power,
        Channel::Temperature,
        Channel::SmClock,
        Channel::Utilization,
        Channel::MemoryUsed,
        Channel::PowerLimit,
        Channel::ThrottleReasons,
        Channel::Processes,
    ];
    Ok(wished.into_iter().filter(|channel| channel.read(&device).is_ok()).collect())
}

/// How many slices there are, where that is told.
fn slices(nvml: &Nvml, index: u32) -> String {
    let count = || {
        let device = nvml.device_by_index(index)?;
        let most = device.mig_device_count()?;
        let there = (0..most).filter(|slice| device.mig_device_by_index(*slice).is_ok()).count();
        Ok::<_, NvmlError>((there, most))
    };
    count().map_or_else(
        |_| String::new(),
        |(there, most)| format!(", {there} slices of {most} that it can have"),
    )
}

fn is_sliced(nvml: &Nvml, index: u32) -> bool {
    nvml.device_by_index(index)
        .and_then(|device| device.mig_mode())
        .is_ok_and(|mode| mode.current == 1)
}

/// What the descriptions of one GPU's sensors say.
struct Facts {
    gpu: DeviceRef,
    driver: String,
    generation: Generation,
}

/// How the sensors of a generation behave: Yang, Adamek and Armour, arXiv 2312.02741.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Generation {
    /// Bound of the gain error against an external meter.
    relative: f64,
    source: &'static str,
    power_update: Seconds,
    /// `nvmlDeviceGetPowerUsage` averages over so long.
    usage_window: &'static str,
}

impl Generation {
    fn of(architecture: Option<&DeviceArchitecture>, name: &str) -> Self {
        const NOT_MEASURED: &str = "no board of this generation is among those compared with an external meter \
             (arXiv 2312.02741: -0.4 to -7.9 % on most); +-5 % as NVML documents it for early boards";
        const VOLTA_PASCAL: &str = "+-5 % as NVML documents it for early boards \
             (arXiv 2312.02741: GTX 1080 Ti -0.4 % of an external meter)";
        let is = |relative, source, update_ms: f64, usage_window| Self {
            relative,
            source,
            power_update: Seconds(update_ms / 1000.0),
            usage_window,
        };
        let ga100 = ["A100", "A30", "A800"].iter().any(|model| has_word(name, model));
        match architecture {
            Some(DeviceArchitecture::Ampere) if ga100 => is(
                0.073,
                "arXiv 2312.02741: A100 energy -5.8 +- 1.5 % of an external meter",
                100.0,
                "25 ms of each 100",
            ),
            Some(DeviceArchitecture::Ampere) => is(
                0.070,
                "arXiv 2312.02741: RTX 3070 Ti -3.6 %, 3090 -5.5 %, A5000 -7.0 % of an external meter",
                100.0,
                "1 s (100 ms with driver 530)",
            ),
            Some(DeviceArchitecture::Ada) => is(
                0.053,
                "arXiv 2312.02741: RTX 4090 -5.3 % of an external meter",
                100.0,
                "1 s (100 ms with driver 530)",
            ),
            Some(DeviceArchitecture::Turing) => is(
                0.127,
                "arXiv 2312.02741: RTX 2060 Super +12.7 %, 2080 Ti -7.9 % of an external meter",
                100.0,
                "100 ms",
            ),
            Some(DeviceArchitecture::Volta | DeviceArchitecture::Pascal) => {
                is(0.05, VOLTA_PASCAL, 20.0, "10 ms of each 20")
            }
            Some(DeviceArchitecture::Kepler | DeviceArchitecture::Maxwell) => {
                is(0.05, NOT_MEASURED, 100.0, "an RC filter")
            }
            _ => is(0.05, NOT_MEASURED, 100.0, "1 s"),
        }
    }
}

/// Bound of the gain error of a GPU's sensors by its product name alone, as a share, and who says so: for recordings made
/// elsewhere.
#[must_use]
pub fn bound_of(product: &str) -> (f64, String) {
    use DeviceArchitecture::{Ada, Ampere, Turing, Volta};
    const WORDS: [(DeviceArchitecture, &[&str]); 4] = [
        (Ampere, &["A100", "A30", "A800", "A10", "A40", "A16", "A2", "A4000", "A5000", "A6000"]),
        (Ada, &["L4", "L40", "L40S", "4090", "4080", "4070", "4060"]),
        (Turing, &["T4", "2080", "2070", "2060"]),
        (Volta, &["V100", "P100", "P40", "P4"]),
    ];
    let architecture = WORDS
        .iter()
        .find(|(_, words)| words.iter().any(|word| has_word(product, word)))
        .map(|(architecture, _)| architecture);
    let generation = Generation::of(architecture, product);
    (generation.relative, generation.source.to_owned())
}

/// Whether a product name has this word: `NVIDIA A100-SXM4-80GB` has `A100`, `RTX A3000` has no `A30`.
fn has_word(name: &str, word: &str) -> bool {
    name.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| part == word)
}

impl Facts {
    fn of(nvml: &Nvml, gpu: &DeviceRef) -> Self {
        let architecture =
            nvml.device_by_index(gpu.index).and_then(|device| device.architecture()).ok();
        Self {
            gpu: gpu.clone(),
            driver: nvml.sys_driver_version().unwrap_or_else(|_| "unknown".to_owned()),
            generation: Generation::of(architecture.as_ref(), &gpu.name),
        }
    }

    /// Describes a channel. `first` is the GPU's first channel: the counter where there is one, else the power that
    /// is integrated in its place.
    fn describe(&self, channel: Channel, first: Channel, period: Seconds) -> SensorInfo {
        let quantity = channel.quantity();
        let counted =
            channel == first && matches!(quantity, Quantity::EnergyCounter | Quantity::Power);
        let is_energy = matches!(quantity, Quantity::EnergyCounter | Quantity::Power);
        SensorInfo {
            name: format!("gpu{}.{}", self.gpu.index, channel.suffix()),
            meter: KIND.to_owned(),
            component: Component::Gpu,
            device: Some(self.gpu.clone()),
            quantity,
            unit: quantity.unit().to_owned(),
            source: Source::Measured,
            scope: self.scope(),
            method: self.method(channel, counted),
            counted,
            resolution: Some(channel.resolution()),
            update_period_s: match quantity {
                // 100 ms on an H100 (53 to 106), said to be 20 to 100 on others.
                Quantity::EnergyCounter => Some(Seconds(0.1)),
                Quantity::Power => Some(self.generation.power_update),
                _ => None,
            },
            sample_period_s: match quantity {
                Quantity::EnergyCounter => COUNTER_PERIOD,
                Quantity::Power => POWER_PERIOD,
                // Memory takes a millisecond to tell under load.
                Quantity::PowerLimit | Quantity::Processes | Quantity::Memory => {
                    Seconds(period.0.max(RARE_PERIOD.0))
                }
                _ => period,
            },
            wrap_at: None,
            systematic_relative: is_energy.then_some(self.generation.relative),
            systematic_source: is_energy.then(|| self.generation.source.to_owned()),
            timing: crate::sensor_model::nvidia_timing(&self.gpu.name, quantity)
                .filter(|_| channel != Channel::PowerUsage),
            host: None,
        }
    }

    /// On a Grace Hopper module NVML may show the module's power as the GPU's.
    fn scope(&self) -> String {
        if has_word(&self.gpu.name, "GH200") {
            format!("{BOARD} (on this module NVML may include the processor and its memory)")
        } else {
            BOARD.to_owned()
        }
    }

    fn method(&self, channel: Channel, counted: bool) -> String {
        let call = match channel {
            Channel::Counter => {
                "nvmlDeviceGetTotalEnergyConsumption, mJ since the driver was loaded".to_owned()
            }
            Channel::InstantPower => {
                "nvmlDeviceGetFieldValues, NVML_FI_DEV_POWER_INSTANT".to_owned()
            }
            Channel::PowerUsage => {
                format!(
                    "nvmlDeviceGetPowerUsage, which averages over {}",
                    self.generation.usage_window
                )
            }
            Channel::Temperature => "nvmlDeviceGetTemperature".to_owned(),
            Channel::SmClock => "nvmlDeviceGetClockInfo, SM".to_owned(),
            Channel::Utilization => {
                "nvmlDeviceGetUtilizationRates, share of time with a kernel running".to_owned()
            }
            Channel::MemoryUsed => "nvmlDeviceGetMemoryInfo_v2".to_owned(),
            Channel::PowerLimit => {
                "nvmlDeviceGetEnforcedPowerLimit, the lowest of all limits in force".to_owned()
            }
            Channel::ThrottleReasons => "nvmlDeviceGetCurrentClocksEventReasons".to_owned(),
            Channel::Processes => "nvmlDeviceGetComputeRunningProcesses".to_owned(),
        };
        let instead = if counted && channel != Channel::Counter {
            "; this GPU has no energy counter, so its power is integrated over time"
        } else {
            ""
        };
        format!("{call}; driver {}{instead}", self.driver)
    }
}

/// A GPU with the processes that compute on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuProcesses {
    /// The GPU.
    pub device: DeviceRef,
    /// Process ids as the driver sees them, which are the host's: inside a container they are other numbers,
    /// or none.
    pub pids: Vec<u32>,
}

/// The processes that compute on these GPUs now, to check that the program under test is among them.
///
/// # Errors
/// When NVML cannot be loaded or a GPU does not tell.
pub fn compute_pids(
    metrics: &MetricsConfig,
    devices: &[DeviceRef],
) -> Result<Vec<GpuProcesses>, MeterError> {
    let fail = |cause: NvmlError| MeterError::new(format!("NVML: {cause}"));
    let nvml = load(metrics.nvml_library.as_deref()).map_err(fail)?;
    let of = |device: &DeviceRef| {
        let handle = nvml.device_by_uuid(device.uuid.as_str())?;
        Ok(GpuProcesses { device: device.clone(), pids: pids(&handle)? })
    };
    devices.iter().map(of).collect::<Result<_, _>>().map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation(architecture: &DeviceArchitecture, name: &str) -> Generation {
        Generation::of(Some(architecture), name)
    }

    #[test]
    fn the_bound_follows_the_generation_and_names_its_source() {
        let cases = [
            (DeviceArchitecture::Ampere, "NVIDIA A100-SXM4-80GB", 0.073),
            (DeviceArchitecture::Ampere, "NVIDIA RTX A3000", 0.070),
            (DeviceArchitecture::Hopper, "NVIDIA H100 80GB HBM3", 0.05),
            (DeviceArchitecture::Turing, "NVIDIA GeForce RTX 2060 SUPER", 0.127),
        ];
        for (architecture, name, relative) in cases {
            let found = generation(&architecture, name);
            assert!((found.relative - relative).abs() < 1e-12, "{name}");
            assert!(found.source.contains("arXiv 2312.02741"), "{name}");
        }
    }

    #[test]
    fn without_a_counter_the_power_counts_and_says_so() {
        let facts = Facts {
            gpu: DeviceRef { index: 1, uuid: "GPU-1".to_owned(), name: "NVIDIA P40".to_owned() },
            driver: "535.1".to_owned(),
            generation: generation(&DeviceArchitecture::Pascal, "NVIDIA P40"),
        };
        let power = facts.describe(Channel::PowerUsage, Channel::PowerUsage, Seconds(1.0));
        assert!(power.counted && power.method.contains("no energy counter"), "{}", power.method);
        let beside = facts.describe(Channel::InstantPower, Channel::Counter, Seconds(1.0));
        assert!(!beside.counted);
        let temperature = facts.describe(Channel::Temperature, Channel::Temperature, Seconds(1.0));
        assert!(!temperature.counted);
    }
}
