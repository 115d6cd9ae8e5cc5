//! The offset of another clock, by load steps that both a run and an external meter saw.
//!
//! Every offset within the search is tried: the run's power is averaged over the meter's own intervals as that offset
//! places them, and the meter's readings are fitted to it by a line. Where the fit leaves least, the clocks agree. The bound is half of the
//! meter's interval (whether a reading is of a moment or of the interval before it cannot be told) and twice the
//! standard uncertainty that the curvature of what the fit leaves gives.

/// Least share of the meter's variance that the run's power must explain.
pub const MIN_EXPLAINED: f64 = 0.5;
/// Another offset far from the best that leaves less than this many times what the best leaves could be the true one.
const AMBIGUOUS: f64 = 1.5;
/// Most readings that are compared.
const MOST_READINGS: usize = 4000;
/// Most offsets that are tried at first.
const MOST_OFFSETS: f64 = 40_000.0;
/// Residuals of neighbours resemble one another: the uncertainty of independent ones times this.
const RESEMBLANCE: f64 = 2.0;
/// A step of the run's power is a change by this share of its range.
const STEP_SHARE: f64 = 0.3;

/// Cumulative energy of the run over time: what its own sensors (or its load) show.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// First moment, s on the run's clock.
    pub from: f64,
    /// Time between points, s.
    pub step: f64,
    /// Cumulative energy at each point, in any unit.
    pub sums: Vec<f64>,
}

impl Signal {
    /// Last moment.
    #[must_use]
    pub fn to(&self) -> f64 {
        self.from + self.step * self.sums.len().saturating_sub(1) as f64
    }

    /// Cumulative energy at a moment inside.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the points there are"
    )]
    fn at(&self, at: f64) -> f64 {
        let last = self.sums.len().saturating_sub(1);
        let position = ((at - self.from) / self.step).clamp(0.0, last as f64);
        let below = (position.floor() as usize).min(last);
        let above = (below + 1).min(last);
        let share = position - below as f64;
        self.sums[below] + (self.sums[above] - self.sums[below]) * share
    }

    /// Mean power between two moments.
    fn mean(&self, from: f64, to: f64) -> f64 {
        (self.at(to) - self.at(from)) / (to - from)
    }

    /// Steps of the power: moments where its mean over a second changes by much of its range.
    #[must_use]
    pub fn load_steps(&self) -> u32 {
        let mut low = f64::INFINITY;
        let mut high = f64::NEG_INFINITY;
        let mut powers: Vec<f64> = Vec::new();
        let mut at = self.from;
        while at + 1.0 <= self.to() {
            let power = self.mean(at, at + 1.0);
            low = low.min(power);
            high = high.max(power);
            powers.push(power);
            at += 1.0;
        }
        let limit = STEP_SHARE * (high - low);
        let (mut steps, mut second) = (0, 0);
        // A step may fall into the middle of a second: it is told over two.
        while let Some(span) = powers.get(second..second + 3) {
            let steep = limit > 0.0 && (span[2] - span[0]).abs() > limit;
            steps += u32::from(steep);
            second += if steep { 2 } else { 1 };
        }
        steps
    }
}

/// Readings of a meter on its own clock: each is taken as the mean since the one before.
#[derive(Debug, Clone, PartialEq)]
pub struct Readings {
    /// Times, s, in order.
    pub times: Vec<f64>,
    /// Power, W.
    pub powers: Vec<f64>,
}

impl Readings {
    /// Usual time between readings.
    #[must_use]
    pub fn interval(&self) -> f64 {
        let mut gaps: Vec<f64> = self.times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        gaps.sort_by(f64::total_cmp);
        super::stats::percentile(&gaps, 0.5).unwrap_or(0.0)
    }

    /// Fewer readings, averaged over equally many each.
    fn thinned(&self) -> Self {
        let each = self.times.len().div_ceil(MOST_READINGS).max(1);
        let chunks = || self.times.chunks(each).zip(self.powers.chunks(each));
        Self {
            times: chunks().filter_map(|(times, _)| times.last().copied()).collect(),
            powers: chunks()
                .map(|(_, powers)| powers.iter().sum::<f64>() / powers.len() as f64)
                .collect(),
        }
    }
}

/// Where the clocks agree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alignment {
    /// To be added to the meter's times to have the run's, s.
    pub offset: f64,
    /// The true one lies within this of it, s.
    pub bound: f64,
    /// Share of the meter's variance that the run's power explains.
    pub explained: f64,
}

/// Why no offset can be told.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum NoAlignment {
    /// Nothing changes.
    #[error("the run's power has no load step to align on")]
    Flat,
    /// The times do not meet.
    #[error("within {searched:.0} s of its clock the file does not cover the measured window")]
    NoOverlap {
        /// How far was searched, s.
        searched: f64,
    },
    /// No offset fits.
    #[error(
        "the run's power explains {:.0} % of the readings' variance at best: they show another load, or the clock is off by more \
         than {searched:.0} s", 100.0 * .explained
    )]
    Unlike {
        /// The best share.
        explained: f64,
        /// How far was searched, s.
        searched: f64,
    },
    /// Several do.
    #[error("offsets of {one:.1} and {other:.1} s fit alike: the load repeats itself")]
    Ambiguous {
        /// The best, s.
        one: f64,
        /// Another, s.
        other: f64,
    },
}

