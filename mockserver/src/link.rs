//! A socket, plain or with TLS on it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use mio::net::TcpStream;
use rustls::{ServerConfig, ServerConnection};
use socket2::SockRef;

/// What bytes are read from and written to.
#[derive(Debug)]
pub(crate) enum Link {
    Plain(TcpStream),
    /// Boxed: a TLS session is large, and most links have none.
    Tls(Box<Secured>),
}

#[derive(Debug)]
pub(crate) struct Secured {
    tcp: TcpStream,
    session: ServerConnection,
}

impl Link {
    /// With a TLS session to be negotiated, or plain.
    pub(crate) fn new(tcp: TcpStream, config: Option<&Arc<ServerConfig>>) -> io::Result<Self> {
        let Some(config) = config else { return Ok(Self::Plain(tcp)) };
        let session = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        Ok(Self::Tls(Box::new(Secured { tcp, session })))
    }

    pub(crate) const fn tcp(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(secured) => &mut secured.tcp,
        }
    }

    /// Whether a read that does not fill the buffer left nothing behind.
    pub(crate) const fn short_reads_end(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Whether the system has everything that was written.
    pub(crate) fn is_flushed(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Tls(secured) => !secured.session.wants_write(),
        }
    }

    /// Hands on what TLS still holds. Returns whether nothing is left.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(true),
            Self::Tls(secured) => secured.flush(),
        }
    }

    /// Closes in order on this side.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        if let Self::Tls(secured) = self {
            secured.session.send_close_notify();
            secured.flush()?;
        }
        self.tcp().shutdown(Shutdown::Write)
    }

    /// Breaks off: a close from now on sends RST.
    pub(crate) fn break_off(&mut self) {
        let _ = SockRef::from(&*self.tcp()).set_linger(Some(Duration::ZERO));
    }
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buffer),
            Self::Tls(secured) => secured.read(buffer),
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Tls(secured) => {
                if !secured.flush()? {
                    return Err(ErrorKind::WouldBlock.into());
                }
                let taken = secured.session.writer().write(bytes)?;
                secured.flush()?;
                Ok(taken)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Self::flush(self).map(drop)
    }
}

impl Secured {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(buffer) {
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => {}
                result => return result,
            }
            if self.session.read_tls(&mut self.tcp)? == 0 {
                return Ok(0);
            }
            let processed = self.session.process_new_packets();
            // The handshake's next message, or the alert that tells the client what was wrong.
            let flushed = self.flush();
            processed.map_err(|cause| io::Error::new(ErrorKind::InvalidData, cause))?;
            flushed?;
        }
    }

    fn flush(&mut self) -> io::Result<bool> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.tcp) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
        Ok(true)
    }
}
