//! What the metering itself cost, in one line.

use crate::analysis::meter_cost::MeterCost;
use crate::record::Source;

use super::{Page, digits};

/// Nothing where it is not known: then there was no metering, or the records are of an earlier version.
pub(super) fn line(page: &mut Page, cost: Option<&MeterCost>) {
    let Some(cost) = cost else { return };
    let (Some(time), Some(share)) = (cost.cpu_time.value, cost.share_of_core.value) else {
        return;
    };
    let mut text = format!("{time:.2} s of processor time ({:.2} % of a core)", 100.0 * share);
    if let (Some(joules), Some(watts)) = (cost.energy.value, cost.core_power.value) {
        let how =
            if cost.core_power.source == Some(Source::Assumed) { "assumed" } else { "modelled" };
        text.push_str(&format!(", about {} J at {watts:.1} W a core ({how})", digits(joules)));
    }
    page.field("Metering itself", &text);
}
