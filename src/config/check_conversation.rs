//! Checks of conversations.

use super::BenchmarkConfig;
use super::check::Found;
use super::component::backend::{Api, BackendConfig};
use super::component::conversation::{Conversations, ThinkTime, ThinkTimes, Turns};
use super::component::load::LoadConfig;
use crate::error::Problems;

/// Everything that is wrong with how conversations are to be gone through.
pub(super) fn check(config: &BenchmarkConfig) -> Problems {
    let mut found = Found::default();
    if let Some(conversations) = &config.scenario.conversations {
        found.conversations(conversations);
        found.combination(config);
    }
    found.0
}

impl Found {
    fn conversations(&mut self, conversations: &Conversations) {
        if conversations.turns == Turns::Most(0) {
            let hint = "1 or more, or `all`";
            self.say("scenario.conversations.turns", "0 turns ask nothing", hint);
        }
        let place = "scenario.conversations.think_time_s";
        let at = |key: &str| format!("{place}.{key}");
        match conversations.think_time_s {
            ThinkTime::Constant(time) => self.at_least(place, time, 0.0),
            ThinkTime::Drawn(ThinkTimes::Uniform { min, max }) => {
                self.at_least(&at("min"), min, 0.0);
                self.at_least(&at("max"), max, min.max(0.0));
            }
            ThinkTime::Drawn(ThinkTimes::Exponential { mean }) => {
                self.at_least(&at("mean"), mean, 0.0);
            }
            ThinkTime::Drawn(ThinkTimes::Normal { mean, stddev }) => {
                self.at_least(&at("mean"), mean, 0.0);
                self.at_least(&at("stddev"), stddev, 0.0);
            }
            ThinkTime::Drawn(ThinkTimes::Lognormal { median, sigma }) => {
                self.at_least(&at("median"), median, 0.0);
                self.at_least(&at("sigma"), sigma, 0.0);
            }
        }
    }

    /// What conversations cannot be combined with.
    fn combination(&mut self, config: &BenchmarkConfig) {
        let place = "scenario.conversations";
        if config.scenario.is_random() {
            let message = "prompts of random tokens are no conversations";
            self.say(place, message, "name a dataset whose rows hold messages");
        }
        if matches!(&config.backend, BackendConfig::Vllm(vllm) if vllm.api == Api::Completions) {
            let hint = "set backend.api to chat";
            self.say(place, "backend.api completions knows no messages", hint);
        }
        if matches!(config.scenario.load, LoadConfig::Trace { .. }) {
            let message = "contradicts scenario.load.type trace: it says when each request leaves";
            self.say(place, message, "leave one of them out");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::component::backend::VllmConfig;
    use crate::config::component::scenario::RANDOM_TOKENS;

    fn places(conversations: Conversations, change: fn(&mut BenchmarkConfig)) -> Vec<String> {
        let mut config = BenchmarkConfig::default();
        config.scenario.conversations = Some(conversations);
        change(&mut config);
        check(&config).0.into_iter().map(|problem| problem.place).collect()
    }

    #[test]
    fn everything_wrong_with_turns_and_think_times_is_told_at_once() {
        let drawn = |times| Conversations {
            turns: Turns::Most(0),
            think_time_s: ThinkTime::Drawn(times),
            ..Conversations::default()
        };
        let uniform = drawn(ThinkTimes::Uniform { min: 3.0, max: 2.0 });
        let found = places(uniform, |_| {});
        let place = "scenario.conversations";
        assert_eq!(found, [format!("{place}.turns"), format!("{place}.think_time_s.max")]);
        let lognormal = drawn(ThinkTimes::Lognormal { median: f64::NAN, sigma: -1.0 });
        assert_eq!(places(lognormal, |_| {}).len(), 3);
        assert_eq!(places(Conversations::default(), |_| {}), [""; 0]);
    }

    #[test]
    fn prompts_without_turns_are_refused() {
        let found = places(Conversations::default(), |config| {
            config.scenario.dataset_name = RANDOM_TOKENS.to_owned();
            config.backend =
                BackendConfig::Vllm(VllmConfig { api: Api::Completions, ..VllmConfig::default() });
        });
        assert_eq!(found, ["scenario.conversations", "scenario.conversations"]);
    }
}
