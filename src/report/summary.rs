//! One line a run, when a command made several: configs in turn, or the cells of a sweep.

use std::path::Path;

use crate::analysis::Findings;
use crate::analysis::findings::Figure;

use super::csv::source_word;
use super::table::digits;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Everything that was asked.
    Ok,
    /// Finished, with failures.
    WithFailures,
    /// Nothing succeeded, or it could not begin.
    Failed,
    /// Stopped by a signal.
    Interrupted,
    /// Not run again: its report was complete.
    Skipped,
}

impl End {
    /// A word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::WithFailures => "failures",
            Self::Failed => "FAILED",
            Self::Interrupted => "stopped",
            Self::Skipped => "skipped",
        }
    }
}

/// One run.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Which run: the config, or the changes that make the cell.
    pub label: String,
    /// How it ended.
    pub end: End,
    figures: Option<Figures>,
    /// Where it lies, or why it does not.
    place: String,
}

#[derive(Debug, Clone, PartialEq)]
struct Figures {
    succeeded: u64,
    sent: u64,
    joules_per_token: Figure,
    wh_per_1000: Figure,
    tokens_per_second: Figure,
}

impl Row {
    /// A run with a report.
    #[must_use]
    pub fn of(label: String, end: End, findings: &Findings, folder: &Path) -> Self {
        let efficiency = &findings.efficiency;
        let figures = Figures {
            succeeded: findings.counts.succeeded,
            sent: findings.counts.sent,
            joules_per_token: efficiency.joules_per_output_token.clone(),
            wh_per_1000: efficiency.wh_per_1000_requests.clone(),
            tokens_per_second: findings.throughput.output_tokens.clone(),
        };
        Self { label, end, figures: Some(figures), place: folder.display().to_string() }
    }

    /// A run without one.
    #[must_use]
    pub fn without_report(label: String, end: End, why: impl Into<String>) -> Self {
        Self { label, end, figures: None, place: why.into() }
    }

    /// A run that was made earlier and is not repeated.
    #[must_use]
    pub fn skipped(label: String, folder: &Path) -> Self {
        let place = folder.display().to_string();
        Self { label, end: End::Skipped, figures: None, place }
    }
}

/// The table: how each run ended, the headline figures with their source, which run it was, and where it lies.
#[must_use]
pub fn render(rows: &[Row]) -> String {
    let mut text = format!(
        "\n{:<8} {:>9} {:>11} {:>11} {:>9}  {:<8}  run\n",
        "end", "requests", "J/token", "Wh/1000", "token/s", "source"
    );
    for row in rows {
        let figures = row.figures.as_ref();
        let requests = figures.map_or_else(
            || "-".to_owned(),
            |figures| format!("{}/{}", figures.succeeded, figures.sent),
        );
        let value = |of: fn(&Figures) -> &Figure| {
            let value = figures.and_then(|figures| of(figures).value);
            value.map_or_else(|| "-".to_owned(), digits)
        };
        let source =
            figures.and_then(|figures| figures.wh_per_1000.source).map_or("-", source_word);
        text.push_str(&format!(
            "{:<8} {requests:>9} {:>11} {:>11} {:>9}  {source:<8}  {}\n{:>64}{}\n",
            row.end.word(),
            value(|figures| &figures.joules_per_token),
            value(|figures| &figures.wh_per_1000),
            value(|figures| &figures.tokens_per_second),
            row.label,
            "",
            row.place
        ));
    }
    let count = |end: End| rows.iter().filter(|row| row.end == end).count();
    text.push_str(&format!(
        "{} ok, {} with failures, {} failed, {} stopped, {} skipped\n",
        count(End::Ok),
        count(End::WithFailures),
        count(End::Failed),
        count(End::Interrupted),
        count(End::Skipped)
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_figures_says_why_and_every_end_is_counted() {
        let rows = [
            Row::without_report("a.yaml".into(), End::Failed, "the backend is not ready"),
            Row::skipped("model=x".into(), Path::new("sweep/0")),
        ];
        let text = render(&rows);
        assert!(
            text.contains(
                "FAILED           -           -           -         -  -         a.yaml\n"
            ),
            "{text}"
        );
        assert!(text.contains("the backend is not ready"), "{text}");
        assert!(
            text.ends_with("0 ok, 0 with failures, 1 failed, 0 stopped, 1 skipped\n"),
            "{text}"
        );
    }
}
