//! What a file says about composition: its `defaults` list and its `# @package` header.

use super::item::{Choice, Item};
use crate::error::{Error, ErrorKind};
use crate::scalar::{python_repr, python_type};
use crate::source::{Origin, Position, Span};
use crate::value::{Map, Node, Value};

/// How much of a file can be its header, in characters.
const HEADER_LENGTH: usize = 512;

/// The package that the comments at the top of a file name.
///
/// # Errors
/// A `# @...` line that is not one key with one value.
pub(crate) fn header_package(text: &str, file: &Node) -> Result<Option<String>, Error> {
    let head: String = text.chars().take(HEADER_LENGTH).collect();
    let mut package = None;
    for (index, line) in head.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let Some(entry) =
            line.strip_prefix('#').map(str::trim_start).filter(|s| s.starts_with('@'))
        else {
            break;
        };
        let mut words = entry.split(' ').filter(|word| !word.is_empty());
        let wrong = |message: String| {
            let at = |column| Position { line: index + 1, column };
            let span = Span { start: at(1), end: at(line.chars().count() + 1) };
            Error::new(ErrorKind::value_error(message), file.origin.clone().moved_to(span))
                .with_hint("a header is `# @package a.b`, or `# @package _global_`")
        };
        match (words.next(), words.next(), words.next()) {
            (Some(key), Some(value), None) => {
                if key == "@package" {
                    package = Some(value.to_owned());
                }
            }
            (_, _, None) => {
                return Err(wrong(format!("Expected header format: KEY VALUE, got '{entry}'")));
            }
            _ => return Err(wrong(format!("Too many components in '{entry}'"))),
        }
    }
    Ok(package)
}

/// Takes the `defaults` list out of a loaded file.
///
/// # Errors
/// `defaults` is no list, or has an entry that means nothing.
pub(crate) fn take_defaults(config_path: &str, node: &mut Node) -> Result<Vec<Item>, Error> {
    let Some(defaults) = node.as_map_mut().and_then(|map| map.remove("defaults")) else {
        return Ok(Vec::new());
    };
    match &defaults.value {
        Value::List(items) => items.iter().map(|item| read_item(config_path, item)).collect(),
        // As if there were none; what an interpolation would give is not known yet.
        Value::Missing | Value::Interpolation(_) => Ok(Vec::new()),
        other => {
            let kind = if matches!(other, Value::Map(_)) { "mapping" } else { python_type(other) };
            let message = format!(
                "Invalid defaults list in '{config_path}', defaults must be a list (got {kind})"
            );
            Err(wrong(message, &defaults.origin))
        }
    }
}

fn wrong(message: impl Into<String>, origin: &Origin) -> Error {
    Error::new(ErrorKind::value_error(message), origin.clone()).with_path("defaults")
}

fn read_item(config_path: &str, node: &Node) -> Result<Item, Error> {
    match &node.value {
        Value::Map(map) => read_group(config_path, map, node),
        value => match text_of(value) {
            Some(text) => read_config(text, &node.origin),
            None => {
                let kind = match value {
                    Value::List(_) => "ListConfig",
                    other => python_type(other),
                };
                let message = format!("Unsupported type in defaults : {kind}");
                Err(wrong(message, &node.origin)
                    .with_hint("an entry is `config`, `group: option` or `_self_`"))
            }
        },
    }
}

/// Text as it was written, whatever it means as a value.
fn text_of(value: &Value) -> Option<&str> {
    match value {
        Value::Str(text) | Value::Interpolation(text) => Some(text),
        Value::Missing => Some("???"),
        _ => None,
    }
}

/// `path@package:renamed`: the new name of the package is from older versions and means nothing.
fn split_package(text: &str) -> (&str, Option<String>) {
    match text.split_once('@') {
        None => (text, None),
        Some((path, package)) => {
            (path, Some(package.split_once(':').map_or(package, |(old, _)| old).to_owned()))
        }
    }
}

fn read_config(text: &str, origin: &Origin) -> Result<Item, Error> {
    let (path, package) = split_package(text);
    if path == "_self_" && package.is_some() {
        return Err(wrong("_self_@PACKAGE is not supported", origin));
    }
    Ok(Item::config(path, origin.clone()).with_package(package))
}

