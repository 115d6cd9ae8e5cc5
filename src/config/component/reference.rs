//! Settings of an external meter whose readings are given as a file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The form of an external meter's file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReferenceFormat {
    /// By its content.
    #[default]
    Auto,
    /// CSV of a power analyser: a column of time, and one of watts, or of joules or watt-hours counted up.
    PowerCsv,
    /// Log of SPEC PTDaemon, as MLPerf keeps it (`Time,...,Watts,...`).
    Ptdaemon,
    /// JSON of Redfish `Power`, `PowerControl`, `Sensor` or metric reports: one document, an array, or one a line.
    Redfish,
    /// Output of `ipmitool dcmi power reading` or `ipmitool sdr`, repeated, with times.
    Ipmi,
    /// Readings of a Shelly or Tasmota plug: JSON lines or CSV.
    SmartPlug,
}

impl ReferenceFormat {
    /// Every form.
    pub const ALL: [Self; 6] =
        [Self::Auto, Self::PowerCsv, Self::Ptdaemon, Self::Redfish, Self::Ipmi, Self::SmartPlug];

    /// The word used in configs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::PowerCsv => "power_csv",
            Self::Ptdaemon => "ptdaemon",
            Self::Redfish => "redfish",
            Self::Ipmi => "ipmi",
            Self::SmartPlug => "smart_plug",
        }
    }
}

/// What an external meter measures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReferenceScope {
    /// The whole machine, losses of its power supplies included. Shown beside the sensors' figures, never mixed with them.
    #[default]
    Wall,
    /// One GPU (its slot and cables). Gives the gain of its sensor.
    Gpu,
}

/// An external meter: its file, and what is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReferenceConfig {
    /// The file; relative to where the command was started. It is read after the run, so it may be written meanwhile.
    pub file: String,
    /// Its form.
    pub format: ReferenceFormat,
    /// What it measures.
    pub scope: ReferenceScope,
    /// With scope `gpu`: the GPU's UUID or index. Default: the only one counted.
    pub device: Option<String>,
    /// Column of the values, where the file has several that would do.
    pub column: Option<String>,
    /// Bound of the meter's error in per cent of its reading, from its data sheet. Without it the gain of a sensor is shown and
    /// not kept.
    pub accuracy_percent: Option<f64>,
    /// Hours that the file's clock is ahead of UTC, where its times name no zone. Default: this machine's zone.
    pub utc_offset_hours: Option<f64>,
    /// How far the file's clock may be off, in seconds: the search for the load steps goes that far.
    pub max_offset_s: f64,
    /// The file's clock is known to be right within so many seconds (NTP, PTP): used where no load step tells the offset.
    pub clock_bound_s: Option<f64>,
    /// With scope `wall`: share of the wall power that reaches the GPU (power supplies and converters), 0 to 1. With it a gain of the
    /// sensor can be derived from the wall.
    pub conversion_efficiency: Option<f64>,
    /// How far that share may be off, as a part of it (0.02 = 2 %).
    pub conversion_uncertainty: Option<f64>,
}

impl Default for ReferenceConfig {
    fn default() -> Self {
        Self {
            file: String::new(),
            format: ReferenceFormat::Auto,
            scope: ReferenceScope::Wall,
            device: None,
            column: None,
            accuracy_percent: None,
            utc_offset_hours: None,
            max_offset_s: 120.0,
            clock_bound_s: None,
            conversion_efficiency: None,
            conversion_uncertainty: None,
        }
    }
}
