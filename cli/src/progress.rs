//! Shows a run while it goes on: a bar on a terminal, plain lines elsewhere, events in JSON logs.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ai_energy_benchmarks::clock;
use ai_energy_benchmarks::record::{Phase, Source, Warning};
use ai_energy_benchmarks::run::{Observer, Snapshot};
use ai_energy_benchmarks::units::{Nanos, Seconds};
use indicatif::{ProgressBar, ProgressStyle};

use crate::terminal;

/// Plain lines come no more often than this.
const LINE_PERIOD: Seconds = Seconds(10.0);

/// A bar with done, tokens a second, watts, joules and the time left.
pub(crate) struct Bar {
    bar: ProgressBar,
}

impl Bar {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::new(0);
        bar.set_style(style("{prefix:>9} {spinner} {msg}"));
        Self { bar }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Bar {
    fn phase(&self, phase: Phase) {
        self.bar.set_prefix(title(phase));
        self.bar.set_position(0);
        self.bar.set_style(style("{prefix:>9} {spinner} {msg}"));
    }

    fn repetition(&self, number: u32, most: u32) {
        self.bar.set_prefix(format!("{number}/{most}"));
    }

    fn progress(&self, snapshot: &Snapshot) {
        if snapshot.total > 0 {
            self.bar.set_length(snapshot.total);
            self.bar.set_style(style("{prefix:>9} [{bar:24}] {pos}/{len} {msg}"));
            self.bar.set_position(snapshot.done);
        }
        self.bar.set_message(figures(snapshot));
        self.bar.tick();
    }

    fn warning(&self, warning: &Warning) {
        self.bar.suspend(|| terminal::note(&format!("caution: {}", warning.message)));
    }
}

/// A line at each phase and every ten seconds.
#[derive(Default)]
pub(crate) struct Lines {
    last: Mutex<Nanos>,
}

impl Observer for Lines {
    fn phase(&self, phase: Phase) {
        *self.last() = clock::now();
        terminal::note(title(phase));
    }

    fn repetition(&self, number: u32, most: u32) {
        terminal::note(&format!("  repetition {number} of {most}"));
    }

    fn progress(&self, snapshot: &Snapshot) {
        let now = clock::now();
        let mut last = self.last();
        if now.since(*last).0 < LINE_PERIOD.0 {
            return;
        }
        *last = now;
        let done = format!("{} {}/{}", title(snapshot.phase), snapshot.done, snapshot.total);
        terminal::note(&format!("{done} {}", figures(snapshot)));
    }

    fn warning(&self, warning: &Warning) {
        terminal::note(&format!("caution: {}", warning.message));
    }
}

impl Lines {
    fn last(&self) -> MutexGuard<'_, Nanos> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Log events instead of text, for `--log-format json`.
#[derive(Default)]
pub(crate) struct Events {
    lines: Lines,
}

impl Observer for Events {
    fn phase(&self, phase: Phase) {
        tracing::info!(phase = title(phase), "phase");
    }

    fn progress(&self, snapshot: &Snapshot) {
        let now = clock::now();
        let mut last = self.lines.last();
        if now.since(*last).0 < LINE_PERIOD.0 {
            return;
        }
        *last = now;
        tracing::info!(
            phase = title(snapshot.phase),
            done = snapshot.done,
            total = snapshot.total,
            failed = snapshot.failed,
            tokens_per_second = snapshot.tokens_per_second,
            watts = snapshot.live.power.map(|watts| watts.0),
            joules = snapshot.live.energy.map(|joules| joules.0),
            eta_s = snapshot.eta.map(|eta| eta.0),
            "progress"
        );
    }

    fn warning(&self, warning: &Warning) {
        tracing::warn!(code = warning.code, "{}", warning.message);
    }
}

const fn title(phase: Phase) -> &'static str {
    match phase {
        Phase::Load => "loading",
        Phase::IdleBare | Phase::IdleBefore | Phase::IdleAfter => "idling",
        Phase::Warmup => "warm-up",
        Phase::Measure => "measuring",
    }
}

fn figures(snapshot: &Snapshot) -> String {
    let mut parts = Vec::new();
    if snapshot.done > 0 {
        parts.push(format!("{:.1} tok/s", snapshot.tokens_per_second));
    }
    let model = if snapshot.live.source == Some(Source::Measured) { "" } else { " (model)" };
    if let Some(watts) = snapshot.live.power {
        parts.push(format!("{:.0} W{model}", watts.0));
    }
    if let Some(joules) = snapshot.live.energy {
        parts.push(format!("{:.0} J{model}", joules.0));
    }
    if snapshot.failed > 0 {
        parts.push(format!("{} failed", snapshot.failed));
    }
    if let Some(eta) = snapshot.eta.filter(|_| snapshot.total > 0) {
        parts.push(format!("{:.0} s left", eta.0));
    }
    parts.join("  ")
}

fn style(template: &str) -> ProgressStyle {
    // The templates are ours and fixed; a mistake in one shows as the default bar.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ai_energy_benchmarks::run::Live;
    use ai_energy_benchmarks::units::{Joules, Watts};

    #[test]
    fn figures_show_what_is_known_and_leave_out_what_is_not() {
        let mut snapshot = Snapshot {
            phase: Phase::Measure,
            done: 0,
            total: 10,
            failed: 0,
            tokens_per_second: 0.0,
            live: Live::default(),
            eta: None,
        };
        assert_eq!(figures(&snapshot), "");
        snapshot.done = 5;
        snapshot.tokens_per_second = 42.0;
        snapshot.live = Live {
            source: Some(Source::Measured),
            power: Some(Watts(261.4)),
            energy: Some(Joules(1234.0)),
            temperature: None,
        };
        snapshot.eta = Some(Seconds(6.2));
        assert_eq!(figures(&snapshot), "42.0 tok/s  261 W  1234 J  6 s left");
    }
}
