//! The steady part of a repetition, declared from requests in flight, never from the power that it would flatter.
//!
//! `full_load`: from the moment when as many requests are in flight as the load permits, to the moment when that many are for
//! the last time. Between them the number may drop for an instant, when one ends and the next is being sent.
//!
//! `ml_energy` (the ML.ENERGY benchmark's definition): from the moment when `max_num_seqs` requests have had a first token, to
//! the moment when all requests but `max_num_seqs` + 1 have ended.

use std::collections::BTreeMap;

use crate::record::RequestRecord;
use crate::units::Nanos;

use super::window::Window;

/// Which definition, with the number of requests of a full load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Definition {
    /// By requests in flight.
    FullLoad(u64),
    /// By first tokens and ended requests.
    MlEnergy(u64),
}

/// The steady window of the requests of one repetition.
///
/// # Errors
/// In words, when there is none.
pub fn window(requests: &[&RequestRecord], definition: Definition) -> Result<Window, String> {
    let window = match definition {
        Definition::FullLoad(full) => full_load(requests, full)?,
        Definition::MlEnergy(full) => ml_energy(requests, full)?,
    };
    if window.to <= window.from {
        return Err("the load was never full for any time".to_owned());
    }
    Ok(window)
}

fn full_load(requests: &[&RequestRecord], full: u64) -> Result<Window, String> {
    let mut edges: BTreeMap<Nanos, i64> = BTreeMap::new();
    for request in requests {
        *edges.entry(request.sent_ns).or_default() += 1;
        *edges.entry(request.end_ns).or_default() -= 1;
    }
    let wanted = i64::try_from(full).unwrap_or(i64::MAX);
    let (mut now, mut most) = (0, 0);
    let (mut begin, mut end) = (None, None);
    // What ends and what is sent at the same instant leave no gap between them.
    for (at, change) in edges {
        let before = now;
        now += change;
        most = most.max(now);
        if before < wanted && now >= wanted {
            begin.get_or_insert(at);
        }
        if before >= wanted && now < wanted {
            end = Some(at);
        }
    }
    match (begin, end) {
        (Some(from), Some(to)) => Ok(Window { from, to }),
        _ => Err(format!("the load permits {full} requests in flight, and at most {most} were")),
    }
}

fn ml_energy(requests: &[&RequestRecord], full: u64) -> Result<Window, String> {
    let count = requests.len() as u64;
    let mut firsts: Vec<Nanos> =
        requests.iter().filter_map(|request| request.first_token_ns).collect();
    firsts.sort_unstable();
    let mut ends: Vec<Nanos> = requests.iter().map(|request| request.end_ns).collect();
    ends.sort_unstable();
    let nth = |list: &[Nanos], number: u64| {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        list.get(index).copied()
    };
    let from = nth(&firsts, full).ok_or_else(|| {
        format!("{} of {count} requests had a first token, {full} are a full batch", firsts.len())
    })?;
    let ended = count.checked_sub(full + 1).filter(|ended| *ended > 0);
    let to = ended.and_then(|ended| nth(&ends, ended)).ok_or_else(|| {
        format!(
            "{count} requests are too few for a full batch of {full}: more than {} are needed",
            full + 1
        )
    })?;
    Ok(Window { from, to })
}

/// Output tokens that came within a window: each request's count, in proportion to its text events in it. A request
/// that was not streamed counts where it lies wholly inside or outside.
///
/// # Errors
/// In words, when the tokens of a request are not known or cannot be placed.
pub fn tokens_in(requests: &[&RequestRecord], window: Window) -> Result<f64, String> {
    let mut sum = 0.0;
    for request in requests.iter().filter(|request| request.is_ok()) {
        if request.end_ns <= window.from || request.sent_ns >= window.to {
            continue;
        }
        let Some(tokens) = request.tokens.completion else {
            return Err("a request came without a count of output tokens".to_owned());
        };
        let inside = request.sent_ns >= window.from && request.end_ns <= window.to;
        let events = request.event_offsets_ns.len();
        sum += match (inside, events) {
            (true, _) => tokens as f64,
            (false, 0) if tokens == 0 => 0.0,
            (false, 0) => {
                let reason = "answers were not streamed: their tokens have no time";
                return Err(reason.to_owned());
            }
            (false, _) => {
                let within = |offset: &&u64| {
                    let at = Nanos(request.sent_ns.0.saturating_add(**offset));
                    window.from <= at && at < window.to
                };
                let share = request.event_offsets_ns.iter().filter(within).count() as f64;
                tokens as f64 * share / events as f64
            }
        };
    }
    Ok(sum)
}

/// Requests that ended well within a window.
#[must_use]
pub fn ended_in(requests: &[&RequestRecord], window: Window) -> f64 {
    let inside = |at: Nanos| window.from < at && at <= window.to;
    requests.iter().filter(|request| request.is_ok() && inside(request.end_ns)).count() as f64
}

