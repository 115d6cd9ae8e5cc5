//! Architectures of the Llama family: the well-known ones by name, and what tensors each consists of.

use ai_energy_benchmarks::error::nearest;
use candle_transformers::models::llama::{Config, Llama3RopeConfig};

use crate::error::LocalError;

/// Everything that decides the size and the arithmetic of a Llama-family model.
#[derive(Debug, Clone)]
pub struct LlamaShape {
    /// Tokens in the vocabulary.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the MLP.
    pub intermediate_size: usize,
    /// Transformer blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Longest sequence the positions are made for, in tokens.
    pub context_length: usize,
    /// Added to the mean square under the root of the norm.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f32,
    /// Llama 3's stretching of the rotary frequencies.
    pub rope_scaling: Option<Llama3RopeConfig>,
    /// The output projection is the embedding.
    pub tied_embeddings: bool,
    /// Standard deviation of the initial weights.
    pub initializer_range: f32,
}

/// Names, and the architecture they stand for: one entry a model.
/// Values: the `config.json` of each on the HuggingFace hub.
const KNOWN: &[(&[&str], LlamaShape)] = &[
    (&["HuggingFaceTB/SmolLM2-135M", "HuggingFaceTB/SmolLM2-135M-Instruct"], SMOLLM2_135M),
    (&["tiny-llama"], TINY_LLAMA),
];

const SMOLLM2_135M: LlamaShape = LlamaShape {
    vocab_size: 49_152,
    hidden_size: 576,
    intermediate_size: 1536,
    layers: 30,
    heads: 9,
    kv_heads: 3,
    context_length: 8192,
    rms_norm_eps: 1e-5,
    rope_theta: 100_000.0,
    rope_scaling: None,
    tied_embeddings: true,
    initializer_range: 0.041_666_668,
};

/// No real model: the same kind in the smallest size that exercises every part, for tests.
const TINY_LLAMA: LlamaShape = LlamaShape {
    hidden_size: 64,
    intermediate_size: 128,
    layers: 2,
    heads: 4,
    kv_heads: 2,
    context_length: 512,
    initializer_range: 0.02,
    ..SMOLLM2_135M
};

/// The names that `no_weights` knows without any file.
#[must_use]
pub fn known_names() -> Vec<&'static str> {
    KNOWN.iter().flat_map(|(names, _)| names.iter().copied()).collect()
}

impl LlamaShape {
    /// The architecture of a well-known model. Case does not matter.
    ///
    /// # Errors
    /// [`LocalError::UnknownShape`] with the names known, the nearest first.
    pub fn by_name(name: &str) -> Result<Self, LocalError> {
        KNOWN
            .iter()
            .find(|(names, _)| names.iter().any(|known| known.eq_ignore_ascii_case(name)))
            .map(|(_, shape)| shape.clone())
            .ok_or_else(|| {
                let mut known = known_names();
                if let Some(near) = nearest(name, known.iter().copied()) {
                    known.sort_by_key(|&candidate| candidate != near);
                }
                LocalError::UnknownShape { model: name.to_owned(), known }
            })
    }

    /// Width of one head.
    #[must_use]
    pub const fn head_dim(&self) -> usize {
        self.hidden_size / self.heads
    }

    /// Every tensor, by its name in a safetensors file, with its dimensions.
    #[must_use]
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let (q, kv) = (self.head_dim() * self.heads, self.head_dim() * self.kv_heads);
        let block = [
            ("self_attn.q_proj", vec![q, hidden]),
            ("self_attn.k_proj", vec![kv, hidden]),
            ("self_attn.v_proj", vec![kv, hidden]),
            ("self_attn.o_proj", vec![hidden, q]),
            ("mlp.gate_proj", vec![inner, hidden]),
            ("mlp.up_proj", vec![inner, hidden]),
            ("mlp.down_proj", vec![hidden, inner]),
            ("input_layernorm", vec![hidden]),
            ("post_attention_layernorm", vec![hidden]),
        ];
        let mut tensors =
            vec![("model.embed_tokens.weight".to_owned(), vec![self.vocab_size, hidden])];
        for layer in 0..self.layers {
            for (name, dims) in &block {
                tensors.push((format!("model.layers.{layer}.{name}.weight"), dims.clone()));
            }
        }
        tensors.push(("model.norm.weight".to_owned(), vec![hidden]));
        if !self.tied_embeddings {
            tensors.push(("lm_head.weight".to_owned(), vec![self.vocab_size, hidden]));
        }
        tensors
    }

    /// Weights in all; a tied embedding counts once.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.tensors().iter().map(|(_, dims)| dims.iter().product::<usize>() as u64).sum()
    }

    pub(crate) fn candle(&self) -> Config {
        Config {
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            vocab_size: self.vocab_size,
            num_hidden_layers: self.layers,
            num_attention_heads: self.heads,
            num_key_value_heads: self.kv_heads,
            use_flash_attn: false,
            rms_norm_eps: self.rms_norm_eps,
            rope_theta: self.rope_theta,
            bos_token_id: None,
            eos_token_id: None,
            rope_scaling: self.rope_scaling.clone(),
            max_position_embeddings: self.context_length,
            tie_word_embeddings: self.tied_embeddings,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smollm2_has_the_parameters_of_the_published_model() {
        let shape = LlamaShape::by_name("HuggingFaceTB/SmolLM2-135M-Instruct").unwrap();
        assert_eq!(shape.parameters(), 134_515_008);
        assert_eq!(shape.head_dim(), 64);
        assert_eq!(shape.tensors().len(), 272);
    }

    #[test]
    fn an_untied_model_counts_its_output_projection() {
        let tied = LlamaShape::by_name("tiny-llama").unwrap();
        let untied = LlamaShape { tied_embeddings: false, ..tied.clone() };
        assert_eq!(untied.parameters() - tied.parameters(), 49_152 * 64);
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones_nearest_first() {
        let Err(LocalError::UnknownShape { known, .. }) = LlamaShape::by_name("tiny-lama") else {
            panic!("an unknown name was accepted");
        };
        assert_eq!(known[0], "tiny-llama");
        assert_eq!(known.len(), known_names().len());
    }
}
