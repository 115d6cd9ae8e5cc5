//! Hydra 1.3 and OmegaConf 2.3 configuration for Rust.
//!
//! A configuration goes through this crate from left to right:
//!
//! ```text
//! text --yaml--> Node --compose--> Node --overrides--> Node --interpolation--> Node --de--> T
//!                                                        |
//!                                                        +--dump--> YAML text
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | `source` | where a value was written: file, line, column, or command-line override |
//! | `value` | the tree: [`Node`], [`Value`], [`Map`] |
//! | `types` | [`Schema`], [`Type`]: what a tree may be held to |
//! | `scalar` | what a bare word means, in YAML as OmegaConf reads it and in Python |
//! | `yaml` | [`Document`]: text to tree |
//! | `repository` | [`SearchPath`], [`ConfigStore`]: where configurations come from |
//! | `compose` | [`DefaultsTree`], [`DefaultsList`]: which files make a configuration |
//! | `hydra_conf` | Hydra's own configuration, under the key `hydra` |
//! | `loader` | [`Loader`]: all of it, from a name and overrides to [`Composed`] |
//! | `lex`, `grammar` | the grammar of interpolations |
//! | `interpolation`, `resolvers`, `moment` | [`Interpolator`]: `${...}` to values |
//! | `select` | a dotted path to where it leads, through interpolations |
//! | `overrides` | [`apply_overrides`]: `a.b=1`, `+a=1`, `++a=1`, `~a` |
//! | `merge` | [`merge`]: one tree over another |
//! | `de` | [`from_node`]: tree to a type of yours, all problems at once |
//! | `dump` | [`to_yaml`]: tree to text, as OmegaConf prints it |
//! | [`app`] | [`app::App`]: Hydra's command line as a library |
//! | `error`, `warning` | [`Errors`]: place, line, caret, hint; [`Warning`] |
//!
//! Nothing here prints, exits or panics on bad input, and every error keeps its place:
//!
//! ```
//! use std::collections::BTreeMap;
//! use hydra_compose::{Document, apply_overrides, from_node, resolve};
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Config { name: String, out: String, rate: f64 }
//!
//! let mut node = Document::from_str("name: run\nout: ${name}/${oc.env:WHERE,here}\nrate: 1e3\n", "a.yaml")?;
//! apply_overrides(&mut node, &["rate=.5".to_owned()])?;
//! let env = BTreeMap::from([("WHERE".to_owned(), "there".to_owned())]);
//! let config: Config = from_node(&resolve(&node, &env)?)?;
//! assert_eq!((config.out.as_str(), config.rate), ("run/there", 0.5));
//! # assert_eq!(config.name, "run");
//! # Ok::<(), hydra_compose::Errors>(())
//! ```

pub mod app;
mod compose;
mod de;
mod dump;
mod env;
mod error;
mod grammar;
mod hydra_conf;
mod interpolation;
mod lex;
mod limits;
mod loader;
mod merge;
mod moment;
mod overrides;
mod path;
mod repository;
mod resolvers;
mod scalar;
mod select;
mod source;
mod types;
mod value;
mod warning;
mod yaml;

pub use compose::{DefaultsEntry, DefaultsList, DefaultsTree};
pub use de::{Ignored, from_node, from_node_strict, from_node_with_ignored};
pub use dump::to_yaml;
pub use env::{Environment, ProcessEnvironment};
pub use error::{Error, ErrorKind, Errors, Fault, FaultClass, FaultPlace, nearest};
pub use hydra_conf::HYDRA_VERSION;
pub use interpolation::{Interpolator, ResolverFn, resolve};
pub use loader::{Composed, Loader, RunMode};
pub use merge::{Strictness, merge, merge_with};
pub use moment::Moment;
pub use overrides::{
    Action, BasicSweeper, Choice, Glob, GroupOptions, Interval, Literal, NoGroups, Number,
    Override, OverrideValue, Range, Sweep, ValueKind, apply_override, apply_overrides,
    apply_overrides_with,
};
pub use repository::{ConfigStore, SearchPath, SearchPathEntry};
pub use source::{Origin, Position, Source, Span};
pub use types::{EnumType, EnumValue, KeyType, Schema, StructType, Type};
pub use value::{Key, KeyKind, Map, Node, Value};
pub use warning::{Warning, WarningKind};
pub use yaml::Document;

/// Which language a configuration is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dialect {
    /// Whether `${NAME:-default}` is the environment variable `NAME`, or `default` where it is
    /// unset or empty, as in a shell. OmegaConf reads the same text as a call of a resolver `NAME`,
    /// so this is off by default. The default is text up to the first `}` and may hold further
    /// interpolations; `\}` stands for a brace. The result is always text.
    pub shell_defaults: bool,
}
