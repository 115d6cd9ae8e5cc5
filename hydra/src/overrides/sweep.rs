//! Sweeps as values: what `a,b`, `choice(...)`, `range(...)`, `interval(...)` and `glob(...)` describe.

use std::collections::BTreeSet;

use super::decimal::decimal_range;
use super::glob::matches;
use super::shuffle::shuffled;
use super::{Literal, Override, OverrideValue};
use crate::error::{Error, ErrorKind};
use crate::limits::MAX_JOBS;
use crate::value::Value;

/// The options that a config group has; `glob(...)` chooses among them.
pub trait GroupOptions {
    /// The names of the options, sorted.
    fn group_options(&self, group: &str) -> Vec<String>;
}

/// No config groups at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoGroups;

impl GroupOptions for NoGroups {
    fn group_options(&self, _group: &str) -> Vec<String> {
        Vec::new()
    }
}

/// Several values for one key.
#[derive(Debug, Clone, PartialEq)]
pub enum Sweep {
    /// Values that are named one by one.
    Choice(Choice),
    /// Numbers with a constant step.
    Range(Range),
    /// All numbers between two; only sweepers that search can use it.
    Interval(Interval),
    /// The options of a config group whose names match.
    Glob(Glob),
}

/// `a,b` or `choice(a,b)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The values, in order.
    pub items: Vec<Literal>,
    /// Whether it was written as `a,b`.
    pub simple: bool,
    /// The seed of the order, if the order is to be random.
    pub shuffle: Option<u64>,
    /// The tags that `tag(...)` gave.
    pub tags: BTreeSet<String>,
}

/// `range(start,stop,step)`: from `start` on, without `stop`.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    /// The first number.
    pub start: Number,
    /// The end, which is not part of it.
    pub stop: Number,
    /// From one number to the next.
    pub step: Number,
    /// The seed of the order, if the order is to be random.
    pub shuffle: Option<u64>,
    /// The tags that `tag(...)` gave.
    pub tags: BTreeSet<String>,
}

/// `interval(start,end)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Interval {
    /// The smallest number.
    pub start: Number,
    /// The end, which is not part of it.
    pub end: Number,
    /// The tags that `tag(...)` gave.
    pub tags: BTreeSet<String>,
}

/// `glob(include,exclude)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Glob {
    /// Patterns of the names to take.
    pub include: Vec<Literal>,
    /// Patterns of the names to leave out.
    pub exclude: Vec<Literal>,
}

/// A number of the override grammar; a truth value counts as one, as in Python.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole number.
    Int(i128),
    /// A floating point number.
    Float(f64),
    /// A truth value.
    Bool(bool),
}

impl Number {
    /// The same as a value of a configuration.
    #[must_use]
    pub fn value(self) -> Value {
        match self {
            Self::Int(value) => Value::Int(value),
            Self::Float(value) => Value::Float(value),
            Self::Bool(value) => Value::Bool(value),
        }
    }

    /// The whole number that this is, if it is no float.
    pub(super) fn whole(self) -> Option<i128> {
        match self {
            Self::Int(value) => Some(value),
            Self::Bool(value) => Some(i128::from(value)),
            Self::Float(_) => None,
        }
    }

    pub(super) fn float(self) -> f64 {
        match self {
            Self::Float(value) => value,
            #[expect(clippy::cast_precision_loss, reason = "Python rounds here as well")]
            Self::Int(value) => value as f64,
            Self::Bool(value) => f64::from(u8::from(value)),
        }
    }
}

/// The kinds of values that an override may have, as Hydra tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    /// One value.
    Element,
    /// `choice(a,b)`
    Choice,
    /// `glob(a*)`
    GlobChoice,
    /// `a,b`
    SimpleChoice,
    /// `range(1,3)`
    Range,
    /// `interval(0,1)`
    Interval,
}

impl ValueKind {
    /// Hydra's name for it, which its messages use.
    #[must_use]
    pub fn hydra_name(self) -> &'static str {
        match self {
            Self::Element => "ELEMENT",
            Self::Choice => "CHOICE_SWEEP",
            Self::GlobChoice => "GLOB_CHOICE_SWEEP",
            Self::SimpleChoice => "SIMPLE_CHOICE_SWEEP",
            Self::Range => "RANGE_SWEEP",
            Self::Interval => "INTERVAL_SWEEP",
        }
    }
}

