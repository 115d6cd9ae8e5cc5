//! JSON that keeps what `serde_json::Value` loses: whole numbers beyond 64 bits, and `1` from `1.0`.

use std::fmt;
use std::ops::Index;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

#[derive(Debug, Clone)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Json>),
    Map(Vec<(String, Json)>),
}

impl Json {
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(pairs) => pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            other => panic!("not a text: {other:?}"),
        }
    }

    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            other => panic!("not a list: {other:?}"),
        }
    }

    pub(crate) fn pairs(&self) -> &[(String, Self)] {
        match self {
            Self::Map(pairs) => pairs,
            other => panic!("not an object: {other:?}"),
        }
    }
}

impl Index<&str> for Json {
    type Output = Self;
    fn index(&self, name: &str) -> &Self {
        self.get(name).unwrap_or(&Self::Null)
    }
}

impl Index<usize> for Json {
    type Output = Self;
    fn index(&self, at: usize) -> &Self {
        &self.items()[at]
    }
}

/// An object in the order in which it is written, its values unread.
struct Pairs<'t>(Vec<(String, &'t RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Pairs<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pairs<'de>, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// Reads a JSON text.
pub(crate) fn parse(text: &str) -> Json {
    let text = text.trim();
    match text.as_bytes()[0] {
        b'n' => Json::Null,
        b't' => Json::Bool(true),
        b'f' => Json::Bool(false),
        b'"' => Json::Text(serde_json::from_str(text).expect("the vectors are JSON")),
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(text).expect("the vectors are JSON");
            Json::List(items.into_iter().map(|raw| parse(raw.get())).collect())
        }
        b'{' => {
            let Pairs(pairs) = serde_json::from_str(text).expect("the vectors are JSON");
            Json::Map(pairs.into_iter().map(|(key, raw)| (key, parse(raw.get()))).collect())
        }
        _ if text.contains(['.', 'e', 'E']) => {
            Json::Float(text.parse().expect("the vectors are JSON"))
        }
        _ => Json::Int(text.parse().expect("the vectors are JSON")),
    }
}
