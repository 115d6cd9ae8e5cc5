//! What the records of a measured command say: energy, time and processor time of each run, and over the runs.
//!
//! [`analyse_command`] is to a command what [`super::analyse`] is to requests; sensors, curves and parts are the same.

mod summary;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::record::{
    CarbonFactor, CommandExit, CommandInfo, CommandRun, Component, ComponentScope, Event, HostInfo,
    Phase, RunRecords, Source, StopReason, Warning,
};
use crate::units::Seconds;

use super::energy::Metering;
use super::findings::{
    Account, EnergyFindings, Figure, Machine, Program, SensorFindings, Uncertainty,
};
use super::scope::{CpuShare, Shares};
use super::window::Window;
use super::{calibrate, discovered};

/// Version of the report of a command; raised when a field changes its meaning or goes away.
pub const COMMAND_SCHEMA_VERSION: u32 = 1;
/// What the idle phases of a command are a baseline of.
const BASELINE: &str = "idle";
/// The kind of report, told in [`CommandFindings::kind`].
pub const KIND: &str = "command";

/// Everything that measuring a command found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandFindings {
    /// [`COMMAND_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// `command`: reports of requests have no such field.
    pub kind: String,
    /// What made it.
    pub program: Program,
    /// Unique to the measurement.
    pub id: String,
    /// RFC 3339, UTC.
    pub started: String,
    /// RFC 3339, UTC: the last thing recorded.
    pub ended: String,
    /// Whether every run that was asked for was made and recorded.
    pub complete: bool,
    /// Why it stopped before its end, if it did.
    pub stop_reason: Option<StopReason>,
    /// In words, when it is not complete.
    pub incomplete_reason: Option<String>,
    /// The machine.
    pub host: HostInfo,
    /// What was run.
    pub command: CommandInfo,
    /// What is counted, in one sentence.
    pub boundary: String,
    /// What is counted, by part.
    pub scope: Vec<ComponentScope>,
    /// Over the runs that ended by themselves.
    pub summary: CommandSummary,
    /// Every measured run in order.
    pub runs: Vec<CommandRunFindings>,
    /// Warm-up runs, which are in no figure.
    pub warmups: u32,
    /// Emissions of a run, of the mean energy.
    pub emissions: CommandEmissions,
    /// What the reader should know.
    pub warnings: Vec<Warning>,
    /// The sensors.
    pub sensors: Vec<SensorFindings>,
    /// The settings, without secrets.
    pub config: Value,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandRunFindings {
    /// Which, from 0.
    pub index: u32,
    /// RFC 3339, UTC.
    pub began: String,
    /// How it ended; null when the records end in it.
    pub exit: Option<CommandExit>,
    /// Whether it was ended from outside.
    pub interrupted: bool,
    /// Whether it is in the summary.
    pub counted: bool,
    /// From just before it was started until its end was known.
    pub duration: Figure,
    /// Processor time in user mode, children that were waited for included.
    pub user: Figure,
    /// Processor time in the kernel.
    pub system: Figure,
    /// Largest resident set of one process.
    pub max_rss: Figure,
    /// Energy by part and in total.
    pub energy: EnergyFindings,
    /// The command's share of the CPU energy; null where no CPU energy is counted.
    pub cpu_share: Option<CpuShare>,
}

/// A quantity over the runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Runs with a value.
    pub n: u32,
    /// Their mean with its 95 % interval (Student's t; from two runs on). Random uncertainty: of the mean by the runs'
    /// spread; of one run, by the sensors.
    pub mean: Figure,
    /// Standard deviation from run to run (n - 1).
    pub std: Option<f64>,
    /// Standard deviation over the mean.
    pub cv: Option<f64>,
    /// Smallest.
    pub min: Option<f64>,
    /// Largest.
    pub max: Option<f64>,
    /// Runs too far out for a normal sample; they are inside the figures.
    pub outliers: Vec<u32>,
}

