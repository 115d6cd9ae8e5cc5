//! When a request was prefilled and when it decoded.
//!
//! A server that reports its own times is believed. Otherwise a client knows when it sent the request and when each token
//! arrived, and the start of the prefill is estimated: servers take prompts in turn, so it did not begin before the first
//! token of the prompt before it; and it lasted no longer than prompts last at the pace of the quicker quarter of the run.

use std::collections::HashMap;

use serde_json::Value;

use crate::record::{FailureClass, Outcome, Phase, RequestRecord};
use crate::units::Nanos;

use super::super::stats;

/// Prompts whose first tokens come within this time were prefilled together, s.
const TOGETHER_S: f64 = 0.002;
/// An answer that came in one piece is taken to have been decoded in so many at most.
const PIECES: f64 = 256.0;
/// The pace of prefilling is this quantile of those seen: slower ones waited.
const PACE_QUANTILE: f64 = 0.25;

/// Tokens of a request, known or estimated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Amounts {
    /// Prompt tokens that were computed.
    pub computed: f64,
    /// Prompt tokens from the cache.
    pub cached: f64,
    /// Generated tokens.
    pub output: f64,
    /// Relative standard uncertainty of the work of the prompt: failed requests without a first token are counted with half of
    /// their prompt, and prompts whose length nobody told with the mean of the others'.
    pub doubt: f64,
}

impl Amounts {
    /// It failed before the server's model could begin.
    pub const NONE: Self = Self { computed: 0.0, cached: 0.0, output: 0.0, doubt: 0.0 };
}

/// A request on the time line, in seconds after the window's begin.
#[derive(Debug, Clone, PartialEq)]
pub struct Timed {
    /// Position in the list of requests.
    pub request: usize,
    /// Sent.
    pub sent: f64,
    /// Earliest begin of the prefill that the records allow.
    pub earliest: f64,
    /// Begin of the prefill.
    pub begin: f64,
    /// End of the prefill: the first token.
    pub first: f64,
    /// When each chunk of tokens after the first was there; the first stands for `first` itself.
    pub arrivals: Vec<f64>,
    /// Ended.
    pub end: f64,
    /// Tokens.
    pub amounts: Amounts,
    /// Whether the server told its times.
    pub by_server: bool,
    /// Whether no arrivals tell when its tokens were decoded: they come slower while others are prefilled, which a mean rate hides.
    pub guessed: bool,
}

impl Timed {
    /// Last token, or the end of the prefill.
    #[must_use]
    pub fn last(&self) -> f64 {
        self.arrivals.last().copied().unwrap_or(self.first)
    }
}

/// The server's own times of a request, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ServerTimes {
    /// From the start of the prefill to the first token.
    pub prefill: f64,
    /// From the first token to the last.
    pub decode: Option<f64>,
    /// Prompt tokens computed.
    pub computed: Option<f64>,
    /// Prompt tokens from the cache.
    pub cached: Option<f64>,
}

/// What a server told: vLLM's `metrics` (`--enable-per-request-metrics`), llama-server's `timings`.
#[must_use]
pub fn server_times(timings: &Value) -> Option<ServerTimes> {
    let number = |group: &str, key: &str| {
        timings.get(group)?.get(key)?.as_f64().filter(|value| value.is_finite() && *value >= 0.0)
    };
    if let Some(prefill) = number("metrics", "time_to_first_token_ms") {
        return Some(ServerTimes {
            prefill: prefill / 1e3,
            decode: number("metrics", "generation_time_ms").map(|time| time / 1e3),
            computed: None,
            cached: None,
        });
    }
    Some(ServerTimes {
        prefill: number("timings", "prompt_ms")? / 1e3,
        decode: number("timings", "predicted_ms").map(|time| time / 1e3),
        computed: number("timings", "prompt_n"),
        cached: number("timings", "cache_n"),
    })
}

/// Puts requests on the time line.
///
/// # Errors
/// In words, when no request tells how long its prompt is.
pub fn place(requests: &[&RequestRecord], origin: Nanos) -> Result<Vec<Timed>, String> {
    let prompts: Vec<f64> = requests
        .iter()
        .filter_map(|request| {
            let cached = request.tokens.cached_prompt.unwrap_or(0);
            Some(request.tokens.prompt?.saturating_sub(cached) as f64)
        })
        .collect();
    let mean = stats::mean(&prompts)
        .ok_or("no request tells its number of prompt tokens: their work cannot be weighed")?;
    let spread = stats::std_dev(&prompts).unwrap_or(0.0) / mean.max(1.0);
    let known = requests
        .iter()
        .filter_map(|request| Some((request.prompt_id.as_str(), request.tokens.prompt? as f64)))
        .collect();
    let usual = Usual { mean, spread, known };
    let mut placed: Vec<Timed> = requests
        .iter()
        .enumerate()
        .map(|(position, request)| one(position, request, &usual, origin))
        .collect();
    leave_in_line(&mut placed, requests);
    begin_in_turn(&mut placed);
    Ok(placed)
}

