//! Energy of each request, and of prefill and decode, when requests overlap.
//!
//! The measured window is cut into the shortest intervals that the sensors resolve ([`intervals`]). What idling would have
//! used is set apart. The rest of each interval goes to the requests that worked in it ([`split`]), in proportion to
//! what their work costs: prompt tokens, generated tokens, their context, and their part of the batch's steps ([`work`]),
//! placed in time by the server's own timings or by an estimate ([`timing`]). What a unit of work costs ([`weights`]) is fitted
//! on the intervals where their mix tells the costs apart ([`fit`]), else given or assumed. Requests shorter than an interval get a
//! share of it: an estimate, which still sums to the measured energy.

pub mod findings;
pub mod fit;
pub mod intervals;
pub mod model;
pub mod schedule;
pub mod smooth;
pub mod split;
pub mod timing;
pub mod weights;
pub mod work;

pub use findings::{AttributionFindings, RequestEnergy, Timing, WeightFacts};
pub use weights::{WeightSource, Weights};

use crate::record::{Component, RequestRecord, RunRecords, Source};
use crate::units::{Joules, Seconds};

use super::energy::Metering;
use super::findings::{Basis, EnergyFindings, Figure, Uncertainty};
use super::stats::Summary;
use model::{Kind, Model, Outcome};

/// The rule in words, as reports say it.
const RULE: &str = "each interval's energy beyond idling, split over the requests that worked in it by their weighted work: \
    prompt tokens, output tokens, their context, and equal parts of the batch's steps";

/// Splits the energy of the measured window over the requests.
#[must_use]
pub fn attribute(
    metering: &Metering<'_>,
    energy: &EnergyFindings,
    records: &RunRecords,
) -> AttributionFindings {
    let (basis, parts) = super::efficiency::basis(energy);
    match of_parts(metering, energy, records, &parts, basis) {
        Ok(found) => found,
        Err(reason) => unknown(basis, &reason),
    }
}

/// Weights that several runs tell together.
#[derive(Debug, Clone, PartialEq)]
pub struct RunsFit {
    /// The weights.
    pub fitted: fit::Fitted,
    /// Prompt tokens of a step at most; none where a prompt was taken for one step.
    pub max_batched_tokens: Option<f64>,
    /// How that was found, in words.
    pub max_batched_tokens_note: &'static str,
}

/// Steps of these sizes are tried where nothing shows the size: those that servers are usually given.
const USUAL_CHUNKS: [f64; 7] = [256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0];
/// A size is taken if it leaves at most this part of what is left without it.
const CLEARLY_BETTER: f64 = 0.9;

/// Fits weights on the intervals of runs together: of cells that only prefill and cells that hardly do anything but decode, or
/// of mixes that vary.
///
/// # Errors
/// In words, when a run has no intervals to fit on, or all of them together do not tell the weights.
pub fn fit_runs(runs: &[RunRecords], max_batched_tokens: Option<f64>) -> Result<RunsFit, String> {
    let fit_with = |chunk: Option<f64>| -> Result<fit::Fitted, String> {
        let mut all = Vec::new();
        for run in runs {
            let found = observations(run, chunk)
                .map_err(|why| format!("{}: {why}", run.manifest.run_id))?;
            all.extend(found.0);
        }
        fit::fit(&all)
    };
    let done = |chunk: Option<f64>, note: &'static str| {
        Ok(RunsFit {
            fitted: fit_with(chunk)?,
            max_batched_tokens: chunk,
            max_batched_tokens_note: note,
        })
    };
    if max_batched_tokens.is_some() {
        return done(max_batched_tokens, "given");
    }
    let seen = runs.iter().filter_map(|run| observations(run, None).ok()?.1);
    if let Some(chunk) = seen.reduce(f64::max) {
        return done(Some(chunk), "shown by prompts that were prefilled while others decoded");
    }
    let mut best = (None, CLEARLY_BETTER * fit_with(None)?.residual);
    for chunk in USUAL_CHUNKS {
        let residual = fit_with(Some(chunk))?.residual;
        if residual < best.1 {
            best = (Some(chunk), residual);
        }
    }
    match best.0 {
        Some(chunk) => done(Some(chunk), "the usual size that fits best"),
        None => done(None, "not known: every prompt was taken for one step"),
    }
}

