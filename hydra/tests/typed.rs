//! What must hold for any schema and any values: nothing panics, what is taken is of its type, and
//! what is refused leaves the tree as it was.

use std::sync::Arc;

use hydra_compose::{
    Document, EnumType, Node, Schema, Strictness, Type, Value, apply_overrides, merge, resolve,
};
use proptest::prelude::*;

fn type_text() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "any",
        "int",
        "str",
        "float",
        "bool",
        "path",
        "bytes",
        "Color",
        "Sub",
        "union[int,str]",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|of| format!("optional[{of}]")),
            inner.clone().prop_map(|of| format!("list[{of}]")),
            inner.prop_map(|of| format!("dict[str,{of}]")),
        ]
    })
}

fn flow() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "1",
        "'1'",
        "1.5",
        "true",
        "on",
        "null",
        "???",
        "abc",
        "RED",
        "2",
        "'${o}'",
        "'${m}'",
        "'${m.k}'",
        "'${nope}'",
        "''",
        "inf",
        "a//b/",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(3, 12, 3, |inner| {
        let key = prop::sample::select(vec!["k", "x", "RED", "0"]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3)
                .prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((key, inner), 0..3).prop_map(|pairs| {
                let mut seen = Vec::new();
                let pairs = pairs.into_iter().filter(|(key, _)| {
                    let new = !seen.contains(key);
                    seen.push(*key);
                    new
                });
                let pairs: Vec<_> = pairs.map(|(key, value)| format!("{key}: {value}")).collect();
                format!("{{{}}}", pairs.join(", "))
            }),
        ]
    })
}

fn override_text() -> impl Strategy<Value = String> {
    let sign = prop::sample::select(vec!["", "+", "++", "~"]);
    let key = prop::sample::select(vec![
        "f", "f.k", "f.x", "f.0", "f.k.x", "f.k.0", "m", "m.k", "m.q.r", "f.q", "o.x",
    ]);
    (sign, key, flow()).prop_map(|(sign, key, value)| {
        if sign == "~" {
            format!("~{key}")
        } else {
            format!("{sign}{key}={}", value.replace(": ", ":"))
        }
    })
}

#[expect(clippy::unwrap_used, reason = "a test's own schema")]
fn schema(of: &str) -> Node {
    let color = Arc::new(EnumType::of_names("Color", ["RED", "BLUE"]));
    let sub = Schema::new("Sub")
        .field("x", Type::Int, 1)
        .field("y", Type::Str.optional(), Value::Null)
        .into_type()
        .unwrap();
    let slot = Type::parse_with(of, |name| match name {
        "Color" => Some(Type::Enum(Arc::clone(&color))),
        "Sub" => Some(Type::Struct(Arc::clone(&sub))),
        _ => None,
    });
    Schema::new("base")
        .mandatory("f", slot.unwrap())
        .field("o", Type::Int, 3)
        .field("m", Type::Any, Document::from_str("{k: 1}", "m").unwrap())
        .into_node()
        .unwrap()
}

/// Whether a value is one of a type, as far as a test can tell from outside.
fn is_of(node: &Node, of: &str) -> bool {
    match (&node.value, of) {
        (Value::Missing | Value::Interpolation(_), _) | (_, "any") => true,
        (Value::Null, of) => of.starts_with("optional"),
        (Value::Int(_), "int") | (Value::Float(_), "float") | (Value::Bool(_), "bool") => true,
        (Value::Str(_), "str" | "path") => true,
        (Value::Str(text), "Color") => ["RED", "BLUE"].contains(&text.as_str()),
        _ => !["int", "float", "bool", "str", "path", "Color", "bytes"].contains(&of),
    }
}

proptest! {
    #[test]
    fn any_value_is_taken_as_its_type_or_refused(of in type_text(), values in prop::collection::vec(flow(), 1..4)) {
        let mut node = schema(&of);
        for value in values {
            let Ok(over) = Document::from_str(&format!("f: {value}\n"), "c.yaml") else { continue };
            if merge(&mut node, &over, Strictness::Open).is_err() {
                return Ok(());
            }
            prop_assert!(is_of(node.at("f").unwrap(), &of), "{of} <- {value}: {node:?}");
        }
        let _ = resolve(&node, &std::collections::BTreeMap::new());
    }

    #[test]
    fn any_override_of_a_typed_tree_is_taken_or_leaves_it(
        of in type_text(),
        value in flow(),
        overrides in prop::collection::vec(override_text(), 1..4),
    ) {
        let mut node = schema(&of);
        let before = node.clone();
        let over = Document::from_str(&format!("f: {value}\n"), "c.yaml");
        if over.is_ok_and(|over| merge(&mut node, &over, Strictness::Open).is_err()) {
            node = before;
        }
        for text in overrides {
            let before = node.clone();
            if apply_overrides(&mut node, std::slice::from_ref(&text)).is_err() {
                prop_assert_eq!(format!("{:?}", &node), format!("{:?}", &before), "{}", text);
            }
        }
    }
}
