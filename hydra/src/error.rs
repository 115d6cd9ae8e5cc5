//! What can be wrong with a configuration, and how it is told: place, line, caret, hint.

use std::fmt;

use crate::source::{Origin, Span, mask_secrets};

/// What is wrong. The place is kept beside it, in [`Error`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file could not be read.
    #[error("cannot read the file: {0}")]
    Read(String),
    /// The text is not YAML (PyYAML's scanner, parser and composer errors).
    #[error("not valid YAML: {0}")]
    YamlSyntax(String),
    /// The text is YAML, but a value in it has no meaning here (PyYAML's constructor errors).
    #[error("{0}")]
    YamlValue(String),
    /// A mapping names the same key twice.
    #[error("key `{0}` appears twice in the same mapping")]
    DuplicateKey(String),
    /// Too large, too deep, or growing without end.
    #[error("{0}")]
    Limit(String),
    /// A configuration, or an option of a group, does not exist; in Hydra's words.
    #[error("{0}")]
    MissingConfig(String),
    /// The text of an interpolation does not follow the grammar.
    #[error("malformed interpolation: {0}")]
    Grammar(String),
    /// An interpolation names a key that does not exist.
    #[error("Interpolation key '{0}' not found")]
    InterpolationKey(String),
    /// An interpolation refers to a mandatory value that was not given.
    #[error("MissingMandatoryValue while resolving interpolation: Missing mandatory value: {0}")]
    InterpolationToMissing(String),
    /// An interpolation failed for another reason; circular ones are among these.
    #[error("{0}")]
    Interpolation(String),
    /// An interpolation calls a resolver that does not exist.
    #[error("Unsupported interpolation type {0}")]
    UnknownResolver(String),
    /// An override does not follow the grammar.
    #[error("malformed override: {0}")]
    OverrideSyntax(String),
    /// An override asks for several values at once outside a sweep.
    #[error("{0}")]
    SweepNeeded(String),
    /// The sweeper cannot do with the values of a sweep what they ask for.
    #[error("{0}")]
    Sweep(String),
    /// The values of a sweep cannot be computed.
    #[error("{0}")]
    SweepValue(String),
    /// An override cannot be applied to the configuration as it is.
    #[error("{0}")]
    OverrideRefused(String),
    /// Hydra's own refusal of a composition, in its words.
    #[error("{0}")]
    Composition(String),
    /// A value does not fit into the tree or into its type.
    #[error("{0}")]
    Config(Fault),
    /// What Python itself raises where neither Hydra nor OmegaConf foresaw the case.
    #[error("{message}")]
    Uncaught {
        /// The class of the exception: `TypeError`, `ValueError` and so on.
        class: &'static str,
        /// Its text.
        message: String,
    },
    /// What an interpolation gave does not fit the type of its place.
    #[error("{0}")]
    InterpolationValue(String),
    /// A value is not of the type that is needed.
    #[error("{0}")]
    Type(String),
    /// A key that the type does not know.
    #[error("unknown key `{0}`")]
    UnknownKey(String),
    /// A key that the type needs and the configuration lacks.
    #[error("key `{0}` is missing")]
    MissingKey(String),
    /// A mandatory value (`???`) that nobody gave.
    #[error("this mandatory value (`???`) is not set")]
    MissingValue,
    /// The type itself refused the value.
    #[error("{0}")]
    Custom(String),
}

impl ErrorKind {
    /// Whether the text is what Hydra prints, which may be several lines.
    fn is_in_hydras_words(&self) -> bool {
        matches!(self, Self::Composition(_) | Self::MissingConfig(_) | Self::Uncaught { .. })
    }

    /// A value that Hydra refuses with a `ValueError`.
    pub(crate) fn value_error(message: impl Into<String>) -> Self {
        Self::Uncaught { class: "ValueError", message: message.into() }
    }

    /// Where Hydra only has an assertion, and its text is empty.
    pub(crate) fn assertion(message: impl Into<String>) -> Self {
        Self::Uncaught { class: "AssertionError", message: message.into() }
    }
}

