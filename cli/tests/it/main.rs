//! The command from outside; one integration binary.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod commands;
mod llama_server;
mod measure;
mod profile;
mod support;
mod sweeps;
