//! The JSON of answers, borrowed from the bytes it came in.
//!
//! One set of types reads the events of a stream and whole answers of both endpoints. They are lenient where
//! servers differ (null, absent, another type) and ignore what nobody here needs. Reading one allocates
//! nothing unless a text has escapes or the server sends several choices or tool calls.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// One event of a stream, or a whole answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Chunk<'a> {
    /// The answers; one unless `n` was asked for.
    #[serde(borrow)]
    pub(super) choices: Choices<'a>,
    /// Token counts.
    pub(super) usage: Option<Usage>,
    /// An error in place of an answer.
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
    /// `error` where the object is an error itself.
    #[serde(borrow)]
    pub(super) object: Text<'a>,
    /// llama-server's own timings.
    #[serde(borrow)]
    pub(super) timings: Option<&'a RawValue>,
    /// vLLM's own timings.
    #[serde(borrow)]
    pub(super) metrics: Option<&'a RawValue>,
    /// Energy, where a server accounts for it.
    #[serde(borrow)]
    pub(super) energy: Option<&'a RawValue>,
}

/// Token counts as a server gives them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Usage {
    /// Tokens of the prompt, template and cached ones included.
    pub(super) prompt_tokens: Count,
    /// Generated tokens, reasoning included.
    pub(super) completion_tokens: Count,
    /// More about the prompt.
    pub(super) prompt_tokens_details: Option<PromptDetails>,
    /// More about the answer.
    pub(super) completion_tokens_details: Option<CompletionDetails>,
}

/// More about the prompt's tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct PromptDetails {
    /// How many came from the prompt cache.
    pub(super) cached_tokens: Count,
}

/// More about the answer's tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct CompletionDetails {
    /// How many were reasoning.
    pub(super) reasoning_tokens: Count,
}

/// One answer, or a piece of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Choice<'a> {
    /// A piece (chat, streaming).
    #[serde(borrow)]
    pub(super) delta: Option<Message<'a>>,
    /// The whole (chat, not streaming). Boxed, as are other rare parts: a chunk is moved often, so it is kept small.
    #[serde(borrow)]
    pub(super) message: Option<Box<Message<'a>>>,
    /// A piece or the whole (completions).
    #[serde(borrow)]
    pub(super) text: Text<'a>,
    /// Why it ended.
    #[serde(borrow)]
    pub(super) finish_reason: Text<'a>,
}

/// What a message says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Message<'a> {
    /// The answer.
    #[serde(borrow)]
    pub(super) content: Text<'a>,
    /// The refusal to answer.
    #[serde(borrow)]
    pub(super) refusal: Text<'a>,
    /// Reasoning, as newer servers name it.
    #[serde(borrow)]
    pub(super) reasoning: Text<'a>,
    /// Reasoning, as older servers name it; some send both with the same text.
    #[serde(borrow)]
    pub(super) reasoning_content: Text<'a>,
    /// Calls of tools.
    #[serde(borrow)]
    pub(super) tool_calls: Option<Vec<ToolCall<'a>>>,
    /// A call of a function, as it was before tools.
    #[serde(borrow)]
    pub(super) function_call: Option<Box<Function<'a>>>,
}

impl Message<'_> {
    /// Reasoning under whichever name it came.
    #[must_use]
    pub(super) fn thought(&self) -> Option<&str> {
        self.reasoning.get().or_else(|| self.reasoning_content.get())
    }

    /// The generated texts of tool and function calls.
    pub(super) fn calls(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let tools = self.tool_calls.iter().flatten().filter_map(|call| call.function.as_ref());
        tools.chain(self.function_call.as_deref()).filter_map(Function::generated)
    }
}

/// A call of a tool, or a piece of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ToolCall<'a> {
    /// The function called.
    #[serde(borrow)]
    pub(super) function: Option<Function<'a>>,
}

/// A call of a function, or a piece of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Function<'a> {
    /// Its name.
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    /// Its arguments, JSON in text.
    #[serde(borrow)]
    pub(super) arguments: Text<'a>,
}

impl Function<'_> {
    fn generated(&self) -> Option<Cow<'_, str>> {
        match (self.name.get(), self.arguments.get()) {
            (Some(name), Some(arguments)) => Some(Cow::Owned(format!("{name}{arguments}"))),
            (Some(text), None) | (None, Some(text)) => Some(Cow::Borrowed(text)),
            (None, None) => None,
        }
    }
}

/// A text that may be absent, null, or a list of parts with texts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Text<'a>(Option<Cow<'a, str>>);

