//! The OpenAI-compatible client against a scripted server: what it sends and what it makes of answers.

use std::sync::Arc;

use ai_energy_benchmarks::backend::openai::{OpenAi, validate};
use ai_energy_benchmarks::backend::{
    Backend, BackendError, Completion, GenerateRequest, Sink, StreamEvent,
};
use ai_energy_benchmarks::config::component::backend::{Api, VllmConfig};
use ai_energy_benchmarks::config::component::scenario::GenerateKwargs;
use ai_energy_benchmarks::prompt::Prompt;
use ai_energy_benchmarks::record::{FailureClass, TokenSource};
use ai_energy_benchmarks::units::Nanos;
use ai_energy_benchmarks_testkit::server::{self, Recorded, ScriptedServer, Step};
use serde_json::{Value, json};

/// What a sink heard.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Every event: its stamp, its kind, its text.
    pub(crate) events: Vec<(Nanos, &'static str, String)>,
}

impl Sink for Heard {
    fn event(&mut self, at: Nanos, event: StreamEvent<'_>) {
        let (kind, text) = match event {
            StreamEvent::Sent => ("sent", String::new()),
            StreamEvent::Again => ("again", String::new()),
            StreamEvent::FirstByte => ("first byte", String::new()),
            StreamEvent::Empty => ("empty", String::new()),
            StreamEvent::Content(text) => ("content", text.to_owned()),
            StreamEvent::Reasoning(text) => ("reasoning", text.to_owned()),
            StreamEvent::ToolCall(text) => ("tool", text.to_owned()),
            StreamEvent::Whole { content, reasoning } => {
                ("whole", format!("{content}|{reasoning}"))
            }
        };
        self.events.push((at, kind, text));
    }
}

impl Heard {
    /// All text of a kind.
    pub(crate) fn text(&self, kind: &str) -> String {
        self.of(kind).map(|(_, _, text)| text.as_str()).collect()
    }

    /// Events of a kind.
    pub(crate) fn count(&self, kind: &str) -> usize {
        self.of(kind).count()
    }

    fn of(&self, kind: &str) -> impl Iterator<Item = &(Nanos, &'static str, String)> {
        self.events.iter().filter(move |(_, known, _)| *known == kind)
    }

    fn at(&self, kind: &str) -> Vec<u64> {
        self.of(kind).map(|(at, _, _)| at.0).collect()
    }
}

/// Runs a future on a runtime of its own.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

/// An environment with nothing in it.
pub(crate) fn no_env(_: &str) -> Option<String> {
    None
}

/// The settings for a server.
pub(crate) fn config(endpoint: &str) -> VllmConfig {
    VllmConfig {
        model: "tiny-llama".to_owned(),
        endpoint: endpoint.to_owned(),
        connect_timeout_s: 5.0,
        ..VllmConfig::default()
    }
}

/// A request for a few tokens.
pub(crate) fn request() -> GenerateRequest {
    GenerateRequest {
        index: 0,
        prompt: Prompt::Text("hi".to_owned()),
        params: Arc::new(GenerateKwargs { max_new_tokens: 5, ..GenerateKwargs::default() }),
        truncate: true,
    }
}

/// One request to a server, and what was heard of it.
pub(crate) fn ask(backend: &OpenAi) -> (Result<Completion, BackendError>, Heard) {
    let mut heard = Heard::default();
    let request = request();
    let answer = block_on(backend.generate(&request, &mut heard));
    (answer, heard)
}

/// A client for a server.
pub(crate) fn client(config: &VllmConfig) -> OpenAi {
    OpenAi::new(config.clone(), &no_env).expect("good settings")
}

/// A recorded answer of a real server.
pub(crate) fn recorded(path: &str) -> Vec<u8> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/servers/");
    std::fs::read(format!("{root}{path}")).expect("a recording")
}

fn replayed(path: &str) -> ScriptedServer {
    let body = recorded(path);
    ScriptedServer::start(move |_| server::stream([body.as_slice()]))
}

fn sent_body(request: &Recorded) -> Value {
    serde_json::from_slice(&request.body).expect("a JSON body")
}

