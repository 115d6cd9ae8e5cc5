//! One run's requests, work and intervals together, and what follows from weights.

use crate::record::{Component, RequestRecord, RunRecords};

use super::super::energy::Metering;
use super::super::window::Window;
use super::findings::WeightFacts;
use super::fit::{self, Fitted, Observation};
use super::intervals;
use super::schedule::Begins;
use super::split::{self, InFlight, Intervals};
use super::timing::{self, Timed};
use super::weights::{PARAMETERS, WeightSource, Weights};
use super::work::{self, Grid, RequestWork, Work};

/// A fit is taken where it knows the prefill's share so well: this, and ...
const SHARE_ABSOLUTE: f64 = 0.02;
/// ... this part of the share itself.
const SHARE_RELATIVE: f64 = 0.05;
/// ... and leaves no more of an interval's mean energy.
const RESIDUAL: f64 = 0.5;
/// Nothing is fitted where more of the requests are placed in time by a guess.
const GUESSED: f64 = 0.1;
/// How far the assumed weight of a prompt token may be off against the rest: a factor.
const ASSUMED_FACTOR: f64 = 2.0;
/// Size of the steps by which uncertainties are propagated, as a part of all cost.
const STEP: f64 = 0.01;

/// In intervals of twice the length half of what sensors smear is left, so all of it is twice the difference.
const LONGER_STEP: f64 = 0.5;

/// What a request is to the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Measured, succeeded.
    Good,
    /// Measured, failed.
    Failed,
    /// Of the warm-up, reaching into the window.
    Warmup,
}

/// Weights with the ways in which they may be off.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The weights.
    pub weights: Weights,
    doubt: Doubt,
}

#[derive(Debug, Clone, PartialEq)]
enum Doubt {
    /// Of a fit.
    Fit {
        /// By chance.
        covariance: [[f64; PARAMETERS]; PARAMETERS],
        /// Fitted on intervals of twice the length.
        longer: Option<Weights>,
    },
    /// By a factor.
    Factor,
    /// Not stated.
    Unstated,
}

/// Tokens of the requests that succeeded.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TokenSums {
    /// Computed prompt tokens.
    pub computed: f64,
    /// Output tokens after the first.
    pub decoded: f64,
}

/// The split with its uncertainties.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Prefill and decode of each timed request, J.
    pub requests: Vec<[f64; 2]>,
    /// Standard uncertainty of both together, J.
    pub uncertainties: Vec<f64>,
    /// Prefill of good requests with its standard uncertainty, J.
    pub prefill: (f64, f64),
    /// Decode of good requests.
    pub decode: (f64, f64),
    /// Failed requests.
    pub failed: (f64, f64),
    /// Warm-up requests.
    pub warmup: (f64, f64),
    /// While nobody was in flight, J.
    pub unattributed: f64,
}

/// Everything that the split needs, but weights.
pub struct Model<'a> {
    /// Requests that touch the window.
    pub requests: Vec<&'a RequestRecord>,
    /// Those that did work, in time.
    pub timed: Vec<Timed>,
    /// Prompt tokens of a step at most, where that is known.
    pub chunk: Option<f64>,
    /// Their work, in the same order.
    work: Vec<RequestWork>,
    /// The intervals.
    pub intervals: Intervals,
    /// Idle power, W.
    pub idle_watts: Option<f64>,
    /// Bound of the sensors' systematic error, relative.
    pub systematic_relative: Option<f64>,
    in_flight: InFlight,
}

impl<'a> Model<'a> {
    /// Gathers it.
    ///
    /// # Errors
    /// In words, when the energy or the tokens are not known.
    pub fn new(
        metering: &Metering<'_>,
        records: &'a RunRecords,
        parts: &[Component],
        idle_watts: Option<f64>,
        chunk: Option<f64>,
    ) -> Result<Self, String> {
        let window = metering.window.ok_or("no request was sent")?;
        if parts.is_empty() {
            return Err("nothing was metered".to_owned());
        }
        let whole = metering.measured_energy(parts)?;
        let requests = touching(records, window);
        let timed = timing::place(&requests, window.from)?;
        let intervals = intervals::of_windows(metering, parts, window.from, idle_watts)?;
        let chunk = chunk.or_else(|| work::infer_chunk(&timed, intervals.grid.length));
        let work = work::of_requests(&timed, &intervals.grid, chunk, Begins::Early);
        let grid = &intervals.grid;
        let in_flight = timed.iter().map(|one| spans(one.sent, one.first, one.end, grid)).collect();
        Ok(Self {
            systematic_relative: whole
                .systematic
                .filter(|_| whole.joules.0 > 0.0)
                .map(|bound| bound / whole.joules),
            requests,
            timed,
            work,
            chunk,
            intervals,
            idle_watts,
            in_flight,
        })
    }

