//! The tree: nodes with a value and the place where each was written.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use indexmap::{Equivalent, IndexMap};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::path;
use crate::scalar;
use crate::source::Origin;
use crate::types::{StructType, Type, Typed};

/// What a node holds.
#[derive(Clone)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true`, `no`, `on` and so on.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// A floating point number; never equal to an `Int`.
    Float(f64),
    /// Text without interpolation.
    Str(String),
    /// `!!binary` data.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order in which its keys were first written.
    Map(Map),
    /// `???`: a mandatory value that is not set.
    Missing,
    /// Text with `${`, not resolved yet.
    Interpolation(String),
}

/// A value and where it was written.
#[derive(Clone)]
pub struct Node {
    /// What it holds.
    pub value: Value,
    /// Where it was written.
    pub origin: Origin,
    /// What it is held to; `None` where anything goes.
    typed: Option<Arc<Typed>>,
}

/// A key as Python has them: `1`, `1.0` and `true` are the same key, `'1'` is another.
#[derive(Debug, Clone)]
pub enum KeyKind {
    /// The usual case.
    Str(String),
    /// A whole number.
    Int(i128),
    /// A floating point number.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// `null`: the override grammar has it, a configuration cannot hold it.
    Null,
}

/// A key and where it was written.
#[derive(Clone)]
pub struct Key {
    /// The key itself.
    pub kind: KeyKind,
    /// Where it was written.
    pub origin: Origin,
}

/// An ordered mapping.
#[derive(Clone, Default)]
pub struct Map(IndexMap<Key, Node>);

impl Value {
    /// Text as a configuration reads it: `???` is [`Value::Missing`], and text with `${` is
    /// [`Value::Interpolation`].
    #[must_use]
    pub fn from_text(text: impl Into<String>) -> Self {
        let text = text.into();
        if text == "???" {
            Self::Missing
        } else if text.contains("${") {
            Self::Interpolation(text)
        } else {
            Self::Str(text)
        }
    }

    /// A name for the kind of value, with its article, for messages.
    #[must_use]
    pub fn describe_kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Str(_) => "a string",
            Self::Bytes(_) => "binary data",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
            Self::Missing => "a mandatory value that is not set (`???`)",
            Self::Interpolation(_) => "an interpolation",
        }
    }

    /// Whether this is a list or a mapping.
    #[must_use]
    pub fn is_container(&self) -> bool {
        matches!(self, Self::List(_) | Self::Map(_))
    }
}

/// The same data: a NaN equals itself, `1` and `1.0` differ, and so do `0.0` and `-0.0`.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) | (Self::Missing, Self::Missing) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.total_cmp(b).is_eq(),
            (Self::Str(a), Self::Str(b)) | (Self::Interpolation(a), Self::Interpolation(b)) => {
                a == b
            }
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::List(a), Self::List(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => a == b,
            _ => false,
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::Bool(value) => write!(f, "Bool({value})"),
            Self::Int(value) => write!(f, "Int({value})"),
            Self::Float(value) => write!(f, "Float({value:?})"),
            Self::Str(value) => write!(f, "Str({value:?})"),
            Self::Bytes(value) => write!(f, "Bytes({} bytes)", value.len()),
            Self::List(items) => f.debug_list().entries(items).finish(),
            Self::Map(map) => f.debug_map().entries(map.iter()).finish(),
            Self::Missing => f.write_str("Missing"),
            Self::Interpolation(text) => write!(f, "Interpolation({text:?})"),
        }
    }
}

impl Node {
    /// A node written at `origin`.
    #[must_use]
    pub fn new(value: Value, origin: Origin) -> Self {
        Self { value, origin, typed: None }
    }

    /// A node made by the program.
    #[must_use]
    pub fn in_memory(value: Value) -> Self {
        Self::new(value, Origin::memory())
    }

    /// The same, held to a type.
    #[must_use]
    pub(crate) fn with_typed(mut self, typed: Typed) -> Self {
        self.typed = Some(Arc::new(typed));
        self
    }

    /// The same value at the same place, held to what another node is held to.
    #[must_use]
    pub(crate) fn typed_as(mut self, other: &Self) -> Self {
        self.typed.clone_from(&other.typed);
        self
    }

