#!/usr/bin/env bash
# Undefined behaviour in what reads files: the lower floors, whose kernels Miri runs as plain loops.
#
#   tests/miri.sh [FILTER...]
set -euo pipefail
cd "$(dirname "$0")/.."
filters=("$@")
# Left out, for minutes each: loops over all weights, over thousands of terms or fields, and over threads.
[ $# -gt 0 ] || filters=(bytes:: codec:: format:: sparse:: --skip terms_below_one_are_counted)
# Files of the documentation are read, and proptest looks for its own.
export MIRIFLAGS="-Zmiri-disable-isolation" PROPTEST_CASES=2 PROPTEST_DISABLE_FAILURE_PERSISTENCE=1
cargo +nightly miri test --locked --lib --target-dir target/miri -- "${filters[@]}"
