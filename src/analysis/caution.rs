//! What the reader of the figures should know, beyond what the run itself warned of.

use crate::record::{Event, RunRecords, Source, Warning};

use super::client::ClientFindings;
use super::condition;
use super::energy::Metering;
use super::findings::{
    Basis, Counts, CrossCheck, Efficiency, EnergyFindings, Figure, RunFacts, SYNTHETIC_SENTENCE,
    SensorFindings, Tokens,
};
use super::protocol::ProtocolFindings;
use super::repetition::Repetition;
use super::server::{self, ServerFindings};
use super::window::MAX_MISSED_PERIODS;
use super::workload::{self, WorkloadFindings};

/// Counter and integrated power may differ by this share.
const CROSS_CHECK_LIMIT: f64 = 0.05;
/// Idle power before and after may differ by this share of their mean.
const IDLE_DRIFT_LIMIT: f64 = 0.10;
/// Above this random standard uncertainty the window was short for the sensors.
const RANDOM_LIMIT: f64 = 0.05;

/// Findings that cautions are drawn from.
pub struct Seen<'a> {
    /// The records.
    pub records: &'a RunRecords,
    /// The sensors' curves.
    pub metering: &'a Metering<'a>,
    /// To its end or not.
    pub run: &'a RunFacts,
    /// Requests.
    pub counts: &'a Counts,
    /// Tokens.
    pub tokens: &'a Tokens,
    /// Energy of the machine whose meters were read.
    pub metered: &'a EnergyFindings,
    /// Headline figures.
    pub efficiency: &'a Efficiency,
    /// Repetitions, steady state, warm-up.
    pub protocol: &'a ProtocolFindings,
    /// Lengths and cache hits.
    pub workload: Option<&'a WorkloadFindings>,
    /// The client's own cost and lateness.
    pub client: Option<&'a ClientFindings>,
    /// What the server said of itself.
    pub server: Option<&'a ServerFindings>,
    /// The repetitions with their requests.
    pub repetitions: &'a [Repetition<'a>],
    /// Sensors.
    pub sensors: &'a [SensorFindings],
    /// Counter against power.
    pub cross_checks: &'a [CrossCheck],
}

/// All warnings: the manifest's, the run's, and those drawn from the figures; each once.
#[must_use]
pub fn warnings(seen: &Seen<'_>) -> Vec<Warning> {
    let events = seen.records.events.iter().filter_map(|record| match &record.event {
        Event::Warning { warning } => Some(warning.clone()),
        _ => None,
    });
    let all = seen
        .records
        .manifest
        .warnings
        .iter()
        .cloned()
        .chain(events)
        .chain(about_the_run(seen))
        .chain(about_the_meters(seen))
        .chain(super::anomaly::anomalies(seen.metering))
        .chain(server::cautions(seen.server))
        .chain(about_the_energy(seen))
        .chain(condition::cautions(seen));
    let mut once: Vec<Warning> = Vec::new();
    for warning in all {
        if !once.contains(&warning) {
            once.push(warning);
        }
    }
    once
}

fn about_the_run(seen: &Seen<'_>) -> Vec<Warning> {
    let mut found = Vec::new();
    if let Some(reason) = &seen.run.incomplete_reason {
        found.push(Warning::new("incomplete", format!("The run is not complete: {reason}.")));
    }
    if seen.records.manifest.backend.weights == crate::record::Weights::Synthetic {
        found.push(Warning::new("synthetic_weights", SYNTHETIC_SENTENCE));
    }
    if let Some(client) = seen.client.filter(|client| client.client_limited == Some(true)) {
        let message = format!(
            "The client was a limit, so latencies and rates are partly its own: {}.",
            client.because.join("; ")
        );
        found.push(Warning::new("client_limited", message));
    }
    let counts = seen.counts;
    if counts.failed > 0 {
        let classes: Vec<String> = counts
            .failed_by_class
            .iter()
            .map(|(class, count)| format!("{} {count}", super::class_name(*class)))
            .collect();
        found.push(Warning::new(
            "requests_failed",
            format!(
                "{} of {} requests failed ({}); their time and energy are inside the figures, their tokens are not.",
                counts.failed, counts.sent, classes.join(", ")
            ),
        ));
    }
    for (code, count, what) in [
        ("requests_cancelled", counts.cancelled, "were given up because the run was stopped"),
        (
            "requests_in_flight",
            counts.in_flight_at_end,
            "were still in flight when the load was over and its grace had passed",
        ),
    ] {
        if count > 0 {
            found.push(Warning::new(
                code,
                format!(
                    "{count} of {} requests {what}; their time and energy are inside the figures, their tokens are not.",
                    counts.sent
                ),
            ));
        }
    }
    if counts.retries > 0 {
        found.push(Warning::new(
            "retries",
            format!("{} attempts were made again after they had failed.", counts.retries),
        ));
    }
    if counts.succeeded > 0 && seen.tokens.completion.value.is_none() {
        let reason = seen.tokens.completion.reason.clone().unwrap_or_default();
        found.push(Warning::new("tokens_missing", format!("No figures by token: {reason}.")));
    }
    if let Some(workload) = seen.workload {
        found.extend(workload::cautions(workload, seen.records));
    }
    for (file, count) in &seen.records.torn_lines {
        found.push(Warning::new(
            "torn_lines",
            format!("{file}: {count} unreadable line(s) left out (cut off while being written)."),
        ));
    }
    found
}

