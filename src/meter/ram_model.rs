//! RAM power from the amount of memory, by CodeCarbon's count of modules.
//!
//! Measures: bytes in use (a trace). Models: a constant power from the number of memory modules that a machine
//! of this size is likely to have. Needs: `/proc/meminfo`. Limits: the same whether the memory works or rests, and
//! a guess of the modules; on small machines it may be most of a modelled total. `metrics.ram_power_w` replaces it.
//! Example: `ram.model`, `ram.used`.

use crate::record::{Component, Quantity, SensorInfo, Source};
use crate::units::{Seconds, Watts};

use super::procfs;
use super::{Meter, MeterEntry, MeterError, OpenRequest, Opened};

/// The line in the registry.
pub const ENTRY: MeterEntry = MeterEntry {
    kind: KIND,
    summary: "RAM power modelled from its size (CodeCarbon's model), and memory in use",
    open,
};

const KIND: &str = "ram_model";
const GIB: f64 = 1024.0 * 1024.0 * 1024.0;
const MODEL: usize = 0;

/// What a memory module draws.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModulePower {
    /// One module.
    pub each: Watts,
    /// No machine has less than this.
    pub least: Watts,
}

impl ModulePower {
    /// x86 machines.
    pub const X86: Self = Self { each: Watts(5.0), least: Watts(10.0) };
    /// ARM machines.
    pub const ARM: Self = Self { each: Watts(1.5), least: Watts(3.0) };

    /// Of the machine this program was built for.
    #[must_use]
    pub const fn here() -> Self {
        if cfg!(any(target_arch = "aarch64", target_arch = "arm")) { Self::ARM } else { Self::X86 }
    }
}

/// Modules that a machine with so many GiB is taken to have.
#[must_use]
pub fn modules(gib: f64) -> u32 {
    const MOST: f64 = 32.0;
    const SIZES: [f64; 6] = [128.0, 64.0, 32.0, 16.0, 8.0, 4.0];
    if gib <= 2.0 {
        1
    } else if gib <= 16.0 {
        2
    } else if gib <= 64.0 {
        4
    } else if gib <= 128.0 {
        8
    } else {
        let size = SIZES.into_iter().find(|size| *size <= gib / 8.0).unwrap_or(16.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 8 and 32, whole"
        )]
        let count = (gib / size).ceil().min(MOST) as u32;
        count
    }
}

/// Power of so many modules: each further group of them is taken to draw a little less.
#[must_use]
pub fn power(modules: u32, module: ModulePower) -> Watts {
    const GROUPS: [(u32, u32, f64); 4] =
        [(0, 4, 1.0), (4, 8, 0.9), (8, 16, 0.8), (16, u32::MAX, 0.7)];
    let weight: f64 = GROUPS
        .into_iter()
        .map(|(from, to, factor)| f64::from(modules.clamp(from, to) - from) * factor)
        .sum();
    Watts((module.each * weight).value().max(module.least.value()))
}

struct RamMeter {
    sensors: Vec<SensorInfo>,
    procfs_root: String,
    /// `None` when RAM energy is not wanted: memory in use is still a trace.
    power: Option<Watts>,
}

impl Meter for RamMeter {
    fn sensors(&self) -> &[SensorInfo] {
        &self.sensors
    }

    #[expect(clippy::cast_precision_loss, reason = "an f64 holds 8 PiB exactly")]
    fn read(&mut self, sensor: usize) -> Result<f64, MeterError> {
        match self.power {
            Some(power) if sensor == MODEL => Ok(power.value()),
            _ => procfs::memory(&self.procfs_root)?
                .used
                .map(|bytes| bytes as f64)
                .ok_or_else(|| MeterError::new("meminfo has no MemAvailable")),
        }
    }
}

fn open(request: &OpenRequest<'_>) -> Opened {
    let root = &request.metrics.procfs_root;
    let memory = procfs::memory(root);
    let mut sensors = Vec::new();
    let mut opened = Opened::default();
    let described = match (request.metrics.ram_power_w, &memory) {
        (Some(watts), _) => Some(given_sensor(watts)),
        (None, Ok(memory)) => Some(modelled_sensor(memory.total)),
        (None, Err(_)) => None,
    };
    let power = described.filter(|_| request.metrics.ram).map(|(power, mut sensor)| {
        sensor.sample_period_s = request.sample_period();
        sensors.push(sensor);
        power
    });
    match memory {
        Ok(_) => sensors.push(used_sensor(root, request.sample_period())),
        Err(cause) if power.is_none() => {
            return Opened::absent(Component::Ram, KIND, cause.message);
        }
        Err(_) => {}
    }
    opened.meters.push(Box::new(RamMeter { sensors, procfs_root: root.clone(), power }));
    opened
}

#[expect(clippy::cast_precision_loss, reason = "an f64 holds 8 PiB exactly")]
fn modelled_sensor(bytes: u64) -> (Watts, SensorInfo) {
    let gib = bytes as f64 / GIB;
    let count = modules(gib);
    let module = ModulePower::here();
    let watts = power(count, module);
    let mut sensor = power_sensor();
    sensor.source = Source::Modelled;
    sensor.method = format!(
        "CodeCarbon 3 model: {gib:.1} GiB taken as {count} modules of {} W (less for each after the fourth), {} W at all times",
        module.each.value(),
        watts.value()
    );
    sensor.systematic_source =
        Some("no bound: the modules are a guess from the amount of memory".to_owned());
    (watts, sensor)
}

fn given_sensor(watts: f64) -> (Watts, SensorInfo) {
    let mut sensor = power_sensor();
    sensor.source = Source::Assumed;
    sensor.method = format!("{watts} W at all times (metrics.ram_power_w)");
    sensor.systematic_source = Some("no bound: given in the config".to_owned());
    (Watts(watts), sensor)
}

fn power_sensor() -> SensorInfo {
    SensorInfo {
        name: "ram.model".to_owned(),
        meter: KIND.to_owned(),
        component: Component::Ram,
        device: None,
        quantity: Quantity::Power,
        unit: Quantity::Power.unit().to_owned(),
        source: Source::Modelled,
        scope: "all memory".to_owned(),
        method: String::new(),
        counted: true,
        resolution: None,
        update_period_s: None,
        sample_period_s: Seconds(1.0),
        wrap_at: None,
        systematic_relative: None,
        systematic_source: None,
        timing: None,
        host: None,
    }
}

fn used_sensor(root: &str, period: Seconds) -> SensorInfo {
    SensorInfo {
        name: "ram.used".to_owned(),
        quantity: Quantity::Memory,
        unit: Quantity::Memory.unit().to_owned(),
        source: Source::Measured,
        scope: "all memory".to_owned(),
        method: format!("MemTotal less MemAvailable, {root}/meminfo"),
        counted: false,
        resolution: Some(1024.0),
        sample_period_s: period,
        ..power_sensor()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_steps_are_codecarbons() {
        for (modules, watts) in [(1, 10.0), (4, 20.0), (8, 38.0), (16, 70.0), (32, 126.0)] {
            assert!((power(modules, ModulePower::X86).value() - watts).abs() < 1e-9, "{modules}");
        }
        assert_eq!(power(1, ModulePower::ARM), Watts(3.0));
    }

    proptest! {
        #[test]
        fn power_is_never_below_the_least_nor_above_32_modules(gib in 0.01_f64..1e5) {
            let watts = power(modules(gib), ModulePower::X86);
            prop_assert!(watts >= Watts(10.0) && watts <= Watts(126.1));
        }
    }
}
