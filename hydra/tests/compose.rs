//! Composition of folders of files: what the vectors do not show, places and limits above all.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::collections::BTreeMap;
use std::path::Path;

use hydra_compose::{
    Composed, ConfigStore, ErrorKind, Errors, Loader, Node, RunMode, Schema, SearchPath, Type,
    Value, WarningKind,
};
use tempfile::TempDir;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    folder
}

fn loader(at: &Path) -> Loader<'static> {
    Loader::new(SearchPath::new().with_folder("main", at), ConfigStore::new())
}

fn compose_in(at: &Path, overrides: &[&str], mode: RunMode) -> Result<Composed, Errors> {
    let overrides: Vec<_> = overrides.iter().map(|&text| text.to_owned()).collect();
    loader(at).compose(Some("config"), &overrides, mode)
}

fn compose(files: &[(&str, &str)], overrides: &[&str]) -> Result<Composed, Errors> {
    compose_in(folder(files).path(), overrides, RunMode::Run)
}

fn told(files: &[(&str, &str)], overrides: &[&str]) -> String {
    compose(files, overrides).unwrap_err().to_string()
}

fn value(composed: &Composed, path: &str) -> Value {
    composed.config.at(path).unwrap_or_else(|| panic!("no {path}")).value.clone()
}

const MYSQL: (&str, &str) = ("db/mysql.yaml", "driver: mysql\n");
const PG: (&str, &str) = ("db/pg.yaml", "driver: pg\n");

#[test]
fn an_error_of_a_defaults_list_shows_its_entry_and_a_near_option() {
    let config = "a: 1\ndefaults:\n  - _self_\n  - db: mysq\n";
    let text = told(&[("config.yaml", config), MYSQL, PG], &[]);
    assert!(text.starts_with("In 'config': Could not find 'db/mysq'\n"), "{text}");
    assert!(text.contains("Available options in 'db':\n\tmysql\n\tpg\n"), "{text}");
    assert!(text.contains("config.yaml:4:5\n  4 |   - db: mysq\n"), "{text}");
    assert!(text.ends_with("hint: did you mean `mysql`?"), "{text}");
}

#[test]
fn an_option_chosen_on_the_command_line_is_told_at_its_override() {
    let text = told(&[("config.yaml", "defaults:\n  - db: mysql\n"), MYSQL], &["db=oracle"]);
    assert!(text.contains("at command line override `db=oracle`"), "{text}");
}

#[test]
fn a_malformed_file_anywhere_in_the_tree_is_told_at_its_place() {
    let files = [("config.yaml", "defaults:\n  - db: mysql\n"), ("db/mysql.yaml", "a: [1\nb: 2\n")];
    let text = told(&files, &[]);
    assert!(text.contains("db/mysql.yaml:"), "{text}");
}

#[test]
fn values_that_do_not_fit_on_each_other_name_the_file_and_the_line() {
    let files = [
        ("config.yaml", "defaults:\n  - a\n  - b\n"),
        ("a.yaml", "m: {x: 1}\n"),
        ("b.yaml", "n: 1\nm: [1]\n"),
    ];
    let text = told(&files, &[]);
    assert!(text.starts_with("In 'b': ConfigTypeError raised while composing config:\n"), "{text}");
    assert!(text.contains("b.yaml:2:"), "{text}");
}

#[test]
fn all_wrong_overrides_are_told_at_once() {
    let errors =
        compose(&[("config.yaml", "a: 1\n")], &["nope=1", "a=2", "~gone", "+a=3"]).unwrap_err();
    assert_eq!(errors.iter().count(), 3, "{errors}");
    let errors = compose(&[("config.yaml", "a: 1\n"), MYSQL], &["db=1", "++db=x"]).unwrap_err();
    assert_eq!(errors.iter().count(), 2, "{errors}");
}

