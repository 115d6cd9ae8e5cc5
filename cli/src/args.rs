//! What can be typed.

use std::path::PathBuf;

use ai_energy_benchmarks::config::component::reference::{ReferenceFormat, ReferenceScope};
use ai_energy_benchmarks_mockserver::MockOptions;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::flags::{Flags, ShortFlags};

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
    Run(Box<RunArgs>),
    /// Benchmark a server without a config: `profile -m MODEL -u URL --concurrency 8 --request-count 100 --isl 128 --osl 64`
    Profile(Box<ProfileArgs>),
    /// Compare two sets of runs, or make the runs of two configs in turn and compare them
    Compare(CompareArgs),
    /// Check a config and everything it names, without sending a request; all problems at once
    Validate(ValidateArgs),
    /// Measure the energy of any command: `measure -r 10 -- COMMAND ARGUMENTS`
    Measure(Box<MeasureArgs>),
    /// Serve an OpenAI-compatible API with exact timing and planted faults, to test clients and tools against
    MockServer(Box<MockServerArgs>),
    /// Watch every sensor of this machine
    Monitor(MonitorArgs),
    /// Report again from the records of a run folder
    Show(ShowArgs),
    /// Show which sensors exist here, which could with what permission, and what a run would count
    Doctor(DoctorArgs),
    /// Fit the weights of prefill and decode on earlier runs, for runs whose own mix does not tell them
    FitWeights(FitWeightsArgs),
    /// Add an external meter's file to a run: its clock is aligned, its energy shown, a sensor's gain kept
    Reference(ReferenceArgs),
    /// Print the energy and uncertainty of every marked interval of a recording, a JSON line each
    Windows(WindowsArgs),
    /// Print a JSON Schema
    #[command(subcommand)]
    Schema(SchemaKind),
    /// Print a completion script for a shell
    Completions(CompletionArgs),
    /// Print what the last word of a command line may become; completion scripts call it
    #[command(hide = true)]
    Complete(CompleteArgs),
}

/// A server that does exactly what it is told.
#[derive(Debug, Args)]
pub(crate) struct MockServerArgs {
    #[command(flatten)]
    pub options: MockOptions,
    /// Print the counts at the end as JSON
    #[arg(long)]
    pub json: bool,
}

/// A recording of a GPU's sensors around known work.
#[derive(Debug, Args)]
pub(crate) struct WindowsArgs {
    /// Readings: t_before_ns, t_after_ns, power_instant_mw, power_usage_mw, total_energy_mj, t_energy_ns
    #[arg(value_name = "TRACE.csv")]
    pub trace: PathBuf,
    /// What ran when: an object with `marks`, each with `t` in nanoseconds and `name`
    #[arg(value_name = "MARKS.json")]
    pub marks: PathBuf,
    /// How late the sensor shows what happened
    #[arg(long, value_enum, default_value_t = TimingArg::Auto)]
    pub timing: TimingArg,
}

/// How late a sensor is taken to show what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TimingArg {
    /// Fitted on the recording where it has known work of several lengths, else as known of the GPU
    Auto,
    /// As known of the GPU from other recordings
    Known,
    /// Not at all
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// Which config, and changes to it.
///
/// Two shapes: files and folders by their path, or as Hydra takes them, a folder and a name in it.
#[derive(Debug, Default, Args)]
pub(crate) struct ConfigArgs {
    /// YAML configs or folders of them, and changes to all: key=value, +key=value, ++key=value, ~key
    #[arg(value_name = "CONFIG | KEY=VALUE")]
    pub words: Vec<String>,
    /// Folder of configs, with --config-name [short: -cd]
    #[arg(long, value_name = "DIR")]
    pub config_dir: Option<PathBuf>,
    /// The same, as wrappers of AIEnergyScore name it [short: -cp]
    #[arg(long, value_name = "DIR", conflicts_with = "config_dir")]
    pub config_path: Option<PathBuf>,
    /// Name of a config in that folder, without .yaml [short: -cn]
    #[arg(long, value_name = "NAME")]
    pub config_name: Option<String>,
    /// How configs are read
    #[arg(long, value_enum, default_value_t = Dialect::Auto)]
    pub dialect: Dialect,
    /// Name and YAML of a config that is no file.
    #[arg(skip)]
    pub text: Option<(String, String)>,
}