    /// Changes what the node is held to.
    pub(crate) fn retype(&mut self, change: impl FnOnce(&mut Typed)) {
        let mut typed = self.typed.as_deref().cloned().unwrap_or_else(|| Typed::of(&Type::Any));
        change(&mut typed);
        self.typed = Some(Arc::new(typed));
    }

    /// Takes away the schema of the fields.
    pub(crate) fn forget_object(&mut self) {
        if self.object().is_some() {
            self.retype(|typed| typed.object = None);
        }
    }

    /// The type of the place that this node stands in, without its `Optional`.
    #[must_use]
    pub fn slot(&self) -> &Type {
        self.typed.as_ref().map_or(&Type::Any, |typed| &typed.slot)
    }

    /// Whether that place takes null.
    #[must_use]
    pub fn is_optional(&self) -> bool {
        self.typed.as_ref().is_none_or(|typed| typed.optional)
    }

    /// The schema that the fields of this mapping come from.
    #[must_use]
    pub fn object(&self) -> Option<&Arc<StructType>> {
        self.typed.as_ref()?.object.as_ref()
    }

    /// The name of the class that the value has in Python.
    #[must_use]
    pub(crate) fn python_type(&self) -> String {
        let written = self.origin.override_text().is_none();
        match (&self.value, self.slot()) {
            (Value::Null, _) => "NoneType",
            (Value::Bool(_), _) => "bool",
            (Value::Int(_), _) => "int",
            (Value::Float(_), _) => "float",
            (Value::Bytes(_), _) => "bytes",
            (Value::Str(_), Type::Path) => "PosixPath",
            (Value::Str(_), Type::Enum(names)) => return names.name().to_owned(),
            (Value::Str(_) | Value::Missing | Value::Interpolation(_), _) => "str",
            (Value::List(_), _) if written => "ListConfig",
            (Value::List(_), _) => "list",
            (Value::Map(_), _) if written => "DictConfig",
            (Value::Map(_), _) => "dict",
        }
        .to_owned()
    }

    /// The mapping, if this is one.
    #[must_use]
    pub fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The mapping, if this is one.
    pub fn as_map_mut(&mut self) -> Option<&mut Map> {
        match &mut self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The items, if this is a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The text, if this is a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The child of a mapping by key, or of a list by index.
    #[must_use]
    pub fn child(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(map) => map.get(key),
            Value::List(items) => items.get(scalar::list_index(key)?),
            _ => None,
        }
    }

    /// The same, to change it.
    pub fn child_mut(&mut self, key: &str) -> Option<&mut Node> {
        match &mut self.value {
            Value::Map(map) => map.get_mut(key),
            Value::List(items) => items.get_mut(scalar::list_index(key)?),
            _ => None,
        }
    }

    /// The node at a dotted path (`scenario.input_shapes`, `items[0].name`); `""` is this node.
    ///
    /// Interpolations are not followed.
    #[must_use]
    pub fn at(&self, dotted: &str) -> Option<&Node> {
        path::split(dotted)?.iter().try_fold(self, |node, key| node.child(key))
    }

    /// The same, to change it.
    pub fn at_mut(&mut self, dotted: &str) -> Option<&mut Node> {
        path::split(dotted)?.iter().try_fold(self, |node, key| node.child_mut(key))
    }

    /// Where the value at a dotted path was written.
    #[must_use]
    pub fn span_of(&self, dotted: &str) -> Option<&Origin> {
        self.at(dotted).map(|node| &node.origin)
    }

    /// Where the last key of a dotted path was written; for a list item, where the item was.
    #[must_use]
    pub fn key_span_of(&self, dotted: &str) -> Option<&Origin> {
        let keys = path::split(dotted)?;
        let (last, parents) = keys.split_last()?;
        let parent = parents.iter().try_fold(self, |node, key| node.child(key))?;
        match &parent.value {
            Value::Map(map) => map.key(last).map(|key| &key.origin),
            _ => parent.child(last).map(|node| &node.origin),
        }
    }

