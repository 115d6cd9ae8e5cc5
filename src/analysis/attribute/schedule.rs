//! Steps of a server's batch, rebuilt from when tokens arrived.
//!
//! Every sequence that decodes has one token a step, so tokens that arrive together end a step, and tell who was in it. Prompts
//! are taken in turn, as much of them as the step has room for beside the tokens that are decoded: with the size of a step and
//! the moment of each first token that tells in which steps a prompt was, and with how many tokens. Where nobody decodes
//! steps do not show; then each is as full as prompts can make it.

use super::super::stats;
use super::timing::{Amounts, Timed};
use super::work::per_arrival;

/// Tokens that arrive within this time are of one step, s, ...
const TOGETHER_S: f64 = 0.002;
/// ... or within this part of the usual time between two tokens, if that is shorter.
const TOGETHER_PART: f64 = 0.3;
/// Steps are believed if so much of what they say of the decoding sequences is so.
const CONSISTENT: f64 = 0.9;

/// In how many steps a prompt may have been, where the records leave a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begins {
    /// As early as its turn came: servers that fill their steps.
    Early,
    /// As late as it could be done.
    Late,
}

/// A part of a prompt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Piece {
    /// Begin, s.
    pub from: f64,
    /// End, s.
    pub to: f64,
    /// Share of the prompt.
    pub share: f64,
    /// Part of steps.
    pub steps: f64,
}

/// What each request had of the steps.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schedule {
    /// Of its prompt; empty where its steps are not known.
    pub prefills: Vec<Vec<Piece>>,
    /// Of the step of each arrival.
    pub decodes: Vec<Vec<f64>>,
}

/// From one moment at which tokens arrived to the next: one step if somebody decoded, else as many as its prompts need.
#[derive(Debug, Clone, Default)]
struct Stretch {
    from: f64,
    to: f64,
    decoding: f64,
    /// Prompt tokens.
    used: f64,
    /// Who was prefilled, between which of those tokens.
    prompts: Vec<(usize, f64, f64)>,
}

impl Stretch {
    /// Prompt tokens for which its last step has room.
    fn room(&self, size: f64) -> f64 {
        if self.decoding > 0.0 {
            (size - self.decoding - self.used).max(0.0)
        } else if size.is_finite() {
            (self.used / size).ceil() * size - self.used
        } else {
            size
        }
    }

    fn take(&mut self, request: usize, tokens: f64) {
        self.prompts.push((request, self.used, self.used + tokens));
        self.used += tokens;
    }

    /// Parts of steps that each of its prompts had, and those of a sequence that decoded.
    fn parts(&self, size: f64) -> (Vec<f64>, f64) {
        if self.decoding > 0.0 || !size.is_finite() {
            let part = 1.0 / (self.decoding + self.prompts.len() as f64).max(1.0);
            return (vec![part; self.prompts.len()], part);
        }
        // Steps lie between multiples of their size; each is shared by those who reach into it.
        let reach = |from: f64, to: f64, step: f64| from < step + size && to > step;
        let part = |(_, from, to): &(usize, f64, f64)| {
            let (mut sum, mut step) = (0.0, (from / size).floor() * size);
            while step < *to {
                let sharing =
                    self.prompts.iter().filter(|(_, from, to)| reach(*from, *to, step)).count();
                sum += 1.0 / sharing.max(1) as f64;
                step += size;
            }
            sum
        };
        (self.prompts.iter().map(part).collect(), 1.0)
    }
}

struct Builder<'t> {
    timed: &'t [Timed],
    stretches: Vec<Stretch>,
    /// Stretch at whose end each token of a request arrived, the first one included; empty where none did.
    ends: Vec<Vec<usize>>,
    /// Tokens of a step.
    size: f64,
}

/// Rebuilds the steps; none where the arrivals do not show them. `size`: tokens of a step at most, where that is known.
#[must_use]
pub fn rebuild(timed: &[Timed], size: Option<f64>, begins: Begins) -> Option<Schedule> {
    let mut builder = Builder::of(timed, size.unwrap_or(f64::INFINITY))?;
    if !builder.is_consistent() {
        return None;
    }
    builder.count();
    builder.fill(begins);
    Some(builder.schedule())
}

