//! What the server said of itself while it was measured, beside what the requests say.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::{RequestRecord, RunRecords, Source, TokenCounts, Warning};
use crate::units::Nanos;

use super::energy::{Channel, Metering};
use super::findings::Figure;
use super::stats;

/// The meter whose sensors these are.
const METER: &str = "server_metrics";
/// Counters may differ from the requests' tokens by this share.
const TOKENS_AGREE: f64 = 0.001;

/// A server's own figures in the measured windows, by its page of metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerFindings {
    /// Looks at its page in the measured windows.
    pub looks: u64,
    /// Requests in work, mean of the looks.
    pub running_mean: Figure,
    /// Most requests in work.
    pub running_max: Figure,
    /// Requests that waited for a place, mean of the looks.
    pub waiting_mean: Figure,
    /// Most that waited.
    pub waiting_max: Figure,
    /// Share of the KV cache in use, mean of the looks.
    pub kv_cache_mean: Figure,
    /// Largest share.
    pub kv_cache_max: Figure,
    /// Prompt tokens found in the prefix cache over those looked for, from the look before the measurement to the one after.
    pub prefix_cache_hit_rate: Figure,
    /// Prompt tokens that the server counted in the whole run, warm-up included.
    pub prompt_tokens: Figure,
    /// Output tokens that it counted.
    pub output_tokens: Figure,
    /// (server's prompt tokens - ours) / ours, over the whole run.
    pub prompt_tokens_difference: Figure,
    /// (server's output tokens - ours) / ours.
    pub output_tokens_difference: Figure,
}

/// What the looks say; none where the page was not looked at.
#[must_use]
pub fn findings(metering: &Metering<'_>) -> Option<ServerFindings> {
    let channels: Vec<&Channel<'_>> =
        metering.channels.iter().filter(|channel| channel.info.meter == METER).collect();
    let first = channels.first()?;
    let page = Page { metering, channels: &channels };
    let looks = page.within(first).len() as u64;
    let records = metering.records();
    let prompt = page.in_run("server.prompt_tokens", records);
    // llama.cpp counts what it computed.
    let computed = page.in_run("server.computed_prompt_tokens", records);
    let output = page.in_run("server.output_tokens", records);
    let prompt_ours = ours(records, |tokens| tokens.prompt);
    let computed_ours = ours(records, |tokens| {
        Some(tokens.prompt?.saturating_sub(tokens.cached_prompt.unwrap_or(0)))
    });
    let (prompt, prompt_ours) = if prompt.is_ok() || computed.is_err() {
        (prompt, prompt_ours)
    } else {
        (computed, computed_ours)
    };
    let figure = |value: Result<f64, String>, unit: &str| match value {
        Ok(value) => Figure::known(value, unit, Source::Measured),
        Err(reason) => Figure::unknown(unit, reason),
    };
    Some(ServerFindings {
        looks,
        running_mean: figure(page.mean("server.requests_running"), "request"),
        running_max: figure(page.max("server.requests_running"), "request"),
        waiting_mean: figure(page.mean("server.requests_waiting"), "request"),
        waiting_max: figure(page.max("server.requests_waiting"), "request"),
        kv_cache_mean: figure(page.mean("server.kv_cache_use"), "1"),
        kv_cache_max: figure(page.max("server.kv_cache_use"), "1"),
        prefix_cache_hit_rate: figure(page.hit_rate(), "1"),
        prompt_tokens_difference: figure(difference(&prompt, prompt_ours), "1"),
        output_tokens_difference: figure(
            difference(&output, ours(records, |tokens| tokens.completion)),
            "1",
        ),
        prompt_tokens: figure(prompt, "token"),
        output_tokens: figure(output, "token"),
    })
}

/// Counters of the server that are not what the requests say.
#[must_use]
pub fn cautions(server: Option<&ServerFindings>) -> Vec<Warning> {
    let Some(server) = server else { return Vec::new() };
    [
        ("prompt", &server.prompt_tokens_difference),
        ("output", &server.output_tokens_difference),
    ]
    .into_iter()
    .filter_map(|(name, difference)| {
        let difference = difference.value.filter(|share| share.abs() > TOKENS_AGREE)?;
        Some(Warning::new(
            "server_tokens_differ",
            format!(
                "The server's own counter of {name} tokens differs from the sum of its answers' counts by {:+.2} %: others \
                 used it meanwhile, or one of the two is wrong.",
                100.0 * difference
            ),
        ))
    })
    .collect()
}

