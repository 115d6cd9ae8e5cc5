//! HTTP/1.1 to one server, each connection driven by the task that uses it.
//!
//! No second task wakes for a chunk, and no byte of it is copied: a read goes into the thread's one buffer and is
//! decoded there. Every read of the socket is stamped where it happens, and all events in one read carry that stamp:
//! the kernel handed them over together. Connections that
//! are idle are kept and used again. One that rested may be closed by the server in the very moment in which it is used
//! again: then, as long as not a byte of an answer has come, the request goes out once more on a new one, and the sink
//! hears of it. One that breaks under a request without having rested broke for a reason, which is a failure.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Method;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::runtime::{Handle, Id};
use tokio::time::timeout;

use super::endpoint::Endpoint;
use super::failure::{self, Trouble};
use super::io::{Io, Stamped};
use super::tls::Tls;
use super::wire::{Body, FeedError, Head};
use crate::backend::{BackendError, Sink, StreamEvent};
use crate::clock;
use crate::record::FailureClass;
use crate::units::{Nanos, Seconds};

/// Most bytes that are read off a finished answer to use its connection again.
const DRAIN_BYTES: usize = 64 << 10;
/// No server closes a connection because it was idle for less, in seconds: usual are 2 s and more.
const RESTED: Seconds = Seconds(1.0);
/// Most bytes of one read. What a slow client finds waiting is taken in few reads.
const READ_BYTES: usize = 64 << 10;

