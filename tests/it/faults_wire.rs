//! Answers over HTTP/1.1, right and wrong: no bytes make the reader panic, and how they are cut into reads changes nothing.
//!
//! `fuzz/fuzz_targets/http_answer.rs` asks the same of arbitrary bytes.

use ai_energy_benchmarks::backend::openai::wire::{FeedError, Head};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// What is known of an answer: status, its body as far as it came, bytes that belong to it, whether it ended.
type Read = Result<Option<(u16, Vec<u8>, usize, bool)>, String>;

fn read(bytes: &[u8], cut: usize) -> Read {
    let found = Head::parse(bytes).map_err(|wrong| wrong.to_string())?;
    let Some((head, length)) = found else { return Ok(None) };
    let (mut body, mut shown, mut taken) = (head.body, Vec::new(), length);
    for piece in bytes[length..].chunks(cut) {
        let fed = body.feed(piece, &mut |part| {
            shown.extend_from_slice(part);
            Ok::<(), ()>(())
        });
        match fed {
            Ok(count) => taken += count,
            Err(FeedError::Malformed(wrong)) => return Err(wrong.to_string()),
            Err(FeedError::Refused(())) => unreachable!("nobody refuses"),
        }
    }
    Ok(Some((head.status, shown, taken, body.is_ended())))
}

/// Whole answers, in whose bytes something may be changed, left out or cut off.
fn answer() -> impl Strategy<Value = Vec<u8>> {
    let status =
        prop_oneof![Just("200 OK"), Just("204 No"), Just("101 Up"), Just("500"), Just("2 x")];
    let framing = prop_oneof![
        3 => Just("transfer-encoding: chunked\r\n"),
        1 => Just("Transfer-Encoding: gzip, chunked\r\ncontent-length: 3\r\n"),
        2 => Just("content-length: 12\r\n"),
        1 => Just("content-length: 1, 1\r\n"),
        1 => Just("connection: close\r\n"),
    ];
    let chunks = proptest::collection::vec(
        (
            proptest::collection::vec(any::<u8>(), 1..20),
            prop_oneof![Just(""), Just(";a=b"), Just(" ")],
        ),
        0..5,
    );
    let trailer = prop_oneof![Just(""), Just("x: y\r\n")];
    let change = (0_usize..6, any::<u16>(), any::<u8>());
    (status, framing, chunks, trailer, change).prop_map(
        |(status, framing, chunks, trailer, (kind, at, byte))| {
            let mut bytes = format!("HTTP/1.1 {status}\r\n{framing}\r\n").into_bytes();
            for (data, extension) in chunks {
                bytes.extend_from_slice(format!("{:X}{extension}\r\n", data.len()).as_bytes());
                bytes.extend_from_slice(&data);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(format!("0\r\n{trailer}\r\nHTTP/1.1 200").as_bytes());
            let at = usize::from(at) % bytes.len();
            match kind {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                2 => bytes.truncate(at),
                3 => bytes.insert(at, byte),
                _ => {}
            }
            bytes
        },
    )
}

#[test]
fn cuts_change_nothing_and_nothing_panics() {
    let config = Config { cases: 3000, failure_persistence: None, ..Config::default() };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[13; 32]));
    runner
        .run(&(answer(), 1_usize..9), |(bytes, cut)| {
            let whole = read(&bytes, usize::MAX);
            prop_assert_eq!(read(&bytes, cut), whole.clone());
            prop_assert_eq!(read(&bytes, 1), whole.clone());
            if let Ok(Some((_, shown, taken, ended))) = whole {
                prop_assert!(shown.len() <= taken && taken <= bytes.len());
                // What follows an answer is none of its business.
                if ended {
                    let more = [&bytes[..taken], b"anything"].concat();
                    prop_assert_eq!(
                        read(&more, 3).map(|read| read.map(|read| read.2)),
                        Ok(Some(taken))
                    );
                }
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_head_is_the_same_however_much_of_what_follows_has_come() {
    let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[17; 32]));
    runner
        .run(&answer(), |bytes| {
            let mut found = None;
            for length in 0..=bytes.len() {
                match Head::parse(&bytes[..length]) {
                    // Wrong is wrong whatever follows.
                    Err(_) => {
                        prop_assert!(Head::parse(&bytes).is_err());
                        return Ok(());
                    }
                    Ok(None) => {
                        prop_assert!(found.is_none(), "a head that was whole is not any more");
                    }
                    Ok(Some((head, end))) => {
                        let known = (head.status, head.keep_alive, end);
                        prop_assert_eq!(*found.get_or_insert(known), known);
                    }
                }
            }
            Ok(())
        })
        .unwrap();
}
