//! What a server is told before it starts, and what one request may change for itself.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;

use ai_energy_benchmarks::error::{Problem, Problems};
use serde::Deserialize;

use crate::fault::{Fault, FaultKind, FaultNumbers, FaultRule, When};
use crate::random::Jitter;
use crate::schedule::Timing;
use crate::tls::TlsMode;

/// When the event that names the role leaves (chat only).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleEvent {
    /// In one write with the first token, before it.
    #[default]
    WithFirst,
    /// With the headers, long before a token: a client that takes it for the first token is wrong by the whole TTFT.
    AtStart,
    /// Never.
    None,
}

/// A time during which connections are refused by the system. Written `FROM:TO`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Closed {
    /// Seconds after the start.
    pub from_s: f64,
    /// Seconds after the start, more than `from_s`.
    pub to_s: f64,
}

impl FromStr for Closed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not FROM:TO in seconds, FROM before TO");
        let (from, to) = text.split_once(':').ok_or_else(wrong)?;
        let number = |word: &str| word.parse::<f64>().map_err(|_| wrong());
        let closed = Self { from_s: number(from)?, to_s: number(to)? };
        if closed.is_possible() { Ok(closed) } else { Err(wrong()) }
    }
}

impl Closed {
    fn is_possible(self) -> bool {
        is_time(self.from_s * 1e3) && is_time(self.to_s * 1e3) && self.from_s < self.to_s
    }
}

/// A whole server.
#[derive(Debug, Clone, PartialEq)]
pub struct MockConfig {
    /// Address to listen at. Default: 127.0.0.1.
    pub address: IpAddr,
    /// Port to listen at; 0 lets the system choose. Default: 0.
    pub port: u16,
    /// Threads that serve, each with an event loop of its own. Default: 1.
    pub threads: usize,
    /// The last so many microseconds before a write is due are waited for without sleeping. Default: 0.
    pub spin_us: u64,
    /// The model's name. Default: `mock-model`.
    pub model: String,
    /// Requests for other models are answered with 404. Default: false, any name is taken.
    pub strict_model: bool,
    /// Prompt and answer together may have so many tokens. Default: 131,072.
    pub max_model_len: u64,
    /// Nominal times.
    pub timing: Timing,
    /// Tokens after which an answer ends by itself. Default: 128.
    pub tokens: u64,
    /// Tokens in one event. Default: 1.
    pub tokens_per_event: u32,
    /// Events that leave in one write, from the second on. Default: 1.
    pub coalesce: u32,
    /// Where the event with the role stands. Default: with the first token.
    pub role_event: RoleEvent,
    /// Every event carries `t_ns`, when it was sent on `CLOCK_MONOTONIC`. Default: false.
    pub stamp_events: bool,
    /// Requests that are served at a time; others wait in the order in which they came. Default: all at once.
    pub max_running: Option<usize>,
    /// Tokens that the modelled KV cache holds, for `/metrics`. Default: 1,000,000.
    pub kv_cache_tokens: u64,
    /// Prefixes that were seen before count as cached prompt tokens, in blocks of 16 tokens. Default: true.
    pub prefix_cache: bool,
    /// TLS on every connection. Default: none.
    pub tls: Option<TlsMode>,
    /// When the listening socket is closed, in seconds after the start.
    pub closed: Vec<Closed>,
    /// What goes wrong.
    pub faults: Vec<FaultRule>,
    /// Seed of jitter and of faults by rate. Default: 0.
    pub seed: u64,
    /// A file that gets a JSON line for each request that ended.
    pub log: Option<PathBuf>,
    /// The same lines are kept in memory for [`MockServer::requests`](crate::MockServer::requests). Default: false.
    pub keep_requests: bool,
}

impl Default for MockConfig {
    fn default() -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            threads: 1,
            spin_us: 0,
            model: "mock-model".to_owned(),
            strict_model: false,
            max_model_len: 131_072,
            timing: Timing::default(),
            tokens: 128,
            tokens_per_event: 1,
            coalesce: 1,
            role_event: RoleEvent::default(),
            stamp_events: false,
            max_running: None,
            kv_cache_tokens: 1_000_000,
            prefix_cache: true,
            tls: None,
            closed: Vec::new(),
            faults: Vec::new(),
            seed: 0,
            log: None,
            keep_requests: false,
        }
    }
}

