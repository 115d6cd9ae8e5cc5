//! Simulated sensors with known truth: a power signal whose integral is exact, and sensors with the faults of real ones.

use std::sync::{Arc, Mutex, PoisonError};

use ai_energy_benchmarks::meter::MeterError;
use ai_energy_benchmarks::meter::scripted::Answers;
use ai_energy_benchmarks::units::{Joules, Nanos, Seconds, Watts};

use crate::meters::TestClock;

/// Numbers that look random and are the same every time (splitmix64).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Evenly between 0 and 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits")]
    pub fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Evenly between two numbers.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.roll()
    }
}

/// Power in steps, with the exact energy up to any moment.
#[derive(Debug, Clone)]
pub struct Signal {
    /// (from when, watts, joules until then), in order of time.
    steps: Arc<Vec<(Nanos, f64, f64)>>,
}

impl Signal {
    /// Bursts and pauses of random lengths between `shortest` and `longest`, of random power between 60 and 700 W.
    #[must_use]
    pub fn random(dice: &mut Dice, length: Seconds, shortest: Seconds, longest: Seconds) -> Self {
        let mut steps = vec![(Nanos(0), 60.0, 0.0)];
        let mut at = Nanos(0);
        while at.since(Nanos(0)) < length {
            let next = at.offset(Seconds(dice.between(shortest.0, longest.0)));
            let (_, watts, joules) = steps[steps.len() - 1];
            steps.push((next, dice.between(60.0, 700.0), joules + watts * next.since(at).0));
            at = next;
        }
        Self { steps: Arc::new(steps) }
    }

    /// The true power.
    #[must_use]
    pub fn power(&self, at: Nanos) -> Watts {
        Watts(self.step(at).1)
    }

    /// The true energy from the beginning.
    #[must_use]
    pub fn energy(&self, to: Nanos) -> Joules {
        let (from, watts, joules) = self.step(to);
        Joules(joules + watts * to.since(from).0)
    }

    fn step(&self, at: Nanos) -> (Nanos, f64, f64) {
        let next = self.steps.partition_point(|(from, _, _)| *from <= at);
        self.steps[next.saturating_sub(1)]
    }
}

/// How a counter behaves.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// It steps every so often,
    pub update: Seconds,
    /// beginning then.
    pub phase: Seconds,
    /// A step comes late by up to so much.
    pub jitter: Seconds,
    /// Shortest and longest time that a read takes; the value is taken somewhere within.
    pub cost: (Seconds, Seconds),
    /// It starts again at so many joules.
    pub wrap_at: Option<f64>,
    /// It starts again from zero then.
    pub reset_at: Option<Nanos>,
    /// Share of reads that fail.
    pub missing: f64,
    /// Its value comes in steps of so many joules.
    pub resolution: f64,
}

impl Default for Behaviour {
    /// The counter of an H100, as measured.
    fn default() -> Self {
        Self {
            update: Seconds(0.1),
            phase: Seconds(0.055),
            jitter: Seconds(0.001),
            cost: (Seconds(0.0028), Seconds(0.0033)),
            wrap_at: None,
            reset_at: None,
            missing: 0.0,
            resolution: 0.001,
        }
    }
}

impl Behaviour {
    /// The moment of the last step at a time. Each step is late by an amount of its own.
    fn last_step(&self, at: Nanos) -> Nanos {
        let tick = |steps: f64| {
            let late = Dice::new(steps.to_bits()).roll() * self.jitter.0;
            Nanos(0).offset(Seconds(self.phase.0 + steps * self.update.0 + late))
        };
        let steps = ((at.since(Nanos(0)).0 - self.phase.0) / self.update.0).floor();
        if tick(steps) <= at { tick(steps) } else { tick(steps - 1.0) }
    }

    /// What it shows at a moment.
    #[must_use]
    pub fn shown(&self, signal: &Signal, at: Nanos) -> f64 {
        let step = self.last_step(at);
        let origin = self.reset_at.filter(|reset| *reset <= step);
        let joules = signal.energy(step) - origin.map_or(Joules::ZERO, |from| signal.energy(from));
        let stepped = (joules.value() / self.resolution).floor() * self.resolution;
        self.wrap_at.map_or(stepped, |range| stepped % range)
    }

    /// Its answers on a clock, which each read moves on.
    #[must_use]
    pub fn counter(self, signal: Signal, clock: TestClock, seed: u64) -> Answers {
        let mut dice = Dice::new(seed);
        Box::new(move || {
            let cost = dice.between(self.cost.0.0, self.cost.1.0);
            let share = dice.roll();
            clock.advance(Seconds(cost * share));
            let shown = self.shown(&signal, clock.now());
            clock.advance(Seconds(cost * (1.0 - share)));
            if dice.roll() < self.missing {
                return Err(MeterError::new("no answer"));
            }
            Ok(shown)
        })
    }
}

/// Power renewed every so often without lag, as NVML's instantaneous field is: renewed by a read that finds the last
/// value old enough.
#[must_use]
pub fn instant(signal: Signal, clock: TestClock, update: Seconds) -> Answers {
    let last: Mutex<Option<(Nanos, f64)>> = Mutex::new(None);
    Box::new(move || {
        clock.advance(Seconds(0.000_05));
        let now = clock.now();
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        match *last {
            Some((at, value)) if now.since(at) < update => Ok(value),
            _ => {
                let value = signal.power(now).value();
                *last = Some((now, value));
                Ok(value)
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_energy_is_the_integral_of_the_power() {
        let signal = Signal::random(&mut Dice::new(1), Seconds(20.0), Seconds(0.05), Seconds(0.5));
        let sum: f64 = (0..20_000)
            .map(|ms| signal.power(Nanos(ms * 1_000_000 + 500_000)).value() * 1e-3)
            .sum();
        let exact = signal.energy(Nanos(20_000_000_000)).value();
        assert!((sum / exact - 1.0).abs() < 0.002, "{sum} {exact}");
    }

    #[test]
    fn a_counter_shows_the_energy_of_its_last_step() {
        let signal = Signal::random(&mut Dice::new(2), Seconds(20.0), Seconds(0.05), Seconds(0.5));
        let counter = Behaviour { jitter: Seconds(0.0), ..Behaviour::default() };
        let shown = counter.shown(&signal, Nanos(10_100_000_000));
        assert!((shown - signal.energy(Nanos(10_055_000_000)).value()).abs() <= 0.0011);
    }
}
