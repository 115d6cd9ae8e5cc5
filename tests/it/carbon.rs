//! Carbon intensity: a place means one figure or an error.

use ai_energy_benchmarks::carbon::{self, find_country, table};
use ai_energy_benchmarks::config::component::metrics::{
    CodecarbonCompat, KIND_CODECARBON, KIND_ENERGY, MarketInstrument, MetricsConfig,
};
use ai_energy_benchmarks::error::Problems;
use ai_energy_benchmarks::record::{
    CarbonBasis, CarbonFactor, CarbonMethod, FactorEmissions, FactorFlow, Source,
};
use ai_energy_benchmarks::units::GramsPerKwh;
use proptest::prelude::*;

fn resolve(metrics: &MetricsConfig) -> Result<CarbonBasis, Problems> {
    carbon::resolve(metrics, false)
}

fn place(country: Option<&str>, region: Option<&str>) -> MetricsConfig {
    MetricsConfig {
        kind: KIND_ENERGY.to_owned(),
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
    assert!(
        text.contains("no table of regions for France") && text.contains("CAN, CHN, NOR, SWE, USA"),
        "{text}"
    );
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
    assert_eq!(lines.len(), 8, "{lines:?}");
    assert!(lines[0].starts_with("countries: 212 figures of 2009 to 2024"), "{}", lines[0]);
    assert!(lines[1].contains("51 figures of 2023") && lines[2].contains("30 figures of 2023"));
    assert!(lines[6].starts_with("eGRID subregions: 27 figures of 2023"), "{}", lines[6]);
    assert!(lines[7].starts_with("cloud regions (gcp): 44 figures of 2024"), "{}", lines[7]);
}

#[test]
fn an_egrid_subregion_is_found_by_code_and_counts_methane_and_nitrous_oxide() {
    let subregion = |text: &str| MetricsConfig {
        grid_subregion: Some(text.to_owned()),
        ..place(Some("USA"), None)
    };
    let factor = resolve(&subregion("prms")).unwrap().factor.unwrap();
    // EPA's own CO2e rate is 1548.53 lb/MWh; the rates of the gases are rounded to a thousandth.
    assert!((factor.intensity.0 / (1548.53 * 0.453_592_37) - 1.0).abs() < 1e-4, "{factor:?}");
    assert_eq!(factor.region.as_deref(), Some("PRMS (Puerto Rico Miscellaneous)"));
    assert_eq!(factor.boundary.emissions, FactorEmissions::Direct);
    assert!(errors(&subregion("CALI")).contains("AKGD, AKMS"));
    let french = MetricsConfig { country_iso_code: Some("FRA".to_owned()), ..subregion("CAMX") };
    assert!(errors(&french).contains("no subregions of France"));
}

#[test]
fn a_cloud_region_comes_before_the_country_and_clouds_without_figures_say_so() {
    let cloud = |provider: &str, region: &str, country| MetricsConfig {
        cloud_provider: Some(provider.to_owned()),
        cloud_region: Some(region.to_owned()),
        ..place(country, None)
    };
    let basis = resolve(&cloud("gcp", "me-central1", None)).unwrap();
    let factor = basis.factor.unwrap();
    assert_eq!((factor.intensity, factor.year), (GramsPerKwh(366.0), Some(2024)));
    assert_eq!(factor.country_iso_code.as_deref(), Some("QAT"));
    assert!(errors(&cloud("gcp", "us-centrall1", None)).contains("us-central1"));
    assert!(errors(&cloud("aws", "us-east-1", None)).contains("publishes no figures"));
    let aws = resolve(&cloud("aws", "us-east-1", Some("USA"))).unwrap();
    assert_eq!(aws.notes[0].code, "no_cloud_factor");
    let half = MetricsConfig { cloud_region: None, ..cloud("gcp", "x", None) };
    assert!(errors(&half).contains("metrics.cloud_region"));
}

#[test]
fn tables_of_different_kinds_carry_their_boundary() {
    let boundary = |country, region| factor(country, region).boundary;
    assert_eq!(boundary("USA", None).words(), "life cycle, production, average");
    assert_eq!(boundary("USA", Some("TX")).words(), "at the stack, production, average");
    assert_eq!(boundary("CHN", Some("Sichuan")).flow, FactorFlow::Consumption);
    assert_eq!(boundary("NOR", Some("NO4")).emissions, FactorEmissions::LifeCycle);
    assert!(factor("SWE", Some("SE3")).relative_uncertainty.is_some_and(|share| share > 0.0));
}

fn by_codecarbon(compat: CodecarbonCompat, metrics: MetricsConfig) -> MetricsConfig {
    MetricsConfig { kind: KIND_CODECARBON.to_owned(), codecarbon_compat: compat, ..metrics }
}

#[test]
fn codecarbons_rules_use_codecarbons_tables() {
    let usa = by_codecarbon(CodecarbonCompat::Corrected, place(Some("US"), None));
    let basis = resolve(&usa).unwrap();
    assert_eq!(basis.method, CarbonMethod::Codecarbon);
    assert_eq!(basis.factor.unwrap().intensity, GramsPerKwh(369.473));
    let subregion = MetricsConfig { grid_subregion: Some("CAMX".to_owned()), ..usa };
    assert!(errors(&subregion).contains("metrics.type: energy"));
}

#[test]
fn a_table_s_zero_is_a_figure_only_where_figures_must_be_codecarbons() {
    let corrected = by_codecarbon(CodecarbonCompat::Corrected, place(Some("CAF"), None));
    assert!(errors(&corrected).contains("0 gCO2e/kWh"));
    let exact = resolve(&by_codecarbon(CodecarbonCompat::Exact, place(Some("CAF"), None))).unwrap();
    assert_eq!(exact.factor.unwrap().intensity, GramsPerKwh(0.0));
    assert_eq!(exact.notes[0].code, "zero_carbon_intensity");
}

#[test]
fn only_codecarbons_own_spelling_counts_where_figures_must_be_its() {
    for (compat, region, found) in [
        (CodecarbonCompat::Corrected, "CA", true),
        (CodecarbonCompat::Exact, "CA", false),
        (CodecarbonCompat::Exact, "CALIFORNIA", true),
    ] {
        let metrics = by_codecarbon(compat, place(Some("USA"), Some(region)));
        assert_eq!(resolve(&metrics).is_ok(), found, "{compat:?} {region}");
    }
    let tibet = by_codecarbon(CodecarbonCompat::Exact, place(Some("CHN"), Some("Tibet")));
    let basis = resolve(&tibet).unwrap();
    assert_eq!(basis.factor.unwrap().intensity, GramsPerKwh(582.317));
    assert_eq!(basis.notes[0].code, "no_provincial_factor");
}

#[test]
fn a_market_based_figure_says_what_it_rests_on_and_is_never_zero_by_silence() {
    let only_words = MetricsConfig {
        market_instrument: Some(MarketInstrument::Certificates),
        ..place(Some("DEU"), None)
    };
    assert!(errors(&only_words).contains("is not 0 by itself"));
    let only_figure =
        MetricsConfig { market_intensity_g_per_kwh: Some(0.0), ..place(Some("DEU"), None) };
    assert!(errors(&only_figure).contains("metrics.market_instrument"));
    let both = MetricsConfig { market_intensity_g_per_kwh: Some(0.0), ..only_words };
    let basis = resolve(&both).unwrap();
    assert_eq!(basis.market.unwrap().instrument, "certificates");
    assert!(basis.factor.unwrap().intensity.0 > 100.0, "location-based stands beside it");
}

#[test]
fn halves_of_pairs_and_figures_out_of_range_are_errors() {
    let broken = MetricsConfig {
        wue: Some(-1.0),
        electricity_price_per_kwh: Some(0.2),
        embodied_kgco2e: Some(1200.0),
        hardware_share: 1.5,
        carbon_intensity_uncertainty: Some(f64::NAN),
        ..place(Some("DEU"), None)
    };
    let text = errors(&broken);
    for key in [
        "metrics.wue",
        "metrics.electricity_currency",
        "metrics.hardware_lifetime_years",
        "metrics.hardware_share",
        "metrics.carbon_intensity_uncertainty",
    ] {
        assert!(text.contains(key), "{key}: {text}");
    }
}

#[test]
fn a_live_intensity_needs_a_token_and_a_place() {
    let asked = MetricsConfig { live_intensity: Some(true), ..place(Some("DEU"), None) };
    assert!(errors(&asked).contains("ELECTRICITYMAPS_API_TOKEN"));
    let live = |metrics: &MetricsConfig| carbon::resolve(metrics, true).unwrap().live;
    assert_eq!(live(&asked).unwrap().zone, "DE");
    assert_eq!(live(&place(Some("DEU"), None)).unwrap().zone, "DE");
    assert_eq!(live(&place(None, None)), None);
    assert_eq!(live(&MetricsConfig { live_intensity: Some(false), ..asked.clone() }), None);
    let nowhere = MetricsConfig { country_iso_code: None, ..asked.clone() };
    assert!(carbon::resolve(&nowhere, true).is_err());
    let given = MetricsConfig { carbon_intensity_g_per_kwh: Some(5.0), ..asked };
    assert!(carbon::resolve(&given, true).unwrap_err().to_string().contains("contradicts"));
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
