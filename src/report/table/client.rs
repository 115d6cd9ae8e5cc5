//! What driving the load cost and whether it disturbed the figures, in one line.

use crate::analysis::client::ClientFindings;
use crate::analysis::findings::Figure;

use super::Page;

/// Nothing where the records are of an earlier version.
pub(super) fn line(page: &mut Page, client: Option<&ClientFindings>) {
    let Some(client) = client else { return };
    let scaled = |figure: &Figure, factor: f64| figure.value.map(|value| factor * value);
    let mut parts = Vec::new();
    if let Some(seconds) = client.cpu_time.value {
        parts.push(format!("{seconds:.2} s of processor time"));
    }
    if let Some(micros) = scaled(&client.cpu_time_per_output_token, 1e6) {
        parts.push(format!("{micros:.1} us an output token"));
    }
    if let Some(percent) = scaled(&client.loop_share_of_core, 100.0) {
        parts.push(format!("its loop busy {percent:.0} % of the time"));
    }
    if let (Some(p50), Some(p99)) =
        (scaled(&client.loop_lag_p50, 1e3), scaled(&client.loop_lag_p99, 1e3))
    {
        parts.push(format!("{p50:.2} ms late (p50), {p99:.2} ms (p99)"));
    }
    let verdict = match client.client_limited {
        Some(true) => "the client was a limit",
        Some(false) => "the client was no limit",
        None => "whether the client was a limit is not known",
    };
    page.field("Client", &format!("{}; {verdict}", parts.join(", ")));
}
