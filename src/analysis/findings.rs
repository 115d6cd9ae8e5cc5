//! What a run found: every number with its unit, its source and how far it can be trusted.
//!
//! These types are `report.json`; [`SCHEMA_VERSION`] counts their breaking changes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::record::{
    BackendInfo, CarbonFactor, Component, ComponentScope, DatasetInfo, DeviceRef, FailureClass,
    HostInfo, Phase, Quantity, SensorInfo, Source, StopReason, TokenSource, Warning,
};

use super::attribute::AttributionFindings;
use super::client::ClientFindings;
use super::conversation::ConversationFindings;
use super::definitions::Definition;
use super::footprint::Footprint;
use super::goodput::GoodputFindings;
use super::meter_cost::MeterCost;
use super::peak::PeakPower;
use super::protocol::ProtocolFindings;
use super::reference::ReferenceFindings;
use super::scope::CpuShare;
use super::server::ServerFindings;
use super::stats::Summary;
use super::workload::WorkloadFindings;

/// Version of the report's format; raised when a field changes its meaning or goes away.
pub const SCHEMA_VERSION: u32 = 1;

/// Said in every output of a run whose weights are random.
pub const SYNTHETIC_SENTENCE: &str = "The weights are synthetic (random numbers in the real \
    architecture): these figures are not comparable with those of real weights.";

/// How far a number may be off, the two kinds kept apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Uncertainty {
    /// Standard uncertainty (one sigma) of what changes from run to run, in the figure's unit.
    pub random: f64,
    /// Bound of what repeats the same way in every run (a sensor's gain), in the figure's unit;
    /// null where nobody has stated one.
    pub systematic: Option<f64>,
}

/// One number with everything needed to judge it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// The number; null when it is not known, never zero for that.
    pub value: Option<f64>,
    /// Its unit.
    pub unit: String,
    /// Measured, modelled or assumed; null with the value.
    pub source: Option<Source>,
    /// How far it may be off, where that can be said.
    pub uncertainty: Option<Uncertainty>,
    /// 95 % interval, where there is one.
    pub interval_95: Option<[f64; 2]>,
    /// Why the value is null.
    pub reason: Option<String>,
    /// What the reader should know.
    pub note: Option<String>,
}

impl Figure {
    /// A number that is known. One that is not finite is not a number and becomes null.
    pub fn known(value: f64, unit: &str, source: Source) -> Self {
        if !value.is_finite() {
            return Self::unknown(unit, "the computation has no finite result");
        }
        Self {
            value: Some(value),
            unit: unit.to_owned(),
            source: Some(source),
            uncertainty: None,
            interval_95: None,
            reason: None,
            note: None,
        }
    }

    /// A number that is not known, and why.
    pub fn unknown(unit: &str, reason: impl Into<String>) -> Self {
        Self {
            value: None,
            unit: unit.to_owned(),
            source: None,
            uncertainty: None,
            interval_95: None,
            reason: Some(reason.into()),
            note: None,
        }
    }

    /// What a report of an earlier version does not tell.
    #[must_use]
    pub fn not_told() -> Self {
        Self::unknown("", "reports of earlier versions do not tell it")
    }

    /// The same with a note.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// The same quantity times an exact factor, in another unit; null stays null with its reason.
    #[must_use]
    pub fn scaled(&self, factor: f64, unit: &str) -> Self {
        let Some(value) = self.value else {
            return Self::unknown(unit, self.reason.clone().unwrap_or_default());
        };
        let Some(source) = self.source else {
            return Self::unknown(unit, "the number has no source");
        };
        let mut scaled = Self::known(value * factor, unit, source);
        if scaled.value.is_some() {
            scaled.uncertainty = self.uncertainty.as_ref().map(|uncertainty| Uncertainty {
                random: uncertainty.random * factor.abs(),
                systematic: uncertainty.systematic.map(|bound| bound * factor.abs()),
            });
            scaled.note.clone_from(&self.note);
        }
        scaled
    }

