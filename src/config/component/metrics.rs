//! Settings of the metering and of the carbon accounting.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::attribution::AttributionConfig;
use super::protocol::{Baseline, BaselinePower, SteadyState};
use super::reference::ReferenceConfig;
use super::slo::SloConfig;

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

/// How near `metrics.type: codecarbon` stays to CodeCarbon.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CodecarbonCompat {
    /// Its tables and formulas with its rounding mended: a kWh is 3,600,000 J, and a table's zero is an error.
    #[default]
    Corrected,
    /// Its figures to the last digit, 2.77778e-7 kWh a joule included.
    Exact,
}

/// What a factor of bought electricity rests on (GHG Protocol, scope 2 guidance).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MarketInstrument {
    /// The supplier's own figure.
    Supplier,
    /// A power purchase agreement or another contract.
    Contract,
    /// Energy attribute certificates: guarantees of origin, RECs.
    Certificates,
    /// What is left of the grid's mix when certificates are taken out.
    ResidualMix,
}

impl MarketInstrument {
    /// The word that the config uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Supplier => "supplier",
            Self::Contract => "contract",
            Self::Certificates => "certificates",
            Self::ResidualMix => "residual_mix",
        }
    }
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
    /// Whose rules count: `codecarbon` (CodeCarbon 3.3.2's tables and formulas) or `energy` (this program's own: the
    /// newest tables with their boundary, eGRID subregions). The metering is the same.
    #[serde(rename = "type")]
    pub kind: String,
    /// `corrected` or `exact`: with `type: codecarbon`, whether figures are CodeCarbon's to the last digit.
    pub codecarbon_compat: CodecarbonCompat,
    /// With `type: codecarbon`, read `~/.codecarbon.config`, `./.codecarbon.config` and `CODECARBON_*` as CodeCarbon does;
    /// what this config says itself stands.
    pub codecarbon_settings: bool,
    /// Meter at all. False still measures time and tokens.
    pub enabled: bool,
    /// Name in `emissions.csv`. Default: the config's name.
    pub project_name: Option<String>,
    /// Folder whose `emissions.csv` gets a row; relative to where the command was started. Default: only the run folder.
    pub output_dir: Option<String>,
    /// Name of that file. Default: `emissions.csv`.
    pub output_file: Option<String>,
    /// Name in the file of tasks, `emissions_NAME_RUNID.csv`. Default: `base`.
    pub experiment_name: Option<String>,
    /// Identity in `emissions.csv`. Default: CodeCarbon's.
    pub experiment_id: Option<String>,
    /// Country of the electricity, ISO 3166-1 alpha-3 (or alpha-2, or an English name). Without it there are no emissions, only energy.
    pub country_iso_code: Option<String>,
    /// State, province or bidding zone, where a table exists (USA and Canada; with `type: codecarbon` also China, Sweden,
    /// Norway and Finland).
    pub region: Option<String>,
    /// eGRID subregion in the USA: `CAMX`, `ERCT`. With `type: energy`.
    pub grid_subregion: Option<String>,
    /// Cloud: `gcp`; `aws` and `azure` publish no figures and are counted by country.
    pub cloud_provider: Option<String>,
    /// The cloud's name of its region: `us-central1`.
    pub cloud_region: Option<String>,
    /// Carbon intensity in gCO2e/kWh, instead of the tables'.
    pub carbon_intensity_g_per_kwh: Option<f64>,
    /// Standard uncertainty of the carbon intensity, as a share of it (0.05 = 5 %), instead of the tables'.
    pub carbon_intensity_uncertainty: Option<f64>,
    /// Carbon intensity of the electricity that was bought, in gCO2e/kWh: market-based emissions beside location-based ones.
    pub market_intensity_g_per_kwh: Option<f64>,
    /// What that figure rests on: `supplier`, `contract`, `certificates` or `residual_mix`.
    pub market_instrument: Option<MarketInstrument>,
    /// Who says so: supplier and year, or the residual mix's edition.
    pub market_source: Option<String>,
    /// Ask Electricity Maps for the intensity of the run's own hours. Default: when the token's variable is set.
    pub live_intensity: Option<bool>,
    /// Environment variable with the token of Electricity Maps.
    pub electricity_maps_token_env: String,
    /// Electricity Maps' name of the grid (`DE`, `US-CAL-CISO`). Default: the country's alpha-2 code.
    pub electricity_maps_zone: Option<String>,
    /// Where its API is.
    pub electricity_maps_url: String,
    /// Power usage effectiveness of the site: 1 or more. With `type: energy` it multiplies energy for the emissions only;
    /// with `type: codecarbon` also the energies and powers in `emissions.csv`, as there.
    pub pue: f64,
    /// Water usage effectiveness of the site in litres a kWh: of IT energy; with `type: codecarbon` of energy times PUE, as
    /// there.
    pub wue: Option<f64>,
    /// Price of electricity a kWh, in `electricity_currency`.
    pub electricity_price_per_kwh: Option<f64>,
    /// Currency of that price: `USD`, `EUR`.
    pub electricity_currency: Option<String>,
    /// Emissions of making the hardware that serves, in kgCO2e.
    pub embodied_kgco2e: Option<f64>,
    /// Years that the hardware is used.
    pub hardware_lifetime_years: Option<f64>,
    /// Share of the hardware that served this run: above 0, up to 1.
    pub hardware_share: f64,
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
    /// Look at the server's page of metrics (vLLM, llama.cpp, SGLang, TGI) once a second during the run, where it has one: queue,
    /// requests in work, cache, token counters.
    pub server_metrics: bool,
    /// Address of that page, where it is not the server's with `/metrics`.
    pub server_metrics_url: Option<String>,
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
    /// Count CPU energy by the load model though a counter could be read (CodeCarbon's `force_mode_cpu_load`).
    pub cpu_by_model: bool,
    /// Power of all processors at full load in watts. The load model then counts, though a counter could be read
    /// (CodeCarbon's `force_cpu_power`).
    pub cpu_power_w: Option<f64>,
    /// Power of the main memory in watts, instead of the model's.
    pub ram_power_w: Option<f64>,
    /// What a good request is, for goodput and the energy of good requests: `{ttft_ms: 200, inter_token_latency_ms: 20}`.
    pub slo: SloConfig,
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