impl MockConfig {
    /// Every setting that makes no sense.
    ///
    /// # Errors
    /// All problems at once.
    pub fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        let mut wrong = |place: &str, message: String, hint: &str| {
            problems.push(Problem::new(place, message).hint(hint));
        };
        let timing = &self.timing;
        for (place, ms) in [("ttft_ms", timing.ttft_ms), ("gap_ms", timing.gap_ms)] {
            if !is_time(ms) {
                wrong(place, format!("{ms} is out of range"), "milliseconds, 0 or more");
            }
        }
        for (place, jitter) in
            [("ttft_jitter", timing.ttft_jitter), ("gap_jitter", timing.gap_jitter)]
        {
            if !is_time(jitter.scale_ms()) {
                wrong(place, format!("{jitter:?} is out of range"), "milliseconds, 0 or more");
            }
        }
        for (place, zero) in [
            ("threads", self.threads == 0),
            ("tokens", self.tokens == 0),
            ("tokens_per_event", self.tokens_per_event == 0),
            ("coalesce", self.coalesce == 0),
            ("max_running", self.max_running == Some(0)),
            ("max_model_len", self.max_model_len == 0),
            ("kv_cache_tokens", self.kv_cache_tokens == 0),
        ] {
            if zero {
                wrong(place, "0 is out of range".to_owned(), "1 or more");
            }
        }
        if !self.closed.iter().all(|closed| closed.is_possible()) {
            let message = "a time that ends before it begins".to_owned();
            wrong("closed", message, "seconds after the start, the first less than the second");
        }
        self.check_faults(&mut wrong);
        problems.into_result()
    }

    fn check_faults(&self, wrong: &mut impl FnMut(&str, String, &str)) {
        let (mut of_requests, mut of_connections) = (0.0, 0.0);
        for rule in &self.faults {
            let place = format!("faults.{}", rule.fault.kind);
            if !is_time(rule.fault.numbers.byte_gap_ms) {
                let message = format!("byte_gap_ms {}", rule.fault.numbers.byte_gap_ms);
                wrong(&place, message, "milliseconds, 0 or more");
            }
            let When::Rate(rate) = rule.when else { continue };
            if !(0.0..=1.0).contains(&rate) {
                wrong(&place, format!("rate {rate}"), "a rate lies between 0 and 1");
            } else if rule.fault.kind == FaultKind::Refuse {
                of_connections += rate;
            } else {
                of_requests += rate;
            }
        }
        // Rates like 0.1 do not add up to 1 exactly.
        if of_requests > 1.0 + 1e-9 || of_connections > 1.0 + 1e-9 {
            let message = format!("the rates add up to {}", f64::max(of_requests, of_connections));
            wrong("faults", message, "a request gets one fault at most: together 1 or less");
        }
    }
}

/// Milliseconds that a schedule can hold.
fn is_time(ms: f64) -> bool {
    ms.is_finite() && (0.0..=1e12).contains(&ms)
}

/// What a request changes for itself, under the key `mock` of its body.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overrides {
    /// Instead of the server's.
    pub ttft_ms: Option<f64>,
    /// Instead of the server's.
    pub gap_ms: Option<f64>,
    /// Instead of the server's, as on the command line: `normal:5`.
    pub ttft_jitter: Option<String>,
    /// Instead of the server's.
    pub gap_jitter: Option<String>,
    /// Instead of the server's.
    pub tokens: Option<u64>,
    /// Instead of the server's.
    pub tokens_per_event: Option<u32>,
    /// Instead of the server's.
    pub coalesce: Option<u32>,
    /// Instead of the server's.
    pub role_event: Option<RoleEvent>,
    /// Instead of the server's.
    pub stamp_events: Option<bool>,
    /// The fault of this request; `null` spares it one that the server would draw.
    #[serde(default, deserialize_with = "present")]
    pub fault: Option<Option<FaultKind>>,
    /// Numbers of that fault.
    #[serde(default)]
    pub fault_numbers: FaultNumbers,
}

/// A key that is there, even with `null`, is told from one that is not.
fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<FaultKind>>, D::Error> {
    Option::<FaultKind>::deserialize(deserializer).map(Some)
}

