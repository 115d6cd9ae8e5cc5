//! Exit codes, as documented in `docs/exit-codes.md`.

use std::process::ExitCode;

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything that was asked.
    Ok,
    /// The run failed: nothing succeeded.
    RunFailed,
    /// The command line or the config is wrong.
    Usage,
    /// Finished, with failures.
    WithFailures,
    /// The client was the limit, or it cannot be told, and `--strict-client` forbids that.
    ClientLimited,
    /// Ctrl-C or SIGTERM; the report is marked incomplete.
    Interrupted,
    /// As the measured command did.
    Of(u8),
}

impl Exit {
    /// What is wrong with a config: Hydra's code where it was named Hydra's way.
    pub(crate) const fn config(hydra_shaped: bool) -> Self {
        if hydra_shaped { Self::RunFailed } else { Self::Usage }
    }

    /// The number that the shell sees.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::RunFailed => 1,
            Self::Usage => 2,
            Self::WithFailures => 3,
            Self::ClientLimited => 4,
            Self::Interrupted => 130,
            Self::Of(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
