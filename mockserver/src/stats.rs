//! What happened, counted by each thread for itself and added up when asked.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

use crate::fault::FaultKind;

/// A count that one thread writes and any may read.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// Only the owner adds, so that no locked instruction is needed.
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }

    /// Gauges go down too.
    pub(crate) fn sub(&self, less: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(less), Relaxed);
    }

    fn raise_to(&self, value: u64) {
        if value > self.get() {
            self.0.store(value, Relaxed);
        }
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Buckets of each power of two; the width of one is a 16th of its value.
const SUB_BUCKETS: u64 = 16;
/// Up to 2^44 ns, five hours.
const BUCKETS: usize = 41 * SUB_BUCKETS as usize;

/// How late sends were: exact mean and maximum, percentiles within 1/16.
#[derive(Debug)]
pub(crate) struct Lags {
    buckets: Vec<Count>,
    sends: Count,
    sum_ns: Count,
    max_ns: Count,
}

impl Default for Lags {
    fn default() -> Self {
        let buckets = (0..BUCKETS).map(|_| Count::default()).collect();
        Self {
            buckets,
            sends: Count::default(),
            sum_ns: Count::default(),
            max_ns: Count::default(),
        }
    }
}

impl Lags {
    pub(crate) fn add(&self, lag_ns: u64) {
        self.buckets[bucket(lag_ns)].add(1);
        self.sends.add(1);
        self.sum_ns.add(lag_ns);
        self.max_ns.raise_to(lag_ns);
    }
}

fn bucket(value: u64) -> usize {
    if value < SUB_BUCKETS {
        return value as usize;
    }
    let octave = u64::from(63 - value.leading_zeros());
    let within = (value >> (octave - 4)) & (SUB_BUCKETS - 1);
    (((octave - 3) * SUB_BUCKETS + within) as usize).min(BUCKETS - 1)
}

/// The largest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < SUB_BUCKETS {
        return bucket;
    }
    let octave = bucket / SUB_BUCKETS + 3;
    let within = bucket % SUB_BUCKETS;
    ((SUB_BUCKETS + within + 1) << (octave - 4)) - 1
}

/// Everything that one thread counts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub connections: Count,
    pub requests: Count,
    pub rejected: Count,
    pub completed_stop: Count,
    pub completed_length: Count,
    pub faulted: Count,
    pub cancelled: Count,
    pub prompt_tokens: Count,
    pub cached_tokens: Count,
    pub queried_tokens: Count,
    pub generation_tokens: Count,
    pub events: Count,
    pub writes: Count,
    pub bytes: Count,
    pub blocked_writes: Count,
    pub running: Count,
    pub waiting: Count,
    pub kv_tokens: Count,
    pub accept_errors: Count,
    pub planted: [Count; FaultKind::ALL.len()],
    pub lags: Lags,
}

/// How far sends were behind schedule, microseconds. Sends that waited for the client to take earlier bytes, and those of
/// answers without a gap after their first, are not among them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Lag {
    /// How many sends this is of.
    pub sends: u64,
    /// Mean, exact; null without sends.
    pub mean_us: Option<f64>,
    /// Half of the sends were this late or less (within 1/16).
    pub p50_us: Option<f64>,
    /// 99 % of the sends were this late or less (within 1/16).
    pub p99_us: Option<f64>,
    /// The latest, exact.
    pub max_us: Option<f64>,
}

/// How many times a fault was planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Planted {
    /// Which.
    pub fault: FaultKind,
    /// How many requests got it (`refuse`: how many connections).
    pub count: u64,
}

/// What a server did so far. Requests add up: `requests` is `rejected`, `completed_stop`, `completed_length`, `faulted`, `cancelled`,
/// `running` and `waiting` together.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Connections accepted, those that were refused on purpose included.
    pub connections: u64,
    /// Requests to generate that were read whole.
    pub requests: u64,
    /// Answered with an error that they earned.
    pub rejected: u64,
    /// Ended by themselves, `finish_reason: stop`. Faults that let an answer come to its end are counted here too.
    pub completed_stop: u64,
    /// Ended by their limit, `finish_reason: length`.
    pub completed_length: u64,
    /// Ended by a planted fault.
    pub faulted: u64,
    /// Given up by the client.
    pub cancelled: u64,
    /// Being served.
    pub running: u64,
    /// Waiting for a place (`max_running`).
    pub waiting: u64,
    /// Prompt tokens of requests whose service began.
    pub prompt_tokens: u64,
    /// Of these, found in the prefix cache.
    pub cached_tokens: u64,
    /// Prompt tokens that were looked up in the prefix cache.
    pub queried_tokens: u64,
    /// Tokens sent.
    pub generation_tokens: u64,
    /// Events with tokens sent.
    pub events: u64,
    /// Writes of events to sockets.
    pub writes: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Writes that the client's full window held up.
    pub blocked_writes: u64,
    /// Tokens in the modelled KV cache.
    pub kv_tokens: u64,
    /// Connections that could not be accepted.
    pub accept_errors: u64,
    /// What was planted, kinds that were not left out.
    pub planted: Vec<Planted>,
    /// How late sends were.
    pub lag: Lag,
}

