#!/usr/bin/env bash
# The programme that holds the promises of docs/reliability.md:
#
#   tests/reliability.sh short|nightly|release [--json]
#
# Every number is counted by the tests themselves. With --json the last line is one object. Exits
# with 1 when anything failed; the numbers are then still told.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=never

tier=${1:-}
json=${2:-}
# Processor seconds of fuzzing each target, whatever else the machine does. The short tier has none:
# building the targets with AddressSanitizer costs more than all the rest of it.
case "$tier" in
  short) fuzz_seconds=0 ;;
  nightly) fuzz_seconds=60 ;;
  release) fuzz_seconds=28800 ;;
  *) echo "usage: tests/reliability.sh short|nightly|release [--json]" >&2; exit 2 ;;
esac
[ -z "$json" ] || [ "$json" = --json ] || { echo "unknown option $json" >&2; exit 2; }

work=$(mktemp -d)
miri=
trap '[ -z "$miri" ] || kill "$miri" 2>/dev/null || true; rm -rf "$work"' EXIT
started=$SECONDS
failed=0

say() { printf '\n== %s\n' "$*"; }
attempt() { "$@" || { failed=1; echo "FAILED: $*" >&2; }; }

# Millions of states are worth a longer build; all checks of a test build stay on.
build=(cargo)
[ "$tier" = short ] || build+=(--config profile.dev.package.sparsely.opt-level=3)

# The test binary of a build, by asking cargo.
binary() {
  "${build[@]}" test --locked --test integration --no-run --message-format=json-render-diagnostics "$@" |
    python3 -c 'import json, sys
for line in sys.stdin:
    artifact = json.loads(line)
    if artifact.get("executable") and artifact["target"]["name"] == "integration":
        print(artifact["executable"])' | tail -n 1
}

say "build"
# Bugs are planted in the project's own crates only: dependencies are shared with the other build.
planted=$(RUSTC_WORKSPACE_WRAPPER="$PWD/tests/planted_rustc.sh" binary)
ordinary=$(binary)
"${build[@]}" test --locked --test memory_bound --no-run

say "planted bugs"
grep -q "planted: segments are not synced" "$planted" || { echo "no bug was planted" >&2; failed=1; }
if grep -q "planted: " "$ordinary"; then
  echo "an ordinary build holds planted bugs" >&2
  failed=1
fi
SPARSELY_REPORT="$work/planted" attempt "$planted" planted:: --nocapture --test-threads=1

say "crashes, faults, corruption, kills, concurrency ($tier)"
export SPARSELY_TIER=$tier SPARSELY_REPORT="$work/report"
tests=$SECONDS
attempt "$ordinary" crash:: corrupt:: concurrency:: differential:: hazards:: merging:: lines:: golden:: os_cache:: repairs:: --nocapture
echo "took $((SECONDS - tests)) s"

# One core for an interpreter, while the others count memory and build the models of threads. Without the sources of the
# standard library Miri would fetch them.
if [ "$tier" != short ] && cargo +nightly miri --version >/dev/null 2>&1 &&
  [ -d "$(rustc +nightly --print sysroot)/lib/rustlib/src" ]; then
  env -u SPARSELY_REPORT tests/miri.sh >"$work/miri" 2>&1 &
  miri=$!
fi

say "memory"
attempt "${build[@]}" test --locked --test memory_bound -- --nocapture

unset SPARSELY_REPORT

if [ "$tier" != short ]; then
  say "models of threads (loom)"
  attempt env RUSTC_WORKSPACE_WRAPPER="$PWD/tests/loom_rustc.sh" cargo test --locked --lib loom_models
  say "undefined behaviour (Miri)"
  if [ -n "$miri" ]; then
    wait "$miri" || { failed=1; echo "FAILED: tests/miri.sh" >&2; }
    cat "$work/miri"
    miri=
  else
    echo "Miri, or the sources of the standard library (rust-src), are missing: not run"
  fi
fi

say "fuzzing"
: >"$work/fuzz"
if [ "$fuzz_seconds" = 0 ]; then
  echo "not in this tier"
elif cargo +nightly fuzz --version >/dev/null 2>&1; then
  attempt cargo run --quiet --locked --manifest-path fuzz/Cargo.toml --target-dir target --example seeds
  attempt cargo +nightly fuzz build
  # One target a core.
  cargo +nightly fuzz list >"$work/targets"
  attempt xargs -a "$work/targets" -P "$(nproc)" -I{} tests/fuzz.sh {} "$fuzz_seconds" "$work"
else
  echo "cargo-fuzz or a nightly toolchain is missing: not fuzzed"
fi

python3 - "$tier" "$work" "$((SECONDS - started))" <<'PY' | tee "$work/summary"
import json, re, sys
tier, work, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3])

def counts(name):
    total = {}
    try:
        lines = open(f"{work}/{name}").read().splitlines()
    except FileNotFoundError:
        lines = []
    for line in lines:
        for key, value in json.loads(line).items():
            total[key] = total.get(key, 0) + value
    return total

told = counts("report")
planted = counts("planted")
fuzz = [(int(runs), int(secs)) for runs, secs in
        re.findall(r"(\d+) executions in (\d+) s", open(f"{work}/fuzz").read())]
summary = {"tier": tier}
for key in ["crash_states", "violations"]:
    summary[key] = told.get(key, 0)
for key in ["planted", "planted_caught"]:
    summary[key] = planted.get(key, 0)
for key in ["injected_faults", "kills", "lost", "mutants", "undetected", "wrong_answers", "panics"]:
    summary[key] = told.get(key, 0)
summary["fuzz_seconds"] = sum(secs for _, secs in fuzz)
summary["fuzz_executions"] = sum(runs for runs, _ in fuzz)
summary["seconds"] = seconds
print(json.dumps(summary))
PY

if [ -z "$json" ]; then
  say "summary"
  python3 -c 'import json, sys
for key, value in json.load(sys.stdin).items():
    print(f"{key:16} {value}")' <"$work/summary"
  [ "$failed" = 0 ] && echo "every promise held" || echo "something failed: see above"
fi
exit "$failed"
