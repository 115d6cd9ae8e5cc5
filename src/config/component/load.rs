//! Settings of the load: when requests leave.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When requests leave. The key `type` chooses.
///
/// In a closed loop (`sequential`, `concurrency`, `throughput`) the next leaves when one ends, so a slow server is asked
/// less. In an open loop (`constant`, `poisson`, `gamma`) requests arrive at times of their own, however slow the answers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum LoadConfig {
    /// One request at a time, the next when the last has ended.
    #[default]
    Sequential,
    /// A fixed number in flight: when one ends the next leaves.
    Concurrency {
        /// Requests in flight, 1 or more.
        concurrency: u32,
        /// Reach that number bit by bit: `{from: 1, over_s: 60, shape: linear}`. Default: at once.
        #[serde(default)]
        ramp: Option<Ramp>,
    },
    /// Arrivals at a constant rate: the first at once, then one every 1 / `rate` seconds.
    Constant {
        /// Requests a second, above 0, up to 1000000.
        rate: f64,
        /// Requests in flight at most. Arrivals beyond wait, and the report says how many: the loop is no longer open then.
        /// Default: no such limit.
        #[serde(default)]
        max_concurrency: Option<u32>,
        /// Reach that rate bit by bit: `{from: 1, over_s: 60, shape: linear}`. Default: at once.
        #[serde(default)]
        ramp: Option<Ramp>,
    },
    /// Arrivals at random, independent of each other: gaps are exponential with the mean 1 / `rate`.
    Poisson {
        /// Requests a second on average, above 0, up to 1000000.
        rate: f64,
        /// Requests in flight at most. Arrivals beyond wait, and the report says how many: the loop is no longer open then.
        /// Default: no such limit.
        #[serde(default)]
        max_concurrency: Option<u32>,
        /// Reach that rate bit by bit: `{from: 1, over_s: 60, shape: linear}`. Default: at once.
        #[serde(default)]
        ramp: Option<Ramp>,
        /// Seed of the arrivals. Warm-up and each repetition draw arrivals of their own from it.
        #[serde(default = "arrival_seed")]
        seed: u64,
    },
    /// Arrivals at random in bursts or more evenly than at random: gaps have a gamma distribution with the mean 1 / `rate` and
    /// the shape `burstiness`.
    Gamma {
        /// Requests a second on average, above 0, up to 1000000.
        rate: f64,
        /// Shape of the gaps, as vLLM and aiperf (`arrival smoothness`) define it, above 0: below 1 they come in bursts, 1 is
        /// Poisson, above 1 they are more even. The coefficient of variation of the gaps is 1 / sqrt(burstiness).
        burstiness: f64,
        /// Requests in flight at most. Arrivals beyond wait, and the report says how many: the loop is no longer open then.
        /// Default: no such limit.
        #[serde(default)]
        max_concurrency: Option<u32>,
        /// Reach that rate bit by bit: `{from: 1, over_s: 60, shape: linear}`. Default: at once.
        #[serde(default)]
        ramp: Option<Ramp>,
        /// Seed of the arrivals. Warm-up and each repetition draw arrivals of their own from it.
        #[serde(default = "arrival_seed")]
        seed: u64,
    },
    /// As fast as it goes: every request leaves at once, up to `max_concurrency` in flight.
    Throughput {
        /// Requests in flight at most. Default: no limit, so all of them at once; a load by `duration_s` needs one.
        #[serde(default)]
        max_concurrency: Option<u32>,
    },
    /// Requests arrive as in a recorded trace, the first of it at once.
    Trace {
        /// The trace: a file on this machine.
        file: String,
        /// Its format; `auto` tells it from its first line.
        #[serde(default)]
        format: TraceFormat,
        /// All times are multiplied by this: 0.5 is twice as fast. Above 0.
        #[serde(default = "real_time")]
        time_scale: f64,
        /// Requests of the trace to use, from its begin. Default: all.
        #[serde(default)]
        limit: Option<u64>,
        /// What is asked.
        #[serde(default)]
        prompts: PromptsOf,
        /// Requests in flight at most. Arrivals beyond wait, and the report says how many: the loop is no longer open then.
        /// Default: no such limit.
        #[serde(default)]
        max_concurrency: Option<u32>,
        /// Seed of the tokens of prompts that the trace gives as lengths.
        #[serde(default = "arrival_seed")]
        seed: u64,
    },
    /// Loads one after the other. They say themselves how long they last.
    Stages {
        /// The stages in order. Each begins when the one before is over; requests in flight go on meanwhile.
        stages: Vec<Stage>,
    },
}

/// One stage of a load: `{load: {type: poisson, rate: 5}, duration_s: 60}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// The load, of any type but `stages`.
    pub load: LoadConfig,
    /// Seconds that it lasts. One of `duration_s` and `requests`.
    #[serde(default)]
    pub duration_s: Option<f64>,
    /// Requests that it lasts.
    #[serde(default)]
    pub requests: Option<u64>,
}

