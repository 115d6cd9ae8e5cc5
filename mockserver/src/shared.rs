//! What all threads of a server share.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

use ai_energy_benchmarks::clock::Anchor;
use ai_energy_benchmarks::units::Nanos;
use mio::Waker;
use mio::net::{TcpListener, TcpStream};

use crate::config::MockConfig;
use crate::gate::{Gate, Ticket};
use crate::log::{Log, RequestLog, lock};
use crate::prefix::PrefixCache;
use crate::stats::{Counters, Stats};
use crate::tls::Tls;

/// What one thread tells another.
pub(crate) enum Message {
    /// A connection to serve.
    Connection(TcpStream),
    /// A place came free for this one, at this time.
    Admit(Ticket, u64),
    /// Connections are taken here from now on, or nowhere; the answer comes when it is so.
    Listen(Option<TcpListener>, Sender<()>),
    Stop,
}

/// Where a thread is reached.
pub(crate) struct Mailbox {
    pub sender: Sender<Message>,
    pub waker: Waker,
}

pub(crate) struct Shared {
    pub config: MockConfig,
    pub counters: Vec<Arc<Counters>>,
    pub mailboxes: Vec<Mailbox>,
    pub gate: Option<Mutex<Gate>>,
    pub prefixes: Option<Mutex<PrefixCache>>,
    pub log: Log,
    pub tls: Option<Tls>,
    /// The first line that could not be written.
    pub log_failure: Mutex<Option<String>>,
    pub address: SocketAddr,
    pub anchor: Anchor,
    pub requests: AtomicU64,
}

impl Shared {
    pub(crate) fn next_request(&self) -> u64 {
        self.requests.fetch_add(1, Relaxed)
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats::of(&self.counters)
    }

    /// Wall time in seconds of a monotonic stamp.
    pub(crate) fn unix_s(&self, mono_ns: u64) -> u64 {
        self.anchor.unix_ns_of(Nanos(mono_ns)) / 1_000_000_000
    }

    pub(crate) fn tell(&self, worker: usize, message: Message) {
        let mailbox = &self.mailboxes[worker];
        // A thread that ended needs no message.
        if mailbox.sender.send(message).is_ok() {
            let _ = mailbox.waker.wake();
        }
    }

    pub(crate) fn write_log(&self, request: RequestLog) {
        if let Err(cause) = self.log.add(request) {
            lock(&self.log_failure).get_or_insert_with(|| cause.to_string());
        }
    }
}
