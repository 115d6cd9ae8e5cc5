//! Meters that a config adds: programs and recordings.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ai_energy_benchmarks::clock;
use ai_energy_benchmarks::config::component::TextList;
use ai_energy_benchmarks::config::component::meter::{
    ExecConfig, MeterConfig, MetricChoice, PrometheusConfig, ReplayConfig,
};
use ai_energy_benchmarks::config::component::metrics::MetricsConfig;
use ai_energy_benchmarks::meter::{
    Inventory, Lender, OpenRequest, Sampler, exec, hwmon, open_all, prometheus, replay,
};
use ai_energy_benchmarks::record::{Component, Event, Quantity, SampleRecord};
use ai_energy_benchmarks::run::Lent;
use ai_energy_benchmarks::units::{Nanos, Seconds};
use ai_energy_benchmarks_testkit::fixtures::Machine;
use ai_energy_benchmarks_testkit::server::{ScriptedServer, Step, answer};
use tempfile::TempDir;

fn open(meters: &[MeterConfig]) -> Inventory {
    let metrics = MetricsConfig::default();
    let lender: Arc<dyn Lender> = Arc::new(Lent::default());
    let request = OpenRequest { extra: meters, lender: Some(lender), ..OpenRequest::of(&metrics) };
    open_all(&[exec::ENTRY, prometheus::ENTRY, replay::ENTRY], &request)
}

fn program(script: &str) -> MeterConfig {
    let command = ["sh", "-c", script].map(str::to_owned);
    MeterConfig::Exec(ExecConfig { command: TextList(command.into()), timeout_s: 10.0 })
}

/// Collects until a condition holds or ten seconds have passed.
fn collect(sampler: &mut Sampler, done: impl Fn(&[SampleRecord]) -> bool) -> Vec<SampleRecord> {
    let begun = clock::now();
    let mut samples = Vec::new();
    while !done(&samples) && clock::now().since(begun) < Seconds(10.0) {
        if sampler.next_due() <= clock::now() {
            sampler.poll(clock::now, &mut samples);
        }
        std::thread::yield_now();
    }
    samples
}

#[test]
fn a_program_is_read_until_it_ends_and_then_its_sensors_fail() {
    let inventory = open(&[program(
        r#"echo '{"sensors": [{"name": "wall", "quantity": "energy"}, {"name": "cpu", "quantity": "power", "component": "cpu"}]}'
           echo '{"sensor": "wall", "joules": 10}'
           echo 'noise'
           echo '{"sensor": "cpu", "watts": 5, "t_ns": 77}'
           echo '{"sensor": "cpu", "joules": 5}'
           echo 'out of paper' >&2; sleep 0.1"#,
    )]);
    assert!(inventory.problems.0.is_empty(), "{}", inventory.problems);
    let cpu = &inventory.sensors[1];
    assert_eq!((cpu.component, cpu.quantity, cpu.counted), (Component::Cpu, Quantity::Power, true));
    assert!(!inventory.sensors[0].counted, "a whole machine is not added to its parts");
    assert!(inventory.scope[1].counted, "{:?}", inventory.scope);
    let mut sampler = Sampler::new(inventory.meters);
    let samples = collect(&mut sampler, |samples| samples.iter().any(|s| s.error.is_some()));
    let values: Vec<_> = samples.iter().map(|s| (s.sensor, s.value)).collect();
    assert_eq!(values, [(0, Some(10.0)), (1, Some(5.0)), (0, None), (1, None)]);
    assert_eq!(samples[1].before_ns, Nanos(77), "by the program's own stamp");
    assert!(samples[2].error.as_deref().unwrap().contains("out of paper"), "{:?}", samples[2]);
    let told: Vec<String> = sampler
        .take_events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Warning { warning } => Some(warning.message),
            _ => None,
        })
        .collect();
    assert!(told[0].contains("noise") && told[1].contains("J where W"), "{told:?}");
    assert!(told[2].contains("is gone"), "{told:?}");
}

