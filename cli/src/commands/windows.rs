//! `windows`: the energy of every marked interval of a recording.

use std::path::Path;

use ai_energy_benchmarks::analysis::intervals::{self, Marked, Timing};
use ai_energy_benchmarks::error::{Problem, Problems};
use ai_energy_benchmarks::meter::nvml::bound_of;
use ai_energy_benchmarks::record::SensorTiming;
use ai_energy_benchmarks::trace::{Marks, Recorded, Trace};

use crate::args::{TimingArg, WindowsArgs};
use crate::exit::Exit;
use crate::terminal;

/// Prints a JSON line an interval; what was taken off the sensor goes to standard error.
pub(crate) fn run(arguments: &WindowsArgs) -> Exit {
    match measured(arguments) {
        Ok((marked, alone)) => {
            for mark in alone {
                terminal::note(&format!("warning: {mark}"));
            }
            terminal::note(&told(&marked));
            terminal::out(&lines(&marked));
            Exit::Ok
        }
        Err(problems) => {
            terminal::problems(&problems);
            Exit::Usage
        }
    }
}

fn measured(arguments: &WindowsArgs) -> Result<(Marked, Vec<String>), Problems> {
    let mut problems = Problems::default();
    let mut read = |path: &Path| {
        std::fs::read_to_string(path)
            .map_err(|cause| {
                problems.push(Problem::new(path.display().to_string(), cause.to_string()));
            })
            .ok()
    };
    let (trace, marks) = (read(&arguments.trace), read(&arguments.marks));
    problems.into_result()?;
    let (trace, marks) = (trace.unwrap_or_default(), marks.unwrap_or_default());
    let marks = Marks::parse(&marks, &arguments.marks.display().to_string())?;
    let gpu = marks.gpu.clone().unwrap_or_else(|| "an unnamed GPU".to_owned());
    let (share, source) = bound_of(&gpu);
    let recorded = Recorded {
        gpu,
        driver: marks.driver.clone().unwrap_or_else(|| "unknown".to_owned()),
        systematic: Some((share, source)),
    };
    let trace = Trace::parse(&trace, &arguments.trace.display().to_string(), &recorded)?;
    let (intervals, alone) = marks.intervals();
    let timing = match arguments.timing {
        TimingArg::Auto => Timing::Auto,
        TimingArg::Known => Timing::Known,
        TimingArg::None => Timing::None,
    };
    intervals::measure(&trace, &intervals, timing).map(|marked| (marked, alone)).map_err(|reason| {
        Problem::new(arguments.trace.display().to_string(), reason.to_string()).into()
    })
}

fn lines(marked: &Marked) -> String {
    let line = |energy| serde_json::to_string(energy).map(|line| line + "\n");
    marked.energies.iter().filter_map(|energy| line(energy).ok()).collect()
}

/// How late the sensor was taken to be, and what else is known of that.
fn told(marked: &Marked) -> String {
    let timing = |timing: &SensorTiming| {
        format!(
            "{:.1} ms late, an edge to {:.1} ms ({})",
            timing.lag_s.0 * 1e3,
            timing.jitter_s.0 * 1e3,
            timing.source
        )
    };
    let renewal = match marked.renewal.0 {
        seen if seen > 0.0 => format!("the counter renews itself every {:.3} ms", seen * 1e3),
        _ => "how often the sensor renews itself does not show".to_owned(),
    };
    let known = match &marked.known {
        Some(known) => timing(known),
        None => "no lag was taken off".to_owned(),
    };
    match &marked.fitted {
        Some(fit) => format!(
            "{renewal}; intervals with known work: {}, equal work differs by {:.1} %; all others: {known}",
            timing(&fit.timing),
            fit.repeats * 100.0
        ),
        None => format!("{renewal}; {known}"),
    }
}
