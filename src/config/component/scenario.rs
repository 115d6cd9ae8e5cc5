//! Settings of the scenario: what is asked, how often, with which parameters.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::conversation::Conversations;
use super::load::LoadConfig;
use super::protocol::{Repetitions, SteadyLimits, Until, WarmupMode};
use super::workload::{SYNTHETIC, SyntheticConfig};
use super::{BoolOrText, TextList};

/// The dataset of generated prompts.
pub const RANDOM_TOKENS: &str = "random_tokens";

/// What is asked of the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScenarioConfig {
    /// `builtin`, a file (`.jsonl .json .csv .parquet .txt`), a folder, a HuggingFace dataset id, `synthetic` (see
    /// `synthetic`), or `random_tokens` (see `input_shapes`).
    pub dataset_name: String,
    /// Configuration (subset) of a HuggingFace dataset.
    pub dataset_config: Option<String>,
    /// Split of a HuggingFace dataset or folder.
    pub dataset_split: String,
    /// Revision (branch, tag or commit) of a HuggingFace dataset. Default: `main`.
    pub dataset_revision: Option<String>,
    /// Column (or key) that holds the prompt.
    pub text_column_name: String,
    /// Prompts to use, in the dataset's order; -1 or absent means all.
    pub num_samples: Option<i64>,
    /// Cut prompts that do not fit the model's context. A server cuts nothing: there it is its own affair.
    pub truncation: BoolOrText,
    /// Reasoning on (`true` or a level) or off.
    pub reasoning: BoolOrText,
    /// Parameters of the model's reasoning.
    pub reasoning_params: Option<BTreeMap<String, Value>>,
    /// Shapes of inputs: how many side by side, and how long generated ones are.
    pub input_shapes: Option<InputShapes>,
    /// Prompts made to an exact number of tokens, for `dataset_name: synthetic`.
    pub synthetic: Option<SyntheticConfig>,
    /// How the answer is generated.
    pub generate_kwargs: GenerateKwargs,
    /// When requests leave.
    pub load: LoadConfig,
    /// Go through conversations (prompts with several turns) turn by turn: `{think_time_s: 5}`. `load` says then when
    /// conversations begin, and a limit of requests in flight is one of conversations. Default: a conversation is one prompt,
    /// to be answered at its end.
    pub conversations: Option<Conversations>,
    /// Rounds to measure at least; a round is as many requests as are in flight, and of a load with a `rate` so many requests
    /// as it sends in a second. Prompts repeat when they run out. Default: every prompt once.
    pub iterations: Option<u64>,
    /// Requests to measure, exactly; with `duration_s` the measurement ends with whichever comes first. Prompts repeat when
    /// they run out. Default: as `iterations`.
    pub requests: Option<u64>,
    /// Seconds to measure at least: requests leave until this time has passed and `iterations` are done.
    /// Default: no such time.
    pub duration_s: Option<f64>,
    /// Seconds that requests in flight get to end when no more leave; then they are given up, and counted as in flight at
    /// the end. Default: until they have ended, each within `request_timeout_s`.
    pub grace_s: Option<f64>,
    /// Repeat the measurement until the 95 % interval of J per output token is this narrow: `{energy_ci_percent: 2}`. Each
    /// repetition is a window of the load, of `duration_s` or `requests`. The same as `repetitions` with
    /// `target_relative_ci`; one of the two.
    pub until: Option<Until>,
    /// How often the measurement is repeated, each time with the same requests (generated prompts are new each time,
    /// unless `num_samples` says how many there are):
    /// a number, or `{target_relative_ci: 0.01, min: 5, max: 30}` for as often as an interval of plus or minus 1 % takes.
    pub repetitions: Repetitions,
    /// Between repetitions nothing is sent for a random time, uniform from 0 to so many seconds, so that they meet the
    /// sensors at different points of their cadence. Default: the longest update period of the counted sensors that
    /// measure.
    pub phase_shift_s: Option<f64>,
    /// Seed of those times.
    pub phase_shift_seed: u64,
    /// When warm-up ends: `fixed`, after the rounds below, or `until_steady`.
    pub warmup: WarmupMode,
    /// What counts as steady, for `warmup: until_steady`.
    pub steady_limits: SteadyLimits,
    /// Rounds of warm-up requests at the measured concurrency, before the measurement. 0 for none.
    pub warmup_rounds: u32,
    /// Warm-up requests, exactly, in place of `warmup_rounds`. Default: as many as those rounds have.
    pub warmup_requests: Option<u64>,
    /// Further rounds of warm-up that generate two tokens a request, as optimum-benchmark's do.
    pub warmup_runs: u32,
    /// Seconds of idling before and after, to know the baseline.
    pub idle_s: f64,
    /// Seconds of idling before the model is loaded, where this program loads it; with `metrics.baseline: bare` also after
    /// it is gone again. Default: as `idle_s`.
    pub idle_bare_s: Option<f64>,
    /// Deadline of one request in seconds.
    pub request_timeout_s: f64,
    /// Attempts beyond the first, for connection errors, 429 and 503 before the first byte.
    pub max_retries: u32,
    /// Wait before the first retry in seconds; doubles each time, up to 30 s. A server's `Retry-After` wins.
    pub retry_backoff_s: f64,
    /// Failures in a row that end the run early. 0 for never.
    pub max_consecutive_failures: u32,
    /// Keep the generated text in `requests.jsonl`.
    pub save_outputs: bool,
}

