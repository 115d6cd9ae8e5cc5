//! Findings of runs whose joules are known.

use ai_energy_benchmarks::analysis::analyse;
use ai_energy_benchmarks::analysis::findings::{Attribution, Basis, Figure, Findings, Machine};
use ai_energy_benchmarks::record::{
    Component, Event, EventRecord, FailureClass, Phase, Quantity, RunRecords, Source, StopReason,
    Warning, Weights,
};

use crate::report_runs::{
    self as runs, CPU, CPU_MODEL, GPU_BUSY, GPU_COUNTER, GPU_IDLE, GPU_POWER, RAM, at,
};

/// Length of the measured window.
const WINDOW: f64 = 10.02;

fn codes(findings: &Findings) -> Vec<&str> {
    findings.warnings.iter().map(|warning| warning.code.as_str()).collect()
}

#[track_caller]
fn near(figure: &Figure, expected: f64, tolerance: f64) {
    let value = figure.value.unwrap_or_else(|| panic!("null: {:?}", figure.reason));
    assert!((value - expected).abs() <= tolerance, "{value} is not {expected} within {tolerance}");
}

fn part(
    findings: &Findings,
    component: Component,
) -> &ai_energy_benchmarks::analysis::findings::ComponentEnergy {
    findings
        .energy
        .components
        .iter()
        .find(|part| part.component == component)
        .expect("every component is listed")
}

#[test]
fn a_known_run_gives_its_joules_within_the_stated_uncertainty() {
    let findings = analyse(&runs::run());
    let gross = &part(&findings, Component::Gpu).account.gross;
    let truth = GPU_BUSY * WINDOW;
    let uncertainty = gross.uncertainty.as_ref().unwrap();
    near(gross, truth, 2.0 * uncertainty.random);
    assert!(uncertainty.random < 0.01 * truth, "{uncertainty:?}");
    assert!((uncertainty.systematic.unwrap() - 0.05 * truth).abs() < 0.5);
    assert_eq!(gross.source, Some(Source::Measured));
    near(&part(&findings, Component::Cpu).account.gross, CPU * WINDOW, 1e-6);
    near(&part(&findings, Component::Ram).account.gross, RAM * WINDOW, 1e-6);
    near(&findings.run.window, WINDOW, 1e-9);
    near(&part(&findings, Component::Gpu).account.mean_power, GPU_BUSY, 0.5);
}

#[test]
fn the_headline_is_measured_only_and_the_modelled_part_stands_beside_it() {
    let findings = analyse(&runs::run());
    let energy = &findings.energy;
    assert_eq!(energy.machine, Machine::Server);
    assert_eq!(energy.measured.included, [Component::Gpu]);
    assert_eq!(energy.modelled.included, [Component::Cpu, Component::Ram]);
    near(&energy.measured.account.gross, GPU_BUSY * WINDOW, 5.0);
    near(&energy.modelled.account.gross, (CPU + RAM) * WINDOW, 1e-6);
    near(&energy.combined.account.gross, (GPU_BUSY + CPU + RAM) * WINDOW, 5.0);
    assert_eq!(energy.combined.account.gross.source, Some(Source::Modelled));
    near(&energy.modelled_share, 28.0 / 128.0, 1e-3);
    assert_eq!(findings.efficiency.basis, Basis::Gpu);
}

#[test]
fn net_energy_names_its_baseline_and_idling_is_what_it_was() {
    let findings = analyse(&runs::run());
    let account = &part(&findings, Component::Gpu).account;
    near(&account.idle_power_before, GPU_IDLE, 3.0);
    near(&account.idle_power_after, GPU_IDLE, 3.0);
    near(&account.net, (GPU_BUSY - GPU_IDLE) * WINDOW, 30.0);
    assert_eq!(account.net_baseline.as_deref(), Some("model_loaded"));
    near(&account.idle_share, 0.6, 0.03);
    let net = account.net.uncertainty.as_ref().unwrap();
    assert!(net.random > account.gross.uncertainty.as_ref().unwrap().random);
}

