//! `ai-energy-benchmark doctor`.

use std::fmt::Write;

use ai_energy_benchmarks::config::{BenchmarkConfig, Environment};
use ai_energy_benchmarks::error::{Problem, Problems};
use ai_energy_benchmarks::meter::{self, Survey};
use ai_energy_benchmarks::record::{DeviceRef, Quantity};
use ai_energy_benchmarks::run;
use ai_energy_benchmarks::units::Seconds;

use crate::args::DoctorArgs;
use crate::calibrate;
use crate::exit::Exit;
use crate::plan;
use crate::terminal;

pub(crate) fn run(arguments: &DoctorArgs) -> Exit {
    if let Some(seconds) = arguments.calibrate {
        return calibrated(Seconds(seconds), arguments.json);
    }
    let (config, environment) = match config(arguments) {
        Ok(found) => found,
        Err(problems) => {
            terminal::problems(&problems);
            return Exit::Usage;
        }
    };
    let survey =
        meter::survey(&super::registry().meters, &run::open_request(&config, &environment));
    if arguments.json {
        match serde_json::to_string_pretty(&survey) {
            Ok(text) => terminal::out(&format!("{text}\n")),
            Err(error) => {
                terminal::note(&format!("error: {error}"));
                return Exit::RunFailed;
            }
        }
    } else {
        terminal::out(&page(&survey));
    }
    if survey.problems.is_empty() { Exit::Ok } else { Exit::Usage }
}

fn calibrated(budget: Seconds, json: bool) -> Exit {
    let tell = |what: &str| terminal::note(&format!("measuring: {what}"));
    let found = calibrate::calibrate(budget, &tell).and_then(|found| {
        if json {
            let text = serde_json::to_string_pretty(&found).map_err(|error| error.to_string())?;
            return Ok(format!("{text}\n"));
        }
        Ok(calibrate::page(&found))
    });
    match found {
        Ok(text) => {
            terminal::out(&text);
            Exit::Ok
        }
        Err(message) => {
            terminal::note(&format!("error: {message}"));
            Exit::RunFailed
        }
    }
}

/// The config whose selection of devices and sensors is shown, and the variables that it sees; without
/// one, what a run selects by itself.
fn config(arguments: &DoctorArgs) -> Result<(BenchmarkConfig, Environment), Problems> {
    if arguments.config.words.is_empty() && !arguments.config.is_hydra_shaped() {
        return Ok((BenchmarkConfig::default(), Environment::default()));
    }
    let mut plan = plan::plan(&arguments.config, false)?;
    match (plan.cells.pop(), plan.cells.is_empty()) {
        (Some(cell), true) => Ok((cell.loaded.config, cell.loaded.environment)),
        _ => {
            Err(Problem::new("command line", "several configs are named, and one is wanted").into())
        }
    }
}

/// The survey for people.
fn page(survey: &Survey) -> String {
    let mut page = String::new();
    section(&mut page, "GPUs", survey.gpus.iter().map(|gpu| device(gpu, &survey.selected)));
    section(&mut page, "Sensors that can be read", survey.sensors.iter().map(sensor));
    let blocked = survey.blocked.iter().map(|blocked| blocked.problem.to_string());
    section(&mut page, "Sensors that exist and may not be read", blocked);
    let absent = survey.absent.iter().map(|absent| {
        format!("{} ({}): {}", absent.meter, absent.component.as_str(), absent.reason)
    });
    section(&mut page, "Not on this machine", absent);
    let scope = survey.scope.iter().map(|scope| {
        let counted = if scope.counted { "counted" } else { "not counted" };
        format!("{:<4} {counted}: {}", scope.component.as_str(), scope.reason)
    });
    section(&mut page, "A run would count", scope);
    let _ = writeln!(page, "{}", survey.boundary);
    let warnings = survey.warnings.iter().map(|warning| warning.message.clone());
    section(&mut page, "Cautions", warnings);
    section(&mut page, "Problems", survey.problems.iter().map(ToString::to_string));
    page
}

fn section(page: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let lines: Vec<String> = lines.collect();
    // A machine without GPUs is worth a line; a machine without problems is not.
    if lines.is_empty() && title != "GPUs" {
        return;
    }
    let _ = writeln!(page, "{title}");
    if lines.is_empty() {
        let _ = writeln!(page, "  none");
    }
    for line in lines {
        let _ = writeln!(page, "  {}", line.replace('\n', "\n  "));
    }
    page.push('\n');
}

fn device(gpu: &DeviceRef, selected: &[DeviceRef]) -> String {
    let metered = if selected.contains(gpu) { "" } else { " (not selected)" };
    format!("{}: {} {}{metered}", gpu.index, gpu.name, gpu.uuid)
}

fn sensor(surveyed: &meter::SurveyedSensor) -> String {
    let info = &surveyed.sensor;
    let value = match (&surveyed.value, info.quantity) {
        // A counter's value since some start means nothing by itself.
        (Some(_), Quantity::EnergyCounter) => "counts".to_owned(),
        (Some(value), _) => format!("{value:.1} {}", info.unit),
        (None, _) => surveyed.error.clone().unwrap_or_else(|| "no value yet".to_owned()),
    };
    let cost = surveyed.read_cost_s.0 * 1e6;
    format!("{:<20} {value:<16} {:.0} us a read  {}", info.name, cost, info.method)
}
