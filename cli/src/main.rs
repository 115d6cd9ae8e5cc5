//! The `ai-energy-benchmark` command.
//!
//! Each command is one file under `commands/`; [`terminal`] is the only place that prints.

mod args;
mod calibrate;
mod commands;
mod exit;
mod flags;
mod judge;
mod logging;
mod metering;
mod plan;
mod progress;
mod resume;
mod target;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = Arguments::parse_from(args::with_long_flags(std::env::args()));
    logging::start(arguments.verbose, arguments.log_format);
    let exit = match arguments.command {
        Command::Run(run) => commands::run::run(*run, arguments.log_format),
        Command::Profile(profile) => commands::profile::run(*profile, arguments.log_format),
        Command::Compare(compare) => commands::compare::run(&compare, arguments.log_format),
        Command::Validate(validate) => commands::validate::run(&validate),
        Command::Measure(measure) => commands::measure::run(&measure),
        Command::MockServer(mock) => commands::mock_server::run(*mock),
        Command::Monitor(monitor) => commands::monitor::run(&monitor),
        Command::Show(show) => commands::records::run(&show),
        Command::Doctor(doctor) => commands::doctor::run(&doctor),
        Command::FitWeights(fit) => commands::fit_weights::run(&fit),
        Command::Reference(reference) => commands::reference::run(&reference),
        Command::Windows(windows) => commands::windows::run(&windows),
        Command::Schema(schema) => commands::schema::run(schema),
        Command::Completions(shell) => commands::completions::run(shell),
        Command::Complete(line) => commands::complete::run(&line),
    };
    exit.into()
}
