//! What can keep prompts from being loaded, and what to do about it.

use std::path::PathBuf;

use super::ReadError;
use super::hub::HubError;
use super::layout::LayoutError;
use crate::error::{Problem, nearest};

/// Why no prompts could be loaded.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// `num_samples` is neither a positive number nor -1.
    #[error("{given} prompts cannot be used")]
    NumSamples {
        /// What was given.
        given: i64,
    },
    /// The name looks like a path, and there is nothing.
    #[error("there is no file or folder {path}")]
    NotFound {
        /// What was looked for.
        path: PathBuf,
        /// Data files of the same folder, the most similar name first.
        instead: Vec<String>,
    },
    /// The name is neither a path nor a hub id.
    #[error("`{name}` is neither an existing path nor a HuggingFace dataset id")]
    BadName {
        /// What was given.
        name: String,
    },
    /// A file or folder is there and cannot be opened.
    #[error("cannot open {path}: {cause}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// No reader knows the file's extension.
    #[error("no reader knows files like {file}")]
    UnknownFormat {
        /// Which.
        file: String,
        /// Extensions that are known.
        known: Vec<&'static str>,
    },
    /// The files of a folder or repository do not hold what was asked for.
    #[error("{name}: {cause}")]
    Layout {
        /// The dataset.
        name: String,
        /// Why.
        cause: LayoutError,
    },
    /// A file lacks the wanted column.
    #[error("{file} has no column `{column}`; it has {}", list(columns))]
    NoColumn {
        /// Which file.
        file: String,
        /// The column asked for.
        column: String,
        /// Those that there are.
        columns: Vec<String>,
    },
    /// A file is not what its extension says.
    #[error("{file} {cause}")]
    Read {
        /// Which file.
        file: String,
        /// What is wrong, where.
        cause: ReadError,
    },
    /// A row holds something that is no prompt.
    #[error("{file} row {row}: column `{column}` holds {found}, not a prompt")]
    NotText {
        /// Which file.
        file: String,
        /// [`super::Row::number`].
        row: u64,
        /// The column asked for.
        column: String,
        /// What is there, in words.
        found: String,
    },
    /// The files were read and held no prompt.
    #[error("{name} has no prompts: {rows} rows, none with text in `{column}`")]
    NoPrompts {
        /// The dataset.
        name: String,
        /// The column asked for.
        column: String,
        /// Rows that were read.
        rows: u64,
    },
    /// The hub or its cache failed.
    #[error(transparent)]
    Hub(#[from] HubError),
}

impl DatasetError {
    /// A reader's error, told of a file.
    pub(super) fn read(file: &str, column: &str, cause: ReadError) -> Self {
        match cause {
            ReadError::NoColumn { columns } => {
                Self::NoColumn { file: file.to_owned(), column: column.to_owned(), columns }
            }
            cause => Self::Read { file: file.to_owned(), cause },
        }
    }

    /// As a problem of the config, with its key and a hint.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let problem = Problem::new(self.key(), self.to_string());
        match self.hint() {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    }

    /// The config key that has to do with it.
    fn key(&self) -> &'static str {
        match self {
            Self::NumSamples { .. } => "scenario.num_samples",
            Self::NoColumn { .. } | Self::NotText { .. } | Self::NoPrompts { .. } => {
                "scenario.text_column_name"
            }
            Self::Layout { cause, .. } => cause.key(),
            _ => "scenario.dataset_name",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NumSamples { .. } => Some("a number from 1, or -1 for all".to_owned()),
            Self::NotFound { instead, .. } => not_found_hint(instead),
            Self::BadName { .. } => Some(
                "`builtin`, a file, a folder, or an id such as AIEnergyScore/text_generation"
                    .to_owned(),
            ),
            Self::UnknownFormat { known, .. } => {
                Some(format!("known extensions: {}", known.join(", ")))
            }
            Self::Layout { cause, .. } => cause.hint(),
            Self::NoColumn { column, columns, .. } => column_hint(column, columns),
            Self::NotText { .. } => {
                Some("a prompt is text, or a list of {role, content} with text in both".to_owned())
            }
            Self::Hub(cause) => cause.hint(),
            Self::Io { .. } | Self::Read { .. } | Self::NoPrompts { .. } => None,
        }
    }
}

fn not_found_hint(instead: &[String]) -> Option<String> {
    if instead.is_empty() {
        return None;
    }
    Some(format!("in that folder there are: {}", instead.join(", ")))
}

fn column_hint(column: &str, columns: &[String]) -> Option<String> {
    let near = nearest(column, columns.iter().map(String::as_str))?;
    Some(format!("did you mean `{near}`?"))
}

fn list(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    }
}
