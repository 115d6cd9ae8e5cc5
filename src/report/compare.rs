//! A comparison of two sets of runs, as text and as JSON.

use crate::analysis::compare::{ComparedFigure, ComparedRun, ComparedSet, Comparison};
use crate::analysis::inference::Test;

use super::ReportError;
use super::table::digits;

/// Changes of the config that are shown; further ones are counted.
const MOST_CHANGES: usize = 20;

/// For machines.
///
/// # Errors
/// Never for a comparison; the JSON writer's own otherwise.
pub fn json(comparison: &Comparison) -> Result<Vec<u8>, ReportError> {
    let mut bytes = serde_json::to_vec_pretty(comparison)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// For people.
#[must_use]
pub fn text(comparison: &Comparison) -> String {
    let mut text = String::new();
    set(&mut text, "A", &comparison.a);
    set(&mut text, "B", &comparison.b);
    text.push_str(&format!(
        "One value is a {}, in the order {}; what lies between two: {} ({})\n\n",
        comparison.value_is,
        comparison.order,
        comparison.unit.as_str(),
        comparison.unit_reason
    ));
    text.push_str(&format!(
        "{:<26}{:>20}{:>20}{:>9}{:>20}{:>9}  verdict\n",
        "", "A, mean ± sd", "B, mean ± sd", "B/A", "95 % of B/A", "p"
    ));
    for figure in &comparison.figures {
        line(&mut text, figure);
    }
    if !comparison.different.is_empty() {
        text.push_str("\nDifferent (A | B)\n");
        for change in comparison.different.iter().take(MOST_CHANGES) {
            text.push_str(&format!("  {change}\n"));
        }
        let more = comparison.different.len().saturating_sub(MOST_CHANGES);
        if more > 0 {
            text.push_str(&format!("  and {more} more\n"));
        }
    }
    if !comparison.warnings.is_empty() {
        text.push_str("\nCautions\n");
        for warning in &comparison.warnings {
            text.push_str(&format!("  ! {}\n", warning.message));
        }
    }
    text
}

fn set(text: &mut String, name: &str, runs: &[ComparedRun]) {
    let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    let mut once = names.clone();
    once.dedup();
    let repetitions: u64 = runs.iter().map(|run| run.repetitions).sum();
    text.push_str(&format!(
        "{name}: {} ({} run(s), {repetitions} repetition(s), from {})\n",
        once.join(", "),
        runs.len(),
        runs.first().map_or("-", |run| run.started.as_str())
    ));
}

fn line(text: &mut String, figure: &ComparedFigure) {
    let shown = |set: &ComparedSet| match (set.mean, set.std) {
        (Some(mean), Some(std)) => format!("{} ± {}", digits(mean), digits(std)),
        (Some(mean), None) => digits(mean),
        _ => "-".to_owned(),
    };
    text.push_str(&format!("{:<26}{:>20}{:>20}", figure.key, shown(&figure.a), shown(&figure.b)));
    match &figure.difference {
        Some(found) => {
            let test = match found.test {
                Test::Paired => "paired",
                Test::Welch => "Welch",
            };
            let verdict = if found.differs {
                format!("differs by {:+.1} % ({test})", 100.0 * (found.ratio - 1.0))
            } else {
                format!("no difference shown ({test})")
            };
            let [low, high] = found.interval_95;
            text.push_str(&format!(
                "{:>9.4}{:>20}{:>9.2e}  {verdict}\n",
                found.ratio,
                format!("{low:.4} to {high:.4}"),
                found.p
            ));
        }
        None => {
            text.push_str(&format!("  {}\n", figure.reason.as_deref().unwrap_or("not compared")));
        }
    }
}
