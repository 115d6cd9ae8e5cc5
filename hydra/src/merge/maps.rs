//! A mapping over a mapping, a list over a list.

use super::assign::{Input, element_of, fit_item, set_value};
use super::hints::hold;
use super::wrap::{check_assignable, instance};
use super::{Cursor, Kind, Step, Strictness, invalid, located, refuse, type_name};
use crate::error::{Error, FaultClass};
use crate::types::{Type, Typed, shown};
use crate::value::{Key, Map, Node, Value};

impl Cursor<'_> {
    /// Merges a tree into the container here.
    ///
    /// # Errors
    /// The first value or key that does not fit.
    pub(crate) fn merge(&mut self, over: &Node) -> Result<(), Error> {
        let key = self.full_key(None);
        self.merged_at = self.depth();
        self.merge_into(over, over).map_err(|error| located(error, self.here(), &key))
    }

    /// The same below the place where the merge began; `whole` is the tree that `over` is in.
    fn merge_into(&mut self, over: &Node, whole: &Node) -> Result<(), Error> {
        match (Kind::of(self.here()), Kind::of(over)) {
            (Kind::Dict, Kind::Dict) => self.merge_map(over, whole),
            (Kind::List, Kind::List) => self.merge_list(over),
            _ => {
                let message = "Cannot merge DictConfig with ListConfig";
                Err(refuse(FaultClass::ConfigType, message, &over.origin))
            }
        }
    }

    fn merge_map(&mut self, over: &Node, whole: &Node) -> Result<(), Error> {
        if matches!(over.value, Value::Null | Value::Interpolation(_)) {
            set_value(self.here_mut(), over.clone(), Input::Node)?;
            return self.take_type(over);
        }
        check_merge(self.here(), over)?;
        let prototype = unset_structure(self.here(), over);
        let over = prototype.as_ref().unwrap_or(over);
        let unset = matches!(self.here().value, Value::Missing | Value::Interpolation(_));
        if unset && !matches!(over.value, Value::Missing) {
            expand(self.here_mut());
        }
        if let Value::Map(map) = &over.value {
            for (key, child) in map.iter() {
                self.merge_key(key, child, over.object().is_some(), whole)?;
            }
        }
        self.take_type(over)
    }

    /// The schema and the type that `over` brings, where there were none.
    fn take_type(&mut self, over: &Node) -> Result<(), Error> {
        let here = self.here_mut();
        if let Some(object) = over.object() {
            here.retype(|typed| typed.object = Some(object.clone()));
        }
        if *here.slot() == Type::Any && *over.slot() != Type::Any {
            let hint = over.slot().clone();
            let hint = if over.is_optional() { hint.optional() } else { hint };
            hold(here, &hint)?;
        }
        Ok(())
    }

    fn merge_key(
        &mut self,
        key: &Key,
        over: &Node,
        from_schema: bool,
        whole: &Node,
    ) -> Result<(), Error> {
        let step = Step::Key(self.normal_key(key).unwrap_or_else(|_| key.clone()));
        self.prepare_child(&step, over, whole)?;
        if self.child(&step).is_none() {
            return self.merge_new(&step, over, from_schema, whole);
        }
        self.merge_child(step, over, whole)
    }

    /// A value whose key is here, which is ready for it.
    fn merge_child(&mut self, step: Step, over: &Node, whole: &Node) -> Result<(), Error> {
        let missing = matches!(over.value, Value::Missing);
        let Some(there) = self.child(&step) else { return Ok(()) };
        match (Kind::of(there), Kind::of(over)) {
            (Kind::Dict | Kind::List, Kind::Dict | Kind::List) => {
                self.path.push(step);
                let merged = self.merge_into(over, whole);
                self.path.pop();
                merged
            }
            (Kind::Dict | Kind::List, _) if missing => Ok(()),
            (Kind::Dict | Kind::List, _) | (_, Kind::Dict | Kind::List) => {
                self.assign(&step, over.clone(), Input::Node, false)
            }
            (Kind::Any, _) if missing => self.take_scalar_type(&step, over),
            (Kind::Any, _) => self.assign(&step, over.clone(), Input::Node, false),
            (_, _) if missing => Ok(()),
            (_, _) => {
                let set = match self.child_mut(&step) {
                    Some(target) => set_value(target, over.clone(), Input::Node),
                    None => Ok(()),
                };
                set.map_err(|error| located(error, self.here(), &self.full_key(Some(&step))))
            }
        }
    }

    /// Makes a child ready to be merged into: null becomes empty, and an interpolation that leads
    /// to a container becomes a copy of that.
    fn prepare_child(&mut self, step: &Step, over: &Node, whole: &Node) -> Result<(), Error> {
        let Some(there) = self.child(step) else { return Ok(()) };
        let kind = Kind::of(there);
        if kind == Kind::Dict {
            let refused =
                !there.is_optional() && self.leads_to_null(step, over, whole).unwrap_or(false);
            if refused {
                let error = invalid("field '$FULL_KEY' is not Optional", &over.origin);
                return Err(located(error, there, &self.full_key(Some(step))));
            }
            check_merge(there, over).map_err(|error| error.with_path(self.full_key(Some(step))))?;
        }
        let empty = kind.is_container() && matches!(there.value, Value::Null);
        if empty && !matches!(over.value, Value::Missing) {
            if !self.leads_to_null(step, over, whole)?
                && let Some(there) = self.child_mut(step)
            {
                expand(there);
            }
        } else if matches!(there.value, Value::Interpolation(_))
            && let Some(target) = self.dereferenced(step)?
        {
            self.assign(step, target, Input::Node, false)?;
        }
        Ok(())
    }

    /// A value whose key is new here.
    fn merge_new(
        &mut self,
        step: &Step,
        over: &Node,
        from_schema: bool,
        whole: &Node,
    ) -> Result<(), Error> {
        let element = element_of(self.here());
        if matches!(element.split().1, Type::Struct(_)) && !matches!(over.value, Value::Missing) {
            let defaults =
                instance(&element, Node::new(Value::Map(Map::new()), over.origin.clone()))?;
            self.assign(step, defaults, Input::Node, false)?;
            return self.merge_child(step.clone(), over, whole);
        }
        self.assign(step, over.clone(), Input::Node, from_schema)
    }

    /// A scalar that is there gets the type of one that is not set.
    fn take_scalar_type(&mut self, step: &Step, over: &Node) -> Result<(), Error> {
        let Some(there) = self.child(step) else { return Ok(()) };
        let mut typed = over.clone();
        set_value(&mut typed, there.clone(), Input::Plain)
            .map_err(|error| located(error, self.here(), &self.full_key(Some(step))))?;
        self.assign(step, typed, Input::Node, false)
    }

    fn merge_list(&mut self, over: &Node) -> Result<(), Error> {
        match &over.value {
            Value::List(items) => {
                let element = element_of(self.here());
                let items: Result<Vec<_>, _> = items
                    .iter()
                    .enumerate()
                    .map(|(at, item)| {
                        self.list_item(&element, item).map_err(|error| {
                            located(error, self.here(), &self.full_key(Some(&Step::Index(at))))
                        })
                    })
                    .collect();
                let items = items?;
                let here = self.here_mut();
                here.value = Value::List(items);
                here.origin = over.origin.clone();
                Ok(())
            }
            Value::Missing => self.take_element_type(over),
            _ => set_value(self.here_mut(), over.clone(), Input::Node),
        }
    }

    fn list_item(&self, element: &Type, item: &Node) -> Result<Node, Error> {
        if let (Type::Struct(_), Kind::Dict) = (element.split().1, Kind::of(item)) {
            let empty = Node::new(Value::Map(Map::new()), item.origin.clone());
            let mut node = instance(element, empty)?;
            Cursor::new(&mut node, Strictness::Open, self.with).merge(item)?;
            return Ok(node);
        }
        fit_item(element, item.clone(), Input::Node)
    }

    fn take_element_type(&mut self, over: &Node) -> Result<(), Error> {
        if element_of(self.here()) == Type::Any && element_of(over) != Type::Any {
            let (slot, optional) = (over.slot().clone(), over.is_optional());
            self.here_mut().retype(|typed| *typed = Typed { slot, optional, object: None });
        }
        Ok(())
    }
}