    /// This divided by something exact that may be unknown or zero; then null with `reason`.
    #[must_use]
    pub fn per(&self, divisor: Option<f64>, unit: &str, reason: &str) -> Self {
        match divisor {
            Some(divisor) if divisor > 0.0 => self.scaled(1.0 / divisor, unit),
            _ if self.value.is_none() => self.scaled(1.0, unit),
            _ => Self::unknown(unit, reason),
        }
    }
}

/// What made the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// `ai-energy-benchmark`.
    pub name: String,
    /// Version of the program that ran.
    pub version: String,
    /// Git commit of its source, where known.
    pub git_commit: Option<String>,
}

/// Who ran when, and whether to its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunFacts {
    /// Unique to the run.
    pub id: String,
    /// The config's name.
    pub name: String,
    /// RFC 3339, UTC.
    pub started: String,
    /// RFC 3339, UTC: the last thing recorded.
    pub ended: String,
    /// Whether everything planned was done and recorded.
    pub complete: bool,
    /// Why the run stopped before its end, if it did.
    pub stop_reason: Option<StopReason>,
    /// In words, when the run is not complete.
    pub incomplete_reason: Option<String>,
    /// Length of the measured window: first request sent to last request ended, all repetitions together.
    pub window: Figure,
    /// From the run's first record to its last.
    pub wall: Figure,
    /// What is left of the wall time without model loading, idling, warm-up and the measured window.
    pub overhead: Figure,
    /// SHA-256 of the resolved config's canonical JSON.
    pub config_sha256: String,
}

/// A phase of the run and what it used. Only `measure` enters the figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PhaseFindings {
    /// Which.
    pub phase: Phase,
    /// Which repetition of the measurement, from 0; null in other phases.
    pub repetition: Option<u32>,
    /// RFC 3339, UTC.
    pub began: String,
    /// RFC 3339, UTC; null when the run was cut off in it.
    pub ended: Option<String>,
    /// How long.
    pub duration: Figure,
    /// What sensors measured in it, all measured components of the machine together.
    pub measured: Figure,
    /// What models gave for it, all modelled components together.
    pub modelled: Figure,
}

/// Requests, counted. `planned = sent + not_sent` (or more were sent than planned),
/// `sent = succeeded + failed + cancelled + in_flight_at_end`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Requests that the plan meant to measure.
    pub planned: u64,
    /// Requests with a record, good or bad.
    pub sent: u64,
    /// Planned requests without a record.
    pub not_sent: u64,
    /// Completed.
    pub succeeded: u64,
    /// Ended badly.
    pub failed: u64,
    /// The failed by class.
    pub failed_by_class: BTreeMap<FailureClass, u64>,
    /// Given up because the run was stopped: neither answered nor failed.
    #[serde(default)]
    pub cancelled: u64,
    /// Still in flight when the load was over and its grace had passed: neither answered nor failed.
    #[serde(default)]
    pub in_flight_at_end: u64,
    /// Attempts beyond the first, all measured requests together.
    pub retries: u64,
    /// Warm-up requests, in none of the other counts.
    pub warmup_sent: u64,
    /// Of those, how many failed.
    pub warmup_failed: u64,
}

impl Counts {
    /// Requests that were sent and not answered, for whatever reason.
    #[must_use]
    pub const fn unanswered(&self) -> u64 {
        self.failed + self.cancelled + self.in_flight_at_end
    }
}

/// Tokens of the successful measured requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// Prompt tokens as the model saw them, template included.
    pub prompt: Figure,
    /// Of those, from the server's prompt cache.
    pub cached_prompt: Figure,
    /// Generated tokens, reasoning included.
    pub completion: Figure,
    /// Of those, reasoning.
    pub reasoning: Figure,
    /// Prompt and completion together.
    pub total: Figure,
    /// Who counted; null when requests differ in that.
    pub counted_by: Option<TokenSource>,
}

