//! One tree over another, as OmegaConf merges them.
//!
//! | module | what it does |
//! |---|---|
//! | `cursor` | a place in the tree that is being changed, and what may be done there |
//! | `maps` | a mapping over a mapping, a list over a list |
//! | `assign` | a value in a place: kept as it is, converted, or refused |
//! | `wrap` | plain data -> a value of a type |
//! | `hints` | a value that is there already -> the same, held to a type |

mod assign;
mod cursor;
mod hints;
mod maps;
mod wrap;

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind, Fault, FaultClass, FaultPlace};
use crate::interpolation::Interpolator;
use crate::source::Origin;
use crate::types::Type;
use crate::value::{Node, Value};

pub(crate) use assign::Input;
pub(crate) use cursor::{Cursor, Step, normal_key};
pub(crate) use wrap::instance;

/// Whether a tree takes keys that it does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strictness {
    /// No: OmegaConf's struct mode, in which Hydra keeps a configuration.
    #[default]
    Struct,
    /// Yes, except where a schema has the keys.
    Open,
}

/// Lays `over` over `base`: mappings merge key by key, everything else replaces.
///
/// `???` over a value leaves the value. Keys keep the order of their first appearance. Where either
/// tree has types, values are converted to them. Where `base` has an interpolation that leads to a
/// container and `over` has values for it, they go into a copy of that container; interpolations
/// that need the environment are not followed for this, use [`merge_with`] for them.
///
/// # Errors
/// [`ErrorKind::Config`]: a value that does not fit its type, a key that a schema does not have (in
/// struct mode: that `base` does not have), a mapping over a list or a list over a mapping. `base`
/// may then be half merged.
pub fn merge(base: &mut Node, over: &Node, strictness: Strictness) -> Result<(), Error> {
    let nothing = BTreeMap::new();
    merge_with(base, over, strictness, &Interpolator::new(&nothing))
}

/// As [`merge`], with resolvers for the interpolations that have to be followed.
///
/// # Errors
/// As [`merge`].
pub fn merge_with(
    base: &mut Node,
    over: &Node,
    strictness: Strictness,
    with: &Interpolator<'_>,
) -> Result<(), Error> {
    if Kind::of(base).is_container() && Kind::of(over).is_container() {
        return Cursor::new(base, strictness, with).merge(over);
    }
    if !matches!(over.value, Value::Missing) {
        *base = over.clone();
    }
    Ok(())
}

/// Which of OmegaConf's classes a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A mapping, or what stands in the place of one.
    Dict,
    /// A list, or what stands in the place of one.
    List,
    /// A scalar of one of several types.
    Union,
    /// A scalar with a type.
    Scalar,
    /// A scalar without a type.
    Any,
}

impl Kind {
    pub(crate) fn of(node: &Node) -> Self {
        match (&node.value, node.slot()) {
            (Value::Map(_), _) => Self::Dict,
            (Value::List(_), _) => Self::List,
            (_, Type::Dict(..) | Type::Struct(_)) => Self::Dict,
            (_, Type::List(_)) => Self::List,
            (_, Type::Union(_)) => Self::Union,
            (_, Type::Any) => Self::Any,
            _ => Self::Scalar,
        }
    }

    pub(crate) fn is_container(self) -> bool {
        matches!(self, Self::Dict | Self::List)
    }
}

/// Null, `???` and interpolations: they go wherever they are allowed, and nothing is converted.
pub(crate) fn is_special(value: &Value) -> bool {
    matches!(value, Value::Null | Value::Missing | Value::Interpolation(_))
}

/// A refusal whose place in the tree is told later, by the container that the value goes into.
pub(crate) fn refuse(class: FaultClass, message: impl Into<String>, origin: &Origin) -> Error {
    let fault = Fault { class, message: message.into(), place: None };
    Error::new(ErrorKind::Config(fault), origin.clone())
}

pub(crate) fn invalid(message: impl Into<String>, origin: &Origin) -> Error {
    refuse(FaultClass::Validation, message, origin)
}

/// Fills in the place of a refusal that has none yet.
pub(crate) fn located(mut error: Error, container: &Node, full_key: &str) -> Error {
    if let Some(fault) = error.fault_mut()
        && fault.place.is_none()
    {
        fault.message = fault.message.replace("$FULL_KEY", full_key);
        fault.place = Some(FaultPlace {
            full_key: full_key.to_owned(),
            reference_type: reference_type(container),
            object_type: object_type(container),
        });
    }
    if error.path().is_none() { error.with_path(full_key) } else { error }
}

fn reference_type(container: &Node) -> Option<String> {
    match (container.slot(), container.is_optional()) {
        (Type::Any, _) => None,
        (slot, false) => Some(slot.to_string()),
        (slot, true) => Some(format!("Optional[{slot}]")),
    }
}

fn object_type(container: &Node) -> String {
    match (container.object(), &container.value) {
        (Some(schema), _) => schema.name().to_owned(),
        (None, Value::Map(_)) => "dict".to_owned(),
        (None, Value::List(_)) => "list".to_owned(),
        _ => "NoneType".to_owned(),
    }
}

/// The name of the class that OmegaConf says a value is of: `dict` and `list` also for its own.
pub(crate) fn type_name(node: &Node) -> String {
    match (node.object(), Kind::of(node)) {
        (Some(schema), _) => schema.name().to_owned(),
        (None, Kind::Dict) => "dict".to_owned(),
        (None, Kind::List) => "list".to_owned(),
        _ => node.python_type(),
    }
}

#[cfg(test)]
mod tests;