#[test]
fn files_that_include_one_another_end_with_an_error() {
    for files in [
        vec![("config.yaml", "defaults:\n  - config\n")],
        vec![
            ("config.yaml", "defaults:\n  - a\n"),
            ("a.yaml", "defaults:\n  - b\n  - b\n"),
            ("b.yaml", "defaults:\n  - a\n  - a\n"),
        ],
    ] {
        let errors = compose(&files, &[]).unwrap_err();
        assert!(matches!(errors.first().kind(), ErrorKind::Limit(_)), "{errors}");
        assert!(errors.to_string().contains("config -> "), "{errors}");
    }
}

#[test]
fn a_tree_that_grows_without_end_ends_with_an_error() {
    let mut files: Vec<(String, String)> = (0..40)
        .map(|level| {
            let below = format!("c{}", level + 1);
            (format!("c{level}.yaml"), format!("defaults:\n  - {below}\n  - {below}\n"))
        })
        .collect();
    files.push(("c40.yaml".into(), "a: 1\n".into()));
    files.push(("config.yaml".into(), "defaults:\n  - c0\n".into()));
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let errors = compose(&files, &[]).unwrap_err();
    assert!(matches!(errors.first().kind(), ErrorKind::Limit(_)), "{errors}");
}

#[test]
fn an_option_may_stay_open_only_for_a_sweep() {
    let at = folder(&[("config.yaml", "defaults:\n  - db: ???\na: 1\n"), MYSQL]);
    let errors = compose_in(at.path(), &[], RunMode::Run).unwrap_err();
    assert!(errors.first().message().starts_with("You must specify 'db', e.g, db=<OPTION>"));
    let composed = compose_in(at.path(), &["db=mysql,pg"], RunMode::MultiRun).unwrap();
    assert_eq!(value(&composed, "a"), Value::Int(1));
    assert!(composed.config.at("db").is_none());
    let errors = compose_in(at.path(), &["hydra.verbose=true,false"], RunMode::MultiRun);
    assert!(errors.unwrap_err().first().message().starts_with("Sweeping over Hydra's"));
}

#[test]
fn the_list_and_the_tree_tell_what_was_merged_and_why() {
    let config = "defaults:\n  - db@src: mysql\n  - _self_\na: 1\n";
    let composed = compose(&[("config.yaml", config), MYSQL], &[]).unwrap();
    let rows: Vec<_> = composed
        .defaults
        .iter()
        .filter(|entry| !entry.config_path.starts_with("hydra/"))
        .map(|entry| {
            (entry.config_path.as_str(), entry.package.as_str(), entry.is_self, entry.primary)
        })
        .collect();
    assert_eq!(rows, [("db/mysql", "src", false, false), ("config", "", true, true)]);
    let config = &composed.tree.children()[1];
    assert_eq!((composed.tree.label().as_str(), config.label().as_str()), ("<root>", "config"));
    let labels: Vec<_> = config.children().iter().map(hydra_compose::DefaultsTree::label).collect();
    assert_eq!(labels, ["db@src: mysql", "_self_"]);
    assert_eq!(composed.config.span_of("src.driver").unwrap().span().unwrap().1.start.line, 1);
}

#[test]
fn hydras_own_configuration_has_its_order_and_what_it_tells_about_the_run() {
    let at = folder(&[("config.yaml", "defaults:\n  - db: mysql\n  - _self_\na: 1\n"), MYSQL, PG]);
    let overrides = ["db=pg".to_owned(), "a=2".to_owned(), "hydra.verbose=true".to_owned()];
    let composed = loader(at.path())
        .with_job_name("job")
        .with_cwd("/somewhere")
        .compose(Some("config"), &overrides, RunMode::Run)
        .unwrap();
    let hydra = composed.hydra().unwrap();
    let keys: Vec<_> = hydra.as_map().unwrap().text_keys().collect();
    let wanted = "run sweep launcher sweeper help hydra_help hydra_logging job_logging env mode \
                  searchpath callbacks output_subdir overrides job runtime verbose";
    assert_eq!(keys.join(" "), wanted);
    let text = |path: &str| hydra.at(path).and_then(Node::as_str).unwrap_or_default().to_owned();
    assert_eq!(text("job.name"), "job");
    assert_eq!(text("job.override_dirname"), "a=2,db=pg");
    assert_eq!(text("overrides.hydra[0]"), "hydra.verbose=true");
    assert_eq!(text("runtime.cwd"), "/somewhere");
    assert_eq!(text("runtime.choices.db"), "pg");
    assert_eq!(text("runtime.config_sources[1].provider"), "main");
    assert_eq!(text("runtime.config_sources[2].schema"), "structured");
    assert!(composed.job().at("hydra").is_none());
}

