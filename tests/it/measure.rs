//! Commands under the meters: sensors of a fixture machine, real child processes.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ai_energy_benchmarks::analysis::{self, CommandFindings};
use ai_energy_benchmarks::clock;
use ai_energy_benchmarks::config::component::meter::Meters;
use ai_energy_benchmarks::config::component::metrics::{MetricsConfig, Scope};
use ai_energy_benchmarks::config::{self, Environment};
use ai_energy_benchmarks::meter;
use ai_energy_benchmarks::record::{
    CommandInfo, Component, Event, EventRecord, Phase, RunRecords, Source, StopReason, Whose, files,
};
use ai_energy_benchmarks::report;
use ai_energy_benchmarks::run::{
    self, CommandEnd, CommandError, CommandJob, CommandOptions, Folder, Output, Silent,
};
use ai_energy_benchmarks::units::Seconds;
use ai_energy_benchmarks_testkit::fixtures::Machine;

/// The real `/proc`, so that the processor time of children is real, and the given power of memory: 10 W, measured by nobody.
fn metrics() -> MetricsConfig {
    let nowhere = "/nonexistent".to_owned();
    MetricsConfig {
        gpu: false,
        ram_power_w: Some(10.0),
        cpu_tdp_w: Some(65.0),
        sysfs_root: nowhere,
        ..MetricsConfig::default()
    }
}

fn info(argv: &[&str]) -> CommandInfo {
    CommandInfo {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        shell: None,
        prepare: None,
        runs: 1,
        warmup: 0,
        idle_s: Seconds(0.0),
        label: "test".to_owned(),
        ignore_failure: false,
    }
}

fn job(info: CommandInfo) -> CommandJob {
    CommandJob {
        info,
        output: Output::Null,
        input: None,
        metrics: metrics(),
        device_ids: None,
        meters: Meters::default(),
    }
}

fn measure(folder: &Path, job: &CommandJob) -> Result<CommandEnd, CommandError> {
    let options = CommandOptions {
        folder: Folder::New(folder.join("run")),
        observer: Arc::new(Silent),
        git_commit: None,
    };
    run::measure(job, &meter::entries(), &Environment::default(), &options)
}

fn findings(folder: &Path) -> CommandFindings {
    analysis::analyse_command(&RunRecords::read(folder).unwrap()).unwrap()
}

#[test]
fn every_run_has_its_time_its_processor_time_and_its_energy() {
    let folder = tempfile::tempdir().unwrap();
    let job = job(CommandInfo {
        runs: 3,
        warmup: 1,
        idle_s: Seconds(0.3),
        ..info(&["sh", "-c", "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; sleep 0.2"])
    });
    let end = measure(folder.path(), &job).unwrap();
    assert!(end.problem.is_none() && end.stopped.is_none(), "{end:?}");
    let found = findings(&end.folder);
    assert!(found.complete, "{found:?}");
    assert_eq!((found.runs.len(), found.warmups, found.summary.runs), (3, 1, 3));
    for run in &found.runs {
        let seconds = run.duration.value.unwrap();
        assert!(seconds >= 0.2, "{seconds}");
        assert!(run.user.value.unwrap() > 0.0 && run.max_rss.value.unwrap() > 1e5);
        let part = |component| run.energy.components.iter().find(|p| p.component == component);
        let ram = &part(Component::Ram).unwrap().account;
        // The model's power is constant: its energy is exactly that times the run's time.
        let expected = 10.0 * seconds;
        assert!((ram.gross.value.unwrap() - expected).abs() < 1e-6 * expected, "{ram:?}");
        assert!(ram.net.value.unwrap().abs() < 1e-3 * expected, "{ram:?}");
        assert_eq!(ram.gross.source.unwrap().max(Source::Modelled), ram.gross.source.unwrap());
        let share = run.cpu_share.as_ref().unwrap();
        let cpu = part(Component::Cpu).unwrap().account.gross.value.unwrap();
        let (own, all) = (share.cpu_time.value.unwrap(), share.machine_cpu_time.value.unwrap());
        let expected = cpu * own / all.max(own);
        assert!((share.energy.value.unwrap() - expected).abs() < 1e-9 * cpu, "{share:?}");
        assert_eq!(share.counted, Whose::Machine);
    }
    let wall = &found.summary.duration;
    let [low, high] = wall.mean.interval_95.unwrap();
    assert!(low < wall.mean.value.unwrap() && wall.mean.value.unwrap() < high && wall.n == 3);
    let table = report::command::render(&found, &[]);
    for word in ["wall time, s", "Boundary", "by processor time", "net J"] {
        assert!(table.contains(word), "{word}: {table}");
    }
    assert!(table.lines().all(|line| line.chars().count() <= 112), "{table}");
    let csv = String::from_utf8(report::command::render_csv(&found).unwrap()).unwrap();
    assert_eq!(csv.lines().count(), 4, "{csv}");
}

