//! What net energy is net of: the power of a named idle state, measured before and after, or known from elsewhere.
//!
//! The mean of before and after is taken, and half their difference joins the random uncertainty: the baseline
//! drifted by that much. Where only one is known there is no drift to tell, and the note says so.

use serde_json::Value;

use crate::record::{Component, Phase, Source};
use crate::units::{Joules, Seconds};

use super::energy::Metering;
use super::window::{Energy, Window};

/// Power with its uncertainty, W.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Power {
    watts: f64,
    random: f64,
    systematic: Option<f64>,
}

impl Power {
    const ZERO: Self = Self { watts: 0.0, random: 0.0, systematic: Some(0.0) };

    fn of(energy: Energy, length: Seconds) -> Self {
        Self {
            watts: energy.joules.0 / length.0,
            random: energy.random.0 / length.0,
            systematic: energy.systematic.map(|bound| bound.0 / length.0),
        }
    }

    /// Energy at this power.
    #[must_use]
    pub fn over(self, time: Seconds) -> Energy {
        Energy {
            joules: Joules(self.watts * time.0),
            random: Joules(self.random * time.0),
            systematic: self.systematic.map(|bound| Joules(bound * time.0)),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            watts: self.watts + other.watts,
            random: self.random.hypot(other.random),
            systematic: self.systematic.zip(other.systematic).map(|(one, two)| one + two),
        }
    }

    /// The mean of two, with half their difference as what the baseline drifted.
    fn between(self, other: Self) -> Self {
        let drift = (self.watts - other.watts).abs() / 2.0;
        Self {
            watts: self.watts.midpoint(other.watts),
            random: (self.random.hypot(other.random) / 2.0).hypot(drift),
            systematic: self.systematic.zip(other.systematic).map(|(one, two)| one.midpoint(two)),
        }
    }
}

type Known = Result<Power, String>;

/// Power in an idle state before and after the measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct Around {
    /// Before.
    pub before: Known,
    /// After.
    pub after: Known,
}

impl Around {
    fn mean(&self) -> Known {
        match (&self.before, &self.after) {
            (Ok(before), Ok(after)) => Ok(before.between(*after)),
            (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(*one),
            (Err(reason), Err(_)) => Err(format!("no idle power: {reason}")),
        }
    }

    const fn is_one_sided(&self) -> bool {
        self.before.is_ok() != self.after.is_ok()
    }
}

/// The baseline of some parts of the machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Baseline {
    /// `bare`, `context` or `model_loaded`.
    pub name: &'static str,
    /// The power that is taken off.
    pub power: Known,
    /// Assumed where someone gave it; else none, and it is that of the sensors.
    pub source: Option<Source>,
    /// What the net figure is, in words.
    pub note: String,
    /// Idling with the model loaded.
    pub loaded: Around,
    /// Idling without any model.
    pub bare: Around,
}

/// The baseline that the config names, for parts of the machine together.
#[must_use]
pub fn of(metering: &Metering<'_>, components: &[Component]) -> Baseline {
    let config = &metering.records().manifest.config;
    let loaded = Around {
        before: idle(metering, components, Phase::IdleBefore, Place::First, "idle phase before"),
        after: idle(metering, components, Phase::IdleAfter, Place::First, "idle phase after"),
    };
    let bare = bare(metering, components);
    let name = match config.pointer("/metrics/baseline").and_then(Value::as_str) {
        Some("bare") => "bare",
        Some("context") => "context",
        _ => "model_loaded",
    };
    let given = given(config, components);
    let (state, around) = match name {
        "bare" => ("of the machine before the model was loaded", Some(&bare)),
        "context" => ("of an initialised device without a model", None),
        _ => ("of idling with the model loaded", Some(&loaded)),
    };
    let mut note = format!("less the power {state} ({name})");
    let (power, source) = match (given, around) {
        (Some(power), _) => {
            note.push_str(", as metrics.baseline_power_w gives it");
            (Ok(power), Some(Source::Assumed))
        }
        (None, Some(around)) => {
            if around.is_one_sided() {
                note.push_str(
                    "; it was measured on one side only, so its drift is not in the uncertainty",
                );
            }
            (around.mean(), None)
        }
        (None, None) => {
            let reason = "a run does not pass through this state: give its power in metrics.baseline_power_w";
            (Err(reason.to_owned()), None)
        }
    };
    Baseline { name, power, source, note, loaded, bare }
}

