//! Records become findings. Pure: no clock, no files, no network.
//!
//! [`analyse`] is the whole of it. [`window`] gives energy with its uncertainty for any interval,
//! [`latency`] the times of requests, [`stats`] percentiles and the bootstrap, [`energy`] sums by part
//! of the machine, [`efficiency`] energy over what it bought, [`protocol`] what the repetitions and the steady part say
//! ([`inference`] is their mathematics), [`caution`] what the reader should know.

pub mod align;
pub mod anomaly;
pub mod attribute;
pub mod baseline;
pub mod calibrate;
pub mod caution;
pub mod client;
pub mod command;
pub mod compare;
pub mod condition;
pub mod conversation;
pub mod definitions;
mod discovered;
pub mod efficiency;
pub mod energy;
pub mod findings;
pub mod footprint;
pub mod goodput;
pub mod inference;
pub mod intervals;
pub mod known_work;
pub mod latency;
mod machines;
pub mod meter_cost;
pub mod peak;
pub mod protocol;
pub mod reference;
pub mod repetition;
pub mod scope;
pub mod server;
pub mod stats;
pub mod steady;
pub mod student;
pub mod window;
pub mod workload;

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::record::{
    Event, FailureClass, Manifest, Outcome, Phase, RequestRecord, RunRecords, Source, Span,
    StopReason, TokenCounts, TokenSource, Weights,
};
use crate::units::{Joules, Nanos, Seconds};

pub use command::{CommandFindings, analyse_command};
pub use findings::{Figure, Findings};

use energy::Metering;
use findings::{
    Counts, Emissions, EnergyFindings, PhaseFindings, Program, RunFacts, SCHEMA_VERSION,
    SYNTHETIC_SENTENCE, Throughput, Tokens,
};
use footprint::Footprint;
use window::Window;

/// Phases in the order in which they happen.
const PHASES: [Phase; 6] = [
    Phase::IdleBare,
    Phase::Load,
    Phase::IdleBefore,
    Phase::Warmup,
    Phase::Measure,
    Phase::IdleAfter,
];

/// Name of the program in reports.
pub const PROGRAM: &str = "ai-energy-benchmark";

/// Everything that a run's records say.
#[must_use]
pub fn analyse(records: &RunRecords) -> Findings {
    let read = discovered::discovered(records);
    // Gains come from references and must not be in what they are compared with.
    let references = reference::references(
        &machines::machines(&read).main,
        &repetition::windows(&of_phase(&read, Phase::Measure)),
    );
    let records = &*calibrate::calibrated(read);
    let machines = machines::machines(records);
    let (records, client) = (&*machines.main, machines.client.as_ref());
    let manifest = &records.manifest;
    let measured: Vec<&RequestRecord> = of_phase(records, Phase::Measure);
    let succeeded: Vec<&RequestRecord> =
        measured.iter().copied().filter(|request| request.is_ok()).collect();
    let repetitions = repetition::repetitions(&measured);
    let windows: Vec<Window> = repetitions.iter().map(|one| one.window).collect();
    let metering = Metering::of(records, windows.clone());
    let counts = count(records, &measured);
    let tokens = tokens(&succeeded);
    let length = metering.measured_length();
    let run = run_facts(records, length, &counts);
    let client = client.map(|records| Metering::of(records, windows));
    let (energy, client_energy) = machines::energies(&metering, records, client.as_ref());
    let attribution = attribute::attribute(&metering, &energy, records);
    let latency = latency::summarise(&succeeded);
    let bought = efficiency::Bought {
        requests: &measured,
        counts: &counts,
        tokens: &tokens,
        latency: &latency,
    };
    let efficiency = efficiency::efficiency(&metering, &energy, &bought);
    let goodput = goodput::findings(&goodput::Seen {
        config: &manifest.config,
        measured: &measured,
        length,
        gross: efficiency::gross(&energy),
        attribution: &attribution,
    });
    let sensors = metering.sensors();
    let cross_checks = metering.cross_checks();
    let headline = efficiency::headline_parts(&energy);
    let protocol = protocol::findings(&metering, &headline, &repetitions);
    let driving = client::findings(records, &measured, &tokens);
    let workload = workload::findings(&succeeded);
    let server = server::findings(&metering);
    let warnings = caution::warnings(&caution::Seen {
        workload: workload.as_ref(),
        records,
        metering: &metering,
        run: &run,
        counts: &counts,
        tokens: &tokens,
        metered: client_energy.as_ref().filter(|_| client.is_none()).unwrap_or(&energy),
        efficiency: &efficiency,
        protocol: &protocol,
        client: driving.as_ref(),
        server: server.as_ref(),
        repetitions: &repetitions,
        sensors: &sensors,
        cross_checks: &cross_checks,
    });
    let (emissions, footprint) = emitted(records, &metering, &energy, &counts, &tokens);
    Findings {
        schema_version: SCHEMA_VERSION,
        program: program(manifest),
        host: manifest.host.clone(),
        backend: manifest.backend.clone(),
        weights_note: weights_note(manifest.backend.weights),
        dataset: manifest.dataset.clone(),
        boundary: manifest.boundary.clone(),
        scope: manifest.scope.clone(),
        latency,
        throughput: throughput(length, &measured, &counts, &tokens),
        goodput: Some(goodput),
        emissions,
        footprint: Some(footprint),
        phases: phases(records, &metering),
        observations: metering.observations(),
        cpu_share: metering.cpu_share(),
        client: driving,
        server,
        conversations: conversation::findings(records, &measured),
        workload,
        meter_cost: Some(metering.own_cost(manifest.host.cpu_count)),
        definitions: definitions::all(),
        config: manifest.config.clone(),
        run,
        counts,
        tokens,
        energy,
        client_energy,
        efficiency,
        attribution,
        protocol,
        references,
        warnings,
        sensors,
        cross_checks,
    }
}