    /// The dotted paths of all mandatory values (`???`) that are not set.
    #[must_use]
    pub fn missing_paths(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.walk("", &mut |path, node| {
            if matches!(node.value, Value::Missing) {
                found.push(path.to_owned());
            }
        });
        found
    }

    /// Calls `visit` with the dotted path of every node, parents first.
    pub(crate) fn walk(&self, at: &str, visit: &mut impl FnMut(&str, &Node)) {
        visit(at, self);
        match &self.value {
            Value::Map(map) => {
                for (key, node) in map.iter() {
                    node.walk(&path::join(at, &key.text()), visit);
                }
            }
            Value::List(items) => {
                for (index, node) in items.iter().enumerate() {
                    node.walk(&path::index(at, index), visit);
                }
            }
            _ => {}
        }
    }
}

/// A node made by the program.
impl From<Value> for Node {
    fn from(value: Value) -> Self {
        Self::in_memory(value)
    }
}

impl From<bool> for Node {
    fn from(value: bool) -> Self {
        Self::in_memory(Value::Bool(value))
    }
}

impl From<i64> for Node {
    fn from(value: i64) -> Self {
        Self::in_memory(Value::Int(value.into()))
    }
}

impl From<f64> for Node {
    fn from(value: f64) -> Self {
        Self::in_memory(Value::Float(value))
    }
}

/// Text as a configuration reads it: it may be `???` or an interpolation.
impl From<&str> for Node {
    fn from(text: &str) -> Self {
        Self::in_memory(Value::from_text(text))
    }
}

/// Values are compared, places and types are not.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// The value and its place; what an interpolation gave is not shown, it may be a secret.
impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.origin.is_interpolated() && !self.value.is_container() {
            write!(f, "<interpolated: {}>", self.value.describe_kind())
        } else {
            self.value.fmt(f)
        }
    }
}

impl Key {
    /// A key written at `origin`.
    #[must_use]
    pub fn new(kind: KeyKind, origin: Origin) -> Self {
        Self { kind, origin }
    }

    /// The text, if this is a text key.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            KeyKind::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The key as text, as Python's `str` gives it.
    #[must_use]
    pub fn text(&self) -> String {
        self.kind.text()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl KeyKind {
    /// The key as text, as Python's `str` gives it.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Str(text) => text.clone(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => scalar::python_float(*value),
            Self::Bool(value) => scalar::python_bool(*value).to_owned(),
            Self::Null => "None".to_owned(),
        }
    }

    /// Python's view of numbers: `True == 1 == 1.0`.
    fn as_number(&self) -> Option<Number> {
        match self {
            Self::Int(value) => Some(Number::Int(*value)),
            Self::Bool(value) => Some(Number::Int(i128::from(*value))),
            Self::Float(value) => {
                Some(whole(*value).map_or(Number::Bits(value.to_bits()), Number::Int))
            }
            Self::Str(_) | Self::Null => None,
        }
    }
}

#[derive(PartialEq, Eq, Hash)]
enum Number {
    Int(i128),
    Bits(u64),
}

/// The whole number that a float is, if it is one that both types hold exactly.
fn whole(value: f64) -> Option<i128> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT {
        format!("{value:.0}").parse().ok()
    } else {
        None
    }
}

impl PartialEq for KeyKind {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Str(a), Self::Str(b)) => a == b,
            (Self::Null, Self::Null) => true,
            (a, b) => a.as_number().is_some_and(|number| b.as_number() == Some(number)),
        }
    }
}

impl Eq for KeyKind {}

impl Hash for KeyKind {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            // Exactly as `str` hashes, so that a map can be asked with a `&str`.
            Self::Str(text) => text.as_str().hash(state),
            other => other.as_number().hash(state),
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind.hash(state);
    }
}

impl Equivalent<Key> for str {
    fn equivalent(&self, key: &Key) -> bool {
        key.as_str() == Some(self)
    }
}

