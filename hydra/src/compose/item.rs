//! One entry of a defaults list.
//!
//! A group path decides where the file is, a package decides where its content goes. Both are
//! relative to the file that holds the list unless they say otherwise (`/group`, `_global_`).

use crate::source::Origin;

/// What an entry names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Target {
    /// `config`, `group/config`, `_self_`.
    Config(String),
    /// `group: option`.
    Group {
        /// The group as it was written.
        group: String,
        /// What is chosen of it.
        option: Choice,
    },
}

/// What is chosen of a group.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Choice {
    /// `null`: nothing.
    Nothing,
    /// One option; `???` where it must still be given.
    One(String),
    /// A list of options, merged in their order.
    Many(Vec<String>),
}

/// One entry of a defaults list, with its place in the tree.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) target: Target,
    /// The package behind `@`.
    pub(crate) package: Option<String>,
    pub(crate) optional: bool,
    pub(crate) is_override: bool,
    /// Added on the command line with `+group=option`.
    pub(crate) appended: bool,
    /// The configuration that was asked for.
    pub(crate) primary: bool,
    /// Deleted on the command line, or optional and absent.
    pub(crate) dropped: bool,
    /// The package of the file's header, absolute.
    header: Option<String>,
    base_group: String,
    base_package: String,
    pub(crate) origin: Origin,
}

const GLOBAL: &str = "_global_";

impl Item {
    pub(crate) fn config(path: impl Into<String>, origin: Origin) -> Self {
        Self::new(Target::Config(path.into()), origin)
    }

    pub(crate) fn group(group: impl Into<String>, option: Choice, origin: Origin) -> Self {
        Self::new(Target::Group { group: group.into(), option }, origin)
    }

    fn new(target: Target, origin: Origin) -> Self {
        Self {
            target,
            package: None,
            optional: false,
            is_override: false,
            appended: false,
            primary: false,
            dropped: false,
            header: None,
            base_group: String::new(),
            base_package: String::new(),
            origin,
        }
    }

    /// With the package behind `@`: `_here_` is the package of the file that holds the list.
    pub(crate) fn with_package(mut self, package: Option<String>) -> Self {
        self.package = package.map(|text| if text == "_here_" { String::new() } else { text });
        self
    }

    /// Puts the item below the file that names it.
    pub(crate) fn place_below(&mut self, base_group: &str, base_package: &str) {
        base_group.clone_into(&mut self.base_group);
        base_package.clone_into(&mut self.base_package);
        if let Some(package) = &self.package
            && package.contains("_group_")
        {
            let package = package.replace("_group_", &self.default_package());
            self.package = Some(format!("{GLOBAL}.{package}"));
        }
    }

    /// Puts the item where another one is.
    pub(crate) fn place_beside(&mut self, other: &Self) {
        let package = other.package_or_header().unwrap_or_default().to_owned();
        self.place_below(&other.base_group, &package);
    }

    /// The package of a header is absolute, with `_global_` or without.
    pub(crate) fn set_header(&mut self, package: &str) {
        let absolute = package == GLOBAL || package.starts_with("_global_.");
        self.header =
            Some(if absolute { package.to_owned() } else { format!("{GLOBAL}.{package}") });
    }

    pub(crate) fn is_self(&self) -> bool {
        match &self.target {
            Target::Config(path) => path == "_self_",
            Target::Group { option, .. } => matches!(option, Choice::One(name) if name == "_self_"),
        }
    }

    /// The group, if this is a choice of one.
    pub(crate) fn is_group(&self) -> bool {
        matches!(self.target, Target::Group { .. })
    }

    pub(crate) fn option(&self) -> Option<&Choice> {
        match &self.target {
            Target::Group { option, .. } => Some(option),
            Target::Config(_) => None,
        }
    }

    pub(crate) fn choose(&mut self, chosen: Choice) {
        if let Target::Group { option, .. } = &mut self.target {
            *option = chosen;
        }
    }

    pub(crate) fn options(&self) -> Option<&[String]> {
        match self.option() {
            Some(Choice::Many(options)) => Some(options),
            _ => None,
        }
    }

    /// The name of the file; none for `group: null` and for a list of options.
    pub(crate) fn name(&self) -> Option<&str> {
        match &self.target {
            Target::Config(path) => Some(path.rsplit_once('/').map_or(path.as_str(), |(_, n)| n)),
            Target::Group { option: Choice::One(name), .. } => Some(name),
            Target::Group { .. } => None,
        }
    }

    /// The group with the file's own group before it, without a slash at the front.
    pub(crate) fn group_path(&self) -> String {
        let (group, relative) = self.written_group();
        match (relative && !self.base_group.is_empty(), group.is_empty()) {
            (false, _) => group.to_owned(),
            (true, true) => self.base_group.clone(),
            (true, false) => format!("{}/{group}", self.base_group),
        }
    }

