//! `ai-energy-benchmark profile`: a benchmark of a server without a config.

use ai_energy_benchmarks::error::{Problem, Problems};

use super::run;
use crate::args::{ConfigArgs, LogFormat, ProfileArgs, RunArgs, Shown};
use crate::exit::Exit;
use crate::terminal;

pub(crate) fn run(arguments: ProfileArgs, log_format: LogFormat) -> Exit {
    match as_run(arguments) {
        Ok(arguments) => run::begin(&arguments, log_format),
        Err(problems) => {
            terminal::problems(&problems);
            Exit::Usage
        }
    }
}

/// The run that the flags stand for.
fn as_run(mut arguments: ProfileArgs) -> Result<RunArgs, Problems> {
    arguments.flags.0.give_back_words(&mut arguments.words);
    let changes = arguments.flags.0.changes(&arguments.words, true)?;
    let model = changes.changes.iter().find(|change| change.key == "backend.model");
    let named = |word: &String| word.trim_start_matches('+').starts_with("backend.model=");
    let model = match (model, arguments.words.iter().find(|word| named(word))) {
        (Some(change), _) => change.value.as_str(),
        (None, Some(word)) => word.split_once('=').map_or("", |(_, value)| value),
        (None, None) => {
            return Err(Problem::new("--model", "no model is named")
                .hint("add -m MODEL, as the server lists it at /v1/models")
                .into());
        }
    };
    let name = name_of(model);
    // What is said here is what all flags and changes are said to.
    let yaml = format!("name: '{name}'\nbackend:\n  type: vllm\n");
    let mut words = changes.words(false);
    words.extend(arguments.words);
    Ok(RunArgs {
        multirun: changes.is_sweep(),
        config: ConfigArgs { words, text: Some((name, yaml)), ..ConfigArgs::default() },
        cfg: arguments.cfg.or(arguments.dry_run.then_some(Shown::Job)),
        fail_fast: arguments.fail_fast,
        strict_client: arguments.strict_client,
        json: arguments.json,
        ..RunArgs::default()
    })
}

/// The last part of the model's name, of which a folder can be named.
fn name_of(model: &str) -> String {
    let model = model.trim_matches(['\'', '"']);
    let last = model.rsplit(['/', ':']).next().unwrap_or_default();
    let plain =
        |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' };
    let name: String = last.chars().map(plain).collect();
    if name.trim_matches('.').is_empty() { "profile".to_owned() } else { format!("profile-{name}") }
}
