//! What the metering itself cost: processor time, and the joules that a model makes of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::{Component, Quantity, Source};
use crate::units::{Joules, Nanos, Seconds, Watts};

use super::energy::Metering;
use super::findings::Figure;
use super::window::Window;

/// The registry name of the meter that tells.
const OWN_COST: &str = "own_cost";
/// Power of one busy core where nothing tells it: more than most draw, so that the cost is not made small.
const ASSUMED_WATTS: f64 = 10.0;

/// Processor time and energy of the thread that reads the sensors, from its first reading to its last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MeterCost {
    /// Processor time.
    pub cpu_time: Figure,
    /// Processor time over wall time: 0.01 is one hundredth of a core.
    pub share_of_core: Figure,
    /// Power of a busy core that the energy is computed with.
    pub core_power: Figure,
    /// Processor time times that power. It is part of the CPU's energy, not beside it.
    pub energy: Figure,
}

impl Metering<'_> {
    /// What the metering cost; all null where that was not recorded.
    #[must_use]
    pub fn own_cost(&self, cpu_count: u32) -> MeterCost {
        let Some((cpu_time, window)) = self.own_time() else {
            let unknown = |unit| Figure::unknown(unit, "the records say nothing of it");
            return MeterCost {
                cpu_time: unknown(Seconds::UNIT),
                share_of_core: unknown("1"),
                core_power: unknown(Watts::UNIT),
                energy: unknown(Joules::UNIT),
            };
        };
        let core_power = self.core_power(window, cpu_count);
        let measured = |value, unit| Figure::known(value, unit, Source::Measured);
        let mut energy = core_power.scaled(cpu_time.0, Joules::UNIT);
        energy.source = energy.value.map(|_| Source::Modelled);
        MeterCost {
            cpu_time: measured(cpu_time.0, Seconds::UNIT),
            share_of_core: measured(cpu_time / window.length(), "1"),
            core_power,
            energy,
        }
    }

    /// Processor time between the first and the last reading of it.
    fn own_time(&self) -> Option<(Seconds, Window)> {
        let channel = self.channels.iter().find(|channel| channel.info.meter == OWN_COST)?;
        let good = || channel.samples.iter().filter(|sample| sample.value.is_some());
        let (first, last) = (good().next()?, good().next_back()?);
        let window = Window { from: first.after_ns, to: last.after_ns };
        let used = Seconds(last.value? - first.value?);
        (window.length() > Seconds::ZERO).then_some((used, window))
    }

    /// What a busy core draws: the CPU's power over the cores that were busy, its idle power included.
    fn core_power(&self, window: Window, cpu_count: u32) -> Figure {
        let assumed = || {
            Figure::known(ASSUMED_WATTS, Watts::UNIT, Source::Assumed)
                .note("assumed: nothing tells the power of a core here")
        };
        let busy = self.busy_cores(window, cpu_count);
        match (self.energy_of(&[Component::Cpu], window), busy) {
            (Ok(energy), Some(busy)) => {
                let watts = energy.joules / window.length();
                Figure::known(watts.0 / busy.max(1.0), Watts::UNIT, Source::Modelled)
                    .note("the CPU's mean power over the cores in use, its idle power included")
            }
            _ => assumed(),
        }
    }

    fn busy_cores(&self, window: Window, cpu_count: u32) -> Option<f64> {
        let load = self.channels.iter().find(|channel| {
            channel.info.component == Component::Cpu
                && channel.info.quantity == Quantity::Utilization
        })?;
        let within = |at: Nanos| window.from <= at && at <= window.to;
        let values: Vec<f64> = load
            .samples
            .iter()
            .filter(|sample| within(sample.after_ns))
            .filter_map(|sample| sample.value)
            .collect();
        super::stats::mean(&values).map(|share| share * f64::from(cpu_count))
    }
}
