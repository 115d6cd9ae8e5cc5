//! Under which conditions the measurement was made: clocks, power limit, heat, other users, and whether it was long and
//! even enough. Each is a caution only when it matters.

use crate::record::{Event, Quantity, Source, Warning, throttle};
use crate::units::Seconds;

use super::caution::Seen;
use super::energy::Channel;
use super::inference::Line;
use super::protocol::ProtocolFindings;
use super::repetition::{RepeatedFigure, RepetitionFindings, RepetitionRule};
use super::stats::{mean, percentile};

/// Clocks may vary by this share between their fast and their slow moments.
const CLOCK_LIMIT: f64 = 0.05;
/// Share of readings with a throttle reason from which it is told; heat and brakes are told at once.
const CAPPED_SHARE: f64 = 0.05;
/// Without throttle reasons: mean power so near to its limit counts as reaching it.
const NEAR_LIMIT: f64 = 0.97;
/// Temperature may rise or fall by so many kelvin over the measurement.
const TEMPERATURE_LIMIT: f64 = 3.0;
/// A trend of temperature must be this improbable by chance.
const TREND_P: f64 = 0.01;
/// Others may use this share of the machine's processors.
const FOREIGN_LIMIT: f64 = 0.05;
/// Spread between repetitions, over their mean.
const VARIATION_LIMIT: f64 = 0.05;
/// A drift smaller than this over all repetitions does not matter, however certain it is.
const DRIFT_LIMIT: f64 = 0.005;
/// A window should be at least so long,
const SHORTEST: Seconds = Seconds(10.0);
/// and hold at least so many values of every sensor that is counted.
const FEWEST_UPDATES: f64 = 100.0;
/// Prompt tokens from the server's cache may differ by this share between repetitions.
const CACHED_LIMIT: f64 = 0.05;

/// All of them.
#[must_use]
pub fn cautions(seen: &Seen<'_>) -> Vec<Warning> {
    let mut found = Vec::new();
    for channel in &seen.metering.channels {
        let values = within(seen, channel);
        found.extend(match channel.info.quantity {
            Quantity::Clock => clock(channel, &values),
            Quantity::ThrottleReasons => throttled(channel, &values),
            Quantity::PowerLimit => power_limit(seen, channel, &values),
            Quantity::Temperature => temperature(channel, &values),
            _ => Vec::new(),
        });
    }
    found.extend(newcomers(seen));
    found.extend(foreign_load(seen.protocol));
    found.extend(too_short(seen));
    found.extend(repetitions(&seen.protocol.repetitions));
    found.extend(prompt_cache(seen));
    found
}

/// Readings within the repetitions: seconds since the first begin, and the value.
fn within(seen: &Seen<'_>, channel: &Channel<'_>) -> Vec<(f64, f64)> {
    let windows = &seen.metering.windows;
    let Some(begin) = windows.first().map(|window| window.from) else { return Vec::new() };
    channel
        .samples
        .iter()
        .filter(|sample| {
            windows
                .iter()
                .any(|window| window.from <= sample.before_ns && sample.after_ns <= window.to)
        })
        .filter_map(|sample| Some((sample.before_ns.since(begin).0, sample.value?)))
        .collect()
}

fn device(channel: &Channel<'_>) -> String {
    channel.info.device.as_ref().map_or_else(
        || channel.info.name.clone(),
        |device| format!("{} {}", channel.info.component.as_str(), device.index),
    )
}

fn sorted(values: &[(f64, f64)]) -> Vec<f64> {
    let mut values: Vec<f64> = values.iter().map(|(_, value)| *value).collect();
    values.sort_by(f64::total_cmp);
    values
}

fn clock(channel: &Channel<'_>, values: &[(f64, f64)]) -> Vec<Warning> {
    let values = sorted(values);
    let (Some(slow), Some(fast)) = (percentile(&values, 0.05), percentile(&values, 0.95)) else {
        return Vec::new();
    };
    if fast <= 0.0 || (fast - slow) / fast <= CLOCK_LIMIT {
        return Vec::new();
    }
    vec![Warning::new(
        "clocks_dropped",
        format!(
            "The clock of {} fell from {:.0} to {:.0} MHz during the measurement.",
            device(channel),
            fast / 1e6,
            slow / 1e6
        ),
    )]
}

