//! `results.csv`: one row a run.
//!
//! First every column that the proof of concept wrote for the same backend, same names, same order,
//! values as Python printed them (`True`, `[0]`, `3.05e-07`); then our own, with units in their names. What
//! is not known is empty.
//!
//! Where the proof of concept's value was wrong, ours is right under the same name:
//! `energy_carbon_intensity_g_per_kwh` is the intensity, `energy_energy_wh` the gross energy of the GPUs,
//! `energy_duration_seconds` the measured window that the energy is of, and
//! `metrics_metadata_version` names this program and the method. Its backends had different
//! `backend_info_*` columns: `vllm` has those of its vLLM backend, in-process backends those of its PyTorch backend.

mod protocol;

use serde_json::Value;

use crate::analysis::Findings;
use crate::analysis::findings::{Account, Figure};
use crate::analysis::stats::Summary;
use crate::record::{Component, Source, StopReason, TokenSource, Weights};
use crate::units::JOULES_PER_WATT_HOUR;

use super::ReportError;
use super::files::{LineEnd, line};

/// The reporter's name.
pub const KIND: &str = "csv";
/// File name in a run folder.
pub const FILE: &str = "results.csv";

/// Header and row, the whole file.
///
/// # Errors
/// Never for findings of a run; the CSV writer's own otherwise.
pub fn render(findings: &Findings) -> Result<Vec<u8>, ReportError> {
    let (header, row) = header_and_row(findings);
    let mut bytes = line(&header, LineEnd::CrLf)?;
    bytes.extend(line(&row, LineEnd::CrLf)?);
    Ok(bytes)
}

/// Header and row; the header depends on the backend only.
#[must_use]
pub fn header_and_row(findings: &Findings) -> (Vec<&'static str>, Vec<String>) {
    let mut columns = setup(findings);
    columns.extend(summary(findings));
    columns.extend(energy(findings));
    columns.extend(backend(findings));
    columns.extend(metrics(findings));
    columns.extend(about(findings));
    columns.extend(headline(findings));
    columns.extend(by_part(findings));
    columns.extend(carbon(findings));
    columns.extend(rates(findings));
    columns.extend(protocol::columns(findings));
    columns.into_iter().unzip()
}

