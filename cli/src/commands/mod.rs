//! One file a command.

pub(crate) mod compare;
pub(crate) mod complete;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod fit_weights;
pub(crate) mod measure;
pub(crate) mod mock_server;
pub(crate) mod monitor;
pub(crate) mod profile;
pub(crate) mod records;
pub(crate) mod reference;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod show;
pub(crate) mod validate;
pub(crate) mod windows;

use ai_energy_benchmarks::registry::Registry;

/// Every component of this program.
pub(crate) fn registry() -> Registry {
    let mut registry = Registry::with_defaults();
    ai_energy_benchmarks_columnar::register(&mut registry);
    ai_energy_benchmarks_local::backend::register(&mut registry);
    registry
}
