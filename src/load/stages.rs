//! `stages`: loads one after the other.

use std::collections::VecDeque;

use super::{Load, LoadEntry, Opening, Step};
use crate::config::component::load::{LoadConfig, Stage};
use crate::units::Seconds;

/// The line in the list.
pub(super) const ENTRY: LoadEntry = LoadEntry {
    kind: "stages",
    summary: "loads one after the other, each by duration or number of requests",
    open: |config, opening| match config {
        LoadConfig::Stages { stages } => {
            let stages = stages.iter().zip(0_u64..);
            let stages = stages.map(|(stage, number)| Part::open(stage, opening, number));
            Some(Box::new(Stages { left: stages.collect::<Option<_>>()?, began: Seconds::ZERO }))
        }
        _ => None,
    },
    round: |config, loads, all| match config {
        LoadConfig::Stages { stages } => {
            stages.iter().map(|stage| loads.round(&stage.load, all)).max().unwrap_or(1)
        }
        _ => 1,
    },
};

/// The stages that are not over, the present one first.
struct Stages {
    left: VecDeque<Part>,
    began: Seconds,
}

struct Part {
    load: Box<dyn Load>,
    time: Option<Seconds>,
    /// Requests that may still leave in it.
    requests: Option<u64>,
    /// When its last request was due, from its begin.
    last: Seconds,
}

impl Part {
    fn open(stage: &Stage, opening: &Opening<'_>, number: u64) -> Option<Self> {
        // Two equal stages must not have equal arrivals.
        Some(Self {
            load: opening.loads.open(&stage.load, opening.draw.part(number))?,
            time: stage.duration_s.map(Seconds),
            requests: stage.requests,
            last: Seconds::ZERO,
        })
    }

    /// How long it lasted, where it is over for a request that is due then.
    fn over(&self, due: Seconds) -> Option<Seconds> {
        if self.requests == Some(0) {
            return Some(self.last);
        }
        self.time.filter(|time| due >= *time)
    }

    /// What it does, as if it were alone; `Err` with how long it lasted, where it is over.
    fn step(&mut self, now: Seconds, in_flight: usize) -> Result<Step, Seconds> {
        if let Some(lasted) = self.over(Seconds::ZERO) {
            return Err(lasted);
        }
        let step = self.load.step(now, in_flight);
        match step {
            Step::Leave { due } => {
                if let Some(lasted) = self.over(due) {
                    return Err(lasted);
                }
            }
            Step::Full { due, .. } => {
                if let Some(lasted) = self.over(due.unwrap_or(now)) {
                    return Err(lasted);
                }
            }
            Step::Wait { until } => {
                if let Some(end) = self.time.filter(|end| *end <= until) {
                    return if now >= end { Err(end) } else { Ok(Step::Wait { until: end }) };
                }
            }
            Step::Over => return Err(now),
        }
        Ok(match step {
            Step::Leave { due } => {
                self.last = due;
                self.requests = self.requests.map(|left| left - 1);
                step
            }
            Step::Full { due, until } => {
                // A request that is late already waits beyond the end of its stage.
                let end = self.time.filter(|end| now < *end);
                let until = match (until, end) {
                    (Some(until), Some(end)) if end < until => Some(end),
                    (until, end) => until.or(end),
                };
                Step::Full { due, until }
            }
            other => other,
        })
    }
}

impl Load for Stages {
    fn step(&mut self, now: Seconds, in_flight: usize) -> Step {
        while let Some(part) = self.left.front_mut() {
            let began = self.began;
            let mut step = part.step(now - began, in_flight);
            // What is due now by the clock of the load is due by that of its stage, which differs in the last digit.
            if let Ok(Step::Wait { until } | Step::Full { until: Some(until), .. }) = step
                && began + until <= now
            {
                step = part.step(until, in_flight);
            }
            match step {
                Ok(step) => return step.after(began),
                Err(lasted) => {
                    self.began = began + lasted;
                    self.left.pop_front();
                }
            }
        }
        Step::Over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Draw, Loads};

    fn stage(load: LoadConfig, duration_s: Option<f64>, requests: Option<u64>) -> Stage {
        Stage { load, duration_s, requests }
    }

    fn constant(rate: f64) -> LoadConfig {
        LoadConfig::Constant { rate, max_concurrency: None, ramp: None }
    }

    fn stages(stages: Vec<Stage>) -> Box<dyn Load> {
        Loads::default().open(&LoadConfig::Stages { stages }, Draw::Measure(0)).unwrap()
    }

    /// When requests leave if each is in flight for `service` seconds.
    fn leave(load: &mut dyn Load, service: f64) -> Vec<f64> {
        let mut now = Seconds::ZERO;
        let mut ends: Vec<f64> = Vec::new();
        let mut left = Vec::new();
        loop {
            ends.retain(|end| *end > now.0);
            let first_end = ends.iter().copied().fold(f64::INFINITY, f64::min);
            match load.step(now, ends.len()) {
                Step::Over => return left,
                Step::Leave { .. } => {
                    left.push(now.0);
                    ends.push(now.0 + service);
                }
                Step::Wait { until } => now = until,
                Step::Full { until, .. } => {
                    now = Seconds(until.map_or(f64::INFINITY, |until| until.0).min(first_end));
                }
            }
        }
    }

    #[test]
    fn stages_by_duration_follow_each_other_at_their_times() {
        let mut load = stages(vec![
            stage(constant(2.0), Some(2.0), None),
            stage(constant(4.0), Some(1.0), None),
        ]);
        let found = leave(load.as_mut(), 0.1);
        assert_eq!(found, [0.0, 0.5, 1.0, 1.5, 2.0, 2.25, 2.5, 2.75]);
    }

    #[test]
    fn a_stage_by_requests_ends_with_the_last_of_them() {
        let mut load = stages(vec![
            stage(constant(2.0), None, Some(3)),
            stage(LoadConfig::concurrency(2), None, Some(4)),
        ]);
        let found = leave(load.as_mut(), 10.0);
        assert_eq!(found.len(), 7);
        assert_eq!(found[..3], [0.0, 0.5, 1.0]);
        assert!(found[3] > 1.0, "three are in flight already, and two are permitted: {found:?}");
    }

    #[test]
    fn concurrency_changes_at_the_time_of_the_stage_while_requests_are_in_flight() {
        let mut load = stages(vec![
            stage(LoadConfig::Sequential, Some(1.0), None),
            stage(LoadConfig::concurrency(3), Some(1.0), None),
        ]);
        let found = leave(load.as_mut(), 5.0);
        assert_eq!(found, [0.0, 1.0, 1.0]);
    }

    #[test]
    fn equal_random_stages_have_arrivals_of_their_own() {
        let poisson =
            || LoadConfig::Poisson { rate: 5.0, max_concurrency: None, ramp: None, seed: 1 };
        let mut load =
            stages(vec![stage(poisson(), Some(10.0), None), stage(poisson(), Some(10.0), None)]);
        let found = leave(load.as_mut(), 0.0);
        let (first, second): (Vec<f64>, Vec<f64>) = found.iter().partition(|at| **at < 10.0);
        assert!(!second.is_empty());
        assert!(first.iter().zip(&second).any(|(one, other)| (one + 10.0 - other).abs() > 1e-6));
    }
}
