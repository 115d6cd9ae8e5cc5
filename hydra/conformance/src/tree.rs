//! Values of the vectors and trees of ours, side by side.

use base64::Engine as _;
use hydra_compose::{Error, ErrorKind, Errors, Key, KeyKind, Node, Origin, Value};

use crate::Outcome;
use crate::json::Json;

pub(crate) fn node(value: Value) -> Node {
    Node::in_memory(value)
}

pub(crate) fn key(kind: KeyKind) -> Key {
    Key::new(kind, Origin::memory())
}

/// A value of the vectors as a tree. Text is as it is: no interpolation, no `???`.
pub(crate) fn expected(json: &Json) -> Node {
    node(match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Int(value) => Value::Int(*value),
        Json::Float(value) => Value::Float(*value),
        Json::Text(text) => Value::Str(text.clone()),
        Json::List(items) => Value::List(items.iter().map(expected).collect()),
        Json::Map(pairs) => match pairs.as_slice() {
            [(name, Json::Text(text))] if name == "$float" => {
                Value::Float(text.parse().unwrap_or(f64::NAN))
            }
            // An enumeration prints as its name, and is compared as that.
            [(name, Json::Text(text))] if name == "$enum" => Value::Str(text.clone()),
            [(name, Json::Text(text))] if name == "$bytes" => Value::Bytes(
                base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default(),
            ),
            [(name, Json::List(pairs))] if name == "$map" => Value::Map(
                pairs
                    .iter()
                    .map(|pair| (key(expected_key(&pair[0])), expected(&pair[1])))
                    .collect(),
            ),
            _ => Value::Map(
                pairs
                    .iter()
                    .map(|(name, value)| (key(KeyKind::Str(name.clone())), expected(value)))
                    .collect(),
            ),
        },
    })
}

pub(crate) fn expected_key(json: &Json) -> KeyKind {
    match json {
        Json::Bool(value) => KeyKind::Bool(*value),
        Json::Int(value) => KeyKind::Int(*value),
        Json::Float(value) => KeyKind::Float(*value),
        Json::Text(text) => KeyKind::Str(text.clone()),
        _ => KeyKind::Null,
    }
}

/// Plain data as a configuration takes it: text may be `???` or an interpolation.
pub(crate) fn configuration(of: &Node) -> Node {
    node(match &of.value {
        Value::Str(text) => Value::from_text(text.as_str()),
        Value::List(items) => Value::List(items.iter().map(configuration).collect()),
        Value::Map(map) => {
            Value::Map(map.iter().map(|(k, v)| (k.clone(), configuration(v))).collect())
        }
        value => value.clone(),
    })
}

/// The same tree as plain data: `???` and interpolations as the text that they are in the vectors.
pub(crate) fn flat(of: &Node) -> Node {
    node(match &of.value {
        Value::Missing => Value::Str("???".into()),
        Value::Interpolation(text) => Value::Str(text.clone()),
        Value::List(items) => Value::List(items.iter().map(flat).collect()),
        Value::Map(map) => Value::Map(map.iter().map(|(k, v)| (k.clone(), flat(v))).collect()),
        value => value.clone(),
    })
}

/// Also the order of keys and the kinds of keys: `Debug` shows both.
pub(crate) fn same(found: &Node, json: &Json) -> Outcome {
    let (found, wanted) = (format!("{:?}", flat(found)), format!("{:?}", expected(json)));
    if found == wanted { Ok(()) } else { Err(format!("found {found}, expected {wanted}")) }
}

pub(crate) fn same_text(found: &str, wanted: &str) -> Outcome {
    if found == wanted { Ok(()) } else { Err(format!("found {found:?}, expected {wanted:?}")) }
}

/// Python's exception class for an error of ours. Scanner, parser and composer are one class: which
/// of them finds a mistake is a matter of how the parser is built.
fn class(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::YamlSyntax(_) => "YAMLSyntax",
        ErrorKind::YamlValue(_) | ErrorKind::DuplicateKey(_) => "ConstructorError",
        ErrorKind::Grammar(_) => "GrammarParseError",
        ErrorKind::InterpolationKey(_) => "InterpolationKeyError",
        ErrorKind::InterpolationToMissing(_) => "InterpolationToMissingValueError",
        ErrorKind::Interpolation(_) => "InterpolationResolutionError",
        ErrorKind::UnknownResolver(_) => "UnsupportedInterpolationType",
        ErrorKind::OverrideSyntax(_) => "OverrideParseException",
        ErrorKind::Sweep(_) => "HydraException",
        ErrorKind::SweepValue(_) => "ValueError",
        ErrorKind::OverrideRefused(_) | ErrorKind::SweepNeeded(_) => "ConfigCompositionException",
        ErrorKind::Config(fault) => fault.class.name(),
        ErrorKind::InterpolationValue(_) => "InterpolationValidationError",
        ErrorKind::Composition(_) => "ConfigCompositionException",
        ErrorKind::MissingConfig(_) => "MissingConfigException",
        ErrorKind::Uncaught { class, .. } => class,
        ErrorKind::Limit(_) => "RecursionError",
        _ => "another class",
    }
}

fn merged_class(python: &str) -> &str {
    match python {
        "ScannerError" | "ParserError" | "ComposerError" => "YAMLSyntax",
        // What Hydra's parser raises before the command line wraps it.
        "HydraException" => "OverrideParseException",
        other => other,
    }
}

/// Compares the class of the first error with the class that the vectors name.
pub(crate) fn same_class(errors: &Errors, python: &str) -> Outcome {
    same_text(class(errors.first()), merged_class(python))
}

/// Compares a result with the expected value or the expected class of error.
pub(crate) fn same_result(found: &Result<Node, Errors>, case: &Json, value: &str) -> Outcome {
    match (found, case.get("error_type")) {
        (Ok(found), None) => same(found, &case[value]),
        (Err(errors), Some(python)) => same_class(errors, python.text()),
        (Ok(found), Some(python)) => Err(format!("found {found:?}, expected {}", python.text())),
        (Err(errors), None) => Err(format!("found {errors}")),
    }
}

/// Compares the first error with the class that a case names, and for an error of composition the
/// first line of its text.
pub(crate) fn same_error(errors: &Errors, case: &Json, root: &str) -> Outcome {
    let python = case["error_type"].text();
    let composition = ["ConfigCompositionException", "MissingConfigException"].contains(&python);
    if composition
        && case["error"].text().is_empty()
        && matches!(
            errors.first().kind(),
            ErrorKind::Grammar(_)
                | ErrorKind::Interpolation(_)
                | ErrorKind::InterpolationKey(_)
                | ErrorKind::InterpolationToMissing(_)
                | ErrorKind::UnknownResolver(_)
        )
    {
        // What OmegaConf finds on the way surfaces as a composition error without text in Hydra.
        return Ok(());
    }
    same_class(errors, python)?;
    if !composition {
        return Ok(());
    }
    let message = errors.first().message().replace(root, crate::compose::ROOT);
    let first_line = |text: &str| text.lines().next().unwrap_or_default().trim_end().to_owned();
    same_text(&first_line(&message), &first_line(case["error"].text()))
}
