//! How many tokens a model has, as far as its own files tell.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::hub::{self, HubEnv, RepoKind, is_repo_id};
use crate::record::Warning;

/// Ids below this exist in every common family of language models since Llama: the smallest vocabulary among them.
const ASSUMED: u32 = 32_000;
const CONFIG: &str = "config.json";

/// A vocabulary's size and who told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    /// Token ids are below this.
    pub size: u32,
    /// Where the number comes from, in words.
    pub source: String,
    /// Nobody told it: it was assumed.
    pub assumed: bool,
}

impl Vocabulary {
    /// A size that someone told.
    #[must_use]
    pub fn told(size: u32, source: impl Into<String>) -> Self {
        Self { size, source: source.into(), assumed: false }
    }

    /// A size that the common models have.
    #[must_use]
    pub fn assumed() -> Self {
        Self { size: ASSUMED, source: "assumed".to_owned(), assumed: true }
    }

    /// From a model's `config.json`: of a folder, or of a hub model that is in the cache; nothing is fetched.
    #[must_use]
    pub fn of_model(model: &str, revision: Option<&str>, env: &HubEnv) -> Option<Self> {
        let folder = Path::new(model);
        let path = if folder.is_dir() {
            folder.join(CONFIG)
        } else if is_repo_id(model) {
            let offline = HubEnv { offline: true, ..env.clone() };
            let wanted = |file: &str| file == CONFIG;
            let found = hub::fetch(&offline, RepoKind::Model, model, revision, &wanted).ok()?;
            found.folder.join(CONFIG)
        } else {
            return None;
        };
        let size = size_in(&fs::read(path).ok()?)?;
        Some(Self::told(size, format!("{CONFIG} of {model}")))
    }

    /// What the reader of the figures should know of it.
    #[must_use]
    pub fn warning(&self) -> Option<Warning> {
        self.assumed.then(|| {
            Warning::new(
                "vocabulary_assumed",
                format!(
                    "the model's vocabulary is not known: random prompts use token ids below {}; \
                     state it with scenario.input_shapes.vocab_size",
                    self.size
                ),
            )
        })
    }
}

/// Models of several modes keep their text part's numbers apart.
fn size_in(config: &[u8]) -> Option<u32> {
    let config: Value = serde_json::from_slice(config).ok()?;
    let of = |value: &Value| value.get("vocab_size")?.as_u64();
    let size = of(&config).or_else(|| of(config.get("text_config")?))?;
    u32::try_from(size).ok().filter(|size| *size > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_hub() -> HubEnv {
        HubEnv::from_vars(&|_| None, Some(Path::new("/nonexistent")))
    }

    #[test]
    fn a_model_folder_tells_its_vocabulary() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().to_str().unwrap();
        assert_eq!(Vocabulary::of_model(model, None, &no_hub()), None);
        fs::write(folder.path().join(CONFIG), r#"{"text_config": {"vocab_size": 777}}"#).unwrap();
        assert_eq!(Vocabulary::of_model(model, None, &no_hub()).unwrap().size, 777);
    }

    #[test]
    fn a_hub_model_tells_it_only_from_the_cache() {
        assert_eq!(Vocabulary::of_model("org/model", None, &no_hub()), None);
        let cache = tempfile::tempdir().unwrap();
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let repo = cache.path().join("models--org--model");
        fs::create_dir_all(repo.join("refs")).unwrap();
        fs::write(repo.join("refs/main"), commit).unwrap();
        fs::create_dir_all(repo.join("snapshots").join(commit)).unwrap();
        fs::write(repo.join("snapshots").join(commit).join(CONFIG), r#"{"vocab_size": 50257}"#)
            .unwrap();
        let env = HubEnv { cache: cache.path().to_owned(), ..no_hub() };
        let found = Vocabulary::of_model("org/model", None, &env).unwrap();
        assert_eq!((found.size, found.assumed), (50_257, false));
        assert_eq!(found.warning(), None);
    }

    #[test]
    fn an_assumption_is_never_silent() {
        let warning = Vocabulary::assumed().warning().unwrap();
        assert!(warning.message.contains("32000"), "{}", warning.message);
    }
}
