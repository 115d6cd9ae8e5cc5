//! Emissions, water, cost and hardware, a line each; what nobody asked for is left out.

use crate::analysis::Findings;
use crate::analysis::findings::Figure;
use crate::analysis::footprint::Footprint;
use crate::record::CarbonFactor;

use super::{Page, missing, significant};

/// Factors of grids bear no more.
fn three(value: f64) -> String {
    significant(value, 3)
}

/// The lines.
pub(super) fn lines(page: &mut Page, findings: &Findings) {
    page.field("Emissions", &location_based(findings));
    let Some(footprint) = &findings.footprint else { return };
    if let Some(live) = &footprint.live {
        let table = live.table.as_ref().map_or_else(String::new, |table| {
            format!(
                "; the tables have {} gCO2e/kWh ({})",
                three(table.intensity.value()),
                described(table)
            )
        });
        page.field("", &format!("The grid's own hours, as {} told them{table}.", live.service));
    }
    if footprint.market.is_some() {
        page.field("  market-based", &with_note(&footprint.market_based));
    }
    let per = &footprint.per_million;
    let pair = [
        (&per.kwh_requests, &per.kgco2e_requests),
        (&per.kwh_output_tokens, &per.kgco2e_output_tokens),
    ];
    for (label, (energy, emissions)) in
        ["  a million requests", "  a million tokens"].iter().zip(pair)
    {
        let known: Vec<String> = [energy, emissions]
            .into_iter()
            .filter_map(|figure| Some(format!("{} {}", three(figure.value?), unit(figure))))
            .collect();
        if !known.is_empty() {
            page.field(label, &known.join(", "));
        }
    }
    rest(page, footprint);
}

fn rest(page: &mut Page, footprint: &Footprint) {
    if footprint.water.value.is_some() {
        page.field("Water", &with_note(&footprint.water));
    }
    if let Some(value) = footprint.cost.million_output_tokens.value {
        let cost = &footprint.cost.million_output_tokens;
        let note = cost.note.as_deref().unwrap_or_default();
        page.field("Electricity", &format!("{} {} ({note})", three(value), cost.unit));
    } else if footprint.cost.window.value.is_some() {
        page.field("Electricity", &with_note(&footprint.cost.window));
    }
    if footprint.embodied.value.is_some() {
        page.field("Hardware (assumed)", &with_note(&footprint.embodied));
        let sci = &footprint.sci;
        let known: Vec<String> = [&sci.request, &sci.million_output_tokens]
            .into_iter()
            .filter_map(|figure| Some(format!("{} {}", three(figure.value?), figure.unit)))
            .collect();
        page.field("SCI (assumed)", &known.join(", "));
    }
}

/// `kWh` of `kWh/million requests`.
fn unit(figure: &Figure) -> &str {
    figure.unit.split('/').next().unwrap_or_default()
}

fn with_note(figure: &Figure) -> String {
    let Some(value) = figure.value else { return missing(figure) };
    let note = figure.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
    format!("{} {}{note}", three(value), figure.unit)
}

fn location_based(findings: &Findings) -> String {
    let emissions = &findings.emissions;
    let (Some(value), Some(factor)) = (emissions.total.value, &emissions.factor) else {
        return emissions.total.value.map_or_else(
            || missing(&emissions.total),
            |value| format!("{} {}", three(value), emissions.total.unit),
        );
    };
    let doubt = findings
        .footprint
        .as_ref()
        .and_then(|footprint| footprint.factor_uncertainty.value)
        .map(|doubt| format!(" ± {} by the factor alone", significant(doubt, 2)))
        .unwrap_or_default();
    format!(
        "{} gCO2e{doubt} ({} a thousand requests): {}; {} gCO2e/kWh, {}",
        three(value),
        emissions.per_1000_requests.value.map_or_else(|| "-".to_owned(), three),
        emissions.basis,
        three(factor.intensity.value()),
        described(factor)
    )
}

/// Place, source, year and what the factor includes.
fn described(factor: &CarbonFactor) -> String {
    let place = [&factor.region, &factor.country_name].into_iter().flatten();
    let place: String = place.map(|name| format!("{name}, ")).collect();
    let year = factor.year.map(|year| format!(" {year}")).unwrap_or_default();
    format!("{place}{}{year}, {}", factor.source, factor.boundary.words())
}
