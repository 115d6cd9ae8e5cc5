//! Whether anybody else computes on the GPUs whose energy is counted.
//!
//! The driver lists processes by the machine's numbers. Inside a container the same numbers may be other
//! processes, or none may be shown, so there a list proves something only if it holds a process of ours.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::host;
use crate::config::component::metrics::{DeviceIsolation, MetricsConfig};
use crate::error::Problem;
use crate::meter;
use crate::record::{BackendInfo, DeviceRef, Warning};

/// What `/proc/self/ns/pid` names when process ids are the machine's own: the kernel fixes the number.
const FIRST_NAMESPACE: &str = "pid:[4026531836]";

/// What a look at the GPUs found.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Look {
    /// Nobody else.
    Alone,
    /// These processes are neither ours nor the server's.
    Shared(BTreeSet<u32>),
    /// It cannot be told, and why.
    Unknown(&'static str),
}

/// When the look was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Before,
    After,
}

/// What is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    Warn(Warning),
    Refuse(Problem),
}

/// Looks at the selected GPUs.
pub(super) fn look(
    metrics: &MetricsConfig,
    devices: &[DeviceRef],
    backend: &BackendInfo,
    when: When,
) -> Verdict {
    let found = if devices.is_empty() {
        Look::Unknown("no GPU is selected")
    } else if !backend.local {
        Look::Unknown("the server is not on this machine")
    } else if backend.pids.is_empty() {
        Look::Unknown("the server's process is not known")
    } else {
        match meter::nvml::compute_pids(metrics, devices) {
            Ok(gpus) => {
                let procfs = Path::new(&metrics.procfs_root);
                let listed = gpus.into_iter().flat_map(|gpu| gpu.pids).collect();
                judge(&listed, &own(procfs, backend), in_first_namespace(procfs))
            }
            Err(_) => Look::Unknown("the driver does not list the processes on the GPUs"),
        }
    };
    verdict(metrics, &found, when)
}

/// This process, the server's, and everything that they started.
fn own(procfs: &Path, backend: &BackendInfo) -> BTreeSet<u32> {
    let roots: Vec<u32> = backend.pids.iter().copied().chain([std::process::id()]).collect();
    host::with_descendants(procfs, &roots)
}

fn in_first_namespace(procfs: &Path) -> bool {
    fs::read_link(procfs.join("self/ns/pid")).is_ok_and(|link| link == Path::new(FIRST_NAMESPACE))
}

fn judge(listed: &BTreeSet<u32>, own: &BTreeSet<u32>, first_namespace: bool) -> Look {
    let others: BTreeSet<u32> = listed.difference(own).copied().collect();
    if first_namespace || others.len() < listed.len() {
        return if others.is_empty() { Look::Alone } else { Look::Shared(others) };
    }
    Look::Unknown(
        "process ids are another namespace's here (a container): the driver's list shows none of ours",
    )
}

fn verdict(metrics: &MetricsConfig, found: &Look, when: When) -> Verdict {
    let asked = metrics.device_isolation;
    let pids = match found {
        Look::Alone => return Verdict::Fine,
        Look::Unknown(why) if asked.is_some() => {
            return Verdict::Warn(Warning::new(
                "isolation_not_checked",
                format!("whether other processes use the selected GPUs cannot be told: {why}"),
            ));
        }
        Look::Unknown(_) => return Verdict::Fine,
        Look::Shared(pids) => pids,
    };
    let moment = match when {
        When::Before => "before the run",
        When::After => "after the run",
    };
    let names: Vec<String> =
        pids.iter().map(|pid| named(Path::new(&metrics.procfs_root), *pid)).collect();
    let message = format!(
        "{moment} processes that are not the server's use the selected GPUs ({}): \
         their energy is counted too",
        names.join(", ")
    );
    match asked {
        Some(DeviceIsolation::Error) => Verdict::Refuse(
            Problem::new("metrics.device_isolation", message)
                .hint("end them, select other GPUs with backend.device_ids, or set it to warn"),
        ),
        Some(DeviceIsolation::Kill) => Verdict::Warn(Warning::new(
            "other_processes_on_gpu",
            format!(
                "{message}; they were not ended: this program ends no process that is not its own"
            ),
        )),
        Some(DeviceIsolation::Warn) | None => {
            Verdict::Warn(Warning::new("other_processes_on_gpu", message))
        }
    }
}

fn named(procfs: &Path, pid: u32) -> String {
    match fs::read_to_string(procfs.join(pid.to_string()).join("comm")) {
        Ok(name) => format!("pid {pid}, {}", name.trim()),
        Err(_) => format!("pid {pid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pids(list: &[u32]) -> BTreeSet<u32> {
        list.iter().copied().collect()
    }

    #[test]
    fn others_are_those_that_are_neither_ours_nor_the_servers() {
        let own = pids(&[10, 11]);
        assert_eq!(judge(&pids(&[10, 11]), &own, true), Look::Alone);
        assert_eq!(judge(&pids(&[]), &own, true), Look::Alone);
        assert_eq!(judge(&pids(&[10, 12, 13]), &own, true), Look::Shared(pids(&[12, 13])));
    }

    #[test]
    fn in_a_container_a_list_without_us_proves_nothing() {
        let own = pids(&[10, 11]);
        assert!(matches!(judge(&pids(&[12]), &own, false), Look::Unknown(_)));
        assert!(matches!(judge(&pids(&[]), &own, false), Look::Unknown(_)));
        assert_eq!(judge(&pids(&[10]), &own, false), Look::Alone);
        assert_eq!(judge(&pids(&[10, 12]), &own, false), Look::Shared(pids(&[12])));
    }

    #[test]
    fn the_setting_decides_between_a_warning_and_a_refusal() {
        let shared = Look::Shared(pids(&[12]));
        let unknown = Look::Unknown("why");
        let verdict = |isolation, found: &Look| {
            let metrics = MetricsConfig { device_isolation: isolation, ..MetricsConfig::default() };
            verdict(&metrics, found, When::After)
        };
        assert!(matches!(
            verdict(Some(DeviceIsolation::Error), &shared),
            Verdict::Refuse(problem) if problem.message.contains("after the run")
        ));
        for isolation in [None, Some(DeviceIsolation::Warn)] {
            assert!(matches!(verdict(isolation, &shared), Verdict::Warn(_)));
        }
        assert!(matches!(
            verdict(Some(DeviceIsolation::Kill), &shared),
            Verdict::Warn(warning) if warning.message.contains("not ended")
        ));
        assert_eq!(verdict(None, &unknown), Verdict::Fine);
        assert!(matches!(
            verdict(Some(DeviceIsolation::Error), &unknown),
            Verdict::Warn(warning) if warning.code == "isolation_not_checked"
        ));
        assert_eq!(verdict(Some(DeviceIsolation::Error), &Look::Alone), Verdict::Fine);
    }

    #[test]
    fn the_namespace_is_told_by_its_number() {
        let proc = tempfile::tempdir().unwrap();
        assert!(!in_first_namespace(proc.path()));
        let folder = proc.path().join("self/ns");
        fs::create_dir_all(&folder).unwrap();
        std::os::unix::fs::symlink(FIRST_NAMESPACE, folder.join("pid")).unwrap();
        assert!(in_first_namespace(proc.path()));
    }
}
