//! What a report says of repetitions, steady state, baselines and conditions, on runs with known joules.

use ai_energy_benchmarks::analysis::compare::{self, Refusal, Wanted};
use ai_energy_benchmarks::analysis::inference::Test;
use ai_energy_benchmarks::analysis::repetition::RepetitionUnit;
use ai_energy_benchmarks::analysis::{Findings, analyse};
use ai_energy_benchmarks::record::{
    Event, EventRecord, Phase, Quantity, RunRecords, SampleRecord, SensorInfo, Weights, throttle,
};
use ai_energy_benchmarks::report;
use ai_energy_benchmarks::units::Seconds;

use crate::report_runs::{GPU_BUSY, GPU_IDLE, REQUESTS, at, request, run};

fn close(found: f64, expected: f64, share: f64) -> bool {
    (found - expected).abs() <= share * expected.abs()
}

fn has(findings: &Findings, code: &str) -> bool {
    findings.warnings.iter().any(|warning| warning.code == code)
}

/// Each of the three requests a repetition of its own: 2, 3 and 5 s at 100 W.
fn repeated() -> RunRecords {
    let mut records = run();
    for (number, request) in (0..).zip(&mut records.requests) {
        request.repetition = Some(number);
        request.index = 0;
    }
    records.events.retain(|record| {
        !matches!(
            record.event,
            Event::PhaseBegin { phase: Phase::Measure, .. }
                | Event::PhaseEnd { phase: Phase::Measure, .. }
        )
    });
    for (number, (from, to)) in (0..).zip(REQUESTS) {
        let (phase, repetition) = (Phase::Measure, Some(number));
        let begin = Event::PhaseBegin { phase, repetition };
        records.events.push(EventRecord { at_ns: at(from), event: begin });
        let end = Event::PhaseEnd { phase, repetition };
        records.events.push(EventRecord { at_ns: at(to), event: end });
    }
    records.events.sort_by_key(|record| record.at_ns);
    records
}

