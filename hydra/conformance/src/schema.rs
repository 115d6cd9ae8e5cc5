//! The schemas of the vectors as schemas of ours.

use std::collections::BTreeMap;
use std::sync::Arc;

use hydra_compose::{EnumType, EnumValue, Node, Schema, Type, Value};

use crate::json::Json;
use crate::tree::{configuration, expected};

/// The structures (`subs`) and the enumerations (`enums`) that the types of a case name.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeMap<String, Type>);

impl Names {
    pub(crate) fn of(case: &Json) -> Result<Self, String> {
        let mut names = Self::default();
        for (name, members) in case.get("enums").map(Json::pairs).unwrap_or_default() {
            let members = members.pairs().iter().map(|(member, value)| {
                let value = match value {
                    Json::Int(number) => EnumValue::Int(*number),
                    other => EnumValue::Str(other.text().to_owned()),
                };
                (member.clone(), value)
            });
            let members = Arc::new(EnumType::new(name.as_str(), members));
            names.0.insert(name.clone(), Type::Enum(members));
        }
        for (name, fields) in case.get("subs").map(Json::pairs).unwrap_or_default() {
            let structure = schema(name, fields, &names)?.into_type().map_err(|e| e.to_string())?;
            names.0.insert(name.clone(), Type::Struct(structure));
        }
        Ok(names)
    }
}

/// A schema of a case: `{field: {type, default}}` or `{field: {nested: {...}}}`.
///
/// # Errors
/// A type that does not exist, or a default that does not fit.
pub(crate) fn node(name: &str, fields: &Json, names: &Names) -> Result<Node, String> {
    schema(name, fields, names)?.into_node().map_err(|errors| errors.to_string())
}

/// The vectors' maker named each class after the path of its config, and a nested one after its
/// field.
fn schema(name: &str, fields: &Json, names: &Names) -> Result<Schema, String> {
    let mut schema = Schema::new(name.replace('/', "_"));
    for (field, of) in fields.pairs() {
        if let Some(nested) = of.get("nested") {
            schema = schema.nested(field, self::schema(&capitalized(field), nested, names)?);
            continue;
        }
        let slot = Type::parse_with(of["type"].text(), |name| names.0.get(name).cloned())?;
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
