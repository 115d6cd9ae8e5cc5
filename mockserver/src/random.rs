//! Seeded draws: the same seed and request always give the same answer, whatever else happens.

use std::str::FromStr;

use rand::RngExt;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

/// A generator of its own for each request and each purpose.
pub(crate) fn generator(seed: u64, number: u64, purpose: Purpose) -> Xoshiro256PlusPlus {
    // Neighbouring numbers must not give related streams: `seed_from_u64` mixes, the odd factor keeps pairs apart.
    let mixed = seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ ((purpose as u64) << 56);
    Xoshiro256PlusPlus::seed_from_u64(mixed)
}

/// What a draw is for, so that one option does not change the draws of another.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Fault = 1,
    Timing = 2,
    Connection = 3,
    Identity = 4,
}

/// A number in [0, 1).
pub(crate) fn unit(generator: &mut Xoshiro256PlusPlus) -> f64 {
    generator.random::<f64>()
}

/// How a time varies about its nominal value. Written `uniform:MS`, `normal:MS`, `exponential:MS`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Jitter {
    /// Not at all.
    #[default]
    None,
    /// Evenly within this many milliseconds on both sides.
    Uniform(f64),
    /// By a normal distribution of this standard deviation in milliseconds.
    Normal(f64),
    /// Later by an exponential distribution of this mean in milliseconds.
    Exponential(f64),
}

impl Jitter {
    /// Its one number, milliseconds.
    pub(crate) const fn scale_ms(self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Uniform(ms) | Self::Normal(ms) | Self::Exponential(ms) => ms,
        }
    }

    /// What is added to a time, in nanoseconds; a time never becomes negative.
    pub(crate) fn draw_ns(self, generator: &mut Xoshiro256PlusPlus) -> f64 {
        let ms = match self {
            Self::None => 0.0,
            Self::Uniform(half) => (2.0 * unit(generator) - 1.0) * half,
            Self::Normal(deviation) => deviation * standard_normal(generator),
            Self::Exponential(mean) => -mean * (1.0 - unit(generator)).ln(),
        };
        ms * 1e6
    }
}

/// One value of the standard normal distribution, by Box and Muller.
fn standard_normal(generator: &mut Xoshiro256PlusPlus) -> f64 {
    let radius = (-2.0 * (1.0 - unit(generator)).ln()).sqrt();
    radius * (std::f64::consts::TAU * unit(generator)).cos()
}

impl FromStr for Jitter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is none of none, uniform:MS, normal:MS, exponential:MS");
        if text == "none" {
            return Ok(Self::None);
        }
        let (kind, value) = text.split_once(':').ok_or_else(wrong)?;
        let value: f64 = value.parse().map_err(|_| wrong())?;
        if !(value.is_finite() && value >= 0.0) {
            return Err(format!("{text:?}: milliseconds, 0 or more"));
        }
        match kind {
            "uniform" => Ok(Self::Uniform(value)),
            "normal" => Ok(Self::Normal(value)),
            "exponential" => Ok(Self::Exponential(value)),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(jitter: Jitter, seed: u64) -> Vec<f64> {
        let mut generator = generator(seed, 7, Purpose::Timing);
        (0..10_000).map(|_| jitter.draw_ns(&mut generator)).collect()
    }

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        assert_eq!(draws(Jitter::Normal(2.0), 1), draws(Jitter::Normal(2.0), 1));
        assert_ne!(draws(Jitter::Normal(2.0), 1), draws(Jitter::Normal(2.0), 2));
    }

    #[test]
    fn each_kind_has_the_mean_and_spread_that_it_says() {
        let uniform = draws(Jitter::Uniform(3.0), 1);
        assert!(uniform.iter().all(|value| value.abs() <= 3e6));
        assert!(mean(&uniform).abs() < 0.1e6);
        let normal = draws(Jitter::Normal(2.0), 1);
        let variance = mean(&normal.iter().map(|value| value * value).collect::<Vec<_>>());
        assert!((variance.sqrt() / 2e6 - 1.0).abs() < 0.03);
        let late = draws(Jitter::Exponential(5.0), 1);
        assert!(late.iter().all(|value| *value >= 0.0));
        assert!((mean(&late) / 5e6 - 1.0).abs() < 0.05);
    }

    #[test]
    fn jitter_is_read_as_it_is_written() {
        assert_eq!("uniform:2.5".parse(), Ok(Jitter::Uniform(2.5)));
        assert_eq!("none".parse(), Ok(Jitter::None));
        for wrong in ["", "uniform", "uniform:-1", "normal:x", "gamma:2", "normal:inf"] {
            assert!(wrong.parse::<Jitter>().is_err(), "{wrong}");
        }
    }
}
