//! Many streams, places, counters.

use std::collections::HashMap;

use ai_energy_benchmarks_mockserver::{
    FaultKind, FaultRule, MockConfig, MockServer, Outcome, Stats, Timing, raise_open_files,
};
use proptest::prelude::*;
use serde_json::json;

use crate::answers::quick;
use crate::client::{Client, End, chat_body};

/// The series of `/metrics`, by name and labels beyond the usual.
fn metrics(client: &mut Client) -> HashMap<String, f64> {
    let page = String::from_utf8(client.get("/metrics").body().to_vec()).unwrap();
    page.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.replace("engine=\"0\",model_name=\"mock-model\"", "");
            (name, value.parse().unwrap())
        })
        .collect()
}

/// Waits until the counts are as they will be.
fn wait_for(server: &MockServer, arrived: impl Fn(&Stats) -> bool) -> Stats {
    loop {
        let stats = server.stats();
        if arrived(&stats) {
            return stats;
        }
        std::thread::yield_now();
    }
}

#[test]
fn counters_equal_the_sum_of_what_usage_told() {
    let server = MockServer::start(MockConfig { threads: 2, ..quick() }).unwrap();
    let (mut prompts, mut outputs, mut cached) = (0.0, 0.0, 0.0);
    let mut client = Client::of(&server);
    for k in 0..30 {
        let words = "joule ".repeat(k * 3);
        let body = json!({
            "messages": [{"role": "user", "content": words}],
            "max_tokens": 1 + k % 9,
            "stream": k % 2 == 0,
        });
        let usage = client.chat(&body).usage_of_either();
        prompts += usage["prompt_tokens"].as_f64().unwrap();
        outputs += usage["completion_tokens"].as_f64().unwrap();
        cached += usage["prompt_tokens_details"]["cached_tokens"].as_f64().unwrap();
    }
    let metrics = metrics(&mut client);
    let series = |name: &str| metrics[name];
    assert_eq!(series("vllm:prompt_tokens_total{}").to_bits(), f64::to_bits(prompts));
    assert_eq!(series("vllm:generation_tokens_total{}").to_bits(), f64::to_bits(outputs));
    assert_eq!(series("vllm:prefix_cache_hits_total{}").to_bits(), f64::to_bits(cached));
    assert_eq!(series("vllm:prefix_cache_queries_total{}").to_bits(), f64::to_bits(prompts));
    assert!(cached > 0.0);
    let ended = series("vllm:request_success_total{,finished_reason=\"length\"}")
        + series("vllm:request_success_total{,finished_reason=\"stop\"}");
    assert!((ended - 30.0).abs() < 0.1);
    for idle in ["num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"] {
        assert!(series(&format!("vllm:{idle}{{}}")).abs() < 1e-12, "{idle}");
    }
}

#[test]
fn a_thousand_streams_at_once_all_get_every_token_in_order() {
    raise_open_files().unwrap();
    let streams = 1_000;
    let timing = Timing { ttft_ms: 50.0, gap_ms: 5.0, ..Timing::default() };
    let config = MockConfig { timing, tokens: 20, threads: 2, ..MockConfig::default() };
    let server = MockServer::start(config).unwrap();
    let mut clients: Vec<Client> = (0..streams).map(|_| Client::of(&server)).collect();
    let body = chat_body(&json!({"mock": {"stamp_events": true}})).to_string();
    for client in &mut clients {
        client.send("POST", "/v1/chat/completions", &body);
    }
    for client in &mut clients {
        let got = client.read();
        assert_eq!((got.end, got.texts().len(), got.is_done()), (End::Whole, 20, true));
        let stamps: Vec<u64> =
            got.events().iter().filter_map(|event| event["t_ns"].as_u64()).collect();
        assert!(stamps.is_sorted());
    }
    let stats = server.stop().unwrap();
    assert_eq!((stats.connections, stats.completed()), (streams, streams));
    assert_eq!((stats.events, stats.generation_tokens, stats.running), (20_000, 20_000, 0));
}

#[test]
fn a_slow_reader_gets_everything_and_its_waits_are_no_lag_of_the_server() {
    let server = MockServer::start(quick()).unwrap();
    let mut client = Client::of(&server);
    // Far more than socket buffers hold, and not read until the server had to wait.
    let body = json!({"max_tokens": 60_000, "ignore_eos": true});
    client.send("POST", "/v1/chat/completions", &chat_body(&body).to_string());
    while server.stats().blocked_writes == 0 {
        std::thread::yield_now();
    }
    let got = client.read();
    assert_eq!((got.end, got.texts().len()), (End::Whole, 60_000));
    assert_eq!(server.stats().lag.sends, 1, "the first alone was waited for");
}

#[test]
fn requests_beyond_the_places_wait_in_their_order() {
    let timing = Timing { ttft_ms: 5.0, gap_ms: 1.0, ..Timing::default() };
    for threads in [1, 3] {
        let config = MockConfig { max_running: Some(2), threads, timing, ..quick() };
        let server = MockServer::start(config).unwrap();
        let mut clients: Vec<Client> = (0..12).map(|_| Client::of(&server)).collect();
        for (k, client) in (0_u64..).zip(&mut clients) {
            client.send("POST", "/v1/chat/completions", &chat_body(&json!({})).to_string());
            // The next is sent when this one stands in the queue.
            wait_for(&server, |stats| stats.requests > k);
        }
        for client in &mut clients {
            assert_eq!(client.read().texts().len(), 6);
        }
        let mut log = server.requests();
        log.sort_by_key(|request| request.number);
        // Several threads may take two requests in either order.
        let in_order = log.is_sorted_by_key(|request| request.started_ns);
        assert!(in_order || threads > 1, "first come, first served");
        for request in &log {
            let started = request.started_ns.unwrap();
            let others = log.iter().filter(|other| {
                other.number != request.number
                    && other.started_ns.unwrap() <= started
                    && started < other.ended_ns
            });
            // Of several threads one may take a place that came free after it had read the request.
            assert!(others.count() <= 1 || threads > 1, "two places");
            assert_eq!(request.due_ns[0], started + 5_000_000, "the schedule begins with service");
        }
        assert_eq!((server.stats().waiting, server.stats().running), (0, 0));
    }
}

