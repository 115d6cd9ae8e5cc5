//! Processor time: of the machine, of a process and all that it started, of a control group.
//!
//! Measures: seconds of processor time in use, cumulative. Needs: `/proc/stat` and `/proc/PID/stat` (readable by
//! everybody unless `/proc` is mounted with `hidepid`), or `cpu.stat` of the group. Limits: the kernel counts in ticks
//! of 10 ms there (control groups: microseconds); time that a hypervisor took away is not in it; a child that ended and
//! that nobody waited for counts up to the last reading of it. It gives no energy: analysis shares out the CPU's by it.
//! Example: `machine.cpu_time`, `process.cpu_time`, `cgroup.cpu_time`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::clock;
use crate::record::{Component, Quantity, SensorInfo, Source};
use crate::units::{Nanos, Seconds};

use super::procfs;
use super::{Meter, MeterEntry, MeterError, OpenRequest, Opened};

/// The line in the registry: the machine's own time. The others need a process or a group, which is known later.
pub const ENTRY: MeterEntry = MeterEntry {
    kind: KIND,
    summary: "processor time in use, for the share of a server or a command",
    open,
};

/// The name in provenance.
pub const KIND: &str = "cpu_time";
/// New children are looked for at most this often: it means reading every process of the machine.
const LOOK_AGAIN: Seconds = Seconds(5.0);
/// No finer cadence than this pays: the edges of phases have readings of their own.
const SHORTEST_PERIOD: Seconds = Seconds(1.0);

fn open(request: &OpenRequest<'_>) -> Opened {
    if !request.metrics.cpu {
        return Opened::absent(Component::Cpu, KIND, "metrics.cpu is false");
    }
    let root = request.metrics.procfs_root.clone();
    match procfs::machine_time(&root) {
        Ok(_) => {
            let sensor = info(
                "machine.cpu_time",
                "all processes of the machine",
                format!("{root}/stat: user, nice, system, irq and softirq time"),
                request.sample_period(),
            );
            let meter = Clocked { sensors: vec![sensor], clock: TimeOf::Machine(root) };
            Opened { meters: vec![Box::new(meter)], ..Opened::default() }
        }
        Err(cause) => Opened::absent(Component::Cpu, KIND, cause.message),
    }
}

/// A meter of a process and everything that it started or will start.
///
/// # Errors
/// When none of the processes can be read.
pub fn of_processes(
    procfs_root: &str,
    roots: &[u32],
    period: Seconds,
) -> Result<Box<dyn Meter>, MeterError> {
    let root = PathBuf::from(procfs_root);
    let mut tree = Tree::new(roots);
    tree.update(&processes(&root, None));
    if tree.members.is_empty() {
        let pids: Vec<String> = roots.iter().map(ToString::to_string).collect();
        return Err(MeterError::new(format!("there is no process {}", pids.join(", "))));
    }
    let sensor = info(
        "process.cpu_time",
        "a process and everything that it started",
        format!("{procfs_root}/PID/stat: utime, stime, cutime and cstime, summed over the tree"),
        period,
    );
    let clock = TimeOf::Processes { root, tree, looked: clock::now() };
    Ok(Box::new(Clocked { sensors: vec![sensor], clock }))
}

/// A meter of a control group, by its path below the root of control groups.
///
/// # Errors
/// When it has no file of processor time that can be read.
pub fn of_cgroup(
    sysfs_root: &str,
    group: &str,
    period: Seconds,
) -> Result<Box<dyn Meter>, MeterError> {
    let top = Path::new(sysfs_root).join("fs/cgroup");
    let group = group.trim_start_matches('/');
    let files = [
        (top.join(group).join("cpu.stat"), CgroupFile::Stat),
        (top.join("cpu,cpuacct").join(group).join("cpuacct.usage"), CgroupFile::Usage),
        (top.join("cpuacct").join(group).join("cpuacct.usage"), CgroupFile::Usage),
    ];
    for (path, form) in &files {
        if form.read(path).is_ok() {
            let sensor = info(
                "cgroup.cpu_time",
                "a control group with everything in it, ended processes included",
                format!("{} ({})", path.display(), form.what()),
                period,
            );
            let clock = TimeOf::Cgroup(path.clone(), *form);
            return Ok(Box::new(Clocked { sensors: vec![sensor], clock }));
        }
    }
    Err(MeterError::new(format!(
        "there is no control group {group:?} with processor time below {}",
        top.display()
    )))
}

