//! The check before a run against the recorded answers of each tested server.

use ai_energy_benchmarks::backend::openai::TESTED;
use ai_energy_benchmarks::backend::{Backend, BackendError, CheckReport};
use ai_energy_benchmarks::config::component::backend::VllmConfig;
use ai_energy_benchmarks::record::{FailureClass, Weights};
use ai_energy_benchmarks_testkit::server::{Recorded, ScriptedServer, Step, answer};
use serde_json::json;

use crate::openai::{block_on, client, config, recorded};

const NOT_FOUND: &str = "404 Not Found";

/// A server that answers the check's questions as the recorded one did. What was not recorded is not there.
fn impersonate(folder: &'static str) -> ScriptedServer {
    ScriptedServer::start(move |asked| {
        let file = match asked.path.as_str() {
            "/health" => "health.txt",
            "/version" => "version.txt",
            "/v1/models" => "models.txt",
            "/openapi.json" if folder.starts_with("transformers") => "openapi.txt",
            // llama-server gives its build under the same name as in its answers' fingerprints.
            "/props" if folder.starts_with("llama") => {
                let body = br#"{"total_slots":4,"build_info":"b1-7e4c0a9"}"#;
                return vec![Step::Send(answer("200 OK", "application/json", body))];
            }
            _ => return vec![Step::Send(answer(NOT_FOUND, "text/plain", b""))],
        };
        vec![Step::Send(recorded(&format!("{folder}/{file}")))]
    })
}

fn check(config: &VllmConfig) -> Result<CheckReport, BackendError> {
    block_on(client(config).check())
}

fn codes(report: &CheckReport) -> Vec<&str> {
    report.warnings.iter().map(|warning| warning.code.as_str()).collect()
}

#[test]
fn vllm_is_recognised_with_its_version_and_context() {
    let server = impersonate("vllm-0.32.0");
    let report = check(&config(&format!("{}/v1", server.url()))).unwrap();
    let info = &report.info;
    assert_eq!((info.kind.as_str(), info.model.as_str()), ("vllm", "tiny-llama"));
    assert_eq!(info.server.as_deref(), Some("vLLM"));
    assert_eq!(info.server_version.as_deref(), Some("0.32.0"));
    assert_eq!(info.endpoint, Some(format!("{}/v1", server.url())));
    assert_eq!(info.details["max_model_len"], json!(2048));
    assert_eq!(info.weights, Weights::Unknown);
    assert!(report.warnings.is_empty(), "{report:?}");
}

#[test]
fn vllm_on_a_gpu_is_recognised_too() {
    let server = impersonate("vllm-0.20.0");
    let model = "openai/gpt-oss-20b".to_owned();
    let report = check(&VllmConfig { model, ..config(&server.url()) }).unwrap();
    assert_eq!(report.info.server_version.as_deref(), Some("0.20.0"));
    assert!(report.warnings.is_empty(), "{report:?}");
}

#[test]
fn a_server_on_loopback_is_local_and_its_process_is_found() {
    let server = impersonate("vllm-0.32.0");
    let info = check(&config(&server.url())).unwrap().info;
    assert!(info.local && info.local_reason.contains("127.0.0.1"), "{info:?}");
    // The scripted server lives in this very process.
    if cfg!(target_os = "linux") {
        assert!(info.pids.contains(&std::process::id()), "{info:?}");
    }
}

#[test]
fn llama_server_is_recognised_and_its_aliases_count() {
    let server = impersonate("llama.cpp-b1-7e4c0a9");
    let report = check(&config(&server.url())).unwrap();
    assert_eq!(report.info.server.as_deref(), Some("llama.cpp"));
    assert_eq!(report.info.server_version.as_deref(), Some("b1-7e4c0a9"));
    assert_eq!(report.info.details["max_model_len"], json!(2048));
    assert_eq!(report.info.details["weights_format"], json!("F16"));
    assert!(report.warnings.is_empty(), "{report:?}");
}

#[test]
fn transformers_serve_is_recognised_and_its_list_is_no_guide() {
    let server = impersonate("transformers-serve-5.23.0");
    let model = "models/tiny-llama".to_owned();
    let report = check(&VllmConfig { model, ..config(&server.url()) }).unwrap();
    assert_eq!(report.info.server.as_deref(), Some("transformers serve"));
    assert_eq!(report.info.server_version, None);
    assert_eq!(codes(&report), ["model_not_checked", "untested_server_version"]);
}

