//! The unquoted words that interpolation arguments and command-line overrides share.
//!
//! Both grammars type a bare word in the same way, which is not YAML's: `1e3` and `.5` are floats,
//! `true` and `null` count in any case, and `yes`, `010` or `0x10` are text.

use crate::scalar;
use crate::value::Value;

/// A malformed text: what is wrong and at which byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) message: String,
    pub(crate) at: usize,
}

pub(crate) type Parsed<T> = Result<T, Malformed>;

/// A reading head over a text.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Cursor<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    pub(crate) fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    /// Moves over so many bytes and returns them.
    pub(crate) fn take(&mut self, bytes: usize) -> &'t str {
        let taken = &self.text[self.at..self.at + bytes];
        self.at += bytes;
        taken
    }

    pub(crate) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        self.take(rest.find(|c| !wanted(c)).unwrap_or(rest.len()))
    }

    /// Moves over `prefix` if it comes next.
    pub(crate) fn eat(&mut self, prefix: &str) -> bool {
        let found = self.rest().starts_with(prefix);
        if found {
            self.at += prefix.len();
        }
        found
    }

    pub(crate) fn skip_blanks(&mut self) {
        self.take_while(is_blank);
    }

    /// The first character that is not a blank.
    pub(crate) fn peek_past_blanks(&self) -> Option<char> {
        self.rest().trim_start_matches(is_blank).chars().next()
    }

    pub(crate) fn fail<T>(&self, message: impl Into<String>) -> Parsed<T> {
        Err(Malformed { message: message.into(), at: self.at })
    }

    /// Complains about whatever comes next.
    pub(crate) fn unexpected<T>(&self, wanted: &str) -> Parsed<T> {
        let found = match self.peek() {
            Some(c) => format!("`{c}`"),
            None => "the end".to_owned(),
        };
        self.fail(format!("expected {wanted}, found {found}"))
    }

    pub(crate) fn expect(&mut self, wanted: &str) -> Parsed<()> {
        if self.eat(wanted) { Ok(()) } else { self.unexpected(&format!("`{wanted}`")) }
    }
}

pub(crate) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

/// One piece of an unquoted text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Word<'t> {
    /// A word that has a type of its own when it stands alone.
    Typed(Value, &'t str),
    /// Text, with its escapes taken out.
    Text(String),
    /// Blanks.
    Blank(&'t str),
}

/// The next piece of unquoted text, or `None` if the next character cannot be part of one.
///
/// `:` `,` and brackets are not pieces: what they mean depends on where they stand.
pub(crate) fn word<'t>(cursor: &mut Cursor<'t>) -> Option<Word<'t>> {
    let rest = cursor.rest();
    let first = rest.chars().next()?;
    if is_blank(first) {
        return Some(Word::Blank(cursor.take_while(is_blank)));
    }
    if first == '\\' {
        let escaped = rest[1..].chars().next().filter(|c| is_escapable(*c));
        cursor.take(if escaped.is_some() { 2 } else { 1 });
        return Some(Word::Text(escaped.unwrap_or('\\').to_string()));
    }
    let (number, is_float) = number_length(rest);
    let id = id_length(rest);
    if number > 0 && number >= id {
        let text = cursor.take(number);
        return Some(Word::Typed(number_value(text, is_float), text));
    }
    if id > 0 {
        let text = cursor.take(id);
        return Some(Word::Typed(id_value(text), text));
    }
    is_unquoted(first).then(|| Word::Text(cursor.take(first.len_utf8()).to_owned()))
}

/// A colon within a text, with the blanks after it: they stay even at the end.
pub(crate) fn colon<'t>(cursor: &mut Cursor<'t>) -> &'t str {
    let rest = cursor.rest();
    cursor.take(1 + rest[1..].find(|c| !is_blank(c)).unwrap_or(rest.len() - 1))
}

fn is_escapable(c: char) -> bool {
    matches!(c, '\\' | '(' | ')' | '[' | ']' | '{' | '}' | ':' | '=' | ',' | ' ' | '\t')
}

fn is_unquoted(c: char) -> bool {
    matches!(c, '/' | '-' | '\\' | '+' | '.' | '$' | '%' | '*' | '@' | '?' | '|')
}

