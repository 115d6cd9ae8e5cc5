//! What a server says of itself on `/metrics` while it answers: queue, requests in work, cache, token counters.
//!
//! Measures: nothing of energy. Needs: a server of the table below whose page answers. Limits: a look a second, so a queue
//! that comes and goes within one is not seen; counters are the whole server's, whoever asked. The page is asked for
//! by a thread and over a connection of its own, and left alone where it does not answer at first. Example:
//! `server.requests_running`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ureq::Agent;

use crate::clock;
use crate::record::{Component, Quantity, SensorInfo, Source};
use crate::units::{Nanos, Seconds};

use super::prometheus::text::{self, Metric};
use super::{Arrival, Lender, Meter, MeterError, Running};

/// The registry name of the meter, in sensors.
pub const KIND: &str = "server_metrics";
/// Time between looks.
const PERIOD: Seconds = Seconds(1.0);
/// A page that takes longer is not waited for.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Largest page that is read, in bytes.
const LARGEST_PAGE: u64 = 8 << 20;
/// Looks that nobody collected are kept up to this many.
const MOST_LOOKS: usize = 10_000;

/// How the lines of one metric become one number: those of several engines or ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    Sum,
    Mean,
}

/// One quantity of one server: its name here, and the names that it has had there, the newest first.
struct Row {
    sensor: &'static str,
    quantity: Quantity,
    over: Over,
    names: &'static [&'static str],
    what: &'static str,
}

/// A server and what its page holds.
struct Software {
    name: &'static str,
    /// What the names on its page begin with.
    prefix: &'static str,
    rows: &'static [Row],
}

const fn row(
    sensor: &'static str,
    quantity: Quantity,
    over: Over,
    names: &'static [&'static str],
    what: &'static str,
) -> Row {
    Row { sensor, quantity, over, names, what }
}

const RUNNING: &str = "requests in work";
const WAITING: &str = "requests that wait for a place";
const CACHE: &str = "share of the KV cache in use";
const PROMPT: &str = "prompt tokens so far, cached ones included";
const COMPUTED: &str = "prompt tokens computed so far, cached ones not included";
const OUTPUT: &str = "generated tokens so far";
const HITS: &str = "prompt tokens found in the prefix cache so far";
const QUERIES: &str = "prompt tokens looked for in the prefix cache so far";

/// The servers that are known. Sources: vLLM `vllm/v1/metrics/loggers.py` (0.32; the older names by 0.6 to 0.10), llama.cpp
/// `tools/server/server-context.cpp` (b5000 on), SGLang `srt/metrics/collector.py` (0.5), TGI `docs/source/reference/metrics.md` (3).
static SERVERS: [Software; 4] = [
    Software {
        name: "vLLM",
        prefix: "vllm:",
        rows: &[
            row(
                "server.requests_running",
                Quantity::RequestCount,
                Over::Sum,
                &["vllm:num_requests_running"],
                RUNNING,
            ),
            row(
                "server.requests_waiting",
                Quantity::RequestCount,
                Over::Sum,
                &["vllm:num_requests_waiting"],
                WAITING,
            ),
            row(
                "server.kv_cache_use",
                Quantity::CacheShare,
                Over::Mean,
                &["vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"],
                CACHE,
            ),
            row(
                "server.prompt_tokens",
                Quantity::TokenCounter,
                Over::Sum,
                &["vllm:prompt_tokens_total"],
                PROMPT,
            ),
            row(
                "server.output_tokens",
                Quantity::TokenCounter,
                Over::Sum,
                &["vllm:generation_tokens_total"],
                OUTPUT,
            ),
            row(
                "server.prefix_cache_hits",
                Quantity::TokenCounter,
                Over::Sum,
                &["vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total"],
                HITS,
            ),
            row(
                "server.prefix_cache_queries",
                Quantity::TokenCounter,
                Over::Sum,
                &["vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total"],
                QUERIES,
            ),
        ],
    },
    Software {
        name: "llama.cpp",
        prefix: "llamacpp:",
        rows: &[
            row(
                "server.requests_running",
                Quantity::RequestCount,
                Over::Sum,
                &["llamacpp:requests_processing"],
                RUNNING,
            ),
            row(
                "server.requests_waiting",
                Quantity::RequestCount,
                Over::Sum,
                &["llamacpp:requests_deferred"],
                WAITING,
            ),
            row(
                "server.kv_cache_use",
                Quantity::CacheShare,
                Over::Mean,
                &["llamacpp:kv_cache_usage_ratio"],
                CACHE,
            ),
            row(
                "server.computed_prompt_tokens",
                Quantity::TokenCounter,
                Over::Sum,
                &["llamacpp:prompt_tokens_total"],
                COMPUTED,
            ),
            row(
                "server.output_tokens",
                Quantity::TokenCounter,
                Over::Sum,
                &["llamacpp:tokens_predicted_total"],
                OUTPUT,
            ),
            row(
                "server.prefix_cache_hits",
                Quantity::TokenCounter,
                Over::Sum,
                &["llamacpp:prompt_tokens_cached_total"],
                HITS,
            ),
        ],
    },
    Software {
        name: "SGLang",
        prefix: "sglang:",
        rows: &[
            row(
                "server.requests_running",
                Quantity::RequestCount,
                Over::Sum,
                &["sglang:num_running_reqs"],
                RUNNING,
            ),
            row(
                "server.requests_waiting",
                Quantity::RequestCount,
                Over::Sum,
                &["sglang:num_queue_reqs"],
                WAITING,
            ),
            row(
                "server.kv_cache_use",
                Quantity::CacheShare,
                Over::Mean,
                &["sglang:token_usage"],
                CACHE,
            ),
            row(
                "server.prompt_tokens",
                Quantity::TokenCounter,
                Over::Sum,
                &["sglang:prompt_tokens_total"],
                PROMPT,
            ),
            row(
                "server.output_tokens",
                Quantity::TokenCounter,
                Over::Sum,
                &["sglang:generation_tokens_total"],
                OUTPUT,
            ),
            row(
                "server.prefix_cache_hits",
                Quantity::TokenCounter,
                Over::Sum,
                &["sglang:cached_tokens_total"],
                HITS,
            ),
        ],
    },
    Software {
        name: "TGI",
        prefix: "tgi_",
        rows: &[
            row(
                "server.requests_running",
                Quantity::RequestCount,
                Over::Sum,
                &["tgi_batch_current_size"],
                RUNNING,
            ),
            row(
                "server.requests_waiting",
                Quantity::RequestCount,
                Over::Sum,
                &["tgi_queue_size"],
                WAITING,
            ),
            row(
                "server.prompt_tokens",
                Quantity::TokenCounter,
                Over::Sum,
                &["tgi_request_input_length_sum"],
                PROMPT,
            ),
            row(
                "server.output_tokens",
                Quantity::TokenCounter,
                Over::Sum,
                &["tgi_request_generated_tokens_sum"],
                OUTPUT,
            ),
        ],
    },
];

