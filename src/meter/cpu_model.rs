//! CPU energy from load, by CodeCarbon's curve, for machines whose processors cannot be read.
//!
//! Measures: the share of processor time in use (a trace, always). Models: power = TDP x (0.1 + 0.9 x load^3),
//! machine-wide, as CodeCarbon 3 does; energy is that power times the time it held, added up. Needs:
//! `/proc/stat`, and the TDP from the table, from `metrics.cpu_tdp_w`, or 4 W a thread. Limits: the curve knows
//! nothing of this processor, of clocks or of instructions; CodeCarbon's figures are off by up to 40 %
//! (arXiv 2509.22092). Example: `cpu.model`, `cpu.utilization`.

use std::sync::LazyLock;

use crate::clock;
use crate::config::component::metrics::{KIND_CODECARBON, MetricsConfig};
use crate::record::{Component, Quantity, SensorInfo, Source};
use crate::units::{Joules, Nanos, Seconds, Watts};

use super::procfs::{self, CpuInfo, CpuTicks};
use super::{Meter, MeterEntry, MeterError, OpenRequest, Opened, tdp};

/// The line in the registry.
pub const ENTRY: MeterEntry = MeterEntry {
    kind: KIND,
    summary: "CPU energy modelled from load (CodeCarbon's curve), and CPU utilisation",
    open,
};

const KIND: &str = "cpu_model";
const TABLE: &str = include_str!("../../data/cpu_tdp.csv");
/// CodeCarbon's figure for a processor that its table lacks.
const WATTS_PER_THREAD: f64 = 4.0;
/// CodeCarbon's figure for the processors of a machine that does not tell their name.
const WATTS_OF_UNNAMED: Watts = Watts(85.0);
/// Processor time is counted in ticks of 10 ms: a load over less than this is mostly rounding.
const SHORTEST_LOAD: Seconds = Seconds(0.2);
const MODEL: usize = 0;
const ERROR_SOURCE: &str =
    "arXiv 2509.22092: CodeCarbon's estimates against wall power, errors up to 40 %";

/// CodeCarbon's curve for a machine: a tenth of the TDP when idle, all of it at full load (`load` is 0 to 1).
#[must_use]
pub fn power(tdp: Watts, load: f64) -> Watts {
    tdp * (0.1 + 0.9 * load.powi(3))
}

/// CodeCarbon's line for a process and its children: their share of all processor time, without a floor.
#[must_use]
pub fn process_power(tdp: Watts, processor_time: Seconds, time: Seconds, threads: u32) -> Watts {
    if time.value() <= 0.0 || threads == 0 {
        return Watts::ZERO;
    }
    tdp * (processor_time / time / f64::from(threads))
}

/// CodeCarbon's power where no load can be read: half of the TDP at all times.
#[must_use]
pub fn constant_power(tdp: Watts) -> Watts {
    tdp * 0.5
}

/// TDP of one processor by its name in `/proc/cpuinfo`, when the table has exactly that model.
#[must_use]
pub fn tdp_of(model: &str) -> Option<Watts> {
    static ROWS: LazyLock<Vec<(String, Watts)>> = LazyLock::new(|| {
        let rows = TABLE.lines().skip(1).filter_map(|line| {
            let (name, watts) = line.rsplit_once(',')?;
            Some((plain_name(name), Watts(watts.parse().ok()?)))
        });
        rows.collect()
    });
    let wanted = plain_name(model);
    ROWS.iter().find(|(name, _)| *name == wanted).map(|(_, tdp)| *tdp)
}

/// `intel xeon platinum 8358` of `Intel(R) Xeon(R) Platinum 8358 CPU @ 2.60GHz`: the frequency, marks, and words
/// that say nothing of the model fall away; what is left must be equal.
fn plain_name(name: &str) -> String {
    let lower = name.to_lowercase().replace("(r)", " ").replace("(tm)", " ");
    let model = lower.split('@').next().unwrap_or_default();
    let says_nothing =
        |word: &&str| matches!(*word, "cpu" | "processor") || word.ends_with("-core");
    model.split_whitespace().filter(|word| !says_nothing(word)).collect::<Vec<_>>().join(" ")
}

/// Where the TDP of the machine came from.
#[derive(Debug, Clone, PartialEq)]
struct Tdp {
    machine: Watts,
    how: String,
    /// A TDP that nobody looked up has no bound on its error.
    known: bool,
}

