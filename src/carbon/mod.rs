//! Grams of CO2 equivalent: the tables, and which of their figures a config means.
//!
//! A place is what the config says, whatever network the machine is on. A place that no table knows is an
//! error with the nearest names, never a guess, because two places may be a factor of a hundred apart.

mod tables;

use std::cmp::Reverse;

use crate::config::component::metrics::MetricsConfig;
use crate::error::{Problem, Problems};
use crate::record::{CarbonBasis, CarbonFactor, Source};
use crate::units::GramsPerKwh;

pub use tables::{Country, Region, Table, table};

/// Who published the countries' figures.
pub const COUNTRY_SOURCE: &str = "Our World in Data, edition of May 2025, from Ember and the Energy Institute (CC BY 4.0): \
     production, life cycle, yearly average of the country";
/// Who published the US states' figures.
pub const USA_REGION_SOURCE: &str =
    "US EPA eGRID2023: production, at the stack, yearly average of the state (total output rate)";
/// How the Canadian provinces' figures came to be.
pub const CANADA_REGION_SOURCE: &str = "generation mix of 2023 as CodeCarbon 3.3.2 carries it, with its factors for coal, oil and gas: \
     production, at the stack, yearly average of the province";

const COUNTRY_KEY: &str = "metrics.country_iso_code";
const REGION_KEY: &str = "metrics.region";
const INTENSITY_KEY: &str = "metrics.carbon_intensity_g_per_kwh";
const NO_COUNTRY: &str = "metrics.country_iso_code is not set, so there is no carbon intensity";
const GIVE_A_FIGURE: &str = "give metrics.carbon_intensity_g_per_kwh instead";

/// The carbon intensity that a config asks for, with its pedigree.
///
/// # Errors
/// An unknown country or region (with the nearest names), a region without a country or of a country
/// without a table, an intensity that is not a number of at least 0, a PUE below 1. All at once.
pub fn resolve(metrics: &MetricsConfig) -> Result<CarbonBasis, Problems> {
    let mut problems = Problems::default();
    check_pue(metrics.pue, &mut problems);
    let country = find_or_report(metrics.country_iso_code.as_deref(), &mut problems);
    let region = find_region(metrics, country, &mut problems);
    let given = check_intensity(metrics.carbon_intensity_g_per_kwh, &mut problems);
    let factor = match given {
        Some(intensity) => Some(given_factor(intensity, country, region)),
        None => country.and_then(|country| table_factor(country, region, &mut problems)),
    };
    problems.into_result()?;
    let missing_reason = factor.is_none().then(|| NO_COUNTRY.to_owned());
    Ok(CarbonBasis { factor, missing_reason, pue: metrics.pue })
}

/// The country that a text means: alpha-3, alpha-2 or an English name, in any case.
#[must_use]
pub fn find_country(text: &str) -> Option<&'static Country> {
    let wanted = fold(text);
    let named = |country: &&Country| {
        [country.iso3.as_str(), country.iso2.as_str(), country.name.as_str()]
            .iter()
            .any(|name| fold(name) == wanted)
    };
    table().countries.iter().find(named).or_else(|| {
        let (_, iso3) = ALIASES.iter().find(|(alias, _)| fold(alias) == wanted)?;
        table().countries.iter().find(|country| country.iso3 == *iso3)
    })
}

/// Other English names in use; the table has one a country.
const ALIASES: [(&str, &str); 16] = [
    ("United States of America", "USA"),
    ("UK", "GBR"),
    ("Great Britain", "GBR"),
    ("Czech Republic", "CZE"),
    ("Türkiye", "TUR"),
    ("Ivory Coast", "CIV"),
    ("Republic of Korea", "KOR"),
    ("Korea, Republic of", "KOR"),
    ("Russian Federation", "RUS"),
    ("Viet Nam", "VNM"),
    ("Iran, Islamic Republic of", "IRN"),
    ("Taiwan, Province of China", "TWN"),
    ("Swaziland", "SWZ"),
    ("The Netherlands", "NLD"),
    ("The Gambia", "GMB"),
    ("The Bahamas", "BHS"),
];

fn check_pue(pue: f64, problems: &mut Problems) {
    if !pue.is_finite() || pue < 1.0 {
        problems.push(
            Problem::new("metrics.pue", format!("{pue} is not a PUE: it is 1 or more")).hint(
                "energy of the whole site over energy of its computers; leave it out when it is not known",
            ),
        );
    }
}

fn check_intensity(given: Option<f64>, problems: &mut Problems) -> Option<GramsPerKwh> {
    let value = given?;
    if value.is_finite() && value >= 0.0 {
        return Some(GramsPerKwh(value));
    }
    problems.push(
        Problem::new(INTENSITY_KEY, format!("{value} is not a carbon intensity"))
            .hint("grams of CO2 equivalent a kWh, 0 or more"),
    );
    None
}

fn find_or_report(text: Option<&str>, problems: &mut Problems) -> Option<&'static Country> {
    let text = text?;
    let found = find_country(text);
    if found.is_none() {
        problems.push(
            Problem::new(COUNTRY_KEY, format!("{text:?} is no country of the table"))
                .hint(country_hint(text)),
        );
    }
    found
}

