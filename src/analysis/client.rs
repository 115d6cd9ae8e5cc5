//! Whether the client disturbed what it measured: its processor time, how late it came, and a verdict.
//!
//! Nothing is subtracted from any latency. The verdict says whether the figures may be taken for the server's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::{ClientCost, Event, Phase, RequestRecord, RunRecords, Source};
use crate::units::Seconds;

use super::findings::{Figure, Tokens};
use super::stats::percentile;

/// The thread that drives the load has no room left when it computes for this share of the time: whatever comes next
/// waits for it. Below that a queue at a single thread still empties between bursts.
pub const BUSY_LIMIT: f64 = 0.9;
/// A 99th percentile of the lag of half the usual gap between events can make one gap in a hundred half as long again.
pub const GAP_LIMIT: f64 = 0.5;
/// A usual lag of a twentieth of the usual time to first token is an error of 5 % in it.
pub const TTFT_LIMIT: f64 = 0.05;
/// A 99th percentile takes as many moments.
const LEAST_MOMENTS: u64 = 100;

/// What driving the load cost, how late it was, and what that means for the figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientFindings {
    /// Whether the client was the limit, so that latencies and rates are partly its own; null where it cannot be told.
    pub client_limited: Option<bool>,
    /// Why it is thought so, or why it cannot be told.
    pub because: Vec<String>,
    /// Processor time of this program, user and system, in the measured windows.
    pub cpu_time: Figure,
    /// The same for each output token.
    pub cpu_time_per_output_token: Figure,
    /// Share of the time in which the thread that drives the load computed; 1 is all of one core.
    pub loop_share_of_core: Figure,
    /// How late that thread came to what was ready for it: half the time no later.
    pub loop_lag_p50: Figure,
    /// In 99 % of cases no later.
    pub loop_lag_p99: Figure,
    /// The latest.
    pub loop_lag_max: Figure,
    /// From when a request was due to when its last byte was handed to the kernel, connecting included.
    pub send_lag_p50: Figure,
    /// The same, 99th percentile.
    pub send_lag_p99: Figure,
    /// Most memory that this program held until the end of the measurement.
    pub peak_memory: Figure,
}

/// What a verdict rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// Share of the time in which the loop computed.
    pub busy: f64,
    /// Median and 99th percentile of the loop's lag; none where too few moments were watched.
    pub lag: Option<(Seconds, Seconds)>,
    /// Median gap between events that came apart, over all requests; none without such gaps.
    pub gap: Option<Seconds>,
    /// Median time to first token.
    pub ttft: Option<Seconds>,
}

/// Whether the client was the limit, and why.
#[must_use]
pub fn judge(seen: &Evidence) -> (Option<bool>, Vec<String>) {
    let mut because = Vec::new();
    if seen.busy >= BUSY_LIMIT {
        because.push(format!(
            "the thread that drives the load was busy {:.0} % of the time",
            100.0 * seen.busy
        ));
    }
    let mut exceeds = |lag: Seconds,
                       limit: f64,
                       of: Option<Seconds>,
                       lag_name: &str,
                       of_name: &str| {
        let Some(of) = of.filter(|of| lag.0 >= limit * of.0) else { return };
        because.push(format!(
            "it came {:.2} ms late ({lag_name}), and the median {of_name} is {:.2} ms: more than {:.0} % of it",
            1e3 * lag.0,
            1e3 * of.0,
            100.0 * limit
        ));
    };
    if let Some((p50, p99)) = seen.lag {
        exceeds(p99, GAP_LIMIT, seen.gap, "99th percentile", "gap between events");
        exceeds(p50, TTFT_LIMIT, seen.ttft, "median", "time to first token");
    }
    match (because.is_empty(), seen.lag) {
        (false, _) => (Some(true), because),
        (true, Some(_)) => (Some(false), because),
        (true, None) => {
            because.push(format!(
                "fewer than {LEAST_MOMENTS} moments were watched: the measurement was short, or the system has no timer for it"
            ));
            (None, because)
        }
    }
}

/// What the records say of the client; none in folders of earlier versions.
pub(super) fn findings(
    records: &RunRecords,
    measured: &[&RequestRecord],
    tokens: &Tokens,
) -> Option<ClientFindings> {
    let costs: Vec<&ClientCost> = records
        .events
        .iter()
        .filter_map(|record| match &record.event {
            Event::Client { phase: Phase::Measure, cost, .. } => Some(cost),
            _ => None,
        })
        .collect();
    if costs.is_empty() {
        return None;
    }
    let sum = |time: fn(&ClientCost) -> Seconds| costs.iter().map(|cost| time(cost).0).sum::<f64>();
    let (wall, cpu) = (sum(|cost| cost.wall_s), sum(|cost| cost.cpu_s));
    let busy = sum(|cost| cost.loop_cpu_s) / wall.max(f64::MIN_POSITIVE);
    let lag = Lag::of(&costs);
    let (client_limited, because) = judge(&Evidence {
        busy,
        lag: lag.enough().then_some((lag.p50, lag.p99)),
        gap: median(gaps(measured)),
        ttft: median(measured.iter().filter_map(|one| ttft(one)).collect()),
    });
    let known = |value, unit| Figure::known(value, unit, Source::Measured);
    let lagged = |value: Seconds| match lag.count {
        0 => Figure::unknown(Seconds::UNIT, "the system has no timer for it"),
        _ => known(value.0, Seconds::UNIT),
    };
    let [send_lag_p50, send_lag_p99] = send_lags(measured);
    Some(ClientFindings {
        client_limited,
        because,
        cpu_time: known(cpu, Seconds::UNIT),
        cpu_time_per_output_token: per_token(records, cpu, tokens),
        loop_share_of_core: known(busy, "1"),
        loop_lag_p50: lagged(lag.p50),
        loop_lag_p99: lagged(lag.p99),
        loop_lag_max: lagged(lag.max),
        send_lag_p50,
        send_lag_p99,
        peak_memory: match costs.iter().filter_map(|cost| cost.peak_memory_bytes).max() {
            #[expect(clippy::cast_precision_loss, reason = "bytes of memory stay far below 2^53")]
            Some(bytes) => known(bytes as f64, "B"),
            None => Figure::unknown("B", "the system does not tell"),
        },
    })
}

