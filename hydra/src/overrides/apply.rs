//! Overrides -> changes of the tree.

use super::{Action, Override};
use crate::Dialect;
use crate::env::ProcessEnvironment;
use crate::error::{Error, ErrorKind, Errors, FaultClass};
use crate::interpolation::Interpolator;
use crate::limits::MAX_DEPTH;
use crate::merge::{Cursor, Input, Kind, Step, Strictness, located, normal_key, refuse};
use crate::scalar;
use crate::select::Selected;
use crate::source::{Origin, is_secret_name, mask_secrets};
use crate::types::{Type, shown};
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
    let with = Interpolator::new(&ProcessEnvironment).with_dialect(dialect);
    let mut errors = Vec::new();
    for text in overrides {
        let applied = Override::parse(text)
            .map_err(Errors::from)
            .and_then(|parsed| apply_override(root, &parsed, strictness, &with));
        if let Err(found) = applied {
            errors.extend(found);
        }
    }
    Errors::check(errors)
}

/// Applies one override. `with` follows the interpolations on its way.
///
/// # Errors
/// The override does not fit. The tree is as it was.
pub fn apply_override(
    root: &mut Node,
    change: &Override,
    strictness: Strictness,
    with: &Interpolator<'_>,
) -> Result<(), Errors> {
    check_key(change)?;
    apply_value(root, change, strictness, with)
}

/// Applies an override that is known to be about a value, whatever its key looks like.
pub(crate) fn apply_value(
    root: &mut Node,
    change: &Override,
    strictness: Strictness,
    with: &Interpolator<'_>,
) -> Result<(), Errors> {
    let keys: Vec<&str> = change.key.split('.').collect();
    let one = Change { change, keys: &keys, with };
    let node = change.node().map_err(|error| one.merging(error))?;
    if let (Some(node), true) = (&node, change.action != Action::Delete) {
        one.check_depth(node)?;
        check_interpolations(node, with.dialect).map_err(|errors| one.all_merging(errors))?;
    }
    match (change.action, node) {
        (Action::Delete, node) => one.delete(root, node.as_ref())?,
        (Action::Change, Some(node)) => one.set(root, node, strictness, false)?,
        (Action::Add, Some(node)) => one.add(root, node, strictness)?,
        (Action::ForceAdd, Some(node)) => one.set(root, node, strictness, true)?,
        (_, None) => return Err(one.composition("the override has no value").into()),
    }
    Ok(())
}

/// A key with a package chooses an option of a config group, and there is no such group. An empty
/// key is the group of the primary configurations, which no defaults list names.
fn check_key(change: &Override) -> Result<(), Error> {
    let wrong = |kind| Err(Error::new(kind, change.origin()).with_path(&change.key));
    if change.package.is_some() {
        return wrong(ErrorKind::Composition(format!(
            "Override {} looks like a config group override, but config group '{}' does not exist.",
            mask_secrets(&change.text),
            change.key
        )));
    }
    if !change.key.is_empty() || change.action == Action::Delete {
        return Ok(());
    }
    match change.node()?.map(|node| (node.as_str().is_some(), node.python_type())) {
        Some((false, kind)) => wrong(ErrorKind::value_error(format!(
            "Config group override must be a string or a list. Got {kind}"
        ))),
        _ => {
            let message = "Could not override ''. No match in the defaults list.";
            wrong(ErrorKind::Composition(message.to_owned()))
        }
    }
}

struct Change<'o> {
    change: &'o Override,
    keys: &'o [&'o str],
    with: &'o Interpolator<'o>,
}

