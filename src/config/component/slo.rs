//! Settings of what a good request is: service level objectives.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Service level objectives of one request: it is good when it succeeded and meets all that are set. Times are at most so
/// many milliseconds, speeds at least so many tokens a second. One whose first token never came misses objectives on it;
/// one with fewer than two output tokens has no gap between tokens that could be too long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SloConfig {
    /// Sent to first generated text, reasoning included (vLLM's and aiperf's TTFT), in ms.
    pub ttft_ms: Option<f64>,
    /// Sent to first output text that is not reasoning (aiperf's TTFO), in ms.
    pub ttfo_ms: Option<f64>,
    /// (E2E - TTFT) / (output tokens - 1), in ms. aiperf's inter-token latency, and what vLLM's `tpot` means.
    pub inter_token_latency_ms: Option<f64>,
    /// (Last text event - first text event) / (output tokens - 1), in ms.
    pub tpot_ms: Option<f64>,
    /// Sent to ended (vLLM's `e2el`, aiperf's request latency), in ms.
    pub e2e_ms: Option<f64>,
    /// From when the load wanted it sent to ended, in ms: what a user waits who comes on schedule.
    pub e2e_from_schedule_ms: Option<f64>,
    /// From when the load wanted it sent to sent, in ms.
    pub queue_delay_ms: Option<f64>,
    /// (Output tokens - 1) / (E2E - TTFT), at least so many tokens a second (aiperf's output token throughput per user).
    pub decode_tokens_per_second: Option<f64>,
    /// Output tokens / E2E, at least so many tokens a second.
    pub e2e_tokens_per_second: Option<f64>,
}

impl SloConfig {
    /// Every objective with its key; those that are not set are none.
    #[must_use]
    pub const fn all(&self) -> [(&'static str, Option<f64>); 9] {
        [
            ("ttft_ms", self.ttft_ms),
            ("ttfo_ms", self.ttfo_ms),
            ("inter_token_latency_ms", self.inter_token_latency_ms),
            ("tpot_ms", self.tpot_ms),
            ("e2e_ms", self.e2e_ms),
            ("e2e_from_schedule_ms", self.e2e_from_schedule_ms),
            ("queue_delay_ms", self.queue_delay_ms),
            ("decode_tokens_per_second", self.decode_tokens_per_second),
            ("e2e_tokens_per_second", self.e2e_tokens_per_second),
        ]
    }
}
