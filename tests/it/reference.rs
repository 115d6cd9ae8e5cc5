//! External meters of known gain and offset beside a run.

use std::fmt::Write as _;

use ai_energy_benchmarks::analysis::analyse;
use ai_energy_benchmarks::analysis::reference::ReferenceFindings;
use ai_energy_benchmarks::config::component::reference::{ReferenceConfig, ReferenceScope};
use ai_energy_benchmarks::meter::calibration::Calibrations;
use ai_energy_benchmarks::meter::reference;
use ai_energy_benchmarks::record::{Component, Quantity, RunRecords};
use ai_energy_benchmarks_testkit::batching::Simulation;

use crate::attribution::{self, BEGIN};

/// The run's wall clock at its begin.
const UNIX: f64 = 1_795_514_400.0;
/// True over shown: what the sensor of these runs is off by.
const GAIN: f64 = 1.04;

/// A run whose sensor shows too little, and what happened in it.
fn run() -> (RunRecords, Simulation) {
    let simulation = attribution::mixed();
    let mut records = attribution::records(&simulation, false);
    records.manifest.anchor.mono_ns = BEGIN;
    records.manifest.anchor.unix_ns = 1_795_514_400_000_000_000;
    for sample in &mut records.samples {
        sample.value = sample.value.map(|value| value / GAIN);
    }
    (records, simulation)
}

/// A meter that averages since its last reading.
struct Meter {
    interval: f64,
    /// Its clock is ahead by so much.
    ahead: f64,
    /// Watts = this + share of the GPU's.
    base: f64,
    share: f64,
}

impl Meter {
    fn csv(&self, simulation: &Simulation) -> String {
        let mut text = String::from("timestamp,power_w\n");
        let last = simulation.served.iter().map(|one| one.end).fold(0.0, f64::max);
        let mut end = -30.0;
        while end <= last + 30.0 {
            let from = end - self.interval;
            let joules = 120.0 * self.interval + simulation.energy(end) - simulation.energy(from);
            let watts = self.base + self.share * joules / self.interval;
            writeln!(text, "{:.3},{watts:.3}", UNIX + end + self.ahead).unwrap();
            end += self.interval;
        }
        text
    }
}

fn with(
    records: &RunRecords,
    csv: &str,
    config: &ReferenceConfig,
) -> (RunRecords, ReferenceFindings) {
    let mut records = records.clone();
    records.references = vec![reference::trace(csv.as_bytes(), "meter.csv", config).unwrap()];
    let found = analyse(&records).references.remove(0);
    (records, found)
}

fn of_the_gpu() -> ReferenceConfig {
    ReferenceConfig {
        scope: ReferenceScope::Gpu,
        accuracy_percent: Some(0.2),
        ..ReferenceConfig::default()
    }
}

#[track_caller]
fn value(figure: &ai_energy_benchmarks::analysis::Figure) -> f64 {
    figure.value.unwrap_or_else(|| panic!("null: {:?}", figure.reason))
}

#[test]
fn the_clock_of_a_meter_is_found_within_its_bound() {
    let (records, simulation) = run();
    for (ahead, interval) in [(0.0, 0.1), (7.3, 0.5), (-41.0, 1.0), (90.0, 2.0)] {
        let meter = Meter { interval, ahead, base: 0.0, share: 1.0 };
        let (_, found) = with(&records, &meter.csv(&simulation), &of_the_gpu());
        let clock = found.clock.unwrap_or_else(|| panic!("{ahead}: {:?}", found.energy.reason));
        let (offset, bound) = (value(&clock.offset), value(&clock.bound));
        assert!((offset - ahead).abs() <= bound, "{ahead}: {offset} ± {bound}");
        assert!(bound <= interval + 0.5, "{ahead}: ± {bound}");
        assert!(clock.load_steps >= 2 && value(&clock.explained) > 0.9);
    }
}

