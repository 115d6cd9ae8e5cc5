//! The summary for a terminal: plain text, at most 100 columns. It only makes the text; printing it is
//! the caller's.

mod attribution;
mod client;
mod footprint;
mod meter_cost;
mod protocol;
mod reference;
mod scope;
mod server;

use std::path::PathBuf;

use crate::analysis::Findings;
use crate::analysis::class_name;
use crate::analysis::conversation::{ConversationFindings, TurnFindings};
use crate::analysis::findings::{Account, EnergyFindings, Figure};
use crate::analysis::stats::Summary;
use crate::record::{NotSent, Source, TokenSource};

use super::ReportError;
use super::csv::{source_word, weights_word};

/// The reporter's name.
pub const KIND: &str = "table";
/// File name, where one is wanted.
pub const FILE: &str = "report.txt";

/// Widest line.
pub(super) const WIDTH: usize = 100;
/// Width of the labels at the left.
pub(super) const LABEL: usize = 24;

/// The table without a list of files.
///
/// # Errors
/// Never.
pub fn render_bytes(findings: &Findings) -> Result<Vec<u8>, ReportError> {
    Ok(render(findings, &[]).into_bytes())
}

/// The table; `files` are listed at its end.
#[must_use]
pub fn render(findings: &Findings, files: &[PathBuf]) -> String {
    let mut page = Page::default();
    title(&mut page, findings);
    setup(&mut page, findings);
    times(&mut page, findings);
    energy(&mut page, &findings.energy, "Energy of the measured window, gross");
    if let Some(client) = &findings.client_energy {
        energy(&mut page, client, "Energy of this machine, the client's (not the model's)");
    }
    headline(&mut page, findings);
    attribution::section(&mut page, &findings.attribution);
    protocol::section(&mut page, findings);
    reference::section(&mut page, findings);
    cautions(&mut page, findings);
    if !files.is_empty() {
        page.heading("Files");
        for file in files {
            // A path is never broken: it is there to be copied.
            page.line(&format!("  {}", file.display()));
        }
    }
    page.text
}

/// Text that grows line by line.
#[derive(Default)]
pub(super) struct Page {
    pub(super) text: String,
}

impl Page {
    pub(super) fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    pub(super) fn heading(&mut self, heading: &str) {
        self.line("");
        self.line(heading);
    }

    /// A labelled text, wrapped under itself.
    pub(super) fn field(&mut self, label: &str, value: &str) {
        self.hanging(&format!("  {label:<width$}", width = LABEL - 2), value);
    }

    /// A text after a prefix; further lines are indented by the prefix's width.
    pub(super) fn hanging(&mut self, prefix: &str, value: &str) {
        let indent = prefix.chars().count();
        let mut line = prefix.to_owned();
        let mut used = indent;
        let mut empty = true;
        for word in value.split_whitespace() {
            let length = word.chars().count();
            if !empty && used + 1 + length > WIDTH {
                self.line(&line);
                line = " ".repeat(indent);
                used = indent;
                empty = true;
            }
            if !empty {
                line.push(' ');
                used += 1;
            }
            line.push_str(word);
            used += length;
            empty = false;
        }
        self.line(&line);
    }
}

fn title(page: &mut Page, findings: &Findings) {
    let run = &findings.run;
    let state = if run.complete { "complete" } else { "INCOMPLETE" };
    let program = &findings.program;
    page.hanging("", &format!("{} — {state} ({} {})", run.name, program.name, program.version));
    page.line(&"=".repeat(WIDTH));
    if let Some(reason) = &run.incomplete_reason {
        page.field("Not complete", reason);
    }
    if let Some(note) = &findings.weights_note {
        page.field("Weights", note);
    }
}

fn setup(page: &mut Page, findings: &Findings) {
    let backend = &findings.backend;
    let server = match (&backend.server, &backend.server_version) {
        (Some(server), Some(version)) => format!(", {server} {version}"),
        (Some(server), None) => format!(", {server}"),
        _ => String::new(),
    };
    let at = backend.endpoint.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
    page.field("Backend", &format!("{}{server}{at}", backend.kind));
    page.field("Model", &format!("{}, weights {}", backend.model, weights_word(backend.weights)));
    let dataset = &findings.dataset;
    page.field(
        "Dataset",
        &format!(
            "{} ({}), {} of {} rows",
            dataset.name, dataset.origin, dataset.used, dataset.rows
        ),
    );
    page.field("Requests", &requests(findings));
    if let Some(conversations) = &findings.conversations {
        page.field("Conversations", &conversed(conversations));
    }
    page.field("Tokens", &tokens(findings));
}

