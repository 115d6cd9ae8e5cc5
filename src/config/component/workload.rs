//! Settings of prompts that are made to an exact number of tokens.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The dataset of prompts made of words.
pub const SYNTHETIC: &str = "synthetic";

/// Longest text in tokens that is made.
pub const LONGEST_TEXT: u32 = 4_194_304;

/// Prompts made to an exact number of tokens (`dataset_name: synthetic`).
///
/// They are made of common words that the model's tokenizer takes for one token each, which the server is asked before the
/// run (`/tokenize`). So any number of tokens is met exactly, in chats and in completions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SyntheticConfig {
    /// Tokens of the text of a prompt, 1 to 4194304: a number or a distribution. The chat template and special tokens come on
    /// top unless `count: request`. Required unless there is a `mixture`.
    pub input_tokens: Option<Length>,
    /// Tokens of the answer: a number or a distribution. It takes the place of `generate_kwargs.max_new_tokens` and is exact
    /// (`min_tokens` and `ignore_eos` are sent) unless `generate_kwargs.ignore_eos` is `false`. Default:
    /// `generate_kwargs.max_new_tokens`, exact only where `min_new_tokens` equals it.
    pub output_tokens: Option<Length>,
    /// Pairs of lengths drawn together: `[{input_tokens: 128, output_tokens: 64, weight: 0.6}, ...]`, in place of the two above.
    pub mixture: Vec<MixturePart>,
    /// Beginnings that prompts share, in front of `input_tokens`, as system prompts are. Default: none.
    pub prefix_pool: Option<PrefixPool>,
    /// What `input_tokens` counts: the `text`, or the whole `request` with chat template and special tokens, as `usage` tells.
    pub count: Counted,
    /// Seed of lengths and words.
    pub seed: u64,
}

impl Default for SyntheticConfig {
    fn default() -> Self {
        Self {
            input_tokens: None,
            output_tokens: None,
            mixture: Vec::new(),
            prefix_pool: None,
            count: Counted::default(),
            seed: 42,
        }
    }
}

/// A number of tokens: one for all, or drawn for each prompt.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Length {
    /// The same for all.
    Exactly(u32),
    /// Drawn for each.
    Drawn(Distribution),
}

/// How a number of tokens is drawn. The key `type` chooses.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Distribution {
    /// Every number from `min` to `max` is equally likely.
    Uniform {
        /// Fewest, 1 or more.
        min: u32,
        /// Most.
        max: u32,
    },
    /// Normal, rounded; numbers outside `min` and `max` are drawn again, so tight limits move mean and spread.
    Normal {
        /// Mean before the limits, within them.
        mean: f64,
        /// Standard deviation before the limits, 0 or more.
        stddev: f64,
        /// Fewest. Default: 1.
        #[serde(default = "one")]
        min: u32,
        /// Most. Default: 4194304.
        #[serde(default = "longest")]
        max: u32,
    },
    /// Log-normal, rounded, with a long tail as real prompts have; limits as of `normal`.
    Lognormal {
        /// Mean of the number itself, not of its logarithm; within the limits.
        mean: f64,
        /// Standard deviation of the number itself, 0 or more.
        stddev: f64,
        /// Fewest. Default: 1.
        #[serde(default = "one")]
        min: u32,
        /// Most. Default: 4194304.
        #[serde(default = "longest")]
        max: u32,
    },
}

const fn one() -> u32 {
    1
}

const fn longest() -> u32 {
    LONGEST_TEXT
}

/// Lengths that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MixturePart {
    /// Tokens of the text of a prompt.
    pub input_tokens: Length,
    /// Tokens of the answer.
    pub output_tokens: Length,
    /// How often it is drawn, in relation to the others; above 0.
    #[serde(default = "even")]
    pub weight: f64,
}

const fn even() -> f64 {
    1.0
}

/// Beginnings that prompts share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrefixPool {
    /// How many there are, 1 or more. Each prompt begins with one of them, drawn evenly.
    pub prefixes: u32,
    /// Tokens of each.
    pub tokens: u32,
}

