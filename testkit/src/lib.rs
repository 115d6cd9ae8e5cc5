//! Test helpers: scripted meters, scripted servers, fixture trees. For development only.

pub mod backend;
pub mod batching;
pub mod electricity_maps;
pub mod fixtures;
pub mod hub;
pub mod meters;
pub mod server;
pub mod simulated;
