//! A configuration, composed: the files that the defaults lists name, merged, with the overrides of
//! the command line on top, and Hydra's own configuration under the key `hydra`.

use std::path::{Path, PathBuf};

use crate::Dialect;
use crate::compose::{Choices, DefaultsEntry, DefaultsList, DefaultsTree, flatten, grow};
use crate::env::{Environment, ProcessEnvironment};
use crate::error::{Error, ErrorKind, Errors};
use crate::hydra_conf::{HYDRA_VERSION, VERSION_BASE};
use crate::interpolation::Interpolator;
use crate::merge::{Strictness, merge_with};
use crate::moment::Moment;
use crate::overrides::{GroupOptions, Override, OverrideValue, Sweep, apply_value};
use crate::repository::{ConfigStore, Repository, SearchPath};
use crate::scalar::python_str;
use crate::source::Origin;
use crate::value::{Key, KeyKind, Map, Node, Value};

/// Whether one job is to run, or one for each combination of the values that are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunMode {
    /// One job: several values at once are an error.
    #[default]
    Run,
    /// A sweep: an option that is still to be given (`???`) may come with its jobs.
    MultiRun,
}

/// What a warning is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WarningKind {
    /// A defaults list without `_self_` in a file with values of its own.
    MissingSelf,
    /// A file is checked against a stored configuration of the same name.
    SchemaMatch,
    /// A place of `hydra.searchpath` does not exist.
    UnavailablePlace,
    /// A value was asked for under a key that it should no longer be asked for (`oc.deprecated`).
    Deprecated,
}

/// Something that works, and should not stay as it is. The text is Hydra's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What it is about.
    pub kind: WarningKind,
    /// The text.
    pub message: String,
    /// Where the cause is written.
    pub origin: Origin,
}

impl Warning {
    pub(crate) fn missing_self(config_path: &str, origin: Origin) -> Self {
        let message = format!(
            "In '{config_path}': Defaults list is missing `_self_`. See https://hydra.cc/docs/1.2/upgrades/1.0_to_1.1/default_composition_order for more information"
        );
        Self { kind: WarningKind::MissingSelf, message, origin }
    }

    fn schema_match(config_path: &str, origin: Origin) -> Self {
        let message = format!(
            "'{config_path}' is validated against ConfigStore schema with the same name.\n\
             This behavior is deprecated in Hydra 1.1 and will be removed in Hydra 1.2.\n\
             See https://hydra.cc/docs/1.2/upgrades/1.0_to_1.1/automatic_schema_matching for migration instructions."
        );
        Self { kind: WarningKind::SchemaMatch, message, origin }
    }

    fn unavailable(provider: &str, path: &str) -> Self {
        let message = format!("provider={provider}, path={path} is not available.");
        Self { kind: WarningKind::UnavailablePlace, message, origin: Origin::memory() }
    }
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

    /// The repository with the places that `hydra.searchpath` adds.
    fn open(
        &self,
        config_name: Option<&str>,
        overrides: &[Override],
    ) -> Result<(Repository<'_>, SearchPath, Vec<Warning>), Errors> {
        let mut repository = Repository::open(&self.search_path, &self.store, self.dialect)?;
        check_main_place(&repository)?;
        let mut search_path = self.search_path.clone();
        let mut warnings = Vec::new();
        if let Some((provider, paths)) = self.added_places(config_name, overrides, &repository)? {
            search_path = search_path.with_before_schema(provider, &paths);
            repository.look_in(&search_path)?;
            let missing = repository.sources().filter(|place| !place.is_available());
            warnings.extend(missing.map(|p| Warning::unavailable(&p.provider, p.path())));
        }
        Ok((repository, search_path, warnings))
    }

