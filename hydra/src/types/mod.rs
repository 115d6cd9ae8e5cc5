//! The types that a configuration may be held to, as OmegaConf 2.3 has them.

mod convert;
mod parse;
mod schema;

use std::fmt;
use std::sync::Arc;

pub use schema::{EnumType, EnumValue, Schema, StructType};

pub(crate) use convert::{convert, refuse_null, shown};

/// The type of a slot: of a field, of the items of a list, of the values of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// Anything, null included; values stay as they are written.
    Any,
    /// A truth value; `yes`, `on`, `1` and so on become one.
    Bool,
    /// A whole number; the text of one becomes one, a float never does.
    Int,
    /// A float; whole numbers and the texts of numbers become one.
    Float,
    /// Text; every other scalar becomes its text, as Python's `str` gives it.
    Str,
    /// Binary data, from nothing else.
    Bytes,
    /// A path, from text. The tree holds it as text without `//`, `/./` and a slash at the end.
    Path,
    /// One of a list of names. The tree holds the name.
    Enum(Arc<EnumType>),
    /// One of several scalar types; nothing is converted.
    Union(Vec<Type>),
    /// A list whose items have a type.
    List(Box<Type>),
    /// A mapping whose keys and values have types.
    Dict(KeyType, Box<Type>),
    /// A mapping with the fields of a schema.
    Struct(Arc<StructType>),
    /// The type, or null.
    Optional(Box<Type>),
}

/// The type of the keys of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyType {
    /// Anything but null.
    Any,
    /// Text.
    Str,
    /// Whole numbers, and truth values as Python has them.
    Int,
    /// Floats.
    Float,
    /// Truth values, and 0 and 1.
    Bool,
    /// Binary data; no key that can be written is.
    Bytes,
    /// The names of a list.
    Enum(Arc<EnumType>),
}

/// What a node is held to: the slot that it stands in, and the schema that its fields come from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Typed {
    /// The type of the slot, without its `Optional`.
    pub(crate) slot: Type,
    /// Whether the slot takes null.
    pub(crate) optional: bool,
    /// The schema of the fields, for a mapping that has one.
    pub(crate) object: Option<Arc<StructType>>,
}

impl Type {
    /// Reads a type: `int`, `optional[str]`, `list[float]`, `dict[str,any]`, `union[int,str]`.
    ///
    /// # Errors
    /// The reason, for an unknown name, unbalanced brackets, or a wrong number of arguments.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse::parse(text, &|_| None)
    }

    /// The same with names of your own: structures and enumerations.
    ///
    /// # Errors
    /// As [`Type::parse`].
    pub fn parse_with(text: &str, known: impl Fn(&str) -> Option<Self>) -> Result<Self, String> {
        parse::parse(text, &known)
    }

    /// The type, or null. `Optional(Any)` is `Any`.
    #[must_use]
    pub fn optional(self) -> Self {
        match self {
            Self::Any | Self::Optional(_) => self,
            other => Self::Optional(Box::new(other)),
        }
    }

    /// Whether null is taken, and the type without that.
    #[must_use]
    pub(crate) fn split(&self) -> (bool, &Self) {
        match self {
            Self::Any => (true, self),
            Self::Optional(inner) => (true, inner.split().1),
            other => (false, other),
        }
    }

    /// `bool`, `int` and the like, enumerations among them.
    #[must_use]
    pub(crate) fn is_primitive(&self) -> bool {
        matches!(
            self,
            Self::Bool
                | Self::Int
                | Self::Float
                | Self::Str
                | Self::Bytes
                | Self::Path
                | Self::Enum(_)
        )
    }

    /// A list, or a mapping without fields of its own.
    #[must_use]
    pub(crate) fn is_plain_container(&self) -> bool {
        matches!(self, Self::List(_) | Self::Dict(..))
    }

    #[must_use]
    pub(crate) fn is_container(&self) -> bool {
        self.is_plain_container() || matches!(self, Self::Struct(_))
    }
}

impl Typed {
    pub(crate) fn of(slot: &Type) -> Self {
        let (optional, slot) = slot.split();
        Self { slot: slot.clone(), optional, object: None }
    }
}

/// As Python writes the annotation, which is how messages show it.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("Any"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Float => f.write_str("float"),
            Self::Str => f.write_str("str"),
            Self::Bytes => f.write_str("bytes"),
            Self::Path => f.write_str("Path"),
            Self::Enum(names) => f.write_str(names.name()),
            Self::Union(types) => {
                f.write_str("Union[")?;
                for (index, one) in types.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{one}")?;
                }
                f.write_str("]")
            }
            Self::List(item) => write!(f, "List[{item}]"),
            Self::Dict(key, value) => write!(f, "Dict[{key}, {value}]"),
            Self::Struct(schema) => f.write_str(schema.name()),
            Self::Optional(inner) => write!(f, "Optional[{inner}]"),
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "Any",
            Self::Str => "str",
            Self::Int => "int",
            Self::Float => "float",
            Self::Bool => "bool",
            Self::Bytes => "bytes",
            Self::Enum(names) => names.name(),
        })
    }
}

#[cfg(test)]
mod tests;
