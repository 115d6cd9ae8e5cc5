//! Datasets on this machine, from the name in the config to the prompts.

use std::fs;
use std::path::Path;

use ai_energy_benchmarks::config::component::scenario::ScenarioConfig;
use ai_energy_benchmarks::dataset::hub::HubEnv;
use ai_energy_benchmarks::dataset::{DatasetError, Loaded, formats, load};
use ai_energy_benchmarks::prompt::Prompt;

/// No network and no cache.
pub(crate) fn nowhere() -> HubEnv {
    HubEnv {
        endpoint: "http://127.0.0.1:9".to_owned(),
        token: None,
        offline: true,
        datasets_offline: false,
        cache: "/nonexistent/hub".into(),
    }
}

pub(crate) fn scenario(name: impl Into<String>) -> ScenarioConfig {
    ScenarioConfig { dataset_name: name.into(), ..ScenarioConfig::default() }
}

fn local(scenario: &ScenarioConfig) -> Result<Loaded, DatasetError> {
    load(scenario, &formats(), &nowhere())
}

fn in_folder(folder: &Path, file: &str) -> ScenarioConfig {
    scenario(folder.join(file).to_string_lossy())
}

fn write(folder: &Path, file: &str, text: &str) {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder for the test");
    fs::write(path, text).expect("a file for the test");
}

pub(crate) fn texts(loaded: &Loaded) -> Vec<String> {
    loaded.samples.iter().map(|sample| sample.prompt.text()).collect()
}

fn codes(loaded: &Loaded) -> Vec<&str> {
    loaded.warnings.iter().map(|warning| warning.code.as_str()).collect()
}

#[test]
fn the_builtin_set_needs_nothing() {
    let loaded = local(&scenario("builtin")).unwrap();
    assert_eq!((loaded.samples.len(), loaded.info.rows, loaded.info.used), (50, 50, 50));
    assert_eq!(loaded.info.origin, "built in");
    assert_eq!(loaded.samples[0].id, "builtin:1");
    assert_eq!(loaded.info.files["builtin"].len(), 64);
    let ten = ScenarioConfig { num_samples: Some(10), ..scenario("builtin") };
    assert_eq!(local(&ten).unwrap().samples[..], loaded.samples[..10]);
}

#[test]
fn every_format_yields_the_same_prompts() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(at, "a.jsonl", "{\"text\":\"x\"}\n{\"text\":\"y z\"}\n");
    write(at, "a.ndjson", "{\"text\":\"x\"}\n{\"text\":\"y z\"}");
    write(at, "a.json", "[{\"text\":\"x\"},{\"text\":\"y z\"}]");
    write(at, "a.csv", "n,text\n1,x\n2,y z\n");
    write(at, "a.tsv", "n\ttext\n1\tx\n2\ty z\n");
    write(at, "a.TXT", "x\ny z\n");
    for file in ["a.jsonl", "a.ndjson", "a.json", "a.csv", "a.tsv", "a.TXT"] {
        let loaded = local(&in_folder(at, file)).unwrap();
        assert_eq!(texts(&loaded), ["x", "y z"], "{file}");
        assert_eq!(loaded.info.origin, "local file");
        assert_eq!((loaded.info.rows, loaded.info.used), (2, 2), "{file}");
        assert_eq!(loaded.warnings, [], "{file}");
        assert_eq!(loaded.samples[0].id, format!("{file}:1"));
    }
}

#[test]
fn the_record_names_each_file_by_its_sha256() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "p.txt", "abc");
    let loaded = local(&in_folder(folder.path(), "p.txt")).unwrap();
    let want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(loaded.info.files["p.txt"], want);
    assert_eq!(loaded.info.revision, None);
}

#[test]
fn empty_rows_go_first_and_too_few_rows_are_told() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "p.jsonl",
        "{\"text\":\"\"}\n{\"text\":\"a\"}\n{\"text\":null}\n{\"text\":\"b\"}\n{\"text\":\"c\"}\n",
    );
    let mut scenario = in_folder(folder.path(), "p.jsonl");
    scenario.num_samples = Some(2);
    let two = local(&scenario).unwrap();
    assert_eq!(texts(&two), ["a", "b"]);
    assert_eq!((two.info.rows, two.info.used), (5, 2));
    assert_eq!(codes(&two), ["empty_prompts_skipped"]);
    scenario.num_samples = Some(9);
    let all = local(&scenario).unwrap();
    assert_eq!(all.samples.len(), 3);
    assert_eq!(codes(&all), ["fewer_rows_than_asked", "empty_prompts_skipped"]);
    scenario.num_samples = Some(-1);
    assert_eq!(codes(&local(&scenario).unwrap()), ["empty_prompts_skipped"]);
    scenario.num_samples = Some(0);
    let problem = local(&scenario).unwrap_err().problem();
    assert_eq!(problem.place, "scenario.num_samples");
    assert_eq!(problem.hint.as_deref(), Some("a number from 1, or -1 for all"));
}

#[test]
fn conversations_are_prompts() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "c.jsonl",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"assistant\",\"content\":\"ho\"}]}\n",
    );
    let mut scenario = in_folder(folder.path(), "c.jsonl");
    scenario.text_column_name = "messages".to_owned();
    let loaded = local(&scenario).unwrap();
    assert!(matches!(&loaded.samples[0].prompt, Prompt::Chat(messages) if messages.len() == 2));
    assert_eq!(codes(&loaded), ["conversation_ends_with_answer"]);
}

