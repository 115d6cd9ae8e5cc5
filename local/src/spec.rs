//! What to load.

use ai_energy_benchmarks::dataset::hub::HubEnv;
use serde::{Deserialize, Serialize};

/// The number format of the weights and activations of a model that is not quantized.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit floats: the default, and the fastest unquantized format of candle on a CPU.
    #[default]
    F32,
    /// bfloat16.
    Bf16,
    /// 16-bit floats.
    F16,
}

impl Dtype {
    /// The name, as candle writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }

    pub(crate) const fn candle(self) -> candle_core::DType {
        match self {
            Self::F32 => candle_core::DType::F32,
            Self::Bf16 => candle_core::DType::BF16,
            Self::F16 => candle_core::DType::F16,
        }
    }
}

/// A model, and how to load it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadSpec {
    /// A folder (config.json, *.safetensors, tokenizer.json), a `.gguf` file, or a HuggingFace id.
    /// With `no_weights` also a name of [`crate::shape::known_names`].
    pub model: String,
    /// Seeded random weights of the real architecture in place of the model's own.
    pub no_weights: bool,
    /// Number format; a GGUF file brings its own.
    pub dtype: Dtype,
    /// Seed of the random weights.
    pub seed: u64,
    /// Threads to compute with; `None` takes what is in force (see [`crate::threads`]).
    pub threads: Option<usize>,
    /// Branch, tag or commit on the hub; `None` is `main`.
    pub revision: Option<String>,
    /// How the hub is reached.
    pub hub: HubEnv,
}

impl LoadSpec {
    /// A model with everything else at its default.
    #[must_use]
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            no_weights: false,
            dtype: Dtype::F32,
            seed: 0,
            threads: None,
            revision: None,
            hub: HubEnv::from_process(),
        }
    }

    /// The same with random weights.
    #[must_use]
    pub fn synthetic(mut self) -> Self {
        self.no_weights = true;
        self
    }
}

/// How far loading has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadStep {
    /// What is being done: `tokenizer`, `weights`, `model`.
    pub stage: &'static str,
    /// Units done.
    pub done: usize,
    /// Units in all.
    pub total: usize,
}
