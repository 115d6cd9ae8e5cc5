//! The tree of defaults, flattened: which files are merged, in which order, and where to.

use std::collections::HashSet;

use super::item::Item;
use super::tree::DefaultsTree;
use crate::error::{Error, ErrorKind};
use crate::source::Origin;

/// One file of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultsEntry {
    /// Its path below the search path, without extension.
    pub config_path: String,
    /// The dotted path that its content goes to; empty for the root.
    pub package: String,
    /// The file that names it.
    pub parent: Option<String>,
    /// Whether this is where the content of a file with a defaults list goes (`_self_`).
    pub is_self: bool,
    /// Whether this is the configuration that was asked for.
    pub primary: bool,
    /// What an override of this choice is called, if this is a choice of a group.
    pub override_key: Option<String>,
    /// The entry of the defaults list, or the override, that names it.
    pub origin: Origin,
}

/// The files of a configuration in the order in which they are merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultsList(pub(crate) Vec<DefaultsEntry>);

impl DefaultsList {
    /// The entries, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, DefaultsEntry> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a DefaultsList {
    type Item = &'a DefaultsEntry;
    type IntoIter = std::slice::Iter<'a, DefaultsEntry>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// Leaves in their order.
///
/// # Errors
/// A group that comes twice with the same option.
pub(crate) fn flatten(tree: &DefaultsTree) -> Result<DefaultsList, Error> {
    let mut entries = Vec::new();
    collect(tree, &[], &mut entries);
    let mut keys = HashSet::new();
    for entry in entries.iter().filter(|entry| !entry.is_self) {
        if let Some(key) = &entry.override_key
            && !keys.insert(key.as_str())
        {
            let message = format!("{key} appears more than once in the final defaults list");
            return Err(Error::new(ErrorKind::Composition(message), entry.origin.clone()));
        }
    }
    Ok(DefaultsList(entries))
}

/// `above` are the items on the way down, outermost first; the root of the tree is none.
fn collect(tree: &DefaultsTree, above: &[&Item], entries: &mut Vec<DefaultsEntry>) {
    if tree.children.is_empty() {
        if let Some(item) = &tree.item {
            entries.extend(entry(item, above));
        }
        return;
    }
    let mut path = above.to_vec();
    path.extend(tree.item.as_ref());
    for child in &tree.children {
        collect(child, &path, entries);
    }
}

/// No option, an option that is still to be given, and what was dropped, add nothing.
fn entry(item: &Item, above: &[&Item]) -> Option<DefaultsEntry> {
    if item.dropped || item.is_mandatory() {
        return None;
    }
    item.name()?;
    let parent_of = |above: &[&Item]| match above.last() {
        Some(item) => item.config_path(),
        None => super::tree::ROOT.to_owned(),
    };
    if item.is_self() {
        let (file, above) = above.split_last()?;
        return kept(DefaultsEntry {
            config_path: file.config_path(),
            package: file.final_package(),
            parent: Some(parent_of(above)),
            is_self: true,
            primary: file.primary,
            override_key: None,
            origin: file.origin.clone(),
        });
    }
    kept(DefaultsEntry {
        config_path: item.config_path(),
        package: item.final_package(),
        parent: Some(parent_of(above)),
        is_self: false,
        primary: item.primary,
        override_key: item.is_group().then(|| item.override_key()),
        origin: item.origin.clone(),
    })
}

fn kept(entry: DefaultsEntry) -> Option<DefaultsEntry> {
    (entry.config_path != super::tree::NO_CONFIG).then_some(entry)
}
