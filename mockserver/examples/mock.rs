//! The mock server alone, for benches: nothing of the rest of the program is linked.
//!
//! `cargo run --release -p ai-energy-benchmarks-mockserver --features cli --example mock -- --port 8991`

use std::io::{self, Write};

use ai_energy_benchmarks_mockserver::{MockOptions, MockServer, raise_open_files};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: MockOptions,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = Line::parse().options.into_config();
    raise_open_files()?;
    let server = MockServer::start(config).map_err(|problems| problems.to_string())?;
    let mut out = io::stdout();
    writeln!(out, "{}", server.url())?;
    out.flush()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok::<(), io::Error>(())
    })?;
    let stats = server.stop()?;
    writeln!(out, "{}", serde_json::to_string(&stats)?)?;
    Ok(())
}
