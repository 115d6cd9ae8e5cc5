//! Energy over what it bought, and its interval over the prompts; emissions.

use crate::record::{CarbonBasis, Component, RequestRecord, Source};
use crate::units::{GramsCo2e, JOULES_PER_WATT_HOUR, Joules, Nanos};

use super::energy::Metering;
use super::findings::{
    Attribution, Basis, BootstrapFacts, Counts, Efficiency, Emissions, EnergyFindings, Figure,
    Latency, Tokens,
};
use super::peak;
use super::stats::{self, BOOTSTRAP_SEED, FEW_PROMPTS, Summary};
use super::window::Window;

/// Which energy the headline is made of, and its parts.
///
/// The GPU's when a GPU was counted, else all that was measured, else all that was modelled. A
/// counted GPU that failed stays the basis: its null is not replaced by something else.
pub(super) fn basis(energy: &EnergyFindings) -> (Basis, Vec<Component>) {
    let gpu = energy.components.iter().any(|part| part.component == Component::Gpu && part.counted);
    if gpu {
        (Basis::Gpu, vec![Component::Gpu])
    } else if !energy.measured.included.is_empty() {
        (Basis::MeasuredTotal, energy.measured.included.clone())
    } else if !energy.modelled.included.is_empty() {
        (Basis::ModelledTotal, energy.modelled.included.clone())
    } else {
        (Basis::Nothing, Vec::new())
    }
}

/// The parts of the machine whose energy the headline is.
#[must_use]
pub fn headline_parts(energy: &EnergyFindings) -> Vec<Component> {
    basis(energy).1
}

/// Gross energy of the headline's parts.
pub(super) fn gross(energy: &EnergyFindings) -> Figure {
    match basis(energy).0 {
        Basis::Gpu => {
            energy.components.iter().find(|part| part.component == Component::Gpu).map_or_else(
                || Figure::unknown(Joules::UNIT, "no GPU was counted"),
                |part| part.account.gross.clone(),
            )
        }
        Basis::MeasuredTotal => energy.measured.account.gross.clone(),
        Basis::ModelledTotal => energy.modelled.account.gross.clone(),
        Basis::Nothing => energy.combined.account.gross.clone(),
    }
}

/// Names of parts in a row: `gpu + cpu`.
#[must_use]
pub fn names(parts: &[Component]) -> String {
    parts.iter().map(|part| part.as_str()).collect::<Vec<_>>().join(" + ")
}

fn basis_note(basis: Basis, parts: &[Component]) -> String {
    match basis {
        Basis::Gpu => "gross energy of the counted GPUs".to_owned(),
        Basis::MeasuredTotal => {
            format!("gross energy of everything measured ({}); no GPU was counted", names(parts))
        }
        Basis::ModelledTotal => {
            format!("gross energy by models ({}); nothing was measured", names(parts))
        }
        Basis::Nothing => "nothing was metered".to_owned(),
    }
}

/// What energy is set against.
pub struct Bought<'a> {
    /// Requests that were measured.
    pub requests: &'a [&'a RequestRecord],
    /// How many.
    pub counts: &'a Counts,
    /// Their tokens.
    pub tokens: &'a Tokens,
    /// Their times.
    pub latency: &'a Latency,
}

/// Energy per token and per request.
#[must_use]
pub fn efficiency(
    metering: &Metering<'_>,
    energy: &EnergyFindings,
    bought: &Bought<'_>,
) -> Efficiency {
    let Bought { requests, counts, tokens, latency } = *bought;
    let (basis, parts) = basis(energy);
    let gross = gross(energy);
    let succeeded = Some(counts.succeeded as f64);
    let nothing = "no request succeeded";
    let mut wh_per_1000 = gross.per(
        succeeded.map(|count| count * JOULES_PER_WATT_HOUR / 1000.0),
        "Wh/1000 requests",
        nothing,
    );
    let mut bootstrap = None;
    if wh_per_1000.value.is_some() {
        match interval(metering, &parts, requests) {
            Ok((ends, facts)) => {
                wh_per_1000.interval_95 = Some(ends);
                wh_per_1000.note = Some(interval_note(&facts));
                bootstrap = Some(facts);
            }
            Err(reason) => wh_per_1000.note = Some(format!("no interval: {reason}")),
        }
    }
    let tokens_reason = |figure: &Figure| {
        figure.reason.clone().unwrap_or_else(|| "there are no output tokens".to_owned())
    };
    let output = tokens.completion.value;
    let per_request = gross.per(succeeded, "J/request", nothing);
    Efficiency {
        basis,
        basis_note: basis_note(basis, &parts),
        joules_per_output_token: gross.per(output, "J/token", &tokens_reason(&tokens.completion)),
        joules_per_total_token: gross.per(
            tokens.total.value,
            "J/token",
            &tokens_reason(&tokens.total),
        ),
        energy_delay_product: energy_delay_product(&per_request, &latency.e2e),
        joules_per_request: per_request,
        output_tokens_per_joule: inverse(&gross, &tokens.completion),
        total_tokens_per_joule: inverse(&gross, &tokens.total),
        peak_power: peak::peaks(metering, &parts),
        wh_per_1000_requests: wh_per_1000,
        bootstrap,
        mean_power: metering.mean_power(&gross),
    }
}

