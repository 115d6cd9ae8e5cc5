//! Hydra's flags, read as Python's `argparse` reads them: abbreviations, `-cjob`, `--cfg=job`, and
//! one contiguous run of overrides anywhere between the flags.

use std::fmt;

/// What `--cfg` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// The configuration of the job.
    Job,
    /// Hydra's own configuration.
    Hydra,
    /// Both.
    All,
}

/// What `--info` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Info {
    /// Everything.
    All,
    /// Search path, defaults and configuration.
    Config,
    /// The files in the order in which they are merged.
    Defaults,
    /// The files as they name one another.
    DefaultsTree,
    /// What Hydra is made of.
    Plugins,
    /// Where configurations are looked for.
    SearchPath,
}

/// A command line, read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Arguments {
    /// `--help`
    pub help: bool,
    /// `--hydra-help`
    pub hydra_help: bool,
    /// `--cfg`
    pub cfg: Option<Show>,
    /// `--resolve`
    pub resolve: bool,
    /// `--package`
    pub package: Option<String>,
    /// `--run`
    pub run: bool,
    /// `--multirun`
    pub multirun: bool,
    /// `--shell-completion`
    pub shell_completion: bool,
    /// `--config-path`
    pub config_path: Option<String>,
    /// `--config-name`
    pub config_name: Option<String>,
    /// `--config-dir`
    pub config_dir: Option<String>,
    /// `--experimental-rerun`
    pub rerun: Option<String>,
    /// `--info`
    pub info: Option<Info>,
    /// The overrides, in order.
    pub overrides: Vec<String>,
}

/// What a command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `--version`: it was read before anything wrong.
    Version,
    /// Everything else.
    Arguments(Box<Arguments>),
}

/// A command line that cannot be read, in the words of `argparse`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flag {
    Help,
    HydraHelp,
    Version,
    Cfg,
    Resolve,
    Package,
    Run,
    Multirun,
    ShellCompletion,
    ConfigPath,
    ConfigName,
    ConfigDir,
    Rerun,
    Info,
}

/// How many arguments a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    One,
    AtMostOne,
}

/// One flag.
pub(super) struct Spec {
    flag: Flag,
    /// The long name first.
    pub(super) names: &'static [&'static str],
    takes: Takes,
    /// The values that it takes, if not any.
    pub(super) choices: &'static [&'static str],
    pub(super) help: &'static str,
}

impl Spec {
    /// Whether a value follows it, or may follow it.
    pub(super) fn takes_value(&self) -> bool {
        self.takes != Takes::Nothing
    }
}

const SHOWN: &[&str] = &["job", "hydra", "all"];
const TOLD: &[&str] = &["all", "config", "defaults", "defaults-tree", "plugins", "searchpath"];

const fn spec(
    flag: Flag,
    names: &'static [&'static str],
    takes: Takes,
    choices: &'static [&'static str],
    help: &'static str,
) -> Spec {
    Spec { flag, names, takes, choices, help }
}

/// All flags, in the order in which the help names them. The texts are Hydra's: tools parse them.
pub(super) const SPECS: [Spec; 14] = [
    spec(Flag::Help, &["--help", "-h"], Takes::Nothing, &[], "Application's help"),
    spec(Flag::HydraHelp, &["--hydra-help"], Takes::Nothing, &[], "Hydra's help"),
    spec(Flag::Version, &["--version"], Takes::Nothing, &[], "Show Hydra's version and exit"),
    spec(
        Flag::Cfg,
        &["--cfg", "-c"],
        Takes::One,
        SHOWN,
        "Show config instead of running [job|hydra|all]",
    ),
    spec(
        Flag::Resolve,
        &["--resolve"],
        Takes::Nothing,
        &[],
        "Used in conjunction with --cfg, resolve config interpolations before printing.",
    ),
    spec(Flag::Package, &["--package", "-p"], Takes::One, &[], "Config package to show"),
    spec(Flag::Run, &["--run", "-r"], Takes::Nothing, &[], "Run a job"),
    spec(
        Flag::Multirun,
        &["--multirun", "-m"],
        Takes::Nothing,
        &[],
        "Run multiple jobs with the configured launcher and sweeper",
    ),
    spec(
        Flag::ShellCompletion,
        &["--shell-completion", "-sc"],
        Takes::Nothing,
        &[],
        "Install or Uninstall shell completion:",
    ),
    spec(
        Flag::ConfigPath,
        &["--config-path", "-cp"],
        Takes::One,
        &[],
        "Overrides the config_path specified in hydra.main().\n                    The config_path is absolute or relative to the Python file declaring @hydra.main()",
    ),
    spec(
        Flag::ConfigName,
        &["--config-name", "-cn"],
        Takes::One,
        &[],
        "Overrides the config_name specified in hydra.main()",
    ),
    spec(
        Flag::ConfigDir,
        &["--config-dir", "-cd"],
        Takes::One,
        &[],
        "Adds an additional config dir to the config search path",
    ),
    spec(
        Flag::Rerun,
        &["--experimental-rerun"],
        Takes::One,
        &[],
        "Rerun a job from a previous config pickle",
    ),
    spec(
        Flag::Info,
        &["--info", "-i"],
        Takes::AtMostOne,
        TOLD,
        "Print Hydra information [all|config|defaults|defaults-tree|plugins|searchpath]",
    ),
];

