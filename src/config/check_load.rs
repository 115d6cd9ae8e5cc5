//! Checks of the load and of what ends it.

use super::check::Found;
use super::component::load::{LoadConfig, Ramp, RampShape, Stage};
use super::component::protocol::Repetitions;
use super::component::scenario::ScenarioConfig;
use crate::error::Problems;

/// More arrivals a second than any machine sends.
const MOST_RATE: f64 = 1e6;
/// More requests in flight than a machine has ports.
const MOST_CONCURRENCY: u32 = 1_000_000;

/// Everything that is wrong with a scenario's load and its end.
pub(super) fn check(scenario: &ScenarioConfig) -> Problems {
    let mut found = Found::default();
    found.load("scenario.load", &scenario.load);
    if let LoadConfig::Stages { stages } = &scenario.load {
        found.stages(stages);
    }
    found.extent(scenario);
    found.until(scenario);
    found.0
}

impl Found {
    /// A number above 0, up to a most.
    fn above_zero(&mut self, place: &str, value: f64, most: f64) {
        if !(value.is_finite() && value > 0.0 && value <= most) {
            self.say(place, format!("{value} is out of range"), format!("above 0, up to {most}"));
        }
    }

    fn in_flight(&mut self, place: &str, value: u32) {
        if value == 0 {
            self.say(place, "0 requests in flight never end", "1 or more");
        } else if value > MOST_CONCURRENCY {
            self.say(place, format!("{value} is out of range"), format!("1 to {MOST_CONCURRENCY}"));
        }
    }

    fn load(&mut self, place: &str, load: &LoadConfig) {
        if let LoadConfig::Concurrency { concurrency, .. } = load {
            self.in_flight(&format!("{place}.concurrency"), *concurrency);
        }
        if let Some(rate) = load.rate() {
            self.above_zero(&format!("{place}.rate"), rate, MOST_RATE);
        }
        if let LoadConfig::Trace { file, time_scale, limit, .. } = load {
            if file.trim().is_empty() {
                self.say(&format!("{place}.file"), "is empty", "the path of a trace");
            }
            self.above_zero(&format!("{place}.time_scale"), *time_scale, 1e6);
            if *limit == Some(0) {
                self.say(&format!("{place}.limit"), "0 requests measure nothing", "1 or more");
            }
        }
        if let LoadConfig::Gamma { burstiness, .. } = load {
            self.above_zero(&format!("{place}.burstiness"), *burstiness, 1e6);
        }
        if let Some(limit) = load.max_concurrency() {
            self.in_flight(&format!("{place}.max_concurrency"), limit);
        }
        if let Some(ramp) = load.ramp() {
            self.ramp(&format!("{place}.ramp"), ramp);
        }
    }

    fn ramp(&mut self, place: &str, ramp: Ramp) {
        let Ramp { from, over_s, shape } = ramp;
        self.above_zero(&format!("{place}.over_s"), over_s, 1e9);
        let place = format!("{place}.from");
        match shape {
            RampShape::Exponential => self.above_zero(&place, from, MOST_RATE),
            RampShape::Linear if from == 0.0 => {}
            RampShape::Linear => self.above_zero(&place, from, MOST_RATE),
        }
    }

    fn stages(&mut self, stages: &[Stage]) {
        if stages.is_empty() {
            let hint = "a list of {load, duration_s} or {load, requests}";
            self.say("scenario.load.stages", "there is none", hint);
        }
        for (number, stage) in stages.iter().enumerate() {
            let place = format!("scenario.load.stages[{number}]");
            if matches!(stage.load, LoadConfig::Stages { .. }) {
                let hint = "list its stages here, one after the other";
                self.say(&format!("{place}.load.type"), "a stage cannot have stages", hint);
                continue;
            }
            if matches!(stage.load, LoadConfig::Trace { .. }) {
                let hint = "give the trace as the load itself";
                self.say(&format!("{place}.load.type"), "a stage cannot be a trace", hint);
                continue;
            }
            self.load(&format!("{place}.load"), &stage.load);
            match (stage.duration_s, stage.requests) {
                (Some(time), None) => self.above_zero(&format!("{place}.duration_s"), time, 1e9),
                (None, Some(0)) => {
                    self.say(&format!("{place}.requests"), "0 requests are no stage", "1 or more");
                }
                (None, Some(_)) => {}
                (None, None) => {
                    self.say(&place, "does not say when it ends", "set duration_s or requests");
                }
                (Some(_), Some(_)) => {
                    self.say(
                        &place,
                        "duration_s and requests contradict each other",
                        "set one of them",
                    );
                }
            }
            if stage.requests.is_none() {
                self.limited(&format!("{place}.load.max_concurrency"), &stage.load);
            }
        }
    }

