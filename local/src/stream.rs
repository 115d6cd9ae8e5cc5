//! Text as it comes: tokens to whole characters, and texts that end the answer.

use tokenizers::Tokenizer;

use crate::codec::decode;
use crate::error::LocalError;

/// What a decoder writes for bytes that are no character (yet).
const INCOMPLETE: char = '\u{fffd}';

/// Turns tokens into text, holding back characters whose bytes are not all there.
///
/// A token may decode to different text after another than alone (leading spaces, split characters),
/// so each step decodes a short window that begins at the last clean edge.
#[derive(Debug, Default)]
pub(crate) struct StreamDecoder {
    window: Vec<u32>,
    /// Tokens at the window's start whose text has been given out.
    told: usize,
}

impl StreamDecoder {
    /// The text that this token completes; empty while a character is incomplete.
    pub(crate) fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> Result<String, LocalError> {
        self.window.push(id);
        let (before, text) = self.texts(tokenizer)?;
        if text.len() <= before.len() || text.ends_with(INCOMPLETE) {
            return Ok(String::new());
        }
        self.window.drain(..self.told);
        self.told = self.window.len();
        Ok(new_part(&before, &text))
    }

    /// What was held back, incomplete as it is.
    pub(crate) fn finish(&mut self, tokenizer: &Tokenizer) -> Result<String, LocalError> {
        let (before, text) = self.texts(tokenizer)?;
        self.told = self.window.len();
        Ok(new_part(&before, &text))
    }

    fn texts(&self, tokenizer: &Tokenizer) -> Result<(String, String), LocalError> {
        Ok((decode(tokenizer, &self.window[..self.told])?, decode(tokenizer, &self.window)?))
    }
}

fn new_part(before: &str, text: &str) -> String {
    text.get(before.len()..).unwrap_or_default().to_owned()
}

/// Watches for stop texts, holding back what may still become one.
#[derive(Debug)]
pub(crate) struct StopWatch<'a> {
    stops: &'a [String],
    held: String,
}

impl<'a> StopWatch<'a> {
    pub(crate) const fn new(stops: &'a [String]) -> Self {
        Self { stops, held: String::new() }
    }

    /// The text that can be given out, and whether a stop text came (which is not part of it).
    pub(crate) fn push(&mut self, text: &str) -> (String, bool) {
        self.held.push_str(text);
        let first = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min();
        if let Some(at) = first {
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let keep = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// What was held back after all.
    pub(crate) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Bytes at the end of `text` that are the beginning of `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    stop.char_indices().map(|(at, _)| at).rev().find(|&at| text.ends_with(&stop[..at])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use ai_energy_benchmarks::prompt::Prompt;
    use proptest::prelude::*;

    use super::*;
    use crate::codec::Codec;

    fn streamed(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<String> {
        let mut decoder = StreamDecoder::default();
        let mut parts: Vec<String> =
            ids.iter().map(|&id| decoder.push(tokenizer, id).unwrap()).collect();
        parts.push(decoder.finish(tokenizer).unwrap());
        parts
    }

    #[test]
    fn a_character_over_several_tokens_comes_whole_with_its_last() {
        let codec = Codec::shipped().unwrap();
        let text = "a 🦀 und Größe 数";
        let ids = codec.encode(&Prompt::Text(text.to_owned())).unwrap();
        let parts = streamed(&codec.tokenizer, &ids);
        assert!(parts.iter().all(|part| !part.contains(INCOMPLETE)), "{parts:?}");
        assert!(parts.iter().any(String::is_empty), "nothing was held back: {parts:?}");
        assert_eq!(parts.concat(), text);
    }

    #[test]
    fn what_never_becomes_a_character_is_told_at_the_end() {
        let codec = Codec::shipped().unwrap();
        let crab = codec.encode(&Prompt::Text("🦀".to_owned())).unwrap();
        let parts = streamed(&codec.tokenizer, &crab[..1]);
        assert_eq!(parts[0], "");
        assert!(parts[1].contains(INCOMPLETE));
    }

    fn watched(stops: &[&str], texts: &[&str]) -> (Vec<String>, bool) {
        let stops: Vec<String> = stops.iter().map(|&stop| stop.to_owned()).collect();
        let mut watch = StopWatch::new(&stops);
        let mut parts = Vec::new();
        for text in texts {
            let (part, hit) = watch.push(text);
            parts.push(part);
            if hit {
                return (parts, true);
            }
        }
        parts.push(watch.finish());
        (parts, false)
    }

    #[test]
    fn a_stop_text_over_several_tokens_is_found_and_left_out() {
        let (parts, hit) = watched(&["\n\nUser:"], &["Hello", "\n", "\nUs", "er", ": more"]);
        assert!(hit);
        assert_eq!(parts, ["Hello", "", "", "", ""]);
    }

    #[test]
    fn what_only_looked_like_a_stop_text_is_given_out() {
        let (parts, hit) = watched(&["<end>"], &["a<", "en", "x<e"]);
        assert!(!hit);
        assert_eq!(parts, ["a", "", "<enx", "<e"]);
    }

    #[test]
    fn the_earliest_of_several_stop_texts_wins() {
        let (parts, hit) = watched(&["three", "two"], &["one two three"]);
        assert!(hit);
        assert_eq!(parts, ["one "]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn streamed_text_is_the_text_of_all_tokens(ids in prop::collection::vec(0_u32..49_152, 1..40)) {
            let codec = shipped();
            let all = decode(&codec.tokenizer, &ids).unwrap();
            prop_assert_eq!(streamed(&codec.tokenizer, &ids).concat(), all);
        }

        #[test]
        fn any_text_survives_the_round_trip(text in "\\PC{1,40}") {
            let codec = shipped();
            let ids = codec.encode(&Prompt::Text(text.clone())).unwrap();
            prop_assert_eq!(streamed(&codec.tokenizer, &ids).concat(), text);
        }

        #[test]
        fn without_a_hit_nothing_is_lost(texts in prop::collection::vec("[ab]{0,4}", 0..12)) {
            let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
            let (parts, hit) = watched(&["abba"], &borrowed);
            let (all, told) = (texts.concat(), parts.concat());
            prop_assert_eq!(hit, all.contains("abba"));
            prop_assert_eq!(told, all.split("abba").next().unwrap());
        }
    }

    fn shipped() -> &'static Codec {
        static CODEC: std::sync::OnceLock<Codec> = std::sync::OnceLock::new();
        CODEC.get_or_init(|| Codec::shipped().unwrap())
    }
}
