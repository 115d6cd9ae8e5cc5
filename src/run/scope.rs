//! Whose CPU energy: finds the server's processes or control group and meters their processor time.

use std::path::Path;

use crate::config::component::metrics::{MetricsConfig, Scope};
use crate::error::Problem;
use crate::meter::{Meter, OpenRequest, cpu_time};
use crate::record::{BackendInfo, CpuScope, Warning, Whose};
use crate::units::Seconds;

use super::metering::Metering;
use super::prepare::Prepared;

/// The record's word for the config's.
pub(super) const fn whose(scope: Scope) -> Whose {
    match scope {
        Scope::Machine => Whose::Machine,
        Scope::Process => Whose::Process,
        Scope::Cgroup => Whose::Cgroup,
    }
}

/// What is metered of the server, with what the report says of it.
pub(super) struct Found {
    pub(super) scope: CpuScope,
    pub(super) meter: Option<Box<dyn Meter>>,
    pub(super) warnings: Vec<Warning>,
}

impl Found {
    /// Meters it from now on.
    pub(super) fn begin(self, prepared: &mut Prepared, metering: &Metering) -> CpuScope {
        if let Some(meter) = self.meter {
            prepared.inventory.sensors.extend(meter.sensors().iter().cloned());
            metering.add(meter);
        }
        prepared.warnings.extend(self.warnings);
        self.scope
    }
}

/// The sentence of what is counted, with whose part of the processors that is.
pub(super) fn boundary(machine: &str, scope: &CpuScope) -> String {
    let whole = machine.trim_end_matches('.');
    match (scope.counted, &scope.who) {
        (Whose::Machine, None) => machine.to_owned(),
        (Whose::Machine, Some(who)) => {
            format!("{whole}; the share of the processors of {who} is reported beside.")
        }
        (Whose::Process | Whose::Cgroup, who) => format!(
            "{whole}; of the CPU energy only the share of {} by processor time (modelled) is counted.",
            who.as_deref().unwrap_or("the server")
        ),
    }
}

/// Looks for what the config asks for.
///
/// # Errors
/// Only when the totals depend on it: `metrics.scope` asks for a share that cannot be known.
pub(super) fn find(metrics: &MetricsConfig, backend: &BackendInfo) -> Result<Found, Problem> {
    let counted = whose(metrics.scope);
    let none = |reason: String| Found {
        scope: CpuScope {
            counted: Whose::Machine,
            share_of: None,
            who: None,
            pids: Vec::new(),
            missing_reason: Some(reason),
        },
        meter: None,
        warnings: Vec::new(),
    };
    if !metrics.enabled || !metrics.cpu {
        return Ok(none("the CPU is not metered".to_owned()));
    }
    let found = if metrics.scope == Scope::Cgroup || metrics.server_cgroup.is_some() {
        cgroup(metrics, backend)
    } else {
        processes(metrics, backend)
    };
    match found {
        Ok(found) => Ok(Found { scope: CpuScope { counted, ..found.scope }, ..found }),
        Err(problem) if metrics.scope == Scope::Machine => Ok(none(problem.message)),
        Err(problem) => Err(problem),
    }
}

/// The server's processes: as the config names them, else as the backend told.
fn pids(metrics: &MetricsConfig, backend: &BackendInfo) -> Result<Vec<u32>, Problem> {
    let hint = "set metrics.server_pid, or metrics.scope: machine";
    if let Some(pid) = metrics.server_pid {
        return Ok(vec![pid]);
    }
    if !backend.local {
        let message = format!("the server is not on this machine ({})", backend.local_reason);
        return Err(Problem::new("metrics.scope", message).hint(hint));
    }
    if backend.pids.is_empty() {
        let message = "which process the server is could not be told: nobody is seen to listen on its port, \
                       or its files in /proc belong to another user";
        return Err(Problem::new("metrics.scope", message).hint(hint));
    }
    Ok(backend.pids.clone())
}

fn period(metrics: &MetricsConfig) -> Seconds {
    OpenRequest::of(metrics).sample_period()
}

fn processes(metrics: &MetricsConfig, backend: &BackendInfo) -> Result<Found, Problem> {
    let pids = pids(metrics, backend)?;
    let place = if metrics.server_pid.is_some() { "metrics.server_pid" } else { "metrics.scope" };
    let meter = cpu_time::of_processes(&metrics.procfs_root, &pids, period(metrics))
        .map_err(|cause| Problem::new(place, cause.message))?;
    let first = pids.first().copied().unwrap_or_default();
    let who = if first == std::process::id() {
        format!("this process (pid {first}), in which the model runs, and everything it started")
    } else {
        format!("{} and everything it started", named(Path::new(&metrics.procfs_root), first))
    };
    Ok(Found {
        scope: CpuScope {
            counted: Whose::Process,
            share_of: Some(Whose::Process),
            who: Some(who),
            pids,
            missing_reason: None,
        },
        meter: Some(meter),
        warnings: Vec::new(),
    })
}

