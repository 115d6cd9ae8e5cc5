//! A server that plays the Electricity Maps API: it answers as it is told and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// What came in: the path with its query, and the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// `/v3/carbon-intensity/latest?zone=DE`.
    pub path: String,
    /// The header `auth-token`.
    pub token: Option<String>,
}

/// The server; it ends with the process.
#[derive(Debug)]
pub struct ElectricityMaps {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl ElectricityMaps {
    /// Answers every question with this status and body.
    ///
    /// # Panics
    /// Where this machine has no free port.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without a port cannot go on")]
    #[expect(clippy::disallowed_methods, reason = "a server needs a thread of its own")]
    pub fn answering(status: u16, body: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, body) = (Arc::clone(&asked), body.to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, status, &body, &seen);
            }
        });
        Self { url, asked }
    }

    /// A grid at so many gCO2e/kWh.
    #[must_use]
    pub fn grid(zone: &str, intensity: f64) -> Self {
        let body = format!(
            r#"{{"zone":"{zone}","carbonIntensity":{intensity},"datetime":"2026-11-24T10:00:00.000Z","updatedAt":"2026-11-24T10:40:00.000Z","emissionFactorType":"lifecycle","isEstimated":false,"estimationMethod":null}}"#
        );
        Self::answering(200, &body)
    }

    /// Its root.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn answer(stream: TcpStream, status: u16, body: &str, seen: &Mutex<Vec<Asked>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut token = None;
    loop {
        line.clear();
        reader.by_ref().take(8192).read_line(&mut line).ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("auth-token") => {
                token = Some(value.trim().to_owned());
            }
            Some(_) => {}
            None => break,
        }
    }
    // The question counts before its answer, so that whoever has the answer finds it.
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(Asked { path, token });
    write!(
        reader.get_mut(),
        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .ok()
}