/// A sensor's value on a page.
fn find(page: &[Metric], name: &str, over: Over) -> Option<f64> {
    let values: Vec<f64> = page
        .iter()
        .filter(|metric| metric.name == name && metric.value.is_finite())
        .map(|metric| metric.value)
        .collect();
    if values.is_empty() {
        return None;
    }
    let sum: f64 = values.iter().sum();
    Some(match over {
        Over::Sum => sum,
        #[expect(clippy::cast_precision_loss, reason = "a few engines")]
        Over::Mean => sum / values.len() as f64,
    })
}

/// The server whose page this is, with what it holds of the table.
fn recognise(page: &[Metric]) -> Option<(&'static str, Vec<(&'static Row, &'static str)>)> {
    let server =
        SERVERS.iter().find(|server| page.iter().any(|one| one.name.starts_with(server.prefix)))?;
    let rows: Vec<(&Row, &str)> = server
        .rows
        .iter()
        .filter_map(|row| {
            let there = |name: &&&str| find(page, name, row.over).is_some();
            Some((row, *row.names.iter().find(there)?))
        })
        .collect();
    (!rows.is_empty()).then_some((server.name, rows))
}

/// One look at the page.
struct Look {
    before: Nanos,
    after: Nanos,
    page: Result<Vec<Metric>, String>,
}

struct ServerMetrics {
    sensors: Vec<SensorInfo>,
    rows: Vec<(&'static Row, &'static str)>,
    looks: Arc<Mutex<Vec<Look>>>,
    _thread: Running,
}

impl Meter for ServerMetrics {
    fn sensors(&self) -> &[SensorInfo] {
        &self.sensors
    }

    fn read(&mut self, _sensor: usize) -> Result<f64, MeterError> {
        Err(MeterError::new("the page comes by itself"))
    }

    fn pushes(&self) -> bool {
        true
    }

    fn arrivals(&mut self, _now: Nanos) -> Vec<Arrival> {
        let looks = std::mem::take(&mut *self.looks.lock().unwrap_or_else(PoisonError::into_inner));
        let mut arrivals = Vec::with_capacity(looks.len() * self.rows.len());
        for Look { before, after, page } in looks {
            for (sensor, (row, name)) in self.rows.iter().enumerate() {
                let value = match &page {
                    Ok(page) => find(page, name, row.over)
                        .ok_or_else(|| MeterError::new("the page does not have it now")),
                    Err(why) => Err(MeterError::new(why.as_str())),
                };
                arrivals.push(Arrival { sensor, before, after, value });
            }
        }
        arrivals
    }
}

