//! What each request got, for judging a client's clock: when every write was due and when it left.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::stats::micros;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The answer came to its end.
    Completed,
    /// A planted fault ended it.
    Faulted,
    /// The client left.
    Cancelled,
    /// The server was stopped.
    Stopped,
}

/// One request that ended. All stamps are nanoseconds on `CLOCK_MONOTONIC`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestLog {
    /// The request's number, from 0 in the order of arrival.
    pub number: u64,
    /// The answer's `id`.
    pub id: String,
    /// The request's `X-Request-Id`, if it had one.
    pub x_request_id: Option<String>,
    /// Whether it was streamed.
    pub stream: bool,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens that were sent.
    pub output_tokens: u64,
    /// What was planted.
    pub fault: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// When the last byte of the request was read.
    pub received_ns: u64,
    /// When its service began: at once, or when a place came free. Null where it never did.
    pub started_ns: Option<u64>,
    /// When each write of events was due.
    pub due_ns: Vec<u64>,
    /// When each was handed to the system, taken just before.
    pub sent_ns: Vec<u64>,
    /// Events in each write.
    pub events: Vec<u64>,
    /// When it ended.
    pub ended_ns: u64,
    /// Mean of `sent_ns - due_ns` in microseconds; null without writes.
    pub lag_mean_us: Option<f64>,
    /// Its median (nearest rank).
    pub lag_p50_us: Option<f64>,
    /// Its 99th percentile (nearest rank).
    pub lag_p99_us: Option<f64>,
}

impl RequestLog {
    /// Fills in the lags from the stamps.
    pub(crate) fn with_lags(mut self) -> Self {
        let mut lags: Vec<u64> = self
            .due_ns
            .iter()
            .zip(&self.sent_ns)
            .map(|(due, sent)| sent.saturating_sub(*due))
            .collect();
        lags.sort_unstable();
        let rank = |percent: usize| {
            let rank = (lags.len() * percent).div_ceil(100).max(1);
            lags.get(rank - 1).map(|lag| micros(*lag))
        };
        self.lag_p50_us = rank(50);
        self.lag_p99_us = rank(99);
        let sum: u64 = lags.iter().sum();
        self.lag_mean_us = (!lags.is_empty()).then(|| micros(sum) / lags.len() as f64);
        self
    }
}

/// Where the lines go.
pub(crate) struct Log {
    file: Option<Mutex<BufWriter<File>>>,
    kept: Option<Mutex<Vec<RequestLog>>>,
}

impl Log {
    /// # Errors
    /// When the file cannot be made.
    pub(crate) fn open(path: Option<&Path>, keep: bool) -> io::Result<Self> {
        let file = match path {
            Some(path) => Some(Mutex::new(BufWriter::new(File::create(path)?))),
            None => None,
        };
        Ok(Self { file, kept: keep.then(Mutex::default) })
    }

    /// Whether anybody reads it.
    pub(crate) const fn is_wanted(&self) -> bool {
        self.file.is_some() || self.kept.is_some()
    }

    pub(crate) fn add(&self, request: RequestLog) -> io::Result<()> {
        let request = request.with_lags();
        if let Some(file) = &self.file {
            let mut line = serde_json::to_vec(&request)?;
            line.push(b'\n');
            lock(file).write_all(&line)?;
        }
        if let Some(kept) = &self.kept {
            lock(kept).push(request);
        }
        Ok(())
    }

    pub(crate) fn kept(&self) -> Vec<RequestLog> {
        self.kept.as_ref().map(|kept| lock(kept).clone()).unwrap_or_default()
    }

    pub(crate) fn flush(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), |file| lock(file).flush())
    }
}

/// A thread that died while it held a lock leaves what it guards whole: every change is one push or one line.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lags_are_told_by_nearest_rank() {
        let request = RequestLog {
            number: 0,
            id: String::new(),
            x_request_id: None,
            stream: true,
            prompt_tokens: 1,
            output_tokens: 4,
            fault: None,
            outcome: Outcome::Completed,
            received_ns: 0,
            started_ns: Some(0),
            due_ns: vec![10, 20, 30, 40],
            sent_ns: vec![1_010, 4_020, 2_030, 3_040],
            events: vec![1; 4],
            ended_ns: 50,
            lag_mean_us: None,
            lag_p50_us: None,
            lag_p99_us: None,
        }
        .with_lags();
        assert_eq!(request.lag_p50_us, Some(2.0));
        assert_eq!(request.lag_p99_us, Some(4.0));
        assert_eq!(request.lag_mean_us, Some(2.5));
    }
}
