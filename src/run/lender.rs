//! Threads and programs for meters.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process_group};

use super::Lent;
use crate::backend::Host;
use crate::clock;
use crate::meter::{Lender, MeterError, Running, Told};
use crate::units::{Nanos, Seconds};

/// A program has so long to end by itself before it is killed.
const GRACE: Seconds = Seconds(0.5);
/// Between looks whether it has ended.
const LOOK: Seconds = Seconds(0.01);
/// A program that has ended is waited for so long to have said why.
const LAST_WORDS: Seconds = Seconds(0.5);
/// So much of its standard error is kept, in bytes.
const KEPT: usize = 2000;
/// Longest line of a program, in bytes: more is not a reading.
const LONGEST_LINE: u64 = 1 << 20;

impl Lender for Lent {
    fn every(&self, name: &str, period: Seconds, mut job: Box<dyn FnMut() + Send>) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = super::spawn_thread(name, {
            let stop = Arc::clone(&stop);
            move || {
                let mut due = clock::now();
                while !stop.load(Ordering::Relaxed) {
                    job();
                    // The grid stays, whatever a job took; what was missed is not made up for.
                    while due <= clock::now() {
                        due = due.offset(period);
                    }
                    while !stop.load(Ordering::Relaxed) && due > clock::now() {
                        std::thread::park_timeout(due.since(clock::now()).into());
                    }
                }
            }
        });
        Box::new(Repeated { stop, thread: Some(thread) })
    }

    fn start(
        &self,
        command: &[String],
        told: Box<dyn FnMut(Nanos, Told) + Send>,
    ) -> Result<Running, MeterError> {
        let [program, arguments @ ..] = command else {
            return Err(MeterError::new("no program is named"));
        };
        let mut child = Command::new(program)
            .args(arguments)
            .envs(
                self.environment.set_names().filter_map(|name| Some((name, self.variable(name)?))),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is for this program, which then ends that one.
            .process_group(0)
            .spawn()
            .map_err(|cause| MeterError::new(format!("{program} does not start: {cause}")))?;
        let errors = Arc::new(Mutex::new(String::new()));
        // Closed when all of its errors are read.
        let (reading, all_read) = mpsc::channel::<()>();
        if let Some(stderr) = child.stderr.take() {
            let errors = Arc::clone(&errors);
            drop(super::spawn_thread("meter-errors", move || {
                keep_errors(stderr, &errors);
                drop(reading);
            }));
        }
        if let Some(stdout) = child.stdout.take() {
            drop(super::spawn_thread("meter-lines", move || {
                hand_over(stdout, &errors, &all_read, told);
            }));
        }
        Ok(Box::new(Started(child)))
    }
}

/// A job that is called again and again.
struct Repeated {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Repeated {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Not waited for: a job may hang in a request until its own time is up, and holds nothing of the run.
            thread.thread().unpark();
        }
    }
}

/// A program with everything it started.
struct Started(Child);

impl Drop for Started {
    #[expect(clippy::disallowed_methods, reason = "run is the room that sleeps")]
    fn drop(&mut self) {
        let group = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        let signal = |signal| group.map(|group| kill_process_group(group, signal));
        signal(Signal::TERM);
        let begun = clock::now();
        while matches!(self.0.try_wait(), Ok(None)) && clock::now().since(begun) < GRACE {
            std::thread::sleep(LOOK.into());
        }
        // Whatever it started and left behind, too.
        signal(Signal::KILL);
        let _ = self.0.wait();
    }
}

fn keep_errors(stderr: impl Read, errors: &Mutex<String>) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    while matches!(stderr.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line), Ok(1..)) {
        let mut kept = errors.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_str(&String::from_utf8_lossy(&line));
        if kept.len() > KEPT {
            let cut = kept.len() - KEPT;
            let cut = (cut..=kept.len()).find(|at| kept.is_char_boundary(*at)).unwrap_or(cut);
            kept.drain(..cut);
        }
        line.clear();
    }
}

fn hand_over(
    stdout: impl Read,
    errors: &Mutex<String>,
    all_read: &mpsc::Receiver<()>,
    mut told: Box<dyn FnMut(Nanos, Told) + Send>,
) {
    let mut stdout = BufReader::new(stdout);
    let mut line = Vec::new();
    while matches!(stdout.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line), Ok(1..)) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        told(clock::now(), Told::Line(text));
        line.clear();
    }
    // What it said last is often why; a grandchild may keep the pipe open for ever.
    let _ = all_read.recv_timeout(LAST_WORDS.into());
    let errors = errors.lock().unwrap_or_else(PoisonError::into_inner).trim().to_owned();
    let why = if errors.is_empty() { String::new() } else { format!(": {errors}") };
    told(clock::now(), Told::Ended(format!("the program has ended{why}")));
}
