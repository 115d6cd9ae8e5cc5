//! Interpolations within a run: Hydra's own resolvers beside OmegaConf's, and one time for all jobs.

use std::path::{Component, Path, PathBuf};

use crate::Dialect;
use crate::env::Environment;
use crate::error::{Error, ErrorKind, Errors};
use crate::interpolation::Interpolator;
use crate::moment::Moment;
use crate::scalar::python_str;
use crate::source::Origin;
use crate::value::{Key, KeyKind, Map, Node, Value};

/// The variables of the environment with some set on top.
pub(super) struct Overlay<'e> {
    pub(super) below: &'e dyn Environment,
    pub(super) set: &'e [(String, String)],
}

impl Environment for Overlay<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let set = self.set.iter().rev().find(|(there, _)| there == name);
        set.map(|(_, value)| value.clone()).or_else(|| self.below.get(name))
    }
}

/// What interpolations of a run need beside the configuration.
#[derive(Debug, Clone)]
pub(super) struct Context {
    pub(super) moment: Moment,
    pub(super) dialect: Dialect,
}

impl Context {
    /// Resolvers for a configuration; `hydra` has the key that `${hydra:...}` looks below.
    pub(super) fn interpolator<'e>(
        &self,
        environment: &'e dyn Environment,
        hydra: &'e Node,
    ) -> Interpolator<'e> {
        Interpolator::new(environment)
            .with_dialect(self.dialect)
            .with_moment(self.moment.clone())
            .with_hydra(hydra)
    }

    /// The value at a path of a configuration as Python's `str` writes it.
    ///
    /// # Errors
    /// An interpolation that fails; a value that is not there or not set.
    pub(super) fn text_at(
        &self,
        environment: &dyn Environment,
        config: &Node,
        path: &str,
    ) -> Result<String, Errors> {
        match self.value_at(environment, config, path)? {
            Some(Value::Missing) | None => {
                let origin = config.span_of(path).cloned().unwrap_or_else(Origin::memory);
                Err(Error::new(ErrorKind::MissingValue, origin).with_path(path).into())
            }
            Some(value) => Ok(python_str(&value)),
        }
    }

    /// The value at a path of a configuration.
    ///
    /// # Errors
    /// An interpolation that fails.
    pub(super) fn value_at(
        &self,
        environment: &dyn Environment,
        config: &Node,
        path: &str,
    ) -> Result<Option<Value>, Errors> {
        let interpolator = self.interpolator(environment, config);
        Ok(interpolator.resolve_at(config, path)?.map(|node| node.value))
    }

    /// Everything resolved; what refers to a value that is not set is not set either.
    ///
    /// # Errors
    /// All interpolations that fail for another reason.
    pub(super) fn resolve(
        &self,
        environment: &dyn Environment,
        config: &Node,
        hydra: &Node,
    ) -> Result<Node, Errors> {
        let interpolator = self.interpolator(environment, hydra);
        tolerant(config, |config| interpolator.resolve(config))
    }

    /// The same for the part at a path; the rest is not looked at.
    ///
    /// # Errors
    /// As [`Context::resolve`].
    pub(super) fn resolve_part(
        &self,
        environment: &dyn Environment,
        config: &Node,
        hydra: &Node,
        path: &str,
    ) -> Result<Option<Node>, Errors> {
        let interpolator = self.interpolator(environment, hydra);
        tolerant(config, |config| interpolator.resolve_at(config, path))
    }
}

/// Resolves; where references to values that are not set are in the way, makes them `???`.
fn tolerant<T>(config: &Node, resolve: impl Fn(&Node) -> Result<T, Errors>) -> Result<T, Errors> {
    let errors = match resolve(config) {
        Ok(resolved) => return Ok(resolved),
        Err(errors) => errors,
    };
    let mut config = config.clone();
    for error in &errors {
        let unset = matches!(error.kind(), ErrorKind::InterpolationToMissing(_));
        let node = error.path().filter(|_| unset).and_then(|path| config.at_mut(path));
        match node {
            Some(node) => node.value = Value::Missing,
            None => return Err(errors),
        }
    }
    resolve(&config)
}

/// A mapping of one key.
pub(super) fn under(key: &str, node: Node) -> Node {
    let key = Key::new(KeyKind::Str(key.to_owned()), Origin::memory());
    Node::in_memory(Value::Map(Map::from_iter([(key, node)])))
}

/// Python's `os.path.abspath`: `..` and `.` are taken out without looking at the disk.
pub(super) fn absolute(cwd: &Path, path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in cwd.join(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_made_absolute_without_the_disk() {
        let absolute = |path: &str| absolute(Path::new("/a/b"), Path::new(path));
        assert_eq!(absolute("c/./d"), Path::new("/a/b/c/d"));
        assert_eq!(absolute("../../../x"), Path::new("/x"));
        assert_eq!(absolute("/y/../z"), Path::new("/z"));
        assert_eq!(absolute("."), Path::new("/a/b"));
    }
}
