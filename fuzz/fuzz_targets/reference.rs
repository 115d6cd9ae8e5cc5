//! Whatever a file that is called an external meter's holds: readings in order of time or an error, never a panic.
//!
//! The first byte chooses the form. Seeds: the texts of `src/meter/reference/tests.rs`, each behind one byte.
#![no_main]

use ai_energy_benchmarks::config::component::reference::{ReferenceConfig, ReferenceFormat};
use ai_energy_benchmarks::meter::reference;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((form, bytes)) = input.split_first() else { return };
    let config = ReferenceConfig {
        format: ReferenceFormat::ALL[usize::from(*form) % ReferenceFormat::ALL.len()],
        utc_offset_hours: Some(1.0),
        ..ReferenceConfig::default()
    };
    if let Ok(trace) = reference::trace(bytes, "fuzz", &config) {
        assert_eq!(trace.times_s.len(), trace.values.len());
        assert!(trace.times_s.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(trace.values.iter().all(|value| value.is_finite()));
    }
});
