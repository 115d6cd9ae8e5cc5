//! OmegaConf's own resolvers, and Hydra's.

use crate::error::Error;
use crate::grammar;
use crate::interpolation::{Found, Miss, Place, Run};
use crate::path;
use crate::scalar;
use crate::value::{Map, Node, Value};
use crate::warning::{Warning, WarningKind};
use crate::yaml::Document;

/// The names of the built-in resolvers.
const BUILT_IN: [&str; 10] = [
    "hydra",
    "now",
    "oc.create",
    "oc.decode",
    "oc.deprecated",
    "oc.dict.keys",
    "oc.dict.values",
    "oc.env",
    "oc.select",
    "python_version",
];

/// What `python_version` answers: no Python runs here, this is the one whose behaviour is followed.
const PYTHON: [(&str, &str); 3] = [("major", "3"), ("minor", "3.11"), ("micro", "3.11.7")];

/// What `oc.deprecated` says unless it is told what to say.
const DEPRECATED: &str = "'$OLD_KEY' is deprecated. Change your code and config to use '$NEW_KEY'";

impl<'r> Run<'r> {
    /// Calls `${name:arguments}`.
    pub(crate) fn call(
        &mut self,
        name: &str,
        arguments: Vec<Found<'r>>,
        place: &Place<'r>,
    ) -> Result<Found<'r>, Error> {
        if let Some(custom) = self.with.custom.get(name) {
            let origin = place.node.origin.clone();
            let arguments: Vec<_> = arguments
                .into_iter()
                .map(|argument| Node::new(self.owned(argument), origin.clone()))
                .collect();
            let value = custom(&arguments);
            return value.map(Found::Owned).map_err(|why| place.failed(format!("`{name}`: {why}")));
        }
        let (least, most) = match name {
            "oc.env" | "oc.select" | "oc.deprecated" => (1, 2),
            "oc.decode" | "oc.create" | "oc.dict.keys" | "oc.dict.values" | "hydra" | "now" => {
                (1, 1)
            }
            "python_version" => return Ok(python_version(arguments.first())),
            _ => {
                let known = self.with.custom.keys().map(String::as_str).chain(BUILT_IN);
                return Err(place.unknown_resolver(name, known));
            }
        };
        let given = arguments.len();
        if !(least..=most).contains(&given) {
            let wanted = if least == most { "1 argument" } else { "1 or 2 arguments" };
            return Err(place.failed(format!("`{name}` takes {wanted}, not {given}")));
        }
        let mut arguments = arguments.into_iter();
        let (Some(first), second) = (arguments.next(), arguments.next()) else {
            return Err(place.failed(format!("`{name}` takes an argument")));
        };
        match name {
            "oc.env" => self.oc_env(&first, second, place),
            "oc.select" => self.oc_select(&first, second, place),
            "oc.decode" => self.oc_decode(&first, place),
            "oc.create" => self.oc_create(first, place),
            "oc.deprecated" => self.oc_deprecated(&first, second.as_ref(), place),
            "hydra" => self.hydra(&first, place),
            "now" => {
                let pattern = text_of("now", &first, place)?;
                Ok(Found::Owned(Value::Str(self.with.moment.format(pattern))))
            }
            _ => self.oc_dict(name, &first, place),
        }
    }

    /// The variable as text; the default as text too, unless it is null.
    fn oc_env(
        &mut self,
        name: &Found<'r>,
        default: Option<Found<'r>>,
        place: &Place<'r>,
    ) -> Result<Found<'r>, Error> {
        let name = text_of("oc.env", name, place)?;
        match (self.with.environment.get(name), default) {
            (Some(value), _) => Ok(Found::Owned(Value::Str(value))),
            (None, Some(default)) => Ok(Found::Owned(match default.value() {
                Value::Null => Value::Null,
                value => Value::Str(scalar::python_str(value)),
            })),
            (None, None) => {
                let message = format!("\"Environment variable '{name}' not found\"");
                let hint = format!("set it, or give a default: ${{oc.env:{name},DEFAULT}}");
                Err(place.raised("KeyError", &message).with_hint(hint))
            }
        }
    }

    /// Null stays null where it stands; the default is for what is absent or not set.
    fn oc_select(
        &mut self,
        key: &Found<'r>,
        default: Option<Found<'r>>,
        place: &Place<'r>,
    ) -> Result<Found<'r>, Error> {
        let key = text_of("oc.select", key, place)?.to_owned();
        let absent = Found::Owned(Value::Null);
        match (self.select_text(&key, place)?, default) {
            (Ok(found), default) => match found.value() {
                Value::Missing => Ok(default.unwrap_or(absent)),
                _ => Ok(found),
            },
            (Err(Miss::Failed(error)), _) => Err(error),
            (Err(_), Some(default)) => Ok(default),
            (Err(Miss::NoKey { .. }), None) => Ok(absent),
            (Err(miss), None) => Err(miss.into_error(&key, place)),
        }
    }

    /// Follows a path given as text, which may begin with dots.
    fn select_text(
        &mut self,
        key: &str,
        place: &Place<'r>,
    ) -> Result<Result<Found<'r>, Miss>, Error> {
        let keys = key.trim_start_matches('.');
        let dots = key.len() - keys.len();
        let Some(keys) = path::split(keys) else {
            return Err(place.failed("the argument is not a dotted path"));
        };
        let keys: Vec<_> = keys.into_iter().map(str::to_owned).collect();
        Ok(self.select_from(dots, &keys, place))
    }

    /// Reads a text as an argument of a resolver is read.
    fn oc_decode(&mut self, text: &Found<'r>, place: &Place<'r>) -> Result<Found<'r>, Error> {
        match text.value() {
            Value::Null => Ok(Found::Owned(Value::Null)),
            Value::Str(text) => {
                // The text may be a secret of the environment, so the message does not repeat it.
                let element = grammar::parse_element(text, self.with.dialect)
                    .map_err(|_| place.failed("`oc.decode` cannot read the text as a value"))?;
                self.element(&element, place)
            }
            other => Err(place.raised(
                "TypeError",
                &format!(
                    "`oc.decode` can only take strings or None as input, but `{}` is of type {}",
                    text.shown_if_safe(),
                    Node::from(other.clone()).python_type()
                ),
            )),
        }
    }

    /// A container of its own, from a container or from YAML text.
    fn oc_create(&mut self, from: Found<'r>, place: &Place<'r>) -> Result<Found<'r>, Error> {
        match self.owned(from) {
            value @ (Value::Map(_) | Value::List(_) | Value::Null) => Ok(Found::Owned(value)),
            Value::Str(text) => {
                let loaded = Document::with_dialect(&text, "oc.create", self.with.dialect)
                    .map_err(|_| place.failed("`oc.create` cannot read the text as YAML"))?;
                if has_interpolation(&loaded) {
                    return self.made(&loaded, place).map(Found::Owned);
                }
                Ok(Found::Owned(loaded.value))
            }
            other => Err(place.failed(format!(
                "`oc.create` needs a list, a mapping or text, not {}",
                other.describe_kind()
            ))),
        }
    }

    /// The value under another key, and a warning that says so.
    fn oc_deprecated(
        &mut self,
        key: &Found<'r>,
        message: Option<&Found<'r>>,
        place: &Place<'r>,
    ) -> Result<Found<'r>, Error> {
        let key = text_of("oc.deprecated", key, place)?.to_owned();
        let message = match message {
            Some(message) => text_of("oc.deprecated", message, place)?.to_owned(),
            None => DEPRECATED.to_owned(),
        };
        let found = match self.select_text(&key, place)? {
            Ok(found) => found,
            Err(Miss::Failed(error)) => return Err(error),
            Err(_) => {
                let old = place.path();
                return Err(place.failed(format!(
                    "In oc.deprecated resolver at '{old}': Key not found: '{key}'"
                )));
            }
        };
        let new = match &found {
            Found::Place(there) => there.path(),
            Found::Owned(_) => key.trim_start_matches('.'),
        };
        let warning = Warning {
            kind: WarningKind::Deprecated,
            message: substitute(&message, &[("OLD_KEY", place.path()), ("NEW_KEY", new)]),
            origin: place.node.origin.clone(),
        };
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
        Ok(found)
    }

    /// A value of Hydra's own configuration; null where there is none.
    fn hydra(&mut self, key: &Found<'r>, place: &Place<'r>) -> Result<Found<'r>, Error> {
        let key = text_of("hydra", key, place)?;
        let Some(config) = self.with.hydra else {
            return Err(place.failed("HydraConfig was not set"));
        };
        let Some(keys) = path::split(key) else {
            return Err(place.failed("the argument of `hydra` is not a dotted path"));
        };
        let keys: Vec<_> = std::iter::once("hydra").chain(keys).map(str::to_owned).collect();
        Ok(Found::Owned(match self.resolve_in(config, &keys)? {
            None | Some(Value::Missing) => Value::Null,
            Some(value) => value,
        }))
    }

    fn oc_dict(
        &mut self,
        name: &str,
        key: &Found<'r>,
        place: &Place<'r>,
    ) -> Result<Found<'r>, Error> {
        let key = text_of(name, key, place)?.to_owned();
        let found = self.select_text(&key, place)?;
        let value = match found {
            Ok(found) => self.owned(found),
            Err(miss) => return Err(miss.into_error(&key, place)),
        };
        let Value::Map(map) = value else {
            let kind = Node::from(value).python_type();
            let message = format!("`{name}` cannot be applied to objects of type: {kind}");
            return Err(place.raised("TypeError", &message));
        };
        Ok(Found::Owned(Value::List(if name == "oc.dict.keys" {
            keys_of(&map)
        } else {
            map.iter().map(|(_, node)| node.clone()).collect()
        })))
    }
}

