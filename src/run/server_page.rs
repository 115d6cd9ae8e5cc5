//! Looks at the server's own page of metrics while the run goes on.

use crate::config::component::backend::BackendConfig;
use crate::meter::server_metrics;

use super::Lent;
use super::metering::Metering;
use super::prepare::Prepared;

/// Looks at the page from now on, where there is one and the config does not forbid it.
pub(super) fn watch(prepared: &mut Prepared, metering: &Metering) {
    let metrics = &prepared.config.metrics;
    let BackendConfig::Vllm(server) = &prepared.config.backend else { return };
    if !metrics.enabled || !metrics.server_metrics {
        return;
    }
    let address = metrics.server_metrics_url.as_ref().unwrap_or(&server.endpoint);
    let lender = Lent { environment: prepared.environment.clone() };
    if let Some(meter) = server_metrics::watch(address, &lender) {
        prepared.inventory.sensors.extend(meter.sensors().iter().cloned());
        metering.add(meter);
    }
}
