//! What goes wrong on the wire, put into classes and words.

use std::io;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use serde_json::Value;

use super::body;
use super::wire::Malformed;
use crate::backend::BackendError;
use crate::clock::Anchor;
use crate::config::component::backend::VllmConfig;
use crate::record::FailureClass;
use crate::units::Seconds;

/// Longest excerpt of a server's message, in characters.
const EXCERPT: usize = 300;

/// An answer with an error status.
pub(super) fn status(
    config: &VllmConfig,
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
) -> BackendError {
    let said = message_in(body);
    let message = if said.is_empty() {
        format!("HTTP {status} without a message")
    } else {
        format!("HTTP {status}: {said}")
    };
    BackendError {
        http_status: Some(status),
        retry_after: retry_after(headers),
        hint: hint_for(config, status, headers, &said),
        ..BackendError::new(FailureClass::HttpStatus, message)
    }
}

fn hint_for(config: &VllmConfig, status: u16, headers: &HeaderMap, said: &str) -> Option<String> {
    match status {
        300..=399 => {
            let to = headers.get("location").and_then(|to| to.to_str().ok()).unwrap_or("elsewhere");
            Some(format!("the server redirects to {to}: set backend.endpoint to where it leads"))
        }
        400 | 422 => {
            let keys = body::keys_named_in(said, config);
            (!keys.is_empty()).then(|| keys.join("; "))
        }
        401 | 403 => Some(
            "the server wants credentials: the variable that backend.api_key_env names, or basic auth"
                .to_owned(),
        ),
        404 => Some(
            "backend.model must be a name that the server lists, and backend.api one that it offers"
                .to_owned(),
        ),
        429 => Some("the server is busy: fewer requests at once, or wait".to_owned()),
        503 => Some("the server is not ready: it may still be loading the model".to_owned()),
        _ => None,
    }
}

/// What a server says in an error's body: the message of the JSON shapes in use, or the text itself.
pub(super) fn message_in(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(value) => message_of(&value),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    excerpt(&text)
}

fn message_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(message_of).collect::<Vec<_>>().join("; "),
        Value::Object(fields) => {
            for key in ["error", "detail", "message", "msg"] {
                match (fields.get(key), fields.get("loc").and_then(Value::as_array)) {
                    (None | Some(Value::Null), _) => {}
                    // A validation error of FastAPI: the field stands in `loc`.
                    (Some(said), Some(place)) => {
                        let place: Vec<_> = place.iter().map(plain).collect();
                        return format!("`{}`: {}", place.join("`.`"), message_of(said));
                    }
                    (Some(said), None) => return message_of(said),
                }
            }
            value.to_string()
        }
        other => other.to_string(),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A text cut to what a message can carry: one line, no control characters.
pub(super) fn excerpt(text: &str) -> String {
    let line: String = text
        .trim()
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect();
    if line.chars().count() > EXCERPT {
        line.chars().take(EXCERPT).chain(['\u{2026}']).collect()
    } else {
        line
    }
}

/// The wait that a server asks for: `retry-after-ms`, or `Retry-After` in seconds or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Seconds> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let finite = |number: &str| number.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
    if let Some(millis) = text("retry-after-ms").and_then(finite) {
        return Some(Seconds(millis / 1000.0));
    }
    let asked = text(RETRY_AFTER.as_str())?;
    if let Some(seconds) = finite(asked) {
        return Some(Seconds(seconds));
    }
    let until = jiff::fmt::rfc2822::parse(asked).ok()?.timestamp();
    let now = jiff::Timestamp::from_nanosecond(i128::from(Anchor::take().unix_ns)).ok()?;
    Some(Seconds(until.duration_since(now).as_secs_f64().max(0.0)))
}

/// A connection that could not be made.
pub(super) fn connect(endpoint: &str, cause: &str) -> BackendError {
    BackendError::new(FailureClass::Connect, format!("cannot connect to {endpoint}: {cause}"))
        .hint("is the server running, and is backend.endpoint its address?")
}

