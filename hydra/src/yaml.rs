//! YAML text -> tree, with OmegaConf's reading of scalars and the place of every key and value.
//!
//! Anchors and merge keys are expanded while reading, under a budget, so that neither an alias
//! bomb nor a document without end can exhaust the machine.
//!
//! The parser follows YAML 1.2 and PyYAML follows 1.1. The differences that are left are rare ones
//! of flow style: `[-]` and `[?x]` are refused here and PyYAML reads them.
//! What a scalar means (`yes`, `010`, `1:30`, dates) is as in OmegaConf.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, StrInput, Tag};

use crate::Dialect;
use crate::error::{Error, ErrorKind, Errors};
use crate::grammar;
use crate::limits::{Budget, MAX_BYTES, MAX_DEPTH};
use crate::scalar::{self, Plain};
use crate::source::{Origin, Position, Source, Span};
use crate::value::{Key, KeyKind, Map, Node, Value};

/// A YAML document as OmegaConf loads it. No composition, no interpolation happens here.
#[derive(Debug)]
pub struct Document;

impl Document {
    /// Reads a text; `name` is what messages call it.
    ///
    /// An empty text gives an empty mapping, and a lone word `w` gives `{w: null}`, as in OmegaConf.
    ///
    /// # Errors
    /// The first YAML error, or all malformed interpolations.
    pub fn from_str(text: &str, name: &str) -> Result<Node, Errors> {
        Self::with_dialect(text, name, Dialect::default())
    }

    /// Reads a text of a dialect.
    ///
    /// # Errors
    /// As [`Document::from_str`].
    pub fn with_dialect(text: &str, name: &str, dialect: Dialect) -> Result<Node, Errors> {
        let source = Source::new(name, text.strip_prefix('\u{feff}').unwrap_or(text));
        let node = root(read(&source)?, &source)?;
        check_interpolations(&node, dialect)?;
        Ok(node)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// As [`Document::from_str`], and when the file cannot be read or is not UTF-8.
    pub fn load_file(file: &Path) -> Result<Node, Errors> {
        Self::load_file_with_dialect(file, Dialect::default())
    }

    /// Reads a file of a dialect.
    ///
    /// # Errors
    /// As [`Document::load_file`].
    pub fn load_file_with_dialect(file: &Path, dialect: Dialect) -> Result<Node, Errors> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|error| {
            let source = Source::new(name.as_str(), "");
            Error::new(ErrorKind::Read(error.to_string()), Origin::file(source, first_character()))
        })?;
        Self::with_dialect(&text, &name, dialect)
    }
}

fn first_character() -> Span {
    let start = Position { line: 1, column: 1 };
    Span { start, end: start }
}

/// The root of a configuration is a mapping or a list.
fn root(node: Option<Node>, source: &Arc<Source>) -> Result<Node, Error> {
    let Some(node) = node else {
        return Ok(empty(source));
    };
    match node.value {
        Value::Null => Ok(empty(source)),
        Value::Map(_) | Value::List(_) => Ok(node),
        Value::Str(text) | Value::Interpolation(text) => {
            let null = Node::new(Value::Null, node.origin.clone());
            let map = Map::from_iter([(Key::new(KeyKind::Str(text), node.origin.clone()), null)]);
            Ok(Node::new(Value::Map(map), node.origin))
        }
        other => {
            let message = format!("Invalid loaded object type: {}", scalar::python_type(&other));
            let kind = ErrorKind::Uncaught { class: "OSError", message };
            Err(Error::new(kind, node.origin).with_hint("a configuration is a mapping or a list"))
        }
    }
}

fn empty(source: &Arc<Source>) -> Node {
    Node::new(Value::Map(Map::new()), Origin::file(Arc::clone(source), first_character()))
}

/// A malformed interpolation is found when it is read, not when it is used.
pub(crate) fn check_interpolations(node: &Node, dialect: Dialect) -> Result<(), Errors> {
    let mut errors = Vec::new();
    node.walk("", &mut |path, node| {
        if let Value::Interpolation(text) = &node.value
            && let Err(error) = grammar::parse_text(text, dialect)
        {
            errors.push(error.at(&node.origin).with_path(path));
        }
    });
    Errors::check(errors)
}