#[test]
fn energy_is_that_of_the_repetitions_and_not_of_what_lies_between() {
    let findings = analyse(&repeated());
    let gross = findings.energy.measured.account.gross.value.unwrap();
    assert!(close(gross, 10.0 * GPU_BUSY, 0.01), "{gross}");
    assert!(close(findings.run.window.value.unwrap(), 10.0, 1e-9));
    let repetitions = &findings.protocol.repetitions;
    assert_eq!(repetitions.unit, RepetitionUnit::WithinProcess);
    let joules = repetitions.figure("joules_per_request").unwrap();
    for (value, seconds) in joules.values.iter().zip([2.0, 3.0, 5.0]) {
        assert!(close(value.unwrap(), seconds * GPU_BUSY, 0.05), "{joules:?}");
    }
    let mean = joules.mean.unwrap();
    assert!(close(mean, gross / 3.0, 1e-9), "{mean}");
    let gpu = repetitions.figure("gpu_energy_j").unwrap();
    assert_eq!(gpu.values, repetitions.figure("energy_j").unwrap().values);
    assert!(repetitions.figure("cpu_energy_j").is_some_and(|cpu| cpu.mean.is_some()));
    let table = report::table::render(&findings, &[]);
    assert!(table.contains("3 repetitions") && table.contains("within_process"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
}

#[test]
fn records_without_repetitions_are_one() {
    let findings = analyse(&run());
    assert_eq!(findings.protocol.repetitions.rows.len(), 1);
    let figure = findings.protocol.repetitions.figure("joules_per_request").unwrap().clone();
    assert_eq!((figure.std, figure.interval_95, figure.cv), (None, None, None));
    assert_eq!(figure.values.len(), 1);
}

#[test]
fn the_steady_state_stands_beside_the_whole() {
    let mut records = run();
    records.manifest.config["scenario"]["load"] =
        serde_json::json!({"type": "concurrency", "concurrency": 2});
    // Two at a time from 6 to 12 s, one before and one after.
    records.requests = [(5010, 9000), (6000, 11_000), (9000, 12_000), (11_000, 15_030)]
        .into_iter()
        .zip(0..)
        .map(|(span, index)| request(index, span))
        .collect();
    let findings = analyse(&records);
    let steady = &findings.protocol.steady_state;
    assert!(close(steady.duration.value.unwrap(), 6.0, 1e-9), "{steady:?}");
    assert!(close(steady.energy.value.unwrap(), 600.0, 0.02), "{steady:?}");
    assert!(steady.definition.contains("2 requests"));
    assert!(close(steady.share_of_measured.value.unwrap(), 6.0 / 10.02, 1e-6));
    // Of ten events a request 8, 10, 10 and 2 lie in it, of 2.1 tokens each.
    let tokens = steady.output_tokens.value.unwrap();
    assert!(close(tokens, 63.0, 1e-9), "{tokens}");
    let ratio = steady.joules_per_output_token.value.unwrap();
    assert!(close(ratio, steady.energy.value.unwrap() / tokens, 1e-9));

    records.manifest.config["scenario"]["load"]["concurrency"] = 5.into();
    let none = analyse(&records).protocol.steady_state;
    assert!(none.duration.reason.as_deref().unwrap().contains("at most 2"), "{none:?}");
    records.manifest.config["metrics"]["steady_state"] = "none".into();
    let none = analyse(&records).protocol.steady_state;
    assert_eq!(none.joules_per_output_token.reason.as_deref(), Some("none was asked for"));
    records.manifest.config["metrics"]["steady_state"] = "ml_energy".into();
    records.manifest.config["metrics"]["max_num_seqs"] = 1.into();
    let theirs = analyse(&records).protocol.steady_state;
    // First token of the first request at 5.409 s; 4 - 1 - 1 = 2 have ended at 11 s.
    assert!(close(theirs.duration.value.unwrap(), 11.0 - 5.409, 1e-6), "{theirs:?}");
}

#[test]
fn net_energy_is_net_of_the_baseline_that_is_named() {
    let mut records = run();
    let net = |records: &RunRecords| {
        let account = analyse(records).energy.components[0].account.clone();
        (account.net.value, account.net_baseline, account.net.note, account.net.reason)
    };
    let (value, name, ..) = net(&records);
    assert!(close(value.unwrap(), 10.02 * (GPU_BUSY - GPU_IDLE), 0.05), "{value:?}");
    assert_eq!(name.as_deref(), Some("model_loaded"));

    records.manifest.config["metrics"]["baseline"] = "bare".into();
    let (value, _, _, reason) = net(&records);
    assert_eq!(value, None);
    assert!(reason.unwrap().contains("loaded before this run"));

    // The first second of the run, with the model not yet loaded.
    for (ms, event) in [
        (0, Event::PhaseBegin { phase: Phase::IdleBare, repetition: None }),
        (1000, Event::PhaseEnd { phase: Phase::IdleBare, repetition: None }),
    ] {
        records.events.insert(0, EventRecord { at_ns: at(ms), event });
    }
    records.events.sort_by_key(|record| record.at_ns);
    let (value, name, note, _) = net(&records);
    assert_eq!(name.as_deref(), Some("bare"));
    assert!(value.is_some());
    assert!(note.unwrap().contains("one side only"));

    records.manifest.config["metrics"]["baseline"] = "context".into();
    assert!(net(&records).3.unwrap().contains("metrics.baseline_power_w"));
    records.manifest.config["metrics"]["baseline_power_w"] = serde_json::json!({"gpu": 50.0});
    let account = analyse(&records).energy.components[0].account.clone();
    assert!(close(account.net.value.unwrap(), 10.02 * (GPU_BUSY - 50.0), 0.05));
    assert_eq!(account.net.source, Some(ai_energy_benchmarks::record::Source::Assumed));
    assert!(close(account.gross.value.unwrap(), 10.02 * GPU_BUSY, 0.01), "gross stays");
}

/// Adds a sensor beside the GPU's with readings at seconds of the measured window.
fn add_sensor(records: &mut RunRecords, quantity: Quantity, value: impl Fn(u64) -> f64) {
    let counter = records.manifest.sensors[0].clone();
    let info = SensorInfo {
        name: format!("gpu0.{quantity:?}"),
        quantity,
        unit: quantity.unit().to_owned(),
        counted: false,
        update_period_s: None,
        sample_period_s: Seconds(0.5),
        wrap_at: None,
        ..counter
    };
    let sensor = u16::try_from(records.manifest.sensors.len()).unwrap();
    records.manifest.sensors.push(info);
    for step in 0..20 {
        let stamp = at(5100 + 500 * step);
        records.samples.push(SampleRecord {
            sensor,
            before_ns: stamp,
            after_ns: stamp,
            value: Some(value(step)),
            error: None,
        });
    }
}

#[test]
fn conditions_are_cautions_when_they_matter() {
    let quiet = analyse(&run());
    for code in ["clocks_dropped", "power_cap_reached", "temperature_not_steady", "drift"] {
        assert!(!has(&quiet, code), "{code}");
    }
    type Change = (Quantity, fn(u64) -> f64, &'static str);
    let changes: [Change; 7] = [
        (Quantity::Clock, |step| if step < 10 { 1.98e9 } else { 1.2e9 }, "clocks_dropped"),
        (Quantity::Temperature, |step| 50.0 + step as f64, "temperature_not_steady"),
        (Quantity::PowerLimit, |step| if step < 5 { 700.0 } else { 400.0 }, "power_limit_changed"),
        (Quantity::PowerLimit, |_| 101.0, "power_cap_reached"),
        (
            Quantity::ThrottleReasons,
            |step| if step == 3 { f64::from(throttle::HARDWARE_THERMAL) } else { 0.0 },
            "throttled_thermal",
        ),
        (Quantity::ThrottleReasons, |_| f64::from(throttle::POWER_CAP), "power_cap_reached"),
        (Quantity::ThrottleReasons, |_| f64::from(throttle::POWER_BRAKE), "throttled_hardware"),
    ];
    for (quantity, value, code) in changes {
        let mut records = run();
        add_sensor(&mut records, quantity, value);
        assert!(has(&analyse(&records), code), "{quantity:?} {code}");
    }
    let mut fine = run();
    add_sensor(&mut fine, Quantity::Clock, |step| 1.98e9 - 1e6 * (step % 2) as f64);
    add_sensor(&mut fine, Quantity::Temperature, |step| 60.0 + (step % 2) as f64);
    add_sensor(&mut fine, Quantity::PowerLimit, |_| 700.0);
    add_sensor(&mut fine, Quantity::ThrottleReasons, |_| f64::from(throttle::IDLE));
    let fine = analyse(&fine);
    for code in
        ["clocks_dropped", "power_cap_reached", "temperature_not_steady", "power_limit_changed"]
    {
        assert!(!has(&fine, code), "{code}");
    }
}

#[test]
fn others_on_the_processors_and_on_the_gpu_are_told() {
    let mut records = run();
    let look = |ms: u64, machine: f64, ours: f64, server: f64| EventRecord {
        at_ns: at(ms),
        event: Event::CpuTime {
            machine_s: Seconds(machine),
            ours_s: Seconds(ours),
            server_s: Some(Seconds(server)),
        },
    };
    // 10.05 s with 2 processors: 20.1 s of capacity, of which 3 s are neither ours nor the server's.
    records.events.push(look(5000, 100.0, 10.0, 20.0));
    records.events.push(look(15_050, 112.0, 11.0, 28.0));
    let device = records.manifest.host.gpus[0].uuid.clone();
    for (ms, pids) in [(100, vec![4242]), (9000, vec![77, 4242])] {
        let event = Event::GpuProcesses { device: device.clone(), pids };
        records.events.push(EventRecord { at_ns: at(ms), event });
    }
    records.events.sort_by_key(|record| record.at_ns);
    let findings = analyse(&records);
    let share = findings.protocol.foreign_processor_share.value.unwrap();
    assert!(close(share, 3.0 / 20.1, 1e-6), "{share}");
    assert!(has(&findings, "foreign_processor_load"));
    let told = findings.warnings.iter().find(|warning| warning.code == "other_processes_on_gpu");
    assert!(told.is_some_and(|warning| warning.message.contains("pid 77)")), "{told:?}");
}

#[test]
fn a_window_below_ten_seconds_is_called_short() {
    assert!(!has(&analyse(&run()), "short_repetition"), "10.02 s");
    let findings = analyse(&repeated());
    assert!(has(&findings, "short_repetition"), "2 s");
    assert!(has(&findings, "repetitions_vary"), "200, 300 and 500 J");
}

/// A run of the same work, `percent` more or less of it, that began at a minute.
fn run_at(minute: u32, percent: f64) -> Findings {
    let mut records = run();
    records.manifest.run_id = format!("run-{minute}");
    records.manifest.started = format!("2026-01-02T03:{minute:02}:05.000000Z");
    let mut findings = analyse(&records);
    for figure in &mut findings.protocol.repetitions.figures {
        for value in figure.values.iter_mut().flatten() {
            *value *= 1.0 + percent / 100.0;
        }
    }
    findings
}

#[test]
fn runs_in_turn_are_compared_in_pairs() {
    // A rises by 1 % a run, and B is 3 % above it.
    let a = [run_at(0, 0.0), run_at(3, 3.0), run_at(4, 4.1), run_at(7, 7.0)];
    let b = [run_at(1, 4.0), run_at(2, 5.1), run_at(5, 8.2), run_at(6, 9.1)];
    let found = compare::compare(&a, &b, Wanted::default()).unwrap();
    assert_eq!((found.order.as_str(), found.value_is.as_str()), ("ABBAABBA", "run"));
    let energy = found.figures.iter().find(|figure| figure.key == "energy_j").unwrap();
    let difference = energy.difference.unwrap();
    assert_eq!(difference.test, Test::Paired);
    assert!(difference.differs && close(difference.ratio, 1.03, 0.005), "{difference:?}");
    let text = report::compare::text(&found);
    assert!(text.contains("ABBAABBA") && text.contains("differs by +"), "{text}");
    let json = report::compare::json(&found).unwrap();
    let back: compare::Comparison = serde_json::from_slice(&json).unwrap();
    assert_eq!(back.order, found.order);

    let wanted = Wanted { test: Some(Test::Welch), ..Wanted::default() };
    let welch = compare::compare(&a, &b, wanted).unwrap();
    let energy = welch.figures.iter().find(|figure| figure.key == "energy_j").unwrap();
    assert!(!energy.difference.unwrap().differs, "the drift hides it: {energy:?}");
}

#[test]
fn unlike_runs_are_refused_unless_asked_for() {
    let mut other = run();
    other.manifest.backend.model = "another".to_owned();
    other.manifest.backend.weights = Weights::Synthetic;
    let (a, b) = ([analyse(&run())], [analyse(&other)]);
    let refused = compare::compare(&a, &b, Wanted::default()).unwrap_err();
    let Refusal::Unlike(reasons) = &refused else { panic!("{refused:?}") };
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    let wanted = Wanted { unlike: true, ..Wanted::default() };
    let found = compare::compare(&a, &b, wanted).unwrap();
    assert!(found.warnings.iter().any(|warning| warning.code == "unlike"));
    assert!(found.different.iter().any(|line| line == "model: tiny-llama | another"));
    // One value of each has no spread.
    assert!(found.figures.iter().all(|figure| figure.difference.is_none()));
    assert_eq!(compare::compare(&a, &[], Wanted::default()), Err(Refusal::Empty));
    let three = [run_at(0, 0.0), run_at(1, 0.0), run_at(2, 0.0)];
    assert_eq!(compare::compare(&three, &a, Wanted::default()), Err(Refusal::Uneven(3, 1)));
}

#[test]
fn one_run_of_each_is_compared_by_its_repetitions() {
    let (a, b) = ([analyse(&repeated())], [analyse(&repeated())]);
    let found = compare::compare(&a, &b, Wanted::default()).unwrap();
    assert_eq!(
        (found.value_is.as_str(), found.unit),
        ("repetition", RepetitionUnit::WithinProcess)
    );
    assert!(
        found.figures.iter().all(|figure| figure.difference.is_some_and(|found| !found.differs))
    );
    assert!(found.warnings.iter().any(|warning| warning.code == "one_run_each"));
}