#[test]
fn a_chat_stream_is_asked_for_and_read() {
    let server = replayed("vllm-0.32.0/chat_stream_usage.sse");
    let (answer, heard) = ask(&client(&config(&server.url())));
    let answer = answer.unwrap();
    assert_eq!(answer.tokens.completion, Some(12));
    assert_eq!(answer.tokens.prompt, Some(19));
    assert_eq!(answer.tokens.source, TokenSource::Usage);
    assert_eq!(answer.finish_reason.as_deref(), Some("length"));
    assert_eq!(heard.count("content"), 12);
    let kinds: Vec<_> = heard.events.iter().map(|(_, kind, _)| *kind).take(4).collect();
    assert_eq!(kinds, ["sent", "first byte", "empty", "content"]);
    assert!(heard.events.is_sorted_by_key(|(at, _, _)| *at));
    let asked = &server.recorded()[0];
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/v1/chat/completions"));
    assert_eq!(asked.header("host"), Some(server.address().to_string().as_str()));
    assert_eq!(asked.header("content-type"), Some("application/json"));
    assert_eq!(asked.header("authorization"), None);
    let body = sent_body(asked);
    assert_eq!(body["stream_options"], json!({"include_usage": true}));
    assert_eq!(body["messages"], json!([{"role": "user", "content": "hi"}]));
}

#[test]
fn completions_go_to_their_own_route_under_the_prefix() {
    let server = replayed("llama.cpp-b1-7e4c0a9/completions_stream.sse");
    let endpoint = format!("{}/some/prefix/v1/", server.url());
    let (answer, heard) = ask(&client(&VllmConfig { api: Api::Completions, ..config(&endpoint) }));
    assert_eq!(answer.unwrap().tokens.cached_prompt, Some(0));
    assert_eq!(heard.text("content"), "perlreperlre promptsperlre");
    let asked = &server.recorded()[0];
    assert_eq!(asked.path, "/some/prefix/v1/completions");
    assert_eq!(sent_body(asked)["prompt"], "hi");
}

#[test]
fn a_whole_answer_is_one_event_and_has_no_first_token() {
    for (path, tokens) in [
        ("vllm-0.32.0/chat_nonstream.txt", (12, 8)),
        ("llama.cpp-b1-7e4c0a9/chat_nonstream.txt", (12, 8)),
    ] {
        let raw = recorded(path);
        let server = ScriptedServer::replay(vec![vec![Step::Send(raw)]]);
        // Also a server that ignores `stream` is understood.
        for stream in [false, true] {
            let (answer, heard) = ask(&client(&VllmConfig { stream, ..config(&server.url()) }));
            let answer = answer.unwrap();
            let counts = (answer.tokens.prompt.unwrap(), answer.tokens.completion.unwrap());
            assert_eq!(counts, tokens, "{path}");
            assert_eq!(answer.finish_reason.as_deref(), Some("length"));
            assert_eq!((heard.count("whole"), heard.count("content")), (1, 0));
            assert!(heard.text("whole").contains(" patent"));
            let timed = path.starts_with("llama");
            assert_eq!(answer.server_timings.is_some(), timed, "{path}");
        }
        assert_eq!(sent_body(&server.recorded()[0])["stream"], false);
        assert!(sent_body(&server.recorded()[0]).get("stream_options").is_none());
    }
}

#[test]
fn events_of_one_read_share_its_stamp_and_later_reads_have_later_ones() {
    let event = |text: &str| {
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n").into_bytes()
    };
    let wait = std::time::Duration::from_millis(30);
    let server = ScriptedServer::start(move |_| {
        vec![
            Step::Send(server::stream_head()),
            Step::Pause(wait),
            // Two chunks in one segment, then two events in one chunk.
            Step::Send([server::chunk(&event("a")), server::chunk(&event("b"))].concat()),
            Step::Pause(wait),
            Step::Send(server::chunk(&[event("c"), event("d")].concat())),
            Step::Pause(wait),
            Step::Send([server::chunk(b"data: [DONE]\n\n"), server::chunk(b"")].concat()),
        ]
    });
    let (answer, heard) = ask(&client(&config(&server.url())));
    answer.unwrap();
    let at = heard.at("content");
    assert_eq!(at.len(), 4);
    assert!(at[0] == at[1] && at[1] < at[2] && at[2] == at[3], "{at:?}");
    assert!(heard.at("sent")[0] < heard.at("first byte")[0]);
    assert_eq!(heard.at("first byte")[0], at[0]);
}

