#!/usr/bin/env bash
# Trains data/static.table again: collects the packages of data/packages.tsv below SCRATCH, in their
# versions, and learns from all but the held-out ones.
#
#     scripts/train_table.sh SCRATCH [THREADS] [LIST] [TABLE]
#
# Another LIST of packages, in the form of scripts/packages.txt, and another TABLE to write try it out.
set -euo pipefail
cd "$(dirname "$0")/.."
scratch=$1
threads=${2:-2}
list=${3:-scripts/packages.txt}
table=${4:-data/static.table}
python3 scripts/collect_packages.py "$list" "$scratch" --locked data/packages.tsv

# A held-out crate stays out with its relatives and its older versions (NAME-...).
held=$(sed -n -e 's|^crates \([^ ]*\) held-out$|crates/\1(-.*)?|p' -e 's|^\([a-z-]*\) \([^ ]*\) held-out$|\1/\2|p' "$list" |
    sort -u | paste -s -d '|')
export LC_ALL=C
find "$scratch" -mindepth 2 -maxdepth 2 -type d -not -path "$scratch/.*" | sort |
    grep -v -E "/($held)\$" |
    xargs --max-args=100000 --max-chars=1000000 --exit \
        cargo run --quiet --release --example train_static -- tree --out "$table" --threads "$threads" --json
