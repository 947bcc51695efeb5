"""Python's onnxruntime and the library, on the same graph and texts, by turns in one run.

    python benches/onnx/compare.py MODEL_DIR TEXTS.jsonl [--threads 1] [--sessions 1] [--batch 8] [--rounds 3]

Python sorts by length and pools with numpy, as sentence-transformers does in substance; `--plain`
leaves texts in their order. Build the other half first:

    cargo build --release --manifest-path benches/onnx/Cargo.toml

MODEL_DIR is `splade` of tests/models/export_minilm.py. Prints one line of JSON: best seconds of each
and the ratio (above 1: the library is faster), the same of processor time, which a busy machine
disturbs less, and the share of pooling in Python's time.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import onnxruntime
from tokenizers import Tokenizer


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("texts", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sessions", type=int, default=1, help="of the library, with --threads divided among them")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--program", default=str(pathlib.Path(os.environ.get("CARGO_TARGET_DIR", pathlib.Path(__file__).parent / "target")) / "release/bench-onnx"))
    arguments = parser.parse_args()

    texts = [json.loads(line)["text"] for line in arguments.texts.read_text().splitlines()]
    tokenizer = Tokenizer.from_file(str(arguments.model / "tokenizer.json"))
    tokenizer.enable_truncation(512)
    tokenizer.no_padding()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    options.inter_op_num_threads = 1
    graph = arguments.model / "onnx/model.onnx"
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]

    def python():
        times = {"run": 0.0, "pool": 0.0}
        begun, busy = time.perf_counter(), time.process_time()
        ids = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
        order = list(range(len(ids))) if arguments.plain else sorted(range(len(ids)), key=lambda at: -len(ids[at]))
        nnz = 0
        for start in range(0, len(order), arguments.batch):
            part = [ids[at] for at in order[start : start + arguments.batch]]
            longest = max(map(len, part))
            tokens = np.zeros((len(part), longest), np.int64)
            mask = np.zeros_like(tokens)
            for row, one in enumerate(part):
                tokens[row, : len(one)] = one
                mask[row, : len(one)] = 1
            feed = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(tokens)}
            ran = time.perf_counter()
            logits = session.run(None, {name: feed[name] for name in names})[0]
            times["run"] += time.perf_counter() - ran
            ran = time.perf_counter()
            logits *= mask[:, :, None]
            pooled = np.log1p(np.maximum(logits.max(axis=1), 0))
            for vector in pooled:
                nnz += len(np.nonzero(vector)[0])
            times["pool"] += time.perf_counter() - ran
        return time.perf_counter() - begun, time.process_time() - busy, times, nnz

    ours, theirs, our_work, their_work, shares = [], [], [], [], []
    for _ in range(arguments.rounds):
        seconds, work, times, nnz = python()
        theirs.append(seconds)
        their_work.append(work)
        shares.append(times["pool"] / times["run"])
        said = subprocess.run(
            [arguments.program, "encode", str(arguments.model), str(arguments.texts),
             str(arguments.threads // arguments.sessions), str(arguments.sessions), str(arguments.tokens)],
            check=True, capture_output=True, text=True).stdout
        said = json.loads(said)
        ours.append(said["seconds"])
        our_work.append(said["processor_seconds"])
        assert abs(said["nnz"] - nnz) <= nnz * 1e-4 + 2, (said["nnz"], nnz)
    print(json.dumps({
        "texts": len(texts), "tokens": said["tokens"], "threads": arguments.threads,
        "python_seconds": round(min(theirs), 3), "library_seconds": round(min(ours), 3),
        "ratio": round(min(theirs) / min(ours), 3),
        "processor_ratio": round(min(their_work) / min(our_work), 3), "python_pooling_share": round(min(shares), 3),
    }))


if __name__ == "__main__":
    sys.exit(main())
