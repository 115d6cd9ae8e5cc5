#!/usr/bin/env python3
"""How long one composition takes: this program and real Hydra, in turn, in the same run.

    scripts/peer install hydra
    cargo build --release
    python3 benches/compose.py [--config-dir DIR --config-name NAME] [--runs 21] [KEY=VALUE ...]

Each side starts a process that composes the same config with the same five changes and prints it
(`--cfg job`); the outputs must be equal. Hydra is also timed without the start of Python: its
compose() called again and again in one process. Medians and quartiles in milliseconds; the last line is
the ratio of the medians. Without --config-dir a config of the shape of AIEnergyScore's text_generation
is composed.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent

CONFIG = """\
defaults:
  - base
  - backend: pytorch
  - launcher: process
  - scenario: energy_star
  - _base_
  - _self_

name: text_generation

launcher:
  device_isolation: False
  device_isolation_action: warn

backend:
  device: cuda
  device_ids: 0
  task: text-generation
  model: org/model
  torch_dtype: auto

scenario:
  dataset_name: org/prompts
  text_column_name: text
  num_samples: 1000
  truncation: True
  reasoning: True
  reasoning_params: {reasoning_effort: high}
  input_shapes: {batch_size: 1}
  generate_kwargs: {max_new_tokens: 10, min_new_tokens: 10}
"""

FILES = {
    "text_generation.yaml": CONFIG,
    "base.yaml": "name: ???\nenvironment: {}\n",
    "_base_.yaml": "log_report: true\nprint_report: true\nhydra:\n  run: {dir: 'runs/${name}'}\n"
    "  sweep: {dir: 'sweeps/${name}', subdir: '${hydra.job.override_dirname}'}\n"
    "  job: {chdir: true, env_set: {OVERRIDE_BENCHMARKS: 1}}\n",
    "backend/pytorch.yaml": "name: pytorch\nmodel: null\nprocessor: null\ntask: null\ndevice: null\n"
    "device_ids: null\nseed: 42\ntorch_dtype: null\nno_weights: false\nmodel_kwargs: {}\n",
    "launcher/process.yaml": "name: process\ndevice_isolation: false\ndevice_isolation_action: null\n"
    "start_method: spawn\n",
    "scenario/energy_star.yaml": "name: energy_star\ndataset_name: ''\nnum_samples: -1\ninput_shapes: {}\n"
    "text_column_name: text\ntruncation: true\nreasoning: false\nreasoning_params: {}\ngenerate_kwargs: {}\n"
    "energy: true\nwarmup_runs: 10\n",
}

CHANGES = [
    "backend.model=openai/gpt-oss-20b",
    "backend.processor=openai/gpt-oss-20b",
    "scenario.num_samples=10",
    "scenario.reasoning_params.reasoning_effort=low",
    "++scenario.generate_kwargs.max_new_tokens=16",
]

APP = """\
import hydra
@hydra.main(version_base=None)
def main(cfg): pass
main()
"""

LOOP = """\
import sys, time
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
folder, name, runs, *changes = sys.argv[1:]
with initialize_config_dir(folder, version_base=None):
    for _ in range(int(runs) + 1):
        begin = time.perf_counter()
        OmegaConf.to_yaml(compose(name, changes))
        print((time.perf_counter() - begin) * 1e3)
"""


def quartiles(times):
    low, middle, high = statistics.quantiles(times, n=4)
    return f"{middle:9.2f}  [{low:.2f}, {high:.2f}]", middle


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-dir")
    parser.add_argument("--config-name", default="text_generation")
    parser.add_argument("--binary", default=str(ROOT / "target/release/ai-energy-benchmark"))
    parser.add_argument("--runs", type=int, default=21)
    parser.add_argument("changes", nargs="*", default=CHANGES)
    options = parser.parse_args()
    peer = subprocess.run([ROOT / "scripts/peer", "where", "hydra"], capture_output=True, text=True)
    if peer.returncode:
        sys.exit(peer.stderr)
    python = peer.stdout.strip()

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        configs = pathlib.Path(options.config_dir).resolve() if options.config_dir else folder / "configs"
        if not options.config_dir:
            for name, text in FILES.items():
                (configs / name).parent.mkdir(parents=True, exist_ok=True)
                (configs / name).write_text(text)
        (folder / "app.py").write_text(APP)
        (folder / "loop.py").write_text(LOOP)
        hydra_shaped = ["--config-dir", str(configs), "--config-name", options.config_name]
        asked = [*hydra_shaped, "--cfg", "job", *options.changes]
        sides = {
            "ai-energy-benchmark, process": [options.binary, "run", "--dialect", "strict", *asked],
            "Hydra, process": [python, "app.py", *asked],
        }
        start = "ai-energy-benchmark, start only"
        times = {side: [] for side in [*sides, start]}
        printed = {}
        for _ in range(options.runs + 1):  # the first round warms the caches of the disk
            for side, command in sides.items():
                begin = time.perf_counter()
                done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
                times[side].append((time.perf_counter() - begin) * 1e3)
                if done.returncode:
                    sys.exit(f"{side} failed:\n{done.stderr}")
                printed[side] = done.stdout
            begin = time.perf_counter()
            subprocess.run([options.binary, "--version"], capture_output=True, check=True)
            times[start].append((time.perf_counter() - begin) * 1e3)
        if len(set(printed.values())) != 1:
            sys.exit("the outputs differ:\n" + "\n---\n".join(printed.values()))
        loop = subprocess.run(
            [python, "loop.py", str(configs), options.config_name, str(options.runs), *options.changes],
            capture_output=True, text=True, cwd=folder, check=True,
        )
        times["Hydra, compose() only"] = [float(line) for line in loop.stdout.split()]

    medians = {}
    print(f"{options.runs} runs each, milliseconds: median [quartiles]; {os.cpu_count()} cores")
    for side, values in times.items():
        text, medians[side] = quartiles(values[1:])
        print(f"{side:32} {text}")
    ours = medians["ai-energy-benchmark, process"]
    print(f"composing, our process less its start: {ours - medians['ai-energy-benchmark, start only']:.2f} ms")
    print(f"ratio of the processes {medians['Hydra, process'] / ours:.0f}, "
          f"of Hydra's compose() to our whole process {medians['Hydra, compose() only'] / ours:.0f}")


main()
