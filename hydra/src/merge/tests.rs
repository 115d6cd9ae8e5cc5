use super::*;
use crate::Document;

fn load(text: &str) -> Node {
    Document::from_str(text, "c.yaml").unwrap()
}

#[test]
fn mappings_merge_lists_replace_and_missing_leaves() {
    let mut base = load("a: {x: 1, y: [1, 2]}\nb: 1\nc: null\n");
    merge(&mut base, &load("b: ???\na: {y: [3], z: 4}\nc: {d: 1}\n"), Strictness::Open).unwrap();
    assert_eq!(base, load("a: {x: 1, y: [3], z: 4}\nb: 1\nc: {d: 1}\n"));
}

#[test]
fn struct_mode_refuses_new_keys_and_suggests_one() {
    let error = merge(&mut load("a: {port: 1}\n"), &load("a: {prot: 2}\n"), Strictness::Struct)
        .unwrap_err();
    assert!(error.message().starts_with("Key 'prot' is not in struct\n    full_key: a.prot"));
    assert_eq!(error.hint(), Some("did you mean `port`?"));
}

#[test]
fn a_mapping_over_a_list_is_an_error() {
    let error = merge(&mut load("a: [1]\n"), &load("a: {x: 1}\n"), Strictness::Open).unwrap_err();
    assert!(error.message().starts_with("Cannot merge DictConfig with ListConfig"), "{error}");
}
