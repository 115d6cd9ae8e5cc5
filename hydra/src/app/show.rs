//! `--cfg`: the configuration as text.

use super::Failure;
use super::args::Show;
use super::session::Session;
use crate::dump::to_yaml;
use crate::loader::{Composed, RunMode};
use crate::scalar::python_str;
use crate::value::{Node, Value};

/// The configuration that `--cfg` shows: without `hydra`, only `hydra` without its helps, or all.
pub(super) fn shown(composed: &Composed, show: Show) -> Node {
    match show {
        Show::Job => composed.job(),
        Show::All => composed.config.clone(),
        Show::Hydra => {
            let mut node = composed.config.clone();
            if let Some(map) = node.as_map_mut() {
                let others: Vec<_> =
                    map.text_keys().filter(|key| *key != "hydra").map(str::to_owned).collect();
                for key in others {
                    map.remove(&key);
                }
            }
            if let Some(hydra) = node.child_mut("hydra").and_then(Node::as_map_mut) {
                hydra.remove("hydra_help");
                hydra.remove("help");
            }
            node
        }
    }
}

impl Session<'_> {
    /// What `--cfg` prints: the configuration, or the part of it at a package.
    ///
    /// # Errors
    /// A configuration that does not compose, a package that it does not have, and interpolations
    /// that fail where they have to be resolved.
    pub fn show(
        &self,
        show: Show,
        package: Option<&str>,
        resolve: bool,
    ) -> Result<String, Failure> {
        let composed = self.compose(RunMode::Run)?;
        let hydra = &composed.config;
        let node = shown(&composed, show);
        let Some(package) = package.filter(|package| *package != "_global_") else {
            let node = if resolve {
                self.context.resolve(self.environment(), &node, hydra)?
            } else {
                node
            };
            return Ok(to_yaml(&node));
        };
        let interpolator = self.context.interpolator(self.environment(), hydra);
        let part = match node.at(package) {
            Some(part) if part.value.is_container() => Some(part.clone()),
            _ => interpolator.resolve_at(&node, package)?,
        };
        match part {
            Some(part) if part.value.is_container() => {
                let part = if resolve {
                    let resolved =
                        self.context.resolve_part(self.environment(), &node, hydra, package)?;
                    resolved.unwrap_or(part)
                } else {
                    part
                };
                Ok(format!("# @package {package}\n{}", to_yaml(&part)))
            }
            Some(Node { value: Value::Null | Value::Missing, .. }) | None => {
                let keys = node.as_map().into_iter().flat_map(crate::Map::text_keys);
                let near = crate::nearest(package, keys);
                let near = near
                    .map_or_else(String::new, |near| format!("\n  hint: did you mean `{near}`?"));
                Err(Failure::new(format!("package '{package}' not found in config{near}")))
            }
            Some(part) => Ok(format!("{}\n", python_str(&part.value))),
        }
    }
}