#[test]
fn efficiency_is_energy_over_what_it_bought() {
    let findings = analyse(&runs::run());
    let efficiency = &findings.efficiency;
    let joules = findings.energy.measured.account.gross.value.unwrap();
    near(&efficiency.joules_per_output_token, joules / 63.0, 1e-9);
    near(&efficiency.joules_per_total_token, joules / 183.0, 1e-9);
    near(&efficiency.joules_per_request, joules / 3.0, 1e-9);
    near(&efficiency.output_tokens_per_joule, 63.0 / joules, 1e-12);
    near(&efficiency.wh_per_1000_requests, joules / 3.0 / 3.6, 1e-9);
    let [low, high] = efficiency.wh_per_1000_requests.interval_95.unwrap();
    let value = efficiency.wh_per_1000_requests.value.unwrap();
    assert!(low < value && value < high);
    // The cheapest request took 2.01 s, the dearest 5 s, at 100 W.
    assert!(low > 200.0 / 3.6 && high < 501.0 / 3.6, "{low} {high}");
    let facts = efficiency.bootstrap.as_ref().unwrap();
    assert_eq!((facts.prompts, facts.attribution), (3, Attribution::Measured));
    assert!(efficiency.wh_per_1000_requests.note.as_ref().unwrap().contains("too narrow"));
}

#[test]
fn emissions_are_gross_energy_times_pue_times_factor() {
    let findings = analyse(&runs::run());
    let emissions = &findings.emissions;
    let joules = findings.energy.combined.account.gross.value.unwrap();
    near(&emissions.total, joules / 3.6e6 * 1.2 * 400.0, 1e-9);
    near(&emissions.per_1000_requests, joules / 3.6e6 * 1.2 * 400.0 / 3.0 * 1000.0, 1e-6);
    assert_eq!(emissions.total.source, Some(Source::Modelled));
    assert_eq!(emissions.included, [Component::Gpu, Component::Cpu, Component::Ram]);
    assert_eq!(
        emissions.basis,
        "gross energy of gpu (measured) and cpu + ram (modelled), times a PUE of 1.2"
    );
}

#[test]
fn times_tokens_and_rates_follow_their_definitions() {
    let findings = analyse(&runs::run());
    assert!(findings.run.complete);
    let latency = &findings.latency;
    assert_eq!((latency.ttft.n, latency.ttft.p50), (3, Some(0.3)));
    assert_eq!((latency.e2e.min, latency.e2e.max), (Some(2.0), Some(5.0)));
    assert!((latency.inter_token_latency.p50.unwrap() - 2.7 / 20.0).abs() < 1e-12);
    assert_eq!(latency.inter_chunk_latency.n, 27);
    near(&findings.tokens.total, 183.0, 0.0);
    near(&findings.tokens.cached_prompt, 12.0, 0.0);
    assert!(findings.tokens.reasoning.reason.as_ref().unwrap().contains("reasoning"));
    near(&findings.throughput.requests, 3.0 / WINDOW, 1e-9);
    near(&findings.throughput.output_tokens, 63.0 / WINDOW, 1e-9);
    assert_eq!(findings.throughput.peak_in_flight, 1);
}

#[test]
fn overhead_is_what_the_phases_and_the_window_leave() {
    let findings = analyse(&runs::run());
    // 18.1 s of wall time; 1 + 3 + 1 + 3 s of phases and 10.02 s of window.
    near(&findings.run.overhead, 0.08, 1e-9);
    let warmup = findings.phases.iter().find(|phase| phase.phase == Phase::Warmup).unwrap();
    near(&warmup.measured, GPU_BUSY, 10.0);
    near(&warmup.duration, 1.0, 1e-9);
    assert_eq!(warmup.began, "2026-01-02T03:04:09.000000Z");
}

#[test]
fn failed_requests_are_counted_by_class_and_their_energy_is_inside() {
    let mut records = runs::run();
    records.requests[1] = runs::failed(1, runs::REQUESTS[1], FailureClass::HttpStatus);
    records.requests[1].retries = 2;
    let findings = analyse(&records);
    let counts = &findings.counts;
    assert_eq!((counts.sent, counts.succeeded, counts.failed, counts.retries), (3, 2, 1, 2));
    assert_eq!(counts.failed_by_class[&FailureClass::HttpStatus], 1);
    let joules = findings.energy.measured.account.gross.value.unwrap();
    near(&findings.efficiency.wh_per_1000_requests, joules / 2.0 / 3.6, 1e-9);
    near(&findings.efficiency.joules_per_output_token, joules / 42.0, 1e-9);
    assert_eq!(findings.latency.e2e.n, 2);
    assert!(codes(&findings).contains(&"requests_failed"));
    assert!(codes(&findings).contains(&"retries"));
}

