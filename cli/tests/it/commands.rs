//! Every command from outside: what it prints, how it exits.

use std::fs;

use crate::support::{program, project, report, text, told};
use serde_json::Value;

/// A tiny model with random weights: nothing to fetch, done in a second.
const TINY: &str = "
name: tiny
backend: {type: candle, model: tiny-llama, no_weights: true}
scenario:
  num_samples: 3
  idle_s: 0.2
  generate_kwargs: {max_new_tokens: 8, min_new_tokens: 8}
metrics: {country_iso_code: USA}
";

#[test]
fn the_main_job_runs_without_server_gpu_or_hub() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.yaml"), TINY).unwrap();
    let output = program(folder.path()).args(["run", "tiny.yaml", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let report = report(&output);
    assert_eq!(report["counts"]["succeeded"], 3, "{report:#}");
    assert_eq!(report["counts"]["failed"], 0);
    assert_eq!(report["tokens"]["completion"]["value"], 24.0);
    assert_eq!(report["backend"]["weights"], "synthetic");
    let day = fs::read_dir(folder.path().join("results/tiny")).unwrap().next().unwrap().unwrap();
    let run = fs::read_dir(day.path()).unwrap().next().unwrap().unwrap().path();
    for file in [
        ".hydra/config.yaml",
        ".hydra/overrides.yaml",
        "manifest.json",
        "requests.jsonl",
        "samples.jsonl",
        "events.jsonl",
        "report.json",
        "results.csv",
        "emissions.csv",
    ] {
        assert!(run.join(file).exists(), "{file}");
    }
    let kept: Value = serde_json::from_slice(&fs::read(run.join("report.json")).unwrap()).unwrap();
    assert_eq!(kept, report, "standard output and the run folder agree");
}

#[test]
fn the_table_says_that_weights_are_random() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.yaml"), TINY).unwrap();
    let output = program(folder.path()).args(["run", "tiny.yaml"]).output().unwrap();
    let table = text(&output.stdout);
    assert!(table.contains("synthetic"), "{}", told(&output));
    assert!(table.contains("not comparable"), "{}", told(&output));
    for file in ["results.csv", "emissions.csv", "report.json"] {
        let written = text(&fs::read(find(folder.path(), file)).unwrap());
        assert!(written.contains("synthetic") && written.contains("not comparable"), "{written}");
    }
}

fn find(folder: &std::path::Path, name: &str) -> std::path::PathBuf {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|file| file == name) {
                return path;
            }
        }
    }
    panic!("no {name}");
}

#[test]
fn logs_are_json_lines_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.yaml"), TINY).unwrap();
    let arguments = ["-v", "--log-format", "json", "run", "tiny.yaml", "--json"];
    let output = program(folder.path()).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    report(&output);
    let lines = text(&output.stderr);
    assert!(!lines.is_empty());
    for line in lines.lines() {
        let logged: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        assert!(logged["level"].is_string(), "{line}");
    }
    assert!(lines.contains(r#""phase":"measuring""#), "{lines}");
}

#[test]
fn two_runs_append_to_one_csv() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.yaml"), TINY).unwrap();
    for _ in 0..2 {
        let arguments =
            ["run", "tiny.yaml", "reporter.output_file=all.csv", "metrics.output_dir=em"];
        let output = program(folder.path()).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    }
    let rows = |file: &str| fs::read_to_string(folder.path().join(file)).unwrap().lines().count();
    assert_eq!(rows("all.csv"), 3);
    assert_eq!(rows("em/emissions.csv"), 3);
}

