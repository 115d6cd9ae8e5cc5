use proptest::prelude::*;

use super::*;
use crate::record::{Component, Source};

const MS: u64 = 1_000_000;
/// A clock that does not begin at zero, as real ones.
const START: u64 = 50_000 * MS;

fn sensor(quantity: Quantity, update_s: Option<f64>, sample_s: f64) -> SensorInfo {
    SensorInfo {
        name: "gpu0".to_owned(),
        meter: "test".to_owned(),
        component: Component::Gpu,
        device: None,
        quantity,
        unit: quantity.unit().to_owned(),
        source: Source::Measured,
        scope: String::new(),
        method: String::new(),
        counted: true,
        resolution: Some(0.001),
        update_period_s: update_s.map(Seconds),
        sample_period_s: Seconds(sample_s),
        wrap_at: None,
        systematic_relative: Some(0.05),
        systematic_source: None,
        timing: None,
        host: None,
    }
}

fn sample(at_ms: u64, value: f64) -> SampleRecord {
    SampleRecord {
        sensor: 0,
        before_ns: Nanos(START + at_ms * MS),
        after_ns: Nanos(START + at_ms * MS + 100_000),
        value: Some(value),
        error: None,
    }
}

fn window(from_ms: u64, to_ms: u64) -> Window {
    Window { from: Nanos(START + from_ms * MS), to: Nanos(START + to_ms * MS) }
}

/// A counter that renews itself every `update` ms, read every `poll` ms, of a load of `power(ms)` watts.
fn counter(update: u64, poll: u64, until: u64, power: impl Fn(u64) -> f64) -> Vec<SampleRecord> {
    let mut samples = Vec::new();
    let (mut energy, mut shown) = (1000.0, 1000.0);
    for ms in 0..=until {
        if ms % update == 0 {
            shown = energy;
        }
        if ms % poll == 0 {
            samples.push(sample(ms, shown));
        }
        energy += power(ms) / 1000.0;
    }
    samples
}

#[test]
fn a_steady_hundred_watts_is_a_hundred_joules_a_second() {
    let samples = counter(100, 20, 5000, |_| 100.0);
    let info = sensor(Quantity::EnergyCounter, Some(0.1), 0.02);
    let curve = Curve::build(&info, &samples).unwrap();
    let energy = curve.energy(window(1033, 4033)).unwrap();
    assert!((energy.joules.0 - 300.0).abs() < 0.01, "{energy:?}");
    // Where the load is steady it does not matter when the counter stepped: what is left is the width of its step.
    assert!(energy.random.0 > 0.0 && energy.random.0 < 0.01, "{energy:?}");
    assert!((energy.systematic.unwrap().0 - 15.0).abs() < 0.1);
}

#[test]
fn a_counter_read_rarely_is_not_half_a_read_late() {
    // Renewed every 10 ms, read every second: what a read shows is as new as the read.
    let samples = counter(10, 1000, 20_000, |ms| if ms < 10_000 { 50.0 } else { 250.0 });
    let info = sensor(Quantity::EnergyCounter, Some(0.01), 1.0);
    let curve = Curve::build(&info, &samples).unwrap();
    let energy = curve.energy(window(10_000, 18_000)).unwrap();
    assert!((energy.joules.0 - 2000.0).abs() < 3.0, "{energy:?}");
}

#[test]
fn a_wrap_is_unwrapped_and_a_reset_is_said() {
    let range = 1500.0;
    let info =
        SensorInfo { wrap_at: Some(range), ..sensor(Quantity::EnergyCounter, Some(0.1), 0.1) };
    let mut samples = counter(100, 100, 10_000, |_| 100.0);
    let truth = Curve::build(&info, &samples).unwrap().energy(window(2000, 9000)).unwrap();
    for sample in &mut samples {
        sample.value = sample.value.map(|value| value % range);
    }
    let wrapped = Curve::build(&info, &samples).unwrap().energy(window(2000, 9000)).unwrap();
    assert!((wrapped.joules.0 - truth.joules.0).abs() < 1e-6);

    let mut reset = counter(100, 100, 10_000, |_| 100.0);
    for sample in &mut reset[50..] {
        sample.value = sample.value.map(|value| value - 1500.0);
    }
    let info = sensor(Quantity::EnergyCounter, Some(0.1), 0.1);
    let curve = Curve::build(&info, &reset).unwrap();
    let refused = curve.energy(window(2000, 9000)).unwrap_err();
    assert_eq!(refused, NoEnergy::Reset { sensor: "gpu0".to_owned() });
    assert!(curve.energy(window(6000, 9000)).is_ok(), "after the reset it counts again");
    assert!(curve.energy(window(1000, 4000)).is_ok());
}

