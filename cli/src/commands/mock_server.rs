//! `ai-energy-benchmark mock-server`: an OpenAI-compatible server with exact timing and planted faults.

use std::io;

use ai_energy_benchmarks::error::{Problem, Problems};
use ai_energy_benchmarks_mockserver::{MockServer, Stats, raise_open_files};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::MockServerArgs;
use crate::exit::Exit;
use crate::terminal;

pub(crate) fn run(arguments: MockServerArgs) -> Exit {
    if let Err(cause) = raise_open_files() {
        terminal::note(&format!("warning: the limit of open files stays as it is: {cause}"));
    }
    let json = arguments.json;
    match serve(arguments) {
        Ok(stats) => {
            terminal::out(&if json { told_as_json(&stats) } else { summary(&stats) });
            Exit::Ok
        }
        Err(problems) => {
            terminal::problems(&problems);
            Exit::Usage
        }
    }
}

fn serve(arguments: MockServerArgs) -> Result<Stats, Problems> {
    let certificate = arguments.options.certificate.clone();
    let server = MockServer::start(arguments.options.into_config())?;
    if let (Some(path), Some(pem)) = (certificate, server.certificate()) {
        std::fs::write(&path, pem).map_err(|cause| {
            Problem::new("--certificate", format!("{} cannot be written: {cause}", path.display()))
        })?;
    }
    terminal::note(&format!(
        "listening at {} (OpenAI API at {}/v1); Ctrl-C stops",
        server.url(),
        server.url()
    ));
    let failed = |cause: io::Error| Problem::new("mock-server", cause.to_string());
    until_told_to_stop().map_err(failed)?;
    server.stop().map_err(|cause| failed(cause).into())
}

fn until_told_to_stop() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    })
}

fn told_as_json(stats: &Stats) -> String {
    // Numbers and names only: nothing in it can fail to be written.
    serde_json::to_string(stats).map(|line| line + "\n").unwrap_or_default()
}

fn summary(stats: &Stats) -> String {
    let mut text = format!(
        "{} requests over {} connections: {} completed, {} ended by faults, {} given up by clients, {} refused as wrong\n\
         {} prompt tokens ({} cached), {} tokens in {} events and {} writes\n",
        stats.requests,
        stats.connections,
        stats.completed(),
        stats.faulted,
        stats.cancelled,
        stats.rejected,
        stats.prompt_tokens,
        stats.cached_tokens,
        stats.generation_tokens,
        stats.events,
        stats.writes,
    );
    let lag = &stats.lag;
    if let (Some(mean), Some(p50), Some(p99), Some(max)) =
        (lag.mean_us, lag.p50_us, lag.p99_us, lag.max_us)
    {
        text.push_str(&format!(
            "sends behind schedule: mean {mean:.0} us, p50 {p50:.0} us, p99 {p99:.0} us, max {max:.0} us ({} sends)\n",
            lag.sends
        ));
    }
    for planted in &stats.planted {
        text.push_str(&format!("planted {}: {}\n", planted.fault, planted.count));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_tells_lag_only_where_something_was_sent() {
        assert!(!summary(&Stats::default()).contains("behind schedule"));
    }
}
