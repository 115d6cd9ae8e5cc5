//! The work of each request in each interval: tokens prefilled and decoded, their context, and their part of the steps.
//!
//! A step of a server's batch costs something whatever is in it: all weights are read once. The sequences in it share that
//! equally (the Shapley value of a fixed cost). A sequence that decodes has one token a step, so each of its tokens pays for
//! `1 / n` of a step with `n` sequences at work; a prefill pays for its part of the steps that others made meanwhile,
//! and for one at least.

use super::super::stats;
use super::schedule::{self, Begins, Piece};
use super::timing::{Amounts, Timed};
use super::weights::{PARAMETERS, Weights};

/// Resolution of the count of steps, s.
const STEP_CELL_S: f64 = 0.001;
/// Most cells of it.
const STEP_CELLS: f64 = 1_048_576.0;
/// Prompts that took so many steps show how many tokens one takes ...
const SEVERAL_STEPS: f64 = 2.5;
/// ... if there are so many of them.
const FEWEST_PROMPTS: usize = 10;

/// Edges of intervals are moved by this part of their length at most.
const EDGE_PART: f64 = 0.5;

/// The moment nearest to a time if it is within a distance, else the time.
fn nearest(moments: &[f64], at: f64, within: f64) -> f64 {
    let next = moments.partition_point(|moment| *moment < at);
    let beside = next.checked_sub(1).into_iter().chain([next]).filter_map(|i| moments.get(i));
    let best = beside.min_by(|one, two| (*one - at).abs().total_cmp(&(*two - at).abs()));
    best.copied().filter(|best| (best - at).abs() <= within).unwrap_or(at)
}

/// Intervals of about equal length over the measured windows, in seconds after the first one's begin.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// Begin and end of each, in order.
    spans: Vec<(f64, f64)>,
    /// From the first begin to the last end, s.
    pub length: f64,
}

impl Grid {
    /// Intervals of about `width` seconds, equal within a window.
    #[must_use]
    pub fn new(windows: &[(f64, f64)], width: f64) -> Self {
        Self::at(windows, width, &[])
    }

    /// The same, but with edges at moments, in order, that lie near: where a sensor renews itself it tells the energy of what
    /// is between, and nothing of what lies inside.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small positive count"
    )]
    pub fn at(windows: &[(f64, f64)], width: f64, moments: &[f64]) -> Self {
        let mut spans: Vec<(f64, f64)> = Vec::new();
        for (from, to) in windows {
            let count = ((to - from) / width).round().clamp(1.0, 1e6) as usize;
            let even = (to - from) / count as f64;
            let mut begin = *from;
            for edge in 1..count {
                let edge = nearest(moments, from + even * edge as f64, EDGE_PART * even);
                if edge - begin >= EDGE_PART * even && to - edge >= EDGE_PART * even {
                    spans.push((begin, edge));
                    begin = edge;
                }
            }
            spans.push((begin, *to));
        }
        let length = spans.last().map_or(0.0, |last| last.1);
        Self { spans, length }
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Usual length of one, s.
    #[must_use]
    pub fn width(&self) -> f64 {
        let all: f64 = self.spans.iter().map(|(from, to)| to - from).sum();
        all / self.spans.len().max(1) as f64
    }

    /// Begin and end of one.
    #[must_use]
    pub fn span(&self, bin: usize) -> (f64, f64) {
        self.spans[bin]
    }

    /// Whether the next begins where this one ends.
    #[must_use]
    pub fn touches_next(&self, bin: usize) -> bool {
        let (this, next) = (self.spans.get(bin), self.spans.get(bin + 1));
        this.zip(next).is_some_and(|(this, next)| next.0 - this.1 <= 1e-9)
    }

    /// Tells every interval that a span touches, with the share of the span in it. What lies outside is not told.
    pub fn spread(&self, from: f64, to: f64, mut tell: impl FnMut(usize, f64)) {
        let first = self.spans.partition_point(|span| span.1 < from);
        if to - from <= 0.0 {
            if self.spans.get(first).is_some_and(|span| span.0 <= to) {
                tell(first, 1.0);
            }
            return;
        }
        for (bin, (begin, end)) in self.spans.iter().enumerate().skip(first) {
            if *begin >= to {
                break;
            }
            let overlap = to.min(*end) - from.max(*begin);
            if overlap > 0.0 {
                tell(bin, overlap / (to - from));
            }
        }
    }
}

/// Work, by what it costs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Work {
    /// Prompt tokens computed.
    pub prefill: f64,
    /// Prompt tokens from the cache.
    pub cached: f64,
    /// Part of steps, as a sequence that is prefilled.
    pub prefill_steps: f64,
    /// Tokens generated after the first.
    pub decode: f64,
    /// Sum over those of their context in tokens.
    pub context: f64,
    /// Part of steps, as a sequence that decodes.
    pub decode_steps: f64,
}

impl Work {
    /// What it costs: prefill, decode.
    #[must_use]
    pub fn cost(&self, weights: &Weights) -> [f64; 2] {
        [
            weights.prefill * self.prefill
                + weights.cached_prompt * self.cached
                + weights.step * self.prefill_steps,
            weights.decode * self.decode
                + weights.context * self.context
                + weights.step * self.decode_steps,
        ]
    }

