//! Streams of every dialect, whole and cut at every byte: any cut means the same as none.

use ai_energy_benchmarks::backend::openai::Decoder;
use ai_energy_benchmarks::backend::{BackendError, Completion};
use ai_energy_benchmarks::record::{FailureClass, TokenCounts, TokenSource};
use ai_energy_benchmarks::units::Nanos;
use proptest::prelude::*;
use serde_json::json;

use crate::openai::{Heard, recorded};

type Outcome = (Result<Completion, BackendError>, Heard);

fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut decoder = Decoder::default();
    let mut heard = Heard::default();
    let at = Nanos(1);
    let fed = pieces.into_iter().try_for_each(|piece| decoder.feed(at, piece, &mut heard));
    let ended = fed.and_then(|()| decoder.finish(at, &mut heard));
    (ended, heard)
}

/// The outcome of the whole, once it is known that no cut changes it.
fn decode_however_cut(bytes: &[u8]) -> Outcome {
    let whole = decode([bytes]);
    for at in 1..bytes.len() {
        let cut = decode([&bytes[..at], &bytes[at..]]);
        assert_eq!(cut, whole, "cut at {at}");
    }
    assert_eq!(decode(bytes.chunks(1)), whole, "byte by byte");
    whole
}

/// Prompt, cached, completion.
type Counts = Option<(u64, Option<u64>, u64)>;

fn counts(tokens: TokenCounts) -> Counts {
    (tokens.source == TokenSource::Usage).then_some(())?;
    Some((tokens.prompt?, tokens.cached_prompt, tokens.completion?))
}

const POEM: &str = "ttftttftttftttftttftttftttftttft comttft comttft";

#[test]
fn recorded_streams_of_real_servers_are_read_however_they_are_cut() {
    const VLLM: &str = "vllm-0.32.0";
    const LLAMA: &str = "llama.cpp-b1-7e4c0a9";
    const TRANSFORMERS: &str = "transformers-serve-5.23.0";
    let cases: [(&str, &str, usize, &str, Counts); 14] = [
        (VLLM, "chat_stream_usage", 12, POEM, Some((19, None, 12))),
        (
            VLLM,
            "chat_stream_cont_usage",
            5,
            " access patent license patent War",
            Some((12, None, 5)),
        ),
        (VLLM, "chat_stream_nousage", 5, " access patent license patent War", None),
        (
            VLLM,
            "chat_stream_ignore_eos",
            8,
            "refs Unsionjorform permissionsION enc",
            Some((12, None, 8)),
        ),
        (VLLM, "completions_stream", 4, "perlreperlre promptsperlre", Some((3, None, 4))),
        (LLAMA, "chat_stream_usage", 12, POEM, Some((19, Some(0), 12))),
        (
            LLAMA,
            "chat_stream_cont_usage",
            5,
            " patent access patent Warype",
            Some((12, Some(3), 5)),
        ),
        (LLAMA, "chat_stream_nousage", 5, " patent access patent Warype", None),
        (
            LLAMA,
            "chat_stream_ignore_eos",
            8,
            " Checkgen patentical evaluatehttpleg PATH",
            Some((12, Some(11), 8)),
        ),
        (LLAMA, "completions_stream", 4, "perlreperlre promptsperlre", Some((3, Some(0), 4))),
        (TRANSFORMERS, "chat_stream_usage", 12, POEM, Some((19, None, 12))),
        (
            TRANSFORMERS,
            "chat_stream_cont_usage",
            5,
            " patent access patent Warype",
            Some((12, None, 5)),
        ),
        (
            TRANSFORMERS,
            "chat_stream_nousage",
            5,
            " patent access patent Warype",
            Some((12, None, 5)),
        ),
        (TRANSFORMERS, "completions_stream", 4, "perlreperlre promptsperlre", Some((3, None, 4))),
    ];
    for (server, file, events, text, tokens) in cases {
        let (answer, heard) = decode_however_cut(&recorded(&format!("{server}/{file}.sse")));
        let answer = answer.unwrap();
        assert_eq!((heard.count("content"), heard.text("content").as_str()), (events, text));
        assert_eq!(counts(answer.tokens), tokens, "{server} {file}");
        assert_eq!(answer.finish_reason.as_deref(), Some("length"));
        assert_eq!(answer.server_timings.is_some(), server == LLAMA, "{server} {file}");
    }
}