fn requests(findings: &Findings) -> String {
    let counts = &findings.counts;
    let mut text = format!(
        "{} planned, {} sent, {} succeeded, {} failed",
        counts.planned, counts.sent, counts.succeeded, counts.failed
    );
    if !counts.failed_by_class.is_empty() {
        let classes: Vec<String> = counts
            .failed_by_class
            .iter()
            .map(|(class, count)| format!("{} {count}", class_name(*class)))
            .collect();
        text.push_str(&format!(" ({})", classes.join(", ")));
    }
    if counts.cancelled > 0 {
        text.push_str(&format!(", {} cancelled", counts.cancelled));
    }
    if counts.in_flight_at_end > 0 {
        text.push_str(&format!(", {} in flight at the end", counts.in_flight_at_end));
    }
    if counts.retries > 0 {
        text.push_str(&format!(", {} retries", counts.retries));
    }
    text.push_str(&format!("; {} in flight at most", findings.throughput.peak_in_flight));
    text
}

/// How far conversations went, and how the first turn compares with the last.
fn conversed(found: &ConversationFindings) -> String {
    let mut text = format!("{} begun, {} complete", found.begun, found.complete);
    for (why, turns) in &found.not_sent {
        let why = match why {
            NotSent::TurnFailed => "a turn before failed",
            NotSent::LoadOver => "the load was over",
            NotSent::Stopped => "the run was stopped",
        };
        text.push_str(&format!(", {turns} turns not sent ({why})"));
    }
    let told = |turn: &TurnFindings| {
        let ttft = turn.ttft.p50.map(|time| format!("TTFT p50 {:.1} ms", 1e3 * time));
        let prompt = turn.prompt_tokens.mean.map(|mean| format!("{mean:.0} prompt tokens"));
        let known: Vec<String> = [ttft, prompt].into_iter().flatten().collect();
        format!("; turn {}: {} sent, {}", turn.turn, turn.sent, known.join(", "))
    };
    let ends = [found.turns.first(), found.turns.last().filter(|_| found.turns.len() > 1)];
    text.extend(ends.into_iter().flatten().map(told));
    text
}

fn tokens(findings: &Findings) -> String {
    let tokens = &findings.tokens;
    let Some(output) = tokens.completion.value else { return missing(&tokens.completion) };
    let prompt = match (tokens.prompt.value, tokens.cached_prompt.value) {
        (Some(prompt), Some(cached)) => {
            format!("{prompt:.0} prompt ({cached:.0} of them cached), ")
        }
        (Some(prompt), None) => format!("{prompt:.0} prompt, "),
        _ => String::new(),
    };
    let reasoning = tokens
        .reasoning
        .value
        .map(|count| format!(" ({count:.0} of them reasoning)"))
        .unwrap_or_default();
    let who = match tokens.counted_by {
        Some(TokenSource::Usage) => "; counted by the server",
        Some(TokenSource::Engine) => "; counted by the engine",
        Some(TokenSource::Missing) | None => "",
    };
    format!("{prompt}{output:.0} output{reasoning}{who}")
}

fn times(page: &mut Page, findings: &Findings) {
    page.heading(&format!(
        "{:<LABEL$}{:>6}{:>12}{:>12}{:>12}{:>12}{:>12}",
        "Latency, ms", "n", "mean", "p50", "p90", "p95", "p99"
    ));
    let latency = &findings.latency;
    spread(page, "TTFT", &latency.ttft);
    spread(page, "inter-token latency", &latency.inter_token_latency);
    spread(page, "inter-chunk latency", &latency.inter_chunk_latency);
    if differs(&latency.ttfo, &latency.ttft) {
        spread(page, "to first output token", &latency.ttfo);
    }
    spread(page, "E2E", &latency.e2e);
    if differs(&latency.e2e_from_schedule, &latency.e2e) {
        spread(page, "E2E from schedule", &latency.e2e_from_schedule);
    }
    let throughput = &findings.throughput;
    let window = findings.run.window.value.map(|seconds| format!("over {} s", digits(seconds)));
    page.field(
        "Throughput",
        &format!(
            "{}, {} output, {} in all, {}",
            shown(&throughput.requests),
            shown(&throughput.output_tokens),
            shown(&throughput.total_tokens),
            window.unwrap_or_else(|| "no measured window".to_owned())
        ),
    );
}

