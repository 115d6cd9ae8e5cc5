//! Runs with known joules: a machine that draws what it is told to, in steps of a millisecond.

use std::collections::BTreeMap;

use ai_energy_benchmarks::clock::Anchor;
use ai_energy_benchmarks::record::{
    AskedTokens, BackendInfo, CarbonBasis, CarbonFactor, Component, ComponentScope, DatasetInfo,
    DeviceRef, Event, EventRecord, FactorBoundary, FailureClass, HostInfo, Manifest, Outcome,
    Phase, Quantity, RECORD_VERSION, RequestRecord, RunRecords, SampleRecord, SensorInfo, Source,
    TokenCounts, TokenSource, Weights,
};
use ai_energy_benchmarks::units::{GramsPerKwh, Nanos, Seconds};
use serde_json::json;

const MS: u64 = 1_000_000;
/// The clock when the run starts: a machine that has been up for a while.
pub(crate) const START: u64 = 1_000_000 * MS;
/// Watts of the GPU when idle and when a request is in flight.
pub(crate) const GPU_IDLE: f64 = 60.0;
pub(crate) const GPU_BUSY: f64 = 100.0;
/// Watts of the modelled parts, always.
pub(crate) const CPU: f64 = 8.0;
pub(crate) const RAM: f64 = 20.0;

/// Phases in ms after the start.
const PHASES: [(Phase, u64, u64); 5] = [
    (Phase::Load, 0, 1000),
    (Phase::IdleBefore, 1000, 4000),
    (Phase::Warmup, 4000, 5000),
    (Phase::Measure, 5000, 15_050),
    (Phase::IdleAfter, 15_050, 18_050),
];
const END: u64 = 18_100;

/// Requests in ms after the start: 2, 3 and 5 s, one after the other. The measured window is
/// 5.010 to 15.030 s: 10.02 s.
pub(crate) const REQUESTS: [(u64, u64); 3] = [(5010, 7010), (7020, 10_020), (10_030, 15_030)];

/// A stamp in ms after the start.
pub(crate) fn at(ms: u64) -> Nanos {
    Nanos(START + ms * MS)
}

/// Three requests on a server on this machine with one metered GPU; CPU and RAM by models.
pub(crate) fn run() -> RunRecords {
    let requests = REQUESTS.iter().zip(0..).map(|(span, index)| request(index, *span)).collect();
    let mut events: Vec<EventRecord> = Vec::new();
    for (phase, from, to) in PHASES {
        events.push(EventRecord {
            at_ns: at(from),
            event: Event::PhaseBegin { phase, repetition: None },
        });
        events.push(EventRecord {
            at_ns: at(to),
            event: Event::PhaseEnd { phase, repetition: None },
        });
    }
    events.push(EventRecord { at_ns: at(END), event: Event::Finished });
    RunRecords {
        manifest: manifest(),
        requests,
        samples: samples(),
        events,
        references: Vec::new(),
        torn_lines: BTreeMap::new(),
    }
}

/// A successful request of ten chunks and twenty-one tokens, the first token after a tenth of its time.
pub(crate) fn request(index: u64, (from, to): (u64, u64)) -> RequestRecord {
    let tenth = (to - from) * MS / 10;
    let offsets: Vec<u64> = (1..=10).map(|chunk| chunk * tenth).collect();
    RequestRecord {
        index,
        phase: Phase::Measure,
        repetition: None,
        prompt_id: index.to_string(),
        scheduled_ns: at(from),
        conversation: None,
        turn: None,
        released_ns: None,
        sent_ns: at(from),
        first_byte_ns: Some(Nanos(at(from).0 + tenth)),
        first_token_ns: Some(Nanos(at(from).0 + tenth)),
        first_output_token_ns: Some(Nanos(at(from).0 + tenth)),
        last_token_ns: Some(at(to)),
        end_ns: at(to),
        event_offsets_ns: offsets,
        tokens: TokenCounts {
            prompt: Some(40),
            cached_prompt: Some(4),
            completion: Some(21),
            reasoning: None,
            source: TokenSource::Usage,
        },
        asked: AskedTokens::default(),
        output_chars: 80,
        output: None,
        retries: 0,
        outcome: Outcome::Ok { finish_reason: Some("length".to_owned()) },
        server_timings: None,
    }
}

