//! Which arguments a function takes, and how those of a call are matched to them: Python's rules,
//! with the types that Hydra checks.

use std::collections::BTreeMap;

use super::functions::{Call, Evaluated, Raised, last_of_each};
use super::{Literal, Sweep};
use crate::value::Value;

/// One parameter.
pub(super) struct Parameter {
    name: &'static str,
    kind: Kind,
    accepts: Accepts,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// By position or by name; must be there.
    Required,
    /// By position or by name.
    Optional,
    /// All further ones by position.
    Rest,
    /// By name only.
    Named,
}

/// The types that a parameter takes, as Python writes them.
#[derive(Clone, Copy)]
enum Accepts {
    Number,
    OptionalNumber,
    Castable,
    Choosable,
    Sortable,
    Taggable,
    OptionalSweep,
    OptionalFinite,
    OptionalList,
    Bool,
    Patterns,
    OptionalPatterns,
}

const fn parameter(name: &'static str, kind: Kind, accepts: Accepts) -> Parameter {
    Parameter { name, kind, accepts }
}

const CAST: &[Parameter] = &[
    parameter("args", Kind::Rest, Accepts::Castable),
    parameter("value", Kind::Named, Accepts::Castable),
];

const CHOICE: &[Parameter] = &[parameter("args", Kind::Rest, Accepts::Choosable)];

const RANGE: &[Parameter] = &[
    parameter("start", Kind::Required, Accepts::Number),
    parameter("stop", Kind::Optional, Accepts::OptionalNumber),
    parameter("step", Kind::Optional, Accepts::Number),
];

const INTERVAL: &[Parameter] = &[
    parameter("start", Kind::Required, Accepts::Number),
    parameter("end", Kind::Required, Accepts::Number),
];

const TAG: &[Parameter] = &[
    parameter("args", Kind::Rest, Accepts::Taggable),
    parameter("sweep", Kind::Named, Accepts::OptionalSweep),
];

const SHUFFLE: &[Parameter] = &[
    parameter("args", Kind::Rest, Accepts::Sortable),
    parameter("sweep", Kind::Named, Accepts::OptionalFinite),
    parameter("list", Kind::Named, Accepts::OptionalList),
];

const SORT: &[Parameter] = &[
    parameter("args", Kind::Rest, Accepts::Sortable),
    parameter("sweep", Kind::Named, Accepts::OptionalFinite),
    parameter("list", Kind::Named, Accepts::OptionalList),
    parameter("reverse", Kind::Named, Accepts::Bool),
];

const GLOB: &[Parameter] = &[
    parameter("include", Kind::Required, Accepts::Patterns),
    parameter("exclude", Kind::Optional, Accepts::OptionalPatterns),
];

const FUNCTIONS: [(&str, &[Parameter]); 11] = [
    ("bool", CAST),
    ("choice", CHOICE),
    ("float", CAST),
    ("glob", GLOB),
    ("int", CAST),
    ("interval", INTERVAL),
    ("range", RANGE),
    ("shuffle", SHUFFLE),
    ("sort", SORT),
    ("str", CAST),
    ("tag", TAG),
];

/// The names of all functions, sorted.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.into_iter().map(|(name, _)| name)
}

/// The parameters of a function, if it exists.
pub(super) fn of(name: &str) -> Option<&'static [Parameter]> {
    FUNCTIONS.into_iter().find(|(known, _)| *known == name).map(|(_, parameters)| parameters)
}

/// The arguments of a call, each at its parameter, of a type that it takes.
pub(super) struct Bound {
    pub(super) function: String,
    pub(super) rest: Vec<Literal>,
    named: BTreeMap<&'static str, Literal>,
}

impl Bound {
    /// Takes an argument out; one that is null counts as not given.
    pub(super) fn take_some(&mut self, name: &str) -> Option<Literal> {
        self.named.remove(name).filter(|literal| *literal != Literal::Bare(Value::Null))
    }
}

fn type_error(message: impl Into<String>) -> Raised {
    Raised::new("TypeError", message)
}

