//! Times of requests: time to first token, gaps, and speed of generation.
//!
//! Only successful requests enter. One without a first token (nothing generated, or an answer that
//! was not streamed) has no TTFT: it is left out, never a zero. The number of output tokens is the
//! server's or the engine's own count, not the number of chunks.

use crate::record::{RequestRecord, Source};
use crate::units::{Nanos, Seconds};

use super::findings::Latency;
use super::stats::Summary;

/// Times of one request.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestTimes {
    /// Sent to first generated text.
    pub ttft: Option<Seconds>,
    /// Sent to first text that is not reasoning.
    pub ttfo: Option<Seconds>,
    /// Sent to ended.
    pub e2e: Seconds,
    /// From when the load wanted it sent to ended.
    pub e2e_from_schedule: Seconds,
    /// From when the load wanted it sent to sent.
    pub queue_delay: Seconds,
    /// (E2E - TTFT) / (tokens - 1).
    pub inter_token: Option<Seconds>,
    /// (last - first text event) / (tokens - 1).
    pub tpot: Option<Seconds>,
    /// Output tokens / E2E, token/s.
    pub e2e_speed: Option<f64>,
}

/// Gaps between text events.
fn gaps(request: &RequestRecord) -> impl Iterator<Item = Seconds> {
    request.event_offsets_ns.windows(2).map(|pair| Nanos(pair[1]).since(Nanos(pair[0])))
}

impl RequestTimes {
    /// Of a request that ended well.
    #[must_use]
    pub fn of(request: &RequestRecord) -> Self {
        let ttft = request.first_token_ns.map(|first| first.since(request.sent_ns));
        let e2e = request.end_ns.since(request.sent_ns);
        let steps = request.tokens.completion.filter(|count| *count >= 2).map(|count| count - 1);
        let inter_token =
            ttft.zip(steps).map(|(ttft, steps)| Seconds((e2e.0 - ttft.0) / steps as f64));
        let generating = request
            .first_token_ns
            .zip(request.last_token_ns)
            .map(|(first, last)| last.since(first));
        let tpot = generating.zip(steps).map(|(span, steps)| span / steps as f64);
        Self {
            ttft,
            ttfo: request.first_output_token_ns.map(|first| first.since(request.sent_ns)),
            e2e,
            e2e_from_schedule: request.end_ns.since(request.scheduled_ns),
            queue_delay: request.sent_ns.since(request.scheduled_ns),
            inter_token,
            tpot,
            e2e_speed: request
                .tokens
                .completion
                .filter(|_| e2e.0 > 0.0)
                .map(|tokens| tokens as f64 / e2e.0),
        }
    }

    /// (output tokens - 1) / (E2E - TTFT), token/s.
    #[must_use]
    pub fn decode_speed(&self) -> Option<f64> {
        self.inter_token.filter(|step| step.0 > 0.0).map(|step| step.0.recip())
    }
}

