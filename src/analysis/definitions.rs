//! What each figure of the report means, for machines and for the documentation.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a figure is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Its unit.
    pub unit: String,
    /// How it is computed.
    pub definition: String,
}

/// One figure of the list.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Its path in the report.
    pub path: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// How it is computed.
    pub definition: &'static str,
    /// What others call by that or a similar name, and how that differs; empty where nobody else has it.
    pub others: &'static str,
}

const fn entry(
    path: &'static str,
    unit: &'static str,
    definition: &'static str,
    others: &'static str,
) -> Entry {
    Entry { path, unit, definition, others }
}

/// What holds for every percentile.
pub const PERCENTILES: &str = "exact, over all values: linear between the two nearest ranks, position q (n - 1) in the sorted \
    sample (numpy's default)";

/// Every figure with a definition, in the order of the documentation.
pub const ENTRIES: [Entry; 46] = [
    entry(
        "latency.ttft",
        "s",
        "first event with generated text, reasoning or a tool call - sent; sent is when the last byte of the request was handed to the kernel",
        "aiperf: the same, from before the connection is asked for; vLLM: the first chunk with `choices`, so an empty role counts; llmperf: first content",
    ),
    entry(
        "latency.ttfo",
        "s",
        "first event with generated text or a tool call that is not reasoning - sent",
        "aiperf `time_to_first_output_token`: the same; others do not tell reasoning apart",
    ),
    entry(
        "latency.inter_token_latency",
        "s",
        "(E2E - TTFT) / (output tokens - 1), one value a request",
        "aiperf `inter_token_latency`: E2E ends with the last content; vLLM calls this TPOT, and ITL the gaps between chunks; llmperf: E2E / chunks, TTFT included",
    ),
    entry(
        "latency.tpot",
        "s",
        "(last event with text - first) / (output tokens - 1), one value a request: without the server's closing events",
        "vLLM: (E2E - TTFT) / (output tokens - 1), E2E ending with the last chunk that has `choices`; guidellm: (last - sent) / output tokens",
    ),
    entry(
        "latency.inter_chunk_latency",
        "s",
        "gaps between events with text, pooled over all requests; a chunk may hold several tokens",
        "aiperf `inter_chunk_latency`: the same; vLLM's ITL",
    ),
    entry(
        "latency.e2e",
        "s",
        "ended - sent; of a request that was tried again, of its last attempt",
        "aiperf `request_latency`: to the last content; vLLM: to the last chunk with `choices`",
    ),
    entry(
        "latency.e2e_from_schedule",
        "s",
        "ended - when the load wanted it sent: waiting for a place and earlier attempts included (no coordinated omission)",
        "aiperf `effective_latency`; vLLM `e2el_including_client_queue`, only with a rate and a limit",
    ),
    entry(
        "latency.queue_delay",
        "s",
        "sent - when the load wanted it sent",
        "aiperf `credit_to_start_latency` (from the credit's issue); vLLM `client_queue_time`",
    ),
    entry(
        "latency.decode_speed",
        "token/s",
        "(output tokens - 1) / (E2E - TTFT), one value a request",
        "aiperf `output_token_throughput_per_user`",
    ),
    entry(
        "latency.e2e_speed",
        "token/s",
        "output tokens / E2E, one value a request",
        "aiperf `e2e_output_token_throughput`",
    ),
    entry(
        "throughput.requests",
        "request/s",
        "successful requests / measured window: first request sent to last ended, failed ones included",
        "vLLM: over the wall time of the whole load",
    ),
    entry(
        "throughput.output_tokens",
        "token/s",
        "output tokens of successful requests / measured window",
        "the same but for the window; aiperf counts by a tokenizer unless told otherwise",
    ),
    entry(
        "throughput.prompt_tokens",
        "token/s",
        "prompt tokens of successful requests, chat template and cached ones included / measured window",
        "aiperf `input_token_throughput`: without the template",
    ),
    entry(
        "throughput.total_tokens",
        "token/s",
        "prompt and output tokens of successful requests / measured window",
        "as above",
    ),
    entry(
        "throughput.peak_in_flight",
        "1",
        "most requests in flight at one moment",
        "vLLM `max_concurrent_requests`: those that touched one second",
    ),
    entry(
        "protocol.steady_state.requests_per_second",
        "request/s",
        "requests that ended well in the steady state / its length",
        "",
    ),
    entry(
        "protocol.steady_state.output_tokens_per_second",
        "token/s",
        "output tokens that came in the steady state / its length; of requests that reach beyond it in proportion to their events in it",
        "",
    ),
    entry(
        "protocol.steady_state.total_tokens_per_second",
        "token/s",
        "those and the prompt tokens of requests whose first token came in it / its length",
        "",
    ),
    entry(
        "protocol.steady_state.joules_per_output_token",
        "J/token",
        "energy in the steady state / output tokens that came in it",
        "",
    ),
    entry(
        "goodput.good_requests",
        "request",
        "requests that succeeded and met every objective of metrics.slo; without objectives, all that succeeded",
        "aiperf `good_request_count`: a request without the quantity is not good; vLLM: a single token has a TPOT of 0",
    ),
    entry(
        "goodput.good_request_fraction",
        "1",
        "good requests / requests sent: failed, cancelled and unfinished ones are not good",
        "aiperf `good_request_fraction`: over successful and failed ones",
    ),
    entry(
        "goodput.requests_per_second",
        "request/s",
        "good requests / measured window",
        "aiperf `goodput`, vLLM `request_goodput`",
    ),
    entry("goodput.output_tokens", "token", "output tokens of good requests", ""),
    entry(
        "goodput.output_tokens_per_second",
        "token/s",
        "output tokens of good requests / measured window",
        "inference-perf: token goodput",
    ),
    entry(
        "goodput.joules_per_good_request",
        "J/request",
        "gross energy of the basis / good requests: what the others used is inside",
        "",
    ),
    entry(
        "goodput.joules_per_good_output_token",
        "J/token",
        "gross energy of the basis / output tokens of good requests",
        "",
    ),
    entry(
        "goodput.good_requests_per_joule",
        "request/J",
        "good requests / gross energy of the basis",
        "aiperf `goodput_per_watt`, in the same unit",
    ),
    entry(
        "goodput.wasted",
        "J",
        "energy attributed to requests that were not good, with their part of idling while they were in flight",
        "",
    ),
    entry(
        "goodput.wasted_unanswered",
        "J",
        "of that, of requests that failed, were cancelled or did not end",
        "",
    ),
    entry("goodput.wasted_share", "1", "wasted / gross energy of the basis", ""),
    entry(
        "efficiency.joules_per_output_token",
        "J/token",
        "gross energy of the basis (GPUs where counted, else all that is measured, else modelled) / output tokens of successful requests",
        "aiperf `energy_per_output_token` in mJ: GPU only, over a window that ends up to 666 ms later",
    ),
    entry(
        "efficiency.joules_per_total_token",
        "J/token",
        "gross energy of the basis / prompt and output tokens of successful requests",
        "aiperf `energy_per_total_token` in mJ",
    ),
    entry(
        "efficiency.joules_per_request",
        "J/request",
        "gross energy of the basis / successful requests: what failed ones used is inside",
        "aiperf `energy_per_request`",
    ),
    entry(
        "efficiency.output_tokens_per_joule",
        "token/J",
        "output tokens of successful requests / gross energy of the basis",
        "aiperf `output_tokens_per_joule`, `output_tps_per_watt`",
    ),
    entry(
        "efficiency.total_tokens_per_joule",
        "token/J",
        "prompt and output tokens of successful requests / gross energy of the basis",
        "",
    ),
    entry(
        "efficiency.energy_delay_product",
        "J*s",
        "joules per request x mean E2E",
        "aiperf `energy_delay_product`: the same",
    ),
    entry(
        "efficiency.wh_per_1000_requests",
        "Wh/1000 requests",
        "joules per request x 1000 / 3600",
        "AIEnergyScore",
    ),
    entry(
        "efficiency.mean_power",
        "W",
        "gross energy of the basis / measured window",
        "aiperf `average_gpu_power`",
    ),
    entry(
        "efficiency.peak_power",
        "W",
        "99th percentile and highest of the mean powers of the basis over windows of 0.1 s and 1 s that lie end to end; null where a sensor does not resolve one of them",
        "",
    ),
    entry(
        "tokens.prompt",
        "token",
        "as the server or engine counts them, chat template and cached ones included",
        "aiperf: tokenizer, without template",
    ),
    entry(
        "tokens.cached_prompt",
        "token",
        "of those, from the server's prompt cache, where it says so",
        "",
    ),
    entry(
        "tokens.completion",
        "token",
        "as the server or engine counts them, reasoning included; `tokens.counted_by` says who",
        "aiperf, genai-perf, inference-perf: tokenizer of the text, unless told otherwise",
    ),
    entry("tokens.reasoning", "token", "of those, reasoning, where the server says so", ""),
    entry("tokens.total", "token", "prompt and output", ""),
    entry(
        "run.window",
        "s",
        "first request sent to last ended, all repetitions together",
        "aiperf: first sent to last content; vLLM: the whole load with its drain",
    ),
    entry(
        "counts",
        "request",
        "sent = succeeded + failed + cancelled + in_flight_at_end; planned = sent + not_sent, unless more were sent; retries and warm-up apart",
        "",
    ),
];

/// As the report has them.
#[must_use]
pub fn all() -> BTreeMap<String, Definition> {
    let own = |unit: &str, definition: &str| Definition {
        unit: unit.to_owned(),
        definition: definition.to_owned(),
    };
    let mut all: BTreeMap<String, Definition> = ENTRIES
        .into_iter()
        .map(|entry| (entry.path.to_owned(), own(entry.unit, entry.definition)))
        .collect();
    all.insert("percentiles".to_owned(), own("that of the values", PERCENTILES));
    all
}
