//! Tree -> a type of yours, through serde, with the conversions of OmegaConf's typed nodes.
//!
//! serde stops at the first error. To tell all of them, a value that failed is reported, a stand-in
//! that fits (1, empty text, the first variant) takes its place, and the tree is read again, until
//! nothing fails or no progress is made. The stand-ins never leave this module: if anything failed,
//! the result is the list of errors.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{self, DeserializeOwned, DeserializeSeed, Visitor};

use crate::error::{Error, ErrorKind, Errors};
use crate::limits::MAX_ERRORS;
use crate::path;
use crate::scalar;
use crate::source::{Origin, is_secret_name};
use crate::value::{Key, KeyKind, Node, Value};

/// A key that the type did not look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// Its dotted path.
    pub path: String,
    /// Where it was written.
    pub origin: Origin,
    /// The key that was probably meant, if one is near.
    pub near: Option<String>,
}

/// Reads a tree into a type. Numbers, truth values and text convert as OmegaConf's typed nodes do:
/// `"42"` is an integer, `2.0` and `true` are not; `"on"` and `1` are truth values; numbers are text.
///
/// Keys that the type does not know are errors only where it says `deny_unknown_fields`; see
/// [`from_node_strict`].
///
/// # Errors
/// Everything that does not fit, each with its dotted path and place.
pub fn from_node<T: DeserializeOwned>(node: &Node) -> Result<T, Errors> {
    from_node_with_ignored(node).map(|(value, _)| value)
}

/// The same; every key that the type does not know is an error.
///
/// # Errors
/// As [`from_node`].
pub fn from_node_strict<T: DeserializeOwned>(node: &Node) -> Result<T, Errors> {
    let (read, ignored) = attempt(node);
    let unknown = ignored.into_iter().map(|ignored| {
        let key = ignored.path.rsplit('.').next().unwrap_or_default().to_owned();
        let error = Error::new(ErrorKind::UnknownKey(key), ignored.origin).with_path(ignored.path);
        match ignored.near {
            Some(near) => error.with_hint(format!("did you mean `{near}`?")),
            None => error,
        }
    });
    match read {
        Ok(value) => Errors::check(unknown.collect()).map(|()| value),
        Err(errors) => Err(errors.with(unknown)),
    }
}

/// The same as [`from_node`]; with the value, the keys that the type did not look at.
///
/// # Errors
/// As [`from_node`].
pub fn from_node_with_ignored<T: DeserializeOwned>(
    node: &Node,
) -> Result<(T, Vec<Ignored>), Errors> {
    let (read, ignored) = attempt(node);
    read.map(|value| (value, ignored))
}

/// What is known of a reading, shared by the deserializers of all its nodes.
#[derive(Default)]
struct Reading {
    /// Paths of the values that failed and are stood in for.
    failed: BTreeSet<String>,
    /// Missing keys that are stood in for: path of the mapping, and the key.
    missing: BTreeSet<(String, &'static str)>,
    /// Unknown keys that are passed over.
    unknown: BTreeSet<String>,
    ignored: RefCell<Vec<Ignored>>,
}

fn attempt<T: DeserializeOwned>(node: &Node) -> (Result<T, Errors>, Vec<Ignored>) {
    let mut reading = Reading::default();
    let mut errors = Vec::new();
    for _ in 0..MAX_ERRORS {
        reading.ignored.borrow_mut().clear();
        let root = At { node, path: String::new(), reading: &reading, fields: &[] };
        let failure = match T::deserialize(root) {
            Ok(value) => {
                let ignored = reading.ignored.into_inner();
                return (Errors::check(errors).map(|()| value), ignored);
            }
            Err(failure) => failure.at(node, ""),
        };
        // What fails within a stand-in is no fault of the configuration, and has been told.
        let told = reading.failed.contains(&failure.0.path);
        let progress = reading.note(&failure);
        if !told {
            errors.push(failure.into_error());
        }
        if !progress {
            break;
        }
    }
    let nothing = || {
        let message = "the type accepts no value at all".to_owned();
        Errors::from(Error::new(ErrorKind::Custom(message), node.origin.clone()))
    };
    (Err(Errors::check(errors).err().unwrap_or_else(nothing)), reading.ignored.into_inner())
}

impl Reading {
    /// Notes a failure for the next attempt; false if it was noted before.
    fn note(&mut self, failure: &Failure) -> bool {
        let path = failure.0.path.clone();
        match failure.0.cause {
            Cause::Value => self.failed.insert(path),
            Cause::Unknown => self.unknown.insert(path),
            Cause::Missing(key) => {
                self.failed.insert(path::join(&path, key));
                self.missing.insert((path, key))
            }
        }
    }
}

/// What failed, for the next attempt.
#[derive(Debug, Clone)]
enum Cause {
    Value,
    Missing(&'static str),
    Unknown,
}

/// The first failure of an attempt. Place and path are filled in on the way out.
#[derive(Debug)]
struct Failure(Box<Details>);

#[derive(Debug)]
struct Details {
    cause: Cause,
    kind: ErrorKind,
    hint: Option<String>,
    path: String,
    origin: Option<Origin>,
}

impl Failure {
    fn new(kind: ErrorKind) -> Self {
        let cause = Cause::Value;
        Self(Box::new(Details { cause, kind, hint: None, path: String::new(), origin: None }))
    }

