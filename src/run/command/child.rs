//! One run of the measured command: starts it, forwards signals, stamps its end.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::sync::oneshot;
use wait4::{ResUse, Wait4};

use super::Output;
use crate::clock;
use crate::record::CommandInfo;
use crate::units::Nanos;

/// What is known of an end.
enum End {
    Ahead(oneshot::Receiver<io::Result<(Nanos, ResUse)>>),
    Known(io::Result<(Nanos, ResUse)>),
}

/// A command that runs.
pub(super) struct Running {
    /// Just before it was started.
    pub(super) began: Nanos,
    /// Its end with the time at which it was known, and what it used.
    end: End,
    /// Gone when it has ended, so that no signal reaches another process with its number.
    pid: Arc<Mutex<Option<Pid>>>,
}

impl Running {
    /// Waits until it has ended.
    pub(super) async fn ended(&mut self) {
        if let End::Ahead(end) = &mut self.end {
            let lost = |_| Err(io::Error::other("nobody waited for it"));
            let known = end.await.unwrap_or_else(lost);
            self.end = End::Known(known);
        }
    }

    /// When it ended and what it used, once it has.
    pub(super) fn end(&mut self) -> io::Result<(Nanos, ResUse)> {
        match &self.end {
            End::Ahead(_) => Err(io::ErrorKind::WouldBlock.into()),
            End::Known(Ok(known)) => Ok(*known),
            End::Known(Err(cause)) => Err(io::Error::new(cause.kind(), cause.to_string())),
        }
    }

    /// Sends it a signal, if it still runs.
    pub(super) fn signal(&self, signal: Signal) {
        let pid = self.pid.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = *pid {
            // It may end at this very moment; then there is nothing to tell.
            let _ = kill_process(pid, signal);
        }
    }
}

/// How the measured command is started.
pub(super) fn command(
    info: &CommandInfo,
    output: &Output,
    input: Option<&Path>,
) -> io::Result<Command> {
    let mut command = match &info.shell {
        Some(shell) => shell_line(shell, &info.line()),
        None => {
            let (program, arguments) =
                info.argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
            let mut command = Command::new(program);
            command.args(arguments);
            command
        }
    };
    if let Some(path) = input {
        command.stdin(File::open(path)?);
    }
    match output {
        Output::Inherit => {}
        Output::Null => {
            command.stdout(Stdio::null());
        }
        Output::File(path) => {
            command.stdout(File::options().append(true).create(true).open(path)?);
        }
    }
    Ok(command)
}

/// A line for a shell.
pub(super) fn shell_line(shell: &str, line: &str) -> Command {
    let mut command = Command::new(shell);
    command.arg("-c").arg(line);
    command
}

/// Starts it and a thread that waits for its end: waiting there is the only way to have the processor time of
/// this child alone.
pub(super) fn start(mut command: Command) -> io::Result<Running> {
    let began = clock::now();
    let child = command.spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let shared = Arc::new(Mutex::new(pid));
    let (sender, end) = oneshot::channel();
    let known = Arc::clone(&shared);
    // Its end is seen through the channel; nobody waits for the thread itself.
    drop(crate::run::spawn_thread("command", move || {
        // First without burying it: its number stays its own until signals are off.
        if let Some(pid) = pid {
            while let Err(rustix::io::Errno::INTR) =
                waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
            {
            }
        }
        let ended = clock::now();
        *known.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let _ = sender.send(child.wait4().map(|used| (ended, used)));
    }));
    Ok(Running { began, end: End::Ahead(end), pid: shared })
}

/// Whether Ctrl-C reaches the child by itself: the terminal sends it to the whole foreground group, ours.
pub(super) fn terminal_signals_both() -> bool {
    let Ok(terminal) = File::open("/dev/tty") else { return false };
    rustix::termios::tcgetpgrp(&terminal)
        .is_ok_and(|foreground| foreground == rustix::process::getpgrp())
}

/// Where a program lies, as `execvp` looks for it; none when it is nowhere.
pub(super) fn find_program(name: &str, search_path: Option<&str>) -> Option<PathBuf> {
    let runs = |path: &Path| {
        path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
    };
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| runs(path));
    }
    let folders = search_path.unwrap_or("/usr/local/bin:/usr/bin:/bin");
    std::env::split_paths(folders).map(|folder| folder.join(name)).find(|path| runs(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_as_a_shell_finds_them() {
        assert!(find_program("sh", Some("/nowhere:/bin")).is_some());
        assert!(find_program("/bin/sh", None).is_some());
        assert_eq!(find_program("no-such-program-here", Some("/bin")), None);
        assert_eq!(find_program("/etc/passwd", None), None, "a file that cannot be run");
    }
}
