//! The hub's cache on this machine: paths in it, and what it has.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::RepoKind;
use crate::dataset::layout::missing_shards;
use crate::error::nearest;

/// One repository's folder in the cache.
#[derive(Debug, Clone)]
pub(super) struct RepoCache {
    root: PathBuf,
    folder: PathBuf,
}

impl RepoCache {
    pub(super) fn new(root: &Path, kind: RepoKind, id: &str) -> Self {
        let name = format!("{}--{}", kind.plural(), id.replace('/', "--"));
        Self { root: root.to_path_buf(), folder: root.join(name) }
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(etag)
    }

    /// Where `huggingface_hub` locks a file that is being fetched.
    pub(super) fn lock(&self, etag: &str) -> PathBuf {
        let name = self.folder.file_name().unwrap_or_default();
        self.root.join(".locks").join(name).join(format!("{etag}.lock"))
    }

    /// The commit of a revision, as far as the cache knows.
    pub(super) fn commit(&self, revision: &str) -> Option<String> {
        if is_commit(revision) && self.snapshot(revision).is_dir() {
            return Some(revision.to_owned());
        }
        let reference = fs::read_to_string(self.reference(revision)).ok()?;
        Some(reference.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// Remembers the commit of a revision.
    pub(super) fn remember(&self, revision: &str, commit: &str) -> io::Result<()> {
        if revision == commit || self.commit(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.reference(revision);
        fs::create_dir_all(path.parent().unwrap_or(&self.folder))?;
        fs::write(path, commit)
    }

    /// Files of a snapshot, sorted, with shards that others say must exist.
    pub(super) fn files(&self, commit: &str) -> io::Result<Vec<String>> {
        let mut files = crate::dataset::source::list(&self.snapshot(commit))?;
        files.extend(missing_shards(&files));
        files.sort_unstable();
        Ok(files)
    }

    /// Makes a blob appear under its name in a snapshot.
    pub(super) fn link(&self, commit: &str, file: &str, etag: &str) -> io::Result<PathBuf> {
        let path = self.snapshot(commit).join(file);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        // A link whose target is gone.
        if path.symlink_metadata().is_ok() {
            fs::remove_file(&path)?;
        }
        let up = "../".repeat(file.matches('/').count() + 2);
        let target = format!("{up}blobs/{etag}");
        if std::os::unix::fs::symlink(target, &path).is_err() {
            // Some file systems have no links.
            fs::copy(self.blob(etag), &path)?;
        }
        Ok(path)
    }

    /// A cached repository of the same kind with a similar id.
    pub(super) fn similar(&self, kind: RepoKind, id: &str) -> Option<String> {
        let prefix = format!("{}--", kind.plural());
        let ids: Vec<String> = fs::read_dir(&self.root)
            .ok()?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|name| Some(name.strip_prefix(&prefix)?.replacen("--", "/", 1)))
            .filter(|known| known != id)
            .collect();
        let last = |id: &str| id.rsplit('/').next().unwrap_or(id).to_owned();
        let renamed = ids.iter().find(|known| last(known) == last(id)).map(String::as_str);
        renamed.or_else(|| nearest(id, ids.iter().map(String::as_str))).map(str::to_owned)
    }

    fn reference(&self, revision: &str) -> PathBuf {
        self.folder.join("refs").join(revision)
    }
}

/// Whether a text is a full commit: 40 hexadecimal digits.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
