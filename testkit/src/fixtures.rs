//! Trees of `/sys` and `/proc`, and an NVML library, for machines that have other hardware.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A folder that stands in for `/sys` and `/proc` both.
pub struct Machine {
    root: TempDir,
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine {
    /// Without powercap, idle, nameless processor, 16 GiB.
    #[must_use]
    pub fn new() -> Self {
        let machine = Self { root: TempDir::new().expect("a temporary folder") };
        machine.cpu("Nameless", 1, 4);
        machine.ticks(0, 0);
        machine.memory_gib(16.0, 12.0);
        machine
    }

    /// The path that serves as `metrics.sysfs_root` and `metrics.procfs_root`.
    #[must_use]
    pub fn root(&self) -> String {
        self.root.path().display().to_string()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder above")).expect("folder made");
        fs::write(path, text).expect("file written");
    }

    /// Writes `/proc/cpuinfo`.
    pub fn cpu(&self, model: &str, sockets: usize, threads: usize) {
        let mut text = String::new();
        for thread in 0..threads {
            let socket = thread * sockets / threads;
            write!(
                text,
                "processor\t: {thread}\nmodel name\t: {model}\nphysical id\t: {socket}\n\n"
            )
            .expect("a String takes it");
        }
        self.write("cpuinfo", &text);
    }

    /// Writes `/proc/stat` with so many ticks in use and idle since boot.
    pub fn ticks(&self, busy: u64, idle: u64) {
        self.write("stat", &format!("cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 0 0 0 0\nbtime 1\n"));
    }

    /// Writes `/proc/meminfo`.
    pub fn memory_gib(&self, total: f64, available: f64) {
        let kib = |gib: f64| format!("{:.0}", gib * 1024.0 * 1024.0);
        self.write(
            "meminfo",
            &format!(
                "MemTotal: {} kB\nMemFree: 1 kB\nMemAvailable: {} kB\n",
                kib(total),
                kib(available)
            ),
        );
    }

    /// Writes a powercap zone: folder name, zone name, counter and its range in microjoules.
    pub fn zone(&self, folder: &str, name: &str, energy_uj: u64, range_uj: u64) {
        let folder = format!("class/powercap/{folder}");
        self.write(&format!("{folder}/name"), &format!("{name}\n"));
        self.write(&format!("{folder}/max_energy_range_uj"), &format!("{range_uj}\n"));
        self.write(&format!("{folder}/energy_uj"), &format!("{energy_uj}\n"));
    }

    /// Writes files of a hwmon chip; those that are there already change in place.
    pub fn hwmon(&self, index: usize, name: &str, files: &[(&str, &str)]) {
        let folder = format!("class/hwmon/hwmon{index}");
        self.write(&format!("{folder}/name"), &format!("{name}\n"));
        for (file, text) in files {
            self.write(&format!("{folder}/{file}"), &format!("{text}\n"));
        }
    }

    /// Changes a zone's counter in place, as the kernel does.
    pub fn energy(&self, folder: &str, energy_uj: u64) {
        self.write(&format!("class/powercap/{folder}/energy_uj"), &format!("{energy_uj}\n"));
    }

    /// The counter file of a zone.
    #[must_use]
    pub fn counter(&self, folder: &str) -> PathBuf {
        self.root.path().join("class/powercap").join(folder).join("energy_uj")
    }

    /// Two Intel server sockets with cores and DRAM.
    #[must_use]
    pub fn dual_socket_with_dram() -> Self {
        const RANGE: u64 = 262_143_328_850;
        let machine = Self::new();
        machine.write("class/powercap/intel-rapl/enabled", "1\n");
        for (socket, energy) in [(0, 100_000_000), (1, 200_000_000)] {
            let zone = format!("intel-rapl:{socket}");
            machine.zone(&zone, &format!("package-{socket}"), energy, RANGE);
            machine.zone(&format!("{zone}:0"), "core", energy / 2, RANGE);
            machine.zone(&format!("{zone}:1"), "dram", energy / 10, 65_712_999_613);
        }
        machine
    }

    /// An Intel laptop: psys beside the package, and the package a second time through MMIO.
    #[must_use]
    pub fn laptop_with_psys_and_mmio() -> Self {
        const RANGE: u64 = 262_143_328_850;
        let machine = Self::new();
        machine.zone("intel-rapl:0", "package-0", 50_000_000, RANGE);
        machine.zone("intel-rapl:0:0", "core", 30_000_000, RANGE);
        machine.zone("intel-rapl:0:1", "uncore", 1_000_000, RANGE);
        machine.zone("intel-rapl:1", "psys", 90_000_000, RANGE);
        machine.zone("intel-rapl-mmio:0", "package-0", 50_000_000, RANGE);
        machine
    }

    /// One AMD socket: a package and its cores, no DRAM.
    #[must_use]
    pub fn amd_package_only() -> Self {
        let machine = Self::new();
        machine.zone("intel-rapl:0", "package-0", 7_000_000, 65_532_610_987);
        machine.zone("intel-rapl:0:0", "core", 3_000_000, 65_532_610_987);
        machine
    }
}

/// What a stand-in for NVML offers.
#[derive(Debug, Clone, Copy, Default)]
pub struct FakeNvml {
    /// The second GPU is of another model.
    pub unlike: bool,
    /// No energy counter.
    pub no_counter: bool,
    /// No instantaneous power field.
    pub no_instant: bool,
    /// The first GPU is divided into slices.
    pub sliced: bool,
}

impl FakeNvml {
    /// UUIDs of its two GPUs.
    pub const UUIDS: [&str; 2] =
        ["GPU-4f1ca111-0000-0000-0000-000000000000", "GPU-4f2cb222-0000-0000-0000-000000000000"];
    /// Processes that compute on each.
    pub const PIDS: [&[u32]; 2] = [&[4242, 4343], &[]];

