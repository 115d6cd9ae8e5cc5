//! Over the runs of a command.

use crate::analysis::efficiency::names;
use crate::analysis::inference::{SIGNIFICANT, drift, interval_95, outliers, variation};
use crate::analysis::stats::{mean, std_dev};
use crate::record::{CarbonBasis, Component, Event, RunRecords, Source, Warning};
use crate::units::{GramsCo2e, Joules, Seconds};

use super::{
    Account, CommandEmissions, CommandFindings, CommandRunFindings, CommandSummary, Figure,
    PartSummary, Spread, Uncertainty,
};

/// Above this random standard uncertainty a run was short for the sensors.
const RANDOM_LIMIT: f64 = 0.05;
/// Idle power before and after may differ by this share of their mean.
const IDLE_DRIFT_LIMIT: f64 = 0.10;

/// Everything over the runs that count.
pub(super) fn summarise(runs: &[CommandRunFindings]) -> CommandSummary {
    let counted: Vec<&CommandRunFindings> = runs.iter().filter(|run| run.counted).collect();
    let over = |pick: fn(&CommandRunFindings) -> &Figure, unit: &str| {
        let figures: Vec<(u32, &Figure)> =
            counted.iter().map(|run| (run.index, pick(run))).collect();
        spread(&figures, unit)
    };
    let parts = [Component::Gpu, Component::Cpu, Component::Ram];
    let shares: Vec<(u32, &Figure)> = counted
        .iter()
        .filter_map(|run| Some((run.index, &run.cpu_share.as_ref()?.energy)))
        .collect();
    CommandSummary {
        runs: u32::try_from(counted.len()).unwrap_or(u32::MAX),
        duration: over(|run| &run.duration, Seconds::UNIT),
        user: over(|run| &run.user, Seconds::UNIT),
        system: over(|run| &run.system, Seconds::UNIT),
        max_rss: over(|run| &run.max_rss, "B"),
        parts: parts.map(|component| part(&counted, component)).into(),
        measured: total(&counted, |run| {
            (&run.energy.measured.account, &run.energy.measured.included)
        }),
        modelled: total(&counted, |run| {
            (&run.energy.modelled.account, &run.energy.modelled.included)
        }),
        combined: total(&counted, |run| {
            (&run.energy.combined.account, &run.energy.combined.included)
        }),
        cpu_share_energy: spread(&shares, Joules::UNIT),
    }
}

fn part(runs: &[&CommandRunFindings], component: Component) -> PartSummary {
    let found: Vec<_> = runs
        .iter()
        .filter_map(|run| {
            let part = run.energy.components.iter().find(|part| part.component == component)?;
            Some((run.index, part))
        })
        .collect();
    let first = found.first().map(|(_, part)| *part);
    let accounts: Vec<(u32, &Account)> =
        found.iter().map(|(index, part)| (*index, &part.account)).collect();
    let what = first.map_or_else(|| "no run was made".to_owned(), |part| part.what.clone());
    let counted = first.is_some_and(|part| part.counted);
    of_accounts(Some(component), counted, what, &accounts)
}

fn total(
    runs: &[&CommandRunFindings],
    pick: fn(&CommandRunFindings) -> (&Account, &Vec<Component>),
) -> PartSummary {
    let accounts: Vec<(u32, &Account)> = runs.iter().map(|run| (run.index, pick(run).0)).collect();
    let included = runs.first().map(|run| pick(run).1.clone()).unwrap_or_default();
    let what = if included.is_empty() { "nothing".to_owned() } else { names(&included) };
    of_accounts(None, !included.is_empty(), what, &accounts)
}

fn of_accounts(
    component: Option<Component>,
    counted: bool,
    what: String,
    accounts: &[(u32, &Account)],
) -> PartSummary {
    let over = |pick: fn(&Account) -> &Figure, unit: &str| {
        let figures: Vec<(u32, &Figure)> =
            accounts.iter().map(|(index, account)| (*index, pick(account))).collect();
        spread(&figures, unit)
    };
    let idle = |pick: fn(&Account) -> &Figure| {
        accounts.first().map_or_else(
            || Figure::unknown("W", "no run was made"),
            |(_, account)| pick(account).clone(),
        )
    };
    PartSummary {
        component,
        counted,
        what,
        gross: over(|account| &account.gross, "J"),
        mean_power: over(|account| &account.mean_power, "W"),
        net: over(|account| &account.net, "J"),
        idle_power_before: idle(|account| &account.idle_power_before),
        idle_power_after: idle(|account| &account.idle_power_after),
    }
}

