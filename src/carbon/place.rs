//! What this program's own tables say of a place: country, state or province, eGRID subregion, cloud region.

use crate::config::component::metrics::MetricsConfig;
use crate::error::{Problem, Problems};
use crate::record::{
    Averaging, CarbonFactor, CloudPlace, FactorBoundary, FactorEmissions, FactorFlow, Source,
};
use crate::units::GramsPerKwh;

use super::tables::{CloudRegion, Country, Region, Subregion, table};
use super::{
    CLOUD_PROVIDER_KEY, CLOUD_REGION_KEY, COUNTRY_KEY, COUNTRY_SOURCE, GIVE_A_FIGURE,
    GOOGLE_SOURCE, REGION_KEY, SPREAD, SPREAD_SOURCE, SUBREGION_KEY, SUBREGION_SOURCE,
    region_source,
};

/// The figure that this program's tables have for the place of a config; none where it names no place. A cloud region
/// comes before a subregion, that before a state or province, that before the country.
pub(super) fn find(metrics: &MetricsConfig, problems: &mut Problems) -> Option<CarbonFactor> {
    let before = problems.0.len();
    let cloud = find_cloud(metrics, problems);
    let country = find_or_report(metrics.country_iso_code.as_deref(), problems);
    let subregion = find_subregion(metrics, country, problems);
    let region = find_region(metrics, country, problems);
    if problems.0.len() > before {
        return None;
    }
    match (cloud, subregion) {
        (Some(row), _) => Some(cloud_factor(row)),
        (None, Some(row)) => Some(subregion_factor(row)),
        (None, None) => table_factor(country?, region, problems),
    }
}

/// The place of a figure that the config gives itself.
pub(super) fn given(
    intensity: GramsPerKwh,
    metrics: &MetricsConfig,
    problems: &mut Problems,
) -> CarbonFactor {
    let country = find_or_report(metrics.country_iso_code.as_deref(), problems);
    CarbonFactor {
        intensity,
        country_iso_code: country.map(|country| country.iso3.clone()),
        country_name: country.map(|country| country.name.clone()),
        region: metrics.region.clone(),
        kind: Source::Assumed,
        source: "given in the config".to_owned(),
        year: None,
        boundary: FactorBoundary::default(),
        relative_uncertainty: None,
        uncertainty_source: None,
        cloud: None,
    }
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
pub(super) fn nearest_labels<'a>(
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

fn find_subregion(
    metrics: &MetricsConfig,
    country: Option<&'static Country>,
    problems: &mut Problems,
) -> Option<&'static Subregion> {
    let text = metrics.grid_subregion.as_deref()?;
    if let Some(country) = country.filter(|country| !matches!(country.iso3.as_str(), "USA" | "PRI"))
    {
        problems.push(
            Problem::new(
                SUBREGION_KEY,
                format!("{text:?}: eGRID has no subregions of {}", country.name),
            )
            .hint("it is for the USA"),
        );
        return None;
    }
    let wanted = fold(text);
    let found = table()
        .subregions
        .iter()
        .find(|row| fold(&row.code) == wanted || fold(&row.name) == wanted);
    if found.is_none() {
        let codes: Vec<&str> = table().subregions.iter().map(|row| row.code.as_str()).collect();
        problems.push(
            Problem::new(SUBREGION_KEY, format!("{text:?} is no eGRID subregion"))
                .hint(format!("one of {}", codes.join(", "))),
        );
    }
    found
}

