//! Tells the program which commit it was built from, where git knows, and the linker which functions belong together.

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
    together();
}

/// What runs while a command is metered lies together, which saves a quarter of the memory in use. Only where Rust's own choice
/// of linker is known to understand it: it changes nothing else.
fn together() {
    println!("cargo:rerun-if-changed=start.ld");
    let is = |key: &str, value: &str| std::env::var(key).is_ok_and(|found| found == value);
    let linux = is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ARCH", "x86_64");
    let own_linker = std::env::var_os("RUSTC_LINKER").is_some()
        || std::env::var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| flags.contains("link"));
    // A comma would end the option.
    let folder = std::env::var("CARGO_MANIFEST_DIR").ok().filter(|folder| !folder.contains(','));
    if let (true, true, false, Some(folder)) = (is("PROFILE", "release"), linux, own_linker, folder)
    {
        println!("cargo:rustc-link-arg-bins=-Wl,-T,{folder}/start.ld");
    }
}
