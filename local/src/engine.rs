//! A loaded model, and generation with it.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use ai_energy_benchmarks::error::{Problem, Problems};
use ai_energy_benchmarks::prompt::Prompt;
use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::llama::{Cache, Llama};
use candle_transformers::models::quantized_llama::ModelWeights;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::codec::Codec;
use crate::error::LocalError;
use crate::files::{ModelFolder, fetch_model_files, is_hub_id};
use crate::gguf::Gguf;
use crate::hf_config;
use crate::request::{Finish, Outcome, Request, TokenStep};
use crate::sampling::Sampler;
use crate::shape::LlamaShape;
use crate::spec::{Dtype, LoadSpec, LoadStep};
use crate::stream::{StopWatch, StreamDecoder};
use crate::{synthetic, threads, weights};

/// Files above this size are not hashed: reading them twice would dominate the load.
const HASH_LIMIT_BYTES: u64 = 2 << 30;

/// Whether the weights are a trained model's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightsKind {
    /// A trained model's own.
    Real,
    /// Seeded random numbers: figures do not compare with those of real weights.
    Synthetic,
}

/// A file the model was loaded from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceFile {
    /// Its path.
    pub path: PathBuf,
    /// Its size, in bytes.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal; `None` for a file too large to be read twice (2 GiB).
    pub sha256: Option<String>,
}

/// What was loaded, for the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelInfo {
    /// The model as it was asked for.
    pub model: String,
    /// The family: `llama`.
    pub architecture: &'static str,
    /// Weights in all.
    pub parameters: u64,
    /// Real or synthetic.
    pub weights: WeightsKind,
    /// Seed of synthetic weights.
    pub seed: Option<u64>,
    /// Number format of the activations, and of the weights unless they are quantized.
    pub dtype: &'static str,
    /// Formats of quantized weights, the one of most weights first.
    pub quantization: Option<String>,
    /// Prompt and new tokens that fit, together.
    pub context_length: usize,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Where the tokenizer came from.
    pub tokenizer: String,
    /// Whether chat messages can be rendered.
    pub chat_template: bool,
    /// `cpu`.
    pub device: &'static str,
    /// Threads candle computes with.
    pub threads: usize,
    /// candle and its version.
    pub engine: String,
    /// Vector instructions that candle's quantized kernels were compiled for.
    pub cpu_features: Vec<&'static str>,
    /// The files loaded from.
    pub files: Vec<SourceFile>,
}

enum Model {
    Float { llama: Box<Llama>, cache: Box<Cache> },
    Quantized(Box<ModelWeights>),
}

/// A loaded model. It is never changed by a request, so requests may run beside each other.
pub struct Engine {
    model: Model,
    codec: Codec,
    info: ModelInfo,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("info", &self.info).finish_non_exhaustive()
    }
}

enum Source {
    Gguf(PathBuf),
    Folder(ModelFolder),
    Synthetic { shape: LlamaShape, folder: Option<PathBuf> },
}

impl Source {
    fn of(spec: &LoadSpec) -> Result<Self, LocalError> {
        let path = Path::new(&spec.model);
        if spec.no_weights {
            return Self::synthetic(path, &spec.model);
        }
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf")) {
            return Ok(Self::Gguf(path.to_owned()));
        }
        if path.is_dir() {
            return ModelFolder::open(path).map(Self::Folder);
        }
        if is_hub_id(&spec.model) {
            let folder = fetch_model_files(&spec.hub, &spec.model, spec.revision.as_deref())?;
            return ModelFolder::open(&folder).map(Self::Folder);
        }
        Err(LocalError::NoSuchModel { model: spec.model.clone() })
    }

    fn synthetic(path: &Path, name: &str) -> Result<Self, LocalError> {
        if !path.is_dir() {
            return Ok(Self::Synthetic { shape: LlamaShape::by_name(name)?, folder: None });
        }
        let config = path.join("config.json");
        if !config.is_file() {
            return Err(LocalError::MissingFile {
                file: "config.json".to_owned(),
                folder: path.to_owned(),
            });
        }
        let (shape, _) = hf_config::read(&config)?;
        let folder = path.join("tokenizer.json").is_file().then(|| path.to_owned());
        Ok(Self::Synthetic { shape, folder })
    }
}