#[test]
fn a_program_ends_with_its_meter_and_what_it_started_too() {
    let folder = TempDir::new().unwrap();
    let pids = folder.path().join("pids");
    let script = format!(
        r#"sleep 1000 & echo "$! $$" > {0}
           echo '{{"sensors": [{{"name": "wall", "quantity": "power"}}]}}'; wait"#,
        pids.display()
    );
    let inventory = open(&[program(&script)]);
    let pids = fs::read_to_string(pids).unwrap();
    let alive = |pid: &str| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z")
    };
    assert!(pids.split_whitespace().all(alive), "{pids}");
    drop(inventory);
    let begun = clock::now();
    while pids.split_whitespace().any(alive) && clock::now().since(begun) < Seconds(10.0) {
        std::thread::yield_now();
    }
    assert!(!pids.split_whitespace().any(alive), "{pids}");
}

#[test]
fn a_program_that_does_not_describe_itself_is_refused_with_the_reason() {
    for (script, why) in [
        ("echo hello; sleep 5", "is no JSON"),
        ("echo broken pipe >&2; exit 3", "broken pipe"),
        (r#"echo '{"sensor": "a", "watts": 1}'"#, "is a reading"),
        (r#"echo '{"sensors": []}'"#, "describes no sensor"),
    ] {
        let inventory = open(&[program(script)]);
        let text = inventory.problems.to_string();
        assert!(text.contains(why) && text.contains("meter.command"), "{script}: {text}");
    }
    let missing = ExecConfig {
        command: TextList(vec!["/no/such/program".to_owned()]),
        ..ExecConfig::default()
    };
    assert!(open(&[MeterConfig::Exec(missing)]).problems.to_string().contains("does not start"));
    let silent = ExecConfig {
        command: TextList(["sleep", "60"].map(str::to_owned).into()),
        timeout_s: 0.05,
    };
    assert!(open(&[MeterConfig::Exec(silent)]).problems.to_string().contains("no line within"));
}

const TRACE: &str = "\
t_before_ns,t_after_ns,power_instant_mw,power_usage_mw,total_energy_mj,t_energy_ns
1000000000,1000100000,70000,69000,5000000,1003000000
1050000000,1050100000,71000,69000,,
1100000000,1100100000,72000,69000,5007000,1103000000
";

#[test]
fn a_recording_is_played_in_its_own_time_and_called_what_it_is() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("x_trace.csv");
    fs::write(&file, TRACE).unwrap();
    fs::write(
        folder.path().join("x_marks.json"),
        r#"{"gpu": "NVIDIA H100 80GB HBM3", "driver": "580", "marks": []}"#,
    )
    .unwrap();
    let replay = MeterConfig::Replay(ReplayConfig { file: file.display().to_string() });
    let inventory = open(&[replay]);
    assert!(inventory.problems.0.is_empty(), "{}", inventory.problems);
    assert_eq!(inventory.warnings[0].code, "replayed_readings");
    let counter = &inventory.sensors[0];
    assert_eq!((counter.name.as_str(), counter.counted), ("gpu0.energy", true));
    assert_eq!(counter.systematic_relative, Some(0.05), "the bound of an H100's sensor");
    let mut sampler = Sampler::new(inventory.meters);
    let ms = 1_000_000;
    let mut samples = Vec::new();
    sampler.poll(|| Nanos(500 * ms), &mut samples);
    assert!(samples.is_empty(), "the recording begins now");
    for now in [510, 610, 710] {
        sampler.set_edge(true);
        sampler.poll(|| Nanos(now * ms), &mut samples);
    }
    let of = |sensor: u16| -> Vec<(u64, Option<f64>)> {
        let of = samples.iter().filter(|s| s.sensor == sensor);
        of.map(|s| (s.after_ns.0 / ms, s.value)).collect()
    };
    assert_eq!(of(0), [(503, Some(5000.0)), (603, Some(5007.0)), (610, None)]);
    assert_eq!(of(1), [(500, Some(70.0)), (550, Some(71.0)), (600, Some(72.0)), (610, None)]);
}

#[test]
fn what_is_no_recording_is_told() {
    for file in ["/no/such/file.csv", "/"] {
        let replay = MeterConfig::Replay(ReplayConfig { file: file.to_owned() });
        let text = open(&[replay]).problems.to_string();
        assert!(text.contains("meter.file"), "{text}");
    }
}

fn page(url: String) -> PrometheusConfig {
    PrometheusConfig { url, period_s: 0.05, timeout_s: 5.0, ..PrometheusConfig::default() }
}

fn served(body: impl Fn(usize) -> String + Send + Sync + 'static) -> ScriptedServer {
    let count = AtomicUsize::new(0);
    ScriptedServer::start(move |_| {
        let body = body(count.fetch_add(1, Ordering::SeqCst));
        vec![Step::Send(answer("200 OK", "text/plain", body.as_bytes())), Step::Close]
    })
}

#[test]
fn the_page_of_dcgm_exporter_gives_energy_and_power_of_every_gpu() {
    let server = served(|look| {
        let mj = 5_000_000 + 1000 * look;
        format!(
            "# TYPE DCGM_FI_DEV_POWER_USAGE gauge\n\
             DCGM_FI_DEV_POWER_USAGE{{gpu=\"0\",UUID=\"GPU-1\",modelName=\"NVIDIA H100 80GB HBM3\"}} 70.5\n\
             DCGM_FI_DEV_POWER_USAGE{{gpu=\"1\",UUID=\"GPU-2\",modelName=\"NVIDIA H100 80GB HBM3\"}} 71\n\
             DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{gpu=\"0\",UUID=\"GPU-1\",modelName=\"NVIDIA H100 80GB HBM3\"}} {mj}\n\
             DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{gpu=\"1\",UUID=\"GPU-2\",modelName=\"NVIDIA H100 80GB HBM3\"}} 9000\n"
        )
    });
    let config =
        PrometheusConfig { host: Some("node7".to_owned()), ..page(server.url() + "/metrics") };
    let inventory = open(&[MeterConfig::Prometheus(config)]);
    assert!(inventory.problems.0.is_empty(), "{}", inventory.problems);
    let names: Vec<&str> = inventory.sensors.iter().map(|sensor| sensor.name.as_str()).collect();
    assert_eq!(
        names,
        ["node7.gpu0.energy", "node7.gpu1.energy", "node7.gpu0.power", "node7.gpu1.power"]
    );
    let counted: Vec<bool> = inventory.sensors.iter().map(|sensor| sensor.counted).collect();
    assert_eq!(counted, [true, true, false, false]);
    assert!(inventory.sensors.iter().all(|sensor| sensor.host.as_deref() == Some("node7")));
    assert_eq!(inventory.sensors[0].systematic_relative, Some(0.05));
    let mut sampler = Sampler::new(inventory.meters);
    let samples = collect(&mut sampler, |samples| samples.len() >= 12);
    let energy: Vec<f64> =
        samples.iter().filter(|s| s.sensor == 0).filter_map(|s| s.value).collect();
    assert!((energy[0] - 5000.0).abs() < 1e-9, "millijoules become joules: {energy:?}");
    assert!((energy[2] - energy[0] - 2.0).abs() < 1e-9, "each look is a reading: {energy:?}");
    assert!(samples.iter().all(|s| s.after_ns > s.before_ns), "stamped on both sides");
}

#[test]
fn any_metric_and_any_place_in_json_can_be_named_with_its_unit() {
    let server = served(|_| r#"{"energy": {"total_wh": 2.5}, "other": 1}"#.to_owned());
    let choice = |text: &str| serde_json::from_str::<MetricChoice>(text).unwrap();
    let json = PrometheusConfig {
        metrics: vec![choice(r#"{"pointer": "/energy/total_wh", "unit": "Wh"}"#)],
        ..page(server.url())
    };
    let mut inventory = open(&[MeterConfig::Prometheus(json)]);
    assert!((inventory.meters[0].read(0).unwrap() - 9000.0).abs() < 1e-9);
    let kepler = served(|_| {
        "node_cpu_joules_total{zone=\"package\"} 42\nnode_cpu_joules_total{zone=\"dram\"} 7\n"
            .to_owned()
    });
    let text = r#"{"name": "node_cpu_joules_total", "labels": {"zone": "package"}, "unit": "J", "component": "cpu"}"#;
    let named = PrometheusConfig { metrics: vec![choice(text)], ..page(kepler.url()) };
    let mut inventory = open(&[MeterConfig::Prometheus(named)]);
    assert_eq!(inventory.sensors.len(), 1);
    assert_eq!(
        (inventory.sensors[0].component, inventory.sensors[0].counted),
        (Component::Cpu, true)
    );
    assert!((inventory.meters[0].read(0).unwrap() - 42.0).abs() < 1e-9);
}

#[test]
fn a_page_that_is_not_there_or_lacks_what_is_wanted_is_told() {
    let empty = served(|_| "up 1\n".to_owned());
    let refused = page("http://127.0.0.1:9/metrics?token=secret".to_owned());
    for (config, why) in
        [(page(empty.url()), "has nothing of what is wanted"), (refused, "127.0.0.1:9")]
    {
        let text = open(&[MeterConfig::Prometheus(config)]).problems.to_string();
        assert!(text.contains(why) && text.contains("meter.url"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}

/// A machine with these folders of hwmon: name and files each.
fn hwmon(chips: &[(&str, &[(&str, &str)])]) -> (Machine, Inventory) {
    let machine = Machine::new();
    for (index, (name, files)) in chips.iter().enumerate() {
        machine.hwmon(index, name, files);
    }
    let metrics = MetricsConfig { sysfs_root: machine.root(), ..MetricsConfig::default() };
    let inventory = open_all(&[hwmon::ENTRY], &OpenRequest::of(&metrics));
    (machine, inventory)
}

fn seen(inventory: &Inventory) -> Vec<(&str, Component, bool)> {
    let seen = inventory.sensors.iter().map(|s| (s.name.as_str(), s.component, s.counted));
    seen.collect()
}

#[test]
fn power_of_an_amd_gpu_counts_and_its_counter_stands_beside_it() {
    let (machine, mut inventory) = hwmon(&[(
        "amdgpu",
        &[
            ("power1_average", "250000000"),
            ("energy1_input", "5000000"),
            ("device/unique_id", "ab12"),
        ],
    )]);
    assert_eq!(
        seen(&inventory),
        [("amdgpu-0.power", Component::Gpu, true), ("amdgpu-0.energy", Component::Gpu, false)]
    );
    assert_eq!(inventory.devices[0].uuid, "amdgpu-ab12");
    let meter = &mut inventory.meters[0];
    assert!((meter.read(0).unwrap() - 250.0).abs() < 1e-9);
    machine.hwmon(0, "amdgpu", &[("energy1_input", "7000000")]);
    assert!((meter.read(1).unwrap() - 7.0).abs() < 1e-9, "each read is fresh");
}

#[test]
fn the_card_of_an_intel_gpu_counts_and_its_counter_goes_round() {
    let (_machine, inventory) = hwmon(&[
        (
            "xe",
            &[
                ("energy1_input", "1000000"),
                ("energy1_label", "card"),
                ("energy2_input", "500000"),
                ("energy2_label", "pkg"),
            ],
        ),
        ("i915", &[("energy1_input", "9000000")]),
    ]);
    assert_eq!(
        seen(&inventory),
        [
            ("xe-0.energy", Component::Gpu, true),
            ("xe-0.pkg.energy", Component::Gpu, false),
            ("i915-0.energy", Component::Gpu, true),
        ]
    );
    assert!((inventory.sensors[0].wrap_at.unwrap() - 4_294.967_296).abs() < 1e-9);
}

#[test]
fn the_socket_of_grace_counts_and_other_power_never_does() {
    let (_machine, inventory) = hwmon(&[
        (
            "power_meter",
            &[
                ("power1_average", "95000000"),
                ("power1_oem_info", "Grace Power Socket 0"),
                ("power1_average_interval", "50"),
            ],
        ),
        (
            "power_meter",
            &[("power1_average", "60000000"), ("power1_oem_info", "CPU Power Socket 0")],
        ),
        ("power_meter", &[("power1_average", "400000000")]),
        ("ina3221", &[("power1_input", "1000000"), ("power1_label", "VDD_IN")]),
        ("coretemp", &[("temp1_input", "45000")]),
    ]);
    assert_eq!(
        seen(&inventory),
        [
            ("power_meter-0.power", Component::Cpu, true),
            ("power_meter-1.power", Component::Machine, false),
            ("power_meter-2.power", Component::Machine, false),
            ("ina3221-0.power1", Component::Machine, false),
        ]
    );
    assert_eq!(inventory.sensors[0].update_period_s, Some(Seconds(0.05)));
    assert!(inventory.scope[1].reason.contains("Grace Power Socket 0"), "{:?}", inventory.scope);
}