type Column = (&'static str, String);

fn setup(findings: &Findings) -> Vec<Column> {
    vec![
        ("config_name", findings.run.name.clone()),
        ("config_backend", findings.backend.kind.clone()),
        ("config_model", findings.backend.model.clone()),
        (
            "config_dataset",
            configured_or(findings, "/scenario/dataset_name", &findings.dataset.name),
        ),
        ("config_num_samples", configured(findings, "/scenario/num_samples")),
        ("config_device_ids", python_list(&device_ids(findings))),
    ]
}

fn summary(findings: &Findings) -> Vec<Column> {
    let counts = &findings.counts;
    vec![
        ("summary_total_prompts", counts.sent.to_string()),
        ("summary_successful_prompts", counts.succeeded.to_string()),
        ("summary_failed_prompts", counts.unanswered().to_string()),
        ("summary_total_duration_seconds", figure(&findings.run.window)),
        ("summary_avg_latency_seconds", number(findings.latency.e2e.mean)),
        ("summary_avg_time_to_first_token", number(findings.latency.ttft.mean)),
        ("summary_total_tokens", count(&findings.tokens.total)),
        ("summary_total_prompt_tokens", count(&findings.tokens.prompt)),
        ("summary_total_completion_tokens", count(&findings.tokens.completion)),
        ("summary_throughput_tokens_per_second", figure(&findings.throughput.total_tokens)),
    ]
}

fn energy(findings: &Findings) -> Vec<Column> {
    let grams = findings.emissions.total.value;
    let gpu = gross(findings, Component::Gpu);
    let cpu = gross(findings, Component::Cpu);
    let ram = gross(findings, Component::Ram);
    let total = findings.energy.combined.account.gross.value;
    let factor = findings.emissions.factor.as_ref();
    let country = factor.and_then(|factor| factor.country_iso_code.clone());
    let region = factor.and_then(|factor| factor.region.clone());
    vec![
        ("energy_emissions_kg_co2eq", number(grams.map(|grams| grams / 1000.0))),
        ("energy_emissions_g_co2eq", number(grams)),
        ("energy_energy_kwh", number(gpu.map(kwh))),
        ("energy_energy_wh", number(gpu.map(wh))),
        ("energy_gpu_energy_kwh", number(gpu.map(kwh))),
        ("energy_gpu_energy_wh", number(gpu.map(wh))),
        ("energy_cpu_energy_kwh", number(cpu.map(kwh))),
        ("energy_cpu_energy_wh", number(cpu.map(wh))),
        ("energy_ram_energy_kwh", number(ram.map(kwh))),
        ("energy_ram_energy_wh", number(ram.map(wh))),
        ("energy_total_energy_kwh", number(total.map(kwh))),
        ("energy_total_energy_wh", number(total.map(wh))),
        ("energy_duration_seconds", figure(&findings.run.window)),
        (
            "energy_carbon_intensity_g_per_kwh",
            number(factor.map(|factor| factor.intensity.value())),
        ),
        ("energy_project_name", project_name(findings)),
        (
            "energy_country",
            country.unwrap_or_else(|| configured(findings, "/metrics/country_iso_code")),
        ),
        ("energy_region", region.unwrap_or_else(|| configured(findings, "/metrics/region"))),
    ]
}

fn backend(findings: &Findings) -> Vec<Column> {
    let info = &findings.backend;
    // A run begins only after the backend's check: a report means that it was passed.
    let passed = boolean(true);
    if info.kind == "vllm" {
        return vec![
            ("backend_info_backend", info.kind.clone()),
            ("backend_info_endpoint", info.endpoint.clone().unwrap_or_default()),
            ("backend_info_model", info.model.clone()),
            ("backend_info_healthy", passed.clone()),
            ("backend_info_validated", passed),
        ];
    }
    let told = |key: &str| {
        let detail = info.details.get(key).map(cell).filter(|detail| !detail.is_empty());
        detail.unwrap_or_else(|| configured(findings, &format!("/backend/{key}")))
    };
    vec![
        ("backend_info_backend", info.kind.clone()),
        ("backend_info_model", info.model.clone()),
        ("backend_info_device", told("device")),
        ("backend_info_device_ids", device_ids(findings).join(",")),
        ("backend_info_torch_dtype", told("torch_dtype")),
        ("backend_info_device_map", told("device_map")),
        ("backend_info_initialized", passed.clone()),
        ("backend_info_healthy", passed),
    ]
}

fn metrics(findings: &Findings) -> Vec<Column> {
    let mut capabilities: Vec<String> = findings
        .scope
        .iter()
        .filter(|scope| scope.counted)
        .map(|scope| format!("{}_energy", scope.component.as_str()))
        .collect();
    if findings.emissions.factor.is_some() {
        capabilities.push("carbon_emissions".to_owned());
    }
    vec![
        ("metrics_metadata_name", configured_or(findings, "/metrics/type", "codecarbon")),
        ("metrics_metadata_version", method_version(findings)),
        ("metrics_metadata_capabilities", capabilities.join(",")),
        ("metrics_metadata_project_name", project_name(findings)),
        ("metrics_metadata_output_dir", configured(findings, "/metrics/output_dir")),
        ("timestamp", findings.run.ended.replace('Z', "+00:00")),
    ]
}

fn about(findings: &Findings) -> Vec<Column> {
    let run = &findings.run;
    let share = findings.cpu_share.as_ref();
    let codes: Vec<&str> = findings.warnings.iter().map(|warning| warning.code.as_str()).collect();
    vec![
        ("run_id", run.id.clone()),
        ("program_version", findings.program.version.clone()),
        ("config_sha256", run.config_sha256.clone()),
        ("complete", boolean(run.complete)),
        ("stop_reason", run.stop_reason.map(stop_word).unwrap_or_default().to_owned()),
        ("planned_requests", findings.counts.planned.to_string()),
        ("retries", findings.counts.retries.to_string()),
        ("weights", weights_word(findings.backend.weights).to_owned()),
        ("weights_note", findings.weights_note.clone().unwrap_or_default()),
        ("server", findings.backend.server.clone().unwrap_or_default()),
        ("server_version", findings.backend.server_version.clone().unwrap_or_default()),
        ("server_is_local", boolean(findings.backend.local)),
        ("dataset_revision", findings.dataset.revision.clone().unwrap_or_default()),
        ("boundary", findings.boundary.clone()),
        ("cpu_scope", share.map(|share| share.counted.as_str().to_owned()).unwrap_or_default()),
        ("cpu_share_of", share.and_then(|share| share.who.clone()).unwrap_or_default()),
        ("cpu_share", share.map(|share| figure(&share.share)).unwrap_or_default()),
        ("cpu_share_energy_j", share.map(|share| figure(&share.energy)).unwrap_or_default()),
        ("warnings", codes.join(";")),
    ]
}

fn headline(findings: &Findings) -> Vec<Column> {
    let efficiency = &findings.efficiency;
    let thousand = &efficiency.wh_per_1000_requests;
    let ends = thousand.interval_95;
    vec![
        ("energy_basis", efficiency.basis.as_str().to_owned()),
        ("wh_per_1000_requests", figure(thousand)),
        ("wh_per_1000_requests_ci95_low", number(ends.map(|ends| ends[0]))),
        ("wh_per_1000_requests_ci95_high", number(ends.map(|ends| ends[1]))),
        ("wh_per_1000_requests_random_uncertainty", random(thousand)),
        ("wh_per_1000_requests_systematic_uncertainty", systematic(thousand)),
        ("j_per_output_token", figure(&efficiency.joules_per_output_token)),
        ("j_per_total_token", figure(&efficiency.joules_per_total_token)),
        ("j_per_request", figure(&efficiency.joules_per_request)),
        ("output_tokens_per_j", figure(&efficiency.output_tokens_per_joule)),
        ("mean_power_w", figure(&efficiency.mean_power)),
    ]
}

/// Columns of one account; the names are spelt out because they are searched for.
macro_rules! account {
    ($prefix:literal, $account:expr) => {{
        let account: Option<&Account> = $account;
        let of = |pick: fn(&Account) -> &Figure, show: fn(&Figure) -> String| {
            account.map(|account| show(pick(account))).unwrap_or_default()
        };
        [
            (concat!($prefix, "_energy_j"), of(|account| &account.gross, figure)),
            (
                concat!($prefix, "_energy_random_uncertainty_j"),
                of(|account| &account.gross, random),
            ),
            (
                concat!($prefix, "_energy_systematic_uncertainty_j"),
                of(|account| &account.gross, systematic),
            ),
            (concat!($prefix, "_energy_source"), of(|account| &account.gross, source)),
            (concat!($prefix, "_mean_power_w"), of(|account| &account.mean_power, figure)),
            (
                concat!($prefix, "_idle_power_before_w"),
                of(|account| &account.idle_power_before, figure),
            ),
            (
                concat!($prefix, "_idle_power_after_w"),
                of(|account| &account.idle_power_after, figure),
            ),
            (concat!($prefix, "_net_energy_j"), of(|account| &account.net, figure)),
            (concat!($prefix, "_idle_share"), of(|account| &account.idle_share, figure)),
        ]
    }};
}

fn by_part(findings: &Findings) -> Vec<Column> {
    let part = |component: Component| {
        findings
            .energy
            .components
            .iter()
            .find(|part| part.component == component)
            .map(|part| &part.account)
    };
    let energy = &findings.energy;
    let parts =
        |list: &[Component]| list.iter().map(|part| part.as_str()).collect::<Vec<_>>().join("+");
    let baseline = energy
        .components
        .iter()
        .map(|part| &part.account)
        .find_map(|account| account.net_baseline.clone());
    let mut columns = Vec::new();
    columns.extend(account!("gpu", part(Component::Gpu)));
    columns.extend(account!("cpu", part(Component::Cpu)));
    columns.extend(account!("ram", part(Component::Ram)));
    columns.extend(account!("measured", Some(&energy.measured.account)));
    columns.push(("measured_included", parts(&energy.measured.included)));
    columns.extend(account!("modelled", Some(&energy.modelled.account)));
    columns.push(("modelled_included", parts(&energy.modelled.included)));
    columns.push(("modelled_share_of_total", figure(&energy.modelled_share)));
    columns.push(("net_baseline", baseline.unwrap_or_default()));
    let client = findings.client_energy.as_ref().map(|energy| &energy.combined.account.gross);
    columns.push(("client_energy_j", client.map(figure).unwrap_or_default()));
    columns
}

fn carbon(findings: &Findings) -> Vec<Column> {
    let emissions = &findings.emissions;
    let factor = emissions.factor.as_ref();
    let year = factor.and_then(|factor| factor.year).map(|year| year.to_string());
    vec![
        ("gco2e_per_1000_requests", figure(&emissions.per_1000_requests)),
        ("gco2e_measured", figure(&emissions.measured)),
        ("gco2e_modelled", figure(&emissions.modelled)),
        ("carbon_source", factor.map(|factor| factor.source.clone()).unwrap_or_default()),
        ("carbon_year", year.unwrap_or_default()),
        ("carbon_boundary", factor.map(|factor| factor.boundary.words()).unwrap_or_default()),
        ("pue", python_float(emissions.pue)),
    ]
}

macro_rules! spread {
    ($prefix:literal, $unit:literal, $summary:expr) => {{
        let summary: &Summary = $summary;
        [
            (concat!($prefix, "_mean_", $unit), number(summary.mean)),
            (concat!($prefix, "_p50_", $unit), number(summary.p50)),
            (concat!($prefix, "_p90_", $unit), number(summary.p90)),
            (concat!($prefix, "_p95_", $unit), number(summary.p95)),
            (concat!($prefix, "_p99_", $unit), number(summary.p99)),
        ]
    }};
}

fn rates(findings: &Findings) -> Vec<Column> {
    let tokens = &findings.tokens;
    let throughput = &findings.throughput;
    let latency = &findings.latency;
    let counted_by = match tokens.counted_by {
        Some(TokenSource::Usage) => "usage",
        Some(TokenSource::Engine) => "engine",
        Some(TokenSource::Missing) => "missing",
        None => "",
    };
    let mut columns = vec![
        ("cached_prompt_tokens", count(&tokens.cached_prompt)),
        ("reasoning_tokens", count(&tokens.reasoning)),
        ("tokens_counted_by", counted_by.to_owned()),
        ("requests_per_s", figure(&throughput.requests)),
        ("output_tokens_per_s", figure(&throughput.output_tokens)),
        ("total_tokens_per_s", figure(&throughput.total_tokens)),
        ("peak_in_flight", throughput.peak_in_flight.to_string()),
    ];
    columns.extend(spread!("ttft", "s", &latency.ttft));
    columns.extend(spread!("inter_token_latency", "s", &latency.inter_token_latency));
    columns.extend(spread!("tpot", "s", &latency.tpot));
    columns.extend(spread!("inter_chunk_latency", "s", &latency.inter_chunk_latency));
    columns.extend(spread!("e2e", "s", &latency.e2e));
    columns.push(("run_overhead_s", figure(&findings.run.overhead)));
    columns
}

/// Our name and version with the method, where CodeCarbon's version is asked for.
#[must_use]
pub fn method_version(findings: &Findings) -> String {
    format!("{} {} (CodeCarbon 3.3.2 method)", findings.program.name, findings.program.version)
}

/// The name in `emissions.csv`: the config's, or the run's.
#[must_use]
pub fn project_name(findings: &Findings) -> String {
    configured_or(findings, "/metrics/project_name", &findings.run.name)
}

fn gross(findings: &Findings, component: Component) -> Option<f64> {
    let part = findings.energy.components.iter().find(|part| part.component == component)?;
    part.account.gross.value
}

fn wh(joules: f64) -> f64 {
    joules / JOULES_PER_WATT_HOUR
}

/// Joules to kWh.
pub(super) fn kwh(joules: f64) -> f64 {
    wh(joules) / 1000.0
}

fn configured(findings: &Findings, pointer: &str) -> String {
    findings.config.pointer(pointer).map(cell).unwrap_or_default()
}

pub(super) fn configured_or(findings: &Findings, pointer: &str, otherwise: &str) -> String {
    let found = configured(findings, pointer);
    if found.is_empty() { otherwise.to_owned() } else { found }
}

/// A config value as Python prints it in a cell.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(flag) => boolean(*flag),
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => {
            number.as_f64().map(python_float).unwrap_or_default()
        }
        other => other.to_string(),
    }
}

