//! Texts that carbon accounting reads: CodeCarbon's settings, answers of Electricity Maps, names of processors.
#![no_main]

use ai_energy_benchmarks::carbon::live;
use ai_energy_benchmarks::config::codecarbon;
use ai_energy_benchmarks::meter::tdp;
use ai_energy_benchmarks::record::LiveIntensity;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = codecarbon::parse(text);
    let asked = LiveIntensity { service: "Electricity Maps".to_owned(), zone: "DE".to_owned() };
    if let Ok(reading) = live::parse(text, &asked) {
        assert!(reading.intensity.value() >= 0.0);
    }
    let _ = tdp::find(text);
});
