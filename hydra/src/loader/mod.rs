//! A configuration, composed: the files that the defaults lists name, merged, with the overrides of
//! the command line on top, and Hydra's own configuration under the key `hydra`.

mod about;
mod files;
mod places;

use std::path::PathBuf;

use self::about::Description;
use crate::Dialect;
use crate::compose::{Choices, DefaultsList, DefaultsTree, flatten, grow};
use crate::env::{Environment, ProcessEnvironment};
use crate::error::{Error, ErrorKind, Errors};
use crate::interpolation::Interpolator;
use crate::merge::Strictness;
use crate::moment::Moment;
use crate::overrides::{GroupOptions, Override, OverrideValue, Sweep, apply_value};
use crate::repository::{ConfigStore, Repository, SearchPath};
use crate::source::Origin;
use crate::value::{Key, KeyKind, Node};
use crate::warning::Warning;

/// Whether one job is to run, or one for each combination of the values that are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunMode {
    /// One job: several values at once are an error.
    #[default]
    Run,
    /// A sweep: an option that is still to be given (`???`) may come with its jobs.
    MultiRun,
}

/// Composes configurations from a search path and a store.
pub struct Loader<'e> {
    search_path: SearchPath,
    store: ConfigStore,
    environment: &'e dyn Environment,
    dialect: Dialect,
    strictness: Strictness,
    job_name: String,
    from_shell: bool,
    cwd: Option<PathBuf>,
}

/// A composed configuration, and how it came about. Nothing is resolved.
#[derive(Debug, Clone)]
pub struct Composed {
    /// The configuration with Hydra's own one under the key `hydra`.
    pub config: Node,
    /// What works and should not stay as it is.
    pub warnings: Vec<Warning>,
    /// The files in the order in which they were merged.
    pub defaults: DefaultsList,
    /// The files as they name one another.
    pub tree: DefaultsTree,
    /// Where configurations were looked for.
    pub search_path: SearchPath,
    /// What `${now:...}` shows, the same wherever the configuration is resolved.
    pub moment: Moment,
}

impl Composed {
    /// The configuration without Hydra's own one.
    #[must_use]
    pub fn job(&self) -> Node {
        let mut node = self.config.clone();
        if let Some(map) = node.as_map_mut() {
            map.remove("hydra");
        }
        node
    }

    /// Resolves what belongs to this configuration: `${hydra:...}` looks into it, and `${now:...}` is
    /// one moment for all of its parts.
    #[must_use]
    pub fn interpolator<'c>(&'c self, environment: &'c dyn Environment) -> Interpolator<'c> {
        Interpolator::new(environment).with_hydra(&self.config).with_moment(self.moment.clone())
    }

    /// Hydra's own configuration.
    #[must_use]
    pub fn hydra(&self) -> Option<&Node> {
        self.config.child("hydra")
    }
}

/// What the defaults lists give, before anything is merged.
struct Planned<'o> {
    tree: DefaultsTree,
    list: DefaultsList,
    choices: Choices,
    values: Vec<&'o Override>,
    warnings: Vec<Warning>,
}

impl Loader<'static> {
    /// With the variables of this process, strict, in OmegaConf's own dialect.
    ///
    /// What `store` holds comes last on the search path.
    #[must_use]
    pub fn new(search_path: SearchPath, store: ConfigStore) -> Self {
        Self {
            search_path: search_path.closed(),
            store,
            environment: &ProcessEnvironment,
            dialect: Dialect::default(),
            strictness: Strictness::Struct,
            job_name: "app".to_owned(),
            from_shell: true,
            cwd: None,
        }
    }
}