    /// `hydra.searchpath` of the command line, or else of the primary configuration.
    fn added_places(
        &self,
        config_name: Option<&str>,
        overrides: &[Override],
        repository: &Repository<'_>,
    ) -> Result<Option<(&'static str, Vec<String>)>, Errors> {
        let primary = match config_name {
            Some(name) => repository.load(name)?,
            None => None,
        };
        let mut found = None;
        if let (Some(primary), Some(name)) = (&primary, config_name) {
            if primary.node.as_map().is_none() {
                let message =
                    format!("primary config '{name}' must be a DictConfig, got ListConfig");
                let kind = ErrorKind::Composition(message);
                return Err(Error::new(kind, primary.node.origin.clone()).into());
            }
            let interpolator = Interpolator::new(self.environment).with_dialect(self.dialect);
            found = interpolator
                .resolve_at(&primary.node, "hydra.searchpath")?
                .map(|node| ("hydra.searchpath in main", node));
        }
        let told = overrides.iter().find(|change| {
            change.action == crate::Action::Change
                && change.key == "hydra.searchpath"
                && change.package.is_none()
        });
        if let Some(node) =
            told.filter(|change| !change.is_sweep()).map(Override::node).transpose()?
        {
            let node = node.filter(|node| !matches!(node.value, Value::Null));
            found = node.map(|node| ("hydra.searchpath in command-line", node)).or(found);
        }
        let Some((provider, node)) = found else { return Ok(None) };
        if matches!(node.value, Value::Null | Value::Missing) {
            return Ok(None);
        }
        let paths = node.as_list().and_then(|items| {
            let text = |item: &Node| match &item.value {
                Value::Str(text) | Value::Interpolation(text) => Some(text.clone()),
                _ => None,
            };
            items.iter().map(text).collect::<Option<Vec<_>>>()
        });
        let paths = paths.ok_or_else(|| {
            let shown = python_str(&node.value);
            let message = format!("hydra.searchpath must be a list of strings. Got: {shown}");
            Error::new(ErrorKind::Composition(message), node.origin.clone())
        })?;
        Ok(Some((provider, paths)))
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

    /// All files, each at its package, one over the other.
    fn merge_files(
        &self,
        list: &DefaultsList,
        repository: &Repository<'_>,
        warnings: &mut Vec<Warning>,
    ) -> Result<Node, Errors> {
        let mut config = Node::in_memory(Value::Map(Map::new()));
        let mut errors = Vec::new();
        let with = self.interpolator();
        for entry in list {
            let node = match placed(entry, repository, &with, warnings) {
                Ok(node) => node,
                Err(found) => {
                    errors.extend(found);
                    continue;
                }
            };
            if let Err(error) = merge_with(&mut config, &node, Strictness::Open, &with) {
                errors.push(while_composing(&entry.config_path, error));
            }
        }
        Errors::check(errors)?;
        Ok(config)
    }

    /// For the interpolations that composition itself has to follow.
    fn interpolator(&self) -> Interpolator<'_> {
        Interpolator::new(self.environment).with_dialect(self.dialect)
    }

    /// Fills in what Hydra says about the run: overrides, choices, versions, places, names.
    fn describe(&self, config: &mut Node, about: &Description<'_>) -> Result<(), Errors> {
        let task: Vec<_> = about.overrides.iter().filter(|change| !is_hydras(change)).collect();
        let own = about.overrides.iter().filter(|change| is_hydras(change));
        extend_list(config, &["hydra", "overrides", "hydra"], own);
        extend_list(config, &["hydra", "overrides", "task"], task.iter().copied());
        for (group, option) in &about.choices.known {
            let value = option.as_deref().map_or(Value::Null, Value::from_text);
            set(config, &["hydra", "runtime", "choices", group], Node::in_memory(value));
        }
        self.copy_environment(config)?;
        let text = |text: &str| Node::in_memory(Value::from_text(text));
        set(config, &["hydra", "runtime", "version"], text(HYDRA_VERSION));
        set(config, &["hydra", "runtime", "version_base"], text(VERSION_BASE));
        set(config, &["hydra", "runtime", "cwd"], text(&self.cwd().to_string_lossy()));
        let sources = about.repository.sources().map(|place| {
            let pairs = [
                ("path", place.path()),
                ("schema", place.scheme()),
                ("provider", place.provider.as_str()),
            ];
            Node::in_memory(Value::Map(
                pairs.into_iter().map(|(name, value)| (key(name), text(value))).collect(),
            ))
        });
        let sources = Node::in_memory(Value::List(sources.collect()));
        set(config, &["hydra", "runtime", "config_sources"], sources);
        let named = config.at("hydra.job.name").is_some_and(|node| node.value != Value::Missing);
        if !named {
            set(config, &["hydra", "job", "name"], text(&self.job_name));
        }
        let dirname = override_dirname(config, &task);
        set(config, &["hydra", "job", "override_dirname"], text(&dirname));
        let name = about.config_name.map_or(Value::Null, Value::from_text);
        set(config, &["hydra", "job", "config_name"], Node::in_memory(name));
        Ok(())
    }

