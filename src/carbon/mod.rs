//! Grams of CO2 equivalent, litres and cost: the tables, and which of their figures a config means.
//!
//! A place is what the config says, whatever network the machine is on. A place that no table knows is an
//! error with the nearest names, never a guess, because two places may be a factor of a hundred apart.
//! [`codecarbon`] has CodeCarbon's own tables and rules for `metrics.type: codecarbon`, [`live`] the grid's
//! intensity of the run's own hours.

pub mod codecarbon;
pub mod live;
mod place;
mod tables;

use std::cmp::Reverse;

use crate::config::component::metrics::{CodecarbonCompat, KIND_CODECARBON, MetricsConfig};
use crate::error::{Problem, Problems};
use crate::record::{
    CarbonBasis, CarbonFactor, CarbonMethod, ElectricityPrice, Embodied, FactorEmissions,
    FactorFlow, LiveIntensity, MarketFactor, Warning,
};
use crate::units::GramsPerKwh;

pub use place::find_country;
use place::{fold, half_a_cloud, nearest_labels, publishes_nothing};
pub use tables::{CloudRegion, Country, Region, Subregion, Table, table};

/// Who published the countries' figures.
pub const COUNTRY_SOURCE: &str =
    "Our World in Data, edition of May 2025, from Ember and the Energy Institute (CC BY 4.0)";
/// Who published the US states' figures.
pub const USA_REGION_SOURCE: &str = "US EPA eGRID2023, state total output rate";
/// How the Canadian provinces' figures came to be.
pub const CANADA_REGION_SOURCE: &str =
    "generation mix of 2023 as CodeCarbon 3.3.2 carries it, with its factors for coal, oil and gas";
/// Who published the Chinese provinces' figures.
pub const CHINA_REGION_SOURCE: &str =
    "Chinese MEE/NBS announcement 2025 No. 47 (CO2 only), as CodeCarbon 3.3.2 carries it";
/// How the Nordic bidding zones' figures came to be.
pub const NORDIC_REGION_SOURCE: &str = "ENTSO-E generation of 2025 with CodeCarbon 3.3.2's factors by fuel, a lower bound where fuels have none";
/// Who published the eGRID subregions' figures.
pub const SUBREGION_SOURCE: &str =
    "US EPA eGRID2023, subregion total output rates of CO2, CH4 and N2O, warming by IPCC AR5";
/// Who published the figures of Google's cloud.
pub const GOOGLE_SOURCE: &str = "Google, carbon data of cloud regions, 2024 (Apache-2.0)";
/// Share by which a yearly figure of a grid moves from one edition to the next.
const SPREAD: f64 = 0.087;
const SPREAD_SOURCE: &str = "two thirds of 212 countries moved by less between two editions of the same table, a year or less apart";
/// The service that tells live intensities.
pub const LIVE_SERVICE: &str = "Electricity Maps";

const COUNTRY_KEY: &str = "metrics.country_iso_code";
const REGION_KEY: &str = "metrics.region";
const SUBREGION_KEY: &str = "metrics.grid_subregion";
const CLOUD_PROVIDER_KEY: &str = "metrics.cloud_provider";
const CLOUD_REGION_KEY: &str = "metrics.cloud_region";
const INTENSITY_KEY: &str = "metrics.carbon_intensity_g_per_kwh";
const MARKET_KEY: &str = "metrics.market_intensity_g_per_kwh";
const LIVE_KEY: &str = "metrics.live_intensity";
const NO_COUNTRY: &str = "metrics.country_iso_code is not set, so there is no carbon intensity";
const GIVE_A_FIGURE: &str = "give metrics.carbon_intensity_g_per_kwh instead";

