//! Whatever a client sends to the mock server: no panic, a request is whole at its last byte and not before, and what
//! follows it changes nothing.
#![no_main]

use ai_energy_benchmarks_mockserver::http::{Parsed, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Parsed::Whole(request, used) = parse(input) else { return };
    assert!(0 < used && used <= input.len());
    assert!(matches!(parse(&input[..used - 1]), Parsed::Partial { .. }));
    assert_eq!(parse(&input[..used]), Parsed::Whole(request, used));
});
