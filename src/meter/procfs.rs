//! The few lines of `/proc` that the models need, read and parsed.

use std::cell::RefCell;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread::LocalKey;

use super::MeterError;
use crate::clock;
use crate::units::{Nanos, Seconds};

/// Where the running kernel shows itself; anything else is somebody's copy.
const KERNEL: &str = "/proc";

/// Processor time since boot, in ticks, summed over all logical processors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CpuTicks {
    /// Ticks in use.
    pub busy: u64,
    /// All ticks.
    pub total: u64,
}

impl CpuTicks {
    /// Share of time in use since `earlier`, 0 to 1; `None` when no tick has passed.
    #[expect(clippy::cast_precision_loss, reason = "differences of ticks are far below 2^53")]
    pub(super) fn load_since(self, earlier: Self) -> Option<f64> {
        let total = self.total.checked_sub(earlier.total).filter(|ticks| *ticks > 0)?;
        let busy = self.busy.saturating_sub(earlier.busy);
        Some((busy as f64 / total as f64).clamp(0.0, 1.0))
    }
}

/// What `/proc/cpuinfo` tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct CpuInfo {
    /// Model name of the first processor.
    pub model: Option<String>,
    /// Sockets; 1 where it is not told.
    pub sockets: usize,
    /// Logical processors.
    pub threads: usize,
}

/// Bytes of main memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    /// `MemTotal`.
    pub total: u64,
    /// `MemTotal` less `MemAvailable`.
    pub used: Option<u64>,
}

fn read(root: &str, name: &str) -> Result<String, MeterError> {
    let path = Path::new(root).join(name);
    fs::read_to_string(&path)
        .map_err(|cause| MeterError::new(format!("cannot read {}: {cause}", path.display())))
}

/// Files of the running kernel whose beginning is read again and again.
struct Kept {
    name: &'static str,
    /// Readings less than this apart are one.
    shared: Seconds,
    /// Open from the first reading on, and what the last one gave.
    last: Option<(File, Nanos, Vec<u8>)>,
}

/// Enough for what is looked for in these files, which stands at their beginning.
const BEGINNING: usize = 4096;

thread_local! {
    /// To write it the kernel adds up every interrupt of every processor, which costs more than all our other reads:
    /// sensors that are due together share one reading of it.
    static STAT: RefCell<Kept> =
        const { RefCell::new(Kept { name: "stat", shared: Seconds(0.002), last: None }) };
    static MEMINFO: RefCell<Kept> =
        const { RefCell::new(Kept { name: "meminfo", shared: Seconds::ZERO, last: None }) };
}

impl Kept {
    fn look(&mut self) -> std::io::Result<&[u8]> {
        let now = clock::now();
        let (file, text) = match self.last.take() {
            Some((file, at, text)) if now.since(at) < self.shared => {
                return Ok(&self.last.insert((file, at, text)).2);
            }
            Some((file, _, text)) => (file, text),
            None => (File::open(Path::new(KERNEL).join(self.name))?, Vec::new()),
        };
        let text = beginning(&file, text)?;
        Ok(&self.last.insert((file, now, text)).2)
    }
}

/// The beginning of a file, in one read: such a file is written anew for each that starts at its beginning.
fn beginning(file: &File, mut buffer: Vec<u8>) -> std::io::Result<Vec<u8>> {
    buffer.resize(BEGINNING, 0);
    let length = loop {
        match file.read_at(&mut buffer, 0) {
            Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => {}
            read => break read?,
        }
    };
    buffer.truncate(length);
    Ok(buffer)
}

/// What `parse` finds at the beginning of a file below `root`.
fn with<T>(
    root: &str,
    kept: &'static LocalKey<RefCell<Kept>>,
    parse: impl FnOnce(&str) -> T,
) -> Result<T, MeterError> {
    kept.with_borrow_mut(|kept| {
        if root != KERNEL {
            return Ok(parse(&read(root, kept.name)?));
        }
        let name = kept.name;
        let cannot = |cause: &dyn std::fmt::Display| {
            MeterError::new(format!("cannot read {KERNEL}/{name}: {cause}"))
        };
        let text = kept.look().map_err(|cause| cannot(&cause))?;
        std::str::from_utf8(text).map(parse).map_err(|cause| cannot(&cause))
    })
}

pub(super) fn cpu_ticks(root: &str) -> Result<CpuTicks, MeterError> {
    with(root, &STAT, parse_stat)?
        .ok_or_else(|| MeterError::new(format!("{root}/stat has no line of processor times")))
}

/// Seconds of processor time that programs have used since boot, on all logical processors together.
pub(super) fn machine_time(root: &str) -> Result<f64, MeterError> {
    with(root, &STAT, parse_busy)?
        .map(seconds)
        .ok_or_else(|| MeterError::new(format!("{root}/stat has no line of processor times")))
}

/// Ticks a second of the times in `/proc`.
#[expect(clippy::cast_precision_loss, reason = "it is 100")]
pub(super) fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second().max(1) as f64
}

/// Ticks as seconds.
#[expect(clippy::cast_precision_loss, reason = "ticks since boot are far below 2^53")]
pub(super) fn seconds(ticks: u64) -> f64 {
    ticks as f64 / ticks_per_second()
}

pub(super) fn cpu_info(root: &str) -> Result<CpuInfo, MeterError> {
    Ok(parse_cpuinfo(&read(root, "cpuinfo")?))
}

