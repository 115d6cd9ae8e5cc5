//! Where the energy went: prefill, decode, failures, idling.

use crate::analysis::attribute::AttributionFindings;
use crate::analysis::findings::Figure;

use super::{Page, digits, missing, rough};

/// The section; nothing where there is nothing to split.
pub(super) fn section(page: &mut Page, found: &AttributionFindings) {
    let Some(weights) = &found.weights else {
        if let Some(reason) = &found.total.reason {
            page.heading("Energy by request");
            page.field("Not split", reason);
        }
        return;
    };
    page.heading("Energy by request and phase, beyond idling (± random ± systematic)");
    let worth_telling = |figure: &Figure| figure.value.is_some_and(|joules| joules != 0.0);
    let active = [&found.prefill, &found.decode, &found.failed, &found.warmup, &found.unattributed];
    if !active.into_iter().any(worth_telling) {
        page.field("", "Nothing was used beyond idling: there is nothing to split.");
        return;
    }
    part(page, "prefill", &found.prefill, &found.joules_per_prompt_token, "prompt token computed");
    part(page, "decode", &found.decode, &found.joules_per_decoded_token, "token decoded");
    if let Some(share) = found.prefill_share.value {
        let doubt = found.prefill_share.uncertainty.as_ref().map_or(0.0, |parts| parts.random);
        page.field(
            "prefill share",
            &format!("{:.1} % ± {} %", 100.0 * share, rough(100.0 * doubt)),
        );
    }
    if worth_telling(&found.failed) {
        let share = found.failed_share.value.map_or(f64::NAN, |share| 100.0 * share);
        let text = format!("{}, {share:.1} % of all", joules(&found.failed));
        page.field("failed requests", &text);
    }
    if worth_telling(&found.warmup) {
        page.field("warm-up requests", &joules(&found.warmup));
    }
    if worth_telling(&found.unattributed) {
        page.field("nobody in flight", &joules(&found.unattributed));
    }
    match (found.idle.value, found.idle_share.value) {
        (Some(idle), Some(share)) => page.field(
            "idling, apart",
            &format!("{} J, {:.1} % of {}", digits(idle), 100.0 * share, shown_total(found)),
        ),
        _ => page.field("idling", &missing(&found.idle)),
    }
    let each = &found.per_request;
    if let (Some(mean), Some(low), Some(high)) = (each.mean, each.min, each.max) {
        let text = format!("{} J, from {} to {}", digits(mean), digits(low), digits(high));
        page.field("a request, mean", &text);
    }
    page.field("how", &how(found, weights));
}

fn part(page: &mut Page, label: &str, energy: &Figure, each: &Figure, unit: &str) {
    let per = each.value.map(|value| format!("; {} J a {unit}", digits(value))).unwrap_or_default();
    page.field(label, &format!("{}{per}", joules(energy)));
}

/// Joules with both uncertainties.
fn joules(figure: &Figure) -> String {
    let Some(value) = figure.value else { return missing(figure) };
    let parts = figure.uncertainty.as_ref();
    let random = parts.map(|parts| format!(" ± {}", rough(parts.random))).unwrap_or_default();
    let systematic = parts
        .and_then(|parts| parts.systematic)
        .map(|bound| format!(" ± {}", rough(bound)))
        .unwrap_or_default();
    format!("{} J{random}{systematic}", digits(value))
}

fn shown_total(found: &AttributionFindings) -> String {
    found.total.value.map_or_else(|| missing(&found.total), |total| format!("{} J", digits(total)))
}

fn how(found: &AttributionFindings, weights: &crate::analysis::attribute::WeightFacts) -> String {
    let note = &weights.note;
    let timing = match (found.by_server_timings, found.by_estimate) {
        (0, _) => "estimated, from what the client saw".to_owned(),
        (_, 0) => "by the server's own timings".to_owned(),
        (told, estimated) => {
            format!("{told} by the server's own timings, {estimated} estimated")
        }
    };
    let interval = found.interval.value.map(digits).unwrap_or_default();
    format!(
        "{timing}; weights {}: {note}; intervals of {interval} s; a row a request in {}",
        weights.source.as_str(),
        crate::report::requests_energy::FILE
    )
}
