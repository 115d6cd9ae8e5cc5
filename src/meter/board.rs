//! Running figures of every sensor, for whoever watches: now, least, mean, most, joules so far.
//!
//! Pure: it takes samples and closes an interval when it is told to. Figures of reports come from the records, not
//! from here.

use std::collections::VecDeque;

use serde::Serialize;

use crate::record::{Component, DeviceRef, Quantity, SampleRecord, SensorInfo, Source};
use crate::units::{Joules, Nanos, Seconds, Watts};

use super::sampler::live::counted;

/// Points of the past that are kept.
pub const HISTORY: usize = 120;

/// All sensors.
#[derive(Debug, Clone)]
pub struct Board {
    began: Nanos,
    rows: Vec<Row>,
}

/// One sensor since the beginning.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Name of the sensor.
    pub sensor: String,
    /// What part of the machine.
    pub component: Component,
    /// The device, where there is one.
    pub device: Option<DeviceRef>,
    /// What is read.
    pub quantity: Quantity,
    /// Unit of `now`, `least`, `mean` and `most`: watts for energy counters, processors in use for processor time.
    pub unit: &'static str,
    /// Measured, modelled or assumed.
    pub source: Source,
    /// Whether its energy is in the totals of a run.
    pub counted: bool,
    /// Over the last interval.
    pub now: Option<f64>,
    /// Least of the intervals.
    pub least: Option<f64>,
    /// Over the whole time.
    pub mean: Option<f64>,
    /// Most of the intervals.
    pub most: Option<f64>,
    /// Energy since the beginning, where the sensor gives energy.
    pub joules: Option<f64>,
    /// How often its value changed, a second.
    pub changes_per_s: Option<f64>,
    /// Mean time that a read takes, in seconds.
    pub read_cost_s: Option<f64>,
    /// Why the last read failed.
    pub error: Option<String>,
    /// `now` of the last intervals, the oldest first.
    #[serde(skip)]
    pub history: VecDeque<f64>,
    #[serde(skip)]
    state: State,
    #[serde(skip)]
    wrap_at: Option<f64>,
}

#[derive(Debug, Clone, Default)]
struct State {
    first: Option<Nanos>,
    last: Option<(Nanos, f64)>,
    /// Amount at the last end of an interval: joules, seconds, or sum of values.
    closed: (Nanos, f64),
    /// Joules of energy, seconds of processor time.
    amount: f64,
    values: (f64, u64),
    in_interval: (f64, u64),
    changes: u64,
    cost: (f64, u64),
}

/// Power of a part of the machine, of everything counted in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartNow {
    /// GPU, CPU or RAM.
    pub component: Component,
    /// How far to believe it: the worst of its sensors.
    pub source: Source,
    /// Over the last interval.
    pub watts: Option<f64>,
    /// Since the beginning.
    pub joules: Option<f64>,
}

impl Board {
    /// Nothing was read yet.
    #[must_use]
    pub fn new(sensors: &[SensorInfo], began: Nanos) -> Self {
        Self { began, rows: sensors.iter().map(|info| Row::new(info, began)).collect() }
    }

    /// The sensors, in their order.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Time since the beginning.
    #[must_use]
    pub fn elapsed(&self, now: Nanos) -> Seconds {
        now.since(self.began)
    }

    /// Takes readings.
    pub fn take(&mut self, samples: &[SampleRecord]) {
        for sample in samples {
            if let Some(row) = self.rows.get_mut(usize::from(sample.sensor)) {
                row.take(sample);
            }
        }
    }

    /// Ends an interval: its figures become those of now.
    pub fn close(&mut self) {
        self.rows.iter_mut().for_each(Row::close);
    }

    /// Watts and joules of what is counted, by part; a part is not known unless all its sensors are.
    #[must_use]
    pub fn parts(&self) -> Vec<PartNow> {
        let mut parts: Vec<PartNow> = Vec::new();
        for row in self.rows.iter().filter(|row| row.counted) {
            match parts.iter_mut().find(|part| part.component == row.component) {
                Some(part) => {
                    part.source = part.source.max(row.source);
                    part.watts = part.watts.zip(row.now).map(|(a, b)| a + b);
                    part.joules = part.joules.zip(row.joules).map(|(a, b)| a + b);
                }
                None => parts.push(PartNow {
                    component: row.component,
                    source: row.source,
                    watts: row.now,
                    joules: row.joules,
                }),
            }
        }
        parts
    }
}

impl Row {
    fn new(info: &SensorInfo, began: Nanos) -> Self {
        Self {
            sensor: info.name.clone(),
            component: info.component,
            device: info.device.clone(),
            quantity: info.quantity,
            unit: match info.quantity {
                Quantity::EnergyCounter => Watts::UNIT,
                Quantity::CpuTime => "cpus",
                other => other.unit(),
            },
            source: info.source,
            counted: info.counted,
            now: None,
            least: None,
            mean: None,
            most: None,
            joules: None,
            changes_per_s: None,
            read_cost_s: None,
            error: None,
            history: VecDeque::new(),
            state: State { closed: (began, 0.0), ..State::default() },
            wrap_at: info.wrap_at,
        }
    }

    const fn is_energetic(&self) -> bool {
        matches!(self.quantity, Quantity::EnergyCounter | Quantity::Power)
    }