#[test]
fn when_nothing_succeeds_there_are_joules_but_none_per_request() {
    let mut records = runs::run();
    for (index, request) in records.requests.iter_mut().enumerate() {
        *request = runs::failed(index as u64, runs::REQUESTS[index], FailureClass::Deadline);
    }
    let findings = analyse(&records);
    near(&findings.energy.measured.account.gross, GPU_BUSY * WINDOW, 5.0);
    for figure in [
        &findings.efficiency.wh_per_1000_requests,
        &findings.efficiency.joules_per_request,
        &findings.efficiency.joules_per_output_token,
        &findings.tokens.completion,
    ] {
        assert_eq!(figure.value, None);
        assert_eq!(figure.reason.as_deref(), Some("no request succeeded"));
    }
    assert_eq!(findings.latency.ttft.reason.as_deref(), Some("no request succeeded"));
}

#[test]
fn without_a_single_request_everything_says_why() {
    let mut records = runs::run();
    records.requests.clear();
    let findings = analyse(&records);
    assert!(!findings.run.complete);
    assert!(findings.run.window.reason.is_some());
    assert!(
        part(&findings, Component::Gpu)
            .account
            .gross
            .reason
            .as_ref()
            .unwrap()
            .contains("no request was sent")
    );
    assert_eq!(findings.counts.not_sent, 3);
}

#[test]
fn a_failed_gpu_is_no_zero_and_nothing_takes_its_place() {
    let mut records = runs::run();
    for sample in &mut records.samples {
        if usize::from(sample.sensor) == GPU_COUNTER {
            sample.value = None;
            sample.error = Some("GPU is lost".to_owned());
        }
    }
    let findings = analyse(&records);
    let gross = &part(&findings, Component::Gpu).account.gross;
    assert_eq!(gross.value, None);
    assert!(gross.reason.as_ref().unwrap().contains("GPU is lost"));
    assert_eq!(findings.efficiency.basis, Basis::Gpu);
    assert_eq!(findings.efficiency.wh_per_1000_requests.value, None);
    assert_eq!(findings.energy.measured.account.gross.value, None);
    assert_eq!(findings.energy.combined.account.gross.value, None);
    assert_eq!(findings.emissions.total.value, None);
    near(&findings.energy.modelled.account.gross, (CPU + RAM) * WINDOW, 1e-6);
    let found = codes(&findings);
    assert!(found.contains(&"energy_missing") && found.contains(&"failed_reads"), "{found:?}");
}

#[test]
fn missing_reads_in_the_window_are_null_with_the_reason() {
    let mut records = runs::run();
    records.samples.retain(|sample| {
        usize::from(sample.sensor) != GPU_COUNTER
            || sample.before_ns < at(4500)
            || sample.before_ns > at(5600)
    });
    let findings = analyse(&records);
    let reason = part(&findings, Component::Gpu).account.gross.reason.clone().unwrap();
    assert!(reason.contains("was not read for 1.20 s"), "{reason}");
    assert!(part(&findings, Component::Gpu).account.idle_power_before.value.is_some());
}

#[test]
fn without_a_gpu_the_models_are_the_basis_and_it_is_said() {
    let findings = analyse(&runs::without_gpu());
    assert_eq!(findings.efficiency.basis, Basis::ModelledTotal);
    near(&findings.efficiency.joules_per_request, (CPU + RAM) * WINDOW / 3.0, 1e-6);
    assert_eq!(findings.efficiency.joules_per_request.source, Some(Source::Modelled));
    let gpu = part(&findings, Component::Gpu);
    assert_eq!(gpu.account.gross.reason.as_deref(), Some("no NVIDIA driver on this machine"));
    assert!(findings.energy.measured.account.gross.reason.is_some());
    near(&findings.energy.modelled_share, 1.0, 0.0);
    assert!(codes(&findings).contains(&"nothing_measured"));
}

