//! When requests leave. A load is asked what to do and tells times; it never sleeps and knows no clock.

mod arrivals;
mod closed;
mod ramp;
mod stages;

use crate::config::component::load::LoadConfig;
use crate::config::component::scenario::ScenarioConfig;
use crate::units::Seconds;

/// When the requests of one phase leave.
pub trait Load: Send {
    /// What happens next, asked at a time after the begin of the phase, with so many requests in flight. After
    /// [`Step::Leave`] one more is in flight.
    fn step(&mut self, now: Seconds, in_flight: usize) -> Step;
}

/// The load that sends nothing.
#[derive(Debug, Clone, Copy)]
pub struct Nothing;

impl Load for Nothing {
    fn step(&mut self, _: Seconds, _: usize) -> Step {
        Step::Over
    }
}

/// What a load wants. Times are seconds after the begin of the phase.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// A request leaves now.
    Leave {
        /// When it should have: now in a closed loop; the time of its arrival, now or earlier, in an open one.
        due: Seconds,
    },
    /// The next request arrives at this time.
    Wait {
        /// When, later than now.
        until: Seconds,
    },
    /// A request would leave, but as many are in flight as may be: it does when one has ended, or perhaps at a time.
    Full {
        /// When it arrived; nothing in a closed loop, where it leaves when it may.
        due: Option<Seconds>,
        /// When more may be in flight.
        until: Option<Seconds>,
    },
    /// No further request.
    Over,
}

impl Step {
    /// The same, its times being after this one.
    #[must_use]
    pub(crate) fn after(self, begin: Seconds) -> Self {
        match self {
            Self::Leave { due } => Self::Leave { due: begin + due },
            Self::Wait { until } => Self::Wait { until: begin + until },
            Self::Full { due, until } => Self::Full {
                due: due.map(|due| begin + due),
                until: until.map(|until| begin + until),
            },
            Self::Over => Self::Over,
        }
    }
}

/// Which arrivals are drawn from a seed: warm-up, every repetition and every stage has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Draw {
    /// Those of the warm-up.
    Warmup,
    /// Those of a repetition of the measurement.
    Measure(u32),
    /// Already mixed.
    Mixed(u64),
}

impl Draw {
    fn salt(self) -> u64 {
        match self {
            Self::Warmup => 0x5741_524d_5550,
            Self::Measure(repetition) => u64::from(repetition).wrapping_mul(0x9E37_79B9_7F4A_7C15),
            Self::Mixed(salt) => salt,
        }
    }

    fn seed(self, seed: u64) -> u64 {
        seed ^ self.salt()
    }

    /// That of a stage.
    fn part(self, number: u64) -> Self {
        Self::Mixed(self.salt() ^ number.wrapping_mul(0xD1B5_4A32_D192_ED03))
    }
}

/// A load by name.
#[derive(Clone, Copy)]
pub struct LoadEntry {
    /// The value of `scenario.load.type`.
    pub kind: &'static str,
    /// One line for help texts.
    pub summary: &'static str,
    /// Opens it for a phase; nothing where the config is of another kind, or was not let pass by `config::check`.
    pub open: fn(&LoadConfig, Draw) -> Option<Box<dyn Load>>,
}

/// The loads there are.
#[must_use]
pub fn entries() -> Vec<LoadEntry> {
    vec![
        closed::CONCURRENCY,
        arrivals::CONSTANT,
        arrivals::GAMMA,
        arrivals::POISSON,
        closed::SEQUENTIAL,
        stages::ENTRY,
        closed::THROUGHPUT,
    ]
}

/// The load of a config, at its begin. Nothing only for settings that `config::check` refuses.
#[must_use]
pub fn open(config: &LoadConfig, draw: Draw) -> Option<Box<dyn Load>> {
    entries().iter().find_map(|entry| (entry.open)(config, draw))
}

