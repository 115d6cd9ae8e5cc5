//! What the energy means outside the machine: emissions by either method, water, cost, hardware, CodeCarbon's files.

use ai_energy_benchmarks::analysis::footprint::Footprint;
use ai_energy_benchmarks::analysis::{Findings, analyse};
use ai_energy_benchmarks::record::{
    CarbonMethod, ElectricityPrice, Embodied, Event, EventRecord, IntensityReading, LiveIntensity,
    MarketFactor, RunRecords, Source,
};
use ai_energy_benchmarks::report::{emissions, table, tasks};
use ai_energy_benchmarks::units::{GramsPerKwh, Nanos};
use jiff::tz::TimeZone;

use crate::report_runs as runs;

/// Everything that can be asked for.
fn asked() -> RunRecords {
    let mut records = runs::run();
    let carbon = &mut records.manifest.carbon;
    carbon.market = Some(MarketFactor {
        intensity: GramsPerKwh(100.0),
        instrument: "residual_mix".to_owned(),
        source: "AIB 2024".to_owned(),
    });
    carbon.wue = Some(1.8);
    carbon.price = Some(ElectricityPrice { per_kwh: 0.25, currency: "EUR".to_owned() });
    carbon.embodied = Some(Embodied { kgco2e: 1500.0, lifetime_years: 5.0, share: 0.125 });
    carbon.factor.as_mut().unwrap().relative_uncertainty = Some(0.1);
    records
}

fn footprint(findings: &Findings) -> &Footprint {
    findings.footprint.as_ref().unwrap()
}

fn near(value: Option<f64>, expected: f64) {
    let value = value.unwrap();
    assert!((value - expected).abs() <= 1e-9 * expected.abs(), "{value} is not {expected}");
}

#[test]
fn a_million_requests_and_tokens_scale_the_windows_energy_and_emissions() {
    let findings = analyse(&asked());
    let kwh = findings.energy.combined.account.gross.value.unwrap() / 3.6e6;
    let grams = findings.emissions.total.value.unwrap();
    near(Some(grams), kwh * 1.2 * 400.0);
    let per = &footprint(&findings).per_million;
    near(per.kwh_requests.value, kwh / 3.0 * 1e6);
    near(per.kwh_output_tokens.value, kwh / 63.0 * 1e6);
    near(per.kgco2e_requests.value, grams / 1000.0 / 3.0 * 1e6);
    near(per.kgco2e_output_tokens.value, grams / 1000.0 / 63.0 * 1e6);
    near(footprint(&findings).factor_uncertainty.value, grams * 0.1);
}

#[test]
fn market_based_emissions_stand_beside_and_are_unknown_without_a_factor() {
    let findings = analyse(&asked());
    let kwh = findings.energy.combined.account.gross.value.unwrap() / 3.6e6;
    let market = &footprint(&findings).market_based;
    near(market.value, kwh * 1.2 * 100.0);
    assert_eq!(market.source, Some(Source::Assumed));
    let without = analyse(&runs::run());
    let market = &footprint(&without).market_based;
    assert_eq!(market.value, None);
    assert!(market.reason.as_deref().unwrap().contains("market_intensity"), "{market:?}");
}

#[test]
fn water_is_of_it_energy_and_cost_of_the_sites() {
    let findings = analyse(&asked());
    let kwh = findings.energy.combined.account.gross.value.unwrap() / 3.6e6;
    let footprint = footprint(&findings);
    near(footprint.water.value, kwh * 1.8);
    near(footprint.cost.window.value, kwh * 1.2 * 0.25);
    near(footprint.cost.million_output_tokens.value, kwh * 1.2 * 0.25 / 63.0 * 1e6);
    assert_eq!(footprint.cost.million_output_tokens.unit, "EUR/million output tokens");
}

#[test]
fn hardware_counts_for_the_measured_window_and_sci_adds_it_to_the_operation() {
    let findings = analyse(&asked());
    let footprint = footprint(&findings);
    let embodied = 1_500_000.0 * 0.125 * 10.02 / (5.0 * 365.25 * 86_400.0);
    near(footprint.embodied.value, embodied);
    let operation = findings.emissions.total.value.unwrap();
    near(footprint.sci.request.value, (operation + embodied) / 3.0);
    assert_eq!(footprint.sci.request.source, Some(Source::Assumed));
    let without = analyse(&runs::run());
    let sci = &without.footprint.unwrap().sci.request;
    assert!(sci.value.is_none() && sci.reason.as_deref().unwrap().contains("embodied"), "{sci:?}");
}

#[test]
fn without_meters_every_figure_is_null_with_a_reason() {
    let mut records = runs::without_meters();
    records.manifest.carbon = asked().manifest.carbon;
    let findings = analyse(&records);
    let footprint = footprint(&findings);
    for figure in [
        &footprint.market_based,
        &footprint.water,
        &footprint.cost.window,
        &footprint.per_million.kwh_requests,
        &footprint.sci.request,
        &footprint.factor_uncertainty,
    ] {
        assert!(figure.value.is_none() && figure.reason.is_some(), "{figure:?}");
    }
}

