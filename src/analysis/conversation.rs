//! Conversations turn by turn: how far they went, and what a turn waits for as its history grows.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::{ConversationTally, Event, NotSent, Phase, RequestRecord, RunRecords, Source};
use crate::units::Seconds;

use super::latency::RequestTimes;
use super::stats::Summary;

/// Conversations of the measurement, all repetitions together. The turns of those that began are the requests that were
/// sent and `not_sent`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConversationFindings {
    /// Conversations whose first turn was sent.
    pub begun: u64,
    /// Of those, how many got an answer to their last turn.
    pub complete: u64,
    /// Their turns that were not sent, by reason: a turn before failed, the load was over, the run was stopped.
    pub not_sent: BTreeMap<NotSent, u64>,
    /// The turns, the first first.
    pub turns: Vec<TurnFindings>,
}

/// The requests that are the same turn of their conversations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TurnFindings {
    /// Which, from 1.
    pub turn: u32,
    /// Requests that were sent.
    pub sent: u64,
    /// Of those, how many were answered.
    pub succeeded: u64,
    /// Sent to first generated text.
    pub ttft: Summary,
    /// Sent to ended.
    pub e2e: Summary,
    /// Prompt tokens, the history among them.
    pub prompt_tokens: Summary,
    /// Of those, from the server's prompt cache.
    pub cached_prompt_tokens: Summary,
    /// Generated tokens.
    pub output_tokens: Summary,
}

/// What the records say of conversations; nothing where prompts were not gone through turn by turn.
pub(super) fn findings(
    records: &RunRecords,
    measured: &[&RequestRecord],
) -> Option<ConversationFindings> {
    let mut turns: BTreeMap<u32, Vec<&RequestRecord>> = BTreeMap::new();
    for request in measured {
        if let Some(turn) = request.turn {
            turns.entry(turn).or_default().push(request);
        }
    }
    if turns.is_empty() {
        return None;
    }
    let mut all = ConversationTally::default();
    for record in &records.events {
        if let Event::Conversations { phase: Phase::Measure, tally, .. } = &record.event {
            all.add(tally);
        }
    }
    Some(ConversationFindings {
        begun: all.begun,
        complete: all.complete,
        not_sent: all.not_sent,
        turns: turns.into_iter().map(|(turn, requests)| one(turn, &requests)).collect(),
    })
}

fn one(turn: u32, requests: &[&RequestRecord]) -> TurnFindings {
    let succeeded: Vec<&RequestRecord> =
        requests.iter().copied().filter(|request| request.is_ok()).collect();
    let times: Vec<RequestTimes> =
        succeeded.iter().map(|request| RequestTimes::of(request)).collect();
    let seconds = |values: Vec<f64>, reason: &str| {
        Summary::of(&values, Seconds::UNIT, Source::Measured, reason)
    };
    let tokens = |pick: fn(&RequestRecord) -> Option<u64>| {
        let values: Vec<f64> =
            succeeded.iter().filter_map(|one| pick(one)).map(|count| count as f64).collect();
        Summary::of(&values, "token", Source::Measured, "no successful request of it tells")
    };
    TurnFindings {
        turn: turn + 1,
        sent: requests.len() as u64,
        succeeded: succeeded.len() as u64,
        ttft: seconds(
            times.iter().filter_map(|one| one.ttft).map(Seconds::value).collect(),
            "no successful request of it shows a first token",
        ),
        e2e: seconds(times.iter().map(|one| one.e2e.0).collect(), "no request of it succeeded"),
        prompt_tokens: tokens(|one| one.tokens.prompt),
        cached_prompt_tokens: tokens(|one| one.tokens.cached_prompt),
        output_tokens: tokens(|one| one.tokens.completion),
    }
}
