//! The one moment that `${now:...}` shows, and Python's way to write it.

use std::sync::{Arc, OnceLock};

use jiff::ZonedDateTime;
use jiff::fmt::strtime;

/// A moment in time: that of its first use, or one that was given. Copies are the same moment.
#[derive(Debug, Clone, Default)]
pub struct Moment(Arc<OnceLock<ZonedDateTime>>);

impl Moment {
    /// A moment that is given.
    #[must_use]
    pub fn at(time: ZonedDateTime) -> Self {
        let cell = OnceLock::new();
        // A new cell is empty.
        let _ = cell.set(time);
        Self(Arc::new(cell))
    }

    /// The moment itself.
    #[must_use]
    pub fn zoned(&self) -> &ZonedDateTime {
        self.0.get_or_init(ZonedDateTime::now)
    }

    /// The moment as Python's `strftime` writes it for a local time without a time zone.
    ///
    /// A directive that Python does not know stays as it is.
    #[must_use]
    pub fn format(&self, pattern: &str) -> String {
        let mut out = String::new();
        let mut rest = pattern;
        while let Some(at) = rest.find('%') {
            out.push_str(&rest[..at]);
            let directive = directive(&rest[at..]);
            out.push_str(&self.write(directive));
            rest = &rest[at + directive.len()..];
        }
        out.push_str(rest);
        out
    }

    fn write(&self, directive: &str) -> String {
        let time = self.zoned();
        let written = |pattern: &str| strtime::format(pattern, time).ok();
        let known = match directive.chars().last() {
            _ if directive == "%" => None,
            Some('f') => Some(format!("{:06}", time.subsec_nanosecond() / 1000)),
            // Local times have no zone in Python unless they are given one.
            Some('z' | 'Z') => Some(String::new()),
            Some('c') => written("%a %b %e %H:%M:%S %Y"),
            Some('x') => written("%m/%d/%y"),
            Some('X' | 'T') => written("%H:%M:%S"),
            Some('r') => written("%I:%M:%S %p"),
            Some(letter) if "aAbBCdDeFgGhHIjklmMnpPRsStuUVwWyY%".contains(letter) => {
                written(directive)
            }
            _ => None,
        };
        known.unwrap_or_else(|| directive.to_owned())
    }
}

/// The directive at the start of a text: a percent sign, a flag perhaps, and a letter.
fn directive(text: &str) -> &str {
    let mut ends = text.char_indices().map(|(at, c)| (at + c.len_utf8(), c)).skip(1);
    match ends.next() {
        Some((_, '-' | '_' | '0' | '^' | '#')) => ends.next().map_or(text, |(end, _)| &text[..end]),
        Some((end, _)) => &text[..end],
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment() -> Moment {
        let time = jiff::civil::date(2026, 1, 5).at(7, 8, 9, 123_456_789);
        Moment::at(time.in_tz("UTC").unwrap())
    }

    #[test]
    fn a_moment_is_written_as_python_writes_it() {
        for (pattern, wanted) in [
            ("%Y-%m-%d", "2026-01-05"),
            ("%H-%M-%S", "07-08-09"),
            ("static-text", "static-text"),
            ("%d.%b %y %A %j", "05.Jan 26 Monday 005"),
            ("%f %z%Z|", "123456 |"),
            ("%c", "Mon Jan  5 07:08:09 2026"),
            ("%-d %%", "5 %"),
            ("%Q 100%", "%Q 100%"),
            ("é%dé", "é05é"),
        ] {
            assert_eq!(moment().format(pattern), wanted, "{pattern}");
        }
    }

    #[test]
    fn copies_show_the_same_moment() {
        let moment = Moment::default();
        assert_eq!(moment.clone().zoned(), moment.zoned());
    }
}
