//! Sensors of known truth on a clock that only tests move.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ai_energy_benchmarks::meter::MeterError;
use ai_energy_benchmarks::meter::scripted::Answers;
use ai_energy_benchmarks::units::{Joules, Nanos, Seconds, Watts};

/// A clock that stands still until it is moved. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct TestClock(Arc<AtomicU64>);

impl TestClock {
    /// The present.
    #[must_use]
    pub fn now(&self) -> Nanos {
        Nanos(self.0.load(Ordering::SeqCst))
    }

    /// Moves it on.
    pub fn advance(&self, by: Seconds) {
        self.0.fetch_add(Nanos(0).offset(by).0, Ordering::SeqCst);
    }

    /// Moves it to a point that is not in its past.
    pub fn advance_to(&self, to: Nanos) {
        self.0.fetch_max(to.0, Ordering::SeqCst);
    }
}

/// Power over time, constant between steps.
#[derive(Debug, Clone)]
pub struct Load {
    /// (from when, how much), in order of time; the first from the beginning.
    steps: Vec<(Nanos, Watts)>,
}

impl Load {
    /// The same power at all times.
    #[must_use]
    pub fn constant(power: Watts) -> Self {
        Self { steps: vec![(Nanos(0), power)] }
    }

    /// Then another power from a point on.
    #[must_use]
    pub fn then(mut self, from: Nanos, power: Watts) -> Self {
        self.steps.push((from, power));
        self
    }

    /// The true power.
    #[must_use]
    pub fn power(&self, at: Nanos) -> Watts {
        let step = self.steps.iter().rev().find(|(from, _)| *from <= at);
        step.map_or(Watts::ZERO, |(_, power)| *power)
    }

    /// The true energy from the beginning to a point.
    #[must_use]
    pub fn energy(&self, to: Nanos) -> Joules {
        let ends = self.steps.iter().skip(1).map(|(from, _)| *from).chain([Nanos(u64::MAX)]);
        let parts = self.steps.iter().zip(ends);
        parts.map(|((from, power), end)| *power * end.min(to).since(*from)).sum()
    }

    /// Answers of an energy counter that steps every `update` and starts again at `wrap_at` joules.
    #[must_use]
    pub fn counter(self, clock: TestClock, update: Seconds, wrap_at: Option<f64>) -> Answers {
        let step = Nanos(0).offset(update).0.max(1);
        Box::new(move || {
            let stepped = Nanos(clock.now().0 / step * step);
            let energy = self.energy(stepped).value();
            Ok(wrap_at.map_or(energy, |range| energy % range))
        })
    }

    /// Answers of a power sensor without lag.
    #[must_use]
    pub fn watts(self, clock: TestClock) -> Answers {
        Box::new(move || Ok(self.power(clock.now()).value()))
    }
}

/// The same answers, each taking a time to give.
#[must_use]
pub fn slow(clock: TestClock, cost: Seconds, mut answers: Answers) -> Answers {
    Box::new(move || {
        clock.advance(cost);
        answers()
    })
}

/// The same answers, failing while a predicate of the time holds.
#[must_use]
pub fn failing(
    clock: TestClock,
    mut answers: Answers,
    broken: impl Fn(Nanos) -> bool + Send + 'static,
) -> Answers {
    Box::new(
        move || {
            if broken(clock.now()) { Err(MeterError::new("sensor is away")) } else { answers() }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_truth_is_the_integral_of_the_steps() {
        let load = Load::constant(Watts(10.0)).then(Nanos(2_000_000_000), Watts(100.0));
        assert_eq!(load.energy(Nanos(1_000_000_000)), Joules(10.0));
        assert_eq!(load.energy(Nanos(3_000_000_000)), Joules(120.0));
        assert_eq!(load.power(Nanos(2_000_000_000)), Watts(100.0));
    }
}
