//! What units of work cost against each other, and who says so.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Parameters that are fitted: prefill, decode, context, step.
pub const PARAMETERS: usize = 4;

/// What a cached prompt token costs against one that is computed, where nobody says: its keys and values are only looked up.
pub const CACHED_SHARE: f64 = 0.01;

/// Cost of units of work. Only ratios matter; fitted weights are joules.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// One prompt token that was computed.
    pub prefill: f64,
    /// One prompt token from the server's cache.
    pub cached_prompt: f64,
    /// One generated token, whatever its context.
    pub decode: f64,
    /// Added for each token of its context.
    pub context: f64,
    /// One step of the batch, shared equally by the sequences in it.
    pub step: f64,
}

impl Weights {
    /// Where nothing is known of a server: a dense model of a few billion parameters on a data-centre GPU.
    ///
    /// In units of one prompt token. A generated token does the same arithmetic as a prompt token, and its attention over
    /// the cache is bound by memory: 2, and 0.001 a token of context (131 kB of keys and values of an 8 B model with
    /// grouped queries, against 16 GB of weights for a step). A step reads all weights once: 150. Seen on one H100 with a
    /// 1.24 B model in bf16: 512 prompt tokens in 15 ms, and 2.0 to 2.6 J a step at one sequence, 2.6 at 8, 3.5 at 64.
    pub const ASSUMED: Self = Self {
        prefill: 1.0,
        cached_prompt: CACHED_SHARE,
        decode: 2.0,
        context: 0.001,
        step: 150.0,
    };

    /// From fitted parameters.
    #[must_use]
    pub fn of_parameters([prefill, decode, context, step]: [f64; PARAMETERS]) -> Self {
        Self { prefill, cached_prompt: CACHED_SHARE * prefill, decode, context, step }
    }

    /// The fitted parameters.
    #[must_use]
    pub const fn parameters(&self) -> [f64; PARAMETERS] {
        [self.prefill, self.decode, self.context, self.step]
    }
}

/// Whether weights were fitted, given or assumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WeightSource {
    /// By least squares on the energy of this run's intervals.
    Fitted,
    /// In the config.
    Given,
    /// Neither: a guess.
    Assumed,
}

impl WeightSource {
    /// The word used in tables and columns.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fitted => "fitted",
            Self::Given => "given",
            Self::Assumed => "assumed",
        }
    }
}

/// Weights of the config recorded in a manifest; none where it gives none.
#[must_use]
pub fn given(config: &Value) -> Option<Weights> {
    #[derive(Deserialize)]
    struct Given {
        prefill: f64,
        cached_prompt: Option<f64>,
        decode: f64,
        #[serde(default)]
        context: f64,
        #[serde(default)]
        step: f64,
    }
    let given = config.pointer("/metrics/attribution/weights")?;
    let given: Given = serde_json::from_value(given.clone()).ok()?;
    Some(Weights {
        prefill: given.prefill,
        cached_prompt: given.cached_prompt.unwrap_or(CACHED_SHARE * given.prefill),
        decode: given.decode,
        context: given.context,
        step: given.step,
    })
}

/// Prompt tokens of a step at most, as the config recorded in a manifest states them.
#[must_use]
pub fn given_chunk(config: &Value) -> Option<f64> {
    config
        .pointer("/metrics/attribution/max_batched_tokens")?
        .as_f64()
        .filter(|chunk| *chunk >= 1.0)
}
