//! The in-process backend: language models of the Llama family on the CPU, run by [candle].
//!
//! It is the project's embedded default: a real model, or a real architecture with seeded random
//! weights, with nothing installed beside the binary. Candle and the tokenizers are heavy to compile,
//! so they live in this crate only.
//!
//! ```text
//! spec (what to load) -> files (folder, GGUF, hub cache) or shape (well-known names)
//!                     -> weights (safetensors, GGUF, synthetic) + codec (tokenizer) + chat (template)
//!                     -> Engine -> generate(request, on_token) -> Outcome
//! ```
//!
//! [`Engine`] knows nothing of configs, meters or reports; [`backend`] ties it to the library.
//!
//! [candle]: https://github.com/huggingface/candle

pub mod backend;
pub mod engine;
pub mod error;
pub mod files;
pub mod request;
pub mod shape;
pub mod spec;
pub mod threads;

mod chat;
mod codec;
mod gguf;
mod hf_config;
mod sampling;
mod stream;
mod synthetic;
mod weights;

pub use codec::SHIPPED_NAME;
pub use engine::{Engine, ModelInfo, SourceFile, WeightsKind};
pub use error::LocalError;
pub use files::fetch_model_files;
pub use request::{Finish, GenerateParams, Outcome, Request, TokenStep};
pub use spec::{Dtype, LoadSpec, LoadStep};

/// The version of candle this crate is built with, for the manifest.
pub const CANDLE_VERSION: &str = "0.11.1";

#[cfg(test)]
mod tests {
    #[test]
    fn the_candle_version_told_is_the_one_locked() {
        let lock = include_str!("../../Cargo.lock").replace("\r\n", "\n");
        let entry = format!("name = \"candle-core\"\nversion = \"{}\"\n", super::CANDLE_VERSION);
        assert!(lock.contains(&entry), "Cargo.lock holds another candle-core");
    }
}
