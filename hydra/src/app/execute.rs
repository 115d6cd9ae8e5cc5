//! Runs and sweeps, from the first step to the exit code.

use std::io::Write;
use std::path::Path;

use super::args::Info;
use super::context::{Context, absolute};
use super::job::{CreateError, Job};
use super::logging::{HYDRA, LAUNCHER, Logging};
use super::session::{Session, SweepPlan};
use super::{App, Failure, Task};
use crate::loader::{Composed, RunMode};
use crate::scalar::python_str;
use crate::source::mask_secrets;
use crate::value::{Map, Node, Value};
use crate::yaml::Document;

/// The exit code of jobs that failed.
const FAILED: u8 = 1;

/// Where a run says things, and how.
struct Voice<'w> {
    out: &'w mut dyn Write,
    err: &'w mut dyn Write,
    logging: Logging,
}

impl Voice<'_> {
    fn launcher(&mut self, message: &str) -> Result<(), Failure> {
        Ok(self.logging.info(LAUNCHER, message, self.out, self.err)?)
    }

    /// `hydra.hydra_logging` takes effect.
    fn configure(&mut self, session: &Session<'_>, composed: &Composed) -> Result<(), Failure> {
        let config = &composed.config;
        let interpolator = session.context.interpolator(session.environment(), config);
        let verbose = interpolator.resolve_at(config, "hydra.verbose")?;
        if let Some(log) = interpolator.resolve_at(config, "hydra.hydra_logging")? {
            self.logging
                .configure(&log, verbose.as_ref(), session.cwd())
                .map_err(|error| CreateError::Write(session.cwd().to_path_buf(), error))?;
        }
        Ok(())
    }

    /// With `hydra.verbose`, Hydra tells all that `--info` does.
    fn details(&mut self, session: &Session<'_>, mode: RunMode) -> Result<(), Failure> {
        if !self.logging.is_verbose() {
            return Ok(());
        }
        let (lines, result) = session.info(Info::All, mode);
        for line in lines {
            self.logging.debug(HYDRA, &line, self.out, self.err)?;
        }
        Ok(result?)
    }
}

