//! On a real NVIDIA GPU: `./run_tests.sh --gpu` runs these.

use ai_energy_benchmarks::clock;
use ai_energy_benchmarks::config::component::metrics::MetricsConfig;
use ai_energy_benchmarks::meter::{Inventory, OpenRequest, Sampler, nvml, open_all};
use ai_energy_benchmarks::record::{Quantity, SampleRecord};
use ai_energy_benchmarks::units::{Nanos, Seconds};

fn open(ids: Option<&[String]>) -> Inventory {
    open_all(
        &[nvml::ENTRY],
        &OpenRequest { device_ids: ids, ..OpenRequest::of(&MetricsConfig::default()) },
    )
}

fn first_gpu() -> Inventory {
    let inventory = open(Some(&["0".to_owned()]));
    assert!(inventory.problems.0.is_empty(), "{}", inventory.problems);
    assert_eq!(inventory.devices.len(), 1, "{}", inventory.boundary);
    inventory
}

#[expect(clippy::disallowed_methods, reason = "a real sensor needs real time")]
fn sample(sampler: &mut Sampler, time: Seconds) -> Vec<SampleRecord> {
    let end = clock::now().offset(time);
    let mut samples = Vec::new();
    while clock::now() < end {
        let wait = sampler.next_due().min(end).since(clock::now());
        std::thread::sleep(wait.into());
        sampler.poll(clock::now, &mut samples);
    }
    samples
}

/// Times (middle of the read) and values of the first sensor of a quantity.
fn series(sampler: &Sampler, samples: &[SampleRecord], quantity: Quantity) -> Vec<(Nanos, f64)> {
    let wanted = sampler.sensors().iter().position(|sensor| sensor.quantity == quantity).unwrap();
    samples
        .iter()
        .filter(|sample| usize::from(sample.sensor) == wanted)
        .map(|sample| {
            let value = sample.value.unwrap_or_else(|| panic!("{:?}", sample.error));
            (Nanos(sample.before_ns.0.midpoint(sample.after_ns.0)), value)
        })
        .collect()
}

/// The trapezoid rule between two points on the clock.
fn integral(power: &[(Nanos, f64)], from: Nanos, to: Nanos) -> f64 {
    let inside = power.iter().filter(|(at, _)| (from..=to).contains(at)).collect::<Vec<_>>();
    inside
        .windows(2)
        .map(|pair| f64::midpoint(pair[0].1, pair[1].1) * pair[1].0.since(pair[0].0).value())
        .sum()
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn the_counter_agrees_with_the_integral_of_instantaneous_power_over_five_seconds() {
    let mut sampler = Sampler::new(first_gpu().meters);
    sampler.set_edge(true);
    let mut samples = sample(&mut sampler, Seconds(5.0));
    assert!(!sampler.edge_pending());
    sampler.set_edge(true);
    samples.extend(sample(&mut sampler, Seconds(0.6)));
    let counter = series(&sampler, &samples, Quantity::EnergyCounter);
    let power = series(&sampler, &samples, Quantity::Power);
    assert!(power.len() >= 95, "20 Hz for 5 s, got {}", power.len());
    let changes: Vec<_> = counter.windows(2).filter(|w| w[1].1 > w[0].1).map(|w| w[1]).collect();
    let (first, last) = (changes[0], changes[changes.len() - 1]);
    let counted = last.1 - first.1;
    let integrated = integral(&power, first.0, last.0);
    assert!(counted > 0.0 && integrated > 0.0);
    let difference = (counted / integrated - 1.0).abs();
    assert!(difference < 0.10, "counter {counted} J, integral {integrated} J");
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn an_edge_ends_at_a_change_of_the_counter_within_its_bound() {
    let mut sampler = Sampler::new(first_gpu().meters);
    sample(&mut sampler, Seconds(0.5));
    sampler.set_edge(true);
    let samples = sample(&mut sampler, Seconds(0.4));
    let counter = series(&sampler, &samples, Quantity::EnergyCounter);
    assert!(!sampler.edge_pending());
    assert!((2..=40).contains(&counter.len()), "{} reads", counter.len());
    assert!(counter[counter.len() - 1].1 > counter[0].1, "{counter:?}");
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn every_trace_is_plausible() {
    let mut sampler = Sampler::new(first_gpu().meters);
    let samples = sample(&mut sampler, Seconds(1.2));
    for (quantity, range) in [
        (Quantity::Power, 5.0..1500.0),
        (Quantity::Temperature, 5.0..110.0),
        (Quantity::Clock, 1e8..4e9),
        (Quantity::Utilization, 0.0..1.01),
        (Quantity::Memory, 0.0..1e12),
    ] {
        let values = series(&sampler, &samples, quantity);
        assert!(!values.is_empty(), "{quantity:?}");
        assert!(values.iter().all(|(_, value)| range.contains(value)), "{quantity:?} {values:?}");
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn a_gpu_is_selected_by_index_uuid_and_the_beginning_of_it() {
    let by_index = first_gpu().devices;
    let uuid = by_index[0].uuid.clone();
    for id in [uuid.clone(), uuid[..uuid.len() - 2].to_owned()] {
        assert_eq!(open(Some(&[id])).devices, by_index);
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn an_unknown_gpu_is_an_error_that_lists_the_gpus() {
    let uuid = first_gpu().devices[0].uuid.clone();
    for id in ["99", "GPU-ffffffff-0000"] {
        let inventory = open(Some(&[id.to_owned()]));
        assert!(inventory.problems.to_string().contains(&uuid), "{}", inventory.problems);
        assert!(inventory.devices.is_empty());
    }
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn the_processes_on_the_gpu_can_be_listed() {
    let devices = first_gpu().devices;
    let processes = nvml::compute_pids(&MetricsConfig::default(), &devices).unwrap();
    assert_eq!(processes.len(), 1);
    assert_eq!(processes[0].device, devices[0]);
}
