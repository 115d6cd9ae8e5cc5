//! The CPU and RAM models against CodeCarbon's own figures and on made-up machines.

use ai_energy_benchmarks::config::component::metrics::MetricsConfig;
use ai_energy_benchmarks::meter::ram_model::{ModulePower, modules, power};
use ai_energy_benchmarks::meter::{OpenRequest, cpu_model, open_all, ram_model};
use ai_energy_benchmarks::record::{Quantity, SensorInfo, Source};
use ai_energy_benchmarks_testkit::fixtures::Machine;
use serde::Deserialize;

#[derive(Deserialize)]
struct Vector {
    architecture: String,
    memory_gb: f64,
    dimms: u32,
    power_w: f64,
}

fn sensor(machine: &Machine, change: impl Fn(&mut MetricsConfig), name: &str) -> SensorInfo {
    let mut metrics = MetricsConfig { procfs_root: machine.root(), ..MetricsConfig::default() };
    change(&mut metrics);
    let request = OpenRequest::of(&metrics);
    let inventory = open_all(&[cpu_model::ENTRY, ram_model::ENTRY], &request);
    inventory.sensors.into_iter().find(|sensor| sensor.name == name).unwrap()
}

#[test]
fn ram_power_equals_what_codecarbon_computes() {
    let vectors: Vec<Vector> =
        serde_json::from_str(include_str!("../data/codecarbon_ram.json")).unwrap();
    assert!(vectors.len() > 50);
    for vector in vectors {
        let module = if vector.architecture == "arm" { ModulePower::ARM } else { ModulePower::X86 };
        assert_eq!(modules(vector.memory_gb), vector.dimms, "{} GB", vector.memory_gb);
        let watts = power(vector.dimms, module).value();
        assert!((watts - vector.power_w).abs() < 1e-9, "{} GB: {watts}", vector.memory_gb);
    }
}

#[test]
fn a_known_processor_uses_the_table_once_a_socket() {
    let machine = Machine::new();
    machine.cpu("AMD EPYC 7763 64-Core Processor", 2, 8);
    let model = sensor(&machine, |_| {}, "cpu.model");
    assert_eq!((model.quantity, model.source), (Quantity::EnergyCounter, Source::Modelled));
    assert!(model.method.contains("TDP = 560.0 W"), "{}", model.method);
    assert_eq!(model.systematic_relative, Some(0.40));
}

#[test]
fn an_unknown_processor_says_that_its_tdp_is_a_guess() {
    let model = sensor(&Machine::new(), |_| {}, "cpu.model");
    assert!(model.method.contains("4 W x 4 threads"), "{}", model.method);
    assert_eq!(model.systematic_relative, None);
    let given = sensor(&Machine::new(), |metrics| metrics.cpu_tdp_w = Some(65.0), "cpu.model");
    assert!(given.method.contains("65 W (metrics.cpu_tdp_w)"), "{}", given.method);
}

#[test]
fn a_given_ram_power_is_assumed() {
    let given = sensor(&Machine::new(), |metrics| metrics.ram_power_w = Some(7.5), "ram.model");
    assert_eq!((given.source, given.quantity), (Source::Assumed, Quantity::Power));
    let modelled = sensor(&Machine::new(), |_| {}, "ram.model");
    assert!(modelled.method.contains("16.0 GiB taken as 2 modules"), "{}", modelled.method);
}

#[test]
fn load_and_memory_are_read_as_traces() {
    let machine = Machine::new();
    let metrics = MetricsConfig { procfs_root: machine.root(), ..MetricsConfig::default() };
    let request = OpenRequest::of(&metrics);
    let mut inventory = open_all(&[cpu_model::ENTRY, ram_model::ENTRY], &request);
    machine.ticks(30, 10);
    let utilization = inventory.meters[0].read(1).unwrap();
    assert!((utilization - 0.75).abs() < 1e-12);
    assert_eq!(inventory.meters[0].read(1), Ok(utilization), "within one tick it is the same");
    machine.ticks(30, 20);
    assert_eq!(inventory.meters[0].read(1), Ok(0.0));
    let used = inventory.meters[1].read(1).unwrap();
    assert!((used - 4.0 * 1024.0_f64.powi(3)).abs() < 4096.0, "{used}");
}

#[test]
fn without_proc_the_models_are_absent_and_say_why() {
    let metrics =
        MetricsConfig { procfs_root: "/nonexistent".to_owned(), ..MetricsConfig::default() };
    let request = OpenRequest::of(&metrics);
    let inventory = open_all(&[cpu_model::ENTRY, ram_model::ENTRY], &request);
    assert!(inventory.sensors.is_empty());
    assert!(inventory.scope[1].reason.contains("cannot read"), "{}", inventory.scope[1].reason);
    assert!(inventory.scope[2].reason.contains("cannot read"), "{}", inventory.scope[2].reason);
}