fn program(manifest: &Manifest) -> Program {
    Program {
        name: PROGRAM.to_owned(),
        version: manifest.version.clone(),
        git_commit: manifest.git_commit.clone(),
    }
}

fn emitted(
    records: &RunRecords,
    metering: &Metering<'_>,
    energy: &EnergyFindings,
    counts: &Counts,
    tokens: &Tokens,
) -> (Emissions, Footprint) {
    let basis = footprint::basis(records, &metering.windows);
    let emissions = efficiency::emissions(energy, &basis, counts);
    let footprint = footprint::footprint(&footprint::Seen {
        records,
        metering,
        basis: &basis,
        energy,
        emissions: &emissions,
        counts,
        tokens,
    });
    (emissions, footprint)
}

fn of_phase(records: &RunRecords, phase: Phase) -> Vec<&RequestRecord> {
    records.requests.iter().filter(|request| request.phase == phase).collect()
}

fn weights_note(weights: Weights) -> Option<String> {
    match weights {
        Weights::Synthetic => Some(SYNTHETIC_SENTENCE.to_owned()),
        Weights::Unknown => {
            Some("The server does not say whether its weights are real.".to_owned())
        }
        Weights::Real => None,
    }
}

/// The word for a class of failures in tables and columns.
#[must_use]
pub const fn class_name(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Connect => "connect",
        FailureClass::Tls => "tls",
        FailureClass::HttpStatus => "http_status",
        FailureClass::Reset => "reset",
        FailureClass::Deadline => "deadline",
        FailureClass::Protocol => "protocol",
        FailureClass::StreamError => "stream_error",
        FailureClass::Engine => "engine",
        FailureClass::Cancelled => "cancelled",
        FailureClass::InFlight => "in_flight",
    }
}

fn count(records: &RunRecords, measured: &[&RequestRecord]) -> Counts {
    let mut failed_by_class: BTreeMap<FailureClass, u64> = BTreeMap::new();
    for request in measured {
        if let Outcome::Failed { class, .. } = &request.outcome {
            *failed_by_class.entry(*class).or_default() += 1;
        }
    }
    let cancelled = failed_by_class.remove(&FailureClass::Cancelled).unwrap_or(0);
    let in_flight_at_end = failed_by_class.remove(&FailureClass::InFlight).unwrap_or(0);
    let warmup = of_phase(records, Phase::Warmup);
    let sent = measured.len() as u64;
    let failed: u64 = failed_by_class.values().sum();
    let planned = records.manifest.planned_requests;
    Counts {
        planned,
        sent,
        not_sent: planned.saturating_sub(sent),
        succeeded: sent - failed - cancelled - in_flight_at_end,
        failed,
        failed_by_class,
        cancelled,
        in_flight_at_end,
        retries: measured.iter().map(|request| u64::from(request.retries)).sum(),
        warmup_sent: warmup.len() as u64,
        warmup_failed: warmup.iter().filter(|request| !request.is_ok()).count() as u64,
    }
}