/// CodeCarbon multiplies the guess from the number of threads by the number of sockets; that is its figure, and not
/// ours.
fn machine_tdp(metrics: &MetricsConfig, info: &CpuInfo) -> Tdp {
    let sockets = info.sockets;
    #[expect(clippy::cast_precision_loss, reason = "a machine has fewer than 2^53 processors")]
    let times = |tdp: Watts, count: usize| tdp * count as f64;
    if let Some(watts) = metrics.cpu_power_w {
        let how = "all processors (metrics.cpu_power_w)".to_owned();
        return Tdp { machine: Watts(watts), how, known: true };
    }
    if let Some(watts) = metrics.cpu_tdp_w {
        let how = format!("{watts} W (metrics.cpu_tdp_w) x {sockets} socket(s)");
        return Tdp { machine: times(Watts(watts), sockets), how, known: true };
    }
    let as_codecarbon = metrics.kind == KIND_CODECARBON;
    let Some(name) = info.model.as_deref() else {
        return unnamed(info, as_codecarbon);
    };
    if let Some((tdp, entry)) = look_up(name, as_codecarbon) {
        let how = format!("{} W ({entry}) x {sockets} socket(s)", tdp.value());
        return Tdp { machine: times(tdp, sockets), how, known: true };
    }
    let guess = times(Watts(WATTS_PER_THREAD), info.threads);
    let (machine, by_sockets) = if as_codecarbon && sockets > 1 {
        (times(guess, sockets), format!(" x {sockets} sockets, as CodeCarbon counts"))
    } else {
        (guess, String::new())
    };
    let how = format!(
        "{WATTS_PER_THREAD} W x {} threads{by_sockets} ({name} is not in the table of TDPs; metrics.cpu_tdp_w overrides)",
        info.threads
    );
    Tdp { machine, how, known: false }
}

fn unnamed(info: &CpuInfo, as_codecarbon: bool) -> Tdp {
    if as_codecarbon {
        let how = "the processor's name is not told".to_owned();
        return Tdp { machine: WATTS_OF_UNNAMED, how, known: false };
    }
    #[expect(clippy::cast_precision_loss, reason = "a machine has fewer than 2^53 processors")]
    let machine = Watts(WATTS_PER_THREAD) * info.threads as f64;
    let how = format!(
        "{WATTS_PER_THREAD} W x {} threads (the processor's name is not told; metrics.cpu_tdp_w overrides)",
        info.threads
    );
    Tdp { machine, how, known: false }
}

/// By CodeCarbon's table and rules alone, or first by the short table of server processors, which asks for the
/// exact model.
fn look_up(name: &str, as_codecarbon: bool) -> Option<(Watts, String)> {
    let own = tdp_of(name).filter(|_| !as_codecarbon);
    if let Some(tdp) = own {
        return Some((tdp, format!("{name}, table of TDPs")));
    }
    let known = tdp::find(name)?;
    Some((known.tdp, format!("{name}: {} in CodeCarbon's table of TDPs", known.name)))
}

/// Energy by the curve, added up from read to read.
struct Model {
    tdp: Watts,
    energy: Joules,
    read_at: Nanos,
    power: Watts,
    /// Ticks and time that the present power was computed from.
    since: (CpuTicks, Nanos),
}

impl Model {
    fn new(tdp: Watts, ticks: CpuTicks, now: Nanos) -> Self {
        Self {
            tdp,
            energy: Joules::ZERO,
            read_at: now,
            power: power(tdp, 0.0),
            since: (ticks, now),
        }
    }

    /// Adds the time since the last read at the power of the load in it. Reads in quick succession use the
    /// load of the last interval that was long enough to have one.
    fn advance(&mut self, ticks: CpuTicks, now: Nanos) -> Joules {
        let (from, began) = self.since;
        let first = self.energy == Joules::ZERO;
        let load = ticks.load_since(from).filter(|_| first || now.since(began) >= SHORTEST_LOAD);
        if let Some(load) = load {
            self.power = power(self.tdp, load);
            self.since = (ticks, now);
        }
        self.energy += self.power * now.since(self.read_at);
        self.read_at = now;
        self.energy
    }
}

struct CpuMeter {
    sensors: Vec<SensorInfo>,
    procfs_root: String,
    /// `None` when CPU energy is not wanted: utilisation is still a trace.
    model: Option<Model>,
    trace: Trace,
}

/// The share of ticks in use between two reads; the first is since the machine started.
#[derive(Default)]
struct Trace {
    from: CpuTicks,
    load: Option<f64>,
}

