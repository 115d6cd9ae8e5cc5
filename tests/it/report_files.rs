//! Findings as files.

use std::fs;
use std::path::Path;

use ai_energy_benchmarks::analysis::analyse;
use ai_energy_benchmarks::analysis::findings::Findings;
use ai_energy_benchmarks::config::component::metrics::MetricsConfig;
use ai_energy_benchmarks::config::component::reporter::ReporterConfig;
use ai_energy_benchmarks::record::{FailureClass, RunRecords, Weights};
use ai_energy_benchmarks::report::files::{LineEnd, append_row};
use ai_energy_benchmarks::report::{Outputs, REPORTERS, csv, emissions, json, table, write_all};
use jiff::tz::TimeZone;
use proptest::prelude::*;
use serde_json::Value;

use crate::report_runs as runs;

fn data(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/runs").join(name);
    fs::read_to_string(path).expect("a header of the test data").trim_end().to_owned()
}

fn cell(findings: &Findings, column: &str) -> String {
    let (header, row) = csv::header_and_row(findings);
    let position =
        header.iter().position(|name| *name == column).unwrap_or_else(|| panic!("{column}"));
    row[position].clone()
}

fn every_run() -> Vec<RunRecords> {
    let mut remote = runs::run();
    remote.manifest.backend.local = false;
    let mut nothing = runs::run();
    for (request, span) in nothing.requests.iter_mut().zip(runs::REQUESTS) {
        *request = runs::failed(request.index, span, FailureClass::Connect);
    }
    let mut none = runs::run();
    none.requests.clear();
    vec![runs::run(), runs::without_gpu(), runs::without_meters(), remote, nothing, none]
}

#[test]
fn results_csv_begins_with_the_proof_of_concepts_columns_verbatim() {
    for (kind, file) in [
        ("vllm", "poc_header_vllm.csv"),
        ("pytorch", "poc_header_pytorch.csv"),
        ("candle", "poc_header_pytorch.csv"),
    ] {
        let mut records = runs::run();
        records.manifest.backend.kind = kind.to_owned();
        let (header, row) = csv::header_and_row(&analyse(&records));
        let expected = data(file);
        let expected: Vec<&str> = expected.split(',').collect();
        assert_eq!(header[..expected.len()], expected, "{kind}");
        assert_eq!(header.len(), row.len());
        let mut unique = header.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), header.len(), "a column name appears twice");
    }
}

#[test]
fn results_csv_has_the_right_values_under_the_old_names() {
    let findings = analyse(&runs::run());
    let gpu_joules = findings.energy.measured.account.gross.value.unwrap();
    for (column, expected) in [
        ("config_device_ids", "[0]"),
        ("config_num_samples", "3"),
        ("summary_total_prompts", "3"),
        ("summary_total_tokens", "183"),
        ("summary_total_duration_seconds", "10.02"),
        ("energy_carbon_intensity_g_per_kwh", "400.0"),
        ("energy_country", "USA"),
        ("energy_region", ""),
        ("energy_project_name", "tiny"),
        ("backend_info_endpoint", "http://127.0.0.1:8000"),
        ("backend_info_healthy", "True"),
        ("metrics_metadata_version", "ai-energy-benchmark 0.1.0 (CodeCarbon 3.3.2 method)"),
        ("metrics_metadata_capabilities", "gpu_energy,cpu_energy,ram_energy,carbon_emissions"),
        ("timestamp", "2026-01-02T03:04:23.100000+00:00"),
        ("weights", "real"),
        ("complete", "True"),
        ("energy_basis", "gpu"),
        ("modelled_included", "cpu+ram"),
        ("net_baseline", "model_loaded"),
    ] {
        assert_eq!(cell(&findings, column), expected, "{column}");
    }
    for (column, expected) in [
        ("energy_energy_wh", gpu_joules / 3600.0),
        ("energy_energy_kwh", gpu_joules / 3.6e6),
        ("energy_gpu_energy_wh", gpu_joules / 3600.0),
        ("wh_per_1000_requests", gpu_joules / 3.0 / 3.6),
        ("j_per_output_token", gpu_joules / 63.0),
        ("gpu_energy_j", gpu_joules),
    ] {
        let value: f64 = cell(&findings, column).parse().unwrap();
        assert!((value - expected).abs() < 1e-9 * expected, "{column}: {value}");
    }
}

