//! Which configs a command line names, and which changes.

use std::path::{Path, PathBuf};

use ai_energy_benchmarks::error::{Problem, Problems};

use crate::args::ConfigArgs;

/// One config, as it was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A file.
    File(PathBuf),
    /// What flags say by themselves: the name and the YAML of a config that is no file.
    Text { name: String, yaml: String },
    /// A name in a folder, Hydra's way.
    Named {
        /// The folder; without one, only what is built in can be named.
        folder: Option<PathBuf>,
        /// The name; without one, only changes make the config.
        name: Option<String>,
    },
}

/// What a command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The configs, in order. Never empty.
    pub targets: Vec<Target>,
    /// Changes to each of them.
    pub overrides: Vec<String>,
}

impl Target {
    /// For messages.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Text { name, .. } => name.clone(),
            Self::Named { folder, name } => {
                let name = name.as_deref().unwrap_or("(no config)");
                folder.as_ref().map_or_else(
                    || name.to_owned(),
                    |folder| folder.join(name).display().to_string(),
                )
            }
        }
    }
}

/// Sorts the words of a command line into configs and changes.
///
/// # Errors
/// No config is named, both ways of naming are mixed, or a folder holds no config.
pub(crate) fn asked(arguments: &ConfigArgs) -> Result<Asked, Problems> {
    let (overrides, paths): (Vec<String>, Vec<String>) =
        arguments.words.iter().cloned().partition(|word| is_change(word));
    if let Some((name, yaml)) = &arguments.text {
        let Some(path) = paths.first() else {
            let target = Target::Text { name: name.clone(), yaml: yaml.clone() };
            return Ok(Asked { targets: vec![target], overrides });
        };
        return Err(Problem::new(
            "command line",
            format!("`{path}` is no change of the form KEY=VALUE"),
        )
        .hint("a config is run with `run`, which takes the same flags")
        .into());
    }
    let folder = arguments.config_dir.clone().or_else(|| arguments.config_path.clone());
    let named = arguments.is_hydra_shaped();
    let targets = match (named, paths.is_empty()) {
        (true, true) => vec![Target::Named { folder, name: arguments.config_name.clone() }],
        (true, false) => {
            let message =
                format!("`{}` is a path, and --config-name names a config already", paths[0]);
            return Err(Problem::new("command line", message)
                .hint("name configs by their path, or with --config-dir and --config-name")
                .into());
        }
        (false, true) => {
            return Err(Problem::new("command line", "no config is named")
                .hint("give a YAML file, a folder of them, or --config-dir and --config-name")
                .into());
        }
        (false, false) => files(&paths)?,
    };
    Ok(Asked { targets, overrides })
}

/// A change has a sign in front or an equals sign; a path that exists is no change.
fn is_change(word: &str) -> bool {
    let looks = word.starts_with(['+', '~']) || word.contains('=');
    looks && !Path::new(word).exists()
}

fn files(paths: &[String]) -> Result<Vec<Target>, Problems> {
    let mut problems = Problems::default();
    let mut targets = Vec::new();
    for path in paths.iter().map(PathBuf::from) {
        if !path.is_dir() {
            targets.push(Target::File(path));
            continue;
        }
        match configs_in(&path) {
            Ok(found) if found.is_empty() => problems.push(
                Problem::new(path.display().to_string(), "the folder holds no config")
                    .hint("configs end in .yaml; those that begin with _ are parts of others"),
            ),
            Ok(found) => targets.extend(found.into_iter().map(Target::File)),
            Err(cause) => {
                problems.push(Problem::new(path.display().to_string(), cause.to_string()));
            }
        }
    }
    problems.into_result().map(|()| targets)
}

/// The configs of a folder by name; not those of folders in it, which are groups.
fn configs_in(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let yaml = path.extension().is_some_and(|extension| extension == "yaml");
        let part = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('_'));
        if yaml && !part && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> ConfigArgs {
        ConfigArgs {
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            ..ConfigArgs::default()
        }
    }

    #[test]
    fn configs_and_changes_are_told_apart_wherever_they_stand() {
        let asked = asked(&words(&["a=1", "one.yaml", "~b", "two.yaml", "+c.d=[1,2]"])).unwrap();
        assert_eq!(asked.overrides, ["a=1", "~b", "+c.d=[1,2]"]);
        assert_eq!(
            asked.targets,
            [Target::File("one.yaml".into()), Target::File("two.yaml".into())]
        );
    }

    #[test]
    fn a_folder_stands_for_its_configs_and_an_existing_path_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let sub = folder.path().join("model=org");
        std::fs::create_dir_all(sub.join("group")).unwrap();
        for name in ["b.yaml", "a.yaml", "_base_.yaml", "notes.txt", "group/c.yaml"] {
            std::fs::write(sub.join(name), "").unwrap();
        }
        let asked = asked(&words(&[sub.to_str().unwrap()])).unwrap();
        let wanted = ["a.yaml", "b.yaml"].map(|name| Target::File(sub.join(name)));
        assert_eq!(asked.targets, wanted);
        let problems = super::asked(&words(&[sub.join("group/..").to_str().unwrap(), "x"]));
        assert!(problems.is_ok());
        let empty = tempfile::tempdir().unwrap();
        let problems = super::asked(&words(&[empty.path().to_str().unwrap()])).unwrap_err();
        assert!(problems.to_string().contains("holds no config"), "{problems}");
    }

    #[test]
    fn naming_nothing_and_naming_twice_are_told() {
        let shown = asked(&words(&["a=1"])).unwrap_err().to_string();
        assert!(shown.contains("no config is named"), "{shown}");
        let mut both = words(&["c.yaml"]);
        both.config_name = Some("n".to_owned());
        assert!(asked(&both).unwrap_err().to_string().contains("--config-name"));
    }

    #[test]
    fn changes_alone_make_a_config_hydras_way() {
        let mut named = words(&["+a=1"]);
        named.config_dir = Some("conf".into());
        let asked = asked(&named).unwrap();
        let folder = Some(PathBuf::from("conf"));
        assert_eq!(asked.targets, [Target::Named { folder, name: None }]);
    }
}
