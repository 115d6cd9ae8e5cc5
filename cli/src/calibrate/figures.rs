//! What is made of the records: errors, costs, verdicts.

use ai_energy_benchmarks::analysis::{Figure, Findings, stats};
use ai_energy_benchmarks::record::{Phase, RequestRecord, RunRecords};
use serde::Serialize;

use super::Outcome;
use super::server::Told;

/// Everything that was found.
#[derive(Debug, Serialize)]
pub(crate) struct Calibration {
    /// What was measured on, and under which load.
    pub machine: Machine,
    /// How punctual requests leave.
    pub schedule: Schedule,
    /// Processor time of a token in a write of its own.
    pub single: Cost,
    /// Processor time of a token among others in one write.
    pub coalesced: Cost,
    /// Numbers of streams that were tried, one token each 20 ms.
    pub streams: Vec<Streams>,
    /// The highest rate at which the client was not the limit; null where none was.
    pub highest_tokens_per_second: Option<f64>,
    /// The streams of that rate.
    pub highest_streams: Option<u32>,
    /// Whether more streams were found to be too many, so that the rate is a limit and not only what was tried.
    pub limit_found: bool,
    /// Why no more streams were tried, where that was not because of the client.
    pub stopped: Option<String>,
}

/// Where and when.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// Processors that this program may use; the mock server uses them too.
    pub processors: usize,
    /// Programs that wanted a processor, averaged over a minute, before; null where the system does not tell.
    pub load_average_before: Option<f64>,
    /// The same after.
    pub load_average_after: Option<f64>,
    /// Built without optimisation: costs are many times what they are otherwise.
    pub debug_build: bool,
}

/// Requests at 200 a second.
#[derive(Debug, Serialize)]
pub(crate) struct Schedule {
    /// Requests a second.
    pub rate: f64,
    /// Requests that were sent.
    pub requests: u64,
    /// From when a request was due to when its last byte was handed to the kernel, median.
    pub send_lag_p50_s: Option<f64>,
    /// The same, 99th percentile.
    pub send_lag_p99_s: Option<f64>,
}

/// What tokens cost.
#[derive(Debug, Serialize)]
pub(crate) struct Cost {
    /// Events that the server put into one write.
    pub events_per_write: u32,
    /// Tokens that came, each an event.
    pub tokens: u64,
    /// Tokens a second.
    pub tokens_per_second: f64,
    /// Processor time of this whole program for each.
    pub cpu_time_per_token_s: Option<f64>,
}

/// So many streams side by side.
#[derive(Debug, Serialize)]
pub(crate) struct Streams {
    /// How many.
    pub streams: u32,
    /// Tokens a second that came.
    pub tokens_per_second: f64,
    /// Median time to first token as this client saw it.
    pub ttft_p50_s: Option<f64>,
    /// The same as the server sent it.
    pub ttft_p50_sent_s: Option<f64>,
    /// How much longer the first is, as a share.
    pub ttft_error_share: Option<f64>,
    /// 99th percentile of gaps between tokens as this client saw them.
    pub gap_p99_s: Option<f64>,
    /// The same as the server sent them.
    pub gap_p99_sent_s: Option<f64>,
    /// The first over the second; 1 is right.
    pub gap_ratio: Option<f64>,
    /// How late the server itself was, 99th percentile.
    pub server_lag_p99_s: Option<f64>,
    /// Whether that is more than a gap: then the server, or the machine, is what more streams would show.
    pub server_limited: bool,
    /// Share of the time in which the client's loop computed.
    pub loop_share_of_core: Option<f64>,
    /// How late that loop was, 99th percentile.
    pub loop_lag_p99_s: Option<f64>,
    /// Processor time of this whole program for each token.
    pub cpu_time_per_token_s: Option<f64>,
    /// The verdict; null where it cannot be told.
    pub client_limited: Option<bool>,
    /// Why.
    pub because: Vec<String>,
}

impl Machine {
    /// As it is now.
    pub(super) fn now() -> Self {
        Self {
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            load_average_before: load_average(),
            load_average_after: None,
            debug_build: cfg!(debug_assertions),
        }
    }

    /// The measurement is over.
    pub(super) fn end(&mut self) {
        self.load_average_after = load_average();
    }
}

fn load_average() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

impl Schedule {
    pub(super) fn of(outcome: &Outcome, rate: f64) -> Self {
        let client = outcome.findings.client.as_ref();
        Self {
            rate,
            requests: outcome.findings.counts.sent,
            send_lag_p50_s: client.and_then(|client| client.send_lag_p50.value),
            send_lag_p99_s: client.and_then(|client| client.send_lag_p99.value),
        }
    }
}

