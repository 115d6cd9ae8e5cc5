//! A config becomes a plan: which phases, how many requests, how many in flight. Pure.

use crate::config::BenchmarkConfig;
use crate::load::{PermitRule, permit_rule};
use crate::record::Phase;
use crate::units::Seconds;

/// What a phase does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Work {
    /// Waits, so that meters see the machine without load.
    Idle(Seconds),
    /// Sends this many requests; the prompt of request `i` is the dataset's `i` modulo its length.
    Requests(u64),
}

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
    /// Requests to measure.
    pub measured_requests: u64,
}

impl Plan {
    /// The plan for a config and a number of prompts.
    #[must_use]
    pub fn new(config: &BenchmarkConfig, prompts: u64) -> Self {
        let scenario = &config.scenario;
        let permits = permit_rule(&scenario.load);
        // Warm-up at the measured concurrency: batch-size dependent kernels are compiled by it.
        let warmup = u64::from(scenario.warmup_rounds) * u64::from(permits.in_flight);
        let idle = Work::Idle(Seconds(scenario.idle_s));
        let phases = [
            (Phase::IdleBefore, idle),
            (Phase::Warmup, Work::Requests(warmup)),
            (Phase::Measure, Work::Requests(prompts)),
            (Phase::IdleAfter, idle),
        ]
        .into_iter()
        .map(|(phase, work)| PlannedPhase { phase, work })
        .filter(|planned| !planned.work.is_empty())
        .collect();
        Self { phases, permits, measured_requests: prompts }
    }
}

impl Work {
    fn is_empty(self) -> bool {
        match self {
            Self::Idle(time) => time.0 <= 0.0,
            Self::Requests(count) => count == 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::component::load::LoadConfig;

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
        assert_eq!(plan.phases[1].work, Work::Requests(1));
    }

    #[test]
    fn warm_up_runs_at_the_measured_concurrency() {
        let mut config = BenchmarkConfig::default();
        config.scenario.load = LoadConfig::Concurrency { concurrency: 8 };
        config.scenario.warmup_rounds = 2;
        let plan = Plan::new(&config, 100);
        assert_eq!(plan.phases[1].work, Work::Requests(16));
        assert_eq!(plan.permits.in_flight, 8);
    }

    #[test]
    fn phases_without_work_are_left_out() {
        let mut config = BenchmarkConfig::default();
        config.scenario.idle_s = 0.0;
        config.scenario.warmup_rounds = 0;
        assert_eq!(phases(&Plan::new(&config, 3)), [Phase::Measure]);
    }
}
