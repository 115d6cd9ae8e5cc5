//! What CodeCarbon 3.3.2 takes for a place, from its own tables (`data/codecarbon/`, MIT licence).
//!
//! Cloud region before state or province before country, as there. Where CodeCarbon falls back in silence, this
//! does not: a place that its tables lack is an error with the nearest names, and the few places whose national
//! figure it documents as the answer (Tibet, Hong Kong, Macao, Taiwan; regions of AWS and Azure) get it with a
//! warning.

mod tables;

use crate::error::{Problem, Problems};
use crate::record::{
    Averaging, CarbonFactor, CloudPlace, FactorBoundary, FactorEmissions, FactorFlow, Source,
    Warning,
};
use crate::units::{GramsPerKwh, Joules};

use super::tables::GRAMS_PER_KWH_OF_LB_PER_MWH;
use super::{
    CLOUD_PROVIDER_KEY, CLOUD_REGION_KEY, COUNTRY_KEY, GIVE_A_FIGURE, REGION_KEY, find_country,
    fold, half_a_cloud, nearest_labels, publishes_nothing,
};
use tables::{CloudRow, CountryRow, Tables, ZoneRow, tables};

/// CodeCarbon's kWh in a joule, with its six digits. Exactly it is 1/3,600,000; theirs is 8e-7 larger.
pub const KWH_PER_JOULE: f64 = 2.777_78e-7;
/// Kilowatt-hours in a joule.
const TRUE_KWH_PER_JOULE: f64 = 1.0 / 3.6e6;

/// The version whose tables and rules these are.
pub const VERSION: &str = "3.3.2";

/// Provinces that the official Chinese table leaves out; CodeCarbon counts the nation's figure for them.
const CHINA_NOT_PUBLISHED: [&str; 6] = ["tibet", "xizang", "hong kong", "macao", "macau", "taiwan"];
const CHINA_SUFFIXES: [&str; 6] =
    ["autonomous region", "municipality", "province", "sheng", "shi", "zizhiqu"];

/// How a joule became known, which decides how CodeCarbon turns it into kWh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Difference of an energy counter (NVML, RAPL): multiplied by [`KWH_PER_JOULE`].
    ByCounter,
    /// Power times time: divided by 3,600 s/h and 1,000 W/kW.
    ByPower,
}

/// Kilowatt-hours of an energy: CodeCarbon's own with `exact`, else the true ones.
#[must_use]
pub fn kwh(energy: Joules, counted: Counted, exact: bool) -> f64 {
    match counted {
        Counted::ByCounter if exact => energy.value() * KWH_PER_JOULE,
        Counted::ByCounter | Counted::ByPower => energy.value() * TRUE_KWH_PER_JOULE,
    }
}

/// A run's totals as CodeCarbon reports them: everything times the PUE, water from what that gives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Totals<const N: usize> {
    /// Each part times the PUE.
    pub parts_kwh: [f64; N],
    /// Their sum.
    pub energy_kwh: f64,
    /// Of the site, in litres.
    pub water_litres: f64,
    /// Kilograms of CO2 equivalent.
    pub emissions_kg: f64,
}

impl<const N: usize> Totals<N> {
    /// From the kWh of the parts of a machine.
    #[must_use]
    pub fn of(parts_kwh: [f64; N], pue: f64, wue: f64, intensity: GramsPerKwh) -> Self {
        let parts_kwh = parts_kwh.map(|part| part * pue);
        let energy_kwh = parts_kwh.iter().sum::<f64>();
        Self {
            parts_kwh,
            energy_kwh,
            water_litres: energy_kwh * wue,
            emissions_kg: energy_kwh * intensity.value() / 1000.0,
        }
    }
}

/// A place as a config names it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place<'a> {
    /// Country.
    pub country: Option<&'a str>,
    /// State, province or bidding zone.
    pub region: Option<&'a str>,
    /// `gcp`, `aws`, `azure`.
    pub cloud_provider: Option<&'a str>,
    /// The provider's name of its region.
    pub cloud_region: Option<&'a str>,
}

/// The figure of a place, and what its reader should know.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The factor.
    pub factor: CarbonFactor,
    /// Where CodeCarbon's answer is coarser than the question.
    pub warnings: Vec<Warning>,
}

