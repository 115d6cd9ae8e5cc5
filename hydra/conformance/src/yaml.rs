//! Scalars and documents, as OmegaConf's YAML loader reads them.

use hydra_compose::{Document, to_yaml};

use crate::json::Json;
use crate::tree::{same_result, same_text};
use crate::{Outcome, Suite};

pub(crate) fn suite(vectors: &Json) -> Suite<'_> {
    Suite {
        cases: vectors.items(),
        name: Box::new(|case| case["yaml"].text().to_owned()),
        check: Box::new(check),
    }
}

fn check(case: &Json) -> Outcome {
    // These cases are about YAML; what looks like an interpolation in them is not parsed.
    let loaded = Document::from_str(case["yaml"].text(), "vector.yaml");
    let value = loaded.clone().map(|node| node.at("k").cloned().unwrap_or(node));
    same_result(&value, case, "value")?;
    match loaded {
        Ok(loaded) => same_text(&to_yaml(&loaded), case["to_yaml"].text()),
        Err(_) => Ok(()),
    }
}
