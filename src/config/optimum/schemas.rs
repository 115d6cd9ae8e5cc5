//! The options that optimum-benchmark's configs are made of: names, types and defaults, in its order.
//!
//! Facts about a public interface, kept as a table; `???` stands for a value that has to be given.

/// Name, type and default of an option, in the notation of a config.
pub(super) type Field = (&'static str, &'static str, &'static str);

/// A config that optimum-benchmark's own ones build on.
pub(super) struct Schema {
    /// `backend`, `scenario`, `launcher`; empty for the whole.
    pub(super) group: &'static str,
    /// The option of the group.
    pub(super) name: &'static str,
    /// The class that optimum-benchmark instantiates.
    pub(super) target: Option<&'static str>,
    /// Fields that the group shares, which come first.
    pub(super) shared: &'static [Field],
    /// Fields of its own.
    pub(super) own: &'static [Field],
}

/// All of them.
pub(super) const SCHEMAS: &[Schema] = &[
    Schema { group: "", name: "benchmark", target: None, shared: &[], own: BENCHMARK },
    Schema {
        group: "backend",
        name: "pytorch",
        target: Some("optimum_benchmark.backends.pytorch.backend.PyTorchBackend"),
        shared: BACKEND,
        own: BACKEND_PYTORCH,
    },
    Schema {
        group: "backend",
        name: "vllm",
        target: Some("optimum_benchmark.backends.vllm.backend.VLLMBackend"),
        shared: BACKEND,
        own: BACKEND_VLLM,
    },
    Schema {
        group: "backend",
        name: "ipex",
        target: Some("optimum_benchmark.backends.ipex.backend.IPEXBackend"),
        shared: BACKEND,
        own: BACKEND_IPEX,
    },
    Schema {
        group: "backend",
        name: "llama_cpp",
        target: Some("optimum_benchmark.backends.llama_cpp.backend.LlamaCppBackend"),
        shared: BACKEND,
        own: BACKEND_LLAMA_CPP,
    },
    Schema {
        group: "backend",
        name: "onnxruntime",
        target: Some("optimum_benchmark.backends.onnxruntime.backend.ONNXRuntimeBackend"),
        shared: BACKEND,
        own: BACKEND_ONNXRUNTIME,
    },
    Schema {
        group: "backend",
        name: "openvino",
        target: Some("optimum_benchmark.backends.openvino.backend.OpenVINOBackend"),
        shared: BACKEND,
        own: BACKEND_OPENVINO,
    },
    Schema {
        group: "backend",
        name: "py-txi",
        target: Some("optimum_benchmark.backends.py_txi.backend.PyTXIBackend"),
        shared: BACKEND,
        own: BACKEND_PY_TXI,
    },
    Schema {
        group: "backend",
        name: "tensorrt-llm",
        target: Some("optimum_benchmark.backends.tensorrt_llm.backend.TRTLLMBackend"),
        shared: BACKEND,
        own: BACKEND_TENSORRT_LLM,
    },
    Schema {
        group: "launcher",
        name: "inline",
        target: Some("optimum_benchmark.launchers.inline.launcher.InlineLauncher"),
        shared: LAUNCHER,
        own: &[],
    },
    Schema {
        group: "launcher",
        name: "process",
        target: Some("optimum_benchmark.launchers.process.launcher.ProcessLauncher"),
        shared: LAUNCHER,
        own: LAUNCHER_PROCESS,
    },
    Schema {
        group: "launcher",
        name: "torchrun",
        target: Some("optimum_benchmark.launchers.torchrun.launcher.TorchrunLauncher"),
        shared: LAUNCHER,
        own: LAUNCHER_TORCHRUN,
    },
    Schema {
        group: "scenario",
        name: "inference",
        target: Some("optimum_benchmark.scenarios.inference.scenario.InferenceScenario"),
        shared: &[],
        own: SCENARIO_INFERENCE,
    },
    Schema {
        group: "scenario",
        name: "training",
        target: Some("optimum_benchmark.scenarios.training.scenario.TrainingScenario"),
        shared: &[],
        own: SCENARIO_TRAINING,
    },
    Schema {
        group: "scenario",
        name: "energy_star",
        target: Some("optimum_benchmark.scenarios.energy_star.scenario.EnergyStarScenario"),
        shared: &[],
        own: SCENARIO_ENERGY_STAR,
    },
];

/// Fields of every backend, after `name`, `version` and `_target_`.
const BACKEND: &[Field] = &[
    ("model", "optional[str]", "null"),
    ("processor", "optional[str]", "null"),
    ("task", "optional[str]", "null"),
    ("library", "optional[str]", "null"),
    ("model_type", "optional[str]", "null"),
    ("device", "optional[str]", "null"),
    ("device_ids", "optional[str]", "null"),
    ("seed", "int", "42"),
    ("inter_op_num_threads", "optional[int]", "null"),
    ("intra_op_num_threads", "optional[int]", "null"),
    ("model_kwargs", "dict[str,any]", "{}"),
    ("processor_kwargs", "dict[str,any]", "{}"),
];

/// Fields of every launcher, after `name` and `_target_`.
const LAUNCHER: &[Field] = &[
    ("device_isolation", "bool", "false"),
    ("device_isolation_action", "optional[str]", "null"),
    ("numactl", "bool", "false"),
    ("numactl_kwargs", "dict[str,any]", "{}"),
];

const BENCHMARK: &[Field] = &[
    ("name", "str", "???"),
    ("backend", "any", "???"),
    ("scenario", "any", "???"),
    ("launcher", "any", "???"),
    ("environment", "dict[str,any]", "{}"),
    ("print_report", "bool", "false"),
    ("log_report", "bool", "true"),
];

const BACKEND_PYTORCH: &[Field] = &[
    ("no_weights", "bool", "false"),
    ("tp_plan", "optional[str]", "null"),
    ("device_map", "optional[str]", "null"),
    ("torch_dtype", "optional[str]", "null"),
    ("eval_mode", "bool", "true"),
    ("to_bettertransformer", "bool", "false"),
    ("low_cpu_mem_usage", "optional[bool]", "null"),
    ("attn_implementation", "optional[str]", "null"),
    ("cache_implementation", "optional[str]", "null"),
    ("allow_tf32", "bool", "false"),
    ("autocast_enabled", "bool", "false"),
    ("autocast_dtype", "optional[str]", "null"),
    ("torch_compile", "bool", "false"),
    ("torch_compile_target", "str", r#""forward""#),
    ("torch_compile_config", "dict[str,any]", "{}"),
    ("quantization_scheme", "optional[str]", "null"),
    ("quantization_config", "dict[str,any]", "{}"),
    ("deepspeed_inference", "bool", "false"),
    ("deepspeed_inference_config", "dict[str,any]", "{}"),
    ("peft_type", "optional[str]", "null"),
    ("peft_config", "dict[str,any]", "{}"),
];

const BACKEND_VLLM: &[Field] = &[
    ("no_weights", "bool", "false"),
    ("serving_mode", "str", r#""offline""#),
    ("engine_args", "dict[str,any]", "{}"),
];

const BACKEND_IPEX: &[Field] =
    &[("no_weights", "bool", "false"), ("torch_dtype", "optional[str]", "null")];

const BACKEND_LLAMA_CPP: &[Field] =
    &[("no_weights", "bool", "false"), ("filename", "optional[str]", "null")];

const BACKEND_ONNXRUNTIME: &[Field] = &[
    ("no_weights", "bool", "false"),
    ("export", "optional[bool]", "null"),
    ("provider", "optional[str]", "null"),
    ("use_cache", "optional[bool]", "null"),
    ("use_merged", "optional[bool]", "null"),
    ("torch_dtype", "optional[str]", "null"),
    ("use_io_binding", "optional[bool]", "null"),
    ("session_options", "dict[str,any]", "{}"),
    ("provider_options", "dict[str,any]", "{}"),
    ("auto_optimization", "optional[str]", "null"),
    ("auto_optimization_config", "dict[str,any]", "{}"),
    ("auto_quantization", "optional[str]", "null"),
    ("auto_quantization_config", "dict[str,any]", "{}"),
    ("auto_calibration", "optional[str]", "null"),
    ("auto_calibration_config", "dict[str,any]", "{}"),
    ("optimization", "bool", "false"),
    ("optimization_config", "dict[str,any]", "{}"),
    ("quantization", "bool", "false"),
    ("quantization_config", "dict[str,any]", "{}"),
    ("calibration", "bool", "false"),
    ("calibration_config", "dict[str,any]", "{}"),
];

const BACKEND_OPENVINO: &[Field] = &[
    ("no_weights", "bool", "false"),
    ("export", "optional[bool]", "null"),
    ("use_cache", "optional[bool]", "null"),
    ("use_merged", "optional[bool]", "null"),
    ("torch_dtype", "optional[str]", "null"),
    ("load_in_8bit", "optional[bool]", "null"),
    ("load_in_4bit", "optional[bool]", "null"),
    ("ov_config", "optional[dict[str,any]]", "null"),
    ("quantization_config", "optional[dict[str,any]]", "null"),
    ("half", "bool", "false"),
    ("compile", "bool", "false"),
    ("reshape", "bool", "false"),
    ("reshape_kwargs", "dict[str,int]", "{}"),
];

const BACKEND_PY_TXI: &[Field] = &[
    ("no_weights", "bool", "false"),
    ("image", "optional[str]", "null"),
    ("shm_size", "optional[str]", "null"),
    ("devices", "optional[list[str]]", "null"),
    ("gpus", "optional[union[str,int]]", "null"),
    ("ports", "optional[dict[str,any]]", "null"),
    ("environment", "optional[list[str]]", "null"),
    ("volumes", "optional[dict[str,any]]", "null"),
    ("connection_timeout", "optional[int]", "null"),
    ("first_request_timeout", "optional[int]", "null"),
    ("max_concurrent_requests", "optional[int]", "null"),
    ("dtype", "optional[str]", "null"),
    ("pooling", "optional[str]", "null"),
    ("sharded", "optional[str]", "null"),
    ("quantize", "optional[str]", "null"),
    ("num_shard", "optional[int]", "null"),
    ("speculate", "optional[int]", "null"),
    ("cuda_graphs", "optional[int]", "null"),
    ("trust_remote_code", "optional[bool]", "null"),
    ("disable_custom_kernels", "optional[bool]", "null"),
];

const BACKEND_TENSORRT_LLM: &[Field] = &[
    ("no_weights", "bool", "false"),
    ("tp", "optional[int]", "null"),
    ("pp", "optional[int]", "null"),
    ("dtype", "optional[str]", "null"),
    ("use_fp8", "optional[bool]", "null"),
    ("world_size", "optional[int]", "null"),
    ("gpus_per_node", "optional[int]", "null"),
    ("max_input_len", "optional[int]", "null"),
    ("max_output_len", "optional[int]", "null"),
    ("max_batch_size", "optional[int]", "null"),
    ("max_new_tokens", "optional[int]", "null"),
    ("max_prompt_length", "optional[int]", "null"),
    ("optimization_level", "optional[int]", "null"),
    ("use_cuda_graph", "optional[bool]", "null"),
];

const LAUNCHER_PROCESS: &[Field] = &[("start_method", "str", r#""spawn""#)];

const LAUNCHER_TORCHRUN: &[Field] = &[
    ("min_nodes", "int", "1"),
    ("max_nodes", "int", "1"),
    ("nproc_per_node", "int", "2"),
    ("role", "str", r#""benchmarker""#),
    ("monitor_interval", "int", "30"),
    ("rdzv_id", "str", r#""00000000-0000-0000-0000-000000000000""#),
    ("rdzv_backend", "str", r#""c10d""#),
    ("rdzv_endpoint", "str", r#""localhost:0""#),
    ("rdzv_configs", "dict[str,any]", r#"{"rank": 0, "timeout": -1}"#),
    ("rdzv_timeout", "int", "-1"),
    ("max_restarts", "int", "0"),
    ("start_method", "str", r#""spawn""#),
    ("local_addr", "optional[str]", "null"),
    ("socket_ifname", "optional[str]", "null"),
];

const SCENARIO_INFERENCE: &[Field] = &[
    ("iterations", "int", "10"),
    ("duration", "int", "10"),
    ("warmup_runs", "int", "10"),
    ("input_shapes", "dict[str,any]", "{}"),
    ("new_tokens", "optional[int]", "null"),
    ("memory", "bool", "false"),
    ("latency", "bool", "true"),
    ("energy", "bool", "false"),
    ("forward_kwargs", "dict[str,any]", "{}"),
    ("generate_kwargs", "dict[str,any]", "{}"),
    ("call_kwargs", "dict[str,any]", "{}"),
];

const SCENARIO_TRAINING: &[Field] = &[
    ("max_steps", "int", "140"),
    ("warmup_steps", "int", "40"),
    ("dataset_shapes", "dict[str,any]", "{}"),
    ("training_arguments", "dict[str,any]", "{}"),
    ("latency", "bool", "true"),
    ("memory", "bool", "false"),
    ("energy", "bool", "false"),
];

const SCENARIO_ENERGY_STAR: &[Field] = &[
    ("dataset_name", "str", r#""""#),
    ("dataset_config", "str", r#""""#),
    ("dataset_split", "str", r#""train""#),
    ("num_samples", "int", "-1"),
    ("input_shapes", "dict[str,any]", "{}"),
    ("text_column_name", "str", r#""text""#),
    ("truncation", "union[bool,str]", "true"),
    ("max_length", "int", "-1"),
    ("dataset_prefix1", "str", r#""""#),
    ("dataset_prefix2", "str", r#""""#),
    ("t5_task", "str", r#""""#),
    ("reasoning", "union[bool,str]", "false"),
    ("reasoning_params", "dict[str,any]", "{}"),
    ("image_column_name", "str", r#""image""#),
    ("resize", "union[bool,str]", "false"),
    ("question_column_name", "str", r#""question""#),
    ("context_column_name", "str", r#""context""#),
    ("sentence1_column_name", "str", r#""sentence1""#),
    ("sentence2_column_name", "str", r#""sentence2""#),
    ("audio_column_name", "str", r#""audio""#),
    ("energy", "bool", "true"),
    ("memory", "bool", "false"),
    ("latency", "bool", "false"),
    ("warmup_runs", "int", "10"),
    ("forward_kwargs", "dict[str,any]", "{}"),
    ("generate_kwargs", "dict[str,any]", "{}"),
    ("call_kwargs", "dict[str,any]", "{}"),
];
