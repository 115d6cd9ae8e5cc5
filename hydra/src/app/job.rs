//! One job: its configuration, its folder, and the files that Hydra leaves there.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::context::{Context, Overlay, absolute, under};
use super::logging::Logging;
use crate::dump::to_yaml;
use crate::env::Environment;
use crate::error::Errors;
use crate::loader::Composed;
use crate::scalar::python_str;
use crate::source::{Origin, mask_secrets};
use crate::value::{Key, KeyKind, Map, Node, Value};

/// A job that is ready to run.
///
/// Nothing has been written yet: [`Job::create`] does that, and the program that runs the job sees
/// to [`Job::working_dir`] and [`Job::env_set`] itself, because they belong to the whole process.
#[derive(Clone)]
pub struct Job {
    /// The configuration, without Hydra's own one. Not resolved: see [`Job::resolved`].
    pub config: Node,
    /// Hydra's own configuration, without the key `hydra` around it.
    pub hydra: Node,
    /// What was overridden for this job.
    pub overrides: Vec<String>,
    /// Its number in a sweep.
    pub num: Option<usize>,
    /// `hydra.job.name`
    pub name: String,
    /// The folder that the job is to run in: the output folder with `hydra.job.chdir`.
    pub working_dir: PathBuf,
    /// The folder for what the job writes.
    pub output_dir: PathBuf,
    /// The folder of `config.yaml`, `hydra.yaml` and `overrides.yaml`, unless there are none.
    pub hydra_dir: Option<PathBuf>,
    /// Variables of the environment to set for the job.
    pub env_set: Vec<(String, String)>,
    pub(super) context: Context,
    /// What is wrong with the variables. Told once the files of the job are there to show it.
    pub(super) broken: Option<Errors>,
}

/// What tells the job apart. Its configuration and its variables may hold secrets.
impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let overrides: Vec<_> = self.overrides.iter().map(|text| mask_secrets(text)).collect();
        f.debug_struct("Job")
            .field("name", &self.name)
            .field("num", &self.num)
            .field("overrides", &overrides)
            .field("output_dir", &self.output_dir)
            .finish_non_exhaustive()
    }
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobError(String);

impl JobError {
    /// With a reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for JobError {}

/// What makes a job out of a composed configuration.
pub(super) struct Maker<'m> {
    pub(super) context: &'m Context,
    pub(super) environment: &'m dyn Environment,
    pub(super) cwd: &'m Path,
}

impl Maker<'_> {
    /// The job of a plain run.
    pub(super) fn single(&self, composed: &Composed) -> Result<Job, Errors> {
        let mut config = composed.config.clone();
        if let Some(mode) = config.at_mut("hydra.mode")
            && mode.value == Value::Null
        {
            mode.value = Value::Str("RUN".to_owned());
        }
        let dir = self.context.text_at(self.environment, &config, "hydra.run.dir")?;
        self.job(config, Path::new(&dir), None)
    }

    /// A job of a sweep.
    pub(super) fn of_sweep(&self, composed: &Composed, num: usize) -> Result<Job, Errors> {
        let mut config = composed.config.clone();
        let number = i128::try_from(num).unwrap_or(i128::MAX);
        set(&mut config, &["hydra", "job", "id"], Value::Str(num.to_string()));
        set(&mut config, &["hydra", "job", "num"], Value::Int(number));
        let text = |path| self.context.text_at(self.environment, &config, path);
        let dir = Path::new(&text("hydra.sweep.dir")?).join(text("hydra.sweep.subdir")?);
        self.job(config, &dir, Some(num))
    }

    fn job(&self, mut config: Node, dir: &Path, num: Option<usize>) -> Result<Job, Errors> {
        let output_dir = absolute(self.cwd, dir);
        let text = output_dir.to_string_lossy().into_owned();
        set(&mut config, &["hydra", "runtime", "output_dir"], Value::Str(text));
        let value = |path| self.context.value_at(self.environment, &config, path);
        let chdir = matches!(value("hydra.job.chdir")?, Some(Value::Bool(true)));
        let hydra_dir = match value("hydra.output_subdir")? {
            None | Some(Value::Null | Value::Missing) => None,
            Some(subdir) => Some(output_dir.join(python_str(&subdir))),
        };
        let name = self.context.text_at(self.environment, &config, "hydra.job.name")?;
        let overrides = config.at("hydra.overrides.task").and_then(Node::as_list);
        let overrides = overrides.unwrap_or_default().iter().map(|text| python_str(&text.value));
        let overrides = overrides.collect();
        let hydra = match config.as_map_mut().and_then(|map| map.remove("hydra")) {
            Some(hydra) => hydra,
            None => Node::in_memory(Value::Map(Map::new())),
        };
        let (env_set, broken) = match self.env_set(&hydra) {
            Ok(env_set) => (env_set, None),
            Err(errors) => (Vec::new(), Some(errors)),
        };
        let working_dir = if chdir { output_dir.clone() } else { self.cwd.to_path_buf() };
        let context = self.context.clone();
        Ok(Job {
            config,
            hydra,
            overrides,
            num,
            name,
            working_dir,
            output_dir,
            hydra_dir,
            env_set,
            context,
            broken,
        })
    }

    /// The variables may refer to Hydra's own configuration, and to nothing else.
    fn env_set(&self, hydra: &Node) -> Result<Vec<(String, String)>, Errors> {
        let root = under("hydra", hydra.clone());
        let interpolator = self.context.interpolator(self.environment, &root);
        let set = interpolator.resolve_at(&root, "hydra.job.env_set")?;
        let pairs = set.as_ref().and_then(Node::as_map);
        Ok(pairs
            .into_iter()
            .flat_map(Map::iter)
            .map(|(key, value)| (key.text(), python_str(&value.value)))
            .collect())
    }
}

