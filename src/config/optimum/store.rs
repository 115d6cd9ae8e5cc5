//! The options as a store that configs are composed from.

use hydra_compose::{ConfigStore, Document, Errors, Map, Node, Type, Value};

use super::schemas::{Field, SCHEMAS, Schema};

/// Who stores the options, where it is shown.
const PROVIDER: &str = "optimum-benchmark";

/// The configs that those of optimum-benchmark build on.
#[must_use]
pub fn store() -> ConfigStore {
    let mut store = ConfigStore::new();
    for schema in SCHEMAS {
        // The tables are fixed, and a test holds that every one of them makes a node.
        if let Ok(node) = node(schema) {
            store.store(schema.group, schema.name, node, None, PROVIDER);
        }
    }
    store
}

fn node(schema: &Schema) -> Result<Node, Errors> {
    let name = match schema.group {
        "" => schema.name.to_owned(),
        group => format!("{group}_{}", schema.name),
    };
    let empty = hydra_compose::Schema::new(name);
    let filled = fields(schema).into_iter().try_fold(empty, |made, (name, kind, default)| {
        let kind = Type::parse(kind).unwrap_or(Type::Any);
        let default = match default {
            Default::Yaml(text) => read(text)?,
            Default::Text(text) => Node::in_memory(Value::Str(text.to_owned())),
        };
        Ok::<_, Errors>(made.field(name, kind, default))
    })?;
    filled.into_node()
}

/// The options without what is in them: enough to read defaults lists.
#[must_use]
pub fn names() -> ConfigStore {
    let mut store = ConfigStore::new();
    for schema in SCHEMAS {
        let empty = Node::in_memory(Value::Map(Map::new()));
        store.store(schema.group, schema.name, empty, None, PROVIDER);
    }
    store
}

/// A default; a document has to be a mapping, so it is read as the value of a key.
fn read(text: &str) -> Result<Node, Errors> {
    // Nearly all of the few hundred defaults are one of these, and a YAML reader for each costs more than
    // composing the config.
    let plain = match text {
        "null" => Some(Value::Null),
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        "{}" => Some(Value::Map(Map::new())),
        _ => None,
    };
    if let Some(value) = plain {
        return Ok(Node::in_memory(value));
    }
    let mut holder = Document::from_str(&format!("value: {text}"), PROVIDER)?;
    let value = holder.as_map_mut().and_then(|map| map.remove("value"));
    // Defaults are written nowhere that could be shown.
    Ok(Node::in_memory(value.map_or(Value::Null, |node| node.value)))
}

enum Default {
    Yaml(&'static str),
    Text(&'static str),
}

/// A backend's name comes first, then its version, then its class.
fn fields(schema: &Schema) -> Vec<(&'static str, &'static str, Default)> {
    let mut all = Vec::new();
    if let Some(target) = schema.target {
        all.push(("name", "str", Default::Text(schema.name)));
        if schema.group == "backend" {
            all.push(("version", "optional[str]", Default::Yaml("null")));
        }
        all.push(("_target_", "str", Default::Text(target)));
    }
    let tabled = schema.shared.iter().chain(schema.own);
    all.extend(tabled.map(|(name, kind, default): &Field| (*name, *kind, Default::Yaml(default))));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_makes_a_node_whose_types_are_known() {
        for schema in SCHEMAS {
            for (_, kind, _) in fields(schema) {
                Type::parse(kind).unwrap();
            }
            node(schema).unwrap();
        }
    }

    #[test]
    fn fields_keep_their_order_and_defaults() {
        let find = |group, name| {
            node(SCHEMAS.iter().find(|s| (s.group, s.name) == (group, name)).unwrap()).unwrap()
        };
        let vllm = find("backend", "vllm");
        let keys: Vec<&str> = vllm.as_map().unwrap().text_keys().collect();
        assert_eq!(keys[..4], ["name", "version", "_target_", "model"]);
        assert_eq!(keys[keys.len() - 3..], ["no_weights", "serving_mode", "engine_args"]);
        assert_eq!(vllm.at("seed").unwrap().value, Value::Int(42));
        let torchrun = find("launcher", "torchrun");
        assert_eq!(torchrun.at("rdzv_configs.timeout").unwrap().value, Value::Int(-1));
        assert_eq!(find("", "benchmark").at("name").unwrap().value, Value::Missing);
    }
}
