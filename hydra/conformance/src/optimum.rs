//! Real-life configurations with the schemas that they are written against.

use crate::Suite;
use crate::compose::{Setup, check};
use crate::json::Json;

pub(crate) fn suite(vectors: &Json) -> Suite<'_> {
    Suite {
        cases: vectors["cases"].items(),
        name: Box::new(|case| {
            format!(
                "{}/{} {}",
                case["file_set"].text(),
                case["config_name"].text(),
                case["overrides"].texts().join(" ")
            )
        }),
        check: Box::new(move |case| {
            let setup = Setup {
                files: &vectors["file_sets"][case["file_set"].text()],
                schemas: vectors.get("schemas"),
                environment: std::collections::BTreeMap::new(),
            };
            check(case, &setup)
        }),
    }
}
