//! The schemas of the vectors as schemas of ours.

use hydra_compose::{Node, Schema, Type, Value};

use crate::json::Json;
use crate::tree::{configuration, expected};

/// A schema of a case: `{field: {type, default}}` or `{field: {nested: {...}}}`.
///
/// # Errors
/// A type that does not exist, or a default that does not fit.
pub(crate) fn node(name: &str, json: &Json) -> Result<Node, String> {
    schema(name, json)?.into_node().map_err(|errors| errors.to_string())
}

/// The vectors' maker named each class after the path of its config, and a nested one after its
/// field.
fn schema(name: &str, json: &Json) -> Result<Schema, String> {
    let mut schema = Schema::new(name.replace('/', "_"));
    for (field, of) in json.pairs() {
        if let Some(nested) = of.get("nested") {
            schema = schema.nested(field, self::schema(&capitalized(field), nested)?);
            continue;
        }
        let slot = Type::parse(of["type"].text())?;
        let default = of.get("default").map_or_else(
            || Node::from(Value::Missing),
            |default| configuration(&expected(default)),
        );
        schema = schema.field(field, slot, default);
    }
    Ok(schema)
}

fn capitalized(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
