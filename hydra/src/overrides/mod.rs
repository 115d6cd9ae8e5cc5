//! Command-line overrides: `key=value`, `+key=value`, `++key=value`, `~key`, `~key=value`.

mod apply;
mod functions;
mod parse;

pub use apply::{apply_overrides, apply_overrides_with};

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
    /// `a,b,c`: one value for each job of a sweep.
    Choice(Vec<Literal>),
    /// `choice(...)`, `range(...)` and so on: a sweep, which is not evaluated yet.
    Sweep {
        /// The outermost function.
        name: String,
        /// Its arguments, with their names where they have one.
        arguments: Vec<(Option<String>, Literal)>,
    },
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
    /// `{a:1,b:2}`; a key that comes twice has its last value.
    Dict(Vec<(KeyKind, Literal)>),
    /// `name(arguments)` within the arguments of a sweep; everywhere else it has been evaluated.
    Call {
        /// The name of the function.
        name: String,
        /// Its arguments, with their names where they have one.
        arguments: Vec<(Option<String>, Literal)>,
    },
}

impl Override {
    /// Parses an override with the grammar of Hydra 1.3.
    ///
    /// # Errors
    /// [`ErrorKind::OverrideSyntax`], with the place of the first character that does not fit.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |message: String| {
            Error::new(ErrorKind::OverrideSyntax(message), Origin::command_line(text))
        };
        let parsed = parse::parse(text)
            .map_err(|error| wrong(format!("{} (character {})", error.message, error.at + 1)))?;
        let value = parsed.value.map(functions::evaluate).transpose().map_err(wrong)?;
        Ok(Self { value, ..parsed })
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
            Some(OverrideValue::Choice(_)) => Err(self.ambiguous()),
            Some(OverrideValue::Sweep { name, .. }) => {
                let message =
                    format!("`{name}(...)` is several values, which only a sweep can take");
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
            Self::Call { name, .. } => {
                let message =
                    format!("`{name}(...)` is several values, which only a sweep can take");
                return Err(Error::new(ErrorKind::SweepNeeded(message), origin.clone()));
            }
        };
        Ok(Node::new(value, origin.clone()))
    }
}
