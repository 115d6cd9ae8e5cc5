//! Tells the program which commit it was built from, where git knows.

#![expect(clippy::disallowed_macros, reason = "a build script speaks to cargo by printing")]

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=../.git/logs/HEAD");
    let commit = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok());
    if let Some(commit) = commit {
        println!("cargo:rustc-env=AEB_GIT_COMMIT={}", commit.trim());
    }
}
