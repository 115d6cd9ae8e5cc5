//! Settings of conversations: several turns, and what happens between them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Prompts that are conversations are gone through turn by turn, each turn a request with everything said before it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Conversations {
    /// Turns of a conversation: `all`, or so many of them at most, from the first.
    pub turns: Turns,
    /// Seconds from the end of an answer to the next turn: a number, or a distribution such as
    /// `{distribution: exponential, mean: 5}`.
    pub think_time_s: ThinkTime,
    /// What the next turn says that was answered: what the model generated, or what the dataset holds.
    pub answers: Answers,
    /// Seed of the think times. Each repetition draws its own from it.
    pub seed: u64,
}

impl Default for Conversations {
    fn default() -> Self {
        Self {
            turns: Turns::default(),
            think_time_s: ThinkTime::Constant(0.0),
            answers: Answers::default(),
            seed: 42,
        }
    }
}

/// How many turns of a conversation are gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Turns {
    /// So many at most, 1 or more.
    Most(u32),
    /// The word `all`.
    All(AllTurns),
}

/// The word `all`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AllTurns {
    /// Every turn there is.
    #[default]
    All,
}

impl Default for Turns {
    fn default() -> Self {
        Self::All(AllTurns::All)
    }
}

impl Turns {
    /// So many at most.
    #[must_use]
    pub const fn most(self) -> u32 {
        match self {
            Self::Most(most) => most,
            Self::All(_) => u32::MAX,
        }
    }
}

/// Who said the assistant's part of the history.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Answers {
    /// The model, in this run: a server's prompt cache sees what it would see in use.
    #[default]
    Generated,
    /// The dataset: every run has the same prompts, whatever the model says.
    Recorded,
}

/// Time between an answer and the next turn, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ThinkTime {
    /// Always the same.
    Constant(f64),
    /// Drawn for each turn.
    Drawn(ThinkTimes),
}

/// How think times are distributed. All values are seconds but `sigma`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "distribution", rename_all = "snake_case", deny_unknown_fields)]
pub enum ThinkTimes {
    /// Equally likely between two times.
    Uniform {
        /// The shortest, 0 or more.
        min: f64,
        /// The longest.
        max: f64,
    },
    /// Exponential.
    Exponential {
        /// The mean, above 0.
        mean: f64,
    },
    /// Normal; what would be less than 0 is 0.
    Normal {
        /// The mean, 0 or more.
        mean: f64,
        /// The standard deviation, 0 or more.
        stddev: f64,
    },
    /// Log-normal: its logarithm is normal, as times of people often are.
    Lognormal {
        /// The median, above 0.
        median: f64,
        /// Standard deviation of the natural logarithm, 0 or more.
        sigma: f64,
    },
}