    fn because(mut self, cause: Cause) -> Self {
        self.0.cause = cause;
        self
    }

    fn hint(mut self, hint: Option<String>) -> Self {
        self.0.hint = hint;
        self
    }

    /// Fills in place and path, if they are not known yet.
    fn at(self, node: &Node, path: &str) -> Self {
        self.at_origin(&node.origin, path)
    }

    fn at_origin(mut self, origin: &Origin, path: &str) -> Self {
        if self.0.origin.is_none() {
            self.0.origin = Some(origin.clone());
            path.clone_into(&mut self.0.path);
        }
        self
    }

    fn into_error(self) -> Error {
        let Details { cause, kind, hint, path, origin } = *self.0;
        let path = match cause {
            Cause::Missing(key) => path::join(&path, key),
            Cause::Value | Cause::Unknown => path,
        };
        let error = Error::new(kind, origin.unwrap_or_else(Origin::memory)).with_path(path);
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

fn did_you_mean(typed: &str, known: &'static [&'static str]) -> Option<String> {
    crate::nearest(typed, known.iter().copied()).map(|near| format!("did you mean `{near}`?"))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.kind.fmt(f)
    }
}

impl std::error::Error for Failure {}

impl de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(ErrorKind::Custom(message.to_string()))
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(ErrorKind::Type(format!("expected {expected}, found {}", shown(&found))))
    }

    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let known: Vec<_> = expected.iter().map(|name| format!("`{name}`")).collect();
        let message = format!("`{variant}` is none of {}", known.join(", "));
        Self::new(ErrorKind::Type(message)).hint(did_you_mean(variant, expected))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let all = || (!expected.is_empty()).then(|| format!("known here: {}", expected.join(", ")));
        Self::new(ErrorKind::UnknownKey(field.to_owned()))
            .hint(did_you_mean(field, expected).or_else(all))
            .because(Cause::Unknown)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(ErrorKind::MissingKey(field.to_owned())).because(Cause::Missing(field))
    }
}

/// The kind only: the value may be a secret that an interpolation gave.
fn shown(found: &de::Unexpected<'_>) -> String {
    match found {
        de::Unexpected::Str(_) => "a string".to_owned(),
        de::Unexpected::Map => "a mapping".to_owned(),
        de::Unexpected::Seq => "a list".to_owned(),
        de::Unexpected::Unit => "null".to_owned(),
        other => other.to_string(),
    }
}

/// The deserializer of one node.
#[derive(Clone)]
struct At<'n> {
    node: &'n Node,
    path: String,
    reading: &'n Reading,
    /// The keys of the type around, to suggest one for a key that is not read.
    fields: &'static [&'static str],
}