/// Energy of a part, or of several, over the runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PartSummary {
    /// The part; null for a sum.
    pub component: Option<Component>,
    /// Whether it was selected and exists.
    pub counted: bool,
    /// What is counted, or why it is not.
    pub what: String,
    /// Everything used while a run went on.
    pub gross: Spread,
    /// That over the length of the run.
    pub mean_power: Spread,
    /// Gross less the idle power over the length of the run.
    pub net: Spread,
    /// Power in the idle phase before.
    pub idle_power_before: Figure,
    /// Power in the idle phase after.
    pub idle_power_after: Figure,
}

/// Everything over the runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandSummary {
    /// Runs inside.
    pub runs: u32,
    /// How long a run took.
    pub duration: Spread,
    /// Processor time in user mode.
    pub user: Spread,
    /// Processor time in the kernel.
    pub system: Spread,
    /// Largest resident set.
    pub max_rss: Spread,
    /// GPU, CPU and RAM.
    pub parts: Vec<PartSummary>,
    /// The measured parts together.
    pub measured: PartSummary,
    /// The modelled parts together.
    pub modelled: PartSummary,
    /// Both together.
    pub combined: PartSummary,
    /// The command's part of the CPU energy, by processor time.
    pub cpu_share_energy: Spread,
}

/// Emissions of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandEmissions {
    /// Carbon intensity with its pedigree; null without one.
    pub factor: Option<CarbonFactor>,
    /// Power usage effectiveness.
    pub pue: f64,
    /// Of the mean energy of a run, measured and modelled parts together.
    pub per_run: Figure,
}

/// Everything that the records of a command say; none when they are of requests.
#[must_use]
pub fn analyse_command(records: &RunRecords) -> Option<CommandFindings> {
    let command = records.manifest.command.clone()?;
    let records = &*calibrate::calibrated(discovered::discovered(records));
    let manifest = &records.manifest;
    let mut metering = Metering::of(records, Vec::new());
    let mut runs: Vec<CommandRunFindings> =
        seen(records).iter().map(|seen| one(records, &mut metering, seen)).collect();
    choose(&mut runs);
    metering.windows = seen(records).iter().map(|seen| seen.window).collect();
    metering.window = whole(records);
    let summary = summary::summarise(&runs);
    let (stop_reason, finished) = end(records);
    let incomplete_reason = incomplete(stop_reason, finished, &runs, &command);
    let sensors = metering.sensors();
    let findings = CommandFindings {
        schema_version: COMMAND_SCHEMA_VERSION,
        kind: KIND.to_owned(),
        program: Program {
            name: super::PROGRAM.to_owned(),
            version: manifest.version.clone(),
            git_commit: manifest.git_commit.clone(),
        },
        id: manifest.run_id.clone(),
        started: manifest.started.clone(),
        ended: super::wall_time(records, super::span(records).to),
        complete: incomplete_reason.is_none(),
        stop_reason,
        incomplete_reason,
        host: manifest.host.clone(),
        boundary: manifest.boundary.clone(),
        scope: manifest.scope.clone(),
        warmups: warmups(records),
        emissions: summary::emissions(&summary, &manifest.carbon),
        config: manifest.config.clone(),
        warnings: Vec::new(),
        command,
        summary,
        runs,
        sensors,
    };
    let warnings = summary::warnings(records, &findings);
    Some(CommandFindings { warnings, ..findings })
}

/// A run as the records have it: with its end, or up to the last reading.
struct Seen {
    index: u32,
    window: Window,
    run: Option<CommandRun>,
}

fn seen(records: &RunRecords) -> Vec<Seen> {
    let mut found: Vec<Seen> = records
        .events
        .iter()
        .filter_map(|record| match &record.event {
            Event::CommandEnd { run, phase: Phase::Measure } => Some(Seen {
                index: run.index,
                window: Window { from: run.began_ns, to: run.ended_ns },
                run: Some(run.clone()),
            }),
            _ => None,
        })
        .collect();
    // The records may end within a run: what was read until then is known all the same.
    if let Some(span) = records.spans(Phase::Measure).last()
        && span.to.is_none()
        && found.iter().all(|seen| Some(seen.index) != span.repetition)
    {
        let last = records.samples.iter().map(|sample| sample.before_ns).max();
        let to = last.unwrap_or(span.from).max(span.from);
        let index = span.repetition.unwrap_or(0);
        found.push(Seen { index, window: Window { from: span.from, to }, run: None });
    }
    found
}

