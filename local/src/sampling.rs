//! The next token from the logits: greedy, or drawn in the order transformers applies its warpers
//! (temperature, then the `k` likeliest, then the nucleus of what is left).

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::request::GenerateParams;

/// Picks tokens for one request.
pub(crate) struct Sampler<'a> {
    params: &'a GenerateParams,
    random: Xoshiro256PlusPlus,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    id: u32,
    /// The logit first, later the weight, which is the probability times a constant.
    value: f32,
}

impl<'a> Sampler<'a> {
    pub(crate) fn new(params: &'a GenerateParams) -> Self {
        Self { params, random: Xoshiro256PlusPlus::seed_from_u64(params.seed) }
    }

    /// The next token, never one of `forbidden`; `None` if no logit is a number that can be compared.
    pub(crate) fn pick(&mut self, logits: &mut [f32], forbidden: &[u32]) -> Option<u32> {
        for &id in forbidden {
            if let Some(logit) = logits.get_mut(id as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
        if self.params.do_sample { self.draw(logits) } else { likeliest(logits) }
    }

    fn draw(&mut self, logits: &[f32]) -> Option<u32> {
        let mut candidates: Vec<Candidate> = (0_u32..)
            .zip(logits)
            .filter(|(_, logit)| logit.is_finite())
            .map(|(id, &value)| Candidate { id, value })
            .collect();
        if let Some(k) = self.params.top_k.filter(|&k| k < candidates.len()) {
            candidates.select_nth_unstable_by(k, by_value_descending);
            candidates.truncate(k);
        }
        self.weigh(&mut candidates);
        if self.params.top_p < 1.0 {
            keep_nucleus(&mut candidates, self.params.top_p);
        }
        let mut left = self.random.random::<f64>() * mass(&candidates);
        for candidate in &candidates {
            left -= f64::from(candidate.value);
            if left < 0.0 {
                return Some(candidate.id);
            }
        }
        // Only rounding leads here.
        candidates.last().map(|candidate| candidate.id)
    }

    /// Logits to weights: `exp((logit - highest) / temperature)`.
    fn weigh(&self, candidates: &mut [Candidate]) {
        let highest = candidates.iter().map(|c| c.value).fold(f32::NEG_INFINITY, f32::max);
        for candidate in candidates {
            let above = f64::from(candidate.value - highest) / self.params.temperature;
            candidate.value = weight(above);
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a weight needs no more than an f32 holds")]
fn weight(above: f64) -> f32 {
    above.exp() as f32
}

fn by_value_descending(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.value.total_cmp(&a.value)
}

fn mass(candidates: &[Candidate]) -> f64 {
    candidates.iter().map(|candidate| f64::from(candidate.value)).sum()
}

/// Keeps the fewest candidates that together reach `top_p` of the mass: at least one.
fn keep_nucleus(candidates: &mut Vec<Candidate>, top_p: f64) {
    candidates.sort_unstable_by(by_value_descending);
    let wanted = top_p * mass(candidates);
    let mut reached = 0.0;
    let keep = candidates.iter().position(|candidate| {
        reached += f64::from(candidate.value);
        reached >= wanted
    });
    candidates.truncate(keep.map_or(candidates.len(), |last| last + 1));
}

/// The first of the highest logits.
fn likeliest(logits: &[f32]) -> Option<u32> {
    let mut best: Option<(u32, f32)> = None;
    for (id, &logit) in (0_u32..).zip(logits) {
        if logit.is_finite() && best.is_none_or(|(_, highest)| logit > highest) {
            best = Some((id, logit));
        }
    }
    best.map(|(id, _)| id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sampling() -> GenerateParams {
        GenerateParams { do_sample: true, ..GenerateParams::greedy(1) }
    }

    fn drawn(params: &GenerateParams, logits: &[f32], times: usize) -> Vec<u32> {
        let mut sampler = Sampler::new(params);
        (0..times).map(|_| sampler.pick(&mut logits.to_vec(), &[]).unwrap()).collect()
    }

    #[test]
    fn greedy_takes_the_first_of_equals_and_nothing_from_no_numbers() {
        let params = GenerateParams::greedy(1);
        let mut sampler = Sampler::new(&params);
        assert_eq!(sampler.pick(&mut [1.0, 3.0, 3.0, f32::NAN], &[]), Some(1));
        assert_eq!(sampler.pick(&mut [1.0, 3.0, 2.0], &[1]), Some(2));
        assert_eq!(sampler.pick(&mut [f32::NAN; 3], &[]), None);
    }

    #[test]
    fn draws_follow_the_softmax() {
        let logits = [0.0_f32, 2.0_f32.ln(), 5.0_f32.ln()];
        let ids = drawn(&sampling(), &logits, 40_000);
        for (id, expected) in [(0, 1.0 / 8.0), (1, 2.0 / 8.0), (2, 5.0 / 8.0)] {
            let share = ids.iter().filter(|&&drawn| drawn == id).count() as f64 / ids.len() as f64;
            assert!((share - expected).abs() < 0.01, "{id}: {share}");
        }
    }

    #[test]
    fn the_nucleus_is_measured_on_what_top_k_left() {
        // Of 8:4:2:1 the two likeliest hold 2/3 and 1/3 among themselves: 0.66 keeps one, 0.68 both.
        let logits = [1.0_f32.ln(), 8.0_f32.ln(), 2.0_f32.ln(), 4.0_f32.ln()];
        let with = |top_p| GenerateParams { top_k: Some(2), top_p, ..sampling() };
        assert!(drawn(&with(0.66), &logits, 200).iter().all(|&id| id == 1));
        let both = drawn(&with(0.68), &logits, 200);
        assert!(both.contains(&1) && both.contains(&3) && !both.contains(&0) && !both.contains(&2));
    }

    #[test]
    fn a_low_temperature_is_nearly_greedy() {
        let cold = GenerateParams { temperature: 0.01, ..sampling() };
        assert!(drawn(&cold, &[0.1, 0.5, 0.0], 100).iter().all(|&id| id == 1));
    }

    proptest! {
        #[test]
        fn what_is_drawn_is_among_the_k_likeliest_and_never_forbidden(
            logits in prop::collection::vec(-20.0_f32..20.0, 2..60),
            k in 1_usize..70, top_p in 0.01_f64..=1.0, seed: u64, forbidden in 0_u32..60,
        ) {
            let params = GenerateParams { top_k: Some(k), top_p, seed, ..sampling() };
            let id = Sampler::new(&params).pick(&mut logits.clone(), &[forbidden]).unwrap();
            prop_assert_ne!(id, forbidden);
            let likelier = logits.iter().zip(0_u32..)
                .filter(|&(&other, at)| at != forbidden && other > logits[id as usize]).count();
            prop_assert!(likelier < k);
        }

        #[test]
        fn a_seed_gives_the_same_draws(logits in prop::collection::vec(-5.0_f32..5.0, 2..30), seed: u64) {
            let params = GenerateParams { seed, ..sampling() };
            prop_assert_eq!(drawn(&params, &logits, 20), drawn(&params, &logits, 20));
        }
    }
}
