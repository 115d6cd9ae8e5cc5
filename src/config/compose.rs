//! From a named config and changes to jobs: one, or the cells of a sweep.
//!
//! Which language a config is written in is told by what it is, unless the caller says so:
//!
//! | config | `${NAME:-default}` | a change to a key that no file holds |
//! |---|---|---|
//! | ours, by its path | yes | as our types know the key |
//! | ours, by folder and name | yes | needs `+`, as in Hydra |
//! | optimum-benchmark's | no | needs `+`, as in Hydra |
//! | any, read strictly | no | needs `+`, as in Hydra |
//!
//! A config is optimum-benchmark's if its defaults lists name `benchmark`, for which there is no file of that name.

use std::path::{Path, PathBuf};

use hydra_compose::app::{App, Arguments, Job, Session, SweepPlan};
use hydra_compose::{Composed, ConfigStore, Dialect, Document, Node, RunMode, Strictness, Value};

use super::Environment;
use super::load::{LoadedConfig, problems, typed};
use super::optimum::{self, ROOT};
use crate::error::{Problem, Problems};

/// The job's name to Hydra; its log file is named for it.
pub(super) const JOB_NAME: &str = "ai-energy-benchmark";

/// Which config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file; what it includes is looked for beside it.
    File(PathBuf),
    /// A config that is no file, under a name; what it includes is looked for in the working folder.
    Text {
        /// Its name.
        name: String,
        /// The YAML.
        yaml: String,
    },
    /// A name in a folder, as Hydra takes them.
    Named {
        /// The folder; without one, only what is built in can be named.
        folder: Option<PathBuf>,
        /// The name; without one, only changes make the config.
        name: Option<String>,
    },
}

/// How configs are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reading {
    /// By what the config is.
    #[default]
    Auto,
    /// Exactly as Hydra 1.3 and OmegaConf 2.3 read them.
    Strict,
}

/// Whose config it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Ours,
    Optimum,
}

/// One config with changes: what it is composed of, and the jobs that it stands for.
pub struct Composer<'e> {
    session: Session<'e>,
    name: Option<String>,
    /// Run folders are ours (`results/...`), not Hydra's (`outputs/...`).
    own_folders: bool,
    language: Language,
    dialect: Dialect,
    environment: &'e Environment,
}

/// The jobs that a config stands for.
#[derive(Debug)]
pub struct Jobs {
    /// At least one, unless a sweep is over nothing.
    pub jobs: Vec<LoadedConfig>,
    /// The sweep that they are the cells of, if they are.
    pub sweep: Option<SweepFolder>,
    /// Something that works and should not stay as it is.
    pub warnings: Vec<String>,
}

/// Where a sweep lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepFolder {
    /// The folder of all its cells.
    pub dir: PathBuf,
    /// What `multirun.yaml` in it says, without secrets.
    pub multirun_yaml: String,
}

impl<'e> Composer<'e> {
    /// A composer for a config with changes.
    ///
    /// # Errors
    /// The file cannot be read, or is no YAML; the folder does not exist.
    pub fn new(
        source: &Source,
        reading: Reading,
        overrides: &[String],
        environment: &'e Environment,
    ) -> Result<Self, Problems> {
        let language = language(source, environment)?;
        // Our configs know `${NAME:-default}` as well: the proof of concept's documents promised it.
        let ours = language == Language::Ours && reading == Reading::Auto;
        let dialect = Dialect { shell_defaults: ours };
        // Whether a key may be changed is decided by our types, which know more keys than the file
        // holds and which of them was meant; whoever asks Hydra's way gets Hydra's rule.
        let strictness = match source {
            Source::File(_) | Source::Text { .. } if ours => Strictness::Open,
            _ => Strictness::Struct,
        };
        let built_in = match language {
            Language::Ours => ConfigStore::new(),
            Language::Optimum => optimum::store(),
        };
        let (mut arguments, store) = named(source, dialect, built_in)?;
        arguments.overrides = overrides.to_vec();
        let app = App::new(JOB_NAME)
            .with_store(store)
            .with_environment(environment)
            .with_dialect(dialect)
            .with_strictness(strictness);
        let session = Session::open(&app, &arguments)
            .map_err(|failure| Problem::new("command line", failure.to_string()))?;
        let own_folders = matches!(source, Source::File(_) | Source::Text { .. });
        Ok(Self {
            session,
            name: arguments.config_name,
            own_folders,
            language,
            dialect,
            environment,
        })
    }

