//! One connection: its socket, what was read and not yet understood, what waits to be written.

use std::io::{self, ErrorKind, Read, Write};

use crate::answer::{After, Answer};
use crate::fault::{Fault, FaultKind};
use crate::link::Link;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Waits for a request.
    Idle,
    /// A request waits for a place.
    Waiting,
    /// An answer is being given.
    Running,
    /// Nothing comes any more, on purpose.
    Hanging,
    /// Closed in order on this side; waits for the client to close too.
    Draining,
}

/// A request to generate that is in hand.
#[derive(Debug)]
pub(crate) struct Job {
    pub answer: Answer,
    pub number: u64,
    pub x_request_id: Option<String>,
    pub stream: bool,
    pub prompt_tokens: u64,
    pub cached_tokens: u64,
    pub queried_tokens: u64,
    pub fault: Option<Fault>,
    pub received_ns: u64,
    pub started_ns: Option<u64>,
    /// Writes that were due before this waited for the client, not for the server.
    pub excused_until_ns: u64,
    pub writes: u64,
    pub stamps: Option<Stamps>,
}

/// Stamps for the log.
#[derive(Debug, Default)]
pub(crate) struct Stamps {
    pub due_ns: Vec<u64>,
    pub sent_ns: Vec<u64>,
    pub events: Vec<u64>,
}

/// Bytes leave one at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drip {
    pub gap_ns: u64,
    /// So many more, then the rest at once.
    pub left: usize,
}

#[derive(Debug)]
pub(crate) struct Conn {
    pub link: Link,
    pub generation: u64,
    pub state: State,
    pub keep_alive: bool,
    pub input: Vec<u8>,
    pub told_to_continue: bool,
    /// What the socket did not take yet.
    pub pending: Vec<u8>,
    pub pending_at: usize,
    /// What follows when nothing is pending.
    pub after: Option<After>,
    pub drip: Option<Drip>,
    /// Boxed: idle connections are many.
    pub job: Option<Box<Job>>,
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadEnd {
    Open,
    /// The client closed or broke off.
    Closed,
}

impl Conn {
    pub(crate) fn new(link: Link, generation: u64) -> Self {
        Self {
            link,
            generation,
            state: State::Idle,
            keep_alive: true,
            input: Vec::new(),
            told_to_continue: false,
            pending: Vec::new(),
            pending_at: 0,
            after: None,
            drip: None,
            job: None,
        }
    }

    /// Reads all that is there. Readiness is told once, so nothing may be left; a read that did not fill the buffer was the
    /// last unless the client closed too.
    pub(crate) fn read(&mut self, buffer: &mut [u8], closing: bool) -> ReadEnd {
        loop {
            match self.link.read(buffer) {
                Ok(0) => return ReadEnd::Closed,
                Ok(count) => {
                    if self.state != State::Draining {
                        self.input.extend_from_slice(&buffer[..count]);
                    }
                    if count < buffer.len() && !closing && self.link.short_reads_end() {
                        return ReadEnd::Open;
                    }
                }
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => return ReadEnd::Open,
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(_) => return ReadEnd::Closed,
            }
        }
    }

    /// Writes; keeps what the socket does not take. Returns whether it took all.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<bool> {
        debug_assert!(self.is_drained(), "order of bytes");
        let taken = self.write_some(bytes)?;
        if taken == bytes.len() {
            return Ok(self.link.is_flushed());
        }
        self.pending.extend_from_slice(&bytes[taken..]);
        Ok(false)
    }

    /// Writes what is pending. Returns whether the socket took all.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        if !self.link.flush()? {
            return Ok(false);
        }
        let pending = std::mem::take(&mut self.pending);
        let taken = self.write_some(&pending[self.pending_at..]);
        self.pending = pending;
        self.pending_at += taken?;
        Ok(self.forget_if_drained())
    }

    /// Writes the next pending byte alone.
    pub(crate) fn drip(&mut self) -> io::Result<bool> {
        let Some(byte) = self.pending.get(self.pending_at) else { return self.flush() };
        let byte = [*byte];
        self.pending_at += self.write_some(&byte)?;
        Ok(self.forget_if_drained())
    }

    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        while taken < bytes.len() {
            match self.link.write(&bytes[taken..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => taken += count,
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => break,
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
        Ok(taken)
    }

    /// A large answer's memory goes back when it is out.
    fn forget_if_drained(&mut self) -> bool {
        let drained = self.is_drained();
        if drained {
            self.pending = Vec::new();
            self.pending_at = 0;
        }
        drained
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.pending_at == self.pending.len() && self.link.is_flushed()
    }

    /// How the bytes of an answer with this fault leave, `bytes` being the first of them.
    pub(crate) fn set_drip(&mut self, fault: Option<Fault>, bytes: &[u8]) {
        self.drip = fault.and_then(|fault| {
            let left = match fault.kind {
                FaultKind::Drip => usize::MAX,
                FaultKind::SlowHeaders => end_of_head(bytes)?,
                _ => return None,
            };
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked to be a time"
            )]
            let gap_ns = (fault.numbers.byte_gap_ms * 1e6) as u64;
            Some(Drip { gap_ns, left })
        });
    }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}