fn read(source: &Arc<Source>) -> Result<Option<Node>, Error> {
    if source.text().len() > MAX_BYTES {
        let message = format!("the text is longer than {MAX_BYTES} bytes");
        return Err(Error::new(
            ErrorKind::Limit(message),
            Origin::file(Arc::clone(source), first_character()),
        ));
    }
    Loader::new(source).run()
}

/// A container whose end has not been reached.
struct Open {
    anchor: usize,
    start: Position,
    /// Whether this is within `[...]` or `{...}`.
    flow: bool,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { pairs: Vec<(Part, Node)>, key: Option<Part> },
}

/// A finished node, and what its plain scalar meant where that is not a value.
#[derive(Clone)]
struct Part {
    node: Node,
    plain: Option<PlainSign>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PlainSign {
    Merge,
    Default,
}

struct Loader<'s> {
    source: &'s Arc<Source>,
    parser: Parser<'s, StrInput<'s>>,
    open: Vec<Open>,
    anchors: HashMap<usize, Part>,
    root: Option<Node>,
    documents: usize,
    budget: Budget,
    characters: Characters<'s>,
}

/// The characters of a text, asked for from left to right.
struct Characters<'s> {
    rest: std::str::Chars<'s>,
    passed: usize,
    last: Option<char>,
}

impl Characters<'_> {
    /// The character of a number that is not smaller than the last one asked for.
    fn at(&mut self, number: usize) -> Option<char> {
        while self.passed <= number {
            self.last = self.rest.next();
            self.passed += 1;
        }
        self.last
    }
}

impl<'s> Loader<'s> {
    fn new(source: &'s Arc<Source>) -> Self {
        Self {
            source,
            parser: Parser::new_from_str(source.text()),
            open: Vec::new(),
            anchors: HashMap::new(),
            root: None,
            documents: 0,
            budget: Budget::default(),
            characters: Characters { rest: source.text().chars(), passed: 0, last: None },
        }
    }

    fn run(mut self) -> Result<Option<Node>, Error> {
        while let Some(event) = self.parser.next_event() {
            let (event, span) = event.map_err(|error| self.syntax(&error))?;
            let first = match event {
                Event::SequenceStart(..) | Event::MappingStart(..) => {
                    self.characters.at(span.start.index())
                }
                _ => None,
            };
            self.event(event, convert(span), first)?;
        }
        Ok(self.root)
    }

    fn origin(&self, span: Span) -> Origin {
        Origin::file(Arc::clone(self.source), span)
    }

    fn syntax(&self, error: &ScanError) -> Error {
        let at = Position { line: error.marker().line(), column: error.marker().col() + 1 };
        let origin = self.origin(Span { start: at, end: at });
        // The scanner has a limit of its own for `[` and `{`, which it reads ahead.
        if error.info() == "recursion limit exceeded" {
            return Error::new(ErrorKind::Limit("nested too deep".into()), origin);
        }
        let error = Error::new(ErrorKind::YamlSyntax(error.info().to_owned()), origin);
        let line = self.source.line(at.line).unwrap_or_default();
        if line.contains('\t') && line.trim_start_matches(' ').starts_with('\t') {
            error.with_hint("indent with spaces, not with tabs")
        } else if line.contains("${") {
            error.with_hint("an interpolation inside [...] or {...} needs quotes: \"${...}\"")
        } else {
            error
        }
    }

