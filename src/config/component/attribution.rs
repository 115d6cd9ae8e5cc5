//! Settings of the split of energy over requests.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the energy of the measured window is split over its requests.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AttributionConfig {
    /// Weights of the work, as `ai-energy-benchmark fit-weights` prints them. Default: fitted on the run itself
    /// where its mix of work tells them apart, else assumed ones; the report says which.
    pub weights: Option<AttributionWeights>,
    /// Tokens of one step of the server at most (`--max-num-batched-tokens` of vLLM): a longer prompt takes several steps.
    /// Default: as prompts show it that were prefilled while others decoded; where none do, a prompt is taken for one step.
    pub max_batched_tokens: Option<u32>,
}

/// What units of work cost against each other. Only their ratios matter, so any unit will do; fitted ones are joules.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttributionWeights {
    /// One prompt token that was not in the server's cache.
    pub prefill: f64,
    /// One prompt token that was. Default: a hundredth of `prefill`.
    pub cached_prompt: Option<f64>,
    /// One generated token, whatever its context.
    pub decode: f64,
    /// Added to it for each token of its context (prompt and what was generated before it).
    #[serde(default)]
    pub context: f64,
    /// One step of the server's batch, shared equally by the sequences in it: reading the weights of the model.
    #[serde(default)]
    pub step: f64,
}
