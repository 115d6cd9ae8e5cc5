//! Words that a tokenizer takes for one token each, and texts of exactly so many tokens made of them.
//!
//! Tokenizers in use today cut text at its spaces before they look for tokens, so the tokens of such words add up. Nothing of that
//! is taken for granted: single words and long random texts are counted by whoever will read the prompts, and a word
//! after which a count is off is left out.

use std::future::Future;
use std::pin::Pin;

use rand::{Rng, RngExt};

use super::draw;
use crate::prompt::Prompt;

/// Words to try, common ones.
const CANDIDATES: &str = include_str!("words.txt");
/// Words tried together; where they are not as many tokens, each half by itself.
const GROUP: usize = 64;
/// Fewest words that make texts which differ.
const FEWEST: usize = 32;
/// Words that may begin a text: each is counted by itself.
const BEGINNINGS: usize = 32;
/// Fewest of them.
const FEWEST_BEGINNINGS: usize = 4;
/// Random texts that are counted, and the words in each.
const TRIALS: u64 = 16;
const TRIAL_WORDS: usize = 256;
/// Words that may be left out because counts were off before the tokenizer is given up.
const MOST_LEFT_OUT: usize = 200;

/// A count that comes later.
pub type Counting<'a> = Pin<Box<dyn Future<Output = Result<u64, String>> + Send + 'a>>;

/// Whoever counts tokens.
pub trait CountTokens: Send + Sync {
    /// Tokens of a text by itself, nothing added.
    fn text<'a>(&'a self, text: &'a str) -> Counting<'a>;

    /// Tokens of a request with this prompt: chat template and special tokens included.
    fn request<'a>(&'a self, prompt: &'a Prompt) -> Counting<'a>;
}

/// Why no text of an exact number of tokens can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// Nobody counts.
    #[error("tokens cannot be counted: {0}")]
    Count(String),
    /// The tokenizer splits common words, or joins them.
    #[error(
        "only {found} common English words are one token each for this model, whatever stands before them; {FEWEST} are needed"
    )]
    Few {
        /// Words that are.
        found: usize,
    },
}

/// Words of one token each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    words: Vec<&'static str>,
    /// So many at the front may begin a text.
    beginnings: usize,
    /// What a request has beside its text.
    overhead: u64,
}

/// What a text is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe<'a> {
    /// Tokens of the whole text.
    pub tokens: u32,
    /// Numbers of the blocks that it begins with: the same number is the same text.
    pub blocks: &'a [u64],
    /// Tokens of a block. Where the blocks are more than `tokens`, the last are cut.
    pub block_tokens: u32,
    /// What follows the blocks differs from text to text by this number.
    pub own: u64,
}

/// What random words are drawn for.
const OWN: u64 = 0x4f57_4e21;
const BLOCK: u64 = 0x424c_4f43;
const TRIAL: u64 = 0x5452_4941;

impl Words {
    /// Finds the words that are one token each.
    ///
    /// # Errors
    /// When nobody counts, or when there are too few such words.
    pub async fn find(counter: &dyn CountTokens) -> Result<Self, WordsError> {
        let lead = lead(counter).await?;
        let mut words = single(counter, lead).await?;
        leave_out_joiners(counter, lead, &mut words).await?;
        let (words, beginnings, overhead) = beginnings(counter, words).await?;
        Ok(Self { words, beginnings, overhead })
    }

    /// How many words there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.words.len()
    }

    /// Tokens that a request has beside its text: chat template and special tokens.
    #[must_use]
    pub const fn overhead(&self) -> u64 {
        self.overhead
    }

    /// A text of exactly so many tokens; the same for the same seed and recipe. It neither begins nor ends with white space.
    #[must_use]
    pub fn text(&self, seed: u64, recipe: &Recipe<'_>) -> String {
        let mut left = recipe.tokens as usize;
        let mut text = String::with_capacity(left.saturating_mul(6));
        for block in recipe.blocks {
            let words = left.min(recipe.block_tokens as usize);
            self.write(&mut text, words, &mut draw::random(seed, [*block, BLOCK, 0]));
            left -= words;
        }
        self.write(&mut text, left, &mut draw::random(seed, [recipe.own, OWN, 0]));
        text
    }

    /// The first word of a part is one that may begin a text, so that a part is the same wherever it stands.
    fn write(&self, text: &mut String, words: usize, random: &mut impl Rng) {
        let mut among = self.beginnings;
        for _ in 0..words {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(self.words[random.random_range(0..among)]);
            among = self.words.len();
        }
    }
}

async fn count(counter: &dyn CountTokens, words: &[&str]) -> Result<usize, WordsError> {
    let tokens = counter.text(&words.join(" ")).await.map_err(WordsError::Count)?;
    Ok(usize::try_from(tokens).unwrap_or(usize::MAX))
}