/// The control group of a process, as a path below the root of control groups.
///
/// # Errors
/// When the process's file cannot be read or names no group that counts processor time.
pub fn cgroup_of(procfs_root: &str, pid: u32) -> Result<String, MeterError> {
    let path = Path::new(procfs_root).join(format!("{pid}/cgroup"));
    let text = fs::read_to_string(&path)
        .map_err(|cause| MeterError::new(format!("cannot read {}: {cause}", path.display())))?;
    parse_cgroup(&text)
        .ok_or_else(|| MeterError::new(format!("{} names no group of processors", path.display())))
}

/// The group of the unified tree, or of the tree of the `cpuacct` controller. `0::/a/b`, `4:cpu,cpuacct:/a/b`.
fn parse_cgroup(text: &str) -> Option<String> {
    let group = |wanted: fn(&str) -> bool| {
        text.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            wanted(controllers).then(|| path.to_owned())
        })
    };
    // With both trees mounted the old one is where the kernel counts processor time.
    group(|names| names.split(',').any(|name| name == "cpuacct")).or_else(|| group(str::is_empty))
}

fn info(name: &str, scope: &str, method: String, period: Seconds) -> SensorInfo {
    SensorInfo {
        name: name.to_owned(),
        meter: KIND.to_owned(),
        component: Component::Cpu,
        device: None,
        quantity: Quantity::CpuTime,
        unit: Quantity::CpuTime.unit().to_owned(),
        source: Source::Measured,
        scope: scope.to_owned(),
        method,
        counted: false,
        resolution: Some(1.0 / procfs::ticks_per_second()),
        update_period_s: None,
        sample_period_s: Seconds(period.0.max(SHORTEST_PERIOD.0)),
        wrap_at: None,
        systematic_relative: None,
        systematic_source: None,
        host: None,
        timing: None,
    }
}

struct Clocked {
    sensors: Vec<SensorInfo>,
    clock: TimeOf,
}

enum TimeOf {
    Machine(String),
    Processes { root: PathBuf, tree: Tree, looked: Nanos },
    Cgroup(PathBuf, CgroupFile),
}

impl Meter for Clocked {
    fn sensors(&self) -> &[SensorInfo] {
        &self.sensors
    }

    fn read(&mut self, _sensor: usize) -> Result<f64, MeterError> {
        match &mut self.clock {
            TimeOf::Machine(root) => procfs::machine_time(root),
            TimeOf::Cgroup(path, form) => form.read(path),
            TimeOf::Processes { root, tree, looked } => {
                let now = clock::now();
                let again = now.since(*looked) >= LOOK_AGAIN;
                if again {
                    *looked = now;
                }
                let known = (!again).then(|| tree.members.keys().copied().collect::<Vec<_>>());
                let ticks = tree.update(&processes(root, known.as_deref()));
                if tree.members.is_empty() {
                    return Err(MeterError::new("the processes have ended"));
                }
                Ok(procfs::seconds(ticks))
            }
        }
    }
}

/// Where a control group tells its processor time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CgroupFile {
    /// `cpu.stat` of the unified tree.
    Stat,
    /// `cpuacct.usage` of the older one.
    Usage,
}

impl CgroupFile {
    const fn what(self) -> &'static str {
        match self {
            Self::Stat => "usage_usec",
            Self::Usage => "nanoseconds",
        }
    }

    fn read(self, path: &Path) -> Result<f64, MeterError> {
        let shown = path.display();
        let text = fs::read_to_string(path)
            .map_err(|cause| MeterError::new(format!("cannot read {shown}: {cause}")))?;
        self.parse(&text).ok_or_else(|| MeterError::new(format!("{shown} tells no processor time")))
    }

    #[expect(clippy::cast_precision_loss, reason = "104 days of nanoseconds fit an f64")]
    fn parse(self, text: &str) -> Option<f64> {
        match self {
            Self::Stat => {
                let usage = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
                Some(usage.trim().parse::<u64>().ok()? as f64 / 1e6)
            }
            Self::Usage => Some(text.trim().parse::<u64>().ok()? as f64 / 1e9),
        }
    }
}

/// One process at one moment, times in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    parent: u32,
    /// When it was started: tells a process from a later one with the same number.
    started: u64,
    /// Its own time, ended threads included.
    own: u64,
    /// Of its children that ended and were waited for, and theirs.
    children: u64,
}

impl Process {
    const fn total(self) -> u64 {
        self.own.saturating_add(self.children)
    }

    /// From `/proc/PID/stat`: the name stands in parentheses and may hold anything.
    fn parse(stat: &str) -> Option<Self> {
        let (_, after_name) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = after_name.split_ascii_whitespace().take(20).collect();
        let number = |position: usize| fields.get(position)?.parse::<u64>().ok();
        // Children's times are signed in the format.
        let signed =
            |position: usize| u64::try_from(fields.get(position)?.parse::<i64>().ok()?.max(0)).ok();
        Some(Self {
            parent: u32::try_from(number(1)?).ok()?,
            own: number(11)?.checked_add(number(12)?)?,
            children: signed(13)?.checked_add(signed(14)?)?,
            started: number(19)?,
        })
    }
}