impl ConfigArgs {
    /// Whether a config is named Hydra's way.
    pub(crate) fn is_hydra_shaped(&self) -> bool {
        self.config_dir.is_some() || self.config_path.is_some() || self.config_name.is_some()
    }
}

/// How configs are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dialect {
    /// By what the config is: ours, or optimum-benchmark's; ours may hold ${NAME:-default}
    #[default]
    Auto,
    /// Exactly as Hydra 1.3 and OmegaConf 2.3 read them
    Strict,
    /// As AIEnergyScore's wrapper does: no defaults list, no struct
    Aienergyscore,
}

/// What of a config is shown instead of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shown {
    /// The config of the benchmark
    Job,
    /// The config of Hydra itself: folders, sweep, job
    Hydra,
    /// Both
    All,
}

/// What about a config is shown instead of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Info {
    /// Everything
    All,
    /// Search path, tree and list of defaults, and the config
    Config,
    /// The defaults list
    Defaults,
    /// The defaults as a tree
    DefaultsTree,
    /// Where configs are looked for
    Searchpath,
}

#[derive(Debug, Default, Args)]
#[command(
    after_help = "Exit codes: 0 ok, 1 run failed, 2 usage or config, 3 finished with failures, 130 interrupted.\n\
                  With --config-name, as Hydra's: 1 also for what is wrong with the config."
)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Run every combination of the values that changes name: key=1,2 or key=range(1,5)
    #[arg(short, long)]
    pub multirun: bool,
    /// Run once; the default, as Hydra's flag says it
    #[arg(long, conflicts_with = "multirun")]
    pub run: bool,
    /// Print the composed config and stop
    #[arg(short, long, value_enum, value_name = "WHICH", conflicts_with_all = ["multirun", "run", "info"])]
    pub cfg: Option<Shown>,
    /// Of the composed config only this part
    #[arg(short, long, value_name = "KEY", requires = "cfg")]
    pub package: Option<String>,
    /// With interpolations resolved
    #[arg(long, requires = "cfg")]
    pub resolve: bool,
    /// Print how the config is composed and stop
    #[arg(short, long, value_enum, value_name = "WHAT", num_args = 0..=1, default_missing_value = "all",
          conflicts_with = "run")]
    pub info: Option<Info>,
    /// Stop a sweep, or a row of configs, at the first failure
    #[arg(long)]
    pub fail_fast: bool,
    /// Skip the cells of a sweep whose report is complete: in this sweep folder, or the newest of the same sweep
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true)]
    pub resume: Option<Option<PathBuf>>,
    /// Catch every change of every energy counter, as metrics.fine: to study a sensor; costs some 9 % of a core on an H100
    #[arg(long)]
    pub fine: bool,
    /// End with 4, after everything is written, when this client was the limit or that cannot be told
    #[arg(long)]
    pub strict_client: bool,
    /// Print report.json on standard output and nothing else there; of several runs one a line
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub flags: Flags,
}

/// A benchmark without a config.
#[derive(Debug, Args)]
#[command(
    after_help = "Values with commas (--concurrency 1,8,32) make a sweep. Everything else that a config can say is a change: KEY=VALUE.\n\
                  Exit codes: 0 ok, 1 run failed, 2 usage, 3 finished with failures, 4 with --strict-client, 130 interrupted."
)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct ProfileArgs {
    #[command(flatten)]
    pub flags: ShortFlags,
    /// Changes to the config that the flags make: key=value, +key=value, ~key
    #[arg(value_name = "KEY=VALUE")]
    pub words: Vec<String>,
    /// Print the config that the flags make and stop: save it, and `run` does the same
    #[arg(long)]
    pub dry_run: bool,
    /// The same, as Hydra's flag says it
    #[arg(short, long, value_enum, value_name = "WHICH", conflicts_with = "dry_run")]
    pub cfg: Option<Shown>,
    /// Stop a sweep at the first failure
    #[arg(long)]
    pub fail_fast: bool,
    /// End with 4, after everything is written, when this client was the limit or that cannot be told
    #[arg(long)]
    pub strict_client: bool,
    /// Print report.json on standard output and nothing else there; of several runs one a line
    #[arg(long)]
    pub json: bool,
}