impl<'e> Loader<'e> {
    /// With other variables for `oc.env` and `hydra.job.env_copy`.
    #[must_use]
    pub fn with_environment<'n>(self, environment: &'n dyn Environment) -> Loader<'n> {
        Loader {
            environment,
            search_path: self.search_path,
            store: self.store,
            dialect: self.dialect,
            strictness: self.strictness,
            job_name: self.job_name,
            from_shell: self.from_shell,
            cwd: self.cwd,
        }
    }

    /// Reads texts as a dialect.
    #[must_use]
    pub fn with_dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// Whether an override without `+` may add a key.
    #[must_use]
    pub fn with_strictness(mut self, strictness: Strictness) -> Self {
        self.strictness = strictness;
        self
    }

    /// The name of the job, unless `hydra.job.name` says otherwise.
    #[must_use]
    pub fn with_job_name(mut self, name: impl Into<String>) -> Self {
        self.job_name = name.into();
        self
    }

    /// Whether the overrides were typed into a shell, which takes a level of quotes away.
    #[must_use]
    pub fn with_shell_quotes(mut self, from_shell: bool) -> Self {
        self.from_shell = from_shell;
        self
    }

    /// The folder for `hydra.runtime.cwd`, instead of the one that the process is in.
    #[must_use]
    pub fn with_cwd(mut self, cwd: impl Into<PathBuf>) -> Self {
        self.cwd = Some(cwd.into());
        self
    }

    /// The search path, before a `hydra.searchpath` adds to it.
    #[must_use]
    pub fn search_path(&self) -> &SearchPath {
        &self.search_path
    }

    /// Composes a configuration.
    ///
    /// # Errors
    /// Everything that could be found wrong: malformed overrides; then a defaults list; then files
    /// that do not fit on each other; then overrides that do not fit on them.
    pub fn compose(
        &self,
        config_name: Option<&str>,
        overrides: &[String],
        mode: RunMode,
    ) -> Result<Composed, Errors> {
        let overrides = parse(overrides)?;
        let (repository, search_path, mut warnings) = self.open(config_name, &overrides)?;
        self.check_sweeps(&overrides, mode)?;
        let planned = self.plan(&repository, config_name, &overrides, mode)?;
        warnings.extend(planned.warnings);
        let mut config = self.merge_files(&planned.list, &repository, &mut warnings)?;
        check_hydra(&config)?;
        self.apply(&planned.values, &mut config)?;
        self.describe(
            &mut config,
            &Description {
                overrides: &overrides,
                choices: &planned.choices,
                repository: &repository,
                config_name,
            },
        )?;
        Ok(Composed {
            config,
            warnings,
            defaults: planned.list,
            tree: planned.tree,
            search_path,
            moment: Moment::default(),
        })
    }

    /// The files that a configuration is made of, without reading more than their defaults lists.
    ///
    /// # Errors
    /// Malformed overrides, or a defaults list that is wrong.
    pub fn defaults(
        &self,
        config_name: Option<&str>,
        overrides: &[String],
        mode: RunMode,
    ) -> Result<(DefaultsTree, DefaultsList), Errors> {
        let overrides = parse(overrides)?;
        let (repository, ..) = self.open(config_name, &overrides)?;
        let planned = self.plan(&repository, config_name, &overrides, mode)?;
        Ok((planned.tree, planned.list))
    }

    /// The options of a group, sorted. None where nothing of that name is on the search path.
    #[must_use]
    pub fn group_options(&self, group: &str) -> Vec<String> {
        let repository = Repository::open(&self.search_path, &self.store, self.dialect);
        repository.map(|repository| repository.group_options(group)).unwrap_or_default()
    }

    /// The groups within a group (`""` for all of the first level), sorted.
    #[must_use]
    pub fn groups_in(&self, group: &str) -> Vec<String> {
        let repository = Repository::open(&self.search_path, &self.store, self.dialect);
        repository.map(|repository| repository.groups_in(group)).unwrap_or_default()
    }

    /// Several values need a sweep, and Hydra's own configuration cannot be swept over.
    fn check_sweeps(&self, overrides: &[Override], mode: RunMode) -> Result<(), Errors> {
        let sweeps = overrides.iter().filter(|change| change.is_sweep());
        let errors = sweeps.filter_map(|change| {
            let text = &change.text;
            let message = match (mode, &change.value) {
                (RunMode::MultiRun, _) if is_hydras(change) => {
                    format!("Sweeping over Hydra's configuration is not supported : '{text}'")
                }
                (RunMode::MultiRun, _) => return None,
                (RunMode::Run, Some(value)) if is_comma_list(value) => {
                    let quoted = if self.from_shell {
                        "key=\\'value1,value2\\'"
                    } else {
                        "key='value1,value2'"
                    };
                    format!(
                        "Ambiguous value for argument '{text}'\n\
                         1. To use it as a list, use key=[value1,value2]\n\
                         2. To use it as string, quote the value: {quoted}\n\
                         3. To sweep over it, add --multirun to your command line"
                    )
                }
                (RunMode::Run, _) => format!("Sweep parameters '{text}' requires --multirun"),
            };
            Some(
                Error::new(ErrorKind::Composition(message), change.origin()).with_path(&change.key),
            )
        });
        Errors::check(errors.collect())
    }

    fn plan<'o>(
        &self,
        repository: &Repository<'_>,
        config_name: Option<&str>,
        overrides: &'o [Override],
        mode: RunMode,
    ) -> Result<Planned<'o>, Errors> {
        let told = Choices::from_command_line(overrides, |key| repository.group_exists(key))?;
        let skip_missing = mode == RunMode::MultiRun;
        let (tree, choices, warnings) =
            grow(repository, self.environment, config_name, told.choices, skip_missing)?;
        let list = flatten(&tree)?;
        choices.check_used()?;
        Ok(Planned { tree, list, choices, values: told.values, warnings })
    }

    fn apply(&self, values: &[&Override], config: &mut Node) -> Result<(), Errors> {
        let with = self.interpolator();
        let mut errors = Vec::new();
        for change in values {
            if change.package.is_some() {
                let message = format!(
                    "Override {} looks like a config group override, but config group '{}' does not exist.",
                    change.text, change.key
                );
                let groups = self.groups_in("");
                errors.push(
                    Error::new(ErrorKind::Composition(message), change.origin())
                        .with_nearest(&change.key, groups.iter().map(String::as_str)),
                );
                continue;
            }
            if let Err(found) = apply_value(config, change, self.strictness, &with) {
                errors.extend(found);
            }
        }
        Errors::check(errors)
    }
}