/// Where the token of Electricity Maps is looked for.
pub const ELECTRICITY_MAPS_TOKEN: &str = "ELECTRICITYMAPS_API_TOKEN";
const ELECTRICITY_MAPS_URL: &str = "https://api.electricitymaps.com";
/// `metrics.type` for CodeCarbon's rules.
pub const KIND_CODECARBON: &str = "codecarbon";
/// `metrics.type` for this program's own.
pub const KIND_ENERGY: &str = "energy";

impl Default for MetricsConfig {
    fn default() -> Self {
        Self {
            kind: KIND_CODECARBON.to_owned(),
            codecarbon_compat: CodecarbonCompat::Corrected,
            codecarbon_settings: true,
            enabled: true,
            project_name: None,
            output_dir: None,
            output_file: None,
            experiment_name: None,
            experiment_id: None,
            country_iso_code: None,
            region: None,
            grid_subregion: None,
            cloud_provider: None,
            cloud_region: None,
            carbon_intensity_g_per_kwh: None,
            carbon_intensity_uncertainty: None,
            market_intensity_g_per_kwh: None,
            market_instrument: None,
            market_source: None,
            live_intensity: None,
            electricity_maps_token_env: ELECTRICITY_MAPS_TOKEN.to_owned(),
            electricity_maps_zone: None,
            electricity_maps_url: ELECTRICITY_MAPS_URL.to_owned(),
            pue: 1.0,
            wue: None,
            electricity_price_per_kwh: None,
            electricity_currency: None,
            embodied_kgco2e: None,
            hardware_lifetime_years: None,
            hardware_share: 1.0,
            gpu: true,
            cpu: true,
            ram: true,
            scope: Scope::Machine,
            server_pid: None,
            server_cgroup: None,
            server_is_local: None,
            server_metrics: true,
            server_metrics_url: None,
            device_isolation: None,
            skip_missing_gpus: false,
            baseline: Baseline::default(),
            baseline_power_w: BaselinePower::default(),
            steady_state: SteadyState::default(),
            max_num_seqs: None,
            fine: false,
            sample_period_s: 1.0,
            cpu_tdp_w: None,
            cpu_by_model: false,
            cpu_power_w: None,
            ram_power_w: None,
            slo: SloConfig::default(),
            attribution: AttributionConfig::default(),
            reference: None,
            calibrations: None,
            sysfs_root: "/sys".to_owned(),
            procfs_root: "/proc".to_owned(),
            nvml_library: None,
        }
    }
}
