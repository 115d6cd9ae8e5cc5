//! Two sets of runs against each other: which figures differ, by how much, and how sure that is.
//!
//! With two runs or more of each, a run is one value (the mean of its repetitions): what lies between runs is then in the spread.
//! With one run of each, its repetitions are the values, and the answer holds for those two processes only.
//! Runs that were made in turn (ABBA) are compared in pairs, which takes a common drift out; others by Welch's test.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::record::{Warning, Weights};

use super::findings::{Basis, Findings};
use super::inference::{self, Difference, NoComparison, Test};
use super::repetition::RepetitionUnit;
use super::stats;

/// Figures that are compared.
const FIGURES: [&str; 6] = [
    "joules_per_output_token",
    "joules_per_request",
    "output_tokens_per_second",
    "requests_per_second",
    "mean_power_w",
    "energy_j",
];

/// Keys of a config that say where results go, not what is measured.
const NOT_THE_WORK: [&str; 6] = [
    "name",
    "output_dir",
    "reporter",
    "metrics.output_dir",
    "metrics.project_name",
    "scenario.phase_shift_seed",
];

/// How to compare.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Compare also what is not alike.
    pub unlike: bool,
    /// This test; else the one that fits the order of the runs.
    pub test: Option<Test>,
    /// What lies between two values, where the runs do not tell.
    pub unit: Option<RepetitionUnit>,
}

/// Why two sets are not compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing to compare.
    #[error("a set has no run")]
    Empty,
    /// They are different things.
    #[error("the runs are not alike: {}", .0.join("; "))]
    Unlike(Vec<String>),
    /// One run beside several.
    #[error(
        "one set has {0} run(s) and the other {1}: a run beside several is no comparison, and neither is one repetition"
    )]
    Uneven(usize, usize),
}

/// One run of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComparedRun {
    /// Its id.
    pub id: String,
    /// The config's name.
    pub name: String,
    /// RFC 3339, UTC.
    pub started: String,
    /// Repetitions in it.
    pub repetitions: u64,
}

/// The values of one set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComparedSet {
    /// The values, in order of time.
    pub values: Vec<f64>,
    /// Their mean.
    pub mean: Option<f64>,
    /// Their sample standard deviation.
    pub std: Option<f64>,
    /// 95 % interval of the mean.
    pub interval_95: Option<[f64; 2]>,
    /// Standard deviation over mean.
    pub cv: Option<f64>,
}

/// One figure of both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComparedFigure {
    /// Its name.
    pub key: String,
    /// Its unit.
    pub unit: String,
    /// The first set.
    pub a: ComparedSet,
    /// The second set.
    pub b: ComparedSet,
    /// The second over the first; null where they cannot be compared.
    pub difference: Option<Difference>,
    /// Why not.
    pub reason: Option<String>,
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// Version of this format.
    pub schema_version: u32,
    /// The runs of the first set, in order of time.
    pub a: Vec<ComparedRun>,
    /// Of the second.
    pub b: Vec<ComparedRun>,
    /// `run` or `repetition`: what a value is.
    pub value_is: String,
    /// What lies between two values.
    pub unit: RepetitionUnit,
    /// How that is known.
    pub unit_reason: String,
    /// Order of the runs in time: `ABBA`.
    pub order: String,
    /// The figures.
    pub figures: Vec<ComparedFigure>,
    /// What is different between the sets.
    pub different: Vec<String>,
    /// What the reader should know.
    pub warnings: Vec<Warning>,
}

/// Version of [`Comparison`].
pub const SCHEMA_VERSION: u32 = 1;