    /// The intervals as observations of the weights.
    ///
    /// # Errors
    /// Without an idle phase: the power of idling would be taken for a cost of work.
    pub fn observations(&self) -> Result<Vec<Observation>, String> {
        if self.idle_watts.is_none() {
            return Err("there is no idle phase, whose power is no cost of work".to_owned());
        }
        let mut sums = vec![Work::default(); self.intervals.grid.len()];
        for one in &self.work {
            for (position, work) in one.bins.iter().enumerate() {
                sums[one.from + position] = sums[one.from + position].plus(work);
            }
        }
        let observation = |(bin, work)| Observation { work, joules: self.intervals.active(bin) };
        Ok(sums.into_iter().enumerate().map(observation).collect())
    }

    /// The weights: given, else fitted where that tells enough, else assumed.
    #[must_use]
    pub fn choose(&self, given: Option<Weights>) -> (WeightFacts, Choice) {
        if let Some(weights) = given {
            let note = "given in the config; their own uncertainty is not in that of the figures";
            return chosen(WeightSource::Given, weights, None, note.to_owned(), Doubt::Unstated);
        }
        let fitted = self.observations().and_then(|observations| fit::fit(&observations));
        let why = match &fitted {
            Ok(fitted) => match self.refusal(fitted) {
                None => {
                    let note = format!("least squares over {} intervals", fitted.intervals);
                    let doubt = Doubt::Fit { covariance: fitted.covariance, longer: self.longer() };
                    return chosen(WeightSource::Fitted, fitted.weights, Some(fitted), note, doubt);
                }
                Some(why) => why,
            },
            Err(why) => why.clone(),
        };
        let note = format!(
            "not fitted, since {why}; those of a dense model on a data-centre GPU, where a prompt token may weigh half or \
             double"
        );
        chosen(WeightSource::Assumed, Weights::ASSUMED, None, note, Doubt::Factor)
    }

    /// Weights fitted on pairs of intervals. Sensors show some of an interval's energy in the next, which makes prefills look
    /// like the decoding around them; in intervals of twice the length half as much.
    fn longer(&self) -> Option<Weights> {
        let observations = self.observations().ok()?;
        let pair = |pair: &[Observation]| Observation {
            work: pair.iter().fold(Work::default(), |sum, one| sum.plus(&one.work)),
            joules: pair.iter().map(|one| one.joules).sum(),
        };
        let pairs: Vec<Observation> = observations.chunks(2).map(pair).collect();
        fit::fit(&pairs).ok().map(|fitted| fitted.weights)
    }

    /// Why a fit is not good enough.
    fn refusal(&self, fitted: &Fitted) -> Option<String> {
        let guessed =
            self.timed.iter().filter(|one| one.guessed && one.amounts.output > 1.0).count() as f64;
        if guessed > GUESSED * self.timed.len() as f64 {
            return Some("answers came in one piece: when they were decoded is a guess".to_owned());
        }
        if fitted.residual > RESIDUAL {
            return Some(format!(
                "the fit leaves {:.0} % of an interval's energy",
                100.0 * fitted.residual
            ));
        }
        let all = self.work.iter().fold(Work::default(), |sum, one| sum.plus(&one.sum()));
        if all.decode <= 0.0 || all.prefill + all.cached <= 0.0 {
            // With one kind of work there is nothing to tell apart.
            return None;
        }
        let limit = SHARE_ABSOLUTE + SHARE_RELATIVE * fitted.prefill_share;
        (fitted.prefill_share_uncertainty > limit).then(|| {
            format!(
                "the prefill's share would be {:.2} with a standard uncertainty of {:.2}: the mix of prefill and decode \
                 hardly varies",
                fitted.prefill_share, fitted.prefill_share_uncertainty
            )
        })
    }

    /// Whether no time is an estimate.
    #[must_use]
    pub fn all_by_server(&self) -> bool {
        self.timed.iter().all(|one| one.by_server || one.amounts == timing::Amounts::NONE)
    }

    /// Tokens of the requests that succeeded.
    #[must_use]
    pub fn tokens(&self) -> TokenSums {
        let mut sums = TokenSums::default();
        for one in self.timed.iter().filter(|one| self.kind(one) == Kind::Good) {
            sums.computed += one.amounts.computed;
            sums.decoded += (one.amounts.output - 1.0).max(0.0);
        }
        sums
    }

    fn kind(&self, timed: &Timed) -> Kind {
        Kind::of(self.requests[timed.request])
    }

