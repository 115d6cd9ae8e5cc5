//! HTTP/1.1 to one server, each connection driven by the task that uses it.
//!
//! No second task wakes for a chunk: the connection and the answer's body are polled together. Every read of
//! the socket is stamped where it happens, and all events in one read carry that stamp. Connections that
//! are idle are kept and used again; one that the server has closed meanwhile is replaced, once and silently,
//! as long as not a byte of an answer has come.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, USER_AGENT,
};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::{Handle, Id};
use tokio::time::timeout;

use super::endpoint::Endpoint;
use super::failure;
use super::io::{Io, Marks, Stamped};
use super::tls::Tls;
use crate::backend::{BackendError, Sink, StreamEvent};
use crate::record::FailureClass;
use crate::units::Nanos;

/// Most bytes that are read off a finished answer to use its connection again.
const DRAIN_BYTES: usize = 64 << 10;

/// A server, with the connections to it that are idle.
pub(super) struct Client {
    endpoint: Endpoint,
    headers: HeaderMap,
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
    pub(super) body: Bytes,
}

impl Client {
    /// A client that sends `authorization` with every request.
    pub(super) fn new(
        endpoint: Endpoint,
        authorization: Option<HeaderValue>,
        tls: Option<Tls>,
        connect_timeout: Duration,
    ) -> Self {
        let mut headers = HeaderMap::new();
        let agent = concat!("ai-energy-benchmark/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization);
        }
        let (addresses, idle) = (Mutex::default(), Mutex::default());
        Self { endpoint, headers, tls, connect_timeout, addresses, idle }
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
        if let Some(mut kept) = self.take_idle().await {
            match kept.send(self.request(call, &kept)?, sink).await {
                Ok(response) => return Ok(Reply::new(kept, response)),
                // The server had closed it while it was idle: a new connection, once.
                Err(_) if !kept.marks.was_read() => {}
                Err(error) => return Err(failure::transport(&error, "waiting for the answer")),
            }
        }
        let mut exchange = self.connect().await?;
        let request = self.request(call, &exchange)?;
        match exchange.send(request, sink).await {
            Ok(response) => Ok(Reply::new(exchange, response)),
            Err(error) => Err(failure::transport(&error, "waiting for the answer")),
        }
    }

