//! Where prompts come from: a built-in set, a file, a folder, or a HuggingFace dataset.
//!
//! `scenario.dataset_name` is resolved in this order:
//!
//! 1. a [`Generator`] (`random_tokens`, `synthetic`): prompts made as they are sent;
//! 2. `builtin`: a small set written for this project;
//! 3. an existing file, read by its extension;
//! 4. an existing folder, laid out as dataset repositories are;
//! 5. a HuggingFace id (`name` or `org/name`), from the hub's cache on this machine or from the hub.
//!
//! A name that looks like a path and does not exist is an error, never a hub id.

mod builtin;
mod cell;
mod csv;
mod digest;
mod draw;
pub mod hub;
mod json;
mod jsonl;
mod layout;
mod lengths;
mod lines;
mod pick;
mod problem;
mod random_tokens;
mod source;
mod synthetic;
mod text;
pub mod trace;
mod vocabulary;
pub mod words;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::config::component::scenario::ScenarioConfig;
use crate::prompt::Prompt;
use crate::prompt::conversation::count;
use crate::record::{DatasetInfo, Warning};

pub use cell::Cell;
pub use problem::DatasetError;
pub use vocabulary::Vocabulary;

use hub::HubEnv;
use pick::Picker;

/// One prompt with its name in the dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// `<file>:<number>`, the number being a [`Row::number`].
    pub id: String,
    /// The prompt.
    pub prompt: Prompt,
    /// Tokens that the server should count for it, chat template and special tokens included, where that is known.
    pub input_tokens: Option<u64>,
    /// Tokens of its answer, in place of `generate_kwargs.max_new_tokens`.
    pub output_tokens: Option<u32>,
}

impl Sample {
    /// A prompt of which no lengths are known.
    #[must_use]
    pub fn new(id: impl Into<String>, prompt: Prompt) -> Self {
        Self { id: id.into(), prompt, input_tokens: None, output_tokens: None }
    }
}

/// What [`load`] found.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The prompts, in the dataset's order; never empty.
    pub samples: Vec<Sample>,
    /// Where they came from.
    pub info: DatasetInfo,
    /// What the reader of the figures should know.
    pub warnings: Vec<Warning>,
}

/// Which prompts are drawn: warm-up must not use up, or make known to a cache, what is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Those of the warm-up.
    Warmup,
    /// Those of the measurement.
    Measure,
}

/// Made prompts are new in every repetition, that no server answers them from its cache; this many positions lie between those
/// of two repetitions.
pub const REPETITION_STRIDE: u64 = 1 << 32;

/// Makes prompts, as many as are asked for.
pub trait Generate: Send + Sync {
    /// The prompt at a position, from 0; the same each time.
    fn sample(&self, stream: Stream, index: u64) -> Sample;

    /// How they are made, in words.
    fn origin(&self) -> String;

    /// What the reader of the figures should know of them.
    fn warning(&self) -> Option<Warning>;
}

/// What prompts are made of.
#[derive(Debug, Clone)]
pub struct Stock {
    /// Token ids to draw from.
    pub vocabulary: Vocabulary,
    /// Words of one token each; known only when the backend is ready, and only to generators that need them.
    pub words: Option<Arc<words::Words>>,
}

impl Default for Stock {
    fn default() -> Self {
        Self { vocabulary: Vocabulary::assumed(), words: None }
    }
}

/// A dataset that is made, by name.
#[derive(Clone, Copy)]
pub struct Generator {
    /// The value of `scenario.dataset_name`.
    pub name: &'static str,
    /// One line for help texts.
    pub summary: &'static str,
    /// Whether it needs words that the model's tokenizer takes for one token each.
    pub needs_words: bool,
    /// Opens it for a scenario that `config::check` let pass. Without the words that it needs it only tells what it is.
    pub open: fn(&ScenarioConfig, &Stock) -> Box<dyn Generate>,
}

/// The generators of this crate.
#[must_use]
pub fn generators() -> Vec<Generator> {
    vec![random_tokens::GENERATOR, synthetic::GENERATOR]
}

/// Where a run's prompts come from.
pub enum Prompts {
    /// A list, gone through again and again.
    Listed(Vec<Sample>),
    /// Made as they are sent.
    Generated(Box<dyn Generate>),
}

impl Prompts {
    /// The prompt at a position, from 0. `None` only for an empty list.
    #[must_use]
    pub fn sample(&self, stream: Stream, index: u64) -> Option<Cow<'_, Sample>> {
        match self {
            Self::Listed(samples) => {
                let position = index.checked_rem(samples.len() as u64)?;
                samples.get(usize::try_from(position).ok()?).map(Cow::Borrowed)
            }
            Self::Generated(source) => Some(Cow::Owned(source.sample(stream, index))),
        }
    }
}

