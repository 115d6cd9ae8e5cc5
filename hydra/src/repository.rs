//! Where configurations come from: folders, Hydra's own ones, and what the program stores.
//!
//! A configuration is looked for in every place of the search path, in order; the first one that
//! has it wins. Only files that end in `.yaml` count.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::Dialect;
use crate::compose::{Item, header_package, take_defaults};
use crate::error::{Error, ErrorKind, Errors};
use crate::hydra_conf;
use crate::source::Origin;
use crate::value::Node;
use crate::yaml::Document;

/// The provider of the configurations that the program stores.
pub(crate) const SCHEMA: &str = "schema";

/// One place of the search path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchPathEntry {
    /// Who named it: `hydra`, `main`, `command-line`, `schema` and so on.
    pub provider: String,
    /// A folder, with `file://` before it or not, `pkg://hydra.conf` or `structured://`.
    pub path: String,
}

/// The places where configurations are looked for, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SearchPath(Vec<SearchPathEntry>);

impl SearchPath {
    /// Hydra's own configurations, and nothing else yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default().with("hydra", "pkg://hydra.conf")
    }

    /// With one more place at the end.
    #[must_use]
    pub fn with(mut self, provider: impl Into<String>, path: impl Into<String>) -> Self {
        self.push(provider, path);
        self
    }

    /// With a folder at the end.
    #[must_use]
    pub fn with_folder(self, provider: impl Into<String>, folder: &Path) -> Self {
        self.with(provider, folder.to_string_lossy())
    }

    /// Adds a place at the end.
    pub fn push(&mut self, provider: impl Into<String>, path: impl Into<String>) {
        self.0.push(SearchPathEntry { provider: provider.into(), path: path.into() });
    }

    /// The places, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, SearchPathEntry> {
        self.0.iter()
    }

    /// What the program stores comes last.
    pub(crate) fn closed(mut self) -> Self {
        if self.0.last().is_none_or(|entry| entry.provider != SCHEMA) {
            self.push(SCHEMA, "structured://");
        }
        self
    }

    /// With more places just before what the program stores.
    pub(crate) fn with_before_schema(mut self, provider: &str, paths: &[String]) -> Self {
        let schema = self.0.pop();
        for path in paths {
            self.push(provider, path.as_str());
        }
        self.0.extend(schema);
        self
    }
}

impl<'a> IntoIterator for &'a SearchPath {
    type Item = &'a SearchPathEntry;
    type IntoIter = std::slice::Iter<'a, SearchPathEntry>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// A configuration that the program stores.
#[derive(Debug, Clone)]
struct Stored {
    node: Node,
    package: Option<String>,
}

/// Configurations that the program has and no file: schemas and built-in options.
///
/// A file of the same group and name is merged over the one that is stored here.
#[derive(Debug, Clone, Default)]
pub struct ConfigStore {
    configs: BTreeMap<String, Stored>,
    groups: BTreeSet<String>,
}

impl ConfigStore {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps a configuration under a group (`""` for none) and a name, over an earlier one of the
    /// same name. `provider` says who stored it.
    pub fn store(
        &mut self,
        group: &str,
        name: &str,
        node: Node,
        package: Option<&str>,
        _provider: &str,
    ) {
        let group: Vec<_> = group.split('/').filter(|part| !part.is_empty()).collect();
        for end in 1..=group.len() {
            self.groups.insert(group[..end].join("/"));
        }
        let path = group.into_iter().chain([name]).collect::<Vec<_>>().join("/");
        let stored = Stored { node, package: package.map(ToOwned::to_owned) };
        self.configs.insert(with_extension(&path), stored);
    }

    fn get(&self, path: &str) -> Option<&Stored> {
        self.configs.get(&with_extension(&clean(path)))
    }

    fn is_group(&self, path: &str) -> bool {
        let path = clean(path);
        path.is_empty() || self.groups.contains(&path)
    }

