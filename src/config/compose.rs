//! From a named config and changes to one composed tree.
//!
//! Which language a config is written in is told by what it is, unless the caller says so:
//!
//! | config | `${NAME:-default}` | a change to a key that no file holds |
//! |---|---|---|
//! | ours, by its path | yes | as our types know the key |
//! | ours, by folder and name | yes | needs `+`, as in Hydra |
//! | any, read strictly | no | needs `+`, as in Hydra |

use std::path::{Path, PathBuf};

use hydra_compose::{
    Composed, ConfigStore, Dialect, Document, Errors, Interpolator, Loader, RunMode, SearchPath,
    Strictness,
};

use super::Environment;
use super::load::{LoadedConfig, problems};
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

/// Composes one config, again and again: a sweep does it for each of its cells.
pub struct Composer<'e> {
    loader: Loader<'e>,
    name: Option<String>,
    dialect: Dialect,
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
        // Our configs know `${NAME:-default}` as well: the proof of concept's documents promised it.
        let dialect = Dialect { shell_defaults: reading == Reading::Auto };
        let (search_path, store, name) = places(source, dialect)?;
        // Whether a key may be changed is decided by our types, which know more keys than the file
        // holds and which of them was meant; whoever asks Hydra's way gets Hydra's rule.
        let strictness = match (source, reading) {
            (Source::File(_), Reading::Auto) => Strictness::Open,
            _ => Strictness::Struct,
        };
        let loader = Loader::new(search_path, store)
            .with_environment(environment)
            .with_dialect(dialect)
            .with_strictness(strictness)
            .with_job_name("ai-energy-benchmark");
        Ok(Self { loader, name, dialect, environment })
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
        LoadedConfig::new(composed, &self.interpolator(self.environment), overrides, self.name())
    }
}

type Places = (SearchPath, ConfigStore, Option<String>);

fn places(source: &Source, dialect: Dialect) -> Result<Places, Problems> {
    let mut store = ConfigStore::new();
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
