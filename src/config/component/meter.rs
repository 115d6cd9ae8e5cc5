//! Settings of meters beside those that a machine offers by itself.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use super::TextList;

/// Further meters: one or a list. Each counts before the machine's own sensors of the same part.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Meters(pub Vec<MeterConfig>);

/// One further meter. The key `type` chooses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum MeterConfig {
    /// Any program that writes readings as JSON lines.
    Exec(ExecConfig),
    /// A metrics page of another machine or of the server: DCGM exporter and every other Prometheus exporter, or JSON.
    Prometheus(PrometheusConfig),
    /// Recorded readings, played again in their own time.
    Replay(ReplayConfig),
}

impl MeterConfig {
    /// Every value of `type`.
    pub const KINDS: [&'static str; 3] = ["exec", "prometheus", "replay"];

    /// The value of `type`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Exec(_) => "exec",
            Self::Prometheus(_) => "prometheus",
            Self::Replay(_) => "replay",
        }
    }
}

/// A program that writes readings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExecConfig {
    /// The program and its arguments. It runs as long as the benchmark; what it writes on standard output is read.
    pub command: TextList,
    /// Seconds within which it must have described its sensors.
    pub timeout_s: f64,
}

impl Default for ExecConfig {
    fn default() -> Self {
        Self { command: TextList::default(), timeout_s: 10.0 }
    }
}

/// Recorded readings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReplayConfig {
    /// A run folder, or a trace with the columns `t_before_ns,t_after_ns,power_instant_mw,power_usage_mw,total_energy_mj,t_energy_ns`.
    pub file: String,
}

/// A page of metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PrometheusConfig {
    /// Address of the page: `http://node7:9400/metrics`.
    pub url: String,
    /// What to read from it. Default: energy and power as DCGM exporter names them.
    pub metrics: Vec<MetricChoice>,
    /// Seconds between looks.
    pub period_s: f64,
    /// A value on the page may be so old when it is read, in seconds. DCGM exporter collects every 30 s unless its `-c` says
    /// otherwise.
    pub age_s: f64,
    /// Seconds to wait for the page.
    pub timeout_s: f64,
    /// Name of the machine whose energy it is. Default: the host of the address; none where that is this machine.
    pub host: Option<String>,
}

impl Default for PrometheusConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            metrics: Vec::new(),
            period_s: 1.0,
            age_s: 30.0,
            timeout_s: 5.0,
            host: None,
        }
    }
}

/// One metric of a page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricChoice {
    /// Name of the metric; each combination of its labels is a sensor.
    #[serde(default)]
    pub name: Option<String>,
    /// Where the number stands, where the page is JSON (RFC 6901): `/energy/total_mj`.
    #[serde(default)]
    pub pointer: Option<String>,
    /// Only where these labels have these values.
    #[serde(default)]
    pub labels: std::collections::BTreeMap<String, String>,
    /// Unit of the number: `J`, `mJ`, `uJ`, `Wh`, `kWh` make it a counter of energy, `W`, `mW`, `uW` power.
    pub unit: MetricUnit,
    /// Which part of the machine.
    #[serde(default)]
    pub component: MeteredPart,
    /// Label that tells devices apart. Default: `UUID`, `uuid` or `gpu`, whichever is there.
    #[serde(default)]
    pub device_label: Option<String>,
    /// Whether its energy is counted. Default: a counter of a GPU, CPU or RAM is, and power where there is no counter.
    #[serde(default)]
    pub counted: Option<bool>,
}

/// Unit of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MetricUnit {
    /// Joules, a counter.
    J,
    /// Millijoules, a counter.
    #[serde(rename = "mJ")]
    MilliJ,
    /// Microjoules, a counter.
    #[serde(rename = "uJ")]
    MicroJ,
    /// Watt-hours, a counter.
    Wh,
    /// Kilowatt-hours, a counter.
    #[serde(rename = "kWh")]
    KiloWh,
    /// Watts.
    W,
    /// Milliwatts.
    #[serde(rename = "mW")]
    MilliW,
    /// Microwatts.
    #[serde(rename = "uW")]
    MicroW,
}

impl MetricUnit {
    /// Joules or watts in one of it.
    #[must_use]
    pub const fn factor(self) -> f64 {
        match self {
            Self::J | Self::W => 1.0,
            Self::MilliJ | Self::MilliW => 1e-3,
            Self::MicroJ | Self::MicroW => 1e-6,
            Self::Wh => 3600.0,
            Self::KiloWh => 3.6e6,
        }
    }

    /// Whether it is one of energy.
    #[must_use]
    pub const fn is_energy(self) -> bool {
        matches!(self, Self::J | Self::MilliJ | Self::MicroJ | Self::Wh | Self::KiloWh)
    }
}

/// Which part of a machine a metric is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MeteredPart {
    /// A graphics processor.
    #[default]
    Gpu,
    /// Processor packages.
    Cpu,
    /// Main memory.
    Ram,
    /// The whole machine; beside its parts, never added.
    Machine,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    Many(Vec<serde_json::Value>),
    One(serde_json::Value),
}

impl<'de> Deserialize<'de> for Meters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Through values, so that the error of one meter is its own and not "no variant matched".
        let values = match OneOrMany::deserialize(deserializer)? {
            OneOrMany::Many(values) => values,
            OneOrMany::One(serde_json::Value::Null) => Vec::new(),
            OneOrMany::One(value) => vec![value],
        };
        let meters = values.into_iter().map(serde_json::from_value);
        meters.collect::<Result<_, _>>().map(Self).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Meters {
    fn schema_name() -> Cow<'static, str> {
        "Meters".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<MeterConfig>();
        json_schema!({
            "description": "Further meters: one or a list.",
            "anyOf": [one, {"type": "array", "items": one}]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_meter_or_a_list_of_them() {
        let one: Meters = serde_json::from_str(r#"{"type": "replay", "file": "a"}"#).unwrap();
        let many: Meters = serde_json::from_str(
            r#"[{"type": "replay", "file": "a"}, {"type": "exec", "command": "b"}]"#,
        )
        .unwrap();
        assert_eq!(one.0[..], many.0[..1]);
        assert_eq!(many.0[1].kind(), "exec");
        let wrong = serde_json::from_str::<Meters>(r#"{"type": "replay", "fil": "a"}"#);
        assert!(wrong.unwrap_err().to_string().contains("fil"), "the key is named");
    }
}