    fn event(&mut self, event: Event<'s>, span: Span, first: Option<char>) -> Result<(), Error> {
        match event {
            Event::DocumentStart(_) => self.document(span),
            Event::Scalar(text, style, anchor, tag) => {
                let part = self.scalar(&text, style, tag.as_deref(), span)?;
                self.finish(part, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq", span)?;
                self.start(anchor, span, first == Some('['), Content::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "map", span)?;
                let content = Content::Map { pairs: Vec::new(), key: None };
                self.start(anchor, span, first == Some('{'), content)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn document(&mut self, span: Span) -> Result<(), Error> {
        self.documents += 1;
        if self.documents > 1 {
            let message = "a second document begins here, and a configuration is a single one";
            return Err(Error::new(ErrorKind::YamlSyntax(message.into()), self.origin(span)));
        }
        Ok(())
    }

    fn check_tag(&self, tag: Option<&Tag>, wanted: &str, span: Span) -> Result<(), Error> {
        match tag {
            Some(tag) if is_bare(tag) || tag.is_yaml_core_schema() && tag.suffix == wanted => {
                Ok(())
            }
            Some(tag) => Err(self.unknown_tag(tag, span)),
            None => Ok(()),
        }
    }

    fn unknown_tag(&self, tag: &Tag, span: Span) -> Error {
        let shown =
            if tag.is_yaml_core_schema() { format!("!!{}", tag.suffix) } else { tag.to_string() };
        let message = format!("the tag `{shown}` has no meaning in a configuration");
        Error::new(ErrorKind::YamlValue(message), self.origin(span))
    }

    fn in_flow(&self) -> bool {
        self.open.last().is_some_and(|open| open.flow)
    }

    /// A list without indentation begins where its first item begins: a bracket there is the
    /// item's own.
    fn leave_bracket_to(&mut self, start: Position) {
        let [.., outer, inner] = &mut self.open[..] else {
            if let [only] = &mut self.open[..]
                && only.start == start
            {
                only.flow = false;
            }
            return;
        };
        if inner.start == start {
            inner.flow = outer.flow;
        }
    }

    /// PyYAML ends an unquoted text within `[...]` or `{...}` at a `?`, and never begins one with a
    /// colon; what is left then makes no sense.
    fn check_plain_in_flow(&self, text: &str, origin: &Origin) -> Result<(), Error> {
        if !self.in_flow() || !(text.contains('?') || text.starts_with(':')) {
            return Ok(());
        }
        let sign = if text.contains('?') { '?' } else { ':' };
        let message = format!("within brackets, `{sign}` cannot stand in a text without quotes");
        Err(Error::new(ErrorKind::YamlSyntax(message), origin.clone())
            .with_hint(format!("quote it: '{text}'")))
    }

    fn start(
        &mut self,
        anchor: usize,
        span: Span,
        bracket: bool,
        content: Content,
    ) -> Result<(), Error> {
        if self.open.len() >= MAX_DEPTH {
            return Err(self.too_deep(span));
        }
        self.budget.spend(0).map_err(|limit| limit.at(&self.origin(span)))?;
        self.leave_bracket_to(span.start);
        let flow = bracket || self.in_flow();
        self.open.push(Open { anchor, start: span.start, flow, content });
        Ok(())
    }

    fn too_deep(&self, span: Span) -> Error {
        let message = format!("nested deeper than {MAX_DEPTH} levels");
        Error::new(ErrorKind::Limit(message), self.origin(span))
    }

    fn end(&mut self, span: Span) -> Result<(), Error> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let origin = self.origin(Span { start: open.start, end: span.end });
        let value = match open.content {
            Content::List(items) => Value::List(items),
            Content::Map { pairs, .. } => Value::Map(self.mapping(pairs)?),
        };
        self.finish(Part { node: Node::new(value, origin), plain: None }, open.anchor)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Error> {
        let origin = self.origin(span);
        let Some(part) = self.anchors.get(&anchor).cloned() else {
            let message = "an alias stands inside the value that it refers to";
            return Err(Error::new(ErrorKind::YamlSyntax(message.into()), origin));
        };
        let mut depth = 0;
        let spent = self.budget.spend_tree(&part.node, &mut depth);
        spent.map_err(|limit| limit.at(&origin))?;
        if self.open.len() + depth > MAX_DEPTH {
            return Err(self.too_deep(span));
        }
        self.place(part)
    }

    fn finish(&mut self, part: Part, anchor: usize) -> Result<(), Error> {
        if anchor > 0 {
            self.anchors.insert(anchor, part.clone());
        }
        self.place(part)
    }

    /// Puts a finished node where it belongs: an item, a key, a value or the root.
    fn place(&mut self, part: Part) -> Result<(), Error> {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(plain_value(part)?);
            return Ok(());
        };
        match &mut open.content {
            Content::List(items) => items.push(plain_value(part)?),
            Content::Map { pairs, key } => match key.take() {
                None => *key = Some(part),
                Some(key) if key.plain == Some(PlainSign::Merge) => pairs.push((key, part.node)),
                Some(key) => pairs.push((key, plain_value(part)?)),
            },
        }
        Ok(())
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<Part, Error> {
        let origin = self.origin(span);
        self.budget.spend(text.len()).map_err(|limit| limit.at(&origin))?;
        if style == ScalarStyle::Plain {
            self.check_plain_in_flow(text, &origin)?;
        }
        let wrong = |message: String| Error::new(ErrorKind::YamlValue(message), origin.clone());
        let value = match tag {
            Some(tag) if !is_bare(tag) && tag.is_yaml_core_schema() => {
                match tagged(&tag.suffix, text) {
                    Some(value) => value.map_err(wrong)?,
                    None => return Err(self.unknown_tag(tag, span)),
                }
            }
            Some(tag) if !is_bare(tag) => return Err(self.unknown_tag(tag, span)),
            None if style != ScalarStyle::Plain => Value::from_text(text),
            _ => match scalar::yaml_plain(text).map_err(wrong)? {
                Plain::Value(value) => value,
                Plain::Merge => return Ok(sign(PlainSign::Merge, text, origin)),
                Plain::Default => return Ok(sign(PlainSign::Default, text, origin)),
            },
        };
        Ok(Part { node: Node::new(value, origin), plain: None })
    }

    /// Merge keys come first, so that the mapping's own keys win; own keys must differ.
    fn mapping(&mut self, pairs: Vec<(Part, Node)>) -> Result<Map, Error> {
        let mut map = Map::new();
        let (merges, own): (Vec<_>, Vec<_>) =
            pairs.into_iter().partition(|(key, _)| key.plain == Some(PlainSign::Merge));
        for (key, node) in &merges {
            self.merge(&mut map, node, &key.node.origin)?;
        }
        let mut seen = HashSet::new();
        for (part, node) in own {
            let key = to_key(part)?;
            // As in OmegaConf, numbers and truth values may come twice: the last value counts.
            if let Some(text) = key.as_str()
                && !seen.insert(text.to_owned())
            {
                let kind = ErrorKind::DuplicateKey(key.text());
                return Err(Error::new(kind, key.origin));
            }
            map.insert(key, node);
        }
        Ok(map)
    }

    fn merge(&mut self, map: &mut Map, node: &Node, key: &Origin) -> Result<(), Error> {
        let wrong = || {
            let message = "a merge key `<<` needs a mapping or a list of mappings";
            Error::new(ErrorKind::YamlValue(message.into()), key.clone())
        };
        match &node.value {
            Value::Map(from) => self.merge_one(map, from, key),
            // The first of the list wins, so it comes last.
            Value::List(items) => items
                .iter()
                .rev()
                .try_for_each(|item| self.merge_one(map, item.as_map().ok_or_else(wrong)?, key)),
            _ => Err(wrong()),
        }
    }

    fn merge_one(&mut self, map: &mut Map, from: &Map, key: &Origin) -> Result<(), Error> {
        for (name, node) in from.iter() {
            self.budget.spend_tree(node, &mut 0).map_err(|limit| limit.at(key))?;
            map.insert(name.clone(), node.clone());
        }
        Ok(())
    }
}

fn sign(plain: PlainSign, text: &str, origin: Origin) -> Part {
    Part { node: Node::new(Value::Str(text.to_owned()), origin), plain: Some(plain) }
}

/// `!` alone: to PyYAML, a request to read the scalar as a plain one, even where it is quoted.
fn is_bare(tag: &Tag) -> bool {
    tag.handle.is_empty() && tag.suffix == "!" || tag.handle == "!" && tag.suffix.is_empty()
}

fn plain_value(part: Part) -> Result<Node, Error> {
    match part.plain {
        None => Ok(part.node),
        Some(sign) => {
            let text = if sign == PlainSign::Merge { "<<" } else { "=" };
            let message = format!("`{text}` is not a value");
            let error = Error::new(ErrorKind::YamlValue(message), part.node.origin);
            Err(error.with_hint(format!("quote it to mean the text: '{text}'")))
        }
    }
}

fn to_key(part: Part) -> Result<Key, Error> {
    let kind = match part.node.value {
        Value::Str(text) | Value::Interpolation(text) => KeyKind::Str(text),
        Value::Missing => KeyKind::Str("???".to_owned()),
        Value::Int(value) => KeyKind::Int(value),
        Value::Float(value) => KeyKind::Float(value),
        Value::Bool(value) => KeyKind::Bool(value),
        other => {
            let message = format!("a key cannot be {}", other.describe_kind());
            return Err(Error::new(ErrorKind::YamlValue(message), part.node.origin));
        }
    };
    Ok(Key::new(kind, part.node.origin))
}

/// A scalar with one of YAML's own tags; `None` for a tag that scalars do not have.
fn tagged(tag: &str, text: &str) -> Option<Result<Value, String>> {
    let plain = || match scalar::yaml_plain(text) {
        Ok(Plain::Value(value)) => Ok(value),
        Ok(Plain::Merge | Plain::Default) => Ok(Value::Null),
        Err(message) => Err(message),
    };
    let misfit = || format!("`{text}` is not what its tag `!!{tag}` says");
    Some(match tag {
        "str" => Ok(Value::from_text(text)),
        "null" => Ok(Value::Null),
        "int" => plain().and_then(|value| match value {
            Value::Int(_) => Ok(value),
            _ => Err(misfit()),
        }),
        "float" => plain().and_then(|value| match value {
            Value::Float(_) => Ok(value),
            Value::Int(_) => scalar::python_float_from(text).map(Value::Float).ok_or_else(misfit),
            _ => Err(misfit()),
        }),
        "bool" => scalar::yaml_bool(text).map(Value::Bool).ok_or_else(misfit),
        "binary" => decode_base64(text).map(Value::Bytes).ok_or_else(misfit),
        _ => return None,
    })
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let packed: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    base64::engine::general_purpose::STANDARD.decode(packed).ok()
}

fn convert(span: saphyr_parser::Span) -> Span {
    let at = |mark: saphyr_parser::Marker| Position { line: mark.line(), column: mark.col() + 1 };
    Span { start: at(span.start), end: at(span.end) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Node {
        Document::from_str(text, "c.yaml").unwrap()
    }

    fn fail(text: &str) -> Error {
        Document::from_str(text, "c.yaml").unwrap_err().first().clone()
    }

    #[test]
    fn every_key_and_value_keeps_its_place() {
        let node = load("a: 1\nb:\n  c: [x, {d: 2}]\n");
        assert_eq!(node.span_of("a").unwrap().to_string(), "c.yaml:1:4");
        assert_eq!(node.key_span_of("b.c").unwrap().to_string(), "c.yaml:3:3");
        assert_eq!(node.span_of("b.c[1].d").unwrap().to_string(), "c.yaml:3:14");
        assert!(node.span_of("b.zz").is_none());
    }

    #[test]
    fn merge_keys_give_way_to_own_keys_and_the_first_of_a_list_wins() {
        let node = load("x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz:\n  <<: [*x, *y]\n  c: 3\n");
        let z = node.at("z").unwrap();
        assert_eq!(z.at("b").unwrap().value, Value::Int(1));
        assert_eq!(z.at("c").unwrap().value, Value::Int(3));
        assert_eq!(z.as_map().unwrap().text_keys().collect::<Vec<_>>(), ["b", "c", "a"]);
    }

    #[test]
    fn an_alias_bomb_ends_with_an_error() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..10 {
            let below = format!("*a{},", level - 1).repeat(10);
            text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
        }
        assert!(matches!(fail(&text).kind(), ErrorKind::Limit(_)));
    }

    #[test]
    fn aliases_of_one_long_text_end_with_an_error() {
        let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a, ".repeat(100));
        assert!(matches!(fail(&text).kind(), ErrorKind::Limit(_)));
    }

    #[test]
    fn nesting_without_end_ends_with_an_error() {
        for piece in ["[", "{a: ", "- ", "? "] {
            let error = fail(&piece.repeat(1_000));
            assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{piece}: {error:?}");
        }
        let mut text = String::from("a0: &a0 [x]\n");
        for level in 1..300 {
            text.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
        }
        assert!(matches!(fail(&text).kind(), ErrorKind::Limit(_)));
    }

    #[test]
    fn a_bare_tag_reads_a_scalar_as_a_plain_one() {
        assert_eq!(load("k: !\n").at("k").unwrap().value, Value::Null);
        assert_eq!(load("k: ! '1'\n").at("k").unwrap().value, Value::Int(1));
        assert!(matches!(fail("k: !mine 1\n").kind(), ErrorKind::YamlValue(_)));
    }

    #[test]
    fn a_value_within_itself_is_an_error() {
        assert!(matches!(fail("a: &a [*a]\n").kind(), ErrorKind::YamlSyntax(_)));
    }

    #[test]
    fn duplicate_and_null_keys_are_errors_at_their_place() {
        let error = fail("a: 1\nb: 2\na: 3\n");
        assert_eq!(error.kind(), &ErrorKind::DuplicateKey("a".into()));
        assert_eq!(error.origin().to_string(), "c.yaml:3:1");
        assert!(matches!(fail("~: 1\n").kind(), ErrorKind::YamlValue(_)));
        assert!(matches!(fail("[a]: 1\n").kind(), ErrorKind::YamlValue(_)));
    }

    #[test]
    fn several_documents_are_an_error_and_an_empty_one_is_an_empty_mapping() {
        assert!(matches!(fail("a: 1\n---\nb: 2\n").kind(), ErrorKind::YamlSyntax(_)));
        assert_eq!(load("# nothing\n"), Node::in_memory(Value::Map(Map::new())));
        assert_eq!(load("\u{feff}a: 1\n").at("a").unwrap().value, Value::Int(1));
    }

    #[test]
    fn all_malformed_interpolations_are_told_at_once() {
        let errors = Document::from_str("a: ${\nb: ${}\nc: ${ok}\n", "c.yaml").unwrap_err();
        let paths: Vec<_> = errors.iter().map(|error| error.path().unwrap()).collect();
        assert_eq!(paths, ["a", "b"]);
    }

    #[test]
    fn a_question_mark_within_brackets_needs_quotes() {
        for text in ["k: [???]", "k: {a: ???}", "k: [http://x/?a=1]", "k: [:x]", "- [a, [b?]]"] {
            let errors = Document::from_str(text, "c.yaml").unwrap_err();
            assert!(matches!(errors.first().kind(), ErrorKind::YamlSyntax(_)), "{text}");
        }
        for text in [
            "k: ???",
            "k: ['???']",
            "é: [a]\nk: b?",
            "k: [a:b]\nb: :x",
            "- [a]\n- ?b",
            "k:\n- []\n- b?",
        ] {
            assert!(Document::from_str(text, "c.yaml").is_ok(), "{text}");
        }
    }

    #[test]
    fn a_tab_and_an_unquoted_interpolation_get_a_hint() {
        assert!(fail("a:\n\tb: 1\n").hint().unwrap().contains("spaces"));
        assert!(fail("a: [${x}, 1]\n").hint().unwrap().contains("quotes"));
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error_with_its_name() {
        let error = Document::load_file(Path::new("no/such.yaml")).unwrap_err();
        assert!(error.to_string().starts_with("no/such.yaml:1:1: cannot read the file"));
    }
}
