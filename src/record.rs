//! The on-disk record formats of a run folder, and their reader.
//!
//! `run` writes these as things happen; `analysis` only reads them. Each file is versioned through the
//! manifest. Line files (`requests.jsonl`, `samples.jsonl`, `events.jsonl`) are appended a whole line at
//! a time, so after a crash only the last line can be torn: the reader drops and counts it.

mod carbon;
mod client;
mod command;
mod conversation;
pub mod reference;
mod scope;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Anchor;
use crate::units::{Nanos, Seconds};

pub use carbon::{
    Averaging, CarbonBasis, CarbonFactor, CarbonMethod, CloudPlace, ElectricityPrice, Embodied,
    FactorBoundary, FactorEmissions, FactorFlow, IntensityReading, LiveIntensity, MarketFactor,
    SettingOrigin,
};

use reference::{Gain, ReferenceTrace};

pub use client::{ClientCost, Lags};
pub use command::{CommandExit, CommandInfo, CommandRun};
pub use conversation::{ConversationTally, NotSent};
pub use scope::{CpuScope, Whose};

/// Version of every format in this file; a reader refuses a newer major.
pub const RECORD_VERSION: u32 = 1;

/// Bytes as records write them: two hexadecimal digits each.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// File names inside a run folder.
pub mod files {
    /// Who ran what where: [`super::Manifest`].
    pub const MANIFEST: &str = "manifest.json";
    /// One [`super::RequestRecord`] a line.
    pub const REQUESTS: &str = "requests.jsonl";
    /// One [`super::SampleRecord`] a line.
    pub const SAMPLES: &str = "samples.jsonl";
    /// One [`super::EventRecord`] a line.
    pub const EVENTS: &str = "events.jsonl";
    /// One [`super::reference::ReferenceTrace`] a line: readings of external meters, added after the run.
    pub const REFERENCES: &str = "references.jsonl";
    /// The findings.
    pub const REPORT: &str = "report.json";
}

/// How a number came to be.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A sensor read it.
    Measured,
    /// Computed from something measured by a stated model.
    Modelled,
    /// Neither: a constant that someone chose.
    Assumed,
}

/// What part of a machine a sensor covers.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// A graphics processor, its memory included.
    Gpu,
    /// Processor packages.
    Cpu,
    /// Main memory.
    Ram,
    /// A whole machine, board or module: a meter at the wall, a platform counter. Stands beside its parts and is
    /// never added to them.
    Machine,
}

impl Component {
    /// The word used in keys and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gpu => "gpu",
            Self::Cpu => "cpu",
            Self::Ram => "ram",
            Self::Machine => "machine",
        }
    }
}

/// What a sensor's value means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Cumulative energy in joules; only differences mean anything.
    EnergyCounter,
    /// Power in watts at (about) the moment of the read.
    Power,
    /// Share of time in use, 0 to 1.
    Utilization,
    /// Degrees Celsius.
    Temperature,
    /// Hertz.
    Clock,
    /// Bytes in use.
    Memory,
    /// Watts above which the device slows itself down: the limit in force.
    PowerLimit,
    /// Why a device holds its clocks down: a mask of [`throttle`] bits.
    ThrottleReasons,
    /// Processes that compute on the device. Which, is told by [`Event::GpuProcesses`].
    Processes,
    /// Processor seconds used so far; only differences mean anything.
    CpuTime,
    /// Requests that a server has in work or waiting.
    RequestCount,
    /// Tokens that a server has counted so far; only differences mean anything.
    TokenCounter,
    /// Share of a server's cache in use, 0 to 1.
    CacheShare,
}

impl Quantity {
    /// The unit of values of this quantity.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::EnergyCounter => "J",
            Self::Power => "W",
            Self::Utilization => "1",
            Self::Temperature => "degC",
            Self::Clock => "Hz",
            Self::Memory => "B",
            Self::PowerLimit => "W",
            Self::ThrottleReasons => "bits",
            Self::Processes => "1",
            Self::CpuTime => "s",
            Self::RequestCount => "request",
            Self::TokenCounter => "token",
            Self::CacheShare => "1",
        }
    }
}

