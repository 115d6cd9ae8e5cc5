//! How the measurement was made, in the report: repetitions, steady part, warm-up, who else used the processors.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::record::{Component, Event, RequestRecord, RunRecords, Source};
use crate::units::{Joules, Nanos, Seconds, Watts};

use super::energy::{Metering, energy_figure};
use super::findings::Figure;
use super::inference;
use super::repetition::{self, Repetition, RepetitionFindings};
use super::steady::{self, Definition};
use super::window::{Energy, Window};

/// How the measurement was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProtocolFindings {
    /// Its repetitions, and every figure over them.
    pub repetitions: RepetitionFindings,
    /// The part of it with a full load.
    pub steady_state: SteadyFindings,
    /// Warm-up until steady; null where it had a fixed number of rounds.
    pub warm_up: Option<WarmUp>,
    /// Share of the machine's processor time that neither this program nor the server used in the repetitions.
    pub foreign_processor_share: Figure,
}

/// How warm-up until steady ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WarmUp {
    /// Whether everything was steady, or the time was up.
    pub steady: bool,
    /// How long it took.
    pub time: Figure,
    /// What was looked at.
    pub what: String,
}

/// The steady part of the measurement, all repetitions together; beside the whole, never instead of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SteadyFindings {
    /// In words, with the number of requests of a full load.
    pub definition: String,
    /// Its length.
    pub duration: Figure,
    /// Its length over that of the measured windows.
    pub share_of_measured: Figure,
    /// Gross energy of the headline's parts in it.
    pub energy: Figure,
    /// That over its length.
    pub mean_power: Figure,
    /// Output tokens that came in it.
    pub output_tokens: Figure,
    /// Those over its length.
    pub output_tokens_per_second: Figure,
    /// Requests that ended well in it, over its length.
    #[serde(default = "Figure::not_told")]
    pub requests_per_second: Figure,
    /// Output tokens that came in it and prompt tokens of requests whose first token did, over its length.
    #[serde(default = "Figure::not_told")]
    pub total_tokens_per_second: Figure,
    /// Energy in it over output tokens that came in it.
    pub joules_per_output_token: Figure,
}

