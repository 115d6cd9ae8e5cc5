"""A GPU load that meters itself, and the comparison of a run's records with it.

    gpu_load.py load    --seconds N --out FILE      multiply matrices until N seconds have passed or SIGTERM comes
    gpu_load.py compare --load FILE --run FOLDER --uuid UUID

`load` needs PyTorch. It reads the GPU's energy counter (NVML, by ctypes) every 50 ms on CLOCK_MONOTONIC, the clock of
the run's records, so that `compare` can put both on one axis: over the time that both cover, the energies have to
agree, since they are readings of one counter.
"""

import argparse
import ctypes
import json
import pathlib
import signal
import sys
import threading
import time

# Two readers of a counter that is renewed about every 100 ms differ by at most one renewal at each end: over the
# seconds asked for here that is under this share.
TOLERANCE = 0.01
SHORTEST = 20.0


class Counter:
    """The energy counter of one GPU, in millijoules."""

    def __init__(self, uuid):
        self.nvml = ctypes.CDLL("libnvidia-ml.so.1")
        self._call("nvmlInit_v2")
        self.handle = ctypes.c_void_p()
        self._call("nvmlDeviceGetHandleByUUID", uuid.encode(), ctypes.byref(self.handle))

    def _call(self, name, *arguments):
        code = getattr(self.nvml, name)(*arguments)
        if code != 0:
            raise RuntimeError(f"{name} answered {code}")

    def read(self):
        value = ctypes.c_ulonglong()
        self._call("nvmlDeviceGetTotalEnergyConsumption", self.handle, ctypes.byref(value))
        return value.value


def load(seconds, out):
    import torch

    if not torch.cuda.is_available():
        sys.exit("PyTorch sees no GPU")
    uuid = "GPU-" + str(torch.cuda.get_device_properties(0).uuid).removeprefix("GPU-")
    counter = Counter(uuid)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    readings = []

    def sample():
        while not stop.is_set():
            before = time.monotonic_ns()
            value = counter.read()
            readings.append(((before + time.monotonic_ns()) // 2, value))
            time.sleep(0.05)

    left = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    right = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    (left @ right).sum().item()
    sampler = threading.Thread(target=sample)
    sampler.start()
    pathlib.Path(out + ".ready").write_text(uuid, encoding="utf-8")
    until = time.monotonic() + seconds
    products = 0
    while not stop.is_set() and time.monotonic() < until:
        for _ in range(50):
            left @ right
            products += 1
        torch.cuda.synchronize()
    stop.set()
    sampler.join()
    result = {"uuid": uuid, "products": products, "readings": readings}
    pathlib.Path(out).write_text(json.dumps(result), encoding="utf-8")


def counter_samples(run, uuid):
    """Stamps (middle of the read) and joules of the run's energy counter of one GPU."""
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    wanted = [
        position
        for position, sensor in enumerate(manifest["sensors"])
        if sensor["quantity"] == "energy_counter" and (sensor["device"] or {}).get("uuid") == uuid
    ]
    if len(wanted) != 1:
        sys.exit(f"the run has {len(wanted)} energy counters of {uuid}, not one")
    samples = []
    with open(run / "samples.jsonl", encoding="utf-8") as lines:
        for line in lines:
            sample = json.loads(line)
            if sample["s"] == wanted[0] and sample["v"] is not None:
                samples.append(((sample["a"] + sample["b"]) // 2, sample["v"]))
    return samples


def interpolate(readings, at):
    for (t0, v0), (t1, v1) in zip(readings, readings[1:]):
        if t0 <= at <= t1:
            return v0 + (v1 - v0) * (at - t0) / (t1 - t0)
    raise ValueError("outside the load's readings")


def compare(load_file, run, uuid):
    readings = json.loads(pathlib.Path(load_file).read_text(encoding="utf-8"))["readings"]
    first, last = readings[0][0], readings[-1][0]
    common = [sample for sample in counter_samples(pathlib.Path(run), uuid) if first <= sample[0] <= last]
    if len(common) < 2:
        sys.exit(f"only {len(common)} samples of the run lie within the load's time")
    seconds = (common[-1][0] - common[0][0]) / 1e9
    if seconds < SHORTEST:
        sys.exit(f"only {seconds:.1f} s in common, {SHORTEST:.0f} s are needed")
    of_run = common[-1][1] - common[0][1]
    of_load = (interpolate(readings, common[-1][0]) - interpolate(readings, common[0][0])) / 1000
    difference = abs(of_run - of_load) / of_load
    print(
        f"{seconds:.1f} s, {len(common)} samples: run {of_run:.1f} J, load {of_load:.1f} J "
        f"({of_load / seconds:.0f} W), difference {difference:.3%}"
    )
    if difference > TOLERANCE:
        sys.exit(f"they differ by more than {TOLERANCE:.0%}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    loading = commands.add_parser("load")
    loading.add_argument("--seconds", type=float, required=True)
    loading.add_argument("--out", required=True)
    comparing = commands.add_parser("compare")
    comparing.add_argument("--load", required=True)
    comparing.add_argument("--run", required=True)
    comparing.add_argument("--uuid", required=True)
    arguments = parser.parse_args()
    if arguments.command == "load":
        load(arguments.seconds, arguments.out)
    else:
        compare(arguments.load, arguments.run, arguments.uuid)


if __name__ == "__main__":
    main()
