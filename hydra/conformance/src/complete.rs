//! Completions of the overrides of a command line.

use hydra_compose::app::App;

use crate::cli::write_all;
use crate::json::Json;
use crate::tree::same_text;
use crate::{Outcome, Suite};

pub(crate) fn suite(vectors: &Json) -> Suite<'_> {
    Suite {
        cases: vectors["completions"].items(),
        name: Box::new(|case| {
            format!("{}: {}", config_name(case).unwrap_or("-"), case["line"].text())
        }),
        check: Box::new(|case| check(case, &vectors["files"])),
    }
}

fn config_name(case: &Json) -> Option<&str> {
    match &case["name"] {
        Json::Null => None,
        name => Some(name.text()),
    }
}

fn check(case: &Json, files: &Json) -> Outcome {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    write_all(folder.path(), files).map_err(|error| error.to_string())?;
    let environment = std::collections::BTreeMap::new();
    let app = App::new("UNKNOWN_NAME").with_environment(&environment);
    let app = app.in_dir(folder.path()).with_config_path("conf");
    let app = match config_name(case) {
        Some(name) => app.with_config_name(name),
        None => app,
    };
    let found = app.complete(&format!("app {}", case["line"].text()));
    same_text(&format!("{found:?}"), &format!("{:?}", case["expected"].texts()))
}