fn one(records: &RunRecords, metering: &mut Metering<'_>, seen: &Seen) -> CommandRunFindings {
    metering.windows = vec![seen.window];
    metering.window = Some(seen.window);
    metering.shares = seen.run.as_ref().map_or_else(
        || Shares::Unknown("the records end before the command did".to_owned()),
        |run| Shares::told(records, seen.window, run.user_s + run.system_s),
    );
    let cut = "the records end before the command did";
    let told = |value: Option<f64>, unit: &str, reason: &str| match value {
        Some(value) => Figure::known(value, unit, Source::Measured),
        None => Figure::unknown(unit, reason),
    };
    let run = seen.run.as_ref();
    CommandRunFindings {
        index: seen.index,
        began: super::wall_time(records, seen.window.from),
        exit: run.map(|run| run.exit),
        interrupted: run.is_some_and(|run| run.interrupted),
        counted: false,
        duration: Figure::known(seen.window.length().0, Seconds::UNIT, Source::Measured),
        user: told(run.map(|run| run.user_s.0), Seconds::UNIT, cut),
        system: told(run.map(|run| run.system_s.0), Seconds::UNIT, cut),
        max_rss: told(
            run.and_then(|run| run.max_rss_bytes).map(|bytes| bytes as f64),
            "B",
            if run.is_some() { "the system does not tell it" } else { cut },
        ),
        energy: named(metering.findings(Machine::Server)),
        cpu_share: metering.cpu_share(),
    }
}

/// The same with the baseline that a command has.
fn named(mut energy: EnergyFindings) -> EnergyFindings {
    let name = |account: &mut Account| {
        if account.net_baseline.is_some() {
            account.net_baseline = Some(BASELINE.to_owned());
        }
        if account.net.value.is_some() {
            account.net.note = Some("less the power of the machine without the command".to_owned());
        } else {
            account.net.note = None;
        }
    };
    for part in &mut energy.components {
        name(&mut part.account);
    }
    for total in [&mut energy.measured, &mut energy.modelled, &mut energy.combined] {
        name(&mut total.account);
    }
    energy
}

/// Statistics are over runs that ended by themselves; where there is none, over the one that was ended.
fn choose(runs: &mut [CommandRunFindings]) {
    let by_itself = |run: &CommandRunFindings| run.exit.is_some() && !run.interrupted;
    let any = runs.iter().any(by_itself);
    for run in runs.iter_mut() {
        run.counted = if any { by_itself(run) } else { true };
    }
}

/// From the first run's begin to the last run's end.
fn whole(records: &RunRecords) -> Option<Window> {
    let seen = seen(records);
    Some(Window {
        from: seen.iter().map(|seen| seen.window.from).min()?,
        to: seen.iter().map(|seen| seen.window.to).max()?,
    })
}

fn warmups(records: &RunRecords) -> u32 {
    let of_warmup = |event: &Event| matches!(event, Event::CommandEnd { phase: Phase::Warmup, .. });
    let count = records.events.iter().filter(|record| of_warmup(&record.event)).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn end(records: &RunRecords) -> (Option<StopReason>, bool) {
    let reason = records.events.iter().find_map(|record| match record.event {
        Event::Stopped { reason } => Some(reason),
        _ => None,
    });
    (reason, records.events.iter().any(|record| record.event == Event::Finished))
}

fn incomplete(
    stop: Option<StopReason>,
    finished: bool,
    runs: &[CommandRunFindings],
    command: &CommandInfo,
) -> Option<String> {
    let made = format!("{} of {} runs were made", runs.len(), command.runs);
    match stop {
        Some(StopReason::Interrupted) => Some(format!("it was interrupted; {made}")),
        Some(StopReason::CommandFailed) if runs.len() >= command.runs as usize => None,
        Some(StopReason::CommandFailed) => Some(format!("a run failed; {made}")),
        Some(StopReason::ConsecutiveFailures | StopReason::RecordsFailed) => {
            Some(format!("its records could not be written; {made}"))
        }
        None if !finished => Some(format!("its records end in the middle; {made}")),
        None if runs.len() < command.runs as usize => Some(made),
        None => None,
    }
}