/// How a rate or a number of requests in flight is reached.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ramp {
    /// What it begins with, in the unit of what it leads to; above 0 where it is exponential.
    pub from: f64,
    /// Seconds until it is reached, above 0.
    pub over_s: f64,
    /// By the same amount (`linear`) or by the same factor (`exponential`) every second.
    #[serde(default)]
    pub shape: RampShape,
}

/// The course of a ramp.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RampShape {
    /// By the same amount every second.
    #[default]
    Linear,
    /// By the same factor every second.
    Exponential,
}

/// How a trace is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TraceFormat {
    /// As its first line tells.
    #[default]
    Auto,
    /// Mooncake's JSON Lines: `timestamp` in ms, `input_length`, `output_length`, `hash_ids` of blocks of 512 tokens.
    Mooncake,
    /// The CSV of Azure's LLM inference traces of 2023 and 2024: `TIMESTAMP`, `ContextTokens`, `GeneratedTokens`.
    Azure,
    /// BurstGPT's CSV: `Timestamp` in seconds, `Request tokens`, `Response tokens`; rows without an answer are left out.
    Burstgpt,
    /// JSON Lines: `at_s`, one of `prompt`, `messages` and `input_tokens`, and `output_tokens`.
    Jsonl,
}

impl TraceFormat {
    /// Every format.
    pub const ALL: [Self; 5] =
        [Self::Auto, Self::Mooncake, Self::Azure, Self::Burstgpt, Self::Jsonl];

    /// As a config names it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Mooncake => "mooncake",
            Self::Azure => "azure",
            Self::Burstgpt => "burstgpt",
            Self::Jsonl => "jsonl",
        }
    }
}

/// Whose prompts the requests of a trace ask.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PromptsOf {
    /// The trace's: what it says in words, else token ids of the length that it says, blocks of the same name being the same
    /// tokens. Answers are as long as it says.
    #[default]
    Trace,
    /// The dataset's; of the trace only the times are used.
    Dataset,
}

const fn real_time() -> f64 {
    1.0
}

const fn arrival_seed() -> u64 {
    42
}

impl LoadConfig {
    /// Every value of `type`.
    pub const KINDS: [&'static str; 8] = [
        "concurrency",
        "constant",
        "gamma",
        "poisson",
        "sequential",
        "stages",
        "throughput",
        "trace",
    ];

    /// So many in flight.
    #[must_use]
    pub const fn concurrency(concurrency: u32) -> Self {
        Self::Concurrency { concurrency, ramp: None }
    }

    /// The value of `type`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::Concurrency { .. } => "concurrency",
            Self::Constant { .. } => "constant",
            Self::Poisson { .. } => "poisson",
            Self::Gamma { .. } => "gamma",
            Self::Throughput { .. } => "throughput",
            Self::Stages { .. } => "stages",
            Self::Trace { .. } => "trace",
        }
    }

    /// Arrivals a second, once any ramp is over; of loads whose requests arrive at times of their own.
    #[must_use]
    pub const fn rate(&self) -> Option<f64> {
        match self {
            Self::Constant { rate, .. } | Self::Poisson { rate, .. } | Self::Gamma { rate, .. } => {
                Some(*rate)
            }
            _ => None,
        }
    }

    /// Whether requests arrive at times of their own, however slow the answers.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.rate().is_some() || matches!(self, Self::Trace { .. })
    }

    /// The limit beside an arrival rate or a load without pause.
    #[must_use]
    pub const fn max_concurrency(&self) -> Option<u32> {
        match self {
            Self::Constant { max_concurrency, .. }
            | Self::Poisson { max_concurrency, .. }
            | Self::Gamma { max_concurrency, .. }
            | Self::Trace { max_concurrency, .. }
            | Self::Throughput { max_concurrency } => *max_concurrency,
            _ => None,
        }
    }

    /// Its ramp, where it has one.
    #[must_use]
    pub const fn ramp(&self) -> Option<Ramp> {
        match self {
            Self::Concurrency { ramp, .. }
            | Self::Constant { ramp, .. }
            | Self::Poisson { ramp, .. }
            | Self::Gamma { ramp, .. } => *ramp,
            _ => None,
        }
    }

    /// The same from the first moment on as after its ramp, for warm-up.
    #[must_use]
    pub fn without_ramp(&self) -> Self {
        let mut load = self.clone();
        match &mut load {
            Self::Concurrency { ramp, .. }
            | Self::Constant { ramp, .. }
            | Self::Poisson { ramp, .. }
            | Self::Gamma { ramp, .. } => *ramp = None,
            Self::Sequential
            | Self::Throughput { .. }
            | Self::Trace { .. }
            | Self::Stages { .. } => {}
        }
        load
    }
}
