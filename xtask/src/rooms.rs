//! `cargo xtask rooms`: who may import whom.
//!
//! The table is data ([`ROOMS`]); the page `ARCHITECTURE.md` shows the same table, generated from here.
//! Sources are read as token trees (`proc-macro2` is the compiler's own lexer in a crate), so comments and strings
//! never count, and paths inside macros do. Items under `#[cfg(test)]` and `#[test]` may import anything.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The part of `config` that rooms beside it may import: each component's settings.
const CONFIG_COMPONENT: &str = "config/component";

/// One row of the table.
pub(crate) struct Room {
    /// The first segment under `src/`.
    pub(crate) name: &'static str,
    /// Rooms that it may import; [`CONFIG_COMPONENT`] means only that part of `config`.
    pub(crate) may: &'static [&'static str],
    /// What stays out, in words, as the table prints it.
    pub(crate) never: &'static str,
    /// What stays out from other crates, as path prefixes.
    pub(crate) banned: &'static [&'static str],
}

const NO_IO: &[&str] = &["tokio", "hyper", "std::fs", "std::net", "std::process", "std::thread"];
const NO_TIMERS: &[&str] = &["tokio::time"];
/// A backend may bound a wait of its own (connecting has its time-out), never lengthen one.
const NO_SLEEP: &[&str] = &[
    "tokio::time::sleep",
    "tokio::time::sleep_until",
    "tokio::time::interval",
    "std::thread::sleep",
];

/// The import table of the library, in the order of the data flow.
pub(crate) const ROOMS: &[Room] = &[
    Room { name: "units", may: &[], never: "our rooms", banned: NO_IO },
    Room { name: "error", may: &[], never: "our rooms", banned: NO_IO },
    Room { name: "clock", may: &["units"], never: "other rooms", banned: NO_IO },
    Room {
        name: "record",
        may: &["units", "error", "clock"],
        never: "rooms (of clock only the anchor, a value)",
        banned: &["tokio", "hyper", "std::net"],
    },
    Room { name: "sensor_model", may: &["record", "units"], never: "rooms", banned: NO_IO },
    Room {
        name: "trace",
        may: &["sensor_model", "record", "units", "error"],
        never: "rooms",
        banned: NO_IO,
    },
    Room {
        name: "config",
        may: &["units", "error", "hydra_compose"],
        never: "registry, tokio",
        banned: &["tokio", "hyper", "std::net", "std::thread"],
    },
    Room {
        name: "plan",
        may: &["config", "load", "record", "units", "error"],
        never: "run, clock, network",
        banned: NO_IO,
    },
    Room {
        name: "dataset",
        may: &[CONFIG_COMPONENT, "prompt", "record", "units", "error"],
        never: "backend, meter, clock, tokio time",
        banned: NO_TIMERS,
    },
    Room {
        name: "prompt",
        may: &[CONFIG_COMPONENT, "record", "units", "error"],
        never: "backend, meter, clock, tokio time",
        banned: NO_TIMERS,
    },
    Room {
        name: "load",
        may: &[CONFIG_COMPONENT, "record", "units", "error"],
        never: "backend, meter, clock, tokio time",
        banned: NO_TIMERS,
    },
    Room {
        name: "backend",
        may: &[CONFIG_COMPONENT, "prompt", "record", "units", "clock", "error"],
        never: "meter, analysis, report, sleeping",
        banned: NO_SLEEP,
    },
    Room {
        name: "meter",
        may: &[CONFIG_COMPONENT, "sensor_model", "trace", "record", "units", "clock", "error"],
        never: "backend, load, analysis",
        banned: &[],
    },
    Room {
        name: "carbon",
        may: &[CONFIG_COMPONENT, "record", "units", "error"],
        never: "backend, load",
        banned: &[],
    },
    Room {
        name: "registry",
        may: &["config", "dataset", "load", "backend", "meter", "report", "record", "error"],
        never: "run, analysis",
        banned: &[],
    },
    Room {
        name: "run",
        may: &[
            "config", "plan", "registry", "dataset", "prompt", "load", "backend", "meter",
            "carbon", "record", "units", "clock", "error",
        ],
        never: "report, analysis, terminal",
        banned: &[],
    },
    Room {
        name: "analysis",
        may: &["trace", "record", "units", "carbon", "error"],
        never: "run, backend, meter, clock, tokio, fs, network",
        banned: NO_IO,
    },
    Room {
        name: "report",
        may: &[CONFIG_COMPONENT, "analysis", "record", "units", "error"],
        never: "run, meter, backend",
        banned: &[],
    },
];

