//! A value in a place: kept as it is, converted, or refused.

use super::hints::hold;
use super::wrap::{check_assignable, check_item, check_not_none, wrap};
use super::{Cursor, Kind, Step, invalid, is_special, located};
use crate::error::Error;
use crate::types::{Type, convert, refuse_null};
use crate::value::{Key, Map, Node, Value};

/// What is assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// Plain data: it becomes a value of the type of its place.
    Plain,
    /// A node of another tree: it brings its types along.
    Node,
}

impl Cursor<'_> {
    /// Sets a key of the mapping here, or an item of the list. `open`: the mapping takes new keys
    /// for this once.
    ///
    /// # Errors
    /// The key is none of the schema or of the struct, or the value does not fit.
    pub(crate) fn assign(
        &mut self,
        step: &Step,
        value: Node,
        input: Input,
        open: bool,
    ) -> Result<(), Error> {
        let set = match step {
            Step::Key(key) => self.assign_key(key, value, input, open),
            Step::Index(at) => self.assign_item(*at, value, input),
        };
        set.map_err(|error| located(error, self.here(), &self.full_key(Some(step))))
    }

    fn assign_key(
        &mut self,
        key: &Key,
        value: Node,
        input: Input,
        open: bool,
    ) -> Result<(), Error> {
        let key = self.normal_key(key)?;
        self.check_key(&key, open)?;
        let element = element_of(self.here());
        let step = Step::Key(key);
        if let Some(target) = self.child(&step) {
            if matches!(value.value, Value::Null) && !target.is_optional() {
                return Err(invalid("field '$FULL_KEY' is not Optional", &value.origin));
            }
            if Kind::of(target) == Kind::Dict {
                check_assignable(target.slot(), &value)?;
            }
            if let Some(fitted) = self.replaced(&step, value, input, &element)? {
                self.put(&step, fitted);
            }
            return Ok(());
        }
        check_not_none(&element, &value)?;
        let fitted = fit(&element, value, input)?;
        self.put(&step, fitted);
        Ok(())
    }

    fn assign_item(&mut self, at: usize, value: Node, input: Input) -> Result<(), Error> {
        let element = element_of(self.here());
        let step = Step::Index(at);
        let optional = self.child(&step).is_none_or(Node::is_optional);
        if matches!(value.value, Value::Null) && !optional {
            return Err(invalid(
                "$FULL_KEY is not optional and cannot be assigned None",
                &value.origin,
            ));
        }
        check_item(&element, &value)?;
        if let Some(fitted) = self.replaced(&step, value, input, &element)? {
            self.put(&step, fitted);
        }
        Ok(())
    }

    /// Sets a child that is there: the value that takes its place, or `None` where the child keeps
    /// its place and has changed.
    fn replaced(
        &mut self,
        step: &Step,
        value: Node,
        input: Input,
        element: &Type,
    ) -> Result<Option<Node>, Error> {
        let brings_type = input == Input::Node && Kind::of(&value) == Kind::Scalar;
        if brings_type && !matches!(element.split().1, Type::Union(_)) {
            return fit(element, value, input).map(Some);
        }
        match self.child_mut(step) {
            Some(target) if *target.slot() != Type::Any => {
                set_value(target, value, input)?;
                Ok(None)
            }
            _ => fit(element, value, input).map(Some),
        }
    }

    fn put(&mut self, step: &Step, node: Node) {
        let here = self.here_mut();
        match (&mut here.value, step) {
            (Value::Map(map), Step::Key(key)) => {
                map.insert(key.clone(), node);
            }
            (Value::List(items), Step::Index(at)) => {
                if let Some(item) = items.get_mut(*at) {
                    *item = node;
                }
            }
            _ => here.value = Value::Map(map_of(step, node)),
        }
    }
}

fn map_of(step: &Step, node: Node) -> Map {
    match step {
        Step::Key(key) => Map::from_iter([(key.clone(), node)]),
        Step::Index(_) => Map::new(),
    }
}

/// The type of the values of a mapping or the items of a list.
pub(super) fn element_of(container: &Node) -> Type {
    match container.slot() {
        Type::Dict(_, of) | Type::List(of) => (**of).clone(),
        _ => Type::Any,
    }
}

/// A value for a new place of a type.
pub(super) fn fit(hint: &Type, value: Node, input: Input) -> Result<Node, Error> {
    let slot = hint.split().1;
    if input == Input::Plain {
        return wrap(hint, value);
    }
    let kind = Kind::of(&value);
    if kind != Kind::Scalar || matches!(slot, Type::Union(_)) {
        let special = is_special(&value.value);
        if special && slot.is_container() || slot.is_primitive() || matches!(slot, Type::Union(_)) {
            if !special && kind.is_container() {
                // As in OmegaConf, where a container slips past the type of a scalar.
                return Ok(value);
            }
            return wrap(hint, plain(value));
        }
    }
    let mut value = value;
    hold(&mut value, hint)?;
    Ok(value)
}

/// The same without its type; text of an enumeration or a path stays what it is.
fn plain(value: Node) -> Node {
    match value.slot() {
        Type::Enum(_) | Type::Path => value,
        _ => Node::new(value.value, value.origin),
    }
}

/// Changes a node that has a type: the type stays.
pub(super) fn set_value(target: &mut Node, value: Node, input: Input) -> Result<(), Error> {
    match &value.value {
        Value::Null if !target.is_optional() => return Err(refuse_none(target, &value)),
        Value::Null | Value::Missing | Value::Interpolation(_) => {
            target.value = value.value;
            target.origin = value.origin;
            target.forget_object();
            return Ok(());
        }
        _ => {}
    }
    let slot = target.slot().clone();
    check_assignable(&slot, &value)?;
    let (object, origin) = (value.object().cloned(), value.origin.clone());
    let element = element_of(target);
    let converted = match (&slot, value.value) {
        (Type::Dict(..), Value::Map(map)) => {
            let children = map.into_pairs().map(|(key, child)| {
                let Type::Dict(keys, _) = &slot else { return Ok((key, child)) };
                let key = super::cursor::normal_key(keys, &key)?;
                check_not_none(&element, &child)?;
                Ok((key, fit(&element, child, input)?))
            });
            Value::Map(children.collect::<Result<_, Error>>()?)
        }
        (Type::List(_), Value::List(items)) => {
            let children = items.into_iter().map(|child| fit_item(&element, child, input));
            Value::List(children.collect::<Result<_, Error>>()?)
        }
        (Type::Struct(_) | Type::Any, kept) => kept,
        (slot, kept) => {
            let scalar = Node::new(kept, origin.clone());
            convert(slot, &scalar).map_err(|message| invalid(message, &origin))?
        }
    };
    target.value = converted;
    target.origin = origin;
    if target.object().is_some() || object.is_some() {
        target.retype(|typed| typed.object = object);
    }
    Ok(())
}

/// An item for the end of a list; a scalar leaves its own type behind.
pub(super) fn fit_item(element: &Type, item: Node, input: Input) -> Result<Node, Error> {
    check_item(element, &item)?;
    let scalar = !Kind::of(&item).is_container();
    if scalar && *element != Type::Any {
        return wrap(element, plain(item));
    }
    fit(element, item, input)
}

fn refuse_none(target: &Node, value: &Node) -> Error {
    let message = match target.slot() {
        Type::Dict(..) | Type::Struct(_) => "field '$FULL_KEY' is not Optional".to_owned(),
        Type::List(_) => "Non optional ListConfig cannot be constructed from None".to_owned(),
        slot => refuse_null(slot),
    };
    invalid(message, &value.origin)
}