/// Bits of [`Quantity::ThrottleReasons`]: NVML's `nvmlClocksEventReasons`, other vendors' translated to them.
pub mod throttle {
    /// Nothing runs.
    pub const IDLE: u32 = 0x1;
    /// Clocks that someone set.
    pub const CLOCKS_SETTING: u32 = 0x2;
    /// The power limit is reached.
    pub const POWER_CAP: u32 = 0x4;
    /// The hardware slows down: heat, an external power brake, or a power limit of the supply.
    pub const HARDWARE: u32 = 0x8;
    /// Clocks are kept equal with other GPUs.
    pub const SYNC_BOOST: u32 = 0x10;
    /// Too hot, by the driver's judgement.
    pub const SOFTWARE_THERMAL: u32 = 0x20;
    /// Too hot, by the hardware's.
    pub const HARDWARE_THERMAL: u32 = 0x40;
    /// The power supply asserts its brake.
    pub const POWER_BRAKE: u32 = 0x80;
    /// A display needs certain clocks.
    pub const DISPLAY: u32 = 0x100;

    /// Every known bit with its name.
    pub const NAMES: [(u32, &str); 9] = [
        (IDLE, "idle"),
        (CLOCKS_SETTING, "clocks setting"),
        (POWER_CAP, "power cap"),
        (HARDWARE, "hardware slowdown"),
        (SYNC_BOOST, "sync boost"),
        (SOFTWARE_THERMAL, "software thermal slowdown"),
        (HARDWARE_THERMAL, "hardware thermal slowdown"),
        (POWER_BRAKE, "power brake"),
        (DISPLAY, "display clocks"),
    ];
}

/// A device that a sensor belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceRef {
    /// Index in the vendor's own order (NVML's, PCI order).
    pub index: u32,
    /// Stable identity: a GPU UUID, or `package-0`.
    pub uuid: String,
    /// Model name as the vendor gives it.
    pub name: String,
}

/// How late a sensor shows what happened: fitted on recordings of known work, never assumed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SensorTiming {
    /// What happens at a moment is seen this much later.
    pub lag_s: Seconds,
    /// One standard uncertainty of the moment at which an edge of the load is seen, the lag's own included.
    pub jitter_s: Seconds,
    /// What it was fitted on.
    pub source: String,
}

/// One channel of a meter: what it measures and how far it can be trusted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SensorInfo {
    /// Name, unique in a run: `gpu0.energy`, `package-0.energy`, `ram.model`.
    pub name: String,
    /// The registry name of the meter it came from: `nvml`, `rapl`, `cpu_model`, `ram_model`.
    pub meter: String,
    /// What part of the machine it covers.
    pub component: Component,
    /// The device, when there is one.
    pub device: Option<DeviceRef>,
    /// What a value means.
    pub quantity: Quantity,
    /// Unit of the values (`J`, `W`, ...), the quantity's own.
    pub unit: String,
    /// Measured, modelled or assumed.
    pub source: Source,
    /// What is inside the number, in words: "whole GPU with its memory", "package 0 without DRAM".
    pub scope: String,
    /// Where the number comes from: interface, driver, formula with its parameters.
    pub method: String,
    /// Whether its energy is part of the totals. False for traces kept beside a counter.
    pub counted: bool,
    /// Smallest step of the value, in its unit.
    pub resolution: Option<f64>,
    /// How often the sensor itself renews its value.
    pub update_period_s: Option<Seconds>,
    /// How often we read it between phase edges.
    pub sample_period_s: Seconds,
    /// The counter starts again from zero after this many joules.
    pub wrap_at: Option<f64>,
    /// Bound of the sensor's systematic error, as a share of the value (0.05 = 5 %).
    pub systematic_relative: Option<f64>,
    /// Who says so.
    pub systematic_source: Option<String>,
    /// How late it shows what happened, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<SensorTiming>,
    /// The machine it sits in, where that is not the one that drives the load: host name of a remote meter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// One read of one sensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleRecord {
    /// Position of the sensor in the manifest's list.
    #[serde(rename = "s")]
    pub sensor: u16,
    /// Just before the read.
    #[serde(rename = "a")]
    pub before_ns: Nanos,
    /// Just after it.
    #[serde(rename = "b")]
    pub after_ns: Nanos,
    /// The value in the sensor's unit; `null` when the read failed.
    #[serde(rename = "v")]
    pub value: Option<f64>,
    /// Why it failed.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The phases of a run, in order.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing runs and no model is loaded; before the run and, where asked for, after it.
    IdleBare,
    /// The backend gets ready: model loading, health check.
    Load,
    /// Nothing runs; the baseline before.
    IdleBefore,
    /// Requests that count for nothing but heat.
    Warmup,
    /// What the figures are about.
    Measure,
    /// Nothing runs again; the baseline after.
    IdleAfter,
}

