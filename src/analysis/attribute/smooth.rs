//! What the work of intervals cost beside what its weights say, told from when a sensor saw it.
//!
//! The energy of an interval differs from the cost of its work for two reasons. The work did cost something else: then the
//! difference stays, and belongs to that work. Or the energy was seen, or the work placed, a little early or late: then the
//! intervals beside it differ the other way. So the sum of the differences up to a moment is a random walk (the first) seen with an
//! independent error at every moment (the second): a local level model. Both variances come from the differences
//! themselves, since only errors of timing make neighbours differ against one another; the most likely walk is the solution
//! of a tridiagonal system (a Kalman smoother's). Its ends are known: the energy of the whole is measured.

/// Neighbours so far apart may still make up for one another.
const LAGS: usize = 3;
/// What lasts is the work's own as far as it is more than chance shows, by so many standard uncertainties.
const SHOWN: f64 = 2.0;
/// Smallest variance of the work's own cost, relative: what is certain stays solvable.
const SMALLEST: f64 = 1e-10;

/// Intervals with work, in order, and the moments between them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chain {
    /// The intervals.
    pub bins: Vec<usize>,
    /// Cost of the work in each.
    costs: Vec<f64>,
    /// Sum of the differences after each, as it was seen: between it and the next one with work.
    seen: Vec<f64>,
    /// How much a moment's error moves each of these.
    reach: Vec<f64>,
    /// Sum of all differences so far.
    sum: f64,
    /// Intervals without work since the last one with.
    idle: usize,
    /// How much an error of the moment at which all begins moves the first.
    begin: f64,
}

/// How much intervals differ from the cost of their work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Variation {
    /// Variance of the work's own cost, relative, as far as it shows.
    own: f64,
    /// The most that it may be by chance.
    own_at_most: f64,
    /// Variance of a moment's error, in units of reach.
    moment: f64,
}

/// How much the error of a moment between two intervals moves them, with so many idle ones between.
fn reach(before: f64, after: f64, idle: usize) -> f64 {
    let both = f64::midpoint(before * before, after * after);
    match idle {
        0 => both,
        1 => both / 2.0,
        _ => 0.0,
    }
}

/// What a chain's intervals were given.
#[derive(Debug, Clone, PartialEq)]
pub struct Smoothed {
    /// Beside the cost of each interval's work, J.
    pub given: Vec<f64>,
    /// Variance of the sum up to each moment, before the first and after each, J^2: what an error moves from one side to the other.
    pub variances: Vec<f64>,
}

impl Chain {
    /// Appends an interval with its cost and what its energy differs from it.
    pub fn add(&mut self, bin: usize, cost: f64, differs: f64) {
        self.sum += differs;
        if cost <= 0.0 {
            self.idle += 1;
            // A single idle interval shows something of both sides; farther from work nothing comes late or early.
            if let Some(seen) = self.seen.last_mut() {
                match self.idle {
                    1 => *seen = self.sum - differs / 2.0,
                    2 => *seen = self.sum - differs,
                    _ => {}
                }
            }
            return;
        }
        if let (Some(reach), Some(before)) = (self.reach.last_mut(), self.costs.last()) {
            *reach = self::reach(*before, cost, self.idle);
        }
        if self.bins.is_empty() {
            self.begin = reach(0.0, cost, self.idle);
        }
        self.idle = 0;
        self.bins.push(bin);
        self.costs.push(cost);
        self.seen.push(self.sum);
        self.reach.push(0.0);
    }

    /// Differences of the intervals with work as they were seen, idle ones beside them included.
    fn differences(&self) -> Vec<f64> {
        let mut before = 0.0;
        let count = self.seen.len();
        let at = |index: usize| if index + 1 == count { self.sum } else { self.seen[index] };
        (0..count)
            .map(|index| {
                let difference = at(index) - before;
                before = at(index);
                difference
            })
            .collect()
    }

    /// The most likely share of the differences that is the work's own.
    #[must_use]
    pub fn smooth(&self, variation: Variation) -> Smoothed {
        let largest = self.costs.iter().copied().fold(0.0, f64::max);
        let floor = SMALLEST * SMALLEST * largest * largest;
        let least = SMALLEST * largest * largest;
        let square = |relative: f64, cost: f64| relative.max(SMALLEST) * cost * cost + floor;
        let own: Vec<f64> = self.costs.iter().map(|cost| square(variation.own, *cost)).collect();
        let end = reach(self.costs.last().copied().unwrap_or(0.0), 0.0, self.idle);
        let reaches = [self.begin].into_iter().chain(self.reach.iter().copied());
        let mut moment: Vec<f64> =
            reaches.map(|reach| variation.moment * reach + least * SMALLEST).collect();
        if let Some(last) = moment.last_mut() {
            *last += variation.moment * end;
        }
        let walk = self.walk(&own, &moment);
        let mut given: Vec<f64> = walk.windows(2).map(|pair| pair[1] - pair[0]).collect();
        // What the whole's own ends may be off is shared by all.
        let (rest, all) = (self.sum - given.iter().sum::<f64>(), self.costs.iter().sum::<f64>());
        for (given, cost) in given.iter_mut().zip(&self.costs) {
            *given += rest * cost / all;
        }
        let most = |index: usize| {
            self.costs.get(index).map_or(0.0, |cost| square(variation.own_at_most, *cost))
        };
        let variances = moment.iter().enumerate().map(|(index, moment)| {
            // A moment is no worse known than either cause allows.
            let own = index.checked_sub(1).map_or(0.0, most) + most(index);
            own * moment / (own + moment)
        });
        Smoothed { given, variances: variances.collect() }
    }

