//! Command-line overrides: `key=value`, `+key=value`, `++key=value`, `~key`, `~key=value`.

mod apply;
mod casts;
mod decimal;
mod functions;
mod glob;
mod parse;
mod render;
mod shuffle;
mod signature;
mod sort;
mod sweep;
mod sweeper;

pub(crate) use apply::apply_value;
pub use apply::{apply_override, apply_overrides, apply_overrides_with};
pub use sweep::{Choice, Glob, GroupOptions, Interval, NoGroups, Number, Range, Sweep, ValueKind};
pub use sweeper::BasicSweeper;

use crate::error::{Error, ErrorKind};
use crate::source::{Origin, mask_secrets};
use crate::value::{Key, KeyKind, Map, Node, Value};

/// What an override does to its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// `key=value`: the key must exist.
    Change,
    /// `+key=value`: the key must not exist (or be null, or not set).
    Add,
    /// `++key=value`: either.
    ForceAdd,
    /// `~key`, `~key=value`: the key must exist, and have that value.
    Delete,
}

/// One override, parsed.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    /// What it does.
    pub action: Action,
    /// The dotted key, or a config group (`db`, `db/engine`).
    pub key: String,
    /// The package of a config group (`key@package=option`).
    pub package: Option<String>,
    /// The value; only a deletion can be without.
    pub value: Option<OverrideValue>,
    /// The whole override as it was written.
    pub text: String,
}

/// The value of an override.
#[derive(Debug, Clone, PartialEq)]
pub enum OverrideValue {
    /// One value.
    Element(Literal),
    /// Several values, one for each job.
    Sweep(Sweep),
}

/// A value as it was written: how it was quoted matters where it is written again.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// A bare word, a number, `true`, `null`, unquoted text.
    Bare(Value),
    /// `'text'` or `"text"`, with its escapes taken out.
    Quoted {
        /// The text inside the quotes.
        text: String,
        /// `'` or `"`.
        quote: char,
    },
    /// `[a,b]`
    List(Vec<Literal>),
    /// `{a:1,b:2}`, each key once.
    Dict(Vec<(KeyKind, Literal)>),
    /// A sweep within a value. The grammar has it, but no job can take it.
    Sweep(Box<Sweep>),
}

impl Override {
    /// Parses an override with the grammar of Hydra 1.3.
    ///
    /// # Errors
    /// [`ErrorKind::OverrideSyntax`], with the place of the first character that does not fit.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::parse_seeded(text, shuffle::random_seed())
    }

    /// The same, where everything that `shuffle(...)` leaves to chance follows from a seed.
    ///
    /// # Errors
    /// As [`Override::parse`].
    pub fn parse_seeded(text: &str, seed: u64) -> Result<Self, Error> {
        let wrong = |message: String| {
            Error::new(ErrorKind::OverrideSyntax(message), Origin::command_line(text))
        };
        parse::parse(text, seed).map_err(|failed| {
            wrong(match failed {
                parse::Failed::Syntax(error) => {
                    format!("{} (character {})", error.message, error.at + 1)
                }
                parse::Failed::Function(message) => message,
            })
        })
    }

    /// Where it was written.
    #[must_use]
    pub fn origin(&self) -> Origin {
        Origin::command_line(&self.text)
    }

    /// The value as a tree. `None` for a deletion without value.
    ///
    /// # Errors
    /// [`ErrorKind::SweepNeeded`] for several values, [`ErrorKind::OverrideRefused`] for a null key.
    pub fn node(&self) -> Result<Option<Node>, Error> {
        match &self.value {
            None => Ok(None),
            Some(OverrideValue::Element(literal)) => literal.node(&self.origin()).map(Some),
            Some(OverrideValue::Sweep(Sweep::Choice(choice))) if choice.simple => {
                Err(self.ambiguous())
            }
            Some(OverrideValue::Sweep(_)) => {
                let value = mask_secrets(&self.value_text());
                let message = format!("`{value}` is several values, which only a sweep can take");
                let kind = ErrorKind::SweepNeeded(message);
                Err(Error::new(kind, self.origin())
                    .with_path(&self.key)
                    .with_hint("quote the value to mean the text"))
            }
        }
    }

    fn ambiguous(&self) -> Error {
        let value = self.text.split_once('=').map_or("", |(_, value)| value);
        let message = "a value with commas is several values, which only a sweep can take";
        let hint = format!("a list is `{0}=[{value}]`, one text is `{0}='{value}'`", self.key);
        Error::new(ErrorKind::SweepNeeded(message.into()), self.origin())
            .with_path(&self.key)
            .with_hint(mask_secrets(&hint))
    }
}

impl Literal {
    /// The value as a tree that was written at `origin`.
    fn node(&self, origin: &Origin) -> Result<Node, Error> {
        let value = match self {
            Self::Bare(Value::Str(text)) | Self::Quoted { text, .. } => {
                Value::from_text(text.as_str())
            }
            Self::Bare(value) => value.clone(),
            Self::List(items) => {
                Value::List(items.iter().map(|item| item.node(origin)).collect::<Result<_, _>>()?)
            }
            Self::Dict(pairs) => {
                let mut map = Map::new();
                for (kind, literal) in pairs {
                    if matches!(kind, KeyKind::Null) {
                        let message = "null cannot be a key".to_owned();
                        return Err(Error::new(
                            ErrorKind::OverrideRefused(message),
                            origin.clone(),
                        ));
                    }
                    map.insert(Key::new(kind.clone(), origin.clone()), literal.node(origin)?);
                }
                Value::Map(map)
            }
            Self::Sweep(_) => {
                let message = "several values cannot stand within another value".to_owned();
                return Err(Error::new(ErrorKind::SweepNeeded(message), origin.clone()));
            }
        };
        Ok(Node::new(value, origin.clone()))
    }

    /// The name of the Python type that this would be.
    fn python_type(&self) -> &'static str {
        match self {
            Self::Bare(Value::Null) => "NoneType",
            Self::Bare(Value::Bool(_)) => "bool",
            Self::Bare(Value::Int(_)) => "int",
            Self::Bare(Value::Float(_)) => "float",
            Self::Bare(_) => "str",
            Self::Quoted { .. } => "QuotedString",
            Self::List(_) => "list",
            Self::Dict(_) => "dict",
            Self::Sweep(sweep) => match **sweep {
                Sweep::Choice(_) => "ChoiceSweep",
                Sweep::Range(_) => "RangeSweep",
                Sweep::Interval(_) => "IntervalSweep",
                Sweep::Glob(_) => "Glob",
            },
        }
    }

    /// The first sweep within the value that cannot be written as text again.
    fn sweep_inside(&self) -> Option<&Sweep> {
        match self {
            Self::Bare(_) | Self::Quoted { .. } => None,
            Self::List(items) => items.iter().find_map(Self::sweep_inside),
            Self::Dict(pairs) => pairs.iter().find_map(|(_, value)| value.sweep_inside()),
            Self::Sweep(sweep) => (!matches!(**sweep, Sweep::Glob(_))).then_some(sweep),
        }
    }
}
