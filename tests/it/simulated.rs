//! Simulated sensors with known truth, read by the sampler as a run does and turned into energies by the analysis.

use std::sync::Arc;

use ai_energy_benchmarks::analysis::window::{Curve, NoEnergy, Window};
use ai_energy_benchmarks::meter::Sampler;
use ai_energy_benchmarks::meter::scripted::{ScriptedMeter, sensor};
use ai_energy_benchmarks::record::{Component, Quantity, SampleRecord, SensorInfo};
use ai_energy_benchmarks::units::{Nanos, Seconds};
use ai_energy_benchmarks_testkit::meters::TestClock;
use ai_energy_benchmarks_testkit::simulated::{Behaviour, Dice, Signal, instant};

struct Simulation {
    signal: Signal,
    info: SensorInfo,
    power: SensorInfo,
    /// Of the counter (0) and of power (1).
    samples: Vec<SampleRecord>,
    windows: Vec<Window>,
}

/// Reads a counter for as long as it takes to go through windows of lengths between two bounds, with pauses between
/// them; each begin and end is an edge.
fn simulate(behaviour: &Behaviour, count: usize, lengths: (f64, f64), seed: u64) -> Simulation {
    let mut dice = Dice::new(seed);
    let clock = TestClock::default();
    clock.advance(Seconds(10.0));
    let mut edges = Vec::new();
    let mut at = Nanos(0).offset(Seconds(20.0));
    for _ in 0..count {
        let from = at.offset(Seconds(dice.between(0.5, 1.5)));
        let to = from.offset(Seconds(dice.between(lengths.0, lengths.1)));
        edges.push(Window { from, to });
        at = to;
    }
    let end = at.offset(Seconds(3.0));
    let signal = Signal::random(&mut dice, end.since(Nanos(0)), Seconds(0.2), Seconds(4.0));
    let info = SensorInfo {
        update_period_s: Some(behaviour.update),
        wrap_at: behaviour.wrap_at,
        resolution: Some(behaviour.resolution),
        ..sensor("gpu0.energy", Component::Gpu, Quantity::EnergyCounter, Seconds(2.0))
    };
    let power = SensorInfo {
        update_period_s: Some(Seconds(0.1)),
        ..sensor("gpu0.power", Component::Gpu, Quantity::Power, Seconds(0.05))
    };
    let answers = behaviour.clone().counter(signal.clone(), clock.clone(), seed);
    let meter = ScriptedMeter::new()
        .with(info.clone(), answers)
        .with(power.clone(), instant(signal.clone(), clock.clone(), Seconds(0.1)));
    let mut sampler = Sampler::new(vec![Box::new(meter)]);
    let mut samples = Vec::new();
    let moments = edges.iter().flat_map(|window| [window.from, window.to]);
    for (edge, more) in moments.map(|edge| (edge, true)).chain([(end, false)]) {
        while sampler.next_due().max(clock.now()) < edge {
            clock.advance_to(sampler.next_due());
            sampler.poll(|| clock.now(), &mut samples);
        }
        clock.advance_to(edge);
        sampler.set_edge(more);
    }
    Simulation { signal, info, power, samples, windows: edges }
}

impl Simulation {
    fn curve(&self) -> Curve {
        let of = |sensor: u16| self.samples.iter().filter(move |sample| sample.sensor == sensor);
        let power = Curve::build(&self.power, of(1)).unwrap();
        let mut curve = Curve::build(&self.info, of(0)).unwrap();
        curve.shape_by(&Arc::new(power));
        curve
    }

    fn truth(&self, window: Window) -> f64 {
        (self.signal.energy(window.to) - self.signal.energy(window.from)).value()
    }
}

/// Steps that keep to no exact grid.
fn late() -> Vec<(&'static str, Behaviour)> {
    vec![("steps late by up to 30 ms", Behaviour { jitter: Seconds(0.03), ..Behaviour::default() })]
}

/// Reads that widen the time between two caught changes.
fn slow() -> Vec<(&'static str, Behaviour)> {
    let cost = (Seconds(0.003), Seconds(0.015));
    vec![("reads of 3 to 15 ms", Behaviour { cost, ..Behaviour::default() })]
}