/// The body of an answer that was recorded with its head.
fn body_of(path: &str) -> Vec<u8> {
    let raw = recorded(path);
    let at = raw.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    raw[at + 4..].to_vec()
}

#[test]
fn recorded_streams_that_broke_are_failures() {
    let (answer, heard) =
        decode(std::iter::once(body_of("llama.cpp-b1-7e4c0a9/err_toolong.txt").as_slice()));
    let error = answer.unwrap_err();
    assert_eq!(error.class, FailureClass::StreamError);
    assert!(error.message.contains("peg-native"), "{error:?}");
    assert!(heard.count("content") > 20);
    // This server was stopped in the middle.
    let body = body_of("transformers-serve-5.23.0/err_toolong.txt");
    assert_eq!(decode([body.as_slice()]).0.unwrap_err().class, FailureClass::Reset);
}

fn chunk(choice: &str) -> String {
    format!("data: {{\"object\":\"chat.completion.chunk\",\"choices\":[{choice}]}}\n\n")
}

fn delta(fields: &str) -> String {
    chunk(&format!("{{\"index\":0,\"delta\":{{{fields}}},\"finish_reason\":null}}"))
}

const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4,\"total_tokens\":13,\
     \"completion_tokens_details\":{\"reasoning_tokens\":3}}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn finish() -> String {
    chunk("{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}")
}

#[test]
fn reasoning_tools_and_refusals_are_generated_text() {
    let stream = [
        &delta("\"role\":\"assistant\",\"content\":null"),
        &delta("\"reasoning_content\":\"hm \""),
        &delta("\"reasoning\":\"ha\",\"reasoning_content\":\"ha\""),
        &delta("\"content\":\"\u{e9}\u{1f600}\""),
        &delta("\"refusal\":\"no\""),
        &delta("\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]"),
        &delta("\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{}\"}}]"),
        &delta("\"function_call\":{\"name\":\"g\",\"arguments\":\"1\"}"),
        &finish(),
        USAGE,
        DONE,
    ]
    .concat();
    let (answer, heard) = decode_however_cut(stream.as_bytes());
    let answer = answer.unwrap();
    assert_eq!(heard.text("reasoning"), "hm ha");
    assert_eq!(heard.text("content"), "\u{e9}\u{1f600}no");
    assert_eq!((heard.text("tool").as_str(), heard.count("tool")), ("f{}g1", 3));
    assert_eq!(heard.count("empty"), 3, "role, finish and usage carry no text");
    assert_eq!(answer.tokens.reasoning, Some(3));
    assert_eq!(answer.finish_reason.as_deref(), Some("stop"));
}

#[test]
fn a_stream_without_any_text_still_has_its_counts() {
    // gpt-oss with output that does not parse: a role, an end, a usage.
    let stream =
        [&delta("\"role\":\"assistant\",\"content\":\"\""), &finish(), USAGE, DONE].concat();
    let (answer, heard) = decode_however_cut(stream.as_bytes());
    assert_eq!(counts(answer.unwrap().tokens), Some((9, None, 4)));
    let kinds: Vec<_> = heard.events.iter().map(|(_, kind, _)| *kind).collect();
    assert_eq!(kinds, ["empty"; 3]);
}

#[test]
fn comments_keep_alives_and_line_endings_change_nothing() {
    let plain =
        [&delta("\"content\":\"a\""), &delta("\"content\":\"b\""), &finish(), USAGE, DONE].concat();
    let (expected, heard) = decode([plain.as_bytes()]);
    let text = |heard: &Heard| (heard.text("content"), heard.count("content"));
    let commented = format!(": ping\n\n:\n\n{}", plain.replace("\n\n", "\n\n: keep-alive\n\n"));
    for stream in [
        plain.replace('\n', "\r\n"),
        plain.replace('\n', "\r"),
        plain.replace("data: ", "data:"),
        plain.replace("data: ", "event: message\nid: 1\ndata: "),
        plain.replace("\"choices\"", "\ndata: \"choices\""),
        format!("\u{feff}{plain}"),
        format!("data:\n\n{plain}"),
        commented,
        plain.trim_end().to_owned(),
        format!("{plain}data: garbage\n\n{{\"error\":1}}\n\n"),
        plain.strip_suffix(DONE).unwrap().to_owned(),
    ] {
        let (answer, seen) = decode_however_cut(stream.as_bytes());
        assert_eq!(answer, expected, "{stream}");
        assert_eq!(text(&seen), text(&heard), "{stream}");
    }
}