/// Counters that go on at a constant power, renewed in place as the kernel does, until dropped.
struct Running {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    /// Zones with their watts.
    #[expect(clippy::disallowed_methods, reason = "a test plays the kernel beside the meter")]
    fn start(zones: Vec<(PathBuf, f64)>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let began = clock::now();
            let files: Vec<(File, f64)> = zones
                .into_iter()
                .map(|(path, watts)| (File::options().write(true).open(path).unwrap(), watts))
                .collect();
            while !flag.load(Ordering::Relaxed) {
                let elapsed = clock::now().since(began).0;
                for (file, watts) in &files {
                    // Always as many digits: a reader never sees half a number.
                    let text = format!("{:09}\n", 100_000_000 + (watts * elapsed * 1e6) as u64);
                    file.write_all_at(text.as_bytes(), 0).unwrap();
                }
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(std::thread::JoinHandle::join));
    }
}

#[test]
fn measured_energy_comes_from_the_counters_of_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::dual_socket_with_dram();
    let zones = [
        ("intel-rapl:0", 60.0),
        ("intel-rapl:1", 24.0),
        ("intel-rapl:0:1", 7.0),
        ("intel-rapl:1:1", 3.0),
    ];
    let zones = zones.map(|(zone, watts)| (machine.counter(zone), watts));
    for (path, _) in &zones {
        fs::write(path, "100000000\n").unwrap();
    }
    let counting = Running::start(zones.into());
    let mut job = job(CommandInfo { runs: 2, ..info(&["sleep", "0.4"]) });
    job.metrics = MetricsConfig {
        gpu: false,
        sysfs_root: machine.root(),
        procfs_root: machine.root(),
        sample_period_s: 0.05,
        ..MetricsConfig::default()
    };
    let end = measure(folder.path(), &job).unwrap();
    drop(counting);
    let found = findings(&end.folder);
    for run in &found.runs {
        let seconds = run.duration.value.unwrap();
        for (component, watts) in [(Component::Cpu, 84.0), (Component::Ram, 10.0)] {
            let parts = &run.energy.components;
            let part = parts.iter().find(|part| part.component == component).unwrap();
            let gross = &part.account.gross;
            // The counters' thread may be held up on a busy machine.
            let near = |joules: f64| (joules / (watts * seconds) - 1.0).abs() < 0.1;
            assert!(gross.value.is_some_and(near), "{component:?} {seconds} {gross:?}");
            assert_eq!(gross.source, Some(Source::Measured));
        }
    }
    for word in ["package-0", "package-1", "all processes of the machine"] {
        assert!(found.boundary.contains(word), "{}", found.boundary);
    }
}

