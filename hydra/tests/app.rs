//! The command line as a library: what goes beyond Hydra, and what a program can do with the steps.

#![expect(clippy::unwrap_used, reason = "a test cannot go on without its folder")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hydra_compose::RunMode;
use hydra_compose::app::{App, Arguments, Job, JobError, Request, Session};

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("conf/config.yaml", "defaults: [db: pg, _self_]\nlr: 1\nwhere: ${oc.env:WHERE,none}\n");
    write("conf/other.yaml", "b: 1\n");
    write("conf/db/pg.yaml", "host: h\n");
    write("conf/db/mysql.yaml", "host: m\n");
    folder
}

fn argv(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

/// Exit code, what was said, and the jobs that ran.
fn run(app: &App<'_>, line: &str, fails: impl Fn(&Job) -> bool) -> (u8, String, Vec<String>) {
    let (mut out, mut err, mut ran) = (Vec::new(), Vec::new(), Vec::new());
    let code = app.run(&argv(line), &mut out, &mut err, &mut |job, out| {
        ran.push(job.overrides.join(" "));
        writeln!(out, "job {}", job.name).map_err(|error| JobError::new(error.to_string()))?;
        if fails(job) { Err(JobError::new("it fails")) } else { Ok(()) }
    });
    let said = String::from_utf8(out).unwrap() + &String::from_utf8(err).unwrap();
    (code, said, ran)
}

const SWEEP: &str = "-cd conf -cn config -m lr=1,2,3 hydra.sweep.dir=s";

#[test]
fn a_failed_job_ends_a_sweep_only_where_that_is_wanted() {
    let folder = folder();
    let app = || App::new("app").in_dir(folder.path());
    let second = |job: &Job| job.num == Some(1);
    let (code, said, ran) = run(&app(), SWEEP, second);
    assert_eq!((code, ran.len()), (1, 3), "{said}");
    assert!(said.contains("Error executing job with overrides: ['lr=2']\nit fails"), "{said}");
    let (code, _, ran) = run(&app().fail_fast(true), SWEEP, second);
    assert_eq!((code, ran), (1, vec!["lr=1".to_owned(), "lr=2".to_owned()]));
}

#[test]
fn a_sweep_goes_on_where_it_ended() {
    let folder = folder();
    let done = folder.path().join("s/0/done");
    let app =
        App::new("app").in_dir(folder.path()).resume(|job| job.output_dir.join("done").exists());
    run(&app, SWEEP, |_| false);
    fs::write(done, "").unwrap();
    let (code, said, ran) = run(&app, SWEEP, |_| false);
    assert_eq!((code, ran), (0, vec!["lr=2".to_owned(), "lr=3".to_owned()]));
    assert!(said.contains("#0 : lr=1 (done before)"), "{said}");
}

#[test]
fn a_job_runs_again_from_its_files() {
    let folder = folder();
    let app = App::new("app").in_dir(folder.path());
    run(&app, "-cd conf -cn config lr=7 hydra.run.dir=r hydra.job.name=j", |_| false);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let line = argv("--experimental-rerun r/.hydra/config.yaml");
    let code = app.run(&line, &mut out, &mut err, &mut |job, _| {
        assert_eq!(job.config.at("lr").unwrap().value, hydra_compose::Value::Int(7));
        assert_eq!((job.name.as_str(), &job.overrides[..]), ("j", &["lr=7".to_owned()][..]));
        assert_eq!(job.output_dir, folder.path().join("r"));
        Ok(())
    });
    assert_eq!(code, 0, "{}", String::from_utf8_lossy(&err));
    let (code, said, _) = run(&app, "--experimental-rerun nope", |_| false);
    assert_eq!((code, said.contains("File nope does not exist!")), (1, true));
    fs::write(folder.path().join("config.pickle"), [0x80, 4, 0xff]).unwrap();
    let (code, said, _) = run(&app, "--experimental-rerun config.pickle", |_| false);
    assert_eq!((code, said.contains("Python pickle")), (1, true), "{said}");
}

#[test]
fn variables_of_a_job_are_told_and_not_set() {
    let folder = folder();
    let environment = BTreeMap::from([("WHERE".to_owned(), "outside".to_owned())]);
    let app = App::new("app").with_environment(&environment).in_dir(folder.path());
    let mut seen = Vec::new();
    for line in ["-cd conf -cn config", "-cd conf -cn config +hydra.job.env_set.WHERE=inside"] {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        app.run(&argv(line), &mut out, &mut err, &mut |job, _| {
            let config = job.resolved(&environment).unwrap();
            seen.push(config.at("where").unwrap().as_str().unwrap().to_owned());
            Ok(())
        });
    }
    assert_eq!(seen, ["outside", "inside"]);
    assert!(std::env::var("WHERE").is_err());
}

#[test]
fn a_secret_does_not_show_in_what_is_said() {
    let folder = folder();
    let app = App::new("app").in_dir(folder.path());
    let mut shown = String::new();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let line = argv("-cd conf -cn config -m +api_key=sk-1,sk-2 +hydra.job.env_set.HF_TOKEN=hf-1");
    app.run(&line, &mut out, &mut err, &mut |job, _| {
        shown.push_str(&format!("{job:?}"));
        Err(JobError::new("no"))
    });
    let said = shown + &String::from_utf8_lossy(&out) + &String::from_utf8_lossy(&err);
    assert!(!said.contains("sk-") && !said.contains("hf-1"), "{said}");
    assert!(said.contains("+api_key=***"), "{said}");
}

#[test]
fn the_steps_can_be_taken_one_by_one() {
    let folder = folder();
    let app = App::new("app").in_dir(folder.path());
    let Request::Arguments(arguments) = Arguments::parse(&argv(SWEEP)).unwrap() else {
        panic!("no version was asked for")
    };
    let session = Session::open(&app, &arguments).unwrap();
    let mode = session.mode(arguments.multirun);
    assert_eq!(mode.run_mode, RunMode::MultiRun);
    let plan = session.sweep(session.compose_for(&mode).unwrap()).unwrap();
    assert_eq!((plan.len(), plan.dir.as_path()), (3, folder.path().join("s").as_path()));
    let job = session.job_of(&plan, &plan.batches[0][2], 2).unwrap();
    assert!(!plan.dir.exists(), "nothing is written before it is asked for");
    job.create(session.environment()).unwrap();
    let written = fs::read_to_string(job.hydra_dir.unwrap().join("overrides.yaml")).unwrap();
    assert_eq!(written, "- lr=3\n");
}

#[test]
fn flags_and_their_values_are_completed() {
    let folder = folder();
    let app = App::new("app").in_dir(folder.path());
    let complete = |line: &str| app.complete(&format!("app {line}"));
    assert_eq!(complete("--config-"), ["--config-dir", "--config-name", "--config-path"]);
    assert_eq!(complete("--cfg "), ["all", "hydra", "job"]);
    assert_eq!(complete("--info def"), ["defaults", "defaults-tree"]);
    assert_eq!(complete("--config-dir co"), ["conf"]);
    assert_eq!(complete("-cd conf -cn "), ["config", "other"]);
    assert_eq!(complete("-cd conf -cn config db=m"), ["db=mysql"]);
    assert_eq!(complete("-cd conf -cn config ++db."), ["++db.host="]);
    assert_eq!(complete("-cd nowhere -cn config d"), [""; 0]);
    assert_eq!(complete("--nope d"), [""; 0]);
}

#[test]
fn the_shell_is_answered_with_its_separator() {
    let folder = folder();
    let line = "app -cd conf -cn config db=".to_owned();
    let environment = BTreeMap::from([("COMP_LINE".to_owned(), line)]);
    let app = App::new("app").with_environment(&environment).in_dir(folder.path());
    let (code, said, _) = run(&app, "-sc query=bash", |_| false);
    assert_eq!((code, said.as_str()), (0, "db=mysql db=pg\n"));
    let (_, said, _) = run(&app, "-sc query=fish", |_| false);
    assert_eq!(said, "db=mysql\ndb=pg\n");
    let (code, said, _) = run(&app, "-sc install=zsh", |_| false);
    assert_eq!((code, said.contains("bashcompinit")), (0, true));
}

#[test]
fn a_mistake_is_told_with_its_place_and_nothing_is_written() {
    let folder = folder();
    let app = App::new("app").in_dir(folder.path());
    let (code, said, ran) = run(&app, "-cd conf -cn config lrr=1 hsot=2", |_| false);
    assert_eq!((code, ran.len()), (1, 0));
    assert!(said.contains("lrr") && said.contains("hsot"), "all at once: {said}");
    let (code, said, _) = run(&app, "--cofnig-dir conf", |_| false);
    assert_eq!((code, said.contains("usage: app")), (2, true));
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "only the configurations are there");
    assert!(Path::new(&folder.path().join("conf")).exists());
}
