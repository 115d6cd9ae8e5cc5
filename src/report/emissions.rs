//! `emissions.csv` in CodeCarbon's 38 columns: same names, order, units and formats, signed with our name.
//!
//! kWh, kg CO2e, kg/s, W, s, litres and GB (2^30 bytes). `energy_consumed` is the sum of the parts times the PUE, as
//! there; with `metrics.type: codecarbon` the parts and the powers are times the PUE too, as there. The powers are
//! means over the measured window. What this program does not know is empty: water without a WUE, coordinates
//! (nothing asks for them), and the Python version (there is none).

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::analysis::Findings;
use crate::analysis::findings::{Account, Observation};
use crate::analysis::stats;
use crate::record::{Component, Quantity, Weights};

use super::ReportError;
use super::csv::{configured_or, kwh, method_version, number, project_name, python_float};
use super::files::{LineEnd, line};

/// The reporter's name.
pub const KIND: &str = "emissions";
/// File name, as CodeCarbon's.
pub const FILE: &str = "emissions.csv";

/// CodeCarbon's default experiment.
const EXPERIMENT_ID: &str = "5b0fa12a-3dd7-45bb-9766-cc326314d9f1";
pub(super) const BYTES_PER_GB: f64 = 1_073_741_824.0;

/// CodeCarbon 3.3.2's columns.
pub const HEADER: [&str; 38] = [
    "timestamp",
    "project_name",
    "run_id",
    "experiment_id",
    "duration",
    "emissions",
    "emissions_rate",
    "cpu_power",
    "gpu_power",
    "ram_power",
    "cpu_energy",
    "gpu_energy",
    "ram_energy",
    "energy_consumed",
    "water_consumed",
    "country_name",
    "country_iso_code",
    "region",
    "cloud_provider",
    "cloud_region",
    "os",
    "python_version",
    "codecarbon_version",
    "cpu_count",
    "cpu_model",
    "gpu_count",
    "gpu_model",
    "longitude",
    "latitude",
    "ram_total_size",
    "tracking_mode",
    "cpu_utilization_percent",
    "gpu_utilization_percent",
    "ram_utilization_percent",
    "ram_used_gb",
    "on_cloud",
    "pue",
    "wue",
];

/// Header and row, the whole file, with times of the machine's own zone.
///
/// # Errors
/// Never for findings of a run; the CSV writer's own otherwise.
pub fn render(findings: &Findings) -> Result<Vec<u8>, ReportError> {
    let mut bytes = line(&HEADER, LineEnd::Lf)?;
    bytes.extend(line(&row(findings, &TimeZone::system()), LineEnd::Lf)?);
    Ok(bytes)
}

/// The row; `zone` is for the time stamp, which CodeCarbon writes in local time without a zone.
#[must_use]
pub fn row(findings: &Findings, zone: &TimeZone) -> [String; 38] {
    let energies = Energies::of(findings);
    let duration = findings.run.window.value;
    let rate = energies.kilograms.zip(duration).filter(|(_, seconds)| *seconds > 0.0);
    let power = |component| number(energies.power(findings, component));
    let place = Place::of(findings);
    let host = &findings.host;
    let ram_used = observed(findings, Component::Ram, Quantity::Memory);
    let ram_total = host.ram_bytes.map(|bytes| bytes as f64);
    let ram_share = ram_used.zip(ram_total).map(|(used, total)| 100.0 * used / total);
    let load = |component| {
        number(observed(findings, component, Quantity::Utilization).map(|share| 100.0 * share))
    };
    [
        local_time(&findings.run.ended, zone),
        labelled_project(findings),
        findings.run.id.clone(),
        configured_or(findings, "/metrics/experiment_id", EXPERIMENT_ID),
        number(duration),
        number(energies.kilograms),
        number(rate.map(|(kilograms, seconds)| kilograms / seconds)),
        power(Component::Cpu),
        power(Component::Gpu),
        power(Component::Ram),
        number(energies.cpu),
        number(energies.gpu),
        number(energies.ram),
        number(energies.consumed),
        number(energies.water),
        place.country_name,
        place.country_iso_code,
        place.region,
        place.cloud_provider,
        place.cloud_region,
        host.os.clone(),
        String::new(),
        method_version(findings),
        host.cpu_count.to_string(),
        host.cpu_model.clone().unwrap_or_default(),
        host.gpus.len().to_string(),
        gpu_model(findings),
        String::new(),
        String::new(),
        number(ram_total.map(|bytes| bytes / BYTES_PER_GB)),
        tracking_mode(findings).to_owned(),
        load(Component::Cpu),
        load(Component::Gpu),
        number(ram_share),
        number(ram_used.map(|bytes| bytes / BYTES_PER_GB)),
        place.on_cloud,
        python_float(findings.emissions.pue),
        wue(findings).map(python_float).unwrap_or_default(),
    ]
}

/// Columns of energy. By CodeCarbon's rules every one is times the PUE, by ours only the sum is.
struct Energies {
    cpu: Option<f64>,
    gpu: Option<f64>,
    ram: Option<f64>,
    consumed: Option<f64>,
    water: Option<f64>,
    kilograms: Option<f64>,
    /// Powers are times this.
    power_factor: f64,
}

