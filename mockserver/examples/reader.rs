//! The least that a client of streams can do: it reads, looks for newlines, and keeps the time. With it the server's own
//! speed is measured, and the floor below which no client's cost can lie. One thread, closed loop.
//!
//! `reader ADDRESS STREAMS REQUESTS BODY` sends each of `REQUESTS` requests to `/v1/chat/completions`, `STREAMS` at a time, and
//! prints one JSON object.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use ai_energy_benchmarks::clock;
use ai_energy_benchmarks_mockserver::raise_open_files;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde_json::json;

/// What ends a stream.
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

struct Stream {
    socket: TcpStream,
    tail: Vec<u8>,
    sent_ns: u64,
    first_ns: Option<u64>,
    first_lines: usize,
}

struct Reader {
    request: Vec<u8>,
    left: usize,
    open: usize,
    reads: u64,
    bytes: u64,
    lines: u64,
    first_ms: Vec<f64>,
    all_ms: Vec<f64>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, streams, requests, body] = words.as_slice() else {
        return Err("reader ADDRESS STREAMS REQUESTS BODY".into());
    };
    raise_open_files()?;
    let address: SocketAddr = address.parse()?;
    let streams: usize = streams.parse()?;
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut reader = Reader {
        request: request.into_bytes(),
        left: requests.parse()?,
        open: 0,
        reads: 0,
        bytes: 0,
        lines: 0,
        first_ms: Vec::new(),
        all_ms: Vec::new(),
    };
    let began = (clock::now().0, cpu_s());
    reader.run(address, streams)?;
    let wall_s = seconds(clock::now().0 - began.0);
    let summary = json!({
        "wall_s": wall_s,
        "cpu_s": cpu_s() - began.1,
        "reads": reader.reads,
        "bytes": reader.bytes,
        "lines": reader.lines,
        "ttft_ms_p50": percentile(&mut reader.first_ms, 50),
        "ttft_ms_p99": percentile(&mut reader.first_ms, 99),
        "e2e_ms_p50": percentile(&mut reader.all_ms, 50),
        "e2e_ms_p99": percentile(&mut reader.all_ms, 99),
    });
    writeln!(io::stdout(), "{summary}")?;
    Ok(())
}

impl Reader {
    fn run(&mut self, address: SocketAddr, streams: usize) -> io::Result<()> {
        let mut poll = Poll::new()?;
        let mut open = HashMap::new();
        for number in 0..streams {
            let socket = std::net::TcpStream::connect(address)?;
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            let mut socket = TcpStream::from_std(socket);
            poll.registry().register(&mut socket, Token(number), Interest::READABLE)?;
            let mut stream =
                Stream { socket, tail: Vec::new(), sent_ns: 0, first_ns: None, first_lines: 0 };
            if self.send(&mut stream)? {
                open.insert(number, stream);
            }
        }
        self.open = open.len();
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; 64 << 10];
        while self.open > 0 {
            match poll.poll(&mut events, None) {
                Err(cause) if cause.kind() == ErrorKind::Interrupted => continue,
                result => result?,
            }
            for event in &events {
                if let Some(stream) = open.get_mut(&event.token().0) {
                    self.read(stream, &mut buffer)?;
                }
            }
        }
        Ok(())
    }

    /// Sends the next request, if one is left.
    fn send(&mut self, stream: &mut Stream) -> io::Result<bool> {
        if self.left == 0 {
            return Ok(false);
        }
        self.left -= 1;
        stream.sent_ns = clock::now().0;
        stream.first_ns = None;
        stream.first_lines = 0;
        stream.socket.write_all(&self.request)?;
        Ok(true)
    }

    fn read(&mut self, stream: &mut Stream, buffer: &mut [u8]) -> io::Result<()> {
        loop {
            let count = match stream.socket.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(cause) => return Err(cause),
            };
            let now_ns = clock::now().0;
            let bytes = &buffer[..count];
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
            self.reads += 1;
            self.bytes += count as u64;
            self.lines += lines as u64;
            // The head has five lines; what comes behind it is an event.
            stream.first_lines += lines;
            if stream.first_ns.is_none() && stream.first_lines > 5 {
                stream.first_ns = Some(now_ns);
            }
            let kept = count.min(LAST_CHUNK.len());
            stream.tail.extend_from_slice(&bytes[count - kept..]);
            stream.tail.drain(..stream.tail.len().saturating_sub(LAST_CHUNK.len()));
            if stream.tail == LAST_CHUNK {
                self.all_ms.push(seconds(now_ns - stream.sent_ns) * 1e3);
                self.first_ms
                    .push(seconds(stream.first_ns.unwrap_or(now_ns) - stream.sent_ns) * 1e3);
                stream.tail.clear();
                if !self.send(stream)? {
                    self.open -= 1;
                }
            }
            if count < buffer.len() {
                return Ok(());
            }
        }
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

fn cpu_s() -> f64 {
    clock::thread_cpu_time().0
}

/// Nearest rank.
fn percentile(values: &mut [f64], percent: usize) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get((values.len() * percent).div_ceil(100).max(1) - 1).copied()
}
