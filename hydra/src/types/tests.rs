use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::{Document, Errors, Node, Strictness, Value, apply_overrides, merge, resolve, to_yaml};

fn load(text: &str) -> Node {
    Document::from_str(text, "c.yaml").unwrap()
}

fn base() -> Schema {
    let sub =
        Schema::new("Sub").field("x", Type::Int, 1).field("y", Type::Str.optional(), Value::Null);
    Schema::new("base")
        .mandatory("name", Type::Str)
        .field("n", Type::Int, 10)
        .field("kw", Type::parse("dict[str,any]").unwrap(), load("{}"))
        .field("li", Type::parse("list[int]").unwrap(), load("[]"))
        .nested("sub", sub)
}

fn with(text: &str) -> Result<Node, String> {
    let mut node = base().into_node().unwrap();
    merge(&mut node, &load(text), Strictness::Open).map_err(|error| error.message())?;
    Ok(node)
}

#[test]
fn values_become_what_the_schema_says() {
    let node = with("name: 5\nn: ' 42 '\nli: ['1', 2]\nsub: {y: 1.50}\n").unwrap();
    assert_eq!(node, load("name: '5'\nn: 42\nkw: {}\nli: [1, 2]\nsub: {x: 1, y: '1.5'}\n"));
}

#[test]
fn a_refusal_says_what_omegaconf_says() {
    for (text, told) in [
        (
            "n: 2.0\n",
            "Value '2.0' of type 'float' could not be converted to Integer\n    full_key: n\n    object_type=base",
        ),
        (
            "sub: {z: 1}\n",
            "Key 'z' not in 'Sub'\n    full_key: sub.z\n    reference_type=Sub\n    object_type=Sub",
        ),
        (
            "sub: 5\n",
            "Merge error: int is not a subclass of Sub. value: 5\n    full_key: \n    object_type=base",
        ),
        (
            "kw: {1: a}\n",
            "Key 1 (int) is incompatible with (str)\n    full_key: kw.1\n    reference_type=Dict[str, Any]\n    object_type=dict",
        ),
    ] {
        assert_eq!(with(text).unwrap_err(), told);
    }
}

#[test]
fn a_default_that_does_not_fit_is_told() {
    let errors: Errors = Schema::new("s")
        .field("n", Type::Int, "x")
        .field("m", Type::Int, Value::Null)
        .into_node()
        .unwrap_err();
    assert_eq!(errors.iter().count(), 2, "{errors}");
}

#[test]
fn an_enumeration_takes_names_and_numbers() {
    let color = Arc::new(EnumType::of_names("Color", ["RED", "BLUE"]));
    let schema = Schema::new("s").field("c", Type::Enum(color), "RED");
    let node = schema.into_node().unwrap();
    for (text, found) in [("c: BLUE", "BLUE"), ("c: Color.BLUE", "BLUE"), ("c: 1", "RED")] {
        let mut node = node.clone();
        merge(&mut node, &load(text), Strictness::Open).unwrap();
        assert_eq!(node.at("c").unwrap().as_str(), Some(found));
    }
    for text in ["c: GREEN", "c: 3", "c: true", "c: 1.0", "c: null"] {
        assert!(merge(&mut node.clone(), &load(text), Strictness::Open).is_err(), "{text}");
    }
}

#[test]
fn an_extended_structure_goes_where_its_base_goes() {
    let dog = Schema::new("Dog").field("legs", Type::Int, 4).into_type().unwrap();
    let puppy = Schema::extending("Puppy", &dog).field("age", Type::Int, 0).into_type().unwrap();
    let schema = Schema::new("s").field("pet", Type::Struct(Arc::clone(&dog)), load("{}"));
    let mut node = schema.into_node().unwrap();
    let mut over = load("pet: {}");
    *over.at_mut("pet").unwrap() = Node::of_struct(&puppy);
    merge(&mut node, &over, Strictness::Open).unwrap();
    merge(&mut node, &load("pet: {age: '2'}"), Strictness::Open).unwrap();
    assert_eq!(node, load("pet: {legs: 4, age: 2}"));
    *over.at_mut("pet").unwrap() = Node::of_struct(&Schema::new("Cat").into_type().unwrap());
    assert!(merge(&mut node, &over, Strictness::Open).is_err());
}

#[test]
fn an_override_is_converted_and_refused_in_hydras_words() {
    let mut node = with("name: t\n").unwrap();
    apply_overrides(&mut node, &["sub.x='3'".to_owned(), "+kw.a.b=1".to_owned()]).unwrap();
    assert_eq!(node.at("sub.x").unwrap().value, Value::Int(3));
    for (text, told) in [
        (
            "n=abc",
            "Error merging override n=abc\nValue 'abc' of type 'str' could not be converted to Integer\n    full_key: n\n    object_type=base",
        ),
        (
            "sub.z=1",
            "Could not override 'sub.z'.\nTo append to your config use +sub.z=1\nKey 'z' not in 'Sub'",
        ),
        ("~sub.x", "Error merging override ~sub.x\nSub (DictConfig) does not support deletion"),
        ("n=null", "Error merging override n=null\nfield 'n' is not Optional"),
    ] {
        let errors = apply_overrides(&mut node, &[text.to_owned()]).unwrap_err();
        assert!(errors.first().message().starts_with(told), "{}", errors.first().message());
    }
    apply_overrides(&mut node, &["~n".to_owned()]).unwrap();
    assert!(node.at("n").is_none());
}

#[test]
fn a_path_and_an_enumeration_print_as_pyyaml_prints_them() {
    let color = Arc::new(EnumType::of_names("Color", ["RED"]));
    let mut node = Schema::new("s")
        .field("p", Type::Path, "/a//b/")
        .field("l", Type::List(Box::new(Type::Path)), load("[., x/z]"))
        .field("c", Type::Enum(color), "RED")
        .field("t", Type::Any, "${p} ${c}")
        .field("q", Type::Any, "${p}")
        .into_node()
        .unwrap();
    assert_eq!(node.at("p").unwrap().as_str(), Some("/a/b"));
    node = resolve(&node, &BTreeMap::new()).unwrap();
    let path =
        |key: &str| format!("{key}: !!python/object/apply:pathlib.PosixPath\n- /\n- a\n- b\n");
    let list = "l:\n- !!python/object/apply:pathlib.PosixPath []\n- !!python/object/apply:pathlib.PosixPath\n  - x\n  - z\n";
    assert_eq!(
        to_yaml(&node),
        format!("{}{list}c: RED\nt: /a/b Color.RED\n{}", path("p"), path("q"))
    );
}

#[test]
fn what_an_interpolation_gives_is_converted_or_refused() {
    let schema = Schema::new("s").mandatory("n", Type::Int).field("v", Type::Any, Value::Null);
    let mut node = schema.into_node().unwrap();
    merge(&mut node, &load("n: ${v}\nv: '7'\n"), Strictness::Open).unwrap();
    let resolved = resolve(&node, &BTreeMap::new()).unwrap();
    assert_eq!(resolved.at("n").unwrap().value, Value::Int(7));
    for (value, told) in [
        ("x", "Value 'x' of type 'str' could not be converted to Integer"),
        ("null", "Incompatible value 'None' for field of type 'int'"),
    ] {
        merge(&mut node, &load(&format!("v: {value}\n")), Strictness::Open).unwrap();
        let errors = resolve(&node, &BTreeMap::new()).unwrap_err();
        let wanted = format!("While dereferencing interpolation '${{v}}': {told}");
        assert_eq!(errors.first().message(), wanted);
    }
}
