//! Whatever a crash or an editor left in a record file: rows or a count of torn lines, never a panic.
#![no_main]

use ai_energy_benchmarks::record::{EventRecord, RequestRecord, SampleRecord, parse_lines};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = parse_lines::<SampleRecord>(bytes);
    let _ = parse_lines::<RequestRecord>(bytes);
    let _ = parse_lines::<EventRecord>(bytes);
});
