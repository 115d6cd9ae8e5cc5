//! Traces as JSON Lines: Mooncake's, and our own.

use std::io::BufRead;

use serde::Deserialize;

use super::Asks;
use super::rows::{Found, Rows};
use crate::dataset::jsonl::without_place;
use crate::dataset::lines::{Lines, is_blank};
use crate::prompt::{ChatMessage, Prompt};

/// Whose keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `timestamp` in milliseconds, `input_length`, `output_length`, `hash_ids`.
    Mooncake,
    /// `at_s`, one of `prompt`, `messages` and `input_tokens`, `output_tokens`.
    Own,
}

#[derive(Deserialize)]
struct Mooncake {
    timestamp: f64,
    input_length: u32,
    output_length: u32,
    #[serde(default)]
    hash_ids: Box<[u64]>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    at_s: f64,
    prompt: Option<String>,
    messages: Option<Vec<ChatMessage>>,
    input_tokens: Option<u32>,
    output_tokens: Option<u32>,
}

/// Reads every row that is wanted.
pub(super) fn read(reader: impl BufRead, dialect: Dialect, rows: &mut Rows) {
    let mut lines = Lines::new(reader);
    let mut number = 0;
    while !rows.is_full() {
        match lines.next() {
            Ok(None) => return,
            Err(cause) => return rows.wrong(number + 1, cause, "is it a text file?"),
            Ok(Some((line, bytes))) => {
                number = line;
                if is_blank(bytes) {
                    continue;
                }
                match dialect {
                    Dialect::Mooncake => mooncake(line, bytes, rows),
                    Dialect::Own => own(line, bytes, rows),
                }
            }
        }
    }
}

fn mooncake(line: u64, bytes: &[u8], rows: &mut Rows) {
    let hint = "an object with timestamp (ms), input_length, output_length and hash_ids";
    match serde_json::from_slice::<Mooncake>(bytes) {
        Err(error) => rows.wrong(line, without_place(&error), hint),
        Ok(row) if row.timestamp < 0.0 => {
            rows.wrong(line, format!("the time {} ms is negative", row.timestamp), hint);
        }
        Ok(Mooncake { input_length: 0, .. } | Mooncake { output_length: 0, .. }) => {
            rows.leave_out();
        }
        Ok(row) => {
            let asks = Asks::Made { tokens: row.input_length, blocks: row.hash_ids };
            let at = row.timestamp / 1e3;
            rows.add(line, Found { at, asks, output_tokens: Some(row.output_length) });
        }
    }
}

fn own(line: u64, bytes: &[u8], rows: &mut Rows) {
    let hint = "an object with at_s, one of prompt, messages and input_tokens, and output_tokens";
    let row = match serde_json::from_slice::<Own>(bytes) {
        Ok(row) => row,
        Err(error) => return rows.wrong(line, without_place(&error), hint),
    };
    if row.at_s < 0.0 {
        return rows.wrong(line, format!("the time {} s is negative", row.at_s), hint);
    }
    let asks = match (row.prompt, row.messages, row.input_tokens) {
        (Some(text), None, None) if !text.is_empty() => Asks::Told(Prompt::Text(text)),
        (None, Some(messages), None) if !messages.is_empty() => Asks::Told(Prompt::Chat(messages)),
        (None, None, Some(tokens)) => Asks::Made { tokens, blocks: Box::default() },
        (None, None, None) => return rows.wrong(line, "does not say what is asked", hint),
        (prompt, messages, tokens) => {
            let several = usize::from(prompt.is_some())
                + usize::from(messages.is_some())
                + usize::from(tokens.is_some())
                > 1;
            let message =
                if several { "says more than once what is asked" } else { "the prompt is empty" };
            return rows.wrong(line, message, hint);
        }
    };
    rows.add(line, Found { at: row.at_s, asks, output_tokens: row.output_tokens });
}