impl GroupOptions for Loader<'_> {
    fn group_options(&self, group: &str) -> Vec<String> {
        Loader::group_options(self, group)
    }
}

fn parse(overrides: &[String]) -> Result<Vec<Override>, Errors> {
    let (mut parsed, mut errors) = (Vec::new(), Vec::new());
    for text in overrides {
        match Override::parse(text) {
            Ok(change) => parsed.push(change),
            Err(error) => errors.push(error),
        }
    }
    Errors::check(errors)?;
    Ok(parsed)
}

fn is_hydras(change: &Override) -> bool {
    change.key.starts_with("hydra.") || change.key.starts_with("hydra/")
}

/// Hydra's own configuration may be changed and not be taken away.
fn check_hydra(config: &Node) -> Result<(), Error> {
    match config.child("hydra") {
        Some(node) if node.as_map().is_none() => {
            let message = "'NoneType' object has no attribute '_set_flag'".to_owned();
            let kind = ErrorKind::Uncaught { class: "AttributeError", message };
            Err(Error::new(kind, node.origin.clone())
                .with_path("hydra")
                .with_hint("`hydra` is Hydra's own configuration: a mapping"))
        }
        _ => Ok(()),
    }
}

/// Whether the values are told by commas alone, which may have been meant as a list or a text.
fn is_comma_list(value: &OverrideValue) -> bool {
    matches!(value, OverrideValue::Sweep(Sweep::Choice(choice)) if choice.simple)
}

fn key(name: &str) -> Key {
    Key::new(KeyKind::Str(name.to_owned()), Origin::memory())
}