/// Requests of the measurement, those among them that were in flight at its end.
fn measured(records: &RunRecords) -> impl Iterator<Item = &RequestRecord> {
    records.requests.iter().filter(|request| request.phase == Phase::Measure)
}

/// Tokens that came in the measurement, each an event, and tokens a second.
fn tokens(records: &RunRecords) -> (u64, f64) {
    let tokens = measured(records).map(|request| request.event_offsets_ns.len() as u64).sum();
    let span = records.phase(Phase::Measure).and_then(|(from, to)| Some(to?.since(from).0));
    let rate = span.filter(|span| *span > 0.0).map_or(0.0, |span| tokens as f64 / span);
    (tokens, rate)
}

/// Processor time of each token that came, of answers cut off at the end too.
fn cost_of(findings: &Findings, tokens: u64) -> Option<f64> {
    let spent = value(findings, |client| &client.cpu_time)?;
    (tokens > 0).then(|| spent / tokens as f64)
}

fn value(
    findings: &Findings,
    of: fn(&ai_energy_benchmarks::analysis::client::ClientFindings) -> &Figure,
) -> Option<f64> {
    of(findings.client.as_ref()?).value
}

impl Cost {
    pub(super) fn of(outcome: &Outcome, events_per_write: u32) -> Self {
        let (tokens, tokens_per_second) = tokens(&outcome.records);
        let cpu_time_per_token_s = cost_of(&outcome.findings, tokens);
        Self { events_per_write, tokens, tokens_per_second, cpu_time_per_token_s }
    }
}

/// Quantile of a sample in any order.
fn quantile(mut values: Vec<f64>, q: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    stats::percentile(&values, q)
}

/// Distances between neighbours, in seconds.
fn gaps(stamps: &[u64]) -> impl Iterator<Item = f64> {
    stamps.windows(2).map(|pair| pair[1].saturating_sub(pair[0]) as f64 / 1e9)
}

/// Median time to first token and 99th percentile of gaps, as the client saw them.
fn seen(records: &RunRecords) -> (Option<f64>, Option<f64>) {
    let first = |request: &RequestRecord| Some(request.first_token_ns?.since(request.sent_ns).0);
    let ttft = measured(records).filter_map(first).collect();
    let all = measured(records).flat_map(|request| gaps(&request.event_offsets_ns)).collect();
    (quantile(ttft, 0.5), quantile(all, 0.99))
}

/// The same as the server sent it; requests of the warm-up, which had two tokens, left out.
fn sent(told: &Told) -> (Option<f64>, Option<f64>) {
    let served = || told.requests.iter().filter(|request| request.sent_ns.len() > 2);
    let first = |request: &ai_energy_benchmarks_mockserver::RequestLog| {
        let first = request.sent_ns.first()?;
        Some(first.saturating_sub(request.received_ns) as f64 / 1e9)
    };
    let all = served().flat_map(|request| gaps(&request.sent_ns)).collect();
    (quantile(served().filter_map(first).collect(), 0.5), quantile(all, 0.99))
}

impl Streams {
    pub(super) fn of(outcome: &Outcome, streams: u32, gap_s: f64) -> Self {
        let Outcome { records, findings, server } = outcome;
        let ((ttft, gap), (ttft_sent, gap_sent)) = (seen(records), sent(server));
        let (tokens, tokens_per_second) = tokens(records);
        let over = |seen: Option<f64>, truth: Option<f64>| {
            Some(seen? / truth.filter(|truth| *truth > 0.0)?)
        };
        let client = findings.client.as_ref();
        Self {
            streams,
            tokens_per_second,
            ttft_p50_s: ttft,
            ttft_p50_sent_s: ttft_sent,
            ttft_error_share: over(ttft, ttft_sent).map(|ratio| ratio - 1.0),
            gap_p99_s: gap,
            gap_p99_sent_s: gap_sent,
            gap_ratio: over(gap, gap_sent),
            server_lag_p99_s: server.lag_p99_s,
            server_limited: server.lag_p99_s.is_some_and(|lag| lag > gap_s),
            loop_share_of_core: value(findings, |client| &client.loop_share_of_core),
            loop_lag_p99_s: value(findings, |client| &client.loop_lag_p99),
            cpu_time_per_token_s: cost_of(findings, tokens),
            client_limited: client.and_then(|client| client.client_limited),
            because: client.map(|client| client.because.clone()).unwrap_or_default(),
        }
    }
}

