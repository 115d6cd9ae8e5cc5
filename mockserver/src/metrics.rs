//! `/metrics` in vLLM's names, as Prometheus reads it.

use std::fmt::Write;

use crate::stats::Stats;

struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    /// Further labels and the value.
    values: Vec<(&'static str, f64)>,
}

/// The page.
pub(crate) fn page(stats: &Stats, model: &str, kv_cache_tokens: u64) -> String {
    let model = model.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let mut page = String::new();
    for metric in metrics(stats, kv_cache_tokens) {
        let Metric { name, kind, help, values } = metric;
        let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in values {
            let _ =
                writeln!(page, "{name}{{engine=\"0\",model_name=\"{model}\"{labels}}} {value:?}");
        }
    }
    page
}

fn metrics(stats: &Stats, kv_cache_tokens: u64) -> Vec<Metric> {
    let one = |value: u64| vec![("", value as f64)];
    let metric = |name, kind, help, values| Metric { name, kind, help, values };
    vec![
        metric("vllm:num_requests_running", "gauge", "Requests being served.", one(stats.running)),
        metric(
            "vllm:num_requests_waiting",
            "gauge",
            "Requests waiting for a place.",
            one(stats.waiting),
        ),
        metric(
            "vllm:kv_cache_usage_perc",
            "gauge",
            "Share of the KV cache in use, 1 is all of it.",
            vec![("", (stats.kv_tokens as f64 / kv_cache_tokens as f64).min(1.0))],
        ),
        metric(
            "vllm:prefix_cache_queries_total",
            "counter",
            "Prompt tokens looked up in the prefix cache.",
            one(stats.queried_tokens),
        ),
        metric(
            "vllm:prefix_cache_hits_total",
            "counter",
            "Prompt tokens found in the prefix cache.",
            one(stats.cached_tokens),
        ),
        metric(
            "vllm:prompt_tokens_total",
            "counter",
            "Prompt tokens of requests whose service began.",
            one(stats.prompt_tokens),
        ),
        metric(
            "vllm:generation_tokens_total",
            "counter",
            "Tokens generated.",
            one(stats.generation_tokens),
        ),
        metric(
            "vllm:request_success_total",
            "counter",
            "Requests that ended, by the reason.",
            vec![
                (",finished_reason=\"stop\"", stats.completed_stop as f64),
                (",finished_reason=\"length\"", stats.completed_length as f64),
                (",finished_reason=\"abort\"", stats.cancelled as f64),
                (",finished_reason=\"error\"", stats.faulted as f64),
            ],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_typed_and_labelled_as_vllm_does() {
        let stats = Stats {
            running: 2,
            generation_tokens: 40,
            kv_tokens: 250,
            completed_length: 3,
            ..Stats::default()
        };
        let page = page(&stats, "a\"b", 1_000);
        for line in [
            "# TYPE vllm:num_requests_running gauge",
            "vllm:num_requests_running{engine=\"0\",model_name=\"a\\\"b\"} 2.0",
            "vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"a\\\"b\"} 0.25",
            "vllm:generation_tokens_total{engine=\"0\",model_name=\"a\\\"b\"} 40.0",
            "vllm:request_success_total{engine=\"0\",model_name=\"a\\\"b\",finished_reason=\"length\"} 3.0",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} in\n{page}");
        }
    }
}
