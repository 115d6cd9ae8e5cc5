//! The hub's settings, from the environment variables that `huggingface_hub` reads.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// How the hub is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubEnv {
    /// Address without a slash at the end (`HF_ENDPOINT`).
    pub endpoint: String,
    /// Access token (`HF_TOKEN`, or the file that `hf auth login` writes).
    pub token: Option<Secret>,
    /// Never use the network (`HF_HUB_OFFLINE`, `TRANSFORMERS_OFFLINE`).
    pub offline: bool,
    /// Never use the network for datasets (`HF_DATASETS_OFFLINE`).
    pub datasets_offline: bool,
    /// Folder of cached repositories (`HF_HUB_CACHE`, or `hub` in `HF_HOME`).
    pub cache: PathBuf,
}

/// Where the hub is unless `HF_ENDPOINT` says otherwise.
const ENDPOINT: &str = "https://huggingface.co";

impl HubEnv {
    /// The settings of this process.
    #[must_use]
    pub fn from_process() -> Self {
        Self::from_vars(&|name| std::env::var(name).ok(), std::env::home_dir().as_deref())
    }

    /// The same from any source of variables.
    #[must_use]
    pub fn from_vars(var: &dyn Fn(&str) -> Option<String>, user_home: Option<&Path>) -> Self {
        let var = |name: &str| var(name).filter(|value| !value.trim().is_empty());
        let path = |name: &str| var(name).map(|value| expand(&value, user_home));
        let home = path("HF_HOME").unwrap_or_else(|| {
            let caches = path("XDG_CACHE_HOME")
                .unwrap_or_else(|| user_home.unwrap_or(Path::new("")).join(".cache"));
            caches.join("huggingface")
        });
        let flag = |name: &str| var(name).is_some_and(|value| is_true(&value));
        let token_file = path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
        let stored = || match flag("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
            true => None,
            false => fs::read_to_string(&token_file).ok(),
        };
        let token = var("HF_TOKEN").or_else(|| var("HUGGING_FACE_HUB_TOKEN")).or_else(stored);
        Self {
            endpoint: var("HF_ENDPOINT")
                .map_or_else(|| ENDPOINT.to_owned(), |url| url.trim_end_matches('/').to_owned()),
            token: token.as_deref().map(clean).filter(|text| !text.is_empty()).map(Secret::new),
            offline: flag("HF_HUB_OFFLINE") || flag("TRANSFORMERS_OFFLINE"),
            datasets_offline: flag("HF_DATASETS_OFFLINE"),
            cache: path("HF_HUB_CACHE")
                .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
                .unwrap_or_else(|| home.join("hub")),
        }
    }
}

/// Token files end in a line end, and copied tokens hold stray ones.
fn clean(token: &str) -> String {
    token.replace(['\r', '\n'], "").trim().to_owned()
}

fn is_true(value: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].contains(&value.trim().to_uppercase().as_str())
}

fn expand(path: &str, user_home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~/"), user_home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(vars: &[(&str, &str)]) -> HubEnv {
        let find = |name: &str| {
            vars.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        HubEnv::from_vars(&find, Some(Path::new("/home/me")))
    }

    #[test]
    fn nothing_set_means_the_hub_and_the_usual_cache() {
        let env = env(&[("HF_TOKEN", " ")]);
        assert_eq!(env.endpoint, "https://huggingface.co");
        assert_eq!(env.cache, Path::new("/home/me/.cache/huggingface/hub"));
        assert_eq!((env.token, env.offline, env.datasets_offline), (None, false, false));
    }

    #[test]
    fn the_nearer_variable_wins() {
        assert_eq!(env(&[("XDG_CACHE_HOME", "/c")]).cache, Path::new("/c/huggingface/hub"));
        let vars = [("XDG_CACHE_HOME", "/c"), ("HF_HOME", "~/hf")];
        assert_eq!(env(&vars).cache, Path::new("/home/me/hf/hub"));
        let vars = [("HF_HOME", "/hf"), ("HF_HUB_CACHE", "/hub")];
        assert_eq!(env(&vars).cache, Path::new("/hub"));
    }

    #[test]
    fn flags_read_as_the_python_library_reads_them() {
        for value in ["1", "on", "Yes", "TRUE"] {
            assert!(env(&[("HF_HUB_OFFLINE", value)]).offline, "{value}");
        }
        for value in ["0", "off", "no", ""] {
            assert!(!env(&[("HF_HUB_OFFLINE", value)]).offline, "{value}");
        }
        assert!(env(&[("HF_DATASETS_OFFLINE", "1")]).datasets_offline);
    }

    #[test]
    fn the_token_comes_from_the_variable_or_else_the_file_and_is_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("token"), "hf_stored\n").unwrap();
        let home = folder.path().to_str().unwrap();
        let stored = env(&[("HF_HOME", home)]);
        assert_eq!(stored.token, Some(Secret::new("hf_stored")));
        let given = env(&[("HF_HOME", home), ("HF_TOKEN", "hf_given\n")]);
        assert_eq!(given.token, Some(Secret::new("hf_given")));
        let vars = [("HF_HOME", home), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")];
        assert_eq!(env(&vars).token, None);
        assert!(!format!("{given:?}").contains("hf_given"));
    }
}
