//! The only printer.

use std::io::{IsTerminal, Write};

use ai_energy_benchmarks::error::Problems;

/// Prints to standard output. A reader that went away (`| head`) is no error.
pub(crate) fn out(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Prints a line to standard error.
pub(crate) fn note(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = writeln!(stderr, "{text}");
}

/// Prints every problem to standard error.
pub(crate) fn problems(problems: &Problems) {
    for problem in &problems.0 {
        note(&format!("error: {problem}"));
    }
    let count = problems.0.len();
    if count > 1 {
        note(&format!("{count} problems"));
    }
}

/// Whether a person is likely to watch standard error.
pub(crate) fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}
