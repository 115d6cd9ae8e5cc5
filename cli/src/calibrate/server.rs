//! The mock server in a process of its own, and what it says of what it sent.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ai_energy_benchmarks_mockserver::RequestLog;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::Setup;

/// A server that runs; it ends with this value.
pub(super) struct Server {
    child: Child,
    url: String,
    log: PathBuf,
}

/// What it said at its end.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Every request that ended.
    pub requests: Vec<RequestLog>,
    /// How late its sends were, 99th percentile in seconds; none where none had a due time of their own.
    pub lag_p99_s: Option<f64>,
}

impl Server {
    pub(super) fn start(folder: &Path, setup: &Setup) -> Result<Self, String> {
        let failed = |cause: std::io::Error| format!("the mock server does not start: {cause}");
        let log = folder.join("sent.jsonl");
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        command.args(["mock-server", "--port", "0", "--json", "--log"]).arg(&log);
        for (option, value) in [
            ("--ttft-ms", setup.ttft_ms.to_string()),
            ("--gap-ms", setup.gap_ms.to_string()),
            ("--tokens", setup.tokens.to_string()),
            ("--coalesce", setup.coalesce.to_string()),
            ("--threads", threads().to_string()),
        ] {
            command.args([option, &value]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(failed)?;
        let mut server = Self { child, url: String::new(), log };
        let mut line = String::new();
        if let Some(stderr) = server.child.stderr.take() {
            // What it says later is nothing that is needed, and little enough for the pipe.
            BufReader::new(stderr).read_line(&mut line).map_err(failed)?;
        }
        let url = line.split_whitespace().find(|word| word.starts_with("http://"));
        server.url =
            url.ok_or_else(|| format!("the mock server does not start: {line}"))?.to_owned();
        Ok(server)
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Ends it, and reads what it says.
    pub(super) fn stop(mut self) -> Result<Told, String> {
        let failed = |cause: std::io::Error| format!("the mock server does not end: {cause}");
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            kill_process(pid, Signal::TERM).map_err(|cause| failed(cause.into()))?;
        }
        let mut counts = String::new();
        if let Some(mut stdout) = self.child.stdout.take() {
            stdout.read_to_string(&mut counts).map_err(failed)?;
        }
        self.child.wait().map_err(failed)?;
        let counts: Value = serde_json::from_str(&counts).unwrap_or_default();
        let text = fs::read_to_string(&self.log).map_err(failed)?;
        // The last line may be torn where the disk is full.
        let requests = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let lag_p99_s = counts["lag"]["p99_us"].as_f64().map(|us| us / 1e6);
        Ok(Told { requests, lag_p99_s })
    }
}

/// Threads of the server: a quarter of the processors, so that it is not the limit where there are many.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |processors| (processors.get() / 4).clamp(1, 8))
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that was stopped is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
