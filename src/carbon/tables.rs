//! The tables, compiled in. `data/README.md` says where they come from and how they are renewed.

use std::sync::LazyLock;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::units::GramsPerKwh;

const COUNTRIES: &str = include_str!("../../data/carbon_intensity_by_country.csv");
const REGIONS: &str = include_str!("../../data/carbon_intensity_by_region.csv");
const SUBREGIONS: &str = include_str!("../../data/egrid_subregions.csv");
const CLOUD_REGIONS: &str = include_str!("../../data/cloud_regions.csv");

/// Grams a kWh in a pound a MWh.
pub(super) const GRAMS_PER_KWH_OF_LB_PER_MWH: f64 = 0.453_592_37;
/// Warming of methane and nitrous oxide against carbon dioxide over 100 years, as eGRID2023 counts them (IPCC AR5).
const METHANE: f64 = 28.0;
const NITROUS_OXIDE: f64 = 265.0;

/// One country of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Country {
    /// ISO 3166-1 alpha-3.
    pub iso3: String,
    /// ISO 3166-1 alpha-2.
    pub iso2: String,
    /// English name.
    pub name: String,
    /// Intensity and the year it describes; `None` where nothing usable is published.
    pub figure: Option<(GramsPerKwh, u16)>,
}

/// One state or province of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Region {
    /// ISO 3166-1 alpha-3 of its country.
    pub country_iso3: String,
    /// Postal code.
    pub code: String,
    /// English name.
    pub name: String,
    /// Intensity.
    pub intensity: GramsPerKwh,
    /// The year it describes.
    pub year: u16,
}

/// One eGRID subregion: a part of the US grid.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Subregion {
    /// `CAMX`.
    pub code: String,
    /// `WECC California`.
    pub name: String,
    /// Intensity.
    pub intensity: GramsPerKwh,
    /// The year it describes.
    pub year: u16,
}

/// One region of a cloud.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CloudRegion {
    /// `gcp`.
    pub provider: String,
    /// `us-central1`.
    pub region: String,
    /// The place, as the provider names it.
    pub location: String,
    /// ISO 3166-1 alpha-3.
    pub country_iso3: String,
    /// Intensity.
    #[serde(rename = "g_per_kwh")]
    pub intensity: GramsPerKwh,
    /// The year it describes.
    pub year: u16,
}

/// All tables.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Table {
    /// Countries by alpha-3.
    pub countries: Vec<Country>,
    /// Regions by country and code.
    pub regions: Vec<Region>,
    /// eGRID subregions by code.
    pub subregions: Vec<Subregion>,
    /// Regions of clouds, by provider and name.
    pub cloud_regions: Vec<CloudRegion>,
}

impl Table {
    /// The regions of one country.
    pub fn regions_of<'a>(&'a self, iso3: &'a str) -> impl Iterator<Item = &'a Region> {
        self.regions.iter().filter(move |region| region.country_iso3 == iso3)
    }
}

#[derive(Deserialize)]
struct CountryRow {
    iso3: String,
    iso2: String,
    name: String,
    g_per_kwh: Option<GramsPerKwh>,
    year: Option<u16>,
}

#[derive(Deserialize)]
struct RegionRow {
    country_iso3: String,
    code: String,
    name: String,
    g_per_kwh: GramsPerKwh,
    year: u16,
}

#[derive(Deserialize)]
struct SubregionRow {
    code: String,
    name: String,
    co2_lb_per_mwh: f64,
    ch4_lb_per_mwh: f64,
    n2o_lb_per_mwh: f64,
    year: u16,
}

/// The tables.
#[must_use]
pub fn table() -> &'static Table {
    static TABLE: LazyLock<Table> =
        LazyLock::new(|| parse().expect("the tables are compiled in and a test parses them"));
    &TABLE
}

fn parse() -> Result<Table, csv::Error> {
    Ok(Table {
        countries: rows(COUNTRIES, CountryRow::into_country)?,
        regions: rows(REGIONS, RegionRow::into_region)?,
        subregions: rows(SUBREGIONS, SubregionRow::into_subregion)?,
        cloud_regions: rows(CLOUD_REGIONS, |row: CloudRegion| row)?,
    })
}

fn rows<R: DeserializeOwned, T>(text: &str, into: fn(R) -> T) -> Result<Vec<T>, csv::Error> {
    csv::Reader::from_reader(text.as_bytes()).deserialize().map(|row| row.map(into)).collect()
}

impl CountryRow {
    fn into_country(self) -> Country {
        Country {
            iso3: self.iso3,
            iso2: self.iso2,
            name: self.name,
            figure: self.g_per_kwh.zip(self.year),
        }
    }
}

impl RegionRow {
    fn into_region(self) -> Region {
        Region {
            country_iso3: self.country_iso3,
            code: self.code,
            name: self.name,
            intensity: self.g_per_kwh,
            year: self.year,
        }
    }
}

impl SubregionRow {
    fn into_subregion(self) -> Subregion {
        let pounds = self.co2_lb_per_mwh
            + METHANE * self.ch4_lb_per_mwh
            + NITROUS_OXIDE * self.n2o_lb_per_mwh;
        Subregion {
            code: self.code,
            name: self.name,
            intensity: GramsPerKwh(pounds * GRAMS_PER_KWH_OF_LB_PER_MWH),
            year: self.year,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_compiled_tables_parse_and_their_figures_are_physical() {
        let table = parse().unwrap();
        assert!(table.countries.len() > 200);
        for country in &table.countries {
            assert_eq!((country.iso3.len(), country.iso2.len()), (3, 2), "{}", country.name);
            if let Some((intensity, year)) = country.figure {
                assert!(intensity.0 > 0.0 && intensity.0 < 1500.0, "{}", country.name);
                assert!((2000..2100).contains(&year), "{}", country.name);
            }
        }
        for region in &table.regions {
            assert!(region.intensity.0 > 0.0 && region.intensity.0 < 1500.0, "{}", region.name);
        }
    }

    #[test]
    fn codes_and_names_are_unique_and_every_region_has_its_country() {
        let table = parse().unwrap();
        let unique = |texts: Vec<&String>| texts.iter().collect::<BTreeSet<_>>().len();
        let countries = &table.countries;
        assert_eq!(unique(countries.iter().map(|c| &c.iso3).collect()), countries.len());
        assert_eq!(unique(countries.iter().map(|c| &c.iso2).collect()), countries.len());
        assert_eq!(unique(countries.iter().map(|c| &c.name).collect()), countries.len());
        for region in &table.regions {
            assert!(countries.iter().any(|country| country.iso3 == region.country_iso3));
        }
        assert_eq!(table.regions_of("USA").count(), 51);
        assert_eq!(table.regions_of("CAN").count(), 13);
    }
}
