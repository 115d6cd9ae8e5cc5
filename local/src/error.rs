//! What can go wrong between a model's name and its last token.

use std::path::PathBuf;

use ai_energy_benchmarks::dataset::hub::HubError;
use ai_energy_benchmarks::error::Problems;

/// An error of the in-process engine; [`LocalError::hint`] says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// `no_weights` was asked for a name whose architecture is not known here.
    #[error("the architecture of `{model}` is not known here; known without weights: {}", known.join(", "))]
    UnknownShape {
        /// The name asked for.
        model: String,
        /// The names known.
        known: Vec<&'static str>,
    },
    /// Neither a folder, nor a GGUF file, nor a HuggingFace id.
    #[error("`{model}` is no model folder, no .gguf file and no HuggingFace id (owner/name)")]
    NoSuchModel {
        /// The name asked for.
        model: String,
    },
    /// A model's folder lacks a file.
    #[error("{} is missing in {}", file, folder.display())]
    MissingFile {
        /// The file looked for.
        file: String,
        /// Where.
        folder: PathBuf,
    },
    /// The model could not be had from the HuggingFace cache or hub.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is no valid JSON of its kind.
    #[error("{} is not understood", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The model asks for something this engine does not do, or the request does.
    #[error("{0}")]
    Unsupported(Problems),
    /// The weights do not fit the architecture.
    #[error("{place}: {message}")]
    Weights {
        /// The file or tensor.
        place: String,
        /// What does not fit.
        message: String,
    },
    /// The tokenizer could not be built or refused a text.
    #[error("tokenizer of {place}: {message}")]
    Tokenizer {
        /// Where the tokenizer came from.
        place: String,
        /// Why.
        message: String,
    },
    /// The chat template could not be parsed or rendered.
    #[error("chat template: {message}")]
    Template {
        /// Why.
        message: String,
    },
    /// Chat messages were given to a model that has no chat template.
    #[error("the model has no chat template, so chat messages cannot be rendered")]
    NoChatTemplate,
    /// The prompt has no token at all.
    #[error("the prompt is empty")]
    EmptyPrompt,
    /// The prompt and the tokens asked for do not fit the context.
    #[error(
        "{prompt_tokens} prompt tokens and {max_new_tokens} new tokens do not fit the model's context of {context_length}"
    )]
    ContextExceeded {
        /// Tokens of the prompt.
        prompt_tokens: usize,
        /// Tokens asked for.
        max_new_tokens: usize,
        /// Tokens the model holds.
        context_length: usize,
    },
    /// Another thread count than the one asked for is in force.
    #[error("{wanted} threads are asked for, but candle runs {in_force} in this process")]
    Threads {
        /// Threads asked for.
        wanted: usize,
        /// Threads candle will use.
        in_force: usize,
    },
    /// candle failed.
    #[error("candle failed while {doing}")]
    Candle {
        /// What it was doing.
        doing: &'static str,
        /// Why.
        #[source]
        source: candle_core::Error,
    },
}

impl LocalError {
    /// What the reader can do about it, if there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownShape { .. } => Some(
                "give a folder that holds the model's config.json, or set no_weights: false"
                    .to_owned(),
            ),
            Self::NoSuchModel { .. } => Some(
                "a relative path is resolved from the directory the command was started in"
                    .to_owned(),
            ),
            Self::Hub(error) => error.hint(),
            Self::NoChatTemplate => Some(
                "send the text as it is (backend.api: completions), or use an instruct model"
                    .to_owned(),
            ),
            Self::ContextExceeded { .. } => Some(
                "set scenario.truncation: true to cut the prompt, or ask for fewer new tokens"
                    .to_owned(),
            ),
            Self::Threads { wanted, .. } => Some(format!(
                "candle reads its thread count once, at start: set {}={wanted} in the environment",
                crate::threads::VARIABLE
            )),
            _ => None,
        }
    }

    pub(crate) fn candle(doing: &'static str) -> impl FnOnce(candle_core::Error) -> Self {
        move |source| Self::Candle { doing, source }
    }

    pub(crate) fn read(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Read { path: path.into(), source }
    }
}
