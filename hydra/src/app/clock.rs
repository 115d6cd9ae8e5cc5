//! The time of day, as Python writes it.

use std::time::SystemTime;

use jiff::ZonedDateTime;
use jiff::tz::TimeZone;

/// One moment in local time.
#[derive(Debug, Clone)]
pub(super) struct Moment(ZonedDateTime);

impl Moment {
    /// Now, or a given time.
    pub(super) fn at(time: Option<SystemTime>) -> Self {
        let time = time.and_then(|time| jiff::Timestamp::try_from(time).ok());
        Self(match time {
            Some(time) => time.to_zoned_datetime(TimeZone::system()),
            None => ZonedDateTime::now(),
        })
    }

    /// Python's `strftime`.
    ///
    /// # Errors
    /// The reason, for a directive that does not exist.
    pub(super) fn format(&self, pattern: &str) -> Result<String, String> {
        // Python's `%f` has six digits always.
        let pattern = pattern.replace("%f", "%6f");
        jiff::fmt::strtime::format(&pattern, &self.0).map_err(|error| error.to_string())
    }

    /// The time as `logging` writes it: `2024-01-31 23:59:59,123`.
    pub(super) fn log(&self) -> String {
        let millisecond = self.0.millisecond();
        format!("{},{millisecond:03}", self.format("%Y-%m-%d %H:%M:%S").unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_moment_is_written_as_python_writes_it() {
        let moment = Moment::at(Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1_234)));
        assert!(moment.log().ends_with(":01,234"), "{}", moment.log());
        assert_eq!(moment.format("%f %%").unwrap(), "234000 %");
        assert!(moment.format("%!").is_err());
    }
}