/// One argument as it is classified before anything is read.
enum Token<'a> {
    /// A flag, with the text after it that belongs to it (`--cfg=job`, `-cjob`).
    Flag(&'static Spec, String, Option<&'a str>),
    /// Something that looks like a flag and is none.
    Unknown,
    /// An override, or the value of a flag.
    Plain,
    /// `--`
    Separator,
}

impl Arguments {
    /// Reads a command line, without the name of the program.
    ///
    /// # Errors
    /// The first mistake: an unknown or ambiguous flag, a value that is missing or not one of those
    /// that a flag takes, overrides in two places.
    pub fn parse(argv: &[String]) -> Result<Request, UsageError> {
        let tokens = classify(argv)?;
        let mut reader = Reader {
            argv,
            tokens: &tokens,
            arguments: Self::default(),
            found_overrides: false,
            extra: Vec::new(),
        };
        if reader.read()? {
            return Ok(Request::Version);
        }
        if !reader.extra.is_empty() {
            return Err(UsageError(format!("unrecognized arguments: {}", reader.extra.join(" "))));
        }
        Ok(Request::Arguments(Box::new(reader.arguments)))
    }
}

/// The usage line of a program, for the message of a [`UsageError`].
#[must_use]
pub fn usage(program: &str) -> String {
    let mut text = format!("usage: {program}");
    for spec in &SPECS {
        let name = spec.names[0];
        let value = if spec.choices.is_empty() {
            name.trim_start_matches('-').replace('-', "_").to_uppercase()
        } else {
            format!("{{{}}}", spec.choices.join(","))
        };
        text.push_str(&match spec.takes {
            Takes::Nothing => format!(" [{name}]"),
            Takes::One => format!(" [{name} {value}]"),
            Takes::AtMostOne => format!(" [{name} [{value}]]"),
        });
    }
    text + " [overrides ...]"
}

fn named(name: &str) -> Option<&'static Spec> {
    SPECS.iter().find(|spec| spec.names.contains(&name))
}

fn classify(argv: &[String]) -> Result<Vec<Token<'_>>, UsageError> {
    let mut tokens = Vec::with_capacity(argv.len());
    let mut only_plain = false;
    for argument in argv {
        tokens.push(match argument.as_str() {
            _ if only_plain => Token::Plain,
            "--" => {
                only_plain = true;
                Token::Separator
            }
            argument => token(argument)?,
        });
    }
    Ok(tokens)
}

fn token(argument: &str) -> Result<Token<'_>, UsageError> {
    if !argument.starts_with('-') || argument.len() == 1 {
        return Ok(Token::Plain);
    }
    if let Some(spec) = named(argument) {
        return Ok(Token::Flag(spec, argument.to_owned(), None));
    }
    if let Some((name, value)) = argument.split_once('=')
        && let Some(spec) = named(name)
    {
        return Ok(Token::Flag(spec, name.to_owned(), Some(value)));
    }
    let mut abbreviated = abbreviations(argument);
    if abbreviated.len() > 1 {
        let names: Vec<_> = abbreviated.iter().map(|(_, name, _)| *name).collect();
        let message = format!("ambiguous option: {argument} could match {}", names.join(", "));
        return Err(UsageError(message));
    }
    if let Some((spec, name, value)) = abbreviated.pop() {
        return Ok(Token::Flag(spec, name.to_owned(), value));
    }
    let is_text = is_negative_number(argument) || argument.contains(' ');
    Ok(if is_text { Token::Plain } else { Token::Unknown })
}

/// The flags that an argument may be short for.
fn abbreviations(argument: &str) -> Vec<(&'static Spec, &'static str, Option<&str>)> {
    let names = SPECS.iter().flat_map(|spec| spec.names.iter().map(move |name| (spec, *name)));
    if argument.starts_with("--") {
        let (prefix, value) = match argument.split_once('=') {
            Some((prefix, value)) => (prefix, Some(value)),
            None => (argument, None),
        };
        return names
            .filter(|(_, name)| name.starts_with(prefix))
            .map(|(spec, name)| (spec, name, value))
            .collect();
    }
    let end = argument.char_indices().nth(2).map_or(argument.len(), |(at, _)| at);
    let (short, rest) = argument.split_at(end);
    names
        .filter_map(|(spec, name)| {
            if name == short {
                Some((spec, name, Some(rest)))
            } else {
                name.starts_with(argument).then_some((spec, name, None))
            }
        })
        .collect()
}

