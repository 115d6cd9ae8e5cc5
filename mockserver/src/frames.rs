//! The bytes of answers. A stream's event is built once for a request; from then on its words and its stamp are
//! written over in place, so that sending an event allocates nothing and formats nothing.

use serde_json::{Value, json};

use crate::api::Api;
use crate::tokens::{WORD_BYTES, word};

/// Digits that a stamp has room for: any `u64`. Unused ones are spaces, which JSON allows before a number.
const STAMP_BYTES: usize = 20;

/// What the prompt and the answer cost, as told in `usage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    pub prompt: u64,
    pub completion: u64,
    pub cached: u64,
}

impl Usage {
    fn json(self) -> Value {
        json!({
            "prompt_tokens": self.prompt,
            "total_tokens": self.prompt.saturating_add(self.completion),
            "completion_tokens": self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached},
        })
    }
}

/// What the frames of one answer have in common.
#[derive(Debug, Clone)]
pub(crate) struct Style {
    pub api: Api,
    /// `chatcmpl-...` or `cmpl-...`.
    pub id: String,
    pub model: String,
    /// Seconds since the Unix epoch.
    pub created: u64,
    pub tokens_per_event: u32,
    pub stamped: bool,
    /// The number of the first word, so that answers differ.
    pub first_word: u64,
}

/// The frames of one streamed answer.
#[derive(Debug, Clone)]
pub(crate) struct Frames {
    style: Style,
    /// An event up to its text.
    before: Vec<u8>,
    /// A whole event of `tokens_per_event` tokens, framed as a chunk.
    template: Vec<u8>,
    text_at: usize,
}

impl Frames {
    pub(crate) fn new(style: Style) -> Self {
        let object = match style.api {
            Api::Chat => "chat.completion.chunk",
            Api::Completions => "text_completion",
        };
        let opening = match style.api {
            Api::Chat => r#"{"index":0,"delta":{"content":""#,
            Api::Completions => r#"{"index":0,"text":""#,
        };
        let before = format!(
            r#"data: {{"id":{},"object":"{object}","created":{},"model":{},"choices":[{opening}"#,
            quoted(&style.id),
            style.created,
            quoted(&style.model),
        );
        let mut frames =
            Self { style, before: before.into_bytes(), template: Vec::new(), text_at: 0 };
        let mut template = Vec::new();
        let tokens = u64::from(frames.style.tokens_per_event);
        frames.text_at = frames.build(&mut template, 0, tokens, None, 0);
        frames.template = template;
        frames
    }

    /// An event of `tokens_per_event` tokens, none of them the last.
    pub(crate) fn event(&self, out: &mut Vec<u8>, first_token: u64, stamp: u64) {
        let at = out.len();
        out.extend_from_slice(&self.template);
        let frame = &mut out[at..];
        let text_end = self.text_at + self.style.tokens_per_event as usize * WORD_BYTES;
        let mut number = self.style.first_word.wrapping_add(first_token);
        for place in frame[self.text_at..text_end].chunks_exact_mut(WORD_BYTES) {
            place.copy_from_slice(&word(number));
            number = number.wrapping_add(1);
        }
        if self.style.stamped {
            // The frame ends `STAMP}\n\n\r\n`.
            let end = frame.len() - 5;
            write_stamp(&mut frame[end - STAMP_BYTES..end], stamp);
        }
    }

    /// An event of any number of tokens and with a reason to finish. Returns where its text begins in `out`.
    pub(crate) fn build(
        &self,
        out: &mut Vec<u8>,
        first_token: u64,
        tokens: u64,
        finish: Option<&str>,
        stamp: u64,
    ) -> usize {
        let mut text = Vec::new();
        let first = self.style.first_word.wrapping_add(first_token);
        for number in 0..tokens {
            text.extend_from_slice(&word(first.wrapping_add(number)));
        }
        self.frame(out, &text, finish, stamp)
    }