thread_local! {
    /// Where every read of a thread goes: what is read is used at once, so that a thousand streams share one buffer,
    /// which stays in the processor's cache, and an idle stream holds none.
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// A server, with the connections to it that are idle.
pub(super) struct Client {
    endpoint: Endpoint,
    authorization: Option<HeaderValue>,
    tls: Option<Tls>,
    connect_timeout: Duration,
    /// What the host's name resolved to.
    addresses: Mutex<Vec<SocketAddr>>,
    idle: Mutex<Vec<Exchange>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// One request.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) accept: &'static str,
    pub(super) body: Vec<u8>,
}

impl Client {
    /// A client that sends `authorization` with every request.
    pub(super) fn new(
        endpoint: Endpoint,
        authorization: Option<HeaderValue>,
        tls: Option<Tls>,
        connect_timeout: Duration,
    ) -> Self {
        let (addresses, idle) = (Mutex::default(), Mutex::default());
        Self { endpoint, authorization, tls, connect_timeout, addresses, idle }
    }

    pub(super) const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends a request and waits for the head of its answer. The sink hears when it was sent.
    pub(super) async fn send(
        &self,
        call: &Call,
        sink: &mut dyn Sink,
    ) -> Result<Reply, BackendError> {
        let request = self.request(call)?;
        if let Some(mut kept) = self.take_idle().await {
            match kept.send(&request, sink).await {
                Ok(answer) => return Ok(Reply::new(kept, answer)),
                // The server closed it because it was idle, and the two met on the way: a new connection, once.
                Err(Unanswered { heard: false, .. }) if kept.has_rested() => {
                    sink.event(clock::now(), StreamEvent::Again);
                }
                Err(Unanswered { trouble, .. }) => return Err(waiting(&trouble)),
            }
        }
        let mut exchange = self.connect().await?;
        match exchange.send(&request, sink).await {
            Ok(answer) => Ok(Reply::new(exchange, answer)),
            Err(Unanswered { trouble, .. }) => Err(waiting(&trouble)),
        }
    }

    /// Keeps a connection for the next request, if it turns out fit for one.
    pub(super) fn give_back(&self, mut reply: Reply) {
        if reply.exchange.keep_alive {
            reply.exchange.rests_since = clock::now();
            lock(&self.idle).push(reply.exchange);
        }
    }

    /// The addresses behind the host's name.
    pub(super) async fn resolve(&self) -> Result<Vec<SocketAddr>, BackendError> {
        let known = lock(&self.addresses).clone();
        if !known.is_empty() {
            return Ok(known);
        }
        let host = self.endpoint.host.as_str();
        let found: Vec<SocketAddr> = tokio::net::lookup_host((host, self.endpoint.port))
            .await
            .map_err(|cause| failure::connect(&self.shown(), &cause.to_string()))?
            .collect();
        if found.is_empty() {
            return Err(failure::connect(&self.shown(), "the host's name has no address"));
        }
        lock(&self.addresses).clone_from(&found);
        Ok(found)
    }

    fn shown(&self) -> String {
        self.endpoint.to_string()
    }

    /// The bytes of a request.
    fn request(&self, call: &Call) -> Result<Vec<u8>, BackendError> {
        let Call { method, path, accept, body } = call;
        if path.bytes().any(|byte| !byte.is_ascii_graphic()) {
            let message = format!("the path `{}` cannot be asked for", path.escape_default());
            return Err(BackendError::new(FailureClass::Protocol, message));
        }
        let mut head = String::with_capacity(256);
        let host = self.endpoint.authority();
        let agent = concat!("ai-energy-benchmark/", env!("CARGO_PKG_VERSION"));
        // Writing to a string cannot fail.
        let _ = write!(
            head,
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\naccept: {accept}\r\nuser-agent: {agent}\r\n"
        );
        if !body.is_empty() {
            let length = body.len();
            let _ = write!(head, "content-type: application/json\r\ncontent-length: {length}\r\n");
        }
        let mut request = Vec::with_capacity(head.len() + 256 + body.len());
        request.extend_from_slice(head.as_bytes());
        if let Some(authorization) = &self.authorization {
            // A header's value holds no line end, which its type guarantees.
            for part in
                [AUTHORIZATION.as_str().as_bytes(), b": ", authorization.as_bytes(), b"\r\n"]
            {
                request.extend_from_slice(part);
            }
        }
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(body);
        Ok(request)
    }

    /// An idle connection of this runtime that the server has not closed.
    async fn take_idle(&self) -> Option<Exchange> {
        let here = Handle::current().id();
        loop {
            let mut exchange = {
                let mut idle = lock(&self.idle);
                let at = idle.iter().rposition(|exchange| exchange.runtime == here)?;
                idle.swap_remove(at)
            };
            if poll_fn(|cx| Poll::Ready(exchange.is_reusable(cx))).await {
                exchange.used_at = clock::now();
                return Some(exchange);
            }
        }
    }

    async fn connect(&self) -> Result<Exchange, BackendError> {
        match timeout(self.connect_timeout, self.open()).await {
            Ok(Ok(exchange)) => Ok(exchange),
            Ok(Err(error)) => {
                // The name may lead elsewhere by now.
                lock(&self.addresses).clear();
                Err(error)
            }
            Err(_) => {
                let waited = self.connect_timeout.as_secs_f64();
                let error = failure::connect(&self.shown(), &format!("no answer in {waited} s"));
                Err(error
                    .hint("the host may be down or behind a firewall; backend.connect_timeout_s"))
            }
        }
    }

    async fn open(&self) -> Result<Exchange, BackendError> {
        let addresses = self.resolve().await?;
        let mut last = None;
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(tcp) => return self.shake_hands(tcp).await,
                Err(cause) => last = Some(format!("{cause} ({address})")),
            }
        }
        Err(failure::connect(&self.shown(), &last.unwrap_or_default()))
    }

    async fn shake_hands(&self, tcp: TcpStream) -> Result<Exchange, BackendError> {
        let shown = self.shown();
        // A small request must not wait for an acknowledgement.
        tcp.set_nodelay(true).map_err(|cause| failure::connect(&shown, &cause.to_string()))?;
        let stamped = Stamped::new(tcp);
        let io = match &self.tls {
            None => Io::Plain(stamped),
            Some(tls) => {
                let stream = tls.connect(stamped).await;
                Io::Tls(Box::new(stream.map_err(|cause| failure::tls(&shown, &cause))?))
            }
        };
        let runtime = Handle::current().id();
        let rests_since = clock::now();
        Ok(Exchange {
            io,
            body: Body::Length(0),
            keep_alive: true,
            rests_since,
            used_at: rests_since,
            runtime,
        })
    }
}

