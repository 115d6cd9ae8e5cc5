//! Writes records as they happen, on a thread of its own, so that a slow disk never delays a request.
//!
//! Lines are buffered and brought to the disk at least once a second: until then the writer sleeps, unless many lines
//! wait or somebody asks for them, so that a reading costs no wake-up of another thread. When a write fails (a full disk)
//! the file is cut back to its last whole line, and the run is told to stop: what was measured stays.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::oneshot;

use crate::clock;
use crate::record::{EventRecord, RequestRecord, SampleRecord, files};
use crate::units::{Nanos, Seconds};

/// Records reach the disk at least this often.
const SYNC_PERIOD: Seconds = Seconds(1.0);
/// When so many wait they are written at once: they take memory.
const MOST_WAITING: usize = 256;

/// A record on its way to its file.
pub(super) enum Line {
    Request(Box<RequestRecord>),
    Samples(Vec<SampleRecord>),
    Event(EventRecord),
    /// Everything before this is brought to the disk; then whoever asked is told.
    Barrier(oneshot::Sender<()>),
}

/// The handle that the rest of the run writes through.
#[derive(Clone)]
pub(super) struct Journal {
    lines: Sender<Line>,
    shared: Arc<Shared>,
    writer: Thread,
}

/// What both sides see.
#[derive(Default)]
struct Shared {
    failed: AtomicBool,
    /// Lines that the writer has not looked at.
    waiting: AtomicUsize,
}

/// The writer thread; `finish` waits for the last byte.
pub(super) struct JournalThread {
    thread: JoinHandle<Result<(), JournalError>>,
}

/// Why records could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {file}: {cause}")]
pub struct JournalError {
    /// Which file.
    pub file: String,
    /// Why.
    pub cause: std::io::Error,
}

impl Journal {
    /// Opens the record files in a folder and starts the writer.
    pub(super) fn open(folder: &Path) -> Result<(Self, JournalThread), JournalError> {
        let writer = Writer {
            requests: LineFile::create(folder, files::REQUESTS)?,
            samples: LineFile::create(folder, files::SAMPLES)?,
            events: LineFile::create(folder, files::EVENTS)?,
        };
        let (lines, inbox) = mpsc::channel();
        Ok(Self::start(writer, lines, inbox))
    }

    fn start(writer: Writer, lines: Sender<Line>, inbox: Receiver<Line>) -> (Self, JournalThread) {
        let shared = Arc::new(Shared::default());
        let thread = super::spawn_thread("journal", {
            let shared = Arc::clone(&shared);
            move || writer.write_until_closed(&inbox, &shared)
        });
        let writer = thread.thread().clone();
        (Self { lines, shared, writer }, JournalThread { thread })
    }

    /// Queues a record.
    pub(super) fn write(&self, line: Line) {
        // The writer ends before its senders only after a failure, which `has_failed` tells.
        let _ = self.lines.send(line);
        if self.shared.waiting.fetch_add(1, Ordering::Relaxed) + 1 == MOST_WAITING {
            self.writer.unpark();
        }
    }

    /// Queues an event that happens now.
    pub(super) fn event(&self, event: crate::record::Event) {
        self.write(Line::Event(EventRecord { at_ns: clock::now(), event }));
    }

    /// Waits until everything queued so far can be read from the files.
    pub(super) async fn barrier(&self) {
        let (told, done) = oneshot::channel();
        self.write(Line::Barrier(told));
        self.writer.unpark();
        // A writer that failed tells nobody; `has_failed` does.
        let _ = done.await;
    }

    /// Whether records are being lost.
    pub(super) fn has_failed(&self) -> bool {
        self.shared.failed.load(Ordering::Relaxed)
    }
}

