//! The energy of intervals, split over the requests that worked in them.
//!
//! What the work costs by the weights, times the ratio of energy to cost of the whole, is given to each request. What that
//! leaves of an interval's energy goes to the work in it as far as it is not made up for by the intervals beside it
//! ([`super::smooth`]). What falls where nobody worked goes to those that were in flight, in equal parts; where
//! nobody was, it stays unattributed. Nothing is lost on the way: the parts sum to the whole.

use super::smooth::{Chain, Smoothed, Variation};
use super::weights::Weights;
use super::work::{Grid, RequestWork};

/// Work is placed in time to about this, s: a long step of a batch.
const PLACED_S: f64 = 0.1;

/// Energy of the intervals, J.
#[derive(Debug, Clone, PartialEq)]
pub struct Intervals {
    /// The intervals.
    pub grid: Grid,
    /// All energy in each.
    pub joules: Vec<f64>,
    /// Of that, what idling would have used.
    pub idle: Vec<f64>,
    /// Random variance of each, J^2.
    pub variance: Vec<f64>,
}

impl Intervals {
    /// Energy beyond idling, J.
    #[must_use]
    pub fn active(&self, bin: usize) -> f64 {
        self.joules[bin] - self.idle[bin]
    }
}

/// What requests used, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// Prefill and decode of each request, J.
    pub requests: Vec<[f64; 2]>,
    /// Where nobody was in flight, J.
    pub unattributed: f64,
    /// Cost of all work in each interval.
    costs: Vec<f64>,
    /// The moments before and after the work of each interval.
    moments: Vec<[Moment; 2]>,
}

/// Between the work of two intervals.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Moment {
    /// The interval on the other side; none where no work is.
    other: Option<usize>,
    /// Variance of the energy that belongs on one side and was given to the other, J^2.
    variance: f64,
}

/// Time in flight of each request by interval, before and after its first token.
pub type InFlight = Vec<Vec<(usize, [f64; 2])>>;

/// Splits the energy.
#[must_use]
pub fn split(
    intervals: &Intervals,
    work: &[RequestWork],
    in_flight: &InFlight,
    weights: &Weights,
) -> Split {
    let bins = intervals.grid.len();
    let costs = costs(work, weights, bins);
    let time = times(in_flight, bins);
    let homeless: Vec<f64> =
        (0..bins).map(|bin| homeless(bin, intervals, &costs, time[bin])).collect();
    let worked: Vec<f64> = (0..bins).map(|bin| intervals.active(bin) - homeless[bin]).collect();
    let cost: f64 = costs.iter().sum();
    let ratio = if cost > 0.0 { worked.iter().sum::<f64>() / cost } else { 0.0 };
    let expected: Vec<f64> = costs.iter().map(|cost| ratio * cost).collect();
    let left: Vec<f64> = worked.iter().zip(&expected).map(|(joules, cost)| joules - cost).collect();
    let chains = chains(&costs, &left, &intervals.grid);
    let variation = Variation::of(&chains, explained(&chains, intervals, &expected));
    let mut received = expected;
    let mut moments = vec![[Moment::default(); 2]; bins];
    for chain in &chains {
        let Smoothed { given, variances } = chain.smooth(variation);
        for (position, (bin, given)) in chain.bins.iter().zip(given).enumerate() {
            received[*bin] += given;
            let at = |moment: usize, other: Option<usize>| {
                let sides = [Some(*bin), other].into_iter().flatten();
                // The sensor's own errors are in what was seen: never better known than by it. An interval has two edges.
                let sensor: f64 = sides.map(|bin| intervals.variance[bin]).sum();
                let other = other.filter(|other| costs[*other] > 0.0);
                Moment { other, variance: variances[moment].max(sensor / 4.0) }
            };
            let before = position.checked_sub(1).and_then(|before| chain.bins.get(before));
            let after = chain.bins.get(position + 1);
            moments[*bin] = [at(position, before.copied()), at(position + 1, after.copied())];
        }
    }
    let mut requests = share_out(work, weights, &received, &costs);
    let unattributed = house(&homeless, in_flight, &time, &mut requests);
    Split { requests, unattributed, costs, moments }
}

/// What errors of the moments between intervals can make of their differences, as a sum of squares, J^2: those of the sensor,
/// and work that is placed early or late.
fn explained(chains: &[Chain], intervals: &Intervals, expected: &[f64]) -> f64 {
    let of_moment = |pair: &[usize]| {
        let sensor = (intervals.variance[pair[0]] + intervals.variance[pair[1]]) / 4.0;
        let power = |bin: usize| {
            let (from, to) = intervals.grid.span(bin);
            expected[bin] / (to - from)
        };
        let placed = PLACED_S * power(pair[0]).max(power(pair[1]));
        // Each moment moves both of its sides.
        2.0 * (sensor + placed * placed)
    };
    chains.iter().flat_map(|chain| chain.bins.windows(2)).map(of_moment).sum()
}

