#!/usr/bin/env bash
# Makes the corpora, installs the peers from PyPI, builds all indexes, prints one table and a plot.
# usage: benches/compare/compare.sh [DOCUMENTS.csr QUERIES.csr]
# Without arguments it makes 1M passages out of the vectors under SPARSELY_DATA (or ../shared).
set -euo pipefail
cd "$(dirname "$0")/../.."
work=target/compare
mkdir -p "$work"

if [ ! -x "$work/venv/bin/python" ]; then
  python3 -m venv "$work/venv"
fi
"$work/venv/bin/pip" install -q numpy scipy matplotlib || {
  echo "numpy, scipy and matplotlib could not be installed: no comparison without a network" >&2
  exit 1
}
for peer in pyseismic-lsr kannolo; do
  "$work/venv/bin/pip" install -q "$peer" || echo "$peer could not be installed; it is left out" >&2
done

documents=${1:-}
queries=${2:-}
if [ -z "$documents" ]; then
  data=${SPARSELY_DATA:-../shared}/vectors
  if [ ! -d "$data" ]; then
    echo "no vectors: give DOCUMENTS.csr and QUERIES.csr, or set SPARSELY_DATA" >&2
    exit 1
  fi
  documents=$work/passages-1m.csr
  queries=$work/queries.csr
  [ -f "$documents" ] || "$work/venv/bin/python" "$data/make_corpus.py" "$data/splade_pp_base.npz" "$documents" 1000000
  [ -f "$queries" ] || "$work/venv/bin/python" "$data/queries_to_csr.py" "$data/splade_pp_queries.npz" "$queries" 1000
fi

cargo build --release --locked --example vectors
# One thread everywhere: the peers' pools read these.
export RAYON_NUM_THREADS=2 OMP_NUM_THREADS=1
"$work/venv/bin/python" benches/compare/compare.py --documents "$documents" --queries "$queries" \
  --work "$work" --json "$work/rows.json" --plot "$work/recall-latency.svg"
