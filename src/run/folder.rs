//! The run folder.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::record::files;

/// What one run leaves in its folder, and the next run in the same folder would replace.
const OF_A_RUN: [&str; 10] = [
    files::MANIFEST,
    files::REQUESTS,
    files::SAMPLES,
    files::EVENTS,
    files::REFERENCES,
    files::REPORT,
    "requests_energy.csv",
    "results.csv",
    "emissions.csv",
    ".hydra",
];

/// Where the run folder is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Folder {
    /// A new one: this, or `<this>-N` where it exists.
    New(PathBuf),
    /// This one. What an earlier run left there moves to `earlier/<N>` in it: nothing measured is lost.
    At(PathBuf),
}

impl Folder {
    /// The path that was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::New(path) | Self::At(path) => path,
        }
    }

    /// Makes it.
    pub(super) fn make(&self) -> io::Result<PathBuf> {
        match self {
            Self::New(path) => {
                if let Some(parent) = path.parent() {
                    fs::create_dir_all(parent)?;
                }
                first_free(|attempt| match attempt {
                    0 => path.clone(),
                    number => numbered(path, number),
                })
            }
            Self::At(path) => {
                fs::create_dir_all(path)?;
                keep_earlier(path)?;
                Ok(path.clone())
            }
        }
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!("-{number}"));
    path.with_file_name(name)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_in_one_second_get_two_folders() {
        let base = tempfile::tempdir().unwrap();
        let folder = Folder::New(base.path().join("a/10-00-00"));
        assert_eq!(folder.make().unwrap(), base.path().join("a/10-00-00"));
        assert_eq!(folder.make().unwrap(), base.path().join("a/10-00-00-1"));
    }

    #[test]
    fn a_folder_that_was_used_keeps_what_the_earlier_runs_left() {
        let base = tempfile::tempdir().unwrap();
        let folder = Folder::At(base.path().join("runs/a"));
        for run in ["first", "second", "third"] {
            let path = folder.make().unwrap();
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
}