/// Unit of energy times time.
const EDP_UNIT: &str = "J*s";

/// Energy for each request times its mean time.
fn energy_delay_product(per_request: &Figure, e2e: &Summary) -> Figure {
    match e2e.mean {
        Some(mean) => per_request.scaled(mean, EDP_UNIT),
        None => Figure::unknown(EDP_UNIT, e2e.reason.clone().unwrap_or_default()),
    }
}

pub(super) fn inverse(gross: &Figure, tokens: &Figure) -> Figure {
    let unit: &str = if tokens.unit == "request" { "request/J" } else { "token/J" };
    let (Some(joules), Some(source)) = (gross.value, gross.source) else {
        return Figure::unknown(unit, gross.reason.clone().unwrap_or_default());
    };
    let Some(tokens_value) = tokens.value else {
        return Figure::unknown(unit, tokens.reason.clone().unwrap_or_default());
    };
    if joules <= 0.0 {
        return Figure::unknown(unit, "the energy is zero");
    }
    let mut figure = Figure::known(tokens_value / joules, unit, source);
    // To first order the relative uncertainty of 1/x is that of x.
    figure.uncertainty = gross.scaled(tokens_value / (joules * joules), unit).uncertainty;
    figure
}

fn interval_note(facts: &BootstrapFacts) -> String {
    let mut note = "the interval is the spread from prompt to prompt; the sensors' uncertainty stands beside it"
        .to_owned();
    if (facts.prompts as usize) < FEW_PROMPTS {
        note.push_str("; with so few prompts it is too narrow");
    }
    note
}

/// The interval of Wh per 1000 requests: joules of each request, resampled with its success.
fn interval(
    metering: &Metering<'_>,
    parts: &[Component],
    requests: &[&RequestRecord],
) -> Result<([f64; 2], BootstrapFacts), String> {
    let shares = share_out(metering, parts, requests)?;
    let pairs: Vec<(f64, f64)> = shares
        .joules
        .iter()
        .zip(&shares.order)
        .map(|(joules, request)| (joules.0, if request.is_ok() { 1.0 } else { 0.0 }))
        .collect();
    let interval = stats::bootstrap_ratio(&pairs, BOOTSTRAP_SEED)?;
    let factor = 1000.0 / JOULES_PER_WATT_HOUR;
    let facts = BootstrapFacts {
        method: "percentile bootstrap over prompts of (sum of joules / successes), 95 %".to_owned(),
        seed: BOOTSTRAP_SEED,
        resamples: interval.resamples,
        prompts: pairs.len() as u64,
        attribution: shares.attribution,
        attribution_rule: shares.rule,
    };
    Ok((interval.ends.map(|end| end * factor), facts))
}

/// Energy of each request; the sum is the window's.
struct Shares<'a> {
    order: Vec<&'a RequestRecord>,
    joules: Vec<Joules>,
    attribution: Attribution,
    rule: String,
}

fn share_out<'a>(
    metering: &Metering<'_>,
    parts: &[Component],
    requests: &[&'a RequestRecord],
) -> Result<Shares<'a>, String> {
    let mut order = requests.to_vec();
    order.sort_by_key(|request| (request.sent_ns, request.index));
    let overlap = order.windows(2).any(|pair| pair[1].sent_ns < pair[0].end_ns);
    if overlap {
        return by_tokens(metering, parts, order);
    }
    let ends = slice_ends(metering, &order);
    let mut joules = Vec::with_capacity(order.len());
    let mut resolved = true;
    for (request, to) in order.iter().zip(ends) {
        let slice = Window { from: request.sent_ns, to };
        joules.push(between_sendings(metering, parts, slice)?);
        resolved &= metering.energy_of(parts, slice).is_ok();
    }
    let rule = "energy from one sending to the next";
    Ok(Shares {
        order,
        joules,
        attribution: if resolved { Attribution::Measured } else { Attribution::Estimated },
        rule: if resolved {
            rule.to_owned()
        } else {
            format!("{rule}; some requests are shorter than the sensors resolve")
        },
    })
}

