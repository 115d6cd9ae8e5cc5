//! Command lines: exit code, standard output and files of a small program.
//!
//! The program is the one that the vectors were made with, in Rust: it says where it runs, one
//! variable of its environment, and its configuration, fails if it is told to, and leaves a file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use hydra_compose::app::{App, Job, JobError};
use hydra_compose::{Environment, Value, to_yaml};

use crate::json::Json;
use crate::tree::same_text;
use crate::{Outcome, Suite};

/// The variable that the program tells of.
const VARIABLE: &str = "OVERRIDE_BENCHMARKS";

pub(crate) fn suite(vectors: &Json) -> Suite<'_> {
    Suite {
        cases: vectors["cases"].items(),
        name: Box::new(|case| case["name"].text().to_owned()),
        check: Box::new(|case| check(case, &vectors["files"]).unwrap_or_else(Err)),
    }
}

fn check(case: &Json, files: &Json) -> Result<Outcome, String> {
    let told = |error: std::io::Error| error.to_string();
    let folder = tempfile::tempdir().map_err(told)?;
    let root = folder.path().canonicalize().map_err(told)?;
    let mut given = write_all(&root, files).map_err(told)?;
    if let Some(extra) = case.get("extra_files") {
        given.extend(write_all(&root, extra).map_err(told)?);
    }
    let environment: BTreeMap<String, String> = case.get("env").map_or_else(BTreeMap::new, |env| {
        env.pairs().iter().map(|(name, value)| (name.clone(), value.text().to_owned())).collect()
    });
    let argv: Vec<String> =
        case["argv"].items().iter().map(|text| text.text().to_owned()).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let app = App::new("app").with_program("app.py").with_environment(&environment).in_dir(&root);
    let code = app.run(&argv, &mut out, &mut err, &mut |job, out| {
        program(job, out, &root, &environment).map_err(|error| JobError::new(error.to_string()))?
    });
    let (out, err) = (String::from_utf8_lossy(&out), String::from_utf8_lossy(&err));
    let wanted = format!("exit code {:?}", case["exit_code"]);
    let found = format!("exit code {:?}", Json::Int(i128::from(code)));
    if found != wanted {
        return Ok(Err(format!("found {found}, expected {wanted}; {err}")));
    }
    let normal = |text: &str| normalised(text, &root);
    if let Err(why) =
        same_text(&without_padding(&normal(&out)), &without_padding(case["stdout"].text()))
    {
        return Ok(Err(format!("{why}; {err}")));
    }
    Ok(same_files(&root, &given, &case["created"], &normal))
}

/// What the program of the vectors does.
fn program(
    job: &Job,
    out: &mut dyn Write,
    root: &Path,
    environment: &dyn Environment,
) -> std::io::Result<Result<(), JobError>> {
    let place = job.working_dir.strip_prefix(root).unwrap_or(&job.working_dir);
    let place = if place.as_os_str().is_empty() { Path::new(".") } else { place };
    writeln!(out, "CWD={}", place.display())?;
    let set = job.env_set.iter().find(|(name, _)| name == VARIABLE).map(|(_, value)| value.clone());
    if let Some(value) = set.or_else(|| environment.get(VARIABLE)).filter(|value| !value.is_empty())
    {
        writeln!(out, "ENV {VARIABLE}={value}")?;
    }
    let config = match job.resolved(environment) {
        Ok(config) => config,
        Err(errors) => return Ok(Err(JobError::new(errors.to_string()))),
    };
    write!(out, "{}", to_yaml(&config))?;
    let fails = config.at("fail").is_some_and(|node| match &node.value {
        Value::Bool(value) => *value,
        Value::Str(text) => !text.is_empty(),
        Value::Int(value) => *value != 0,
        _ => false,
    });
    if fails {
        return Ok(Err(JobError::new("job failed")));
    }
    fs::write(job.working_dir.join("artifact.txt"), "x")?;
    Ok(Ok(()))
}

pub(crate) fn write_all(root: &Path, files: &Json) -> std::io::Result<BTreeSet<PathBuf>> {
    let mut given = BTreeSet::new();
    for (name, content) in files.pairs() {
        let path = root.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, content.text())?;
        given.insert(path);
    }
    Ok(given)
}

/// The files that are new, and what is in them. What the vectors leave out is not compared.
fn same_files(
    root: &Path,
    given: &BTreeSet<PathBuf>,
    wanted: &Json,
    normal: &impl Fn(&str) -> String,
) -> Outcome {
    let mut found = BTreeMap::new();
    collect(root, &mut found).map_err(|error| error.to_string())?;
    let found: BTreeMap<String, String> = found
        .into_iter()
        .filter(|(path, _)| !given.contains(path))
        .map(|(path, text)| {
            let path = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            (normal(&path), normal(&text))
        })
        .collect();
    let names = |names: BTreeSet<&str>| names.into_iter().collect::<Vec<_>>().join(" ");
    let wanted: BTreeMap<&str, &str> =
        wanted.pairs().iter().map(|(name, text)| (name.as_str(), text.text())).collect();
    same_text(
        &names(found.keys().map(String::as_str).collect()),
        &names(wanted.keys().copied().collect()),
    )?;
    for (name, text) in wanted {
        if !text.starts_with("<omitted") {
            same_text(&found[name], text).map_err(|why| format!("{name}: {why}"))?;
        }
    }
    Ok(())
}

fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, String>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            let text = fs::read(&path)?;
            files.insert(path, String::from_utf8_lossy(&text).into_owned());
        }
    }
    Ok(())
}

/// Places and times as the vectors write them.
fn normalised(text: &str, root: &Path) -> String {
    let text = text.replace(&*root.to_string_lossy(), "{ROOT}");
    let text = replace_digits(&text, "[dddd-dd-dd dd:dd:dd,ddd]", "[<TS>]");
    replace_digits(&text, "dddd-dd-dd/dd-dd-dd", "<DATE>/<TIME>")
}

/// Replaces every occurrence of a pattern, in which `d` is a digit.
fn replace_digits(text: &str, pattern: &str, with: &str) -> String {
    let matches = |rest: &[u8]| {
        rest.len() >= pattern.len()
            && rest.iter().zip(pattern.bytes()).all(|(byte, wanted)| match wanted {
                b'd' => byte.is_ascii_digit(),
                wanted => *byte == wanted,
            })
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if matches(rest.as_bytes()) {
            out.push_str(with);
            rest = &rest[pattern.len()..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// Tables are as wide as the paths in them, which differ from one run to the next.
fn without_padding(text: &str) -> String {
    let lines = text.split('\n').map(|line| {
        if line.len() > 20 && line.bytes().all(|byte| byte == b'-') {
            return "---".to_owned();
        }
        if !line.starts_with("| ") {
            return line.to_owned();
        }
        line.split('|').map(str::trim_end).collect::<Vec<_>>().join("|")
    });
    lines.collect::<Vec<_>>().join("\n")
}
