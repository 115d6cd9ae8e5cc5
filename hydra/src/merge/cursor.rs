//! A place in a tree that is being changed.

use std::fmt::Write as _;

use super::{Kind, Strictness, located, refuse};
use crate::error::{Error, FaultClass};
use crate::interpolation::Interpolator;
use crate::limits::Budget;
use crate::source::Origin;
use crate::types::{EnumType, KeyType, Type};
use crate::value::{Key, KeyKind, Map, Node, Value};

/// One level down.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Key(Key),
    Index(usize),
}

/// A place in a tree, with the tree: a change at the place may have to look elsewhere, where an
/// interpolation leads.
pub(crate) struct Cursor<'t> {
    pub(super) root: &'t mut Node,
    pub(super) path: Vec<Step>,
    pub(super) with: &'t Interpolator<'t>,
    strictness: Strictness,
    /// The level whose container takes new keys whatever its schema and the root say. What is below
    /// it takes them too, unless a schema says otherwise.
    pub(super) open_at: Option<usize>,
    /// The level where the merge that is going on began.
    pub(super) merged_at: usize,
    budget: Budget,
}

impl<'t> Cursor<'t> {
    pub(crate) fn new(
        root: &'t mut Node,
        strictness: Strictness,
        with: &'t Interpolator<'t>,
    ) -> Self {
        Self {
            root,
            path: Vec::new(),
            with,
            strictness,
            open_at: None,
            merged_at: 0,
            budget: Budget::default(),
        }
    }

    /// The node here.
    pub(crate) fn here(&self) -> &Node {
        self.path.iter().fold(self.root, |node, step| {
            step.of(node).expect("a cursor goes only where it has seen a node")
        })
    }

    pub(crate) fn here_mut(&mut self) -> &mut Node {
        self.path.iter().fold(&mut *self.root, |node, step| {
            step.of_mut(node).expect("a cursor goes only where it has seen a node")
        })
    }

    /// How many levels down this is.
    pub(crate) fn depth(&self) -> usize {
        self.path.len()
    }

    /// Goes down to a child that is there.
    pub(crate) fn enter(&mut self, step: Step) {
        debug_assert!(step.of(self.here()).is_some(), "there is no {step:?} here");
        self.path.push(step);
    }

    /// The steps from the root to here.
    pub(crate) fn path(&self) -> &[Step] {
        &self.path
    }

    /// Goes elsewhere; the steps lead to a node.
    pub(crate) fn go_to(&mut self, path: Vec<Step>) {
        self.path = path;
    }

    /// Lets the container here take new keys.
    pub(crate) fn open_here(&mut self) {
        self.open_at = Some(self.depth());
    }

    /// The path of this place, or of a key in it, as OmegaConf writes it.
    pub(crate) fn full_key(&self, below: Option<&Step>) -> String {
        let mut text = String::new();
        for step in self.path.iter().chain(below) {
            let dot = if text.is_empty() { "" } else { "." };
            // Writing to a string cannot fail.
            let _ = match step {
                Step::Key(key) => write!(text, "{dot}{}", key.text()),
                Step::Index(at) => write!(text, "[{at}]"),
            };
        }
        text
    }

    /// The child of a key; a key of another type than the keys here has none.
    pub(super) fn child(&self, step: &Step) -> Option<&Node> {
        step.of(self.here())
    }

    pub(super) fn child_mut(&mut self, step: &Step) -> Option<&mut Node> {
        step.of_mut(self.here_mut())
    }

    /// A key in the form that the keys here have.
    pub(crate) fn normal_key(&self, key: &Key) -> Result<Key, Error> {
        match self.here().slot() {
            Type::Dict(keys, _) => normal_key(keys, key),
            _ => normal_key(&KeyType::Any, key),
        }
    }

    /// Whether a key may be asked for here. `open` is for a container that just now takes all.
    pub(super) fn check_key(&self, key: &Key, open: bool) -> Result<(), Error> {
        let here = self.here();
        let there = here.as_map().is_some_and(|map| map.get_key(key).is_some());
        if there || open || self.open_at == Some(self.depth()) {
            return Ok(());
        }
        let message = match here.object() {
            Some(schema) => format!("Key '{}' not in '{}'", key.text(), schema.name()),
            None if self.is_struct() => format!("Key '{}' is not in struct", key.text()),
            None => return Ok(()),
        };
        let known = here.as_map().into_iter().flat_map(Map::text_keys);
        Err(refuse(FaultClass::ConfigKey, message, &key.origin).with_nearest(&key.text(), known))
    }

    /// Whether a child may be asked for.
    ///
    /// # Errors
    /// It is none of the schema or of the struct, or its key is of the wrong type.
    pub(crate) fn check_child(&self, step: &Step) -> Result<(), Error> {
        let Step::Key(key) = step else { return Ok(()) };
        self.normal_key(key)
            .and_then(|key| self.check_key(&key, false))
            .map_err(|error| located(error, self.here(), &self.full_key(Some(step))))
    }

