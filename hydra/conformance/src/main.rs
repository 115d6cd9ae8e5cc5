//! `hydra-conformance FILE...`: runs vector files, prints the cases that differ, and the score.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let mut score = String::new();
    let all_passed = hydra_conformance::score(files.iter().map(Path::new), &mut score);
    // A reader that went away is no failure of the run.
    let _ = std::io::stdout().write_all(score.as_bytes());
    if all_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