    /// Keeps a connection for the next request, if it turns out fit for one.
    pub(super) fn give_back(&self, reply: Reply) {
        let Reply { mut exchange, incoming, .. } = reply;
        exchange.leftover = incoming;
        if exchange.connection.is_some() {
            lock(&self.idle).push(exchange);
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

    fn request(&self, call: &Call, on: &Exchange) -> Result<Request<OnceBody>, BackendError> {
        on.marks.restart(call.body.is_empty());
        let body = OnceBody { bytes: call.body.clone(), marks: Arc::clone(&on.marks) };
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(call.path.as_str())
            .header(HOST, self.endpoint.authority())
            .header(ACCEPT, call.accept)
            .body(body)
            .map_err(|cause| BackendError::new(FailureClass::Protocol, cause.to_string()))?;
        let headers = request.headers_mut();
        headers.extend(self.headers.clone());
        if !call.body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
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
        let marks = Arc::new(Marks::default());
        let stamped = Stamped::new(tcp, Arc::clone(&marks));
        let io = match &self.tls {
            None => Io::Plain(stamped),
            Some(tls) => {
                let stream = tls.connect(stamped).await;
                Io::Tls(Box::new(stream.map_err(|cause| failure::tls(&shown, &cause))?))
            }
        };
        let (sender, connection) = Builder::new()
            .handshake(TokioIo::new(io))
            .await
            .map_err(|error| failure::transport(&error, "connecting"))?;
        let runtime = Handle::current().id();
        Ok(Exchange { sender, connection: Some(connection), marks, runtime, leftover: None })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing inside can be half done: a panic elsewhere leaves a list that is still a list.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection.
struct Exchange {
    sender: SendRequest<OnceBody>,
    /// `None` once it has ended.
    connection: Option<Connection<TokioIo<Io>, OnceBody>>,
    marks: Arc<Marks>,
    /// Sockets work only where they were opened.
    runtime: Id,
    /// The end of the last answer, if it had not come when the answer was complete.
    leftover: Option<Incoming>,
}

impl Exchange {
    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && Pin::new(connection).poll(cx).is_ready()
        {
            // Whatever ended it has been told to the answer or the body.
            self.connection = None;
        }
    }

    async fn send(
        &mut self,
        request: Request<OnceBody>,
        sink: &mut dyn Sink,
    ) -> Result<hyper::Response<Incoming>, hyper::Error> {
        let mut response = pin!(self.sender.send_request(request));
        let mut told = false;
        poll_fn(|cx| {
            // Not `self.drive`: the response borrows nothing, but `self.sender` is part of `self`.
            if let Some(connection) = &mut self.connection
                && Pin::new(connection).poll(cx).is_ready()
            {
                self.connection = None;
            }
            if let Some(at) = self.marks.sent().filter(|_| !told) {
                told = true;
                sink.event(at, StreamEvent::Sent);
            }
            response.as_mut().poll(cx)
        })
        .await
    }

    /// Whether the last answer has ended and the server still listens.
    fn is_reusable(&mut self, cx: &mut Context<'_>) -> bool {
        let mut drained = 0;
        while let Some(body) = &mut self.leftover {
            if let Some(connection) = &mut self.connection
                && Pin::new(connection).poll(cx).is_ready()
            {
                return false;
            }
            match Pin::new(body).poll_frame(cx) {
                Poll::Ready(None) => self.leftover = None,
                Poll::Ready(Some(Ok(frame))) => {
                    drained += frame.data_ref().map_or(0, Bytes::len);
                    if drained > DRAIN_BYTES {
                        return false;
                    }
                }
                Poll::Ready(Some(Err(_))) | Poll::Pending => return false,
            }
        }
        self.drive(cx);
        self.connection.is_some() && matches!(self.sender.poll_ready(cx), Poll::Ready(Ok(())))
    }
}

/// A request's body: all there at once. Notes when it has been taken, so that the next flush means "sent".
struct OnceBody {
    bytes: Bytes,
    marks: Arc<Marks>,
}

impl Body for OnceBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.marks.body_taken();
        let bytes = std::mem::take(&mut self.bytes);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

/// An answer whose head has come.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    exchange: Exchange,
    /// `None` when all of it has been read.
    incoming: Option<Incoming>,
}

impl Reply {
    fn new(exchange: Exchange, response: hyper::Response<Incoming>) -> Self {
        let (head, incoming) = response.into_parts();
        let status = head.status.as_u16();
        Self { status, headers: head.headers, exchange, incoming: Some(incoming) }
    }

    /// The next piece of the body with the moment it was read from the socket; `None` at its end.
    pub(super) async fn read(&mut self) -> Result<Option<(Nanos, Bytes)>, BackendError> {
        poll_fn(|cx| {
            loop {
                let Some(incoming) = &mut self.incoming else { return Poll::Ready(Ok(None)) };
                if let Some(connection) = &mut self.exchange.connection
                    && Pin::new(connection).poll(cx).is_ready()
                {
                    self.exchange.connection = None;
                }
                match ready!(Pin::new(incoming).poll_frame(cx)) {
                    None => self.incoming = None,
                    Some(Err(error)) => {
                        self.incoming = None;
                        let error = failure::transport(&error, "reading the answer");
                        return Poll::Ready(Err(error));
                    }
                    Some(Ok(frame)) => {
                        if let Some(data) = frame.into_data().ok().filter(|data| !data.is_empty()) {
                            return Poll::Ready(Ok(Some((self.exchange.marks.read_at(), data))));
                        }
                    }
                }
            }
        })
        .await
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
        while let Some((at, piece)) = self.read().await? {
            whole.first.get_or_insert(at);
            whole.last = Some(at);
            if whole.bytes.len() + piece.len() > limit {
                let message = format!("the answer is larger than {limit} bytes");
                return Err(BackendError::new(FailureClass::Protocol, message));
            }
            whole.bytes.extend_from_slice(&piece);
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
