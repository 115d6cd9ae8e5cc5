//! The JSON Schema of a config file, for editors.
//!
//! A file is not the config: it may leave to others what it includes, its values may be interpolations
//! or `???`, and it may speak to Hydra. The schema of the types is widened by that.

use serde_json::{Map, Value, json};

use super::BenchmarkConfig;

/// The definition that stands for what is no value yet.
const UNRESOLVED: &str = "Unresolved";

/// The JSON Schema of a config, as the types are: every value resolved.
#[must_use]
pub fn resolved_schema() -> Value {
    schemars::schema_for!(BenchmarkConfig).to_value()
}

/// The JSON Schema of a config file: also defaults lists, interpolations and Hydra's own keys.
#[must_use]
pub fn schema() -> Value {
    let mut schema = resolved_schema();
    widen(&mut schema);
    if let Some(Value::Object(definitions)) = schema.get_mut("$defs") {
        definitions.values_mut().for_each(widen);
        definitions.insert(UNRESOLVED.to_owned(), unresolved());
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.insert("defaults".to_owned(), defaults());
        properties.insert("hydra".to_owned(), hydra());
    }
    schema
}

fn unresolved() -> Value {
    json!({
        "type": "string",
        "description": "An interpolation, `${...}`, or `???` for a value that must be given later.",
        "anyOf": [{"pattern": "\\$\\{"}, {"const": "???"}],
    })
}

fn defaults() -> Value {
    json!({
        "type": "array",
        "description": "Configs that this one is composed from, in order: `group: option`, `name`, \
                        `optional ...`, `override ...`; `_self_` is this file.",
        "items": {"anyOf": [
            {"type": "string"},
            {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": {
                "anyOf": [{"type": ["string", "null"]}, {"type": "array", "items": {"type": "string"}}]
            }},
        ]},
    })
}

fn hydra() -> Value {
    json!({
        "type": "object",
        "description": "Hydra's own settings: `run.dir`, `sweep.dir`, `sweep.subdir`, `sweeper.params`, \
                        `mode`, `job.chdir`, `job.env_set`, `searchpath`.",
    })
}

/// What a file may leave out or write as an interpolation.
fn widen(schema: &mut Value) {
    let Value::Object(object) = schema else { return };
    object.remove("required");
    // Without the key that tells them apart several variants fit; that is no mistake of a file.
    if let Some(variants) = object.remove("oneOf") {
        object.insert("anyOf".to_owned(), variants);
    }
    if let Some(Value::Array(variants)) = object.get_mut("anyOf") {
        variants.iter_mut().for_each(widen);
    }
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        properties.values_mut().for_each(or_unresolved);
    }
    for inside in ["items", "additionalProperties"] {
        if let Some(inside) = object.get_mut(inside).filter(|inside| inside.is_object()) {
            or_unresolved(inside);
        }
    }
}

/// The schema itself, or text that becomes a value later.
fn or_unresolved(schema: &mut Value) {
    widen(schema);
    let Value::Object(object) = schema else { return };
    if object.is_empty() || takes_any_text(object) {
        return;
    }
    // What editors show stays outside.
    let outside = ["description", "default", "title"]
        .into_iter()
        .filter_map(|key| object.remove(key).map(|value| (key.to_owned(), value)))
        .collect::<Map<_, _>>();
    let inside = std::mem::take(object);
    *object = outside;
    object.insert("anyOf".to_owned(), json!([inside, {"$ref": format!("#/$defs/{UNRESOLVED}")}]));
}

fn takes_any_text(object: &Map<String, Value>) -> bool {
    let text = match object.get("type") {
        Some(Value::String(kind)) => kind == "string",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "string"),
        _ => false,
    };
    text && !["enum", "const", "pattern", "format"].iter().any(|key| object.contains_key(*key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_may_be_an_interpolation_and_text_needs_no_leave() {
        let schema = schema();
        let samples = &schema["$defs"]["ScenarioConfig"]["properties"]["num_samples"];
        assert!(samples["anyOf"][1]["$ref"] == "#/$defs/Unresolved", "{samples}");
        assert!(samples["description"].is_string(), "{samples}");
        let name = &schema["properties"]["name"];
        assert!(name.get("anyOf").is_none(), "{name}");
    }

    #[test]
    fn a_file_may_leave_out_what_another_gives_and_name_others() {
        let schema = schema();
        assert!(!schema.to_string().contains("\"required\""));
        assert!(schema["properties"]["defaults"].is_object());
        assert!(schema["properties"]["hydra"].is_object());
        assert_eq!(resolved_schema()["properties"].get("defaults"), None);
    }
}
