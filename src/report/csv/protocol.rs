//! Repetitions, steady state and baseline as columns.

use crate::analysis::Findings;
use crate::analysis::repetition::RepeatedFigure;

use super::{Column, figure, number};

/// Columns of one figure over the repetitions; the names are spelt out because they are searched for.
macro_rules! repeated {
    ($prefix:literal, $figure:expr) => {{
        let figure: Option<&RepeatedFigure> = $figure;
        let of = |pick: fn(&RepeatedFigure) -> Option<f64>| number(figure.and_then(pick));
        [
            (concat!($prefix, "_mean"), of(|figure| figure.mean)),
            (concat!($prefix, "_sd"), of(|figure| figure.std)),
            (concat!($prefix, "_ci95_low"), of(|figure| Some(figure.interval_95?[0]))),
            (concat!($prefix, "_ci95_high"), of(|figure| Some(figure.interval_95?[1]))),
            (concat!($prefix, "_cv"), of(|figure| figure.cv)),
            (
                concat!($prefix, "_drift_per_repetition"),
                of(|figure| Some(figure.drift?.per_repetition)),
            ),
            (concat!($prefix, "_drift_p"), of(|figure| Some(figure.drift?.p))),
        ]
    }};
}

pub(super) fn columns(findings: &Findings) -> Vec<Column> {
    let protocol = &findings.protocol;
    let repetitions = &protocol.repetitions;
    let steady = &protocol.steady_state;
    let measured = &findings.energy.measured.account;
    let mut columns = vec![
        ("repetitions", repetitions.rows.len().to_string()),
        ("repetition_unit", repetitions.unit.as_str().to_owned()),
    ];
    columns.extend(repeated!(
        "repeated_j_per_output_token",
        repetitions.figure("joules_per_output_token")
    ));
    columns.extend(repeated!("repeated_j_per_request", repetitions.figure("joules_per_request")));
    columns.extend(repeated!(
        "repeated_output_tokens_per_s",
        repetitions.figure("output_tokens_per_second")
    ));
    columns.extend([
        ("steady_duration_s", figure(&steady.duration)),
        ("steady_energy_j", figure(&steady.energy)),
        ("steady_mean_power_w", figure(&steady.mean_power)),
        ("steady_output_tokens_per_s", figure(&steady.output_tokens_per_second)),
        ("steady_j_per_output_token", figure(&steady.joules_per_output_token)),
        ("measured_bare_power_before_w", figure(&measured.bare_power_before)),
        ("measured_bare_power_after_w", figure(&measured.bare_power_after)),
        ("measured_baseline_power_w", figure(&measured.baseline_power)),
        ("foreign_processor_share", figure(&protocol.foreign_processor_share)),
    ]);
    columns
}