/// The version of Python, as far as the level says; null for an unknown level.
fn python_version<'r>(level: Option<&Found<'r>>) -> Found<'r> {
    let level = match level.map(Found::value) {
        None => "minor",
        Some(Value::Str(level)) => level,
        Some(_) => "",
    };
    let version = PYTHON.iter().find(|(name, _)| *name == level);
    Found::Owned(version.map_or(Value::Null, |(_, version)| Value::Str((*version).to_owned())))
}

/// `$NAME` and `${NAME}` by their values, `$$` by a dollar; what is unknown stays.
fn substitute(text: &str, names: &[(&str, &str)]) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$$") {
            out.push('$');
            rest = after;
            continue;
        }
        let end = |from: &str| {
            from.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(from.len())
        };
        let plain = (&rest[1..=end(&rest[1..])], 1 + end(&rest[1..]));
        let (name, length) = match rest[1..].strip_prefix('{') {
            Some(inside) if inside[end(inside)..].starts_with('}') => {
                (&inside[..end(inside)], end(inside) + 3)
            }
            _ => plain,
        };
        match names.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => out.push_str(value),
            None => out.push_str(&rest[..length]),
        }
        rest = &rest[length..];
    }
    out.push_str(rest);
    out
}

fn keys_of(map: &Map) -> Vec<Node> {
    use crate::value::KeyKind;
    map.iter()
        .map(|(key, _)| {
            let value = match &key.kind {
                KeyKind::Str(text) => Value::Str(text.clone()),
                KeyKind::Int(value) => Value::Int(*value),
                KeyKind::Float(value) => Value::Float(*value),
                KeyKind::Bool(value) => Value::Bool(*value),
                KeyKind::Null => Value::Null,
            };
            Node::new(value, key.origin.clone())
        })
        .collect()
}

