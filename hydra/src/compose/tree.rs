//! The tree of defaults: every file with the files that its defaults list names.
//!
//! A list is walked from its end to its start, because of that the choices of later items are known
//! to the interpolations of earlier ones, and the order of `hydra.runtime.choices` follows from it.

use super::choices::Choices;
use super::item::Item;
use crate::env::Environment;
use crate::error::{Error, ErrorKind, Errors};
use crate::interpolation::Interpolator;
use crate::repository::{Loaded, Repository};
use crate::source::Origin;
use crate::value::{Key, KeyKind, Map, Node, Value};
use crate::warning::Warning;

/// The name of the root, above Hydra's own configuration and the primary one.
pub(crate) const ROOT: &str = "<root>";

/// What stands for the primary configuration where none was asked for.
pub(crate) const NO_CONFIG: &str = "_dummy_empty_config_";

/// Deepest nesting of defaults lists.
const MAX_DEPTH: usize = 100;

/// Most items of all defaults lists together.
const MAX_ITEMS: usize = 10_000;

/// A file and the files that its defaults list names.
#[derive(Debug, Clone)]
pub struct DefaultsTree {
    /// None for the root.
    pub(crate) item: Option<Item>,
    pub(crate) children: Vec<DefaultsTree>,
}

impl DefaultsTree {
    fn leaf(item: Item) -> Self {
        Self { item: Some(item), children: Vec::new() }
    }

    /// The file as Hydra's `--info defaults-tree` names it: `config`, `db: mysql`, `_self_`.
    #[must_use]
    pub fn label(&self) -> String {
        match &self.item {
            None => ROOT.to_owned(),
            Some(item) if item.is_group() => {
                format!("{}: {}", item.override_key(), item.name().unwrap_or("null"))
            }
            Some(item) => item.config_path(),
        }
    }

    /// What the defaults list names, in order.
    #[must_use]
    pub fn children(&self) -> &[DefaultsTree] {
        &self.children
    }
}

/// What the growing of a tree needs.
pub(crate) struct Grower<'g> {
    pub(crate) repository: &'g Repository<'g>,
    pub(crate) environment: &'g dyn Environment,
    pub(crate) choices: Choices,
    pub(crate) warnings: Vec<Warning>,
    /// A sweep may give `???` later.
    pub(crate) skip_missing: bool,
    items: usize,
}

/// The tree below the root: Hydra's own configuration, then the primary one.
///
/// # Errors
/// The first thing that is wrong with any of the lists.
pub(crate) fn grow(
    repository: &Repository<'_>,
    environment: &dyn Environment,
    config_name: Option<&str>,
    choices: Choices,
    skip_missing: bool,
) -> Result<(DefaultsTree, Choices, Vec<Warning>), Errors> {
    let mut grower =
        Grower { repository, environment, choices, warnings: Vec::new(), skip_missing, items: 0 };
    let mut primary = Item::config(config_name.unwrap_or(NO_CONFIG), Origin::memory());
    primary.primary = true;
    let hydra = Item::config("hydra/config", Origin::memory());
    // The primary one is walked first, so that its overrides go before Hydra's own choices.
    let primary = grower.tree(primary, &[], false)?;
    let hydra = grower.tree(hydra, &[], false)?;
    let tree = DefaultsTree { item: None, children: vec![hydra, primary] };
    Ok((tree, grower.choices, grower.warnings))
}

