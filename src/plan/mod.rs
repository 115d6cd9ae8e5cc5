//! A config becomes a plan: which phases, how many requests, how many in flight. Pure.

pub mod steady;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::config::BenchmarkConfig;
use crate::config::component::load::LoadConfig;
use crate::config::component::protocol::{Baseline, Repetitions, SteadyLimits, WarmupMode};
use crate::config::component::scenario::ScenarioConfig;
use crate::load::{self, Draw, Loads};
use crate::record::Phase;
use crate::units::Seconds;

/// What a phase does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Work {
    /// Waits, so that meters see the machine without load.
    Idle(Seconds),
    /// Sends requests; the prompt of request `i` is the dataset's `i` modulo its length.
    Requests(Requests),
}

/// How many requests a phase sends, and of what kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Requests {
    /// At least so many,
    pub least: u64,
    /// and on until this time has passed,
    pub time: Seconds,
    /// but never more than so many.
    pub most: Option<u64>,
    /// So many are expected, as far as that is known before.
    pub expected: u64,
    /// Those in flight get so long to end when no more leave.
    pub grace: Option<Seconds>,
    /// From this position on they generate [`SHORT_TOKENS`] only.
    pub short_from: Option<u64>,
    /// And on until what is seen is steady within these limits, up to their cap.
    pub until_steady: Option<SteadyLimits>,
}

/// Tokens of a short warm-up request: enough to go through prefill and decode once.
pub const SHORT_TOKENS: u32 = 2;

/// A phase with its work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlannedPhase {
    /// Which.
    pub phase: Phase,
    /// Which repetition of the measurement.
    pub repetition: Option<u32>,
    /// Time without requests just before it, so that repetitions meet the sensors at different points of their cadence.
    pub shift: Seconds,
    /// What it does.
    pub work: Work,
}

/// What there is to ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Supply {
    /// Prompts; of made ones as many as are asked for.
    pub prompts: u64,
    /// Turns of each, where they are conversations to be gone through; empty where each is one request.
    pub turns: Vec<u32>,
}

impl Supply {
    /// Requests that so many prompts make, gone through again and again.
    fn requests(&self, starts: u64) -> u64 {
        let length = self.turns.len() as u64;
        let (Some(rounds), Some(rest)) = (starts.checked_div(length), starts.checked_rem(length))
        else {
            return starts;
        };
        let sum = |turns: &[u32]| turns.iter().map(|turns| u64::from(*turns)).sum::<u64>();
        // Smaller than a length that is one.
        let rest = &self.turns[..usize::try_from(rest).unwrap_or(0)];
        rounds.saturating_mul(sum(&self.turns)).saturating_add(sum(rest))
    }
}

/// What a run will do, decided before anything is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Idling before the model is loaded, where this program loads it; nothing for none.
    pub bare: Seconds,
    /// Idling as long once more when the model is gone again.
    pub bare_after: bool,
    /// The phases after loading, in order; those without work are left out. Of adaptive repetitions all that may be.
    pub phases: Vec<PlannedPhase>,
    /// How often the measurement is repeated.
    pub repetitions: Repetitions,
    /// When requests leave.
    pub load: LoadConfig,
    /// Requests to measure, all repetitions that are sure to be made together; with a duration at least so many.
    pub measured_requests: u64,
}

