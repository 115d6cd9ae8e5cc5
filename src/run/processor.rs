//! Who used the processors: this program, the server, or somebody else.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::host;
use crate::record::{BackendInfo, Event};
use crate::units::Seconds;

/// Ticks a second in `/proc`: fixed by the kernel's interface on every machine this runs on, whatever the timer's own rate.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads processor time.
#[derive(Debug, Clone)]
pub(super) struct Processors {
    procfs: PathBuf,
    /// Processes of the server; none where they are not known or not here.
    server: Option<Vec<u32>>,
}

impl Processors {
    pub(super) fn new(procfs: &str, backend: &BackendInfo) -> Self {
        let known = backend.local && !backend.pids.is_empty();
        Self { procfs: PathBuf::from(procfs), server: known.then(|| backend.pids.clone()) }
    }

    /// Processor time used until now; none where `/proc` does not tell.
    pub(super) fn look(&self) -> Option<Event> {
        let machine = machine_ticks(&fs::read_to_string(self.procfs.join("stat")).ok()?)?;
        let ours = host::with_descendants(&self.procfs, &[std::process::id()]);
        let server = self.server.as_ref().map(|pids| {
            let family = host::with_descendants(&self.procfs, pids);
            // A server in this process, or started by it, is ours already.
            family.difference(&ours).copied().collect::<BTreeSet<u32>>()
        });
        let seconds = |ticks: u64| Seconds(ticks as f64 / TICKS_PER_SECOND);
        Some(Event::CpuTime {
            machine_s: seconds(machine),
            ours_s: seconds(self.ticks_of(&ours)),
            server_s: server.map(|pids| seconds(self.ticks_of(&pids))),
        })
    }

    /// Of processes and of those of their children that have ended; one that ends meanwhile counts as nothing.
    fn ticks_of(&self, pids: &BTreeSet<u32>) -> u64 {
        let of = |pid: &u32| {
            process_ticks(&read(&self.procfs.join(pid.to_string()).join("stat"))).unwrap_or(0)
        };
        pids.iter().map(of).sum()
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Everything but idling and waiting for disks. Columns: user nice system idle iowait irq softirq steal; guest time is
/// inside user time already.
fn machine_ticks(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let columns = line.split_ascii_whitespace().take(8).map(str::parse::<u64>).enumerate();
    let mut busy = 0_u64;
    for (column, ticks) in columns {
        let ticks = ticks.ok()?;
        if !matches!(column, 3 | 4) {
            busy = busy.checked_add(ticks)?;
        }
    }
    Some(busy)
}

/// User and system time, its own and of children that have ended: fields 14 to 17.
fn process_ticks(stat: &str) -> Option<u64> {
    // The name stands in parentheses and may hold anything; field 3 follows it.
    let fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let times: Vec<u64> =
        fields.skip(11).take(4).map(|time| time.parse().ok()).collect::<Option<_>>()?;
    (times.len() == 4).then(|| times.iter().sum())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::record::Weights;

    fn backend(pids: &[u32], local: bool) -> BackendInfo {
        BackendInfo {
            kind: "vllm".to_owned(),
            model: "m".to_owned(),
            endpoint: None,
            server: None,
            server_version: None,
            weights: Weights::Real,
            local,
            local_reason: String::new(),
            pids: pids.to_vec(),
            details: BTreeMap::new(),
        }
    }

    fn process(root: &Path, pid: u32, parent: u32, times: [u64; 4]) {
        let folder = root.join(pid.to_string());
        fs::create_dir(&folder).unwrap();
        let [user, system, child_user, child_system] = times;
        let stat = format!(
            "{pid} (a) b) S {parent} 0 0 0 0 0 0 0 0 0 {user} {system} {child_user} {child_system} 20 0"
        );
        fs::write(folder.join("stat"), stat).unwrap();
    }

    #[test]
    fn time_is_told_apart_by_whose_it_is() {
        let proc = tempfile::tempdir().unwrap();
        fs::write(proc.path().join("stat"), "cpu  1000 0 500 9000 100 0 0 0 50 0\ncpu0 1 2\n")
            .unwrap();
        let own = std::process::id();
        process(proc.path(), own, 1, [100, 20, 0, 0]);
        process(proc.path(), 4_000_001, own, [5, 5, 0, 0]);
        process(proc.path(), 4_000_002, 1, [300, 0, 40, 0]);
        process(proc.path(), 4_000_003, 4_000_002, [60, 0, 0, 0]);
        let root = proc.path().to_str().unwrap();
        let look = |backend: &BackendInfo| Processors::new(root, backend).look();
        let told = |server: Option<f64>| {
            Some(Event::CpuTime {
                machine_s: Seconds(15.0),
                ours_s: Seconds(1.3),
                server_s: server.map(Seconds),
            })
        };
        assert_eq!(look(&backend(&[4_000_002], true)), told(Some(4.0)));
        assert_eq!(look(&backend(&[4_000_002], false)), told(None), "another machine's numbers");
        assert_eq!(look(&backend(&[own], true)), told(Some(0.0)), "in this process");
        assert_eq!(look(&backend(&[], true)), told(None));
        fs::remove_file(proc.path().join("stat")).unwrap();
        assert_eq!(look(&backend(&[], true)), None);
    }
}