impl Grower<'_> {
    /// The tree of one item, whose place is known. `above` are the files on the way to it.
    fn tree(
        &mut self,
        mut item: Item,
        above: &[&Item],
        interpolated: bool,
    ) -> Result<DefaultsTree, Errors> {
        self.check_limits(&item, above)?;
        if item.primary && !self.repository.config_exists(&item.config_path()) {
            return Err(self.not_found(&item, above).into());
        }
        let loaded =
            if item.is_mandatory() { None } else { self.repository.load(&item.config_path())? };
        if let Some(package) = loaded.as_ref().and_then(|loaded| loaded.package.as_deref()) {
            item.set_header(package);
        }
        if self.choices.delete(&item) {
            item.dropped = true;
            return Ok(DefaultsTree::leaf(item));
        }
        self.choices.learn(&item)?;
        if item.name().is_none() || self.is_open(&item)? {
            return Ok(DefaultsTree::leaf(item));
        }
        let Some(loaded) = loaded else {
            if item.optional {
                item.dropped = true;
                return Ok(DefaultsTree::leaf(item));
            }
            return Err(self.not_found(&item, above).into());
        };
        let children = self.children(&item, &loaded, above, interpolated)?;
        Ok(DefaultsTree { item: Some(item), children })
    }

    fn check_limits(&mut self, item: &Item, above: &[&Item]) -> Result<(), Error> {
        self.items += 1;
        let message = if above.len() >= MAX_DEPTH {
            let path: Vec<_> = above.iter().take(4).map(|item| item.config_path()).collect();
            format!("defaults lists nest without end: {} -> ...", path.join(" -> "))
        } else if self.items > MAX_ITEMS {
            format!("the defaults lists have more than {MAX_ITEMS} entries")
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Limit(message), item.origin.clone()).with_path("defaults"))
    }

    /// Whether the option is still to be given, and may be.
    fn is_open(&self, item: &Item) -> Result<bool, Error> {
        let path = item.config_path();
        if !path.ends_with("???") {
            return Ok(false);
        }
        if self.skip_missing {
            return Ok(true);
        }
        if !item.is_group() {
            let message = format!("Missing ConfigDefault is not supported : {path}");
            return Err(Error::new(ErrorKind::value_error(message), item.origin.clone()));
        }
        let key = item.override_key();
        let options = self.repository.group_options(&item.group_path());
        let message = format!(
            "You must specify '{key}', e.g, {key}=<OPTION>\nAvailable options:\n{}",
            tabbed(&options)
        );
        Err(Error::new(ErrorKind::Composition(message), item.origin.clone()))
    }

    fn children(
        &mut self,
        file: &Item,
        loaded: &Loaded,
        above: &[&Item],
        interpolated: bool,
    ) -> Result<Vec<DefaultsTree>, Errors> {
        let mut items = loaded.defaults.clone();
        let appended = file.primary && !self.choices.appended.is_empty();
        let mut self_added = false;
        if !items.is_empty() || appended {
            self_added = self.ensure_self(file, loaded, &mut items)?;
        }
        if file.primary {
            items.extend(self.choices.appended.iter().cloned());
        }
        self.register_overrides(file, &mut items, interpolated)?;
        let mut path = above.to_vec();
        path.push(file);
        // Later items first; the interpolations among them wait until all others are known.
        let mut children = Vec::new();
        let written = items.clone();
        for item in items.into_iter().rev().filter(|item| item.is_self() || !item.is_override) {
            self.child(item, &path, interpolated, &mut children)?;
        }
        self.follow_interpolations(&written, self_added, &path, &mut children)?;
        children.reverse();
        Ok(children)
    }

    /// One `_self_`; where the list has none, it goes to the end, and the file's own values win.
    /// Whether it was added.
    fn ensure_self(
        &mut self,
        file: &Item,
        loaded: &Loaded,
        items: &mut Vec<Item>,
    ) -> Result<bool, Error> {
        let mut selves = items.iter().filter(|item| item.is_self());
        let has_self = selves.next().is_some();
        if let Some(again) = selves.next() {
            let message = format!("Duplicate _self_ defined in {}", file.config_path());
            return Err(Error::new(ErrorKind::Composition(message), again.origin.clone()));
        }
        let has_others = items.iter().any(|item| !item.is_override);
        if (!has_self && has_others) || items.is_empty() {
            if file.primary && has_others && has_content(&loaded.node) {
                let origin = items.first().map_or_else(Origin::memory, |i| i.origin.clone());
                self.warnings.push(Warning::missing_self(&file.config_path(), origin));
            }
            items.push(Item::config("_self_", loaded.node.origin.clone()));
        }
        Ok(!has_self)
    }

    /// Keeps the `override` items, which must come last.
    fn register_overrides(
        &mut self,
        file: &Item,
        items: &mut [Item],
        interpolated: bool,
    ) -> Result<(), Error> {
        let (group, package) = (file.group_path(), file.final_package());
        let mut last_override: Option<(String, String)> = None;
        for item in items.iter_mut().filter(|item| !item.is_self()) {
            item.place_below(&group, &package);
            if !item.is_override {
                if let (Some((key, option)), false) = (&last_override, item.appended) {
                    return Err(override_too_early(file, item, key, option));
                }
                continue;
            }
            let key = item.override_key();
            if interpolated {
                let message = format!(
                    "{}: Default List Overrides are not allowed in the subtree\nof an in \
                     interpolated config group (override {key}={}).\n",
                    file.config_path(),
                    shown_name(item)
                );
                return Err(Error::new(ErrorKind::Composition(message), item.origin.clone()));
            }
            self.choices.add_override(&file.config_path(), item);
            last_override = Some((key, shown_name(item)));
        }
        Ok(())
    }

    fn child(
        &mut self,
        mut item: Item,
        path: &[&Item],
        interpolated: bool,
        children: &mut Vec<DefaultsTree>,
    ) -> Result<(), Errors> {
        let Some(file) = path.last() else { return Ok(()) };
        if item.is_self() {
            item.place_beside(file);
            children.push(DefaultsTree::leaf(item));
            return Ok(());
        }
        self.choices.apply(&mut item);
        if let (Some(options), super::item::Target::Group { group, .. }) =
            (item.options(), &item.target)
        {
            for option in options.iter().rev() {
                if option.contains("${") {
                    let message = format!(
                        "In '{}': Defaults List interpolation is not supported in options list items",
                        file.config_path()
                    );
                    let kind = ErrorKind::Composition(message);
                    return Err(Error::new(kind, item.origin.clone()).into());
                }
                let mut one = Item::config(format!("{group}/{option}"), item.origin.clone())
                    .with_package(item.package.clone());
                one.optional = item.optional;
                one.place_below(&file.group_path(), &file.final_package());
                children.push(self.tree(one, path, interpolated)?);
            }
            return Ok(());
        }
        if item.interpolation().is_some() {
            children.push(DefaultsTree::leaf(item));
            return Ok(());
        }
        children.push(self.tree(item, path, interpolated)?);
        Ok(())
    }

    /// Resolves the interpolated items, now that all other choices are known.
    fn follow_interpolations(
        &mut self,
        written: &[Item],
        self_added: bool,
        path: &[&Item],
        children: &mut [DefaultsTree],
    ) -> Result<(), Errors> {
        let Some(file) = path.last() else { return Ok(()) };
        let mut known = None;
        for child in children.iter_mut().filter(|child| child.children.is_empty()) {
            let Some(mut item) = child.item.clone() else { continue };
            let Some(text) = item.interpolation().filter(|_| !item.is_self()) else { continue };
            let known =
                known.get_or_insert_with(|| known_choices(&self.choices, written, self_added));
            check_interpolation_form(&item, &text)?;
            let value = self.interpolate(known, &text, &item)?;
            item.set_interpolated(value);
            item.place_below(&file.group_path(), &file.final_package());
            *child = self.tree(item, path, true)?;
        }
        Ok(())
    }

    /// The value of an interpolation among the choices that are known.
    fn interpolate(&self, known: &Node, text: &str, item: &Item) -> Result<String, Error> {
        let mut root = known.clone();
        if let Some(map) = root.as_map_mut() {
            map.insert(key("_dummy_"), Node::new(Value::from_text(text), item.origin.clone()));
        }
        let found = Interpolator::new(self.environment).resolve_at(&root, "_dummy_");
        match found.map(|node| node.map(|node| node.value)) {
            Ok(Some(Value::Str(value))) => Ok(value),
            Ok(other) => {
                let kind = other.as_ref().map_or("nothing", Value::describe_kind);
                let message = format!("'{text}' in a defaults list gives {kind} instead of a name");
                Err(Error::new(ErrorKind::assertion(message), item.origin.clone()))
            }
            Err(_) => {
                let mut message = format!("Error resolving interpolation '{text}'");
                let keys: Vec<_> = self.choices.known.keys().map(String::as_str).collect();
                if !keys.is_empty() {
                    message =
                        format!("{message}, possible interpolation keys: {}", keys.join(", "));
                }
                Err(Error::new(ErrorKind::Composition(message), item.origin.clone()))
            }
        }
    }

    fn not_found(&self, item: &Item, above: &[&Item]) -> Error {
        let path = item.config_path();
        let mut options = Vec::new();
        let mut message = if item.primary {
            format!(
                "Cannot find primary config '{path}'. Check that it's in your config search path.\n"
            )
        } else if item.is_group() {
            let group = item.group_path();
            options = self.repository.group_options(&group);
            let mut message = format!("Could not find '{path}'\n");
            if !options.is_empty() {
                message
                    .push_str(&format!("\nAvailable options in '{group}':\n{}", tabbed(&options)));
            }
            message
        } else {
            format!("Could not load '{path}'.\n")
        };
        if !item.primary {
            let parent = above.last().map_or_else(|| ROOT.to_owned(), |file| file.config_path());
            message = format!("In '{parent}': {message}");
        }
        let sources: Vec<_> = self.repository.sources().map(ToString::to_string).collect();
        message.push_str(&format!("\nConfig search path:\n{}", tabbed(&sources)));
        let error = Error::new(ErrorKind::MissingConfig(message), item.origin.clone());
        error.with_nearest(item.name().unwrap_or_default(), options.iter().map(String::as_str))
    }
}