#[test]
fn a_model_that_the_server_lacks_ends_the_check_with_the_list() {
    for folder in ["vllm-0.32.0", "llama.cpp-b1-7e4c0a9"] {
        let server = impersonate(folder);
        let error = check(&VllmConfig { model: "tiny-lama".into(), ..config(&server.url()) });
        let error = error.unwrap_err();
        assert!(error.message.contains("`tiny-lama`"), "{error:?}");
        assert!(error.hint.unwrap().contains("did you mean `tiny-llama`"));
        let error = check(&VllmConfig { model: String::new(), ..config(&server.url()) });
        assert!(error.unwrap_err().hint.unwrap().contains("tiny-llama"));
    }
}

#[test]
fn an_untested_version_and_an_unknown_server_are_cautioned() {
    let models = recorded("vllm-0.32.0/models.txt");
    let server = ScriptedServer::start(move |asked| {
        vec![Step::Send(match asked.path.as_str() {
            "/v1/models" => models.clone(),
            "/version" => answer("200 OK", "application/json", br#"{"version":"0.1.2"}"#),
            _ => answer(NOT_FOUND, "text/plain", b""),
        })]
    });
    let report = check(&config(&server.url())).unwrap();
    assert_eq!(codes(&report), ["untested_server_version"]);
    assert!(report.warnings[0].message.contains("vLLM 0.1.2 was not tested"));
    let broken = |asked: &Recorded| match asked.path.as_str() {
        "/v1/models" => "500 Internal Server Error",
        _ => "200 OK",
    };
    let broken = ScriptedServer::start(move |asked| {
        vec![Step::Send(answer(broken(asked), "text/plain", b""))]
    });
    assert_eq!(codes(&check(&config(&broken.url())).unwrap())[0], "model_not_checked");
    let nothing = ScriptedServer::start(|_| vec![Step::Send(answer(NOT_FOUND, "text/plain", b""))]);
    let report = check(&config(&nothing.url())).unwrap();
    assert_eq!((report.info.server.as_ref(), report.info.server_version.as_ref()), (None, None));
    assert_eq!(codes(&report), ["model_not_checked", "untested_server_version"]);
}

#[test]
fn tgi_is_recognised_by_its_info_route() {
    let server = ScriptedServer::start(|asked| {
        vec![Step::Send(match asked.path.as_str() {
            "/info" => {
                answer("200 OK", "application/json", br#"{"model_id":"m","version":"3.3.4"}"#)
            }
            "/v1/models" => {
                answer("200 OK", "application/json", br#"{"data":[{"id":"tiny-llama"}]}"#)
            }
            _ => answer("200 OK", "text/plain", b""),
        })]
    });
    let info = check(&config(&server.url())).unwrap().info;
    assert_eq!(info.server.as_deref(), Some("TGI"));
    assert_eq!(info.server_version.as_deref(), Some("3.3.4"));
}

#[test]
fn a_server_that_is_down_loading_or_closed_ends_the_check() {
    let error = check(&config("http://127.0.0.1:1")).unwrap_err();
    assert_eq!(error.class, FailureClass::Connect);
    let says = |status: &'static str| {
        ScriptedServer::start(move |_| vec![Step::Send(answer(status, "text/plain", b"wait"))])
    };
    let loading = says("503 Service Unavailable");
    let error = check(&config(&loading.url())).unwrap_err();
    assert!(error.is_retryable() && error.hint.unwrap().contains("loading"));
    let closed = says("401 Unauthorized");
    let error = check(&config(&closed.url())).unwrap_err();
    assert!(error.hint.unwrap().contains("credentials"));
}

#[test]
fn every_tested_version_has_its_recordings_and_nothing_else_has() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/servers");
    let mut recorded: Vec<String> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    let mut tested: Vec<String> = TESTED
        .iter()
        .map(|row| format!("{}-{}", row.server.to_lowercase().replace(' ', "-"), row.version))
        .collect();
    recorded.sort();
    tested.sort();
    assert_eq!(recorded, tested);
}