    /// Where the interpolation here leads in the tree; `None` where it makes a value of its own.
    ///
    /// # Errors
    /// It fails.
    pub(crate) fn followed(&self, asked: &Origin) -> Result<Option<Vec<Step>>, Error> {
        self.with.followed(self.root, &self.path, asked)
    }

    /// Whether the container here has OmegaConf's struct flag, its own or that of one above.
    fn is_struct(&self) -> bool {
        self.strictness == Strictness::Struct
            && self.open_at.is_none_or(|level| level > self.depth())
    }

    /// What the interpolation of a child leads to, where that is a container: a copy of it. An
    /// interpolation that fails leads nowhere.
    ///
    /// # Errors
    /// The copies of one merge are more than a tree may hold.
    pub(super) fn dereferenced(&mut self, step: &Step) -> Result<Option<Node>, Error> {
        let found = self.with.target(self.root, self.path.iter().chain([step]));
        let Some(found) = found.filter(|node| Kind::of(node).is_container()) else {
            return Ok(None);
        };
        let origin = &found.origin;
        self.budget.spend_tree(&found, &mut 0).map_err(|spent| spent.at(origin))?;
        Ok(Some(found))
    }

    /// Whether a value that is merged in is null, or an interpolation that leads to null; `whole`
    /// is the tree that it is merged from, and the only one in which it is followed.
    ///
    /// # Errors
    /// The interpolation fails.
    pub(super) fn leads_to_null(
        &self,
        step: &Step,
        over: &Node,
        whole: &Node,
    ) -> Result<bool, Error> {
        if !matches!(over.value, Value::Interpolation(_)) {
            return Ok(matches!(over.value, Value::Null));
        }
        let steps = self.path.iter().skip(self.merged_at).chain([step]);
        let found = self.with.try_target(whole, steps)?;
        Ok(found.is_some_and(|found| matches!(found.value, Value::Null)))
    }
}

impl Step {
    pub(crate) fn of<'n>(&self, node: &'n Node) -> Option<&'n Node> {
        match (&node.value, self) {
            (Value::Map(map), Self::Key(key)) => map.get_key(key),
            (Value::List(items), Self::Index(at)) => items.get(*at),
            _ => None,
        }
    }

    pub(crate) fn of_mut<'n>(&self, node: &'n mut Node) -> Option<&'n mut Node> {
        match (&mut node.value, self) {
            (Value::Map(map), Self::Key(key)) => map.get_key_mut(key),
            (Value::List(items), Self::Index(at)) => items.get_mut(*at),
            _ => None,
        }
    }
}

/// A key in the form that keys of a type have.
pub(crate) fn normal_key(keys: &KeyType, key: &Key) -> Result<Key, Error> {
    let bad = |message: String| refuse(FaultClass::KeyValidation, message, &key.origin);
    let fits = match (keys, &key.kind) {
        (_, KeyKind::Null) => {
            return Err(bad("Incompatible key type 'NoneType'".to_owned()));
        }
        (KeyType::Enum(names), kind) => return member_key(names, kind, key).map_err(bad),
        (KeyType::Bool, kind) => {
            for value in [false, true] {
                if *kind == KeyKind::Bool(value) {
                    return Ok(Key::new(KeyKind::Bool(value), key.origin.clone()));
                }
            }
            false
        }
        (KeyType::Any, _)
        | (KeyType::Str, KeyKind::Str(_))
        | (KeyType::Int, KeyKind::Int(_) | KeyKind::Bool(_))
        | (KeyType::Float, KeyKind::Float(_)) => true,
        _ => false,
    };
    if fits {
        return Ok(key.clone());
    }
    let (shown, kind) = (key.text(), kind_name(&key.kind));
    Err(bad(format!("Key {shown} ({kind}) is incompatible with ({keys})")))
}

fn member_key(names: &EnumType, kind: &KeyKind, key: &Key) -> Result<Key, String> {
    let found = match kind {
        KeyKind::Str(text) => names.by_name(text),
        KeyKind::Int(number) => names.by_number(*number),
        _ => None,
    };
    let as_key = |name: &str| Key::new(KeyKind::Str(name.to_owned()), key.origin.clone());
    found.map(as_key).ok_or_else(|| {
        let valid: Vec<_> = names.names().collect();
        format!(
            "Key '{}' is incompatible with the enum type '{}', valid: [{}]",
            key.text(),
            names.name(),
            valid.join(", ")
        )
    })
}

fn kind_name(kind: &KeyKind) -> &'static str {
    match kind {
        KeyKind::Str(_) => "str",
        KeyKind::Int(_) => "int",
        KeyKind::Float(_) => "float",
        KeyKind::Bool(_) => "bool",
        KeyKind::Null => "NoneType",
    }
}