/// The choices as a tree that interpolations can look into.
fn known_choices(choices: &Choices, written: &[Item], self_added: bool) -> Node {
    let text = |name: &str| Node::in_memory(Value::from_text(name));
    let mut map: Map = choices
        .known
        .iter()
        .map(|(name, option)| {
            let option = option.as_deref().map_or_else(|| Node::in_memory(Value::Null), text);
            (key(name), option)
        })
        .collect();
    let items = written.iter().filter(|item| !(self_added && item.is_self()));
    let items = items.map(|item| {
        if !item.is_group() {
            return text(&item.config_path());
        }
        let option = item.name().map_or_else(|| Node::in_memory(Value::Null), text);
        Node::in_memory(Value::Map(Map::from_iter([(key(&item.override_key()), option)])))
    });
    map.insert(key("defaults"), Node::in_memory(Value::List(items.collect())));
    Node::in_memory(Value::Map(map))
}

fn key(name: &str) -> Key {
    Key::new(KeyKind::Str(name.to_owned()), Origin::memory())
}

/// `${defaults.0.group}` is how the versions before 1.1 wrote it.
fn check_interpolation_form(item: &Item, text: &str) -> Result<(), Error> {
    let old = item.is_group()
        && text.strip_prefix("${defaults.").is_some_and(|rest| {
            let mut rest = rest.chars();
            rest.next().is_some_and(|c| c.is_ascii_digit()) && rest.next() == Some('.')
        });
    if !old {
        return Ok(());
    }
    let message = format!(
        "\nDefaults list element '{}={text}' is using a deprecated interpolation form.\nSee \
         http://hydra.cc/docs/1.1/upgrades/1.0_to_1.1/defaults_list_interpolation for migration \
         information.",
        item.override_key()
    );
    Err(Error::new(ErrorKind::Composition(message), item.origin.clone()))
}

fn override_too_early(file: &Item, item: &Item, key: &str, option: &str) -> Error {
    let message = format!(
        "In {}: Override '{key} : {option}' is defined before '{}: {}'.\nOverrides must be at the \
         end of the defaults list",
        file.config_path(),
        item.override_key(),
        shown_name(item)
    );
    let kind = if item.options().is_some() || option.starts_with('[') {
        // Hydra cannot name a list of options here.
        ErrorKind::assertion(message)
    } else {
        ErrorKind::Composition(message)
    };
    Error::new(kind, item.origin.clone())
}

fn shown_name(item: &Item) -> String {
    match item.options() {
        Some(options) => format!("[{}]", options.join(", ")),
        None => item.name().unwrap_or("None").to_owned(),
    }
}

/// Whether a file has values of its own besides its defaults list.
fn has_content(node: &Node) -> bool {
    node.as_map().is_some_and(|map| map.iter().any(|(_, n)| !matches!(n.value, Value::Missing)))
}

fn tabbed(lines: &[String]) -> String {
    let lines: Vec<_> = lines.iter().map(|line| format!("\t{line}")).collect();
    lines.join("\n")
}