/// What a config asks emissions, water and cost to be computed with, each figure with its pedigree.
///
/// `has_token` says whether the environment has the token of the live service.
///
/// # Errors
/// An unknown place (with the nearest names), a region without a country or of a country without a table, a
/// figure out of its range, half of a pair. All at once.
pub fn resolve(metrics: &MetricsConfig, has_token: bool) -> Result<CarbonBasis, Problems> {
    let mut problems = Problems::default();
    check_pue(metrics.pue, &mut problems);
    let given = at_least_zero(INTENSITY_KEY, metrics.carbon_intensity_g_per_kwh, &mut problems);
    let method = method(metrics);
    let mut notes = Vec::new();
    let mut factor = match given {
        Some(intensity) => Some(place::given(GramsPerKwh(intensity), metrics, &mut problems)),
        None if method.is_codecarbon() => {
            codecarbon_factor(metrics, method, &mut notes, &mut problems)
        }
        None => own_factor(metrics, &mut notes, &mut problems),
    };
    if let (Some(factor), Some(share)) = (
        factor.as_mut(),
        at_least_zero(
            "metrics.carbon_intensity_uncertainty",
            metrics.carbon_intensity_uncertainty,
            &mut problems,
        ),
    ) {
        factor.relative_uncertainty = Some(share);
        factor.uncertainty_source = Some("given in the config".to_owned());
    }
    notes.extend(pue_on_parts(metrics));
    let live = live(metrics, has_token, given, factor.as_ref(), &mut problems);
    let basis = CarbonBasis {
        missing_reason: factor.is_none().then(|| NO_COUNTRY.to_owned()),
        method,
        market: market(metrics, &mut problems),
        wue: at_least_zero("metrics.wue", metrics.wue, &mut problems),
        price: price(metrics, &mut problems),
        embodied: embodied(metrics, &mut problems),
        live,
        notes,
        ..CarbonBasis::new(factor, None, metrics.pue)
    };
    problems.into_result()?;
    Ok(basis)
}

fn method(metrics: &MetricsConfig) -> CarbonMethod {
    match (metrics.kind == KIND_CODECARBON, metrics.codecarbon_compat) {
        (false, _) => CarbonMethod::Energy,
        (true, CodecarbonCompat::Corrected) => CarbonMethod::Codecarbon,
        (true, CodecarbonCompat::Exact) => CarbonMethod::CodecarbonExact,
    }
}

fn codecarbon_factor(
    metrics: &MetricsConfig,
    method: CarbonMethod,
    notes: &mut Vec<Warning>,
    problems: &mut Problems,
) -> Option<CarbonFactor> {
    if let Some(text) = &metrics.grid_subregion {
        problems.push(
            Problem::new(SUBREGION_KEY, format!("{text:?}: CodeCarbon has no eGRID subregions"))
                .hint("set metrics.type: energy"),
        );
    }
    let place = codecarbon::Place {
        country: metrics.country_iso_code.as_deref(),
        region: metrics.region.as_deref(),
        cloud_provider: metrics.cloud_provider.as_deref(),
        cloud_region: metrics.cloud_region.as_deref(),
    };
    match codecarbon::find(place, method == CarbonMethod::CodecarbonExact) {
        Ok(found) => {
            let found = found?;
            notes.extend(found.warnings);
            Some(found.factor)
        }
        Err(found) => {
            problems.0.extend(found.0);
            None
        }
    }
}

fn own_factor(
    metrics: &MetricsConfig,
    notes: &mut Vec<Warning>,
    problems: &mut Problems,
) -> Option<CarbonFactor> {
    let factor = place::find(metrics, problems)?;
    if let (Some(provider), None) = (&metrics.cloud_provider, &factor.cloud) {
        notes.push(Warning::new(
            "no_cloud_factor",
            format!(
                "{provider} publishes no carbon intensity of its regions: the figure of {COUNTRY_KEY} is counted"
            ),
        ));
    }
    Some(factor)
}

fn check_pue(pue: f64, problems: &mut Problems) {
    if !pue.is_finite() || pue < 1.0 {
        problems.push(
            Problem::new("metrics.pue", format!("{pue} is not a PUE: it is 1 or more")).hint(
                "energy of the whole site over energy of its computers; leave it out when it is not known",
            ),
        );
    }
}

