//! Reading a part of a config key by key, so that none is passed over in silence.

use std::collections::BTreeSet;

use hydra_compose::{Key, KeyKind, Map, Node, Origin, Value};

use super::Findings;
use crate::error::nearest;

/// A part of a config, and which of its keys were looked at.
pub(super) struct Section<'n> {
    place: &'static str,
    map: Option<&'n Map>,
    seen: BTreeSet<String>,
    /// It is there and is not a mapping.
    wrong: Option<&'static str>,
}

impl<'n> Section<'n> {
    /// `place` is the dotted path of `node`; empty for the root.
    pub(super) fn new(place: &'static str, node: &'n Node) -> Self {
        let wrong = match &node.value {
            Value::Map(_) | Value::Null | Value::Missing => None,
            other => Some(other.describe_kind()),
        };
        Self { place, map: node.as_map(), seen: BTreeSet::new(), wrong }
    }

    /// The part below this root; an empty one where it is missing.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'n> {
        match self.take(key) {
            Some(node) => Section::new(key, node),
            None => Section { place: key, map: None, seen: BTreeSet::new(), wrong: None },
        }
    }

    /// The value of a key; `None` where it is absent, null or not given.
    pub(super) fn take(&mut self, key: &str) -> Option<&'n Node> {
        self.seen.insert(key.to_owned());
        let node = self.map?.get(key)?;
        (!matches!(node.value, Value::Null | Value::Missing)).then_some(node)
    }

    /// The value as text, whatever scalar it is.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        self.take(key).and_then(text_of)
    }

    /// The same, without an empty one.
    pub(super) fn words(&mut self, key: &str) -> Option<String> {
        self.text(key).filter(|text| !text.is_empty())
    }

    /// Whether a switch is on.
    pub(super) fn is_on(&mut self, key: &str) -> bool {
        self.take(key).is_some_and(|node| node.value == Value::Bool(true))
    }

    /// The mapping at a key, if it holds anything.
    pub(super) fn filled(&mut self, key: &str) -> Option<&'n Map> {
        self.take(key)?.as_map().filter(|map| !map.is_empty())
    }

    /// Keys that are in order whatever they hold.
    pub(super) fn known(&mut self, keys: &[&str]) {
        self.seen.extend(keys.iter().map(|key| (*key).to_owned()));
    }

    /// The dotted path of a key.
    pub(super) fn at(&self, key: &str) -> String {
        if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) }
    }

    /// Says of every key that nobody looked at that nobody knows it.
    pub(super) fn finish(self, findings: &mut Findings) {
        if let Some(kind) = self.wrong {
            findings.problem(self.place, format!("{kind} stands where keys belong"), "key: value");
        }
        for (key, _) in self.map.iter().flat_map(|map| map.iter()) {
            let name = key.text();
            if self.seen.contains(&name) {
                continue;
            }
            let hint = match nearest(&name, self.seen.iter().map(String::as_str)) {
                Some(near) => format!("did you mean {near}?"),
                None => {
                    "neither optimum-benchmark nor this program has it; leave it out".to_owned()
                }
            };
            findings.problem(&self.at(&name), "is not known", hint);
        }
    }
}

/// A part of our own config as it grows. Values keep the places where they were written.
#[derive(Default)]
pub(super) struct Ours(Map);

impl Ours {
    /// Sets a key.
    pub(super) fn set(&mut self, key: &str, node: Node) {
        self.set_key(Key::new(KeyKind::Str(key.to_owned()), node.origin.clone()), node);
    }

    /// Sets a key that was written somewhere.
    pub(super) fn set_key(&mut self, key: Key, node: Node) {
        self.0.insert(key, node);
    }

    /// Sets a text that was written at a place.
    pub(super) fn set_text(&mut self, key: &str, text: impl Into<String>, origin: &Origin) {
        self.set(key, Node::new(Value::Str(text.into()), origin.clone()));
    }

    /// Takes a value over, if it is there.
    pub(super) fn copy(&mut self, from: &mut Section<'_>, theirs: &str, key: &str) {
        if let Some(node) = from.take(theirs) {
            self.set(key, node.clone());
        }
    }

    /// The same for texts of which an empty one means none.
    pub(super) fn copy_words(&mut self, from: &mut Section<'_>, theirs: &str, key: &str) {
        if let Some(node) = from.take(theirs).filter(|node| node.as_str() != Some("")) {
            self.set(key, node.clone());
        }
    }

    /// The finished part.
    pub(super) fn into_node(self) -> Node {
        Node::in_memory(Value::Map(self.0))
    }
}

/// A scalar as text.
pub(super) fn text_of(node: &Node) -> Option<String> {
    match &node.value {
        Value::Str(text) => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Bool(on) => Some(on.to_string()),
        _ => None,
    }
}
