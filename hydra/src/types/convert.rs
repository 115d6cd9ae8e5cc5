//! A scalar -> the type of its slot, by the rules of OmegaConf.

use super::{EnumType, Type};
use crate::scalar;
use crate::value::{Node, Value};

/// Converts a value to a scalar type. Null is the caller's matter, and so are `???` and
/// interpolations, which wait.
///
/// # Errors
/// What is wrong, as OmegaConf says it.
pub(crate) fn convert(slot: &Type, node: &Node) -> Result<Value, String> {
    let value = &node.value;
    match slot {
        Type::Bool => to_bool(node),
        Type::Int => to_int(value).ok_or_else(|| unfit(node, "could not be converted to Integer")),
        Type::Float => {
            to_float(value).ok_or_else(|| unfit(node, "could not be converted to Float"))
        }
        Type::Str => to_text(node).map(Value::Str),
        Type::Bytes => match value {
            Value::Bytes(_) => Ok(value.clone()),
            _ => Err(unfit(node, "is not of type 'bytes'")),
        },
        Type::Path => match value {
            Value::Str(text) if !is_enum(node) => Ok(Value::Str(normal_path(text))),
            _ => Err(unfit(node, "could not be converted to Path")),
        },
        Type::Enum(names) => to_member(names, node).map(|name| Value::Str(name.to_owned())),
        Type::Union(options) => union(options, node, slot),
        _ => Ok(value.clone()),
    }
}

/// What OmegaConf says of a null in a slot of a scalar that takes none.
pub(crate) fn refuse_null(slot: &Type) -> String {
    if let Type::Union(_) = slot {
        return format!("Value 'None' is incompatible with type hint '{slot}'");
    }
    format!("Incompatible value 'None' for field of type '{slot}'")
}

/// A value as Python's `str` shows it.
pub(crate) fn shown(node: &Node) -> String {
    match (node.slot(), &node.value) {
        (Type::Enum(names), Value::Str(name)) => format!("{}.{name}", names.name()),
        (_, value) => scalar::python_str(value),
    }
}

fn unfit(node: &Node, why: &str) -> String {
    format!("Value '{}' of type '{}' {why}", shown(node), node.python_type())
}

fn is_enum(node: &Node) -> bool {
    matches!(node.slot(), Type::Enum(_))
}

fn to_int(value: &Value) -> Option<Value> {
    match value {
        Value::Int(_) => Some(value.clone()),
        Value::Str(text) => scalar::python_int(text).map(Value::Int),
        _ => None,
    }
}

fn to_float(value: &Value) -> Option<Value> {
    match value {
        Value::Float(_) => Some(value.clone()),
        Value::Int(whole) => Some(Value::Float(nearest_float(*whole))),
        Value::Str(text) => scalar::python_float_from(text).map(Value::Float),
        _ => None,
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "what Python's float() does"
)]
fn nearest_float(whole: i128) -> f64 {
    whole as f64
}

fn to_bool(node: &Node) -> Result<Value, String> {
    let found = match &node.value {
        Value::Bool(value) => Some(*value),
        Value::Int(value) => Some(*value != 0),
        Value::Str(text) if !is_enum(node) => scalar::python_int(text).map_or_else(
            || match text.to_lowercase().as_str() {
                "yes" | "y" | "on" | "true" => Some(true),
                "no" | "n" | "off" | "false" => Some(false),
                _ => None,
            },
            |number| Some(number != 0),
        ),
        _ => None,
    };
    found.map(Value::Bool).ok_or_else(|| {
        format!("Value '{}' is not a valid bool (type {})", shown(node), node.python_type())
    })
}

fn to_text(node: &Node) -> Result<String, String> {
    match &node.value {
        Value::List(_) | Value::Map(_) | Value::Bytes(_) => {
            Err(format!("Cannot convert '{}' to string: '{}'", node.python_type(), shown(node)))
        }
        _ => Ok(shown(node)),
    }
}

fn to_member<'n>(names: &'n EnumType, node: &Node) -> Result<&'n str, String> {
    let found = match &node.value {
        Value::Str(text) => match node.slot() {
            Type::Enum(own) if own.name() != names.name() => None,
            _ => Some(names.by_name(text)),
        },
        Value::Int(number) => Some(names.by_number(*number)),
        Value::Bool(_) => Some(None),
        _ => None,
    };
    match found {
        Some(Some(name)) => Ok(name),
        Some(None) => {
            let valid: Vec<_> = names.names().collect();
            Err(format!("Invalid value '{}', expected one of [{}]", shown(node), valid.join(", ")))
        }
        None => Err(format!(
            "Value {} ({}) is not a valid input for <enum '{}'>",
            shown(node),
            node.python_type(),
            names.name()
        )),
    }
}

fn union(options: &[Type], node: &Node, slot: &Type) -> Result<Value, String> {
    let exact = options.iter().any(|option| match (option, &node.value) {
        (Type::Bool, Value::Bool(_))
        | (Type::Int, Value::Int(_))
        | (Type::Float, Value::Float(_))
        | (Type::Bytes, Value::Bytes(_)) => true,
        (Type::Str, Value::Str(_)) => !matches!(node.slot(), Type::Enum(_) | Type::Path),
        (Type::Path, Value::Str(_)) => matches!(node.slot(), Type::Path),
        (Type::Enum(names), Value::Str(_)) => {
            matches!(node.slot(), Type::Enum(own) if own.name() == names.name())
        }
        _ => false,
    });
    if exact {
        return Ok(node.value.clone());
    }
    Err(if node.value.is_container() {
        let (shown, kind) = (shown(node), node.python_type());
        format!("Cannot assign container '{shown}' of type '{kind}' to {slot}")
    } else {
        unfit(node, &format!("is incompatible with type hint '{slot}'"))
    })
}

/// As `str(pathlib.PurePosixPath(text))`.
fn normal_path(text: &str) -> String {
    let slashes = text.chars().take_while(|c| *c == '/').count();
    let root = match slashes {
        0 => "",
        2 => "//",
        _ => "/",
    };
    let parts: Vec<_> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    match (root, parts.is_empty()) {
        ("", true) => ".".to_owned(),
        _ => format!("{root}{}", parts.join("/")),
    }
}
