//! The run folder.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::record::files;

/// What one run leaves in its folder, and the next run in the same folder would replace.
const OF_A_RUN: [&str; 8] = [
    files::MANIFEST,
    files::REQUESTS,
    files::SAMPLES,
    files::EVENTS,
    files::REPORT,
    "results.csv",
    "emissions.csv",
    ".hydra",
];

/// Where the run folder is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Folder {
    /// A new one, `<this>/<name>/<date>/<time>[-N]`.
    Under(PathBuf),
    /// This one. What an earlier run left there moves to `earlier/<N>` in it: nothing measured is lost.
    At(PathBuf),
}

impl Folder {
    /// The path that was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Under(path) | Self::At(path) => path,
        }
    }

    /// Makes it.
    pub(super) fn make(&self, name: &str, now: &jiff::ZonedDateTime) -> io::Result<PathBuf> {
        match self {
            Self::Under(base) => create(base, name, now),
            Self::At(path) => {
                fs::create_dir_all(path)?;
                keep_earlier(path)?;
                Ok(path.clone())
            }
        }
    }
}

/// Moves what an earlier run left aside.
fn keep_earlier(folder: &Path) -> io::Result<()> {
    if !folder.join(files::MANIFEST).exists() {
        return Ok(());
    }
    let earlier = folder.join("earlier");
    fs::create_dir_all(&earlier)?;
    let aside = first_free(|number| earlier.join(number.to_string()))?;
    for name in OF_A_RUN {
        match fs::rename(folder.join(name), aside.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Makes the first folder of a row that does not exist yet.
fn first_free(name: impl Fn(u32) -> PathBuf) -> io::Result<PathBuf> {
    for attempt in 0.. {
        let folder = name(attempt);
        match fs::create_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => return result.map(|()| folder),
        }
    }
    Err(io::Error::other("no free folder name"))
}

/// Makes a folder that no run has used, named for local time.
fn create(base: &Path, name: &str, now: &jiff::ZonedDateTime) -> io::Result<PathBuf> {
    let day = base.join(plain(name)).join(now.strftime("%Y-%m-%d").to_string());
    fs::create_dir_all(&day)?;
    let time = now.strftime("%H-%M-%S").to_string();
    first_free(|attempt| match attempt {
        0 => day.join(&time),
        number => day.join(format!("{time}-{number}")),
    })
}

/// Writes a file so that after a crash it is there whole or not at all.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("part");
    let mut file = fs::File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(unfinished, path)
}

/// The same with a value as indented JSON.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    write_whole(path, &bytes)
}

/// A name without anything that would lead out of its folder.
fn plain(name: &str) -> String {
    let cleaned: String = name
        .chars()
        .map(|c| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ') { c } else { '_' })
        .collect();
    if cleaned.trim_matches('.').is_empty() { "benchmark".to_owned() } else { cleaned }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_in_one_second_get_two_folders() {
        let base = tempfile::tempdir().unwrap();
        let now = jiff::ZonedDateTime::now();
        let first = create(base.path(), "a/b", &now).unwrap();
        let second = create(base.path(), "a/b", &now).unwrap();
        assert_ne!(first, second);
        assert!(second.to_string_lossy().ends_with("-1"));
        assert!(first.starts_with(base.path().join("a_b")));
    }

    #[test]
    fn a_folder_that_was_used_keeps_what_the_earlier_runs_left() {
        let base = tempfile::tempdir().unwrap();
        let folder = Folder::At(base.path().join("runs/a"));
        let now = jiff::ZonedDateTime::now();
        for run in ["first", "second", "third"] {
            let path = folder.make("a", &now).unwrap();
            assert_eq!(path, base.path().join("runs/a"));
            assert!(!path.join(files::MANIFEST).exists());
            fs::write(path.join(files::MANIFEST), run).unwrap();
            fs::create_dir(path.join(".hydra")).unwrap();
        }
        let at = |path: &str| fs::read_to_string(base.path().join("runs/a").join(path)).unwrap();
        assert_eq!(at("earlier/0/manifest.json"), "first");
        assert_eq!(at("earlier/1/manifest.json"), "second");
        assert_eq!(at("manifest.json"), "third");
    }

    #[test]
    fn a_name_of_dots_does_not_lead_out() {
        assert_eq!(plain(".."), "benchmark");
        assert_eq!(plain("../x"), ".._x");
    }
}
