//! Answers as they should be.

use ai_energy_benchmarks_mockserver::{MockConfig, MockServer, Timing, tokens};
use serde_json::{Value, json};

use crate::client::{Client, End, Got};

/// A server that answers at once.
pub(crate) fn quick() -> MockConfig {
    let timing = Timing { ttft_ms: 0.0, gap_ms: 0.0, ..Timing::default() };
    MockConfig { timing, tokens: 6, keep_requests: true, ..MockConfig::default() }
}

#[test]
fn a_streamed_chat_has_role_tokens_finish_usage_and_done() {
    let server = MockServer::start(quick()).unwrap();
    let got = Client::of(&server).chat(&json!({}));
    assert_eq!((got.status(), got.end), (200, End::Whole));
    let events = got.events();
    assert_eq!(events.len(), 1 + 6 + 1);
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    assert!(events.iter().all(|event| event["object"] == "chat.completion.chunk"));
    assert!(events.iter().all(|event| event["id"] == events[0]["id"] && event["model"] == "m"));
    let finishes: Vec<&Value> =
        events[1..7].iter().map(|event| &event["choices"][0]["finish_reason"]).collect();
    assert!(finishes[..5].iter().all(|finish| finish.is_null()));
    assert_eq!(finishes[5], "stop");
    assert!(got.is_done());
    let usage = got.usage().unwrap();
    assert_eq!(usage["prompt_tokens"], 3 + tokens::MESSAGE_TOKENS + tokens::ANSWER_TOKENS);
    assert_eq!(usage["completion_tokens"], 6);
    assert_eq!(tokens::count(&got.texts().concat()), 6);
}

#[test]
fn completions_stream_text_and_end_by_their_limit() {
    let server = MockServer::start(quick()).unwrap();
    let body = json!({"prompt": "a b", "stream": true, "max_tokens": 4});
    let got = Client::of(&server).post("/v1/completions", &body);
    let events = got.events();
    assert_eq!(events.len(), 4, "no role, and no usage that was not asked for");
    assert_eq!(events[3]["choices"][0]["finish_reason"], "length");
    assert!(got.is_done());
}

#[test]
fn an_answer_in_one_piece_says_the_same() {
    let server = MockServer::start(quick()).unwrap();
    for (path, body) in [
        ("/v1/chat/completions", json!({"messages": [{"content": "a b"}], "max_tokens": 3})),
        ("/v1/completions", json!({"prompt": "a b", "max_tokens": 3})),
    ] {
        let answer = Client::of(&server).post(path, &body).json();
        let choice = &answer["choices"][0];
        let text = choice["message"]["content"].as_str().or(choice["text"].as_str()).unwrap();
        assert_eq!(tokens::count(text), 3);
        assert_eq!(answer["usage"]["completion_tokens"], 3);
        assert_eq!(choice["finish_reason"], "length");
    }
}

#[test]
fn one_connection_takes_one_request_after_the_other_and_many_at_once() {
    let server = MockServer::start(quick()).unwrap();
    let mut client = Client::of(&server);
    for _ in 0..3 {
        assert_eq!(client.chat(&json!({})).texts().len(), 6);
    }
    let one = "GET /health HTTP/1.1\r\n\r\n";
    client.send_bytes(one.repeat(40).as_bytes());
    for _ in 0..40 {
        assert_eq!(client.read().status(), 200);
    }
    assert_eq!(server.stats().connections, 1);
}

