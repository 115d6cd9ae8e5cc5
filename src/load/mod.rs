//! When requests leave. A load is asked what to do and tells times; it never sleeps and knows no clock.

mod arrivals;
mod closed;
mod concurrency;
mod constant;
mod gamma;
mod poisson;
mod ramp;
mod sequential;
mod stages;
pub mod think;
mod throughput;
mod trace;

use std::sync::Arc;

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
    pub open: fn(&LoadConfig, &Opening<'_>) -> Option<Box<dyn Load>>,
    /// Requests of a round, as [`Loads::round`] tells.
    pub round: fn(&LoadConfig, &Loads, u64) -> u64,
}

/// What a load is opened with.
#[derive(Clone, Copy)]
pub struct Opening<'a> {
    /// Which arrivals are drawn.
    pub draw: Draw,
    /// For loads that consist of others.
    pub loads: &'a Loads,
}

/// The loads of this crate.
#[must_use]
pub fn entries() -> Vec<LoadEntry> {
    vec![
        concurrency::ENTRY,
        constant::ENTRY,
        gamma::ENTRY,
        poisson::ENTRY,
        sequential::ENTRY,
        stages::ENTRY,
        throughput::ENTRY,
        trace::ENTRY,
    ]
}

/// The loads that can be opened.
#[derive(Clone)]
pub struct Loads {
    entries: Vec<LoadEntry>,
    /// When the requests of the trace arrive, where there is one.
    trace: Arc<[Seconds]>,
}

impl Default for Loads {
    /// Those of this crate.
    fn default() -> Self {
        Self::new(entries())
    }
}

impl Loads {
    /// These.
    #[must_use]
    pub fn new(entries: Vec<LoadEntry>) -> Self {
        Self { entries, trace: Arc::default() }
    }

    /// With a trace whose requests arrive at these times, in order.
    #[must_use]
    pub fn with_trace(self, arrivals: Vec<Seconds>) -> Self {
        Self { trace: arrivals.into(), ..self }
    }

    /// When the requests of the trace arrive; never, where there is none.
    #[must_use]
    pub fn trace(&self) -> Arc<[Seconds]> {
        Arc::clone(&self.trace)
    }

    fn entry(&self, config: &LoadConfig) -> Option<&LoadEntry> {
        self.entries.iter().find(|entry| entry.kind == config.kind())
    }

    /// The kinds that a config asks for and that there are not.
    #[must_use]
    pub fn missing(&self, config: &LoadConfig) -> Vec<&'static str> {
        let parts = match config {
            LoadConfig::Stages { stages } => stages.as_slice(),
            _ => &[],
        };
        let kinds = std::iter::once(config).chain(parts.iter().map(|stage| &stage.load));
        kinds.filter(|load| self.entry(load).is_none()).map(LoadConfig::kind).collect()
    }

    /// The load of a config, at its begin. Nothing only where there is none of this kind, and for settings that `config::check`
    /// refuses.
    #[must_use]
    pub fn open(&self, config: &LoadConfig, draw: Draw) -> Option<Box<dyn Load>> {
        (self.entry(config)?.open)(config, &Opening { draw, loads: self })
    }

    /// Requests of a round: as many as are in flight, of a rate those of about a second. `all` where every request leaves at
    /// once.
    #[must_use]
    pub fn round(&self, config: &LoadConfig, all: u64) -> u64 {
        self.entry(config).map_or(1, |entry| (entry.round)(config, self, all)).max(1)
    }

    /// How many requests are due before a time, however many are in flight. Only for loads whose requests arrive at times of
    /// their own: `None` for others.
    #[must_use]
    pub fn arrivals_before(&self, config: &LoadConfig, draw: Draw, end: Seconds) -> Option<u64> {
        let mut load = self.open(config, draw).filter(|_| config.is_open())?;
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
    pub fn certain_of_stages(&self, config: &LoadConfig, draw: Draw) -> u64 {
        let LoadConfig::Stages { stages } = config else { return 0 };
        let certain = stages.iter().zip(0..).map(|(stage, number)| match stage.duration_s {
            None => stage.requests.unwrap_or(0),
            Some(time) => {
                let draw = draw.part(number);
                self.arrivals_before(&stage.load, draw, Seconds(time)).unwrap_or(1)
            }
        });
        certain.sum()
    }
}

/// The load of a scenario: a batch is run as so many requests in flight.
#[must_use]
pub fn of_scenario(scenario: &ScenarioConfig) -> LoadConfig {
    match (&scenario.load, scenario.batch_size()) {
        (LoadConfig::Sequential, Some(size)) => LoadConfig::concurrency(size),
        (load, _) => load.clone(),
    }
}

/// What warm-up sends by: the same load as after its ramp; of stages the first, of a trace its requests one after the other.
#[must_use]
pub fn for_warmup(load: &LoadConfig) -> LoadConfig {
    match load {
        LoadConfig::Stages { stages } => {
            stages.first().map_or(LoadConfig::Sequential, |stage| stage.load.without_ramp())
        }
        LoadConfig::Trace { .. } => LoadConfig::Sequential,
        other => other.without_ramp(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::component::load::Stage;

    #[test]
    fn a_load_that_is_not_in_the_list_is_named_in_stages_too() {
        let stage = |load| Stage { load, duration_s: None, requests: Some(1) };
        let stages = vec![stage(LoadConfig::Sequential), stage(LoadConfig::concurrency(2))];
        let config = LoadConfig::Stages { stages };
        let loads = Loads::new(vec![stages::ENTRY, sequential::ENTRY]);
        assert_eq!(loads.missing(&config), ["concurrency"]);
        assert!(Loads::default().missing(&config).is_empty());
    }

    #[test]
    fn arrivals_are_counted_as_they_will_be_sent() {
        let config = LoadConfig::Constant { rate: 200.0, max_concurrency: Some(1), ramp: None };
        let loads = Loads::default();
        assert_eq!(loads.arrivals_before(&config, Draw::Measure(0), Seconds(30.0)), Some(6_000));
        assert_eq!(
            loads.arrivals_before(&LoadConfig::Sequential, Draw::Measure(0), Seconds(1.0)),
            None
        );
    }

    #[test]
    fn a_round_is_a_full_load() {
        let poisson = |max_concurrency| LoadConfig::Poisson {
            rate: 2.5,
            max_concurrency,
            ramp: None,
            seed: 1,
        };
        let loads = Loads::default();
        assert_eq!(loads.round(&LoadConfig::Sequential, 9), 1);
        assert_eq!(loads.round(&LoadConfig::concurrency(8), 9), 8);
        assert_eq!(loads.round(&poisson(None), 9), 3);
        assert_eq!(loads.round(&poisson(Some(2)), 9), 2);
        assert_eq!(loads.round(&LoadConfig::Throughput { max_concurrency: None }, 9), 9);
    }
}
