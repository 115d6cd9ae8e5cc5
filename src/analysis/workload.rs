//! What was asked for in tokens against what was delivered, and how much of it the server had in its prefix cache.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::{RequestRecord, RunRecords, Warning};

/// Above this share of prompt tokens from the cache, figures by token are not those of new prompts.
const CACHED_LIMIT: f64 = 0.10;

/// Lengths and cache hits of the measured requests that succeeded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkloadFindings {
    /// Prompt tokens, template and special tokens included, as they were made to be and as the server counted; null where
    /// nobody knew them before.
    pub prompt_tokens: Option<AskedDelivered>,
    /// Output tokens as asked for and as delivered; null where only a limit was set for all requests.
    pub output_tokens: Option<AskedDelivered>,
    /// Of the requests with a length of their answer, how many asked for exactly that (`min_tokens` and `ignore_eos` were
    /// sent); for the others it was a limit (`max_tokens`).
    pub output_fixed: u64,
    /// Prompt tokens that came from the server's prefix cache, by repetition; empty where the server does not tell.
    pub prefix_cache: Vec<CacheHits>,
}

/// Tokens that were asked for against those that were delivered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AskedDelivered {
    /// Requests with both numbers.
    pub requests: u64,
    /// Mean of the tokens asked for.
    pub asked_mean: f64,
    /// Mean of the tokens delivered.
    pub delivered_mean: f64,
    /// Requests where the numbers differ.
    pub differ: u64,
    /// Mean of delivered minus asked, in tokens.
    pub difference_mean: f64,
    /// Least such difference.
    pub difference_min: i64,
    /// Largest such difference.
    pub difference_max: i64,
}

/// Cache hits of one repetition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CacheHits {
    /// Which, from 0.
    pub repetition: u32,
    /// Prompt tokens of the requests for which the server told its hits.
    pub prompt_tokens: u64,
    /// Of those, tokens from the cache.
    pub cached_tokens: u64,
    /// The second over the first.
    pub share: f64,
}

impl AskedDelivered {
    fn of(pairs: impl Iterator<Item = (u64, u64)>) -> Option<Self> {
        let pairs: Vec<(u64, u64)> = pairs.collect();
        let difference = |(asked, delivered): &(u64, u64)| {
            i64::try_from(*delivered).unwrap_or(i64::MAX).saturating_sub_unsigned(*asked)
        };
        let count = pairs.len() as f64;
        let mean = |of: &dyn Fn(&(u64, u64)) -> f64| pairs.iter().map(of).sum::<f64>() / count;
        Some(Self {
            requests: pairs.len() as u64,
            asked_mean: mean(&|pair| pair.0 as f64),
            delivered_mean: mean(&|pair| pair.1 as f64),
            differ: pairs.iter().filter(|pair| pair.0 != pair.1).count() as u64,
            difference_mean: mean(&|pair| difference(pair) as f64),
            difference_min: pairs.iter().map(difference).min()?,
            difference_max: pairs.iter().map(difference).max()?,
        })
    }

    fn told(&self, what: &str, asked: &str) -> String {
        format!(
            "{} of {} requests had other {what} tokens than {asked}: {:+.1} on average, {:+} to {:+}",
            self.differ,
            self.requests,
            self.difference_mean,
            self.difference_min,
            self.difference_max
        )
    }
}

/// What the records say of lengths and cache hits; nothing where they say neither.
#[must_use]
pub(super) fn findings(succeeded: &[&RequestRecord]) -> Option<WorkloadFindings> {
    let pairs = |of: fn(&RequestRecord) -> Option<(u64, u64)>| {
        AskedDelivered::of(succeeded.iter().filter_map(move |request| of(request)))
    };
    let output_fixed = succeeded
        .iter()
        .filter(|request| request.asked.output.is_some() && request.asked.output_fixed)
        .count() as u64;
    let found = WorkloadFindings {
        prompt_tokens: pairs(|request| request.asked.prompt.zip(request.tokens.prompt)),
        output_tokens: pairs(|request| request.asked.output.zip(request.tokens.completion)),
        output_fixed,
        prefix_cache: hits(succeeded),
    };
    let says_something = found.prompt_tokens.is_some()
        || found.output_tokens.is_some()
        || !found.prefix_cache.is_empty();
    says_something.then_some(found)
}