/// Reads some processes, or all of the machine.
fn processes(root: &Path, known: Option<&[u32]>) -> BTreeMap<u32, Process> {
    let all = || {
        let entries = fs::read_dir(root).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    };
    let pids: Vec<u32> = known.map_or_else(all, <[u32]>::to_vec);
    pids.into_iter()
        .filter_map(|pid| {
            let stat = fs::read_to_string(root.join(format!("{pid}/stat"))).ok()?;
            Some((pid, Process::parse(&stat)?))
        })
        .collect()
}

/// A family of processes. Its time never falls: what a member used stays when it ends.
#[derive(Debug)]
struct Tree {
    roots: BTreeSet<u32>,
    members: BTreeMap<u32, Process>,
    /// Time of members that ended and that no other member inherited.
    orphaned: u64,
}

impl Tree {
    fn new(roots: &[u32]) -> Self {
        Self { roots: roots.iter().copied().collect(), members: BTreeMap::new(), orphaned: 0 }
    }

    /// Takes a reading of (at least) the members and gives the time used by all that ever belonged.
    fn update(&mut self, now: &BTreeMap<u32, Process>) -> u64 {
        let first = self.members.is_empty() && self.orphaned == 0;
        self.bury(now);
        for (pid, member) in &mut self.members {
            if let Some(process) = now.get(pid) {
                *member = *process;
            }
        }
        if first {
            let roots = now.iter().filter(|(pid, _)| self.roots.contains(pid));
            self.members.extend(roots.map(|(pid, process)| (*pid, *process)));
        }
        self.adopt(now);
        self.members.values().fold(self.orphaned, |sum, member| sum.saturating_add(member.total()))
    }

    /// Members that ended. Whoever waited for one has its time; what nobody has is kept here.
    fn bury(&mut self, now: &BTreeMap<u32, Process>) {
        let same = |pid: &u32, member: &Process| {
            now.get(pid).is_some_and(|process| process.started == member.started)
        };
        let gone: Vec<u32> = self
            .members
            .iter()
            .filter(|(pid, member)| !same(pid, member))
            .map(|(pid, _)| *pid)
            .collect();
        let mut by_heir: BTreeMap<Option<u32>, u64> = BTreeMap::new();
        for pid in &gone {
            let heir = self.heir(*pid, &gone);
            let total = self.members.get(pid).map_or(0, |member| member.total());
            *by_heir.entry(heir).or_default() += total;
        }
        for (heir, left) in by_heir {
            let inherited = heir.map_or(0, |heir| {
                let before = self.members.get(&heir).map_or(0, |member| member.children);
                now.get(&heir).map_or(0, |process| process.children.saturating_sub(before))
            });
            self.orphaned = self.orphaned.saturating_add(left.saturating_sub(inherited));
        }
        self.members.retain(|pid, _| !gone.contains(pid));
    }

    /// The nearest ancestor of a member that still lives.
    fn heir(&self, pid: u32, gone: &[u32]) -> Option<u32> {
        let mut at = pid;
        // A chain of parents is no longer than the family.
        for _ in 0..=self.members.len() {
            at = self.members.get(&at)?.parent;
            if self.members.contains_key(&at) && !gone.contains(&at) {
                return Some(at);
            }
        }
        None
    }