/// GPUs asked for, else those counted.
fn device_ids(findings: &Findings) -> Vec<String> {
    match findings.config.pointer("/backend/device_ids") {
        Some(Value::Array(ids)) => ids.iter().map(cell).collect(),
        _ => findings.host.gpus.iter().map(|gpu| gpu.index.to_string()).collect(),
    }
}

fn python_list(ids: &[String]) -> String {
    let items: Vec<String> = ids
        .iter()
        .map(|id| if id.parse::<u64>().is_ok() { id.clone() } else { format!("'{id}'") })
        .collect();
    format!("[{}]", items.join(", "))
}

fn figure(figure: &Figure) -> String {
    number(figure.value)
}

fn random(figure: &Figure) -> String {
    number(figure.uncertainty.as_ref().map(|uncertainty| uncertainty.random))
}

fn systematic(figure: &Figure) -> String {
    number(figure.uncertainty.as_ref().and_then(|uncertainty| uncertainty.systematic))
}

fn source(figure: &Figure) -> String {
    figure.source.map(source_word).unwrap_or_default().to_owned()
}

/// The word for a source.
pub(super) const fn source_word(source: Source) -> &'static str {
    match source {
        Source::Measured => "measured",
        Source::Modelled => "modelled",
        Source::Assumed => "assumed",
    }
}

