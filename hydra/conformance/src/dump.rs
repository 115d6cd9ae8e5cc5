//! Trees, as OmegaConf prints them.

use hydra_compose::{Document, Interpolator, KeyKind, Map, Node, Value, to_yaml};

use crate::json::Json;
use crate::tree::{configuration, expected, key, node, same_text};
use crate::{Outcome, Suite};

pub(crate) fn suite(vectors: &Json) -> Suite<'_> {
    Suite {
        cases: vectors.items(),
        name: Box::new(|case| case["value"].to_string()),
        check: Box::new(check),
    }
}

fn check(case: &Json) -> Outcome {
    let value = configuration(&expected(&case["value"]));
    let tree = if case.get("whole").is_some() { value } else { wrap(value) };
    same_text(&to_yaml(&tree), case["to_yaml"].text())?;
    if let Some(wanted) = case.get("to_yaml_resolved") {
        let resolved = Interpolator::default().resolve(&tree).map_err(|e| e.to_string())?;
        same_text(&to_yaml(&resolved), wanted.text())?;
    }
    let again = Document::from_str(&to_yaml(&tree), "again.yaml").map_err(|e| e.to_string())?;
    same_text(&format!("{again:?}"), &format!("{tree:?}"))
}

fn wrap(value: Node) -> Node {
    node(Value::Map(Map::from_iter([(key(KeyKind::Str("k".into())), value)])))
}
