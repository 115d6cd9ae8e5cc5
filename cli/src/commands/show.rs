//! `run --cfg` and `run --info`: the config instead of a run.

use ai_energy_benchmarks::config::{Composer, Environment};
use ai_energy_benchmarks::error::Problems;
use hydra_compose::RunMode;
use hydra_compose::app::{Info as HydraInfo, Show};

use crate::args::{Info, RunArgs, Shown};
use crate::exit::Exit;
use crate::plan::{reading, source};
use crate::target::{self, Asked};
use crate::terminal;

/// Prints the composed config.
pub(crate) fn config(arguments: &RunArgs, shown: Shown) -> Exit {
    let show = match shown {
        Shown::Job => Show::Job,
        Shown::Hydra => Show::Hydra,
        Shown::All => Show::All,
    };
    each(arguments, |composer| {
        let package = arguments.package.as_deref();
        match composer.session().show(show, package, arguments.resolve) {
            Ok(text) => {
                terminal::out(&text);
                true
            }
            Err(failure) => {
                terminal::note(&format!("error: {failure}"));
                false
            }
        }
    })
}

/// Prints how the config is composed.
pub(crate) fn info(arguments: &RunArgs, info: Info) -> Exit {
    let info = match info {
        Info::All => HydraInfo::All,
        Info::Config => HydraInfo::Config,
        Info::Defaults => HydraInfo::Defaults,
        Info::DefaultsTree => HydraInfo::DefaultsTree,
        Info::Searchpath => HydraInfo::SearchPath,
    };
    let mode = if arguments.multirun { RunMode::MultiRun } else { RunMode::Run };
    each(arguments, |composer| {
        let (lines, outcome) = composer.session().info(info, mode);
        for line in lines {
            terminal::out(&format!("{line}\n"));
        }
        match outcome {
            Ok(()) => true,
            Err(errors) => {
                terminal::note(&format!("error: {errors}"));
                false
            }
        }
    })
}

/// Does the same for every config that is named.
fn each(arguments: &RunArgs, mut tell: impl FnMut(&Composer<'_>) -> bool) -> Exit {
    let environment = Environment::default();
    let hydra_shaped = arguments.config.is_hydra_shaped();
    let mut told = |asked: Asked| -> Result<bool, Problems> {
        let mut all = true;
        for target in &asked.targets {
            let reading = reading(arguments.config.dialect);
            let composer = Composer::new(&source(target), reading, &asked.overrides, &environment)?;
            all &= tell(&composer);
        }
        Ok(all)
    };
    let outcome = target::asked(&arguments.config).and_then(&mut told);
    match outcome {
        Ok(true) => Exit::Ok,
        Ok(false) => Exit::config(hydra_shaped),
        Err(problems) => {
            terminal::problems(&problems);
            Exit::config(hydra_shaped)
        }
    }
}
