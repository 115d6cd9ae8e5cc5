//! What `vllm bench serve --save-result --save-detailed` writes (vLLM 0.32).
//!
//! By its definitions: TTFT is of the first chunk of the answer, which for a chat holds only a role, so it is the first
//! byte here; `itl` are the gaps between chunks from that one on; TPOT is (E2E - TTFT) / (output tokens - 1).

use serde_json::{Map, Value, json};

use crate::analysis::{Findings, goodput, stats};
use crate::record::{Outcome, RequestRecord, RunRecords};
use crate::units::Nanos;

use super::super::ReportError;
use super::{mean_and_deviation, measured, pretty};

/// The name of the export.
pub const KIND: &str = "vllm";
/// Its file.
pub const FILE: &str = "vllm_bench.json";

/// One request as vLLM sees it; times in seconds.
struct Output {
    ok: bool,
    start: f64,
    ttft: f64,
    itl: Vec<f64>,
    latency: f64,
    queue: f64,
    prompt: u64,
    output: u64,
}

impl Output {
    fn of(request: &RequestRecord, origin: Nanos) -> Self {
        let after = |at: Nanos| at.since(request.sent_ns).0;
        // The text's first chunk is one of its own where a role came before it.
        let first = request.first_byte_ns.or(request.first_token_ns).map(after);
        let mut itl = Vec::new();
        let mut last = first.unwrap_or(0.0);
        for offset in &request.event_offsets_ns {
            let at = Nanos(*offset).since(Nanos(0)).0;
            if at > last || !itl.is_empty() {
                itl.push((at - last).max(0.0));
            }
            last = at;
        }
        Self {
            ok: request.is_ok(),
            start: request.sent_ns.since(origin).0,
            ttft: first.unwrap_or_else(|| after(request.end_ns)),
            itl,
            latency: after(request.end_ns),
            queue: request.sent_ns.since(request.scheduled_ns).0,
            prompt: request.tokens.prompt.unwrap_or(0),
            output: request.tokens.completion.unwrap_or(0),
        }
    }

    /// A single token has none, which counts as zero for goodput.
    fn tpot(&self) -> Option<f64> {
        (self.output > 1).then(|| (self.latency - self.ttft) / (self.output - 1) as f64)
    }
}

/// The file.
///
/// # Errors
/// Never for findings of a run; the JSON writer's own otherwise.
pub fn render(findings: &Findings, records: &RunRecords) -> Result<Vec<u8>, ReportError> {
    let requests = measured(records);
    let origin = requests.iter().map(|request| request.scheduled_ns).min().unwrap_or_default();
    let end = requests.iter().map(|request| request.end_ns).max().unwrap_or_default();
    let outputs: Vec<Output> = requests.iter().map(|one| Output::of(one, origin)).collect();
    let good: Vec<&Output> = outputs.iter().filter(|output| output.ok).collect();
    let duration = end.since(origin).0;
    let mut file = head(findings, requests.len());
    let mut put = |key: &str, value: Value| file.insert(key.to_owned(), value);
    let input: u64 = good.iter().map(|output| output.prompt).sum();
    let output: u64 = good.iter().map(|output| output.output).sum();
    let rate = |count: f64| if duration > 0.0 { count / duration } else { 0.0 };
    put("duration", duration.into());
    put("completed", good.len().into());
    put("failed", (outputs.len() - good.len()).into());
    put("total_input_tokens", input.into());
    put("total_output_tokens", output.into());
    put("request_throughput", rate(good.len() as f64).into());
    put("request_goodput", goodput(findings, &good).map(rate).into());
    put("output_throughput", rate(output as f64).into());
    put("total_token_throughput", rate((input + output) as f64).into());
    let (tokens, concurrent) = busiest_second(&good);
    put("max_output_tokens_per_s", tokens.into());
    put("max_concurrent_requests", concurrent.into());
    put("rtfx", 0.0.into());
    summaries(&mut file, &good, limited(findings));
    detailed(&mut file, &requests, &outputs);
    pretty(&Value::Object(file))
}

fn head(findings: &Findings, requests: usize) -> Map<String, Value> {
    let config = |pointer: &str| findings.config.pointer(pointer).cloned();
    let chat = config("/backend/api").is_none_or(|api| api != "completions");
    let backend = if chat { "openai-chat" } else { "openai" };
    let date: String = findings.run.started.chars().filter(char::is_ascii_digit).take(14).collect();
    let (day, time) = date.split_at(date.len().min(8));
    let head = json!({
        "date": format!("{day}-{time}"),
        "endpoint_type": backend,
        "backend": backend,
        "label": findings.run.name,
        "model_id": findings.backend.model,
        "tokenizer_id": Value::Null,
        "num_prompts": requests,
        "request_rate": config("/scenario/load/rate").unwrap_or_else(|| "inf".into()),
        "burstiness": config("/scenario/load/burstiness").unwrap_or_else(|| 1.0.into()),
        "max_concurrency": limited(findings),
    });
    match head {
        Value::Object(head) => head,
        _ => Map::new(),
    }
}

