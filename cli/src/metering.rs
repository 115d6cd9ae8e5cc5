//! What is metered, as command lines without a config say it: `--metrics KEY=VALUE` and `--gpus`.

use ai_energy_benchmarks::config::component::metrics::MetricsConfig;
use ai_energy_benchmarks::config::{self, BenchmarkConfig};
use ai_energy_benchmarks::error::{Problem, Problems};
use serde_json::Value;

/// The settings, and the GPUs that are named: all that are visible where none is.
///
/// # Errors
/// A change that is none, a key that does not exist, a value of another kind.
pub(crate) fn settings(
    changes: &[String],
    gpus: Option<&str>,
) -> Result<(MetricsConfig, Option<Vec<String>>), Problems> {
    let mut problems = Problems::default();
    let mut settings = serde_json::to_value(MetricsConfig::default()).unwrap_or_default();
    for change in changes {
        match change.split_once('=') {
            Some((key, value)) => set(&mut settings, key, value),
            None => problems.push(
                Problem::new("--metrics", format!("{change:?} is no KEY=VALUE"))
                    .hint("--metrics cpu_tdp_w=65"),
            ),
        }
    }
    let metrics = serde_json::from_value::<MetricsConfig>(settings)
        .map_err(|cause| problems.push(Problem::new("--metrics", cause.to_string())));
    problems.into_result()?;
    let mut metrics = metrics.unwrap_or_default();
    let device_ids = match gpus.map(str::trim) {
        Some("none") => {
            metrics.gpu = false;
            None
        }
        Some("all") | None => None,
        Some(list) => Some(list.split(',').map(|id| id.trim().to_owned()).collect()),
    };
    Ok((metrics, device_ids))
}

/// The same when nothing is wrong with it.
///
/// # Errors
/// All that is wrong.
pub(crate) fn checked(metrics: MetricsConfig) -> Result<MetricsConfig, Problems> {
    let config = BenchmarkConfig { metrics, ..BenchmarkConfig::default() };
    let of_metrics = |problem: &Problem| problem.place.starts_with("metrics");
    let found = config::check(&config).0.into_iter().filter(of_metrics).collect();
    Problems(found).into_result().map(|()| config.metrics)
}

/// Both, or the problems of both.
pub(crate) fn all<A, B>(
    found: (Result<A, Problems>, Result<B, Problems>),
) -> Result<(A, B), Problems> {
    match found {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (one, other) => {
            let told = [one.err(), other.err()].into_iter().flatten().flat_map(|found| found.0);
            Err(Problems(told.collect()))
        }
    }
}

/// Sets a key, dots for keys inside; a value that is no JSON is a text.
fn set(settings: &mut Value, key: &str, value: &str) {
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    let mut place = settings;
    for part in key.trim_start_matches("metrics.").split('.') {
        if !place.is_object() {
            *place = Value::Object(serde_json::Map::new());
        }
        place = &mut place[part];
    }
    *place = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_set_by_their_keys() {
        let mut settings = serde_json::json!({"pue": 1.0});
        for (key, value) in [("pue", "1.2"), ("metrics.region", "Texas"), ("meter.type", "exec")] {
            set(&mut settings, key, value);
        }
        let expected =
            serde_json::json!({"pue": 1.2, "region": "Texas", "meter": {"type": "exec"}});
        assert_eq!(settings, expected);
    }

    #[test]
    fn wrong_settings_are_told() {
        let changes = |list: &[&str]| list.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
        assert!(settings(&changes(&["cpu_tdp_w"]), None).is_err());
        let told = settings(&changes(&["no_such_key=1"]), None).unwrap_err().to_string();
        assert!(told.contains("no_such_key"), "{told}");
        let (metrics, gpus) = settings(&changes(&["cpu_tdp_w=65"]), Some("0, GPU-1")).unwrap();
        assert_eq!(metrics.cpu_tdp_w, Some(65.0));
        assert_eq!(gpus.unwrap(), ["0", "GPU-1"]);
        assert!(!settings(&[], Some("none")).unwrap().0.gpu);
        assert!(
            checked(MetricsConfig { sample_period_s: 0.0, ..MetricsConfig::default() }).is_err()
        );
    }
}
