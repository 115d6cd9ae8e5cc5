//! Tree -> YAML text, as `OmegaConf.to_yaml` prints it.
//!
//! The layout is PyYAML's block style: two spaces, lists at the indentation of their key, lines
//! folded at 80 characters. Text that could be read as something else is quoted.

use base64::Engine as _;

use crate::scalar::{self, Plain};
use crate::types::Type;
use crate::value::{Key, KeyKind, Map, Node, Value};

/// The column after which a text is folded at its next space.
const WIDTH: usize = 80;

/// Longest key, in characters, that goes on one line with its value.
const LONGEST_SIMPLE_KEY: usize = 122;

/// Prints a tree as OmegaConf does; interpolations and `???` as they were written.
#[must_use]
pub fn to_yaml(node: &Node) -> String {
    let mut out = Emitter { out: String::new(), column: 0, fresh: true };
    out.node(node, 0);
    if !out.out.ends_with('\n') {
        out.out.push('\n');
    }
    out.out
}

struct Emitter {
    out: String,
    column: usize,
    /// Nothing but indentation has been written on this line.
    fresh: bool,
}

impl Emitter {
    fn write(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += text.chars().count();
        self.fresh = false;
    }

    fn write_chars(&mut self, text: &[char]) {
        self.out.extend(text);
        self.column += text.len();
        self.fresh = false;
    }

    fn line_break(&mut self) {
        self.out.push('\n');
        self.column = 0;
        self.fresh = true;
    }

    /// Goes to the indentation, on a new line unless this one has nothing on it.
    fn indent(&mut self, indent: usize) {
        if !self.fresh || self.column > indent {
            self.line_break();
        }
        self.out.push_str(&" ".repeat(indent - self.column));
        self.column = indent;
    }

    /// A node where the line stands: at the start, or after `- `, `? ` or `: `.
    fn node(&mut self, node: &Node, indent: usize) {
        match &node.value {
            Value::Map(map) if !map.is_empty() => self.map(map, indent),
            Value::List(items) if !items.is_empty() => self.list(items, indent),
            Value::Str(text) if *node.slot() == Type::Path => self.path(text, indent),
            value => self.scalar(value, indent),
        }
    }

    /// A path as PyYAML writes one of Python's: the call that makes it, with its parts.
    fn path(&mut self, text: &str, indent: usize) {
        self.write("!!python/object/apply:pathlib.PosixPath");
        let root = text.starts_with('/').then_some("/");
        let parts = text.split('/').filter(|part| !part.is_empty() && *part != ".");
        let parts: Vec<_> = root
            .into_iter()
            .chain(parts)
            .map(|part| Node::in_memory(Value::Str(part.to_owned())))
            .collect();
        if parts.is_empty() {
            self.write(" []");
        } else {
            self.indent(indent);
            self.list(&parts, indent);
        }
    }

    fn map(&mut self, map: &Map, indent: usize) {
        for (index, (key, node)) in map.iter().enumerate() {
            if index > 0 || self.column > indent {
                self.indent(indent);
            }
            match Scalar::of_key(key).simple() {
                Some(simple) => {
                    self.text(&simple, false, indent);
                    self.write(":");
                    self.value(node, indent);
                }
                None => self.complex(key, node, indent),
            }
        }
    }

    /// `? key`, and `: value` on the next line.
    fn complex(&mut self, key: &Key, node: &Node, indent: usize) {
        self.write("? ");
        self.text(&Scalar::of_key(key), true, indent + 2);
        self.indent(indent);
        self.write(": ");
        self.node(node, indent + 2);
    }

    /// A value after `key:`.
    fn value(&mut self, node: &Node, indent: usize) {
        match &node.value {
            Value::Map(map) if !map.is_empty() => {
                self.indent(indent + 2);
                self.map(map, indent + 2);
            }
            Value::List(items) if !items.is_empty() => {
                self.indent(indent);
                self.list(items, indent);
            }
            Value::Str(text) if *node.slot() == Type::Path => {
                self.write(" ");
                self.path(text, indent);
            }
            value => {
                self.write(" ");
                self.scalar(value, indent + 2);
            }
        }
    }

