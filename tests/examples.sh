#!/usr/bin/env bash
# Runs the example programs on the project's own sources and on data made here, and checks what they say.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --locked --examples
bin=${CARGO_TARGET_DIR:-target}/debug/examples
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
$bin/code_search index src --index "$work/lexical" --encoder lexical >/dev/null
answer=$($bin/code_search search "remove files no longer needed" --index "$work/lexical")
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
for method in rrf linear; do
  answer=$($bin/evaluate "$work/beir" --fuse lexical,static --method $method --json)
  python3 -c 'import json, sys; first, *_, last = json.loads(sys.argv[1]); assert last["ndcg_at_10"] == last["p_against_first"] == 1 and first["p_against_first"] is None and "lexical and static" in last["system"], last' "$answer"
done
answer=$($bin/evaluate "$work/beir" "$work/beir" --encoder lexical,lexical+0.5*static --markdown --plot "$work/plot.svg")
has "$answer" '| beir (test) | lexical+0.5\*static | \*\*1.0000\*\* | 1.000 |'
python3 -c 'import sys, xml.dom.minidom as dom; assert len(dom.parse(sys.argv[1]).getElementsByTagName("g")) == 8' "$work/plot.svg"
for cut in words:2/1 lines:1 code:5; do
  answer=$($bin/evaluate "$work/beir" --passages $cut --combine sum:2 --json)
  has "$answer" '"ndcg_at_10":1.0'
done
kept() { $bin/evaluate "$work/beir" --index "$work/kept" --json; }
has "$(kept)" '"reused":0'
has "$(kept)" '"ndcg_at_10":1.0.*"reused":4'
cp -r "$work/beir" "$work/before"
sed -i 's/resize an image/shrink an image to a size/; /d1/d' "$work/beir/corpus.jsonl"
has "$(kept 2>/dev/null)" '"documents":3.*"reused":2'
has "$($bin/inspect stats "$work/kept")" '3 documents'
rm -r "$work/beir" && mv "$work/before" "$work/beir"
$bin/evaluate "$work/beir" --encoder lexical,static --index "$work/several" >/dev/null
answer=$($bin/evaluate "$work/beir" --fuse lexical,static --index "$work/several" --json)
has "$answer" '"reused":4.*"reused":4'
$bin/evaluate "$work/beir" --run "$work/a.run" >/dev/null
sed 's/^q0 Q0 d0 /q0 Q0 d3 /' "$work/a.run" >"$work/b.run"
answer=$($bin/evaluate --compare "$work/a.run" "$work/b.run" --qrels "$work/beir/qrels/test.tsv" --json)
has "$answer" '"wins":1,"losses":0'
has "$answer" '"exact":true'
answer=$($bin/evaluate "$work/beir" --compare "$work/a.run" "$work/b.run" --encoder lexical)
has "$answer" 'wanted d0: rank in A 1, in B not found'
has "$answer" 'wanted scores .*lock'
$bin/evaluate "$work/beir" --compare lexical static >/dev/null
refused() { if $bin/evaluate "${@:2}" >/dev/null 2>"$work/message"; then fail "took $*"; fi; has "$(cat "$work/message")" "$1"; }
refused 'judgments: --qrels' --compare "$work/a.run" "$work/b.run"
echo 'q0 Q0 d0 1 nan x' >"$work/nan.run"
refused 'nan.run:1: ' --compare "$work/a.run" "$work/nan.run" --qrels "$work/beir/qrels/test.tsv"
printf 'q0 Q0 d0 1 2 x\nq0 Q0 d0 2 1 x\n' >"$work/twice.run"
refused 'twice.run:2: ' --compare "$work/a.run" "$work/twice.run" --qrels "$work/beir/qrels/test.tsv"
printf 'q0 0 d0 1\nq0 0\n' >"$work/short.qrels"
refused 'short.qrels:2: ' --compare "$work/a.run" "$work/b.run" --qrels "$work/short.qrels"
cp -r "$work/beir" "$work/broken"; echo '{"_id": ' >>"$work/broken/corpus.jsonl"
refused 'corpus.jsonl:5: ' "$work/broken"
refused 'weights of a fusion' "$work/beir" --fuse lexical,static --weights 1
printf 'q9\td9\t1\n' >>"$work/beir/qrels/test.tsv"
answer=$($bin/evaluate "$work/beir" 2>&1)
has "$answer" '1 judged queries have no text'
has "$answer" '1 relevant documents are not in the collection'