fn shows_steps(one: &Timed) -> bool {
    let whole = one.amounts != Amounts::NONE && one.amounts.output > 0.0;
    whole && (!one.guessed || one.amounts.output <= 1.0)
}

impl<'t> Builder<'t> {
    fn of(timed: &'t [Timed], size: f64) -> Option<Self> {
        let several = |one: &&Timed| shows_steps(one) && !one.arrivals.is_empty();
        let one_each = |one: &&Timed| (per_arrival(one) - 1.0).abs() < 0.01;
        let streams = timed.iter().filter(several).count() as f64;
        if (timed.iter().filter(several).filter(one_each).count() as f64) < CONSISTENT * streams {
            return None;
        }
        let mut gaps = Vec::new();
        let mut moments: Vec<(f64, usize)> = Vec::new();
        for (index, one) in timed.iter().enumerate() {
            if !shows_steps(one) {
                continue;
            }
            let mut before = one.first;
            moments.push((one.first, index));
            for arrival in &one.arrivals {
                gaps.push(arrival - before);
                moments.push((*arrival, index));
                before = *arrival;
            }
        }
        moments.sort_by(|one, two| one.0.total_cmp(&two.0));
        gaps.sort_by(f64::total_cmp);
        let usual = stats::percentile(&gaps, 0.5).unwrap_or(f64::INFINITY);
        let together = TOGETHER_S.min(TOGETHER_PART * usual);
        let mut builder =
            Self { timed, stretches: Vec::new(), ends: vec![Vec::new(); timed.len()], size };
        for (at, index) in moments {
            match builder.stretches.last_mut() {
                Some(last) if at - last.to <= together => last.to = at,
                last => {
                    let from = last.map_or(f64::NEG_INFINITY, |last| last.to);
                    builder.stretches.push(Stretch { from, to: at, ..Stretch::default() });
                }
            }
            builder.ends[index].push(builder.stretches.len() - 1);
        }
        (!builder.stretches.is_empty()).then_some(builder)
    }

    /// Whether nearly every sequence had one token in nearly every step between its first and its last.
    fn is_consistent(&self) -> bool {
        let (mut apart, mut tokens, mut steps) = (0.0, 0.0, 0.0);
        for ends in self.ends.iter().filter(|ends| ends.len() > 1) {
            apart += ends.windows(2).filter(|pair| pair[1] > pair[0]).count() as f64;
            tokens += (ends.len() - 1) as f64;
            steps += (ends[ends.len() - 1] - ends[0]) as f64;
        }
        apart >= CONSISTENT * tokens && apart >= CONSISTENT * steps
    }

    /// Counts who decoded, and tells when stretches began in which nobody did.
    fn count(&mut self) {
        for ends in &self.ends {
            // Whoever has several tokens in one step is in it once.
            for pair in ends.windows(2).filter(|pair| pair[1] > pair[0]) {
                self.stretches[pair[1]].decoding += 1.0;
            }
        }
        let mut begins = vec![f64::INFINITY; self.stretches.len()];
        for (one, ends) in self.timed.iter().zip(&self.ends) {
            if let Some(end) = ends.first() {
                begins[*end] = begins[*end].min(one.begin);
            }
        }
        for (stretch, begin) in self.stretches.iter_mut().zip(begins) {
            if stretch.decoding <= 0.0 && begin.is_finite() {
                stretch.from = stretch.from.max(begin).min(stretch.to);
            }
        }
    }

