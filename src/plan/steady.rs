//! Whether power, throughput and temperature have become steady, by straight lines through the last readings. Pure.

use crate::config::component::protocol::SteadyLimits;
use crate::units::{Seconds, Watts};

/// Fewer readings than this say nothing of a trend.
const FEWEST_READINGS: usize = 5;

/// What was seen at a moment of the warm-up; what cannot be seen is none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Glance {
    /// Since warm-up began.
    pub at: Seconds,
    /// Power of everything counted.
    pub power: Option<Watts>,
    /// Tokens generated since warm-up began.
    pub tokens: u64,
    /// Of the hottest device, in degrees Celsius.
    pub temperature: Option<f64>,
}

/// What the last readings say.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Everything that can be seen keeps within its limit, over the whole time looked back on.
    pub steady: bool,
    /// Each trend in words.
    pub what: String,
}

/// Looks back on the last `limits.window_s` seconds.
#[must_use]
pub fn judge(glances: &[Glance], limits: &SteadyLimits) -> Verdict {
    let Some(last) = glances.last() else {
        return Verdict { steady: false, what: "nothing was seen".to_owned() };
    };
    let from = last.at.0 - limits.window_s;
    let recent: Vec<&Glance> = glances.iter().filter(|glance| glance.at.0 >= from).collect();
    let long_enough = glances.first().is_some_and(|first| first.at.0 <= from);
    let series = |pick: fn(&Glance) -> Option<f64>| -> Vec<(f64, f64)> {
        recent.iter().filter_map(|glance| Some((glance.at.0, pick(glance)?))).collect()
    };
    let trends = [
        Trend::share("power", &series(|glance| glance.power.map(Watts::value)), limits.power),
        Trend::share("throughput", &rates(&recent), limits.throughput),
        Trend::kelvin(&series(|glance| glance.temperature), limits.temperature_k),
    ];
    let words: Vec<&str> = trends.iter().map(|trend| trend.words.as_str()).collect();
    Verdict {
        steady: long_enough && trends.iter().all(|trend| trend.fine),
        what: format!("over {} s: {}", limits.window_s, words.join(", ")),
    }
}

/// Tokens a second between neighbouring glances.
fn rates(recent: &[&Glance]) -> Vec<(f64, f64)> {
    recent
        .windows(2)
        .filter(|pair| pair[1].at.0 > pair[0].at.0)
        .map(|pair| {
            let time = pair[1].at.0 - pair[0].at.0;
            let tokens = pair[1].tokens.saturating_sub(pair[0].tokens);
            (pair[0].at.0.midpoint(pair[1].at.0), tokens as f64 / time)
        })
        .collect()
}

struct Trend {
    fine: bool,
    words: String,
}

impl Trend {
    /// Change as a share of the mean.
    fn share(name: &str, points: &[(f64, f64)], limit: f64) -> Self {
        let mean = points.iter().map(|point| point.1).sum::<f64>() / points.len().max(1) as f64;
        if points.is_empty() || mean <= 0.0 {
            return Self::unseen(name);
        }
        match change(points) {
            Some(change) => {
                let share = change / mean;
                let words = format!("{name} {:+.1} % (limit {} %)", 100.0 * share, 100.0 * limit);
                Self { fine: share.abs() <= limit, words }
            }
            None => Self::too_few(name),
        }
    }

    fn kelvin(points: &[(f64, f64)], limit: f64) -> Self {
        if points.is_empty() {
            return Self::unseen("temperature");
        }
        match change(points) {
            Some(change) => Self {
                fine: change.abs() <= limit,
                words: format!("temperature {change:+.1} K (limit {limit} K)"),
            },
            None => Self::too_few("temperature"),
        }
    }

    fn unseen(name: &str) -> Self {
        Self { fine: true, words: format!("{name} not seen") }
    }

    fn too_few(name: &str) -> Self {
        Self { fine: false, words: format!("too few readings of {name}") }
    }
}

/// Change of a least-squares line from the first point to the last.
fn change(points: &[(f64, f64)]) -> Option<f64> {
    if points.len() < FEWEST_READINGS {
        return None;
    }
    let count = points.len() as f64;
    let mean_x = points.iter().map(|point| point.0).sum::<f64>() / count;
    let mean_y = points.iter().map(|point| point.1).sum::<f64>() / count;
    let spread: f64 = points.iter().map(|point| (point.0 - mean_x).powi(2)).sum();
    let joint: f64 = points.iter().map(|point| (point.0 - mean_x) * (point.1 - mean_y)).sum();
    let length = points.last()?.0 - points.first()?.0;
    (spread > 0.0).then(|| joint / spread * length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn glances(
        seconds: u32,
        power: impl Fn(f64) -> f64,
        temperature: impl Fn(f64) -> f64,
    ) -> Vec<Glance> {
        (0..=seconds * 2)
            .map(|step| {
                let at = f64::from(step) / 2.0;
                Glance {
                    at: Seconds(at),
                    power: Some(Watts(power(at))),
                    tokens: u64::from(step) * 50,
                    temperature: Some(temperature(at)),
                }
            })
            .collect()
    }

    #[test]
    fn a_flat_run_is_steady_once_it_is_long_enough() {
        let limits = SteadyLimits::default();
        assert!(judge(&glances(15, |_| 400.0, |_| 60.0), &limits).steady);
        assert!(!judge(&glances(14, |_| 400.0, |_| 60.0), &limits).steady);
        assert!(!judge(&[], &limits).steady);
    }

    #[test]
    fn what_rises_is_not_steady_and_is_named() {
        let limits = SteadyLimits::default();
        let verdict = judge(&glances(30, |at| 400.0 + at, |_| 60.0), &limits);
        assert!(!verdict.steady && verdict.what.contains("power +3.6 %"), "{}", verdict.what);
        let verdict = judge(&glances(30, |_| 400.0, |at| 50.0 + 0.2 * at), &limits);
        assert!(!verdict.steady && verdict.what.contains("temperature +3.0 K"), "{}", verdict.what);
    }

    #[test]
    fn only_the_last_seconds_count() {
        let limits = SteadyLimits::default();
        let settled = judge(&glances(40, |at| 400.0 + 5.0 * at.min(20.0), |_| 60.0), &limits);
        assert!(settled.steady, "{}", settled.what);
    }

    #[test]
    fn what_cannot_be_seen_is_said_and_does_not_hold_the_run_up() {
        let mut blind = glances(20, |_| 1.0, |_| 1.0);
        for glance in &mut blind {
            (glance.power, glance.temperature) = (None, None);
        }
        let verdict = judge(&blind, &SteadyLimits::default());
        assert!(verdict.steady && verdict.what.contains("power not seen"), "{}", verdict.what);
    }

    proptest! {
        #[test]
        fn a_line_changes_by_its_slope_times_its_length(
            slope in -10.0..10.0_f64, offset in -1e3..1e3_f64, count in 5_u32..60,
        ) {
            let points: Vec<(f64, f64)> =
                (0..count).map(|x| (f64::from(x), offset + slope * f64::from(x))).collect();
            let found = change(&points).unwrap();
            prop_assert!((found - slope * f64::from(count - 1)).abs() < 1e-6);
        }
    }
}
