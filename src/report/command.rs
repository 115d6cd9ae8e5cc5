//! Reports of a measured command: the summary for a terminal, `report.json`, and a table of its runs.

use std::path::{Path, PathBuf};

use crate::analysis::CommandFindings;
use crate::analysis::command::{CommandRunFindings, PartSummary, Spread};
use crate::analysis::findings::{Account, Figure};
use crate::record::{CommandExit, Component};

use super::csv::source_word;
use super::files::{LineEnd, line};
use super::table::{LABEL, Page, WIDTH, digits, missing, rough, shown};
use super::{ReportError, files, json};

/// File name of the table of runs in a run folder.
pub const CSV_FILE: &str = "runs.csv";

/// `report.json`, indented.
///
/// # Errors
/// Never for findings of records; the JSON writer's own otherwise.
pub fn render_json(findings: &CommandFindings) -> Result<Vec<u8>, ReportError> {
    let mut bytes = serde_json::to_vec_pretty(findings)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// One row a run, units in the names; what is not known is empty.
///
/// # Errors
/// Never for findings of records; the CSV writer's own otherwise.
pub fn render_csv(findings: &CommandFindings) -> Result<Vec<u8>, ReportError> {
    let rows = findings.runs.iter().map(|run| row(findings, run));
    let mut bytes = Vec::new();
    for (position, columns) in rows.enumerate() {
        let (names, values): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        if position == 0 {
            bytes.extend(line(&names, LineEnd::Lf)?);
        }
        bytes.extend(line(&values, LineEnd::Lf)?);
    }
    Ok(bytes)
}

/// Writes the reports into the run folder; what could not be written is told as text.
#[must_use]
pub fn write(findings: &CommandFindings, folder: &Path) -> (Vec<PathBuf>, Vec<String>) {
    let mut written = Vec::new();
    let mut problems = Vec::new();
    for (name, rendered) in [(json::FILE, render_json(findings)), (CSV_FILE, render_csv(findings))]
    {
        let path = folder.join(name);
        let outcome = rendered
            .map_err(|cause| cause.to_string())
            .and_then(|bytes| files::replace(&path, &bytes).map_err(|cause| cause.to_string()));
        match outcome {
            Ok(()) => written.push(path),
            Err(cause) => problems.push(format!("{}: {cause}", path.display())),
        }
    }
    (written, problems)
}

type Columns = Vec<(String, String)>;

fn row(findings: &CommandFindings, run: &CommandRunFindings) -> Columns {
    let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let figure = |figure: &Figure| number(figure.value);
    let code = run.exit.map(|exit| exit.shell_code().to_string()).unwrap_or_default();
    let mut columns: Columns = [
        ("label", findings.command.label.clone()),
        ("command", findings.command.line()),
        ("run", run.index.to_string()),
        ("began", run.began.clone()),
        ("exit_code", code),
        ("counted", run.counted.to_string()),
        ("duration_s", figure(&run.duration)),
        ("user_s", figure(&run.user)),
        ("system_s", figure(&run.system)),
        ("max_rss_bytes", figure(&run.max_rss)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    for part in &run.energy.components {
        columns.extend(account(part.component.as_str(), &part.account));
    }
    columns.extend(account("measured", &run.energy.measured.account));
    columns.extend(account("modelled", &run.energy.modelled.account));
    let share = run.cpu_share.as_ref();
    columns.extend([
        ("cpu_share".to_owned(), share.map(|share| figure(&share.share)).unwrap_or_default()),
        (
            "cpu_share_energy_j".to_owned(),
            share.map(|share| figure(&share.energy)).unwrap_or_default(),
        ),
        ("boundary".to_owned(), findings.boundary.clone()),
        ("id".to_owned(), findings.id.clone()),
    ]);
    columns
}

fn account(name: &str, account: &Account) -> Columns {
    let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let doubt = account.gross.uncertainty.as_ref();
    vec![
        (format!("{name}_energy_j"), number(account.gross.value)),
        (format!("{name}_energy_random_uncertainty_j"), number(doubt.map(|doubt| doubt.random))),
        (
            format!("{name}_energy_systematic_uncertainty_j"),
            number(doubt.and_then(|doubt| doubt.systematic)),
        ),
        (
            format!("{name}_energy_source"),
            account.gross.source.map(source_word).unwrap_or_default().to_owned(),
        ),
        (format!("{name}_mean_power_w"), number(account.mean_power.value)),
        (format!("{name}_net_energy_j"), number(account.net.value)),
    ]
}

/// The summary for a terminal; `files` are listed at its end.
#[must_use]
pub fn render(findings: &CommandFindings, files: &[PathBuf]) -> String {
    let mut page = Page::default();
    let state = if findings.complete { "complete" } else { "INCOMPLETE" };
    let program = &findings.program;
    page.hanging(
        "",
        &format!("{} — {state} ({} {})", findings.command.label, program.name, program.version),
    );
    page.line(&"=".repeat(WIDTH));
    if let Some(reason) = &findings.incomplete_reason {
        page.field("Not complete", reason);
    }
    page.field("Command", &findings.command.line());
    page.field("Runs", &runs(findings));
    times(&mut page, findings);
    energy(&mut page, findings);
    if !findings.warnings.is_empty() {
        page.heading("Cautions");
        for warning in &findings.warnings {
            page.hanging("  ! ", &warning.message);
        }
    }
    if !files.is_empty() {
        page.heading("Files");
        for file in files {
            page.line(&format!("  {}", file.display()));
        }
    }
    page.text
}

fn runs(findings: &CommandFindings) -> String {
    let made = findings.runs.len();
    let mut text = format!("{made} of {} measured", findings.command.runs);
    if findings.warmups > 0 {
        text.push_str(&format!(" after {} for warm-up", findings.warmups));
    }
    let mut codes: Vec<u8> =
        findings.runs.iter().filter_map(|run| run.exit).map(CommandExit::shell_code).collect();
    codes.sort_unstable();
    codes.dedup();
    let codes: Vec<String> = codes.iter().map(ToString::to_string).collect();
    if !codes.is_empty() {
        text.push_str(&format!("; exit {}", codes.join(", ")));
    }
    let left_out = findings.runs.iter().filter(|run| !run.counted).count();
    if left_out > 0 {
        text.push_str(&format!("; {left_out} cut off and left out"));
    }
    text
}

fn times(page: &mut Page, findings: &CommandFindings) {
    let summary = &findings.summary;
    page.heading(&format!(
        "{:<LABEL$}{:>11}{:>9}{:>8}{:>11}{:>11}  {}",
        "A run", "mean", "sd", "CV", "min", "max", "95 % of the mean"
    ));
    let seconds = |page: &mut Page, label: &str, spread: &Spread| row_of(page, label, spread, 1.0);
    seconds(page, "wall time, s", &summary.duration);
    seconds(page, "user, s", &summary.user);
    seconds(page, "system, s", &summary.system);
    row_of(page, "largest process, MB", &summary.max_rss, 1e-6);
    for part in summary.parts.iter().filter(|part| part.counted) {
        let name = part.component.map_or("", Component::as_str);
        row_of(page, &format!("{name}, J"), &part.gross, 1.0);
    }
    for (name, part) in [("measured, J", &summary.measured), ("modelled, J", &summary.modelled)] {
        // The sum of one part is that part.
        if part.what.contains('+') {
            row_of(page, name, &part.gross, 1.0);
        }
    }
}

fn row_of(page: &mut Page, label: &str, spread: &Spread, factor: f64) {
    let Some(mean) = spread.mean.value else {
        page.field(label, &missing(&spread.mean));
        return;
    };
    let or_dash = |value: Option<f64>, show: fn(f64) -> String| {
        value.map_or_else(|| "-".to_owned(), |value| show(factor * value))
    };
    let cv = spread.cv.map_or_else(|| "-".to_owned(), |cv| format!("{:.1} %", 100.0 * cv));
    let interval = spread.mean.interval_95.map_or_else(
        || "-".to_owned(),
        |[low, high]| format!("{} to {}", digits(factor * low), digits(factor * high)),
    );
    page.line(&format!(
        "  {label:<width$}{:>11}{:>9}{cv:>8}{:>11}{:>11}  {interval}",
        digits(factor * mean),
        or_dash(spread.std, rough),
        or_dash(spread.min, digits),
        or_dash(spread.max, digits),
        width = LABEL - 2,
    ));
}

fn energy(page: &mut Page, findings: &CommandFindings) {
    let summary = &findings.summary;
    page.heading(&format!(
        "{:<LABEL$}{:>11}{:>9}{:>9}{:>9}{:>16}{:>10}  {}",
        "Energy of a run, gross", "J", "± random", "± system", "W", "idle W", "net J", "source"
    ));
    for part in &summary.parts {
        part_line(page, part.component.map_or("", Component::as_str), part);
    }
    for (name, part) in
        [("total measured", &summary.measured), ("total modelled", &summary.modelled)]
    {
        if part.what.contains('+') {
            part_line(page, name, part);
        }
    }
    let share = &summary.cpu_share_energy.mean;
    if let Some(value) = share.value {
        let of = summary.parts.iter().find(|part| part.component == Some(Component::Cpu));
        let all = of.and_then(|part| part.gross.mean.value).filter(|all| *all > 0.0);
        let percent = all
            .map(|all| format!(", {:.1} % of the CPU's", 100.0 * value / all))
            .unwrap_or_default();
        page.field(
            "of the command's own",
            &format!("{} J of the CPU by processor time (modelled){percent}", digits(value)),
        );
    }
    let emissions = &findings.emissions;
    let mut text = shown(&emissions.per_run);
    if let (Some(_), Some(factor)) = (emissions.per_run.value, &emissions.factor) {
        let place = [&factor.region, &factor.country_name].into_iter().flatten();
        let place: String = place.map(|name| format!("{name}, ")).collect();
        text.push_str(&format!(
            " a run: {} gCO2e/kWh, {place}{}",
            digits(factor.intensity.value()),
            factor.source
        ));
    }
    page.field("Emissions", &text);
    page.field("Boundary", &findings.boundary);
}

fn part_line(page: &mut Page, label: &str, part: &PartSummary) {
    if !part.counted {
        page.field(label, &format!("not counted: {}", part.what));
        return;
    }
    let gross = &part.gross.mean;
    let Some(value) = gross.value else {
        page.field(label, &missing(gross));
        return;
    };
    let doubt = gross.uncertainty.as_ref();
    let or_dash =
        |value: Option<f64>, show: fn(f64) -> String| value.map_or_else(|| "-".to_owned(), show);
    let idle = match (part.idle_power_before.value, part.idle_power_after.value) {
        (Some(before), Some(after)) => format!("{} / {}", digits(before), digits(after)),
        (Some(only), None) | (None, Some(only)) => digits(only),
        (None, None) => "-".to_owned(),
    };
    page.line(&format!(
        "  {label:<width$}{:>11}{:>9}{:>9}{:>9}{idle:>16}{:>10}  {}",
        digits(value),
        or_dash(doubt.map(|doubt| doubt.random), rough),
        or_dash(doubt.and_then(|doubt| doubt.systematic), rough),
        or_dash(part.mean_power.mean.value, digits),
        or_dash(part.net.mean.value, digits),
        gross.source.map_or("", source_word),
        width = LABEL - 2,
    ));
}
