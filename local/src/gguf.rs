//! GGUF files: one file with the quantized weights, the tokenizer and the chat template.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use ai_energy_benchmarks::error::{Problem, Problems};
use candle_core::Device;
use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Content;
use candle_core::quantized::tokenizer::TokenizerFromGguf;
use candle_transformers::models::quantized_llama::{MAX_SEQ_LEN, ModelWeights};
use tokenizers::Tokenizer;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;

use crate::chat::ChatTemplate;
use crate::codec::Codec;
use crate::error::LocalError;

/// An opened file: its header is read, its weights are not.
pub(crate) struct Gguf {
    content: Content,
    reader: BufReader<File>,
    place: String,
}

impl Gguf {
    /// Opens a file and checks that the engine can run what it holds.
    pub(crate) fn open(path: &Path) -> Result<Self, LocalError> {
        let file = File::open(path).map_err(LocalError::read(path))?;
        let mut reader = BufReader::new(file);
        let content =
            Content::read(&mut reader).map_err(LocalError::candle("reading the GGUF header"))?;
        let gguf = Self { content, reader, place: path.display().to_string() };
        gguf.check().into_result().map_err(LocalError::Unsupported)?;
        Ok(gguf)
    }

    /// What candle would ignore, and so compute another model than the file's, is refused.
    fn check(&self) -> Problems {
        let mut problems = Problems::default();
        let mut refuse = |key: &str, message: String| {
            problems.push(Problem::new(format!("{}: {key}", self.place), message));
        };
        let architecture = self.text("general.architecture").unwrap_or_default();
        if architecture != "llama" {
            let message = format!("`{architecture}` is not supported; supported: llama");
            refuse("general.architecture", message);
        }
        if self.content.tensor_infos.contains_key("rope_freqs.weight") {
            refuse("rope_freqs.weight", "scaled rotary frequencies are not supported".to_owned());
        }
        if let Some(kind) = self.text("llama.rope.scaling.type").filter(|kind| *kind != "none") {
            refuse(
                "llama.rope.scaling.type",
                format!("`{kind}` is not supported; supported: none"),
            );
        }
        problems
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.content.metadata.get(key)?.to_string().ok().map(String::as_str)
    }

    fn number(&self, key: &str) -> Option<u32> {
        self.content.metadata.get(key)?.to_u32().ok()
    }

    /// Weights in all.
    pub(crate) fn parameters(&self) -> u64 {
        self.content.tensor_infos.values().map(|info| info.shape.elem_count() as u64).sum()
    }

    /// The number formats, the one that most weights are in first: `Q4_1, Q8_0, F32`.
    pub(crate) fn quantization(&self) -> String {
        let mut formats: BTreeMap<String, usize> = BTreeMap::new();
        for info in self.content.tensor_infos.values() {
            *formats.entry(format_name(info.ggml_dtype)).or_default() += info.shape.elem_count();
        }
        let mut formats: Vec<_> = formats.into_iter().collect();
        formats.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        formats.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(", ")
    }

    /// Tokens the model holds: the file's own limit, and that of candle's position table.
    pub(crate) fn context_length(&self) -> usize {
        self.number("llama.context_length").map_or(MAX_SEQ_LEN, |n| (n as usize).min(MAX_SEQ_LEN))
    }

    /// Rows of the embedding.
    pub(crate) fn vocab_size(&self) -> Option<usize> {
        let info = self.content.tensor_infos.get("token_embd.weight")?;
        info.shape.dims().first().copied()
    }

    /// The tokenizer that the file carries.
    pub(crate) fn codec(&self) -> Result<Codec, LocalError> {
        let mut tokenizer = Tokenizer::from_gguf(&self.content)
            .map_err(LocalError::candle("building the tokenizer from the GGUF file"))?;
        if let Some(pre) = self.pre_tokenizer()? {
            tokenizer.with_pre_tokenizer(Some(pre));
        }
        let ids = ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"];
        let mut eos: Vec<u32> = ids.iter().filter_map(|key| self.number(key)).collect();
        eos.dedup();
        let token = |key: &str| {
            self.number(key).and_then(|id| tokenizer.id_to_token(id)).unwrap_or_default()
        };
        let template = self
            .text("tokenizer.chat_template")
            .map(|source| {
                let bos = token("tokenizer.ggml.bos_token_id");
                ChatTemplate::new(source.to_owned(), bos, token("tokenizer.ggml.eos_token_id"))
            })
            .transpose()?;
        Ok(Codec { tokenizer, source: self.place.clone(), eos, template })
    }