/// Finds the offset within a range. `window` is the part of the run that the readings must cover, s on its clock.
///
/// # Errors
/// When no offset, or more than one, makes the readings fit.
pub fn align(
    signal: &Signal,
    readings: &Readings,
    range: (f64, f64),
    window: (f64, f64),
) -> Result<Alignment, NoAlignment> {
    let searched = (range.1 - range.0) / 2.0;
    if signal.load_steps() == 0 {
        return Err(NoAlignment::Flat);
    }
    let few = readings.thinned();
    let interval = few.interval();
    let (Some(first), Some(last)) = (few.times.first(), few.times.last()) else {
        return Err(NoAlignment::NoOverlap { searched });
    };
    // The offsets with which the readings cover the window.
    let range = (range.0.max(window.1 - last), range.1.min(window.0 - first));
    if range.0 > range.1 {
        return Err(NoAlignment::NoOverlap { searched });
    }
    let step = (interval / 4.0).min(0.5).max(signal.step).max((range.1 - range.0) / MOST_OFFSETS);
    let search = Search { signal, readings: &few, interval };
    let tried = search.all(range, step);
    let best = tried
        .iter()
        .copied()
        .min_by(|one, two| one.left.total_cmp(&two.left))
        .ok_or(NoAlignment::NoOverlap { searched })?;
    if best.explained() < MIN_EXPLAINED {
        return Err(NoAlignment::Unlike { explained: best.explained(), searched });
    }
    if let Some(other) = rival(&tried, best) {
        return Err(NoAlignment::Ambiguous { one: best.offset, other });
    }
    Ok(search.refine(best, step))
}

/// What a line leaves of the readings at one offset.
#[derive(Debug, Clone, Copy)]
struct Tried {
    offset: f64,
    /// Sum of squares that the line leaves, over that of the readings.
    left: f64,
    /// Readings compared.
    count: usize,
}

impl Tried {
    fn explained(self) -> f64 {
        1.0 - self.left
    }
}

struct Search<'a> {
    signal: &'a Signal,
    readings: &'a Readings,
    interval: f64,
}

impl Search<'_> {
    fn all(&self, range: (f64, f64), step: f64) -> Vec<Tried> {
        let mut tried = Vec::new();
        let mut offset = range.0;
        while offset <= range.1 {
            tried.extend(self.at(offset));
            offset += step;
        }
        tried.extend(self.at(range.1));
        tried
    }

    /// The line through the readings that lie in the run.
    fn at(&self, offset: f64) -> Option<Tried> {
        let (from, to) = (self.signal.from, self.signal.to());
        let mut sums = [0.0; 6];
        for (time, power) in self.readings.times.iter().zip(&self.readings.powers) {
            let end = time + offset;
            if end - self.interval < from || end > to {
                continue;
            }
            let x = self.signal.mean(end - self.interval, end);
            for (sum, value) in
                sums.iter_mut().zip([1.0, x, *power, x * x, x * power, power * power])
            {
                *sum += value;
            }
        }
        let [count, x, y, xx, xy, yy] = sums;
        if count < 8.0 {
            return None;
        }
        let (varied_x, varied_y) = (xx - x * x / count, yy - y * y / count);
        let both = xy - x * y / count;
        // A rising load that the meter shows falling is no fit.
        if varied_x <= 0.0 || varied_y <= 0.0 {
            return None;
        }
        let left = if both > 0.0 { 1.0 - both * both / (varied_x * varied_y) } else { 1.0 };
        Some(Tried { offset, left: left.max(0.0), count: count as usize })
    }

    /// The lowest point of a parabola around the best offset, and how sharp it is.
    fn refine(&self, best: Tried, step: f64) -> Alignment {
        let mut centre = best;
        let mut width = step;
        for _ in 0..12 {
            let around = [centre.offset - width / 2.0, centre.offset + width / 2.0];
            let better = around
                .into_iter()
                .filter_map(|offset| self.at(offset))
                .min_by(|one, two| one.left.total_cmp(&two.left))
                .filter(|other| other.left < centre.left);
            match better {
                Some(better) => centre = better,
                None => width /= 2.0,
            }
        }
        let reach = self.interval.max(2.0 * self.signal.step) / 2.0;
        let sides = [self.at(centre.offset - reach), self.at(centre.offset + reach)];
        let known: Vec<f64> =
            sides.into_iter().flatten().map(|side| (side.left - centre.left).max(0.0)).collect();
        let rise = super::stats::mean(&known).unwrap_or(0.0);
        let free = centre.count.saturating_sub(3).max(1) as f64;
        // left(offset) = left + rise (d / reach)^2: one standard uncertainty where it has risen by left / free.
        let uncertainty = if rise > 0.0 {
            reach * (centre.left / free / rise).sqrt() * RESEMBLANCE
        } else {
            f64::INFINITY
        };
        Alignment {
            offset: centre.offset,
            bound: self.interval / 2.0 + self.signal.step + 2.0 * uncertainty,
            explained: centre.explained(),
        }
    }
}

