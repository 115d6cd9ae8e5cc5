//! RAPL and what counts on trees of other machines.

use ai_energy_benchmarks::config::component::metrics::MetricsConfig;
use ai_energy_benchmarks::meter::{Inventory, OpenRequest, entries, open_all, survey};
use ai_energy_benchmarks::record::{Component, SensorInfo, Source};
use ai_energy_benchmarks_testkit::fixtures::Machine;

fn metrics(machine: &Machine) -> MetricsConfig {
    MetricsConfig {
        sysfs_root: machine.root(),
        procfs_root: machine.root(),
        nvml_library: Some("/nonexistent/libnvidia-ml.so.1".to_owned()),
        ..MetricsConfig::default()
    }
}

fn request(metrics: &MetricsConfig) -> OpenRequest<'_> {
    OpenRequest::of(metrics)
}

fn inventory(machine: &Machine) -> Inventory {
    open_all(&entries(), &request(&metrics(machine)))
}

fn counted(inventory: &Inventory) -> Vec<&str> {
    let counted = inventory.sensors.iter().filter(|sensor| sensor.counted);
    counted.map(|sensor| sensor.name.as_str()).collect()
}

fn sensor<'a>(inventory: &'a Inventory, name: &str) -> &'a SensorInfo {
    inventory.sensors.iter().find(|sensor| sensor.name == name).unwrap()
}

/// Reads the named sensor through its meter.
fn read(inventory: &mut Inventory, name: &str) -> Result<f64, String> {
    for meter in &mut inventory.meters {
        let place = meter.sensors().iter().position(|sensor| sensor.name == name);
        if let Some(place) = place {
            return meter.read(place).map_err(|cause| cause.message);
        }
    }
    panic!("no sensor {name}");
}

#[test]
fn packages_and_dram_count_and_their_parts_do_not() {
    let machine = Machine::dual_socket_with_dram();
    let mut inventory = inventory(&machine);
    assert_eq!(
        counted(&inventory),
        ["package-0.energy", "package-0.dram.energy", "package-1.energy", "package-1.dram.energy"]
    );
    assert_eq!(read(&mut inventory, "package-1.energy"), Ok(200.0));
    assert_eq!(read(&mut inventory, "package-1.dram.energy"), Ok(20.0));
    assert!(!sensor(&inventory, "package-0.core.energy").counted);
    let dram = sensor(&inventory, "package-0.dram.energy");
    assert_eq!((dram.component, dram.wrap_at), (Component::Ram, Some(65_712.999_613)));
}

#[test]
fn what_rapl_measures_the_models_do_not_count_again() {
    let inventory = inventory(&Machine::dual_socket_with_dram());
    for name in ["cpu.model", "ram.model"] {
        assert!(!sensor(&inventory, name).counted, "{name}");
    }
    let scope: Vec<_> = inventory.scope.iter().map(|s| (s.component, s.counted)).collect();
    assert_eq!(scope, [(Component::Gpu, false), (Component::Cpu, true), (Component::Ram, true)]);
    assert!(
        inventory.scope[0].reason.contains("NVML cannot be loaded"),
        "{}",
        inventory.scope[0].reason
    );
    assert_eq!(
        inventory.boundary,
        "Counted: CPU (package-0 without DRAM and package-1 without DRAM), measured by energy counter, \
         all processes of the machine included; RAM (DRAM of package-0 and DRAM of package-1), measured by energy \
         counter, all processes of the machine included; not counted: GPU and the rest of the machine."
    );
}

#[test]
fn a_counter_is_read_afresh_and_a_changed_file_shows() {
    let machine = Machine::amd_package_only();
    let mut inventory = inventory(&machine);
    assert_eq!(read(&mut inventory, "package-0.energy"), Ok(7.0));
    machine.energy("intel-rapl:0", 12_500_000);
    assert_eq!(read(&mut inventory, "package-0.energy"), Ok(12.5));
    machine.energy("intel-rapl:0", 1);
    assert_eq!(read(&mut inventory, "package-0.energy"), Ok(1e-6));
}

#[test]
fn an_unreadable_text_is_an_error_and_not_a_number() {
    let machine = Machine::amd_package_only();
    let mut inventory = inventory(&machine);
    std::fs::write(machine.counter("intel-rapl:0"), "busy\n").unwrap();
    assert!(read(&mut inventory, "package-0.energy").unwrap_err().contains("busy"));
}

