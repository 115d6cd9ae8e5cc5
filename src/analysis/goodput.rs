//! Requests that met their objectives, and what the others cost.

use std::collections::{BTreeMap, HashSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::record::{RequestRecord, Source};
use crate::units::{Joules, Seconds};

use super::attribute::{AttributionFindings, RequestEnergy};
use super::efficiency;
use super::findings::{Figure, Uncertainty};
use super::latency::RequestTimes;

/// One objective of the config and how it was met.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectiveFindings {
    /// Its key in `metrics.slo`: `ttft_ms`.
    pub key: String,
    /// The limit, in the unit that the key names.
    pub limit: f64,
    /// Successful requests that missed it.
    pub missed: u64,
}

/// Good requests: those that succeeded and met every objective of `metrics.slo`; without objectives, all that succeeded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GoodputFindings {
    /// The objectives.
    pub objectives: Vec<ObjectiveFindings>,
    /// How many were good.
    pub good_requests: Figure,
    /// Those over all that were sent: failed ones, cancelled ones and ones in flight at the end are not good.
    pub good_request_fraction: Figure,
    /// Good requests over the measured window.
    pub requests_per_second: Figure,
    /// Output tokens of good requests.
    pub output_tokens: Figure,
    /// Those over the measured window.
    pub output_tokens_per_second: Figure,
    /// Gross energy over good requests: what the others used is inside.
    pub joules_per_good_request: Figure,
    /// Gross energy over output tokens of good requests.
    pub joules_per_good_output_token: Figure,
    /// Good requests over gross energy: goodput for each watt.
    pub good_requests_per_joule: Figure,
    /// Energy of the requests that were not good, idling while they were in flight included.
    pub wasted: Figure,
    /// Of that, of requests that were not answered.
    pub wasted_unanswered: Figure,
    /// Wasted over gross energy.
    pub wasted_share: Figure,
}

/// What good requests are told by.
pub struct Seen<'a> {
    /// The config.
    pub config: &'a Value,
    /// Requests that were measured.
    pub measured: &'a [&'a RequestRecord],
    /// Length of the measured windows.
    pub length: Option<Seconds>,
    /// Gross energy of the headline's parts.
    pub gross: Figure,
    /// The energy of each request.
    pub attribution: &'a AttributionFindings,
}

/// What a request is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Ttft,
    Ttfo,
    InterToken,
    Tpot,
    E2e,
    E2eFromSchedule,
    QueueDelay,
    DecodeSpeed,
    E2eSpeed,
}

/// Every objective by its key.
const RULES: [(&str, Rule); 9] = [
    ("ttft_ms", Rule::Ttft),
    ("ttfo_ms", Rule::Ttfo),
    ("inter_token_latency_ms", Rule::InterToken),
    ("tpot_ms", Rule::Tpot),
    ("e2e_ms", Rule::E2e),
    ("e2e_from_schedule_ms", Rule::E2eFromSchedule),
    ("queue_delay_ms", Rule::QueueDelay),
    ("decode_tokens_per_second", Rule::DecodeSpeed),
    ("e2e_tokens_per_second", Rule::E2eSpeed),
];

/// An objective that is set.
#[derive(Debug, Clone, Copy)]
pub struct Objective {
    key: &'static str,
    rule: Rule,
    limit: f64,
}

/// The objectives of a config.
#[must_use]
pub fn objectives(config: &Value) -> Vec<Objective> {
    let Some(slo) = config.pointer("/metrics/slo") else { return Vec::new() };
    RULES
        .into_iter()
        .filter_map(|(key, rule)| Some(Objective { key, rule, limit: slo.get(key)?.as_f64()? }))
        .collect()
}

impl Objective {
    /// Its key in `metrics.slo`.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        self.key
    }

    /// The limit, in the unit that the key names.
    #[must_use]
    pub const fn limit(&self) -> f64 {
        self.limit
    }

    /// Whether a value, in the unit that the key names, meets it.
    #[must_use]
    pub fn allows(&self, value: f64) -> bool {
        match self.rule {
            Rule::DecodeSpeed | Rule::E2eSpeed => value >= self.limit,
            _ => value <= self.limit,
        }
    }

    /// Whether a successful request meets it.
    ///
    /// # Errors
    /// In words, where that cannot be told.
    pub fn is_met(&self, request: &RequestRecord) -> Result<bool, String> {
        let times = RequestTimes::of(request);
        let within = |time: Seconds| 1e3 * time.0 <= self.limit;
        let first = |time: Option<Seconds>| match time {
            Some(time) => Ok(within(time)),
            // What was streamed and never came, or was empty, is late without end.
            None if is_silent(request) || !request.event_offsets_ns.is_empty() => Ok(false),
            None => Err("an answer was not streamed: its first token has no time".to_owned()),
        };
        let step = |met: Option<bool>| match (met, request.tokens.completion) {
            (Some(met), _) => Ok(met),
            // No gap, none too long.
            (None, Some(0 | 1)) => Ok(true),
            (None, None) => Err("a request came without a count of output tokens".to_owned()),
            (None, Some(_)) if self.rule == Rule::DecodeSpeed && times.inter_token.is_some() => {
                Ok(true)
            }
            (None, Some(_)) => {
                Err("an answer was not streamed: its tokens have no time".to_owned())
            }
        };
        match self.rule {
            Rule::Ttft => first(times.ttft),
            Rule::Ttfo => first(times.ttfo),
            Rule::InterToken => step(times.inter_token.map(within)),
            Rule::Tpot => step(times.tpot.map(within)),
            Rule::E2e => Ok(within(times.e2e)),
            Rule::E2eFromSchedule => Ok(within(times.e2e_from_schedule)),
            Rule::QueueDelay => Ok(within(times.queue_delay)),
            Rule::DecodeSpeed => step(times.decode_speed().map(|speed| speed >= self.limit)),
            Rule::E2eSpeed => times
                .e2e_speed
                .map(|speed| speed >= self.limit)
                .ok_or_else(|| "a request came without a count of output tokens".to_owned()),
        }
    }
}

