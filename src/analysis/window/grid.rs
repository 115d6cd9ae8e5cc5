//! The moments at which a sensor renews its value.
//!
//! A counter that renews itself every `T` seconds does so on a grid. One change is known only to lie between two reads,
//! but all of them lie on one grid, and the grids that pass through every bracket leave a few milliseconds of freedom.
//! On an H100 every one of thousands of changes lies on a grid of 99.995 ms. Clocks drift apart, so a grid holds for two
//! minutes; the next stretch has its own phase.

/// A stretch of reads has one grid for so long, s.
const STRETCH: f64 = 120.0;
/// A pause between brackets that ends a stretch, s.
const PAUSE: f64 = 60.0;
/// How far the true period may be from the one that was seen, relative.
const PERIOD_DOUBT: f64 = 5e-3;
/// Brackets that a grid has to pass through to be one.
const EXPLAINED: f64 = 0.95;
/// The same where renewals may be off it by so much: hardly any may be off by more.
const EXPLAINED_LOOSELY: f64 = 0.99;
/// The fewest brackets from which a phase is told.
const FEWEST: usize = 4;
/// A bracket of the share `w` of a period lies on a grid by chance as often; all of them together on one of some hundred
/// grids must be as unlikely as this, as a logarithm.
const UNLIKELY: f64 = 12.0;
/// Two clocks drift apart by at most so much, relative.
const DRIFT: f64 = 5e-5;

/// A span in which a change lies, s.
pub(super) type Bracket = (f64, f64);

/// When a value of a sensor was seen, s.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// It came within this span.
    pub bracket: Bracket,
    /// It was still there then.
    pub held: f64,
    /// Another was there by then.
    pub gone_by: Option<f64>,
}

/// The grid of a sensor, stretch by stretch.
#[derive(Debug, Clone)]
pub(super) struct Grid {
    period: f64,
    /// How far a single renewal may be off, s.
    slack: f64,
    stretches: Vec<Stretch>,
}

#[derive(Debug, Clone, Copy)]
struct Stretch {
    from: f64,
    to: f64,
    /// A renewal.
    phase: f64,
    /// How far the phase may be off, s.
    half: f64,
}

/// A renewal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Renewal {
    pub at: f64,
    /// How far the whole grid may be off.
    pub half: f64,
    /// How far this renewal may be off the grid.
    pub slack: f64,
}

impl Grid {
    /// The grid that passes through these brackets, in order of time, each much narrower than `period`, when renewals may be
    /// off it by `slack`; none if the sensor does not keep one.
    pub(super) fn fit(brackets: &[Bracket], period: f64, slack: f64) -> Option<Self> {
        let widened: Vec<Bracket> =
            brackets.iter().map(|(from, to)| (from - slack, to + slack)).collect();
        let parts = split(&widened);
        let longest = parts.iter().max_by_key(|part| part.len())?;
        if longest.len() < FEWEST || unlikeliness(longest, period) < UNLIKELY {
            return None;
        }
        let period = refine(longest, period)?;
        let enough = if slack > 0.0 { EXPLAINED_LOOSELY } else { EXPLAINED };
        let stretches: Vec<Stretch> =
            parts.iter().filter_map(|part| Stretch::fit(part, period, enough)).collect();
        let explained: usize = parts
            .iter()
            .filter(|part| stretches.iter().any(|stretch| stretch.covers(part)))
            .map(|part| part.len())
            .sum();
        #[expect(clippy::cast_precision_loss, reason = "a share of a count")]
        let share = explained as f64 / brackets.len() as f64;
        (share >= EXPLAINED).then_some(Self { period, slack, stretches })
    }

    /// How often the sensor renews its value, s.
    pub(super) const fn period(&self) -> f64 {
        self.period
    }

