//! Every fault is seen by a client as what it is, and counted.

use std::net::TcpStream;

use ai_energy_benchmarks_mockserver::{
    Fault, FaultKind, FaultRule, MockConfig, MockServer, Outcome,
};
use serde_json::{Value, json};

use crate::answers::quick;
use crate::client::{Client, End, Got};

/// A streamed answer of six tokens to a request that names its fault.
fn planted(fault: &Value) -> (Got, MockServer) {
    let server = MockServer::start(quick()).unwrap();
    let got = Client::of(&server).patience_ms(400).chat(&json!({"mock": fault}));
    (got, server)
}

/// The same, unstreamed.
fn planted_whole(fault: &Value) -> (Got, MockServer) {
    let server = MockServer::start(quick()).unwrap();
    let body = json!({"stream": false, "mock": fault});
    let got = Client::of(&server).patience_ms(400).chat(&body);
    (got, server)
}

#[test]
fn reset_before_breaks_off_without_a_byte() {
    for (got, server) in [
        planted(&json!({"fault": "reset_before"})),
        planted_whole(&json!({"fault": "reset_before"})),
    ] {
        assert_eq!((got.end, got.bytes.len()), (End::Reset, 0));
        assert_eq!(server.stats().planted(FaultKind::ResetBefore), 1);
        assert_eq!(server.requests()[0].outcome, Outcome::Faulted);
    }
}

#[test]
fn reset_after_breaks_off_behind_whole_events() {
    let fault = json!({"fault": "reset_after", "fault_numbers": {"after_events": 2}, "gap_ms": 20});
    let (got, _server) = planted(&fault);
    assert_eq!((got.end, got.texts().len()), (End::Reset, 2));
    let (got, _server) = planted_whole(&json!({"fault": "reset_after"}));
    // What came before the break may be lost with it.
    assert_eq!(got.end, End::Reset);
}

#[test]
fn stall_falls_silent_where_it_is_told_to() {
    let (got, _server) = planted(&json!({"fault": "stall"}));
    assert_eq!((got.end, got.bytes.len()), (End::Silent, 0));
    let (got, _server) = planted(&json!({"fault": "stall", "fault_numbers": {"after_events": 0}}));
    assert_eq!((got.end, got.status(), got.texts().len()), (End::Silent, 200, 0));
    let (got, _server) = planted(&json!({"fault": "stall", "fault_numbers": {"after_events": 3}}));
    assert_eq!((got.end, got.texts().len()), (End::Silent, 3));
    let (got, _server) = planted_whole(&json!({"fault": "stall"}));
    assert_eq!((got.end, got.bytes.len()), (End::Silent, 0));
}

#[test]
fn drip_and_slow_headers_give_the_same_answer_in_the_end() {
    for fault in ["drip", "slow_headers"] {
        let mock = json!({"fault": fault, "fault_numbers": {"byte_gap_ms": 0.01}});
        let (got, server) = planted(&mock);
        assert_eq!((got.end, got.texts().len(), got.is_done()), (End::Whole, 6, true), "{fault}");
        assert_eq!(server.stats().completed(), 1);
        let (got, _server) = planted_whole(&mock);
        assert_eq!(got.json()["usage"]["completion_tokens"], 6);
    }
}

#[test]
fn statuses_come_with_their_headers() {
    for (fault, status) in
        [("status_429", 429), ("status_500", 500), ("status_502", 502), ("status_503", 503)]
    {
        let (got, server) =
            planted(&json!({"fault": fault, "fault_numbers": {"retry_after_s": 7}}));
        assert_eq!(got.status(), status);
        let retry = got.header("retry-after");
        assert_eq!(retry.as_deref(), (status == 429).then_some("7"));
        assert_eq!(server.stats().faulted, 1);
    }
}

#[test]
fn malformed_json_is_one_broken_event_in_a_stream_that_goes_on() {
    let (got, server) = planted(&json!({"fault": "malformed_json"}));
    let broken: Vec<String> = got
        .data()
        .into_iter()
        .filter(|data| data != "[DONE]" && serde_json::from_str::<Value>(data).is_err())
        .collect();
    assert_eq!(broken.len(), 1);
    assert_eq!((got.texts().len(), got.is_done()), (5, true));
    assert_eq!(got.usage().unwrap()["completion_tokens"], 6);
    assert_eq!(server.stats().generation_tokens, 6);
    let (got, _server) = planted_whole(&json!({"fault": "malformed_json"}));
    assert_eq!(got.end, End::Whole);
    assert!(serde_json::from_slice::<Value>(got.body()).is_err());
}

#[test]
fn half_event_ends_in_order_inside_an_event() {
    let (got, server) =
        planted(&json!({"fault": "half_event", "fault_numbers": {"after_events": 2}}));
    assert_eq!((got.end, got.texts().len()), (End::Cut, 2));
    assert!(serde_json::from_str::<Value>(got.data().last().unwrap()).is_err());
    assert_eq!(server.stats().generation_tokens, 2);
    let (got, _server) = planted_whole(&json!({"fault": "half_event"}));
    assert_eq!(got.end, End::Cut);
}

#[test]
fn error_event_tells_of_an_error_inside_the_stream() {
    let (got, server) = planted(&json!({"fault": "error_event"}));
    let error = got.events().into_iter().find(|event| !event["error"].is_null()).unwrap();
    assert_eq!(error["error"]["code"], 500);
    assert_eq!((got.texts().len(), got.is_done(), got.usage()), (3, true, None));
    assert_eq!(server.stats().faulted, 1);
    assert_eq!(planted_whole(&json!({"fault": "error_event"})).0.status(), 500);
}

