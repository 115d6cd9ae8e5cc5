//! What can be planted, and which request gets it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::random::{Purpose, generator, unit};

/// Everything that can go wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A connection is accepted and broken off before anything is read. Counts connections, not requests.
    Refuse,
    /// The connection is broken off (RST) after the request was read, before any byte of an answer.
    ResetBefore,
    /// The connection is broken off (RST) when event number `after_events` would be due.
    ResetAfter,
    /// Silence for ever: without `after_events` not a byte comes, with it that many events do (0: the headers alone).
    Stall,
    /// Everything comes one byte at a time, `byte_gap_ms` apart.
    Drip,
    /// The headers come one byte at a time, `byte_gap_ms` apart; the rest as scheduled.
    SlowHeaders,
    /// Too many requests, with `Retry-After: retry_after_s`.
    #[serde(rename = "status_429")]
    Status429,
    /// Internal server error.
    #[serde(rename = "status_500")]
    Status500,
    /// Bad gateway, with a page of HTML as proxies send it.
    #[serde(rename = "status_502")]
    Status502,
    /// Service unavailable.
    #[serde(rename = "status_503")]
    Status503,
    /// Event number `after_events` is cut JSON in a whole event; the stream goes on. Unstreamed: the body is cut JSON.
    MalformedJson,
    /// The stream ends (FIN) in the middle of event number `after_events`. Unstreamed: in the middle of the body.
    HalfEvent,
    /// Event number `after_events` is an error object, and `[DONE]` follows, as vLLM tells of a failing engine.
    ErrorEvent,
    /// The stream ends in order as HTTP, but without `[DONE]`.
    MissingDone,
    /// `usage.completion_tokens` is off by `tokens`.
    WrongUsage,
    /// `usage` does not come though it was asked for.
    MissingUsage,
    /// Event number `after_events` carries `bytes` more bytes of text.
    HugeEvent,
    /// The stream never ends, whatever limit was asked for.
    Endless,
}

impl FaultKind {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 18] = [
        Self::Refuse,
        Self::ResetBefore,
        Self::ResetAfter,
        Self::Stall,
        Self::Drip,
        Self::SlowHeaders,
        Self::Status429,
        Self::Status500,
        Self::Status502,
        Self::Status503,
        Self::MalformedJson,
        Self::HalfEvent,
        Self::ErrorEvent,
        Self::MissingDone,
        Self::WrongUsage,
        Self::MissingUsage,
        Self::HugeEvent,
        Self::Endless,
    ];

    /// How it is written on the command line, in a request and in the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::ResetBefore => "reset_before",
            Self::ResetAfter => "reset_after",
            Self::Stall => "stall",
            Self::Drip => "drip",
            Self::SlowHeaders => "slow_headers",
            Self::Status429 => "status_429",
            Self::Status500 => "status_500",
            Self::Status502 => "status_502",
            Self::Status503 => "status_503",
            Self::MalformedJson => "malformed_json",
            Self::HalfEvent => "half_event",
            Self::ErrorEvent => "error_event",
            Self::MissingDone => "missing_done",
            Self::WrongUsage => "wrong_usage",
            Self::MissingUsage => "missing_usage",
            Self::HugeEvent => "huge_event",
            Self::Endless => "endless",
        }
    }

    /// Its place in [`FaultKind::ALL`].
    pub(crate) const fn position(self) -> usize {
        self as usize
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FaultKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|kind| kind.name()).collect();
            format!("{text:?} is no fault; there are {}", names.join(", "))
        })
    }
}

/// A fault with its numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    /// Which.
    pub kind: FaultKind,
    /// Its numbers; each matters to some kinds only.
    pub numbers: FaultNumbers,
}

