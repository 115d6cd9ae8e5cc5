//! Decides how many repetitions it takes, from the records of the first of them.

use std::path::Path;

use ai_energy_benchmarks::analysis::{self, protocol};
use ai_energy_benchmarks::config::component::protocol::AdaptiveRepetitions;
use ai_energy_benchmarks::record::RunRecords;
use ai_energy_benchmarks::run::Judge;

/// Reads the run folder so far and analyses it.
pub(crate) struct ByAnalysis;

impl Judge for ByAnalysis {
    fn needed(&self, folder: &Path, wanted: &AdaptiveRepetitions) -> Result<u32, String> {
        let records = RunRecords::read(folder).map_err(|error| error.to_string())?;
        let found = analysis::analyse(&records).protocol.repetitions;
        protocol::repetitions_needed(&found, wanted.figure.key(), wanted.target_relative_ci)
    }
}