fn has_interpolation(node: &Node) -> bool {
    let mut found = false;
    node.walk("", &mut |_, node| found |= matches!(node.value, Value::Interpolation(_)));
    found
}

fn text_of<'f>(
    resolver: &str,
    argument: &'f Found<'_>,
    place: &Place<'_>,
) -> Result<&'f str, Error> {
    match argument.value() {
        Value::Str(text) => Ok(text),
        other => {
            let kind = Node::from(other.clone()).python_type();
            let shown = argument.shown_if_safe();
            let message = format!(
                "`{resolver}` requires a string as input, but obtained `{shown}` of type: {kind}"
            );
            Err(place.raised("TypeError", &message))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::{Document, ErrorKind, Interpolator, Node, Value, resolve};

    fn resolved(text: &str) -> Result<Node, crate::Errors> {
        let env = BTreeMap::from([("SECRET".to_owned(), "s3(ret".to_owned())]);
        resolve(&Document::from_str(text, "c.yaml").unwrap(), &env)
    }

    #[test]
    fn a_failing_decode_does_not_show_what_it_read() {
        let errors = resolved("a: ${oc.decode:${oc.env:SECRET}}\n").unwrap_err();
        assert!(!errors.to_string().contains("s3"), "{errors}");
    }

    #[test]
    fn a_missing_variable_tells_how_to_give_a_default() {
        let errors = resolved("a: ${oc.env:NOPE}\n").unwrap_err();
        assert!(errors.first().hint().unwrap().contains("${oc.env:NOPE,DEFAULT}"));
    }

    #[test]
    fn an_unknown_resolver_gets_a_near_one() {
        let errors = resolved("a: ${oc.evn:b}\n").unwrap_err();
        assert_eq!(errors.first().kind(), &ErrorKind::UnknownResolver("oc.evn".into()));
        assert_eq!(errors.first().hint(), Some("did you mean `oc.env`?"));
    }

    #[test]
    fn interpolations_in_created_text_start_where_the_text_is_used() {
        let env = BTreeMap::from([
            ("TEXT".to_owned(), "{a: '${b}', c: '${.a}', d: '${..b}'}".to_owned()),
            ("SELF".to_owned(), "{a: '${x}'}".to_owned()),
            ("NONE".to_owned(), "{a: '${nope}'}".to_owned()),
        ]);
        let text = "b: 1\nin: {b: 2, x: '${oc.create:${oc.env:TEXT}}'}\n";
        let node = resolve(&Document::from_str(text, "c.yaml").unwrap(), &env).unwrap();
        let value = |path: &str| node.at(path).unwrap().value.clone();
        assert_eq!((value("in.x.a"), value("in.x.c")), (Value::Int(1), Value::Int(1)));
        assert_eq!(value("in.x.d"), Value::Int(2));
        for name in ["SELF", "NONE"] {
            let text = format!("x: ${{oc.create:${{oc.env:{name}}}}}\n");
            assert!(resolve(&Document::from_str(&text, "c.yaml").unwrap(), &env).is_err());
        }
    }

    #[test]
    fn a_deprecated_key_gives_the_new_value_and_says_so_once() {
        let text = "new: 5\na: {old: '${oc.deprecated:new}', x: '${.old}'}\n\
                    b: \"${oc.deprecated:new,'$OLD_KEY -> $NEW_KEY $$ $x'}\"\n";
        let root = Document::from_str(text, "c.yaml").unwrap();
        let (node, warnings) = Interpolator::default().resolve_with_warnings(&root).unwrap();
        assert_eq!(node.at("a.x").unwrap().value, Value::Int(5));
        let texts: Vec<_> = warnings.iter().map(|warning| warning.message.as_str()).collect();
        assert_eq!(
            texts,
            ["'a.old' is deprecated. Change your code and config to use 'new'", "b -> new $ $x"]
        );
    }

    #[test]
    fn hydra_looks_into_the_whole_configuration() {
        let whole = "hydra: {job: {name: '${n}'}, num: '???'}\nn: app\n";
        let whole = Document::from_str(whole, "c.yaml").unwrap();
        let text = "a: ${hydra:job.name}\nb: ${hydra:num}\nc: ${hydra:nope}\n";
        let job = Document::from_str(text, "c.yaml").unwrap();
        let node = Interpolator::default().with_hydra(&whole).resolve(&job).unwrap();
        assert_eq!(node.at("a").unwrap().as_str(), Some("app"));
        assert_eq!(node.at("b").unwrap().value, Value::Null);
        assert_eq!(node.at("c").unwrap().value, Value::Null);
        assert!(Interpolator::default().resolve(&job).is_err());
    }

    #[test]
    fn hydra_values_that_lead_to_one_another_end_with_an_error() {
        let mut text = String::from("hydra:\n  a0: ${hydra:a1}${hydra:a1}\n");
        for level in 1..60 {
            text.push_str(&format!("  a{level}: ${{hydra:a{0}}}${{hydra:a{0}}}\n", level + 1));
        }
        text.push_str("  a60: ${hydra:a60}\n");
        let root = Document::from_str(&text, "c.yaml").unwrap();
        assert!(Interpolator::default().with_hydra(&root).resolve(&root).is_err());
    }

    #[test]
    fn create_reads_yaml_text() {
        let node = resolved("a: \"${oc.create:'[1, on]'}\"\n").unwrap();
        assert_eq!(node.at("a[1]").unwrap().value, Value::Bool(true));
    }
}