#[test]
fn the_commands_share_stands_for_the_cpu_where_the_scope_asks_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut job = job(CommandInfo { idle_s: Seconds(0.3), ..info(&["sleep", "0.3"]) });
    job.metrics.scope = Scope::Process;
    let end = measure(folder.path(), &job).unwrap();
    let found = findings(&end.folder);
    let run = &found.runs[0];
    let share = run.cpu_share.as_ref().unwrap();
    let cpu = run.energy.components.iter().find(|part| part.component == Component::Cpu).unwrap();
    let gross = cpu.account.gross.value.unwrap();
    assert!((gross - share.energy.value.unwrap()).abs() < 1e-12, "{cpu:?}");
    assert_eq!(share.counted, Whose::Process);
    assert!(found.boundary.contains("only the share"), "{}", found.boundary);
    // Sleeping takes next to nothing of what the machine used.
    assert!(
        share.share.value.unwrap() <= 1.0 && cpu.account.gross.source == Some(Source::Modelled)
    );
    job.metrics.scope = Scope::Cgroup;
    assert!(matches!(measure(folder.path(), &job), Err(CommandError::Asked(_))));
}

#[test]
fn a_failed_run_ends_the_measurement_with_its_code_and_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let failing = CommandInfo { runs: 3, ..info(&["sh", "-c", "exit 7"]) };
    let end = measure(folder.path(), &job(failing.clone())).unwrap();
    assert_eq!(end.stopped, Some(StopReason::CommandFailed));
    assert_eq!(end.last.unwrap().shell_code(), 7);
    let found = findings(&end.folder);
    assert!(!found.complete && found.runs.len() == 1);
    assert!(found.warnings.iter().any(|warning| warning.code == "command_failed"));
    let end =
        measure(folder.path(), &job(CommandInfo { ignore_failure: true, ..failing })).unwrap();
    let found = findings(&end.folder);
    assert!(found.complete && found.summary.runs == 3 && end.stopped.is_none(), "{found:?}");
}

#[test]
fn what_cannot_be_run_is_told_before_anything_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let missing = measure(folder.path(), &job(info(&["no-such-program-here"])));
    assert!(matches!(missing, Err(CommandError::NotFound(name)) if name == "no-such-program-here"));
    let mut wrong = job(CommandInfo { runs: 0, idle_s: Seconds(-1.0), ..info(&[]) });
    wrong.metrics.country_iso_code = Some("USA".to_owned());
    let Err(CommandError::Asked(problems)) = measure(folder.path(), &wrong) else {
        panic!("accepted")
    };
    assert_eq!(problems.0.len(), 3, "{problems:?}");
    assert!(!folder.path().join("run").exists());
}

#[test]
fn preparing_comes_before_every_run_and_stops_it_when_it_fails() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let line = format!("echo prepared >> {}", log.display());
    let command = format!("echo run >> {}", log.display());
    let prepared = CommandInfo {
        runs: 2,
        prepare: Some(line),
        shell: Some("sh".to_owned()),
        ..info(&[&command])
    };
    measure(folder.path(), &job(prepared.clone())).unwrap();
    assert_eq!(fs::read_to_string(&log).unwrap(), "prepared\nrun\nprepared\nrun\n");
    let failing = CommandInfo { prepare: Some("exit 3".to_owned()), ..prepared };
    let end = measure(folder.path(), &job(failing)).unwrap();
    assert_eq!(end.problem.unwrap().place, "--prepare");
    assert_eq!(fs::read_to_string(&log).unwrap().lines().count(), 4, "no further run");
}

#[test]
fn a_command_reads_its_input_from_the_beginning_in_every_run_and_writes_where_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    fs::write(&input, "line\n").unwrap();
    let mut job = job(CommandInfo { runs: 2, ..info(&["cat"]) });
    job.input = Some(input);
    job.output = Output::File(output.clone());
    measure(folder.path(), &job).unwrap();
    assert_eq!(fs::read_to_string(output).unwrap(), "line\nline\n");
}