#[test]
fn a_gain_is_found_kept_and_shrinks_the_bound_of_later_runs() {
    let (records, simulation) = run();
    let meter = Meter { interval: 0.5, ahead: 3.0, base: 0.0, share: 1.0 };
    let (_, found) = with(&records, &meter.csv(&simulation), &of_the_gpu());
    let facts = found.gain.unwrap();
    let kept = facts.keep.unwrap_or_else(|| panic!("{:?}", facts.not_kept));
    assert!((kept.gain / GAIN - 1.0).abs() <= kept.bound_relative, "{kept:?}");
    assert!(kept.bound_relative < 0.02, "{kept:?}");
    assert_eq!((kept.uuid.as_str(), kept.sensor.as_str()), ("GPU-1", "nvml.energy_counter"));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("calibrations.json");
    let mut store = Calibrations::read(&path).unwrap();
    store.keep(kept.clone());
    store.write(&path).unwrap();
    let mut later = records.clone();
    let without = analyse(&later);
    later.manifest.gains = Calibrations::read(&path).unwrap().of(&later.manifest.sensors);
    assert_eq!(later.manifest.gains.len(), 1);
    let with = analyse(&later);
    let gpu = |findings: &ai_energy_benchmarks::analysis::Findings| {
        let part = findings.energy.components.iter().find(|part| part.component == Component::Gpu);
        let gross = part.unwrap().account.gross.clone();
        let bound = gross.uncertainty.as_ref().unwrap().systematic.unwrap();
        (value(&gross), bound)
    };
    let ((raw, class), (corrected, bound)) = (gpu(&without), gpu(&with));
    assert!((corrected / raw - kept.gain).abs() < 1e-9);
    assert!((class / raw - 0.05).abs() < 1e-9 && bound / corrected < 0.02);
    let last = simulation.served.iter().map(|one| one.end).fold(0.0, f64::max);
    let truth = simulation.energy(last) + 120.0 * last;
    assert!((corrected - truth).abs() <= bound + 0.005 * truth, "{corrected} {truth}");
    let info = &with.sensors[0].info;
    assert!(info.systematic_source.as_ref().unwrap().starts_with("calibrated"), "{info:?}");
    assert!(info.method.contains("times the gain"), "{}", info.method);
    let table = ai_energy_benchmarks::report::table::render(&without, &[]);
    assert!(table.contains("not calibrated; bound of its class"), "{table}");
}

#[test]
fn a_later_reference_derives_its_gain_from_raw_readings() {
    let (mut records, simulation) = run();
    let meter = Meter { interval: 0.5, ahead: 0.0, base: 0.0, share: 1.0 };
    let (_, first) = with(&records, &meter.csv(&simulation), &of_the_gpu());
    let kept = first.gain.unwrap().keep.unwrap();
    records.manifest.gains = vec![kept.clone()];
    let (_, second) = with(&records, &meter.csv(&simulation), &of_the_gpu());
    assert_eq!(second.gain.unwrap().keep.unwrap().gain.to_bits(), kept.gain.to_bits());
}

#[test]
fn the_wall_stands_beside_and_gives_a_gain_only_with_a_stated_efficiency() {
    let (records, simulation) = run();
    let meter = Meter { interval: 1.0, ahead: -12.0, base: 150.0, share: 1.0 / 0.92 };
    let plain = ReferenceConfig { accuracy_percent: Some(0.5), ..ReferenceConfig::default() };
    let csv = meter.csv(&simulation);
    let (with_wall, found) = with(&records, &csv, &plain);
    let last = simulation.served.iter().map(|one| one.end).fold(0.0, f64::max);
    let truth = 150.0 * last + (simulation.energy(last) + 120.0 * last) / 0.92;
    assert!((value(&found.energy) / truth - 1.0).abs() < 0.01, "{:?} {truth}", found.energy);
    assert!(found.gain.is_none());
    assert_eq!(analyse(&with_wall).energy, analyse(&records).energy, "never mixed");
    let stated = ReferenceConfig {
        conversion_efficiency: Some(0.92),
        conversion_uncertainty: Some(0.01),
        ..plain
    };
    let (_, found) = with(&records, &csv, &stated);
    let facts = found.gain.unwrap();
    let kept = facts.keep.unwrap_or_else(|| panic!("{:?}", facts.not_kept));
    assert!((kept.gain / GAIN - 1.0).abs() <= kept.bound_relative, "{kept:?}");
    assert!(kept.bound_relative < 0.05 && kept.method.contains("wall"), "{kept:?}");
}