    /// Each request's part of the idle energy while it was in flight, by time, J.
    #[must_use]
    pub fn idle_parts(&self) -> Vec<f64> {
        let mut time = vec![0.0; self.intervals.grid.len()];
        for (bin, parts) in self.in_flight.iter().flatten() {
            time[*bin] += parts[0] + parts[1];
        }
        let part = |(bin, parts): &(usize, [f64; 2])| {
            let all = time[*bin];
            if all > 0.0 { self.intervals.idle[*bin] * (parts[0] + parts[1]) / all } else { 0.0 }
        };
        self.in_flight.iter().map(|spans| spans.iter().map(part).sum()).collect()
    }

    /// The split by these weights, and how far it may be off.
    #[must_use]
    pub fn outcome(&self, choice: &Choice) -> Outcome {
        let base = self.split(&self.work, &choice.weights);
        let noise = base.variances(&self.work, &choice.weights);
        let mut sums =
            Spread::new(self, &base.requests, noise, self.noise_of_totals(&base, &choice.weights));
        for (weights, step) in self.scenarios(choice) {
            sums.add(&self.split(&self.work, &weights).requests, 1.0 / step);
        }
        if !self.all_by_server() {
            // Somewhere between as late as possible and as early as possible.
            let early: Vec<Timed> =
                self.timed.iter().map(|one| Timed { begin: one.earliest, ..one.clone() }).collect();
            let work = work::of_requests(&early, &self.intervals.grid, self.chunk, Begins::Late);
            sums.add(&self.split(&work, &choice.weights).requests, 3.0_f64.sqrt().recip());
        }
        if self.timed.iter().any(|one| one.amounts.doubt > 0.0) {
            // What a prompt of unknown length did not use, others did.
            let more: Vec<Timed> = self.timed.iter().map(with_more).collect();
            let work = work::of_requests(&more, &self.intervals.grid, self.chunk, Begins::Early);
            sums.add(&self.split(&work, &choice.weights).requests, 1.0);
        }
        sums.outcome(base.unattributed)
    }

    /// Variance of prefill, decode, failed and warm-up from what cannot be told of the energy of intervals, J^2.
    fn noise_of_totals(&self, base: &split::Split, weights: &Weights) -> [f64; 4] {
        let mut costs: [Vec<f64>; 4] = std::array::from_fn(|_| vec![0.0; base.len()]);
        for (one, work) in self.timed.iter().zip(&self.work) {
            let parts = match self.kind(one) {
                Kind::Good => [0, 1],
                Kind::Failed => [2, 2],
                Kind::Warmup => [3, 3],
            };
            for (position, one) in work.bins.iter().enumerate() {
                for (part, cost) in parts.into_iter().zip(one.cost(weights)) {
                    costs[part][work.from + position] += cost;
                }
            }
        }
        costs.map(|costs| base.variance(0, &costs))
    }

    fn split(&self, work: &[RequestWork], weights: &Weights) -> split::Split {
        split::split(&self.intervals, work, &self.in_flight, weights)
    }

    /// Weights moved one way each, and by how many standard uncertainties.
    fn scenarios(&self, choice: &Choice) -> Vec<(Weights, f64)> {
        let parameters = choice.weights.parameters();
        match &choice.doubt {
            Doubt::Unstated => Vec::new(),
            Doubt::Factor => {
                let prefill = choice.weights.prefill;
                [ASSUMED_FACTOR, ASSUMED_FACTOR.recip()]
                    .map(|factor| {
                        // Half of the difference to each side, as squares: together one standard uncertainty.
                        let weights = Weights { prefill: prefill * factor, ..choice.weights };
                        (weights, 2.0_f64.sqrt())
                    })
                    .into()
            }
            Doubt::Fit { covariance, longer } => {
                let all = self.work.iter().fold([0.0; PARAMETERS], |mut sums, one| {
                    for (sum, value) in sums.iter_mut().zip(one.sum().features()) {
                        *sum += value;
                    }
                    sums
                });
                let cost = |parameters: &[f64; PARAMETERS]| -> f64 {
                    parameters.iter().zip(&all).map(|(weight, work)| (weight * work).abs()).sum()
                };
                let whole = cost(&parameters);
                fit::directions(covariance)
                    .into_iter()
                    .filter(|direction| cost(direction) > 0.0 && whole > 0.0)
                    .map(|direction| {
                        let step = (STEP * whole / cost(&direction)).min(1.0);
                        let moved = std::array::from_fn(|i| parameters[i] + step * direction[i]);
                        (Weights::of_parameters(moved), step)
                    })
                    .chain(longer.map(|weights| (weights, LONGER_STEP)))
                    .collect()
            }
        }
    }
}

/// The same with one standard uncertainty more of its prompt.
fn with_more(one: &Timed) -> Timed {
    let mut more = one.clone();
    more.amounts.computed *= 1.0 + one.amounts.doubt;
    more
}

