//! Energy by device, by part of the machine and in total, gross and net.
//!
//! Gross is what the repetitions of the measurement used, each over its own window; what lies between them is in no figure.

use std::sync::Arc;

use crate::record::{Component, Quantity, RunRecords, SampleRecord, SensorInfo, Source, Whose};
use crate::units::{Joules, Seconds, Watts};

use super::baseline::{self, Power};
use super::findings::{
    Account, ComponentEnergy, CrossCheck, DeviceEnergy, EnergyFindings, Figure, Machine,
    Observation, SensorFindings, Total, Uncertainty,
};
use super::scope::{CpuShare, Shares};
use super::stats;
use super::window::{Curve, Energy, NoEnergy, Window};

/// Parts of a machine, in the order of reports.
pub const COMPONENTS: [Component; 3] = [Component::Gpu, Component::Cpu, Component::Ram];

/// One sensor with its samples and, where it gives energy, its curve.
pub struct Channel<'a> {
    /// Provenance.
    pub info: &'a SensorInfo,
    /// Its samples in order.
    pub samples: Vec<&'a SampleRecord>,
    /// Cumulative energy.
    pub curve: Result<Curve, NoEnergy>,
}

/// All sensors of a run.
pub struct Metering<'a> {
    /// In the manifest's order.
    pub channels: Vec<Channel<'a>>,
    records: &'a RunRecords,
    /// Each repetition's: first request sent to last request ended. Energy and power are over these.
    pub windows: Vec<Window>,
    /// From the first's begin to the last's end; none without requests.
    pub window: Option<Window>,
    /// Whose processor time it was.
    pub shares: Shares,
}

/// Why there is no energy without requests.
const NO_WINDOW: &str = "no request was sent: there is no measured window";

/// From the first begin to the last end.
fn hull(windows: &[Window]) -> Option<Window> {
    Some(Window {
        from: windows.iter().map(|window| window.from).min()?,
        to: windows.iter().map(|window| window.to).max()?,
    })
}

/// Energy that is known, or why it is not.
pub(super) type Known = Result<Energy, String>;

impl<'a> Metering<'a> {
    /// Sorts the samples of a run by sensor and builds the curves.
    #[must_use]
    pub fn of(records: &'a RunRecords, windows: Vec<Window>) -> Self {
        let sensors = &records.manifest.sensors;
        let mut samples: Vec<Vec<&SampleRecord>> = vec![Vec::new(); sensors.len()];
        for sample in &records.samples {
            if let Some(list) = samples.get_mut(usize::from(sample.sensor)) {
                list.push(sample);
            }
        }
        let mut channels: Vec<Channel<'a>> = sensors
            .iter()
            .zip(samples)
            .map(|(info, samples)| {
                let curve = Curve::build(info, samples.iter().copied());
                Channel { info, samples, curve }
            })
            .collect();
        shape_counters(&mut channels);
        Self { channels, records, window: hull(&windows), windows, shares: Shares::of(records) }
    }

