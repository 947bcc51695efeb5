#!/usr/bin/env bash
# Which lines of what reads and writes an index's files the tests execute:
#
#   tests/coverage.sh [--missed] [FILTER...]
#
# Counts lines of src/{format,codec,segment,storage,index} and src/bytes.rs, those of tests left out; --missed
# lists the lines that nothing executed. Filters choose tests; those of code_search, which build an example that
# counts nothing, are left out. Needs llvm-profdata and llvm-cov of LLVM 19 or later: rustup's llvm-tools, or a
# distribution's (Debian: llvm-19).
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=never
missed=
if [ "${1:-}" = --missed ]; then missed=1; shift; fi
filters=("$@")
[ $# -gt 0 ] || filters=(
  bytes:: codec:: format:: index:: segment:: storage:: search:: accounts:: corrupt:: crash:: concurrency:: differential::
  floats:: golden:: hazards:: journeys:: lines:: merging:: named:: os_cache:: partition:: refusals:: repairs::
  two_step:: --skip code_search::
)

tool() {
  for found in "$(rustc --print sysroot)"/lib/rustlib/*/bin/"$1" "$1"-{29..19} "$1"; do
    if command -v "$found" >/dev/null; then echo "$found"; return; fi
  done
  echo "$1 is missing" >&2
  return 1
}
profdata=$(tool llvm-profdata)
cov=$(tool llvm-cov)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
RUSTC_WORKSPACE_WRAPPER="$PWD/tests/coverage_rustc.sh" cargo test --locked --lib --test integration --no-run \
  --message-format=json-render-diagnostics |
  python3 -c 'import json, sys
for line in sys.stdin:
    artifact = json.loads(line)
    if artifact.get("executable"):
        print(artifact["executable"])' >"$work/binaries"
mapfile -t binaries <"$work/binaries"
failed=0
for binary in "${binaries[@]}"; do
  LLVM_PROFILE_FILE="$work/%p-%m.profraw" "$binary" "${filters[@]}" >"$work/log" 2>&1 || { failed=1; cat "$work/log"; }
  grep "^test result" "$work/log"
done
# Processes that were killed leave nothing, or a part of a file.
"$profdata" merge -sparse --failure-mode=all "$work"/*.profraw -o "$work/merged"
objects=("${binaries[0]}")
for binary in "${binaries[@]:1}"; do objects+=(-object "$binary"); done
"$cov" export --format=lcov --instr-profile="$work/merged" "${objects[@]}" >"$work/lcov"
python3 tests/coverage.py "$work/lcov" $missed
exit "$failed"
