//! The backend `candle`: the engine behind the library's trait.
//!
//! Each request runs on a thread that `run` lends, so that a token is stamped where it is made and
//! the caller's event loop never waits for arithmetic. Every new token is one
//! [`StreamEvent::Content`], also when its text is empty (an end token, a character still incomplete):
//! events and counted tokens are the same number.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use ai_energy_benchmarks::analysis::findings::SYNTHETIC_SENTENCE;
use ai_energy_benchmarks::backend::{
    Backend, BackendError, BoxFuture, CheckReport, Completion, GenerateRequest, Host, Sink,
    StreamEvent,
};
use ai_energy_benchmarks::clock;
use ai_energy_benchmarks::config::component::backend::{Api, BackendConfig, CandleConfig};
use ai_energy_benchmarks::config::component::scenario::GenerateKwargs;
use ai_energy_benchmarks::dataset::hub::HubEnv;
use ai_energy_benchmarks::error::{Problem, Problems};
use ai_energy_benchmarks::prompt::Prompt;
use ai_energy_benchmarks::record::{
    BackendInfo, FailureClass, TokenCounts, TokenSource, Warning, Weights,
};
use ai_energy_benchmarks::registry::{BackendEntry, Registry};
use ai_energy_benchmarks::units::Nanos;
use tokio::sync::{mpsc, oneshot};

use crate::engine::{Engine, ModelInfo, WeightsKind};
use crate::error::LocalError;
use crate::request::{Finish, GenerateParams, Outcome, Request};
use crate::spec::{Dtype, LoadSpec};
use crate::threads;

/// The value of `backend.type`.
pub const KIND: &str = "candle";

/// Seed of random weights where the config names none.
const DEFAULT_SEED: u64 = 42;

/// Adds this backend to the registry.
pub fn register(registry: &mut Registry) {
    registry.backends.push(BackendEntry {
        kind: KIND,
        summary: "a model of the Llama family in this process, on the CPU",
        build,
    });
}

fn build(config: &BackendConfig, host: Arc<dyn Host>) -> Result<Box<dyn Backend>, Problems> {
    let BackendConfig::Candle(config) = config else {
        let message = format!("the candle backend was given settings of `{}`", config.kind());
        return Err(Problem::new("backend.type", message).into());
    };
    let mut spec = spec(config)?;
    spec.hub = HubEnv::from_vars(&|name| host.variable(name), std::env::home_dir().as_deref());
    Ok(Box::new(CandleBackend { spec, api: config.api, host, engine: OnceLock::new() }))
}

/// What to load, from the config.
///
/// # Errors
/// Every setting that this backend cannot follow.
pub fn spec(config: &CandleConfig) -> Result<LoadSpec, Problems> {
    let mut problems = Problems::default();
    if config.model.is_empty() {
        problems.push(Problem::new("backend.model", "no model is named").hint(
            "a HuggingFace id, a model folder or a .gguf file; with no_weights also a known name",
        ));
    }
    if let Some(device) = config.device.as_deref().filter(|&device| device != "cpu") {
        let message = format!("`{device}` is not supported; supported: cpu");
        problems.push(Problem::new("backend.device", message));
    }
    if let Some(task) = config.task.as_deref().filter(|&task| task != "text-generation") {
        let message = format!("`{task}` is not supported; supported: text-generation");
        problems.push(Problem::new("backend.task", message));
    }
    if config.threads == Some(0) {
        problems.push(Problem::new("backend.threads", "must be at least 1"));
    }
    let dtype = dtype(config.torch_dtype.as_deref(), &mut problems);
    problems.into_result()?;
    Ok(LoadSpec {
        model: config.model.clone(),
        no_weights: config.no_weights,
        dtype,
        seed: config.seed.unwrap_or(DEFAULT_SEED),
        threads: config.threads.map(|threads| threads as usize),
        revision: config.revision.clone(),
        hub: HubEnv::from_process(),
    })
}

