//! `cargo xtask doc-paths`: every link and every path of this repository named in a Markdown file exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A word in backticks that begins so is meant as a path of this repository.
const OUR_FOLDERS: &[&str] = &[
    ".ci/",
    ".config/",
    ".github/",
    "benches/",
    "cli/",
    "columnar/",
    "configs/",
    "docs/",
    "fuzz/",
    "hydra/",
    "local/",
    "mockserver/",
    "scripts/",
    "src/",
    "testkit/",
    "tests/",
    "xtask/",
];

/// Every dangling link or path, as `file:line: ...`.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn check(root: &Path) -> Result<Vec<String>, String> {
    let mut problems = Vec::new();
    for path in crate::files::with_extension(root, "md")? {
        let shown = crate::files::relative(root, &path);
        let text = fs::read_to_string(&path).map_err(|cause| format!("{shown}: {cause}"))?;
        let folder = path.parent().unwrap_or(root);
        for (line, mention) in mentions(&text) {
            if let Some(problem) = dangling(root, folder, &text, &mention) {
                problems.push(format!("{shown}:{line}: {problem}"));
            }
        }
    }
    Ok(problems)
}

#[derive(Debug, PartialEq, Eq)]
enum Mention {
    Link(String),
    Path(String),
}

fn dangling(root: &Path, folder: &Path, text: &str, mention: &Mention) -> Option<String> {
    match mention {
        Mention::Path(path) => {
            (!root.join(path).exists()).then(|| format!("no such path in the repository: {path}"))
        }
        Mention::Link(target) => {
            let (file, anchor) = target
                .split_once('#')
                .map_or((target.as_str(), None), |(file, anchor)| (file, Some(anchor)));
            let linked = folder.join(file);
            if !file.is_empty() && !linked.exists() {
                return Some(format!("the link leads nowhere: {target}"));
            }
            let anchor = anchor?;
            let page = if file.is_empty() {
                text.to_owned()
            } else {
                fs::read_to_string(&linked).unwrap_or_default()
            };
            (!anchors(&page).contains(anchor)).then(|| format!("no such heading: {target}"))
        }
    }
}

/// Links and paths outside code blocks, with their lines.
fn mentions(text: &str) -> Vec<(usize, Mention)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        for target in links(line) {
            let outside = target.contains("://") || target.starts_with("mailto:");
            if !outside && !target.is_empty() {
                found.push((number, Mention::Link(target)));
            }
        }
        for word in line.split('`').skip(1).step_by(2) {
            if let Some(path) = our_path(word) {
                found.push((number, Mention::Path(path)));
            }
        }
    }
    found
}

/// Lines outside fenced code blocks, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        if fence {
            fenced = !fenced;
        }
        (!fenced && !fence).then_some((index + 1, line))
    })
}

/// What stands in `](...)`, inline code left out.
fn links(line: &str) -> Vec<String> {
    let plain: String = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
    plain
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.split(' ').next().unwrap_or_default().to_owned())
        .collect()
}

/// The path that a word in backticks means, if it means one: no placeholder, no pattern, no command line.
fn our_path(word: &str) -> Option<String> {
    let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    let ours = OUR_FOLDERS.iter().any(|folder| word.starts_with(folder));
    (plain && ours).then(|| word.to_owned())
}

/// The headings of a page as links name them.
fn anchors(text: &str) -> BTreeSet<String> {
    prose(text)
        .filter(|(_, line)| line.starts_with('#'))
        .map(|(_, line)| {
            line.trim_start_matches('#')
                .trim()
                .to_lowercase()
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("docs")).unwrap();
        fs::create_dir_all(folder.path().join("src")).unwrap();
        fs::write(folder.path().join("src/here.rs"), "").unwrap();
        fs::write(folder.path().join("docs/other.md"), "# A heading, with signs!\n").unwrap();
        fs::write(folder.path().join("docs/page.md"), text).unwrap();
        check(folder.path()).unwrap()
    }

    #[test]
    fn a_link_to_a_missing_file_is_told_with_its_line() {
        assert_eq!(
            problems("# T\n\nSee [it](missing.md).\n"),
            ["docs/page.md:3: the link leads nowhere: missing.md"]
        );
    }

    #[test]
    fn links_lead_from_the_file_that_holds_them() {
        assert!(
            problems("[a](other.md) [b](../src/here.rs) [c](https://example.org/x)").is_empty()
        );
    }

    #[test]
    fn headings_that_links_name_must_exist() {
        assert!(problems("[a](other.md#a-heading-with-signs)\n# Own\n[b](#own)").is_empty());
        assert_eq!(problems("[a](other.md#gone)").len(), 1);
        assert_eq!(problems("[a](#gone)").len(), 1);
    }

    #[test]
    fn paths_in_backticks_count_from_the_root() {
        assert!(
            problems("`src/here.rs` and `src/<name>.rs`, `src/*.rs`, `other/thing`").is_empty()
        );
        assert_eq!(
            problems("`src/gone.rs`"),
            ["docs/page.md:1: no such path in the repository: src/gone.rs"]
        );
    }

    #[test]
    fn code_blocks_are_left_alone() {
        assert!(problems("```\n[a](missing.md) `src/gone.rs`\n```\n").is_empty());
    }
}