impl JournalThread {
    /// Waits until everything queued is on disk. Every [`Journal`] must have been dropped.
    pub(super) fn finish(self) -> Result<(), JournalError> {
        self.thread.thread().unpark();
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

struct Writer {
    requests: LineFile,
    samples: LineFile,
    events: LineFile,
}

impl Writer {
    fn write_until_closed(
        mut self,
        inbox: &Receiver<Line>,
        shared: &Shared,
    ) -> Result<(), JournalError> {
        let result = self.pump(inbox, &shared.waiting);
        if result.is_err() {
            shared.failed.store(true, Ordering::Relaxed);
        }
        result
    }

    fn pump(&mut self, inbox: &Receiver<Line>, waiting: &AtomicUsize) -> Result<(), JournalError> {
        let mut synced = clock::now();
        loop {
            // Whatever is sent after this is counted for the next round.
            waiting.store(0, Ordering::Relaxed);
            let closed = self.take(inbox)?;
            let now = clock::now();
            if closed || now.since(synced) >= SYNC_PERIOD {
                self.sync()?;
                synced = now;
            }
            if closed {
                return Ok(());
            }
            std::thread::park_timeout(left_until_sync(synced));
        }
    }

    /// Takes what is there; true when nothing will come any more.
    fn take(&mut self, inbox: &Receiver<Line>) -> Result<bool, JournalError> {
        loop {
            match inbox.try_recv() {
                Ok(Line::Barrier(asked)) => {
                    self.sync()?;
                    // Whoever asked may have gone.
                    let _ = asked.send(());
                }
                Ok(line) => self.append(&line)?,
                Err(TryRecvError::Empty) => return Ok(false),
                Err(TryRecvError::Disconnected) => return Ok(true),
            }
        }
    }

    fn append(&mut self, line: &Line) -> Result<(), JournalError> {
        match line {
            Line::Request(request) => self.requests.append(request),
            Line::Samples(samples) => {
                samples.iter().try_for_each(|sample| self.samples.append(sample))
            }
            Line::Event(event) => self.events.append(event),
            Line::Barrier(_) => Ok(()),
        }
    }

    fn sync(&mut self) -> Result<(), JournalError> {
        // Every file gets its chance, even when one fails.
        [self.requests.sync(), self.samples.sync(), self.events.sync()].into_iter().collect()
    }
}

fn left_until_sync(synced: Nanos) -> Duration {
    (SYNC_PERIOD - clock::now().since(synced)).into()
}

/// A file that holds whole lines only.
struct LineFile {
    name: String,
    file: File,
    /// Lines not yet handed to the system.
    pending: Vec<u8>,
    /// Bytes of whole lines in the file.
    length: u64,
}

impl LineFile {
    fn create(folder: &Path, name: &str) -> Result<Self, JournalError> {
        let file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(folder.join(name))
            .map_err(|cause| JournalError { file: name.to_owned(), cause })?;
        Ok(Self { name: name.to_owned(), file, pending: Vec::new(), length: 0 })
    }

    fn append(&mut self, row: &impl Serialize) -> Result<(), JournalError> {
        let start = self.pending.len();
        if let Err(cause) = serde_json::to_writer(&mut self.pending, row) {
            self.pending.truncate(start);
            return Err(self.error(cause.into()));
        }
        self.pending.push(b'\n');
        if self.pending.len() > 64 * 1024 { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), JournalError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        if let Err(cause) = self.file.write_all(&self.pending) {
            // Half a line may be there: cut it off. If even that fails the reader counts a torn line.
            let _ = self.file.set_len(self.length);
            return Err(self.error(cause));
        }
        self.length += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    fn sync(&mut self) -> Result<(), JournalError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.flush()?;
        self.file.sync_data().map_err(|cause| self.error(cause))
    }

    fn error(&self, cause: std::io::Error) -> JournalError {
        JournalError { file: self.name.clone(), cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Event, Phase, parse_lines};

    #[test]
    fn everything_queued_is_in_the_files_when_the_journal_ends() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, thread) = Journal::open(folder.path()).unwrap();
        for sensor in 0..500 {
            let sample = SampleRecord {
                sensor,
                before_ns: Nanos(1),
                after_ns: Nanos(2),
                value: Some(0.5),
                error: None,
            };
            journal.write(Line::Samples(vec![sample]));
        }
        journal.event(Event::PhaseBegin { phase: Phase::Measure, repetition: None });
        drop(journal);
        thread.finish().unwrap();
        let bytes = std::fs::read(folder.path().join(files::SAMPLES)).unwrap();
        assert_eq!(parse_lines::<SampleRecord>(&bytes).0.len(), 500);
        let bytes = std::fs::read(folder.path().join(files::EVENTS)).unwrap();
        assert_eq!(parse_lines::<EventRecord>(&bytes).0.len(), 1);
    }

    #[test]
    fn an_old_record_file_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(files::REQUESTS), "old").unwrap();
        assert!(Journal::open(folder.path()).is_err());
    }

    #[test]
    fn a_full_disk_ends_the_journal_with_the_file_named_and_tells_the_run() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let (journal, thread) = {
            let mut writer = Writer {
                requests: LineFile::create(folder.path(), files::REQUESTS).unwrap(),
                samples: LineFile::create(folder.path(), files::SAMPLES).unwrap(),
                events: LineFile::create(folder.path(), files::EVENTS).unwrap(),
            };
            writer.events.file = OpenOptions::new().write(true).open(full).unwrap();
            let (lines, inbox) = mpsc::channel();
            Journal::start(writer, lines, inbox)
        };
        journal.event(Event::Finished);
        let shared = Arc::clone(&journal.shared);
        drop(journal);
        let error = thread.finish().unwrap_err();
        assert_eq!(error.file, files::EVENTS);
        assert!(shared.failed.load(Ordering::Relaxed));
    }
}