    /// Without a number of requests, a load that sends all of them at once has no end.
    fn limited(&mut self, place: &str, load: &LoadConfig) {
        if matches!(load, LoadConfig::Throughput { max_concurrency: None }) {
            let message = "is missing: by time, requests without a limit would leave without end";
            self.say(place, message, "requests in flight at most, for example 512");
        }
    }

    fn extent(&mut self, scenario: &ScenarioConfig) {
        if scenario.iterations == Some(0) {
            self.say("scenario.iterations", "0 rounds measure nothing", "1 or more");
        }
        if scenario.requests == Some(0) {
            self.say("scenario.requests", "0 requests measure nothing", "1 or more");
        }
        for (key, time) in [("duration_s", scenario.duration_s), ("grace_s", scenario.grace_s)] {
            if let Some(time) = time.filter(|time| !(time.is_finite() && *time >= 0.0)) {
                self.say(
                    &format!("scenario.{key}"),
                    format!("{time} is out of range"),
                    "0 or more",
                );
            }
        }
        if scenario.requests.is_some() && scenario.iterations.is_some() {
            let message =
                "contradicts scenario.iterations: both say how many requests are measured";
            self.say("scenario.requests", message, "set one of them");
        }
        let ends = [
            ("iterations", scenario.iterations.is_some()),
            ("requests", scenario.requests.is_some()),
            ("duration_s", scenario.duration_s.is_some()),
        ];
        if matches!(scenario.load, LoadConfig::Stages { .. }) {
            for (key, _) in ends.iter().filter(|(_, set)| *set) {
                let hint = "leave it out, or change the stages";
                self.say(
                    &format!("scenario.{key}"),
                    "has no effect: stages say how long they last",
                    hint,
                );
            }
        }
        if matches!(scenario.load, LoadConfig::Trace { .. }) && scenario.iterations.is_some() {
            let hint = "set scenario.repetitions to replay it again";
            self.say("scenario.iterations", "a trace has no rounds", hint);
        }
        let timed = scenario.requests.is_none() && scenario.duration_s.is_some();
        let rounds = scenario.iterations.is_some();
        if timed || rounds || scenario.is_generated() && scenario.requests.is_none() {
            self.limited("scenario.load.max_concurrency", &scenario.load);
        }
    }

