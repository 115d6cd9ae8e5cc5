//! Hydra's own configurations: `hydra/config` and the groups below `hydra/`.
//!
//! They are data, read once, and part of every composed configuration under the key `hydra`.

mod schema;

use std::sync::LazyLock;

use crate::error::{Error, ErrorKind};
use crate::source::Origin;
use crate::value::{Map, Node, Value};
use crate::yaml::Document;

/// The version of Hydra that is followed, as `hydra.runtime.version` shows it.
pub const HYDRA_VERSION: &str = "1.3.8";

/// The same without its last part, as `hydra.runtime.version_base` shows it.
pub(crate) const VERSION_BASE: &str = "1.3";

/// The files of the package `hydra.conf`: path with extension -> content.
static FILES: LazyLock<Map> = LazyLock::new(|| {
    // The text is part of the program; a test reads it.
    let tree = Document::from_str(include_str!("hydra_conf.yaml"), "pkg://hydra.conf");
    match tree.map(|node| node.value) {
        Ok(Value::Map(files)) => files,
        _ => Map::new(),
    }
});

/// What Hydra keeps in its store: path with extension -> schema.
static STORED: LazyLock<Map> = LazyLock::new(schema::stored);

/// A file of the package `hydra.conf`, by its path with extension.
pub(crate) fn file(path: &str) -> Option<&'static Node> {
    FILES.get(path)
}

/// A configuration of Hydra's store, by its path with extension.
pub(crate) fn stored(path: &str) -> Option<Node> {
    STORED.get(path).cloned()
}

/// A file of the package with the package of its header.
pub(crate) fn load(path: &str) -> Result<(Node, Option<String>), Error> {
    let node = file(path).cloned().ok_or_else(|| {
        Error::new(ErrorKind::Read(format!("Config not found : {path}")), Origin::memory())
    })?;
    let package = (path == "hydra/output/default.yaml").then(|| "hydra".to_owned());
    Ok((node, package))
}

pub(crate) fn is_group(path: &str) -> bool {
    is_group_of(&FILES, path)
}

pub(crate) fn is_stored_group(path: &str) -> bool {
    is_group_of(&STORED, path)
}

pub(crate) fn list(group: &str) -> Vec<String> {
    list_of(&FILES, group)
}

pub(crate) fn list_stored(group: &str) -> Vec<String> {
    list_of(&STORED, group)
}

fn is_group_of(files: &'static Map, path: &str) -> bool {
    path.is_empty() || below(files, path).next().is_some()
}

/// The paths below a group, without the group.
fn below(files: &'static Map, group: &str) -> impl Iterator<Item = &'static str> {
    files.text_keys().filter_map(move |path| {
        if group.is_empty() { Some(path) } else { path.strip_prefix(group)?.strip_prefix('/') }
    })
}

fn list_of(files: &'static Map, group: &str) -> Vec<String> {
    let mut names: Vec<String> = below(files, group)
        .map(|path| path.split_once('/').map_or(path, |(group, _)| group).to_owned())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_read() {
        assert_eq!(FILES.len(), 12);
        assert_eq!(STORED.len(), 3);
        assert!(stored("hydra/config.yaml").unwrap().at("job.config.override_dirname").is_some());
    }

    #[test]
    fn groups_and_their_members_are_known() {
        assert!(is_group("hydra") && is_group("hydra/env") && !is_group("hydra/config"));
        assert_eq!(list("hydra/hydra_logging").len(), 4);
        assert_eq!(list_stored("hydra"), ["config.yaml", "launcher", "sweeper"]);
        assert_eq!(list(""), ["hydra"]);
    }
}
