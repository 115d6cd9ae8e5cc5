//! The settings as options of a command line.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::config::{Closed, MockConfig, RoleEvent};
use crate::fault::FaultRule;
use crate::random::Jitter;
use crate::schedule::Timing;
use crate::tls::TlsMode;

/// Options of `mock-server`. Anything here can be changed by one request for itself, under the key `mock` of its body.
#[derive(Debug, Clone, Args)]
pub struct MockOptions {
    /// Address to listen at
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub host: IpAddr,
    /// Port to listen at; 0 has one chosen and printed
    #[arg(long, default_value_t = 8991)]
    pub port: u16,
    /// Threads, each with an event loop of its own
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub threads: usize,
    /// Wait for the last microseconds before each write without sleeping
    #[arg(long, default_value_t = 0, value_name = "MICROSECONDS")]
    pub spin: u64,
    /// The model's name
    #[arg(long, default_value = "mock-model", value_name = "NAME")]
    pub model: String,
    /// Answer 404 to requests for another model
    #[arg(long)]
    pub strict_model: bool,
    /// Tokens that prompt and answer may have together
    #[arg(long, default_value_t = 131_072, value_name = "TOKENS")]
    pub max_model_len: u64,
    /// From the start of service to the first token
    #[arg(long, default_value_t = 100.0, value_name = "MS")]
    pub ttft_ms: f64,
    /// Between two events
    #[arg(long, default_value_t = 20.0, value_name = "MS")]
    pub gap_ms: f64,
    /// How the time to the first token varies: none, uniform:MS, normal:MS, exponential:MS
    #[arg(long, default_value = "none", value_name = "KIND:MS")]
    pub ttft_jitter: Jitter,
    /// How each gap varies: none, uniform:MS, normal:MS, exponential:MS
    #[arg(long, default_value = "none", value_name = "KIND:MS")]
    pub gap_jitter: Jitter,
    /// Tokens after which an answer ends by itself; max_tokens, min_tokens and ignore_eos are honoured
    #[arg(long, default_value_t = 128, value_name = "N")]
    pub tokens: u64,
    /// Tokens in one event
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub tokens_per_event: u32,
    /// Events that leave in one write, from the second event on
    #[arg(long, default_value_t = 1, value_name = "EVENTS")]
    pub coalesce: u32,
    /// Where the chat event that names the role stands
    #[arg(long, value_enum, default_value_t = RoleArg::WithFirst)]
    pub role_event: RoleArg,
    /// Put the time of sending into every event, as t_ns on CLOCK_MONOTONIC
    #[arg(long)]
    pub stamp_events: bool,
    /// Serve so many requests at a time; others wait in their order [default: all at once]
    #[arg(long, value_name = "N")]
    pub max_running: Option<usize>,
    /// Tokens that the modelled KV cache holds
    #[arg(long, default_value_t = 1_000_000, value_name = "TOKENS")]
    pub kv_cache_tokens: u64,
    /// Count no prompt tokens as cached
    #[arg(long)]
    pub no_prefix_cache: bool,
    /// Refuse connections between two times in seconds after the start; may be repeated
    #[arg(long, value_name = "FROM:TO")]
    pub closed: Vec<Closed>,
    /// Speak TLS, with a certificate made at the start
    #[arg(long, value_enum, value_name = "MODE")]
    pub tls: Option<TlsArg>,
    /// Write the certificate there in PEM, for clients that are to trust it
    #[arg(long, value_name = "FILE.pem", requires = "tls")]
    pub certificate: Option<PathBuf>,
    /// Plant a fault: NAME=RATE or NAME@REQUEST,REQUEST (from 0), then :KEY=VALUE,...; may be repeated
    #[arg(long = "fault", value_name = "FAULT")]
    pub faults: Vec<FaultRule>,
    /// Seed of jitter and of faults by rate
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Write a JSON line for each request that ended, with due and sent times of every write
    #[arg(long, value_name = "FILE.jsonl")]
    pub log: Option<PathBuf>,
}

/// Where the event that names the role stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleArg {
    /// In one write with the first token
    WithFirst,
    /// With the headers, before any token
    AtStart,
    /// Nowhere
    None,
}

/// Which TLS is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TlsArg {
    /// With a certificate signed by itself
    SelfSigned,
    /// With one whose time is over
    Expired,
    /// With one for another name
    WrongName,
    /// Every connection is broken off at the client's first byte
    Abort,
}

impl MockOptions {
    /// The settings that these options make.
    #[must_use]
    pub fn into_config(self) -> MockConfig {
        MockConfig {
            address: self.host,
            port: self.port,
            threads: self.threads,
            spin_us: self.spin,
            model: self.model,
            strict_model: self.strict_model,
            max_model_len: self.max_model_len,
            timing: Timing {
                ttft_ms: self.ttft_ms,
                gap_ms: self.gap_ms,
                ttft_jitter: self.ttft_jitter,
                gap_jitter: self.gap_jitter,
            },
            tokens: self.tokens,
            tokens_per_event: self.tokens_per_event,
            coalesce: self.coalesce,
            role_event: match self.role_event {
                RoleArg::WithFirst => RoleEvent::WithFirst,
                RoleArg::AtStart => RoleEvent::AtStart,
                RoleArg::None => RoleEvent::None,
            },
            stamp_events: self.stamp_events,
            max_running: self.max_running,
            kv_cache_tokens: self.kv_cache_tokens,
            prefix_cache: !self.no_prefix_cache,
            tls: self.tls.map(|mode| match mode {
                TlsArg::SelfSigned => TlsMode::SelfSigned,
                TlsArg::Expired => TlsMode::Expired,
                TlsArg::WrongName => TlsMode::WrongName,
                TlsArg::Abort => TlsMode::Abort,
            }),
            closed: self.closed,
            faults: self.faults,
            seed: self.seed,
            log: self.log,
            keep_requests: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: MockOptions,
    }

    #[test]
    fn no_options_are_the_defaults_at_the_known_port() {
        let config = Line::parse_from(["mock-server"]).options.into_config();
        assert_eq!(config, MockConfig { port: 8991, ..MockConfig::default() });
    }

    #[test]
    fn faults_are_read_where_they_are_typed() {
        let line = ["mock", "--fault", "stall=0.1", "--fault", "drip@2:byte_gap_ms=3"];
        let config = Line::parse_from(line).options.into_config();
        assert_eq!(config.faults.len(), 2);
        assert!(Line::try_parse_from(["mock", "--fault", "nothing=0.1"]).is_err());
    }
}