/// Matches the arguments of a call to the parameters.
pub(super) fn bind(parameters: &'static [Parameter], call: Call) -> Evaluated<Bound> {
    let mut positional = call.positional.into_iter().map(unquoted);
    let mut named = last_of_each(call.named);
    let mut bound = Bound { function: call.name, rest: Vec::new(), named: BTreeMap::new() };
    for parameter in parameters {
        match parameter.kind {
            Kind::Rest => bound.rest = positional.by_ref().collect(),
            Kind::Named => {}
            Kind::Required | Kind::Optional => match positional.next() {
                Some(_) if named.contains_key(parameter.name) => {
                    let name = parameter.name;
                    return Err(type_error(format!("multiple values for argument '{name}'")));
                }
                Some(literal) => {
                    bound.named.insert(parameter.name, literal);
                }
                None if parameter.kind == Kind::Required && !named.contains_key(parameter.name) => {
                    let name = parameter.name;
                    return Err(type_error(format!("missing a required argument: '{name}'")));
                }
                None => {}
            },
        }
    }
    if positional.next().is_some() {
        return Err(type_error("too many positional arguments"));
    }
    for parameter in parameters.iter().filter(|parameter| parameter.kind != Kind::Rest) {
        if let Some((_, literal)) = named.remove(parameter.name) {
            bound.named.insert(parameter.name, unquoted(literal));
        }
    }
    if let Some((name, _)) = named.iter().min_by_key(|(_, (position, _))| *position) {
        return Err(type_error(format!("got an unexpected keyword argument '{name}'")));
    }
    check_types(parameters, &bound)?;
    Ok(bound)
}

/// A quoted text counts as the text, at the top level only.
fn unquoted(literal: Literal) -> Literal {
    match literal {
        Literal::Quoted { text, .. } => Literal::Bare(Value::Str(text)),
        other => other,
    }
}

fn check_types(parameters: &[Parameter], bound: &Bound) -> Evaluated<()> {
    for parameter in parameters {
        let name = parameter.name;
        if parameter.kind == Kind::Rest {
            for (index, literal) in bound.rest.iter().enumerate() {
                parameter.accepts.check(literal, || format!("{name}[{index}]"))?;
            }
        } else if let Some(literal) = bound.named.get(name) {
            parameter.accepts.check(literal, || name.to_owned())?;
        }
    }
    Ok(())
}

impl Accepts {
    fn check(self, literal: &Literal, place: impl Fn() -> String) -> Evaluated<()> {
        if self.takes(literal) {
            return Ok(());
        }
        let (place, given, wanted) = (place(), literal.python_type(), self.text());
        Err(type_error(format!(
            "mismatch type argument {place}: {given} is incompatible with {wanted}"
        )))
    }

    fn takes(self, literal: &Literal) -> bool {
        let sweep = match literal {
            Literal::Sweep(sweep) => Some(&**sweep),
            _ => None,
        };
        let glob = matches!(sweep, Some(Sweep::Glob(_)));
        let null = *literal == Literal::Bare(Value::Null);
        let list = matches!(literal, Literal::List(_));
        let text = matches!(literal, Literal::Bare(Value::Str(_)));
        let number =
            matches!(literal, Literal::Bare(Value::Int(_) | Value::Float(_) | Value::Bool(_)));
        let value = sweep.is_none() && !null;
        let finite = matches!(sweep, Some(Sweep::Choice(_) | Sweep::Range(_)));
        match self {
            Self::Number => number,
            Self::OptionalNumber => number || null,
            Self::Castable => !glob,
            Self::Choosable => value || matches!(sweep, Some(Sweep::Choice(_))),
            Self::Sortable => value || finite,
            Self::Taggable => text || (sweep.is_some() && !glob),
            Self::OptionalSweep => null || (sweep.is_some() && !glob),
            Self::OptionalFinite => null || finite,
            Self::OptionalList => null || list,
            Self::Bool => matches!(literal, Literal::Bare(Value::Bool(_))),
            Self::Patterns => text || list,
            Self::OptionalPatterns => text || list || null,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Number => "Union[int, float]",
            Self::OptionalNumber => "Optional[Union[int, float]]",
            Self::Castable => {
                "Optional[Union[str, int, float, bool, List[Any], Dict[str, Any], QuotedString, \
                 Sweep]]"
            }
            Self::Choosable => {
                "Union[str, int, float, bool, Dict[Any, Any], List[Any], ChoiceSweep]"
            }
            Self::Sortable => "Union[str, int, bool, float, list, dict, ChoiceSweep, RangeSweep]",
            Self::Taggable => "Union[str, Sweep]",
            Self::OptionalSweep => "Optional[Sweep]",
            Self::OptionalFinite => "Optional[Union[ChoiceSweep, RangeSweep]]",
            Self::OptionalList => "Optional[List[Any]]",
            Self::Bool => "bool",
            Self::Patterns => "Union[List[str], str]",
            Self::OptionalPatterns => "Optional[Union[str, List[str]]]",
        }
    }
}