#[test]
fn a_drop_that_no_load_explains_is_a_reset_even_of_a_counter_that_wraps() {
    let info =
        SensorInfo { wrap_at: Some(262_143.0), ..sensor(Quantity::EnergyCounter, Some(0.1), 0.1) };
    let mut samples = counter(100, 100, 10_000, |_| 100.0);
    for sample in &mut samples[50..] {
        sample.value = sample.value.map(|value| value - 1500.0);
    }
    let refused = Curve::build(&info, &samples).unwrap().energy(window(2000, 9000)).unwrap_err();
    assert!(refused.to_string().contains("reset"));
}

#[test]
fn below_what_the_sensor_resolves_there_is_a_reason_and_no_number() {
    let samples = counter(100, 20, 5000, |_| 700.0);
    let info = sensor(Quantity::EnergyCounter, Some(0.1), 0.02);
    let curve = Curve::build(&info, &samples).unwrap();
    let refused = curve.energy(window(1010, 1060)).unwrap_err();
    assert!(matches!(refused, NoEnergy::TooShort { found: 0, .. }), "{refused}");
    assert!(refused.to_string().contains("too short for gpu0"));
    assert!((curve.share(window(1010, 1060)).unwrap().0 - 35.0).abs() < 1.0);
}

#[test]
fn a_stuck_counter_is_no_zero() {
    let samples = counter(100, 20, 5000, |_| 0.0);
    let info = sensor(Quantity::EnergyCounter, Some(0.1), 0.02);
    let curve = Curve::build(&info, &samples).unwrap();
    assert!(curve.energy(window(1000, 4000)).is_err());
}

#[test]
fn a_counter_survives_a_gap_inside_and_refuses_one_over_an_edge() {
    let mut samples = counter(100, 100, 20_000, |_| 100.0);
    samples.retain(|sample| {
        let ms = (sample.before_ns.0 - START) / MS;
        !(5000..9000).contains(&ms)
    });
    let info = sensor(Quantity::EnergyCounter, Some(0.1), 0.1);
    let curve = Curve::build(&info, &samples).unwrap();
    let across = curve.energy(window(2000, 15_000)).unwrap();
    assert!((across.joules.0 - 1300.0).abs() < 2.0, "{across:?}");
    let refused = curve.energy(window(7000, 15_000)).unwrap_err();
    assert!(matches!(refused, NoEnergy::Gap { .. }), "{refused}");
    assert!((curve.longest_gap(window(2000, 15_000)).0 - 4.1).abs() < 0.01);
}

#[test]
fn a_window_beyond_the_reads_is_refused_with_the_sensors_own_error() {
    let mut samples = counter(100, 100, 5000, |_| 100.0);
    samples.push(SampleRecord {
        value: None,
        error: Some("GPU is lost".to_owned()),
        ..sample(5100, 0.0)
    });
    let info = sensor(Quantity::EnergyCounter, Some(0.1), 0.1);
    let curve = Curve::build(&info, &samples).unwrap();
    let refused = curve.energy(window(2000, 8000)).unwrap_err().to_string();
    assert!(
        refused.contains("not read at the end") && refused.contains("GPU is lost"),
        "{refused}"
    );
    // A little more is continued, with the doubt it deserves.
    let sure = curve.energy(window(2000, 4950)).unwrap();
    let continued = curve.energy(window(2000, 5080)).unwrap();
    assert!((continued.joules.0 - 308.0).abs() < 1.0);
    assert!(continued.random.0 > sure.random.0);
}

#[test]
fn power_is_weighted_by_time_and_not_by_reads() {
    // Ten reads in the first second, then one a second: 200 W then 100 W.
    let info = sensor(Quantity::Power, None, 1.0);
    let mut samples: Vec<SampleRecord> = (0..=10).map(|i| sample(i * 100, 200.0)).collect();
    samples.extend((0..=9).map(|i| sample(1001 + i * 1000, 100.0)));
    let curve = Curve::build(&info, &samples).unwrap();
    let energy = curve.energy(window(0, 10_000)).unwrap();
    assert!((energy.joules.0 - 1100.0).abs() < 1.0, "{energy:?}");
}

