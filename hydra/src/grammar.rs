//! OmegaConf's interpolation grammar: text -> parts.

use crate::Dialect;
use crate::error::{Error, ErrorKind};
use crate::lex::{self, Cursor, Malformed, Parsed, Word};
use crate::limits::MAX_INTERPOLATION_DEPTH;
use crate::source::Origin;
use crate::value::{KeyKind, Value};

/// Text and interpolations in turn.
pub(crate) type Text = Vec<Part>;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    Text(String),
    Interpolation(Interpolation),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Interpolation {
    /// `${a.b}`; `dots` counts the leading dots of a relative one.
    Node { dots: usize, keys: Vec<Part> },
    /// `${name:argument, argument}`
    Resolver { name: Vec<Part>, arguments: Vec<Element> },
    /// `${NAME:-default}`, an extension.
    Shell { name: String, default: Text },
}

/// An argument of a resolver.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Element {
    /// A word, a number, `null`...
    Value(Value),
    /// Several pieces that make one text.
    Joined(Text),
    /// An interpolation that keeps its type.
    Interpolation(Interpolation),
    List(Vec<Element>),
    Dict(Vec<(KeyKind, Element)>),
}

impl Malformed {
    /// As an error at a place.
    pub(crate) fn at(self, origin: &Origin) -> Error {
        let message = format!("{} (character {})", self.message, self.at + 1);
        Error::new(ErrorKind::Grammar(message), origin.clone())
    }
}

/// Parses a whole value that contains `${`.
pub(crate) fn parse_text(text: &str, dialect: Dialect) -> Parsed<Text> {
    let mut parser = Parser::new(text, dialect);
    parser.text(&Until::End)
}

/// Parses a whole text as one argument, as `oc.decode` does.
pub(crate) fn parse_element(text: &str, dialect: Dialect) -> Parsed<Element> {
    let mut parser = Parser::new(text, dialect);
    let element = parser.element()?;
    parser.cursor.skip_blanks();
    if parser.cursor.is_at_end() { Ok(element) } else { parser.cursor.unexpected("the end") }
}

/// Where a text ends.
enum Until {
    End,
    Quote(char),
    Brace,
}

