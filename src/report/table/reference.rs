//! External meters, and what bounds the sensors' own error.

use crate::analysis::Findings;
use crate::analysis::reference::{GainFacts, ReferenceFindings};
use crate::record::reference::ReferenceScope;
use crate::record::{Component, Source};

use super::{Page, digits, missing, with_doubt};

/// The section.
pub(super) fn section(page: &mut Page, findings: &Findings) {
    for found in &findings.references {
        let what = match found.scope {
            ReferenceScope::Wall => "the whole machine at the wall",
            ReferenceScope::Gpu => "the GPU alone",
        };
        page.heading(&format!("External meter: {what} (beside the sensors, in no sum)"));
        one(page, found);
    }
    bounds(page, findings);
}

fn one(page: &mut Page, found: &ReferenceFindings) {
    let interval = found.interval.value.map(digits).unwrap_or_default();
    page.field(
        "file",
        &format!(
            "{} ({}, {}), {} readings every {interval} s",
            found.file, found.format, found.channel, found.readings
        ),
    );
    match &found.clock {
        Some(clock) => page.field(
            "clock",
            &format!(
                "{} s ahead ± {} s at most; {}; {} load steps",
                clock.offset.value.map(digits).unwrap_or_default(),
                clock.bound.value.map(digits).unwrap_or_default(),
                clock.method,
                clock.load_steps
            ),
        ),
        None => page.field("clock", &missing(&found.energy)),
    }
    if found.energy.value.is_some() {
        let power = found.mean_power.value.map(digits).unwrap_or_default();
        page.field("energy, J", &format!("{}; {power} W", with_doubt(&found.energy)));
        page.field(
            "sensors, J",
            &format!(
                "{}; meter over sensors {}",
                with_doubt(&found.sensors_energy),
                with_doubt(&found.ratio)
            ),
        );
    }
    if let Some(gain) = &found.gain {
        page.field("gain", &told(gain));
    }
}

fn told(facts: &GainFacts) -> String {
    let what = facts.uuid.as_ref().map(|uuid| format!(" of {uuid}")).unwrap_or_default();
    let end = match (&facts.keep, &facts.not_kept) {
        (Some(gain), _) => format!(
            "; later runs on it have a systematic bound of {:.1} %",
            100.0 * gain.bound_relative
        ),
        (None, Some(why)) => format!("; not kept: {why}"),
        (None, None) => String::new(),
    };
    format!("{}{what}{end}", with_doubt(&facts.gain))
}

/// What bounds the systematic error of each measured GPU.
fn bounds(page: &mut Page, findings: &Findings) {
    for sensor in &findings.sensors {
        let info = &sensor.info;
        let relevant =
            info.counted && info.component == Component::Gpu && info.source == Source::Measured;
        let Some(bound) = info.systematic_relative.filter(|_| relevant) else { continue };
        let source = info.systematic_source.as_deref().unwrap_or("nobody");
        let class = if source.starts_with("calibrated") {
            ""
        } else {
            "not calibrated; bound of its class: "
        };
        page.field(
            &format!("± system {}", info.name),
            &format!("{:.1} %, {class}{source}", 100.0 * bound),
        );
    }
}
