#!/usr/bin/env bash
# Fuzzes one target, which `cargo +nightly fuzz build` has built, for some seconds of processor time:
#
#   tests/fuzz.sh TARGET SECONDS [FOLDER]
#
# FOLDER gets the output as fuzz.TARGET, and a line in its file `fuzz`.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$1 seconds=$2 folder=${3:-$(mktemp -d)}
output="$folder/fuzz.$target"
mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
# A process may wait long for a core, or be stopped: its own clock goes on.
fuzz/target/*/release/"$target" "fuzz/corpus/$target" -artifact_prefix="fuzz/artifacts/$target/" \
  -max_len=16384 -timeout=200 -print_final_stats=1 >"$output" 2>&1 &
fuzzer=$!
trap 'kill "$fuzzer" 2>/dev/null || true' EXIT
spent=0
while sleep 1 && now=$(ps -o cputimes= -p "$fuzzer"); do
  spent=$((now))
  # Asks it to end after the input that it is at.
  [ "$spent" -lt "$seconds" ] || kill -USR1 "$fuzzer" 2>/dev/null || true
done
if ! wait "$fuzzer"; then
  echo "FAILED: $target" >&2
  tail -n 40 "$output" >&2
  exit 1
fi
executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$output")
echo "$target: ${executions:-0} executions in $spent s" | tee -a "$folder/fuzz"
