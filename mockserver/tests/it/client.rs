//! A client that knows only bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use ai_energy_benchmarks_mockserver::MockServer;
use serde_json::{Value, json};

/// How a connection ended for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The answer was whole, by its length or its last chunk.
    Whole,
    /// Closed in order before the answer was whole.
    Cut,
    /// Broken off.
    Reset,
    /// Nothing came for the time that the client waits.
    Silent,
}

/// An answer as far as it came.
#[derive(Debug)]
pub(crate) struct Got {
    pub bytes: Vec<u8>,
    pub end: End,
}

pub(crate) struct Client {
    stream: TcpStream,
    left: Vec<u8>,
    /// The break was met while sending; a read then tells of an end only.
    was_reset: bool,
}

impl Client {
    pub(crate) fn of(server: &MockServer) -> Self {
        let stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { stream, left: Vec::new(), was_reset: false }
    }

    /// For answers that never come.
    pub(crate) fn patience_ms(self, ms: u64) -> Self {
        self.stream.set_read_timeout(Some(Duration::from_millis(ms))).unwrap();
        self
    }

    pub(crate) fn send(&mut self, method: &str, path: &str, body: &str) {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: mock\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.was_reset = self.stream.write_all(request.as_bytes()).is_err();
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn read(&mut self) -> Got {
        let mut bytes = std::mem::take(&mut self.left);
        let mut buffer = vec![0; 64 << 10];
        let end = loop {
            if let Some(length) = whole_length(&bytes) {
                self.left = bytes.split_off(length);
                break End::Whole;
            }
            match self.stream.read(&mut buffer) {
                Ok(0) if self.was_reset => break End::Reset,
                Ok(0) => break End::Cut,
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                Err(cause) => match cause.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => break End::Silent,
                    _ => break End::Reset,
                },
            }
        };
        Got { bytes, end }
    }

    pub(crate) fn get(&mut self, path: &str) -> Got {
        self.send("GET", path, "");
        self.read()
    }

    pub(crate) fn post(&mut self, path: &str, body: &Value) -> Got {
        self.send("POST", path, &body.to_string());
        self.read()
    }

    /// A streamed chat with usage; `more` is laid over the body.
    pub(crate) fn chat(&mut self, more: &Value) -> Got {
        self.post("/v1/chat/completions", &chat_body(more))
    }
}

pub(crate) fn chat_body(more: &Value) -> Value {
    let mut body = json!({
        "model": "m",
        "messages": [{"role": "user", "content": "how many joules"}],
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

/// Where the answer ends, if all of it is there.
fn whole_length(bytes: &[u8]) -> Option<usize> {
    let head = end_of_head(bytes)?;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    if text.contains("transfer-encoding: chunked") {
        // Nothing follows a stream before the next request is sent.
        return bytes.ends_with(b"\r\n0\r\n\r\n").then_some(bytes.len());
    }
    let length = text.split_once("content-length: ")?.1.lines().next()?.parse::<usize>().ok()?;
    (bytes.len() >= head + length).then_some(head + length)
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

impl Got {
    pub(crate) fn status(&self) -> u16 {
        String::from_utf8_lossy(&self.bytes[9..12]).parse().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let head = String::from_utf8_lossy(&self.bytes[..end_of_head(&self.bytes)?]).into_owned();
        head.lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.to_owned())
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.bytes[end_of_head(&self.bytes).unwrap()..]
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(self.body()).unwrap()
    }

    /// What stands behind every `data: `, chunks taken apart; the last may be cut.
    pub(crate) fn data(&self) -> Vec<String> {
        let Some(head) = end_of_head(&self.bytes) else { return Vec::new() };
        let mut rest = &self.bytes[head..];
        let mut joined = Vec::new();
        while let Some(line) = rest.windows(2).position(|two| two == b"\r\n") {
            let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16);
            let (size, from) = (size.unwrap(), line + 2);
            joined.extend_from_slice(&rest[from..rest.len().min(from + size)]);
            rest = rest.get(from + size + 2..).unwrap_or_default();
        }
        let text = String::from_utf8(joined).unwrap();
        text.split("\n\n")
            .filter_map(|event| event.strip_prefix("data: "))
            .map(str::to_owned)
            .collect()
    }

    /// Events that are JSON.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.data().iter().filter_map(|data| serde_json::from_str(data).ok()).collect()
    }

    /// Events that carry text.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.events()
            .iter()
            .filter_map(|event| {
                let choice = event["choices"].get(0)?;
                let text = choice["delta"]["content"].as_str().or(choice["text"].as_str())?;
                (!text.is_empty()).then(|| text.to_owned())
            })
            .collect()
    }

    pub(crate) fn usage(&self) -> Option<Value> {
        self.events().into_iter().find_map(|mut event| {
            let usage = event["usage"].take();
            (!usage.is_null()).then_some(usage)
        })
    }

    /// Of a stream or of an answer in one piece.
    pub(crate) fn usage_of_either(&self) -> Value {
        self.usage().unwrap_or_else(|| self.json()["usage"].take())
    }

    pub(crate) fn is_done(&self) -> bool {
        self.data().last().is_some_and(|data| data == "[DONE]")
    }
}
