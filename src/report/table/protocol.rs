//! Repetitions, steady state and baseline in the summary.

use crate::analysis::Findings;
use crate::analysis::findings::{Account, Basis};
use crate::analysis::protocol::SteadyFindings;
use crate::analysis::repetition::{RepeatedFigure, RepetitionFindings, RepetitionRule};

use crate::record::Component;

use super::{LABEL, Page, digits, missing, rough, shown};

/// Figures that are shown; the others are in `report.json`.
const SHOWN: [(&str, &str); 4] = [
    ("joules_per_output_token", "J per output token"),
    ("joules_per_request", "J per request"),
    ("mean_power_w", "mean power, W"),
    ("output_tokens_per_second", "output tokens/s"),
];

pub(super) fn section(page: &mut Page, findings: &Findings) {
    let protocol = &findings.protocol;
    if protocol.repetitions.rows.len() > 1 {
        repetitions(page, &protocol.repetitions);
    }
    page.heading("Protocol");
    steady(page, &protocol.steady_state);
    baseline(page, headline_account(findings));
    if let Some(warm_up) = &protocol.warm_up {
        let state = if warm_up.steady { "steady" } else { "NOT steady" };
        page.field("Warm-up", &format!("{state} after {}; {}", shown(&warm_up.time), warm_up.what));
    }
    if let Some(share) = protocol.foreign_processor_share.value {
        page.field(
            "Others' processor use",
            &format!("{:.1} % of the machine's processors", 100.0 * share),
        );
    }
}

/// The account that the headline is made of.
fn headline_account(findings: &Findings) -> &Account {
    let energy = &findings.energy;
    let gpu = || energy.components.iter().find(|part| part.component == Component::Gpu);
    match findings.efficiency.basis {
        Basis::Gpu => gpu().map_or(&energy.measured.account, |part| &part.account),
        Basis::MeasuredTotal => &energy.measured.account,
        Basis::ModelledTotal => &energy.modelled.account,
        Basis::Nothing => &energy.combined.account,
    }
}

fn repetitions(page: &mut Page, found: &RepetitionFindings) {
    page.heading(&format!(
        "{:<LABEL$}{:>4}{:>10}{:>10}{:>22}{:>8}{:>12}{:>9}",
        format!("{} repetitions", found.rows.len()),
        "n",
        "mean",
        "sd",
        "95 % of the mean",
        "CV %",
        "drift %/rep",
        "p"
    ));
    for (key, label) in SHOWN {
        if let Some(figure) = found.figure(key) {
            repeated(page, label, figure);
        }
    }
    page.field("", &format!("{}: {}", found.unit.as_str(), rule(found)));
}

fn repeated(page: &mut Page, label: &str, figure: &RepeatedFigure) {
    let Some(mean) = figure.mean else {
        page.field(
            label,
            &format!("not known: {}", figure.missing.as_deref().unwrap_or("no reason given")),
        );
        return;
    };
    let known = figure.values.iter().flatten().count();
    let dash = || "-".to_owned();
    let interval = figure
        .interval_95
        .map_or_else(dash, |[low, high]| format!("{} to {}", digits(low), digits(high)));
    let percent = |value: f64| format!("{:.2}", 100.0 * value);
    let (drift, p) = figure.drift.map_or_else(
        || (dash(), dash()),
        |drift| (format!("{:+.2}", 100.0 * drift.per_repetition), format!("{:.3}", drift.p)),
    );
    page.line(&format!(
        "  {label:<width$}{known:>4}{:>10}{:>10}{interval:>22}{:>8}{drift:>12}{p:>9}",
        digits(mean),
        figure.std.map_or_else(dash, rough),
        figure.cv.map_or_else(dash, percent),
        width = LABEL - 2,
    ));
    if !figure.outliers.is_empty() {
        let which: Vec<String> =
            figure.outliers.iter().map(|number| format!("#{}", number + 1)).collect();
        page.field("", &format!("lying out (and counted): {}", which.join(", ")));
    }
}

fn rule(found: &RepetitionFindings) -> String {
    match &found.rule {
        RepetitionRule::Fixed => "the spread of the repetitions alone; a sensor's systematic error is the same in each and \
                                  comes on top"
            .to_owned(),
        RepetitionRule::TwoStage { first_stage, target_relative_ci, figure, reached, .. } => {
            let reached = reached.map_or_else(
                || "not known".to_owned(),
                |reached| format!("plus or minus {:.2} %", 100.0 * reached),
            );
            format!(
                "two stages, the first of {first_stage}, for plus or minus {:.2} % of {figure}; reached: {reached}",
                100.0 * target_relative_ci
            )
        }
    }
}

fn steady(page: &mut Page, found: &SteadyFindings) {
    let text = if found.duration.value.is_none() {
        format!("none: {}", found.duration.reason.as_deref().unwrap_or("no reason given"))
    } else {
        let share = found.share_of_measured.value.map_or_else(String::new, |share| {
            format!(" ({:.0} % of the measured window)", 100.0 * share)
        });
        let energy = match found.joules_per_output_token.value {
            Some(value) => format!("{} J per output token", digits(value)),
            None => format!("J per output token {}", missing(&found.joules_per_output_token)),
        };
        format!(
            "{}{share}: {energy}, {}, {}; {}",
            shown(&found.duration),
            shown(&found.mean_power),
            shown(&found.output_tokens_per_second),
            found.definition
        )
    };
    page.field("Steady state", &text);
}

fn baseline(page: &mut Page, account: &Account) {
    let (Some(net), Some(name)) = (account.net.value, &account.net_baseline) else {
        page.field("Net energy", &missing(&account.net));
        return;
    };
    let doubt = account.baseline_power.uncertainty.as_ref().map(|parts| rough(parts.random));
    let share = account
        .idle_share
        .value
        .map_or_else(String::new, |share| format!("; idle share {:.0} %", 100.0 * share));
    page.field(
        "Net energy",
        &format!(
            "{} J, less {} ± {} W ({name}){share}",
            digits(net),
            account.baseline_power.value.map_or_else(|| "-".to_owned(), digits),
            doubt.unwrap_or_else(|| "-".to_owned()),
        ),
    );
    let bare = [&account.bare_power_before, &account.bare_power_after];
    if bare.iter().any(|figure| figure.value.is_some()) {
        let watts: Vec<String> =
            bare.iter().map(|figure| figure.value.map_or_else(|| "-".to_owned(), digits)).collect();
        page.field("Bare machine", &format!("{} W before / after", watts.join(" / ")));
    }
}
