//! Findings in the shapes of other tools.

use ai_energy_benchmarks::analysis::analyse;
use ai_energy_benchmarks::config::component::metrics::MetricsConfig;
use ai_energy_benchmarks::config::component::reporter::{self, ReporterConfig};
use ai_energy_benchmarks::record::{FailureClass, Quantity, RunRecords};
use ai_energy_benchmarks::report::exports::{EXPORTS, aiperf, vllm, write};
use ai_energy_benchmarks::report::{Outputs, Written};
use ai_energy_benchmarks::units::Nanos;
use serde_json::{Value, json};

use crate::report_runs::{self as runs, at};

fn summary(records: &RunRecords) -> Value {
    serde_json::from_slice(&aiperf::render(&analyse(records), records).unwrap()).unwrap()
}

fn lines(records: &RunRecords) -> Vec<Value> {
    let bytes = aiperf::render_jsonl(&analyse(records), records).unwrap();
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

fn bench(records: &RunRecords) -> Value {
    serde_json::from_slice(&vllm::render(&analyse(records), records).unwrap()).unwrap()
}

#[track_caller]
fn near(value: &Value, expected: f64) {
    let value = value.as_f64().unwrap_or_else(|| panic!("{value}"));
    assert!((value - expected).abs() <= 1e-6 * expected.abs().max(1e-3), "{value}, not {expected}");
}

/// Every fourth run has a failure, and objectives.
fn with_a_failure() -> RunRecords {
    let mut records = runs::run();
    records.requests[1] = runs::failed(1, runs::REQUESTS[1], FailureClass::Reset);
    records.manifest.config["metrics"]["slo"] = json!({"ttft_ms": 400, "tpot_ms": 1000});
    records
}

#[test]
fn aiperfs_summary_has_its_fields_in_its_units() {
    let found = summary(&runs::run());
    assert_eq!(found["schema_version"], "1.4");
    // 2, 3 and 5 s, the first of 21 tokens after a tenth; contents end with the request.
    near(&found["request_latency"]["avg"], 10_000.0 / 3.0);
    near(&found["time_to_first_token"]["p50"], 300.0);
    near(&found["inter_token_latency"]["max"], 4500.0 / 20.0);
    near(&found["inter_chunk_latency"]["count"], 27.0);
    near(&found["benchmark_duration"]["avg"], 10.02);
    near(&found["output_token_throughput"]["avg"], 63.0 / 10.02);
    near(&found["total_isl"]["avg"], 120.0);
    near(&found["request_count"]["avg"], 3.0);
    near(&found["request_error_rate"]["avg"], 0.0);
    near(&found["nvidia_energy_per_output_token"]["avg"], 1e3 * 1002.0 / 63.0 * energy_ratio());
    assert_eq!(found["nvidia_energy_delay_product"]["unit"], "J*s");
    assert!(found.get("goodput").is_none());
    let latency = found["request_latency"].as_object().unwrap();
    let mut keys: Vec<&str> = latency.keys().map(String::as_str).collect();
    keys.sort_unstable();
    let expected = "avg count max min p1 p10 p25 p5 p50 p75 p90 p95 p99 std sum unit";
    assert_eq!(keys.join(" "), expected);
}

/// The counter's energy over that of the planted power.
fn energy_ratio() -> f64 {
    analyse(&runs::run()).energy.measured.account.gross.value.unwrap() / 1002.0
}

#[test]
fn aiperfs_goodput_counts_failures_and_the_errors_are_told() {
    let found = summary(&with_a_failure());
    near(&found["good_request_count"]["avg"], 1.0);
    near(&found["good_request_fraction"]["avg"], 1.0 / 3.0);
    near(&found["request_error_rate"]["avg"], 100.0 / 3.0);
    assert_eq!(
        found["error_summary"],
        json!([{"error_details": {"code": null, "type": "reset", "message": "planted"}, "count": 1}])
    );
}

#[test]
fn a_line_a_request_carries_wall_times_and_metrics() {
    let found = lines(&with_a_failure());
    assert_eq!(found.len(), 3);
    let metadata = &found[0]["metadata"];
    assert_eq!(metadata["benchmark_phase"], "profiling");
    let took = metadata["request_end_ns"].as_u64().unwrap()
        - metadata["request_start_ns"].as_u64().unwrap();
    assert_eq!(took, 2_000_000_000);
    near(&found[0]["metrics"]["time_to_first_token"]["value"], 200.0);
    assert_eq!(found[0]["metrics"]["inter_chunk_latency"]["value"].as_array().unwrap().len(), 9);
    assert_eq!(found[0]["error"], Value::Null);
    assert_eq!(
        (&found[1]["error"]["type"], found[1]["metrics"].as_object().unwrap().len()),
        (&json!("reset"), 0)
    );
}

#[test]
fn vllms_result_follows_its_definitions() {
    let mut records = runs::run();
    for request in &mut records.requests {
        // A role came a tenth of a second before the first text.
        request.first_byte_ns = request.first_token_ns.map(|first| Nanos(first.0 - 100_000_000));
    }
    let found = bench(&records);
    near(&found["mean_ttft_ms"], 1e3 * (0.1 + 0.2 + 0.4) / 3.0);
    near(&found["median_tpot_ms"], 1e3 * (3.0 - 0.2) / 20.0);
    assert_eq!(found["itls"][0].as_array().unwrap().len(), 10);
    near(&found["itls"][0][0], 0.1);
    near(&found["p50_e2el_ms"], 3000.0);
    near(&found["duration"], 10.02);
    near(&found["output_throughput"], 63.0 / 10.02);
    // The second begins in the second in which the first ends.
    assert_eq!(
        (&found["completed"], &found["failed"], &found["max_concurrent_requests"]),
        (&json!(3), &json!(0), &json!(2))
    );
    assert_eq!(found["request_goodput"], Value::Null);
    let failed = bench(&with_a_failure());
    near(&failed["request_goodput"], 1.0 / 10.02);
    assert_eq!((&failed["failed"], &failed["errors"][1]), (&json!(1), &json!("planted")));
    assert_eq!(failed["output_lens"], json!([21, 0, 21]));
}

#[test]
fn vllms_result_has_every_key_that_vllm_writes() {
    let found = bench(&runs::run());
    for key in "date endpoint_type backend label model_id tokenizer_id num_prompts request_rate burstiness max_concurrency \
        duration completed failed total_input_tokens total_output_tokens request_throughput request_goodput \
        output_throughput total_token_throughput input_lens output_lens ttfts itls latencies start_times queue_times \
        generated_texts errors max_output_tokens_per_s max_concurrent_requests rtfx mean_ttft_ms median_ttft_ms std_ttft_ms \
        p99_ttft_ms mean_tpot_ms p90_tpot_ms mean_itl_ms p95_itl_ms mean_e2el_ms p50_e2el_ms"
        .split_whitespace()
    {
        assert!(found.get(key).is_some(), "{key}");
    }
}

#[test]
fn nothing_that_succeeded_is_no_reason_to_fail() {
    let mut records = runs::run();
    records.requests.clear();
    assert_eq!(summary(&records)["request_count"]["avg"], 0.0);
    assert_eq!(bench(&records)["completed"], 0);
    assert!(lines(&records).is_empty());
}

#[test]
fn exports_are_written_where_they_are_named_and_an_unknown_one_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let records = runs::run();
    let reporter = ReporterConfig {
        exports: vec!["aiperf".to_owned(), "vllm".to_owned(), "aiprf_jsonl".to_owned()],
        ..ReporterConfig::default()
    };
    let outputs = Outputs {
        folder: folder.path(),
        base: folder.path(),
        reporter: &reporter,
        metrics: &MetricsConfig::default(),
    };
    let mut written = Written::default();
    write(&analyse(&records), &records, &outputs, &mut written);
    let names: Vec<_> = written.files.iter().map(|path| path.file_name().unwrap()).collect();
    assert_eq!(names, ["profile_export_aiperf.json", "vllm_bench.json"]);
    assert_eq!(written.problems.len(), 1);
    assert!(written.problems[0].hint.as_ref().unwrap().contains("aiperf_jsonl"));
    assert_eq!(EXPORTS.map(|entry| entry.kind), reporter::EXPORTS);
}

