//! Overrides, as Hydra's parser reads them.

use hydra_compose::{
    Action, KeyKind, Literal, NoGroups, Number, Override, OverrideValue, Sweep, Value, ValueKind,
};

use crate::json::Json;
use crate::tree::{expected, expected_key, same, same_class, same_text};
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
        Some(OverrideValue::Element(literal)) => shape(literal),
        Some(OverrideValue::Sweep(sweep)) => sweep_shape(sweep),
    };
    same_text(&found, &wanted_shape(&case["parsed"]))?;
    let kind = parsed.value_kind().map_or("null", ValueKind::hydra_name);
    let wanted = match &case["value_type"] {
        Json::Null => "null",
        kind => kind.text(),
    };
    same_text(kind, wanted)?;
    if let Json::Bool(is_sweep) = &case["is_sweep"] {
        same_text(&parsed.is_sweep().to_string(), &is_sweep.to_string())?;
    }
    if let Some(canonical) = case.get("canonical") {
        same_text(&parsed.canonical(), canonical.text())?;
    }
    same_values(parsed, case)
}

/// The value that goes into a tree, and the values of the jobs.
fn same_values(parsed: &Override, case: &Json) -> Outcome {
    if let Some(value) = case.get("value") {
        match parsed.node() {
            Ok(Some(node)) => same(&node, value)?,
            Ok(None) => same_text("null", &wanted_shape(value))?,
            // The grammar has null keys, a tree has not.
            Err(_) if format!("{value:?}").contains("Null") => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    let Some(strings) = case.get("sweep_strings") else { return Ok(()) };
    let values = parsed.sweep_values(&NoGroups).map_err(|error| error.to_string())?;
    let wanted: Vec<_> = strings.items().iter().map(|text| text.text().to_owned()).collect();
    same_text(&format!("{values:?}"), &format!("{wanted:?}"))
}

fn shapes(literals: &[Literal]) -> String {
    literals.iter().map(shape).collect::<Vec<_>>().join(", ")
}

/// A parsed value, with its quotes, in one line.
fn shape(literal: &Literal) -> String {
    match literal {
        Literal::Bare(value) => plain_shape(value),
        Literal::Quoted { text, quote } => format!("quoted {quote} {text:?}"),
        Literal::List(items) => format!("[{}]", shapes(items)),
        Literal::Dict(pairs) => {
            let pairs: Vec<_> =
                pairs.iter().map(|(kind, value)| format!("{kind:?}: {}", shape(value))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        Literal::Sweep(sweep) => sweep_shape(sweep),
    }
}

fn sweep_shape(sweep: &Sweep) -> String {
    let numbers = |numbers: &[Number]| {
        let numbers: Vec<_> = numbers.iter().map(|number| plain_shape(&number.value())).collect();
        numbers.join(", ")
    };
    match sweep {
        Sweep::Choice(choice) => {
            let (simple, shuffle) = (choice.simple, choice.shuffle.is_some());
            format!(
                "choice [{}] {simple} {shuffle} {:?}",
                shapes(&choice.items),
                choice.tags.iter().collect::<Vec<_>>()
            )
        }
        Sweep::Range(range) => format!(
            "range [{}] {} {:?}",
            numbers(&[range.start, range.stop, range.step]),
            range.shuffle.is_some(),
            range.tags.iter().collect::<Vec<_>>()
        ),
        Sweep::Interval(interval) => format!(
            "interval [{}] {:?}",
            numbers(&[interval.start, interval.end]),
            interval.tags.iter().collect::<Vec<_>>()
        ),
        Sweep::Glob(glob) => {
            format!("glob [{}] [{}]", shapes(&glob.include), shapes(&glob.exclude))
        }
    }
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
            ("choice", inner) => {
                let simple = is_true(json, "simple_form");
                let (items, shuffle) = (list(inner.items()), is_true(json, "shuffle"));
                format!("choice [{items}] {simple} {shuffle} {:?}", wanted_tags(json))
            }
            ("range", inner) => {
                let shuffle = is_true(json, "shuffle");
                format!("range [{}] {shuffle} {:?}", list(inner.items()), wanted_tags(json))
            }
            ("interval", inner) => {
                format!("interval [{}] {:?}", list(inner.items()), wanted_tags(json))
            }
            ("glob", inner) => {
                let side = |name: &str| list(inner[name].items());
                format!("glob [{}] [{}]", side("include"), side("exclude"))
            }
            ("$float", _) => plain_shape(&expected(json).value),
            (other, _) => format!("a {other}"),
        },
        other => plain_shape(&expected(other).value),
    }
}

fn wanted_tags(json: &Json) -> Vec<&str> {
    let mut tags: Vec<_> = json["tags"].items().iter().map(Json::text).collect();
    tags.sort_unstable();
    tags
}

fn is_true(json: &Json, name: &str) -> bool {
    matches!(json.get(name), Some(Json::Bool(true)))
}
