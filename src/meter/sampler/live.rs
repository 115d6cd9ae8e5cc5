//! Running figures for a progress display; the figures of a report come from the records.

use crate::record::{Component, Quantity, SensorInfo, Source};
use crate::units::{Joules, Nanos, Seconds, Watts};

/// A counter's slope says something of the power only over a longer time than this.
const SHORTEST_SLOPE: Seconds = Seconds(0.3);

/// Watts and joules of one component, for a progress display.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LiveComponent {
    /// GPU, CPU or RAM.
    pub component: Component,
    /// How far to believe it.
    pub source: Source,
    /// Power at the last readings.
    pub watts: Option<Watts>,
    /// Energy since [`super::Sampler::mark`].
    pub joules: Option<Joules>,
}

/// Running figures of one sensor.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Live {
    pub(super) last: Option<(Nanos, f64)>,
    pub(super) watts: Option<Watts>,
    pub(super) joules: Option<Joules>,
}

impl Live {
    /// Joules count from here.
    pub(super) fn mark(&mut self) {
        self.joules = self.last.map(|_| Joules::ZERO);
    }

    pub(super) fn add(&mut self, info: &SensorInfo, value: f64, at: Nanos) {
        let earlier = self.last.replace((at, value));
        let Some((then, before)) = earlier else {
            self.joules = Some(Joules::ZERO);
            self.watts = (info.quantity == Quantity::Power).then_some(Watts(value));
            return;
        };
        let time = at.since(then);
        let energy = match info.quantity {
            Quantity::EnergyCounter => counted(before, value, info.wrap_at),
            Quantity::Power => Watts(f64::midpoint(before, value)) * time,
            _ => return,
        };
        self.joules = self.joules.map(|sum| sum + energy);
        // A counter that has not stepped says nothing of the power now.
        if info.quantity == Quantity::Power {
            self.watts = Some(Watts(value));
        } else if time > SHORTEST_SLOPE {
            self.watts = Some(energy / time);
        }
    }
}

/// Joules between two values of a counter; a fall is a new round where it has rounds, else a restart from zero.
pub(in crate::meter) fn counted(before: f64, value: f64, wrap_at: Option<f64>) -> Joules {
    if value >= before {
        Joules(value - before)
    } else {
        Joules(wrap_at.map_or(value, |range| range - before + value))
    }
}
