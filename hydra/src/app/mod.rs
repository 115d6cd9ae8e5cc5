//! Hydra's command line as a library: flags, `--cfg`, `--info`, helps, completion, runs and sweeps
//! with their folders and files.
//!
//! Nothing here prints: what is said goes to the writers of the caller. Nothing changes the folder or
//! the variables of the process: a [`Job`] says what they should be, and the program that runs it
//! sees to that.
//!
//! | module | what it does |
//! |---|---|
//! | `args` | [`Arguments`]: the flags, as `argparse` reads them |
//! | `session` | [`Session`]: the steps, one by one, and [`SweepPlan`] |
//! | `job` | [`Job`]: one job, its folder and its files |
//! | `execute` | runs and sweeps, from the first step to the exit code |
//! | `show`, `info`, `help`, `complete`, `shell` | what is told instead of running |
//! | `logging` | Hydra's own lines, where and how `hydra.hydra_logging` wants them |
//! | `context` | `${hydra:...}`, `${now:...}`, one time for all jobs |

mod args;
mod complete;
mod context;
mod execute;
mod help;
mod info;
mod job;
mod logging;
mod session;
mod shell;
mod show;

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;

pub use args::{Arguments, Info, Request, Show, UsageError, usage};
pub use complete::without_program;
pub use job::{CreateError, Job, JobError};
pub use session::{Mode, Session, SweepPlan};

use self::shell::Shell;
use crate::Dialect;
use crate::env::{Environment, ProcessEnvironment};
use crate::error::Errors;
use crate::hydra_conf::HYDRA_VERSION;
use crate::loader::RunMode;
use crate::merge::Strictness;
use crate::moment::Moment;
use crate::repository::ConfigStore;

/// A program with Hydra's command line.
pub struct App<'e> {
    name: String,
    program: String,
    store: ConfigStore,
    environment: &'e dyn Environment,
    cwd: PathBuf,
    config_path: Option<String>,
    config_name: Option<String>,
    dialect: Dialect,
    strictness: Strictness,
    fail_fast: bool,
    resume: Option<Box<IsDone<'e>>>,
    moment: Option<Moment>,
}

/// Whether a job of a sweep is done already.
type IsDone<'e> = dyn Fn(&Job) -> bool + 'e;

/// Why a command line came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(String);

impl Failure {
    fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<Errors> for Failure {
    fn from(errors: Errors) -> Self {
        Self(errors.to_string())
    }
}

impl From<CreateError> for Failure {
    fn from(error: CreateError) -> Self {
        Self(error.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self(format!("cannot write the output: {error}"))
    }
}

/// The exit code of a command line that cannot be read.
const USAGE: u8 = 2;

/// What runs a job: it gets the job and the writer for what it says.
pub type Task<'t> = dyn FnMut(&Job, &mut dyn Write) -> Result<(), JobError> + 't;

impl App<'static> {
    /// A program with a job name, in the current folder, with the variables of this process.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            program: name.clone(),
            name,
            store: ConfigStore::new(),
            environment: &ProcessEnvironment,
            cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            config_path: None,
            config_name: None,
            dialect: Dialect::default(),
            strictness: Strictness::Struct,
            fail_fast: false,
            resume: None,
            moment: None,
        }
    }
}

impl<'e> App<'e> {
    /// With configurations that the program stores.
    #[must_use]
    pub fn with_store(mut self, store: ConfigStore) -> Self {
        self.store = store;
        self
    }