    /// candle takes any pre-tokenizer it does not know for GPT-2's, and gives that one a leading space:
    /// other token ids than the model was trained on. So the kinds are told apart here, and an unknown
    /// one is refused. `None` leaves candle's own, which is right.
    fn pre_tokenizer(&self) -> Result<Option<PreTokenizerWrapper>, LocalError> {
        let gpt2 = || PreTokenizerWrapper::from(ByteLevel::new(false, true, true));
        match self.text("tokenizer.ggml.pre").unwrap_or("gpt-2") {
            "smollm" => {
                let parts = vec![Digits::new(true).into(), gpt2()];
                Ok(Some(Sequence::new(parts).into()))
            }
            "gpt-2" | "gpt2" => Ok(Some(gpt2())),
            "llama3" | "smaug-bpe" | "qwen2" => Ok(None),
            other => {
                let message = format!(
                    "`{other}` is not supported; supported: gpt-2, llama3, qwen2, smaug-bpe, smollm"
                );
                let place = format!("{}: tokenizer.ggml.pre", self.place);
                Err(LocalError::Unsupported(Problem::new(place, message).into()))
            }
        }
    }

    /// Reads the weights.
    pub(crate) fn weights(mut self) -> Result<ModelWeights, LocalError> {
        ModelWeights::from_gguf(self.content, &mut self.reader, &Device::Cpu)
            .map_err(LocalError::candle("loading the GGUF weights"))
    }
}