    fn until(&mut self, scenario: &ScenarioConfig) {
        let Some(until) = scenario.until else { return };
        if scenario.repetitions != Repetitions::default() {
            let message = "contradicts scenario.repetitions: both say how often is measured";
            self.say("scenario.until", message, "set one of them");
        }
        let percent = until.energy_ci_percent;
        if !(percent > 0.0 && percent < 100.0) {
            let hint = "above 0 and below 100: 2 for plus or minus 2 %";
            self.say(
                "scenario.until.energy_ci_percent",
                format!("{percent} is out of range"),
                hint,
            );
        }
        if until.min < super::check::LEAST_ADAPTIVE {
            let message = format!("{} windows say too little of their spread", until.min);
            let hint = format!("{} or more", super::check::LEAST_ADAPTIVE);
            self.say("scenario.until.min", message, hint);
        }
        if until.max < until.min {
            let message = format!("{} is less than min ({})", until.max, until.min);
            self.say("scenario.until.max", message, "at least min");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::component::load::{PromptsOf, TraceFormat};
    use crate::config::component::protocol::Until;

    fn places(scenario: &ScenarioConfig) -> Vec<String> {
        check(scenario).0.iter().map(|problem| problem.place.clone()).collect()
    }

    fn scenario(load: LoadConfig) -> ScenarioConfig {
        ScenarioConfig { load, ..ScenarioConfig::default() }
    }

    #[test]
    fn everything_wrong_with_a_load_is_told_at_once() {
        let ramp = Some(Ramp { from: 0.0, over_s: 0.0, shape: RampShape::Exponential });
        let load = LoadConfig::Gamma {
            rate: -1.0,
            burstiness: f64::NAN,
            max_concurrency: Some(0),
            ramp,
            seed: 1,
        };
        assert_eq!(
            places(&scenario(load)),
            [
                "scenario.load.rate",
                "scenario.load.burstiness",
                "scenario.load.max_concurrency",
                "scenario.load.ramp.over_s",
                "scenario.load.ramp.from",
            ]
        );
        let ramp = Some(Ramp { from: 0.0, over_s: 5.0, shape: RampShape::Linear });
        let load = LoadConfig::Constant { rate: 5.0, max_concurrency: None, ramp };
        assert_eq!(places(&scenario(load)), [""; 0]);
    }

    #[test]
    fn stages_say_themselves_when_they_end() {
        let stage = |load, duration_s, requests| Stage { load, duration_s, requests };
        let stages = vec![
            stage(LoadConfig::concurrency(0), Some(1.0), None),
            stage(LoadConfig::Sequential, None, None),
            stage(LoadConfig::Sequential, Some(1.0), Some(1)),
            stage(LoadConfig::Stages { stages: Vec::new() }, Some(1.0), None),
            stage(LoadConfig::Throughput { max_concurrency: None }, Some(1.0), None),
        ];
        let mut wrong = scenario(LoadConfig::Stages { stages });
        wrong.duration_s = Some(3.0);
        assert_eq!(
            places(&wrong),
            [
                "scenario.load.stages[0].load.concurrency",
                "scenario.load.stages[1]",
                "scenario.load.stages[2]",
                "scenario.load.stages[3].load.type",
                "scenario.load.stages[4].load.max_concurrency",
                "scenario.duration_s",
            ]
        );
        assert_eq!(
            places(&scenario(LoadConfig::Stages { stages: Vec::new() })),
            ["scenario.load.stages"]
        );
    }

    #[test]
    fn a_trace_is_checked_before_it_is_read() {
        let trace = |file: &str, time_scale, limit| LoadConfig::Trace {
            file: file.to_owned(),
            format: TraceFormat::Auto,
            time_scale,
            limit,
            prompts: PromptsOf::Trace,
            max_concurrency: Some(0),
            seed: 1,
        };
        let mut wrong = scenario(trace(" ", 0.0, Some(0)));
        wrong.iterations = Some(2);
        assert_eq!(
            places(&wrong),
            [
                "scenario.load.file",
                "scenario.load.time_scale",
                "scenario.load.limit",
                "scenario.load.max_concurrency",
                "scenario.iterations",
            ]
        );
        let load = trace("t.jsonl", 1.0, None);
        let stages = vec![Stage { load, duration_s: Some(1.0), requests: None }];
        assert_eq!(
            places(&scenario(LoadConfig::Stages { stages })),
            ["scenario.load.stages[0].load.type"]
        );
    }

    #[test]
    fn what_ends_a_load_is_checked() {
        let mut wrong = scenario(LoadConfig::Throughput { max_concurrency: None });
        wrong.iterations = Some(2);
        wrong.requests = Some(0);
        wrong.grace_s = Some(-1.0);
        wrong.repetitions = Repetitions::Fixed(3);
        wrong.until = Some(Until { energy_ci_percent: 0.0, min: 2, max: 1 });
        assert_eq!(
            places(&wrong),
            [
                "scenario.requests",
                "scenario.grace_s",
                "scenario.requests",
                "scenario.load.max_concurrency",
                "scenario.until",
                "scenario.until.energy_ci_percent",
                "scenario.until.min",
                "scenario.until.max",
            ]
        );
    }
}
