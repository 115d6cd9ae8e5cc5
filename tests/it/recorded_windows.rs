//! Windows on recordings of a real H100: bursts of known work of 0.05 to 3 s.
//!
//! `h100_bf16` are matrix products that run into the power cap after some 0.8 s; `h100_copy` and `h100_fp32` never do.

use std::collections::BTreeMap;

use ai_energy_benchmarks::analysis::intervals::{Marked, MarkedEnergy, Timing, measure};
use ai_energy_benchmarks::trace::{COUNTER, Interval, Marks, Recorded, Trace};

const RECORDINGS: [&str; 3] = ["h100_bf16", "h100_copy", "h100_fp32"];

/// What idling with a context counts between two renewals, J.
const IDLE_STEP: f64 = 13.0;

struct Recording {
    trace: Trace,
    marks: Marks,
    intervals: Vec<Interval>,
}

impl Recording {
    fn read(name: &str) -> Self {
        let path = |what: &str| format!("tests/data/recordings/{name}_{what}");
        let marks = std::fs::read_to_string(path("marks.json")).unwrap();
        let marks = Marks::parse(&marks, "marks").unwrap();
        let recorded = Recorded {
            gpu: marks.gpu.clone().unwrap(),
            driver: marks.driver.clone().unwrap(),
            systematic: Some((0.05, "test".to_owned())),
        };
        let text = std::fs::read_to_string(path("trace.csv")).unwrap();
        let trace = Trace::parse(&text, "trace", &recorded).unwrap();
        let (intervals, alone) = marks.intervals();
        assert!(alone.is_empty(), "{alone:?}");
        Self { trace, marks, intervals }
    }

    fn measured(&self, timing: Timing) -> Marked {
        measure(&self.trace, &self.intervals, timing).unwrap()
    }

    /// Joules a unit of work of each burst, with the uncertainty, by length in hundredths of a second.
    fn bursts(&self, timing: Timing) -> BTreeMap<u32, Vec<(f64, f64)>> {
        let mut lengths: BTreeMap<u32, Vec<(f64, f64)>> = BTreeMap::new();
        let energies = self.measured(timing).energies;
        for (energy, interval) in energies.iter().zip(&self.intervals) {
            let (Some(work), Some(joules)) = (interval.work, energy.joules) else { continue };
            let one = (joules / work, energy.uncertainty_joules.unwrap() / work);
            lengths.entry(length(interval)).or_default().push(one);
        }
        lengths
    }
}

/// The nominal length: bursts end with the batch of work that was under way.
fn length(interval: &Interval) -> u32 {
    let seconds = interval.to.since(interval.from).0;
    let nominal = [0.05, 0.1, 0.2, 0.25, 0.35, 0.5, 0.75, 1.0, 3.0];
    let near = nominal.into_iter().rev().find(|nominal| seconds >= *nominal - 0.002).unwrap();
    (near * 100.0).round() as u32
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    values.iter().sum::<f64>() / values.len() as f64
}

