//! What a dataset's name means: where its files are.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::hub::{HubEnv, Repo, RepoKind, is_repo_id};
use super::layout::{Ask, Chosen, choose, missing_shards};
use super::{DatasetError, DatasetFormat, builtin};
use crate::config::component::scenario::ScenarioConfig;
use crate::record::Warning;

/// One file to read.
pub(super) enum Data {
    /// The built-in set.
    BuiltIn,
    /// A file on disk.
    File { path: PathBuf, format: DatasetFormat },
}

/// A located dataset. Files of the hub are fetched one at a time, as they are asked for.
pub(super) struct Source<'a> {
    place: Place,
    pending: VecDeque<String>,
    formats: &'a [DatasetFormat],
    warnings: Vec<Warning>,
}

enum Place {
    BuiltIn,
    File(PathBuf),
    Folder(PathBuf),
    Hub(Box<Repo>),
}

/// Finds the dataset that a scenario names.
pub(super) fn locate<'a>(
    scenario: &ScenarioConfig,
    formats: &'a [DatasetFormat],
    env: &HubEnv,
) -> Result<Source<'a>, DatasetError> {
    let name = scenario.dataset_name.as_str();
    let mut source =
        Source { place: Place::BuiltIn, pending: VecDeque::new(), formats, warnings: Vec::new() };
    if name == builtin::NAME {
        source.pending.push_back("builtin".to_owned());
        source.warn_of_unused(scenario);
        return Ok(source);
    }
    let path = expand_home(name);
    match fs::metadata(&path) {
        Ok(found) if found.is_dir() => source.open_folder(path, scenario)?,
        Ok(_) => source.open_file(path, scenario),
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            return Err(DatasetError::Io { path, cause });
        }
        Err(_) if looks_like_path(name, formats) => {
            let instead = neighbours(&path, formats);
            return Err(DatasetError::NotFound { path, instead });
        }
        Err(_) if is_repo_id(name) => source.open_hub(scenario, env)?,
        Err(_) => return Err(DatasetError::BadName { name: name.to_owned() }),
    }
    Ok(source)
}

impl Source<'_> {
    /// The next file with its name inside the dataset.
    pub(super) fn next(&mut self) -> Result<Option<(String, Data)>, DatasetError> {
        let Some(name) = self.pending.pop_front() else { return Ok(None) };
        let path = match &mut self.place {
            Place::BuiltIn => return Ok(Some((name, Data::BuiltIn))),
            Place::File(path) => path.clone(),
            Place::Folder(folder) => folder.join(&name),
            Place::Hub(repo) => repo.file(&name)?,
        };
        let format = format_of(self.formats, &name).ok_or_else(|| unknown(self.formats, &name))?;
        Ok(Some((name, Data::File { path, format })))
    }

    /// Where the files came from, in words.
    pub(super) fn origin(&self) -> &'static str {
        match &self.place {
            Place::BuiltIn => "built in",
            Place::File(_) => "local file",
            Place::Folder(_) => "local folder",
            Place::Hub(repo) => repo.origin().as_str(),
        }
    }

    /// The commit of a hub dataset.
    pub(super) fn revision(&self) -> Option<String> {
        match &self.place {
            Place::Hub(repo) => Some(repo.commit().to_owned()),
            _ => None,
        }
    }

    /// What was noticed on the way.
    pub(super) fn into_warnings(self) -> Vec<Warning> {
        let mut warnings = self.warnings;
        if let Place::Hub(repo) = &self.place {
            warnings.extend(repo.warnings().iter().cloned());
        }
        warnings
    }

    fn open_file(&mut self, path: PathBuf, scenario: &ScenarioConfig) {
        let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        self.pending.push_back(name);
        self.place = Place::File(path);
        self.warn_of_unused(scenario);
    }

    fn open_folder(
        &mut self,
        path: PathBuf,
        scenario: &ScenarioConfig,
    ) -> Result<(), DatasetError> {
        let io = |cause| DatasetError::Io { path: path.clone(), cause };
        let files = list(&path).map_err(io)?;
        let readme = match fs::read(path.join("README.md")) {
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => None,
            Err(cause) => return Err(io(cause)),
        };
        let chosen = self.choose(&files, readme.as_deref(), scenario)?;
        let missing = missing_shards(&chosen.files);
        if !missing.is_empty() {
            let message = format!("the folder lacks parts of the split: {}", missing.join(", "));
            self.warnings.push(Warning::new("shards_missing", message));
        }
        if scenario.dataset_revision.is_some() {
            self.warn_unused("dataset_revision", "a local folder");
        }
        self.accept(&scenario.dataset_name, chosen);
        self.place = Place::Folder(path);
        Ok(())
    }

    fn open_hub(&mut self, scenario: &ScenarioConfig, env: &HubEnv) -> Result<(), DatasetError> {
        let name = &scenario.dataset_name;
        let revision = scenario.dataset_revision.as_deref();
        let mut repo = Repo::open(env, RepoKind::Dataset, name, revision)?;
        let readme = if repo.files().iter().any(|file| file == "README.md") {
            let path = repo.file("README.md")?;
            let bytes = fs::read(&path).map_err(|cause| DatasetError::Io { path, cause })?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        } else {
            None
        };
        let chosen = self.choose(repo.files(), readme.as_deref(), scenario)?;
        self.accept(name, chosen);
        self.place = Place::Hub(Box::new(repo));
        Ok(())
    }

    fn choose(
        &self,
        files: &[String],
        readme: Option<&str>,
        scenario: &ScenarioConfig,
    ) -> Result<Chosen, DatasetError> {
        let ask = Ask {
            config: scenario.dataset_config.as_deref(),
            split: &scenario.dataset_split,
            kind_of: &|file| format_of(self.formats, file).map(|format| format.kind),
        };
        choose(files, readme, &ask)
            .map_err(|cause| DatasetError::Layout { name: scenario.dataset_name.clone(), cause })
    }

    fn accept(&mut self, name: &str, chosen: Chosen) {
        if !chosen.left_out.is_empty() {
            let message = format!(
                "files of {name} in another format than most of the split were left out: {}",
                chosen.left_out.join(", ")
            );
            self.warnings.push(Warning::new("dataset_files_left_out", message));
        }
        self.pending = chosen.files.into();
    }

    fn warn_of_unused(&mut self, scenario: &ScenarioConfig) {
        let what = self.origin();
        if scenario.dataset_revision.is_some() {
            self.warn_unused("dataset_revision", what);
        }
        if scenario.dataset_config.is_some() {
            self.warn_unused("dataset_config", what);
        }
    }

    fn warn_unused(&mut self, key: &str, what: &str) {
        let message = format!("scenario.{key} has no meaning for this dataset ({what})");
        self.warnings.push(Warning::new("setting_without_effect", message));
    }
}