/// What a number of input tokens counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// The text alone; chat template and special tokens come on top.
    #[default]
    Text,
    /// All that the server counts for the request.
    Request,
}

impl Length {
    /// Fewest and most tokens.
    #[must_use]
    pub const fn limits(&self) -> (u32, u32) {
        match self {
            Self::Exactly(tokens) => (*tokens, *tokens),
            Self::Drawn(
                Distribution::Uniform { min, max }
                | Distribution::Normal { min, max, .. }
                | Distribution::Lognormal { min, max, .. },
            ) => (*min, *max),
        }
    }

    /// What is wrong with it, in words, with a hint.
    #[must_use]
    pub fn wrong(&self) -> Option<(String, String)> {
        let (min, max) = self.limits();
        if min == 0 || max > LONGEST_TEXT || min > max {
            let message = match self {
                Self::Exactly(tokens) => format!("{tokens} tokens are out of range"),
                Self::Drawn(_) => format!("{min} to {max} tokens are no range"),
            };
            return Some((message, format!("1 to {LONGEST_TEXT} tokens, min no more than max")));
        }
        let Self::Drawn(
            Distribution::Normal { mean, stddev, .. }
            | Distribution::Lognormal { mean, stddev, .. },
        ) = self
        else {
            return None;
        };
        if !(stddev.is_finite() && *stddev >= 0.0) {
            return Some((format!("a stddev of {stddev} is out of range"), "0 or more".to_owned()));
        }
        if !(f64::from(min)..=f64::from(max)).contains(mean) {
            let message = format!("a mean of {mean} is not within {min} to {max}");
            return Some((message, "a mean between min and max".to_owned()));
        }
        None
    }

    /// In words: `128`, `64 to 256`, `512 +- 128 (normal, 16 to 2048)`.
    #[must_use]
    pub fn words(&self) -> String {
        let drawn = |name: &str, mean: f64, stddev: f64, min: u32, max: u32| match max {
            LONGEST_TEXT => format!("{mean} +- {stddev} ({name}, at least {min})"),
            max => format!("{mean} +- {stddev} ({name}, {min} to {max})"),
        };
        match *self {
            Self::Exactly(tokens) => tokens.to_string(),
            Self::Drawn(Distribution::Uniform { min, max }) => format!("{min} to {max}"),
            Self::Drawn(Distribution::Normal { mean, stddev, min, max }) => {
                drawn("normal", mean, stddev, min, max)
            }
            Self::Drawn(Distribution::Lognormal { mean, stddev, min, max }) => {
                drawn("log-normal", mean, stddev, min, max)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Length, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn a_length_is_a_number_or_a_distribution() {
        assert_eq!(read("128").unwrap(), Length::Exactly(128));
        let normal = read(r#"{"type": "normal", "mean": 512, "stddev": 128, "max": 2048}"#);
        assert_eq!(normal.as_ref().unwrap().limits(), (1, 2048));
        assert_eq!(normal.unwrap().words(), "512 +- 128 (normal, 1 to 2048)");
        assert!(read(r#"{"type": "uniform", "min": 1}"#).is_err());
        assert!(read(r#"{"type": "zipf", "min": 1, "max": 2}"#).is_err());
    }

    #[test]
    fn lengths_that_cannot_be_are_told() {
        for json in [
            "0",
            "4194305",
            r#"{"type": "uniform", "min": 9, "max": 8}"#,
            r#"{"type": "uniform", "min": 0, "max": 8}"#,
            r#"{"type": "normal", "mean": 9, "stddev": -1}"#,
            r#"{"type": "normal", "mean": 9, "stddev": 1, "max": 8}"#,
            r#"{"type": "lognormal", "mean": 0.5, "stddev": 1}"#,
        ] {
            assert!(read(json).unwrap().wrong().is_some(), "{json}");
        }
        assert_eq!(read(r#"{"type": "lognormal", "mean": 9, "stddev": 1}"#).unwrap().wrong(), None);
    }
}