/// `-1`, `-.5`: no flag looks like that.
fn is_negative_number(argument: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let body = &argument[1..];
    match body.split_once('.') {
        Some((whole, fraction)) => digits(whole) && !fraction.is_empty() && digits(fraction),
        None => digits(body),
    }
}

struct Reader<'a> {
    argv: &'a [String],
    tokens: &'a [Token<'a>],
    arguments: Arguments,
    found_overrides: bool,
    extra: Vec<&'a str>,
}

impl Reader<'_> {
    /// Whether the version was asked for.
    fn read(&mut self) -> Result<bool, UsageError> {
        let mut at = 0;
        while let Some(token) = self.tokens.get(at) {
            match token {
                Token::Plain | Token::Separator => at = self.overrides(at),
                Token::Unknown => {
                    self.extra.push(&self.argv[at]);
                    at += 1;
                }
                Token::Flag(spec, name, value) => match self.flag(spec, name, *value, at)? {
                    Some(next) => at = next,
                    None => return Ok(true),
                },
            }
        }
        Ok(false)
    }

    /// The first run of plain arguments is the overrides, a second one is too much.
    fn overrides(&mut self, start: usize) -> usize {
        let length = self.tokens[start..]
            .iter()
            .take_while(|token| matches!(token, Token::Plain | Token::Separator))
            .count();
        let run = &self.argv[start..start + length];
        if self.found_overrides {
            self.extra.extend(run.iter().map(String::as_str));
        } else {
            self.found_overrides = true;
            let separator =
                self.tokens[start..].iter().position(|token| matches!(token, Token::Separator));
            let kept = run.iter().enumerate().filter(|(at, _)| Some(*at) != separator);
            self.arguments.overrides = kept.map(|(_, text)| text.clone()).collect();
        }
        start + length
    }

    /// The index after the flag and its value; none for `--version`.
    fn flag(
        &mut self,
        spec: &'static Spec,
        name: &str,
        value: Option<&str>,
        at: usize,
    ) -> Result<Option<usize>, UsageError> {
        match (spec.takes, value) {
            (Takes::Nothing, Some(rest)) => self.combined(spec, name, rest, at),
            (Takes::Nothing, None) => Ok(self.switch(spec.flag).then_some(at + 1)),
            (_, Some(value)) => self.set(spec, value).map(|()| Some(at + 1)),
            (takes, None) => {
                let next = self.tokens.get(at + 1);
                if next.is_some_and(|next| matches!(next, Token::Plain)) {
                    let value = self.argv[at + 1].clone();
                    return self.set(spec, &value).map(|()| Some(at + 2));
                }
                if takes == Takes::One {
                    return Err(wrong(spec, "expected one argument"));
                }
                self.set(spec, "all").map(|()| Some(at + 1))
            }
        }
    }

    /// `-mr` is `-m -r`, and `-mcjob` is `-m -c job`.
    fn combined(
        &mut self,
        spec: &'static Spec,
        name: &str,
        rest: &str,
        at: usize,
    ) -> Result<Option<usize>, UsageError> {
        let ignored = || wrong(spec, &format!("ignored explicit argument '{rest}'"));
        let first = rest.chars().next().filter(|_| !name.starts_with("--")).ok_or_else(ignored)?;
        let next = named(&format!("-{first}")).ok_or_else(ignored)?;
        // The whole argument is read before anything in it counts.
        let value = Some(&rest[first.len_utf8()..]).filter(|value| !value.is_empty());
        let end = self.flag(next, &format!("-{first}"), value, at)?;
        if end.is_none() || !self.switch(spec.flag) {
            return Ok(None);
        }
        Ok(end)
    }

    /// Turns a flag without value on. False for `--version`, after which nothing is read.
    fn switch(&mut self, flag: Flag) -> bool {
        match flag {
            Flag::Help => self.arguments.help = true,
            Flag::HydraHelp => self.arguments.hydra_help = true,
            Flag::Resolve => self.arguments.resolve = true,
            Flag::Run => self.arguments.run = true,
            Flag::Multirun => self.arguments.multirun = true,
            Flag::ShellCompletion => self.arguments.shell_completion = true,
            _ => return false,
        }
        true
    }

    fn set(&mut self, spec: &Spec, value: &str) -> Result<(), UsageError> {
        if !spec.choices.is_empty() && !spec.choices.contains(&value) {
            let choices: Vec<_> = spec.choices.iter().map(|choice| format!("'{choice}'")).collect();
            let choices = choices.join(", ");
            let near = crate::nearest(value, spec.choices.iter().copied());
            let near = near.map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
            let message = format!("invalid choice: '{value}' (choose from {choices}){near}");
            return Err(wrong(spec, &message));
        }
        let text = Some(value.to_owned());
        match spec.flag {
            Flag::Package => self.arguments.package = text,
            Flag::ConfigPath => self.arguments.config_path = text,
            Flag::ConfigName => self.arguments.config_name = text,
            Flag::ConfigDir => self.arguments.config_dir = text,
            Flag::Rerun => self.arguments.rerun = text,
            Flag::Cfg => {
                self.arguments.cfg = Some(match value {
                    "job" => Show::Job,
                    "hydra" => Show::Hydra,
                    _ => Show::All,
                });
            }
            _ => {
                self.arguments.info = Some(match value {
                    "config" => Info::Config,
                    "defaults" => Info::Defaults,
                    "defaults-tree" => Info::DefaultsTree,
                    "plugins" => Info::Plugins,
                    "searchpath" => Info::SearchPath,
                    _ => Info::All,
                });
            }
        }
        Ok(())
    }
}