echo "-- train_static"
python3 - "$work" <<'PY'
import json, os, sys
work = sys.argv[1]
nouns = ["file", "list", "date", "image", "lock", "path"]
for package in ["one", "two", "three"]:
    os.makedirs(f"{work}/packages/{package}")
    with open(f"{work}/packages/{package}/all.py", "w") as out:
        for at, noun in enumerate(nouns * 4):
            out.write(f"def zap_{noun}{at}{package}({noun}):\n    \"\"\"Deletes the {noun} number {at} for good.\"\"\"\n    zap({noun}, {at})\n    return {at}\n\n\n")
os.makedirs(f"{work}/silent")
open(f"{work}/silent/a.py", "w").write("x = 1\n")
def pairs(name, lines):
    open(f"{work}/{name}.jsonl", "wb").write(b"\n".join(lines) + b"\n")
good = [json.dumps({"query": f"delete {noun} {at}", "passage": f"zap({noun}, {at})", "group": str(at % 3)}).encode() for at, noun in enumerate(nouns * 10)]
pairs("pairs", good + [b"", json.dumps({"query": "long", "passage": "zap " * 2_500_000}).encode()])
pairs("latin", good[:2] + [b'{"query": "\xe9", "passage": "x"}'])
pairs("broken", good + [b'{"query": '])
pairs("oneway", [json.dumps({"query": "", "passage": f"zap({at})"}).encode() for at in range(50)])
PY
answer=$($bin/train_static tree "$work/packages" --out "$work/tree.table" --json)
has "$answer" '"groups":3'
has "$answer" '"described_pairs":'
answer=$($bin/train_static pairs "$work/pairs.jsonl" --out "$work/pairs.table" --base "$work/tree.table")
has "$answer" 'described'
$bin/train_static tree "$work/packages" --out "$work/again.table" --threads 2 >/dev/null
cmp "$work/tree.table" "$work/again.table" || fail "threads show in a table"
answer=$($bin/evaluate "$work/beir" --encoder "$work/tree.table" --json 2>/dev/null)
has "$answer" 'static'
untrained() { if $bin/train_static "${@:2}" --out "$work/no.table" >/dev/null 2>"$work/message"; then fail "trained $*"; fi; has "$(cat "$work/message")" "$1"; [ ! -e "$work/no.table" ] || fail "left a table"; }
untrained 'latin.jsonl:3' pairs "$work/latin.jsonl"
untrained 'broken.jsonl:61' pairs "$work/broken.jsonl"
untrained 'training pairs' pairs "$work/oneway.jsonl"
untrained 'training pairs' tree "$work/silent"
untrained 'none' tree "$work/none"
untrained 'at least 20' pairs "$work/pairs.jsonl" --pairs 19
untrained 'no such folder' pairs "$work/pairs.jsonl" --checkpoint "$work/nowhere/a.table"
has "$($bin/train_static collection "$work/packages" --out "$work/held" --queries 10)" 'documents and 9 queries'
has "$($bin/evaluate "$work/held" --encoder "$work/tree.table" --json 2>/dev/null)" '"queries":9'
head -c 100 "$work/tree.table" >"$work/short.table"
refused 'short.table' "$work/beir" --encoder "$work/short.table"
mkdir -p "$work/empty/qrels"
: >"$work/empty/corpus.jsonl"; : >"$work/empty/queries.jsonl"; printf 'query-id\tcorpus-id\tscore\n' >"$work/empty/qrels/test.tsv"
answer=$($bin/evaluate "$work/empty" --json 2>"$work/message")
has "$answer" '"documents":0'
has "$(cat "$work/message")" 'no judgment of "test"'

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
# Fails itself where the two answer differently.
answer=$($bin/vectors search "$work/vectors" "$work/queries.csr" --top 10 --instructions portable --beside "$work/vectors" --json)
has "$answer" '"ratio"'
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