/// The format's own name: candle leaves the underscore of the k-quants out (`Q4K` is `Q4_K`).
fn format_name(dtype: GgmlDType) -> String {
    let name = format!("{dtype:?}");
    match name.strip_suffix('K') {
        Some(bits) if bits.starts_with('Q') => format!("{bits}_K"),
        _ => name,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::PathBuf;

    use ai_energy_benchmarks::prompt::Prompt;
    use candle_core::Tensor;
    use candle_core::quantized::QTensor;
    use candle_core::quantized::gguf_file::{Value, write};

    use super::*;
    use crate::shape::LlamaShape;
    use crate::spec::Dtype;
    use crate::synthetic;

    /// The real file, named by the environment; only tests that are ignored otherwise ask for it.
    pub(crate) fn smollm2() -> PathBuf {
        std::env::var_os("AEB_SMOLLM2_GGUF")
            .map(PathBuf::from)
            .expect("AEB_SMOLLM2_GGUF names the SmolLM2 GGUF file")
    }

    /// llama.cpp stores the rows of q and k so that rotary pairs are neighbours.
    fn interleaved(tensor: &Tensor, heads: usize) -> Tensor {
        let (rows, columns) = tensor.dims2().unwrap();
        tensor
            .reshape((heads, 2, rows / heads / 2, columns))
            .and_then(|halves| halves.transpose(1, 2)?.contiguous()?.reshape((rows, columns)))
            .unwrap()
    }

    fn gguf_name(name: &str) -> String {
        let parts = [
            ("model.embed_tokens", "token_embd"),
            ("model.norm", "output_norm"),
            ("model.layers.", "blk."),
            ("self_attn.q_proj", "attn_q"),
            ("self_attn.k_proj", "attn_k"),
            ("self_attn.v_proj", "attn_v"),
            ("self_attn.o_proj", "attn_output"),
            ("mlp.gate_proj", "ffn_gate"),
            ("mlp.up_proj", "ffn_up"),
            ("mlp.down_proj", "ffn_down"),
            ("post_attention_layernorm", "ffn_norm"),
            ("input_layernorm", "attn_norm"),
        ];
        parts.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
    }

    fn metadata(shape: &LlamaShape) -> Vec<(&'static str, Value)> {
        let number = |value: usize| Value::U32(u32::try_from(value).unwrap());
        let text = |value: &str| Value::String(value.to_owned());
        let tokenizer: serde_json::Value =
            serde_json::from_slice(crate::codec::SHIPPED_TOKENIZER).unwrap();
        let mut tokens = vec![String::new(); shape.vocab_size];
        for (token, id) in tokenizer["model"]["vocab"].as_object().unwrap() {
            tokens[usize::try_from(id.as_u64().unwrap()).unwrap()].clone_from(token);
        }
        let merges = tokenizer["model"]["merges"].as_array().unwrap().iter().map(|pair| {
            Value::String(format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
        });
        let kinds = (0..shape.vocab_size).map(|id| Value::I32(if id < 17 { 3 } else { 1 }));
        vec![
            ("general.architecture", text("llama")),
            ("llama.block_count", number(shape.layers)),
            ("llama.context_length", number(shape.context_length)),
            ("llama.embedding_length", number(shape.hidden_size)),
            ("llama.attention.head_count", number(shape.heads)),
            ("llama.attention.head_count_kv", number(shape.kv_heads)),
            ("llama.rope.dimension_count", number(shape.head_dim())),
            ("llama.rope.freq_base", Value::F32(shape.rope_theta)),
            ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
            ("tokenizer.ggml.model", text("gpt2")),
            ("tokenizer.ggml.pre", text("smollm")),
            ("tokenizer.ggml.token_type", Value::Array(kinds.collect())),
            ("tokenizer.ggml.merges", Value::Array(merges.collect())),
            (
                "tokenizer.ggml.tokens",
                Value::Array(tokens.into_iter().map(Value::String).collect()),
            ),
            ("tokenizer.ggml.eos_token_id", Value::U32(2)),
        ]
    }

    /// Writes the tiny model's synthetic weights as a GGUF file of unquantized floats; `change` may spoil it.
    pub(crate) fn tiny(path: &Path, change: impl FnOnce(&mut Vec<(&'static str, Value)>)) {
        let shape = LlamaShape::by_name("tiny-llama").unwrap();
        let weights = synthetic::weights(&shape, Dtype::F32, 0, &mut |_, _| {}).unwrap();
        let tensors: Vec<(String, QTensor)> = weights
            .iter()
            .map(|(name, tensor)| {
                let tensor = match name.as_str() {
                    q if q.contains("q_proj") => interleaved(tensor, shape.heads),
                    k if k.contains("k_proj") => interleaved(tensor, shape.kv_heads),
                    _ => tensor.clone(),
                };
                (gguf_name(name), QTensor::quantize(&tensor, GgmlDType::F32).unwrap())
            })
            .collect();
        let mut metadata = metadata(&shape);
        change(&mut metadata);
        let metadata: Vec<(&str, &Value)> =
            metadata.iter().map(|(key, value)| (*key, value)).collect();
        let tensors: Vec<(&str, &QTensor)> =
            tensors.iter().map(|(name, t)| (name.as_str(), t)).collect();
        write(&mut File::create(path).unwrap(), &metadata, &tensors).unwrap();
    }

    #[test]
    fn the_tokenizer_in_a_file_gives_the_ids_of_the_same_tokenizer_as_json() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.gguf");
        tiny(&path, |_| {});
        let gguf = Gguf::open(&path).unwrap();
        assert_eq!(gguf.quantization(), "F32");
        let (ours, shipped) = (gguf.codec().unwrap(), Codec::shipped().unwrap());
        assert_eq!(ours.eos, [2]);
        for text in ["Hello, world", "  x = 10\n\ty", "Größe 🦀", "<|im_start|>user"] {
            let prompt = Prompt::Text(text.to_owned());
            assert_eq!(ours.encode(&prompt).unwrap(), shipped.encode(&prompt).unwrap(), "{text}");
        }
    }

    #[test]
    fn what_candle_would_silently_get_wrong_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.gguf");
        tiny(&path, |metadata| {
            metadata[0].1 = Value::String("gemma".to_owned());
            metadata.push(("llama.rope.scaling.type", Value::String("yarn".to_owned())));
        });
        let Err(LocalError::Unsupported(problems)) = Gguf::open(&path) else {
            panic!("an unsupported file was opened");
        };
        assert_eq!(problems.0.len(), 2, "{problems}");
        tiny(&path, |metadata| {
            metadata.retain(|(key, _)| *key != "tokenizer.ggml.pre");
            metadata.push(("tokenizer.ggml.pre", Value::String("deepseek-llm".to_owned())));
        });
        let error = Gguf::open(&path).unwrap().codec().unwrap_err().to_string();
        assert!(error.contains("deepseek-llm"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_gguf_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("no.gguf");
        std::fs::write(&path, "not a model").unwrap();
        assert!(matches!(Gguf::open(&path), Err(LocalError::Candle { .. })));
    }

    #[test]
    fn k_quants_are_named_as_the_format_names_them() {
        assert_eq!(format_name(GgmlDType::Q4K), "Q4_K");
        assert_eq!(format_name(GgmlDType::Q4_1), "Q4_1");
        assert_eq!(format_name(GgmlDType::F32), "F32");
    }

    /// Also writes the assets anew where `AEB_UPDATE_ASSETS` is set.
    #[test]
    #[ignore = "needs the SmolLM2 GGUF file"]
    fn peer_the_shipped_tokenizer_and_template_are_those_of_the_real_file() {
        let path = smollm2();
        let gguf = Gguf::open(&path).unwrap();
        let template = gguf.text("tokenizer.chat_template").unwrap();
        let tokenizer = gguf.codec().unwrap().tokenizer.to_string(false).unwrap();
        let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/smollm2");
        if std::env::var_os("AEB_UPDATE_ASSETS").is_some() {
            std::fs::write(assets.join("tokenizer.json"), &tokenizer).unwrap();
            std::fs::write(assets.join("chat_template.jinja"), template).unwrap();
        }
        let shipped = std::fs::read_to_string(assets.join("tokenizer.json")).unwrap();
        assert!(shipped == tokenizer, "assets/smollm2/tokenizer.json differs from the file's");
        assert_eq!(std::fs::read_to_string(assets.join("chat_template.jinja")).unwrap(), template);
    }
}
