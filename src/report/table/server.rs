//! What the server said of itself.

use crate::analysis::findings::Figure;
use crate::analysis::server::ServerFindings;

use super::{Page, digits};

/// One line, of what is known.
pub(super) fn line(page: &mut Page, server: Option<&ServerFindings>) {
    let Some(server) = server else { return };
    let mut parts = Vec::new();
    let mut pair = |mean: &Figure, max: &Figure, scale: f64, unit: &str| {
        if let (Some(mean), Some(max)) = (mean.value, max.value) {
            parts.push(format!(
                "{} {unit} (at most {})",
                digits(scale * mean),
                digits(scale * max)
            ));
        }
    };
    pair(&server.running_mean, &server.running_max, 1.0, "in work");
    pair(&server.waiting_mean, &server.waiting_max, 1.0, "waiting");
    pair(&server.kv_cache_mean, &server.kv_cache_max, 100.0, "% of the KV cache");
    if let Some(rate) = server.prefix_cache_hit_rate.value {
        parts.push(format!("{:.1} % of prompt tokens from the prefix cache", 100.0 * rate));
    }
    if !parts.is_empty() {
        page.field("Server's own page", &parts.join(", "));
    }
}
