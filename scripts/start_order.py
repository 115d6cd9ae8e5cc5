#!/usr/bin/env python3
"""Writes cli/start.ld: which functions lie together in the program because metering a command runs them.

    cargo rustc --release -p ai-energy-benchmark-cli --bin ai-energy-benchmark -- -C strip=none
    scripts/start_order.py target/release/ai-energy-benchmark

Needs valgrind (callgrind) and nm. The program measures a sleeping command under callgrind; the functions that ran until
then, without the hashes in their names, become patterns of sections. To be run again when `benches/codecarbon.py` shows
that the memory in use has grown, as after a new compiler or much new code: a pattern that fits nothing does no harm.
"""

import collections
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# A name that stands for many functions of which few run (`&T as Debug`) would only spread the others.
LEAST_SHARE = 0.05
HEAD = """/* Written by scripts/start_order.py: the functions that run while a command is metered, so that they share pages.
   The system maps 64 KiB of the program around each first use; spread over all of it they cost three times the memory. */
"""


def ran(program):
    """Names of the functions that ran up to the middle of metering a command."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "callgrind"
        # The command that is measured has what ran until then written down.
        shell = ["sh", "-c", "sleep 3; callgrind_control -d $PPID; sleep 1"]
        command = [program, "measure", "-q", "--sample-period", "0.1", "--output", "null", "--output-dir", folder, "--"]
        valgrind = ["valgrind", "--tool=callgrind", "--demangle=no", f"--callgrind-out-file={out}"]
        subprocess.run(valgrind + command + shell, check=True, stderr=subprocess.DEVNULL)
        text = pathlib.Path(f"{out}.1").read_text()
    return {re.sub(r"'\d+$", "", name) for name in re.findall(r"^c?fn=\(\d+\) (.*)$", text, re.MULTILINE)}


def functions(program):
    """Sizes by name."""
    lines = subprocess.run(["nm", "-S", program], check=True, capture_output=True, text=True).stdout.splitlines()
    rows = [line.split() for line in lines]
    return {row[3]: int(row[1], 16) for row in rows if len(row) == 4 and row[2] in "tT"}


def pattern(name):
    """The name without what changes from one build or compiler to the next."""
    name = re.sub(r"\.llvm\.\d+$", "", name)
    if name.startswith("_ZN"):
        return re.sub(r"17h[0-9a-f]{16}E.*$", "17h*", name)
    if name.startswith("_R"):
        return re.sub(r"Cs[0-9A-Za-z]+_", "Cs*_", name) + "*"
    return name


def main():
    program = sys.argv[1]
    sizes = functions(program)
    used = ran(program) & sizes.keys()
    groups = collections.defaultdict(list)
    for name in sizes:
        groups[pattern(name)].append(name)
    shares = {}
    for wanted in {pattern(name) for name in used}:
        total = sum(sizes[name] for name in groups[wanted])
        shares[wanted] = sum(sizes[name] for name in groups[wanted] if name in used) / max(total, 1)
    kept = sorted((share < 0.5, wanted) for wanted, share in shares.items() if share >= LEAST_SHARE)
    rows = "".join(f"    *(.text.{wanted} .text.unlikely.{wanted})\n" for _, wanted in kept)
    script = f"{HEAD}SECTIONS\n{{\n  .text.start :\n  {{\n{rows}  }}\n}}\nINSERT BEFORE .text;\n"
    (ROOT / "cli/start.ld").write_text(script)
    together = sum(sizes[name] for _, wanted in kept for name in groups[wanted])
    print(f"{len(used)} functions of {sum(sizes[name] for name in used)} bytes ran; {together} bytes lie together")


if __name__ == "__main__":
    main()
