//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// What does a token cost, in joules and in grams of CO2, and can that number be trusted?
#[derive(Debug, Parser)]
#[command(name = "ai-energy-benchmark", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub command: Command,
    /// More log lines on standard error: -v what is done, -vv why, -vvv everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Form of the log lines
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a benchmark and report joules
    Run(RunArgs),
    /// Check a config and everything it names, without sending a request; all problems at once
    Validate(ConfigArgs),
    /// Show which sensors exist here, which could with what permission, and what a run would count
    Doctor(DoctorArgs),
    /// Print a JSON Schema
    #[command(subcommand)]
    Schema(SchemaKind),
    /// Print a completion script for a shell
    Completions(CompletionArgs),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// A config file with changes.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// YAML config
    #[arg(value_name = "CONFIG")]
    pub config: PathBuf,
    /// Changes to it: key=value, +key=value, ++key=value, ~key
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 ok, 1 run failed, 2 usage or config, 3 finished with failures, 130 interrupted."
)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Print report.json on standard output and nothing else there
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Print the survey as JSON
    #[arg(long)]
    pub json: bool,
    /// A config whose selection of devices and sensors is to be shown
    #[arg(value_name = "CONFIG")]
    pub config: Option<PathBuf>,
    /// Changes to it
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum SchemaKind {
    /// Of the config
    Config,
    /// Of report.json
    Report,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct CompletionArgs {
    /// Which shell
    #[arg(value_enum)]
    pub shell: Shell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        super::Arguments::command().debug_assert();
    }
}
