//! `profile`, and the same flags on `run`, against the mock server of this program in another process.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::support::{program, report, text, told};

/// `mock-server` in a process of its own; it ends with this value.
pub(crate) struct Mock {
    child: Child,
    /// Where it listens.
    pub(crate) url: String,
}

impl Mock {
    pub(crate) fn start(folder: &Path, options: &[&str]) -> Self {
        let mut command = program(folder);
        command.args(["mock-server", "--port", "0", "--json"]).args(options);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
        let url = line.split_whitespace().find(|word| word.starts_with("http")).unwrap();
        Self { url: url.to_owned(), child }
    }

    /// Asks it to stop, and reads its counts.
    pub(crate) fn stop(mut self) -> Value {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        let stdout = self.child.stdout.take().unwrap();
        let counts = serde_json::from_reader(stdout).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        counts
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        // One that was stopped is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const QUICK: [&str; 6] = ["--ttft-ms", "5", "--gap-ms", "1", "--tokens", "40"];

fn profile(folder: &Path, url: &str, words: &[&str]) -> Output {
    let mut command = program(folder);
    command.args(["profile", "-m", "mock-model", "-u", url]).args(words);
    command.args(["scenario.idle_s=0", "metrics.gpu=false"]);
    command.output().unwrap()
}

#[test]
fn a_server_is_profiled_without_a_config() {
    let folder = tempfile::tempdir().unwrap();
    let mock = Mock::start(folder.path(), &QUICK);
    let words = ["--endpoint-type", "chat", "--streaming", "--concurrency", "4"];
    let more = ["--request-count", "12", "--osl", "8", "--warmup-request-count", "3", "--json"];
    let output = profile(folder.path(), &mock.url, &[&words[..], &more].concat());
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let report = report(&output);
    assert_eq!(report["counts"]["sent"], 12, "{report:#}");
    assert_eq!(report["counts"]["warmup_sent"], 3);
    assert_eq!(report["tokens"]["completion"]["value"], 96.0);
    let counts = mock.stop();
    assert_eq!((&counts["requests"], &counts["completed_length"]), (&15.into(), &15.into()));
    assert_eq!(counts["generation_tokens"], 120);
    assert!(folder.path().join("results/profile-mock-model").is_dir());
}

#[test]
fn several_values_are_a_sweep_with_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let mock = Mock::start(folder.path(), &QUICK);
    let words = ["--max-concurrency", "1,3", "--num-prompts", "6", "--random-output-len", "4"];
    let output = profile(folder.path(), &mock.url, &words);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let table = text(&output.stdout);
    assert!(table.contains("scenario.load.concurrency=1"), "{table}");
    assert!(table.contains("scenario.load.concurrency=3"), "{table}");
    assert_eq!(mock.stop()["requests"], 6 + 6 + 1 + 3, "one round of warm-up each");
}

#[test]
fn a_dry_run_shows_the_config_and_sends_nothing_and_the_config_does_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mock = Mock::start(folder.path(), &QUICK);
    let words =
        ["--request-rate", "200", "--burstiness", "0.5", "--seed", "3", "--num-prompts", "5"];
    let shown = profile(folder.path(), &mock.url, &[&words[..], &["--dry-run"]].concat());
    assert_eq!(shown.status.code(), Some(0), "{}", told(&shown));
    assert!(text(&shown.stdout).contains("burstiness: 0.5"), "{}", told(&shown));
    let same = profile(folder.path(), &mock.url, &[&words[..], &["--cfg", "job"]].concat());
    assert_eq!(text(&same.stdout), text(&shown.stdout));
    fs::write(folder.path().join("kept.yaml"), &shown.stdout).unwrap();
    let output = program(folder.path()).args(["run", "kept.yaml", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert_eq!(report(&output)["counts"]["sent"], 5);
    let counts = mock.stop();
    assert!(counts["requests"].as_u64().unwrap() >= 5, "{counts}");
}

#[test]
fn flags_on_run_replace_the_configs_load_and_keep_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let config = "name: x
backend: {type: vllm, model: m, endpoint: 'http://127.0.0.1:9'}
scenario: {num_samples: 3, load: {type: gamma, rate: 3, burstiness: 2}}
";
    fs::write(folder.path().join("c.yaml"), config).unwrap();
    let run = |words: &[&str]| {
        program(folder.path()).args(["run", "c.yaml"]).args(words).output().unwrap()
    };
    let output = run(&["--concurrency", "2", "--url", "h:1", "--cfg", "job"]);
    let shown = text(&output.stdout);
    for part in ["type: concurrency", "concurrency: 2", "num_samples: 3", "endpoint: http://h:1"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    assert!(!shown.contains("gamma") && !shown.contains("burstiness"), "{shown}");
    // A config without a load gets one.
    fs::write(folder.path().join("c.yaml"), "name: x\nbackend: {type: vllm, model: m}\n").unwrap();
    let output = run(&["--request-rate", "4", "--cfg", "job"]);
    assert!(text(&output.stdout).contains("rate: 4.0"), "{}", told(&output));
}

#[test]
fn what_is_wrong_with_flags_is_told_at_once_and_nothing_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    for (command, words) in [
        ("profile", &["-m", "m", "--burstiness", "2", "--disable-tqdm", "--port", "x"] as &[&str]),
        ("run", &["c.yaml", "--burstiness", "2", "--disable-tqdm", "--port", "x"]),
    ] {
        let output = program(folder.path()).arg(command).args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", told(&output));
        let errors = text(&output.stderr);
        for part in ["--burstiness", "--disable-tqdm", "--port", "3 problems"] {
            assert!(errors.contains(part), "{part} in {errors}");
        }
    }
    let output = program(folder.path()).arg("profile").output().unwrap();
    assert!(text(&output.stderr).contains("-m MODEL"), "{}", told(&output));
    let output = program(folder.path()).args(["profile", "-m", "m", "c.yaml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("`c.yaml` is no change"), "{}", told(&output));
    let words = ["profile", "-m", "m", "--concurrency", "8", "scenario.load.concurrency=4"];
    let output = program(folder.path()).args(words).output().unwrap();
    let errors = text(&output.stderr);
    assert!(errors.contains("--concurrency") && errors.contains("scenario.load.concurrency=4"));
    assert!(!folder.path().join("results").exists());
}

#[test]
fn faults_on_the_command_line_of_the_mock_server_are_failures_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let options = [&QUICK[..], &["--fault", "status_500@2,4", "--fault", "reset_after@6"]].concat();
    let mock = Mock::start(folder.path(), &options);
    let words = ["--request-count", "8", "--warmup-request-count", "0", "--json"];
    let output = profile(folder.path(), &mock.url, &words);
    assert_eq!(output.status.code(), Some(3), "{}", told(&output));
    let report = report(&output);
    assert_eq!(report["counts"]["succeeded"], 5, "{report:#}");
    assert_eq!(report["counts"]["failed_by_class"]["http_status"], 2);
    assert_eq!(report["counts"]["failed_by_class"]["reset"], 1);
    let counts = mock.stop();
    assert_eq!((&counts["requests"], &counts["faulted"]), (&8.into(), &3.into()));
}

#[test]
fn a_mock_server_that_cannot_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let mock = Mock::start(folder.path(), &QUICK);
    let port = mock.url.rsplit(':').next().unwrap();
    let output = program(folder.path()).args(["mock-server", "--port", port]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(text(&output.stderr).contains("another port"), "{}", told(&output));
    let output = program(folder.path()).args(["mock-server", "--tokens", "0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let output =
        program(folder.path()).args(["mock-server", "--fault", "stal=1"]).output().unwrap();
    assert!(text(&output.stderr).contains("malformed_json"), "names them: {}", told(&output));
}

#[test]
fn a_client_of_which_it_is_not_known_whether_it_kept_up_ends_with_4() {
    let folder = tempfile::tempdir().unwrap();
    let mock = Mock::start(folder.path(), &QUICK);
    // Too short to watch it.
    let words = ["--request-count", "1", "--warmup-request-count", "0", "--osl", "2"];
    let strict = [&words[..], &["--strict-client", "--json"]].concat();
    let output = profile(folder.path(), &mock.url, &strict);
    assert_eq!(output.status.code(), Some(4), "{}", told(&output));
    assert!(report(&output)["client"]["client_limited"].is_null());
    assert!(text(&output.stderr).contains("not known"), "{}", told(&output));
    assert_eq!(profile(folder.path(), &mock.url, &words).status.code(), Some(0));
    // Failures are worse than that.
    let words = ["--request-count", "2", "--strict-client", "scenario.request_timeout_s=0.001"];
    assert_eq!(profile(folder.path(), &mock.url, &words).status.code(), Some(1));
}
