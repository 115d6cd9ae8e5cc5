//! Drives load on AI models, meters joules, and says how far each number can be trusted.
//!
//! A [`config`] becomes a [`plan`], the plan sends requests from a [`dataset`] when the [`load`] says to a
//! [`backend`] while [`meter`]s read joules, [`record`]s go to disk as the [`run`] goes on, [`analysis`] turns
//! records into findings with [`carbon`] factors, and [`report`] turns findings into files.

pub mod analysis;
pub mod backend;
pub mod carbon;
pub mod clock;
pub mod config;
pub mod dataset;
pub mod error;
pub mod load;
pub mod meter;
pub mod plan;
pub mod prompt;
pub mod record;
pub mod registry;
pub mod report;
pub mod run;
pub mod sensor_model;
pub mod trace;
pub mod units;