#[test]
fn without_meters_time_and_tokens_remain() {
    let findings = analyse(&runs::without_meters());
    assert_eq!(findings.efficiency.basis, Basis::Nothing);
    assert!(findings.energy.combined.account.gross.reason.is_some());
    assert!(findings.efficiency.wh_per_1000_requests.reason.is_some());
    near(&findings.throughput.output_tokens, 63.0 / WINDOW, 1e-9);
}

#[test]
fn a_remote_server_has_no_energy_and_this_machine_is_the_client() {
    let mut records = runs::run();
    records.manifest.backend.local = false;
    records.manifest.backend.local_reason =
        "198.51.100.7 is not an address of this machine".to_owned();
    let findings = analyse(&records);
    let reason = findings.energy.combined.account.gross.reason.as_ref().unwrap();
    assert!(reason.contains("another machine") && reason.contains("198.51.100.7"));
    assert_eq!(findings.efficiency.wh_per_1000_requests.value, None);
    assert_eq!(findings.emissions.total.value, None);
    let client = findings.client_energy.as_ref().unwrap();
    assert_eq!(client.machine, Machine::Client);
    near(&client.combined.account.gross, (GPU_BUSY + CPU + RAM) * WINDOW, 5.0);
    assert!(codes(&findings).contains(&"remote_server"));
}

#[test]
fn synthetic_weights_are_said_in_plain_words() {
    let mut records = runs::run();
    records.manifest.backend.weights = Weights::Synthetic;
    let findings = analyse(&records);
    assert!(findings.weights_note.as_ref().unwrap().contains("not comparable"));
    assert!(codes(&findings).contains(&"synthetic_weights"));
    assert_eq!(analyse(&runs::run()).weights_note, None);
}

#[test]
fn an_interrupted_run_reports_what_it_has() {
    let mut records = runs::run();
    records.requests.truncate(2);
    records.requests[1] = runs::failed(1, (7020, 8000), FailureClass::Cancelled);
    records.events.retain(|record| record.at_ns <= at(5000));
    records.events.push(EventRecord {
        at_ns: at(8000),
        event: Event::Stopped { reason: StopReason::Interrupted },
    });
    let findings = analyse(&records);
    assert!(!findings.run.complete);
    assert_eq!(findings.run.stop_reason, Some(StopReason::Interrupted));
    assert_eq!(
        findings.run.incomplete_reason.as_deref(),
        Some("it was interrupted; 2 of 3 requests were sent")
    );
    near(&findings.energy.measured.account.gross, GPU_BUSY * 2.99, 5.0);
    near(&findings.run.overhead, 0.01, 1e-9);
    let measure = findings.phases.iter().find(|phase| phase.phase == Phase::Measure).unwrap();
    assert_eq!((measure.ended.as_ref(), measure.duration.value), (None, None));
}

#[test]
fn a_crash_leaves_torn_lines_and_an_incomplete_run() {
    let mut records = runs::run();
    records.events.retain(|record| record.event != Event::Finished);
    records.torn_lines.insert("samples.jsonl".to_owned(), 1);
    let findings = analyse(&records);
    assert!(findings.run.incomplete_reason.as_ref().unwrap().contains("end in the middle"));
    assert!(codes(&findings).contains(&"torn_lines"));
}

#[test]
fn overlapping_requests_are_shared_out_by_tokens_and_called_estimated() {
    let mut records = runs::run();
    records.requests[1].sent_ns = at(6000);
    let findings = analyse(&records);
    assert_eq!(findings.throughput.peak_in_flight, 2);
    let figure = &findings.efficiency.wh_per_1000_requests;
    assert_eq!(figure.interval_95, None, "equal shares say nothing of the spread");
    assert!(figure.note.as_ref().unwrap().contains("equal by construction"));
    records.requests[2].tokens.completion = Some(1);
    let findings = analyse(&records);
    let facts = findings.efficiency.bootstrap.as_ref().unwrap();
    assert_eq!(facts.attribution, Attribution::Estimated);
    let [low, high] = findings.efficiency.wh_per_1000_requests.interval_95.unwrap();
    assert!(low < high, "{low} {high}");
    records.requests[0].tokens.completion = None;
    let findings = analyse(&records);
    assert_eq!(findings.efficiency.wh_per_1000_requests.interval_95, None);
    assert!(
        findings.efficiency.wh_per_1000_requests.note.as_ref().unwrap().contains("output tokens")
    );
}