impl Sweep {
    /// Which kind of sweep this is.
    #[must_use]
    pub fn kind(&self) -> ValueKind {
        match self {
            Self::Choice(choice) if choice.simple => ValueKind::SimpleChoice,
            Self::Choice(_) => ValueKind::Choice,
            Self::Range(_) => ValueKind::Range,
            Self::Interval(_) => ValueKind::Interval,
            Self::Glob(_) => ValueKind::GlobChoice,
        }
    }

    /// The tags; a glob has none.
    pub(super) fn tags_mut(&mut self) -> Option<&mut BTreeSet<String>> {
        match self {
            Self::Choice(choice) => Some(&mut choice.tags),
            Self::Range(range) => Some(&mut range.tags),
            Self::Interval(interval) => Some(&mut interval.tags),
            Self::Glob(_) => None,
        }
    }
}

impl Choice {
    pub(super) fn new(items: Vec<Literal>, simple: bool) -> Self {
        Self { items, simple, shuffle: None, tags: BTreeSet::new() }
    }
}

impl Override {
    /// Whether it has several values, one for each job.
    #[must_use]
    pub fn is_sweep(&self) -> bool {
        matches!(self.value, Some(OverrideValue::Sweep(_)))
    }

    /// Whether it is about Hydra's own configuration (`hydra.x=1`, `hydra/group=option`).
    #[must_use]
    pub fn is_hydra(&self) -> bool {
        self.key.starts_with("hydra.") || self.key.starts_with("hydra/")
    }

    /// The kind of its value; `None` for a deletion without one.
    #[must_use]
    pub fn value_kind(&self) -> Option<ValueKind> {
        self.value.as_ref().map(|value| match value {
            OverrideValue::Element(_) => ValueKind::Element,
            OverrideValue::Sweep(sweep) => sweep.kind(),
        })
    }

    /// The values for the jobs, each as the part after the `=` of an override. One that is no
    /// sweep has one value.
    ///
    /// # Errors
    /// [`ErrorKind::Sweep`] for an interval, a range without step, or a glob whose pattern is no
    /// unquoted text; [`ErrorKind::Limit`] for more values than a sweep can have.
    pub fn sweep_values(&self, groups: &dyn GroupOptions) -> Result<Vec<String>, Error> {
        let failed = |kind| Error::new(kind, self.origin()).with_path(&self.key);
        self.check_nesting().map_err(failed)?;
        let Some(OverrideValue::Sweep(sweep)) = &self.value else {
            return Ok(vec![self.value_text()]);
        };
        match sweep {
            Sweep::Choice(choice) => {
                let values = choice.items.iter().map(Literal::text).collect();
                Ok(shuffled(values, choice.shuffle))
            }
            Sweep::Range(range) => {
                let values = range.numbers().map_err(failed)?;
                let texts = values.into_iter().map(|value| Literal::Bare(value.value()).text());
                Ok(shuffled(texts.collect(), range.shuffle))
            }
            Sweep::Glob(glob) => glob.filter(&groups.group_options(&self.key)).map_err(failed),
            Sweep::Interval(_) => {
                let name = sweep.kind().hydra_name();
                let message = format!("BasicSweeper does not support sweep type : {name}");
                let hint = "`range(start,stop,step)` names the values between two numbers";
                Err(failed(ErrorKind::Sweep(message)).with_hint(hint))
            }
        }
    }
}

impl Override {
    /// A sweep within a value, or within another sweep, cannot be written for a job.
    fn check_nesting(&self) -> Result<(), ErrorKind> {
        let inside = match &self.value {
            Some(OverrideValue::Element(literal)) => literal.sweep_inside(),
            Some(OverrideValue::Sweep(Sweep::Choice(choice))) => {
                choice.items.iter().find_map(Literal::sweep_inside)
            }
            _ => None,
        };
        match inside {
            None => Ok(()),
            Some(_) => {
                let message = "a sweep cannot stand within another value".to_owned();
                Err(ErrorKind::SweepValue(message))
            }
        }
    }
}

impl Range {
    /// The numbers, in order: whole ones exactly, others in decimals of 28 digits and then as
    /// floats, which is why 0.1 and twice a step of 0.1 give 0.30000000000000004.
    ///
    /// # Errors
    /// A step of zero, a number that is none, or more numbers than a sweep can have.
    pub fn numbers(&self) -> Result<Vec<Number>, ErrorKind> {
        match (self.start.whole(), self.stop.whole(), self.step.whole()) {
            (Some(start), Some(stop), Some(step)) => whole_range(start, stop, step),
            _ => decimal_range(self.start, self.stop, self.step)
                .map(|values| values.into_iter().map(Number::Float).collect()),
        }
    }
}