/// TLS that could not be agreed.
pub(super) fn tls(endpoint: &str, cause: &io::Error) -> BackendError {
    BackendError::new(FailureClass::Tls, format!("no TLS with {endpoint}: {cause}")).hint(
        "a server without TLS needs http:// in backend.endpoint; for a certificate authority of \
         your own name its PEM file in SSL_CERT_FILE",
    )
}

/// What goes wrong on a connection that was made.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The system says so.
    #[error("{0}")]
    Io(io::Error),
    /// The server hung up.
    #[error("the server closed it before the answer was complete")]
    Closed,
    /// The server speaks something else.
    #[error(transparent)]
    NotHttp(#[from] Malformed),
}

impl Trouble {
    /// Of the system's errors those are not HTTP that TLS makes of records it cannot read.
    fn is_not_http(&self) -> bool {
        match self {
            Self::NotHttp(_) => true,
            Self::Closed => false,
            Self::Io(cause) => {
                matches!(cause.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
            }
        }
    }
}

/// A connection that broke, or carried something that is not HTTP.
pub(super) fn transport(trouble: &Trouble, while_doing: &str) -> BackendError {
    if trouble.is_not_http() {
        let message = format!("not HTTP while {while_doing}: {trouble}");
        BackendError::new(FailureClass::Protocol, message)
            .hint("is backend.endpoint an HTTP server, and http or https as it speaks?")
    } else {
        let message = format!("the connection broke while {while_doing}: {trouble}");
        BackendError::new(FailureClass::Reset, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_message_is_found_in_every_shape() {
        for (body, expected) in [
            (r#"{"error":{"message":"no","type":"X"}}"#, "no"),
            (r#"{"error":"Not Found"}"#, "Not Found"),
            (r#"{"object":"error","message":"too long"}"#, "too long"),
            (r#"{"detail":"Unexpected fields"}"#, "Unexpected fields"),
            (r#"{"detail":[{"loc":["body","top_k"],"msg":"bad"}]}"#, "`body`.`top_k`: bad"),
            (r#"{"error":null,"message":"m"}"#, "m"),
            ("Internal\nServer Error\n", "Internal Server Error"),
            ("", ""),
            ("7", "7"),
        ] {
            assert_eq!(message_in(body.as_bytes()), expected, "{body}");
        }
        assert_eq!(message_in("x".repeat(999).as_bytes()).chars().count(), EXCERPT + 1);
    }

    #[test]
    fn retry_after_is_read_in_seconds_milliseconds_and_as_a_date() {
        let asked = |pairs: &[_]| retry_after(&headers(pairs)).map(|wait| wait.0);
        assert_eq!(asked(&[("retry-after", "7")]), Some(7.0));
        assert_eq!(asked(&[("retry-after-ms", "1500"), ("retry-after", "9")]), Some(1.5));
        assert_eq!(asked(&[("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")]), Some(0.0));
        assert!(asked(&[("retry-after", "Fri, 31 Dec 2100 23:59:59 GMT")]).unwrap() > 1e8);
        assert_eq!(asked(&[("retry-after", "soon")]), None);
        assert_eq!(asked(&[("retry-after", "-1")]), None);
        assert_eq!(asked(&[]), None);
    }

    #[test]
    fn hints_name_the_key_the_target_or_the_remedy() {
        let config = VllmConfig::default();
        let detail = br#"{"detail":"Unexpected fields in the request: {'ignore_eos'}"}"#;
        let error = status(&config, 422, &HeaderMap::new(), detail);
        assert!(error.hint.unwrap().contains("scenario.generate_kwargs.ignore_eos"));
        assert_eq!(error.http_status, Some(422));
        let error = status(&config, 307, &headers(&[("location", "https://x/")]), b"");
        assert!(error.hint.unwrap().contains("https://x/"));
        assert!(status(&config, 503, &HeaderMap::new(), b"").is_retryable());
        assert!(status(&config, 429, &HeaderMap::new(), b"").is_retryable());
        assert!(!status(&config, 500, &HeaderMap::new(), b"x").is_retryable());
    }
}