#[test]
fn what_is_not_known_is_an_empty_cell_and_never_zero() {
    let findings = analyse(&runs::without_meters());
    for column in [
        "energy_energy_wh",
        "energy_gpu_energy_wh",
        "energy_cpu_energy_wh",
        "energy_total_energy_kwh",
        "energy_emissions_g_co2eq",
        "wh_per_1000_requests",
        "gpu_energy_j",
        "reasoning_tokens",
    ] {
        assert_eq!(cell(&findings, column), "", "{column}");
    }
}

#[test]
fn synthetic_weights_are_in_every_report() {
    let mut records = runs::without_gpu();
    records.manifest.backend.kind = "candle".to_owned();
    records.manifest.backend.weights = Weights::Synthetic;
    let findings = analyse(&records);
    for kind in ["csv", "json", "table"] {
        let entry = REPORTERS.iter().find(|entry| entry.kind == kind).unwrap();
        let text = String::from_utf8((entry.render)(&findings).unwrap()).unwrap();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            text.contains("weights are synthetic") && text.contains("not comparable"),
            "{kind}"
        );
    }
    assert_eq!(cell(&findings, "weights"), "synthetic");
}

#[test]
fn emissions_csv_has_codecarbons_columns_verbatim_and_its_units() {
    assert_eq!(emissions::HEADER.join(","), data("codecarbon_header.csv"));
    let findings = analyse(&runs::run());
    let row = emissions::row(&findings, &TimeZone::UTC);
    let of = |name: &str| {
        row[emissions::HEADER.iter().position(|column| *column == name).unwrap()].clone()
    };
    assert_eq!(of("timestamp"), "2026-01-02T03:04:23");
    assert_eq!(of("codecarbon_version"), "ai-energy-benchmark 0.1.0 (CodeCarbon 3.3.2 method)");
    assert_eq!((of("python_version"), of("water_consumed"), of("longitude")), Default::default());
    assert_eq!(
        (of("gpu_count"), of("gpu_model")),
        ("1".to_owned(), "1 x NVIDIA H100 80GB HBM3".to_owned())
    );
    assert_eq!(
        (of("ram_total_size"), of("cpu_utilization_percent")),
        ("16.0".to_owned(), "75.0".to_owned())
    );
    assert_eq!((of("pue"), of("country_name")), ("1.2".to_owned(), "United States".to_owned()));
    let number = |name: &str| of(name).parse::<f64>().unwrap();
    let consumed = (number("cpu_energy") + number("gpu_energy") + number("ram_energy")) * 1.2;
    assert!((number("energy_consumed") - consumed).abs() < 1e-12);
    assert!((number("emissions") - consumed * 0.4).abs() < 1e-12);
    assert!((number("emissions_rate") - number("emissions") / 10.02).abs() < 1e-15);
    assert!((number("ram_power") - 20.0).abs() < 1e-9);
}

#[test]
fn the_table_reads_well() {
    let mut records = runs::run();
    records.requests[1] = runs::failed(1, runs::REQUESTS[1], FailureClass::HttpStatus);
    let text = table::render(&analyse(&records), &["results/three_requests/report.json".into()]);
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    insta::assert_snapshot!("table_with_a_gpu", text);
}

#[test]
fn the_table_of_a_run_without_sensors_says_so() {
    let mut records = runs::without_gpu();
    records.manifest.backend.weights = Weights::Synthetic;
    let text = table::render(&analyse(&records), &[]);
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    insta::assert_snapshot!("table_modelled_only", text);
}

#[test]
fn a_table_can_be_made_of_every_run() {
    for records in every_run() {
        let text = table::render(&analyse(&records), &[]);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        assert!(!text.contains("NaN"), "{text}");
    }
}

