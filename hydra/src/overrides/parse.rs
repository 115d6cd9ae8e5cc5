//! The grammar of Hydra's override parser.

use indexmap::IndexMap;

use super::functions::{self, Call};
use super::sweep::{Choice, Sweep};
use super::{Action, Literal, Override, OverrideValue};
use crate::grammar::dict_key;
use crate::lex::{self, Cursor, Malformed, Parsed, Word};
use crate::limits::MAX_INTERPOLATION_DEPTH;
use crate::value::{KeyKind, Value};

/// Why a text is no override.
#[derive(Debug)]
pub(super) enum Failed {
    /// It does not follow the grammar.
    Syntax(Malformed),
    /// It does, but a function does not take its arguments.
    Function(String),
}

/// Parses a whole override, and evaluates the functions in it.
pub(super) fn parse(text: &str, seed: u64) -> Result<Override, Failed> {
    let mut parser = Parser { cursor: Cursor::new(text), depth: 0, seed, failed: None };
    let parsed = parser.whole(text).map_err(Failed::Syntax)?;
    // Errors of functions come after all errors of the grammar, as in Hydra.
    match parser.failed {
        Some(message) => Err(Failed::Function(message)),
        None => Ok(parsed),
    }
}

struct Parser<'t> {
    cursor: Cursor<'t>,
    depth: usize,
    /// For the next random order.
    seed: u64,
    /// The first error of a function.
    failed: Option<String>,
}

impl<'t> Parser<'t> {
    fn whole(&mut self, text: &str) -> Parsed<Override> {
        let parser = self;
        let action = parser.action();
        let (key, package) = parser.key()?;
        let value = if action == Action::Delete && parser.cursor.is_at_end() {
            None
        } else {
            parser.cursor.expect("=")?;
            Some(parser.value()?)
        };
        Ok(Override { action, key, package, value, text: text.to_owned() })
    }

    fn action(&mut self) -> Action {
        if self.cursor.eat("~") {
            Action::Delete
        } else if self.cursor.eat("++") {
            Action::ForceAdd
        } else if self.cursor.eat("+") {
            Action::Add
        } else {
            Action::Change
        }
    }

    /// `package`, `group/name`, either with `@package`; a package may be empty.
    fn key(&mut self) -> Parsed<(String, Option<String>)> {
        let start = self.cursor.clone();
        let mut key = self.package()?;
        if self.cursor.peek() == Some('/') {
            self.cursor = start;
            key = self.group()?;
        }
        let package = if self.cursor.eat("@") { Some(self.package()?) } else { None };
        Ok((key, package))
    }

    fn group(&mut self) -> Parsed<String> {
        let mut parts = Vec::new();
        loop {
            match lex::id_length(self.cursor.rest()) {
                0 => return self.cursor.unexpected("the name of a config group"),
                length => parts.push(self.cursor.take(length)),
            }
            if !self.cursor.eat("/") {
                return Ok(parts.join("/"));
            }
        }
    }

    /// Names and numbers between dots; a lone number is no key.
    fn package(&mut self) -> Parsed<String> {
        if matches!(self.cursor.peek(), None | Some('=' | '@')) {
            return Ok(String::new());
        }
        let mut parts = Vec::new();
        loop {
            let rest = self.cursor.rest();
            match name_length(rest).max(lex::unsigned_length(rest)) {
                0 => return self.cursor.unexpected("a key"),
                length => parts.push(self.cursor.take(length)),
            }
            if !self.cursor.eat(".") {
                break;
            }
        }
        match &parts[..] {
            [only] if name_length(only) == 0 => self.cursor.fail("a key cannot be a number alone"),
            parts => Ok(parts.join(".")),
        }
    }

    fn value(&mut self) -> Parsed<OverrideValue> {
        self.cursor.skip_blanks();
        if self.cursor.is_at_end() {
            return Ok(OverrideValue::Element(Literal::Bare(Value::Str(String::new()))));
        }
        let mut elements = vec![self.element()?];
        while self.comma() {
            elements.push(self.element()?);
        }
        // Blanks belong to unquoted text and to signs, so none may be left after anything else.
        if !self.cursor.is_at_end() {
            return self.cursor.unexpected("the end (quote the value if it holds this character)");
        }
        Ok(match (elements.len(), elements.pop()) {
            (1, Some(Literal::Sweep(sweep))) => OverrideValue::Sweep(*sweep),
            (1, Some(only)) => OverrideValue::Element(only),
            (_, last) => {
                let items = elements.into_iter().chain(last).collect();
                OverrideValue::Sweep(Sweep::Choice(Choice::new(items, true)))
            }
        })
    }