/// The word that stands in front when others are counted: alone and before itself it is one token. Behind it a word has its
/// space, as in a text.
async fn lead(counter: &dyn CountTokens) -> Result<&'static str, WordsError> {
    for word in CANDIDATES.split_whitespace() {
        if count(counter, &[word]).await? == 1 && count(counter, &[word, word]).await? == 2 {
            return Ok(word);
        }
    }
    Err(WordsError::Few { found: 0 })
}

/// The candidates that are one token each: groups of them, cut in half where the count is off.
async fn single(
    counter: &dyn CountTokens,
    lead: &'static str,
) -> Result<Vec<&'static str>, WordsError> {
    let candidates: Vec<&'static str> = CANDIDATES.split_whitespace().collect();
    let mut pending: Vec<&[&str]> = candidates.chunks(GROUP).rev().collect();
    let mut words = Vec::with_capacity(candidates.len());
    while let Some(group) = pending.pop() {
        let both: Vec<&str> = std::iter::once(lead).chain(group.iter().copied()).collect();
        if count(counter, &both).await? == both.len() {
            words.extend(group);
        } else if group.len() > 1 {
            let (first, second) = group.split_at(group.len() / 2);
            pending.push(second);
            pending.push(first);
        }
    }
    Ok(words)
}

/// Counts long random texts, and leaves out the word at which a count goes wrong.
async fn leave_out_joiners(
    counter: &dyn CountTokens,
    lead: &'static str,
    words: &mut Vec<&'static str>,
) -> Result<(), WordsError> {
    let mut left_out = 0;
    for trial in 0..TRIALS {
        loop {
            if words.len() < FEWEST || left_out > MOST_LEFT_OUT {
                return Err(WordsError::Few { found: words.len() });
            }
            let mut random = draw::random(0, [trial, TRIAL, 0]);
            let drawn = (0..TRIAL_WORDS).map(|_| words[random.random_range(0..words.len())]);
            let text: Vec<&str> = std::iter::once(lead).chain(drawn).collect();
            if count(counter, &text).await? == text.len() {
                break;
            }
            let offenders = first_wrong(counter, &text).await?;
            words.retain(|word| !offenders.contains(word));
            left_out += offenders.len();
        }
    }
    Ok(())
}

/// The last two words of the shortest beginning of a text whose count is off: nobody tells which of them is to blame.
async fn first_wrong<'w, 't>(
    counter: &dyn CountTokens,
    text: &'t [&'w str],
) -> Result<&'t [&'w str], WordsError> {
    let (mut right, mut wrong) = (0, text.len());
    while wrong - right > 1 {
        let middle = usize::midpoint(right, wrong);
        match count(counter, &text[..middle]).await? == middle {
            true => right = middle,
            false => wrong = middle,
        }
    }
    Ok(&text[wrong.saturating_sub(2)..wrong])
}

