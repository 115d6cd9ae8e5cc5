//! The functions of the override grammar: `int` `float` `bool` `str` `sort` `shuffle` change values,
//! `choice` `range` `interval` `glob` describe a sweep, `tag` names it.

use std::collections::{BTreeMap, BTreeSet};

use super::Literal;
use super::casts::{self, Cast};
use super::shuffle::shuffled;
use super::signature::{self, Bound};
use super::sort::{self, sorted};
use super::sweep::{Choice, Glob, Interval, Number, Range, Sweep};
use crate::value::Value;

/// What went wrong in a function: the class of Python's exception, and its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Raised {
    pub(super) class: &'static str,
    pub(super) message: String,
}

impl Raised {
    pub(super) fn new(class: &'static str, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }

    pub(super) fn assertion() -> Self {
        Self::new("AssertionError", "")
    }
}

pub(super) type Evaluated<T> = Result<T, Raised>;

/// A call as it was written.
pub(super) struct Call {
    pub(super) name: String,
    pub(super) positional: Vec<Literal>,
    pub(super) named: Vec<(String, Literal)>,
}

/// Evaluates a call. `seed` is for a random order, should it ask for one.
pub(super) fn evaluate(call: Call, seed: u64) -> Evaluated<Literal> {
    let Some(parameters) = signature::of(&call.name) else { return Err(unknown(&call.name)) };
    let mut bound = signature::bind(parameters, call)?;
    match bound.function.as_str() {
        "int" => cast(Cast::Int, bound),
        "float" => cast(Cast::Float, bound),
        "bool" => cast(Cast::Bool, bound),
        "str" => cast(Cast::Str, bound),
        "choice" => choice(bound.rest),
        "range" => range(&mut bound),
        "interval" => interval(&mut bound),
        "glob" => glob(&mut bound),
        "tag" => tag(bound),
        "shuffle" => shuffle(bound, seed),
        _ => sort_call(bound),
    }
}

fn unknown(name: &str) -> Raised {
    let known: Vec<_> = signature::names().collect();
    let near = crate::nearest(name, known.iter().copied());
    let near = near.map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"));
    let known = known.join(",");
    Raised::new("HydraException", format!("Unknown function '{name}'{near}\nAvailable: {known}\n"))
}

/// A comma list as a value; what is a sweep itself has no place in it.
fn simple_choice(items: Vec<Literal>) -> Evaluated<Choice> {
    if items.iter().any(|item| matches!(item, Literal::Sweep(_))) {
        return Err(Raised::assertion());
    }
    Ok(Choice::new(items, true))
}

fn sweep(sweep: Sweep) -> Literal {
    Literal::Sweep(Box::new(sweep))
}

fn cast(cast: Cast, mut bound: Bound) -> Evaluated<Literal> {
    let value = bound.take_some("value");
    let value = match (bound.rest.len(), value) {
        (0, Some(value)) => value,
        (_, Some(_)) => {
            let message = "cannot use both position and named arguments";
            return Err(Raised::new("TypeError", message));
        }
        (0, None) => {
            return Err(Raised::new("TypeError", "No positional args or value specified"));
        }
        (1, None) => bound.rest.remove(0),
        (_, None) => sweep(Sweep::Choice(simple_choice(bound.rest)?)),
    };
    casts::cast(cast, value)
}

fn choice(mut items: Vec<Literal>) -> Evaluated<Literal> {
    match &mut items[..] {
        [] => Err(Raised::new("ValueError", "empty choice is not legal")),
        [Literal::Sweep(inner)] => match &mut **inner {
            Sweep::Choice(choice) if choice.simple => {
                choice.simple = false;
                Ok(items.remove(0))
            }
            _ => Err(Raised::new("ValueError", "nesting choices is not supported")),
        },
        _ => Ok(sweep(Sweep::Choice(Choice::new(items, false)))),
    }
}

fn number(bound: &mut Bound, name: &str) -> Option<Number> {
    match bound.take_some(name)? {
        Literal::Bare(value) => casts::number(&value),
        _ => None,
    }
}

fn range(bound: &mut Bound) -> Evaluated<Literal> {
    let start = number(bound, "start").ok_or_else(Raised::assertion)?;
    let step = number(bound, "step").unwrap_or(Number::Int(1));
    let (start, stop) = match number(bound, "stop") {
        Some(stop) => (start, stop),
        None => (Number::Int(0), start),
    };
    let tags = BTreeSet::new();
    Ok(sweep(Sweep::Range(Range { start, stop, step, shuffle: None, tags })))
}

fn interval(bound: &mut Bound) -> Evaluated<Literal> {
    let mut end = |name| {
        let number = number(bound, name).ok_or_else(Raised::assertion)?;
        Ok(Number::Float(number.float()))
    };
    let (start, end) = (end("start")?, end("end")?);
    Ok(sweep(Sweep::Interval(Interval { start, end, tags: BTreeSet::new() })))
}

fn glob(bound: &mut Bound) -> Evaluated<Literal> {
    let mut patterns = |name| match bound.take_some(name) {
        None => Vec::new(),
        Some(Literal::List(items)) => items,
        Some(one) => vec![one],
    };
    let (include, exclude) = (patterns("include"), patterns("exclude"));
    Ok(sweep(Sweep::Glob(Glob { include, exclude })))
}

fn tag(mut bound: Bound) -> Evaluated<Literal> {
    if bound.rest.is_empty() {
        let message = "Not enough arguments to tag, must take at least a sweep";
        return Err(Raised::new("ValueError", message));
    }
    let sweep = bound.take_some("sweep");
    bound.rest.extend(sweep);
    let Some(Literal::Sweep(mut tagged)) = bound.rest.pop() else {
        let message =
            "Last argument to tag() must be a choice(), range() or interval(), got NoneType";
        return Err(Raised::new("ValueError", message));
    };
    let mut names = BTreeSet::new();
    for name in bound.rest {
        let Literal::Bare(Value::Str(text)) = name else {
            let kind = name.python_type();
            let message = format!("tag arguments type must be string, got {kind}");
            return Err(Raised::new("ValueError", message));
        };
        names.insert(text);
    }
    if let Some(tags) = tagged.tags_mut() {
        *tags = names;
    }
    Ok(Literal::Sweep(tagged))
}

/// The argument `list` or `sweep` where it is given, instead of all others.
fn subject(bound: &mut Bound) -> Option<Literal> {
    bound.take_some("list").or_else(|| bound.take_some("sweep"))
}

fn shuffle(mut bound: Bound, seed: u64) -> Evaluated<Literal> {
    let mut arguments = match subject(&mut bound) {
        Some(one) => vec![one],
        None => bound.rest,
    };
    if arguments.len() != 1 {
        let choice = simple_choice(arguments)?;
        return Ok(sweep(Sweep::Choice(Choice { shuffle: Some(seed), ..choice })));
    }
    Ok(match arguments.remove(0) {
        Literal::Sweep(mut inner) => {
            match &mut *inner {
                Sweep::Choice(choice) => choice.shuffle = Some(seed),
                Sweep::Range(range) => range.shuffle = Some(seed),
                Sweep::Interval(_) | Sweep::Glob(_) => {}
            }
            Literal::Sweep(inner)
        }
        Literal::List(items) => Literal::List(shuffled(items, Some(seed))),
        other => Literal::List(vec![other]),
    })
}

fn sort_call(mut bound: Bound) -> Evaluated<Literal> {
    let reverse = matches!(bound.take_some("reverse"), Some(Literal::Bare(Value::Bool(true))));
    let mut arguments = match subject(&mut bound) {
        Some(one) => vec![one],
        None => bound.rest,
    };
    if arguments.len() == 1 {
        return match arguments.remove(0) {
            Literal::Sweep(inner) => sort_sweep(*inner, reverse),
            Literal::List(items) => sorted(items, reverse).map(Literal::List),
            other => Ok(other),
        };
    }
    if arguments.iter().any(|argument| !matches!(argument, Literal::Bare(_))) {
        let texts: Vec<_> = arguments.iter().map(Literal::text).collect();
        let message = format!("Invalid arguments: ({})", texts.join(", "));
        return Err(Raised::new("TypeError", message));
    }
    if arguments.is_empty() {
        return Err(Raised::new("ValueError", "empty sort input"));
    }
    sort_sweep(Sweep::Choice(simple_choice(arguments)?), reverse)
}

fn sort_sweep(inner: Sweep, reverse: bool) -> Evaluated<Literal> {
    Ok(sweep(match inner {
        Sweep::Choice(choice) => {
            let items = sorted(choice.items, reverse)?;
            Sweep::Choice(Choice { items, ..choice })
        }
        Sweep::Range(range) => Sweep::Range(sort::sorted_range(range, reverse)?),
        other => other,
    }))
}

/// The named arguments of a call, the last one of each name at the place of the first.
pub(super) fn last_of_each(named: Vec<(String, Literal)>) -> BTreeMap<String, (usize, Literal)> {
    let mut found: BTreeMap<String, (usize, Literal)> = BTreeMap::new();
    for (position, (name, literal)) in named.into_iter().enumerate() {
        let first = found.get(&name).map_or(position, |(first, _)| *first);
        found.insert(name, (first, literal));
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::Override;
    use crate::overrides::{Literal, OverrideValue, Sweep, ValueKind};

    fn value(text: &str) -> Option<OverrideValue> {
        Override::parse(&format!("a={text}")).ok()?.value
    }

    fn same(left: &str, right: &str) {
        assert!(value(left).is_some(), "{left}");
        assert_eq!(value(left), value(right), "{left}");
    }

    fn error(text: &str) -> String {
        Override::parse(&format!("a={text}")).unwrap_err().message()
    }

    #[test]
    fn casts_reach_into_lists_dicts_and_sweeps() {
        same("int({x:1.9,y:{z:'3'}})", "{x:1,y:{z:3}}");
        same("float([true,'1_0',2])", "[1.0,10.0,2.0]");
        same("[int(1.5),{x:bool(null)}]", "[1,{x:false}]");
        same("str(1e3)", "str('1000.0')");
        same("int(1.5,2.5)", "1,2");
        same("int(tag(t,choice(1.5,'2')))", "choice(1,2)");
        same("int(range(1.5,3.5))", "range(1,3,1)");
        same("float(value=1)", "1.0");
    }

    #[test]
    fn casts_refuse_what_python_refuses() {
        for text in ["int(x)", "int('1.5')", "int(null)", "int(inf)", "bool(yes)", "str(null)"] {
            assert_eq!(value(text), None, "{text}");
        }
        for text in ["int()", "int(1,foo=2)", "int(1,value=2)", "str(range(3))", "int(glob(*))"] {
            assert_eq!(value(text), None, "{text}");
        }
    }

    #[test]
    fn sorting_is_for_values_that_compare() {
        same("sort([1,true,0.5])", "[0.5,1,true]");
        same("sort(b,'a',c,reverse=true)", "sort(c,b,a,reverse=true)");
        same("sort([[2],[1,5],[1]])", "[[1],[1,5],[2]]");
        same("sort(range(10,1,-3))", "range(4,13,3)");
        same("sort(range(1,5),reverse=true)", "range(4,0,-1)");
        for text in
            ["sort(1,a)", "sort([1,[2]])", "sort()", "sort(1,2,reverse=3)", "sort(['b','a'])"]
        {
            assert_eq!(value(text), None, "{text}");
        }
    }

    #[test]
    fn what_describes_a_sweep_is_one() {
        for (text, kind) in [
            ("choice(1,2)", ValueKind::Choice),
            ("choice(sort(2,1))", ValueKind::Choice),
            ("int(range(1,3))", ValueKind::Range),
            ("tag(t,choice(1))", ValueKind::Choice),
            ("tag(t,int(1,2))", ValueKind::SimpleChoice),
            ("sort(choice(2,1))", ValueKind::Choice),
            ("shuffle()", ValueKind::SimpleChoice),
            ("float(interval(1,2))", ValueKind::Interval),
            ("glob(*)", ValueKind::GlobChoice),
            ("shuffle([1])", ValueKind::Element),
        ] {
            let parsed = Override::parse(&format!("a={text}")).unwrap();
            assert_eq!(parsed.value_kind(), Some(kind), "{text}");
        }
    }

    #[test]
    fn tags_belong_to_their_sweep() {
        let Some(OverrideValue::Sweep(Sweep::Range(range))) = value("tag(y,'x',range(3))") else {
            panic!("not a range")
        };
        assert_eq!(range.tags.into_iter().collect::<Vec<_>>(), ["x", "y"]);
        assert!(value("tag(x)").is_none());
        assert!(value("tag(1,choice(1))").is_none());
    }

    #[test]
    fn a_shuffled_list_has_the_same_items() {
        let Some(OverrideValue::Element(Literal::List(items))) = value("shuffle([1,2,3])") else {
            panic!("not a list")
        };
        assert_eq!(items.len(), 3);
    }

    #[test]
    fn messages_are_those_of_python() {
        for (text, expected) in [
            ("range()", "missing a required argument: 'start'"),
            ("range(1,2,3,4)", "too many positional arguments"),
            ("range(1,start=2)", "multiple values for argument 'start'"),
            ("range(1,foo=2)", "got an unexpected keyword argument 'foo'"),
            ("range(foo=2)", "missing a required argument: 'start'"),
            (
                "range(1,x)",
                "mismatch type argument stop: str is incompatible with Optional[Union[int, float]]",
            ),
            ("sort(1,a)", "'<' not supported between instances of 'str' and 'int'"),
        ] {
            let expected = format!("TypeError while evaluating '{text}': {expected}");
            assert!(error(text).ends_with(&expected), "{}", error(text));
        }
        assert!(error("choise(1)").contains("did you mean `choice`?"));
        assert!(
            error("range(start=1,3)").ends_with("positional argument follows keyword argument")
        );
    }
}
