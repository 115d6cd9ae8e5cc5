//! Where a value came from: a place in a file, an override on the command line, or neither.

use std::fmt;
use std::sync::Arc;

/// A text that was read, with the name to show for it.
#[derive(PartialEq, Eq)]
pub struct Source {
    name: String,
    text: String,
}

impl Source {
    /// Keeps `text` under the name that messages show for it (a path, or `<stdin>`).
    #[must_use]
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { name: name.into(), text: text.into() })
    }

    /// The name shown in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// One line without its line break; lines count from 1.
    #[must_use]
    pub fn line(&self, number: usize) -> Option<&str> {
        self.text.lines().nth(number.checked_sub(1)?)
    }
}

/// Only the name: a text may be long, and it may hold what should not be shown.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A place in a text. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character within the line.
    pub column: usize,
}

/// From the first character of something to just after its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first character.
    pub start: Position,
    /// The character after the last one.
    pub end: Position,
}

#[derive(Clone, PartialEq, Eq)]
enum Place {
    Memory,
    File { source: Arc<Source>, span: Span },
    Override(Arc<str>),
}

/// Where a node or a key was written.
#[derive(Clone, PartialEq, Eq)]
pub struct Origin {
    place: Place,
    interpolated: bool,
}

impl Origin {
    /// Made by the program, written nowhere.
    #[must_use]
    pub fn memory() -> Self {
        Self { place: Place::Memory, interpolated: false }
    }

    /// Written in a file.
    #[must_use]
    pub fn file(source: Arc<Source>, span: Span) -> Self {
        Self { place: Place::File { source, span }, interpolated: false }
    }

    /// A file that could not be read, at its first character.
    pub(crate) fn file_without_text(name: &str) -> Self {
        let start = Position { line: 1, column: 1 };
        Self::file(Source::new(name, ""), Span { start, end: start })
    }

    /// Written on the command line; `text` is the whole override (`a.b=1`).
    #[must_use]
    pub fn command_line(text: &str) -> Self {
        Self { place: Place::Override(text.into()), interpolated: false }
    }

    /// The same place, for a value that an interpolation written there gave.
    #[must_use]
    pub fn interpolated(mut self) -> Self {
        self.interpolated = true;
        self
    }

    /// Whether the value was not written here but looked up by an interpolation that was.
    ///
    /// Such a value may have come from the environment, so messages do not repeat it.
    #[must_use]
    pub fn is_interpolated(&self) -> bool {
        self.interpolated
    }

    /// Another place in the same file; the same origin, if it is no file.
    #[must_use]
    pub fn moved_to(mut self, to: Span) -> Self {
        if let Place::File { span, .. } = &mut self.place {
            *span = to;
        }
        self
    }

    /// Whether this was written nowhere.
    #[must_use]
    pub fn is_memory(&self) -> bool {
        matches!(self.place, Place::Memory)
    }

    /// The text and the place in it, if this was written in a file.
    #[must_use]
    pub fn span(&self) -> Option<(&Source, Span)> {
        match &self.place {
            Place::File { source, span } => Some((source, *span)),
            Place::Memory | Place::Override(_) => None,
        }
    }

    /// The whole override, if this was written on the command line.
    #[must_use]
    pub fn override_text(&self) -> Option<&str> {
        match &self.place {
            Place::Override(text) => Some(text),
            Place::Memory | Place::File { .. } => None,
        }
    }
}

/// `config.yaml:3:5`, ``command line override `a=1` `` or `built in memory`. Secrets are masked.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Memory => f.write_str("built in memory"),
            Place::File { source, span } => {
                write!(f, "{}:{}:{}", source.name, span.start.line, span.start.column)
            }
            Place::Override(text) => write!(f, "command line override `{}`", mask_secrets(text)),
        }
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({self})")
    }
}

/// Whether a key of this name usually holds something that must not be shown.
pub(crate) fn is_secret_name(name: &str) -> bool {
    const ENDINGS: [&str; 8] = [
        "token",
        "api_key",
        "apikey",
        "api-key",
        "secret",
        "password",
        "authorization",
        "credentials",
    ];
    let name = name.to_ascii_lowercase();
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// The line with everything after `SECRET_NAME:` or `SECRET_NAME=` taken out.
pub(crate) fn mask_secrets(line: &str) -> String {
    for (index, separator) in line.match_indices([':', '=']) {
        let before = line[..index].trim_end_matches([' ', '\'', '"']);
        let start = before
            .rfind(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        let rest = &line[index + separator.len()..];
        if is_secret_name(&before[start..]) && !rest.trim().is_empty() {
            return format!("{}***", &line[..=index]);
        }
    }
    line.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_masked_and_a_token_count_is_not() {
        assert_eq!(mask_secrets("  hf_token: abc"), "  hf_token:***");
        assert_eq!(mask_secrets("+backend.api_key=abc"), "+backend.api_key=***");
        assert_eq!(mask_secrets("{'password': \"x\"}"), "{'password':***");
        assert_eq!(mask_secrets("max_new_tokens: 10"), "max_new_tokens: 10");
        assert_eq!(mask_secrets("api_key_env: NAME"), "api_key_env: NAME");
        assert_eq!(mask_secrets("é: é=token: x"), "é: é=token:***");
    }

    #[test]
    fn lines_count_from_one() {
        let source = Source::new("f", "a\r\nb\n");
        assert_eq!(source.line(0), None);
        assert_eq!(source.line(1), Some("a"));
        assert_eq!(source.line(2), Some("b"));
        assert_eq!(source.line(3), None);
    }
}
