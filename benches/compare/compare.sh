#!/usr/bin/env bash
# Makes the corpora, installs the peers from PyPI, builds all indexes, prints one table and a plot.
# usage: benches/compare/compare.sh [DOCUMENTS.csr QUERIES.csr] [-- more arguments of compare.py]
# Without arguments it makes 1M passages out of the vectors under SPARSELY_DATA (or ../shared); where there
# are none, it generates as many. SPARSELY_PASSAGES says how many instead of a million.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=${SPARSELY_COMPARE:-target/compare}
program=${CARGO_TARGET_DIR:-target}/release/examples/vectors
count=${SPARSELY_PASSAGES:-1000000}
mkdir -p "$work"

documents=
queries=
if [ $# -ge 2 ] && [ "$1" != "--" ]; then
  documents=$1
  queries=$2
  shift 2
fi
[ "${1:-}" = "--" ] && shift

python=${PYTHON:-$work/venv/bin/python}
if [ ! -x "$python" ]; then
  python3 -m venv "$work/venv"
fi
install() { "$python" -c "import $1" 2>/dev/null || "$python" -m pip install -q "$2"; }
for need in "numpy numpy" "scipy scipy" "matplotlib matplotlib"; do
  # shellcheck disable=SC2086
  install $need || {
    echo "${need#* } is missing and could not be installed: no comparison without it" >&2
    exit 1
  }
done
for peer in "seismic pyseismic-lsr" "kannolo kannolo" "qdrant_edge qdrant-edge-py" "pyterrier_pisa pyterrier-pisa"; do
  # shellcheck disable=SC2086
  install $peer || echo "${peer#* } is missing and could not be installed: it is left out" >&2
done

cargo build --release --locked --example vectors
if [ -z "$documents" ]; then
  documents=$work/passages-$count.csr
  queries=$work/queries.csr
  data=${SPARSELY_DATA:-../shared}/vectors
  if [ -d "$data" ]; then
    [ -f "$documents" ] || "$python" "$data/make_corpus.py" "$data/splade_pp_base.npz" "$documents" "$count"
    [ -f "$queries" ] || "$python" "$data/queries_to_csr.py" "$data/splade_pp_queries.npz" "$queries" 1000
  else
    echo "no vectors in $data: generated ones take their place" >&2
    documents=$work/generated-$count.csr
    queries=$work/generated-$count-queries.csr
    [ -f "$documents" ] || "$program" generate "$documents" --documents "$count" --queries 1000
  fi
fi

"$python" benches/compare/compare.py --documents "$documents" --queries "$queries" --vectors "$program" \
  --work "$work" --json "$work/rows.json" --plot "$work/recall-latency.svg" "$@"