#[test]
fn every_report_keeps_to_the_schema_and_reads_back() {
    let schema = json::schema();
    for records in every_run() {
        let findings = analyse(&records);
        let bytes = json::render(&findings).unwrap();
        let report: Value = serde_json::from_slice(&bytes).unwrap();
        let problems = violations(&schema, &schema, &report, "$");
        assert!(problems.is_empty(), "{problems:#?}");
        let back: Findings = serde_json::from_slice(&bytes).unwrap();
        assert!(same(&serde_json::to_value(&back).unwrap(), &report));
    }
    let mut broken: Value = serde_json::to_value(analyse(&runs::run())).unwrap();
    broken["counts"]["sent"] = Value::from("three");
    broken["energy"]["machine"] = Value::from("toaster");
    broken.as_object_mut().unwrap().remove("boundary");
    assert_eq!(violations(&schema, &schema, &broken, "$").len(), 3, "the checker can fail");
}

#[test]
fn every_number_carries_unit_and_either_source_or_reason() {
    for records in every_run() {
        let report = serde_json::to_value(analyse(&records)).unwrap();
        check_figures(&report);
    }
}

/// Equal but for the last bit of floating point numbers, which the JSON reader may round differently.
fn same(one: &Value, two: &Value) -> bool {
    match (one, two) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
            (a - b).abs() <= 1e-12 * a.abs()
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        _ => one == two,
    }
}

fn check_figures(value: &Value) {
    match value {
        Value::Object(map) => {
            if map.contains_key("value") && map.contains_key("unit") {
                assert_ne!(map["unit"], "", "{map:?}");
                assert_eq!(map["value"].is_null(), map["source"].is_null(), "{map:?}");
                assert_eq!(map["value"].is_null(), map["reason"].is_string(), "{map:?}");
                assert_ne!(map["reason"], "", "{map:?}");
            }
            map.values().for_each(check_figures);
        }
        Value::Array(list) => list.iter().for_each(check_figures),
        _ => {}
    }
}

/// What of a document breaks its schema: the keywords that our schemas use.
fn violations(root: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    let mut found = Vec::new();
    let Some(rules) = schema.as_object() else {
        return if schema == &Value::Bool(false) {
            vec![format!("{place}: not allowed")]
        } else {
            found
        };
    };
    if let Some(reference) = rules.get("$ref").and_then(Value::as_str) {
        let target = root
            .pointer(reference.trim_start_matches('#'))
            .unwrap_or_else(|| panic!("{reference}"));
        found.extend(violations(root, target, value, place));
    }
    if let Some(kind) = rules.get("type") {
        let kinds: Vec<&str> = match kind {
            Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
            one => one.as_str().into_iter().collect(),
        };
        if !kinds.iter().any(|kind| is_of(kind, value)) {
            found.push(format!("{place}: not of type {kinds:?}"));
        }
    }
    if let Some(list) = rules.get("enum").and_then(Value::as_array)
        && !list.contains(value)
    {
        found.push(format!("{place}: {value} is not one of {list:?}"));
    }
    if let Some(constant) = rules.get("const")
        && constant != value
    {
        found.push(format!("{place}: not {constant}"));
    }
    for keyword in ["anyOf", "oneOf"] {
        if let Some(options) = rules.get(keyword).and_then(Value::as_array) {
            let all: Vec<Vec<String>> =
                options.iter().map(|option| violations(root, option, value, place)).collect();
            if all.iter().all(|problems| !problems.is_empty()) {
                found.push(format!("{place}: none of {keyword}: {all:?}"));
            }
        }
    }
    if let Some(object) = value.as_object() {
        found.extend(object_violations(root, schema, object, place));
    }
    if let (Some(items), Some(list)) = (rules.get("items"), value.as_array()) {
        for (index, item) in list.iter().enumerate() {
            found.extend(violations(root, items, item, &format!("{place}[{index}]")));
        }
    }
    found
}

fn object_violations(
    root: &Value,
    schema: &Value,
    object: &serde_json::Map<String, Value>,
    place: &str,
) -> Vec<String> {
    let mut found = Vec::new();
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !object.contains_key(name) {
            found.push(format!("{place}: {name} is missing"));
        }
    }
    for (name, item) in object {
        let rule = schema.get("properties").and_then(|properties| properties.get(name));
        match rule.or_else(|| schema.get("additionalProperties")) {
            Some(rule) => found.extend(violations(root, rule, item, &format!("{place}.{name}"))),
            None => assert_ne!(schema["additionalProperties"], Value::Bool(false)),
        }
    }
    found
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        other => panic!("{other}"),
    }
}