impl Change<'_> {
    fn origin(&self) -> Origin {
        self.change.origin()
    }

    /// The override as it was written, without secrets.
    fn text(&self) -> String {
        mask_secrets(&self.change.text)
    }

    fn composition(&self, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Composition(message.into()), self.origin())
            .with_path(&self.change.key)
    }

    /// What Python raises where OmegaConf is asked for something that it did not foresee.
    fn uncaught(&self, class: &'static str, message: impl Into<String>) -> Error {
        let kind = ErrorKind::Uncaught { class, message: message.into() };
        Error::new(kind, self.origin()).with_path(&self.change.key)
    }

    fn check_depth(&self, node: &Node) -> Result<(), Error> {
        if self.keys.len() + depth(node) <= MAX_DEPTH {
            return Ok(());
        }
        let message = format!("nested deeper than {MAX_DEPTH} levels");
        Err(Error::new(ErrorKind::Limit(message), self.origin()).with_path(&self.change.key))
    }

    fn all_merging(&self, errors: Errors) -> Errors {
        let mut told = errors.into_iter().map(|error| self.merging(error));
        match told.next() {
            Some(first) => Errors::from(first).with(told),
            None => self.composition("the override does not fit").into(),
        }
    }

    /// OmegaConf refuses the change.
    fn merging(&self, error: Error) -> Error {
        let own = |kind: &ErrorKind| {
            matches!(
                kind,
                ErrorKind::Uncaught { .. } | ErrorKind::Limit(_) | ErrorKind::SweepNeeded(_)
            )
        };
        if own(error.kind()) {
            return error;
        }
        let message = format!("Error merging override {}\n{}", self.text(), error.message());
        self.told(error, message)
    }

    /// The same for an override without a sign, where a key that is not there is a case of its own.
    fn overriding(&self, error: Error) -> Error {
        let unknown = matches!(
            error.kind(),
            ErrorKind::Config(fault)
                if matches!(fault.class, FaultClass::ConfigKey | FaultClass::ConfigAttribute)
        );
        if !unknown {
            return self.merging(error);
        }
        let text = self.text();
        let message = format!(
            "Could not override '{}'.\nTo append to your config use +{text}\n{}",
            self.change.key,
            error.message()
        );
        let hint = match error.hint() {
            Some(near) => format!("{near} To add a new key, write `+{text}`"),
            None => format!("to add a new key, write `+{text}`"),
        };
        self.told(error, message).with_hint(hint)
    }

    /// The same error in Hydra's words, about this override; a secret is not repeated.
    fn told(&self, error: Error, message: String) -> Error {
        let secret = self.keys.iter().any(|key| is_secret_name(key));
        let first = message.lines().next().unwrap_or_default().to_owned();
        let message = if secret { first } else { message };
        error.told_as(ErrorKind::Composition(message)).with_path(&self.change.key)
    }

    fn delete(&self, root: &mut Node, wanted: Option<&Node>) -> Result<(), Error> {
        let absent = || {
            let message =
                format!("Could not delete from config. '{}' does not exist.", self.change.key);
            Err(self.composition(message))
        };
        let (Some(last), parents) = (self.keys.last(), &self.keys[..self.keys.len() - 1]) else {
            return absent();
        };
        match self.select(root, self.keys)? {
            None => return absent(),
            Some(node) if matches!(node.value, Value::Null | Value::Missing) => return absent(),
            Some(there) => self.check_deleted(&there, wanted)?,
        }
        let origin = self.origin();
        let parent = self.with.select(root, parents, &origin).map_err(|e| self.merging(e))?;
        let Selected::There(path) = parent else {
            return Err(self.composition("what an interpolation made cannot be changed"));
        };
        let mut cursor = Cursor::new(root, Strictness::Open, self.with);
        cursor.go_to(path);
        self.remove(&mut cursor, last)
    }

    fn remove(&self, cursor: &mut Cursor<'_>, last: &str) -> Result<(), Error> {
        let key = self.key(last);
        let below = cursor.depth() > 0;
        if let (Some(schema), true) = (cursor.here().object(), below) {
            let message = format!("{} (DictConfig) does not support deletion", schema.name());
            let error = refuse(FaultClass::ConfigType, message, &self.origin());
            let full_key = cursor.full_key(Some(&Step::Key(key)));
            return Err(self.merging(located(error, cursor.here(), &full_key)));
        }
        match &mut cursor.here_mut().value {
            Value::Map(map) => {
                map.remove(last);
                Ok(())
            }
            _ => {
                let message = "list indices must be integers or slices, not str";
                let parents = self.keys[..self.keys.len() - 1].join(".");
                let hint = format!("set the whole list: `{parents}=[...]`");
                Err(self.uncaught("TypeError", message).with_hint(hint))
            }
        }
    }

    /// The value that keys lead to, with all that is in it resolved where it can be.
    fn select(&self, root: &Node, keys: &[&str]) -> Result<Option<Node>, Error> {
        match self.with.select(root, keys, &self.origin()).map_err(|e| self.merging(e))? {
            Selected::Nothing => Ok(None),
            Selected::Made(node) => Ok(Some(node)),
            Selected::There(path) => {
                Ok(path.iter().try_fold(root, |node, step| step.of(node)).cloned())
            }
        }
    }

    fn check_deleted(&self, there: &Node, wanted: Option<&Node>) -> Result<(), Error> {
        let Some(wanted) = wanted.filter(|node| !matches!(node.value, Value::Null)) else {
            return Ok(());
        };
        if python_equal(&there.value, &wanted.value) {
            return Ok(());
        }
        let secret = self.keys.iter().any(|key| is_secret_name(key));
        let (there, wanted) = if secret {
            ("***".to_owned(), "***".to_owned())
        } else {
            (shown(there), shown(wanted))
        };
        Err(self.composition(format!(
            "Could not delete from config. The value of '{}' is {there} and not {wanted}.",
            self.change.key
        )))
    }

    fn add(&self, root: &mut Node, node: Node, strictness: Strictness) -> Result<(), Error> {
        let there = self.select(root, self.keys)?;
        let taken = there.is_some_and(|n| !matches!(n.value, Value::Null | Value::Missing));
        if taken && !node.value.is_container() {
            let (text, key) = (self.text(), &self.change.key);
            let message = format!(
                "Could not append to config. An item is already at '{key}'.\n\
                 Either remove + prefix: '{}'\n\
                 Or add a second + to add or override '{key}': '+{text}'",
                &text[1..]
            );
            let hint = format!("to change it, write `{}`; either way, `+{text}`", &text[1..]);
            return Err(self.composition(message).with_hint(hint));
        }
        self.set(root, node, strictness, true)
    }

    /// Sets the value; `force` makes what is missing on the way.
    fn set(
        &self,
        root: &mut Node,
        node: Node,
        strictness: Strictness,
        force: bool,
    ) -> Result<(), Error> {
        let mut cursor = Cursor::new(root, strictness, self.with);
        let mut undo = None;
        let set = self
            .walk(&mut cursor, force, &mut undo)
            .and_then(|()| self.put(&mut cursor, node, force, &mut undo));
        set.map_err(|error| {
            if let Some(undo) = undo {
                undo.apply(&mut cursor);
            }
            if force { self.merging(error) } else { self.overriding(error) }
        })
    }

    /// Goes to the container of the last key.
    fn walk(
        &self,
        cursor: &mut Cursor<'_>,
        force: bool,
        undo: &mut Option<Undo>,
    ) -> Result<(), Error> {
        for key in &self.keys[..self.keys.len().saturating_sub(1)] {
            let step = match cursor.here().value {
                Value::List(_) => Step::Index(self.index(key).ok_or_else(|| {
                    self.uncaught("TypeError", format!("Index '{key}' (str) is not an int"))
                })?),
                _ => Step::Key(self.key(key)),
            };
            let is_container =
                step.of(cursor.here()).is_some_and(|node| Kind::of(node).is_container());
            if !is_container {
                let empty = Node::new(Value::Map(Map::new()), self.origin());
                self.check_index(cursor, &step)?;
                undo.get_or_insert_with(|| Undo::of(cursor, &step));
                cursor.assign(&step, empty, Input::Plain, force)?;
            }
            cursor.enter(step);
            self.through(cursor)?;
        }
        Ok(())
    }

    /// The container here may be none: null, not set, or an interpolation that leads to one.
    fn through(&self, cursor: &mut Cursor<'_>) -> Result<(), Error> {
        match &cursor.here().value {
            Value::Null => {
                let message = "Unexpected type for root: NoneType";
                let hint = "it is null: set the whole of it";
                Err(self.uncaught("AssertionError", message).with_hint(hint))
            }
            Value::Missing => {
                let key = cursor.full_key(None);
                let message = format!("Missing mandatory value: {key}");
                Err(refuse(FaultClass::MissingMandatory, message, &self.origin()))
            }
            Value::Interpolation(_) => match cursor.followed(&self.origin())? {
                Some(path) => {
                    cursor.go_to(path);
                    Ok(())
                }
                None => Err(self.composition("what an interpolation made cannot be changed")),
            },
            _ => Ok(()),
        }
    }

    fn put(
        &self,
        cursor: &mut Cursor<'_>,
        node: Node,
        force: bool,
        undo: &mut Option<Undo>,
    ) -> Result<(), Error> {
        let Some(last) = self.keys.last() else {
            return Err(self.composition("there is no key to set"));
        };
        let step = match cursor.here().value {
            Value::List(_) => Step::Index(self.index(last).ok_or_else(|| {
                let message = format!("invalid literal for int() with base 10: '{last}'");
                self.uncaught("ValueError", message)
            })?),
            _ => Step::Key(self.key(last)),
        };
        if force {
            cursor.open_here();
        }
        self.check_index(cursor, &step)?;
        if node.value.is_container() {
            cursor.check_child(&step)?;
            let there = step.of(cursor.here());
            if let Some(there) = there.filter(|there| Kind::of(there).is_container()) {
                self.check_mergeable(there, &node)?;
                undo.get_or_insert_with(|| Undo::of(cursor, &step));
                cursor.enter(step);
                return cursor.merge(&node);
            }
        }
        cursor.assign(&step, node, Input::Plain, false)
    }

    /// A mapping that is null has nothing that could be merged into.
    fn check_mergeable(&self, there: &Node, node: &Node) -> Result<(), Error> {
        let null = matches!(there.value, Value::Null) && Kind::of(there) == Kind::Dict;
        let first = node.as_map().and_then(|map| map.iter().next());
        let asked = first.is_some_and(|(key, _)| match there.slot() {
            Type::Dict(keys, _) => normal_key(keys, key).is_ok(),
            _ => true,
        });
        if null && asked {
            let message = "'NoneType' object has no attribute 'get'";
            let hint = "it is null: add its keys one by one";
            return Err(self.uncaught("AttributeError", message).with_hint(hint));
        }
        Ok(())
    }

    fn check_index(&self, cursor: &Cursor<'_>, step: &Step) -> Result<(), Error> {
        let (Some(items), Step::Index(at)) = (cursor.here().as_list(), step) else {
            return Ok(());
        };
        if *at < items.len() {
            return Ok(());
        }
        let error = refuse(FaultClass::ConfigIndex, "list index out of range", &self.origin());
        let hint = format!("the list has {} items, counted from 0", items.len());
        let full_key = cursor.full_key(Some(step));
        Err(located(error, cursor.here(), &full_key).with_hint(hint))
    }

    fn index(&self, key: &str) -> Option<usize> {
        scalar::python_int(key).and_then(|at| usize::try_from(at).ok())
    }

    fn key(&self, key: &str) -> Key {
        Key::new(KeyKind::Str(key.to_owned()), self.origin())
    }
}

