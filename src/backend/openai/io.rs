//! The socket, with a stamp of every read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::clock;
use crate::units::Nanos;

/// When things happened on a socket in the present request; 0 is "not yet".
///
/// One task writes and reads them; they are atomic only because a future may move between threads.
#[derive(Debug, Default)]
pub(super) struct Marks {
    read: AtomicU64,
    wrote: AtomicU64,
    sent: AtomicU64,
    body_taken: AtomicBool,
}

impl Marks {
    /// A new request begins.
    pub(super) fn restart(&self, without_body: bool) {
        self.read.store(0, Relaxed);
        self.wrote.store(0, Relaxed);
        self.sent.store(0, Relaxed);
        self.body_taken.store(without_body, Relaxed);
    }

    /// The request's last bytes are in the connection's buffer: once that is flushed, it is sent.
    pub(super) fn body_taken(&self) {
        self.body_taken.store(true, Relaxed);
    }

    /// When the request's last byte was handed to the kernel.
    pub(super) fn sent(&self) -> Option<Nanos> {
        Some(self.sent.load(Relaxed)).filter(|at| *at != 0).map(Nanos)
    }

    /// Whether any byte of an answer has come.
    pub(super) fn was_read(&self) -> bool {
        self.read.load(Relaxed) != 0
    }

    /// When the last read returned.
    pub(super) fn read_at(&self) -> Nanos {
        Nanos(self.read.load(Relaxed))
    }
}

/// A socket that notes when bytes come and go.
pub(super) struct Stamped {
    tcp: TcpStream,
    marks: Arc<Marks>,
}

impl Stamped {
    pub(super) const fn new(tcp: TcpStream, marks: Arc<Marks>) -> Self {
        Self { tcp, marks }
    }

    fn note_write(&self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(count)) if *count > 0) {
            self.marks.wrote.store(clock::now().0, Relaxed);
        }
    }
}

impl AsyncRead for Stamped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.tcp).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.marks.read.store(clock::now().0, Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stamped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(cx, bytes);
        self.note_write(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(cx, slices);
        self.note_write(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.tcp).poll_flush(cx))?;
        // The connection flushes the socket only after it has written all of its buffer.
        let marks = &self.marks;
        if marks.sent().is_none() && marks.body_taken.load(Relaxed) {
            marks.sent.store(marks.wrote.load(Relaxed), Relaxed);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// A connection in the clear or in TLS.
pub(super) enum Io {
    Plain(Stamped),
    Tls(Box<TlsStream<Stamped>>),
}

macro_rules! through {
    ($self:ident, $io:ident => $call:expr) => {
        match $self.get_mut() {
            Io::Plain($io) => $call,
            Io::Tls($io) => $call,
        }
    };
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        through!(self, io => Pin::new(io).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        through!(self, io => Pin::new(io).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        through!(self, io => Pin::new(io).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(io) => io.is_write_vectored(),
            Self::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        through!(self, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        through!(self, io => Pin::new(io).poll_shutdown(cx))
    }
}