fn read_group(config_path: &str, map: &Map, node: &Node) -> Result<Item, Error> {
    let mut pairs = map.iter();
    let (Some((key, value)), None) = (pairs.next(), pairs.next()) else {
        let shown = python_repr(&node.value);
        let message = if map.is_empty() {
            format!("In {config_path}: Missing group name in {shown}")
        } else {
            format!("In {config_path}: Too many keys in default item {shown}")
        };
        return Err(wrong(message, &node.origin)
            .with_hint("each entry starts with a dash and has one `group: option`"));
    };
    let Some(text) = key.as_str() else {
        let message = format!("In {config_path}: a config group is text, not {}", key.text());
        return Err(Error::new(ErrorKind::assertion(message), key.origin.clone()));
    };
    let (words, package) = split_package(text);
    let mut words: Vec<&str> = words.split(' ').collect();
    let group = words.pop().unwrap_or_default();
    if group.is_empty() {
        let message = format!("In {config_path}: an entry of the defaults list has no group");
        return Err(Error::new(ErrorKind::assertion(message), key.origin.clone()));
    }
    let option = read_option(value)?;
    if option == Choice::One("_self_".into()) {
        let message =
            format!("In {config_path}: `_self_` stands alone, it is no option of '{group}'");
        return Err(Error::new(ErrorKind::assertion(message), value.origin.clone()));
    }
    let mut item = Item::group(group, option, key.origin.clone()).with_package(package);
    for word in words {
        match word {
            "optional" => item.optional = true,
            "override" => item.is_override = true,
            _ => break,
        }
    }
    Ok(item)
}

fn read_option(node: &Node) -> Result<Choice, Error> {
    match &node.value {
        Value::Null => Ok(Choice::Nothing),
        Value::List(items) => {
            let options = items.iter().map(|item| {
                text_of(&item.value).map(ToOwned::to_owned).ok_or_else(|| {
                    let kind = python_type(&item.value);
                    let message = format!(
                        "Unsupported item value in defaults : {kind}, nested list items must be strings"
                    );
                    quoted_hint(wrong(message, &item.origin), &item.value)
                })
            });
            options.collect::<Result<_, _>>().map(Choice::Many)
        }
        value => text_of(value).map(|text| Choice::One(text.to_owned())).ok_or_else(|| {
            let kind = python_type(value);
            let message =
                format!("Unsupported item value in defaults : {kind}. Supported: string or list");
            quoted_hint(wrong(message, &node.origin), value)
        }),
    }
}

/// `on`, `10` and their like are no text in YAML.
fn quoted_hint(error: Error, value: &Value) -> Error {
    if matches!(value, Value::Bool(_) | Value::Int(_) | Value::Float(_)) {
        error.with_hint("put quotes around the name of the option")
    } else {
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Document;

    fn package(text: &str) -> Result<Option<String>, Error> {
        header_package(text, &Document::from_str(text, "c.yaml").unwrap())
    }

    #[test]
    fn a_header_ends_with_the_first_other_line() {
        for (text, wanted) in [
            ("# @package x\na: 1\n", Some("x")),
            ("\n#@package x.y\na: 1\n", Some("x.y")),
            ("# note\n# @package x\na: 1\n", None),
            ("---\n# @package x\na: 1\n", None),
            ("## @package x\na: 1\n", None),
            ("# @foo y\n# @package x\na: 1\n", Some("x")),
            ("# @package x\n# @package y\na: 1\n", Some("y")),
        ] {
            assert_eq!(package(text).unwrap().as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn a_malformed_header_is_shown() {
        let error = package("\n# @package\na: 1\n").unwrap_err();
        assert!(error.message().starts_with("Expected header format"), "{error}");
        assert!(error.to_string().contains("c.yaml:2:1"), "{error}");
    }

    #[test]
    fn a_bare_word_that_is_no_text_is_an_error_at_its_place() {
        let mut node = Document::from_str("defaults:\n  - db: on\n", "c.yaml").unwrap();
        let error = take_defaults("c", &mut node).unwrap_err();
        assert!(error.to_string().contains("c.yaml:2:9"), "{error}");
        assert!(error.hint().unwrap().contains("quotes"));
    }
}
