//! Columnar datasets for `ai_energy_benchmarks`: Parquet. Apart, because the decoders are heavy to build and
//! everyday work on the library needs none of them.

mod field;
mod parquet;

pub use crate::parquet::FORMAT;

use ai_energy_benchmarks::registry::Registry;

/// Adds this crate's formats to the list of those that can be read.
pub fn register(registry: &mut Registry) {
    registry.datasets.push(FORMAT);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ai_energy_benchmarks::config::component::scenario::ScenarioConfig;
    use ai_energy_benchmarks::dataset::hub::HubEnv;
    use ai_energy_benchmarks::dataset::{Loaded, formats, load};

    use super::*;

    fn loaded(name: &str, num_samples: Option<i64>) -> Loaded {
        let mut registry = Registry { datasets: formats(), ..Registry::default() };
        register(&mut registry);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/datasets").join(name);
        let scenario = ScenarioConfig {
            dataset_name: path.to_str().unwrap().to_owned(),
            num_samples,
            ..ScenarioConfig::default()
        };
        let env = HubEnv::from_vars(&|_| None, None);
        load(&scenario, &registry.datasets, &env).unwrap()
    }

    #[test]
    fn a_folder_of_shards_is_one_split() {
        let all = loaded("hub_layout", None);
        let texts: Vec<String> = all.samples.iter().map(|sample| sample.prompt.text()).collect();
        assert_eq!(texts, ["a0", "a1", "a2", "b0", "b1"]);
        assert_eq!(all.samples[3].id, "data/train-00001-of-00002.parquet:1");
        assert_eq!((all.info.rows, all.info.files.len()), (5, 2));
        let two = loaded("hub_layout", Some(2));
        assert_eq!((two.info.rows, two.info.used, two.info.files.len()), (3, 2, 1));
    }

    #[test]
    fn empty_and_null_texts_are_left_out_of_a_file() {
        let loaded = loaded("plain_snappy.parquet", Some(5));
        assert_eq!(loaded.samples.len(), 3);
        let codes: Vec<&str> =
            loaded.warnings.iter().map(|warning| warning.code.as_str()).collect();
        assert_eq!(codes, ["fewer_rows_than_asked", "empty_prompts_skipped"]);
    }
}
