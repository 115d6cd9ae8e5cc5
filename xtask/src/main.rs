//! Project chores, run as `cargo xtask CHORE`.

mod codecarbon_vectors;
mod doc_paths;
mod docs;
mod files;
mod rooms;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask CHORE
  rooms            check who imports whom against the table in xtask/src/rooms.rs
  docs [--check]   write the generated pages under docs/ and in ARCHITECTURE.md (or check that they are current)
  doc-paths        check that every link and path named in a Markdown file exists
  vectors FILE...  run vector files made by Hydra, OmegaConf and CodeCarbon; prints the cases that differ and the score
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = repository();
    let told = match words.as_slice() {
        ["rooms"] => {
            rooms::check(&root).map(|found| found.iter().map(ToString::to_string).collect())
        }
        ["docs"] => docs::write(&root),
        ["docs", "--check"] => docs::check(&root),
        ["doc-paths"] => doc_paths::check(&root),
        ["vectors", files @ ..] if !files.is_empty() => return vectors(files),
        _ => {
            say(&mut std::io::stderr(), USAGE);
            return ExitCode::from(2);
        }
    };
    match told {
        Ok(problems) if problems.is_empty() => {
            say(&mut std::io::stdout(), &format!("{}: ok\n", words.join(" ")));
            ExitCode::SUCCESS
        }
        Ok(problems) => {
            say(&mut std::io::stderr(), &format!("{}\n", problems.join("\n")));
            ExitCode::FAILURE
        }
        Err(cause) => {
            say(&mut std::io::stderr(), &format!("error: {cause}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Runs vector files; the score is the last line.
fn vectors(files: &[&str]) -> ExitCode {
    let mut told = String::new();
    let (carbon, others): (Vec<&Path>, Vec<&Path>) =
        files.iter().map(Path::new).partition(|file| codecarbon_vectors::is_ours(file));
    let mut all_agree = true;
    if !carbon.is_empty() {
        let mut sum = codecarbon_vectors::Score::default();
        for file in carbon {
            let score = codecarbon_vectors::run(file, &mut told);
            sum.passed += score.passed + score.refused;
            sum.failed += score.failed;
        }
        told.push_str(&format!("{} passed, {} failed\n", sum.passed, sum.failed));
        all_agree = sum.failed == 0;
    }
    if !others.is_empty() {
        all_agree &= hydra_conformance::score(others, &mut told);
    }
    say(&mut std::io::stdout(), &told);
    if all_agree { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The repository's root. `cargo run` says where it is now; a target folder may be shared by several checkouts.
fn repository() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.parent().map(Path::to_path_buf).unwrap_or_default()
}

/// A reader that went away (`| head`) is no failure of the chore.
fn say(to: &mut dyn Write, text: &str) {
    to.write_all(text.as_bytes()).ok();
}
