//! Shell completion of overrides: groups and their options, keys and values of the configuration,
//! files; and of the flags, which Hydra itself does not complete.

use std::collections::BTreeSet;
use std::path::Path;

use super::App;
use super::args::{Arguments, Request, SPECS};
use super::session::Session;
use crate::loader::RunMode;
use crate::scalar::python_str;
use crate::value::{Node, Value};

/// The command line without the program: `python app.py db=` and `app db=` are both `db=`.
#[must_use]
pub fn without_program(line: &str) -> &str {
    let line = line.trim_start();
    let end = |text: &str| text.find(char::is_whitespace).unwrap_or(text.len());
    let (program, rest) = line.split_at(end(line));
    let rest = rest.trim_start();
    let name = program.rsplit('/').next().unwrap_or(program);
    if matches!(name, "python" | "python3") { rest[end(rest)..].trim_start() } else { rest }
}

impl App<'_> {
    /// What the last word of a command line may become; the line begins with the program.
    ///
    /// `--config-dir`, `--config-name` and `--config-path` in the line count.
    #[must_use]
    pub fn complete(&self, line: &str) -> Vec<String> {
        let line = without_program(line);
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let starts_word = line.is_empty() || line.ends_with(char::is_whitespace);
        let (before, word) = match words.split_last() {
            Some((last, before)) if !starts_word => (before, last.as_str()),
            _ => (&words[..], ""),
        };
        if let Some(found) = self.complete_flag(before, word) {
            return found.into_iter().collect();
        }
        let Ok(Request::Arguments(mut arguments)) = Arguments::parse(&words) else {
            return Vec::new();
        };
        // The last override is the word itself, unless a new one begins.
        let word = if starts_word { None } else { arguments.overrides.pop() };
        let Ok(session) = Session::open(self, &arguments) else { return Vec::new() };
        let mode = if arguments.multirun { RunMode::MultiRun } else { RunMode::Run };
        session.complete(word.as_deref().unwrap_or(""), mode)
    }

    /// A flag or the value of one; none if the word is neither.
    fn complete_flag(&self, before: &[String], word: &str) -> Option<BTreeSet<String>> {
        let spec = before.last().and_then(|last| {
            SPECS.iter().find(|spec| spec.takes_value() && spec.names.contains(&last.as_str()))
        });
        if let Some(spec) = spec {
            if !spec.choices.is_empty() {
                return Some(starting(spec.choices.iter().copied(), word));
            }
            if spec.names[0] == "--config-dir" || spec.names[0] == "--config-path" {
                return Some(files(&self.cwd, word).into_iter().collect());
            }
            return (spec.names[0] == "--config-name").then(|| self.config_names(before, word));
        }
        let names = SPECS.iter().flat_map(|spec| spec.names.iter().copied());
        word.starts_with('-').then(|| starting(names, word))
    }

    /// The primary configurations that the folders of the line so far have.
    fn config_names(&self, before: &[String], word: &str) -> BTreeSet<String> {
        let known = &before[..before.len().saturating_sub(1)];
        let Ok(Request::Arguments(arguments)) = Arguments::parse(known) else {
            return BTreeSet::new();
        };
        let Ok(session) = Session::open(self, &arguments) else { return BTreeSet::new() };
        let (group, prefix) = match word.rsplit_once('/') {
            Some((group, _)) => (group, format!("{group}/")),
            None => ("", String::new()),
        };
        let names = session.loader().group_options(group);
        let names: Vec<_> = names.into_iter().map(|name| format!("{prefix}{name}")).collect();
        starting(names.iter().map(String::as_str), word)
    }
}

fn starting<'n>(names: impl Iterator<Item = &'n str>, word: &str) -> BTreeSet<String> {
    names.filter(|name| name.starts_with(word)).map(str::to_owned).collect()
}

