//! From the reads of a counter to a curve: unwrapped, kept where it changes, each change at its moment.

use super::super::stats;
use super::grid::{Bracket, Grid, Seen};
use super::shape::{Doubt, Step};
use super::{Knot, Read};

/// Brackets as narrow as this share of a period say where on the grid a change is.
const NARROW: f64 = 0.7;
/// Periods that differ by less are found one from the other.
const SAME_PERIOD: f64 = 2e-3;
/// How irregular a grid may be, in periods; the most regular one that holds is taken.
const SLACKS: [f64; 4] = [0.0, 0.05, 0.1, 0.15];
/// Steps whose neighbours differ by less than this are taken as one load, to see how they wander.
const STEADY: f64 = 0.2;
/// Standard deviation of the median-based spread of a normal distribution.
const MAD_TO_SD: f64 = 1.4826;

/// What the reads of a counter say.
#[derive(Debug, Clone)]
pub(super) struct Counted {
    /// Where it changed.
    pub knots: Vec<Knot>,
    /// Spans in which it began again.
    pub resets: Vec<(f64, f64)>,
    /// How often it renews its value, s; zero where that does not show.
    pub update: f64,
    /// Half of the span in which its grid may lie, s.
    pub grid_half: f64,
    /// Standard deviation of the power of steps under a steady load, relative.
    pub wander: f64,
}

/// A rise of the counter between two reads.
#[derive(Debug, Clone, Copy)]
struct Change {
    /// The read that still showed the old value.
    old: Read,
    /// Not before that read, nor a whole period before the new one.
    earliest: f64,
    /// The read that showed the new value.
    new: Read,
    /// Energy counted since the first read.
    total: f64,
}

impl Change {
    fn bracket(&self) -> Bracket {
        (self.earliest, self.new.after)
    }
}

impl Counted {
    /// `update` is how often the sensor is said to renew its value.
    pub(super) fn of(reads: &[Read], update: Option<f64>, wrap_at: Option<f64>) -> Self {
        let (mut changes, resets) = changes(reads, update, wrap_at);
        let period = observed_period(&changes).or(update);
        if let (Some(seen), Some(said)) = (period, update) {
            narrow(&mut changes, seen.min(said));
        }
        // What is said of the sensor was found by whoever read it; what shows here may be too sparse to tell.
        let differs =
            |said: &f64| period.is_none_or(|seen| (said / seen - 1.0).abs() > SAME_PERIOD);
        let said = update.filter(differs);
        let tried: Vec<(f64, Vec<Bracket>)> = [said, period]
            .into_iter()
            .flatten()
            .map(|period| (period, narrower(&changes, NARROW * period)))
            .collect();
        let grid = SLACKS.iter().find_map(|slack| {
            tried.iter().find_map(|(period, narrow)| Grid::fit(narrow, *period, slack * period))
        });
        // Where reads are rare the changes seen are rarer than the renewals.
        let shown = [said, period].into_iter().flatten().min_by(f64::total_cmp);
        let update = grid.as_ref().map_or(shown.unwrap_or(0.0), Grid::period);
        let (knots, grid_half) = knots(reads.first(), &changes, update, grid.as_ref());
        let wander = wander(&knots);
        Self { knots, resets, update, grid_half, wander }
    }

    /// What the renewals of a power sensor say.
    pub(super) fn power(knots: Vec<Knot>, update: Option<f64>) -> Self {
        let update = update.unwrap_or(0.0);
        Self { knots, resets: Vec::new(), update, grid_half: 0.0, wander: 0.0 }
    }

    /// The step after a knot.
    pub(super) fn step(knots: &[Knot], index: usize) -> Option<Step> {
        let (before, after) = (knots.get(index)?, knots.get(index + 1)?);
        let neighbour = |first: Option<usize>| {
            let first = first?;
            Some(power(knots.get(first)?, knots.get(first + 1)?))
        };
        Some(Step {
            from: before.at,
            to: after.at,
            rise: after.energy - before.energy,
            before: neighbour(index.checked_sub(1)),
            after: neighbour(Some(index + 1)),
        })
    }

    /// Without that of when an edge shows, which is the sensor's timing.
    pub(super) const fn doubt(&self) -> Doubt {
        Doubt { edge_variance: 0.0, wander: self.wander, renewal: self.update }
    }
}

fn power(from: &Knot, to: &Knot) -> f64 {
    (to.energy - from.energy) / (to.at - from.at)
}

/// The changes of a counter, unwrapped, and the spans in which it was reset.
fn changes(
    reads: &[Read],
    update: Option<f64>,
    wrap_at: Option<f64>,
) -> (Vec<Change>, Vec<(f64, f64)>) {
    let plausible = plausible_power(reads);
    let mut resets = Vec::new();
    let mut changes = Vec::new();
    let mut total = 0.0;
    for pair in reads.windows(2) {
        let (old, new) = (pair[0], pair[1]);
        let gap = new.middle() - old.middle();
        let Some(rise) = rise(old.value, new.value, gap, wrap_at, plausible) else {
            resets.push((old.middle(), new.middle()));
            continue;
        };
        if rise <= 0.0 {
            continue;
        }
        total += rise;
        let earliest = update.map_or(old.before, |update| old.before.max(new.before - update));
        changes.push(Change { old, earliest, new, total });
    }
    (changes, resets)
}