/// A quantity over the runs; not known unless every run has it.
fn spread(figures: &[(u32, &Figure)], unit: &str) -> Spread {
    let values: Vec<f64> = figures.iter().filter_map(|(_, figure)| figure.value).collect();
    let missing = figures.iter().find(|(_, figure)| figure.value.is_none());
    let reason = match missing {
        Some((_, figure)) => figure.reason.clone().unwrap_or_default(),
        None => "no run was made".to_owned(),
    };
    let whole = missing.is_none() && !values.is_empty();
    let far = if whole { outliers(&values) } else { Vec::new() };
    let all = |of: fn(f64, f64) -> f64| values.iter().copied().reduce(of).filter(|_| whole);
    Spread {
        n: u32::try_from(values.len()).unwrap_or(u32::MAX),
        mean: if whole {
            mean_figure(figures, &values, unit)
        } else {
            Figure::unknown(unit, reason)
        },
        std: std_dev(&values).filter(|_| whole),
        cv: variation(&values).filter(|_| whole),
        min: all(f64::min),
        max: all(f64::max),
        outliers: far
            .into_iter()
            .filter_map(|at| figures.get(at))
            .map(|(index, _)| *index)
            .collect(),
    }
}

fn mean_figure(figures: &[(u32, &Figure)], values: &[f64], unit: &str) -> Figure {
    let Some(centre) = mean(values) else { return Figure::unknown(unit, "no run was made") };
    let source = figures.iter().filter_map(|(_, figure)| figure.source).max();
    let mut figure = Figure::known(centre, unit, source.unwrap_or(Source::Measured));
    if figure.value.is_none() {
        return figure;
    }
    let stated: Vec<&Uncertainty> =
        figures.iter().filter_map(|(_, figure)| figure.uncertainty.as_ref()).collect();
    let bounds: Option<Vec<f64>> = stated.iter().map(|stated| stated.systematic).collect();
    let random = match std_dev(values) {
        Some(spread) => Some(spread / (values.len() as f64).sqrt()),
        None => stated.first().map(|stated| stated.random),
    };
    figure.uncertainty = random.map(|random| Uncertainty {
        random,
        systematic: bounds
            .filter(|bounds| bounds.len() == figures.len())
            .and_then(|all| mean(&all)),
    });
    figure.interval_95 = interval_95(values);
    if let (1, Some((_, only))) = (figures.len(), figures.first()) {
        figure.note.clone_from(&only.note);
    }
    figure
}

/// Emissions of the mean energy of a run.
pub(super) fn emissions(summary: &CommandSummary, carbon: &CarbonBasis) -> CommandEmissions {
    let gross = &summary.combined.gross.mean;
    let per_run = match &carbon.factor {
        _ if gross.value.is_none() => gross.scaled(1.0, GramsCo2e::UNIT),
        Some(factor) => {
            let grams = Joules(carbon.pue).emissions(factor.intensity).0;
            let mut figure = gross.scaled(grams, GramsCo2e::UNIT);
            figure.source = figure.source.map(|source| source.max(Source::Modelled));
            figure.note("the factor's own uncertainty is not inside")
        }
        None => Figure::unknown(
            GramsCo2e::UNIT,
            carbon.missing_reason.clone().unwrap_or_else(|| "no carbon intensity".to_owned()),
        ),
    };
    CommandEmissions { factor: carbon.factor.clone(), pue: carbon.pue, per_run }
}

/// What the reader of the figures should know.
pub(super) fn warnings(records: &RunRecords, findings: &CommandFindings) -> Vec<Warning> {
    let told = records.events.iter().filter_map(|record| match &record.event {
        Event::Warning { warning } => Some(warning.clone()),
        _ => None,
    });
    let all = records
        .manifest
        .warnings
        .iter()
        .cloned()
        .chain(told)
        .chain(about_the_runs(records, findings))
        .chain(about_the_energy(findings));
    let mut once: Vec<Warning> = Vec::new();
    for warning in all {
        if !once.contains(&warning) {
            once.push(warning);
        }
    }
    once
}