impl Plan {
    /// The plan for a config and its prompts; repetitions are shifted against each other by up to
    /// `sensor_period` where the config does not say by how much.
    #[must_use]
    pub fn new(
        config: &BenchmarkConfig,
        loads: &Loads,
        supply: &Supply,
        sensor_period: Seconds,
    ) -> Self {
        let scenario = &config.scenario;
        let load = load::of_scenario(scenario);
        let measured = measured(scenario, loads, &load, supply.prompts);
        let repetitions = repetitions(scenario, (loads, &load), (measured, supply), sensor_period);
        let once = |phase, work| PlannedPhase { phase, repetition: None, shift: NONE, work };
        let idle = Work::Idle(Seconds(scenario.idle_s));
        let mut phases = vec![
            once(Phase::IdleBefore, idle),
            once(Phase::Warmup, Work::Requests(warmup(scenario, loads, &load, measured))),
        ];
        let sure = scenario.wanted_repetitions().least() as usize;
        let measured_requests =
            repetitions.iter().take(sure).map(|planned| planned.work.expected());
        let measured_requests = measured_requests.fold(0, u64::saturating_add);
        phases.extend(repetitions);
        phases.push(once(Phase::IdleAfter, idle));
        phases.retain(|planned| !planned.work.is_empty());
        Self {
            bare: Seconds(scenario.idle_bare_s.unwrap_or(scenario.idle_s)),
            bare_after: config.metrics.baseline == Baseline::Bare,
            phases,
            repetitions: scenario.wanted_repetitions(),
            load,
            measured_requests,
        }
    }
}

const NONE: Seconds = Seconds::ZERO;

/// The measurement as often as it may be made, each but the first after a random shift.
fn repetitions(
    scenario: &ScenarioConfig,
    (loads, load): (&Loads, &LoadConfig),
    (measured, supply): (Requests, &Supply),
    sensor_period: Seconds,
) -> Vec<PlannedPhase> {
    let longest = scenario.phase_shift_s.unwrap_or(sensor_period.0).max(0.0);
    let mut generator = Xoshiro256PlusPlus::seed_from_u64(scenario.phase_shift_seed);
    (0..scenario.wanted_repetitions().most())
        .map(|repetition| PlannedPhase {
            phase: Phase::Measure,
            repetition: Some(repetition),
            shift: match repetition {
                0 => NONE,
                _ => Seconds(longest * generator.random_range(0.0..1.0_f64)),
            },
            work: Work::Requests(Requests {
                expected: expected(loads, load, (measured, supply), repetition),
                ..measured
            }),
        })
        .collect()
}

/// Warm-up at the measured load: batch-size dependent kernels are compiled by it.
fn warmup(
    scenario: &ScenarioConfig,
    loads: &Loads,
    load: &LoadConfig,
    measured: Requests,
) -> Requests {
    let round = loads.round(&load::for_warmup(load), measured.least);
    let rounds = u64::from(scenario.warmup_rounds).saturating_mul(round);
    let full = scenario.warmup_requests.unwrap_or(rounds);
    let short = u64::from(scenario.warmup_runs).saturating_mul(round);
    let least = full.saturating_add(short);
    Requests {
        least,
        expected: least,
        time: NONE,
        most: None,
        grace: scenario.grace_s.map(Seconds),
        short_from: (short > 0).then_some(full),
        until_steady: (scenario.warmup == WarmupMode::UntilSteady)
            .then_some(scenario.steady_limits),
    }
}

/// As many rounds and as long as asked; where neither is asked, every prompt once. Stages end by themselves.
fn measured(scenario: &ScenarioConfig, loads: &Loads, load: &LoadConfig, prompts: u64) -> Requests {
    let time = Seconds(scenario.duration_s.unwrap_or(0.0));
    let arrives = load.is_open();
    let least = match (load, scenario.requests, scenario.iterations, scenario.duration_s) {
        (LoadConfig::Stages { .. }, ..) => u64::MAX,
        (_, Some(_), _, Some(_)) => 0,
        (_, Some(count), _, None) => count,
        (_, None, Some(rounds), _) => rounds.saturating_mul(loads.round(load, prompts)),
        // However few arrive within the time, those are it.
        (_, None, None, Some(_)) if arrives => 0,
        // A conversation that has begun does not go on beyond it.
        (_, None, None, Some(_)) if scenario.conversations.is_some() => 0,
        (_, None, None, Some(_)) => loads.round(load, prompts),
        (LoadConfig::Trace { .. }, None, None, None) => loads.trace().len() as u64,
        (_, None, None, None) => prompts,
    };
    Requests {
        least,
        expected: least,
        time,
        most: scenario.requests,
        grace: scenario.grace_s.map(Seconds),
        short_from: None,
        until_steady: None,
    }
}