/// Whether a time is worth a line of its own beside another: by more than a hundredth at the median or the end.
fn differs(one: &Summary, other: &Summary) -> bool {
    let apart = |one: Option<f64>, other: Option<f64>| match (one, other) {
        (Some(one), Some(other)) => (one - other).abs() > 0.01 * other,
        _ => false,
    };
    apart(one.p50, other.p50) || apart(one.p99, other.p99)
}

fn spread(page: &mut Page, label: &str, summary: &Summary) {
    if summary.n == 0 {
        page.field(label, &format!("none: {}", summary.reason.as_deref().unwrap_or("no values")));
        return;
    }
    let milliseconds =
        |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| digits(1000.0 * value));
    page.line(&format!(
        "  {label:<width$}{:>6}{:>12}{:>12}{:>12}{:>12}{:>12}",
        summary.n,
        milliseconds(summary.mean),
        milliseconds(summary.p50),
        milliseconds(summary.p90),
        milliseconds(summary.p95),
        milliseconds(summary.p99),
        width = LABEL - 2,
    ));
}

fn energy(page: &mut Page, energy: &EnergyFindings, heading: &str) {
    page.heading(heading);
    page.line(&format!(
        "{:<LABEL$}{:>11}{:>9}{:>9}{:>9}{:>16}{:>10}  {}",
        "", "J", "± random", "± system", "W", "idle W", "net J", "source"
    ));
    for part in &energy.components {
        let label = part.component.as_str();
        if part.counted {
            account(page, label, &part.account);
        } else {
            page.field(label, &format!("not counted: {}", part.what));
        }
        for device in part.devices.iter().filter(|_| part.devices.len() > 1) {
            page.field(&format!("  {}", device.sensor), &shown(&device.gross));
        }
    }
    // The sum of one part is that part.
    if energy.measured.included.len() > 1 {
        account(page, "total measured", &energy.measured.account);
    }
    if energy.modelled.included.len() > 1 {
        account(page, "total modelled", &energy.modelled.account);
    }
    if let (false, Some(share)) = (
        energy.measured.included.is_empty(),
        energy.modelled_share.value.filter(|share| *share > 0.0),
    ) {
        page.field("", &format!("The modelled part is {:.0} % of both together.", 100.0 * share));
    }
}

fn account(page: &mut Page, label: &str, account: &Account) {
    let Some(gross) = account.gross.value else {
        page.field(label, &missing(&account.gross));
        return;
    };
    let uncertainty = account.gross.uncertainty.as_ref();
    let or_dash = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), digits);
    let rough_or_dash = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), rough);
    let idle = match (account.idle_power_before.value, account.idle_power_after.value) {
        (None, None) => "-".to_owned(),
        (before, after) => format!("{} / {}", or_dash(before), or_dash(after)),
    };
    page.line(&format!(
        "  {label:<width$}{:>11}{:>9}{:>9}{:>9}{idle:>16}{:>10}  {}",
        digits(gross),
        rough_or_dash(uncertainty.map(|uncertainty| uncertainty.random)),
        rough_or_dash(uncertainty.and_then(|uncertainty| uncertainty.systematic)),
        or_dash(account.mean_power.value),
        or_dash(account.net.value),
        account.gross.source.map_or("", source_word),
        width = LABEL - 2,
    ));
}

