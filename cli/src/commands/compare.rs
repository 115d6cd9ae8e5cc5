//! `ai-energy-benchmark compare`.

use std::path::{Path, PathBuf};

use ai_energy_benchmarks::analysis::compare::{self, Refusal, Wanted};
use ai_energy_benchmarks::analysis::inference::Test;
use ai_energy_benchmarks::analysis::repetition::RepetitionUnit;
use ai_energy_benchmarks::analysis::{self, Findings};
use ai_energy_benchmarks::error::{Problem, Problems};
use ai_energy_benchmarks::record::RunRecords;
use ai_energy_benchmarks::report;
use ai_energy_benchmarks::report::summary::End;

use super::run::Runner;
use crate::args::{CompareArgs, CompareTest, CompareUnit, ConfigArgs, LogFormat, RunArgs};
use crate::exit::Exit;
use crate::plan::{self, Cell};
use crate::terminal;

/// The two sets of run folders.
struct Sets {
    a: Vec<PathBuf>,
    b: Vec<PathBuf>,
}

pub(crate) fn run(arguments: &CompareArgs, log_format: LogFormat) -> Exit {
    let sets = match &arguments.run {
        Some(configs) => make(arguments, configs, log_format),
        None => named(arguments),
    };
    let sets = match sets {
        Ok(sets) => sets,
        Err(exit) => return exit,
    };
    let (a, b) = match (read(&sets.a), read(&sets.b)) {
        (Ok(a), Ok(b)) => (a, b),
        (a, b) => {
            let found = [a.err(), b.err()].into_iter().flatten().flat_map(|problems| problems.0);
            terminal::problems(&Problems(found.collect()));
            return Exit::Usage;
        }
    };
    match compare::compare(&a, &b, wanted(arguments)) {
        Ok(comparison) => {
            if !arguments.json {
                terminal::out(&report::compare::text(&comparison));
                return Exit::Ok;
            }
            match report::compare::json(&comparison) {
                Ok(bytes) => terminal::out(&String::from_utf8_lossy(&bytes)),
                Err(error) => terminal::note(&format!("error: {error}")),
            }
            Exit::Ok
        }
        Err(refusal) => {
            terminal::problems(&Problems::from(explained(&refusal)));
            Exit::Usage
        }
    }
}

fn explained(refusal: &Refusal) -> Problem {
    let problem = Problem::new("compare", refusal.to_string());
    match refusal {
        Refusal::Empty => problem
            .hint("name runs as `compare A... -- B...` or `compare --a A... --b B...`, or make them with --run"),
        Refusal::Unlike(_) => problem.hint("--unlike compares them all the same, and the report says so"),
        Refusal::Uneven(..) => problem.hint("two runs or more of each, or one of each"),
    }
}

fn wanted(arguments: &CompareArgs) -> Wanted {
    Wanted {
        unlike: arguments.unlike,
        test: arguments.test.map(|test| match test {
            CompareTest::Paired => Test::Paired,
            CompareTest::Welch => Test::Welch,
        }),
        unit: arguments.unit.map(|unit| match unit {
            CompareUnit::WithinProcess => RepetitionUnit::WithinProcess,
            CompareUnit::AcrossRestarts => RepetitionUnit::AcrossRestarts,
            CompareUnit::AcrossDays => RepetitionUnit::AcrossDays,
        }),
    }
}

/// The runs that the command line names.
fn named(arguments: &CompareArgs) -> Result<Sets, Exit> {
    let paths = |words: &[String]| words.iter().map(PathBuf::from).collect::<Vec<_>>();
    let a = if arguments.a.is_empty() { paths(&arguments.first) } else { arguments.a.clone() };
    let b = if arguments.b.is_empty() { arguments.second.clone() } else { arguments.b.clone() };
    Ok(Sets { a, b })
}

fn read(folders: &[PathBuf]) -> Result<Vec<Findings>, Problems> {
    let mut problems = Problems::default();
    let mut found = Vec::new();
    for folder in folders {
        match RunRecords::read(folder) {
            Ok(records) => found.push(analysis::analyse(&records)),
            Err(error) => {
                problems.push(Problem::new(folder.display().to_string(), error.to_string()));
            }
        }
    }
    problems.into_result().map(|()| found)
}

/// Makes the runs of two configs in turn: A B B A A B B A ..., so that what drifts meets both alike.
fn make(arguments: &CompareArgs, configs: &[PathBuf], log_format: LogFormat) -> Result<Sets, Exit> {
    let cells = match cells(arguments, configs) {
        Ok(cells) => cells,
        Err(problems) => {
            terminal::problems(&problems);
            return Err(Exit::Usage);
        }
    };
    let run_arguments = RunArgs::default();
    let runner = Runner { arguments: &run_arguments, log_format, several: true, quiet: true };
    let mut sets = Sets { a: Vec::new(), b: Vec::new() };
    let turns = turns(arguments.repetitions);
    for (number, turn) in turns.iter().enumerate() {
        let cell = &cells[*turn];
        let which = ["A", "B"][*turn];
        terminal::note(&format!("run {} of {}: {which}, {}", number + 1, turns.len(), cell.label));
        let made = runner.make(cell);
        match (made.end(), made.folder) {
            (End::Ok, Some(folder)) => {
                terminal::note(&format!("  {}", folder.display()));
                if *turn == 0 { sets.a.push(folder) } else { sets.b.push(folder) }
            }
            // A gap in the order would turn pairs into something else.
            _ => {
                terminal::note("error: the run failed; those made before lie in their folders");
                return Err(made.exit);
            }
        }
    }
    Ok(sets)
}

/// Both configs, checked before the first run.
fn cells(arguments: &CompareArgs, configs: &[PathBuf]) -> Result<Vec<Cell>, Problems> {
    let mut problems = Problems::default();
    let mut cells = Vec::new();
    for config in configs {
        let mut words = vec![shown(config)];
        words.extend(arguments.first.iter().cloned());
        let named = ConfigArgs { words, ..ConfigArgs::default() };
        match plan::plan(&named, false) {
            Ok(plan) => match <[Cell; 1]>::try_from(plan.cells) {
                Ok([cell]) => cells.push(cell),
                Err(several) => {
                    let message = format!("stands for {} runs", several.len());
                    problems.push(
                        Problem::new(shown(config), message).hint("name one config for each side"),
                    );
                }
            },
            Err(found) => problems.0.extend(found.0),
        }
    }
    for cell in &cells {
        let found = ai_energy_benchmarks::config::check(&cell.loaded.config);
        problems.add_new(cell.loaded.locate(found));
    }
    problems.into_result().map(|()| cells)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// 0 for A, 1 for B, in an order that a steady drift cannot tell apart.
fn turns(repetitions: u32) -> Vec<usize> {
    (0..repetitions).flat_map(|pair| if pair % 2 == 0 { [0, 1] } else { [1, 0] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_made_in_turn() {
        assert_eq!(turns(4), [0, 1, 1, 0, 0, 1, 1, 0]);
        assert_eq!(turns(2).iter().sum::<usize>(), 2);
    }
}