fn outputs<'a>(
    folder: &'a Path,
    base: &'a Path,
    reporter: &'a ReporterConfig,
    metrics: &'a MetricsConfig,
) -> Outputs<'a> {
    Outputs { folder, base, reporter, metrics }
}

fn configs(output_file: &str, output_dir: &str) -> (ReporterConfig, MetricsConfig) {
    (
        ReporterConfig { output_file: Some(output_file.to_owned()), ..ReporterConfig::default() },
        MetricsConfig { output_dir: Some(output_dir.to_owned()), ..MetricsConfig::default() },
    )
}

#[test]
fn all_reports_are_written_and_rows_are_appended_beside() {
    let base = tempfile::tempdir().unwrap();
    let folder = base.path().join("results/run");
    let (reporter, metrics) = configs("out/results.csv", "emissions");
    let findings = analyse(&runs::run());
    for _ in 0..2 {
        let written = write_all(&findings, &outputs(&folder, base.path(), &reporter, &metrics));
        assert!(written.problems.is_empty() && written.kept_aside.is_empty(), "{written:?}");
        assert_eq!(written.files.len(), 6);
    }
    let rows = |path: &str| fs::read_to_string(base.path().join(path)).unwrap().lines().count();
    assert_eq!(rows("results/run/results.csv"), 2, "the run's own file holds this run only");
    assert_eq!(rows("out/results.csv"), 3);
    assert_eq!(rows("emissions/emissions.csv"), 3);
    assert!(fs::read_to_string(base.path().join("out/results.csv")).unwrap().ends_with("\r\n"));
}

#[test]
fn a_file_with_other_columns_is_kept_aside_and_named() {
    let base = tempfile::tempdir().unwrap();
    let (reporter, metrics) = configs("results.csv", "emissions");
    let old = data("poc_header_vllm.csv") + "\r\n1,2,3\r\n";
    fs::write(base.path().join("results.csv"), &old).unwrap();
    fs::write(base.path().join("results.1.csv"), "someone else's").unwrap();
    let findings = analyse(&runs::run());
    let folder = base.path().join("run");
    let written = write_all(&findings, &outputs(&folder, base.path(), &reporter, &metrics));
    let aside = base.path().join("results.2.csv");
    assert_eq!(written.kept_aside, [(base.path().join("results.csv"), aside.clone())]);
    assert_eq!(fs::read_to_string(aside).unwrap(), old);
    assert_eq!(fs::read_to_string(base.path().join("results.1.csv")).unwrap(), "someone else's");
    assert_eq!(fs::read_to_string(base.path().join("results.csv")).unwrap().lines().count(), 2);
}

#[test]
fn real_codecarbons_file_is_continued_because_the_columns_are_equal() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("emissions.csv");
    fs::write(&path, data("codecarbon_header.csv") + "\nolder row\n").unwrap();
    let row = emissions::row(&analyse(&runs::run()), &TimeZone::UTC);
    let appended = append_row(&path, &emissions::HEADER, &row, LineEnd::Lf).unwrap();
    assert_eq!(appended.kept_aside, None);
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
}

#[test]
fn what_cannot_be_written_is_told_and_the_rest_is_written() {
    let base = tempfile::tempdir().unwrap();
    // A file where a folder should be: even root cannot write below it.
    fs::write(base.path().join("blocked"), "").unwrap();
    let (reporter, metrics) = configs("blocked/results.csv", "emissions");
    let folder = base.path().join("run");
    fs::create_dir_all(folder.join("results.csv")).unwrap();
    let findings = analyse(&runs::run());
    let written = write_all(&findings, &outputs(&folder, base.path(), &reporter, &metrics));
    assert_eq!(written.problems.len(), 2, "{:?}", written.problems);
    assert!(written.problems.iter().any(|problem| problem.place.ends_with("blocked/results.csv")));
    assert!(folder.join("report.json").is_file());
    assert!(folder.join("emissions.csv").is_file());
    assert!(base.path().join("emissions/emissions.csv").is_file());
    let leftovers = fs::read_dir(&folder)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".tmp"));
    assert_eq!(leftovers.count(), 0);
}