    /// The records that it is of.
    #[must_use]
    pub const fn records(&self) -> &'a RunRecords {
        self.records
    }

    /// The counted sensors of a part of the machine.
    pub fn counted(&self, component: Component) -> Vec<&Channel<'a>> {
        self.channels
            .iter()
            .filter(|channel| channel.info.counted && channel.info.component == component)
            .collect()
    }

    /// Whether a part was selected and exists, and what was said about it.
    #[must_use]
    pub fn scope(&self, component: Component) -> (bool, String) {
        let found = self.records.manifest.scope.iter().find(|scope| scope.component == component);
        found.map_or_else(
            || (false, "not part of this run".to_owned()),
            |scope| (scope.counted, scope.reason.clone()),
        )
    }

    /// The worst source among the counted sensors of a part; none without sensors. A share is a model's.
    #[must_use]
    pub fn source(&self, component: Component) -> Option<Source> {
        let worst = self.counted(component).iter().map(|channel| channel.info.source).max();
        if self.is_shared(component) { worst.max(worst.map(|_| Source::Modelled)) } else { worst }
    }

    /// Whether only a part of this component's energy is counted: the server's.
    fn is_shared(&self, component: Component) -> bool {
        let scope = self.records.manifest.cpu_scope.as_ref();
        component == Component::Cpu && scope.is_some_and(|scope| scope.counted != Whose::Machine)
    }

    /// The factor by which energy of a component counts in a window: 1, or the server's share of the CPU's.
    ///
    /// # Errors
    /// In words, where the share is not known.
    pub fn counted_part(&self, component: Component, window: Window) -> Result<f64, String> {
        if self.is_shared(component) { Ok(self.shares.share(window)?.0) } else { Ok(1.0) }
    }

    /// The server's share of the CPU energy of the measured window.
    #[must_use]
    pub fn cpu_share(&self) -> Option<CpuShare> {
        if self.counted(Component::Cpu).is_empty() {
            return None;
        }
        let whole = self.window.ok_or_else(|| NO_WINDOW.to_owned());
        let cpu = whole.and_then(|window| self.whole(Component::Cpu, window));
        Some(self.shares.finding(self.records.manifest.cpu_scope.as_ref(), self.window, &cpu))
    }

    /// Energy of parts over a window: every counted sensor of them, or why not.
    ///
    /// # Errors
    /// In words, when one of the sensors cannot say.
    pub fn energy_of(&self, components: &[Component], window: Window) -> Known {
        let mut sum = Energy::ZERO;
        for component in components {
            let whole = self.whole(*component, window)?;
            let shared = self.is_shared(*component);
            sum = sum.plus(if shared { self.shares.part(whole, window)? } else { whole });
        }
        Ok(sum)
    }

    /// Energy of a part with everything that ran there.
    fn whole(&self, component: Component, window: Window) -> Known {
        let channels = self.counted(component);
        if channels.is_empty() {
            return Err(format!("{} is counted but has no sensor", component.as_str()));
        }
        channels.iter().try_fold(Energy::ZERO, |sum, channel| Ok(sum.plus(channel.energy(window)?)))
    }

    /// Energy of parts over all repetitions.
    ///
    /// # Errors
    /// In words, when there are none or one of them is not known.
    pub fn measured_energy(&self, components: &[Component]) -> Known {
        self.over_windows(|window| self.energy_of(components, window))
    }

    fn over_windows(&self, energy: impl Fn(Window) -> Known) -> Known {
        if self.windows.is_empty() {
            return Err(NO_WINDOW.to_owned());
        }
        self.windows.iter().try_fold(Energy::ZERO, |sum, window| Ok(sum.plus(energy(*window)?)))
    }

    /// Length of all repetitions together; none without requests.
    #[must_use]
    pub fn measured_length(&self) -> Option<Seconds> {
        (!self.windows.is_empty()).then(|| self.windows.iter().map(|window| window.length()).sum())
    }

    /// The parts counted, those measured or those not.
    #[must_use]
    pub fn parts(&self, measured: bool) -> Vec<Component> {
        COMPONENTS
            .into_iter()
            .filter(|component| self.scope(*component).0)
            // A part without sensors should have been measured: its absence must show in the headline.
            .filter(|component| {
                (self.source(*component).unwrap_or(Source::Measured) == Source::Measured)
                    == measured
            })
            .collect()
    }

    /// Energy of the machine, by part and in total.
    #[must_use]
    pub fn findings(&self, machine: Machine) -> EnergyFindings {
        let measured = self.total(self.parts(true), "nothing on this machine is measured");
        let modelled = self.total(self.parts(false), "nothing is modelled in this run");
        let all = [measured.included.clone(), modelled.included.clone()].concat();
        let mut combined = self.total(all, "nothing is metered in this run");
        combined.included.sort();
        let modelled_share = share(&modelled, &measured, &combined);
        EnergyFindings {
            machine,
            components: COMPONENTS.map(|component| self.component(component)).into(),
            measured,
            modelled,
            combined,
            modelled_share,
        }
    }

    fn component(&self, component: Component) -> ComponentEnergy {
        let (counted, mut what) = self.scope(component);
        if self.is_shared(component) {
            let who = self.records.manifest.cpu_scope.as_ref().and_then(|scope| scope.who.clone());
            what = format!("{what}; of it the share of {}", who.unwrap_or_default());
        }
        let account = if counted { self.account(&[component]) } else { unknown_account(&what) };
        let devices = self.counted(component).iter().map(|channel| self.device(channel)).collect();
        ComponentEnergy { component, counted, what, account, devices }
    }

    fn device(&self, channel: &Channel<'_>) -> DeviceEnergy {
        let gross = self.over_windows(|window| channel.energy(window));
        let gross = energy_figure(&gross, channel.info.source);
        DeviceEnergy {
            sensor: channel.info.name.clone(),
            device: channel.info.device.clone(),
            scope: channel.info.scope.clone(),
            mean_power: self.mean_power(&gross),
            gross,
        }
    }

    fn total(&self, included: Vec<Component>, none: &str) -> Total {
        let account =
            if included.is_empty() { unknown_account(none) } else { self.account(&included) };
        Total { included, account }
    }

    /// A figure over the length of the measured window.
    #[must_use]
    pub fn mean_power(&self, energy: &Figure) -> Figure {
        let length = self.measured_length().map(Seconds::value);
        energy.per(length, Watts::UNIT, "the measured window has no length")
    }

    fn account(&self, components: &[Component]) -> Account {
        let source = components
            .iter()
            .filter_map(|component| self.source(*component))
            .max()
            .unwrap_or(Source::Measured);
        let gross = self.measured_energy(components);
        let base = baseline::of(self, components);
        let length = self.measured_length().ok_or_else(|| NO_WINDOW.to_owned());
        let idle = base.power.clone().and_then(|power| Ok(power.over(length?)));
        let net = match (&gross, &idle) {
            (Ok(gross), Ok(idle)) => Ok(less(*gross, *idle)),
            (Err(reason), _) | (_, Err(reason)) => Err(reason.clone()),
        };
        let gross_figure = energy_figure(&gross, source);
        let net_source = source.max(base.source.unwrap_or(source));
        let watts = |power: &Result<Power, String>| power_figure(power, source);
        Account {
            mean_power: self.mean_power(&gross_figure),
            idle_power_before: watts(&base.loaded.before),
            idle_power_after: watts(&base.loaded.after),
            bare_power_before: watts(&base.bare.before),
            bare_power_after: watts(&base.bare.after),
            baseline_power: power_figure(&base.power, net_source),
            net_baseline: net.is_ok().then(|| base.name.to_owned()),
            net: energy_figure(&net, net_source).note(base.note),
            idle_share: idle_share(&gross, &idle, net_source),
            gross: gross_figure,
        }
    }

    /// Every sensor with what it did.
    #[must_use]
    pub fn sensors(&self) -> Vec<SensorFindings> {
        self.channels.iter().map(|channel| self.sensor(channel)).collect()
    }

    fn sensor(&self, channel: &Channel<'_>) -> SensorFindings {
        let costs: Vec<f64> = channel
            .samples
            .iter()
            .map(|sample| sample.after_ns.since(sample.before_ns).0)
            .collect();
        let reads = channel.samples.iter().filter(|sample| sample.value.is_some()).count();
        let counter = channel.info.quantity == Quantity::EnergyCounter;
        SensorFindings {
            info: channel.info.clone(),
            reads: reads as u64,
            failed_reads: (channel.samples.len() - reads) as u64,
            changes: channel.curve.as_ref().ok().filter(|_| counter).map(|c| c.changes() as u64),
            longest_gap: match (&channel.curve, self.window) {
                (Ok(curve), Some(window)) => {
                    Figure::known(curve.longest_gap(window).0, Seconds::UNIT, Source::Measured)
                }
                (Err(reason), _) => Figure::unknown(Seconds::UNIT, reason.to_string()),
                (_, None) => Figure::unknown(Seconds::UNIT, "no request was sent"),
            },
            read_cost: stats::mean(&costs).map_or_else(
                || Figure::unknown(Seconds::UNIT, "it was never read"),
                |cost| Figure::known(cost, Seconds::UNIT, Source::Measured),
            ),
        }
    }

    /// What sensors that give no energy saw in the measured window; not those of which a mean means nothing.
    #[must_use]
    pub fn observations(&self) -> Vec<Observation> {
        let elsewhere = [
            Quantity::EnergyCounter,
            Quantity::Power,
            Quantity::ThrottleReasons,
            Quantity::CpuTime,
            Quantity::TokenCounter,
        ];
        self.channels
            .iter()
            .filter(|channel| !elsewhere.contains(&channel.info.quantity))
            .map(|channel| self.observation(channel))
            .collect()
    }

    fn observation(&self, channel: &Channel<'_>) -> Observation {
        let info = channel.info;
        let values: Vec<f64> = channel
            .samples
            .iter()
            .filter(|sample| {
                self.windows
                    .iter()
                    .any(|window| sample.before_ns >= window.from && sample.after_ns <= window.to)
            })
            .filter_map(|sample| sample.value)
            .collect();
        let figure = |value: Option<f64>| match value {
            Some(value) => Figure::known(value, info.quantity.unit(), info.source),
            None => Figure::unknown(info.quantity.unit(), "no reading in the measured window"),
        };
        Observation {
            sensor: info.name.clone(),
            component: info.component,
            device: info.device.clone(),
            quantity: info.quantity,
            mean: figure(stats::mean(&values)),
            min: figure(values.iter().copied().min_by(f64::total_cmp)),
            max: figure(values.iter().copied().max_by(f64::total_cmp)),
        }
    }

    /// Energy counters against power of the same device, over the measured window.
    #[must_use]
    pub fn cross_checks(&self) -> Vec<CrossCheck> {
        let Some(window) = self.window else { return Vec::new() };
        let same = |one: &SensorInfo, two: &SensorInfo| {
            one.component == two.component
                && one.device.as_ref().map(|device| &device.uuid)
                    == two.device.as_ref().map(|device| &device.uuid)
        };
        let of = |quantity: Quantity| {
            self.channels.iter().filter(move |channel| {
                channel.info.quantity == quantity && channel.info.source == Source::Measured
            })
        };
        let mut checks = Vec::new();
        for counter in of(Quantity::EnergyCounter) {
            for power in of(Quantity::Power).filter(|power| same(counter.info, power.info)) {
                checks.push(cross_check(counter, power, window));
            }
        }
        checks
    }
}

