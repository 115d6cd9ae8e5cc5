//! What a bare word means: YAML 1.1 as OmegaConf reads it, and Python's own `int`, `float`, `str`.

use crate::value::{KeyKind, Node, Value};

/// What a plain (unquoted) YAML scalar is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Plain {
    /// `null`, a truth value, a number or text.
    Value(Value),
    /// `<<`.
    Merge,
    /// `=`.
    Default,
}

/// Reads a plain scalar with the resolvers of OmegaConf 2.3: YAML 1.1 without dates, and with
/// `1e3` as a float.
///
/// # Errors
/// The reason, for digits that look like a number and are none (`0x_`) or do not fit 128 bits.
pub(crate) fn yaml_plain(text: &str) -> Result<Plain, String> {
    let value = match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "<<" => return Ok(Plain::Merge),
        "=" => return Ok(Plain::Default),
        _ => {
            if let Some(value) = yaml_bool(text) {
                Value::Bool(value)
            } else if is_yaml_float(text) {
                Value::Float(yaml_float(text)?)
            } else if is_yaml_int(text) {
                Value::Int(yaml_int(text)?)
            } else {
                Value::from_text(text)
            }
        }
    };
    Ok(Plain::Value(value))
}

/// The words of YAML 1.1 for true and false; `y` and `n` are not among them in PyYAML.
pub(crate) fn yaml_bool(text: &str) -> Option<bool> {
    match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

fn without_sign(text: &str) -> &str {
    text.strip_prefix(['+', '-']).unwrap_or(text)
}

fn all(text: &str, allowed: impl Fn(u8) -> bool) -> bool {
    text.bytes().all(allowed)
}

fn digit_or_bar(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'_'
}

/// `[0-9][0-9_]*`
fn is_digits(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && all(text, digit_or_bar)
}

/// `(:[0-5]?[0-9])+` after the first group of a base 60 number.
fn are_sixtieths<'a>(mut groups: impl Iterator<Item = &'a str>) -> bool {
    groups.all(|group| match group.as_bytes() {
        [one] => one.is_ascii_digit(),
        [ten, one] => (b'0'..=b'5').contains(ten) && one.is_ascii_digit(),
        _ => false,
    })
}

fn is_yaml_int(text: &str) -> bool {
    let body = without_sign(text);
    if let Some(bits) = body.strip_prefix("0b") {
        return !bits.is_empty() && all(bits, |b| matches!(b, b'0' | b'1' | b'_'));
    }
    if let Some(digits) = body.strip_prefix("0x") {
        return !digits.is_empty() && all(digits, |b| b.is_ascii_hexdigit() || b == b'_');
    }
    if let Some(octal) = body.strip_prefix('0') {
        return all(octal, |b| (b'0'..=b'7').contains(&b) || b == b'_');
    }
    let mut groups = body.split(':');
    groups.next().is_some_and(is_digits) && are_sixtieths(groups)
}

