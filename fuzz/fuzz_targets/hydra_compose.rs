//! Any set of files composes or fails: defaults lists that name one another, groups, packages, overrides.
#![no_main]

use std::collections::BTreeMap;

use hydra_compose::{ConfigStore, Document, Loader, RunMode, SearchPath, to_yaml};
use libfuzzer_sys::fuzz_target;

/// The files, in the order in which their texts stand, a line of dashes between them; what follows are
/// overrides, one a line.
const FILES: [(&str, &str); 4] = [("", "config"), ("", "a"), ("g", "x"), ("g/h", "y")];

fuzz_target!(|text: &str| {
    let mut store = ConfigStore::new();
    let mut parts = text.split("\n---\n");
    for (group, name) in FILES {
        let Some(part) = parts.next() else { break };
        let Ok(node) = Document::from_str(part, "fuzz.yaml") else { return };
        store.store(group, name, node, None, "fuzz");
    }
    let overrides: Vec<String> = parts.flat_map(str::lines).take(8).map(str::to_owned).collect();
    let environment = BTreeMap::from([("HOME".to_owned(), "home".to_owned())]);
    let loader = Loader::new(SearchPath::new(), store).with_environment(&environment);
    if let Ok(composed) = loader.compose(Some("config"), &overrides, RunMode::MultiRun) {
        let _ = to_yaml(&composed.job());
        let _ = composed.interpolator(&environment).resolve(&composed.config);
    }
});
