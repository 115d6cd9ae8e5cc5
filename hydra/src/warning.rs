//! What works, and should not stay as it is.

use crate::source::Origin;

/// What a warning is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WarningKind {
    /// A defaults list without `_self_` in a file with values of its own.
    MissingSelf,
    /// A file is checked against a stored configuration of the same name.
    SchemaMatch,
    /// A place of `hydra.searchpath` does not exist.
    UnavailablePlace,
    /// A value was asked for under a key that it should no longer be asked for (`oc.deprecated`).
    Deprecated,
}

/// Something that works, and should not stay as it is. The text is Hydra's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What it is about.
    pub kind: WarningKind,
    /// The text.
    pub message: String,
    /// Where the cause is written.
    pub origin: Origin,
}

impl Warning {
    pub(crate) fn missing_self(config_path: &str, origin: Origin) -> Self {
        let message = format!(
            "In '{config_path}': Defaults list is missing `_self_`. See https://hydra.cc/docs/1.2/upgrades/1.0_to_1.1/default_composition_order for more information"
        );
        Self { kind: WarningKind::MissingSelf, message, origin }
    }

    pub(crate) fn schema_match(config_path: &str, origin: Origin) -> Self {
        let message = format!(
            "'{config_path}' is validated against ConfigStore schema with the same name.\n\
             This behavior is deprecated in Hydra 1.1 and will be removed in Hydra 1.2.\n\
             See https://hydra.cc/docs/1.2/upgrades/1.0_to_1.1/automatic_schema_matching for migration instructions."
        );
        Self { kind: WarningKind::SchemaMatch, message, origin }
    }

    pub(crate) fn unavailable(provider: &str, path: &str) -> Self {
        let message = format!("provider={provider}, path={path} is not available.");
        Self { kind: WarningKind::UnavailablePlace, message, origin: Origin::memory() }
    }
}