    /// The names in a group, with extension where it is a configuration.
    fn list(&self, group: &str) -> Vec<&str> {
        let group = clean(group);
        let inside = |path: &'_ String| -> Option<std::ops::Range<usize>> {
            let start = if group.is_empty() {
                0
            } else {
                path.strip_prefix(&group)?.strip_prefix('/')?;
                group.len() + 1
            };
            (!path[start..].contains('/')).then_some(start..path.len())
        };
        self.configs
            .keys()
            .chain(&self.groups)
            .filter_map(|path| inside(path).map(|range| &path[range]))
            .collect()
    }
}

/// A path without empty parts.
fn clean(path: &str) -> String {
    path.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

pub(crate) fn with_extension(path: &str) -> String {
    if path.ends_with(".yaml") { path.to_owned() } else { format!("{path}.yaml") }
}

/// A place of the search path, opened.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) provider: String,
    pub(crate) kind: PlaceKind,
}

/// What a place is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PlaceKind {
    /// A folder.
    Folder(String),
    /// Hydra's own configurations.
    Hydra,
    /// A Python package that does not exist here.
    Package(String),
    /// What the program stores.
    Store(String),
}

impl Place {
    /// # Errors
    /// The scheme is none of `file`, `pkg` and `structured`.
    fn open(entry: &SearchPathEntry) -> Result<Self, Error> {
        let kind = match entry.path.split_once("://") {
            None => PlaceKind::Folder(entry.path.clone()),
            Some(("file", folder)) => PlaceKind::Folder(folder.to_owned()),
            Some(("structured", module)) => PlaceKind::Store(module.to_owned()),
            Some(("pkg", package)) => {
                let package = package.replace('/', ".").trim_end_matches('.').to_owned();
                if package == "hydra.conf" { PlaceKind::Hydra } else { PlaceKind::Package(package) }
            }
            Some((scheme, _)) => {
                let message = format!(
                    "No config source registered for schema {scheme}, supported types : [file, pkg, structured]"
                );
                return Err(Error::new(ErrorKind::value_error(message), Origin::memory()));
            }
        };
        Ok(Self { provider: entry.provider.clone(), kind })
    }

    pub(crate) fn scheme(&self) -> &'static str {
        match self.kind {
            PlaceKind::Folder(_) => "file",
            PlaceKind::Hydra | PlaceKind::Package(_) => "pkg",
            PlaceKind::Store(_) => "structured",
        }
    }

    /// The path without its scheme.
    pub(crate) fn path(&self) -> &str {
        match &self.kind {
            PlaceKind::Folder(path) | PlaceKind::Package(path) | PlaceKind::Store(path) => path,
            PlaceKind::Hydra => "hydra.conf",
        }
    }

    pub(crate) fn is_available(&self) -> bool {
        match &self.kind {
            PlaceKind::Folder(folder) => Path::new(folder).is_dir(),
            PlaceKind::Hydra | PlaceKind::Store(_) => true,
            PlaceKind::Package(_) => false,
        }
    }

    /// Whether this is where the schemas are that files are matched with.
    fn is_schema(&self) -> bool {
        self.provider == SCHEMA && matches!(self.kind, PlaceKind::Store(_))
    }

    fn is_group(&self, path: &str, store: &ConfigStore) -> bool {
        match &self.kind {
            PlaceKind::Folder(folder) => Path::new(folder).join(path).is_dir(),
            PlaceKind::Hydra => hydra_conf::is_group(&clean(path)),
            PlaceKind::Package(_) => false,
            PlaceKind::Store(_) => {
                store.is_group(path) || hydra_conf::is_stored_group(&clean(path))
            }
        }
    }

    fn is_config(&self, path: &str, store: &ConfigStore) -> bool {
        match &self.kind {
            PlaceKind::Folder(folder) => self::file(folder, path).is_file(),
            PlaceKind::Hydra => hydra_conf::file(&with_extension(&clean(path))).is_some(),
            PlaceKind::Package(_) => false,
            PlaceKind::Store(_) => {
                store.get(path).is_some()
                    || hydra_conf::stored(&with_extension(&clean(path))).is_some()
            }
        }
    }

    /// Everything in a group, files with their extension.
    fn list(&self, group: &str, store: &ConfigStore) -> Vec<String> {
        match &self.kind {
            PlaceKind::Folder(folder) => {
                let entries = std::fs::read_dir(Path::new(folder).join(group));
                let entries = entries.into_iter().flatten().flatten();
                entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
            }
            PlaceKind::Hydra => hydra_conf::list(&clean(group)),
            PlaceKind::Package(_) => Vec::new(),
            PlaceKind::Store(_) => {
                let mut names = hydra_conf::list_stored(&clean(group));
                names.extend(store.list(group).into_iter().map(ToOwned::to_owned));
                names
            }
        }
    }
}