fn tokens(succeeded: &[&RequestRecord]) -> Tokens {
    let sum = |what: &str, pick: fn(&TokenCounts) -> Option<u64>| {
        let known: Vec<u64> =
            succeeded.iter().filter_map(|request| pick(&request.tokens)).collect();
        let missing = succeeded.len() - known.len();
        if succeeded.is_empty() {
            Figure::unknown("token", "no request succeeded")
        } else if missing > 0 {
            let all = succeeded.len();
            Figure::unknown("token", format!("{missing} of {all} requests came without {what}"))
        } else {
            Figure::known(known.iter().sum::<u64>() as f64, "token", Source::Measured)
        }
    };
    let sources: Vec<TokenSource> = succeeded.iter().map(|request| request.tokens.source).collect();
    Tokens {
        prompt: sum("a count of prompt tokens", |counts| counts.prompt),
        cached_prompt: sum("a count of cached prompt tokens", |counts| counts.cached_prompt),
        completion: sum("a count of output tokens", |counts| counts.completion),
        reasoning: sum("a count of reasoning tokens", |counts| counts.reasoning),
        total: sum("counts of prompt and output tokens", |counts| {
            Some(counts.prompt? + counts.completion?)
        }),
        counted_by: sources
            .first()
            .copied()
            .filter(|first| sources.iter().all(|source| source == first)),
    }
}

fn throughput(
    length: Option<Seconds>,
    measured: &[&RequestRecord],
    counts: &Counts,
    tokens: &Tokens,
) -> Throughput {
    let length = length.map(Seconds::value);
    let rate = |amount: &Figure, unit: &str| {
        amount.per(length, unit, "no request was sent: there is no measured window")
    };
    let requests = Figure::known(counts.succeeded as f64, "request", Source::Measured);
    Throughput {
        requests: rate(&requests, "request/s"),
        output_tokens: rate(&tokens.completion, "token/s"),
        prompt_tokens: rate(&tokens.prompt, "token/s"),
        total_tokens: rate(&tokens.total, "token/s"),
        peak_in_flight: peak_in_flight(measured),
    }
}

fn peak_in_flight(requests: &[&RequestRecord]) -> u64 {
    // At the same instant an end comes before a sending: a slot is free before it is filled.
    let mut edges: Vec<(Nanos, i64)> =
        requests.iter().flat_map(|request| [(request.sent_ns, 1), (request.end_ns, -1)]).collect();
    edges.sort_unstable();
    let mut now: i64 = 0;
    let mut peak = 0;
    for (_, change) in edges {
        now += change;
        peak = peak.max(now);
    }
    u64::try_from(peak).unwrap_or(0)
}

/// First and last stamp of the records.
fn span(records: &RunRecords) -> Window {
    let anchor = records.manifest.anchor.mono_ns;
    let stamps = || {
        let requests =
            records.requests.iter().flat_map(|request| [request.sent_ns, request.end_ns]);
        records.events.iter().map(|event| event.at_ns).chain(requests).chain([anchor])
    };
    Window { from: stamps().min().unwrap_or(anchor), to: stamps().max().unwrap_or(anchor) }
}