/// Lets the power sensor of a device tell how the energy of long steps of its counter lies.
fn shape_counters(channels: &mut [Channel<'_>]) {
    let powers: Vec<(&SensorInfo, Arc<Curve>)> = channels
        .iter()
        .filter(|channel| channel.info.quantity == Quantity::Power && channel.info.timing.is_some())
        .filter_map(|channel| Some((channel.info, Arc::new(channel.curve.as_ref().ok()?.clone()))))
        .collect();
    for channel in channels.iter_mut() {
        let power = powers.iter().find(|(info, _)| {
            info.device.is_some()
                && info.device == channel.info.device
                && info.component == channel.info.component
        });
        if let (Some((_, power)), Ok(curve)) = (power, &mut channel.curve) {
            curve.shape_by(power);
        }
    }
}

impl Channel<'_> {
    /// Energy over a window, or why not.
    ///
    /// # Errors
    /// In words.
    pub fn energy(&self, window: Window) -> Known {
        let curve = self.curve.as_ref().map_err(ToString::to_string)?;
        curve.energy(window).map_err(|reason| reason.to_string())
    }
}

fn cross_check(counter: &Channel<'_>, power: &Channel<'_>, window: Window) -> CrossCheck {
    let counted = counter.energy(window);
    let integrated = power.energy(window);
    let difference = match (&counted, &integrated) {
        (Ok(counted), Ok(integrated)) if counted.joules.0 > 0.0 => {
            let share = (integrated.joules - counted.joules) / counted.joules;
            let mut figure = Figure::known(share, "1", Source::Measured);
            figure.uncertainty = Some(Uncertainty {
                random: counted.random.0.hypot(integrated.random.0) / counted.joules.0,
                systematic: None,
            });
            figure
        }
        (Ok(_), Ok(_)) => Figure::unknown("1", "the counter counted nothing"),
        (Err(reason), _) | (_, Err(reason)) => Figure::unknown("1", reason.clone()),
    };
    CrossCheck {
        counter: counter.info.name.clone(),
        power: power.info.name.clone(),
        counter_energy: energy_figure(&counted, Source::Measured),
        integrated_energy: energy_figure(&integrated, Source::Measured),
        difference,
    }
}

