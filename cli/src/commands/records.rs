//! `ai-energy-benchmark show`: reports again from a run folder.

use ai_energy_benchmarks::analysis;
use ai_energy_benchmarks::record::RunRecords;
use ai_energy_benchmarks::report::{self, ReportError};

use crate::args::ShowArgs;
use crate::exit::Exit;
use crate::terminal;

pub(crate) fn run(arguments: &ShowArgs) -> Exit {
    let records = match RunRecords::read(&arguments.folder) {
        Ok(records) => records,
        Err(error) => {
            terminal::note(&format!("error: {error}"));
            return Exit::Usage;
        }
    };
    match shown(&records, arguments.json) {
        Ok(text) => {
            terminal::out(&text);
            Exit::Ok
        }
        Err(error) => {
            terminal::note(&format!("error: {error}"));
            Exit::RunFailed
        }
    }
}

fn shown(records: &RunRecords, json: bool) -> Result<String, ReportError> {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    if let Some(findings) = analysis::analyse_command(records) {
        return if json {
            report::command::render_json(&findings).map(text)
        } else {
            Ok(report::command::render(&findings, &[]))
        };
    }
    let findings = analysis::analyse(records);
    if json {
        report::json::render(&findings).map(text)
    } else {
        Ok(report::table::render(&findings, &[]))
    }
}
