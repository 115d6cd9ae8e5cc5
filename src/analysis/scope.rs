//! Whose part of the CPU energy: the share of a server's processes, by processor time.
//!
//! The energy counters of processors know nothing of processes. What is known of them is the time that they ran, so
//! the CPU's energy of a window is shared out in proportion to it: `E(server) = E(CPU) x t(server) / t(machine)`, both
//! times over the window. That is a model: it says that a second of processor time costs the same whoever uses it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::{CpuScope, Quantity, RunRecords, SampleRecord, SensorInfo, Source, Whose};
use crate::units::{Joules, Nanos, Seconds};

use super::findings::{Figure, Uncertainty};
use super::window::{Energy, Window};

/// The formula, as reports state it.
pub const FORMULA: &str = "CPU energy of the window x (processor time of the server / processor time of everything \
    that ran), both over the window";
/// What the formula cannot see.
pub const UNSEEN: &str = "a second of processor time counts the same whoever used it: clocks, instructions, caches and \
    memory traffic are not seen; the energy of idling and of what processors share (uncore) goes to whoever ran; what \
    the kernel does for a process outside of its time (interrupts, write-back) is not the process's";

/// The share of a server, or of a command, in the CPU energy of a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CpuShare {
    /// Whose energy stands for the CPU in the totals: the machine's unless the config asks for another.
    pub counted: Whose,
    /// What the share is of; null where none is known.
    pub share_of: Option<Whose>,
    /// The same in words.
    pub who: Option<String>,
    /// Processor time used in the window.
    pub cpu_time: Figure,
    /// Processor time used by everything on the machine.
    pub machine_cpu_time: Figure,
    /// The first over the second.
    pub share: Figure,
    /// The CPU energy of the window times the share.
    pub energy: Figure,
    /// How it is computed.
    pub formula: String,
    /// What that cannot see.
    pub unseen: String,
}

/// Cumulative processor time of one sensor.
#[derive(Debug, Clone, PartialEq)]
struct Time {
    /// In order of time: the middle of a read and its value.
    points: Vec<(Nanos, f64)>,
    resolution: f64,
}

/// A number with its standard uncertainty, or why there is none.
type Known = Result<(f64, f64), String>;

/// What is known of whose processor time.
#[derive(Debug, Clone, PartialEq)]
pub enum Shares {
    /// Nothing.
    Unknown(String),
    /// From the samples of two sensors.
    Sampled {
        /// Of the server.
        server: Times,
        /// Of the machine.
        machine: Times,
    },
    /// Told by the kernel when a child ended: that much in this window and none outside of it.
    Told {
        /// When.
        window: Window,
        /// Seconds of processor time.
        used: Seconds,
        /// Of the machine.
        machine: Times,
    },
}

/// The readings of one sensor of processor time.
#[derive(Debug, Clone, PartialEq)]
pub struct Times(Time);

impl Times {
    fn of<'a>(info: &SensorInfo, samples: impl Iterator<Item = &'a SampleRecord>) -> Self {
        let points = samples
            .filter_map(|sample| {
                let at = Nanos(sample.before_ns.0.midpoint(sample.after_ns.0));
                Some((at, sample.value?))
            })
            .collect();
        Self(Time { points, resolution: info.resolution.unwrap_or(0.0) })
    }

    /// Seconds used within a window.
    ///
    /// # Errors
    /// In words, where no reading stands on both sides of an edge.
    fn within(&self, window: Window) -> Known {
        let (from, u_from) = self.0.at(window.from)?;
        let (to, u_to) = self.0.at(window.to)?;
        Ok(((to - from).max(0.0), u_from.hypot(u_to)))
    }
}

impl Time {
    /// The value at a moment, between the readings around it.
    fn at(&self, moment: Nanos) -> Known {
        let after = self.points.partition_point(|(at, _)| *at < moment);
        let rounding = self.resolution / 12.0_f64.sqrt();
        if let Some((at, value)) = self.points.get(after)
            && *at == moment
        {
            return Ok((*value, rounding));
        }
        let (Some((t0, v0)), Some((t1, v1))) = (
            after.checked_sub(1).and_then(|before| self.points.get(before)),
            self.points.get(after),
        ) else {
            return Err("processor time was not read on both sides of the window".to_owned());
        };
        let position = moment.since(*t0) / t1.since(*t0);
        // It may have been used anywhere between the two readings.
        let between = 2.0 * position.min(1.0 - position) * (v1 - v0).abs() / 12.0_f64.sqrt();
        Ok((v0 + position * (v1 - v0), rounding.hypot(between)))
    }
}