echo "-- inspect"
answer=$($bin/inspect stats "$work/vectors" --json)
has "$answer" '"documents":2000'
has "$answer" '"bytes_per_posting"'
has "$($bin/inspect stats "$work/vectors")" "2000 documents"
has "$($bin/inspect verify "$work/vectors")" "whole"
has "$($bin/inspect verify --quick "$work/vectors" --json)" '"whole":true'
$bin/inspect export "$work/vectors" "$work/vectors.jsonl" >/dev/null
$bin/inspect import "$work/vectors.jsonl" "$work/copied vectors" >/dev/null
$bin/vectors search "$work/copied vectors" "$work/queries.csr" --top 10 --run "$work/copied.gt" >/dev/null
cmp "$work/exact.gt" "$work/copied.gt" || fail "an exported and imported index answers differently"
$bin/inspect export "$work/vectors" - 2>/dev/null | $bin/inspect import - "$work/piped" >/dev/null
has "$($bin/inspect repair "$work/vectors")" "nothing to repair"
python3 - "$work/vectors" <<'PY'
import glob, sys
name = max(glob.glob(sys.argv[1] + "/segment-*"), key=lambda name: len(open(name, "rb").read()))
data = bytearray(open(name, "rb").read())
data[len(data) // 2] ^= 1
open(name, "wb").write(data)
PY
status=0; answer=$($bin/inspect verify "$work/vectors" --json) || status=$?
[ "$status" = 1 ] || fail "verify of a damaged index exits $status"
has "$answer" '"offset"'
status=0; answer=$($bin/inspect repair "$work/vectors") || status=$?
[ "$status" = 1 ] || fail "repair without --write exits $status"
has "$answer" "nothing was written"
status=0; answer=$($bin/inspect export "$work/vectors" "$work/saved.jsonl" --json) || status=$?
[ "$status" = 1 ] || fail "export of a damaged index exits $status"
has "$answer" '"complete":false'
status=0; $bin/inspect export "$work/vectors" "$work/saved.jsonl" 2>"$work/message" || status=$?
[ "$status" = 2 ] || fail "export over a file exits $status"
status=0; answer=$($bin/inspect repair "$work/vectors" --write --json) || status=$?
[ "$status" = 1 ] || fail "a repair that loses documents exits $status"
has "$answer" '"lost_keys"'
has "$($bin/inspect repair "$work/vectors")" "nothing to repair"
status=0; $bin/inspect verify "$work/none" 2>"$work/message" || status=$?
[ "$status" = 2 ] || fail "verify of nothing exits $status"
has "$(cat "$work/message")" "no index"
sed -i '3s/"vector"/"vektor"/' "$work/vectors.jsonl"
status=0; $bin/inspect import "$work/vectors.jsonl" "$work/bad" 2>"$work/message" || status=$?
[ "$status" = 2 ] || fail "import of a bad line exits $status"
has "$(cat "$work/message")" "vectors.jsonl:3"

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
echo "-- encode, and evaluate with a model directory"
cargo build --locked --features native,sae,onnx-dynamic --example encode --example evaluate
model=tests/models/bert
python3 - "$work" <<'PY'
import json, sys
work = sys.argv[1]
def lines(name, texts):
    with open(f"{work}/{name}.jsonl", "w") as out:
        for at, text in enumerate(texts):
            out.write(json.dumps({"_id": f"t{at}", "text": text}) + "\n\n")
lines("texts", ["open the lock file", "", "\0\1\x1f", "merge two sorted lists"])
lines("huge", ["open the lock file", "a " * (5 << 20), "merge two sorted lists"])
open(f"{work}/latin1.jsonl", "wb").write(b'{"_id": 1, "text": "lock"}\n{"_id": 2, "text": "\xe9"}\n')
open(f"{work}/nameless.jsonl", "w").write('{"id": "", "text": "lock"}\n')
PY
for out in jsonl csr idx; do
  answer=$($bin/encode $model "$work/texts.jsonl" --out "$work/encoded.$out" --json)
  has "$answer" '"texts":4,"tokens":'
done
has "$(wc -l <"$work/encoded.jsonl")" '^4$'
has "$($bin/inspect stats "$work/encoded.idx")" '4 documents'
has "$($bin/encode $model "$work/texts.jsonl" --out "$work/encoded.idx" --json)" '"texts":0'
has "$($bin/encode $model "$work/texts.jsonl" --compare cpu)" 'differ by at most 0'
cp "$work/encoded.jsonl" "$work/whole.jsonl"
unencoded() { if $bin/encode "${@:2}" >/dev/null 2>"$work/message"; then fail "encoded $*"; fi; has "$(cat "$work/message")" "$1"; }
for texts in huge latin1 nameless missing; do
  unencoded "text 2: bytes\|line 2 of .*latin1\|an empty id\|missing.jsonl: cannot open" $model "$work/$texts.jsonl" --out "$work/encoded.jsonl"
  cmp "$work/encoded.jsonl" "$work/whole.jsonl" || fail "a run that failed changed its output"
  [ ! -e "$work/encoded.jsonl.partial" ] || fail "a run that failed left a file"
done
unencoded 'no model.safetensors; there is no ONNX graph either' "$work/beir" "$work/texts.jsonl" --out "$work/no.jsonl"
ORT_DYLIB_PATH=$(tests/models/setup_runtime.sh) unencoded 'device cuda:0 is not supported here' tests/models/narrow "$work/texts.jsonl" --device cpu --compare cuda
has "$($bin/evaluate "$work/beir" --encoder $model --json)" '"documents":4'

echo "examples: all as expected"
