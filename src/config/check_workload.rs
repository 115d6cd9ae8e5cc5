//! Checks the settings of generated prompts.

use super::check::Found;
use super::component::load::LoadConfig;
use super::component::scenario::ScenarioConfig;
use super::component::workload::{LONGEST_TEXT, Length, MixturePart, SYNTHETIC, SyntheticConfig};
use crate::error::Problems;

/// Everything that is wrong with generated prompts, whatever answers them.
pub(super) fn check(scenario: &ScenarioConfig) -> Problems {
    let mut found = Found::default();
    if scenario.is_generated() {
        found.end_of_prompts(scenario);
    }
    match (&scenario.synthetic, scenario.is_synthetic()) {
        (Some(synthetic), true) => found.synthetic(synthetic),
        (None, true) => found.say(
            "scenario.synthetic.input_tokens",
            "is missing",
            format!("{SYNTHETIC} needs it: tokens a prompt, for example 128"),
        ),
        (Some(_), false) => found.say(
            "scenario.synthetic",
            "has no effect: prompts come from a dataset",
            format!("leave it out, or set scenario.dataset_name to {SYNTHETIC}"),
        ),
        (None, false) => {}
    }
    found.0
}

impl Found {
    fn end_of_prompts(&mut self, scenario: &ScenarioConfig) {
        let bounded = scenario.iterations.is_some()
            || scenario.requests.is_some()
            || scenario.duration_s.is_some()
            || matches!(scenario.load, LoadConfig::Stages { .. });
        if !bounded && scenario.num_samples.is_none_or(|count| count == -1) {
            self.say(
                "scenario.num_samples",
                "there is no end of generated prompts",
                "say how many, or set scenario.requests, scenario.iterations or scenario.duration_s",
            );
        }
    }

    fn synthetic(&mut self, synthetic: &SyntheticConfig) {
        let place = |key: &str| format!("scenario.synthetic.{key}");
        let SyntheticConfig { input_tokens, output_tokens, mixture, prefix_pool, .. } = synthetic;
        match (input_tokens, mixture.is_empty()) {
            (None, true) => {
                self.say(&place("input_tokens"), "is missing", "tokens a prompt, for example 128");
            }
            (None, false) => {}
            (Some(length), _) => self.length(&place("input_tokens"), length),
        }
        if let Some(length) = output_tokens {
            self.length(&place("output_tokens"), length);
        }
        if !mixture.is_empty() && (input_tokens.is_some() || output_tokens.is_some()) {
            let hint = "leave out input_tokens and output_tokens, or the mixture";
            self.say(&place("mixture"), "contradicts lengths beside it", hint);
        }
        for (number, part) in mixture.iter().enumerate() {
            let MixturePart { input_tokens, output_tokens, weight } = part;
            let place = |key: &str| format!("scenario.synthetic.mixture[{number}].{key}");
            self.length(&place("input_tokens"), input_tokens);
            self.length(&place("output_tokens"), output_tokens);
            if !(weight.is_finite() && *weight > 0.0) {
                self.say(&place("weight"), format!("{weight} is out of range"), "above 0");
            }
        }
        if let Some(pool) = prefix_pool {
            if pool.prefixes == 0 {
                self.say(&place("prefix_pool.prefixes"), "0 prefixes are none", "1 or more");
            }
            if !(1..=LONGEST_TEXT).contains(&pool.tokens) {
                let message = format!("{} tokens are out of range", pool.tokens);
                self.say(&place("prefix_pool.tokens"), message, format!("1 to {LONGEST_TEXT}"));
            }
        }
    }

    fn length(&mut self, place: &str, length: &Length) {
        if let Some((message, hint)) = length.wrong() {
            self.say(place, message, hint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::component::workload::PrefixPool;

    fn places(synthetic: Option<SyntheticConfig>, name: &str) -> Vec<String> {
        let scenario = ScenarioConfig {
            dataset_name: name.to_owned(),
            num_samples: Some(3),
            synthetic,
            ..ScenarioConfig::default()
        };
        check(&scenario).0.iter().map(|problem| problem.place.clone()).collect()
    }

    #[test]
    fn everything_wrong_with_synthetic_prompts_is_told_at_once() {
        let part = MixturePart {
            input_tokens: Length::Exactly(0),
            output_tokens: Length::Exactly(1),
            weight: f64::NAN,
        };
        let wrong = SyntheticConfig {
            output_tokens: Some(Length::Exactly(0)),
            mixture: vec![part],
            prefix_pool: Some(PrefixPool { prefixes: 0, tokens: 0 }),
            ..SyntheticConfig::default()
        };
        assert_eq!(
            places(Some(wrong), SYNTHETIC),
            [
                "scenario.synthetic.output_tokens",
                "scenario.synthetic.mixture",
                "scenario.synthetic.mixture[0].input_tokens",
                "scenario.synthetic.mixture[0].weight",
                "scenario.synthetic.prefix_pool.prefixes",
                "scenario.synthetic.prefix_pool.tokens",
            ]
        );
        let right = SyntheticConfig {
            input_tokens: Some(Length::Exactly(128)),
            ..SyntheticConfig::default()
        };
        assert_eq!(places(Some(right.clone()), SYNTHETIC), [""; 0]);
        assert_eq!(places(None, SYNTHETIC), ["scenario.synthetic.input_tokens"]);
        assert_eq!(places(Some(right), "builtin"), ["scenario.synthetic"]);
    }

    #[test]
    fn generated_prompts_need_an_end() {
        let scenario = ScenarioConfig {
            dataset_name: SYNTHETIC.to_owned(),
            synthetic: Some(SyntheticConfig {
                input_tokens: Some(Length::Exactly(8)),
                ..SyntheticConfig::default()
            }),
            ..ScenarioConfig::default()
        };
        assert_eq!(check(&scenario).0[0].place, "scenario.num_samples");
        let ends = ScenarioConfig { requests: Some(5), ..scenario };
        assert!(check(&ends).0.is_empty());
    }
}
