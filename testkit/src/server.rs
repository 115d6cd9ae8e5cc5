//! A server on loopback that says exactly what a test scripted: which bytes, in which pieces, with which pauses,
//! and how the connection ends. It records what it was asked.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// One thing that the server does in answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Writes these bytes, as one segment where the network allows.
    Send(Vec<u8>),
    /// Waits.
    Pause(Duration),
    /// Closes the connection in order.
    Close,
    /// Breaks the connection off: the client's next read fails.
    Reset,
}

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Which connection it came on, from 0.
    pub connection: usize,
    /// `GET`, `POST`.
    pub method: String,
    /// Path with its query.
    pub path: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Recorded {
    /// The first header of a name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Decides what happens to a request.
type Respond = dyn Fn(&Recorded) -> Vec<Step> + Send + Sync;

/// The server; it ends when dropped.
pub struct ScriptedServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    respond: Box<Respond>,
    tls: Option<Arc<ServerConfig>>,
    recorded: Mutex<Vec<Recorded>>,
    connections: AtomicUsize,
    stopping: AtomicBool,
}

impl ScriptedServer {
    /// Answers every request with what `respond` decides.
    ///
    /// # Panics
    /// When loopback has no free port.
    #[must_use]
    pub fn start(respond: impl Fn(&Recorded) -> Vec<Step> + Send + Sync + 'static) -> Self {
        Self::listen(Box::new(respond), None)
    }

    /// Answers the requests, in the order in which they come, with these scripts; later ones with the last.
    ///
    /// # Panics
    /// When there is no script, or loopback has no free port.
    #[must_use]
    pub fn replay(scripts: Vec<Vec<Step>>) -> Self {
        let next = AtomicUsize::new(0);
        Self::start(move |_| {
            let at = next.fetch_add(1, SeqCst).min(scripts.len() - 1);
            scripts[at].clone()
        })
    }

    /// The same over TLS, with a certificate chain and key in PEM.
    ///
    /// # Panics
    /// When they are not a certificate and its key.
    #[must_use]
    pub fn start_tls(
        certificate: &[u8],
        key: &[u8],
        respond: impl Fn(&Recorded) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        let chain = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<Vec<_>, _>>()
            .expect("a PEM certificate");
        let key = PrivateKeyDer::from_pem_slice(key).expect("a PEM key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has the default protocol versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("the key belongs to the certificate");
        Self::listen(Box::new(respond), Some(Arc::new(config)))
    }

    fn listen(respond: Box<Respond>, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            respond,
            tls,
            recorded: Mutex::default(),
            connections: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
        });
        let for_thread = Arc::clone(&shared);
        let accepting = Some(spawn(move || accept(&listener, &for_thread)));
        Self { address, shared, accepting }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL, by address.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.shared.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// What it was asked so far.
    #[must_use]
    pub fn recorded(&self) -> Vec<Recorded> {
        lock(&self.shared.recorded).clone()
    }

    /// How many connections were made so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.shared.stopping.store(true, SeqCst);
        // Wakes the thread that accepts; connections end with their clients or after their time-out.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a server of the tests' own, not part of a run")]
fn spawn(job: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    std::thread::spawn(job)
}

#[expect(clippy::disallowed_methods, reason = "the script asks for the pause")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopping.load(SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let number = shared.connections.fetch_add(1, SeqCst);
        let shared = Arc::clone(shared);
        // An error on a connection is the client's affair: tests see it from there.
        spawn(move || drop(serve(stream, number, &shared)));
    }
}

fn serve(tcp: TcpStream, number: usize, shared: &Shared) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(Duration::from_secs(20)))?;
    let raw = tcp.try_clone()?;
    match &shared.tls {
        None => converse(tcp, &raw, number, shared),
        Some(config) => {
            let tls = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
            converse(StreamOwned::new(tls, tcp), &raw, number, shared)
        }
    }
}

fn converse(
    stream: impl Read + Write,
    raw: &TcpStream,
    number: usize,
    shared: &Shared,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_request(&mut stream, number)? {
        let steps = (shared.respond)(&request);
        lock(&shared.recorded).push(request);
        for step in steps {
            match step {
                Step::Send(bytes) => {
                    stream.get_mut().write_all(&bytes)?;
                    stream.get_mut().flush()?;
                }
                Step::Pause(time) => pause(time),
                Step::Close => return raw.shutdown(std::net::Shutdown::Both),
                Step::Reset => return socket2::SockRef::from(raw).set_linger(Some(Duration::ZERO)),
            }
        }
    }
    Ok(())
}

fn read_request(stream: &mut impl BufRead, connection: usize) -> io::Result<Option<Recorded>> {
    let mut first = String::new();
    if stream.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut words = first.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let path = words.next().unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => {
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
            None => break,
        }
    }
    let mut recorded = Recorded { connection, method, path, headers, body: Vec::new() };
    let length = recorded.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    recorded.body.resize(length, 0);
    stream.read_exact(&mut recorded.body)?;
    Ok(Some(recorded))
}

/// A whole answer with its length.
#[must_use]
pub fn answer(status: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// The head of a stream of events in chunks.
#[must_use]
pub fn stream_head() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
        .to_vec()
}

/// One chunk of a chunked body; an empty one ends it.
#[must_use]
pub fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// A stream of events: its head, each piece as a chunk of its own, the end.
#[must_use]
pub fn stream<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Step> {
    let pieces = pieces.into_iter().filter(|piece| !piece.is_empty());
    std::iter::once(stream_head())
        .chain(pieces.map(chunk))
        .chain([chunk(b"")])
        .map(Step::Send)
        .collect()
}