impl Trace {
    /// Two reads within one tick have the same load.
    fn advance(&mut self, ticks: CpuTicks) -> Option<f64> {
        if let Some(load) = ticks.load_since(self.from) {
            *self = Self { from: ticks, load: Some(load) };
        }
        self.load
    }
}

impl Meter for CpuMeter {
    fn sensors(&self) -> &[SensorInfo] {
        &self.sensors
    }

    fn read(&mut self, sensor: usize) -> Result<f64, MeterError> {
        let ticks = procfs::cpu_ticks(&self.procfs_root)?;
        match &mut self.model {
            Some(model) if sensor == MODEL => Ok(model.advance(ticks, clock::now()).value()),
            _ => self
                .trace
                .advance(ticks)
                .ok_or_else(|| MeterError::new("no tick of processor time since the start")),
        }
    }
}

fn open(request: &OpenRequest<'_>) -> Opened {
    let root = &request.metrics.procfs_root;
    let ticks = match procfs::cpu_ticks(root) {
        Ok(ticks) => ticks,
        Err(cause) => return Opened::absent(Component::Cpu, KIND, cause.message),
    };
    let mut sensors = Vec::new();
    let mut model = None;
    if request.metrics.cpu {
        let info = procfs::cpu_info(root).unwrap_or_default();
        let tdp = machine_tdp(request.metrics, &info);
        sensors.push(model_sensor(&tdp, request.sample_period()));
        model = Some(Model::new(tdp.machine, ticks, clock::now()));
    }
    sensors.push(utilization_sensor(root, request.sample_period()));
    let meter = CpuMeter { sensors, procfs_root: root.clone(), model, trace: Trace::default() };
    Opened { meters: vec![Box::new(meter)], ..Opened::default() }
}

fn model_sensor(tdp: &Tdp, period: Seconds) -> SensorInfo {
    SensorInfo {
        name: "cpu.model".to_owned(),
        meter: KIND.to_owned(),
        component: Component::Cpu,
        device: None,
        quantity: Quantity::EnergyCounter,
        unit: Quantity::EnergyCounter.unit().to_owned(),
        source: Source::Modelled,
        scope: "all processors".to_owned(),
        method: format!(
            "CodeCarbon 3 load model, P = TDP x (0.1 + 0.9 x load^3), TDP = {:.1} W = {}; energy added up from read to read",
            tdp.machine.value(),
            tdp.how
        ),
        counted: true,
        resolution: None,
        update_period_s: None,
        sample_period_s: period,
        wrap_at: None,
        systematic_relative: tdp.known.then_some(0.40),
        systematic_source: Some(
            if tdp.known {
                ERROR_SOURCE
            } else {
                "no bound: the TDP is a guess from the number of threads"
            }
            .to_owned(),
        ),
        timing: None,
        host: None,
    }
}

