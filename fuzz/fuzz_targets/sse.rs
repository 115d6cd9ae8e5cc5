//! Whatever a server sends, in whatever pieces: no panic, and the pieces mean what the whole means.
//!
//! The first byte is the size of the pieces. Seeds: `tests/data/servers/*/*.sse`, each behind one byte.
#![no_main]

use ai_energy_benchmarks::backend::openai::Decoder;
use ai_energy_benchmarks::backend::{BackendError, Completion, Sink, StreamEvent};
use ai_energy_benchmarks::units::Nanos;
use libfuzzer_sys::fuzz_target;

#[derive(Default, PartialEq, Debug)]
struct Heard(Vec<String>);

impl Sink for Heard {
    fn event(&mut self, _: Nanos, event: StreamEvent<'_>) {
        self.0.push(format!("{event:?}"));
    }
}

fn decode<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Result<Completion, BackendError>, Heard) {
    let mut decoder = Decoder::default();
    let mut heard = Heard::default();
    let fed = pieces.into_iter().try_for_each(|piece| decoder.feed(Nanos(1), piece, &mut heard));
    let ended = fed.and_then(|()| decoder.finish(Nanos(1), &mut heard));
    (ended, heard)
}

fuzz_target!(|input: &[u8]| {
    let Some((size, stream)) = input.split_first() else { return };
    assert_eq!(decode(stream.chunks(usize::from(*size).max(1))), decode([stream]));
});
