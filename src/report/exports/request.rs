//! What aiperf would say of one request: its metrics by their tags, in its units.

use crate::record::{RequestRecord, TokenSource};
use crate::units::Nanos;

const MS: &str = "ms";
const TOKENS: &str = "tokens";
const PER_USER: &str = "tokens/sec/user";

/// A metric of one request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Metric {
    pub tag: &'static str,
    pub unit: &'static str,
    pub value: f64,
}

/// The last content of the answer, where aiperf's request latency ends.
pub(super) fn last_content(request: &RequestRecord) -> Nanos {
    request.last_token_ns.unwrap_or(request.end_ns)
}

/// Milliseconds between two stamps.
pub(super) fn ms(to: Nanos, from: Nanos) -> f64 {
    1e3 * to.since(from).0
}

/// The gaps between chunks, in ms.
pub(super) fn gaps(request: &RequestRecord) -> Vec<f64> {
    let gap = |pair: &[u64]| ms(Nanos(pair[1]), Nanos(pair[0]));
    request.event_offsets_ns.windows(2).map(gap).collect()
}

/// Every metric of a request that succeeded.
pub(super) fn metrics(request: &RequestRecord) -> Vec<Metric> {
    let mut found = Vec::new();
    let mut put = |tag, unit, value: Option<f64>| {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            found.push(Metric { tag, unit, value });
        }
    };
    let count = |count: Option<u64>| count.map(|count| count as f64);
    let tokens = &request.tokens;
    let (input, output) = (count(tokens.prompt), count(tokens.completion));
    let latency = ms(last_content(request), request.sent_ns);
    let ttft = request.first_token_ns.map(|first| ms(first, request.sent_ns));
    let ttfo = request.first_output_token_ns.map(|first| ms(first, request.sent_ns));
    let step = ttft
        .zip(output.filter(|output| *output >= 2.0))
        .map(|(ttft, output)| (latency - ttft) / (output - 1.0));
    put("input_sequence_length", TOKENS, input);
    put("output_sequence_length", TOKENS, output);
    put(
        "output_token_count",
        TOKENS,
        output.map(|output| output - count(tokens.reasoning).unwrap_or(0.0)),
    );
    put("reasoning_token_count", TOKENS, count(tokens.reasoning));
    if tokens.source == TokenSource::Usage {
        put("usage_prompt_tokens", TOKENS, input);
        put("usage_completion_tokens", TOKENS, output);
        put("usage_total_tokens", TOKENS, input.zip(output).map(|(input, output)| input + output));
        put("usage_prompt_cache_read_tokens", TOKENS, count(tokens.cached_prompt));
    }
    put("request_latency", MS, Some(latency));
    put("time_to_first_token", MS, ttft);
    put("time_to_second_token", MS, gaps(request).first().copied());
    put("time_to_first_output_token", MS, ttfo);
    put("inter_token_latency", MS, step);
    put("decode_duration", MS, ttft.map(|ttft| latency - ttft));
    put("output_token_throughput_per_user", PER_USER, step.map(|step| 1e3 / step));
    put("e2e_output_token_throughput", PER_USER, output.map(|output| 1e3 * output / latency));
    put(
        "prefill_throughput_per_user",
        PER_USER,
        input.zip(ttft).map(|(input, ttft)| 1e3 * input / ttft),
    );
    put("credit_to_start_latency", MS, Some(ms(request.sent_ns, request.scheduled_ns)));
    put("effective_latency", MS, Some(ms(last_content(request), request.scheduled_ns)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_milliseconds() {
        assert!((ms(Nanos(3_500_000), Nanos(1_000_000)) - 2.5).abs() < 1e-12);
        assert!(ms(Nanos(1), Nanos(2)).abs() < 1e-12);
    }
}