impl Calibration {
    pub(super) fn new(
        machine: Machine,
        schedule: Schedule,
        [single, coalesced]: [Cost; 2],
        streams: Vec<Streams>,
        stopped: Option<String>,
    ) -> Self {
        let good = streams.iter().filter(|tried| tried.client_limited == Some(false));
        let best = good.max_by(|a, b| a.tokens_per_second.total_cmp(&b.tokens_per_second));
        Self {
            highest_tokens_per_second: best.map(|best| best.tokens_per_second),
            highest_streams: best.map(|best| best.streams),
            limit_found: streams.iter().any(|tried| tried.client_limited == Some(true)),
            machine,
            schedule,
            single,
            coalesced,
            streams,
            stopped,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A calibration with these verdicts.
    pub(crate) fn with(verdicts: &[(u32, f64, Option<bool>)]) -> Calibration {
        let tried =
            |(streams, tokens_per_second, client_limited): &(u32, f64, Option<bool>)| Streams {
                streams: *streams,
                tokens_per_second: *tokens_per_second,
                ttft_p50_s: Some(0.102),
                ttft_p50_sent_s: Some(0.1),
                ttft_error_share: Some(0.02),
                gap_p99_s: Some(0.022),
                gap_p99_sent_s: None,
                gap_ratio: None,
                server_lag_p99_s: Some(0.0003),
                server_limited: false,
                loop_share_of_core: Some(0.2),
                loop_lag_p99_s: None,
                cpu_time_per_token_s: Some(8e-6),
                client_limited: *client_limited,
                because: vec!["a reason".to_owned()],
            };
        let cost = |events_per_write| Cost {
            events_per_write,
            tokens: 9,
            tokens_per_second: 3.0,
            cpu_time_per_token_s: None,
        };
        let machine = Machine {
            processors: 2,
            load_average_before: Some(1.5),
            load_average_after: None,
            debug_build: true,
        };
        let schedule =
            Schedule { rate: 200.0, requests: 5, send_lag_p50_s: Some(5e-5), send_lag_p99_s: None };
        let streams = verdicts.iter().map(tried).collect();
        Calibration::new(machine, schedule, [cost(1), cost(16)], streams, None)
    }

    #[test]
    fn the_highest_rate_is_that_of_a_client_that_is_known_to_have_kept_up() {
        let found =
            with(&[(64, 3e3, Some(false)), (256, 9e3, Some(false)), (512, 2e4, Some(true))]);
        assert_eq!(
            (found.highest_tokens_per_second, found.highest_streams),
            (Some(9e3), Some(256))
        );
        assert!(found.limit_found);
        let found = with(&[(64, 3e3, Some(false)), (256, 9e3, None)]);
        assert_eq!((found.highest_streams, found.limit_found), (Some(64), false));
        assert_eq!(with(&[(64, 3e3, None)]).highest_tokens_per_second, None);
    }

    #[test]
    fn gaps_are_between_neighbours_and_quantiles_of_any_order() {
        assert_eq!(gaps(&[5, 1_000_000_005, 1_000_000_005]).collect::<Vec<_>>(), [1.0, 0.0]);
        assert_eq!(gaps(&[7]).count(), 0);
        assert_eq!(quantile(vec![3.0, 1.0, 2.0], 0.5), Some(2.0));
        assert_eq!(quantile(Vec::new(), 0.5), None);
    }

    #[test]
    fn what_the_server_sent_in_the_warm_up_is_no_truth_of_the_measurement() {
        let request = |received_ns, sent: &[u64]| {
            let line = serde_json::json!({
                "number": 0, "id": "", "x_request_id": null, "stream": true, "prompt_tokens": 1,
                "output_tokens": sent.len(), "fault": null, "outcome": "completed",
                "received_ns": received_ns, "started_ns": received_ns, "due_ns": sent, "sent_ns": sent,
                "events": [], "ended_ns": 0, "lag_mean_us": null, "lag_p50_us": null, "lag_p99_us": null,
            });
            serde_json::from_value(line).unwrap()
        };
        let told = Told {
            requests: vec![
                request(0, &[9_000_000_000, 9_000_000_001]),
                request(1_000_000_000, &[1_500_000_000, 1_750_000_000, 2_000_000_000]),
            ],
            lag_p99_s: None,
        };
        assert_eq!(sent(&told), (Some(0.5), Some(0.25)));
        assert_eq!(sent(&Told::default()), (None, None));
    }
}