impl Map {
    /// An empty mapping.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a text key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.0.get(key)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.0.get_mut(key)
    }

    /// The value of a key of any kind.
    #[must_use]
    pub fn get_key(&self, key: &Key) -> Option<&Node> {
        self.0.get(key)
    }

    /// The same, to change it.
    pub fn get_key_mut(&mut self, key: &Key) -> Option<&mut Node> {
        self.0.get_mut(key)
    }

    /// The key as it was written.
    #[must_use]
    pub fn key(&self, key: &str) -> Option<&Key> {
        self.0.get_key_value(key).map(|(key, _)| key)
    }

    /// Sets a key. One that exists keeps its position and its own writing.
    pub fn insert(&mut self, key: Key, node: Node) -> Option<Node> {
        self.0.insert(key, node)
    }

    /// Takes a text key out; the others keep their order.
    pub fn remove(&mut self, key: &str) -> Option<Node> {
        self.0.shift_remove(key)
    }

    /// Keys and values, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Key, &Node)> {
        self.0.iter()
    }

    /// Keys and values, taken out.
    pub(crate) fn into_pairs(self) -> impl Iterator<Item = (Key, Node)> {
        self.0.into_iter()
    }

    /// Keys and values, to change the values.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = (&Key, &mut Node)> {
        self.0.iter_mut()
    }

    /// The text keys, in order.
    pub fn text_keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().filter_map(Key::as_str)
    }
}

/// As Python compares dictionaries: the order of the keys does not count.
impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.iter().all(|(key, node)| other.get_key(key).is_some_and(|there| there == node))
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl FromIterator<(Key, Node)> for Map {
    fn from_iter<I: IntoIterator<Item = (Key, Node)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

/// As plain data: `???` and interpolations as their text.
impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.value {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Int(value) => serialize_int(*value, serializer),
            Value::Float(value) => serializer.serialize_f64(*value),
            Value::Str(text) | Value::Interpolation(text) => serializer.serialize_str(text),
            Value::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Value::List(items) => serializer.collect_seq(items),
            Value::Missing => serializer.serialize_str("???"),
            Value::Map(map) => {
                let mut out = serializer.serialize_map(Some(map.len()))?;
                for (key, node) in map.iter() {
                    out.serialize_entry(&key.text(), node)?;
                }
                out.end()
            }
        }
    }
}

/// Formats know 64 bits better than 128.
fn serialize_int<S: Serializer>(value: i128, serializer: S) -> Result<S::Ok, S::Error> {
    if let Ok(small) = i64::try_from(value) {
        serializer.serialize_i64(small)
    } else if let Ok(positive) = u64::try_from(value) {
        serializer.serialize_u64(positive)
    } else {
        serializer.serialize_i128(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: KeyKind) -> Key {
        Key::new(kind, Origin::memory())
    }

    #[test]
    fn numbers_and_truth_values_are_one_key_and_text_is_another() {
        let mut map = Map::new();
        map.insert(key(KeyKind::Int(1)), Node::in_memory(Value::Int(1)));
        map.insert(key(KeyKind::Bool(true)), Node::in_memory(Value::Int(2)));
        map.insert(key(KeyKind::Float(1.0)), Node::in_memory(Value::Int(3)));
        map.insert(key(KeyKind::Str("1".into())), Node::in_memory(Value::Int(4)));
        assert_eq!(map.len(), 2);
        assert_eq!(map.get("1"), Some(&Node::in_memory(Value::Int(4))));
        assert_eq!(map.get_key(&key(KeyKind::Int(1))), Some(&Node::in_memory(Value::Int(3))));
    }

    #[test]
    fn a_tree_serializes_as_plain_data_in_its_order() {
        let text = "b: [1, 2.0, ~]\na: {1: x}\nm: ???\ni: ${b}\n";
        let node = crate::Document::from_str(text, "c.yaml").unwrap();
        let json = serde_json::to_string(&node).unwrap();
        assert_eq!(json, r#"{"b":[1,2.0,null],"a":{"1":"x"},"m":"???","i":"${b}"}"#);
    }

    #[test]
    fn what_an_interpolation_gave_is_not_in_debug_output() {
        let secret = Node::new(Value::Str("s3cret".into()), Origin::memory().interpolated());
        assert!(!format!("{secret:?}").contains("s3cret"));
    }
}
