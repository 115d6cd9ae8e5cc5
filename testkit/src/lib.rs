//! Test helpers: scripted meters, scripted servers, fixture trees. For development only.

pub mod fixtures;
pub mod meters;
pub mod hub;
