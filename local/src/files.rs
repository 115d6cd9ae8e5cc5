//! Where a model's files lie: a folder, or the cache that HuggingFace's own tools fill.

use std::path::{Path, PathBuf};

use ai_energy_benchmarks::dataset::hub::{self, HubEnv, RepoKind};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::LocalError;

/// The weights in one file.
const SINGLE: &str = "model.safetensors";
/// The list of files where the weights are sharded.
const INDEX: &str = "model.safetensors.index.json";

/// The folder that holds a hub model's files at a revision (default `main`): from the HuggingFace cache,
/// or downloaded into it where the hub may be asked.
///
/// # Errors
/// [`LocalError::Hub`] names the file and the cache folder, and what the hub answered.
pub fn fetch_model_files(
    env: &HubEnv,
    id: &str,
    revision: Option<&str>,
) -> Result<PathBuf, LocalError> {
    let snapshot = hub::fetch(env, RepoKind::Model, id, revision, &is_needed)?;
    Ok(snapshot.folder)
}

/// Config, tokenizer, chat template and safetensors weights of the repository's root; not other formats
/// of the same weights.
fn is_needed(file: &str) -> bool {
    let json = file.ends_with(".json") || file.ends_with(".jinja");
    !file.contains('/') && (json || file.ends_with(".safetensors"))
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

    fn cache(files: &[&str]) -> (tempfile::TempDir, HubEnv) {
        let root = tempfile::tempdir().unwrap();
        let model = root.path().join("models--owner--model");
        let snapshot = model.join("snapshots").join(COMMIT);
        std::fs::create_dir_all(&snapshot).unwrap();
        std::fs::create_dir_all(model.join("refs")).unwrap();
        std::fs::write(model.join("refs/main"), COMMIT).unwrap();
        for file in files {
            std::fs::write(snapshot.join(file), "{}").unwrap();
        }
        let cache = root.path().to_string_lossy().into_owned();
        let variable = |name: &str| match name {
            "HF_HUB_CACHE" => Some(cache.clone()),
            "HF_HUB_OFFLINE" => Some("1".to_owned()),
            _ => None,
        };
        let env = HubEnv::from_vars(&variable, None);
        (root, env)
    }

    #[test]
    fn a_cached_model_is_found_by_branch_and_by_commit_without_the_hub() {
        let (_root, env) = cache(&["config.json", "tokenizer.json", SINGLE]);
        let by_branch = fetch_model_files(&env, "owner/model", None).unwrap();
        assert_eq!(by_branch, fetch_model_files(&env, "owner/model", Some(COMMIT)).unwrap());
        assert!(ModelFolder::open(&by_branch).is_ok());
    }

    #[test]
    fn a_model_that_is_not_cached_names_the_cache_folder() {
        let (root, env) = cache(&["config.json"]);
        let error = fetch_model_files(&env, "owner/other", None).unwrap_err();
        let told = format!("{error} {}", error.hint().unwrap_or_default());
        assert!(told.contains(&*root.path().to_string_lossy()), "{told}");
    }

    #[test]
    fn only_what_a_model_needs_is_fetched() {
        for file in ["config.json", "tokenizer.json", "model-00001-of-00002.safetensors"] {
            assert!(is_needed(file), "{file}");
        }
        for file in ["pytorch_model.bin", "onnx/model.onnx", "onnx/config.json", "README.md"] {
            assert!(!is_needed(file), "{file}");
        }
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
