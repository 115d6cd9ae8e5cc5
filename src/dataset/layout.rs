//! Which files of a folder or repository make up a split.
//!
//! Dataset repositories say so in the front matter of their `README.md` (`configs:` with `data_files:`), or
//! by the names of their files: `data/train-00000-of-00002.parquet`, `train.jsonl`, `test/part1.csv`. Pure:
//! it works on a list of names, so that a repository is laid out the same on disk and on the hub.

mod names;
mod readme;

use std::collections::BTreeMap;

use crate::error::nearest;

pub(super) use names::missing_shards;
use readme::Declared;

/// Which part of a dataset is wanted.
pub(super) struct Ask<'a> {
    /// Configuration (subset), where one is asked for.
    pub(super) config: Option<&'a str>,
    /// Split.
    pub(super) split: &'a str,
    /// The format of a file by its name, if any reader knows it.
    pub(super) kind_of: &'a dyn Fn(&str) -> Option<&'static str>,
}

/// The files of a split, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) files: Vec<String>,
    /// Files of the split in another format than most.
    pub(super) left_out: Vec<String>,
}

/// Why no file could be chosen.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Nothing there that a reader knows.
    #[error("no file there is in a format that can be read; there are: {}", some(files))]
    NoDataFiles {
        /// What is there.
        files: Vec<String>,
    },
    /// There is no such split.
    #[error("there is no split `{split}`; there are: {}", some(found))]
    NoSplit {
        /// The one asked for.
        split: String,
        /// Those that there are.
        found: Vec<String>,
    },
    /// There is no such configuration, or several and none was asked for.
    #[error("{}; there are: {}", no_config(asked.as_deref()), some(found))]
    NoConfig {
        /// The one asked for.
        asked: Option<String>,
        /// Those that there are.
        found: Vec<String>,
    },
    /// A pattern of the README names no file.
    #[error("README.md names `{pattern}`, and no file there is called so")]
    NoMatch {
        /// Which pattern.
        pattern: String,
    },
    /// The front matter of the README cannot be understood.
    #[error("the front matter of README.md cannot be read: {message}")]
    Readme {
        /// Why.
        message: String,
    },
    /// As many files of one format as of another.
    #[error("the split has as many files of one format as of another: {}", some(files))]
    Mixed {
        /// All of them.
        files: Vec<String>,
    },
}

impl LayoutError {
    /// The config key that has to do with it.
    pub(super) const fn key(&self) -> &'static str {
        match self {
            Self::NoSplit { .. } => "scenario.dataset_split",
            Self::NoConfig { .. } => "scenario.dataset_config",
            _ => "scenario.dataset_name",
        }
    }

    /// What to do about it.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::NoDataFiles { files } if files.iter().any(|name| name.ends_with(".arrow")) => {
                Some(
                    "save the dataset as Parquet or JSON Lines; Arrow files are not read"
                        .to_owned(),
                )
            }
            Self::NoSplit { split, .. } if split.contains('[') => {
                Some("to use a part of a split, set scenario.num_samples".to_owned())
            }
            Self::NoSplit { split: typed, found }
            | Self::NoConfig { asked: Some(typed), found } => {
                let near = nearest(typed, found.iter().map(String::as_str))?;
                Some(format!("did you mean `{near}`?"))
            }
            Self::NoConfig { asked: None, .. } => {
                Some("set scenario.dataset_config to one of them".to_owned())
            }
            Self::Mixed { .. } => Some("name one of the files as the dataset".to_owned()),
            _ => None,
        }
    }
}

/// The files that make up the wanted split.
///
/// # Errors
/// When there is no such split or configuration, or no file of it can be read.
pub(super) fn choose(
    files: &[String],
    readme: Option<&str>,
    ask: &Ask<'_>,
) -> Result<Chosen, LayoutError> {
    let mut all: Vec<&str> = files.iter().map(String::as_str).collect();
    all.sort_unstable();
    let data: Vec<&str> =
        all.iter().copied().filter(|file| is_data(file) && (ask.kind_of)(file).is_some()).collect();
    if data.is_empty() {
        return Err(LayoutError::NoDataFiles { files: owned(&all) });
    }
    let declared = readme.map_or(Ok(Vec::new()), readme::configs)?;
    let split = if declared.is_empty() {
        names::split(&in_config(&data, ask.config)?, ask.split)?
    } else {
        declared_split(&all, &data, pick_config(&declared, ask.config)?, ask.split)?
    };
    one_kind(&split, ask.kind_of)
}