/// Why a request failed, for counting.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// No connection: refused, unreachable, name not found, connect time-out.
    Connect,
    /// TLS could not be agreed.
    Tls,
    /// The server answered with an HTTP error status.
    HttpStatus,
    /// The connection broke after the request was sent.
    Reset,
    /// The request's deadline passed.
    Deadline,
    /// The server sent something that is not its protocol.
    Protocol,
    /// The server reported an error inside the stream.
    StreamError,
    /// The in-process engine failed.
    Engine,
    /// The run was interrupted.
    Cancelled,
    /// In flight when the load was over and its grace had passed: neither answered nor failed.
    InFlight,
}

/// Where token counts came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenSource {
    /// The server's own `usage`.
    Usage,
    /// The in-process engine counted.
    Engine,
    /// Nobody said; counts are null.
    Missing,
}

/// What a request cost in tokens; `None` where nobody said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenCounts {
    /// Tokens of the prompt as the model saw it, template included.
    pub prompt: Option<u64>,
    /// Of those, how many came from the server's prompt cache.
    pub cached_prompt: Option<u64>,
    /// Generated tokens, reasoning included.
    pub completion: Option<u64>,
    /// Of those, how many were reasoning.
    pub reasoning: Option<u64>,
    /// Who counted.
    pub source: TokenSource,
}

impl TokenCounts {
    /// Nobody said.
    pub const MISSING: Self = Self {
        prompt: None,
        cached_prompt: None,
        completion: None,
        reasoning: None,
        source: TokenSource::Missing,
    };
}

/// What a request was to cost in tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AskedTokens {
    /// Tokens of the prompt as the server should count it, template and special tokens included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<u64>,
    /// Tokens of the answer, where its length is the prompt's own or is fixed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<u64>,
    /// Whether exactly so many were asked for (`min_tokens` and `ignore_eos`), not at most.
    pub output_fixed: bool,
}

impl AskedTokens {
    /// Nothing is known before.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Outcome {
    /// Completed.
    Ok {
        /// `stop`, `length`, ... as the backend said it.
        finish_reason: Option<String>,
    },
    /// Did not.
    Failed {
        /// The class, for counting.
        class: FailureClass,
        /// HTTP status, if there was one.
        http_status: Option<u16>,
        /// The message.
        message: String,
    },
}

