//! aiperf 0.13's `profile_export_aiperf.json` (schema 1.4) and `profile_export.jsonl`.
//!
//! The fields are its own, computed by its definitions, with two differences that the records cannot make good: a request
//! begins when its last byte was handed over, not before a connection is asked for, and token counts are the server's or
//! engine's. What this program does not know is left out, as aiperf leaves out what it does not measure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::analysis::findings::Figure;
use crate::analysis::goodput;
use crate::analysis::{Findings, class_name, stats};
use crate::record::{
    Component, FailureClass, Outcome, Phase, RequestRecord, RunRecords, StopReason,
};
use crate::units::Nanos;

use super::super::ReportError;
use super::request::{self, Metric};
use super::{mean_and_deviation, measured, pretty};

/// The name of the summary.
pub const KIND: &str = "aiperf";
/// Its file.
pub const FILE: &str = "profile_export_aiperf.json";
/// The name of the file of requests.
pub const JSONL_KIND: &str = "aiperf_jsonl";
/// Its file.
pub const JSONL_FILE: &str = "profile_export.jsonl";
const SCHEMA: &str = "1.4";

/// Percentiles with their names.
const PERCENTILES: [(&str, f64); 9] = [
    ("p1", 0.01),
    ("p5", 0.05),
    ("p10", 0.10),
    ("p25", 0.25),
    ("p50", 0.50),
    ("p75", 0.75),
    ("p90", 0.90),
    ("p95", 0.95),
    ("p99", 0.99),
];

/// Objectives of ours with the metric that they are of there.
const OBJECTIVES: [(&str, &str); 8] = [
    ("ttft_ms", "time_to_first_token"),
    ("ttfo_ms", "time_to_first_output_token"),
    ("inter_token_latency_ms", "inter_token_latency"),
    ("e2e_ms", "request_latency"),
    ("e2e_from_schedule_ms", "effective_latency"),
    ("queue_delay_ms", "credit_to_start_latency"),
    ("decode_tokens_per_second", "output_token_throughput_per_user"),
    ("e2e_tokens_per_second", "e2e_output_token_throughput"),
];

/// The summary.
///
/// # Errors
/// Never for findings of a run; the JSON writer's own otherwise.
pub fn render(findings: &Findings, records: &RunRecords) -> Result<Vec<u8>, ReportError> {
    let requests = measured(records);
    let good: Vec<&RequestRecord> =
        requests.iter().copied().filter(|request| request.is_ok()).collect();
    let mut file = Map::new();
    let version =
        format!("{} {} (aiperf 0.13.0 fields)", findings.program.name, findings.program.version);
    file.insert("schema_version".into(), SCHEMA.into());
    file.insert("aiperf_version".into(), version.into());
    file.insert("benchmark_id".into(), findings.run.id.clone().into());
    for (tag, (unit, values)) in distributions(&good) {
        file.insert(tag.into(), distribution(unit, values));
    }
    scalars(&mut file, findings, &requests, &good);
    energy(&mut file, findings);
    file.insert("input_config".into(), input_config(findings));
    file.insert(
        "run_info".into(),
        json!({"benchmark_id": findings.run.id, "trial": 0, "config_sha256": findings.run.config_sha256}),
    );
    let interrupted = findings.run.stop_reason == Some(StopReason::Interrupted);
    file.insert("was_cancelled".into(), interrupted.into());
    file.insert("is_complete".into(), findings.run.complete.into());
    file.insert("error_summary".into(), error_summary(&requests));
    file.insert("start_time".into(), findings.run.started.clone().into());
    file.insert("end_time".into(), findings.run.ended.clone().into());
    pretty(&Value::Object(file))
}

fn distributions(requests: &[&RequestRecord]) -> BTreeMap<&'static str, (&'static str, Vec<f64>)> {
    let mut all: BTreeMap<&'static str, (&'static str, Vec<f64>)> = BTreeMap::new();
    for request in requests {
        for Metric { tag, unit, value } in request::metrics(request) {
            all.entry(tag).or_insert((unit, Vec::new())).1.push(value);
        }
        let gaps = request::gaps(request);
        if !gaps.is_empty() {
            all.entry("inter_chunk_latency").or_insert(("ms", Vec::new())).1.extend(gaps);
        }
    }
    all
}

fn distribution(unit: &str, mut values: Vec<f64>) -> Value {
    values.sort_by(f64::total_cmp);
    let (mean, deviation) = mean_and_deviation(&values);
    let mut found = Map::new();
    found.insert("unit".into(), unit.into());
    found.insert("avg".into(), mean.into());
    for (name, q) in PERCENTILES {
        found.insert(name.into(), stats::percentile(&values, q).into());
    }
    found.insert("min".into(), values.first().copied().into());
    found.insert("max".into(), values.last().copied().into());
    found.insert("std".into(), deviation.into());
    found.insert("count".into(), values.len().into());
    found.insert("sum".into(), values.iter().sum::<f64>().into());
    Value::Object(found)
}