impl Session<'_> {
    /// What a word of the overrides may become, sorted. The overrides before it count.
    #[must_use]
    pub fn complete(&self, word: &str, mode: RunMode) -> Vec<String> {
        if let Some((key, file)) = file_value(word) {
            let found = files(self.cwd(), file).into_iter().map(|file| format!("{key}{file}"));
            return found.collect::<BTreeSet<_>>().into_iter().collect();
        }
        let (mut found, is_group) = self.groups_of(word);
        if !is_group {
            found.extend(self.keys_of(word, mode));
        }
        found.into_iter().collect()
    }

    /// Groups and options; whether the word names a group that has options.
    fn groups_of(&self, word: &str) -> (BTreeSet<String>, bool) {
        let deletes = word.starts_with('~');
        let (sign, word) =
            if deletes || word.starts_with('+') { word.split_at(1) } else { ("", word) };
        if let Some((group, _)) = word.rsplit_once('=') {
            let options = self.loader().group_options(group);
            let is_group = !options.is_empty();
            let named = options
                .into_iter()
                .map(|option| if group.is_empty() { option } else { format!("{group}={option}") });
            let found = named.filter(|name| name.starts_with(word));
            return (found.map(|name| format!("{sign}{name}")).collect(), is_group);
        }
        let parent = word.rsplit_once('/').map_or("", |(parent, _)| parent);
        let groups = self
            .loader()
            .groups_in(parent)
            .into_iter()
            .map(|name| if parent.is_empty() { name } else { format!("{parent}/{name}") });
        let found = groups.filter(|group| group.starts_with(word)).map(|group| {
            let has_options = !self.loader().group_options(&group).is_empty();
            let has_groups = !self.loader().groups_in(&group).is_empty();
            let end = match (has_groups, has_options) {
                (false, true) if !deletes => "=",
                (true, false) => "/",
                _ => "",
            };
            format!("{sign}{group}{end}")
        });
        (found.collect(), false)
    }

    /// Keys and values of the configuration. `++` changes or adds, so it completes as no sign does.
    fn keys_of(&self, word: &str, mode: RunMode) -> Vec<String> {
        let (sign, word) = match word.strip_prefix("++") {
            Some(word) => ("++", word),
            None => ("", word),
        };
        let Ok(composed) = self.compose(mode) else { return Vec::new() };
        let select = |path: &str| {
            let interpolator = self.context.interpolator(self.environment(), &composed.config);
            match composed.config.at(path) {
                Some(node) if node.value.is_container() => Some(node.clone()),
                _ => interpolator.resolve_at(&composed.config, path).ok().flatten(),
            }
        };
        let found = if let Some(path) = word.strip_suffix(['.', '=']) {
            values(select(path).as_ref()).into_iter().map(|end| format!("{word}{end}")).collect()
        } else if let Some((path, key)) = word.rsplit_once('.') {
            let below = select(path).map(|node| keys(&node, key)).unwrap_or_default();
            below.into_iter().map(|key| format!("{path}.{key}")).collect()
        } else {
            keys(&composed.config, word)
        };
        let found: Vec<String> = found;
        found.into_iter().map(|text| format!("{sign}{text}")).collect()
    }
}

/// What follows a complete key: the keys below it, or its value.
fn values(node: Option<&Node>) -> Vec<String> {
    match node.map(|node| &node.value) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Missing) => vec![String::new()],
        Some(Value::Bool(value)) => vec![value.to_string()],
        Some(Value::Map(_) | Value::List(_)) => node.map(|node| keys(node, "")).unwrap_or_default(),
        Some(value) => vec![python_str(value)],
    }
}

/// The keys that start so, with the sign that comes after each.
fn keys(node: &Node, start: &str) -> Vec<String> {
    let ended = |key: String, value: &Node| {
        let has_keys = value.value.is_container() || value.slot().is_container();
        let end = if has_keys { '.' } else { '=' };
        format!("{key}{end}")
    };
    let pairs: Vec<(String, &Node)> = match &node.value {
        Value::Map(map) => map.iter().map(|(key, value)| (key.text(), value)).collect(),
        Value::List(items) => {
            items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect()
        }
        _ => Vec::new(),
    };
    // Hydra offers the items of a list that are not set whatever was typed.
    let is_list = matches!(node.value, Value::List(_));
    let found = pairs.into_iter().filter(|(key, value)| {
        key.starts_with(start) || (is_list && matches!(value.value, Value::Missing))
    });
    found.map(|(key, value)| ended(key, value)).collect()
}

/// A value that is the beginning of a path, with all that comes before it.
fn file_value(word: &str) -> Option<(&str, &str)> {
    let at = word.rfind('=')? + 1;
    let (key, value) = word.split_at(at);
    value.starts_with(['.', '/', '\\']).then_some((key, value))
}

/// The files whose paths begin so.
fn files(cwd: &Path, word: &str) -> Vec<String> {
    let (folder, start) = if cwd.join(word).is_dir() && !word.is_empty() {
        (word, "")
    } else {
        word.rsplit_once('/').map_or(("", word), |(folder, start)| {
            (if folder.is_empty() { "/" } else { folder }, start)
        })
    };
    let Ok(entries) = std::fs::read_dir(cwd.join(folder)) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let slash = if folder.is_empty() || folder.ends_with('/') { "" } else { "/" };
    let names = names.filter(|name| name.starts_with(start));
    names.map(|name| format!("{folder}{slash}{name}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_taken_off_a_line() {
        for (line, rest) in [
            ("app db=", "db="),
            ("  ./bin/app-1.py  a=1 b", "a=1 b"),
            ("python app.py db=", "db="),
            ("/usr/bin/python3 dir/app.py ", ""),
            ("app", ""),
            ("", ""),
        ] {
            assert_eq!(without_program(line), rest, "{line}");
        }
    }
}