    /// Puts the prompts into the stretches, in turn.
    fn fill(&mut self, begins: Begins) {
        let mut order: Vec<(usize, usize)> = (0..self.timed.len())
            .filter_map(|index| Some((*self.ends[index].first()?, index)))
            .collect();
        order.sort_by(|one, two| {
            let sent = |index: usize| self.timed[index].sent;
            one.0.cmp(&two.0).then(sent(one.1).total_cmp(&sent(two.1))).then(one.1.cmp(&two.1))
        });
        let mut turn = 0;
        for (end, index) in order {
            let tokens = self.timed[index].amounts.computed.max(1.0);
            let from = self.begin(index, (turn, end), tokens, begins);
            let even = tokens / (end - from + 1) as f64;
            let mut left = tokens;
            for stretch in &mut self.stretches[from..end] {
                let part =
                    if self.size.is_finite() { left.min(stretch.room(self.size)) } else { even };
                if part > 0.0 {
                    stretch.take(index, part);
                    left -= part;
                }
            }
            if left > 0.0 {
                self.stretches[end].take(index, left);
            }
            turn = end;
        }
    }

    /// The stretch in which a prompt began.
    fn begin(
        &self,
        index: usize,
        (turn, end): (usize, usize),
        tokens: f64,
        begins: Begins,
    ) -> usize {
        let one = &self.timed[index];
        if one.by_server || self.size.is_infinite() {
            return self.nearest(one.begin).clamp(turn.min(end), end);
        }
        let earliest = self.nearest(one.sent).clamp(turn.min(end), end);
        let own = if self.stretches[end].decoding > 0.0 {
            self.stretches[end].room(self.size)
        } else {
            f64::INFINITY
        };
        let (mut from, mut before) = (end, 0.0);
        while from > earliest {
            if begins == Begins::Late && before + own >= tokens {
                break;
            }
            before += self.stretches[from - 1].room(self.size);
            if before >= tokens {
                break;
            }
            from -= 1;
        }
        from
    }

    /// The stretch in whose last step, or in whose first if that is nearer, something began.
    fn nearest(&self, at: f64) -> usize {
        let next = self.stretches.partition_point(|stretch| stretch.to <= at);
        let Some(stretch) = self.stretches.get(next) else { return self.stretches.len() - 1 };
        let steps = if stretch.decoding > 0.0 || self.size.is_infinite() {
            1.0
        } else {
            (stretch.used / self.size).ceil().max(1.0)
        };
        let late = stretch.to - at < (stretch.to - stretch.from) / steps / 2.0;
        next + usize::from(late && next + 1 < self.stretches.len())
    }

