//! One tree over another, as OmegaConf merges them.

use crate::error::{Error, ErrorKind};
use crate::path;
use crate::value::{Node, Value};

/// Whether a tree takes keys that it does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strictness {
    /// No: OmegaConf's struct mode, in which Hydra keeps a configuration.
    #[default]
    Struct,
    /// Yes.
    Open,
}

/// Lays `over` over `base`: mappings merge key by key, everything else replaces.
///
/// `???` over a value leaves the value. Keys keep the order of their first appearance.
///
/// # Errors
/// A mapping over a list or a list over a mapping ([`ErrorKind::Merge`]), and in struct mode a key
/// that `base` lacks ([`ErrorKind::UnknownOverrideKey`]). `base` may then be half merged.
pub fn merge(base: &mut Node, over: &Node, strictness: Strictness) -> Result<(), Error> {
    merge_at(base, over, strictness, "")
}

pub(crate) fn merge_at(
    base: &mut Node,
    over: &Node,
    strictness: Strictness,
    at: &str,
) -> Result<(), Error> {
    match (&mut base.value, &over.value) {
        (_, Value::Missing) => Ok(()),
        (Value::Map(into), Value::Map(from)) => {
            for (key, node) in from.iter() {
                let below = path::join(at, &key.text());
                if let Some(there) = into.get_key_mut(key) {
                    merge_at(there, node, strictness, &below)?;
                } else if strictness == Strictness::Open {
                    into.insert(key.clone(), node.clone());
                } else {
                    let kind = ErrorKind::UnknownOverrideKey(below);
                    let error = Error::new(kind, key.origin.clone());
                    return Err(error.with_nearest(&key.text(), into.text_keys()));
                }
            }
            Ok(())
        }
        (Value::Map(_), Value::List(_)) | (Value::List(_), Value::Map(_)) => {
            let message = format!(
                "{} cannot replace {}",
                over.value.describe_kind(),
                base.value.describe_kind()
            );
            Err(Error::new(ErrorKind::Merge(message), over.origin.clone()).with_path(at))
        }
        _ => {
            *base = over.clone();
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Document;

    fn load(text: &str) -> Node {
        Document::from_str(text, "c.yaml").unwrap()
    }

    #[test]
    fn mappings_merge_lists_replace_and_missing_leaves() {
        let mut base = load("a: {x: 1, y: [1, 2]}\nb: 1\nc: null\n");
        merge(&mut base, &load("b: ???\na: {y: [3], z: 4}\nc: {d: 1}\n"), Strictness::Open)
            .unwrap();
        assert_eq!(base, load("a: {x: 1, y: [3], z: 4}\nb: 1\nc: {d: 1}\n"));
    }

    #[test]
    fn struct_mode_refuses_new_keys_and_suggests_one() {
        let error = merge(&mut load("a: {port: 1}\n"), &load("a: {prot: 2}\n"), Strictness::Struct)
            .unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::UnknownOverrideKey("a.prot".into()));
        assert_eq!(error.hint(), Some("did you mean `port`?"));
    }

    #[test]
    fn a_mapping_over_a_list_is_an_error() {
        let error =
            merge(&mut load("a: [1]\n"), &load("a: {x: 1}\n"), Strictness::Open).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Merge(_)));
    }
}