fn utilization_sensor(root: &str, period: Seconds) -> SensorInfo {
    SensorInfo {
        name: "cpu.utilization".to_owned(),
        meter: KIND.to_owned(),
        component: Component::Cpu,
        device: None,
        quantity: Quantity::Utilization,
        unit: Quantity::Utilization.unit().to_owned(),
        source: Source::Measured,
        scope: "all processors".to_owned(),
        method: format!(
            "share of ticks in use since the last read (the first: since the start), {root}/stat"
        ),
        counted: false,
        resolution: None,
        update_period_s: Some(Seconds(0.01)),
        sample_period_s: period,
        wrap_at: None,
        systematic_relative: None,
        systematic_source: None,
        timing: None,
        host: None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn ticks(busy: u64, total: u64) -> CpuTicks {
        CpuTicks { busy, total }
    }

    #[test]
    fn the_curve_is_a_tenth_when_idle_and_all_at_full_load() {
        assert!((power(Watts(200.0), 0.0).value() - 20.0).abs() < 1e-9);
        assert!((power(Watts(200.0), 1.0).value() - 200.0).abs() < 1e-9);
        assert!((power(Watts(200.0), 0.5).value() - 42.5).abs() < 1e-9);
    }

    #[test]
    fn names_match_exactly_or_not_at_all() {
        for (name, tdp) in [
            ("AMD EPYC 7763 64-Core Processor", Some(280.0)),
            ("AMD EPYC 9654 96-Core Processor", Some(360.0)),
            ("Intel(R) Xeon(R) Platinum 8480+", Some(350.0)),
            ("Intel(R) Xeon(R) Platinum 8358 CPU @ 2.60GHz", Some(250.0)),
            ("INTEL(R) XEON(R) PLATINUM 8568Y+", Some(350.0)),
            ("AMD EPYC-Milan Processor", None),
            ("AMD EPYC", None),
            ("Intel Xeon Processor (SapphireRapids)", None),
        ] {
            assert_eq!(tdp_of(name), tdp.map(Watts), "{name}");
        }
    }

    fn tdp(kind: &str, info: &CpuInfo) -> Tdp {
        machine_tdp(&MetricsConfig { kind: kind.to_owned(), ..MetricsConfig::default() }, info)
    }

    #[test]
    fn an_unknown_processor_gets_four_watts_a_thread_and_no_bound() {
        let info = CpuInfo { model: Some("Strange 1".to_owned()), sockets: 2, threads: 6 };
        let guess = tdp("energy", &info);
        assert_eq!((guess.machine, guess.known), (Watts(24.0), false));
        assert_eq!(tdp(KIND_CODECARBON, &info).machine, Watts(48.0));
        let given = MetricsConfig { cpu_tdp_w: Some(95.0), ..MetricsConfig::default() };
        assert_eq!(machine_tdp(&given, &info).machine, Watts(190.0));
        let forced = MetricsConfig { cpu_power_w: Some(95.0), ..given };
        assert_eq!(machine_tdp(&forced, &info).machine, Watts(95.0));
    }

    #[test]
    fn processors_without_a_name_get_codecarbons_85_watts_only_by_its_rules() {
        let info = CpuInfo { model: None, sockets: 2, threads: 6 };
        assert_eq!(tdp(KIND_CODECARBON, &info).machine, Watts(85.0));
        assert_eq!(tdp("energy", &info).machine, Watts(24.0));
    }

    #[test]
    fn codecarbons_table_names_desktop_processors_too() {
        let info = CpuInfo {
            model: Some("11th Gen Intel(R) Core(TM) i7-1165G7 @ 2.80GHz".to_owned()),
            sockets: 1,
            threads: 8,
        };
        assert_eq!(tdp("energy", &info).machine, Watts(28.0));
        assert!(tdp(KIND_CODECARBON, &info).how.contains("CodeCarbon's table"));
    }

    #[test]
    fn a_process_is_charged_its_share_of_processor_time_and_a_constant_is_half() {
        let watts = process_power(Watts(100.0), Seconds(3.0), Seconds(2.0), 4);
        assert!((watts.value() - 37.5).abs() < 1e-12);
        assert_eq!(process_power(Watts(100.0), Seconds(1.0), Seconds(0.0), 4), Watts::ZERO);
        assert_eq!(constant_power(Watts(85.0)), Watts(42.5));
    }

    #[test]
    fn energy_is_the_power_of_each_interval_times_its_length() {
        let mut model = Model::new(Watts(100.0), ticks(0, 0), Nanos(0));
        assert_eq!(model.advance(ticks(100, 100), Nanos(SECOND)), Joules(100.0));
        // Two idle seconds at a tenth of the TDP.
        let energy = model.advance(ticks(100, 300), Nanos(3 * SECOND));
        assert!((energy.value() - 120.0).abs() < 1e-9);
    }

    #[test]
    fn reads_in_quick_succession_keep_the_last_known_load() {
        let mut model = Model::new(Watts(100.0), ticks(0, 0), Nanos(0));
        model.advance(ticks(100, 100), Nanos(SECOND));
        let energy = model.advance(ticks(100, 102), Nanos(SECOND + SECOND / 100));
        assert!((energy.value() - 101.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn modelled_energy_never_falls_and_stays_between_idle_and_tdp(
            steps in prop::collection::vec((0_u64..200, 0_u64..200, 1_u64..3_000_000_000), 1..60)
        ) {
            let mut model = Model::new(Watts(100.0), ticks(0, 0), Nanos(0));
            let (mut busy, mut total, mut now, mut last) = (0, 0, 0, 0.0);
            for (in_use, idle, wait) in steps {
                busy += in_use;
                total += in_use + idle;
                now += wait;
                let energy = model.advance(ticks(busy, total), Nanos(now)).value();
                let power = (energy - last) / Nanos(wait).since(Nanos(0)).value();
                prop_assert!((9.999..=100.001).contains(&power), "{power}");
                last = energy;
            }
        }
    }
}