struct Page<'p, 'a> {
    metering: &'p Metering<'a>,
    channels: &'p [&'p Channel<'a>],
}

impl Page<'_, '_> {
    fn channel(&self, name: &str) -> Result<&Channel<'_>, String> {
        self.channels
            .iter()
            .find(|channel| channel.info.name == name)
            .copied()
            .ok_or_else(|| "the server's page does not have it".to_owned())
    }

    /// Values of the looks within the measured windows.
    fn within(&self, channel: &Channel<'_>) -> Vec<f64> {
        let windows = &self.metering.windows;
        channel
            .samples
            .iter()
            .filter(|sample| {
                windows.iter().any(|one| one.from <= sample.before_ns && sample.after_ns <= one.to)
            })
            .filter_map(|sample| sample.value)
            .collect()
    }

    fn mean(&self, name: &str) -> Result<f64, String> {
        stats::mean(&self.within(self.channel(name)?)).ok_or_else(none_within)
    }

    fn max(&self, name: &str) -> Result<f64, String> {
        let values = self.within(self.channel(name)?);
        values.into_iter().max_by(f64::total_cmp).ok_or_else(none_within)
    }

    /// What a counter grew by between the last look before a moment and the first after another.
    fn growth(&self, name: &str, from: Nanos, to: Nanos) -> Result<f64, String> {
        let channel = self.channel(name)?;
        let known = || channel.samples.iter().filter_map(|one| Some((*one, one.value?)));
        let before = known().take_while(|(sample, _)| sample.after_ns <= from).last();
        let after = known().find(|(sample, _)| sample.before_ns >= to);
        let (Some((first, before)), Some((last, after))) = (before, after) else {
            return Err(
                "the server's page was not looked at before the first request and after the last"
                    .to_owned(),
            );
        };
        let mut previous = before;
        for (sample, value) in known() {
            if sample.after_ns > first.after_ns && sample.after_ns <= last.after_ns {
                if value < previous {
                    return Err("the server's counter began again".to_owned());
                }
                previous = value;
            }
        }
        Ok(after - before)
    }

    /// Over all requests, warm-up included.
    fn in_run(&self, name: &str, records: &RunRecords) -> Result<f64, String> {
        let requests = &records.requests;
        let from = requests.iter().map(|request| request.sent_ns).min();
        let to = requests.iter().map(|request| request.end_ns).max();
        let (from, to) = from.zip(to).ok_or_else(|| "no request was sent".to_owned())?;
        self.growth(name, from, to)
    }

    fn hit_rate(&self) -> Result<f64, String> {
        let window = self.metering.window.ok_or_else(|| "no request was sent".to_owned())?;
        let grew = |name: &str| self.growth(name, window.from, window.to);
        let hits = grew("server.prefix_cache_hits")?;
        let asked =
            grew("server.prefix_cache_queries").or_else(|_| grew("server.prompt_tokens")).or_else(
                |_| grew("server.computed_prompt_tokens").map(|computed| computed + hits),
            )?;
        if asked <= 0.0 {
            return Err("no prompt token was looked for in the prefix cache".to_owned());
        }
        Ok(hits / asked)
    }
}

fn none_within() -> String {
    "the server's page was not looked at within the measured window: it is looked at once a second"
        .to_owned()
}

/// Tokens of all requests, warm-up included.
fn ours(records: &RunRecords, pick: fn(&TokenCounts) -> Option<u64>) -> Result<f64, String> {
    let unanswered = records.requests.iter().filter(|request| !request.is_ok()).count();
    if unanswered > 0 {
        return Err(format!(
            "{unanswered} requests were not answered: their tokens are in the server's counter and not in ours"
        ));
    }
    let count = |request: &RequestRecord| {
        pick(&request.tokens).ok_or_else(|| "a request came without token counts".to_owned())
    };
    let sum: u64 = records.requests.iter().map(count).sum::<Result<u64, String>>()?;
    Ok(sum as f64)
}

fn difference(server: &Result<f64, String>, ours: Result<f64, String>) -> Result<f64, String> {
    let (server, ours) = (server.clone()?, ours?);
    if ours <= 0.0 {
        return Err("there are no tokens to compare".to_owned());
    }
    Ok((server - ours) / ours)
}
