//! Configs of optimum-benchmark: what they are composed of, and what they mean here.
//!
//! [`store`] holds the options that its defaults lists name (`benchmark`, `backend: pytorch`, ...), so that its
//! configs compose unchanged. [`to_config`] turns a composed and resolved one into a [`BenchmarkConfig`]: every key
//! is followed, or it is told by name that it has no effect here, or that this program does not run it.

mod backend;
mod launcher;
mod scenario;
mod schemas;
mod section;
mod store;

use hydra_compose::{Environment, Node, Value};

use super::load::typed;
use super::{BenchmarkConfig, Note};
use crate::error::{Problem, Problems};

pub use store::{names, store};

use section::{Ours, Section};

/// Name of the stored config that every config of optimum-benchmark builds on.
pub const ROOT: &str = "benchmark";

/// Keys of ours that tell how a server is talked to; those of others may carry them too.
pub(super) const SERVER_KEYS: [&str; 6] = [
    "stream",
    "api_key_env",
    "basic_auth_env",
    "allow_insecure_auth",
    "extra_body",
    "connect_timeout_s",
];

/// The country of the electricity, as optimum-benchmark takes it from the environment.
const COUNTRY: &str = "COUNTRY_ISO_CODE";

/// A config of optimum-benchmark as one of ours.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapped {
    /// The config.
    pub config: BenchmarkConfig,
    /// What is done otherwise than optimum-benchmark does it.
    pub notes: Vec<Note>,
}

/// What the parts of a config share while they are mapped.
#[derive(Default)]
struct Findings {
    problems: Problems,
    notes: Vec<Note>,
}

impl Findings {
    fn problem(&mut self, place: &str, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(Problem::new(place, message).hint(hint));
    }

    /// Something that optimum-benchmark runs and this program does not.
    fn not_run(&mut self, place: &str, what: impl std::fmt::Display, hint: &str) {
        self.problem(place, format!("not run by this tool: {what}"), hint);
    }

    fn note(&mut self, place: &str, message: impl std::fmt::Display) {
        self.notes.push(Note::new(place, message.to_string()));
    }
}

/// What a composed and resolved config of optimum-benchmark asks of this program.
///
/// # Errors
/// Everything that is wrong with it or that this program does not run, each by name and with its key.
pub fn to_config(node: &Node, environment: &dyn Environment) -> Result<Mapped, Problems> {
    let mut findings = Findings::default();
    let mut root = Section::new("", node);
    let mut ours = Ours::default();
    match root.take("name") {
        Some(name) => ours.set("name", name.clone()),
        None => findings.problem("name", "is missing", "give the benchmark a name"),
    }
    let engine = backend::map(root.section("backend"), environment, &mut findings);
    let scenario = scenario::map(root.section("scenario"), &engine, &mut findings);
    let metrics = metrics(&mut root, environment, &mut findings);
    ours.set("backend", engine.ours.into_node());
    ours.set("scenario", scenario.into_node());
    ours.set("metrics", metrics.into_node());
    // Keys of ours that a command line may add with `+`.
    for key in ["reporter", "output_dir"] {
        ours.copy(&mut root, key, key);
    }
    if root.take("environment").and_then(Node::as_map).is_some_and(|map| !map.is_empty()) {
        findings.note("environment", "has no effect: this program looks at the machine itself");
    }
    // The report is always shown and always kept.
    root.known(&["print_report", "log_report"]);
    root.finish(&mut findings);
    // What the types would say of a config that is refused may only follow from the refusal.
    findings.problems.into_result()?;
    let config = typed(ours.into_node())?;
    Ok(Mapped { config, notes: findings.notes })
}

/// The key that a key of our config was taken from, where the two differ.
#[must_use]
pub fn key_of(ours: &str) -> &str {
    match ours {
        "backend.type" => "backend.name",
        "scenario.duration_s" => "scenario.duration",
        "metrics.device_isolation" => "launcher.device_isolation_action",
        same => same,
    }
}

/// Isolation of the launcher, the country of the environment, and what `+metrics.x=` adds.
fn metrics(root: &mut Section<'_>, environment: &dyn Environment, findings: &mut Findings) -> Ours {
    let mut ours = Ours::default();
    if let Some(country) = environment.get(COUNTRY).filter(|country| !country.is_empty()) {
        ours.set("country_iso_code", Node::in_memory(Value::Str(country)));
    }
    launcher::map(root.section("launcher"), &mut ours, findings);
    if let Some(added) = root.take("metrics").and_then(Node::as_map) {
        for (key, value) in added.iter() {
            ours.set_key(key.clone(), value.clone());
        }
    }
    ours
}
