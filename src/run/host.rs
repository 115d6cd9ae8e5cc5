//! What machine this is.

use std::collections::BTreeSet;
use std::path::Path;

use crate::record::{DeviceRef, HostInfo};

/// Looks at the machine through its `proc` file system.
pub(super) fn look(procfs: &Path, gpus: Vec<DeviceRef>) -> HostInfo {
    let name = rustix::system::uname();
    let os = [name.sysname(), name.release(), name.machine()]
        .map(|part| part.to_string_lossy().into_owned())
        .join("-");
    let cpuinfo = std::fs::read_to_string(procfs.join("cpuinfo")).unwrap_or_default();
    let meminfo = std::fs::read_to_string(procfs.join("meminfo")).unwrap_or_default();
    HostInfo {
        os,
        cpu_model: value_of(&cpuinfo, "model name").map(str::to_owned),
        cpu_count: std::thread::available_parallelism()
            .map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX)),
        ram_bytes: value_of(&meminfo, "MemTotal").and_then(kibibytes),
        gpus,
    }
}

/// These processes and everything that they started.
pub(super) fn with_descendants(procfs: &Path, roots: &[u32]) -> BTreeSet<u32> {
    let parents: Vec<(u32, u32)> = std::fs::read_dir(procfs)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name stands in parentheses and may hold anything; state and parent follow it.
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect();
    let mut family: BTreeSet<u32> = roots.iter().copied().collect();
    loop {
        let before = family.len();
        family.extend(
            parents
                .iter()
                .filter(|(_, parent)| family.contains(parent))
                .map(|(pid, _)| *pid)
                .collect::<Vec<_>>(),
        );
        if family.len() == before {
            return family;
        }
    }
}

fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim())
    })
}

fn kibibytes(value: &str) -> Option<u64> {
    value.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_holds_children_and_their_children_and_nobody_else() {
        let proc = tempfile::tempdir().unwrap();
        for (pid, stat) in [
            (10, "10 (a) S 1 0"),
            (11, "11 (b) c) S 10 0"),
            (12, "12 (d) S 11 0"),
            (13, "13 (e) S 1 0"),
        ] {
            let folder = proc.path().join(pid.to_string());
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("stat"), stat).unwrap();
        }
        assert_eq!(with_descendants(proc.path(), &[10]), BTreeSet::from([10, 11, 12]));
    }

    #[test]
    fn a_machine_is_read_from_its_proc_files_and_missing_ones_are_missing() {
        let proc = tempfile::tempdir().unwrap();
        let bare = look(proc.path(), Vec::new());
        assert_eq!((bare.cpu_model, bare.ram_bytes), (None, None));
        std::fs::write(proc.path().join("cpuinfo"), "processor\t: 0\nmodel name\t: Some CPU\n")
            .unwrap();
        std::fs::write(proc.path().join("meminfo"), "MemTotal:       2048 kB\n").unwrap();
        let host = look(proc.path(), Vec::new());
        assert_eq!(host.cpu_model.as_deref(), Some("Some CPU"));
        assert_eq!(host.ram_bytes, Some(2 * 1024 * 1024));
    }
}