/// Energy of an interval that no known work used: all of it where nobody worked there or beside, and the part of those whose
/// work nobody knows.
fn homeless(bin: usize, intervals: &Intervals, costs: &[f64], time: f64) -> f64 {
    if costs[bin] > 0.0 {
        return 0.0;
    }
    let beside = [0, 2].into_iter().filter_map(|side| neighbour(bin, side, &intervals.grid));
    if beside.map(|other| costs[other]).sum::<f64>() <= 0.0 {
        return intervals.active(bin);
    }
    // Somebody in flight whose work nobody knows goes before neighbours.
    let (from, to) = intervals.grid.span(bin);
    (time / (to - from)).min(1.0) * intervals.active(bin)
}

/// Intervals with work, those together that touch one another or idle intervals between.
fn chains(costs: &[f64], left: &[f64], grid: &Grid) -> Vec<Chain> {
    let mut chains = Vec::new();
    let mut chain = Chain::default();
    for bin in 0..costs.len() {
        chain.add(bin, costs[bin], left[bin]);
        if !grid.touches_next(bin) {
            chains.push(std::mem::take(&mut chain));
        }
    }
    chains.retain(|chain| !chain.bins.is_empty());
    chains
}

/// The interval before, this one, the one after, where they touch.
fn neighbour(bin: usize, side: usize, grid: &Grid) -> Option<usize> {
    match side {
        0 => bin.checked_sub(1).filter(|before| grid.touches_next(*before)),
        1 => Some(bin),
        _ => grid.touches_next(bin).then_some(bin + 1),
    }
}

fn costs(work: &[RequestWork], weights: &Weights, bins: usize) -> Vec<f64> {
    let mut costs = vec![0.0; bins];
    for one in work {
        for (position, work) in one.bins.iter().enumerate() {
            costs[one.from + position] += work.cost(weights).iter().sum::<f64>();
        }
    }
    costs
}

fn share_out(
    work: &[RequestWork],
    weights: &Weights,
    received: &[f64],
    costs: &[f64],
) -> Vec<[f64; 2]> {
    work.iter()
        .map(|one| {
            let mut sum = [0.0; 2];
            for (position, work) in one.bins.iter().enumerate() {
                let bin = one.from + position;
                if costs[bin] > 0.0 {
                    let [prefill, decode] = work.cost(weights);
                    sum[0] += received[bin] * (prefill / costs[bin]);
                    sum[1] += received[bin] * (decode / costs[bin]);
                }
            }
            sum
        })
        .collect()
}

/// Time in flight in each interval, all requests together.
fn times(in_flight: &InFlight, bins: usize) -> Vec<f64> {
    let mut time = vec![0.0; bins];
    for (bin, parts) in in_flight.iter().flatten() {
        time[*bin] += parts[0] + parts[1];
    }
    time
}

/// Gives energy without work to whoever was in flight; tells what is left.
fn house(homeless: &[f64], in_flight: &InFlight, time: &[f64], requests: &mut [[f64; 2]]) -> f64 {
    for (spans, request) in in_flight.iter().zip(requests) {
        for (bin, parts) in spans.iter().filter(|(bin, _)| time[*bin] > 0.0) {
            for (sum, part) in request.iter_mut().zip(parts) {
                *sum += homeless[*bin] * (part / time[*bin]);
            }
        }
    }
    homeless.iter().zip(time).filter(|(_, time)| **time <= 0.0).map(|(joules, _)| joules).sum()
}

impl Split {
    /// Variance of each request's energy from what cannot be told of the energy of intervals, J^2: how their own work differed
    /// from its cost, and when the sensor saw it.
    #[must_use]
    pub fn variances(&self, work: &[RequestWork], weights: &Weights) -> Vec<f64> {
        let of_request = |one: &RequestWork| {
            let costs = one.bins.iter().map(|work| work.cost(weights).iter().sum::<f64>());
            self.variance(one.from, &costs.collect::<Vec<f64>>())
        };
        work.iter().map(of_request).collect()
    }

