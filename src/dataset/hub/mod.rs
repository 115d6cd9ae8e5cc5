//! The HuggingFace hub: repositories of datasets and models, from its cache on this machine or fetched.
//!
//! The cache is the one that `huggingface_hub` keeps, in its layout, so that nothing is fetched twice:
//! `<kind>s--<org>--<name>/{refs/<revision>, snapshots/<commit>/<file> -> blobs/<etag>}`.
//!
//! Unless offline, the hub is asked once a repository for the revision's commit and its list of files;
//! files that the cache has are not fetched again. When the hub cannot be reached, the cache answers and a
//! warning says so.

mod cache;
mod client;
mod download;
mod env;
mod problem;
mod repo;

use std::path::PathBuf;

use crate::record::Warning;

pub use env::{HubEnv, Secret};
pub use problem::HubError;
pub use repo::Repo;

/// What kind of repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepoKind {
    /// A dataset.
    Dataset,
    /// A model.
    Model,
}

impl RepoKind {
    /// The word for messages.
    const fn word(self) -> &'static str {
        match self {
            Self::Dataset => "dataset",
            Self::Model => "model",
        }
    }

    /// The word in the API's paths and the cache's folder names.
    const fn plural(self) -> &'static str {
        match self {
            Self::Dataset => "datasets",
            Self::Model => "models",
        }
    }

    /// What stands before the id in the addresses of pages and files.
    const fn page_prefix(self) -> &'static str {
        match self {
            Self::Dataset => "datasets/",
            Self::Model => "",
        }
    }
}

/// Where the files of a repository came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// All were in the cache.
    Cached,
    /// At least one was fetched.
    Downloaded,
}

impl Origin {
    /// In words, for the record.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cached => "hub cache",
            Self::Downloaded => "hub",
        }
    }
}

/// Files of a repository at one commit, on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The folder that holds them, under the names that they have in the repository.
    pub folder: PathBuf,
    /// The commit.
    pub commit: String,
    /// Where they came from.
    pub origin: Origin,
    /// Those that were wanted, sorted.
    pub files: Vec<String>,
    /// What the reader of the figures should know.
    pub warnings: Vec<Warning>,
}

/// Gets the wanted files of a repository.
///
/// `revision` is a branch, a tag or a commit; `None` means `main`. `wanted` is asked with each file's name.
///
/// # Errors
/// See [`HubError`]; none of them holds the token. No wanted file at all is
/// [`HubError::NothingWanted`].
pub fn fetch(
    env: &HubEnv,
    kind: RepoKind,
    id: &str,
    revision: Option<&str>,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Snapshot, HubError> {
    let mut repo = Repo::open(env, kind, id, revision)?;
    let files: Vec<String> = repo.files().iter().filter(|file| wanted(file)).cloned().collect();
    if files.is_empty() {
        return Err(repo.nothing_wanted());
    }
    for file in &files {
        repo.file(file)?;
    }
    Ok(Snapshot {
        folder: repo.folder(),
        commit: repo.commit().to_owned(),
        origin: repo.origin(),
        files,
        warnings: repo.warnings().to_vec(),
    })
}

/// Whether a text can be a repository's id: `name` or `org/name` of letters, digits, `-`, `_` and `.`.
#[must_use]
pub fn is_repo_id(text: &str) -> bool {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            && !part.contains("--")
            && !part.contains("..")
    };
    let mut parts = text.split('/');
    text.len() <= 96
        && parts.next().is_some_and(part)
        && parts.next().is_none_or(part)
        && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_one_or_two_plain_words() {
        for id in
            ["gpt2", "AIEnergyScore/text_generation", "a/b-c.d_e", "HuggingFaceTB/SmolLM2-135M"]
        {
            assert!(is_repo_id(id), "{id}");
        }
        for text in ["", "a/", "/a", "a/b/c", "a b", "../a", "a/..", "a--b/c", "a/.b", "é"] {
            assert!(!is_repo_id(text), "{text}");
        }
    }
}
