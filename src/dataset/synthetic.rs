//! `synthetic`: prompts of words, of exactly so many tokens, made when they are sent.
//!
//! A prompt depends on the seed, the stream, its position and the words that the tokenizer takes for one token each, so two runs
//! send the same prompts. Warm-up draws from another stream than the measurement; prefixes of a pool are the same in
//! both, as system prompts are known to a server that has been up for a while.

use std::sync::Arc;

use rand::RngExt;

use super::words::{Recipe, Words};
use super::{Generate, Generator, Sample, Stock, Stream, draw, lengths};
use crate::config::component::scenario::ScenarioConfig;
use crate::config::component::workload::{Counted, Length, SYNTHETIC, SyntheticConfig};
use crate::prompt::Prompt;
use crate::record::Warning;

/// The line in the registry.
pub(super) const GENERATOR: Generator = Generator {
    name: SYNTHETIC,
    summary: "words, of exactly scenario.synthetic.input_tokens tokens; answers of scenario.synthetic.output_tokens",
    needs_words: true,
    open: |scenario, stock| Box::new(Synthetic::new(scenario, stock)),
};

/// What random numbers are drawn for.
const LENGTHS: u64 = 0x4c45_4e47;
const WARMUP: u64 = 1 << 63;

/// Prompts of words.
struct Synthetic {
    config: SyntheticConfig,
    /// Different prompts of a stream; 0 for no end of them.
    different: u64,
    words: Option<Arc<Words>>,
}

/// What a prompt is to be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    input: u32,
    output: Option<u32>,
    prefix: Option<u64>,
}

impl Synthetic {
    fn new(scenario: &ScenarioConfig, stock: &Stock) -> Self {
        Self {
            config: scenario.synthetic.clone().unwrap_or_default(),
            different: scenario.num_samples.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            words: stock.words.clone(),
        }
    }

    fn wanted(&self, own: u64) -> Wanted {
        let config = &self.config;
        let mut random = draw::random(config.seed, [own, LENGTHS, 0]);
        let (input, output) = match lengths::choose(&config.mixture, &mut random) {
            Some(part) => (part.input_tokens, Some(part.output_tokens)),
            None => (config.input_tokens.unwrap_or(Length::Exactly(1)), config.output_tokens),
        };
        let input = lengths::draw(&input, &mut random);
        let output = output.map(|length| lengths::draw(&length, &mut random));
        let pool = config.prefix_pool.filter(|pool| pool.prefixes > 0);
        let prefix = pool.map(|pool| u64::from(random.random_range(0..pool.prefixes)));
        Wanted { input, output, prefix }
    }

    fn overhead(&self) -> u64 {
        self.words.as_ref().map_or(0, |words| words.overhead())
    }
}

impl Generate for Synthetic {
    fn sample(&self, stream: Stream, index: u64) -> Sample {
        let number = if self.different == 0 { index } else { index % self.different };
        let (own, word) = match stream {
            Stream::Warmup => (number ^ WARMUP, "warmup-"),
            Stream::Measure => (number, ""),
        };
        let wanted = self.wanted(own);
        let on_top = match self.config.count {
            Counted::Text => 0,
            Counted::Request => u32::try_from(self.overhead()).unwrap_or(u32::MAX),
        };
        let block_tokens = self.config.prefix_pool.map_or(0, |pool| pool.tokens);
        let prefix: Vec<u64> = wanted.prefix.into_iter().collect();
        let in_front = if prefix.is_empty() { 0 } else { block_tokens };
        let tokens = wanted.input.saturating_sub(on_top).max(1).saturating_add(in_front);
        let recipe = Recipe { tokens, blocks: &prefix, block_tokens, own };
        let text = self.words.as_ref().map(|words| words.text(self.config.seed, &recipe));
        Sample {
            input_tokens: Some(u64::from(tokens) + self.overhead()),
            output_tokens: wanted.output,
            ..Sample::new(
                format!("{SYNTHETIC}:{word}{}", number + 1),
                Prompt::Text(text.unwrap_or_default()),
            )
        }
    }

    fn origin(&self) -> String {
        let config = &self.config;
        let of = |input: &Length, output: Option<&Length>| match output {
            Some(output) => format!("{} in, {} out", input.words(), output.words()),
            None => format!("{} in", input.words()),
        };
        let lengths = match &config.input_tokens {
            Some(input) => of(input, config.output_tokens.as_ref()),
            None => {
                let parts = config.mixture.iter().map(|part| {
                    let lengths = of(&part.input_tokens, Some(&part.output_tokens));
                    format!("{} times {lengths}", part.weight)
                });
                parts.collect::<Vec<_>>().join("; ")
            }
        };
        let pool = config.prefix_pool.map_or_else(String::new, |pool| {
            format!(", behind one of {} prefixes of {} tokens", pool.prefixes, pool.tokens)
        });
        let words = self.words.as_ref().map_or_else(String::new, |words| {
            let which = match config.count {
                Counted::Text => "on top",
                Counted::Request => "among them",
            };
            format!(
                "; {} words of one token each, template and special tokens are {} {which}",
                words.count(),
                words.overhead()
            )
        });
        format!("generated: tokens {lengths}{pool}, seed {}{words}", config.seed)
    }