    /// The same of some of the work of intervals from one on, by what it costs in each. An error at a moment between two
    /// intervals takes from one what it gives to the other, so it does nothing to work that has equal shares of both.
    #[must_use]
    pub fn variance(&self, from: usize, costs: &[f64]) -> f64 {
        let share = |bin: usize| {
            let cost = bin.checked_sub(from).and_then(|position| costs.get(position));
            cost.filter(|_| self.costs[bin] > 0.0).map_or(0.0, |cost| cost / self.costs[bin])
        };
        // What an error at the ends does is shared by all work.
        let all: f64 = self.costs.iter().sum();
        let whole = if all > 0.0 { costs.iter().sum::<f64>() / all } else { 0.0 };
        let inside = |bin: usize| bin >= from && bin < from + costs.len();
        let of_bin = |bin: usize| {
            let [before, after] = self.moments[bin];
            let error = |moment: Moment| {
                let other = moment.other.map_or(whole, share);
                (share(bin) - other).powi(2) * moment.variance
            };
            // The moment between two that are both asked for counts once.
            let first = if before.other.is_some_and(inside) { 0.0 } else { error(before) };
            first + error(after)
        };
        (from..from + costs.len()).filter(|bin| self.costs[*bin] > 0.0).map(of_bin).sum()
    }

    /// How many intervals there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.costs.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.costs.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::attribute::work::Work;
    use proptest::prelude::*;

    fn request(from: usize, costs: &[(f64, f64)]) -> RequestWork {
        let bins = costs
            .iter()
            .map(|(prefill, decode)| Work { prefill: *prefill, decode: *decode, ..Work::default() })
            .collect();
        RequestWork { from, bins }
    }

    fn intervals(joules: Vec<f64>, idle: f64) -> Intervals {
        let bins = joules.len();
        Intervals {
            grid: Grid::new(&[(0.0, bins as f64)], 1.0),
            idle: vec![idle; bins],
            variance: vec![1.0; bins],
            joules,
        }
    }

    const EVEN: Weights =
        Weights { prefill: 1.0, cached_prompt: 0.0, decode: 1.0, context: 0.0, step: 0.0 };

    #[test]
    fn energy_follows_the_work_of_its_interval() {
        let work = [request(0, &[(3.0, 0.0), (0.0, 1.0)]), request(1, &[(0.0, 3.0)])];
        let found = split(&intervals(vec![13.0, 14.0], 1.0), &work, &vec![Vec::new(); 2], &EVEN);
        let sum: f64 = found.requests.iter().flatten().sum();
        assert!((sum - 25.0).abs() < 1e-12);
        assert!(found.requests[0][0] > 9.0 && found.requests[1][1] > found.requests[0][1] * 2.9);
    }

    #[test]
    fn energy_where_nobody_was_in_flight_is_nobodys() {
        let work = [request(0, &[(1.0, 0.0)])];
        let joules = intervals(vec![5.0, 3.0, 2.0, 7.0], 0.0);
        let found = split(&joules, &work, &vec![Vec::new()], &EVEN);
        // The neighbour's energy is a late part of the work's; that farther on is not.
        assert!((found.requests[0][0] - 8.0).abs() < 1e-12, "{found:?}");
        assert!((found.unattributed - 9.0).abs() < 1e-12);
    }

    #[test]
    fn energy_without_known_work_goes_to_those_in_flight() {
        let joules = intervals(vec![6.0], 0.0);
        let in_flight = vec![vec![(0, [1.0, 0.0])], vec![(0, [0.0, 0.5])]];
        let work = vec![RequestWork::default(); 2];
        let found = split(&joules, &work, &in_flight, &EVEN);
        assert_eq!(found.requests, [[4.0, 0.0], [0.0, 2.0]]);
    }

    proptest! {
        #[test]
        fn the_parts_sum_to_the_whole(
            joules in prop::collection::vec(-5.0..500.0_f64, 1..30),
            starts in prop::collection::vec((0_usize..30, 0.0..9.0_f64, 0.0..9.0_f64, 0.0..1.0_f64), 0..20),
            idle in 0.0..50.0_f64,
        ) {
            let bins = joules.len();
            let intervals = intervals(joules, idle);
            let work: Vec<RequestWork> =
                starts.iter().map(|(from, p, d, _)| request(from % bins, &[(*p, *d)])).collect();
            let in_flight: InFlight =
                starts.iter().map(|(from, .., time)| vec![((from + 1) % bins, [*time, 0.1])]).collect();
            let found = split(&intervals, &work, &in_flight, &Weights::ASSUMED);
            let parts: f64 =
                found.requests.iter().flatten().sum::<f64>() + found.unattributed;
            let whole: f64 = (0..bins).map(|bin| intervals.active(bin)).sum();
            let size: f64 = (0..bins).map(|bin| intervals.active(bin).abs()).sum();
            prop_assert!((parts - whole).abs() <= 1e-12 * size.max(1.0));
        }
    }
}
