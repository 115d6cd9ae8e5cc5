"""Records what a GPU's sensors show around known work: PREFIX_trace.csv and PREFIX_marks.json.

    gpu_record.py bursts   --out PREFIX [--kernel K] [--lengths 0.25,0.5] [--power-ms 10] [--counter-ms 19] [--rest 0.3]
    gpu_record.py periodic --out PREFIX [--periods 97,100,103] [--runs 8]

Needs PyTorch and the NVIDIA driver. `bursts` repeats bursts of one kernel, series by series, with rests between them;
`periodic` has 25 ms of work in every period. A process of its own reads the sensors (NVML by ctypes) on
CLOCK_MONOTONIC, on which the marks are too. `ai-energy-benchmark windows` reads both files.
"""

import argparse
import ctypes
import json
import multiprocessing
import random
import time

POWER_INSTANT = 186
NOW = time.monotonic_ns


class Field(ctypes.Structure):
    _fields_ = [
        ("id", ctypes.c_uint), ("scope", ctypes.c_uint), ("timestamp", ctypes.c_longlong),
        ("latency_us", ctypes.c_longlong), ("type", ctypes.c_uint), ("code", ctypes.c_uint),
        ("value", ctypes.c_ulonglong),
    ]


class Gpu:
    """The sensors of the first GPU."""

    def __init__(self):
        self.nvml = ctypes.CDLL("libnvidia-ml.so.1")
        self.call("nvmlInit_v2")
        self.handle = ctypes.c_void_p()
        self.call("nvmlDeviceGetHandleByIndex_v2", 0, ctypes.byref(self.handle))

    def call(self, name, *arguments):
        code = getattr(self.nvml, name)(*arguments)
        if code != 0:
            raise RuntimeError(f"{name} answered {code}")

    def energy(self):
        value = ctypes.c_ulonglong()
        self.call("nvmlDeviceGetTotalEnergyConsumption", self.handle, ctypes.byref(value))
        return value.value

    def usage(self):
        value = ctypes.c_uint()
        self.call("nvmlDeviceGetPowerUsage", self.handle, ctypes.byref(value))
        return value.value

    def instant(self):
        field = Field(id=POWER_INSTANT)
        self.call("nvmlDeviceGetFieldValues", self.handle, 1, ctypes.byref(field))
        return field.value & 0xFFFFFFFF if field.code == 0 else ""

    def text(self, name, *more):
        buffer = ctypes.create_string_buffer(96)
        self.call(name, *more, buffer, 96)
        return buffer.value.decode()


def sample(path, power_ns, counter_ns, stop):
    gpu = Gpu()
    lines = ["t_before_ns,t_after_ns,power_instant_mw,power_usage_mw,total_energy_mj,t_energy_ns"]
    next_power = next_counter = NOW()
    while not stop.is_set():
        before = NOW()
        instant, usage = gpu.instant(), gpu.usage()
        after = NOW()
        energy, read = "", ""
        if after >= next_counter:
            energy, read = gpu.energy(), NOW()
            next_counter = max(next_counter + counter_ns, read - counter_ns)
        lines.append(f"{before},{after},{instant},{usage},{energy},{read}")
        next_power = max(next_power + power_ns, NOW() - power_ns)
        time.sleep(max(next_power - NOW(), 0) / 1e9)
    with open(path, "w") as file:
        file.write("\n".join(lines) + "\n")


class Marks:
    def __init__(self, gpu, **header):
        self.gpu = gpu
        self.header = {"gpu": gpu.text("nvmlDeviceGetName", gpu.handle),
                       "driver": gpu.text("nvmlSystemGetDriverVersion"), **header}
        self.marks = []

    def add(self, name, **more):
        at = NOW()
        self.marks.append({"t": at, "name": name, "energy": self.gpu.energy(), "t_after": NOW(), **more})

    def write(self, path):
        with open(path, "w") as file:
            json.dump({**self.header, "marks": self.marks}, file)
            file.write("\n")


