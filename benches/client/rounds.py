#!/usr/bin/env python3
"""Ours, `vllm bench serve` and aiperf in turn against one real server: do they tell the same of it?

    python3 benches/client/rounds.py --url http://localhost:8000 --model MODEL --tokenizer FOLDER [--rounds 3] [--json FILE]
        [--requests 64] [--concurrency 4] [--tokens 64] [--program ai-energy-benchmark] [--vllm vllm] [--aiperf aiperf]
        [--api completions] [--clients ours,vllm,aiperf]

Every round sends the same prompts once with each client, the first client changing from round to round; one run of ours before
warms the server up. Output lengths are fixed (`ignore_eos`), so totals of output tokens must be equal; those of prompts are the
server's own where a client asks it (ours, aiperf with --use-server-token-count) and vLLM's tokenizer's in `vllm bench`.

Figures are put side by side by definition, not by name:

    e2e    sent to the end of the answer: ours `e2e`, vLLM `e2el`, aiperf `request_latency` (theirs end with the last piece of text)
    itl    (E2E - TTFT) / (N - 1): ours `inter_token_latency`, vLLM `tpot`, aiperf `inter_token_latency`
    gap    between pieces of text, all pooled: ours `inter_chunk_latency`, vLLM `itl`, aiperf `inter_chunk_latency`
    ttft   sent to the first piece of text; vLLM's also counts a first piece without text
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

CLIENTS = {}


def client(call):
    CLIENTS[call.__name__] = call
    return call


def run(command, folder, env=None):
    done = subprocess.run(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{command[0]} ended with {done.returncode}:\n{done.stdout[-3000:]}")


def prompts(options, folder):
    texts = [f"Story {at}: " + "the lighthouse keeper counts the ships that pass in the night, " * (1 + at % 5) for at in range(options.requests)]
    for name, key in [("text", "text"), ("prompt", "prompt")]:
        pathlib.Path(folder, f"{name}.jsonl").write_text("".join(json.dumps({key: text}) + "\n" for text in texts))


@client
def ours(options, folder):
    config = {
        "name": "rounds", "output_dir": folder,
        "backend": {"type": "vllm", "endpoint": options.url, "model": options.model, "api": options.api},
        "scenario": {
            "dataset_name": f"{folder}/text.jsonl", "num_samples": options.requests, "warmup_rounds": 0, "idle_s": 0,
            "load": {"type": "concurrency", "concurrency": options.concurrency},
            "generate_kwargs": {"max_new_tokens": options.tokens, "min_new_tokens": options.tokens, "ignore_eos": True}},
        "metrics": {"type": "codecarbon", "enabled": False}}
    path = pathlib.Path(folder, "rounds.yaml")
    path.write_text(json.dumps(config))
    run([options.program, "run", str(path)], folder)
    report = json.loads(next(pathlib.Path(folder).glob("rounds/*/*/report.json")).read_text())
    assert report["counts"]["succeeded"] == options.requests, report["counts"]
    mean = lambda name: 1e3 * report["latency"][name]["mean"]
    return {"output_tokens": report["tokens"]["completion"]["value"], "prompt_tokens": report["tokens"]["prompt"]["value"],
            "e2e": mean("e2e"), "itl": mean("inter_token_latency"), "gap": mean("inter_chunk_latency"), "ttft": mean("ttft")}


def offline():
    return os.environ | {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}


@client
def vllm(options, folder):
    backend, path = ("openai", "/v1/completions") if options.api == "completions" else ("openai-chat", "/v1/chat/completions")
    run([*options.vllm.split(), "bench", "serve", "--backend", backend, "--base-url", options.url, "--endpoint", path, "--model", options.model,
         "--tokenizer", options.tokenizer, "--dataset-name", "custom", "--dataset-path", f"{folder}/prompt.jsonl",
         "--custom-output-len", str(options.tokens), "--skip-chat-template", "--disable-shuffle", "--ignore-eos", "--num-prompts",
         str(options.requests), "--max-concurrency", str(options.concurrency), "--percentile-metrics", "ttft,tpot,itl,e2el",
         "--disable-tqdm", "--save-result", "--result-dir", folder, "--result-filename", "out.json"], folder,
        offline() | {"TRANSFORMERS_OFFLINE": "1"})
    told = json.loads(pathlib.Path(folder, "out.json").read_text())
    assert told["completed"] == options.requests, told["completed"]
    return {"output_tokens": told["total_output_tokens"], "prompt_tokens": told["total_input_tokens"], "e2e": told["mean_e2el_ms"],
            "itl": told["mean_tpot_ms"], "gap": told["mean_itl_ms"], "ttft": told["mean_ttft_ms"]}


@client
def aiperf(options, folder):
    # It takes an absolute path for the name of a repository, and a relative one for a folder only where it may look around.
    tokenizer = pathlib.Path(options.tokenizer).resolve()
    env = {name: value for name, value in offline().items() if name not in ("TRANSFORMERS_OFFLINE", "HF_HUB_OFFLINE")}
    env["PATH"] = str(pathlib.Path(options.aiperf).parent) + ":" + env["PATH"]
    run([options.aiperf, "profile", "-m", options.model, "-u", options.url, "--endpoint-type", "chat" if options.api == "chat" else options.api,
         "--streaming", "--tokenizer", f"{tokenizer.parent.name}/{tokenizer.name}", "--use-server-token-count", "--concurrency",
         str(options.concurrency), "--request-count", str(options.requests), "--input-file", f"{folder}/text.jsonl",
         "--custom-dataset-type", "single_turn", "--extra-inputs", f"max_tokens:{options.tokens}", "--extra-inputs",
         f"min_tokens:{options.tokens}", "--extra-inputs", "ignore_eos:true", "--ui", "none", "--artifact-dir", f"{folder}/aiperf"],
        str(tokenizer.parent.parent), env)
    told = json.loads(next(pathlib.Path(folder).rglob("profile_export_aiperf.json")).read_text())
    assert told["request_count"]["avg"] == options.requests, told["request_count"]
    mean = lambda name: told.get(name, {}).get("avg")
    total = lambda name: told.get(name, {}).get("avg")
    return {"output_tokens": total("total_output_tokens"), "prompt_tokens": total("total_isl"),
            "e2e": mean("request_latency"), "itl": mean("inter_token_latency"), "gap": mean("inter_chunk_latency"),
            "ttft": mean("time_to_first_token")}


def once(options, name):
    with tempfile.TemporaryDirectory() as folder:
        prompts(options, folder)
        return CLIENTS[name](options, folder)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--api", default="completions", choices=["completions", "chat"])
    parser.add_argument("--clients", default="ours,vllm,aiperf", type=lambda text: text.split(","))
    parser.add_argument("--program", default="ai-energy-benchmark")
    parser.add_argument("--vllm", default="vllm")
    parser.add_argument("--aiperf", default="aiperf")
    parser.add_argument("--json")
    for name, value in [("rounds", 3), ("requests", 64), ("concurrency", 4), ("tokens", 64)]:
        parser.add_argument(f"--{name}", default=value, type=int)
    return parser.parse_args()


def main():
    options = arguments()
    once(options, "ours")
    rows = []
    for number in range(options.rounds):
        for at in range(len(options.clients)):
            name = options.clients[(number + at) % len(options.clients)]
            row = {"round": number, "client": name} | once(options, name)
            rows.append(row)
            form = lambda value: "-" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)
            print("  ".join(f"{key} {form(value)}" for key, value in row.items()), flush=True)
    for name in options.clients:
        mine = [row for row in rows if row["client"] == name]
        for key in ("e2e", "itl", "gap", "ttft"):
            values = [row[key] for row in mine if row[key] is not None]
            if values:
                print(f"{name:7} {key:4} mean {sum(values) / len(values):9.3f} ms, from {min(values):9.3f} to {max(values):9.3f}")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