    /// Whether the value is a sum whose slope is shown.
    const fn is_cumulative(&self) -> bool {
        matches!(self.quantity, Quantity::EnergyCounter | Quantity::CpuTime)
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of reads")]
    fn take(&mut self, sample: &SampleRecord) {
        let state = &mut self.state;
        state.cost.0 += sample.after_ns.since(sample.before_ns).0;
        state.cost.1 += 1;
        self.read_cost_s = Some(state.cost.0 / state.cost.1 as f64);
        let Some(value) = sample.value else {
            self.error.clone_from(&sample.error);
            return;
        };
        self.error = None;
        let at = Nanos(sample.before_ns.0.midpoint(sample.after_ns.0));
        let Some((then, before)) = state.last.replace((at, value)) else {
            state.first = Some(at);
            state.closed = (at, 0.0);
            state.values = (value, 1);
            state.in_interval = (value, 1);
            return;
        };
        state.changes += u64::from(value.total_cmp(&before).is_ne());
        state.values = (state.values.0 + value, state.values.1 + 1);
        state.in_interval = (state.in_interval.0 + value, state.in_interval.1 + 1);
        state.amount += match self.quantity {
            Quantity::EnergyCounter => counted(before, value, self.wrap_at).value(),
            Quantity::Power => (Watts(f64::midpoint(before, value)) * at.since(then)).value(),
            Quantity::CpuTime => (value - before).max(0.0),
            _ => 0.0,
        };
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of reads")]
    fn close(&mut self) {
        let cumulative = self.is_cumulative();
        let state = &mut self.state;
        let Some((at, _)) = state.last else { return };
        let length = at.since(state.closed.0);
        let now = if cumulative {
            (length > Seconds::ZERO).then(|| (state.amount - state.closed.1) / length.0)
        } else {
            let (sum, count) = std::mem::take(&mut state.in_interval);
            (count > 0).then(|| sum / count as f64)
        };
        state.closed = (at, state.amount);
        let whole = state.first.map_or(0.0, |first| at.since(first).0);
        let (sum, count) = state.values;
        self.mean = if cumulative {
            (whole > 0.0).then(|| state.amount / whole)
        } else {
            Some(sum / count as f64)
        };
        self.changes_per_s = (whole > 0.0).then(|| state.changes as f64 / whole);
        self.joules = self.is_energetic().then_some(Joules(self.state.amount).value());
        // Without a reading in the interval the last figure stands.
        if let Some(now) = now {
            self.now = Some(now);
            self.least = Some(self.least.map_or(now, |least| least.min(now)));
            self.most = Some(self.most.map_or(now, |most| most.max(now)));
            self.history.push_back(now);
            if self.history.len() > HISTORY {
                self.history.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sensor(name: &str, quantity: Quantity, counted: bool) -> SensorInfo {
        SensorInfo {
            name: name.to_owned(),
            meter: "test".to_owned(),
            component: Component::Gpu,
            device: None,
            quantity,
            unit: quantity.unit().to_owned(),
            source: Source::Measured,
            scope: String::new(),
            method: String::new(),
            counted,
            resolution: None,
            update_period_s: None,
            sample_period_s: Seconds(1.0),
            wrap_at: Some(1000.0),
            systematic_relative: None,
            systematic_source: None,
            host: None,
            timing: None,
        }
    }

    fn sample(sensor: u16, second: f64, value: f64) -> SampleRecord {
        let at = Nanos(0).offset(Seconds(second));
        SampleRecord { sensor, before_ns: at, after_ns: at, value: Some(value), error: None }
    }

    fn near(figure: Option<f64>, expected: f64) -> bool {
        figure.is_some_and(|value| (value - expected).abs() < 1e-9)
    }

    #[test]
    fn a_counter_shows_its_slope_and_its_joules_across_a_wrap() {
        let mut board = Board::new(&[sensor("c", Quantity::EnergyCounter, true)], Nanos(0));
        board.take(&[sample(0, 0.0, 900.0), sample(0, 1.0, 950.0)]);
        board.close();
        board.take(&[sample(0, 2.0, 50.0)]);
        board.close();
        let row = &board.rows()[0];
        assert!(near(row.now, 100.0) && near(row.least, 50.0) && near(row.most, 100.0), "{row:?}");
        assert!(near(row.mean, 75.0) && near(row.joules, 150.0), "{row:?}");
        assert_eq!(row.history, [50.0, 100.0]);
        let parts = board.parts();
        assert!(near(parts[0].watts, 100.0) && near(parts[0].joules, 150.0));
    }

    #[test]
    fn power_is_averaged_within_an_interval_and_integrated_over_all() {
        let mut board = Board::new(&[sensor("p", Quantity::Power, false)], Nanos(0));
        board.take(&[sample(0, 0.0, 100.0), sample(0, 1.0, 200.0)]);
        board.close();
        let row = &board.rows()[0];
        assert!(near(row.now, 150.0) && near(row.joules, 150.0));
        assert!(board.parts().is_empty(), "a trace beside a counter is in no total");
    }

    #[test]
    fn processor_time_is_shown_as_processors_in_use() {
        let mut board = Board::new(&[sensor("t", Quantity::CpuTime, false)], Nanos(0));
        board.take(&[sample(0, 0.0, 10.0), sample(0, 2.0, 13.0)]);
        board.close();
        let row = &board.rows()[0];
        assert!(near(row.now, 1.5) && row.joules.is_none() && row.unit == "cpus");
    }

    #[test]
    fn a_failed_read_is_told_and_an_interval_without_readings_changes_nothing() {
        let mut board = Board::new(&[sensor("p", Quantity::Temperature, false)], Nanos(0));
        board.close();
        assert!(board.rows()[0].now.is_none());
        board.take(&[sample(0, 0.0, 40.0)]);
        board.close();
        board.take(&[SampleRecord {
            value: None,
            error: Some("gone".to_owned()),
            ..sample(0, 1.0, 0.0)
        }]);
        board.close();
        let row = &board.rows()[0];
        assert_eq!(row.error.as_deref(), Some("gone"));
        assert!(near(row.now, 40.0) && row.history.len() == 1);
    }
}
