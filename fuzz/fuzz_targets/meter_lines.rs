//! What other programs and machines say of their sensors: JSON lines and metrics pages.
#![no_main]

use ai_energy_benchmarks::meter::exec;
use ai_energy_benchmarks::meter::prometheus::text;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let input = String::from_utf8_lossy(data);
    for line in input.lines() {
        if let Ok(exec::Line::Reading(reading)) = exec::parse(line)
            && let Some((before, after)) = reading.span
        {
            assert!(before <= after);
        }
    }
    for metric in text::parse(&input) {
        assert!(!metric.name.is_empty());
    }
});
