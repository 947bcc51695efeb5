#!/usr/bin/env bash
# Runs `examples/sae` from source files to a tuned, searched and explained index, over a backbone of 16 values a token,
# and checks what it says, what it leaves behind, and what it refuses. Needs ORT_DYLIB_PATH (tests/models/setup_runtime.sh).
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --locked --features native,sae,onnx-dynamic,train --example sae --example evaluate
bin=${CARGO_TARGET_DIR:-target}/debug/examples
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() { echo "sae: $*" >&2; exit 1; }
has() { grep -q -- "$2" <<<"$1" || fail "expected '$2' in: $1"; }
sae() { "$bin/sae" "$@" 2>"$work/progress" || fail "$1: $(tail -n 1 "$work/progress")"; }
refused() { # WORD ARGUMENTS...: exits with 1 and says WORD
  local status=0
  "$bin/sae" "${@:2}" >/dev/null 2>"$work/message" || status=$?
  [ "$status" = 1 ] || fail "${*:2} exits $status: $(cat "$work/message")"
  has "$(cat "$work/message")" "$1"
}
number() { python3 -c 'import json, sys; print(json.loads(sys.argv[1])[sys.argv[2]])' "$1" "$2"; }

backbone=tests/models/hidden
length=(--length 32)

answer=$(sae pairs src/train src/text --kinds described,remarks --group-most 60 --out "$work/pairs.jsonl" --json)
[ "$(number "$answer" groups)" = 2 ] && [ "$(number "$answer" named)" = 0 ] && [ "$(number "$answer" remarks)" -gt 5 ] || fail "pairs: $answer"
[ "$(wc -l <"$work/pairs.jsonl")" = "$(number "$answer" pairs)" ] || fail "pairs: $answer"

train() { sae train $backbone "$work/pairs.jsonl" --latents 96 --active 8 --batch 64 --drop-special-tokens "${length[@]}" --cache "$work/hidden.cache" --json "$@"; }
answer=$(train --out "$work/auto")
python3 -c 'import sys; assert float(sys.argv[1]) > 0.5' "$(number "$answer" explained_variance)" || fail "explains too little: $answer"
# Another number of threads gives the same weights.
train --out "$work/auto2" --threads 2 >/dev/null
cmp "$work/auto/sae.safetensors" "$work/auto2/sae.safetensors" || fail "threads show in an autoencoder"

sae mine lexical "$work/pairs.jsonl" --negatives 2 --out "$work/mined.jsonl" >/dev/null
python3 - "$work/mined.jsonl" "$work/taught.jsonl" <<'PY'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
assert all(line["scores"] is None and line["passage"] not in line["negatives"] for line in lines)
for line in lines[::2]:
    line["scores"] = [5.0] + [0.0] * len(line["negatives"])
open(sys.argv[2], "w").writelines(json.dumps(line) + "\n" for line in lines)
PY

before=$(sha256sum "$work/hidden.cache")
answer=$(sae finetune "$work/auto" "$work/taught.jsonl" "${length[@]}" --cache "$work/hidden.cache" --out "$work/tuned" --active 4 --batch 16 --every 3 --held-out 0.2 --temperature 2 --json)
[ "$before" = "$(sha256sum "$work/hidden.cache")" ] || fail "tuning did not take the hidden states that training left"
[ "$(number "$answer" taught)" -gt 0 ] || fail "no teacher: $answer"
python3 - "$answer" <<'PY'
import json, sys
answer = json.loads(sys.argv[1])
scores = {step: score for step, score, *_ in answer["measured"]}
assert answer["steps"] in scores and scores[answer["kept"]] == max(scores.values()), answer
PY
has "$(cat "$work/tuned/sae.json")" '"k": 4'
has "$(cat "$work/tuned/sae.json")" '"drop_special_tokens": true'

python3 - "$work" <<'PY'
import json, os, sys
root = sys.argv[1] + "/beir"
os.makedirs(root + "/qrels")
texts = ["open the lock file", "the quick brown fox jumps over the lazy dog", "def main(): return text", "again and again"]
with open(root + "/corpus.jsonl", "w") as out:
    for at, text in enumerate(texts):
        out.write(json.dumps({"_id": f"d{at}", "title": "", "text": text}) + "\n")