fn throttled(channel: &Channel<'_>, values: &[(f64, f64)]) -> Vec<Warning> {
    if values.is_empty() {
        return Vec::new();
    }
    let share = |bits: u32| {
        let with = |mask: f64| mask >= 0.0 && (mask as u64) & u64::from(bits) != 0;
        values.iter().filter(|(_, mask)| with(*mask)).count() as f64 / values.len() as f64
    };
    let kinds = [
        (
            "power_cap_reached",
            throttle::POWER_CAP,
            CAPPED_SHARE,
            "ran at its power limit: the limit, not the work alone, decides the power and the speed",
        ),
        (
            "throttled_thermal",
            throttle::SOFTWARE_THERMAL | throttle::HARDWARE_THERMAL,
            0.0,
            "was slowed down because it was too hot",
        ),
        (
            "throttled_hardware",
            throttle::HARDWARE | throttle::POWER_BRAKE,
            0.0,
            "was slowed down by its hardware (heat, an external power brake, or the power supply)",
        ),
        (
            "clocks_set",
            throttle::CLOCKS_SETTING,
            CAPPED_SHARE,
            "ran at clocks that someone has set: its figures are not those of its defaults",
        ),
    ];
    kinds
        .into_iter()
        .filter(|(_, bits, limit, _)| share(*bits) > *limit)
        .map(|(code, bits, _, what)| {
            let percent = 100.0 * share(bits);
            let message =
                format!("{} {what} (in {percent:.0} % of the readings).", device(channel));
            Warning::new(code, message)
        })
        .collect()
}

fn power_limit(seen: &Seen<'_>, channel: &Channel<'_>, values: &[(f64, f64)]) -> Vec<Warning> {
    let mut found = Vec::new();
    let values = sorted(values);
    let (Some(low), Some(high)) = (values.first(), values.last()) else { return found };
    if high - low > 0.5 {
        let message = format!(
            "The power limit of {} was changed between {low:.0} and {high:.0} W during the measurement.",
            device(channel)
        );
        found.push(Warning::new("power_limit_changed", message));
    }
    let same_device = |other: &&Channel<'_>| other.info.device == channel.info.device;
    let mut others = seen.metering.channels.iter().filter(same_device);
    if others.any(|other| other.info.quantity == Quantity::ThrottleReasons) {
        return found;
    }
    let power = seen.metering.channels.iter().filter(same_device).find(|other| {
        other.info.quantity == Quantity::Power && other.info.source == Source::Measured
    });
    let watts = power.map(|power| within(seen, power)).unwrap_or_default();
    let watts: Vec<f64> = watts.into_iter().map(|(_, watts)| watts).collect();
    if let Some(watts) = mean(&watts).filter(|watts| *watts >= NEAR_LIMIT * low) {
        let message = format!(
            "{} drew {watts:.0} W on average, and its power limit is {low:.0} W: the limit, not the work alone, decides \
             the power and the speed.",
            device(channel)
        );
        found.push(Warning::new("power_cap_reached", message));
    }
    found
}

fn temperature(channel: &Channel<'_>, values: &[(f64, f64)]) -> Vec<Warning> {
    let (Some(line), Some(first), Some(last)) =
        (Line::through(values), values.first(), values.last())
    else {
        return Vec::new();
    };
    let change = line.slope * (last.0 - first.0);
    if change.abs() <= TEMPERATURE_LIMIT || line.p >= TREND_P {
        return Vec::new();
    }
    vec![Warning::new(
        "temperature_not_steady",
        format!(
            "The temperature of {} changed by {change:+.0} K during the measurement, and power changes with it: warm up \
             longer, or set scenario.warmup to until_steady.",
            device(channel)
        ),
    )]
}

/// Processes that came to a GPU while it was being measured.
fn newcomers(seen: &Seen<'_>) -> Vec<Warning> {
    let Some(window) = seen.metering.window else { return Vec::new() };
    let own = &seen.records.manifest.backend.pids;
    let lists = || {
        seen.records.events.iter().filter_map(|record| match &record.event {
            Event::GpuProcesses { device, pids } => Some((record.at_ns, device, pids)),
            _ => None,
        })
    };
    let mut found = Vec::new();
    for (at, device, pids) in lists() {
        if at <= window.from || at >= window.to {
            continue;
        }
        let before = lists().rfind(|(then, of, _)| *then < at && *of == device);
        let known = before.map(|(_, _, pids)| pids.as_slice()).unwrap_or_default();
        let new: Vec<String> = pids
            .iter()
            .filter(|pid| !known.contains(pid) && !own.contains(pid))
            .map(ToString::to_string)
            .collect();
        if !new.is_empty() {
            let message = format!(
                "Other processes came to {device} during the measurement (pid {}): their energy is counted too.",
                new.join(", ")
            );
            found.push(Warning::new("other_processes_on_gpu", message));
        }
    }
    found
}

fn foreign_load(protocol: &ProtocolFindings) -> Option<Warning> {
    let share = protocol.foreign_processor_share.value.filter(|share| *share > FOREIGN_LIMIT)?;
    Some(Warning::new(
        "foreign_processor_load",
        format!(
            "Others used {:.0} % of this machine's processors during the measurement: its energy is in that of the \
             processors, and the load may have been slowed down.",
            100.0 * share
        ),
    ))
}

