//! The sampler on a clock that only the test moves.

use ai_energy_benchmarks::meter::scripted::{ScriptedMeter, sensor};
use ai_energy_benchmarks::meter::{MeterError, Sampler};
use ai_energy_benchmarks::record::{Component, Quantity, SampleRecord, SensorInfo, Source};
use ai_energy_benchmarks::units::{Joules, Nanos, Seconds, Watts};
use ai_energy_benchmarks_testkit::meters::{Load, TestClock, failing, slow};
use proptest::prelude::*;

const MS: u64 = 1_000_000;

fn counter(period: f64) -> SensorInfo {
    sensor("gpu0.energy", Component::Gpu, Quantity::EnergyCounter, Seconds(period))
}

fn power(period: f64) -> SensorInfo {
    sensor("gpu0.power", Component::Gpu, Quantity::Power, Seconds(period))
}

/// What `run` does: sleep until due, poll; up to a time.
fn run_until(sampler: &mut Sampler, clock: &TestClock, end: Seconds) -> Vec<SampleRecord> {
    let end = Nanos(0).offset(end);
    let mut out = Vec::new();
    while sampler.next_due().max(clock.now()) < end {
        clock.advance_to(sampler.next_due());
        sampler.poll(|| clock.now(), &mut out);
    }
    clock.advance_to(end);
    out
}

fn times(samples: &[SampleRecord], sensor: u16) -> Vec<u64> {
    samples.iter().filter(|s| s.sensor == sensor).map(|s| s.before_ns.0 / MS).collect()
}

#[test]
fn each_sensor_keeps_its_own_cadence_beside_a_slow_one() {
    let clock = TestClock::default();
    let load = Load::constant(Watts(100.0));
    let slow_counter = slow(
        clock.clone(),
        Seconds(0.003),
        load.clone().counter(clock.clone(), Seconds(0.1), None),
    );
    let meter = ScriptedMeter::new()
        .with(counter(1.0), slow_counter)
        .with(power(0.05), load.watts(clock.clone()));
    let mut sampler = Sampler::new(vec![Box::new(meter)]);
    let samples = run_until(&mut sampler, &clock, Seconds(10.0));
    assert_eq!(times(&samples, 0).len(), 10);
    let expected: Vec<u64> = (0..200).map(|tick| tick * 50).collect();
    assert_eq!(times(&samples, 1), expected, "the slow counter delays no tick");
    let read = samples.iter().find(|s| s.sensor == 0).unwrap();
    assert_eq!(read.after_ns.since(read.before_ns), Seconds(0.003), "stamped on both sides");
}

#[test]
fn missed_ticks_are_skipped_and_the_grid_stays() {
    let clock = TestClock::default();
    let answers = Load::constant(Watts(1.0)).watts(clock.clone());
    let meter = ScriptedMeter::new().with(power(0.1), answers);
    let mut sampler = Sampler::new(vec![Box::new(meter)]);
    clock.advance(Seconds(0.1));
    let mut out = Vec::new();
    sampler.poll(|| clock.now(), &mut out);
    clock.advance(Seconds(0.77));
    sampler.poll(|| clock.now(), &mut out);
    assert_eq!(out.len(), 2, "one read for the many ticks missed");
    assert_eq!(sampler.next_due(), Nanos(900 * MS));
}

#[test]
fn an_edge_polls_a_slow_counter_until_it_changes() {
    let clock = TestClock::default();
    let answers = Load::constant(Watts(100.0)).counter(clock.clone(), Seconds(0.1), None);
    let meter = ScriptedMeter::new().with(counter(1.0), answers);
    let mut sampler = Sampler::new(vec![Box::new(meter)]);
    run_until(&mut sampler, &clock, Seconds(2.53));
    sampler.set_edge(true);
    assert!(sampler.edge_pending());
    let samples = run_until(&mut sampler, &clock, Seconds(2.9));
    assert!(!sampler.edge_pending());
    let at = times(&samples, 0);
    assert_eq!(at, [2530, 2545, 2560, 2575, 2590, 2605], "from the edge to the first change");
    assert!(samples[4].value < samples[5].value);
}

#[test]
fn an_edge_gives_up_on_a_counter_that_stands_still() {
    let clock = TestClock::default();
    let meter = ScriptedMeter::new().with_list(counter(1.0), [Ok(5.0)]);
    let mut sampler = Sampler::new(vec![Box::new(meter)]);
    run_until(&mut sampler, &clock, Seconds(0.5));
    sampler.set_edge(true);
    let samples = run_until(&mut sampler, &clock, Seconds(0.99));
    assert!(!sampler.edge_pending());
    let at = times(&samples, 0);
    assert_eq!((at[0], at[at.len() - 1]), (500, 800));
}