/// Another low point that is nearly as low.
fn rival(tried: &[Tried], best: Tried) -> Option<f64> {
    let position = tried.iter().position(|one| one.offset >= best.offset)?;
    // Up the hill on both sides, then whatever is low beyond it.
    let climb = |mut slope: Box<dyn Iterator<Item = &Tried> + '_>| -> Option<f64> {
        let mut top = best.left;
        let mut beyond: Option<Tried> = None;
        let hill = best.left + 0.25 * (1.0 - best.left);
        let mut climbed = false;
        for one in slope.by_ref() {
            top = top.max(one.left);
            climbed |= top >= hill;
            if climbed && beyond.is_none_or(|low| one.left < low.left) {
                beyond = Some(*one);
            }
        }
        beyond
            .filter(|low| low.left < AMBIGUOUS * best.left.max(0.01) && low.left < hill)
            .map(|low| low.offset)
    };
    climb(Box::new(tried[position..].iter()))
        .or_else(|| climb(Box::new(tried[..position].iter().rev())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Power at a moment: idle, a load with steps of its own, idle.
    fn power(at: f64, edges: &[f64]) -> f64 {
        let passed = edges.iter().filter(|edge| **edge <= at).count();
        if passed % 2 == 1 { 600.0 } else { 120.0 }
    }

    fn signal(length: f64, edges: &[f64]) -> Signal {
        let step = 0.1;
        let mut sums = vec![0.0];
        let mut at = 0.0;
        while at + step <= length {
            let last = *sums.last().unwrap();
            sums.push(last + step * power(at + step / 2.0, edges));
            at += step;
        }
        Signal { from: 0.0, step, sums }
    }

    /// A meter that averages over its interval, with noise of a watt, whose clock is ahead by `offset`.
    fn readings(signal: &Signal, interval: f64, offset: f64, gain: f64, seed: u64) -> Readings {
        let mut noise = seed;
        let mut times = Vec::new();
        let mut powers = Vec::new();
        let mut end = signal.from + interval;
        while end <= signal.to() {
            noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let jitter = (noise >> 40) as f64 / f64::from(1 << 24) - 0.5;
            times.push(end + offset);
            powers.push(80.0 + gain * signal.mean(end - interval, end) + 4.0 * jitter);
            end += interval;
        }
        Readings { times, powers }
    }

    #[test]
    fn a_periodic_load_is_ambiguous_and_said_to_be() {
        let edges: Vec<f64> = (1..200).map(|n| 5.0 * f64::from(n)).collect();
        let signal = signal(900.0, &edges);
        let meter = readings(&signal, 1.0, 3.0, 1.0, 1);
        let found = align(&signal, &meter, (-120.0, 120.0), (300.0, 500.0));
        assert!(matches!(found, Err(NoAlignment::Ambiguous { .. })), "{found:?}");
    }

    #[test]
    fn a_flat_load_and_another_machines_are_no_alignment() {
        let flat = signal(100.0, &[]);
        let meter = readings(&flat, 1.0, 0.0, 1.0, 1);
        let found = align(&flat, &meter, (-10.0, 10.0), (40.0, 60.0));
        assert_eq!(found, Err(NoAlignment::Flat));
        let ours = signal(100.0, &[20.0, 60.0]);
        let found = align(&ours, &meter, (-10.0, 10.0), (40.0, 60.0));
        assert!(matches!(found, Err(NoAlignment::Unlike { .. })), "{found:?}");
        let late = readings(&ours, 1.0, 500.0, 1.0, 1);
        let found = align(&ours, &late, (-10.0, 10.0), (40.0, 60.0));
        assert!(matches!(found, Err(NoAlignment::NoOverlap { .. })), "{found:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn the_offset_lies_within_its_bound(
            offset in -60.0..60.0_f64,
            begin in 15.0..40.0_f64,
            middle in 4.0..9.0_f64,
            length in 20.0..60.0_f64,
            interval in prop::sample::select(vec![0.2, 0.5, 1.0, 2.0]),
            gain in 0.8..1.3_f64,
            seed in any::<u64>(),
        ) {
            let edges = [begin, begin + middle, begin + middle + 3.0, begin + middle + length];
            let signal = signal(180.0, &edges);
            let meter = readings(&signal, interval, offset, gain, seed);
            let found = align(&signal, &meter, (-120.0, 120.0), (begin + 5.0, begin + length)).unwrap();
            prop_assert!((found.offset + offset).abs() <= found.bound, "{} {:?}", -offset, found);
            prop_assert!(found.bound <= interval + 0.5, "{found:?}");
        }
    }
}