/// The intervals of a run as observations of the weights, and prompt tokens of a step at most.
///
/// # Errors
/// In words, when the run has no such intervals.
pub fn observations(
    records: &RunRecords,
    chunk: Option<f64>,
) -> Result<(Vec<fit::Observation>, Option<f64>), String> {
    let records = &*super::calibrate::calibrated(super::discovered::discovered(records));
    let measured = super::of_phase(records, crate::record::Phase::Measure);
    let metering = Metering::of(records, super::repetition::windows(&measured));
    let (energy, _) = super::machines::energies(&metering, records, None);
    let (_, parts) = super::efficiency::basis(&energy);
    let idle = idle_watts(&energy, &parts);
    let model = Model::new(&metering, records, &parts, idle, chunk)?;
    Ok((model.observations()?, model.chunk))
}

fn of_parts(
    metering: &Metering<'_>,
    energy: &EnergyFindings,
    records: &RunRecords,
    parts: &[Component],
    basis: Basis,
) -> Result<AttributionFindings, String> {
    let chunk = weights::given_chunk(&records.manifest.config);
    let model = Model::new(metering, records, parts, idle_watts(energy, parts), chunk)?;
    let (weights, choice) = model.choose(weights::given(&records.manifest.config));
    let outcome = model.outcome(&choice);
    let source = parts.iter().filter_map(|part| metering.source(*part)).max();
    let report = Report { model: &model, outcome: &outcome, basis, source };
    Ok(report.findings(weights))
}

/// Mean power of idling with the model loaded, over the parts that are split.
fn idle_watts(energy: &EnergyFindings, parts: &[Component]) -> Option<f64> {
    parts
        .iter()
        .map(|part| {
            let account = &energy.components.iter().find(|found| found.component == *part)?.account;
            match (account.idle_power_before.value, account.idle_power_after.value) {
                (Some(before), Some(after)) => Some(before.midpoint(after)),
                (one, other) => one.or(other),
            }
        })
        .sum()
}

fn unknown(basis: Basis, reason: &str) -> AttributionFindings {
    let joules = || Figure::unknown(Joules::UNIT, reason);
    let share = || Figure::unknown("1", reason);
    AttributionFindings {
        basis,
        rule: RULE.to_owned(),
        weights: None,
        by_server_timings: 0,
        by_estimate: 0,
        interval: Figure::unknown(Seconds::UNIT, reason),
        total: joules(),
        idle: joules(),
        prefill: joules(),
        decode: joules(),
        failed: joules(),
        warmup: joules(),
        unattributed: joules(),
        prefill_share: share(),
        failed_share: share(),
        idle_share: share(),
        joules_per_prompt_token: Figure::unknown("J/token", reason),
        joules_per_decoded_token: Figure::unknown("J/token", reason),
        per_request: Summary::of(&[], Joules::UNIT, Source::Modelled, reason),
        requests: Vec::new(),
    }
}

/// Figures out of an outcome.
struct Report<'a> {
    model: &'a Model<'a>,
    outcome: &'a Outcome,
    basis: Basis,
    /// Of the energy that is split.
    source: Option<Source>,
}