/// The figure that CodeCarbon uses for a place. With `exact` only the names that CodeCarbon itself knows count
/// (`california`, not `CA`), and a figure of zero stands; without it other spellings are found too, and a zero is
/// an error.
///
/// # Errors
/// A place that is not in the tables, with the nearest names; all problems at once.
pub fn find(place: Place<'_>, exact: bool) -> Result<Option<Found>, Problems> {
    let search = Search { tables: tables(), exact };
    let mut warnings = Vec::new();
    if place.cloud_provider.is_some() || place.cloud_region.is_some() {
        match search.cloud(place)? {
            Cloud::Row(row) => return Ok(Some(search.cloud_factor(row))),
            Cloud::CountryInstead(warning) => warnings.push(warning),
        }
    }
    let Some(text) = place.country else {
        return match place.region {
            Some(region) => {
                Err(Problem::new(REGION_KEY, format!("{region:?} is given without a country"))
                    .hint(format!("set {COUNTRY_KEY}"))
                    .into())
            }
            None => Ok(None),
        };
    };
    let country = search.country(text)?;
    let factor = match place.region {
        Some(region) => search.region(country, region, &mut warnings)?,
        None => country_factor(country),
    };
    if factor.intensity.value() == 0.0 {
        search.zero(&factor, &mut warnings)?;
    }
    Ok(Some(Found { factor, warnings }))
}

enum Cloud {
    Row(&'static CloudRow),
    CountryInstead(Warning),
}

struct Search {
    tables: &'static Tables,
    exact: bool,
}

impl Search {
    fn same(&self, typed: &str, known: &str) -> bool {
        if self.exact { typed.to_lowercase() == known } else { fold(typed) == fold(known) }
    }

    fn cloud(&self, place: Place<'_>) -> Result<Cloud, Problems> {
        let (Some(provider), Some(region)) = (place.cloud_provider, place.cloud_region) else {
            let (missing, given) = if place.cloud_provider.is_none() {
                (CLOUD_PROVIDER_KEY, CLOUD_REGION_KEY)
            } else {
                (CLOUD_REGION_KEY, CLOUD_PROVIDER_KEY)
            };
            return Err(half_a_cloud(missing, given).into());
        };
        let provider = provider.to_lowercase();
        let of_provider = |row: &&CloudRow| row.provider == provider;
        if let Some(row) = self.tables.cloud.iter().filter(of_provider).find(|row| {
            row.region == region || (!self.exact && mended(&row.region) == region.to_lowercase())
        }) {
            return Ok(Cloud::Row(row));
        }
        if publishes_nothing(&provider) {
            return without_figures(&provider, region, place.country);
        }
        let known: Vec<&str> =
            self.tables.cloud.iter().filter(of_provider).map(|row| row.region.as_str()).collect();
        Err(unknown_cloud(&provider, region, &known).into())
    }

    fn cloud_factor(&self, row: &CloudRow) -> Found {
        let region = if row.state.is_empty() { &row.city } else { &row.state };
        let factor = CarbonFactor {
            country_iso_code: Some(row.country_iso3.clone()),
            country_name: Some(row.country_name.clone()),
            region: Some(region.clone()),
            cloud: Some(CloudPlace {
                provider: row.provider.clone(),
                region: if self.exact {
                    row.region.clone()
                } else {
                    mended(&row.region).to_owned()
                },
            }),
            ..factor(row.g_per_kwh, None, CLOUD_SOURCE, OPERATIONAL)
        };
        Found { factor, warnings: Vec::new() }
    }

    fn country(&self, text: &str) -> Result<&'static CountryRow, Problems> {
        let iso3 = if self.exact {
            Some(text.to_uppercase())
        } else {
            find_country(text).map(|country| country.iso3.clone())
        };
        iso3.and_then(|iso3| self.tables.countries.iter().find(|row| row.iso3 == iso3)).ok_or_else(|| {
            let candidates = self.tables.countries.iter().flat_map(|row| {
                let label = format!("{} ({})", row.iso3, row.name);
                [&row.iso3, &row.name].map(|name| (name.as_str(), label.clone()))
            });
            let near = nearest_labels(text, candidates);
            let hint = if near.is_empty() {
                format!("use an ISO 3166-1 alpha-3 code such as USA or DEU; or {GIVE_A_FIGURE}")
            } else {
                format!("did you mean {}? Otherwise {GIVE_A_FIGURE}", near.join(", "))
            };
            Problem::new(
                COUNTRY_KEY,
                format!("{text:?} is no country of CodeCarbon {VERSION}'s table (which would count the world's average for it)"),
            )
            .hint(hint)
            .into()
        })
    }

