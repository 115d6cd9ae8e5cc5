//! Log lines: on standard error, and in the log file of the run that is going on.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ai_energy_benchmarks::record::{Phase, Warning};
use ai_energy_benchmarks::run::{Observer, Snapshot};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::args::LogFormat;

/// Starts logging. `RUST_LOG` wins over `-v` on standard error; the file gets what is done and what is
/// out of order, as Hydra's log files do.
pub(crate) fn start(verbose: u8, format: LogFormat) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_target(false).with_filter(filter).boxed(),
        LogFormat::Json => lines.json().with_filter(filter).boxed(),
    };
    let file =
        fmt::layer().with_ansi(false).with_writer(|| JobLines).with_filter(LevelFilter::INFO);
    tracing_subscriber::registry().with(lines).with(file).init();
}

/// Most bytes that wait for the run folder to be made.
const WAITING: usize = 64 << 10;

/// Where lines of the run go.
enum Sink {
    /// No run is going on.
    Closed,
    /// The run folder is not made yet.
    Waiting(Vec<u8>),
    /// The log file.
    Open(File),
}

/// Loggers are global, and runs of one process come one after the other.
static SINK: Mutex<Sink> = Mutex::new(Sink::Closed);

fn sink() -> MutexGuard<'static, Sink> {
    SINK.lock().unwrap_or_else(PoisonError::into_inner)
}

struct JobLines;

impl Write for JobLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *sink() {
            Sink::Closed => {}
            Sink::Waiting(lines) if lines.len() + bytes.len() <= WAITING => {
                lines.extend_from_slice(bytes);
            }
            Sink::Waiting(_) => {}
            // A full disk is told by the records; a line of the log that is lost is not worth more.
            Sink::Open(file) => return file.write_all(bytes).map(|()| bytes.len()),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps the lines of one run in a file of its folder.
pub(crate) struct JobLog {
    file: PathBuf,
}

impl JobLog {
    /// Begins; the file has that name in the run folder.
    pub(crate) fn begin(file: &Path) -> Self {
        *sink() = Sink::Waiting(Vec::new());
        Self { file: file.to_owned() }
    }

    fn open(&self, folder: &Path) {
        let mut sink = sink();
        let path = folder.join(&self.file);
        match OpenOptions::new().create(true).append(true).open(path) {
            Ok(mut file) => {
                if let Sink::Waiting(lines) = &*sink {
                    let _ = file.write_all(lines);
                }
                *sink = Sink::Open(file);
            }
            Err(_) => *sink = Sink::Closed,
        }
    }
}

impl Drop for JobLog {
    fn drop(&mut self) {
        *sink() = Sink::Closed;
    }
}

/// An observer that also sees to the log file.
pub(crate) struct Logged {
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) log: JobLog,
}

impl Observer for Logged {
    fn folder(&self, folder: &Path) {
        self.log.open(folder);
        self.observer.folder(folder);
    }

    fn phase(&self, phase: Phase) {
        tracing::info!(?phase, "begins");
        self.observer.phase(phase);
    }

    fn repetition(&self, number: u32, most: u32) {
        tracing::info!(number, most, "repetition");
        self.observer.repetition(number, most);
    }

    fn progress(&self, snapshot: &Snapshot) {
        self.observer.progress(snapshot);
    }

    fn warning(&self, warning: &Warning) {
        // On standard error the observer shows it; here it is for the file.
        tracing::info!("caution: {}", warning.message);
        self.observer.warning(warning);
    }
}
