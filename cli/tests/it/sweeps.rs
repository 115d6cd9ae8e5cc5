//! Sweeps, rows of configs, Hydra's shape: folders, exit codes, summary.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::support::{program, text, told};

const TINY: &str = "
name: tiny
backend: {type: candle, model: tiny-llama, no_weights: true}
scenario:
  num_samples: 1
  idle_s: 0
  warmup_rounds: 0
  generate_kwargs: {max_new_tokens: 3, min_new_tokens: 3}
metrics: {country_iso_code: USA}
";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tiny.yaml"), TINY).unwrap();
    folder
}

fn run(folder: &Path, words: &[&str]) -> Output {
    program(folder).arg("run").args(words).output().expect("the program starts")
}

/// Every file of that name below a folder, sorted.
fn find(folder: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|file| file == name) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

const SWEEP: [&str; 3] = ["tiny.yaml", "-m", "scenario.num_samples=1,2"];

#[test]
fn a_sweep_runs_every_cell_in_a_folder_of_its_own_and_sums_up() {
    let folder = folder();
    let output = run(folder.path(), &SWEEP);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let shown = text(&output.stdout);
    assert!(shown.ends_with("2 ok, 0 with failures, 0 failed, 0 stopped, 0 skipped\n"), "{shown}");
    let sweeps = find(folder.path(), "multirun.yaml");
    let reports = find(folder.path(), "report.json");
    assert_eq!((sweeps.len(), reports.len()), (1, 2));
    for (number, report) in reports.iter().enumerate() {
        let cell = sweeps[0].parent().unwrap().join(number.to_string());
        assert_eq!(report.parent().unwrap(), cell);
        let kept = fs::read_to_string(cell.join(".hydra/overrides.yaml")).unwrap();
        assert_eq!(kept, format!("- scenario.num_samples={}\n", number + 1));
        assert!(fs::read_to_string(cell.join(".hydra/hydra.yaml")).unwrap().contains("num: "));
        assert!(cell.join("ai-energy-benchmark.log").exists());
    }
}

#[test]
fn a_sweep_that_was_broken_off_goes_on_where_it_was() {
    let folder = folder();
    assert_eq!(run(folder.path(), &SWEEP).status.code(), Some(0));
    let reports = find(folder.path(), "report.json");
    fs::remove_file(&reports[1]).unwrap();
    let output = run(folder.path(), &[&SWEEP[..], &["--resume"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(text(&output.stdout).contains("1 ok, 0 with failures, 0 failed, 0 stopped, 1 skipped"));
    assert_eq!(find(folder.path(), "report.json"), reports, "the same folders");
    let earlier = reports[1].parent().unwrap().join("earlier/0/requests.jsonl");
    assert!(earlier.exists(), "what the broken cell had measured is kept");
    let other = run(folder.path(), &["tiny.yaml", "--resume"]);
    assert_eq!(other.status.code(), Some(2));
    assert!(text(&other.stderr).contains("no sweep to go on with"), "{}", told(&other));
}

#[test]
fn a_cell_that_fails_does_not_stop_the_others_unless_that_is_asked_for() {
    let folder = folder();
    let words = ["tiny.yaml", "-m", "backend.model=no/such-model,tiny-llama"];
    let output = run(folder.path(), &words);
    assert_eq!(output.status.code(), Some(3), "{}", told(&output));
    assert!(text(&output.stdout).contains("1 ok, 0 with failures, 1 failed"), "{}", told(&output));
    let output = run(folder.path(), &[&words[..], &["--fail-fast"]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(text(&output.stderr).contains("1 runs were not begun"), "{}", told(&output));
}

#[test]
fn a_mistake_in_one_cell_is_told_before_any_runs() {
    let folder = folder();
    let words = ["tiny.yaml", "-m", "scenario.num_samples=1,none,0"];
    let output = run(folder.path(), &words);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(find(folder.path(), "multirun.yaml").is_empty());
}

#[test]
fn several_configs_and_folders_run_in_turn_with_one_line_of_json_each() {
    let folder = folder();
    let more = folder.path().join("more");
    fs::create_dir(&more).unwrap();
    for name in ["b.yaml", "a.yaml", "_part.yaml"] {
        fs::write(more.join(name), TINY.replace("name: tiny", "")).unwrap();
    }
    let output = run(folder.path(), &["tiny.yaml", "more", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let names: Vec<String> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|report| report["run"]["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["tiny", "a", "b"]);
    assert!(text(&output.stderr).contains("3 ok"), "{}", told(&output));
}

#[test]
fn hydras_shape_has_hydras_folders_keys_and_codes() {
    let folder = folder();
    let conf = folder.path().join("conf");
    fs::create_dir_all(conf.join("backend")).unwrap();
    let config = TINY.replace("backend: {type: candle, model: tiny-llama, no_weights: true}", "");
    let base = "hydra: {run: {dir: 'runs/${name}'}, job: {chdir: true}}\nreporter: {output_file: out.csv}\n";
    fs::write(
        conf.join("c.yaml"),
        format!("defaults: [{{backend: tiny}}, _base_, _self_]\n{config}"),
    )
    .unwrap();
    fs::write(conf.join("_base_.yaml"), base).unwrap();
    fs::write(
        conf.join("backend/tiny.yaml"),
        "{type: candle, model: tiny-llama, no_weights: true}",
    )
    .unwrap();
    let named = ["-cd", "conf", "-cn", "c"];
    let output = run(folder.path(), &named);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let at = folder.path().join("runs/tiny");
    for file in ["report.json", "out.csv", ".hydra/config.yaml", ".hydra/hydra.yaml"] {
        assert!(at.join(file).exists(), "{file}: {}", told(&output));
    }
    let unknown = run(folder.path(), &[&named[..], &["scenario.save_outputs=true"]].concat());
    assert_eq!(unknown.status.code(), Some(1), "{}", told(&unknown));
    assert!(text(&unknown.stderr).contains("+scenario.save_outputs=true"), "{}", told(&unknown));
    let shown = run(folder.path(), &[&named[..], &["--cfg", "job", "-p", "backend"]].concat());
    assert_eq!(
        text(&shown.stdout),
        "# @package backend\ntype: candle\nmodel: tiny-llama\nno_weights: true\n"
    );
    let tree = run(folder.path(), &[&named[..], &["--info", "defaults-tree"]].concat());
    assert!(text(&tree.stdout).contains("    backend: tiny\n"), "{}", told(&tree));
}

#[test]
fn the_shells_default_of_a_variable_is_ours_and_not_hydras() {
    let folder = folder();
    let config = TINY.replace("model: tiny-llama", "model: '${AEB_NO_SUCH:-tiny-llama}'");
    fs::write(folder.path().join("shell.yaml"), config).unwrap();
    let ours = run(folder.path(), &["shell.yaml", "--cfg", "job", "--resolve", "-p", "backend"]);
    assert!(text(&ours.stdout).contains("model: tiny-llama\n"), "{}", told(&ours));
    let strict = run(folder.path(), &["shell.yaml", "--dialect", "strict"]);
    assert_eq!(strict.status.code(), Some(2), "{}", told(&strict));
    assert!(text(&strict.stderr).contains("shell.yaml:3:"), "{}", told(&strict));
}