impl Report<'_> {
    fn findings(&self, weights: WeightFacts) -> AttributionFindings {
        let rows = self.rows();
        let (model, outcome) = (self.model, self.outcome);
        let ok: Vec<f64> =
            rows.iter().filter(|row| is_good(row)).map(RequestEnergy::total_j).collect();
        let count = |timing| rows.iter().filter(|row| row.timing == timing).count() as u64;
        let prefill = self.figure(outcome.prefill);
        let decode = self.figure(outcome.decode);
        let failed = self.figure(outcome.failed);
        let total: f64 = model.intervals.joules.iter().sum();
        let idle: f64 = model.intervals.idle.iter().sum();
        let idle_known = model.idle_watts.is_some();
        let no_idle = "there was no idle phase: what idling would have used is in the other parts";
        let split = |value: f64, of: f64, none: &str| {
            if of > 0.0 {
                Figure::known(value / of, "1", Source::Modelled)
            } else {
                Figure::unknown("1", none)
            }
        };
        let tokens = model.tokens();
        AttributionFindings {
            basis: self.basis,
            rule: RULE.to_owned(),
            by_server_timings: count(Timing::ServerTimings),
            by_estimate: count(Timing::Estimated),
            interval: Figure::known(model.intervals.grid.width(), Seconds::UNIT, Source::Measured),
            total: Figure::known(total, Joules::UNIT, self.source.unwrap_or(Source::Modelled)),
            idle: if idle_known {
                Figure::known(idle, Joules::UNIT, self.source.unwrap_or(Source::Modelled))
                    .note("idle power with the model loaded times the window's length")
            } else {
                Figure::unknown(Joules::UNIT, no_idle)
            },
            idle_share: if idle_known {
                split(idle, total, "the energy is zero")
            } else {
                Figure::unknown("1", no_idle)
            },
            prefill_share: self.share_of_prefill(),
            failed_share: split(outcome.failed.0, total - idle, "nothing was used beyond idling"),
            joules_per_prompt_token: prefill.per(
                Some(tokens.computed),
                "J/token",
                "no prompt token was computed",
            ),
            joules_per_decoded_token: decode.per(
                Some(tokens.decoded),
                "J/token",
                "no token was generated after a first one",
            ),
            prefill,
            decode,
            failed,
            warmup: self.figure(outcome.warmup),
            unattributed: Figure::known(outcome.unattributed, Joules::UNIT, Source::Modelled),
            per_request: Summary::of(&ok, Joules::UNIT, Source::Modelled, "no request succeeded"),
            weights: Some(weights),
            requests: rows,
        }
    }

    /// A part of the energy with its uncertainties.
    fn figure(&self, (joules, random): (f64, f64)) -> Figure {
        let mut figure = Figure::known(joules, Joules::UNIT, Source::Modelled);
        figure.uncertainty = Some(Uncertainty { random, systematic: self.systematic(joules) });
        figure.note(if self.model.all_by_server() {
            "by the server's own timings"
        } else {
            "estimated"
        })
    }

    fn share_of_prefill(&self) -> Figure {
        let (prefill, decode) = (self.outcome.prefill.0, self.outcome.decode.0);
        if prefill + decode <= 0.0 {
            return Figure::unknown("1", "nothing was used beyond idling");
        }
        let mut figure = Figure::known(prefill / (prefill + decode), "1", Source::Modelled);
        figure.uncertainty = Some(Uncertainty {
            random: self.outcome.prefill.1 / (prefill + decode),
            systematic: None,
        });
        figure
    }

    fn systematic(&self, joules: f64) -> Option<f64> {
        self.model.systematic_relative.map(|share| (share * joules).abs())
    }

    fn rows(&self) -> Vec<RequestEnergy> {
        let mut rows: Vec<RequestEnergy> = self.model.requests.iter().map(|one| row(one)).collect();
        for (position, timed) in self.model.timed.iter().enumerate() {
            let row = &mut rows[timed.request];
            let [prefill, decode] = self.outcome.requests[position];
            row.prefill_j = prefill;
            row.decode_j = decode;
            row.uncertainty_j = self.outcome.uncertainties[position];
            row.systematic_j = self.systematic(prefill + decode);
            if timed.amounts == timing::Amounts::NONE {
                continue;
            }
            row.computed_tokens = Some(timed.amounts.computed);
            row.cached_tokens = Some(timed.amounts.cached);
            row.output_tokens = Some(timed.amounts.output);
            row.queue_s = Some(timed.begin - timed.sent);
            row.prefill_s = Some(timed.first - timed.begin);
            row.decode_s = Some(timed.last() - timed.first);
            row.timing = if timed.by_server { Timing::ServerTimings } else { Timing::Estimated };
        }
        if self.model.idle_watts.is_some() {
            for (row, idle) in rows.iter_mut().zip(self.model.idle_parts()) {
                row.idle_j = Some(idle);
            }
        }
        rows
    }
}

fn is_good(row: &RequestEnergy) -> bool {
    row.ok && row.phase == crate::record::Phase::Measure
}

fn row(request: &RequestRecord) -> RequestEnergy {
    RequestEnergy {
        index: request.index,
        prompt_id: request.prompt_id.clone(),
        phase: request.phase,
        repetition: request.repetition,
        ok: request.is_ok(),
        computed_tokens: None,
        cached_tokens: None,
        output_tokens: None,
        queue_s: None,
        prefill_s: None,
        decode_s: None,
        prefill_j: 0.0,
        decode_j: 0.0,
        uncertainty_j: 0.0,
        systematic_j: None,
        idle_j: None,
        timing: Timing::NoWork,
        source: Source::Modelled,
    }
}

impl Kind {
    fn of(request: &RequestRecord) -> Self {
        match (timing::is_measured(request), request.is_ok()) {
            (false, _) => Self::Warmup,
            (true, true) => Self::Good,
            (true, false) => Self::Failed,
        }
    }
}