fn run_facts(records: &RunRecords, measured: Option<Seconds>, counts: &Counts) -> RunFacts {
    let manifest = &records.manifest;
    let stop_reason = records.events.iter().find_map(|record| match record.event {
        Event::Stopped { reason } => Some(reason),
        _ => None,
    });
    let finished = records.events.iter().any(|record| record.event == Event::Finished);
    let incomplete_reason = incomplete(stop_reason, finished, counts);
    let whole = span(records);
    let length = measured.map_or_else(
        || Figure::unknown(Seconds::UNIT, "no request was sent"),
        |length| Figure::known(length.0, Seconds::UNIT, Source::Measured),
    );
    RunFacts {
        id: manifest.run_id.clone(),
        name: manifest.name.clone(),
        started: manifest.started.clone(),
        ended: wall_time(records, whole.to),
        complete: incomplete_reason.is_none(),
        stop_reason,
        incomplete_reason,
        overhead: overhead(records, whole, measured),
        wall: Figure::known(whole.length().0, Seconds::UNIT, Source::Measured),
        window: length,
        config_sha256: manifest.config_sha256.clone(),
    }
}

fn incomplete(stop: Option<StopReason>, finished: bool, counts: &Counts) -> Option<String> {
    let sent = format!("{} of {} requests were sent", counts.sent, counts.planned);
    match stop {
        Some(StopReason::Interrupted) => Some(format!("it was interrupted; {sent}")),
        Some(StopReason::ConsecutiveFailures) => {
            Some(format!("too many requests in a row failed; {sent}"))
        }
        Some(StopReason::RecordsFailed) => {
            Some(format!("its records could not be written; {sent}"))
        }
        Some(StopReason::CommandFailed) => Some("the command failed".to_owned()),
        None if !finished => Some(format!("its records end in the middle; {sent}")),
        None if counts.not_sent > 0 => Some(sent),
        None => None,
    }
}

fn wall_time(records: &RunRecords, at: Nanos) -> String {
    let nanos = records.manifest.anchor.unix_ns_of(at);
    Timestamp::from_nanosecond(i128::from(nanos)).map_or_else(
        |_| "beyond the calendar".to_owned(),
        |stamp| stamp.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
    )
}

/// Wall time that is neither loading, idling, warm-up nor the measured window.
fn overhead(records: &RunRecords, whole: Window, measured: Option<Seconds>) -> Figure {
    let Some(measured) = measured else {
        return Figure::unknown(Seconds::UNIT, "no request was sent");
    };
    let mut rest = whole.length() - measured;
    let others = PHASES.into_iter().filter(|phase| *phase != Phase::Measure);
    for span in others.flat_map(|phase| records.spans(phase)) {
        let Some(to) = span.to else {
            return Figure::unknown(Seconds::UNIT, "the run was cut off in a phase");
        };
        rest = rest - to.since(span.from);
    }
    Figure::known(rest.0, Seconds::UNIT, Source::Measured).note(
        "from the first record to the last; starting the program and writing reports are outside",
    )
}

fn phases(records: &RunRecords, metering: &Metering<'_>) -> Vec<PhaseFindings> {
    let mut spans: Vec<(Phase, Span)> = PHASES
        .into_iter()
        .flat_map(|phase| records.spans(phase).into_iter().map(move |span| (phase, span)))
        .collect();
    spans.sort_by_key(|(_, span)| span.from);
    spans
        .into_iter()
        .map(|(phase, span)| {
            let window = span.to.map(|to| Window { from: span.from, to });
            PhaseFindings {
                phase,
                repetition: span.repetition,
                began: wall_time(records, span.from),
                ended: span.to.map(|to| wall_time(records, to)),
                duration: window.map_or_else(
                    || Figure::unknown(Seconds::UNIT, "the run was cut off in this phase"),
                    |window| Figure::known(window.length().0, Seconds::UNIT, Source::Measured),
                ),
                measured: phase_energy(metering, window, true),
                modelled: phase_energy(metering, window, false),
            }
        })
        .collect()
}

fn phase_energy(metering: &Metering<'_>, window: Option<Window>, measured: bool) -> Figure {
    let parts = metering.parts(measured);
    let (source, none) = if measured {
        (Source::Measured, "nothing on this machine is measured")
    } else {
        (Source::Modelled, "nothing is modelled in this run")
    };
    if parts.is_empty() {
        return Figure::unknown(Joules::UNIT, none);
    }
    let Some(window) = window else {
        return Figure::unknown(Joules::UNIT, "the run was cut off in this phase");
    };
    energy::energy_figure(&metering.energy_of(&parts, window), source)
        .note(efficiency::names(&parts))
}