/// What the first change on the way of an override changed, as it was.
struct Undo {
    container: Vec<Step>,
    step: Step,
    was: Option<Node>,
}

impl Undo {
    fn of(cursor: &Cursor<'_>, step: &Step) -> Self {
        let was = step.of(cursor.here()).cloned();
        Self { container: cursor.path().to_vec(), step: step.clone(), was }
    }

    fn apply(self, cursor: &mut Cursor<'_>) {
        cursor.go_to(self.container);
        let here = cursor.here_mut();
        match (self.step.of_mut(here), self.was, &self.step) {
            (Some(there), Some(was), _) => *there = was,
            (Some(_), None, Step::Key(key)) => {
                if let Some(map) = here.as_map_mut() {
                    map.remove(&key.text());
                }
            }
            _ => {}
        }
    }
}

/// How many levels of containers there are.
fn depth(node: &Node) -> usize {
    let below = match &node.value {
        Value::List(items) => items.iter().map(depth).max(),
        Value::Map(map) => map.iter().map(|(_, child)| depth(child)).max(),
        _ => return 0,
    };
    1 + below.unwrap_or(0)
}

/// Python's `==`: numbers and truth values compare by value.
fn python_equal(a: &Value, b: &Value) -> bool {
    let number = |value: &Value| match value {
        Value::Int(value) => Some(KeyKind::Int(*value)),
        Value::Float(value) => Some(KeyKind::Float(*value)),
        Value::Bool(value) => Some(KeyKind::Bool(*value)),
        _ => None,
    };
    match (number(a), number(b), a, b) {
        (Some(a), Some(b), ..) => a == b,
        (_, _, Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| python_equal(&a.value, &b.value))
        }
        (_, _, Value::Map(a), Value::Map(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, node)| {
                    b.get_key(key).is_some_and(|other| python_equal(&node.value, &other.value))
                })
        }
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
    fn a_config_group_that_does_not_exist_is_told() {
        for (text, told) in [
            ("db@x=y", "Override db@x=y looks like a config group override"),
            ("db/engine=x", "Could not override 'db/engine'."),
            ("=x", "Could not override ''. No match in the defaults list."),
        ] {
            let errors = changed(&[text]).unwrap_err();
            assert!(errors.first().message().starts_with(told), "{errors}");
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
