//! `ai-energy-benchmark monitor`: every sensor, live.

use std::fmt::Write;
use std::sync::Arc;

use ai_energy_benchmarks::backend::Host;
use ai_energy_benchmarks::clock::Anchor;
use ai_energy_benchmarks::config::{self, Environment};
use ai_energy_benchmarks::error::{Problem, Problems};
use ai_energy_benchmarks::meter::{self, Board, Inventory, OpenRequest, PartNow, Row};
use ai_energy_benchmarks::record::{Quantity, Source};
use ai_energy_benchmarks::run::{self, Lent, Pace, Stopper};
use ai_energy_benchmarks::units::{Nanos, Seconds};
use serde_json::json;

use crate::args::MonitorArgs;
use crate::exit::Exit;
use crate::metering;
use crate::terminal::{self, Screen};

/// Refreshing more often than this costs more than it shows.
const SHORTEST: f64 = 0.05;

pub(crate) fn run(arguments: &MonitorArgs) -> Exit {
    match open(arguments) {
        Ok((inventory, pace)) => watch(arguments, inventory, pace),
        Err(problems) => {
            terminal::problems(&problems);
            Exit::Usage
        }
    }
}

fn open(arguments: &MonitorArgs) -> Result<(Inventory, Pace), Problems> {
    let interval = arguments.interval;
    if !(interval.is_finite() && interval >= SHORTEST) {
        return Err(Problem::new("--interval", format!("{interval} is out of range"))
            .hint(format!("seconds, {SHORTEST} or more"))
            .into());
    }
    let settings = metering::settings(&arguments.metrics, arguments.gpus.as_deref());
    let ((mut metrics, device_ids), meters) =
        metering::all((settings, config::named_meters(&arguments.meter)))?;
    metrics.sample_period_s = metrics.sample_period_s.min(interval);
    let metrics = metering::checked(metrics)?;
    let environment = Environment::default();
    let request = OpenRequest {
        device_ids: device_ids.as_deref(),
        cuda_visible_devices: environment.var("CUDA_VISIBLE_DEVICES"),
        cuda_device_order: environment.var("CUDA_DEVICE_ORDER"),
        extra: &meters.0,
        lender: Some(Arc::new(Lent { environment: environment.clone() })),
        ..OpenRequest::of(&metrics)
    };
    let mut inventory = meter::open_all(&super::registry().meters, &request);
    std::mem::take(&mut inventory.problems).into_result()?;
    if inventory.sensors.is_empty() {
        let reasons: Vec<String> =
            inventory.scope.iter().map(|scope| scope.reason.clone()).collect();
        return Err(Problem::new("sensors", format!("there is none: {}", reasons.join("; ")))
            .hint("`ai-energy-benchmark doctor` tells more")
            .into());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of refreshes"
    )]
    let last = match (arguments.once, arguments.duration) {
        (true, _) => Some(1),
        (false, Some(time)) => Some((time / interval).ceil().max(1.0) as u64),
        (false, None) => None,
    };
    Ok((
        inventory,
        Pace { interval: Seconds(interval), last, fine: metrics.fine || arguments.fine },
    ))
}

fn watch(arguments: &MonitorArgs, inventory: Inventory, pace: Pace) -> Exit {
    let stopper = Stopper::default();
    let boundary = inventory.boundary.clone();
    let live = !arguments.json && !arguments.once && terminal::output_is_watched();
    let screen = live.then(Screen::open);
    if screen.as_ref().is_some_and(Screen::has_keys) {
        end_at_key(&stopper);
    }
    let anchor = Anchor::take();
    let mut show = |board: &Board, now: Nanos| {
        let elapsed = board.elapsed(now);
        match &screen {
            Some(screen) => screen.draw(&page(board, elapsed, screen.width(), &boundary)),
            None if arguments.json => terminal::out(&json_line(board, anchor, now)),
            None if arguments.once => {}
            None => terminal::out(&plain_line(board, elapsed)),
        }
    };
    let ended = run::monitor(inventory, pace, &stopper, &mut show);
    drop(screen);
    match ended {
        Ok(board) => {
            if !arguments.json {
                let elapsed = board.elapsed(ai_energy_benchmarks::clock::now());
                terminal::out(&page(&board, elapsed, SUMMARY_WIDTH, &boundary));
            }
            Exit::Ok
        }
        Err(error) => {
            terminal::note(&format!("error: {}", error.problem()));
            Exit::RunFailed
        }
    }
}

/// Ends at `q`, Escape or the end of the input.
fn end_at_key(stopper: &Stopper) {
    let stopper = stopper.clone();
    let job = move || {
        while let Some(key) = terminal::key() {
            if matches!(key, b'q' | b'Q' | 0x1b | 0x03 | 0x04) {
                break;
            }
        }
        stopper.stop();
    };
    Lent::default().spawn_blocking("keys", Box::new(job));
}

/// Width of the table that is left when the view closes.
const SUMMARY_WIDTH: usize = 110;
/// Width of the columns before the history.
const COLUMNS: usize = 98;