impl At<'_> {
    fn is_stand_in(&self) -> bool {
        self.reading.failed.contains(&self.path)
    }

    /// `expected an integer, found the string `x``; a value that may be secret is not shown.
    fn mismatch(&self, expected: &str) -> Failure {
        let secret = self.path.split(['.', '[', ']']).any(is_secret_name);
        let hidden = secret || self.node.origin.is_interpolated();
        let found = match &self.node.value {
            value if hidden || value.is_container() => value.describe_kind().to_owned(),
            Value::Str(text) if text.chars().count() > 60 => "a long string".to_owned(),
            Value::Str(text) => format!("the string `{text}`"),
            Value::Int(value) => format!("the integer {value}"),
            Value::Float(value) => format!("the float {}", scalar::python_float(*value)),
            Value::Bool(value) => format!("the boolean {value}"),
            value => value.describe_kind().to_owned(),
        };
        let failure = match &self.node.value {
            Value::Missing => Failure::new(ErrorKind::MissingValue),
            _ => Failure::new(ErrorKind::Type(format!("expected {expected}, found {found}"))),
        };
        failure.at(self.node, &self.path)
    }

    fn int(&self) -> Result<i128, Failure> {
        match &self.node.value {
            Value::Int(value) => Ok(*value),
            Value::Str(text) => scalar::python_int(text).ok_or_else(|| self.mismatch("an integer")),
            _ => Err(self.mismatch("an integer")),
        }
    }

    fn bounded<N: TryFrom<i128>>(&self, least: i128, most: i128) -> Result<N, Failure> {
        N::try_from(self.int()?)
            .map_err(|_| self.mismatch(&format!("an integer from {least} to {most}")))
    }

    fn float(&self) -> Result<f64, Failure> {
        match &self.node.value {
            Value::Float(value) => Ok(*value),
            #[expect(clippy::cast_precision_loss, reason = "a float is what the type asks for")]
            Value::Int(value) => Ok(*value as f64),
            Value::Str(text) => {
                scalar::python_float_from(text).ok_or_else(|| self.mismatch("a number"))
            }
            _ => Err(self.mismatch("a number")),
        }
    }

    fn truth(&self) -> Result<bool, Failure> {
        let word = match &self.node.value {
            Value::Bool(value) => return Ok(*value),
            Value::Int(value) => return Ok(*value != 0),
            Value::Str(text) => scalar::typed_bool(text),
            _ => None,
        };
        word.ok_or_else(|| self.mismatch("true or false"))
    }

    fn text(&self) -> Result<String, Failure> {
        match &self.node.value {
            Value::Str(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_) => {
                Ok(scalar::python_str(&self.node.value))
            }
            _ => Err(self.mismatch("a string")),
        }
    }

    /// Adds place and path to what a visitor says.
    fn place<T>(&self, result: Result<T, Failure>) -> Result<T, Failure> {
        result.map_err(|failure| failure.at(self.node, &self.path))
    }
}

macro_rules! deserialize_integers {
    ($($type:ident $method:ident $visit:ident),*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
            let value = if self.is_stand_in() {
                1
            } else {
                self.bounded::<$type>($type::MIN.into(), $type::MAX.into())?
            };
            self.place(visitor.$visit(value))
        })*
    };
}

