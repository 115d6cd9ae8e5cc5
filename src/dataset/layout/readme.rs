//! The `configs:` in the front matter of a dataset's `README.md`.

use saphyr::{LoadableYamlNode, Yaml};

use super::LayoutError;

/// A configuration as the README declares it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) name: String,
    pub(super) is_default: bool,
    pub(super) data_dir: Option<String>,
    /// Splits with a pattern each, in order.
    pub(super) data_files: Vec<(String, String)>,
}

/// The configurations that a README declares; none when it has no front matter or that has no `configs`.
pub(super) fn configs(readme: &str) -> Result<Vec<Declared>, LayoutError> {
    let Some(yaml) = front_matter(readme) else { return Ok(Vec::new()) };
    let documents = Yaml::load_from_str(yaml).map_err(|error| refuse(error.to_string()))?;
    let Some(configs) = documents.first().and_then(|root| root.as_mapping_get("configs")) else {
        return Ok(Vec::new());
    };
    let list = configs.as_sequence().ok_or_else(|| refuse("`configs` is not a list"))?;
    list.iter().map(declared).collect()
}

fn front_matter(readme: &str) -> Option<&str> {
    let text = readme.trim_start_matches('\u{feff}');
    let body = text.strip_prefix("---\n").or_else(|| text.strip_prefix("---\r\n"))?;
    let end = body.find("\n---")?;
    Some(&body[..end])
}

fn declared(config: &Yaml<'_>) -> Result<Declared, LayoutError> {
    let text = |key: &str| config.as_mapping_get(key).and_then(Yaml::as_str).map(str::to_owned);
    let name = text("config_name").ok_or_else(|| refuse("a config has no `config_name`"))?;
    let data_files = match config.as_mapping_get("data_files") {
        None => Vec::new(),
        Some(files) => data_files(files)
            .ok_or_else(|| refuse(format!("`data_files` of `{name}` is in no known form")))?,
    };
    let is_default = config.as_mapping_get("default").and_then(Yaml::as_bool).unwrap_or(false);
    Ok(Declared { name, is_default, data_dir: text("data_dir"), data_files })
}

/// A pattern, a list of patterns (both mean the train split), a list of `{split, path}`, or a map from
/// splits to patterns.
fn data_files(files: &Yaml<'_>) -> Option<Vec<(String, String)>> {
    let of = |split: &str, patterns: Vec<String>| {
        patterns.into_iter().map(|pattern| (split.to_owned(), pattern)).collect::<Vec<_>>()
    };
    if let Some(patterns) = patterns(files) {
        return Some(of("train", patterns));
    }
    let mut found = Vec::new();
    if let Some(list) = files.as_sequence() {
        for item in list {
            let split = item.as_mapping_get("split")?.as_str()?;
            found.extend(of(split, patterns(item.as_mapping_get("path")?)?));
        }
        return Some(found);
    }
    for (split, value) in files.as_mapping()? {
        found.extend(of(split.as_str()?, patterns(value)?));
    }
    Some(found)
}

fn patterns(value: &Yaml<'_>) -> Option<Vec<String>> {
    if let Some(one) = value.as_str() {
        return Some(vec![one.to_owned()]);
    }
    value.as_sequence()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

fn refuse(message: impl Into<String>) -> LayoutError {
    LayoutError::Readme { message: message.into() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn files(yaml: &str) -> Vec<(String, String)> {
        let readme = format!("---\nconfigs:\n- config_name: c\n  data_files: {yaml}\n---\ntext");
        configs(&readme).unwrap().remove(0).data_files
    }

    fn pair(split: &str, pattern: &str) -> (String, String) {
        (split.to_owned(), pattern.to_owned())
    }

    #[test]
    fn all_four_forms_of_data_files_are_read() {
        assert_eq!(files("a.csv"), [pair("train", "a.csv")]);
        assert_eq!(files("[a.csv, b.csv]"), [pair("train", "a.csv"), pair("train", "b.csv")]);
        assert_eq!(files("{test: a.csv, dev: [b, c]}")[2], pair("dev", "c"));
        assert_eq!(files("[{split: test, path: x-*}]"), [pair("test", "x-*")]);
    }

    #[test]
    fn a_readme_without_configs_declares_nothing() {
        for readme in ["", "# Title", "---\nlicense: mit\n---\n", "---\nconfigs:\n"] {
            assert_eq!(configs(readme).unwrap(), [], "{readme}");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_an_error() {
        for readme in [
            "---\nconfigs: 3\n---\n",
            "---\nconfigs:\n- data_files: a\n---\n",
            "---\nconfigs:\n- config_name: a\n  data_files: 3\n---\n",
            "---\nconfigs: [\n---\n",
        ] {
            assert!(matches!(configs(readme), Err(LayoutError::Readme { .. })), "{readme}");
        }
    }

    proptest! {
        #[test]
        fn no_readme_panics(text in "(---\\n)?(configs:\\n- )?[-a-z:{}\\[\\], \\n'\"&*!|>]{0,80}(\\n---)?") {
            let _ = configs(&text);
        }
    }
}
