//! The server over real sockets, with a client that knows only bytes. Nothing here asserts a time that was measured: stamps
//! are compared with the schedule that the server must keep, and orders and counts are exact.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod answers;
mod client;
mod faults;
mod service;
mod tls;
