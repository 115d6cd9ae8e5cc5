//! Schemas of the vectors: `{field: {type, default}}`, or `{field: {nested: {...}}}`.

use hydra_compose::{KeyKind, Node, Value};

use crate::json::Json;
use crate::tree::{expected, key, node as in_memory};

/// A schema as a stored configuration.
pub(crate) fn node(_name: &str, fields: &Json) -> Result<Node, String> {
    let pairs = fields.pairs().iter().map(|(field, about)| {
        let value = match (about.get("nested"), about.get("default")) {
            (Some(nested), _) => node(field, nested)?,
            (None, Some(default)) => expected(default),
            (None, None) => in_memory(Value::Missing),
        };
        Ok((key(KeyKind::Str(field.clone())), value))
    });
    Ok(in_memory(Value::Map(pairs.collect::<Result<_, String>>()?)))
}