/// How long prompts are whose length nobody told.
struct Usual<'a> {
    /// Tokens that were computed.
    mean: f64,
    /// Standard deviation over the mean.
    spread: f64,
    /// Of prompts that were sent another time.
    known: HashMap<&'a str, f64>,
}

impl Usual<'_> {
    /// Tokens of the prompt, and how far they may be off, relative.
    fn prompt(&self, request: &RequestRecord) -> (f64, f64) {
        let told = request.tokens.prompt.map(|count| count as f64);
        match told.or_else(|| self.known.get(request.prompt_id.as_str()).copied()) {
            Some(count) => (count, 0.0),
            None => (self.mean, self.spread),
        }
    }
}

/// Seconds after the origin, negative before it.
fn seconds(at: Nanos, origin: Nanos) -> f64 {
    at.since(origin).0 - origin.since(at).0
}

/// One request by itself.
fn one(position: usize, request: &RequestRecord, usual: &Usual<'_>, origin: Nanos) -> Timed {
    let times = request.server_timings.as_ref().and_then(server_times);
    let amounts = amounts(request, times, usual);
    let at = |nanos: Nanos| seconds(nanos, origin);
    let (sent, end) = (at(request.sent_ns), at(request.end_ns).max(at(request.sent_ns)));
    let (first, arrivals) = tokens(request, times, &amounts, (sent, end), origin);
    let begin = match times {
        Some(times) => (first - times.prefill).clamp(sent, first),
        None if amounts == Amounts::NONE => first,
        None => sent,
    };
    Timed {
        request: position,
        sent,
        earliest: begin,
        begin,
        first,
        arrivals,
        end,
        amounts,
        by_server: times.is_some(),
        guessed: !is_streamed(request),
    }
}

fn amounts(request: &RequestRecord, times: Option<ServerTimes>, usual: &Usual<'_>) -> Amounts {
    let (prompt, spread) = usual.prompt(request);
    let cached = request
        .tokens
        .cached_prompt
        .map(|count| count as f64)
        .or(times.and_then(|times| times.cached))
        .unwrap_or(0.0);
    let computed =
        times.and_then(|times| times.computed).unwrap_or_else(|| (prompt - cached).max(0.0));
    // Without a count each chunk stands for a token.
    let chunks = request.event_offsets_ns.len() as f64;
    let output = request.tokens.completion.map_or(chunks, |count| count as f64);
    match &request.outcome {
        Outcome::Ok { .. } => Amounts { computed, cached, output, doubt: spread },
        Outcome::Failed { class, .. } if request.first_token_ns.is_none() => {
            // Whether the server had begun, nobody knows: something between nothing and all.
            let doubt = spread.hypot(3.0_f64.sqrt().recip());
            let computed = computed / 2.0;
            if may_have_begun(*class) {
                Amounts { computed, cached, output: 0.0, doubt }
            } else {
                Amounts::NONE
            }
        }
        Outcome::Failed { .. } => Amounts { computed, cached, output, doubt: spread },
    }
}

/// Whether a request that failed so may have cost the server's model anything.
const fn may_have_begun(class: FailureClass) -> bool {
    !matches!(class, FailureClass::Connect | FailureClass::Tls | FailureClass::HttpStatus)
}

const fn is_streamed(request: &RequestRecord) -> bool {
    request.event_offsets_ns.len() >= 2
}

/// First token and arrivals after it.
fn tokens(
    request: &RequestRecord,
    times: Option<ServerTimes>,
    amounts: &Amounts,
    (sent, end): (f64, f64),
    origin: Nanos,
) -> (f64, Vec<f64>) {
    if let (true, Some(first)) = (is_streamed(request), request.first_token_ns) {
        let base = seconds(request.sent_ns, origin);
        let mut latest = seconds(first, origin).clamp(sent, end);
        let first = latest;
        let arrivals = request.event_offsets_ns.iter().skip(1).map(|offset| {
            latest = (base + *offset as f64 / 1e9).clamp(latest, end);
            latest
        });
        return (first, arrivals.collect());
    }
    // The answer came in one piece, or not at all.
    let done = request.last_token_ns.map_or(end, |last| seconds(last, origin).clamp(sent, end));
    if amounts.output <= 1.0 {
        return (done, Vec::new());
    }
    let decode = times.and_then(|times| times.decode).unwrap_or_else(|| {
        // A step costs a token's time whatever the prompt's length; a prompt token a small part of it.
        let assumed = super::Weights::ASSUMED;
        let steps = amounts.output * (assumed.decode + assumed.step);
        (done - sent) * steps / (steps + amounts.computed * assumed.prefill + assumed.step)
    });
    let first = (done - decode).clamp(sent, done);
    // Decoding is even, near enough: as many arrivals as tokens, or as pieces that tell a varying batch.
    let pieces = (amounts.output - 1.0).clamp(1.0, PIECES);
    let mut arrivals = Vec::new();
    let mut piece = 1.0;
    while piece <= pieces {
        arrivals.push(first + (done - first) * (piece / pieces));
        piece += 1.0;
    }
    (first, arrivals)
}