    fn list(&mut self, items: &[Node], indent: usize) {
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.indent(indent);
            }
            self.write("- ");
            self.node(item, indent + 2);
        }
    }

    /// A scalar or an empty container; its further lines are indented by `indent`.
    fn scalar(&mut self, value: &Value, indent: usize) {
        match value {
            Value::List(_) => self.write("[]"),
            Value::Map(_) => self.write("{}"),
            Value::Bytes(bytes) => self.binary(bytes, indent),
            Value::Null => self.write("null"),
            Value::Bool(value) => self.write(if *value { "true" } else { "false" }),
            Value::Int(value) => self.write(&value.to_string()),
            Value::Float(value) => self.write(&yaml_float(*value)),
            Value::Missing => self.write("???"),
            Value::Str(text) | Value::Interpolation(text) => {
                self.text(&Scalar::of_text(text), true, indent);
            }
        }
    }

    /// Base64 in lines of 76, as a literal block.
    fn binary(&mut self, bytes: &[u8], indent: usize) {
        let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
        if encoded.is_empty() {
            self.write("!!binary ''");
            return;
        }
        self.write("!!binary |");
        let mut rest = encoded.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(76));
            self.indent(indent.max(2));
            self.write(line);
            rest = after;
        }
        self.line_break();
    }

    fn text(&mut self, scalar: &Scalar, fold: bool, indent: usize) {
        match scalar.style(!fold) {
            Style::Plain => self.folded(&scalar.chars, fold, indent, false),
            Style::Single => {
                self.write("'");
                self.folded(&scalar.chars, fold, indent, true);
                self.write("'");
            }
            Style::Double => self.double(&scalar.chars, fold, indent),
        }
    }

    /// Plain or single-quoted text: a lone space beyond the width becomes a line break, and a line
    /// break becomes two.
    fn folded(&mut self, chars: &[char], fold: bool, indent: usize, quoted: bool) {
        let mut at = 0;
        while at < chars.len() {
            let same = |wanted: char| chars[at..].iter().take_while(|c| **c == wanted).count();
            match chars[at] {
                ' ' => {
                    let run = same(' ');
                    let inside = at > 0 && at + run < chars.len();
                    if run == 1 && fold && inside && self.column > WIDTH {
                        self.line_break();
                        self.indent(indent);
                    } else {
                        self.write_chars(&chars[at..at + run]);
                    }
                    at += run;
                }
                '\n' => {
                    let run = same('\n');
                    (0..=run).for_each(|_| self.line_break());
                    self.indent(indent);
                    at += run;
                }
                '\'' if quoted => {
                    self.write("''");
                    at += 1;
                }
                _ => {
                    let stops = |c: &char| matches!(c, ' ' | '\n') || (quoted && *c == '\'');
                    let run = chars[at..].iter().position(stops).unwrap_or(chars.len() - at);
                    self.write_chars(&chars[at..at + run]);
                    at += run;
                }
            }
        }
    }

    /// Double-quoted text, folded with `\` at the end of a line.
    fn double(&mut self, chars: &[char], fold: bool, indent: usize) {
        self.write("\"");
        let mut start = 0;
        for end in 0..=chars.len() {
            let here = chars.get(end).copied();
            if here.is_none_or(|c| !is_plain_in_double(c)) {
                if start < end {
                    self.write_chars(&chars[start..end]);
                    start = end;
                }
                if let Some(c) = here {
                    self.write(&escape(c));
                    start = end + 1;
                }
            }
            let inside = end > 0 && end + 1 < chars.len();
            let may_break = here == Some(' ') || start >= end;
            // After an escape, `start` is one beyond `end`.
            if fold && inside && may_break && self.column + end > WIDTH + start {
                if start < end {
                    self.write_chars(&chars[start..end]);
                    start = end;
                }
                self.write("\\");
                self.indent(indent);
                if chars[start] == ' ' {
                    self.write("\\");
                }
            }
        }
        self.write("\"");
    }
}