fn reading(at: Nanos, intensity: f64) -> EventRecord {
    EventRecord {
        at_ns: at,
        event: Event::CarbonIntensity {
            reading: IntensityReading {
                service: "Electricity Maps".to_owned(),
                zone: "US-CAL-CISO".to_owned(),
                intensity: GramsPerKwh(intensity),
                for_hour: Some("2026-01-02T03:00:00.000Z".to_owned()),
                estimated: Some(true),
                emission_factor_type: Some("lifecycle".to_owned()),
            },
        },
    }
}

#[test]
fn the_grids_own_hours_replace_the_table_and_the_table_stands_beside() {
    let mut records = asked();
    let table = analyse(&records);
    let sent = records.requests.iter().map(|request| request.sent_ns).min().unwrap();
    records.manifest.carbon.live = Some(LiveIntensity {
        service: "Electricity Maps".to_owned(),
        zone: "US-CAL-CISO".to_owned(),
    });
    records.events.push(reading(sent, 200.0));
    let findings = analyse(&records);
    let factor = findings.emissions.factor.as_ref().unwrap();
    assert_eq!(factor.intensity, GramsPerKwh(200.0));
    assert_eq!(factor.boundary.words(), "life cycle, consumption, average");
    assert!(factor.source.contains("1 of them estimated"), "{}", factor.source);
    near(findings.emissions.total.value, table.emissions.total.value.unwrap() / 2.0);
    let live = footprint(&findings).live.as_ref().unwrap();
    assert_eq!(live.table.as_ref().unwrap().intensity, GramsPerKwh(400.0));
    let text = table::render(&findings, &[]).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("the tables have 400 gCO2e/kWh"), "{text}");
}

/// One cell of `emissions.csv`.
fn cell(findings: &Findings, column: &str) -> String {
    let position = emissions::HEADER.iter().position(|name| *name == column).unwrap();
    emissions::row(findings, &TimeZone::UTC)[position].clone()
}

fn number(findings: &Findings, column: &str) -> f64 {
    cell(findings, column).parse().unwrap()
}

#[test]
fn by_codecarbons_rules_every_energy_and_power_is_times_the_pue() {
    let ours = analyse(&asked());
    let mut records = asked();
    records.manifest.carbon.method = CarbonMethod::Codecarbon;
    let findings = analyse(&records);
    for column in ["cpu_energy", "gpu_energy", "ram_energy", "cpu_power", "gpu_power", "ram_power"]
    {
        near(Some(number(&findings, column)), number(&ours, column) * 1.2);
    }
    for column in ["energy_consumed", "emissions"] {
        near(Some(number(&findings, column)), number(&ours, column));
    }
    near(Some(number(&findings, "water_consumed")), number(&findings, "energy_consumed") * 1.8);
    assert_eq!(
        (cell(&findings, "on_cloud"), cell(&findings, "cloud_provider")),
        ("N".to_owned(), String::new())
    );
}

#[test]
fn exact_figures_have_codecarbons_joule_where_a_counter_counted() {
    let of = |method| {
        let mut records = asked();
        records.manifest.carbon.method = method;
        analyse(&records)
    };
    let (corrected, exact) = (of(CarbonMethod::Codecarbon), of(CarbonMethod::CodecarbonExact));
    near(
        Some(number(&exact, "gpu_energy")),
        number(&corrected, "gpu_energy") * 2.777_78e-7 * 3.6e6,
    );
    near(Some(number(&exact, "ram_energy")), number(&corrected, "ram_energy"));
    let sum: f64 =
        ["cpu_energy", "gpu_energy", "ram_energy"].map(|part| number(&exact, part)).iter().sum();
    near(Some(number(&exact, "energy_consumed")), sum);
    near(Some(number(&exact, "emissions")), sum * 0.4);
}

#[test]
fn phases_are_tasks_in_codecarbons_columns_and_their_file_has_its_name() {
    let mut records = asked();
    assert_eq!(tasks::render(&analyse(&records), &TimeZone::UTC).unwrap(), None);
    records.manifest.carbon.method = CarbonMethod::Codecarbon;
    records.manifest.carbon.factor.as_mut().unwrap().region = Some("california".to_owned());
    records.manifest.config["metrics"]["experiment_name"] = "a/b".into();
    let findings = analyse(&records);
    assert_eq!(tasks::file(&findings), format!("emissions_a_b_{}.csv", findings.run.id));
    let text =
        String::from_utf8(tasks::render(&findings, &TimeZone::UTC).unwrap().unwrap()).unwrap();
    let mut lines = text.lines();
    let header = include_str!("../data/codecarbon_task_header.csv").trim();
    assert_eq!(lines.next(), Some(header));
    let names: Vec<&str> = lines.filter_map(|line| line.split(',').next()).collect();
    assert_eq!(names, ["load", "idle_before", "warmup", "measure", "idle_after"]);
    let task = footprint(&findings).tasks.iter().find(|task| task.name == "measure").unwrap();
    assert!(task.totals.energy_consumed.is_some_and(|kwh| kwh > 0.0), "{task:?}");
}