impl App<'_> {
    /// Runs one job, or a sweep.
    pub(super) fn execute(
        &self,
        session: &Session<'_>,
        multirun: bool,
        out: &mut dyn Write,
        err: &mut dyn Write,
        task: &mut Task<'_>,
    ) -> Result<u8, Failure> {
        let mode = session.mode(multirun);
        let mut voice = Voice { out, err, logging: Logging::default() };
        if let Some(warning) = mode.warning {
            writeln!(voice.err, "{warning}")?;
        }
        let composed = session.compose_for(&mode)?;
        for warning in &composed.warnings {
            writeln!(voice.err, "{}", warning.message)?;
        }
        voice.configure(session, &composed)?;
        voice.details(session, mode.run_mode)?;
        match mode.run_mode {
            RunMode::Run => {
                let job = session.single(&composed)?;
                job.create_with(session.environment(), &mut voice.logging)?;
                match task(&job, voice.out) {
                    Ok(()) => Ok(0),
                    Err(error) => {
                        tell_failure(&job, &error.to_string(), voice.err)?;
                        Ok(FAILED)
                    }
                }
            }
            RunMode::MultiRun => self.sweep(session, composed, &mut voice, task),
        }
    }

    fn sweep(
        &self,
        session: &Session<'_>,
        master: Composed,
        voice: &mut Voice<'_>,
        task: &mut Task<'_>,
    ) -> Result<u8, Failure> {
        let plan = session.sweep(master)?;
        plan.create()?;
        let mut first = 0;
        for batch in &plan.batches {
            session.check_batch(&plan, batch)?;
            if !self.batch(session, &plan, (batch, first), voice, task)? {
                return Ok(FAILED);
            }
            first += batch.len();
        }
        Ok(0)
    }

    /// Whether all jobs of the batch went well. One that does not, does not stop the others.
    fn batch(
        &self,
        session: &Session<'_>,
        plan: &SweepPlan,
        (batch, first): (&[Vec<String>], usize),
        voice: &mut Voice<'_>,
        task: &mut Task<'_>,
    ) -> Result<bool, Failure> {
        voice.configure(session, &plan.master)?;
        voice.launcher(&format!("Launching {} jobs locally", batch.len()))?;
        let mut failures = Vec::new();
        for (index, overrides) in batch.iter().enumerate() {
            let num = first + index;
            let line = format!("\t#{num} : {}", told(overrides));
            if let Some(is_done) = &self.resume
                && is_done(&session.job_of(plan, overrides, num)?)
            {
                voice.launcher(&format!("{line} (done before)"))?;
                continue;
            }
            voice.launcher(&line)?;
            let job = session.job_of(plan, overrides, num)?;
            job.create_with(session.environment(), &mut voice.logging)?;
            let result = task(&job, voice.out);
            voice.configure(session, &plan.master)?;
            if let Err(error) = result {
                failures.push((job, error));
                if self.fail_fast {
                    break;
                }
            }
        }
        for (job, error) in &failures {
            tell_failure(job, &error.to_string(), voice.err)?;
        }
        Ok(failures.is_empty())
    }

    /// Runs a job again from the files that it left.
    pub(super) fn rerun(
        &self,
        file: &str,
        out: &mut dyn Write,
        err: &mut dyn Write,
        task: &mut Task<'_>,
    ) -> Result<u8, Failure> {
        writeln!(err, "Experimental rerun CLI option, other command line args are ignored.")?;
        let path = absolute(&self.cwd, Path::new(file));
        if !path.exists() {
            return Err(Failure::new(format!("File {file} does not exist!")));
        }
        let job = self.former_job(&path)?;
        match task(&job, out) {
            Ok(()) => Ok(0),
            Err(error) => {
                tell_failure(&job, &error.to_string(), err)?;
                Ok(FAILED)
            }
        }
    }

    /// Python pickles its configurations. Here it is `config.yaml`, with `hydra.yaml` beside it.
    fn former_job(&self, path: &Path) -> Result<Job, Failure> {
        let read = |path: &Path| {
            let text = std::fs::read(path).map_err(|error| {
                Failure::new(format!("cannot read `{}`: {error}", path.display()))
            })?;
            let text = String::from_utf8(text).map_err(|_| {
                let path = path.display();
                Failure::new(format!(
                    "`{path}` is no text: a Python pickle cannot be read, give the \
                     `.hydra/config.yaml` of the run instead"
                ))
            })?;
            Document::with_dialect(&text, &path.display().to_string(), self.dialect)
                .map_err(|error| Failure::new(error.to_string()))
        };
        let config = read(path)?;
        let beside = path.with_file_name("hydra.yaml");
        let hydra = if beside.exists() { read(&beside)?.child("hydra").cloned() } else { None };
        let hydra = hydra.unwrap_or_else(|| Node::in_memory(Value::Map(Map::new())));
        let text = |path: &str| hydra.at(path).map(|node| python_str(&node.value));
        let overrides = hydra.at("overrides.task").and_then(Node::as_list).unwrap_or_default();
        Ok(Job {
            overrides: overrides.iter().map(|text| python_str(&text.value)).collect(),
            num: None,
            name: text("job.name").unwrap_or_else(|| self.name.clone()),
            working_dir: self.cwd.clone(),
            output_dir: text("runtime.output_dir").map_or_else(|| self.cwd.clone(), Into::into),
            hydra_dir: None,
            env_set: Vec::new(),
            broken: None,
            context: Context {
                moment: self.moment.clone().unwrap_or_default(),
                dialect: self.dialect,
            },
            config,
            hydra,
        })
    }
}

/// The overrides of a job without those of Hydra's own configuration, and without secrets.
fn told(overrides: &[String]) -> String {
    let told = overrides.iter().filter(|text| !text.starts_with("hydra."));
    told.map(|text| mask_secrets(text)).collect::<Vec<_>>().join(" ")
}

fn tell_failure(job: &Job, error: &str, err: &mut dyn Write) -> Result<(), Failure> {
    let overrides = job.overrides.iter().map(|text| format!("'{}'", mask_secrets(text)));
    let overrides = overrides.collect::<Vec<_>>().join(", ");
    Ok(writeln!(err, "Error executing job with overrides: [{overrides}]\n{error}")?)
}