/// One request, written when it ends, failed or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// Position in its phase, from 0.
    pub index: u64,
    /// Warm-up or measured.
    pub phase: Phase,
    /// Which repetition of the measurement, from 0; none in warm-up and in folders of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repetition: Option<u32>,
    /// The dataset's name for the prompt.
    pub prompt_id: String,
    /// Which conversation of its phase it is a turn of, from 0; none where prompts are not gone through turn by turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<u64>,
    /// Which turn of it, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<u32>,
    /// When the load wanted it sent: the time of its arrival in an open loop, when one in flight had ended in a closed one.
    /// Of a later turn of a conversation: when the answer before had ended, and the think time after it.
    pub scheduled_ns: Nanos,
    /// When the load let it go, where that was later because as many were in flight as may be; else absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released_ns: Option<Nanos>,
    /// When its (last) attempt was sent.
    pub sent_ns: Nanos,
    /// First byte of the answer.
    pub first_byte_ns: Option<Nanos>,
    /// First event that carried generated text (or a tool call, or reasoning).
    pub first_token_ns: Option<Nanos>,
    /// First event whose text was not reasoning; none in folders of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_output_token_ns: Option<Nanos>,
    /// Last event with generated text, a tool call or reasoning.
    pub last_token_ns: Option<Nanos>,
    /// When it ended, well or badly.
    pub end_ns: Nanos,
    /// Arrival of each event with generated text, in ns after `sent_ns`.
    pub event_offsets_ns: Vec<u64>,
    /// Token counts.
    pub tokens: TokenCounts,
    /// What was asked for in tokens, where that is known before.
    #[serde(default, skip_serializing_if = "AskedTokens::is_nothing")]
    pub asked: AskedTokens,
    /// Characters of generated text.
    pub output_chars: u64,
    /// The generated text, where the config asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Attempts beyond the first.
    pub retries: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// The server's own timings, as it names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_timings: Option<Value>,
}

impl RequestRecord {
    /// Whether it completed.
    #[must_use]
    pub const fn is_ok(&self) -> bool {
        matches!(self.outcome, Outcome::Ok { .. })
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventRecord {
    /// When.
    pub at_ns: Nanos,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What can happen in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A phase begins.
    PhaseBegin {
        /// Which.
        phase: Phase,
        /// Which repetition of the measurement, from 0; none in other phases and in folders of earlier versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repetition: Option<u32>,
    },
    /// A phase ends.
    PhaseEnd {
        /// Which.
        phase: Phase,
        /// Which repetition of the measurement, from 0; none in other phases and in folders of earlier versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repetition: Option<u32>,
    },
    /// Something the reader of the figures should know.
    Warning {
        /// What.
        warning: Warning,
    },
    /// An attempt failed and will be made again.
    Retry {
        /// Which request.
        index: u64,
        /// Why.
        class: FailureClass,
        /// HTTP status, if there was one.
        http_status: Option<u16>,
        /// Wait before the next attempt.
        wait_s: Seconds,
    },
    /// The sampler found how often a sensor renews its value; it takes the place of what the manifest says.
    UpdatePeriod {
        /// Name of the sensor.
        sensor: String,
        /// The period.
        period_s: Seconds,
        /// How far it may be off.
        uncertainty_s: Seconds,
    },
    /// The processes that compute on a GPU: once at the start, then whenever they are others.
    GpuProcesses {
        /// UUID of the GPU.
        device: String,
        /// Process ids as the driver sees them, sorted.
        pids: Vec<u32>,
    },
    /// Warm-up until steady has ended.
    WarmedUp {
        /// Whether everything was steady, or the time was up.
        steady: bool,
        /// How long it took.
        after_s: Seconds,
        /// What was looked at, and what was not steady.
        what: String,
    },
    /// Processor time used since some moment in the past; two of these say who used the processors between them.
    CpuTime {
        /// Of the whole machine: everything but idling and waiting for disks.
        machine_s: Seconds,
        /// Of this program and what it started.
        ours_s: Seconds,
        /// Of the server and what it started; none where its processes are not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server_s: Option<Seconds>,
    },
    /// What driving the load cost this program in a phase with requests.
    Client {
        /// Which.
        phase: Phase,
        /// Which repetition of the measurement, from 0.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repetition: Option<u32>,
        /// What it cost.
        #[serde(flatten)]
        cost: ClientCost,
    },
    /// How far the conversations of a phase went.
    Conversations {
        /// Which.
        phase: Phase,
        /// Which repetition of the measurement, from 0.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repetition: Option<u32>,
        /// How far.
        #[serde(flatten)]
        tally: ConversationTally,
    },
    /// How many repetitions it takes, decided after the first of them.
    Repetitions {
        /// In all.
        needed: u32,
        /// How that was decided.
        why: String,
    },
    /// A run of the measured command has ended.
    CommandEnd {
        /// How it went.
        #[serde(flatten)]
        run: CommandRun,
        /// Warm-up or measured.
        phase: Phase,
    },
    /// The run stops before its end.
    Stopped {
        /// Why.
        reason: StopReason,
    },
    /// The grid's carbon intensity, as a service told it.
    CarbonIntensity {
        /// What it told.
        reading: IntensityReading,
    },
    /// All records are written.
    Finished,
}

/// Why a run stopped before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// Ctrl-C or SIGTERM.
    Interrupted,
    /// Too many failures in a row.
    ConsecutiveFailures,
    /// Records could no longer be written.
    RecordsFailed,
    /// The measured command failed, and its failures were not to be ignored.
    CommandFailed,
}

/// Something that the reader of a figure should know; shown by the terminal, kept in the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Warning {
    /// Stable name: `fewer_rows_than_asked`, `untested_server_version`.
    pub code: String,
    /// In words.
    pub message: String,
}