impl<'de> de::Deserializer<'de> for At<'_> {
    type Error = Failure;

    deserialize_integers!(
        i8 deserialize_i8 visit_i8, i16 deserialize_i16 visit_i16, i32 deserialize_i32 visit_i32,
        i64 deserialize_i64 visit_i64, u8 deserialize_u8 visit_u8, u16 deserialize_u16 visit_u16,
        u32 deserialize_u32 visit_u32, u64 deserialize_u64 visit_u64
    );

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let value = if self.is_stand_in() { 1 } else { self.int()? };
        self.place(visitor.visit_i128(value))
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let value = if self.is_stand_in() { 1 } else { self.int()? };
        let value = u128::try_from(value).map_err(|_| self.mismatch("an integer from 0"))?;
        self.place(visitor.visit_u128(value))
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let value = if self.is_stand_in() { 1.0 } else { self.float()? };
        self.place(visitor.visit_f64(value))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let value = if self.is_stand_in() { false } else { self.truth()? };
        self.place(visitor.visit_bool(value))
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        if self.is_stand_in() {
            return self.place(visitor.visit_char(' '));
        }
        let text = self.text()?;
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(only), None) => self.place(visitor.visit_char(only)),
            _ => Err(self.mismatch("a single character")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let text = if self.is_stand_in() { String::new() } else { self.text()? };
        self.place(visitor.visit_string(text))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.value {
            _ if self.is_stand_in() => self.place(visitor.visit_bytes(&[])),
            Value::Bytes(bytes) => self.place(visitor.visit_bytes(bytes)),
            Value::Str(text) => self.place(visitor.visit_bytes(text.as_bytes())),
            _ => Err(self.mismatch("binary data")),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.value {
            _ if self.is_stand_in() => self.place(visitor.visit_none()),
            Value::Null => self.place(visitor.visit_none()),
            Value::Missing => Err(self.mismatch("a value or null")),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.value {
            _ if self.is_stand_in() => self.place(visitor.visit_unit()),
            Value::Null => self.place(visitor.visit_unit()),
            _ => Err(self.mismatch("null")),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let outer = self.clone();
        outer.place(visitor.visit_newtype_struct(self))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let items = match &self.node.value {
            _ if self.is_stand_in() => &[],
            Value::List(items) => &items[..],
            _ => return Err(self.mismatch("a list")),
        };
        self.place(visitor.visit_seq(Items { parent: &self, items, next: 0 }))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.visit_entries(visitor, &[])
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.visit_entries(visitor, fields)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let outer = self.clone();
        let access = match &self.node.value {
            _ if self.is_stand_in() => {
                let first = variants.first().copied().unwrap_or_default();
                Variant { at: self, name: first.to_owned(), content: None, key: None }
            }
            Value::Map(map) if map.len() == 1 => {
                let entry = map.iter().next();
                let name = entry.map_or_else(String::new, |(key, _)| key.text());
                let key = entry.map(|(key, _)| key);
                Variant { at: self, name, content: entry.map(|(_, node)| node), key }
            }
            Value::Bool(_) | Value::Map(_) | Value::List(_) | Value::Null | Value::Missing => {
                let known: Vec<_> = variants.iter().map(|name| format!("`{name}`")).collect();
                let quote = matches!(self.node.value, Value::Bool(_));
                let hint = quote.then(|| "quote a word like `on` or `off` to mean the text".into());
                return Err(self.mismatch(&format!("one of {}", known.join(", "))).hint(hint));
            }
            _ => {
                let name = self.text()?;
                Variant { at: self, name, content: None, key: None }
            }
        };
        outer.place(visitor.visit_enum(access))
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        if !self.reading.unknown.contains(&self.path) {
            let name = self.path.rsplit('.').next().unwrap_or_default();
            self.reading.ignored.borrow_mut().push(Ignored {
                path: self.path.clone(),
                origin: self.node.origin.clone(),
                near: crate::nearest(name, self.fields.iter().copied()).map(str::to_owned),
            });
        }
        visitor.visit_unit()
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.value {
            _ if self.is_stand_in() => self.place(visitor.visit_unit()),
            Value::Null => self.place(visitor.visit_unit()),
            Value::Bool(value) => self.place(visitor.visit_bool(*value)),
            Value::Int(value) => self.place(visit_int(visitor, *value)),
            Value::Float(value) => self.place(visitor.visit_f64(*value)),
            Value::Str(text) => self.place(visitor.visit_str(text)),
            Value::Bytes(bytes) => self.place(visitor.visit_bytes(bytes)),
            Value::List(_) => self.deserialize_seq(visitor),
            Value::Map(_) => self.deserialize_map(visitor),
            Value::Missing => Err(self.mismatch("a value")),
            Value::Interpolation(_) => Err(self.mismatch("a resolved value")),
        }
    }
}

/// Types know 64 bits better than 128.
fn visit_int<'de, V: Visitor<'de>>(visitor: V, value: i128) -> Result<V::Value, Failure> {
    if let Ok(small) = i64::try_from(value) {
        visitor.visit_i64(small)
    } else if let Ok(positive) = u64::try_from(value) {
        visitor.visit_u64(positive)
    } else {
        visitor.visit_i128(value)
    }
}

impl At<'_> {
    fn visit_entries<'de, V: Visitor<'de>>(
        self,
        visitor: V,
        fields: &'static [&'static str],
    ) -> Result<V::Value, Failure> {
        let mut entries: Vec<(Entry<'_>, Option<&Node>)> = match &self.node.value {
            _ if self.is_stand_in() => Vec::new(),
            Value::Map(map) => {
                map.iter().map(|(key, node)| (Entry::Written(key), Some(node))).collect()
            }
            _ => return Err(self.mismatch("a mapping")),
        };
        let missing = self.reading.missing.iter().filter(|(path, _)| *path == self.path);
        entries.extend(missing.map(|(_, key)| (Entry::Missing(key), None)));
        // Unknown keys that have been told are passed over.
        entries.retain(|(entry, _)| {
            !self.reading.unknown.contains(&path::join(&self.path, &entry.text()))
        });
        let access = Entries { parent: &self, fields, entries: entries.into_iter(), value: None };
        self.place(visitor.visit_map(access))
    }
}

