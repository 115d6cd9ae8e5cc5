//! The calibration for people.

use std::fmt::Write;

use super::figures::{Calibration, Cost, Machine, Streams};

/// A figure in a unit, or that it is not known.
fn shown(value: Option<f64>, scale: f64, digits: usize, unit: &str) -> String {
    value
        .map_or_else(|| "not known".to_owned(), |value| format!("{:.digits$}{unit}", value * scale))
}

/// Everything on one page.
pub(crate) fn page(found: &Calibration) -> String {
    let mut page =
        String::from("This client against the built-in mock server, on this machine\n\n");
    let schedule = &found.schedule;
    let _ = writeln!(
        page,
        "Requests at {:.0}/s     sent {} late (p50), {} (p99); {} requests",
        schedule.rate,
        shown(schedule.send_lag_p50_s, 1e3, 3, " ms"),
        shown(schedule.send_lag_p99_s, 1e3, 3, " ms"),
        schedule.requests
    );
    for cost in [&found.single, &found.coalesced] {
        let _ = writeln!(page, "{}", token(cost));
    }
    page.push_str(
        "\nstreams   token/s   us/token  TTFT p50 error  gap p99 over sent  loop busy  server late p99  client limited\n",
    );
    for tried in &found.streams {
        let _ = writeln!(page, "{}", row(tried));
    }
    for tried in found.streams.iter().filter(|tried| tried.client_limited != Some(false)) {
        let _ = writeln!(page, "  {} streams: {}", tried.streams, tried.because.join("; "));
    }
    let _ = writeln!(page, "\n{}", verdict(found));
    if let Some(stopped) = &found.stopped {
        let _ = writeln!(page, "No more was tried: {stopped}.");
    }
    page.push_str(&conditions(&found.machine));
    page
}

fn token(cost: &Cost) -> String {
    let how = match cost.events_per_write {
        1 => "in a write of its own".to_owned(),
        events => format!("{events} in a write"),
    };
    let cost_of = shown(cost.cpu_time_per_token_s, 1e6, 1, " us");
    format!(
        "Processor time of a token, {how}: {cost_of} ({} tokens at {:.0}/s)",
        cost.tokens, cost.tokens_per_second
    )
}

fn row(tried: &Streams) -> String {
    let verdict = match tried.client_limited {
        Some(true) => "yes",
        Some(false) => "no",
        None => "not known",
    };
    format!(
        "{:>7} {:>9.0} {:>10} {:>15} {:>18} {:>10} {:>16}  {verdict}",
        tried.streams,
        tried.tokens_per_second,
        shown(tried.cpu_time_per_token_s, 1e6, 1, ""),
        shown(tried.ttft_error_share, 1e2, 1, " %"),
        shown(tried.gap_ratio, 1.0, 2, ""),
        shown(tried.loop_share_of_core, 1e2, 0, " %"),
        shown(tried.server_lag_p99_s, 1e3, 2, " ms"),
    )
}

fn verdict(found: &Calibration) -> String {
    let (Some(rate), Some(streams)) = (found.highest_tokens_per_second, found.highest_streams)
    else {
        return "At no number of streams is it known that the client was not the limit.".to_owned();
    };
    let most = if found.limit_found { "Highest rate" } else { "At least (no limit was met)" };
    format!("{most} at which the client was not the limit: {rate:.0} token/s, {streams} streams.")
}

/// Under what the figures hold.
fn conditions(machine: &Machine) -> String {
    let mut text = format!(
        "These are figures of this machine under its present load: {} processors, shared with the mock server; load average {} \
         before, {} after (the measurement itself among it). Errors are against what the server sent, late or not.\n",
        machine.processors,
        shown(machine.load_average_before, 1.0, 1, ""),
        shown(machine.load_average_after, 1.0, 1, ""),
    );
    if machine.debug_build {
        text.push_str("This program was built without optimisation: it costs many times what a release build does.\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::figures::tests::with;
    use super::*;

    #[test]
    fn the_page_says_what_is_known_and_what_is_not() {
        let text = page(&with(&[(64, 3000.0, Some(false)), (256, 9000.0, Some(true))]));
        assert!(
            text.contains("Highest rate at which the client was not the limit: 3000 token/s"),
            "{text}"
        );
        assert!(text.contains("256 streams: a reason"), "{text}");
        assert!(text.contains("sent 0.050 ms late (p50), not known (p99)"), "{text}");
        assert!(text.contains("load average 1.5 before, not known after"), "{text}");
        assert!(text.contains("without optimisation"), "{text}");
        let text = page(&with(&[(64, 3000.0, Some(false))]));
        assert!(text.contains("At least (no limit was met)"), "{text}");
        assert!(page(&with(&[(64, 3000.0, None)])).contains("At no number of streams"));
    }
}