    /// What the parameters are multiplied with.
    #[must_use]
    pub fn features(&self) -> [f64; PARAMETERS] {
        [
            self.prefill + super::weights::CACHED_SHARE * self.cached,
            self.decode,
            self.context,
            self.prefill_steps + self.decode_steps,
        ]
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        self.add(other, 1.0);
        self
    }

    /// Takes a share of other work.
    fn add(&mut self, other: &Self, share: f64) {
        self.prefill += other.prefill * share;
        self.cached += other.cached * share;
        self.prefill_steps += other.prefill_steps * share;
        self.decode += other.decode * share;
        self.context += other.context * share;
        self.decode_steps += other.decode_steps * share;
    }
}

/// Work of one request, interval by interval.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RequestWork {
    /// The first interval.
    pub from: usize,
    /// It and those after it.
    pub bins: Vec<Work>,
}

impl RequestWork {
    fn at(&mut self, bin: usize) -> &mut Work {
        if self.bins.is_empty() {
            self.from = bin;
        }
        // Spans come in order of time, but the prefill's may have none in the window.
        let position = bin.saturating_sub(self.from);
        if position >= self.bins.len() {
            self.bins.resize(position + 1, Work::default());
        }
        &mut self.bins[position]
    }

    /// All of it.
    #[must_use]
    pub fn sum(&self) -> Work {
        let mut sum = Work::default();
        for work in &self.bins {
            sum.add(work, 1.0);
        }
        sum
    }
}

/// How many of some spans hold a moment.
struct Occupancy {
    times: Vec<f64>,
    counts: Vec<u32>,
}

impl Occupancy {
    fn of(spans: impl Iterator<Item = (f64, f64)>) -> Self {
        let mut edges: Vec<(f64, i64)> =
            spans.flat_map(|(from, to)| [(from, 1), (to, -1)]).collect();
        edges.sort_by(|one, two| one.0.total_cmp(&two.0));
        let mut count = 0_i64;
        let mut times = Vec::with_capacity(edges.len());
        let mut counts = Vec::with_capacity(edges.len());
        for (at, change) in edges {
            count += change;
            times.push(at);
            counts.push(u32::try_from(count).unwrap_or(0));
        }
        Self { times, counts }
    }

    /// One at least: whoever asks is there.
    fn at(&self, at: f64) -> f64 {
        let next = self.times.partition_point(|time| *time <= at);
        let count = next.checked_sub(1).and_then(|index| self.counts.get(index)).copied();
        f64::from(count.unwrap_or(0).max(1))
    }
}

/// Steps of the server's batch up to a moment, as the arrivals of tokens show them.
struct Steps {
    cell: f64,
    /// Steps up to the end of each cell.
    sums: Vec<f64>,
}

impl Steps {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the number of cells"
    )]
    fn of(timed: &[Timed], length: f64) -> Self {
        let decoding = Occupancy::of(timed.iter().map(|one| (one.first, one.last())));
        let cell = STEP_CELL_S.max(length / STEP_CELLS);
        let cells = (length / cell).ceil().max(1.0) as usize;
        let mut sums = vec![0.0; cells];
        for one in timed {
            let tokens = per_arrival(one);
            let mut before = one.first;
            for arrival in &one.arrivals {
                let position = ((arrival / cell).max(0.0) as usize).min(cells - 1);
                if (0.0..=length).contains(arrival) {
                    sums[position] += tokens / decoding.at(before.midpoint(*arrival));
                }
                before = *arrival;
            }
        }
        let mut sum = 0.0;
        for value in &mut sums {
            sum += *value;
            *value = sum;
        }
        Self { cell, sums }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and clamped by the index"
    )]
    fn until(&self, at: f64) -> f64 {
        if at <= 0.0 {
            return 0.0;
        }
        let position = ((at / self.cell) as usize).min(self.sums.len().saturating_sub(1));
        self.sums.get(position).copied().unwrap_or(0.0)
    }
}

/// Tokens that each arrival after the first stands for.
pub(super) fn per_arrival(one: &Timed) -> f64 {
    if one.arrivals.is_empty() {
        return 0.0;
    }
    (one.amounts.output - 1.0).max(0.0) / one.arrivals.len() as f64
}

/// The most prompt tokens of a step (`--max-num-batched-tokens` of vLLM), as prompts of several steps show it that were prefilled
/// while others decoded; none where there are too few.
#[must_use]
pub fn infer_chunk(timed: &[Timed], length: f64) -> Option<f64> {
    let steps = Steps::of(timed, length);
    let mut chunks: Vec<f64> = timed
        .iter()
        .filter_map(|one| {
            let passed = steps.until(one.first) - steps.until(one.begin);
            (passed >= SEVERAL_STEPS).then(|| one.amounts.computed / passed)
        })
        .collect();
    chunks.sort_by(f64::total_cmp);
    // The first and the last step of a prompt are seldom full.
    stats::percentile(&chunks, 0.75).filter(|chunk| chunks.len() >= FEWEST_PROMPTS && *chunk > 1.0)
}

