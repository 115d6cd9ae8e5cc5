//! Where a model's files lie: a folder, or the cache that HuggingFace's own tools fill.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::LocalError;

/// The weights in one file.
const SINGLE: &str = "model.safetensors";
/// The list of files where the weights are sharded.
const INDEX: &str = "model.safetensors.index.json";

/// The folder that holds a hub model's files at a revision (default `main`).
///
/// Today this resolves the local HuggingFace cache: `HF_HUB_CACHE`, else `HF_HOME/hub`, else
/// `~/.cache/huggingface/hub`.
///
/// # Errors
/// [`LocalError::NotCached`] names the cache folder and what is missing there.
pub fn fetch_model_files(id: &str, revision: Option<&str>) -> Result<PathBuf, LocalError> {
    HubCache::from_environment().model(id, revision.unwrap_or("main"))
}

/// Whether a name has the form `owner/name` of the hub.
#[must_use]
pub fn is_hub_id(name: &str) -> bool {
    let allowed = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    matches!(name.split_once('/'), Some((owner, model)) if allowed(owner) && allowed(model))
}

/// A cache folder in the hub's layout (`models--owner--name/{refs,blobs,snapshots}`).
#[derive(Debug, Clone)]
pub struct HubCache {
    root: PathBuf,
}

impl HubCache {
    /// A cache at a given place.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The cache that the environment names, as HuggingFace's tools find it.
    #[must_use]
    pub fn from_environment() -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let root = variable("HF_HUB_CACHE").map_or_else(
            || {
                let home = variable("HF_HOME").map_or_else(
                    || {
                        let cache = variable("XDG_CACHE_HOME").map_or_else(
                            || std::env::home_dir().unwrap_or_default().join(".cache"),
                            PathBuf::from,
                        );
                        cache.join("huggingface")
                    },
                    PathBuf::from,
                );
                home.join("hub")
            },
            PathBuf::from,
        );
        Self { root }
    }

    /// The snapshot folder of a model at a branch, tag or commit.
    ///
    /// # Errors
    /// [`LocalError::NotCached`] if the model, the revision or one of the files to load is missing.
    pub fn model(&self, id: &str, revision: &str) -> Result<PathBuf, LocalError> {
        let missing = |what: String| LocalError::NotCached {
            id: id.to_owned(),
            revision: revision.to_owned(),
            missing: what,
            cache: self.root.clone(),
        };
        let name = format!("models--{}", id.replace('/', "--"));
        let folder = self.root.join(&name);
        if !folder.is_dir() {
            return Err(missing(name));
        }
        let reference = format!("refs/{revision}");
        let commit = std::fs::read_to_string(folder.join(&reference))
            .map_or_else(|_| revision.to_owned(), |text| text.trim().to_owned());
        let snapshot = folder.join("snapshots").join(&commit);
        if !snapshot.is_dir() {
            return Err(missing(format!("{name}/{reference} and {name}/snapshots/{commit}")));
        }
        match ModelFolder::open(&snapshot) {
            Ok(_) => Ok(snapshot),
            Err(LocalError::MissingFile { file, .. }) => {
                Err(missing(format!("{name}/snapshots/{commit}/{file}")))
            }
            Err(other) => Err(other),
        }
    }
}