/// The load of a scenario: a batch is run as so many requests in flight.
#[must_use]
pub fn of_scenario(scenario: &ScenarioConfig) -> LoadConfig {
    match (&scenario.load, scenario.batch_size()) {
        (LoadConfig::Sequential, Some(size)) => LoadConfig::concurrency(size),
        (load, _) => load.clone(),
    }
}

/// Requests of a round: as many as are in flight, of a rate those of about a second. `all` where every request leaves at once.
#[must_use]
pub fn round(load: &LoadConfig, all: u64) -> u64 {
    let round = match load {
        LoadConfig::Sequential => 1,
        LoadConfig::Concurrency { concurrency, .. } => u64::from(*concurrency),
        LoadConfig::Throughput { max_concurrency } => max_concurrency.map_or(all, u64::from),
        LoadConfig::Constant { rate, .. }
        | LoadConfig::Poisson { rate, .. }
        | LoadConfig::Gamma { rate, .. } => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a rate is above 0 and at most a million; others saturate"
            )]
            let second = rate.ceil() as u64;
            load.max_concurrency().map_or(second, |limit| second.min(u64::from(limit)))
        }
        LoadConfig::Stages { stages } => {
            stages.iter().map(|stage| round(&stage.load, all)).max().unwrap_or(1)
        }
    };
    round.max(1)
}

/// What warm-up sends by: the same load as after its ramp; of stages the first.
#[must_use]
pub fn for_warmup(load: &LoadConfig) -> LoadConfig {
    match load {
        LoadConfig::Stages { stages } => {
            stages.first().map_or(LoadConfig::Sequential, |stage| stage.load.without_ramp())
        }
        other => other.without_ramp(),
    }
}

/// How many requests are due before a time, however many are in flight. Only for loads whose requests arrive at times of
/// their own: `None` for others.
#[must_use]
pub fn arrivals_before(config: &LoadConfig, draw: Draw, end: Seconds) -> Option<u64> {
    config.rate()?;
    let mut load = open(config, draw)?;
    let mut count = 0;
    while let Step::Leave { due } = load.step(end, 0) {
        if due >= end {
            break;
        }
        count += 1;
    }
    Some(count)
}

/// How many requests are certain to leave in stages: those of stages by number, and arrivals of stages by time.
#[must_use]
pub fn certain_of_stages(config: &LoadConfig, draw: Draw) -> u64 {
    let LoadConfig::Stages { stages } = config else { return 0 };
    let certain = stages.iter().zip(0..).map(|(stage, number)| match stage.duration_s {
        None => stage.requests.unwrap_or(0),
        Some(time) => arrivals_before(&stage.load, draw.part(number), Seconds(time)).unwrap_or(1),
    });
    certain.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_sorted_documented_and_the_kinds_of_the_config() {
        let entries = entries();
        let kinds: Vec<&str> = entries.iter().map(|entry| entry.kind).collect();
        assert_eq!(kinds, LoadConfig::KINDS);
        assert!(kinds.is_sorted());
        assert!(entries.iter().all(|entry| !entry.summary.is_empty()));
    }

    #[test]
    fn arrivals_are_counted_as_they_will_be_sent() {
        let config = LoadConfig::Constant { rate: 200.0, max_concurrency: Some(1), ramp: None };
        assert_eq!(arrivals_before(&config, Draw::Measure(0), Seconds(30.0)), Some(6_000));
        assert_eq!(arrivals_before(&LoadConfig::Sequential, Draw::Measure(0), Seconds(1.0)), None);
    }

    #[test]
    fn a_round_is_a_full_load() {
        let poisson = |max_concurrency| LoadConfig::Poisson {
            rate: 2.5,
            max_concurrency,
            ramp: None,
            seed: 1,
        };
        assert_eq!(round(&LoadConfig::Sequential, 9), 1);
        assert_eq!(round(&LoadConfig::concurrency(8), 9), 8);
        assert_eq!(round(&poisson(None), 9), 3);
        assert_eq!(round(&poisson(Some(2)), 9), 2);
        assert_eq!(round(&LoadConfig::Throughput { max_concurrency: None }, 9), 9);
    }
}