    fn region(
        &self,
        country: &'static CountryRow,
        text: &str,
        warnings: &mut Vec<Warning>,
    ) -> Result<CarbonFactor, Problems> {
        let found = match country.iso3.as_str() {
            "USA" => self.state(text),
            "CAN" => self.province(text),
            "CHN" => {
                let name = china_name(text);
                if CHINA_NOT_PUBLISHED.contains(&name.as_str()) {
                    warnings.push(Warning::new(
                        "no_provincial_factor",
                        format!("the official Chinese table has no figure of {text}: the national one is counted"),
                    ));
                    return Ok(country_factor(country));
                }
                self.chinese_province(&name)
            }
            "SWE" | "NOR" | "FIN" => self.zone(&country.iso3, text),
            _ => return Err(self.no_regions(country, text).into()),
        };
        let factor = found.ok_or_else(|| Problems::from(self.unknown_region(country, text)))?;
        Ok(CarbonFactor {
            country_iso_code: Some(country.iso3.clone()),
            country_name: Some(country.name.clone()),
            ..factor
        })
    }

    fn state(&self, text: &str) -> Option<CarbonFactor> {
        let row = self.tables.usa.iter().find(|row| {
            self.same(text, &row.name) || (!self.exact && text.eq_ignore_ascii_case(&row.code))
        })?;
        let grams = row.lb_per_mwh * GRAMS_PER_KWH_OF_LB_PER_MWH;
        Some(CarbonFactor {
            region: Some(row.name.clone()),
            ..factor(grams, Some(2023), USA_SOURCE, STACK)
        })
    }

    fn province(&self, text: &str) -> Option<CarbonFactor> {
        let row =
            self.tables.canada.iter().find(|row| self.same(text, &row.name)).or_else(|| {
                let known = super::table().regions_of("CAN");
                let name = known
                    .filter(|_| !self.exact)
                    .find(|region| region.code.eq_ignore_ascii_case(text))?;
                self.tables.canada.iter().find(|row| fold(&row.name) == fold(&name.name))
            })?;
        Some(CarbonFactor {
            region: Some(row.name.clone()),
            ..factor(row.grams_per_kwh(), Some(2023), CANADA_SOURCE, STACK)
        })
    }

    fn chinese_province(&self, name: &str) -> Option<CarbonFactor> {
        let row =
            self.tables.china.iter().find(|row| row.names.split('|').any(|known| known == name))?;
        Some(CarbonFactor {
            region: Some(row.name.to_lowercase()),
            ..factor(row.g_per_kwh, Some(row.year), CHINA_SOURCE, STACK_DELIVERED)
        })
    }

    fn zone(&self, iso3: &str, text: &str) -> Option<CarbonFactor> {
        let wanted = text.to_uppercase();
        let known = |row: &&ZoneRow| row.zone == wanted && zone_country(&row.zone) == iso3;
        let row = self.tables.nordic.iter().find(known)?;
        let source = if row.zone == "FI" { FINLAND_SOURCE } else { NORDIC_SOURCE };
        Some(CarbonFactor {
            region: Some(row.zone.to_lowercase()),
            ..factor(row.g_per_kwh, Some(row.year), source, LIFE_CYCLE)
        })
    }

    fn no_regions(&self, country: &CountryRow, text: &str) -> Problem {
        Problem::new(
            REGION_KEY,
            format!("CodeCarbon {VERSION} has no regions of {}, so {text:?} has no figure", country.name),
        )
        .hint(format!(
            "countries with regions: CAN, CHN, FIN, NOR, SWE, USA; leave it out to use the country's figure, or {GIVE_A_FIGURE}"
        ))
    }

    fn unknown_region(&self, country: &CountryRow, text: &str) -> Problem {
        let known = self.regions_of(&country.iso3);
        let near = nearest_labels(text, known.iter().map(|name| (name.as_str(), name.clone())));
        let hint = if near.is_empty() {
            format!("one of {}", known.join(", "))
        } else {
            format!("did you mean {}?", near.join(", "))
        };
        Problem::new(
            REGION_KEY,
            format!("{text:?} is no region of {} in CodeCarbon {VERSION}'s tables", country.name),
        )
        .hint(hint)
    }

    fn regions_of(&self, iso3: &str) -> Vec<String> {
        let tables = self.tables;
        match iso3 {
            "USA" => tables.usa.iter().map(|row| row.name.clone()).collect(),
            "CAN" => tables.canada.iter().map(|row| row.name.clone()).collect(),
            "CHN" => tables.china.iter().map(|row| row.name.to_lowercase()).collect(),
            _ => {
                let zones = tables.nordic.iter().map(|row| &row.zone);
                zones.filter(|zone| zone_country(zone) == iso3).cloned().collect()
            }
        }
    }

    /// A table with a zero in it: a generation too small to be counted, not electricity without emissions.
    fn zero(&self, factor: &CarbonFactor, warnings: &mut Vec<Warning>) -> Result<(), Problems> {
        let place = factor.country_name.as_deref().unwrap_or("this place");
        let message = format!(
            "CodeCarbon {VERSION} counts 0 gCO2e/kWh for {place}: its generation is too small for the table, not without emissions"
        );
        if !self.exact {
            return Err(Problem::new(COUNTRY_KEY, message).hint(GIVE_A_FIGURE).into());
        }
        warnings.push(Warning::new("zero_carbon_intensity", message));
        Ok(())
    }
}