struct Parser<'t> {
    cursor: Cursor<'t>,
    dialect: Dialect,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn new(text: &'t str, dialect: Dialect) -> Self {
        Self { cursor: Cursor::new(text), dialect, depth: 0 }
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MAX_INTERPOLATION_DEPTH {
            return self
                .cursor
                .fail(format!("nested deeper than {MAX_INTERPOLATION_DEPTH} levels"));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// Text with interpolations. Backslashes count only before `${` and before the closing sign.
    fn text(&mut self, until: &Until) -> Parsed<Text> {
        let closing = match until {
            Until::End => None,
            Until::Quote(quote) => Some(*quote),
            Until::Brace => Some('}'),
        };
        let special = |c: char| c == '\\' || c == '$' || Some(c) == closing;
        let mut parts = Vec::new();
        let mut literal = String::new();
        loop {
            literal.push_str(self.cursor.take_while(|c| !special(c)));
            match self.cursor.peek() {
                None if closing.is_none() => break,
                None => return self.cursor.unexpected("the end of the quoted text"),
                Some(c) if Some(c) == closing => {
                    self.cursor.take(c.len_utf8());
                    break;
                }
                Some('\\') => self.backslashes(closing, &mut literal),
                Some(_) if self.cursor.rest().starts_with("${") => {
                    push_text(&mut parts, &mut literal);
                    parts.push(Part::Interpolation(self.deeper(Self::interpolation)?));
                }
                Some(_) => literal.push_str(self.cursor.take(1)),
            }
        }
        push_text(&mut parts, &mut literal);
        Ok(parts)
    }

    fn backslashes(&mut self, closing: Option<char>, literal: &mut String) {
        let count = self.cursor.take_while(|c| c == '\\').len();
        let rest = self.cursor.rest();
        let sign = match closing {
            _ if rest.starts_with("${") => "${",
            Some(quote) if rest.starts_with(quote) => &rest[..quote.len_utf8()],
            _ => {
                literal.push_str(&"\\".repeat(count));
                return;
            }
        };
        let (kept, escaped) = lex::halve(count);
        literal.push_str(&"\\".repeat(kept));
        if escaped {
            literal.push_str(self.cursor.take(sign.len()));
        }
    }

    fn interpolation(&mut self) -> Parsed<Interpolation> {
        self.cursor.expect("${")?;
        if let Some(name) = self.shell_name() {
            let default = self.text(&Until::Brace)?;
            return Ok(Interpolation::Shell { name, default });
        }
        self.cursor.skip_blanks();
        let dots = self.cursor.take_while(|c| c == '.').len();
        let mut keys = vec![self.component()?];
        let mut bracketed = false;
        loop {
            match self.cursor.peek_past_blanks() {
                Some('}') => {
                    self.cursor.skip_blanks();
                    self.cursor.take(1);
                    return Ok(Interpolation::Node {
                        dots,
                        keys: keys.into_iter().map(|(key, _)| key).collect(),
                    });
                }
                Some(':') if dots == 0 && !bracketed => return self.resolver(keys),
                _ if self.cursor.eat(".") => keys.push(self.key()?),
                _ if self.cursor.rest().starts_with('[') => {
                    bracketed = true;
                    keys.push(self.component()?);
                }
                _ => return self.cursor.unexpected("`}`"),
            }
        }
    }

    /// With the extension on: `NAME:-` right after `${`.
    fn shell_name(&mut self) -> Option<String> {
        if !self.dialect.shell_defaults {
            return None;
        }
        let rest = self.cursor.rest();
        let name = &rest
            [..rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())];
        let starts_well = !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit());
        if starts_well && rest[name.len()..].starts_with(":-") {
            self.cursor.take(name.len() + 2);
            Some(name.to_owned())
        } else {
            None
        }
    }

    /// `key` or `[key]`; with it, whether it may be part of the name of a resolver.
    fn component(&mut self) -> Parsed<(Part, bool)> {
        if self.cursor.eat("[") {
            let (key, _) = self.key()?;
            self.cursor.expect("]")?;
            Ok((key, false))
        } else {
            self.key()
        }
    }

    fn key(&mut self) -> Parsed<(Part, bool)> {
        if self.cursor.rest().starts_with("${") {
            let inner = self.deeper(Self::interpolation)?;
            return Ok((Part::Interpolation(inner), true));
        }
        let outside = |c: char| {
            matches!(
                c,
                '\\' | '{' | '}' | '(' | ')' | '[' | ']' | ':' | '.' | ' ' | '\t' | '\'' | '"'
            )
        };
        let key = self.cursor.take_while(|c| !outside(c));
        if key.is_empty() {
            return self.cursor.unexpected("a key");
        }
        Ok((Part::Text(key.to_owned()), lex::id_length(key) == key.len()))
    }

    fn resolver(&mut self, keys: Vec<(Part, bool)>) -> Parsed<Interpolation> {
        if !keys.iter().all(|(_, nameable)| *nameable) {
            return self.cursor.unexpected("`}`");
        }
        let name = keys.into_iter().map(|(key, _)| key).collect();
        self.cursor.skip_blanks();
        self.cursor.expect(":")?;
        let arguments = self.sequence('}')?;
        Ok(Interpolation::Resolver { name, arguments })
    }

    /// Elements up to a closing sign. An element between commas may be empty: it is then `''`.
    fn sequence(&mut self, closing: char) -> Parsed<Vec<Element>> {
        let mut elements = Vec::new();
        self.cursor.skip_blanks();
        if self.cursor.eat(closing.encode_utf8(&mut [0; 4])) {
            return Ok(elements);
        }
        loop {
            self.cursor.skip_blanks();
            match self.cursor.peek() {
                Some(c) if c == ',' || c == closing => {
                    elements.push(Element::Value(Value::Str(String::new())));
                }
                _ => elements.push(self.element()?),
            }
            self.cursor.skip_blanks();
            match self.cursor.peek() {
                Some(',') => self.cursor.take(1),
                Some(c) if c == closing => {
                    self.cursor.take(1);
                    return Ok(elements);
                }
                _ => return self.cursor.unexpected(&format!("`,` or `{closing}`")),
            };
        }
    }

    fn element(&mut self) -> Parsed<Element> {
        self.cursor.skip_blanks();
        match self.cursor.peek() {
            Some(quote @ ('\'' | '"')) => {
                self.cursor.take(1);
                Ok(Element::Joined(self.text(&Until::Quote(quote))?))
            }
            Some('[') => {
                self.cursor.take(1);
                Ok(Element::List(self.deeper(|parser| parser.sequence(']'))?))
            }
            Some('{') => {
                self.cursor.take(1);
                self.deeper(Self::dict)
            }
            _ => self.primitive(),
        }
    }

    fn dict(&mut self) -> Parsed<Element> {
        let mut pairs = Vec::new();
        self.cursor.skip_blanks();
        if self.cursor.eat("}") {
            return Ok(Element::Dict(pairs));
        }
        loop {
            let key = dict_key(&mut self.cursor)?;
            pairs.push((key, self.element()?));
            self.cursor.skip_blanks();
            if self.cursor.eat("}") {
                return Ok(Element::Dict(pairs));
            }
            self.cursor.expect(",")?;
        }
    }

    /// Unquoted words and interpolations up to `,` `]` `}` or the end.
    fn primitive(&mut self) -> Parsed<Element> {
        let mut pieces = Vec::new();
        loop {
            if self.cursor.rest().starts_with("${") {
                pieces.push(Piece::Interpolation(self.deeper(Self::interpolation)?));
                continue;
            }
            match self.cursor.peek_past_blanks() {
                None | Some(',' | ']' | '}') => break,
                _ => {}
            }
            if self.cursor.rest().starts_with(':') {
                let colon = lex::colon(&mut self.cursor).to_owned();
                pieces.push(Piece::Word(Word::Text(colon)));
            } else if let Some(word) = lex::word(&mut self.cursor) {
                pieces.push(Piece::Word(word));
            } else {
                return self.cursor.unexpected("a value (quote it if it holds this character)");
            }
        }
        if pieces.is_empty() {
            return self.cursor.unexpected("a value");
        }
        Ok(join_pieces(pieces))
    }
}