/// Failed requests without a first token whose turn had not come: one that was sent before them was not done yet when they
/// ended, or one that was sent after them was.
fn leave_in_line(placed: &mut [Timed], requests: &[&RequestRecord]) {
    let done: Vec<(f64, f64)> = placed
        .iter()
        .filter(|one| requests[one.request].first_token_ns.is_some())
        .map(|one| (one.sent, one.first))
        .collect();
    for one in placed {
        if one.by_server || requests[one.request].is_ok() {
            continue;
        }
        if requests[one.request].first_token_ns.is_some() {
            continue;
        }
        let waited = |(sent, first): &(f64, f64)| {
            if *sent < one.sent { *first > one.end } else { *sent > one.sent && *first < one.end }
        };
        if done.iter().any(waited) {
            one.amounts = Amounts::NONE;
            (one.begin, one.earliest) = (one.first, one.first);
        }
    }
}

/// Estimates the begin of the prefills that no server told.
fn begin_in_turn(placed: &mut [Timed]) {
    let mut order: Vec<usize> =
        (0..placed.len()).filter(|one| placed[*one].amounts != Amounts::NONE).collect();
    order.sort_by(|one, two| placed[*one].first.total_cmp(&placed[*two].first));
    let mut paces = Vec::new();
    let mut groups: Vec<(usize, usize)> = Vec::new();
    let mut from = 0;
    while from < order.len() {
        let first = placed[order[from]].first;
        let same = |position: &&usize| placed[**position].first - first <= TOGETHER_S;
        let to = from + order[from..].iter().take_while(same).count();
        groups.push((from, to));
        from = to;
    }
    let mut before = f64::NEG_INFINITY;
    for (from, to) in &groups {
        let members = &order[*from..*to];
        for member in members {
            let timed = &mut placed[*member];
            if !timed.by_server {
                timed.earliest = timed.sent.max(before).min(timed.first);
            }
        }
        let tokens: f64 = members.iter().map(|member| placed[*member].amounts.computed).sum();
        let span = members
            .iter()
            .map(|member| placed[*member].first - placed[*member].earliest)
            .fold(0.0, f64::max);
        if tokens > 0.0 && span > 0.0 {
            paces.push(span / tokens);
        }
        before = members.iter().map(|member| placed[*member].first).fold(before, f64::max);
    }
    paces.sort_by(f64::total_cmp);
    let Some(pace) = stats::percentile(&paces, PACE_QUANTILE) else { return };
    for (from, to) in groups {
        let mut members: Vec<usize> = order[from..to].to_vec();
        // Those of one group were taken in turn too: the last of them only in the last of its time.
        members
            .sort_by(|one, two| placed[*two].sent.total_cmp(&placed[*one].sent).then(two.cmp(one)));
        let mut tokens = 0.0;
        for member in members {
            let timed = &mut placed[member];
            tokens += timed.amounts.computed;
            if !timed.by_server {
                timed.begin = timed.earliest.max(timed.first - pace * tokens);
            }
        }
    }
}

/// Whether a request belongs to the measured ones.
#[must_use]
pub fn is_measured(request: &RequestRecord) -> bool {
    request.phase == Phase::Measure
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn servers_tell_their_times_in_two_ways() {
        let vllm = json!({"metrics": {
            "time_to_first_token_ms": 85.0, "generation_time_ms": 1240.0, "queue_time_ms": 12.0,
            "mean_itl_ms": 9.0, "tokens_per_second": 103.0,
        }});
        let told = server_times(&vllm).unwrap();
        assert_eq!((told.prefill, told.decode), (0.085, Some(1.24)));
        assert_eq!((told.computed, told.cached), (None, None));
        let llama = json!({"timings": {
            "cache_n": 3, "prompt_n": 9, "prompt_ms": 2.5, "predicted_n": 5, "predicted_ms": 4.0,
        }});
        let told = server_times(&llama).unwrap();
        assert_eq!((told.prefill, told.decode), (0.0025, Some(0.004)));
        assert_eq!((told.computed, told.cached), (Some(9.0), Some(3.0)));
    }

    #[test]
    fn times_that_are_null_or_nonsense_are_none() {
        for value in [
            json!({"metrics": null}),
            json!({"metrics": {"time_to_first_token_ms": null}}),
            json!({"metrics": {"time_to_first_token_ms": -1.0}}),
            json!({"timings": {"prompt_n": 9}}),
            json!({"energy": {"energy_joules": 1.0}}),
        ] {
            assert_eq!(server_times(&value), None, "{value}");
        }
    }
}