    /// Compiles it with the C compiler (`cc`) into a folder and returns the library's path.
    ///
    /// # Panics
    /// Without a working C compiler.
    #[must_use]
    pub fn build(self, folder: &Path) -> String {
        let source = folder.join("nvml.c");
        let library = folder.join("libfake-nvml.so");
        fs::write(&source, NVML_SOURCE).expect("source written");
        let flags = [
            (self.unlike, "-DUNLIKE"),
            (self.no_counter, "-DNO_COUNTER"),
            (self.no_instant, "-DNO_INSTANT"),
            (self.sliced, "-DSLICED"),
        ];
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .args(flags.iter().filter(|(on, _)| *on).map(|(_, flag)| flag))
            .status()
            .expect("a C compiler named cc");
        assert!(status.success(), "the stand-in for NVML does not compile");
        library.display().to_string()
    }
}

/// Two GPUs; the counter gains 5 J a read, power is 250 W now and 240 W on average.
const NVML_SOURCE: &str = r#"
#include <string.h>
typedef int ret; typedef unsigned int u32; typedef unsigned long long u64; typedef void *dev;
enum { OK = 0, INVALID = 2, UNSUPPORTED = 3, TOO_SMALL = 7 };
struct field { u32 id, scope; long long timestamp, latency; u32 type; ret ret; union { double d; u32 u; u64 l; } value; };
struct utilization { u32 gpu, memory; };
struct memory { u32 version; u64 total, reserved, free, used; };
struct process { u32 pid; u64 used; u32 gpu_instance, compute_instance; };
static const char *uuids[] = {"GPU-4f1ca111-0000-0000-0000-000000000000", "GPU-4f2cb222-0000-0000-0000-000000000000"};
static u64 energy[] = {1000000, 2000000};
static int at(dev device) { return (int)(long)device - 1; }
ret nvmlInit_v2(void) { return OK; }
ret nvmlShutdown(void) { return OK; }
ret nvmlSystemGetDriverVersion(char *text, u32 length) { strncpy(text, "580.159.04", length); return OK; }
ret nvmlDeviceGetCount_v2(u32 *count) { *count = 2; return OK; }
ret nvmlDeviceGetHandleByIndex_v2(u32 index, dev *device) {
  if (index > 1) return INVALID;
  *device = (dev)(long)(index + 1); return OK;
}
ret nvmlDeviceGetHandleByUUID(const char *uuid, dev *device) {
  for (long i = 0; i < 2; i++) if (!strcmp(uuid, uuids[i])) { *device = (dev)(i + 1); return OK; }
  return INVALID;
}
ret nvmlDeviceGetUUID(dev device, char *text, u32 length) { strncpy(text, uuids[at(device)], length); return OK; }
ret nvmlDeviceGetName(dev device, char *text, u32 length) {
#ifdef UNLIKE
  if (at(device) == 1) { strncpy(text, "NVIDIA L4", length); return OK; }
#endif
  strncpy(text, "NVIDIA H100 80GB HBM3", length); return OK;
}
ret nvmlDeviceGetArchitecture(dev device, u32 *architecture) { *architecture = 9; return OK; }
ret nvmlDeviceGetTotalEnergyConsumption(dev device, u64 *mj) {
#ifdef NO_COUNTER
  return UNSUPPORTED;
#endif
  *mj = (energy[at(device)] += 5000); return OK;
}
ret nvmlDeviceGetFieldValues(dev device, int count, struct field *fields) {
  for (int i = 0; i < count; i++) {
    fields[i].type = 1; fields[i].ret = OK; fields[i].value.l = 0; fields[i].value.u = 250000;
    if (fields[i].id != 186 || fields[i].scope != 0) fields[i].ret = INVALID;
#ifdef NO_INSTANT
    fields[i].ret = UNSUPPORTED;
#endif
  }
  return OK;
}
ret nvmlDeviceGetPowerUsage(dev device, u32 *mw) { *mw = 240000; return OK; }
ret nvmlDeviceGetTemperature(dev device, u32 sensor, u32 *celsius) { *celsius = 55; return OK; }
ret nvmlDeviceGetClockInfo(dev device, u32 type, u32 *mhz) { *mhz = type == 1 ? 1755 : 0; return OK; }
ret nvmlDeviceGetUtilizationRates(dev device, struct utilization *rates) { rates->gpu = 75; rates->memory = 10; return OK; }
ret nvmlDeviceGetMemoryInfo_v2(dev device, struct memory *info) {
  info->total = 80ULL << 30; info->used = 20ULL << 30; info->free = 60ULL << 30; info->reserved = 0; return OK;
}
ret nvmlDeviceGetEnforcedPowerLimit(dev device, u32 *mw) { *mw = 700000; return OK; }
ret nvmlDeviceGetCurrentClocksThrottleReasons(dev device, u64 *reasons) { *reasons = at(device) == 0 ? 4 : 1; return OK; }
ret nvmlDeviceGetMigMode(dev device, u32 *current, u32 *pending) {
#ifdef SLICED
  *current = *pending = at(device) == 0; return OK;
#endif
  return UNSUPPORTED;
}
ret nvmlDeviceGetComputeRunningProcesses_v3(dev device, u32 *count, struct process *processes) {
  u32 running = at(device) == 0 ? 2 : 0;
  if (*count < running || (running && !processes)) { *count = running; return TOO_SMALL; }
  if (running) { memset(processes, 0, 2 * sizeof *processes); processes[0].pid = 4242; processes[1].pid = 4343; }
  *count = running; return OK;
}
"#;
