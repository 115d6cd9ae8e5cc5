//! Any text is a tree or an error, never a panic; and what a tree is printed as reads back as the same tree.
#![no_main]

use hydra_compose::{Document, to_yaml};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(node) = Document::from_str(text, "fuzz.yaml") else { return };
    let printed = to_yaml(&node);
    let Ok(again) = Document::from_str(&printed, "printed.yaml") else {
        panic!("printed text does not read back:\n{printed}")
    };
    assert_eq!(to_yaml(&again), printed);
});
