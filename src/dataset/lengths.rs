//! Draws numbers of tokens.

use rand::{Rng, RngExt};
use rand_distr::{Distribution as _, LogNormal, Normal};

use crate::config::component::workload::{Distribution, Length, MixturePart};

/// Draws after which limits are taken for too tight: then the last one is moved to the nearer limit.
const MOST_DRAWS: u32 = 10_000;

/// A number of tokens; within the limits of a length that `config::check` let pass.
pub(super) fn draw(length: &Length, random: &mut impl Rng) -> u32 {
    match *length {
        Length::Exactly(tokens) => tokens,
        Length::Drawn(Distribution::Uniform { min, max }) => {
            random.random_range(min..=max.max(min))
        }
        Length::Drawn(Distribution::Normal { mean, stddev, min, max }) => {
            match Normal::new(mean, stddev) {
                Ok(normal) => within(min, max, || normal.sample(random)),
                Err(_) => min,
            }
        }
        Length::Drawn(Distribution::Lognormal { mean, stddev, min, max }) => {
            // Of the logarithm, from those of the number: variance ln(1 + (s/m)^2), mean ln m - variance / 2.
            let variance = (stddev / mean).powi(2).ln_1p();
            match LogNormal::new(mean.ln() - variance / 2.0, variance.sqrt()) {
                Ok(lognormal) => within(min, max, || lognormal.sample(random)),
                Err(_) => min,
            }
        }
    }
}

/// One of the parts, by weight; nothing where there is none.
pub(super) fn choose<'p>(
    parts: &'p [MixturePart],
    random: &mut impl Rng,
) -> Option<&'p MixturePart> {
    let total: f64 = parts.iter().map(|part| part.weight).sum();
    let mut left = random.random_range(0.0..1.0_f64) * total;
    parts
        .iter()
        .find(|part| {
            left -= part.weight;
            left < 0.0
        })
        .or(parts.last())
}

fn within(min: u32, max: u32, mut draw: impl FnMut() -> f64) -> u32 {
    let (least, most) = (f64::from(min), f64::from(max));
    let mut last = least;
    for _ in 0..MOST_DRAWS {
        last = draw().round();
        if (least..=most).contains(&last) {
            break;
        }
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within two numbers of that type; what is no number becomes 0 and is then raised"
    )]
    let tokens = last.clamp(least, most) as u32;
    tokens.clamp(min, max.max(min))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::draw::random;
    use super::*;

    fn many(length: &Length, count: u64) -> Vec<f64> {
        (0..count).map(|number| f64::from(draw(length, &mut random(7, [number, 0, 0])))).collect()
    }

    fn mean_and_deviation(numbers: &[f64]) -> (f64, f64) {
        let count = numbers.len() as f64;
        let mean = numbers.iter().sum::<f64>() / count;
        let squares = numbers.iter().map(|number| (number - mean).powi(2)).sum::<f64>();
        (mean, (squares / count).sqrt())
    }

    #[test]
    fn distributions_have_the_mean_and_spread_that_were_asked() {
        for (json, mean, stddev) in [
            (r#"{"type": "uniform", "min": 10, "max": 20}"#, 15.0, 10_f64.sqrt()),
            (r#"{"type": "normal", "mean": 500, "stddev": 50}"#, 500.0, 50.0),
            (r#"{"type": "lognormal", "mean": 500, "stddev": 250}"#, 500.0, 250.0),
        ] {
            let length: Length = serde_json::from_str(json).unwrap();
            let (found, spread) = mean_and_deviation(&many(&length, 20_000));
            // Six standard errors of a mean of 20 000; the spread of a long tail varies more.
            assert!((found - mean).abs() < 6.0 * stddev / 20_000_f64.sqrt(), "{json}: {found}");
            assert!((spread / stddev - 1.0).abs() < 0.1, "{json}: {spread}");
        }
    }

    #[test]
    fn parts_come_by_their_weight() {
        let part = |tokens, weight| MixturePart {
            input_tokens: Length::Exactly(tokens),
            output_tokens: Length::Exactly(1),
            weight,
        };
        let parts = [part(1, 6.0), part(2, 3.0), part(3, 1.0)];
        let mut counts = [0_u32; 3];
        for number in 0..20_000 {
            let chosen = choose(&parts, &mut random(7, [number, 0, 0])).unwrap();
            let Length::Exactly(tokens) = chosen.input_tokens else { panic!() };
            counts[tokens as usize - 1] += 1;
        }
        for (count, share) in counts.iter().zip([0.6, 0.3, 0.1]) {
            let error = 6.0 * (share * (1.0 - share) / 20_000_f64).sqrt();
            assert!((f64::from(*count) / 20_000.0 - share).abs() < error, "{counts:?}");
        }
    }

    proptest! {
        #[test]
        fn no_number_lies_outside_its_limits(
            seed: u64, min in 1_u32..5_000, more in 0_u32..5_000, at in 0.0..1.0_f64, stddev in 0.0..1e6_f64, kind in 0..3
        ) {
            let max = min + more;
            let mean = f64::from(min) + at * f64::from(more);
            let length = Length::Drawn(match kind {
                0 => Distribution::Uniform { min, max },
                1 => Distribution::Normal { mean, stddev, min, max },
                _ => Distribution::Lognormal { mean, stddev, min, max },
            });
            prop_assert_eq!(length.wrong(), None);
            let tokens = draw(&length, &mut random(seed, [0, 0, 0]));
            prop_assert!((min..=max).contains(&tokens));
        }
    }
}
