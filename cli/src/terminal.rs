//! The only printer.

use std::io::{IsTerminal, Write};

use ai_energy_benchmarks::error::Problems;
use rustix::termios::{self, LocalModes, OptionalActions, Termios};

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

/// Whether a person is likely to watch standard output.
pub(crate) fn output_is_watched() -> bool {
    std::io::stdout().is_terminal()
}

/// The next key, of a terminal that gives keys one by one; none at the end of the input.
pub(crate) fn key() -> Option<u8> {
    use std::io::Read;
    let mut key = [0];
    match std::io::stdin().read(&mut key) {
        Ok(1) => Some(key[0]),
        _ => None,
    }
}

/// A view of its own on the terminal; what was there before comes back when it is dropped.
pub(crate) struct Screen {
    /// How keys were read before.
    before: Option<Termios>,
}

impl Screen {
    /// Switches to it, and to keys one by one without echo where input comes from the terminal too.
    pub(crate) fn open() -> Self {
        let stdin = std::io::stdin();
        let before = if stdin.is_terminal() { termios::tcgetattr(&stdin).ok() } else { None };
        if let Some(before) = &before {
            let mut single = before.clone();
            // Ctrl-C stays a signal.
            single.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
            let _ = termios::tcsetattr(&stdin, OptionalActions::Now, &single);
        }
        out("\x1b[?1049h\x1b[?25l");
        Self { before }
    }

    /// Whether keys can be read.
    pub(crate) const fn has_keys(&self) -> bool {
        self.before.is_some()
    }

    /// Columns; 80 where the terminal does not tell.
    pub(crate) fn width(&self) -> usize {
        size().map_or(80, |(width, _)| width)
    }

    /// Shows lines from the top, as many as there is room for.
    pub(crate) fn draw(&self, text: &str) {
        let height = size().map_or(24, |(_, height)| height);
        let mut page = String::from("\x1b[H");
        for (position, line) in text.lines().take(height).enumerate() {
            page.push_str(if position == 0 { "" } else { "\r\n" });
            page.push_str(line);
            page.push_str("\x1b[K");
        }
        page.push_str("\x1b[J");
        out(&page);
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        out("\x1b[?25h\x1b[?1049l");
        if let Some(before) = &self.before {
            let _ = termios::tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// Columns and lines of the terminal.
fn size() -> Option<(usize, usize)> {
    let size = termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then(|| (size.ws_col.into(), size.ws_row.into()))
}
