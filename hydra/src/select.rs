//! A dotted path -> where it leads, through interpolations, as `OmegaConf.select` goes.

use crate::error::{Error, ErrorKind, FaultClass};
use crate::interpolation::{Found, Interpolator, Place, Run};
use crate::merge::{Kind, Step, normal_key, refuse};
use crate::scalar;
use crate::source::Origin;
use crate::types::Type;
use crate::value::{Key, KeyKind, Node, Value};

/// Where a path leads.
#[derive(Debug)]
pub(crate) enum Selected {
    /// There is nothing.
    Nothing,
    /// To a node of the tree.
    There(Vec<Step>),
    /// To what an interpolation made.
    Made(Node),
}

impl Interpolator<'_> {
    /// Follows keys from the root. The last one's interpolation is followed too.
    ///
    /// # Errors
    /// An interpolation on the way fails, or a list is asked for what is no index.
    pub(crate) fn select(
        &self,
        root: &Node,
        keys: &[&str],
        asked: &Origin,
    ) -> Result<Selected, Error> {
        let mut run = Run::new(self, root);
        let mut found = Found::Place(Place::root(root));
        for key in keys {
            let Some(next) = next(&mut run, &found, key, asked)? else {
                return Ok(Selected::Nothing);
            };
            found = next;
        }
        Ok(match found {
            Found::Place(place) => Selected::There(place.steps()),
            Found::Owned(value) => Selected::Made(Node::new(value, asked.clone())),
        })
    }
}

impl Interpolator<'_> {
    /// Where the interpolation at a place leads in the tree; `None` where it makes a value of its
    /// own.
    ///
    /// # Errors
    /// The interpolation fails.
    pub(crate) fn followed(
        &self,
        root: &Node,
        steps: &[Step],
        asked: &Origin,
    ) -> Result<Option<Vec<Step>>, Error> {
        let mut place = Place::root(root);
        for step in steps {
            place = place.go(step).ok_or_else(|| {
                let message = "there is nothing where the override goes".to_owned();
                Error::new(ErrorKind::Composition(message), asked.clone())
            })?;
        }
        match Run::new(self, root).evaluate(&place)? {
            Found::Place(there) => Ok(Some(there.steps())),
            Found::Owned(_) => Ok(None),
        }
    }
}

fn next<'r>(
    run: &mut Run<'r>,
    found: &Found<'r>,
    key: &str,
    asked: &Origin,
) -> Result<Option<Found<'r>>, Error> {
    let index = || {
        scalar::python_int(key).ok_or_else(|| {
            let message = format!("Index '{key}' (str) is not an int");
            refuse(FaultClass::ConfigType, message, asked)
        })
    };
    let index = match found.value() {
        Value::Map(_) => None,
        Value::List(_) => Some(index()?),
        Value::Missing => return unset(found, key, asked, index),
        _ => return Ok(None),
    };
    let step = match index {
        Some(at) => match usize::try_from(at) {
            Ok(at) => Step::Index(at),
            Err(_) => return Ok(None),
        },
        None => Step::Key(Key::new(KeyKind::Str(key.to_owned()), asked.clone())),
    };
    match found {
        Found::Place(place) => match place.go(&step) {
            Some(child) => run.evaluate(&child).map(Some),
            None => Ok(None),
        },
        Found::Owned(value) => {
            let child = match (value, &step) {
                (Value::Map(map), Step::Key(key)) => map.get_key(key),
                (Value::List(items), Step::Index(at)) => items.get(*at),
                _ => None,
            };
            Ok(child.map(|node| Found::Owned(node.value.clone())))
        }
    }
}

/// The child of what stands in the place of a container and is not set.
fn unset<'r>(
    found: &Found<'r>,
    key: &str,
    asked: &Origin,
    index: impl Fn() -> Result<i128, Error>,
) -> Result<Option<Found<'r>>, Error> {
    let Found::Place(place) = found else { return Ok(None) };
    match (Kind::of(place.node), place.node.slot()) {
        (Kind::List, _) => index().map(|_| None),
        (Kind::Dict, slot) => {
            let key = Key::new(KeyKind::Str(key.to_owned()), asked.clone());
            if matches!(slot, Type::Dict(keys, _) if normal_key(keys, &key).is_err()) {
                return Ok(None);
            }
            let message = "'str' object has no attribute 'get'".to_owned();
            let kind = ErrorKind::Uncaught { class: "AttributeError", message };
            Err(Error::new(kind, asked.clone()).with_hint("it is not set: set the whole of it"))
        }
        _ => Ok(None),
    }
}
