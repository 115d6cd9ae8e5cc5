//! The NVML meter against a stand-in for the driver's library.

use ai_energy_benchmarks::config::component::metrics::MetricsConfig;
use ai_energy_benchmarks::meter::nvml::{self, compute_pids};
use ai_energy_benchmarks::meter::{Inventory, OpenRequest, open_all};
use ai_energy_benchmarks::record::{Component, Event, Quantity, throttle};
use ai_energy_benchmarks_testkit::fixtures::FakeNvml;
use tempfile::TempDir;

struct Bench {
    metrics: MetricsConfig,
    _folder: TempDir,
}

impl Bench {
    fn new(fake: FakeNvml) -> Self {
        let folder = TempDir::new().unwrap();
        let metrics = MetricsConfig {
            nvml_library: Some(fake.build(folder.path())),
            ..MetricsConfig::default()
        };
        Self { metrics, _folder: folder }
    }

    fn open(&self, ids: &[&str]) -> Inventory {
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        open_all(
            &[nvml::ENTRY],
            &OpenRequest { device_ids: Some(&ids), ..OpenRequest::of(&self.metrics) },
        )
    }
}

fn names(inventory: &Inventory) -> Vec<&str> {
    inventory.sensors.iter().map(|sensor| sensor.name.as_str()).collect()
}

#[test]
fn a_gpu_has_its_counter_power_and_traces_in_our_units() {
    let bench = Bench::new(FakeNvml::default());
    let mut inventory = bench.open(&["0"]);
    assert_eq!(
        names(&inventory),
        [
            "gpu0.energy",
            "gpu0.power",
            "gpu0.temperature",
            "gpu0.sm_clock",
            "gpu0.utilization",
            "gpu0.memory_used",
            "gpu0.power_limit",
            "gpu0.throttle_reasons",
            "gpu0.processes"
        ]
    );
    let meter = &mut inventory.meters[0];
    let first = meter.read(0).unwrap();
    assert!((meter.read(0).unwrap() - first - 5.0).abs() < 1e-9, "joules, not millijoules");
    let rest: Vec<f64> = (1..9).map(|sensor| meter.read(sensor).unwrap()).collect();
    let power_cap = f64::from(throttle::POWER_CAP);
    let expected = [250.0, 55.0, 1.755e9, 0.75, 20.0 * 1024.0_f64.powi(3), 700.0, power_cap, 2.0];
    for (value, expected) in rest.iter().zip(expected) {
        assert!((value - expected).abs() < 1e-6, "{rest:?}");
    }
}

#[test]
fn who_computes_on_a_gpu_is_noted_once_until_it_changes() {
    let mut inventory = Bench::new(FakeNvml::default()).open(&["0"]);
    let processes =
        inventory.sensors.iter().position(|s| s.quantity == Quantity::Processes).unwrap();
    let meter = &mut inventory.meters[0];
    meter.read(processes).unwrap();
    meter.read(processes).unwrap();
    let device = FakeNvml::UUIDS[0].to_owned();
    assert_eq!(meter.notices(), [Event::GpuProcesses { device, pids: vec![4242, 4343] }]);
    assert!(meter.notices().is_empty());
}

#[test]
fn only_what_was_selected_is_counted_and_it_is_named() {
    let bench = Bench::new(FakeNvml::default());
    for ids in [&["1"][..], &[FakeNvml::UUIDS[1]], &["GPU-4f2"]] {
        let inventory = bench.open(ids);
        assert_eq!(inventory.devices.len(), 1, "{ids:?}");
        assert_eq!(inventory.devices[0].uuid, FakeNvml::UUIDS[1]);
        assert_eq!(inventory.present.len(), 2);
        let counted: Vec<_> = inventory.sensors.iter().filter(|s| s.counted).collect();
        assert_eq!(counted.len(), 1);
        assert_eq!(counted[0].name, "gpu1.energy");
        let text = &inventory.boundary;
        assert!(text.contains("GPU 1 (NVIDIA H100 80GB HBM3, GPU-4f2cb222"), "{text}");
        assert!(!text.contains("GPU-4f1"), "{text}");
    }
}

#[test]
fn all_gpus_count_when_none_is_named() {
    let inventory = Bench::new(FakeNvml::default()).open(&[]);
    assert_eq!(inventory.sensors.iter().filter(|sensor| sensor.counted).count(), 2);
}

#[test]
fn a_selected_gpu_that_does_not_exist_stops_with_the_list() {
    let inventory = Bench::new(FakeNvml::default()).open(&["0", "5"]);
    let text = inventory.problems.to_string();
    assert!(
        text.contains("no GPU 5") && FakeNvml::UUIDS.iter().all(|uuid| text.contains(uuid)),
        "{text}"
    );
}

#[test]
fn without_a_counter_the_power_is_counted() {
    let inventory = Bench::new(FakeNvml { no_counter: true, ..FakeNvml::default() }).open(&["0"]);
    let power = &inventory.sensors[0];
    assert_eq!(
        (power.name.as_str(), power.quantity, power.counted),
        ("gpu0.power", Quantity::Power, true)
    );
    assert!(power.method.contains("no energy counter"), "{}", power.method);
    assert!(inventory.boundary.contains("power integrated over time"), "{}", inventory.boundary);
}

#[test]
fn without_the_instantaneous_field_the_average_is_the_trace() {
    let bench = Bench::new(FakeNvml { no_instant: true, ..FakeNvml::default() });
    let mut inventory = bench.open(&["0"]);
    assert!(
        inventory.sensors[1].method.contains("averages over"),
        "{}",
        inventory.sensors[1].method
    );
    assert!((inventory.meters[0].read(1).unwrap() - 240.0).abs() < 1e-9);
}

#[test]
fn a_sliced_gpu_is_metered_whole_with_a_warning() {
    let bench = Bench::new(FakeNvml { sliced: true, ..FakeNvml::default() });
    assert_eq!(bench.open(&["0"]).warnings[0].code, "gpu_is_sliced");
    assert!(bench.open(&["1"]).warnings.is_empty());
}

#[test]
fn an_index_among_unlike_gpus_is_a_problem_and_a_uuid_is_not() {
    let bench = Bench::new(FakeNvml { unlike: true, ..FakeNvml::default() });
    assert_eq!(bench.open(&["0"]).problems.0.len(), 1);
    assert!(bench.open(&[FakeNvml::UUIDS[0]]).problems.0.is_empty());
}

#[test]
fn an_absent_library_is_no_error_and_is_told_to_who_named_a_gpu() {
    let metrics = MetricsConfig {
        nvml_library: Some("/nonexistent/libnvidia-ml.so.1".to_owned()),
        ..MetricsConfig::default()
    };
    let bench = Bench { metrics, _folder: TempDir::new().unwrap() };
    let inventory = bench.open(&["0"]);
    assert!(inventory.problems.0.is_empty() && inventory.sensors.is_empty());
    assert_eq!(inventory.absent[0].component, Component::Gpu);
    assert_eq!(inventory.warnings[0].code, "selected_gpu_not_metered");
    assert!(bench.open(&[]).warnings.is_empty());
}

#[test]
fn the_processes_on_a_gpu_are_listed() {
    let bench = Bench::new(FakeNvml::default());
    let inventory = bench.open(&[]);
    let processes = compute_pids(&bench.metrics, &inventory.devices).unwrap();
    for (found, expected) in processes.iter().zip(FakeNvml::PIDS) {
        assert_eq!(found.pids, expected);
    }
}