/// A PUE is of all the IT equipment, and what is counted here is a part of it.
fn pue_on_parts(metrics: &MetricsConfig) -> Option<Warning> {
    let parts = [(metrics.gpu, "GPU"), (metrics.cpu, "CPU"), (metrics.ram, "RAM")];
    let counted: Vec<&str> = parts.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
    (metrics.pue > 1.0).then(|| {
        Warning::new(
            "pue_on_partial_scope",
            format!(
                "a PUE ({}) is the site's energy over that of all its IT equipment; what is counted here ({}) leaves out \
                 fans, power supplies, disks and network, so energy times PUE is less than the site's",
                metrics.pue,
                counted.join(", ")
            ),
        )
    })
}

fn at_least_zero(key: &str, value: Option<f64>, problems: &mut Problems) -> Option<f64> {
    let value = value?;
    if value.is_finite() && value >= 0.0 {
        return Some(value);
    }
    problems
        .push(Problem::new(key, format!("{value} is out of range")).hint("a number, 0 or more"));
    None
}

/// Zero is a figure here only because someone wrote it, with what it rests on.
fn market(metrics: &MetricsConfig, problems: &mut Problems) -> Option<MarketFactor> {
    let intensity = at_least_zero(MARKET_KEY, metrics.market_intensity_g_per_kwh, problems);
    match (intensity, metrics.market_instrument, &metrics.market_source) {
        (Some(intensity), Some(instrument), source) => Some(MarketFactor {
            intensity: GramsPerKwh(intensity),
            instrument: instrument.as_str().to_owned(),
            source: source.clone().unwrap_or_else(|| "given in the config".to_owned()),
        }),
        (Some(_), None, _) => {
            problems.push(
                Problem::new(
                    "metrics.market_instrument",
                    format!("it is not set, though {MARKET_KEY} is"),
                )
                .hint("supplier, contract, certificates or residual_mix"),
            );
            None
        }
        (None, None, None) => None,
        (None, ..) => {
            if metrics.market_intensity_g_per_kwh.is_none() {
                problems.push(
                    Problem::new(MARKET_KEY, "it is not set, though what it rests on is")
                        .hint("the figure itself; a contract for renewable electricity is not 0 by itself"),
                );
            }
            None
        }
    }
}

fn price(metrics: &MetricsConfig, problems: &mut Problems) -> Option<ElectricityPrice> {
    const PRICE: &str = "metrics.electricity_price_per_kwh";
    const CURRENCY: &str = "metrics.electricity_currency";
    let per_kwh = at_least_zero(PRICE, metrics.electricity_price_per_kwh, problems);
    match (per_kwh, &metrics.electricity_currency) {
        (Some(per_kwh), Some(currency)) => {
            Some(ElectricityPrice { per_kwh, currency: currency.clone() })
        }
        (Some(_), None) => {
            problems.push(
                Problem::new(CURRENCY, format!("it is not set, though {PRICE} is"))
                    .hint("USD, EUR, ..."),
            );
            None
        }
        (None, Some(_)) if metrics.electricity_price_per_kwh.is_none() => {
            problems.push(Problem::new(PRICE, format!("it is not set, though {CURRENCY} is")));
            None
        }
        (None, _) => None,
    }
}

fn embodied(metrics: &MetricsConfig, problems: &mut Problems) -> Option<Embodied> {
    const MADE: &str = "metrics.embodied_kgco2e";
    const YEARS: &str = "metrics.hardware_lifetime_years";
    let share = metrics.hardware_share;
    if !(share > 0.0 && share <= 1.0) {
        problems.push(
            Problem::new("metrics.hardware_share", format!("{share} is out of range"))
                .hint("above 0, up to 1: 0.5 for four of a server's eight GPUs"),
        );
    }
    let kgco2e = at_least_zero(MADE, metrics.embodied_kgco2e, problems);
    match (kgco2e, metrics.hardware_lifetime_years) {
        (Some(kgco2e), Some(years)) if years.is_finite() && years > 0.0 => {
            Some(Embodied { kgco2e, lifetime_years: years, share })
        }
        (_, Some(years)) if !(years.is_finite() && years > 0.0) => {
            problems.push(Problem::new(YEARS, format!("{years} is out of range")).hint("above 0"));
            None
        }
        (Some(_), None) => {
            problems.push(
                Problem::new(YEARS, format!("it is not set, though {MADE} is"))
                    .hint("years of use: 4 to 6 for servers"),
            );
            None
        }
        (None, Some(_)) if metrics.embodied_kgco2e.is_none() => {
            problems.push(Problem::new(MADE, format!("it is not set, though {YEARS} is")));
            None
        }
        _ => None,
    }
}