/// Where each request's slice ends: at the next sending of its repetition, or with that.
fn slice_ends(metering: &Metering<'_>, order: &[&RequestRecord]) -> Vec<Nanos> {
    let next = order.iter().skip(1).map(|next| Some(next.sent_ns)).chain([None]);
    order
        .iter()
        .zip(next)
        .map(|(request, next)| {
            let holds =
                |window: &&Window| window.from <= request.sent_ns && request.end_ns <= window.to;
            let end =
                metering.windows.iter().find(holds).map_or(request.end_ns, |window| window.to);
            next.map_or(end, |next| next.min(end))
        })
        .collect()
}

fn between_sendings(
    metering: &Metering<'_>,
    parts: &[Component],
    slice: Window,
) -> Result<Joules, String> {
    let mut sum = Joules::ZERO;
    for channel in parts.iter().flat_map(|part| metering.counted(*part)) {
        let curve = channel.curve.as_ref().map_err(ToString::to_string)?;
        let whole = curve.share(slice).map_err(|reason| reason.to_string())?;
        sum += whole * metering.counted_part(channel.info.component, slice)?;
    }
    Ok(sum)
}

fn by_tokens<'a>(
    metering: &Metering<'_>,
    parts: &[Component],
    order: Vec<&'a RequestRecord>,
) -> Result<Shares<'a>, String> {
    let energy = metering.measured_energy(parts)?.joules;
    let tokens: Vec<f64> = order
        .iter()
        .map(|request| match request.tokens.completion {
            Some(count) => Ok(count as f64),
            None if !request.is_ok() => Ok(0.0),
            None => Err("requests overlapped and their output tokens are not known".to_owned()),
        })
        .collect::<Result<_, _>>()?;
    let sum: f64 = tokens.iter().sum();
    if sum <= 0.0 {
        return Err("requests overlapped and there are no output tokens to share by".to_owned());
    }
    if tokens.windows(2).all(|pair| pair[0].total_cmp(&pair[1]).is_eq()) && tokens.len() > 1 {
        // Resampling equal shares gives an interval of no width, which would claim to know what it does not.
        return Err(
            "requests overlapped and produced equally many tokens: their shares are equal \
                    by construction and say nothing of the spread"
                .to_owned(),
        );
    }
    let joules = tokens.iter().map(|count| energy * (count / sum)).collect();
    Ok(Shares {
        order,
        joules,
        attribution: Attribution::Estimated,
        rule: "requests overlapped: the window's energy in proportion to output tokens".to_owned(),
    })
}

/// Emissions of the measured window: gross energy times PUE times the factor.
#[must_use]
pub fn emissions(energy: &EnergyFindings, carbon: &CarbonBasis, counts: &Counts) -> Emissions {
    let of = |joules: &Figure| match &carbon.factor {
        _ if joules.value.is_none() => joules.scaled(1.0, GramsCo2e::UNIT),
        Some(factor) => {
            let grams = Joules(carbon.pue).emissions(factor.intensity).0;
            let mut figure = joules.scaled(grams, GramsCo2e::UNIT);
            // A factor is a statistic of a grid, not a reading.
            figure.source = figure.source.map(|source| source.max(Source::Modelled));
            figure.note("the factor's own uncertainty is not inside: it stands beside")
        }
        None => Figure::unknown(
            GramsCo2e::UNIT,
            carbon.missing_reason.clone().unwrap_or_else(|| "no carbon intensity".to_owned()),
        ),
    };
    let total = of(&energy.combined.account.gross);
    Emissions {
        factor: carbon.factor.clone(),
        pue: carbon.pue,
        basis: emissions_basis(energy, carbon.pue),
        included: energy.combined.included.clone(),
        per_1000_requests: total.per(
            Some(counts.succeeded as f64 / 1000.0),
            "gCO2e/1000 requests",
            "no request succeeded",
        ),
        measured: of(&energy.measured.account.gross),
        modelled: of(&energy.modelled.account.gross),
        total,
    }
}

fn emissions_basis(energy: &EnergyFindings, pue: f64) -> String {
    let mut parts = Vec::new();
    if !energy.measured.included.is_empty() {
        parts.push(format!("{} (measured)", names(&energy.measured.included)));
    }
    if !energy.modelled.included.is_empty() {
        parts.push(format!("{} (modelled)", names(&energy.modelled.included)));
    }
    if parts.is_empty() {
        return "nothing was metered".to_owned();
    }
    format!("gross energy of {}, times a PUE of {pue}", parts.join(" and "))
}
