//! Credentials: where they come from, and that they are never shown.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::HeaderValue;

use super::endpoint::{Endpoint, Parsed};
use crate::config::component::backend::VllmConfig;
use crate::error::Problem;

/// The variable that `api_key_env` names when the config says nothing.
const DEFAULT_KEY_ENV: &str = "OPENAI_API_KEY";

/// A text that `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(String);

impl Secret {
    /// Hides a text.
    #[must_use]
    pub(super) const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one place that sends it.
    #[must_use]
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// How a request is authorised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Auth {
    /// Not at all.
    None,
    /// `user:password`.
    Basic(Secret),
    /// An API key.
    Bearer(Secret),
}

impl Auth {
    /// Value of the `Authorization` header, marked as sensitive.
    #[must_use]
    pub(super) fn header(&self) -> Option<HeaderValue> {
        let text = match self {
            Self::None => return None,
            Self::Basic(secret) => format!("Basic {}", STANDARD.encode(secret.expose())),
            Self::Bearer(secret) => format!("Bearer {}", secret.expose()),
        };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// A text of the server's without our credentials, should it repeat them.
    #[must_use]
    pub(super) fn scrub(&self, text: String) -> String {
        let secrets = match self {
            Self::None => return text,
            Self::Bearer(key) => vec![key.expose().to_owned()],
            Self::Basic(pair) => {
                let password = pair.expose().split_once(':').map_or("", |(_, password)| password);
                vec![pair.expose().to_owned(), STANDARD.encode(pair.expose()), password.to_owned()]
            }
        };
        secrets
            .iter()
            .filter(|secret| !secret.is_empty())
            .fold(text, |text, secret| text.replace(secret.as_str(), "***"))
    }
}

/// Chooses the credentials of a config: the URL's, `basic_auth_env`'s, or else the API key's.
pub(super) fn choose(
    config: &VllmConfig,
    parsed: Option<&Parsed>,
    env: &dyn Fn(&str) -> Option<String>,
    problems: &mut Vec<Problem>,
) -> Auth {
    let key = api_key(config, env, problems);
    let basic = basic(config, parsed, env, problems);
    let auth = match (basic, key) {
        (Some(_), Some(_)) if config.api_key_env != DEFAULT_KEY_ENV => {
            problems.push(
                Problem::new("backend.api_key_env", "both a key and basic auth are given")
                    .hint("a request carries one of them: drop the other"),
            );
            Auth::None
        }
        // A key that merely lies about in the environment yields to what the config names.
        (Some(pair), _) => Auth::Basic(pair),
        (None, Some(key)) => Auth::Bearer(key),
        (None, None) => Auth::None,
    };
    if auth != Auth::None && auth.header().is_none() {
        problems.push(Problem::new(
            place_of(config, &auth),
            "holds characters that a header cannot carry (a line break?)",
        ));
    }
    if let Some(Parsed { endpoint, .. }) = parsed {
        check_transport(config, endpoint, &auth, problems);
    }
    auth
}

fn place_of(config: &VllmConfig, auth: &Auth) -> &'static str {
    match auth {
        Auth::Bearer(_) => "backend.api_key_env",
        _ if config.basic_auth_env.is_some() => "backend.basic_auth_env",
        _ => "backend.endpoint",
    }
}

fn api_key(
    config: &VllmConfig,
    env: &dyn Fn(&str) -> Option<String>,
    problems: &mut Vec<Problem>,
) -> Option<Secret> {
    let name = config.api_key_env.as_str();
    if name.is_empty() {
        return None;
    }
    let key = env(name).map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
    if key.is_none() && name != DEFAULT_KEY_ENV {
        problems.push(
            Problem::new("backend.api_key_env", format!("the variable {name} is not set"))
                .hint("set it, or drop the key; an empty name sends no key"),
        );
    }
    key.map(Secret::new)
}

fn basic(
    config: &VllmConfig,
    parsed: Option<&Parsed>,
    env: &dyn Fn(&str) -> Option<String>,
    problems: &mut Vec<Problem>,
) -> Option<Secret> {
    const PLACE: &str = "backend.basic_auth_env";
    let in_url = parsed.and_then(|parsed| parsed.user_info.clone());
    let Some(name) = config.basic_auth_env.as_deref().filter(|name| !name.is_empty()) else {
        return in_url;
    };
    if in_url.is_some() {
        problems.push(
            Problem::new(PLACE, "the endpoint has a user of its own").hint("keep one of the two"),
        );
        return None;
    }
    match env(name) {
        Some(pair) if pair.contains(':') => Some(Secret::new(pair.trim().to_owned())),
        Some(_) => {
            problems.push(Problem::new(PLACE, format!("{name} does not hold `user:password`")));
            None
        }
        None => {
            problems.push(Problem::new(PLACE, format!("the variable {name} is not set")));
            None
        }
    }
}

/// Credentials over plain http are for this machine's ears only.
fn check_transport(
    config: &VllmConfig,
    endpoint: &Endpoint,
    auth: &Auth,
    problems: &mut Vec<Problem>,
) {
    if *auth == Auth::None || endpoint.https || endpoint.is_loopback() || config.allow_insecure_auth
    {
        return;
    }
    let (what, instead) = match auth {
        Auth::Bearer(_) => (
            format!(
                "the key in {} would go in plain text to {}",
                config.api_key_env, endpoint.host
            ),
            "set backend.api_key_env to \"\" to send no key, ",
        ),
        _ => (format!("the password would go in plain text to {}", endpoint.host), ""),
    };
    problems.push(
        Problem::new(place_of(config, auth), what)
            .hint(format!("{instead}use https, or set backend.allow_insecure_auth")),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_debug_nor_a_servers_echo_shows_a_secret() {
        let basic = Auth::Basic(Secret::new("me:hunter2".to_owned()));
        let bearer = Auth::Bearer(Secret::new("sk-123".to_owned()));
        for auth in [&basic, &bearer] {
            let debug = format!("{auth:?} {:?}", auth.header());
            assert!(!debug.contains("hunter2") && !debug.contains("sk-123"), "{debug}");
            assert!(!debug.contains(&STANDARD.encode("me:hunter2")), "{debug}");
        }
        assert_eq!(bearer.scrub("bad key sk-123".to_owned()), "bad key ***");
        let echo = format!("no {} hunter2", STANDARD.encode("me:hunter2"));
        assert_eq!(basic.scrub(echo), "no *** ***");
        assert_eq!(bearer.header().unwrap(), "Bearer sk-123");
    }
}