/// `provider=main, path=file:///configs`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "provider={}, path={}://{}", self.provider, self.scheme(), self.path())
    }
}

fn file(folder: &str, path: &str) -> PathBuf {
    Path::new(folder).join(with_extension(path))
}

/// A configuration that was found and read.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    /// Its content, without the defaults list.
    pub(crate) node: Node,
    pub(crate) defaults: Vec<Item>,
    /// The package of its header.
    pub(crate) package: Option<String>,
    /// Whether it is one that the program stores.
    pub(crate) is_schema: bool,
}

/// A search path with what was read from it so far.
pub(crate) struct Repository<'s> {
    places: Vec<Place>,
    store: &'s ConfigStore,
    dialect: Dialect,
    read: RefCell<HashMap<String, Option<Rc<Loaded>>>>,
}

impl<'s> Repository<'s> {
    /// # Errors
    /// All places with an unknown scheme.
    pub(crate) fn open(
        path: &SearchPath,
        store: &'s ConfigStore,
        dialect: Dialect,
    ) -> Result<Self, Errors> {
        let mut repository =
            Self { places: Vec::new(), store, dialect, read: RefCell::new(HashMap::new()) };
        repository.look_in(path)?;
        Ok(repository)
    }

    /// Looks in other places from now on; what was read stays.
    pub(crate) fn look_in(&mut self, path: &SearchPath) -> Result<(), Errors> {
        let (mut places, mut errors) = (Vec::new(), Vec::new());
        for entry in path {
            match Place::open(entry) {
                Ok(place) => places.push(place),
                Err(error) => errors.push(error),
            }
        }
        Errors::check(errors)?;
        self.places = places;
        Ok(())
    }