#[test]
fn one_prompt_has_no_interval_and_says_so() {
    let mut records = runs::run();
    records.requests.truncate(1);
    let findings = analyse(&records);
    let figure = &findings.efficiency.wh_per_1000_requests;
    assert!(figure.value.is_some() && figure.interval_95.is_none());
    assert!(figure.note.as_ref().unwrap().contains("at least 2 prompts"));
}

#[test]
fn a_counter_and_power_that_disagree_are_told() {
    let records = runs::run();
    let findings = analyse(&records);
    assert_eq!(findings.cross_checks.len(), 1);
    assert!(findings.cross_checks[0].difference.value.unwrap().abs() < 0.02);
    assert!(!codes(&findings).contains(&"counter_mismatch"));
    let mut records = records;
    for sample in &mut records.samples {
        if usize::from(sample.sensor) == GPU_POWER {
            sample.value = sample.value.map(|watts| watts * 0.9);
        }
    }
    assert!(codes(&analyse(&records)).contains(&"counter_mismatch"));
}

#[test]
fn a_baseline_that_drifts_is_told() {
    let mut records = runs::run();
    for sample in &mut records.samples {
        if usize::from(sample.sensor) == CPU_MODEL && sample.before_ns >= at(15_050) {
            sample.value = Some(2.0 * CPU);
        }
    }
    let findings = analyse(&records);
    assert!(findings.warnings.iter().any(|warning| {
        warning.code == "idle_drift" && warning.message.contains("The cpu idled at 8.0 W before")
    }));
}

#[test]
fn warnings_of_the_run_are_kept_once() {
    let mut records = runs::run();
    let warning = Warning::new("untested_server_version", "vLLM 9.9 was never tested");
    records.manifest.warnings.push(warning.clone());
    records.events.push(EventRecord { at_ns: at(1), event: Event::Warning { warning } });
    let findings = analyse(&records);
    assert_eq!(
        codes(&findings).iter().filter(|code| **code == "untested_server_version").count(),
        1
    );
}

#[test]
fn a_load_sensor_is_observed_and_gives_no_energy() {
    let findings = analyse(&runs::run());
    let seen = &findings.observations;
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].quantity, seen[0].mean.value), (Quantity::Utilization, Some(0.75)));
    let sensor = findings.sensors.iter().find(|sensor| sensor.info.name == "gpu0.energy").unwrap();
    assert!(sensor.changes.unwrap() > 150 && sensor.failed_reads == 0);
    assert!(sensor.longest_gap.value.unwrap() < 0.06);
}

#[test]
fn good_requests_are_those_within_their_objectives_and_the_others_cost() {
    let mut records = runs::run();
    // TTFT 0.2, 0.3 and 0.5 s; the last is late.
    records.manifest.config["metrics"]["slo"] = serde_json::json!({"ttft_ms": 400, "e2e_ms": null});
    let findings = analyse(&records);
    let joules = findings.energy.measured.account.gross.value.unwrap();
    let goodput = findings.goodput.as_ref().unwrap();
    assert_eq!((goodput.objectives.len(), goodput.objectives[0].missed), (1, 1));
    near(&goodput.good_requests, 2.0, 0.0);
    near(&goodput.good_request_fraction, 2.0 / 3.0, 1e-12);
    near(&goodput.requests_per_second, 2.0 / WINDOW, 1e-9);
    near(&goodput.joules_per_good_request, joules / 2.0, 1e-9);
    near(&goodput.joules_per_good_output_token, joules / 42.0, 1e-9);
    near(&goodput.good_requests_per_joule, 2.0 / joules, 1e-12);
    // What the split gives to the late one, with its part of idling.
    let late = &findings.attribution.requests[2];
    near(&goodput.wasted, late.total_j() + late.idle_j.unwrap(), 1e-9);
    // It took 5 s of a machine that draws 100 W while one is in flight.
    near(&goodput.wasted, GPU_BUSY * 5.0, 25.0);
    near(&goodput.wasted_unanswered, 0.0, 0.0);
    assert_eq!(goodput.wasted.source, Some(Source::Modelled));
    assert_eq!(goodput.joules_per_good_request.source, Some(Source::Measured));
    assert!(goodput.joules_per_good_request.uncertainty.is_some());
    records.requests[1] = runs::failed(1, runs::REQUESTS[1], FailureClass::Reset);
    let failed = analyse(&records).goodput.unwrap();
    near(&failed.good_request_fraction, 1.0 / 3.0, 1e-12);
    assert_eq!(failed.objectives[0].missed, 1);
}

