#!/usr/bin/env python3
"""What the client costs, beside other clients of the same server, in one run.

    cargo build --release -p ai-energy-benchmark-cli
    cargo build --release -p ai-energy-benchmarks-mockserver --features cli --example mock
    cargo build --release --manifest-path benches/client/peers/Cargo.toml
    python3 benches/client/bench.py [--streams 64,512,1024] [--clients ours,newlines,reqwest,vllm,aiperf] [--json FILE]
    python3 benches/client/bench.py --rate        events a second and core, apart and coalesced
    python3 benches/client/bench.py --memory      4,000 streams, and four times as many tokens in each
    python3 benches/client/bench.py --instructions  user instructions a token, by valgrind

Linux, two processors at least: the server is pinned to processor 0, the client with all its processes to processor 1. The server
answers with 128 one-token events, the first after 100 ms, then one every 20 ms. Each client sends 4 requests a stream, and one
request alone before, so that its start can be told apart: processor time a token is that of the first run less that of the second,
over the tokens between them. Errors of TTFT and gaps are against the server's own stamps of
what it sent (same monotonic clock), and against the nominal times. Every server is a fresh one, and tells its own lag.

vllm and aiperf: --vllm and --aiperf name their programs, --tokenizer a folder with a tokenizer for both.
"""

import argparse
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TOKENS = 128
TTFT_MS, GAP_MS = 100.0, 20.0
SERVER_CPU, CLIENT_CPU = "0", "1"


