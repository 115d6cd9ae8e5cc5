//! Records of a measured command: what was asked, and how each of its runs went.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Nanos, Seconds};

/// A command whose energy is measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CommandInfo {
    /// The program and its arguments, as they were given.
    pub argv: Vec<String>,
    /// The shell that reads them, where one does.
    pub shell: Option<String>,
    /// A shell command before each run, outside of what is measured.
    pub prepare: Option<String>,
    /// Measured runs that were asked for.
    pub runs: u32,
    /// Runs before those, for caches.
    pub warmup: u32,
    /// Idle time before and after, for the baseline.
    pub idle_s: Seconds,
    /// What it is called in reports.
    pub label: String,
    /// Whether a failed run does not end the measurement.
    pub ignore_failure: bool,
}

impl CommandInfo {
    /// The command as one line.
    #[must_use]
    pub fn line(&self) -> String {
        self.argv.join(" ")
    }
}

/// One run of the command, written when it has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandRun {
    /// Which, from 0; warm-ups and measured runs are counted apart.
    pub index: u32,
    /// Just before it was started.
    pub began_ns: Nanos,
    /// Just after its end was known.
    pub ended_ns: Nanos,
    /// How it ended.
    #[serde(flatten)]
    pub exit: CommandExit,
    /// Processor time in user mode, of it and of the children it waited for.
    pub user_s: Seconds,
    /// Processor time in the kernel, of the same processes.
    pub system_s: Seconds,
    /// Largest resident set of any one of these processes, in bytes.
    pub max_rss_bytes: Option<u64>,
    /// Whether it was being stopped when it ended.
    #[serde(default)]
    pub interrupted: bool,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CommandExit {
    /// Its exit code; null when a signal ended it.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

impl CommandExit {
    /// Whether it ended with 0.
    #[must_use]
    pub fn is_success(self) -> bool {
        self.exit_code == Some(0)
    }

    /// As shells tell it: the code, or 128 and the signal.
    #[must_use]
    pub fn shell_code(self) -> u8 {
        let code = self.exit_code.or(self.signal.map(|signal| 128 + signal)).unwrap_or(1);
        u8::try_from(code & 0xff).unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exits_are_told_as_shells_do() {
        let exit = |exit_code, signal| CommandExit { exit_code, signal };
        assert_eq!(exit(Some(7), None).shell_code(), 7);
        assert_eq!(exit(None, Some(9)).shell_code(), 137);
        assert!(exit(Some(0), None).is_success() && !exit(None, Some(2)).is_success());
    }
}