/// The format of a file by its extension.
fn format_of(formats: &[DatasetFormat], file: &str) -> Option<DatasetFormat> {
    let extension = Path::new(file).extension()?.to_str()?.to_lowercase();
    formats.iter().find(|format| format.extensions.contains(&extension.as_str())).copied()
}

fn unknown(formats: &[DatasetFormat], file: &str) -> DatasetError {
    let mut known: Vec<&str> = formats.iter().flat_map(|f| f.extensions).copied().collect();
    known.sort_unstable();
    DatasetError::UnknownFormat { file: file.to_owned(), known }
}

/// A hub id is `name` or `org/name`; everything that is plainly a path is never looked up on the hub.
fn looks_like_path(name: &str, formats: &[DatasetFormat]) -> bool {
    name.starts_with(['/', '.', '~'])
        || name.contains('\\')
        || name.matches('/').count() > 1
        || name.ends_with('/')
        || format_of(formats, name).is_some()
}

fn expand_home(name: &str) -> PathBuf {
    match (name.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(name),
    }
}

/// Data files beside a path that does not exist, the most similar first.
fn neighbours(path: &Path, formats: &[DatasetFormat]) -> Vec<String> {
    const SHOWN: usize = 5;
    let typed = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().to_lowercase());
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<(f64, String)> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| format_of(formats, name).is_some())
        .map(|name| (strsim::jaro_winkler(&typed, &name.to_lowercase()), name))
        .collect();
    names.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    names.into_iter().take(SHOWN).map(|(_, name)| name).collect()
}

/// Files below a folder, relative to it, `/` between parts. Hidden ones are left out.
pub(super) fn list(folder: &Path) -> io::Result<Vec<String>> {
    const MAX_DEPTH: usize = 8;
    let mut files = Vec::new();
    let mut pending = vec![(folder.to_path_buf(), String::new(), 0)];
    while let Some((path, prefix, depth)) = pending.pop() {
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with('.') {
                continue;
            }
            let relative = format!("{prefix}{name}");
            // Metadata of the target: in the hub's cache every file is a link.
            match fs::metadata(entry.path()) {
                Ok(found) if found.is_dir() && depth < MAX_DEPTH => {
                    pending.push((entry.path(), format!("{relative}/"), depth + 1));
                }
                Ok(found) if found.is_file() => files.push(relative),
                _ => {}
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}