    /// Hydra's steps one by one; also what is shown instead of a run.
    #[must_use]
    pub fn session(&self) -> &Session<'e> {
        &self.session
    }

    /// The jobs: one, or with `multirun` or `hydra.mode: MULTIRUN` one for each cell of the sweep. All
    /// are composed and fitted into their types before any can run.
    ///
    /// # Errors
    /// All problems of all jobs at once, each once and with its place.
    pub fn jobs(&self, multirun: bool) -> Result<Jobs, Problems> {
        let mut mode = self.session.mode(multirun);
        let mut composed = self.composed(&mode)?;
        if let Some(ours) = self.own_folder(&composed, mode.run_mode) {
            mode.overrides.push(ours);
            composed = self.composed(&mode)?;
        }
        let mut warnings: Vec<String> =
            composed.warnings.iter().map(|warning| warning.message.clone()).collect();
        warnings.extend(mode.warning.map(str::to_owned));
        if mode.run_mode == RunMode::Run {
            let job = self.session.single(&composed).map_err(|errors| problems(&errors))?;
            return Ok(Jobs { jobs: vec![self.fit(&job)?], sweep: None, warnings });
        }
        let plan = self.session.sweep(composed).map_err(|errors| problems(&errors))?;
        let jobs = self.cells(&plan)?;
        let sweep = Some(LoadedConfig::sweep_folder(&plan));
        Ok(Jobs { jobs, sweep, warnings })
    }

    fn composed(&self, mode: &hydra_compose::app::Mode) -> Result<Composed, Problems> {
        self.session.compose_for(mode).map_err(|errors| problems(&errors))
    }

    fn cells(&self, plan: &SweepPlan) -> Result<Vec<LoadedConfig>, Problems> {
        let mut found = Problems::default();
        let mut cells = Vec::with_capacity(plan.len());
        for (num, overrides) in plan.batches.iter().flatten().enumerate() {
            let job = self.session.job_of(plan, overrides, num).map_err(|errors| problems(&errors));
            match job.and_then(|job| self.fit(&job)) {
                Ok(cell) => cells.push(cell),
                Err(more) => found.add_new(more),
            }
        }
        found.into_result().map(|()| cells)
    }

    fn fit(&self, job: &Job) -> Result<LoadedConfig, Problems> {
        let fit = |node: Node| match self.language {
            Language::Ours => Ok((typed(node)?, Vec::new())),
            Language::Optimum => optimum::to_config(&node, self.environment)
                .map(|mapped| (mapped.config, mapped.notes)),
        };
        LoadedConfig::of(job, self.environment, self.name.as_deref(), fit)
    }

    /// The change that moves Hydra's own default folder to ours, `<output_dir>/<name>/<date>/<time>`.
    fn own_folder(&self, composed: &Composed, mode: RunMode) -> Option<String> {
        let key = match mode {
            RunMode::Run => "hydra.run.dir",
            RunMode::MultiRun => "hydra.sweep.dir",
        };
        if !self.own_folders || !is_default_folder(composed.config.at(key)?) {
            return None;
        }
        let text = |key: &str| self.text(composed, key).filter(|text| !text.is_empty());
        let base = text("output_dir").unwrap_or_else(|| super::DEFAULT_OUTPUT_DIR.to_owned());
        let name = text("name").or_else(|| self.name.clone()).unwrap_or_default();
        let folder = format!("{base}/{}/{DATED}", plain(&name));
        Some(format!("{key}='{}'", folder.replace('\\', "\\\\").replace('\'', "\\'")))
    }

    fn text(&self, composed: &Composed, key: &str) -> Option<String> {
        let interpolator = composed.interpolator(self.environment).with_dialect(self.dialect);
        let found = interpolator.resolve_at(&composed.config, key).ok()??;
        match found.value {
            Value::Str(text) => Some(text),
            Value::Int(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

/// The end of a folder's name that is another one each second.
const DATED: &str = "${now:%Y-%m-%d}/${now:%H-%M-%S}";

/// Whether a folder is the one that Hydra chooses where nobody else does.
fn is_default_folder(dir: &Node) -> bool {
    matches!(&dir.value, Value::Interpolation(text)
        if ["outputs/", "multirun/"].iter().any(|base| text.strip_prefix(base) == Some(DATED)))
}

/// Whether a folder is another one each second, so that no earlier run is meant to be in it.
pub(super) fn is_dated_folder(dir: &Node) -> bool {
    matches!(&dir.value, Value::Interpolation(text) if text.ends_with(DATED))
}

/// A name without anything that would lead out of its folder.
pub(super) fn plain(name: &str) -> String {
    let cleaned: String = name
        .chars()
        .map(|c| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ') { c } else { '_' })
        .collect();
    if cleaned.trim_matches('.').is_empty() { "benchmark".to_owned() } else { cleaned }
}

/// Whose config it is, by its defaults lists. What is wrong with them is told when it is composed.
fn language(source: &Source, environment: &Environment) -> Result<Language, Problems> {
    let (arguments, store) = named(source, Dialect::default(), optimum::names())?;
    let app = App::new(JOB_NAME).with_store(store).with_environment(environment);
    let Ok(session) = Session::open(&app, &arguments) else { return Ok(Language::Ours) };
    let loader = session.loader();
    let name = arguments.config_name.as_deref();
    let Ok((_, list)) = loader.defaults(name, &[], RunMode::MultiRun) else {
        return Ok(Language::Ours);
    };
    let is_file = loader.search_path().iter().any(|entry| {
        let folder = entry.path.strip_prefix("file://").unwrap_or(&entry.path);
        Path::new(folder).join(format!("{ROOT}.yaml")).is_file()
    });
    let is_named = list.iter().any(|entry| entry.config_path == ROOT && !entry.primary);
    Ok(if is_named && !is_file { Language::Optimum } else { Language::Ours })
}

/// The command line that Hydra would have got, and what is built in with what has no place of its own.
fn named(
    source: &Source,
    dialect: Dialect,
    mut store: ConfigStore,
) -> Result<(Arguments, ConfigStore), Problems> {
    let mut arguments = Arguments::default();
    let text = |path: &Path| path.to_string_lossy().into_owned();
    match source {
        Source::Named { folder, name } => {
            arguments.config_dir = folder.as_deref().map(text);
            arguments.config_name.clone_from(name);
        }
        Source::Text { name, yaml } => {
            let node =
                Document::with_dialect(yaml, name, dialect).map_err(|errors| problems(&errors))?;
            store.store("", name, node, None, "main");
            arguments.config_path = Some(".".to_owned());
            arguments.config_name = Some(name.clone());
        }
        Source::File(file) => {
            let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
            arguments.config_path = Some(folder.map_or_else(|| ".".to_owned(), text));
            let listed = file.extension().is_some_and(|extension| extension == "yaml");
            if let (false, Some(name)) = (listed && file.exists(), &name) {
                // A name of another form is not on Hydra's search path: the file is read by itself.
                let node = Document::load_file_with_dialect(file, dialect)
                    .map_err(|errors| problems(&errors))?;
                store.store("", name, node, None, "main");
            }
            arguments.config_name = name;
        }
    }
    Ok((arguments, store))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SWEPT: &str = "
defaults: [{backend: tiny}, _self_]
name: sw
scenario: {num_samples: 3}
hydra: {job: {env_set: {SOME: '1'}}}
";

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("backend")).unwrap();
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        write("swept.yaml", SWEPT);
        write("backend/tiny.yaml", "{type: candle, model: tiny-llama, no_weights: true}\n");
        write("backend/other.yaml", "{type: candle, model: '${oc.env:SOME,none}'}\n");
        folder
    }

    fn jobs(source: &Source, overrides: &[&str], multirun: bool) -> Result<Jobs, Problems> {
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        let environment = Environment::default();
        Composer::new(source, Reading::Auto, &overrides, &environment)?.jobs(multirun)
    }

    fn file(folder: &tempfile::TempDir) -> Source {
        Source::File(folder.path().join("swept.yaml"))
    }

    #[test]
    fn a_sweep_is_over_groups_and_values_and_its_cells_lie_in_one_folder() {
        let folder = folder();
        let swept = ["backend=tiny,other", "scenario.num_samples=1,2"];
        let jobs = jobs(&file(&folder), &swept, true).unwrap();
        let models: Vec<_> = jobs.jobs.iter().map(|job| job.config.backend.model()).collect();
        // A variable that the job sets is seen by what the job's config asks of the environment.
        assert_eq!(models, ["tiny-llama", "tiny-llama", "1", "1"]);
        let sweep = jobs.sweep.unwrap();
        assert!(sweep.dir.to_string_lossy().contains("results/sw/"), "{sweep:?}");
        for (number, job) in jobs.jobs.iter().enumerate() {
            assert_eq!(job.place.output_dir, sweep.dir.join(number.to_string()));
        }
        assert_eq!(jobs.jobs[3].overrides(), ["backend=other", "scenario.num_samples=2"]);
    }

    #[test]
    fn the_same_mistake_of_all_cells_is_told_once_and_others_each() {
        let folder = folder();
        let swept = ["scenario.idle_s=soon", "scenario.num_samples=many,1,few"];
        let shown = jobs(&file(&folder), &swept, true).unwrap_err();
        assert_eq!(shown.0.len(), 3, "{shown}");
    }

    #[test]
    fn a_run_folder_of_ones_own_wins_and_hydras_shape_has_hydras_folders() {
        let folder = folder();
        let one = jobs(&file(&folder), &["hydra.run.dir=here"], false).unwrap();
        assert!(one.jobs[0].place.output_dir.ends_with("here"));
        assert!(!one.jobs[0].place.is_new);
        let named = Source::Named {
            folder: Some(folder.path().to_owned()),
            name: Some("swept".to_owned()),
        };
        let one = jobs(&named, &[], false).unwrap();
        let dir = one.jobs[0].place.output_dir.to_string_lossy().into_owned();
        assert!(dir.contains("/outputs/"), "{dir}");
        let unknown = jobs(&named, &["scenario.idle_s=1"], false).unwrap_err().to_string();
        assert!(unknown.contains("+scenario.idle_s=1"), "{unknown}");
    }

    #[test]
    fn the_run_folder_follows_a_name_that_is_a_shells_default() {
        let folder = folder();
        let named = jobs(&file(&folder), &["name='${AEB_NO_SUCH:-given}'"], false).unwrap();
        let dir = named.jobs[0].place.output_dir.to_string_lossy().into_owned();
        assert!(dir.contains("results/given/"), "{dir}");
    }

    #[test]
    fn a_name_of_dots_does_not_lead_out() {
        assert_eq!(plain(".."), "benchmark");
        assert_eq!(plain("../x"), ".._x");
    }
}
