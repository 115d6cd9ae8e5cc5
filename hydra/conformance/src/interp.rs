//! Interpolations, as OmegaConf resolves them over one base tree.

use std::collections::BTreeMap;

use hydra_compose::{Document, Interpolator, KeyKind, Map, Node, Value};

use crate::json::Json;
use crate::tree::{key, node, same_result};
use crate::{Outcome, Suite};

pub(crate) fn suite(vectors: &Json) -> Suite<'_> {
    let environment = environment(&vectors["env"]);
    Suite {
        cases: vectors["cases"].items(),
        name: Box::new(|case| case["expr"].text().to_owned()),
        check: Box::new(move |case| check(vectors["base"].text(), &environment, case)),
    }
}

fn check(base: &str, environment: &BTreeMap<String, String>, case: &Json) -> Outcome {
    let mut root = Document::from_str(base, "base.yaml").map_err(|errors| errors.to_string())?;
    let value = Value::from_text(case["expr"].text());
    let Some(map) = root.as_map_mut() else { return Err("the base is no mapping".to_owned()) };
    map.insert(key(KeyKind::Str("x".into())), node(value));
    let with = Interpolator::new(environment).with_resolver("args", Box::new(echo));
    let found = with.resolve_at(&root, "x").map(|found| found.unwrap_or(node(Value::Null)));
    same_result(&found, case, "value")
}

pub(crate) fn environment(json: &Json) -> BTreeMap<String, String> {
    json.pairs().iter().map(|(name, value)| (name.clone(), value.text().to_owned())).collect()
}

/// `${args:...}` of the vectors: its arguments as `{args: [...]}`.
#[expect(clippy::unnecessary_wraps, reason = "the shape of a resolver")]
fn echo(arguments: &[Node]) -> Result<Value, String> {
    let list = node(Value::List(arguments.to_vec()));
    Ok(Value::Map(Map::from_iter([(key(KeyKind::Str("args".into())), list)])))
}
