//! A command line and the program that it is for: what to compose, and what the jobs are.

use std::fs;
use std::path::{Path, PathBuf};

use super::args::Arguments;
use super::context::{Context, absolute};
use super::job::{CreateError, Job, Maker};
use super::{App, Failure};
use crate::dump::to_yaml;
use crate::env::Environment;
use crate::error::{Error, ErrorKind, Errors};
use crate::loader::{Composed, Loader, RunMode};
use crate::overrides::BasicSweeper;
use crate::repository::SearchPath;
use crate::scalar::python_str;
use crate::source::Origin;
use crate::value::{Node, Value};

const SWEEPER: &str = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper";
const LAUNCHER: &str = "hydra._internal.core_plugins.basic_launcher.BasicLauncher";

/// One use of a program: its loader, the configuration that is asked for, the overrides.
///
/// Each step is a method of its own, so that a program with a command line of its own can take them
/// one by one: [`Session::mode`], then [`Session::single`] or [`Session::sweep`] and
/// [`Session::job_of`], then [`Job::create`].
pub struct Session<'e> {
    loader: Loader<'e>,
    environment: &'e dyn Environment,
    config_name: Option<String>,
    overrides: Vec<String>,
    cwd: PathBuf,
    pub(super) context: Context,
}

/// Whether one job is to run or many, and the overrides that say so to the configuration itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mode {
    /// One or many.
    pub run_mode: RunMode,
    /// The overrides, with `hydra.mode=...` at the end where nothing else decided it.
    pub overrides: Vec<String>,
    /// What is to be told about the choice.
    pub warning: Option<&'static str>,
}

/// A sweep, split into jobs.
#[derive(Debug, Clone)]
pub struct SweepPlan {
    /// The configuration that all jobs come from.
    pub master: Composed,
    /// The overrides of each job, in batches: the jobs of a batch are all checked before one runs.
    pub batches: Vec<Vec<Vec<String>>>,
    /// The folder of the whole sweep.
    pub dir: PathBuf,
    /// What the file `multirun.yaml` in it says.
    pub multirun_yaml: String,
}

impl<'e> Session<'e> {
    /// Opens the places that the program and the command line name.
    ///
    /// # Errors
    /// A folder of `--config-dir` that does not exist; a file as `--config-path`.
    pub fn open(app: &App<'e>, arguments: &Arguments) -> Result<Self, Failure> {
        let search_path = search_path(app, arguments)?;
        let loader = Loader::new(search_path, app.store.clone())
            .with_environment(app.environment)
            .with_dialect(app.dialect)
            .with_strictness(app.strictness)
            .with_job_name(app.name.clone())
            .with_cwd(app.cwd.clone());
        Ok(Self {
            loader,
            environment: app.environment,
            config_name: arguments.config_name.clone().or_else(|| app.config_name.clone()),
            overrides: arguments.overrides.clone(),
            cwd: app.cwd.clone(),
            context: Context {
                moment: app.moment.clone().unwrap_or_default(),
                dialect: app.dialect,
            },
        })
    }

