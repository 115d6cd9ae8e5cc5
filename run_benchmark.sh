#!/usr/bin/env bash
# Builds the program if needed and runs a benchmark.
#
#   ./run_benchmark.sh [CONFIG] [key=value ...]
#
# CONFIG is a YAML file, from where you stand or from this repository; without one it is configs/quickstart.yaml, which
# runs a small model in process on the CPU and needs no server, no GPU and no download. key=value overrides a key of
# the config: ./run_benchmark.sh configs/quickstart.yaml scenario.num_samples=3
#
# Needs cargo, a C compiler and nothing else.
set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# The in-process backend picks its matrix kernels when it is compiled, so a build for the lowest x86-64 would compute
# several times slower than this machine can and charge the difference to the model. x86-64-v3 (2013 and later: AVX2,
# FMA, BMI2, F16C) is asked for only where the processor has all of it. On arm64 the default already includes NEON.
# The flags are the same at each call on one machine, so nothing is built twice.
has() { grep -m 1 '^flags' /proc/cpuinfo 2>/dev/null | grep -qw "$1"; }
if [ "$(uname -m)" = x86_64 ] && has avx2 && has fma && has bmi2 && has f16c; then
  export RUSTFLAGS="${RUSTFLAGS:+$RUSTFLAGS }-C target-cpu=x86-64-v3"
fi

config=$repo/configs/quickstart.yaml
if [ $# -gt 0 ] && [[ $1 != *=* ]] && [[ $1 != -* ]]; then
  config=$1
  shift
  [ -e "$config" ] || [ ! -e "$repo/$config" ] || config=$repo/$config
fi

target=${CARGO_TARGET_DIR:-target}
[[ $target = /* ]] || target=$repo/$target
program=$target/release/ai-energy-benchmark
if [ ! -x "$program" ]; then
  echo "building ai-energy-benchmark (once; some minutes): RUSTFLAGS='${RUSTFLAGS:-}' cargo build --release" >&2
fi
# Cargo decides whether there is something to build; --quiet keeps it silent when there is not.
quiet=--quiet
[ -x "$program" ] || quiet=
# From the repository's folder, so that its toolchain and settings hold wherever this was started.
# shellcheck disable=SC2086
(cd "$repo" && cargo build $quiet --locked --release -p ai-energy-benchmark-cli >&2)
exec "$program" run "$config" "$@"
