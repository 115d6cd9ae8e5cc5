//! One repository at one commit.

use std::fs;
use std::path::PathBuf;

use super::cache::RepoCache;
use super::client::{Client, Target};
use super::{HubEnv, HubError, Origin, RepoKind, is_repo_id};
use crate::record::Warning;

/// A repository whose commit and files are known. Files are fetched when they are asked for.
pub struct Repo {
    target: Target,
    cache: RepoCache,
    access: Access,
    cache_root: PathBuf,
    commit: String,
    files: Vec<String>,
    origin: Origin,
    warnings: Vec<Warning>,
}

/// Where files that the cache lacks come from.
enum Access {
    Hub(Box<Client>),
    /// Nowhere, and why.
    None(String),
}

impl Repo {
    /// Asks the hub, or the cache when offline, for the commit and the files of a revision.
    ///
    /// # Errors
    /// When there is no such repository or revision, or nobody can be asked.
    pub fn open(
        env: &HubEnv,
        kind: RepoKind,
        id: &str,
        revision: Option<&str>,
    ) -> Result<Self, HubError> {
        let revision = revision.unwrap_or("main");
        if !is_repo_id(id) {
            return Err(HubError::BadId { id: id.to_owned() });
        }
        let target = Target { kind, id: id.to_owned(), revision: revision.to_owned() };
        if !is_revision(revision) {
            return Err(target.no_revision());
        }
        if let Some(why) = offline(env, kind) {
            return Self::cached(env, target, why);
        }
        let client = Client::new(env);
        match client.listing(&target) {
            Ok(listing) => Self::online(env, target, client, listing.commit, listing.files),
            Err(error) if error.is_transient() => {
                let mut repo = Self::cached(env, target, error.to_string()).map_err(|_| error)?;
                repo.warn_of_cache();
                Ok(repo)
            }
            Err(error) => Err(error),
        }
    }

    /// All files of the revision, sorted.
    #[must_use]
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// The commit.
    #[must_use]
    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// Where the files that were asked for so far came from.
    #[must_use]
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// What the reader of the figures should know.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The folder that holds the files that were asked for so far.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.cache.snapshot(&self.commit)
    }

    /// Where a file is on disk; it is fetched when the cache lacks it.
    ///
    /// # Errors
    /// When it cannot be fetched, or may not be.
    pub fn file(&mut self, name: &str) -> Result<PathBuf, HubError> {
        let path = self.folder().join(name);
        if is_safe(name) && path.is_file() {
            return Ok(path);
        }
        match &self.access {
            Access::Hub(client) => {
                let path =
                    super::download::file(client, &self.cache, &self.target, &self.commit, name)?;
                self.origin = Origin::Downloaded;
                Ok(path)
            }
            Access::None(why) => Err(HubError::NotCached {
                what: format!("{name} of {}", self.target),
                cache: self.cache_root.clone(),
                why: why.clone(),
                similar: None,
            }),
        }
    }

    /// The error for a repository without any file of use.
    pub(super) fn nothing_wanted(&self) -> HubError {
        HubError::NothingWanted {
            kind: self.target.kind.word(),
            id: self.target.id.clone(),
            files: self.files.iter().take(12).cloned().collect(),
        }
    }

    fn online(
        env: &HubEnv,
        target: Target,
        client: Client,
        commit: String,
        files: Vec<String>,
    ) -> Result<Self, HubError> {
        let cache = RepoCache::new(&env.cache, target.kind, &target.id);
        cache
            .remember(&target.revision, &commit)
            .map_err(|cause| HubError::Io { path: env.cache.clone(), cause })?;
        let mut warnings = Vec::new();
        if client.withholds_token() {
            let message = format!(
                "HF_TOKEN is not sent to {}: the connection is not encrypted",
                env.endpoint
            );
            warnings.push(Warning::new("hub_token_withheld", message));
        }
        let access = Access::Hub(Box::new(client));
        let cache_root = env.cache.clone();
        Ok(Self {
            target,
            cache,
            access,
            cache_root,
            commit,
            files,
            origin: Origin::Cached,
            warnings,
        })
    }

    fn cached(env: &HubEnv, target: Target, why: String) -> Result<Self, HubError> {
        let cache = RepoCache::new(&env.cache, target.kind, &target.id);
        let found = cache.commit(&target.revision).and_then(|commit| {
            let files = cache.files(&commit).ok().filter(|files| !files.is_empty())?;
            Some((commit, files))
        });
        let cache_root = env.cache.clone();
        let Some((commit, files)) = found else {
            let similar = cache.similar(target.kind, &target.id);
            return Err(HubError::NotCached {
                what: target.to_string(),
                cache: cache_root,
                why,
                similar,
            });
        };
        let access = Access::None(why);
        let (origin, warnings) = (Origin::Cached, Vec::new());
        Ok(Self { target, cache, access, cache_root, commit, files, origin, warnings })
    }

    fn warn_of_cache(&mut self) {
        let Access::None(why) = &self.access else { return };
        let message = format!(
            "the hub was not asked for {}, the cache's commit {} is used: {why}",
            self.target, self.commit
        );
        self.warnings.push(Warning::new("hub_unreachable", message));
    }
}

/// Why the network is not to be used, if it is not.
fn offline(env: &HubEnv, kind: RepoKind) -> Option<String> {
    if env.offline {
        return Some("HF_HUB_OFFLINE forbids the network".to_owned());
    }
    (kind == RepoKind::Dataset && env.datasets_offline)
        .then(|| "HF_DATASETS_OFFLINE forbids the network".to_owned())
}

/// A revision becomes part of a path, so it must not climb out of the cache.
fn is_revision(text: &str) -> bool {
    is_safe(text) && !text.contains('\\') && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether a file's name stays inside its folder.
pub(super) fn is_safe(name: &str) -> bool {
    !name.is_empty()
        && !name.contains('\0')
        && name.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

/// Creates the folder that a file is going to lie in.
pub(super) fn make_parent(path: &std::path::Path) -> Result<(), HubError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    fs::create_dir_all(parent).map_err(|cause| HubError::Io { path: parent.to_path_buf(), cause })
}