/// Too many values, or values without end.
pub(super) fn too_many() -> ErrorKind {
    ErrorKind::Limit(format!("a sweep has at most {MAX_JOBS} jobs"))
}

fn whole_range(start: i128, stop: i128, step: i128) -> Result<Vec<Number>, ErrorKind> {
    if step == 0 {
        return Err(ErrorKind::SweepValue("range() arg 3 must not be zero".to_owned()));
    }
    let mut numbers = Vec::new();
    let mut next = Some(start);
    while let Some(number) = next.filter(|at| if step > 0 { *at < stop } else { *at > stop }) {
        if numbers.len() >= MAX_JOBS {
            return Err(too_many());
        }
        numbers.push(Number::Int(number));
        next = number.checked_add(step);
    }
    Ok(numbers)
}

impl Glob {
    /// The names that match, in the order in which they come.
    ///
    /// # Errors
    /// A pattern that is no unquoted text, once a name is compared with it.
    pub fn filter(&self, names: &[String]) -> Result<Vec<String>, ErrorKind> {
        let mut found = Vec::new();
        for name in names {
            if any_matches(name, &self.include)? && !any_matches(name, &self.exclude)? {
                found.push(name.clone());
            }
        }
        Ok(found)
    }
}

fn any_matches(name: &str, patterns: &[Literal]) -> Result<bool, ErrorKind> {
    for pattern in patterns {
        let Literal::Bare(Value::Str(pattern)) = pattern else {
            let message =
                format!("expected str, bytes or os.PathLike object, not {}", pattern.python_type());
            return Err(ErrorKind::SweepValue(message));
        };
        if matches(name, pattern) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Groups;

    impl GroupOptions for Groups {
        fn group_options(&self, group: &str) -> Vec<String> {
            if group == "db" { vec!["mysql".into(), "pg".into(), "pg2".into()] } else { vec![] }
        }
    }

    fn values(text: &str) -> Result<Vec<String>, Error> {
        Override::parse(text).unwrap().sweep_values(&Groups)
    }

    #[test]
    fn a_glob_takes_the_options_of_its_group() {
        assert_eq!(values("db=glob(p*)").unwrap(), ["pg", "pg2"]);
        assert_eq!(values("db=glob([*],exclude=[pg,m*])").unwrap(), ["pg2"]);
        assert_eq!(values("other=glob(*)").unwrap(), [""; 0]);
        assert!(values("db=glob(['p*'])").is_err());
        assert!(values("other=glob(['p*'])").is_ok());
    }

    #[test]
    fn a_range_has_its_numbers_or_an_error() {
        assert_eq!(values("a=range(3)").unwrap(), ["0", "1", "2"]);
        assert_eq!(values("a=range(true)").unwrap(), ["0"]);
        assert_eq!(values("a=range(0.1,0.35,0.1)").unwrap(), ["0.1", "0.2", "0.30000000000000004"]);
        assert_eq!(values("a=range(3,0,-2)").unwrap(), ["3", "1"]);
        let error = |text| values(text).unwrap_err().message();
        assert_eq!(error("a=range(1,5,0)"), "range() arg 3 must not be zero");
        assert_eq!(error("a=range(1.0,5,0)"), "Invalid range values (start:1, stop:5, step:0)");
        assert!(error("a=range(0,1e30,1)").contains("at most"));
        assert!(error("a=range(0,1000000000000)").contains("at most"));
    }

    #[test]
    fn an_interval_has_no_values() {
        let message = values("a=interval(0,1)").unwrap_err().message();
        assert_eq!(message, "BasicSweeper does not support sweep type : INTERVAL_SWEEP");
    }

    #[test]
    fn a_shuffled_sweep_has_the_same_values() {
        for text in ["a=shuffle(range(1,40))", "a=shuffle(choice(3,1,2))", "a=shuffle(3,1,2)"] {
            let mut there = values(text).unwrap();
            let mut sorted = values(&text.replace("shuffle", "sort")).unwrap();
            there.sort();
            sorted.sort();
            assert_eq!(there, sorted);
        }
    }

    #[test]
    fn one_seed_gives_one_order() {
        let order = |seed| {
            let parsed = Override::parse_seeded("a=shuffle(range(0,50))", seed).unwrap();
            parsed.sweep_values(&Groups).unwrap()
        };
        assert_eq!(order(7), order(7));
        assert_ne!(order(7), order(8));
    }
}