#[derive(Clone, Copy)]
enum Entry<'n> {
    Written(&'n Key),
    Missing(&'static str),
}

impl Entry<'_> {
    fn text(&self) -> String {
        match self {
            Self::Written(key) => key.text(),
            Self::Missing(key) => (*key).to_owned(),
        }
    }
}

struct Items<'p, 'n> {
    parent: &'p At<'n>,
    items: &'n [Node],
    next: usize,
}

impl<'de> de::SeqAccess<'de> for Items<'_, '_> {
    type Error = Failure;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Failure> {
        let Some(node) = self.items.get(self.next) else { return Ok(None) };
        let path = path::index(&self.parent.path, self.next);
        self.next += 1;
        let at = At { node, path, reading: self.parent.reading, fields: &[] };
        let outer = at.clone();
        outer.place(seed.deserialize(at).map(Some))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len() - self.next)
    }
}

struct Entries<'p, 'n> {
    parent: &'p At<'n>,
    fields: &'static [&'static str],
    entries: std::vec::IntoIter<(Entry<'n>, Option<&'n Node>)>,
    value: Option<(String, Option<&'n Node>)>,
}

impl<'de> de::MapAccess<'de> for Entries<'_, '_> {
    type Error = Failure;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Failure> {
        let Some((entry, node)) = self.entries.next() else { return Ok(None) };
        let path = path::join(&self.parent.path, &entry.text());
        self.value = Some((path.clone(), node));
        let read = match entry {
            Entry::Written(key) => seed.deserialize(KeyAt(&key.kind)),
            Entry::Missing(key) => seed.deserialize(de::value::StrDeserializer::new(key)),
        };
        let origin = match entry {
            Entry::Written(key) => &key.origin,
            Entry::Missing(_) => &self.parent.node.origin,
        };
        read.map(Some).map_err(|failure: Failure| failure.at_origin(origin, &path))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Failure> {
        let Some((path, node)) = self.value.take() else {
            return Err(Failure::new(ErrorKind::Custom("a value was read before its key".into())));
        };
        let reading = self.parent.reading;
        let fields = self.fields;
        match node {
            Some(node) => {
                let at = At { node, path, reading, fields };
                let outer = at.clone();
                outer.place(seed.deserialize(at))
            }
            None => {
                let node = Node::new(Value::Null, self.parent.node.origin.clone());
                let at = At { node: &node, path, reading, fields };
                let outer = at.clone();
                outer.place(seed.deserialize(at))
            }
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}

/// The deserializer of a key: text, or the number that the type asks for.
struct KeyAt<'n>(&'n KeyKind);

impl<'de> de::Deserializer<'de> for KeyAt<'_> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.0 {
            KeyKind::Str(text) => visitor.visit_str(text),
            other => visitor.visit_string(other.text()),
        }
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let number = match self.0 {
            KeyKind::Int(value) => Some(*value),
            other => scalar::python_int(&other.text()),
        };
        match number {
            Some(value) => visit_int(visitor, value),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_enum(de::value::StringDeserializer::new(self.0.text()))
    }

    serde::forward_to_deserialize_any! {
        bool i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// An enum: a lone name, or `{name: content}`.
struct Variant<'n> {
    at: At<'n>,
    name: String,
    content: Option<&'n Node>,
    key: Option<&'n Key>,
}

impl<'n> Variant<'n> {
    fn inside(&self) -> Option<At<'n>> {
        let path = path::join(&self.at.path, &self.name);
        self.content.map(|node| At { node, path, reading: self.at.reading, fields: &[] })
    }