#[test]
fn connections_are_used_again_and_a_stale_one_is_replaced_once() {
    let body = recorded("vllm-0.32.0/chat_stream_usage.sse");
    let keep = server::stream([body.as_slice()]);
    let mut close = keep.clone();
    close.push(Step::Close);
    let server = ScriptedServer::replay(vec![keep.clone(), close, keep]);
    let backend = client(&config(&server.url()));
    block_on(async {
        let request = request();
        for _ in 0..4 {
            let mut heard = Heard::default();
            backend.generate(&request, &mut heard).await.unwrap();
            // The end of the body may be a moment behind `[DONE]`.
            tokio::time::timeout(
                std::time::Duration::from_millis(30),
                std::future::pending::<()>(),
            )
            .await
            .unwrap_err();
        }
    });
    let connections: Vec<_> = server.recorded().iter().map(|asked| asked.connection).collect();
    assert_eq!(connections, [0, 0, 1, 1]);
}

/// Two requests to a server that takes the second on the kept connection and drops it without a byte.
fn second_on_a_dying_connection(rest: std::time::Duration) -> (Outcome, Vec<usize>) {
    let body = recorded("vllm-0.32.0/chat_stream_usage.sse");
    let keep = server::stream([body.as_slice()]);
    let server = ScriptedServer::replay(vec![keep.clone(), vec![Step::Reset], keep]);
    let backend = client(&config(&server.url()));
    let outcome = block_on(async {
        let request = request();
        backend.generate(&request, &mut Heard::default()).await.unwrap();
        tokio::time::timeout(rest, std::future::pending::<()>()).await.unwrap_err();
        let mut heard = Heard::default();
        (backend.generate(&request, &mut heard).await, heard)
    });
    (outcome, server.recorded().iter().map(|asked| asked.connection).collect())
}

type Outcome = (Result<Completion, BackendError>, Heard);

#[test]
fn a_connection_that_dies_as_it_is_used_after_a_rest_is_replaced_and_the_sink_hears_of_it() {
    let ((answer, heard), connections) =
        second_on_a_dying_connection(std::time::Duration::from_millis(1100));
    answer.unwrap();
    assert_eq!(connections, [0, 0, 1]);
    let kinds: Vec<_> = heard.events.iter().map(|(_, kind, _)| *kind).take(4).collect();
    assert_eq!(kinds, ["sent", "again", "sent", "first byte"]);
}

#[test]
fn a_connection_that_dies_under_a_request_without_a_rest_is_a_failure() {
    let ((answer, heard), connections) =
        second_on_a_dying_connection(std::time::Duration::from_millis(30));
    assert_eq!(answer.unwrap_err().class, FailureClass::Reset);
    assert_eq!(connections, [0, 0]);
    assert_eq!(heard.count("again"), 0);
}

#[test]
fn a_client_serves_several_runtimes() {
    let server = replayed("vllm-0.32.0/chat_stream_usage.sse");
    let backend = client(&config(&server.url()));
    for _ in 0..3 {
        ask(&backend).0.unwrap();
    }
    assert_eq!(server.connections(), 3);
}

#[test]
fn a_dropped_request_closes_its_connection() {
    let server = ScriptedServer::start(|_| {
        vec![
            Step::Send(server::stream_head()),
            Step::Send(server::chunk(b": hello\n\n")),
            Step::Pause(std::time::Duration::from_secs(2)),
        ]
    });
    let backend = client(&config(&server.url()));
    let mut heard = Heard::default();
    block_on(async {
        let request = request();
        let generate = backend.generate(&request, &mut heard);
        let limit = std::time::Duration::from_millis(200);
        tokio::time::timeout(limit, generate).await.unwrap_err();
    });
    assert_eq!((heard.count("sent"), heard.count("empty")), (1, 1));
    ask_once_more(&backend, &server);
}