/// A test of two sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompareTest {
    /// Value by value, in the order of time
    Paired,
    /// Two independent sets
    Welch,
}

/// What lies between two values of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum CompareUnit {
    /// The same process serves them all
    WithinProcess,
    /// The model is loaded again
    AcrossRestarts,
    /// Another day
    AcrossDays,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// Run folders of the first set, those of the second after `--`; with --run, changes to both configs
    #[arg(value_name = "RUN | KEY=VALUE")]
    pub first: Vec<String>,
    #[arg(last = true, value_name = "RUN", hide = true, conflicts_with = "run")]
    pub second: Vec<PathBuf>,
    /// Run folders of the first set
    #[arg(long, value_name = "RUN", num_args = 1.., conflicts_with_all = ["first", "run"])]
    pub a: Vec<PathBuf>,
    /// Run folders of the second set
    #[arg(long, value_name = "RUN", num_args = 1.., conflicts_with_all = ["second", "run"])]
    pub b: Vec<PathBuf>,
    /// Make the runs: two configs, in turn (ABBA)
    #[arg(long, value_names = ["A.yaml", "B.yaml"], num_args = 2)]
    pub run: Option<Vec<PathBuf>>,
    /// Runs of each config, 2 or more
    #[arg(long, value_name = "N", default_value_t = 8, requires = "run",
          value_parser = clap::value_parser!(u32).range(2..))]
    pub repetitions: u32,
    /// Compare also what is not alike: other models, synthetic weights beside real ones
    #[arg(long)]
    pub unlike: bool,
    /// Which test; by default the one that the order of the runs allows
    #[arg(long, value_enum)]
    pub test: Option<CompareTest>,
    /// What lies between two runs, where they do not tell
    #[arg(long, value_enum)]
    pub unit: Option<CompareUnit>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Check every cell of the sweep
    #[arg(short, long)]
    pub multirun: bool,
}

