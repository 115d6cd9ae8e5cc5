//! From a named config and changes to one composed tree.
//!
//! Which language a config is written in is told by what it is, unless the caller says so:
//!
//! | config | `${NAME:-default}` | a change to a key that no file holds |
//! |---|---|---|
//! | ours, by its path | yes | as our types know the key |
//! | ours, by folder and name | yes | needs `+`, as in Hydra |
//! | optimum-benchmark's | no | needs `+`, as in Hydra |
//! | any, read strictly | no | needs `+`, as in Hydra |
//!
//! A config is optimum-benchmark's if its defaults lists name `benchmark`, for which there is no file of that name.

use std::path::{Path, PathBuf};

use hydra_compose::{
    Composed, ConfigStore, Dialect, Document, Errors, Interpolator, Loader, Node, RunMode,
    SearchPath, Strictness,
};

use super::Environment;
use super::load::{LoadedConfig, problems, typed};
use super::optimum::{self, ROOT};
use crate::error::{Problem, Problems};

/// Which config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file; what it includes is looked for beside it.
    File(PathBuf),
    /// A name in a folder, as Hydra takes them.
    Named {
        /// The folder; without one, only what is built in can be named.
        folder: Option<PathBuf>,
        /// The name; without one, only changes make the config.
        name: Option<String>,
    },
}

/// How configs are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reading {
    /// By what the config is.
    #[default]
    Auto,
    /// Exactly as Hydra 1.3 and OmegaConf 2.3 read them.
    Strict,
}

/// Whose config it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Ours,
    Optimum,
}

/// Composes one config, again and again: a sweep does it for each of its cells.
pub struct Composer<'e> {
    loader: Loader<'e>,
    name: Option<String>,
    dialect: Dialect,
    language: Language,
    environment: &'e Environment,
}

impl<'e> Composer<'e> {
    /// A composer for a config.
    ///
    /// # Errors
    /// The file cannot be read, or is no YAML.
    pub fn new(
        source: &Source,
        reading: Reading,
        environment: &'e Environment,
    ) -> Result<Self, Problems> {
        let language = language(source, environment)?;
        // Our configs know `${NAME:-default}` as well: the proof of concept's documents promised it.
        let ours = language == Language::Ours && reading == Reading::Auto;
        let dialect = Dialect { shell_defaults: ours };
        let (search_path, store, name) = places(source, dialect, language)?;
        // Whether a key may be changed is decided by our types, which know more keys than the file
        // holds and which of them was meant; whoever asks Hydra's way gets Hydra's rule.
        let strictness = match source {
            Source::File(_) if ours => Strictness::Open,
            _ => Strictness::Struct,
        };
        let loader = Loader::new(search_path, store)
            .with_environment(environment)
            .with_dialect(dialect)
            .with_strictness(strictness)
            .with_job_name("ai-energy-benchmark");
        Ok(Self { loader, name, dialect, language, environment })
    }

    /// Hydra's view of the search path, groups and options.
    #[must_use]
    pub fn loader(&self) -> &Loader<'e> {
        &self.loader
    }

    /// The name of the config.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The config with changes; nothing is resolved.
    ///
    /// # Errors
    /// All problems at once: each with its file, line and column, or the change that made it.
    pub fn compose(&self, overrides: &[String], mode: RunMode) -> Result<Composed, Problems> {
        self.loader.compose(self.name(), overrides, mode).map_err(|errors| problems(&errors))
    }

    /// What resolves the interpolations of a composed config, where a job sees more variables than
    /// the process.
    #[must_use]
    pub fn interpolator<'n>(&self, environment: &'n Environment) -> Interpolator<'n> {
        Interpolator::new(environment).with_dialect(self.dialect)
    }

    /// A composed config, resolved and fitted into its types.
    ///
    /// # Errors
    /// All interpolations that fail; then everything that does not fit the types.
    pub fn load(
        &self,
        composed: &Composed,
        overrides: &[String],
    ) -> Result<LoadedConfig, Problems> {
        let fit = |node: Node| match self.language {
            Language::Ours => Ok((typed(node)?, Vec::new())),
            Language::Optimum => optimum::to_config(&node, self.environment)
                .map(|mapped| (mapped.config, mapped.notes)),
        };
        let interpolator = self.interpolator(self.environment);
        LoadedConfig::new(composed, &interpolator, overrides, self.name(), fit)
    }
}

type Places = (SearchPath, ConfigStore, Option<String>);

/// Whose config it is, by its defaults lists. What is wrong with them is told when it is composed.
fn language(source: &Source, environment: &Environment) -> Result<Language, Problems> {
    let (search_path, store, name) = places(source, Dialect::default(), Language::Optimum)?;
    let folders: Vec<PathBuf> =
        search_path.iter().map(|entry| PathBuf::from(&entry.path)).collect();
    let loader = Loader::new(search_path, store).with_environment(environment);
    let Ok((_, list)) = loader.defaults(name.as_deref(), &[], RunMode::MultiRun) else {
        return Ok(Language::Ours);
    };
    let is_file = folders.iter().any(|folder| folder.join(format!("{ROOT}.yaml")).is_file());
    let is_named = list.iter().any(|entry| entry.config_path == ROOT && !entry.primary);
    Ok(if is_named && !is_file { Language::Optimum } else { Language::Ours })
}

fn places(source: &Source, dialect: Dialect, language: Language) -> Result<Places, Problems> {
    let mut store = match language {
        Language::Ours => ConfigStore::new(),
        Language::Optimum => optimum::store(),
    };
    match source {
        Source::Named { folder, name } => {
            let path = SearchPath::new();
            let path = match folder {
                Some(folder) => path.with_folder("command-line", &absolute(folder)?),
                None => path,
            };
            Ok((path, store, name.clone()))
        }
        Source::File(file) => {
            let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            let folder = file.parent().unwrap_or(Path::new(""));
            let path = SearchPath::new().with_folder("main", &absolute(folder)?);
            let listed = file.extension().is_some_and(|extension| extension == "yaml");
            if let (false, Some(name)) = (listed && file.exists(), &name) {
                // A name of another form is not on Hydra's search path: the file is read by itself.
                let node = Document::load_file_with_dialect(file, dialect)
                    .map_err(|errors: Errors| problems(&errors))?;
                store.store("", name, node, None, "main");
            }
            Ok((path, store, name))
        }
    }
}

fn absolute(folder: &Path) -> Result<PathBuf, Problems> {
    // An empty path is the present folder, which `absolute` refuses to name.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    std::path::absolute(folder).map_err(|cause| {
        Problem::new(folder.display().to_string(), format!("cannot be named: {cause}")).into()
    })
}
