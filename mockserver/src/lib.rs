//! An OpenAI-compatible server that does exactly what it is told: when each token leaves, how tokens are put
//! together, and what goes wrong.
//!
//! It is the known truth against which a client is measured. Every write of an answer has its time on an absolute schedule
//! (`docs/mock-server.md` has the definitions), so a late write moves no other, and the server says itself how late its writes
//! were. One event loop a thread; sending an event allocates nothing.
//!
//! ```
//! use ai_energy_benchmarks_mockserver::{MockConfig, MockServer};
//!
//! let server = MockServer::start(MockConfig { tokens: 16, ..MockConfig::default() })?;
//! assert!(server.url().starts_with("http://127.0.0.1:"));
//! let stats = server.stop()?;
//! assert_eq!(stats.requests, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod alarm;
mod answer;
mod api;
mod config;
mod conn;
mod fault;
mod frames;
mod gate;
pub mod http;
mod link;
mod log;
mod metrics;
#[cfg(feature = "cli")]
mod options;
mod prefix;
mod random;
mod schedule;
mod serve;
mod server;
mod shared;
mod stats;
mod tls;
pub mod tokens;
mod worker;

pub use config::{Closed, MockConfig, Overrides, RoleEvent};
pub use fault::{Fault, FaultKind, FaultNumbers, FaultRule, When};
pub use log::{Outcome, RequestLog};
#[cfg(feature = "cli")]
pub use options::MockOptions;
pub use random::Jitter;
pub use schedule::{Schedule, Timing, Write};
pub use server::{MockServer, raise_open_files};
pub use stats::{Lag, Planted, Stats};
pub use tls::TlsMode;
