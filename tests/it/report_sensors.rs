//! What reports say about the sensors themselves.

use ai_energy_benchmarks::analysis::analyse;
use ai_energy_benchmarks::record::{
    Component, Event, EventRecord, Quantity, RunRecords, SampleRecord, SensorInfo, Source,
};
use ai_energy_benchmarks::report::table;
use ai_energy_benchmarks::units::{Nanos, Seconds};

use crate::report_runs::{self as runs, CPU, GPU_COUNTER, GPU_POWER, at};

/// Adds a sensor that tells how much processor time the metering took: 4 ms of each second.
fn with_own_cost(mut records: RunRecords) -> RunRecords {
    let info = SensorInfo {
        name: "meter.cpu_time".to_owned(),
        meter: "own_cost".to_owned(),
        component: Component::Cpu,
        device: None,
        quantity: Quantity::CpuTime,
        unit: "s".to_owned(),
        counted: false,
        ..records.manifest.sensors[GPU_COUNTER].clone()
    };
    let sensor = u16::try_from(records.manifest.sensors.len()).unwrap();
    records.manifest.sensors.push(info);
    for second in 0..=18_u32 {
        let stamp = at(u64::from(second) * 1000);
        records.samples.push(SampleRecord {
            sensor,
            before_ns: stamp,
            after_ns: stamp,
            value: Some(0.5 + 0.004 * f64::from(second)),
            error: None,
        });
    }
    records
}

#[test]
fn what_the_metering_cost_stands_in_the_report() {
    let findings = analyse(&with_own_cost(runs::run()));
    let cost = findings.meter_cost.clone().unwrap();
    assert!((cost.cpu_time.value.unwrap() - 0.072).abs() < 1e-9, "{cost:?}");
    assert!((cost.share_of_core.value.unwrap() - 0.004).abs() < 1e-9, "{cost:?}");
    let load = 0.75 * f64::from(findings.host.cpu_count);
    let watts = CPU / load.max(1.0);
    assert!((cost.core_power.value.unwrap() - watts).abs() < 1e-6, "{cost:?}");
    assert!((cost.energy.value.unwrap() - 0.072 * watts).abs() < 1e-6, "{cost:?}");
    assert_eq!(cost.energy.source, Some(Source::Modelled));
    let text = table::render(&findings, &[]);
    assert!(text.contains("0.40 % of a core"), "{text}");
    let old = analyse(&runs::run()).meter_cost.unwrap();
    assert!(old.cpu_time.value.is_none() && old.cpu_time.reason.is_some());
}

#[test]
fn a_period_that_the_sampler_found_takes_the_place_of_the_described_one() {
    let mut records = runs::run();
    let sensor = records.manifest.sensors[GPU_COUNTER].name.clone();
    records.events.push(EventRecord {
        at_ns: Nanos(at(900).0),
        event: Event::UpdatePeriod {
            sensor,
            period_s: Seconds(0.05),
            uncertainty_s: Seconds(0.001),
        },
    });
    let findings = analyse(&records);
    assert_eq!(findings.sensors[GPU_COUNTER].info.update_period_s, Some(Seconds(0.05)));
    assert_eq!(findings.sensors[GPU_POWER].info.update_period_s, Some(Seconds(0.1)));
}

#[test]
fn a_meter_of_the_servers_machine_gives_its_energy_and_this_machine_stays_the_client() {
    let mut records = runs::run();
    records.manifest.backend.local = false;
    for sensor in [GPU_COUNTER, GPU_POWER] {
        records.manifest.sensors[sensor].host = Some("node7".to_owned());
    }
    let findings = analyse(&records);
    let gross = findings.energy.measured.account.gross.value.unwrap();
    assert!((gross - runs::GPU_BUSY * 10.02).abs() < 10.0, "{gross}");
    assert_eq!(findings.energy.measured.included, [Component::Gpu]);
    assert!(findings.energy.modelled.included.is_empty(), "this machine's CPU is no part of it");
    assert!(findings.efficiency.joules_per_request.value.is_some());
    let client = findings.client_energy.unwrap();
    assert_eq!(client.modelled.included, [Component::Cpu, Component::Ram]);
    assert!(client.measured.included.is_empty());
    assert!(findings.warnings.iter().all(|warning| warning.code != "remote_server"));
}

fn codes(records: &RunRecords) -> Vec<String> {
    analyse(records).warnings.into_iter().map(|warning| warning.code).collect()
}

/// The GPU counter's samples changed.
fn counter(change: impl Fn(u64, &mut SampleRecord)) -> RunRecords {
    let mut records = runs::run();
    for sample in records.samples.iter_mut().filter(|s| usize::from(s.sensor) == GPU_COUNTER) {
        let ms = (sample.before_ns.0 - runs::START) / 1_000_000;
        change(ms, sample);
    }
    records
}

#[test]
fn a_good_counter_has_nothing_to_be_said_of() {
    let found = codes(&runs::run());
    assert!(
        found.iter().all(|code| !code.starts_with("counter") && code != "sensor_disappeared"),
        "{found:?}"
    );
}

#[test]
fn a_counter_that_misbehaves_is_told() {
    let stuck = {
        let held = std::cell::Cell::new(None);
        counter(|ms, sample| {
            if (7000..9000).contains(&ms) {
                let value = held.get().or(sample.value);
                held.set(value);
                sample.value = value;
            }
        })
    };
    assert!(codes(&stuck).contains(&"counter_stuck".to_owned()));
    let reset = counter(|ms, sample| {
        if ms >= 8000 {
            sample.value = sample.value.map(|value| value * 0.01);
        }
    });
    assert!(codes(&reset).contains(&"counter_reset".to_owned()));
    let mut wrapped = counter(|_, sample| sample.value = sample.value.map(|value| value % 500.0));
    wrapped.manifest.sensors[GPU_COUNTER].wrap_at = Some(500.0);
    let found = codes(&wrapped);
    assert!(found.contains(&"counter_wrapped".to_owned()), "{found:?}");
    assert!(!found.contains(&"counter_reset".to_owned()), "{found:?}");
    let jumped = counter(|ms, sample| {
        if ms >= 8000 {
            sample.value = sample.value.map(|value| value + 5000.0);
        }
    });
    assert!(codes(&jumped).contains(&"counter_jumped".to_owned()));
    let gone = counter(|ms, sample| {
        if ms >= 12_000 {
            sample.value = None;
            sample.error = Some("GPU is lost".to_owned());
        }
    });
    let told = analyse(&gone).warnings;
    let told = told.iter().find(|warning| warning.code == "sensor_disappeared").unwrap();
    assert!(told.message.contains("GPU is lost"), "{told:?}");
}