/// A workspace member beside the library, and crates of ours that it never imports.
struct Member {
    folder: &'static str,
    never: &'static [&'static str],
}

const PRODUCT_LIBRARIES: &[&str] = &[
    "ai_energy_benchmarks_local",
    "ai_energy_benchmarks_columnar",
    "ai_energy_benchmarks_mockserver",
    "ai_energy_benchmarks_testkit",
];

const MEMBERS: &[Member] = &[
    Member { folder: "cli/src", never: &["ai_energy_benchmarks_testkit", "xtask"] },
    Member {
        folder: "columnar/src",
        never: &[
            "ai_energy_benchmarks_local",
            "ai_energy_benchmarks_mockserver",
            "ai_energy_benchmarks_testkit",
            "xtask",
        ],
    },
    Member {
        folder: "hydra/src",
        never: &[
            "ai_energy_benchmarks",
            "ai_energy_benchmarks_local",
            "ai_energy_benchmarks_columnar",
            "ai_energy_benchmarks_mockserver",
            "ai_energy_benchmarks_testkit",
        ],
    },
    Member {
        folder: "local/src",
        never: &[
            "ai_energy_benchmarks_columnar",
            "ai_energy_benchmarks_mockserver",
            "ai_energy_benchmarks_testkit",
            "xtask",
        ],
    },
    Member {
        folder: "mockserver/src",
        never: &[
            "ai_energy_benchmarks_columnar",
            "ai_energy_benchmarks_local",
            "ai_energy_benchmarks_testkit",
            "xtask",
        ],
    },
];

/// One import that the table forbids.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    /// File, relative to the repository.
    pub(crate) file: String,
    /// Line, from 1.
    pub(crate) line: usize,
    /// What is forbidden and which row says so.
    pub(crate) message: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

/// Checks the whole repository.
///
/// # Errors
/// When a source file cannot be read or is not Rust.
pub(crate) fn check(root: &Path) -> Result<Vec<Violation>, String> {
    let mut violations = check_library(root)?;
    for member in MEMBERS {
        for source in sources(root, member.folder)? {
            violations.extend(check_member_file(&source.shown, &source.text, member.never)?);
        }
    }
    violations.sort();
    violations.dedup();
    Ok(violations)
}

fn check_library(root: &Path) -> Result<Vec<Violation>, String> {
    let mut violations = Vec::new();
    for source in sources(root, "src")? {
        violations.extend(check_library_file(&source.shown, &source.text)?);
    }
    Ok(violations)
}

/// The table as `ARCHITECTURE.md` shows it.
pub(crate) fn table() -> String {
    let mut text = String::from("| room | may import | never |\n|---|---|---|\n");
    for room in ROOMS {
        let may = if room.may.is_empty() { "std, serde".to_owned() } else { room.may.join(", ") };
        text.push_str(&format!("| {} | {may} | {} |\n", room.name, room.never));
    }
    for (members, may, never) in [
        ("local, columnar, mockserver", "the public library", "being imported by the library"),
        ("cli", "everything public", "being imported; testkit"),
        ("hydra", "no crate of ours", "ai_energy_benchmarks"),
        ("testkit, xtask", "everything public", "being imported outside tests"),
    ] {
        text.push_str(&format!("| {members} | {may} | {never} |\n"));
    }
    text
}

struct Source {
    shown: String,
    text: String,
}