/// Requests in flight at most, where the load says so.
fn limited(findings: &Findings) -> Option<u64> {
    let load = findings.config.pointer("/scenario/load");
    let number = |key: &str| load.and_then(|load| load.get(key)).and_then(Value::as_u64);
    number("concurrency").or_else(|| number("max_concurrency"))
}

/// Good requests by the objectives that vLLM has; none without one.
fn goodput(findings: &Findings, good: &[&Output]) -> Option<f64> {
    let limit = |key: &str| {
        let objectives = goodput::objectives(&findings.config);
        objectives.iter().find(|one| one.key() == key).map(|one| one.limit() / 1e3)
    };
    let limits = [limit("ttft_ms"), limit("inter_token_latency_ms"), limit("e2e_ms")];
    if limits.iter().all(Option::is_none) {
        return None;
    }
    let is_good = |output: &&&Output| {
        let values = [output.ttft, output.tpot().unwrap_or(0.0), output.latency];
        limits.iter().zip(values).all(|(limit, value)| limit.is_none_or(|limit| value <= limit))
    };
    Some(good.iter().filter(is_good).count() as f64)
}

/// Most chunks in a second, and most requests that touched one; seconds count from the first sending.
fn busiest_second(good: &[&Output]) -> (f64, u64) {
    let Some(begin) = good.iter().map(|output| output.start).min_by(f64::total_cmp) else {
        return (0.0, 0);
    };
    let second = |at: f64| (at - begin).max(0.0) as usize;
    let last = good.iter().map(|output| second(output.start + output.latency)).max().unwrap_or(0);
    let (mut chunks, mut requests) = (vec![0_u64; last + 2], vec![0_u64; last + 2]);
    for output in good {
        let mut at = output.start + output.ttft;
        chunks[second(at).min(last + 1)] += 1;
        for gap in &output.itl {
            at += gap;
            chunks[second(at).min(last + 1)] += 1;
        }
        for count in &mut requests[second(output.start)..=second(output.start + output.latency)] {
            *count += 1;
        }
    }
    let most = |counts: &[u64]| counts.iter().copied().max().unwrap_or(0);
    (most(&chunks) as f64, most(&requests))
}

fn summaries(file: &mut Map<String, Value>, good: &[&Output], limited: Option<u64>) {
    let each = |pick: fn(&Output) -> f64| good.iter().map(|output| pick(output)).collect();
    summary(file, "ttft", each(|output| output.ttft));
    summary(file, "tpot", good.iter().filter_map(|output| output.tpot()).collect());
    summary(file, "itl", good.iter().flat_map(|output| output.itl.iter().copied()).collect());
    summary(file, "e2el", each(|output| output.latency));
    if limited.is_some() {
        summary(file, "client_queue_time", each(|output| output.queue));
        if file.get("request_rate").is_some_and(Value::is_number) {
            let whole = each(|output| output.latency + output.queue);
            summary(file, "e2el_including_client_queue", whole);
        }
    }
}

/// Mean, median, deviation and percentiles in ms; zeros of nothing, as there.
fn summary(file: &mut Map<String, Value>, name: &str, mut seconds: Vec<f64>) {
    seconds.sort_by(f64::total_cmp);
    let (mean, deviation) = mean_and_deviation(&seconds);
    let quantile = |q: f64| 1e3 * stats::percentile(&seconds, q).unwrap_or(0.0);
    for (statistic, value) in [
        ("mean", 1e3 * mean),
        ("median", quantile(0.5)),
        ("std", 1e3 * deviation),
        ("p50", quantile(0.5)),
        ("p90", quantile(0.9)),
        ("p95", quantile(0.95)),
        ("p99", quantile(0.99)),
    ] {
        file.insert(format!("{statistic}_{name}_ms"), value.into());
    }
}

fn detailed(file: &mut Map<String, Value>, requests: &[&RequestRecord], outputs: &[Output]) {
    let each = |pick: fn(&Output) -> Value| -> Value { outputs.iter().map(pick).collect() };
    let told = |pick: fn(&RequestRecord) -> String| -> Value {
        requests.iter().map(|request| Value::from(pick(request))).collect()
    };
    for (key, values) in [
        ("input_lens", each(|output| output.prompt.into())),
        ("output_lens", each(|output| output.output.into())),
        ("ttfts", each(|output| output.ttft.into())),
        ("itls", each(|output| output.itl.clone().into())),
        ("latencies", each(|output| output.latency.into())),
        ("start_times", each(|output| output.start.into())),
        ("queue_times", each(|output| output.queue.into())),
        ("generated_texts", told(|request| request.output.clone().unwrap_or_default())),
        (
            "errors",
            told(|request| match &request.outcome {
                Outcome::Ok { .. } => String::new(),
                Outcome::Failed { message, .. } => message.clone(),
            }),
        ),
    ] {
        file.insert(key.to_owned(), values);
    }
}