    /// The last renewal before a value was first seen; none where no stretch is near or none lies in its bracket.
    pub(super) fn last_in(&self, seen: Seen) -> Option<Renewal> {
        let Seen { bracket: (from, to), .. } = seen;
        let distance = |stretch: &Stretch| (stretch.from - to).max(from - stretch.to).max(0.0);
        let near =
            self.stretches.iter().min_by(|one, two| distance(one).total_cmp(&distance(two)))?;
        let half = near.half + distance(near) * DRIFT;
        if half > self.period / 4.0 {
            return None;
        }
        let doubt = half + self.slack;
        let at = near.phase + ((to + doubt - near.phase) / self.period).floor() * self.period;
        if at < from - doubt {
            return None;
        }
        let before = at - self.period;
        // The renewal may come after the value was seen only; then the one before it was the last.
        let may_be_before = at + doubt > to && before >= from - doubt && seen.held < at + doubt;
        let was_before = seen.gone_by.is_some_and(|by| by < at + self.period - doubt);
        let decided = match (may_be_before, was_before) {
            (false, _) => Some(at),
            (true, true) => Some(before),
            (true, false) => None,
        };
        if let Some(at) = decided.filter(|_| self.slack <= 0.0) {
            return Some(Renewal { at, half, slack: 0.0 });
        }
        let (earliest, latest) =
            decided.map_or((before - doubt, to), |at| (at - doubt, at + doubt));
        let (earliest, latest) = (earliest.max(from), latest.min(to));
        let slack = (latest - earliest).max(0.0) / 2.0;
        Some(Renewal { at: earliest.midpoint(latest), half, slack })
    }
}

impl Stretch {
    fn fit(brackets: &[Bracket], period: f64, enough: f64) -> Option<Self> {
        let (first, last) = (brackets.first()?, brackets.last()?);
        let (count, arc) = stab(brackets, period)?;
        #[expect(clippy::cast_precision_loss, reason = "a share of a count")]
        let explained = count as f64 >= enough * brackets.len() as f64;
        let half = (arc.1 - arc.0) / 2.0;
        (explained && brackets.len() >= FEWEST && half < period / 4.0).then_some(Self {
            from: first.0,
            to: last.1,
            phase: first.0 + arc.0.midpoint(arc.1),
            half,
        })
    }

    fn covers(&self, part: &[Bracket]) -> bool {
        part.first().is_some_and(|first| first.0 >= self.from && first.0 <= self.to)
    }
}

/// Minus the logarithm of the chance that brackets without a rhythm lie on a given grid.
fn unlikeliness(brackets: &[Bracket], period: f64) -> f64 {
    brackets.iter().map(|(from, to)| (period / (to - from)).ln().max(0.0)).sum()
}

fn split(brackets: &[Bracket]) -> Vec<&[Bracket]> {
    let mut parts = Vec::new();
    let mut begin = 0;
    for index in 1..=brackets.len() {
        let ends = brackets.get(index).is_none_or(|next| {
            next.0 - brackets[index - 1].1 > PAUSE || next.0 - brackets[begin].0 > STRETCH
        });
        if ends {
            parts.push(&brackets[begin..index]);
            begin = index;
        }
    }
    parts
}

/// The period through most of the brackets: sought in a short stretch first, then more finely in longer ones.
fn refine(brackets: &[Bracket], period: f64) -> Option<f64> {
    // Enough that the grids of neighbouring candidates stay within a millisecond over the stretch.
    const TRIED: i32 = 16;
    const FIRST_BRACKETS: usize = 24;
    let mut best = period;
    let mut doubt = PERIOD_DOUBT * period;
    let mut count = FIRST_BRACKETS.min(brackets.len());
    loop {
        let part = &brackets[..count];
        let candidates =
            (-TRIED..=TRIED).map(|step| best + doubt * f64::from(step) / f64::from(TRIED));
        let scored: Vec<(usize, f64)> =
            candidates.filter_map(|period| Some((stab(part, period)?.0, period))).collect();
        let most = scored.iter().map(|(score, _)| *score).max()?;
        if most * 5 < part.len() * 4 {
            // No grid at all: a longer look would not find one either.
            return None;
        }
        let good: Vec<f64> =
            scored.iter().filter(|(score, _)| *score == most).map(|(_, period)| *period).collect();
        best = good.first()?.midpoint(*good.last()?);
        if count == brackets.len() {
            return Some(best);
        }
        doubt = ((good.last()? - good.first()?) / 2.0 + doubt / f64::from(TRIED)).min(doubt);
        count = (count * 2).min(brackets.len());
    }
}