fn headline(page: &mut Page, findings: &Findings) {
    let efficiency = &findings.efficiency;
    page.heading(&format!("Headline: {}", efficiency.basis_note));
    page.field("J per output token", &with_doubt(&efficiency.joules_per_output_token));
    page.field("J per request", &with_doubt(&efficiency.joules_per_request));
    good(page, findings);
    let thousand = &efficiency.wh_per_1000_requests;
    let mut text = with_doubt(thousand);
    if let Some([low, high]) = thousand.interval_95 {
        text.push_str(&format!("; 95 % over prompts: {} to {}", digits(low), digits(high)));
    }
    page.field("Wh per 1000 requests", &text);
    footprint::lines(page, findings);
    page.field("Boundary", &findings.boundary);
    scope::scope(page, findings);
    client::line(page, findings.client.as_ref());
    server::line(page, findings.server.as_ref());
    meter_cost::line(page, findings.meter_cost.as_ref());
}

/// Good requests, where the config says what good is.
fn good(page: &mut Page, findings: &Findings) {
    let goodput = findings.goodput.as_ref().filter(|goodput| !goodput.objectives.is_empty());
    let Some(goodput) = goodput else { return };
    let objectives: Vec<String> = goodput
        .objectives
        .iter()
        .map(|one| format!("{} {} ({} missed)", one.key, one.limit, one.missed))
        .collect();
    let fraction = goodput.good_request_fraction.value;
    let percent = fraction.map_or_else(String::new, |share| format!(", {:.1} %", 100.0 * share));
    page.field(
        "Goodput",
        &format!("{}{percent}: {}", shown(&goodput.requests_per_second), objectives.join(", ")),
    );
    page.field("J per good request", &with_doubt(&goodput.joules_per_good_request));
}

fn cautions(page: &mut Page, findings: &Findings) {
    if findings.warnings.is_empty() {
        return;
    }
    page.heading("Cautions");
    for warning in &findings.warnings {
        page.hanging("  ! ", &warning.message);
    }
}

pub(super) fn missing(figure: &Figure) -> String {
    format!("not known: {}", figure.reason.as_deref().unwrap_or("no reason given"))
}

pub(super) fn shown(figure: &Figure) -> String {
    figure
        .value
        .map_or_else(|| missing(figure), |value| format!("{} {}", digits(value), figure.unit))
}

/// A number with its two uncertainties and its source.
pub(super) fn with_doubt(figure: &Figure) -> String {
    let Some(value) = figure.value else { return missing(figure) };
    let mut text = digits(value);
    let uncertainty = figure.uncertainty.as_ref();
    if let Some(random) = uncertainty.map(|parts| parts.random).filter(|random| *random > 0.0) {
        text.push_str(&format!(" ± {} random", rough(random)));
    }
    match uncertainty.and_then(|parts| parts.systematic) {
        Some(bound) => text.push_str(&format!(" ± {} systematic", rough(bound))),
        None => text.push_str(" (systematic error not known)"),
    }
    match figure.source {
        Some(Source::Measured) | None => {}
        Some(source) => text.push_str(&format!(", {}", source_word(source))),
    }
    text
}

/// Four significant digits: as many as such figures can bear.
pub(super) fn digits(value: f64) -> String {
    significant(value, 4)
}

/// Two significant digits, for uncertainties.
pub(super) fn rough(value: f64) -> String {
    significant(value, 2)
}

/// Without an exponent where that stays readable; whole digits are never dropped.
fn significant(value: f64, count: i32) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "-".to_owned();
    }
    if size == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e7).contains(&size) {
        return format!("{value:.*e}", usize::try_from(count - 1).unwrap_or(0));
    }
    let whole_digits = size.log10().floor() as i32 + 1;
    let decimals = usize::try_from(count - whole_digits).unwrap_or(0);
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_show_four_significant_digits() {
        for (value, expected) in [
            (0.0, "0"),
            (123_456.7, "123457"),
            (12.345_67, "12.35"),
            (0.012_341, "0.01234"),
            (0.000_012_3, "1.230e-5"),
            (f64::NAN, "-"),
        ] {
            assert_eq!(digits(value), expected);
        }
    }

    #[test]
    fn long_texts_wrap_under_themselves() {
        let mut page = Page::default();
        page.field("Label", &"word ".repeat(60));
        assert!(page.text.lines().all(|line| line.chars().count() <= WIDTH));
        assert!(page.text.lines().skip(1).all(|line| line.starts_with(&" ".repeat(LABEL))));
    }
}