#[test]
fn a_stored_schema_checks_a_file_of_its_name_and_warns() {
    let schema = Schema::new("Db").field("port", Type::Int, Value::Int(1)).into_node().unwrap();
    let mut store = ConfigStore::new();
    store.store("db", "mysql", schema, None, "test");
    let config = ("config.yaml", "defaults:\n  - db: mysql\n");
    let compose = |port: &str| {
        let at = folder(&[config, ("db/mysql.yaml", port)]);
        let path = SearchPath::new().with_folder("main", at.path());
        Loader::new(path, store.clone()).compose(Some("config"), &[], RunMode::Run)
    };
    let composed = compose("port: '7'\n").unwrap();
    assert_eq!(value(&composed, "db.port"), Value::Int(7));
    assert_eq!(composed.warnings[0].kind, WarningKind::SchemaMatch);
    let errors = compose("port: x\n").unwrap_err();
    assert!(errors.to_string().contains("Error merging 'db/mysql' with schema"), "{errors}");
    assert!(errors.to_string().contains("db/mysql.yaml:1:7"), "{errors}");
    let errors = compose("prot: 1\n").unwrap_err();
    assert!(errors.to_string().contains("did you mean `port`?"), "{errors}");
}

#[test]
fn copied_variables_come_from_the_given_environment_and_all_that_lack_are_told() {
    let config = "hydra: {job: {env_copy: [A, B, C]}}\n";
    let at = folder(&[("config.yaml", config)]);
    let some = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
    let errors = loader(at.path())
        .with_environment(&some)
        .compose(Some("config"), &[], RunMode::Run)
        .unwrap_err();
    assert_eq!(errors.iter().count(), 2, "{errors}");
}

#[test]
fn one_moment_and_one_configuration_for_all_that_is_resolved() {
    let config = "a: ${now:%f}\nb: ${hydra:job.name}\nhydra: {run: {dir: 'x/${now:%f}'}}\n";
    let composed = compose(&[("config.yaml", config)], &["hydra.job.name=n"]).unwrap();
    let environment = BTreeMap::new();
    let job = composed.interpolator(&environment).resolve(&composed.job()).unwrap();
    let dir = composed.interpolator(&environment).resolve_at(&composed.config, "hydra.run.dir");
    let dir = dir.unwrap().unwrap();
    let text = |node: &Node| node.as_str().unwrap().to_owned();
    assert_eq!(text(job.at("b").unwrap()), "n");
    assert_eq!(text(&dir), format!("x/{}", text(job.at("a").unwrap())));
}

#[test]
fn a_place_that_does_not_exist_is_a_warning_and_the_programs_own_an_error() {
    let composed =
        compose(&[("config.yaml", "a: 1\n")], &["hydra.searchpath=[file:///nowhere]"]).unwrap();
    assert_eq!(composed.warnings[0].kind, WarningKind::UnavailablePlace);
    let errors = compose_in(Path::new("/nowhere/at/all"), &[], RunMode::Run).unwrap_err();
    assert!(errors.first().message().starts_with("Primary config directory not found."));
}

#[test]
fn one_file_may_be_named_by_many() {
    let mut files = vec![("config.yaml".to_owned(), String::from("defaults:\n"))];
    for at in 0..12 {
        files[0].1.push_str(&format!("  - g{at}: o\n"));
        files.push((format!("g{at}/o.yaml"), format!("defaults:\n  - /base\nv: {at}\n")));
    }
    files.push(("base.yaml".into(), "b: 1\n".into()));
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let composed = compose(&files, &[]).unwrap();
    assert_eq!(value(&composed, "g11.v"), Value::Int(11));
    assert_eq!(composed.defaults.iter().filter(|entry| entry.config_path == "base").count(), 12);
}