fn is_silent(request: &RequestRecord) -> bool {
    request.tokens.completion == Some(0)
}

/// Which of the measured requests were good, and how often each objective was missed.
fn judged(
    measured: &[&RequestRecord],
    objectives: &[Objective],
) -> Result<(Vec<bool>, BTreeMap<&'static str, u64>), String> {
    let mut missed = BTreeMap::new();
    let good = measured
        .iter()
        .map(|request| {
            let mut good = request.is_ok();
            for objective in objectives.iter().filter(|_| request.is_ok()) {
                if !objective.is_met(request)? {
                    good = false;
                    *missed.entry(objective.key).or_default() += 1;
                }
            }
            Ok::<_, String>(good)
        })
        .collect::<Result<_, _>>()?;
    Ok((good, missed))
}

/// Everything about good requests.
#[must_use]
pub fn findings(seen: &Seen<'_>) -> GoodputFindings {
    let objectives = objectives(seen.config);
    let judged = judged(seen.measured, &objectives);
    let count = match &judged {
        Ok((good, _)) => Figure::known(
            good.iter().filter(|good| **good).count() as f64,
            "request",
            Source::Measured,
        ),
        Err(reason) => Figure::unknown("request", reason.clone()),
    };
    let sent = seen.measured.len() as f64;
    let length = seen.length.map(Seconds::value);
    let no_window = "no request was sent: there is no measured window";
    let output_tokens = good_tokens(seen.measured, judged.as_ref().map(|judged| &judged.0));
    let wasted = wasted(seen, judged.as_ref().map(|judged| &judged.0), |_| true);
    let per = |divisor: &Figure, unit: &str, none: &str| match divisor.value {
        Some(value) => seen.gross.per(Some(value), unit, none),
        None => Figure::unknown(unit, divisor.reason.clone().unwrap_or_default()),
    };
    GoodputFindings {
        objectives: objectives
            .iter()
            .map(|objective| ObjectiveFindings {
                key: objective.key.to_owned(),
                limit: objective.limit,
                missed: judged
                    .as_ref()
                    .ok()
                    .and_then(|judged| judged.1.get(objective.key).copied())
                    .unwrap_or(0),
            })
            .collect(),
        good_request_fraction: count.per(Some(sent), "1", "no request was sent"),
        requests_per_second: count.per(length, "request/s", no_window),
        output_tokens_per_second: output_tokens.per(length, "token/s", no_window),
        joules_per_good_request: per(&count, "J/request", "no request was good"),
        joules_per_good_output_token: per(&output_tokens, "J/token", "no request was good"),
        good_requests_per_joule: efficiency::inverse(&seen.gross, &count),
        wasted_share: wasted.per(seen.gross.value, "1", "the energy is not known"),
        wasted_unanswered: self::wasted(seen, judged.as_ref().map(|judged| &judged.0), |row| {
            !row.ok
        }),
        wasted,
        good_requests: count,
        output_tokens,
    }
}

fn good_tokens(measured: &[&RequestRecord], good: Result<&Vec<bool>, &String>) -> Figure {
    let good = match good {
        Ok(good) => good,
        Err(reason) => return Figure::unknown("token", reason.clone()),
    };
    let counts: Option<Vec<u64>> = measured
        .iter()
        .zip(good)
        .filter(|(_, good)| **good)
        .map(|(request, _)| request.tokens.completion)
        .collect();
    match counts {
        Some(counts) => Figure::known(counts.iter().sum::<u64>() as f64, "token", Source::Measured),
        None => Figure::unknown("token", "a request came without a count of output tokens"),
    }
}

