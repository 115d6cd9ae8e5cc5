//! Chunks read by their likeness to the one before mean what they mean to a JSON parser, whatever they are and however they are
//! cut into reads.
//!
//! A decoder that has seen nothing knows no likeness, so each event by itself goes the long way. A stream of them
//! must tell the same.

use ai_energy_benchmarks::backend::BackendError;
use ai_energy_benchmarks::backend::openai::Decoder;
use ai_energy_benchmarks::units::Nanos;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::openai::Heard;

const AT: Nanos = Nanos(1);

fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[11; 32]))
}

/// What is told until an event is refused, and how.
fn one_by_one(events: &[Vec<u8>]) -> (Heard, Option<BackendError>) {
    let mut heard = Heard::default();
    for event in events {
        let mut decoder = Decoder::default();
        if let Err(error) = decoder.feed(AT, event, &mut heard) {
            return (heard, Some(error));
        }
        if decoder.is_done() {
            break;
        }
    }
    (heard, None)
}

fn together<'a>(reads: impl IntoIterator<Item = &'a [u8]>) -> (Heard, Option<BackendError>) {
    let (mut decoder, mut heard) = (Decoder::default(), Heard::default());
    for read in reads {
        if let Err(error) = decoder.feed(AT, read, &mut heard) {
            return (heard, Some(error));
        }
    }
    (heard, None)
}

fn assert_alike(events: &[Vec<u8>]) {
    let expected = one_by_one(events);
    let stream = events.concat();
    assert_eq!(together([&stream[..]]), expected, "whole: {}", stream.escape_ascii());
    assert_eq!(together(stream.chunks(1)), expected, "byte by byte: {}", stream.escape_ascii());
    for at in 1..stream.len() {
        let cut = together([&stream[..at], &stream[at..]]);
        assert_eq!(cut, expected, "cut at {at}: {}", stream.escape_ascii());
    }
}

/// What stands in the place of a text: plain, escaped, or something that ends the string.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-zA-Z0-9 ,.{}\\[\\]:é😀\u{7f}]{0,6}",
        1 => prop_oneof![
            Just(r"\n"), Just(r"\u00e9"), Just(r"\ud83d\ude00"), Just(r"\ud83d"), Just(r#"\""#), Just(r"\\"),
            Just(r"\x"), Just("\u{1}"), Just("\t"), Just(r#"a","content":"b"#), Just(r#"a","finish_reason":"stop"#),
            Just(r#"a"},"finish_reason":"length","x":{"y":"z"#), Just(r#"a"}}],"usage":{"completion_tokens":3},"k":[{"l":{"m":"n"#),
        ].prop_map(str::to_owned),
    ]
}

/// JSON with `~` where the text belongs.
fn template() -> impl Strategy<Value = String> {
    let field = prop_oneof![
        3 => Just("\"content\":\"~\""),
        1 => Just("\"reasoning\":\"~\""),
        1 => Just("\"reasoning_content\":\"~\""),
        1 => Just("\"refusal\":\"~\""),
        1 => Just("\"role\":\"assistant\",\"content\":\"~\""),
        1 => Just("\"content\":\"~\",\"reasoning\":\"~\""),
        1 => Just("\"content\":[\"~\"]"),
        1 => Just("\"tool_calls\":[{\"function\":{\"arguments\":\"~\"}}]"),
        1 => Just("\"content\":null,\"x\":\"~\""),
    ];
    let choice = prop_oneof![
        6 => field.prop_map(|field| format!("\"delta\":{{{field}}}")),
        1 => Just("\"text\":\"~\"".to_owned()),
        1 => Just("\"delta\":{\"content\":\"~\"},\"finish_reason\":\"stop\"".to_owned()),
        1 => Just("\"delta\":{},\"finish_reason\":\"~\"".to_owned()),
    ];
    let rest = proptest::sample::subsequence(
        vec![
            "\"id\":\"x\"",
            "\"object\":\"chat.completion.chunk\"",
            "\"usage\":null",
            "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}",
            "\"timings\":{\"a\":\"~\"}",
            "\"model\":\"~\"",
            "\"object\":\"error\"",
        ],
        0..3,
    );
    let space = prop_oneof![Just(""), Just(" "), Just("\t ")];
    (choice, rest, any::<bool>(), space, any::<bool>()).prop_map(
        |(choice, rest, first, space, second_choice)| {
            let more = if second_choice { ",{\"delta\":{}}" } else { "" };
            let choices = format!("\"choices\":[{{\"index\":0,{choice}}}{more}]");
            let mut fields: Vec<&str> = rest;
            fields.insert(if first { 0 } else { fields.len() }, &choices);
            let body = fields.join(&format!(",{space}"));
            format!("{{{space}{body}{space}}}")
        },
    )
}

/// A few templates filled with many texts, with what lies between events in real streams.
fn events() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let ends = prop_oneof![Just("\n\n"), Just("\r\n\r\n"), Just("\n\n: ping\n\n")];
    let templates = proptest::collection::vec(template(), 1..3);
    let fillings =
        proptest::collection::vec((0_usize..2, text(), ends, any::<u8>(), 0_u8..12), 1..6);
    (templates, fillings).prop_map(|(templates, fillings)| {
        let event = |(which, text, end, noise, kind): (usize, String, &str, u8, u8)| {
            let json = templates[which % templates.len()].replace('~', &text);
            let space = if noise % 3 == 0 { "" } else { " " };
            let mut bytes = format!("data:{space}{json}{end}").into_bytes();
            match kind {
                // A byte that is another, which may be no UTF-8 or no JSON any more.
                0 => {
                    let at = usize::from(noise) % (bytes.len() - end.len());
                    if at >= 5 && !matches!(noise, b'\n' | b'\r') {
                        bytes[at] = noise;
                    }
                }
                1 => bytes = b"data: [DONE]\n\n".to_vec(),
                _ => {}
            }
            bytes
        };
        fillings.into_iter().map(event).collect()
    })
}

#[test]
fn a_chunk_read_by_likeness_means_what_it_means_to_a_json_parser() {
    runner(300)
        .run(&events(), |events| {
            assert_alike(&events);
            Ok(())
        })
        .unwrap();
}

#[test]
fn the_long_way_and_the_short_way_meet_on_the_chunks_of_every_server() {
    for line in [
        r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"~"},"logprobs":null,"finish_reason":null,"token_ids":null}]}"#,
        r#"{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"~"}}],"created":1,"id":"c","model":"m","system_fingerprint":"b1","object":"chat.completion.chunk"}"#,
        r#"{"id":"c","choices":[{"delta":{"content":"~","role":"assistant","tool_calls":null,"reasoning_content":null},"finish_reason":null,"index":0}],"object":"chat.completion.chunk","usage":null}"#,
        r#"{"id":"c","object":"text_completion","choices":[{"index":0,"text":"~","logprobs":null,"finish_reason":null,"stop_reason":null}],"usage":null}"#,
    ] {
        let event = |text: &str| format!("data: {}\n\n", line.replace('~', text)).into_bytes();
        let texts = ["Hi", " there", "", "\u{e9}", r"\n", "!", r#"\""#, " \u{1f600}", "}]", ","];
        assert_alike(&texts.map(event));
        let (heard, error) = one_by_one(&texts.map(event));
        assert_eq!((heard.count("content"), error), (9, None), "{line}");
    }
}
