//! Whatever bytes a server answers with: no panic, and the pieces in which they come change nothing.
//!
//! The first byte is the size of the pieces. Seeds: `tests/data/servers/*/*.txt`, each behind one byte.
#![no_main]

use ai_energy_benchmarks::backend::openai::wire::{FeedError, Head};
use libfuzzer_sys::fuzz_target;

/// Status, body as far as it came, bytes that belong to the answer, whether it ended.
type Read = Result<Option<(u16, Vec<u8>, usize, bool)>, String>;

fn read(bytes: &[u8], size: usize) -> Read {
    let found = Head::parse(bytes).map_err(|wrong| wrong.to_string())?;
    let Some((head, length)) = found else { return Ok(None) };
    let (mut body, mut shown, mut taken) = (head.body, Vec::new(), length);
    for piece in bytes[length..].chunks(size) {
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

fuzz_target!(|input: &[u8]| {
    let Some((size, answer)) = input.split_first() else { return };
    let whole = read(answer, usize::MAX);
    assert_eq!(read(answer, usize::from(*size).max(1)), whole);
    if let Ok(Some((_, shown, taken, _))) = whole {
        assert!(shown.len() <= taken && taken <= answer.len());
    }
});
