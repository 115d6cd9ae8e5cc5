//! An override back to text, as Hydra writes it into the jobs of a sweep.

use super::{Action, Literal, Override, OverrideValue, Sweep};
use crate::scalar;
use crate::value::{KeyKind, Value};

/// The characters that unquoted text needs a backslash before.
const SPECIAL: [char; 11] = ['\\', '(', ')', '[', ']', '{', '}', ':', '=', ',', ' '];

impl Override {
    /// The sign, the key and the package: `++a.b`, `db@backup`, `~c`.
    #[must_use]
    pub fn key_element(&self) -> String {
        let sign = match self.action {
            Action::Change => "",
            Action::Add => "+",
            Action::ForceAdd => "++",
            Action::Delete => "~",
        };
        match &self.package {
            Some(package) => format!("{sign}{}@{package}", self.key),
            None => format!("{sign}{}", self.key),
        }
    }

    /// The value as text that parses to the same value; `null` where there is none. A sweep is
    /// written as the call or the list that it came from.
    #[must_use]
    pub fn value_text(&self) -> String {
        match &self.value {
            None => "null".to_owned(),
            Some(OverrideValue::Element(literal)) => literal.text(),
            Some(OverrideValue::Sweep(_)) => {
                self.text.split_once('=').map_or("", |(_, value)| value).to_owned()
            }
        }
    }

    /// The whole override in the one form that Hydra writes.
    #[must_use]
    pub fn canonical(&self) -> String {
        format!("{}={}", self.key_element(), self.value_text())
    }
}

impl Literal {
    /// The value as text that parses to the same value.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Bare(value) => bare(value),
            Self::Quoted { text, quote } => quoted(text, *quote),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(Self::text).collect();
                format!("[{}]", items.join(","))
            }
            Self::Dict(pairs) => {
                let pairs: Vec<_> = pairs
                    .iter()
                    .map(|(key, value)| format!("{}:{}", key_text(key), value.text()))
                    .collect();
                format!("{{{}}}", pairs.join(","))
            }
            Self::Sweep(sweep) => sweep_text(sweep),
        }
    }
}

/// A sweep within a value: Hydra writes the fields of a glob, and can write no other.
fn sweep_text(sweep: &Sweep) -> String {
    let Sweep::Glob(glob) = sweep else { return sweep.kind().hydra_name().to_owned() };
    let list = |items: &[Literal]| Literal::List(items.to_vec()).text();
    format!("{{include:{},exclude:{}}}", list(&glob.include), list(&glob.exclude))
}

fn bare(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Str(text) => escaped(text),
        other => scalar::python_str(other),
    }
}

fn key_text(key: &KeyKind) -> String {
    match key {
        KeyKind::Null => "null".to_owned(),
        KeyKind::Str(text) => escaped(text),
        other => other.text(),
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if SPECIAL.contains(&c) || c == '\t' {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Backslashes count double before a quote and before the end, and a quote needs one more.
fn quoted(text: &str, quote: char) -> String {
    let mut out = String::from(quote);
    let mut backslashes = 0;
    for c in text.chars() {
        if c == quote {
            out.push_str(&"\\".repeat(backslashes + 1));
        }
        backslashes = if c == '\\' { backslashes + 1 } else { 0 };
        out.push(c);
    }
    out.push_str(&"\\".repeat(backslashes));
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        Override::parse(text).unwrap().canonical()
    }

    #[test]
    fn values_are_written_as_python_and_the_grammar_have_them() {
        for (text, expected) in [
            ("a=true", "a=True"),
            ("a=nUlL", "a=null"),
            ("a=1e-3", "a=0.001"),
            ("~a", "~a=null"),
            ("+a@b.c=d", "+a@b.c=d"),
            ("a@=d", "a@=d"),
            ("a=http://h:1/v1", "a=http\\://h\\:1/v1"),
            ("a=[a b,{x: null,true: 1}]", "a=[a\\ b,{x:null,True:1}]"),
            ("a=${b.c:d,e}", "a=$\\{b.c\\:d\\,e\\}"),
        ] {
            assert_eq!(canonical(text), expected);
        }
    }

    #[test]
    fn quotes_and_the_backslashes_before_them_survive() {
        for text in ["a='it\\'s'", "a='x\\\\\\'y'", "a='x\\\\'", "a=\"a\\b'c\"", "a=''"] {
            assert_eq!(canonical(text), text);
        }
    }
}