fn find_cloud(metrics: &MetricsConfig, problems: &mut Problems) -> Option<&'static CloudRegion> {
    let (provider, region) = match (&metrics.cloud_provider, &metrics.cloud_region) {
        (None, None) => return None,
        (Some(provider), Some(region)) => (provider, region),
        (Some(_), None) => {
            problems.push(half_a_cloud(CLOUD_REGION_KEY, CLOUD_PROVIDER_KEY));
            return None;
        }
        (None, Some(_)) => {
            problems.push(half_a_cloud(CLOUD_PROVIDER_KEY, CLOUD_REGION_KEY));
            return None;
        }
    };
    let known = || table().cloud_regions.iter().filter(|row| row.provider == fold(provider));
    let found = known().find(|row| fold(&row.region) == fold(region));
    if found.is_none() && !(publishes_nothing(provider) && metrics.country_iso_code.is_some()) {
        let candidates =
            known().map(|row| (row.region.as_str(), format!("{} ({})", row.region, row.location)));
        let near = nearest_labels(region, candidates);
        let hint = if publishes_nothing(provider) {
            format!("{provider} publishes no figures: set {COUNTRY_KEY}, or {GIVE_A_FIGURE}")
        } else if near.is_empty() {
            format!("gcp has figures; otherwise set {COUNTRY_KEY} alone, or {GIVE_A_FIGURE}")
        } else {
            format!("did you mean {}?", near.join(", "))
        };
        problems.push(
            Problem::new(CLOUD_REGION_KEY, format!("no figure of {provider} {region}")).hint(hint),
        );
    }
    found
}

pub(super) fn half_a_cloud(missing: &str, given: &str) -> Problem {
    Problem::new(missing, format!("it is not set, though {given} is"))
        .hint("a cloud region is named by both")
}

/// Clouds that publish no carbon intensity of their regions.
pub(super) fn publishes_nothing(provider: &str) -> bool {
    matches!(fold(provider).as_str(), "aws" | "azure")
}

fn modelled(
    intensity: GramsPerKwh,
    year: u16,
    source: impl Into<String>,
    (emissions, flow): (FactorEmissions, FactorFlow),
) -> CarbonFactor {
    CarbonFactor {
        intensity,
        country_iso_code: None,
        country_name: None,
        region: None,
        kind: Source::Modelled,
        source: source.into(),
        year: Some(year),
        boundary: FactorBoundary { emissions, flow, averaging: Averaging::Average },
        relative_uncertainty: Some(SPREAD),
        uncertainty_source: Some(SPREAD_SOURCE.to_owned()),
        cloud: None,
    }
}

fn cloud_factor(row: &CloudRegion) -> CarbonFactor {
    let country = table().countries.iter().find(|country| country.iso3 == row.country_iso3);
    CarbonFactor {
        country_iso_code: Some(row.country_iso3.clone()),
        country_name: country.map(|country| country.name.clone()),
        region: Some(row.location.clone()),
        cloud: Some(CloudPlace { provider: row.provider.clone(), region: row.region.clone() }),
        ..modelled(
            row.intensity,
            row.year,
            GOOGLE_SOURCE,
            (FactorEmissions::Direct, FactorFlow::Unstated),
        )
    }
}

fn subregion_factor(row: &Subregion) -> CarbonFactor {
    CarbonFactor {
        country_iso_code: Some("USA".to_owned()),
        country_name: Some("United States".to_owned()),
        region: Some(format!("{} ({})", row.code, row.name)),
        ..modelled(
            row.intensity,
            row.year,
            SUBREGION_SOURCE,
            (FactorEmissions::Direct, FactorFlow::Production),
        )
    }
}

fn table_factor(
    country: &Country,
    region: Option<&Region>,
    problems: &mut Problems,
) -> Option<CarbonFactor> {
    let of_country = |factor: CarbonFactor| CarbonFactor {
        country_iso_code: Some(country.iso3.clone()),
        country_name: Some(country.name.clone()),
        ..factor
    };
    if let Some(region) = region {
        let (source, boundary) = region_source(&region.country_iso3);
        return Some(of_country(CarbonFactor {
            region: Some(region.name.clone()),
            ..modelled(region.intensity, region.year, source, boundary)
        }));
    }
    let Some((intensity, year)) = country.figure else {
        problems.push(
            Problem::new(
                COUNTRY_KEY,
                format!("{} is known, but no usable figure is published for it", country.name),
            )
            .hint(GIVE_A_FIGURE),
        );
        return None;
    };
    let boundary = (FactorEmissions::LifeCycle, FactorFlow::Production);
    Some(of_country(modelled(intensity, year, COUNTRY_SOURCE, boundary)))
}

/// Case and accents aside, as far as the names in the tables need it.
pub(super) fn fold(text: &str) -> String {
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
