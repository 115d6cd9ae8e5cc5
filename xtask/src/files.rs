//! Walking the repository.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold nothing of the project's own: build outputs, tools, caches.
const LEFT_OUT: &[&str] = &["target", "node_modules", "results", "outputs", "multirun", "book"];

/// Every file with an extension under a folder, sorted; hidden folders except `.github` and `.config` are left out.
///
/// # Errors
/// When a folder cannot be read.
pub(crate) fn with_extension(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(here) = open.pop() {
        let entries = fs::read_dir(&here)
            .map_err(|cause| format!("cannot read {}: {cause}", here.display()))?;
        for entry in entries {
            let entry = entry.map_err(|cause| format!("{}: {cause}", here.display()))?;
            let path = entry.path();
            let kind = entry.file_type().map_err(|cause| format!("{}: {cause}", path.display()))?;
            if kind.is_dir() && !is_left_out(&entry.file_name().to_string_lossy()) {
                open.push(path);
            } else if kind.is_file() && path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A path as people write it: from the repository's root, with `/`.
pub(crate) fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/")
}

fn is_left_out(name: &str) -> bool {
    let hidden = name.starts_with('.') && name != ".github" && name != ".config";
    hidden || LEFT_OUT.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_outputs_and_hidden_folders_are_not_walked() {
        let folder = tempfile::tempdir().unwrap();
        for inside in ["docs", "target/doc", ".git/x", ".github"] {
            fs::create_dir_all(folder.path().join(inside)).unwrap();
            fs::write(folder.path().join(inside).join("a.md"), "").unwrap();
        }
        let found = with_extension(folder.path(), "md").unwrap();
        let shown: Vec<String> = found.iter().map(|path| relative(folder.path(), path)).collect();
        assert_eq!(shown, [".github/a.md", "docs/a.md"]);
    }
}
