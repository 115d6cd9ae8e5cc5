//! Conformance with the real thing: vectors that OmegaConf 2.3 and Hydra 1.3 made.
//!
//! Values are compared exactly: `1` is not `1.0`, `0.0` is not `-0.0`. Errors are compared by class.
//! A case that is known to differ is listed by name with its reason, and the list is exact: a new
//! difference fails the test, and so does a listed case that agrees.

mod json;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use hydra_compose::{
    Action, Dialect, Document, Error, ErrorKind, Errors, Interpolator, Key, KeyKind, Literal, Map,
    Node, Origin, Override, OverrideValue, Value, apply_overrides, to_yaml,
};
use json::Json;

const SWEEP: &str = "functions that describe a sweep are parsed and not evaluated yet";
const HYDRA: &str = "a resolver of Hydra, not of OmegaConf: to be added with composition";

/// Cases that differ on purpose or not yet: file, name, reason.
const KNOWN: &[(&str, &str, &str)] = &[
    ("override", "a=choice(1,2)", SWEEP),
    ("override", "a=choice(a)", SWEEP),
    ("override", "a=choice([1,2],{a:1})", SWEEP),
    ("override", "a=choice()", SWEEP),
    ("override", "a=choice (1,2)", SWEEP),
    ("override", "a=range(1,10,2)", SWEEP),
    ("override", "a=range(start=1,stop=3)", SWEEP),
    ("override", "a=range()", SWEEP),
    ("override", "a=range(a,b)", SWEEP),
    ("override", "a=range(1,2,3,4)", SWEEP),
    ("override", "a=range(1,foo=2)", SWEEP),
    ("override", "a=interval(1.5,2)", SWEEP),
    ("override", "a=interval(start=1,end=2)", SWEEP),
    ("override", "a=glob(*)", SWEEP),
    ("override", "a=glob(a*,exclude=b*)", SWEEP),
    ("override", "a=glob(include=[a],exclude=[b,c])", SWEEP),
    ("override", "a=tag(x,choice(a,b))", SWEEP),
    ("override", "a=tag(x,y,range(1,3))", SWEEP),
    ("override", "a=tag(choice(a,b))", SWEEP),
    ("override", "a=tag(x)", SWEEP),
    ("override", "a=sort(range(1,5))", SWEEP),
    ("override", "a=sort(range(1,5),reverse=true)", SWEEP),
    ("override", "a=sort(choice(3,1,2),reverse=True)", SWEEP),
    ("override", "a=int(choice(1.5,2.5))", SWEEP),
    ("override", "a=float(interval(1,2))", SWEEP),
    ("single file", "value/del_list_item", "Python's TypeError is a refused override here"),
    (
        "single file",
        "value/key_empty",
        "an empty key is a config group, and composition is not built",
    ),
    (
        "single file",
        "interp/oc_deprecated",
        "oc.deprecated warns, and warnings have no way out yet",
    ),
    ("single file", "interp/hydra_resolver_job_name", HYDRA),
    ("single file", "interp/python_version", HYDRA),
    ("single file", "interp/now_format_only_static", HYDRA),
];

type Outcome = Result<(), String>;

/// Runs every case, and compares the failures with the known ones.
#[expect(clippy::print_stdout, clippy::disallowed_macros, reason = "the score of a test run")]
fn run(
    file: &str,
    cases: &[Json],
    name: impl Fn(&Json) -> String,
    check: impl Fn(&Json) -> Outcome,
) {
    assert!(cases.len() > 50, "{file} holds {} cases only", cases.len());
    let mut known: BTreeSet<_> = KNOWN
        .iter()
        .filter(|(of, ..)| *of == file)
        .map(|(_, name, _)| (*name).to_owned())
        .collect();
    let mut unexpected = Vec::new();
    let mut failed = 0;
    for case in cases {
        let name = name(case);
        if let Err(why) = check(case) {
            failed += 1;
            if !known.remove(&name) {
                unexpected.push(format!("{name}: {why}"));
            }
        }
    }
    println!("{file}: {} of {} cases agree", cases.len() - failed, cases.len());
    assert!(unexpected.is_empty(), "{file}:\n{}", unexpected.join("\n"));
    assert!(known.is_empty(), "{file}: listed as differing, but agreeing: {known:?}");
}

fn load(file: &str) -> Json {
    let path = format!("{}/tests/data/{file}.json", env!("CARGO_MANIFEST_DIR"));
    json::parse(&std::fs::read_to_string(path).expect("the vectors are in the repository"))
}