/// The numbers of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default)]
pub struct FaultNumbers {
    /// How many events come before it. Default: 3; for `stall`: not even the headers come.
    pub after_events: Option<u64>,
    /// Seconds in `Retry-After`. Default: 1.
    pub retry_after_s: u32,
    /// Time between two bytes in milliseconds. Default: 1.
    pub byte_gap_ms: f64,
    /// Size of a huge event in bytes. Default: 4 MiB.
    pub bytes: usize,
    /// What is added to `completion_tokens`. Default: 7.
    pub tokens: i64,
}

impl Default for FaultNumbers {
    fn default() -> Self {
        Self { after_events: None, retry_after_s: 1, byte_gap_ms: 1.0, bytes: 4 << 20, tokens: 7 }
    }
}

impl Fault {
    /// A fault with the default numbers.
    #[must_use]
    pub fn new(kind: FaultKind) -> Self {
        Self { kind, numbers: FaultNumbers::default() }
    }

    /// The same after so many events.
    #[must_use]
    pub const fn after(mut self, events: u64) -> Self {
        self.numbers.after_events = Some(events);
        self
    }

    /// The event at which it strikes, in an answer of so many; in one that is too short, at its last.
    pub(crate) fn strikes_at(&self, events: u64) -> u64 {
        self.numbers.after_events.unwrap_or(3).min(events.saturating_sub(1))
    }
}

/// Which requests get a fault.
#[derive(Debug, Clone, PartialEq)]
pub enum When {
    /// This share of them, 0 to 1, drawn by the seed and the request's number.
    Rate(f64),
    /// These, counted from 0 in the order in which they arrive.
    Requests(Vec<u64>),
}

/// A fault and when it happens. Written `NAME=RATE` or `NAME@N,N`, then `:KEY=VALUE,KEY=VALUE` for its numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultRule {
    /// What happens.
    pub fault: Fault,
    /// To which requests.
    pub when: When,
}

impl FaultRule {
    /// A share of the requests gets a fault.
    #[must_use]
    pub fn rate(kind: FaultKind, rate: f64) -> Self {
        Self { fault: Fault::new(kind), when: When::Rate(rate) }
    }

    /// These requests, from 0, get a fault.
    #[must_use]
    pub fn requests(fault: Fault, requests: &[u64]) -> Self {
        Self { fault, when: When::Requests(requests.to_vec()) }
    }
}

impl FromStr for FaultRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rule, numbers) = text.split_once(':').unwrap_or((text, ""));
        let (name, when) = if let Some((name, rate)) = rule.split_once('=') {
            (name, When::Rate(number(text, rate)?))
        } else if let Some((name, requests)) = rule.split_once('@') {
            let requests = requests.split(',').map(|word| number(text, word));
            (name, When::Requests(requests.collect::<Result<_, _>>()?))
        } else {
            return Err(format!("{text:?}: NAME=RATE or NAME@REQUEST,REQUEST"));
        };
        if let When::Rate(rate) = when
            && !(0.0..=1.0).contains(&rate)
        {
            return Err(format!("{text:?}: a rate lies between 0 and 1"));
        }
        let mut fault = Fault::new(name.parse()?);
        for pair in numbers.split(',').filter(|pair| !pair.is_empty()) {
            set_number(&mut fault.numbers, text, pair)?;
        }
        Ok(Self { fault, when })
    }
}

fn set_number(numbers: &mut FaultNumbers, text: &str, pair: &str) -> Result<(), String> {
    let (key, value) =
        pair.split_once('=').ok_or_else(|| format!("{text:?}: {pair:?} is not KEY=VALUE"))?;
    match key {
        "after_events" => numbers.after_events = Some(number(text, value)?),
        "retry_after_s" => numbers.retry_after_s = number(text, value)?,
        "byte_gap_ms" => numbers.byte_gap_ms = number(text, value)?,
        "bytes" => numbers.bytes = number(text, value)?,
        "tokens" => numbers.tokens = number(text, value)?,
        _ => {
            return Err(format!(
                "{text:?}: {key:?} is none of after_events, retry_after_s, byte_gap_ms, bytes, tokens"
            ));
        }
    }
    Ok(())
}

