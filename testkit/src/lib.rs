//! Test helpers: scripted meters, scripted servers, fixture trees. For development only.

pub mod server;