impl Warning {
    /// A warning.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

/// Whether the weights mean anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Weights {
    /// A trained model's.
    Real,
    /// Random numbers in the real shape: figures are not comparable with real weights.
    Synthetic,
    /// A server does not say.
    Unknown,
}

/// Who answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackendInfo {
    /// Registry name: `vllm`, `candle`.
    pub kind: String,
    /// Model as asked for.
    pub model: String,
    /// URL without credentials, for servers.
    pub endpoint: Option<String>,
    /// Name of the serving software, where it can be told.
    pub server: Option<String>,
    /// Its version.
    pub server_version: Option<String>,
    /// Whether the weights are real.
    pub weights: Weights,
    /// Whether the model runs on the machine whose meters are read.
    pub local: bool,
    /// Why that is believed.
    pub local_reason: String,
    /// Processes that do the work, where known.
    pub pids: Vec<u32>,
    /// Whatever else the backend tells of itself.
    pub details: BTreeMap<String, Value>,
}

/// Where the prompts came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DatasetInfo {
    /// As asked for.
    pub name: String,
    /// Where it was found: "local file", "hub cache", "hub", "built in".
    pub origin: String,
    /// Revision (commit) of a hub dataset.
    pub revision: Option<String>,
    /// Files read, relative to the dataset, each with its SHA-256.
    pub files: BTreeMap<String, String>,
    /// Rows in those files, used or not. Files of the split that were not needed are not among them.
    pub rows: u64,
    /// Rows used.
    pub used: u64,
}

/// The machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HostInfo {
    /// Operating system and kernel: `Linux-6.1.0-x86_64`.
    pub os: String,
    /// Processor model name.
    pub cpu_model: Option<String>,
    /// Logical processors.
    pub cpu_count: u32,
    /// Bytes of main memory.
    pub ram_bytes: Option<u64>,
    /// GPUs that were selected.
    pub gpus: Vec<DeviceRef>,
}

/// What is counted and why, decided before the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ComponentScope {
    /// GPU, CPU or RAM.
    pub component: Component,
    /// Whether an energy will be given.
    pub counted: bool,
    /// What is counted, or why it is not.
    pub reason: String,
}