/// Times of the successful measured requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Sent to first generated text, reasoning included.
    pub ttft: Summary,
    /// Sent to first text that is not reasoning.
    #[serde(default = "Summary::not_told")]
    pub ttfo: Summary,
    /// (E2E - TTFT) / (output tokens - 1), one value a request.
    pub inter_token_latency: Summary,
    /// (last text event - first text event) / (output tokens - 1), one value a request: without the
    /// server's closing events.
    pub tpot: Summary,
    /// Gaps between text events, pooled over all requests. A chunk may hold several tokens.
    pub inter_chunk_latency: Summary,
    /// Sent to ended.
    pub e2e: Summary,
    /// From when the load wanted it sent to ended: attempts that failed before and waiting for a place included.
    #[serde(default = "Summary::not_told")]
    pub e2e_from_schedule: Summary,
    /// From when the load wanted it sent to sent.
    #[serde(default = "Summary::not_told")]
    pub queue_delay: Summary,
    /// (output tokens - 1) / (E2E - TTFT), one value a request: what a user sees while text comes.
    pub decode_speed: Summary,
    /// Output tokens / E2E, one value a request: what a user sees in all.
    #[serde(default = "Summary::not_told")]
    pub e2e_speed: Summary,
}

/// Rates over the measured window, failed requests' time included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Throughput {
    /// Successful requests over the window.
    pub requests: Figure,
    /// Output tokens of successful requests over the window.
    pub output_tokens: Figure,
    /// Prompt tokens of successful requests over the window.
    #[serde(default = "Figure::not_told")]
    pub prompt_tokens: Figure,
    /// Prompt and output tokens of successful requests over the window.
    pub total_tokens: Figure,
    /// Most requests in flight at once.
    pub peak_in_flight: u64,
}

/// Whose energy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Machine {
    /// The machine where the model runs.
    Server,
    /// The machine that sends the requests, when the model runs elsewhere.
    Client,
}

/// Energy over the measured window, gross and net.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Everything used in the measured window: the headline.
    pub gross: Figure,
    /// Gross over the window's length.
    pub mean_power: Figure,
    /// Power in the idle phase before, the model loaded.
    pub idle_power_before: Figure,
    /// Power in the idle phase after, the model loaded.
    pub idle_power_after: Figure,
    /// Power before the model was loaded.
    pub bare_power_before: Figure,
    /// Power after it was gone.
    pub bare_power_after: Figure,
    /// Power of the baseline that net energy is net of; half of what it drifted by is in its uncertainty.
    pub baseline_power: Figure,
    /// Gross less the baseline's power over the window's length.
    pub net: Figure,
    /// Which baseline: `bare`, `context` or `model_loaded`; null without a net figure.
    pub net_baseline: Option<String>,
    /// Energy at the baseline's power over gross.
    pub idle_share: Figure,
}

/// Energy of one counted sensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceEnergy {
    /// The sensor.
    pub sensor: String,
    /// Its device, where it has one.
    pub device: Option<DeviceRef>,
    /// What is inside the number.
    pub scope: String,
    /// Over the measured window.
    pub gross: Figure,
    /// Over the measured window.
    pub mean_power: Figure,
}

/// Energy of a part of the machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComponentEnergy {
    /// Which part.
    pub component: Component,
    /// Whether it was selected and exists.
    pub counted: bool,
    /// What is counted, or why it is not.
    pub what: String,
    /// The energy.
    pub account: Account,
    /// By device.
    pub devices: Vec<DeviceEnergy>,
}

/// A sum over parts; null if a part that was selected and exists failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Total {
    /// The parts inside.
    pub included: Vec<Component>,
    /// The energy.
    pub account: Account,
}

/// Energy of one machine over the measured window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnergyFindings {
    /// Whose.
    pub machine: Machine,
    /// By part.
    pub components: Vec<ComponentEnergy>,
    /// The measured parts: the headline.
    pub measured: Total,
    /// The modelled parts.
    pub modelled: Total,
    /// Both together; see `modelled_share` for how much of it is a model's.
    pub combined: Total,
    /// The modelled part of `combined`.
    pub modelled_share: Figure,
}

