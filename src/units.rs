//! Quantities with their unit in the type.
//!
//! Inside the project everything is SI: joules, watts, seconds. Watt-hours and grams appear only at
//! the edges (reports), and only through the conversions here. Arithmetic exists only where it means
//! something: power times time is energy, energy over time is power, and nothing adds joules to watts.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, Sub};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Seconds in an hour, joules in a watt-hour.
pub const JOULES_PER_WATT_HOUR: f64 = 3600.0;

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $unit:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub f64);

        impl $name {
            /// The unit's symbol.
            pub const UNIT: &'static str = $unit;
            /// Nothing of it.
            pub const ZERO: Self = Self(0.0);

            /// The bare number, for formatting and for formulas inside one room.
            #[must_use]
            pub const fn value(self) -> f64 {
                self.0
            }
        }

        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                self.0 += other.0;
            }
        }

        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0 - other.0)
            }
        }

        impl Mul<f64> for $name {
            type Output = Self;
            fn mul(self, factor: f64) -> Self {
                Self(self.0 * factor)
            }
        }

        impl Div<f64> for $name {
            type Output = Self;
            fn div(self, divisor: f64) -> Self {
                Self(self.0 / divisor)
            }
        }

        impl Div for $name {
            type Output = f64;
            fn div(self, other: Self) -> f64 {
                self.0 / other.0
            }
        }

        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
                Self(items.map(|item| item.0).sum())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                if let Some(precision) = f.precision() {
                    write!(f, "{:.precision$} {}", self.0, $unit)
                } else {
                    write!(f, "{} {}", self.0, $unit)
                }
            }
        }
    };
}

quantity!(
    /// Energy.
    Joules, "J"
);
quantity!(
    /// Power.
    Watts, "W"
);
quantity!(
    /// A length of time.
    Seconds, "s"
);
quantity!(
    /// Energy as bills count it; only for reports.
    WattHours, "Wh"
);
quantity!(
    /// Emissions; only for reports.
    GramsCo2e, "gCO2e"
);
quantity!(
    /// Carbon intensity of electricity.
    GramsPerKwh, "gCO2e/kWh"
);

impl Mul<Seconds> for Watts {
    type Output = Joules;
    fn mul(self, time: Seconds) -> Joules {
        Joules(self.0 * time.0)
    }
}

impl Div<Seconds> for Joules {
    type Output = Watts;
    fn div(self, time: Seconds) -> Watts {
        Watts(self.0 / time.0)
    }
}

impl From<Joules> for WattHours {
    fn from(energy: Joules) -> Self {
        Self(energy.0 / JOULES_PER_WATT_HOUR)
    }
}

impl From<WattHours> for Joules {
    fn from(energy: WattHours) -> Self {
        Self(energy.0 * JOULES_PER_WATT_HOUR)
    }
}

impl Joules {
    /// What this energy emits at a carbon intensity.
    #[must_use]
    pub fn emissions(self, intensity: GramsPerKwh) -> GramsCo2e {
        GramsCo2e(WattHours::from(self).0 / 1000.0 * intensity.0)
    }
}

/// A point on the run's one monotonic clock, in nanoseconds (`CLOCK_MONOTONIC`).
///
/// Requests, samples and phases all carry it, so any two can be compared. It means nothing across a
/// reboot; the manifest's anchors tie it to wall time.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct Nanos(pub u64);

impl Nanos {
    /// The time from `earlier` to here; zero if `earlier` is later.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an f64 holds 104 days in ns exactly")]
    pub fn since(self, earlier: Self) -> Seconds {
        Seconds(self.0.saturating_sub(earlier.0) as f64 / 1e9)
    }

    /// This point moved by a signed length of time, clamped at zero.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "clamped at zero, and nanoseconds of uptime fit an f64's 53 bits for 104 days"
    )]
    pub fn offset(self, by: Seconds) -> Self {
        Self((self.0 as f64 + by.0 * 1e9).max(0.0).round() as u64)
    }
}

impl From<Seconds> for std::time::Duration {
    fn from(time: Seconds) -> Self {
        Self::try_from_secs_f64(time.0.max(0.0)).unwrap_or(Self::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kilowatt_hour_is_three_point_six_megajoules_and_emits_its_intensity() {
        let energy = Joules(3.6e6);
        assert_eq!(WattHours::from(energy), WattHours(1000.0));
        assert_eq!(energy.emissions(GramsPerKwh(369.473)), GramsCo2e(369.473));
    }

    #[test]
    fn power_times_time_is_energy() {
        assert_eq!(Watts(50.0) * Seconds(2.0), Joules(100.0));
        assert_eq!(Joules(100.0) / Seconds(2.0), Watts(50.0));
    }

    #[test]
    fn points_on_the_clock_never_give_negative_spans() {
        assert_eq!(Nanos(5).since(Nanos(9)), Seconds::ZERO);
        assert_eq!(Nanos(2_500_000_000).since(Nanos(500_000_000)), Seconds(2.0));
        assert_eq!(Nanos(10).offset(Seconds(-1.0)), Nanos(0));
    }
}
