//! Each component's settings. Their doc comments become the configuration reference.

pub mod attribution;
pub mod backend;
pub mod conversation;
pub mod load;
pub mod meter;
pub mod metrics;
pub mod protocol;
pub mod reference;
pub mod reporter;
pub mod scenario;
pub mod slo;
pub mod workload;

mod scalars;

pub use scalars::{BoolOrText, DeviceIds, TextList};
