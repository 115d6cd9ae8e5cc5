//! Scalars that existing configs write in more than one way.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

/// A switch that older configs also fill with a word (`reasoning: high`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum BoolOrText {
    /// On or off.
    Bool(bool),
    /// A word.
    Text(String),
}

/// GPU selection: an index, a UUID or the beginning of one; one value, a list, or `"0,1"`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct DeviceIds(pub Vec<String>);

/// One text or several.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct TextList(pub Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Item {
    Number(u64),
    Text(String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(Item),
    Many(Vec<Item>),
}

impl Item {
    fn into_text(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text,
        }
    }
}

impl<'de> Deserialize<'de> for DeviceIds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts: Vec<String> = match OneOrMany::deserialize(deserializer)? {
            OneOrMany::One(item) => {
                item.into_text().split(',').map(|id| id.trim().to_owned()).collect()
            }
            OneOrMany::Many(items) => items.into_iter().map(Item::into_text).collect(),
        };
        Ok(Self(texts.into_iter().filter(|id| !id.is_empty()).collect()))
    }
}

impl<'de> Deserialize<'de> for TextList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match OneOrMany::deserialize(deserializer)? {
            OneOrMany::One(item) => vec![item.into_text()],
            OneOrMany::Many(items) => items.into_iter().map(Item::into_text).collect(),
        }))
    }
}

fn one_or_many(description: &str) -> Schema {
    json_schema!({
        "description": description,
        "anyOf": [
            {"type": "integer", "minimum": 0},
            {"type": "string"},
            {"type": "array", "items": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}]}}
        ]
    })
}

impl JsonSchema for DeviceIds {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DeviceIds".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        one_or_many("GPU indices, UUIDs or UUID prefixes: one, a list, or \"0,1\".")
    }
}

impl JsonSchema for TextList {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TextList".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        one_or_many("One text or a list of them.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_ids_read_every_spelling_in_use() {
        for (text, expected) in [
            ("0", vec!["0"]),
            ("\"0, 1\"", vec!["0", "1"]),
            ("[0, 1]", vec!["0", "1"]),
            ("[\"GPU-4f1\"]", vec!["GPU-4f1"]),
            ("[]", vec![]),
        ] {
            assert_eq!(serde_json::from_str::<DeviceIds>(text).unwrap().0, expected, "{text}");
        }
    }
}