/// The classes of OmegaConf's errors, by their names in Python.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultClass {
    /// `ValidationError`: a value does not fit its type.
    Validation,
    /// `ConfigKeyError`: there is no such key, and none may be made.
    ConfigKey,
    /// `ConfigAttributeError`: the same, where Python asked for an attribute.
    ConfigAttribute,
    /// `KeyValidationError`: a key does not fit the type of keys.
    KeyValidation,
    /// `ConfigTypeError`: a list met a mapping, and the like.
    ConfigType,
    /// `ConfigIndexError`: a list has no such item.
    ConfigIndex,
    /// `MissingMandatoryValue`: the way leads through `???`.
    MissingMandatory,
    /// `UnsupportedValueType`: a container where only a scalar can be.
    UnsupportedValue,
}

/// A refusal of OmegaConf, in its words: what, where in the tree, and what is there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", .place.as_ref().map(ToString::to_string).unwrap_or_default())]
pub struct Fault {
    /// Which kind of refusal it is.
    pub class: FaultClass,
    /// What is wrong, in one line.
    pub message: String,
    /// Where in the tree.
    pub place: Option<FaultPlace>,
}

/// Where in a tree something was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultPlace {
    /// The full path of the key.
    pub full_key: String,
    /// The type of the slot that the container stands in, if it has one.
    pub reference_type: Option<String>,
    /// What the container is: `dict`, `list` or the name of a structure.
    pub object_type: String,
}

impl FaultClass {
    /// The name of the class in Python.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Validation => "ValidationError",
            Self::ConfigKey => "ConfigKeyError",
            Self::ConfigAttribute => "ConfigAttributeError",
            Self::KeyValidation => "KeyValidationError",
            Self::ConfigType => "ConfigTypeError",
            Self::ConfigIndex => "ConfigIndexError",
            Self::MissingMandatory => "MissingMandatoryValue",
            Self::UnsupportedValue => "UnsupportedValueType",
        }
    }
}

impl ErrorKind {
    /// The name in Python of the class, for what OmegaConf itself raises.
    #[must_use]
    pub fn omegaconf_class(&self) -> Option<&'static str> {
        Some(match self {
            Self::Config(fault) => fault.class.name(),
            Self::Grammar(_) => "GrammarParseError",
            Self::InterpolationKey(_) => "InterpolationKeyError",
            Self::InterpolationToMissing(_) => "InterpolationToMissingValueError",
            Self::InterpolationValue(_) => "InterpolationValidationError",
            Self::Interpolation(_) => "InterpolationResolutionError",
            Self::UnknownResolver(_) => "UnsupportedInterpolationType",
            _ => return None,
        })
    }
}

impl fmt::Display for FaultPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n    full_key: {}", self.full_key)?;
        if let Some(reference) = &self.reference_type {
            write!(f, "\n    reference_type={reference}")?;
        }
        write!(f, "\n    object_type={}", self.object_type)
    }
}

/// One thing that is wrong, with its place and a hint.
///
/// `Display` prints everything: `file:line:column: key: message`, the line with a caret, the hint.
/// Where the message is Hydra's own, it comes first, as Hydra prints it, and the place after it.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    kind: ErrorKind,
    path: Option<String>,
    origin: Origin,
    hint: Option<String>,
}

impl Error {
    /// An error at a place.
    #[must_use]
    pub fn new(kind: ErrorKind, origin: Origin) -> Self {
        Self(Box::new(Inner { kind, path: None, origin, hint: None }))
    }