fn about_the_runs(records: &RunRecords, findings: &CommandFindings) -> Vec<Warning> {
    let mut found = Vec::new();
    if let Some(reason) = &findings.incomplete_reason {
        found.push(Warning::new(
            "incomplete",
            format!("The measurement is not complete: {reason}."),
        ));
    }
    let failed: Vec<String> = findings
        .runs
        .iter()
        .filter(|run| run.exit.is_some_and(|exit| !exit.is_success()) && !run.interrupted)
        .map(|run| match run.exit {
            Some(exit) => format!("run {}: {}", run.index, exit.shell_code()),
            None => String::new(),
        })
        .collect();
    if !failed.is_empty() {
        found.push(Warning::new(
            "command_failed",
            format!(
                "{} of {} runs did not end with 0 ({}).",
                failed.len(),
                findings.runs.len(),
                failed.join(", ")
            ),
        ));
    }
    for sensor in findings.sensors.iter().filter(|sensor| sensor.failed_reads > 0) {
        let all = sensor.reads + sensor.failed_reads;
        let name = &sensor.info.name;
        found.push(Warning::new(
            "failed_reads",
            format!("{name}: {} of {all} reads failed.", sensor.failed_reads),
        ));
    }
    for (file, count) in &records.torn_lines {
        found.push(Warning::new(
            "torn_lines",
            format!("{file}: {count} unreadable line(s) left out (cut off while being written)."),
        ));
    }
    found
}

fn about_the_energy(findings: &CommandFindings) -> Vec<Warning> {
    let summary = &findings.summary;
    let mut found = Vec::new();
    if !summary.measured.counted && summary.modelled.counted {
        found.push(Warning::new(
            "nothing_measured",
            "No sensor measured energy here: the energies are a model's, not a measurement.",
        ));
    }
    for part in summary.parts.iter().filter(|part| part.counted) {
        let name = part.component.map_or("", Component::as_str);
        found.extend(about_a_part(name, part, findings));
    }
    found
}

fn about_a_part(name: &str, part: &PartSummary, findings: &CommandFindings) -> Vec<Warning> {
    let mut found = Vec::new();
    let gross = &part.gross.mean;
    let Some(value) = gross.value else {
        let reason = gross.reason.clone().unwrap_or_default();
        return vec![Warning::new(
            "energy_missing",
            format!("The {name} energy is not known: {reason}."),
        )];
    };
    let random = gross.uncertainty.as_ref().map_or(0.0, |stated| stated.random);
    if part.gross.n == 1 && value > 0.0 && random / value > RANDOM_LIMIT {
        found.push(Warning::new(
            "short_window",
            format!(
                "The run was short for the {name} sensor: {:.0} % standard uncertainty. Measure more or longer runs.",
                100.0 * random / value
            ),
        ));
    }
    if !part.gross.outliers.is_empty() {
        let which: Vec<String> = part.gross.outliers.iter().map(ToString::to_string).collect();
        found.push(Warning::new(
            "outliers",
            format!(
                "The {name} energy of run {} lies far out; it is in the mean.",
                which.join(", ")
            ),
        ));
    }
    let in_order: Vec<f64> = findings
        .runs
        .iter()
        .filter(|run| run.counted)
        .flat_map(|run| &run.energy.components)
        .filter(|energy| Some(energy.component) == part.component)
        .filter_map(|energy| energy.account.gross.value)
        .collect();
    if let Some(drift) = drift(&in_order).filter(|drift| drift.p < SIGNIFICANT) {
        found.push(Warning::new(
            "drift",
            format!(
                "The {name} energy drifts by {:+.2} % a run (p = {:.3}): the runs are not independent.",
                100.0 * drift.per_repetition,
                drift.p
            ),
        ));
    }
    let idle = part.idle_power_before.value.zip(part.idle_power_after.value);
    if let Some((before, after)) = idle
        && (after - before).abs() > IDLE_DRIFT_LIMIT * before.midpoint(after)
    {
        found.push(Warning::new(
            "idle_drift",
            format!(
                "The {name} idled at {before:.1} W before and {after:.1} W after: the net energy depends on which is \
                 taken (the mean is)."
            ),
        ));
    }
    if part.net.mean.value.is_some_and(|net| net < 0.0) {
        found.push(Warning::new(
            "net_negative",
            format!("The {name} used less while the command ran than when idle: the net energy means nothing."),
        ));
    }
    found
}