def percentile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, max(0, -int(-len(values) * q // 1) - 1))] if values else None


class Server:
    """A mock server of its own for each run."""

    def __init__(self, options, *extra, log=True):
        self.folder = tempfile.TemporaryDirectory()
        self.log = pathlib.Path(self.folder.name, "log.jsonl")
        command = ["taskset", "-c", SERVER_CPU, options.mock, "--port", "0", "--tokens", str(options.tokens), *extra]
        if log:
            command += ["--log", str(self.log)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()
        self.port = int(re.search(r":(\d+)", self.url.split("//")[1]).group(1))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=60)
        return json.loads(out)

    def truth(self):
        """What was sent when: median TTFT and 99th percentile of gaps, in ms, of streamed answers."""
        ttft, gaps = [], []
        for line in self.log.read_text().splitlines():
            one = json.loads(line)
            sent = one["sent_ns"]
            if not one["stream"] or len(sent) < 2:
                continue
            ttft.append((sent[0] - one["received_ns"]) / 1e6)
            gaps += [(later - earlier) / 1e6 for earlier, later in zip(sent, sent[1:])]
        return {"ttft_p50": percentile(ttft, 0.5), "gap_p50": percentile(gaps, 0.5), "gap_p99": percentile(gaps, 0.99)}


def run(command, env=None, folder=None, cpu=CLIENT_CPU):
    """Runs a client; its processor time (its children's included), memory and output."""
    with tempfile.TemporaryFile("w+") as out:
        began = time.monotonic()
        process = subprocess.Popen(["taskset", "-c", cpu, *command], stdout=out, stderr=subprocess.STDOUT, env=env, cwd=folder)
        _, status, used = os.wait4(process.pid, 0)
        out.seek(0)
        text = out.read()
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 4):
        sys.exit(f"{command[0]} ended with {process.returncode}:\n{text[-3000:]}")
    return {"cpu_s": used.ru_utime + used.ru_stime, "user_s": used.ru_utime, "wall_s": time.monotonic() - began,
            "rss_mb": used.ru_maxrss / 1024, "exit": process.returncode, "text": text}


def prompts(folder, count):
    path = pathlib.Path(folder, "prompts.jsonl")
    path.write_text("".join(json.dumps({"text": f"Tell me number {at}."}) + "\n" for at in range(count)))
    return path


def ours(options, server, streams, requests, folder):
    config = {
        "name": "client", "output_dir": str(folder), "backend": {"type": "vllm", "endpoint": server.url, "model": "mock-model"},
        "scenario": {
            "dataset_name": str(prompts(folder, requests)), "num_samples": requests, "warmup_rounds": 0, "idle_s": 0,
            "load": {"type": "concurrency", "concurrency": streams}, "request_timeout_s": 600,
            "generate_kwargs": {"max_new_tokens": options.tokens, "min_new_tokens": options.tokens}},
        "metrics": {"type": "codecarbon", "enabled": False}}
    path = pathlib.Path(folder, "client.yaml")
    path.write_text(json.dumps(config))
    seen = run([options.program, "run", str(path), "--strict-client"], folder=folder)
    report = json.loads(next(pathlib.Path(folder).glob("client/*/*/report.json")).read_text())
    latency, client = report["latency"], report["client"]
    assert report["counts"]["succeeded"] == requests, report["counts"]
    figures = {name: client[name]["value"] for name in client if isinstance(client[name], dict)}
    return seen | {"ttft_p50": ms(latency["ttft"]["p50"]), "gap_p50": ms(latency["inter_chunk_latency"]["p50"]),
                   "gap_p99": ms(latency["inter_chunk_latency"]["p99"]), "rss_mb": figures["peak_memory"] / 2**20,
                   "rss_with_report_mb": seen["rss_mb"],
                   "client_limited": client["client_limited"], "own": figures, "because": client["because"]}


def ms(seconds):
    return None if seconds is None else 1e3 * seconds


def peer(name):
    def start(options, server, streams, requests, folder):
        program = pathlib.Path(options.peers, name)
        seen = run([str(program), str(server.port), str(streams), str(requests), str(options.tokens)])
        told = json.loads(seen["text"].splitlines()[-1])
        return seen | {key: told.get(f"{key}_ms") for key in ("ttft_p50", "gap_p50", "gap_p99")}
    return start


def offline(options):
    return os.environ | {"TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1",
                         "PATH": str(pathlib.Path(options.vllm).parent) + ":" + os.environ["PATH"]}


def vllm(options, server, streams, requests, folder):
    seen = run([options.vllm, "bench", "serve", "--backend", "openai-chat", "--base-url", server.url, "--endpoint",
                "/v1/chat/completions", "--model", "mock-model", "--tokenizer", options.tokenizer, "--dataset-name", "random",
                "--random-input-len", "16", "--random-output-len", str(options.tokens), "--ignore-eos", "--num-prompts", str(requests),
                "--max-concurrency", str(streams), "--percentile-metrics", "ttft,itl", "--metric-percentiles", "50,99",
                "--disable-tqdm", "--save-result", "--result-dir", str(folder), "--result-filename", "out.json"], env=offline(options))
    told = json.loads(pathlib.Path(folder, "out.json").read_text())
    assert told["completed"] == requests, told["completed"]
    return seen | {"ttft_p50": told["p50_ttft_ms"], "gap_p50": told["p50_itl_ms"], "gap_p99": told["p99_itl_ms"]}


def aiperf(options, server, streams, requests, folder):
    # It takes an absolute path for the name of a repository, and a relative one for a folder only where it may look around.
    tokenizer = pathlib.Path(options.tokenizer).resolve()
    env = {name: value for name, value in offline(options).items() if name not in ("TRANSFORMERS_OFFLINE", "HF_HUB_OFFLINE")}
    seen = run([options.aiperf, "profile", "-m", "mock-model", "-u", server.url, "--endpoint-type", "chat", "--streaming",
                "--tokenizer", f"{tokenizer.parent.name}/{tokenizer.name}", "--use-server-token-count", "--concurrency", str(streams), "--request-count",
                str(requests), "--synthetic-input-tokens-mean", "16", "--synthetic-input-tokens-stddev", "0", "--output-tokens-mean",
                str(options.tokens), "--output-tokens-stddev", "0", "--ui", "none", "--artifact-dir", str(folder)], env=env,
               folder=tokenizer.parent.parent)
    told = json.loads(next(pathlib.Path(folder).rglob("profile_export_aiperf.json")).read_text())
    get = lambda name, q: told.get(name, {}).get(q)
    return seen | {"ttft_p50": get("time_to_first_token", "p50"), "gap_p50": get("inter_chunk_latency", "p50"),
                   "gap_p99": get("inter_chunk_latency", "p99")}


CLIENTS = {"newlines": peer("newlines"), "ours": ours, "reqwest": peer("plain_reqwest"), "vllm": vllm, "aiperf": aiperf}


def once(options, name, streams, requests, *extra, log=True):
    server = Server(options, *extra, log=log)
    with tempfile.TemporaryDirectory() as folder:
        try:
            seen = CLIENTS[name](options, server, streams, requests, folder)
        finally:
            stats = server.stop()
    seen.pop("text", None)
    return seen | {"server": stats, "truth": server.truth() if log else None}


def compare(options):
    rows = []
    starts = {}
    for streams in options.streams:
        for name in options.clients:
            if name not in starts:
                starts[name] = once(options, name, 1, 1)["cpu_s"]
            requests = options.rounds * streams
            seen = once(options, name, streams, requests)
            tokens = requests * TOKENS
            truth = seen["truth"]
            row = {"client": name, "streams": streams, "load_average": os.getloadavg()[0], "start_cpu_s": starts[name]} | seen
            row["us_per_token"] = 1e6 * (seen["cpu_s"] - starts[name]) / (tokens - TOKENS)
            if seen.get("ttft_p50") is not None:
                row["ttft_error"] = seen["ttft_p50"] / truth["ttft_p50"] - 1
                row["ttft_error_nominal"] = seen["ttft_p50"] / TTFT_MS - 1
                row["gap_ratio"] = seen["gap_p99"] / truth["gap_p99"]
                row["gap_ratio_nominal"] = seen["gap_p99"] / GAP_MS
            rows.append(row)
            print(line(row), flush=True)
    return rows


def line(row):
    part = lambda key, form, factor=1: "-" if row.get(key) is None else form % (factor * row[key])
    return "%-9s %5d streams  %7.2f us/token  TTFT p50 %s (%s %% of sent)  gap p50 %s p99 %s (%s of sent)  %s MB  server lag p99 %s  limited %s  load %.1f" % (
        row["client"], row["streams"], row["us_per_token"], part("ttft_p50", "%.1f"), part("ttft_error", "%+.1f", 100),
        part("gap_p50", "%.2f"), part("gap_p99", "%.1f"), part("gap_ratio", "%.2f"), part("rss_mb", "%.0f"),
        row["server"].get("lag", {}).get("p99_us"), row.get("client_limited"), row["load_average"])


def ratios(rows):
    for streams in sorted({row["streams"] for row in rows}):
        cost = {row["client"]: row["us_per_token"] for row in rows if row["streams"] == streams}
        if "ours" in cost:
            told = ", ".join(f"{name} {cost[name] / cost['ours']:.2f}" for name in cost if name != "ours")
            print(f"processor time a token at {streams} streams, over ours: {told}")


def rate(options):
    """Events a second of processor time: of the client, and of the server to show which is the limit."""
    rows = []
    for what, streams, extra in [("apart", 512, ["--ttft-ms", "20", "--gap-ms", "1"]),
                                 ("coalesced by 32", 64, ["--ttft-ms", "20", "--gap-ms", "0.1", "--coalesce", "32"])]:
        options.tokens = 2048
        for name in [name for name in options.clients if name in ("ours", "newlines")]:
            start = once(options, name, 1, 1, *extra, log=False)["cpu_s"]
            seen = once(options, name, streams, streams, *extra, log=False)
            events = (streams - 1) * options.tokens
            row = {"what": what, "client": name, "events_per_cpu_s": events / (seen["cpu_s"] - start),
                   "events_per_s": events / seen["wall_s"]} | seen
            if name == "ours":
                row["loop_share"] = seen["own"]["loop_share_of_core"]
            rows.append(row)
            print(f"{what:16} {name:9} {row['events_per_cpu_s']:10.0f} events a second of processor time, "
                  f"{row['events_per_s']:10.0f} a second; loop {row.get('loop_share')}; limited {seen.get('client_limited')}", flush=True)
    return rows


def memory(options):
    rows = []
    for streams, tokens in [(256, 128), (256, 4096), (4000, 128)]:
        options.tokens = tokens
        gap = "20" if tokens == 128 else "2"
        seen = once(options, "ours", streams, streams, "--gap-ms", gap, log=False)
        rows.append({"streams": streams, "tokens": tokens} | seen)
        print(f"{streams} streams of {tokens} tokens: {seen['rss_mb']:.1f} MB; {seen['rss_with_report_mb']:.1f} MB with the report", flush=True)
    return rows


def instructions(options):
    """Under valgrind, less what a run with a quarter of the requests takes."""
    counts = []
    for requests in (32, 128):
        server = Server(options, log=False)
        with tempfile.TemporaryDirectory() as folder:
            plain = options.program
            wrapped = pathlib.Path(folder, "wrapped")
            wrapped.write_text("#!/bin/sh\nexec valgrind --tool=callgrind --callgrind-out-file=/dev/null "
                               f'--log-file={folder}/log {plain} "$@"\n')
            wrapped.chmod(0o755)
            options.program = str(wrapped)
            try:
                ours(options, server, 32, requests, folder)
            finally:
                options.program = plain
                server.stop()
            text = pathlib.Path(folder, "log").read_text()
        counts.append(int(re.search(r"I\s+refs:\s+([\d,]+)", text).group(1).replace(",", "")))
    each = (counts[1] - counts[0]) / (96 * TOKENS)
    print(f"{each:.0f} user instructions a token, the report's share included")
    return {"instructions_per_token": each}


def arguments():
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"), "release")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", default="64,512,1024", type=lambda text: [int(one) for one in text.split(",")])
    parser.add_argument("--clients", default="newlines,ours,reqwest,vllm,aiperf", type=lambda text: text.split(","))
    parser.add_argument("--rounds", default=4, type=int)
    parser.add_argument("--json")
    parser.add_argument("--program", default=str(target / "ai-energy-benchmark"))
    parser.add_argument("--mock", default=str(target / "examples" / "mock"))
    parser.add_argument("--peers", default=str(HERE / "peers" / "target" / "release"))
    parser.add_argument("--vllm", default="vllm")
    parser.add_argument("--aiperf", default="aiperf")
    parser.add_argument("--tokenizer")
    for mode in ("rate", "memory", "instructions"):
        parser.add_argument(f"--{mode}", action="store_true")
    options = parser.parse_args()
    options.tokens = TOKENS
    return options


def main():
    options = arguments()
    if options.rate or options.memory or options.instructions:
        mode = rate if options.rate else memory if options.memory else instructions
        found = mode(options)
    else:
        found = compare(options)
        ratios(found)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
