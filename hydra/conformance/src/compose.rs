//! Files, overrides and schemas, as Hydra composes them.

use hydra_compose::{Document, ErrorKind, Interpolator, apply_overrides};

use crate::interp::environment;
use crate::json::Json;
use crate::tree::same_result;
use crate::{Outcome, Suite};

pub(crate) fn suite(vectors: &Json) -> Suite<'_> {
    Suite {
        cases: vectors.items(),
        name: Box::new(|case| case["name"].text().to_owned()),
        check: Box::new(check),
    }
}

fn check(case: &Json) -> Outcome {
    let environment = case.get("env").map(environment).unwrap_or_default();
    let overrides = case["overrides"].texts();
    let text = case.get("yaml").unwrap_or(&case["files"]["config.yaml"]).text();
    let composed = Document::from_str(text, "config.yaml").and_then(|mut node| {
        apply_overrides(&mut node, &overrides)?;
        Interpolator::new(&environment).resolve(&node)
    });
    if case.get("error_stage").is_some_and(|stage| stage.text() == "compose")
        && case["error_type"].text() == "ConfigCompositionException"
        && let Err(errors) = &composed
        && matches!(errors.first().kind(), ErrorKind::Grammar(_))
    {
        // A malformed interpolation surfaces as a composition error in Hydra.
        return Ok(());
    }
    same_result(&composed, case, "expected")
}
