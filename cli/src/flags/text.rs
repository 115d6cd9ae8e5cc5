//! Values as Hydra's grammar of changes writes them.

use serde_json::Value;

use super::Read;

/// A value for a key.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(read: Read, text: &str) -> Result<String, String> {
    match read {
        Read::Text => Ok(quoted(text)),
        Read::Count => count(text).map(|count| count.to_string()),
        Read::Number => number(text).map(shown),
        Read::Milliseconds => number(text).map(|ms| shown(ms / 1e3)),
        Read::Fixed(value) => Ok(value.to_owned()),
    }
}

/// A whole number, 0 or more.
pub(super) fn count(text: &str) -> Result<u64, String> {
    text.trim().parse().map_err(|_| format!("`{text}` is no whole number, 0 or more"))
}

/// A number, 0 or more.
pub(super) fn number(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
        _ => Err(format!("`{text}` is no number, 0 or more")),
    }
}

/// Several with commas between them.
pub(super) fn list<T>(
    text: &str,
    one: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    text.split(',').map(one).collect()
}

/// A number as a config has it.
pub(super) fn shown(value: f64) -> String {
    Value::from(value).to_string()
}

/// Values of a key; more than one are a sweep.
pub(super) fn joined<T: ToString>(values: &[T]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Text between quotes. Backslashes count double before a quote and before the end.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from('\'');
    let mut backslashes = 0;
    for c in text.chars() {
        if c == '\'' {
            out.push_str(&"\\".repeat(backslashes + 1));
        }
        backslashes = if c == '\\' { backslashes + 1 } else { 0 };
        out.push(c);
    }
    out.push_str(&"\\".repeat(backslashes));
    out.push('\'');
    out
}

/// JSON as a value.
///
/// # Errors
/// A key that Hydra cannot write.
pub(super) fn of_json(value: &Value) -> Result<String, String> {
    Ok(match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            let items = items.iter().map(of_json).collect::<Result<Vec<_>, _>>()?;
            format!("[{}]", items.join(","))
        }
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(key, value)| Ok(format!("{}:{}", plain_key(key)?, of_json(value)?)))
                .collect::<Result<Vec<_>, String>>()?;
            format!("{{{}}}", fields.join(","))
        }
        other => other.to_string(),
    })
}

/// A key that needs no quotes, for which there are none.
pub(super) fn plain_key(key: &str) -> Result<&str, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let begins = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    match begins && key.chars().all(plain) {
        true => Ok(key),
        false => Err(format!("`{key}` cannot be a key here: write it in a config file")),
    }
}
