//! What a command line comes to: the runs, in order, all checked before the first begins.

use std::path::{Path, PathBuf};

use ai_energy_benchmarks::config::{
    self, Composer, Environment, Jobs, LoadedConfig, Reading, Source, SweepFolder, aienergyscore,
};
use ai_energy_benchmarks::error::{Problem, Problems};

use crate::args::{ConfigArgs, Dialect};
use crate::target::{self, Target};

/// One run to make.
#[derive(Debug)]
pub(crate) struct Cell {
    /// For people: the config, or the changes that make this cell of a sweep.
    pub label: String,
    /// The config.
    pub loaded: LoadedConfig,
    /// The sweep that it belongs to, as an index into [`Plan::sweeps`].
    pub sweep: Option<usize>,
}

/// Everything to do.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub cells: Vec<Cell>,
    pub sweeps: Vec<SweepFolder>,
    /// What works and should not stay as it is.
    pub warnings: Vec<String>,
}

/// How to read what the command line names.
pub(crate) fn reading(dialect: Dialect) -> Reading {
    match dialect {
        Dialect::Auto | Dialect::Aienergyscore => Reading::Auto,
        Dialect::Strict => Reading::Strict,
    }
}

/// The config room's word for a target.
pub(crate) fn source(target: &Target) -> Source {
    match target {
        Target::File(path) => Source::File(path.clone()),
        Target::Text { name, yaml } => Source::Text { name: name.clone(), yaml: yaml.clone() },
        Target::Named { folder, name } => {
            Source::Named { folder: folder.clone(), name: name.clone() }
        }
    }
}

/// Where AIEnergyScore's image has its configs.
const IMAGE_CONFIGS: &str = "/optimum-benchmark/energy_star";

/// Composes every config and every cell of every sweep.
pub(crate) fn plan(arguments: &ConfigArgs, multirun: bool) -> Result<Plan, Problems> {
    let asked = target::asked(arguments)?;
    let mut plan = Plan::default();
    let mut problems = Problems::default();
    for target in &asked.targets {
        let jobs = match arguments.dialect {
            Dialect::Aienergyscore => wrapped(target, &asked.overrides),
            dialect => composed(target, reading(dialect), &asked.overrides, multirun),
        };
        match jobs {
            Ok(jobs) => plan.add(jobs, target, asked.targets.len() > 1),
            Err(found) => problems.0.extend(found.0),
        }
    }
    if let Ok(here) = std::env::current_dir() {
        plan.shorten(&here);
    }
    problems.into_result().map(|()| plan)
}

fn composed(
    target: &Target,
    reading: Reading,
    overrides: &[String],
    multirun: bool,
) -> Result<Jobs, Problems> {
    let environment = Environment::default();
    Composer::new(&source(target), reading, overrides, &environment)?.jobs(multirun)
}

/// As AIEnergyScore's wrapper finds and reads a config.
fn wrapped(target: &Target, overrides: &[String]) -> Result<Jobs, Problems> {
    let present = PathBuf::from(".");
    let (name, folders) = match target {
        Target::File(path) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name, vec![path.parent().map_or(present, Path::to_path_buf)])
        }
        Target::Text { name, .. } => (name.clone(), vec![present]),
        Target::Named { folder, name } => {
            let Some(name) = name.clone() else {
                return Err(Problem::new("command line", "no config is named")
                    .hint("add --config-name")
                    .into());
            };
            let default = vec![PathBuf::from(IMAGE_CONFIGS), present];
            (name, folder.clone().map_or(default, |folder| vec![folder]))
        }
    };
    let loaded = aienergyscore::load(&name, &folders, overrides, &Environment::default())?;
    Ok(Jobs { jobs: vec![loaded], sweep: None, warnings: Vec::new() })
}

fn label(target: &Target, loaded: &LoadedConfig, several: bool, swept: bool) -> String {
    let changes = loaded.shown_overrides().join(" ");
    match (several, swept) {
        (_, false) => target.shown(),
        (true, true) => format!("{} {changes}", target.shown()),
        (false, true) if changes.is_empty() => target.shown(),
        (false, true) => changes,
    }
}

impl Plan {
    fn add(&mut self, jobs: Jobs, target: &Target, several: bool) {
        let sweep = jobs.sweep.map(|folder| {
            self.sweeps.push(folder);
            self.sweeps.len() - 1
        });
        for warning in jobs.warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        self.cells.extend(jobs.jobs.into_iter().map(|loaded| {
            let label = label(target, &loaded, several, sweep.is_some());
            Cell { label, loaded, sweep }
        }));
    }

    /// What can be told of the runs before the first begins. One run is checked with everything it needs
    /// when it is prepared; of many, the mistakes of the last must not be found after hours.
    ///
    /// # Errors
    /// Everything wrong; what is wrong in every cell of a sweep is told once.
    pub(crate) fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        for cell in self.cells.iter().filter(|_| self.cells.len() > 1) {
            problems.add_new(cell.loaded.locate(config::check(&cell.loaded.config)));
        }
        problems.into_result()
    }

    /// Moves a sweep to another folder, its cells with it.
    pub(crate) fn move_sweep(&mut self, sweep: usize, to: &Path) {
        let from = std::mem::replace(&mut self.sweeps[sweep].dir, to.to_path_buf());
        for cell in self.cells.iter_mut().filter(|cell| cell.sweep == Some(sweep)) {
            let place = &mut cell.loaded.place;
            let moved = |path: &Path| path.strip_prefix(&from).ok().map(|rest| to.join(rest));
            if let Some(path) = moved(&place.working_dir) {
                place.working_dir = path;
            }
            if let Some(path) = moved(&place.output_dir) {
                place.output_dir = path;
            }
            // What was not finished there is run again in the same folder.
            place.is_new = false;
        }
    }

    /// Names folders from where the command was started: that is how people read them.
    fn shorten(&mut self, here: &Path) {
        let short = |path: &mut PathBuf| {
            if let Ok(rest) = path.strip_prefix(here) {
                *path = rest.to_owned();
            }
        };
        for cell in &mut self.cells {
            short(&mut cell.loaded.place.output_dir);
            short(&mut cell.loaded.place.working_dir);
        }
        self.sweeps.iter_mut().for_each(|sweep| short(&mut sweep.dir));
    }
}