fn country_hint(text: &str) -> String {
    let candidates = table().countries.iter().flat_map(|country| {
        let label = format!("{} ({})", country.iso3, country.name);
        [&country.iso3, &country.name].map(|name| (name.as_str(), label.clone()))
    });
    let near = nearest_labels(text, candidates);
    if near.is_empty() {
        format!("use an ISO 3166-1 code such as USA or DEU, or an English name; or {GIVE_A_FIGURE}")
    } else {
        format!("did you mean {}? Otherwise {GIVE_A_FIGURE}", near.join(", "))
    }
}

/// The labels of up to three candidates that look most like what was typed.
fn nearest_labels<'a>(
    typed: &str,
    candidates: impl Iterator<Item = (&'a str, String)>,
) -> Vec<String> {
    const NEAR: f64 = 0.78;
    const SHOWN: usize = 3;
    let typed = fold(typed);
    let mut scored: Vec<(f64, String)> = candidates
        .map(|(name, label)| (strsim::jaro_winkler(&typed, &fold(name)), label))
        .filter(|(score, _)| *score >= NEAR)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut labels: Vec<String> = Vec::new();
    for (_, label) in scored {
        if labels.len() < SHOWN && !labels.contains(&label) {
            labels.push(label);
        }
    }
    labels
}

fn find_region(
    metrics: &MetricsConfig,
    country: Option<&'static Country>,
    problems: &mut Problems,
) -> Option<&'static Region> {
    let text = metrics.region.as_deref()?;
    let Some(country) = country else {
        if metrics.country_iso_code.is_none() {
            problems.push(
                Problem::new(REGION_KEY, format!("{text:?} is given without a country"))
                    .hint(format!("set {COUNTRY_KEY}")),
            );
        }
        return None;
    };
    let known: Vec<&Region> = table().regions_of(&country.iso3).collect();
    if known.is_empty() {
        problems.push(no_region_table(text, country));
        return None;
    }
    let wanted = fold(text);
    let found =
        known.iter().find(|region| fold(&region.code) == wanted || fold(&region.name) == wanted);
    if found.is_none() {
        problems.push(unknown_region(text, country, &known));
    }
    found.copied()
}

fn no_region_table(text: &str, country: &Country) -> Problem {
    let mut with: Vec<&str> =
        table().regions.iter().map(|region| region.country_iso3.as_str()).collect();
    with.dedup();
    Problem::new(
        REGION_KEY,
        format!("there is no table of regions for {}, so {text:?} has no figure", country.name),
    )
    .hint(format!(
        "countries with regions: {}; leave it out to use the country's figure, or {GIVE_A_FIGURE}",
        with.join(", ")
    ))
}

fn unknown_region(text: &str, country: &Country, known: &[&Region]) -> Problem {
    let candidates = known.iter().flat_map(|region| {
        let label = format!("{} ({})", region.code, region.name);
        [&region.code, &region.name].map(|name| (name.as_str(), label.clone()))
    });
    let near = nearest_labels(text, candidates);
    let hint = if near.is_empty() {
        let codes: Vec<&str> = known.iter().map(|region| region.code.as_str()).collect();
        format!("one of {}, or the full name", codes.join(", "))
    } else {
        format!("did you mean {}?", near.join(", "))
    };
    Problem::new(REGION_KEY, format!("{text:?} is no region of {} in the table", country.name))
        .hint(hint)
}

fn given_factor(
    intensity: GramsPerKwh,
    country: Option<&Country>,
    region: Option<&Region>,
) -> CarbonFactor {
    CarbonFactor {
        intensity,
        country_iso_code: country.map(|country| country.iso3.clone()),
        country_name: country.map(|country| country.name.clone()),
        region: region.map(|region| region.name.clone()),
        kind: Source::Assumed,
        source: "given in the config".to_owned(),
        year: None,
    }
}

fn table_factor(
    country: &Country,
    region: Option<&Region>,
    problems: &mut Problems,
) -> Option<CarbonFactor> {
    let figure = match region {
        Some(region) => Some((region.intensity, region.year, region_source(&region.country_iso3))),
        None => {
            country.figure.map(|(intensity, year)| (intensity, year, COUNTRY_SOURCE.to_owned()))
        }
    };
    let Some((intensity, year, source)) = figure else {
        problems.push(
            Problem::new(
                COUNTRY_KEY,
                format!("{} is known, but no usable figure is published for it", country.name),
            )
            .hint(GIVE_A_FIGURE),
        );
        return None;
    };
    Some(CarbonFactor {
        intensity,
        country_iso_code: Some(country.iso3.clone()),
        country_name: Some(country.name.clone()),
        region: region.map(|region| region.name.clone()),
        kind: Source::Modelled,
        source,
        year: Some(year),
    })
}

/// Who published a country's regional figures.
#[must_use]
pub fn region_source(country_iso3: &str) -> String {
    if country_iso3 == "CAN" { CANADA_REGION_SOURCE } else { USA_REGION_SOURCE }.to_owned()
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
        line(&format!("regions of {code}"), years, &region_source(code))
    }));
    lines
}

/// Case and accents aside, as far as the names in the tables need it.
fn fold(text: &str) -> String {
    text.trim()
        .to_lowercase()
        .chars()
        .map(|letter| match letter {
            'é' | 'è' | 'ê' => 'e',
            'ü' => 'u',
            'ô' | 'ö' | 'ó' => 'o',
            'ç' => 'c',
            'ã' | 'á' | 'å' => 'a',
            'í' => 'i',
            '_' | '-' => ' ',
            other => other,
        })
        .collect()
}