fn scalars(
    file: &mut Map<String, Value>,
    findings: &Findings,
    requests: &[&RequestRecord],
    good: &[&RequestRecord],
) {
    let mut put = |tag: &str, unit: &str, value: Option<f64>| {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            file.insert(tag.into(), json!({"unit": unit, "avg": value}));
        }
    };
    // First sent to last content of those that succeeded.
    let begin = good.iter().map(|request| request.sent_ns).min();
    let end = good.iter().map(|request| request::last_content(request)).max();
    let duration = begin.zip(end).map(|(begin, end)| end.since(begin).0);
    let sum = |pick: fn(&RequestRecord) -> Option<u64>| -> Option<f64> {
        let counts: Option<Vec<u64>> = good.iter().map(|request| pick(request)).collect();
        counts.filter(|counts| !counts.is_empty()).map(|counts| counts.iter().sum::<u64>() as f64)
    };
    let input = sum(|request| request.tokens.prompt);
    let output = sum(|request| request.tokens.completion);
    let shown =
        sum(|request| Some(request.tokens.completion? - request.tokens.reasoning.unwrap_or(0)));
    let all = input.zip(output).map(|(input, output)| input + output);
    let rate = |value: Option<f64>| value.zip(duration).map(|(value, duration)| value / duration);
    let count = good.len() as f64;
    let errors = requests.len() as f64 - count;
    put("request_count", "requests", Some(count));
    put("completed_request_count", "requests", Some(requests.len() as f64));
    put("error_request_count", "requests", Some(errors).filter(|errors| *errors > 0.0));
    put("request_error_rate", "%", Some(100.0 * errors / requests.len() as f64));
    put("benchmark_duration", "sec", duration);
    put("request_throughput", "requests/sec", rate(Some(count)));
    put("output_token_throughput", "tokens/sec", rate(output));
    put("input_token_throughput", "tokens/sec", rate(input));
    put("total_token_throughput", "tokens/sec", rate(all));
    put("total_isl", "tokens", input);
    put("total_osl", "tokens", output);
    put("total_output_tokens", "tokens", shown);
    put("total_usage_prompt_tokens", "tokens", input);
    put("total_usage_completion_tokens", "tokens", output);
    put("total_usage_total_tokens", "tokens", all);
    let objectives = goodput::objectives(&findings.config);
    if !objectives.is_empty() {
        let met = good.iter().filter(|request| is_good(request, &objectives)).count() as f64;
        put("good_request_count", "requests", Some(met));
        put("good_request_fraction", "ratio", Some(met / requests.len() as f64));
        put("goodput", "requests/sec", rate(Some(met)));
    }
}

/// As aiperf has it: a request that lacks one of the metrics is not good.
fn is_good(request: &RequestRecord, objectives: &[goodput::Objective]) -> bool {
    let metrics = request::metrics(request);
    objectives.iter().all(|objective| {
        let tag = OBJECTIVES.iter().find(|(key, _)| *key == objective.key()).map(|(_, tag)| *tag);
        let Some(tag) = tag else { return objective.is_met(request).unwrap_or(false) };
        metrics
            .iter()
            .find(|metric| metric.tag == tag)
            .is_some_and(|metric| objective.allows(metric.value))
    })
}

/// GPU energy, where the GPUs are NVIDIA's and their energy is known.
fn energy(file: &mut Map<String, Value>, findings: &Findings) {
    let gpu = findings.energy.components.iter().find(|part| part.component == Component::Gpu);
    let nvidia = findings.sensors.iter().any(|sensor| sensor.info.meter == "nvml");
    let Some(account) = gpu.filter(|part| part.counted && nvidia).map(|part| &part.account) else {
        return;
    };
    let Some(joules) = account.gross.value.filter(|joules| *joules > 0.0) else { return };
    let mut put = |tag: &str, unit: &str, value: Option<f64>| {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            file.insert(format!("nvidia_{tag}"), json!({"unit": unit, "avg": value}));
        }
    };
    let requests = Some(findings.counts.succeeded as f64).filter(|count| *count > 0.0);
    let over = |figure: &Figure| figure.value.filter(|value| *value > 0.0);
    let output = over(&findings.tokens.completion);
    let per_request = requests.map(|requests| joules / requests);
    put("total_gpu_energy", "J", Some(joules));
    put("total_gpu_power", "W", account.mean_power.value);
    put("average_gpu_power", "W", account.mean_power.value);
    put("energy_per_output_token", "mJ/token", output.map(|tokens| 1e3 * joules / tokens));
    put(
        "energy_per_total_token",
        "mJ/token",
        over(&findings.tokens.total).map(|tokens| 1e3 * joules / tokens),
    );
    put("energy_per_request", "joules/request", per_request);
    put("output_tokens_per_joule", "tokens/J", output.map(|tokens| tokens / joules));
    put("output_tps_per_watt", "tokens/sec/W", output.map(|tokens| tokens / joules));
    put("performance_per_watt", "requests/sec/W", requests.map(|requests| requests / joules));
    let goodput = findings.goodput.as_ref().filter(|goodput| !goodput.objectives.is_empty());
    let good = goodput.and_then(|goodput| goodput.good_requests.value);
    put("goodput_per_watt", "good-req/s/W", good.map(|good| good / joules));
    let delay = per_request.zip(findings.latency.e2e.mean);
    put("energy_delay_product", "J*s", delay.map(|(energy, delay)| energy * delay));
}