/// What one request gets of the settings: the server's, changed by its own.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Service {
    pub timing: Timing,
    pub tokens: u64,
    pub tokens_per_event: u32,
    pub coalesce: u32,
    pub role_event: RoleEvent,
    pub stamp_events: bool,
}

impl Service {
    /// # Errors
    /// The first override that makes no sense.
    pub(crate) fn of(config: &MockConfig, overrides: &Overrides) -> Result<Self, String> {
        let jitter = |own: &Option<String>, server: Jitter| match own {
            Some(text) => text.parse(),
            None => Ok(server),
        };
        let timing = Timing {
            ttft_ms: overrides.ttft_ms.unwrap_or(config.timing.ttft_ms),
            gap_ms: overrides.gap_ms.unwrap_or(config.timing.gap_ms),
            ttft_jitter: jitter(&overrides.ttft_jitter, config.timing.ttft_jitter)?,
            gap_jitter: jitter(&overrides.gap_jitter, config.timing.gap_jitter)?,
        };
        let service = Self {
            timing,
            tokens: overrides.tokens.unwrap_or(config.tokens),
            tokens_per_event: overrides.tokens_per_event.unwrap_or(config.tokens_per_event),
            coalesce: overrides.coalesce.unwrap_or(config.coalesce),
            role_event: overrides.role_event.unwrap_or(config.role_event),
            stamp_events: overrides.stamp_events.unwrap_or(config.stamp_events),
        };
        let times = [timing.ttft_ms, timing.gap_ms, overrides.fault_numbers.byte_gap_ms];
        if !times.into_iter().all(is_time) {
            return Err("times are milliseconds, 0 or more".to_owned());
        }
        if service.tokens == 0 || service.tokens_per_event == 0 || service.coalesce == 0 {
            return Err("tokens, tokens_per_event and coalesce are 1 or more".to_owned());
        }
        Ok(service)
    }
}

impl Overrides {
    /// The fault that the request names for itself; none where it leaves that to the server.
    pub(crate) fn fault(&self) -> Option<Option<Fault>> {
        let named = self.fault?;
        Some(named.map(|kind| Fault { kind, numbers: self.fault_numbers }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_a_server_that_can_start() {
        assert_eq!(MockConfig::default().check(), Ok(()));
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let config = MockConfig {
            threads: 0,
            coalesce: 0,
            timing: Timing { gap_ms: f64::NAN, ..Timing::default() },
            faults: vec![
                FaultRule::rate(FaultKind::Stall, 0.7),
                FaultRule::rate(FaultKind::Drip, 0.7),
            ],
            ..MockConfig::default()
        };
        let places: Vec<String> =
            config.check().unwrap_err().0.into_iter().map(|problem| problem.place).collect();
        assert_eq!(places, ["gap_ms", "threads", "coalesce", "faults"]);
    }

    #[test]
    fn a_request_changes_only_what_it_names() {
        let config = MockConfig::default();
        let overrides: Overrides =
            serde_json::from_str(r#"{"gap_ms": 3, "gap_jitter": "normal:1", "fault": "stall"}"#)
                .unwrap();
        let service = Service::of(&config, &overrides).unwrap();
        assert!((service.timing.gap_ms - 3.0).abs() < 1e-12);
        assert_eq!(service.timing.gap_jitter, Jitter::Normal(1.0));
        assert_eq!(service.tokens, config.tokens);
        assert_eq!(overrides.fault(), Some(Some(Fault::new(FaultKind::Stall))));
    }

    #[test]
    fn a_null_fault_spares_the_request_and_no_fault_leaves_it_to_the_server() {
        let spared: Overrides = serde_json::from_str(r#"{"fault": null}"#).unwrap();
        assert_eq!(spared.fault(), Some(None));
        assert_eq!(Overrides::default().fault(), None);
    }

    #[test]
    fn overrides_that_are_misspelt_or_senseless_are_refused() {
        assert!(serde_json::from_str::<Overrides>(r#"{"tft_ms": 3}"#).is_err());
        let config = MockConfig::default();
        for wrong in [r#"{"gap_ms": -1}"#, r#"{"tokens": 0}"#, r#"{"gap_jitter": "x"}"#] {
            let overrides: Overrides = serde_json::from_str(wrong).unwrap();
            assert!(Service::of(&config, &overrides).is_err(), "{wrong}");
        }
    }
}
