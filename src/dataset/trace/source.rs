//! Prompts of a trace: those that it tells, and token ids of the lengths that it tells, with shared blocks shared.

use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::{Asks, BLOCK_TOKENS, Trace};
use crate::dataset::vocabulary::Vocabulary;
use crate::dataset::{Generate, REPETITION_STRIDE, Sample, Stream};
use crate::prompt::Prompt;
use crate::record::Warning;

/// Makes a trace's prompts. Blocks with the same name hold the same tokens within a repetition; in the next one all are
/// others, so that no server answers them from its cache.
#[derive(Debug, Clone)]
pub struct TracePrompts {
    trace: Arc<Trace>,
    seed: u64,
    vocabulary: Vocabulary,
}

/// Steps after which few set bits in the seed no longer show.
const SETTLE: u32 = 16;

/// What tokens belong to.
#[derive(Clone, Copy)]
enum Owner {
    /// A block by its name.
    Block(u64),
    /// A row by its position.
    Row(u64),
}

impl TracePrompts {
    /// Those of a trace, token ids being of a vocabulary.
    #[must_use]
    pub const fn new(trace: Arc<Trace>, seed: u64, vocabulary: Vocabulary) -> Self {
        Self { trace, seed, vocabulary }
    }

    /// Adds so many tokens of an owner: the first ones, so that a shorter piece begins a longer one.
    fn tokens(&self, ids: &mut Vec<u32>, owner: Owner, salt: u64, count: u32) {
        let (kind, name) = match owner {
            Owner::Block(name) => (2, name),
            Owner::Row(position) => (3, position),
        };
        let mut seed = [0; 32];
        for (part, value) in seed.chunks_exact_mut(8).zip([self.seed, name, salt, kind]) {
            part.copy_from_slice(&value.to_le_bytes());
        }
        let mut random = Xoshiro256PlusPlus::from_seed(seed);
        for _ in 0..SETTLE {
            random.next_u64();
        }
        let bound = u64::from(self.vocabulary.size.max(1));
        ids.extend((0..count).map(|_| u32::try_from(random.next_u64() % bound).unwrap_or(0)));
    }

    fn make(&self, tokens: u32, blocks: &[u64], position: u64, salt: u64) -> Prompt {
        let mut ids = Vec::with_capacity(tokens as usize);
        let mut left = tokens;
        for block in blocks {
            let count = left.min(BLOCK_TOKENS);
            self.tokens(&mut ids, Owner::Block(*block), salt, count);
            left -= count;
        }
        self.tokens(&mut ids, Owner::Row(position), salt, left);
        Prompt::Tokens(ids)
    }
}

impl Generate for TracePrompts {
    fn sample(&self, stream: Stream, index: u64) -> Sample {
        let (repetition, position) = (index / REPETITION_STRIDE, index % REPETITION_STRIDE);
        let (salt, word) = match stream {
            Stream::Warmup => (u64::MAX, "warmup-"),
            Stream::Measure => (repetition, ""),
        };
        let rows = &self.trace.rows;
        let position = position % (rows.len() as u64).max(1);
        let Some(row) = usize::try_from(position).ok().and_then(|place| rows.get(place)) else {
            return Sample::new("trace", Prompt::Tokens(Vec::new()));
        };
        let (prompt, input_tokens) = match &row.asks {
            Asks::Told(prompt) => (prompt.clone(), None),
            Asks::Made { tokens, blocks } => {
                (self.make(*tokens, blocks, position, salt), Some(u64::from(*tokens)))
            }
        };
        Sample {
            input_tokens,
            output_tokens: row.output_tokens,
            ..Sample::new(format!("trace:{word}{}", row.line), prompt)
        }
    }

    fn origin(&self) -> String {
        let rows = self.trace.rows.len();
        let kind = self.trace.format.word();
        if !self.trace.makes_prompts() {
            return format!("{kind} trace, {rows} requests with their prompts");
        }
        format!(
            "{kind} trace, {rows} requests; prompts are random token ids below {} ({}), seed {}",
            self.vocabulary.size, self.vocabulary.source, self.seed
        )
    }

    fn warning(&self) -> Option<Warning> {
        self.trace.makes_prompts().then(|| self.vocabulary.warning()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::component::load::TraceFormat;

    fn prompts(text: &str) -> TracePrompts {
        let trace = super::super::parse(text.as_bytes(), TraceFormat::Auto, None).unwrap();
        TracePrompts::new(Arc::new(trace), 1, Vocabulary::told(1_000, "a test"))
    }

    fn ids(prompts: &TracePrompts, stream: Stream, index: u64) -> Vec<u32> {
        match prompts.sample(stream, index).prompt {
            Prompt::Tokens(ids) => ids,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn prompts_have_their_lengths_and_share_the_blocks_of_the_same_name() {
        let prompts = prompts(
            r#"{"timestamp": 0, "input_length": 1300, "output_length": 7, "hash_ids": [1, 2, 3]}
{"timestamp": 9, "input_length": 1400, "output_length": 8, "hash_ids": [1, 2, 4]}
{"timestamp": 9, "input_length": 600, "output_length": 8, "hash_ids": [5, 2]}
{"timestamp": 9, "input_length": 100, "output_length": 9}
"#,
        );
        let measured = |index| ids(&prompts, Stream::Measure, index);
        let (one, two, three) = (measured(0), measured(1), measured(2));
        assert_eq!([one.len(), two.len(), three.len()], [1300, 1400, 600]);
        assert_eq!(one[..1024], two[..1024]);
        assert_ne!(one[1024..], two[1024..1300]);
        assert_eq!(three[512..], two[512..600], "the begin of a block that both have");
        assert_ne!(three[..512], two[..512]);
        assert_eq!(measured(4), one, "from the begin again");
        assert_eq!(prompts.sample(Stream::Measure, 3).output_tokens, Some(9));
    }

    #[test]
    fn warm_up_and_other_repetitions_say_the_same_lengths_in_other_tokens() {
        let prompts = prompts(
            "{\"timestamp\": 0, \"input_length\": 600, \"output_length\": 7, \"hash_ids\": [1, 2]}",
        );
        let first = ids(&prompts, Stream::Measure, 0);
        for other in
            [ids(&prompts, Stream::Warmup, 0), ids(&prompts, Stream::Measure, REPETITION_STRIDE)]
        {
            assert_eq!(other.len(), first.len());
            assert!(other.iter().zip(&first).filter(|(one, two)| one == two).count() < 30);
        }
        assert_eq!(ids(&prompts, Stream::Measure, 0), first);
    }
}
