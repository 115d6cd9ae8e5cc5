//! `ai-energy-benchmark complete`: what the last word of a command line may become. The completion
//! scripts ask it for what only the config knows: keys, values, groups and their options.

use ai_energy_benchmarks::config::{Composer, Environment};
use clap::Parser;
use hydra_compose::RunMode;

use crate::args::{Arguments, Command, CompleteArgs, ConfigArgs, with_long_flags};
use crate::exit::Exit;
use crate::plan::{reading, source};
use crate::target;
use crate::terminal;

pub(crate) fn run(arguments: &CompleteArgs) -> Exit {
    for candidate in candidates(&arguments.line) {
        terminal::out(&format!("{candidate}\n"));
    }
    Exit::Ok
}

/// None for a line that cannot be read or names no config: a shell is no place for complaints.
fn candidates(line: &str) -> Vec<String> {
    let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let word = match words.pop() {
        Some(word) if !line.ends_with(char::is_whitespace) => word,
        Some(last) => {
            words.push(last);
            String::new()
        }
        None => return Vec::new(),
    };
    if word.starts_with('-') {
        // Flags are clap's.
        return Vec::new();
    }
    let Some((config, mode)) = config(words) else { return Vec::new() };
    let Ok(asked) = target::asked(&config) else { return Vec::new() };
    let environment = Environment::default();
    let source = source(&asked.targets[0]);
    Composer::new(&source, reading(config.dialect), &asked.overrides, &environment)
        .map(|composer| composer.session().complete(&word, mode))
        .unwrap_or_default()
}

fn config(words: Vec<String>) -> Option<(ConfigArgs, RunMode)> {
    let read = Arguments::try_parse_from(with_long_flags(words.into_iter())).ok()?;
    let mode = |multirun| if multirun { RunMode::MultiRun } else { RunMode::Run };
    match read.command {
        Command::Run(run) => Some((run.config, mode(run.multirun))),
        Command::Validate(validate) => Some((validate.config, mode(validate.multirun))),
        Command::Doctor(doctor) => Some((doctor.config, RunMode::Run)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_groups_and_options_come_from_the_config() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        std::fs::create_dir(folder.path().join("backend")).unwrap();
        write(
            "c.yaml",
            "defaults: [{backend: one}, _self_]\nscenario: {idle_s: 1, num_samples: 2}\n",
        );
        write("backend/one.yaml", "type: candle\n");
        write("backend/other.yaml", "type: vllm\n");
        let config = folder.path().join("c.yaml").display().to_string();
        let complete = |rest: &str| candidates(&format!("ai-energy-benchmark {rest}"));
        assert_eq!(complete(&format!("run {config} backend=o")), ["backend=one", "backend=other"]);
        assert_eq!(
            complete(&format!("run {config} -m scenario.")),
            ["scenario.idle_s=", "scenario.num_samples="]
        );
        let named = format!("validate -cd {} -cn c backend.t", folder.path().display());
        assert_eq!(complete(&named), ["backend.type="]);
        assert!(complete("run a=").is_empty());
        assert!(complete("schema c").is_empty());
        assert!(complete(&format!("run {config} --c")).is_empty());
    }
}