/// The word for weights.
pub(super) const fn weights_word(weights: Weights) -> &'static str {
    match weights {
        Weights::Real => "real",
        Weights::Synthetic => "synthetic",
        Weights::Unknown => "unknown",
    }
}

const fn stop_word(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Interrupted => "interrupted",
        StopReason::ConsecutiveFailures => "consecutive_failures",
        StopReason::RecordsFailed => "records_failed",
        StopReason::CommandFailed => "command_failed",
    }
}

/// A whole number, as Python's `int` prints.
fn count(figure: &Figure) -> String {
    figure.value.map(|value| format!("{value:.0}")).unwrap_or_default()
}

/// A number that may be missing.
pub(super) fn number(value: Option<f64>) -> String {
    value.map(python_float).unwrap_or_default()
}

fn boolean(flag: bool) -> String {
    if flag { "True" } else { "False" }.to_owned()
}

/// A float as Python's `repr` prints it: the shortest digits that read back as the same number, with
/// an exponent below 1e-4 and from 1e16.
#[must_use]
pub fn python_float(value: f64) -> String {
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let power: i32 = exponent.parse().unwrap_or(0);
    if value != 0.0 && !(-4..16).contains(&power) {
        let sign = if power < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", power.unsigned_abs());
    }
    let plain = format!("{value}");
    if plain.contains('.') { plain } else { format!("{plain}.0") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_in_python() {
        for (value, expected) in [
            (0.0, "0.0"),
            (5.0, "5.0"),
            (1.539_294_242_858_886_7, "1.5392942428588867"),
            (3.048_219_005_127_173_6e-7, "3.0482190051271736e-07"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e16, "1e+16"),
            (-71.2, "-71.2"),
            (123_456_789.0, "123456789.0"),
        ] {
            assert_eq!(python_float(value), expected);
        }
    }

    #[test]
    fn device_lists_print_as_in_python() {
        let ids = |list: &[&str]| list.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        assert_eq!(python_list(&ids(&["0"])), "[0]");
        assert_eq!(python_list(&ids(&["0", "GPU-4f1"])), "[0, 'GPU-4f1']");
        assert_eq!(python_list(&[]), "[]");
    }
}
