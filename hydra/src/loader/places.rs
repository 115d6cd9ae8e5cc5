//! Where configurations are looked for: the search path, and what `hydra.searchpath` adds to it.

use super::Loader;
use crate::error::{Error, ErrorKind, Errors};
use crate::overrides::{Action, Override};
use crate::repository::{Repository, SearchPath};
use crate::scalar::python_str;
use crate::source::Origin;
use crate::value::{Node, Value};
use crate::warning::Warning;

impl Loader<'_> {
    /// The repository with the places that `hydra.searchpath` adds.
    pub(super) fn open(
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
            let interpolator = self.interpolator();
            found = interpolator
                .resolve_at(&primary.node, "hydra.searchpath")?
                .map(|node| ("hydra.searchpath in main", node));
        }
        let told = overrides.iter().find(|change| {
            change.action == Action::Change
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
