//! The grid's own hours: a service is asked during a run, and whatever it does, the run has its figures.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ai_energy_benchmarks::analysis::analyse;
use ai_energy_benchmarks::config::component::backend::{BackendConfig, VllmConfig};
use ai_energy_benchmarks::config::component::metrics::KIND_ENERGY;
use ai_energy_benchmarks::config::{BenchmarkConfig, Environment};
use ai_energy_benchmarks::record::{Event, RunRecords};
use ai_energy_benchmarks::registry::Registry;
use ai_energy_benchmarks::run::{self, Folder, Options, Silent};
use ai_energy_benchmarks_testkit::backend::ScriptedBackend;
use ai_energy_benchmarks_testkit::electricity_maps::ElectricityMaps;

const TOKEN: &str = "secret-token-of-the-grid";

/// A short run in Germany that asks this server.
fn run_against(maps: &ElectricityMaps, folder: &Path) -> RunRecords {
    let mut config = BenchmarkConfig {
        name: "grid".to_owned(),
        backend: BackendConfig::Vllm(VllmConfig {
            model: "script".to_owned(),
            ..VllmConfig::default()
        }),
        ..BenchmarkConfig::default()
    };
    config.scenario.num_samples = Some(2);
    config.scenario.idle_s = 0.05;
    config.metrics.gpu = false;
    config.metrics.kind = KIND_ENERGY.to_owned();
    config.metrics.country_iso_code = Some("DEU".to_owned());
    config.metrics.electricity_maps_url = maps.url().to_owned();
    let environment = Environment::with(BTreeMap::from([(
        "ELECTRICITYMAPS_API_TOKEN".to_owned(),
        TOKEN.to_owned(),
    )]));
    let mut prepared =
        run::prepare(config, &Registry::with_defaults(), &environment).expect("a valid config");
    prepared.backend = Arc::new(ScriptedBackend::steady(2, Duration::from_millis(1)));
    let options = Options {
        folder: Folder::New(folder.join("run")),
        observer: Arc::new(Silent),
        files: Vec::new(),
        git_commit: None,
        judge: None,
    };
    let end = run::execute(prepared, options).expect("a run");
    for file in fs::read_dir(&end.folder).unwrap().flatten().filter(|file| file.path().is_file()) {
        let text = fs::read(file.path()).unwrap();
        assert!(
            !String::from_utf8_lossy(&text).contains(TOKEN),
            "the token is in {}",
            file.path().display()
        );
    }
    RunRecords::read(&end.folder).expect("a run folder")
}

#[test]
fn a_service_that_answers_gives_the_factor_and_gets_the_token() {
    let maps = ElectricityMaps::grid("DE", 123.0);
    let folder = tempfile::tempdir().unwrap();
    let records = run_against(&maps, folder.path());
    let asked = maps.asked();
    assert_eq!(asked[0].path, "/v3/carbon-intensity/latest?zone=DE");
    assert_eq!(asked[0].token.as_deref(), Some(TOKEN));
    let factor = analyse(&records).emissions.factor.unwrap();
    assert!((factor.intensity.value() - 123.0).abs() < 1e-9, "{factor:?}");
    assert!(factor.source.contains("Electricity Maps, grid DE"), "{}", factor.source);
    assert_eq!(factor.country_iso_code.as_deref(), Some("DEU"));
}

#[test]
fn a_service_that_refuses_or_babbles_is_a_caution_and_the_table_counts() {
    for (status, body, told) in [
        (401, r#"{"error":"Invalid auth-token"}"#, "401: Invalid auth-token"),
        (401, r#"{"error":"secret-token-of-the-grid is wrong"}"#, "*** is wrong"),
        (500, "oops", "answers 500"),
        (302, "", "answers 302"),
        (200, "{}", "has no carbon intensity"),
        (200, r#"{"carbonIntensity":-5}"#, "out of range"),
    ] {
        let maps = ElectricityMaps::answering(status, body);
        let folder = tempfile::tempdir().unwrap();
        let records = run_against(&maps, folder.path());
        let none = !records
            .events
            .iter()
            .any(|record| matches!(record.event, Event::CarbonIntensity { .. }));
        assert!(none, "{status} {body}");
        let findings = analyse(&records);
        let factor = findings.emissions.factor.as_ref().unwrap();
        assert!(factor.source.contains("Our World in Data"), "{}", factor.source);
        let warning = findings
            .warnings
            .iter()
            .find(|warning| warning.code == "live_intensity_failed")
            .unwrap_or_else(|| panic!("no caution for {status} {body}"));
        assert!(warning.message.contains(told), "{}", warning.message);
    }
}