with open(root + "/queries.jsonl", "w") as out:
    for at, text in enumerate(texts):
        out.write(json.dumps({"_id": f"q{at}", "text": text}) + "\n")
with open(root + "/qrels/test.tsv", "w") as out:
    out.write("query-id\tcorpus-id\tscore\n" + "".join(f"q{at}\td{at}\t1\n" for at in range(4)))
with open(sys.argv[1] + "/labels.tsv", "w") as out:
    out.write("# latents 96\n" + "".join(f"{latent}\tnamed {latent}\n" for latent in range(96)))
for model in ["tuned", "other"]:
    path = sys.argv[1] + "/" + model
    if model == "other":
        os.makedirs(path)
        os.link(sys.argv[1] + "/tuned/sae.safetensors", path + "/sae.safetensors")
        open(path + "/labels.tsv", "w").write("# latents 97\n0\tof another\n")
    else:
        os.link(sys.argv[1] + "/labels.tsv", path + "/labels.tsv")
    description = json.load(open(sys.argv[1] + "/tuned/sae.json"))
    description["labels"] = "labels.tsv"
    json.dump(description, open(path + "/sae.json", "w"))
PY
answer=$("$bin/evaluate" "$work/beir" --encoder "$work/tuned" --index "$work/kept" --json)
has "$answer" '"ndcg_at_10":1.0'

for out in vectors.csr vectors.jsonl index.idx; do
  answer=$(sae encode "$work/tuned" "$work/beir/corpus.jsonl" --out "$work/$out" --json)
  [ "$(number "$answer" texts)" = 4 ] || fail "encode: $answer"
done
python3 - "$work" <<'PY'
import json, struct, sys
csr = open(sys.argv[1] + "/vectors.csr", "rb").read()
lines = [json.loads(line) for line in open(sys.argv[1] + "/vectors.jsonl")]
rows, columns, count = struct.unpack_from("<3q", csr)
assert (rows, columns) == (4, 96) and len(lines) == 4 and count > 8, (rows, columns, count)
PY
latents() { sae latents "$work/tuned" "$work/index.idx" "$@"; }
first() { python3 -c 'import json, sys; print(json.loads(sys.argv[1])["latents"][0]["latent"])' "$1"; }
latent=$(first "$(latents --text "open the lock" --json)")
has "$(latents --text "open the lock")" "latent $latent (named $latent), weight"
latent=$(first "$(latents --key d0 --json)")
has "$(latents --key d0)" "latent $latent (named $latent), weight"
has "$(latents --latent "$latent")" "  d0  open the lock file"

echo '{"query": "a", "passage": "b", "negatives": ["c"], "scores": [1]}' >"$work/short.jsonl"
: >"$work/empty.jsonl"
refused "scores of line 1" finetune "$work/auto" "$work/short.jsonl" --out "$work/no"
refused "none" finetune "$work/auto" "$work/empty.jsonl" --out "$work/no"
refused "none" train $backbone "$work/empty.jsonl" --out "$work/no"
refused "hidden states of these texts" finetune "$work/auto" "$work/pairs.jsonl" --cache "$work/hidden.cache" --length 9 --out "$work/tuned"
refused "functions of the kinds" pairs tests/models/hidden --out "$work/no"
refused "97 largest of 96" finetune "$work/auto" "$work/pairs.jsonl" --active 97 --out "$work/no"
refused "for another autoencoder\|97" latents "$work/other" "$work/index.idx" --latent 1
refused "built with encoder" latents "$work/auto" "$work/index.idx" --latent 1
refused "below 96" latents "$work/tuned" "$work/index.idx" --latent 96
refused "key of a passage" latents "$work/tuned" "$work/index.idx" --key none
refused "sae.json" encode $backbone "$work/beir/corpus.jsonl" --out "$work/no.csr"
status=0; "$bin/sae" latents >/dev/null 2>&1 || status=$?
[ "$status" = 2 ] || fail "wrong use exits $status"
[ ! -e "$work/no" ] || fail "refused, and left $(ls "$work/no")"
echo "sae: passed"