fn dtype(name: Option<&str>, problems: &mut Problems) -> Dtype {
    match name {
        None | Some("auto" | "float32") => Dtype::F32,
        Some("bfloat16") => Dtype::Bf16,
        Some("float16") => Dtype::F16,
        Some(other) => {
            let message =
                format!("`{other}` is not supported; supported: auto, bfloat16, float16, float32");
            problems.push(Problem::new("backend.torch_dtype", message));
            Dtype::F32
        }
    }
}

struct CandleBackend {
    spec: LoadSpec,
    api: Option<Api>,
    host: Arc<dyn Host>,
    engine: OnceLock<Arc<Engine>>,
}

impl Backend for CandleBackend {
    fn check(&self) -> BoxFuture<'_, Result<CheckReport, BackendError>> {
        Box::pin(async move {
            if self.engine.get().is_none() {
                let engine = self.load().await?;
                // A second check at the same time would only have loaded the same model again.
                let _ = self.engine.set(Arc::new(engine));
            }
            let info = self.engine()?.describe();
            if self.api == Some(Api::Chat) && !info.chat_template {
                return Err(failure(&LocalError::NoChatTemplate));
            }
            Ok(CheckReport { info: backend_info(info, self.api), warnings: warnings(info) })
        })
    }

    fn loads_here(&self) -> bool {
        true
    }

    fn generate<'a>(
        &'a self,
        request: &'a GenerateRequest,
        sink: &'a mut dyn Sink,
    ) -> BoxFuture<'a, Result<Completion, BackendError>> {
        Box::pin(async move {
            let engine = Arc::clone(self.engine()?);
            let prompt = dress(&request.prompt, self.api, engine.describe().chat_template);
            let request =
                Request { prompt, params: params(&request.params), truncation: request.truncate };
            let (tell, mut told) = mpsc::unbounded_channel();
            // Dropped with this future: a request that nobody waits for must not go on computing.
            let cancel = CancelOnDrop(Arc::new(AtomicBool::new(false)));
            let cancelled = Arc::clone(&cancel.0);
            let job = move || answer(&engine, &request, &cancelled, &tell);
            self.host.spawn_blocking("candle-generate", Box::new(job));
            while let Some(news) = told.recv().await {
                match news {
                    News::Sent(at) => sink.event(at, StreamEvent::Sent),
                    News::Token(at, text) => sink.event(at, StreamEvent::Content(&text)),
                    News::Done(result) => return result,
                }
            }
            Err(died("generating"))
        })
    }
}

impl CandleBackend {
    fn engine(&self) -> Result<&Arc<Engine>, BackendError> {
        self.engine.get().ok_or_else(|| {
            BackendError::new(FailureClass::Engine, "the model is asked before it was loaded")
        })
    }

    async fn load(&self) -> Result<Engine, BackendError> {
        let (tell, told) = oneshot::channel();
        let spec = self.spec.clone();
        let job = move || {
            let engine = Engine::load(&spec, &mut |step| {
                tracing::debug!(step.stage, step.done, step.total, "loading the model");
            });
            // Nobody hears it if the run was interrupted meanwhile.
            let _ = tell.send(engine);
        };
        self.host.spawn_blocking("candle-load", Box::new(job));
        told.await.map_err(|_| died("loading"))?.map_err(|error| failure(&error))
    }
}

struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What the computing thread tells.
enum News {
    Sent(Nanos),
    Token(Nanos, String),
    Done(Result<Completion, BackendError>),
}