impl Default for ScenarioConfig {
    fn default() -> Self {
        Self {
            dataset_name: "builtin".to_owned(),
            dataset_config: None,
            dataset_split: "train".to_owned(),
            dataset_revision: None,
            text_column_name: "text".to_owned(),
            num_samples: None,
            truncation: BoolOrText::Bool(true),
            reasoning: BoolOrText::Bool(false),
            reasoning_params: None,
            input_shapes: None,
            synthetic: None,
            generate_kwargs: GenerateKwargs::default(),
            load: LoadConfig::default(),
            conversations: None,
            iterations: None,
            requests: None,
            duration_s: None,
            grace_s: None,
            until: None,
            repetitions: Repetitions::default(),
            phase_shift_s: None,
            phase_shift_seed: 42,
            warmup: WarmupMode::default(),
            steady_limits: SteadyLimits::default(),
            warmup_rounds: 1,
            warmup_requests: None,
            warmup_runs: 0,
            idle_s: 3.0,
            idle_bare_s: None,
            request_timeout_s: 600.0,
            max_retries: 3,
            retry_backoff_s: 0.5,
            max_consecutive_failures: 3,
            save_outputs: false,
        }
    }
}

/// Shapes of inputs, as optimum-benchmark names them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InputShapes {
    /// Prompts a batch. A batch of N is run as N requests in flight, the next leaving when one ends, and the report
    /// says so. Default: 1.
    pub batch_size: Option<u32>,
    /// Tokens a generated prompt (`dataset_name: random_tokens`), up to 4194304.
    pub sequence_length: Option<u32>,
    /// Token ids of generated prompts are below this. Default: the model's vocabulary where its files or the backend
    /// tell it, else 32000 with a caution.
    pub vocab_size: Option<u32>,
    /// Seed of generated prompts. Default: 42.
    pub seed: Option<u64>,
}

impl ScenarioConfig {
    /// Whether prompts are random token ids.
    #[must_use]
    pub fn is_random(&self) -> bool {
        self.dataset_name == RANDOM_TOKENS
    }

    /// Whether prompts are made of words.
    #[must_use]
    pub fn is_synthetic(&self) -> bool {
        self.dataset_name == SYNTHETIC
    }

    /// Whether prompts are made as they are sent, without end.
    #[must_use]
    pub fn is_generated(&self) -> bool {
        self.is_random() || self.is_synthetic()
    }

    /// How often the measurement is repeated, by `repetitions` or `until`.
    #[must_use]
    pub fn wanted_repetitions(&self) -> Repetitions {
        self.until.map_or(self.repetitions, Until::repetitions)
    }

    /// A batch size that stands for requests in flight.
    #[must_use]
    pub fn batch_size(&self) -> Option<u32> {
        self.input_shapes.as_ref().and_then(|shapes| shapes.batch_size).filter(|size| *size > 1)
    }
}

/// How the answer is generated, as transformers names it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GenerateKwargs {
    /// Most tokens to generate. Default: 100.
    pub max_new_tokens: u32,
    /// Fewest tokens to generate; equal to `max_new_tokens` it fixes the length.
    pub min_new_tokens: Option<u32>,
    /// Sampling temperature. Ignored (0) when `do_sample` is false. Default: 1 when sampling.
    pub temperature: Option<f64>,
    /// Nucleus sampling: smallest set of tokens with this probability.
    pub top_p: Option<f64>,
    /// Sample among this many most likely tokens.
    pub top_k: Option<u32>,
    /// Sample (true) or take the likeliest token (false, temperature 0).
    pub do_sample: bool,
    /// Seed of the sampling.
    pub seed: Option<u64>,
    /// Go on after the end-of-sequence token.
    pub ignore_eos: Option<bool>,
    /// Texts at which the answer ends.
    pub stop: Option<TextList>,
}

impl GenerateKwargs {
    /// The same for an answer of so many tokens: exactly so many, unless `ignore_eos` is set to `false`; then at most.
    #[must_use]
    pub fn of_length(&self, tokens: u32) -> Self {
        let least = match self.ignore_eos {
            Some(false) => self.min_new_tokens.map(|least| least.min(tokens)),
            _ => Some(tokens),
        };
        Self { max_new_tokens: tokens, min_new_tokens: least, ..self.clone() }
    }

    /// Whether the answer is to have `max_new_tokens` exactly.
    #[must_use]
    pub fn fixes_length(&self) -> bool {
        self.ignore_eos != Some(false)
            && (self.min_new_tokens == Some(self.max_new_tokens) || self.ignore_eos == Some(true))
    }
}

impl Default for GenerateKwargs {
    fn default() -> Self {
        Self {
            max_new_tokens: 100,
            min_new_tokens: None,
            temperature: None,
            top_p: None,
            top_k: None,
            do_sample: false,
            seed: None,
            ignore_eos: None,
            stop: None,
        }
    }
}