impl Shares {
    /// What the records of a run tell.
    #[must_use]
    pub fn of(records: &RunRecords) -> Self {
        let Some(scope) = &records.manifest.cpu_scope else {
            return Self::Unknown("the run is of a version that did not record it".to_owned());
        };
        if let Some(reason) = &scope.missing_reason {
            return Self::Unknown(reason.clone());
        }
        let of = |name: &str| times(records, name);
        let wanted = match scope.share_of {
            Some(Whose::Cgroup) => of("cgroup.cpu_time"),
            _ => of("process.cpu_time"),
        };
        match (wanted, of("machine.cpu_time")) {
            (Some(server), Some(machine)) => Self::Sampled { server, machine },
            _ => Self::Unknown("no sensor read processor time".to_owned()),
        }
    }

    /// The time that a child is known to have used.
    #[must_use]
    pub fn told(records: &RunRecords, window: Window, used: Seconds) -> Self {
        times(records, "machine.cpu_time").map_or_else(
            || Self::Unknown("no sensor read the machine's processor time".to_owned()),
            |machine| Self::Told { window, used, machine },
        )
    }

    fn server(&self, asked: Window) -> Known {
        match self {
            Self::Unknown(reason) => Err(reason.clone()),
            Self::Sampled { server, .. } => server.within(asked),
            Self::Told { window, used, .. } if *window == asked => Ok((used.0, 0.0)),
            Self::Told { .. } => Ok((0.0, 0.0)),
        }
    }

    fn machine(&self, window: Window) -> Known {
        match self {
            Self::Unknown(reason) => Err(reason.clone()),
            Self::Sampled { machine, .. } | Self::Told { machine, .. } => machine.within(window),
        }
    }

    /// The share in a window, 0 to 1, with its standard uncertainty.
    ///
    /// # Errors
    /// In words.
    pub fn share(&self, window: Window) -> Known {
        let (server, u_server) = self.server(window)?;
        let (machine, u_machine) = self.machine(window)?;
        if server <= 0.0 {
            return Ok((0.0, u_server / machine.max(1.0 / 100.0)));
        }
        // Ticks are rounded: a server that is alone may seem to have used more than everybody.
        let all = machine.max(server);
        let share = server / all;
        Ok((share, share * (u_server / server).hypot(u_machine / all)))
    }

    /// The part of an energy of the CPU that is the server's.
    ///
    /// # Errors
    /// In words.
    pub fn part(&self, energy: Energy, window: Window) -> Result<Energy, String> {
        let (share, u_share) = self.share(window)?;
        Ok(Energy {
            joules: energy.joules * share,
            random: Joules((energy.random.0 * share).hypot(energy.joules.0 * u_share)),
            systematic: energy.systematic.map(|bound| bound * share),
        })
    }

    /// The finding over a window; `cpu` is the machine's energy of it.
    #[must_use]
    pub fn finding(
        &self,
        scope: Option<&CpuScope>,
        window: Option<Window>,
        cpu: &Result<Energy, String>,
    ) -> CpuShare {
        let window = window.ok_or_else(|| "there is no measured window".to_owned());
        let over = |known: &dyn Fn(Window) -> Known| window.clone().and_then(known);
        let energy = match (cpu, &window) {
            (Ok(energy), Ok(window)) => self.part(*energy, *window),
            (Err(reason), _) | (_, Err(reason)) => Err(reason.clone()),
        };
        CpuShare {
            counted: scope.map_or(Whose::Machine, |scope| scope.counted),
            share_of: scope.and_then(|scope| scope.share_of),
            who: scope.and_then(|scope| scope.who.clone()),
            cpu_time: figure(over(&|window| self.server(window)), Seconds::UNIT, Source::Measured),
            machine_cpu_time: figure(
                over(&|window| self.machine(window)),
                Seconds::UNIT,
                Source::Measured,
            ),
            share: figure(over(&|window| self.share(window)), "1", Source::Measured),
            energy: super::energy::energy_figure(&energy, Source::Modelled),
            formula: FORMULA.to_owned(),
            unseen: UNSEEN.to_owned(),
        }
    }
}