fn spread(values: &[(f64, f64)]) -> f64 {
    let middle = mean(values.iter().map(|one| one.0));
    let squares: f64 = values.iter().map(|one| (one.0 - middle).powi(2)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}

/// Mean deviation of a length from the 3 s bursts, and the spread of single bursts, in per cent.
fn against_long(bursts: &BTreeMap<u32, Vec<(f64, f64)>>, length: u32) -> (f64, f64) {
    let long = mean(bursts[&300].iter().map(|one| one.0));
    let of = &bursts[&length];
    (100.0 * (mean(of.iter().map(|one| one.0)) / long - 1.0), 100.0 * spread(of) / long)
}

#[test]
fn bursts_of_a_quarter_second_and_more_cost_what_long_ones_do() {
    // Spreads: at most 1.25 times those of linear interpolation between changes.
    let recording = Recording::read("h100_bf16");
    let bursts = recording.bursts(Timing::Auto);
    for (length, widest) in [(25, 2.2), (50, 1.7), (100, 0.9)] {
        let (bias, spread) = against_long(&bursts, length);
        assert!(bias.abs() <= 2.0, "{length}: {bias} %");
        assert!(spread <= 1.25 * widest, "{length}: {spread} %");
    }
    for short in [5, 10] {
        assert!(!bursts.contains_key(&short) || against_long(&bursts, short).0.abs() <= 5.0);
    }
}

#[test]
fn what_is_known_of_the_sensor_measures_work_that_no_power_cap_slows() {
    for name in ["h100_copy", "h100_fp32"] {
        let bursts = Recording::read(name).bursts(Timing::Known);
        for length in [20, 25, 35, 50, 75, 100] {
            let (bias, spread) = against_long(&bursts, length);
            assert!(bias.abs() <= 2.0 && spread <= 2.5, "{name} {length}: {bias} {spread}");
        }
    }
}

#[test]
fn series_are_what_the_counter_itself_counted() {
    for name in RECORDINGS {
        let recording = Recording::read(name);
        let energies = recording.measured(Timing::Auto).energies;
        let counted = |at, name: &str| {
            let mark = recording.marks.marks.iter().find(|mark| mark.t == at && mark.name == name);
            mark.unwrap().more["energy"].as_f64().unwrap() / 1000.0
        };
        for energy in energies.iter().filter(|energy| energy.name == "series") {
            let truth = counted(energy.t1_ns, "series_end") - counted(energy.t0_ns, "series_begin");
            let off = energy.joules.unwrap() - truth;
            // A read shows the last renewal: each end is up to one step of idling late.
            assert!(off.abs() < 0.005 * truth + IDLE_STEP, "{name} series {}: {off}", energy.index);
        }
    }
}

#[test]
fn stated_uncertainties_are_what_single_bursts_show() {
    let (mut within, mut all) = (0.0, 0.0);
    let (mut stated, mut seen) = (0.0, 0.0);
    for name in RECORDINGS {
        let bursts = Recording::read(name).bursts(Timing::Auto);
        let long = mean(bursts[&300].iter().map(|one| one.0));
        for of in bursts.iter().filter(|(length, _)| **length >= 20).map(|(_, of)| of) {
            let hits = of.iter().filter(|(unit, u)| (unit - long).abs() <= 1.96 * u).count();
            let u = mean(of.iter().map(|one| one.1)) / long;
            within += hits as f64;
            all += of.len() as f64;
            stated += u * of.len() as f64;
            seen += spread(of) / long * of.len() as f64;
        }
    }
    assert!(within / all >= 0.88, "{within} of {all}");
    assert!(stated <= 1.5 * seen, "stated {stated} seen {seen}");
}

/// Everything but every `keep`-th reading of the counter left out.
fn sparser(recording: &Recording, keep: usize) -> Vec<MarkedEnergy> {
    let mut trace = recording.trace.clone();
    let mut count = 0;
    trace.samples.retain(|sample| {
        count += usize::from(sample.sensor == COUNTER);
        sample.sensor != COUNTER || count % keep == 0
    });
    measure(&trace, &recording.intervals, Timing::Known).unwrap().energies
}

#[test]
fn a_counter_read_more_rarely_gives_the_same_energies_within_what_it_states() {
    for name in RECORDINGS {
        let recording = Recording::read(name);
        let dense = recording.measured(Timing::Known).energies;
        for keep in [2, 4, 10] {
            let (mut within, mut all) = (0.0, 0.0);
            for (one, other) in dense.iter().zip(sparser(&recording, keep)) {
                let (Some(a), Some(b)) = (one.joules, other.joules) else { continue };
                let u = one.uncertainty_joules.unwrap().hypot(other.uncertainty_joules.unwrap());
                all += 1.0;
                within += f64::from((a - b).abs() <= 1.96 * u);
            }
            assert!(all > 10.0 && within / all >= 0.95, "{name} every {keep}: {within} of {all}");
        }
    }
}

#[test]
fn intervals_that_the_sensor_cannot_resolve_are_null_with_a_reason() {
    let recording = Recording::read("h100_bf16");
    let energies = recording.measured(Timing::Auto).energies;
    let prefill = energies
        .iter()
        .find(|energy| energy.name == "prefill" && { energy.t1_ns.since(energy.t0_ns).0 < 0.02 });
    let prefill = prefill.unwrap();
    assert_eq!(prefill.joules, None);
    assert!(prefill.reason.as_deref().unwrap().contains("too short"), "{prefill:?}");
}
