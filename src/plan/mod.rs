//! A config becomes a plan: which phases, how many requests, how many in flight. Pure.

use crate::config::BenchmarkConfig;
use crate::config::component::scenario::ScenarioConfig;
use crate::load::{PermitRule, permit_rule};
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
    /// and on until this time has passed.
    pub time: Seconds,
    /// From this position on they generate [`SHORT_TOKENS`] only.
    pub short_from: Option<u64>,
}

/// Tokens of a short warm-up request: enough to go through prefill and decode once.
pub const SHORT_TOKENS: u32 = 2;

/// A phase with its work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlannedPhase {
    /// Which.
    pub phase: Phase,
    /// What it does.
    pub work: Work,
}

/// What a run will do, decided before anything is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The phases after loading, in order; those without work are left out.
    pub phases: Vec<PlannedPhase>,
    /// How many requests may be in flight.
    pub permits: PermitRule,
    /// Requests to measure; with a duration at least so many.
    pub measured_requests: u64,
}

impl Plan {
    /// The plan for a config and a number of prompts.
    #[must_use]
    pub fn new(config: &BenchmarkConfig, prompts: u64) -> Self {
        let scenario = &config.scenario;
        let permits = permit_rule(scenario);
        let measured = measured(scenario, permits, prompts);
        let idle = Work::Idle(Seconds(scenario.idle_s));
        let phases = [
            (Phase::IdleBefore, idle),
            (Phase::Warmup, Work::Requests(warmup(scenario, permits))),
            (Phase::Measure, Work::Requests(measured)),
            (Phase::IdleAfter, idle),
        ]
        .into_iter()
        .map(|(phase, work)| PlannedPhase { phase, work })
        .filter(|planned| !planned.work.is_empty())
        .collect();
        Self { phases, permits, measured_requests: measured.least }
    }
}

/// Warm-up at the measured concurrency: batch-size dependent kernels are compiled by it.
fn warmup(scenario: &ScenarioConfig, permits: PermitRule) -> Requests {
    let rounds = |rounds: u32| u64::from(rounds) * u64::from(permits.in_flight);
    let full = rounds(scenario.warmup_rounds);
    let short = rounds(scenario.warmup_runs);
    Requests { least: full + short, time: Seconds(0.0), short_from: (short > 0).then_some(full) }
}

/// As many rounds and as long as asked; where neither is asked, every prompt once.
fn measured(scenario: &ScenarioConfig, permits: PermitRule, prompts: u64) -> Requests {
    let least = match (scenario.iterations, scenario.duration_s) {
        (Some(rounds), _) => rounds.saturating_mul(u64::from(permits.in_flight)),
        (None, Some(_)) => u64::from(permits.in_flight),
        (None, None) => prompts,
    };
    let time = Seconds(scenario.duration_s.unwrap_or(0.0));
    Requests { least, time, short_from: None }
}

impl Work {
    fn is_empty(self) -> bool {
        match self {
            Self::Idle(time) => time.0 <= 0.0,
            Self::Requests(requests) => requests.least == 0 && requests.time.0 <= 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::component::load::LoadConfig;
    use crate::config::component::scenario::InputShapes;

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
        let plan = Plan::new(&BenchmarkConfig::default(), 10);
        assert_eq!(
            phases(&plan),
            [Phase::IdleBefore, Phase::Warmup, Phase::Measure, Phase::IdleAfter]
        );
        assert_eq!(requests(&plan, 1), (1, None));
    }

    #[test]
    fn warm_up_runs_at_the_measured_concurrency() {
        let mut config = BenchmarkConfig::default();
        config.scenario.load = LoadConfig::Concurrency { concurrency: 8 };
        config.scenario.warmup_rounds = 2;
        let plan = Plan::new(&config, 100);
        assert_eq!(requests(&plan, 1), (16, None));
        assert_eq!(plan.permits.in_flight, 8);
    }

    #[test]
    fn a_batch_is_as_many_requests_in_flight() {
        let mut config = BenchmarkConfig::default();
        config.scenario.input_shapes =
            Some(InputShapes { batch_size: Some(4), ..InputShapes::default() });
        config.scenario.iterations = Some(10);
        config.scenario.duration_s = Some(30.0);
        config.scenario.warmup_runs = 5;
        let plan = Plan::new(&config, 3);
        assert_eq!(plan.permits.in_flight, 4);
        assert_eq!(requests(&plan, 1), (24, Some(4)), "a full round, then five short ones");
        assert_eq!(plan.measured_requests, 40);
        let Work::Requests(measured) = plan.phases[2].work else { panic!("{plan:?}") };
        assert_eq!(measured.time, Seconds(30.0));
    }

    #[test]
    fn a_duration_alone_does_not_ask_for_every_prompt() {
        let mut config = BenchmarkConfig::default();
        config.scenario.duration_s = Some(1.0);
        assert_eq!(Plan::new(&config, 1_000_000).measured_requests, 1);
    }

    #[test]
    fn phases_without_work_are_left_out() {
        let mut config = BenchmarkConfig::default();
        config.scenario.idle_s = 0.0;
        config.scenario.warmup_rounds = 0;
        assert_eq!(phases(&Plan::new(&config, 3)), [Phase::Measure]);
    }
}
