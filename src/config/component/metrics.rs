//! Settings of the metering and of the carbon accounting.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::attribution::AttributionConfig;
use super::protocol::{Baseline, BaselinePower, SteadyState};
use super::reference::ReferenceConfig;

/// What happens when other processes use the GPUs whose energy is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceIsolation {
    /// Before the run: it does not begin. After it: the run counts as one with failures.
    Error,
    /// A caution in the report.
    Warn,
    /// As `warn`: no process of others is ever ended, and the caution says so.
    Kill,
}

/// Whose part of the CPU energy is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All of it, of whatever runs on the machine; the share of the server's processes stands beside.
    #[default]
    Machine,
    /// The share of the server's processes, by processor time.
    Process,
    /// The share of the server's control group (container), by processor time.
    Cgroup,
}

impl Scope {
    /// The word of the config.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Process => "process",
            Self::Cgroup => "cgroup",
        }
    }
}

/// What is metered and how emissions are counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// `codecarbon`: GPU, CPU and RAM energy and emissions, counted by this program with CodeCarbon's method.
    #[serde(rename = "type")]
    pub kind: String,
    /// Meter at all. False still measures time and tokens.
    pub enabled: bool,
    /// Name in `emissions.csv`. Default: the config's name.
    pub project_name: Option<String>,
    /// Folder whose `emissions.csv` gets a row; relative to where the command was started. Default: only the run folder.
    pub output_dir: Option<String>,
    /// Country of the electricity, ISO 3166-1 alpha-3 (or alpha-2, or an English name). Without it there are no emissions, only energy.
    pub country_iso_code: Option<String>,
    /// State or province, where a table exists (USA, Canada).
    pub region: Option<String>,
    /// Carbon intensity in gCO2e/kWh, instead of the tables'.
    pub carbon_intensity_g_per_kwh: Option<f64>,
    /// Power usage effectiveness of the site: 1 or more. Multiplies energy for the emissions only.
    pub pue: f64,
    /// Count GPU energy.
    pub gpu: bool,
    /// Count CPU energy.
    pub cpu: bool,
    /// Count RAM energy.
    pub ram: bool,
    /// Whose CPU energy: `machine`, or the share of the server's `process` tree or `cgroup` by processor time, which is a model.
    /// GPUs and memory are counted whole in any case.
    pub scope: Scope,
    /// Process of the server. Default: the one that listens on its port, where that is on this machine and may be seen.
    pub server_pid: Option<u32>,
    /// Control group of the server, as a path below the root of control groups: `system.slice/docker-ID.scope`.
    /// Default: the group of the server's process.
    pub server_cgroup: Option<String>,
    /// The server runs on this machine, though its address does not show it (or does not, though it does).
    pub server_is_local: Option<bool>,
    /// Check before the run and after it that no other process uses the selected GPUs: `error` or `warn`; `kill` warns.
    /// Default: a caution where it can be told, and none where it cannot.
    pub device_isolation: Option<DeviceIsolation>,
    /// Indices in `backend.device_ids` beyond the last GPU are left out with a caution; where none is left, the first GPU
    /// is taken.
    pub skip_missing_gpus: bool,
    /// What net energy is net of: `model_loaded`, `context` or `bare`. Gross energy stays the headline.
    pub baseline: Baseline,
    /// Idle power in watts by part (`gpu`, `cpu`, `ram`) that is known from elsewhere, instead of what this run's idle phases
    /// say. Marked as assumed.
    pub baseline_power_w: BaselinePower,
    /// Which part of the measurement is reported as steady, beside the whole: `full_load`, `ml_energy` or `none`.
    pub steady_state: SteadyState,
    /// Requests in a full batch, for `steady_state: ml_energy`. Default: as many as the load keeps in flight.
    pub max_num_seqs: Option<u32>,
    /// Catch every change of every energy counter and read power ten times in each of its periods, for recordings that
    /// serve to study a sensor. On an H100, whose counter takes 3 ms to read, that costs some 9 % of a core instead of 1 %.
    pub fine: bool,
    /// Seconds between reads of a sensor that has no better cadence of its own.
    pub sample_period_s: f64,
    /// Thermal design power of one processor in watts, for the CPU load model. Default: the table's.
    pub cpu_tdp_w: Option<f64>,
    /// Power of the main memory in watts, instead of the model's.
    pub ram_power_w: Option<f64>,
    /// How energy is split over requests.
    pub attribution: AttributionConfig,
    /// An external meter whose readings come as a file.
    pub reference: Option<ReferenceConfig>,
    /// File of the gains of sensors that external meters have shown (`ai-energy-benchmark reference`), applied to runs on the
    /// same GPUs. Default: `calibrations.json` in the user's data folder (`$XDG_DATA_HOME/ai-energy-benchmark`); `none`: no gains.
    pub calibrations: Option<String>,
    /// Root of the `sys` file system. Default: `/sys`.
    pub sysfs_root: String,
    /// Root of the `proc` file system. Default: `/proc`.
    pub procfs_root: String,
    /// NVML library to load. Default: the driver's `libnvidia-ml.so.1`.
    pub nvml_library: Option<String>,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self {
            kind: "codecarbon".to_owned(),
            enabled: true,
            project_name: None,
            output_dir: None,
            country_iso_code: None,
            region: None,
            carbon_intensity_g_per_kwh: None,
            pue: 1.0,
            gpu: true,
            cpu: true,
            ram: true,
            scope: Scope::Machine,
            server_pid: None,
            server_cgroup: None,
            server_is_local: None,
            device_isolation: None,
            skip_missing_gpus: false,
            baseline: Baseline::default(),
            baseline_power_w: BaselinePower::default(),
            steady_state: SteadyState::default(),
            max_num_seqs: None,
            fine: false,
            sample_period_s: 1.0,
            cpu_tdp_w: None,
            ram_power_w: None,
            attribution: AttributionConfig::default(),
            reference: None,
            calibrations: None,
            sysfs_root: "/sys".to_owned(),
            procfs_root: "/proc".to_owned(),
            nvml_library: None,
        }
    }
}