#[test]
fn an_edge_reads_a_fast_counter_and_a_counted_power_once() {
    let clock = TestClock::default();
    let load = Load::constant(Watts(10.0));
    let fast = SensorInfo { update_period_s: Some(Seconds(0.001)), ..counter(1.0) };
    let counted = SensorInfo { counted: true, ..power(1.0) };
    let meter = ScriptedMeter::new()
        .with(fast, load.clone().counter(clock.clone(), Seconds(0.001), None))
        .with(counted, load.clone().watts(clock.clone()))
        .with(power(1.0), load.watts(clock.clone()));
    let mut sampler = Sampler::new(vec![Box::new(meter)]);
    run_until(&mut sampler, &clock, Seconds(0.4));
    sampler.set_edge(true);
    let samples = run_until(&mut sampler, &clock, Seconds(0.9));
    let read: Vec<u16> = samples.iter().map(|sample| sample.sensor).collect();
    assert_eq!(read, [0, 1]);
    assert_eq!(sampler.next_due(), Nanos(1000 * MS), "the cadence is untouched");
}

#[test]
fn a_failing_sensor_is_recorded_with_the_reason_and_tried_less_and_less_often() {
    let clock = TestClock::default();
    let answers = failing(clock.clone(), Load::constant(Watts(1.0)).watts(clock.clone()), |now| {
        (Nanos(2000 * MS)..Nanos(12_000 * MS)).contains(&now)
    });
    let meter = ScriptedMeter::new().with(power(1.0), answers);
    let mut sampler = Sampler::new(vec![Box::new(meter)]);
    let samples = run_until(&mut sampler, &clock, Seconds(20.0));
    let failed: Vec<&SampleRecord> = samples.iter().filter(|s| s.value.is_none()).collect();
    assert!(failed.iter().all(|s| s.error.as_deref() == Some("sensor is away")));
    let at: Vec<u64> = failed.iter().map(|s| s.before_ns.0 / MS).collect();
    assert_eq!(at, [2000, 4000, 8000]);
    assert_eq!(times(&samples, 0), [0, 1000, 2000, 4000, 8000, 16_000, 17_000, 18_000, 19_000]);
}

#[test]
fn a_value_that_is_no_number_is_a_failed_read() {
    let clock = TestClock::default();
    let meter = ScriptedMeter::new().with_list(power(1.0), [Ok(f64::NAN)]);
    let mut sampler = Sampler::new(vec![Box::new(meter)]);
    let samples = run_until(&mut sampler, &clock, Seconds(0.5));
    assert_eq!(samples[0].value, None);
    assert!(samples[0].error.is_some());
}

#[test]
fn the_live_figures_are_watts_now_and_joules_since_the_mark() {
    let clock = TestClock::default();
    let load = Load::constant(Watts(50.0)).then(Nanos(5000 * MS), Watts(200.0));
    let ram = SensorInfo {
        counted: true,
        source: Source::Modelled,
        ..sensor("ram.model", Component::Ram, Quantity::Power, Seconds(1.0))
    };
    let wrapping = SensorInfo { wrap_at: Some(300.0), ..counter(1.0) };
    let meter = ScriptedMeter::new()
        .with(wrapping, load.clone().counter(clock.clone(), Seconds(0.1), Some(300.0)))
        .with(power(0.05), load.watts(clock.clone()))
        .with_list(ram, [Ok(20.0)]);
    let mut sampler = Sampler::new(vec![Box::new(meter)]);
    assert_eq!(sampler.live()[0].watts, None, "nothing has been read yet");
    run_until(&mut sampler, &clock, Seconds(4.01));
    sampler.mark();
    run_until(&mut sampler, &clock, Seconds(8.01));
    let live = sampler.live();
    assert_eq!(live.len(), 2);
    assert_eq!((live[0].component, live[0].watts), (Component::Gpu, Some(Watts(200.0))));
    let joules = live[0].joules.unwrap();
    assert!((joules - Joules(650.0)).value().abs() < 1e-6, "wraps included: {joules}");
    assert_eq!((live[1].source, live[1].joules), (Source::Modelled, Some(Joules(80.0))));
}

#[test]
fn without_sensors_nothing_is_ever_due() {
    let mut sampler = Sampler::new(Vec::new());
    assert_eq!(sampler.next_due(), Nanos(u64::MAX));
    let mut out = Vec::new();
    sampler.poll(|| Nanos(5), &mut out);
    assert!(out.is_empty() && sampler.live().is_empty() && !sampler.edge_pending());
}

proptest! {
    #[test]
    fn whatever_the_delays_reads_stay_on_the_grid_and_no_two_share_a_tick(
        period_ms in 1_u64..500, costs in prop::collection::vec(0_u64..800, 1..80)
    ) {
        let clock = TestClock::default();
        clock.advance(Seconds(1.0));
        let ticking = clock.clone();
        let mut costs = costs.into_iter();
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let seconds = |ms: u64| Seconds(ms as f64 / 1e3);
        let answers = Box::new(move || {
            let cost = costs.next().ok_or_else(|| MeterError::new("over"))?;
            ticking.advance(seconds(cost));
            Ok(1.0)
        });
        let meter = ScriptedMeter::new().with(power(seconds(period_ms).value()), answers);
        let mut sampler = Sampler::new(vec![Box::new(meter)]);
        let samples = run_until(&mut sampler, &clock, Seconds(4.0));
        let good: Vec<u64> =
            samples.iter().take_while(|s| s.value.is_some()).map(|s| s.before_ns.0).collect();
        for pair in good.windows(2) {
            prop_assert!(pair[1] > pair[0]);
            prop_assert_eq!((pair[1] - good[0]) % (period_ms * MS), 0, "drifted");
        }
    }
}