#[test]
fn without_objectives_every_success_is_good() {
    let findings = analyse(&runs::run());
    let goodput = findings.goodput.unwrap();
    assert!(goodput.objectives.is_empty());
    near(&goodput.good_request_fraction, 1.0, 0.0);
    near(&goodput.wasted, 0.0, 0.0);
    assert_eq!(goodput.joules_per_good_request, findings.efficiency.joules_per_request);
}

#[test]
fn peak_power_is_known_over_what_the_sensor_resolves() {
    let findings = analyse(&runs::run());
    let [short, long] = &findings.efficiency.peak_power[..] else { panic!("two lengths") };
    assert_eq!((short.windows, long.windows), (100, 10));
    near(&long.p99, GPU_BUSY, 3.0);
    near(&long.max, GPU_BUSY, 3.0);
    assert!(long.p99.note.as_ref().unwrap().contains("10 windows"));
    assert!(short.p99.value.is_some() || short.p99.reason.is_some());
    near(
        &findings.efficiency.energy_delay_product,
        10.0 / 3.0 * findings.efficiency.joules_per_request.value.unwrap(),
        1e-6,
    );
}

#[test]
fn every_definition_names_a_figure_of_the_report_with_its_unit() {
    use ai_energy_benchmarks::analysis::definitions::ENTRIES;
    let mut records = runs::run();
    records.manifest.config["metrics"]["slo"] = serde_json::json!({"ttft_ms": 400});
    let report = serde_json::to_value(analyse(&records)).unwrap();
    for entry in ENTRIES {
        let pointer = format!("/{}", entry.path.replace('.', "/"));
        let figure = report.pointer(&pointer).unwrap_or_else(|| panic!("{pointer} is missing"));
        if let Some(unit) = figure.get("unit") {
            assert_eq!(unit, entry.unit, "{}", entry.path);
        }
        assert_eq!(report["definitions"][entry.path]["definition"], entry.definition);
    }
}

#[test]
fn counts_add_up_whatever_happened() {
    use proptest::prelude::*;
    proptest!(|(fates in proptest::collection::vec(0_u8..5, 0..12), planned in 0_u64..15)| {
        let mut records: RunRecords = runs::run();
        records.manifest.planned_requests = planned;
        records.requests = fates.iter().zip(0..).map(|(fate, index)| {
            let span = (5010 + index * 500, 5500 + index * 500);
            match fate {
                0 => runs::request(index, span),
                1 => runs::failed(index, span, FailureClass::Connect),
                2 => runs::failed(index, span, FailureClass::Cancelled),
                3 => runs::failed(index, span, FailureClass::InFlight),
                _ => runs::failed(index, span, FailureClass::Reset),
            }
        }).collect();
        let counts = analyse(&records).counts;
        prop_assert_eq!(counts.sent, counts.succeeded + counts.unanswered());
        prop_assert_eq!(counts.failed, counts.failed_by_class.values().sum::<u64>());
        let of = |fate: u8| fates.iter().filter(|one| **one == fate).count() as u64;
        prop_assert_eq!((counts.succeeded, counts.cancelled, counts.in_flight_at_end), (of(0), of(2), of(3)));
        prop_assert_eq!(counts.failed, of(1) + of(4));
        prop_assert_eq!(counts.not_sent, planned.saturating_sub(counts.sent));
    });
}