    pub(crate) fn sources(&self) -> std::slice::Iter<'_, Place> {
        self.places.iter()
    }

    pub(crate) fn config_exists(&self, path: &str) -> bool {
        path == crate::compose::NO_CONFIG
            || self.places.iter().any(|place| place.is_config(path, self.store))
    }

    pub(crate) fn group_exists(&self, path: &str) -> bool {
        self.places.iter().any(|place| place.is_group(path, self.store))
    }

    /// The options of a group, sorted.
    pub(crate) fn group_options(&self, group: &str) -> Vec<String> {
        self.members(
            group,
            |place, path| place.is_config(path, self.store),
            |name| name.rsplit_once('.').map_or(name, |(stem, _)| stem),
        )
    }

    /// The groups within a group, sorted.
    pub(crate) fn groups_in(&self, group: &str) -> Vec<String> {
        self.members(group, |place, path| place.is_group(path, self.store), |name| name)
    }

    fn members(
        &self,
        group: &str,
        is_member: impl Fn(&Place, &str) -> bool,
        shown: impl Fn(&str) -> &str,
    ) -> Vec<String> {
        let mut names = BTreeSet::new();
        for place in self.places.iter().filter(|place| place.is_group(group, self.store)) {
            for name in place.list(group, self.store) {
                let path = if group.is_empty() { name.clone() } else { format!("{group}/{name}") };
                if !["__pycache__", "__init__.py"].contains(&name.as_str())
                    && is_member(place, &path)
                {
                    names.insert(shown(&name).to_owned());
                }
            }
        }
        names.into_iter().collect()
    }

    /// The configuration of a path, read once. `None` if no place has it.
    ///
    /// # Errors
    /// It cannot be read, or is malformed.
    pub(crate) fn load(&self, path: &str) -> Result<Option<Rc<Loaded>>, Errors> {
        if let Some(read) = self.read.borrow().get(path) {
            return Ok(read.clone());
        }
        let place = self.places.iter().find(|place| place.is_config(path, self.store));
        let loaded = match place {
            Some(place) => Some(Rc::new(self.read(place, path)?)),
            None if path == crate::compose::NO_CONFIG => Some(Rc::new(Loaded {
                node: Node::in_memory(crate::Value::Map(crate::Map::new())),
                defaults: Vec::new(),
                package: None,
                is_schema: true,
            })),
            None => None,
        };
        self.read.borrow_mut().insert(path.to_owned(), loaded.clone());
        Ok(loaded)
    }

    fn read(&self, place: &Place, path: &str) -> Result<Loaded, Errors> {
        let (mut node, package) = match &place.kind {
            PlaceKind::Folder(folder) => {
                let file = file(folder, path);
                let text = read_text(&file)?;
                let node = Document::with_dialect(&text, &file.to_string_lossy(), self.dialect)?;
                let package = header_package(&text, &node)?;
                (node, package)
            }
            PlaceKind::Hydra | PlaceKind::Package(_) => {
                hydra_conf::load(&with_extension(&clean(path)))?
            }
            PlaceKind::Store(_) => self.stored(path).ok_or_else(|| {
                let message = format!("Structured config not found {path}");
                Error::new(ErrorKind::Read(message), Origin::memory())
            })?,
        };
        let defaults = take_defaults(path, &mut node)?;
        Ok(Loaded { node, defaults, package, is_schema: place.is_schema() })
    }

    fn stored(&self, path: &str) -> Option<(Node, Option<String>)> {
        match self.store.get(path) {
            Some(stored) => Some((stored.node.clone(), stored.package.clone())),
            None => hydra_conf::stored(&with_extension(&clean(path))).map(|node| (node, None)),
        }
    }

    /// What the program stores under the same path as a file.
    pub(crate) fn schema(&self, path: &str) -> Option<Node> {
        self.stored(path).map(|(node, _)| node)
    }
}

fn read_text(file: &Path) -> Result<String, Error> {
    std::fs::read_to_string(file).map_err(|error| {
        let origin = Origin::file_without_text(&file.to_string_lossy());
        Error::new(ErrorKind::Read(error.to_string()), origin)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;

    fn store() -> ConfigStore {
        let mut store = ConfigStore::new();
        for (group, name) in [("", "base"), ("db", "mysql"), ("db/engine", "inno.yaml")] {
            store.store(group, name, Node::in_memory(Value::Null), None, "test");
        }
        store
    }

    #[test]
    fn a_stored_config_is_found_with_and_without_extension() {
        let store = store();
        assert!(store.get("db/mysql").is_some() && store.get("db//mysql.yaml").is_some());
        assert!(store.get("db").is_none() && store.get("mysql").is_none());
        assert!(store.is_group("db/engine") && !store.is_group("base"));
        assert_eq!(store.list("db"), ["mysql.yaml", "engine"]);
    }

    #[test]
    fn options_of_all_places_are_sorted_and_named_once() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("db")).unwrap();
        for name in ["pg.yaml", "mysql.yaml", "old.yml", "notes.txt"] {
            std::fs::write(folder.path().join("db").join(name), "a: 1\n").unwrap();
        }
        let store = store();
        let path = SearchPath::new().with_folder("main", folder.path()).closed();
        let repository = Repository::open(&path, &store, Dialect::default()).unwrap();
        assert_eq!(repository.group_options("db"), ["mysql", "pg"]);
        assert_eq!(repository.groups_in("db"), ["engine"]);
        assert!(!repository.config_exists("db/old"));
        assert_eq!(
            repository.group_options("hydra/job_logging"),
            ["default", "disabled", "none", "stdout"]
        );
    }

    #[test]
    fn an_unknown_scheme_is_an_error() {
        let path = SearchPath::new().with("main", "s3://bucket");
        let errors =
            Repository::open(&path, &ConfigStore::new(), Dialect::default()).err().unwrap();
        assert!(errors.first().message().contains("schema s3"), "{errors}");
    }
}
