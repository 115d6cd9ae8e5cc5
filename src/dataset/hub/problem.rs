//! What can go wrong with the hub, and what to do about it. No variant can hold the token.

use std::io;
use std::path::PathBuf;

use crate::error::Problem;
use crate::units::Seconds;

/// Why files of the hub could not be had.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// Not an id.
    #[error("`{id}` is not a repository id")]
    BadId {
        /// What was given.
        id: String,
    },
    /// Offline, and the cache does not have it.
    #[error("{what} is not in the cache {}, and {why}", cache.display())]
    NotCached {
        /// The repository, with the file where one is missing.
        what: String,
        /// The cache folder.
        cache: PathBuf,
        /// Why the network is not used.
        why: String,
        /// A similar repository that the cache has.
        similar: Option<String>,
    },
    /// The hub has no such repository, or hides it.
    #[error("{endpoint} has no {kind} `{id}`, or it is private")]
    NoRepo {
        /// Which hub.
        endpoint: String,
        /// `dataset` or `model`.
        kind: &'static str,
        /// Its id.
        id: String,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// The repository has no such branch, tag or commit.
    #[error("{kind} `{id}` has no revision `{revision}`")]
    NoRevision {
        /// `dataset` or `model`.
        kind: &'static str,
        /// Its id.
        id: String,
        /// The revision asked for.
        revision: String,
    },
    /// The repository has no such file.
    #[error("{kind} `{id}` has no file {file} at {revision}")]
    NoFile {
        /// `dataset` or `model`.
        kind: &'static str,
        /// Its id.
        id: String,
        /// The revision asked for.
        revision: String,
        /// The file.
        file: String,
    },
    /// Its owners want their terms accepted first.
    #[error("{kind} `{id}` is gated: its terms must be accepted first")]
    Gated {
        /// `dataset` or `model`.
        kind: &'static str,
        /// Its id.
        id: String,
        /// Where to accept them.
        page: String,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// The token does not open it.
    #[error("the hub refused access to {kind} `{id}` (HTTP {status})")]
    Refused {
        /// `dataset` or `model`.
        kind: &'static str,
        /// Its id.
        id: String,
        /// 401 or 403.
        status: u16,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// Too many requests.
    #[error("the hub asks for fewer requests (HTTP 429){}", retry_text(*retry_after))]
    TooManyRequests {
        /// When it may be asked again.
        retry_after: Option<Seconds>,
    },
    /// Another HTTP error.
    #[error("{host} answered HTTP {status} for {what}")]
    Status {
        /// Who answered.
        host: String,
        /// The status.
        status: u16,
        /// What was asked for.
        what: String,
    },
    /// No answer.
    #[error("cannot reach {host}: {message}")]
    Unreachable {
        /// Who was asked.
        host: String,
        /// Why.
        message: String,
    },
    /// An answer that the hub's protocol does not have.
    #[error("{host} gave an answer that makes no sense: {message}")]
    Protocol {
        /// Who answered.
        host: String,
        /// What is wrong.
        message: String,
    },
    /// The connection broke again and again.
    #[error("{file}: the connection broke after {got} of {} bytes", size.map_or_else(|| "unknown".to_owned(), |size| size.to_string()))]
    Cut {
        /// The file.
        file: String,
        /// Bytes kept.
        got: u64,
        /// Bytes there are.
        size: Option<u64>,
    },
    /// The bytes are not those that the hub announced.
    #[error("{file}: the hub announced {expected}, what came is {found}")]
    Corrupt {
        /// The file.
        file: String,
        /// Announced digest or length.
        expected: String,
        /// That of what came.
        found: String,
    },
    /// No file of the repository is of use.
    #[error("{kind} `{id}` has none of the files that are needed; it has: {}", files.join(", "))]
    NothingWanted {
        /// `dataset` or `model`.
        kind: &'static str,
        /// Its id.
        id: String,
        /// The first of its files.
        files: Vec<String>,
    },
    /// The cache cannot be read or written.
    #[error("cannot use {}: {cause}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

impl HubError {
    /// Whether the fault is the network's or the hub's own and may pass: the cache may answer meanwhile.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TooManyRequests { .. } => true,
            Self::Status { status, .. } => *status >= 500,
            _ => false,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        const NO_TOKEN: &str = "if it is private, set HF_TOKEN to a token that may read it";
        const WITH_TOKEN: &str = "check the spelling, and that the token may read it";
        let text = match self {
            Self::BadId { .. } => "an id is `name` or `org/name`".to_owned(),
            Self::NotCached { similar: Some(similar), .. } => {
                format!("the cache has `{similar}`")
            }
            Self::NotCached { .. } => {
                "fetch it once with the network, or give a local file or folder".to_owned()
            }
            Self::NoRepo { with_token: false, .. } => format!("check the spelling; {NO_TOKEN}"),
            Self::NoRepo { .. } => WITH_TOKEN.to_owned(),
            Self::Refused { with_token: false, .. } => NO_TOKEN.to_owned(),
            Self::Refused { .. } => "HF_TOKEN is wrong, expired, or may not read it".to_owned(),
            Self::NoRevision { .. } => "a revision is a branch, a tag or a full commit".to_owned(),
            Self::Gated { page, with_token: false, .. } => {
                format!("accept the terms at {page} and set HF_TOKEN")
            }
            Self::Gated { page, .. } => {
                format!("accept the terms at {page} with the account that HF_TOKEN belongs to")
            }
            Self::TooManyRequests { .. } => {
                "wait, or set HF_TOKEN: the limit is higher with an account".to_owned()
            }
            Self::Unreachable { .. } => {
                "check the network and HF_ENDPOINT, or give a local file or folder".to_owned()
            }
            Self::Cut { .. } => "run it again: it goes on where it stopped".to_owned(),
            Self::Corrupt { .. } => "run it again: what came was thrown away".to_owned(),
            _ => return None,
        };
        Some(text)
    }

    /// As a problem at a place (a config key).
    #[must_use]
    pub fn problem(&self, place: &str) -> Problem {
        Problem { place: place.to_owned(), message: self.to_string(), hint: self.hint() }
    }
}

fn retry_text(retry_after: Option<Seconds>) -> String {
    retry_after.map_or_else(String::new, |wait| format!("; it may be asked again in {} s", wait.0))
}