    /// What composes the configurations.
    #[must_use]
    pub fn loader(&self) -> &Loader<'e> {
        &self.loader
    }

    /// The configuration that is asked for.
    #[must_use]
    pub fn config_name(&self) -> Option<&str> {
        self.config_name.as_deref()
    }

    /// The overrides of the command line.
    #[must_use]
    pub fn overrides(&self) -> &[String] {
        &self.overrides
    }

    /// The folder that the program was started in.
    #[must_use]
    pub fn cwd(&self) -> &Path {
        &self.cwd
    }

    /// The variables of the environment.
    #[must_use]
    pub fn environment(&self) -> &'e dyn Environment {
        self.environment
    }

    /// Composes what the command line asks for.
    ///
    /// # Errors
    /// As [`Loader::compose`].
    pub fn compose(&self, mode: RunMode) -> Result<Composed, Errors> {
        self.loader.compose(self.config_name(), &self.overrides, mode)
    }

    /// One job or many: `--multirun` counts most, then `hydra.mode` of the configuration.
    #[must_use]
    pub fn mode(&self, multirun: bool) -> Mode {
        let composed = self.compose(RunMode::MultiRun).ok();
        let configured = composed.and_then(|composed| {
            let mode = self.context.value_at(self.environment, &composed.config, "hydra.mode");
            match mode.ok()?? {
                Value::Null | Value::Missing => None,
                mode => Some(python_str(&mode)),
            }
        });
        let mut overrides = self.overrides.clone();
        let mut warning = None;
        let run_mode = match (configured.as_deref(), multirun) {
            (None, false) => {
                overrides.push("hydra.mode=RUN".to_owned());
                RunMode::Run
            }
            (None, true) => {
                overrides.push("hydra.mode=MULTIRUN".to_owned());
                RunMode::MultiRun
            }
            (Some("MULTIRUN"), _) => RunMode::MultiRun,
            (Some(_), false) => RunMode::Run,
            (Some(_), true) => {
                warning = Some(
                    "Running Hydra app with --multirun, overriding with `hydra.mode=MULTIRUN`.",
                );
                overrides.push("hydra.mode=MULTIRUN".to_owned());
                RunMode::MultiRun
            }
        };
        Mode { run_mode, overrides, warning }
    }

    /// Composes for a mode.
    ///
    /// # Errors
    /// As [`Loader::compose`]; also callbacks, which are Python classes and do not exist here.
    pub fn compose_for(&self, mode: &Mode) -> Result<Composed, Errors> {
        let composed = self.loader.compose(self.config_name(), &mode.overrides, mode.run_mode)?;
        let callbacks = composed.config.at("hydra.callbacks");
        if callbacks.and_then(Node::as_map).is_some_and(|map| !map.is_empty()) {
            let message = "hydra.callbacks names Python classes, which do not exist here";
            return Err(refused(&composed.config, "hydra.callbacks", message).into());
        }
        Ok(composed)
    }

    fn maker(&self) -> Maker<'_> {
        Maker { context: &self.context, environment: self.environment, cwd: &self.cwd }
    }

    /// The job of a plain run.
    ///
    /// # Errors
    /// Interpolations that fail on the way to its folder.
    pub fn single(&self, composed: &Composed) -> Result<Job, Errors> {
        self.maker().single(composed)
    }

    /// Splits a sweep into jobs.
    ///
    /// # Errors
    /// A sweeper or a launcher that does not exist here; overrides that are no sweep.
    pub fn sweep(&self, master: Composed) -> Result<SweepPlan, Errors> {
        let config = &master.config;
        for (path, wanted) in
            [("hydra.sweeper._target_", SWEEPER), ("hydra.launcher._target_", LAUNCHER)]
        {
            if self.text(config, path)? != wanted {
                let message = format!("only `{wanted}` exists here");
                return Err(refused(config, path, &message).into());
            }
        }
        let task = config.at("hydra.overrides.task").and_then(Node::as_list).unwrap_or_default();
        let task: Vec<_> = task.iter().map(|text| python_str(&text.value)).collect();
        let size = match self.value(config, "hydra.sweeper.max_batch_size")? {
            Some(Value::Int(size)) => Some(i64::try_from(size).unwrap_or(i64::MAX)),
            _ => None,
        };
        let batches = BasicSweeper::split(&self.params(config)?, &task, size, &self.loader)?;
        let dir = absolute(&self.cwd, Path::new(&self.text(config, "hydra.sweep.dir")?));
        let multirun_yaml = to_yaml(config);
        Ok(SweepPlan { master, batches, dir, multirun_yaml })
    }

    fn params(&self, config: &Node) -> Result<Vec<(String, String)>, Errors> {
        let interpolator = self.context.interpolator(self.environment, config);
        let params = interpolator.resolve_at(config, "hydra.sweeper.params")?;
        let params = params.as_ref().and_then(Node::as_map);
        let pairs = params.into_iter().flat_map(crate::Map::iter);
        Ok(pairs.map(|(key, value)| (key.text(), python_str(&value.value))).collect())
    }

    fn text(&self, config: &Node, path: &str) -> Result<String, Errors> {
        self.context.text_at(self.environment, config, path)
    }

    fn value(&self, config: &Node, path: &str) -> Result<Option<Value>, Errors> {
        self.context.value_at(self.environment, config, path)
    }

    /// Composes a job of a sweep.
    ///
    /// # Errors
    /// As [`Loader::compose`], and interpolations that fail on the way to the folder of the job.
    pub fn job_of(
        &self,
        plan: &SweepPlan,
        overrides: &[String],
        num: usize,
    ) -> Result<Job, Errors> {
        let composed = self.compose_job(plan, overrides)?;
        self.maker().of_sweep(&composed, num)
    }

    /// Checks that the jobs of a batch compose.
    ///
    /// # Errors
    /// What is wrong with them, each thing once.
    pub fn check_batch(&self, plan: &SweepPlan, batch: &[Vec<String>]) -> Result<(), Errors> {
        let mut errors: Vec<Error> = Vec::new();
        for overrides in batch {
            let found = self.compose_job(plan, overrides).err();
            for error in found.into_iter().flatten() {
                if errors.len() < crate::limits::MAX_ERRORS && !errors.contains(&error) {
                    errors.push(error);
                }
            }
        }
        Errors::check(errors)
    }

    fn compose_job(&self, plan: &SweepPlan, overrides: &[String]) -> Result<Composed, Errors> {
        let config = &plan.master.config;
        let own = config.at("hydra.overrides.hydra").and_then(Node::as_list).unwrap_or_default();
        let own = own.iter().map(|text| python_str(&text.value));
        let all: Vec<_> = own.chain(overrides.iter().cloned()).collect();
        self.loader.compose(self.config_name(), &all, RunMode::Run)
    }
}

