//! Files, overrides and schemas, as Hydra composes them.

use std::collections::BTreeMap;
use std::path::Path;

use hydra_compose::{
    Composed, ConfigStore, Errors, Interpolator, Loader, Node, RunMode, SearchPath, to_yaml,
};

use crate::interp::environment;
use crate::json::Json;
use crate::schema::{self, Names};
use crate::tree::{same, same_error, same_text};
use crate::{Outcome, Suite};

pub(crate) fn suite(vectors: &Json) -> Suite<'_> {
    Suite {
        cases: vectors.items(),
        name: Box::new(|case| case["name"].text().to_owned()),
        check: Box::new(|case| check(case, &Setup::of(case))),
    }
}

/// The name of the job of the program that made the vectors.
const JOB: &str = "app";

/// The folder of a case, in its texts.
pub(crate) const ROOT: &str = "{ROOT}";

/// What a case is composed from, besides what it says itself.
pub(crate) struct Setup<'c> {
    pub(crate) files: &'c Json,
    pub(crate) schemas: Option<&'c Json>,
    pub(crate) environment: BTreeMap<String, String>,
}

impl<'c> Setup<'c> {
    fn of(case: &'c Json) -> Self {
        Self {
            files: &case["files"],
            schemas: case.get("schemas"),
            environment: case.get("env").map(environment).unwrap_or_default(),
        }
    }
}

/// Composes a case in a folder of its own and compares everything that it names.
pub(crate) fn check(case: &Json, setup: &Setup<'_>) -> Outcome {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let root = folder.path().canonicalize().map_err(|error| error.to_string())?;
    let root_text = root.to_string_lossy().into_owned();
    match case.get("yaml") {
        Some(text) => {
            std::fs::write(root.join("config.yaml"), text.text()).map_err(|e| e.to_string())?;
        }
        None => write(&root, &root_text, setup.files)?,
    }
    let path = match case.get("config_dir") {
        Some(folder) => root.join(folder.text()),
        None => root.clone(),
    };
    let overrides: Vec<String> =
        case["overrides"].texts().iter().map(|text| text.replace(ROOT, &root_text)).collect();
    let config_name = case.get("config_name").map_or(Some("config"), Json::as_text);
    let loader = Loader::new(SearchPath::new().with_folder("main", &path), store(case, setup)?)
        .with_environment(&setup.environment)
        .with_job_name(JOB)
        .with_shell_quotes(false);
    let composed = loader.compose(config_name, &overrides, RunMode::Run);
    compare(case, setup, composed, &root_text)
}

fn write(root: &Path, root_text: &str, files: &Json) -> Outcome {
    for (name, text) in files.pairs() {
        let file = root.join(name);
        let folder = file.parent().unwrap_or(root);
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&file, text.text().replace(ROOT, root_text)))
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn store(case: &Json, setup: &Setup<'_>) -> Result<ConfigStore, String> {
    let names = Names::of(case)?;
    let mut store = ConfigStore::new();
    for (path, fields) in setup.schemas.map(Json::pairs).unwrap_or_default() {
        let (group, name) = path.rsplit_once('/').unwrap_or(("", path));
        store.store(group, name, schema::node(path, fields, &names)?, None, "vectors");
    }
    Ok(store)
}

fn compare(
    case: &Json,
    setup: &Setup<'_>,
    composed: Result<Composed, Errors>,
    root: &str,
) -> Outcome {
    let composed = match composed {
        Ok(composed) => composed,
        Err(errors) if case["error_stage"].text() == "compose" || case.get("error").is_some() => {
            return same_error(&errors, case, root);
        }
        Err(errors) => return Err(format!("found {errors}")),
    };
    if case["error_stage"].text() == "compose" {
        return Err(format!("composed, expected {}", case["error_type"].text()));
    }
    let job = composed.job();
    if let Some(raw) = case.get("raw") {
        same(&job, raw)?;
    }
    if let Some(text) = case.get("cfg_job_yaml") {
        same_text(&to_yaml(&job), text.text())?;
    }
    if let Some(keys) = case.get("missing_keys") {
        let mut found = job.missing_paths();
        let mut wanted = keys.texts();
        found.sort();
        wanted.sort();
        same_text(&found.join(" "), &wanted.join(" "))?;
    }
    same_warnings(case, &composed, root)?;
    same_values(case, setup, &composed, &job, root)
}

/// Values resolved: parts of the whole configuration, or the configuration of the job.
fn same_values(
    case: &Json,
    setup: &Setup<'_>,
    composed: &Composed,
    job: &Node,
    root: &str,
) -> Outcome {
    let interpolator = Interpolator::new(&setup.environment);
    if let Some(selected) = case.get("expected_select") {
        for (path, wanted) in selected.pairs() {
            let found = interpolator.resolve_at(&composed.config, path);
            let found = found.map_err(|errors| format!("found {errors}"))?;
            let found = found.ok_or_else(|| format!("there is no {path}"))?;
            same(&found, wanted).map_err(|why| format!("{path}: {why}"))?;
        }
        return Ok(());
    }
    match (interpolator.resolve(job), case.get("error_type")) {
        (Ok(found), None) => same(&found, &case["expected"]),
        (Err(errors), Some(_)) => same_error(&errors, case, root),
        (Ok(found), Some(python)) => Err(format!("found {found:?}, expected {}", python.text())),
        (Err(errors), None) => Err(format!("found {errors}")),
    }
}

/// The first lines of the warnings, as far as composition gives them.
fn same_warnings(case: &Json, composed: &Composed, root: &str) -> Outcome {
    // What a resolver warns of comes with its use.
    let later =
        |text: &str| text.contains("is deprecated. Change") || text.contains("In the sequence");
    let wanted = case.get("warnings").map(Json::texts).unwrap_or_default();
    let wanted: Vec<_> = wanted.into_iter().filter(|text| !later(text)).collect();
    let found: Vec<_> = composed
        .warnings
        .iter()
        .map(|warning| {
            let message = warning.message.replace(root, ROOT);
            message.trim_start().lines().next().unwrap_or_default().to_owned()
        })
        .collect();
    same_text(&found.join("\n"), &wanted.join("\n"))
}
