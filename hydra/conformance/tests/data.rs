//! The vectors that are kept here agree, but for the cases that CONFORMANCE.md lists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder().join("data")).expect("the vectors are here");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    files
}

/// The cases that CONFORMANCE.md lists, by file.
fn listed() -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string(folder().join("../CONFORMANCE.md")).expect("it is here");
    let mut listed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in text.lines().filter(|line| line.starts_with("| ") && line.contains('`')) {
        let cells: Vec<&str> = row.trim_matches('|').splitn(2, '|').collect();
        let (file, rest) = (cells[0].trim(), cells[1].trim());
        // The name may hold a bar; it stands between back quotes.
        let (name, reason) =
            rest.trim_start_matches('`').split_once("` |").expect("name and reason");
        assert!(reason.trim().len() > 10, "{name} has no reason");
        listed.entry(file.to_owned()).or_default().insert(name.to_owned());
    }
    listed
}

#[test]
fn every_vector_agrees_but_for_those_listed_with_a_reason() {
    let mut listed = listed();
    let mut unexpected = Vec::new();
    for file in files() {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let report = hydra_conformance::run_file(&file).unwrap();
        assert!(report.passed > 30, "{name}: only {} cases agree", report.passed);
        let mut known = listed.remove(&name).unwrap_or_default();
        for (case, why) in report.failed {
            if !known.remove(&case) {
                unexpected.push(format!("{name}: {case}: {why}"));
            }
        }
        unexpected.extend(known.iter().map(|case| format!("{name}: {case}: listed, but agrees")));
    }
    assert!(unexpected.is_empty(), "{}", unexpected.join("\n"));
    assert!(listed.is_empty(), "files that do not exist: {listed:?}");
}

#[test]
fn a_file_of_no_known_format_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for text in ["[]", "[{\"a\": 1}]", "{}", "nonsense"] {
        let file = folder.path().join("vectors.json");
        std::fs::write(&file, text).unwrap();
        let mut told = String::new();
        assert!(!hydra_conformance::score([file.as_path()], &mut told));
        assert!(told.ends_with("0 passed, 1 failed\n"), "{told}");
    }
}
