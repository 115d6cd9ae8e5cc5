//! Reads a chunk by its likeness to the one before.
//!
//! The chunks of a stream differ in their text and in nothing else: the same id, model and fields around it. So once
//! serde has read a chunk whose whole meaning is one text, its bytes before and after that text are kept. A later
//! chunk with the same bytes around a plain string is the same JSON with another string in that place, so it means
//! the same with another text. No field name is guessed at, whatever a server calls things, and a chunk that differs
//! anywhere else is read by serde.

use super::chunk::{Chunk, Message};
use crate::backend::StreamEvent;

/// What the chunks of a stream have in common.
#[derive(Debug, Default)]
pub(super) struct Mould {
    /// Up to the quote that begins the text. Empty when nothing is known.
    before: Vec<u8>,
    /// From the quote that ends it.
    after: Vec<u8>,
    is_reasoning: bool,
}

/// Largest mould that is kept, in bytes; a stream with larger chunks is read by serde.
const LARGEST: usize = 4 << 10;

impl Mould {
    /// What a chunk means, where it is like the one that was learnt from and its text is plain.
    pub(super) fn cast<'a>(&self, json: &'a [u8]) -> Option<StreamEvent<'a>> {
        if self.before.is_empty() {
            return None;
        }
        let text = json.strip_prefix(&self.before[..])?.strip_suffix(&self.after[..])?;
        let is_plain = |byte: &u8| *byte >= b' ' && !matches!(byte, b'"' | b'\\');
        if text.is_empty() || !text.iter().all(is_plain) {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?;
        Some(match self.is_reasoning {
            true => StreamEvent::Reasoning(text),
            false => StreamEvent::Content(text),
        })
    }

    /// Learns from a chunk that serde has read, if its whole meaning is one text.
    pub(super) fn learn(&mut self, json: &str, chunk: &Chunk<'_>) {
        let Some((text, is_reasoning)) = only_text(chunk) else { return };
        // A text with escapes is a copy and lies elsewhere.
        let Some(from) = (text.as_ptr().addr()).checked_sub(json.as_ptr().addr()) else { return };
        let to = from + text.len();
        if from == 0 || to >= json.len() || json.len() - text.len() > LARGEST {
            return;
        }
        let bytes = json.as_bytes();
        if bytes[from - 1] != b'"' || bytes[to] != b'"' {
            return;
        }
        self.before.clear();
        self.before.extend_from_slice(&bytes[..from]);
        self.after.clear();
        self.after.extend_from_slice(&bytes[to..]);
        self.is_reasoning = is_reasoning;
    }
}

/// The text of a chunk that says nothing else: no counts, no end, no figures, no second choice.
fn only_text<'c>(chunk: &'c Chunk<'_>) -> Option<(&'c str, bool)> {
    let mut choices = chunk.choices.iter();
    let (Some(choice), None) = (choices.next(), choices.next()) else { return None };
    let figures = [chunk.error, chunk.timings, chunk.metrics, chunk.energy];
    if chunk.usage.is_some()
        || figures.iter().any(Option::is_some)
        || choice.finish_reason.get().is_some()
    {
        return None;
    }
    let message = choice.delta.as_ref().or(choice.message.as_deref());
    if message.is_some_and(|message| message.calls().next().is_some()) {
        return None;
    }
    let mut texts = [
        (choice.text.get(), false),
        (message.and_then(Message::thought), true),
        (message.and_then(|message| message.content.get()), false),
        (message.and_then(|message| message.refusal.get()), false),
    ]
    .into_iter()
    .filter_map(|(text, is_reasoning)| Some((text?, is_reasoning)));
    match (texts.next(), texts.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Chunk<'_> {
        serde_json::from_str(json).unwrap()
    }

    fn learnt(json: &str) -> Mould {
        let mut mould = Mould::default();
        mould.learn(json, &parse(json));
        mould
    }

    const CHAT: &str =
        r#"{"id":"x","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}"#;

    #[test]
    fn the_next_text_is_read_in_place_of_the_last() {
        let mould = learnt(CHAT);
        for text in ["!", " there", "h\u{e9}", "\u{1F600} \u{7f}"] {
            let next = CHAT.replace("Hi", text);
            assert_eq!(mould.cast(next.as_bytes()), Some(StreamEvent::Content(text)));
        }
        let thought = r#"{"choices":[{"delta":{"reasoning_content":"hm"}}]}"#;
        let next = thought.replace("hm", "so");
        assert_eq!(learnt(thought).cast(next.as_bytes()), Some(StreamEvent::Reasoning("so")));
        let completion = r#"{"choices":[{"text":"a"}]}"#;
        let next = completion.replace('a', "b");
        assert_eq!(learnt(completion).cast(next.as_bytes()), Some(StreamEvent::Content("b")));
    }

    #[test]
    fn what_is_not_a_plain_string_in_the_same_place_is_left_to_serde() {
        let mould = learnt(CHAT);
        for text in ["", r"\n", r#"a","role":"x"#, "\u{1}", "\n"] {
            assert_eq!(mould.cast(CHAT.replace("Hi", text).as_bytes()), None, "{text:?}");
        }
        let mut torn = CHAT.replace("Hi", "~").into_bytes();
        *torn.iter_mut().find(|byte| **byte == b'~').unwrap() = 0xFF;
        assert_eq!(mould.cast(&torn), None);
        assert_eq!(mould.cast(CHAT.replace("null", r#""stop""#).as_bytes()), None);
        assert_eq!(mould.cast(CHAT.replace("\"x\"", "\"y\"").as_bytes()), None);
        assert_eq!(mould.cast(&CHAT.as_bytes()[..CHAT.len() - 30]), None);
        assert_eq!(Mould::default().cast(CHAT.as_bytes()), None);
    }

    #[test]
    fn nothing_is_learnt_from_a_chunk_that_says_more_than_one_text() {
        for json in [
            r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}"#,
            r#"{"choices":[{"delta":{"content":"a","reasoning":"b"}}]}"#,
            r#"{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}}]}"#,
            r#"{"choices":[{"delta":{"content":"a"}}],"usage":{"completion_tokens":1}}"#,
            r#"{"choices":[{"delta":{"content":"a"}}],"timings":{"x":1}}"#,
            r#"{"choices":[{"delta":{"content":"a","tool_calls":[{"function":{"name":"f"}}]}}]}"#,
            r#"{"choices":[{"delta":{"content":"a\n"}}]}"#,
            r#"{"choices":[{"delta":{"content":["a"]}}]}"#,
            r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#,
            r#"{"choices":[]}"#,
        ] {
            assert!(learnt(json).before.is_empty() || json.contains("[\"a\"]"), "{json}");
        }
    }
}