impl Prompts {
    /// How many turns the prompt at a position has, at most so many. Made prompts have one.
    #[must_use]
    pub fn turns(&self, index: u64, most: u32) -> u32 {
        match self {
            Self::Listed(samples) => {
                let position = index.checked_rem(samples.len() as u64).unwrap_or(0);
                let position = usize::try_from(position).unwrap_or(0);
                samples.get(position).map_or(1, |sample| count(&sample.prompt, most))
            }
            Self::Generated(_) => 1,
        }
    }
}

/// A file format by name.
#[derive(Debug, Clone, Copy)]
pub struct DatasetFormat {
    /// Its name, unique among formats.
    pub kind: &'static str,
    /// Extensions of its files, without the dot, lower case.
    pub extensions: &'static [&'static str],
    /// One line for help texts.
    pub summary: &'static str,
    /// Reads a file.
    pub read: ReadFile,
}

/// Gives every row of a file to the sink, in order, and returns how many rows there are (all of them,
/// also those that the sink only wanted counted; those seen so far when it said [`Flow::Stop`]).
pub type ReadFile =
    fn(&Path, &ReadOptions<'_>, &mut dyn FnMut(Row) -> Flow) -> Result<u64, ReadError>;

/// What a reader is asked for.
#[derive(Debug, Clone, Copy)]
pub struct ReadOptions<'a> {
    /// The only column whose values are wanted.
    pub column: &'a str,
}

/// One row, cut down to the wanted column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its number from 1: the line in line formats, else the row (a header is not one).
    pub number: u64,
    /// The value.
    pub cell: Cell,
}

/// What a sink wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// The next row.
    Keep,
    /// Nothing more, but the rows are to be counted.
    Count,
    /// Nothing at all.
    Stop,
}

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// There is no such column.
    #[error("no such column; there are: {}", columns.join(", "))]
    NoColumn {
        /// Those that there are.
        columns: Vec<String>,
    },
    /// The bytes are not what the format asks for.
    #[error("{place}: {message}")]
    Malformed {
        /// `line 3`, `row 7`, `footer`.
        place: String,
        /// What is wrong there.
        message: String,
    },
}

impl ReadError {
    /// Something wrong at a place in the file.
    pub fn malformed(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Malformed { place: place.into(), message: message.into() }
    }
}

/// The formats that this crate reads itself.
#[must_use]
pub fn formats() -> Vec<DatasetFormat> {
    vec![csv::CSV, json::FORMAT, jsonl::FORMAT, text::FORMAT, csv::TSV]
}

/// Loads the prompts that a scenario asks for.
///
/// Empty prompts are left out before `num_samples` are counted off, and a file is kept in memory only as
/// far as its format forces that: no more than the chosen prompts for JSON Lines, CSV and text.
///
/// # Errors
/// Whatever keeps the prompts from being loaded, with a hint; see [`DatasetError`].
pub fn load(
    scenario: &ScenarioConfig,
    formats: &[DatasetFormat],
    env: &HubEnv,
) -> Result<Loaded, DatasetError> {
    let wanted = pick::wanted(scenario.num_samples)?;
    let mut source = source::locate(scenario, formats, env)?;
    let mut picker = Picker::new(&scenario.text_column_name, wanted);
    let mut files = BTreeMap::new();
    while !picker.is_full() {
        let Some((name, data)) = source.next()? else { break };
        let sha256 = picker.read(&name, &data)?;
        files.insert(name, sha256);
    }
    let picked = picker.finish(&scenario.dataset_name)?;
    let info = DatasetInfo {
        name: scenario.dataset_name.clone(),
        origin: source.origin().to_owned(),
        revision: source.revision(),
        files,
        rows: picked.rows,
        used: picked.samples.len() as u64,
    };
    let mut warnings = source.into_warnings();
    // Gone through turn by turn, a conversation ends with an answer of the model's.
    let by_turn = scenario.conversations.is_some();
    let said = |warning: &Warning| !(by_turn && warning.code == pick::ENDS_WITH_ANSWER);
    warnings.extend(picked.warnings.into_iter().filter(said));
    Ok(Loaded { samples: picked.samples, info, warnings })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generators_are_sorted_and_documented() {
        let generators = generators();
        assert!(generators.is_sorted_by_key(|generator| generator.name));
        assert!(generators.iter().all(|generator| !generator.summary.is_empty()));
    }

    #[test]
    fn formats_are_sorted_documented_and_share_no_extension() {
        let formats = formats();
        let kinds: Vec<&str> = formats.iter().map(|format| format.kind).collect();
        assert!(kinds.is_sorted(), "{kinds:?}");
        assert!(formats.iter().all(|format| !format.summary.is_empty()));
        let mut extensions: Vec<&str> =
            formats.iter().flat_map(|f| f.extensions).copied().collect();
        extensions.sort_unstable();
        let count = extensions.len();
        extensions.dedup();
        assert_eq!(extensions.len(), count);
    }
}