#[test]
fn missing_done_and_missing_usage_leave_out_just_that() {
    let (got, _server) = planted(&json!({"fault": "missing_done"}));
    assert_eq!((got.end, got.is_done(), got.texts().len()), (End::Whole, false, 6));
    assert!(got.usage().is_some());
    let (got, _server) = planted(&json!({"fault": "missing_usage"}));
    assert_eq!((got.is_done(), got.usage()), (true, None));
}

#[test]
fn wrong_usage_is_wrong_by_what_was_asked_and_the_counters_tell_the_truth() {
    let (got, server) = planted(&json!({"fault": "wrong_usage", "fault_numbers": {"tokens": -2}}));
    assert_eq!(got.usage().unwrap()["completion_tokens"], 4);
    assert_eq!(server.stats().generation_tokens, 6);
    let (got, _server) = planted_whole(&json!({"fault": "wrong_usage"}));
    assert_eq!(got.json()["usage"]["completion_tokens"], 13);
}

#[test]
fn huge_event_is_as_large_as_was_asked() {
    let bytes = 3 << 20;
    let (got, _server) =
        planted(&json!({"fault": "huge_event", "fault_numbers": {"bytes": bytes}}));
    let texts = got.texts();
    assert_eq!(texts.len(), 6);
    assert_eq!(texts[3].len(), 5 + bytes);
    assert!(got.is_done());
}

#[test]
fn endless_ignores_every_limit_until_the_client_leaves() {
    let server = MockServer::start(quick()).unwrap();
    let mut client = Client::of(&server).patience_ms(100);
    let mock = json!({"fault": "endless", "gap_ms": 1});
    client.send(
        "POST",
        "/v1/chat/completions",
        &crate::client::chat_body(&json!({"mock": mock, "max_tokens": 2})).to_string(),
    );
    while server.stats().generation_tokens < 50 {
        std::thread::yield_now();
    }
    drop(client);
    while server.stats().faulted == 0 {
        std::thread::yield_now();
    }
    assert_eq!((server.stats().running, server.stats().kv_tokens), (0, 0));
}

#[test]
fn refuse_breaks_off_a_connection_before_anything_is_read() {
    let faults = vec![FaultRule::requests(Fault::new(FaultKind::Refuse), &[1])];
    let server = MockServer::start(MockConfig { faults, ..quick() }).unwrap();
    let ends: Vec<End> = (0..3).map(|_| Client::of(&server).chat(&json!({})).end).collect();
    assert_eq!(ends, [End::Whole, End::Reset, End::Whole]);
    let stats = server.stats();
    assert_eq!((stats.planted(FaultKind::Refuse), stats.requests), (1, 2));
}

#[test]
fn a_closed_listener_refuses_and_opens_again_at_the_same_port() {
    let server = MockServer::start(quick()).unwrap();
    let mut standing = Client::of(&server);
    assert_eq!(standing.get("/health").status(), 200);
    server.close_listener();
    assert_eq!(
        TcpStream::connect(server.address()).unwrap_err().kind(),
        std::io::ErrorKind::ConnectionRefused
    );
    assert_eq!(standing.get("/health").status(), 200, "what stands goes on");
    server.open_listener().unwrap();
    assert_eq!(Client::of(&server).get("/health").status(), 200);
}

#[test]
fn a_time_of_refusal_begins_and_ends_by_itself() {
    let refuses = |server: &MockServer| TcpStream::connect(server.address()).is_err();
    let closed = |times: &str| {
        let closed = vec![times.parse().unwrap()];
        MockServer::start(MockConfig { closed, ..quick() }).unwrap()
    };
    let for_good = closed("0:100000");
    while !refuses(&for_good) {
        std::thread::yield_now();
    }
    let for_a_moment = closed("0:0.01");
    while refuses(&for_a_moment) {
        std::thread::yield_now();
    }
}

#[test]
fn a_fault_that_cannot_happen_to_a_request_is_not_counted() {
    let (got, server) = planted_whole(&json!({"fault": "missing_done"}));
    assert_eq!(got.end, End::Whole);
    assert_eq!(server.stats().planted, []);
}

#[test]
fn a_request_can_be_spared_what_the_server_plants() {
    let faults = vec![FaultRule::rate(FaultKind::Status500, 1.0)];
    let server = MockServer::start(MockConfig { faults, ..quick() }).unwrap();
    assert_eq!(Client::of(&server).chat(&json!({})).status(), 500);
    assert_eq!(Client::of(&server).chat(&json!({"mock": {"fault": null}})).status(), 200);
}

#[test]
fn counts_of_planted_faults_are_what_clients_saw() {
    let faults = vec![
        FaultRule::rate(FaultKind::Status503, 0.2),
        FaultRule::rate(FaultKind::HalfEvent, 0.2),
        FaultRule::rate(FaultKind::MissingDone, 0.2),
    ];
    let server = MockServer::start(MockConfig { faults, seed: 3, ..quick() }).unwrap();
    let mut seen = [0; 4];
    for _ in 0..200 {
        let got = Client::of(&server).chat(&json!({}));
        let which = match (got.status(), got.end, got.is_done()) {
            (503, ..) => 0,
            (_, End::Cut, _) => 1,
            (_, End::Whole, false) => 2,
            _ => 3,
        };
        seen[which] += 1;
    }
    let stats = server.stats();
    for (kind, seen) in [
        (FaultKind::Status503, seen[0]),
        (FaultKind::HalfEvent, seen[1]),
        (FaultKind::MissingDone, seen[2]),
    ] {
        assert_eq!(stats.planted(kind), seen, "{kind}");
        assert!(seen > 20);
    }
    assert_eq!(stats.completed(), seen[2] + seen[3]);
    assert_eq!(stats.faulted, seen[0] + seen[1]);
}
