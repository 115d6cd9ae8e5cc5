//! The functions of the override grammar: `int` `float` `bool` `str` `sort` give values; `choice`
//! `range` `interval` `glob` `tag` `shuffle` describe a sweep and are kept as they are written.

use std::cmp::Ordering;

use super::{Literal, OverrideValue};
use crate::scalar;
use crate::value::Value;

const CASTS: [&str; 4] = ["bool", "float", "int", "str"];
const SWEEPS: [&str; 6] = ["choice", "glob", "interval", "range", "shuffle", "tag"];

type Arguments = Vec<(Option<String>, Literal)>;

/// Evaluates the functions of a value.
///
/// # Errors
/// The reason, for a function that does not exist or does not take its arguments.
pub(super) fn evaluate(value: OverrideValue) -> Result<OverrideValue, String> {
    match value {
        OverrideValue::Element(Literal::Call { name, arguments }) => call(name, arguments),
        OverrideValue::Element(literal) => inner(literal).map(OverrideValue::Element),
        OverrideValue::Choice(literals) => {
            let literals = literals.into_iter().map(inner).collect::<Result<_, _>>()?;
            Ok(OverrideValue::Choice(literals))
        }
        sweep @ OverrideValue::Sweep { .. } => Ok(sweep),
    }
}

/// A literal that stands within something else, where only a single value has a place.
fn inner(literal: Literal) -> Result<Literal, String> {
    match literal {
        Literal::Call { name, arguments } => match call(name, arguments)? {
            OverrideValue::Element(literal) => Ok(literal),
            _ => Err("several values cannot stand within another value".to_owned()),
        },
        Literal::List(items) => {
            Ok(Literal::List(items.into_iter().map(inner).collect::<Result<_, _>>()?))
        }
        Literal::Dict(pairs) => {
            let pairs = pairs.into_iter().map(|(key, value)| Ok((key, inner(value)?)));
            Ok(Literal::Dict(pairs.collect::<Result<_, String>>()?))
        }
        literal => Ok(literal),
    }
}

fn call(name: String, arguments: Arguments) -> Result<OverrideValue, String> {
    if SWEEPS.contains(&name.as_str()) {
        return Ok(OverrideValue::Sweep { name, arguments });
    }
    let cast = CASTS.contains(&name.as_str());
    if !cast && name != "sort" {
        let known = CASTS.into_iter().chain(SWEEPS).chain(["sort"]);
        let near = crate::nearest(&name, known);
        let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        return Err(format!("there is no function `{name}`{near}"));
    }
    if arguments.iter().any(|(_, argument)| is_sweep(argument)) {
        return Ok(OverrideValue::Sweep { name, arguments });
    }
    let arguments = arguments.into_iter().map(|(name, literal)| Ok((name, inner(literal)?)));
    let arguments = arguments.collect::<Result<Arguments, String>>()?;
    if cast { cast_all(&name, arguments) } else { sort(arguments) }
}

/// Whether this is a call that gives several values.
fn is_sweep(literal: &Literal) -> bool {
    match literal {
        Literal::Call { name, .. } if SWEEPS.contains(&name.as_str()) => true,
        Literal::Call { arguments, .. } => {
            arguments.iter().any(|(_, argument)| is_sweep(argument)) || arguments.len() > 1
        }
        _ => false,
    }
}

fn cast_all(name: &str, arguments: Arguments) -> Result<OverrideValue, String> {
    if let Some((Some(wrong), _)) =
        arguments.iter().find(|(name, _)| name.as_deref().is_some_and(|name| name != "value"))
    {
        return Err(format!("`{name}` has no argument `{wrong}`"));
    }
    let values = arguments.into_iter().map(|(_, literal)| cast(name, literal));
    several(name, values.collect::<Result<_, _>>()?)
}

/// One value is a value, several are one for each job.
fn several(name: &str, mut literals: Vec<Literal>) -> Result<OverrideValue, String> {
    match (literals.len(), literals.pop()) {
        (_, None) => Err(format!("`{name}` needs an argument")),
        (1, Some(only)) => Ok(OverrideValue::Element(only)),
        (_, last) => Ok(OverrideValue::Choice(literals.into_iter().chain(last).collect())),
    }
}

fn cast(name: &str, literal: Literal) -> Result<Literal, String> {
    match literal {
        Literal::List(items) => {
            let items = items.into_iter().map(|item| cast(name, item));
            Ok(Literal::List(items.collect::<Result<_, _>>()?))
        }
        Literal::Dict(pairs) => {
            let pairs = pairs.into_iter().map(|(key, value)| Ok((key, cast(name, value)?)));
            Ok(Literal::Dict(pairs.collect::<Result<_, String>>()?))
        }
        Literal::Quoted { text, .. } => cast_value(name, &Value::Str(text)).map(Literal::Bare),
        Literal::Bare(value) => cast_value(name, &value).map(Literal::Bare),
        Literal::Call { name, .. } => Err(format!("`{name}` cannot stand here")),
    }
}

fn cast_value(name: &str, value: &Value) -> Result<Value, String> {
    let cast = match name {
        "int" => to_int(value).map(Value::Int),
        "float" => to_float(value).map(Value::Float),
        "bool" => to_bool(value).map(Value::Bool),
        _ => to_text(value).map(Value::Str),
    };
    cast.ok_or_else(|| format!("`{name}` cannot read `{}`", scalar::python_str(value)))
}