/// Who ran what, where, with which sensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`RECORD_VERSION`].
    pub record_version: u32,
    /// Unique to the run (UUID text form).
    pub run_id: String,
    /// The config's name.
    pub name: String,
    /// Version of this program.
    pub version: String,
    /// Git commit of this program's source, where known.
    pub git_commit: Option<String>,
    /// RFC 3339, UTC.
    pub started: String,
    /// Monotonic and wall time, tied.
    pub anchor: Anchor,
    /// The machine.
    pub host: HostInfo,
    /// The resolved config without secrets.
    pub config: Value,
    /// SHA-256 of that config's canonical JSON.
    pub config_sha256: String,
    /// Who answers.
    pub backend: BackendInfo,
    /// Where the prompts come from.
    pub dataset: DatasetInfo,
    /// Every sensor; samples refer to it by position.
    pub sensors: Vec<SensorInfo>,
    /// What is counted, by component.
    pub scope: Vec<ComponentScope>,
    /// What is counted, in one sentence.
    pub boundary: String,
    /// What emissions are computed with.
    pub carbon: CarbonBasis,
    /// Requests that the plan means to measure.
    pub planned_requests: u64,
    /// Whose CPU energy is counted and whose share is known; null in folders of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_scope: Option<CpuScope>,
    /// The command whose energy is measured, where it is one instead of requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandInfo>,
    /// Known before the first request.
    pub warnings: Vec<Warning>,
    /// Gains of sensors that were known before the run; readings are kept raw, the analysis applies them.
    #[serde(default)]
    pub gains: Vec<Gain>,
}

/// Everything a run wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecords {
    /// The manifest.
    pub manifest: Manifest,
    /// Requests in the order in which they ended.
    pub requests: Vec<RequestRecord>,
    /// Samples in the order in which they were read.
    pub samples: Vec<SampleRecord>,
    /// Events in order.
    pub events: Vec<EventRecord>,
    /// Readings of external meters.
    pub references: Vec<ReferenceTrace>,
    /// Lines that could not be read, by file (a torn last line after a crash).
    pub torn_lines: BTreeMap<String, u64>,
}

/// Why a run folder cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A file is missing or unreadable.
    #[error("cannot read {path}: {cause}\n  hint: is this a run folder?")]
    Io {
        /// Which.
        path: String,
        /// Why.
        cause: std::io::Error,
    },
    /// The manifest is not one.
    #[error("{path} is not a manifest of this program: {cause}")]
    Manifest {
        /// Which.
        path: String,
        /// Why.
        cause: serde_json::Error,
    },
    /// Written by a newer version.
    #[error(
        "{path} has record version {found}, this program reads up to {RECORD_VERSION}\n  hint: use a newer version of ai-energy-benchmark"
    )]
    Newer {
        /// Which.
        path: String,
        /// Its version.
        found: u32,
    },
}

impl RunRecords {
    /// Reads a run folder, complete or not.
    ///
    /// # Errors
    /// When the manifest is missing, unreadable or newer. Line files may be missing or torn.
    pub fn read(folder: &Path) -> Result<Self, RecordError> {
        let path = folder.join(files::MANIFEST);
        let manifest = read_manifest(&path)?;
        let mut torn_lines = BTreeMap::new();
        Ok(Self {
            manifest,
            requests: read_lines(folder, files::REQUESTS, &mut torn_lines)?,
            samples: read_lines(folder, files::SAMPLES, &mut torn_lines)?,
            events: read_lines(folder, files::EVENTS, &mut torn_lines)?,
            references: read_lines(folder, files::REFERENCES, &mut torn_lines)?,
            torn_lines,
        })
    }

    /// Begin and end of a phase; the end is missing when the run was cut off in it. Of the repetitions of a measurement:
    /// from the first's begin to the last's end. Of phases that come again after the run: the first.
    #[must_use]
    pub fn phase(&self, wanted: Phase) -> Option<(Nanos, Option<Nanos>)> {
        let spans = self.spans(wanted);
        let first = spans.first()?;
        let last = if wanted == Phase::Measure { spans.last()? } else { first };
        Some((first.from, last.to))
    }

