//! Fetching one file into the cache: resumed after a cut, checked, then moved into place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use ureq::Body;
use ureq::http::{HeaderMap, Response, StatusCode};

use super::HubError;
use super::cache::RepoCache;
use super::client::{Client, FileInfo, Target};
use super::repo::make_parent;
use crate::dataset::digest;

/// Connections in a row that may break without bringing a byte.
const MAX_BARREN: u32 = 3;

/// Gets a file into the cache and returns where it is in the commit's snapshot.
pub(super) fn file(
    client: &Client,
    cache: &RepoCache,
    target: &Target,
    commit: &str,
    name: &str,
) -> Result<PathBuf, HubError> {
    let info = client.file_info(target, commit, name)?;
    let blob = cache.blob(&info.etag);
    if !blob.is_file() {
        make_parent(&blob)?;
        // Held until the end of the block; a process that dies lets go of it.
        let _lock = lock(&cache.lock(&info.etag))?;
        if !blob.is_file() {
            tracing::info!(file = name, size = info.size, "fetching from the hub");
            let part = blob.with_file_name(format!("{}.part", info.etag));
            let fetch = Fetch { client, target, commit, name, info: &info };
            fetch.whole(&part)?;
            check(&part, name, &info)?;
            fs::rename(&part, &blob).map_err(|cause| HubError::Io { path: blob.clone(), cause })?;
        }
    }
    let snapshot = cache.snapshot(commit);
    cache
        .link(commit, name, &info.etag)
        .map_err(|cause| HubError::Io { path: snapshot.join(name), cause })
}

fn lock(path: &Path) -> Result<File, HubError> {
    make_parent(path)?;
    let io = |cause| HubError::Io { path: path.to_path_buf(), cause };
    let file = OpenOptions::new().create(true).append(true).open(path).map_err(io)?;
    if file.try_lock().is_err() {
        tracing::info!(lock = %path.display(), "waiting for another process that fetches the file");
        file.lock().map_err(io)?;
    }
    Ok(file)
}

struct Fetch<'a> {
    client: &'a Client,
    target: &'a Target,
    commit: &'a str,
    name: &'a str,
    info: &'a FileInfo,
}

impl Fetch<'_> {
    /// Fills the file up to its announced size, in as many connections as that takes.
    fn whole(&self, part: &Path) -> Result<(), HubError> {
        let io = |cause| HubError::Io { path: part.to_path_buf(), cause };
        let mut file = OpenOptions::new().create(true).append(true).open(part).map_err(io)?;
        let mut barren = 0;
        loop {
            let have = file.metadata().map_err(io)?.len();
            if self.info.size == Some(have) {
                return file.sync_all().map_err(io);
            }
            let have = if self.info.size.is_some_and(|size| have > size) {
                file.set_len(0).map_err(io)?;
                0
            } else {
                have
            };
            let ended = self.more(&mut file, have).map_err(|error| match error {
                Stop::Hub(error) => error,
                Stop::Disk(cause) => io(cause),
            })?;
            let now = file.metadata().map_err(io)?.len();
            if ended && self.info.size.is_none() {
                return file.sync_all().map_err(io);
            }
            barren = if now > have { 0 } else { barren + 1 };
            if barren == MAX_BARREN {
                return Err(HubError::Cut {
                    file: self.name.to_owned(),
                    got: now,
                    size: self.info.size,
                });
            }
        }
    }

    /// One connection: appends what comes, and tells whether the answer came to its end.
    fn more(&self, file: &mut File, have: u64) -> Result<bool, Stop> {
        let response = self.client.bytes(self.target, self.commit, self.name, have)?;
        let goes_on = response.status() == StatusCode::PARTIAL_CONTENT
            && range_start(response.headers()) == Some(have);
        if !goes_on {
            // The server does not resume, or not from there: what there is would be followed by the start.
            file.set_len(0)?;
        }
        if response.status() != StatusCode::OK && !goes_on {
            return Ok(false);
        }
        append(response, file)
    }
}

enum Stop {
    Hub(HubError),
    Disk(io::Error),
}

impl From<HubError> for Stop {
    fn from(error: HubError) -> Self {
        Self::Hub(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// Whether the answer came to its end; a broken connection is no error here.
fn append(response: Response<Body>, file: &mut File) -> Result<bool, Stop> {
    let mut reader = response.into_body().into_reader();
    let mut buffer = vec![0; 1 << 17];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(true),
            Ok(length) => file.write_all(&buffer[..length])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                tracing::info!(%error, "the connection broke");
                return Ok(false);
            }
        }
    }
}

/// `bytes 100-199/200` starts at 100.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get("content-range")?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

/// Large files are named by their SHA-256. A file that fails is thrown away.
fn check(part: &Path, name: &str, info: &FileInfo) -> Result<(), HubError> {
    let is_sha256 = info.etag.len() == 64 && info.etag.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_sha256 {
        return Ok(());
    }
    let io = |cause| HubError::Io { path: part.to_path_buf(), cause };
    let found = digest::of_file(part).map_err(io)?;
    if found.eq_ignore_ascii_case(&info.etag) {
        return Ok(());
    }
    fs::remove_file(part).map_err(io)?;
    Err(HubError::Corrupt { file: name.to_owned(), expected: info.etag.clone(), found })
}
