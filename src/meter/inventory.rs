//! Opens what a config asks for and says, in words, what is counted.

use crate::error::{Problem, Problems};
use crate::record::{
    Component, ComponentScope, DeviceRef, Event, Quantity, SensorInfo, Source, Warning,
};
use crate::units::Nanos;

use super::{Absent, Arrival, Blocked, Meter, MeterEntry, MeterError, OpenRequest, Opened};

const COMPONENTS: [Component; 3] = [Component::Gpu, Component::Cpu, Component::Ram];

/// Everything a run needs to know of its meters.
#[derive(Default)]
pub struct Inventory {
    /// Ready for [`super::Sampler::new`].
    pub meters: Vec<Box<dyn Meter>>,
    /// Their sensors, in the sampler's order.
    pub sensors: Vec<SensorInfo>,
    /// GPUs that are metered.
    pub devices: Vec<DeviceRef>,
    /// Every GPU of the machine, metered or not.
    pub present: Vec<DeviceRef>,
    /// GPU, CPU and RAM, in this order: counted or why not.
    pub scope: Vec<ComponentScope>,
    /// What is counted, in one sentence.
    pub boundary: String,
    /// What makes the asked-for metering impossible; a run must not start.
    pub problems: Problems,
    /// Sensors that exist and may not be read.
    pub blocked: Vec<Blocked>,
    /// Meters without anything here.
    pub absent: Vec<Absent>,
    /// What the reader of the figures should know, blocked sensors included.
    pub warnings: Vec<Warning>,
}

/// Opens every meter that the config wants. Within a component the first kind that has it counts (the list is
/// in order of preference); the others stay as traces beside it.
#[must_use]
pub fn open_all(entries: &[MeterEntry], request: &OpenRequest<'_>) -> Inventory {
    let mut inventory = Inventory::default();
    if request.metrics.enabled {
        inventory.problems = check_settings(request);
        if inventory.problems.0.is_empty() {
            for entry in entries {
                inventory.absorb((entry.open)(request));
            }
        }
    }
    inventory.scope = COMPONENTS.map(|component| inventory.scope_of(component, request)).to_vec();
    inventory.boundary = inventory.sentence();
    inventory
}

fn check_settings(request: &OpenRequest<'_>) -> Problems {
    let metrics = request.metrics;
    let mut problems = Problems::default();
    let mut check = |key: &str, value: Option<f64>, zero_is_fine: bool, hint: &str| {
        if let Some(value) = value {
            let fine = value.is_finite() && (value > 0.0 || (zero_is_fine && value >= 0.0));
            if !fine {
                problems.push(
                    Problem::new(format!("metrics.{key}"), format!("{value} is out of range"))
                        .hint(hint),
                );
            }
        }
    };
    check("sample_period_s", Some(metrics.sample_period_s), false, "seconds, above 0");
    check("cpu_tdp_w", metrics.cpu_tdp_w, false, "watts of one processor, above 0");
    check("ram_power_w", metrics.ram_power_w, true, "watts of all memory, 0 or more");
    problems
}

impl Inventory {
    fn absorb(&mut self, opened: Opened) {
        for meter in opened.meters {
            let sensors = self.settle_counting(meter.sensors());
            let changed = sensors != meter.sensors();
            self.sensors.extend(sensors.iter().cloned());
            self.meters.push(if changed { Box::new(Relabelled { meter, sensors }) } else { meter });
        }
        self.devices.extend(opened.devices);
        self.present.extend(opened.present);
        self.problems.0.extend(opened.problems);
        self.absent.extend(opened.absent);
        self.warnings.extend(opened.warnings);
        self.warnings.extend(not_readable(&opened.blocked));
        self.blocked.extend(opened.blocked);
    }

    /// The same sensors: those that count what an earlier kind of meter counts already do not, and no name comes twice.
    fn settle_counting(&self, sensors: &[SensorInfo]) -> Vec<SensorInfo> {
        let taken = |sensor: &SensorInfo| {
            self.sensors.iter().any(|earlier| {
                earlier.counted
                    && earlier.component == sensor.component
                    && earlier.meter != sensor.meter
                    && (sensor.component != Component::Gpu || earlier.device == sensor.device)
            })
        };
        let settle = |sensor: &SensorInfo| {
            let counted = sensor.counted && !taken(sensor);
            // What comes later has to make way: a recording may hold the sensors that this machine has.
            let name = if self.sensors.iter().any(|earlier| earlier.name == sensor.name) {
                format!("{}.{}", sensor.meter, sensor.name)
            } else {
                sensor.name.clone()
            };
            SensorInfo { counted, name, ..sensor.clone() }
        };
        sensors.iter().map(settle).collect()
    }

    fn counted(&self, component: Component) -> impl Iterator<Item = &SensorInfo> {
        self.sensors.iter().filter(move |sensor| sensor.counted && sensor.component == component)
    }

