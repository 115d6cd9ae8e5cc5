//! The table: every flag, what it takes, what it means. `docs/profile.md` shows it.

use super::draft;
use super::{Flag, Means, Read, Takes};

use Means::{Anyway, Key, Nowhere, Part};
use Takes::{Anything, Nothing, One, Several};

const fn flag(
    aiperf: &'static [&'static str],
    vllm: &'static [&'static str],
    takes: Takes,
    means: Means,
    help: &'static str,
) -> Flag {
    Flag { aiperf, vllm, takes, means, help }
}

/// Every flag. Refused ones are last.
pub(crate) const TABLE: &[Flag] = &[
    // Whom to ask
    flag(
        &["model", "model-names"],
        &["model"],
        One("MODEL"),
        Part("backend.model", draft::model),
        "The model's name",
    ),
    flag(
        &[],
        &["served-model-name"],
        One("NAME"),
        Part("backend.model", draft::served),
        "The model's name as the server knows it, where --model is another",
    ),
    flag(
        &["url"],
        &["base-url"],
        One("URL"),
        Part("backend.endpoint", draft::url),
        "The server's address; http:// where nothing is said",
    ),
    flag(&[], &["host"], One("HOST"), Part("backend.endpoint", draft::host), "The server's host"),
    flag(&[], &["port"], One("PORT"), Part("backend.endpoint", draft::port), "The server's port"),
    flag(
        &["endpoint", "custom-endpoint"],
        &["endpoint"],
        One("PATH"),
        Part("backend.endpoint and backend.api", draft::path),
        "Path of the API behind the address",
    ),
    flag(
        &["endpoint-type"],
        &["backend", "endpoint-type"],
        One("TYPE"),
        Part("backend.api", draft::api),
        "chat (openai-chat) or completions (vllm, openai)",
    ),
    flag(
        &["streaming"],
        &[],
        Nothing,
        Key("backend.stream", Read::Fixed("true")),
        "Stream answers; they are unless --no-streaming is given",
    ),
    flag(
        &["no-streaming"],
        &[],
        Nothing,
        Key("backend.stream", Read::Fixed("false")),
        "Ask for whole answers; there is no time to first token then",
    ),
    flag(
        &["request-timeout-seconds"],
        &[],
        One("SECONDS"),
        Key("scenario.request_timeout_s", Read::Number),
        "Deadline of one request",
    ),
    // When requests leave
    flag(
        &["concurrency"],
        &["max-concurrency"],
        One("N[,N...]"),
        Part("scenario.load: concurrency, or max_concurrency beside a rate", draft::concurrency),
        "Requests in flight; several values are a sweep",
    ),
    flag(
        &["request-rate"],
        &["request-rate"],
        One("RATE[,RATE...]"),
        Part("scenario.load: rate", draft::rates),
        "Requests a second, or inf; several values are a sweep",
    ),
    flag(
        &["arrival-pattern", "request-rate-mode"],
        &[],
        One("PATTERN"),
        Part("scenario.load: type", draft::pattern),
        "constant, poisson (as where nothing is said), gamma or concurrency_burst",
    ),
    flag(
        &["arrival-smoothness", "vllm-burstiness"],
        &["burstiness"],
        One("SHAPE"),
        Part("scenario.load: burstiness", draft::burstiness),
        "Shape of the gaps: below 1 in bursts, 1 Poisson, above 1 more even, inf constant",
    ),
    flag(
        &["concurrency-ramp-duration"],
        &[],
        One("SECONDS"),
        Part("scenario.load.ramp: from 1", draft::concurrency_ramp),
        "Reach the number in flight within so many seconds",
    ),
    flag(
        &["request-rate-ramp-duration"],
        &[],
        One("SECONDS"),
        Part("scenario.load.ramp: from 0", draft::rate_ramp),
        "Reach the rate within so many seconds",
    ),
    flag(
        &[],
        &["ramp-up-strategy"],
        One("SHAPE"),
        Part("scenario.load.ramp", draft::ramp_strategy),
        "linear: from --ramp-up-start-rps to --ramp-up-end-rps over all requests",
    ),
    flag(
        &[],
        &["ramp-up-start-rps"],
        One("RATE"),
        Part("scenario.load.ramp.from", draft::ramp_from),
        "Where that ramp begins",
    ),
    flag(
        &[],
        &["ramp-up-end-rps"],
        One("RATE"),
        Part("scenario.load.ramp", draft::ramp_to),
        "Where it ends: the value of --request-rate",
    ),
    flag(
        &["random-seed"],
        &["seed"],
        One("SEED"),
        Part("scenario.load.seed and the seed of generated prompts", draft::seed),
        "Seed of arrivals and of generated prompts",
    ),
    // How many, and for how long
    flag(
        &["request-count", "num-requests"],
        &["num-prompts"],
        One("N"),
        Part("scenario.requests", draft::requests),
        "Requests to measure",
    ),
    flag(
        &["benchmark-duration"],
        &[],
        One("SECONDS"),
        Part("scenario.duration_s", draft::duration),
        "Seconds to measure",
    ),
    flag(
        &["benchmark-grace-period"],
        &[],
        One("SECONDS"),
        Key("scenario.grace_s", Read::Number),
        "Seconds that requests in flight get at the end",
    ),
    flag(
        &["warmup-request-count", "num-warmup-requests"],
        &["num-warmups"],
        One("N"),
        Key("scenario.warmup_requests", Read::Count),
        "Warm-up requests, in no figure",
    ),
    flag(
        &["num-profile-runs"],
        &[],
        One("N"),
        Key("scenario.repetitions", Read::Count),
        "How often the measurement is repeated",
    ),
    // What is asked
    flag(
        &["input-file"],
        &[],
        One("FILE"),
        Part("scenario.dataset_name", draft::dataset),
        "Prompts: a file, a folder or a HuggingFace dataset",
    ),
    flag(
        &["custom-dataset-type"],
        &["dataset-name"],
        One("KIND"),
        Part("scenario.dataset_name and text_column_name", draft::dataset_kind),
        "What kind of prompts: single_turn; random, hf, custom",
    ),
    flag(
        &[],
        &["dataset-path"],
        One("PATH"),
        Part("scenario.dataset_name", draft::dataset_path),
        "Prompts: a file, a folder or a HuggingFace dataset",
    ),
    flag(
        &["hf-subset"],
        &["hf-subset"],
        One("NAME"),
        Key("scenario.dataset_config", Read::Text),
        "Subset of a HuggingFace dataset",
    ),
    flag(
        &[],
        &["hf-split"],
        One("NAME"),
        Key("scenario.dataset_split", Read::Text),
        "Split of a HuggingFace dataset",
    ),
    flag(
        &["isl", "synthetic-input-tokens-mean", "prompt-input-tokens-mean"],
        &["random-input-len"],
        One("N[,N...]"),
        Part("scenario.input_shapes.sequence_length", draft::input_tokens),
        "Tokens a generated prompt; several values are a sweep",
    ),
    // How the answer is generated
    flag(
        &["osl", "output-tokens-mean", "prompt-output-tokens-mean"],
        &["random-output-len", "custom-output-len", "hf-output-len", "output-len"],
        One("N"),
        Part("scenario.generate_kwargs: max_new_tokens and min_new_tokens", draft::output_tokens),
        "Tokens an answer",
    ),
    flag(
        &[],
        &["ignore-eos"],
        Nothing,
        Part("scenario.generate_kwargs.ignore_eos", draft::ignore_eos),
        "Go on after the end-of-sequence token",
    ),
    flag(
        &["extra-inputs"],
        &["extra-body"],
        Several("NAME:VALUE | JSON"),
        Part(
            "scenario.generate_kwargs where it has the field, else backend.extra_body",
            draft::extra,
        ),
        "Fields of every request",
    ),
    // Where results go
    flag(
        &["artifact-dir", "output-artifact-dir"],
        &["result-dir"],
        One("DIR"),
        Key("output_dir", Read::Text),
        "Folder of the run folders",
    ),
    flag(
        &[],
        &["label"],
        One("NAME"),
        Key("name", Read::Text),
        "Name of the benchmark; the run folder carries it",
    ),
    // What is done anyway
    flag(
        &["use-server-token-count"],
        &[],
        Nothing,
        Anyway("tokens are counted by the server's usage"),
        "Tokens as the server counts them, as they are anyway",
    ),
    flag(
        &[],
        &["save-result", "save-detailed"],
        Nothing,
        Anyway("report.json and requests.jsonl are always written"),
        "Keep results, as they are anyway",
    ),
    flag(
        &["gpu-telemetry"],
        &[],
        Anything,
        Nowhere(
            "GPUs of this machine are metered by themselves; metrics.gpu and backend.device_ids choose",
        ),
        "GPU telemetry",
    ),
    // What has no place
    flag(
        &["api-key"],
        &[],
        Anything,
        Nowhere(
            "a key on a command line is seen by everyone: put it into OPENAI_API_KEY, or the variable that backend.api_key_env names",
        ),
        "",
    ),
    flag(
        &["header"],
        &["header"],
        Anything,
        Nowhere(
            "backend.api_key_env and backend.basic_auth_env name variables with credentials; other headers are not sent",
        ),
        "",
    ),
    flag(
        &["warmup-duration"],
        &[],
        Anything,
        Nowhere("give --warmup-request-count, or scenario.warmup=until_steady"),
        "",
    ),
    flag(
        &["prefill-concurrency"],
        &[],
        Anything,
        Nowhere("scenario.load limits requests in flight, not prefills"),
        "",
    ),
    flag(
        &["request-cancellation-rate"],
        &[],
        Anything,
        Nowhere("requests are given up only by scenario.request_timeout_s and grace_s"),
        "",
    ),
    flag(
        &[],
        &["percentile-metrics", "metric-percentiles"],
        Anything,
        Nowhere("report.json has every metric with its percentiles"),
        "",
    ),
    flag(
        &[],
        &["disable-tqdm"],
        Anything,
        Nowhere("progress goes to standard error: redirect it"),
        "",
    ),
    flag(
        &["ui", "ui-type"],
        &[],
        Anything,
        Nowhere("progress goes to standard error; --log-format json makes it JSON lines"),
        "",
    ),
    flag(
        &["profile-export-prefix", "profile-export-file"],
        &[],
        Anything,
        Nowhere(
            "files of a run folder have fixed names; --artifact-dir and --label name the folder",
        ),
        "",
    ),
    flag(
        &["export-level"],
        &[],
        Anything,
        Nowhere(
            "report.json and requests.jsonl are always written; scenario.save_outputs=true keeps texts",
        ),
        "",
    ),
    flag(
        &["slice-duration"],
        &[],
        Anything,
        Nowhere("samples.jsonl and requests.jsonl have every moment"),
        "",
    ),
    flag(
        &[],
        &["metadata", "append-result"],
        Anything,
        Nowhere("reporter.output_file=FILE.csv appends a row for each run"),
        "",
    ),
    flag(
        &["tokenizer", "tokenizer-revision", "tokenizer-trust-remote-code"],
        &["tokenizer", "tokenizer-mode", "skip-tokenizer-init", "trust-remote-code"],
        Anything,
        Nowhere("tokens are counted by the server's usage"),
        "",
    ),
    flag(
        &["workers-max", "record-processors"],
        &[],
        Anything,
        Nowhere(
            "one thread sends and receives: see client_limited in the report, and doctor --calibrate",
        ),
        "",
    ),
];
