//! Settings of the backends, one struct a kind.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::DeviceIds;

/// Which backend, with its settings. The key `type` chooses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum BackendConfig {
    /// A model in this process, on the CPU.
    Candle(CandleConfig),
    /// vLLM or any other OpenAI-compatible server.
    Vllm(VllmConfig),
    /// PyTorch with transformers in a worker process.
    Pytorch(PytorchConfig),
}

impl Default for BackendConfig {
    fn default() -> Self {
        Self::Candle(CandleConfig::default())
    }
}

impl BackendConfig {
    /// Every value of `type`.
    pub const KINDS: [&'static str; 3] = ["candle", "pytorch", "vllm"];

    /// The value of `type`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Candle(_) => "candle",
            Self::Vllm(_) => "vllm",
            Self::Pytorch(_) => "pytorch",
        }
    }

    /// The model asked for.
    #[must_use]
    pub fn model(&self) -> &str {
        match self {
            Self::Candle(config) => &config.model,
            Self::Vllm(config) => &config.model,
            Self::Pytorch(config) => &config.model,
        }
    }

    /// Revision of a HuggingFace model, where one is asked for.
    #[must_use]
    pub fn revision(&self) -> Option<&str> {
        match self {
            Self::Candle(config) => config.revision.as_deref(),
            Self::Vllm(_) => None,
            Self::Pytorch(config) => config.revision.as_deref(),
        }
    }

    /// The GPUs asked for.
    #[must_use]
    pub const fn device_ids(&self) -> Option<&DeviceIds> {
        match self {
            Self::Candle(config) => config.device_ids.as_ref(),
            Self::Vllm(config) => config.device_ids.as_ref(),
            Self::Pytorch(config) => config.device_ids.as_ref(),
        }
    }

    /// `cpu`, `cuda`, ... as asked for.
    #[must_use]
    pub fn device(&self) -> Option<&str> {
        match self {
            Self::Candle(config) => config.device.as_deref(),
            Self::Vllm(config) => config.device.as_deref(),
            Self::Pytorch(config) => config.device.as_deref(),
        }
    }
}

/// `type: candle`: a model in this process, on the CPU.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CandleConfig {
    /// A HuggingFace id, a folder with `config.json`, `*.safetensors` and `tokenizer.json`, or a `.gguf` file.
    pub model: String,
    /// Revision (branch, tag or commit) of a HuggingFace model. Default: `main`.
    pub revision: Option<String>,
    /// Seeded random weights of the real architecture instead of trained ones; nothing is downloaded.
    /// Figures are not comparable with real weights and every output says so.
    pub no_weights: bool,
    /// `float32`, `bfloat16`, `float16` or `auto` (float32). A GGUF file keeps its own quantization.
    pub torch_dtype: Option<String>,
    /// Only `cpu`.
    pub device: Option<String>,
    /// GPUs whose energy is counted, though the model runs on the CPU. Default: none.
    pub device_ids: Option<DeviceIds>,
    /// Worker threads. Default: the physical cores, as far as this process may use them.
    pub threads: Option<u32>,
    /// `chat` dresses each prompt with the model's chat template, `completions` takes it as it is.
    /// Default: `chat` if the model has a template.
    pub api: Option<Api>,
    /// Seed of the random weights. Default: 42.
    pub seed: Option<u64>,
    /// Accepted for compatibility; only `text-generation` runs.
    pub task: Option<String>,
    /// Accepted for compatibility: the tokenizer is the model's own.
    pub processor: Option<String>,
}

/// Which endpoint of an OpenAI-compatible server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// `/v1/chat/completions`: the server applies the model's chat template.
    #[default]
    Chat,
    /// `/v1/completions`: the prompt goes to the model as it is.
    Completions,
}

/// `type: vllm`: vLLM or any other OpenAI-compatible server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VllmConfig {
    /// The model's name as the server lists it.
    pub model: String,
    /// Base URL, with or without `/v1`; `http` or `https`. `user:password@` becomes basic auth and is never shown.
    pub endpoint: String,
    /// `chat` or `completions`.
    pub api: Api,
    /// Stream the answer token by token. Without it there is no time to first token.
    pub stream: bool,
    /// Environment variable that holds the bearer key, if any.
    pub api_key_env: String,
    /// Environment variable that holds `user:password` for basic auth.
    pub basic_auth_env: Option<String>,
    /// Send credentials over plain http to a host that is not this machine.
    pub allow_insecure_auth: bool,
    /// Fields added to every request's JSON as they are.
    pub extra_body: BTreeMap<String, Value>,
    /// Time allowed for connecting, in seconds.
    pub connect_timeout_s: f64,
    /// The server was started with random weights (vLLM's `--load-format dummy`): figures are labelled synthetic.
    pub no_weights: bool,
    /// Describes the server's device; nothing is sent. Default: unknown.
    pub device: Option<String>,
    /// GPUs the server runs on: index, UUID or UUID prefix. Their energy is counted. Default: all GPUs of the machine.
    pub device_ids: Option<DeviceIds>,
    /// Accepted for compatibility; only `text-generation` runs.
    pub task: Option<String>,
    /// Describes the server's number format; nothing is sent.
    pub torch_dtype: Option<String>,
    /// Describes the server's device map; nothing is sent.
    pub device_map: Option<String>,
    /// Accepted for compatibility: the tokenizer is the server's.
    pub processor: Option<String>,
}

impl Default for VllmConfig {
    fn default() -> Self {
        Self {
            model: String::new(),
            endpoint: "http://localhost:8000".to_owned(),
            api: Api::Chat,
            stream: true,
            api_key_env: "OPENAI_API_KEY".to_owned(),
            basic_auth_env: None,
            allow_insecure_auth: false,
            extra_body: BTreeMap::new(),
            connect_timeout_s: 10.0,
            no_weights: false,
            device: None,
            device_ids: None,
            task: None,
            torch_dtype: None,
            device_map: None,
            processor: None,
        }
    }
}

/// `type: pytorch`: PyTorch with transformers in a worker process. Read and checked; not built yet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PytorchConfig {
    /// A HuggingFace id or a local folder.
    pub model: String,
    /// Revision of a HuggingFace model.
    pub revision: Option<String>,
    /// Random weights instead of trained ones.
    pub no_weights: bool,
    /// `cuda`, `cpu`, ...
    pub device: Option<String>,
    /// GPUs to use: index, UUID or UUID prefix.
    pub device_ids: Option<DeviceIds>,
    /// `text-generation`, ...
    pub task: Option<String>,
    /// `float32`, `float16`, `bfloat16`, `auto`.
    pub torch_dtype: Option<String>,
    /// `auto`, `balanced`, a device.
    pub device_map: Option<Value>,
    /// Memory limit a device.
    pub max_memory: Option<BTreeMap<String, Value>>,
    /// Tokenizer or processor, where it is not the model's.
    pub processor: Option<String>,
    /// Run code that comes with the model.
    pub trust_remote_code: bool,
}