def kernel(name):
    """A function that queues one piece of work of some milliseconds at most, and how many to queue at once."""
    import torch

    def matmul(size, dtype):
        a, b = (torch.randn(size, size, device="cuda", dtype=dtype) for _ in range(2))
        out = torch.empty_like(a)
        return lambda: torch.mm(a, b, out=out)

    if name.startswith("bf16_"):
        size = int(name.removeprefix("bf16_"))
        return matmul(size, torch.bfloat16), max(1, 10 * 8192**3 // size**3)
    if name.startswith("fp32_"):
        torch.backends.cuda.matmul.allow_tf32 = False
        return matmul(int(name.removeprefix("fp32_")), torch.float32), 4
    if name == "copy":
        a = torch.randn(1 << 28, device="cuda")
        out = torch.empty_like(a)
        return lambda: torch.add(a, 1.0, out=out), 15
    if name == "gemv":
        a = torch.randn(16384, 16384, device="cuda", dtype=torch.bfloat16)
        x = torch.randn(16384, 1, device="cuda", dtype=torch.bfloat16)
        return lambda: torch.mm(a, x), 60
    if name == "light":
        a = torch.randn(1 << 14, device="cuda")
        return lambda: a.sin_(), 2000
    raise SystemExit(f"no kernel {name}")


def work(one, batch, seconds):
    import torch

    end, done = NOW() + seconds * 1e9, 0
    while NOW() < end:
        for _ in range(batch):
            one()
        torch.cuda.synchronize()
        done += batch
    return done


def bursts(arguments, marks):
    one, batch = kernel(arguments.kernel)
    work(one, batch, 1.0)
    time.sleep(1.0)
    marks.add("idle_begin")
    time.sleep(arguments.idle)
    marks.add("idle_end")
    for text in arguments.lengths.split(","):
        length, _, reps = text.partition("x")
        length, reps = float(length), int(reps or 8)
        marks.add("series_begin", dur=length, reps=reps)
        for i in range(reps):
            marks.add("burst_begin", dur=length, i=i)
            done = work(one, batch, length)
            marks.add("burst_end", dur=length, i=i, matmuls=done)
            time.sleep(arguments.rest * random.uniform(0.85, 1.3))
        marks.add("series_end", dur=length, reps=reps)


def periodic(arguments, marks):
    one, _ = kernel("bf16_4096")
    work(one, 10, 1.0)
    on = time.monotonic
    for period in (float(text) / 1e3 for text in arguments.periods.split(",")):
        for i in range(arguments.runs):
            time.sleep(0.4 + random.random() * 0.2)
            begin, cycles, done = on(), round(arguments.seconds / period), 0
            marks.add("series_begin", period=period, i=i)
            begin = on()
            for cycle in range(cycles):
                time.sleep(max(begin + cycle * period - on(), 0))
                marks.marks.append({"t": NOW(), "name": "on"})
                done += work(one, 4, arguments.on)
                marks.marks.append({"t": NOW(), "name": "off"})
            time.sleep(max(begin + cycles * period - on(), 0))
            marks.add("series_end", period=period, i=i, matmuls=done)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["bursts", "periodic"])
    parser.add_argument("--out", required=True)
    parser.add_argument("--kernel", default="bf16_8192")
    parser.add_argument("--lengths", default="0.1x16,0.2x14,0.25x12,0.35x10,0.5x8,0.75x6,1x5,3x3")
    parser.add_argument("--rest", type=float, default=0.3)
    parser.add_argument("--idle", type=float, default=4.0)
    parser.add_argument("--periods", default="97,100,103")
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=3.2)
    parser.add_argument("--on", type=float, default=0.022)
    parser.add_argument("--power-ms", type=float, default=10.0)
    parser.add_argument("--counter-ms", type=float, default=19.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    stop = multiprocessing.Event()
    periods = (int(arguments.power_ms * 1e6), int(arguments.counter_ms * 1e6))
    reader = multiprocessing.Process(target=sample, args=(f"{arguments.out}_trace.csv", *periods, stop))
    reader.start()
    marks = Marks(Gpu(), kernel=arguments.kernel, what=arguments.what)
    {"bursts": bursts, "periodic": periodic}[arguments.what](arguments, marks)
    time.sleep(1.0)
    marks.add("end")
    stop.set()
    reader.join()
    marks.write(f"{arguments.out}_marks.json")


if __name__ == "__main__":
    main()
