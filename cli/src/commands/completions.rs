//! `ai-energy-benchmark completions`.

use clap::CommandFactory;

use crate::args::{Arguments, CompletionArgs};
use crate::exit::Exit;
use crate::terminal;

pub(crate) fn run(arguments: CompletionArgs) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Arguments::command(),
        "ai-energy-benchmark",
        &mut script,
    );
    terminal::out(&String::from_utf8_lossy(&script));
    Exit::Ok
}
