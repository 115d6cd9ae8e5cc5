//! The repetitions of a measurement, and each figure over them: mean, spread, interval, outliers, drift.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::record::{Component, Event, RequestRecord, RunRecords, Source};
use crate::units::{Joules, Seconds, Watts};

use super::energy::{Metering, energy_figure};
use super::findings::Figure;
use super::inference::{self, Drift};
use super::stats;
use super::window::Window;

/// What lies between two repetitions, and so what their spread says.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RepetitionUnit {
    /// Nothing but time: the same process serves them all. The narrowest spread, which says nothing of another start.
    WithinProcess,
    /// The model was loaded again.
    AcrossRestarts,
    /// Another day: another temperature, another neighbour, another driver perhaps.
    AcrossDays,
}

impl RepetitionUnit {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WithinProcess => "within_process",
            Self::AcrossRestarts => "across_restarts",
            Self::AcrossDays => "across_days",
        }
    }
}

/// One repetition.
#[derive(Debug, Clone)]
pub struct Repetition<'a> {
    /// Which, from 0.
    pub number: u32,
    /// First request sent to last request ended, failed ones included.
    pub window: Window,
    /// Its requests in the order of the records.
    pub requests: Vec<&'a RequestRecord>,
}

/// Measured requests by repetition, in order; those of records without repetitions are one.
#[must_use]
pub fn repetitions<'a>(measured: &[&'a RequestRecord]) -> Vec<Repetition<'a>> {
    let mut groups: BTreeMap<u32, Vec<&RequestRecord>> = BTreeMap::new();
    for request in measured {
        groups.entry(request.repetition.unwrap_or(0)).or_default().push(request);
    }
    groups
        .into_iter()
        .filter_map(|(number, requests)| {
            let window = Window {
                from: requests.iter().map(|request| request.sent_ns).min()?,
                to: requests.iter().map(|request| request.end_ns).max()?,
            };
            Some(Repetition { number, window, requests })
        })
        .collect()
}

/// The window of each repetition.
#[must_use]
pub fn windows(measured: &[&RequestRecord]) -> Vec<Window> {
    repetitions(measured).iter().map(|repetition| repetition.window).collect()
}

/// A figure over the repetitions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RepeatedFigure {
    /// Its name: `joules_per_output_token`.
    pub key: String,
    /// Its unit.
    pub unit: String,
    /// The worst source among the values; null without any.
    pub source: Option<Source>,
    /// One value a repetition, in order; null where it is not known.
    pub values: Vec<Option<f64>>,
    /// Why a value is not known, where one is not.
    pub missing: Option<String>,
    /// Mean of the known values.
    pub mean: Option<f64>,
    /// Their sample standard deviation; null below two.
    pub std: Option<f64>,
    /// 95 % interval of the mean by Student's t: of the repetitions' spread alone. A sensor's systematic error is the same in every
    /// repetition and is not in it.
    pub interval_95: Option<[f64; 2]>,
    /// Standard deviation over mean.
    pub cv: Option<f64>,
    /// Repetitions (from 0) that lie out by a test at 5 %; they stay in every figure.
    pub outliers: Vec<u32>,
    /// Trend over the order of the repetitions; null below four.
    pub drift: Option<Drift>,
}

/// How the number of repetitions came to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum RepetitionRule {
    /// It was given.
    Fixed,
    /// By Stein's two stages: intervals are of the first stage's spread, and so keep their 95 %.
    TwoStage {
        /// Repetitions of the first stage.
        first_stage: u32,
        /// Half the width of the interval over the mean that was asked for.
        target_relative_ci: f64,
        /// Of this figure.
        figure: String,
        /// How many it took, and why; null when the run ended before that was decided.
        decided: Option<String>,
        /// Half the width over the mean that was reached; null where it is not known.
        reached: Option<f64>,
    },
}

/// One repetition in the report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RepetitionRow {
    /// Which, from 0.
    pub number: u32,
    /// From the begin of the first repetition, in seconds.
    pub begin_s: f64,
    /// Length of its window, in seconds.
    pub length_s: f64,
    /// Requests that ended well.
    pub succeeded: u64,
    /// Requests that did not.
    pub failed: u64,
}

/// The repetitions of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RepetitionFindings {
    /// What lies between two of them.
    pub unit: RepetitionUnit,
    /// How their number came to be.
    pub rule: RepetitionRule,
    /// One line each.
    pub rows: Vec<RepetitionRow>,
    /// Every figure over them.
    pub figures: Vec<RepeatedFigure>,
}

impl RepetitionFindings {
    /// A figure by its key.
    #[must_use]
    pub fn figure(&self, key: &str) -> Option<&RepeatedFigure> {
        self.figures.iter().find(|figure| figure.key == key)
    }
}