/// What the live service will be asked, when it can be and nothing given stands against it.
fn live(
    metrics: &MetricsConfig,
    has_token: bool,
    given: Option<f64>,
    factor: Option<&CarbonFactor>,
    problems: &mut Problems,
) -> Option<LiveIntensity> {
    let token = &metrics.electricity_maps_token_env;
    if metrics.live_intensity == Some(true) && !has_token {
        problems.push(
            Problem::new(LIVE_KEY, format!("{LIVE_SERVICE} needs a token, and {token} is not set"))
                .hint("put the token into that environment variable, or name another in metrics.electricity_maps_token_env"),
        );
        return None;
    }
    if !metrics.live_intensity.unwrap_or(has_token) {
        return None;
    }
    if given.is_some() {
        if metrics.live_intensity == Some(true) {
            problems.push(Problem::new(
                LIVE_KEY,
                format!("it contradicts {INTENSITY_KEY}, which is set"),
            ));
        }
        return None;
    }
    let zone = metrics.electricity_maps_zone.clone().or_else(|| {
        let iso3 = factor?.country_iso_code.as_deref()?;
        Some(table().countries.iter().find(|country| country.iso3 == iso3)?.iso2.clone())
    });
    if zone.is_none() && metrics.live_intensity == Some(true) {
        problems.push(
            Problem::new(LIVE_KEY, format!("{LIVE_SERVICE} has to be told a place"))
                .hint(format!("set metrics.electricity_maps_zone or {COUNTRY_KEY}")),
        );
    }
    zone.map(|zone| LiveIntensity { service: LIVE_SERVICE.to_owned(), zone })
}

/// Who published a country's regional figures, and what they include.
#[must_use]
fn region_source(country_iso3: &str) -> (&'static str, (FactorEmissions, FactorFlow)) {
    match country_iso3 {
        "CAN" => (CANADA_REGION_SOURCE, (FactorEmissions::Direct, FactorFlow::Production)),
        "CHN" => (CHINA_REGION_SOURCE, (FactorEmissions::Direct, FactorFlow::Consumption)),
        "SWE" | "NOR" => {
            (NORDIC_REGION_SOURCE, (FactorEmissions::LifeCycle, FactorFlow::Production))
        }
        _ => (USA_REGION_SOURCE, (FactorEmissions::Direct, FactorFlow::Production)),
    }
}

/// Tables with their vintage, one line each, for listings: name, rows, years, source.
#[must_use]
pub fn vintages() -> Vec<String> {
    let line = |name: &str, years: Vec<u16>, source: &str| {
        let newest = years.iter().max().copied().unwrap_or_default();
        let at_newest = years.iter().filter(|year| **year == newest).count();
        let oldest = years.iter().min().copied().unwrap_or_default();
        format!(
            "{name}: {} figures of {oldest} to {newest} ({at_newest} of {newest}); {source}",
            years.len()
        )
    };
    let mut lines = vec![line(
        "countries",
        table().countries.iter().filter_map(|country| Some(country.figure?.1)).collect(),
        COUNTRY_SOURCE,
    )];
    let mut codes: Vec<&str> =
        table().regions.iter().map(|region| region.country_iso3.as_str()).collect();
    codes.dedup();
    codes.sort_by_key(|code| Reverse(table().regions_of(code).count()));
    lines.extend(codes.into_iter().map(|code| {
        let years = table().regions_of(code).map(|region| region.year).collect();
        line(&format!("regions of {code}"), years, region_source(code).0)
    }));
    let subregions = table().subregions.iter().map(|row| row.year).collect();
    lines.push(line("eGRID subregions", subregions, SUBREGION_SOURCE));
    let clouds = table().cloud_regions.iter().map(|row| row.year).collect();
    lines.push(line("cloud regions (gcp)", clouds, GOOGLE_SOURCE));
    lines
}
