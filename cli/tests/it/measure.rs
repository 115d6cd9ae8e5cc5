//! `measure`, `show` and `monitor` from outside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{program, text, told};

/// The only run folder below a folder.
fn run_folder(base: &Path) -> PathBuf {
    let only = |folder: &Path| fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    only(&only(&only(&base.join("results"))))
}

#[expect(clippy::disallowed_methods, reason = "a test waits for a command to be under way")]
fn wait(ms: u64) {
    std::thread::sleep(std::time::Duration::from_millis(ms));
}

#[test]
fn a_command_keeps_its_output_and_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let output = program(folder.path())
        .args([
            "measure",
            "--gpus",
            "none",
            "--",
            "sh",
            "-c",
            "echo hello; echo --json >&2; exit 7",
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", told(&output));
    assert_eq!(text(&output.stdout), "hello\n");
    assert!(text(&output.stderr).contains("Boundary"), "{}", told(&output));
    let missing = program(folder.path()).args(["measure", "no-such-program"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(127), "{}", told(&missing));
    let wrong = program(folder.path())
        .args(["measure", "--metrics", "pue=0.5", "--metrics", "cpu_tdp_w", "--", "true"])
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{}", told(&wrong));
}

#[test]
fn findings_are_exported_and_shown_again() {
    let folder = tempfile::tempdir().unwrap();
    let output = program(folder.path())
        .args(["measure", "-q", "-r", "2", "--label", "nap", "--country", "USA"])
        .args(["--export-json", "-", "--export-csv", "runs.csv", "--output", "null"])
        .args(["--shell", "--", "echo lost; sleep 0.2"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(findings["kind"], "command");
    assert_eq!(findings["summary"]["runs"], 2);
    assert!(findings["emissions"]["per_run"]["value"].as_f64().is_some_and(|grams| grams > 0.0));
    assert_eq!(fs::read_to_string(folder.path().join("runs.csv")).unwrap().lines().count(), 3);
    let shown = program(folder.path())
        .args(["show", "--json"])
        .arg(run_folder(folder.path()))
        .output()
        .unwrap();
    let again: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(again, findings);
}

#[test]
fn a_killed_measurement_leaves_records_that_can_be_shown() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = program(folder.path())
        .args(["measure", "--gpus", "none", "--", "sleep", "3"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The lines reach the disk at least once a second.
    wait(2500);
    child.kill().unwrap();
    child.wait().unwrap();
    let shown = program(folder.path()).arg("show").arg(run_folder(folder.path())).output().unwrap();
    assert_eq!(shown.status.code(), Some(0), "{}", told(&shown));
    assert!(text(&shown.stdout).contains("INCOMPLETE"), "{}", told(&shown));
}

#[test]
fn ctrl_c_ends_the_command_and_reports_it() {
    let folder = tempfile::tempdir().unwrap();
    let child = program(folder.path())
        .args(["measure", "--gpus", "none", "-r", "3", "--", "sleep", "30"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait(1500);
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", told(&output));
    let report = text(&output.stderr);
    assert!(report.contains("1 of 3") && report.contains("interrupted"), "{report}");
}

#[test]
fn sensors_are_watched_as_lines_and_as_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let json = program(folder.path())
        .args(["monitor", "--json", "-n", "0.2", "--duration", "0.6", "--gpus", "none"])
        .output()
        .unwrap();
    assert_eq!(json.status.code(), Some(0), "{}", told(&json));
    let lines: Vec<Value> =
        text(&json.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    let sensors = lines[2]["sensors"].as_array().unwrap();
    let ram = sensors.iter().find(|sensor| sensor["component"] == "ram").unwrap();
    assert!(ram["now"].as_f64().is_some_and(|watts| watts > 0.0), "{ram}");
    let once = program(folder.path()).args(["monitor", "--once", "-n", "0.2"]).output().unwrap();
    let table = text(&once.stdout);
    assert!(table.contains("sensor") && table.contains("Counted"), "{}", told(&once));
    let wrong = program(folder.path()).args(["monitor", "-n", "0"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{}", told(&wrong));
}
