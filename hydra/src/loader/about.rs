//! What `hydra` tells about the composition itself: overrides, choices, versions, places, names.

use std::path::{Path, PathBuf};

use super::{Loader, is_hydras, key};
use crate::compose::Choices;
use crate::error::{Error, ErrorKind, Errors};
use crate::hydra_conf::{HYDRA_VERSION, VERSION_BASE};
use crate::overrides::Override;
use crate::repository::Repository;
use crate::scalar::python_str;
use crate::value::{Map, Node, Value};

impl Loader<'_> {
    /// Fills in what Hydra says about the run: overrides, choices, versions, places, names.
    pub(super) fn describe(
        &self,
        config: &mut Node,
        about: &Description<'_>,
    ) -> Result<(), Errors> {
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

/// What `hydra` tells about a composition.
pub(super) struct Description<'d> {
    pub(super) overrides: &'d [Override],
    pub(super) choices: &'d Choices,
    pub(super) repository: &'d Repository<'d>,
    pub(super) config_name: Option<&'d str>,
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