/// Looks at a page before, within and after the requests.
fn with_a_page(output_counter: [f64; 3]) -> RunRecords {
    let mut records = runs::run();
    let template = records.manifest.sensors[0].clone();
    let first = records.manifest.sensors.len();
    for (name, quantity) in [
        ("server.requests_running", Quantity::RequestCount),
        ("server.output_tokens", Quantity::TokenCounter),
        ("server.prompt_tokens", Quantity::TokenCounter),
        ("server.prefix_cache_hits", Quantity::TokenCounter),
        ("server.prefix_cache_queries", Quantity::TokenCounter),
    ] {
        let mut sensor = template.clone();
        sensor.name = name.to_owned();
        sensor.meter = "server_metrics".to_owned();
        sensor.component = ai_energy_benchmarks::record::Component::Machine;
        (sensor.quantity, sensor.unit) = (quantity, quantity.unit().to_owned());
        (sensor.counted, sensor.device, sensor.wrap_at) = (false, None, None);
        records.manifest.sensors.push(sensor);
    }
    let values = [
        [0.0, 1.0, 0.0],
        output_counter,
        [500.0, 560.0, 620.0],
        [10.0, 20.0, 40.0],
        [500.0, 560.0, 620.0],
    ];
    for (position, values) in values.iter().enumerate() {
        for (value, ms) in values.iter().zip([4000, 9000, 16_000]) {
            records.samples.push(ai_energy_benchmarks::record::SampleRecord {
                sensor: (first + position) as u16,
                before_ns: at(ms),
                after_ns: at(ms + 1),
                value: Some(*value),
                error: None,
            });
        }
    }
    records
}