impl Energies {
    fn of(findings: &Findings) -> Self {
        let footprint = findings.footprint.as_ref();
        if let Some(totals) = footprint.and_then(|footprint| footprint.codecarbon.as_ref()) {
            return Self {
                cpu: totals.cpu_energy,
                gpu: totals.gpu_energy,
                ram: totals.ram_energy,
                consumed: totals.energy_consumed,
                water: totals.water_consumed,
                kilograms: totals.emissions,
                power_factor: findings.emissions.pue,
            };
        }
        let energy = |component| part(findings, component).and_then(energy_kwh);
        let consumed = energy_kwh(&findings.energy.combined.account);
        Self {
            cpu: energy(Component::Cpu),
            gpu: energy(Component::Gpu),
            ram: energy(Component::Ram),
            consumed: consumed.map(|energy| energy * findings.emissions.pue),
            water: footprint.and_then(|footprint| footprint.water.value),
            kilograms: findings.emissions.total.value.map(|grams| grams / 1000.0),
            power_factor: 1.0,
        }
    }

    /// Mean over the window's time: CodeCarbon's own column is the mean of its ticks, however long each was.
    fn power(&self, findings: &Findings, component: Component) -> Option<f64> {
        Some(part(findings, component)?.mean_power.value? * self.power_factor)
    }
}

fn part(findings: &Findings, component: Component) -> Option<&Account> {
    let parts = &findings.energy.components;
    parts.iter().find(|part| part.component == component).map(|part| &part.account)
}

/// Columns of the place.
pub(super) struct Place {
    pub(super) country_name: String,
    pub(super) country_iso_code: String,
    pub(super) region: String,
    pub(super) cloud_provider: String,
    pub(super) cloud_region: String,
    pub(super) on_cloud: String,
}

impl Place {
    pub(super) fn of(findings: &Findings) -> Self {
        let factor = findings.emissions.factor.as_ref();
        let cloud = factor.and_then(|factor| factor.cloud.as_ref());
        let of_codecarbon =
            findings.footprint.as_ref().is_some_and(|footprint| footprint.method.is_codecarbon());
        let on_cloud = match (cloud, of_codecarbon) {
            (Some(_), _) => "Y",
            (None, true) => "N",
            (None, false) => "",
        };
        Self {
            country_name: factor.and_then(|factor| factor.country_name.clone()).unwrap_or_default(),
            country_iso_code: factor
                .and_then(|factor| factor.country_iso_code.clone())
                .unwrap_or_default(),
            region: factor.and_then(|factor| factor.region.clone()).unwrap_or_default(),
            cloud_provider: cloud.map(|cloud| cloud.provider.clone()).unwrap_or_default(),
            cloud_region: cloud.map(|cloud| cloud.region.clone()).unwrap_or_default(),
            on_cloud: on_cloud.to_owned(),
        }
    }
}

/// `process` where only the server's share of the CPU's energy is counted.
pub(super) fn tracking_mode(findings: &Findings) -> &'static str {
    let scope = configured_or(findings, "/metrics/scope", "machine");
    if scope == "machine" { "machine" } else { "process" }
}

fn wue(findings: &Findings) -> Option<f64> {
    findings.config.pointer("/metrics/wue")?.as_f64()
}

fn energy_kwh(account: &Account) -> Option<f64> {
    account.gross.value.map(kwh)
}

/// Mean over the devices of a part; none where nothing looked.
pub(super) fn observed(
    findings: &Findings,
    component: Component,
    quantity: Quantity,
) -> Option<f64> {
    let wanted = |seen: &&Observation| seen.component == component && seen.quantity == quantity;
    let means: Vec<f64> =
        findings.observations.iter().filter(wanted).filter_map(|seen| seen.mean.value).collect();
    stats::mean(&means)
}

/// `2 x NVIDIA H100`; several models in a row.
pub(super) fn gpu_model(findings: &Findings) -> String {
    let mut models: Vec<(&str, u32)> = Vec::new();
    for gpu in &findings.host.gpus {
        match models.iter_mut().find(|(name, _)| *name == gpu.name) {
            Some((_, count)) => *count += 1,
            None => models.push((&gpu.name, 1)),
        }
    }
    let shown: Vec<String> =
        models.iter().map(|(name, count)| format!("{count} x {name}")).collect();
    shown.join(", ")
}

pub(super) fn local_time(utc: &str, zone: &TimeZone) -> String {
    utc.parse::<Timestamp>().map_or_else(
        |_| utc.to_owned(),
        |stamp| stamp.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S").to_string(),
    )
}
/// The project's name. The columns are CodeCarbon's and none of them could say that weights are random, so
/// the name does: such rows must not be mistaken for a model's.
pub(super) fn labelled_project(findings: &Findings) -> String {
    let name = project_name(findings);
    match findings.backend.weights {
        Weights::Synthetic => format!("{name} (synthetic weights, not comparable with real ones)"),
        Weights::Real | Weights::Unknown => name,
    }
}