/// Files that describe a dataset and are not part of it.
fn is_data(file: &str) -> bool {
    const INFO: [&str; 4] =
        ["dataset_dict.json", "dataset_info.json", "dataset_infos.json", "state.json"];
    let name = file.rsplit('/').next().unwrap_or(file);
    let stem = name.split('.').next().unwrap_or(name).to_lowercase();
    let hidden = file.split('/').any(|part| part.starts_with('.') || part.starts_with("__"));
    !hidden
        && !INFO.contains(&name)
        && !["readme", "license", "notice", "requirements"].contains(&stem.as_str())
}

/// Files of a configuration where only folder names tell it.
fn in_config<'a>(data: &[&'a str], config: Option<&str>) -> Result<Vec<&'a str>, LayoutError> {
    let Some(config) = config.filter(|config| *config != "default") else {
        return Ok(data.to_vec());
    };
    let inside: Vec<&str> = data
        .iter()
        .copied()
        .filter(|file| names::folders(file).any(|part| part == config))
        .collect();
    if !inside.is_empty() {
        return Ok(inside);
    }
    let mut found: Vec<String> =
        data.iter().filter_map(|file| names::folders(file).next()).map(str::to_owned).collect();
    found.dedup();
    Err(LayoutError::NoConfig { asked: Some(config.to_owned()), found })
}

fn pick_config<'a>(
    declared: &'a [Declared],
    asked: Option<&str>,
) -> Result<&'a Declared, LayoutError> {
    let picked = match (asked, declared) {
        (Some(asked), _) => declared.iter().find(|config| config.name == asked),
        (None, [only]) => Some(only),
        (None, _) => declared
            .iter()
            .find(|config| config.is_default)
            .or_else(|| declared.iter().find(|config| config.name == "default")),
    };
    picked.ok_or_else(|| LayoutError::NoConfig {
        asked: asked.map(str::to_owned),
        found: declared.iter().map(|config| config.name.clone()).collect(),
    })
}

/// The files of a split as the README tells them.
fn declared_split<'a>(
    all: &[&'a str],
    data: &[&'a str],
    config: &Declared,
    split: &str,
) -> Result<Vec<&'a str>, LayoutError> {
    let base = config.data_dir.as_deref().map_or("", |dir| dir.trim_matches('/'));
    if config.data_files.is_empty() {
        let inside = data.iter().copied().filter(|file| {
            base.is_empty() || file.strip_prefix(base).is_some_and(|rest| rest.starts_with('/'))
        });
        return names::split(&inside.collect::<Vec<_>>(), split);
    }
    let mut patterns = config.data_files.iter().filter(|(of, _)| of == split).peekable();
    if patterns.peek().is_none() {
        let mut found: Vec<String> = config.data_files.iter().map(|(of, _)| of.clone()).collect();
        found.dedup();
        return Err(LayoutError::NoSplit { split: split.to_owned(), found });
    }
    let mut files: Vec<&str> = Vec::new();
    for (_, pattern) in patterns {
        let matched = matching(all, base, pattern)?;
        files.extend(matched.into_iter().filter(|file| !files.contains(file)).collect::<Vec<_>>());
    }
    Ok(files)
}

fn matching<'a>(all: &[&'a str], base: &str, pattern: &str) -> Result<Vec<&'a str>, LayoutError> {
    const OPTIONS: glob::MatchOptions = glob::MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let relative = pattern.trim_start_matches("./");
    let full = if base.is_empty() { relative.to_owned() } else { format!("{base}/{relative}") };
    let compiled = glob::Pattern::new(&full).map_err(|error| LayoutError::Readme {
        message: format!("pattern `{pattern}`: {error}"),
    })?;
    let found: Vec<&str> =
        all.iter().copied().filter(|file| compiled.matches_with(file, OPTIONS)).collect();
    if found.is_empty() {
        return Err(LayoutError::NoMatch { pattern: pattern.to_owned() });
    }
    Ok(found)
}

