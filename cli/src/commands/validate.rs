//! `ai-energy-benchmark validate`.

use ai_energy_benchmarks::config::Environment;
use ai_energy_benchmarks::run::prepare;

use crate::args::ConfigArgs;
use crate::exit::Exit;
use crate::terminal;

pub(crate) fn run(arguments: &ConfigArgs) -> Exit {
    let prepared = super::load(&arguments.config, &arguments.overrides).and_then(|loaded| {
        prepare(loaded.config.clone(), &super::registry(), &Environment::default())
            .map_err(|problems| loaded.locate(problems))
            .map(|mut prepared| {
                prepared.keep_notes(&loaded.notes);
                prepared
            })
    });
    match prepared {
        Ok(prepared) => {
            for warning in &prepared.warnings {
                terminal::note(&format!("caution: {}", warning.message));
            }
            terminal::out(&format!(
                "{}: valid; {} requests to measure; {}\n",
                arguments.config.display(),
                prepared.plan.measured_requests,
                prepared.inventory.boundary
            ));
            Exit::Ok
        }
        Err(problems) => {
            terminal::problems(&problems);
            Exit::Usage
        }
    }
}