    /// Children of members that are not members yet.
    fn adopt(&mut self, now: &BTreeMap<u32, Process>) {
        loop {
            let children: Vec<(u32, Process)> = now
                .iter()
                .filter(|(pid, process)| {
                    self.members.contains_key(&process.parent) && !self.members.contains_key(pid)
                })
                .map(|(pid, process)| (*pid, *process))
                .collect();
            if children.is_empty() {
                return;
            }
            self.members.extend(children);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn process(parent: u32, own: u64, children: u64) -> Process {
        Process { parent, started: 1, own, children }
    }

    fn family(list: &[(u32, Process)]) -> BTreeMap<u32, Process> {
        list.iter().copied().collect()
    }

    #[test]
    fn a_stat_line_is_read_past_a_name_with_anything_in_it() {
        let stat = "42 (a) b (c)) S 7 42 42 0 -1 4194560 1 2 3 4 100 20 30 5 20 0 8 0 999 1 2 3";
        let expected = Process { parent: 7, started: 999, own: 120, children: 35 };
        assert_eq!(Process::parse(stat), Some(expected));
        assert_eq!(Process::parse("42 (a) S 7"), None);
    }

    #[test]
    fn a_child_that_was_waited_for_is_counted_once() {
        let mut tree = Tree::new(&[10]);
        let at = |list: &[(u32, Process)]| family(list);
        assert_eq!(tree.update(&at(&[(10, process(1, 100, 0)), (11, process(10, 50, 0))])), 150);
        // It ended with 60 and its parent has that now.
        assert_eq!(tree.update(&at(&[(10, process(1, 100, 60))])), 160);
    }

    #[test]
    fn a_child_that_nobody_waited_for_keeps_what_it_was_seen_with() {
        let mut tree = Tree::new(&[10]);
        tree.update(&family(&[(10, process(1, 100, 0)), (11, process(10, 50, 0))]));
        assert_eq!(tree.update(&family(&[(10, process(1, 130, 0))])), 180);
    }

    #[test]
    fn a_grandchild_is_inherited_through_a_child_that_ended_too() {
        let mut tree = Tree::new(&[10]);
        tree.update(&family(&[
            (10, process(1, 100, 0)),
            (11, process(10, 50, 0)),
            (12, process(11, 30, 0)),
        ]));
        assert_eq!(tree.update(&family(&[(10, process(1, 100, 80))])), 180);
    }

    #[test]
    fn a_child_given_away_to_init_stays_and_a_reused_number_does_not_join() {
        let mut tree = Tree::new(&[10]);
        tree.update(&family(&[(10, process(1, 100, 0)), (11, process(10, 50, 0))]));
        assert_eq!(tree.update(&family(&[(11, process(1, 70, 0))])), 170);
        let reused = Process { started: 2, ..process(1, 5_000, 0) };
        assert_eq!(tree.update(&family(&[(10, reused), (11, process(1, 75, 0))])), 175);
    }

    #[test]
    fn groups_are_found_in_both_kinds_of_tree() {
        assert_eq!(parse_cgroup("0::/a/b\n").as_deref(), Some("/a/b"));
        let both = "4:cpu,cpuacct:/docker/x\n1:name=systemd:/y\n0::/z\n";
        assert_eq!(parse_cgroup(both).as_deref(), Some("/docker/x"));
        assert_eq!(parse_cgroup("1:name=systemd:/y\n"), None);
    }

    #[test]
    fn a_groups_time_is_read_from_its_files() {
        let sys = tempfile::tempdir().unwrap();
        let group = sys.path().join("fs/cgroup/system.slice/s.scope");
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("cpu.stat"), "usage_usec 2500000\nuser_usec 1\n").unwrap();
        let root = sys.path().display().to_string();
        let mut meter = of_cgroup(&root, "/system.slice/s.scope", Seconds(1.0)).unwrap();
        assert_eq!(meter.read(0), Ok(2.5));
        let error = of_cgroup(&root, "nowhere", Seconds(1.0)).err().unwrap();
        assert!(error.message.contains("nowhere"), "{error}");
        assert_eq!(CgroupFile::Usage.parse("1500000000\n"), Some(1.5));
    }

    #[test]
    fn this_process_uses_processor_time() {
        let pid = std::process::id();
        let mut meter = of_processes("/proc", &[pid], Seconds(1.0)).unwrap();
        let before = meter.read(0).unwrap();
        let mut sum = 0_u64;
        while meter.read(0).unwrap() - before < 0.05 {
            sum = (0..1_000_000_u64).fold(sum, |sum, value| std::hint::black_box(sum ^ value));
        }
        assert!(of_processes("/proc", &[u32::MAX], Seconds(1.0)).is_err());
    }

    proptest! {
        #[test]
        fn the_time_of_a_family_never_falls(
            steps in prop::collection::vec(
                prop::collection::vec((10_u32..15, 0_u64..50, 0_u64..50), 0..6), 1..12
            )
        ) {
            let mut tree = Tree::new(&[10]);
            let mut seen: BTreeMap<u32, Process> = family(&[(10, process(1, 5, 0))]);
            let mut last = tree.update(&seen);
            for step in steps {
                let mut next = BTreeMap::new();
                for (pid, own, children) in step {
                    let parent = if pid == 10 { 1 } else { pid - 1 };
                    let before = seen.get(&pid).copied().unwrap_or(process(parent, 0, 0));
                    next.insert(pid, Process {
                        own: before.own + own, children: before.children + children, ..before
                    });
                }
                seen.extend(next.clone());
                let value = tree.update(&next);
                prop_assert!(value >= last, "{value} after {last}");
                last = value;
            }
        }

        #[test]
        fn no_text_panics_the_parsers(text in "(?s).{0,200}") {
            let _ = (Process::parse(&text), parse_cgroup(&text));
            let _ = (CgroupFile::Stat.parse(&text), CgroupFile::Usage.parse(&text));
        }
    }
}
