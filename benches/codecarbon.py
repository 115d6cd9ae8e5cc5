#!/usr/bin/env python3
"""What metering costs: this program and real CodeCarbon, on the same machine, in the same run.

    scripts/peer install codecarbon
    cargo build --release -p ai-energy-benchmark-cli
    python3 benches/codecarbon.py [--starts 7] [--idle-s 40] [--program PATH] [--python PATH]

Meant for a machine without a GPU (with one, opening the driver is most of the start of both). Printed:

start   from just before the process is started to the first reading (ours: the stamp of the first sample of the
        records; CodeCarbon: tracker.start() has returned), median of --starts, in turn
memory  resident set after the first three seconds of metering, and the most so far
idle    processor time while nothing is measured but a sleeping command, over --idle-s seconds after the first three:
        ours with a reading every 0.1 s, CodeCarbon with one every second (measure_power_secs=1)

and the ratio of each. Exit 1 when a target is missed: start 20 ms, memory 10 MB, processor time no more than CodeCarbon's.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent

TRACKER = """
import sys, time
from codecarbon import OfflineEmissionsTracker
tracker = OfflineEmissionsTracker(country_iso_code="USA", measure_power_secs=1, log_level="critical", output_dir=sys.argv[2])
tracker.start()
print(time.clock_gettime_ns(time.CLOCK_MONOTONIC), flush=True)
time.sleep(float(sys.argv[1]))
tracker.stop()
"""


def now():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def ours(program, folder, seconds, period):
    return [program, "measure", "-q", "--sample-period", str(period), "--output-dir", folder, "--", "sleep", str(seconds)]


def first_sample(folder):
    (samples,) = pathlib.Path(folder).glob("*/*/*/samples.jsonl")
    with samples.open() as lines:
        return min(json.loads(line)["b"] for line in lines)


def start_of_ours(program):
    with tempfile.TemporaryDirectory() as folder:
        began = now()
        subprocess.run(ours(program, folder, 0.3, 1), check=True)
        return (first_sample(folder) - began) / 1e6


def start_of_codecarbon(python):
    with tempfile.TemporaryDirectory() as folder:
        began = now()
        run = subprocess.run([python, "-c", TRACKER, "0.3", folder], check=True, capture_output=True, text=True)
        return (int(run.stdout.split()[0]) - began) / 1e6


def memory(pid):
    fields = {}
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key in ("VmRSS", "VmHWM", "RssAnon", "RssFile"):
            fields[key] = int(value.split()[0]) / 1000
    return fields


def processor_seconds(pid):
    """Of the process with the threads that ended, by its own clock (the number is clock_getcpuclockid's)."""
    return time.clock_gettime((~pid << 3) | 2)


def watch(command, idle_s, tells=False):
    """Memory three seconds after the start (which CodeCarbon tells), and the share of a processor after that."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE if tells else subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if tells:
        process.stdout.readline()
    time.sleep(3)
    resident = memory(process.pid)
    before, began = processor_seconds(process.pid), time.monotonic()
    time.sleep(idle_s)
    used = processor_seconds(process.pid) - before
    share = used / (time.monotonic() - began)
    resident["VmHWM"] = memory(process.pid)["VmHWM"]
    process.wait()
    return resident, share


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=7)
    parser.add_argument("--idle-s", type=float, default=40.0)
    parser.add_argument("--program", default=str(ROOT / "target/release/ai-energy-benchmark"))
    parser.add_argument("--python")
    arguments = parser.parse_args()
    python = arguments.python
    if python is None:
        where = subprocess.run([ROOT / "scripts/peer", "where", "codecarbon"], capture_output=True, text=True)
        if where.returncode != 0:
            sys.exit("codecarbon is not here: scripts/peer install codecarbon")
        python = where.stdout.strip()
    version = subprocess.run(
        [python, "-c", "import importlib.metadata as m; print(m.version('codecarbon'))"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()
    print(f"CodeCarbon {version}")

    mine, theirs = [], []
    for _ in range(arguments.starts):
        mine.append(start_of_ours(arguments.program))
        theirs.append(start_of_codecarbon(python))
    starts = statistics.median(mine), statistics.median(theirs)
    length = arguments.idle_s + 4
    with tempfile.TemporaryDirectory() as folder:
        resident, share = watch(ours(arguments.program, folder, length, 0.1), arguments.idle_s)
        resident_theirs, share_theirs = watch([python, "-c", TRACKER, str(length), folder], arguments.idle_s, True)

    print(f"{'':28}{'ours':>12}{'CodeCarbon':>12}{'ratio':>9}")
    rows = [
        ("start to first reading, ms", *starts),
        ("resident memory, MB", resident["VmRSS"], resident_theirs["VmRSS"]),
        ("most resident memory, MB", resident["VmHWM"], resident_theirs["VmHWM"]),
        ("  of it without files, MB", resident["RssAnon"], resident_theirs["RssAnon"]),
        ("processor idle, % of one", 100 * share, 100 * share_theirs),
    ]
    for name, one, other in rows:
        print(f"{name:28}{one:12.3f}{other:12.3f}{other / one:9.1f}")
    missed = [
        text
        for text, good in [
            ("start above 20 ms", starts[0] <= 20),
            ("more than 10 MB", resident["VmHWM"] <= 10),
            ("more processor time than CodeCarbon", share <= share_theirs),
        ]
        if not good
    ]
    for text in missed:
        print(f"missed: {text}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