/// Which energy the headline figures are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The selected GPUs.
    Gpu,
    /// All measured parts.
    MeasuredTotal,
    /// All modelled parts: nothing was measured.
    ModelledTotal,
    /// Nothing was metered.
    Nothing,
}

impl Basis {
    /// The word used in tables and columns.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gpu => "gpu",
            Self::MeasuredTotal => "measured_total",
            Self::ModelledTotal => "modelled_total",
            Self::Nothing => "nothing",
        }
    }
}

/// How energy was shared out to single requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Attribution {
    /// One request at a time: the energy between one sending and the next.
    Measured,
    /// Shared out by a rule: requests overlapped or were too short for the sensor.
    Estimated,
}

/// How the interval of Wh per 1000 requests was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BootstrapFacts {
    /// In words.
    pub method: String,
    /// Seed of the generator (xoshiro256++).
    pub seed: u64,
    /// Resamples drawn.
    pub resamples: u32,
    /// Prompts resampled.
    pub prompts: u64,
    /// How each request's energy was had.
    pub attribution: Attribution,
    /// The rule, in words.
    pub attribution_rule: String,
}

/// Energy over what it bought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Efficiency {
    /// Which energy.
    pub basis: Basis,
    /// The same in words.
    pub basis_note: String,
    /// Gross energy over output tokens of successful requests.
    pub joules_per_output_token: Figure,
    /// Gross energy over all tokens of successful requests.
    pub joules_per_total_token: Figure,
    /// Gross energy over successful requests; the energy of failed ones is inside.
    pub joules_per_request: Figure,
    /// Output tokens over gross energy.
    pub output_tokens_per_joule: Figure,
    /// Prompt and output tokens over gross energy.
    #[serde(default = "Figure::not_told")]
    pub total_tokens_per_joule: Figure,
    /// Energy for each request times its mean E2E: less of both is better.
    #[serde(default = "Figure::not_told")]
    pub energy_delay_product: Figure,
    /// Gross energy over successful requests, for a thousand of them.
    pub wh_per_1000_requests: Figure,
    /// How its interval was made; null when there is none.
    pub bootstrap: Option<BootstrapFacts>,
    /// Gross energy over the window's length.
    pub mean_power: Figure,
    /// Highest powers over short times; empty in reports of earlier versions.
    #[serde(default)]
    pub peak_power: Vec<PeakPower>,
}

/// Emissions of the measured window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Emissions {
    /// Carbon intensity with its pedigree; null without one.
    pub factor: Option<CarbonFactor>,
    /// Power usage effectiveness: multiplies the energy for the emissions only.
    pub pue: f64,
    /// Which energy, in words.
    pub basis: String,
    /// The parts inside.
    pub included: Vec<Component>,
    /// Of the measured and modelled parts together.
    pub total: Figure,
    /// Of the measured parts.
    pub measured: Figure,
    /// Of the modelled parts.
    pub modelled: Figure,
    /// Total over successful requests, for a thousand of them.
    pub per_1000_requests: Figure,
}

/// A sensor with its provenance and what it did in this run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SensorFindings {
    /// Provenance.
    #[serde(flatten)]
    pub info: SensorInfo,
    /// Reads that gave a value.
    pub reads: u64,
    /// Reads that failed.
    pub failed_reads: u64,
    /// Times that the value changed; only for energy counters.
    pub changes: Option<u64>,
    /// Longest time without a good read in the measured window.
    pub longest_gap: Figure,
    /// Mean time that a read took.
    pub read_cost: Figure,
}