fn cgroup(metrics: &MetricsConfig, backend: &BackendInfo) -> Result<Found, Problem> {
    let (group, pids, place) = match &metrics.server_cgroup {
        Some(group) => (group.clone(), Vec::new(), "metrics.server_cgroup"),
        None => {
            let pids = pids(metrics, backend)?;
            let first = pids.first().copied().unwrap_or_default();
            let group = cpu_time::cgroup_of(&metrics.procfs_root, first).map_err(|cause| {
                Problem::new("metrics.scope", cause.message).hint("set metrics.server_cgroup")
            })?;
            (group, pids, "metrics.scope")
        }
    };
    let meter =
        cpu_time::of_cgroup(&metrics.sysfs_root, &group, period(metrics)).map_err(|cause| {
            Problem::new(place, cause.message)
                .hint("the path below the root of control groups, as /proc/PID/cgroup shows it")
        })?;
    Ok(Found {
        warnings: shared_with_us(metrics, &group).into_iter().collect(),
        scope: CpuScope {
            counted: Whose::Cgroup,
            share_of: Some(Whose::Cgroup),
            who: Some(format!("control group {group}")),
            pids,
            missing_reason: None,
        },
        meter: Some(meter),
    })
}

/// A group that holds this program too holds its load and its meters.
fn shared_with_us(metrics: &MetricsConfig, group: &str) -> Option<Warning> {
    let ours = cpu_time::cgroup_of(&metrics.procfs_root, std::process::id()).ok()?;
    let inside = Path::new(ours.trim_start_matches('/')).starts_with(group.trim_matches('/'));
    inside.then(|| {
        Warning::new(
            "cgroup_holds_the_client",
            format!(
                "Control group {group} holds this program too: the processor time of sending requests is in the \
                 server's share."
            ),
        )
    })
}

/// `vllm (pid 42)`.
fn named(procfs: &Path, pid: u32) -> String {
    match std::fs::read_to_string(procfs.join(format!("{pid}/comm"))) {
        Ok(name) => format!("{} (pid {pid})", name.trim()),
        Err(_) => format!("pid {pid}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::*;
    use crate::record::Weights;

    fn backend(local: bool, pids: &[u32]) -> BackendInfo {
        BackendInfo {
            kind: "vllm".to_owned(),
            model: "m".to_owned(),
            endpoint: None,
            server: None,
            server_version: None,
            weights: Weights::Unknown,
            local,
            local_reason: "because".to_owned(),
            pids: pids.to_vec(),
            details: BTreeMap::new(),
        }
    }

    /// A `/proc` and `/sys` with process 10 in a group of its own.
    fn machine() -> (tempfile::TempDir, MetricsConfig) {
        let root = tempfile::tempdir().unwrap();
        let process = root.path().join("10");
        fs::create_dir_all(&process).unwrap();
        fs::write(process.join("comm"), "vllm\n").unwrap();
        fs::write(
            process.join("stat"),
            "10 (vllm) S 1 1 1 0 -1 0 0 0 0 0 100 50 0 0 20 0 1 0 5 0 0",
        )
        .unwrap();
        fs::write(process.join("cgroup"), "0::/docker/abc\n").unwrap();
        let group = root.path().join("fs/cgroup/docker/abc");
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("cpu.stat"), "usage_usec 7000000\n").unwrap();
        let path = root.path().display().to_string();
        let metrics = MetricsConfig {
            procfs_root: path.clone(),
            sysfs_root: path,
            ..MetricsConfig::default()
        };
        (root, metrics)
    }

    #[test]
    fn the_servers_processes_are_metered_beside_the_machine() {
        let (_root, metrics) = machine();
        let mut found = find(&metrics, &backend(true, &[10])).unwrap();
        assert_eq!(
            (found.scope.counted, found.scope.share_of),
            (Whose::Machine, Some(Whose::Process))
        );
        assert_eq!(found.scope.who.as_deref(), Some("vllm (pid 10) and everything it started"));
        assert_eq!(found.meter.as_mut().unwrap().read(0), Ok(1.5));
    }

    #[test]
    fn an_unknown_server_is_a_reason_beside_the_machine_and_a_problem_where_it_is_asked_for() {
        let (_root, metrics) = machine();
        let found = find(&metrics, &backend(false, &[])).unwrap();
        assert!(found.meter.is_none() && found.scope.missing_reason.is_some());
        let asked = MetricsConfig { scope: Scope::Process, ..metrics.clone() };
        for backend in [backend(false, &[]), backend(true, &[])] {
            let problem = find(&asked, &backend).err().unwrap();
            assert!(problem.hint.unwrap().contains("server_pid"));
        }
        let gone = MetricsConfig { server_pid: Some(99), ..asked };
        assert!(find(&gone, &backend(true, &[10])).err().unwrap().place.contains("server_pid"));
    }

    #[test]
    fn a_group_is_found_from_the_process_or_by_its_name() {
        let (_root, metrics) = machine();
        let of_process = MetricsConfig { scope: Scope::Cgroup, ..metrics.clone() };
        let mut found = find(&of_process, &backend(true, &[10])).unwrap();
        assert_eq!(found.scope.counted, Whose::Cgroup);
        assert_eq!(found.meter.as_mut().unwrap().read(0), Ok(7.0));
        let named = MetricsConfig { server_cgroup: Some("docker/abc".to_owned()), ..metrics };
        assert_eq!(find(&named, &backend(false, &[])).unwrap().scope.counted, Whose::Machine);
        let wrong = MetricsConfig { server_cgroup: Some("no".to_owned()), ..of_process };
        assert!(find(&wrong, &backend(true, &[10])).is_err());
    }
}