/// The phase (after the first bracket's begin) that lies in most brackets when all are laid on a circle of one period: how
/// many, and from where to where.
fn stab(brackets: &[Bracket], period: f64) -> Option<(usize, (f64, f64))> {
    let origin = brackets.first()?.0;
    let mut ends: Vec<(f64, bool)> = Vec::with_capacity(4 * brackets.len());
    for (from, to) in brackets.iter().filter(|(from, to)| to - from < period) {
        let begin = (from - origin).rem_euclid(period);
        for turn in [0.0, period] {
            ends.push((begin + turn, true));
            ends.push((begin + turn + (to - from), false));
        }
    }
    // Where one begins as another ends both hold: begins first.
    ends.sort_by(|one, two| one.0.total_cmp(&two.0).then(two.1.cmp(&one.1)));
    let mut open = 0_usize;
    let mut best: Option<(usize, (f64, f64))> = None;
    for (index, (at, begins)) in ends.iter().enumerate() {
        if *begins {
            open += 1;
            if best.is_none_or(|(most, _)| open > most) {
                let until =
                    ends[index..].iter().find(|(_, begins)| !begins).map_or(*at, |end| end.0);
                best = Some((open, (*at, until)));
            }
        } else {
            open = open.saturating_sub(1);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Changes on a grid, each seen between two reads.
    fn seen(phase: f64, period: f64, count: u32, reads: &[f64]) -> Vec<Bracket> {
        (0..count)
            .map(|k| phase + f64::from(k) * period)
            .filter_map(|at| {
                let next = reads.partition_point(|read| *read <= at);
                Some((*reads.get(next.checked_sub(1)?)?, *reads.get(next)?))
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn the_grid_is_found_to_a_few_milliseconds(
            phase in 0.0..0.1_f64, skew in -1e-3..1e-3_f64, jitter in proptest::collection::vec(0.010..0.030_f64, 1000),
        ) {
            let period = 0.1 * (1.0 + skew);
            let mut reads = Vec::new();
            let mut now = -0.05;
            for step in jitter {
                now += step;
                reads.push(now);
            }
            let grid = Grid::fit(&seen(phase, period, 200, &reads), 0.1, 0.0).unwrap();
            for k in [3_u32, 60, 140] {
                let truth = phase + f64::from(k) * period;
                if truth + 0.02 > *reads.last().unwrap() { continue; }
                let bracket = (truth - 0.03, truth + 0.02);
                let found = grid.last_in(Seen { bracket, held: bracket.1, gone_by: None }).unwrap();
                prop_assert!((found.at - truth).abs() < 0.004, "{found:?} for {truth}");
                prop_assert!((found.at - truth).abs() <= found.half + 0.003, "{found:?} for {truth}");
            }
        }
    }

    #[test]
    fn changes_without_a_rhythm_have_no_grid() {
        let mut at = 0.0;
        let brackets: Vec<Bracket> = (0..200_u32)
            .map(|k| {
                at += 0.05 + f64::from(k * 7919 % 97) / 970.0;
                (at, at + 0.004)
            })
            .collect();
        assert!(Grid::fit(&brackets, 0.1, 0.015).is_none());
        assert!(Grid::fit(&brackets[..3], 0.1, 0.0).is_none());
        assert!(Grid::fit(&[], 0.1, 0.0).is_none());
    }
}