/// The same request, failed.
pub(crate) fn failed(index: u64, span: (u64, u64), class: FailureClass) -> RequestRecord {
    RequestRecord {
        first_token_ns: None,
        first_output_token_ns: None,
        last_token_ns: None,
        event_offsets_ns: Vec::new(),
        tokens: TokenCounts::MISSING,
        outcome: Outcome::Failed { class, http_status: None, message: "planted".to_owned() },
        ..request(index, span)
    }
}

pub(crate) fn manifest() -> Manifest {
    Manifest {
        record_version: RECORD_VERSION,
        run_id: "6f1c2a34-0000-4000-8000-000000000001".to_owned(),
        name: "three_requests".to_owned(),
        version: "0.1.0".to_owned(),
        git_commit: Some("0123abc".to_owned()),
        started: "2026-01-02T03:04:05.000000Z".to_owned(),
        anchor: Anchor { mono_ns: Nanos(START), unix_ns: 1_767_323_045_000_000_000 },
        host: HostInfo {
            os: "Linux-6.1.0-x86_64".to_owned(),
            cpu_model: Some("Test CPU".to_owned()),
            cpu_count: 2,
            ram_bytes: Some(16 * 1024 * 1024 * 1024),
            gpus: vec![gpu()],
        },
        config: json!({
            "name": "three_requests",
            "backend": {"type": "vllm", "model": "tiny-llama", "device_ids": ["0"]},
            "scenario": {"dataset_name": "ds", "num_samples": 3},
            "metrics": {
                "type": "codecarbon", "project_name": "tiny", "output_dir": "./emissions",
                "country_iso_code": "USA", "region": null
            },
        }),
        config_sha256: "00ff".to_owned(),
        backend: BackendInfo {
            kind: "vllm".to_owned(),
            model: "tiny-llama".to_owned(),
            endpoint: Some("http://127.0.0.1:8000".to_owned()),
            server: Some("vLLM".to_owned()),
            server_version: Some("0.20.0".to_owned()),
            weights: Weights::Real,
            local: true,
            local_reason: "loopback address".to_owned(),
            pids: vec![4242],
            details: BTreeMap::new(),
        },
        dataset: DatasetInfo {
            name: "ds".to_owned(),
            origin: "local file".to_owned(),
            revision: None,
            files: BTreeMap::from([("train.jsonl".to_owned(), "aa".to_owned())]),
            rows: 5,
            used: 3,
        },
        sensors: sensors(),
        scope: vec![
            scope(Component::Gpu, "GPU 0 with its memory"),
            scope(Component::Cpu, "all packages, by a load model"),
            scope(Component::Ram, "main memory, by a model"),
        ],
        boundary: "Counted are GPU 0 (measured), the CPU and the RAM (both modelled); not the rest of the machine."
            .to_owned(),
        carbon: CarbonBasis {
            factor: Some(CarbonFactor {
                intensity: GramsPerKwh(400.0),
                country_iso_code: Some("USA".to_owned()),
                country_name: Some("United States".to_owned()),
                region: None,
                kind: Source::Modelled,
                source: "Test Table".to_owned(),
                year: Some(2023),
                boundary: FactorBoundary::default(),
                relative_uncertainty: None,
                uncertainty_source: None,
                cloud: None,
            }),
            ..CarbonBasis::new(None, None, 1.2)
        },
        planned_requests: 3,
        cpu_scope: None,
        command: None,
        warnings: Vec::new(),
        gains: Vec::new(),
    }
}

fn scope(component: Component, reason: &str) -> ComponentScope {
    ComponentScope { component, counted: true, reason: reason.to_owned() }
}

fn gpu() -> DeviceRef {
    DeviceRef { index: 0, uuid: "GPU-1".to_owned(), name: "NVIDIA H100 80GB HBM3".to_owned() }
}

/// Positions of the sensors in the manifest.
pub(crate) const GPU_COUNTER: usize = 0;
pub(crate) const GPU_POWER: usize = 1;
pub(crate) const CPU_MODEL: usize = 2;
pub(crate) const RAM_MODEL: usize = 3;
const CPU_LOAD: usize = 4;