/// The work of all requests, in their order. `chunk`: prompt tokens of a step at most, where that is known.
#[must_use]
pub fn of_requests(
    timed: &[Timed],
    grid: &Grid,
    chunk: Option<f64>,
    begins: Begins,
) -> Vec<RequestWork> {
    let working = Occupancy::of(timed.iter().map(|one| (one.begin, one.last())));
    let steps = Steps::of(timed, grid.length);
    let schedule = schedule::rebuild(timed, chunk, begins).unwrap_or_default();
    let of = |(index, one): (usize, &Timed)| {
        let own = (
            schedule.prefills.get(index).map_or(&[] as &[Piece], Vec::as_slice),
            schedule.decodes.get(index).map_or(&[] as &[f64], Vec::as_slice),
        );
        of_request(one, grid, &working, &steps, chunk, own)
    };
    timed.iter().enumerate().map(of).collect()
}

fn of_request(
    one: &Timed,
    grid: &Grid,
    working: &Occupancy,
    steps: &Steps,
    chunk: Option<f64>,
    (pieces, parts): (&[Piece], &[f64]),
) -> RequestWork {
    let mut found = RequestWork::default();
    if one.amounts == Amounts::NONE {
        return found;
    }
    let prefill = |share: f64, prefill_steps: f64| Work {
        prefill: share * one.amounts.computed,
        cached: share * one.amounts.cached,
        prefill_steps,
        ..Work::default()
    };
    for piece in pieces {
        let work = prefill(piece.share, piece.steps);
        grid.spread(piece.from, piece.to, |bin, share| found.at(bin).add(&work, share));
    }
    if pieces.is_empty() {
        // Where nobody decoded meanwhile the steps cannot be seen.
        let unseen = chunk.map_or(1.0, |chunk| one.amounts.computed / chunk);
        let passed = (steps.until(one.first) - steps.until(one.begin)).max(unseen).max(1.0);
        let work = prefill(1.0, passed / working.at(one.begin.midpoint(one.first)));
        grid.spread(one.begin, one.first, |bin, share| found.at(bin).add(&work, share));
    }
    let tokens = per_arrival(one);
    let prompt = one.amounts.computed + one.amounts.cached;
    let (mut before, mut generated) = (one.first, 1.0);
    for (index, arrival) in one.arrivals.iter().enumerate() {
        let part = parts.get(index).copied();
        let part = part.unwrap_or_else(|| 1.0 / working.at(before.midpoint(*arrival)));
        let chunk = Work {
            decode: tokens,
            context: tokens * (prompt + generated + tokens / 2.0),
            decode_steps: tokens * part,
            ..Work::default()
        };
        grid.spread(before, *arrival, |bin, share| found.at(bin).add(&chunk, share));
        before = *arrival;
        generated += tokens;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn timed(begin: f64, first: f64, arrivals: Vec<f64>) -> Timed {
        let output = arrivals.len() as f64 + 1.0;
        Timed {
            request: 0,
            sent: begin,
            earliest: begin,
            begin,
            first,
            end: arrivals.last().copied().unwrap_or(first),
            arrivals,
            amounts: Amounts { computed: 100.0, cached: 10.0, output, doubt: 0.0 },
            by_server: true,
            guessed: false,
        }
    }

    #[test]
    fn two_that_decode_together_share_their_steps() {
        let arrivals: Vec<f64> = (1..=10).map(|token| 1.0 + 0.1 * f64::from(token)).collect();
        let both = [timed(0.0, 1.0, arrivals.clone()), timed(0.0, 1.0, arrivals)];
        let grid = Grid::new(&[(0.0, 2.0)], 0.5);
        for work in of_requests(&both, &grid, None, Begins::Early) {
            let sum = work.sum();
            assert!((sum.decode_steps - 5.0).abs() < 1e-9, "{sum:?}");
            assert!((sum.prefill_steps - 0.5).abs() < 1e-9, "{sum:?}");
            assert!(
                (sum.context - (1..=10).map(|k| 110.5 + f64::from(k)).sum::<f64>()).abs() < 1e-9
            );
        }
    }

    proptest! {
        #[test]
        fn no_work_is_lost_on_a_grid(
            begin in 0.0..5.0_f64,
            prefill in 0.0..3.0_f64,
            gaps in prop::collection::vec(0.0..0.5_f64, 0..40),
            width in 0.01..3.0_f64,
        ) {
            let first = begin + prefill;
            let mut at = first;
            let arrivals: Vec<f64> = gaps.iter().map(|gap| { at += gap; at }).collect();
            let count = arrivals.len() as f64;
            let one = timed(begin, first, arrivals);
            let grid = Grid::new(&[(0.0, at / 2.0), (at / 2.0, at + 1.0)], width);
            let sum = of_requests(&[one], &grid, None, Begins::Early)[0].sum();
            prop_assert!((sum.prefill - 100.0).abs() < 1e-6);
            prop_assert!((sum.decode - count).abs() < 1e-6);
            prop_assert!(sum.prefill_steps >= 1.0 - 1e-6);
        }
    }
}
