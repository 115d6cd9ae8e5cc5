//! Times as external meters write them.

use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

use crate::record::reference::ReferenceClock;

/// A time in seconds, and what it counts from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stamp {
    /// Seconds.
    pub seconds: f64,
    /// Since the Unix epoch or since some moment of the meter's own.
    pub clock: ReferenceClock,
}

/// Numbers at and above these are seconds, milliseconds, microseconds and nanoseconds since the epoch (from 1973 on); smaller
/// ones are seconds since some moment.
const EPOCHS: [(f64, f64); 4] = [(1e17, 1e9), (1e14, 1e6), (1e11, 1e3), (1e8, 1.0)];

/// Forms without a zone: ISO, the SPEC PTDaemon's, and those that spreadsheets and `ipmitool` write.
const FORMS: [&str; 9] = [
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y/%m/%d %H:%M:%S%.f",
    "%m-%d-%Y %H:%M:%S%.f",
    "%m/%d/%Y %H:%M:%S%.f",
    "%d.%m.%Y %H:%M:%S%.f",
    "%a %b %d %H:%M:%S %Y",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
];

/// Reads a time; `zone` is that of times that name none.
#[must_use]
pub fn parse(text: &str, zone: &TimeZone) -> Option<Stamp> {
    let text = text.trim().trim_matches('"').trim();
    if text.is_empty() || text.len() > 64 {
        return None;
    }
    if let Ok(number) = text.parse::<f64>() {
        return of_number(number);
    }
    let wall = |seconds: f64| Stamp { seconds, clock: ReferenceClock::Wall };
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(wall(unix(at)));
    }
    if let Ok(zoned) = text.parse::<ZonedDateTime>() {
        return Some(wall(unix(zoned.timestamp())));
    }
    let spaced = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(at) = FORMS.iter().find_map(|form| civil(form, &spaced)) {
        return Some(wall(unix(zone.to_timestamp(at).ok()?)));
    }
    clock_time(&spaced)
}

/// A bare number.
#[must_use]
pub fn of_number(number: f64) -> Option<Stamp> {
    if !(0.0..=1e19).contains(&number) {
        return None;
    }
    let epoch = EPOCHS.iter().find(|(least, _)| number >= *least);
    Some(match epoch {
        Some((_, unit)) => Stamp { seconds: number / unit, clock: ReferenceClock::Wall },
        None => Stamp { seconds: number, clock: ReferenceClock::Relative },
    })
}

fn unix(at: Timestamp) -> f64 {
    at.as_nanosecond() as f64 / 1e9
}

fn civil(form: &str, text: &str) -> Option<DateTime> {
    strtime::parse(form, text).ok()?.to_datetime().ok()
}

/// `HH:MM:SS.fff` or `MM:SS`: seconds since some midnight.
fn clock_time(text: &str) -> Option<Stamp> {
    let mut seconds = 0.0;
    let parts: Vec<&str> = text.split(':').collect();
    if !(2..=3).contains(&parts.len()) {
        return None;
    }
    for part in parts {
        let value: f64 = part.trim().parse().ok()?;
        if !(0.0..100_000.0).contains(&value) {
            return None;
        }
        seconds = seconds * 60.0 + value;
    }
    Some(Stamp { seconds, clock: ReferenceClock::Relative })
}

/// A time at the beginning of a line, and the rest of the line: words are taken while they still make a time.
#[must_use]
pub fn leading<'t>(line: &'t str, zone: &TimeZone) -> Option<(Stamp, &'t str)> {
    let line = line.trim();
    let mut ends: Vec<usize> =
        line.match_indices([' ', '\t', ',', ';', '|']).map(|(at, _)| at).collect();
    ends.push(line.len());
    ends.iter().take(6).rev().find_map(|end| {
        let (head, rest) = line.split_at(*end);
        let head = head.trim_matches(|c: char| "[](),;|".contains(c) || c.is_whitespace());
        // A small number at the beginning of a line is more likely a reading than a time.
        let stamp = parse(head, zone)
            .filter(|stamp| stamp.clock == ReferenceClock::Wall || head.contains(':'))?;
        Some((stamp, rest.trim_start_matches(|c: char| ",;|".contains(c) || c.is_whitespace())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN_OCLOCK: f64 = 1_795_514_400.0;

    #[test]
    fn the_forms_of_meters_mean_the_same_moment() {
        for text in [
            "2026-11-24T10:00:00Z",
            "2026-11-24T11:00:00+01:00",
            "2026-11-24 10:00:00.000",
            "2026-11-24T10:00:00",
            "2026/11/24 10:00:00",
            "11-24-2026 10:00:00.000",
            "24.11.2026 10:00:00",
            "Tue Nov 24 10:00:00 2026",
            "1795514400",
            "1795514400000",
            "1795514400000000000",
        ] {
            let stamp = parse(text, &TimeZone::UTC).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(stamp.clock, ReferenceClock::Wall, "{text}");
            assert!((stamp.seconds - TEN_OCLOCK).abs() < 1e-3, "{text}: {}", stamp.seconds);
        }
    }

    #[test]
    fn small_numbers_and_clock_times_count_from_somewhere() {
        let relative = |text: &str| {
            let stamp = parse(text, &TimeZone::UTC).unwrap();
            assert_eq!(stamp.clock, ReferenceClock::Relative);
            stamp.seconds
        };
        assert!((relative("12.5") - 12.5).abs() < 1e-9);
        assert!((relative("01:00:02.5") - 3602.5).abs() < 1e-9);
        assert_eq!(parse("-1", &TimeZone::UTC), None);
        assert_eq!(parse("Watts", &TimeZone::UTC), None);
    }

    #[test]
    fn a_time_before_a_line_is_found_and_a_reading_is_not_taken_for_one() {
        let (stamp, rest) =
            leading("2026-11-24 10:00:00 Pwr | 154 Watts | ok", &TimeZone::UTC).unwrap();
        assert!((stamp.seconds - TEN_OCLOCK).abs() < 1e-3);
        assert_eq!(rest, "Pwr | 154 Watts | ok");
        assert!(leading("154 Watts", &TimeZone::UTC).is_none());
    }
}
