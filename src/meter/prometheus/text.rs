//! The text format of metrics pages.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>: `name{label="value"} number [timestamp]` a line.

/// One number of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Its labels, in the order of the page.
    pub labels: Vec<(String, String)>,
    /// The number; not always finite.
    pub value: f64,
    /// When it was taken, in seconds of Unix time on the exporter's clock.
    pub unix_s: Option<f64>,
}

impl Metric {
    /// The value of a label.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == name).map(|(_, value)| value.as_str())
    }
}

/// Timestamps above this are milliseconds (the text format), below it seconds (OpenMetrics).
const MILLISECONDS_ABOVE: f64 = 1e11;

/// The metrics of a page; lines that are none are left out.
#[must_use]
pub fn parse(page: &str) -> Vec<Metric> {
    page.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<Metric> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| c == '{' || c.is_whitespace())?;
    let (name, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let mut words = rest.split_whitespace();
    let value = number(words.next()?)?;
    // An exemplar (OpenMetrics) follows a `#`.
    let stamp = words.next().filter(|word| *word != "#");
    let unix_s = match stamp.map(str::parse::<f64>) {
        None => None,
        Some(Ok(stamp)) if stamp.abs() > MILLISECONDS_ABOVE => Some(stamp / 1e3),
        Some(Ok(stamp)) => Some(stamp),
        Some(Err(_)) => return None,
    };
    (!name.is_empty()).then(|| Metric { name: name.to_owned(), labels, value, unix_s })
}

fn number(word: &str) -> Option<f64> {
    match word {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        _ => word.parse().ok(),
    }
}

/// What stands in braces, and what follows them.
fn labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, after) = rest.split_once('=')?;
        let (value, after) = quoted(after.trim_start().strip_prefix('"')?)?;
        labels.push((name.trim().to_owned(), value));
        rest = after;
    }
}

/// A text up to its closing quote, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_dcgm_exporter_is_read() {
        let page = "# HELP DCGM_FI_DEV_POWER_USAGE Power draw (in W).\n\
            # TYPE DCGM_FI_DEV_POWER_USAGE gauge\n\
            DCGM_FI_DEV_POWER_USAGE{gpu=\"0\",UUID=\"GPU-1\",modelName=\"NVIDIA \\\"H100\\\"\", } 68.9\n\
            up 1 1700000000000\n\
            later_total{} 1e3 1700000000.5 # {trace=\"a\"} 1\n\
            broken{a=\"b 1\n\
            none NaN\n";
        let found = parse(page);
        assert_eq!(found.len(), 4);
        assert_eq!(found[0].label("modelName"), Some("NVIDIA \"H100\""));
        assert_eq!((found[0].value, found[0].unix_s), (68.9, None));
        assert_eq!(found[1].unix_s, Some(1_700_000_000.0));
        assert_eq!((found[2].value, found[2].unix_s), (1000.0, Some(1_700_000_000.5)));
        assert!(found[3].value.is_nan());
    }
}