/// The energy of a command.
#[derive(Debug, Args)]
#[command(
    after_help = "The command has this program's input, output and terminal; the report goes to standard error.\n\
                  Exit code: the command's own (of the first run that failed), 128 and the signal that ended it, 126 or 127 \
                  where it cannot be run, 2 for a wrong command line. With --ignore-failure 0."
)]
pub(crate) struct MeasureArgs {
    /// Measured runs
    #[arg(short, long, default_value_t = 1, value_name = "N")]
    pub runs: u32,
    /// Runs before those, which are in no figure
    #[arg(short, long, default_value_t = 0, value_name = "N")]
    pub warmup: u32,
    /// Seconds of idling before and after: gives the net energy beside the gross
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS")]
    pub idle: f64,
    /// Shell command before each run, outside of the measurement
    #[arg(short, long, value_name = "COMMAND")]
    pub prepare: Option<String>,
    /// Let a shell read the command: pipes, variables, several commands
    #[arg(short = 'S', long, value_name = "SHELL", num_args = 0..=1, require_equals = true, default_missing_value = "sh")]
    pub shell: Option<String>,
    /// Go on when a run fails, and exit with 0
    #[arg(short, long)]
    pub ignore_failure: bool,
    /// What the command is called in reports and folders
    #[arg(short, long, value_name = "NAME")]
    pub label: Option<String>,
    /// Where the command's standard output goes: inherit, null, or the end of a file
    #[arg(long, default_value = "inherit", value_name = "WHERE")]
    pub output: String,
    /// File for the command's standard input, from its beginning in every run
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// GPUs to count: indices, UUIDs or their beginnings, separated by commas; or none
    #[arg(long, value_name = "LIST")]
    pub gpus: Option<String>,
    /// Country of the electricity (USA, DEU, ...), for emissions
    #[arg(long, value_name = "COUNTRY")]
    pub country: Option<String>,
    /// State or province, where a table exists
    #[arg(long, value_name = "NAME", requires = "country")]
    pub region: Option<String>,
    /// Carbon intensity in gCO2e/kWh, instead of the tables'
    #[arg(long, value_name = "G_PER_KWH")]
    pub carbon_intensity: Option<f64>,
    /// Seconds between reads of sensors that have no better cadence of their own
    #[arg(long, value_name = "SECONDS")]
    pub sample_period: Option<f64>,
    /// Catch every change of every energy counter: for short runs on a GPU; costs some 9 % of a core there
    #[arg(long)]
    pub fine: bool,
    /// Any other key of `metrics` in a config: cpu_tdp_w=65, scope=process; may be given several times
    #[arg(short, long = "metrics", value_name = "KEY=VALUE")]
    pub metrics: Vec<String>,
    /// A further meter, as under `meter` in a config: '{type: exec, command: [./read]}'; may be given several times
    #[arg(long, value_name = "SETTINGS")]
    pub meter: Vec<String>,
    /// Write the findings as JSON; - for standard output
    #[arg(long, value_name = "FILE")]
    pub export_json: Option<PathBuf>,
    /// Write one row a run as CSV; - for standard output
    #[arg(long, value_name = "FILE")]
    pub export_csv: Option<PathBuf>,
    /// Print no report
    #[arg(short, long)]
    pub quiet: bool,
    /// Folder of the run folders
    #[arg(long, default_value = "results", value_name = "DIR")]
    pub output_dir: PathBuf,
    /// The command and its arguments
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        required = true,
        value_name = "COMMAND"
    )]
    pub command: Vec<String>,
}

/// A live view of the sensors.
#[derive(Debug, Args)]
#[command(
    after_help = "q or Ctrl-C ends it with a summary. Where standard output is no terminal it prints a line an interval."
)]
pub(crate) struct MonitorArgs {
    /// Seconds between two showings
    #[arg(short = 'n', long, default_value_t = 1.0, value_name = "SECONDS")]
    pub interval: f64,
    /// End after so many seconds
    #[arg(long, value_name = "SECONDS", conflicts_with = "once")]
    pub duration: Option<f64>,
    /// Show one interval and end
    #[arg(long)]
    pub once: bool,
    /// One JSON object a line, for pipes
    #[arg(long)]
    pub json: bool,
    /// GPUs to show: indices, UUIDs or their beginnings, separated by commas; or none
    #[arg(long, value_name = "LIST")]
    pub gpus: Option<String>,
    /// Catch every change of every energy counter
    #[arg(long)]
    pub fine: bool,
    /// Any key of `metrics` in a config: cpu_tdp_w=65; may be given several times
    #[arg(short, long = "metrics", value_name = "KEY=VALUE")]
    pub metrics: Vec<String>,
    /// A further meter, as under `meter` in a config: '{type: exec, command: [./read]}'; may be given several times
    #[arg(long, value_name = "SETTINGS")]
    pub meter: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The run folder: of a run or of a measured command, complete or not
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Print the survey, or the calibration, as JSON
    #[arg(long)]
    pub json: bool,
    /// Measure this client against the built-in mock server: lag, cost of a token, highest rate; takes about so many seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "60",
          value_parser = calibration_time, conflicts_with_all = ["words", "config_dir", "config_path", "config_name"])]
    pub calibrate: Option<f64>,
    #[command(flatten)]
    pub config: ConfigArgs,
}