    /// An event with this text.
    pub(crate) fn frame(
        &self,
        out: &mut Vec<u8>,
        text: &[u8],
        finish: Option<&str>,
        stamp: u64,
    ) -> usize {
        let mut payload = self.before.clone();
        payload.extend_from_slice(text);
        let closing = match self.style.api {
            Api::Chat => r#""},"logprobs":null,"finish_reason":"#,
            Api::Completions => r#"","logprobs":null,"finish_reason":"#,
        };
        payload.extend_from_slice(closing.as_bytes());
        payload.extend_from_slice(finish.map_or("null".to_owned(), quoted).as_bytes());
        payload.extend_from_slice(b"}]");
        if self.style.stamped {
            payload.extend_from_slice(br#","t_ns":"#);
            let at = payload.len();
            payload.resize(at + STAMP_BYTES, b' ');
            write_stamp(&mut payload[at..], stamp);
        }
        payload.extend_from_slice(b"}\n\n");
        let at = out.len();
        chunk(out, &payload);
        let chunk_head = out.len() - at - payload.len() - 2;
        at + chunk_head + self.before.len()
    }

    /// The event that names the role.
    pub(crate) fn role(&self, out: &mut Vec<u8>) {
        let delta = json!({"role": "assistant", "content": ""});
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": null});
        self.event_of(out, &json!([choice]), None);
    }

    /// The event with `usage` alone.
    pub(crate) fn usage(&self, out: &mut Vec<u8>, usage: Usage) {
        self.event_of(out, &json!([]), Some(usage));
    }

    fn event_of(&self, out: &mut Vec<u8>, choices: &Value, usage: Option<Usage>) {
        let mut event = json!({
            "id": self.style.id,
            "object": match self.style.api {
                Api::Chat => "chat.completion.chunk",
                Api::Completions => "text_completion",
            },
            "created": self.style.created,
            "model": self.style.model,
            "choices": choices,
        });
        if let Some(usage) = usage {
            event["usage"] = usage.json();
        }
        chunk(out, format!("data: {event}\n\n").as_bytes());
    }
}

/// The body of an answer in one piece.
pub(crate) fn whole(style: &Style, usage: Option<Usage>, tokens: u64, finish: &str) -> Vec<u8> {
    let words = (0..tokens).flat_map(|k| word(style.first_word.wrapping_add(k)));
    let text = String::from_utf8_lossy(&words.collect::<Vec<u8>>()).into_owned();
    let (object, mut choice) = match style.api {
        Api::Chat => (
            "chat.completion",
            json!({"index": 0, "message": {"role": "assistant", "content": text}}),
        ),
        Api::Completions => ("text_completion", json!({"index": 0, "text": text})),
    };
    choice["logprobs"] = Value::Null;
    choice["finish_reason"] = finish.into();
    json!({
        "id": style.id,
        "object": object,
        "created": style.created,
        "model": style.model,
        "choices": [choice],
        "usage": usage.map(Usage::json),
    })
    .to_string()
    .into_bytes()
}

/// The end of a stream: `[DONE]` and the last chunk.
pub(crate) fn done(out: &mut Vec<u8>) {
    chunk(out, b"data: [DONE]\n\n");
}

/// The last chunk.
pub(crate) fn last_chunk(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

/// An error inside a stream, as vLLM tells of one.
pub(crate) fn error_event(out: &mut Vec<u8>) {
    let error = json!({"error": {
        "message": "planted error",
        "type": "InternalServerError",
        "param": null,
        "code": 500,
    }});
    chunk(out, format!("data: {error}\n\n").as_bytes());
}

/// One chunk of a chunked body.
pub(crate) fn chunk(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// The head of a stream of events.
pub(crate) fn stream_head(out: &mut Vec<u8>, keep_alive: bool) {
    out.extend_from_slice(
        b"HTTP/1.1 200 OK\r\nserver: mock-server\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
          transfer-encoding: chunked\r\n",
    );
    end_head(out, keep_alive);
}

/// The head of an answer of known length.
pub(crate) fn head(
    out: &mut Vec<u8>,
    status: u16,
    content_type: &str,
    length: usize,
    more: &[(&str, String)],
    keep_alive: bool,
) {
    let head = format!(
        "HTTP/1.1 {status} {}\r\nserver: mock-server\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n",
        reason(status)
    );
    out.extend_from_slice(head.as_bytes());
    for (name, value) in more {
        out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    end_head(out, keep_alive);
}

fn end_head(out: &mut Vec<u8>, keep_alive: bool) {
    if !keep_alive {
        out.extend_from_slice(b"connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Writes a number to the right of its place.
fn write_stamp(place: &mut [u8], mut number: u64) {
    place.fill(b' ');
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tokens;

    fn frames(api: Api, tokens_per_event: u32, stamped: bool) -> Frames {
        Frames::new(Style {
            api,
            id: "chatcmpl-1\"2".to_owned(),
            model: "m\\x".to_owned(),
            created: 17,
            tokens_per_event,
            stamped,
            first_word: 9,
        })
    }

    /// The JSON of the only chunk in `bytes`, whose size must be right.
    fn parsed(bytes: &[u8]) -> Value {
        let text = std::str::from_utf8(bytes).unwrap();
        let (size, rest) = text.split_once("\r\n").unwrap();
        let payload = rest.strip_suffix("\r\n").unwrap();
        assert_eq!(usize::from_str_radix(size, 16).unwrap(), payload.len());
        let json = payload.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap();
        serde_json::from_str(json).unwrap()
    }

    proptest! {
        #[test]
        fn an_event_written_over_is_the_event_built_anew(
            first: u32, stamp: u64, tokens in 1_u32..9, stamped: bool, chat: bool,
        ) {
            let api = if chat { Api::Chat } else { Api::Completions };
            let frames = frames(api, tokens, stamped);
            let (mut fast, mut slow) = (Vec::new(), Vec::new());
            frames.event(&mut fast, u64::from(first), stamp);
            frames.build(&mut slow, u64::from(first), u64::from(tokens), None, stamp);
            prop_assert_eq!(&fast, &slow);
            let event = parsed(&fast);
            let text = match api {
                Api::Chat => &event["choices"][0]["delta"]["content"],
                Api::Completions => &event["choices"][0]["text"],
            };
            prop_assert_eq!(tokens::count(text.as_str().unwrap()), u64::from(tokens));
            prop_assert_eq!(event["t_ns"].as_u64(), stamped.then_some(stamp));
        }
    }

    #[test]
    fn usage_tells_prompt_completion_and_cached_tokens() {
        let mut bytes = Vec::new();
        frames(Api::Chat, 1, false)
            .usage(&mut bytes, Usage { prompt: 5, completion: 3, cached: 2 });
        let event = parsed(&bytes);
        assert_eq!(event["choices"], json!([]));
        assert_eq!(event["usage"]["total_tokens"], 8);
        assert_eq!(event["usage"]["prompt_tokens_details"]["cached_tokens"], 2);
    }

    #[test]
    fn a_stamp_of_any_size_stays_a_number() {
        for number in [0, 7, u64::MAX] {
            let mut place = [b'x'; STAMP_BYTES];
            write_stamp(&mut place, number);
            assert_eq!(std::str::from_utf8(&place).unwrap().trim_start(), number.to_string());
        }
    }
}