enum Piece<'t> {
    Word(Word<'t>),
    Interpolation(Interpolation),
}

/// One piece keeps its type, several become a text.
fn join_pieces(mut pieces: Vec<Piece<'_>>) -> Element {
    if pieces.len() == 1 {
        match pieces.pop() {
            Some(Piece::Word(Word::Typed(value, _))) => return Element::Value(value),
            Some(Piece::Interpolation(inner)) => return Element::Interpolation(inner),
            other => pieces.extend(other),
        }
    }
    let mut parts = Vec::new();
    let mut literal = String::new();
    for piece in pieces {
        match piece {
            Piece::Word(Word::Typed(_, text) | Word::Blank(text)) => literal.push_str(text),
            Piece::Word(Word::Text(text)) => literal.push_str(&text),
            Piece::Interpolation(inner) => {
                push_text(&mut parts, &mut literal);
                parts.push(Part::Interpolation(inner));
            }
        }
    }
    push_text(&mut parts, &mut literal);
    Element::Joined(parts)
}

fn push_text(parts: &mut Text, literal: &mut String) {
    if !literal.is_empty() {
        parts.push(Part::Text(std::mem::take(literal)));
    }
}

/// The key of a `{key: value}` and the colon after it.
pub(crate) fn dict_key(cursor: &mut Cursor<'_>) -> Parsed<KeyKind> {
    cursor.skip_blanks();
    let mut words = Vec::new();
    while cursor.peek_past_blanks() != Some(':') {
        if cursor.rest().starts_with("${") {
            return cursor.fail("an interpolation cannot be a key here");
        }
        match lex::word(cursor) {
            Some(word) => words.push(word),
            None => return cursor.unexpected("an unquoted key and `:`"),
        }
    }
    if words.is_empty() {
        return cursor.unexpected("an unquoted key");
    }
    cursor.skip_blanks();
    cursor.expect(":")?;
    Ok(join_key(words))
}

fn join_key(mut words: Vec<Word<'_>>) -> KeyKind {
    if words.len() == 1 {
        match words.pop() {
            Some(Word::Typed(value, text)) => return key_of(&value, text),
            other => words.extend(other),
        }
    }
    let text = words.into_iter().map(|word| match word {
        Word::Typed(_, text) | Word::Blank(text) => text.to_owned(),
        Word::Text(text) => text,
    });
    KeyKind::Str(text.collect())
}

fn key_of(value: &Value, text: &str) -> KeyKind {
    match value {
        Value::Int(value) => KeyKind::Int(*value),
        Value::Float(value) => KeyKind::Float(*value),
        Value::Bool(value) => KeyKind::Bool(*value),
        Value::Null => KeyKind::Null,
        _ => KeyKind::Str(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Dialect = Dialect { shell_defaults: false };
    const SHELL: Dialect = Dialect { shell_defaults: true };

    #[test]
    fn a_shell_default_is_read_only_where_the_dialect_has_it() {
        let [Part::Interpolation(Interpolation::Shell { name, default })] =
            &parse_text("${A:-http://h:1/x=y}", SHELL).unwrap()[..]
        else {
            panic!("not a shell default")
        };
        assert_eq!(name, "A");
        assert_eq!(default, &[Part::Text("http://h:1/x=y".into())]);
        assert!(parse_text("${A:-http://h:1/x=y}", PLAIN).is_err());
    }

    #[test]
    fn nesting_without_end_is_an_error() {
        for piece in ["${", "${a:[", "${a:{b:", "${a:'${"] {
            assert!(parse_text(&piece.repeat(100_000), PLAIN).is_err(), "{piece}");
        }
    }

    #[test]
    fn an_error_says_what_was_expected_and_where() {
        let error = parse_text("${a:b=c}", PLAIN).unwrap_err();
        assert!(error.message.contains("found `=`"), "{}", error.message);
        assert_eq!(error.at, 5);
    }
}