#[test]
fn a_json_reporter_replaces_its_file_and_an_unknown_one_is_a_problem() {
    let base = tempfile::tempdir().unwrap();
    let (mut reporter, _) = configs("report.json", "");
    reporter.kind = "json".to_owned();
    let metrics = MetricsConfig::default();
    let mut findings = analyse(&runs::run());
    let folder = base.path().join("run");
    for _ in 0..2 {
        let written = write_all(&findings, &outputs(&folder, base.path(), &reporter, &metrics));
        assert_eq!(written.files.len(), 5);
    }
    let text = fs::read(base.path().join("report.json")).unwrap();
    // The rows by request have a file of their own.
    assert_eq!(std::mem::take(&mut findings.attribution.requests).len(), 3);
    let back: Findings = serde_json::from_slice(&text).unwrap();
    assert_eq!(back.run.id, findings.run.id);
    reporter.kind = "excel".to_owned();
    let written = write_all(&findings, &outputs(&folder, base.path(), &reporter, &metrics));
    assert!(
        written.problems[0]
            .hint
            .as_ref()
            .unwrap()
            .contains("csv, emissions, json, requests_energy, table")
    );
}

#[test]
fn reporters_are_unique_sorted_and_told_in_one_line() {
    assert!(REPORTERS.windows(2).all(|pair| pair[0].kind < pair[1].kind));
    for entry in REPORTERS {
        assert!(!entry.summary.is_empty() && !entry.summary.contains('\n'));
    }
}

#[test]
fn a_row_cut_off_in_a_quoted_field_does_not_swallow_ours() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv");
    fs::write(&path, "a,b\n1,\"cut o").unwrap();
    let appended = append_row(&path, &["a", "b"], &["3", "4"], LineEnd::Lf).unwrap();
    assert!(appended.kept_aside.unwrap().ends_with("t.1.csv"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "a,b\n3,4\n");
}

#[test]
fn several_writers_at_once_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv");
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let path = &path;
            scope.spawn(move || {
                for row in 0..10 {
                    let row = [writer.to_string(), row.to_string()];
                    append_row(path, &["writer", "row"], &row, LineEnd::Lf).unwrap();
                }
            });
        }
    });
    let text = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.remove(0), "writer,row");
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), 40);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever was there (nothing, our table with or without a final newline, another table, rubbish),
    /// all of it is still there afterwards and every appended row reads back.
    #[test]
    fn appending_never_loses_a_row(
        before in prop_oneof![
            Just(String::new()),
            Just("a,b\n1,2\n".to_owned()),
            Just("a,b\r\n1,2".to_owned()),
            Just("a,b".to_owned()),
            Just("x,y,z\n1,2,3\n".to_owned()),
            "[ -~\n]{0,40}",
        ],
        rows in proptest::collection::vec(("[ -~\n]{0,12}", "[ -~]{1,12}"), 1..5),
        crlf: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        fs::write(&path, &before).unwrap();
        let end = if crlf { LineEnd::CrLf } else { LineEnd::Lf };
        for (one, two) in &rows {
            append_row(&path, &["a", "b"], &[one, two], end).unwrap();
        }
        let mut everything = String::new();
        for entry in fs::read_dir(folder.path()).unwrap() {
            everything.push_str(&fs::read_to_string(entry.unwrap().path()).unwrap());
        }
        prop_assert!(everything.contains(&before));
        let mut reader = ::csv::ReaderBuilder::new().flexible(true).from_path(&path).unwrap();
        let found: Vec<Vec<String>> = reader
            .records()
            .map(|record| record.unwrap().iter().map(str::to_owned).collect())
            .collect();
        let wanted: Vec<Vec<String>> =
            rows.iter().map(|(one, two)| vec![one.clone(), two.clone()]).collect();
        prop_assert!(found.ends_with(&wanted), "{found:?} does not end with {wanted:?}");
    }
}