    fn comma(&mut self) -> bool {
        self.sign(',')
    }

    /// A sign takes the blanks around it with it.
    fn sign(&mut self, sign: char) -> bool {
        let found = self.cursor.peek_past_blanks() == Some(sign);
        if found {
            self.cursor.skip_blanks();
            self.cursor.take(sign.len_utf8());
            self.cursor.skip_blanks();
        }
        found
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

    fn element(&mut self) -> Parsed<Literal> {
        match self.cursor.peek() {
            Some(quote @ ('\'' | '"')) => self.quoted(quote),
            Some('[') => {
                self.sign('[');
                self.deeper(Self::list)
            }
            Some('{') => {
                self.sign('{');
                self.deeper(Self::dict)
            }
            _ => {
                let start = self.cursor.clone();
                match self.function_name() {
                    Some(name) => self.deeper(|parser| parser.call(name, &start)),
                    None => self.primitive(),
                }
            }
        }
    }

    /// The closing quote is the first with an even number of backslashes before it.
    fn quoted(&mut self, quote: char) -> Parsed<Literal> {
        self.cursor.take(1);
        let mut text = String::new();
        loop {
            text.push_str(self.cursor.take_while(|c| c != quote && c != '\\'));
            let backslashes = self.cursor.take_while(|c| c == '\\').len();
            match self.cursor.peek() {
                None => return self.cursor.fail(format!("the quote `{quote}` is not closed")),
                Some(c) if c == quote => {
                    self.cursor.take(1);
                    let (kept, escaped) = lex::halve(backslashes);
                    text.push_str(&"\\".repeat(kept));
                    if !escaped {
                        return Ok(Literal::Quoted { text, quote });
                    }
                    text.push(quote);
                }
                Some(_) => text.push_str(&"\\".repeat(backslashes)),
            }
        }
    }

    fn list(&mut self) -> Parsed<Literal> {
        let mut items = Vec::new();
        if self.close(']') {
            return Ok(Literal::List(items));
        }
        loop {
            items.push(self.element()?);
            if self.close(']') {
                return Ok(Literal::List(items));
            }
            if !self.comma() {
                return self.cursor.unexpected("`,` or `]`");
            }
        }
    }

    /// A key that comes twice has its first place and its last value.
    fn dict(&mut self) -> Parsed<Literal> {
        let mut pairs: IndexMap<KeyKind, Literal> = IndexMap::new();
        if self.close('}') {
            return Ok(Literal::Dict(Vec::new()));
        }
        loop {
            let key = dict_key(&mut self.cursor)?;
            self.cursor.skip_blanks();
            let value = self.element()?;
            pairs.insert(key, value);
            if self.close('}') {
                return Ok(Literal::Dict(pairs.into_iter().collect()));
            }
            if !self.comma() {
                return self.cursor.unexpected("`,` or `}`");
            }
        }
    }

    /// A closing sign takes the blanks before it with it, not those after it.
    fn close(&mut self, sign: char) -> bool {
        let found = self.cursor.peek_past_blanks() == Some(sign);
        if found {
            self.cursor.skip_blanks();
            self.cursor.take(sign.len_utf8());
        }
        found
    }

    /// A name with `(` after it.
    fn function_name(&mut self) -> Option<String> {
        let rest = self.cursor.rest();
        let name = &rest[..lex::id_length(rest)];
        let after = rest[name.len()..].trim_start_matches(lex::is_blank);
        if name.is_empty() || !after.starts_with('(') {
            return None;
        }
        self.cursor.take(name.len());
        self.sign('(');
        Some(name.to_owned())
    }

    /// The arguments, and what the function makes of them. `start` is where its name is.
    fn call(&mut self, name: String, start: &Cursor<'t>) -> Parsed<Literal> {
        let mut call = Call { name, positional: Vec::new(), named: Vec::new() };
        let mut misplaced = false;
        if !self.close(')') {
            loop {
                let argument = self.argument_name();
                let value = self.element()?;
                match argument {
                    Some(argument) => call.named.push((argument, value)),
                    None => {
                        misplaced |= !call.named.is_empty();
                        call.positional.push(value);
                    }
                }
                if self.close(')') {
                    break;
                }
                if !self.comma() {
                    return self.cursor.unexpected("`,` or `)`");
                }
            }
        }
        let written = start.rest();
        let written = &written[..written.len() - self.cursor.rest().len()];
        Ok(self.evaluate(call, misplaced, written))
    }

    /// After an error anything will do: the error is what comes out.
    fn evaluate(&mut self, call: Call, misplaced: bool, written: &str) -> Literal {
        let placeholder = Literal::Bare(Value::Null);
        if self.failed.is_some() {
            return placeholder;
        }
        if misplaced {
            self.failed = Some("positional argument follows keyword argument".to_owned());
            return placeholder;
        }
        self.seed = self.seed.wrapping_add(1);
        match functions::evaluate(call, self.seed) {
            Ok(literal) => literal,
            Err(raised) => {
                let (class, message) = (raised.class, raised.message);
                self.failed = Some(format!("{class} while evaluating '{written}': {message}"));
                placeholder
            }
        }
    }

    fn argument_name(&mut self) -> Option<String> {
        let rest = self.cursor.rest();
        let name = &rest[..lex::id_length(rest)];
        if name.is_empty() || !rest[name.len()..].starts_with('=') {
            return None;
        }
        self.cursor.take(name.len() + 1);
        self.cursor.skip_blanks();
        Some(name.to_owned())
    }

    /// Unquoted words and flat interpolations up to a sign or the end.
    fn primitive(&mut self) -> Parsed<Literal> {
        let mut words = Vec::new();
        while !matches!(self.cursor.peek_past_blanks(), None | Some(',' | ']' | '}' | ')')) {
            if let Some(length) = interpolation_length(self.cursor.rest()) {
                words.push(Word::Text(self.cursor.take(length).to_owned()));
            } else if self.cursor.rest().starts_with(':') {
                let colon = lex::colon(&mut self.cursor).to_owned();
                words.push(Word::Text(colon));
            } else if let Some(word) = lex::word(&mut self.cursor) {
                words.push(word);
            } else {
                return self.cursor.unexpected("a value (quote it if it holds this character)");
            }
        }
        if words.is_empty() {
            return self.cursor.unexpected("a value");
        }
        if self.cursor.peek_past_blanks().is_none() {
            self.cursor.skip_blanks();
        }
        Ok(Literal::Bare(join(words)))
    }
}

/// One word keeps its type, several become a text.
fn join(mut words: Vec<Word<'_>>) -> Value {
    if words.len() == 1 {
        match words.pop() {
            Some(Word::Typed(value, _)) => return value,
            other => words.extend(other),
        }
    }
    let text = words.into_iter().map(|word| match word {
        Word::Typed(_, text) | Word::Blank(text) => text.to_owned(),
        Word::Text(text) => text,
    });
    Value::Str(text.collect())
}

/// Length of `[A-Za-z_$][A-Za-z0-9_$-]*` at the start of a text.
fn name_length(text: &str) -> usize {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_' || c == '$';
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '-');
    if text.starts_with(first) { text.find(|c| !inside(c)).unwrap_or(text.len()) } else { 0 }
}

/// Length of a `${...}` up to the first `}`; nested ones need quotes on the command line.
fn interpolation_length(text: &str) -> Option<usize> {
    let end = text.strip_prefix("${")?.find('}')?;
    (end > 0).then_some(end + 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_without_end_is_an_error() {
        for piece in ["[", "{a:", "f("] {
            assert!(parse(&format!("a={}", piece.repeat(100_000)), 0).is_err(), "{piece}");
        }
    }

    #[test]
    fn an_error_points_at_the_character() {
        let Err(Failed::Syntax(error)) = parse("a=x#y", 0) else { panic!("no syntax error") };
        assert_eq!(error.at, 3);
        assert!(error.message.contains("found `#`"), "{}", error.message);
    }
}
