//! The files of a configuration, each at its package, one over the other.

use super::{Loader, key};
use crate::compose::{DefaultsEntry, DefaultsList};
use crate::error::{Error, ErrorKind, Errors};
use crate::interpolation::Interpolator;
use crate::merge::{Strictness, merge_with};
use crate::repository::Repository;
use crate::value::{Key, KeyKind, Map, Node, Value};
use crate::warning::Warning;

impl Loader<'_> {
    /// All files, each at its package, one over the other.
    pub(super) fn merge_files(
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
    pub(super) fn interpolator(&self) -> Interpolator<'_> {
        Interpolator::new(self.environment).with_dialect(self.dialect)
    }
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