/// The words with those in front that may begin a text, how many these are, and what a request has beside its text.
async fn beginnings(
    counter: &dyn CountTokens,
    words: Vec<&'static str>,
) -> Result<(Vec<&'static str>, usize, u64), WordsError> {
    let mut found: Vec<(&'static str, u64)> = Vec::new();
    for word in words.iter().copied() {
        if found.len() == BEGINNINGS {
            break;
        }
        if count(counter, &[word]).await? != 1 {
            continue;
        }
        let prompt = Prompt::Text(word.to_owned());
        let whole = counter.request(&prompt).await.map_err(WordsError::Count)?;
        found.push((word, whole.saturating_sub(1)));
    }
    // After some templates a few words are split: those that cost as most do are kept.
    let often = |overhead: u64| found.iter().filter(|(_, other)| *other == overhead).count();
    let Some(overhead) = found.iter().map(|(_, overhead)| *overhead).max_by_key(|one| often(*one))
    else {
        return Err(WordsError::Few { found: 0 });
    };
    let first: Vec<&'static str> =
        found.iter().filter(|(_, other)| *other == overhead).map(|(word, _)| *word).collect();
    if first.len() < FEWEST_BEGINNINGS {
        return Err(WordsError::Few { found: first.len() });
    }
    let rest = words.into_iter().filter(|word| !first.contains(word));
    Ok((first.iter().copied().chain(rest).collect(), first.len(), overhead))
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{LazyLock, Mutex};
    use std::task::{Context, Poll, Waker};

    use proptest::prelude::*;

    use super::*;

    /// A tokenizer with merges: words of up to five letters are one token, longer ones a token for each five letters; some
    /// words are one token together with whatever follows, and those with an `a` in front are two at the begin of a text.
    #[derive(Default)]
    pub(in super::super) struct Toy {
        pub(in super::super) joining: Vec<&'static str>,
        pub(in super::super) asked: Mutex<u32>,
        pub(in super::super) broken: bool,
    }

    const TEMPLATE: u64 = 7;

    impl Toy {
        pub(in super::super) fn tokens(&self, text: &str) -> u64 {
            let mut tokens = 0;
            let mut last = "";
            for word in text.split_whitespace() {
                let joined = self.joining.contains(&last);
                let own = word.len().div_ceil(5) as u64;
                let begins = u64::from(last.is_empty() && word.starts_with('a'));
                tokens += if joined { own - 1 } else { own + begins };
                last = if joined { "joined" } else { word };
            }
            tokens
        }
    }

    impl CountTokens for Toy {
        fn text<'a>(&'a self, text: &'a str) -> Counting<'a> {
            *self.asked.lock().unwrap() += 1;
            let told = if self.broken { Err("refused".to_owned()) } else { Ok(self.tokens(text)) };
            Box::pin(async { told })
        }

        fn request<'a>(&'a self, prompt: &'a Prompt) -> Counting<'a> {
            let tokens = self.tokens(&prompt.text()) + TEMPLATE;
            Box::pin(async move { Ok(tokens) })
        }
    }

    /// The toy answers at once, so one look is enough.
    pub(in super::super) fn found(toy: &Toy) -> Result<Words, WordsError> {
        let mut finding = Box::pin(Words::find(toy));
        match finding.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(words) => words,
            Poll::Pending => panic!("the toy answers at once"),
        }
    }

    static WORDS: LazyLock<Words> = LazyLock::new(|| found(&Toy::default()).unwrap());

    #[test]
    fn candidates_are_many_different_lower_case_words() {
        let words: Vec<&str> = CANDIDATES.split_whitespace().collect();
        let different: std::collections::BTreeSet<&&str> = words.iter().collect();
        assert_eq!(different.len(), words.len());
        assert!(
            words.len() > 700 && words.iter().all(|w| w.bytes().all(|b| b.is_ascii_lowercase()))
        );
    }

    #[test]
    fn words_of_one_token_are_found_with_fewer_than_two_questions_each() {
        let toy = Toy::default();
        let words = found(&toy).unwrap();
        let expected = CANDIDATES.split_whitespace().filter(|word| word.len() <= 5).count();
        assert_eq!(words.count(), expected);
        assert_eq!(words.overhead(), TEMPLATE);
        assert!(words.words[..words.beginnings].iter().all(|word| !word.starts_with('a')));
        // A quarter of the candidates is split here; each costs its share of the halving.
        let asked = *toy.asked.lock().unwrap() as usize;
        let candidates = CANDIDATES.split_whitespace().count();
        assert!(asked < 2 * candidates, "{asked} questions for {candidates} words");
    }

    #[test]
    fn words_that_join_others_are_left_out() {
        let toy = Toy { joining: vec!["hot", "of"], ..Toy::default() };
        let words = found(&toy).unwrap();
        assert!(!words.words.contains(&"hot") && !words.words.contains(&"of"));
        let recipe = Recipe { tokens: 5_000, blocks: &[], block_tokens: 0, own: 3 };
        assert_eq!(toy.tokens(&words.text(4, &recipe)), 5_000);
    }

    #[test]
    fn no_words_are_found_where_nobody_counts_or_all_is_split() {
        let error = found(&Toy { broken: true, ..Toy::default() }).unwrap_err();
        assert_eq!(error, WordsError::Count("refused".to_owned()));
        struct Letters;
        impl CountTokens for Letters {
            fn text<'a>(&'a self, text: &'a str) -> Counting<'a> {
                Box::pin(async { Ok(text.len() as u64) })
            }
            fn request<'a>(&'a self, prompt: &'a Prompt) -> Counting<'a> {
                Box::pin(async { Ok(prompt.text().len() as u64) })
            }
        }
        let mut finding = Box::pin(Words::find(&Letters));
        let Poll::Ready(Err(WordsError::Few { .. })) =
            finding.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        else {
            panic!("letters are no words")
        };
    }

    #[test]
    fn blocks_are_the_same_text_wherever_they_stand() {
        let words = &*WORDS;
        let text = |blocks: &[u64], tokens, own| {
            words.text(1, &Recipe { tokens, blocks, block_tokens: 16, own })
        };
        let (first, other) = (text(&[5, 6], 40, 1), text(&[5, 6], 48, 2));
        let shared = text(&[5, 6], 32, 0);
        assert!(first.starts_with(&shared) && other.starts_with(&shared));
        assert!(!other.starts_with(&first));
        assert!(text(&[9, 5], 32, 0).ends_with(&text(&[5], 16, 0)));
        assert!(shared.starts_with(&text(&[5, 6], 20, 0)), "a last block may be cut");
    }

    proptest! {
        #[test]
        fn texts_have_exactly_the_tokens_that_were_asked(
            seed: u64, own: u64, tokens in 1_u32..2_000, blocks in proptest::collection::vec(0_u64..50, 0..8), block_tokens in 1_u32..200
        ) {
            let words = &*WORDS;
            let recipe = Recipe { tokens, blocks: &blocks, block_tokens, own };
            let text = words.text(seed, &recipe);
            prop_assert_eq!(Toy::default().tokens(&text), u64::from(tokens));
            prop_assert_eq!(text.trim(), &text);
            prop_assert_eq!(words.text(seed, &recipe), text);
        }
    }
}
