//! `ai-energy-benchmark fit-weights`.

use ai_energy_benchmarks::analysis::attribute::{self, RunsFit};
use ai_energy_benchmarks::record::RunRecords;

use crate::args::FitWeightsArgs;
use crate::exit::Exit;
use crate::terminal;

pub(crate) fn run(arguments: &FitWeightsArgs) -> Exit {
    let mut runs = Vec::with_capacity(arguments.runs.len());
    let mut whole = true;
    for folder in &arguments.runs {
        match RunRecords::read(folder) {
            Ok(records) => runs.push(records),
            Err(error) => {
                terminal::note(&format!("error: {error}"));
                whole = false;
            }
        }
    }
    if !whole {
        return Exit::Usage;
    }
    match attribute::fit_runs(&runs, arguments.max_batched_tokens.map(f64::from)) {
        Ok(found) => {
            terminal::out(&if arguments.json { json(&found) } else { yaml(&found) });
            Exit::Ok
        }
        Err(why) => {
            terminal::note(&format!("error: the weights cannot be fitted: {why}"));
            Exit::RunFailed
        }
    }
}

fn json(found: &RunsFit) -> String {
    let fitted = &found.fitted;
    let value = serde_json::json!({
        "weights": fitted.weights,
        "unit": "J",
        "covariance": fitted.covariance,
        "prefill_share": fitted.prefill_share,
        "prefill_share_uncertainty": fitted.prefill_share_uncertainty,
        "residual": fitted.residual,
        "intervals": fitted.intervals,
        "max_batched_tokens": found.max_batched_tokens,
        "max_batched_tokens_note": found.max_batched_tokens_note,
    });
    format!("{value}\n")
}

/// A piece of config, with what is known of it as comments.
fn yaml(found: &RunsFit) -> String {
    let fitted = &found.fitted;
    let weights = &fitted.weights;
    let doubt = |parameter: usize| fitted.covariance[parameter][parameter].max(0.0).sqrt();
    let chunk = match found.max_batched_tokens {
        Some(chunk) => {
            format!("    max_batched_tokens: {chunk:.0}  # {}\n", found.max_batched_tokens_note)
        }
        None => format!("    # max_batched_tokens: {}\n", found.max_batched_tokens_note),
    };
    format!(
        "# Fitted on {} intervals; it leaves {:.1} % of an interval's energy. Prefill is {:.1} % of the work's cost,\n\
         # with a standard uncertainty of {:.1} %.\n\
         metrics:\n  attribution:\n{chunk}    weights:  # joules, with their standard uncertainties\n\
         \x20     prefill: {:e}  # ± {:.1e}\n\
         \x20     cached_prompt: {:e}  # a hundredth, assumed\n\
         \x20     decode: {:e}  # ± {:.1e}\n\
         \x20     context: {:e}  # ± {:.1e}\n\
         \x20     step: {:e}  # ± {:.1e}\n",
        fitted.intervals,
        100.0 * fitted.residual,
        100.0 * fitted.prefill_share,
        100.0 * fitted.prefill_share_uncertainty,
        weights.prefill,
        doubt(0),
        weights.cached_prompt,
        weights.decode,
        doubt(1),
        weights.context,
        doubt(2),
        weights.step,
        doubt(3),
    )
}