/// How often a counter renews its value, as its own changes show; none where reads are too rare to see.
fn observed_period(changes: &[Change]) -> Option<f64> {
    const FEWEST: usize = 12;
    const MISSED: f64 = 1.7;
    let gap = |pair: &[Change]| pair[1].new.middle() - pair[0].new.middle();
    let mut gaps: Vec<f64> = changes.windows(2).map(gap).collect();
    gaps.sort_by(f64::total_cmp);
    let median = *gaps.get(gaps.len() / 2)?;
    // What is said of the sensor does not count here: it is to be found.
    let narrow = |change: &Change| change.new.after - change.old.before < NARROW * median;
    // Seen at reads, a renewal comes early or late by a read: the mean tells more than the median. Where renewals were
    // missed the gap is a multiple.
    let seen: Vec<f64> = changes
        .windows(2)
        .filter(|pair| narrow(&pair[0]) && narrow(&pair[1]))
        .map(gap)
        .filter(|gap| *gap < MISSED * median)
        .collect();
    (seen.len() >= FEWEST).then(|| stats::mean(&seen)).flatten()
}

/// The brackets that are narrower than so much.
fn narrower(changes: &[Change], most: f64) -> Vec<Bracket> {
    changes.iter().map(Change::bracket).filter(|(from, to)| to - from < most).collect()
}

/// No value is older than a period when it is read.
fn narrow(changes: &mut [Change], period: f64) {
    for change in changes {
        change.earliest = change.earliest.max(change.new.before - period);
    }
}

/// A knot a change, and the most that a grid under them may be off.
fn knots(
    first: Option<&Read>,
    changes: &[Change],
    update: f64,
    grid: Option<&Grid>,
) -> (Vec<Knot>, f64) {
    let mut knots: Vec<Knot> = Vec::with_capacity(changes.len() + 1);
    let mut grid_half = 0.0_f64;
    let mut place = |seen: Seen, energy: f64, knots: &mut Vec<Knot>| {
        let bracket = seen.bracket;
        let renewal = grid.and_then(|grid| grid.last_in(seen));
        let (at, timing) = match renewal {
            Some(renewal) => {
                grid_half = grid_half.max(renewal.half);
                (renewal.at, renewal.slack)
            }
            None => (bracket.0.midpoint(bracket.1), (bracket.1 - bracket.0) / 2.0),
        };
        match knots.last_mut() {
            // Two changes within the error of their timing: one point.
            Some(last) if at <= last.at => last.energy = energy,
            _ => knots.push(Knot { at, energy, timing, power: 0.0, variance: 0.0 }),
        }
    };
    let until = |next: usize, first_seen: f64| {
        changes.get(next).map_or((first_seen, None), |next| (next.old.before, Some(next.new.after)))
    };
    if let Some(first) = first.filter(|_| update > 0.0) {
        // The first value was renewed at most one update period before it was read.
        let bracket = (first.middle() - update, first.middle());
        let (held, gone_by) = until(0, bracket.1);
        place(Seen { bracket, held, gone_by }, 0.0, &mut knots);
    }
    for (index, change) in changes.iter().enumerate() {
        let (held, gone_by) = until(index + 1, change.new.before);
        let seen = Seen { bracket: change.bracket(), held, gone_by };
        place(seen, change.total, &mut knots);
    }
    (knots, grid_half)
}

/// How much the mean power of neighbouring steps differs where the load is steady, as a standard deviation.
fn wander(knots: &[Knot]) -> f64 {
    let powers: Vec<f64> = knots.windows(2).map(|pair| power(&pair[0], &pair[1])).collect();
    let mut changes: Vec<f64> = powers
        .windows(2)
        .filter(|pair| pair[0] > 0.0 && pair[1] > 0.0)
        .map(|pair| (pair[1] - pair[0]).abs() / pair[0].midpoint(pair[1]))
        .filter(|change| *change < STEADY)
        .collect();
    changes.sort_by(f64::total_cmp);
    let median = stats::percentile(&changes, 0.5).unwrap_or(0.0);
    // Of the difference of two: each has a half of its variance.
    MAD_TO_SD * median / std::f64::consts::SQRT_2
}

/// Highest power between reads where the counter rose; none where it never did.
fn plausible_power(reads: &[Read]) -> Option<f64> {
    reads
        .windows(2)
        .filter(|pair| pair[1].value > pair[0].value && pair[1].middle() > pair[0].middle())
        .map(|pair| (pair[1].value - pair[0].value) / (pair[1].middle() - pair[0].middle()))
        .max_by(f64::total_cmp)
}

/// How much a counter counted between two reads; none when it was reset.
///
/// A drop is a wrap if the rise it then stands for needs at most ten times the highest power seen
/// between other reads (or, with no other, less than half the counter's range).
fn rise(old: f64, new: f64, gap: f64, wrap_at: Option<f64>, plausible: Option<f64>) -> Option<f64> {
    if new >= old {
        return Some(new - old);
    }
    let range = wrap_at?;
    let wrapped = range - old + new;
    let likely = match plausible {
        Some(power) => wrapped <= 10.0 * power * gap,
        None => wrapped < range / 2.0,
    };
    (wrapped >= 0.0 && likely).then_some(wrapped)
}