/// How many requests a repetition sends, as far as that is known before.
fn expected(
    loads: &Loads,
    load: &LoadConfig,
    (measured, supply): (Requests, &Supply),
    repetition: u32,
) -> u64 {
    let draw = Draw::Measure(repetition);
    if matches!(load, LoadConfig::Stages { .. }) {
        return supply.requests(loads.certain_of_stages(load, draw));
    }
    let arrivals = match measured.time > NONE {
        true => loads.arrivals_before(load, draw, measured.time).unwrap_or(0),
        false => 0,
    };
    let starts = match load {
        // A recording is not longer than it is.
        LoadConfig::Trace { .. } => arrivals.max(measured.least).min(loads.trace().len() as u64),
        _ => arrivals.max(measured.least),
    };
    supply.requests(starts).min(measured.most.unwrap_or(u64::MAX))
}

impl Work {
    fn is_empty(self) -> bool {
        match self {
            Self::Idle(time) => time.0 <= 0.0,
            Self::Requests(requests) => {
                requests.least == 0 && requests.time.0 <= 0.0 && requests.until_steady.is_none()
            }
        }
    }

    /// How many requests it sends, as far as that is known before; none while idle.
    #[must_use]
    pub const fn expected(self) -> u64 {
        match self {
            Self::Idle(_) => 0,
            Self::Requests(requests) => requests.expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::component::protocol::AdaptiveRepetitions;
    use crate::config::component::scenario::InputShapes;

    const PERIOD: Seconds = Seconds(0.1);

    fn planned(config: &BenchmarkConfig, prompts: u64) -> Plan {
        let supply = Supply { prompts, turns: Vec::new() };
        Plan::new(config, &Loads::default(), &supply, PERIOD)
    }

    fn requests(plan: &Plan, phase: usize) -> (u64, Option<u64>) {
        match plan.phases[phase].work {
            Work::Requests(requests) => (requests.least, requests.short_from),
            Work::Idle(_) => panic!("{plan:?}"),
        }
    }

    fn phases(plan: &Plan) -> Vec<Phase> {
        plan.phases.iter().map(|planned| planned.phase).collect()
    }

    #[test]
    fn the_default_plan_idles_warms_up_measures_and_idles() {
        let plan = planned(&BenchmarkConfig::default(), 10);
        assert_eq!(
            phases(&plan),
            [Phase::IdleBefore, Phase::Warmup, Phase::Measure, Phase::IdleAfter]
        );
        assert_eq!(requests(&plan, 1), (1, None));
    }

    #[test]
    fn warm_up_runs_at_the_measured_concurrency() {
        let mut config = BenchmarkConfig::default();
        config.scenario.load = LoadConfig::concurrency(8);
        config.scenario.warmup_rounds = 2;
        let plan = planned(&config, 100);
        assert_eq!(requests(&plan, 1), (16, None));
        config.scenario.warmup_requests = Some(5);
        assert_eq!(requests(&planned(&config, 100), 1), (5, None));
        assert_eq!(plan.load, LoadConfig::concurrency(8));
    }

    #[test]
    fn a_batch_is_as_many_requests_in_flight() {
        let mut config = BenchmarkConfig::default();
        config.scenario.input_shapes =
            Some(InputShapes { batch_size: Some(4), ..InputShapes::default() });
        config.scenario.iterations = Some(10);
        config.scenario.duration_s = Some(30.0);
        config.scenario.warmup_runs = 5;
        let plan = planned(&config, 3);
        assert_eq!(plan.load, LoadConfig::concurrency(4));
        assert_eq!(requests(&plan, 1), (24, Some(4)), "a full round, then five short ones");
        assert_eq!(plan.measured_requests, 40);
        let Work::Requests(measured) = plan.phases[2].work else { panic!("{plan:?}") };
        assert_eq!(measured.time, Seconds(30.0));
    }

    #[test]
    fn a_duration_alone_does_not_ask_for_every_prompt() {
        let mut config = BenchmarkConfig::default();
        config.scenario.duration_s = Some(1.0);
        assert_eq!(planned(&config, 1_000_000).measured_requests, 1);
    }

    #[test]
    fn conversations_are_as_many_requests_as_they_have_turns() {
        let mut config = BenchmarkConfig::default();
        let measured = |config: &BenchmarkConfig| {
            let supply = Supply { prompts: 3, turns: vec![2, 1, 4] };
            Plan::new(config, &Loads::default(), &supply, PERIOD).measured_requests
        };
        assert_eq!(measured(&config), 7);
        config.scenario.iterations = Some(5);
        assert_eq!(measured(&config), 7 + 3, "the first two once more");
        config.scenario.iterations = None;
        config.scenario.requests = Some(9);
        assert_eq!(measured(&config), 9);
    }

    #[test]
    fn phases_without_work_are_left_out() {
        let mut config = BenchmarkConfig::default();
        config.scenario.idle_s = 0.0;
        config.scenario.warmup_rounds = 0;
        assert_eq!(phases(&planned(&config, 3)), [Phase::Measure]);
    }

    #[test]
    fn repetitions_are_the_same_work_at_random_and_repeatable_distances() {
        let mut config = BenchmarkConfig::default();
        config.scenario.repetitions = Repetitions::Fixed(50);
        let plan = planned(&config, 4);
        assert_eq!(plan, planned(&config, 4), "the seed is fixed");
        assert_eq!(plan.measured_requests, 200);
        let measured: Vec<&PlannedPhase> =
            plan.phases.iter().filter(|planned| planned.phase == Phase::Measure).collect();
        assert_eq!(measured.len(), 50);
        assert!(measured.iter().all(|planned| planned.work == measured[0].work));
        assert_eq!(measured[0].shift, Seconds::ZERO);
        let shifts: Vec<f64> = measured[1..].iter().map(|planned| planned.shift.0).collect();
        assert!(shifts.iter().all(|shift| (0.0..0.1).contains(shift)), "{shifts:?}");
        let mean = shifts.iter().sum::<f64>() / 49.0;
        assert!((mean - 0.05).abs() < 0.015, "{mean}");
        config.scenario.phase_shift_s = Some(0.0);
        let still = planned(&config, 4);
        assert!(still.phases.iter().all(|planned| planned.shift == Seconds::ZERO));
    }

    #[test]
    fn adaptive_repetitions_are_planned_up_to_their_most_and_promised_up_to_their_least() {
        let mut config = BenchmarkConfig::default();
        let adaptive = AdaptiveRepetitions { min: 6, max: 9, ..AdaptiveRepetitions::default() };
        config.scenario.repetitions = Repetitions::Adaptive(adaptive);
        let plan = planned(&config, 2);
        let measured = plan.phases.iter().filter(|planned| planned.phase == Phase::Measure);
        assert_eq!((measured.count(), plan.measured_requests), (9, 12));
    }

    #[test]
    fn warm_up_until_steady_needs_no_rounds() {
        let mut config = BenchmarkConfig::default();
        config.scenario.warmup = WarmupMode::UntilSteady;
        config.scenario.warmup_rounds = 0;
        let plan = planned(&config, 2);
        let Work::Requests(warmup) = plan.phases[1].work else { panic!("{plan:?}") };
        assert_eq!(warmup.until_steady, Some(SteadyLimits::default()));
    }

    #[test]
    fn the_bare_machine_idles_as_long_as_the_loaded_one() {
        let mut config = BenchmarkConfig::default();
        config.scenario.idle_s = 2.5;
        assert_eq!(planned(&config, 2).bare, Seconds(2.5));
        config.scenario.idle_bare_s = Some(0.0);
        config.metrics.baseline = Baseline::Bare;
        let plan = planned(&config, 2);
        assert_eq!((plan.bare, plan.bare_after), (Seconds(0.0), true));
    }
}
