//! `int(...)`, `float(...)`, `bool(...)`, `str(...)`: Python's conversions, reaching into lists, dicts
//! and sweeps.

use std::collections::BTreeSet;

use super::Literal;
use super::functions::{Evaluated, Raised};
use super::sweep::{Choice, Interval, Number, Range, Sweep};
use crate::scalar;
use crate::value::Value;

/// Which conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cast {
    Int,
    Float,
    Bool,
    Str,
}

/// Converts a value and everything in it.
pub(super) fn cast(cast: Cast, literal: Literal) -> Evaluated<Literal> {
    match literal {
        Literal::List(items) => {
            let items = items.into_iter().map(|item| self::cast(cast, item));
            Ok(Literal::List(items.collect::<Result<_, _>>()?))
        }
        Literal::Dict(pairs) => {
            let pairs = pairs.into_iter().map(|(key, value)| Ok((key, self::cast(cast, value)?)));
            Ok(Literal::Dict(pairs.collect::<Result<_, Raised>>()?))
        }
        Literal::Quoted { text, .. } => cast_value(cast, &Value::Str(text)).map(Literal::Bare),
        Literal::Bare(value) => cast_value(cast, &value).map(Literal::Bare),
        Literal::Sweep(sweep) => cast_sweep(cast, *sweep),
    }
}

/// Tags and a random order get lost, except the tags of an interval.
fn cast_sweep(cast: Cast, sweep: Sweep) -> Evaluated<Literal> {
    let sweep = match sweep {
        Sweep::Choice(choice) => {
            let items = choice.items.into_iter().map(|item| {
                let item = self::cast(cast, item)?;
                if matches!(item, Literal::Sweep(_)) { Err(Raised::assertion()) } else { Ok(item) }
            });
            Sweep::Choice(Choice::new(items.collect::<Result<_, _>>()?, choice.simple))
        }
        Sweep::Range(range) => {
            if matches!(cast, Cast::Bool | Cast::Str) {
                let message = "Range can only be cast to int or float";
                return Err(Raised::new("ValueError", message));
            }
            Sweep::Range(Range {
                start: cast_number(cast, range.start)?,
                stop: cast_number(cast, range.stop)?,
                step: cast_number(cast, range.step)?,
                shuffle: None,
                tags: BTreeSet::new(),
            })
        }
        Sweep::Interval(interval) => {
            let name = match cast {
                Cast::Bool => "bool",
                Cast::Str => "str",
                Cast::Int | Cast::Float => "",
            };
            if !name.is_empty() {
                let message = format!("Intervals cannot be cast to {name}");
                return Err(Raised::new("ValueError", message));
            }
            Sweep::Interval(Interval {
                start: cast_number(cast, interval.start)?,
                end: cast_number(cast, interval.end)?,
                tags: interval.tags,
            })
        }
        // Within a list only: Python takes any object for true.
        Sweep::Glob(_) if cast == Cast::Bool => return Ok(Literal::Bare(Value::Bool(true))),
        Sweep::Glob(_) => return Err(Raised::assertion()),
    };
    Ok(Literal::Sweep(Box::new(sweep)))
}

fn cast_number(cast: Cast, number: Number) -> Evaluated<Number> {
    let value = cast_value(cast, &number.value())?;
    self::number(&value).ok_or_else(Raised::assertion)
}

/// The number that a value is; a truth value counts as one.
pub(super) fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Int(value) => Some(Number::Int(*value)),
        Value::Float(value) => Some(Number::Float(*value)),
        Value::Bool(value) => Some(Number::Bool(*value)),
        _ => None,
    }
}

fn cast_value(cast: Cast, value: &Value) -> Evaluated<Value> {
    match cast {
        Cast::Int => to_int(value).map(Value::Int),
        Cast::Float => to_float(value).map(Value::Float),
        Cast::Bool => to_bool(value).map(Value::Bool),
        Cast::Str => to_text(value).map(Value::Str),
    }
}

fn to_int(value: &Value) -> Evaluated<i128> {
    match value {
        Value::Int(value) => Ok(*value),
        Value::Bool(value) => Ok(i128::from(*value)),
        Value::Str(text) => scalar::python_int(text).ok_or_else(|| {
            let message = format!("invalid literal for int() with base 10: '{text}'");
            Raised::new("ValueError", message)
        }),
        Value::Float(value) => whole_part(*value),
        _ => Err(Raised::assertion()),
    }
}

fn whole_part(value: f64) -> Evaluated<i128> {
    if value.is_nan() {
        return Err(Raised::new("ValueError", "cannot convert float NaN to integer"));
    }
    if value.is_infinite() {
        return Err(Raised::new("OverflowError", "cannot convert float infinity to integer"));
    }
    let text = format!("{:.0}", value.trunc());
    text.parse().map_err(|_| {
        Raised::new("OverflowError", "an integer of more than 128 bits is not supported")
    })
}

fn to_float(value: &Value) -> Evaluated<f64> {
    match value {
        Value::Str(text) => scalar::python_float_from(text).ok_or_else(|| {
            let message = format!("could not convert string to float: '{text}'");
            Raised::new("ValueError", message)
        }),
        value => number(value).map(Number::float).ok_or_else(Raised::assertion),
    }
}

fn to_bool(value: &Value) -> Evaluated<bool> {
    match value {
        Value::Bool(value) => Ok(*value),
        Value::Int(value) => Ok(*value != 0),
        Value::Float(value) => Ok(value.abs() > 0.0 || value.is_nan()),
        Value::Str(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::Str(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Value::Str(text) => Err(Raised::new("ValueError", format!("Cannot cast '{text}' to bool"))),
        _ => Ok(false),
    }
}

fn to_text(value: &Value) -> Evaluated<String> {
    match value {
        Value::Bool(value) => Ok(value.to_string()),
        Value::Int(_) | Value::Float(_) | Value::Str(_) => Ok(scalar::python_str(value)),
        _ => Err(Raised::assertion()),
    }
}