impl Text<'_> {
    /// The text, unless it is absent or empty.
    #[must_use]
    pub(super) fn get(&self) -> Option<&str> {
        self.0.as_deref().filter(|text| !text.is_empty())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

/// What visitors do with values of a type that nobody expects: nothing.
macro_rules! ignore_scalars {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E>(self, _: $type) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        })*
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
}

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text(Some(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text(Some(Cow::Owned(text.to_owned()))))
    }

    ignore_scalars!(visit_bool: bool, visit_u64: u64, visit_i64: i64, visit_f64: f64);

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
        let mut whole = String::new();
        while let Some(part) = parts.next_element::<Text<'de>>()? {
            whole.push_str(part.get().unwrap_or_default());
        }
        Ok(Text(Some(Cow::Owned(whole))))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut part: A) -> Result<Self::Value, A::Error> {
        let mut text = Text::default();
        while let Some(key) = part.next_key::<Cow<'_, str>>()? {
            if key == "text" {
                text = part.next_value()?;
            } else {
                part.next_value::<IgnoredAny>()?;
            }
        }
        Ok(text)
    }
}

/// A count that may be absent, null or written as a float.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count(pub Option<u64>);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor)
    }
}

struct CountVisitor;

impl<'de> Visitor<'de> for CountVisitor {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a count")
    }

    fn visit_u64<E>(self, count: u64) -> Result<Self::Value, E> {
        Ok(Count(Some(count)))
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked: whole, not negative and below 2^53"
    )]
    fn visit_f64<E>(self, count: f64) -> Result<Self::Value, E> {
        let whole = count.fract().abs() < f64::EPSILON && (0.0..9e15).contains(&count);
        Ok(Count(whole.then_some(count as u64)))
    }

    ignore_scalars!(visit_bool: bool, visit_i64: i64, visit_str: &str);

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Count(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Count(None))
    }
}

/// The choices of a chunk: the first without an allocation, as there is rarely a second.
#[derive(Debug, Default)]
pub(super) struct Choices<'a> {
    first: Option<Choice<'a>>,
    rest: Vec<Choice<'a>>,
}

impl<'a> Choices<'a> {
    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Choice<'a>> {
        self.first.iter().chain(&self.rest)
    }

    /// Whether there is none.
    #[must_use]
    pub(super) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Choices<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ChoicesVisitor)
    }
}

struct ChoicesVisitor;

impl<'de> Visitor<'de> for ChoicesVisitor {
    type Value = Choices<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of choices")
    }

    ignore_scalars!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let first = items.next_element()?;
        let mut rest = Vec::new();
        while let Some(choice) = items.next_element()? {
            rest.push(choice);
        }
        Ok(Choices { first, rest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Chunk<'_> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_plain_delta_borrows_its_text() {
        let chunk = parse(
            r#"{"id":"x","choices":[{"index":0,"delta":{"content":" a\u00e9"}}],"usage":null}"#,
        );
        let delta = chunk.choices.iter().next().unwrap().delta.as_ref().unwrap();
        assert_eq!(delta.content.get(), Some(" a\u{e9}"));
        let chunk = parse(r#"{"choices":[{"delta":{"content":"plain"}}]}"#);
        let delta = chunk.choices.iter().next().unwrap().delta.as_ref().unwrap();
        assert!(matches!(delta.content, Text(Some(Cow::Borrowed("plain")))));
    }

    #[test]
    fn odd_types_count_as_absent_and_parts_are_joined() {
        let chunk = parse(
            r#"{"choices":[{"delta":{"content":[{"type":"text","text":"a"},"b",{"type":"image"}],
            "reasoning":{"x":[1]},"refusal":7},"finish_reason":false}],
            "usage":{"prompt_tokens":3.0,"completion_tokens":-1,"prompt_tokens_details":{"cached_tokens":{}}}}"#,
        );
        let choice = chunk.choices.iter().next().unwrap();
        let delta = choice.delta.as_ref().unwrap();
        assert_eq!(delta.content.get(), Some("ab"));
        assert_eq!(
            (delta.thought(), delta.refusal.get(), choice.finish_reason.get()),
            (None, None, None)
        );
        let usage = chunk.usage.unwrap();
        assert_eq!((usage.prompt_tokens, usage.completion_tokens), (Count(Some(3)), Count(None)));
        assert_eq!(usage.prompt_tokens_details.unwrap().cached_tokens, Count(None));
    }

    #[test]
    fn null_in_every_place_is_absence() {
        let chunk =
            parse(r#"{"choices":null,"usage":null,"error":null,"timings":null,"object":null}"#);
        assert!(chunk.choices.is_empty() && chunk.usage.is_none());
        assert!(chunk.error.is_none() && chunk.timings.is_none());
        let chunk = parse(r#"{"choices":[{"delta":null,"text":null,"finish_reason":null}]}"#);
        assert!(chunk.choices.iter().next().unwrap().delta.is_none());
    }

    #[test]
    fn reasoning_sent_under_both_names_is_one_text() {
        let chunk = parse(r#"{"choices":[{"delta":{"reasoning":"hm","reasoning_content":"hm"}}]}"#);
        let choice = chunk.choices.iter().next().unwrap();
        assert_eq!(choice.delta.as_ref().unwrap().thought(), Some("hm"));
    }
}