#[test]
fn without_an_accuracy_a_gain_is_shown_and_not_kept() {
    let (records, simulation) = run();
    let meter = Meter { interval: 0.5, ahead: 0.0, base: 0.0, share: 1.0 };
    let config = ReferenceConfig { accuracy_percent: None, ..of_the_gpu() };
    let (_, found) = with(&records, &meter.csv(&simulation), &config);
    let facts = found.gain.unwrap();
    assert!((value(&facts.gain) / GAIN - 1.0).abs() < 0.02);
    assert!(facts.keep.is_none() && facts.not_kept.unwrap().contains("accuracy"));
}

#[test]
fn a_meter_of_another_time_has_no_energy_and_says_why() {
    let (records, simulation) = run();
    let meter = Meter { interval: 1.0, ahead: 7200.0, base: 0.0, share: 1.0 };
    let (_, found) = with(&records, &meter.csv(&simulation), &of_the_gpu());
    assert!(found.clock.is_none() && found.gain.is_none());
    assert!(found.energy.reason.unwrap().contains("does not cover"));
    let wrong = ReferenceConfig { device: Some("GPU-9".to_owned()), ..of_the_gpu() };
    let (_, found) = with(&records, &meter.csv(&simulation), &wrong);
    assert!(found.energy.reason.unwrap().contains("GPU-9"));
}

#[test]
fn a_clock_that_counts_from_zero_is_placed_by_the_load() {
    let (records, simulation) = run();
    let meter = Meter { interval: 0.5, ahead: -UNIX + 30.5, base: 0.0, share: 1.0 };
    let (_, found) = with(&records, &meter.csv(&simulation), &of_the_gpu());
    let last = simulation.served.iter().map(|one| one.end).fold(0.0, f64::max);
    let truth = simulation.energy(last) + 120.0 * last;
    assert!((value(&found.energy) / truth - 1.0).abs() < 0.01, "{:?} {truth}", found.energy);
}

#[test]
fn a_file_is_kept_once_in_the_run_folder() {
    let (_, simulation) = run();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("meter.csv");
    let meter = Meter { interval: 1.0, ahead: 0.0, base: 0.0, share: 1.0 };
    std::fs::write(&file, meter.csv(&simulation)).unwrap();
    for _ in 0..2 {
        let trace = reference::read(&file, &of_the_gpu()).unwrap();
        reference::keep(folder.path(), trace).unwrap();
    }
    let kept = std::fs::read_to_string(folder.path().join("references.jsonl")).unwrap();
    assert_eq!(kept.lines().count(), 1);
    let missing = reference::read(&folder.path().join("none.csv"), &of_the_gpu()).unwrap_err();
    assert!(missing.to_string().contains("none.csv"));
}

#[test]
fn without_sensors_the_load_itself_aligns_the_wall() {
    let (mut records, simulation) = run();
    records.manifest.sensors[0].quantity = Quantity::Temperature;
    records.manifest.sensors[0].counted = false;
    let meter = Meter { interval: 0.5, ahead: 5.0, base: 150.0, share: 1.1 };
    let (_, found) = with(&records, &meter.csv(&simulation), &ReferenceConfig::default());
    let clock = found.clock.unwrap_or_else(|| panic!("{:?}", found.energy.reason));
    assert!((value(&clock.offset) - 5.0).abs() <= value(&clock.bound) + 0.5, "{clock:?}");
    assert!(found.energy.value.is_some() && found.sensors_energy.value.is_none());
}