    fn warning(&self) -> Option<Warning> {
        let overhead = self.overhead();
        let least = match self.config.input_tokens {
            Some(length) => length.limits().0,
            None => {
                let parts = self.config.mixture.iter();
                parts.map(|part| part.input_tokens.limits().0).min().unwrap_or(1)
            }
        };
        let too_short = self.config.count == Counted::Request && u64::from(least) <= overhead;
        too_short.then(|| {
            Warning::new(
                "input_tokens_below_template",
                format!(
                    "chat template and special tokens alone are {overhead} tokens: requests of fewer than {} are sent \
                     with one word",
                    overhead + 1
                ),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::words::tests::{Toy, found};
    use super::*;
    use crate::config::component::workload::{MixturePart, PrefixPool};

    fn made(config: SyntheticConfig, num_samples: Option<i64>) -> Synthetic {
        let scenario =
            ScenarioConfig { num_samples, synthetic: Some(config), ..ScenarioConfig::default() };
        let words = Some(Arc::new(found(&Toy::default()).unwrap()));
        Synthetic::new(&scenario, &Stock { words, ..Stock::default() })
    }

    fn of(input: u32, output: u32) -> SyntheticConfig {
        SyntheticConfig {
            input_tokens: Some(Length::Exactly(input)),
            output_tokens: Some(Length::Exactly(output)),
            ..SyntheticConfig::default()
        }
    }

    fn tokens(sample: &Sample) -> u64 {
        Toy::default().tokens(&sample.prompt.text())
    }

    #[test]
    fn a_prompt_has_the_text_or_the_request_of_the_asked_length() {
        let text = made(of(100, 20), None).sample(Stream::Measure, 3);
        assert_eq!(
            (tokens(&text), text.input_tokens, text.output_tokens),
            (100, Some(107), Some(20))
        );
        let whole = SyntheticConfig { count: Counted::Request, ..of(100, 20) };
        let whole = made(whole, None).sample(Stream::Measure, 3);
        assert_eq!((tokens(&whole), whole.input_tokens), (93, Some(100)));
        let short = made(SyntheticConfig { count: Counted::Request, ..of(7, 20) }, None);
        assert_eq!(tokens(&short.sample(Stream::Measure, 0)), 1);
        assert!(short.warning().is_some());
    }

    #[test]
    fn positions_and_streams_differ_and_come_again() {
        let source = made(of(50, 5), Some(4));
        let texts: BTreeSet<String> =
            (0..4).map(|index| source.sample(Stream::Measure, index).prompt.text()).collect();
        assert_eq!(texts.len(), 4);
        assert_eq!(source.sample(Stream::Measure, 1), source.sample(Stream::Measure, 5));
        assert!(!texts.contains(&source.sample(Stream::Warmup, 0).prompt.text()));
        assert_eq!(source.sample(Stream::Warmup, 0).id, "synthetic:warmup-1");
    }

    #[test]
    fn prompts_of_a_pool_begin_alike_and_end_apart() {
        let pool = Some(PrefixPool { prefixes: 3, tokens: 40 });
        let source = made(SyntheticConfig { prefix_pool: pool, ..of(10, 5) }, None);
        let mut begins = BTreeSet::new();
        let mut whole = BTreeSet::new();
        for index in 0..60 {
            let sample = source.sample(Stream::Measure, index);
            assert_eq!(tokens(&sample), 50);
            let text = sample.prompt.text();
            begins.insert(text.split(' ').take(40).collect::<Vec<_>>().join(" "));
            whole.insert(text);
        }
        assert_eq!((begins.len(), whole.len()), (3, 60));
    }

    #[test]
    fn a_mixture_keeps_its_pairs() {
        let part = |input, output, weight| MixturePart {
            input_tokens: Length::Exactly(input),
            output_tokens: Length::Exactly(output),
            weight,
        };
        let mixture = vec![part(128, 64, 0.6), part(16, 512, 0.4)];
        let source = made(SyntheticConfig { mixture, ..SyntheticConfig::default() }, None);
        let pairs: BTreeSet<(u64, Option<u32>)> = (0..200)
            .map(|index| source.sample(Stream::Measure, index))
            .map(|sample| (tokens(&sample), sample.output_tokens))
            .collect();
        assert_eq!(pairs, BTreeSet::from([(128, Some(64)), (16, Some(512))]));
        assert!(
            source.origin().contains("0.6 times 128 in, 64 out; 0.4 times"),
            "{}",
            source.origin()
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn every_prompt_has_the_tokens_it_says(seed: u64, index: u64, min in 1_u32..100, more in 0_u32..400) {
            let drawn = crate::config::component::workload::Distribution::Uniform { min, max: min + more };
            let config = SyntheticConfig { input_tokens: Some(Length::Drawn(drawn)), seed, ..SyntheticConfig::default() };
            let sample = made(config, None).sample(Stream::Measure, index);
            let text = tokens(&sample);
            prop_assert!((u64::from(min)..=u64::from(min + more)).contains(&text));
            prop_assert_eq!(sample.input_tokens, Some(text + 7));
            prop_assert_eq!(sample.output_tokens, None);
        }
    }
}