fn waiting(trouble: &Trouble) -> BackendError {
    failure::transport(trouble, "waiting for the answer")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing inside can be half done: a panic elsewhere leaves a list that is still a list.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection.
struct Exchange {
    io: Io,
    /// Where the body of the last answer stands.
    body: Body,
    /// Whether it may serve another request.
    keep_alive: bool,
    /// When its last answer had ended.
    rests_since: Nanos,
    /// When it was last taken for a request.
    used_at: Nanos,
    /// Sockets work only where they were opened.
    runtime: Id,
}

/// No answer came.
struct Unanswered {
    trouble: Trouble,
    /// A byte of one did.
    heard: bool,
}

/// The head of an answer, and what came of its body in the same read.
struct Answered {
    head: Head,
    early: Vec<u8>,
    early_at: Nanos,
}

impl Exchange {
    /// Sends a request and waits for the head of its answer. The sink hears when the last byte was handed over.
    async fn send(&mut self, request: &[u8], sink: &mut dyn Sink) -> Result<Answered, Unanswered> {
        let mut writing = Writing { left: request, flushed: false };
        let mut heard = Vec::new();
        let answered = poll_fn(|cx| {
            // A server may answer, and hang up, before it has read all of a request: its answer tells why.
            writing.go_on(&mut self.io, cx, sink);
            self.poll_head(cx, &mut heard)
        })
        .await;
        match answered {
            Ok(answered) => {
                self.keep_alive = answered.head.keep_alive && writing.flushed;
                Ok(answered)
            }
            Err(trouble) => Err(Unanswered { trouble, heard: !heard.is_empty() }),
        }
    }

    /// Whether it was idle so long before this request that the server may have closed it for that.
    fn has_rested(&self) -> bool {
        self.used_at.since(self.rests_since) >= RESTED
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        heard: &mut Vec<u8>,
    ) -> Poll<Result<Answered, Trouble>> {
        loop {
            ready!(self.poll_bytes(cx, |_, bytes| heard.extend_from_slice(bytes)))?;
            while let Some((head, length)) = Head::parse(heard)? {
                heard.drain(..length);
                if !head.is_interim() {
                    let (early, early_at) = (std::mem::take(heard), self.io.read_at());
                    return Poll::Ready(Ok(Answered { head, early, early_at }));
                }
            }
        }
    }

    /// The bytes of the next read, shown in the buffer that they were read into.
    fn poll_bytes<T>(
        &mut self,
        cx: &mut Context<'_>,
        show: impl FnOnce(&mut Self, &[u8]) -> T,
    ) -> Poll<Result<T, Trouble>> {
        READ.with_borrow_mut(|space| {
            let mut buffer = ReadBuf::new(space);
            ready!(self.io.poll_read(cx, &mut buffer)).map_err(Trouble::Io)?;
            let bytes = buffer.filled();
            if bytes.is_empty() {
                return Poll::Ready(Err(Trouble::Closed));
            }
            Poll::Ready(Ok(show(self, bytes)))
        })
    }

    /// Takes bytes of the present answer, read at `at`, and shows those of its body.
    fn take(
        &mut self,
        at: Nanos,
        bytes: &[u8],
        show: &mut impl FnMut(Nanos, &[u8]) -> Result<(), BackendError>,
    ) -> Result<(), ReadError> {
        match self.body.feed(bytes, &mut |piece| show(at, piece)) {
            Ok(taken) => {
                // Bytes that nobody asked for: whatever they are, they answer no request of ours.
                self.keep_alive &= taken == bytes.len();
                Ok(())
            }
            Err(FeedError::Malformed(what)) => Err(Trouble::NotHttp(what).into()),
            Err(FeedError::Refused(error)) => Err(ReadError::Refused(error)),
        }
    }

    /// Whether the last answer has ended and the server still listens.
    fn is_reusable(&mut self, cx: &mut Context<'_>) -> bool {
        let mut drained = 0;
        loop {
            let ended = self.body.is_ended();
            let polled = self.poll_bytes(cx, |this, bytes| {
                drained += bytes.len();
                this.take(this.io.read_at(), bytes, &mut |_, _| Ok(()))
            });
            match polled {
                Poll::Pending => return ended && self.keep_alive,
                // It was closed, or says something unasked.
                Poll::Ready(Err(_) | Ok(Err(_))) => return false,
                Poll::Ready(Ok(Ok(()))) if ended || drained > DRAIN_BYTES => return false,
                Poll::Ready(Ok(Ok(()))) => {}
            }
        }
    }
}

/// A request on its way out.
struct Writing<'a> {
    left: &'a [u8],
    /// All of it was handed to the kernel.
    flushed: bool,
}