/// The next request must not find the connection of the one that was given up.
fn ask_once_more(backend: &OpenAi, server: &ScriptedServer) {
    block_on(async {
        let request = request();
        let mut heard = Heard::default();
        let limit = std::time::Duration::from_millis(200);
        let _ = tokio::time::timeout(limit, backend.generate(&request, &mut heard)).await;
    });
    assert_eq!(server.connections(), 2);
}

fn with_env(config: &VllmConfig, vars: &'static [(&str, &str)]) -> Result<OpenAi, String> {
    let env = move |name: &str| {
        vars.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    OpenAi::new(config.clone(), &env).map_err(|problems| problems.to_string())
}

#[test]
fn credentials_come_from_the_url_or_the_environment_and_are_never_shown() {
    let server = replayed("vllm-0.32.0/chat_stream_usage.sse");
    let port = server.address().port();
    let in_url = config(&format!("http://me:hunter2@127.0.0.1:{port}/v1"));
    let from_env = VllmConfig { basic_auth_env: Some("PAIR".into()), ..config(&server.url()) };
    let key = VllmConfig { api_key_env: "MY_KEY".into(), ..config(&server.url()) };
    let default_key = config(&server.url());
    let basic = "Basic bWU6aHVudGVyMg==";
    let none: &[(&str, &str)] = &[];
    for (config, vars, expected) in [
        (&in_url, none, basic),
        (&in_url, &[("OPENAI_API_KEY", "sk-hunter2")], basic),
        (&from_env, &[("PAIR", "me:hunter2")], basic),
        (&key, &[("MY_KEY", "sk-hunter2\n")], "Bearer sk-hunter2"),
        (&default_key, &[("OPENAI_API_KEY", "sk-hunter2")], "Bearer sk-hunter2"),
    ] {
        let backend = with_env(config, vars).unwrap();
        assert!(!format!("{backend:?}").contains("hunter2"), "{backend:?}");
        ask(&backend).0.unwrap();
        let asked = server.recorded().pop().unwrap();
        assert_eq!(asked.header("authorization"), Some(expected));
        let info = format!("{:?}", block_on(backend.check()));
        assert!(!info.contains("hunter2") && !info.contains("bWU6"), "{info}");
    }
}

#[test]
fn a_server_that_repeats_our_key_does_not_get_it_into_an_error() {
    let body = br#"{"error":{"message":"Incorrect API key provided: sk-hunter2"}}"#;
    let said = server::answer("401 Unauthorized", "application/json", body);
    let server = ScriptedServer::replay(vec![vec![Step::Send(said)]]);
    let backend = with_env(&config(&server.url()), &[("OPENAI_API_KEY", "sk-hunter2")]).unwrap();
    let error = ask(&backend).0.unwrap_err();
    assert_eq!(error.message, "HTTP 401: Incorrect API key provided: ***");
    assert!(error.hint.unwrap().contains("api_key_env"));
}

#[test]
fn all_problems_of_the_settings_are_told_at_once_without_secrets() {
    let mut bad = VllmConfig {
        endpoint: "http://me:hunter2@gpu-box:0/v1/completions?x".into(),
        api_key_env: "MISSING".into(),
        basic_auth_env: Some("ALSO_MISSING".into()),
        connect_timeout_s: f64::NAN,
        ..config("")
    };
    bad.extra_body.insert("stream".into(), json!(true));
    let problems = validate(&bad, &no_env);
    let places: Vec<_> = problems.iter().map(|problem| problem.place.as_str()).collect();
    assert_eq!(
        places,
        [
            "backend.endpoint",
            "backend.endpoint",
            "backend.api_key_env",
            "backend.basic_auth_env",
            "backend.connect_timeout_s",
            "backend.extra_body.stream"
        ]
    );
    assert!(!format!("{problems:?}").contains("hunter2"));
    assert!(validate(&config("http://127.0.0.1:8001/v1"), &no_env).is_empty());
    let wrong_api = validate(&config("http://h/v1/completions"), &no_env);
    assert_eq!(wrong_api[0].place, "backend.api");
}

#[test]
fn credentials_over_plain_http_to_another_host_are_refused_unless_allowed() {
    let key: &[(&str, &str)] = &[("OPENAI_API_KEY", "sk-hunter2")];
    let far = config("http://gpu-box:8000");
    let refused = with_env(&far, key).unwrap_err();
    assert!(refused.contains("plain text") && refused.contains("allow_insecure_auth"), "{refused}");
    assert!(!refused.contains("hunter2"));
    let far_pair = with_env(&config("http://me:hunter2@gpu-box"), &[]).unwrap_err();
    assert!(far_pair.contains("plain text") && !far_pair.contains("hunter2"));
    for fine in [
        VllmConfig { allow_insecure_auth: true, ..far.clone() },
        VllmConfig { api_key_env: String::new(), ..far },
        config("http://localhost:8000"),
        config("https://gpu-box"),
    ] {
        with_env(&fine, key).unwrap();
    }
}

#[test]
fn two_kinds_of_credentials_or_bad_ones_are_problems() {
    let pair = VllmConfig { basic_auth_env: Some("PAIR".into()), ..config("https://h") };
    let both = VllmConfig { api_key_env: "KEY".into(), ..pair.clone() };
    let vars: &[(&str, &str)] = &[("PAIR", "me:hunter2"), ("KEY", "sk-hunter2")];
    assert!(with_env(&both, vars).unwrap_err().contains("both a key and basic auth"));
    let twice = VllmConfig { endpoint: "https://a:b@h".into(), ..pair.clone() };
    assert!(with_env(&twice, vars).unwrap_err().contains("a user of its own"));
    assert!(with_env(&pair, &[("PAIR", "hunter2")]).unwrap_err().contains("user:password"));
    let broken = with_env(&config("https://h"), &[("OPENAI_API_KEY", "hunter\n2")]).unwrap_err();
    assert!(broken.contains("header cannot carry") && !broken.contains("hunter"), "{broken}");
}

const TLS: (&[u8], &[u8]) =
    (include_bytes!("../data/tls/server.pem"), include_bytes!("../data/tls/server.key"));

#[test]
fn https_works_with_an_authority_from_ssl_cert_file_and_not_without() {
    let body = recorded("vllm-0.32.0/chat_stream_usage.sse");
    let server =
        ScriptedServer::start_tls(TLS.0, TLS.1, move |_| server::stream([body.as_slice()]));
    let roots = |name: &str| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls/ca.pem");
        (name == "SSL_CERT_FILE").then(|| path.to_owned())
    };
    let by_name = format!("https://localhost:{}", server.address().port());
    for url in [server.url(), by_name] {
        let trusting = OpenAi::new(config(&url), &roots).unwrap();
        let (answer, heard) = ask(&trusting);
        assert_eq!(answer.unwrap().tokens.completion, Some(12));
        assert_eq!((heard.count("sent"), heard.count("content")), (1, 12));
    }
    let error = ask(&client(&config(&server.url()))).0.unwrap_err();
    assert_eq!(error.class, FailureClass::Tls);
    assert!(error.hint.unwrap().contains("SSL_CERT_FILE"));
    let missing = |name: &str| (name == "SSL_CERT_FILE").then(|| "/nonexistent.pem".to_owned());
    let problems = validate(&config(&server.url()), &missing);
    assert_eq!(problems[0].place, "SSL_CERT_FILE");
}

#[test]
fn http_and_https_mixed_up_are_told_apart() {
    let plain = ScriptedServer::start(|_| vec![Step::Close]);
    let url = plain.url().replace("http://", "https://");
    let error = ask(&client(&config(&url))).0.unwrap_err();
    assert_eq!(error.class, FailureClass::Tls);
    let tls = ScriptedServer::start_tls(TLS.0, TLS.1, |_| vec![Step::Close]);
    let url = tls.url().replace("https://", "http://");
    let error = ask(&client(&config(&url))).0.unwrap_err();
    assert!(matches!(error.class, FailureClass::Protocol | FailureClass::Reset), "{error:?}");
}
