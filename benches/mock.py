#!/usr/bin/env python3
"""How fast the mock server is, and how exactly it keeps its schedule.

    benches/mock.py [--server-cpu 0] [--client-cpu 1] [--spin 50]

Builds nothing: `cargo build --release -p ai-energy-benchmarks-mockserver --features cli --examples` first. The server runs on
one processor and a reader that only looks for newlines on another. Each line of the table is one run: events a second that
passed, processor time of either side for each event, and how far the server's sends were behind schedule, as it tells itself.
Where the processors are shared with other work, the processor times still hold and the rates do not; the load is printed.
"""

import argparse
import json
import os
import pathlib
import signal
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "examples"
TICKS = os.sysconf("SC_CLK_TCK")

# name, streams, requests, options of the server, body of each request
RUNS = [
    ("free, a write each", 256, 2_000, ["--ttft-ms", "0", "--gap-ms", "0", "--tokens", "512"], {}),
    ("free, 16 in a write", 256, 8_000, ["--ttft-ms", "0", "--gap-ms", "0", "--tokens", "512", "--coalesce", "16"], {}),
    ("paced, 512 streams", 512, 2_048, ["--ttft-ms", "100", "--gap-ms", "20", "--tokens", "128"], {}),
    ("paced, 1,024 streams", 1_024, 4_096, ["--ttft-ms", "100", "--gap-ms", "20", "--tokens", "128"], {}),
    ("paced, 4,096 streams", 4_096, 4_096, ["--ttft-ms", "100", "--gap-ms", "100", "--tokens", "64"], {}),
]


def processor_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) / TICKS, int(fields[12]) / TICKS)


def resident_mb(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def run(name, streams, requests, options, body, cpus, spin):
    server = subprocess.Popen(
        ["taskset", "-c", str(cpus[0]), TARGET / "mock", "--port", "0", *options, *spin],
        stdout=subprocess.PIPE, text=True)
    address = server.stdout.readline().strip().removeprefix("http://")
    body = {"messages": [{"role": "user", "content": "x"}], "stream": True, **body}
    try:
        before = processor_seconds(server.pid)
        told = subprocess.run(
            ["taskset", "-c", str(cpus[1]), TARGET / "reader", address, str(streams), str(requests), json.dumps(body)],
            stdout=subprocess.PIPE, text=True, check=True)
        user, system = (after - start for after, start in zip(processor_seconds(server.pid), before))
        memory = resident_mb(server.pid)
    finally:
        server.send_signal(signal.SIGTERM)
        counted = json.loads(server.communicate()[0])
    reader, events, lag = json.loads(told.stdout), counted["events"], counted["lag"]
    row = {
        "run": name,
        "events": events,
        "events_per_s": events / reader["wall_s"],
        "events_per_server_cpu_s": events / (user + system),
        "server_user_us": user / events * 1e6,
        "server_us": (user + system) / events * 1e6,
        "reader_us": reader["cpu_s"] / events * 1e6,
        "reads_per_event": reader["reads"] / events,
        "ttft_ms_p50": reader["ttft_ms_p50"],
        "e2e_ms_p50": reader["e2e_ms_p50"],
        "lag_us": [lag["mean_us"], lag["p50_us"], lag["p99_us"]],
        "blocked_writes": counted["blocked_writes"],
        "server_mb": memory,
    }
    print(json.dumps({key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}), flush=True)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--client-cpu", type=int, default=1)
    parser.add_argument("--spin", type=int, default=0, help="microseconds, as the server's --spin")
    parser.add_argument("--only", help="runs whose name holds this")
    arguments = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors", flush=True)
    rows = [
        run(*what, (arguments.server_cpu, arguments.client_cpu), ["--spin", str(arguments.spin)])
        for what in RUNS if not arguments.only or arguments.only in what[0]
    ]
    print(f"\n{'run':22} {'events/s':>10} {'/server CPU s':>14} {'server us':>10} {'reader us':>10} {'lag us mean/p50/p99':>24}")
    for row in rows:
        lag = "/".join("-" if value is None else f"{value:.0f}" for value in row["lag_us"])
        print(f"{row['run']:22} {row['events_per_s']:10.0f} {row['events_per_server_cpu_s']:14.0f} "
              f"{row['server_us']:10.2f} {row['reader_us']:10.2f} {lag:>24}")


if __name__ == "__main__":
    main()
