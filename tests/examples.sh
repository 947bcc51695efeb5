#!/usr/bin/env bash
# Runs the example programs on the project's own sources and on data made here, and checks what they say.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --locked --examples
bin=target/debug/examples
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() { echo "examples: $*" >&2; exit 1; }
has() { grep -q -- "$2" <<<"$1" || fail "expected '$2' in: $1"; }

echo "-- code_search"
$bin/code_search index src --index "$work/code" >/dev/null
answer=$($bin/code_search search "take the writer lock" --index "$work/code" --top 5)
has "$answer" "lock"
answer=$($bin/code_search search "take the writer lock" --index "$work/code" --json --explain)
python3 -c 'import json, sys; json.loads(sys.argv[1].splitlines()[0])' "$answer"
$bin/code_search status --index "$work/code" >/dev/null
$bin/code_search index src --index "$work/static" --encoder static >/dev/null
answer=$($bin/code_search search "remove files no longer needed" --index "$work/static" --encoder static)
has "$answer" "rs:"
if $bin/code_search search x --index "$work/none" 2>"$work/message"; then fail "searched a missing index"; fi
has "$(cat "$work/message")" "no index"
status=0; $bin/code_search --nonsense >/dev/null 2>&1 || status=$?
[ "$status" = 2 ] || fail "wrong use exits $status"

echo "-- evaluate"
python3 - "$work/beir" <<'PY'
import json, os, sys
root = sys.argv[1]
os.makedirs(root + "/qrels")
texts = ["open the lock file", "merge two sorted lists", "parse a date from text", "resize an image"]
with open(root + "/corpus.jsonl", "w") as out:
    for at, text in enumerate(texts):
        out.write(json.dumps({"_id": f"d{at}", "title": "", "text": text}) + "\n")
with open(root + "/queries.jsonl", "w") as out:
    for at, text in enumerate(["lock a file", "sorted merge", "date parser", "image size"]):
        out.write(json.dumps({"_id": f"q{at}", "text": text}) + "\n")
with open(root + "/qrels/test.tsv", "w") as out:
    out.write("query-id\tcorpus-id\tscore\n")
    for at in range(4):
        out.write(f"q{at}\td{at}\t1\n")
PY
answer=$($bin/evaluate "$work/beir" --json)
has "$answer" '"ndcg_at_10":1.0'
$bin/evaluate "$work/beir" --encoder static >/dev/null

echo "-- vectors"
python3 - "$work" <<'PY'
import random, struct, sys
random.seed(7)
def write(path, rows):
    indptr = [0]
    for row in rows:
        indptr.append(indptr[-1] + len(row))
    with open(path, "wb") as out:
        out.write(struct.pack("<3q", len(rows), 500, indptr[-1]))
        out.write(struct.pack(f"<{len(indptr)}q", *indptr))
        terms = [term for row in rows for term, _ in row]
        out.write(struct.pack(f"<{len(terms)}i", *terms))
        out.write(struct.pack(f"<{len(terms)}f", *[weight for row in rows for _, weight in row]))
def rows(count, most):
    return [sorted((term, random.random() + 0.1) for term in random.sample(range(500), random.randint(1, most))) for _ in range(count)]
write(sys.argv[1] + "/documents.csr", rows(2000, 40))
write(sys.argv[1] + "/queries.csr", rows(50, 20))
PY
answer=$($bin/vectors build "$work/documents.csr" "$work/vectors" --threads 2 --json)
has "$answer" '"documents":2000'
for mode in exact exhaustive; do
  answer=$($bin/vectors search "$work/vectors" "$work/queries.csr" --top 10 --mode $mode --run "$work/$mode.gt" --json)
  has "$answer" '"proven_exact"'
done
cmp "$work/exact.gt" "$work/exhaustive.gt" || fail "exact and exhaustive search differ"
answer=$($bin/vectors search "$work/vectors" "$work/queries.csr" --top 10 --mode approximate --ground-truth "$work/exact.gt" --json)
has "$answer" '"recall"'
for preset in splade sae; do
  $bin/vectors generate "$work/$preset.csr" --preset $preset --documents 300 --seed 3 --queries 20
  $bin/vectors generate "$work/again.csr" --preset $preset --documents 300 --seed 3
  cmp "$work/$preset.csr" "$work/again.csr" || fail "one seed made two corpora"
done
$bin/vectors build "$work/splade.csr" "$work/short" --document-top 100 --full --tenants 7 --by-tenant >/dev/null
search="$bin/vectors search $work/short $work/splade-queries.csr --top 10 --query-top 10 --rescore 50 --tenant 3"
$search --run "$work/two.gt" >/dev/null
$search --mode exhaustive --run "$work/two-exhaustive.gt" --rounds 2 --times "$work/times.json" --threads 2 >/dev/null
cmp "$work/two.gt" "$work/two-exhaustive.gt" || fail "two steps differ by mode"
python3 -c 'import json, sys; assert len(json.load(open(sys.argv[1]))) == 20' "$work/times.json"

echo "-- experience"
python3 - "$work/episodes.jsonl" <<'PY'
import json, sys
with open(sys.argv[1], "w") as out:
    for at, task in enumerate(["boil water", "melt ice", "grow a plant"]):
        steps = [{"thought": "look", "action": "look around", "observation": f"a kitchen {at}"}]
        out.write(json.dumps({"id": f"e{at}", "task": task, "steps": steps, "outcome": "success"}) + "\n")
PY
$bin/experience import "$work/episodes.jsonl" --store "$work/store" --json >/dev/null
answer=$($bin/experience recall "boil the water" --store "$work/store" --k 1 --json)
has "$answer" "boil water"
$bin/experience stats --store "$work/store" --json >/dev/null
echo "examples: all as expected"
