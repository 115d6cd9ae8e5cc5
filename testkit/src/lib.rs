//! Placeholder of the workspace member; its room fills it.

pub mod hub;