#[test]
fn a_client_that_asks_to_close_gets_the_answer_and_then_the_end() {
    let server = MockServer::start(quick()).unwrap();
    let mut client = Client::of(&server);
    client.send_bytes(b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n");
    let got = client.read();
    assert_eq!(got.header("connection").as_deref(), Some("close"));
    assert_eq!(client.read().end, End::Cut);
}

#[test]
fn tokens_per_event_and_coalescing_change_the_packing_and_nothing_else() {
    let server = MockServer::start(quick()).unwrap();
    let texts = |mock: Value| {
        let own = json!({"mock": mock, "max_tokens": 10, "ignore_eos": true});
        let got = Client::of(&server).chat(&own);
        assert_eq!(got.usage().unwrap()["completion_tokens"], 10);
        got.texts()
    };
    assert_eq!(texts(json!({})).len(), 10);
    let packed = texts(json!({"tokens_per_event": 4}));
    let sizes: Vec<u64> = packed.iter().map(|text| tokens::count(text)).collect();
    assert_eq!(sizes, [4, 4, 2]);
    assert_eq!(texts(json!({"coalesce": 4})).len(), 10);
    let log = server.requests();
    assert_eq!(log[1].events, [1, 1, 1]);
    assert_eq!(log[2].events, [1, 4, 4, 1]);
}

#[test]
fn sends_follow_the_absolute_schedule_and_events_carry_their_own_stamp() {
    let server = MockServer::start(quick()).unwrap();
    let mock = json!({"ttft_ms": 5, "gap_ms": 0.5, "stamp_events": true});
    let got =
        Client::of(&server).chat(&json!({"max_tokens": 20, "ignore_eos": true, "mock": mock}));
    let stamps: Vec<u64> = got.events().iter().filter_map(|event| event["t_ns"].as_u64()).collect();
    let log = server.requests().remove(0);
    assert_eq!(stamps, log.sent_ns, "the stamp in the event is the stamp in the log");
    assert_eq!(Some(log.received_ns), log.started_ns);
    for (k, (due, sent)) in log.due_ns.iter().zip(&log.sent_ns).enumerate() {
        assert_eq!(*due, log.received_ns + 5_000_000 + 500_000 * k as u64, "no drift");
        assert!(sent >= due, "nothing leaves before its time");
    }
    assert!(log.sent_ns.is_sorted());
    assert_eq!(server.stats().lag.sends, 20);
}

#[test]
fn jitter_is_the_same_for_the_same_seed_and_request() {
    let offsets = |seed| {
        let timing = Timing {
            gap_ms: 0.1,
            ttft_ms: 0.1,
            gap_jitter: "exponential:0.2".parse().unwrap(),
            ttft_jitter: "uniform:0.1".parse().unwrap(),
        };
        let server = MockServer::start(MockConfig { seed, timing, ..quick() }).unwrap();
        Client::of(&server).chat(&json!({}));
        let log = server.requests().remove(0);
        log.due_ns.iter().map(|due| due - log.received_ns).collect::<Vec<_>>()
    };
    assert_eq!(offsets(1), offsets(1));
    assert_ne!(offsets(1), offsets(2));
}

#[test]
fn the_role_comes_where_it_was_asked_to() {
    let server = MockServer::start(quick()).unwrap();
    let roles = |place: &str| {
        let got = Client::of(&server).chat(&json!({"mock": {"role_event": place}}));
        let role = |event: &Value| event["choices"][0]["delta"]["role"] == "assistant";
        got.events().iter().map(role).collect::<Vec<_>>()
    };
    for place in ["with_first", "at_start"] {
        let roles = roles(place);
        assert!(roles[0] && roles[1..].iter().all(|role| !role), "{place}");
    }
    assert!(roles("none").iter().all(|role| !role));
}

#[test]
fn other_endpoints_answer_in_the_shapes_of_vllm() {
    let server = MockServer::start(quick()).unwrap();
    let mut client = Client::of(&server);
    assert_eq!(client.get("/health").body(), b"");
    assert_eq!(client.get("/v1/models?x=1").json()["data"][0]["id"], "mock-model");
    let tokenized = client.post("/tokenize", &json!({"prompt": "one two three"})).json();
    assert_eq!(tokenized["count"], 3);
    assert_eq!(tokenized["tokens"].as_array().unwrap().len(), 3);
    assert_eq!(client.get("/nothing").status(), 404);
    assert_eq!(client.get("/v1/completions").status(), 405);
    assert_eq!(client.post("/v1/completions", &json!({"prompt": 3.5})).status(), 400);
}

#[test]
fn what_is_not_http_is_answered_and_closed() {
    let server = MockServer::start(quick()).unwrap();
    let mut client = Client::of(&server);
    client.send_bytes(b"\x16\x03\x01 hello\r\n\r\n");
    assert_eq!(client.read().status(), 400);
    assert_eq!(client.read().end, End::Cut);
}

#[test]
fn an_answer_is_named_by_the_requests_own_id() {
    let server = MockServer::start(quick()).unwrap();
    let mut client = Client::of(&server);
    let body = json!({"prompt": "a"}).to_string();
    client.send_bytes(
        format!(
            "POST /v1/completions HTTP/1.1\r\nX-Request-Id: r-7\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .as_bytes(),
    );
    assert_eq!(client.read().json()["id"], "cmpl-r-7");
    assert_eq!(server.requests()[0].x_request_id.as_deref(), Some("r-7"));
}

#[test]
fn a_client_that_waits_for_100_continue_is_told_to_go_on() {
    let server = MockServer::start(quick()).unwrap();
    let mut client = Client::of(&server);
    client.send_bytes(
        b"POST /tokenize HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 16\r\n\r\n",
    );
    client.send_bytes(br#"{"prompt":"a b"}"#);
    let Got { bytes, .. } = client.read();
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains(r#""count":2"#) || text.starts_with("HTTP/1.1 100"), "{text}");
}