/// Energy of those rows whose request was not good.
fn wasted(
    seen: &Seen<'_>,
    good: Result<&Vec<bool>, &String>,
    wanted: impl Fn(&RequestEnergy) -> bool,
) -> Figure {
    let good = match good {
        Ok(good) => good,
        Err(reason) => return Figure::unknown(Joules::UNIT, reason.clone()),
    };
    let attribution = seen.attribution;
    if attribution.total.value.is_none() {
        let reason = attribution.total.reason.clone().unwrap_or_default();
        return Figure::unknown(Joules::UNIT, reason);
    }
    let bad: HashSet<(Option<u32>, u64)> = seen
        .measured
        .iter()
        .zip(good)
        .filter(|(_, good)| !**good)
        .map(|(request, _)| (request.repetition, request.index))
        .collect();
    let (mut joules, mut random, mut systematic) = (0.0, 0.0, Some(0.0));
    let rows = attribution.requests.iter().filter(|row| {
        row.phase == crate::record::Phase::Measure && bad.contains(&(row.repetition, row.index))
    });
    for row in rows.filter(|row| wanted(row)) {
        joules += row.total_j() + row.idle_j.unwrap_or(0.0);
        // What one request is given too much another is given too little: a sum of them is no worse than this.
        random += row.uncertainty_j;
        systematic = systematic.zip(row.systematic_j).map(|(sum, one)| sum + one);
    }
    let mut figure = Figure::known(joules, Joules::UNIT, Source::Modelled)
        .note("by the split of the energy over requests, with their part of idling");
    figure.uncertainty = Some(Uncertainty { random, systematic });
    figure
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::record::{AskedTokens, FailureClass, Outcome, Phase, TokenCounts, TokenSource};
    use crate::units::Nanos;

    fn request(ttft_ms: u64, e2e_ms: u64, tokens: Option<u64>) -> RequestRecord {
        let ns = |ms: u64| Nanos(1_000_000 * (1_000 + ms));
        RequestRecord {
            index: 0,
            phase: Phase::Measure,
            repetition: None,
            prompt_id: String::new(),
            conversation: None,
            turn: None,
            scheduled_ns: ns(0),
            released_ns: None,
            sent_ns: ns(0),
            first_byte_ns: None,
            first_token_ns: Some(ns(ttft_ms)),
            first_output_token_ns: None,
            last_token_ns: Some(ns(e2e_ms)),
            end_ns: ns(e2e_ms),
            event_offsets_ns: vec![1_000_000 * ttft_ms, 1_000_000 * e2e_ms],
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

    fn met(slo: &Value, request: &RequestRecord) -> Result<Vec<bool>, String> {
        let config = json!({"metrics": {"slo": slo}});
        objectives(&config).iter().map(|objective| objective.is_met(request)).collect()
    }

    #[test]
    fn each_objective_is_held_against_its_quantity() {
        let one = request(100, 1100, Some(11));
        let met_all = |slo| met(&slo, &one).unwrap().iter().all(|met| *met);
        assert!(met_all(json!({"ttft_ms": 100, "inter_token_latency_ms": 100, "e2e_ms": 1100})));
        assert!(!met_all(json!({"ttft_ms": 99.9})) && !met_all(json!({"tpot_ms": 99.9})));
        assert!(met_all(json!({"decode_tokens_per_second": 10, "e2e_tokens_per_second": 10})));
        assert!(!met_all(json!({"decode_tokens_per_second": 10.1})));
        assert!(met_all(json!({"queue_delay_ms": 0.1, "e2e_from_schedule_ms": 1100})));
        assert!(!met_all(json!({"ttfo_ms": 5000})), "all of it was reasoning");
    }

    #[test]
    fn a_single_token_has_no_gap_that_could_be_too_long() {
        let one = request(100, 1100, Some(1));
        assert_eq!(
            met(&json!({"inter_token_latency_ms": 1, "tpot_ms": 1}), &one),
            Ok(vec![true; 2])
        );
    }

    #[test]
    fn what_has_no_time_is_not_judged() {
        let mut whole = request(100, 1100, Some(11));
        whole.event_offsets_ns.clear();
        (whole.first_token_ns, whole.last_token_ns) = (None, None);
        assert!(met(&json!({"ttft_ms": 100}), &whole).unwrap_err().contains("not streamed"));
        assert!(met(&json!({"tpot_ms": 100}), &whole).is_err());
        let uncounted = met(&json!({"tpot_ms": 100}), &request(1, 2, None));
        assert!(uncounted.unwrap_err().contains("count of output tokens"));
    }

    #[test]
    fn a_failed_request_is_never_good_and_misses_nothing() {
        let mut failed = request(100, 200, None);
        failed.outcome =
            Outcome::Failed { class: FailureClass::Reset, http_status: None, message: "x".into() };
        let (good, late) = (request(100, 200, Some(3)), request(900, 950, Some(3)));
        let objectives = objectives(&json!({"metrics": {"slo": {"ttft_ms": 500}}}));
        let (judged, missed) = judged(&[&good, &late, &failed], &objectives).unwrap();
        assert_eq!(judged, [true, false, false]);
        assert_eq!(missed, BTreeMap::from([("ttft_ms", 1)]));
    }

    #[test]
    fn every_key_of_the_config_is_an_objective() {
        let config = crate::config::component::slo::SloConfig::default();
        let keys: Vec<&str> = config.all().map(|(key, _)| key).into();
        assert_eq!(keys, RULES.map(|(key, _)| key));
    }
}
