//! Any config resolves or fails, in bounded time and depth: self-references, bombs of references, nesting.
#![no_main]

use std::collections::BTreeMap;

use hydra_compose::{Document, resolve};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(node) = Document::from_str(text, "fuzz.yaml") else { return };
    let environment = BTreeMap::from([("HOME".to_owned(), "home".to_owned())]);
    let _ = resolve(&node, &environment);
});