/// The worst lag of all repetitions: one that was disturbed is enough.
#[derive(Default)]
struct Lag {
    count: u64,
    p50: Seconds,
    p99: Seconds,
    max: Seconds,
}

impl Lag {
    fn of(costs: &[&ClientCost]) -> Self {
        costs.iter().filter_map(|cost| cost.loop_lag).fold(Self::default(), |worst, lags| Self {
            count: worst.count + lags.count,
            p50: Seconds(worst.p50.0.max(lags.p50_s.0)),
            p99: Seconds(worst.p99.0.max(lags.p99_s.0)),
            max: Seconds(worst.max.0.max(lags.max_s.0)),
        })
    }

    const fn enough(&self) -> bool {
        self.count >= LEAST_MOMENTS
    }
}

fn per_token(records: &RunRecords, cpu: f64, tokens: &Tokens) -> Figure {
    const UNIT: &str = "s/token";
    if records.manifest.backend.endpoint.is_none() {
        return Figure::unknown(UNIT, "the model runs in this program: its work is in the time");
    }
    Figure::known(cpu, Seconds::UNIT, Source::Measured).per(
        tokens.completion.value,
        UNIT,
        "no output tokens were counted",
    )
}

fn ttft(request: &RequestRecord) -> Option<f64> {
    request.first_token_ns.map(|first| first.since(request.sent_ns).0)
}

/// Gaps between events that did not come in the same read.
fn gaps(requests: &[&RequestRecord]) -> Vec<f64> {
    let pairs = requests.iter().flat_map(|request| request.event_offsets_ns.windows(2));
    #[expect(clippy::cast_precision_loss, reason = "shown in milliseconds")]
    pairs.filter(|pair| pair[1] > pair[0]).map(|pair| (pair[1] - pair[0]) as f64 * 1e-9).collect()
}

fn median(mut values: Vec<f64>) -> Option<Seconds> {
    values.sort_unstable_by(f64::total_cmp);
    percentile(&values, 0.5).map(Seconds)
}

fn send_lags(measured: &[&RequestRecord]) -> [Figure; 2] {
    // A retry was due later than its request.
    let first = measured.iter().filter(|request| request.retries == 0);
    // What the load held back is not the client's delay.
    let due = |request: &RequestRecord| request.released_ns.unwrap_or(request.scheduled_ns);
    let mut lags: Vec<f64> = first.map(|request| request.sent_ns.since(due(request)).0).collect();
    lags.sort_unstable_by(f64::total_cmp);
    [0.5, 0.99].map(|q| match percentile(&lags, q) {
        Some(lag) => Figure::known(lag, Seconds::UNIT, Source::Measured),
        None => Figure::unknown(Seconds::UNIT, "no request was sent without a retry"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence() -> Evidence {
        Evidence {
            busy: 0.5,
            lag: Some((Seconds(0.0001), Seconds(0.004))),
            gap: Some(Seconds(0.02)),
            ttft: Some(Seconds(0.1)),
        }
    }

    #[test]
    fn a_client_that_keeps_up_is_not_the_limit() {
        assert_eq!(judge(&evidence()), (Some(false), Vec::new()));
        let without_tokens = Evidence { gap: None, ttft: None, ..evidence() };
        assert_eq!(judge(&without_tokens).0, Some(false));
    }

    #[test]
    fn each_sign_alone_makes_it_the_limit_and_is_named() {
        for (seen, named) in [
            (Evidence { busy: 0.95, ..evidence() }, "busy 95 %"),
            (Evidence { lag: Some((Seconds(0.001), Seconds(0.010))), ..evidence() }, "gap"),
            (Evidence { lag: Some((Seconds(0.006), Seconds(0.007))), ..evidence() }, "first token"),
        ] {
            let (limited, because) = judge(&seen);
            assert_eq!(limited, Some(true));
            assert_eq!(because.len(), 1, "{because:?}");
            assert!(because[0].contains(named), "{because:?}");
        }
    }

    #[test]
    fn without_moments_only_a_busy_loop_is_certain() {
        let (limited, because) = judge(&Evidence { lag: None, ..evidence() });
        assert_eq!((limited, because.len()), (None, 1));
        assert_eq!(judge(&Evidence { lag: None, busy: 1.0, ..evidence() }).0, Some(true));
    }
}