impl SweepPlan {
    /// Makes the folder of the sweep and writes `multirun.yaml`.
    ///
    /// # Errors
    /// A folder or a file that cannot be written.
    pub fn create(&self) -> Result<(), CreateError> {
        let file = self.dir.join("multirun.yaml");
        fs::create_dir_all(&self.dir)
            .map_err(|error| CreateError::Write(self.dir.clone(), error))?;
        fs::write(&file, &self.multirun_yaml).map_err(|error| CreateError::Write(file, error))
    }

    /// How many jobs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batches.iter().map(Vec::len).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn refused(config: &Node, path: &str, message: &str) -> Error {
    let origin = config.span_of(path).cloned().unwrap_or_else(Origin::memory);
    Error::new(ErrorKind::Custom(message.to_owned()), origin).with_path(path)
}

/// Hydra's own configurations, the program's, and the folder of `--config-dir`.
fn search_path(app: &App<'_>, arguments: &Arguments) -> Result<SearchPath, Failure> {
    let mut search_path = SearchPath::new();
    if let Some(path) = arguments.config_path.as_ref().or(app.config_path.as_ref()) {
        if path.ends_with(".yaml") || path.ends_with(".yml") {
            return Err(Failure::new(
                "Using config_path to specify the config name is not supported, specify the \
                 config name via config_name.",
            ));
        }
        let place = if path.contains("://") {
            path.clone()
        } else {
            format!("file://{}", absolute(&app.cwd, Path::new(path)).display())
        };
        search_path.push("main", place);
    }
    if let Some(folder) = &arguments.config_dir {
        let folder = absolute(&app.cwd, Path::new(folder));
        if !folder.is_dir() {
            let folder = folder.display();
            return Err(Failure::new(format!("Additional config directory '{folder}' not found")));
        }
        search_path.push("command-line", format!("file://{}", folder.display()));
    }
    Ok(search_path)
}