    fn copy_environment(&self, config: &mut Node) -> Result<(), Errors> {
        let names: Vec<_> = config
            .at("hydra.job.env_copy")
            .and_then(Node::as_list)
            .unwrap_or_default()
            .iter()
            .filter_map(|node| Some((node.as_str()?.to_owned(), node.origin.clone())))
            .collect();
        let mut errors = Vec::new();
        for (name, origin) in names {
            match self.environment.get(&name) {
                Some(value) => {
                    let node = Node::new(Value::Str(value), origin.interpolated());
                    set(config, &["hydra", "job", "env_set", &name], node);
                }
                None => {
                    let message = format!(
                        "'{name}': hydra.job.env_copy names a variable of the environment that is not set"
                    );
                    let kind = ErrorKind::Uncaught { class: "KeyError", message };
                    errors.push(Error::new(kind, origin).with_path("hydra.job.env_copy"));
                }
            }
        }
        Errors::check(errors)
    }

    fn cwd(&self) -> PathBuf {
        match &self.cwd {
            Some(cwd) => cwd.clone(),
            None => std::env::current_dir().unwrap_or_else(|_| Path::new(".").to_path_buf()),
        }
    }
}

impl GroupOptions for Loader<'_> {
    fn group_options(&self, group: &str) -> Vec<String> {
        Loader::group_options(self, group)
    }
}

/// What `hydra` tells about a composition.
struct Description<'d> {
    overrides: &'d [Override],
    choices: &'d Choices,
    repository: &'d Repository<'d>,
    config_name: Option<&'d str>,
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

/// The place of the program itself must exist; any other may be absent.
fn check_main_place(repository: &Repository<'_>) -> Result<(), Error> {
    let missing =
        repository.sources().find(|place| place.provider == "main" && !place.is_available());
    let Some(place) = missing else { return Ok(()) };
    let message = match (place.scheme(), place.path()) {
        ("pkg", "") => "Primary config module is empty.\nPython requires resources to be in a module with an __init__.py file".to_owned(),
        ("pkg", path) => format!(
            "Primary config module '{path}' not found.\nCheck that it's correct and contains an __init__.py file"
        ),
        (_, path) => format!(
            "Primary config directory not found.\nCheck that the config directory '{path}' exists and readable"
        ),
    };
    Err(Error::new(ErrorKind::MissingConfig(message), Origin::memory()))
}

/// OmegaConf's refusal of a file, as Hydra tells it.
fn while_composing(config_path: &str, error: Error) -> Error {
    let Some(class) = error.kind().omegaconf_class() else { return error };
    let message =
        format!("In '{config_path}': {class} raised while composing config:\n{}", error.message());
    error.told_as(ErrorKind::Composition(message))
}

