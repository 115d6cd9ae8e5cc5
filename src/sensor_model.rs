//! What is known of sensors from recordings of known work: how late they show what happened.
//!
//! `data/sensor_timing.csv` holds the figures and what they were fitted on; `docs/sensors.md` says how. A sensor that
//! is not in the table is taken as it is, and its edges keep the uncertainty of its own steps.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::record::{Quantity, SensorTiming};
use crate::units::Seconds;

const TABLE: &str = include_str!("../data/sensor_timing.csv");

#[derive(Debug, Deserialize)]
struct Row {
    /// A word of the product name: `H100`.
    model: String,
    quantity: Quantity,
    lag_s: f64,
    jitter_s: f64,
    fitted_on: String,
}

fn rows() -> &'static [Row] {
    static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
        csv::Reader::from_reader(TABLE.as_bytes())
            .deserialize()
            .collect::<Result<_, _>>()
            .expect("the table is compiled in and a test parses it")
    });
    &ROWS
}

/// The timing of an NVIDIA sensor by the product name of its GPU; none where no recording was fitted.
#[must_use]
pub fn nvidia_timing(product: &str, quantity: Quantity) -> Option<SensorTiming> {
    let is_word =
        |word: &str| product.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| part == word);
    let row = rows().iter().find(|row| row.quantity == quantity && is_word(&row.model))?;
    Some(SensorTiming {
        lag_s: Seconds(row.lag_s),
        jitter_s: Seconds(row.jitter_s),
        source: row.fitted_on.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_parses_and_its_figures_are_physical() {
        assert!(!rows().is_empty());
        for row in rows() {
            assert!((0.0..0.2).contains(&row.lag_s), "{row:?}");
            assert!(row.jitter_s > 0.0 && row.jitter_s < 0.05, "{row:?}");
            assert!(!row.fitted_on.is_empty());
        }
    }

    #[test]
    fn a_product_is_found_by_a_word_of_its_name_and_no_other() {
        let counter = Quantity::EnergyCounter;
        assert!(nvidia_timing("NVIDIA H100 80GB HBM3", counter).is_some());
        assert!(nvidia_timing("NVIDIA H1000", counter).is_none());
        assert!(nvidia_timing("NVIDIA H100 80GB HBM3", Quantity::Temperature).is_none());
    }
}