    /// The walk before the first interval and after each: the least sum of squares of its steps and of its distances from what
    /// was seen.
    fn walk(&self, own: &[f64], moment: &[f64]) -> Vec<f64> {
        let count = moment.len();
        let (mut factors, mut levels) = (Vec::with_capacity(count), Vec::with_capacity(count));
        // Forward elimination of a diagonally dominant, symmetric tridiagonal system.
        let (mut factor, mut level) = (0.0, 0.0);
        for (index, moment) in moment.iter().enumerate() {
            let to_before = index.checked_sub(1).map_or(0.0, |before| 1.0 / own[before]);
            let to_after = own.get(index).map_or(0.0, |own| 1.0 / own);
            let seen = 1.0 / moment;
            let value = match index {
                0 => 0.0,
                last if last + 1 == count => self.sum,
                inner => self.seen[inner - 1],
            };
            let pivot = to_before + to_after + seen - to_before * factor;
            level = (seen * value + to_before * level) / pivot;
            factor = to_after / pivot;
            factors.push(factor);
            levels.push(level);
        }
        for index in (0..count.saturating_sub(1)).rev() {
            levels[index] += factors[index] * levels[index + 1];
        }
        levels
    }
}

impl Variation {
    /// As the differences show it: by their squares and the products of neighbours. Errors of moments explain no more than
    /// `explained` of the squares' sum, J^2: what is known of the sensor and of when the work was.
    #[must_use]
    pub fn of(chains: &[Chain], explained: f64) -> Self {
        let (mut squares, mut products, mut costs, mut reach) = (0.0, 0.0, 0.0, 0.0);
        // Of the products' sum, were the differences independent.
        let mut chance = 0.0;
        for chain in chains {
            let differences = chain.differences();
            squares += differences.iter().map(|one| one * one).sum::<f64>();
            for lag in 1..=LAGS {
                let late = &differences[lag.min(differences.len())..];
                for product in differences.iter().zip(late).map(|(one, two)| one * two) {
                    products += product;
                    chance += product * product;
                }
            }
            costs += chain.costs.iter().map(|cost| cost * cost).sum::<f64>();
            // Each moment moves both of its sides.
            reach += 2.0 * chain.reach.iter().sum::<f64>();
        }
        let shown = (squares + 2.0 * products - SHOWN * 2.0 * chance.sqrt()).clamp(0.0, squares);
        let lasting = shown.max(squares - explained);
        let most = (squares + 2.0 * products + 2.0 * chance.sqrt()).clamp(lasting, squares);
        let part = |value: f64, of: f64| if of > 0.0 { value / of } else { 0.0 };
        Self {
            own: part(lasting, costs),
            own_at_most: part(most, costs),
            moment: part(squares - lasting, reach),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chain(differences: &[f64]) -> Chain {
        let mut chain = Chain::default();
        for (bin, differs) in differences.iter().enumerate() {
            chain.add(bin, 10.0, *differs);
        }
        chain
    }

    #[test]
    fn what_neighbours_make_up_for_is_nobodys() {
        // Moments that err independently of one another: each moves energy from one side of it to the other.
        let errs = |moment: usize| {
            4.0 * (((moment * moment * 7919 + 31 * moment) % 101) as f64 / 101.0 - 0.5)
        };
        let differences: Vec<f64> = (0..200).map(|bin| errs(bin + 1) - errs(bin)).collect();
        let chain = chain(&differences);
        let found = chain.smooth(Variation::of(std::slice::from_ref(&chain), f64::INFINITY));
        let squares = |of: &[f64]| of.iter().map(|one| one * one).sum::<f64>();
        assert!(squares(&found.given) < 0.1 * squares(&differences), "{found:?}");
    }

    #[test]
    fn what_lasts_belongs_to_the_work_there() {
        let differences: Vec<f64> = (0..40).map(|bin| if bin < 20 { 2.0 } else { -2.0 }).collect();
        let chain = chain(&differences);
        let found = chain.smooth(Variation::of(std::slice::from_ref(&chain), f64::INFINITY));
        assert!(found.given[..20].iter().all(|given| (given - 2.0).abs() < 0.5), "{found:?}");
    }

    #[test]
    fn energy_that_comes_late_beside_a_burst_belongs_to_the_burst() {
        let mut chain = Chain::default();
        for (bin, (cost, differs)) in
            [(10.0, -3.0), (0.0, 3.0), (0.0, 0.0), (0.0, 0.0), (10.0, -1.0), (0.0, 1.0)]
                .into_iter()
                .enumerate()
        {
            chain.add(bin, cost, differs);
        }
        let found = chain.smooth(Variation { own: 0.01, own_at_most: 0.01, moment: 0.01 });
        assert!(found.given.iter().all(|given| given.abs() < 1e-6), "{found:?}");
    }

    proptest! {
        #[test]
        fn nothing_is_lost(
            parts in prop::collection::vec((0.0..9.0_f64, -9.0..9.0_f64), 1..40),
            own in 0.0..1.0_f64, moment in 0.0..1.0_f64,
        ) {
            let mut chain = Chain::default();
            for (bin, (cost, differs)) in parts.iter().enumerate() {
                chain.add(bin, if *cost < 3.0 { 0.0 } else { *cost }, *differs);
            }
            prop_assume!(!chain.bins.is_empty());
            let found = chain.smooth(Variation { own, own_at_most: own, moment });
            let whole: f64 = parts.iter().map(|part| part.1).sum();
            prop_assert!((found.given.iter().sum::<f64>() - whole).abs() < 1e-9);
            prop_assert!(found.variances.iter().all(|variance| *variance >= 0.0));
        }
    }
}