    fn without_content(&self) -> Failure {
        self.at.mismatch(&format!("a mapping `{{{}: ...}}` with the content", self.name))
    }
}

impl<'de, 'n> de::EnumAccess<'de> for Variant<'n> {
    type Error = Failure;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Failure> {
        let name = de::value::StrDeserializer::<Failure>::new(&self.name);
        let origin = self.key.map_or(&self.at.node.origin, |key| &key.origin);
        let read = seed.deserialize(name);
        let read = read.map_err(|failure| failure.at_origin(origin, &self.at.path))?;
        Ok((read, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_> {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        match self.inside() {
            Some(inside) if !matches!(inside.node.value, Value::Null) => {
                Err(inside.mismatch("nothing"))
            }
            _ => Ok(()),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Failure> {
        match self.inside() {
            Some(inside) => {
                let outer = inside.clone();
                outer.place(seed.deserialize(inside))
            }
            None if self.at.is_stand_in() => seed.deserialize(self.at),
            None => Err(self.without_content()),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match self.inside() {
            Some(inside) => de::Deserializer::deserialize_seq(inside, visitor),
            None => Err(self.without_content()),
        }
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match self.inside() {
            Some(inside) => inside.visit_entries(visitor, fields),
            None if self.at.is_stand_in() => self.at.visit_entries(visitor, fields),
            None => Err(self.without_content()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;
    use crate::{Document, resolve};

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Config {
        name: String,
        count: u32,
        #[serde(default)]
        rate: f64,
        #[serde(default)]
        flag: bool,
        #[serde(default)]
        inner: Option<Inner>,
        #[serde(default)]
        mode: Mode,
        #[serde(default)]
        kw: BTreeMap<String, i64>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Inner {
        items: Vec<u8>,
        port: u16,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Mode {
        #[default]
        Plain,
        Named(String),
        Both {
            a: i32,
        },
    }

    fn load(text: &str) -> Node {
        Document::from_str(text, "c.yaml").unwrap()
    }

    fn read(text: &str) -> Result<Config, Errors> {
        from_node(&load(text))
    }

    fn told(errors: &Errors) -> Vec<(String, String)> {
        errors
            .iter()
            .map(|error| (error.path().unwrap_or_default().to_owned(), error.origin().to_string()))
            .collect()
    }

    #[test]
    fn scalars_convert_as_typed_nodes_do() {
        let config = read("name: 1.50\ncount: '42'\nrate: '1e3'\nflag: 'on'\n").unwrap();
        assert_eq!(config.name, "1.5");
        assert_eq!(config.count, 42);
        assert_eq!(config.rate.to_bits(), 1000.0_f64.to_bits());
        assert!(config.flag);
        assert!(read("name: a\ncount: 1\nflag: 2\n").unwrap().flag);
        assert_eq!(read("name: true\ncount: 1\n").unwrap().name, "True");
    }

    #[test]
    fn what_typed_nodes_refuse_is_refused() {
        for (key, value) in [
            ("count", "2.0"),
            ("count", "true"),
            ("count", "'0x10'"),
            ("count", "-1"),
            ("count", "5000000000"),
            ("rate", "true"),
            ("rate", "x"),
            ("flag", "1.0"),
            ("flag", "maybe"),
            ("name", "null"),
            ("name", "[1]"),
            ("kw", "null"),
            ("mode", "other"),
            ("mode", "off"),
            ("mode", "named"),
            ("mode", "???"),
        ] {
            let mut values = BTreeMap::from([("name", "a"), ("count", "1")]);
            values.insert(key, value);
            let text: String = values.iter().map(|(k, v)| format!("{k}: {v}\n")).collect();
            let errors = read(&text).unwrap_err();
            let paths: Vec<_> = errors.iter().filter_map(Error::path).collect();
            assert_eq!(paths, [key], "{text}{errors}");
        }
    }

    #[test]
    fn all_problems_are_told_at_once_each_at_its_place() {
        let text = "count: many\nnane: x\ninner:\n  items: [1, 300, x]\n  port: ???\nkw: {a: b}\n";
        let errors = read(text).unwrap_err();
        let expected = [
            ("count", "c.yaml:1:8"),
            ("nane", "c.yaml:2:1"),
            ("inner.items[1]", "c.yaml:4:14"),
            ("inner.items[2]", "c.yaml:4:19"),
            ("inner.port", "c.yaml:5:9"),
            ("kw.a", "c.yaml:6:9"),
            ("name", "c.yaml:1:1"),
        ];
        assert_eq!(told(&errors), expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert!(errors.to_string().contains("did you mean `name`?"), "{errors}");
    }

    #[test]
    fn a_value_of_the_wrong_shape_is_told_once_and_not_again_for_its_parts() {
        let errors = read("name: a\ncount: 1\ninner: 5\nflag: x\n").unwrap_err();
        assert_eq!(
            told(&errors),
            [("inner", "c.yaml:3:8"), ("flag", "c.yaml:4:7")]
                .map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
    }

    #[test]
    fn a_missing_part_does_not_hide_what_follows() {
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only whether it can be read is of interest")]
        struct Outer {
            inner: Inner,
            next: u8,
        }
        let errors = from_node::<Outer>(&load("next: x\n")).unwrap_err();
        let paths: Vec<_> = errors.iter().filter_map(Error::path).collect();
        assert_eq!(paths, ["next", "inner"]);
    }

    #[test]
    fn strict_reading_refuses_keys_that_the_type_passes_over() {
        let node = load("items: [1]\nport: 2\nprot: 3\nother: {a: 1}\n");
        let (inner, ignored) = from_node_with_ignored::<Inner>(&node).unwrap();
        assert_eq!(inner.port, 2);
        assert_eq!(ignored.len(), 2);
        assert_eq!(ignored[0].near.as_deref(), Some("port"));
        let errors = from_node_strict::<Inner>(&node).unwrap_err();
        assert_eq!(errors.iter().count(), 2);
        assert_eq!(errors.first().kind(), &ErrorKind::UnknownKey("prot".into()));
    }

    #[test]
    fn enums_are_a_name_or_a_mapping_of_one_key() {
        let mode = |text: &str| {
            from_node::<BTreeMap<String, Mode>>(&load(text)).unwrap()["m"].clone_for_test()
        };
        assert_eq!(mode("m: plain\n"), Mode::Plain);
        assert_eq!(mode("m: {named: 5}\n"), Mode::Named("5".into()));
        assert_eq!(mode("m: {both: {a: '1'}}\n"), Mode::Both { a: 1 });
        let errors = from_node::<BTreeMap<String, Mode>>(&load("m: {both: {a: x}}\n")).unwrap_err();
        assert_eq!(errors.first().path(), Some("m.both.a"));
        let errors = from_node::<BTreeMap<String, Mode>>(&load("m: {bth: {a: 1}}\n")).unwrap_err();
        assert_eq!(errors.first().hint(), Some("did you mean `both`?"));
    }

    impl Mode {
        fn clone_for_test(&self) -> Self {
            match self {
                Self::Plain => Self::Plain,
                Self::Named(name) => Self::Named(name.clone()),
                Self::Both { a } => Self::Both { a: *a },
            }
        }
    }

    #[test]
    fn a_value_of_the_environment_is_not_repeated() {
        let env = BTreeMap::from([("S".to_owned(), "s3cret".to_owned())]);
        let node = resolve(&load("name: a\ncount: ${oc.env:S}\n"), &env).unwrap();
        let errors = from_node::<Config>(&node).unwrap_err();
        assert!(!errors.to_string().contains("s3cret"), "{errors}");
    }

    #[test]
    fn any_data_format_can_be_the_type() {
        let value: serde_json::Value = from_node(&load("a: [1, 2.5, null, x]\n1: on\n")).unwrap();
        assert_eq!(value, serde_json::json!({"a": [1, 2.5, null, "x"], "1": true}));
        let keys: BTreeMap<u8, String> = from_node(&load("1: a\n'2': b\n")).unwrap();
        assert_eq!(keys.into_keys().collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn a_type_that_never_ends_does_not_hang() {
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only whether it can be read is of interest")]
        struct Endless {
            next: Box<Endless>,
        }
        assert!(from_node::<Endless>(&load("next: {}\n")).is_err());
    }
}
