//! Any command-line override parses and applies, or fails; as a sweep it has values, and the tree stays one that can be printed.
#![no_main]

use hydra_compose::{Document, NoGroups, Override, apply_overrides, to_yaml};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let base = "a: 1\ns: str\nl: [1, 2, 3]\nd: {x: 1, y: {z: 2}}\nn: null\n";
    let Ok(mut node) = Document::from_str(base, "base.yaml") else { panic!("the base is valid") };
    let _ = apply_overrides(&mut node, &[text.to_owned()]);
    let _ = to_yaml(&node);
    let Ok(parsed) = Override::parse(text) else { return };
    if let Ok(values) = parsed.sweep_values(&NoGroups) {
        for value in values.iter().take(100) {
            let _ = Override::parse(&format!("{}={value}", parsed.key_element()));
        }
    }
});