/// Every source file under a folder that is not a test module's.
fn sources(root: &Path, folder: &str) -> Result<Vec<Source>, String> {
    let mut found = Vec::new();
    let mut test_modules = BTreeSet::new();
    for path in crate::files::with_extension(&root.join(folder), "rs")? {
        let shown = crate::files::relative(root, &path);
        let text = fs::read_to_string(&path).map_err(|cause| format!("{shown}: {cause}"))?;
        for name in scan(&shown, &text)?.test_modules {
            test_modules.insert(module_folder(&path).join(name));
        }
        found.push((path, Source { shown, text }));
    }
    let in_test_module = |path: &Path| {
        test_modules
            .iter()
            .any(|module| path.with_extension("") == *module || path.starts_with(module))
    };
    Ok(found
        .into_iter()
        .filter(|(path, _)| !in_test_module(path))
        .map(|(_, source)| source)
        .collect())
}

/// Where the modules that a file declares lie.
fn module_folder(path: &Path) -> PathBuf {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if matches!(stem, "mod" | "lib" | "main") {
        path.parent().map(Path::to_path_buf).unwrap_or_default()
    } else {
        path.with_extension("")
    }
}

fn check_library_file(shown: &str, text: &str) -> Result<Vec<Violation>, String> {
    let modules = module_path(shown);
    let Some(first) = modules.first() else { return Ok(Vec::new()) };
    let Some(room) = ROOMS.iter().find(|room| room.name == first) else {
        return Ok(vec![Violation {
            file: shown.to_owned(),
            line: 1,
            message: format!(
                "{first} is no room of the table in xtask/src/rooms.rs: give it a row"
            ),
        }]);
    };
    let named = scan(shown, text)?.paths;
    Ok(named
        .iter()
        .filter_map(|path| {
            let message = forbidden(room, &modules, path)?;
            Some(Violation { file: shown.to_owned(), line: path.line, message })
        })
        .collect())
}

fn check_member_file(shown: &str, text: &str, never: &[&str]) -> Result<Vec<Violation>, String> {
    let named = scan(shown, text)?.paths;
    Ok(named
        .iter()
        .filter(|path| never.contains(&path.segments[0].as_str()))
        .map(|path| Violation {
            file: shown.to_owned(),
            line: path.line,
            message: format!("this member may not import {}", path.segments[0]),
        })
        .collect())
}

/// Why a room may not name this path, if it may not.
fn forbidden(room: &Room, modules: &[String], path: &NamedPath) -> Option<String> {
    let row = |target: &str| {
        let may = if room.may.is_empty() { "std, serde".to_owned() } else { room.may.join(", ") };
        format!(
            "{} may not import {target} (row {}: may import {may}; never {})",
            room.name, room.name, room.never
        )
    };
    let segments: Vec<&str> = path.segments.iter().map(String::as_str).collect();
    if let Some(inside) = crate_relative(modules, path) {
        let target = inside.first().map_or("*", String::as_str);
        if target == room.name {
            return None;
        }
        if target == "config" && inside.get(1).is_some_and(|next| next == "component") {
            let allowed = room.may.contains(&"config") || room.may.contains(&CONFIG_COMPONENT);
            return (!allowed).then(|| row(CONFIG_COMPONENT));
        }
        return (!room.may.contains(&target)).then(|| row(target));
    }
    if PRODUCT_LIBRARIES.contains(&segments[0]) {
        return Some(format!("the library never imports {}", segments[0]));
    }
    if segments[0] == "hydra_compose" && !room.may.contains(&"hydra_compose") {
        return Some(row("hydra_compose"));
    }
    let written = segments.join("::");
    let ban = room.banned.iter().find(|ban| {
        written == **ban || written.strip_prefix(**ban).is_some_and(|rest| rest.starts_with("::"))
    })?;
    Some(row(ban))
}