fn input_config(findings: &Findings) -> Value {
    let config = |pointer: &str| findings.config.pointer(pointer).cloned().unwrap_or(Value::Null);
    json!({
        "models": {"items": [{"name": findings.backend.model}]},
        "endpoint": {
            "urls": findings.backend.endpoint.iter().collect::<Vec<_>>(),
            "type": if config("/backend/api") == "completions" { "completions" } else { "chat" },
            "streaming": config("/backend/stream"),
        },
        "datasets": [{"name": findings.dataset.name, "entries": findings.dataset.used}],
        "phases": [{"name": "profiling", "kind": "profiling", "load": config("/scenario/load")}],
    })
}

/// Type, code and message of what went wrong.
fn error(request: &RequestRecord) -> Option<Value> {
    match &request.outcome {
        Outcome::Ok { .. } => None,
        Outcome::Failed { class, http_status, message } => Some(json!({
            "code": http_status, "type": class_name(*class), "message": message,
        })),
    }
}

fn error_summary(requests: &[&RequestRecord]) -> Value {
    let mut counts: Vec<(Value, u64)> = Vec::new();
    for error in requests.iter().filter_map(|request| error(request)) {
        match counts.iter_mut().find(|(known, _)| *known == error) {
            Some((_, count)) => *count += 1,
            None => counts.push((error, 1)),
        }
    }
    counts
        .into_iter()
        .map(|(error, count)| json!({"error_details": error, "count": count}))
        .collect()
}

/// One line a request, warm-up first.
///
/// # Errors
/// Never for findings of a run; the JSON writer's own otherwise.
pub fn render_jsonl(findings: &Findings, records: &RunRecords) -> Result<Vec<u8>, ReportError> {
    let mut requests: Vec<&RequestRecord> = records.requests.iter().collect();
    requests.sort_by_key(|request| (request.phase, request.repetition, request.index));
    let mut bytes = Vec::new();
    for request in requests {
        serde_json::to_writer(&mut bytes, &line(findings, records, request))?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

fn line(findings: &Findings, records: &RunRecords, request: &RequestRecord) -> Value {
    let wall = |at: Nanos| records.manifest.anchor.unix_ns_of(at);
    let phase = if request.phase == Phase::Warmup { "warmup" } else { "profiling" };
    let id = format!(
        "{}-{phase}-{}-{}",
        findings.run.id,
        request.repetition.unwrap_or(0),
        request.index
    );
    let cut_off = matches!(
        request.outcome,
        Outcome::Failed { class: FailureClass::Cancelled | FailureClass::InFlight, .. }
    );
    let mut metrics: Map<String, Value> = Map::new();
    if request.is_ok() {
        for Metric { tag, unit, value } in request::metrics(request) {
            metrics.insert(tag.into(), json!({"value": value, "unit": unit}));
        }
        let gaps = request::gaps(request);
        if !gaps.is_empty() {
            metrics.insert("inter_chunk_latency".into(), json!({"value": gaps, "unit": "ms"}));
        }
    }
    json!({
        "metadata": {
            "session_num": request.conversation.unwrap_or(request.index),
            "x_request_id": id,
            "x_correlation_id": id,
            "conversation_id": request.prompt_id,
            "turn_index": request.turn.unwrap_or(0),
            "credit_issued_ns": wall(request.scheduled_ns),
            "request_start_ns": wall(request.sent_ns),
            "request_ack_ns": request.first_byte_ns.map(wall),
            "request_end_ns": wall(request::last_content(request)),
            "worker_id": "worker_0",
            "record_processor_id": "record_processor_0",
            "benchmark_phase": phase,
            "phase_name": phase,
            "phase_kind": phase,
            "was_cancelled": cut_off,
        },
        "metrics": metrics,
        "error": error(request),
    })
}