impl Stats {
    pub(crate) fn of(threads: &[std::sync::Arc<Counters>]) -> Self {
        let sum = |count: fn(&Counters) -> &Count| {
            threads.iter().fold(0_u64, |sum, one| sum.wrapping_add(count(one).get()))
        };
        let planted =
            |kind: FaultKind| threads.iter().map(move |one| one.planted[kind.position()].get());
        Self {
            connections: sum(|one| &one.connections),
            requests: sum(|one| &one.requests),
            rejected: sum(|one| &one.rejected),
            completed_stop: sum(|one| &one.completed_stop),
            completed_length: sum(|one| &one.completed_length),
            faulted: sum(|one| &one.faulted),
            cancelled: sum(|one| &one.cancelled),
            running: sum(|one| &one.running),
            waiting: sum(|one| &one.waiting),
            prompt_tokens: sum(|one| &one.prompt_tokens),
            cached_tokens: sum(|one| &one.cached_tokens),
            queried_tokens: sum(|one| &one.queried_tokens),
            generation_tokens: sum(|one| &one.generation_tokens),
            events: sum(|one| &one.events),
            writes: sum(|one| &one.writes),
            bytes: sum(|one| &one.bytes),
            blocked_writes: sum(|one| &one.blocked_writes),
            kv_tokens: sum(|one| &one.kv_tokens),
            accept_errors: sum(|one| &one.accept_errors),
            planted: FaultKind::ALL
                .into_iter()
                .map(|fault| Planted { fault, count: planted(fault).sum() })
                .filter(|planted| planted.count > 0)
                .collect(),
            lag: Lag::of(threads),
        }
    }

    /// How often a fault was planted.
    #[must_use]
    pub fn planted(&self, kind: FaultKind) -> u64 {
        self.planted.iter().filter(|one| one.fault == kind).map(|one| one.count).sum()
    }

    /// Requests that came to their end.
    #[must_use]
    pub const fn completed(&self) -> u64 {
        self.completed_stop + self.completed_length
    }
}

impl Lag {
    fn of(threads: &[std::sync::Arc<Counters>]) -> Self {
        let lags = || threads.iter().map(|one| &one.lags);
        let buckets: Vec<u64> =
            (0..BUCKETS).map(|at| lags().map(|lags| lags.buckets[at].get()).sum()).collect();
        // From the buckets, so that percentiles are of one set of sends though others are counted meanwhile.
        let sends: u64 = buckets.iter().sum();
        if sends == 0 {
            return Self::default();
        }
        let max_ns = lags().map(|lags| lags.max_ns.get()).max().unwrap_or(0);
        let sum_ns: u64 = lags().map(|lags| lags.sum_ns.get()).sum();
        let at_share = |percent: u64| {
            let rank = (sends * percent).div_ceil(100);
            let mut seen = 0;
            let found = buckets.iter().position(|count| {
                seen += count;
                seen >= rank
            });
            micros(upper(found.unwrap_or(BUCKETS - 1)).min(max_ns))
        };
        Self {
            sends,
            mean_us: Some(micros(sum_ns) / sends as f64),
            p50_us: Some(at_share(50)),
            p99_us: Some(at_share(99)),
            max_us: Some(micros(max_ns)),
        }
    }
}

pub(crate) fn micros(ns: u64) -> f64 {
    ns as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bucket_holds_values_up_to_its_upper_end_and_is_a_16th_wide(value in 0_u64..1 << 43) {
            let bucket = bucket(value);
            prop_assert!(upper(bucket) >= value);
            prop_assert!(upper(bucket) - value <= value / 16 + 1);
            prop_assert!(bucket == 0 || upper(bucket - 1) < value);
        }
    }

    #[test]
    fn values_beyond_the_last_bucket_are_kept_in_it() {
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn lags_of_threads_are_put_together() {
        let threads = [Arc::new(Counters::default()), Arc::new(Counters::default())];
        for k in 1..=100_u64 {
            threads[usize::from(k > 50)].lags.add(k * 1_000);
        }
        let lag = Lag::of(&threads);
        assert_eq!(lag.sends, 100);
        assert_eq!(lag.max_us, Some(100.0));
        assert!((lag.mean_us.unwrap() - 50.5).abs() < 1e-9);
        let within = |found: Option<f64>, truth: f64| (found.unwrap() / truth - 1.0).abs() < 0.07;
        assert!(within(lag.p50_us, 50.0), "{lag:?}");
        assert!(within(lag.p99_us, 99.0), "{lag:?}");
    }

    #[test]
    fn no_sends_have_no_lag_rather_than_none_at_all() {
        assert_eq!(Lag::of(&[Arc::new(Counters::default())]).mean_us, None);
    }
}