/// Compares two sets of runs.
///
/// # Errors
/// When they are not alike and that was not asked for, or one of them holds too little.
pub fn compare(a: &[Findings], b: &[Findings], wanted: Wanted) -> Result<Comparison, Refusal> {
    if a.is_empty() || b.is_empty() {
        return Err(Refusal::Empty);
    }
    let (a, b) = (by_time(a), by_time(b));
    let unlike = unlike(&a, &b);
    if !unlike.is_empty() && !wanted.unlike {
        return Err(Refusal::Unlike(unlike));
    }
    let by_run = match (a.len(), b.len()) {
        (1, 1) => false,
        (2.., 2..) => true,
        (first, second) => return Err(Refusal::Uneven(first, second)),
    };
    let order = order(&a, &b);
    let pairs = by_run && is_interleaved(&order);
    let test = wanted.test.unwrap_or(if pairs { Test::Paired } else { Test::Welch });
    let (unit, unit_reason) = unit(&a, &b, by_run, wanted.unit);
    let figures = FIGURES.iter().filter_map(|key| compared(key, &a, &b, by_run, test)).collect();
    Ok(Comparison {
        schema_version: SCHEMA_VERSION,
        a: a.iter().map(|run| named(run)).collect(),
        b: b.iter().map(|run| named(run)).collect(),
        value_is: if by_run { "run" } else { "repetition" }.to_owned(),
        unit,
        unit_reason,
        figures,
        different: different(a[0], b[0]),
        warnings: warnings(&a, &b, &unlike, pairs, &order),
        order,
    })
}

fn by_time(runs: &[Findings]) -> Vec<&Findings> {
    let mut runs: Vec<&Findings> = runs.iter().collect();
    // All stamps are RFC 3339 in UTC with the same digits: they sort as text.
    runs.sort_by(|one, two| one.run.started.cmp(&two.run.started));
    runs
}

fn named(run: &Findings) -> ComparedRun {
    ComparedRun {
        id: run.run.id.clone(),
        name: run.run.name.clone(),
        started: run.run.started.clone(),
        repetitions: run.protocol.repetitions.rows.len() as u64,
    }
}

/// What makes figures incomparable, of any two runs.
fn unlike(a: &[&Findings], b: &[&Findings]) -> Vec<String> {
    let first = a[0];
    let mut found = Vec::new();
    let mut say = |reason: String| {
        if !found.contains(&reason) {
            found.push(reason);
        }
    };
    for run in a.iter().chain(b) {
        if run.backend.model != first.backend.model {
            say(format!("models {} and {}", first.backend.model, run.backend.model));
        }
        let synthetic = |run: &Findings| run.backend.weights == Weights::Synthetic;
        if synthetic(run) != synthetic(first) {
            say("synthetic weights and others".to_owned());
        }
        let basis = |run: &Findings| run.efficiency.basis;
        if basis(run) != basis(first) {
            say(format!("energy of {} and of {}", basis(first).as_str(), basis(run).as_str()));
        }
        if basis(run) == Basis::Nothing {
            say("a run without metered energy".to_owned());
        }
        let dataset = |run: &Findings| (run.dataset.name.clone(), run.dataset.files.clone());
        if dataset(run) != dataset(first) {
            say(format!("prompts of {} and of {}", first.dataset.name, run.dataset.name));
        }
        if !run.run.complete {
            say(format!("{} of {} is not complete", run.run.id, run.run.started));
        }
    }
    found
}

/// Who came when: `ABBA`.
fn order(a: &[&Findings], b: &[&Findings]) -> String {
    let mut all: Vec<(&str, char)> = a
        .iter()
        .map(|run| (run.run.started.as_str(), 'A'))
        .chain(b.iter().map(|run| (run.run.started.as_str(), 'B')))
        .collect();
    all.sort_unstable();
    all.into_iter().map(|(_, set)| set).collect()
}

/// Whether runs come in pairs of one each, in turn.
fn is_interleaved(order: &str) -> bool {
    let order: Vec<char> = order.chars().collect();
    order.len().is_multiple_of(2) && order.chunks(2).all(|pair| pair[0] != pair[1])
}