/// Summaries over requests that ended well.
#[must_use]
pub fn summarise(requests: &[&RequestRecord]) -> Latency {
    let times: Vec<RequestTimes> =
        requests.iter().map(|request| RequestTimes::of(request)).collect();
    let none = "no request succeeded";
    let reason = |otherwise: &'static str| if requests.is_empty() { none } else { otherwise };
    let no_tokens =
        "no successful request has both a first token and at least 2 counted output tokens";
    let seconds = |values: Vec<f64>, otherwise: &'static str| {
        Summary::of(&values, Seconds::UNIT, Source::Measured, reason(otherwise))
    };
    let some = |pick: fn(&RequestTimes) -> Option<Seconds>| -> Vec<f64> {
        times.iter().filter_map(pick).map(Seconds::value).collect()
    };
    let all = |pick: fn(&RequestTimes) -> Seconds| -> Vec<f64> {
        times.iter().map(|one| pick(one).0).collect()
    };
    let speeds = |pick: fn(&RequestTimes) -> Option<f64>, otherwise: &'static str| {
        let values: Vec<f64> = times.iter().filter_map(pick).collect();
        Summary::of(&values, "token/s", Source::Measured, reason(otherwise))
    };
    Latency {
        ttft: seconds(
            some(|one| one.ttft),
            "no successful request shows a first token: answers were empty or not streamed",
        ),
        ttfo: seconds(
            some(|one| one.ttfo),
            "no successful request shows a first output token: answers were empty, only reasoning or not streamed",
        ),
        inter_token_latency: seconds(some(|one| one.inter_token), no_tokens),
        tpot: seconds(some(|one| one.tpot), no_tokens),
        inter_chunk_latency: seconds(
            requests.iter().flat_map(|request| gaps(request)).map(Seconds::value).collect(),
            "no successful request has two text events",
        ),
        e2e: seconds(all(|one| one.e2e), none),
        e2e_from_schedule: seconds(all(|one| one.e2e_from_schedule), none),
        queue_delay: seconds(all(|one| one.queue_delay), none),
        decode_speed: speeds(RequestTimes::decode_speed, no_tokens),
        e2e_speed: speeds(
            |one| one.e2e_speed,
            "no successful request has a count of output tokens",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{AskedTokens, Outcome, Phase, TokenCounts, TokenSource};

    fn request(tokens: Option<u64>, offsets: &[u64]) -> RequestRecord {
        let sent = 1_000_000_000;
        RequestRecord {
            index: 0,
            phase: Phase::Measure,
            repetition: None,
            prompt_id: "0".to_owned(),
            scheduled_ns: Nanos(sent),
            conversation: None,
            turn: None,
            released_ns: None,
            sent_ns: Nanos(sent),
            first_byte_ns: None,
            first_token_ns: offsets.first().map(|offset| Nanos(sent + offset)),
            first_output_token_ns: offsets.get(1).map(|offset| Nanos(sent + offset)),
            last_token_ns: offsets.last().map(|offset| Nanos(sent + offset)),
            end_ns: Nanos(sent + 1_000_000_000),
            event_offsets_ns: offsets.to_vec(),
            tokens: TokenCounts {
                completion: tokens,
                source: TokenSource::Usage,
                ..TokenCounts::MISSING
            },
            asked: AskedTokens::default(),
            output_chars: 0,
            output: None,
            retries: 0,
            outcome: Outcome::Ok { finish_reason: None },
            server_timings: None,
        }
    }

    #[test]
    fn each_latency_follows_its_definition() {
        // First text after 200 ms, last after 900 ms, end after 1 s, nine tokens in three chunks.
        let mut one = request(Some(9), &[200_000_000, 500_000_000, 900_000_000]);
        one.scheduled_ns = Nanos(one.sent_ns.0 - 250_000_000);
        let times = RequestTimes::of(&one);
        assert_eq!(times.ttft, Some(Seconds(0.2)));
        assert_eq!(times.e2e, Seconds(1.0));
        assert_eq!(times.inter_token, Some(Seconds(0.1)));
        assert_eq!(times.tpot, Some(Seconds(0.0875)));
        // The second text is the first that is not reasoning; it was sent 250 ms after its time.
        assert_eq!(times.ttfo, Some(Seconds(0.5)));
        assert_eq!((times.queue_delay, times.e2e_from_schedule), (Seconds(0.25), Seconds(1.25)));
        assert_eq!(times.e2e_speed, Some(9.0));
        assert_eq!(gaps(&one).collect::<Vec<_>>(), [Seconds(0.3), Seconds(0.4)]);
        let latency = summarise(&[&one]);
        assert_eq!(latency.decode_speed.mean, Some(10.0));
    }

    #[test]
    fn a_request_without_a_first_token_is_left_out_and_not_a_zero() {
        let silent = request(Some(9), &[]);
        let spoken = request(Some(9), &[200_000_000, 900_000_000]);
        let latency = summarise(&[&silent, &spoken]);
        assert_eq!((latency.ttft.n, latency.ttft.min), (1, Some(0.2)));
        assert_eq!(latency.e2e.n, 2);
        let latency = summarise(&[&silent]);
        assert_eq!(latency.ttft.p50, None);
        assert!(latency.ttft.reason.unwrap().contains("first token"));
    }

    #[test]
    fn one_token_has_no_inter_token_latency() {
        let times = RequestTimes::of(&request(Some(1), &[200_000_000]));
        assert_eq!((times.inter_token, times.tpot), (None, None));
        assert_eq!(summarise(&[]).e2e.reason.as_deref(), Some("no request succeeded"));
    }
}