#[test]
fn records_that_end_within_a_run_tell_what_was_read_until_then() {
    let folder = tempfile::tempdir().unwrap();
    let end =
        measure(folder.path(), &job(CommandInfo { runs: 2, ..info(&["sleep", "0.3"]) })).unwrap();
    // What a killed meter leaves: nothing after the second run's begin.
    let path = end.folder.join(files::EVENTS);
    let events = fs::read_to_string(&path).unwrap();
    let mut kept = Vec::new();
    let mut begins = 0;
    for line in events.lines() {
        kept.push(line);
        begins += usize::from(line.contains("phase_begin") && line.contains("measure"));
        if begins == 2 {
            break;
        }
    }
    fs::write(&path, kept.join("\n") + "\n").unwrap();
    let found = findings(&end.folder);
    assert!(!found.complete && found.runs.len() == 2, "{found:?}");
    assert!(found.runs[0].counted && !found.runs[1].counted && found.runs[1].exit.is_none());
    assert!(found.runs[1].duration.value.unwrap() > 0.2);
    assert!(report::command::render(&found, &[]).contains("INCOMPLETE"));
}

#[test]
fn the_phases_of_a_measurement_are_recorded_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let plan = CommandInfo { runs: 2, warmup: 1, idle_s: Seconds(0.1), ..info(&["true"]) };
    let end = measure(folder.path(), &job(plan)).unwrap();
    let records = RunRecords::read(&end.folder).unwrap();
    let begun: Vec<(Phase, Option<u32>)> = records
        .events
        .iter()
        .filter_map(|record| match record.event {
            Event::PhaseBegin { phase, repetition } => Some((phase, repetition)),
            _ => None,
        })
        .collect();
    assert_eq!(
        begun,
        [
            (Phase::IdleBefore, None),
            (Phase::Warmup, None),
            (Phase::Measure, Some(0)),
            (Phase::Measure, Some(1)),
            (Phase::IdleAfter, None)
        ]
    );
}

#[test]
fn a_further_meter_counts_for_a_command_and_is_in_its_manifest() {
    let script = r#"echo '{"sensors": [{"name": "rail", "quantity": "power", "component": "cpu"}]}'
        while sleep 0.05; do echo '{"sensor": "rail", "watts": 7.0}'; done"#;
    let meter = serde_json::json!({"type": "exec", "command": ["sh", "-c", script]});
    let folder = tempfile::tempdir().unwrap();
    let job = CommandJob {
        metrics: MetricsConfig { cpu: false, ..metrics() },
        meters: config::named_meters(&[meter.to_string()]).unwrap(),
        ..job(info(&["sleep", "1"]))
    };
    let end = measure(folder.path(), &job).unwrap();
    let records = RunRecords::read(&end.folder).unwrap();
    assert_eq!(records.manifest.config["meter"][0]["type"], "exec");
    let found = findings(&end.folder);
    let rail = found.sensors.iter().find(|sensor| sensor.info.name == "rail");
    assert!(rail.unwrap().info.counted);
    let parts = &found.runs[0].energy.components;
    let cpu = parts.iter().find(|part| part.component == Component::Cpu).unwrap();
    let joules = cpu.account.gross.value.unwrap();
    let lasted = found.runs[0].duration.value.unwrap();
    assert!((joules / lasted - 7.0).abs() < 0.01, "{joules} J in {lasted} s");
}

#[test]
fn periods_that_were_found_while_a_command_ran_are_those_of_its_sensors() {
    let folder = tempfile::tempdir().unwrap();
    let end = measure(folder.path(), &job(info(&["true"]))).unwrap();
    let mut records = RunRecords::read(&end.folder).unwrap();
    let name = records.manifest.sensors[0].name.clone();
    let found = Event::UpdatePeriod {
        sensor: name.clone(),
        period_s: Seconds(0.125),
        uncertainty_s: Seconds(0.001),
    };
    let at_ns = records.events[0].at_ns;
    records.events.push(EventRecord { at_ns, event: found });
    let findings = analysis::analyse_command(&records).unwrap();
    let sensor = findings.sensors.iter().find(|sensor| sensor.info.name == name).unwrap();
    assert_eq!(sensor.info.update_period_s, Some(Seconds(0.125)));
}