/// The whole view as lines no wider than the screen.
fn page(board: &Board, elapsed: Seconds, width: usize, boundary: &str) -> String {
    let mut page = String::new();
    let totals: Vec<String> = board.parts().iter().map(part).collect();
    let _ =
        writeln!(page, "ai-energy-benchmark monitor   {:.0} s   {}", elapsed.0, totals.join("   "));
    let _ = writeln!(page);
    let _ = writeln!(
        page,
        "{:<22}{:>11}{:>10}{:>10}{:>10} {:<5}{:>11}  {:<9}{:>6}  history",
        "sensor", "now", "min", "mean", "max", "", "J", "source", "1/s"
    );
    for row in board.rows() {
        let _ = writeln!(page, "{}", line(row, width));
    }
    let _ = writeln!(page);
    let _ = writeln!(page, "{boundary}");
    if width < usize::MAX {
        page = page.lines().map(|line| wrapped(line, width)).collect::<Vec<_>>().join("\n");
        page.push('\n');
    }
    page
}

/// A row is cut at the edge, a sentence goes on in the next line.
fn wrapped(line: &str, width: usize) -> String {
    let width = width.max(20);
    if line.chars().count() <= width {
        return line.to_owned();
    }
    if !line.starts_with("Counted") && !line.starts_with("No energy") {
        return line.chars().take(width).collect();
    }
    let mut text = String::new();
    let mut used = 0;
    for word in line.split_whitespace() {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            text.push('\n');
            used = 0;
        } else if used > 0 {
            text.push(' ');
            used += 1;
        }
        text.push_str(word);
        used += length;
    }
    text
}

fn part(part: &PartNow) -> String {
    let or_dash =
        |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
    format!(
        "{} {} W {} J{}",
        part.component.as_str().to_uppercase(),
        or_dash(part.watts),
        or_dash(part.joules),
        if part.source == Source::Measured { "" } else { " (modelled)" }
    )
}

fn line(row: &Row, width: usize) -> String {
    if let (None, Some(error)) = (row.now, &row.error) {
        return format!("{:<22}{error}", row.sensor);
    }
    let (factor, unit) = scale(row);
    let number =
        |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| short(factor * value));
    let counted = if row.counted { "*" } else { " " };
    let history: Vec<f64> = row.history.iter().copied().collect();
    format!(
        "{:<21}{counted}{:>11}{:>10}{:>10}{:>10} {unit:<5}{:>11}  {:<9}{:>6}  {}",
        row.sensor,
        number(row.now),
        number(row.least),
        number(row.mean),
        number(row.most),
        row.joules.map_or_else(|| "-".to_owned(), |joules| format!("{joules:.1}")),
        source(row.source),
        row.changes_per_s.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}")),
        sparkline(&history, width.saturating_sub(COLUMNS).clamp(0, 60)),
    )
}

const fn source(source: Source) -> &'static str {
    match source {
        Source::Measured => "measured",
        Source::Modelled => "modelled",
        Source::Assumed => "assumed",
    }
}

/// Units that people read: per cent, MHz, GiB.
fn scale(row: &Row) -> (f64, &'static str) {
    match row.quantity {
        Quantity::Utilization => (100.0, "%"),
        Quantity::Clock => (1e-6, "MHz"),
        Quantity::Memory => (1.0 / f64::from(1 << 30), "GiB"),
        Quantity::Temperature => (1.0, "C"),
        _ => (1.0, row.unit),
    }
}

fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 100.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The last values as eight heights between their least and their most.
fn sparkline(values: &[f64], width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let shown = &values[values.len().saturating_sub(width)..];
    let least = shown.iter().copied().fold(f64::INFINITY, f64::min);
    let range = shown.iter().copied().fold(f64::NEG_INFINITY, f64::max) - least;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 7")]
    let bar = |value: f64| {
        let height = if range > 0.0 { (value - least) / range } else { 0.0 };
        BARS[((height * 7.0).round() as usize).min(7)]
    };
    shown.iter().map(|value| bar(*value)).collect()
}

fn plain_line(board: &Board, elapsed: Seconds) -> String {
    let parts: Vec<String> = board.parts().iter().map(part).collect();
    format!("{:8.1} s  {}\n", elapsed.0, parts.join("  "))
}

fn json_line(board: &Board, anchor: Anchor, now: Nanos) -> String {
    let line = json!({
        "t_unix_ns": anchor.unix_ns_of(now),
        "elapsed_s": board.elapsed(now),
        "parts": board.parts(),
        "sensors": board.rows(),
    });
    format!("{line}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_is_drawn_between_its_least_and_its_most() {
        assert_eq!(sparkline(&[0.0, 1.0, 0.5], 10), "▁█▅");
        assert_eq!(sparkline(&[9.0, 5.0, 5.0], 2), "▁▁");
        assert_eq!(sparkline(&[], 10), "");
    }

    #[test]
    fn nothing_is_wider_than_the_screen() {
        let sentence = format!("Counted: {}", "word ".repeat(40));
        for line in [sentence, "x".repeat(200)] {
            let shown = wrapped(&line, 60);
            assert!(shown.lines().all(|line| line.chars().count() <= 60), "{shown}");
        }
    }
}
