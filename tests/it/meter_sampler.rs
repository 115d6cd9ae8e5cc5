//! The sampler on a clock that only the test moves.

use ai_energy_benchmarks::meter::scripted::{ScriptedMeter, sensor};
use ai_energy_benchmarks::meter::{MeterError, Sampler};
use ai_energy_benchmarks::record::{Component, Event, Quantity, SampleRecord, SensorInfo, Source};
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
        .with(SensorInfo { update_period_s: None, ..counter(1.0) }, slow_counter)
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

/// A counter of an H100: it steps every 100 ms on a grid of its own, and a read takes 3 ms.
fn h100(clock: &TestClock, load: Load) -> ScriptedMeter {
    let answers = load.counter(clock.clone(), Seconds(0.1), None);
    ScriptedMeter::new().with(counter(2.0), slow(clock.clone(), Seconds(0.003), answers))
}

/// Spans between neighbouring reads of which the later shows a new value: (old read began, new read ended).
fn catches(samples: &[SampleRecord]) -> Vec<(Nanos, Nanos)> {
    let changed = |pair: &&[SampleRecord]| pair[0].value != pair[1].value;
    let spans = samples.windows(2).filter(changed);
    spans.map(|pair| (pair[0].before_ns, pair[1].after_ns)).collect()
}

/// Those of them that are no longer than 17 ms: a poll and the reads on both sides of it.
fn close_catches(samples: &[SampleRecord]) -> Vec<u64> {
    let close = |(old, new): &(Nanos, Nanos)| new.since(*old) <= Seconds(0.017);
    catches(samples).iter().filter(|span| close(span)).map(|(_, new)| new.0 / MS).collect()
}

#[test]
fn the_grid_of_a_counter_is_learned_and_its_period_told() {
    let clock = TestClock::default();
    clock.advance(Seconds(3.037));
    let mut sampler = Sampler::new(vec![Box::new(h100(&clock, Load::constant(Watts(300.0))))]);
    sampler.set_edge(true);
    let samples = run_until(&mut sampler, &clock, Seconds(23.0));
    let last = sampler.take_events().pop().unwrap();
    let Event::UpdatePeriod { sensor, period_s, uncertainty_s } = last else { panic!("{last:?}") };
    assert_eq!(sensor, "gpu0.energy");
    assert!((period_s.0 - 0.1).abs() <= uncertainty_s.0, "{period_s} +- {uncertainty_s}");
    assert!(uncertainty_s < Seconds(0.001), "{uncertainty_s}");
    assert!(samples.len() < 70, "{} reads", samples.len());
}

#[test]
fn after_an_edge_changes_are_seen_by_as_many_looks() {
    let clock = TestClock::default();
    clock.advance(Seconds(3.037));
    let mut sampler = Sampler::new(vec![Box::new(h100(&clock, Load::constant(Watts(300.0))))]);
    sampler.set_edge(true);
    run_until(&mut sampler, &clock, Seconds(30.0));
    for edge in [30.013, 35.55, 41.092] {
        let quiet = run_until(&mut sampler, &clock, Seconds(edge));
        sampler.set_edge(true);
        assert!(sampler.edge_pending());
        let samples = run_until(&mut sampler, &clock, Seconds(edge + 0.36));
        assert!(!sampler.edge_pending());
        assert_eq!(samples[0].before_ns.0 / MS, Nanos(0).offset(Seconds(edge)).0 / MS, "at once");
        let seen = catches(&samples);
        assert!((2..=3).contains(&seen.len()), "{edge}: {seen:?}");
        // The counter steps at whole tenths of a second.
        let late = |read: &SampleRecord| read.before_ns.0 / MS % 100;
        assert!(samples[1..].iter().all(|read| (8..60).contains(&late(read))), "{samples:?}");
        // One more where the first may have been before or after a step.
        assert!(samples.len() <= 5, "{edge}: {} reads", samples.len());
        assert!(quiet.len() < 15, "{} reads in between", quiet.len());
    }
}