fn yaml_int(text: &str) -> Result<i128, String> {
    let plain = text.replace('_', "");
    let (negative, body) = match plain.strip_prefix('-') {
        Some(body) => (true, body),
        None => (false, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let parsed = if body == "0" {
        Some(0)
    } else if let Some(bits) = body.strip_prefix("0b") {
        i128::from_str_radix(bits, 2).ok()
    } else if let Some(digits) = body.strip_prefix("0x") {
        i128::from_str_radix(digits, 16).ok()
    } else if let Some(octal) = body.strip_prefix('0') {
        i128::from_str_radix(octal, 8).ok()
    } else {
        body.split(':')
            .try_fold(0_i128, |sum, group| sum.checked_mul(60)?.checked_add(group.parse().ok()?))
    };
    let value = parsed.ok_or_else(|| {
        format!("`{text}` reads as an integer, but it is malformed or larger than 128 bits")
    })?;
    Ok(if negative { -value } else { value })
}

fn is_yaml_float(text: &str) -> bool {
    let body = without_sign(text);
    if matches!(body, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    if let Some(fraction) = text.strip_prefix('.') {
        let (digits, exponent) = split_exponent(fraction);
        let signed = |e: &str| e.starts_with(['+', '-']) && is_exponent(e);
        return !digits.is_empty() && all(digits, digit_or_bar) && exponent.is_none_or(signed);
    }
    if body.contains(':') {
        let Some((sixties, fraction)) = body.split_once('.') else { return false };
        let mut groups = sixties.split(':');
        return all(fraction, digit_or_bar)
            && groups.next().is_some_and(is_digits)
            && are_sixtieths(groups);
    }
    let (number, exponent) = split_exponent(body);
    let good_exponent = exponent.is_none_or(is_exponent);
    match number.split_once('.') {
        Some((whole, fraction)) => is_digits(whole) && all(fraction, digit_or_bar) && good_exponent,
        None => is_digits(number) && exponent.is_some_and(is_exponent),
    }
}

fn split_exponent(text: &str) -> (&str, Option<&str>) {
    match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

/// `[-+]?[0-9]+`
fn is_exponent(text: &str) -> bool {
    let digits = without_sign(text);
    !digits.is_empty() && all(digits, |b| b.is_ascii_digit())
}

fn yaml_float(text: &str) -> Result<f64, String> {
    let plain = text.replace('_', "").to_ascii_lowercase();
    let (sign, body) = match plain.strip_prefix('-') {
        Some(body) => (-1.0, body),
        None => (1.0, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let value = match body {
        ".inf" => Some(f64::INFINITY),
        ".nan" => Some(f64::NAN),
        _ => body.split(':').try_fold(0.0, |sum: f64, group| {
            group.parse::<f64>().ok().map(|value| sum.mul_add(60.0, value))
        }),
    };
    value.map(|value| sign * value).ok_or_else(|| format!("`{text}` is not a number"))
}

/// Python's `int(text)`, if it fits 128 bits.
pub(crate) fn python_int(text: &str) -> Option<i128> {
    let digits = without_underscores(text.trim())?;
    let body = without_sign(&digits);
    if body.is_empty() || !all(body, |b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// Python's `float(text)`.
pub(crate) fn python_float_from(text: &str) -> Option<f64> {
    without_underscores(text.trim())?.parse().ok()
}

/// Python allows single underscores between digits and nowhere else.
fn without_underscores(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let well_placed = |at: usize| digit(at.checked_sub(1)) && digit(Some(at + 1));
    text.match_indices('_').all(|(at, _)| well_placed(at)).then(|| text.replace('_', ""))
}

/// `True` or `False`.
pub(crate) fn python_bool(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

/// A float as Python's `repr` writes it: `1.0`, `1e-05`, `1e+20`, `inf`, `nan`.
pub(crate) fn python_float(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = value.to_string();
        if plain.contains('.') { plain } else { format!("{plain}.0") }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{mantissa}e{sign}{:02}", exponent.abs())
    }
}

/// A value as Python's `str` writes it; containers as `repr`, unresolved.
pub(crate) fn python_str(value: &Value) -> String {
    match value {
        Value::Str(text) | Value::Interpolation(text) => text.clone(),
        Value::Missing => "???".to_owned(),
        other => python_repr(other),
    }
}

/// A value as Python's `repr` writes it.
pub(crate) fn python_repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(value) => python_bool(*value).to_owned(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => python_float(*value),
        Value::Str(text) | Value::Interpolation(text) => quote_python(text),
        Value::Missing => "'???'".to_owned(),
        Value::Bytes(bytes) => {
            format!("b{}", quote_python(&bytes.iter().map(|b| char::from(*b)).collect::<String>()))
        }
        Value::List(items) => {
            let items: Vec<_> = items.iter().map(|node: &Node| python_repr(&node.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Map(map) => {
            let pairs: Vec<_> = map
                .iter()
                .map(|(key, node)| format!("{}: {}", key_repr(&key.kind), python_repr(&node.value)))
                .collect();
            format!("{{{}}}", pairs.join(", "))
        }
    }
}

fn key_repr(key: &KeyKind) -> String {
    match key {
        KeyKind::Str(text) => quote_python(text),
        other => other.text(),
    }
}

fn quote_python(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

/// The name of the Python type that a value has.
pub(crate) fn python_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Float(_) => "float",
        Value::Str(_) | Value::Interpolation(_) | Value::Missing => "str",
        Value::Bytes(_) => "bytes",
        Value::List(_) => "list",
        Value::Map(_) => "dict",
    }
}

/// The index that a key of a list means: digits only.
pub(crate) fn list_index(key: &str) -> Option<usize> {
    (!key.is_empty() && all(key, |b| b.is_ascii_digit())).then(|| key.parse().ok()).flatten()
}

/// OmegaConf's words for a truth value in a typed node.
pub(crate) fn typed_bool(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "yes" | "y" | "on" | "true" | "1" => Some(true),
        "no" | "n" | "off" | "false" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (value, text) in [
            (1.0, "1.0"),
            (1e-5, "1e-05"),
            (1e-4, "0.0001"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (-0.0, "-0.0"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(python_float(value), text);
        }
    }

    #[test]
    fn python_numbers_take_single_underscores_between_digits() {
        assert_eq!(python_int(" -1_000 "), Some(-1000));
        for bad in ["1__0", "_1", "1_", "", "+", "0x10", "1.0"] {
            assert_eq!(python_int(bad), None, "{bad}");
        }
        assert_eq!(python_float_from("1_0.5e1_0"), Some(10.5e10));
        assert_eq!(python_float_from("1_.5"), None);
        assert_eq!(python_float_from("Infinity"), Some(f64::INFINITY));
    }

    #[test]
    fn a_number_that_does_not_fit_is_an_error_and_not_a_guess() {
        assert!(yaml_plain(&"9".repeat(60)).is_err());
        assert!(yaml_plain("0x_").is_err());
        assert!(yaml_plain("._").is_err());
    }

    #[test]
    fn text_is_quoted_as_python_quotes_it() {
        assert_eq!(quote_python("it's"), "\"it's\"");
        assert_eq!(quote_python("a\\\n\u{1b}"), "'a\\\\\\n\\x1b'");
    }
}