/// The path from the crate's root, for paths that start at `crate`, `super` or the library's own name.
fn crate_relative(modules: &[String], path: &NamedPath) -> Option<Vec<String>> {
    match path.segments[0].as_str() {
        "crate" | "ai_energy_benchmarks" => Some(path.segments[1..].to_vec()),
        "super" => {
            let ups = path.segments.iter().take_while(|segment| *segment == "super").count();
            let mut here = modules.to_vec();
            here.extend(path.inside.iter().cloned());
            here.truncate(here.len().saturating_sub(ups));
            here.extend(path.segments[ups..].iter().cloned());
            Some(here)
        }
        _ => None,
    }
}

/// `src/meter/nvml.rs` is the module `meter::nvml`.
fn module_path(shown: &str) -> Vec<String> {
    let inside = shown.strip_prefix("src/").unwrap_or(shown);
    let mut modules: Vec<String> =
        inside.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if modules.last().is_some_and(|last| last == "mod" || last == "lib") {
        modules.pop();
    }
    modules
}

/// A path as written, use-trees flattened.
#[derive(Debug)]
struct NamedPath {
    segments: Vec<String>,
    line: usize,
    /// Inline modules around it, outermost first.
    inside: Vec<String>,
}

#[derive(Default)]
struct Scan {
    paths: Vec<NamedPath>,
    /// Modules declared `#[cfg(test)] mod NAME;`.
    test_modules: Vec<String>,
}

fn scan(shown: &str, text: &str) -> Result<Scan, String> {
    let tokens: TokenStream =
        text.parse().map_err(|cause| format!("{shown}: not Rust tokens: {cause}"))?;
    let mut scan = Scan::default();
    scan.walk(tokens, &mut Vec::new());
    Ok(scan)
}

impl Scan {
    fn walk(&mut self, tokens: TokenStream, inside: &mut Vec<String>) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            if is_test_attribute(&tokens[at..]) {
                at = self.skip_item(&tokens, at + 2);
            } else if starts_path(&tokens, at) {
                at = self.path(&tokens, at, &[], inside);
            } else if let (Some(name), Some(body)) = inline_module(&tokens[at..]) {
                inside.push(name);
                self.walk(body, inside);
                inside.pop();
                at += 3;
            } else {
                if let TokenTree::Group(group) = &tokens[at] {
                    self.walk(group.stream(), inside);
                }
                at += 1;
            }
        }
    }

    /// Steps over the item after a test attribute and returns where the next begins.
    fn skip_item(&mut self, tokens: &[TokenTree], from: usize) -> usize {
        for (offset, token) in tokens[from..].iter().enumerate() {
            let at = from + offset;
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ';' => {
                    if let [.., TokenTree::Ident(word), TokenTree::Ident(name)] = &tokens[from..at]
                        && word == "mod"
                    {
                        self.test_modules.push(name.to_string());
                    }
                    return at + 1;
                }
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => return at + 1,
                _ => {}
            }
        }
        tokens.len()
    }

    /// Reads one path or use-tree that starts at `at`, records it, and returns where it ends.
    fn path(
        &mut self,
        tokens: &[TokenTree],
        mut at: usize,
        prefix: &[String],
        inside: &mut Vec<String>,
    ) -> usize {
        let line = tokens[at].span().start().line;
        let mut segments = prefix.to_vec();
        loop {
            match tokens.get(at) {
                Some(TokenTree::Ident(name)) => segments.push(name.to_string()),
                Some(TokenTree::Punct(star)) if star.as_char() == '*' => {
                    segments.push("*".to_owned());
                }
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    self.branches(group.stream(), &segments, inside);
                    return at + 1;
                }
                _ => break,
            }
            at += 1;
            if !is_double_colon(&tokens[at..]) {
                break;
            }
            at += 2;
        }
        if segments.len() > 1 || prefix.is_empty() {
            self.paths.push(NamedPath { segments, line, inside: inside.clone() });
        }
        at
    }

    fn branches(&mut self, tree: TokenStream, prefix: &[String], inside: &mut Vec<String>) {
        let tokens: Vec<TokenTree> = tree.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            let after = self.path(&tokens, at, prefix, inside);
            // Past `as name` to the comma.
            at = tokens[after..]
                .iter()
                .position(
                    |token| matches!(token, TokenTree::Punct(comma) if comma.as_char() == ','),
                )
                .map_or(tokens.len(), |comma| after + comma + 1);
        }
    }
}