fn number<T: FromStr>(text: &str, word: &str) -> Result<T, String> {
    word.trim().parse().map_err(|_| format!("{text:?}: {word:?} is no number that fits here"))
}

/// The fault of a request, if it gets one: by its number first, else by rate. `Refuse` is for connections and never
/// among these.
pub(crate) fn for_request(rules: &[FaultRule], seed: u64, request: u64) -> Option<Fault> {
    pick(rules, seed, request, Purpose::Fault, |kind| kind != FaultKind::Refuse)
}

/// Whether a connection is broken off before anything is read.
pub(crate) fn refuses(rules: &[FaultRule], seed: u64, connection: u64) -> bool {
    let refuse = |kind| kind == FaultKind::Refuse;
    pick(rules, seed, connection, Purpose::Connection, refuse).is_some()
}

fn pick(
    rules: &[FaultRule],
    seed: u64,
    number: u64,
    purpose: Purpose,
    concerned: impl Fn(FaultKind) -> bool,
) -> Option<Fault> {
    let rules = || rules.iter().filter(|rule| concerned(rule.fault.kind));
    for rule in rules() {
        if let When::Requests(requests) = &rule.when
            && requests.contains(&number)
        {
            return Some(rule.fault);
        }
    }
    let mut left = unit(&mut generator(seed, number, purpose));
    for rule in rules() {
        if let When::Rate(rate) = rule.when {
            if left < rate {
                return Some(rule.fault);
            }
            left -= rate;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_they_are_written() {
        let rule: FaultRule = "stall=0.05:after_events=2".parse().unwrap();
        assert_eq!(rule.fault, Fault::new(FaultKind::Stall).after(2));
        assert_eq!(rule.when, When::Rate(0.05));
        let rule: FaultRule = "status_429@0,4:retry_after_s=9".parse().unwrap();
        assert_eq!(rule.when, When::Requests(vec![0, 4]));
        assert_eq!(rule.fault.numbers.retry_after_s, 9);
        for wrong in [
            "",
            "stall",
            "stal=0.1",
            "stall=2",
            "stall@x",
            "stall=0.1:after=2",
            "stall=0.1:bytes=-1",
        ] {
            assert!(wrong.parse::<FaultRule>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_lead_back_to_their_kind() {
        for (position, kind) in FaultKind::ALL.into_iter().enumerate() {
            assert_eq!(kind.name().parse(), Ok(kind));
            assert_eq!(kind.position(), position);
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }

    #[test]
    fn rates_are_met_and_a_request_gets_one_fault_at_most() {
        let rules = [
            FaultRule::rate(FaultKind::Stall, 0.1),
            FaultRule::rate(FaultKind::Refuse, 0.5),
            FaultRule::rate(FaultKind::Status500, 0.3),
        ];
        let mut counts = [0.0_f64; 18];
        for request in 0..20_000 {
            if let Some(fault) = for_request(&rules, 1, request) {
                counts[fault.kind.position()] += 1.0 / 20_000.0;
            }
        }
        assert!((counts[FaultKind::Stall.position()] - 0.1).abs() < 0.01);
        assert!((counts[FaultKind::Status500.position()] - 0.3).abs() < 0.01);
        assert!(counts[FaultKind::Refuse.position()] < f64::EPSILON);
        let refused = (0..20_000).filter(|number| refuses(&rules, 1, *number)).count();
        assert!((9_500..10_500).contains(&refused));
    }

    #[test]
    fn a_request_named_by_number_gets_its_fault_whatever_the_rates() {
        let rules = [
            FaultRule::rate(FaultKind::Stall, 1.0),
            FaultRule::requests(Fault::new(FaultKind::Drip), &[3]),
        ];
        assert_eq!(for_request(&rules, 1, 3).unwrap().kind, FaultKind::Drip);
        assert_eq!(for_request(&rules, 1, 4).unwrap().kind, FaultKind::Stall);
    }
}
