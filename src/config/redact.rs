//! Secrets leave a config before it is written anywhere.

use serde_json::Value;

/// What stands where a secret stood.
const HIDDEN: &str = "***";

/// Replaces every value whose key says that it is a secret, and credentials inside URLs.
pub fn redact(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if is_secret_key(key) && !value.is_null() {
                    *value = HIDDEN.into();
                } else {
                    redact(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        Value::String(text) => *text = redact_text(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether a key names a secret: `api_key`, `token`, `password`; not `api_key_env`, not `max_new_tokens`.
#[must_use]
pub fn is_secret_key(key: &str) -> bool {
    let key = key.to_lowercase().replace('-', "_");
    ["api_key", "apikey", "token", "secret", "password", "authorization", "credentials"]
        .iter()
        .any(|word| key.ends_with(word))
}

/// Hides `user:password@` in every URL of a text.
#[must_use]
pub fn redact_text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let authority = after.find(['/', '?', '#', ' ', '\n']).unwrap_or(after.len());
        rest = match after[..authority].rfind('@') {
            Some(end) => {
                shown.push_str(HIDDEN);
                &after[end..]
            }
            None => after,
        };
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_hidden_and_their_neighbours_are_not() {
        let mut config = json!({
            "backend": {
                "endpoint": "https://me:hunter2@host:1/v1",
                "api_key_env": "OPENAI_API_KEY",
                "extra_body": {"api_key": "sk-1", "X-Token": "t", "max_new_tokens": 5},
            },
            "list": ["http://u:p@h", "plain"],
        });
        redact(&mut config);
        assert_eq!(
            config,
            json!({
                "backend": {
                    "endpoint": "https://***@host:1/v1",
                    "api_key_env": "OPENAI_API_KEY",
                    "extra_body": {"api_key": "***", "X-Token": "***", "max_new_tokens": 5},
                },
                "list": ["http://***@h", "plain"],
            })
        );
    }

    #[test]
    fn a_password_with_an_at_sign_is_hidden_whole() {
        assert_eq!(redact_text("http://u:p@ss@h/x"), "http://***@h/x");
    }
}