#[test]
fn a_servers_page_is_set_beside_the_requests() {
    let findings = analyse(&with_a_page([100.0, 130.0, 163.0]));
    let server = findings.server.as_ref().unwrap();
    assert_eq!((server.looks, server.running_mean.value), (1, Some(1.0)));
    assert_eq!(server.output_tokens.value, Some(63.0));
    assert_eq!(server.output_tokens_difference.value, Some(0.0));
    assert_eq!(server.prompt_tokens_difference.value, Some(0.0));
    assert_eq!(server.prefix_cache_hit_rate.value, Some(0.25));
    assert!(server.kv_cache_mean.reason.is_some());
    assert!(findings.warnings.iter().all(|warning| warning.code != "server_tokens_differ"));
    assert_eq!(analyse(&runs::run()).server, None);
}

#[test]
fn the_page_of_a_server_is_looked_at_while_it_answers() {
    let ran = crate::faults::through(crate::faults::mock(Vec::new()), |config| {
        config.metrics.server_metrics = true;
        config.scenario.idle_s = 2.2;
    });
    let server = ran.findings.server.expect("the mock server has a page in vLLM's names");
    assert_eq!(server.output_tokens_difference.value, Some(0.0), "{server:?}");
    assert_eq!(server.prompt_tokens_difference.value, Some(0.0), "{server:?}");
    assert!(ran.records.manifest.sensors.iter().any(|sensor| sensor.name == "server.kv_cache_use"));
}

#[test]
fn a_counter_that_disagrees_is_a_caution_and_one_that_began_again_is_no_figure() {
    let findings = analyse(&with_a_page([100.0, 130.0, 170.0]));
    let differs = findings.warnings.iter().filter(|warning| warning.code == "server_tokens_differ");
    assert!(
        differs.map(|warning| &warning.message).any(|message| message.contains("output tokens"))
    );
    let reset = analyse(&with_a_page([100.0, 10.0, 170.0])).server.unwrap();
    assert!(reset.output_tokens.reason.unwrap().contains("began again"));
}