impl Engine {
    /// Loads a model. `progress` hears how far it has come.
    ///
    /// # Errors
    /// What is missing, unreadable, unsupported or does not fit, with a hint where there is one.
    pub fn load(spec: &LoadSpec, progress: &mut dyn FnMut(LoadStep)) -> Result<Self, LocalError> {
        check_threads(spec.threads)?;
        let engine = match Source::of(spec)? {
            Source::Gguf(path) => Self::load_gguf(spec, &path, progress),
            Source::Folder(folder) => Self::load_folder(spec, &folder, progress),
            Source::Synthetic { shape, folder } => {
                Self::load_synthetic(spec, &shape, folder.as_deref(), progress)
            }
        }?;
        engine.codec.check_vocabulary(engine.info.vocab_size)?;
        Ok(engine)
    }

    fn load_gguf(
        spec: &LoadSpec,
        path: &Path,
        progress: &mut dyn FnMut(LoadStep),
    ) -> Result<Self, LocalError> {
        if spec.dtype != Dtype::F32 {
            let message =
                format!("a GGUF file brings its own format; {} is not applied", spec.dtype.name());
            let problem = Problem::new("backend.torch_dtype", message).hint("leave it out");
            return Err(LocalError::Unsupported(Problems::from(problem)));
        }
        let gguf = Gguf::open(path)?;
        let codec = gguf.codec()?;
        progress(LoadStep { stage: "tokenizer", done: 1, total: 1 });
        let vocab_size = gguf.vocab_size().ok_or_else(|| LocalError::Weights {
            place: path.display().to_string(),
            message: "`token_embd.weight` is missing".to_owned(),
        })?;
        let info = ModelInfo {
            parameters: gguf.parameters(),
            quantization: Some(gguf.quantization()),
            context_length: gguf.context_length(),
            vocab_size,
            files: vec![source_file(path)?],
            ..describe(spec, &codec)
        };
        let model = Model::Quantized(Box::new(gguf.weights()?));
        progress(LoadStep { stage: "weights", done: 1, total: 1 });
        Ok(Self { model, codec, info })
    }

    fn load_folder(
        spec: &LoadSpec,
        folder: &ModelFolder,
        progress: &mut dyn FnMut(LoadStep),
    ) -> Result<Self, LocalError> {
        let (shape, eos) = hf_config::read(&folder.root.join("config.json"))?;
        let codec = Codec::from_folder(&folder.root, eos)?;
        progress(LoadStep { stage: "tokenizer", done: 1, total: 1 });
        let weights = weights::from_folder(folder, &shape, spec.dtype, &mut |done, total| {
            progress(LoadStep { stage: "weights", done, total });
        })?;
        let files = folder.shards.iter().map(|path| source_file(path)).collect::<Result<_, _>>()?;
        let info = ModelInfo { files, ..describe_shape(spec, &codec, &shape) };
        Ok(Self { model: float_model(&shape, weights, spec.dtype)?, codec, info })
    }

    fn load_synthetic(
        spec: &LoadSpec,
        shape: &LlamaShape,
        folder: Option<&Path>,
        progress: &mut dyn FnMut(LoadStep),
    ) -> Result<Self, LocalError> {
        let codec = match folder {
            Some(folder) => Codec::from_folder(folder, Vec::new())?,
            None => Codec::shipped()?,
        };
        progress(LoadStep { stage: "tokenizer", done: 1, total: 1 });
        let weights = synthetic::weights(shape, spec.dtype, spec.seed, &mut |done, total| {
            progress(LoadStep { stage: "weights", done, total });
        })?;
        let info = ModelInfo {
            weights: WeightsKind::Synthetic,
            seed: Some(spec.seed),
            ..describe_shape(spec, &codec, shape)
        };
        Ok(Self { model: float_model(shape, weights, spec.dtype)?, codec, info })
    }

    /// What was loaded.
    #[must_use]
    pub const fn describe(&self) -> &ModelInfo {
        &self.info
    }

    /// Tokens of a prompt, as [`Self::generate`] would feed them.
    ///
    /// # Errors
    /// An empty prompt, or messages that the template cannot render.
    pub fn tokenize(&self, prompt: &Prompt) -> Result<Vec<u32>, LocalError> {
        self.codec.encode(prompt)
    }