fn wrong(spec: &Spec, message: &str) -> UsageError {
    UsageError(format!("argument {}: {message}", spec.names.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Request, UsageError> {
        let argv: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        Arguments::parse(&argv)
    }

    fn arguments(line: &str) -> Arguments {
        match read(line).unwrap() {
            Request::Arguments(arguments) => *arguments,
            Request::Version => panic!("asks for the version"),
        }
    }

    fn error(line: &str) -> String {
        read(line).unwrap_err().to_string()
    }

    #[test]
    fn overrides_may_stand_before_between_and_after_flags_but_in_one_place() {
        for line in
            ["a=1 b=2 -m -cn x", "-m a=1 b=2 -cn x", "-m -cn x a=1 b=2", "-m -cn x -- a=1 b=2"]
        {
            let read = arguments(line);
            assert_eq!(read.overrides, ["a=1", "b=2"], "{line}");
            assert!(read.multirun);
            assert_eq!(read.config_name.as_deref(), Some("x"));
        }
        assert_eq!(error("a=1 -m b=2"), "unrecognized arguments: b=2");
        assert_eq!(error("--nope a=1"), "unrecognized arguments: --nope");
    }

    #[test]
    fn flags_may_be_short_glued_or_abbreviated() {
        for line in ["-c job", "-cjob", "--cfg=job", "--cfg job", "--cf job", "-c=job"] {
            let shown = arguments(line).cfg;
            // `-c=job` is read at its `=`, as `--cfg=job` is.
            assert_eq!(shown, Some(Show::Job), "{line}");
        }
        let read = arguments("-mr");
        assert!(read.multirun && read.run);
        assert!(arguments("-s").shell_completion);
        assert_eq!(arguments("-i").info, Some(Info::All));
        assert_eq!(arguments("-idefaults").info, Some(Info::Defaults));
        assert_eq!(arguments("--config-n x").config_name.as_deref(), Some("x"));
    }

    #[test]
    fn mistakes_are_told_as_argparse_tells_them() {
        assert_eq!(
            error("--conf job"),
            "ambiguous option: --conf could match --config-path, --config-name, --config-dir"
        );
        assert_eq!(error("--cfg"), "argument --cfg/-c: expected one argument");
        assert_eq!(error("--cfg --resolve"), "argument --cfg/-c: expected one argument");
        assert!(error("-c jobs").starts_with("argument --cfg/-c: invalid choice: 'jobs' (choose"));
        assert_eq!(error("--run=1"), "argument --run/-r: ignored explicit argument '1'");
        assert!(error("-i a=1").contains("invalid choice"));
    }

    #[test]
    fn the_version_counts_where_it_is_read() {
        assert_eq!(read("--version --nope"), Ok(Request::Version));
        assert_eq!(read("--nope --version"), Ok(Request::Version));
        assert!(read("-c x --version").is_err());
        assert!(read("--conf --version").is_err());
    }

    #[test]
    fn what_looks_like_a_number_is_no_flag() {
        assert_eq!(arguments("-1 -.5 -").overrides, ["-1", "-.5", "-"]);
        assert_eq!(error("-x1"), "unrecognized arguments: -x1");
    }

    #[test]
    fn the_usage_names_every_flag() {
        let usage = usage("app");
        assert!(SPECS.iter().all(|spec| usage.contains(spec.names[0])), "{usage}");
    }
}