/// Sets a value, keeping what else the place knows.
fn set(config: &mut Node, keys: &[&str], value: Value) {
    let Some((last, parents)) = keys.split_last() else { return };
    let parent = parents.iter().try_fold(config, |node, key| node.child_mut(key));
    let Some(map) = parent.and_then(Node::as_map_mut) else { return };
    match map.get_mut(last) {
        Some(node) => node.value = value,
        None => {
            let key = Key::new(KeyKind::Str((*last).to_owned()), Origin::memory());
            map.insert(key, Node::in_memory(value));
        }
    }
}

impl Job {
    /// The configuration with every interpolation replaced by its value. The variables of
    /// [`Job::env_set`] count; what refers to a value that is not set is not set either.
    ///
    /// # Errors
    /// All interpolations that fail.
    pub fn resolved(&self, environment: &dyn Environment) -> Result<Node, Errors> {
        let environment = Overlay { below: environment, set: &self.env_set };
        let hydra = under("hydra", self.hydra.clone());
        self.context.interpolator(&environment, &hydra).resolve(&self.config)
    }

    /// Makes the folders and writes the files: the log files that `hydra.job_logging` asks for, and
    /// `config.yaml`, `hydra.yaml`, `overrides.yaml` below `hydra.output_subdir`.
    ///
    /// # Errors
    /// A folder or a file that cannot be written, or an interpolation that fails on the way.
    pub fn create(&self, environment: &dyn Environment) -> Result<(), CreateError> {
        self.create_with(environment, &mut Logging::default())
    }

    pub(super) fn create_with(
        &self,
        environment: &dyn Environment,
        logging: &mut Logging,
    ) -> Result<(), CreateError> {
        let told = |path: &Path| {
            let path = path.to_path_buf();
            move |error| CreateError::Write(path, error)
        };
        fs::create_dir_all(&self.output_dir).map_err(told(&self.output_dir))?;
        let mut config = self.config.clone();
        set_hydra(&mut config, self.hydra.clone());
        let interpolator = self.context.interpolator(environment, &config);
        let log = interpolator.resolve_at(&config, "hydra.job_logging")?;
        let verbose = interpolator.resolve_at(&config, "hydra.verbose")?;
        if let Some(log) = log {
            logging
                .configure(&log, verbose.as_ref(), &self.working_dir)
                .map_err(told(&self.output_dir))?;
        }
        if let Some(folder) = &self.hydra_dir {
            fs::create_dir_all(folder).map_err(told(folder))?;
            for (name, text) in self.files() {
                let path = folder.join(name);
                fs::write(&path, text).map_err(told(&path))?;
            }
        }
        self.broken.clone().map_or(Ok(()), |errors| Err(errors.into()))
    }

    /// The files that describe the job: name and content.
    #[must_use]
    pub fn files(&self) -> [(&'static str, String); 3] {
        let overrides = self.overrides.iter();
        let overrides = overrides.map(|text| Node::in_memory(Value::from_text(text.as_str())));
        let overrides = Node::in_memory(Value::List(overrides.collect()));
        [
            ("config.yaml", to_yaml(&self.config)),
            ("hydra.yaml", to_yaml(&under("hydra", self.hydra.clone()))),
            ("overrides.yaml", to_yaml(&overrides)),
        ]
    }
}

fn set_hydra(config: &mut Node, hydra: Node) {
    if let Some(map) = config.as_map_mut() {
        map.insert(Key::new(KeyKind::Str("hydra".to_owned()), Origin::memory()), hydra);
    }
}

/// Why the folder of a job could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// A folder or a file.
    #[error("cannot write `{}`: {}", .0.display(), .1)]
    Write(PathBuf, io::Error),
    /// The configuration on the way.
    #[error(transparent)]
    Config(#[from] Errors),
}