/// Prompt tokens of requests that ended well and whose first token (of answers that were not streamed: whose end) came within
/// a window.
///
/// # Errors
/// In words, when the prompt tokens of one of them are not known.
pub fn prompt_tokens_in(requests: &[&RequestRecord], window: Window) -> Result<f64, String> {
    let read = |request: &RequestRecord| request.first_token_ns.unwrap_or(request.end_ns);
    requests
        .iter()
        .filter(|request| request.is_ok())
        .filter(|request| window.from < read(request) && read(request) <= window.to)
        .map(|request| match request.tokens.prompt {
            Some(tokens) => Ok(tokens as f64),
            None => Err("a request came without a count of prompt tokens".to_owned()),
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::{AskedTokens, Outcome, Phase, TokenCounts, TokenSource};

    /// A request from `sent` to `end` ns with ten tokens, one event each, evenly over its time.
    fn request(sent: u64, end: u64) -> RequestRecord {
        let step = (end - sent) / 10;
        RequestRecord {
            index: 0,
            phase: Phase::Measure,
            repetition: Some(0),
            prompt_id: String::new(),
            scheduled_ns: Nanos(sent),
            conversation: None,
            turn: None,
            released_ns: None,
            sent_ns: Nanos(sent),
            first_byte_ns: None,
            first_token_ns: Some(Nanos(sent + step)),
            first_output_token_ns: None,
            last_token_ns: Some(Nanos(end)),
            end_ns: Nanos(end),
            event_offsets_ns: (1..=10).map(|number| number * step).collect(),
            tokens: TokenCounts {
                prompt: None,
                cached_prompt: None,
                completion: Some(10),
                reasoning: None,
                source: TokenSource::Usage,
            },
            asked: AskedTokens::default(),
            output_chars: 0,
            output: None,
            retries: 0,
            outcome: Outcome::Ok { finish_reason: None },
            server_timings: None,
        }
    }

    fn of(spans: &[(u64, u64)], definition: Definition) -> Result<Window, String> {
        let requests: Vec<RequestRecord> =
            spans.iter().map(|(sent, end)| request(*sent, *end)).collect();
        window(&requests.iter().collect::<Vec<_>>(), definition)
    }

    fn span(from: u64, to: u64) -> Result<Window, String> {
        Ok(Window { from: Nanos(from), to: Nanos(to) })
    }

    #[test]
    fn full_load_lasts_from_the_first_full_moment_to_the_last() {
        // Two at a time; for an instant only one, twice; then the load runs out.
        let spans = [(0, 100), (10, 200), (105, 300), (210, 400), (310, 500)];
        assert_eq!(of(&spans, Definition::FullLoad(2)), span(10, 400));
        assert_eq!(of(&spans[..1], Definition::FullLoad(1)), span(0, 100));
        let error = of(&spans, Definition::FullLoad(3)).unwrap_err();
        assert!(error.contains("permits 3") && error.contains("at most 2"), "{error}");
    }

    #[test]
    fn ml_energys_window_is_told_by_first_tokens_and_ended_requests() {
        let spans = [(0, 100), (0, 200), (100, 300), (200, 400), (300, 500), (400, 600)];
        // First tokens at 10 and 20; 6 - 2 - 1 = 3 requests have ended at 300.
        assert_eq!(of(&spans, Definition::MlEnergy(2)), span(20, 300));
        assert!(of(&spans[..3], Definition::MlEnergy(2)).unwrap_err().contains("too few"));
        assert!(of(&spans, Definition::MlEnergy(7)).unwrap_err().contains("first token"));
    }

    #[test]
    fn tokens_count_where_their_events_lie() {
        let requests = [request(0, 100), request(50, 150)];
        let requests: Vec<&RequestRecord> = requests.iter().collect();
        let found = tokens_in(&requests, Window { from: Nanos(55), to: Nanos(105) }).unwrap();
        // Of the first those at 60, 70, 80, 90, 100; of the second those at 60 to 100.
        assert!((found - 10.0).abs() < 1e-12, "{found}");
        let mut whole = request(0, 100);
        whole.event_offsets_ns.clear();
        assert!(tokens_in(&[&whole], Window { from: Nanos(5), to: Nanos(200) }).is_err());
        let all = tokens_in(&[&whole], Window { from: Nanos(0), to: Nanos(200) });
        assert!((all.unwrap() - 10.0).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn tokens_of_neighbouring_windows_add_up(
            spans in proptest::collection::vec((0_u64..1000, 10_u64..500), 1..20), cut in 1_u64..1500,
        ) {
            let requests: Vec<RequestRecord> =
                spans.iter().map(|(sent, length)| request(*sent, sent + length)).collect();
            let requests: Vec<&RequestRecord> = requests.iter().collect();
            let count = |from: u64, to: u64| {
                tokens_in(&requests, Window { from: Nanos(from), to: Nanos(to) }).unwrap()
            };
            let parts = count(0, cut) + count(cut, 2000);
            prop_assert!((parts - count(0, 2000)).abs() < 1e-9);
        }

        #[test]
        fn a_steady_window_lies_within_the_requests(
            spans in proptest::collection::vec((0_u64..1000, 10_u64..500), 1..20), full in 1_u64..8,
        ) {
            let spans: Vec<(u64, u64)> =
                spans.iter().map(|(sent, length)| (*sent, sent + length)).collect();
            for definition in [Definition::FullLoad(full), Definition::MlEnergy(full)] {
                if let Ok(found) = of(&spans, definition) {
                    prop_assert!(found.from < found.to);
                    prop_assert!(found.from.0 >= spans.iter().map(|span| span.0).min().unwrap());
                    prop_assert!(found.to.0 <= spans.iter().map(|span| span.1).max().unwrap());
                }
            }
        }
    }
}
