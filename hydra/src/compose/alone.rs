//! The defaults list: for now, the certainty that there is none to follow.

use crate::error::{Error, ErrorKind};
use crate::source::{Origin, Position, Span};
use crate::value::{Node, Value};

/// Makes a primary configuration out of a document: takes the `defaults` list out.
///
/// A list that changes nothing (`[]`, `[_self_]`) is taken out silently.
///
/// # Errors
/// [`ErrorKind::CompositionNotBuilt`] where the document names other files (a `defaults` list with
/// anything but `_self_`) or a package (`# @package x`): composition is not built yet, and leaving
/// it out silently would run another configuration than the one that was written.
pub fn compose(document: Node) -> Result<Node, Error> {
    if let Some(error) = package_header(&document) {
        return Err(error);
    }
    let mut document = document;
    let Some(map) = document.as_map_mut() else {
        let message =
            format!("a primary config must be a mapping, not {}", document.value.describe_kind());
        return Err(Error::new(ErrorKind::Type(message), document.origin));
    };
    let Some(defaults) = map.remove("defaults") else {
        return Ok(document);
    };
    match first_entry_to_follow(&defaults) {
        None => Ok(document),
        Some((what, origin)) => Err(Error::new(ErrorKind::CompositionNotBuilt(what), origin)
            .with_path("defaults")
            .with_hint("write the values of the named files into this one")),
    }
}

/// What the list would pull in, and where it says so.
fn first_entry_to_follow(defaults: &Node) -> Option<(String, Origin)> {
    let Value::List(items) = &defaults.value else {
        let message = format!("`defaults` is {} instead of a list", defaults.value.describe_kind());
        return Some((message, defaults.origin.clone()));
    };
    let item = items.iter().find(|item| item.as_str() != Some("_self_"))?;
    let what = match &item.value {
        Value::Str(name) => format!("`{name}`"),
        Value::Map(map) => {
            map.iter().next().map_or("an entry".to_owned(), |(key, _)| format!("`{}`", key.text()))
        }
        other => other.describe_kind().to_owned(),
    };
    Some((format!("this `defaults` list names {what}"), item.origin.clone()))
}

/// A `# @package` line among the comments at the top of the file.
fn package_header(document: &Node) -> Option<Error> {
    let (source, _) = document.origin.span()?;
    let (index, line) = source
        .text()
        .lines()
        .enumerate()
        .take_while(|(_, line)| line.trim().is_empty() || line.trim_start().starts_with('#'))
        .find(|(_, line)| {
            line.trim_start().trim_start_matches('#').trim_start().starts_with("@package")
        })?;
    let at = |column| Position { line: index + 1, column };
    let span = Span { start: at(1), end: at(line.chars().count() + 1) };
    let kind = ErrorKind::CompositionNotBuilt("this file asks for a package of its own".into());
    Some(Error::new(kind, document.origin.clone().moved_to(span)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Document;

    fn composed(text: &str) -> Result<Node, Error> {
        compose(Document::from_str(text, "c.yaml").unwrap())
    }

    #[test]
    fn a_list_that_names_nothing_is_taken_out() {
        for text in ["a: 1\n", "defaults: []\na: 1\n", "defaults: [_self_]\na: 1\n"] {
            let node = composed(text).unwrap();
            assert_eq!(node.as_map().unwrap().text_keys().collect::<Vec<_>>(), ["a"]);
        }
    }

    #[test]
    fn a_list_that_names_a_file_is_an_error_at_its_entry() {
        for (text, place) in [
            ("defaults:\n  - _self_\n  - base\n", "c.yaml:3:5"),
            ("defaults:\n  - db: mysql\n", "c.yaml:2:5"),
            ("defaults: base\n", "c.yaml:1:11"),
            ("# @package foo\na: 1\n", "c.yaml:1:1"),
        ] {
            let error = composed(text).unwrap_err();
            assert!(error.to_string().starts_with(&format!("{place}: ")), "{error}");
            assert!(error.to_string().contains("composition is not built yet"), "{error}");
        }
    }

    #[test]
    fn a_list_is_no_primary_config() {
        assert!(matches!(composed("- 1\n").unwrap_err().kind(), ErrorKind::Type(_)));
    }
}
