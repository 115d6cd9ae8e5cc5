//! Every way in which a server can fail a request, and the class that each is counted under.

use std::net::TcpListener;
use std::time::Duration;

use ai_energy_benchmarks::backend::BackendError;
use ai_energy_benchmarks::config::component::backend::VllmConfig;
use ai_energy_benchmarks::record::FailureClass;
use ai_energy_benchmarks::units::Seconds;
use ai_energy_benchmarks_testkit::server::{self, ScriptedServer, Step};

use crate::openai::{Heard, ask, client, config, recorded};

const PIECE: &[u8] = b"data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";

fn failure(steps: Vec<Step>) -> (BackendError, Heard) {
    let server = ScriptedServer::replay(vec![steps]);
    let (answer, heard) = ask(&client(&config(&server.url())));
    (answer.expect_err("a failure"), heard)
}

fn answered(status: &str, headers: &str, body: &str) -> Vec<Step> {
    let length = body.len();
    vec![Step::Send(
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}")
            .into_bytes(),
    )]
}

#[test]
fn nobody_listening_is_a_connect_failure_with_a_hint() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (answer, heard) = ask(&client(&config(&format!("http://127.0.0.1:{port}"))));
    let error = answer.unwrap_err();
    assert_eq!(error.class, FailureClass::Connect);
    assert!(error.is_retryable());
    assert!(error.message.contains(&port.to_string()) && error.message.contains("refused"));
    assert!(error.hint.unwrap().contains("is the server running"));
    assert!(heard.events.is_empty());
}

#[test]
fn an_unknown_host_and_a_silent_one_are_connect_failures() {
    let (answer, _) = ask(&client(&config("http://no-such-host.invalid:8000")));
    assert_eq!(answer.unwrap_err().class, FailureClass::Connect);
    // A TLS handshake that nobody answers is part of connecting.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", silent.local_addr().unwrap());
    let (answer, _) = ask(&client(&VllmConfig { connect_timeout_s: 0.2, ..config(&url) }));
    let error = answer.unwrap_err();
    assert_eq!(error.class, FailureClass::Connect);
    assert!(error.message.contains("no answer in 0.2 s"), "{error:?}");
}

#[test]
fn error_statuses_carry_the_servers_message_and_the_wait_it_asks_for() {
    for (path, status, said, hint) in [
        ("vllm-0.32.0/err_404model.txt", 404, "Valid aliases: tiny-llama", "backend.model"),
        ("vllm-0.32.0/err_toolong.txt", 400, "cannot be greater than", "max_new_tokens"),
        ("vllm-0.32.0/err_badjson.txt", 400, "JSON decode error", ""),
        ("llama.cpp-b1-7e4c0a9/err_badjson.txt", 500, "parse error", ""),
        ("transformers-serve-5.23.0/err_extra_body.txt", 422, "Unexpected fields", ""),
        ("transformers-serve-5.23.0/chat_nonstream.txt", 422, "ignore_eos", "min_new_tokens"),
        ("transformers-serve-5.23.0/err_404model.txt", 400, "Server is pinned", ""),
        ("transformers-serve-5.23.0/err_badjson.txt", 422, "`body`.`9`: JSON decode", ""),
        ("transformers-serve-5.23.0/err_negmax.txt", 500, "Internal Server Error", ""),
    ] {
        let (error, heard) = failure(vec![Step::Send(recorded(path))]);
        assert_eq!((error.class, error.http_status), (FailureClass::HttpStatus, Some(status)));
        assert!(error.message.contains(said), "{path}: {error:?}");
        assert!(error.hint.clone().unwrap_or_default().contains(hint), "{path}: {error:?}");
        assert!(!error.is_retryable(), "{path}");
        assert_eq!(heard.count("first byte"), 0, "an error's body is no answer");
    }
    let torn = "HTTP/1.1 500 Oh\r\ncontent-length: 99\r\n\r\nhalf a mess";
    let (error, _) = failure(vec![Step::Send(torn.into()), Step::Close]);
    assert_eq!(error.message, "HTTP 500: half a mess");
    let (error, _) = failure(answered("429 Too Many Requests", "retry-after: 2\r\n", "slow down"));
    assert_eq!(error.retry_after, Some(Seconds(2.0)));
    assert!(error.is_retryable() && error.message == "HTTP 429: slow down");
    let (error, _) = failure(answered("503 Service Unavailable", "", ""));
    assert!(error.is_retryable() && error.hint.unwrap().contains("loading"));
    let (error, _) = failure(answered("307 Temporary", "location: https://x/v1\r\n", ""));
    assert!(error.hint.unwrap().contains("https://x/v1"));
}