/// What lies between two values of a set.
fn unit(
    a: &[&Findings],
    b: &[&Findings],
    by_run: bool,
    wanted: Option<RepetitionUnit>,
) -> (RepetitionUnit, String) {
    if let Some(unit) = wanted {
        return (unit, "as it was given".to_owned());
    }
    if !by_run {
        return (RepetitionUnit::WithinProcess, "one run of each".to_owned());
    }
    let days = |runs: &[&Findings]| {
        let mut days: Vec<&str> = runs.iter().filter_map(|run| run.run.started.get(..10)).collect();
        days.dedup();
        days.len()
    };
    if days(a) > 1 && days(b) > 1 {
        return (RepetitionUnit::AcrossDays, "both sets reach over several days (UTC)".to_owned());
    }
    let in_process = |run: &&&Findings| run.backend.endpoint.is_none();
    if a.iter().chain(b).all(|run| in_process(&run)) {
        return (RepetitionUnit::AcrossRestarts, "every run loads the model".to_owned());
    }
    let restarted = |runs: &[&Findings]| {
        let known = runs.iter().all(|run| !run.backend.pids.is_empty());
        let mut processes: Vec<&[u32]> =
            runs.iter().map(|run| run.backend.pids.as_slice()).collect();
        processes.sort_unstable();
        processes.dedup();
        known && processes.len() == runs.len()
    };
    if restarted(a) && restarted(b) {
        return (
            RepetitionUnit::AcrossRestarts,
            "the server's processes are others in every run".to_owned(),
        );
    }
    let reason = "nothing shows that the server was started again between the runs";
    (RepetitionUnit::WithinProcess, reason.to_owned())
}

/// Every value of a figure in a set, or why one is missing.
fn values(key: &str, runs: &[&Findings], by_run: bool) -> Result<Vec<f64>, String> {
    let mut all = Vec::new();
    for run in runs {
        let repetitions = &run.protocol.repetitions;
        let missing = || format!("it is not known for {}", run.run.started);
        let figure = repetitions.figure(key).ok_or_else(missing)?;
        let known: Option<Vec<f64>> = figure.values.iter().copied().collect();
        let known = known.filter(|values| !values.is_empty()).ok_or_else(|| {
            let reason = figure.missing.clone().unwrap_or_default();
            format!("{}: {reason}", missing())
        })?;
        match by_run {
            true => all.extend(stats::mean(&known)),
            false => all.extend(known),
        }
    }
    Ok(all)
}

fn compared(
    key: &str,
    a: &[&Findings],
    b: &[&Findings],
    by_run: bool,
    test: Test,
) -> Option<ComparedFigure> {
    let unit = a[0].protocol.repetitions.figure(key)?.unit.clone();
    let (first, second) = (values(key, a, by_run), values(key, b, by_run));
    let outcome = match (&first, &second) {
        (Ok(first), Ok(second)) => match test {
            Test::Paired => inference::compare_pairs(first, second),
            Test::Welch => inference::compare(first, second),
        }
        .map_err(|reason: NoComparison| reason.to_string()),
        (Err(reason), _) | (_, Err(reason)) => Err(reason.clone()),
    };
    Some(ComparedFigure {
        key: key.to_owned(),
        unit,
        a: set(first.unwrap_or_default()),
        b: set(second.unwrap_or_default()),
        difference: outcome.as_ref().ok().copied(),
        reason: outcome.err(),
    })
}

fn set(values: Vec<f64>) -> ComparedSet {
    ComparedSet {
        mean: stats::mean(&values),
        std: stats::std_dev(&values),
        interval_95: inference::interval_95(&values),
        cv: inference::variation(&values),
        values,
    }
}

