//! A value that is there already -> the same, held to a type. Nothing is converted.

use super::wrap::wrap;
use super::{Kind, invalid, is_special, refuse};
use crate::error::{Error, FaultClass};
use crate::types::{KeyType, Type, shown};
use crate::value::{KeyKind, Node, Value};

/// Holds a node, and all that is in it, to a type.
pub(super) fn hold(node: &mut Node, hint: &Type) -> Result<(), Error> {
    let (optional, slot) = hint.split();
    if *slot == Type::Any {
        return Ok(());
    }
    check(node, hint)?;
    // A scalar stays what it is: it fits, and only its place says what may replace it.
    match Kind::of(node) {
        Kind::Any => return Ok(()),
        Kind::Scalar | Kind::Union => node.retype(|typed| typed.optional = optional),
        Kind::Dict | Kind::List => {
            let slot = slot.clone();
            node.retype(|typed| (typed.slot, typed.optional) = (slot, optional));
        }
    }
    match (slot, &mut node.value) {
        (Type::List(of), Value::List(items)) => {
            items.iter_mut().try_for_each(|item| hold_below(item, of))
        }
        (Type::Dict(keys, of), Value::Map(map)) => map.iter_mut().try_for_each(|(key, child)| {
            if !is_of(keys, &key.kind) {
                let message =
                    format!("Key '{}' is incompatible with key type hint '{keys}'", key.text());
                return Err(refuse(FaultClass::KeyValidation, message, &key.origin));
            }
            hold_below(child, of)
        }),
        _ => Ok(()),
    }
}

fn hold_below(child: &mut Node, of: &Type) -> Result<(), Error> {
    if is_special(&child.value) {
        *child = wrap(of, Node::new(child.value.clone(), child.origin.clone()))?;
    }
    hold(child, of)
}

fn is_of(keys: &KeyType, key: &KeyKind) -> bool {
    match (keys, key) {
        (KeyType::Any, _)
        | (KeyType::Str, KeyKind::Str(_))
        | (KeyType::Int, KeyKind::Int(_) | KeyKind::Bool(_))
        | (KeyType::Float, KeyKind::Float(_))
        | (KeyType::Bool, KeyKind::Bool(_)) => true,
        (KeyType::Enum(names), KeyKind::Str(text)) => names.names().any(|name| name == text),
        _ => false,
    }
}

fn check(node: &Node, hint: &Type) -> Result<(), Error> {
    let (optional, slot) = hint.split();
    let fits = match (&node.value, slot) {
        (Value::Null, _) => optional,
        (Value::Missing | Value::Interpolation(_), _) => true,
        (Value::Map(_), Type::Dict(..) | Type::Struct(_)) | (Value::List(_), Type::List(_)) => true,
        (Value::Bool(_), Type::Bool | Type::Int)
        | (Value::Int(_), Type::Int)
        | (Value::Float(_), Type::Float)
        | (Value::Bytes(_), Type::Bytes) => true,
        (Value::Str(_), slot) => match (node.slot(), slot) {
            (Type::Path, other) => *other == Type::Path,
            (Type::Enum(own), Type::Enum(names)) => own.name() == names.name(),
            (Type::Enum(_), _) => false,
            (_, other) => *other == Type::Str,
        },
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let message = if node.value.is_container() {
        format!("'{}' is incompatible with type hint '{slot}'", node.python_type())
    } else {
        let (shown, kind) = (shown(node), node.python_type());
        format!("Value {shown} ({kind}) is incompatible with type hint '{slot}'")
    };
    Err(invalid(message, &node.origin))
}