/// A folder with all that a model needs.
#[derive(Debug, Clone)]
pub(crate) struct ModelFolder {
    pub(crate) root: PathBuf,
    /// Weight files, in the order of their names.
    pub(crate) shards: Vec<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct ShardIndex {
    weight_map: std::collections::BTreeMap<String, String>,
}

impl ModelFolder {
    /// Finds the files and checks that each one named is there.
    pub(crate) fn open(root: &Path) -> Result<Self, LocalError> {
        let missing =
            |file: &str| LocalError::MissingFile { file: file.to_owned(), folder: root.to_owned() };
        for needed in ["config.json", "tokenizer.json"] {
            if !root.join(needed).is_file() {
                return Err(missing(needed));
            }
        }
        let index = root.join(INDEX);
        let names = if index.is_file() {
            let index: ShardIndex = read_json(&index)?;
            let names: std::collections::BTreeSet<String> =
                index.weight_map.into_values().collect();
            names.into_iter().collect()
        } else {
            vec![SINGLE.to_owned()]
        };
        let shards: Vec<PathBuf> = names.iter().map(|name| root.join(name)).collect();
        for (name, shard) in names.iter().zip(&shards) {
            if !shard.is_file() {
                return Err(missing(name));
            }
        }
        Ok(Self { root: root.to_owned(), shards })
    }
}

/// Reads a JSON file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, LocalError> {
    let bytes = std::fs::read(path).map_err(LocalError::read(path))?;
    serde_json::from_slice(&bytes)
        .map_err(|source| LocalError::Json { path: path.to_owned(), source })
}

/// Reads a JSON file that need not be there.
pub(crate) fn read_json_if_there<T: DeserializeOwned>(
    path: &Path,
) -> Result<Option<T>, LocalError> {
    if path.is_file() { read_json(path).map(Some) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn cache(files: &[&str]) -> (tempfile::TempDir, HubCache) {
        let root = tempfile::tempdir().unwrap();
        let model = root.path().join("models--owner--model");
        let snapshot = model.join("snapshots").join(COMMIT);
        std::fs::create_dir_all(&snapshot).unwrap();
        std::fs::create_dir_all(model.join("refs")).unwrap();
        std::fs::write(model.join("refs/main"), COMMIT).unwrap();
        for file in files {
            std::fs::write(snapshot.join(file), "{}").unwrap();
        }
        let cache = HubCache::new(root.path());
        (root, cache)
    }

    fn not_cached(result: Result<PathBuf, LocalError>) -> String {
        let Err(LocalError::NotCached { missing, .. }) = result else { panic!("{result:?}") };
        missing
    }

    #[test]
    fn a_branch_and_a_commit_lead_to_the_same_snapshot() {
        let (_root, cache) = cache(&["config.json", "tokenizer.json", SINGLE]);
        let by_branch = cache.model("owner/model", "main").unwrap();
        assert_eq!(by_branch, cache.model("owner/model", COMMIT).unwrap());
        assert!(by_branch.ends_with(COMMIT));
    }

    #[test]
    fn what_is_missing_is_named() {
        let (_root, cache) = cache(&["config.json", SINGLE]);
        assert_eq!(not_cached(cache.model("owner/other", "main")), "models--owner--other");
        assert!(not_cached(cache.model("owner/model", "v2")).contains("refs/v2"));
        let file = not_cached(cache.model("owner/model", "main"));
        assert!(file.ends_with(&format!("{COMMIT}/tokenizer.json")), "{file}");
    }

    #[test]
    fn every_shard_of_the_index_must_be_there() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["config.json", "tokenizer.json", "a.safetensors"] {
            std::fs::write(folder.path().join(file), "{}").unwrap();
        }
        let index =
            r#"{"weight_map": {"x": "b.safetensors", "y": "a.safetensors", "z": "a.safetensors"}}"#;
        std::fs::write(folder.path().join(INDEX), index).unwrap();
        let Err(LocalError::MissingFile { file, .. }) = ModelFolder::open(folder.path()) else {
            panic!("a missing shard was not noticed");
        };
        assert_eq!(file, "b.safetensors");
        std::fs::write(folder.path().join("b.safetensors"), "").unwrap();
        assert_eq!(ModelFolder::open(folder.path()).unwrap().shards.len(), 2);
    }

    #[test]
    fn hub_ids_are_told_from_paths() {
        assert!(is_hub_id("HuggingFaceTB/SmolLM2-135M-Instruct"));
        for path in ["model", "./model", "../a/b", "/abs/model", "a/b/c", "owner/", "own er/m"] {
            assert!(!is_hub_id(path), "{path}");
        }
    }
}
