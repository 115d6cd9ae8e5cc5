//! The variables of the environment that one job sees.

use std::collections::BTreeMap;
use std::fmt;

/// The process's variables, and over them those that the job's config sets (`hydra.job.env_set`).
///
/// A process has one environment and a sweep has many jobs, so the variables of a job are a value that
/// is handed on, and the process's are never changed: a library that reads the environment by itself
/// does not see what a config sets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    set: BTreeMap<String, String>,
}

impl Environment {
    /// The process's variables with others over them.
    #[must_use]
    pub fn with(set: BTreeMap<String, String>) -> Self {
        Self { set }
    }

    /// The same with more over them.
    #[must_use]
    pub fn and(&self, more: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut set = self.set.clone();
        set.extend(more);
        Self { set }
    }

    /// The value of a variable, if it is set and is valid Unicode.
    #[must_use]
    pub fn var(&self, name: &str) -> Option<String> {
        self.set.get(name).cloned().or_else(|| std::env::var(name).ok())
    }

    /// Every variable with its value, those that the config sets over the process's.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, String> {
        let own = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        own.chain(self.set.clone()).collect()
    }

    /// The names that the config sets.
    pub fn set_names(&self) -> impl Iterator<Item = &str> {
        self.set.keys().map(String::as_str)
    }
}

/// Names only: values may be secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.set.keys()).finish()
    }
}

impl hydra_compose::Environment for Environment {
    fn get(&self, name: &str) -> Option<String> {
        self.var(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_config_sets_goes_before_the_process_and_is_not_shown() {
        let set = BTreeMap::from([("PATH".to_owned(), "secret".to_owned())]);
        let environment = Environment::with(set);
        assert_eq!(environment.var("PATH").as_deref(), Some("secret"));
        assert_eq!(Environment::default().var("PATH"), std::env::var("PATH").ok());
        assert_eq!(format!("{environment:?}"), "{\"PATH\"}");
    }
}
