//! `ai-energy-benchmark schema`.

use ai_energy_benchmarks::{config, report};

use crate::args::SchemaKind;
use crate::exit::Exit;
use crate::terminal;

pub(crate) fn run(kind: SchemaKind) -> Exit {
    let schema = match kind {
        SchemaKind::Config => config::schema(),
        SchemaKind::Report => report::json::schema(),
    };
    terminal::out(&format!("{schema:#}\n"));
    Exit::Ok
}