#[test]
fn a_connection_that_breaks_is_a_reset_wherever_it_breaks() {
    let head = Step::Send(server::stream_head());
    let piece = Step::Send(server::chunk(PIECE));
    let torn = Step::Send(server::chunk(PIECE)[..20].to_vec());
    let half_event = Step::Send(server::chunk(&PIECE[..20]));
    let end = Step::Send(server::chunk(b""));
    let pause = Step::Pause(Duration::from_millis(30));
    for (name, steps, contents) in [
        ("before the head", vec![Step::Reset], 0),
        ("closed before the head", vec![Step::Close], 0),
        ("after the head", vec![head.clone(), Step::Close], 0),
        ("between chunks", vec![head.clone(), piece.clone(), pause, Step::Reset], 1),
        ("within a chunk", vec![head.clone(), piece.clone(), torn, Step::Close], 1),
        ("ended too early", vec![head.clone(), piece.clone(), end.clone()], 1),
        ("ended within an event", vec![head.clone(), piece, half_event, end.clone()], 1),
        ("ended at once", vec![head, end], 0),
    ] {
        let (error, heard) = failure(steps);
        assert_eq!(error.class, FailureClass::Reset, "{name}: {error:?}");
        assert_eq!(heard.count("content"), contents, "{name}");
        assert!(!error.is_retryable(), "{name}");
    }
}

#[test]
fn what_is_not_the_protocol_is_told_so() {
    let stream = |bytes: &[u8]| server::stream([bytes]);
    let huge = [b"data: \"".as_slice(), &vec![b'x'; 17 << 20]].concat();
    for (name, steps) in [
        ("not HTTP", vec![Step::Send(b"SSH-2.0-x\r\n".to_vec()), Step::Close]),
        ("not JSON", stream(b"data: hello\n\n")),
        ("not an object", stream(b"data: 7\n\n")),
        ("half an object", stream(b"data: {\"choices\":[\n\n")),
        ("an event without bounds", stream(&huge)),
        ("bad chunk", vec![Step::Send(server::stream_head()), Step::Send(b"zz\r\n".to_vec())]),
        ("empty", answered("200 OK", "content-type: application/json\r\n", "")),
        ("no choices", answered("200 OK", "content-type: application/json\r\n", "{}")),
        ("a page", answered("200 OK", "content-type: application/json\r\n", "<html>")),
    ] {
        let (error, _) = failure(steps);
        assert_eq!(error.class, FailureClass::Protocol, "{name}: {error:?}");
        assert!(error.message.len() < 600, "{name}: {}", error.message.len());
    }
}

#[test]
fn an_error_inside_a_stream_is_the_servers_whatever_its_shape() {
    for event in [
        "data: {\"error\":{\"message\":\"out of memory\",\"code\":500}}\n\n",
        "data: {\"error\":\"out of memory\",\"error_type\":\"overloaded\"}\n\n",
        "data: {\"object\":\"error\",\"message\":\"out of memory\"}\n\n",
        "event: error\ndata: {\"message\":\"out of memory\"}\n\n",
        "event: error\ndata: out of memory\n\n",
        "{\"error\":{\"message\":\"out of memory\"}}\n",
        "{\"error\":{\"message\":\"out of memory\"}}",
    ] {
        let (error, heard) = failure(server::stream([PIECE, event.as_bytes()]));
        assert_eq!(error.class, FailureClass::StreamError, "{event}: {error:?}");
        assert_eq!(error.message, "the server reports: out of memory", "{event}");
        assert_eq!(heard.count("content"), 1, "{event}");
    }
    let body = "{\"error\":{\"message\":\"no\"}}";
    let (error, _) = failure(answered("200 OK", "content-type: application/json\r\n", body));
    assert_eq!(error.class, FailureClass::StreamError);
}

#[test]
fn hanging_up_after_the_finish_reason_or_done_is_no_failure() {
    let finish = b"data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    for last in [finish.as_slice(), b"data: [DONE]\n\n", b"data: [DONE]"] {
        let server = ScriptedServer::start(move |_| {
            let send = |bytes: &[u8]| Step::Send(server::chunk(bytes));
            vec![Step::Send(server::stream_head()), send(PIECE), send(last), Step::Close]
        });
        let (answer, heard) = ask(&client(&config(&server.url())));
        let done = answer.map(|answer| answer.tokens.completion);
        // Without its line end `[DONE]` counts only when the stream ends in order.
        if last.ends_with(b"\n\n") {
            assert_eq!(done.unwrap(), None);
        } else {
            assert_eq!(done.unwrap_err().class, FailureClass::Reset);
        }
        assert_eq!(heard.count("content"), 1);
    }
}