fn to_int(value: &Value) -> Option<i128> {
    match value {
        Value::Int(value) => Some(*value),
        Value::Bool(value) => Some(i128::from(*value)),
        Value::Str(text) => scalar::python_int(text),
        Value::Float(value) => format!("{:.0}", value.trunc()).parse().ok(),
        _ => None,
    }
}

fn to_float(value: &Value) -> Option<f64> {
    match value {
        Value::Float(value) => Some(*value),
        #[expect(clippy::cast_precision_loss, reason = "a float is what the function is asked for")]
        Value::Int(value) => Some(*value as f64),
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        Value::Str(text) => scalar::python_float_from(text),
        _ => None,
    }
}

fn to_bool(value: &Value) -> Option<bool> {
    match value {
        Value::Null => Some(false),
        Value::Bool(value) => Some(*value),
        Value::Int(value) => Some(*value != 0),
        Value::Float(value) => Some(value.abs() > 0.0 || value.is_nan()),
        Value::Str(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::Str(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn to_text(value: &Value) -> Option<String> {
    match value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Int(_) | Value::Float(_) | Value::Str(_) => Some(scalar::python_str(value)),
        _ => None,
    }
}

/// Sorts a list, or several values of their own.
fn sort(arguments: Arguments) -> Result<OverrideValue, String> {
    let mut values = Vec::new();
    let mut reverse = false;
    for (name, literal) in arguments {
        match (name.as_deref(), literal) {
            (None, literal) => values.push(literal),
            (Some("reverse"), Literal::Bare(Value::Bool(flag))) => reverse = flag,
            (Some("reverse"), _) => return Err("`reverse` is true or false".to_owned()),
            (Some(name), _) => return Err(format!("`sort` has no argument `{name}`")),
        }
    }
    if let [Literal::List(items)] = &mut values[..] {
        sort_literals(items, reverse)?;
    } else if values.len() > 1 {
        sort_literals(&mut values, reverse)?;
    }
    several("sort", values)
}

fn sort_literals(literals: &mut [Literal], reverse: bool) -> Result<(), String> {
    for pair in literals.windows(2) {
        if compare(&pair[0], &pair[1]).is_none() {
            return Err("`sort` needs numbers only or texts only".to_owned());
        }
    }
    literals.sort_by(|a, b| {
        let order = compare(a, b).unwrap_or(Ordering::Equal);
        if reverse { order.reverse() } else { order }
    });
    Ok(())
}

fn compare(a: &Literal, b: &Literal) -> Option<Ordering> {
    match (text(a), text(b)) {
        (Some(a), Some(b)) => Some(a.cmp(b)),
        (None, None) => Some(number(a)?.partial_cmp(&number(b)?).unwrap_or(Ordering::Equal)),
        _ => None,
    }
}

fn text(literal: &Literal) -> Option<&str> {
    match literal {
        Literal::Quoted { text, .. } | Literal::Bare(Value::Str(text)) => Some(text),
        _ => None,
    }
}

fn number(literal: &Literal) -> Option<f64> {
    match literal {
        Literal::Bare(value @ (Value::Int(_) | Value::Float(_) | Value::Bool(_))) => {
            to_float(value)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Override;

    fn value(text: &str) -> Option<OverrideValue> {
        Override::parse(&format!("a={text}")).ok()?.value
    }

    fn same(left: &str, right: &str) {
        assert!(value(left).is_some(), "{left}");
        assert_eq!(value(left), value(right), "{left}");
    }

    #[test]
    fn casts_reach_into_lists_and_dicts() {
        same("int({x:1.9,y:{z:'3'}})", "{x:1,y:{z:3}}");
        same("float([true,'1_0',2])", "[1.0,10.0,2.0]");
        same("[int(1.5),{x:bool(null)}]", "[1,{x:false}]");
        same("str(1e3)", "str('1000.0')");
        same("int(1.5,2.5)", "1,2");
    }

    #[test]
    fn casts_refuse_what_python_refuses() {
        for text in ["int(x)", "int('1.5')", "int(null)", "int(inf)", "bool(yes)", "str(null)"] {
            assert_eq!(value(text), None, "{text}");
        }
        assert_eq!(value("int()"), None);
        assert_eq!(value("int(1,foo=2)"), None);
    }

    #[test]
    fn sorting_is_for_one_kind_of_value() {
        same("sort([1,true,0.5])", "[0.5,1,true]");
        same("sort(b,'a',c,reverse=true)", "c,b,'a'");
        for text in ["sort(1,a)", "sort([1,[2]])", "sort()", "sort(1,2,reverse=3)"] {
            assert_eq!(value(text), None, "{text}");
        }
    }

    #[test]
    fn what_describes_a_sweep_stays_one() {
        for text in ["choice(1,2)", "int(range(1,3))", "tag(t,choice(1))", "sort(choice(2,1))"] {
            assert!(matches!(value(text), Some(OverrideValue::Sweep { .. })), "{text}");
        }
        assert_eq!(value("[choice(1,2)]"), None);
    }
}
