//! The grid's carbon intensity now, from the Electricity Maps API (version 3, `carbon-intensity/latest`).
//!
//! One question, one answer; who asks, when, and what becomes of it is the run's business. The token goes only
//! over TLS or to this machine, and into no message.

use std::time::Duration;

use serde::Deserialize;

use crate::record::{IntensityReading, LiveIntensity};
use crate::units::GramsPerKwh;

/// The whole exchange takes no longer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// An answer has some hundred bytes.
const LONGEST_ANSWER: u64 = 64 * 1024;

/// Why there is no reading.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LiveError {
    /// The token would be readable on the way.
    #[error("{0} is neither https nor this machine, so the token is not sent")]
    NotSafe(String),
    /// No answer.
    #[error("{0} does not answer: {1}")]
    NoAnswer(String, String),
    /// An answer that is a refusal.
    #[error("{url} answers {status}{}", .told.as_ref().map(|told| format!(": {told}")).unwrap_or_default())]
    Refused {
        /// Who.
        url: String,
        /// HTTP status.
        status: u16,
        /// What it says of it.
        told: Option<String>,
    },
    /// An answer that has no intensity in it.
    #[error("the answer of {0} has no carbon intensity: {1}")]
    NotAReading(String, String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    carbon_intensity: f64,
    zone: Option<String>,
    datetime: Option<String>,
    is_estimated: Option<bool>,
    emission_factor_type: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    error: Option<String>,
    message: Option<String>,
}

/// Asks for the latest hour of a grid; `url` is the API's root.
///
/// # Errors
/// No answer within five seconds, a refusal, or an answer without a figure.
pub fn ask(url: &str, asked: &LiveIntensity, token: &str) -> Result<IntensityReading, LiveError> {
    let root = url.trim_end_matches('/');
    if !is_safe(root) {
        return Err(LiveError::NotSafe(root.to_owned()));
    }
    let zone =
        percent_encoding::utf8_percent_encode(&asked.zone, percent_encoding::NON_ALPHANUMERIC);
    let question = format!("{root}/v3/carbon-intensity/latest?zone={zone}");
    let no_answer = |error: &dyn std::fmt::Display| {
        // A library's message might repeat a header.
        LiveError::NoAnswer(root.to_owned(), error.to_string().replace(token, "***"))
    };
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("ai-energy-benchmark/", env!("CARGO_PKG_VERSION")))
        .timeout_global(Some(TIMEOUT))
        .build()
        .into();
    let mut response = agent
        .get(&question)
        .header("auth-token", token)
        .call()
        .map_err(|error| no_answer(&error))?;
    let status = response.status().as_u16();
    let text = response
        .body_mut()
        .with_config()
        .limit(LONGEST_ANSWER)
        .read_to_string()
        .map_err(|error| no_answer(&error))?;
    if status != 200 {
        let told = serde_json::from_str::<Refusal>(&text).ok();
        let told = told.and_then(|refusal| refusal.error.or(refusal.message));
        let told = told.map(|told| told.replace(token, "***"));
        return Err(LiveError::Refused { url: root.to_owned(), status, told });
    }
    parse(&text, asked).map_err(|cause| LiveError::NotAReading(root.to_owned(), cause))
}

fn is_safe(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return url.starts_with("https://") };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    matches!(host, "127.0.0.1" | "localhost" | "[::1]")
}

/// The reading of an answer.
///
/// # Errors
/// In words, when the answer is no JSON of the API's form or its figure is not one.
pub fn parse(text: &str, asked: &LiveIntensity) -> Result<IntensityReading, String> {
    let answer: Answer = serde_json::from_str(text).map_err(|cause| cause.to_string())?;
    let intensity = answer.carbon_intensity;
    if !intensity.is_finite() || intensity < 0.0 {
        return Err(format!("{intensity} is out of range"));
    }
    Ok(IntensityReading {
        service: asked.service.clone(),
        zone: answer.zone.unwrap_or_else(|| asked.zone.clone()),
        intensity: GramsPerKwh(intensity),
        for_hour: answer.datetime,
        estimated: answer.is_estimated,
        emission_factor_type: answer.emission_factor_type,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked() -> LiveIntensity {
        LiveIntensity { service: "Electricity Maps".to_owned(), zone: "DE".to_owned() }
    }

    #[test]
    fn an_answer_of_the_api_is_read() {
        let text = r#"{"zone":"DE","carbonIntensity":302,"datetime":"2026-11-24T10:00:00.000Z",
            "updatedAt":"2026-11-24T10:40:00.000Z","emissionFactorType":"lifecycle","isEstimated":true,
            "estimationMethod":"TIME_SLICER_AVERAGE","temporalGranularity":"hourly"}"#;
        let reading = parse(text, &asked()).unwrap();
        assert_eq!((reading.intensity, reading.estimated), (GramsPerKwh(302.0), Some(true)));
        assert_eq!(reading.for_hour.as_deref(), Some("2026-11-24T10:00:00.000Z"));
    }

    #[test]
    fn a_figure_that_is_none_is_refused() {
        for text in ["{}", r#"{"carbonIntensity":null}"#, r#"{"carbonIntensity":-1}"#, "<html>"] {
            assert!(parse(text, &asked()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_token_goes_only_over_tls_or_to_this_machine() {
        assert!(is_safe("https://api.electricitymaps.com") && is_safe("http://127.0.0.1:8080"));
        assert!(is_safe("http://[::1]:80/x") && !is_safe("http://127.0.0.1.example.org"));
        assert!(!is_safe("http://api.electricitymaps.com") && !is_safe("ftp://localhost"));
        assert!(!is_safe("http://localhost@example.org"));
    }

    proptest! {
        #[test]
        fn no_text_panics_the_parser(text in "(?s).{0,200}") {
            let _ = parse(&text, &asked());
        }
    }
}