#[test]
fn a_minute_with_twelve_edges_costs_less_than_a_hundredth_of_a_core() {
    const COUNTER_READ: f64 = 0.0042;
    const POWER_READ: f64 = 0.000_07;
    let clock = TestClock::default();
    clock.advance(Seconds(1.0));
    let load = Load::constant(Watts(90.0)).then(Nanos(13_000 * MS), Watts(690.0));
    let meter = h100(&clock, load.clone()).with(
        SensorInfo { update_period_s: Some(Seconds(0.1)), ..power(0.05) },
        load.watts(clock.clone()),
    );
    let mut sampler = Sampler::new(vec![Box::new(meter)]);
    let mut samples = Vec::new();
    let measured = (0..4).map(|edge| 13.03 + 9.87 * f64::from(edge));
    for edge in [1.0, 3.75, 4.0, 8.5].into_iter().chain(measured).chain([54.0, 56.0, 57.75, 58.0]) {
        samples.extend(run_until(&mut sampler, &clock, Seconds(edge)));
        sampler.set_edge(true);
    }
    samples.extend(run_until(&mut sampler, &clock, Seconds(61.0)));
    let of = |sensor| f64::from(u32::try_from(times(&samples, sensor).len()).unwrap());
    let spent = of(0) * COUNTER_READ + of(1) * POWER_READ;
    assert!(spent < 0.6, "{spent} s: {} counter reads, {} power reads", of(0), of(1));
    assert!(of(1) >= 1200.0, "20 Hz at least: {}", of(1));
    let gaps = times(&samples, 0);
    assert!(gaps.windows(2).all(|pair| pair[1] - pair[0] <= 2150), "every other second at least");
}

#[test]
fn fine_mode_catches_every_change() {
    let clock = TestClock::default();
    clock.advance(Seconds(2.02));
    let meter = h100(&clock, Load::constant(Watts(300.0)));
    let mut sampler = Sampler::with(vec![Box::new(meter)], true);
    run_until(&mut sampler, &clock, Seconds(5.05));
    let samples = run_until(&mut sampler, &clock, Seconds(15.05));
    let caught = close_catches(&samples);
    assert_eq!(caught.len(), 100, "{caught:?}");
}

#[test]
fn a_counter_that_stands_still_is_not_polled_for_ever() {
    let clock = TestClock::default();
    let meter = ScriptedMeter::new().with_list(counter(2.0), [Ok(5.0)]);
    let mut sampler = Sampler::new(vec![Box::new(meter)]);
    run_until(&mut sampler, &clock, Seconds(2.5));
    sampler.set_edge(true);
    let samples = run_until(&mut sampler, &clock, Seconds(12.0));
    assert!(!sampler.edge_pending());
    let at = times(&samples, 0);
    let polled = at.iter().take_while(|ms| **ms <= 2810).count();
    assert_eq!(at[0], 2500);
    assert!((28..35).contains(&polled), "{at:?}");
    assert!(at.len() - polled <= 6, "{at:?}");
}

#[test]
fn counters_of_any_period_and_irregular_ones_are_caught() {
    let clock = TestClock::default();
    for (update, least) in [(0.02, 0), (0.05, 2), (0.1, 2), (0.25, 1), (1.0, 0)] {
        clock.advance(Seconds(7.0));
        let start = clock.now().since(Nanos(0));
        let answers = Load::constant(Watts(100.0)).counter(clock.clone(), Seconds(update), None);
        let meter =
            ScriptedMeter::new().with(counter(2.0), slow(clock.clone(), Seconds(0.003), answers));
        let mut sampler = Sampler::new(vec![Box::new(meter)]);
        sampler.set_edge(true);
        run_until(&mut sampler, &clock, start + Seconds(20.013));
        sampler.set_edge(true);
        let samples = run_until(&mut sampler, &clock, start + Seconds(20.7));
        assert!(catches(&samples).len() >= least, "{update}: {samples:?}");
        let minute = run_until(&mut sampler, &clock, start + Seconds(80.0));
        assert!(minute.len() < 120, "{update}: {} reads a minute", minute.len());
    }
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
    let wrapping = SensorInfo { wrap_at: Some(300.0), update_period_s: None, ..counter(1.0) };
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
