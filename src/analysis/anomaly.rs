//! Counters and sensors that misbehave: stuck, begun again, gone round, jumped, gone.

use crate::record::{Quantity, SampleRecord, SensorInfo, Source, Warning};
use crate::units::{Nanos, Seconds};

use super::energy::{Channel, Metering};

/// A counter may stand still for so many of its periods,
const STILL_PERIODS: f64 = 10.0;
/// and for this long, before it is called stuck;
const STILL_FLOOR: Seconds = Seconds(1.0);
/// for this long where no power of the same device shows that it should have counted.
const STILL_ALONE: Seconds = Seconds(10.0);
/// What power must have shown meanwhile, in joules, to be sure.
const STILL_JOULES: f64 = 20.0;
/// A step is a jump if the power that it stands for is so many times what the device can draw or drew.
const JUMP: f64 = 5.0;
/// A sensor that fails so many times in a row up to the end is gone.
const GONE_READS: usize = 3;

/// A good read.
#[derive(Debug, Clone, Copy)]
struct Read {
    before: Nanos,
    after: Nanos,
    value: f64,
}

/// What is wrong with the sensors, in words.
#[must_use]
pub fn anomalies(metering: &Metering<'_>) -> Vec<Warning> {
    let energetic = |channel: &&Channel<'_>| {
        matches!(channel.info.quantity, Quantity::EnergyCounter | Quantity::Power)
            && channel.info.source == Source::Measured
    };
    metering.channels.iter().filter(energetic).flat_map(|one| of(one, metering)).collect()
}

fn of(channel: &Channel<'_>, metering: &Metering<'_>) -> Vec<Warning> {
    let mut found: Vec<Warning> = gone(channel).into_iter().collect();
    if channel.info.quantity == Quantity::EnergyCounter {
        let reads = good(&channel.samples);
        let power = companion(channel.info, metering).map(|power| good(&power.samples));
        found.extend(falls(channel.info, &reads));
        found.extend(stuck(channel.info, &reads, power.as_deref()));
        found.extend(jumps(channel.info, &reads, power.as_deref(), metering));
    }
    found
}

fn good(samples: &[&SampleRecord]) -> Vec<Read> {
    let mut reads: Vec<Read> = samples
        .iter()
        .filter_map(|sample| {
            let value = sample.value.filter(|value| value.is_finite())?;
            Some(Read { before: sample.before_ns, after: sample.after_ns, value })
        })
        .collect();
    reads.sort_by_key(|read| read.before);
    reads
}

/// Power of the same device.
fn companion<'m, 'a>(info: &SensorInfo, metering: &'m Metering<'a>) -> Option<&'m Channel<'a>> {
    metering.channels.iter().find(|other| {
        other.info.quantity == Quantity::Power
            && other.info.source == Source::Measured
            && other.info.component == info.component
            && other.info.device.is_some()
            && other.info.device == info.device
    })
}

fn gone(channel: &Channel<'_>) -> Option<Warning> {
    let mut samples = channel.samples.clone();
    samples.sort_by_key(|sample| sample.before_ns);
    let failing = samples.iter().rev().take_while(|sample| sample.value.is_none()).count();
    let last = samples.len().checked_sub(failing + 1).and_then(|index| samples.get(index))?;
    let end = samples.last()?;
    let error = end.error.as_deref().unwrap_or("no reason given");
    (failing >= GONE_READS).then(|| {
        let lost = end.after_ns.since(last.after_ns);
        let name = &channel.info.name;
        Warning::new(
            "sensor_disappeared",
            format!("{name} gave no value in the last {:.1} s of the records ({error}).", lost.0),
        )
    })
}

/// Falls of a counter: rounds, where it has a range and the rise then is likely; else new beginnings.
fn falls(info: &SensorInfo, reads: &[Read]) -> Vec<Warning> {
    let usual = usual_power(reads);
    let (mut rounds, mut resets) = (0_u32, 0_u32);
    for (old, new) in pairs(reads).filter(|(old, new)| new.value < old.value) {
        let gap = new.after.since(old.before).0;
        let rise = info.wrap_at.map(|range| range - old.value + new.value);
        let likely =
            |rise: f64| rise >= 0.0 && usual.is_none_or(|power| rise <= 10.0 * power * gap);
        if rise.is_some_and(likely) { rounds += 1 } else { resets += 1 }
    }
    let mut found = Vec::new();
    let name = &info.name;
    if rounds > 0 {
        let message =
            format!("The counter {name} went round {rounds} time(s); that is counted in.");
        found.push(Warning::new("counter_wrapped", message));
    }
    if resets > 0 {
        let message = format!(
            "The counter {name} began again {resets} time(s) (driver reloaded, device reset or suspended): energies \
             across that are not known."
        );
        found.push(Warning::new("counter_reset", message));
    }
    found
}