/// Windows too short for a figure that others can repeat.
fn too_short(seen: &Seen<'_>) -> Option<Warning> {
    let measured =
        |channel: &&Channel<'_>| channel.info.counted && channel.info.source == Source::Measured;
    let slowest = seen
        .metering
        .channels
        .iter()
        .filter(measured)
        .map(|channel| channel.info.update_period_s.unwrap_or(channel.info.sample_period_s).0)
        .max_by(f64::total_cmp)?;
    let needed = SHORTEST.0.max(FEWEST_UPDATES * slowest);
    let shortest =
        seen.metering.windows.iter().map(|window| window.length().0).min_by(f64::total_cmp)?;
    (shortest < needed).then(|| {
        Warning::new(
            "short_repetition",
            format!(
                "The measured window is {shortest:.1} s long; below {needed:.0} s ({} s, or {FEWEST_UPDATES:.0} values of the \
                 slowest sensor) figures repeat badly. Set scenario.duration_s, or measure more requests.",
                SHORTEST.0
            ),
        )
    })
}

fn repetitions(found: &RepetitionFindings) -> Vec<Warning> {
    let mut cautions = Vec::new();
    // One of them is enough: the others hang together with it.
    let headline = ["joules_per_output_token", "joules_per_request", "output_tokens_per_second"]
        .iter()
        .find_map(|key| found.figure(key).filter(|figure| figure.mean.is_some()));
    if let Some(figure) = headline {
        cautions.extend(drift(figure));
        if let Some(cv) = figure.cv.filter(|cv| *cv > VARIATION_LIMIT) {
            let message = format!(
                "{} varies by {:.1} % (standard deviation over mean) from repetition to repetition.",
                figure.key,
                100.0 * cv
            );
            cautions.push(Warning::new("repetitions_vary", message));
        }
        if !figure.outliers.is_empty() {
            let which: Vec<String> =
                figure.outliers.iter().map(|number| (number + 1).to_string()).collect();
            let message = format!(
                "{}: repetition {} lies out; it stays in the figures.",
                figure.key,
                which.join(", ")
            );
            cautions.push(Warning::new("outliers", message));
        }
    }
    cautions.extend(wider_than_asked(&found.rule));
    cautions
}

fn drift(figure: &RepeatedFigure) -> Option<Warning> {
    let drift = figure.drift?;
    let over_all = drift.per_repetition * (figure.values.len().saturating_sub(1)) as f64;
    (drift.p < TREND_P && over_all.abs() > DRIFT_LIMIT).then(|| {
        Warning::new(
            "drift",
            format!(
                "{} drifted by {:+.1} % from the first repetition to the last (p = {:.2e}): they are not repetitions of the \
                 same state, and the interval is too narrow.",
                figure.key,
                100.0 * over_all,
                drift.p
            ),
        )
    })
}

fn wider_than_asked(rule: &RepetitionRule) -> Option<Warning> {
    let RepetitionRule::TwoStage { target_relative_ci, figure, reached, .. } = rule else {
        return None;
    };
    // A whole number of repetitions and the mean of the second stage move the last digits.
    let reached = reached.filter(|reached| *reached > 1.05 * target_relative_ci)?;
    Some(Warning::new(
        "interval_wider_than_asked",
        format!(
            "The 95 % interval of {figure} is plus or minus {:.2} %, and {:.2} % was asked for.",
            100.0 * reached,
            100.0 * target_relative_ci
        ),
    ))
}

/// The same prompts again may come from the server's cache, and then cost less.
fn prompt_cache(seen: &Seen<'_>) -> Option<Warning> {
    let shares: Vec<f64> = seen
        .repetitions
        .iter()
        .filter_map(|repetition| {
            let tokens = || repetition.requests.iter().map(|request| request.tokens);
            let cached: u64 = tokens().map(|tokens| tokens.cached_prompt).sum::<Option<u64>>()?;
            let prompt: u64 = tokens().map(|tokens| tokens.prompt).sum::<Option<u64>>()?;
            (prompt > 0).then(|| cached as f64 / prompt as f64)
        })
        .collect();
    let (low, high) = (
        shares.iter().copied().min_by(f64::total_cmp)?,
        shares.iter().copied().max_by(f64::total_cmp)?,
    );
    (high - low > CACHED_LIMIT).then(|| {
        Warning::new(
            "prompt_cache",
            format!(
                "{:.0} to {:.0} % of the prompt tokens came from the server's cache, depending on the repetition: cached \
                 tokens cost less, and repetitions differ by it. Switch the cache off, or warm up with every prompt.",
                100.0 * low,
                100.0 * high
            ),
        )
    })
}