/// A whole account that is not known.
#[must_use]
pub fn unknown_account(reason: &str) -> Account {
    let joules = || Figure::unknown(Joules::UNIT, reason);
    let watts = || Figure::unknown(Watts::UNIT, reason);
    Account {
        gross: joules(),
        mean_power: watts(),
        idle_power_before: watts(),
        idle_power_after: watts(),
        bare_power_before: watts(),
        bare_power_after: watts(),
        baseline_power: watts(),
        net: joules(),
        net_baseline: None,
        idle_share: Figure::unknown("1", reason),
    }
}

/// Energy of a machine that was not metered.
#[must_use]
pub fn unmetered(machine: Machine, reason: &str) -> EnergyFindings {
    let total = || Total { included: Vec::new(), account: unknown_account(reason) };
    EnergyFindings {
        machine,
        components: COMPONENTS
            .map(|component| ComponentEnergy {
                component,
                counted: false,
                what: reason.to_owned(),
                account: unknown_account(reason),
                devices: Vec::new(),
            })
            .into(),
        measured: total(),
        modelled: total(),
        combined: total(),
        modelled_share: Figure::unknown("1", reason),
    }
}

/// Energy as a figure.
#[must_use]
pub fn energy_figure(energy: &Known, source: Source) -> Figure {
    match energy {
        Ok(energy) => {
            let mut figure = Figure::known(energy.joules.0, Joules::UNIT, source);
            figure.uncertainty = Some(Uncertainty {
                random: energy.random.0,
                systematic: energy.systematic.map(Joules::value),
            });
            figure
        }
        Err(reason) => Figure::unknown(Joules::UNIT, reason.clone()),
    }
}

