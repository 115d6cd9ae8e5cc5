//! The names that aiperf and vLLM's `bench serve` give to what our config keys say.
//!
//! [`table`] is the list: flag, what it takes, what it means. Flags that mean one key become a change to it; those that mean
//! something together (a rate and its pattern, a host and its port) are gathered in a [`draft`] and become changes at the end.
//! A flag that has no place is known all the same, so that it is an error with a hint and never ignored.

mod draft;
mod load;
mod prompts;
mod server;
mod table;
mod text;

use ai_energy_benchmarks::error::{Problem, Problems};
use clap::error::Error as ClapError;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use draft::Draft;
pub(crate) use table::TABLE;

/// One flag under its names.
pub(crate) struct Flag {
    /// What aiperf calls it.
    pub aiperf: &'static [&'static str],
    /// What `vllm bench serve` calls it.
    pub vllm: &'static [&'static str],
    /// What follows it.
    pub takes: Takes,
    /// What it means.
    pub means: Means,
    /// For the help.
    pub help: &'static str,
}

/// What follows a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Nothing.
    Nothing,
    /// A value, named so.
    One(&'static str),
    /// One value or several, each behind the flag again or as words behind it.
    Several(&'static str),
    /// Whatever it may be: it is refused anyway.
    Anything,
}

/// What a flag means.
pub(crate) enum Means {
    /// The value of a key.
    Key(&'static str, Read),
    /// A part of something that several flags say together, and the keys that come of it.
    Part(&'static str, Take),
    /// What is done anyway, in words.
    Anyway(&'static str),
    /// Nothing that this program does; what to do instead.
    Nowhere(&'static str),
}

/// How a value is read for its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// As it is.
    Text,
    /// A whole number, 0 or more.
    Count,
    /// A number, 0 or more.
    Number,
    /// Milliseconds for a key in seconds.
    Milliseconds,
    /// The flag itself: this value, as Hydra writes it.
    Fixed(&'static str),
}

/// Puts one value of a flag into the draft.
pub(crate) type Take = fn(&mut Draft, Said<'_>) -> Result<(), String>;

/// A value and the flag that it came with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said<'a> {
    /// The first name of the flag.
    pub flag: &'static str,
    /// The value; empty for a flag without one.
    pub text: &'a str,
}

/// A change to a config key, before it is written as Hydra reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// The key.
    pub key: String,
    /// Its value as Hydra writes it; several with commas between them are a sweep.
    pub value: String,
    /// The flag, or flags, that it comes from.
    pub flag: String,
    /// There are several values.
    pub swept: bool,
}

/// Everything that flags change.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// In the order of the table.
    pub changes: Vec<Change>,
    /// The load is said anew as a whole.
    pub load: bool,
}

/// Flags as they were given.
#[derive(Debug, Default, Clone)]
pub(crate) struct Flags {
    /// The flag's place in [`TABLE`], and its values.
    given: Vec<(usize, Vec<String>)>,
    /// Words behind a flag of several values that are none of them: changes and configs.
    stray: Vec<String>,
}

/// The same with aiperf's one-letter names, where no others stand in their way.
#[derive(Debug, Default, Clone)]
pub(crate) struct ShortFlags(pub Flags);

impl Flag {
    /// Every name once, without dashes.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        let more = self.vllm.iter().filter(|name| !self.aiperf.contains(name));
        self.aiperf.iter().chain(more).copied()
    }

    /// The first name.
    pub(crate) fn name(&self) -> &'static str {
        self.names().next().unwrap_or_default()
    }

    /// The name that messages use.
    fn shown(&self) -> String {
        let names: Vec<String> = self.names().map(|name| format!("--{name}")).collect();
        names.join(" / ")
    }

    fn argument(&self) -> Arg {
        let aliases: Vec<&'static str> = self.names().skip(1).collect();
        let refused = matches!(self.means, Means::Nowhere(_));
        let argument = Arg::new(self.name())
            .long(self.name())
            .visible_aliases(aliases)
            .help(self.help)
            .help_heading("aiperf's and vLLM's names")
            .hide(refused);
        match self.takes {
            Takes::Nothing => argument.action(ArgAction::SetTrue),
            Takes::One(name) => {
                argument.action(ArgAction::Append).value_name(name).allow_hyphen_values(true)
            }
            Takes::Several(name) => {
                argument.action(ArgAction::Append).value_name(name).num_args(1..)
            }
            Takes::Anything => argument.action(ArgAction::Append).num_args(0..),
        }
    }

    fn values(&self, matches: &ArgMatches) -> Option<Vec<String>> {
        let id = self.name();
        if self.takes == Takes::Nothing {
            return matches.get_flag(id).then(|| vec![String::new()]);
        }
        let given = matches.value_source(id) == Some(clap::parser::ValueSource::CommandLine);
        given.then(|| matches.get_many::<String>(id).into_iter().flatten().cloned().collect())
    }
}

fn with_flags(command: Command, on_run: bool) -> Command {
    TABLE.iter().fold(command, |command, flag| {
        let argument = flag.argument();
        let argument = match (on_run, flag.name()) {
            // They would bury the command's own flags.
            (true, _) => argument.hide_short_help(true),
            (false, "model") => argument.short('m'),
            (false, "url") => argument.short('u'),
            (false, _) => argument,
        };
        command.arg(argument)
    })
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        with_flags(command, true)
    }

    fn augment_args_for_update(command: Command) -> Command {
        with_flags(command, true)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, ClapError> {
        let mut flags = Self::default();
        for (at, flag) in TABLE.iter().enumerate() {
            let Some(mut values) = flag.values(matches) else { continue };
            if matches!(flag.takes, Takes::Several(_)) {
                flags.stray.extend(values.extract_if(.., |value| !is_pair(value)));
            }
            flags.given.push((at, values));
        }
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), ClapError> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for ShortFlags {
    fn augment_args(command: Command) -> Command {
        with_flags(command, false)
    }

    fn augment_args_for_update(command: Command) -> Command {
        with_flags(command, false)
    }
}

impl FromArgMatches for ShortFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, ClapError> {
        Flags::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), ClapError> {
        self.0.update_from_arg_matches(matches)
    }
}

/// Whether a word is `NAME:VALUE` or an object, and no change or config.
fn is_pair(word: &str) -> bool {
    let name = word.split(':').next().unwrap_or_default();
    let object = word.trim_start().starts_with('{');
    object || name.len() < word.len() && !name.contains(['=', '+', '~', '/'])
}

impl Flags {
    /// Moves words that belong to the command and not to a flag to those of the command.
    pub(crate) fn give_back_words(&mut self, words: &mut Vec<String>) {
        words.append(&mut self.stray);
    }

    /// What they change. `words` are changes that the command line makes itself; `complete` fills in what a config
    /// would say and none is there.
    ///
    /// # Errors
    /// Everything that is wrong with them, at once.
    pub(crate) fn changes(&self, words: &[String], complete: bool) -> Result<Changes, Problems> {
        let mut problems = Problems::default();
        let mut draft = Draft { complete, ..Draft::default() };
        let mut changes = Changes::default();
        for (at, values) in &self.given {
            let flag = &TABLE[*at];
            match flag.said(values, &mut draft) {
                Ok(change) => changes.changes.extend(change),
                Err(problem) => problems.push(problem),
            }
        }
        for end in [server::changes, load::changes, prompts::changes] {
            match end(&draft) {
                Ok(more) => changes.changes.extend(more),
                Err(problem) => problems.push(problem),
            }
        }
        changes.load = draft.says_load();
        for problem in contradictions(&changes.changes, words) {
            problems.push(problem);
        }
        problems.into_result().map(|()| changes)
    }
}

impl Flag {
    /// One flag with its values.
    fn said(&self, values: &[String], draft: &mut Draft) -> Result<Option<Change>, Problem> {
        let wrong = |message: String| Problem::new(self.shown(), message);
        if let (Takes::One(_), [first, .., last]) = (self.takes, values) {
            return Err(wrong(format!("it is given twice, as `{first}` and `{last}`")));
        }
        match self.means {
            Means::Key(key, read) => {
                let text = values.first().map(String::as_str).unwrap_or_default();
                let value = text::read(read, text).map_err(wrong)?;
                let (key, flag) = (key.to_owned(), self.shown());
                Ok(Some(Change { key, value, flag, swept: false }))
            }
            Means::Part(keys, take) => {
                let flag = self.name();
                values
                    .iter()
                    .try_for_each(|text| take(draft, Said { flag, text }))
                    .map_err(|message| wrong(message).hint(format!("it is for {keys}")))
                    .map(|()| None)
            }
            Means::Anyway(what) => {
                tracing::info!("{}: {what}", self.shown());
                Ok(None)
            }
            Means::Nowhere(hint) => {
                Err(wrong("this program has no place for it".to_owned()).hint(hint))
            }
        }
    }
}

/// All names of a flag, for messages.
fn names_of(flag: &str) -> String {
    let known = TABLE.iter().find(|known| known.name() == flag);
    known.map_or_else(|| format!("--{flag}"), Flag::shown)
}

/// Two flags that say the same key, and flags beside changes of the same key.
fn contradictions(changes: &[Change], words: &[String]) -> Vec<Problem> {
    let mut found = Vec::new();
    for (at, change) in changes.iter().enumerate() {
        if let Some(earlier) = changes[..at].iter().find(|earlier| earlier.key == change.key) {
            let message = format!("{} says {} already", earlier.flag, change.key);
            found.push(Problem::new(change.flag.clone(), message).hint("give one of the two"));
        }
        for word in words {
            let key = word.trim_start_matches(['+', '~']).split('=').next().unwrap_or_default();
            if is_within(key, &change.key) || is_within(&change.key, key) {
                let message = format!("it sets {}, and so does `{word}`", change.key);
                found.push(Problem::new(change.flag.clone(), message).hint("give one of the two"));
            }
        }
    }
    found
}

/// Whether a key is another one or lies below it.
fn is_within(key: &str, other: &str) -> bool {
    key.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

impl Changes {
    /// As words of a command line; `forced` for configs that may not hold the keys, or another load.
    pub(crate) fn words(&self, forced: bool) -> Vec<String> {
        let mut words = Vec::new();
        if forced && self.load {
            // Whatever load the config has goes away, for a load is one thing; there has to be one to take away.
            words.push("++scenario.load.replaced=null".to_owned());
            words.push("~scenario.load".to_owned());
        }
        let sign = if forced { "++" } else { "" };
        words.extend(
            self.changes.iter().map(|Change { key, value, .. }| format!("{sign}{key}={value}")),
        );
        words
    }

    /// Whether they ask for several runs.
    pub(crate) fn is_sweep(&self) -> bool {
        self.changes.iter().any(|change| change.swept)
    }
}

#[cfg(test)]
mod tests;