/// `#[cfg(test)]`, `#[cfg(all(test, ...))]`, `#[test]`, `#[tokio::test]`.
fn is_test_attribute(tokens: &[TokenTree]) -> bool {
    let [TokenTree::Punct(hash), TokenTree::Group(group), ..] = tokens else { return false };
    if hash.as_char() != '#' || group.delimiter() != Delimiter::Bracket {
        return false;
    }
    let written: String = group.stream().to_string().split_whitespace().collect();
    let words: Vec<&str> = written.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    match words[0] {
        "cfg" => words.contains(&"test") && !words.contains(&"not"),
        _ => written == "test" || written.starts_with("tokio::test"),
    }
}

fn inline_module(tokens: &[TokenTree]) -> (Option<String>, Option<TokenStream>) {
    match tokens {
        [TokenTree::Ident(word), TokenTree::Ident(name), TokenTree::Group(group), ..]
            if word == "mod" && group.delimiter() == Delimiter::Brace =>
        {
            (Some(name.to_string()), Some(group.stream()))
        }
        _ => (None, None),
    }
}

/// An identifier followed by `::` and not itself behind `::` or `.`.
fn starts_path(tokens: &[TokenTree], at: usize) -> bool {
    let behind = |back: usize, sign: char| {
        at >= back
            && matches!(&tokens[at - back], TokenTree::Punct(punct) if punct.as_char() == sign)
    };
    let follows_path = behind(1, ':') && behind(2, ':') && at >= 3;
    let qualified = follows_path && matches!(&tokens[at - 3], TokenTree::Ident(_));
    matches!(&tokens[at], TokenTree::Ident(_))
        && is_double_colon(&tokens[at + 1..])
        && !qualified
        && !behind(1, '.')
}