/// What a mapping asks of what is merged into it.
fn check_merge(there: &Node, over: &Node) -> Result<(), Error> {
    let brings_type = over.object().is_some()
        || matches!(over.value, Value::List(_))
        || Kind::of(over) == Kind::Scalar;
    if matches!(there.value, Value::Missing) && brings_type {
        check_assignable(there.slot(), over)?;
    }
    if matches!(over.value, Value::Missing | Value::Null) {
        return Ok(());
    }
    let Some(schema) = there.object() else { return Ok(()) };
    let plain_map = Kind::of(over) == Kind::Dict && over.object().is_none();
    if plain_map || over.object().is_some_and(|own| own.extends(schema)) {
        return Ok(());
    }
    let message = format!(
        "Merge error: {} is not a subclass of {}. value: {}",
        type_name(over),
        schema.name(),
        shown(over)
    );
    Err(invalid(message, &over.origin))
}

/// A structure that is not set, over a mapping that is: its fields, none of them set.
fn unset_structure(here: &Node, over: &Node) -> Option<Node> {
    let Type::Struct(schema) = over.slot() else { return None };
    let over_unset = matches!(over.value, Value::Missing);
    if !over_unset || over.is_optional() || matches!(here.value, Value::Missing) {
        return None;
    }
    let typed = Typed {
        slot: over.slot().clone(),
        optional: over.is_optional(),
        object: Some(schema.clone()),
    };
    Some(Node::new(Value::Map(schema.all_missing()), over.origin.clone()).with_typed(typed))
}

/// What stands for a container that is not there becomes an empty one, or a structure at its
/// defaults.
fn expand(node: &mut Node) {
    node.value = match node.slot() {
        Type::List(_) => Value::List(Vec::new()),
        Type::Struct(schema) => {
            let schema = schema.clone();
            node.retype(|typed| typed.object = Some(schema.clone()));
            Value::Map(schema.defaults())
        }
        _ => Value::Map(Map::new()),
    };
}