/// Looks at a server's page from now on; none where it does not answer or is of no known server.
///
/// `address` is the server's, with or without `/v1`; or that of the page itself, ending in `/metrics`.
#[must_use]
pub fn watch(address: &str, lender: &dyn Lender) -> Option<Box<dyn Meter>> {
    let url = page_of(address);
    let agent: Agent = Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(true)
        .build()
        .into();
    let first = look(&agent, &url);
    let (server, rows) = recognise(first.page.as_deref().ok()?)?;
    let sensors = rows.iter().map(|(row, name)| info(server, row, name)).collect();
    let looks = Arc::new(Mutex::new(vec![first]));
    let job = {
        let looks = Arc::clone(&looks);
        move || {
            let look = look(&agent, &url);
            let mut looks = looks.lock().unwrap_or_else(PoisonError::into_inner);
            if looks.len() < MOST_LOOKS {
                looks.push(look);
            }
        }
    };
    let thread = lender.every("server-metrics", PERIOD, Box::new(job));
    Some(Box::new(ServerMetrics { sensors, rows, looks, _thread: thread }))
}

fn page_of(address: &str) -> String {
    let base = address.trim_end_matches('/');
    if base.ends_with("/metrics") {
        return base.to_owned();
    }
    let cut = ["/v1/chat/completions", "/v1/completions", "/v1"]
        .iter()
        .find_map(|end| base.strip_suffix(end))
        .unwrap_or(base);
    format!("{}/metrics", cut.trim_end_matches('/'))
}

fn look(agent: &Agent, url: &str) -> Look {
    let before = clock::now();
    let body = agent.get(url).call().and_then(|mut response| {
        response.body_mut().with_config().limit(LARGEST_PAGE).read_to_string()
    });
    let after = clock::now();
    let page = body.map(|body| text::parse(&body)).map_err(|cause| cause.to_string());
    Look { before, after, page }
}

fn info(server: &str, row: &Row, name: &str) -> SensorInfo {
    SensorInfo {
        name: row.sensor.to_owned(),
        meter: KIND.to_owned(),
        component: Component::Machine,
        device: None,
        quantity: row.quantity,
        unit: row.quantity.unit().to_owned(),
        source: Source::Measured,
        scope: row.what.to_owned(),
        method: format!("{server}'s {name}"),
        counted: false,
        resolution: None,
        update_period_s: None,
        sample_period_s: PERIOD,
        wrap_at: None,
        systematic_relative: None,
        systematic_source: None,
        timing: None,
        host: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(page: &str) -> (&'static str, Vec<&'static str>) {
        let (server, rows) = recognise(&text::parse(page)).unwrap();
        (server, rows.iter().map(|(row, _)| row.sensor).collect())
    }

    #[test]
    fn pages_of_real_servers_are_recognised() {
        let (server, found) = names(include_str!("../../tests/data/server_metrics/vllm.txt"));
        assert_eq!((server, found.len()), ("vLLM", 7));
        let (server, found) = names(include_str!("../../tests/data/server_metrics/llamacpp.txt"));
        assert_eq!((server, found.len()), ("llama.cpp", 5));
        assert!(recognise(&text::parse("up 1\n")).is_none());
    }

    #[test]
    fn engines_add_up_and_shares_are_averaged() {
        let page = text::parse(
            "vllm:num_requests_running{engine=\"0\"} 3\nvllm:num_requests_running{engine=\"1\"} 4\n\
             vllm:kv_cache_usage_perc{engine=\"0\"} 0.5\nvllm:kv_cache_usage_perc{engine=\"1\"} 0.7\n",
        );
        assert_eq!(find(&page, "vllm:num_requests_running", Over::Sum), Some(7.0));
        let share = find(&page, "vllm:kv_cache_usage_perc", Over::Mean).unwrap();
        assert!((share - 0.6).abs() < 1e-12);
        assert_eq!(find(&page, "vllm:other", Over::Sum), None);
    }

    #[test]
    fn older_names_are_taken_where_the_newer_are_not_there() {
        let page = text::parse("vllm:gpu_cache_usage_perc 0.25\n");
        assert_eq!(recognise(&page).unwrap().1[0].1, "vllm:gpu_cache_usage_perc");
    }

    #[test]
    fn the_page_is_beside_the_api() {
        for address in ["http://h:8000", "http://h:8000/v1/", "http://h:8000/v1/chat/completions"] {
            assert_eq!(page_of(address), "http://h:8000/metrics");
        }
        assert_eq!(page_of("http://h:9000/x/metrics"), "http://h:9000/x/metrics");
    }
}