fn hits(succeeded: &[&RequestRecord]) -> Vec<CacheHits> {
    let mut by_repetition: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for request in succeeded {
        if let (Some(prompt), Some(cached)) = (request.tokens.prompt, request.tokens.cached_prompt)
        {
            let sums = by_repetition.entry(request.repetition.unwrap_or(0)).or_default();
            sums.0 += prompt;
            sums.1 += cached;
        }
    }
    let of = |(repetition, (prompt_tokens, cached_tokens)): (u32, (u64, u64))| CacheHits {
        repetition,
        prompt_tokens,
        cached_tokens,
        share: if prompt_tokens == 0 { 0.0 } else { cached_tokens as f64 / prompt_tokens as f64 },
    };
    by_repetition.into_iter().map(of).collect()
}

/// What the reader should know of it.
#[must_use]
pub(super) fn cautions(found: &WorkloadFindings, records: &RunRecords) -> Vec<Warning> {
    let mut cautions = Vec::new();
    if let Some(prompt) = found.prompt_tokens.as_ref().filter(|prompt| prompt.differ > 0) {
        let told = prompt.told("prompt", "they were made to have");
        let message = format!("{told}; the server's own counts are used.");
        cautions.push(Warning::new("prompt_tokens_differ", message));
    }
    if let Some(output) = found.output_tokens.as_ref().filter(|output| output.differ > 0) {
        let told = output.told("output", "asked for");
        let why = match found.output_fixed {
            0 => "the length was only a limit, and answers ended before it",
            fixed if fixed < output.requests => "for some the length was only a limit",
            _ => {
                "the server did not keep to min_tokens and ignore_eos, or answers ended at a stop text"
            }
        };
        cautions.push(Warning::new("output_tokens_differ", format!("{told} ({why}).")));
    }
    let most = found.prefix_cache.iter().max_by(|one, other| one.share.total_cmp(&other.share));
    if let Some(most) = most.filter(|most| most.share > CACHED_LIMIT && !shares_prefixes(records)) {
        let first = found.prefix_cache.iter().find(|hits| hits.repetition == 0);
        let compared = match first.filter(|_| most.repetition > 0) {
            Some(first) => format!(" (repetition 1: {:.0} %)", 100.0 * first.share),
            None => String::new(),
        };
        cautions.push(Warning::new(
            "prefix_cache_hits",
            format!(
                "Repetition {} had {:.0} % of its prompt tokens served from the server's prefix cache{compared}: they cost \
                 less time and energy than new prompts would.",
                most.repetition + 1,
                100.0 * most.share
            ),
        ));
    }
    cautions
}

/// Whether prompts were meant to begin alike: conversations and pools of prefixes.
fn shares_prefixes(records: &RunRecords) -> bool {
    let scenario = &records.manifest.config["scenario"];
    let is_set = |pointer: &str| scenario.pointer(pointer).is_some_and(|value| !value.is_null());
    is_set("/conversations") || is_set("/synthetic/prefix_pool")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_delivered_minus_asked() {
        let found = AskedDelivered::of([(10, 10), (10, 7), (20, 21)].into_iter()).unwrap();
        assert_eq!((found.requests, found.differ), (3, 2));
        assert_eq!((found.difference_min, found.difference_max), (-3, 1));
        assert!((found.difference_mean + 2.0 / 3.0).abs() < 1e-12);
        assert!(AskedDelivered::of(std::iter::empty()).is_none());
        assert_eq!(
            found.told("output", "asked for"),
            "2 of 3 requests had other output tokens than asked for: -0.7 on average, -3 to +1"
        );
    }
}
