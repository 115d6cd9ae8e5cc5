#!/usr/bin/env bash
# Builds what ./run_tests.sh --gpu needs on a machine without cargo: the program and the test binaries that hold GPU
# tests, for x86-64-v3, stripped.
#
#   scripts/gpu_bundle.sh [FOLDER]      default: ${AEB_GPU_BIN:-.carry/gpu-bin}
#
# Take the folder and the repository along; there: AEB_GPU_BIN=FOLDER ./run_tests.sh --gpu
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
to=${1:-${AEB_GPU_BIN:-.carry/gpu-bin}}
export RUSTFLAGS="${RUSTFLAGS:+$RUSTFLAGS }-C target-cpu=x86-64-v3"
target=${CARGO_TARGET_DIR:-target}

cargo build --locked --release -p ai-energy-benchmark-cli
rm -rf "$to"
mkdir -p "$to/tests"
cp "$target/release/ai-energy-benchmark" "$to/"

# Cargo names each test binary it built; those without a GPU test stay here.
cargo test --locked --no-run --message-format json -p ai_energy_benchmarks -p ai-energy-benchmark-cli |
  python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message.get("profile", {}).get("test"):
        print(message["target"]["name"], message["executable"])
' | while read -r name binary; do
  if "$binary" --list --ignored gpu_ gpu:: 2>/dev/null | grep -q ': test$'; then
    strip -o "$to/tests/$name" "$binary"
  fi
done
find "$to" -type f -exec du -h {} +