/// Runs on the computing thread. A receiver that is gone has cancelled too, so sends may fail.
fn answer(
    engine: &Engine,
    request: &Request,
    cancelled: &AtomicBool,
    tell: &mpsc::UnboundedSender<News>,
) {
    let _ = tell.send(News::Sent(clock::now()));
    let outcome = engine.generate(request, &mut |step| {
        let _ = tell.send(News::Token(clock::now(), step.text.to_owned()));
        if cancelled.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    let result = outcome.as_ref().map(completion).map_err(failure);
    let _ = tell.send(News::Done(result));
}

fn completion(outcome: &Outcome) -> Completion {
    let finish = match outcome.finish {
        Finish::Length => "length",
        Finish::Stop => "stop",
        Finish::Cancelled => "cancelled",
    };
    Completion {
        tokens: TokenCounts {
            prompt: Some(outcome.prompt_tokens as u64),
            // Every request computes its whole prompt.
            cached_prompt: Some(0),
            completion: Some(outcome.completion_tokens as u64),
            reasoning: None,
            source: TokenSource::Engine,
        },
        finish_reason: Some(finish.to_owned()),
        server_timings: None,
    }
}

/// As the config says; where it says nothing, with the chat template if the model has one.
fn dress(prompt: &Prompt, api: Option<Api>, chat_template: bool) -> Prompt {
    match (api, prompt) {
        (_, Prompt::Tokens(_)) => prompt.clone(),
        (Some(Api::Completions), _) => Prompt::Text(prompt.text()),
        (None, Prompt::Text(text)) if !chat_template => Prompt::Text(text.clone()),
        _ => Prompt::Chat(prompt.messages()),
    }
}

fn params(kwargs: &GenerateKwargs) -> GenerateParams {
    GenerateParams {
        max_new_tokens: kwargs.max_new_tokens as usize,
        min_new_tokens: kwargs.min_new_tokens.unwrap_or(0) as usize,
        do_sample: kwargs.do_sample,
        temperature: kwargs.temperature.unwrap_or(1.0),
        top_p: kwargs.top_p.unwrap_or(1.0),
        top_k: kwargs.top_k.map(|k| k as usize),
        seed: kwargs.seed.unwrap_or(0),
        ignore_eos: kwargs.ignore_eos.unwrap_or(false),
        stop: kwargs.stop.clone().unwrap_or_default().0,
    }
}

fn backend_info(info: &ModelInfo, api: Option<Api>) -> BackendInfo {
    let mut details: BTreeMap<String, serde_json::Value> = match serde_json::to_value(info) {
        Ok(serde_json::Value::Object(fields)) => fields.into_iter().collect(),
        _ => BTreeMap::new(),
    };
    // These have fields of their own.
    for told in ["model", "weights", "engine"] {
        details.remove(told);
    }
    let chat = api.map_or(info.chat_template, |api| api == Api::Chat);
    let dressed = if chat { "chat template" } else { "as it is" };
    details.insert("prompt".to_owned(), dressed.into());
    BackendInfo {
        kind: KIND.to_owned(),
        model: info.model.clone(),
        endpoint: None,
        server: Some("candle".to_owned()),
        server_version: Some(crate::CANDLE_VERSION.to_owned()),
        weights: match info.weights {
            WeightsKind::Real => Weights::Real,
            WeightsKind::Synthetic => Weights::Synthetic,
        },
        local: true,
        local_reason: "the model runs in this process".to_owned(),
        pids: vec![std::process::id()],
        details,
    }
}

fn warnings(info: &ModelInfo) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if info.weights == WeightsKind::Synthetic {
        warnings.push(Warning::new("synthetic_weights", SYNTHETIC_SENTENCE));
    }
    let allowed = std::thread::available_parallelism().map_or(info.threads, usize::from);
    if info.threads > allowed {
        let message = format!(
            "candle computes with {} threads, but this process may use {allowed} processors: set {} to no more",
            info.threads,
            threads::VARIABLE
        );
        warnings.push(Warning::new("too_many_threads", message));
    }
    if info.quantization.is_some() && slow_kernels() {
        warnings.push(Warning::new(
            "slow_kernels",
            "this program was built without AVX2, which this processor has: quantized models run \
             several times slower than they could (build with -C target-cpu=x86-64-v3)",
        ));
    }
    warnings
}

/// Whether the processor has vector instructions that this build does not use.
#[cfg(target_arch = "x86_64")]
fn slow_kernels() -> bool {
    !cfg!(target_feature = "avx2") && std::is_x86_feature_detected!("avx2")
}

/// Elsewhere the baseline already has them.
#[cfg(not(target_arch = "x86_64"))]
const fn slow_kernels() -> bool {
    false
}

/// With the causes behind it, which `Display` alone leaves out.
fn failure(error: &LocalError) -> BackendError {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    BackendError { hint: error.hint(), ..BackendError::new(FailureClass::Engine, message) }
}

fn died(doing: &str) -> BackendError {
    BackendError::new(FailureClass::Engine, format!("the engine's thread died while {doing}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    struct Threads;

    impl Host for Threads {
        #[expect(clippy::disallowed_methods, reason = "stands in for run, which alone spawns")]
        fn spawn_blocking(&self, _name: &str, job: Box<dyn FnOnce() + Send>) {
            std::thread::spawn(job);
        }

        fn variable(&self, name: &str) -> Option<String> {
            std::env::var(name).ok()
        }
    }

    /// Never runs a job: as if its thread had died.
    struct NoThreads;

    impl Host for NoThreads {
        fn spawn_blocking(&self, _name: &str, _job: Box<dyn FnOnce() + Send>) {}

        fn variable(&self, _name: &str) -> Option<String> {
            None
        }
    }

    #[derive(Default)]
    struct Heard(Mutex<Vec<(Nanos, String)>>);

    impl Sink for Heard {
        fn event(&mut self, at: Nanos, event: StreamEvent<'_>) {
            let text = match event {
                StreamEvent::Sent => "SENT".to_owned(),
                StreamEvent::Content(text) => text.to_owned(),
                other => panic!("unexpected {other:?}"),
            };
            self.0.lock().unwrap().push((at, text));
        }
    }

    fn config() -> CandleConfig {
        CandleConfig { model: "tiny-llama".to_owned(), no_weights: true, ..CandleConfig::default() }
    }

    fn backend(config: CandleConfig, host: Arc<dyn Host>) -> Result<Box<dyn Backend>, Problems> {
        let mut registry = Registry::default();
        register(&mut registry);
        let entry = registry.backends.iter().find(|entry| entry.kind == KIND).unwrap();
        (entry.build)(&BackendConfig::Candle(config), host)
    }

    fn request(max_new_tokens: u32) -> GenerateRequest {
        GenerateRequest {
            index: 0,
            prompt: Prompt::Text("Hello".to_owned()),
            params: Arc::new(GenerateKwargs { max_new_tokens, ..GenerateKwargs::default() }),
            truncate: true,
        }
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn token_ids_go_to_the_engine_as_they_are_and_strange_ones_fail() {
        let backend = backend(config(), Arc::new(Threads)).unwrap();
        let report = block_on(backend.check()).unwrap();
        let size = u32::try_from(report.info.details["vocab_size"].as_u64().unwrap()).unwrap();
        let ask = |ids: Vec<u32>| {
            let asked = GenerateRequest { prompt: Prompt::Tokens(ids), ..request(2) };
            block_on(backend.generate(&asked, &mut Heard::default()))
        };
        assert_eq!(ask(vec![0, 7, size - 1]).unwrap().tokens.prompt, Some(3));
        assert!(ask(vec![size]).is_err());
        assert!(ask(Vec::new()).is_err());
    }

    #[test]
    fn a_request_is_answered_token_by_token_with_stamps_in_order() {
        let backend = backend(config(), Arc::new(Threads)).unwrap();
        let report = block_on(backend.check()).unwrap();
        assert_eq!((report.info.kind.as_str(), report.info.weights), (KIND, Weights::Synthetic));
        assert_eq!(report.info.details["prompt"], "chat template");
        assert!(report.warnings.iter().any(|warning| warning.code == "synthetic_weights"));
        let mut heard = Heard::default();
        let completion = block_on(backend.generate(&request(5), &mut heard)).unwrap();
        assert_eq!(completion.tokens.completion, Some(5));
        assert_eq!(completion.finish_reason.as_deref(), Some("length"));
        let heard = heard.0.into_inner().unwrap();
        assert_eq!(heard.len(), 6);
        assert_eq!(heard[0].1, "SENT");
        assert!(heard.is_sorted_by_key(|(at, _)| *at));
        let template = completion.tokens.prompt.unwrap();
        let plain = CandleConfig { api: Some(Api::Completions), ..config() };
        let plain = self::backend(plain, Arc::new(Threads)).unwrap();
        block_on(plain.check()).unwrap();
        let completion = block_on(plain.generate(&request(1), &mut Heard::default())).unwrap();
        assert!(completion.tokens.prompt.unwrap() < template);
    }

    #[test]
    fn a_request_that_nobody_waits_for_stops_computing() {
        struct Watched(Mutex<Option<std::sync::mpsc::Sender<()>>>);
        impl Host for Watched {
            #[expect(clippy::disallowed_methods, reason = "stands in for run, which alone spawns")]
            fn spawn_blocking(&self, name: &str, job: Box<dyn FnOnce() + Send>) {
                let ended = self.0.lock().unwrap().clone().filter(|_| name == "candle-generate");
                std::thread::spawn(move || {
                    job();
                    drop(ended);
                });
            }

            fn variable(&self, name: &str) -> Option<String> {
                Threads.variable(name)
            }
        }
        let (ended, wait) = std::sync::mpsc::channel();
        let host = Arc::new(Watched(Mutex::new(Some(ended))));
        let backend = backend(config(), Arc::clone(&host) as Arc<dyn Host>).unwrap();
        block_on(backend.check()).unwrap();
        let (endless, mut heard) = (request(400), Heard::default());
        block_on(async {
            let mut answer = backend.generate(&endless, &mut heard);
            std::future::poll_fn(|context| {
                assert!(answer.as_mut().poll(context).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
        });
        host.0.lock().unwrap().take();
        // Ends when the computing thread has dropped its sender, long before 400 tokens are told.
        assert!(wait.recv().is_err());
        assert!(heard.0.into_inner().unwrap().len() < 400);
    }

    #[test]
    fn a_thread_that_dies_is_an_error_and_so_is_asking_too_early() {
        let backend = backend(config(), Arc::new(NoThreads)).unwrap();
        let error = block_on(backend.check()).unwrap_err();
        assert!(error.message.contains("died while loading"), "{error}");
        let error = block_on(backend.generate(&request(1), &mut Heard::default())).unwrap_err();
        assert!(error.message.contains("before it was loaded"), "{error}");
        assert!(!error.is_retryable());
    }

    #[test]
    fn what_the_model_lacks_is_said_with_its_causes_and_hint() {
        let absent =
            CandleConfig { model: "absent.gguf".to_owned(), no_weights: false, ..config() };
        let error = block_on(backend(absent, Arc::new(Threads)).unwrap().check()).unwrap_err();
        assert!(error.message.contains("absent.gguf: "), "{error}");
        let threads = CandleConfig { threads: Some(4096), ..config() };
        let error = block_on(backend(threads, Arc::new(Threads)).unwrap().check()).unwrap_err();
        assert!(error.hint.unwrap().contains(threads::VARIABLE));
    }

    #[test]
    fn every_setting_that_cannot_be_followed_is_named_at_once() {
        let wrong = CandleConfig {
            device: Some("cuda".to_owned()),
            task: Some("text-classification".to_owned()),
            torch_dtype: Some("int4".to_owned()),
            threads: Some(0),
            ..CandleConfig::default()
        };
        let places: Vec<String> =
            spec(&wrong).unwrap_err().0.into_iter().map(|problem| problem.place).collect();
        let expected = ["model", "device", "task", "threads", "torch_dtype"];
        assert_eq!(places, expected.map(|key| format!("backend.{key}")));
        assert!(backend(wrong, Arc::new(Threads)).is_err());
    }

    #[test]
    fn without_a_template_text_goes_as_it_is_and_messages_are_refused_by_name() {
        let text = Prompt::Text("a".to_owned());
        assert_eq!(dress(&text, None, false), text);
        assert_eq!(dress(&text, None, true), Prompt::Chat(text.messages()));
        assert_eq!(dress(&text, Some(Api::Chat), false), Prompt::Chat(text.messages()));
        let chat = Prompt::Chat(text.messages());
        assert_eq!(dress(&chat, Some(Api::Completions), true), text);
        assert_eq!(dress(&chat, None, false), chat);
    }
}