#[test]
fn figures_in_comments_and_chunks_are_kept_by_name() {
    let stream = [
        &delta("\"content\":\"a\""),
        "data: {\"choices\":[],\"usage\":{\"completion_tokens\":1},\"metrics\":{\"queue_s\":0.5}}\n\n",
        ": energy {\"energy_joules\": 1.5}\n",
        ": energy {\"energy_joules\": 2.5}\n\n",
        ": mcr-session {\"id\": \"x\"}\n\n",
        ": this is {not json}\n: broken {\n: two words {}\n\n",
        DONE,
    ]
    .concat();
    let (answer, _) = decode_however_cut(stream.as_bytes());
    assert_eq!(
        answer.unwrap().server_timings.unwrap(),
        json!({"metrics": {"queue_s": 0.5}, "energy": {"energy_joules": 2.5}, "mcr-session": {"id": "x"}})
    );
}

#[test]
fn a_character_cut_by_the_server_itself_does_not_end_the_stream() {
    let mut stream = delta("\"content\":\"?\"").into_bytes();
    let at = stream.iter().position(|byte| *byte == b'?').unwrap();
    stream[at] = 0xE2;
    stream.extend_from_slice(DONE.as_bytes());
    let (answer, heard) = decode([stream.as_slice()]);
    answer.unwrap();
    assert_eq!(heard.text("content"), "\u{fffd}");
}

#[test]
fn a_usage_in_between_is_overtaken_by_the_last() {
    let usage = |count: u32, more: &str| {
        format!(
            "data: {{\"choices\":[{{\"delta\":{{\"content\":\"a\"}}}}],\"usage\":{{\"prompt_tokens\":3,\"completion_tokens\":{count}{more}}}}}\n\n"
        )
    };
    let details = ",\"prompt_tokens_details\":{\"cached_tokens\":2}";
    let stream = [&usage(1, details), &usage(2, ""), &finish(), DONE].concat();
    let (answer, _) = decode_however_cut(stream.as_bytes());
    assert_eq!(counts(answer.unwrap().tokens), Some((3, Some(2), 2)));
}

proptest! {
    /// Whatever arrives, in whatever pieces: no panic, and the same outcome as in one piece.
    #[test]
    fn arbitrary_bytes_mean_the_same_however_they_are_cut(
        parts in proptest::collection::vec(prop_oneof![
            Just(delta("\"content\":\"a\"").into_bytes()),
            Just(USAGE.as_bytes().to_vec()),
            Just(b"data: ".to_vec()),
            Just(b"[DONE]".to_vec()),
            Just(b"{\"error\":\"x\"}".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"\n\n".to_vec()),
            Just(b"event: error\n".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..6),
        ], 0..8),
        size in 1_usize..40,
    ) {
        let bytes = parts.concat();
        prop_assert_eq!(decode(bytes.chunks(size)), decode([bytes.as_slice()]));
    }
}

/// vLLM 0.20 with the gpt-oss architecture and random weights: what comes out does not follow the harmony
/// format, so the chat endpoint streams a role, a finish and a usage, and not one piece of text.
#[test]
fn a_real_stream_without_any_text_ends_well_with_its_counts() {
    let (answer, heard) = decode_however_cut(&recorded("vllm-0.20.0/chat_stream_usage.sse"));
    let answer = answer.unwrap();
    assert_eq!(heard.count("content"), 0);
    assert_eq!(counts(answer.tokens), Some((71, None, 12)));
    assert_eq!(answer.finish_reason.as_deref(), Some("length"));
}

#[test]
fn the_completions_of_the_same_server_stream_every_token() {
    for (file, tokens) in [("completions_stream", 6), ("completions_stream_cont_usage", 4)] {
        let recorded = recorded(&format!("vllm-0.20.0/{file}.sse"));
        let (answer, heard) = decode_however_cut(&recorded);
        let answer = answer.unwrap();
        assert_eq!(heard.count("content"), tokens, "{file}");
        assert_eq!(answer.tokens.completion, Some(tokens as u64), "{file}");
    }
}
