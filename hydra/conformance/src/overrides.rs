//! Overrides, as Hydra's parser reads them.

use hydra_compose::{Action, KeyKind, Literal, Override, OverrideValue, Value};

use crate::json::Json;
use crate::tree::{expected, expected_key, same_class, same_text};
use crate::{Outcome, Suite};

pub(crate) fn suite(vectors: &Json) -> Suite<'_> {
    Suite {
        cases: vectors.items(),
        name: Box::new(|case| case["input"].text().to_owned()),
        check: Box::new(check),
    }
}

fn check(case: &Json) -> Outcome {
    match (Override::parse(case["input"].text()), case.get("error_type")) {
        (Ok(parsed), None) => same_override(&parsed, case),
        (Err(error), Some(python)) => same_class(&error.into(), python.text()),
        (Ok(parsed), Some(_)) => Err(format!("found {parsed:?}, expected an error")),
        (Err(error), None) => Err(error.to_string()),
    }
}

fn same_override(parsed: &Override, case: &Json) -> Outcome {
    let action = match parsed.action {
        Action::Change => "CHANGE",
        Action::Add => "ADD",
        Action::ForceAdd => "FORCE_ADD",
        Action::Delete => "DEL",
    };
    same_text(action, case["type"].text())?;
    same_text(&parsed.key, case["key"].text())?;
    let package = match &case["package"] {
        Json::Null => None,
        package => Some(package.text()),
    };
    if parsed.package.as_deref() != package {
        return Err(format!("found package {:?}, expected {package:?}", parsed.package));
    }
    let found = match &parsed.value {
        None => "null".to_owned(),
        Some(OverrideValue::Element(literal)) => shape(literal)?,
        Some(OverrideValue::Choice(literals)) => {
            let items: Result<Vec<_>, _> = literals.iter().map(shape).collect();
            format!("choice [{}]", items?.join(", "))
        }
        Some(OverrideValue::Sweep { name, .. }) => format!("a sweep, {name}(...)"),
    };
    same_text(&found, &wanted_shape(&case["parsed"]))
}

/// A parsed value, with its quotes, in one line.
fn shape(literal: &Literal) -> Result<String, String> {
    Ok(match literal {
        Literal::Bare(value) => plain_shape(value),
        Literal::Quoted { text, quote } => format!("quoted {quote} {text:?}"),
        Literal::List(items) => {
            let items: Result<Vec<_>, _> = items.iter().map(shape).collect();
            format!("[{}]", items?.join(", "))
        }
        Literal::Dict(pairs) => {
            // A repeated key keeps its first position and its last value, as in Python.
            let mut map: Vec<(&KeyKind, String)> = Vec::new();
            for (kind, value) in pairs {
                let value = shape(value)?;
                match map.iter_mut().find(|(there, _)| *there == kind) {
                    Some(there) => there.1 = value,
                    None => map.push((kind, value)),
                }
            }
            let pairs: Vec<_> =
                map.iter().map(|(kind, value)| format!("{kind:?}: {value}")).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        Literal::Call { name, .. } => return Err(format!("found a call of {name}")),
    })
}

fn plain_shape(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => format!("int {value}"),
        Value::Float(value) => format!("float {value:?}"),
        Value::Str(text) => format!("{text:?}"),
        other => format!("never a bare word: {other:?}"),
    }
}

fn wanted_shape(json: &Json) -> String {
    let list = |items: &[Json]| items.iter().map(wanted_shape).collect::<Vec<_>>().join(", ");
    let dict = |pairs: Vec<(KeyKind, &Json)>| {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(kind, value)| format!("{kind:?}: {}", wanted_shape(value)))
            .collect();
        format!("{{{}}}", pairs.join(", "))
    };
    match json {
        Json::List(items) => format!("[{}]", list(items)),
        Json::Map(pairs) => match (pairs[0].0.as_str(), &pairs[0].1) {
            ("quoted", text) => {
                let quote = if json["quote"].text() == "single" { '\'' } else { '"' };
                format!("quoted {quote} {:?}", text.text())
            }
            ("dict", inner) => dict(
                inner.pairs().iter().map(|(name, v)| (KeyKind::Str(name.clone()), v)).collect(),
            ),
            ("dict_pairs", inner) => {
                dict(inner.items().iter().map(|pair| (expected_key(&pair[0]), &pair[1])).collect())
            }
            ("choice", inner) if matches!(json["simple_form"], Json::Bool(true)) => {
                format!("choice [{}]", list(inner.items()))
            }
            ("$float", _) => plain_shape(&expected(json).value),
            (other, _) => format!("a {other}"),
        },
        other => plain_shape(&expected(other).value),
    }
}