#[test]
fn a_wrong_column_is_told_with_the_right_one() {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in [("p.jsonl", "{\"promt\":\"a\",\"n\":1}\n"), ("p.csv", "promt,n\na,1\n")] {
        write(folder.path(), file, text);
        let mut scenario = in_folder(folder.path(), file);
        scenario.text_column_name = "prompt".to_owned();
        let problem = local(&scenario).unwrap_err().problem();
        assert_eq!(problem.place, "scenario.text_column_name");
        assert_eq!(problem.message, format!("{file} has no column `prompt`; it has `promt`, `n`"));
        assert_eq!(problem.hint.as_deref(), Some("did you mean `promt`?"));
    }
}

#[test]
fn a_value_that_is_no_prompt_is_told_with_its_row() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "p.jsonl", "{\"text\":\"a\"}\n\n{\"text\":3}\n");
    let problem = local(&in_folder(folder.path(), "p.jsonl")).unwrap_err().problem();
    assert_eq!(problem.message, "p.jsonl row 3: column `text` holds a number, not a prompt");
}

#[test]
fn a_broken_row_beyond_the_wanted_ones_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "p.jsonl", "{\"text\":\"a\"}\n{oops\n");
    let mut scenario = in_folder(folder.path(), "p.jsonl");
    let error = local(&scenario).unwrap_err();
    assert!(error.to_string().starts_with("p.jsonl line 2, column 2:"), "{error}");
    scenario.num_samples = Some(1);
    assert_eq!(local(&scenario).unwrap().info.rows, 2);
}

#[test]
fn a_missing_file_is_told_with_its_neighbours() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "prompts.jsonl", "{}");
    write(folder.path(), "other.csv", "");
    write(folder.path(), "notes.md", "");
    let problem = local(&in_folder(folder.path(), "promts.jsonl")).unwrap_err().problem();
    assert!(problem.message.contains("promts.jsonl"), "{problem}");
    let hint = problem.hint.unwrap();
    assert_eq!(hint, "in that folder there are: prompts.jsonl, other.csv");
}

#[test]
fn what_looks_like_a_path_is_never_asked_of_the_hub() {
    for name in ["prompts.jsonl", "data/prompts.csv", "./x", "../x/y", "a/b/c", "folder/"] {
        let error = local(&scenario(name)).unwrap_err();
        assert!(matches!(error, DatasetError::NotFound { .. }), "{name}: {error}");
    }
    let error = local(&scenario("no such thing")).unwrap_err();
    assert!(matches!(error, DatasetError::BadName { .. }), "{error}");
}

#[test]
fn an_unknown_extension_lists_the_known_ones() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "p.xlsx", "");
    let problem = local(&in_folder(folder.path(), "p.xlsx")).unwrap_err().problem();
    assert_eq!(problem.message, "no reader knows files like p.xlsx");
    let hint = problem.hint.unwrap();
    assert_eq!(hint, "known extensions: csv, json, jsonl, ndjson, tsv, txt");
}

#[test]
fn a_folder_is_read_as_a_repository_is() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(at, "train.jsonl", "{\"text\":\"t\"}\n");
    write(at, "test.jsonl", "{\"text\":\"u\"}\n");
    let mut scenario = scenario(at.to_str().unwrap());
    let loaded = local(&scenario).unwrap();
    assert_eq!(texts(&loaded), ["t"]);
    assert_eq!(loaded.info.origin, "local folder");
    assert_eq!(loaded.info.files.keys().collect::<Vec<_>>(), ["train.jsonl"]);
    scenario.dataset_split = "test".to_owned();
    assert_eq!(texts(&local(&scenario).unwrap()), ["u"]);
    scenario.dataset_split = "validation".to_owned();
    let problem = local(&scenario).unwrap_err().problem();
    assert_eq!(problem.place, "scenario.dataset_split");
    assert!(problem.message.ends_with("there are: test, train"), "{problem}");
}

#[test]
fn a_readme_rules_its_folder_and_files_are_read_as_far_as_needed() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(at, "README.md", "---\nconfigs:\n- config_name: c\n  data_files: parts/*.csv\n---\n");
    write(at, "parts/1.csv", "text\na\nb\n");
    write(at, "parts/2.csv", "text\nc\n");
    write(at, "train.csv", "text\nwrong\n");
    let mut scenario = scenario(at.to_str().unwrap());
    let loaded = local(&scenario).unwrap();
    assert_eq!(texts(&loaded), ["a", "b", "c"]);
    assert_eq!(loaded.samples[2].id, "parts/2.csv:1");
    assert_eq!(loaded.info.rows, 3);
    scenario.num_samples = Some(2);
    let loaded = local(&scenario).unwrap();
    assert_eq!(loaded.info.files.keys().collect::<Vec<_>>(), ["parts/1.csv"]);
    assert_eq!(loaded.info.rows, 2);
}

#[test]
fn a_folder_that_lacks_a_shard_says_so() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "train-00000-of-00002.jsonl", "{\"text\":\"t\"}\n");
    let loaded = local(&scenario(folder.path().to_str().unwrap())).unwrap();
    assert_eq!(codes(&loaded), ["shards_missing"]);
    assert!(loaded.warnings[0].message.contains("train-00001-of-00002.jsonl"));
}

#[test]
fn settings_that_mean_nothing_for_a_file_are_told() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "p.txt", "a\n");
    let mut scenario = in_folder(folder.path(), "p.txt");
    scenario.dataset_revision = Some("v1".to_owned());
    scenario.dataset_config = Some("en".to_owned());
    assert_eq!(codes(&local(&scenario).unwrap()), ["setting_without_effect"; 2]);
}

#[test]
fn no_prompt_at_all_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "p.txt", "\n\n");
    let problem = local(&in_folder(folder.path(), "p.txt")).unwrap_err().problem();
    assert!(
        problem.message.ends_with("has no prompts: 2 rows, none with text in `text`"),
        "{problem}"
    );
}