fn is_double_colon(tokens: &[TokenTree]) -> bool {
    matches!(
        tokens,
        [TokenTree::Punct(first), TokenTree::Punct(second), ..]
            if first.as_char() == ':' && second.as_char() == ':'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(file: &str, text: &str) -> Vec<String> {
        check_library_file(file, text).unwrap().iter().map(ToString::to_string).collect()
    }

    fn targets(file: &str, text: &str) -> Vec<String> {
        found(file, text)
            .iter()
            .map(|line| {
                let (_, rest) = line.split_once("may not import ").unwrap();
                rest.split(' ').next().unwrap().to_owned()
            })
            .collect()
    }

    #[test]
    fn a_planted_import_is_told_with_file_line_and_row() {
        let told = found("src/analysis/window.rs", "//! Docs.\n\nuse crate::meter::Meter;\n");
        assert_eq!(
            told,
            [
                "src/analysis/window.rs:3: analysis may not import meter (row analysis: may import trace, record, \
              units, carbon, error; never run, backend, meter, clock, tokio, fs, network)"
            ]
        );
    }

    #[test]
    fn allowed_imports_pass() {
        let text =
            "use crate::record::{self, Phase};\nuse crate::units::Joules;\nuse super::stats;";
        assert!(found("src/analysis/window.rs", text).is_empty());
        assert!(found("src/meter/nvml.rs", "use crate::config::component::metrics::M;").is_empty());
    }

    #[test]
    fn use_trees_are_followed_into_their_branches() {
        let text = "use crate::{units::Joules, report::{csv, json as j}, run as r};";
        assert_eq!(targets("src/backend/openai.rs", text), ["report", "report", "run"]);
    }

    #[test]
    fn paths_in_code_and_in_macros_count() {
        let text = "fn f() { let x = crate::run::go(); println!(\"{}\", crate::report::name()); }";
        assert_eq!(targets("src/meter/mod.rs", text), ["run", "report"]);
    }

    #[test]
    fn comments_strings_and_doc_links_do_not_count() {
        let text = "/// See [`crate::run`].\n// use crate::run;\nconst A: &str = \"use crate::run;\";\n\
                    const B: &str = r#\"crate::run::x\"#;\nconst C: char = '\"';";
        assert!(found("src/meter/mod.rs", text).is_empty());
    }

    #[test]
    fn test_modules_and_test_functions_may_import_anything() {
        let text = "#[cfg(test)]\nmod tests { use crate::run::go; }\n#[test]\nfn f() { crate::run::go(); }\n\
                    #[cfg(test)]\nuse crate::run::other;\nuse crate::plan::Plan;";
        assert_eq!(targets("src/meter/mod.rs", text), ["plan"]);
    }

    #[test]
    fn code_for_everything_but_tests_is_checked() {
        assert_eq!(targets("src/meter/mod.rs", "#[cfg(not(test))]\nuse crate::run::go;"), ["run"]);
    }

    #[test]
    fn super_leads_out_of_a_room_only_past_its_root() {
        assert!(found("src/meter/nvml.rs", "use super::sampler::S;").is_empty());
        assert_eq!(targets("src/meter/nvml.rs", "use super::super::run::go;"), ["run"]);
        assert_eq!(targets("src/meter/mod.rs", "use super::run::go;"), ["run"]);
        assert!(found("src/meter/mod.rs", "mod inner { use super::sampler::S; }").is_empty());
        assert_eq!(targets("src/meter/mod.rs", "mod inner { use super::super::run::x; }"), ["run"]);
    }

    #[test]
    fn config_component_is_less_than_config() {
        assert_eq!(targets("src/meter/mod.rs", "use crate::config::BenchmarkConfig;"), ["config"]);
        assert!(found("src/plan/mod.rs", "use crate::config::component::load::L;").is_empty());
    }

    #[test]
    fn banned_outside_paths_are_found_where_they_are_named() {
        assert_eq!(targets("src/analysis/a.rs", "use std::{fmt, fs};"), ["std::fs"]);
        assert_eq!(targets("src/analysis/a.rs", "fn f() { ::std::fs::read(p); }"), ["std::fs"]);
        assert_eq!(targets("src/load/rate.rs", "use tokio::time::Duration;"), ["tokio::time"]);
        assert!(found("src/load/rate.rs", "use tokio::timeless::X;").is_empty());
    }

    #[test]
    fn the_library_imports_no_member_but_hydra_and_that_only_in_config() {
        assert_eq!(
            found("src/registry.rs", "use ai_energy_benchmarks_local::Candle;"),
            ["src/registry.rs:1: the library never imports ai_energy_benchmarks_local"]
        );
        assert_eq!(targets("src/plan/mod.rs", "use hydra_compose::Node;"), ["hydra_compose"]);
        assert!(found("src/config/mod.rs", "use hydra_compose::Node;").is_empty());
    }

    #[test]
    fn globs_over_the_whole_crate_are_refused() {
        assert_eq!(targets("src/meter/mod.rs", "use crate::*;"), ["*"]);
    }

    #[test]
    fn a_room_without_a_row_is_refused() {
        assert!(found("src/utils.rs", "fn f() {}")[0].contains("give it a row"));
    }

    #[test]
    fn a_member_may_not_import_what_its_row_forbids() {
        let told = check_member_file(
            "hydra/src/lib.rs",
            "use ai_energy_benchmarks::units;",
            &["ai_energy_benchmarks"],
        );
        assert_eq!(told.unwrap().len(), 1);
    }

    #[test]
    fn files_of_test_modules_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let meter = folder.path().join("src/meter");
        fs::create_dir_all(&meter).unwrap();
        fs::write(meter.join("mod.rs"), "#[cfg(test)]\nmod tests;\nmod nvml;").unwrap();
        fs::write(meter.join("tests.rs"), "use crate::run::go;").unwrap();
        fs::write(meter.join("nvml.rs"), "use crate::run::go;").unwrap();
        let told = check_library(folder.path()).unwrap();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].file, "src/meter/nvml.rs");
    }
}
