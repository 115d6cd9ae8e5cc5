//! A `config.json` in HuggingFace's form, checked against what the engine can really do.
//!
//! A key that changes the arithmetic and is not supported is an error: a model that runs with another
//! arithmetic than its own measures nothing.

use std::path::Path;

use ai_energy_benchmarks::error::{Problem, Problems};
use candle_transformers::models::llama::{Llama3RopeConfig, Llama3RopeType};
use serde::Deserialize;

use crate::error::LocalError;
use crate::files::read_json;
use crate::shape::LlamaShape;

const SUPPORTED: &[&str] = &["llama", "mistral"];

#[derive(Debug, Deserialize)]
struct HfConfig {
    #[serde(default)]
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    rope_theta: Option<f32>,
    rope_scaling: Option<Rope>,
    /// transformers 5 keeps theta and scaling together under this name.
    rope_parameters: Option<Rope>,
    sliding_window: Option<usize>,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    hidden_act: Option<String>,
    initializer_range: Option<f32>,
    eos_token_id: Option<TokenIds>,
}

#[derive(Debug, Clone, Deserialize)]
struct Rope {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f32>,
    factor: Option<f32>,
    low_freq_factor: Option<f32>,
    high_freq_factor: Option<f32>,
    original_max_position_embeddings: Option<usize>,
}

/// One token id, or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum TokenIds {
    /// `2`
    One(u32),
    /// `[2, 0]`
    Many(Vec<u32>),
}

impl TokenIds {
    pub(crate) fn into_vec(self) -> Vec<u32> {
        match self {
            Self::One(id) => vec![id],
            Self::Many(ids) => ids,
        }
    }
}

/// The architecture that a `config.json` describes, and its end tokens.
pub(crate) fn read(path: &Path) -> Result<(LlamaShape, Vec<u32>), LocalError> {
    let config: HfConfig = read_json(path)?;
    let mut problems = Problems::default();
    check(&config, &path.display().to_string(), &mut problems);
    let rope = config.rope_parameters.clone().or_else(|| config.rope_scaling.clone());
    let scaling = rope.as_ref().and_then(|rope| rope_scaling(rope, path, &mut problems));
    problems.into_result().map_err(LocalError::Unsupported)?;
    let theta = rope.and_then(|rope| rope.rope_theta).or(config.rope_theta).unwrap_or(10_000.0);
    let shape = LlamaShape {
        vocab_size: config.vocab_size,
        hidden_size: config.hidden_size,
        intermediate_size: config.intermediate_size,
        layers: config.num_hidden_layers,
        heads: config.num_attention_heads,
        kv_heads: config.num_key_value_heads.unwrap_or(config.num_attention_heads),
        // Within the window full attention and windowed attention are the same.
        context_length: config
            .sliding_window
            .map_or(config.max_position_embeddings, |w| w.min(config.max_position_embeddings)),
        rms_norm_eps: config.rms_norm_eps,
        rope_theta: theta,
        rope_scaling: scaling,
        tied_embeddings: config.tie_word_embeddings,
        initializer_range: config.initializer_range.unwrap_or(0.02),
    };
    Ok((shape, config.eos_token_id.map(TokenIds::into_vec).unwrap_or_default()))
}

fn check(config: &HfConfig, place: &str, problems: &mut Problems) {
    let mut refuse = |key: &str, message: String| {
        problems.push(Problem::new(format!("{place}: {key}"), message));
    };
    if !SUPPORTED.contains(&config.model_type.as_str()) {
        refuse(
            "model_type",
            format!(
                "`{}` is not supported; supported: {}",
                config.model_type,
                SUPPORTED.join(", ")
            ),
        );
    }
    let heads = config.num_attention_heads;
    let kv_heads = config.num_key_value_heads.unwrap_or(heads);
    if heads == 0 || kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
        refuse(
            "num_key_value_heads",
            format!("{kv_heads} does not divide {heads} attention heads"),
        );
    }
    if heads == 0 || !config.hidden_size.is_multiple_of(heads) {
        refuse("hidden_size", format!("{} is no multiple of {heads} heads", config.hidden_size));
    } else if config.head_dim.is_some_and(|dim| dim != config.hidden_size / heads) {
        refuse(
            "head_dim",
            "a head width other than hidden_size / heads is not supported".to_owned(),
        );
    }
    if config.attention_bias {
        refuse("attention_bias", "biases are not supported".to_owned());
    }
    if config.mlp_bias {
        refuse("mlp_bias", "biases are not supported".to_owned());
    }
    if let Some(act) = config.hidden_act.as_deref().filter(|&act| act != "silu") {
        refuse("hidden_act", format!("`{act}` is not supported; supported: silu"));
    }
}

fn rope_scaling(rope: &Rope, path: &Path, problems: &mut Problems) -> Option<Llama3RopeConfig> {
    let kind = rope.rope_type.as_deref().unwrap_or("default");
    let place = format!("{}: rope_scaling", path.display());
    match kind {
        "default" => None,
        "llama3" => {
            let parts = (
                rope.factor,
                rope.low_freq_factor,
                rope.high_freq_factor,
                rope.original_max_position_embeddings,
            );
            let (Some(factor), Some(low), Some(high), Some(original)) = parts else {
                problems.push(Problem::new(place, "a llama3 scaling lacks one of its four values"));
                return None;
            };
            Some(Llama3RopeConfig {
                factor,
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position_embeddings: original,
                rope_type: Llama3RopeType::Llama3,
            })
        }
        other => {
            let message = format!("`{other}` is not supported; supported: default, llama3");
            problems.push(Problem::new(place, message));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(change: serde_json::Value) -> Result<(LlamaShape, Vec<u32>), LocalError> {
        let mut config = json!({
            "model_type": "llama", "vocab_size": 100, "hidden_size": 64, "intermediate_size": 128,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
            "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "hidden_act": "silu",
        });
        let serde_json::Value::Object(change) = change else { panic!("no object") };
        config.as_object_mut().unwrap().extend(change);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, config.to_string()).unwrap();
        read(&path)
    }

    #[test]
    fn both_spellings_of_the_rotary_base_are_read() {
        let (old, _) = config(json!({"rope_theta": 5e5})).unwrap();
        let (new, _) =
            config(json!({"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}))
                .unwrap();
        assert_eq!(
            (old.rope_theta.to_bits(), new.rope_theta.to_bits()),
            (5e5_f32.to_bits(), 5e5_f32.to_bits())
        );
    }

    #[test]
    fn end_tokens_may_be_one_or_several() {
        assert_eq!(config(json!({"eos_token_id": 2})).unwrap().1, [2]);
        assert_eq!(config(json!({"eos_token_id": [2, 7]})).unwrap().1, [2, 7]);
        assert_eq!(config(json!({})).unwrap().1, [0_u32; 0]);
    }

    #[test]
    fn a_sliding_window_bounds_the_context() {
        assert_eq!(config(json!({"sliding_window": 128})).unwrap().0.context_length, 128);
        assert_eq!(config(json!({"sliding_window": null})).unwrap().0.context_length, 256);
    }

    #[test]
    fn everything_that_would_change_the_arithmetic_is_refused_at_once() {
        let error = config(json!({
            "model_type": "gpt2", "attention_bias": true, "mlp_bias": true, "hidden_act": "gelu",
            "num_key_value_heads": 3, "head_dim": 32, "rope_scaling": {"type": "yarn", "factor": 4.0},
        }))
        .unwrap_err();
        let LocalError::Unsupported(problems) = error else { panic!("{error}") };
        assert_eq!(problems.0.len(), 7, "{problems}");
    }
}
