//! Overrides -> changes of the tree.

use super::{Action, Override};
use crate::Dialect;
use crate::error::{Error, ErrorKind, Errors};
use crate::merge::{Strictness, merge_at};
use crate::scalar;
use crate::source::Origin;
use crate::value::{Key, KeyKind, Map, Node, Value};
use crate::yaml::check_interpolations;

/// Applies overrides from left to right, in struct mode: a key that does not exist needs `+` or `++`.
///
/// # Errors
/// All overrides that are malformed or do not fit; the others have been applied.
pub fn apply_overrides(root: &mut Node, overrides: &[String]) -> Result<(), Errors> {
    apply_overrides_with(root, overrides, Strictness::Struct, Dialect::default())
}

/// Applies overrides with a choice: in open mode `key=value` also adds keys, and texts are read as
/// the dialect says.
///
/// # Errors
/// As [`apply_overrides`].
pub fn apply_overrides_with(
    root: &mut Node,
    overrides: &[String],
    strictness: Strictness,
    dialect: Dialect,
) -> Result<(), Errors> {
    let mut errors = Vec::new();
    for text in overrides {
        match Override::parse(text) {
            Ok(parsed) => match apply(root, &parsed, strictness, dialect) {
                Ok(()) => {}
                Err(found) => errors.extend(found),
            },
            Err(error) => errors.push(error),
        }
    }
    Errors::check(errors)
}

fn apply(
    root: &mut Node,
    change: &Override,
    strictness: Strictness,
    dialect: Dialect,
) -> Result<(), Errors> {
    check_key(change)?;
    apply_value(root, change, strictness, dialect)
}

/// Applies an override that is known to be about a value, whatever its key looks like.
pub(crate) fn apply_value(
    root: &mut Node,
    change: &Override,
    strictness: Strictness,
    dialect: Dialect,
) -> Result<(), Errors> {
    let node = change.node()?;
    if let Some(node) = &node {
        check_interpolations(node, dialect)?;
    }
    let keys: Vec<&str> = change.key.split('.').collect();
    let one = Change { change, keys: &keys };
    match (change.action, node) {
        (Action::Delete, node) => one.delete(root, node.as_ref())?,
        (Action::Change, Some(node)) => one.set(root, node, strictness)?,
        (Action::Add, Some(node)) => one.add(root, node)?,
        (Action::ForceAdd, Some(node)) => one.set(root, node, Strictness::Open)?,
        (_, None) => return Err(one.refuse("the override has no value").into()),
    }
    Ok(())
}

/// A key with a slash or a package is a choice of a config group, and so is an empty one.
fn check_key(change: &Override) -> Result<(), Error> {
    let message = if change.key.contains('/') || change.package.is_some() {
        format!("`{}` chooses an option of a config group", change.key)
    } else if change.key.is_empty() {
        "an override without a key chooses an option of a config group".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::CompositionNotBuilt(message), change.origin()))
}

struct Change<'o> {
    change: &'o Override,
    keys: &'o [&'o str],
}