#[test]
fn without_a_dram_counter_the_ram_model_counts() {
    let inventory = inventory(&Machine::amd_package_only());
    assert_eq!(counted(&inventory), ["package-0.energy", "ram.model"]);
    assert_eq!(sensor(&inventory, "ram.model").source, Source::Modelled);
}

#[test]
fn psys_is_listed_and_the_memory_mapped_duplicate_is_dropped() {
    let inventory = inventory(&Machine::laptop_with_psys_and_mmio());
    let names: Vec<_> =
        inventory.sensors.iter().filter(|s| s.meter == "rapl").map(|s| s.name.as_str()).collect();
    assert_eq!(
        names,
        ["package-0.energy", "package-0.core.energy", "package-0.uncore.energy", "psys.energy"]
    );
    assert_eq!(counted(&inventory), ["package-0.energy", "ram.model"]);
}

#[test]
fn without_powercap_the_models_count_and_the_reason_is_kept() {
    let inventory = inventory(&Machine::new());
    assert_eq!(counted(&inventory), ["cpu.model", "ram.model"]);
    let absent = inventory.absent.iter().find(|a| a.meter == "rapl").unwrap();
    assert!(absent.reason.contains("no RAPL"), "{}", absent.reason);
    assert!(inventory.warnings.is_empty() && inventory.problems.0.is_empty());
    assert!(inventory.boundary.contains("modelled"), "{}", inventory.boundary);
}

#[test]
fn a_counter_that_may_not_be_read_is_told_with_its_remedy_and_the_model_counts() {
    let machine = Machine::amd_package_only();
    // Root may read everything, so a counter that is no file stands in for one that is denied.
    let counter = machine.counter("intel-rapl:0");
    std::fs::remove_file(&counter).unwrap();
    std::fs::create_dir(&counter).unwrap();
    let inventory = inventory(&machine);
    assert_eq!(counted(&inventory), ["cpu.model", "ram.model"]);
    assert_eq!(inventory.blocked.len(), 1);
    assert_eq!(inventory.blocked[0].component, Component::Cpu);
    assert_eq!(inventory.warnings[0].code, "sensor_not_readable");
    assert!(inventory.problems.0.is_empty(), "another source steps in");
}

#[test]
fn what_is_switched_off_is_not_opened() {
    let machine = Machine::dual_socket_with_dram();
    let base = metrics(&machine);
    let cpu_off = MetricsConfig { cpu: false, ..base.clone() };
    let inventory = open_all(&entries(), &request(&cpu_off));
    assert_eq!(counted(&inventory), ["package-0.dram.energy", "package-1.dram.energy"]);
    assert_eq!(inventory.scope[1].reason, "metrics.cpu is false");
    assert!(inventory.sensors.iter().any(|sensor| sensor.name == "cpu.utilization"));
    let off = MetricsConfig { enabled: false, ..base };
    let inventory = open_all(&entries(), &request(&off));
    assert!(inventory.meters.is_empty());
    assert!(inventory.scope.iter().all(|scope| scope.reason == "metrics.enabled is false"));
    assert_eq!(inventory.boundary, "No energy is counted.");
}

#[test]
fn impossible_settings_are_all_told_and_nothing_is_opened() {
    let machine = Machine::new();
    let metrics = MetricsConfig {
        sample_period_s: 0.0,
        cpu_tdp_w: Some(-1.0),
        ram_power_w: Some(f64::NAN),
        ..metrics(&machine)
    };
    let inventory = open_all(&entries(), &request(&metrics));
    assert_eq!(inventory.problems.0.len(), 3);
    assert!(inventory.meters.is_empty());
}

#[test]
fn a_survey_reads_every_sensor_and_is_data() {
    let machine = Machine::laptop_with_psys_and_mmio();
    machine.ticks(10, 90);
    let survey = survey(&entries(), &request(&metrics(&machine)));
    let psys = survey.sensors.iter().find(|s| s.sensor.name == "psys.energy").unwrap();
    assert_eq!(psys.value, Some(90.0));
    let json = serde_json::to_value(&survey).unwrap();
    assert_eq!(json["scope"][1]["component"], "cpu");
    assert!(json["sensors"].as_array().unwrap().iter().all(|s| s["name"].is_string()));
    assert_eq!(json["absent"][0]["meter"], "nvml");
}