    /// With other variables of the environment.
    #[must_use]
    pub fn with_environment<'n>(self, environment: &'n dyn Environment) -> App<'n>
    where
        'e: 'n,
    {
        App {
            name: self.name,
            program: self.program,
            store: self.store,
            environment,
            cwd: self.cwd,
            config_path: self.config_path,
            config_name: self.config_name,
            dialect: self.dialect,
            strictness: self.strictness,
            fail_fast: self.fail_fast,
            resume: self.resume,
            moment: self.moment,
        }
    }

    /// As if it were started in that folder.
    #[must_use]
    pub fn in_dir(mut self, cwd: impl Into<PathBuf>) -> Self {
        self.cwd = cwd.into();
        self
    }

    /// The name of the program in usage lines and scripts, if it is not that of the job.
    #[must_use]
    pub fn with_program(mut self, program: impl Into<String>) -> Self {
        self.program = program.into();
        self
    }

    /// The folder of the program's own configurations, unless `--config-path` names another.
    #[must_use]
    pub fn with_config_path(mut self, path: impl Into<String>) -> Self {
        self.config_path = Some(path.into());
        self
    }

    /// The primary configuration, unless `--config-name` names another.
    #[must_use]
    pub fn with_config_name(mut self, name: impl Into<String>) -> Self {
        self.config_name = Some(name.into());
        self
    }

    /// Reads texts as a dialect.
    #[must_use]
    pub fn with_dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// Whether an override without `+` may add a key.
    #[must_use]
    pub fn with_strictness(mut self, strictness: Strictness) -> Self {
        self.strictness = strictness;
        self
    }

    /// Whether a sweep ends with the first job that fails. Hydra runs the rest of the batch.
    #[must_use]
    pub fn fail_fast(mut self, fail_fast: bool) -> Self {
        self.fail_fast = fail_fast;
        self
    }

    /// Leaves the jobs of a sweep out that `is_done` knows to be done.
    #[must_use]
    pub fn resume(mut self, is_done: impl Fn(&Job) -> bool + 'e) -> Self {
        self.resume = Some(Box::new(is_done));
        self
    }

    /// As if it were started at that time: `${now:...}` is the same for all jobs of a run.
    #[must_use]
    pub fn at(mut self, moment: Moment) -> Self {
        self.moment = Some(moment);
        self
    }

    /// Does what a command line asks for. `argv` is without the name of the program.
    ///
    /// Returns the exit code: 0, 1 for errors and failed jobs, 2 for a command line that cannot be
    /// read.
    pub fn run(
        &self,
        argv: &[String],
        out: &mut dyn Write,
        err: &mut dyn Write,
        task: &mut Task<'_>,
    ) -> u8 {
        let done = match Arguments::parse(argv) {
            Ok(Request::Version) => {
                writeln!(out, "Hydra {HYDRA_VERSION}").map(|()| 0).map_err(Failure::from)
            }
            Ok(Request::Arguments(arguments)) => self.serve(&arguments, out, err, task),
            Err(error) => {
                let (usage, program) = (usage(&self.program), &self.program);
                let told = writeln!(err, "{usage}\n{program}: error: {error}");
                told.map(|()| USAGE).map_err(Failure::from)
            }
        };
        done.unwrap_or_else(|failure| {
            // If this cannot be written either, the exit code still tells.
            let _ = writeln!(err, "{failure}");
            1
        })
    }

    fn serve(
        &self,
        arguments: &Arguments,
        out: &mut dyn Write,
        err: &mut dyn Write,
        task: &mut Task<'_>,
    ) -> Result<u8, Failure> {
        if let Some(file) = &arguments.rerun {
            return self.rerun(file, out, err, task);
        }
        let session = Session::open(self, arguments)?;
        if arguments.help {
            writeln!(out, "{}", session.help(&self.program, arguments.resolve)?)?;
            return Ok(0);
        }
        if arguments.resolve && arguments.cfg.is_none() {
            return Err(Failure::new(
                "The --resolve flag can only be used in conjunction with --cfg or --help",
            ));
        }
        if arguments.hydra_help {
            writeln!(out, "{}", session.hydra_help(&self.program)?)?;
            return Ok(0);
        }
        check_one_command(arguments)?;
        if let Some(show) = arguments.cfg {
            let text = session.show(show, arguments.package.as_deref(), arguments.resolve)?;
            out.write_all(text.as_bytes())?;
        } else if arguments.shell_completion {
            self.shell_completion(&session, arguments, out)?;
        } else if let Some(info) = arguments.info {
            let (lines, result) = session.info(info, RunMode::Run);
            for line in lines {
                writeln!(out, "{line}")?;
            }
            result?;
        } else {
            return self.execute(&session, arguments.multirun, out, err, task);
        }
        Ok(0)
    }

    /// `-sc install=bash`, `-sc uninstall=fish`, `-sc query=zsh`.
    fn shell_completion(
        &self,
        session: &Session<'_>,
        arguments: &Arguments,
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        let named: Vec<(&str, &str)> =
            arguments.overrides.iter().filter_map(|text| text.split_once('=')).collect();
        let known =
            named.iter().filter(|(verb, _)| matches!(*verb, "install" | "uninstall" | "query"));
        let [(verb, name)] = known.copied().collect::<Vec<_>>()[..] else {
            return Err(Failure::new(
                "Expecting one subcommand from ['install', 'uninstall', 'query'] to be set",
            ));
        };
        let shell = Shell::of(name).ok_or_else(|| {
            Failure::new(format!(
                "No completion plugin for '{name}' found, available : \n\tbash\n\tfish\n\tzsh"
            ))
        })?;
        match verb {
            "install" => out.write_all(shell.install(&self.program).as_bytes())?,
            "uninstall" => out.write_all(shell.uninstall(&self.program).as_bytes())?,
            _ => {
                let line = session.environment().get("COMP_LINE");
                let line = line.ok_or_else(|| {
                    Failure::new("the shell did not say what to complete: COMP_LINE is not set")
                })?;
                writeln!(out, "{}", self.complete(&line).join(shell.separator()))?;
            }
        }
        Ok(())
    }
}

fn check_one_command(arguments: &Arguments) -> Result<(), Failure> {
    let commands = [
        arguments.run,
        arguments.cfg.is_some(),
        arguments.multirun,
        arguments.shell_completion,
        arguments.info.is_some(),
    ];
    if commands.into_iter().filter(|given| *given).count() > 1 {
        return Err(Failure::new(
            "Only one of --run, --multirun, --cfg, --info and --shell_completion can be specified",
        ));
    }
    Ok(())
}