    /// The same, about the value at a dotted path.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<String>) -> Self {
        let path = path.into();
        self.0.path = (!path.is_empty()).then_some(path);
        self
    }

    /// The same place, path and hint, told as something else.
    #[must_use]
    pub fn told_as(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// The same with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The same with `did you mean`, if one of the candidates is near.
    #[must_use]
    pub fn with_nearest<'a>(
        self,
        typed: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        match nearest(typed, candidates) {
            Some(near) => self.with_hint(format!("did you mean `{near}`?")),
            None => self,
        }
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    pub(crate) fn fault_mut(&mut self) -> Option<&mut Fault> {
        match &mut self.0.kind {
            ErrorKind::Config(fault) => Some(fault),
            _ => None,
        }
    }

    /// The dotted path of the value concerned, if there is one.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.0.path.as_deref()
    }

    /// Where it was written.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.0.origin
    }

    /// What to do about it, if there is something.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The message without place, path and hint.
    #[must_use]
    pub fn message(&self) -> String {
        self.0.kind.to_string()
    }

    /// The line concerned with a caret under it, if it was written in a file. Secrets are masked.
    #[must_use]
    pub fn snippet(&self) -> Option<String> {
        let (source, span) = self.0.origin.span()?;
        let line = mask_secrets(source.line(span.start.line)?);
        Some(render_snippet(&line, span))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.kind.is_in_hydras_words() {
            write!(f, "{}", self.0.kind.to_string().trim_end())?;
            if !self.0.origin.is_memory() {
                write!(f, "\n  at {}", self.0.origin)?;
            }
        } else {
            write!(f, "{}: ", self.0.origin)?;
            if let Some(path) = &self.0.path {
                write!(f, "{path}: ")?;
            }
            write!(f, "{}", self.0.kind)?;
        }
        if let Some(snippet) = self.snippet() {
            write!(f, "\n{snippet}")?;
        }
        match &self.0.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("path", &self.0.path)
            .field("origin", &self.0.origin)
            .field("hint", &self.0.hint)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0.kind)
    }
}

/// Everything that was found wrong in one pass. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors(Vec<Error>);

impl Errors {
    /// `Ok` if nothing was found.
    ///
    /// # Errors
    /// The errors, if there are any.
    pub fn check(errors: Vec<Error>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }

    /// These, and more after them.
    pub(crate) fn with(mut self, more: impl IntoIterator<Item = Error>) -> Self {
        self.0.extend(more);
        self
    }

    /// The errors, in the order in which they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Error> {
        self.0.iter()
    }

    /// The first error.
    #[must_use]
    pub fn first(&self) -> &Error {
        &self.0[0]
    }
}

impl From<Error> for Errors {
    fn from(error: Error) -> Self {
        Self(vec![error])
    }
}

impl IntoIterator for Errors {
    type Item = Error;
    type IntoIter = std::vec::IntoIter<Error>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Errors {
    type Item = &'a Error;
    type IntoIter = std::slice::Iter<'a, Error>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

/// Longest part of a line that a snippet shows, in characters.
const SNIPPET_WIDTH: usize = 120;

fn render_snippet(line: &str, span: Span) -> String {
    let number = span.start.line.to_string();
    let shown: String =
        line.chars().take(SNIPPET_WIDTH).map(|c| if c == '\t' { ' ' } else { c }).collect();
    let width = shown.chars().count();
    let start = span.start.column.saturating_sub(1).min(width);
    let end = if span.end.line == span.start.line { span.end.column - 1 } else { width };
    // A span may reach over the blanks or the comment that follow a value.
    let carets = end.clamp(start, width.max(start)).saturating_sub(start).max(1);
    let gutter = " ".repeat(number.len());
    format!("  {number} | {shown}\n  {gutter} | {}{}", " ".repeat(start), "^".repeat(carets))
}

/// The candidate nearest to what was typed, if it is near enough to be a slip of the hand.
#[must_use]
pub fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = typed.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Position, Source};

    fn at(text: &str, line: usize, columns: (usize, usize)) -> Origin {
        let start = Position { line, column: columns.0 };
        let end = Position { line, column: columns.1 };
        Origin::file(Source::new("c.yaml", text), Span { start, end })
    }

    #[test]
    fn an_error_shows_place_path_line_caret_and_hint() {
        let error =
            Error::new(ErrorKind::UnknownKey("nane".into()), at("a: 1\nnane: x\n", 2, (1, 5)))
                .with_path("nane")
                .with_nearest("nane", ["name", "other"]);
        assert_eq!(
            error.to_string(),
            "c.yaml:2:1: nane: unknown key `nane`\n  2 | nane: x\n    | ^^^^\n  hint: did you mean `name`?"
        );
    }

    #[test]
    fn a_caret_stays_within_its_line_and_a_secret_is_not_shown() {
        let error = Error::new(ErrorKind::MissingValue, at("api_key: sk-123\n", 1, (10, 900)));
        assert_eq!(error.snippet().unwrap(), "  1 | api_key:***\n    |          ^^");
    }
}
