//! Starting and stopping.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use ai_energy_benchmarks::clock::Anchor;
use ai_energy_benchmarks::error::{Problem, Problems};
use mio::net::TcpListener;
use mio::{Poll, Waker};
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::MockConfig;
use crate::gate::Gate;
use crate::log::{Log, RequestLog, lock};
use crate::prefix::PrefixCache;
use crate::shared::{Mailbox, Message, Shared};
use crate::stats::{Counters, Stats};
use crate::tls::{self, Tls};
use crate::worker::{WAKER, Worker};

/// Connections that the system holds until they are accepted.
const BACKLOG: i32 = 4096;

/// A running server; it stops when dropped.
pub struct MockServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

impl MockServer {
    /// Starts serving.
    ///
    /// # Errors
    /// Settings that make no sense, an address that cannot be had, a log that cannot be written.
    pub fn start(config: MockConfig) -> Result<Self, Problems> {
        config.check()?;
        let wanted = SocketAddr::new(config.address, config.port);
        let listener = bind(wanted).map_err(|cause| {
            Problem::new("port", format!("cannot listen at {wanted}: {cause}"))
                .hint("another port, or 0 to have one chosen")
        })?;
        let log = Log::open(config.log.as_deref(), config.keep_requests)
            .map_err(|cause| Problem::new("log", format!("cannot be made: {cause}")))?;
        let tls = match config.tls {
            Some(mode) => Some(
                tls::prepare(mode, config.address)
                    .map_err(|cause| Problem::new("tls", format!("no certificate: {cause}")))?,
            ),
            None => None,
        };
        Self::launch(config, listener, log, tls)
            .map_err(|cause| Problem::new("threads", format!("cannot be started: {cause}")).into())
    }

    fn launch(
        config: MockConfig,
        listener: TcpListener,
        log: Log,
        tls: Option<Tls>,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let mut mailboxes = Vec::new();
        let mut ends = Vec::new();
        for _ in 0..config.threads {
            let poll = Poll::new()?;
            let waker = Waker::new(poll.registry(), WAKER)?;
            let (sender, inbox) = channel();
            mailboxes.push(Mailbox { sender, waker });
            ends.push((poll, inbox));
        }
        let shared = Arc::new(Shared {
            counters: (0..config.threads).map(|_| Arc::new(Counters::default())).collect(),
            mailboxes,
            gate: config.max_running.map(|places| Mutex::new(Gate::new(places))),
            prefixes: config
                .prefix_cache
                .then(|| Mutex::new(PrefixCache::of(config.kv_cache_tokens))),
            log,
            tls,
            log_failure: Mutex::default(),
            address,
            anchor: Anchor::take(),
            requests: AtomicU64::new(0),
            config,
        });
        // Made before any thread runs, so that a failure leaves none behind.
        let mut workers = Vec::new();
        for (me, (poll, inbox)) in ends.into_iter().enumerate() {
            workers.push(Worker::new(me, Arc::clone(&shared), poll, inbox)?);
        }
        workers[0].listen(listener)?;
        workers[0].plan_closing();
        let mut server = Self { address, shared, threads: Vec::new() };
        for (me, worker) in workers.into_iter().enumerate() {
            let builder = std::thread::Builder::new().name(format!("mock-server-{me}"));
            #[expect(clippy::disallowed_methods, reason = "a server of its own, not part of a run")]
            let thread = builder.spawn(move || worker.run())?;
            server.threads.push(thread);
        }
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL, without `/v1`.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.shared.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The certificate in PEM, for clients that are to trust it; none without TLS.
    #[must_use]
    pub fn certificate(&self) -> Option<&str> {
        self.shared.tls.as_ref().map(|tls| tls.certificate.as_str())
    }

    /// What it did so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// The requests that ended so far, where `keep_requests` was set.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestLog> {
        self.shared.log.kept()
    }

    /// Closes the listening socket: new connections are refused by the system, those that stand go on.
    pub fn close_listener(&self) {
        self.listen_at(None);
    }

    /// Listens again at the same address.
    ///
    /// # Errors
    /// When another program took the port meanwhile.
    pub fn open_listener(&self) -> io::Result<()> {
        self.listen_at(Some(bind(self.address)?));
        Ok(())
    }

    fn listen_at(&self, listener: Option<TcpListener>) {
        let (done, is_done) = channel();
        self.shared.tell(0, Message::Listen(listener, done));
        // A thread that ended listens no more anyway.
        let _ = is_done.recv();
    }

    /// Stops, and tells the last counts.
    ///
    /// # Errors
    /// When a thread failed or the log could not be written whole.
    pub fn stop(mut self) -> io::Result<Stats> {
        self.join()?;
        Ok(self.stats())
    }

    fn join(&mut self) -> io::Result<()> {
        for worker in 0..self.threads.len() {
            self.shared.tell(worker, Message::Stop);
        }
        let mut result = Ok(());
        for thread in self.threads.drain(..) {
            let ended = thread
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a thread of the server panicked")));
            result = result.and(ended);
        }
        let flushed = self.shared.log.flush();
        let failure = lock(&self.shared.log_failure).take();
        result
            .and(flushed)
            .and(failure.map_or(Ok(()), |cause| Err(io::Error::other(format!("the log: {cause}")))))
    }
}

impl Drop for MockServer {
    fn drop(&mut self) {
        // `stop` tells what went wrong; who drops does not ask.
        let _ = self.join();
    }
}

/// Listens there.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Lets this process have as many open files as the system allows it: thousands of streams need more than the 1,024 that are
/// usual.
///
/// # Errors
/// When the system refuses.
pub fn raise_open_files() -> io::Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}
