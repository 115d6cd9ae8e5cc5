//! CodeCarbon's tables, compiled in. `scripts/codecarbon/make_tables.py` renews them.

use std::sync::LazyLock;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A country.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct CountryRow {
    pub iso3: String,
    pub name: String,
    pub g_per_kwh: f64,
    pub year: u16,
}

/// A state of the USA, or `usa` for all of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct StateRow {
    pub name: String,
    pub code: String,
    pub lb_per_mwh: f64,
}

/// A province of Canada: its generation by fuel, in per cent.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct MixRow {
    pub name: String,
    coal: f64,
    petroleum: f64,
    natural_gas: f64,
    total: f64,
}

impl MixRow {
    /// Shares of the three fuels times what CodeCarbon takes a kWh of each to emit.
    pub(super) fn grams_per_kwh(&self) -> f64 {
        const COAL: f64 = 995.725_971;
        const PETROLEUM: f64 = 816.688_526_3;
        const NATURAL_GAS: f64 = 743.841_591_6;
        let share = |fuel: f64| fuel / self.total;
        share(self.coal) * COAL
            + share(self.petroleum) * PETROLEUM
            + share(self.natural_gas) * NATURAL_GAS
    }
}

/// A bidding zone of Sweden, Norway or Finland.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct ZoneRow {
    pub zone: String,
    pub g_per_kwh: f64,
    pub year: u16,
}

/// A province of China; `names` are its spellings with `|` between them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct ProvinceRow {
    pub name: String,
    pub names: String,
    pub g_per_kwh: f64,
    pub year: u16,
}

/// A region of a cloud.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct CloudRow {
    pub provider: String,
    pub region: String,
    pub country_name: String,
    pub country_iso3: String,
    pub state: String,
    pub city: String,
    pub g_per_kwh: f64,
}

/// All of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tables {
    pub countries: Vec<CountryRow>,
    pub usa: Vec<StateRow>,
    pub canada: Vec<MixRow>,
    pub nordic: Vec<ZoneRow>,
    pub china: Vec<ProvinceRow>,
    pub cloud: Vec<CloudRow>,
}

pub(super) fn tables() -> &'static Tables {
    static TABLES: LazyLock<Tables> =
        LazyLock::new(|| parse().expect("the tables are compiled in and a test parses them"));
    &TABLES
}

macro_rules! table {
    ($name:literal) => {
        rows(include_str!(concat!("../../../data/codecarbon/", $name)))
    };
}

fn parse() -> Result<Tables, csv::Error> {
    Ok(Tables {
        countries: table!("countries.csv")?,
        usa: table!("usa.csv")?,
        canada: table!("canada.csv")?,
        nordic: table!("nordic.csv")?,
        china: table!("china.csv")?,
        cloud: table!("cloud.csv")?,
    })
}

fn rows<T: DeserializeOwned>(text: &str) -> Result<Vec<T>, csv::Error> {
    csv::Reader::from_reader(text.as_bytes()).deserialize().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiled_tables_parse_and_are_whole() {
        let tables = parse().unwrap();
        assert_eq!((tables.countries.len(), tables.usa.len()), (213, 52));
        assert_eq!((tables.canada.len(), tables.nordic.len()), (13, 10));
        assert_eq!((tables.china.len(), tables.cloud.len()), (30, 40));
        assert!(tables.nordic.iter().all(|row| row.zone.len() >= 2));
    }
}