    fn schedule(&self) -> Schedule {
        let mut found = Schedule {
            prefills: vec![Vec::new(); self.timed.len()],
            decodes: vec![Vec::new(); self.timed.len()],
        };
        let mut decoding = Vec::with_capacity(self.stretches.len());
        for stretch in &self.stretches {
            let (parts, part) = stretch.parts(self.size);
            decoding.push(part);
            for ((index, from, to), steps) in stretch.prompts.iter().zip(parts) {
                let tokens = self.timed[*index].amounts.computed.max(1.0);
                let begin = if stretch.from.is_finite() { stretch.from } else { stretch.to };
                // A step's prompts are worked on all the time that it takes; steps come one after the other.
                let at = |used: f64| begin + (stretch.to - begin) * (used / stretch.used);
                let (begin, end) = if stretch.decoding > 0.0 || self.size.is_infinite() {
                    (begin, stretch.to)
                } else {
                    let (first, last) = (from / self.size, to / self.size);
                    let until = (last.ceil() * self.size).min(stretch.used);
                    (at(first.floor() * self.size), at(until))
                };
                let share = (to - from) / tokens;
                found.prefills[*index].push(Piece { from: begin, to: end, share, steps });
            }
        }
        for (parts, ends) in found.decodes.iter_mut().zip(&self.ends) {
            parts.extend(ends.iter().skip(1).map(|end| decoding[*end]));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A request whose first token came at the first of these times.
    fn timed(sent: f64, computed: f64, tokens: &[f64]) -> Timed {
        Timed {
            request: 0,
            sent,
            earliest: sent,
            begin: sent,
            first: tokens[0],
            arrivals: tokens[1..].to_vec(),
            end: tokens[tokens.len() - 1],
            amounts: Amounts { computed, cached: 0.0, output: tokens.len() as f64, doubt: 0.0 },
            by_server: false,
            guessed: false,
        }
    }

    fn steps(count: u32) -> Vec<f64> {
        (1..=count).map(|step| 0.02 * f64::from(step)).collect()
    }

    #[test]
    fn sequences_that_decode_together_share_their_steps() {
        let both = [timed(0.0, 10.0, &steps(6)), timed(0.0, 10.0, &steps(6)[..3])];
        let found = rebuild(&both, None, Begins::Early).unwrap();
        assert_eq!(found.decodes[0], [0.5, 0.5, 1.0, 1.0, 1.0]);
        assert_eq!(found.decodes[1], [0.5, 0.5]);
    }

    #[test]
    fn a_prompt_takes_what_room_its_steps_have_beside_those_that_decode() {
        // Steps of 11 tokens, one of them decoded: 25 prompt tokens are in the three steps up to 0.10.
        let running = timed(0.0, 5.0, &steps(8));
        let prompt = timed(0.045, 25.0, &steps(8)[4..]);
        let found = rebuild(&[running, prompt], Some(11.0), Begins::Early).unwrap();
        let shares: Vec<f64> = found.prefills[1].iter().map(|piece| piece.share * 25.0).collect();
        assert_eq!(shares.len(), 3, "{found:?}");
        assert!((shares.iter().sum::<f64>() - 25.0).abs() < 1e-9);
        assert!(shares.iter().all(|tokens| *tokens <= 10.0 + 1e-9), "{shares:?}");
        assert!((found.prefills[1][2].to - 0.10).abs() < 1e-9, "{found:?}");
        assert!(found.prefills[1].iter().all(|piece| (piece.steps - 0.5).abs() < 1e-9));
    }

    #[test]
    fn arrivals_of_several_tokens_show_no_steps() {
        let mut several = timed(0.0, 10.0, &steps(5));
        several.amounts.output = 17.0;
        assert_eq!(rebuild(&[several], None, Begins::Early), None);
        assert_eq!(rebuild(&[], None, Begins::Early), None);
    }

    #[test]
    fn sequences_that_skip_steps_show_none() {
        let all = timed(0.0, 10.0, &steps(40));
        let every_third: Vec<f64> = steps(40).into_iter().step_by(3).collect();
        let slow = timed(0.0, 10.0, &every_third);
        assert_eq!(rebuild(&[all, slow.clone(), slow], None, Begins::Early), None);
    }

    proptest! {
        #[test]
        fn every_prompt_is_placed_whole_and_before_its_first_token(
            prompts in prop::collection::vec((1.0..3000.0_f64, 0_usize..30, 1_usize..20), 1..20),
            size in prop::option::of(16.0..2048.0_f64),
            late in any::<bool>(),
        ) {
            let all = steps(60);
            let timed: Vec<Timed> = prompts
                .iter()
                .map(|(tokens, first, count)| {
                    timed(all[*first] - 0.02, *tokens, &all[*first..first + count])
                })
                .collect();
            let begins = if late { Begins::Late } else { Begins::Early };
            if let Some(found) = rebuild(&timed, size, begins) {
                for ((one, pieces), decodes) in
                    timed.iter().zip(&found.prefills).zip(&found.decodes)
                {
                    let share: f64 = pieces.iter().map(|piece| piece.share).sum();
                    prop_assert!((share - 1.0).abs() < 1e-9, "{:?}", pieces);
                    let until = one.first + TOGETHER_S;
                    let fits = pieces.iter().all(|piece| {
                        piece.from <= piece.to && piece.to <= until && piece.steps > 0.0
                    });
                    prop_assert!(fits, "{:?}", pieces);
                    prop_assert_eq!(decodes.len(), one.arrivals.len());
                    prop_assert!(decodes.iter().all(|part| *part > 0.0 && *part <= 1.0));
                }
            }
        }
    }
}