/// What is different between two runs: the config, and what it ran on.
fn different(a: &Findings, b: &Findings) -> Vec<String> {
    let mut found = Vec::new();
    let mut say = |what: &str, one: String, two: String| {
        if one != two {
            found.push(format!("{what}: {one} | {two}"));
        }
    };
    let server = |run: &Findings| {
        let parts = [run.backend.server.clone(), run.backend.server_version.clone()];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    };
    let gpus = |run: &Findings| {
        run.host.gpus.iter().map(|gpu| gpu.name.clone()).collect::<Vec<_>>().join(", ")
    };
    say("model", a.backend.model.clone(), b.backend.model.clone());
    say("server", server(a), server(b));
    say("GPUs", gpus(a), gpus(b));
    say("machine", a.host.os.clone(), b.host.os.clone());
    say("program", a.program.version.clone(), b.program.version.clone());
    let (mut one, mut two) = (BTreeMap::new(), BTreeMap::new());
    flatten("", &a.config, &mut one);
    flatten("", &b.config, &mut two);
    let keys: Vec<&String> =
        one.keys().chain(two.keys().filter(|key| !one.contains_key(*key))).collect();
    for key in keys {
        let within = |prefix: &&str| {
            key.strip_prefix(*prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        if !NOT_THE_WORK.iter().any(within) {
            let shown = |map: &BTreeMap<String, String>| {
                map.get(key).cloned().unwrap_or_else(|| "-".to_owned())
            };
            say(key, shown(&one), shown(&two));
        }
    }
    found
}

fn flatten(place: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let place = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
                flatten(&place, value, into);
            }
        }
        other => {
            into.insert(place.to_owned(), other.to_string());
        }
    }
}

fn warnings(
    a: &[&Findings],
    b: &[&Findings],
    unlike: &[String],
    pairs: bool,
    order: &str,
) -> Vec<Warning> {
    let mut found = Vec::new();
    if !unlike.is_empty() {
        let message = format!(
            "The runs are not alike ({}): compared because it was asked for.",
            unlike.join("; ")
        );
        found.push(Warning::new("unlike", message));
    }
    if !pairs && a.len() + b.len() > 2 {
        let message = format!(
            "The runs were not made in turn (their order is {order}): a drift of the machine between the sets would look \
             like a difference."
        );
        found.push(Warning::new("not_interleaved", message));
    }
    if a.len() + b.len() == 2 {
        let message = "One run of each was compared: what differs between two runs of the same thing (another start, another \
                       temperature) is not in the interval."
            .to_owned();
        found.push(Warning::new("one_run_each", message));
    }
    let uncalibrated = a.iter().chain(b).any(|run| {
        run.host.gpus.iter().any(|gpu| !a[0].host.gpus.iter().any(|other| other.uuid == gpu.uuid))
    });
    if uncalibrated {
        let message = "Different GPUs were metered: the systematic errors of their sensors do not cancel, and are not in the \
                       interval."
            .to_owned();
        found.push(Warning::new("different_sensors", message));
    }
    let configs = |runs: &[&Findings]| {
        let mut hashes: Vec<&str> = runs.iter().map(|run| run.run.config_sha256.as_str()).collect();
        hashes.sort_unstable();
        hashes.dedup();
        hashes.len()
    };
    if configs(a) > 1 || configs(b) > 1 {
        let message =
            "The runs of a set have different configs: their spread holds that difference too."
                .to_owned();
        found.push(Warning::new("mixed_set", message));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_runs_in_turn_are_pairs() {
        for (order, expected) in
            [("ABBA", true), ("ABAB", true), ("BAAB", true), ("AABB", false), ("ABB", false)]
        {
            assert_eq!(is_interleaved(order), expected, "{order}");
        }
    }

    #[test]
    fn configs_are_compared_key_by_key() {
        let mut map = BTreeMap::new();
        flatten("", &serde_json::json!({"a": {"b": 1, "c": [1, 2]}, "d": null}), &mut map);
        let shown: Vec<(&str, &str)> =
            map.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(shown, [("a.b", "1"), ("a.c", "[1,2]"), ("d", "null")]);
    }
}