/// Length of `[A-Za-z_][A-Za-z0-9_-]*` at the start of a text.
pub(crate) fn id_length(text: &str) -> usize {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        text.find(|c| !inside(c)).unwrap_or(text.len())
    } else {
        0
    }
}

fn id_value(text: &str) -> Value {
    if text.eq_ignore_ascii_case("true") {
        Value::Bool(true)
    } else if text.eq_ignore_ascii_case("false") {
        Value::Bool(false)
    } else if text.eq_ignore_ascii_case("null") {
        Value::Null
    } else {
        Value::Str(text.to_owned())
    }
}

fn number_value(text: &str, is_float: bool) -> Value {
    let number = if is_float {
        scalar::python_float_from(text).map(Value::Float)
    } else {
        scalar::python_int(text).map(Value::Int)
    };
    // An integer beyond 128 bits stays text: the type that asks for a number will refuse it.
    number.unwrap_or_else(|| Value::Str(text.to_owned()))
}

/// The longest number at the start of a text, and whether it is a float.
fn number_length(text: &str) -> (usize, bool) {
    let sign = usize::from(text.starts_with(['+', '-']));
    let body = &text[sign..];
    let special =
        |word: &str| body.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    if special("inf") || special("nan") {
        return (sign + 3, true);
    }
    let int = unsigned_length(body);
    let point = point_length(body, int);
    let mantissa = int.max(point);
    if mantissa == 0 {
        return (0, false);
    }
    let exponent = exponent_length(&body[mantissa..]);
    (sign + mantissa + exponent, point > 0 || exponent > 0)
}

/// `0 | [1-9](_?[0-9])*`
pub(crate) fn unsigned_length(text: &str) -> usize {
    if text.starts_with('0') { 1 } else { digits_length(text) }
}

/// `[0-9](_?[0-9])*`
fn digits_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut end = 0;
    loop {
        if digit(end) {
            end += 1;
        } else if end > 0 && bytes.get(end) == Some(&b'_') && digit(end + 1) {
            end += 2;
        } else {
            return end;
        }
    }
}

/// `INT . | INT? . [0-9](_?[0-9])*`, or 0.
fn point_length(text: &str, int: usize) -> usize {
    if !text[int..].starts_with('.') {
        return 0;
    }
    let fraction = digits_length(&text[int + 1..]);
    if int == 0 && fraction == 0 { 0 } else { int + 1 + fraction }
}

/// `[eE][+-]?[0-9](_?[0-9])*`, or 0.
fn exponent_length(text: &str) -> usize {
    let Some(rest) = text.strip_prefix(['e', 'E']) else { return 0 };
    let sign = usize::from(rest.starts_with(['+', '-']));
    match digits_length(&rest[sign..]) {
        0 => 0,
        digits => 1 + sign + digits,
    }
}

/// The end of a quoted text: halves the backslashes before `quote` and keeps all others.
///
/// Returns how many backslashes to keep, and whether the character after them is escaped.
pub(crate) fn halve(backslashes: usize) -> (usize, bool) {
    (backslashes / 2, backslashes % 2 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> Vec<Word<'_>> {
        let mut cursor = Cursor::new(text);
        std::iter::from_fn(|| word(&mut cursor)).collect()
    }

    #[test]
    fn a_lone_word_has_its_type_and_a_glued_one_does_not() {
        assert_eq!(only("1_000"), [Word::Typed(Value::Int(1000), "1_000")]);
        assert_eq!(only("-.5e1"), [Word::Typed(Value::Float(-5.0), "-.5e1")]);
        assert_eq!(only("nUlL"), [Word::Typed(Value::Null, "nUlL")]);
        assert_eq!(only("infinity").len(), 1);
        assert_eq!(only("0x10").len(), 2);
        assert_eq!(only("1.2.3").len(), 2);
        assert_eq!(only("00").len(), 2);
    }

    #[test]
    fn only_listed_characters_are_escaped() {
        assert_eq!(only("\\,"), [Word::Text(",".into())]);
        assert_eq!(only("\\$"), [Word::Text("\\".into()), Word::Text("$".into())]);
        assert_eq!(only("é"), []);
    }
}