fn about_the_meters(seen: &Seen<'_>) -> Vec<Warning> {
    let mut found = Vec::new();
    for sensor in seen.sensors {
        let name = &sensor.info.name;
        if sensor.failed_reads > 0 {
            let error = seen
                .metering
                .channels
                .iter()
                .filter(|channel| channel.info.name == *name)
                .flat_map(|channel| &channel.samples)
                .find_map(|sample| sample.error.clone())
                .unwrap_or_else(|| "no reason given".to_owned());
            let all = sensor.reads + sensor.failed_reads;
            found.push(Warning::new(
                "failed_reads",
                format!("{name}: {} of {all} reads failed ({error}).", sensor.failed_reads),
            ));
        }
        let period =
            sensor.info.sample_period_s.0.max(sensor.info.update_period_s.map_or(0.0, |p| p.0));
        let limit = (MAX_MISSED_PERIODS * period).max(1.0);
        if let Some(gap) =
            sensor.longest_gap.value.filter(|gap| sensor.info.counted && *gap > limit)
        {
            found.push(Warning::new(
                "reads_missing",
                format!("{name} was not read for {gap:.1} s of the measured window."),
            ));
        }
    }
    for check in seen.cross_checks {
        let Some(difference) = check.difference.value else { continue };
        let noise =
            check.difference.uncertainty.as_ref().map_or(0.0, |uncertainty| uncertainty.random);
        if difference.abs() > CROSS_CHECK_LIMIT.max(3.0 * noise) {
            found.push(Warning::new(
                "counter_mismatch",
                format!(
                    "{} integrated differs from the counter {} by {:+.1} %: the power is averaged over a \
                     long time or sampled in part only, one of them counts more of the board or module, or the counter is stuck or wrong.",
                    check.power, check.counter, 100.0 * difference
                ),
            ));
        }
    }
    found
}

fn about_the_energy(seen: &Seen<'_>) -> Vec<Warning> {
    let mut found = Vec::new();
    let backend = &seen.records.manifest.backend;
    // With a meter of that machine its energy is known.
    let metered = seen.metering.channels.iter().any(|c| c.info.counted && c.info.host.is_some());
    if !backend.local && !metered {
        found.push(Warning::new(
            "remote_server",
            format!(
                "The model runs on another machine ({}): its energy is not known, and this machine's is shown as \
                 the client's.",
                backend.local_reason
            ),
        ));
    }
    if seen.efficiency.basis == Basis::ModelledTotal {
        found.push(Warning::new(
            "nothing_measured",
            "No sensor measured energy here: the energies are a model's, not a measurement.",
        ));
    }
    for part in &seen.metered.components {
        let name = part.component.as_str();
        let gross = &part.account.gross;
        if part.counted && gross.value.is_none() && seen.metering.window.is_some() {
            let reason = gross.reason.clone().unwrap_or_default();
            found.push(Warning::new(
                "energy_missing",
                format!("The {name} energy is not known: {reason}."),
            ));
        }
        let random = relative_random(gross);
        if gross.source == Some(Source::Measured) && random > RANDOM_LIMIT {
            found.push(Warning::new(
                "short_window",
                format!(
                    "The measured window is short for the {name} sensor: {:.0} % standard uncertainty. Measure more \
                     requests.",
                    100.0 * random
                ),
            ));
        }
        found.extend(idle_cautions(
            name,
            part.account.idle_power_before.value,
            part.account.idle_power_after.value,
        ));
        if part.account.net.value.is_some_and(|net| net < 0.0) {
            found.push(Warning::new(
                "net_negative",
                format!("The {name} used less in the measured window than when idle: the net energy means nothing."),
            ));
        }
    }
    found
}

fn relative_random(figure: &Figure) -> f64 {
    match (figure.value, &figure.uncertainty) {
        (Some(value), Some(uncertainty)) if value > 0.0 => uncertainty.random / value,
        _ => 0.0,
    }
}

fn idle_cautions(name: &str, before: Option<f64>, after: Option<f64>) -> Option<Warning> {
    let (before, after) = before.zip(after)?;
    let mean = before.midpoint(after);
    ((after - before).abs() > IDLE_DRIFT_LIMIT * mean).then(|| {
        Warning::new(
            "idle_drift",
            format!(
                "The {name} idled at {before:.1} W before and {after:.1} W after the measurement: the net energy and \
                 the idle share depend on which is taken (the mean is, with half the difference in its uncertainty)."
            ),
        )
    })
}
