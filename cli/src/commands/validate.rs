//! `ai-energy-benchmark validate`.

use ai_energy_benchmarks::error::Problems;
use ai_energy_benchmarks::run::prepare;

use crate::args::ValidateArgs;
use crate::exit::Exit;
use crate::plan::{self, Cell};
use crate::terminal;

pub(crate) fn run(arguments: &ValidateArgs) -> Exit {
    let exit = Exit::config(arguments.config.is_hydra_shaped());
    let plan = match plan::plan(&arguments.config, arguments.multirun) {
        Ok(plan) => plan,
        Err(problems) => {
            terminal::problems(&problems);
            return exit;
        }
    };
    for warning in &plan.warnings {
        terminal::note(&format!("caution: {warning}"));
    }
    let mut found = Problems::default();
    for cell in &plan.cells {
        if let Err(problems) = check(cell) {
            found.add_new(problems);
        }
    }
    if found.0.is_empty() {
        return Exit::Ok;
    }
    terminal::problems(&found);
    exit
}

fn check(cell: &Cell) -> Result<(), Problems> {
    let loaded = &cell.loaded;
    let mut prepared = prepare(loaded.config.clone(), &super::registry(), &loaded.environment)
        .map_err(|problems| loaded.locate(problems))?;
    prepared.keep_notes(&loaded.notes);
    for warning in &prepared.warnings {
        terminal::note(&format!("caution: {}", warning.message));
    }
    terminal::out(&format!(
        "{}: valid; {} requests to measure; {}\n",
        cell.label, prepared.plan.measured_requests, prepared.inventory.boundary
    ));
    Ok(())
}
