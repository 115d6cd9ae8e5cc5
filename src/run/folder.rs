//! The run folder: `<base>/<name>/<date>/<time>[-N]`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Makes a folder that no run has used, named for local time.
pub(super) fn create(base: &Path, name: &str, now: &jiff::ZonedDateTime) -> io::Result<PathBuf> {
    let day = base.join(plain(name)).join(now.strftime("%Y-%m-%d").to_string());
    fs::create_dir_all(&day)?;
    let time = now.strftime("%H-%M-%S").to_string();
    for attempt in 0_u32.. {
        let folder = match attempt {
            0 => day.join(&time),
            number => day.join(format!("{time}-{number}")),
        };
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
    fn a_name_of_dots_does_not_lead_out() {
        assert_eq!(plain(".."), "benchmark");
        assert_eq!(plain("../x"), ".._x");
    }
}
