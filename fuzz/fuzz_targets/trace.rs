//! Whatever a trace holds: rows in order or problems with their lines, never a panic. The first byte chooses the format.
#![no_main]

use ai_energy_benchmarks::config::component::load::TraceFormat;
use ai_energy_benchmarks::dataset::trace::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((choice, bytes)) = input.split_first() else { return };
    let format = TraceFormat::ALL[usize::from(*choice) % TraceFormat::ALL.len()];
    match parse(bytes, format, Some(1_000)) {
        Ok(trace) => {
            assert!(!trace.rows.is_empty() && trace.rows.len() <= 1_000);
            let arrivals = trace.arrivals(1.0);
            assert!(arrivals.is_sorted_by(|one, other| one.0 <= other.0));
            assert!(arrivals.iter().all(|at| at.0.is_finite() && at.0 >= 0.0));
        }
        Err(problems) => assert!(!problems.0.is_empty() && problems.0.len() <= 21),
    }
});