pub(super) fn memory(root: &str) -> Result<Memory, MeterError> {
    with(root, &MEMINFO, parse_meminfo)?
        .ok_or_else(|| MeterError::new(format!("{root}/meminfo has no MemTotal")))
}

/// Columns: user nice system idle iowait irq softirq steal guest guest_nice. Guest time is inside user
/// time already; idle and iowait are not in use; stolen time is, as psutil (and so CodeCarbon) has it.
fn parse_stat(text: &str) -> Option<CpuTicks> {
    const COUNTED: usize = 8;
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line
        .split_ascii_whitespace()
        .take(COUNTED)
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    let [_, _, _, idle, ..] = ticks[..] else { return None };
    let iowait = ticks.get(4).copied().unwrap_or(0);
    let total = ticks.iter().try_fold(0_u64, |sum, ticks| sum.checked_add(*ticks))?;
    Some(CpuTicks { busy: total - idle - iowait, total })
}

/// Time in which programs ran here: user, nice, system, irq, softirq. Stolen time went to other machines, and
/// no process has it.
fn parse_busy(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> =
        line.split_ascii_whitespace().take(7).map(str::parse).collect::<Result<_, _>>().ok()?;
    let [user, nice, system, _idle, ..] = ticks[..] else { return None };
    let interrupts = ticks.iter().skip(5);
    [user, nice, system].iter().chain(interrupts).try_fold(0_u64, |sum, t| sum.checked_add(*t))
}

fn parse_cpuinfo(text: &str) -> CpuInfo {
    let fields = |wanted: &'static str| {
        text.lines().filter_map(move |line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == wanted).then(|| value.trim())
        })
    };
    let mut sockets: Vec<&str> = fields("physical id").collect();
    sockets.sort_unstable();
    sockets.dedup();
    CpuInfo {
        model: fields("model name").find(|name| !name.is_empty()).map(str::to_owned),
        sockets: sockets.len().max(1),
        threads: fields("processor").filter(|id| id.parse::<u32>().is_ok()).count().max(1),
    }
}

fn parse_meminfo(text: &str) -> Option<Memory> {
    let bytes = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    };
    let total = bytes("MemTotal")?;
    Some(Memory { total, used: bytes("MemAvailable").map(|free| total.saturating_sub(free)) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn guest_time_is_not_counted_twice_and_stolen_time_is_busy() {
        let text = "cpu  100 0 20 70 5 1 2 2 90 10\ncpu0 1 2 3 4\n";
        assert_eq!(parse_stat(text), Some(CpuTicks { busy: 125, total: 200 }));
    }

    #[test]
    fn time_in_use_holds_neither_waiting_nor_stolen_time() {
        assert_eq!(parse_busy("cpu  100 1 20 70 5 2 3 50 90 10\n"), Some(126));
        assert_eq!(parse_busy("cpu  100 1\n"), None);
    }

    #[test]
    fn sockets_and_threads_are_counted() {
        let text = "processor\t: 0\nmodel name\t: AMD EPYC 7763 64-Core Processor\nphysical id\t: 0\n\n\
                    processor\t: 1\nmodel name\t: AMD EPYC 7763 64-Core Processor\nphysical id\t: 1\n";
        let info = parse_cpuinfo(text);
        assert_eq!((info.sockets, info.threads), (2, 2));
        assert_eq!(info.model.as_deref(), Some("AMD EPYC 7763 64-Core Processor"));
    }

    #[test]
    fn memory_in_use_is_total_less_available() {
        let text = "MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    400 kB\n";
        assert_eq!(parse_meminfo(text), Some(Memory { total: 1_024_000, used: Some(614_400) }));
    }

    #[test]
    fn a_file_that_is_kept_open_is_read_from_its_beginning_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stat");
        fs::write(&path, "cpu  1 2 3 4\n").unwrap();
        let file = File::open(&path).unwrap();
        let first = beginning(&file, Vec::new()).unwrap();
        assert_eq!(first, b"cpu  1 2 3 4\n");
        fs::write(&path, "cpu  5 6\n").unwrap();
        assert_eq!(beginning(&file, first).unwrap(), b"cpu  5 6\n");
    }

    #[test]
    fn the_running_kernel_tells_the_same_through_an_open_file_and_a_new_one() {
        let Ok(text) = read(KERNEL, "meminfo") else { return };
        let total = parse_meminfo(&text).unwrap().total;
        assert!((0..3).all(|_| memory(KERNEL).unwrap().total == total));
        let before = parse_busy(&read(KERNEL, "stat").unwrap()).unwrap();
        let between = with(KERNEL, &STAT, parse_busy).unwrap().unwrap();
        assert!(between >= before, "{between} after {before}");
    }

    proptest! {
        #[test]
        fn load_is_a_share_whatever_the_ticks_do(
            a in (0_u64..1 << 40, 0_u64..1 << 40), b in (0_u64..1 << 40, 0_u64..1 << 40)
        ) {
            let ticks = |(busy, idle): (u64, u64)| CpuTicks { busy, total: busy + idle };
            if let Some(load) = ticks(b).load_since(ticks(a)) {
                prop_assert!((0.0..=1.0).contains(&load));
            }
        }

        #[test]
        fn no_text_panics_the_parsers(text in "(?s).{0,200}") {
            let _ = (parse_stat(&text), parse_cpuinfo(&text), parse_meminfo(&text));
        }
    }
}