fn node(value: Value) -> Node {
    Node::in_memory(value)
}

fn key(kind: KeyKind) -> Key {
    Key::new(kind, Origin::memory())
}

/// A value of the vectors as a tree. Text is as it is: no interpolation, no `???`.
fn expected(json: &Json) -> Node {
    node(match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Int(value) => Value::Int(*value),
        Json::Float(value) => Value::Float(*value),
        Json::Text(text) => Value::Str(text.clone()),
        Json::List(items) => Value::List(items.iter().map(expected).collect()),
        Json::Map(pairs) => match (pairs.len(), pairs.first()) {
            (1, Some((name, Json::Text(text)))) if name == "$float" => {
                Value::Float(text.parse().expect("inf, -inf or nan"))
            }
            (1, Some((name, Json::Text(text)))) if name == "$bytes" => Value::Bytes(
                base64::engine::general_purpose::STANDARD.decode(text).expect("base64"),
            ),
            (1, Some((name, Json::List(pairs)))) if name == "$map" => Value::Map(
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

fn expected_key(json: &Json) -> KeyKind {
    match json {
        Json::Null => KeyKind::Null,
        Json::Bool(value) => KeyKind::Bool(*value),
        Json::Int(value) => KeyKind::Int(*value),
        Json::Float(value) => KeyKind::Float(*value),
        Json::Text(text) => KeyKind::Str(text.clone()),
        other => panic!("no key: {other:?}"),
    }
}

/// The same tree as plain data: `???` and interpolations as the text that they are in the vectors.
fn flat(of: &Node) -> Node {
    node(match &of.value {
        Value::Missing => Value::Str("???".into()),
        Value::Interpolation(text) => Value::Str(text.clone()),
        Value::List(items) => Value::List(items.iter().map(flat).collect()),
        Value::Map(map) => Value::Map(map.iter().map(|(k, v)| (k.clone(), flat(v))).collect()),
        value => value.clone(),
    })
}

/// Also the order of keys and the kinds of keys: `Debug` shows both.
fn same(found: &Node, json: &Json) -> Outcome {
    let (found, wanted) = (format!("{:?}", flat(found)), format!("{:?}", expected(json)));
    if found == wanted { Ok(()) } else { Err(format!("found {found}, expected {wanted}")) }
}

fn same_text(found: &str, wanted: &str) -> Outcome {
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
        ErrorKind::UnknownOverrideKey(_)
        | ErrorKind::OverrideRefused(_)
        | ErrorKind::SweepNeeded(_)
        | ErrorKind::Merge(_) => "ConfigCompositionException",
        ErrorKind::CompositionNotBuilt(_) => "not built yet",
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

fn same_class(errors: &Errors, python: &str) -> Outcome {
    same_text(class(errors.first()), merged_class(python))
}

/// Compares a result with the expected value or the expected class of error.
fn same_result(found: &Result<Node, Errors>, case: &Json, value: &str) -> Outcome {
    match (found, case.get("error_type")) {
        (Ok(found), None) => same(found, &case[value]),
        (Err(errors), Some(python)) => same_class(errors, python.text()),
        (Ok(found), Some(python)) => Err(format!("found {found:?}, expected {}", python.text())),
        (Err(errors), None) => Err(format!("found {errors}")),
    }
}

#[test]
fn scalars_and_documents_read_as_omegaconf_reads_them() {
    let cases = load("omegaconf_yaml_vectors");
    run(
        "yaml",
        cases.items(),
        |case| case["yaml"].text().to_owned(),
        |case| {
            // These cases are about YAML; what looks like an interpolation in them is not parsed.
            let loaded = Document::from_str(case["yaml"].text(), "vector.yaml");
            let value = loaded.clone().map(|node| node.at("k").unwrap().clone());
            same_result(&value, case, "value")?;
            match loaded {
                Ok(loaded) => same_text(&to_yaml(&loaded), case["to_yaml"].text()),
                Err(_) => Ok(()),
            }
        },
    );
}

#[test]
fn trees_print_as_omegaconf_prints_them() {
    let cases = load("omegaconf_dump_vectors");
    let name = |case: &Json| format!("{:?}", case["value"]);
    run("dump", cases.items(), name, |case| {
        let value = configuration(&expected(&case["value"]));
        let whole = case.get("whole").is_some();
        let tree = if whole { value } else { wrap(value) };
        same_text(&to_yaml(&tree), case["to_yaml"].text())?;
        if let Some(wanted) = case.get("to_yaml_resolved") {
            let resolved = Interpolator::default().resolve(&tree).unwrap();
            same_text(&to_yaml(&resolved), wanted.text())?;
        }
        let again = Document::from_str(&to_yaml(&tree), "again.yaml").map_err(|e| e.to_string())?;
        same_text(&format!("{again:?}"), &format!("{tree:?}"))
    });
}

fn wrap(value: Node) -> Node {
    node(Value::Map(Map::from_iter([(key(KeyKind::Str("k".into())), value)])))
}

/// Plain data as a configuration takes it: text may be `???` or an interpolation.
fn configuration(of: &Node) -> Node {
    node(match &of.value {
        Value::Str(text) => Value::from_text(text.as_str()),
        Value::List(items) => Value::List(items.iter().map(configuration).collect()),
        Value::Map(map) => {
            Value::Map(map.iter().map(|(k, v)| (k.clone(), configuration(v))).collect())
        }
        value => value.clone(),
    })
}

#[test]
fn interpolations_resolve_as_in_omegaconf() {
    let vectors = load("omegaconf_interp_vectors");
    let base = Document::from_str(vectors["base"].text(), "base.yaml").unwrap();
    let environment = environment(&vectors["env"]);
    run(
        "interp",
        vectors["cases"].items(),
        |case| case["expr"].text().to_owned(),
        |case| {
            let value = Value::from_text(case["expr"].text());
            let mut root = base.clone();
            root.as_map_mut().unwrap().insert(key(KeyKind::Str("x".into())), node(value));
            let with = Interpolator::new(&environment).with_resolver("args", Box::new(echo));
            same_result(&with.resolve_at(&root, "x").map(Option::unwrap), case, "value")
        },
    );
}

fn environment(json: &Json) -> BTreeMap<String, String> {
    json.pairs().iter().map(|(name, value)| (name.clone(), value.text().to_owned())).collect()
}

/// `${args:...}` of the vectors: its arguments as `{args: [...]}`.
#[expect(clippy::unnecessary_wraps, reason = "the shape of a resolver")]
fn echo(arguments: &[Node]) -> Result<Value, String> {
    let list = node(Value::List(arguments.to_vec()));
    Ok(Value::Map(Map::from_iter([(key(KeyKind::Str("args".into())), list)])))
}

#[test]
fn overrides_parse_as_in_hydra() {
    let cases = load("hydra_override_vectors");
    run(
        "override",
        cases.items(),
        |case| case["input"].text().to_owned(),
        |case| match (Override::parse(case["input"].text()), case.get("error_type")) {
            (Ok(parsed), None) => same_override(&parsed, case),
            (Err(error), Some(python)) => same_class(&error.into(), python.text()),
            (Ok(parsed), Some(_)) => Err(format!("found {parsed:?}, expected an error")),
            (Err(error), None) => Err(error.to_string()),
        },
    );
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
fn shape(literal: &Literal) -> Outcome2 {
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

type Outcome2 = Result<String, String>;

fn plain_shape(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => format!("int {value}"),
        Value::Float(value) => format!("float {value:?}"),
        Value::Str(text) => format!("{text:?}"),
        other => panic!("a bare word is never {other:?}"),
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

#[test]
fn single_files_compose_as_in_hydra() {
    let cases = load("hydra_single_file_vectors");
    run(
        "single file",
        cases.items(),
        |case| case["name"].text().to_owned(),
        |case| {
            let environment = case.get("env").map(environment).unwrap_or_default();
            let overrides: Vec<_> =
                case["overrides"].items().iter().map(|text| text.text().to_owned()).collect();
            let composed =
                Document::from_str(case["yaml"].text(), "config.yaml").and_then(|mut node| {
                    apply_overrides(&mut node, &overrides)?;
                    Interpolator::new(&environment).with_dialect(Dialect::default()).resolve(&node)
                });
            if case.get("error_stage").is_some_and(|stage| stage.text() == "compose")
                && case["error_type"].text() == "ConfigCompositionException"
                && let Err(errors) = &composed
                && matches!(errors.first().kind(), ErrorKind::Grammar(_))
            {
                // A malformed interpolation surfaces as a composition error in Hydra.
                return Ok(());
            }
            same_result(&composed, case, "expected")
        },
    );
}