#[test]
fn reading_a_slow_sensor_often_does_not_make_it_fast() {
    // Renewed every 100 ms and read every 10: the step at 1 s is seen up to 100 ms late.
    let info = sensor(Quantity::Power, Some(0.1), 0.01);
    let power = |ms: u64| if ms / 100 * 100 < 1050 { 100.0 } else { 700.0 };
    let samples: Vec<SampleRecord> = (0..300).map(|i| sample(i * 10, power(i * 10))).collect();
    let curve = Curve::build(&info, &samples).unwrap();
    let refused = curve.energy(window(1200, 1260)).unwrap_err();
    assert!(matches!(refused, NoEnergy::TooShort { found: 0, .. }), "{refused}");
    let steady = curve.energy(window(1500, 2500)).unwrap();
    let at_the_step = curve.energy(window(1050, 2500)).unwrap();
    assert!(steady.random.0 < 0.01, "{steady:?}");
    // The truth is 1.45 s at 700 W.
    assert!((at_the_step.joules.0 - 1015.0).abs() < 2.0 * at_the_step.random.0, "{at_the_step:?}");
}

#[test]
fn missing_reads_of_power_are_not_bridged() {
    let info = sensor(Quantity::Power, None, 0.1);
    let samples: Vec<SampleRecord> =
        (0..100).filter(|i| !(40..60).contains(i)).map(|i| sample(i * 100, 100.0)).collect();
    let curve = Curve::build(&info, &samples).unwrap();
    assert!(matches!(curve.energy(window(1000, 9000)), Err(NoEnergy::Gap { .. })));
    assert!(curve.energy(window(1000, 3500)).is_ok());
}

#[test]
fn no_good_read_is_no_energy() {
    let info = sensor(Quantity::Power, None, 1.0);
    let failed =
        SampleRecord { value: None, error: Some("no permission".to_owned()), ..sample(0, 0.0) };
    let refused = Curve::build(&info, [&failed]).unwrap_err().to_string();
    assert_eq!(refused, "gpu0 gave no reading (no permission)");
    assert!(Curve::build(&info, []).is_err());
    let heat = sensor(Quantity::Temperature, None, 1.0);
    assert!(matches!(Curve::build(&heat, [&failed]), Err(NoEnergy::NotEnergy { .. })));
}

#[test]
fn sums_add_random_parts_as_squares_and_bounds_as_they_are() {
    let one = Energy { joules: Joules(10.0), random: Joules(3.0), systematic: Some(Joules(1.0)) };
    let two = Energy { joules: Joules(5.0), random: Joules(4.0), systematic: Some(Joules(0.5)) };
    let sum = one.plus(two);
    assert_eq!(
        (sum.joules, sum.random, sum.systematic),
        (Joules(15.0), Joules(5.0), Some(Joules(1.5)))
    );
    assert_eq!(one.plus(Energy { systematic: None, ..two }).systematic, None);
}

proptest! {
    #[test]
    fn energies_of_adjacent_windows_add_up(
        cuts in proptest::collection::vec(1000_u64..19_000, 1..6),
        powers in proptest::collection::vec(20.0..700.0_f64, 20),
        counting: bool,
    ) {
        let power = |ms: u64| powers[(ms as usize / 1000).min(19)];
        let (info, samples) = if counting {
            (sensor(Quantity::EnergyCounter, Some(0.1), 0.03), counter(100, 30, 20_000, power))
        } else {
            let reads = (0..=200).map(|i| sample(i * 100, power(i * 100))).collect();
            (sensor(Quantity::Power, Some(0.1), 0.1), reads)
        };
        let curve = Curve::build(&info, &samples).unwrap();
        let mut cuts = cuts;
        cuts.extend([1000, 19_000]);
        cuts.sort_unstable();
        let parts: f64 = cuts
            .windows(2)
            .map(|pair| curve.share(window(pair[0], pair[1])).unwrap().0)
            .sum();
        let whole = curve.energy(window(1000, 19_000)).unwrap();
        prop_assert!((parts - whole.joules.0).abs() < 1e-6);
    }

    #[test]
    fn known_energy_lies_within_three_uncertainties(
        from in 1000_u64..5000, length in 500_u64..12_000,
        powers in proptest::collection::vec(50.0..700.0_f64, 20), update in 50_u64..120, poll in 5_u64..45,
    ) {
        let power = |ms: u64| powers[(ms as usize / 1000).min(19)];
        let truth: f64 = (from..from + length).map(|ms| power(ms) / 1000.0).sum();
        let samples = counter(update, poll, 20_000, power);
        let info = sensor(Quantity::EnergyCounter, Some(update as f64 / 1000.0), poll as f64 / 1000.0);
        let energy = Curve::build(&info, &samples).unwrap().energy(window(from, from + length)).unwrap();
        prop_assert!(
            (energy.joules.0 - truth).abs() <= 3.0 * energy.random.0 + 0.5,
            "{} against {truth} with {}", energy.joules.0, energy.random.0
        );
    }
}