/// A float as PyYAML writes it: `1.0e+16`, `.inf`, `.nan`.
fn yaml_float(value: f64) -> String {
    if value.is_nan() {
        return ".nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let text = scalar::python_float(value);
    if text.contains('.') { text } else { text.replacen('e', ".0e", 1) }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
}

/// A text, and whether it is text: `1` as a key may be the number or the text.
struct Scalar {
    chars: Vec<char>,
    quoted: bool,
    looks: Looks,
}

impl Scalar {
    fn of_text(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let looks = Looks::at(&chars);
        Self { quoted: reads_as_other(text), chars, looks }
    }

    fn of_key(key: &Key) -> Self {
        let text = match &key.kind {
            KeyKind::Str(text) => return Self::of_text(text),
            KeyKind::Int(value) => value.to_string(),
            KeyKind::Float(value) => yaml_float(*value),
            KeyKind::Bool(value) => value.to_string(),
            KeyKind::Null => "null".to_owned(),
        };
        Self { quoted: false, ..Self::of_text(&text) }
    }

    /// This text, if it can be a key on one line with its value.
    fn simple(self) -> Option<Self> {
        let fits = !self.chars.is_empty()
            && self.chars.len() <= LONGEST_SIMPLE_KEY
            && !self.looks.line_breaks;
        fits.then_some(self)
    }

    fn style(&self, simple_key: bool) -> Style {
        let one_line = !simple_key || !self.looks.line_breaks;
        if !self.quoted && self.looks.plain && one_line {
            Style::Plain
        } else if self.looks.single && one_line {
            Style::Single
        } else {
            Style::Double
        }
    }
}

/// Whether a plain scalar of this text would be something else than this text, for OmegaConf, for
/// PyYAML or for Python.
fn reads_as_other(text: &str) -> bool {
    let typed = match scalar::yaml_plain(text) {
        Ok(Plain::Value(Value::Str(_) | Value::Missing | Value::Interpolation(_))) => false,
        Ok(_) | Err(_) => true,
    };
    typed
        || matches!(text, "y" | "Y" | "n" | "N")
        || scalar::python_int(text).is_some()
        || scalar::python_float_from(text).is_some()
        || is_timestamp(text)
}

/// YAML 1.1 dates: `2024-01-31`, `2024-1-31 10:20:30.5 +01:00`.
fn is_timestamp(text: &str) -> bool {
    let mut rest = Digits(text);
    let Some(year) = rest.digits(4, 4).then_some(()).and_then(|()| rest.sign("-")) else {
        return false;
    };
    let date_only = {
        let mut rest = Digits(year);
        rest.digits(2, 2)
            && rest.sign("-").is_some_and(|after| {
                let mut rest = Digits(after);
                rest.digits(2, 2) && rest.0.is_empty()
            })
    };
    date_only || is_time_of_day(year).unwrap_or(false)
}

/// `M-D`, a separator, and a time with an optional zone.
fn is_time_of_day(month: &str) -> Option<bool> {
    let mut rest = Digits(month);
    rest.digits(1, 2).then_some(())?;
    rest = Digits(rest.sign("-")?);
    rest.digits(1, 2).then_some(())?;
    rest = match rest.0.strip_prefix(['T', 't']) {
        Some(after) => Digits(after),
        None => Digits(rest.0.strip_prefix([' ', '\t'])?.trim_start_matches([' ', '\t'])),
    };
    rest.digits(1, 2).then_some(())?;
    for _ in 0..2 {
        rest = Digits(rest.sign(":")?);
        rest.digits(2, 2).then_some(())?;
    }
    if let Some(fraction) = rest.0.strip_prefix('.') {
        rest = Digits(fraction.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    let zone = rest.0.trim_start_matches([' ', '\t']);
    if rest.0.is_empty() || zone == "Z" {
        return Some(true);
    }
    let mut rest = Digits(zone.strip_prefix(['+', '-'])?);
    rest.digits(1, 2).then_some(())?;
    if rest.0.is_empty() {
        return Some(true);
    }
    rest = Digits(rest.sign(":")?);
    Some(rest.digits(2, 2) && rest.0.is_empty())
}

struct Digits<'t>(&'t str);

impl<'t> Digits<'t> {
    /// Moves over as many digits as there are, if that is between `least` and `most`.
    fn digits(&mut self, least: usize, most: usize) -> bool {
        let count = self.0.bytes().take_while(u8::is_ascii_digit).count();
        self.0 = &self.0[count..];
        (least..=most).contains(&count)
    }

    fn sign(&self, sign: &str) -> Option<&'t str> {
        self.0.strip_prefix(sign)
    }
}

/// Which styles a text allows.
struct Looks {
    plain: bool,
    single: bool,
    line_breaks: bool,
}

impl Looks {
    fn at(chars: &[char]) -> Self {
        let (Some(first), Some(last)) = (chars.first(), chars.last()) else {
            return Self { plain: true, single: true, line_breaks: false };
        };
        let edge = |c: &char| matches!(c, ' ' | '\n');
        let line_breaks = chars.contains(&'\n');
        let pairs = || chars.iter().zip(&chars[1..]);
        // Neither style could keep a blank at the edge of a line.
        let blank_at_break = pairs().any(|pair| matches!(pair, (' ', '\n') | ('\n', ' ')));
        let special = chars.iter().any(|c| !is_printable(*c));
        let single = !blank_at_break && !special;
        let plain = single && !line_breaks && !edge(first) && !edge(last) && !has_indicators(chars);
        Self { plain, single, line_breaks }
    }
}

/// Signs that would end or change a plain scalar in block style.
fn has_indicators(chars: &[char]) -> bool {
    let text: String = chars.iter().take(3).collect();
    if text == "---" || text == "..." {
        return true;
    }
    let blank =
        |at: usize| chars.get(at).is_none_or(|c| matches!(c, ' ' | '\t' | '\n' | '\r' | '\0'));
    chars.iter().enumerate().any(|(at, c)| match (at, c) {
        (0, '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>') => true,
        (0, '\'' | '"' | '%' | '@' | '`') => true,
        (0, '?' | ':' | '-') => blank(1),
        (at, ':') => blank(at + 1),
        (at, '#') => blank(at - 1),
        _ => false,
    })
}

/// Characters that may stand in plain and single-quoted text. The separators of Unicode are line
/// breaks for PyYAML and are not for YAML 1.2, so they are escaped.
fn is_printable(c: char) -> bool {
    match c {
        '\n' | ' '..='\u{7e}' => true,
        '\u{2028}' | '\u{2029}' | '\u{feff}' => false,
        c => c >= '\u{a0}' && !matches!(c, '\u{fffe}' | '\u{ffff}' | '\u{10ffff}'),
    }
}

fn is_plain_in_double(c: char) -> bool {
    match c {
        '"' | '\\' | '\u{2028}' | '\u{2029}' | '\u{feff}' => false,
        ' '..='\u{7e}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' => true,
        _ => false,
    }
}

fn escape(c: char) -> String {
    let short = match c {
        '\0' => '0',
        '\u{07}' => 'a',
        '\u{08}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{0b}' => 'v',
        '\u{0c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' | '\\' => c,
        '\u{85}' => 'N',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        _ => {
            let code = u32::from(c);
            return match code {
                0..=0xff => format!("\\x{code:02X}"),
                0x100..=0xffff => format!("\\u{code:04X}"),
                _ => format!("\\U{code:08X}"),
            };
        }
    };
    format!("\\{short}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Document;

    #[test]
    fn a_document_prints_as_omegaconf_prints_it() {
        let text = "a: {x: 1, l: [1, [2, {k: v}], {}, []]}\nb: [{c: [x]}]\n";
        let node = Document::from_str(text, "c.yaml").unwrap();
        let expected =
            "a:\n  x: 1\n  l:\n  - 1\n  - - 2\n    - k: v\n  - {}\n  - []\nb:\n- c:\n  - x\n";
        assert_eq!(to_yaml(&node), expected);
    }

    #[test]
    fn double_quoted_text_folds_as_pyyaml_folds_it() {
        let text = "\n{: é日1 😀😀x\n1b\\éxword 😀blongerword \\😀\t1élongerword a:  ";
        let origin = crate::Origin::memory();
        let key = Key::new(KeyKind::Str("word 😀😀: ".into()), origin);
        let map = Map::from_iter([(key, Node::in_memory(Value::Str(text.into())))]);
        let expected = concat!(
            r#"'word 😀😀: ': "\n{: é日1 \U0001F600\U0001F600x\n1b\\éxword "#,
            r#"\U0001F600blongerword \\\U0001F600\"#,
            "\n",
            r#"  \t1élongerword a:  ""#,
            "\n"
        );
        assert_eq!(to_yaml(&Node::in_memory(Value::Map(map))), expected);
    }

    #[test]
    fn dates_are_quoted() {
        for date in
            ["2024-01-31", "2024-1-3T1:20:30", "2024-1-3 10:20:30.5 +01:00", "2024-1-3 1:20:30Z"]
        {
            assert!(is_timestamp(date), "{date}");
        }
        for other in ["2024-1-31", "2024-01-31x", "2024-01", "24-01-01", "2024-1-3 10:20"] {
            assert!(!is_timestamp(other), "{other}");
        }
    }
}