#[derive(Debug, Args)]
pub(crate) struct FitWeightsArgs {
    /// Folders of runs on one server: some that only prefill (max_new_tokens 1), some that mostly decode, or mixed ones
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Tokens of one step of the server at most (--max-num-batched-tokens of vLLM), where it is known
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_batched_tokens: Option<u32>,
    /// Print JSON with covariances instead of a piece of config
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReferenceArgs {
    /// Folder of the run
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// The meter's file: a power analyser's CSV, PTDaemon, Redfish, IPMI or a smart plug
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Its form; by its content where left out
    #[arg(long, value_parser = reference_format)]
    pub format: Option<ReferenceFormat>,
    /// What it measures: wall (the whole machine) or gpu
    #[arg(long, value_parser = reference_scope)]
    pub scope: Option<ReferenceScope>,
    /// With --scope gpu: the GPU's UUID or index, where several were counted
    #[arg(long)]
    pub device: Option<String>,
    /// Column of the readings, where several would do
    #[arg(long)]
    pub column: Option<String>,
    /// Bound of the meter's error in per cent, from its data sheet; without it no gain is kept
    #[arg(long, value_name = "PERCENT", value_parser = not_negative)]
    pub accuracy_percent: Option<f64>,
    /// Hours that its clock is ahead of UTC, where its times name no zone
    #[arg(long, value_name = "HOURS", allow_negative_numbers = true)]
    pub utc_offset_hours: Option<f64>,
    /// How far its clock may be off: the search goes that far [default: 120]
    #[arg(long, value_name = "SECONDS", value_parser = not_negative)]
    pub max_offset_s: Option<f64>,
    /// Its clock is known to be right within so many seconds; used where no load step tells
    #[arg(long, value_name = "SECONDS", value_parser = not_negative)]
    pub clock_bound_s: Option<f64>,
    /// With --scope wall: share of the wall power that reaches the GPU
    #[arg(long, value_name = "SHARE", requires = "conversion_uncertainty", value_parser = not_negative)]
    pub conversion_efficiency: Option<f64>,
    /// How far that share may be off, relative
    #[arg(long, value_name = "SHARE", requires = "conversion_efficiency", value_parser = not_negative)]
    pub conversion_uncertainty: Option<f64>,
    /// Where gains are kept, or none [default: calibrations.json in the user's data folder]
    #[arg(long, value_name = "FILE")]
    pub calibrations: Option<String>,
    /// Print what the external meters showed as JSON
    #[arg(long)]
    pub json: bool,
}

fn reference_format(text: &str) -> Result<ReferenceFormat, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}

fn reference_scope(text: &str) -> Result<ReferenceScope, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}

fn calibration_time(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (3.0..=600.0).contains(&seconds) => Ok(seconds),
        _ => Err("seconds, 3 to 600".to_owned()),
    }
}

