//! `random_tokens`: prompts of random token ids of a fixed length, made when they are sent.
//!
//! A prompt depends on the seed, the stream and its position only, so two runs send the same prompts. Warm-up
//! draws from another stream than the measurement: a server that caches prompts must not know the measured ones.

use rand::Rng;

use super::vocabulary::Vocabulary;
use super::{Generate, Generator, Sample, Stock, Stream, draw};
use crate::config::component::scenario::{RANDOM_TOKENS, ScenarioConfig};
use crate::prompt::Prompt;
use crate::record::Warning;

/// The line in the registry.
pub(super) const GENERATOR: Generator = Generator {
    name: RANDOM_TOKENS,
    summary: "random token ids: scenario.input_shapes.sequence_length each, of the model's vocabulary",
    needs_words: false,
    open: |scenario, stock| Box::new(RandomTokens::new(scenario, stock)),
};

/// Seed where the config names none.
const DEFAULT_SEED: u64 = 42;

/// Random prompts.
#[derive(Debug, Clone)]
struct RandomTokens {
    seed: u64,
    length: u32,
    /// Different prompts of a stream; 0 for no end of them.
    different: u64,
    vocabulary: Vocabulary,
}

impl RandomTokens {
    fn new(scenario: &ScenarioConfig, stock: &Stock) -> Self {
        let shapes = scenario.input_shapes.clone().unwrap_or_default();
        Self {
            seed: shapes.seed.unwrap_or(DEFAULT_SEED),
            length: shapes.sequence_length.unwrap_or(1),
            different: scenario.num_samples.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            vocabulary: stock.vocabulary.clone(),
        }
    }
}

impl Generate for RandomTokens {
    fn sample(&self, stream: Stream, index: u64) -> Sample {
        let number = if self.different == 0 { index } else { index % self.different };
        let (salt, word) = match stream {
            Stream::Warmup => (0x5741_524d, "warmup-"),
            Stream::Measure => (0, ""),
        };
        let mut random = draw::random(self.seed, [number, salt, 1]);
        let bound = u64::from(self.vocabulary.size.max(1));
        // The share of ids that comes up once more often than the others is below 2^-32.
        let id = |word: u64| u32::try_from(word % bound).unwrap_or(0);
        let ids = (0..self.length).map(|_| id(random.next_u64())).collect();
        Sample {
            input_tokens: Some(u64::from(self.length)),
            ..Sample::new(format!("{RANDOM_TOKENS}:{word}{}", number + 1), Prompt::Tokens(ids))
        }
    }

    fn origin(&self) -> String {
        let Self { seed, length, vocabulary, .. } = self;
        format!(
            "generated: {length} random token ids below {} ({}), seed {seed}",
            vocabulary.size, vocabulary.source
        )
    }

    fn warning(&self) -> Option<Warning> {
        self.vocabulary.warning()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::component::scenario::InputShapes;

    fn tokens(seed: u64, length: u32, size: u32, num_samples: Option<i64>) -> RandomTokens {
        let scenario = ScenarioConfig {
            num_samples,
            input_shapes: Some(InputShapes {
                sequence_length: Some(length),
                seed: Some(seed),
                ..InputShapes::default()
            }),
            ..ScenarioConfig::default()
        };
        let vocabulary = Vocabulary { size, source: "test".into(), assumed: false };
        RandomTokens::new(&scenario, &Stock { vocabulary, words: None })
    }

    fn ids(sample: &Sample) -> &[u32] {
        let Prompt::Tokens(ids) = &sample.prompt else { panic!("{sample:?}") };
        ids
    }

    proptest! {
        #[test]
        fn prompts_have_the_asked_length_stay_in_the_vocabulary_and_come_again(
            seed: u64, index: u64, length in 1_u32..200, size in 1_u32..300_000
        ) {
            let source = tokens(seed, length, size, None);
            let sample = source.sample(Stream::Measure, index);
            prop_assert_eq!(ids(&sample).len(), length as usize);
            prop_assert!(ids(&sample).iter().all(|id| *id < size));
            prop_assert_eq!(&sample, &source.sample(Stream::Measure, index));
        }
    }

    #[test]
    fn positions_streams_and_seeds_give_different_prompts_that_use_the_whole_vocabulary() {
        let source = tokens(7, 64, 1000, None);
        let first = source.sample(Stream::Measure, 0);
        assert_ne!(first.prompt, source.sample(Stream::Measure, 1).prompt);
        assert_ne!(first.prompt, source.sample(Stream::Warmup, 0).prompt);
        assert_ne!(first.prompt, tokens(8, 64, 1000, None).sample(Stream::Measure, 0).prompt);
        let all: Vec<u32> =
            (0..500).flat_map(|i| ids(&source.sample(Stream::Measure, i)).to_vec()).collect();
        let mean = all.iter().map(|id| f64::from(*id)).sum::<f64>() / 32_000.0;
        // Six standard errors of the mean of 32 000 uniform ids: 6 * 288.7 / sqrt(32000).
        assert!((mean - 499.5).abs() < 9.7, "{mean}");
    }

    #[test]
    fn num_samples_bounds_how_many_prompts_differ() {
        let source = tokens(7, 4, 1000, Some(3));
        assert_eq!(source.sample(Stream::Measure, 1), source.sample(Stream::Measure, 4));
        assert_eq!(source.sample(Stream::Measure, 3).id, "random_tokens:1");
    }
}
