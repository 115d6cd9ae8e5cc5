//! Plain data -> a value of a type.

use std::collections::BTreeMap;

use super::cursor::normal_key;
use super::{Cursor, Strictness, invalid, is_special, type_name};
use crate::error::Error;
use crate::interpolation::Interpolator;
use crate::types::{KeyType, Type, Typed, convert, refuse_null, shown};
use crate::value::{Map, Node, Value};

/// Makes a value of a type out of plain data; what is in it gets its types too.
pub(super) fn wrap(hint: &Type, mut node: Node) -> Result<Node, Error> {
    let (optional, slot) = hint.split();
    if *slot == Type::Any {
        return Ok(node);
    }
    if matches!(node.value, Value::Null) && !optional {
        return Err(refuse_none(slot, &node));
    }
    if !is_special(&node.value) {
        let value = std::mem::replace(&mut node.value, Value::Null);
        node.value = match (slot, value) {
            (Type::Dict(keys, of), Value::Map(map)) => Value::Map(wrap_map(keys, of, map)?),
            (Type::List(of), Value::List(items)) => Value::List(wrap_list(of, items)?),
            (slot, value) => {
                node.value = value;
                check_assignable(slot, &node)?;
                convert(slot, &node).map_err(|message| invalid(message, &node.origin))?
            }
        };
    }
    Ok(node.with_typed(Typed::of(hint)))
}

fn refuse_none(slot: &Type, node: &Node) -> Error {
    let message = match slot {
        Type::Dict(..) | Type::Struct(_) => "field '$FULL_KEY' is not Optional".to_owned(),
        Type::List(_) => "Non optional ListConfig cannot be constructed from None".to_owned(),
        slot => refuse_null(slot),
    };
    invalid(message, &node.origin)
}

fn wrap_map(keys: &KeyType, of: &Type, map: Map) -> Result<Map, Error> {
    let pairs = map.into_pairs().map(|(key, node)| {
        let key = normal_key(keys, &key)?;
        check_not_none(of, &node)?;
        Ok((key, wrap(of, node)?))
    });
    pairs.collect()
}

fn wrap_list(of: &Type, items: Vec<Node>) -> Result<Vec<Node>, Error> {
    let wrapped = items.into_iter().map(|item| {
        check_item(of, &item)?;
        wrap(of, item)
    });
    wrapped.collect()
}

/// What a mapping asks of a value before it takes it.
pub(super) fn check_not_none(hint: &Type, node: &Node) -> Result<(), Error> {
    if matches!(node.value, Value::Null) && !hint.split().0 {
        return Err(invalid("field '$FULL_KEY' is not Optional", &node.origin));
    }
    Ok(())
}

/// What a list asks of an item before it takes it.
pub(super) fn check_item(hint: &Type, node: &Node) -> Result<(), Error> {
    let (optional, slot) = hint.split();
    let fits = match (&node.value, slot) {
        (Value::Missing, _) => true,
        (Value::Null, _) => optional,
        (_, Type::Struct(schema)) => node.object().is_some_and(|own| own.extends(schema)),
        _ => true,
    };
    if fits { Ok(()) } else { Err(not_a_subclass(slot, node)) }
}

pub(super) fn not_a_subclass(slot: &Type, node: &Node) -> Error {
    let (name, shown) = (type_name(node), shown(node));
    let message =
        format!("Invalid type assigned: {name} is not a subclass of {slot}. value: {shown}");
    invalid(message, &node.origin)
}

/// Whether a place of a container type takes a value at all. Scalar types take what converts.
pub(super) fn check_assignable(slot: &Type, node: &Node) -> Result<(), Error> {
    match (slot, &node.value) {
        (_, Value::Null | Value::Missing | Value::Interpolation(_)) => Ok(()),
        (Type::Struct(schema), _) => {
            let fits = node.object().is_some_and(|own| own.extends(schema));
            if fits { Ok(()) } else { Err(not_a_subclass(slot, node)) }
        }
        (Type::Dict(..), Value::Map(_)) if node.object().is_none() => Ok(()),
        (Type::Dict(..), Value::List(_)) => Err(not_a_subclass(slot, node)),
        (Type::Dict(..), _) => {
            let message = format!("Cannot assign {} to {slot}", type_name(node));
            Err(invalid(message, &node.origin))
        }
        (Type::List(_), Value::List(_)) => Ok(()),
        (Type::List(_), _) => {
            let name = list_input_name(node);
            let message =
                format!("Invalid value assigned: {name} is not a ListConfig, list or tuple.");
            Err(invalid(message, &node.origin))
        }
        _ => Ok(()),
    }
}

/// A scalar of a file is a node of its own class in OmegaConf, one of the command line is not.
fn list_input_name(node: &Node) -> String {
    match node.value {
        Value::Map(_) => node.python_type(),
        _ if node.origin.override_text().is_some() => node.python_type(),
        _ => "AnyNode".to_owned(),
    }
}

/// The value of a field of a schema: its default, as a value of its type. For a structure the
/// default is what differs from the defaults of its own fields.
pub(crate) fn instance(slot: &Type, default: Node) -> Result<Node, Error> {
    let (optional, inner) = slot.split();
    match (inner, &default.value) {
        (Type::Struct(schema), Value::Map(_)) if default.object().is_none() => {
            let object = Some(schema.clone());
            let typed = Typed { slot: inner.clone(), optional, object };
            let mut node = Node::in_memory(Value::Map(schema.defaults())).with_typed(typed);
            let nothing = BTreeMap::new();
            let with = Interpolator::new(&nothing);
            Cursor::new(&mut node, Strictness::Open, &with).merge(&default)?;
            Ok(node)
        }
        (Type::Struct(_), Value::Map(_)) => {
            check_assignable(inner, &default)?;
            let inner = inner.clone();
            let mut node = default;
            node.retype(|typed| (typed.slot, typed.optional) = (inner, optional));
            Ok(node)
        }
        _ => wrap(slot, default),
    }
}
