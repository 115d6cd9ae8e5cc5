//! What Hydra says through Python's `logging`, in the form that `hydra.hydra_logging` and
//! `hydra.job_logging` ask for: streams, files, formats, levels.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::context::absolute;
use crate::moment::Moment;
use crate::value::{Node, Value};

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Out,
    Err,
    File(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Handler {
    target: Target,
    /// A file that the first line empties.
    fresh: bool,
    format: String,
    level: u32,
}

/// The state of `logging`: the last configuration counts, and one without `root` changes nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Logging {
    handlers: Vec<Handler>,
    root: u32,
    /// Levels of single loggers; they stay once they are set.
    levels: BTreeMap<String, u32>,
    /// Loggers that existed before are switched off.
    disabled: bool,
}

const INFO: u32 = 20;
const DEBUG: u32 = 10;
const WARNING: u32 = 30;

/// The logger of Hydra's launcher, which tells of the jobs.
pub(super) const LAUNCHER: &str = "hydra._internal.core_plugins.basic_launcher";

/// The logger of Hydra itself.
pub(super) const HYDRA: &str = "hydra._internal.hydra";

impl Logging {
    /// Configures it, and opens its files. `config` is resolved; relative files are below `cwd`.
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub(super) fn configure(
        &mut self,
        config: &Node,
        verbose: Option<&Node>,
        cwd: &Path,
    ) -> io::Result<()> {
        if let Some(root) = config.child("root").filter(|root| root.as_map().is_some()) {
            self.handlers = handlers(config, root, cwd)?;
            self.root = root.child("level").map_or(WARNING, level);
            self.disabled = matches!(
                config.child("disable_existing_loggers").map(|node| &node.value),
                Some(Value::Bool(true)) | None
            );
            let loggers = config.child("loggers").and_then(Node::as_map);
            for (name, logger) in loggers.into_iter().flat_map(crate::Map::iter) {
                if let Some(set) = logger.child("level") {
                    self.levels.insert(name.text(), level(set));
                }
            }
        }
        match verbose.map(|node| &node.value) {
            Some(Value::Bool(true)) => self.root = DEBUG,
            Some(Value::Str(name)) => {
                self.levels.insert(name.clone(), DEBUG);
            }
            Some(Value::List(names)) => {
                for name in names.iter().filter_map(Node::as_str) {
                    self.levels.insert(name.to_owned(), DEBUG);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The level that a logger lets through: its own, or that of the nearest one above it.
    fn level_of(&self, logger: &str) -> u32 {
        let mut name = logger;
        loop {
            if let Some(level) = self.levels.get(name) {
                return *level;
            }
            match name.rsplit_once('.') {
                Some((above, _)) => name = above,
                None => return self.root,
            }
        }
    }

    /// Whether Hydra tells what it does in detail.
    pub(super) fn is_verbose(&self) -> bool {
        !self.disabled && self.level_of(HYDRA) <= DEBUG
    }

    /// Says something at level `INFO`.
    ///
    /// # Errors
    /// A stream or a file that cannot be written to.
    pub(super) fn info(
        &mut self,
        logger: &str,
        message: &str,
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> io::Result<()> {
        self.say(logger, "INFO", message, out, err)
    }

    /// Says something at level `DEBUG`.
    ///
    /// # Errors
    /// As [`Logging::info`].
    pub(super) fn debug(
        &mut self,
        logger: &str,
        message: &str,
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> io::Result<()> {
        self.say(logger, "DEBUG", message, out, err)
    }

    fn say(
        &mut self,
        logger: &str,
        name: &str,
        message: &str,
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> io::Result<()> {
        let level = if name == "DEBUG" { DEBUG } else { INFO };
        if self.disabled || level < self.level_of(logger) {
            return Ok(());
        }
        for handler in self.handlers.iter_mut().filter(|handler| handler.level <= level) {
            let line = handler
                .format
                .replace("%(asctime)s", &log_time(&Moment::default()))
                .replace("%(name)s", logger)
                .replace("%(levelname)s", name)
                .replace("%(message)s", message);
            match &handler.target {
                Target::Out => writeln!(out, "{line}")?,
                Target::Err => writeln!(err, "{line}")?,
                Target::File(path) => {
                    let emptied = std::mem::take(&mut handler.fresh);
                    writeln!(open_file(path, emptied)?, "{line}")?;
                }
            }
        }
        Ok(())
    }
}

/// The time as `logging` writes it: `2024-01-31 23:59:59,123`.
fn log_time(moment: &Moment) -> String {
    let mut text = moment.format("%Y-%m-%d %H:%M:%S,%f");
    text.truncate(text.len().saturating_sub(3));
    text
}

/// The handlers of the root logger. Files of all others are made as well, as Python makes them.
fn handlers(config: &Node, root: &Node, cwd: &Path) -> io::Result<Vec<Handler>> {
    let all = config.child("handlers").and_then(Node::as_map);
    for (_, handler) in all.into_iter().flat_map(crate::Map::iter) {
        if let Target::File(path) = target(handler, cwd) {
            open(&path, handler)?;
        }
    }
    let names = root.child("handlers").and_then(Node::as_list).unwrap_or_default();
    let used = names.iter().filter_map(|name| all?.get(name.as_str()?));
    Ok(used
        .map(|handler| Handler {
            target: target(handler, cwd),
            fresh: is_emptied(handler) && is_delayed(handler),
            format: format_of(config, handler),
            level: handler.child("level").map_or(0, level),
        })
        .collect())
}

/// Opens a file, unless that waits for the first line.
fn open(path: &Path, handler: &Node) -> io::Result<()> {
    if !is_delayed(handler) {
        open_file(path, is_emptied(handler))?;
    }
    Ok(())
}

fn is_delayed(handler: &Node) -> bool {
    matches!(handler.child("delay").map(|node| &node.value), Some(Value::Bool(true)))
}

fn is_emptied(handler: &Node) -> bool {
    handler.child("mode").and_then(Node::as_str) == Some("w")
}

fn open_file(path: &Path, emptied: bool) -> io::Result<fs::File> {
    if emptied {
        fs::File::create(path)
    } else {
        OpenOptions::new().create(true).append(true).open(path)
    }
}

fn target(handler: &Node, cwd: &Path) -> Target {
    let text = |key: &str| handler.child(key).and_then(Node::as_str);
    match (text("filename"), text("stream")) {
        (Some(file), _) => Target::File(absolute(cwd, Path::new(file))),
        (None, Some("ext://sys.stdout")) => Target::Out,
        (None, _) => Target::Err,
    }
}

fn format_of(config: &Node, handler: &Node) -> String {
    let formatter = handler.child("formatter").and_then(Node::as_str);
    let format = formatter.and_then(|name| {
        config.child("formatters")?.child(name)?.child("format").and_then(Node::as_str)
    });
    format.unwrap_or("%(message)s").to_owned()
}

fn level(node: &Node) -> u32 {
    match &node.value {
        Value::Int(level) => u32::try_from(*level).unwrap_or(0),
        Value::Str(name) => match name.as_str() {
            "DEBUG" => DEBUG,
            "INFO" => INFO,
            "ERROR" => 40,
            "CRITICAL" | "FATAL" => 50,
            "NOTSET" => 0,
            _ => WARNING,
        },
        _ => WARNING,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Document;

    fn said(configs: &[&str]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let mut logging = Logging::default();
        for text in configs {
            let node = Document::from_str(text, "c.yaml").unwrap();
            logging.configure(&node, None, folder.path()).unwrap();
        }
        let (mut out, mut err) = (Vec::new(), Vec::new());
        logging.info(LAUNCHER, "hello", &mut out, &mut err).unwrap();
        let mut said = String::from_utf8(out).unwrap();
        for file in fs::read_dir(folder.path()).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            said.push_str(&format!("file: {text}"));
        }
        said
    }

    const CONSOLE: &str = "root: {level: INFO, handlers: [c]}\n\
        handlers: {c: {class: x, formatter: f, stream: 'ext://sys.stdout'}}\n\
        formatters: {f: {format: '[%(levelname)s] %(message)s'}}\n\
        disable_existing_loggers: false\n";

    #[test]
    fn a_time_has_milliseconds() {
        let time = jiff::Timestamp::from_millisecond(1_234).unwrap();
        let moment = Moment::at(time.to_zoned_datetime(jiff::tz::TimeZone::UTC));
        assert_eq!(log_time(&moment), "1970-01-01 00:00:01,234");
    }

    #[test]
    fn lines_go_where_the_last_configuration_says() {
        assert_eq!(said(&[CONSOLE]), "[INFO] hello\n");
        assert_eq!(said(&[CONSOLE, "root: null\n"]), "[INFO] hello\n");
        assert_eq!(said(&[CONSOLE, "root: {level: ERROR}\n"]), "");
        assert_eq!(said(&["root: null\n"]), "");
    }

    #[test]
    fn a_single_logger_may_say_more_than_the_root() {
        let file = "root: {level: ERROR, handlers: [f]}\n\
            handlers: {f: {filename: a.log, mode: w, delay: true}}\n\
            loggers: {hydra: {level: DEBUG}}\ndisable_existing_loggers: false\n";
        assert_eq!(said(&[file]), "file: hello\n");
    }
}