/// Power that the config gives for every one of the parts.
fn given(config: &Value, components: &[Component]) -> Option<Power> {
    components.iter().try_fold(Power::ZERO, |sum, component| {
        let key = format!("/metrics/baseline_power_w/{}", component.as_str());
        let watts = config.pointer(&key).and_then(Value::as_f64)?;
        Some(sum.plus(Power { watts, random: 0.0, systematic: None }))
    })
}

fn bare(metering: &Metering<'_>, components: &[Component]) -> Around {
    let records = metering.records();
    let spans = records.spans(Phase::IdleBare);
    if spans.is_empty() {
        let reason = if records.manifest.backend.local {
            "the model was loaded before this run began"
        } else {
            "the model runs on another machine"
        };
        return Around { before: Err(reason.to_owned()), after: Err(reason.to_owned()) };
    }
    let phase = Phase::IdleBare;
    Around {
        before: idle(metering, components, phase, Place::First, "bare idle phase before"),
        after: idle(metering, components, phase, Place::Second, "bare idle phase after"),
    }
}

/// Which of the times that a phase was gone through.
#[derive(Debug, Clone, Copy)]
enum Place {
    First,
    Second,
}

/// Mean power over an idle phase, as energy over its length.
fn idle(
    metering: &Metering<'_>,
    components: &[Component],
    phase: Phase,
    place: Place,
    name: &str,
) -> Known {
    let spans = metering.records().spans(phase);
    let span = match place {
        Place::First => spans.first(),
        Place::Second => spans.get(1),
    };
    let window = span.and_then(|span| Some(Window { from: span.from, to: span.to? }));
    let Some(window) = window.filter(|window| window.length() > Seconds::ZERO) else {
        return Err(format!("there was no {name}"));
    };
    Ok(Power::of(metering.energy_of(components, window)?, window.length()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn power(watts: f64, random: f64) -> Power {
        Power { watts, random, systematic: Some(0.05 * watts) }
    }

    #[test]
    fn the_drift_of_a_baseline_is_in_its_uncertainty() {
        let mean = power(100.0, 3.0).between(power(110.0, 4.0));
        assert!((mean.watts - 105.0).abs() < 1e-12);
        assert!((mean.random - 2.5_f64.hypot(5.0)).abs() < 1e-12);
        assert!((mean.systematic.unwrap() - 5.25).abs() < 1e-12);
        let energy = mean.over(Seconds(10.0));
        assert!((energy.joules.0 - 1050.0).abs() < 1e-9);
    }

    #[test]
    fn one_side_serves_where_the_other_is_missing() {
        let around = Around { before: Err("cut".to_owned()), after: Ok(power(60.0, 1.0)) };
        assert_eq!(around.mean(), Ok(power(60.0, 1.0)));
        assert!(around.is_one_sided());
        let none = Around { before: Err("cut".to_owned()), after: Err("too".to_owned()) };
        assert_eq!(none.mean(), Err("no idle power: cut".to_owned()));
    }

    #[test]
    fn power_from_elsewhere_counts_only_where_it_is_given_for_every_part() {
        let config =
            serde_json::json!({"metrics": {"baseline_power_w": {"gpu": 70.0, "cpu": null}}});
        let gpu = given(&config, &[Component::Gpu]).unwrap();
        assert!((gpu.watts - 70.0).abs() < 1e-12 && gpu.systematic.is_none());
        assert_eq!(given(&config, &[Component::Gpu, Component::Cpu]), None);
    }
}