/// The content of one file at its package.
fn placed(
    entry: &DefaultsEntry,
    repository: &Repository<'_>,
    with: &Interpolator<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Node, Errors> {
    let path = &entry.config_path;
    let Some(loaded) = repository.load(path)? else {
        let message = format!("Could not load '{path}'.");
        return Err(Error::new(ErrorKind::MissingConfig(message), entry.origin.clone()).into());
    };
    let mut node = loaded.node.clone();
    if !loaded.is_schema
        && let Some(schema) = repository.schema(path)
    {
        node = over_schema(entry, node, schema, with, warnings)?;
    }
    let node = embed(node, &entry.package);
    let searchpath = node
        .at("hydra.searchpath")
        .filter(|node| !matches!(node.value, Value::Null | Value::Missing));
    if let Some(searchpath) = searchpath
        && !entry.primary
        && path != "hydra/config"
    {
        let message = format!(
            "In '{path}': Overriding hydra.searchpath is only supported from the primary config"
        );
        let kind = ErrorKind::Composition(message);
        return Err(Error::new(kind, searchpath.origin.clone()).into());
    }
    Ok(node)
}

/// A file over the stored configuration of the same name.
///
/// The key `hydra` of a primary configuration is none of the schema's business.
fn over_schema(
    entry: &DefaultsEntry,
    mut node: Node,
    mut schema: Node,
    with: &Interpolator<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Node, Error> {
    let path = &entry.config_path;
    if schema.as_map().is_some_and(|map| map.get("defaults").is_some()) {
        let message = format!(
            "'{path}' is validated against ConfigStore schema with the same name.\n\
             This behavior is deprecated in Hydra 1.1 and will be removed in Hydra 1.2.\n\
             In addition, the automatically matched schema contains a defaults list.\n\
             This combination is no longer supported.\n\
             See https://hydra.cc/docs/1.2/upgrades/1.0_to_1.1/automatic_schema_matching for migration instructions."
        );
        return Err(Error::new(ErrorKind::Composition(message), node.origin));
    }
    warnings.push(Warning::schema_match(path, node.origin.clone()));
    let takes_hydra = entry.primary && !path.starts_with("hydra/");
    let hydra = node.as_map_mut().filter(|_| takes_hydra).and_then(|map| map.remove("hydra"));
    merge_with(&mut schema, &node, Strictness::Open, with).map_err(|error| {
        let message = format!("Error merging '{path}' with schema\n{}", error.message());
        error.told_as(ErrorKind::Composition(message))
    })?;
    if let (Some(hydra), Some(map)) = (hydra, schema.as_map_mut()) {
        map.insert(key("hydra"), hydra);
    }
    Ok(schema)
}

/// A tree below a dotted path.
fn embed(node: Node, package: &str) -> Node {
    if package.is_empty() {
        return node;
    }
    let keys = package.split(['.', '[']).map(|part| part.trim_end_matches(']'));
    keys.rev().fold(node, |node, name| {
        let origin = node.origin.clone();
        let key = Key::new(KeyKind::Str(name.to_owned()), origin.clone());
        Node::new(Value::Map(Map::from_iter([(key, node)])), origin)
    })
}

fn key(name: &str) -> Key {
    Key::new(KeyKind::Str(name.to_owned()), Origin::memory())
}

/// Sets a value at a path of keys, and makes the mappings on the way.
fn set(config: &mut Node, keys: &[&str], value: Node) {
    let Some(slot) = slot(config, keys) else { return };
    slot.value = value.value;
    slot.origin = value.origin;
}

/// Overrides as text at the end of a list.
fn extend_list<'o>(config: &mut Node, keys: &[&str], more: impl Iterator<Item = &'o Override>) {
    let Some(slot) = slot(config, keys) else { return };
    let more =
        more.map(|change| Node::new(Value::from_text(change.text.as_str()), change.origin()));
    match &mut slot.value {
        Value::List(items) => items.extend(more),
        other => *other = Value::List(more.collect()),
    }
}

fn slot<'n>(config: &'n mut Node, keys: &[&str]) -> Option<&'n mut Node> {
    let mut node = config;
    for name in keys {
        if node.as_map().is_none() {
            node.value = Value::Map(Map::new());
        }
        let map = node.as_map_mut()?;
        if map.get(name).is_none() {
            map.insert(key(name), Node::in_memory(Value::Missing));
        }
        node = map.get_mut(name)?;
    }
    Some(node)
}

/// The overrides of the task, sorted, as they name a folder.
fn override_dirname(config: &Node, task: &[&Override]) -> String {
    let settings = config.at("hydra.job.config.override_dirname");
    let text = |name: &str, otherwise: &str| {
        let node = settings.and_then(|node| node.child(name));
        node.map_or_else(|| otherwise.to_owned(), |node| python_str(&node.value))
    };
    let excluded: Vec<&str> = settings
        .and_then(|node| node.child("exclude_keys")?.as_list())
        .unwrap_or_default()
        .iter()
        .filter_map(Node::as_str)
        .collect();
    let mut lines: Vec<&str> = task
        .iter()
        .filter(|change| !excluded.contains(&change.key.as_str()))
        .map(|change| change.text.as_str())
        .collect();
    lines.sort_unstable();
    lines.join(&text("item_sep", ",")).replace('=', &text("kv_sep", "="))
}