#[test]
fn a_wrong_config_is_told_whole_and_exits_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let text = "name: x\nbackend: {type: candle, model: tiny-llama, no_wieghts: true}\nscenario: {num_samples: 0}\n";
    fs::write(folder.path().join("bad.yaml"), text).unwrap();
    for command in ["run", "validate"] {
        let output = program(folder.path()).args([command, "bad.yaml"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", told(&output));
        let errors = crate::support::text(&output.stderr);
        assert!(errors.contains("bad.yaml:2:"), "{errors}");
        assert!(errors.contains("no_weights"), "{errors}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn validate_finds_problems_of_every_kind_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let text = "name: x
backend: {type: vllm, model: m, endpoint: 'ftp://nowhere'}
scenario: {dataset_name: ./missing.jsonl, generate_kwargs: {max_new_tokens: 0}}
metrics: {country_iso_code: Atlantis, gpu: false}
";
    fs::write(folder.path().join("bad.yaml"), text).unwrap();
    let output = program(folder.path()).args(["validate", "bad.yaml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let errors = crate::support::text(&output.stderr);
    for part in ["ftp", "missing.jsonl", "max_new_tokens", "Atlantis"] {
        assert!(errors.contains(part), "{part} in {errors}");
    }
}

#[test]
fn shipped_configs_are_valid() {
    for config in ["quickstart.yaml", "gpt_oss_120b.yaml"] {
        let mut command = program(&project());
        command.arg("validate").arg(project().join("configs").join(config));
        // What needs a hub or a GPU is replaced; everything else is as shipped.
        command.args(["scenario.dataset_name=builtin", "metrics.gpu=false"]);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{config}: {}", told(&output));
    }
}

#[test]
fn a_server_that_is_not_there_fails_the_run_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let text = "name: x\nbackend: {type: vllm, model: m, endpoint: 'http://127.0.0.1:9/v1'}\nmetrics: {gpu: false}\n";
    fs::write(folder.path().join("x.yaml"), text).unwrap();
    let output = program(folder.path()).args(["run", "x.yaml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(crate::support::text(&output.stderr).contains("hint:"), "{}", told(&output));
    assert!(!folder.path().join("results").exists(), "nothing was measured, nothing is left");
}

#[test]
fn schemas_are_json_and_name_the_keys() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, key) in [("config", "scenario"), ("report", "counts")] {
        let output = program(folder.path()).args(["schema", kind]).output().unwrap();
        let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(schema["properties"][key].is_object(), "{key} in {schema:#}");
    }
}

#[test]
fn doctor_tells_what_a_run_would_count() {
    let folder = tempfile::tempdir().unwrap();
    let output = program(folder.path()).args(["doctor", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let survey: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(survey["boundary"].as_str().is_some_and(|text| !text.is_empty()), "{survey:#}");
    let output = program(folder.path()).arg("doctor").output().unwrap();
    assert!(text(&output.stdout).contains("GPU"), "{}", told(&output));
}

#[test]
fn the_doctor_calibrates_the_client_against_the_mock_server() {
    let folder = tempfile::tempdir().unwrap();
    let output =
        program(folder.path()).args(["doctor", "--calibrate=4", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(found["machine"]["processors"].as_u64().unwrap() >= 1);
    assert!(found["schedule"]["requests"].as_u64().unwrap() > 10, "{found:#}");
    assert!(found["schedule"]["send_lag_p50_s"].as_f64().unwrap() > 0.0, "{found:#}");
    for cost in ["single", "coalesced"] {
        assert!(found[cost]["cpu_time_per_token_s"].as_f64().unwrap() > 0.0, "{found:#}");
    }
    let tried = found["streams"].as_array().unwrap();
    assert_eq!(tried[0]["streams"], 64, "{found:#}");
    assert!(tried[0]["ttft_p50_s"].as_f64().unwrap() >= 0.1, "{found:#}");
    let known = found["highest_tokens_per_second"].is_number();
    assert_eq!(known, tried.iter().any(|tried| tried["client_limited"] == false));
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none(), "nothing is left behind");
    let output = program(folder.path()).args(["doctor", "--calibrate=1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
}

#[test]
fn completions_exist_for_the_usual_shells() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let output = program(folder.path()).args(["completions", shell]).output().unwrap();
        assert!(text(&output.stdout).contains("ai-energy-benchmark"), "{shell}");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_gracefully_with_an_incomplete_report() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.yaml"), TINY).unwrap();
    let mut command = program(folder.path());
    command.args(["run", "tiny.yaml", "--json"]);
    command.args(["scenario.num_samples=-1", "scenario.generate_kwargs.max_new_tokens=400"]);
    command.args(["scenario.generate_kwargs.min_new_tokens=400"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    wait_for(folder.path(), "requests.jsonl");
    let pid = child.id().to_string();
    std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", told(&output));
    let report = report(&output);
    assert_eq!(report["run"]["complete"], false, "{report:#}");
    assert!(find(folder.path(), "results.csv").exists());
}

#[cfg(unix)]
#[test]
fn kill_9_loses_nothing_that_was_synced() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.yaml"), TINY).unwrap();
    let mut command = program(folder.path());
    command.args(["run", "tiny.yaml", "scenario.num_samples=-1"]);
    command.args(["scenario.generate_kwargs.max_new_tokens=200"]);
    command.args(["scenario.generate_kwargs.min_new_tokens=200"]);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    wait_for(folder.path(), "requests.jsonl");
    child.kill().unwrap();
    child.wait().unwrap();
    let run = find(folder.path(), "manifest.json");
    let records =
        ai_energy_benchmarks::record::RunRecords::read(run.parent().unwrap()).expect("readable");
    assert!(!records.requests.is_empty());
    let findings = ai_energy_benchmarks::analysis::analyse(&records);
    assert!(!findings.run.complete);
}

/// Waits until a file of the run folder has a line in it.
#[cfg(unix)]
#[expect(clippy::disallowed_methods, reason = "a test waits for another process")]
fn wait_for(folder: &std::path::Path, name: &str) {
    for _ in 0..600 {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let results = folder.join("results/tiny");
        let filled = fs::read_dir(&results)
            .ok()
            .and_then(|mut days| days.next()?.ok())
            .and_then(|day| fs::read_dir(day.path()).ok()?.next()?.ok())
            .and_then(|run| fs::metadata(run.path().join(name)).ok())
            .is_some_and(|file| file.len() > 0);
        if filled {
            return;
        }
    }
    panic!("{name} stays empty");
}

#[test]
fn bash_completes_keys_and_values_of_the_config_that_the_line_names() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.yaml"), TINY).unwrap();
    let program_folder = std::path::Path::new(env!("CARGO_BIN_EXE_ai-energy-benchmark"));
    let path = format!(
        "{}:{}",
        program_folder.parent().unwrap().display(),
        std::env::var("PATH").unwrap_or_default()
    );
    // What bash itself would set: `=` ends a word.
    let script = r#"
source <(ai-energy-benchmark completions bash)
COMP_WORDS=(ai-energy-benchmark run tiny.yaml +x=1 scenario.i); COMP_CWORD=4
COMP_LINE="${COMP_WORDS[*]}"; COMP_POINT=${#COMP_LINE}; COMPREPLY=()
_ai_energy_benchmark_changes ai-energy-benchmark scenario.i +x=1
echo "${COMPREPLY[@]}"
COMP_WORDS=(ai-energy-benchmark run tiny.yaml --dia); COMP_CWORD=3
COMP_LINE="${COMP_WORDS[*]}"; COMP_POINT=${#COMP_LINE}; COMPREPLY=()
_ai_energy_benchmark_changes ai-energy-benchmark --dia tiny.yaml
echo "${COMPREPLY[@]}"
"#;
    let output = std::process::Command::new("bash")
        .args(["-c", script])
        .current_dir(folder.path())
        .env("PATH", path)
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "scenario.idle_s=\n--dialect\n", "{}", told(&output));
}