    /// Runs one request: the prompt in one batch, then token by token. `on_token` is called the moment
    /// a token exists, on the calling thread, and may break off.
    ///
    /// Synthetic weights never mean their end token, so it is ignored for them.
    ///
    /// # Errors
    /// Values out of range, a prompt that does not fit, or a failure of candle.
    pub fn generate(
        &self,
        request: &Request,
        on_token: &mut dyn FnMut(TokenStep<'_>) -> ControlFlow<()>,
    ) -> Result<Outcome, LocalError> {
        request.params.check().map_err(LocalError::Unsupported)?;
        let (prompt, truncated_tokens) = self.fit(request)?;
        let mut session = self.model.session();
        let mut logits = session.forward(&prompt, 0)?;
        let mut answer = Answer::new(&self.codec, request, self.info.weights);
        let finish = loop {
            let (token_id, index, finish) = answer.next(&mut logits)?;
            let step = TokenStep { index, token_id, text: &answer.delta };
            if on_token(step).is_break() {
                break Finish::Cancelled;
            }
            if let Some(finish) = finish {
                break finish;
            }
            logits = session.forward(&[token_id], prompt.len() + index)?;
        };
        Ok(Outcome {
            prompt_tokens: prompt.len(),
            truncated_tokens,
            completion_tokens: answer.tokens,
            text: answer.text,
            finish,
        })
    }

    /// The prompt's tokens, cut to the context if the request allows it, and how many were cut.
    fn fit(&self, request: &Request) -> Result<(Vec<u32>, usize), LocalError> {
        let mut prompt = self.codec.encode(&request.prompt)?;
        let context_length = self.info.context_length;
        let max_new_tokens = request.params.max_new_tokens;
        let room = context_length.saturating_sub(max_new_tokens);
        let excess = prompt.len().saturating_sub(room);
        if excess > 0 && (!request.truncation || room == 0) {
            return Err(LocalError::ContextExceeded {
                prompt_tokens: prompt.len(),
                max_new_tokens,
                context_length,
            });
        }
        prompt.truncate(room);
        Ok((prompt, excess))
    }
}

impl Model {
    /// A key-value cache of its own beside the shared weights.
    fn session(&self) -> Session<'_> {
        match self {
            Self::Float { llama, cache } => Session::Float { llama, cache: cache.clone() },
            // Copies references to the weights, not the weights.
            Self::Quantized(model) => Session::Quantized(model.clone()),
        }
    }
}

enum Session<'a> {
    Float { llama: &'a Llama, cache: Box<Cache> },
    Quantized(Box<ModelWeights>),
}

impl Session<'_> {
    /// Logits of the token after these, which stand at `position`.
    fn forward(&mut self, tokens: &[u32], position: usize) -> Result<Vec<f32>, LocalError> {
        Tensor::new(tokens, &Device::Cpu)
            .and_then(|tokens| tokens.unsqueeze(0))
            .and_then(|tokens| match self {
                Self::Float { llama, cache } => llama.forward(&tokens, position, cache),
                Self::Quantized(model) => model.forward(&tokens, position),
            })
            .and_then(|logits| logits.flatten_all()?.to_vec1())
            .map_err(LocalError::candle("computing a token"))
    }
}

/// The answer as it grows.
struct Answer<'a> {
    codec: &'a Codec,
    request: &'a Request,
    ends: &'a [u32],
    sampler: Sampler<'a>,
    decoder: StreamDecoder,
    watch: StopWatch<'a>,
    tokens: usize,
    text: String,
    /// What the last token added to the text.
    delta: String,
}

impl<'a> Answer<'a> {
    fn new(codec: &'a Codec, request: &'a Request, weights: WeightsKind) -> Self {
        let goes_on = request.params.ignore_eos || weights == WeightsKind::Synthetic;
        Self {
            codec,
            request,
            ends: if goes_on { &[] } else { &codec.eos },
            sampler: Sampler::new(&request.params),
            decoder: StreamDecoder::default(),
            watch: StopWatch::new(&request.params.stop),
            tokens: 0,
            text: String::new(),
            delta: String::new(),
        }
    }