/// Faults that must not matter.
fn harmless() -> Vec<(&'static str, Behaviour)> {
    let h100 = Behaviour::default;
    vec![
        ("an H100", h100()),
        ("going round", Behaviour { wrap_at: Some(3000.0), ..h100() }),
        ("missing reads", Behaviour { missing: 0.1, ..h100() }),
        (
            "RAPL",
            Behaviour {
                update: Seconds(0.001),
                jitter: Seconds(0.0),
                cost: (Seconds(0.000_01), Seconds(0.000_02)),
                wrap_at: Some(262_143.0),
                resolution: 6.1e-5,
                ..h100()
            },
        ),
    ]
}

#[test]
fn windows_of_thirty_seconds_and_more_are_right_to_a_thousandth() {
    for (what, behaviour) in harmless().into_iter().chain(slow()) {
        let worst = errors_of_long_windows(&behaviour).into_iter().fold(0.0, f64::max);
        assert!(worst < 0.001, "{what}: {:.3} %", 100.0 * worst);
    }
}

#[test]
fn long_windows_are_right_though_steps_come_late_by_a_third_of_a_period() {
    for (what, behaviour) in late() {
        let errors = errors_of_long_windows(&behaviour);
        let over = errors.iter().filter(|error| **error >= 0.001).count();
        let worst = errors.iter().copied().fold(0.0, f64::max);
        assert!(over * 50 <= errors.len(), "{what}: {over} of {} over 0.1 %", errors.len());
        assert!(worst < 0.0015, "{what}: {:.3} %", 100.0 * worst);
    }
}

/// Relative errors, without signs.
fn errors_of_long_windows(behaviour: &Behaviour) -> Vec<f64> {
    let simulated = (0..6).map(|seed| simulate(behaviour, 12, (30.0, 60.0), 100 + seed));
    simulated
        .flat_map(|simulation| {
            let curve = simulation.curve();
            let error = |window: &Window| {
                let energy = curve.energy(*window).unwrap();
                (energy.joules.value() / simulation.truth(*window) - 1.0).abs()
            };
            simulation.windows.iter().map(error).collect::<Vec<f64>>()
        })
        .collect()
}

#[test]
fn nineteen_of_twenty_random_windows_lie_within_their_stated_uncertainty() {
    for (what, behaviour) in harmless().into_iter().chain(slow()).chain(late()) {
        let simulation = simulate(&behaviour, 1000, (0.3, 10.0), 11);
        let curve = simulation.curve();
        let (mut known, mut within) = (0_u32, 0_u32);
        for window in &simulation.windows {
            let Ok(energy) = curve.energy(*window) else { continue };
            known += 1;
            let error = (energy.joules.value() - simulation.truth(*window)).abs();
            within += u32::from(error <= 1.96 * energy.random.value());
        }
        assert!(known >= 900, "{what}: {known} of 1000 windows are known");
        let share = f64::from(within) / f64::from(known);
        assert!(share >= 0.95, "{what}: {:.1} % of {known}", 100.0 * share);
    }
}

#[test]
fn windows_across_a_new_beginning_are_not_known_and_the_others_are() {
    let reset = Behaviour { reset_at: Some(Nanos(60_000_000_000)), ..Behaviour::default() };
    let simulation = simulate(&reset, 20, (4.0, 8.0), 3);
    let curve = simulation.curve();
    let mut across = 0;
    for window in &simulation.windows {
        let found = curve.energy(*window);
        if (window.from..window.to).contains(&Nanos(60_000_000_000)) {
            across += 1;
            assert!(matches!(found, Err(NoEnergy::Reset { .. })), "{found:?}");
        } else if window.to < Nanos(59_000_000_000) || window.from > Nanos(63_000_000_000) {
            let error = found.unwrap().joules.value() / simulation.truth(*window) - 1.0;
            assert!(error.abs() < 0.02, "{error}");
        }
    }
    assert_eq!(across, 1);
}