/// A split is read in one format: the one that most of its files are in.
fn one_kind(
    files: &[&str],
    kind_of: &dyn Fn(&str) -> Option<&'static str>,
) -> Result<Chosen, LayoutError> {
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for kind in files.iter().filter_map(|file| kind_of(file)) {
        *counts.entry(kind).or_default() += 1;
    }
    let Some((&kind, &most)) = counts.iter().max_by_key(|(_, count)| **count) else {
        return Err(LayoutError::NoDataFiles { files: owned(files) });
    };
    if counts.values().filter(|count| **count == most).count() > 1 {
        return Err(LayoutError::Mixed { files: owned(files) });
    }
    let (files, left_out): (Vec<&str>, Vec<&str>) =
        files.iter().partition(|file| kind_of(file) == Some(kind));
    Ok(Chosen { files: owned(&files), left_out: owned(&left_out) })
}

fn owned(files: &[&str]) -> Vec<String> {
    files.iter().map(|file| (*file).to_owned()).collect()
}

fn no_config(asked: Option<&str>) -> String {
    match asked {
        Some(asked) => format!("there is no configuration `{asked}`"),
        None => "it has several configurations".to_owned(),
    }
}

/// The first names of a list that may be long.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 12;
    let mut text = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => text.push_str("none"),
        length if length > SHOWN => text.push_str(&format!(" and {} more", length - SHOWN)),
        _ => {}
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(file: &str) -> Option<&'static str> {
        match file.rsplit('.').next()? {
            "parquet" => Some("parquet"),
            "jsonl" => Some("jsonl"),
            "json" => Some("json"),
            "csv" => Some("csv"),
            _ => None,
        }
    }

    fn ask(
        files: &[&str],
        readme: Option<&str>,
        config: Option<&str>,
        split: &str,
    ) -> Result<Vec<String>, LayoutError> {
        let chosen = choose(&owned(files), readme, &Ask { config, split, kind_of: &kind_of })?;
        Ok(chosen.files)
    }

    const SHARDS: [&str; 5] = [
        "README.md",
        "data/test-00000-of-00001.parquet",
        "data/train-00001-of-00002.parquet",
        "data/train-00000-of-00002.parquet",
        "data/train_sft-00000-of-00001.parquet",
    ];

    #[test]
    fn shards_are_taken_in_order_and_only_of_the_split() {
        assert_eq!(
            ask(&SHARDS, None, None, "train").unwrap(),
            ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]
        );
        assert_eq!(
            ask(&SHARDS, None, None, "train_sft").unwrap(),
            ["data/train_sft-00000-of-00001.parquet"]
        );
    }

    #[test]
    fn an_unknown_split_lists_those_that_there_are() {
        let error = ask(&SHARDS, None, None, "trian").unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no split `trian`; there are: test, train, train_sft"
        );
        assert_eq!(error.hint().as_deref(), Some("did you mean `train`?"));
        let error = ask(&SHARDS, None, None, "train[:10]").unwrap_err();
        assert!(error.hint().unwrap().contains("num_samples"));
    }

    #[test]
    fn the_split_can_be_a_file_a_folder_or_a_word_in_the_name() {
        assert_eq!(
            ask(&["train.jsonl", "test.jsonl"], None, None, "test").unwrap(),
            ["test.jsonl"]
        );
        let files = ["dev/a.csv", "train/a.csv", "train/b.csv"];
        assert_eq!(ask(&files, None, None, "train").unwrap(), ["train/a.csv", "train/b.csv"]);
        assert_eq!(ask(&files, None, None, "validation").unwrap(), ["dev/a.csv"]);
        let files = ["squad_training.csv", "squad-eval1.csv"];
        assert_eq!(ask(&files, None, None, "train").unwrap(), ["squad_training.csv"]);
        assert_eq!(ask(&files, None, None, "test").unwrap(), ["squad-eval1.csv"]);
    }

    #[test]
    fn files_without_any_split_name_are_the_train_split() {
        let files = ["b.jsonl", "a.jsonl", "LICENSE.txt", "dataset_infos.json", ".cache/x.jsonl"];
        assert_eq!(ask(&files, None, None, "train").unwrap(), ["a.jsonl", "b.jsonl"]);
        assert!(ask(&files, None, None, "test").is_err());
    }

    #[test]
    fn a_folder_can_be_the_configuration() {
        let files = ["de/train.csv", "en/test.csv", "en/train.csv"];
        assert_eq!(ask(&files, None, Some("en"), "train").unwrap(), ["en/train.csv"]);
        let error = ask(&files, None, Some("fr"), "train").unwrap_err();
        assert_eq!(error.to_string(), "there is no configuration `fr`; there are: de, en");
    }

    const README: &str = "---\nlicense: mit\nconfigs:\n- config_name: default\n  data_files:\n  \
        - split: train\n    path: data/train-*\n  - split: test\n    path: [data/test-*]\n\
        - config_name: raw\n  data_files: 'raw/**'\n---\n# Title\n";

    #[test]
    fn the_readme_decides_where_it_speaks() {
        let mut files = SHARDS.to_vec();
        files.extend(["raw/x/a.jsonl", "raw/b.jsonl"]);
        assert_eq!(ask(&files, Some(README), None, "train").unwrap().len(), 2);
        assert_eq!(
            ask(&files, Some(README), None, "test").unwrap(),
            ["data/test-00000-of-00001.parquet"]
        );
        assert_eq!(
            ask(&files, Some(README), Some("raw"), "train").unwrap(),
            ["raw/b.jsonl", "raw/x/a.jsonl"]
        );
        let error = ask(&files, Some(README), Some("rwa"), "train").unwrap_err();
        assert_eq!(error.to_string(), "there is no configuration `rwa`; there are: default, raw");
        let error = ask(&files, Some(README), None, "validation").unwrap_err();
        assert_eq!(error.to_string(), "there is no split `validation`; there are: train, test");
        let error = ask(&SHARDS, Some(README), Some("raw"), "train").unwrap_err();
        assert_eq!(error, LayoutError::NoMatch { pattern: "raw/**".to_owned() });
    }

    #[test]
    fn a_star_does_not_cross_folders() {
        let readme = "---\nconfigs:\n- config_name: a\n  data_files: '*.jsonl'\n---\n";
        assert_eq!(
            ask(&["a.jsonl", "b/c.jsonl"], Some(readme), None, "train").unwrap(),
            ["a.jsonl"]
        );
    }

    #[test]
    fn several_configurations_want_a_choice() {
        let readme = "---\nconfigs:\n- config_name: a\n  data_dir: a\n- config_name: b\n  \
                      data_dir: b\n---\n";
        let files = ["a/train.jsonl", "b/train.jsonl"];
        let error = ask(&files, Some(readme), None, "train").unwrap_err();
        assert_eq!(error.to_string(), "it has several configurations; there are: a, b");
        assert_eq!(ask(&files, Some(readme), Some("b"), "train").unwrap(), ["b/train.jsonl"]);
        let marked = readme.replace("data_dir: b", "default: true\n  data_dir: b");
        assert_eq!(ask(&files, Some(&marked), None, "train").unwrap(), ["b/train.jsonl"]);
    }

    #[test]
    fn most_files_decide_the_format_and_a_draw_is_refused() {
        let files = ["train-1.csv", "train-2.csv", "train_notes.json"];
        let chosen =
            choose(&owned(&files), None, &Ask { config: None, split: "train", kind_of: &kind_of });
        let chosen = chosen.unwrap();
        assert_eq!(chosen.files, ["train-1.csv", "train-2.csv"]);
        assert_eq!(chosen.left_out, ["train_notes.json"]);
        let error = ask(&["train.csv", "train.jsonl"], None, None, "train").unwrap_err();
        assert!(matches!(error, LayoutError::Mixed { .. }));
    }

    #[test]
    fn a_folder_without_data_says_what_is_there() {
        let error =
            ask(&["data-00000-of-00001.arrow", "state.json"], None, None, "train").unwrap_err();
        assert!(error.to_string().contains("data-00000-of-00001.arrow"), "{error}");
        assert!(error.hint().unwrap().contains("Arrow files are not read"));
    }
}
