//! Which beginnings of prompts were seen before: a model of a prefix cache, in blocks of 16 tokens.

use std::collections::HashSet;

use crate::tokens::{Fnv, hash};

/// Tokens in a block; only whole blocks are cached.
pub(crate) const BLOCK_TOKENS: usize = 16;

/// The blocks that were seen, each known by everything up to its end.
#[derive(Default)]
pub(crate) struct PrefixCache {
    seen: HashSet<u64, Fnv>,
    most_blocks: usize,
}

impl PrefixCache {
    /// A cache of so many tokens. When it is full it is emptied: a model, not an eviction policy.
    pub(crate) fn of(tokens: u64) -> Self {
        let blocks = usize::try_from(tokens).unwrap_or(usize::MAX) / BLOCK_TOKENS;
        Self { seen: HashSet::default(), most_blocks: blocks }
    }

    /// Remembers a prompt. Returns how many of its tokens were known; the last token is always computed anew.
    pub(crate) fn look_up(&mut self, words: &[u64]) -> u64 {
        let (mut known, mut hits_go_on, mut chain) = (0, true, [0_u8; 16]);
        for block in words.chunks_exact(BLOCK_TOKENS) {
            for word in block {
                chain[8..].copy_from_slice(&word.to_le_bytes());
                let all = hash(&chain);
                chain[..8].copy_from_slice(&all.to_le_bytes());
            }
            let all = u64::from_le_bytes([
                chain[0], chain[1], chain[2], chain[3], chain[4], chain[5], chain[6], chain[7],
            ]);
            hits_go_on &= self.seen.contains(&all);
            if hits_go_on {
                known += BLOCK_TOKENS as u64;
            } else {
                if self.seen.len() >= self.most_blocks {
                    self.seen.clear();
                }
                self.seen.insert(all);
            }
        }
        // As vLLM: of a prompt that is known whole, the last block is computed again.
        if known == words.len() as u64 { known.saturating_sub(BLOCK_TOKENS as u64) } else { known }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(from: u64, count: u64) -> Vec<u64> {
        (from..from + count).collect()
    }

    #[test]
    fn a_prompt_sent_again_is_known_in_whole_blocks() {
        let mut cache = PrefixCache::of(10_000);
        assert_eq!(cache.look_up(&words(0, 40)), 0);
        assert_eq!(cache.look_up(&words(0, 40)), 32);
        assert_eq!(cache.look_up(&words(0, 32)), 16, "the last block is computed again");
    }

    #[test]
    fn a_shared_beginning_is_known_and_a_salt_in_front_prevents_it() {
        let mut cache = PrefixCache::of(10_000);
        cache.look_up(&words(0, 64));
        let shared: Vec<u64> = words(0, 20).into_iter().chain(words(500, 30)).collect();
        assert_eq!(cache.look_up(&shared), 16);
        let salted: Vec<u64> = std::iter::once(999).chain(words(0, 63)).collect();
        assert_eq!(cache.look_up(&salted), 0);
    }

    #[test]
    fn memory_stays_bounded() {
        let mut cache = PrefixCache::of(1_600);
        for prompt in 0..1_000 {
            cache.look_up(&words(prompt * 1_000, 64));
        }
        assert!(cache.seen.len() <= 100);
    }
}
