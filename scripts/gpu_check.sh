#!/usr/bin/env bash
# Runs the benchmark while PyTorch keeps a GPU busy, and compares the GPU energy in the run's records with what the
# load read from the same counter itself.
#
#   scripts/gpu_check.sh PROGRAM
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
program=$1
work=$(mktemp -d)
load=
cleanup() {
  [ -z "$load" ] || kill "$load" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

python3 scripts/gpu_load.py load --seconds 240 --out "$work/load.json" &
load=$!
for _ in $(seq 120); do
  [ -s "$work/load.json.ready" ] && break
  kill -0 "$load" 2>/dev/null || { echo "the load ended before it began" >&2; exit 1; }
  sleep 0.5
done
uuid=$(cat "$work/load.json.ready")
"$program" run configs/quickstart.yaml "backend.device_ids=[\"$uuid\"]" metrics.sample_period_s=0.2 \
  output_dir="$work/results"
kill -TERM "$load"
wait "$load" || true
load=
manifest=$(find "$work/results" -name manifest.json | head -n 1)
python3 scripts/gpu_load.py compare --load "$work/load.json" --run "$(dirname "$manifest")" --uuid "$uuid"