    fn scope_of(&self, component: Component, request: &OpenRequest<'_>) -> ComponentScope {
        let metrics = request.metrics;
        let wanted = match component {
            Component::Gpu => metrics.gpu,
            Component::Cpu => metrics.cpu,
            Component::Ram => metrics.ram,
            Component::Machine => false,
        };
        let parts = parts(component, self.counted(component));
        let reason = if !metrics.enabled {
            "metrics.enabled is false".to_owned()
        } else if !parts.is_empty() {
            parts.join("; ")
        } else if !wanted {
            format!("metrics.{} is false", component.as_str())
        } else {
            self.why_nothing(component)
        };
        ComponentScope { component, counted: !parts.is_empty(), reason }
    }

    fn why_nothing(&self, component: Component) -> String {
        if !self.problems.0.is_empty() {
            return "metering is not possible as asked".to_owned();
        }
        let mut reasons: Vec<&str> = self
            .absent
            .iter()
            .filter(|absent| absent.component == component)
            .map(|absent| absent.reason.as_str())
            .collect();
        let denied = self.blocked.iter().filter(|blocked| blocked.component == component);
        reasons.extend(denied.map(|blocked| blocked.problem.message.as_str()));
        if reasons.is_empty() { "no meter has it".to_owned() } else { reasons.join("; ") }
    }

    fn sentence(&self) -> String {
        let (counted, left_out): (Vec<_>, Vec<_>) =
            self.scope.iter().partition(|scope| scope.counted);
        let names = |scopes: &[&ComponentScope]| {
            scopes.iter().map(|scope| scope.component.as_str().to_uppercase()).collect::<Vec<_>>()
        };
        let inside: Vec<&str> = counted.iter().map(|scope| scope.reason.as_str()).collect();
        let outside = if left_out.is_empty() {
            "the rest of the machine".to_owned()
        } else {
            format!("{} and the rest of the machine", join(&names(&left_out)))
        };
        if inside.is_empty() {
            return "No energy is counted.".to_owned();
        }
        format!("Counted: {}; not counted: {outside}.", inside.join("; "))
    }
}

/// One warning for all counters that one meter may not read: they have one cause and one remedy.
fn not_readable(blocked: &[Blocked]) -> Option<Warning> {
    let first = &blocked.first()?.problem;
    let places: Vec<String> = blocked.iter().map(|blocked| blocked.problem.place.clone()).collect();
    let remedy = first.hint.as_ref().map_or(String::new(), |hint| format!("; remedy, {hint}"));
    let message = format!("{}: {}{remedy}", join(&places), first.message);
    Some(Warning::new("sensor_not_readable", message))
}

/// What is counted of a component: a GPU each, other sensors together where they count in the same way.
/// `GPU 0 (NVIDIA H100 80GB HBM3, GPU-4f1c...), whole board with its memory, measured by energy counter`,
/// `CPU (package-0 without DRAM), measured by energy counter, all processes of the machine included`.
fn parts<'a>(component: Component, sensors: impl Iterator<Item = &'a SensorInfo>) -> Vec<String> {
    let mut groups: Vec<(&str, Vec<String>)> = Vec::new();
    let mut gpus = Vec::new();
    for sensor in sensors {
        let how = how(sensor);
        if let (Component::Gpu, Some(gpu)) = (component, &sensor.device) {
            let DeviceRef { index, name, uuid } = gpu;
            gpus.push(format!("GPU {index} ({name}, {uuid}), {}, {how}", sensor.scope));
        } else if let Some((_, scopes)) = groups.iter_mut().find(|(group, _)| *group == how) {
            scopes.push(sensor.scope.clone());
        } else {
            groups.push((how, vec![sensor.scope.clone()]));
        }
    }
    let name = component.as_str().to_uppercase();
    let grouped = groups.into_iter().map(|(how, scopes)| {
        format!("{name} ({}), {how}, all processes of the machine included", join(&scopes))
    });
    gpus.into_iter().chain(grouped).collect()
}

const fn how(sensor: &SensorInfo) -> &'static str {
    match (sensor.source, sensor.quantity) {
        (Source::Measured, Quantity::EnergyCounter) => "measured by energy counter",
        (Source::Measured, _) => "measured, power integrated over time",
        (Source::Modelled, _) => "modelled",
        (Source::Assumed, _) => "assumed",
    }
}

/// `a, b and c`.
fn join(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// A meter whose sensors count otherwise than it thought.
struct Relabelled {
    meter: Box<dyn Meter>,
    sensors: Vec<SensorInfo>,
}

impl Meter for Relabelled {
    fn sensors(&self) -> &[SensorInfo] {
        &self.sensors
    }

    fn read(&mut self, sensor: usize) -> Result<f64, MeterError> {
        self.meter.read(sensor)
    }

    fn notices(&mut self) -> Vec<Event> {
        self.meter.notices()
    }

    fn pushes(&self) -> bool {
        self.meter.pushes()
    }

    fn arrivals(&mut self, now: Nanos) -> Vec<Arrival> {
        self.meter.arrivals(now)
    }
}
