//! The real thing: llama-server with SmolLM2-135M, whose own counters must agree with ours.
//!
//! Needs `AEB_LLAMA_SERVER` (the program) and `AEB_SMOLLM2_GGUF` (the weights): `scripts/peer` installs
//! both; `run_tests.sh` sets the variables and runs these tests, or counts them as skipped.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::{get, program, report, told};

struct Server {
    child: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn server() -> Server {
    let named = |name: &str| std::env::var_os(name).unwrap_or_else(|| panic!("{name} is not set"));
    let (binary, weights) = (named("AEB_LLAMA_SERVER"), named("AEB_SMOLLM2_GGUF"));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child = Command::new(binary)
        .arg("-m")
        .arg(weights)
        .args(["--host", "127.0.0.1", "--port", &port.to_string(), "--alias", "smollm2-135m"])
        .args(["-c", "8192", "-np", "4", "-t", "2", "-ngl", "0", "--metrics", "--offline"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("llama-server starts");
    let server = Server { child, port };
    wait_until_healthy(port);
    server
}

#[expect(clippy::disallowed_methods, reason = "a test waits for another process")]
fn wait_until_healthy(port: u16) {
    for _ in 0..600 {
        if get(port, "/health").is_ok() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("llama-server is not healthy after a minute");
}

/// A counter of the server's `/metrics`.
fn counter(port: u16, name: &str) -> u64 {
    let metrics = get(port, "/metrics").expect("metrics");
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .unwrap_or_else(|| panic!("no {name} in {metrics}"));
    line.trim().parse().unwrap_or_else(|_| panic!("{name} is {line}"))
}

fn config(folder: &Path, port: u16, api: &str) {
    let text = format!(
        "name: llama
backend: {{type: vllm, model: smollm2-135m, endpoint: 'http://127.0.0.1:{port}', api: {api}}}
scenario:
  dataset_name: builtin
  num_samples: 50
  idle_s: 0.2
  warmup_rounds: 0
  generate_kwargs: {{max_new_tokens: 24}}
metrics: {{gpu: false, country_iso_code: FRA}}
"
    );
    fs::write(folder.join("llama.yaml"), text).unwrap();
}

fn tokens_agree_with_the_servers_own_counters(api: &str) {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    config(folder.path(), server.port, api);
    let before = [
        counter(server.port, "llamacpp:prompt_tokens_total"),
        counter(server.port, "llamacpp:tokens_predicted_total"),
    ];
    let output = program(folder.path()).args(["run", "llama.yaml", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let after = [
        counter(server.port, "llamacpp:prompt_tokens_total"),
        counter(server.port, "llamacpp:tokens_predicted_total"),
    ];
    let report = report(&output);
    assert_eq!(report["counts"]["succeeded"], 50);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "token counts")]
    let tokens = |key: &str| report["tokens"][key]["value"].as_f64().expect("a count") as u64;
    assert_eq!(tokens("completion"), after[1] - before[1], "completion tokens");
    // The server's counter leaves out the prompt tokens that its cache spared it.
    assert_eq!(tokens("prompt") - tokens("cached_prompt"), after[0] - before[0], "prompt tokens");
    assert!(report["latency"]["ttft"]["p50"].as_f64().is_some_and(|ttft| ttft > 0.0));
}

#[test]
#[ignore = "needs llama-server and SmolLM2"]
fn peer_chat_tokens_agree_with_the_servers_own_counters() {
    tokens_agree_with_the_servers_own_counters("chat");
}

#[test]
#[ignore = "needs llama-server and SmolLM2"]
fn peer_completion_tokens_agree_with_the_servers_own_counters() {
    tokens_agree_with_the_servers_own_counters("completions");
}