fn zone_country(zone: &str) -> &'static str {
    match &zone[..2] {
        "SE" => "SWE",
        "NO" => "NOR",
        _ => "FIN",
    }
}

/// The one name that the table misspells.
fn mended(region: &str) -> &str {
    if region == "me-cenrtal1" { "me-central1" } else { region }
}

/// The province's bare name, by CodeCarbon's rule: lower case, single spaces, one trailing word of kind dropped.
fn china_name(text: &str) -> String {
    let name = text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    CHINA_SUFFIXES
        .iter()
        .find_map(|suffix| Some(name.strip_suffix(suffix)?.strip_suffix(' ')?.to_owned()))
        .unwrap_or(name)
}

fn without_figures(provider: &str, region: &str, country: Option<&str>) -> Result<Cloud, Problems> {
    let why = format!("{provider} publishes no carbon intensity of its regions ({region})");
    if country.is_none() {
        return Err(Problem::new(CLOUD_REGION_KEY, why)
            .hint(format!("set {COUNTRY_KEY} to count the country's figure, or {GIVE_A_FIGURE}"))
            .into());
    }
    Ok(Cloud::CountryInstead(Warning::new(
        "no_cloud_factor",
        format!("{why}: the figure of {COUNTRY_KEY} is counted"),
    )))
}

fn unknown_cloud(provider: &str, region: &str, known: &[&str]) -> Problem {
    if known.is_empty() {
        return Problem::new(
            CLOUD_PROVIDER_KEY,
            format!("{provider:?} is no cloud of CodeCarbon {VERSION}'s table"),
        )
        .hint("gcp has figures; aws and azure are counted by their country");
    }
    let near = nearest_labels(region, known.iter().map(|name| (*name, (*name).to_owned())));
    let hint = if near.is_empty() {
        format!("one of {}", known.join(", "))
    } else {
        format!("did you mean {}?", near.join(", "))
    };
    Problem::new(
        CLOUD_REGION_KEY,
        format!("{region:?} is no region of {provider} in CodeCarbon {VERSION}'s table"),
    )
    .hint(hint)
}

fn country_factor(country: &CountryRow) -> CarbonFactor {
    CarbonFactor {
        country_iso_code: Some(country.iso3.clone()),
        country_name: Some(country.name.clone()),
        ..factor(country.g_per_kwh, Some(country.year), COUNTRY_SOURCE, LIFE_CYCLE)
    }
}

fn factor(
    grams: f64,
    year: Option<u16>,
    source: &str,
    (emissions, flow): (FactorEmissions, FactorFlow),
) -> CarbonFactor {
    CarbonFactor {
        intensity: GramsPerKwh(grams),
        country_iso_code: None,
        country_name: None,
        region: None,
        kind: Source::Modelled,
        source: source.to_owned(),
        year,
        boundary: FactorBoundary { emissions, flow, averaging: Averaging::Average },
        relative_uncertainty: None,
        uncertainty_source: None,
        cloud: None,
    }
}

type Bounds = (FactorEmissions, FactorFlow);
const LIFE_CYCLE: Bounds = (FactorEmissions::LifeCycle, FactorFlow::Production);
const STACK: Bounds = (FactorEmissions::Direct, FactorFlow::Production);
const STACK_DELIVERED: Bounds = (FactorEmissions::Direct, FactorFlow::Consumption);
const OPERATIONAL: Bounds = (FactorEmissions::Direct, FactorFlow::Unstated);

const COUNTRY_SOURCE: &str =
    "CodeCarbon 3.3.2's copy of Our World in Data (Ember, Energy Institute)";
const USA_SOURCE: &str = "CodeCarbon 3.3.2's copy of US EPA eGRID2023 (states)";
const CANADA_SOURCE: &str =
    "CodeCarbon 3.3.2: provincial mix of 2023 with its factors for coal, oil and gas";
const CHINA_SOURCE: &str =
    "CodeCarbon 3.3.2's copy of the Chinese MEE/NBS announcement 2025 No. 47 (CO2 only)";
const NORDIC_SOURCE: &str = "CodeCarbon 3.3.2: ENTSO-E generation of 2025 with its factors by fuel, a lower bound where fuels have none";
const FINLAND_SOURCE: &str = "CodeCarbon 3.3.2 (no origin stated)";
const CLOUD_SOURCE: &str =
    "CodeCarbon 3.3.2's copy of Google's carbon data for cloud regions (year not stated)";
