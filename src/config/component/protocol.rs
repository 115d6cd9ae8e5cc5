//! Settings of the protocol: repetitions, warm-up, baselines, steady state.

use std::fmt;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// How often the measurement is repeated: a number, or until an interval is narrow enough.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Repetitions {
    /// So many times, 1 or more.
    Fixed(u32),
    /// As often as it takes.
    Adaptive(AdaptiveRepetitions),
}

/// Repetitions until the 95 % interval of the mean is narrow enough, by Stein's two stages: after `min` repetitions their
/// spread says how many it takes in all, and that number is measured. The interval keeps its 95 %, which stopping at
/// the first narrow interval would not.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdaptiveRepetitions {
    /// Half the width of the interval over the mean: 0.01 for plus or minus 1 %.
    pub target_relative_ci: f64,
    /// Repetitions of the first stage, 5 or more.
    pub min: u32,
    /// Most repetitions, at least `min`.
    pub max: u32,
    /// Whose interval.
    pub figure: RepeatedFigure,
}

impl Default for AdaptiveRepetitions {
    fn default() -> Self {
        Self {
            target_relative_ci: 0.01,
            min: 5,
            max: 30,
            figure: RepeatedFigure::JoulesPerOutputToken,
        }
    }
}

/// How well J per output token is to be known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Until {
    /// Half the width of the 95 % interval, in percent of the mean: 2 for plus or minus 2 %.
    pub energy_ci_percent: f64,
    /// Windows of the first stage, 5 or more.
    #[serde(default = "least_windows")]
    pub min: u32,
    /// Most windows, at least `min`.
    #[serde(default = "most_windows")]
    pub max: u32,
}

fn least_windows() -> u32 {
    AdaptiveRepetitions::default().min
}

fn most_windows() -> u32 {
    AdaptiveRepetitions::default().max
}

impl Until {
    /// As repetitions.
    #[must_use]
    pub fn repetitions(self) -> Repetitions {
        Repetitions::Adaptive(AdaptiveRepetitions {
            target_relative_ci: self.energy_ci_percent / 100.0,
            min: self.min,
            max: self.max,
            figure: RepeatedFigure::JoulesPerOutputToken,
        })
    }
}

/// A figure whose interval may end the repetitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RepeatedFigure {
    /// Gross energy over output tokens.
    JoulesPerOutputToken,
    /// Gross energy over successful requests.
    JoulesPerRequest,
    /// Output tokens over the measured window.
    OutputTokensPerSecond,
}

impl RepeatedFigure {
    /// Its key in the report.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::JoulesPerOutputToken => "joules_per_output_token",
            Self::JoulesPerRequest => "joules_per_request",
            Self::OutputTokensPerSecond => "output_tokens_per_second",
        }
    }
}

impl Default for Repetitions {
    fn default() -> Self {
        Self::Fixed(1)
    }
}

/// By hand, so that a mistake inside the mapping is told as one, and not as a mapping that is no number.
impl<'de> Deserialize<'de> for Repetitions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Repetitions;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a number of repetitions, or a mapping with target_relative_ci")
            }

            fn visit_u64<E: Error>(self, count: u64) -> Result<Repetitions, E> {
                let wrong = || E::invalid_value(Unexpected::Unsigned(count), &self);
                u32::try_from(count).map(Repetitions::Fixed).map_err(|_| wrong())
            }

            fn visit_i64<E: Error>(self, count: i64) -> Result<Repetitions, E> {
                let wrong = || E::invalid_value(Unexpected::Signed(count), &self);
                u32::try_from(count).map(Repetitions::Fixed).map_err(|_| wrong())
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Repetitions, M::Error> {
                AdaptiveRepetitions::deserialize(MapAccessDeserializer::new(map))
                    .map(Repetitions::Adaptive)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl Repetitions {
    /// Fewest repetitions.
    #[must_use]
    pub const fn least(self) -> u32 {
        match self {
            Self::Fixed(count) => count,
            Self::Adaptive(adaptive) => adaptive.min,
        }
    }

    /// Most repetitions.
    #[must_use]
    pub const fn most(self) -> u32 {
        match self {
            Self::Fixed(count) => count,
            Self::Adaptive(adaptive) => adaptive.max,
        }
    }
}

/// When warm-up ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WarmupMode {
    /// After `warmup_rounds` and `warmup_runs`.
    #[default]
    Fixed,
    /// After them, when power, throughput and temperature have become steady (`steady_limits`).
    UntilSteady,
}

/// What counts as steady: over the last `window_s` seconds a straight line through the readings changes by no more than
/// the limits say.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SteadyLimits {
    /// Seconds looked back on.
    pub window_s: f64,
    /// Most change of power over that time, as a share of its mean.
    pub power: f64,
    /// Most change of throughput over that time, as a share of its mean.
    pub throughput: f64,
    /// Most change of the hottest device over that time, in kelvin.
    pub temperature_k: f64,
    /// Seconds after which the measurement begins all the same, with a caution.
    pub cap_s: f64,
}

impl Default for SteadyLimits {
    fn default() -> Self {
        Self { window_s: 15.0, power: 0.02, throughput: 0.05, temperature_k: 1.0, cap_s: 300.0 }
    }
}

/// What net energy is net of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// The machine before the model is loaded. Only known where this program loads it, or by `baseline_power_w`.
    Bare,
    /// A device that is initialised and holds no model (on a GPU, an open CUDA context). Only known by `baseline_power_w`.
    Context,
    /// The model loaded and no request in flight.
    #[default]
    ModelLoaded,
}

impl Baseline {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Context => "context",
            Self::ModelLoaded => "model_loaded",
        }
    }
}

/// Idle power that someone knows from elsewhere, in watts, all devices of a part together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BaselinePower {
    /// Of the GPUs.
    pub gpu: Option<f64>,
    /// Of the processors.
    pub cpu: Option<f64>,
    /// Of the main memory.
    pub ram: Option<f64>,
}

/// Which part of a repetition counts as steady. Always told by requests, never by the power it would flatter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SteadyState {
    /// From when as many requests are in flight as the load permits to when that many are for the last time.
    #[default]
    FullLoad,
    /// As ML.ENERGY has it: from when `max_num_seqs` requests have a first token to when all but `max_num_seqs` + 1
    /// have ended.
    MlEnergy,
    /// None.
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Repetitions, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn repetitions_are_a_number_or_a_target() {
        assert_eq!(read("8"), Ok(Repetitions::Fixed(8)));
        let adaptive = read(r#"{"target_relative_ci": 0.02, "max": 12}"#).unwrap();
        assert_eq!((adaptive.least(), adaptive.most()), (5, 12));
        let written = serde_json::to_string(&adaptive).unwrap();
        assert_eq!(read(&written), Ok(adaptive));
    }

    #[test]
    fn a_mistake_is_told_where_it_is() {
        assert!(read(r#"{"target": 0.02}"#).unwrap_err().contains("unknown field `target`"));
        assert!(read(r#""many""#).unwrap_err().contains("a number of repetitions, or a mapping"));
        assert!(read("-1").is_err() && read("5000000000").is_err() && read("1.5").is_err());
    }
}