impl Change<'_> {
    fn origin(&self) -> Origin {
        self.change.origin()
    }

    fn refuse(&self, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::OverrideRefused(message.into()), self.origin())
            .with_path(&self.change.key)
    }

    /// The key does not exist and may not be made.
    fn unknown(&self, key: &str, there: &Node) -> Error {
        let text = crate::source::mask_secrets(&self.change.text);
        let error =
            Error::new(ErrorKind::UnknownOverrideKey(self.change.key.clone()), self.origin());
        let near = there.as_map().and_then(|map| crate::nearest(key, map.text_keys()));
        error.with_hint(match near {
            Some(near) => format!("did you mean `{near}`? To add a new key, write `+{text}`"),
            None => format!("to add a new key, write `+{text}`"),
        })
    }

    fn existing<'n>(&self, root: &'n Node) -> Option<&'n Node> {
        self.keys.iter().try_fold(root, |node, key| node.child(key))
    }

    fn delete(&self, root: &mut Node, wanted: Option<&Node>) -> Result<(), Error> {
        let (Some(last), parents) = (self.keys.last(), &self.keys[..self.keys.len() - 1]) else {
            return Err(self.refuse("there is no key to delete"));
        };
        match self.existing(root).map(|node| &node.value) {
            None | Some(Value::Null | Value::Missing) => {
                return Err(self.refuse("cannot delete what does not exist"));
            }
            Some(there) => self.check_deleted(there, wanted)?,
        }
        let parent = parents.iter().try_fold(root, |node, key| node.child_mut(key));
        match parent.and_then(Node::as_map_mut) {
            Some(map) => {
                map.remove(last);
                Ok(())
            }
            None => Err(self
                .refuse("an item of a list cannot be deleted")
                .with_hint(format!("set the whole list: `{}=[...]`", parents.join(".")))),
        }
    }

    fn check_deleted(&self, there: &Value, wanted: Option<&Node>) -> Result<(), Error> {
        let Some(wanted) = wanted.map(|node| &node.value).filter(|v| !matches!(v, Value::Null))
        else {
            return Ok(());
        };
        if matches!(there, Value::Interpolation(_)) && there != wanted {
            let message = "cannot compare the value to delete: it is an interpolation";
            return Err(self.refuse(message).with_hint("delete it without naming its value"));
        }
        if python_equal(there, wanted) {
            return Ok(());
        }
        let secret = self.keys.iter().any(|key| crate::source::is_secret_name(key));
        Err(self.refuse(if secret {
            "cannot delete: the value differs from the one that is named".to_owned()
        } else {
            let (there, wanted) = (scalar::python_str(there), scalar::python_str(wanted));
            format!("cannot delete: the value is {there} and not {wanted}")
        }))
    }

    fn add(&self, root: &mut Node, node: Node) -> Result<(), Error> {
        let taken = self
            .existing(root)
            .is_some_and(|there| !matches!(there.value, Value::Null | Value::Missing));
        if taken && !node.value.is_container() {
            let text = crate::source::mask_secrets(&self.change.text);
            let hint = format!("to change it, write `{}`; either way, `+{text}`", &text[1..]);
            return Err(self.refuse("cannot add: the key exists already").with_hint(hint));
        }
        self.set(root, node, Strictness::Open)
    }

    /// Sets the value; in open mode makes what is missing on the way.
    fn set(&self, root: &mut Node, node: Node, strictness: Strictness) -> Result<(), Error> {
        let (Some(last), parents) = (self.keys.last(), &self.keys[..self.keys.len() - 1]) else {
            return Err(self.refuse("there is no key to set"));
        };
        let mut there = root;
        for key in parents {
            self.check_step(there, key, strictness)?;
            there = self.step(there, key)?;
        }
        self.check_index(there, last)?;
        if let Some(old) = there.child_mut(last) {
            if !(old.value.is_container() && node.value.is_container()) {
                *old = node;
                return Ok(());
            }
            // Only a merge that succeeds may change the tree.
            let mut merged = old.clone();
            merge_at(&mut merged, &node, strictness, &self.change.key)
                .map_err(|error| self.merge_error(error))?;
            *old = merged;
            return Ok(());
        }
        if strictness == Strictness::Struct {
            return Err(self.unknown(last, there));
        }
        match there.as_map_mut() {
            Some(map) => {
                map.insert(self.key(last), node);
                Ok(())
            }
            None => Err(self.refuse("the parent is not a mapping")),
        }
    }

    fn merge_error(&self, error: Error) -> Error {
        if matches!(error.kind(), ErrorKind::UnknownOverrideKey(_)) {
            let text = crate::source::mask_secrets(&self.change.text);
            let hint = match error.hint() {
                Some(near) => format!("{near} To add a new key, write `+{text}`"),
                None => format!("to add a new key, write `+{text}`"),
            };
            return error.with_hint(hint);
        }
        error
    }

    fn key(&self, key: &str) -> Key {
        Key::new(KeyKind::Str(key.to_owned()), self.origin())
    }

    /// Whether the way may go on below `key`.
    fn check_step(&self, there: &Node, key: &str, strictness: Strictness) -> Result<(), Error> {
        self.check_index(there, key)?;
        match there.child(key).map(|node| &node.value) {
            Some(value) if value.is_container() => Ok(()),
            _ if strictness == Strictness::Open => Ok(()),
            Some(_) => Err(self.unknown("", there)),
            None => Err(self.unknown(key, there)),
        }
    }

    fn check_index(&self, there: &Node, key: &str) -> Result<(), Error> {
        let Some(items) = there.as_list() else { return Ok(()) };
        match scalar::list_index(key) {
            Some(at) if at < items.len() => Ok(()),
            Some(_) => {
                Err(self.refuse(format!("the list has {} items, none at {key}", items.len())))
            }
            None => {
                Err(self.refuse(format!("a list has numbered items, and `{key}` is no number")))
            }
        }
    }

    /// Goes below `key`, after [`Self::check_step`]; what is no container becomes an empty mapping.
    fn step<'n>(&self, there: &'n mut Node, key: &str) -> Result<&'n mut Node, Error> {
        let empty = || Node::new(Value::Map(Map::new()), self.origin());
        if let Some(map) = there.as_map_mut()
            && map.get(key).is_none()
        {
            map.insert(self.key(key), empty());
        }
        let Some(child) = there.child_mut(key) else {
            return Err(self.refuse("the parent is not a container"));
        };
        if !child.value.is_container() {
            *child = empty();
        }
        Ok(child)
    }
}

