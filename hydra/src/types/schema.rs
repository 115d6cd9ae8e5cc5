//! Structures with named, typed fields.

use std::sync::Arc;

use indexmap::IndexMap;

use super::{Type, Typed};
use crate::error::{Error, ErrorKind, Errors};
use crate::merge;
use crate::source::Origin;
use crate::value::{Key, KeyKind, Map, Node, Value};

/// The names that an [`Type::Enum`] takes.
#[derive(Debug, Clone, PartialEq)]
pub struct EnumType {
    name: String,
    members: Vec<(String, EnumValue)>,
}

/// What a name of an enumeration stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnumValue {
    /// A number, by which the member can be given too.
    Int(i128),
    /// A text, by which it cannot.
    Str(String),
}

/// A structure: its name, its fields with their types and defaults, the structure it extends.
#[derive(Debug, Clone)]
pub struct StructType {
    name: String,
    fields: IndexMap<String, Node>,
    base: Option<Arc<StructType>>,
}

/// Builds a [`StructType`].
#[derive(Debug)]
pub struct Schema {
    of: StructType,
    errors: Vec<Error>,
}

impl EnumType {
    /// An enumeration with its members in order.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        members: impl IntoIterator<Item = (String, EnumValue)>,
    ) -> Self {
        Self { name: name.into(), members: members.into_iter().collect() }
    }

    /// An enumeration of names; they stand for 1, 2 and so on.
    #[must_use]
    pub fn of_names<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Self {
        let members = (1..).zip(names).map(|(at, name)| (name.to_owned(), EnumValue::Int(at)));
        Self::new(name, members)
    }

    /// Its own name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of the members, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|(name, _)| name.as_str())
    }

    /// The member of a name, bare or as `Name.MEMBER`.
    pub(crate) fn by_name(&self, text: &str) -> Option<&str> {
        let bare = text.strip_prefix(&self.name).and_then(|rest| rest.strip_prefix('.'));
        let wanted = bare.unwrap_or(text);
        self.names().find(|name| *name == wanted)
    }

    /// The member that stands for a number.
    pub(crate) fn by_number(&self, number: i128) -> Option<&str> {
        let stands = |value: &EnumValue| *value == EnumValue::Int(number);
        self.members.iter().find(|(_, value)| stands(value)).map(|(name, _)| name.as_str())
    }
}

impl StructType {
    /// The name that messages show.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of the fields, in order.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }

    /// Whether this is the other structure, or extends it.
    pub(crate) fn extends(&self, other: &Self) -> bool {
        let mut one = Some(self);
        while let Some(this) = one {
            if this.name == other.name {
                return true;
            }
            one = this.base.as_deref();
        }
        false
    }

    /// Its fields with their defaults.
    pub(crate) fn defaults(&self) -> Map {
        let pairs = self.fields.iter();
        pairs.map(|(name, node)| (field_key(name), node.clone())).collect()
    }

    /// A mapping with its fields, none of them set.
    pub(crate) fn all_missing(&self) -> Map {
        let pairs = self.fields.iter();
        let missing = |node: &Node| {
            let mut node = node.clone();
            node.value = Value::Missing;
            node.forget_object();
            node
        };
        pairs.map(|(name, node)| (field_key(name), missing(node))).collect()
    }
}

/// Structures of one name are one structure.
impl PartialEq for StructType {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.fields == other.fields
    }
}

fn field_key(name: &str) -> Key {
    Key::new(KeyKind::Str(name.to_owned()), Origin::memory())
}

impl Schema {
    /// A structure without fields.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        let of = StructType { name: name.into(), fields: IndexMap::new(), base: None };
        Self { of, errors: Vec::new() }
    }

    /// A structure that starts with the fields of another, and goes wherever that one goes.
    #[must_use]
    pub fn extending(name: impl Into<String>, base: &Arc<StructType>) -> Self {
        let fields = base.fields.clone();
        let of = StructType { name: name.into(), fields, base: Some(Arc::clone(base)) };
        Self { of, errors: Vec::new() }
    }

    /// A field with its default, which is converted as any value is. For a structure, a mapping of
    /// what differs from its own defaults.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "a type is written where it is used")]
    pub fn field(mut self, name: &str, slot: Type, default: impl Into<Node>) -> Self {
        match merge::instance(&slot, default.into()) {
            Ok(node) => {
                self.of.fields.insert(name.to_owned(), node);
            }
            Err(refusal) => {
                let kind = ErrorKind::Type(format!("the default does not fit: {refusal}"));
                let path = format!("{}.{name}", self.of.name);
                self.errors.push(Error::new(kind, Origin::memory()).with_path(path));
            }
        }
        self
    }

    /// A field that has to be set.
    #[must_use]
    pub fn mandatory(self, name: &str, slot: Type) -> Self {
        self.field(name, slot, Value::Missing)
    }

    /// A field with a structure of its own, all of it at its defaults.
    #[must_use]
    pub fn nested(mut self, name: &str, schema: Self) -> Self {
        match schema.into_type() {
            Ok(inner) => self.field(name, Type::Struct(inner), Value::Map(Map::new())),
            Err(errors) => {
                self.errors.extend(errors);
                self
            }
        }
    }

    /// The structure.
    ///
    /// # Errors
    /// The defaults that do not fit their types.
    pub fn into_type(self) -> Result<Arc<StructType>, Errors> {
        Errors::check(self.errors)?;
        Ok(Arc::new(self.of))
    }

    /// A tree with its fields at their defaults, which is what a configuration is merged into.
    ///
    /// # Errors
    /// As [`Schema::into_type`].
    pub fn into_node(self) -> Result<Node, Errors> {
        self.into_type().map(|schema| Node::of_struct(&schema))
    }
}

impl Node {
    /// A structure at its defaults, in a place that takes anything.
    #[must_use]
    pub fn of_struct(schema: &Arc<StructType>) -> Self {
        let typed = Typed { slot: Type::Any, optional: true, object: Some(Arc::clone(schema)) };
        Self::in_memory(Value::Map(schema.defaults())).with_typed(typed)
    }
}
