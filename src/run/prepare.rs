//! Looks at everything a run needs, before anything is sent; every problem at once.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::{Lent, host};
use crate::backend::Backend;
use crate::carbon;
use crate::config::component::metrics::MetricsConfig;
use crate::config::{BenchmarkConfig, Environment};
use crate::dataset::hub::HubEnv;
use crate::dataset::{self, Sample};
use crate::error::{Problem, Problems};
use crate::meter::{self, Inventory, OpenRequest};
use crate::plan::Plan;
use crate::record::{BackendInfo, CarbonBasis, DatasetInfo, DeviceRef, HostInfo, Warning};
use crate::registry::Registry;

/// A run that can begin.
pub struct Prepared {
    /// The config.
    pub config: BenchmarkConfig,
    /// What will be done.
    pub plan: Plan,
    /// The prompts.
    pub samples: Vec<Sample>,
    /// Where they came from.
    pub dataset: DatasetInfo,
    /// Who answers.
    pub backend: Arc<dyn Backend>,
    /// Meters with their sensors.
    pub inventory: Inventory,
    /// What emissions are computed with.
    pub carbon: CarbonBasis,
    /// The machine.
    pub host: HostInfo,
    /// Known before the first request.
    pub warnings: Vec<Warning>,
}

/// Gets everything ready: prompts, backend (not yet loaded or asked), meters, carbon tables.
///
/// # Errors
/// Every problem found, not only the first.
pub fn prepare(
    config: BenchmarkConfig,
    registry: &Registry,
    environment: &Environment,
) -> Result<Prepared, Problems> {
    let mut problems = crate::config::check(&config);
    let loaded = keep(
        dataset::load(&config.scenario, &registry.datasets, &hub_env(environment))
            .map_err(|error| error.problem().into()),
        &mut problems,
    );
    let carbon = keep(carbon::resolve(&config.metrics), &mut problems);
    let backend = keep(build_backend(&config, registry, environment), &mut problems);
    let mut inventory = meter::open_all(&registry.meters, &open_request(&config, environment));
    add(&mut problems, std::mem::take(&mut inventory.problems));
    let (Some(loaded), Some(carbon), Some(backend), true) =
        (loaded, carbon, backend, problems.0.is_empty())
    else {
        return Err(problems);
    };
    let plan = Plan::new(&config, loaded.samples.len() as u64);
    let mut warnings = loaded.warnings;
    warnings.append(&mut inventory.warnings);
    let host = host::look(Path::new(&config.metrics.procfs_root), inventory.devices.clone());
    Ok(Prepared {
        plan,
        samples: loaded.samples,
        dataset: loaded.info,
        backend,
        inventory,
        carbon,
        host,
        warnings,
        config,
    })
}

fn keep<T>(result: Result<T, Problems>, problems: &mut Problems) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(found) => {
            add(problems, found);
            None
        }
    }
}

/// A backend checks its settings too; what the config check said already is not said again.
fn add(problems: &mut Problems, found: Problems) {
    for problem in found.0 {
        if problems.0.iter().all(|known| known.place != problem.place) {
            problems.push(problem);
        }
    }
}

fn build_backend(
    config: &BenchmarkConfig,
    registry: &Registry,
    environment: &Environment,
) -> Result<Arc<dyn Backend>, Problems> {
    let kind = config.backend.kind();
    let entry = registry.backends.iter().find(|entry| entry.kind == kind).ok_or_else(|| {
        Problem::new("backend.type", format!("the {kind} backend is not part of this program"))
    })?;
    let host = Arc::new(Lent { environment: environment.clone() });
    (entry.build)(&config.backend, host).map(Arc::from)
}

fn hub_env(environment: &Environment) -> HubEnv {
    HubEnv::from_vars(&|name| environment.var(name), std::env::home_dir().as_deref())
}

/// What the meters of a run are asked for: the config's selection in the job's environment.
#[must_use]
pub fn open_request<'c>(config: &'c BenchmarkConfig, environment: &Environment) -> OpenRequest<'c> {
    OpenRequest {
        metrics: &config.metrics,
        device_ids: config.backend.device_ids().map(|ids| ids.0.as_slice()),
        cuda_visible_devices: environment.var("CUDA_VISIBLE_DEVICES"),
        cuda_device_order: environment.var("CUDA_DEVICE_ORDER"),
    }
}

/// Processes on the selected GPUs that are not the server's: their energy would be charged to it.
pub(super) fn foreign_processes(
    metrics: &MetricsConfig,
    devices: &[DeviceRef],
    backend: &BackendInfo,
) -> Option<Warning> {
    if !backend.local || backend.pids.is_empty() || devices.is_empty() {
        return None;
    }
    // A driver that does not tell, or a container where process ids mean something else, proves nothing.
    let processes = meter::nvml::compute_pids(metrics, devices).ok()?;
    let own = host::with_descendants(Path::new(&metrics.procfs_root), &backend.pids);
    let foreign: BTreeSet<u32> =
        processes.into_iter().flat_map(|gpu| gpu.pids).filter(|pid| !own.contains(pid)).collect();
    (!foreign.is_empty()).then(|| {
        let pids: Vec<String> = foreign.iter().map(u32::to_string).collect();
        Warning::new(
            "other_processes_on_gpu",
            format!(
                "processes that are not the server's use the selected GPUs (pid {}): \
                 their energy is counted too",
                pids.join(", ")
            ),
        )
    })
}