fn times(records: &RunRecords, name: &str) -> Option<Times> {
    let sensors = &records.manifest.sensors;
    let position = sensors
        .iter()
        .position(|sensor| sensor.name == name && sensor.quantity == Quantity::CpuTime)?;
    let own = records.samples.iter().filter(|sample| usize::from(sample.sensor) == position);
    Some(Times::of(&sensors[position], own))
}

fn figure(known: Known, unit: &str, source: Source) -> Figure {
    match known {
        Ok((value, random)) => {
            let mut figure = Figure::known(value, unit, source);
            if figure.value.is_some() {
                figure.uncertainty = Some(Uncertainty { random, systematic: None });
            }
            figure
        }
        Err(reason) => Figure::unknown(unit, reason),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn times(points: &[(u64, f64)]) -> Times {
        let points = points.iter().map(|(s, v)| (Nanos(s * 1_000_000_000), *v)).collect();
        Times(Time { points, resolution: 0.01 })
    }

    fn window(from: u64, to: u64) -> Window {
        Window { from: Nanos(from * 1_000_000_000), to: Nanos(to * 1_000_000_000) }
    }

    fn joules(value: f64) -> Energy {
        Energy { joules: Joules(value), random: Joules(1.0), systematic: Some(Joules(4.0)) }
    }

    #[test]
    fn energy_is_shared_out_by_processor_time() {
        let shares = Shares::Sampled {
            server: times(&[(0, 100.0), (10, 103.0)]),
            machine: times(&[(0, 1000.0), (10, 1012.0)]),
        };
        let (share, doubt) = shares.share(window(0, 10)).unwrap();
        assert!((share - 0.25).abs() < 1e-12 && doubt > 0.0 && doubt < 0.01);
        let part = shares.part(joules(200.0), window(0, 10)).unwrap();
        assert!((part.joules.0 - 50.0).abs() < 1e-9);
        assert_eq!(part.systematic, Some(Joules(1.0)));
    }

    #[test]
    fn a_server_alone_has_all_of_it_and_no_more() {
        let shares = Shares::Sampled {
            server: times(&[(0, 0.0), (1, 1.01)]),
            machine: times(&[(0, 0.0), (1, 1.0)]),
        };
        assert!((shares.share(window(0, 1)).unwrap().0 - 1.0).abs() < 1e-12);
        let idle = Shares::Sampled {
            server: times(&[(0, 0.0), (1, 0.0)]),
            machine: times(&[(0, 0.0), (1, 0.0)]),
        };
        assert!(idle.share(window(0, 1)).unwrap().0.abs() < 1e-12);
    }

    #[test]
    fn a_window_beyond_the_readings_has_no_share() {
        let shares = Shares::Sampled {
            server: times(&[(1, 0.0), (2, 1.0)]),
            machine: times(&[(1, 0.0), (2, 2.0)]),
        };
        assert!(shares.share(window(0, 2)).is_err());
        let missing = shares.finding(None, Some(window(0, 2)), &Ok(joules(10.0)));
        assert!(missing.energy.value.is_none() && missing.energy.reason.is_some());
    }

    #[test]
    fn time_told_at_a_childs_end_counts_in_its_window_only() {
        let machine = times(&[(0, 0.0), (10, 10.0)]);
        let shares = Shares::Told { window: window(2, 4), used: Seconds(0.5), machine };
        assert!((shares.share(window(2, 4)).unwrap().0 - 0.25).abs() < 1e-12);
        assert!(shares.share(window(5, 6)).unwrap().0.abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn a_share_is_between_nothing_and_all(
            steps in prop::collection::vec((0.0_f64..2.0, 0.0_f64..3.0), 2..20),
            edges in (0.0_f64..1.0, 0.0_f64..1.0),
        ) {
            let mut server = Vec::new();
            let mut machine = Vec::new();
            let (mut used, mut all) = (0.0, 0.0);
            for (second, (own, others)) in steps.iter().enumerate() {
                used += own;
                all += own + others;
                server.push((second as u64, used));
                machine.push((second as u64, all));
            }
            let shares = Shares::Sampled { server: times(&server), machine: times(&machine) };
            let end = (steps.len() - 1) as f64;
            let at = |edge: f64| Nanos((edge * end * 1e9) as u64);
            let (from, to) = (at(edges.0.min(edges.1)), at(edges.0.max(edges.1)));
            let (share, doubt) = shares.share(Window { from, to }).unwrap();
            prop_assert!((0.0..=1.0).contains(&share), "{share}");
            prop_assert!(doubt.is_finite() && doubt >= 0.0);
        }
    }
}