impl Writing<'_> {
    /// Writes what the socket takes. What breaks here is told by the read that follows.
    fn go_on(&mut self, io: &mut Io, cx: &mut Context<'_>, sink: &mut dyn Sink) {
        while !self.left.is_empty() {
            match io.poll_write(cx, self.left) {
                Poll::Ready(Ok(count)) if count > 0 => self.left = &self.left[count..],
                Poll::Ready(_) | Poll::Pending => return,
            }
        }
        if !self.flushed && matches!(io.poll_flush(cx), Poll::Ready(Ok(()))) {
            self.flushed = true;
            sink.event(io.wrote_at(), StreamEvent::Sent);
        }
    }
}

/// Why a body was not read on.
pub(super) enum ReadError {
    /// The connection broke, or carried something that is not HTTP.
    Transport(BackendError),
    /// Whoever was shown the bytes refused them.
    Refused(BackendError),
}

impl From<Trouble> for ReadError {
    fn from(trouble: Trouble) -> Self {
        Self::Transport(failure::transport(&trouble, "reading the answer"))
    }
}

impl From<ReadError> for BackendError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Transport(error) | ReadError::Refused(error) => error,
        }
    }
}

/// An answer whose head has come.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    exchange: Exchange,
    /// What came of the body with the head, and when; empty once it was shown.
    early: Vec<u8>,
    early_at: Nanos,
    /// The server hung up where the body's end may be.
    closed: bool,
}

impl Reply {
    fn new(mut exchange: Exchange, answered: Answered) -> Self {
        let Answered { head: Head { status, headers, body, .. }, early, early_at } = answered;
        exchange.body = body;
        Self { status, headers, exchange, early, early_at, closed: false }
    }

    /// Whether all of the body was read.
    pub(super) const fn is_ended(&self) -> bool {
        self.closed || self.exchange.body.is_ended()
    }

    /// Waits for the next read and shows the pieces of the body in it, each with the moment of that read.
    pub(super) async fn read(
        &mut self,
        show: &mut impl FnMut(Nanos, &[u8]) -> Result<(), BackendError>,
    ) -> Result<(), ReadError> {
        if !self.early.is_empty() {
            let early = std::mem::take(&mut self.early);
            return self.exchange.take(self.early_at, &early, show);
        }
        let read = poll_fn(|cx| {
            self.exchange
                .poll_bytes(cx, |exchange, bytes| exchange.take(exchange.io.read_at(), bytes, show))
        });
        match read.await {
            Ok(taken) => taken,
            Err(Trouble::Closed) if self.exchange.body.may_close() => {
                self.closed = true;
                Ok(())
            }
            Err(trouble) => Err(trouble.into()),
        }
    }

    /// The whole body, up to `limit` bytes, with the moments of its first and last piece.
    pub(super) async fn read_all(&mut self, limit: usize) -> Result<WholeBody, BackendError> {
        let mut whole = WholeBody::default();
        self.read_into(&mut whole, limit).await?;
        Ok(whole)
    }

    /// As much of the body as comes before it breaks or reaches `limit`.
    pub(super) async fn read_what_comes(&mut self, limit: usize) -> WholeBody {
        let mut whole = WholeBody::default();
        // The error that the body describes matters more than how its reading ended.
        let _: Result<(), BackendError> = self.read_into(&mut whole, limit).await;
        whole
    }

    async fn read_into(&mut self, whole: &mut WholeBody, limit: usize) -> Result<(), BackendError> {
        let mut add = |at, piece: &[u8]| {
            whole.first.get_or_insert(at);
            whole.last = Some(at);
            if whole.bytes.len() + piece.len() > limit {
                let message = format!("the answer is larger than {limit} bytes");
                return Err(BackendError::new(FailureClass::Protocol, message));
            }
            whole.bytes.extend_from_slice(piece);
            Ok(())
        };
        while !self.is_ended() {
            self.read(&mut add).await?;
        }
        Ok(())
    }
}

/// A body read to its end.
#[derive(Debug, Default)]
pub(super) struct WholeBody {
    pub(super) bytes: Vec<u8>,
    pub(super) first: Option<Nanos>,
    pub(super) last: Option<Nanos>,
}