fn stuck(info: &SensorInfo, reads: &[Read], power: Option<&[Read]>) -> Option<Warning> {
    let period = info.update_period_s.map_or(0.0, |period| period.0);
    let limit = (STILL_PERIODS * period).max(STILL_FLOOR.0);
    let mut begin = reads.first()?;
    let mut longest: Option<(Read, Read)> = None;
    for read in reads {
        if read.value.total_cmp(&begin.value).is_ne() {
            begin = read;
        }
        let length = read.before.since(begin.after);
        if longest.is_none_or(|(from, to)| length > to.before.since(from.after)) {
            longest = Some((*begin, *read));
        }
    }
    let (from, to) = longest?;
    let length = to.before.since(from.after);
    let drawn = power.and_then(|power| joules(power, from.after, to.before));
    let certain = match drawn {
        Some(joules) => length.0 > limit && joules > STILL_JOULES,
        None => length.0 > limit.max(STILL_ALONE.0),
    };
    certain.then(|| {
        let meanwhile =
            drawn.map(|joules| format!(" while power showed {joules:.0} J")).unwrap_or_default();
        Warning::new(
            "counter_stuck",
            format!("The counter {} stood still for {:.1} s{meanwhile}.", info.name, length.0),
        )
    })
}

/// Energy of the readings of power between two moments.
fn joules(power: &[Read], from: Nanos, to: Nanos) -> Option<f64> {
    let inside: Vec<f64> = power
        .iter()
        .filter(|read| from <= read.before && read.after <= to)
        .map(|read| read.value)
        .collect();
    super::stats::mean(&inside).map(|watts| watts * to.since(from).0)
}

fn jumps(
    info: &SensorInfo,
    reads: &[Read],
    power: Option<&[Read]>,
    metering: &Metering<'_>,
) -> Option<Warning> {
    let most = most_power(info, power, metering).or_else(|| usual_power(reads))?;
    let period = info.update_period_s.map_or(0.0, |period| period.0);
    // A step may hold the energy of one more period than lies between the reads.
    let jump = pairs(reads)
        .filter(|(old, new)| {
            let gap = new.after.since(old.before).0 + period;
            new.value - old.value > JUMP * most * gap
        })
        .max_by(|(a, b), (c, d)| (b.value - a.value).total_cmp(&(d.value - c.value)));
    jump.map(|(old, new)| {
        Warning::new(
            "counter_jumped",
            format!(
                "The counter {} jumped by {:.0} J within {:.3} s, more than its device can use: energies across \
                 that are wrong.",
                info.name,
                new.value - old.value,
                new.after.since(old.before).0
            ),
        )
    })
}

/// What the device may draw: its power limit, or the most that it was seen to draw.
fn most_power(info: &SensorInfo, power: Option<&[Read]>, metering: &Metering<'_>) -> Option<f64> {
    let limits = metering.channels.iter().filter(|other| {
        other.info.quantity == Quantity::PowerLimit && other.info.device == info.device
    });
    let limits = limits.flat_map(|limit| good(&limit.samples)).map(|read| read.value);
    let seen = power.into_iter().flatten().map(|read| read.value);
    limits.chain(seen).filter(|watts| *watts > 0.0).max_by(f64::total_cmp)
}

/// The median power between reads between which the counter rose.
fn usual_power(reads: &[Read]) -> Option<f64> {
    let mut powers: Vec<f64> = pairs(reads)
        .filter(|(old, new)| new.value > old.value && new.before > old.before)
        .map(|(old, new)| (new.value - old.value) / new.before.since(old.before).0)
        .collect();
    powers.sort_by(f64::total_cmp);
    super::stats::percentile(&powers, 0.5)
}

fn pairs(reads: &[Read]) -> impl Iterator<Item = (Read, Read)> {
    reads.windows(2).map(|pair| (pair[0], pair[1]))
}
