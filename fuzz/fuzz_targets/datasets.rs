//! Whatever a file of prompts holds: rows or an error, never a panic. The first byte chooses the format.
#![no_main]

use ai_energy_benchmarks::config::component::scenario::ScenarioConfig;
use ai_energy_benchmarks::dataset::hub::HubEnv;
use ai_energy_benchmarks::dataset::{formats, load};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((choice, bytes)) = input.split_first() else { return };
    let endings = ["jsonl", "json", "csv", "tsv", "txt"];
    let ending = endings[usize::from(*choice) % endings.len()];
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(format!("data.{ending}"));
    std::fs::write(&file, bytes).expect("a file");
    let scenario = ScenarioConfig {
        dataset_name: file.to_string_lossy().into_owned(),
        ..ScenarioConfig::default()
    };
    let offline = HubEnv::from_vars(&|name| (name == "HF_HUB_OFFLINE").then(|| "1".to_owned()), None);
    let _ = load(&scenario, &formats(), &offline);
});