    /// The group as it was written, and whether it is relative to the file that names it.
    fn written_group(&self) -> (&str, bool) {
        let (text, is_config) = match &self.target {
            Target::Config(path) => (path.as_str(), true),
            Target::Group { group, .. } => (group.as_str(), false),
        };
        let (text, relative) = text.strip_prefix('/').map_or((text, true), |rest| (rest, false));
        let group =
            if is_config { text.rsplit_once('/').map_or("", |(group, _)| group) } else { text };
        (group, relative)
    }

    /// The path of the file below the search path, without extension.
    pub(crate) fn config_path(&self) -> String {
        match &self.target {
            Target::Config(path) => match path.strip_prefix('/') {
                Some(absolute) => absolute.to_owned(),
                None if self.base_group.is_empty() => path.clone(),
                None => format!("{}/{path}", self.base_group),
            },
            Target::Group { .. } => {
                format!("{}/{}", self.group_path(), self.name().unwrap_or("None"))
            }
        }
    }

    /// The package that the group path gives.
    pub(crate) fn default_package(&self) -> String {
        self.group_path().replace('/', ".")
    }

    pub(crate) fn package_or_header(&self) -> Option<&str> {
        self.package.as_deref().or(self.header.as_deref())
    }

    /// Where the content of the file goes: a dotted path, empty for the root.
    pub(crate) fn final_package(&self) -> String {
        self.package_below(self.package_or_header())
    }

    fn package_below(&self, package: Option<&str>) -> String {
        let own =
            package.map_or_else(|| self.written_group().0.replace('/', "."), ToOwned::to_owned);
        let joined = match (self.base_package.is_empty(), own.is_empty()) {
            (true, _) => own,
            (false, true) => self.base_package.clone(),
            (false, false) => format!("{}.{own}", self.base_package),
        };
        match joined.rfind(GLOBAL) {
            Some(at) => joined.get(at + GLOBAL.len() + 1..).unwrap_or_default().to_owned(),
            None => joined,
        }
    }

    /// What an override calls this choice: the group path, and the package where it is not the one
    /// that the group path gives. A header does not count.
    pub(crate) fn override_key(&self) -> String {
        let group = self.group_path();
        let package = self.package_below(self.package.as_deref());
        if package == group.replace('/', ".") {
            return group;
        }
        format!("{group}@{}", if package.is_empty() { GLOBAL } else { &package })
    }

    /// Whether the name, or for a configuration any part of its path, is an interpolation.
    pub(crate) fn interpolation(&self) -> Option<String> {
        let text = match &self.target {
            Target::Config(_) => self.config_path(),
            Target::Group { option: Choice::One(name), .. } => name.clone(),
            Target::Group { .. } => return None,
        };
        text.contains("${").then_some(text)
    }

    /// Replaces the interpolation by its value.
    pub(crate) fn set_interpolated(&mut self, value: String) {
        match &mut self.target {
            Target::Config(path) => *path = value,
            Target::Group { option, .. } => *option = Choice::One(value),
        }
    }

    pub(crate) fn is_mandatory(&self) -> bool {
        self.name() == Some("???")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(group: &str, package: Option<&str>, base: (&str, &str)) -> Item {
        let option = Choice::One("o".into());
        let mut item = Item::group(group, option, Origin::memory())
            .with_package(package.map(ToOwned::to_owned));
        item.place_below(base.0, base.1);
        item
    }

    #[test]
    fn a_package_nests_below_the_file_that_names_the_group() {
        for (group, package, base, wanted_package, key) in [
            ("db", None, ("", ""), "db", "db"),
            ("db", None, ("server", "server"), "server.db", "server/db"),
            ("/db", None, ("server", "server"), "server.db", "db@server.db"),
            ("/db", Some("_global_.db"), ("server", "server"), "db", "db"),
            ("db", Some("_here_"), ("server", "s"), "s", "server/db@s"),
            ("db", Some("_global_"), ("", ""), "", "db@_global_"),
            ("db", Some("foo._group_"), ("", ""), "foo.db", "db@foo.db"),
            ("a/b", None, ("", ""), "a.b", "a/b"),
        ] {
            let item = item(group, package, base);
            let found = (item.final_package(), item.override_key());
            assert_eq!(found, (wanted_package.to_owned(), key.to_owned()), "{group} {package:?}");
        }
    }

    #[test]
    fn a_header_moves_the_content_and_not_the_key() {
        let mut item = item("db", None, ("", ""));
        item.set_header("x.y");
        assert_eq!((item.final_package().as_str(), item.override_key().as_str()), ("x.y", "db"));
    }
}