/// What the repetitions of a run say; `parts` are those of the headline.
#[must_use]
pub fn findings(
    metering: &Metering<'_>,
    parts: &[Component],
    repetitions: &[Repetition<'_>],
) -> RepetitionFindings {
    let records = metering.records();
    let mut rule = rule(records);
    let first_stage = match &rule {
        RepetitionRule::TwoStage { first_stage, .. } => Some(*first_stage as usize),
        RepetitionRule::Fixed => None,
    };
    let columns: Vec<Vec<(String, Figure)>> =
        repetitions.iter().map(|repetition| figures_of(metering, parts, repetition)).collect();
    let figures = summaries(&columns, first_stage);
    if let RepetitionRule::TwoStage { figure, reached, .. } = &mut rule {
        *reached = figures.iter().find(|found| found.key == *figure).and_then(|found| {
            let [low, high] = found.interval_95?;
            Some((high - low) / 2.0 / found.mean?)
        });
    }
    RepetitionFindings {
        unit: RepetitionUnit::WithinProcess,
        rule,
        rows: rows(repetitions),
        figures,
    }
}

fn rows(repetitions: &[Repetition<'_>]) -> Vec<RepetitionRow> {
    let Some(begin) = repetitions.first().map(|first| first.window.from) else { return Vec::new() };
    repetitions
        .iter()
        .map(|repetition| {
            let succeeded = repetition.requests.iter().filter(|request| request.is_ok()).count();
            RepetitionRow {
                number: repetition.number,
                begin_s: repetition.window.from.since(begin).0,
                length_s: repetition.window.length().0,
                succeeded: succeeded as u64,
                failed: (repetition.requests.len() - succeeded) as u64,
            }
        })
        .collect()
}

/// The figures of one repetition, always the same keys in the same order.
fn figures_of(
    metering: &Metering<'_>,
    parts: &[Component],
    repetition: &Repetition<'_>,
) -> Vec<(String, Figure)> {
    let window = repetition.window;
    let length = Some(window.length().0);
    let succeeded: Vec<&RequestRecord> =
        repetition.requests.iter().copied().filter(|request| request.is_ok()).collect();
    let tokens = output_tokens(&succeeded);
    let count = Figure::known(succeeded.len() as f64, "request", Source::Measured);
    let energy = headline_energy(metering, parts, window);
    let no_window = "the repetition has no length";
    let per = |divisor: &Figure, unit: &str| match divisor.value {
        Some(value) => energy.per(Some(value), unit, "there are none"),
        None => Figure::unknown(unit, divisor.reason.clone().unwrap_or_default()),
    };
    let mut figures = vec![
        ("joules_per_output_token".to_owned(), per(&tokens, "J/token")),
        ("joules_per_request".to_owned(), per(&count, "J/request")),
        ("output_tokens_per_second".to_owned(), tokens.per(length, "token/s", no_window)),
        ("requests_per_second".to_owned(), count.per(length, "request/s", no_window)),
        ("energy_j".to_owned(), energy.clone()),
        ("mean_power_w".to_owned(), energy.per(length, Watts::UNIT, no_window)),
    ];
    // Of a server on another machine this one's sensors say nothing.
    let here = metering.records().manifest.backend.local;
    let parts = [true, false].into_iter().flat_map(|measured| metering.parts(measured));
    for component in parts.filter(|_| here) {
        let source = metering.source(component).unwrap_or(Source::Measured);
        let found = metering.energy_of(&[component], window);
        figures.push((format!("{}_energy_j", component.as_str()), energy_figure(&found, source)));
    }
    figures.push((
        "duration_s".to_owned(),
        Figure::known(window.length().0, Seconds::UNIT, Source::Measured),
    ));
    figures
}

fn headline_energy(metering: &Metering<'_>, parts: &[Component], window: Window) -> Figure {
    if parts.is_empty() {
        return Figure::unknown(Joules::UNIT, "the server's energy was not metered");
    }
    let source = parts.iter().filter_map(|part| metering.source(*part)).max();
    energy_figure(&metering.energy_of(parts, window), source.unwrap_or(Source::Measured))
}

fn output_tokens(succeeded: &[&RequestRecord]) -> Figure {
    let counts: Option<Vec<u64>> =
        succeeded.iter().map(|request| request.tokens.completion).collect();
    match counts {
        Some(counts) if !counts.is_empty() => {
            Figure::known(counts.iter().sum::<u64>() as f64, "token", Source::Measured)
        }
        Some(_) => Figure::unknown("token", "no request succeeded"),
        None => Figure::unknown("token", "a request came without a count of output tokens"),
    }
}

fn summaries(columns: &[Vec<(String, Figure)>], first_stage: Option<usize>) -> Vec<RepeatedFigure> {
    let Some(first) = columns.first() else { return Vec::new() };
    (0..first.len())
        .map(|index| {
            let figures: Vec<&Figure> = columns.iter().map(|column| &column[index].1).collect();
            summary(&first[index].0, &figures, first_stage)
        })
        .collect()
}

/// A figure over its repetitions.
fn summary(key: &str, figures: &[&Figure], first_stage: Option<usize>) -> RepeatedFigure {
    let known: Vec<(u32, f64)> =
        (0..).zip(figures).filter_map(|(number, figure)| Some((number, figure.value?))).collect();
    let values: Vec<f64> = known.iter().map(|(_, value)| *value).collect();
    let whole = known.len() == figures.len();
    let interval = match first_stage {
        // The second stage's spread must not enter, or the interval loses its 95 %.
        Some(first_stage) if whole && values.len() >= first_stage => {
            inference::two_stage_interval_95(&values, first_stage)
        }
        Some(_) => None,
        None => inference::interval_95(&values),
    };
    RepeatedFigure {
        key: key.to_owned(),
        unit: figures.first().map(|figure| figure.unit.clone()).unwrap_or_default(),
        source: figures.iter().filter_map(|figure| figure.source).max(),
        values: figures.iter().map(|figure| figure.value).collect(),
        missing: figures
            .iter()
            .find(|figure| figure.value.is_none())
            .map(|figure| figure.reason.clone().unwrap_or_default()),
        mean: stats::mean(&values),
        std: stats::std_dev(&values),
        interval_95: interval,
        cv: inference::variation(&values),
        outliers: inference::outliers(&values).into_iter().map(|index| known[index].0).collect(),
        drift: inference::drift(&values).filter(|_| whole),
    }
}

/// From the config and what the run decided.
fn rule(records: &RunRecords) -> RepetitionRule {
    let config = records.manifest.config.pointer("/scenario/repetitions");
    let Some(target) =
        config.and_then(|config| config.get("target_relative_ci")).and_then(Value::as_f64)
    else {
        return RepetitionRule::Fixed;
    };
    let get = |key: &str| config.and_then(|config| config.get(key));
    let least = get("min").and_then(Value::as_u64).and_then(|min| u32::try_from(min).ok());
    let figure = get("figure").and_then(Value::as_str).unwrap_or("joules_per_output_token");
    let decided = records.events.iter().find_map(|record| match &record.event {
        Event::Repetitions { needed, why } => Some(format!("{needed}: {why}")),
        _ => None,
    });
    RepetitionRule::TwoStage {
        first_stage: least.unwrap_or(2),
        target_relative_ci: target,
        figure: figure.to_owned(),
        decided,
        reached: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(value: f64) -> Figure {
        Figure::known(value, "J", Source::Measured)
    }

    #[test]
    fn a_value_that_is_not_known_is_left_out_and_told() {
        let missing = Figure::unknown("J", "the counter was reset");
        let (one, two, three) = (figure(10.0), figure(12.0), figure(11.0));
        let found = summary("energy_j", &[&one, &missing, &two, &three], None);
        assert_eq!(found.values, [Some(10.0), None, Some(12.0), Some(11.0)]);
        assert_eq!(found.missing.as_deref(), Some("the counter was reset"));
        assert_eq!((found.mean, found.std), (Some(11.0), Some(1.0)));
        let [low, high] = found.interval_95.unwrap();
        assert!((high - low - 2.0 * 4.3027 / 3.0_f64.sqrt()).abs() < 1e-3);
        assert_eq!(found.drift, None);
    }

    #[test]
    fn outliers_are_named_by_their_repetition_also_beside_missing_ones() {
        let missing = Figure::unknown("J", "away");
        let values: Vec<Figure> = [10.0, 10.1, 9.9, 10.05, 14.0, 9.95].map(figure).into();
        let mut all: Vec<&Figure> = values.iter().collect();
        all.insert(1, &missing);
        assert_eq!(summary("energy_j", &all, None).outliers, [5]);
    }

    #[test]
    fn a_second_stage_does_not_enter_the_spread_of_the_interval() {
        let values: Vec<Figure> = [10.0, 10.2, 9.8, 10.1, 9.9, 10.0, 10.0, 10.0].map(figure).into();
        let all: Vec<&Figure> = values.iter().collect();
        let staged = summary("energy_j", &all, Some(5)).interval_95.unwrap();
        let plain = summary("energy_j", &all, None).interval_95.unwrap();
        assert!(staged[1] - staged[0] > plain[1] - plain[0]);
        assert_eq!(summary("energy_j", &all[..4], Some(5)).interval_95, None);
    }
}