fn not_negative(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if value.is_finite() && value >= 0.0 { Ok(value) } else { Err("0 or more".to_owned()) }
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum SchemaKind {
    /// Of the config
    Config,
    /// Of report.json
    Report,
}

#[derive(Debug, Args)]
pub(crate) struct CompleteArgs {
    /// The line up to the cursor, the program's name included
    #[arg(allow_hyphen_values = true)]
    pub line: String,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct CompletionArgs {
    /// Which shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Hydra's short flags of two letters, which clap has no words for.
pub(crate) fn with_long_flags(words: impl Iterator<Item = String>) -> Vec<String> {
    const LONG: [(&str, &str); 3] =
        [("-cd", "--config-dir"), ("-cn", "--config-name"), ("-cp", "--config-path")];
    let mut words = words.peekable();
    let mut before: Vec<String> = words.next().into_iter().collect();
    // The words of a measured command are not ours to change.
    if words.peek().is_some_and(|word| word == "measure") {
        before.extend(words);
        return before;
    }
    let changed = words.map(|word| {
        let (flag, value) =
            word.split_once('=').map_or((word.as_str(), None), |(f, v)| (f, Some(v)));
        match (LONG.iter().find(|(short, _)| *short == flag), value) {
            (Some((_, long)), Some(value)) => format!("{long}={value}"),
            (Some((_, long)), None) => (*long).to_owned(),
            (None, _) => word,
        }
    });
    before.into_iter().chain(changed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    fn run_args(words: &[&str]) -> RunArgs {
        let words = ["ai-energy-benchmark", "run"].iter().chain(words);
        let words = with_long_flags(words.map(|word| (*word).to_owned()));
        match Arguments::parse_from(words).command {
            Command::Run(run) => *run,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn hydras_short_flags_are_understood() {
        let run = run_args(&["-cd", "conf", "-cn=a", "x=1,2", "-c", "job", "-p", "db"]);
        assert_eq!(run.config.config_dir.as_deref(), Some(std::path::Path::new("conf")));
        assert_eq!(run.config.config_name.as_deref(), Some("a"));
        assert!(run_args(&["-m", "c.yaml"]).multirun);
        assert_eq!((run.cfg, run.package.as_deref()), (Some(Shown::Job), Some("db")));
        assert_eq!(run.config.words, ["x=1,2"]);
    }

    #[test]
    fn changes_may_stand_anywhere_and_begin_with_any_sign() {
        let run = run_args(&["~a", "c.yaml", "+b=1", "--json", "++c=2", "d=-1"]);
        assert_eq!(run.config.words, ["~a", "c.yaml", "+b=1", "++c=2", "d=-1"]);
    }

    fn compare_args(words: &[&str]) -> Result<CompareArgs, clap::Error> {
        let words = ["ai-energy-benchmark", "compare"].iter().chain(words);
        match Arguments::try_parse_from(words)?.command {
            Command::Compare(compare) => Ok(compare),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn two_sets_are_told_apart_by_flags_or_a_double_dash() {
        let dashed = compare_args(&["r/1", "r/2", "--", "r/3"]).unwrap();
        assert_eq!(dashed.first, ["r/1", "r/2"]);
        assert_eq!(dashed.second, [PathBuf::from("r/3")]);
        let flagged = compare_args(&["--a", "r/1", "r/2", "--b", "r/3", "--json"]).unwrap();
        assert_eq!((flagged.a.len(), flagged.b.len(), flagged.json), (2, 1, true));
        let made =
            compare_args(&["--run", "a.yaml", "b.yaml", "x=1", "--repetitions", "4"]).unwrap();
        assert_eq!((made.run.unwrap().len(), made.repetitions), (2, 4));
        assert_eq!(made.first, ["x=1"]);
        for wrong in [
            &["--run", "a.yaml"] as &[&str],
            &["--run", "a.yaml", "b.yaml", "--repetitions", "1"],
            &["--run", "a.yaml", "b.yaml", "--a", "r"],
            &["--unit", "across-moons"],
        ] {
            assert!(compare_args(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn information_without_a_word_is_all_of_it() {
        assert_eq!(run_args(&["c.yaml", "--info"]).info, Some(Info::All));
        assert_eq!(run_args(&["--info", "defaults-tree", "c.yaml"]).info, Some(Info::DefaultsTree));
        assert_eq!(run_args(&["c.yaml", "--resume"]).resume, Some(None));
        assert_eq!(run_args(&["c.yaml", "--resume=x"]).resume, Some(Some("x".into())));
    }

    fn measure_args(words: &[&str]) -> MeasureArgs {
        let words = ["ai-energy-benchmark", "measure"].iter().chain(words);
        let words = with_long_flags(words.map(|word| (*word).to_owned()));
        match Arguments::parse_from(words).command {
            Command::Measure(measure) => *measure,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_words_of_a_measured_command_are_its_own() {
        let measure =
            measure_args(&["-r", "3", "--idle", "1", "--", "prog", "-r", "9", "-cd", "--json"]);
        assert_eq!((measure.runs, measure.shell.as_deref()), (3, None));
        assert_eq!(measure.command, ["prog", "-r", "9", "-cd", "--json"]);
        let measure = measure_args(&["-S", "-q", "prog", "--help", "--", "x"]);
        assert_eq!(measure.shell.as_deref(), Some("sh"));
        assert_eq!(measure.command, ["prog", "--help", "--", "x"]);
    }
}