fn sensors() -> Vec<SensorInfo> {
    let gpu_counter = SensorInfo {
        name: "gpu0.energy".to_owned(),
        meter: "nvml".to_owned(),
        component: Component::Gpu,
        device: Some(gpu()),
        quantity: Quantity::EnergyCounter,
        unit: "J".to_owned(),
        source: Source::Measured,
        scope: "whole GPU with its memory".to_owned(),
        method: "energy counter of the driver".to_owned(),
        counted: true,
        resolution: Some(0.001),
        update_period_s: Some(Seconds(0.1)),
        sample_period_s: Seconds(0.05),
        wrap_at: None,
        systematic_relative: Some(0.05),
        systematic_source: Some("arXiv 2312.02741".to_owned()),
        timing: None,
        host: None,
    };
    let gpu_power = SensorInfo {
        name: "gpu0.power".to_owned(),
        quantity: Quantity::Power,
        unit: "W".to_owned(),
        counted: false,
        ..gpu_counter.clone()
    };
    let modelled = |name: &str, component: Component| SensorInfo {
        name: name.to_owned(),
        meter: name.replace('.', "_"),
        component,
        device: None,
        quantity: Quantity::Power,
        unit: "W".to_owned(),
        source: Source::Modelled,
        scope: "machine".to_owned(),
        method: "a model".to_owned(),
        resolution: None,
        update_period_s: None,
        sample_period_s: Seconds(1.0),
        systematic_relative: None,
        systematic_source: None,
        timing: None,
        host: None,
        ..gpu_counter.clone()
    };
    let load = SensorInfo {
        quantity: Quantity::Utilization,
        unit: "1".to_owned(),
        source: Source::Measured,
        counted: false,
        ..modelled("cpu.load", Component::Cpu)
    };
    vec![
        gpu_counter.clone(),
        gpu_power,
        modelled("cpu.model", Component::Cpu),
        modelled("ram.model", Component::Ram),
        load,
    ]
}

/// GPU watts at a ms.
fn gpu_watts(ms: u64) -> f64 {
    // Between requests the GPU is busy too: the gaps are 10 ms.
    if (4000..5000).contains(&ms) || (5010..15_030).contains(&ms) { GPU_BUSY } else { GPU_IDLE }
}

fn samples() -> Vec<SampleRecord> {
    let mut samples = Vec::new();
    let mut add = |sensor: usize, ms: u64, value: f64| {
        samples.push(SampleRecord {
            sensor: u16::try_from(sensor).expect("few sensors"),
            before_ns: at(ms),
            after_ns: Nanos(at(ms).0 + 50_000),
            value: Some(value),
            error: None,
        });
    };
    let (mut joules, mut shown) = (5000.0, 5000.0);
    for ms in 0..=END {
        if ms % 100 == 30 {
            shown = joules;
        }
        if ms % 50 == 0 {
            add(GPU_COUNTER, ms, shown);
            add(GPU_POWER, ms, gpu_watts(ms));
        }
        if ms % 1000 == 0 || ms == END {
            add(CPU_MODEL, ms, CPU);
            add(RAM_MODEL, ms, RAM);
            add(CPU_LOAD, ms, 0.75);
        }
        joules += gpu_watts(ms) / 1000.0;
    }
    samples
}

/// The run without a GPU: nothing is measured.
pub(crate) fn without_gpu() -> RunRecords {
    let mut records = run();
    records.manifest.host.gpus.clear();
    records.manifest.scope[0] = ComponentScope {
        component: Component::Gpu,
        counted: false,
        reason: "no NVIDIA driver on this machine".to_owned(),
    };
    records.manifest.sensors.drain(GPU_COUNTER..=GPU_POWER);
    records.samples.retain(|sample| sample.sensor >= 2);
    for sample in &mut records.samples {
        sample.sensor -= 2;
    }
    records
}

/// The run on a machine where nothing can be metered.
pub(crate) fn without_meters() -> RunRecords {
    let mut records = without_gpu();
    records.manifest.sensors.clear();
    records.samples.clear();
    for scope in &mut records.manifest.scope {
        scope.counted = false;
        scope.reason = format!("no {} meter here", scope.component.as_str());
    }
    records
}