#[test]
fn one_who_leaves_the_queue_does_not_block_it() {
    let server = MockServer::start(MockConfig { max_running: Some(1), ..quick() }).unwrap();
    let mut first = Client::of(&server);
    let endless = json!({"mock": {"fault": "endless", "gap_ms": 1}});
    first.send("POST", "/v1/chat/completions", &chat_body(&endless).to_string());
    while server.stats().running == 0 {
        std::thread::yield_now();
    }
    let mut second = Client::of(&server);
    second.send("POST", "/v1/chat/completions", &chat_body(&json!({})).to_string());
    while server.stats().waiting == 0 {
        std::thread::yield_now();
    }
    drop(second);
    while server.stats().cancelled == 0 {
        std::thread::yield_now();
    }
    let mut third = Client::of(&server);
    third.send("POST", "/v1/chat/completions", &chat_body(&json!({})).to_string());
    drop(first);
    assert_eq!(third.read().texts().len(), 6);
    assert_eq!(server.stats().waiting, 0);
}

#[test]
fn the_log_file_has_a_line_for_every_request_that_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("requests.jsonl");
    let server =
        MockServer::start(MockConfig { log: Some(path.clone()), threads: 2, ..quick() }).unwrap();
    for _ in 0..9 {
        Client::of(&server).chat(&json!({}));
    }
    let mut left = Client::of(&server);
    left.send(
        "POST",
        "/v1/chat/completions",
        &chat_body(&json!({"mock": {"fault": "stall"}})).to_string(),
    );
    while server.stats().requests < 10 {
        std::thread::yield_now();
    }
    server.stop().unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<ai_energy_benchmarks_mockserver::RequestLog> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 10);
    let completed = lines.iter().filter(|line| line.outcome == Outcome::Completed);
    assert_eq!(completed.map(|line| line.sent_ns.len()).sum::<usize>(), 9 * 6);
    assert_eq!(lines.iter().filter(|line| line.outcome == Outcome::Stopped).count(), 1);
}

#[test]
fn a_port_in_use_and_a_log_that_cannot_be_are_told() {
    let server = MockServer::start(quick()).unwrap();
    let port = server.address().port();
    let taken = MockServer::start(MockConfig { port, ..quick() }).err().unwrap();
    assert_eq!(taken.0[0].place, "port");
    let log = Some("/nonexistent/log.jsonl".into());
    let wrong = MockServer::start(MockConfig { log, ..quick() }).err().unwrap();
    assert_eq!(wrong.0[0].place, "log");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_planted_and_whoever_leaves_the_counts_add_up(
        seed: u64,
        threads in 1_usize..3,
        places in proptest::option::of(1_usize..4),
        rates in proptest::collection::vec(0.0..1.0 / FaultKind::ALL.len() as f64, FaultKind::ALL.len()),
        leavers in proptest::collection::vec(any::<bool>(), 20),
    ) {
        // A client that reads to the end never comes to the end of an endless answer: that one has a test of its own.
        let kinds = FaultKind::ALL.into_iter().filter(|kind| *kind != FaultKind::Endless);
        let faults = kinds.zip(rates).map(|(kind, rate)| {
            let mut rule = FaultRule::rate(kind, rate);
            rule.fault.numbers.byte_gap_ms = 0.0;
            rule.fault.numbers.bytes = 100_000;
            rule
        });
        let config = MockConfig {
            seed,
            threads,
            max_running: places,
            faults: faults.collect(),
            ..quick()
        };
        let server = MockServer::start(config).unwrap();
        let mut clients = Vec::new();
        for (k, leaves) in leavers.into_iter().enumerate() {
            let mut client = Client::of(&server).patience_ms(30);
            let body = chat_body(&json!({"stream": k % 3 > 0}));
            client.send("POST", "/v1/chat/completions", &body.to_string());
            if !leaves {
                client.read();
            }
            clients.push(client);
        }
        // One who leaves before the request was read has sent none.
        let all_read = |stats: &Stats| stats.requests + stats.planted(FaultKind::Refuse) == 20;
        wait_for(&server, all_read);
        drop(clients);
        let stats = wait_for(&server, |stats| stats.running + stats.waiting == 0);
        let ended = stats.completed() + stats.faulted + stats.cancelled + stats.rejected;
        prop_assert_eq!(ended, stats.requests);
        prop_assert_eq!(stats.connections, 20);
        prop_assert_eq!(stats.kv_tokens, 0);
        prop_assert_eq!(stats.rejected, 0);
        let log = server.requests();
        let planted: u64 = stats.planted.iter().map(|one| one.count).sum();
        let logged = log.iter().filter(|request| request.fault.is_some()).count() as u64;
        let unlogged = [FaultKind::Refuse, FaultKind::Status429, FaultKind::Status500, FaultKind::Status502, FaultKind::Status503];
        let statuses: u64 = unlogged.into_iter().map(|kind| stats.planted(kind)).sum();
        prop_assert_eq!(planted, logged + statuses);
    }
}
