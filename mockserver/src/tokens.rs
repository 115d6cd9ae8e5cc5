//! The tokenizer: one word is one token.
//!
//! A word is a longest run of characters that are not white space (Unicode). A chat message costs
//! [`MESSAGE_TOKENS`] more, as a chat template would add, and the opening of the answer [`ANSWER_TOKENS`]. Generated text
//! is made of words of the same kind, so text that was generated tokenizes to as many tokens as `usage` said.

use std::hash::{BuildHasher, Hasher};

/// What a chat message costs beside its words: beginning, role, separator, end.
pub const MESSAGE_TOKENS: u64 = 4;
/// What the opening of the answer costs in a chat: beginning, role.
pub const ANSWER_TOKENS: u64 = 2;
/// Token numbers lie below this.
pub const VOCABULARY: u32 = 65_536;

/// The number of tokens of a text.
#[must_use]
pub fn count(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

/// The number of a word: always the same for the same word; two words may share one.
#[must_use]
pub fn id(word: &str) -> u32 {
    (hash(word.as_bytes()) % u64::from(VOCABULARY)) as u32
}

/// FNV-1a: the same on every machine and in every run.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = Fnv.build_hasher();
    hasher.write(bytes);
    hasher.finish()
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Fnv;

pub(crate) struct FnvHasher(u64);

impl BuildHasher for Fnv {
    type Hasher = FnvHasher;

    fn build_hasher(&self) -> FnvHasher {
        FnvHasher(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for FnvHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Bytes of every generated token: a space and two syllables.
pub(crate) const WORD_BYTES: usize = 5;

/// The generated token of a number: there are 4,096, all equally long, so that an event changes in place.
pub(crate) fn word(number: u64) -> [u8; WORD_BYTES] {
    const CONSONANTS: &[u8; 16] = b"bcdfghjklmnprstv";
    const VOWELS: &[u8; 4] = b"aeio";
    // An odd factor visits all 4,096 words in an order in which neighbours look different.
    let mixed = number.wrapping_mul(2_531) as usize;
    [
        b' ',
        CONSONANTS[mixed & 15],
        VOWELS[(mixed >> 4) & 3],
        CONSONANTS[(mixed >> 6) & 15],
        VOWELS[(mixed >> 10) & 3],
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_word_is_a_token_whatever_stands_between() {
        assert_eq!(count("  How many\tjoules,\n\u{3000}then? "), 4);
        assert_eq!(count(""), 0);
        assert_eq!(id("joules"), id("joules"));
        assert_ne!(id("joules"), id("grams"));
    }

    #[test]
    fn generated_words_are_4096_different_ones() {
        let words: HashSet<_> = (0..4_096).map(word).collect();
        assert_eq!(words.len(), 4_096);
    }

    proptest! {
        #[test]
        fn generated_text_tokenizes_to_the_tokens_that_were_generated(first: u32, tokens in 0_u64..300) {
            let bytes: Vec<u8> =
                (0..tokens).flat_map(|k| word(u64::from(first) + k)).collect();
            prop_assert_eq!(count(std::str::from_utf8(&bytes).unwrap()), tokens);
        }
    }
}