/// Everything about the protocol; `parts` are those of the headline.
#[must_use]
pub fn findings(
    metering: &Metering<'_>,
    parts: &[Component],
    repetitions: &[Repetition<'_>],
) -> ProtocolFindings {
    let records = metering.records();
    ProtocolFindings {
        repetitions: repetition::findings(metering, parts, repetitions),
        steady_state: steady_state(metering, parts, repetitions),
        warm_up: warm_up(records),
        foreign_processor_share: foreign_share(records, repetitions),
    }
}

/// Repetitions needed in all for the interval that the config asks for, from the records of the first stage.
///
/// # Errors
/// In words, when the figure is not known for every repetition, or has no spread that could tell.
pub fn repetitions_needed(
    found: &RepetitionFindings,
    figure: &str,
    target: f64,
) -> Result<u32, String> {
    let repeated = found.figure(figure).ok_or_else(|| format!("there is no figure {figure}"))?;
    let values: Option<Vec<f64>> = repeated.values.iter().copied().collect();
    let values = values.ok_or_else(|| {
        format!(
            "{figure} is not known for every repetition: {}",
            repeated.missing.clone().unwrap_or_default()
        )
    })?;
    inference::repetitions_needed(&values, target)
        .ok_or_else(|| format!("{figure} of {} repetition(s) has no spread", values.len()))
}

fn warm_up(records: &RunRecords) -> Option<WarmUp> {
    records.events.iter().find_map(|record| match &record.event {
        Event::WarmedUp { steady, after_s, what } => Some(WarmUp {
            steady: *steady,
            time: Figure::known(after_s.0, Seconds::UNIT, Source::Measured),
            what: what.clone(),
        }),
        _ => None,
    })
}

/// Requests that the load keeps in flight, by the config.
///
/// # Errors
/// In words, where it keeps no fixed number.
fn permitted(config: &Value) -> Result<u64, String> {
    let number = |pointer: &str| config.pointer(pointer).and_then(Value::as_u64);
    let kind = config.pointer("/scenario/load/type").and_then(Value::as_str);
    let permitted = match kind {
        None | Some("sequential" | "concurrency") => number("/scenario/load/concurrency")
            .or_else(|| number("/scenario/input_shapes/batch_size"))
            .or(Some(1)),
        Some("throughput") => number("/scenario/load/max_concurrency"),
        Some(_) => None,
    };
    permitted.map(|permitted| permitted.max(1)).ok_or_else(|| {
        format!("a {} load keeps no fixed number of requests in flight", kind.unwrap_or_default())
    })
}

fn definition(config: &Value) -> (Option<Definition>, String) {
    let full = permitted(config);
    match config.pointer("/metrics/steady_state").and_then(Value::as_str) {
        Some("none") => (None, "none was asked for".to_owned()),
        Some("ml_energy") => {
            let asked = config.pointer("/metrics/max_num_seqs").and_then(Value::as_u64);
            let full = match asked.map_or(full, Ok) {
                Ok(full) => full,
                Err(reason) => return (None, format!("{reason}: set metrics.max_num_seqs")),
            };
            let words = format!(
                "ML.ENERGY's: from when {full} requests have a first token to when all but {} have ended",
                full + 1
            );
            (Some(Definition::MlEnergy(full)), words)
        }
        _ => {
            let full = match full {
                Ok(full) => full,
                Err(reason) => return (None, reason),
            };
            let words = match full {
                1 => "full load: from the first request sent to the last ended, one at a time"
                    .to_owned(),
                _ => format!(
                    "full load: from when {full} requests are in flight to when {full} are for the last time"
                ),
            };
            (Some(Definition::FullLoad(full)), words)
        }
    }
}

fn steady_state(
    metering: &Metering<'_>,
    parts: &[Component],
    repetitions: &[Repetition<'_>],
) -> SteadyFindings {
    let (definition, words) = definition(&metering.records().manifest.config);
    let windows: Result<Vec<Window>, String> = match definition {
        None => Err(words.clone()),
        Some(_) if repetitions.is_empty() => Err("no request was sent".to_owned()),
        Some(definition) => repetitions
            .iter()
            .map(|repetition| steady::window(&repetition.requests, definition))
            .collect(),
    };
    let windows = match windows {
        Ok(windows) => windows,
        Err(reason) => return no_steady_state(words, &reason),
    };
    let length: f64 = windows.iter().map(|window| window.length().0).sum();
    let no_length = "the steady state has no length";
    let energy = energy_in(metering, parts, &windows);
    let tokens = tokens_in(repetitions, &windows);
    let rate = |sum: Result<f64, String>, unit: &str, rate: &str| match sum {
        Ok(sum) => Figure::known(sum, unit, Source::Measured).per(Some(length), rate, no_length),
        Err(reason) => Figure::unknown(rate, reason),
    };
    let ended =
        over(repetitions, &windows, |requests, window| Ok(steady::ended_in(requests, window)));
    let prompts = over(repetitions, &windows, steady::prompt_tokens_in);
    let every = match tokens.value {
        Some(output) => prompts.map(|prompts| prompts + output),
        None => Err(tokens.reason.clone().unwrap_or_default()),
    };
    let all = metering.measured_length().map(Seconds::value);
    let duration = Figure::known(length, Seconds::UNIT, Source::Measured);
    SteadyFindings {
        definition: words,
        share_of_measured: duration.per(all, "1", no_length),
        mean_power: energy.per(Some(length), Watts::UNIT, no_length),
        output_tokens_per_second: tokens.per(Some(length), "token/s", no_length),
        requests_per_second: rate(ended, "request", "request/s"),
        total_tokens_per_second: rate(every, "token", "token/s"),
        joules_per_output_token: match tokens.value {
            Some(count) => energy.per(Some(count), "J/token", "no output token came in it"),
            None => Figure::unknown("J/token", tokens.reason.clone().unwrap_or_default()),
        },
        duration,
        energy,
        output_tokens: tokens,
    }
}

fn no_steady_state(definition: String, reason: &str) -> SteadyFindings {
    let unknown = |unit: &str| Figure::unknown(unit, reason);
    SteadyFindings {
        definition,
        duration: unknown(Seconds::UNIT),
        share_of_measured: unknown("1"),
        energy: unknown(Joules::UNIT),
        mean_power: unknown(Watts::UNIT),
        output_tokens: unknown("token"),
        output_tokens_per_second: unknown("token/s"),
        requests_per_second: unknown("request/s"),
        total_tokens_per_second: unknown("token/s"),
        joules_per_output_token: unknown("J/token"),
    }
}

fn energy_in(metering: &Metering<'_>, parts: &[Component], windows: &[Window]) -> Figure {
    if parts.is_empty() {
        return Figure::unknown(Joules::UNIT, "the server's energy was not metered");
    }
    let source = parts.iter().filter_map(|part| metering.source(*part)).max();
    let energy = windows.iter().try_fold(Energy::ZERO, |sum, window| {
        Ok::<_, String>(sum.plus(metering.energy_of(parts, *window)?))
    });
    energy_figure(&energy, source.unwrap_or(Source::Measured))
}

fn tokens_in(repetitions: &[Repetition<'_>], windows: &[Window]) -> Figure {
    match over(repetitions, windows, steady::tokens_in) {
        Ok(sum) => Figure::known(sum, "token", Source::Measured).note(
            "tokens of requests that reach beyond it count in proportion to their text events in it",
        ),
        Err(reason) => Figure::unknown("token", reason),
    }
}

/// The sum over the repetitions, each with its window.
fn over(
    repetitions: &[Repetition<'_>],
    windows: &[Window],
    count: impl Fn(&[&RequestRecord], Window) -> Result<f64, String>,
) -> Result<f64, String> {
    let pairs = repetitions.iter().zip(windows);
    pairs.map(|(repetition, window)| count(&repetition.requests, *window)).sum()
}

/// Processor time between the looks around each repetition.
fn foreign_share(records: &RunRecords, repetitions: &[Repetition<'_>]) -> Figure {
    let unknown = |reason: &str| Figure::unknown("1", reason);
    if repetitions.is_empty() {
        return unknown("no request was sent");
    }
    let looks: Vec<Look> = records.events.iter().filter_map(Look::of).collect();
    let (mut foreign, mut capacity) = (0.0, 0.0);
    for repetition in repetitions {
        let window = repetition.window;
        let before = looks.iter().rev().find(|look| look.at <= window.from);
        let after = looks.iter().find(|look| look.at >= window.to);
        let Some((before, after)) = before.zip(after) else {
            return unknown("processor time was not recorded around every repetition");
        };
        let server = match (before.server, after.server) {
            (Some(before), Some(after)) => after - before,
            _ if !records.manifest.backend.local => 0.0,
            _ => return unknown("the server's processes are not known"),
        };
        let machine = after.machine - before.machine;
        foreign += (machine - (after.ours - before.ours) - server).max(0.0);
        capacity += after.at.since(before.at).0 * f64::from(records.manifest.host.cpu_count.max(1));
    }
    if capacity <= 0.0 {
        return unknown("no time passed");
    }
    Figure::known((foreign / capacity).min(1.0), "1", Source::Measured)
        .note("of all processors of the machine, from just before each repetition to just after it")
}

struct Look {
    at: Nanos,
    machine: f64,
    ours: f64,
    server: Option<f64>,
}

impl Look {
    fn of(record: &crate::record::EventRecord) -> Option<Self> {
        let Event::CpuTime { machine_s, ours_s, server_s } = record.event else { return None };
        Some(Self {
            at: record.at_ns,
            machine: machine_s.0,
            ours: ours_s.0,
            server: server_s.map(Seconds::value),
        })
    }
}
