//! Carbon intensity: a place means one figure or an error.

use ai_energy_benchmarks::carbon::{self, find_country, resolve, table};
use ai_energy_benchmarks::config::component::metrics::MetricsConfig;
use ai_energy_benchmarks::record::{CarbonFactor, Source};
use ai_energy_benchmarks::units::GramsPerKwh;
use proptest::prelude::*;

fn place(country: Option<&str>, region: Option<&str>) -> MetricsConfig {
    MetricsConfig {
        country_iso_code: country.map(str::to_owned),
        region: region.map(str::to_owned),
        ..MetricsConfig::default()
    }
}

fn factor(country: &str, region: Option<&str>) -> CarbonFactor {
    resolve(&place(Some(country), region)).unwrap().factor.unwrap()
}

fn errors(metrics: &MetricsConfig) -> String {
    resolve(metrics).unwrap_err().to_string()
}

#[test]
fn a_country_is_found_by_code_and_by_name_in_any_case() {
    for text in ["USA", "usa", "US", "us", "United States", "united states of america"] {
        assert_eq!(find_country(text).unwrap().iso3, "USA", "{text}");
    }
    for (text, iso3) in
        [("Côte d'Ivoire", "CIV"), ("czech republic", "CZE"), ("UK", "GBR"), ("Turkey", "TUR")]
    {
        assert_eq!(find_country(text).map(|country| country.iso3.as_str()), Some(iso3), "{text}");
    }
}

#[test]
fn a_figure_comes_with_its_source_and_year() {
    let usa = factor("USA", None);
    assert_eq!(usa.country_name.as_deref(), Some("United States"));
    assert_eq!(usa.kind, Source::Modelled);
    assert!(usa.source.contains("Our World in Data"), "{}", usa.source);
    assert!(usa.year.is_some_and(|year| year >= 2023));
    assert!((300.0..450.0).contains(&usa.intensity.0), "{:?}", usa.intensity);
}

#[test]
fn a_region_is_found_by_code_and_by_name_and_has_its_own_source() {
    for text in ["CA", "california", "California"] {
        let california = factor("USA", Some(text));
        assert_eq!(california.region.as_deref(), Some("California"));
        assert!(california.source.contains("eGRID2023"), "{}", california.source);
        assert!((california.intensity.0 - 179.06).abs() < 0.05, "{:?}", california.intensity);
    }
    for text in ["QC", "quebec", "Québec"] {
        let quebec = factor("CAN", Some(text));
        assert!(quebec.intensity.0 < 10.0 && quebec.source.contains("CodeCarbon"), "{quebec:?}");
    }
}

#[test]
fn an_unknown_country_is_an_error_with_the_nearest_names() {
    let text = errors(&place(Some("Germny"), None));
    assert!(text.contains("metrics.country_iso_code") && text.contains("DEU (Germany)"), "{text}");
    let text = errors(&place(Some("USS"), None));
    assert!(text.contains("USA (United States)"), "{text}");
    assert!(errors(&place(Some("ZZZ"), None)).contains("ISO 3166-1"));
    assert!(errors(&place(Some(""), None)).contains("no country of the table"));
}

#[test]
fn an_unknown_region_is_an_error_with_the_nearest_names() {
    let text = errors(&place(Some("USA"), Some("Califronia")));
    assert!(text.contains("CA (California)"), "{text}");
    assert!(errors(&place(Some("CAN"), Some("zz"))).contains("AB, BC"));
}

#[test]
fn a_region_where_no_table_has_any_is_an_error_that_says_which_have() {
    let text = errors(&place(Some("FRA"), Some("Bretagne")));
    assert!(text.contains("no table of regions for France") && text.contains("CAN, USA"), "{text}");
    assert!(errors(&place(None, Some("california"))).contains("without a country"));
}

#[test]
fn a_country_without_a_published_figure_is_an_error_and_not_zero() {
    let text = errors(&place(Some("CAF"), None));
    assert!(
        text.contains("no usable figure") && text.contains("carbon_intensity_g_per_kwh"),
        "{text}"
    );
}

#[test]
fn without_a_country_there_is_no_factor_and_the_reason_is_given() {
    let basis = resolve(&place(None, None)).unwrap();
    assert_eq!(basis.factor, None);
    assert!(basis.missing_reason.unwrap().contains("metrics.country_iso_code"));
}

#[test]
fn a_given_intensity_is_used_and_called_assumed() {
    let metrics = MetricsConfig {
        carbon_intensity_g_per_kwh: Some(12.5),
        pue: 1.2,
        ..place(Some("FRA"), None)
    };
    let basis = resolve(&metrics).unwrap();
    let factor = basis.factor.unwrap();
    assert_eq!(
        (factor.intensity, factor.kind, factor.year),
        (GramsPerKwh(12.5), Source::Assumed, None)
    );
    assert_eq!(factor.country_iso_code.as_deref(), Some("FRA"));
    assert!((basis.pue - 1.2).abs() < 1e-12);
    let nowhere = MetricsConfig { carbon_intensity_g_per_kwh: Some(0.0), ..place(None, None) };
    assert_eq!(resolve(&nowhere).unwrap().factor.unwrap().country_iso_code, None);
}

#[test]
fn every_problem_is_told_at_once() {
    let metrics = MetricsConfig {
        pue: 0.9,
        carbon_intensity_g_per_kwh: Some(-1.0),
        ..place(Some("Nowhere"), None)
    };
    assert_eq!(resolve(&metrics).unwrap_err().0.len(), 3);
    let pue = MetricsConfig { pue: f64::NAN, ..place(None, None) };
    assert!(errors(&pue).contains("metrics.pue"));
}

#[test]
fn the_tables_say_their_vintage() {
    let lines = carbon::vintages();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with("countries: 212 figures of 2009 to 2024"), "{}", lines[0]);
    assert!(lines[1].contains("51 figures of 2023") && lines[2].contains("13 figures of 2023"));
}

proptest! {
    #[test]
    fn every_spelling_of_every_country_is_that_country(index in 0_usize..213, upper: bool) {
        let country = &table().countries[index];
        for name in [&country.iso3, &country.iso2, &country.name] {
            let typed = if upper { name.to_uppercase() } else { name.to_lowercase() };
            prop_assert_eq!(find_country(&format!(" {typed} ")), Some(country));
        }
    }

    #[test]
    fn no_text_panics_and_an_error_always_names_the_key(text in "\\PC{0,20}") {
        if let Err(problems) = resolve(&place(Some(&text), None)) {
            prop_assert_eq!(&problems.0[0].place, "metrics.country_iso_code");
            prop_assert!(problems.0[0].hint.is_some());
        }
    }
}