    /// Picks the next token and puts its text into `delta`: the token, its place, and whether it is
    /// the last one.
    fn next(&mut self, logits: &mut [f32]) -> Result<(u32, usize, Option<Finish>), LocalError> {
        let params = &self.request.params;
        let index = self.tokens;
        let forbidden = if index < params.min_new_tokens { self.ends } else { &[] };
        let id = self.sampler.pick(logits, forbidden).ok_or_else(|| LocalError::Weights {
            place: "the model".to_owned(),
            message: format!("no logit of new token {index} is a finite number"),
        })?;
        self.tokens += 1;
        let ended = self.ends.contains(&id);
        let full = self.tokens == params.max_new_tokens;
        let tokenizer = &self.codec.tokenizer;
        let mut text = if ended { String::new() } else { self.decoder.push(tokenizer, id)? };
        if ended || full {
            text += &self.decoder.finish(tokenizer)?;
        }
        let (told, stopped) = self.watch.push(&text);
        self.delta = told;
        if !stopped && (ended || full) {
            self.delta += &self.watch.finish();
        }
        self.text += &self.delta;
        let finish =
            if ended || stopped { Some(Finish::Stop) } else { full.then_some(Finish::Length) };
        Ok((id, index, finish))
    }
}

fn float_model(
    shape: &LlamaShape,
    weights: std::collections::HashMap<String, Tensor>,
    dtype: Dtype,
) -> Result<Model, LocalError> {
    let config = shape.candle();
    let builder = VarBuilder::from_tensors(weights, dtype.candle(), &Device::Cpu);
    let llama = Llama::load(builder, &config).map_err(LocalError::candle("building the model"))?;
    let cache = Cache::new(true, dtype.candle(), &config, &Device::Cpu)
        .map_err(LocalError::candle("building the position table"))?;
    Ok(Model::Float { llama: Box::new(llama), cache: Box::new(cache) })
}

fn check_threads(wanted: Option<usize>) -> Result<(), LocalError> {
    match wanted {
        Some(wanted) if !threads::environment(Some(wanted)).is_empty() => {
            Err(LocalError::Threads { wanted, in_force: threads::in_force() })
        }
        _ => Ok(()),
    }
}

/// What the description takes from the request and the build; the rest is filled in by the loaders.
fn describe(spec: &LoadSpec, codec: &Codec) -> ModelInfo {
    ModelInfo {
        model: spec.model.clone(),
        architecture: "llama",
        parameters: 0,
        weights: WeightsKind::Real,
        seed: None,
        dtype: spec.dtype.name(),
        quantization: None,
        context_length: 0,
        vocab_size: 0,
        tokenizer: codec.source.clone(),
        chat_template: codec.template.is_some(),
        device: "cpu",
        threads: threads::in_force(),
        engine: format!("candle {}", crate::CANDLE_VERSION),
        cpu_features: cpu_features(),
        files: Vec::new(),
    }
}

fn describe_shape(spec: &LoadSpec, codec: &Codec, shape: &LlamaShape) -> ModelInfo {
    ModelInfo {
        parameters: shape.parameters(),
        context_length: shape.context_length,
        vocab_size: shape.vocab_size,
        ..describe(spec, codec)
    }
}

/// candle chooses its quantized kernels when it is compiled, so these decide the speed.
fn cpu_features() -> Vec<&'static str> {
    [
        ("avx2", cfg!(target_feature = "avx2")),
        ("fma", cfg!(target_feature = "fma")),
        ("f16c", cfg!(target_feature = "f16c")),
        ("avx512f", cfg!(target_feature = "avx512f")),
        ("avx512vnni", cfg!(target_feature = "avx512vnni")),
        ("neon", cfg!(target_feature = "neon")),
        ("dotprod", cfg!(target_feature = "dotprod")),
    ]
    .into_iter()
    .filter_map(|(name, compiled_in)| compiled_in.then_some(name))
    .collect()
}

fn source_file(path: &Path) -> Result<SourceFile, LocalError> {
    let mut file = std::fs::File::open(path).map_err(LocalError::read(path))?;
    let bytes = file.metadata().map_err(LocalError::read(path))?.len();
    let sha256 = if bytes <= HASH_LIMIT_BYTES {
        let mut hash = HashWriter(Sha256::new());
        std::io::copy(&mut file, &mut hash).map_err(LocalError::read(path))?;
        Some(hash.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    } else {
        None
    };
    Ok(SourceFile { path: path.to_owned(), bytes, sha256 })
}

struct HashWriter(Sha256);

impl std::io::Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