    /// Every time that a phase was gone through, in order.
    #[must_use]
    pub fn spans(&self, wanted: Phase) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for record in &self.events {
            match record.event {
                Event::PhaseBegin { phase, repetition } if phase == wanted => {
                    spans.push(Span { repetition, from: record.at_ns, to: None });
                }
                Event::PhaseEnd { phase, .. } if phase == wanted => {
                    if let Some(span) = spans.last_mut() {
                        span.to.get_or_insert(record.at_ns);
                    }
                }
                _ => {}
            }
        }
        spans
    }
}

/// One time that a phase was gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Which repetition, of a measurement.
    pub repetition: Option<u32>,
    /// When it began.
    pub from: Nanos,
    /// When it ended; none when the run was cut off in it.
    pub to: Option<Nanos>,
}

fn read_manifest(path: &Path) -> Result<Manifest, RecordError> {
    let shown = path.display().to_string();
    let text =
        fs::read_to_string(path).map_err(|cause| RecordError::Io { path: shown.clone(), cause })?;
    let value: Value = serde_json::from_str(&text)
        .map_err(|cause| RecordError::Manifest { path: shown.clone(), cause })?;
    let found = value.get("record_version").and_then(Value::as_u64).unwrap_or(0);
    if found > u64::from(RECORD_VERSION) {
        return Err(RecordError::Newer {
            path: shown,
            found: u32::try_from(found).unwrap_or(u32::MAX),
        });
    }
    serde_json::from_value(value).map_err(|cause| RecordError::Manifest { path: shown, cause })
}

fn read_lines<T: DeserializeOwned>(
    folder: &Path,
    name: &str,
    torn_lines: &mut BTreeMap<String, u64>,
) -> Result<Vec<T>, RecordError> {
    let path = folder.join(name);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(RecordError::Io { path: path.display().to_string(), cause }),
    };
    let (rows, torn) = parse_lines(&bytes);
    if torn > 0 {
        torn_lines.insert(name.to_owned(), torn);
    }
    Ok(rows)
}

/// Parses JSON lines, counting those that are not whole.
#[must_use]
pub fn parse_lines<T: DeserializeOwned>(bytes: &[u8]) -> (Vec<T>, u64) {
    let mut rows = Vec::new();
    let mut torn = 0;
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        match serde_json::from_slice(line) {
            Ok(row) => rows.push(row),
            Err(_) => torn += 1,
        }
    }
    (rows, torn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_last_line_is_dropped_and_counted() {
        let whole = r#"{"s":1,"a":10,"b":11,"v":2.5}"#;
        let text = format!("{whole}\n{whole}\n{}", &whole[..9]);
        let (rows, torn) = parse_lines::<SampleRecord>(text.as_bytes());
        assert_eq!(rows.len(), 2);
        assert_eq!(torn, 1);
        assert_eq!(rows[0].value, Some(2.5));
    }

    #[test]
    fn a_failed_read_keeps_its_reason() {
        let sample = SampleRecord {
            sensor: 3,
            before_ns: Nanos(1),
            after_ns: Nanos(2),
            value: None,
            error: Some("GPU is lost".to_owned()),
        };
        let text = serde_json::to_string(&sample).unwrap();
        assert_eq!(serde_json::from_str::<SampleRecord>(&text).unwrap(), sample);
    }

    #[test]
    fn requests_and_phases_of_earlier_versions_have_no_repetition() {
        let event = r#"{"at_ns":5,"event":"phase_begin","phase":"measure"}"#;
        let event: EventRecord = serde_json::from_str(event).unwrap();
        assert_eq!(event.event, Event::PhaseBegin { phase: Phase::Measure, repetition: None });
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(text, r#"{"at_ns":5,"event":"phase_begin","phase":"measure"}"#);
    }
}
