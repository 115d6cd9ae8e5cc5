//! The schemas of Hydra's own configuration: what may stand under the key `hydra`.

use std::sync::Arc;

use crate::source::Origin;
use crate::types::{EnumType, KeyType, Schema, Type};
use crate::value::{Key, KeyKind, Map, Node, Value};

/// Everything that Hydra keeps in its store, by path with extension.
pub(super) fn stored() -> Map {
    let mut config = built(config());
    if let Some(map) = config.as_map_mut() {
        map.insert(key("defaults"), defaults());
    }
    Map::from_iter([
        (key("hydra/launcher/basic.yaml"), built(launcher())),
        (key("hydra/sweeper/basic.yaml"), built(sweeper())),
        (key("hydra/config.yaml"), config),
    ])
}

fn built(schema: Schema) -> Node {
    schema
        .into_node()
        .expect("every default below is of its own type, and a test builds all of them")
}

fn key(name: &str) -> Key {
    Key::new(KeyKind::Str(name.to_owned()), Origin::memory())
}

fn text(text: &str) -> Value {
    Value::Str(text.to_owned())
}

fn no_items() -> Value {
    Value::List(Vec::new())
}

fn no_keys() -> Value {
    Value::Map(Map::new())
}

fn texts() -> Type {
    Type::List(Box::new(Type::Str))
}

fn dict_of(values: Type) -> Type {
    Type::Dict(KeyType::Str, Box::new(values))
}

/// The groups below `hydra/` and the options that are chosen of them.
fn defaults() -> Node {
    let chosen = [
        ("output", Some("default")),
        ("launcher", Some("basic")),
        ("sweeper", Some("basic")),
        ("help", Some("default")),
        ("hydra_help", Some("default")),
        ("hydra_logging", Some("default")),
        ("job_logging", Some("default")),
        ("callbacks", None),
        ("env", Some("default")),
    ];
    let items = chosen.map(|(group, option)| {
        let option = Node::in_memory(option.map_or(Value::Null, text));
        Node::in_memory(Value::Map(Map::from_iter([(key(group), option)])))
    });
    Node::in_memory(Value::List(items.into()))
}

fn launcher() -> Schema {
    let target = "hydra._internal.core_plugins.basic_launcher.BasicLauncher";
    Schema::new("BasicLauncherConf").field("_target_", Type::Str, text(target))
}

fn sweeper() -> Schema {
    let target = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper";
    Schema::new("BasicSweeperConf")
        .field("_target_", Type::Str, text(target))
        .field("max_batch_size", Type::Int.optional(), Value::Null)
        .field("params", dict_of(Type::Str).optional(), Value::Null)
}

fn config() -> Schema {
    let mode = EnumType::of_names("RunMode", ["RUN", "MULTIRUN"]);
    Schema::new("HydraConf")
        .field("mode", Type::Enum(Arc::new(mode)).optional(), Value::Null)
        .field("searchpath", texts(), no_items())
        .nested("run", Schema::new("RunDir").mandatory("dir", Type::Str))
        .nested(
            "sweep",
            Schema::new("SweepDir").mandatory("dir", Type::Str).mandatory("subdir", Type::Str),
        )
        .mandatory("hydra_logging", dict_of(Type::Any))
        .mandatory("job_logging", dict_of(Type::Any))
        .mandatory("sweeper", Type::Any)
        .mandatory("launcher", Type::Any)
        .field("callbacks", dict_of(Type::Any), no_keys())
        .nested(
            "help",
            Schema::new("HelpConf")
                .mandatory("app_name", Type::Str)
                .mandatory("header", Type::Str)
                .mandatory("footer", Type::Str)
                .mandatory("template", Type::Str),
        )
        .nested(
            "hydra_help",
            Schema::new("HydraHelpConf")
                .mandatory("hydra_help", Type::Str)
                .mandatory("template", Type::Str),
        )
        .field("output_subdir", Type::Str.optional(), text(".hydra"))
        .nested(
            "overrides",
            Schema::new("OverridesConf").field("hydra", texts(), no_items()).field(
                "task",
                texts(),
                no_items(),
            ),
        )
        .nested("job", job())
        .nested("runtime", runtime())
        .field("verbose", Type::Any, Value::Bool(false))
}

fn job() -> Schema {
    let override_dirname = Schema::new("OverrideDirname")
        .field("kv_sep", Type::Str, text("="))
        .field("item_sep", Type::Str, text(","))
        .field("exclude_keys", texts(), no_items());
    Schema::new("JobConf")
        .mandatory("name", Type::Str)
        .field("chdir", Type::Bool.optional(), Value::Null)
        .mandatory("override_dirname", Type::Str)
        .mandatory("id", Type::Str)
        .mandatory("num", Type::Int)
        .mandatory("config_name", Type::Str.optional())
        .field("env_set", dict_of(Type::Str), no_keys())
        .field("env_copy", texts(), no_items())
        .nested("config", Schema::new("JobConfig").nested("override_dirname", override_dirname))
}

fn runtime() -> Schema {
    let source = Schema::new("ConfigSourceInfo")
        .mandatory("path", Type::Str)
        .mandatory("schema", Type::Str)
        .mandatory("provider", Type::Str)
        .into_type()
        .expect("fields without defaults cannot be wrong");
    Schema::new("RuntimeConf")
        .mandatory("version", Type::Str)
        .mandatory("version_base", Type::Str)
        .mandatory("cwd", Type::Str)
        .mandatory("config_sources", Type::List(Box::new(Type::Struct(source))))
        .mandatory("output_dir", Type::Str)
        .field("choices", dict_of(Type::Any), no_keys())
}