fn power_figure(power: &Result<Power, String>, source: Source) -> Figure {
    match power {
        Ok(power) => {
            let energy = Ok(power.over(Seconds(1.0)));
            energy_figure(&energy, source).scaled(1.0, Watts::UNIT)
        }
        Err(reason) => Figure::unknown(Watts::UNIT, reason.clone()),
    }
}

/// Gross less idle. The same sensor's gain is in both, so the bound shrinks with the difference.
fn less(gross: Energy, idle: Energy) -> Energy {
    let difference = gross.joules - idle.joules;
    // A constant model's net is zero but for the last bits of its numbers.
    let noise = 1e-12 * gross.joules.0.abs();
    Energy {
        joules: if difference.0.abs() <= noise { Joules::ZERO } else { difference },
        random: Joules(gross.random.0.hypot(idle.random.0)),
        systematic: gross
            .systematic
            .zip(idle.systematic)
            .map(|(one, two)| Joules((one.0 - two.0).abs())),
    }
}

fn idle_share(gross: &Known, idle: &Known, source: Source) -> Figure {
    match (gross, idle) {
        (Ok(gross), Ok(idle)) if gross.joules.0 > 0.0 => {
            let share = idle.joules / gross.joules;
            let mut figure = Figure::known(share, "1", source);
            let relative =
                (idle.random.0 / gross.joules.0).hypot(share * gross.random.0 / gross.joules.0);
            figure.uncertainty = Some(Uncertainty { random: relative, systematic: None });
            figure
        }
        (Ok(_), Ok(_)) => Figure::unknown("1", "the gross energy is zero"),
        (Err(reason), _) | (_, Err(reason)) => Figure::unknown("1", reason.clone()),
    }
}

fn share(modelled: &Total, measured: &Total, combined: &Total) -> Figure {
    if combined.included.is_empty() {
        return Figure::unknown("1", "nothing is metered in this run");
    }
    let Some(all) = combined.account.gross.value else {
        let reason = combined.account.gross.reason.clone().unwrap_or_default();
        return Figure::unknown("1", reason);
    };
    let part = if modelled.included.is_empty() {
        Some(0.0)
    } else if measured.included.is_empty() {
        Some(all)
    } else {
        modelled.account.gross.value
    };
    match part {
        Some(part) if all > 0.0 => Figure::known(part / all, "1", Source::Modelled),
        _ => Figure::unknown("1", "the combined energy is zero"),
    }
}