/// What a sensor that gives no energy saw in the measured window: load, heat, clocks, memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// The sensor.
    pub sensor: String,
    /// What part of the machine.
    pub component: Component,
    /// The device, where there is one.
    pub device: Option<DeviceRef>,
    /// What the values mean.
    pub quantity: Quantity,
    /// Mean of the reads in the window.
    pub mean: Figure,
    /// Lowest.
    pub min: Figure,
    /// Highest.
    pub max: Figure,
}

/// Energy counter against power, integrated, of the same device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CrossCheck {
    /// The energy counter.
    pub counter: String,
    /// The power sensor.
    pub power: String,
    /// By the counter.
    pub counter_energy: Figure,
    /// By integrating power.
    pub integrated_energy: Figure,
    /// (integrated - counter) / counter.
    pub difference: Figure,
}

/// Everything a run found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Findings {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// What made it.
    pub program: Program,
    /// Who ran when, and whether to its end.
    pub run: RunFacts,
    /// The machine whose meters were read.
    pub host: HostInfo,
    /// Who answered.
    pub backend: BackendInfo,
    /// A plain sentence when the weights are not real; null otherwise.
    pub weights_note: Option<String>,
    /// Where the prompts came from.
    pub dataset: DatasetInfo,
    /// What is counted, in one sentence.
    pub boundary: String,
    /// What is counted, by part.
    pub scope: Vec<ComponentScope>,
    /// Requests.
    pub counts: Counts,
    /// Tokens.
    pub tokens: Tokens,
    /// Times.
    pub latency: Latency,
    /// Rates.
    pub throughput: Throughput,
    /// Requests that met their objectives, and what the others cost; null in reports of earlier versions.
    #[serde(default)]
    pub goodput: Option<GoodputFindings>,
    /// Energy of the machine where the model runs.
    pub energy: EnergyFindings,
    /// Energy of the machine that sent the requests, when the model runs elsewhere; null otherwise.
    pub client_energy: Option<EnergyFindings>,
    /// The server's share of the CPU energy; null where no CPU energy is counted.
    #[serde(default)]
    pub cpu_share: Option<CpuShare>,
    /// Energy over what it bought.
    pub efficiency: Efficiency,
    /// The same energy split over requests, prefill and decode.
    pub attribution: AttributionFindings,
    /// Repetitions, steady state, warm-up.
    pub protocol: ProtocolFindings,
    /// External meters, beside the sensors.
    #[serde(default)]
    pub references: Vec<ReferenceFindings>,
    /// Emissions.
    pub emissions: Emissions,
    /// Emissions by the electricity that was bought, water, cost and hardware; null in reports of earlier versions.
    #[serde(default)]
    pub footprint: Option<Footprint>,
    /// The phases, each with what it used.
    pub phases: Vec<PhaseFindings>,
    /// What the reader should know.
    pub warnings: Vec<Warning>,
    /// The sensors.
    pub sensors: Vec<SensorFindings>,
    /// Counter against power, where both exist.
    pub cross_checks: Vec<CrossCheck>,
    /// Load, heat, clocks and memory in the measured window.
    pub observations: Vec<Observation>,
    /// Conversations turn by turn; null where prompts were not gone through so.
    #[serde(default)]
    pub conversations: Option<ConversationFindings>,
    /// Lengths asked for and delivered, and hits of the server's prefix cache; null where nothing was told of them.
    #[serde(default)]
    pub workload: Option<WorkloadFindings>,
    /// What driving the load cost, and whether it disturbed the figures; null in reports of earlier versions.
    #[serde(default)]
    pub client: Option<ClientFindings>,
    /// What the server's own page of metrics says; null where it has none that is known, and in reports of earlier versions.
    #[serde(default)]
    pub server: Option<ServerFindings>,
    /// What the metering itself cost; null in reports of earlier versions.
    #[serde(default)]
    pub meter_cost: Option<MeterCost>,
    /// Unit and definition of each figure, by its path in this report; empty in reports of earlier versions.
    #[serde(default)]
    pub definitions: BTreeMap<String, Definition>,
    /// The resolved config, without secrets.
    pub config: Value,
}