fn chosen(
    source: WeightSource,
    weights: Weights,
    fitted: Option<&Fitted>,
    note: String,
    doubt: Doubt,
) -> (WeightFacts, Choice) {
    let facts = WeightFacts {
        source,
        unit: if source == WeightSource::Fitted { "J" } else { "1" }.to_owned(),
        weights,
        uncertainties: fitted
            .map(|fitted| std::array::from_fn(|i| fitted.covariance[i][i].max(0.0).sqrt())),
        residual: fitted.map(|fitted| fitted.residual),
        note,
    };
    (facts, Choice { weights, doubt })
}

/// Requests in flight at some moment of the window.
fn touching(records: &RunRecords, window: Window) -> Vec<&RequestRecord> {
    let mut requests: Vec<&RequestRecord> = records
        .requests
        .iter()
        .filter(|request| {
            timing::is_measured(request)
                || (request.sent_ns < window.to && request.end_ns > window.from)
        })
        .collect();
    requests.sort_by_key(|request| (!timing::is_measured(request), request.index));
    requests
}

/// Time before and after the first token, by interval.
fn spans(sent: f64, first: f64, end: f64, grid: &Grid) -> Vec<(usize, [f64; 2])> {
    let mut found: Vec<(usize, [f64; 2])> = Vec::new();
    for (part, (from, to)) in [(sent, first), (first, end)].into_iter().enumerate() {
        if to <= from {
            continue;
        }
        grid.spread(from, to, |bin, share| {
            let time = share * (to - from);
            match found.last_mut() {
                Some((last, parts)) if *last == bin => parts[part] += time,
                _ => {
                    let mut parts = [0.0; 2];
                    parts[part] = time;
                    found.push((bin, parts));
                }
            }
        });
    }
    found
}

/// Sums of squares of what requests and totals change by.
struct Spread<'m> {
    kinds: Vec<Kind>,
    base: &'m [[f64; 2]],
    requests: Vec<f64>,
    /// Prefill, decode, failed, warm-up.
    totals: [f64; 4],
    noise: [f64; 4],
    doubt: Vec<f64>,
}

impl<'m> Spread<'m> {
    fn new(model: &Model<'_>, base: &'m [[f64; 2]], noise: Vec<f64>, sums: [f64; 4]) -> Self {
        let kinds: Vec<Kind> = model.timed.iter().map(|one| model.kind(one)).collect();
        // A prompt of unknown length, or one that may not have been read.
        let doubt = model
            .timed
            .iter()
            .zip(base)
            .map(|(one, parts)| one.amounts.doubt * parts[0].abs())
            .collect();
        Self { kinds, base, requests: noise, totals: [0.0; 4], noise: sums, doubt }
    }

    fn totals(&self, requests: &[[f64; 2]]) -> [f64; 4] {
        let mut sums = [0.0; 4];
        for (kind, [prefill, decode]) in self.kinds.iter().zip(requests) {
            match kind {
                Kind::Good => {
                    sums[0] += prefill;
                    sums[1] += decode;
                }
                Kind::Failed => sums[2] += prefill + decode,
                Kind::Warmup => sums[3] += prefill + decode,
            }
        }
        sums
    }

    /// Takes in another split; its differences times `factor` are one standard uncertainty.
    fn add(&mut self, other: &[[f64; 2]], factor: f64) {
        for ((sum, base), other) in self.requests.iter_mut().zip(self.base).zip(other) {
            let change = other[0] + other[1] - base[0] - base[1];
            *sum += (change * factor).powi(2);
        }
        let (base, other) = (self.totals(self.base), self.totals(other));
        for ((sum, base), other) in self.totals.iter_mut().zip(base).zip(other) {
            *sum += ((other - base) * factor).powi(2);
        }
    }

    fn outcome(self, unattributed: f64) -> Outcome {
        let sums = self.totals(self.base);
        let doubt: f64 = self
            .kinds
            .iter()
            .zip(&self.doubt)
            .filter(|(kind, _)| **kind == Kind::Failed)
            .map(|(_, doubt)| doubt)
            .sum();
        let mut variances = self.totals;
        variances[2] += doubt * doubt;
        let total = |part: usize| (sums[part], (variances[part] + self.noise[part]).sqrt());
        Outcome {
            uncertainties: self
                .requests
                .iter()
                .zip(&self.doubt)
                .map(|(variance, doubt)| (variance + doubt * doubt).sqrt())
                .collect(),
            prefill: total(0),
            decode: total(1),
            failed: total(2),
            warmup: total(3),
            requests: self.base.to_vec(),
            unattributed,
        }
    }
}