/// Python's `==`: numbers and truth values compare by value.
fn python_equal(a: &Value, b: &Value) -> bool {
    let number = |value: &Value| match value {
        Value::Int(value) => Some(KeyKind::Int(*value)),
        Value::Float(value) => Some(KeyKind::Float(*value)),
        Value::Bool(value) => Some(KeyKind::Bool(*value)),
        _ => None,
    };
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Document;

    fn changed(overrides: &[&str]) -> Result<Node, Errors> {
        let text = "a: 1\nd: {port: 1, y: {z: 2}}\nl: [1, {k: v}]\n";
        let mut node = Document::from_str(text, "c.yaml").unwrap();
        let overrides: Vec<_> = overrides.iter().map(|&text| text.to_owned()).collect();
        apply_overrides(&mut node, &overrides).map(|()| node)
    }

    #[test]
    fn a_value_remembers_its_override() {
        let node = changed(&["d.y.z=[1,{b:2}]"]).unwrap();
        let origin = node.span_of("d.y.z[1].b").unwrap();
        assert_eq!(origin.override_text(), Some("d.y.z=[1,{b:2}]"));
        assert_eq!(origin.to_string(), "command line override `d.y.z=[1,{b:2}]`");
    }

    #[test]
    fn all_errors_are_told_at_once() {
        let errors = changed(&["zz=1", "a=#", "a=1,2", "a=3", "~nope"]).unwrap_err();
        assert_eq!(errors.iter().count(), 4, "{errors}");
    }

    #[test]
    fn an_unknown_key_gets_a_near_one_and_the_way_to_add_it() {
        let errors = changed(&["d.prot=2"]).unwrap_err();
        let hint = errors.first().hint().unwrap();
        assert_eq!(hint, "did you mean `port`? To add a new key, write `+d.prot=2`");
    }

    #[test]
    fn a_comma_list_tells_how_to_write_a_list_or_a_text() {
        let errors = changed(&["a=0,1"]).unwrap_err();
        assert_eq!(errors.first().hint(), Some("a list is `a=[0,1]`, one text is `a='0,1'`"));
    }

    #[test]
    fn a_sweep_and_an_unknown_function_are_errors() {
        for text in ["a=choice(1,2)", "a=[range(1,3)]", "a=json_str({x:1})"] {
            assert!(changed(&[text]).is_err(), "{text}");
        }
        let errors = changed(&["a=flaot(3.2)"]).unwrap_err();
        assert!(errors.to_string().contains("did you mean `float`?"), "{errors}");
    }

    #[test]
    fn a_config_group_says_that_composition_is_not_built() {
        for text in ["db@x=y", "db/engine=x", "=x"] {
            let errors = changed(&[text]).unwrap_err();
            assert!(errors.to_string().contains("composition is not built yet"), "{errors}");
        }
    }

    #[test]
    fn a_key_below_a_value_that_is_not_set_can_be_added() {
        let mut node = Document::from_str("m: ???\n", "c.yaml").unwrap();
        apply_overrides(&mut node, &["m.x=1".to_owned()]).unwrap_err();
        apply_overrides(&mut node, &["+m.x=1".to_owned()]).unwrap();
        assert_eq!(node.at("m.x").unwrap().value, Value::Int(1));
    }

    #[test]
    fn blanks_after_a_colon_stay_and_others_at_the_end_do_not() {
        let node = changed(&["a=b:  "]).unwrap();
        assert_eq!(node.at("a").unwrap().as_str(), Some("b:  "));
        let node = changed(&["a=b  "]).unwrap();
        assert_eq!(node.at("a").unwrap().as_str(), Some("b"));
    }

    #[test]
    fn open_mode_adds_without_a_sign() {
        let mut node = Document::from_str("a: 1\n", "c.yaml").unwrap();
        let overrides = ["b.c=2".to_owned()];
        apply_overrides_with(&mut node, &overrides, Strictness::Open, Dialect::default()).unwrap();
        assert_eq!(node.at("b.c").unwrap().value, Value::Int(2));
    }

    #[test]
    fn a_malformed_interpolation_is_found_at_once() {
        assert!(changed(&["a='${'"]).is_err());
    }

    #[test]
    fn a_secret_on_the_command_line_is_not_repeated() {
        let errors = changed(&["d.hf_token=abc", "~d.hf_token=abc"]).unwrap_err();
        assert!(!errors.to_string().contains("abc"), "{errors}");
    }

    #[test]
    fn a_refused_override_leaves_the_tree_as_it_was() {
        let mut node = Document::from_str("d: {x: 1}\n", "c.yaml").unwrap();
        let before = node.clone();
        let overrides = ["d={x:2,w:1}".to_owned(), "d.x.y=1".to_owned()];
        apply_overrides(&mut node, &overrides).unwrap_err();
        assert_eq!(node, before);
    }
}
