"""Makes small autoencoders in every format that is read, and what they should give.

Random weights, a seed, and numpy in double precision: `sae/golden.json` holds hidden states, for
each autoencoder the latents of each token, and for each of its options the latents that it would
give were that option ignored. The Rust tests want the first and nothing near the others.
`sae/encoder` and `sae/graph` are whole models over the tiny transformer in `hidden`.

    python -m venv venv
    venv/bin/pip install numpy onnx onnxruntime tokenizers
    venv/bin/python tests/models/make_sae.py

Made with numpy 2.4, onnx 1.23, onnxruntime 1.31.1, tokenizers 0.23.
"""

import json
import pathlib
import shutil
import struct

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer

HERE = pathlib.Path(__file__).parent
OUT = HERE / "sae"
HIDDEN, LATENTS, TOKENS = 8, 24, 6
random = np.random.default_rng(11)


def normal(*shape, scale=1.0):
    return (random.standard_normal(shape) * scale).astype(np.float32)


def bf16(values):
    """Rounds to the nearest bfloat16, as 16-bit patterns."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def widened(patterns):
    return (patterns.astype(np.uint32) << 16).view(np.float32)


def safetensors(path, tensors, kind):
    """`kind` is F32, F16 or BF16; gives back the numbers that a reader finds."""
    header, data, found = {}, b"", {}
    for name, values in tensors.items():
        values = np.asarray(values, np.float32)
        if kind == "BF16":
            patterns = bf16(values)
            raw, found[name] = patterns.tobytes(), widened(patterns).reshape(values.shape)
        elif kind == "F16":
            half = values.astype(np.float16)
            raw, found[name] = half.tobytes(), half.astype(np.float32)
        else:
            raw, found[name] = values.tobytes(), values
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return found


def settings(path, **values):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=1) + "\n")


# What the suites compute, in doubles. `x` is [tokens, hidden].

def length(x):
    return x * np.sqrt(x.shape[-1]) / np.linalg.norm(x, axis=-1, keepdims=True)


def layer(x):
    x = x - x.mean(axis=-1, keepdims=True)
    return x / (x.std(axis=-1, ddof=1, keepdims=True) + 1e-5)


def same(x):
    return x


def sums(x, encoder, bias, norm=same, scale=1.0, subtracted=0.0):
    """`encoder` is [hidden, latents]."""
    x = norm(x.astype(np.float64)) * scale - np.asarray(subtracted, np.float64)
    return x @ np.asarray(encoder, np.float64) + np.asarray(bias, np.float64)


def relu(z):
    return np.maximum(z, 0)


def jump(z, threshold, ranks=1.0):
    return np.where(z * ranks > np.asarray(threshold, np.float64), relu(z), 0)


def top(z, k, ranks=1.0):
    kept = np.argsort(-(z * ranks), axis=-1, kind="stable")[:, :k]
    out = np.zeros_like(z)
    np.put_along_axis(out, kept, np.take_along_axis(z, kept, axis=-1), axis=-1)
    return relu(out)


golden = {}


def sparse(dense):
    return [[[int(at), round(float(row[at]), 7)] for at in np.nonzero(row)[0]] for row in dense]


def give(name, value, **ignoring):
    for option, other in ignoring.items():
        far = np.abs(value - other).max()
        assert far > 0.05, f"{name}: {option} changes {far}"
    golden[name] = {
        "latents": sparse(value),
        "ignoring": {option: sparse(other) for option, other in ignoring.items()},
    }


def gemma(x):
    encoder, bias = normal(HIDDEN, LATENTS), normal(LATENTS, scale=0.3)
    threshold = np.abs(normal(LATENTS)) + 0.5
    arrays = {"W_enc": encoder, "b_enc": bias, "threshold": threshold,
              "W_dec": normal(LATENTS, HIDDEN), "b_dec": normal(HIDDEN)}
    for name, save in [("gemma", np.savez), ("gemma_packed", np.savez_compressed)]:
        (OUT / name).mkdir(parents=True)
        save(OUT / name / "params.npz", **arrays)
        z = sums(x, encoder, bias)
        give(name, jump(z, threshold), threshold=relu(z), bias=jump(sums(x, encoder, 0), threshold),
             b_dec=jump(sums(x, encoder, bias, subtracted=0.0) - arrays["b_dec"] @ encoder, threshold))


def llama(x):
    def weights(folder, **more):
        return safetensors(folder / "checkpoints/final.safetensors", {
            "encoder.weight": normal(LATENTS, HIDDEN), "encoder.bias": normal(LATENTS, scale=0.3),
            "decoder.weight": normal(HIDDEN, LATENTS, scale=0.4), "decoder.bias": normal(HIDDEN), **more,
        }, "BF16")

    common = {"d_model": HIDDEN, "d_sae": LATENTS, "use_decoder_bias": True, "top_k": 50}
    found = weights(OUT / "llama")
    settings(OUT / "llama/hyperparams.json", act_fn="jumprelu", jump_relu_threshold=0.75,
             norm_activation="dataset-wise", dataset_average_activation_norm={"in": 2.0, "out": 2.0},
             sparsity_include_decoder_norm=True, apply_decoder_bias_to_pre_encoder=False, **common)
    encoder, bias = found["encoder.weight"].T, found["encoder.bias"]
    norms = np.linalg.norm(found["decoder.weight"].astype(np.float64), axis=0)
    scale = np.sqrt(HIDDEN) / 2.0
    z = sums(x, encoder, bias, scale=scale)
    give("llama", jump(z, 0.75, norms), scale=jump(sums(x, encoder, bias), 0.75, norms),
         threshold=relu(z), norms=jump(z, 0.75), scales=jump(z, 0.75, norms) * norms)

    folder = OUT / "llama_scales"
    shutil.copytree(OUT / "llama", folder / "head")
    settings(folder / "sae.json", version=1, backbone=".", latents=LATENTS, hidden=HIDDEN,
             head={"format": "llama-scope", "weights": "head", "decoder_norm": "scales"})
    give("llama_scales", jump(z, 0.75, norms) * norms, scales=jump(z, 0.75, norms))
    # What `sae.json` may say otherwise.
    folder = OUT / "llama_ignores"
    shutil.copytree(OUT / "llama", folder / "head")
    settings(folder / "sae.json", version=1, backbone=".", latents=LATENTS,
             head={"format": "llama-scope", "weights": "head/checkpoints/final.safetensors", "decoder_norm": "ignored",
                   "activation": "topk", "k": 2, "input_norm": "length", "input_scale": 1.5})
    z = sums(x, encoder, bias, norm=length, scale=1.5)
    give("llama_ignores", top(z, 2), k=jump(z, 0.75), norm=top(sums(x, encoder, bias, scale=1.5), 2),
         scale=top(sums(x, encoder, bias, norm=length), 2), decoder_norm=top(z, 2, norms))

    found = weights(OUT / "llama_log", **{"log_jumprelu_threshold": np.log(np.abs(normal(LATENTS)) + 0.4)})
    settings(OUT / "llama_log/hyperparams.json", act_fn="jumprelu", norm_activation="token-wise",
             sparsity_include_decoder_norm=False, apply_decoder_bias_to_pre_encoder=True, **common)
    encoder, bias = found["encoder.weight"].T, found["encoder.bias"]
    threshold = np.exp(found["log_jumprelu_threshold"].astype(np.float64))
    z = sums(x, encoder, bias, norm=length, subtracted=found["decoder.bias"])
    give("llama_log", jump(z, threshold), threshold=relu(z), exponential=jump(z, found["log_jumprelu_threshold"]),
         subtracted=jump(sums(x, encoder, bias, norm=length), threshold),
         norm=jump(sums(x, encoder, bias, subtracted=found["decoder.bias"]), threshold))

    found = weights(OUT / "llama_top")
    settings(OUT / "llama_top/hyperparams.json", act_fn="topk", norm_activation="no-norm",
             sparsity_include_decoder_norm=True, d_model=HIDDEN, d_sae=LATENTS, top_k=4)
    encoder, bias = found["encoder.weight"].T, found["encoder.bias"]
    norms = np.linalg.norm(found["decoder.weight"].astype(np.float64), axis=0)
    z = sums(x, encoder, bias)
    give("llama_top", top(z, 4, norms), k=relu(z), norms=top(z, 4))


def sae_lens(x):
    def weights(name, kind="F32", **more):
        return safetensors(OUT / name / "sae_weights.safetensors", {
            "W_enc": normal(HIDDEN, LATENTS), "b_enc": normal(LATENTS, scale=0.3),
            "W_dec": normal(LATENTS, HIDDEN, scale=0.4), "b_dec": normal(HIDDEN), **more,
        }, kind)

    common = {"d_in": HIDDEN, "d_sae": LATENTS, "metadata": {"hook_name": "blocks.1.hook_resid_post"}}
    found = weights("lens_relu")
    settings(OUT / "lens_relu/cfg.json", architecture="standard", apply_b_dec_to_input=True,
             normalize_activations="none", **common)
    encoder, bias = found["W_enc"], found["b_enc"]
    give("lens_relu", relu(sums(x, encoder, bias, subtracted=found["b_dec"])), b_dec=relu(sums(x, encoder, bias)))

    found = weights("lens_top", "F16")
    settings(OUT / "lens_top/cfg.json", architecture="topk", k=3, apply_b_dec_to_input=True,
             normalize_activations="constant_norm_rescale", **common)
    encoder, bias = found["W_enc"], found["b_enc"]
    z = sums(x, encoder, bias, norm=length, subtracted=found["b_dec"])
    give("lens_top", top(z, 3), k=relu(z), norm=top(sums(x, encoder, bias, subtracted=found["b_dec"]), 3),
         b_dec=top(sums(x, encoder, bias, norm=length), 3))

    found = weights("lens_rescaled")
    settings(OUT / "lens_rescaled/cfg.json", architecture="topk", k=3, rescale_acts_by_decoder_norm=True, **common)
    encoder, bias = found["W_enc"], found["b_enc"]
    norms = np.linalg.norm(found["W_dec"].astype(np.float64), axis=1)
    z = sums(x, encoder, bias)
    give("lens_rescaled", top(z * norms, 3), norms=top(z, 3), values=top(z, 3, norms))

    found = weights("lens_jump", threshold=np.abs(normal(LATENTS)) + 0.3)
    settings(OUT / "lens_jump/cfg.json", architecture="jumprelu", activation_fn_str="relu",
             apply_b_dec_to_input=False, normalize_activations="layer_norm", **common)
    encoder, bias = found["W_enc"], found["b_enc"]
    z = sums(x, encoder, bias, norm=layer)
    give("lens_jump", jump(z, found["threshold"]), threshold=relu(z),
         norm=jump(sums(x, encoder, bias), found["threshold"]))

    # The older way to say TopK, and a factor that only `sae.json` knows.
    found = weights("lens_scaled/head")
    settings(OUT / "lens_scaled/head/cfg.json", architecture="standard", activation_fn_str="topk",
             activation_fn_kwargs={"k": 5}, normalize_activations="expected_average_only_in", **common)
    settings(OUT / "lens_scaled/sae.json", version=1, backbone=".", latents=LATENTS,
             head={"format": "sae-lens", "weights": "head", "input_scale": 0.25})
    encoder, bias = found["W_enc"], found["b_enc"]
    z = sums(x, encoder, bias, scale=0.25)
    give("lens_scaled", top(z, 5), k=relu(z), scale=top(sums(x, encoder, bias), 5))


def sentence_transformers(x):
    found = safetensors(OUT / "csr/model.safetensors", {
        "encoder.weight": normal(LATENTS, HIDDEN), "latent_bias": normal(LATENTS, scale=0.5), "pre_bias": normal(HIDDEN),
    }, "F32")
    settings(OUT / "csr/config.json", input_dim=HIDDEN, hidden_dim=LATENTS, k=4, k_aux=8, normalize=True, dead_threshold=30)
    encoder, bias = found["encoder.weight"].T, found["latent_bias"]
    z = sums(x, encoder, bias, norm=layer, subtracted=found["pre_bias"])
    give("csr", top(z, 4), k=relu(z), normalize=top(sums(x, encoder, bias, subtracted=found["pre_bias"]), 4),
         pre_bias=top(sums(x, encoder, bias, norm=layer), 4), latent_bias=top(sums(x, encoder, 0, norm=layer, subtracted=found["pre_bias"]), 4))


def row(vector):
    return [[int(at), round(float(vector[at]), 6)] for at in np.nonzero(vector > 0)[0]]


def whole_models():
    """Text in, vectors out: the tiny transformer's hidden states, and a head of Llama Scope."""
    tokenizer = Tokenizer.from_file(str(HERE / "hidden/tokenizer.json"))
    session = onnxruntime.InferenceSession(HERE / "hidden/model.onnx")
    texts = json.loads((HERE / "golden.json").read_text())["texts"]

    def states(text):
        encoded = tokenizer.encode(text)
        ids, special = np.array([encoded.ids[:48]]), np.array(encoded.special_tokens_mask[:48])
        hidden, = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        return hidden[0], special.astype(bool)

    width, latents = states("a")[0].shape[1], 300
    found = safetensors(OUT / "encoder/head/checkpoints/final.safetensors", {
        "encoder.weight": normal(latents, width), "encoder.bias": normal(latents, scale=0.3) - 2,
        "decoder.weight": normal(width, latents, scale=0.3), "decoder.bias": normal(width),
    }, "BF16")
    settings(OUT / "encoder/head/hyperparams.json", d_model=width, d_sae=latents, act_fn="jumprelu",
             jump_relu_threshold=0.5, norm_activation="dataset-wise", sparsity_include_decoder_norm=True,
             dataset_average_activation_norm={"in": 4.0, "out": 4.0})
    settings(OUT / "encoder/sae.json", version=1, backbone="../../hidden", output="last_hidden_state", layer=2,
             hidden=width, latents=latents, head={"format": "llama-scope", "weights": "head"},
             pruning={"query": 5, "document": 40, "threshold": 0.01}, prompts={"query": "find: "}, labels="labels.tsv")
    (OUT / "encoder/labels.tsv").write_text(f"# latents {latents}\n" + "".join(f"{at}\tlatent of {at}\n" for at in range(0, latents, 2)))
    encoder, bias = found["encoder.weight"].T, found["encoder.bias"]
    norms = np.linalg.norm(found["decoder.weight"].astype(np.float64), axis=0)

    def vector(text, keep, drops_special=False, weigh=np.log1p, tokens=None):
        hidden, special = states(text)
        hidden = hidden[~special] if drops_special else hidden
        if not len(hidden):
            return []
        hidden = hidden if tokens is None else tokens(hidden)
        values = jump(sums(hidden, encoder, bias, scale=np.sqrt(width) / 4.0), 0.5, norms)
        weights = weigh(values).max(axis=0)
        weights[weights <= 0.01] = 0
        weights[np.argsort(-weights, kind="stable")[keep:]] = 0
        return row(weights)

    mean = lambda hidden: hidden.mean(axis=0, keepdims=True)
    golden["texts"] = texts
    golden["documents"] = [vector(text, 40) for text in texts]
    golden["queries"] = [vector("find: " + text, 5) for text in texts]
    golden["without special tokens"] = [vector(text, 40, drops_special=True) for text in texts]
    golden["linear"] = [vector(text, 40, weigh=same) for text in texts]
    golden["mean"] = [vector(text, 40, tokens=mean) for text in texts]
    golden["first"] = [vector(text, 40, tokens=lambda hidden: hidden[:1]) for text in texts]
    golden["last"] = [vector(text, 40, tokens=lambda hidden: hidden[-1:]) for text in texts]

    # The same head inside the graph.
    model = onnx.load(HERE / "hidden/model.onnx")
    graph, hidden = model.graph, model.graph.output[0].name
    threshold = np.where(norms > 0, 0.5 / norms, np.inf).astype(np.float32)
    for name, values in [("sae_scale", np.float32(np.sqrt(width) / 4.0)), ("sae_encoder", np.ascontiguousarray(encoder)),
                         ("sae_bias", bias), ("sae_threshold", threshold), ("sae_zero", np.float32(0))]:
        graph.initializer.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
    graph.node.extend([
        helper.make_node("Mul", [hidden, "sae_scale"], ["sae_scaled"]),
        helper.make_node("MatMul", ["sae_scaled", "sae_encoder"], ["sae_product"]),
        helper.make_node("Add", ["sae_product", "sae_bias"], ["sae_sums"]),
        helper.make_node("Greater", ["sae_sums", "sae_threshold"], ["sae_fires"]),
        helper.make_node("Where", ["sae_fires", "sae_sums", "sae_zero"], ["latents"]),
    ])
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("latents", TensorProto.FLOAT, ["batch", "sequence", latents]))
    (OUT / "graph").mkdir()
    onnx.save(model, OUT / "graph/model.onnx")
    shutil.copy(HERE / "hidden/tokenizer.json", OUT / "graph")
    settings(OUT / "graph/sae.json", version=1, backbone=".", latents=latents, head={"format": "graph"},
             pruning={"query": 5, "document": 40, "threshold": 0.01}, prompts={"query": "find: "})


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    x = normal(TOKENS, HIDDEN)
    golden["hidden"], golden["width"] = [round(float(v), 7) for v in x.ravel()], HIDDEN
    x = np.array(golden["hidden"], np.float32).reshape(TOKENS, HIDDEN)
    for make in [gemma, llama, sae_lens, sentence_transformers]:
        make(x)
    whole_models()
    (OUT / "golden.json").write_text(json.dumps(golden, ensure_ascii=False))


if __name__ == "__main__":
    main()
